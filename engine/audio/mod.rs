//! No back end yet.

pub mod process;

use crate::devices::Listing;

/// Adds what is found to `listing`.
pub(crate) fn list(_listing: &mut Listing) {}
