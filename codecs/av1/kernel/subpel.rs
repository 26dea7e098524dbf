//! Quarter-sample motion: a half step, then a quarter step, around each whole-sample vector.
//!
//! Input: source and reference at full scale, the whole-sample vectors. Output: [`Fine`], a vector and its difference for
//! every block of 8, 16 and 32. Candidates are blended from four samples; the filters of the standard, which cost four
//! times as much, come in where modes are decided. Every block is independent of every other.

use super::distance::satd;
use super::pyramid::Padded;
use super::search::{Grid, Motion, REACH, Step, inside};
use crate::av1::decisions::Vector;
use crate::av1::layout::Layout;

/// A vector and how far the block is from what it points at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Candidate {
    /// In eighths, even.
    pub vector: Vector,
    /// Transformed difference, without the cost of the vector.
    pub difference: u32,
}

/// Quarter-sample vectors of one frame into one reference.
#[derive(Clone, Debug, Default)]
pub struct Fine {
    /// By 8×8.
    pub by8: Vec<Candidate>,
    /// By 16×16.
    pub by16: Vec<Candidate>,
    /// By 32×32.
    pub by32: Vec<Candidate>,
}

impl Fine {
    /// Refines every vector of `motion`. `penalty` is the cost of a vector bit in sixteenths of a difference.
    pub fn refine(&mut self, layout: &Layout, source: &Padded, reference: &Padded, motion: &Motion, penalty: u32) {
        let pairs = [(8, &motion.by8, &mut self.by8), (16, &motion.by16, &mut self.by16), (32, &motion.by32, &mut self.by32)];
        for (side, whole, fine) in pairs {
            let grid = Grid::of(layout, side);
            fine.resize(grid.len(), Candidate::default());
            for (i, (whole, fine)) in whole.iter().zip(fine).enumerate() {
                let (x, y) = (i % grid.cols * side, i / grid.cols * side);
                let at = (x as i32, y as i32);
                *fine = match side {
                    8 => search::<8>(source, reference, at, penalty).run(*whole),
                    16 => search::<16>(source, reference, at, penalty).run(*whole),
                    _ => search::<32>(source, reference, at, penalty).run(*whole),
                };
            }
        }
    }
}

fn search<'a, const SIDE: usize>(
    source: &'a Padded,
    reference: &'a Padded,
    (x, y): (i32, i32),
    penalty: u32,
) -> Search<'a, SIDE> {
    Search { source, reference, x, y, penalty, cost: u32::MAX, best: Candidate::default() }
}

/// The best vector of one block so far.
struct Search<'a, const SIDE: usize> {
    source: &'a Padded,
    reference: &'a Padded,
    x: i32,
    y: i32,
    penalty: u32,
    cost: u32,
    best: Candidate,
}

impl<const SIDE: usize> Search<'_, SIDE> {
    fn run(mut self, whole: Step) -> Candidate {
        self.best.vector = Vector { row: whole.y * 8, col: whole.x * 8 };
        self.consider(self.best.vector);
        for distance in [4, 2] {
            let centre = self.best.vector;
            let near = |dx: i16, dy: i16| Vector { row: centre.row + dy * distance, col: centre.col + dx * distance };
            for (dx, dy) in [(-1, 0), (1, 0), (0, -1), (0, 1)] {
                self.consider(near(dx, dy));
            }
            // Where a side helped, so may the diagonals next to it.
            let now = self.best.vector;
            match ((now.col - centre.col).signum(), (now.row - centre.row).signum()) {
                (0, 0) => {}
                (dx, 0) => [-1, 1].into_iter().for_each(|dy| self.consider(near(dx, dy))),
                (_, dy) => [-1, 1].into_iter().for_each(|dx| self.consider(near(dx, dy))),
            }
        }
        self.best
    }

    fn consider(&mut self, vector: Vector) {
        let (x, y) = (self.x + i32::from(vector.col >> 3), self.y + i32::from(vector.row >> 3));
        if !inside(self.reference, x, y, REACH) {
            return;
        }
        let (source, reference) = (self.source, self.reference);
        let (block, from) = (source.at(self.x, self.y), reference.at(x, y));
        let (fx, fy) = ((vector.col & 7) as u16 / 2, (vector.row & 7) as u16 / 2);
        let difference = if (fx, fy) == (0, 0) {
            satd(block, source.stride(), from, reference.stride(), SIDE)
        } else {
            let mut blend = [0; 32 * 32];
            mix::<SIDE>(from, reference.stride(), fx, fy, &mut blend);
            satd(block, source.stride(), &blend, SIDE, SIDE)
        };
        let bits = u32::from(fx != 0) * 2 + u32::from(fy != 0) * 2;
        let cost = difference + (bits * self.penalty >> 4);
        if cost < self.cost {
            (self.cost, self.best) = (cost, Candidate { vector, difference });
        }
    }
}

/// Blends four neighbours by quarters.
#[inline(always)]
fn mix<const SIDE: usize>(from: &[u8], stride: usize, fx: u16, fy: u16, out: &mut [u8; 32 * 32]) {
    let weights = [(4 - fx) * (4 - fy), fx * (4 - fy), (4 - fx) * fy, fx * fy];
    for y in 0..SIDE {
        let above = &from[y * stride..][..SIDE + 1];
        let below = &from[(y + 1) * stride..][..SIDE + 1];
        let out = &mut out[y * SIDE..][..SIDE];
        for x in 0..SIDE {
            let sum = u16::from(above[x]) * weights[0]
                + u16::from(above[x + 1]) * weights[1]
                + u16::from(below[x]) * weights[2]
                + u16::from(below[x + 1]) * weights[3];
            out[x] = (sum + 8 >> 4) as u8;
        }
    }
}
