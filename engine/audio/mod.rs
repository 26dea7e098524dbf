//! No back end yet.

use crate::devices::Listing;

/// Adds what is found to `listing`.
pub(crate) fn list(_listing: &mut Listing) {}
