//! Screens and windows.
//!
//! An X server is read here: [`list`] finds its screens and windows, [`open`] gives one of them as pictures that come when
//! something changed. What the desktop's portal hands out comes through PipeWire, as a camera's pictures do, and is opened
//! in [`super::camera`].

#[cfg(all(feature = "devices", target_os = "linux"))]
mod capture;
#[cfg(all(feature = "devices", target_os = "linux"))]
mod cursor;
#[cfg(all(feature = "devices", target_os = "linux"))]
mod damage;
#[cfg(all(feature = "devices", target_os = "linux"))]
mod find;
#[cfg(all(feature = "devices", target_os = "linux"))]
mod pace;
#[cfg(all(feature = "devices", target_os = "linux"))]
mod server;
#[cfg(all(feature = "devices", target_os = "linux"))]
mod shm;
#[cfg(all(feature = "devices", target_os = "linux"))]
mod view;

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
#[cfg(all(feature = "devices", target_os = "linux"))]
pub fn list_on(display: Option<&str>, listing: &mut Listing) {
    find::list(display, listing);
}

/// Adds nothing: this build has no back end for screens.
#[cfg(not(all(feature = "devices", target_os = "linux")))]
pub fn list_on(_display: Option<&str>, _listing: &mut Listing) {}

/// Opens `x11:screen-0`, the whole of a screen; `x11:screen-NAME`, the part of it that the monitor `NAME` shows; or
/// `x11:window-0xNUMBER`, a window, covered parts included where the server can tell them.
///
/// A picture's time is that at which its pixels were asked of the server: an X server gives none, and they are no older. A
/// change that waits for its turn, as pictures come at most at the wish's rate, is shown as it is at that time.
///
/// # Errors
/// The server cannot be reached, has no such screen or window, or one whose pixels are not understood.
#[cfg(all(feature = "devices", target_os = "linux"))]
pub fn open(id: &Id, wish: Wish, clock: Clock) -> Result<Box<dyn LiveVideo>, DeviceError> {
    Ok(Box::new(capture::Capture::open(id, wish, clock)?))
}

/// Opens nothing: this build has no back end for screens.
///
/// # Errors
/// Always.
#[cfg(not(all(feature = "devices", target_os = "linux")))]
pub fn open(id: &Id, _wish: Wish, _clock: Clock) -> Result<Box<dyn LiveVideo>, DeviceError> {
    Err(DeviceError::NotBuilt { kind: crate::devices::Kind::Screen, backend: id.backend() })
}
