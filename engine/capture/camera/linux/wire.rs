//! What a device puts into its buffers, and how it becomes a picture with tight rows.

use crate::codecs::{Color, Matrix, Range, Size};
use crate::devices::Layout;
use crate::gpu::Format;

/// The longest edge that is taken, in pixels: what a device says beyond is a fault, and would cost memory.
pub(super) const MAX_EDGE: u32 = 8192;

/// How a device's bytes lie, as far as they are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    Nv12,
    I420,
    Yuy2,
    /// As YUY2, with the bytes of each pair swapped.
    Uyvy,
    Rgba,
    Bgra,
    /// Three bytes a pixel.
    Rgb,
    Bgr,
    Mjpeg,
}

impl Wire {
    /// All of them, the cheapest to take first.
    pub(super) const ALL: [Wire; 9] =
        [Wire::Nv12, Wire::I420, Wire::Yuy2, Wire::Uyvy, Wire::Bgra, Wire::Rgba, Wire::Bgr, Wire::Rgb, Wire::Mjpeg];

    /// What its pictures are handed on as.
    pub(super) fn format(self) -> Format {
        match self {
            Wire::Nv12 => Format::Nv12,
            Wire::I420 | Wire::Mjpeg => Format::I420,
            Wire::Yuy2 | Wire::Uyvy => Format::Yuy2,
            Wire::Rgba | Wire::Rgb => Format::Rgba,
            Wire::Bgra | Wire::Bgr => Format::Bgra,
        }
    }

    pub(super) fn layout(self) -> Layout {
        if self == Wire::Mjpeg { Layout::Mjpeg } else { Layout::Plain(self.format()) }
    }

    /// Place in [`Wire::ALL`].
    pub(super) fn cost(self) -> usize {
        Wire::ALL.iter().position(|wire| *wire == self).unwrap_or(Wire::ALL.len())
    }

    /// What samples mean where the device does not say. RGB is full range, JFIF is BT.601 in full range; a USB camera
    /// without a colour matching descriptor uses BT.601 (USB Video Class 1.5, 3.9.2.6), in limited range.
    pub(super) fn color(self) -> Color {
        let range = match self {
            Wire::Nv12 | Wire::I420 | Wire::Yuy2 | Wire::Uyvy => Range::Limited,
            Wire::Rgba | Wire::Bgra | Wire::Rgb | Wire::Bgr | Wire::Mjpeg => Range::Full,
        };
        Color { matrix: Matrix::Bt601, range }
    }

    /// Bytes that one sample of each plane takes on the wire, and over how many pixels it reaches, across and down.
    fn planes(self) -> &'static [(usize, u32, u32)] {
        match self {
            Wire::Rgba | Wire::Bgra => &[(4, 1, 1)],
            Wire::Rgb | Wire::Bgr => &[(3, 1, 1)],
            Wire::Yuy2 | Wire::Uyvy => &[(4, 2, 1)],
            Wire::Nv12 => &[(1, 1, 1), (2, 2, 2)],
            Wire::I420 => &[(1, 1, 1), (1, 2, 2), (1, 2, 2)],
            Wire::Mjpeg => &[],
        }
    }

    /// Rows of `stride` bytes are tight and need no change: the buffer is the picture.
    pub(super) fn is_tight(self, size: Size, stride: usize) -> bool {
        let same = matches!(self, Wire::Nv12 | Wire::I420 | Wire::Yuy2 | Wire::Rgba | Wire::Bgra);
        let even = self != Wire::I420 && self != Wire::Nv12 || size.width.is_multiple_of(2);
        let row = self.planes().first().map(|(bytes, across, _)| bytes * size.width.div_ceil(*across) as usize);
        same && even && row == Some(stride)
    }

    /// Writes the picture `part` that lies in `blocks` to `out`, with tight rows, as [`Wire::format`] says. There is one
    /// block for each plane, or a single one in which they follow each other, with chroma rows in proportion.
    ///
    /// # Errors
    /// The blocks hold less than such a picture, or their strides are none; `out` is then of no use.
    pub(super) fn unpack(self, part: Part, blocks: &[Block<'_>], out: &mut Vec<u8>) -> Result<(), Short> {
        out.clear();
        let planes = self.planes();
        let (first, whole) = (blocks.first().ok_or(Short)?, part.whole);
        let single = blocks.len() < planes.len();
        let mut begin = 0;
        for (i, (bytes, across, down)) in planes.iter().copied().enumerate() {
            let (width, height) = (whole.width.div_ceil(across) as usize, whole.height.div_ceil(down) as usize);
            let block = if single { first } else { &blocks[i] };
            let stride = match block.stride {
                0 => bytes * width,
                given if single => given * bytes / (across as usize * planes[0].0) * planes[0].1 as usize,
                given => given,
            };
            let data = block.data.get(begin..).ok_or(Short)?;
            if single {
                begin += stride * height;
            }
            let (x, y) = ((part.x / across) as usize * bytes, (part.y / down) as usize);
            let (row, rows) =
                (part.size.width.div_ceil(across) as usize * bytes, part.size.height.div_ceil(down) as usize);
            if stride < bytes * width || x + row > stride || rows == 0 || row == 0 {
                return Err(Short);
            }
            let end = (y + rows - 1) * stride + x + row;
            let data = data.get(..end).ok_or(Short)?;
            for row in (y..y + rows).map(|line| &data[line * stride + x..][..row]) {
                self.append(row, out);
            }
        }
        if out.len() == self.format().len(part.size) { Ok(()) } else { Err(Short) }
    }

    fn append(self, row: &[u8], out: &mut Vec<u8>) {
        match self {
            Wire::Rgb | Wire::Bgr => out.extend(row.as_chunks().0.iter().flat_map(|[a, b, c]| [*a, *b, *c, 255])),
            Wire::Uyvy => out.extend(row.as_chunks().0.iter().flat_map(|[a, b]| [*b, *a])),
            _ => out.extend_from_slice(row),
        }
    }
}

/// A stretch of memory that holds one plane or all of them.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    pub(super) data: &'a [u8],
    /// Bytes from one row of the first plane in it to the next; 0 for tight rows.
    pub(super) stride: usize,
}

/// The part of a picture that counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// The size of all that lies in memory.
    pub(super) whole: Size,
    /// Left edge; of subsampled planes, rounded down.
    pub(super) x: u32,
    /// Upper edge.
    pub(super) y: u32,
    /// Width and height.
    pub(super) size: Size,
}

impl Part {
    /// All of a picture.
    pub(super) fn all(size: Size) -> Self {
        Self { whole: size, x: 0, y: 0, size }
    }

    /// The part from (`x`, `y`) of `size`; `None` where that does not lie within.
    pub(super) fn of(whole: Size, (x, y): (u32, u32), size: Size) -> Option<Self> {
        let within = |from: u32, len: u32, all: u32| len > 0 && from.checked_add(len).is_some_and(|end| end <= all);
        let fits = within(x, size.width, whole.width) && within(y, size.height, whole.height);
        fits.then_some(Self { whole, x, y, size })
    }
}

/// A buffer holds less than the picture it is said to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Short;

/// A size that is taken.
pub(super) fn is_sane(size: Size) -> bool {
    (1..=MAX_EDGE).contains(&size.width) && (1..=MAX_EDGE).contains(&size.height)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The picture of `wire` in one block with `pad` bytes behind each luma row; each sample is its place.
    fn padded(wire: Wire, size: Size, pad: usize) -> (Vec<u8>, usize) {
        let (first, across, _) = wire.planes()[0];
        let stride = first * size.width.div_ceil(across) as usize + pad;
        let mut data = Vec::new();
        for (plane, (bytes, across, down)) in wire.planes().iter().enumerate() {
            let row = bytes * size.width.div_ceil(*across) as usize;
            let stride = if plane == 0 { stride } else { stride * bytes / *across as usize };
            for y in 0..size.height.div_ceil(*down) as usize {
                data.extend((0..stride).map(|x| if x < row { (50 * plane + 10 * y + x) as u8 } else { 0xEE }));
            }
        }
        (data, stride)
    }

    #[test]
    fn padding_behind_rows_does_not_show() {
        let size = Size::new(6, 4);
        for wire in Wire::ALL.into_iter().filter(|wire| *wire != Wire::Mjpeg) {
            let (tight, stride) = padded(wire, size, 0);
            let (mut plain, mut out) = (Vec::new(), Vec::new());
            wire.unpack(Part::all(size), &[Block { data: &tight, stride }], &mut plain).expect("a whole picture");
            assert_eq!(plain.len(), wire.format().len(size), "{wire:?}");
            wire.unpack(Part::all(size), &[Block { data: &tight, stride: 0 }], &mut out).expect("a whole picture");
            assert_eq!(out, plain, "{wire:?}");
            let (data, stride) = padded(wire, size, 12);
            assert!(!wire.is_tight(size, stride));
            wire.unpack(Part::all(size), &[Block { data: &data, stride }], &mut out).expect("a whole picture");
            assert_eq!(out, plain, "{wire:?}");
            if wire.is_tight(size, tight.len() / 4) {
                assert_eq!(out, tight, "{wire:?}");
            }
        }
    }

    #[test]
    fn three_bytes_become_four_and_swapped_pairs_are_put_right() {
        let mut out = Vec::new();
        let mut taken = |wire: Wire, size, data: &[u8]| {
            wire.unpack(Part::all(size), &[Block { data, stride: 0 }], &mut out).map(|()| out.clone())
        };
        assert_eq!(taken(Wire::Rgb, Size::new(2, 1), &[1, 2, 3, 4, 5, 6]), Ok(vec![1, 2, 3, 255, 4, 5, 6, 255]));
        assert_eq!(taken(Wire::Uyvy, Size::new(2, 1), &[1, 2, 3, 4]), Ok(vec![2, 1, 4, 3]));
    }

    #[test]
    fn planes_may_lie_in_blocks_of_their_own() {
        let blocks = [
            Block { data: &[1, 2, 3, 4, 9, 9, 5, 6, 7, 8], stride: 6 },
            Block { data: &[10, 11, 9, 9], stride: 4 },
            Block { data: &[20, 21], stride: 0 },
        ];
        let mut out = Vec::new();
        Wire::I420.unpack(Part::all(Size::new(4, 2)), &blocks, &mut out).expect("a whole picture");
        assert_eq!(out, [1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 20, 21]);
    }

    #[test]
    fn a_part_is_cut_out() {
        let (whole, mut out) = (Size::new(4, 4), Vec::new());
        let data: Vec<u8> = (0..64).collect();
        let part = Part::of(whole, (2, 1), Size::new(1, 2)).expect("within");
        Wire::Bgra.unpack(part, &[Block { data: &data, stride: 16 }], &mut out).expect("a whole picture");
        assert_eq!(out, [24, 25, 26, 27, 40, 41, 42, 43]);
        for (at, size) in [((3, 0), Size::new(2, 1)), ((u32::MAX, 0), whole), ((0, 0), Size::new(0, 1))] {
            assert!(Part::of(whole, at, size).is_none());
        }
    }

    #[test]
    fn whatever_length_stride_and_size_are_said_it_is_a_picture_or_short() {
        let mut random = fastrand::Rng::with_seed(7);
        let (bytes, mut out, mut whole) = (vec![7; 4096], Vec::new(), 0);
        for _ in 0..20_000 {
            let wire = Wire::ALL[random.usize(..Wire::ALL.len())];
            let size = Size::new(random.u32(..40), random.u32(..40));
            let stride = if random.bool() { random.usize(..200) } else { usize::MAX >> random.u32(8..64) };
            let blocks: Vec<_> =
                (0..random.usize(..4)).map(|_| Block { data: &bytes[..random.usize(..4096)], stride }).collect();
            if wire.unpack(Part::all(size), &blocks, &mut out).is_ok() {
                assert_eq!(out.len(), wire.format().len(size));
                whole += 1;
            }
        }
        assert!(whole > 500, "{whole} of 20000 were whole");
    }
}
