//! The plain twin of convert.wgsl: any source layout to tight I420 of the same size, row by row.

use super::coefficients::Params;
use super::{Format, Size};

/// Scratch rows, grown to the widest source seen.
#[derive(Default)]
pub(super) struct Convert {
    rows: Vec<u8>,
}

impl Convert {
    /// Writes the I420 picture of `data` to `out`. Both have the lengths that `format` and `params` imply.
    pub(super) fn run(&mut self, params: &Params, format: Format, data: &[u8], out: &mut [u8]) {
        let width = params.width as usize;
        self.rows.resize(self.rows.len().max(4 * width + 8), 0);
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2, as just asked.
            return unsafe { picture_avx2(params, format, data, out, &mut self.rows) };
        }
        picture(params, format, data, out, &mut self.rows);
    }
}

/// The same code, compiled for wider registers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn picture_avx2(params: &Params, format: Format, data: &[u8], out: &mut [u8], scratch: &mut [u8]) {
    picture(params, format, data, out, scratch);
}

#[inline(always)]
fn picture(params: &Params, format: Format, data: &[u8], out: &mut [u8], scratch: &mut [u8]) {
    let size = Size::new(params.width, params.height);
    let (width, half) = (params.width as usize, size.chroma().width as usize);
    let (luma, chroma) = out.split_at_mut(size.area());
    let (u, v) = chroma.split_at_mut(size.chroma().area());
    let chroma_rows = u.chunks_exact_mut(half).zip(v.chunks_exact_mut(half));
    let pairs = luma.chunks_mut(2 * width).zip(chroma_rows);
    match format {
        Format::Rgba | Format::Bgra => {
            for ((luma, (u, v)), rows) in pairs.zip(data.chunks(8 * width)) {
                for (out, row) in luma.chunks_exact_mut(width).zip(rows.chunks_exact(4 * width)) {
                    pixels_to_luma(params.y, row, out);
                }
                let (top, bottom) = two(rows, 4 * width);
                pixels_to_chroma(params, top, bottom, u, v);
            }
        }
        Format::I420 => {
            let (y, uv) = data.split_at(size.area());
            let (us, vs) = uv.split_at(size.chroma().area());
            let sources = y.chunks(2 * width).zip(us.chunks_exact(half).zip(vs.chunks_exact(half)));
            for ((luma, out), (y, uv)) in pairs.zip(sources) {
                planes(params, y, uv, uv, luma, out);
            }
        }
        Format::Nv12 => {
            let (y, uv) = data.split_at(size.area());
            for ((luma, out), (y, uv)) in pairs.zip(y.chunks(2 * width).zip(uv.chunks_exact(2 * half))) {
                let (us, vs) = scratch[..2 * half].split_at_mut(half);
                for ((u, v), [a, b]) in us.iter_mut().zip(&mut *vs).zip(uv.as_chunks().0) {
                    (*u, *v) = (*a, *b);
                }
                planes(params, y, (us, vs), (us, vs), luma, out);
            }
        }
        Format::Yuy2 => {
            for ((luma, out), rows) in pairs.zip(data.chunks(8 * half)) {
                let (top, bottom) = two(rows, 4 * half);
                let (first, second) = scratch[..8 * half].split_at_mut(4 * half);
                let (y0, u0, v0) = split_yuy2(top, first);
                let (y1, u1, v1) = split_yuy2(bottom, second);
                let (out0, out1) = luma.split_at_mut(width);
                planes(params, &y0[..width], (u0, v0), (u1, v1), out0, out);
                planes_to_luma(params, &y1[..out1.len()], u1, v1, out1);
            }
        }
    }
}

/// The first two rows of `rows`; the first again where there is no second.
#[inline(always)]
fn two(rows: &[u8], stride: usize) -> (&[u8], &[u8]) {
    let (top, rest) = rows.split_at(stride);
    (top, if rest.is_empty() { top } else { rest })
}

/// The Y, U and V of one row of YUY2, in three parts of `out`.
#[inline(always)]
fn split_yuy2<'a>(row: &[u8], out: &'a mut [u8]) -> (&'a [u8], &'a [u8], &'a [u8]) {
    let half = row.len() / 4;
    let (y, uv) = out.split_at_mut(2 * half);
    let (u, v) = uv.split_at_mut(half);
    for ((y, (u, v)), [y0, a, y1, b]) in
        y.as_chunks_mut().0.iter_mut().zip(u.iter_mut().zip(&mut *v)).zip(row.as_chunks().0)
    {
        *y = [*y0, *y1];
        (*u, *v) = (*a, *b);
    }
    (y, u, v)
}

/// One or two rows of planar luma and the chroma row they share: `upper` covers the first, `lower` the row below.
#[inline(always)]
fn planes(
    params: &Params,
    y: &[u8],
    upper: (&[u8], &[u8]),
    lower: (&[u8], &[u8]),
    luma: &mut [u8],
    (out_u, out_v): (&mut [u8], &mut [u8]),
) {
    let width = params.width as usize;
    for (out, y) in luma.chunks_exact_mut(width).zip(y.chunks_exact(width)) {
        planes_to_luma(params, y, upper.0, upper.1, out);
    }
    let (cu, cv, shift) = (params.u, params.v, params.chroma_shift);
    let sources = upper.0.iter().zip(upper.1).zip(lower.0.iter().zip(lower.1));
    for ((u, v), ((u0, v0), (u1, v1))) in out_u.iter_mut().zip(out_v).zip(sources) {
        let (us, vs) = (i32::from(*u0) + i32::from(*u1), i32::from(*v0) + i32::from(*v1));
        *u = sample((cu[1] * us + cu[2] * vs + cu[3]) >> shift);
        *v = sample((cv[1] * us + cv[2] * vs + cv[3]) >> shift);
    }
}

/// One row of luma; each chroma sample counts for the two luma samples it covers.
#[inline(always)]
fn planes_to_luma(params: &Params, y: &[u8], u: &[u8], v: &[u8], out: &mut [u8]) {
    if params.keeps_luma() {
        return out.copy_from_slice(y);
    }
    let c = params.y;
    let shift = |u: u8, v: u8| c[1] * i32::from(u) + c[2] * i32::from(v) + c[3];
    let luma = |y: u8, shift: i32| sample((c[0] * i32::from(y) + shift) >> 16);
    let (pairs, last) = out.as_chunks_mut();
    for ((out, [a, b]), (u, v)) in pairs.iter_mut().zip(y.as_chunks().0).zip(u.iter().zip(v)) {
        let shift = shift(*u, *v);
        *out = [luma(*a, shift), luma(*b, shift)];
    }
    if let ([out], Some(y), Some(u), Some(v)) = (last, y.last(), u.last(), v.last()) {
        *out = luma(*y, shift(*u, *v));
    }
}

#[inline(always)]
fn pixels_to_luma(c: [i32; 4], row: &[u8], out: &mut [u8]) {
    for (out, pixel) in out.iter_mut().zip(row.as_chunks().0) {
        let p = u32::from_le_bytes(*pixel);
        let (r, g, b) = ((p & 255) as i32, (p >> 8 & 255) as i32, (p >> 16 & 255) as i32);
        *out = sample((c[0] * r + c[1] * g + c[2] * b + c[3]) >> 16);
    }
}

/// One chroma row from two rows of pixels: the sum of each 2 × 2 block, a missing column replicated.
#[inline(always)]
fn pixels_to_chroma(params: &Params, top: &[u8], bottom: &[u8], out_u: &mut [u8], out_v: &mut [u8]) {
    let (cu, cv, shift) = (params.u, params.v, params.chroma_shift);
    let matrix = |[p, q, r, s]: [u32; 4]| {
        // Red and blue are summed in the two halves of one word: four samples need ten bits.
        let ends = (p & ENDS) + (q & ENDS) + (r & ENDS) + (s & ENDS);
        let g = ((p >> 8 & 255) + (q >> 8 & 255) + (r >> 8 & 255) + (s >> 8 & 255)) as i32;
        let (r, b) = ((ends & 0xffff) as i32, (ends >> 16) as i32);
        let value = |c: [i32; 4]| sample((c[0] * r + c[1] * g + c[2] * b + c[3]) >> shift);
        (value(cu), value(cv))
    };
    let (tops, top_last) = top.as_chunks::<8>();
    let (bottoms, bottom_last) = bottom.as_chunks::<8>();
    for ((u, v), (t, b)) in out_u.iter_mut().zip(&mut *out_v).zip(tops.iter().zip(bottoms)) {
        (*u, *v) = matrix([left(t), right(t), left(b), right(b)]);
    }
    if let (Ok(t), Ok(b)) = (top_last.try_into(), bottom_last.try_into())
        && let (Some(u), Some(v)) = (out_u.last_mut(), out_v.last_mut())
    {
        let (t, b) = (u32::from_le_bytes(t), u32::from_le_bytes(b));
        (*u, *v) = matrix([t, t, b, b]);
    }
}

/// Bytes 0 and 2 of a pixel.
const ENDS: u32 = 0x00ff_00ff;

#[inline(always)]
fn left(pair: &[u8; 8]) -> u32 {
    u32::from_le_bytes([pair[0], pair[1], pair[2], pair[3]])
}

#[inline(always)]
fn right(pair: &[u8; 8]) -> u32 {
    u32::from_le_bytes([pair[4], pair[5], pair[6], pair[7]])
}

#[inline(always)]
fn sample(value: i32) -> u8 {
    value.clamp(0, 255) as u8
}
