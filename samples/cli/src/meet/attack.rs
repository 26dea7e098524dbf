//! Whether a malicious relay was found out in time.

use conclave::gathering::relays::Any;

use super::sim::Sim;

/// What came of an attack.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Attacked {
    /// What it was.
    pub name: &'static str,
    /// What must follow.
    pub stated: &'static str,
    /// Whom it was done to.
    pub victims: usize,
    /// How many of them were told in time.
    pub told: usize,
    /// How long the last of those took, in milliseconds.
    pub latest_ms: u64,
}

impl Attacked {
    /// Nothing where the relay attacks nobody.
    pub fn of(sim: &mut Sim) -> Option<Self> {
        let Any::Malicious(relay) = sim.gathering.relay() else { return None };
        let (name, stated) = (relay.attack().name(), relay.stated());
        let victims: Vec<_> = relay.victims().iter().map(|(id, at)| (*id as usize, *at)).collect();
        let took = |(seat, hit): &(usize, conclave::time::Time)| {
            let alarms = &sim.watch.tracks.get(*seat)?.alarms;
            let (at, _) = alarms.iter().find(|(at, alarm)| at >= hit && stated.alarms.contains(alarm))?;
            Some(at.since(*hit)).filter(|took| *took <= stated.within_us)
        };
        let told: Vec<_> = victims.iter().filter_map(took).collect();
        let latest_ms = told.iter().max().map_or(0, |us| us / 1000);
        Some(Self { name, stated: stated.says, victims: victims.len(), told: told.len(), latest_ms })
    }
}
