//! Decisions to symbols: partition, mode info, vectors, levels.

pub mod mode_info;
pub mod mv_stack;
pub mod partition;
pub mod residual;
pub mod tile;
