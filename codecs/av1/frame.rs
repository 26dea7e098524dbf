//! Planes inside the encoder: reconstructions and references.
//!
//! A plane holds whole superblocks, so that a block that sticks out of the frame is written without a check. What lies
//! outside the true size is never read as a reference, and outside the grid of cells not at all.

use super::layout::Layout;
use crate::{Picture, Plane, Size};

/// One 8-bit plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Samples {
    /// Rows of `stride` samples.
    pub data: Vec<u8>,
    /// Samples from one row to the next.
    pub stride: usize,
    /// True width: inter prediction clamps here.
    pub width: usize,
    /// True height.
    pub height: usize,
}

impl Samples {
    fn new(width: usize, height: usize, stride: usize, rows: usize) -> Self {
        Self { data: vec![0; stride * rows], stride, width, height }
    }

    /// The samples from (`x`, `y`) on to the end of the plane.
    pub fn at(&self, x: usize, y: usize) -> &[u8] {
        &self.data[y * self.stride + x..]
    }

    /// The samples from (`x`, `y`) on, to be written.
    pub fn at_mut(&mut self, x: usize, y: usize) -> &mut [u8] {
        &mut self.data[y * self.stride + x..]
    }
}

/// Three planes, 4:2:0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// True size in luma samples.
    pub size: Size,
    /// Y, U, V.
    pub planes: [Samples; 3],
}

impl Frame {
    /// A frame of zeros with room for whole superblocks.
    pub fn new(layout: &Layout) -> Self {
        let (stride, rows) = (layout.superblock_cols() * 64, layout.superblock_rows() * 64);
        let plane = |size: Size, shift: usize| {
            Samples::new(size.width as usize, size.height as usize, stride >> shift, rows >> shift)
        };
        let chroma = layout.size.chroma();
        Self { size: layout.size, planes: [plane(layout.size, 0), plane(chroma, 1), plane(chroma, 1)] }
    }

    /// Copies a picture of the same size and repeats its last column and row as far as the planes reach.
    pub fn load(&mut self, picture: &Picture) {
        debug_assert_eq!(self.size, picture.size());
        for (from, to) in Plane::ALL.into_iter().zip(&mut self.planes) {
            let width = to.width;
            for (from, to) in picture.plane(from).chunks_exact(width).zip(to.data.chunks_exact_mut(to.stride)) {
                let (inside, outside) = to.split_at_mut(width);
                inside.copy_from_slice(from);
                outside.fill(from[width - 1]);
            }
            let (inside, outside) = to.data.split_at_mut(to.height * to.stride);
            let last = &inside[(to.height - 1) * to.stride..];
            outside.chunks_exact_mut(to.stride).for_each(|row| row.copy_from_slice(last));
        }
    }

    /// Copies the samples inside the true size.
    pub fn store(&self, picture: &mut Picture) {
        let color = picture.color;
        if picture.size() != self.size {
            picture.reset(self.size, color);
        }
        for (to, from) in Plane::ALL.into_iter().zip(&self.planes) {
            let rows = picture.plane_mut(to).chunks_exact_mut(from.width);
            for (to, from) in rows.zip(from.data.chunks_exact(from.stride)) {
                to.copy_from_slice(&from[..from.len().min(to.len())]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Color;

    #[test]
    fn a_picture_comes_back_and_its_edge_goes_on() {
        let size = Size::new(19, 17);
        let mut picture = Picture::new(size, Color::default());
        for (i, sample) in picture.data_mut().iter_mut().enumerate() {
            *sample = i as u8;
        }
        let mut frame = Frame::new(&Layout::new(size, Default::default()));
        frame.load(&picture);
        assert_eq!(frame.planes[0].at(63, 0)[0], picture.plane(Plane::Y)[18]);
        assert_eq!(frame.planes[0].at(3, 63)[0], picture.plane(Plane::Y)[16 * 19 + 3]);
        let mut back = Picture::new(Size::new(1, 1), Color::default());
        frame.store(&mut back);
        assert_eq!(back, picture);
    }
}
