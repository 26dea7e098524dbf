//! Deblocking (specification §7.14): edges between transforms are smoothed, first the vertical ones, then the horizontal.
//!
//! Every transform of our subset is as large as its block, so the edges are the edges of blocks. Filter deltas are off,
//! so the level is the frame's. An edge is filtered eight samples at a time, one lane a sample: luma by cells, chroma
//! with four samples of U beside four of V. Filtered samples of one edge are never read by another of the same
//! direction, so all edges of a direction may run at once.

use std::array::from_fn;

use crate::av1::decisions::{Block, Decisions};
use crate::av1::frame::{Frame, Samples};
use crate::av1::layout::CELL;

/// Deblocks a reconstructed frame in place.
///
/// A row's horizontal edges need the vertical ones of its own cells and of those above, so both directions walk down
/// together while the rows are in the cache.
pub fn frame(decisions: &Decisions, frame: &mut Frame) {
    let (layout, levels) = (decisions.layout(), decisions.deblock);
    if levels.luma == [0; 2] {
        return;
    }
    let luma = levels.luma.map(|level| [Limit::new(level); LANES]);
    let chroma: [Limit; LANES] = from_fn(|i| Limit::new(levels.chroma[i / CHROMA]));
    let chroma = (levels.chroma != [0; 2]).then(|| Limits::new(chroma, LANES));
    let [y, u, v] = &mut frame.planes;
    let (width, height) = (layout.size.width as usize, layout.size.height as usize);
    // Luma is filtered in runs of four, and only those that begin inside the true size.
    let inside = |start: usize, end: usize| if start + 4 < end { LANES } else { LANES / 2 };
    for row in 0..layout.rows {
        let lanes = Limits::new(luma[0], inside(row * CELL, height));
        let blocks = &decisions.blocks[row * layout.cols..][..layout.cols];
        for col in (1..layout.cols).filter(|col| starts(&blocks[*col], *col)) {
            let side = side(&blocks[col - 1], &blocks[col]);
            if levels.luma[0] > 0 {
                luma_vertical(y, col * CELL, row * CELL, side, &lanes);
            }
            if let Some(limits) = &chroma {
                chroma_vertical(u, v, col * CHROMA, row * CHROMA, side, limits);
            }
        }
        if row == 0 {
            continue;
        }
        let whole = Limits::new(luma[1], LANES);
        let last = Limits::new(luma[1], inside((layout.cols - 1) * CELL, width));
        let above = &decisions.blocks[(row - 1) * layout.cols..][..layout.cols];
        for col in (0..layout.cols).filter(|col| starts(&blocks[*col], row)) {
            let side = side(&above[col], &blocks[col]);
            if levels.luma[1] > 0 {
                let limits = if col + 1 == layout.cols { &last } else { &whole };
                luma_horizontal(y, col * CELL, row * CELL, side, limits);
            }
            if let Some(limits) = &chroma {
                chroma_horizontal(u, v, col * CHROMA, row * CHROMA, side, limits);
            }
        }
    }
}

/// A block begins at this row or column: blocks lie on multiples of their side.
fn starts(block: &Block, at: usize) -> bool {
    at.is_multiple_of(block.size.cells())
}

/// The smaller side of the blocks on both sides of an edge.
fn side(before: &Block, after: &Block) -> usize {
    before.size.side().min(after.size.side())
}

fn luma_vertical(plane: &mut Samples, x: usize, y: usize, side: usize, limits: &Limits) {
    let stride = plane.stride;
    if side == CELL {
        let rows = plane.at_mut(x - 4, y);
        let mut taps = columns(from_fn(|i| bytes(&rows[i * stride..])));
        if filter_8(&mut taps, limits).is_some() {
            let filtered = transpose(taps.map(narrow));
            (0..LANES).for_each(|i| rows[i * stride..][..8].copy_from_slice(&filtered[i]));
        }
    } else {
        let rows = plane.at_mut(x - 8, y);
        let before = columns(from_fn(|i| bytes(&rows[i * stride..])));
        let after = columns(from_fn(|i| bytes(&rows[i * stride + 8..])));
        let mut taps: [Lanes; 14] = from_fn(|i| if i < 7 { before[i + 1] } else { after[i - 7] });
        if filter_14(&mut taps, limits) {
            let before = transpose(from_fn(|i| narrow(if i == 0 { before[0] } else { taps[i - 1] })));
            let after = transpose(from_fn(|i| narrow(if i == 7 { after[7] } else { taps[i + 7] })));
            for i in 0..LANES {
                rows[i * stride..][..8].copy_from_slice(&before[i]);
                rows[i * stride + 8..][..8].copy_from_slice(&after[i]);
            }
        }
    }
}

fn luma_horizontal(plane: &mut Samples, x: usize, y: usize, side: usize, limits: &Limits) {
    let stride = plane.stride;
    if side == CELL {
        let rows = plane.at_mut(x, y - 4);
        let mut taps: [Lanes; 8] = from_fn(|i| widen(bytes(&rows[i * stride..])));
        if filter_8(&mut taps, limits).is_some() {
            (1..7).for_each(|i| rows[i * stride..][..LANES].copy_from_slice(&narrow(taps[i])));
        }
    } else {
        let rows = plane.at_mut(x, y - 7);
        let mut taps: [Lanes; 14] = from_fn(|i| widen(bytes(&rows[i * stride..])));
        if filter_14(&mut taps, limits) {
            (1..13).for_each(|i| rows[i * stride..][..LANES].copy_from_slice(&narrow(taps[i])));
        }
    }
}

fn chroma_vertical(u: &mut Samples, v: &mut Samples, x: usize, y: usize, side: usize, limits: &Limits) {
    let stride = u.stride;
    let (u, v) = (u.at_mut(x - 4, y), v.at_mut(x - 4, y));
    let mut all =
        columns(from_fn(|i| if i < CHROMA { bytes(&u[i * stride..]) } else { bytes(&v[(i - CHROMA) * stride..]) }));
    let [_, taps @ .., _] = &mut all;
    if filter_chroma(taps, side, limits) {
        let rows = transpose(all.map(narrow));
        for i in 0..CHROMA {
            u[i * stride..][..8].copy_from_slice(&rows[i]);
            v[i * stride..][..8].copy_from_slice(&rows[i + CHROMA]);
        }
    }
}

fn chroma_horizontal(u: &mut Samples, v: &mut Samples, x: usize, y: usize, side: usize, limits: &Limits) {
    let stride = u.stride;
    let (u, v) = (u.at_mut(x, y - 3), v.at_mut(x, y - 3));
    let mut taps: [Lanes; 6] = from_fn(|i| {
        let (u, v) = (&u[i * stride..][..CHROMA], &v[i * stride..][..CHROMA]);
        from_fn(|lane| i16::from(if lane < CHROMA { u[lane] } else { v[lane - CHROMA] }))
    });
    if filter_chroma(&mut taps, side, limits) {
        for i in 1..5 {
            let row = narrow(taps[i]);
            u[i * stride..][..CHROMA].copy_from_slice(&row[..CHROMA]);
            v[i * stride..][..CHROMA].copy_from_slice(&row[CHROMA..]);
        }
    }
}

/// The same tap of eight samples along an edge.
type Lanes = [i16; LANES];

const LANES: usize = 8;
/// Samples that differ by no more are flat.
const FLAT: Lanes = [1; LANES];
/// Chroma samples along one side of a cell.
const CHROMA: usize = CELL / 2;

/// What a level allows (§7.14.4), sharpness 0.
#[derive(Clone, Copy)]
struct Limit {
    inner: i16,
    edge: i16,
    thresh: i16,
}

impl Limit {
    /// Exceeded by every sample: the lane stays as it is.
    const NOTHING: Self = Self { inner: -1, edge: -1, thresh: 0 };

    fn new(level: u8) -> Self {
        let level = i16::from(level);
        match level {
            0 => Self::NOTHING,
            _ => Self { inner: level, edge: 2 * (level + 2) + level, thresh: level >> 4 },
        }
    }
}

/// Limits of each lane.
struct Limits {
    inner: Lanes,
    edge: Lanes,
    thresh: Lanes,
}

impl Limits {
    /// The first `used` lanes are filtered.
    fn new(of: [Limit; LANES], used: usize) -> Self {
        let of: [Limit; LANES] = from_fn(|i| if i < used { of[i] } else { Limit::NOTHING });
        Self { inner: of.map(|l| l.inner), edge: of.map(|l| l.edge), thresh: of.map(|l| l.thresh) }
    }

    /// The filter mask (§7.14.6.2) from the steps between neighbours on both sides.
    fn pass(&self, step: Lanes, [p1, p0, q0, q1]: [Lanes; 4]) -> Mask {
        let edge = map2(distance(p0, q0), distance(p1, q1), |near, far| 2 * near + far / 2);
        map2(above(step, self.inner), above(edge, self.edge), |step, edge| !(step | edge))
    }
}

/// Edges of luma blocks of which one is 8 wide: up to 8 taps. The lanes that were found flat, or `None` where no lane
/// was to be filtered.
fn filter_8(taps: &mut [Lanes; 8], limits: &Limits) -> Option<Mask> {
    let [p3, p2, p1, p0, q0, q1, q2, q3] = *taps;
    let near = max(distance(p1, p0), distance(q1, q0));
    let far = max(max(distance(p2, p1), distance(q2, q1)), max(distance(p3, p2), distance(q3, q2)));
    let pass = limits.pass(max(near, far), [p1, p0, q0, q1]);
    if !any(pass) {
        return None;
    }
    let high = above(near, limits.thresh);
    let spread = max(max(distance(p2, p0), distance(q2, q0)), max(distance(p3, p0), distance(q3, q0)));
    let flat = map2(above(max(near, spread), FLAT), pass, |rough, pass| pass & !rough);
    let smooth = any(flat).then(|| wide::<8, 3>(taps, false));
    sharpen([p1, p0, q0, q1], high, pass, &mut taps[2..6]);
    if let Some(smooth) = smooth {
        (1..7).for_each(|i| taps[i] = select(flat, smooth[i], taps[i]));
    }
    Some(flat)
}

/// Edges between luma blocks of 16 and more: up to 13 taps. False where no lane was to be filtered.
fn filter_14(taps: &mut [Lanes; 14], limits: &Limits) -> bool {
    let [p6, p5, p4, _, _, _, p0, q0, _, _, _, q4, q5, q6] = *taps;
    let mut inner: [Lanes; 8] = from_fn(|i| taps[i + 3]);
    let Some(flat) = filter_8(&mut inner, limits) else { return false };
    let spread = |p, q| max(distance(p, p0), distance(q, q0));
    let spread = max(max(spread(p4, q4), spread(p5, q5)), spread(p6, q6));
    let flat = map2(above(spread, FLAT), flat, |rough, flat| flat & !rough);
    let smooth = any(flat).then(|| wide::<14, 4>(taps, true));
    taps[3..11].copy_from_slice(&inner);
    if let Some(smooth) = smooth {
        (1..13).for_each(|i| taps[i] = select(flat, smooth[i], taps[i]));
    }
    true
}

/// Edges of chroma blocks: up to 6 taps, beside blocks of 4 only the narrow filter. False where no lane was to be
/// filtered.
fn filter_chroma(taps: &mut [Lanes; 6], side: usize, limits: &Limits) -> bool {
    let [p2, p1, p0, q0, q1, q2] = *taps;
    let near = max(distance(p1, p0), distance(q1, q0));
    let six = side > CELL;
    let step = if six { max(near, max(distance(p2, p1), distance(q2, q1))) } else { near };
    let pass = limits.pass(step, [p1, p0, q0, q1]);
    if !any(pass) {
        return false;
    }
    let high = above(near, limits.thresh);
    let spread = max(near, max(distance(p2, p0), distance(q2, q0)));
    let flat = map2(above(spread, FLAT), pass, |rough, pass| pass & !rough);
    let smooth = (six && any(flat)).then(|| wide::<6, 3>(taps, true));
    sharpen([p1, p0, q0, q1], high, pass, &mut taps[1..5]);
    if let Some(smooth) = smooth {
        (1..5).for_each(|i| taps[i] = select(flat, smooth[i], taps[i]));
    }
    true
}

/// The narrow filter (§7.14.6.3) on the four inner taps, where `pass` allows it.
fn sharpen([p1, p0, q0, q1]: [Lanes; 4], high: Mask, pass: Mask, out: &mut [Lanes]) {
    let clamp = |v: i16| v.clamp(-128, 127);
    let outer = map2(map2(p1, q1, |p1, q1| clamp(p1 - q1)), high, |step, high| step & high);
    let step = map2(q0, p0, |q0, p0| 3 * (q0 - p0));
    let step = map2(outer, step, |outer, step| clamp(outer + step));
    let down = step.map(|step| clamp(step + 4) >> 3);
    let up = step.map(|step| clamp(step + 3) >> 3);
    let sides = map2(down, high, |down, high| (down + 1) >> 1 & !high);
    let add = |tap, change: Lanes| map2(tap, map2(change, pass, |c, pass| c & pass), |t, c: i16| (t + c).clamp(0, 255));
    out[0] = add(p1, sides);
    out[1] = add(p0, up);
    out[2] = add(q0, down.map(|v| -v));
    out[3] = add(q1, sides.map(|v| -v));
}

/// The wide filter (§7.14.6.4) over all of `taps`: a window that slides over taps repeated at both ends. `triple`
/// counts the middle three twice, otherwise the middle one.
fn wide<const N: usize, const SHIFT: i16>(taps: &[Lanes; N], triple: bool) -> [Lanes; N] {
    let reach = N as isize / 2 - 1;
    let at = |i: isize| taps[i.clamp(0, N as isize - 1) as usize];
    let add = |a, b| map2(a, b, |a, b| a + b);
    let mut window = [1 << (SHIFT - 1); LANES];
    (1 - reach..=1 + reach).for_each(|i| window = add(window, at(i)));
    let mut out = *taps;
    for i in 1..N as isize - 1 {
        let middle = if triple { add(add(at(i - 1), at(i)), at(i + 1)) } else { at(i) };
        out[i as usize] = map2(window, middle, |a, b| (a + b) >> SHIFT);
        window = add(window, map2(at(i + 1 + reach), at(i - reach), |a, b| a - b));
    }
    out
}

/// All bits of a lane set, or none.
type Mask = Lanes;

fn map2(a: Lanes, b: Lanes, f: impl Fn(i16, i16) -> i16) -> Lanes {
    from_fn(|i| f(a[i], b[i]))
}

fn max(a: Lanes, b: Lanes) -> Lanes {
    map2(a, b, i16::max)
}

fn above(a: Lanes, limit: Lanes) -> Mask {
    map2(a, limit, |a, limit| if a > limit { -1 } else { 0 })
}

fn distance(a: Lanes, b: Lanes) -> Lanes {
    map2(a, b, |a, b| (a - b).abs())
}

fn select(mask: Mask, a: Lanes, b: Lanes) -> Lanes {
    from_fn(|i| a[i] & mask[i] | b[i] & !mask[i])
}

fn any(mask: Mask) -> bool {
    mask.iter().fold(0, |any, lane| any | lane) != 0
}

fn widen(row: [u8; 8]) -> Lanes {
    row.map(i16::from)
}

fn narrow(lanes: Lanes) -> [u8; 8] {
    lanes.map(|v| v as u8)
}

/// The first eight bytes.
fn bytes(row: &[u8]) -> [u8; 8] {
    *row.first_chunk().expect("a plane has room for whole superblocks")
}

/// Eight rows of eight samples as eight taps.
fn columns(rows: [[u8; 8]; 8]) -> [Lanes; 8] {
    transpose(rows).map(widen)
}

/// Rows become columns: blocks of 4, then 2, then 1 across the diagonal change places, eight bytes a word.
fn transpose(rows: [[u8; 8]; 8]) -> [[u8; 8]; 8] {
    let mut words = rows.map(u64::from_le_bytes);
    for (step, mask) in [(4, 0x0000_0000_ffff_ffff_u64), (2, 0x0000_ffff_0000_ffff), (1, 0x00ff_00ff_00ff_00ff)] {
        for i in (0..8).filter(|i| i & step == 0) {
            let change = (words[i] >> (8 * step) ^ words[i + step]) & mask;
            words[i] ^= change << (8 * step);
            words[i + step] ^= change;
        }
    }
    words.map(u64::to_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::av1::kernel::testing;
    use crate::av1::layout::Layout;

    #[test]
    fn every_sample_is_what_the_specification_says() {
        let mut random = fastrand::Rng::with_seed(714);
        let mut changed = 0;
        for round in 0..160 {
            let size = testing::SIZES[round % testing::SIZES.len()];
            let layout = Layout::new(size, Default::default());
            let mut decisions = testing::blocks(&layout, &mut random);
            let mut level = || if random.u8(..5) == 0 { 0 } else { random.u8(..64) };
            decisions.deblock.luma = [level(), level()];
            decisions.deblock.chroma = [level(), level()];
            let source = testing::frame(&layout, &mut random);
            let (mut ours, mut spec) = (source.clone(), source.clone());
            frame(&decisions, &mut ours);
            transcript(&decisions, &mut spec);
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
    fn a_transposed_block_comes_back() {
        let rows: [[u8; 8]; 8] = from_fn(|row| from_fn(|col| (row * 8 + col) as u8));
        assert_eq!(transpose(rows)[3][5], rows[5][3]);
        assert_eq!(transpose(transpose(rows)), rows);
    }

    /// §7.14.1 and §7.14.2, word for word.
    fn transcript(decisions: &Decisions, frame: &mut Frame) {
        let (layout, levels) = (decisions.layout(), decisions.deblock);
        if levels.luma == [0, 0] {
            return;
        }
        let loop_filter_level = [levels.luma[0], levels.luma[1], levels.chroma[0], levels.chroma[1]];
        for plane in 0..3 {
            if plane != 0 && loop_filter_level[1 + plane] == 0 {
                continue;
            }
            for pass in 0..2 {
                let step = if plane == 0 { 1 } else { 2 };
                for row in (0..2 * layout.rows).step_by(step) {
                    for col in (0..2 * layout.cols).step_by(step) {
                        edge(decisions, frame, &loop_filter_level, [plane, pass, row, col]);
                    }
                }
            }
        }
    }

    fn edge(decisions: &Decisions, frame: &mut Frame, levels: &[u8; 4], [plane, pass, row, col]: [usize; 4]) {
        let sub = usize::from(plane > 0);
        let (dx, dy) = if pass == 0 { (1, 0) } else { (0, 1) };
        let (x, y) = (col * 4, row * 4);
        let (row, col) = (row | sub, col | sub);
        let size = decisions.layout().size;
        if x >= size.width as usize || y >= size.height as usize || pass == 0 && x == 0 || pass == 1 && y == 0 {
            return;
        }
        let (x_p, y_p) = (x >> sub, y >> sub);
        let (prev_row, prev_col) = (row - (dy << sub), col - (dx << sub));
        let block = decisions.block(row / 2, col / 2);
        let previous = decisions.block(prev_row / 2, prev_col / 2);
        // A skipped 64×64 has transforms of 64×64 and 32×32.
        let transform = |block: &Block| block.size.side() >> sub;
        let along = if pass == 0 { x_p } else { y_p };
        let is_block_edge = along % (block.size.side() >> sub) == 0;
        let is_tx_edge = along % transform(block) == 0;
        let apply = is_tx_edge && (is_block_edge || !block.skip || !block.is_inter());
        let base = transform(block).min(transform(previous));
        let filter_size = base.min(if plane == 0 { 16 } else { 8 });
        let level = i32::from(levels[if plane == 0 { pass } else { plane + 1 }]);
        let limit = level.max(1);
        if apply && level > 0 {
            for i in 0..4 {
                let at = |k: isize| {
                    let x = (x_p + dy * i) as isize + k * dx as isize;
                    let y = (y_p + dx * i) as isize + k * dy as isize;
                    (x as usize, y as usize)
                };
                sample(&mut frame.planes[plane], plane, at, filter_size, [limit, 2 * (level + 2) + limit, level >> 4]);
            }
        }
    }

    /// §7.14.6: `at` gives the place of q0 for 0, q1 for 1, p0 for −1.
    fn sample(
        samples: &mut Samples,
        plane: usize,
        at: impl Fn(isize) -> (usize, usize),
        filter_size: usize,
        [limit, blimit, thresh]: [i32; 3],
    ) {
        let stride = samples.stride;
        let place = |k: isize| at(k).0 + at(k).1 * stride;
        let half = if filter_size == 16 { 7 } else { (filter_size / 2).min(if plane > 0 { 3 } else { 4 }) } as isize;
        let near: Vec<i32> = (-half..half).map(|k| i32::from(samples.data[place(k)])).collect();
        let q = |k: isize| near[(half + k) as usize];
        let p = |k: isize| near[(half - 1 - k) as usize];
        let away = |a: i32, b: i32| (a - b).abs();
        let hev = away(p(1), p(0)) > thresh || away(q(1), q(0)) > thresh;
        let filter_len = match (filter_size, plane) {
            (4, _) => 4,
            (_, 1..) => 6,
            (8, _) => 8,
            _ => 16,
        };
        let mut mask = away(p(1), p(0)) > limit || away(q(1), q(0)) > limit;
        mask |= away(p(0), q(0)) * 2 + away(p(1), q(1)) / 2 > blimit;
        if filter_len >= 6 {
            mask |= away(p(2), p(1)) > limit || away(q(2), q(1)) > limit;
        }
        if filter_len >= 8 {
            mask |= away(p(3), p(2)) > limit || away(q(3), q(2)) > limit;
        }
        let flat_to = |k: isize| away(p(k), p(0)) <= 1 && away(q(k), q(0)) <= 1;
        let flat = filter_size >= 8 && flat_to(1) && flat_to(2) && (filter_len < 8 || flat_to(3));
        let flat_2 = filter_size >= 16 && flat_to(4) && flat_to(5) && flat_to(6);
        let mut put = |k: isize, value: i32| samples.data[place(k)] = value as u8;
        if mask {
            return;
        }
        if filter_size == 4 || !flat {
            let clamp = |v: i32| v.clamp(-128, 127);
            let (ps1, ps0, qs0, qs1) = (p(1) - 128, p(0) - 128, q(0) - 128, q(1) - 128);
            let filter = if hev { clamp(ps1 - qs1) } else { 0 };
            let filter = clamp(filter + 3 * (qs0 - ps0));
            let filter_1 = clamp(filter + 4) >> 3;
            let filter_2 = clamp(filter + 3) >> 3;
            put(0, clamp(qs0 - filter_1) + 128);
            put(-1, clamp(ps0 + filter_2) + 128);
            if !hev {
                let filter = (filter_1 + 1) >> 1;
                put(1, clamp(qs1 - filter) + 128);
                put(-2, clamp(ps1 + filter) + 128);
            }
            return;
        }
        let log2_size = if filter_size == 8 || !flat_2 { 3 } else { 4 };
        let n = if log2_size == 4 {
            6
        } else if plane == 0 {
            3
        } else {
            2
        };
        let n2: isize = if log2_size == 3 && plane == 0 { 0 } else { 1 };
        for i in -n..n {
            let mut t = 0;
            for j in -n..=n {
                let p = (i + j).clamp(-(n + 1), n);
                let tap = if isize::abs(j) <= n2 { 2 } else { 1 };
                t += near[(half + p) as usize] * tap;
            }
            put(i, (t + (1 << (log2_size - 1))) >> log2_size);
        }
    }
}
