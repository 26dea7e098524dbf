//! Conclave: a media engine for low-latency, end-to-end-encrypted meetings.
#![warn(missing_docs)]

pub use conclave_codecs as codecs;

pub mod capture;
pub mod control;
pub mod decode;
pub mod e2ee;
pub mod encode;
pub mod frame;
pub mod gpu;
pub mod jitter;
pub mod ledger;
pub mod netem;
pub mod pool;
pub mod queue;
pub mod receive;
pub mod recover;
pub mod rehearsal;
pub mod rtp;
pub mod send;
pub mod stats;
mod sync;
pub mod time;
