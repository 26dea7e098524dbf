//! What is told of one sender: events, at most one of a kind per stream and second, and counts.

use std::collections::VecDeque;

use crate::e2ee::Context;
use crate::frame::Kind;
use crate::time::Time;

/// Something about a sender's proofs that the user or the embedder should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The leaf of the sender, in whose name the frame or proof came.
    pub leaf: u16,
    /// The epoch in which that sender came to the leaf.
    pub joined: u64,
    /// The context of the stream; none where it is about all of them.
    pub context: Option<Context>,
    /// The stream, as the frame named it; 0 where it is about none.
    pub stream: u32,
    /// The key id of the frame; 0 where it is about none.
    pub key_id: u64,
    /// Why.
    pub why: Why,
}

/// Why there is an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Two frames were sealed under one counter: one of them is another member's.
    Contested,
    /// A frame was shown that is not the one its sender proved: another member's.
    Swapped,
    /// A frame came that is not the one its sender proved: another member's. It was not shown.
    Refuted,
    /// A frame's counter lies among proven ones and its sender never used it: another member's.
    Skipped,
    /// A frame's counter lies beyond all that its sender had sealed by then: another member's.
    Invented,
    /// Frames were not proven in time. Nothing of the stream is shown unproven until proofs come again.
    Unproven,
    /// Proofs come again after [`Why::Unproven`].
    Proven,
    /// The sender signed two proofs with one number, or two digests of one frame: it shows different things to different
    /// members.
    Equivocation,
    /// A proof does not follow from the one before it: there are two chains.
    TornChain,
    /// The sender's epoch has other keys than this one: the group is split.
    OtherKeys,
}

impl Why {
    /// Somebody does what no honest member does.
    pub const fn is_alarm(self) -> bool {
        !matches!(self, Why::Unproven | Why::Proven)
    }
}

/// What became of one sender's frames and proofs.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Stats {
    /// Proofs that hold.
    pub proofs: u64,
    /// Proofs seen before, or too old to matter.
    pub repeated: u64,
    /// Proofs that cannot be read, or of another group, epoch or leaf.
    pub malformed: u64,
    /// Proofs whose signature does not hold.
    pub unsigned: u64,
    /// Proofs not looked at, as too many before them did not hold.
    pub ignored: u64,
    /// Frames shown before their proof came.
    pub shown: u64,
    /// Frames shown upon their proof.
    pub shown_proven: u64,
    /// Frames that were shown and then proven.
    pub proven: u64,
    /// Frames refused as seen before.
    pub replayed: u64,
    /// Frames refused as too old.
    pub too_old: u64,
    /// Frames found to be forged, shown or not.
    pub forged: u64,
    /// Frames shown and not proven in time.
    pub unproven: u64,
    /// Frames that waited for a proof until their time was over.
    pub expired: u64,
    /// Frames that waited and were pushed out, or found no room to wait.
    pub crowded: u64,
    /// Events not told, as one of the kind was told within the second or nobody took them.
    pub events_dropped: u64,
}

/// Events, counts, and where a forgery was found.
pub(crate) struct Watch {
    pub(crate) leaf: u16,
    pub(crate) joined: u64,
    pub(crate) stats: Stats,
    events: VecDeque<Event>,
    told: Vec<(Option<Context>, Why, Time)>,
    /// States that came to be within a second after they were told last, one for each stream: told when it is over.
    late: Vec<Event>,
    /// Contexts in which something was forged, one bit each: all those of a kind of media, as a frame of one camera opens
    /// in any of them.
    wary: u8,
    /// The same where proofs are missing. A new epoch changes nothing about that.
    unproven: u8,
}

impl Watch {
    pub(crate) fn new(leaf: u16, joined: u64) -> Self {
        Self {
            leaf,
            joined,
            stats: Stats::default(),
            events: VecDeque::new(),
            told: Vec::new(),
            late: Vec::new(),
            wary: 0,
            unproven: 0,
        }
    }

    /// Whether nothing of `context` is shown unproven any more.
    pub(crate) fn wary(&self, context: Context) -> bool {
        self.wary & siblings(context) != 0
    }

    /// Whether proofs of `context` are missing.
    pub(crate) fn unproven(&self, context: Context) -> bool {
        self.unproven & siblings(context) != 0
    }

    /// Proofs of `context` are missing, or came again.
    pub(crate) fn set_unproven(&mut self, context: Context, missing: bool) {
        match missing {
            true => self.unproven |= siblings(context),
            false => self.unproven &= !siblings(context),
        }
    }

    pub(crate) fn event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Tells of a frame. From an alarm on, the stream's frames wait for their proofs.
    pub(crate) fn frame(&mut self, why: Why, context: Context, stream: u32, key_id: u64, now: Time) {
        if why.is_alarm() {
            self.stats.forged += 1;
            self.wary |= siblings(context);
        }
        self.tell(why, Some(context), stream, key_id, now);
    }

    /// Tells of a proof: the sender itself is not to be believed, in any stream.
    pub(crate) fn sender(&mut self, why: Why, now: Time) {
        self.wary = u8::MAX;
        self.tell(why, None, 0, 0, now);
    }

    fn tell(&mut self, why: Why, context: Option<Context>, stream: u32, key_id: u64, now: Time) {
        let event = Event { leaf: self.leaf, joined: self.joined, context, stream, key_id, why };
        // That proofs are missing and come again is a state: the newest counts, and is told sooner or later.
        if !why.is_alarm() {
            self.late.retain(|late| late.context != context);
        }
        self.told.retain(|(.., at)| now.since(*at) < SECOND);
        if self.told.iter().any(|(place, told, _)| (*place, *told) == (context, why)) {
            match why.is_alarm() {
                true => self.stats.events_dropped += 1,
                false => self.late.push(event),
            }
            return;
        }
        self.put(event, now);
    }

    /// Tells what has waited for its second to be over.
    pub(crate) fn tick(&mut self, now: Time) {
        if self.late.is_empty() {
            return;
        }
        self.told.retain(|(.., at)| now.since(*at) < SECOND);
        for event in std::mem::take(&mut self.late) {
            match self.told.iter().any(|(place, told, _)| (*place, *told) == (event.context, event.why)) {
                true => self.late.push(event),
                false => self.put(event, now),
            }
        }
    }

    fn put(&mut self, event: Event, now: Time) {
        self.told.push((event.context, event.why, now));
        if self.events.len() == MAX_EVENTS {
            self.events.pop_front();
            self.stats.events_dropped += 1;
        }
        self.events.push_back(event);
    }
}

/// The contexts of the same kind of media, one bit each.
fn siblings(context: Context) -> u8 {
    let kinds = [Kind::Microphone, Kind::Camera, Kind::Screen, Kind::ScreenAudio, Kind::Data];
    let kind = kinds.into_iter().find(|kind| context.carries(*kind));
    let all = (0..8).filter_map(Context::new).filter(|one| kind.is_some_and(|kind| one.carries(kind)));
    all.fold(0, |bits, one| bits | 1 << one.number())
}

/// Events of one sender that nobody has taken yet.
const MAX_EVENTS: usize = 64;
const SECOND: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_changes_all_the_time_is_told_once_a_second_and_its_end_is_told() {
        let (mut watch, context) = (Watch::new(1, 0), Context::new(1).unwrap());
        let mut events = vec![];
        for n in 0..5001u64 {
            let (why, now) = (if n % 2 == 0 { Why::Unproven } else { Why::Proven }, Time::from_ms(n));
            watch.frame(why, context, 7, 0, now);
            watch.tick(now);
            events.extend(std::iter::from_fn(|| watch.event()).map(|event| event.why));
        }
        assert!((10..=12).contains(&events.len()), "{}", events.len());
        watch.tick(Time::from_ms(7000));
        events.extend(std::iter::from_fn(|| watch.event()).map(|event| event.why));
        assert_eq!(events.last(), Some(&Why::Unproven));
        assert!(watch.late.is_empty());
    }
}
