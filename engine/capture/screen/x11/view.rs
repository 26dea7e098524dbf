//! What of an X server is looked at: where its pixels lie now, and what becomes of it.

use x11rb::NONE;
use x11rb::connection::Connection;
use x11rb::protocol::xproto::{self, ChangeWindowAttributesAux, EventMask, MapState, Pixmap, Rectangle, Window};
use x11rb::protocol::{Event, composite, randr};

use super::find::{self, ROOTLESS, SCREEN, USE_PORTAL, WHOLE, WINDOW};
use super::server::{Fault, Server};
use crate::capture::live::Rect;
use crate::codecs::Size;
use crate::devices::{Device, DeviceError, Id, Kind};

/// Where a picture's pixels lie.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// Upper left corner of the picture, in the watched window's coordinates.
    pub origin: Origin,
    pub size: Size,
    /// What is read, and how far its coordinates are beyond the window's.
    pub drawable: xproto::Drawable,
    pub shift: i32,
    /// The part of the picture that can be read.
    pub seen: Rect,
}

/// A place in the coordinates of a window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Origin {
    pub x: i32,
    pub y: i32,
}

impl View {
    /// The part of a rectangle, in pixels of the picture, that is inside of it.
    pub fn clip(&self, x: i32, y: i32, width: i32, height: i32) -> Option<Rect> {
        let (left, top) = (x.max(0), y.max(0));
        let right = x.saturating_add(width).min(self.size.width as i32);
        let bottom = y.saturating_add(height).min(self.size.height as i32);
        let inside = left < right && top < bottom;
        inside.then(|| Rect {
            x: left as u32,
            y: top as u32,
            width: (right - left) as u32,
            height: (bottom - top) as u32,
        })
    }

    /// The part of the picture that a rectangle of the window is.
    pub fn part(&self, rect: Rectangle) -> Option<Rect> {
        let (x, y) = (i32::from(rect.x) - self.origin.x, i32::from(rect.y) - self.origin.y);
        self.clip(x, y, rect.width.into(), rect.height.into())
    }

    /// Where a pixel of a picture of four bytes each begins.
    pub fn byte(&self, x: u32, y: u32) -> usize {
        4 * (y as usize * self.size.width as usize + x as usize)
    }

    /// The part of itself that `region` is; nothing where that is outside.
    fn crop(self, region: Option<Rect>) -> Option<View> {
        let Some(region) = region else { return Some(self) };
        let region = region.clip(self.size)?;
        let (x, y) = (region.x as i32, region.y as i32);
        let size = Size::new(region.width, region.height);
        let cropped = View { origin: Origin { x: self.origin.x + x, y: self.origin.y + y }, size, ..self.clone() };
        let (left, top) = (self.seen.x as i32 - x, self.seen.y as i32 - y);
        let seen = cropped.clip(left, top, self.seen.width as i32, self.seen.height as i32).unwrap_or_default();
        Some(View { seen, ..cropped })
    }
}

/// What a look found.
pub enum Look {
    /// It can be seen so.
    Seen(View),
    /// It is there and shows nothing now.
    Hidden,
    /// It is no more.
    Lost(String),
}

/// What an event means for who looks.
#[derive(PartialEq)]
pub enum News {
    Nothing,
    /// Look again.
    Stale,
    /// It is no more.
    Lost(String),
}

enum Target {
    Screen,
    Monitor(String),
    Window,
}

/// A screen, a monitor or a window that is looked at.
pub struct Sight {
    target: Target,
    region: Option<Rect>,
    /// The window whose changes and events count.
    pub window: Window,
    /// Width, height and border.
    shape: (u16, u16, u16),
    /// The window has a picture of its own.
    redirected: bool,
    pixmap: Option<Pixmap>,
}

impl Sight {
    /// Finds what `id` names.
    pub fn open(server: &Server, id: &Id, region: Option<Rect>) -> Result<(Self, Device), DeviceError> {
        let kind = if id.name().starts_with(WINDOW) { Kind::Window } else { Kind::Screen };
        let missing = || DeviceError::Missing { kind, id: id.clone() };
        let unusable = |why: String, hint| DeviceError::Unusable { kind, id: id.clone(), why, hint };
        let (target, window) = match (id.name().strip_prefix(SCREEN), id.name().strip_prefix(WINDOW)) {
            _ if id.name() == WHOLE => (Target::Screen, server.root),
            (Some(name), _) => (Target::Monitor(name.to_owned()), server.root),
            (_, Some(number)) => (Target::Window, u32::from_str_radix(number, 16).map_err(|_| missing())?),
            _ => return Err(missing()),
        };
        if kind == Kind::Screen && server.rootless() {
            return Err(unusable(ROOTLESS.into(), USE_PORTAL));
        }
        let mut sight = Self { target, region, window, shape: (0, 0, 0), redirected: false, pixmap: None };
        if let Err(fault) = understood(server, window) {
            return Err(match fault {
                Unread::Missing => missing(),
                Unread::Why(why) => unusable(why, "set the screen to 24 bits of colour, or pick another window"),
            });
        }
        let lost = |fault: Fault| DeviceError::Lost { kind, id: id.clone(), why: fault.to_string() };
        sight.listen(server).map_err(lost)?;
        let looked = sight.look(server).map_err(lost)?;
        let size = match looked {
            Look::Lost(_) => return Err(missing()),
            Look::Seen(view) => view.size,
            Look::Hidden if sight.region.is_some() && !sight.is_window() => {
                return Err(unusable("the region is outside of it".into(), "take a region that lies inside"));
            }
            Look::Hidden => Size::new(sight.shape.0.into(), sight.shape.1.into()),
        };
        let title = match &sight.target {
            Target::Screen => "Whole screen".into(),
            Target::Monitor(name) => format!("Monitor {name}"),
            Target::Window => find::title(server, window).map_err(lost)?,
        };
        Ok((sight, find::device(kind, id.name(), title, size)))
    }

    fn is_window(&self) -> bool {
        matches!(self.target, Target::Window)
    }

    /// Asks for the events that [`Self::heed`] understands, and for a picture of the window's own.
    fn listen(&mut self, server: &Server) -> Result<(), Fault> {
        let conn = &server.conn;
        if !self.is_window() {
            if server.randr {
                let mask = randr::NotifyMask::SCREEN_CHANGE | randr::NotifyMask::CRTC_CHANGE;
                randr::select_input(conn, self.window, mask)?.check()?;
            }
            return structure(server, self.window);
        }
        // Whether a window shows, and where, is its ancestors' affair, too.
        let mut window = self.window;
        while window != NONE && window != server.root {
            structure(server, window)?;
            window = xproto::query_tree(conn, window)?.reply()?.parent;
        }
        if server.composite && !self.redirected {
            let asked = composite::redirect_window(conn, self.window, composite::Redirect::AUTOMATIC)?;
            self.redirected = asked.check().is_ok();
        }
        Ok(())
    }

    /// What can be seen now.
    pub fn look(&mut self, server: &Server) -> Result<Look, Fault> {
        let looked = match &self.target {
            Target::Screen => self.look_at_screen(server)?,
            Target::Monitor(name) => match find::monitors(server)?.into_iter().find(|one| one.name == *name) {
                Some(monitor) => self.look_at_monitor(server, &monitor)?,
                None => Look::Lost(format!("no monitor {name} is on (any more)")),
            },
            Target::Window => self.look_at_window(server)?,
        };
        Ok(match looked {
            Look::Seen(view) => view.crop(self.region).map_or(Look::Hidden, Look::Seen),
            other => other,
        })
    }

    fn look_at_screen(&self, server: &Server) -> Result<Look, Fault> {
        let root = xproto::get_geometry(&server.conn, self.window)?.reply()?;
        let size = Size::new(root.width.into(), root.height.into());
        Ok(Look::Seen(View {
            origin: Origin::default(),
            size,
            drawable: self.window,
            shift: 0,
            seen: Rect::whole(size),
        }))
    }

    fn look_at_monitor(&self, server: &Server, monitor: &find::Monitor) -> Result<Look, Fault> {
        let Look::Seen(screen) = self.look_at_screen(server)? else { return Ok(Look::Hidden) };
        let (x, y) = (i32::from(monitor.x), i32::from(monitor.y));
        let place = screen.clip(x, y, monitor.width.into(), monitor.height.into());
        Ok(place.and_then(|place| screen.crop(Some(place))).map_or(Look::Hidden, Look::Seen))
    }

    fn look_at_window(&mut self, server: &Server) -> Result<Look, Fault> {
        let conn = &server.conn;
        let attributes = xproto::get_window_attributes(conn, self.window)?;
        let geometry = xproto::get_geometry(conn, self.window)?;
        let place = xproto::translate_coordinates(conn, self.window, server.root, 0, 0)?;
        let root = xproto::get_geometry(conn, server.root)?;
        let (attributes, geometry, place, root) = match (attributes.reply(), geometry.reply(), place.reply()) {
            (Ok(attributes), Ok(geometry), Ok(place)) => (attributes, geometry, place, root.reply()?),
            (attributes, geometry, place) => {
                for fault in [attributes.err(), geometry.err(), place.err()].into_iter().flatten().map(Fault::from) {
                    if let Fault::Gone(_) = fault {
                        return Err(fault);
                    }
                }
                return Ok(Look::Lost(CLOSED.into()));
            }
        };
        self.shape = (geometry.width, geometry.height, geometry.border_width);
        self.release(server)?;
        if attributes.map_state != MapState::VIEWABLE {
            return Ok(Look::Hidden);
        }
        let size = Size::new(geometry.width.into(), geometry.height.into());
        let view = View { origin: Origin::default(), size, drawable: self.window, shift: 0, seen: Rect::whole(size) };
        if self.redirected {
            let pixmap = conn.generate_id()?;
            return match composite::name_window_pixmap(conn, self.window, pixmap)?.check().map_err(Fault::from) {
                Ok(()) => {
                    self.pixmap = Some(pixmap);
                    Ok(Look::Seen(View { drawable: pixmap, shift: geometry.border_width.into(), ..view }))
                }
                // It was hidden in between, of which an event tells.
                Err(Fault::Refused(_)) => Ok(Look::Hidden),
                Err(fault) => Err(fault),
            };
        }
        // Without a picture of its own, what is beyond the screen's edge is nowhere.
        let (x, y) = (-i32::from(place.dst_x), -i32::from(place.dst_y));
        let seen = view.clip(x, y, root.width.into(), root.height.into());
        Ok(seen.map_or(Look::Hidden, |seen| Look::Seen(View { seen, ..view })))
    }

    /// What an event means.
    pub fn heed(&mut self, server: &Server, event: &Event) -> Result<News, Fault> {
        let stale = match event {
            Event::DestroyNotify(event) if event.window == self.window => return Ok(News::Lost(CLOSED.into())),
            Event::ReparentNotify(event) if event.window == self.window => match self.listen(server) {
                Ok(()) | Err(Fault::Refused(_)) => true,
                Err(fault) => return Err(fault),
            },
            Event::MapNotify(_) | Event::UnmapNotify(_) => self.is_window(),
            // A window with a picture of its own may move as it likes.
            Event::ConfigureNotify(event) if self.redirected => {
                event.window == self.window && (event.width, event.height, event.border_width) != self.shape
            }
            Event::ConfigureNotify(_) => true,
            Event::RandrScreenChangeNotify(_) | Event::RandrNotify(_) => !self.is_window(),
            _ => false,
        };
        Ok(if stale { News::Stale } else { News::Nothing })
    }

    /// Lets go of the window's old picture.
    fn release(&mut self, server: &Server) -> Result<(), Fault> {
        if let Some(pixmap) = self.pixmap.take() {
            xproto::free_pixmap(&server.conn, pixmap)?;
        }
        Ok(())
    }
}

/// Asks for word of a window's size, place, and showing.
fn structure(server: &Server, window: Window) -> Result<(), Fault> {
    let wanted = ChangeWindowAttributesAux::new().event_mask(EventMask::STRUCTURE_NOTIFY);
    Ok(xproto::change_window_attributes(&server.conn, window, &wanted)?.check()?)
}

/// Why a window's pixels cannot be read.
enum Unread {
    Missing,
    Why(String),
}

/// Whether the pixels of `window` are blue, green, red and one more byte, in this order.
fn understood(server: &Server, window: Window) -> Result<(), Unread> {
    let ask = || -> Result<_, Fault> {
        let attributes = xproto::get_window_attributes(&server.conn, window)?;
        let geometry = xproto::get_geometry(&server.conn, window)?;
        Ok((attributes.reply()?, geometry.reply()?))
    };
    let (attributes, geometry) = ask().map_err(|fault| match fault {
        Fault::Refused(_) => Unread::Missing,
        Fault::Gone(why) => Unread::Why(why),
    })?;
    if attributes.class == xproto::WindowClass::INPUT_ONLY {
        return Err(Unread::Why("this window is for input alone and shows nothing".into()));
    }
    let setup = server.conn.setup();
    let visuals = setup.roots.iter().flat_map(|screen| &screen.allowed_depths).flat_map(|depth| &depth.visuals);
    let visual = visuals.into_iter().find(|visual| visual.visual_id == attributes.visual);
    let colours = visual.map(|visual| (visual.red_mask, visual.green_mask, visual.blue_mask));
    let bits = setup.pixmap_formats.iter().find(|format| format.depth == geometry.depth).map(|f| f.bits_per_pixel);
    let bgra = colours == Some((0xff_00_00, 0xff_00, 0xff)) && bits == Some(32);
    if bgra && setup.image_byte_order == xproto::ImageOrder::LSB_FIRST {
        return Ok(());
    }
    Err(Unread::Why(format!("its pixels have {} bits of colour, or their bytes lie in another order", geometry.depth)))
}

const CLOSED: &str = "it was closed";
