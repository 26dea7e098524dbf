//! What came of the meeting: the figures, as text and as JSON.

use std::collections::BTreeMap;

use conclave::e2ee::group::{GroupSuite, MeetingType};
use conclave::gathering::alarm::Alarm;
use serde_json::Value;

use super::Args;
use super::attack::Attacked;
use super::bounds::{GAP_MS, KICK_MS, LEAVE_MS, PICTURE_MS, broken};
use super::sim::Sim;
use crate::table::Table;

/// The figures.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Outcome {
    pub people: u32,
    pub minutes: f64,
    pub churn: u32,
    pub seed: u64,
    pub relay: String,
    /// Where the keys come from.
    pub keys: &'static str,
    /// Who came once the meeting had begun, who went, and who was put out.
    pub joins: usize,
    pub leaves: usize,
    pub kicks: usize,
    /// From the first knock on.
    pub epochs: u64,
    pub bytes: Bytes,
    pub first_picture_ms: Spread,
    pub leave_window_ms: Spread,
    pub kick_window_ms: Spread,
    /// Packets of sound and pictures that were heard and seen, everybody's counted.
    pub heard: u64,
    pub seen: u64,
    pub longest_gap_ms: u64,
    pub roster: Roster,
    /// Of the host's last epoch.
    pub code: Option<String>,
    pub shield: Option<&'static str>,
    pub alarms: BTreeMap<Alarm, u64>,
    pub attack: Option<Attacked>,
    /// The bounds that did not hold.
    pub broken: Vec<String>,
}

/// Bytes over the wire.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Bytes {
    pub control_up: u64,
    pub control_down: u64,
    /// What was sent, before the relay gave it to everybody.
    pub media: u64,
}

/// Who was in at the end, by the host's tree.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Roster {
    pub count: usize,
    pub hosts: Vec<String>,
    /// The first of them.
    pub names: Vec<String>,
}

/// Several times, in milliseconds.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub struct Spread {
    pub count: usize,
    pub median: u64,
    pub max: u64,
}

/// What the simulation took.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Cost {
    pub wall_s: f64,
    pub cpu_s: f64,
}

/// Names that are printed.
const NAMES: usize = 8;

impl Spread {
    fn of(us: impl Iterator<Item = u64>) -> Self {
        let mut all: Vec<u64> = us.map(|us| us / 1000).collect();
        all.sort_unstable();
        let (median, max) = (all.get(all.len() / 2), all.last());
        Self { count: all.len(), median: median.copied().unwrap_or(0), max: max.copied().unwrap_or(0) }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.count {
            0 => write!(f, "none"),
            count => write!(f, "{} ms in the middle, {} at most, {count} times", self.median, self.max),
        }
    }
}

impl Outcome {
    /// What a meeting that is over comes to.
    pub fn of(args: &Args, mut sim: Sim) -> anyhow::Result<Self> {
        let attack = Attacked::of(&mut sim);
        let seats = sim.watch.tracks.len();
        let (up, down) = (0..seats)
            .map(|seat| sim.gathering.control_bytes(seat))
            .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let window = |kick: bool| {
            let leavers = sim.watch.leavers.iter().filter(move |leaver| leaver.kick == kick);
            Spread::of(leavers.map(|leaver| leaver.last.since(leaver.asked)))
        };
        let picture = |seat: &usize| {
            let track = sim.watch.tracks.get(*seat)?;
            Some(track.first_picture?.since(track.welcomed?))
        };
        let roster = sim.gathering.parties().next().and_then(|(_, host)| host.roster().cloned()).unwrap_or_default();
        let (code, shield) = match sim.gathering.party(0).filter(|host| host.own().is_some()) {
            Some(host) => (Some(host.code()?), Some(host.shield(&sim.rules).label())),
            None => (None, None),
        };
        let name = |member: &conclave::e2ee::Member| member.name.clone();
        let mut outcome = Self {
            people: args.people,
            minutes: args.minutes,
            churn: args.churn,
            seed: args.seed,
            relay: args.relay.name(),
            keys: match (args.meeting(), args.suite) {
                (MeetingType::Enhanced, _) => {
                    "fed as `EpochInput` by the service of an enhanced meeting; no group is played"
                }
                (_, GroupSuite::Hybrid) => "an MLS group of everybody, hybrid",
                (_, GroupSuite::Classical) => "an MLS group of everybody, classical",
            },
            joins: sim.late.len(),
            leaves: sim.watch.leavers.iter().filter(|leaver| !leaver.kick).count(),
            kicks: sim.watch.leavers.iter().filter(|leaver| leaver.kick).count(),
            epochs: sim.watch.epochs,
            bytes: Bytes { control_up: up, control_down: down, media: sim.watch.media_bytes },
            first_picture_ms: Spread::of(sim.late.iter().filter_map(picture)),
            leave_window_ms: window(false),
            kick_window_ms: window(true),
            heard: sim.watch.heard,
            seen: sim.watch.pictures,
            longest_gap_ms: sim.watch.gap_us / 1000,
            roster: Roster {
                count: roster.len(),
                hosts: roster.iter().filter(|member| member.role.rules()).map(name).collect(),
                names: roster.iter().take(NAMES).map(name).collect(),
            },
            code,
            shield,
            alarms: sim.watch.alarms(),
            attack,
            broken: Vec::new(),
        };
        outcome.broken = broken(&outcome, &sim, args.relay);
        Ok(outcome)
    }

    /// What one seed always gives: everything but the code, which follows from the group's own keys.
    #[cfg(test)]
    pub fn counters(&self) -> Value {
        let mut all = serde_json::to_value(self).unwrap_or_default();
        all["code"] = Value::Null;
        all
    }

    /// The figures as one object.
    pub fn json(&self, cost: &Cost) -> anyhow::Result<Value> {
        let mut all = serde_json::to_value(self)?;
        all["cost"] = serde_json::to_value(cost)?;
        Ok(all)
    }

    /// The figures for people.
    pub fn print(&self, cost: &Cost) {
        let mut table = Table::new(&["meeting", "measured", "bound"]);
        let mut row = |name: &str, measured: String, bound: &str| table.row(&[name, &measured, bound]);
        let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / 1_048_576.0);
        row("people", format!("{} at first, {} at the end", self.people, self.roster.count), "");
        row("keys", self.keys.into(), "");
        row("relay", self.relay.clone(), "");
        row("came, went, put out", format!("{}, {}, {}", self.joins, self.leaves, self.kicks), "");
        row("epochs", self.epochs.to_string(), "");
        row("control up", mib(self.bytes.control_up), "");
        row("control down", mib(self.bytes.control_down), "");
        row("media", mib(self.bytes.media), "");
        row("first picture", self.first_picture_ms.to_string(), &format!("{PICTURE_MS} ms"));
        row("window of a leaver", self.leave_window_ms.to_string(), &format!("{LEAVE_MS} ms"));
        row("window of one put out", self.kick_window_ms.to_string(), &format!("{KICK_MS} ms"));
        row("longest gap in sound", format!("{} ms", self.longest_gap_ms), &format!("{GAP_MS} ms"));
        let more = self.roster.count.saturating_sub(self.roster.names.len());
        let names = self.roster.names.join(", ");
        row("roster", if more > 0 { format!("{names} and {more} more") } else { names }, "");
        row("hosts", self.roster.hosts.join(", "), "");
        row("code", self.code.clone().unwrap_or_else(|| "none: the host is out".into()), "");
        row("shield", self.shield.unwrap_or("none: the host is out").into(), "");
        println!("{table}");
        if self.alarms.is_empty() {
            println!("no alarm");
        }
        for (alarm, count) in &self.alarms {
            println!("alarm, {count} times: {}", alarm.says());
        }
        if let Some(attack) = &self.attack {
            println!("attack {}: {}", attack.name, attack.stated);
            println!("  {} of {} told in time, the last after {} ms", attack.told, attack.victims, attack.latest_ms);
        }
        for sentence in &self.broken {
            println!("broken: {sentence}");
        }
        println!("seed {}: {:.1} s of processor time, {:.1} s in all", self.seed, cost.cpu_s, cost.wall_s);
    }
}
