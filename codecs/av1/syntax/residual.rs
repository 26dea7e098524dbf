//! tmp
use crate::av1::{
    decisions::Decisions,
    entropy::{cdf::Cdfs, range_coder::RangeCoder},
    layout::*,
};
/// x
pub struct LevelContexts;
impl LevelContexts {
    /// x
    pub fn new(_: &Layout) -> Self {
        Self
    }
    /// x
    pub fn clear_tile(&mut self) {}
    /// x
    pub fn clear_left(&mut self) {}
}
/// x
pub fn write_block(
    coder: &mut RangeCoder,
    cdfs: &mut Cdfs,
    _: &mut LevelContexts,
    d: &Decisions,
    _tile: &Rect,
    row: usize,
    col: usize,
) {
    let b = d.block(row, col);
    if b.skip {
        return;
    }
    let n = match b.size.side() {
        8 => 1,
        16 => 2,
        32 => 3,
        _ => 4,
    };
    coder.bool(true, &mut cdfs.txb_skip[n][0]);
    for _ in 0..2 {
        coder.bool(true, &mut cdfs.txb_skip[n - 1][7]);
    }
}
