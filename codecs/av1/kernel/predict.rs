//! Prediction, exactly as a decoder does it: from the samples around a block (specification §7.11.2), from another frame
//! (§7.11.3), and chroma from luma (§7.11.5).

use std::ops::{Add, Mul};

use crate::av1::decisions::{IntraMode, Vector};
use crate::av1::frame::Samples;

/// Greatest side of an intra block.
const INTRA: usize = 32;

/// Samples above and to the left of a block.
#[derive(Clone, Debug)]
pub struct Edges {
    above: [u8; INTRA],
    left: [u8; INTRA],
    corner: u8,
    has_above: bool,
    has_left: bool,
}

/// Where a block lies, for the sake of what is around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Column of its first sample in the plane.
    pub x: usize,
    /// Row.
    pub y: usize,
    /// Samples along one side: 4 to 32.
    pub side: usize,
    /// There is a block above, in the same tile.
    pub has_above: bool,
    /// There is a block to the left, in the same tile.
    pub has_left: bool,
    /// Column after the last of the coded cells in this plane: what lies beyond repeats the last one.
    pub right: usize,
    /// Row after the last.
    pub bottom: usize,
}

impl Edges {
    /// Collects what is around a block.
    pub fn new(plane: &Samples, place: &Place) -> Self {
        let Place { x, y, side, has_above, has_left, .. } = *place;
        let mut edges = Self { above: [127; INTRA], left: [129; INTRA], corner: 128, has_above, has_left };
        if has_above {
            let row = plane.at(x, y - 1);
            let inside = side.min(place.right - x);
            edges.above[..inside].copy_from_slice(&row[..inside]);
            edges.above[inside..].fill(row[inside - 1]);
        } else if has_left {
            edges.above.fill(plane.at(x - 1, y)[0]);
        }
        if has_left {
            let inside = side.min(place.bottom - y);
            let column = plane.at(x - 1, y).iter().step_by(plane.stride);
            edges.left.iter_mut().zip(column).take(inside).for_each(|(left, sample)| *left = *sample);
            let last = edges.left[inside - 1];
            edges.left[inside..].fill(last);
        } else if has_above {
            edges.left.fill(plane.at(x, y - 1)[0]);
        }
        edges.corner = match (has_above, has_left) {
            (true, true) => plane.at(x - 1, y - 1)[0],
            (true, false) => plane.at(x, y - 1)[0],
            (false, true) => plane.at(x - 1, y)[0],
            (false, false) => 128,
        };
        edges
    }
}

wide! {
    /// Predicts a `side`×`side` block from what is around it.
    pub fn intra(mode: IntraMode, edges: &Edges, side: usize, out: &mut [u8], stride: usize) = intra_plain;

    /// Predicts a block of `width`×`height` samples (4 to 64) at (`x`, `y`) from another frame. Beyond the true size of
    /// the reference its last samples go on for ever. The vector counts luma samples; `subsampled` planes have half.
    #[expect(clippy::too_many_arguments, reason = "place, shape and vector of one block")]
    pub fn inter(
        reference: &Samples, x: i32, y: i32, width: usize, height: usize, vector: Vector, subsampled: bool,
        out: &mut [u8], stride: usize,
    ) = inter_plain;

    /// Adds `alpha` eighths of luma's changes to predicted chroma.
    pub fn add_luma(luma: &LumaChanges, alpha: i8, side: usize, out: &mut [u8], stride: usize) = add_luma_plain;
}

#[inline(always)]
fn intra_plain(mode: IntraMode, edges: &Edges, side: usize, out: &mut [u8], stride: usize) {
    match side {
        4 => intra_sized::<4>(mode, edges, &SMOOTH_4, out, stride),
        8 => intra_sized::<8>(mode, edges, &SMOOTH_8, out, stride),
        16 => intra_sized::<16>(mode, edges, &SMOOTH_16, out, stride),
        _ => intra_sized::<32>(mode, edges, &SMOOTH_32, out, stride),
    }
}

#[inline(always)]
fn intra_sized<const N: usize>(mode: IntraMode, edges: &Edges, weights: &[i32; N], out: &mut [u8], stride: usize) {
    let above: &[u8; N] = edges.above.first_chunk().expect("N is at most 32");
    let left: &[u8; N] = edges.left.first_chunk().expect("N is at most 32");
    let rows = out.chunks_mut(stride).map(|row| row.first_chunk_mut::<N>().expect("N samples")).zip(left);
    let (bottom, right) = (i32::from(left[N - 1]), i32::from(above[N - 1]));
    match mode {
        IntraMode::Dc => {
            let mean = dc(edges, above, left);
            rows.for_each(|(row, _)| row.fill(mean));
        }
        IntraMode::V => rows.for_each(|(row, _)| *row = *above),
        IntraMode::H => rows.for_each(|(row, left)| row.fill(*left)),
        IntraMode::Smooth => {
            for ((row, left), down) in rows.zip(weights) {
                for (i, sample) in row.iter_mut().enumerate() {
                    let vertical = down * i32::from(above[i]) + (256 - down) * bottom;
                    let horizontal = weights[i] * i32::from(*left) + (256 - weights[i]) * right;
                    *sample = ((vertical + horizontal + 256) >> 9) as u8;
                }
            }
        }
        IntraMode::SmoothV => {
            for ((row, _), down) in rows.zip(weights) {
                for (sample, above) in row.iter_mut().zip(above) {
                    *sample = ((down * i32::from(*above) + (256 - down) * bottom + 128) >> 8) as u8;
                }
            }
        }
        IntraMode::SmoothH => {
            for (row, left) in rows {
                for (sample, across) in row.iter_mut().zip(weights) {
                    *sample = ((across * i32::from(*left) + (256 - across) * right + 128) >> 8) as u8;
                }
            }
        }
        IntraMode::Paeth => {
            for (row, left) in rows {
                for (sample, above) in row.iter_mut().zip(above) {
                    *sample = paeth(*above, *left, edges.corner);
                }
            }
        }
    }
}

#[inline(always)]
fn dc<const N: usize>(edges: &Edges, above: &[u8; N], left: &[u8; N]) -> u8 {
    let sum = |edge: &[u8; N]| edge.iter().map(|sample| u32::from(*sample)).sum::<u32>();
    let n = N as u32;
    let mean = match (edges.has_above, edges.has_left) {
        (true, true) => (sum(above) + sum(left) + n) / (2 * n),
        (true, false) => (sum(above) + n / 2) / n,
        (false, true) => (sum(left) + n / 2) / n,
        (false, false) => 128,
    };
    mean as u8
}

#[inline(always)]
fn paeth(above: u8, left: u8, corner: u8) -> u8 {
    // Distances of left + above − corner from each of the three.
    let (a, l, c) = (i16::from(above), i16::from(left), i16::from(corner));
    let (to_left, to_above, to_corner) = ((a - c).abs(), (l - c).abs(), (a + l - 2 * c).abs());
    if to_left <= to_above && to_left <= to_corner {
        left
    } else if to_above <= to_corner {
        above
    } else {
        corner
    }
}

/// How luma differs from its mean over a block, at the places of chroma samples, in eighths.
#[derive(Clone, Debug)]
pub struct LumaChanges([i16; 256]);

impl LumaChanges {
    /// Of the luma block at (`x`, `y`) under a chroma block of `side` samples, 4 to 16.
    ///
    /// A block that sticks out of the frame counts with all its samples, as they are reconstructed outside too.
    pub fn new(luma: &Samples, x: usize, y: usize, side: usize) -> Self {
        let mut changes = [0; 256];
        let mut sum = 0;
        let rows = luma.at(x, y).chunks(2 * luma.stride);
        for (line, rows) in changes.chunks_exact_mut(side).zip(rows).take(side) {
            let (upper, lower) = rows.split_at(luma.stride);
            let pairs = upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0);
            for (change, (upper, lower)) in line.iter_mut().zip(pairs) {
                let four = upper.iter().chain(lower).map(|sample| i16::from(*sample)).sum::<i16>();
                *change = four * 2;
                sum += i32::from(*change);
            }
        }
        let area = side * side;
        let mean = ((sum + (area as i32 >> 1)) >> area.ilog2()) as i16;
        changes[..area].iter_mut().for_each(|change| *change -= mean);
        Self(changes)
    }
}

#[inline(always)]
fn add_luma_plain(luma: &LumaChanges, alpha: i8, side: usize, out: &mut [u8], stride: usize) {
    match side {
        4 => add_luma_sized::<4>(luma, alpha, out, stride),
        8 => add_luma_sized::<8>(luma, alpha, out, stride),
        _ => add_luma_sized::<16>(luma, alpha, out, stride),
    }
}

#[inline(always)]
fn add_luma_sized<const N: usize>(luma: &LumaChanges, alpha: i8, out: &mut [u8], stride: usize) {
    for (samples, changes) in out.chunks_mut(stride).zip(luma.0[..N * N].as_chunks::<N>().0) {
        for (sample, change) in samples[..N].iter_mut().zip(changes) {
            let scaled = i32::from(alpha) * i32::from(*change);
            let magnitude = (scaled.abs() + 32) >> 6;
            let change = if scaled < 0 { -magnitude } else { magnitude };
            *sample = (i32::from(*sample) + change).clamp(0, 255) as u8;
        }
    }
}

/// Samples that the filters reach before a position, and after it.
const BEFORE: usize = 2;
const AFTER: usize = 3;
const REACH: usize = BEFORE + AFTER;
const TAPS: usize = REACH + 1;

/// Greatest side of an inter block, with what the filters reach.
const PATCH: usize = 64 + REACH;

#[inline(always)]
#[expect(
    clippy::too_many_arguments,
    reason = "the position and shape of one block; a struct would be taken apart here"
)]
fn inter_plain(
    reference: &Samples,
    x: i32,
    y: i32,
    width: usize,
    height: usize,
    vector: Vector,
    subsampled: bool,
    out: &mut [u8],
    stride: usize,
) {
    let sixteenths = |component: i16| if subsampled { i32::from(component) } else { 2 * i32::from(component) };
    let (x, y) = ((x << 4) + sixteenths(vector.col), (y << 4) + sixteenths(vector.row));
    let across = Filter::new(x & 15, width);
    let down = Filter::new(y & 15, height);
    let (left, top) = ((x >> 4) - across.before(), (y >> 4) - down.before());
    let (columns, rows) = (width + across.reach(), height + down.reach());
    let inside =
        left >= 0 && top >= 0 && left as usize + columns <= reference.width && top as usize + rows <= reference.height;
    if inside {
        let from = reference.at(left as usize, top as usize);
        filter(from, reference.stride, across, down, width, height, out, stride);
    } else {
        let mut patch = [0; PATCH * PATCH];
        fill(reference, left, top, columns, &mut patch[..rows * PATCH]);
        filter(&patch, PATCH, across, down, width, height, out, stride);
    }
}

/// Copies `columns` samples a row from (`left`, `top`) on, each coordinate clamped to the true size.
#[inline(always)]
fn fill(reference: &Samples, left: i32, top: i32, columns: usize, patch: &mut [u8]) {
    let (last_x, last_y) = (reference.width as i32 - 1, reference.height as i32 - 1);
    let before = (-left).clamp(0, columns as i32) as usize;
    let inside = (last_x + 1 - left.max(0)).clamp(0, (columns - before) as i32) as usize;
    for (y, row) in (top..).zip(patch.chunks_exact_mut(PATCH)) {
        let from = &reference.at(0, y.clamp(0, last_y) as usize)[..reference.width];
        row[..before].fill(from[0]);
        if inside > 0 {
            row[before..before + inside].copy_from_slice(&from[left.max(0) as usize..][..inside]);
        }
        row[before + inside..columns].fill(from[last_x as usize]);
    }
}

/// The taps for a position between samples, halved: all of them are even. None where the position is a sample.
#[derive(Clone, Copy)]
struct Filter(Option<&'static [i16; TAPS]>);

impl Filter {
    #[inline(always)]
    fn new(fraction: i32, length: usize) -> Self {
        let table = if length <= 4 { &SHORT } else { &REGULAR };
        Self((fraction != 0).then(|| &table[fraction as usize]))
    }

    fn before(self) -> i32 {
        self.reach().min(BEFORE) as i32
    }

    fn reach(self) -> usize {
        if self.0.is_some() { REACH } else { 0 }
    }
}

#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "one block's source, taps, shape and target")]
fn filter(
    from: &[u8],
    from_stride: usize,
    across: Filter,
    down: Filter,
    width: usize,
    height: usize,
    out: &mut [u8],
    stride: usize,
) {
    match width {
        4 => filter_sized::<4>(from, from_stride, across, down, height, out, stride),
        8 => filter_sized::<8>(from, from_stride, across, down, height, out, stride),
        16 => filter_sized::<16>(from, from_stride, across, down, height, out, stride),
        32 => filter_sized::<32>(from, from_stride, across, down, height, out, stride),
        _ => filter_sized::<64>(from, from_stride, across, down, height, out, stride),
    }
}

/// First across to 3 fewer bits, then down to 11 fewer, as §7.11.3.4 rounds; where one direction has no filter, its
/// factor of 128 is taken out of both, which changes nothing.
#[inline(always)]
fn filter_sized<const W: usize>(
    from: &[u8],
    from_stride: usize,
    across: Filter,
    down: Filter,
    height: usize,
    out: &mut [u8],
    stride: usize,
) {
    let from = from.chunks(from_stride);
    let rows = out.chunks_mut(stride).map(|row| row.first_chunk_mut::<W>().expect("W samples")).take(height);
    match (across.0, down.0) {
        (None, None) => rows.zip(from).for_each(|(row, from)| row.copy_from_slice(&from[..W])),
        (Some(across), None) => {
            for (row, from) in rows.zip(from) {
                for (sample, sum) in row.iter_mut().zip(convolved::<W>(from, across)) {
                    *sample = ((sum + 8) >> 4).clamp(0, 255) as u8;
                }
            }
        }
        (None, Some(down)) => {
            let mut lines = [[0; W]; PATCH];
            for (line, from) in lines[..height + REACH].iter_mut().zip(from) {
                line.iter_mut().zip(&from[..W]).for_each(|(to, from)| *to = i16::from(*from));
            }
            for (row, lines) in rows.zip(lines.windows(TAPS)) {
                let [a, b, c, d, e, f] = lines else { continue };
                for (i, sample) in row.iter_mut().enumerate() {
                    let sum = weighed([a[i], b[i], c[i], d[i], e[i], f[i]], down);
                    *sample = ((sum + 32) >> 6).clamp(0, 255) as u8;
                }
            }
        }
        (Some(across), Some(down)) => {
            let mut lines = [[0; W]; PATCH];
            for (line, from) in lines[..height + REACH].iter_mut().zip(from) {
                *line = convolved(from, across);
            }
            let down = down.map(i32::from);
            for (row, lines) in rows.zip(lines.windows(TAPS)) {
                let [a, b, c, d, e, f] = lines else { continue };
                for (i, sample) in row.iter_mut().enumerate() {
                    let values = [a[i], b[i], c[i], d[i], e[i], f[i]].map(i32::from);
                    *sample = ((weighed(values, &down) + 512) >> 10).clamp(0, 255) as u8;
                }
            }
        }
    }
}

#[inline(always)]
fn weighed<T: Copy + Add<Output = T> + Mul<Output = T>>(values: [T; TAPS], taps: &[T; TAPS]) -> T {
    let [a, b, c, d, e, f] = values;
    a * taps[0] + b * taps[1] + c * taps[2] + d * taps[3] + e * taps[4] + f * taps[5]
}

/// One row filtered across, with 4 bits more than samples have. Halved taps keep every sum within 16 bits.
#[inline(always)]
fn convolved<const W: usize>(from: &[u8], taps: &[i16; TAPS]) -> [i16; W] {
    let from = &from[..W + REACH];
    let mut line = [0; W];
    for (i, value) in line.iter_mut().enumerate() {
        let near = |tap: usize| i16::from(from[i + tap]);
        let sum = weighed([near(0), near(1), near(2), near(3), near(4), near(5)], taps);
        *value = (sum + 2) >> 2;
    }
    line
}

/// Half of `Subpel_Filters[0]` without its outer taps, which are 0: by sixteenths of a sample.
pub(crate) static REGULAR: [[i16; TAPS]; 16] = [
    [0, 0, 64, 0, 0, 0],
    [1, -3, 63, 4, -1, 0],
    [1, -5, 61, 9, -2, 0],
    [1, -6, 58, 14, -4, 1],
    [1, -7, 55, 19, -5, 1],
    [1, -7, 51, 24, -6, 1],
    [1, -8, 47, 29, -6, 1],
    [1, -7, 42, 33, -6, 1],
    [1, -7, 38, 38, -7, 1],
    [1, -6, 33, 42, -7, 1],
    [1, -6, 29, 47, -8, 1],
    [1, -6, 24, 51, -7, 1],
    [1, -5, 19, 55, -7, 1],
    [1, -4, 14, 58, -6, 1],
    [0, -2, 9, 61, -5, 1],
    [0, -1, 4, 63, -3, 1],
];

/// Half of `Subpel_Filters[4]`, for blocks of at most 4 samples in that direction.
pub(crate) static SHORT: [[i16; TAPS]; 16] = [
    [0, 0, 64, 0, 0, 0],
    [0, -2, 63, 4, -1, 0],
    [0, -4, 61, 9, -2, 0],
    [0, -5, 58, 14, -3, 0],
    [0, -6, 55, 19, -4, 0],
    [0, -6, 51, 24, -5, 0],
    [0, -7, 47, 29, -5, 0],
    [0, -6, 42, 33, -5, 0],
    [0, -6, 38, 38, -6, 0],
    [0, -5, 33, 42, -6, 0],
    [0, -5, 29, 47, -7, 0],
    [0, -5, 24, 51, -6, 0],
    [0, -4, 19, 55, -6, 0],
    [0, -3, 14, 58, -5, 0],
    [0, -2, 9, 61, -4, 0],
    [0, -1, 4, 63, -2, 0],
];

pub(crate) static SMOOTH_4: [i32; 4] = [255, 149, 85, 64];

pub(crate) static SMOOTH_8: [i32; 8] = [255, 197, 146, 105, 73, 50, 37, 32];

pub(crate) static SMOOTH_16: [i32; 16] = [255, 225, 196, 170, 145, 123, 102, 84, 68, 54, 43, 33, 26, 20, 17, 16];

pub(crate) static SMOOTH_32: [i32; 32] = [
    255, 240, 225, 210, 196, 182, 169, 157, 145, 133, 122, 111, 101, 92, 83, 74, 66, 59, 52, 45, 39, 34, 29, 25, 21,
    17, 14, 12, 10, 9, 8, 8,
];

#[cfg(test)]
mod tests;
