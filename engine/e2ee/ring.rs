//! The keys of a group as its epochs come and go: the control plane feeds a [`Keeper`], the data plane owns a
//! [`Keyring`], and between them is a queue without a lock.
//!
//! Timing (E2EE.md §3, §6): a sender goes over to a new epoch when its keeper said so; the epoch before it opens for
//! [`OVERLAP_US`] after the new one came, and at most [`MAX_OLD`] such epochs do. Every chain moves on by the clock,
//! whether frames come or not.

use std::collections::VecDeque;
use std::sync::Arc;

use crossbeam::queue::ArrayQueue;

use super::epoch::{Epoch, OpenKeys, SendKeys};
use super::keys::{BaseKey, Context, KeyError, KeyId};
use super::schedule::Chain;
use super::source::KeySource;
use crate::time::Time;

/// How long an epoch opens once a newer one is there, in microseconds.
pub const OVERLAP_US: u64 = 4_000_000;

/// Epochs that open beside the newest.
pub const MAX_OLD: usize = 8;

/// Changes that wait for the data plane. It takes them at every tick, so this many are there only where it sleeps, and
/// then the oldest, which is over by then, gives way.
const DEPTH: usize = 64;

/// Frames of an epoch that is this many further on are waited for; the ids say it modulo 256.
const AHEAD: u8 = 64;

/// A keyring and the keeper that feeds it. Each sender and each receiver has a ring of its own, since every chain has
/// one owner.
pub fn keyring() -> (Keeper, Keyring) {
    let changes = Arc::new(ArrayQueue::new(DEPTH));
    let keeper = Keeper(changes.clone());
    (keeper, Keyring { changes, sending: Sending::default(), opening: VecDeque::new() })
}

/// The control plane's end: says what keys there are from now on.
pub struct Keeper(Arc<ArrayQueue<Change>>);

enum Change {
    Send(SendKeys, Time),
    Open(OpenKeys),
    Began(u64, Time),
    Stop,
    End,
}

impl Keeper {
    /// Seal with these from `at` on.
    pub fn send(&self, keys: SendKeys, at: Time) {
        self.put(Change::Send(keys, at));
    }

    /// Open with these too, from now on.
    pub fn open(&self, keys: OpenKeys) {
        self.put(Change::Open(keys));
    }

    /// `epoch` began then: a better answer than the one that came with its keys.
    pub fn began(&self, epoch: u64, began: Time) {
        self.put(Change::Began(epoch, began));
    }

    /// Seal nothing any more until there are keys of a new epoch: the group was not heard of for too long.
    pub fn stop(&self) {
        self.put(Change::Stop);
    }

    /// Erase every key: the meeting is over for this member.
    pub fn end(&self) {
        self.put(Change::End);
    }

    fn put(&self, change: Change) {
        drop(self.0.force_push(change));
    }
}

/// See the module.
pub struct Keyring {
    changes: Arc<ArrayQueue<Change>>,
    sending: Sending,
    /// Oldest first.
    opening: VecDeque<Opening>,
}

#[derive(Default)]
struct Sending {
    now: Option<SendKeys>,
    next: Option<(SendKeys, Time)>,
    /// Nothing may be sealed until there are other keys.
    stopped: bool,
}

struct Opening {
    keys: OpenKeys,
    /// When it is over; no time while it is the newest.
    until: Option<Time>,
}

impl Keyring {
    /// The epochs that frames are opened under, oldest first.
    #[cfg(test)]
    fn openable(&self) -> impl Iterator<Item = &Arc<Epoch>> {
        self.opening.iter().map(|opening| opening.keys.epoch())
    }

    fn take_in(&mut self, change: Change, now: Time) {
        match change {
            Change::Send(keys, at) => {
                // Two in such haste are no usual change. The sender goes with the newest at once: receivers keep few
                // old epochs, and where a member makes epochs without end, those that were waited for are gone.
                let at = if self.sending.next.is_some() { now } else { at };
                self.sending.next = Some((keys, at));
            }
            Change::Open(keys) => {
                if let Some(newest) = self.opening.back_mut() {
                    newest.until = Some(now.plus(OVERLAP_US));
                }
                self.opening.push_back(Opening { keys, until: None });
                while self.opening.len() > MAX_OLD + 1 {
                    self.opening.pop_front();
                }
            }
            Change::Began(epoch, began) => {
                let opening = self.opening.iter_mut().map(|opening| &mut opening.keys);
                opening.filter(|keys| keys.epoch().number == epoch).for_each(|keys| keys.set_began(began));
                let next = self.sending.next.as_mut().map(|(keys, _)| keys);
                let sending = self.sending.now.as_mut().into_iter().chain(next);
                sending.filter(|keys| keys.epoch().number == epoch).for_each(|keys| keys.set_began(began));
            }
            Change::Stop => self.sending = Sending { stopped: true, ..Sending::default() },
            Change::End => {
                self.opening.clear();
                self.sending = Sending { stopped: true, ..Sending::default() };
            }
        }
    }

    /// Goes over to the next keys when their time has come. `true`: other keys than before.
    fn move_sending(&mut self, now: Time) -> bool {
        let Some((keys, _)) = self.sending.next.take_if(|(_, at)| *at <= now) else { return false };
        self.sending = Sending { now: Some(keys), ..Sending::default() };
        true
    }

    fn find(&self, key_id: KeyId) -> Option<&OpenKeys> {
        let mut newest_first = self.opening.iter().rev().map(|opening| &opening.keys);
        newest_first.find(|keys| keys.epoch().number as u8 == key_id.epoch)
    }
}

impl KeySource for Keyring {
    fn turn(&mut self, now: Time) -> bool {
        let mut changed = false;
        while let Some(change) = self.changes.pop() {
            self.take_in(change, now);
            changed = true;
        }
        changed |= self.move_sending(now);
        let before = self.opening.len();
        self.opening.retain(|opening| opening.until.is_none_or(|until| now < until));
        changed |= self.opening.len() != before;
        for opening in &mut self.opening {
            changed |= opening.keys.advance(now);
        }
        changed
    }

    fn sending(&mut self, context: Context) -> Result<Chain, KeyError> {
        let none = KeyError::None(context.number());
        if self.sending.stopped {
            return Err(none);
        }
        self.sending.now.as_mut().ok_or(none)?.take(context)
    }

    fn receiving(&self, key_id: KeyId, now: Time) -> Option<BaseKey> {
        self.find(key_id)?.key(key_id, now)
    }

    fn opens(&self, key_id: KeyId, now: Time) -> bool {
        self.find(key_id).is_some_and(|keys| keys.opens(key_id, now))
    }

    fn knows(&self, leaf: u16) -> bool {
        self.opening.iter().any(|opening| opening.keys.knows(leaf))
    }

    fn expects(&self, key_id: KeyId, now: Time) -> bool {
        if self.find(key_id).is_some() {
            return self.opens(key_id, now);
        }
        let Some(newest) = self.opening.back() else { return false };
        let ahead = key_id.epoch.wrapping_sub(newest.keys.epoch().number as u8);
        ahead <= AHEAD && self.knows(key_id.leaf)
    }

    fn epoch(&self, key_id: KeyId) -> Option<&Arc<Epoch>> {
        self.find(key_id).map(OpenKeys::epoch)
    }

    fn sealing(&self) -> Option<&Arc<Epoch>> {
        self.sending.now.as_ref().map(SendKeys::epoch)
    }

    fn sealing_since(&self) -> Option<Time> {
        self.sending.now.as_ref().map(SendKeys::began)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::e2ee::Sealer;
    use crate::e2ee::schedule::STEP_US;
    use crate::epochs::epoch;

    /// As the other member has them.
    fn member_keys(number: u64) -> (SendKeys, OpenKeys) {
        epoch(number, 1, 2, ms(number * 10))
    }

    fn keys(number: u64, began: Time) -> (SendKeys, OpenKeys) {
        epoch(number, 0, 2, began)
    }

    fn id(epoch: u64, step: u64) -> KeyId {
        KeyId { step, context: Context::new(1).unwrap(), leaf: 1, epoch: epoch as u8 }
    }

    fn ms(ms: u64) -> Time {
        Time::from_ms(ms)
    }

    #[test]
    fn a_flood_of_epochs_does_not_part_sender_and_receivers() {
        let ((keeper, mut sender), (to_receiver, mut receiver)) = (keyring(), keyring());
        let (context, mut sealing, mut opened) = (Context::new(1).unwrap(), None, 0);
        // Each of the sender's epochs in turn comes to the receiver's ring 30 ms sooner or later than to the sender's.
        let mut on_the_way = VecDeque::new();
        for at in 0..3000u64 {
            if at % 10 == 0 && at < 2000 {
                keeper.send(member_keys(at / 10).0, ms(at + 250));
            }
            if at >= 30 && at % 10 == 0 && at < 2030 {
                to_receiver.open(keys((at - 30) / 10, ms(at)).1);
            }
            sender.turn(ms(at));
            receiver.turn(ms(at));
            if let Ok(chain) = sender.sending(context) {
                sealing = Some(chain.id());
            }
            if let Some(id) = sealing.filter(|_| at % 20 == 0) {
                on_the_way.push_back((at + 40, id));
            }
            while on_the_way.front().is_some_and(|(arrives, _)| *arrives <= at) {
                let (_, id) = on_the_way.pop_front().unwrap();
                assert!(receiver.opens(id, ms(at)), "epoch {} at {at} ms", id.epoch);
                opened += 1;
            }
        }
        assert!(opened > 130);
    }

    #[test]
    fn a_sender_goes_over_when_it_was_told_to_and_never_back() {
        let (keeper, mut ring) = keyring();
        let context = Context::new(1).unwrap();
        assert_eq!(ring.sending(context).err(), Some(KeyError::None(1)));
        keeper.send(keys(1, ms(0)).0, ms(0));
        assert!(ring.turn(ms(0)));
        assert_eq!(ring.sending(context).unwrap().id().epoch, 1);
        assert_eq!(ring.sending(context).err(), Some(KeyError::Taken(1)));
        keeper.send(keys(2, ms(1000)).0, ms(1250));
        ring.turn(ms(1249));
        assert_eq!(ring.sending(context).err(), Some(KeyError::Taken(1)), "not yet");
        assert!(ring.turn(ms(1250)));
        assert_eq!(ring.sending(context).unwrap().id().epoch, 2);
        assert_eq!(ring.sealing().map(|epoch| epoch.number), Some(2));
    }

    #[test]
    fn who_says_nothing_keeps_no_keys_of_before() {
        let (keeper, mut ring) = keyring();
        keeper.send(keys(1, ms(0)).0, ms(0));
        ring.turn(ms(0));
        let mut sealer: Sealer = Sealer::new(&mut ring, Context::new(1).unwrap()).unwrap();
        assert_eq!(KeyId::unpack(sealer.key_id()).step, 0);
        sealer.tick(ms(3 * STEP_US / 1000));
        assert_eq!(KeyId::unpack(sealer.key_id()).step, 3);
    }

    #[test]
    fn an_epoch_that_is_due_is_not_put_off_by_those_behind_it() {
        let (keeper, mut ring) = keyring();
        for epoch in 1..20 {
            keeper.send(keys(epoch, ms(0)).0, ms(epoch * 200));
        }
        assert!(ring.turn(ms(200)));
        assert_eq!(ring.sealing().map(|epoch| epoch.number), Some(19), "the newest, at the time of the first");
    }

    #[test]
    fn an_old_epoch_opens_for_four_seconds_and_at_most_eight_do() {
        let (keeper, mut ring) = keyring();
        keeper.open(keys(1, ms(0)).1);
        ring.turn(ms(0));
        keeper.open(keys(2, ms(1000)).1);
        ring.turn(ms(1000));
        assert!(ring.opens(id(1, 0), ms(4999)) && ring.opens(id(2, 0), ms(4999)));
        assert!(ring.turn(ms(5000)));
        assert!(!ring.opens(id(1, 0), ms(5000)) && ring.opens(id(2, 0), ms(5000)));
        for epoch in 3..40 {
            keeper.open(keys(epoch, ms(5000)).1);
            ring.turn(ms(5000));
        }
        assert_eq!(ring.openable().map(|epoch| epoch.number).collect::<Vec<_>>(), (31..40).collect::<Vec<_>>());
    }

    #[test]
    fn frames_wait_for_epochs_to_come_and_not_for_those_that_are_over() {
        let (keeper, mut ring) = keyring();
        assert!(!ring.expects(id(0, 0), ms(0)), "nobody is known yet");
        keeper.open(keys(300, ms(0)).1);
        ring.turn(ms(0));
        assert!(ring.expects(id(300, 0), ms(0)) && ring.expects(id(301, 7), ms(0)) && ring.expects(id(364, 0), ms(0)));
        assert!(!ring.expects(id(299, 0), ms(0)) && !ring.expects(id(365, 0), ms(0)));
        assert!(!ring.expects(id(300, 3), ms(0)), "a step of another time");
        assert!(!ring.expects(KeyId { leaf: 2, ..id(301, 0) }, ms(0)), "a leaf that nobody has");
    }

    #[test]
    fn stopping_takes_the_sending_keys_and_ending_takes_all() {
        let (keeper, mut ring) = keyring();
        let (send, open) = keys(1, ms(0));
        keeper.send(send, ms(0));
        keeper.open(open);
        ring.turn(ms(0));
        keeper.stop();
        assert!(ring.turn(ms(10)));
        assert_eq!(ring.sending(Context::new(1).unwrap()).err(), Some(KeyError::None(1)));
        assert!(ring.opens(id(1, 0), ms(10)));
        keeper.send(keys(2, ms(20)).0, ms(20));
        assert!(ring.turn(ms(20)) && ring.sending(Context::new(1).unwrap()).is_ok(), "a new epoch goes on");
        keeper.end();
        assert!(ring.turn(ms(30)));
        assert!(!ring.opens(id(1, 0), ms(30)) && !ring.knows(1) && ring.sealing().is_none());
    }

    #[test]
    fn a_better_beginning_moves_the_steps() {
        let (keeper, mut ring) = keyring();
        keeper.open(keys(1, ms(60_000)).1);
        ring.turn(ms(60_000));
        assert!(!ring.opens(id(1, 15), ms(60_000)));
        keeper.began(1, ms(0));
        ring.turn(ms(60_000));
        assert!(ring.opens(id(1, 15), ms(60_000)) && !ring.opens(id(1, 0), ms(60_000)));
    }
}
