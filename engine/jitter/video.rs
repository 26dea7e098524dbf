//! Video frames, handed out when everything they depend on has been handed out.

use crate::sorted::Sorted;
use crate::time::Time;

/// Frames held at most.
const CAPACITY: usize = 128;

/// How long a frame waits for one before it, while that may still be repaired, unless
/// [`FrameBuffer::set_patience`] says otherwise.
pub const PATIENCE_US: u64 = 500_000;

/// How long a frame that can be decoded waits for frames before it that it does not need.
const GAP_US: u64 = 50_000;

/// Frames back that a dependency may reach and still be known as handed out.
const MEMORY: u64 = 256;

/// What became of an inserted frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Insert<T> {
    /// It waits or can be taken.
    Held,
    /// It came twice, or after the stream went on without it.
    Refused(T),
    /// There was no room: this older frame went for it.
    Displaced(T),
}

/// Counters of one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Stats {
    /// Frames inserted.
    pub inserted: u64,
    /// Frames handed out.
    pub handed_out: u64,
    /// Frames that came twice or too late.
    pub refused: u64,
    /// Frames dropped because what they depend on never came.
    pub undecodable: u64,
    /// Frames dropped for want of room.
    pub displaced: u64,
}

struct Held<T> {
    needs: [u64; 8],
    need_count: u8,
    keyframe: bool,
    since: Time,
    item: T,
}

/// Orders the frames of one stream.
pub struct FrameBuffer<T> {
    held: Sorted<Held<T>>,
    /// The next frame number that could be handed out.
    next: u64,
    /// Bit `n` is set where frame `next - 1 - n` was handed out.
    done: [u64; MEMORY as usize / 64],
    patience_us: u64,
    started: bool,
    stuck: bool,
    dropped: Vec<T>,
    stats: Stats,
}

impl<T> Default for FrameBuffer<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> FrameBuffer<T> {
    /// A buffer that waits for a key frame.
    pub fn new() -> Self {
        Self {
            held: Sorted::new(CAPACITY + 1),
            next: 0,
            done: [0; _],
            patience_us: PATIENCE_US,
            started: false,
            stuck: false,
            dropped: Vec::with_capacity(CAPACITY),
            stats: Stats::default(),
        }
    }

    /// Takes frame `number` (unwrapped), which depends on the frames so many `distances` back.
    pub fn insert(&mut self, number: u64, distances: &[u16], keyframe: bool, item: T, now: Time) -> Insert<T> {
        self.stats.inserted += 1;
        if (self.started && number < self.next) || self.held.contains(number) || distances.len() > 8 {
            self.stats.refused += 1;
            return Insert::Refused(item);
        }
        let mut needs = [0; 8];
        for (need, distance) in needs.iter_mut().zip(distances) {
            *need = number.saturating_sub(u64::from(*distance));
        }
        let held = Held { needs, need_count: distances.len() as u8, keyframe, since: now, item };
        self.held.insert(number, held);
        if self.held.len() <= CAPACITY {
            return Insert::Held;
        }
        // The oldest frame that is no key frame goes; where all are key frames, the oldest of them.
        let oldest = self.held.iter().find(|(_, h)| !h.keyframe).or(self.held.first()).map(|(n, _)| n);
        self.stats.displaced += 1;
        self.stuck = true;
        match oldest.and_then(|n| self.held.remove(n)) {
            Some(held) => Insert::Displaced(held.item),
            None => Insert::Held,
        }
    }

    /// The next frame to be decoded. Frames that can no longer be decoded come back from [`FrameBuffer::dropped`].
    pub fn next(&mut self, now: Time) -> Option<(u64, T)> {
        loop {
            let (number, first) = self.held.first()?;
            let waited = now.since(first.since) >= self.patience_us;
            if self.ready(number, first) && (number == self.next || !self.started || first.keyframe) {
                return self.hand_out(number);
            }
            // A later key frame needs nothing before it: go on there once patience with the gap has ended.
            let keyframe = self.held.iter().find(|(_, h)| h.keyframe).map(|(n, _)| n);
            if let Some(keyframe) = keyframe.filter(|_| waited || !self.started || self.stuck) {
                self.drop_before(keyframe);
                return self.hand_out(keyframe);
            }
            // A gap that this frame does not depend on (a dropped layer, a repair from an older frame) is skipped.
            if self.ready(number, first) && now.since(first.since) >= GAP_US {
                return self.hand_out(number);
            }
            if !waited {
                return None;
            }
            self.stuck = true;
            self.drop_before(number + 1);
        }
    }

    /// How long a frame waits for one before it.
    pub fn set_patience(&mut self, us: u64) {
        self.patience_us = us;
    }

    /// Decoding cannot go on without a key frame.
    pub fn needs_keyframe(&self) -> bool {
        self.stuck || (!self.started && !self.held.is_empty())
    }

    /// The decoder lost its state: only a key frame helps.
    pub fn lost_sync(&mut self) {
        self.stuck = true;
        self.done = [0; _];
    }

    /// A frame that was dropped because it cannot be decoded, so that its buffer is used again.
    pub fn dropped(&mut self) -> Option<T> {
        self.dropped.pop()
    }

    /// Counters so far.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    fn ready(&self, number: u64, held: &Held<T>) -> bool {
        if held.keyframe {
            return true;
        }
        self.started
            && held.need_count > 0
            && held.needs[..held.need_count as usize].iter().all(|need| *need < number && self.was_handed_out(*need))
    }

    fn was_handed_out(&self, number: u64) -> bool {
        let Some(back) = self.next.checked_sub(number + 1) else { return false };
        back < MEMORY && self.done[back as usize / 64] >> (back % 64) & 1 == 1
    }

    fn hand_out(&mut self, number: u64) -> Option<(u64, T)> {
        let held = self.held.remove(number)?;
        if held.keyframe {
            self.done = [0; _];
            self.stuck = false;
            self.started = true;
        }
        self.advance((number + 1).saturating_sub(self.next));
        self.next = number + 1;
        self.done[0] |= 1;
        self.stats.handed_out += 1;
        Some((number, held.item))
    }

    /// Moves the memory of what was handed out by `count` frames.
    fn advance(&mut self, count: u64) {
        if count >= MEMORY {
            self.done = [0; _];
            return;
        }
        for _ in 0..count {
            let mut carry = 0;
            for word in &mut self.done {
                (*word, carry) = (*word << 1 | carry, *word >> 63);
            }
        }
    }

    fn drop_before(&mut self, number: u64) {
        while self.held.first().is_some_and(|(n, _)| n < number) {
            let Some((_, held)) = self.held.pop_first() else { return };
            self.stats.undecodable += 1;
            if self.dropped.len() < CAPACITY {
                self.dropped.push(held.item);
            }
        }
    }
}

/// Follows a 16-bit frame number through its wraps.
#[derive(Clone, Copy, Debug, Default)]
pub struct Numbers {
    /// The highest, and when that frame was captured.
    last: Option<(u64, Time)>,
}

/// A key frame whose number lies further back is the first of a sender that began anew.
const ANEW: i64 = -1_024;

/// A frame that looks as if it were behind, and was captured so much later, is ahead.
const MUCH_LATER_US: u64 = 10_000_000;

impl Numbers {
    /// The full number nearest to the last one; above it, where the frame was `captured` much later or begins a sender
    /// anew. The first number counts from 2^16, so that none falls below 0.
    pub fn unwrap(&mut self, number: u16, captured: Time, keyframe: bool) -> u64 {
        let Some((last, at)) = self.last else {
            let first = (1 << 16) + u64::from(number);
            self.last = Some((first, captured));
            return first;
        };
        let step = i64::from(number.wrapping_sub(last as u16) as i16);
        // After a gap of more than half of all numbers what is next looks as if it were behind.
        let wraps = step < 0 && (captured.since(at) > MUCH_LATER_US || keyframe && step < ANEW);
        let full = last.saturating_add_signed(if wraps { step + (1 << 16) } else { step });
        if full > last {
            self.last = Some((full, captured));
        }
        full
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(buffer: &mut FrameBuffer<u64>, number: u64, ms: u64) {
        let distances: &[u16] = if number == 0 { &[] } else { &[1] };
        let _ = buffer.insert(number, distances, number == 0, number, Time::from_ms(ms));
    }

    fn take(buffer: &mut FrameBuffer<u64>, ms: u64) -> Vec<u64> {
        std::iter::from_fn(|| buffer.next(Time::from_ms(ms)).map(|(n, _)| n)).collect()
    }

    #[test]
    fn reordered_frames_come_out_in_order() {
        let mut buffer = FrameBuffer::new();
        [2, 0, 3].iter().for_each(|n| insert(&mut buffer, *n, 0));
        assert_eq!(take(&mut buffer, 1), [0]);
        insert(&mut buffer, 1, 2);
        assert_eq!(take(&mut buffer, 2), [1, 2, 3]);
    }

    #[test]
    fn a_frame_whose_reference_never_came_is_never_handed_out() {
        let mut buffer = FrameBuffer::new();
        [0, 2, 3].iter().for_each(|n| insert(&mut buffer, *n, 0));
        assert_eq!(take(&mut buffer, 10), [0]);
        assert!(!buffer.needs_keyframe());
        assert!(take(&mut buffer, 600).is_empty());
        assert!(buffer.needs_keyframe());
        let _ = buffer.insert(9, &[], true, 9, Time::from_ms(610));
        insert(&mut buffer, 10, 620);
        assert_eq!(take(&mut buffer, 630), [9, 10]);
        assert!(!buffer.needs_keyframe());
        assert_eq!(buffer.stats().undecodable, 2);
    }

    #[test]
    fn a_layer_nobody_needs_may_be_missing() {
        let mut buffer = FrameBuffer::new();
        insert(&mut buffer, 0, 0);
        let _ = buffer.insert(2, &[2], false, 2, Time(0));
        assert_eq!(take(&mut buffer, 600), [0, 2]);
    }

    #[test]
    fn late_and_double_frames_are_refused() {
        let mut buffer = FrameBuffer::new();
        insert(&mut buffer, 0, 0);
        assert_eq!(take(&mut buffer, 0), [0]);
        assert_eq!(buffer.insert(0, &[], true, 7, Time(0)), Insert::Refused(7));
    }

    #[test]
    fn stays_bounded_and_adds_up_under_random_frames() {
        let mut buffer = FrameBuffer::new();
        let mut random = fastrand::Rng::with_seed(3);
        let (mut out, mut back) = (0, 0);
        for i in 0..50_000u64 {
            let number = (i + 10).saturating_sub(random.u64(..20));
            let distances = [random.u16(1..4), random.u16(1..300)];
            let distances = &distances[..random.usize(1..=2)];
            let keyframe = random.u8(..) < 20;
            match buffer.insert(number, distances, keyframe, i, Time::from_ms(i)) {
                Insert::Held => {}
                Insert::Refused(_) | Insert::Displaced(_) => back += 1,
            }
            out += take(&mut buffer, i).len() as u64;
            back += std::iter::from_fn(|| buffer.dropped()).count() as u64;
            assert!(buffer.held.len() <= CAPACITY);
        }
        assert_eq!(out, buffer.stats().handed_out);
        assert_eq!(buffer.stats().inserted, out + back + buffer.held.len() as u64);
        assert!(out > 1000);
    }

    #[test]
    fn frame_numbers_unwrap_both_ways() {
        let mut numbers = Numbers::default();
        let full: Vec<u64> = [65_534, 65_535, 0, 65_533, 1]
            .map(|n: u16| numbers.unwrap(n, Time(n.wrapping_add(100).into()), false))
            .into();
        assert_eq!(full.iter().map(|n| n - full[0] + 1).collect::<Vec<_>>(), [1, 2, 3, 0, 4]);
        // After a gap of more than half of them, and of a sender that began anew, they go on upwards.
        let gap = numbers.unwrap(50_001, Time(1_000_000_000), false);
        assert_eq!(gap - full[4], 50_000);
        // Those that overtook each other do not, whichever was captured first.
        assert_eq!(numbers.unwrap(50_000, Time(999_999_000), false), gap - 1);
        assert_eq!(numbers.unwrap(49_999, Time(1_002_000_000), false), gap - 2);
        let anew = numbers.unwrap(40_000, Time(5), true);
        assert!(anew > gap && numbers.unwrap(40_001, Time(6), false) == anew + 1);
    }
}
