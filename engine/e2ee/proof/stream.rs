//! One context of one sender in one epoch: what was shown, what is proven, and what waits for its proof.
//!
//! Three sets decide, and a forger can add to the first and the last alone. *Shown*: frames handed out before their
//! proof. *Proven*: what the sender signed, whether its frame came or not; the authoritative replay window, as each
//! entry is shown once. *Waiting*: frames to be shown if they turn out to be the sender's. The usual window of counters
//! only says which frames may be shown unproven: that a forged counter moves it costs genuine frames a wait for their
//! proof, and nothing else.

use super::Policy;
use super::chain::Chain;
use super::digest::Digest;
use super::verify::Mark;
use super::waiting::{AHEAD, PATIENCE_US, Room, Waiting};
use super::watch::{Watch, Why};
use crate::e2ee::Context;
use crate::e2ee::replay::{Seen, Window};
use crate::frame::Kind;
use crate::sorted::Sorted;
use crate::time::Time;

/// How long a shown frame may stay unproven, in microseconds.
pub const PROVEN_WITHIN_US: u64 = 1_000_000;

/// Frames of one stream that are shown and not yet proven; above, they wait. At three layers of 60 pictures, a second.
pub(crate) const MAX_SHOWN: usize = 256;

/// Proven frames of one stream that are remembered. What comes below them is too old.
pub(crate) const MAX_PROVEN: usize = 512;

/// How long a frame that was shown and never proven is remembered, so that a late proof does not show it again.
const FORGOTTEN_US: u64 = 15_000_000;

/// What is to be done with an opened frame.
pub enum Verdict<T> {
    /// Hand it out.
    Show(T),
    /// It is kept until its proof comes and then in [`super::Verifier::released`].
    Waits,
    /// It is not handed out.
    Refused(T, Refusal),
}

/// Why a frame is not handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It was seen before.
    Replayed,
    /// So far behind that nobody knows.
    TooOld,
    /// It is not what its sender sealed.
    Forged,
    /// It would have to wait, and there is no room.
    Crowded,
    /// Of an epoch or context that this sender's verifier does not know.
    Unknown,
}

struct Shown {
    digest: Digest,
    key_id: u64,
    stream: u32,
    at: Time,
    captured: Time,
    /// It was told that this frame is unproven.
    told: bool,
    /// It was told that this frame is none of its sender's.
    accused: bool,
}

/// What a proof says of one frame.
pub(crate) struct Covered<T> {
    /// The frame, where it waited for that.
    pub(crate) frame: Option<T>,
    /// When it came, where it came before its proof.
    pub(crate) arrived: Option<Time>,
}

struct Proven {
    digest: Digest,
    shown: bool,
    /// The proof that covers it.
    sequence: u64,
}

/// See the module.
pub(crate) struct Stream<T> {
    context: Context,
    window: Window,
    /// Takes its memory at the first frame: many streams are proven and never received.
    shown: Option<Sorted<Shown>>,
    proven: Sorted<Proven>,
    /// Counters below were proven and are forgotten.
    floor: u64,
    room: Room<T>,
}

impl<T> Stream<T> {
    pub(crate) fn new(context: Context) -> Self {
        Self {
            context,
            window: Window::default(),
            shown: None,
            proven: Sorted::new(MAX_PROVEN),
            floor: 0,
            room: Room::new(),
        }
    }

    /// Whether `counter` is below all that is remembered.
    pub(crate) fn is_past(&self, counter: u64) -> bool {
        counter < self.floor
    }

    /// Whether this very frame was shown, or waits. That a frame of the counter *differs* says nothing yet.
    fn is_copy(&self, mark: &Mark) -> bool {
        let shown = self.shown.as_ref().and_then(|shown| shown.get(mark.counter));
        let proven = self.proven.get(mark.counter);
        shown.is_some_and(|shown| shown.digest == mark.digest)
            || proven.is_some_and(|proven| proven.shown && proven.digest == mark.digest)
            || self.room.find(mark.counter, mark.digest).0
    }

    /// Decides about a frame that opened under the sender's key.
    pub(crate) fn admit(
        &mut self,
        (mark, frame, bytes): (Mark, T, usize),
        policy: Policy,
        chain: &Chain,
        watch: &mut Watch,
        now: Time,
    ) -> Verdict<T> {
        if self.is_past(mark.counter) {
            watch.stats.too_old += 1;
            return Verdict::Refused(frame, Refusal::TooOld);
        }
        if self.is_copy(&mark) {
            watch.stats.replayed += 1;
            return Verdict::Refused(frame, Refusal::Replayed);
        }
        let Mark { counter, digest, stream, key_id, captured, .. } = mark;
        if let Some(proven) = self.proven.get_mut(counter) {
            if proven.digest != digest {
                watch.frame(Why::Refuted, self.context, stream, key_id, now);
                return Verdict::Refused(frame, Refusal::Forged);
            }
            proven.shown = true;
            self.window.record(counter);
            watch.stats.shown_proven += 1;
            return Verdict::Show(frame);
        }
        if self.skipped(counter, chain) {
            watch.frame(Why::Skipped, self.context, stream, key_id, now);
            return Verdict::Refused(frame, Refusal::Forged);
        }
        let shown = self.shown.get_or_insert_with(|| Sorted::new(MAX_SHOWN));
        let (_, rivals) = self.room.find(counter, digest);
        if rivals || shown.contains(counter) {
            watch.frame(Why::Contested, self.context, stream, key_id, now);
        }
        // What a message does is not undone by an alarm.
        let trusted = policy == Policy::RenderThenProve
            && !self.context.carries(Kind::Data)
            && !watch.unproven(self.context)
            && !watch.wary(self.context)
            && !chain.early(captured, now);
        if trusted && self.window.check(counter) == Seen::Fresh {
            if !shown.is_full() {
                shown.insert(counter, Shown { digest, key_id, stream, at: now, captured, told: false, accused: false });
                self.window.record(counter);
                watch.stats.shown += 1;
                return Verdict::Show(frame);
            }
            self.flag(watch, stream, key_id, now);
        }
        if self.proven.last().is_some_and(|last| counter > last.saturating_add(AHEAD)) {
            watch.stats.crowded += 1;
            return Verdict::Refused(frame, Refusal::Crowded);
        }
        let (kept, out) = self.room.put(Waiting { counter, digest, key_id, stream, since: now, bytes, frame });
        watch.stats.crowded += out;
        match kept {
            Ok(()) => Verdict::Waits,
            Err(waiting) => {
                watch.stats.crowded += 1;
                Verdict::Refused(waiting.frame, Refusal::Crowded)
            }
        }
    }

    /// Takes in that the sender proved `digest` for `counter` in proof `sequence`. A frame that waited for it comes back.
    pub(crate) fn prove(
        &mut self,
        (counter, digest): (u64, Digest),
        sequence: u64,
        watch: &mut Watch,
        now: Time,
    ) -> Covered<T> {
        let mut covered = Covered { frame: None, arrived: None };
        if counter < self.floor {
            return covered;
        }
        if let Some(proven) = self.proven.get(counter) {
            if proven.digest != digest {
                watch.sender(Why::Equivocation, now);
            }
            return covered;
        }
        if self.proven.is_full() {
            match self.proven.first() {
                Some((first, _)) if first < counter => self.floor = first + 1,
                _ => return covered,
            }
            self.proven.pop_first();
        }
        let mut entry = Proven { digest, shown: false, sequence };
        match self.shown.as_mut().and_then(|shown| shown.remove(counter)) {
            Some(shown) if shown.digest == digest => {
                entry.shown = true;
                covered.arrived = Some(shown.at);
                watch.stats.proven += 1;
            }
            Some(shown) => watch.frame(Why::Swapped, self.context, shown.stream, shown.key_id, now),
            None => {}
        }
        while let Some(waiting) = self.room.remove(|waiting| waiting.counter == counter) {
            if waiting.digest != digest {
                watch.frame(Why::Refuted, self.context, waiting.stream, waiting.key_id, now);
            } else if !entry.shown {
                entry.shown = true;
                self.window.record(counter);
                watch.stats.shown_proven += 1;
                covered.arrived = Some(waiting.since);
                covered.frame = Some(waiting.frame);
            }
        }
        self.proven.insert(counter, entry);
        covered
    }

    /// After a proof: finds what its sender cannot have sent, and whether the stream is proven again.
    pub(crate) fn judge(&mut self, touched: bool, chain: &Chain, watch: &mut Watch, now: Time) {
        let last = self.proven.last().unwrap_or(0);
        let skipped = |stream: &Self| {
            let shown = stream.shown.as_ref()?;
            let mut below = shown.iter().take_while(|(counter, _)| *counter < last);
            below.find(|(counter, _)| stream.skipped(*counter, chain)).map(|(counter, _)| counter)
        };
        while let Some(counter) = skipped(self) {
            let Some(shown) = self.shown.as_mut().and_then(|shown| shown.remove(counter)) else { break };
            watch.frame(Why::Skipped, self.context, shown.stream, shown.key_id, now);
        }
        if touched && watch.unproven(self.context) && !self.overdue(now) {
            watch.set_unproven(self.context, false);
            watch.frame(Why::Proven, self.context, 0, 0, now);
        }
    }

    /// Finds what has been unproven for too long, and lets go of what has waited for too long.
    pub(crate) fn tick(&mut self, chain: &Chain, watch: &mut Watch, now: Time) {
        while self.room.remove(|waiting| now.since(waiting.since) >= PATIENCE_US).is_some() {
            watch.stats.expired += 1;
        }
        let Some(shown) = &mut self.shown else { return };
        if shown.is_empty() {
            return;
        }
        let mut late = None;
        shown.retain(|counter, frame| {
            if !frame.accused && now.since(frame.at) >= PROVEN_WITHIN_US {
                let [below, _] = self.proven.beside(counter);
                if chain.passed(frame.at, frame.captured, below.map(|proven| proven.sequence)) {
                    // It stays known: its proof may be late, and then a copy must not be shown a second time.
                    frame.accused = true;
                    watch.frame(Why::Invented, self.context, frame.stream, frame.key_id, now);
                } else if !frame.told {
                    late = Some((frame.stream, frame.key_id));
                    watch.stats.unproven += 1;
                }
                frame.told = true;
            }
            now.since(frame.at) < FORGOTTEN_US
        });
        if let Some((stream, key_id)) = late {
            self.flag(watch, stream, key_id, now);
        }
    }

    /// Nothing is shown unproven from now on.
    fn flag(&self, watch: &mut Watch, stream: u32, key_id: u64, now: Time) {
        if !watch.unproven(self.context) {
            watch.set_unproven(self.context, true);
            watch.frame(Why::Unproven, self.context, stream, key_id, now);
        }
    }

    /// Whether the proofs on both sides of `counter`, and all between them, are known and none covers it.
    fn skipped(&self, counter: u64, chain: &Chain) -> bool {
        match self.proven.beside(counter) {
            [Some(below), Some(above)] => chain.joins(below.sequence, above.sequence),
            _ => false,
        }
    }

    /// Whether more is unproven than there is room or time for.
    fn overdue(&self, now: Time) -> bool {
        let Some(shown) = &self.shown else { return false };
        shown.is_full() || shown.iter().any(|(_, frame)| !frame.told && now.since(frame.at) >= PROVEN_WITHIN_US)
    }

    /// The frames that wait for their proof.
    pub(crate) fn room(&mut self) -> &mut Room<T> {
        &mut self.room
    }

    /// Bytes that wait for their proof.
    pub(crate) fn waiting(&self) -> usize {
        self.room.bytes()
    }

    /// Frames and bytes that are kept.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> (usize, usize) {
        (self.room.len() + self.shown.as_ref().map_or(0, Sorted::len) + self.proven.len(), self.room.bytes())
    }
}
