//! The plain twins of exposure.wgsl and lift.wgsl: histograms of a picture, and a tone curve laid over it.

use super::exposure::{Counts, Curve, ROUGH};
use crate::gpu::Size;

/// What the picture's luma is like. `floor` is the code up to which there is nothing to see.
pub(crate) fn count(size: Size, floor: u8, data: &[u8], counts: &mut Counts) {
    counts.luma.fill(0);
    counts.rough.fill(0);
    for row in data[..size.area()].chunks_exact(size.width as usize) {
        for code in row {
            counts.luma[usize::from(*code)] += 1;
        }
        for three in row.windows(3) {
            let [left, middle, right] = [three[0], three[1], three[2]];
            if left.min(middle).min(right) > floor {
                let rough = (u16::from(left) + u16::from(right)).abs_diff(2 * u16::from(middle));
                counts.rough[usize::from(rough).min(ROUGH - 1)] += 1;
            }
        }
    }
}

/// Lifts a tight picture of `size` in place.
pub(crate) fn apply(curve: &Curve, size: Size, data: &mut [u8]) {
    if curve.is_identity() {
        return;
    }
    let (luma, chroma) = data.split_at_mut(size.area());
    let (u, v) = chroma.split_at_mut(size.chroma().area());
    let (width, half) = (size.width as usize, size.chroma().width as usize);
    // Chroma first: it looks at luma as it was.
    let rows = luma.chunks(2 * width).zip(u.chunks_exact_mut(half).zip(v.chunks_exact_mut(half)));
    for (pair, (u, v)) in rows {
        let (top, rest) = pair.split_at(width);
        let bottom = if rest.is_empty() { top } else { rest };
        for ((u, v), (top, bottom)) in u.iter_mut().zip(v).zip(top.chunks(2).zip(bottom.chunks(2))) {
            let sum = |row: &[u8]| u32::from(row[0]) + u32::from(*row.last().unwrap_or(&row[0]));
            let gain = (curve.words()[((sum(top) + sum(bottom) + 2) >> 2) as usize] >> 8) as i32;
            for chroma in [u, v] {
                *chroma = (((i32::from(*chroma) - 128) * gain + (128 << 8) + 128) >> 8).clamp(0, 255) as u8;
            }
        }
    }
    for code in luma {
        *code = curve.words()[usize::from(*code)] as u8;
    }
}
