//! What one participant says: each message is kept and given out again until every member has it.
//!
//! A message waits until all members have acknowledged it. One that acknowledges nothing for [`GIVE_UP_US`] no longer
//! holds the others up: it is told where it may go on once it is heard of again, and its [`super::inbox`] says what it
//! missed. Members that come get only what is said after they came; a hello tells them from where.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use zeroize::Zeroizing;

use super::message::{Body, List, MAX_MESSAGE, MAX_SEQUENCE, Peer, Topic};
use crate::time::Time;

/// Messages that wait for acknowledgements.
pub const MAX_WAITING: usize = 256;

/// Bytes of those.
pub const MAX_WAITING_BYTES: usize = 1 << 20;

/// A message is given out again after this time, in microseconds,
pub const FIRST_RETRY_US: u64 = 300_000;

/// and after twice the time with each turn, up to this.
pub const MAX_RETRY_US: u64 = 2_400_000;

/// A member that has not acknowledged a message so long after it was first given out holds nobody up any more.
pub const GIVE_UP_US: u64 = 20_000_000;

/// Bytes a second that are given out on average, so that a full outbox does not crowd out the sound: 2 Mbit/s,
pub const RATE: u64 = 250_000;

/// and at once.
pub const BURST: u64 = 32 << 10;

/// What a message costs beside its bytes: headers, tag and padding.
const OVERHEAD: u64 = 100;

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Too long.
    #[error("a message of {0} bytes is too long: the limit is 16 KiB")]
    Long(usize),
    /// Members are behind.
    #[error("{messages} messages with {bytes} bytes wait for members that have not acknowledged them: try again later")]
    Full {
        /// Messages that wait.
        messages: usize,
        /// Bytes that wait.
        bytes: usize,
    },
    /// The sequences have run out.
    #[error("2^48 messages were sent: join again")]
    Exhausted,
    /// A state that is none.
    #[error("mute and hand are one byte, 0 or 1")]
    State,
}

/// What an outbox has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Stats {
    /// Messages taken.
    pub taken: u64,
    /// Messages refused.
    pub refused: u64,
    /// Times that a message was given out first.
    pub given: u64,
    /// Times that one was given out again.
    pub again: u64,
    /// Messages that nobody waits for any more.
    pub settled: u64,
    /// Hellos given out.
    pub hellos: u64,
    /// Times that a member was given up.
    pub gave_up: u64,
    /// Acknowledgements of strangers, and of what was never said.
    pub unbelieved: u64,
}

struct Waiting {
    topic: Topic,
    bytes: Zeroizing<Box<[u8]>>,
    first: Option<Time>,
    /// When it is given out next; no time: now.
    next: Option<Time>,
    turns: u32,
}

#[derive(Clone, Copy)]
struct Reader {
    /// Everything before has come.
    next: u64,
    /// It is known to know where the messages begin.
    greeted: bool,
    /// It was given up and holds nobody up.
    lost: bool,
}

/// See the module.
pub struct Outbox {
    own: Peer,
    readers: BTreeMap<Peer, Reader>,
    waiting: VecDeque<Waiting>,
    bytes: usize,
    /// Sequence of the next message.
    next: u64,
    hello: (Time, u32),
    /// When what was given out is paid for.
    paid: Time,
    /// Members given up, and what they may have missed.
    given_up: VecDeque<(Peer, Range<u64>)>,
    scratch: Vec<u8>,
    stats: Stats,
}

impl Outbox {
    /// An empty outbox of the member `own`, which is alone.
    pub fn new(own: Peer) -> Self {
        Self {
            own,
            readers: BTreeMap::new(),
            waiting: VecDeque::new(),
            bytes: 0,
            next: 0,
            hello: (Time(0), 0),
            paid: Time(0),
            given_up: VecDeque::new(),
            scratch: Vec::new(),
            stats: Stats::default(),
        }
    }

    /// A new epoch: these are the members, in ascending order. What waits is given out again under its keys. `true` where
    /// somebody came.
    pub fn members(&mut self, members: &[Peer], now: Time) -> bool {
        let own = self.own;
        self.readers.retain(|peer, _| members.contains(peer));
        self.given_up.retain(|(peer, _)| members.contains(peer));
        let mut came = false;
        for peer in members.iter().filter(|peer| **peer != own) {
            // Who was there before this member's first word expects it by itself.
            let greeted = self.next == 0 && peer.joined <= own.joined;
            self.readers.entry(*peer).or_insert_with(|| {
                came = true;
                Reader { next: self.next, greeted, lost: false }
            });
        }
        self.waiting.iter_mut().for_each(|waiting| (waiting.next, waiting.turns) = (None, 0));
        self.hello = (now, 0);
        self.settle();
        came
    }

    /// Takes a message; returns its sequence.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn send(&mut self, topic: Topic, bytes: &[u8]) -> Result<u64, Refused> {
        let refused = if bytes.len() > MAX_MESSAGE {
            Some(Refused::Long(bytes.len()))
        } else if self.next == MAX_SEQUENCE {
            Some(Refused::Exhausted)
        } else if self.waiting.len() == MAX_WAITING || self.bytes + bytes.len() > MAX_WAITING_BYTES {
            Some(Refused::Full { messages: self.waiting.len(), bytes: self.bytes })
        } else {
            None
        };
        if let Some(refused) = refused {
            self.stats.refused += 1;
            return Err(refused);
        }
        self.stats.taken += 1;
        self.bytes += bytes.len();
        let bytes = Zeroizing::new(Box::from(bytes));
        self.waiting.push_back(Waiting { topic, bytes, first: None, next: None, turns: 0 });
        self.next += 1;
        self.settle();
        Ok(self.next - 1)
    }

    /// `from` says that everything before `next` has come.
    pub fn acknowledged(&mut self, from: Peer, next: u64) {
        let (oldest, newest) = (self.oldest(), self.next);
        let Some(reader) = self.readers.get_mut(&from).filter(|_| next <= newest) else {
            self.stats.unbelieved += 1;
            return;
        };
        // An older acknowledgement says nothing new, and a member that was given up catches up or goes on as it is.
        if next >= if reader.lost { oldest } else { reader.next } {
            *reader = Reader { next, greeted: true, lost: false };
            self.settle();
        }
    }

    /// Gives out what is due.
    pub fn poll(&mut self, now: Time, give: &mut dyn FnMut(&Body<'_>)) {
        self.give_up(now);
        let oldest = self.oldest();
        if self.hello.0 <= now {
            let lacking = self.readers.iter().filter(|(_, reader)| !reader.greeted);
            let entries = lacking.map(|(peer, reader)| (*peer, if reader.lost { oldest } else { reader.next }));
            if let Some(list) = List::write(&mut self.scratch, entries) {
                give(&Body::Hello(list));
                self.stats.hellos += 1;
                self.hello = (now.plus(retry_us(self.hello.1)), self.hello.1 + 1);
            }
        }
        for (at, waiting) in self.waiting.iter_mut().enumerate() {
            if waiting.next.is_some_and(|next| now < next) {
                continue;
            }
            if self.paid > now.plus(BURST * 1_000_000 / RATE) {
                break;
            }
            self.paid = self.paid.max(now).plus((waiting.bytes.len() as u64 + OVERHEAD) * 1_000_000 / RATE);
            give(&Body::Message { sequence: oldest + at as u64, topic: waiting.topic, bytes: &waiting.bytes });
            let count = if waiting.first.is_none() { &mut self.stats.given } else { &mut self.stats.again };
            *count += 1;
            waiting.first.get_or_insert(now);
            waiting.next = Some(now.plus(retry_us(waiting.turns)));
            waiting.turns += 1;
        }
    }

    /// The next member that was given up, and the messages that it may miss.
    pub fn gave_up(&mut self) -> Option<(Peer, Range<u64>)> {
        self.given_up.pop_front()
    }

    /// Messages that wait for acknowledgements, and their bytes.
    pub fn waiting(&self) -> (usize, usize) {
        (self.waiting.len(), self.bytes)
    }

    /// What was done so far.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Sequence of the oldest message that waits; of the next one where none does.
    fn oldest(&self) -> u64 {
        self.next - self.waiting.len() as u64
    }

    /// Lets go of what nobody waits for.
    fn settle(&mut self) {
        let needed = self.readers.values().filter(|reader| !reader.lost).map(|reader| reader.next).min();
        while self.oldest() < needed.unwrap_or(self.next) {
            let Some(waiting) = self.waiting.pop_front() else { break };
            self.bytes -= waiting.bytes.len();
            self.stats.settled += 1;
        }
    }

    /// Gives up the members that have not acknowledged what is too old.
    fn give_up(&mut self, now: Time) {
        let old = |waiting: &Waiting| waiting.first.is_some_and(|first| now.since(first) >= GIVE_UP_US);
        let too_old = self.waiting.iter().take_while(|waiting| old(waiting)).count() as u64;
        if too_old == 0 {
            return;
        }
        let end = self.oldest() + too_old;
        for (peer, reader) in self.readers.iter_mut().filter(|(_, reader)| !reader.lost && reader.next < end) {
            *reader = Reader { next: reader.next, greeted: false, lost: true };
            self.given_up.push_back((*peer, reader.next..end));
            self.stats.gave_up += 1;
        }
        // Each member stands there once at most.
        while self.given_up.len() > self.readers.len() {
            self.given_up.pop_front();
        }
        self.hello = (now, 0);
        self.settle();
    }
}

/// How long after turn number `turns` the next one is.
fn retry_us(turns: u32) -> u64 {
    (FIRST_RETRY_US << turns.min(8)).min(MAX_RETRY_US)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Peer = Peer { leaf: 0, joined: 3 };
    const ANNE: Peer = Peer { leaf: 1, joined: 1 };
    const BERT: Peer = Peer { leaf: 2, joined: 3 };
    const LATE: Peer = Peer { leaf: 3, joined: 7 };

    /// Sequences of the messages given out at `ms`, and what the hello says of `LATE` and of `ANNE`.
    fn given(outbox: &mut Outbox, ms: u64) -> (Vec<u64>, [Option<u64>; 2]) {
        let (mut messages, mut hello) = (Vec::new(), [None; 2]);
        outbox.poll(Time::from_ms(ms), &mut |body| match body {
            Body::Message { sequence, .. } => messages.push(*sequence),
            Body::Hello(list) => hello = [list.of(LATE), list.of(ANNE)],
            _ => panic!("{body:?}"),
        });
        (messages, hello)
    }

    fn outbox() -> Outbox {
        let mut outbox = Outbox::new(OWN);
        assert!(outbox.members(&[OWN, ANNE, BERT], Time(0)));
        (0..3).for_each(|i| assert_eq!(outbox.send(Topic::Chat, b"word"), Ok(i)));
        outbox
    }

    #[test]
    fn a_message_is_given_out_at_growing_intervals_until_all_have_it() {
        let mut outbox = outbox();
        let times: Vec<u64> = (0..6000).filter(|ms| !given(&mut outbox, *ms).0.is_empty()).collect();
        assert_eq!(times, [0, 300, 900, 2100, 4500]);
        outbox.acknowledged(ANNE, 3);
        outbox.acknowledged(BERT, 1);
        assert_eq!((outbox.waiting(), given(&mut outbox, 7000).0), ((2, 8), vec![1, 2]));
        outbox.acknowledged(BERT, 0);
        outbox.acknowledged(BERT, 3);
        assert_eq!((outbox.waiting(), given(&mut outbox, 60_000)), ((0, 0), (vec![], [None; 2])));
    }

    #[test]
    fn what_was_never_said_is_not_acknowledged_and_strangers_are_not_heard() {
        let mut outbox = outbox();
        outbox.acknowledged(ANNE, 4);
        outbox.acknowledged(LATE, 3);
        outbox.acknowledged(Peer { joined: 2, ..ANNE }, 3);
        assert_eq!((outbox.waiting().0, outbox.stats().unbelieved), (3, 3));
    }

    #[test]
    fn a_new_epoch_gives_out_again_and_whoever_left_is_not_waited_for() {
        let mut outbox = outbox();
        given(&mut outbox, 0);
        outbox.acknowledged(ANNE, 3);
        assert!(!outbox.members(&[OWN, ANNE, BERT], Time::from_ms(100)));
        assert_eq!(given(&mut outbox, 100).0, [0, 1, 2]);
        outbox.members(&[OWN, ANNE], Time::from_ms(200));
        assert_eq!(outbox.waiting().0, 0);
    }

    #[test]
    fn whoever_comes_is_told_where_the_messages_begin_until_it_says_so() {
        let mut outbox = outbox();
        assert!(outbox.members(&[OWN, ANNE, BERT, LATE], Time(0)));
        assert_eq!(given(&mut outbox, 0), (vec![0, 1, 2], [Some(3), None]));
        outbox.acknowledged(ANNE, 3);
        outbox.acknowledged(BERT, 3);
        assert_eq!(
            (outbox.waiting().0, given(&mut outbox, 299).1[0], given(&mut outbox, 300).1[0]),
            (0, None, Some(3))
        );
        assert_eq!(outbox.send(Topic::Chat, b"again"), Ok(3));
        given(&mut outbox, 400);
        outbox.acknowledged(LATE, 3);
        assert_eq!(given(&mut outbox, 1_000), (vec![3], [None; 2]));
        [ANNE, BERT, LATE].into_iter().for_each(|peer| outbox.acknowledged(peer, 4));
        assert_eq!(outbox.waiting().0, 0);
    }

    #[test]
    fn a_silent_member_is_given_up_and_told_where_to_go_on() {
        let mut outbox = outbox();
        given(&mut outbox, 0);
        outbox.acknowledged(BERT, 3);
        given(&mut outbox, 19_999);
        assert_eq!((outbox.waiting().0, outbox.gave_up()), (3, None));
        assert_eq!(given(&mut outbox, 20_000), (vec![], [None, Some(3)]));
        assert_eq!((outbox.waiting().0, outbox.gave_up()), (0, Some((ANNE, 0..3))));
        outbox.send(Topic::Chat, b"more").unwrap();
        assert_eq!(given(&mut outbox, 20_001).0, [3]);
        outbox.acknowledged(BERT, 4);
        assert_eq!(outbox.waiting().0, 0, "it holds nobody up");
        outbox.acknowledged(ANNE, 2);
        assert_eq!(given(&mut outbox, 22_000).1[1], Some(4), "what it asks for is gone");
        outbox.acknowledged(ANNE, 4);
        outbox.send(Topic::Chat, b"more").unwrap();
        assert_eq!((outbox.waiting().0, given(&mut outbox, 30_000)), (1, (vec![4], [None; 2])));
    }

    #[test]
    fn a_full_outbox_refuses_in_words_and_a_lonely_one_keeps_nothing() {
        let mut outbox = outbox();
        let refused = std::iter::repeat_with(|| outbox.send(Topic::App(1), &[7; MAX_MESSAGE])).find_map(Result::err);
        let Some(Refused::Full { messages, bytes }) = refused else { panic!("{refused:?}") };
        assert!(bytes <= MAX_WAITING_BYTES && bytes + MAX_MESSAGE > MAX_WAITING_BYTES && messages < MAX_WAITING);
        assert!(refused.is_some_and(|refused| refused.to_string().contains("try again later")));
        let mut outbox = self::outbox();
        while outbox.send(Topic::Chat, b"a").is_ok() {}
        assert_eq!((outbox.waiting().0, outbox.stats().refused), (MAX_WAITING, 1));
        assert_eq!(outbox.send(Topic::Chat, &[0; MAX_MESSAGE + 1]), Err(Refused::Long(MAX_MESSAGE + 1)));
        outbox.members(&[OWN], Time(0));
        assert!((0..1000).all(|_| outbox.send(Topic::Chat, b"a").is_ok()) && outbox.waiting() == (0, 0));
    }

    #[test]
    fn a_full_outbox_is_given_out_at_its_rate() {
        let mut outbox = Outbox::new(OWN);
        outbox.members(&[OWN, ANNE], Time(0));
        while outbox.send(Topic::App(0), &[7; MAX_MESSAGE]).is_ok() {}
        let mut bytes = 0;
        for ms in (0..2000).step_by(10) {
            bytes += given(&mut outbox, ms).0.len() * MAX_MESSAGE;
        }
        assert!((450_000..=2 * RATE as usize + 3 * BURST as usize).contains(&bytes), "{bytes}");
    }
}
