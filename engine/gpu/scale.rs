//! The plain twin of scale.wgsl: tight I420 to another size, rows first into one scratch row, then its columns.

use super::taps::Taps;
use super::{Filter, Size};

/// The tables of one pair of sizes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tables {
    pub from: Size,
    pub to: Size,
    /// Columns of luma and chroma.
    pub columns: [Taps; 2],
    /// Rows of luma and chroma.
    pub rows: [Taps; 2],
}

impl Tables {
    /// `filter` `None` chooses for each axis: area where samples get fewer, bilinear where they get more.
    pub(super) fn new(from: Size, to: Size, filter: Option<Filter>) -> Self {
        let axis = |from: u32, to: u32| {
            Taps::new(from, to, filter.unwrap_or(if to > from { Filter::Bilinear } else { Filter::Area }))
        };
        let (cf, ct) = (from.chroma(), to.chroma());
        Self {
            from,
            to,
            columns: [axis(from.width, to.width), axis(cf.width, ct.width)],
            rows: [axis(from.height, to.height), axis(cf.height, ct.height)],
        }
    }
}

/// Scratch rows, grown to the widest source seen.
#[derive(Default)]
pub(super) struct Scale {
    middle: Vec<i16>,
    sums: Vec<i32>,
}

impl Scale {
    /// Scales `data` (tight I420 of `tables.from`) into `out` (tight I420 of `tables.to`).
    pub(super) fn run(&mut self, tables: &Tables, data: &[u8], out: &mut [u8]) {
        let (from, to) = (tables.from, tables.to);
        let widest = from.width as usize;
        self.middle.resize(self.middle.len().max(widest), 0);
        self.sums.resize(self.sums.len().max(widest), 0);
        let (y, uv) = data.split_at(from.area());
        let (u, v) = uv.split_at(from.chroma().area());
        let (out_y, out_uv) = out.split_at_mut(to.area());
        let (out_u, out_v) = out_uv.split_at_mut(to.chroma().area());
        let half = from.chroma().width as usize;
        for (axis, width, data, out) in [(0, widest, y, out_y), (1, half, u, out_u), (1, half, v, out_v)] {
            let axes = (&tables.columns[axis], &tables.rows[axis]);
            let scratch = (&mut self.middle[..width], &mut self.sums[..width]);
            #[cfg(target_arch = "x86_64")]
            if std::arch::is_x86_feature_detected!("avx2") {
                // SAFETY: the processor has AVX2, as just asked.
                unsafe { plane_avx2(axes, data, out, scratch) };
                continue;
            }
            plane(axes, data, out, scratch);
        }
    }
}

/// Fraction bits dropped after the rows (14 in, 6 kept) and after the columns (the 6 and 14 more).
const ROW_SHIFT: u32 = 8;
const COLUMN_SHIFT: u32 = 20;

/// The same code, compiled for wider registers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn plane_avx2(axes: (&Taps, &Taps), data: &[u8], out: &mut [u8], scratch: (&mut [i16], &mut [i32])) {
    plane(axes, data, out, scratch);
}

/// One plane; the scratch rows are as wide as the source.
#[inline(always)]
fn plane((columns, rows): (&Taps, &Taps), data: &[u8], out: &mut [u8], (middle, sums): (&mut [i16], &mut [i32])) {
    let width = middle.len();
    let lines = rows.starts.iter().zip(rows.weights.chunks_exact(rows.count));
    for (out, (start, weights)) in out.chunks_exact_mut(columns.starts.len()).zip(lines) {
        let source = &data[*start as usize * width..][..rows.count * width];
        match rows.count {
            1 => vertical::<1>(source, weights, middle),
            2 => vertical::<2>(source, weights, middle),
            3 => vertical::<3>(source, weights, middle),
            4 => vertical::<4>(source, weights, middle),
            _ => vertical_any(source, weights, sums, middle),
        }
        match columns.count {
            1 => horizontal::<1>(columns, middle, out),
            2 => horizontal::<2>(columns, middle, out),
            3 => horizontal::<3>(columns, middle, out),
            4 => horizontal::<4>(columns, middle, out),
            _ => horizontal_any(columns, middle, out),
        }
    }
}

/// `N` source rows, one behind the other, to one scratch row.
#[inline(always)]
fn vertical<const N: usize>(source: &[u8], weights: &[i16], middle: &mut [i16]) {
    let width = middle.len();
    let rows: [&[u8]; N] = std::array::from_fn(|k| &source[k * width..][..width]);
    let weights: [i32; N] = std::array::from_fn(|k| i32::from(weights[k]));
    for (x, out) in middle.iter_mut().enumerate() {
        let mut sum = 1 << (ROW_SHIFT - 1);
        for k in 0..N {
            sum += weights[k] * i32::from(rows[k][x]);
        }
        *out = (sum >> ROW_SHIFT) as i16;
    }
}

#[inline(always)]
fn vertical_any(source: &[u8], weights: &[i16], sums: &mut [i32], middle: &mut [i16]) {
    sums.fill(1 << (ROW_SHIFT - 1));
    for (row, weight) in source.chunks_exact(sums.len()).zip(weights) {
        let weight = i32::from(*weight);
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum += weight * i32::from(*value);
        }
    }
    for (out, sum) in middle.iter_mut().zip(sums) {
        *out = (*sum >> ROW_SHIFT) as i16;
    }
}

/// One scratch row to one row of samples, `N` taps each.
#[inline(always)]
fn horizontal<const N: usize>(columns: &Taps, middle: &[i16], out: &mut [u8]) {
    for (out, (start, weights)) in out.iter_mut().zip(columns.starts.iter().zip(columns.weights.as_chunks::<N>().0)) {
        let mut sum = 1 << (COLUMN_SHIFT - 1);
        for (value, weight) in middle[*start as usize..][..N].iter().zip(weights) {
            sum += i32::from(*value) * i32::from(*weight);
        }
        *out = (sum >> COLUMN_SHIFT).clamp(0, 255) as u8;
    }
}

#[inline(always)]
fn horizontal_any(columns: &Taps, middle: &[i16], out: &mut [u8]) {
    let taps = columns.starts.iter().zip(columns.weights.chunks_exact(columns.count));
    for (out, (start, weights)) in out.iter_mut().zip(taps) {
        let mut sum = 1 << (COLUMN_SHIFT - 1);
        for (value, weight) in middle[*start as usize..][..weights.len()].iter().zip(weights) {
            sum += i32::from(*value) * i32::from(*weight);
        }
        *out = (sum >> COLUMN_SHIFT).clamp(0, 255) as u8;
    }
}
