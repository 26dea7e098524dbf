//! People in a gathering: who admits, who speaks, what each of them hears, for the tests of meetings.
#![allow(dead_code)]

use std::collections::{BTreeMap, BTreeSet, HashMap};

use conclave::codecs::{AudioInput, EncodedInfo, Size};
use conclave::data::Peer;
use conclave::e2ee::group::{self, Device};
use conclave::e2ee::{Context, proof};
use conclave::encode::Framing;
use conclave::frame::{Buffer, Encoded, Kind};
use conclave::gathering::{Audience, Config, Gathering, Word};
use conclave::party::{self, Event, Party, stream_id};
use conclave::relay::Relay;
use conclave::time::Time;

/// What every frame says, so that plaintext is found wherever it is.
pub const CANARY: &[u8] = b"canary: nobody but members hears this";

/// What one person has seen and heard.
#[derive(Default)]
pub struct Person {
    pub events: Vec<(Time, Event)>,
    /// Numbers of the packets of sound heard, by who said them, and when.
    pub sound: BTreeMap<Peer, Vec<(u64, Time)>>,
    /// Numbers of the pictures that could be decoded, by who sent them, and when.
    pub pictures: BTreeMap<Peer, Vec<(u64, Time)>>,
    /// Those of screens.
    pub screens: BTreeMap<Peer, Vec<(u64, Time)>>,
    /// Lets in whoever knocks.
    pub admits: bool,
    ticks: u64,
}

impl Person {
    pub fn proofs(&self) -> impl Iterator<Item = (Time, Peer, proof::Why)> {
        self.events.iter().filter_map(|(at, event)| match event {
            Event::Proof(peer, event) => Some((*at, *peer, event.why)),
            _ => None,
        })
    }

    pub fn group(&self) -> impl Iterator<Item = (Time, &group::Event)> {
        self.events.iter().filter_map(|(at, event)| match event {
            Event::Group(event) => Some((*at, event)),
            _ => None,
        })
    }

    /// When each epoch came.
    pub fn epochs(&self) -> impl Iterator<Item = (Time, u64)> {
        self.events.iter().filter_map(|(at, event)| match event {
            Event::Epoch { epoch, .. } => Some((*at, *epoch)),
            _ => None,
        })
    }
}

/// Everybody, as the gathering's audience.
#[derive(Default)]
pub struct People {
    pub people: Vec<Person>,
    /// Everything that went over the wire, where it is kept.
    pub wire: Option<Vec<(Time, usize, Vec<u8>)>>,
    /// Control messages and their bytes.
    pub control: (u64, u64),
    /// Who takes what was heard; the others let it pass, which saves time.
    pub listeners: Option<BTreeSet<usize>>,
}

impl Audience for People {
    fn sent(&mut self, seat: usize, word: Word<'_>, now: Time) {
        let bytes = match word {
            Word::Control(bytes) => {
                self.control.0 += 1;
                self.control.1 += bytes.len() as u64;
                bytes
            }
            Word::Datagram(bytes) => bytes,
        };
        if let Some(wire) = &mut self.wire {
            wire.push((now, seat, bytes.to_vec()));
        }
    }

    fn ticked(&mut self, seat: usize, party: &mut Party, now: Time) {
        if self.people.len() <= seat {
            self.people.resize_with(seat + 1, Person::default);
        }
        let person = &mut self.people[seat];
        while let Some(event) = party.event() {
            if let (true, Event::Group(group::Event::Knock { key_package, .. })) = (person.admits, &event) {
                party.plane().unwrap().admit(key_package, now).unwrap();
            }
            person.events.push((now, event));
        }
        person.ticks += 1;
        let play = person.ticks.is_multiple_of(2);
        for (peer, receiver) in party.heard() {
            while let Some((_, opened)) = receiver.video(now) {
                person.pictures.entry(peer).or_default().push((number(opened.payload.as_slice()), now));
                receiver.recycle(opened);
            }
            while let Some((_, opened)) = receiver.screen(now) {
                person.screens.entry(peer).or_default().push((number(opened.payload.as_slice()), now));
                receiver.recycle(opened);
            }
            // One packet of 20 ms at every second tick.
            if play {
                let heard = person.sound.entry(peer).or_default();
                let mut take = |input: AudioInput<'_>| {
                    if let AudioInput::Packet(bytes) = input {
                        heard.push((number(bytes), now));
                    }
                    Ok(960)
                };
                receiver.audio(now, &mut take).unwrap();
            }
        }
    }
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes[..8].try_into().unwrap())
}

fn payload(number: u64, len: usize) -> Buffer {
    let mut payload = Buffer::with_capacity(len.max(64));
    let bytes = payload.tail();
    bytes.extend_from_slice(&number.to_be_bytes());
    bytes.extend_from_slice(CANARY);
    let end = bytes.len() - 8 - CANARY.len() + len.max(64);
    bytes.resize(end, 0x55);
    payload
}

/// Packet `number` of sound.
pub fn sound(number: u64, now: Time) -> Encoded {
    let info = EncodedInfo { frame: number, keyframe: true, ..EncodedInfo::default() };
    Framing::audio(0, Kind::Microphone).frame(payload(number, 80), info, now)
}

/// Picture `number` since the last key frame of a camera or a screen; 0 is a key frame.
pub fn picture(kind: Kind, number: u64, since_key: u64, now: Time) -> Encoded {
    let mut info = EncodedInfo { frame: number, keyframe: since_key == 0, ..EncodedInfo::default() };
    if since_key > 0 {
        (info.dependencies[0], info.dependency_count) = (1, 1);
    }
    let len = if since_key == 0 { 6_000 } else { 1_500 };
    Framing::video(0, kind, Size::new(64, 64)).frame(payload(number, len), info, now)
}

/// A meeting with its people.
pub struct Meeting {
    pub gathering: Gathering,
    pub people: People,
    pub settings: party::Config,
    cameras: HashMap<(usize, Kind), (u64, u64)>,
}

impl Meeting {
    /// Seat 0 founds it and admits whoever knocks.
    pub fn found(config: Config, settings: party::Config, relay: Relay) -> Self {
        let mut meeting = Self {
            gathering: Gathering::new(config, relay),
            people: People::default(),
            settings,
            cameras: HashMap::new(),
        };
        let settings = meeting.settings.clone();
        let device = Device::generate("host").unwrap();
        let founded = meeting.gathering.sit(&mut meeting.people, |now, out| Party::found(&device, settings, now, out));
        assert_eq!(founded.unwrap(), 0);
        meeting.people.people.push(Person { admits: true, ..Person::default() });
        meeting
    }

    /// Somebody knocks; returns the seat.
    pub fn knock(&mut self, name: &str) -> usize {
        self.knock_with(&Device::generate(name).unwrap())
    }

    pub fn knock_with(&mut self, device: &Device) -> usize {
        let settings = self.settings.clone();
        self.gathering.sit(&mut self.people, |_, out| Party::knock(device, settings, out)).unwrap()
    }

    /// `count` people in all, all let in.
    pub fn fill(&mut self, count: usize) {
        for seat in self.people.people.len().max(1)..count {
            assert_eq!(self.knock(&format!("guest {seat}")), seat);
        }
        let end = self.now().plus(60_000_000);
        while self.members() < count && self.now() < end {
            self.run(100);
        }
        assert_eq!(self.members(), count, "all are let in");
    }

    /// How many are in, by the tree of the host, once all of them know it.
    pub fn members(&self) -> usize {
        let mut rosters = self.gathering.parties().filter_map(|(_, party)| Some(party.roster()?.len()));
        let first = rosters.next().unwrap_or(0);
        let all = self.gathering.parties().filter(|(_, party)| party.roster().is_some_and(|r| r.len() == first));
        if all.count() == first { first } else { 0 }
    }

    pub fn now(&self) -> Time {
        self.gathering.now()
    }

    /// Plays `ms` milliseconds in silence.
    pub fn run(&mut self, ms: u64) {
        let until = self.now().plus(ms * 1000);
        self.gathering.run(until, &mut self.people);
    }

    /// Plays `ms` milliseconds in which each of `speakers` sends a packet of sound every 20 ms, and a picture of each of
    /// `videos` every 40 ms. Sound is numbered by the time at which it was said, in units of 20 ms.
    pub fn talk(&mut self, ms: u64, speakers: &[usize], videos: &[Kind]) {
        let end = self.now().plus(ms * 1000);
        while self.now() < end {
            let (now, slot) = (self.now(), self.now().0 / 20_000);
            for seat in speakers {
                // A speaker whose sending has been stopped says nothing.
                let _ = self.gathering.frame(*seat, sound(slot, now), &mut self.people);
                for kind in videos.iter().filter(|_| slot % 2 == 0) {
                    let (frame, since_key) = self.cameras.entry((*seat, *kind)).or_insert((0, 0));
                    if self.gathering.party(*seat).is_some_and(|party| wants_keyframe(party, *kind)) {
                        *since_key = 0;
                    }
                    let sent = self.gathering.frame(*seat, picture(*kind, *frame, *since_key, now), &mut self.people);
                    if sent.is_ok() {
                        (*frame, *since_key) = (*frame + 1, *since_key + 1);
                    }
                }
            }
            self.gathering.run(now.plus(20_000), &mut self.people);
        }
    }

    pub fn peer(&mut self, seat: usize) -> Peer {
        self.gathering.party(seat).and_then(|party| party.own()).expect("is in")
    }

    /// Numbers of the sound of `from` that `at` heard, sorted.
    pub fn heard(&mut self, at: usize, from: usize) -> Vec<u64> {
        let peer = self.peer(from);
        let mut numbers: Vec<u64> =
            self.people.people[at].sound.get(&peer).into_iter().flatten().map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        numbers
    }
}

/// Whether the encoder of a kind is asked for a key frame; asking takes the wish.
fn wants_keyframe(party: &Party, kind: Kind) -> bool {
    let edge = party.own().and_then(|own| party.sender()?.edge_of(stream_id(own, Context::of(kind))));
    edge.is_some_and(|edge| edge.take().keyframe)
}
