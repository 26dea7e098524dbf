//! Cameras, and what the desktop's portal hands out.

mod faults;
mod mjpeg;
mod modes;
mod pipewire;
mod stamp;
mod wire;

use crate::capture::live::LiveVideo;
use crate::codecs::Size;
use crate::devices::{Backend, DeviceError, Id, Kind, Listing};
use crate::time::Clock;

/// What pictures are wished for; a device comes as near as it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Width and height in pixels.
    pub size: Size,
    /// Pictures a second.
    pub fps: u32,
}

impl Default for Wish {
    /// 1280×720 at 30 a second.
    fn default() -> Self {
        Self { size: Size::new(1280, 720), fps: 30 }
    }
}

/// Opens the camera `id`.
pub fn open(id: &Id, wish: Wish, clock: Clock) -> Result<Box<dyn LiveVideo>, DeviceError> {
    match id.backend() {
        Backend::PipeWire => Ok(Box::new(pipewire::open(id, wish, clock)?)),
        backend => Err(DeviceError::NotBuilt { kind: Kind::Camera, backend }),
    }
}

/// Adds what is found to `listing`.
pub(crate) fn list(listing: &mut Listing) {
    match pipewire::list() {
        Ok(found) => listing.devices.extend(found.into_iter().map(|camera| camera.device)),
        Err(error) => eprintln!("{error}"),
    }
}
