//! What one sender said, once and in order.
//!
//! Messages may come in any order, again, or too early; those within [`WINDOW`] wait for the ones before them. What the
//! sender says it will not repeat is a gap, and is told.

use std::collections::BTreeMap;
use std::ops::Range;

use zeroize::Zeroizing;

use super::message::{MAX_MESSAGE, Peer, Topic};

/// Messages that wait to be handed out, and how far ahead of the expected one a message may be.
pub const WINDOW: usize = 256;

/// Bytes of those.
pub const MAX_HELD_BYTES: usize = 1 << 20;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is new.
    New,
    /// It had come before.
    Again,
    /// It came before the hello that says where the messages begin. It will come again.
    Early,
    /// It is too far ahead.
    Far,
    /// There is no room for it. It will come again.
    Full,
}

/// What is handed out.
pub enum Next {
    /// A message.
    Message(u64, Topic, Zeroizing<Box<[u8]>>),
    /// These will never come.
    Gap(Range<u64>),
}

/// What a message is about, and what it says.
type Said = (Topic, Zeroizing<Box<[u8]>>);

/// See the module.
pub struct Inbox {
    /// Sequence to hand out next; `None` until the hello.
    next: Option<u64>,
    /// Everything before has come or never will.
    expected: u64,
    /// What is missing before it will never come.
    resume: u64,
    held: BTreeMap<u64, Said>,
    bytes: usize,
    news: bool,
}

impl Inbox {
    /// The inbox of `own` for `sender`. One that was there first begins with a hello; any other with its first word.
    pub fn new(sender: Peer, own: Peer) -> Self {
        let next = (sender.joined >= own.joined).then_some(0);
        Self { next, expected: 0, resume: 0, held: BTreeMap::new(), bytes: 0, news: false }
    }

    /// Takes a message. `room`: others leave room for messages that have to wait.
    pub fn message(&mut self, sequence: u64, topic: Topic, bytes: &[u8], room: bool) -> Taken {
        if self.next.is_none() {
            return Taken::Early;
        }
        if sequence < self.expected || self.held.contains_key(&sequence) {
            // The acknowledgement was lost.
            self.news = true;
            return Taken::Again;
        }
        if sequence - self.expected >= WINDOW as u64 {
            return Taken::Far;
        }
        // The expected one lets others go, so it finds room where they do not.
        let expected = sequence == self.expected;
        let most = MAX_HELD_BYTES + if expected { MAX_MESSAGE } else { 0 };
        if self.held.len() >= WINDOW || self.bytes + bytes.len() > most || !(room || expected) {
            return Taken::Full;
        }
        self.bytes += bytes.len();
        self.held.insert(sequence, (topic, Zeroizing::new(bytes.into())));
        self.advance();
        Taken::New
    }

    /// The sender says that messages begin or go on at `sequence`.
    pub fn hello(&mut self, sequence: u64) {
        if self.next.is_none() {
            (self.next, self.expected, self.resume) = (Some(sequence), sequence, sequence);
        }
        if sequence > self.expected {
            (self.expected, self.resume) = (sequence, sequence);
        }
        self.advance();
    }

    /// The sender is gone: what is missing will never come.
    pub fn close(&mut self) {
        if let Some((last, _)) = self.held.last_key_value() {
            self.resume = self.resume.max(last + 1);
            self.expected = self.expected.max(self.resume);
        }
    }

    /// What is handed out next.
    pub fn pop(&mut self) -> Option<Next> {
        let next = self.next?;
        if let Some((topic, bytes)) = self.held.remove(&next) {
            self.next = Some(next + 1);
            self.bytes -= bytes.len();
            return Some(Next::Message(next, topic, bytes));
        }
        if next >= self.resume {
            return None;
        }
        let held = self.held.first_key_value().map_or(u64::MAX, |(first, _)| *first);
        let end = held.min(self.resume);
        self.next = Some(end);
        Some(Next::Gap(next..end))
    }

    /// The sequence to acknowledge where there is news, which then is none any more.
    pub fn acknowledge(&mut self) -> Option<u64> {
        std::mem::take(&mut self.news).then_some(self.expected)
    }

    /// Whether [`Inbox::pop`] has something.
    pub fn is_ready(&self) -> bool {
        self.next.is_some_and(|next| next < self.resume || self.held.contains_key(&next))
    }

    /// Messages that wait, and their bytes.
    pub fn held(&self) -> (usize, usize) {
        (self.held.len(), self.bytes)
    }

    fn advance(&mut self) {
        while self.held.contains_key(&self.expected) {
            self.expected += 1;
        }
        self.news = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Peer = Peer { leaf: 0, joined: 3 };

    fn inbox(joined: u64) -> Inbox {
        Inbox::new(Peer { leaf: 1, joined }, OWN)
    }

    fn take(inbox: &mut Inbox, sequence: u64) -> Taken {
        inbox.message(sequence, Topic::Chat, &sequence.to_be_bytes(), true)
    }

    /// Everything that is handed out: a sequence, or the bounds of a gap.
    fn out(inbox: &mut Inbox) -> Vec<Vec<u64>> {
        let next = |next| match next {
            Next::Message(sequence, _, bytes) => {
                assert_eq!(**bytes, sequence.to_be_bytes());
                vec![sequence]
            }
            Next::Gap(gap) => vec![gap.start, gap.end],
        };
        std::iter::from_fn(|| inbox.pop()).map(next).collect()
    }

    #[test]
    fn whatever_the_order_each_message_comes_out_once_and_in_order() {
        let mut random = fastrand::Rng::with_seed(4);
        let (mut inbox, mut seen) = (inbox(3), Vec::new());
        let mut sequences: Vec<u64> = (0..1000).chain(0..1000).collect();
        for window in sequences.chunks_mut(200) {
            random.shuffle(window);
        }
        for sequence in sequences {
            assert!(matches!(take(&mut inbox, sequence), Taken::New | Taken::Again));
            seen.extend(out(&mut inbox));
        }
        assert!(seen.iter().map(|one| one[0]).eq(0..1000));
        assert_eq!((inbox.held(), inbox.acknowledge(), inbox.acknowledge()), ((0, 0), Some(1000), None));
        assert_eq!((take(&mut inbox, 17), inbox.acknowledge()), (Taken::Again, Some(1000)));
    }

    #[test]
    fn sequences_far_ahead_are_refused_and_what_waits_is_bounded() {
        let mut inbox = inbox(3);
        assert_eq!(take(&mut inbox, WINDOW as u64), Taken::Far);
        assert_eq!(take(&mut inbox, u64::MAX), Taken::Far);
        assert!((1..WINDOW as u64).all(|sequence| take(&mut inbox, sequence) == Taken::New));
        assert_eq!((inbox.held().0, inbox.acknowledge()), (WINDOW - 1, Some(0)));
        take(&mut inbox, 0);
        assert_eq!(take(&mut inbox, 256), Taken::Full, "nobody has taken what waits");
        assert_eq!(out(&mut inbox).len(), WINDOW);
        assert_eq!(take(&mut inbox, 256), Taken::New);
    }

    #[test]
    fn bytes_are_bounded_but_the_expected_message_finds_room() {
        let mut inbox = inbox(3);
        let mut full = 0;
        for sequence in 1..WINDOW as u64 {
            full += u64::from(inbox.message(sequence, Topic::App(0), &[7; MAX_MESSAGE], true) == Taken::Full);
        }
        assert_eq!((inbox.held().1, full), (MAX_HELD_BYTES, 255 - 64));
        assert_eq!(inbox.message(0, Topic::App(0), &[7; MAX_MESSAGE], false), Taken::New);
        assert_eq!(inbox.message(65, Topic::App(0), &[7; MAX_MESSAGE], true), Taken::Full);
        assert_eq!(std::iter::from_fn(|| inbox.pop()).count(), 65);
        assert_eq!(inbox.message(66, Topic::App(0), b"a", false), Taken::Full, "others need the room");
        assert_eq!(inbox.message(65, Topic::App(0), b"a", false), Taken::New);
    }

    #[test]
    fn whoever_came_later_begins_where_the_hello_says() {
        let mut inbox = inbox(2);
        assert_eq!((take(&mut inbox, 5), inbox.acknowledge()), (Taken::Early, None));
        inbox.hello(5);
        assert_eq!((take(&mut inbox, 4), take(&mut inbox, 5)), (Taken::Again, Taken::New));
        assert_eq!((out(&mut inbox), inbox.acknowledge()), (vec![vec![5]], Some(6)));
    }

    #[test]
    fn what_the_sender_gave_up_is_told_as_gaps_in_its_place() {
        let mut inbox = inbox(3);
        [0, 2, 3, 6, 9].into_iter().for_each(|sequence| assert_eq!(take(&mut inbox, sequence), Taken::New));
        assert_eq!((out(&mut inbox), inbox.acknowledge()), (vec![vec![0]], Some(1)));
        inbox.hello(8);
        assert_eq!(inbox.acknowledge(), Some(8));
        assert_eq!(out(&mut inbox), [vec![1, 2], vec![2], vec![3], vec![4, 6], vec![6], vec![7, 8]]);
        inbox.hello(1);
        assert_eq!((out(&mut inbox).len(), inbox.acknowledge()), (0, Some(8)));
        inbox.close();
        assert_eq!(out(&mut inbox), [vec![8, 9], vec![9]]);
        inbox.hello(1 << 48);
        assert_eq!(out(&mut inbox), [vec![10, 1 << 48]]);
    }
}
