//! Cameras of a Linux system: the kernel's ([`v4l`]), PipeWire's ([`pipewire`]) and what a desktop's dialogue gives
//! ([`portal`]). [`twins`] makes one list of them. What their pictures are is told alike: the layout of the bytes ([`wire`],
//! [`mjpeg`]), what there is to choose from ([`modes`]), when they were taken ([`stamp`]), what to do with bad ones
//! ([`faults`]) and with others than before ([`looks`]).

mod faults;
mod looks;
mod mjpeg;
mod modes;
mod pipewire;
mod portal;
mod stamp;
mod twins;
mod v4l;
mod wire;

use super::Wish;
use crate::devices::Listing;
pub(super) use twins::open;

/// Adds what is found to `listing`.
pub(super) fn list(listing: &mut Listing) {
    twins::list(listing);
    portal::list(listing);
}
