//! The plain twin of scale.wgsl: a part of a tight I420 picture to a part of one of another size, rows first into one
//! scratch row, then its columns; around that part are bars.

use super::prepare::fit::{self, Layout};
use super::taps::Taps;
use super::{Color, Filter, Rect, Size};

/// The tables of one pair of sizes and of the parts of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tables {
    pub from: Size,
    pub to: Size,
    /// The part of the source, of luma and of chroma.
    pub crop: [Rect; 2],
    /// The part of the target.
    pub inside: [Rect; 2],
    /// What the bars are made of.
    pub bars: [u8; 2],
    /// Columns of luma and chroma.
    pub columns: [Taps; 2],
    /// Rows of luma and chroma.
    pub rows: [Taps; 2],
}

impl Tables {
    /// `filter` `None` chooses for each axis: area where samples get fewer, bilinear where they get more.
    pub(super) fn new(from: Size, to: (Size, Color), layout: &Layout, filter: Option<Filter>) -> Self {
        let axis = |from: u32, to: u32| {
            Taps::new(from, to, filter.unwrap_or(if to > from { Filter::Bilinear } else { Filter::Area }))
        };
        let both = |part: Rect| [part, fit::chroma(part)];
        let (crop, inside) = (both(layout.crop), both(layout.inside));
        Self {
            from,
            to: to.0,
            columns: [0, 1].map(|i| axis(crop[i].width, inside[i].width)),
            rows: [0, 1].map(|i| axis(crop[i].height, inside[i].height)),
            crop,
            inside,
            bars: [to.1.black(), 128],
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
        let widest = tables.crop[0].width as usize;
        self.middle.resize(self.middle.len().max(widest), 0);
        self.sums.resize(self.sums.len().max(widest), 0);
        let (y, uv) = data.split_at(from.area());
        let (u, v) = uv.split_at(from.chroma().area());
        let (out_y, out_uv) = out.split_at_mut(to.area());
        let (out_u, out_v) = out_uv.split_at_mut(to.chroma().area());
        for (axis, data, out) in [(0, y, out_y), (1, u, out_u), (1, v, out_v)] {
            let width = tables.crop[axis].width as usize;
            let axes = (&tables.columns[axis], &tables.rows[axis]);
            let scratch = (&mut self.middle[..width], &mut self.sums[..width]);
            let stride = |size: Size| if axis == 0 { size.width } else { size.chroma().width } as usize;
            let data = Part { stride: stride(from), place: tables.crop[axis], data };
            let out = framed(out, stride(to), tables.inside[axis], tables.bars[axis]);
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

/// A part of a plane.
#[derive(Clone, Copy)]
struct Part<'a> {
    stride: usize,
    place: Rect,
    data: &'a [u8],
}

/// Paints the bars of a plane, and gives the rows between them.
fn framed(out: &mut [u8], stride: usize, inside: Rect, bar: u8) -> impl Iterator<Item = &mut [u8]> {
    let (left, width) = (inside.x as usize, inside.width as usize);
    let (above, rest) = out.split_at_mut(inside.y as usize * stride);
    let (rows, below) = rest.split_at_mut(inside.height as usize * stride);
    above.fill(bar);
    below.fill(bar);
    rows.chunks_exact_mut(stride).map(move |row| {
        row[..left].fill(bar);
        row[left + width..].fill(bar);
        &mut row[left..][..width]
    })
}

/// Fraction bits dropped after the rows (14 in, 6 kept) and after the columns (the 6 and 14 more).
const ROW_SHIFT: u32 = 8;
const COLUMN_SHIFT: u32 = 20;

/// The same code, compiled for wider registers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn plane_avx2<'a>(
    axes: (&Taps, &Taps),
    data: Part<'_>,
    out: impl Iterator<Item = &'a mut [u8]>,
    scratch: (&mut [i16], &mut [i32]),
) {
    plane(axes, data, out, scratch);
}

/// One plane; the scratch rows are as wide as the part of the source.
#[inline(always)]
fn plane<'a>(
    (columns, rows): (&Taps, &Taps),
    from: Part<'_>,
    out: impl Iterator<Item = &'a mut [u8]>,
    (middle, sums): (&mut [i16], &mut [i32]),
) {
    let stride = from.stride;
    let data = &from.data[from.place.y as usize * stride + from.place.x as usize..];
    let lines = rows.starts.iter().zip(rows.weights.chunks_exact(rows.count));
    for (out, (start, weights)) in out.zip(lines) {
        let source = &data[*start as usize * stride..];
        match rows.count {
            1 => vertical::<1>(source, stride, weights, middle),
            2 => vertical::<2>(source, stride, weights, middle),
            3 => vertical::<3>(source, stride, weights, middle),
            4 => vertical::<4>(source, stride, weights, middle),
            _ => vertical_any(source, stride, weights, sums, middle),
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

/// `N` source rows, `stride` apart, to one scratch row.
#[inline(always)]
fn vertical<const N: usize>(source: &[u8], stride: usize, weights: &[i16], middle: &mut [i16]) {
    let width = middle.len();
    let rows: [&[u8]; N] = std::array::from_fn(|k| &source[k * stride..][..width]);
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
fn vertical_any(source: &[u8], stride: usize, weights: &[i16], sums: &mut [i32], middle: &mut [i16]) {
    sums.fill(1 << (ROW_SHIFT - 1));
    for (row, weight) in source.chunks(stride).zip(weights) {
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
