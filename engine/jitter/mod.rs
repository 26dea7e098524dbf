//! Between arrival and playout: video ordered by dependency, audio smoothed over a delay that adapts, both in step.

pub mod audio;
pub mod sync;
pub mod video;
