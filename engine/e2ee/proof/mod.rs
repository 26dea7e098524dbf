//! Who sent each frame (E2EE.md §5): a group's keys let every member seal in every other member's name, so that each
//! sender also signs what it sealed.
//!
//! The sender's [`Prover`] gathers the [`Digest`] of every frame that it sealed and signs them in batches. A receiver's
//! [`Verifier`], one for each sender, says of every opened frame whether it is shown now, waits for its proof or is
//! refused, and finds out who was impersonated, where, and how.
//!
//! The files in the order of the data: [`digest`] → [`sign`] with [`key`] → [`body`] → [`verify`] with `chain`,
//! `stream`, `waiting` and `watch`.

pub mod body;
mod chain;
pub mod digest;
pub mod key;
pub mod sign;
mod stream;
pub mod verify;
mod waiting;
mod watch;

pub use body::Proof;
pub use digest::Digest;
pub use key::{MediaSigner, Sign, SignError};
pub use sign::{Frame, Prover, ProverStats};
pub use stream::{Refusal, Verdict};
pub use verify::{Mark, ProofError, Verifier};
pub use watch::{Event, Stats, Why};

/// When a frame is believed to come from whom it says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub enum Policy {
    /// It is shown at once and proven after: a forged frame may show for a moment, and is found out by its proof.
    #[default]
    RenderThenProve,
    /// It waits for its proof, and the sender signs each frame by itself.
    ProveThenRender,
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::e2ee::{Context, Epoch, EpochInput, MediaSecret};
    use crate::epochs::input;
    use crate::time::Time;

    /// Epoch `number` of a group of leaves 0 to 3, whose media key seeds are their leaves, as `own` sees it.
    pub(super) fn epoch(number: u64, own: u16) -> Arc<Epoch> {
        epoch_of(number, own, number as u8)
    }

    pub(super) fn epoch_of(number: u64, own: u16, secret: u8) -> Arc<Epoch> {
        let secret = MediaSecret::new(&[secret; 48]).unwrap();
        let input = EpochInput { secret, ..input(number, own, 4, Time(0)) };
        input.derive().unwrap().0.epoch().clone()
    }

    pub(super) fn digest(context: u8, counter: u64) -> Digest {
        Digest::of(context.into(), counter, b"", b"genuine")
    }

    pub(super) fn frame(context: u8, counter: u64) -> Frame {
        let digest = digest(context, counter);
        Frame { context: Context::new(context).unwrap(), counter, digest, key_frame: false }
    }
}
