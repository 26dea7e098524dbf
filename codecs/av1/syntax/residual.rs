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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Size;
    use crate::av1::decisions::{BlockSize, IntraMode, Reference};
    use crate::av1::entropy::decoder::Decoder;
    use crate::av1::layout::Tiles;

    /// `coeffs` as the specification has it (§5.11.39, §8.3.2): contexts at every 4×4 of the frame, neighbours looked up
    /// one by one.
    struct Model<'a> {
        decoder: Decoder<'a>,
        cdfs: Cdfs,
        layout: Layout,
        above: [Vec<(u32, u8)>; 3],
        left: [Vec<(u32, u8)>; 3],
    }

    impl<'a> Model<'a> {
        fn new(bytes: &'a [u8], cdfs: &Cdfs, layout: &Layout) -> Self {
            let fresh = || vec![(0, 0); 2 * layout.rows.max(layout.cols) + 32];
            let (above, left) = ([(); 3].map(|()| fresh()), [(); 3].map(|()| fresh()));
            Self { decoder: Decoder::new(bytes), cdfs: *cdfs, layout: *layout, above, left }
        }

        fn clear_left(&mut self) {
            self.left.iter_mut().for_each(|left| left.fill((0, 0)));
        }

        fn reset_block_context(&mut self, row: usize, col: usize, side: usize) {
            for plane in 0..3 {
                let shift = usize::from(plane > 0);
                self.above[plane][(2 * col) >> shift..(2 * (col + side)) >> shift].fill((0, 0));
                self.left[plane][(2 * row) >> shift..(2 * (row + side)) >> shift].fill((0, 0));
            }
        }

        /// Levels in scan order and the transform type's symbol.
        fn coeffs(&mut self, plane: usize, block: &Block, row: usize, col: usize) -> (Vec<i32>, Option<usize>) {
            let shift = usize::from(plane > 0);
            let side = block.transform_side(plane);
            let (size, kind, cells) = (side.ilog2() as usize - 2, shift, side / 4);
            let (x4, y4) = ((2 * col) >> shift, (2 * row) >> shift);
            let (max_x4, max_y4) = ((2 * self.layout.cols) >> shift, (2 * self.layout.rows) >> shift);
            let above: Vec<_> = (x4..(x4 + cells).min(max_x4)).map(|x| self.above[plane][x]).collect();
            let left: Vec<_> = (y4..(y4 + cells).min(max_y4)).map(|y| self.left[plane][y]).collect();

            let coded = |edge: &[(u32, u8)]| usize::from(edge.iter().any(|(level, dc)| *level != 0 || *dc != 0));
            let context = if plane == 0 { 0 } else { 7 + coded(&above) + coded(&left) };
            let all_zero = self.decoder.symbol(&mut self.cdfs.txb_skip[size][context]) == 1;
            let mut transform = None;
            let (mut levels, mut sum, mut category) = (Vec::new(), 0, 0);
            if !all_zero {
                if plane == 0 && block.is_inter() {
                    transform = Some(self.decoder.symbol(&mut self.cdfs.inter_tx_type_set3[size]));
                } else if plane == 0 && size < 3 {
                    let cdf = &mut self.cdfs.intra_tx_type_set2[size][block.mode as usize];
                    transform = Some(self.decoder.symbol(cdf));
                }
                let end = self.end(size, kind);
                let mut quant = vec![0i32; side * side];
                for c in (0..end).rev() {
                    self.magnitude(&mut quant, side, kind, c, c == end - 1);
                }
                for c in 0..end {
                    let position = usize::from(scan(side)[c]);
                    let mut level = quant[position];
                    let is_negative = level != 0
                        && if c == 0 {
                            let context = dc_sign_context(above.iter().chain(&left));
                            self.decoder.symbol(&mut self.cdfs.dc_sign[kind][context]) == 1
                        } else {
                            self.decoder.literal(1) == 1
                        };
                    if level > 14 {
                        level = self.decoder.golomb() as i32 + 14;
                    }
                    if position == 0 && level > 0 {
                        category = if is_negative { 1 } else { 2 };
                    }
                    sum += level as u32;
                    levels.push(if is_negative { -level } else { level });
                }
            }
            self.above[plane][x4..x4 + cells].fill((sum.min(63), category));
            self.left[plane][y4..y4 + cells].fill((sum.min(63), category));
            (levels, transform)
        }

        fn end(&mut self, size: usize, kind: usize) -> usize {
            let cdfs = &mut self.cdfs;
            let pt = 1 + match size {
                0 => self.decoder.symbol(&mut cdfs.eob_pt_16[kind][0]),
                1 => self.decoder.symbol(&mut cdfs.eob_pt_64[kind][0]),
                2 => self.decoder.symbol(&mut cdfs.eob_pt_256[kind][0]),
                _ => self.decoder.symbol(&mut cdfs.eob_pt_1024[kind]),
            };
            if pt < 3 {
                return pt;
            }
            let mut end = (1 << (pt - 2)) + 1;
            if self.decoder.symbol(&mut cdfs.eob_extra[size][kind][pt - 3]) == 1 {
                end += 1 << (pt - 3);
            }
            for i in 1..pt - 2 {
                if self.decoder.literal(1) == 1 {
                    end += 1 << (pt - 2 - 1 - i);
                }
            }
            end
        }

        fn magnitude(&mut self, quant: &mut [i32], side: usize, kind: usize, c: usize, is_last: bool) {
            let size = side.ilog2() as usize - 2;
            let position = usize::from(scan(side)[c]);
            let (row, col) = (position / side, position % side);
            let sum = |offsets: &[(usize, usize)], most: i32| -> usize {
                let inside = offsets.iter().filter(|(down, right)| row + down < side && col + right < side);
                inside.map(|(down, right)| quant[(row + down) * side + col + right].min(most) as usize).sum()
            };
            let mut level = if is_last {
                let context = match c {
                    0 => 0,
                    _ if c <= side * side / 8 => 1,
                    _ if c <= side * side / 4 => 2,
                    _ => 3,
                };
                1 + self.decoder.symbol(&mut self.cdfs.coeff_base_eob[size][kind][context])
            } else {
                let offset = [[0, 1, 6, 6, 21], [1, 6, 6, 21, 21], [6, 6, 21, 21, 21], [6, 21, 21, 21, 21], [21; 5]];
                let magnitude = sum(&[(0, 1), (1, 0), (1, 1), (0, 2), (2, 0)], 3);
                let context = match (row, col) {
                    (0, 0) => 0,
                    _ => magnitude.div_ceil(2).min(4) + offset[row.min(4)][col.min(4)],
                };
                self.decoder.symbol(&mut self.cdfs.coeff_base[size][kind][context])
            };
            if level > 2 {
                let magnitude = sum(&[(0, 1), (1, 0), (1, 1)], 15).div_ceil(2).min(6);
                let context = match (row, col) {
                    (0, 0) => magnitude,
                    (0 | 1, 0 | 1) => magnitude + 7,
                    _ => magnitude + 14,
                };
                for _ in 0..4 {
                    let more = self.decoder.symbol(&mut self.cdfs.coeff_br[size][kind][context]);
                    level += more;
                    if more < 3 {
                        break;
                    }
                }
            }
            quant[position] = level as i32;
        }
    }

    fn dc_sign_context<'a>(edges: impl Iterator<Item = &'a (u32, u8)>) -> usize {
        let sum: i32 = edges.map(|(_, category)| [0, -1, 1][usize::from(*category)]).sum();
        [1, 0, 2][(sum.signum() + 1) as usize]
    }

    /// Blocks of every kind at random, with levels from sparse to dense and from small to the greatest.
    fn random_decisions(random: &mut fastrand::Rng, layout: &Layout) -> Decisions {
        let mut decisions = Decisions::new(layout);
        for row in (0..layout.rows).step_by(SUPERBLOCK) {
            for col in (0..layout.cols).step_by(SUPERBLOCK) {
                random_node(random, &mut decisions, row, col, BlockSize::B64);
            }
        }
        decisions
    }

    fn random_node(random: &mut fastrand::Rng, decisions: &mut Decisions, row: usize, col: usize, size: BlockSize) {
        let layout = *decisions.layout();
        if row >= layout.rows || col >= layout.cols {
            return;
        }
        if let Some(quarter) = size.quarter().filter(|_| random.u8(..10) < 7) {
            let half = quarter.cells();
            for (down, right) in [(0, 0), (0, half), (half, 0), (half, half)] {
                random_node(random, decisions, row + down, col + right, quarter);
            }
            return;
        }
        let is_inter = size == BlockSize::B64 || random.bool();
        let mut block = Block { size, skip: size == BlockSize::B64 || random.u8(..4) == 0, ..Block::default() };
        block.reference = if is_inter { Reference::Last } else { Reference::Intra };
        block.mode = IntraMode::ALL[random.usize(..IntraMode::ALL.len())];
        if random.bool() && (is_inter || size < BlockSize::B32) {
            block.transform = Transform::Identity;
        }
        decisions.set_block(row, col, block);
        let cell = layout.cell(row, col);
        for plane in 0..3 {
            let side = block.transform_side(plane);
            let most = if random.u8(..4) == 0 { 0 } else { (side * side) >> random.u8(..10) };
            let end = random.usize(..=most);
            let greatest = [1, 3, 16, 300, i16::MAX][random.usize(..5)];
            let zeros = random.f32();
            let levels = &mut decisions.levels_mut(plane, row, col, side)[..end];
            for level in &mut *levels {
                *level = if random.f32() < zeros { 0 } else { random.i16(-greatest..=greatest) };
            }
            if let Some(last) = levels.last_mut() {
                *last = if random.bool() { greatest } else { -1 };
            }
            decisions.ends[cell][plane] = end as u16;
        }
    }

    /// Calls `visit` for every block of a tile in coding order, and before each row of superblocks with `None`.
    fn walk(decisions: &Decisions, tile: &Rect, visit: &mut impl FnMut(Option<(usize, usize)>)) {
        fn node(decisions: &Decisions, at: (usize, usize), size: BlockSize, visit: &mut impl FnMut((usize, usize))) {
            let (row, col) = at;
            if row >= decisions.layout().rows || col >= decisions.layout().cols {
                return;
            }
            match size.quarter() {
                Some(quarter) if decisions.block(row, col).size < size => {
                    let half = quarter.cells();
                    for (down, right) in [(0, 0), (0, half), (half, 0), (half, half)] {
                        node(decisions, (row + down, col + right), quarter, visit);
                    }
                }
                _ => visit(at),
            }
        }
        for row in (tile.top..tile.bottom).step_by(SUPERBLOCK) {
            visit(None);
            for col in (tile.left..tile.right).step_by(SUPERBLOCK) {
                node(decisions, (row, col), BlockSize::B64, &mut |at| visit(Some(at)));
            }
        }
    }

    #[test]
    fn levels_of_every_kind_read_back_by_the_specification() {
        let mut random = fastrand::Rng::with_seed(5);
        let mut coder = RangeCoder::new();
        for size in [(16, 16), (24, 40), (64, 64), (66, 50), (130, 98), (322, 182)] {
            let tiles = Tiles { cols_log2: random.u8(..2), rows_log2: random.u8(..2) };
            let layout = Layout::new(Size::new(size.0, size.1), tiles);
            let mut contexts = LevelContexts::new(&layout);
            for quantizer in [1, 40, 100, 200] {
                let decisions = random_decisions(&mut random, &layout);
                let start = Cdfs::default_for(quantizer);
                for tile in layout.all_tiles() {
                    let mut cdfs = start;
                    contexts.clear_tile();
                    walk(&decisions, &tile, &mut |at| match at {
                        None => contexts.clear_left(),
                        Some((row, col)) => {
                            write_block(&mut coder, &mut cdfs, &mut contexts, &decisions, &tile, row, col)
                        }
                    });
                    let mut bytes = Vec::new();
                    coder.finish(&mut bytes);

                    let mut model = Model::new(&bytes, &start, &layout);
                    walk(&decisions, &tile, &mut |at| {
                        let Some((row, col)) = at else { return model.clear_left() };
                        let block = decisions.block(row, col);
                        if block.skip {
                            return model.reset_block_context(row, col, block.size.cells());
                        }
                        for plane in 0..3 {
                            let (levels, transform) = model.coeffs(plane, block, row, col);
                            let end = decisions.ends[layout.cell(row, col)][plane].into();
                            let coded = &decisions.levels(plane, row, col, block.transform_side(plane))[..end];
                            assert!(coded.iter().map(|level| i32::from(*level)).eq(levels), "{size:?} {row} {col}");
                            if let Some(transform) = transform {
                                assert_eq!(transform == 1, block.transform == Transform::Dct);
                            }
                        }
                    });
                    model.decoder.exit();
                    assert_eq!(model.cdfs, cdfs);
                }
            }
        }
    }
}
