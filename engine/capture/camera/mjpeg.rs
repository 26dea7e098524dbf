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
