//! The encoder's kernels on the GPU.

mod buffers;
mod params;
mod passes;
mod tables;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
