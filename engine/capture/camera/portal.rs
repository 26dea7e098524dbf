//! Stub while building.
use super::Wish;
use crate::capture::live::LiveVideo;
use crate::devices::*;
use crate::time::Clock;
pub(super) fn list(_: &mut Listing) {}
pub(super) fn open(id: &Id, _: Wish, _: Clock) -> Result<Box<dyn LiveVideo>, DeviceError> {
    Err(DeviceError::NotBuilt { kind: Kind::Camera, backend: id.backend() })
}
