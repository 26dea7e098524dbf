//! A window onto a meeting: decoded pictures drawn on the GPU, who speaks, what protects them, and what each frame cost.
//!
//! [`meeting`] is where pictures come from, [`layout`] where they stand, [`overlay`] what stands around them, [`draw`]
//! how all of it reaches a render target, and [`window`] shows that. All but the last work without a window.

pub mod bars;
pub mod device;
pub mod draw;
pub mod keys;
pub mod layout;
pub mod meeting;
pub mod overlay;
pub mod seat;
pub mod text;
pub mod window;
