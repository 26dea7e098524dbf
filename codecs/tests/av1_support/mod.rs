//! What the tests of the AV1 encoder share: random decisions, the chains of frames made of them, and the decoders that
//! judge whether what was written is what was reconstructed.
#![allow(dead_code, reason = "each test uses a part")]

pub mod chain;
pub mod draw;
pub mod judge;
