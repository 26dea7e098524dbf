//! The plain twin of every device stage, one file a stage: data-parallel passes over arrays, integers only.

#[macro_use]
mod wide;

pub mod cdef;
pub mod deblock;
pub mod predict;
pub mod quantize;
pub mod quantizer_tables;
pub mod reconstruct;
#[cfg(test)]
mod testing;
pub mod transform;
