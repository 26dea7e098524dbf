//! Where pictures come from: a whole meeting in this process. Every participant captures, encodes, seals and sends on
//! threads of its own ([`conclave::drive`]); the viewer receives, opens and decodes each of them.

use std::path::PathBuf;
use std::time::Duration;

use conclave::audio::active::Active;
use conclave::codecs::{Color, Picture, Size};
use conclave::drive::Event;
use conclave::ledger::Stage;
use conclave::meeting::shield::Shield;
use conclave::stats::{Cause, Drops, Percentiles, StageStats};
use conclave::time::Clock;

use crate::keys::Group;
use crate::overlay::{Ledger, Person};
use crate::seat::{self, Seat};

/// The lower end of the level meter.
const LOWEST_DBFS: f32 = -50.0;
/// Who spoke last is not marked below it.
const QUIET_DBFS: f32 = -35.0;

/// What is shown.
#[derive(Clone, Debug)]
pub enum Input {
    /// The rendered scene, a different person each.
    Scene,
    /// A file, over and over.
    File(PathBuf),
    /// Colour bars in the colour of [`Config::color`], at a fine quantizer.
    Bars,
}

/// A meeting.
#[derive(Clone, Debug)]
pub struct Config {
    /// What everybody's camera sees.
    pub input: Input,
    /// Participants, 1 to [`MOST`].
    pub people: usize,
    /// Size of the encoded pictures; a file keeps its aspect within the height.
    pub size: Size,
    /// Frames a second.
    pub fps: u32,
    /// Matrix and range of the encoded pictures.
    pub color: Color,
}

/// Participants at most: as many tiles as a window shows.
pub const MOST: usize = 49;

/// See the module. Dropping it ends every thread.
pub struct Meeting {
    seats: Vec<Seat>,
    group: Group,
    clock: Clock,
    stages: StageStats,
    shown: u64,
    speakers: Active<usize>,
}

/// What a meeting came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// Pictures that reached the screen.
    pub shown: u64,
    /// Lost at any border: pictures that a newer one displaced, frames, datagrams.
    pub dropped: u64,
    /// Packets of sound that were not listened to in time.
    pub silent: u64,
    /// From capture to the moment after presenting.
    pub total: Option<Percentiles>,
}

impl Meeting {
    /// Everybody is in the group and sends when it returns.
    ///
    /// # Errors
    /// The input cannot be read, or no encoder opens.
    pub fn start(config: &Config) -> anyhow::Result<Self> {
        anyhow::ensure!((1..=MOST).contains(&config.people), "a meeting here has 1 to {MOST} people");
        anyhow::ensure!((1..=120).contains(&config.fps), "--fps is 1 to 120");
        let names: Vec<String> = (0..config.people).map(seat::name).collect();
        let (group, rings) = Group::gather(&names)?;
        let clock = group.clock();
        let seats = names.into_iter().zip(rings).enumerate();
        let seats = seats.map(|(at, (name, rings))| Seat::open(config, at, name, rings, clock));
        Ok(Self {
            seats: seats.collect::<anyhow::Result<_>>()?,
            group,
            clock,
            stages: StageStats::new(),
            shown: 0,
            speakers: Active::new(),
        })
    }

    /// Takes what has arrived; `true` where there is a picture that was not drawn.
    pub fn pull(&mut self) -> bool {
        self.group.turn();
        let (now, speakers, mut fresh) = (self.clock.now(), &mut self.speakers, false);
        for (at, seat) in self.seats.iter_mut().enumerate() {
            fresh |= seat.pull(|dbfs, long_us| speakers.hear(at, dbfs, long_us, now));
        }
        speakers.look(now);
        fresh
    }

    /// Gives every picture that was not given yet, with its place, to `take`, and all of them where `again`.
    pub fn pictures(&mut self, again: bool, mut take: impl FnMut(usize, &Picture)) {
        for (slot, seat) in self.seats.iter_mut().enumerate() {
            if let Some(shown) = seat.shown.as_ref().filter(|_| seat.fresh || again) {
                take(slot, &shown.picture);
            }
        }
    }

    /// What was given is on the screen now.
    pub fn presented(&mut self) {
        let now = self.clock.now();
        for seat in &mut self.seats {
            let fresh = std::mem::take(&mut seat.fresh);
            let Some(shown) = seat.shown.as_mut().filter(|_| fresh) else { continue };
            shown.ledger.stamp(Stage::Render, now);
            self.stages.record(&shown.ledger);
            self.stages.record_total(now.since(shown.captured));
            seat.count += 1;
            self.shown += 1;
        }
    }

    /// Pictures shown of whom the fewest were.
    pub fn fewest(&self) -> u64 {
        self.seats.iter().map(|seat| seat.count).min().unwrap_or(0)
    }

    /// The tiles.
    pub fn people(&self) -> Vec<Person> {
        let person = |(at, seat): (usize, &Seat)| Person {
            name: seat.name.clone(),
            picture: seat.shown.as_ref().map(|shown| shown.picture.size()),
            level: ((seat.meter.dbfs() - LOWEST_DBFS) / -LOWEST_DBFS).clamp(0.0, 1.0),
            speaking: self.speakers.active() == Some(at) && seat.meter.dbfs() > QUIET_DBFS,
        };
        self.seats.iter().enumerate().map(person).collect()
    }

    /// What protects the meeting at this moment.
    pub fn shield(&self) -> Shield {
        self.group.shield()
    }

    /// Where the time goes: of the stages before the network, which each participant has of its own, the slowest's.
    pub fn ledger(&mut self) -> Ledger {
        let mut rows: Vec<(&'static str, u64, u64)> = Vec::new();
        for seat in &mut self.seats {
            for (name, spent) in seat.sending.stats().latency.rows() {
                match rows.iter_mut().find(|row| row.0 == name) {
                    Some(row) => (row.1, row.2) = (row.1.max(spent.p50), row.2.max(spent.p95)),
                    None => rows.push((name, spent.p50, spent.p95)),
                }
            }
        }
        rows.extend(self.stages.latency().rows().map(|(name, spent)| (name, spent.p50, spent.p95)));
        let figures = self.figures();
        let notes = vec![format!("{} shown, {} dropped", figures.shown, figures.dropped)];
        Ledger { rows, notes }
    }

    /// The figures so far.
    pub fn figures(&mut self) -> Figures {
        let mut drops = Drops::default();
        for Seat { sending, receiving, .. } in &mut self.seats {
            drops.merge(&sending.stats().drops());
            drops.merge(&receiving.stats().drops());
        }
        let silent = drops.of(Cause::PlayoutFull);
        Figures { shown: self.shown, dropped: drops.total() - silent, silent, total: self.stages.latency().total }
    }

    /// Takes what went wrong since it was last asked.
    pub fn troubles(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        for Seat { name, sending, receiving, .. } in &mut self.seats {
            let next = || sending.event(Duration::ZERO).or_else(|_| receiving.event(Duration::ZERO)).ok();
            let events = std::iter::from_fn(next);
            all.extend(events.filter_map(|event| match event {
                Event::Failed(role, why) => Some(format!("{name}, {role}: {why}")),
                _ => None,
            }));
        }
        all
    }
}
