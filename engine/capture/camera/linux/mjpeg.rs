//! Motion JPEG: one picture after the other, each by itself, as USB cameras give them.
//!
//! A frame without Huffman tables gets the standard ones (those of the `AVI1` kind leave them out). What comes out is
//! I420 in full range and BT.601, as JFIF says.

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::wire::MAX_EDGE;
use crate::codecs::Size;

#[cfg(test)]
#[path = "../../../../tests/support/jpeg.rs"]
mod jpeg;

/// The largest picture, that of 8K television: a frame says its size itself, and memory is taken for it.
const MOST_AREA: usize = 7680 * 4320;

/// Decodes frame after frame.
#[derive(Default)]
pub(super) struct Decoder {
    /// Y, Cb and Cr of each pixel.
    pixels: Vec<u8>,
}

/// Why a frame is no picture.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(super) enum Broken {
    #[error("it does not begin as a JPEG picture does")]
    Start,
    #[error("its end is missing")]
    End,
    #[error("it is no JPEG picture that can be read ({0})")]
    Inside(String),
}

impl Decoder {
    /// Decodes `jpeg` into `out`, as I420 in full range.
    ///
    /// # Errors
    /// It is not a whole picture; `out` is then of no use.
    pub(super) fn decode(&mut self, jpeg: &[u8], out: &mut Vec<u8>) -> Result<Size, Broken> {
        if !jpeg.starts_with(&[0xFF, 0xD8]) {
            return Err(Broken::Start);
        }
        // Buffers may be padded behind the picture. Within it, no such two bytes follow each other.
        let end = jpeg.windows(2).rposition(|pair| pair == [0xFF, 0xD9]).ok_or(Broken::End)?;
        let options = DecoderOptions::default()
            .set_max_width(MAX_EDGE as usize)
            .set_max_height(MAX_EDGE as usize)
            .jpeg_set_out_colorspace(ColorSpace::YCbCr);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&jpeg[..end + 2]), options);
        let inside = |error: zune_jpeg::errors::DecodeErrors| Broken::Inside(error.to_string());
        decoder.decode_headers().map_err(inside)?;
        let info = decoder.info().ok_or(Broken::End)?;
        let grey = decoder.input_colorspace() == Some(ColorSpace::Luma);
        let size = Size::new(info.width.into(), info.height.into());
        if size.area() > MOST_AREA {
            return Err(Broken::Inside(format!("{size} is too large")));
        }
        let planes = if grey { 1 } else { 3 };
        if grey {
            decoder.set_options(options.jpeg_set_out_colorspace(ColorSpace::Luma));
        }
        self.pixels.resize(planes * size.area(), 0);
        decoder.decode_into(&mut self.pixels).map_err(inside)?;
        out.clear();
        if grey {
            out.extend_from_slice(&self.pixels);
            out.resize(size.i420_len(), 128);
        } else {
            halve(&self.pixels, size, out);
        }
        Ok(size)
    }
}

/// Y, Cb and Cr of each pixel to planes; a chroma sample is the mean of its four, and at an odd edge of those there are.
fn halve(pixels: &[u8], size: Size, out: &mut Vec<u8>) {
    let (width, half) = (size.width as usize, size.chroma());
    out.resize(size.i420_len(), 0);
    let (luma, chroma) = out.split_at_mut(size.area());
    let (us, vs) = chroma.split_at_mut(half.area());
    for (luma, [y, ..]) in luma.iter_mut().zip(pixels.as_chunks::<3>().0) {
        *luma = *y;
    }
    let chroma_rows = us.chunks_exact_mut(half.width as usize).zip(vs.chunks_exact_mut(half.width as usize));
    for (rows, (us, vs)) in pixels.chunks(6 * width).zip(chroma_rows) {
        let (top, rest) = rows.split_at(3 * width);
        let bottom = if rest.is_empty() { top } else { rest };
        let pairs = top.chunks(6).zip(bottom.chunks(6));
        for ((u, v), (top, bottom)) in us.iter_mut().zip(vs).zip(pairs) {
            let right = if top.len() == 6 { 3 } else { 0 };
            let mean = |i: usize| {
                let sum = [top[i], top[i + right], bottom[i], bottom[i + right]].map(u16::from).iter().sum::<u16>();
                ((sum + 2) / 4) as u8
            };
            (*u, *v) = (mean(1), mean(2));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_blocks(size: Size, picture: &[u8]) {
        assert_eq!(size, Size::new(48, 40));
        let (luma, chroma) = picture.split_at(size.area());
        let (us, vs) = chroma.split_at(size.chroma().area());
        for ((x, y), expected) in jpeg::MIDDLES {
            let half = y / 2 * 24 + x / 2;
            for (got, wanted) in [luma[48 * y + x], us[half], vs[half]].into_iter().zip(expected) {
                assert!(got.abs_diff(wanted) <= 3, "at {x},{y}: {got} instead of {wanted}");
            }
        }
    }

    #[test]
    fn a_picture_has_its_colours_with_its_tables_and_without() {
        let (mut decoder, mut out) = (Decoder::default(), Vec::new());
        assert!(!jpeg::bare().windows(2).any(|pair| pair == [0xFF, 0xC4]));
        let mut padded = jpeg::blocks();
        padded.extend([0; 500]);
        for bytes in [jpeg::blocks(), jpeg::bare(), padded] {
            let size = decoder.decode(&bytes, &mut out).expect("a picture");
            is_blocks(size, &out);
        }
    }

    #[test]
    fn a_picture_cut_off_anywhere_is_none() {
        let (mut decoder, mut out, whole) = (Decoder::default(), Vec::new(), jpeg::blocks());
        for cut in 0..whole.len() {
            assert!(decoder.decode(&whole[..cut], &mut out).is_err(), "{cut} bytes of {}", whole.len());
        }
        assert_eq!(decoder.decode(b"", &mut out), Err(Broken::Start));
        let size = decoder.decode(&whole, &mut out).expect("a picture after all");
        is_blocks(size, &out);
    }

    /// A JPEG says its size itself: it may say any, and must not cost more than the largest that is taken.
    #[test]
    fn a_size_beyond_the_largest_is_refused() {
        let mut huge = jpeg::blocks();
        let frame = huge.windows(2).position(|pair| pair == [0xFF, 0xC0]).expect("a frame header");
        huge[frame + 5..frame + 9].copy_from_slice(&[0xFF; 4]);
        assert!(matches!(Decoder::default().decode(&huge, &mut Vec::new()), Err(Broken::Inside(_))));
    }

    #[test]
    fn changed_bytes_give_a_picture_or_an_error() {
        let mut random = fastrand::Rng::with_seed(11);
        let (mut decoder, mut out, mut whole) = (Decoder::default(), Vec::new(), 0);
        for round in 0..4_000 {
            let mut bytes = if round % 2 == 0 { jpeg::blocks() } else { jpeg::bare() };
            for _ in 0..random.usize(1..8) {
                let at = random.usize(..bytes.len());
                match random.u8(..4) {
                    0 => bytes[at] = random.u8(..),
                    1 => bytes[at] ^= 1 << random.u8(..8),
                    2 => drop(bytes.drain(at..(at + random.usize(1..40)).min(bytes.len()))),
                    _ => bytes.insert(at, random.u8(..)),
                }
                if bytes.is_empty() {
                    break;
                }
            }
            // A size is as good as any while it is small; large ones are slow, and have a test of their own.
            if let Ok(size) = decoder.decode(&bytes, &mut out) {
                assert_eq!(out.len(), size.i420_len());
                whole += 1;
            }
        }
        assert!(whole > 100, "{whole} were pictures");
    }

    #[test]
    fn chroma_of_an_odd_edge_is_of_what_is_there() {
        // 3×1: the second chroma sample is of the last pixel alone.
        let pixels = [10, 100, 50, 20, 102, 52, 30, 200, 7];
        let mut out = Vec::new();
        halve(&pixels, Size::new(3, 1), &mut out);
        assert_eq!(out, [10, 20, 30, 101, 200, 51, 7]);
    }
}
