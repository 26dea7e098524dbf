//! Crop and fit: which part of a source lands on which part of a target. The tables of scaling do the rest.

use super::{Fit, Prepare};
use crate::gpu::{Rect, Size};

/// Two parts, on even samples, so that their chroma lies on whole ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Of the source: what is seen.
    pub crop: Rect,
    /// Of the target: where it is seen. Around it are bars.
    pub inside: Rect,
}

impl Layout {
    /// `None` where the crop lies outside the source.
    pub(crate) fn new(from: Size, to: Size, prepare: &Prepare) -> Option<Self> {
        let crop = match prepare.crop {
            Some(crop) => even(crop.clip(from)?, from),
            None => Rect::whole(from),
        };
        let (shape, target) = (Size::new(crop.width, crop.height), Rect::whole(to));
        Some(match prepare.fit {
            Fit::Stretch => Self { crop, inside: target },
            Fit::Bars => Self { crop, inside: largest(shape, target) },
            Fit::Fill => Self { crop: largest(to, crop), inside: target },
        })
    }
}

/// Edges moved outwards to even samples, or to the end of the picture.
fn even(part: Rect, size: Size) -> Rect {
    let (x, y) = (part.x & !1, part.y & !1);
    let right = (part.x + part.width).next_multiple_of(2).min(size.width);
    let bottom = (part.y + part.height).next_multiple_of(2).min(size.height);
    Rect { x, y, width: right - x, height: bottom - y }
}

/// The largest part of `within` that has the shape of `shape`, in the middle; to the nearest even sample.
fn largest(shape: Size, within: Rect) -> Rect {
    let (w, h) = (u64::from(within.width), u64::from(within.height));
    let (sw, sh) = (u64::from(shape.width), u64::from(shape.height));
    let nearest = |a: u64, b: u64, most: u32| (((a + b) / (2 * b) * 2).max(2) as u32).min(most);
    if sw * h <= w * sh {
        let width = nearest(h * sw, sh, within.width);
        Rect { x: within.x + ((within.width - width) / 2 & !1), width, ..within }
    } else {
        let height = nearest(w * sh, sw, within.height);
        Rect { y: within.y + ((within.height - height) / 2 & !1), height, ..within }
    }
}

/// The same part of a chroma plane.
pub(crate) fn chroma(part: Rect) -> Rect {
    Rect { x: part.x / 2, y: part.y / 2, width: part.width.div_ceil(2), height: part.height.div_ceil(2) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(from: (u32, u32), to: (u32, u32), fit: Fit, crop: Option<[u32; 4]>) -> Option<([u32; 4], [u32; 4])> {
        let crop = crop.map(|[x, y, width, height]| Rect { x, y, width, height });
        let (from, to) = (Size::new(from.0, from.1), Size::new(to.0, to.1));
        let array = |r: Rect| [r.x, r.y, r.width, r.height];
        Layout::new(from, to, &Prepare { crop, fit, ..Prepare::default() }).map(|l| (array(l.crop), array(l.inside)))
    }

    #[test]
    fn shapes_are_kept_with_bars_or_with_a_cut_and_stretched_where_asked() {
        let (wide, tall) = ((1280, 720), (640, 480));
        assert_eq!(layout(wide, tall, Fit::Stretch, None), Some(([0, 0, 1280, 720], [0, 0, 640, 480])));
        assert_eq!(layout(wide, tall, Fit::Bars, None), Some(([0, 0, 1280, 720], [0, 60, 640, 360])));
        assert_eq!(layout(wide, tall, Fit::Fill, None), Some(([160, 0, 960, 720], [0, 0, 640, 480])));
        assert_eq!(layout(tall, wide, Fit::Bars, None), Some(([0, 0, 640, 480], [160, 0, 960, 720])));
        assert_eq!(layout(tall, wide, Fit::Fill, None), Some(([0, 60, 640, 360], [0, 0, 1280, 720])));
        for fit in [Fit::Stretch, Fit::Bars, Fit::Fill] {
            assert_eq!(layout(wide, (640, 360), fit, None), Some(([0, 0, 1280, 720], [0, 0, 640, 360])));
        }
    }

    #[test]
    fn a_crop_is_cut_to_the_source_and_moved_outwards_to_even_samples() {
        let crop = |crop| layout((101, 51), (101, 51), Fit::Stretch, Some(crop)).map(|(crop, _)| crop);
        assert_eq!(crop([3, 5, 10, 10]), Some([2, 4, 12, 12]));
        assert_eq!(crop([100, 50, 1, 1]), Some([100, 50, 1, 1]));
        assert_eq!(crop([99, 49, u32::MAX, u32::MAX]), Some([98, 48, 3, 3]));
        assert_eq!(crop([7, 7, 1, 1]), Some([6, 6, 2, 2]));
        for outside in [[101, 0, 1, 1], [0, 51, 1, 1], [0, 0, 0, 5], [u32::MAX; 4]] {
            assert_eq!(crop(outside), None, "{outside:?}");
        }
    }

    #[test]
    fn parts_lie_inside_whatever_the_sizes() {
        let sides = [1, 2, 3, 5, 16, 17, 99, 1280, 16_384];
        for (w, h) in sides.iter().flat_map(|a| sides.map(|b| (*a, b))) {
            for (tw, th) in sides.iter().flat_map(|a| sides.map(|b| (*a, b))) {
                for fit in [Fit::Bars, Fit::Fill] {
                    let (crop, inside) = layout((w, h), (tw, th), fit, None).expect("no crop");
                    for ([x, y, width, height], size) in [(crop, (w, h)), (inside, (tw, th))] {
                        assert!(width > 0 && height > 0 && x + width <= size.0 && y + height <= size.1);
                        assert!(x % 2 == 0 && y % 2 == 0);
                        assert!(width % 2 == 0 || x + width == size.0, "{fit:?} {w}x{h} {tw}x{th}");
                        assert!(height % 2 == 0 || y + height == size.1);
                    }
                }
            }
        }
    }
}
