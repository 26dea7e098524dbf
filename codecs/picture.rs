//! Planes on the CPU: 8-bit 4:2:0, rows tight, luma first, then the two chroma planes.

use crate::color::Color;

/// Width and height in luma samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
pub struct Size {
    /// Samples a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Size {
    /// A size of `width` × `height` luma samples.
    pub const fn new(width: u32, height: u32) -> Self {
        Self { width, height }
    }

    /// Luma samples of a picture of this size.
    pub const fn area(self) -> usize {
        self.width as usize * self.height as usize
    }

    /// The size of each chroma plane at 4:2:0: halved, rounded up.
    pub const fn chroma(self) -> Self {
        Self { width: self.width.div_ceil(2), height: self.height.div_ceil(2) }
    }

    /// Bytes of a tight 8-bit I420 picture.
    pub const fn i420_len(self) -> usize {
        self.area() + 2 * self.chroma().area()
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// A part of a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize)]
pub struct Rect {
    /// Left edge.
    pub x: u32,
    /// Upper edge.
    pub y: u32,
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
}

impl Rect {
    /// The smallest that holds both.
    pub fn union(self, other: Rect) -> Rect {
        let (x, y) = (self.x.min(other.x), self.y.min(other.y));
        let right = self.x.saturating_add(self.width).max(other.x.saturating_add(other.width));
        let bottom = self.y.saturating_add(self.height).max(other.y.saturating_add(other.height));
        Rect { x, y, width: right - x, height: bottom - y }
    }

    /// All of a picture.
    pub const fn whole(size: Size) -> Rect {
        Rect { x: 0, y: 0, width: size.width, height: size.height }
    }

    /// What lies inside a picture of `size`; `None` where that is nothing.
    pub fn clip(self, size: Size) -> Option<Rect> {
        let width = self.x.saturating_add(self.width).min(size.width).checked_sub(self.x)?;
        let height = self.y.saturating_add(self.height).min(size.height).checked_sub(self.y)?;
        (width > 0 && height > 0).then_some(Rect { width, height, ..self })
    }
}

/// One of the three planes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plane {
    /// Luma, full size.
    Y,
    /// Blue difference, half size.
    U,
    /// Red difference, half size.
    V,
}

impl Plane {
    /// The planes in storage order.
    pub const ALL: [Plane; 3] = [Plane::Y, Plane::U, Plane::V];
}

/// An 8-bit I420 picture in one allocation, rows without padding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    size: Size,
    /// How the samples map to light.
    pub color: Color,
    data: Vec<u8>,
}

impl Picture {
    /// A black picture.
    pub fn new(size: Size, color: Color) -> Self {
        let mut picture = Self { size, color, data: Vec::new() };
        picture.reset(size, color);
        picture
    }

    /// Changes size and colour and paints black, reusing the allocation where it is large enough.
    pub fn reset(&mut self, size: Size, color: Color) {
        self.size = size;
        self.color = color;
        self.data.clear();
        self.data.resize(size.area(), color.black());
        self.data.resize(size.i420_len(), 128);
    }

    /// Width and height in luma samples.
    pub fn size(&self) -> Size {
        self.size
    }

    /// The samples of one plane, row after row.
    pub fn plane(&self, plane: Plane) -> &[u8] {
        &self.data[self.range(plane)]
    }

    /// The samples of one plane, to be written.
    pub fn plane_mut(&mut self, plane: Plane) -> &mut [u8] {
        let range = self.range(plane);
        &mut self.data[range]
    }

    /// All three planes, in storage order.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// All three planes, in storage order, to be written.
    pub fn data_mut(&mut self) -> &mut [u8] {
        &mut self.data
    }

    /// Size of one plane in samples.
    pub fn plane_size(&self, plane: Plane) -> Size {
        match plane {
            Plane::Y => self.size,
            Plane::U | Plane::V => self.size.chroma(),
        }
    }

    fn range(&self, plane: Plane) -> std::ops::Range<usize> {
        let (luma, chroma) = (self.size.area(), self.size.chroma().area());
        match plane {
            Plane::Y => 0..luma,
            Plane::U => luma..luma + chroma,
            Plane::V => luma + chroma..luma + 2 * chroma,
        }
    }
}
