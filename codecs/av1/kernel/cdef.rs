//! The constrained directional enhancement filter (specification §7.15): ringing is smoothed along the direction of
//! each 8×8 block, and only as far as neighbours differ little.
//!
//! Every block reads the deblocked frame and writes the filtered one, so all may run at once. Samples outside the grid
//! of cells are unavailable; inside it, those beyond the true size count like any other.

use std::array::from_fn;

use crate::av1::decisions::Decisions;
use crate::av1::frame::{Frame, Samples};
use crate::av1::layout::{CELL, SUPERBLOCK};

/// Writes the filtered `source` into `out`, the whole planes.
pub fn frame(decisions: &Decisions, source: &Frame, out: &mut Frame) {
    for (from, to) in source.planes.iter().zip(&mut out.planes) {
        to.data.copy_from_slice(&from.data);
    }
    let (layout, cdef) = (decisions.layout(), &decisions.cdef);
    for row in 0..layout.rows {
        for col in (0..layout.cols).filter(|col| !decisions.block(row, *col).skip) {
            let superblock = row / SUPERBLOCK * layout.superblock_cols() + col / SUPERBLOCK;
            let strength = cdef.strengths[usize::from(decisions.cdef_index[superblock])];
            let luma = [strength.luma_primary, strength.luma_secondary];
            let chroma = [strength.chroma_primary, strength.chroma_secondary];
            let (direction, variance) = if luma[0] > 0 || chroma[0] > 0 {
                direction(source.planes[0].at(col * CELL, row * CELL), source.planes[0].stride)
            } else {
                (0, 0)
            };
            let place = Place { row, col, rows: layout.rows, cols: layout.cols };
            let mut filter = Filter::new(luma, cdef.damping, direction);
            filter.primary = adjusted(filter.primary, variance);
            let [y, u, v] = &source.planes;
            let [out_y, out_u, out_v] = &mut out.planes;
            filter.run::<CELL, LUMA, 1>([y], [out_y], &place, add_luma);
            let filter = Filter::new(chroma, cdef.damping - 1, direction);
            filter.run::<{ CELL / 2 }, CHROMA, 2>([u, v], [out_u, out_v], &place, add_chroma);
        }
    }
}

/// The primary strength of luma grows with the variance along the direction (§7.15.1).
fn adjusted(primary: i16, variance: i32) -> i16 {
    match variance {
        0 => 0,
        _ => (primary * (4 + (variance >> 6).checked_ilog2().unwrap_or(0).min(12) as i16) + 8) >> 4,
    }
}

/// A cell of a grid.
struct Place {
    row: usize,
    col: usize,
    rows: usize,
    cols: usize,
}

impl Place {
    /// All its neighbours exist.
    fn is_inside(&self) -> bool {
        (1..self.rows - 1).contains(&self.row) && (1..self.cols - 1).contains(&self.col)
    }
}

/// What one block of one plane is filtered with.
struct Filter {
    primary: i16,
    secondary: i16,
    damping: u8,
    direction: usize,
}

impl Filter {
    fn new([primary, secondary]: [u8; 2], damping: u8, direction: usize) -> Self {
        // Coded 3 means 4, and without a primary strength the direction counts as 0.
        let secondary = if secondary == 3 { 4 } else { secondary.into() };
        Self { primary: primary.into(), secondary, damping, direction: if primary == 0 { 0 } else { direction } }
    }

    /// Filters `W`×`W` samples of each of the planes, `N` in all; `add` is what adds taps inside the frame.
    fn run<const W: usize, const N: usize, const P: usize>(
        &self,
        from: [&Samples; P],
        to: [&mut Samples; P],
        place: &Place,
        add: Add<u8, N>,
    ) {
        if self.primary == 0 && self.secondary == 0 {
            return;
        }
        let (x, y) = (place.col * W, place.row * W);
        let mut filtered = [0; N];
        if place.is_inside() {
            let (planes, stride) = (from.map(|plane| &plane.data[..]), from[0].stride);
            self.block::<W, N, P, u8>(&Around { planes, stride, at: y * stride + x }, add, &mut filtered);
        } else {
            let windows = from.map(|plane| window::<W>(plane, place));
            let (planes, stride) = (windows.each_ref().map(|window| &window[..]), W + 2 * REACH);
            let around = Around { planes, stride, at: (stride + 1) * REACH };
            self.block::<W, N, P, i16>(&around, add_any::<true, _, N>, &mut filtered);
        }
        for (n, row) in filtered.chunks_exact(W).enumerate() {
            to[n / W].at_mut(x, y + n % W)[..W].copy_from_slice(row);
        }
    }

    fn block<const W: usize, const N: usize, const P: usize, T: Copy + Default + Into<i16>>(
        &self,
        around: &Around<T, P>,
        add: Add<T, N>,
        out: &mut [u8; N],
    ) {
        let (mut center, mut taps) = ([T::default(); N], [[T::default(); N]; 4]);
        around.cut::<W, N>((0, 0), &mut center);
        let center = widened(&center);
        // The specification clips to the range of all taps. Those without strength add nothing and need not be looked at:
        // the others' weights sum to 12 of 16, so they alone do not leave their own range.
        let mut sums = Sums { share: [0; N], low: center, high: center };
        let odd = self.primary & 1 == 1;
        let kinds = [
            (self.primary, self.direction, if odd { [3, 3] } else { [4, 2] }),
            (self.secondary, self.direction + 2, [2, 1]),
            (self.secondary, self.direction + 6, [2, 1]),
        ];
        for (strength, direction, weights) in kinds {
            if strength > 0 {
                let [(down, right), (down_far, right_far)] = DIRECTIONS[direction % 8];
                let places = [(down, right), (-down, -right), (down_far, right_far), (-down_far, -right_far)];
                for (tap, place) in taps.iter_mut().zip(places) {
                    around.cut::<W, N>(place, tap);
                }
                let shift = u32::from(self.damping).saturating_sub(strength.ilog2());
                add(&mut sums, &center, &taps, weights, (strength, shift));
            }
        }
        sums.finish(&center, out);
    }
}

fn widened<T: Copy + Into<i16>, const N: usize>(samples: &[T; N]) -> [i16; N] {
    let mut wide = [0; N];
    wide.iter_mut().zip(samples).for_each(|(wide, sample)| *wide = (*sample).into());
    wide
}

/// The same place in planes of the same stride.
struct Around<'a, T, const P: usize> {
    planes: [&'a [T]; P],
    stride: usize,
    at: usize,
}

impl<T: Copy, const P: usize> Around<'_, T, P> {
    /// Copies the blocks that lie so far down and to the right.
    fn cut<const W: usize, const N: usize>(&self, (down, right): (isize, isize), out: &mut [T; N]) {
        let first = (self.at as isize + down * self.stride as isize + right) as usize;
        for (n, to) in out.chunks_exact_mut(W).enumerate() {
            let from = first + n % W * self.stride;
            to.copy_from_slice(&self.planes[n / W][from..from + W]);
        }
    }
}

/// §7.15.3 for `N` samples at once: what their taps have added so far, and the range of these.
struct Sums<const N: usize> {
    share: [i16; N],
    low: [i16; N],
    high: [i16; N],
}

/// Adds two near and two far taps with their weights, a strength and its shift.
type Add<T, const N: usize> = fn(&mut Sums<N>, &[i16; N], &[[T; N]; 4], [i16; 2], (i16, u32));

/// Luma samples of a cell.
const LUMA: usize = CELL * CELL;
/// Chroma samples of a cell, both planes.
const CHROMA: usize = CELL * CELL / 2;

wide! {
    fn add_luma(
        sums: &mut Sums<LUMA>, center: &[i16; LUMA], taps: &[[u8; LUMA]; 4], weights: [i16; 2], limits: (i16, u32),
    ) = add_any::<false, u8, LUMA>;

    fn add_chroma(
        sums: &mut Sums<CHROMA>, center: &[i16; CHROMA], taps: &[[u8; CHROMA]; 4], weights: [i16; 2],
        limits: (i16, u32),
    ) = add_any::<false, u8, CHROMA>;
}

/// One loop over arrays that do not overlap: so it is vectorised. At the edge of the frame a tap may be missing.
#[inline(always)]
fn add_any<const EDGE: bool, T: Copy + Into<i16>, const N: usize>(
    sums: &mut Sums<N>,
    center: &[i16; N],
    taps: &[[T; N]; 4],
    weights: [i16; 2],
    (strength, shift): (i16, u32),
) {
    for i in 0..N {
        for (tap, weight) in [(0, weights[0]), (1, weights[0]), (2, weights[1]), (3, weights[1])] {
            let tap: i16 = taps[tap][i].into();
            let difference = tap - center[i];
            let (size, sign) = (difference.abs(), difference >> 15);
            sums.share[i] += weight * ((size.min((strength - (size >> shift)).max(0)) ^ sign) - sign);
            sums.low[i] = sums.low[i].min(tap);
            sums.high[i] = sums.high[i].max(if EDGE && tap == OUTSIDE { 0 } else { tap });
        }
    }
}

impl<const N: usize> Sums<N> {
    #[inline(never)]
    fn finish(&self, center: &[i16; N], out: &mut [u8; N]) {
        for i in 0..N {
            let value = center[i] + ((8 + self.share[i] - i16::from(self.share[i] < 0)) >> 4);
            out[i] = value.max(self.low[i]).min(self.high[i]) as u8;
        }
    }
}

/// Rows and columns from a sample to its farthest taps.
const REACH: usize = 2;

/// A sample there is none of: farther from any other than every strength reaches, whatever the damping.
const OUTSIDE: i16 = 30_000;

/// A block at the edge of the frame with `REACH` rows and columns all round.
fn window<const W: usize>(from: &Samples, place: &Place) -> [i16; (CELL + 2 * REACH) * (CELL + 2 * REACH)] {
    let side = W + 2 * REACH;
    from_fn(|i| {
        let (y, x) = (place.row * W + i / side, place.col * W + i % side);
        let inside = |at: usize, end: usize| (REACH..end + REACH).contains(&at);
        match inside(y, place.rows * W) && inside(x, place.cols * W) {
            true => from.data[(y - REACH) * from.stride + x - REACH].into(),
            false => OUTSIDE,
        }
    })
}

/// Rows down and columns to the right of the near and the far tap (`Cdef_Directions`).
const DIRECTIONS: [[(isize, isize); 2]; 8] = [
    [(-1, 1), (-2, 2)],
    [(0, 1), (-1, 2)],
    [(0, 1), (0, 2)],
    [(0, 1), (1, 2)],
    [(1, 1), (2, 2)],
    [(1, 0), (2, 1)],
    [(1, 0), (2, 0)],
    [(1, 0), (2, -1)],
];

wide! {
    /// Direction and variance of an 8×8 block (§7.15.2): along the direction whose lines have the greatest energy.
    fn direction(samples: &[u8], stride: usize) -> (usize, i32) = direction_plain;
}

/// Lines are sums of rows laid out askew; where the specification counts them from the other end, the weights are the
/// same.
#[inline(always)]
fn direction_plain(samples: &[u8], stride: usize) -> (usize, i32) {
    let (mut rows, mut across) = ([[0; 8]; 8], [[0; 8]; 8]);
    let (mut pairs_down, mut pairs_across) = ([[0; 8]; 4], [[0; 4]; 8]);
    for i in 0..8 {
        let row = &samples[i * stride..][..8];
        for j in 0..8 {
            let sample = i16::from(row[j]) - 128;
            rows[i][j] = sample;
            across[j][i] = sample;
            pairs_across[i][j / 2] += sample;
            pairs_down[i / 2][j] += sample;
        }
    }
    let costs = [
        energy(&askew::<8, 8, 1>(&rows, false), &DIAGONAL),
        energy(&askew::<8, 4, 1>(&pairs_across, false), &STEEP),
        energy(&askew::<8, 8, 0>(&across, false), &STRAIGHT),
        energy(&askew::<8, 4, 1>(&pairs_across, true), &STEEP),
        energy(&askew::<8, 8, 1>(&rows, true), &DIAGONAL),
        energy(&askew::<4, 8, 1>(&pairs_down, true), &STEEP),
        energy(&askew::<8, 8, 0>(&rows, false), &STRAIGHT),
        energy(&askew::<4, 8, 1>(&pairs_down, false), &STEEP),
    ];
    let mut best = 0;
    for i in 1..8 {
        best = if costs[i] > costs[best] { i } else { best };
    }
    (best, (costs[best] - costs[(best + 4) % 8]) >> 10)
}

/// Sums over columns of rows, each one `STEP` columns further right than the one before it, or than the one after it.
#[inline(always)]
fn askew<const R: usize, const C: usize, const STEP: usize>(rows: &[[i16; C]; R], upwards: bool) -> [i16; 16] {
    let mut grid = [[0; 16]; R];
    for (i, row) in rows.iter().enumerate() {
        let start = if upwards { R - 1 - i } else { i } * STEP;
        grid[i][start..][..C].copy_from_slice(row);
    }
    let mut sums = [0; 16];
    for (j, sum) in sums.iter_mut().enumerate() {
        for row in &grid {
            *sum += row[j];
        }
    }
    sums
}

#[inline(always)]
fn energy(lines: &[i16; 16], weights: &[i32; 16]) -> i32 {
    let mut sum = 0;
    for i in 0..16 {
        sum += i32::from(lines[i]) * i32::from(lines[i]) * weights[i];
    }
    sum
}

/// 840 divided by the samples of each line.
const DIAGONAL: [i32; 16] = [840, 420, 280, 210, 168, 140, 120, 105, 120, 140, 168, 210, 280, 420, 840, 0];
const STRAIGHT: [i32; 16] = [105, 105, 105, 105, 105, 105, 105, 105, 0, 0, 0, 0, 0, 0, 0, 0];
/// The same for lines of two samples a step.
const STEEP: [i32; 16] = [420, 210, 140, 105, 105, 105, 105, 105, 140, 210, 420, 0, 0, 0, 0, 0];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::av1::decisions::CdefStrength;
    use crate::av1::kernel::testing;
    use crate::av1::layout::Layout;

    fn random_strength(random: &mut fastrand::Rng) -> CdefStrength {
        let mut strength = |end| if random.u8(..4) == 0 { 0 } else { random.u8(..end) };
        CdefStrength {
            luma_primary: strength(16),
            luma_secondary: strength(4),
            chroma_primary: strength(16),
            chroma_secondary: strength(4),
        }
    }

    #[test]
    fn every_sample_is_what_the_specification_says() {
        let mut random = fastrand::Rng::with_seed(715);
        let mut changed = 0;
        for round in 0..120 {
            let size = testing::SIZES[round % testing::SIZES.len()];
            let layout = Layout::new(size, Default::default());
            let mut decisions = testing::blocks(&layout, &mut random);
            decisions.cdef.damping = random.u8(3..=6);
            decisions.cdef.bits = random.u8(..4);
            decisions.cdef.strengths = from_fn(|_| random_strength(&mut random));
            decisions.cdef_index.iter_mut().for_each(|index| *index = random.u8(..1 << decisions.cdef.bits));
            let source = testing::frame(&layout, &mut random);
            let (mut ours, mut spec) = (Frame::new(&layout), source.clone());
            frame(&decisions, &source, &mut ours);
            transcript(&decisions, &source, &mut spec);
            for plane in 0..3 {
                let (ours, spec) = (&ours.planes[plane], &spec.planes[plane]);
                let at = ours.data.iter().zip(&spec.data).position(|(a, b)| a != b);
                assert_eq!(at.map(|at| (at % ours.stride, at / ours.stride)), None, "round {round}, {plane}, {size}");
                changed += ours.data.iter().zip(&source.planes[plane].data).filter(|(a, b)| a != b).count();
            }
        }
        assert!(changed > 100_000, "{changed}");
    }

    #[test]
    fn without_strengths_the_frame_is_copied() {
        let mut random = fastrand::Rng::with_seed(16);
        let layout = Layout::new(crate::Size::new(130, 98), Default::default());
        let source = testing::frame(&layout, &mut random);
        let mut out = Frame::new(&layout);
        frame(&testing::blocks(&layout, &mut random), &source, &mut out);
        assert_eq!(out, source);
    }

    /// §7.15 and §7.15.1, word for word. `out` holds a copy of `source`.
    fn transcript(decisions: &Decisions, source: &Frame, out: &mut Frame) {
        let layout = decisions.layout();
        for r in (0..2 * layout.rows).step_by(2) {
            for c in (0..2 * layout.cols).step_by(2) {
                // A 64×64 in which all is skipped has no index; its blocks are left alone all the same.
                let idx = decisions.cdef_index[r / 16 * layout.superblock_cols() + c / 16];
                if decisions.block(r / 2, c / 2).skip {
                    continue;
                }
                let strength = decisions.cdef.strengths[usize::from(idx)];
                let sec = |coded: u8| if coded == 3 { 4 } else { i32::from(coded) };
                let (y_dir, var) = find_direction(&source.planes[0], r, c);
                let pri_str = i32::from(strength.luma_primary);
                let dir = if pri_str == 0 { 0 } else { y_dir };
                let var_str = if var >> 6 != 0 { ((var >> 6).ilog2() as i32).min(12) } else { 0 };
                let pri_str = if var != 0 { (pri_str * (4 + var_str) + 8) >> 4 } else { 0 };
                let damping = i32::from(decisions.cdef.damping);
                let luma = [pri_str, sec(strength.luma_secondary), damping];
                filter(decisions, source, out, [0, r, c], luma, dir);
                let pri_str = i32::from(strength.chroma_primary);
                let dir = if pri_str == 0 { 0 } else { y_dir };
                for plane in 1..3 {
                    let chroma = [pri_str, sec(strength.chroma_secondary), damping - 1];
                    filter(decisions, source, out, [plane, r, c], chroma, dir);
                }
            }
        }
    }

    fn find_direction(luma: &Samples, r: usize, c: usize) -> (usize, i32) {
        let mut cost = [0; 8];
        let mut partial = [[0; 15]; 8];
        for i in 0..8 {
            for j in 0..8 {
                let x = i32::from(luma.data[(4 * r + i) * luma.stride + 4 * c + j]) - 128;
                partial[0][i + j] += x;
                partial[1][i + j / 2] += x;
                partial[2][i] += x;
                partial[3][3 + i - j / 2] += x;
                partial[4][7 + i - j] += x;
                partial[5][3 - i / 2 + j] += x;
                partial[6][j] += x;
                partial[7][i / 2 + j] += x;
            }
        }
        let div_table = [0, 840, 420, 280, 210, 168, 140, 120, 105];
        let square = |i: usize, j: usize| partial[i][j] * partial[i][j];
        for i in 0..8 {
            cost[2] += square(2, i);
            cost[6] += square(6, i);
        }
        cost[2] *= div_table[8];
        cost[6] *= div_table[8];
        for i in 0..7 {
            cost[0] += (square(0, i) + square(0, 14 - i)) * div_table[i + 1];
            cost[4] += (square(4, i) + square(4, 14 - i)) * div_table[i + 1];
        }
        cost[0] += square(0, 7) * div_table[8];
        cost[4] += square(4, 7) * div_table[8];
        for i in (1..8).step_by(2) {
            for j in 0..5 {
                cost[i] += square(i, 3 + j);
            }
            cost[i] *= div_table[8];
            for j in 0..3 {
                cost[i] += (square(i, j) + square(i, 10 - j)) * div_table[2 * j + 2];
            }
        }
        let (mut best_cost, mut y_dir) = (0, 0);
        for (i, cost) in cost.into_iter().enumerate() {
            if cost > best_cost {
                (best_cost, y_dir) = (cost, i);
            }
        }
        (y_dir, (best_cost - cost[(y_dir + 4) & 7]) >> 10)
    }

    fn filter(
        decisions: &Decisions,
        source: &Frame,
        out: &mut Frame,
        [plane, r, c]: [usize; 3],
        [pri_str, sec_str, damping]: [i32; 3],
        dir: usize,
    ) {
        let sub = usize::from(plane > 0);
        let (x0, y0, w) = ((c * 4) >> sub, (r * 4) >> sub, 8 >> sub);
        let samples = &source.planes[plane];
        let layout = decisions.layout();
        let get = |i: usize, j: usize, dir: usize, k: usize, sign: isize| {
            let (down, right) = DIRECTIONS[dir][k];
            let y = (y0 + i) as isize + sign * down;
            let x = (x0 + j) as isize + sign * right;
            let inside = |at: isize, cells: usize| at >= 0 && ((at as usize) << sub) >> 3 < cells;
            (inside(y, layout.rows) && inside(x, layout.cols))
                .then(|| i32::from(samples.data[y as usize * samples.stride + x as usize]))
        };
        let constrain = |diff: i32, threshold: i32| {
            if threshold == 0 {
                return 0;
            }
            let adjusted = (damping - threshold.ilog2() as i32).max(0);
            let sign = if diff < 0 { -1 } else { 1 };
            sign * (threshold - (diff.abs() >> adjusted)).clamp(0, diff.abs())
        };
        let pri_taps = [[4, 2], [3, 3]];
        for i in 0..w {
            for j in 0..w {
                let x = i32::from(samples.data[(y0 + i) * samples.stride + x0 + j]);
                let (mut sum, mut max, mut min) = (0, x, x);
                for k in 0..2 {
                    for sign in [-1, 1] {
                        if let Some(p) = get(i, j, dir, k, sign) {
                            sum += pri_taps[(pri_str & 1) as usize][k] * constrain(p - x, pri_str);
                            (max, min) = (max.max(p), min.min(p));
                        }
                        for dir in [(dir + 6) & 7, (dir + 2) & 7] {
                            if let Some(s) = get(i, j, dir, k, sign) {
                                sum += [2, 1][k] * constrain(s - x, sec_str);
                                (max, min) = (max.max(s), min.min(s));
                            }
                        }
                    }
                }
                let value = (x + ((8 + sum - i32::from(sum < 0)) >> 4)).clamp(min, max);
                let stride = out.planes[plane].stride;
                out.planes[plane].data[(y0 + i) * stride + x0 + j] = value as u8;
            }
        }
    }
}
