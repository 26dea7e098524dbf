//! An honest relay that takes its time: each message stays with it for a while, and none overtakes another.

use std::collections::VecDeque;

use crate::relay::{Connection, Delivery, Hub, Relay};
use crate::time::Time;

/// Microseconds that it keeps a message at least.
pub const DELAY_US: u64 = 50_000;
/// Microseconds more at most, at random.
pub const JITTER_US: u64 = 100_000;

/// See the module.
pub struct Slow {
    relay: Relay,
    random: fastrand::Rng,
    /// When what is to be handed on is due, in order.
    waiting: VecDeque<(Time, Vec<Delivery>)>,
}

impl Slow {
    /// Its delays follow from `seed`.
    pub fn new(seed: u64) -> Self {
        let random = fastrand::Rng::with_seed(seed ^ 0x51_0000);
        Self { relay: Relay::new(), random, waiting: VecDeque::new() }
    }
}

impl Hub for Slow {
    fn connect(&mut self, id: Connection) {
        self.relay.connect(id);
    }

    fn disconnect(&mut self, id: Connection) {
        self.relay.disconnect(id);
    }

    fn message(&mut self, from: Connection, message: &[u8], now: Time) -> Vec<Delivery> {
        let deliveries = self.relay.message(from, message).unwrap_or_default();
        let due = now.plus(DELAY_US + self.random.u64(..=JITTER_US));
        let after = self.waiting.back().map_or(due, |(last, _)| due.max(*last));
        self.waiting.push_back((after, deliveries));
        vec![]
    }

    fn tick(&mut self, now: Time) -> Vec<Delivery> {
        let mut out = vec![];
        while let Some((_, deliveries)) = self.waiting.pop_front_if(|(due, _)| *due <= now) {
            out.extend(deliveries);
        }
        out
    }
}
