//! Sound in and out: microphones, speakers, and what lies between them and the 48 kHz of a session.
//!
//! ```text
//! device ─callback─► Tap ═ring═► Intake ─► Microphone ─► (echo, noise, gain) ─► Opus ─► …
//!                                                           ▲ what the speaker was given, and when it sounds
//! … ─► decoder ─► Mixer ─► Playout ─► Outlet ═ring═► Drain ─callback─► device
//! ```
//!
//! Each device has a clock of its own. [`intake`] and [`outlet`] bring it to the session's with a resampler that
//! [`drift`] steers; both are pure, and told the time. [`microphone`] and [`speaker`] put devices to their ends.

pub mod active;
#[cfg(feature = "devices")]
mod device;
pub mod drift;
pub mod intake;
pub mod level;
#[cfg(feature = "devices")]
pub mod microphone;
pub mod mixer;
pub mod outlet;
pub mod playout;
#[cfg(feature = "devices")]
pub mod speaker;
pub mod stretch;

#[cfg(feature = "devices")]
pub use device::default_id;

pub mod process;

use crate::devices::Listing;

/// Samples a second of all sound in a session.
pub const RATE: u32 = 48_000;

/// Samples of a channel in a block, which is 10 ms: as much as is processed, mixed and played at once.
pub const BLOCK: usize = 480;

/// Microseconds of a block.
pub const BLOCK_US: u64 = 10_000;

/// Adds what is found to `listing`.
pub(crate) fn list(listing: &mut Listing) {
    #[cfg(feature = "devices")]
    device::list(listing);
    #[cfg(not(feature = "devices"))]
    {
        use crate::devices::{Backend, Kind, Unseen};
        let (why, hint) = ("this build has no devices".to_owned(), "build with the feature `devices`");
        let unseen = |kind| Unseen { kind, backend: Backend::Sound, why: why.clone(), hint };
        listing.unseen.extend([Kind::Microphone, Kind::Speaker].map(unseen));
    }
}
