//! Who sent each frame (E2EE.md §5): a group's keys let every member seal in every other member's name, so that each
//! sender also signs what it sealed.
//!
//! The sender's [`Prover`] gathers the [`Digest`] of every frame that it sealed and signs them in batches. A receiver's
//! [`Verifier`], one for each sender, says of every opened frame whether it is shown now, waits for its proof or is
//! refused, and finds out who was impersonated, where, and how.
//!
//! The files in the order of the data: [`digest`] → [`sign`] with [`key`] → [`body`] → [`verify`] with `chain`,
//! `stream` and `waiting`.

pub mod body;
mod chain;
pub mod digest;
pub mod key;
pub mod sign;
mod stream;
pub mod verify;
mod waiting;

pub use body::Proof;
pub use digest::Digest;
pub use key::{MediaSigner, Sign, SignError};
pub use sign::{Frame, Prover, ProverStats};
pub use stream::{Shown, Unshown};
pub use verify::{Event, Mark, ProofError, Screen, Stats, Verifier, Why};

/// When a frame is believed to come from whom it says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub enum Policy {
    /// It is shown at once and proven after: a forged frame may show for a moment, and is found out by its proof.
    #[default]
    RenderThenProve,
    /// It waits for its proof, and the sender signs each frame by itself.
    ProveThenRender,
}
