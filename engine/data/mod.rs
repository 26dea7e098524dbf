//! Application data of a meeting, sealed on key context 7: reliable and ordered messages (chat, mute, raised hand, the
//! app's own). Proofs of who sent what travel on the same stream and are taken out where frames are opened.
//!
//! ```text
//! send ─► Outbox ─► Encoded ─► Sender ~~~ every member ~~~ Receiver::data ─► Channel::frame ─► Inbox (one a sender) ─► event
//!            ▲                                                                     │
//!            └───────────── acknowledgements, sealed like everything else ◄────────┘
//! ```
//!
//! A [`Channel`] is one participant's end, sans-IO: told the time, told the members of each epoch, given frames that were
//! opened. The path below repairs what it can ([`crate::send`] sends each packet twice, [`crate::receive`] asks for what
//! is missing); what is lost all the same is given out again here until each member says that it has it. A message that
//! crosses an epoch is sealed again under the new keys. So whoever came with that epoch could read messages that were
//! said just before it came and that not everyone had; its own inbox does not take them.

pub mod inbox;
pub mod message;
pub mod outbox;

use std::collections::{BTreeMap, VecDeque};
use std::ops::{Bound, Range};

use zeroize::Zeroizing;

pub use inbox::Inbox;
pub use message::{Body, List, MAX_MESSAGE, Peer, Topic, frame};
pub use outbox::{Outbox, Refused};

use crate::frame::{Buffer, Encoded};
use crate::pool::Pool;
use crate::time::Time;

/// Least time between two acknowledgements.
pub const ACKNOWLEDGE_US: u64 = 100_000;

/// How long frames of a member that left are still taken: as long as old epochs open.
pub const LINGER_US: u64 = crate::e2ee::ring::OVERLAP_US;

/// Bytes that wait in all inboxes together; beyond, each takes nothing but the message that it expects.
pub const MAX_HELD_BYTES: usize = 16 << 20;

/// The state of a member, as its latest messages say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct State {
    /// Its microphone is muted.
    pub muted: bool,
    /// Its hand is raised.
    pub hand: bool,
}

impl State {
    /// Takes in a message; `false` where it should be a state and is none.
    pub fn fold(&mut self, topic: Topic, bytes: &[u8]) -> bool {
        let field = match topic {
            Topic::Mute => &mut self.muted,
            Topic::Hand => &mut self.hand,
            Topic::Chat | Topic::App(_) => return true,
        };
        match bytes {
            [value @ (0 | 1)] => *field = *value == 1,
            _ => return false,
        }
        true
    }
}

/// A message that came.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Who said it.
    pub from: Peer,
    /// Its number among those of its sender.
    pub sequence: u64,
    /// What it is about.
    pub topic: Topic,
    /// What it says.
    pub bytes: Zeroizing<Box<[u8]>>,
}

/// What was said stays out of logs.
impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { from, sequence, topic, bytes } = self;
        write!(f, "message {sequence} of {from:?} about {topic:?}, {} bytes", bytes.len())
    }
}

/// What a channel tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A message, once, in the order of its sender.
    Message(Message),
    /// Messages of this member will never come: it gave this participant up, or left with them.
    Gap {
        /// Whose.
        from: Peer,
        /// Which.
        missing: Range<u64>,
    },
    /// A member has not acknowledged messages for [`outbox::GIVE_UP_US`] and may miss them.
    GaveUp {
        /// Which member.
        member: Peer,
        /// Which messages.
        missing: Range<u64>,
    },
}

/// Why a frame was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// It says nothing that the codec knows.
    #[error("the frame of data is malformed")]
    Malformed,
    /// It is from nobody in the meeting.
    #[error("the frame of data is from leaf {0}, where nobody of the meeting is")]
    Stranger(u16),
}

/// What a channel has done, all inboxes together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Stats {
    /// Frames given to [`Channel::frame`].
    pub frames: u64,
    /// Of those, frames that say nothing.
    pub malformed: u64,
    /// Of those, frames of strangers.
    pub strangers: u64,
    /// Messages taken.
    pub taken: u64,
    /// Messages that had come before.
    pub again: u64,
    /// Messages that came before their sender's hello.
    pub early: u64,
    /// Messages too far ahead of the expected one.
    pub far: u64,
    /// Messages that found no room.
    pub full: u64,
    /// Messages handed out.
    pub delivered: u64,
    /// Of those, states that are none.
    pub bad_states: u64,
    /// Gaps told.
    pub gaps: u64,
    /// Acknowledgements written; each says all that is new.
    pub acknowledgements: u64,
}

/// What is known of another member.
struct Member {
    inbox: Inbox,
    state: State,
    /// It has left; until then its frames are taken.
    until: Option<Time>,
}

/// One participant's end of the data of a meeting. See the module.
pub struct Channel {
    own: Peer,
    stream: u32,
    outbox: Outbox,
    members: BTreeMap<Peer, Member>,
    state: State,
    /// Whoever came has not been told the own state yet.
    restate: VecDeque<Topic>,
    acknowledged: Option<Time>,
    held: usize,
    /// Who was heard last, so that all get their turn.
    turn: Option<Peer>,
    scratch: Vec<u8>,
    stats: Stats,
}

impl Channel {
    /// The end of the member `own`, which sends on the stream `stream`, an SSRC.
    pub fn new(stream: u32, own: Peer) -> Self {
        Self {
            own,
            stream,
            outbox: Outbox::new(own),
            members: BTreeMap::new(),
            state: State::default(),
            restate: VecDeque::new(),
            acknowledged: None,
            held: 0,
            turn: None,
            scratch: Vec::new(),
            stats: Stats::default(),
        }
    }

    /// A new epoch with these members, to be told once frames are sealed under its keys.
    pub fn members(&mut self, members: impl IntoIterator<Item = Peer>, now: Time) {
        let mut members: Vec<Peer> = members.into_iter().collect();
        members.sort_unstable();
        members.dedup();
        for (peer, member) in &mut self.members {
            let stays = members.binary_search(peer).is_ok();
            member.until = if stays { None } else { member.until.or(Some(now.plus(LINGER_US))) };
        }
        for peer in members.iter().filter(|peer| **peer != self.own) {
            let new = || Member { inbox: Inbox::new(*peer, self.own), state: State::default(), until: None };
            self.members.entry(*peer).or_insert_with(new);
        }
        if self.outbox.members(&members, now) {
            // Who came knows nothing of what was said before.
            self.restate.clear();
            self.restate.extend(self.state.muted.then_some(Topic::Mute));
            self.restate.extend(self.state.hand.then_some(Topic::Hand));
            self.tell_state();
        }
    }

    /// Says something to everybody; returns its sequence.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn send(&mut self, topic: Topic, bytes: &[u8]) -> Result<u64, Refused> {
        let mut state = self.state;
        if !state.fold(topic, bytes) {
            return Err(Refused::State);
        }
        let sequence = self.outbox.send(topic, bytes)?;
        self.state = state;
        self.restate.retain(|other| *other != topic);
        Ok(sequence)
    }

    /// Says whether the own microphone is muted.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn set_muted(&mut self, muted: bool) -> Result<u64, Refused> {
        self.send(Topic::Mute, &[muted.into()])
    }

    /// Says whether the own hand is raised.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn set_hand(&mut self, raised: bool) -> Result<u64, Refused> {
        self.send(Topic::Hand, &[raised.into()])
    }

    /// Takes the payload of an opened frame of data. `from` is who has the key that opened it: its leaf in the key id, its
    /// stay in the roster of that epoch; never who the stream is said to belong to.
    ///
    /// # Errors
    /// See [`FrameError`]; nothing has changed then but a count.
    pub fn frame(&mut self, from: Peer, payload: &[u8]) -> Result<(), FrameError> {
        self.stats.frames += 1;
        let Some(member) = self.members.get_mut(&from) else {
            self.stats.strangers += 1;
            return Err(FrameError::Stranger(from.leaf));
        };
        let Some(body) = Body::read(payload) else {
            self.stats.malformed += 1;
            return Err(FrameError::Malformed);
        };
        match body {
            Body::Message { sequence, topic, bytes } => {
                let (_, before) = member.inbox.held();
                let room = self.held + bytes.len() <= MAX_HELD_BYTES;
                let count = match member.inbox.message(sequence, topic, bytes, room) {
                    inbox::Taken::New => &mut self.stats.taken,
                    inbox::Taken::Again => &mut self.stats.again,
                    inbox::Taken::Early => &mut self.stats.early,
                    inbox::Taken::Far => &mut self.stats.far,
                    inbox::Taken::Full => &mut self.stats.full,
                };
                *count += 1;
                self.held += member.inbox.held().1 - before;
            }
            Body::Acknowledgement(list) => {
                if let Some(next) = list.of(self.own) {
                    self.outbox.acknowledged(from, next);
                }
            }
            Body::Hello(list) => {
                if let Some(sequence) = list.of(self.own) {
                    member.inbox.hello(sequence);
                }
            }
        }
        Ok(())
    }

    /// What there is to tell; to be called until `None` after frames were taken.
    pub fn event(&mut self) -> Option<Event> {
        if let Some((member, missing)) = self.outbox.gave_up() {
            return Some(Event::GaveUp { member, missing });
        }
        let after = self.turn.map_or(Bound::Unbounded, Bound::Excluded);
        let peers = self.members.range((after, Bound::Unbounded)).chain(&self.members);
        let ready = |(_, member): &(&Peer, &Member)| member.inbox.is_ready();
        let from = *peers.into_iter().find(ready)?.0;
        self.turn = Some(from);
        let member = self.members.get_mut(&from)?;
        let event = match member.inbox.pop()? {
            inbox::Next::Message(sequence, topic, bytes) => {
                self.held -= bytes.len();
                self.stats.delivered += 1;
                self.stats.bad_states += u64::from(!member.state.fold(topic, &bytes));
                Event::Message(Message { from, sequence, topic, bytes })
            }
            inbox::Next::Gap(missing) => {
                self.stats.gaps += 1;
                Event::Gap { from, missing }
            }
        };
        Some(event)
    }

    /// Gives the frames that are due to `out`, for [`crate::send::Sender::frame`]; to be called at every tick. Their
    /// payloads come from `buffers`.
    pub fn poll(&mut self, now: Time, buffers: &Pool<Buffer>, out: &mut dyn FnMut(Encoded)) {
        self.let_go(now);
        self.tell_state();
        let stream = self.stream;
        if self.acknowledged.is_none_or(|last| now.since(last) >= ACKNOWLEDGE_US) {
            let news = self.members.iter_mut().filter_map(|(peer, m)| Some((*peer, m.inbox.acknowledge()?)));
            if let Some(list) = List::write(&mut self.scratch, news) {
                self.acknowledged = Some(now);
                self.stats.acknowledgements += 1;
                out(frame(stream, &Body::Acknowledgement(list), buffers.take(), now));
            }
        }
        self.outbox.poll(now, &mut |body| out(frame(stream, body, buffers.take(), now)));
    }

    /// What another member's latest messages say of it, and what the own ones say.
    pub fn state(&self, peer: Peer) -> Option<State> {
        if peer == self.own {
            return Some(self.state);
        }
        self.members.get(&peer).filter(|member| member.until.is_none()).map(|member| member.state)
    }

    /// Messages that wait for others to acknowledge them, and their bytes.
    pub fn waiting(&self) -> (usize, usize) {
        self.outbox.waiting()
    }

    /// Bytes of messages that wait to be handed out.
    pub fn held(&self) -> usize {
        self.held
    }

    /// What was done so far, and what the outbox did.
    pub fn stats(&self) -> (Stats, outbox::Stats) {
        (self.stats, *self.outbox.stats())
    }

    /// Says again what is the case, to those who came. What finds no room is said at the next turn.
    fn tell_state(&mut self) {
        while let Some(topic) = self.restate.front() {
            let value = if *topic == Topic::Mute { self.state.muted } else { self.state.hand };
            if self.outbox.send(*topic, &[value.into()]).is_err() {
                break;
            }
            self.restate.pop_front();
        }
    }

    /// Forgets who has left and was heard to the end.
    fn let_go(&mut self, now: Time) {
        for member in self.members.values_mut().filter(|member| member.until.is_some_and(|until| until <= now)) {
            member.inbox.close();
        }
        self.members.retain(|_, member| member.until.is_none_or(|until| now < until) || member.inbox.is_ready());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(leaf: u16, joined: u64) -> Peer {
        Peer { leaf, joined }
    }

    /// Payloads that `channel` gives out at `ms`.
    fn given(channel: &mut Channel, ms: u64) -> Vec<Vec<u8>> {
        let buffers = Pool::new(4, || Buffer::with_capacity(100));
        let mut out = Vec::new();
        channel.poll(Time::from_ms(ms), &buffers, &mut |frame| {
            assert_eq!(frame.header.kind, crate::frame::Kind::Data);
            out.push(frame.payload.as_slice().to_vec());
            buffers.give(frame.payload);
        });
        out
    }

    /// Carries everything both ways at `ms`; returns what came to `two`.
    fn exchange(one: &mut Channel, two: &mut Channel, ms: u64) -> Vec<Event> {
        let (mine, theirs) = (one.own, two.own);
        given(one, ms).iter().for_each(|payload| assert_eq!(two.frame(mine, payload), Ok(())));
        given(two, ms).iter().for_each(|payload| assert_eq!(one.frame(theirs, payload), Ok(())));
        std::iter::from_fn(|| two.event()).collect()
    }

    fn pair() -> (Channel, Channel) {
        let peers = [peer(0, 1), peer(5, 1)];
        let mut channels = peers.map(|own| Channel::new(9, own));
        channels.iter_mut().for_each(|channel| channel.members(peers, Time(0)));
        channels.into()
    }

    #[test]
    fn messages_go_over_and_the_state_follows_them() {
        let (mut one, mut two) = pair();
        one.send(Topic::Chat, b"hello").unwrap();
        one.set_muted(true).unwrap();
        one.set_hand(true).unwrap();
        one.set_hand(false).unwrap();
        assert_eq!(one.send(Topic::Mute, b"yes"), Err(Refused::State));
        let events = exchange(&mut one, &mut two, 0);
        assert!(matches!(&events[0], Event::Message(m) if **m.bytes == *b"hello" && m.from == peer(0, 1)));
        assert_eq!((events.len(), one.waiting().0), (4, 0));
        let muted = Some(State { muted: true, hand: false });
        assert_eq!((two.state(peer(0, 1)), one.state(peer(0, 1))), (muted, muted));
        assert!(!format!("{events:?}").contains("hello"));
    }

    #[test]
    fn acknowledgements_are_a_tenth_of_a_second_apart() {
        let (mut one, mut two) = pair();
        for ms in (0..1000).step_by(10) {
            one.send(Topic::Chat, b"a").unwrap();
            exchange(&mut one, &mut two, ms);
        }
        assert_eq!((two.stats().0.acknowledgements, two.stats().0.delivered), (10, 100));
    }

    #[test]
    fn whoever_comes_hears_what_is_the_case_and_nothing_older() {
        let (mut one, mut two) = pair();
        one.set_muted(true).unwrap();
        one.send(Topic::Chat, b"a secret").unwrap();
        exchange(&mut one, &mut two, 0);
        let mut late = Channel::new(9, peer(6, 4));
        let members = [peer(0, 1), peer(5, 1), peer(6, 4)];
        [&mut one, &mut two, &mut late].into_iter().for_each(|c| c.members(members, Time::from_ms(100)));
        let events = exchange(&mut one, &mut late, 100);
        assert!(matches!(&events[..], [Event::Message(m)] if m.topic == Topic::Mute && m.sequence == 2), "{events:?}");
        assert_eq!(late.state(peer(0, 1)), Some(State { muted: true, hand: false }));
        assert_eq!(late.state(peer(5, 1)), Some(State::default()));
    }

    #[test]
    fn the_same_leaf_in_a_later_stay_is_somebody_else() {
        let (mut one, mut two) = pair();
        one.send(Topic::Chat, b"a").unwrap();
        let frames = given(&mut one, 0);
        two.members([peer(0, 7), peer(5, 1)], Time(0));
        assert_eq!(two.frame(peer(0, 3), &frames[0]), Err(FrameError::Stranger(0)));
        two.frame(peer(0, 1), &frames[0]).unwrap();
        two.frame(peer(0, 7), &frames[0]).unwrap();
        let from: Vec<_> = std::iter::from_fn(|| two.event()).collect();
        assert!(
            matches!(&from[..], [Event::Message(a), Event::Message(b)] if a.from.joined == 1 && b.from.joined == 7)
        );
        given(&mut two, 3_999);
        assert!(two.frame(peer(0, 1), &frames[0]).is_ok(), "old epochs still open");
        given(&mut two, 4_000);
        assert!(two.frame(peer(0, 1), &frames[0]).is_err());
    }

    #[test]
    fn whoever_leaves_with_messages_unsaid_leaves_a_gap() {
        let (mut one, mut two) = pair();
        (0..3).for_each(|sequence| assert_eq!(one.send(Topic::Chat, b"a"), Ok(sequence)));
        two.frame(peer(0, 1), &given(&mut one, 0)[2]).unwrap();
        assert_eq!(two.event(), None);
        two.members([peer(5, 1)], Time(0));
        given(&mut two, 5_000);
        assert_eq!(two.event(), Some(Event::Gap { from: peer(0, 1), missing: 0..2 }));
        assert!(matches!(two.event(), Some(Event::Message(message)) if message.sequence == 2));
        given(&mut two, 5_001);
        assert_eq!((two.members.len(), two.held()), (0, 0));
    }

    #[test]
    fn hostile_members_fill_no_more_than_their_share() {
        let peers: Vec<Peer> = (0..100).map(|leaf| peer(leaf, 1)).collect();
        let mut channel = Channel::new(9, peers[0]);
        channel.members(peers.clone(), Time(0));
        let mut random = fastrand::Rng::with_seed(8);
        for _ in 0..30_000 {
            let mut payload = Vec::new();
            let from = peers[random.usize(1..100)];
            let list = [(peers[random.usize(..100)], random.u64(..=1 << 48))];
            let mut scratch = Vec::new();
            let body = match random.u8(..20) {
                0 => Body::Acknowledgement(List::write(&mut scratch, list.into_iter()).unwrap()),
                // Nobody is asked to go on elsewhere, so that the first message stays missing.
                _ => Body::Message { sequence: random.u64(1..400), topic: Topic::Chat, bytes: &[7; MAX_MESSAGE] },
            };
            body.write(&mut payload);
            payload.truncate(payload.len() - usize::from(random.u8(..100) == 0));
            let _ = channel.frame(from, &payload);
            assert!(channel.held() <= MAX_HELD_BYTES);
        }
        let stats = channel.stats();
        assert!(stats.0.full > 1_000 && stats.0.far > 1_000 && stats.1.unbelieved > 0, "{stats:?}");
        assert_eq!(channel.event(), None);
    }
}
