//! Sealed frames whose key has not arrived yet, held for a moment and within bounds (E2EE.md §4).

use std::collections::{BTreeMap, VecDeque};

use super::keys::KeyId;
use crate::frame::{Arrived, Buffer, HEAD_ROOM, Header, Packets, TAIL_ROOM};
use crate::ledger::Ledger;
use crate::time::Time;

/// Frames held for one leaf.
pub(crate) const LEAF_FRAMES: usize = 32;

/// Bytes held for one leaf.
pub(crate) const LEAF_BYTES: usize = 1 << 20;

/// Bytes held for all.
pub(crate) const ALL_BYTES: usize = 8 << 20;

/// How long a frame is held, in microseconds.
pub(crate) const PATIENCE: u64 = 500_000;

/// A frame that waits. The bytes are a copy of their own size, so that what is counted is what is kept.
pub(crate) struct Held {
    pub(crate) key_id: u64,
    pub(crate) since: Time,
    pub(crate) header: Header,
    packets: Packets,
    ledger: Ledger,
    bytes: Box<[u8]>,
}

impl Held {
    /// The frame as it arrived, in a buffer of its own.
    pub(crate) fn into_frame(self) -> Arrived {
        let mut payload = Buffer::with_capacity(self.bytes.len());
        payload.tail().extend_from_slice(&self.bytes);
        Arrived { payload, header: self.header, packets: self.packets, ledger: self.ledger }
    }

    /// What it takes, its share of the queue and of a buffer to come included.
    fn cost(&self) -> usize {
        self.bytes.len() + OVERHEAD
    }
}

/// Frames in the order of arrival.
#[derive(Default)]
pub(crate) struct Hold {
    frames: VecDeque<Held>,
    /// Frames whose key has come since.
    ready: VecDeque<Held>,
    leaves: BTreeMap<u16, Share>,
    bytes: usize,
}

/// What one leaf takes.
#[derive(Default)]
struct Share {
    frames: usize,
    bytes: usize,
}

impl Hold {
    /// Frames that wait.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.frames.len() + self.ready.len()
    }

    /// Copies a frame in; `false` where its leaf or all leaves together have no room left. The frames that came first
    /// stay, so that later forgeries push none of them out.
    pub(crate) fn put(&mut self, key_id: u64, frame: &Arrived, now: Time) -> bool {
        let cost = frame.payload.len() + OVERHEAD;
        let share = self.leaves.entry(KeyId::unpack(key_id).leaf).or_default();
        if share.frames == LEAF_FRAMES || share.bytes + cost > LEAF_BYTES || self.bytes + cost > ALL_BYTES {
            return false;
        }
        share.frames += 1;
        share.bytes += cost;
        self.bytes += cost;
        let bytes = frame.payload.as_slice().into();
        self.frames.push_back(Held {
            key_id,
            since: now,
            header: frame.header,
            packets: frame.packets,
            ledger: frame.ledger,
            bytes,
        });
        true
    }

    /// Takes out the oldest frame if it has waited too long.
    pub(crate) fn expire(&mut self, now: Time) -> Option<Held> {
        let due = self.frames.front().is_some_and(|held| now.since(held.since) >= PATIENCE);
        let held = if due { self.frames.pop_front()? } else { return None };
        self.forget(&held);
        Some(held)
    }

    /// Makes every frame ready whose key `arrived`.
    pub(crate) fn sort(&mut self, mut arrived: impl FnMut(u64) -> bool) {
        for _ in 0..self.frames.len() {
            let Some(held) = self.frames.pop_front() else { break };
            let queue = if arrived(held.key_id) { &mut self.ready } else { &mut self.frames };
            queue.push_back(held);
        }
    }

    /// Takes out the oldest frame whose key has come.
    pub(crate) fn ready(&mut self) -> Option<Held> {
        let held = self.ready.pop_front()?;
        self.forget(&held);
        Some(held)
    }

    fn forget(&mut self, held: &Held) {
        let leaf = KeyId::unpack(held.key_id).leaf;
        self.bytes -= held.cost();
        if let Some(share) = self.leaves.get_mut(&leaf) {
            share.frames -= 1;
            share.bytes -= held.cost();
            if share.frames == 0 {
                self.leaves.remove(&leaf);
            }
        }
    }
}

const OVERHEAD: usize = HEAD_ROOM + TAIL_ROOM + size_of::<Held>();

#[cfg(test)]
mod tests {
    use super::*;
    use crate::e2ee::Context;
    use crate::frame::Kind;

    fn frame(len: usize) -> Arrived {
        let mut payload = Buffer::with_capacity(len);
        payload.tail().resize(HEAD_ROOM + len, 7);
        let header = Header { stream: 1, kind: Kind::Camera, spatial: 0, temporal: 0, template_id: 0, frame_number: 0 };
        Arrived { payload, header, packets: Packets::default(), ledger: Ledger::default() }
    }

    fn key_id(leaf: u16) -> u64 {
        KeyId { step: 0, context: Context::of(Kind::Camera), leaf, epoch: 0 }.pack().unwrap()
    }

    #[test]
    fn frames_and_bytes_are_bounded_for_one_leaf_and_for_all() {
        let mut hold = Hold::default();
        let held = (0..100).filter(|_| hold.put(key_id(0), &frame(100), Time(0))).count();
        assert_eq!(held, LEAF_FRAMES);
        assert!(!hold.put(key_id(1), &frame(LEAF_BYTES), Time(0)));
        for leaf in 1..1024 {
            let held = (0..100).take_while(|_| hold.put(key_id(leaf), &frame(200_000), Time(0))).count();
            assert!(held <= LEAF_BYTES / 200_000);
        }
        assert!(hold.bytes <= ALL_BYTES && hold.bytes > ALL_BYTES - 200_000 - OVERHEAD);
        assert_eq!(hold.len(), LEAF_FRAMES + ALL_BYTES / 200_000);
    }

    #[test]
    fn everything_put_in_comes_out_and_the_books_balance() {
        let mut hold = Hold::default();
        for n in 0..200u64 {
            let (leaf, now) = ((n % 10) as u16, Time::from_ms(n));
            assert!(hold.put(key_id(leaf), &frame(n as usize), now));
        }
        hold.sort(|id| KeyId::unpack(id).leaf == 3);
        let ready: Vec<_> = std::iter::from_fn(|| hold.ready()).map(|held| held.into_frame().payload.len()).collect();
        assert_eq!(ready, (0..20).map(|n| n * 10 + 3).collect::<Vec<_>>());
        let expired = std::iter::from_fn(|| hold.expire(Time::from_ms(600))).count();
        assert_eq!(expired, 101 - 10, "all up to 100 ms, leaf 3 aside");
        assert_eq!(std::iter::from_fn(|| hold.expire(Time(u64::MAX))).count(), 180 - expired);
        assert_eq!((hold.len(), hold.bytes, hold.leaves.len()), (0, 0, 0));
    }
}
