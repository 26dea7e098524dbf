//! From the words that come back to decisions: the layout of compact.wgsl, read from front to end.

use crate::av1::decisions::{Block, BlockSize, Decisions, IntraMode, Reference, Vector, from_z_order};
use crate::av1::layout::SUPERBLOCK;

/// Fills blocks, ends and levels of `decisions` from `words`; false where these are not what the shader writes.
pub(super) fn unpack(words: &[u32], decisions: &mut Decisions) -> bool {
    read(words, decisions).is_some()
}

fn read(mut words: &[u32], decisions: &mut Decisions) -> Option<()> {
    let layout = *decisions.layout();
    for superblock in 0..layout.superblock_cols() * layout.superblock_rows() {
        let (row, col) = (superblock / layout.superblock_cols(), superblock % layout.superblock_cols());
        let mut z = 0;
        while z < SUPERBLOCK * SUPERBLOCK {
            let (down, across) = from_z_order(z);
            let (row, col) = (row * SUPERBLOCK + down, col * SUPERBLOCK + across);
            if row >= layout.rows || col >= layout.cols {
                z += 1;
                continue;
            }
            let block = block(*words.split_off_first()?)?;
            let cells = block.size.cells();
            if row % cells != 0 || col % cells != 0 {
                return None;
            }
            decisions.set_block(row, col, block);
            let ends = &mut decisions.ends[layout.cell(row, col)];
            *ends = [0; 3];
            if !block.skip {
                let head = *words.split_off_first()?;
                *ends = [head & 0x7ff, head >> 11 & 0x1ff, head >> 20 & 0x1ff].map(|end| end as u16);
                let (ends, log2) = (*ends, 2 + (head >> 29 & 3));
                for (plane, end) in ends.into_iter().map(usize::from).enumerate() {
                    let taken = words.split_off(..(end << log2).div_ceil(32))?;
                    let side = block.transform_side(plane);
                    let levels = decisions.levels_mut(plane, row, col, side).get_mut(..end)?;
                    expand(taken, log2, levels);
                }
            }
            z += cells * cells;
        }
    }
    words.is_empty().then_some(())
}

/// Levels of 2^`log2` bits each, 4 to 16.
fn expand(words: &[u32], log2: u32, levels: &mut [i16]) {
    let (each, bits) = (32usize >> log2, 1u32 << log2);
    for (word, levels) in words.iter().zip(levels.chunks_mut(each)) {
        for (i, level) in (0..).zip(levels) {
            *level = ((word >> (i * bits) << (32 - bits)) as i32 >> (32 - bits)) as i16;
        }
    }
}

fn block(word: u32) -> Option<Block> {
    let size = [BlockSize::B8, BlockSize::B16, BlockSize::B32, BlockSize::B64][(word & 3) as usize];
    let skip = word & 16 != 0;
    let reference = match word >> 2 & 3 {
        0 => {
            let mode = IntraMode::ALL.into_iter().find(|mode| *mode as u32 == word >> 5 & 15)?;
            return Some(Block { size, mode, skip, ..Block::default() });
        }
        1 => Reference::Last,
        _ => Reference::Golden,
    };
    // Quarter samples in 13 bits, signed.
    let component = |at: u32| ((word << (19 - at)) as i32 >> 19) as i16 * 2;
    let vector = Vector { row: component(5), col: component(18) };
    Some(Block { size, reference, vector, skip, ..Block::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Size;
    use crate::av1::layout::Layout;

    #[test]
    fn words_become_blocks_and_levels() {
        let mut decisions = Decisions::new(&Layout::new(Size::new(16, 16), Default::default()));
        let vector = ((-3i32 as u32 & 0x1fff) << 5) | (4095 << 18);
        // A skipped 8×8, an intra one with 9 levels of 4 bits and 2 of U, two more that are skipped.
        let words = [16 | 4 | vector, 12 << 5, 9 | 2 << 11, 0xf000_0071, 0x8, 0x2f, 20, 20];
        assert!(unpack(&words, &mut decisions));
        assert_eq!(decisions.block(0, 0).vector, Vector { row: -6, col: 8190 });
        assert_eq!((decisions.block(0, 1).mode, decisions.block(0, 1).skip), (IntraMode::Paeth, false));
        assert_eq!(decisions.ends[1], [9, 2, 0]);
        assert_eq!(decisions.levels(0, 0, 1, 8)[..9], [1, 7, 0, 0, 0, 0, 0, -1, -8]);
        assert_eq!(decisions.levels(1, 0, 1, 4)[..2], [-1, 2]);
        for wrong in [&words[..7], &words[..3], &[words.as_slice(), &[0]].concat(), &[]] {
            assert!(!unpack(wrong, &mut decisions));
        }
    }
}
