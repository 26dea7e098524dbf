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
            let place = Place { row, col, edges: [row == 0, col == 0, row + 1 == layout.rows, col + 1 == layout.cols] };
            let mut filter = Filter::new(luma, cdef.damping, direction);
            filter.primary = adjusted(filter.primary, variance);
            filter.run::<CELL>(&source.planes[0], &mut out.planes[0], &place);
            let filter = Filter::new(chroma, cdef.damping - 1, direction);
            filter.run::<{ CELL / 2 }>(&source.planes[1], &mut out.planes[1], &place);
            filter.run::<{ CELL / 2 }>(&source.planes[2], &mut out.planes[2], &place);
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

/// A cell, and at which sides the frame ends with it: top, left, bottom, right.
struct Place {
    row: usize,
    col: usize,
    edges: [bool; 4],
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

    /// Filters `W`×`W` samples.
    fn run<const W: usize>(&self, from: &Samples, to: &mut Samples, place: &Place) {
        let inner = place.edges == [false; 4];
        match (self.primary > 0, self.secondary > 0) {
            (false, false) => (),
            (true, false) => self.block::<W, true, false, false>(from, to, place),
            (false, true) => self.block::<W, false, true, false>(from, to, place),
            (true, true) if inner => self.block::<W, true, true, false>(from, to, place),
            (true, true) => self.block::<W, true, true, true>(from, to, place),
        }
    }

    /// §7.15.3 with the parts that matter: one kind of taps alone cannot leave the range of its neighbours (its weights
    /// sum to 12 of 16), so only both together are clipped, and only at the edge of the frame a neighbour is missing.
    fn block<const W: usize, const PRIMARY: bool, const SECONDARY: bool, const EDGE: bool>(
        &self,
        from: &Samples,
        to: &mut Samples,
        place: &Place,
    ) {
        let (x, y, stride) = (place.col * W, place.row * W, 2 * W);
        let window = window::<W>(from, x, y, place.edges);
        let offset = |direction: usize, k: usize| {
            let (down, right) = DIRECTIONS[direction % 8][k];
            down * stride as isize + right
        };
        let taps: [_; 2] = from_fn(|k| {
            let (d, odd) = (self.direction, self.primary & 1 == 1);
            let weight = if odd { 3 } else { [4, 2][k] };
            (offset(d, k), weight, [offset(d + 2, k), offset(d + 6, k)], [2, 1][k])
        });
        let shift = |strength: i16| u32::from(self.damping).saturating_sub(strength.checked_ilog2().unwrap_or(0));
        let (primary, secondary) = ((self.primary, shift(self.primary)), (self.secondary, shift(self.secondary)));
        let (stride_out, out) = (to.stride, to.at_mut(x, y));
        for group in 0..W * W / LANES {
            let first = group * LANES / W;
            let at = ((2 + first) * stride + W / 2) as isize;
            let center = lanes::<W>(&window, at);
            let (mut sum, mut low, mut high) = ([0; LANES], center, center);
            let mut add = |at: isize, weight: i16, limits: (i16, u32)| {
                let tap = lanes::<W>(&window, at);
                for i in 0..LANES {
                    sum[i] += weight * constrain(tap[i] - center[i], limits);
                    if PRIMARY && SECONDARY {
                        low[i] = low[i].min(tap[i]);
                        high[i] = high[i].max(if EDGE && tap[i] == OUTSIDE { 0 } else { tap[i] });
                    }
                }
            };
            for (along, weight, across, weight_across) in taps {
                for sign in [-1, 1] {
                    if PRIMARY {
                        add(at + sign * along, weight, primary);
                    }
                    if SECONDARY {
                        add(at + sign * across[0], weight_across, secondary);
                        add(at + sign * across[1], weight_across, secondary);
                    }
                }
            }
            let filtered: [u8; LANES] = from_fn(|i| {
                let value = center[i] + ((8 + sum[i] - i16::from(sum[i] < 0)) >> 4);
                (if PRIMARY && SECONDARY { value.max(low[i]).min(high[i]) } else { value }) as u8
            });
            for (i, row) in filtered.chunks_exact(W).enumerate() {
                out[(first + i) * stride_out..][..W].copy_from_slice(row);
            }
        }
    }
}

/// Samples filtered at once: a row of luma, two rows of chroma.
const LANES: usize = 8;

/// Farther from any sample than every strength reaches, whatever the damping.
const OUTSIDE: i16 = 30_000;

/// A tap's share (the specification's `constrain`): the difference, less the more it exceeds the strength.
fn constrain(difference: i16, (strength, shift): (i16, u32)) -> i16 {
    let size = difference.abs();
    let share = size.min((strength - (size >> shift)).max(0));
    if difference < 0 { -share } else { share }
}

/// The block at (`x`, `y`) with two rows above and below and `W / 2` columns at both sides.
fn window<const W: usize>(from: &Samples, x: usize, y: usize, [top, left, bottom, right]: [bool; 4]) -> Window {
    let mut window = [OUTSIDE; WINDOW];
    let rows = if top { 2 } else { 0 }..if bottom { W + 2 } else { W + 4 };
    for row in rows {
        let to = &mut window[row * 2 * W..][..2 * W];
        let from = &from.data[(y + row - 2) * from.stride..];
        let mut copy = |start: usize, end: usize| {
            let from = &from[x + start - W / 2..x + end - W / 2];
            to[start..end].iter_mut().zip(from).for_each(|(to, from)| *to = i16::from(*from));
        };
        // The common case stands alone, for its length is known when it is compiled.
        match (left, right) {
            (false, false) => copy(0, 2 * W),
            _ => copy(if left { W / 2 } else { 0 }, if right { W / 2 + W } else { 2 * W }),
        }
    }
    window
}

type Window = [i16; WINDOW];

/// 12 rows of 16 for luma, 8 rows of 8 for chroma.
const WINDOW: usize = (CELL + 4) * 2 * CELL;

/// Eight samples of the window: `W` of a row, then those below.
fn lanes<const W: usize>(window: &Window, at: isize) -> [i16; LANES] {
    let samples = &window[at as usize..][..(LANES / W - 1) * 2 * W + W];
    from_fn(|i| samples[i / W * 2 * W + i % W])
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

/// Direction and variance of an 8×8 block (§7.15.2): along the direction whose lines have the greatest energy. Lines are
/// sums of rows laid out askew; where the specification counts them from the other end, the weights are the same.
fn direction(samples: &[u8], stride: usize) -> (usize, i32) {
    let rows: [[i16; 8]; 8] = from_fn(|i| from_fn(|j| i16::from(samples[i * stride..][..8][j]) - 128));
    let pairs_across: [[i16; 4]; 8] = rows.map(|row| from_fn(|j| row[2 * j] + row[2 * j + 1]));
    let pairs_down: [[i16; 8]; 4] = from_fn(|i| from_fn(|j| rows[2 * i][j] + rows[2 * i + 1][j]));
    let across: [i16; 8] = rows.map(|row| row.iter().sum());
    let down: [i16; 8] = from_fn(|j| rows.iter().map(|row| row[j]).sum());
    let even = |lines: [i16; 8]| lines.map(|line| i32::from(line) * i32::from(line)).iter().sum::<i32>() * 105;
    let costs = [
        energy(askew(rows), &DIAGONAL),
        energy(askew(pairs_across), &STEEP),
        even(across),
        energy(askew(reversed(pairs_across)), &STEEP),
        energy(askew(reversed(rows)), &DIAGONAL),
        energy(askew(reversed(pairs_down)), &STEEP),
        even(down),
        energy(askew(pairs_down), &STEEP),
    ];
    let best = (0..8).fold(0, |best, i| if costs[i] > costs[best] { i } else { best });
    (best, (costs[best] - costs[(best + 4) % 8]) >> 10)
}

/// Sums over columns of rows, each one column further right than the one before.
fn askew<const R: usize, const C: usize>(rows: [[i16; C]; R]) -> [i16; 16] {
    let mut grid = [[0; 16]; R];
    rows.iter().enumerate().for_each(|(i, row)| grid[i][i..i + C].copy_from_slice(row));
    grid.iter().fold([0; 16], |sum, row| from_fn(|i| sum[i] + row[i]))
}

fn reversed<const R: usize, const C: usize>(mut rows: [[i16; C]; R]) -> [[i16; C]; R] {
    rows.reverse();
    rows
}

fn energy(lines: [i16; 16], weights: &[i32; 16]) -> i32 {
    lines.iter().zip(weights).map(|(line, weight)| i32::from(*line) * i32::from(*line) * weight).sum()
}

/// 840 divided by the samples of each line.
const DIAGONAL: [i32; 16] = [840, 420, 280, 210, 168, 140, 120, 105, 120, 140, 168, 210, 280, 420, 840, 0];
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
