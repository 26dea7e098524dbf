//! How superblocks are cut: the `partition` symbols (specification §5.11.4). Blocks are square, so that a node is one
//! block or four quarters.

use crate::av1::decisions::{BlockSize, Decisions};
use crate::av1::entropy::cdf::Cdfs;
use crate::av1::entropy::range_coder::RangeCoder;
use crate::av1::layout::Rect;

/// Writes whether the node of `size` at a cell is split. A node whose lower or right half lies outside the frame has
/// to be; where both do, nothing is written.
pub fn write(
    coder: &mut RangeCoder,
    cdfs: &mut Cdfs,
    decisions: &Decisions,
    tile: &Rect,
    (row, col): (usize, usize),
    size: BlockSize,
) {
    let layout = decisions.layout();
    // Of an 8×8 node half is half a cell, which is always there.
    let half = size.cells() / 2;
    let (has_rows, has_cols) = (row + half < layout.rows, col + half < layout.cols);
    let split = decisions.block(row, col).size < size;
    debug_assert!(split || (has_rows && has_cols), "a block of {size:?} at {row}, {col} is half outside the frame");
    let smaller = |row, col| decisions.block(row, col).size < size;
    let above = row > tile.top && smaller(row - 1, col);
    let left = col > tile.left && smaller(row, col - 1);
    let context = usize::from(left) * 2 + usize::from(above);
    let cdf = match size {
        BlockSize::B8 => &mut cdfs.partition_w8[context][..],
        BlockSize::B16 => &mut cdfs.partition_w16[context][..],
        BlockSize::B32 => &mut cdfs.partition_w32[context][..],
        BlockSize::B64 => &mut cdfs.partition_w64[context][..],
    };
    match (has_rows, has_cols) {
        (true, true) => coder.symbol(if split { SPLIT } else { NONE }, cdf, true),
        (false, true) => coder.fixed(1, &either(cdf, &VERTICAL_ALIKE)),
        (true, false) => coder.fixed(1, &either(cdf, &HORIZONTAL_ALIKE)),
        (false, false) => {}
    }
}

/// A choice between a split and a cut in the other direction (§8.3.2, `split_or_horz` and `split_or_vert`): `alike` are
/// the partitions whose probability the split gets.
fn either(cdf: &[u16], alike: &[usize; 6]) -> [u16; 3] {
    let split: u16 = alike.iter().map(|symbol| cdf[*symbol] - cdf[symbol - 1]).sum();
    [TOP - split, TOP, 0]
}

const NONE: usize = 0;
const SPLIT: usize = 3;

/// Vertical, split, horizontal A, vertical A, vertical B, vertical 4.
const VERTICAL_ALIKE: [usize; 6] = [2, 3, 4, 6, 7, 9];

/// Horizontal, split, horizontal A, horizontal B, vertical A, horizontal 4.
const HORIZONTAL_ALIKE: [usize; 6] = [1, 3, 4, 5, 6, 8];

/// Certainty.
const TOP: u16 = 1 << 15;
