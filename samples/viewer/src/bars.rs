//! Eight colour bars: a picture whose colours are known, to be told from what arrives on the screen.

use conclave::capture::{CaptureError, VideoInput};
use conclave::codecs::{Color, Range, Size};
use conclave::gpu::{Format, Source};

/// White, yellow, cyan, green, magenta, red, blue, black, at 75 of 100 but for white and black.
pub const COLORS: [[u8; 3]; 8] =
    [[255, 255, 255], [191, 191, 0], [0, 191, 191], [0, 191, 0], [191, 0, 191], [191, 0, 0], [0, 0, 191], [0, 0, 0]];

/// The bars as a camera.
pub struct Bars {
    rgba: Vec<u8>,
    size: Size,
    color: Color,
    interval_us: u64,
}

impl Bars {
    /// Bars of `size`; `color` says which matrix they are converted by.
    pub fn new(size: Size, color: Color, fps: u32) -> Self {
        let bar = |x: u32| COLORS[(x as usize * COLORS.len() / size.width.max(1) as usize).min(7)];
        let row = (0..size.width).flat_map(|x| bar(x).into_iter().chain([255]));
        let rgba = (0..size.height).flat_map(|_| row.clone()).collect();
        let color = Color { range: Range::Full, ..color };
        Self { rgba, size, color, interval_us: 1_000_000 / u64::from(fps.max(1)) }
    }

    /// The picture, tight full-range RGBA.
    pub fn source(&self) -> Source<'_> {
        Source { format: Format::Rgba, size: self.size, color: self.color, data: &self.rgba }
    }
}

impl VideoInput for Bars {
    fn next(&mut self) -> Result<Option<Source<'_>>, CaptureError> {
        Ok(Some(self.source()))
    }

    fn interval_us(&self) -> u64 {
        self.interval_us
    }
}

/// The farthest that any bar of a drawn picture is from its colour, in levels of 255: of the mean of eleven by eleven pixels
/// around its centre. `at` is the picture's rectangle within `rgba`, rows of `width` pixels.
pub fn farthest(rgba: &[u8], width: usize, at: crate::layout::Rect) -> f32 {
    let mut farthest: f32 = 0.0;
    for (bar, color) in COLORS.iter().enumerate() {
        let (x, y) = (at.x + at.w * (bar as f32 + 0.5) / 8.0, at.y + at.h / 2.0);
        let mut sums = [0u32; 3];
        for (dx, dy) in (0..121).map(|i| (i % 11, i / 11)) {
            let at = 4 * ((y as usize + dy).saturating_sub(5) * width + (x as usize + dx).saturating_sub(5));
            let Some(pixel) = rgba.get(at..at + 3) else { return f32::INFINITY };
            sums.iter_mut().zip(pixel).for_each(|(sum, sample)| *sum += u32::from(*sample));
        }
        let off = sums.iter().zip(color).map(|(sum, sample)| (*sum as f32 / 121.0 - f32::from(*sample)).abs());
        farthest = off.fold(farthest, f32::max);
    }
    farthest
}
