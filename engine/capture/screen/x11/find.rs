//! What there is on an X server: its screen, the parts that monitors show, and the windows of programs.

use x11rb::protocol::randr;
use x11rb::protocol::xproto::{self, Atom, AtomEnum, MapState, Window, WindowClass};

use super::server::{Fault, HINT, Server, granted};
use crate::codecs::Size;
use crate::devices::{Backend, Device, DeviceError, Id, Kind, Layout, Listing, Unseen, VideoMode};
use crate::gpu::Format;

/// Adds what is found on `display`, or why it cannot be asked.
pub fn list(display: Option<&str>, listing: &mut Listing) {
    let server = match Server::connect(display) {
        Ok(server) => server,
        Err(error) => {
            let why = match error {
                DeviceError::Unreachable { why, .. } => why,
                other => other.to_string(),
            };
            let unseen = |kind| Unseen { kind, backend: Backend::X11, why: why.clone(), hint: HINT };
            return listing.unseen.extend([unseen(Kind::Screen), unseen(Kind::Window)]);
        }
    };
    let screens = if server.rootless() { Err(Fault::Refused(ROOTLESS.into())) } else { screens(&server) };
    for (kind, found) in [(Kind::Screen, screens), (Kind::Window, windows(&server))] {
        match found {
            Ok(devices) => listing.devices.extend(devices),
            Err(fault) => {
                let hint = if server.rootless() { USE_PORTAL } else { HINT };
                listing.unseen.push(Unseen { kind, backend: Backend::X11, why: fault.to_string(), hint });
            }
        }
    }
}

/// The whole screen, and each monitor where there are several.
fn screens(server: &Server) -> Result<Vec<Device>, Fault> {
    let root = xproto::get_geometry(&server.conn, server.root)?.reply()?;
    let size = Size::new(root.width.into(), root.height.into());
    let monitors = monitors(server)?;
    let several = monitors.len() > 1;
    let mut devices = vec![device(Kind::Screen, WHOLE, "Whole screen".into(), size)];
    for monitor in monitors.into_iter().filter(|_| several) {
        let (name, size) =
            (format!("{SCREEN}{}", monitor.name), Size::new(monitor.width.into(), monitor.height.into()));
        let mut device = device(Kind::Screen, &name, format!("Monitor {}", monitor.name), size);
        device.default = monitor.primary;
        devices.push(device);
    }
    devices[0].default = !devices.iter().any(|device| device.default);
    Ok(devices)
}

/// A part of the screen that one or more outputs show.
pub struct Monitor {
    pub name: String,
    pub primary: bool,
    pub x: i16,
    pub y: i16,
    pub width: u16,
    pub height: u16,
}

/// The monitors that are on; none where the server cannot tell.
pub fn monitors(server: &Server) -> Result<Vec<Monitor>, Fault> {
    if !server.randr {
        return Ok(Vec::new());
    }
    let found = randr::get_monitors(&server.conn, server.root, true)?.reply()?.monitors;
    let names = found.iter().map(|monitor| xproto::get_atom_name(&server.conn, monitor.name));
    let names = names.collect::<Result<Vec<_>, _>>()?;
    let mut monitors = Vec::with_capacity(found.len());
    for (name, randr::MonitorInfo { primary, x, y, width, height, .. }) in names.into_iter().zip(found) {
        let name = String::from_utf8_lossy(&name.reply()?.name).into_owned();
        monitors.push(Monitor { name, primary, x, y, width, height });
    }
    Ok(monitors)
}

/// The windows of programs, from the window manager's list where there is one.
fn windows(server: &Server) -> Result<Vec<Device>, Fault> {
    let managed = atom(server, b"_NET_CLIENT_LIST")?;
    let list = xproto::get_property(&server.conn, false, server.root, managed, AtomEnum::WINDOW, 0, MOST_WINDOWS)?;
    let list: Vec<Window> = list.reply()?.value32().map(Iterator::collect).unwrap_or_default();
    let (windows, managed) = match list.is_empty() {
        true => (xproto::query_tree(&server.conn, server.root)?.reply()?.children, false),
        false => (list, true),
    };
    let titles = Titles::new(server)?;
    // Asked of all at once, and then heard: a desktop of a hundred windows costs two ways, not four hundred.
    let mut asked = Vec::new();
    for window in windows {
        let attributes = xproto::get_window_attributes(&server.conn, window)?;
        asked.push((window, attributes, xproto::get_geometry(&server.conn, window)?, titles.ask(server, window)?));
    }
    let mut devices = Vec::new();
    for (window, attributes, geometry, title) in asked {
        // A window that closed in between is left out.
        let (Some(attributes), Some(geometry)) = (granted(attributes.reply())?, granted(geometry.reply())?) else {
            continue;
        };
        let shown = managed || (attributes.map_state == MapState::VIEWABLE && !attributes.override_redirect);
        if attributes.class == WindowClass::INPUT_OUTPUT && shown {
            let size = Size::new(geometry.width.into(), geometry.height.into());
            devices.push(device(Kind::Window, &format!("{WINDOW}{window:x}"), title.hear()?, size));
        }
    }
    Ok(devices)
}

/// The title of one window.
pub fn title(server: &Server, window: Window) -> Result<String, Fault> {
    Titles::new(server)?.ask(server, window)?.hear()
}

/// The names under which windows keep their titles.
struct Titles {
    title: Atom,
    utf8: Atom,
}

/// Titles that were asked for: the new kind, the old one, and the program's name.
struct Asked<'a>([x11rb::cookie::Cookie<'a, super::server::Conn, xproto::GetPropertyReply>; 3]);

impl Titles {
    fn new(server: &Server) -> Result<Self, Fault> {
        Ok(Self { title: atom(server, b"_NET_WM_NAME")?, utf8: atom(server, b"UTF8_STRING")? })
    }

    fn ask<'a>(&self, server: &'a Server, window: Window) -> Result<Asked<'a>, Fault> {
        let any = u32::from(AtomEnum::ANY);
        let ask = |name, kind| xproto::get_property(&server.conn, false, window, name, kind, 0, MOST_TITLE.div_ceil(4));
        let (old, program) = (u32::from(AtomEnum::WM_NAME), u32::from(AtomEnum::WM_CLASS));
        Ok(Asked([ask(self.title, self.utf8)?, ask(old, any)?, ask(program, any)?]))
    }
}

impl Asked<'_> {
    fn hear(self) -> Result<String, Fault> {
        let mut title = String::new();
        for asked in self.0 {
            let Some(reply) = granted(asked.reply())? else { continue };
            // The program's name is followed by its class, with a zero between.
            let text = reply.value.split(|byte| *byte == 0).next().unwrap_or_default();
            if title.is_empty() && reply.format == 8 {
                title = String::from_utf8_lossy(text).chars().filter(|char| !char.is_control()).collect();
            }
        }
        Ok(if title.is_empty() { "Window without a title".into() } else { title })
    }
}

/// A device of this server.
pub fn device(kind: Kind, name: &str, title: String, size: Size) -> Device {
    let mode = VideoMode { layout: Layout::Plain(Format::Bgra), size, fps: (0, 1) };
    let id = Id::new(Backend::X11, name);
    Device { video: vec![mode], ..Device::new(kind, id, title) }
}

fn atom(server: &Server, name: &[u8]) -> Result<Atom, Fault> {
    Ok(xproto::intern_atom(&server.conn, false, name)?.reply()?.atom)
}

/// How the names of screens begin; then the monitor's.
pub const SCREEN: &str = "screen-";

/// The name of the whole screen.
pub const WHOLE: &str = "screen-0";

/// How the names of windows begin; then the number.
pub const WINDOW: &str = "window-0x";

/// Why a guest server's screen shows nothing.
pub const ROOTLESS: &str = "this X server is a guest of a Wayland desktop, and its screen is empty";

/// What to do then.
pub const USE_PORTAL: &str = "take the desktop's portal, which asks you what to share";

/// Most windows that are listed.
const MOST_WINDOWS: u32 = 1024;

/// Most bytes of a title.
const MOST_TITLE: u32 = 256;
