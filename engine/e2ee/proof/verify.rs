//! The receiver's side: one verifier for each sender, over its whole stay on its leaf.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Policy;
use super::body::{LABEL, MAX_LEN, Proof};
use super::chain::{Chain, Link};
use super::digest::Digest;
use super::key::signed_by;
use super::stream::{Refusal, Stream, Verdict};
use super::watch::{Event, Stats, Watch, Why};
use crate::e2ee::schedule::CONTEXTS;
use crate::e2ee::{Context, Epoch, KeyId};
use crate::time::Time;

/// Epochs that a sender's frames are proven in at a time: as many as open.
pub const MAX_EPOCHS: usize = crate::e2ee::ring::MAX_OLD + 1;

/// Proofs of one sender per second whose signature does not hold; above, none is looked at, the genuine ones included.
/// They cost 2 % of a core. It takes a relay that carries frames in another sender's name to get there, and such a
/// relay could as well have dropped the proofs.
pub const MAX_UNSIGNED: u32 = 500;

/// Bytes of one sender's frames that wait for their proofs, in all its streams and epochs.
pub const MAX_WAITING: usize = 16 << 20;

/// What is known of a frame before it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Its epoch, in full.
    pub epoch: u64,
    /// Its key id.
    pub key_id: u64,
    /// Its counter.
    pub counter: u64,
    /// What stands for its bytes.
    pub digest: Digest,
    /// The stream that it names.
    pub stream: u32,
    /// When it was captured, on its sender's clock, as the opened frame says; 0 before.
    pub captured: Time,
}

/// Why a proof was not taken. [`Stats`] counts, and alarms are events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Not a proof.
    #[error("these bytes are not a proof")]
    Malformed,
    /// Of another group, epoch or leaf than the frames it is to prove.
    #[error("the proof is of another group, epoch or leaf")]
    Foreign,
    /// Another has signed it, or nobody.
    #[error("the signature of the proof does not hold")]
    Unsigned,
    /// Too many before it did not hold.
    #[error("too many proofs of this second did not hold: this one was not looked at")]
    Ignored,
    /// The sender signed it and what it says contradicts what is known. An event tells.
    #[error("the proof contradicts another one, or this epoch's keys")]
    Contradiction,
}

/// Says of each frame of one sender whether it is shown, and finds out who did not send it. `T` is the opened frame.
pub struct Verifier<T> {
    policy: Policy,
    /// Oldest first.
    epochs: VecDeque<InEpoch<T>>,
    chain: Chain,
    watch: Watch,
    ready: VecDeque<T>,
    /// Bytes that wait in all streams.
    waiting: usize,
    unsigned: u32,
    since: Time,
    /// The newest epoch of a proof that holds, and when the last one came.
    heard: Option<(u64, Time)>,
}

struct InEpoch<T> {
    epoch: Arc<Epoch>,
    streams: [Option<Box<Stream<T>>>; CONTEXTS],
}

impl<T> Verifier<T> {
    /// A verifier for the member on `leaf` that came there in epoch `joined`.
    pub fn new(leaf: u16, joined: u64, policy: Policy) -> Self {
        Self {
            policy,
            epochs: VecDeque::new(),
            chain: Chain::new(),
            watch: Watch::new(leaf, joined),
            ready: VecDeque::new(),
            waiting: 0,
            unsigned: 0,
            since: Time(0),
            heard: None,
        }
    }

    /// The sender is in `epoch` too. `false` where it is not, or is another one; the oldest of too many epochs is
    /// forgotten.
    pub fn enter(&mut self, epoch: &Arc<Epoch>) -> bool {
        let here = epoch.roster.get(self.watch.leaf).is_some_and(|member| member.joined == self.watch.joined);
        if !here || self.place(epoch.number).is_some() {
            return here;
        }
        if self.epochs.len() == MAX_EPOCHS {
            self.epochs.pop_front();
            self.weigh();
        }
        self.epochs.push_back(InEpoch { epoch: epoch.clone(), streams: [const { None }; CONTEXTS] });
        true
    }

    /// Forgets the epochs that are not to be kept, and what waits in them. `true`: none is left.
    pub fn retain(&mut self, keep: impl Fn(u64) -> bool) -> bool {
        self.epochs.retain(|known| keep(known.epoch.number));
        self.weigh();
        self.epochs.is_empty()
    }

    /// Whether the frame of this counter is so far behind that it needs no opening. Changes nothing.
    pub fn is_past(&self, epoch: u64, key_id: u64, counter: u64) -> bool {
        let stream = self.place(epoch).and_then(|at| self.epochs[at].streams[slot(key_id)].as_ref());
        stream.is_some_and(|stream| stream.is_past(counter))
    }

    /// Decides about a frame of `bytes` bytes that opened under the key that `mark` names.
    pub fn admit(&mut self, mark: Mark, frame: T, bytes: usize, now: Time) -> Verdict<T> {
        let Some(at) = self.place(mark.epoch) else { return Verdict::Refused(frame, Refusal::Unknown) };
        let context = KeyId::unpack(mark.key_id).context;
        let stream = self.epochs[at].streams[slot(mark.key_id)].get_or_insert_with(|| Box::new(Stream::new(context)));
        let verdict = stream.admit((mark, frame, bytes), self.policy, &self.chain, &mut self.watch, now);
        self.weigh();
        while self.waiting > MAX_WAITING && self.crowd_out() {}
        verdict
    }

    /// Bytes of frames that wait for their proofs.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Drops the frame furthest ahead in the stream of which most waits. `false`: none waits.
    pub fn crowd_out(&mut self) -> bool {
        let streams = self.epochs.iter_mut().flat_map(|known| known.streams.iter_mut().flatten());
        let dropped = streams.max_by_key(|stream| stream.waiting()).is_some_and(|stream| stream.room().crowd_out());
        self.watch.stats.crowded += u64::from(dropped);
        self.weigh();
        dropped
    }

    fn weigh(&mut self) {
        let streams = self.epochs.iter().flat_map(|known| known.streams.iter().flatten());
        self.waiting = streams.map(|stream| stream.waiting()).sum();
    }

    /// Takes in a proof, in whatever order they come. Frames that waited for it are in [`Verifier::released`].
    ///
    /// # Errors
    /// [`ProofError`]; a proof that is known already is none.
    pub fn proof(&mut self, bytes: &[u8], now: Time) -> Result<(), ProofError> {
        let Some(proof) = Proof::read(bytes) else {
            self.watch.stats.malformed += 1;
            return Err(ProofError::Malformed);
        };
        let at = self.place(proof.head.epoch).filter(|at| *self.epochs[*at].epoch.group == *proof.group);
        let Some(at) = at.filter(|_| proof.head.leaf == self.watch.leaf) else {
            self.watch.stats.malformed += 1;
            return Err(ProofError::Foreign);
        };
        let hash = proof.hash();
        let link = self.chain.check(&proof.head, &hash);
        if matches!(link, Link::Known | Link::Past) {
            self.watch.stats.repeated += 1;
            return Ok(());
        }
        self.check_signature(&proof, at, now)?;
        // From here on it is the sender's own word.
        let contradiction = match link {
            Link::Equivocal => Some(Why::Equivocation),
            Link::Torn => Some(Why::TornChain),
            _ if proof.head.commitment != self.epochs[at].epoch.commitment => Some(Why::OtherKeys),
            _ => None,
        };
        if let Some(why) = contradiction {
            self.watch.sender(why, now);
            return Err(ProofError::Contradiction);
        }
        self.watch.stats.proofs += 1;
        let newest = self.heard.map_or(proof.head.epoch, |(epoch, _)| epoch.max(proof.head.epoch));
        self.heard = Some((newest, now));
        self.chain.insert(&proof.head, hash, now);
        let mut touched = 0u8;
        let streams = &mut self.epochs[at].streams;
        for (context, counter, digest) in proof.frames() {
            let number = usize::from(context.number());
            touched |= 1 << number;
            let stream = streams[number].get_or_insert_with(|| Box::new(Stream::new(context)));
            let covered = stream.prove((counter, digest), proof.head.sequence, &mut self.watch, now);
            self.ready.extend(covered.frame);
            if let Some(arrived) = covered.arrived {
                self.chain.covered(arrived, proof.head.made, now);
            }
        }
        for (place, known) in self.epochs.iter_mut().enumerate() {
            for (number, stream) in known.streams.iter_mut().enumerate() {
                // Proofs that come again in a later epoch end what was missing in an earlier one.
                let touched = place <= at && touched >> number & 1 == 1;
                stream.iter_mut().for_each(|stream| stream.judge(touched, &self.chain, &mut self.watch, now));
            }
        }
        self.weigh();
        Ok(())
    }

    fn check_signature(&mut self, proof: &Proof<'_>, at: usize, now: Time) -> Result<(), ProofError> {
        if now.since(self.since) >= 1_000_000 {
            (self.unsigned, self.since) = (0, now);
        }
        if self.unsigned >= MAX_UNSIGNED {
            self.watch.stats.ignored += 1;
            return Err(ProofError::Ignored);
        }
        let mut space = [0; LABEL.len() + MAX_LEN];
        let signed = proof.signed(&mut space);
        let member = self.epochs[at].epoch.roster.get(self.watch.leaf);
        if member.is_some_and(|member| signed_by(&member.media, signed, proof.signature)) {
            return Ok(());
        }
        self.unsigned += 1;
        self.watch.stats.unsigned += 1;
        Err(ProofError::Unsigned)
    }

    /// Finds what was not proven in time and lets go of what has waited too long: at every tick.
    pub fn tick(&mut self, now: Time) {
        for stream in self.epochs.iter_mut().flat_map(|known| known.streams.iter_mut().flatten()) {
            stream.tick(&self.chain, &mut self.watch, now);
        }
        self.watch.tick(now);
        self.weigh();
    }

    /// The next frame that waited and is proven now.
    pub fn released(&mut self) -> Option<T> {
        self.ready.pop_front()
    }

    /// The next event.
    pub fn event(&mut self) -> Option<Event> {
        self.watch.event()
    }

    /// Whether proofs of this context are missing, so that nothing of it is shown unproven.
    pub fn is_unproven(&self, context: Context) -> bool {
        self.watch.unproven(context)
    }

    /// Whether something was forged in this context, so that for the rest of the sender's stay all of it waits for its
    /// proofs. Its sender does well to prove each frame by itself then.
    pub fn is_wary(&self, context: Context) -> bool {
        self.watch.wary(context)
    }

    /// The newest epoch that a proof of this sender is of, and when its last proof came: it seals under no older one.
    pub fn heard(&self) -> Option<(u64, Time)> {
        self.heard
    }

    /// When the newest proof was made, on the sender's clock.
    pub fn proven_at(&self) -> Option<Time> {
        self.chain.made()
    }

    /// What became of frames and proofs.
    pub fn stats(&self) -> &Stats {
        &self.watch.stats
    }

    fn place(&self, epoch: u64) -> Option<usize> {
        self.epochs.iter().position(|known| known.epoch.number == epoch)
    }

    /// Frames and bytes kept in all streams.
    #[cfg(test)]
    fn kept(&self) -> (usize, usize) {
        let streams = self.epochs.iter().flat_map(|known| known.streams.iter().flatten());
        streams.map(|stream| stream.kept()).fold((0, 0), |(a, b), (c, d)| (a + c, b + d))
    }
}

/// The place of a key id's stream.
fn slot(key_id: u64) -> usize {
    KeyId::unpack(key_id).context.number().into()
}

#[cfg(test)]
mod tests;
