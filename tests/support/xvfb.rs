//! An X server of a test's own, and a client that draws on it.
#![allow(dead_code)]

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicI16, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use conclave::capture::screen::Wish;
use x11rb::COPY_DEPTH_FROM_PARENT;
use x11rb::connection::Connection;
use x11rb::protocol::randr::{ConnectionExt as _, Rotation};
use x11rb::protocol::xproto::*;
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;

/// A server on a display that was free; it ends with this value.
pub struct Xvfb {
    child: Child,
    /// As in `:7`.
    pub display: String,
}

impl Xvfb {
    /// A server with a screen of 24 bits; `None`, and a word of it, where the program is not installed.
    pub fn start(width: u32, height: u32) -> Option<Self> {
        Self::start_with(&format!("{width}x{height}x24"), &[])
    }

    /// The same with a screen as Xvfb writes it, and more options.
    pub fn start_with(screen: &str, options: &[&str]) -> Option<Self> {
        let _numbering = numbering();
        let started = Command::new("Xvfb")
            .args(["-displayfd", "1", "-screen", "0", screen, "-noreset"])
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut child) = started else {
            println!("skipped: Xvfb is not installed");
            return None;
        };
        let mut number = String::new();
        let mut out = child.stdout.take().expect("a pipe");
        let mut byte = [0];
        while out.read(&mut byte).expect("Xvfb says its display") == 1 && byte[0] != b'\n' {
            number.push(char::from(byte[0]));
        }
        assert!(!number.is_empty(), "Xvfb does not start");
        Some(Self { child, display: format!(":{number}") })
    }

    /// What is wanted of this server: all, without the cursor.
    pub fn wish(&self) -> Wish {
        Wish { cursor: false, display: Some(self.display.clone()), ..Wish::default() }
    }

    /// A client that draws.
    pub fn painter(&self) -> Painter {
        Painter::connect(&self.display)
    }

    /// The server dies. Nobody gets its number while the answer is held.
    pub fn kill(&mut self) -> MutexGuard<'static, ()> {
        let numbering = numbering();
        self.child.kill().and_then(|()| self.child.wait()).expect("Xvfb ends");
        numbering
    }

    /// CPU time of the server so far, in ticks of 10 ms.
    pub fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it runs");
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }
}

/// Held while a server takes a number.
fn numbering() -> MutexGuard<'static, ()> {
    static NUMBERING: Mutex<()> = Mutex::new(());
    NUMBERING.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Xvfb {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Draws in plain colours. Each call is done when it returns.
pub struct Painter {
    pub conn: RustConnection,
    pub root: Window,
    pub size: (u16, u16),
    context: Gcontext,
    pointer: [AtomicI16; 2],
}

impl Painter {
    pub fn connect(display: &str) -> Self {
        let (conn, screen) = RustConnection::connect(Some(display)).expect("the server answers");
        let Screen { root, width_in_pixels, height_in_pixels, .. } = conn.setup().roots[screen];
        let context = conn.generate_id().unwrap();
        conn.create_gc(context, root, &CreateGCAux::new().graphics_exposures(0)).unwrap();
        let painter =
            Self { conn, root, size: (width_in_pixels, height_in_pixels), context, pointer: Default::default() };
        painter.point(0, 0);
        painter
    }

    pub fn sync(&self) {
        self.conn.sync().unwrap();
    }

    /// A window of one colour (0xRRGGBB), mapped, without a manager's leave.
    pub fn window(&self, x: i16, y: i16, width: u16, height: u16, colour: u32) -> Window {
        let window = self.unmapped(x, y, width, height, colour);
        self.conn.map_window(window).unwrap();
        self.sync();
        window
    }

    /// The same, not mapped yet.
    pub fn unmapped(&self, x: i16, y: i16, width: u16, height: u16, colour: u32) -> Window {
        let window = self.conn.generate_id().unwrap();
        let looks = CreateWindowAux::new().background_pixel(colour);
        let (class, depth) = (WindowClass::INPUT_OUTPUT, COPY_DEPTH_FROM_PARENT);
        self.conn.create_window(depth, window, self.root, x, y, width, height, 0, class, 0, &looks).unwrap();
        self.sync();
        window
    }

    pub fn title(&self, window: Window, title: &str) {
        self.conn
            .change_property8(PropMode::REPLACE, window, AtomEnum::WM_NAME, AtomEnum::STRING, title.as_bytes())
            .unwrap();
        self.sync();
    }

    pub fn configure(&self, window: Window, how: &ConfigureWindowAux) {
        self.conn.configure_window(window, how).unwrap();
        self.sync();
    }

    pub fn place(&self, window: Window, x: i32, y: i32) {
        self.configure(window, &ConfigureWindowAux::new().x(x).y(y));
    }

    pub fn resize(&self, window: Window, width: u32, height: u32) {
        self.configure(window, &ConfigureWindowAux::new().width(width).height(height));
    }

    pub fn map(&self, window: Window) {
        self.conn.map_window(window).unwrap();
        self.sync();
    }

    pub fn unmap(&self, window: Window) {
        self.conn.unmap_window(window).unwrap();
        self.sync();
    }

    pub fn close(&self, window: Window) {
        self.conn.destroy_window(window).unwrap();
        self.sync();
    }

    /// Fills a part of a window.
    pub fn fill(&self, window: Window, part: (i16, i16, u16, u16), colour: u32) {
        self.paint(window, part, colour);
        self.sync();
    }

    /// The same, sent together with what follows.
    pub fn paint(&self, window: Window, (x, y, width, height): (i16, i16, u16, u16), colour: u32) {
        self.conn.change_gc(self.context, &ChangeGCAux::new().foreground(colour)).unwrap();
        self.conn.poly_fill_rectangle(window, self.context, &[Rectangle { x, y, width, height }]).unwrap();
    }

    /// Moves the pointer to a place of the screen.
    pub fn point(&self, x: i16, y: i16) {
        self.conn.warp_pointer(x11rb::NONE, self.root, 0, 0, 0, 0, x, y).unwrap();
        self.sync();
        [x, y].into_iter().zip(&self.pointer).for_each(|(to, at)| at.store(to, Ordering::Relaxed));
    }

    /// Gives the screen a square cursor of one colour, whose upper left corner points.
    pub fn cursor(&self, side: u16, (red, green, blue): (u16, u16, u16)) {
        let [shape, context, cursor] = std::array::from_fn(|_| self.conn.generate_id().unwrap());
        self.conn.create_pixmap(1, shape, self.root, side, side).unwrap();
        self.conn.create_gc(context, shape, &CreateGCAux::new().foreground(1)).unwrap();
        let all = Rectangle { x: 0, y: 0, width: side, height: side };
        self.conn.poly_fill_rectangle(shape, context, &[all]).unwrap();
        self.conn.create_cursor(cursor, shape, shape, red, green, blue, 0, 0, 0, 0, 0).unwrap();
        self.conn.change_window_attributes(self.root, &ChangeWindowAttributesAux::new().cursor(cursor)).unwrap();
        self.sync();
    }

    /// Gives the screen a smaller size, with all its outputs off.
    pub fn shrink(&self, width: u16, height: u16) {
        let found = self.conn.randr_get_screen_resources(self.root).unwrap().reply().unwrap();
        for crtc in found.crtcs {
            let (rotation, now) = (Rotation::ROTATE0, x11rb::CURRENT_TIME);
            let off = self.conn.randr_set_crtc_config(crtc, now, found.config_timestamp, 0, 0, 0, rotation, &[]);
            off.unwrap().reply().unwrap();
        }
        self.conn.randr_set_screen_size(self.root, width, height, 130, 80).unwrap().check().unwrap();
    }

    /// The pixels of a drawable, as the server says.
    pub fn read(&self, drawable: Drawable, width: u16, height: u16) -> Vec<u8> {
        self.conn.get_image(ImageFormat::Z_PIXMAP, drawable, 0, 0, width, height, !0).unwrap().reply().unwrap().data
    }
}
