//! Conclave: a media engine for low-latency, end-to-end-encrypted meetings.
//!
//! ```text
//! capture ─► gpu ─► encode ─► e2ee ─► rtp ─► send ~~~ network ~~~ receive ─► rtp ─► e2ee ─► jitter ─► decode
//!            Raw    Encoded   Sealed  Packet                                 Arrived  Opened          Picture
//! ```
//!
//! The five types a reader needs: [`frame::Encoded`] and [`frame::Sealed`], which never meet the wire in the wrong
//! order; [`send::Sender`] and [`receive::Receiver`], which are told the time and do no IO; and
//! [`rehearsal::Rehearsal`], which plays both over a simulated network in virtual time. [`drive`] puts the same two on
//! threads and sockets.
//!
//! An app brings what it has of its own: keys ([`e2ee::KeySource`]), a transport ([`drive::Transport`]), encoded frames
//! ([`drive::injection`]), sources ([`capture::VideoInput`], [`capture::Microphone`]) and codecs (the traits of
//! [`codecs`]). `samples/embed_*.rs` show each, in reading order; `STABILITY.md` says what will not change.

pub use conclave_codecs as codecs;

// Unit tests and the tests outside share what they are given.
#[cfg(test)]
extern crate self as conclave;
#[cfg(test)]
#[path = "../tests/support/epochs.rs"]
mod epochs;
#[cfg(test)]
#[allow(dead_code)]
#[path = "../tests/plaintext_never_leaves/tap.rs"]
mod tap;

pub mod audio;
pub mod capture;
pub mod control;
pub mod data;
pub mod decode;
pub mod devices;
pub mod drive;
pub mod e2ee;
pub mod encode;
pub mod enhanced;
mod faults;
pub mod frame;
pub mod gathering;
pub mod gpu;
pub mod jitter;
pub mod ledger;
pub mod meeting;
pub mod netem;
pub mod party;
pub mod pool;
pub mod queue;
pub mod receive;
pub mod recover;
pub mod rehearsal;
pub mod relay;
pub mod rtp;
pub mod send;
mod sorted;
pub mod stats;
mod sync;
pub mod time;

/// The example of the README, compiled and run as a documentation test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
