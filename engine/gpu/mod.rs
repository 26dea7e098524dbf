//! Conversion and scaling of captured pictures into the I420 that encoders take.

pub mod convert;

use conclave_codecs::{Color, Picture, Size};

pub use conclave_shaders::device::{AdapterReport, adapters};

/// Layout of a captured picture, rows tight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
pub enum Format {
    /// Four bytes a pixel: red, green, blue, unused.
    Rgba,
    /// Four bytes a pixel: blue, green, red, unused.
    Bgra,
    /// Luma plane, then one plane of chroma pairs.
    Nv12,
    /// Three planes.
    I420,
    /// Two bytes a pixel: luma, then blue or red difference in turn; an odd row ends with a whole group.
    Yuy2,
}

impl Format {
    /// Bytes of a picture of `size`.
    pub const fn len(self, size: Size) -> usize {
        match self {
            Format::Rgba | Format::Bgra => size.area() * 4,
            Format::Nv12 | Format::I420 => size.i420_len(),
            Format::Yuy2 => size.width.div_ceil(2) as usize * 4 * size.height as usize,
        }
    }
}

/// A captured picture, borrowed from its source.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Layout.
    pub format: Format,
    /// Size in pixels.
    pub size: Size,
    /// Matrix and range of YUV layouts; ignored for RGB, which is full range.
    pub color: Color,
    /// [`Format::len`] bytes.
    pub data: &'a [u8],
}

/// Why a picture was not converted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GpuError {
    /// The data do not fit format and size.
    #[error("a {format:?} picture of {size} takes {expected} bytes, but {given} were given: check the row padding")]
    Length {
        /// Layout given.
        format: Format,
        /// Size given.
        size: Size,
        /// Bytes that it takes.
        expected: usize,
        /// Bytes that were given.
        given: usize,
    },
    /// The size is absurd.
    #[error("a picture of {0} cannot be converted: width and height go from 1 to 8192")]
    Size(Size),
}

/// Converts and scales, reusing its memory.
#[derive(Default)]
pub struct Converter {
    full: convert::Scratch,
}

impl Converter {
    /// A converter on the CPU.
    pub fn cpu() -> Self {
        Self::default()
    }

    /// Where it runs.
    pub fn device(&self) -> &str {
        "cpu"
    }

    /// Converts `source` into `out`, with `target` as its size and `color` as its matrix and range.
    pub fn convert(
        &mut self,
        source: Source<'_>,
        target: Size,
        color: Color,
        out: &mut Picture,
    ) -> Result<(), GpuError> {
        for size in [source.size, target] {
            if !(1..=8192).contains(&size.width) || !(1..=8192).contains(&size.height) {
                return Err(GpuError::Size(size));
            }
        }
        let expected = source.format.len(source.size);
        if source.data.len() != expected {
            let (format, size, given) = (source.format, source.size, source.data.len());
            return Err(GpuError::Length { format, size, expected, given });
        }
        convert::run(&mut self.full, source, target, color, out);
        Ok(())
    }
}
