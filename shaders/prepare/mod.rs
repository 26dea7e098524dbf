//! The stages between scaling and encoding. What they compute, and their twins on the CPU, are described beside the twins.

use crate::Stage;

macro_rules! stage {
    ($name:literal) => {
        Stage {
            name: concat!("prepare/", $name),
            source: concat!(include_str!("../common.wgsl"), include_str!(concat!($name, ".wgsl"))),
            entries: &[$name],
        }
    };
}

/// A mean over time where nothing moves.
pub const DENOISE: Stage = stage!("denoise");
/// Histograms of luma and of roughness.
pub const EXPOSURE: Stage = stage!("exposure");
/// A tone curve.
pub const LIFT: Stage = stage!("lift");
/// Left and right exchanged.
pub const MIRROR: Stage = stage!("mirror");

/// All of them, in the order in which they run.
pub const STAGES: &[Stage] = &[DENOISE, EXPOSURE, LIFT, MIRROR];
