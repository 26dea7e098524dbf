//! The stages of the AV1 encoder. What they compute, and their twins on the CPU, are described beside the twins.

use crate::Stage;

/// A stage of the name given: what all share, the libraries it names, its own text.
macro_rules! stage {
    ($name:literal: $($library:literal),*; $($entry:literal),+) => {
        Stage {
            name: concat!("av1/", $name),
            source: concat!(
                include_str!("common.wgsl"),
                $(include_str!(concat!($library, ".wgsl")),)*
                include_str!(concat!($name, ".wgsl"))
            ),
            entries: &[$($entry),+],
        }
    };
}

/// A picture into the pool; luma at smaller scales.
pub const PYRAMID: Stage = stage!("pyramid": "planes";
    "load", "quarter_source", "eighth_source", "quarter_fresh", "eighth_fresh");
/// How rough a picture is.
pub const STATISTICS: Stage = stage!("statistics": "planes"; "roughness");
/// Whole-sample motion.
pub const SEARCH: Stage = stage!("search": "planes", "difference"; "wide", "narrow", "by16", "by32", "by8");
/// Quarter-sample motion.
pub const SUBPEL: Stage = stage!("subpel": "planes", "difference"; "refine8", "refine16", "refine32");
/// The cheapest way to code every block of one size.
pub const DECIDE: Stage = stage!("decide": "planes", "predict", "transform"; "choose8", "choose16", "choose32");
/// Blocks against their quarters, from the smallest size upwards.
pub const PARTITION: Stage = stage!("partition":; "join16", "join32", "record");
/// Intra blocks of inter frames, in islands that are not deep.
pub const ISLANDS: Stage = stage!("islands":; "islands");
/// Prediction, levels, reconstruction.
pub const RECONSTRUCT: Stage = stage!("reconstruct": "planes", "predict", "transform"; "inter", "intra", "island");
/// Skipped blocks that move alike.
pub const MERGE: Stage = stage!("merge":; "merge");
/// Deblocking, in place.
pub const DEBLOCK: Stage = stage!("deblock": "planes"; "vertical", "vertical_odd", "horizontal");
/// The directional filter, into the new reference.
pub const CDEF: Stage = stage!("cdef": "planes"; "direction", "apply");
/// What the host needs of all this, as few words as possible.
pub const COMPACT: Stage = stage!("compact":; "count", "total", "pack");

/// Every stage of the encoder.
pub const STAGES: &[Stage] =
    &[PYRAMID, STATISTICS, SEARCH, SUBPEL, DECIDE, PARTITION, ISLANDS, RECONSTRUCT, MERGE, DEBLOCK, CDEF, COMPACT];
