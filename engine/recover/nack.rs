//! What a receiver misses and when it asks for it (generic NACK, RFC 4585 §6.2.1).
//!
//! A receiver that sends nothing has no round trip in its reports: a receiver report comes back only inside extended
//! reports, which not every sender writes. So the time to repair is measured where it matters, from a request to the
//! packet it brought. After several requests the answer is to the first, unless that would have taken twice as long as
//! answers take and the last was made long enough ago to be the one. The time is smoothed as RFC 6298 smooths a round
//! trip, and repeated requests of one packet are spaced by it, or more closely where the packet's time would else pass
//! after too few: a copy too many costs a packet, a frame too few costs a key frame. A request whose answer would come
//! after the packet's time is not made.

use crate::sorted::Sorted;
use crate::time::Time;

/// A gap is not asked for before so much time has passed: reordered packets fill it by themselves.
const REORDER_US: u64 = 5_000;

/// Between two requests for one packet before the first repair was measured.
const FIRST_RETRY_US: u64 = 60_000;

/// Bounds of that time once it is measured: a packet that was merely late must not make it shorter than a short round
/// trip with the 10 ms at which the cores are told the time,
const MIN_RETRY_US: u64 = 25_000;

/// and no stall may make it longer than this.
const MAX_RETRY_US: u64 = 400_000;

/// Repeated requests that must fit into the time in which an answer is of use: at 5 % loss each way one in ten fails,
/// and a frame has many packets.
const RETRIES: u64 = 4;

/// Requests for one packet.
const MAX_REQUESTS: u8 = 10;

/// A packet missing for longer is given up, unless [`NackList::set_patience`] says otherwise.
const GIVE_UP_US: u64 = 500_000;

/// Packets missed at once; a greater gap is no loss but a new beginning.
const MAX_MISSING: usize = 1_000;

/// A packet that came damaged is asked for so often: a relay that damages every copy must not be kept busy.
const MAX_DAMAGED: u8 = 2;

/// Damaged packets that are remembered.
const DAMAGED: usize = 256;

/// Counters of one stream. `missed` is `arrived_late + repaired + given_up` and those still missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Stats {
    /// Packets found missing.
    pub missed: u64,
    /// Of those, packets that came by themselves.
    pub arrived_late: u64,
    /// Of those, packets that came after they were asked for.
    pub repaired: u64,
    /// Of those, packets given up.
    pub given_up: u64,
    /// Requests for packets; one RTCP message carries several.
    pub requests: u64,
    /// Damaged packets that were not asked for again, as they had been often enough.
    pub left_damaged: u64,
    /// From a request to the packet it brings, smoothed, in microseconds; 0 before the first.
    pub repair_us: u64,
}

#[derive(Clone, Copy)]
struct Missing {
    since: Time,
    next: Time,
    asked: Time,
    first_asked: Time,
    requests: u8,
}

/// The packets one stream misses.
pub struct NackList {
    missing: Sorted<Missing>,
    highest: Option<u64>,
    damaged: [(u64, u8); DAMAGED],
    damaged_next: usize,
    /// Smoothed time to repair and its mean deviation.
    repair: Option<(u64, u64)>,
    patience_us: u64,
    hopeless: bool,
    stats: Stats,
}

impl Default for NackList {
    fn default() -> Self {
        Self::new()
    }
}

impl NackList {
    /// Nothing has arrived.
    pub fn new() -> Self {
        Self {
            missing: Sorted::new(MAX_MISSING),
            highest: None,
            damaged: [(u64::MAX, 0); _],
            damaged_next: 0,
            repair: None,
            patience_us: GIVE_UP_US,
            hopeless: false,
            stats: Stats::default(),
        }
    }

    /// How long after its gap was seen a packet is of use.
    pub fn set_patience(&mut self, us: u64) {
        self.patience_us = us;
    }

    /// A packet arrived, its sequence number unwrapped.
    pub fn arrived(&mut self, sequence: u64, now: Time) {
        if let Some(missing) = self.missing.remove(sequence) {
            if missing.requests > 0 {
                let (first, last) = (now.since(missing.first_asked), now.since(missing.asked));
                let to_last = self.repair.is_some_and(|(mean, _)| first > 2 * mean && last >= mean / 2);
                self.learn(if to_last { last } else { first });
            }
            let counter = if missing.requests > 0 { &mut self.stats.repaired } else { &mut self.stats.arrived_late };
            *counter += 1;
        }
        let Some(highest) = self.highest else {
            self.highest = Some(sequence);
            return;
        };
        if sequence <= highest {
            return;
        }
        self.highest = Some(sequence);
        if sequence - highest > MAX_MISSING as u64 {
            self.stats.given_up += self.missing.len() as u64;
            self.hopeless = true;
            self.missing.clear();
            return;
        }
        for gap in highest + 1..sequence {
            self.miss(gap, now, now.plus(REORDER_US));
        }
    }

    /// A packet of a frame that has been arriving `since` then was damaged: it is missing again and asked for at once, a
    /// bounded number of times.
    pub fn damaged(&mut self, sequence: u64, since: Time, now: Time) {
        let known = self.damaged.iter().position(|(known, _)| *known == sequence);
        let at = known.unwrap_or_else(|| {
            let at = self.damaged_next;
            self.damaged_next = (at + 1) % DAMAGED;
            self.damaged[at] = (sequence, 0);
            at
        });
        if self.damaged[at].1 == MAX_DAMAGED {
            self.stats.left_damaged += 1;
            self.hopeless = true;
            return;
        }
        self.damaged[at].1 += 1;
        if !self.missing.contains(sequence) {
            self.miss(sequence, since, now);
        }
    }

    /// What was sent before `sequence` is of no use any more.
    pub fn forget_before(&mut self, sequence: u64) {
        while self.missing.first().is_some_and(|(first, _)| first < sequence) {
            self.missing.pop_first();
            self.stats.given_up += 1;
        }
    }

    /// Calls `ask` with each sequence number (16 bits) to be requested now.
    pub fn due(&mut self, now: Time, ask: &mut dyn FnMut(u16)) {
        let (repair_us, retry_us) = (self.repair.map_or(0, |(mean, _)| mean), self.retry_us());
        let fits = self.patience_us.saturating_sub(repair_us) / RETRIES;
        let spaced = retry_us.min(fits.max(MIN_RETRY_US));
        let (stats, hopeless, patience_us) = (&mut self.stats, &mut self.hopeless, self.patience_us);
        self.missing.retain(|sequence, missing| {
            let late = now.since(missing.since) > patience_us;
            let asks = missing.next <= now;
            let useless = now.since(missing.since) + repair_us > patience_us || missing.requests >= MAX_REQUESTS;
            if late || (asks && useless) {
                // An answer that may be under way is waited for.
                let answer = missing.asked.plus(repair_us + MIN_RETRY_US);
                if !late && missing.requests > 0 && now < answer {
                    missing.next = answer;
                    return true;
                }
                stats.given_up += 1;
                *hopeless = true;
                return false;
            }
            if asks {
                if missing.requests == 0 {
                    missing.first_asked = now;
                }
                missing.requests += 1;
                (missing.asked, missing.next) = (now, now.plus(spaced));
                stats.requests += 1;
                ask(sequence as u16);
            }
            true
        });
    }

    /// Whether a packet was given up since the last call: what it belonged to will not be whole.
    pub fn gave_up(&mut self) -> bool {
        std::mem::take(&mut self.hopeless)
    }

    /// Packets missing now.
    pub fn missing(&self) -> usize {
        self.missing.len()
    }

    /// Counters so far.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    fn miss(&mut self, sequence: u64, since: Time, next: Time) {
        if self.missing.is_full() {
            self.missing.pop_first();
            self.stats.given_up += 1;
            self.hopeless = true;
        }
        self.stats.missed += 1;
        self.missing.insert(sequence, Missing { since, next, asked: next, first_asked: next, requests: 0 });
    }

    /// RFC 6298 §2, with its gains of 1/8 and 1/4.
    fn learn(&mut self, took: u64) {
        let (mean, deviation) = match self.repair {
            None => (took, took / 2),
            Some((mean, deviation)) => ((7 * mean + took) / 8, (3 * deviation + mean.abs_diff(took)) / 4),
        };
        self.repair = Some((mean, deviation));
        self.stats.repair_us = mean;
    }

    fn retry_us(&self) -> u64 {
        let measured = self.repair.map(|(mean, deviation)| (mean + 4 * deviation).clamp(MIN_RETRY_US, MAX_RETRY_US));
        measured.unwrap_or(FIRST_RETRY_US)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(list: &mut NackList, ms: u64) -> Vec<u16> {
        let mut out = Vec::new();
        list.due(Time::from_ms(ms), &mut |s| out.push(s));
        out
    }

    #[test]
    fn asks_for_gaps_after_a_moment_and_again_after_a_while() {
        let mut list = NackList::new();
        list.arrived(10, Time(0));
        list.arrived(13, Time(0));
        assert!(asked(&mut list, 1).is_empty());
        assert_eq!(asked(&mut list, 6), [11, 12]);
        assert!(asked(&mut list, 20).is_empty());
        list.arrived(11, Time::from_ms(30));
        assert_eq!(list.stats().repair_us, 24_000);
        assert_eq!(asked(&mut list, 70), [12]);
        let stats = Stats { missed: 2, repaired: 1, requests: 3, repair_us: 24_000, ..Stats::default() };
        assert_eq!(*list.stats(), stats);
    }

    /// Loses every tenth packet, answers each request after `rtt_ms` and one in `lossy` never; returns the list.
    fn repaired_over(rtt_ms: u64, lossy: u64) -> NackList {
        let (mut list, mut answers) = (NackList::new(), Vec::new());
        for ms in 0..20_000u64 {
            answers.retain(|(at, sequence)| {
                if *at == ms {
                    list.arrived(*sequence, Time::from_ms(ms));
                }
                *at != ms
            });
            if ms % 5 == 0 && ms / 5 % 10 != 3 {
                list.arrived(ms / 5, Time::from_ms(ms));
            }
            let mut count = 0;
            list.due(Time::from_ms(ms), &mut |sequence| {
                count += 1;
                if (ms + count) % lossy != 0 {
                    answers.push((ms + rtt_ms, u64::from(sequence)));
                }
            });
        }
        list
    }

    #[test]
    fn repeated_requests_are_spaced_by_the_time_that_repairs_take() {
        for rtt in [10, 40, 120, 240] {
            let stats = *repaired_over(rtt, 1 << 40).stats();
            assert!(stats.repair_us.abs_diff(rtt * 1_000) <= 2_000, "{rtt}: {stats:?}");
            // The first packets are asked for before anything was measured.
            let (requests, tries) = (stats.requests - stats.missed, if rtt > 100 { RETRIES } else { 0 });
            assert!(requests <= 60 + tries * stats.missed, "{rtt}: {stats:?}");
            let lossy = *repaired_over(rtt, 7).stats();
            assert!(lossy.repaired * 100 > lossy.missed * 95, "{rtt}: {lossy:?}");
        }
    }

    #[test]
    fn nothing_is_asked_for_that_cannot_come_in_time() {
        let mut list = repaired_over(120, 1 << 40);
        let (requests, highest) = (list.stats().requests, 10_000);
        list.arrived(highest, Time::from_ms(30_000));
        list.gave_up();
        list.set_patience(100_000);
        list.arrived(highest + 2, Time::from_ms(30_000));
        assert!(asked(&mut list, 30_006).is_empty());
        assert!(list.gave_up() && !list.gave_up());
        assert_eq!((list.stats().requests, list.missing()), (requests, 0));
    }

    #[test]
    fn a_packet_that_is_always_damaged_is_asked_for_twice() {
        let mut list = NackList::new();
        list.arrived(7, Time(0));
        for ms in (0..1_000).step_by(10) {
            list.damaged(7, Time::from_ms(ms), Time::from_ms(ms));
            if !asked(&mut list, ms).is_empty() {
                list.arrived(7, Time::from_ms(ms + 5));
            }
        }
        assert_eq!((list.stats().requests, list.stats().left_damaged, list.missing()), (2, 98, 0));
    }

    #[test]
    fn reordered_packets_are_not_asked_for() {
        let mut list = NackList::new();
        [1, 3, 2].iter().for_each(|s| list.arrived(*s, Time(0)));
        assert!(asked(&mut list, 10).is_empty());
        assert_eq!(list.stats().arrived_late, 1);
    }

    #[test]
    fn gives_up_and_stays_bounded() {
        let mut list = NackList::new();
        let mut random = fastrand::Rng::with_seed(1);
        let mut sequence = 0;
        for i in 0..50_000 {
            sequence += random.u64(1..5);
            list.arrived(sequence, Time::from_ms(i));
            if random.u8(..) < 9 {
                list.damaged(sequence - random.u64(..3).min(sequence), Time::from_ms(i), Time::from_ms(i));
            }
            list.due(Time::from_ms(i), &mut |_| {});
            assert!(list.missing() <= MAX_MISSING);
        }
        let s = *list.stats();
        assert_eq!(s.missed, s.arrived_late + s.repaired + s.given_up + list.missing() as u64);
        list.arrived(sequence + 1_000_000, Time::from_ms(60_000));
        assert_eq!(list.missing(), 0);
    }
}
