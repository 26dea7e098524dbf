//! A part of a picture, in its pixels.

use crate::codecs::Size;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_clipped_to_its_picture_whatever_it_says() {
        let size = Size::new(100, 50);
        let all = Rect { x: 0, y: 0, width: u32::MAX, height: u32::MAX }.clip(size);
        assert_eq!(all, Some(Rect { x: 0, y: 0, width: 100, height: 50 }));
        assert_eq!(Rect { x: 100, y: 0, width: 1, height: 1 }.clip(size), None);
        assert_eq!(
            Rect { x: 99, y: 49, width: u32::MAX, height: 9 }.clip(size).map(|r| (r.width, r.height)),
            Some((1, 1))
        );
    }
}
