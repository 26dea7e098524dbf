//! Repair: what a receiver asks for again, what a sender keeps for it, and when only a key frame helps.

pub mod history;
pub mod keyframe;
pub mod nack;
