//! Luma at full, quarter and eighth scale with a repeated edge, so that a search reads anywhere near the frame.
//!
//! Input: one plane of luma. Output: [`Pyramid`]. Every sample is independent of every other of its level.

use crate::av1::frame::Samples;

/// Samples around the frame at full scale: a block of 64 may begin 80 before the frame or 15 behind it.
pub const BORDER: usize = 96;

/// A plane with its border.
#[derive(Clone, Debug, Default)]
pub struct Padded {
    data: Vec<u8>,
    stride: usize,
    border: usize,
    /// Samples a row, without the border.
    pub width: usize,
    /// Rows, without the border.
    pub height: usize,
}

impl Padded {
    /// The samples from (`x`, `y`) on; both may lie outside the plane as far as the border goes.
    #[inline(always)]
    pub fn at(&self, x: i32, y: i32) -> &[u8] {
        let (x, y) = (x + self.border as i32, y + self.border as i32);
        &self.data[y as usize * self.stride + x as usize..]
    }

    /// Samples from one row to the next.
    #[inline(always)]
    pub fn stride(&self) -> usize {
        self.stride
    }

    fn resize(&mut self, width: usize, height: usize, border: usize) {
        (self.width, self.height, self.border) = (width, height, border);
        // Whole superblocks are read, so that the right and the lower border are rounded up with the frame.
        self.stride = width.next_multiple_of(64) + 2 * border;
        self.data.resize(self.stride * (height.next_multiple_of(64) + 2 * border), 0);
    }

    /// Repeats the edge samples into the border, once the inside has been written.
    fn pad(&mut self) {
        let (border, stride, width) = (self.border, self.stride, self.width);
        for y in border..border + self.height {
            let row = &mut self.data[y * stride..][..stride];
            let (left, right) = (row[border], row[border + width - 1]);
            row[..border].fill(left);
            row[border + width..].fill(right);
        }
        for y in 0..border {
            self.data.copy_within(border * stride..(border + 1) * stride, y * stride);
        }
        let last = border + self.height - 1;
        for y in last + 1..self.data.len() / stride {
            self.data.copy_within(last * stride..(last + 1) * stride, y * stride);
        }
    }

    fn row_mut(&mut self, y: usize) -> &mut [u8] {
        let start = (y + self.border) * self.stride + self.border;
        &mut self.data[start..start + self.width]
    }
}

/// Three scales of one picture's luma.
#[derive(Clone, Debug, Default)]
pub struct Pyramid {
    /// The picture itself.
    pub full: Padded,
    /// Means of 4×4.
    pub quarter: Padded,
    /// Means of 8×8.
    pub eighth: Padded,
}

impl Pyramid {
    /// Fills the pyramid from the true area of `luma`; allocates only where the size grows.
    pub fn load(&mut self, luma: &Samples) {
        let (width, height) = (luma.width, luma.height);
        self.full.resize(width, height, BORDER);
        for y in 0..height {
            self.full.row_mut(y).copy_from_slice(&luma.data[y * luma.stride..][..width]);
        }
        self.full.pad();
        self.quarter.resize(width.div_ceil(4), height.div_ceil(4), BORDER / 4);
        shrink::<4>(&self.full, &mut self.quarter);
        self.eighth.resize(width.div_ceil(8), height.div_ceil(8), BORDER / 8);
        shrink::<2>(&self.quarter, &mut self.eighth);
    }
}

/// Means of `N`×`N`, rounded; the last column and row take in the repeated edge.
fn shrink<const N: usize>(from: &Padded, to: &mut Padded) {
    for y in 0..to.height {
        let rows: [&[u8]; N] = std::array::from_fn(|i| from.at(0, (y * N + i) as i32));
        let out = to.row_mut(y);
        for (x, out) in out.iter_mut().enumerate() {
            let mut sum = 0u32;
            for row in rows {
                for sample in &row[x * N..x * N + N] {
                    sum += u32::from(*sample);
                }
            }
            *out = ((sum + (N * N / 2) as u32) / (N * N) as u32) as u8;
        }
    }
    to.pad();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Size;
    use crate::av1::frame::Frame;
    use crate::av1::layout::Layout;

    #[test]
    fn means_and_edges_are_right_at_odd_sizes() {
        for (width, height) in [(16, 16), (19, 17), (130, 98)] {
            let mut frame = Frame::new(&Layout::new(Size::new(width, height), Default::default()));
            let mut random = fastrand::Rng::with_seed(9);
            frame.planes[0].data.iter_mut().for_each(|s| *s = random.u8(..));
            let mut pyramid = Pyramid::default();
            pyramid.load(&frame.planes[0]);
            let (w, h) = (width as i32, height as i32);
            let sample = |x: i32, y: i32| {
                u32::from(frame.planes[0].at(x.clamp(0, w - 1) as usize, y.clamp(0, h - 1) as usize)[0])
            };
            for (x, y) in [(-96, -96), (w + 95, h + 95), (0, 3), (w - 1, h - 1)] {
                assert_eq!(u32::from(pyramid.full.at(x, y)[0]), sample(x, y));
            }
            for (x, y) in [(0, 0), (2, 1), ((w - 1) / 4, (h - 1) / 4)] {
                let sum: u32 = (0..16).map(|i| sample(x * 4 + i % 4, y * 4 + i / 4)).sum();
                assert_eq!(u32::from(pyramid.quarter.at(x, y)[0]), (sum + 8) / 16);
            }
            assert_eq!(pyramid.eighth.at(-12, -12)[0], pyramid.eighth.at(0, 0)[0]);
        }
    }
}
