//! Where pictures and samples come from, one file per source.

mod math;
pub mod scene;
pub mod voice;
