//! Every stage against its twin: whole buffers, to the bit.

mod decide;
mod filters;
mod islands;
mod merge;
mod motion;
mod reconstruct;
mod transform;

use crate::Size;

/// One superblock and many, with every kind of edge.
const SIZES: [Size; 7] = [
    Size::new(16, 16),
    Size::new(24, 40),
    Size::new(64, 64),
    Size::new(66, 50),
    Size::new(130, 98),
    Size::new(176, 144),
    Size::new(322, 182),
];
