//! The plain arithmetic: any layout to I420, matrix and range from Kr and Kb, then scaling. Integers only.

use conclave_codecs::{Color, Picture, Plane, Range, Size};

use super::{Format, Source};

/// Fixed point of the matrices: 15 bits.
const ONE: i32 = 1 << 15;

/// A picture at source size, kept between calls.
pub struct Scratch(Picture);

impl Default for Scratch {
    fn default() -> Self {
        Self(Picture::new(Size::new(2, 2), Color::default()))
    }
}

/// Rows of Y, U, V from full-range R, G, B, and what is added: luma offset and 128, both with the rounding half.
struct FromRgb {
    rows: [[i32; 3]; 3],
    offsets: [i32; 3],
}

impl FromRgb {
    fn new(color: Color) -> Self {
        let (kr, kb) = color.matrix.weights();
        let kg = 10_000 - kr - kb;
        let (luma, chroma) = match color.range {
            Range::Limited => (219, 224),
            Range::Full => (255, 255),
        };
        let scale = |weight: i32, span: i32, over: i64| {
            (i64::from(weight) * i64::from(span) * i64::from(ONE) / over / 255) as i32
        };
        let y = [scale(kr, luma, 10_000), 0, scale(kb, luma, 10_000)];
        // What rounding takes from red and blue goes to green, so that white is exactly white and grey has no colour.
        let y = [y[0], luma * ONE / 255 - y[0] - y[2], y[2]];
        let half = chroma * ONE / 2 / 255;
        let u_r = scale(-kr, chroma, 2 * i64::from(10_000 - kb));
        let v_b = scale(-kb, chroma, 2 * i64::from(kr + kg + kb - kr));
        let offset = i32::from(color.black()) * ONE + ONE / 2;
        Self {
            rows: [y, [u_r, -half - u_r, half], [half, -half - v_b, v_b]],
            offsets: [offset, 128 * ONE + ONE / 2, 128 * ONE + ONE / 2],
        }
    }

    fn apply(&self, row: usize, [r, g, b]: [i32; 3]) -> u8 {
        let [kr, kg, kb] = self.rows[row];
        ((kr * r + kg * g + kb * b + self.offsets[row]) >> 15).clamp(0, 255) as u8
    }
}

/// Converts `source` into `out`. Lengths and sizes have been checked.
pub fn run(scratch: &mut Scratch, source: Source<'_>, target: Size, color: Color, out: &mut Picture) {
    if source.size == target {
        return layout(source, color, out);
    }
    layout(source, color, &mut scratch.0);
    out.reset(target, color);
    for plane in Plane::ALL {
        let (from, to) = (scratch.0.plane_size(plane), out.plane_size(plane));
        scale(scratch.0.plane(plane), from, out.plane_mut(plane), to);
    }
}

fn layout(source: Source<'_>, color: Color, out: &mut Picture) {
    let Source { format, size, data, .. } = source;
    if out.size() != size || out.color != color {
        out.reset(size, color);
    }
    let (width, height) = (size.width as usize, size.height as usize);
    let (chroma_width, area, chroma_area) = (size.chroma().width as usize, size.area(), size.chroma().area());
    match format {
        Format::Rgba => return rgb(data, [0, 1, 2], color, out),
        Format::Bgra => return rgb(data, [2, 1, 0], color, out),
        Format::I420 => out.data_mut().copy_from_slice(data),
        Format::Nv12 => {
            let planes = out.data_mut();
            planes[..area].copy_from_slice(&data[..area]);
            for (i, pair) in data[area..].chunks_exact(2).enumerate() {
                planes[area + i] = pair[0];
                planes[area + chroma_area + i] = pair[1];
            }
        }
        Format::Yuy2 => {
            let stride = size.width.div_ceil(2) as usize * 4;
            let planes = out.data_mut();
            for (y, row) in data.chunks_exact(stride).enumerate() {
                for x in 0..width {
                    planes[y * width + x] = row[x * 2];
                }
                let below = data.chunks_exact(stride).nth(if y % 2 == 0 { (y + 1).min(height - 1) } else { y });
                let (Some(below), 0) = (below, y % 2) else { continue };
                for x in 0..chroma_width {
                    let at = area + y / 2 * chroma_width + x;
                    planes[at] = ((u16::from(row[x * 4 + 1]) + u16::from(below[x * 4 + 1]) + 1) / 2) as u8;
                    planes[at + chroma_area] =
                        ((u16::from(row[x * 4 + 3]) + u16::from(below[x * 4 + 3]) + 1) / 2) as u8;
                }
            }
        }
    }
    if source.color != color {
        recolor(source.color, color, out);
    }
}

fn rgb(data: &[u8], order: [usize; 3], color: Color, out: &mut Picture) {
    let matrix = FromRgb::new(color);
    let size = out.size();
    let (width, height) = (size.width as usize, size.height as usize);
    let at = |x: usize, y: usize| {
        let pixel = &data[(y * width + x) * 4..][..4];
        order.map(|channel| i32::from(pixel[channel]))
    };
    for (y, row) in out.plane_mut(Plane::Y).chunks_exact_mut(width).enumerate() {
        for (sample, pixel) in row.iter_mut().zip(data[y * width * 4..].chunks_exact(4)) {
            *sample = matrix.apply(0, order.map(|channel| i32::from(pixel[channel])));
        }
    }
    let chroma = size.chroma();
    for (row, plane) in [(1, Plane::U), (2, Plane::V)] {
        for (y, line) in out.plane_mut(plane).chunks_exact_mut(chroma.width as usize).enumerate() {
            let (top, bottom) = (y * 2, (y * 2 + 1).min(height - 1));
            for (x, sample) in line.iter_mut().enumerate() {
                let (left, right) = (x * 2, (x * 2 + 1).min(width - 1));
                let four = [at(left, top), at(right, top), at(left, bottom), at(right, bottom)];
                let mean: [i32; 3] = std::array::from_fn(|c| (four.iter().map(|p| p[c]).sum::<i32>() + 2) >> 2);
                *sample = matrix.apply(row, mean);
            }
        }
    }
}

/// From one matrix and range to another, through RGB, chroma shared by the four pixels of its block.
fn recolor(from: Color, to: Color, out: &mut Picture) {
    out.color = to;
    let (kr, kb) = from.matrix.weights();
    let kg = 10_000 - kr - kb;
    let (luma, chroma) = match from.range {
        Range::Limited => (219, 224),
        Range::Full => (255, 255),
    };
    let fixed = |numerator: i64, denominator: i64| (numerator * i64::from(ONE) / denominator) as i32;
    let y_gain = fixed(255, luma);
    let r_v = fixed(2 * i64::from(10_000 - kr) * 255, 10_000 * chroma);
    let b_u = fixed(2 * i64::from(10_000 - kb) * 255, 10_000 * chroma);
    let g_v = -(i64::from(r_v) * i64::from(kr) / i64::from(kg)) as i32;
    let g_u = -(i64::from(b_u) * i64::from(kb) / i64::from(kg)) as i32;
    let matrix = FromRgb::new(to);
    let black = i32::from(from.black());
    // Signed and unclamped, so that colours outside RGB survive where the target can hold them.
    let to_rgb = |y: i32, u: i32, v: i32| {
        let y = y_gain * (y - black);
        [y + r_v * v, y + g_u * u + g_v * v, y + b_u * u].map(|c| (c + ONE / 2) >> 15)
    };
    let size = out.size();
    let (width, chroma_size) = (size.width as usize, size.chroma());
    let (luma_plane, rest) = out.data_mut().split_at_mut(size.area());
    let (us, vs) = rest.split_at_mut(chroma_size.area());
    for cy in 0..chroma_size.height as usize {
        for cx in 0..chroma_size.width as usize {
            let at = cy * chroma_size.width as usize + cx;
            let (u, v) = (i32::from(us[at]) - 128, i32::from(vs[at]) - 128);
            let (mut sum, mut count) = (0, 0);
            for y in cy * 2..(cy * 2 + 2).min(size.height as usize) {
                for sample in &mut luma_plane[y * width + cx * 2..y * width + (cx * 2 + 2).min(width)] {
                    sum += i32::from(*sample);
                    count += 1;
                    *sample = matrix.apply(0, to_rgb(i32::from(*sample), u, v));
                }
            }
            let mean = to_rgb((sum + count / 2) / count, u, v);
            us[at] = matrix.apply(1, mean);
            vs[at] = matrix.apply(2, mean);
        }
    }
}

/// One plane: the mean of the covered area where it shrinks, bilinear where it grows, each direction by itself.
fn scale(from: &[u8], from_size: Size, to: &mut [u8], to_size: Size) {
    let (width, to_width) = (from_size.width as usize, to_size.width as usize);
    let columns = taps(from_size.width, to_size.width);
    let rows = taps(from_size.height, to_size.height);
    let mut line = vec![0u32; width];
    for ((first, weights), out) in rows.iter().zip(to.chunks_exact_mut(to_width)) {
        line.fill(0);
        for (weight, row) in weights.iter().zip(from[first * width..].chunks_exact(width)) {
            line.iter_mut().zip(row).for_each(|(sum, sample)| *sum += weight * u32::from(*sample));
        }
        for ((first, weights), sample) in columns.iter().zip(out) {
            let sum: u64 = weights.iter().zip(&line[*first..]).map(|(w, s)| u64::from(*w) * u64::from(*s)).sum();
            *sample = ((sum + (1 << 27)) >> 28) as u8;
        }
    }
}

/// For each target sample: its first source sample and the weights, which sum to 2^14.
fn taps(from: u32, to: u32) -> Vec<(usize, Vec<u32>)> {
    (0..u64::from(to))
        .map(|i| {
            let (from, to) = (u64::from(from), u64::from(to));
            let (first, mut weights): (u64, Vec<u32>) = if to < from {
                // Source sample s covers [s·to, (s+1)·to), the target [i·from, (i+1)·from), in units of 1/(from·to).
                let (begin, end) = (i * from, (i + 1) * from);
                let cover = |s: u64| ((s + 1) * to).min(end) - (s * to).max(begin);
                let first = begin / to;
                (first, (first..end.div_ceil(to)).map(|s| (cover(s) << 14).div_euclid(from) as u32).collect())
            } else {
                // Sample centres: source position (i + ½)·from/to − ½, clamped to the plane, in units of 1/(2·to).
                let at = ((2 * i + 1) * from).saturating_sub(to).min((from - 1) * 2 * to);
                let (first, part) = (at / (2 * to), ((at % (2 * to)) << 14) / (2 * to));
                if first + 1 < from {
                    (first, vec![(1 << 14) - part as u32, part as u32])
                } else {
                    (first, vec![1 << 14])
                }
            };
            // What rounding lost goes to the heaviest sample, so that a flat area stays flat.
            let missing = (1 << 14) - weights.iter().sum::<u32>();
            if let Some(heaviest) = weights.iter_mut().max() {
                *heaviest += missing;
            }
            (first as usize, weights)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::Converter;
    use conclave_codecs::Matrix;

    fn flat(rgb: [u8; 3], color: Color) -> [u8; 3] {
        let size = Size::new(7, 5);
        let data: Vec<u8> = (0..size.area()).flat_map(|_| [rgb[0], rgb[1], rgb[2], 255]).collect();
        let mut out = Picture::new(Size::new(2, 2), color);
        let source = Source { format: Format::Rgba, size, color, data: &data };
        Converter::cpu().convert(source, size, color, &mut out).unwrap();
        let corner = Plane::ALL.map(|p| out.plane(p)[0]);
        assert!(Plane::ALL.iter().all(|p| out.plane(*p).iter().all(|s| *s == out.plane(*p)[0])));
        corner
    }

    #[test]
    fn known_colours_have_the_codes_of_the_standards() {
        let color = |matrix, range| Color { matrix, range };
        let limited = color(Matrix::Bt601, Range::Limited);
        assert_eq!(flat([255, 255, 255], limited), [235, 128, 128]);
        assert_eq!(flat([0, 0, 0], limited), [16, 128, 128]);
        assert_eq!(flat([255, 0, 0], limited), [81, 90, 240]);
        assert_eq!(flat([255, 0, 0], color(Matrix::Bt709, Range::Limited)), [63, 102, 240]);
        assert_eq!(flat([0, 0, 255], color(Matrix::Bt709, Range::Limited)), [32, 240, 118]);
        assert_eq!(flat([77, 77, 77], color(Matrix::Bt2020, Range::Full)), [77, 128, 128]);
    }

    #[test]
    fn a_flat_picture_stays_flat_at_every_size() {
        let color = Color::default();
        let data = vec![200u8; Size::new(33, 17).i420_len()];
        let mut converter = Converter::cpu();
        for target in [(1, 1), (16, 16), (33, 16), (34, 18), (100, 70), (5, 90)] {
            let mut out = Picture::new(Size::new(2, 2), color);
            let source = Source { format: Format::I420, size: Size::new(33, 17), color, data: &data };
            converter.convert(source, Size::new(target.0, target.1), color, &mut out).unwrap();
            assert!(out.data().iter().all(|s| *s == 200), "{target:?}");
        }
    }

    #[test]
    fn there_and_back_between_colours_stays_near() {
        let full = Color { matrix: Matrix::Bt601, range: Range::Full };
        let (size, mut converter) = (Size::new(64, 64), Converter::cpu());
        let data: Vec<u8> = (0..size.i420_len())
            .map(|i| if i < size.area() { 60 + (i % 100) as u8 } else { 120 + (i % 16) as u8 })
            .collect();
        let (mut there, mut back) = (Picture::new(size, full), Picture::new(size, full));
        let source = |data, color| Source { format: Format::I420, size, color, data };
        converter.convert(source(&data, Color::default()), size, full, &mut there).unwrap();
        converter.convert(source(there.data(), full), size, Color::default(), &mut back).unwrap();
        let worst = data.iter().zip(back.data()).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(worst <= Some(3), "{worst:?}");
    }

    #[test]
    fn wrong_lengths_and_sizes_are_errors_in_words() {
        let (mut out, color) = (Picture::new(Size::new(2, 2), Color::default()), Color::default());
        let source = Source { format: Format::Nv12, size: Size::new(4, 4), color, data: &[0; 23] };
        let error = Converter::cpu().convert(source, Size::new(4, 4), color, &mut out).unwrap_err();
        assert!(error.to_string().contains("24 bytes, but 23"), "{error}");
        let source = Source { size: Size::new(0, 9), data: &[], ..source };
        assert!(Converter::cpu().convert(source, Size::new(4, 4), color, &mut out).is_err());
    }
}
