//! Sound in and out: microphones, speakers, and what lies between them and the 48 kHz of a session.

pub mod active;
pub mod drift;
pub mod intake;
pub mod level;
pub mod mixer;
pub mod outlet;
pub mod stretch;

use crate::devices::Listing;

/// Samples a second of all sound in a session.
pub const RATE: u32 = 48_000;

/// Adds what is found to `listing`.
pub(crate) fn list(_listing: &mut Listing) {}
