//! The plain twin of mirror.wgsl.

use crate::codecs::{Picture, Plane};
use crate::gpu::Size;

/// Writes `picture` with left and right exchanged to `out`, for a self view.
pub fn mirror(picture: &Picture, out: &mut Picture) {
    if out.size() != picture.size() {
        out.reset(picture.size(), picture.color);
    }
    out.color = picture.color;
    for plane in Plane::ALL {
        let width = picture.plane_size(plane).width as usize;
        let rows = picture.plane(plane).chunks_exact(width);
        for (out, row) in out.plane_mut(plane).chunks_exact_mut(width).zip(rows) {
            out.copy_from_slice(row);
            out.reverse();
        }
    }
}

/// The same in place, in a tight picture of `size`.
pub(crate) fn in_place(size: Size, data: &mut [u8]) {
    let (luma, chroma) = data.split_at_mut(size.area());
    luma.chunks_exact_mut(size.width as usize).for_each(<[u8]>::reverse);
    chroma.chunks_exact_mut(size.chroma().width as usize).for_each(<[u8]>::reverse);
}
