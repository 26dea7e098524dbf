//! The kernels on the GPU: the same decisions and references as the twin's, to the bit.
//!
//! A picture is uploaded once; planes, vectors, records and levels stay on the GPU, and what comes back is
//! the compacted decisions alone. Everything is dispatched in one submission a frame: no pass waits for the host.
//!
//! The references die with the device. So the host keeps a checkpoint of them, read back at most every eight frames and
//! off the path of a frame, and the decisions since, from which the twin makes them again.

#[cfg(test)]
mod blocks;
mod buffers;
mod checkpoint;
mod context;
pub mod explain;
mod params;
mod passes;
mod readback;
mod session;
mod tables;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use conclave_shaders::device::Prefer as Adapter;
pub use context::Context;
pub use session::{Input, Session, Traffic};
