//! Conclave: a media engine for low-latency, end-to-end-encrypted meetings.
#![warn(missing_docs)]

pub use conclave_codecs as codecs;

pub mod capture;
pub mod control;
pub mod drive;
pub mod e2ee;
pub mod frame;
pub mod gpu;
pub mod jitter;
pub mod ledger;
pub mod netem;
pub mod pool;
pub mod queue;
pub mod receive;
pub mod recover;
pub mod rtp;
pub mod send;
pub mod stats;
mod sync;
pub mod time;
pub mod transcode;
