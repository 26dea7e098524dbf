//! A meeting of test doubles in virtual time, for the tests of behaviour under loss.
#![allow(dead_code)]

use std::collections::HashMap;
use std::hash::Hasher;

use conclave::capture::{SceneVoice, Still};
use conclave::codecs::{self, Picture, Session, Size, opus, raw};
use conclave::e2ee::StaticKeys;
use conclave::frame::{Encoded, Kind};
use conclave::gpu::Converter;
use conclave::ledger::Ledger;
use conclave::netem;
use conclave::receive::{self, Heard, Receiver};
use conclave::rehearsal::{Cast, Observer, Rehearsal};
use conclave::send::{self, Sender};
use conclave::time::{Stopwatch, Time};
use conclave::{decode, encode};

pub const VIDEO: u32 = 1;
pub const AUDIO: u32 = 2;

/// Two members of one group: the sender's keys and the receiver's.
pub fn keys() -> (StaticKeys, StaticKeys) {
    let secret: [u8; 32] = std::array::from_fn(|i| i as u8);
    let (mut ours, mut theirs) = (StaticKeys::new(&secret, 0).unwrap(), StaticKeys::new(&secret, 1).unwrap());
    ours.admit(1).unwrap();
    theirs.admit(0).unwrap();
    (ours, theirs)
}

pub fn streams() -> Vec<send::Stream> {
    vec![
        send::Stream { id: VIDEO, kind: Kind::Camera, payload_type: 96 },
        send::Stream { id: AUDIO, kind: Kind::Microphone, payload_type: 111 },
    ]
}

pub fn receiver(keys: StaticKeys) -> Receiver {
    let config = receive::Config {
        video: Some((VIDEO, Kind::Camera)),
        audio: Some((AUDIO, Kind::Microphone)),
        ..receive::Config::default()
    };
    Receiver::new(config, Box::new(keys))
}

/// `seconds` of 30 pictures a second over `uplink`, with doubles for the codecs.
pub fn meeting(seconds: u64, uplink: netem::Config) -> Rehearsal {
    Rehearsal::new(cast(seconds, uplink, streams()))
}

/// Who plays in a meeting; `streams` are the sender's.
pub fn cast(seconds: u64, uplink: netem::Config, streams: Vec<send::Stream>) -> Cast {
    let (ours, theirs) = keys();
    let (size, watch) = (Size::new(64, 48), Stopwatch::still());
    let config = codecs::Config { size, ..codecs::Config::default() };
    let encoder = codecs::open_encoder("raw", config, Session::Live).unwrap();
    let stage = encode::VideoConfig {
        stream: VIDEO,
        kind: Kind::Camera,
        size,
        color: config.color,
        session: Session::Live,
        watch,
    };
    let video = encode::Video::open(stage, Converter::cpu(), encoder).unwrap();
    let voice = raw::audio::Encoder::open(1, 960).unwrap();
    let sender = Sender::new(send::Config { streams, ..send::Config::default() }, Box::new(ours)).unwrap();
    let downlink =
        netem::Config { seed: uplink.seed ^ 7, loss: uplink.loss, delay_us: uplink.delay_us, ..Default::default() };
    Cast {
        video: Some((Box::new(Still::new(size, 33_333, seconds * 30)), video)),
        audio: Some((
            Box::new(SceneVoice::new(1, seconds * 48_000)),
            encode::Audio::new(AUDIO, Kind::Microphone, Box::new(voice), watch),
        )),
        sender,
        receiver: receiver(theirs),
        video_decoder: Some(decode::Video::new(Box::new(raw::Decoder::new()), watch)),
        audio_decoder: Some(Box::new(raw::audio::Decoder::open(1).unwrap())),
        uplink,
        downlink,
    }
}

/// A network that does a little of everything.
pub fn bad(seed: u64) -> netem::Config {
    netem::Config {
        seed,
        loss: 5.0,
        delay_us: 30_000,
        jitter_us: 20_000,
        reorder: 2.0,
        duplicate: 1.0,
        corrupt: 0.5,
        ..Default::default()
    }
}

/// Counts what happens and digests everything that comes out.
#[derive(Default)]
pub struct Witness {
    pub captured: u64,
    pub shown: u64,
    pub mismatched: u64,
    pub out_of_order: u64,
    pub packets: u64,
    pub concealed: u64,
    pub silent: u64,
    pub digest: std::hash::DefaultHasher,
    last: Option<u64>,
    begun: bool,
    expected: HashMap<u64, Picture>,
}

impl Observer for Witness {
    fn captured(&mut self, _: u64, _: &Picture) {
        self.captured += 1;
    }

    fn encoded(&mut self, frame: &Encoded, reconstruction: Option<&Picture>) {
        self.expected.insert(frame.info.frame, reconstruction.expect("the double can tell").clone());
        self.expected.remove(&frame.info.frame.wrapping_sub(300));
    }

    fn sent(&mut self, _: Kind, _: u64, _: &Ledger, bytes: usize, _: Time) {
        self.digest.write_usize(bytes);
    }

    fn shown(&mut self, frame: u64, picture: &Picture, _: &Ledger, at: Time) {
        self.shown += 1;
        self.mismatched += u64::from(self.expected.get(&frame) != Some(picture));
        self.out_of_order += u64::from(self.last >= Some(frame));
        self.last = Some(frame);
        self.digest.write(picture.data());
        self.digest.write_u64(at.0);
    }

    fn heard(&mut self, pcm: &[i16], heard: Heard, _: Time) {
        match heard {
            Heard::Packet | Heard::Repaired => self.packets += 1,
            Heard::Concealed => self.concealed += 1,
            Heard::Nothing => self.silent += u64::from(self.begun),
        }
        self.begun |= heard != Heard::Nothing;
        pcm.iter().for_each(|s| self.digest.write_i16(*s));
    }
}

/// Plays a meeting to its end and two seconds beyond.
pub fn play(seconds: u64, uplink: netem::Config) -> (Rehearsal, Witness) {
    let (mut meeting, mut witness) = (meeting(seconds, uplink), Witness::default());
    while meeting.run(meeting.now().plus(1_000_000), &mut witness).unwrap() {}
    meeting.run(meeting.now().plus(2_000_000), &mut witness).unwrap();
    (meeting, witness)
}

/// The Opus encoder of a speaker, for tests that hear.
pub fn opus_encoder() -> opus::Encoder {
    opus::Encoder::open(opus::Config::default()).unwrap()
}
