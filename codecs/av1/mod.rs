//! The real-time AV1 encoder: every frame decided from pixels, then put into words.
//!
//! Two types carry the design. A [`Plan`](plan::Plan) says what a frame refers to and refreshes; the kernels turn it and
//! a picture into [`Decisions`](decisions::Decisions): everything the frame is before it is words. The tile coder only
//! expresses decisions in the cheapest equivalent syntax, which cannot change what a decoder reconstructs.
//!
//! `README.md` beside this file specifies our subset of AV1 and the kernels.

pub mod bits;
pub mod decisions;
pub mod encoder;
pub mod entropy;
pub mod filters;
pub mod frame;
pub mod frame_header;
pub mod gpu;
pub mod kernel;
pub mod layout;
pub mod obu;
pub mod plan;
pub mod rate;
pub mod rest;
pub mod scan;
pub mod sequence;
pub mod slots;
pub mod syntax;
pub mod threads;
pub mod twin;
pub mod words;
