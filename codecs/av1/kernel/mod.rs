//! The plain twin of every device stage, one file a stage: data-parallel passes over arrays, integers only.

pub mod cdef;
pub mod deblock;
pub mod distance;
pub mod predict;
pub mod pyramid;
pub mod quantize;
pub mod reconstruct;
pub mod search;
pub mod subpel;
pub mod transform;
