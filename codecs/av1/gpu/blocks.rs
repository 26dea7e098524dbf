//! Block records as the shaders keep them: the two words of common.wgsl.

use crate::av1::decisions::{Block, BlockSize, IntraMode, Reference, Vector};

const SKIP: u32 = 1 << 4;

/// The words `kind` and `vector` of a block with the DCT everywhere and no chroma from luma.
pub(super) fn pack(block: &Block) -> [u32; 2] {
    let size = block.size.cells().ilog2();
    let reference = match block.reference {
        Reference::Intra => 0,
        Reference::Last => 1,
        Reference::Golden => 2,
    };
    let skip = if block.skip { SKIP } else { 0 };
    let vector = u32::from(block.vector.row as u16) | u32::from(block.vector.col as u16) << 16;
    [size | reference << 2 | skip | (block.mode as u32) << 8, vector]
}

/// The block of these words.
pub(super) fn unpack([kind, vector]: [u32; 2]) -> Block {
    let size = match kind & 3 {
        0 => BlockSize::B8,
        1 => BlockSize::B16,
        2 => BlockSize::B32,
        _ => BlockSize::B64,
    };
    let reference = match kind >> 2 & 3 {
        0 => Reference::Intra,
        1 => Reference::Last,
        _ => Reference::Golden,
    };
    let mode = IntraMode::ALL.into_iter().find(|mode| *mode as u32 == kind >> 8 & 15).unwrap_or_default();
    let vector = Vector { row: vector as i16, col: (vector >> 16) as i16 };
    Block { size, reference, vector, mode, skip: kind & SKIP != 0, ..Block::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_block_comes_back() {
        for size in BlockSize::ALL {
            for reference in [Reference::Intra, Reference::Last, Reference::Golden] {
                for mode in IntraMode::ALL {
                    for (row, col) in [(0, 0), (-2, 8190), (8190, -8190), (-8190, -2)] {
                        let vector = Vector { row, col };
                        let block = Block { size, reference, vector, mode, skip: row < 0, ..Block::default() };
                        assert_eq!(unpack(pack(&block)), block);
                    }
                }
            }
        }
    }

    #[test]
    fn the_words_are_those_of_the_shaders() {
        let vector = Vector { row: -2, col: 6 };
        let golden =
            Block { size: BlockSize::B32, reference: Reference::Golden, vector, skip: true, ..Block::default() };
        assert_eq!(pack(&golden), [2 | 2 << 2 | 16, 0x0006_fffe]);
        let intra = Block { size: BlockSize::B16, mode: IntraMode::Paeth, ..Block::default() };
        assert_eq!(pack(&intra), [1 | 12 << 8, 0]);
    }
}
