//! The group key agreement: MLS (RFC 9420), from which every epoch's secret comes.
//!
//! [`provider`] is what the MLS library works on: its cryptography, its randomness and [`storage`], where the state of
//! the group lies. [`snapshot`] seals that state for a restart.

pub mod provider;
pub mod snapshot;
pub mod storage;

pub use provider::Provider;
pub use snapshot::StoreKey;
pub use storage::{Store, StoreError};
