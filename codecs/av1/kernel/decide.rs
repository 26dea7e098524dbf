//! Modes and partition: the cheapest way to say each block, compared from 8×8 upwards.
//!
//! Input: source and references, vectors by block size. Output: a [`Block`] record in every cell. Costs of all blocks of
//! one size are independent of each other; intra candidates are predicted from the source around them, so that no block
//! waits for another. Luma alone decides; what that leaves of chroma is mended when blocks are coded (`reconstruct.rs`).

use super::cost::Costs;
use super::distance::satd;
use super::predict::{self, Edges, Place};
use super::search::Grid;
use super::subpel::Fine;
use super::transform::Coefficients;
use crate::av1::decisions::{Block, BlockSize, Decisions, IntraMode, Reference, Vector};
use crate::av1::frame::{Frame, Samples};
use crate::av1::layout::{CELL, Layout};
use crate::av1::threads::Threads;

/// The cheapest way to code a block as one, or its quarters if they are cheaper.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Choice {
    pub(crate) cost: u32,
    pub(crate) block: Block,
}

/// Costs of every block of three sizes; kept from frame to frame for its memory.
#[derive(Clone, Debug, Default)]
pub struct Decide {
    pub(crate) by8: Vec<Choice>,
    pub(crate) by16: Vec<Choice>,
    pub(crate) by32: Vec<Choice>,
}

/// Room for one block's prediction, residual and coefficients.
#[derive(Clone, Debug)]
struct Room {
    predicted: [u8; 1024],
    residual: [i16; 1024],
    coefficients: Coefficients,
}

impl Default for Room {
    fn default() -> Self {
        Self { predicted: [0; 1024], residual: [0; 1024], coefficients: Coefficients::default() }
    }
}

/// What the decision looks at.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The picture.
    pub source: &'a Frame,
    /// The frame before and its vectors; `None` for a key frame.
    pub last: Option<(&'a Frame, &'a Fine)>,
    /// The long-term reference, where it is another frame.
    pub golden: Option<&'a Frame>,
}

impl Decide {
    /// Fills `decisions.blocks`. Skip flags are those expected; coding sets them for good.
    pub fn run(&mut self, threads: &Threads, view: View<'_>, costs: &Costs, decisions: &mut Decisions) {
        let layout = *decisions.layout();
        self.choose(threads, view, costs, &layout);
        self.join(&layout, costs, BlockSize::B16);
        self.join(&layout, costs, BlockSize::B32);
        for row in (0..layout.rows).step_by(4) {
            for col in (0..layout.cols).step_by(4) {
                self.record(&layout, decisions, BlockSize::B32, row, col);
            }
        }
    }

    /// The cheapest way to code each block of each size as one.
    pub(crate) fn choose(&mut self, threads: &Threads, view: View<'_>, costs: &Costs, layout: &Layout) {
        for (side, choices) in [(8, &mut self.by8), (16, &mut self.by16), (32, &mut self.by32)] {
            let grid = Grid::of(layout, side);
            choices.resize(grid.len(), Choice::default());
            threads.rows(choices, grid.cols, |row, choices| {
                let mut room = Room::default();
                for (col, choice) in choices.iter_mut().enumerate() {
                    let at = (row * side / 8, col * side / 8);
                    *choice = match side {
                        8 => choose8(view, costs, layout, at, &mut room),
                        16 => choose16(view, costs, layout, at, &mut room),
                        _ => choose32(view, costs, layout, at, &mut room),
                    };
                }
            });
        }
    }

    /// Compares every block of `size` with its quarters; where they are cheaper, it takes their cost and is split.
    fn join(&mut self, layout: &Layout, costs: &Costs, size: BlockSize) {
        let side = size.side();
        let (grid, small) = (Grid::of(layout, side), Grid::of(layout, side / 2));
        let (whole, parts) = match size {
            BlockSize::B16 => (&mut self.by16, &self.by8),
            _ => (&mut self.by32, &self.by16),
        };
        for (i, choice) in whole.iter_mut().enumerate() {
            let (row, col) = (i / grid.cols * 2, i % grid.cols * 2);
            let mut split = costs.sum(0, SPLIT_BITS);
            for (row, col) in [(row, col), (row, col + 1), (row + 1, col), (row + 1, col + 1)] {
                if row < small.rows && col < small.cols {
                    split = split.saturating_add(parts[row * small.cols + col].cost);
                }
            }
            // A block that sticks out of the frame is split: its outer part would be coded for nobody.
            let out = (row + 2) * side / 16 > layout.rows || (col + 2) * side / 16 > layout.cols;
            if out || split < choice.cost {
                choice.cost = split;
                choice.block.size = BlockSize::B8;
            }
        }
    }

    fn record(&self, layout: &Layout, decisions: &mut Decisions, size: BlockSize, row: usize, col: usize) {
        if row >= layout.rows || col >= layout.cols {
            return;
        }
        let grid = Grid::of(layout, size.side());
        let choices = match size {
            BlockSize::B8 => &self.by8,
            BlockSize::B16 => &self.by16,
            _ => &self.by32,
        };
        let choice = &choices[row / size.cells() * grid.cols + col / size.cells()];
        if choice.block.size == size {
            return decisions.set_block(row, col, choice.block);
        }
        let (quarter, half) = (size.quarter().unwrap_or_default(), size.cells() / 2);
        for (row, col) in [(row, col), (row, col + half), (row + half, col), (row + half, col + half)] {
            self.record(layout, decisions, quarter, row, col);
        }
    }
}

wide! {
    /// The cheapest of all candidates for one 8×8.
    fn choose8(view: View<'_>, costs: &Costs, layout: &Layout, at: (usize, usize), room: &mut Room) -> Choice = choose::<8>;
    /// The same for a 16×16.
    fn choose16(view: View<'_>, costs: &Costs, layout: &Layout, at: (usize, usize), room: &mut Room) -> Choice = choose::<16>;
    /// The same for a 32×32.
    fn choose32(view: View<'_>, costs: &Costs, layout: &Layout, at: (usize, usize), room: &mut Room) -> Choice = choose::<32>;
}

#[inline(always)]
fn choose<const SIDE: usize>(
    view: View<'_>,
    costs: &Costs,
    layout: &Layout,
    (row, col): (usize, usize),
    room: &mut Room,
) -> Choice {
    let size = BlockSize::ALL.into_iter().find(|size| size.side() == SIDE).unwrap_or_default();
    // What rests is as it was, for nothing, so that no smaller size is cheaper.
    if view.last.is_some_and(|(_, fine)| fine.still.holds(layout, SIDE, (col * CELL / SIDE, row * CELL / SIDE))) {
        return Choice { cost: 0, block: Block { size, reference: Reference::Last, skip: true, ..Block::default() } };
    }
    let mut site = Site::<SIDE> {
        costs,
        luma: &view.source.planes[0],
        x: col * CELL,
        y: row * CELL,
        least: u32::MAX,
        best: Choice { cost: u32::MAX, block: Block { size, ..Block::default() } },
        room,
    };
    if let Some((last, fine)) = view.last {
        let (grid, candidates) = match SIDE {
            8 => (Grid::of(layout, 8), &fine.by8),
            16 => (Grid::of(layout, 16), &fine.by16),
            _ => (Grid::of(layout, 32), &fine.by32),
        };
        let mine = candidates[site.y / SIDE * grid.cols + site.x / SIDE];
        let near = neighbours(fine, layout, site.x, site.y);
        let mut tried = [None; 4];
        let mut first = (u32::MAX, Vector::ZERO);
        for (i, vector) in [mine, Vector::ZERO, near[0], near[1]].into_iter().enumerate() {
            if !tried.contains(&Some(vector)) {
                tried[i] = Some(vector);
                let bits = vector_bits(vector, &near);
                let cost = site.predict(&last.planes[0], vector) + (bits * costs.vector_bit >> 6);
                if cost < first.0 {
                    first = (cost, vector);
                }
            }
        }
        // Only the nearest prediction is worth a transform.
        site.inter(&last.planes[0], Reference::Last, first.1, vector_bits(first.1, &near));
        if let Some(golden) = view.golden {
            let last = site.least;
            if site.predict(&golden.planes[0], Vector::ZERO) < last {
                site.inter(&golden.planes[0], Reference::Golden, Vector::ZERO, GOLDEN_BITS);
            }
        }
    }
    site.intra(layout, view.last.is_none());
    site.best
}

/// One block and the best that was found for it.
struct Site<'a, const SIDE: usize> {
    costs: &'a Costs,
    luma: &'a Samples,
    x: usize,
    y: usize,
    /// Least transformed difference of an inter prediction.
    least: u32,
    best: Choice,
    room: &'a mut Room,
}

impl<const SIDE: usize> Site<'_, SIDE> {
    /// Predicts from `reference`; returns how far the block is from that.
    #[inline(always)]
    fn predict(&mut self, reference: &Samples, vector: Vector) -> u32 {
        let (x, y) = (self.x as i32, self.y as i32);
        predict::inter(reference, x, y, SIDE, SIDE, vector, false, &mut self.room.predicted, SIDE);
        self.difference()
    }

    #[inline(always)]
    fn inter(&mut self, reference: &Samples, which: Reference, vector: Vector, bits: u32) {
        self.least = self.predict(reference, vector).min(self.least);
        let (cost, skip) = self.cost(bits + INTER_SKIP_BITS, bits + INTER_BITS);
        self.keep(cost, Block { reference: which, vector, skip, ..self.best.block });
    }

    /// The mode with the least transformed difference, predicted from the source around the block, is the one costed. An
    /// inter prediction that is clearly closer spares that.
    #[inline(always)]
    fn intra(&mut self, layout: &Layout, key: bool) {
        if self.best.block.is_inter() && self.best.block.skip {
            return;
        }
        let tile = layout.tile_of(self.y / CELL, self.x / CELL);
        let place = Place {
            x: self.x,
            y: self.y,
            side: SIDE,
            has_above: self.y > tile.top * CELL,
            has_left: self.x > tile.left * CELL,
            right: layout.cols * CELL,
            bottom: layout.rows * CELL,
        };
        let edges = Edges::new(self.luma, &place);
        let mut best = (u32::MAX, IntraMode::Dc);
        for mode in IntraMode::ALL {
            predict::intra(mode, &edges, SIDE, &mut self.room.predicted, SIDE);
            let bits = if mode == IntraMode::Dc { 0 } else { 3 };
            let difference = self.difference() + (bits * self.costs.vector_bit >> 4);
            if difference < best.0 {
                best = (difference, mode);
            }
        }
        if self.least < best.0 {
            return;
        }
        predict::intra(best.1, &edges, SIDE, &mut self.room.predicted, SIDE);
        let bits = if key { 0 } else { INTRA_BITS } + if best.1 == IntraMode::Dc { 4 } else { 12 };
        let (cost, skip) = self.cost(bits + 8, bits + 2);
        self.keep(
            cost,
            Block { reference: Reference::Intra, vector: Vector::ZERO, mode: best.1, skip, ..self.best.block },
        );
    }

    #[inline(always)]
    fn difference(&self) -> u32 {
        satd(self.luma.at(self.x, self.y), self.luma.stride, &self.room.predicted, SIDE, SIDE)
    }

    #[inline(always)]
    fn cost(&mut self, skip_bits: u32, coded_bits: u32) -> (u32, bool) {
        let source = self.luma.at(self.x, self.y);
        for y in 0..SIDE {
            let source = &source[y * self.luma.stride..][..SIDE];
            let predicted = &self.room.predicted[y * SIDE..][..SIDE];
            let residual = &mut self.room.residual[y * SIDE..][..SIDE];
            for x in 0..SIDE {
                residual[x] = i16::from(source[x]) - i16::from(predicted[x]);
            }
        }
        self.costs.residual::<SIDE>(&self.room.residual, skip_bits, coded_bits, &mut self.room.coefficients)
    }

    fn keep(&mut self, cost: u32, block: Block) {
        if cost < self.best.cost {
            self.best = Choice { cost, block };
        }
    }
}

/// Quarter bits of a split, beyond what its parts cost.
const SPLIT_BITS: u32 = 6;
/// Quarter bits of an inter block that is skipped, and of one that is not, beyond its vector.
const INTER_SKIP_BITS: u32 = 3;
const INTER_BITS: u32 = 8;
/// Quarter bits of an intra block among inter blocks, beyond its mode.
const INTRA_BITS: u32 = 16;
/// Quarter bits of a zero vector into the long-term reference.
const GOLDEN_BITS: u32 = 14;

/// Vectors of the 16×16 to the left and above: what the true predictors are likely to be.
fn neighbours(fine: &Fine, layout: &Layout, x: usize, y: usize) -> [Vector; 2] {
    let grid = Grid::of(layout, 16);
    let (col, row) = (x / 16, y / 16);
    let at = |row: usize, col: usize| fine.by16[row * grid.cols + col];
    [at(row, col.saturating_sub(1)), at(row.saturating_sub(1), col)]
}

/// About the quarter bits of a vector, mode included.
fn vector_bits(vector: Vector, near: &[Vector; 2]) -> u32 {
    if near.contains(&vector) {
        return 6;
    }
    if vector == Vector::ZERO {
        return 8;
    }
    let bits = |a: i16, b: i16| {
        let magnitude = u32::from((a - b).unsigned_abs()) / 2;
        2 * (u32::BITS - magnitude.leading_zeros()) + 1
    };
    near.iter().map(|n| 14 + 4 * (bits(vector.row, n.row) + bits(vector.col, n.col))).min().unwrap_or(0)
}
