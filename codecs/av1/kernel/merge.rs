//! Four skipped quarters that move alike are one skipped block: fewer symbols, the same prediction.
//!
//! Chroma of 8×8 blocks is filtered with four taps and that of greater ones with eight, so that 8×8 blocks are merged only
//! where chroma moves by whole samples.
//!
//! Reads and writes block records. Sizes are merged from the smallest upwards; all quads of one size are independent.

use crate::av1::decisions::{Block, BlockSize, Decisions};

/// Merges wherever it can be done.
pub fn frame(decisions: &mut Decisions) {
    let layout = *decisions.layout();
    for (size, whole) in
        [(BlockSize::B8, BlockSize::B16), (BlockSize::B16, BlockSize::B32), (BlockSize::B32, BlockSize::B64)]
    {
        let (step, half) = (whole.cells(), size.cells());
        for row in (0..layout.rows).step_by(step) {
            for col in (0..layout.cols).step_by(step) {
                if row + step > layout.rows || col + step > layout.cols {
                    continue;
                }
                let first = *decisions.block(row, col);
                let same = |block: &Block| *block == first;
                let alike = [(0, half), (half, 0), (half, half)]
                    .into_iter()
                    .all(|(down, right)| same(decisions.block(row + down, col + right)));
                let whole_chroma = (first.vector.row | first.vector.col) & 15 == 0;
                let exact = size != BlockSize::B8 || whole_chroma;
                if first.size == size && first.is_inter() && first.skip && alike && exact {
                    let cell = layout.cell(row, col);
                    decisions.ends[cell] = [0; 3];
                    decisions.set_block(row, col, Block { size: whole, ..first });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Size;
    use crate::av1::decisions::{Reference, Vector};
    use crate::av1::layout::Layout;

    #[test]
    fn still_areas_become_whole_superblocks_and_others_stay() {
        let mut decisions = Decisions::new(&Layout::new(Size::new(192, 136), Default::default()));
        let still = Block { reference: Reference::Last, skip: true, ..Block::default() };
        decisions.blocks.fill(still);
        decisions.set_block(8, 8, Block { vector: Vector { row: 2, col: 0 }, ..still });
        frame(&mut decisions);
        assert_eq!(decisions.block(0, 0).size, BlockSize::B64);
        assert_eq!(decisions.block(8, 8).size, BlockSize::B8);
        assert_eq!(decisions.block(12, 12).size, BlockSize::B32);
        // The last row of cells has no room for more.
        assert_eq!(decisions.block(16, 0).size, BlockSize::B8);
    }
}
