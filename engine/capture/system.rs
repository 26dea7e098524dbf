//! The cameras, screens and windows of this machine.

use super::live::LiveVideo;
use super::steady::Devices;
use super::{camera, screen};
use crate::devices::{Backend, Device, DeviceError, Kind, Listing};
use crate::time::Clock;

/// How those of this machine are opened.
#[derive(Clone, Debug)]
pub struct System {
    /// What is asked of a camera.
    pub camera: camera::Wish,
    /// What is asked of a screen or a window.
    pub screen: screen::Wish,
    /// The clock of the session.
    pub clock: Clock,
}

impl Devices for System {
    fn list(&mut self, kind: Kind) -> Vec<Device> {
        let mut listing = Listing::default();
        match kind {
            Kind::Camera => camera::list(&mut listing),
            _ => screen::list_on(self.screen.display.as_deref(), &mut listing),
        }
        listing.devices.retain(|device| device.kind == kind);
        listing.devices.sort_by_key(|device| !device.default);
        listing.devices
    }

    fn open(&mut self, device: &Device) -> Result<Box<dyn LiveVideo>, DeviceError> {
        match device.id.backend() {
            Backend::X11 => screen::open(&device.id, self.screen.clone(), self.clock),
            _ => camera::open(&device.id, self.camera, self.clock),
        }
    }
}
