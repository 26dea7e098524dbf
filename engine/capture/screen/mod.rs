//! Screens and windows.
//!
//! An X server is read here: [`list`] finds its screens and windows, [`open`] gives one of them as pictures that come when
//! something changed. What the desktop's portal hands out comes through PipeWire, as a camera's pictures do, and is opened
//! in [`super::camera`].

#[cfg(all(feature = "devices", target_os = "linux"))]
mod x11;

use super::live::{LiveVideo, Rect};
use crate::devices::{DeviceError, Id, Listing};
use crate::time::Clock;

/// What is wanted of a screen or a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The part of it that is wanted, in its own pixels; `None` for all.
    pub region: Option<Rect>,
    /// Most pictures a second, numerator and denominator.
    pub fps: (u32, u32),
    /// The mouse cursor is drawn in.
    pub cursor: bool,
    /// The X server, as in `:0`; `None` for the one that `DISPLAY` names.
    pub display: Option<String>,
}

impl Default for Wish {
    fn default() -> Self {
        Self { region: None, fps: (30, 1), cursor: true, display: None }
    }
}

/// Adds the screens and windows of the X server that `DISPLAY` names.
pub(crate) fn list(listing: &mut Listing) {
    list_on(None, listing);
}

/// Adds the screens and windows of the X server `display`, as in `:0`; of the one that `DISPLAY` names for `None`.
pub fn list_on(display: Option<&str>, listing: &mut Listing) {
    #[cfg(all(feature = "devices", target_os = "linux"))]
    x11::list(display, listing);
    #[cfg(not(all(feature = "devices", target_os = "linux")))]
    {
        let (_, _) = (display, listing);
    }
}

/// Opens `x11:screen-0`, the whole of a screen; `x11:screen-NAME`, the part of it that the monitor `NAME` shows; or
/// `x11:window-0xNUMBER`, a window, covered parts included where the server can tell them.
///
/// A picture's time is that at which the server was asked what changed: an X server gives none, and the pixels are no older.
/// A change that waits for its turn, as pictures come at most at the wish's rate, is shown as it is at that time.
///
/// # Errors
/// The server cannot be reached, has no such screen or window, or one whose pixels are not understood.
pub fn open(id: &Id, wish: Wish, clock: Clock) -> Result<Box<dyn LiveVideo>, DeviceError> {
    #[cfg(all(feature = "devices", target_os = "linux"))]
    return Ok(Box::new(x11::Capture::open(id, wish, clock)?));
    #[cfg(not(all(feature = "devices", target_os = "linux")))]
    {
        let (_, _) = (wish, clock);
        Err(DeviceError::NotBuilt { kind: crate::devices::Kind::Screen, backend: id.backend() })
    }
}
