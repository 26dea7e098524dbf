//! Cameras, and what the desktop's portal hands out: the back ends of each system in a folder of their own, behind one list and one `open`.
//!
//! A camera that both the kernel and PipeWire have is listed once, by the kernel's name: that one stays the same without a
//! daemon, and its pictures are handed out where the driver put them. Where another program has it, PipeWire, which can share it, is asked for it.

#[cfg(all(feature = "devices", target_os = "linux"))]
mod linux;

use super::live::LiveVideo;
use crate::codecs::Size;
use crate::devices::{DeviceError, Id, Listing};
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

/// Opens the camera `id`, or what the portal's dialogue gives where it is `portal:camera` or `portal:screen`. `clock` is the
/// session's.
///
/// This may take seconds, and with a dialogue as long as the user takes, up to two minutes.
///
/// # Errors
/// There is no such camera, another program has it, the system or the user forbids it, or it gives nothing that is
/// understood.
pub fn open(id: &Id, wish: Wish, clock: Clock) -> Result<Box<dyn LiveVideo>, DeviceError> {
    #[cfg(all(feature = "devices", target_os = "linux"))]
    return linux::open(id, wish, clock);
    #[cfg(not(all(feature = "devices", target_os = "linux")))]
    {
        let (_, _) = (wish, clock);
        Err(DeviceError::NotBuilt { kind: crate::devices::Kind::Camera, backend: id.backend() })
    }
}

/// Adds what is found to `listing`.
pub(crate) fn list(listing: &mut Listing) {
    #[cfg(all(feature = "devices", target_os = "linux"))]
    linux::list(listing);
    #[cfg(not(all(feature = "devices", target_os = "linux")))]
    listing.unseen.push(crate::devices::Unseen {
        kind: crate::devices::Kind::Camera,
        backend: crate::devices::Backend::V4l,
        why: "cameras are not built for this system yet".to_owned(),
        hint: "use a file or the rendered scene; on Linux, build with the feature `devices`",
    });
}
