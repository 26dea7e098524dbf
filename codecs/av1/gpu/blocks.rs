//! Block records as the shaders have them: `kind` and `vector` of common.wgsl.

use crate::av1::decisions::{Block, Reference};

/// The two words of a block. Transform and chroma mode are those that the kernels choose: the DCT, and DC.
pub(super) fn pack(block: &Block) -> [u32; 2] {
    let size = block.size.side().ilog2() - 3;
    let reference = match block.reference {
        Reference::Intra => 0,
        Reference::Last => 1,
        Reference::Golden => 2,
    };
    let mode = if block.is_inter() { 0 } else { block.mode as u32 };
    let halves = |low: i16, high: i16| u32::from(low as u16) | u32::from(high as u16) << 16;
    [size | reference << 2 | u32::from(block.skip) << 4 | mode << 8, halves(block.vector.row, block.vector.col)]
}
