//! A meeting as apps hold it: [`conclave::meeting::Meeting`]s in a gathering, and what each of them was told.
#![allow(dead_code)]

use conclave::data::Peer;
use conclave::e2ee::group::{self, Device};
use conclave::e2ee::{IdentityKey, Member};
use conclave::gathering::{self, Audience, Gathering, Word};
use conclave::meeting::{Alarm, Config, Event, Meeting};
use conclave::party;
use conclave::relay::Relay;
use conclave::time::Time;

use crate::people::sound;

/// What each was told, by seat.
#[derive(Default)]
pub struct Told(pub Vec<Vec<(Time, Event)>>);

impl Audience<Meeting> for Told {
    fn sent(&mut self, _seat: usize, _word: Word<'_>, _now: Time) {}

    fn ticked(&mut self, seat: usize, meeting: &mut Meeting, now: Time) {
        if self.0.len() <= seat {
            self.0.resize_with(seat + 1, Vec::new);
        }
        self.0[seat].extend(std::iter::from_fn(|| meeting.event()).map(|event| (now, event)));
        for (_, receiver) in meeting.party().heard() {
            while let Some((_, opened)) = receiver.video(now) {
                receiver.recycle(opened);
            }
            let _ = receiver.audio(now, &mut |_| Ok(960));
        }
    }
}

pub struct Room {
    pub gathering: Gathering<Meeting>,
    pub told: Told,
    pub config: Config,
}

/// A group that is quick to key.
pub fn config() -> Config {
    Config::new(party::Config::new(group::Config::new(b"a meeting").classical()))
}

impl Room {
    /// Seat 0 founds it.
    pub fn found(mut config: Config) -> Self {
        let relay = Relay::with_key(&[42; 32]).unwrap();
        config.party.group.relay_key = relay.public_key();
        let mut room =
            Self { gathering: Gathering::new(gathering::Config::default(), relay), told: Told::default(), config };
        let (host, config) = (Device::generate("host").unwrap(), room.config.clone());
        room.config.party.group.host = Some(host.identity());
        let founded = room.gathering.sit(&mut room.told, |now, out| Meeting::found(&host, config, now, out));
        assert_eq!(founded.unwrap(), 0);
        room
    }

    /// With `count` people in.
    pub fn of(count: usize, config: Config) -> Self {
        let mut room = Self::found(config);
        (1..count).for_each(|seat| assert_eq!(room.knock(&format!("guest {seat}")), seat));
        room.run(3_000);
        (0..count).for_each(|seat| assert_eq!(room.roster(seat).len(), count, "all are let in"));
        room.told.0.iter_mut().for_each(Vec::clear);
        room
    }

    pub fn knock(&mut self, name: &str) -> usize {
        self.knock_with(&Device::generate(name).unwrap(), self.config.clone())
    }

    pub fn knock_with(&mut self, device: &Device, config: Config) -> usize {
        self.gathering.sit(&mut self.told, |_, out| Meeting::knock(device, config, out)).unwrap()
    }

    pub fn at(&mut self, seat: usize) -> &mut Meeting {
        self.gathering.party(seat).expect("is there")
    }

    pub fn now(&self) -> Time {
        self.gathering.now()
    }

    pub fn run(&mut self, ms: u64) {
        let until = self.now().plus(ms * 1000);
        self.gathering.run(until, &mut self.told);
    }

    /// Plays `ms` milliseconds in which `speakers` say something every 20 ms.
    pub fn talk(&mut self, ms: u64, speakers: &[usize]) {
        let end = self.now().plus(ms * 1000);
        while self.now() < end {
            for seat in speakers {
                let frame = sound(self.now().0 / 20_000, self.now());
                let _ = self.gathering.frame(*seat, frame, &mut self.told);
            }
            self.gathering.run(self.now().plus(20_000), &mut self.told);
        }
    }

    /// Names of those in, by leaf.
    pub fn roster(&mut self, seat: usize) -> Vec<String> {
        let rows = self.at(seat).roster().into_iter();
        rows.filter(|row| row.may_decrypt_until.is_none()).map(|row| row.member.name).collect()
    }

    pub fn member(&mut self, seat: usize) -> Member {
        let rows = self.at(seat).roster();
        rows.into_iter().find(|row| row.own).expect("is in").member
    }

    pub fn identity(&mut self, seat: usize) -> IdentityKey {
        self.member(seat).identity
    }

    pub fn peer(&mut self, seat: usize) -> Peer {
        self.at(seat).own().expect("is in")
    }

    /// What a seat was told since it was last asked.
    pub fn events(&mut self, seat: usize) -> Vec<Event> {
        let told = self.told.0.get_mut(seat).map(std::mem::take).unwrap_or_default();
        told.into_iter().map(|(_, event)| event).collect()
    }

    /// Of that the alarms.
    pub fn alarms(&mut self, seat: usize) -> Vec<Alarm> {
        let alarm = |event| if let Event::Alarm(alarm) = event { Some(alarm) } else { None };
        self.events(seat).into_iter().filter_map(alarm).collect()
    }

    /// Nobody has anything to be alarmed about.
    pub fn assert_calm(&mut self) {
        for seat in 0..self.told.0.len() {
            assert_eq!(self.alarms(seat), [], "seat {seat}");
        }
    }
}
