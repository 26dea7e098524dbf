//! Quarter-sample motion: a half step, then a quarter step, around each whole-sample vector.
//!
//! Input: source and reference at full scale, the whole-sample vectors. Output: [`Fine`], a vector for every block of 8,
//! 16 and 32. Candidates are blended from four samples; the filters of the standard, which cost four
//! times as much, come in where modes are decided. Every block is independent of every other.

use super::distance::sad_square;
use super::pyramid::Padded;
use super::search::{Grid, Motion, REACH, Step, inside};
use crate::av1::decisions::Vector;
use crate::av1::layout::Layout;
use crate::av1::rest::Set;
use crate::av1::threads::Threads;

/// Quarter-sample vectors of one frame into one reference.
#[derive(Clone, Debug, Default)]
pub struct Fine {
    /// By 8×8.
    pub by8: Vec<Vector>,
    /// By 16×16.
    pub by16: Vec<Vector>,
    /// By 32×32.
    pub by32: Vec<Vector>,
    /// Superblocks that rest: nothing in them moves.
    pub still: Set,
}

impl Fine {
    /// Refines every vector of `motion`. `penalty` is the cost of a vector bit in sixteenths of a difference.
    pub fn refine(
        &mut self,
        threads: &Threads,
        layout: &Layout,
        source: &Padded,
        reference: &Padded,
        motion: &Motion,
        penalty: u32,
    ) {
        self.still = motion.still;
        let still = motion.still;
        let pairs =
            [(8, &motion.by8, &mut self.by8), (16, &motion.by16, &mut self.by16), (32, &motion.by32, &mut self.by32)];
        for (side, whole, fine) in pairs {
            let grid = Grid::of(layout, side);
            fine.resize(grid.len(), Vector::ZERO);
            threads.rows(fine, grid.cols, |row, fine| {
                let whole = &whole[row * grid.cols..];
                for (col, (fine, whole)) in fine.iter_mut().zip(whole).enumerate() {
                    if still.holds(layout, side, (col, row)) {
                        *fine = Vector::ZERO;
                        continue;
                    }
                    let site = Site { source, reference, x: (col * side) as i32, y: (row * side) as i32, penalty };
                    *fine = match side {
                        8 => refine8(site, *whole),
                        16 => refine16(site, *whole),
                        _ => refine32(site, *whole),
                    };
                }
            });
        }
    }
}

/// A block and the planes it is compared in.
#[derive(Clone, Copy)]
struct Site<'a> {
    source: &'a Padded,
    reference: &'a Padded,
    x: i32,
    y: i32,
    penalty: u32,
}

wide! {
    /// The best vector near a whole-sample one, for an 8×8.
    fn refine8(site: Site<'_>, whole: Step) -> Vector = refine::<8>;
    /// The same for a 16×16.
    fn refine16(site: Site<'_>, whole: Step) -> Vector = refine::<16>;
    /// The same for a 32×32.
    fn refine32(site: Site<'_>, whole: Step) -> Vector = refine::<32>;
}

#[inline(always)]
fn refine<const SIDE: usize>(site: Site<'_>, whole: Step) -> Vector {
    let vector = Vector { row: whole.y * 8, col: whole.x * 8 };
    let mut search = Search::<SIDE> { site, cost: u32::MAX, best: vector };
    search.consider(vector);
    for distance in [4, 2] {
        let centre = search.best;
        let near = |dx: i16, dy: i16| Vector { row: centre.row + dy * distance, col: centre.col + dx * distance };
        for (dx, dy) in [(-1, 0), (1, 0), (0, -1), (0, 1)] {
            search.consider(near(dx, dy));
        }
        // Where a side helped, so may the diagonals next to it.
        let now = search.best;
        let diagonals = match ((now.col - centre.col).signum(), (now.row - centre.row).signum()) {
            (0, 0) => continue,
            (dx, 0) => [(dx, -1), (dx, 1)],
            (_, dy) => [(-1, dy), (1, dy)],
        };
        for (dx, dy) in diagonals {
            search.consider(near(dx, dy));
        }
    }
    search.best
}

/// The best vector of one block so far.
struct Search<'a, const SIDE: usize> {
    site: Site<'a>,
    cost: u32,
    best: Vector,
}

impl<const SIDE: usize> Search<'_, SIDE> {
    #[inline(always)]
    fn consider(&mut self, vector: Vector) {
        let Site { source, reference, penalty, .. } = self.site;
        let (x, y) = (self.site.x + i32::from(vector.col >> 3), self.site.y + i32::from(vector.row >> 3));
        if !inside(reference, x, y, REACH) {
            return;
        }
        let (block, from) = (source.at(self.site.x, self.site.y), reference.at(x, y));
        let (fx, fy) = ((vector.col & 7) as u16 / 2, (vector.row & 7) as u16 / 2);
        let difference = if (fx, fy) == (0, 0) {
            sad_square(block, source.stride(), from, reference.stride(), SIDE)
        } else {
            let mut blend = [0; 32 * 32];
            mix::<SIDE>(from, reference.stride(), fx, fy, &mut blend);
            sad_square(block, source.stride(), &blend, SIDE, SIDE)
        };
        let bits = u32::from(fx != 0) * 2 + u32::from(fy != 0) * 2;
        let cost = difference + (bits * penalty >> 4);
        if cost < self.cost {
            (self.cost, self.best) = (cost, vector);
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
