//! A relay that loses messages, as one does whose connections break: what is lost is told by the order of the rest, and
//! whoever misses a commit stops and goes inside the bounds of [`crate::e2ee::group::heartbeat`].

use crate::relay::{Connection, Delivery, Hub, Relay};
use crate::time::Time;

/// Of so many messages one is lost.
pub const ONE_IN: u32 = 50;
/// Of so many connections one loses any, the founder's never.
pub const SEATS: u64 = 3;

/// See the module.
pub struct Dropping {
    relay: Relay,
    random: fastrand::Rng,
    lost: u64,
}

impl Dropping {
    /// What is lost follows from `seed`.
    pub fn new(seed: u64) -> Self {
        Self { relay: Relay::new(), random: fastrand::Rng::with_seed(seed ^ 0xd0_0000), lost: 0 }
    }

    /// How many messages it has lost.
    pub fn lost(&self) -> u64 {
        self.lost
    }
}

impl Hub for Dropping {
    fn connect(&mut self, id: Connection) {
        self.relay.connect(id);
    }

    fn disconnect(&mut self, id: Connection) {
        self.relay.disconnect(id);
    }

    fn message(&mut self, from: Connection, message: &[u8], _now: Time) -> Vec<Delivery> {
        let mut deliveries = self.relay.message(from, message).unwrap_or_default();
        deliveries.retain(|(to, _)| {
            let lost = to % SEATS == 1 && self.random.u32(..ONE_IN) == 0;
            self.lost += u64::from(lost);
            !lost
        });
        deliveries
    }

    fn tick(&mut self, _now: Time) -> Vec<Delivery> {
        vec![]
    }
}
