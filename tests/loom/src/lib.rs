//! `engine/queue.rs` and `engine/control.rs`, as they are, over loom's primitives.

#[path = "../../../engine/control.rs"]
pub mod control;
#[path = "../../../engine/queue.rs"]
pub mod queue;
pub mod sync;
