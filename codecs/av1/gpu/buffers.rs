//! The memory of one encoder on the GPU: sized once for the greatest frame, never per frame.

use conclave_shaders::{DeviceError, Gpu, wgpu};
use wgpu::BufferUsages;

use super::params::{FIRST, Params};
use super::passes::BINDINGS;
use super::tables::tables;
use crate::av1::kernel::islands::DEEPEST;
use crate::av1::layout::Layout;

/// Words of a frame, by superblock.
pub(super) const FRAME_WORDS: u32 = 1536;
/// Words of a pyramid.
pub(super) const PYRAMID_WORDS: u32 = 80;
/// Whole-sample vectors (by 64 at the eighth scale, by 32 at the quarter scale, by 16, 32, 8), then fine ones (by 8, 16,
/// 32).
pub(super) const VECTOR_WORDS: u32 = (1 + 4 + 16 + 4 + 64) + (64 + 16 + 4);
/// Four words a block of 8, of 16, of 32.
pub(super) const CHOICE_WORDS: u32 = 4 * (64 + 16 + 4);
/// Two words a cell.
pub(super) const BLOCK_WORDS: u32 = 2 * 64;
/// Three words a cell.
pub(super) const END_WORDS: u32 = 3 * 64;
/// Two levels a word.
pub(super) const LEVEL_WORDS: u32 = 3072;
/// Every level in 16 bits, and two words a cell.
pub(super) const PACKED_WORDS: u32 = LEVEL_WORDS + 2 * 64;

/// Buffers by binding number.
pub(super) struct Buffers([wgpu::Buffer; BINDINGS]);

impl Buffers {
    /// Room for frames of `layout` and `references` of them.
    pub fn new(gpu: &Gpu, layout: &Layout, references: u32) -> Result<Self, DeviceError> {
        let superblocks = (layout.superblock_cols() * layout.superblock_rows()) as u64;
        let storage = BufferUsages::STORAGE | BufferUsages::COPY_SRC;
        let words = |what, count: u32| gpu.buffer(what, 4 * u64::from(count) * superblocks, storage);
        let frames = FIRST + references;
        let tables = tables();
        let table = gpu.buffer("tables", 4 * tables.len() as u64, storage)?;
        gpu.upload(&table, bytemuck::cast_slice(&tables))?;
        Ok(Self([
            gpu.buffer("params", size_of::<Params>() as u64, BufferUsages::UNIFORM)?,
            words("frames", frames * FRAME_WORDS)?,
            words("pyramids", frames * PYRAMID_WORDS)?,
            words("vectors", VECTOR_WORDS)?,
            words("choices", CHOICE_WORDS)?,
            words("blocks", BLOCK_WORDS)?,
            words("ends", END_WORDS)?,
            words("levels", LEVEL_WORDS)?,
            table,
            gpu.buffer("packed", 4 * (u64::from(PACKED_WORDS) * superblocks + 4), storage)?,
            gpu.buffer("totals", 4 * (superblocks + 1), storage)?,
            gpu.buffer("picture", layout.size.i420_len() as u64, storage)?,
            gpu.buffer("arguments", 12 * u64::from(DEEPEST), storage | BufferUsages::INDIRECT)?,
        ]))
    }

    /// The buffer of a binding.
    pub fn binding(&self, number: u32) -> &wgpu::Buffer {
        &self.0[number as usize]
    }
}
