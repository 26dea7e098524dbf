//! An X server's screens and windows: what is there ([`find`]), the part that is looked at ([`view`]), what changed in it
//! ([`damage`], [`cursor`]), its pixels through shared memory ([`shm`]), at the rate that is wished ([`pace`]); [`capture`]
//! makes pictures of all that.

mod capture;
mod cursor;
mod damage;
mod find;
mod pace;
mod server;
mod shm;
mod view;

use super::Wish;
pub(super) use capture::Capture;
pub(super) use find::list;
