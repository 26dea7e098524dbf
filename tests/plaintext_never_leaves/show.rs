//! A meeting that is tapped: who is in it, what they send, and that the others get it.

use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};

use conclave::codecs::{AudioInput, Size, opus};
use conclave::data::{self, Topic};
use conclave::e2ee::Context;
use conclave::e2ee::group::{self, Device};
use conclave::encode::Framing;
use conclave::frame::{Encoded, Kind};
use conclave::gathering::{Audience, Config, Gathering, Word};
use conclave::party::{self, Event, Party, PartyError, stream_id};
use conclave::relay::Relay;
use conclave::time::Time;

use crate::media::{Sound, Video, buffer};
use crate::tap::Tap;

pub const SIZE: Size = Size { width: 1280, height: 720 };

/// Who watches: the tap, and those who admit and hear.
#[derive(Default)]
pub struct Room {
    pub tap: Tap,
    /// What was said, by its hash.
    said: HashSet<u64>,
    /// Frames of each kind that came out of a receiver as they went in, by seat.
    pub got: HashMap<(usize, Kind), usize>,
    pub chats: usize,
    pub events: Vec<(usize, group::Event)>,
    ticks: u64,
}

impl Room {
    /// A frame is about to be handed to its sender.
    pub fn about_to_send(&mut self, frame: &Encoded) {
        self.tap.conceal(frame.payload.as_slice());
        self.tap.conceal_structure(frame.structure.as_slice());
        self.said.insert(hash(frame.payload.as_slice()));
    }

    fn take(&mut self, seat: usize, kind: Kind, payload: &[u8]) {
        assert!(self.said.contains(&hash(payload)), "what comes out is what went in");
        *self.got.entry((seat, kind)).or_default() += 1;
    }
}

impl Audience for Room {
    fn sent(&mut self, seat: usize, word: Word<'_>, now: Time) {
        self.tap.sent(seat, word, now);
    }

    fn ticked(&mut self, seat: usize, party: &mut Party, now: Time) {
        while let Some(event) = party.event() {
            match event {
                Event::Group(group::Event::Knock { key_package, .. }) if seat == 0 => {
                    party.group().unwrap().admit(&key_package, now).unwrap();
                }
                Event::Group(event) => self.events.push((seat, event)),
                Event::Data(data::Event::Message(_)) => self.chats += 1,
                Event::Proof(_, event) => assert!(!event.why.is_alarm(), "{event:?}"),
                _ => {}
            }
        }
        self.ticks += u64::from(seat == 0);
        let play = self.ticks % 2 == 0;
        for (_, receiver) in party.heard() {
            while let Some((_, opened)) = receiver.video(now) {
                self.take(seat, Kind::Camera, opened.payload.as_slice());
                receiver.recycle(opened);
            }
            while let Some((_, opened)) = receiver.screen(now) {
                self.take(seat, Kind::Screen, opened.payload.as_slice());
                receiver.recycle(opened);
            }
            if play {
                let mut take = |kind, input: AudioInput<'_>| {
                    if let AudioInput::Packet(packet) = input {
                        self.take(seat, kind, packet);
                    }
                    Ok(960)
                };
                receiver.audio(now, &mut |input: AudioInput<'_>| take(Kind::Microphone, input)).unwrap();
                receiver.screen_audio(now, &mut |input: AudioInput<'_>| take(Kind::ScreenAudio, input)).unwrap();
            }
        }
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// What a seat sends of one kind.
pub enum Source {
    Video(Video),
    Sound(Sound),
}

/// The meeting.
pub struct Show {
    pub gathering: Gathering,
    pub room: Room,
    sources: Vec<(usize, Kind, Source)>,
    settings: party::Config,
}

/// What became of the frames of a while.
#[derive(Debug, Default)]
pub struct Played {
    pub sent: usize,
    pub refused: Vec<String>,
}

impl Show {
    /// Seat 0 founds it; `group` says what kind it is.
    pub fn found(network: Config, group: group::Config) -> Self {
        let kinds = [Kind::Microphone, Kind::Camera, Kind::Screen, Kind::ScreenAudio];
        let mut settings = party::Config::new(group);
        (settings.sends, settings.hears) = (kinds.to_vec(), kinds.to_vec());
        let (gathering, room) = (Gathering::new(network, Relay::new()), Room::default());
        let mut show = Self { gathering, room, sources: vec![], settings };
        let (device, settings) = (show.device("the founder's name, which is in no message"), show.settings.clone());
        show.gathering.sit(&mut show.room, |now, out| Party::found(&device, settings, now, out)).unwrap();
        show
    }

    fn device(&mut self, name: &str) -> Device {
        self.room.tap.conceal_name(name);
        Device::generate(name).unwrap()
    }

    /// Somebody knocks; seat 0 lets in whoever does.
    pub fn knock(&mut self, name: &str) -> usize {
        let (device, settings) = (self.device(name), self.settings.clone());
        self.gathering.sit(&mut self.room, |_, out| Party::knock(&device, settings, out)).unwrap()
    }

    /// A seat turns on its microphone and its camera.
    pub fn speak(&mut self, seat: usize) {
        let sound = Sound::open(Kind::Microphone, opus::Config::default(), seat as u64);
        self.start(seat, Kind::Microphone, Source::Sound(sound));
        self.start(seat, Kind::Camera, Source::Video(Video::open(Kind::Camera, SIZE, seat as u64)));
    }

    /// A seat sends this from now on, in place of what it sent of that kind before.
    pub fn start(&mut self, seat: usize, kind: Kind, source: Source) {
        self.stop(seat, kind);
        self.sources.push((seat, kind, source));
    }

    /// A seat sends no more of a kind.
    pub fn stop(&mut self, seat: usize, kind: Kind) {
        self.sources.retain(|(at, of, _)| (*at, *of) != (seat, kind));
    }

    fn source(&mut self, seat: usize, kind: Kind) -> &mut Source {
        let found = self.sources.iter_mut().find(|(at, of, _)| (*at, *of) == (seat, kind));
        &mut found.expect("it is sent").2
    }

    pub fn video(&mut self, seat: usize, kind: Kind) -> &mut Video {
        match self.source(seat, kind) {
            Source::Video(video) => video,
            Source::Sound(_) => panic!("no video"),
        }
    }

    pub fn sound(&mut self, seat: usize, kind: Kind) -> &mut Sound {
        match self.source(seat, kind) {
            Source::Sound(sound) => sound,
            Source::Video(_) => panic!("no sound"),
        }
    }

    /// Everybody who sends does so for `ms` milliseconds.
    pub fn play(&mut self, ms: u64) -> Played {
        let mut played = Played::default();
        let end = self.gathering.now().plus(ms * 1000);
        while self.gathering.now() < end {
            let now = self.gathering.now();
            let pictures = now.0 / 20_000 % 2 == 0;
            for (seat, kind, source) in &mut self.sources {
                let frame = match source {
                    Source::Video(_) if !pictures => continue,
                    Source::Video(video) => {
                        video.next(self.gathering.party(*seat).is_some_and(|party| wants_key(party, *kind)), now)
                    }
                    Source::Sound(sound) => sound.next(now),
                };
                self.room.about_to_send(&frame);
                match (self.gathering.frame(*seat, frame, &mut self.room), source) {
                    (Ok(()), _) => played.sent += 1,
                    (Err(why), source) => {
                        played.refused.push(why.to_string());
                        if let Source::Video(video) = source {
                            video.lost();
                        }
                    }
                }
            }
            self.gathering.run(now.plus(20_000), &mut self.room);
        }
        played
    }

    /// A seat writes a line.
    pub fn chat(&mut self, seat: usize, text: &str) {
        self.room.tap.conceal(text.as_bytes());
        self.gathering.party(seat).unwrap().say(Topic::Chat, text.as_bytes()).unwrap();
    }

    /// Hands one frame to a seat that has nobody to seal it for it.
    pub fn try_frame(&mut self, seat: usize) -> PartyError {
        let now = self.gathering.now();
        let frame =
            Framing::audio(0, Kind::Microphone).frame(buffer(&b"an early word ".repeat(9)), <_>::default(), now);
        self.room.about_to_send(&frame);
        self.gathering.frame(seat, frame, &mut self.room).expect_err("nobody seals it")
    }

    /// Members, by seat 0.
    pub fn members(&mut self) -> usize {
        self.gathering.party(0).and_then(|party| party.roster()).map_or(0, |roster| roster.len())
    }
}

fn wants_key(party: &Party, kind: Kind) -> bool {
    let edge = party.own().and_then(|own| party.sender()?.edge_of(stream_id(own, Context::of(kind))));
    edge.is_some_and(|edge| edge.take().keyframe)
}
