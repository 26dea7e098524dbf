//! Audio packets on their way to the speaker: a delay that follows the network's jitter, and a plan for every gap.

use std::collections::BTreeMap;

use crate::time::Time;

/// Packets held at most: two seconds of 20 ms packets.
const CAPACITY: usize = 100;

/// The target covers this share of the lateness seen lately, in percent.
const COVERED: u32 = 97;

/// Lateness is counted in steps of 5 ms, up to 500 ms.
const STEP_US: u64 = 5_000;
const STEPS: usize = 100;

/// Each packet makes the memory of the earlier ones fade by 1/256: half is gone after 180 packets, 3.6 s at 20 ms.
const FADE: u32 = 256;

/// What to play for the next packet's worth of time.
#[derive(Debug, PartialEq, Eq)]
pub enum Pull<T> {
    /// This packet.
    Packet(T),
    /// The packet is lost, the one after it is here: its in-band FEC fills the gap. See [`AudioBuffer::peek`].
    Fec,
    /// The packet is not here: conceal.
    Conceal,
    /// Nothing has been played yet, or the delay is being built up: silence.
    Wait,
}

/// Counters of one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Stats {
    /// Packets inserted.
    pub inserted: u64,
    /// Packets played.
    pub played: u64,
    /// Gaps filled from the FEC of the packet after.
    pub fec: u64,
    /// Gaps concealed.
    pub concealed: u64,
    /// Packets that came after their time.
    pub late: u64,
    /// Packets that came twice.
    pub duplicates: u64,
    /// Packets left out to shorten the delay.
    pub shortened: u64,
    /// Concealments put in to lengthen the delay.
    pub lengthened: u64,
    /// Packets dropped for want of room.
    pub displaced: u64,
}

/// The jitter buffer of one audio stream, by unwrapped sequence number.
pub struct AudioBuffer<T> {
    held: BTreeMap<u64, T>,
    next: Option<u64>,
    packet_us: u64,
    /// Smallest transit (arrival less media time) of the last packets: the path without queueing.
    base: Option<i64>,
    histogram: [u32; STEPS],
    target_us: u64,
    /// Pulls since the delay was last changed.
    settled: u32,
    dropped: Vec<T>,
    stats: Stats,
}

impl<T> AudioBuffer<T> {
    /// A buffer for packets of `packet_us` microseconds.
    pub fn new(packet_us: u64) -> Self {
        Self {
            held: BTreeMap::new(),
            next: None,
            packet_us,
            base: None,
            histogram: [0; STEPS],
            target_us: 2 * packet_us,
            settled: 0,
            dropped: Vec::with_capacity(CAPACITY),
            stats: Stats::default(),
        }
    }

    /// Takes the packet `sequence` (unwrapped) whose media begin at `media` on the sender's clock. Refused items come
    /// back.
    pub fn insert(&mut self, sequence: u64, media: Time, item: T, now: Time) -> Option<T> {
        self.stats.inserted += 1;
        self.observe(media, now);
        if self.next.is_some_and(|next| sequence < next) {
            self.stats.late += 1;
            return Some(item);
        }
        if self.held.contains_key(&sequence) {
            self.stats.duplicates += 1;
            return Some(item);
        }
        self.held.insert(sequence, item);
        if self.held.len() <= CAPACITY {
            return None;
        }
        self.stats.displaced += 1;
        let (oldest, item) = self.held.pop_first()?;
        self.next = self.next.map(|next| next.max(oldest + 1));
        Some(item)
    }

    /// What to play next; called once per packet duration.
    pub fn pull(&mut self) -> Pull<T> {
        let Some(next) = self.next else {
            // Playing begins once the target delay lies in the buffer.
            let Some((first, _)) = self.held.first_key_value() else { return Pull::Wait };
            let span = self.held.last_key_value().map_or(0, |(last, _)| last - first + 1);
            if span * self.packet_us < self.target_us {
                return Pull::Wait;
            }
            self.next = Some(*first);
            return self.pull();
        };
        let ahead = self.held.last_key_value().map_or(0, |(last, _)| (last + 1).saturating_sub(next)) * self.packet_us;
        self.settled += 1;
        if self.settled > 50 && ahead > self.target_us + 3 * self.packet_us {
            self.settled = 0;
            self.stats.shortened += 1;
            let skipped = self.held.remove(&next);
            self.dropped.extend(skipped);
            self.next = Some(next + 1);
            return self.pull();
        }
        if let Some(item) = self.held.remove(&next) {
            self.next = Some(next + 1);
            self.stats.played += 1;
            return Pull::Packet(item);
        }
        if ahead == 0 && self.settled > 10 {
            // Ran dry: time passes without a packet being given up, which lengthens the delay.
            self.settled = 0;
            self.stats.lengthened += 1;
            self.stats.concealed += 1;
            return Pull::Conceal;
        }
        self.next = Some(next + 1);
        if self.held.contains_key(&(next + 1)) {
            self.stats.fec += 1;
            return Pull::Fec;
        }
        self.stats.concealed += 1;
        Pull::Conceal
    }

    /// The packet that the next pull will play: after [`Pull::Fec`] the one with the redundancy.
    pub fn peek(&self) -> Option<&T> {
        self.held.get(&self.next?)
    }

    /// A packet that was left out, so that its buffer is used again.
    pub fn dropped(&mut self) -> Option<T> {
        self.dropped.pop()
    }

    /// The delay aimed at, beyond the network's own.
    pub fn target_us(&self) -> u64 {
        self.target_us
    }

    /// Microseconds of sound from the next packet to the newest one.
    pub fn depth_us(&self) -> u64 {
        let (Some(next), Some((last, _))) = (self.next, self.held.last_key_value()) else { return 0 };
        (last + 1).saturating_sub(next) * self.packet_us
    }

    /// Counters so far.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Learns from one packet how late packets come, against the fastest of the lately seen.
    fn observe(&mut self, media: Time, now: Time) {
        let transit = now.0 as i64 - media.0 as i64;
        // The base creeps up by 20 µs a packet (1 ms a second), so that clock drift does not count as lateness for ever.
        let base = self.base.map_or(transit, |base| transit.min(base + 20));
        self.base = Some(base);
        let step = ((transit - base) as u64 / STEP_US).min(STEPS as u64 - 1) as usize;
        for count in &mut self.histogram {
            *count -= count.div_ceil(FADE);
        }
        self.histogram[step] += 1 << 16;
        let total: u64 = self.histogram.iter().map(|c| u64::from(*c)).sum();
        let mut seen = 0;
        let covered = self.histogram.iter().position(|count| {
            seen += u64::from(*count);
            seen * 100 >= total * u64::from(COVERED)
        });
        let lateness = (covered.unwrap_or(STEPS - 1) as u64 + 1) * STEP_US;
        self.target_us = (lateness + self.packet_us).clamp(2 * self.packet_us, 400_000);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets of 20 ms over a path with this jitter and loss; returns the pulls.
    fn play(jitter_ms: u64, lost: impl Fn(u64) -> bool) -> (AudioBuffer<u64>, Vec<Pull<u64>>) {
        let mut random = fastrand::Rng::with_seed(9);
        let mut arrivals: Vec<(u64, u64)> =
            (0..1_000).filter(|i| !lost(*i)).map(|i| (i * 20 + 30 + random.u64(..=jitter_ms), i)).collect();
        arrivals.sort_unstable();
        let (mut buffer, mut pulls, mut arrivals) =
            (AudioBuffer::new(20_000), Vec::new(), arrivals.into_iter().peekable());
        for ms in (0..20_500).step_by(20) {
            while let Some((at, i)) = arrivals.next_if(|(at, _)| *at <= ms) {
                buffer.insert(i, Time::from_ms(i * 20), i, Time::from_ms(at));
            }
            pulls.push(buffer.pull());
        }
        (buffer, pulls)
    }

    #[test]
    fn a_calm_path_plays_every_packet_with_little_delay() {
        let (buffer, _) = play(0, |_| false);
        assert_eq!(buffer.stats().played, 1_000);
        assert!(buffer.target_us() <= 40_000);
    }

    #[test]
    fn the_delay_follows_the_jitter() {
        let (calm, _) = play(5, |_| false);
        let (rough, _) = play(150, |_| false);
        assert!(rough.target_us() > calm.target_us() + 80_000, "{} {}", rough.target_us(), calm.target_us());
        assert!(rough.stats().played > 940, "{:?}", rough.stats());
    }

    #[test]
    fn a_lost_packet_is_filled_from_the_next_and_a_run_is_concealed() {
        // Of a run of three, the last is filled from the packet after it.
        let (buffer, pulls) = play(5, |i| i == 100 || (200..203).contains(&i));
        let last = pulls.iter().rposition(|p| matches!(p, Pull::Packet(_))).expect("plays");
        let concealed = pulls[..last].iter().filter(|p| **p == Pull::Conceal).count();
        // The buffer may run dry in the gap, which puts one concealment in to lengthen the delay.
        assert!((2..=3).contains(&concealed), "{concealed}");
        assert_eq!((buffer.stats().fec, buffer.stats().played), (2, 996));
    }

    #[test]
    fn every_pull_after_the_first_packet_has_something_to_play() {
        let (_, pulls) = play(80, |i| i % 17 == 3);
        let first = pulls.iter().position(|p| matches!(p, Pull::Packet(_))).expect("plays");
        assert!(!pulls[first..].contains(&Pull::Wait));
    }

    #[test]
    fn stays_bounded_whatever_comes() {
        let mut buffer = AudioBuffer::new(20_000);
        let mut random = fastrand::Rng::with_seed(2);
        for i in 0..20_000u64 {
            buffer.insert(random.u64(..i + 200), Time(random.u64(..1 << 40)), i, Time(random.u64(..1 << 40)));
            if random.bool() {
                buffer.pull();
            }
            assert!(buffer.held.len() <= CAPACITY);
            while buffer.dropped().is_some() {}
        }
    }
}
