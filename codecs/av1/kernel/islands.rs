//! Intra blocks of inter frames, in islands no deeper than eight: what is predicted from its neighbours waits for them,
//! and a GPU waits a step for each.
//!
//! Input: block records, and the vectors found by the search. Output: block records. The depth of an intra block is one
//! more than the greatest of those to its left, above, and above to the left, counted on blocks of 16×16; at nine it
//! becomes an inter block, of depth 0, with the vector found for it.

use super::search::Grid;
use super::subpel::Fine;
use crate::av1::decisions::{Block, BlockSize, Decisions, Reference};

/// Steps in which a frame's intra blocks can be predicted.
pub const DEEPEST: u8 = 8;

/// Limits the depths of all islands. `depths` is room for one a 16×16.
pub fn limit(decisions: &mut Decisions, fine: &Fine, depths: &mut Vec<u8>) {
    let layout = *decisions.layout();
    let grid = Grid::of(&layout, 16);
    depths.clear();
    depths.resize(grid.len(), 0);
    for step in 0..grid.rows + grid.cols - 1 {
        for row in step.saturating_sub(grid.cols - 1)..=step.min(grid.rows - 1) {
            let col = step - row;
            let size = decisions.block(2 * row, 2 * col).size;
            // The quarter of a 32×32 above to the right comes when all around is known, and speaks for the four.
            let large = size == BlockSize::B32;
            if large && (row % 2 != 0 || col % 2 != 1) {
                continue;
            }
            let (col, cells) = if large { (col - 1, 2) } else { (col, 1) };
            if !has_intra(decisions, row, col, cells) {
                continue;
            }
            let mut depth = around(depths, grid, row, col, cells) + 1;
            if depth > DEEPEST {
                turn_inter(decisions, fine, row, col, cells);
                depth = 0;
            }
            for i in 0..cells * cells {
                depths[(row + i / cells) * grid.cols + col + i % cells] = depth;
            }
        }
    }
}

/// The greatest depth of what one of `cells` 16×16 a side is predicted from.
fn around(depths: &[u8], grid: Grid, row: usize, col: usize, cells: usize) -> u8 {
    let at =
        |row: Option<usize>, col: Option<usize>| row.zip(col).map_or(0, |(row, col)| depths[row * grid.cols + col]);
    let (above, left) = (row.checked_sub(1), col.checked_sub(1));
    let sides = (0..cells).flat_map(|i| [at(Some(row + i), left), at(above, Some(col + i))]);
    sides.chain([at(above, left)]).max().unwrap_or(0)
}

/// The cells of 8×8 in `cells` 16×16 a side, as far as the frame goes.
fn covered(
    decisions: &Decisions,
    row: usize,
    col: usize,
    cells: usize,
) -> impl Iterator<Item = (usize, usize)> + use<> {
    let layout = *decisions.layout();
    let all = (0..2 * cells).flat_map(move |down| (0..2 * cells).map(move |right| (2 * row + down, 2 * col + right)));
    all.filter(move |(row, col)| *row < layout.rows && *col < layout.cols)
}

fn has_intra(decisions: &Decisions, row: usize, col: usize, cells: usize) -> bool {
    covered(decisions, row, col, cells).any(|(row, col)| !decisions.block(row, col).is_inter())
}

fn turn_inter(decisions: &mut Decisions, fine: &Fine, row: usize, col: usize, cells: usize) {
    let layout = *decisions.layout();
    for (row, col) in covered(decisions, row, col, cells) {
        let block = *decisions.block(row, col);
        let vectors = match block.size {
            BlockSize::B8 => &fine.by8,
            BlockSize::B16 => &fine.by16,
            _ => &fine.by32,
        };
        let cells = block.size.cells();
        let vector = vectors[row / cells * Grid::of(&layout, block.size.side()).cols + col / cells];
        if !block.is_inter() {
            let inter = Block { size: block.size, reference: Reference::Last, vector, ..Block::default() };
            decisions.blocks[layout.cell(row, col)] = inter;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Size;
    use crate::av1::decisions::Vector;
    use crate::av1::layout::Layout;

    fn vectors(layout: &Layout) -> Fine {
        let of = |side: usize| vec![Vector { row: side as i16, col: -2 }; Grid::of(layout, side).len()];
        Fine { by8: of(8), by16: of(16), by32: of(32), ..Fine::default() }
    }

    #[test]
    fn a_frame_of_intra_blocks_is_broken_where_it_gets_too_deep() {
        let layout = Layout::new(Size::new(320, 200), Default::default());
        let mut decisions = Decisions::new(&layout);
        for (row, col) in (0..layout.rows).step_by(2).flat_map(|row| (0..layout.cols).step_by(2).map(move |c| (row, c)))
        {
            let size = if row + 2 > layout.rows { BlockSize::B8 } else { BlockSize::B16 };
            decisions.set_block(row, col, Block { size, ..Block::default() });
        }
        decisions.blocks[24 * layout.cols + 1] = Block::default();
        let mut depths = Vec::new();
        limit(&mut decisions, &vectors(&layout), &mut depths);
        for (row, col) in (0..layout.rows).flat_map(|row| (0..layout.cols).map(move |col| (row, col))) {
            let block = decisions.block(row, col);
            if row / 2 + col / 2 <= 8 {
                assert_eq!(block.is_inter(), row / 2 + col / 2 == 8, "{row} {col}");
            }
            if block.is_inter() {
                assert_eq!(block.vector.row, block.size.side() as i16);
            }
        }
        // The longest way through blocks that wait for each other.
        let grid = Grid::of(&layout, 16);
        let mut longest = vec![0; grid.len()];
        for (i, row, col) in (0..grid.len()).map(|i| (i, i / grid.cols, i % grid.cols)) {
            let before = [(1, 0), (0, 1), (1, 1)].into_iter();
            let before = before.filter_map(|(r, c)| Some(row.checked_sub(r)? * grid.cols + col.checked_sub(c)?));
            let most = before.map(|at| longest[at]).max().unwrap_or(0);
            longest[i] = if decisions.block(2 * row, 2 * col).is_inter() { 0 } else { most + 1 };
        }
        assert_eq!(longest, depths);
        assert_eq!(depths.iter().max(), Some(&DEEPEST));
    }

    #[test]
    fn islands_among_inter_blocks_stay() {
        let layout = Layout::new(Size::new(256, 256), Default::default());
        let mut decisions = Decisions::new(&layout);
        decisions.blocks.fill(Block { size: BlockSize::B32, reference: Reference::Last, ..Block::default() });
        decisions.set_block(8, 8, Block { size: BlockSize::B32, ..Block::default() });
        decisions.set_block(12, 12, Block { size: BlockSize::B32, ..Block::default() });
        let before = decisions.clone();
        let mut depths = Vec::new();
        limit(&mut decisions, &vectors(&layout), &mut depths);
        assert_eq!(decisions, before);
        // The second touches the first at its corner.
        assert_eq!([depths[4 * 16 + 4], depths[5 * 16 + 5], depths[6 * 16 + 7], depths[0]], [1, 1, 2, 0]);
    }
}
