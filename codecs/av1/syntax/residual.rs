//! Levels to symbols: what a block holds after its prediction (specification §5.11.34 to §5.11.39, contexts §8.3.2).
//!
//! In our subset a block has one transform a plane, of the block's own size; both transforms are two-dimensional and
//! share a scan. Hence the context of a luma block's `all_zero` is always 0, and every size of a context is a number of
//! cells: one entry a cell stands for the specification's 4×4 entries, which are always equal.

use crate::av1::decisions::{Block, Decisions, Transform};
use crate::av1::entropy::cdf::Cdfs;
use crate::av1::entropy::range_coder::RangeCoder;
use crate::av1::layout::{Layout, Rect, SUPERBLOCK};
use crate::av1::scan::scan;

/// What the blocks above and to the left had for levels, and scratch for the levels of the block at hand.
///
/// An entry is 0 where nothing was coded, else [`CODED`], plus [`POSITIVE`] or [`NEGATIVE`] for a DC level. So the sum
/// over a block's edge counts all three at once; edges have at most 4 cells.
#[derive(Clone, Debug)]
pub struct LevelContexts {
    above: [Vec<u16>; 3],
    left: [[u16; SUPERBLOCK]; 3],
    /// Magnitudes in rows of [`STRIDE`]: low byte at most 3, high byte at most 15. All zero between blocks.
    magnitudes: Box<[u16; STRIDE * STRIDE]>,
}

const NEGATIVE: u16 = 1;
const POSITIVE: u16 = 1 << 4;
const CODED: u16 = 1 << 8;

/// A row of 32 magnitudes and the two beyond it that contexts look at.
const STRIDE: usize = 34;

/// Magnitudes that contexts look at, counted from a level's own: to two columns and two rows further on.
const NEAR: usize = 2 * STRIDE + 1;

/// `NUM_BASE_LEVELS`: greatest magnitude that `coeff_base` says in full.
const BASE_LEVELS: u16 = 2;

/// Greatest magnitude without a Golomb code: `NUM_BASE_LEVELS + COEFF_BASE_RANGE`.
const CDF_LEVELS: u16 = 14;

impl LevelContexts {
    /// Contexts for tiles of frames of `layout`.
    pub fn new(layout: &Layout) -> Self {
        let cols = layout.superblock_cols() * SUPERBLOCK;
        Self {
            above: [(); 3].map(|()| vec![0; cols]),
            left: [[0; SUPERBLOCK]; 3],
            magnitudes: Box::new([0; STRIDE * STRIDE]),
        }
    }

    /// At the start of a tile.
    pub fn clear_tile(&mut self) {
        self.above.iter_mut().for_each(|above| above.fill(0));
        self.clear_left();
    }

    /// At the start of a row of superblocks.
    pub fn clear_left(&mut self) {
        self.left = [[0; SUPERBLOCK]; 3];
    }

    /// Sums of the entries above and to the left.
    fn sums(&self, plane: usize, edges: &Edges) -> (u16, u16) {
        let above = self.above[plane][edges.col..edges.right].iter().sum();
        (above, self.left[plane][edges.row..edges.bottom].iter().sum())
    }

    fn set(&mut self, plane: usize, edges: &Edges, entry: u16) {
        self.above[plane][edges.col..edges.right].fill(entry);
        self.left[plane][edges.row..edges.bottom].fill(entry);
    }
}

/// The cells of the frame that a block covers: columns of the frame, rows of the superblock. Entries beyond the frame
/// stay 0 and count for nothing, as the specification leaves them out.
struct Edges {
    col: usize,
    right: usize,
    row: usize,
    bottom: usize,
}

/// Writes the levels of the block that starts in a cell, Y, then U, then V, or clears the contexts of a skipped one.
pub fn write_block(
    coder: &mut RangeCoder,
    cdfs: &mut Cdfs,
    contexts: &mut LevelContexts,
    decisions: &Decisions,
    tile: &Rect,
    row: usize,
    col: usize,
) {
    let block = decisions.block(row, col);
    let side = block.size.cells();
    let upper = row % SUPERBLOCK;
    let edges =
        Edges { col, right: (col + side).min(tile.right), row: upper, bottom: upper + side.min(tile.bottom - row) };
    if block.skip {
        (0..3).for_each(|plane| contexts.set(plane, &edges, 0));
        return;
    }
    let ends = decisions.ends[decisions.layout().cell(row, col)];
    for (plane, end) in ends.into_iter().enumerate() {
        let side = block.transform_side(plane);
        let levels = &decisions.levels(plane, row, col, side)[..end.into()];
        let (above, left) = contexts.sums(plane, &edges);
        let size = side.ilog2() as usize - 2;
        let all_zero = if plane == 0 { 0 } else { 7 + usize::from(above != 0) + usize::from(left != 0) };
        coder.bool(levels.is_empty(), &mut cdfs.txb_skip[size][all_zero]);
        let Some(dc) = levels.first() else {
            contexts.set(plane, &edges, 0);
            continue;
        };
        if plane == 0 {
            transform_type(coder, cdfs, block, size);
        }
        let kind = usize::from(plane > 0);
        end_of_block(coder, cdfs, size, kind, levels.len());
        let steps = &STEPS[START[size]..START[size + 1]];
        magnitudes(coder, cdfs, &mut contexts.magnitudes, (size, kind), levels, steps);
        signs(coder, &mut cdfs.dc_sign[kind][sign_context(above + left)], levels);
        let sign = [NEGATIVE, 0, POSITIVE][(dc.signum() + 1) as usize];
        contexts.set(plane, &edges, CODED + sign);
    }
}

/// The context of a DC level's sign: 0 as many of either, 1 more negative, 2 more positive ones around.
fn sign_context(sum: u16) -> usize {
    let (negative, positive) = (sum % POSITIVE, sum % CODED / POSITIVE);
    match positive.cmp(&negative) {
        std::cmp::Ordering::Equal => 0,
        std::cmp::Ordering::Less => 1,
        std::cmp::Ordering::Greater => 2,
    }
}

/// `transform_type` (§5.11.47): with the reduced set all that inter blocks can choose from is identity and DCT, in this
/// order; intra blocks have more, up to 16×16, and DCT only at 32×32.
fn transform_type(coder: &mut RangeCoder, cdfs: &mut Cdfs, block: &Block, size: usize) {
    let symbol = usize::from(block.transform == Transform::Dct);
    if block.is_inter() {
        coder.level(symbol, &mut cdfs.inter_tx_type_set3[size]);
    } else if let Some(cdfs) = cdfs.intra_tx_type_set2.get_mut(size) {
        coder.level(symbol, &mut cdfs[block.mode as usize]);
    } else {
        debug_assert_eq!(block.transform, Transform::Dct, "intra blocks of 32×32 have no other");
    }
}

/// `eob_pt` and what follows it: a power of two, then the rest in binary, its highest bit with a CDF.
fn end_of_block(coder: &mut RangeCoder, cdfs: &mut Cdfs, size: usize, kind: usize, end: usize) {
    let class = if end == 1 { 0 } else { (end - 1).ilog2() as usize + 1 };
    match size {
        0 => coder.level(class, &mut cdfs.eob_pt_16[kind][0]),
        1 => coder.level(class, &mut cdfs.eob_pt_64[kind][0]),
        2 => coder.level(class, &mut cdfs.eob_pt_256[kind][0]),
        _ => coder.level(class, &mut cdfs.eob_pt_1024[kind]),
    }
    if class >= 2 {
        let bits = class as u32 - 1;
        let rest = (end - 1) as u32;
        coder.bool(rest >> (bits - 1) & 1 == 1, &mut cdfs.eob_extra[size][kind][class - 2]);
        coder.literal(rest, bits - 1);
    }
}

/// Magnitudes up to 15, from the last level to the first.
fn magnitudes(
    coder: &mut RangeCoder,
    cdfs: &mut Cdfs,
    magnitudes: &mut [u16; STRIDE * STRIDE],
    (size, kind): (usize, usize),
    levels: &[i16],
    steps: &[Step],
) {
    let base = &mut cdfs.coeff_base[size][kind];
    let range = &mut cdfs.coeff_br[size][kind];
    for (level, step) in levels.iter().zip(steps) {
        let magnitude = level.unsigned_abs();
        magnitudes[usize::from(step.at)] = magnitude.min(CDF_LEVELS + 1) << 8 | magnitude.min(BASE_LEVELS + 1);
    }
    let mut is_last = true;
    for (n, step) in steps[..levels.len()].iter().enumerate().rev() {
        let Some(near) = magnitudes[step.at.into()..].first_chunk::<NEAR>() else { continue };
        let nearest = near[1] + near[STRIDE] + near[STRIDE + 1];
        let symbol = usize::from(near[0] & 0xff);
        if is_last {
            debug_assert!(symbol > 0, "the last level is not 0");
            let context = match n {
                0 => 0,
                n if n <= steps.len() / 8 => 1,
                n if n <= steps.len() / 4 => 2,
                _ => 3,
            };
            coder.level(symbol - 1, &mut cdfs.coeff_base_eob[size][kind][context]);
            is_last = false;
        } else {
            let sum = (nearest & 0xff) + (near[2] & 0xff) + (near[2 * STRIDE] & 0xff);
            let context = if n == 0 { 0 } else { usize::from(step.base) + usize::from(sum).div_ceil(2).min(4) };
            coder.level(symbol, &mut base[context]);
        }
        if symbol > BASE_LEVELS.into() {
            let context = usize::from(step.range) + usize::from(nearest >> 8).div_ceil(2).min(6);
            let cdf = &mut range[context];
            let mut rest = usize::from(near[0] >> 8) - symbol;
            for _ in 0..4 {
                let part = rest.min(3);
                coder.level(part, cdf);
                rest -= part;
                if part < 3 {
                    break;
                }
            }
        }
    }
    steps[..levels.len()].iter().for_each(|step| magnitudes[usize::from(step.at)] = 0);
}

/// Signs and what magnitudes have beyond 14, from the first level to the last.
fn signs(coder: &mut RangeCoder, dc_sign: &mut [u16; 3], levels: &[i16]) {
    for (n, level) in levels.iter().enumerate().filter(|(_, level)| **level != 0) {
        match n {
            0 => coder.bool(*level < 0, dc_sign),
            _ => coder.literal((*level < 0).into(), 1),
        }
        let magnitude = level.unsigned_abs();
        if magnitude > CDF_LEVELS {
            coder.golomb((magnitude - CDF_LEVELS).into());
        }
    }
}

/// What is known of a level from its place in the scan.
#[derive(Clone, Copy)]
struct Step {
    /// Its place among the magnitudes.
    at: u16,
    /// `Coeff_Base_Ctx_Offset`: for square transforms a matter of the anti-diagonal.
    base: u8,
    /// What `coeff_br` adds to its context.
    range: u8,
}

/// Where the steps of transforms of side 4, 8, 16, 32 start.
const START: [usize; 5] = [0, 16, 80, 336, 1360];

static STEPS: [Step; 1360] = {
    let mut steps = [Step { at: 0, base: 0, range: 0 }; 1360];
    let mut size = 0;
    while size < 4 {
        let side = 4 << size;
        let mut n = 0;
        while n < side * side {
            let position = scan(side)[n] as usize;
            let (row, col) = (position / side, position % side);
            steps[START[size] + n] = Step {
                at: (row * STRIDE + col) as u16,
                base: match row + col {
                    0 => 0,
                    1 => 1,
                    2 | 3 => 6,
                    _ => 21,
                },
                range: if n == 0 {
                    0
                } else if row < 2 && col < 2 {
                    7
                } else {
                    14
                },
            };
            n += 1;
        }
        size += 1;
    }
    steps
};
