//! The plain twin of every device stage, one file a stage: data-parallel passes over arrays, integers only.

#[macro_use]
mod wide;

pub mod cdef;
pub mod cost;
pub mod deblock;
pub mod decide;
pub mod distance;
pub mod islands;
pub mod merge;
pub mod predict;
pub mod pyramid;
pub mod quantize;
pub mod quantizer_tables;
pub mod reconstruct;
pub mod search;
pub mod subpel;
#[cfg(test)]
pub(crate) mod testing;
pub mod transform;
