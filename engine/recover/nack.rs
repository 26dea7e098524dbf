//! What a receiver misses and when it asks for it (generic NACK, RFC 4585 §6.2.1).

use std::collections::BTreeMap;

use crate::time::Time;

/// A gap is not asked for before so much time has passed: reordered packets fill it by themselves.
const REORDER_US: u64 = 5_000;

/// Between two requests for one packet: a round trip and a little more.
const RETRY_US: u64 = 60_000;

/// Requests for one packet.
const MAX_REQUESTS: u8 = 10;

/// A packet missing for longer is given up.
const GIVE_UP_US: u64 = 800_000;

/// Packets missed at once; a greater gap is no loss but a new beginning.
const MAX_MISSING: usize = 1_000;

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
}

#[derive(Clone, Copy)]
struct Missing {
    since: Time,
    next: Time,
    requests: u8,
}

/// The packets one stream misses.
#[derive(Default)]
pub struct NackList {
    missing: BTreeMap<u64, Missing>,
    highest: Option<u64>,
    stats: Stats,
}

impl NackList {
    /// Nothing has arrived.
    pub fn new() -> Self {
        Self::default()
    }

    /// A packet arrived, its sequence number unwrapped.
    pub fn arrived(&mut self, sequence: u64, now: Time) {
        if let Some(missing) = self.missing.remove(&sequence) {
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
            self.missing.clear();
            return;
        }
        for gap in highest + 1..sequence {
            if self.missing.len() == MAX_MISSING {
                self.missing.pop_first();
                self.stats.given_up += 1;
            }
            self.stats.missed += 1;
            self.missing.insert(gap, Missing { since: now, next: now.plus(REORDER_US), requests: 0 });
        }
    }

    /// A packet that had arrived was damaged: it is missing again and asked for at once.
    pub fn damaged(&mut self, sequence: u64, now: Time) {
        if self.missing.len() < MAX_MISSING {
            self.stats.missed += 1;
            self.missing.insert(sequence, Missing { since: now, next: now, requests: 0 });
        }
    }

    /// Calls `ask` with each sequence number (16 bits) to be requested now.
    pub fn due(&mut self, now: Time, ask: &mut dyn FnMut(u16)) {
        let stats = &mut self.stats;
        self.missing.retain(|sequence, missing| {
            if now.since(missing.since) > GIVE_UP_US || (missing.requests >= MAX_REQUESTS && missing.next <= now) {
                stats.given_up += 1;
                return false;
            }
            if missing.next <= now {
                missing.requests += 1;
                missing.next = now.plus(RETRY_US);
                stats.requests += 1;
                ask(*sequence as u16);
            }
            true
        });
    }

    /// Packets missing now.
    pub fn missing(&self) -> usize {
        self.missing.len()
    }

    /// Counters so far.
    pub fn stats(&self) -> &Stats {
        &self.stats
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
    fn asks_for_gaps_after_a_moment_and_again_after_a_round_trip() {
        let mut list = NackList::new();
        list.arrived(10, Time(0));
        list.arrived(13, Time(0));
        assert!(asked(&mut list, 1).is_empty());
        assert_eq!(asked(&mut list, 6), [11, 12]);
        assert!(asked(&mut list, 20).is_empty());
        list.arrived(11, Time::from_ms(30));
        assert_eq!(asked(&mut list, 70), [12]);
        assert_eq!(*list.stats(), Stats { missed: 2, repaired: 1, requests: 3, ..Stats::default() });
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
            list.due(Time::from_ms(i), &mut |_| {});
            assert!(list.missing() <= MAX_MISSING);
        }
        let s = *list.stats();
        assert_eq!(s.missed, s.arrived_late + s.repaired + s.given_up + list.missing() as u64);
        list.arrived(sequence + 1_000_000, Time::from_ms(60_000));
        assert_eq!(list.missing(), 0);
    }
}
