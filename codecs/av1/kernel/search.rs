//! Whole-sample motion: wide on the small scales, narrow at full scale.
//!
//! Input: the pyramids of source and reference, last frame's vectors. Output: [`Motion`], a whole-sample vector for
//! every block of 8, 16 and 32. Every block of a pass reads results of earlier passes only, so that all blocks of a pass
//! can run at once; ties go to the earlier candidate.
//!
//! Budget at full scale, per 16×16: 27 candidates on 16×16, 8 on 32×32, and 14 on 8×8: at most 48 in sum.

use super::distance::{sad, sad_square};
use super::pyramid::{Padded, Pyramid};
use crate::av1::layout::Layout;
use crate::av1::rest::Set;
use crate::av1::threads::Threads;

/// A displacement in whole luma samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// To the right.
    pub x: i16,
    /// Downwards.
    pub y: i16,
}

impl Step {
    const fn new(x: i32, y: i32) -> Self {
        Self { x: x as i16, y: y as i16 }
    }

    fn scaled(self, factor: i32) -> Self {
        Self::new(i32::from(self.x) * factor, i32::from(self.y) * factor)
    }
}

/// Whole-sample vectors of one frame into one reference.
#[derive(Clone, Debug, Default)]
pub struct Motion {
    /// By 64×64, from the eighth scale, in samples of that scale.
    pub(crate) eighth: Vec<Step>,
    /// By 32×32, from the quarter scale, in samples of that scale.
    pub(crate) quarter: Vec<Step>,
    /// By 16×16.
    pub by16: Vec<Step>,
    /// By 32×32.
    pub by32: Vec<Step>,
    /// By 8×8.
    pub by8: Vec<Step>,
    /// Superblocks that rest: nothing in them is searched, and nothing moves.
    pub still: Set,
}

/// Numbers of blocks of 64, 32, 16, 8 across and down.
#[derive(Clone, Copy, Debug)]
pub struct Grid {
    /// Blocks across.
    pub cols: usize,
    /// Blocks down.
    pub rows: usize,
}

impl Grid {
    /// The blocks of `side` that the frame's cells touch.
    pub fn of(layout: &Layout, side: usize) -> Self {
        Self { cols: layout.cols.div_ceil(side / 8), rows: layout.rows.div_ceil(side / 8) }
    }

    /// Blocks in all.
    pub fn len(&self) -> usize {
        self.cols * self.rows
    }

    /// No blocks: never the case for a frame.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Motion {
    /// Searches the whole frame. `penalty` is what one bit of vector costs in absolute differences, in sixteenths.
    pub fn search(&mut self, threads: &Threads, layout: &Layout, source: &Pyramid, reference: &Pyramid, penalty: u32) {
        let [g64, g32, g16, g8] = [64, 32, 16, 8].map(|side| Grid::of(layout, side));
        // Last frame's vectors are candidates; they are gone where the size has changed.
        if self.by16.len() != g16.len() {
            self.by16 = vec![Step::default(); g16.len()];
        }
        let still = self.still;
        let moving = |side, col, row| !still.holds(layout, side, (col, row));
        self.eighth.resize(g64.len(), Step::default());
        self.quarter.resize(g32.len(), Step::default());
        self.by32.resize(g32.len(), Step::default());
        self.by8.resize(g8.len(), Step::default());
        threads.rows(&mut self.eighth, g64.cols, |row, steps| {
            for (col, step) in steps.iter_mut().enumerate() {
                *step = if moving(64, col, row) { wide(source, reference, col, row) } else { NONE };
            }
        });
        let eighth = &self.eighth;
        threads.rows(&mut self.quarter, g32.cols, |row, steps| {
            for (col, step) in steps.iter_mut().enumerate() {
                *step = if moving(32, col, row) { narrow(eighth, g64, source, reference, col, row) } else { NONE };
            }
        });
        let (fit, quarter) = (Fit { source: &source.full, reference: &reference.full, penalty }, &self.quarter);
        threads.rows(&mut self.by16, g16.cols, |row, steps| {
            for (col, step) in steps.iter_mut().enumerate() {
                *step = if moving(16, col, row) { by16(&fit, quarter, g32, *step, col, row) } else { NONE };
            }
        });
        let whole = &self.by16;
        threads.rows(&mut self.by32, g32.cols, |row, steps| {
            for (col, step) in steps.iter_mut().enumerate() {
                let narrow = quarter[row * g32.cols + col];
                *step = if moving(32, col, row) { by32(&fit, whole, g16, narrow, col, row) } else { NONE };
            }
        });
        threads.rows(&mut self.by8, g8.cols, |row, steps| {
            for (col, step) in steps.iter_mut().enumerate() {
                *step = if moving(8, col, row) { by8(&fit, whole, g16, col, row) } else { NONE };
            }
        });
    }
}

/// Full search of ±[`WIDE`] on the eighth scale, for a 64×64.
fn wide(source: &Pyramid, reference: &Pyramid, col: usize, row: usize) -> Step {
    let (source, reference) = (&source.eighth, &reference.eighth);
    let (x, y) = (col as i32 * 8, row as i32 * 8);
    let block = source.at(x, y);
    let mut best = (cost8(block, source, reference, x, y), Step::default());
    for dy in -WIDE..=WIDE {
        for dx in -WIDE..=WIDE {
            if !inside(reference, x + dx, y + dy, 10) {
                continue;
            }
            // A far vector must be clearly better.
            let cost = cost8(block, source, reference, x + dx, y + dy) + (dx.unsigned_abs() + dy.unsigned_abs()) * 2;
            if cost < best.0 {
                best = (cost, Step::new(dx, dy));
            }
        }
    }
    best.1
}

/// Candidates of the eighth scale, refined by ±2 on the quarter scale, for a 32×32.
fn narrow(wide: &[Step], grid: Grid, source: &Pyramid, reference: &Pyramid, col: usize, row: usize) -> Step {
    let (source, reference) = (&source.quarter, &reference.quarter);
    let (x, y) = (col as i32 * 8, row as i32 * 8);
    let block = source.at(x, y);
    let cost = |step: Step| {
        let (at_x, at_y) = (x + i32::from(step.x), y + i32::from(step.y));
        if !inside(reference, at_x, at_y, 20) {
            return u32::MAX;
        }
        let length = u32::from(step.x.unsigned_abs()) + u32::from(step.y.unsigned_abs());
        cost8(block, source, reference, at_x, at_y) + length
    };
    let mut best = (cost(Step::default()), Step::default());
    let mut consider = |step: Step| {
        let cost = cost(step);
        if cost < best.0 {
            best = (cost, step);
        }
        best.1
    };
    for (dc, dr) in CROSS {
        if let Some(i) = neighbour(grid, col / 2, row / 2, dc, dr) {
            consider(wide[i].scaled(2));
        }
    }
    let centre = consider(Step::default());
    for dy in -2..=2 {
        for dx in -2..=2 {
            consider(Step::new(i32::from(centre.x) + dx, i32::from(centre.y) + dy));
        }
    }
    best.1
}

/// How well a block fits where.
struct Fit<'a> {
    source: &'a Padded,
    reference: &'a Padded,
    penalty: u32,
}

impl Fit<'_> {
    /// Difference and vector cost of a block of `side` at (`x`, `y`); `u32::MAX` outside the border.
    #[inline(always)]
    fn cost(&self, x: i32, y: i32, side: usize, step: Step, expected: Step) -> u32 {
        let (at_x, at_y) = (x + i32::from(step.x), y + i32::from(step.y));
        if !inside(self.reference, at_x, at_y, REACH) {
            return u32::MAX;
        }
        let (source, reference) = (self.source, self.reference);
        let sad = sad_square(source.at(x, y), source.stride(), reference.at(at_x, at_y), reference.stride(), side);
        let bits = length(step.x - expected.x) + length(step.y - expected.y);
        sad + (bits * self.penalty >> 4)
    }
}

/// The best of the candidates tried so far.
struct Best<'a> {
    fit: &'a Fit<'a>,
    x: i32,
    y: i32,
    side: usize,
    expected: Step,
    cost: u32,
    step: Step,
}

impl<'a> Best<'a> {
    fn new(fit: &'a Fit<'a>, x: usize, y: usize, side: usize, expected: Step) -> Self {
        let mut best = Self { fit, x: x as i32, y: y as i32, side, expected, cost: u32::MAX, step: Step::default() };
        best.consider(Step::default());
        best
    }

    #[inline(always)]
    fn consider(&mut self, step: Step) {
        let cost = self.fit.cost(self.x, self.y, self.side, step, self.expected);
        if cost < self.cost {
            (self.cost, self.step) = (cost, step);
        }
    }

    /// The neighbours of the best one at `distance`, in the directions given.
    #[inline(always)]
    fn around(&mut self, distance: i32, directions: &[(i32, i32)]) {
        let centre = self.step;
        for (dx, dy) in directions {
            self.consider(Step::new(i32::from(centre.x) + dx * distance, i32::from(centre.y) + dy * distance));
        }
    }
}

fn by16(fit: &Fit<'_>, quarter: &[Step], grid: Grid, before: Step, col: usize, row: usize) -> Step {
    let expected = quarter[row / 2 * grid.cols + col / 2].scaled(4);
    let mut best = Best::new(fit, col * 16, row * 16, 16, expected);
    best.consider(before);
    for (dc, dr) in CROSS {
        if let Some(i) = neighbour(grid, col / 2, row / 2, dc, dr) {
            best.consider(quarter[i].scaled(4));
        }
    }
    best.around(2, &SQUARE);
    best.around(1, &SQUARE);
    best.around(1, &CROSS[1..]);
    best.step
}

fn by32(fit: &Fit<'_>, by16: &[Step], grid: Grid, quarter: Step, col: usize, row: usize) -> Step {
    let mut best = Best::new(fit, col * 32, row * 32, 32, quarter.scaled(4));
    for (dc, dr) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
        if let Some(i) = neighbour(grid, col * 2, row * 2, dc, dr) {
            best.consider(by16[i]);
        }
    }
    best.around(1, &CROSS[1..]);
    best.step
}

fn by8(fit: &Fit<'_>, by16: &[Step], grid: Grid, col: usize, row: usize) -> Step {
    let expected = by16[row / 2 * grid.cols + col / 2];
    let mut best = Best::new(fit, col * 8, row * 8, 8, expected);
    for (dc, dr) in CROSS {
        if let Some(i) = neighbour(grid, col / 2, row / 2, dc, dr) {
            best.consider(by16[i]);
        }
    }
    best.around(1, &SQUARE);
    best.step
}

/// Position of a block's neighbour; `None` outside the grid.
fn neighbour(grid: Grid, col: usize, row: usize, dc: i32, dr: i32) -> Option<usize> {
    let (col, row) = (col.checked_add_signed(dc as isize)?, row.checked_add_signed(dr as isize)?);
    (col < grid.cols && row < grid.rows).then(|| row * grid.cols + col)
}

/// A block may begin so far before the plane, and a fifth of that behind it, without leaving the border.
#[inline(always)]
pub fn inside(plane: &Padded, x: i32, y: i32, before: i32) -> bool {
    let behind = before / 5 - 1;
    x >= -before && y >= -before && x <= plane.width as i32 + behind && y <= plane.height as i32 + behind
}

/// About the bits of one vector component that differs from its prediction by so many samples.
#[inline(always)]
fn length(difference: i16) -> u32 {
    let magnitude = u32::from(difference.unsigned_abs());
    (2 * (u32::BITS - magnitude.leading_zeros())) + u32::from(magnitude > 0)
}

#[inline(always)]
fn cost8(block: &[u8], source: &Padded, reference: &Padded, x: i32, y: i32) -> u32 {
    sad::<8>(block, source.stride(), reference.at(x, y), reference.stride(), 8)
}

/// A block at full scale begins at most so many samples before the plane.
pub const REACH: i32 = 80;

/// Samples of the eighth scale searched each way: 96 of the picture.
const WIDE: i32 = 12;

/// Of what rests.
const NONE: Step = Step::new(0, 0);

/// A block and its four neighbours.
const CROSS: [(i32, i32); 5] = [(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)];

/// All eight neighbours.
const SQUARE: [(i32, i32); 8] = [(-1, -1), (0, -1), (1, -1), (-1, 0), (1, 0), (-1, 1), (0, 1), (1, 1)];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Size;
    use crate::av1::frame::Frame;

    /// Noise of every scale, nowhere periodic: octaves of random lattices, blended.
    fn texture(x: i32, y: i32) -> u8 {
        let (x, y) = (x + 1000, y + 1000);
        let lattice = |x: i32, y: i32| fastrand::Rng::with_seed((x * 65_537 + y) as u64).i32(-100..=100);
        let mut sum = 0;
        for shift in [2, 3, 4, 5] {
            let (cell, fx, fy) = (1 << shift, x & ((1 << shift) - 1), y & ((1 << shift) - 1));
            let (cx, cy) = ((x >> shift) + (shift << 20), y >> shift);
            let row = |cy| (lattice(cx, cy) * (cell - fx) + lattice(cx + 1, cy) * fx) / cell;
            sum += (row(cy) * (cell - fy) + row(cy + 1) * fy) / cell;
        }
        (128 + sum / 3).clamp(0, 255) as u8
    }

    fn pyramid(layout: &Layout, shift: (i32, i32)) -> Pyramid {
        let mut frame = Frame::new(layout);
        let stride = frame.planes[0].stride;
        for (i, sample) in frame.planes[0].data.iter_mut().enumerate() {
            *sample = texture((i % stride) as i32 + shift.0, (i / stride) as i32 + shift.1);
        }
        let mut pyramid = Pyramid::default();
        pyramid.load(&frame.planes[0]);
        pyramid
    }

    #[test]
    fn a_moved_picture_is_found_where_it_went() {
        let layout = Layout::new(Size::new(322, 182), Default::default());
        for (x, y) in [(0, 0), (3, -2), (-17, 9), (40, 24), (-70, -33)] {
            let (source, reference) = (pyramid(&layout, (0, 0)), pyramid(&layout, (-x, -y)));
            let mut motion = Motion::default();
            motion.search(&Threads::new(2), &layout, &source, &reference, 16);
            let found = |steps: &[Step]| steps.iter().filter(|s| **s == Step::new(x, y)).count() * 100 / steps.len();
            for steps in [&motion.by8, &motion.by16, &motion.by32] {
                assert!(found(steps) > 55, "{x} {y}: {} %", found(steps));
            }
        }
    }
}
