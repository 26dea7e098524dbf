//! The sender's side: gathers what was sealed and signs it in batches.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Policy;
use super::body::{Head, Writer};
use super::digest::Digest;
use super::key::{MediaSigner, Sign};
use crate::e2ee::{Context, Epoch};
use crate::frame::Kind;
use crate::time::Time;

/// How long a frame waits for others before it is proven with them, in microseconds.
pub const INTERVAL_US: u64 = 200_000;

/// The same of a frame of data: nothing of it is believed before its proof.
pub const DATA_INTERVAL_US: u64 = 40_000;

/// Frames that wait to be proven. At every tick they are, so this many are there only where nobody asks for proofs.
pub const MAX_PENDING: usize = 1024;

/// A frame that was sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The context that it was sealed in.
    pub context: Context,
    /// Its counter.
    pub counter: u64,
    /// What stands for it.
    pub digest: Digest,
    /// It is a key frame, which others wait for: its proof does not wait.
    pub key_frame: bool,
}

/// Proves what one member sends, over its whole stay in a group: one prover for all of its sealers.
pub struct Prover<S = MediaSigner> {
    signer: S,
    policy: Policy,
    pending: VecDeque<Pending>,
    /// When what waits has waited long enough.
    due: Option<Time>,
    sequence: u64,
    /// Frames were never proven since the last proof.
    lacks: bool,
    previous: [u8; 32],
    writer: Writer,
    stats: ProverStats,
}

/// What a prover has done.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct ProverStats {
    /// Frames covered by a proof.
    pub frames: u64,
    /// Proofs made.
    pub proofs: u64,
    /// Bytes of proofs.
    pub bytes: u64,
    /// Times the signer refused; what was to be signed is signed at the next call.
    pub unsigned: u64,
    /// Frames never proven, as too many waited: [`Prover::due`] was not called.
    pub overflowed: u64,
}

/// A frame that waits.
struct Pending {
    epoch: Arc<Epoch>,
    context: Context,
    counter: u64,
    digest: Digest,
}

impl<S: Sign> Prover<S> {
    /// A prover for a stay that begins now: its first proof has sequence 0.
    pub fn new(signer: S, policy: Policy) -> Self {
        Self {
            signer,
            policy,
            pending: VecDeque::with_capacity(MAX_PENDING),
            due: None,
            sequence: 0,
            lacks: false,
            previous: [0; 32],
            writer: Writer::new(),
            stats: ProverStats::default(),
        }
    }

    /// Another policy from now on: the meeting's changed, or a receiver asked.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// Notes a frame that was sealed in `epoch`, in the order of sealing. What waits of an epoch before is proven by
    /// itself and first. Frames that carry proofs are not noted: their content is signed.
    pub fn sealed(&mut self, epoch: &Arc<Epoch>, frame: Frame, now: Time) {
        let Frame { context, counter, digest, key_frame } = frame;
        if self.pending.len() == MAX_PENDING {
            self.pending.pop_front();
            self.stats.overflowed += 1;
            self.lacks = true;
        }
        let turned = self.pending.back().is_some_and(|last| last.epoch.number != epoch.number);
        let at_once = self.policy == Policy::ProveThenRender || key_frame;
        let wait = match context.carries(Kind::Data) {
            _ if turned || at_once => 0,
            true => DATA_INTERVAL_US,
            false => INTERVAL_US,
        };
        self.due = Some(self.due.map_or(now.plus(wait), |due| due.min(now.plus(wait))));
        let pending = Pending { epoch: epoch.clone(), context, counter, digest };
        // By epoch as they came, by context and counter in each: as a proof has them.
        let place = |p: &Pending| (p.context.number(), p.counter);
        let end = self.pending.iter().rposition(|p| p.epoch.number != epoch.number || place(p) <= place(&pending));
        self.pending.insert(end.map_or(0, |end| end + 1), pending);
    }

    /// The next proof, if it is time for one; to be called until `None` after frames were sealed and at every tick. It
    /// travels sealed in context 7, in a frame of its own.
    pub fn due(&mut self, now: Time) -> Option<&[u8]> {
        if self.due.is_none_or(|due| now < due) {
            return None;
        }
        self.flush(now)
    }

    /// The next proof of what waits, whether it is time or not: before the member leaves.
    pub fn flush(&mut self, now: Time) -> Option<&[u8]> {
        let Some(first) = self.pending.front() else {
            self.due = None;
            return None;
        };
        let epoch = first.epoch.clone();
        // As if a proof had been lost: what none covers is unproven then, and not forged.
        self.sequence += u64::from(std::mem::take(&mut self.lacks));
        let head = Head {
            epoch: epoch.number,
            leaf: epoch.own,
            sequence: self.sequence,
            made: now,
            previous: self.previous,
            commitment: epoch.commitment,
        };
        self.writer.begin(&epoch.group, &head);
        let mut covered = 0;
        while let Some(first) = self.pending.get(covered).filter(|p| p.epoch.number == epoch.number) {
            let (context, start) = (first.context, first.counter);
            let follows = |(n, p): &(usize, &Pending)| {
                p.epoch.number == epoch.number && p.context == context && p.counter == start + *n as u64
            };
            let len = self.pending.range(covered..).enumerate().take_while(follows).count();
            let digests = self.pending.range(covered..covered + len).map(|p| p.digest);
            let written = self.writer.run(context, start, digests);
            covered += written;
            if written < len {
                break;
            }
        }
        let Ok(signature) = self.signer.sign(self.writer.signed()) else {
            self.stats.unsigned += 1;
            return None;
        };
        self.previous = self.writer.hash();
        self.sequence += 1;
        self.pending.drain(..covered);
        if self.pending.is_empty() {
            self.due = None;
        }
        let proof = self.writer.end(&signature);
        self.stats.frames += covered as u64;
        self.stats.proofs += 1;
        self.stats.bytes += proof.len() as u64;
        Some(proof)
    }

    /// What was done so far.
    pub fn stats(&self) -> &ProverStats {
        &self.stats
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{epoch, frame};
    use super::*;
    use crate::e2ee::proof::body::Proof;
    use crate::e2ee::proof::key::SignError;

    fn prover(policy: Policy) -> Prover {
        Prover::new(MediaSigner::from_seed(&[1; 32]).unwrap(), policy)
    }

    fn ms(ms: u64) -> Time {
        Time::from_ms(ms)
    }

    fn frames(proof: Option<&[u8]>) -> Vec<(u8, u64)> {
        let proof = Proof::read(proof.unwrap()).unwrap();
        proof.frames().map(|(context, counter, _)| (context.number(), counter)).collect()
    }

    #[test]
    fn key_frames_are_proven_at_once_and_the_rest_every_interval() {
        let (mut prover, epoch) = (prover(Policy::RenderThenProve), epoch(1, 1));
        prover.sealed(&epoch, frame(1, 0), ms(0));
        assert!(prover.due(ms(199)).is_none());
        prover.sealed(&epoch, frame(0, 0), ms(199));
        assert_eq!(frames(prover.due(ms(200))), [(0, 0), (1, 0)]);
        assert!(prover.due(ms(1000)).is_none());
        prover.sealed(&epoch, frame(0, 1), ms(1000));
        prover.sealed(&epoch, Frame { key_frame: true, ..frame(1, 1) }, ms(1001));
        assert_eq!(frames(prover.due(ms(1001))), [(0, 1), (1, 1)]);
        assert_eq!(prover.stats().proofs, 2);
    }

    #[test]
    fn each_frame_has_its_proof_where_they_are_proven_first() {
        let (mut prover, epoch) = (prover(Policy::ProveThenRender), epoch(1, 1));
        for counter in 0..10 {
            prover.sealed(&epoch, frame(0, counter), ms(counter));
            assert_eq!(frames(prover.due(ms(counter))), [(0, counter)]);
            assert!(prover.due(ms(counter)).is_none());
        }
    }

    #[test]
    fn proofs_are_a_chain() {
        let (mut prover, epoch) = (prover(Policy::RenderThenProve), epoch(1, 1));
        let mut previous = [0; 32];
        for n in 0..20u64 {
            prover.sealed(&epoch, frame(0, n), ms(n * 200));
            let bytes = prover.due(ms(n * 200 + 200)).unwrap().to_vec();
            let proof = Proof::read(&bytes).unwrap();
            assert_eq!((proof.head.sequence, proof.head.previous), (n, previous));
            previous = proof.hash();
        }
    }

    #[test]
    fn an_epoch_that_ends_is_proven_first_and_by_itself() {
        let (mut prover, old, new) = (prover(Policy::RenderThenProve), epoch(1, 1), epoch(2, 1));
        prover.sealed(&old, frame(1, 70), ms(0));
        prover.sealed(&old, frame(0, 90), ms(0));
        prover.sealed(&new, frame(0, 0), ms(10));
        let first = prover.due(ms(10)).unwrap().to_vec();
        let proof = Proof::read(&first).unwrap();
        assert_eq!((proof.head.epoch, proof.head.commitment), (1, old.commitment));
        assert_eq!(frames(Some(&first)), [(0, 90), (1, 70)]);
        let second = prover.due(ms(10)).unwrap();
        let proof = Proof::read(second).unwrap();
        assert_eq!((proof.head.epoch, proof.head.sequence), (2, 1));
        assert!(prover.due(ms(10)).is_none());
    }

    #[test]
    fn many_frames_make_many_proofs_and_none_is_left_out() {
        let (mut prover, epoch) = (prover(Policy::RenderThenProve), epoch(1, 1));
        for counter in 0..200 {
            // Every tenth counter was lost to a frame that could not be sealed.
            (0..4)
                .filter(|_| counter % 10 != 9)
                .for_each(|context| prover.sealed(&epoch, frame(context, counter), ms(0)));
        }
        let mut all = Vec::new();
        while let Some(proof) = prover.due(ms(200)) {
            all.extend(frames(Some(proof)));
        }
        assert_eq!(all.len(), 720);
        assert!(all.is_sorted() && prover.stats().overflowed == 0);
    }

    #[test]
    fn a_signer_that_refuses_costs_no_frame() {
        struct Moody(std::cell::Cell<u32>);
        impl Sign for Moody {
            fn sign(&self, _: &[u8]) -> Result<[u8; 64], SignError> {
                self.0.set(self.0.get() + 1);
                if self.0.get() < 3 { Err(SignError) } else { Ok([0; 64]) }
            }
        }
        let mut prover = Prover::new(Moody(Default::default()), Policy::RenderThenProve);
        prover.sealed(&epoch(1, 1), frame(0, 0), ms(0));
        assert!(prover.due(ms(200)).is_none() && prover.due(ms(210)).is_none());
        assert_eq!(frames(prover.due(ms(220))), [(0, 0)]);
        assert_eq!(prover.stats().unsigned, 2);
    }

    #[test]
    fn what_nobody_asks_for_is_bounded_and_counted() {
        let (mut prover, epoch) = (prover(Policy::RenderThenProve), epoch(1, 1));
        (0..5000).for_each(|counter| prover.sealed(&epoch, frame(0, counter), ms(0)));
        assert_eq!(prover.stats().overflowed, 5000 - MAX_PENDING as u64);
        assert_eq!(prover.pending.len(), MAX_PENDING);
        // That some were never proven looks to others as if a proof had been lost.
        let numbers: Vec<u64> = std::iter::from_fn(|| {
            let proof = prover.flush(ms(0))?.to_vec();
            Some(Proof::read(&proof).unwrap().head.sequence)
        })
        .collect();
        assert!(numbers[0] == 1 && numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
    }

    #[test]
    fn data_waits_less_for_its_proof() {
        let (mut prover, epoch) = (prover(Policy::RenderThenProve), epoch(1, 1));
        prover.sealed(&epoch, frame(0, 0), ms(0));
        prover.sealed(&epoch, frame(7, 0), ms(10));
        assert!(prover.due(ms(49)).is_none());
        assert_eq!(frames(prover.due(ms(50))), [(0, 0), (7, 0)]);
    }
}
