//! The mouse cursor: no part of a screen's pixels, it is drawn in here and taken out again before the next picture.

use x11rb::protocol::xfixes::{self, GetCursorImageReply};
use x11rb::protocol::xproto::{self, Window};

use super::server::{Fault, Server, granted};
use super::view::{Origin, View};
use crate::capture::live::Rect;

/// Where the pointer is and what it looks like.
#[derive(Default)]
pub struct Cursor {
    /// Upper left corner in the picture; outside of it or not on this screen, too.
    at: Option<(i32, i32)>,
    image: Image,
    /// Its looks are to be asked for.
    pub stale: bool,
    /// What it covers, and what was there.
    drawn: Option<Rect>,
    under: Vec<u8>,
}

#[derive(Default)]
struct Image {
    width: i32,
    height: i32,
    hot: (i32, i32),
    /// Alpha, red, green and blue from the highest byte to the lowest; the colours are multiplied by alpha already.
    argb: Vec<u32>,
}

impl Cursor {
    /// A cursor whose looks and place are not known yet.
    pub fn watch(server: &Server) -> Result<Self, Fault> {
        let mask = xfixes::CursorNotifyMask::DISPLAY_CURSOR;
        xfixes::select_cursor_input(&server.conn, server.root, mask)?.check()?;
        Ok(Self { stale: true, ..Self::default() })
    }

    /// Asks where it is, and how it looks where that changed. `true` where the picture changes by that.
    pub fn look(&mut self, server: &Server, window: Window, view: &View) -> Result<bool, Fault> {
        let place = xproto::query_pointer(&server.conn, window)?;
        let image = if self.stale { Some(xfixes::get_cursor_image(&server.conn)?) } else { None };
        let place = place.reply()?;
        let mut changed = false;
        if let Some(image) = image {
            // Where the server does not show it there is none; the screen is there all the same.
            self.image = granted(image.reply())?.map_or_else(Image::default, Image::from);
            (self.stale, changed) = (false, true);
        }
        let Origin { x, y } = view.origin;
        let (left, top) = (i32::from(place.win_x) - x, i32::from(place.win_y) - y);
        let at = place.same_screen.then_some((left - self.image.hot.0, top - self.image.hot.1));
        changed |= at != self.at;
        self.at = at;
        Ok(changed && (self.drawn.is_some() || self.place(view).is_some()))
    }

    /// Takes it out of `picture`: what it covered.
    pub fn lift(&mut self, picture: &mut [u8], view: &View) -> Option<Rect> {
        let rect = self.drawn.take()?;
        let row = 4 * rect.width as usize;
        for (under, y) in self.under.chunks_exact(row).zip(rect.y..) {
            let at = view.byte(rect.x, y);
            picture[at..at + row].copy_from_slice(under);
        }
        Some(rect)
    }

    /// Draws it into `picture`: what it covers.
    pub fn draw(&mut self, picture: &mut [u8], view: &View) -> Option<Rect> {
        let rect = self.place(view)?;
        let (left, top) = self.at?;
        self.under.clear();
        for y in rect.y..rect.y + rect.height {
            let at = view.byte(rect.x, y);
            let row = &mut picture[at..at + 4 * rect.width as usize];
            self.under.extend_from_slice(row);
            let from = (y as i32 - top) * self.image.width + (rect.x as i32 - left);
            let argb = &self.image.argb[from as usize..];
            row.chunks_exact_mut(4).zip(argb).for_each(|(pixel, over)| blend(pixel, *over));
        }
        self.drawn = Some(rect);
        self.drawn
    }

    /// The picture is another one.
    pub fn forget(&mut self) {
        self.drawn = None;
    }

    /// The part of it that is in the picture.
    fn place(&self, view: &View) -> Option<Rect> {
        let (left, top) = self.at?;
        view.clip(left, top, self.image.width, self.image.height)
    }
}

impl From<GetCursorImageReply> for Image {
    fn from(reply: GetCursorImageReply) -> Self {
        Self {
            width: reply.width.into(),
            height: reply.height.into(),
            hot: (reply.xhot.into(), reply.yhot.into()),
            argb: reply.cursor_image,
        }
    }
}

/// Lays a pixel over one of blue, green, red and an ignored byte.
fn blend(pixel: &mut [u8], argb: u32) {
    let over = argb.to_le_bytes();
    let through = 255 - u32::from(over[3]);
    for (below, above) in pixel[..3].iter_mut().zip(over) {
        let rest = (u32::from(*below) * through + 127) / 255;
        *below = (rest + u32::from(above)).min(255) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clear_pixel_changes_nothing_and_a_solid_one_all() {
        for below in 0..=255 {
            let mut pixel = [below, 255 - below, 7, 9];
            blend(&mut pixel, 0);
            assert_eq!(pixel, [below, 255 - below, 7, 9]);
            blend(&mut pixel, 0xff_10_20_30);
            assert_eq!(pixel, [0x30, 0x20, 0x10, 9]);
            blend(&mut pixel, 0x80_00_80_00);
            assert_eq!(pixel, [24, 0x80 + 16, 8, 9]);
        }
    }
}
