//! Small PNG pictures, and the text form in which a page carries them.

use conclave::codecs::{Picture, Plane, Range};

/// A PNG of `picture`, at most `width` wide, each pixel the mean of those it stands for.
pub fn png(picture: &Picture, width: u32) -> Result<Vec<u8>, png::EncodingError> {
    let size = picture.size();
    let width = width.clamp(1, size.width.max(1));
    let height = (u64::from(size.height) * u64::from(width) / u64::from(size.width.max(1))).max(1) as u32;
    let mut rgb = Vec::with_capacity(width as usize * height as usize * 3);
    for row in 0..height {
        for column in 0..width {
            let y = mean(picture, Plane::Y, (column, row), (width, height));
            let u = mean(picture, Plane::U, (column, row), (width, height));
            let v = mean(picture, Plane::V, (column, row), (width, height));
            rgb.extend(to_rgb(picture, y, u, v));
        }
    }
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&rgb)?;
    writer.finish()?;
    Ok(out)
}

/// The mean of the samples of one plane that fall on one pixel of a `grid`; the nearest one where none does.
fn mean(picture: &Picture, plane: Plane, at: (u32, u32), grid: (u32, u32)) -> f64 {
    let size = picture.plane_size(plane);
    let span = |index: u32, of: u32, length: u32| {
        let edge = |index: u32| (u64::from(index) * u64::from(length) / u64::from(of)) as usize;
        let from = edge(index).min(length as usize - 1);
        from..edge(index + 1).max(from + 1)
    };
    let (columns, rows) = (span(at.0, grid.0, size.width), span(at.1, grid.1, size.height));
    let samples = picture.plane(plane);
    let count = (columns.len() * rows.len()) as f64;
    let line = |row: usize| &samples[row * size.width as usize..][columns.clone()];
    rows.flat_map(line).map(|sample| f64::from(*sample)).sum::<f64>() / count
}

fn to_rgb(picture: &Picture, y: f64, u: f64, v: f64) -> [u8; 3] {
    let (kr, kb) = picture.color.matrix.weights();
    let (kr, kb) = (f64::from(kr) / 1e4, f64::from(kb) / 1e4);
    let (y, span) = match picture.color.range {
        Range::Limited => ((y - 16.0) / 219.0, 224.0),
        Range::Full => (y / 255.0, 255.0),
    };
    let (u, v) = ((u - 128.0) / span, (v - 128.0) / span);
    let (r, b) = (y + 2.0 * (1.0 - kr) * v, y + 2.0 * (1.0 - kb) * u);
    let g = (y - kr * r - kb * b) / (1.0 - kr - kb);
    [r, g, b].map(|value| (value * 255.0 + 0.5).clamp(0.0, 255.0) as u8)
}

/// Appends the base64 form (RFC 4648 §4) of `bytes` to `out`.
pub fn base64(bytes: &[u8], out: &mut String) {
    out.reserve(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word = group.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for index in 0..4 {
            match index <= group.len() {
                true => out.push(ALPHABET[(word >> (18 - 6 * index) & 63) as usize] as char),
                false => out.push('='),
            }
        }
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#[cfg(test)]
mod tests {
    use super::*;
    use conclave::codecs::{Color, Size};

    #[test]
    fn base64_gives_the_vectors_of_rfc_4648() {
        let pairs = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (plain, text) in pairs {
            let mut out = String::new();
            base64(plain.as_bytes(), &mut out);
            assert_eq!(out, text);
        }
    }

    #[test]
    fn a_thumbnail_decodes_to_the_colour_that_went_in() {
        for range in [Range::Limited, Range::Full] {
            let color = Color { range, ..Color::default() };
            let mut picture = Picture::new(Size::new(33, 17), color);
            // Pure red of BT.709, by the standard's own table (limited), or derived (full).
            let (y, u, v) = if range == Range::Limited { (63, 102, 240) } else { (54, 99, 255) };
            picture.plane_mut(Plane::Y).fill(y);
            picture.plane_mut(Plane::U).fill(u);
            picture.plane_mut(Plane::V).fill(v);
            let file = png(&picture, 8).unwrap();
            let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
            let mut rgb = vec![0; reader.output_buffer_size().unwrap()];
            let info = reader.next_frame(&mut rgb).unwrap();
            assert_eq!((info.width, info.height), (8, 4));
            for pixel in rgb.chunks_exact(3) {
                assert!(pixel[0] >= 253 && pixel[1] <= 3 && pixel[2] <= 3, "{range:?} {pixel:?}");
            }
        }
    }

    #[test]
    fn sizes_down_to_one_pixel_and_up_to_the_picture_are_made() {
        for (width, height) in [(1, 1), (1, 40), (40, 1), (7, 5)] {
            let picture = Picture::new(Size::new(width, height), Color::default());
            for wanted in [0, 1, 6, 4000] {
                assert!(png(&picture, wanted).unwrap().starts_with(b"\x89PNG"));
            }
        }
    }
}
