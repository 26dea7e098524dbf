//! A meeting for measuring: the rendered scene or a still, and sound, over a simulated network that loses a little.

use std::error::Error;

use conclave::capture::scene;
use conclave::capture::{SceneCamera, SceneVoice, Still, VideoInput};
use conclave::codecs::{self, Picture, Session, Size, Target, VideoDecoder, dav1d, opus, raw};
use conclave::e2ee::StaticKeys;
use conclave::frame::{Encoded, Kind};
use conclave::gpu::Converter;
use conclave::ledger::Ledger;
use conclave::receive::{self, Heard, Receiver};
use conclave::rehearsal::{Cast, Observer, Rehearsal};
use conclave::send::{self, Sender};
use conclave::time::{Stopwatch, Time};
use conclave::{decode, encode, netem};

/// What takes part.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Codecs {
    /// Doubles that cost next to nothing: what remains is the engine itself.
    Doubles,
    /// Our own encoder, dav1d and Opus, on the rendered scene.
    Real,
}

/// A meeting of `frames` pictures of `size` at 30 a second, 2 % of the packets lost, 20 ms of delay, 5 ms of jitter.
pub fn meeting(codecs: Codecs, size: Size, frames: u64) -> Result<Rehearsal, Box<dyn Error + Send + Sync>> {
    let (watch, real) = (Stopwatch::still(), codecs == Codecs::Real);
    let (name, session) = (if real { "cpu" } else { "raw" }, Session::Live);
    let config = codecs::Config { size, target: Target::Bitrate(500_000), ..codecs::Config::default() };
    let encoder = codecs::open_encoder(name, config, session)?;
    let stage = encode::VideoConfig { stream: VIDEO, kind: Kind::Camera, size, color: config.color, session, watch };
    let video = encode::Video::open(stage, Converter::cpu(), encoder)?;
    let camera: Box<dyn VideoInput> = match codecs {
        Codecs::Real => Box::new(SceneCamera::new(scene::Config { size, ..scene::Config::default() }, frames)?),
        Codecs::Doubles => Box::new(Still::new(size, 33_333, frames)),
    };
    let voice: Box<dyn codecs::AudioEncoder> = match codecs {
        Codecs::Real => Box::new(opus::Encoder::open(opus::Config::default())?),
        Codecs::Doubles => Box::new(raw::audio::Encoder::open(1, 960)?),
    };
    let (pictures, sound): (Box<dyn VideoDecoder>, Box<dyn codecs::AudioDecoder>) = match codecs {
        Codecs::Real => (Box::new(dav1d::Decoder::open(dav1d::Config::default())?), Box::new(opus::Decoder::open(1)?)),
        Codecs::Doubles => (Box::new(raw::Decoder::new()), Box::new(raw::audio::Decoder::open(1)?)),
    };
    let (mut ours, mut theirs) = (StaticKeys::new(&[3; 32], 0)?, StaticKeys::new(&[3; 32], 1)?);
    ours.admit(1)?;
    theirs.admit(0)?;
    let streams = vec![
        send::Stream { id: VIDEO, kind: Kind::Camera, payload_type: 96 },
        send::Stream { id: AUDIO, kind: Kind::Microphone, payload_type: 111 },
    ];
    let sender = Sender::new(send::Config { streams, ..send::Config::default() }, Box::new(ours))?;
    let config = receive::Config {
        video: Some((VIDEO, Kind::Camera)),
        audio: Some((AUDIO, Kind::Microphone)),
        ..receive::Config::default()
    };
    let network = netem::Config { seed: 1, loss: 2.0, delay_us: 20_000, jitter_us: 5_000, ..netem::Config::default() };
    let microphone = SceneVoice::new(1, frames * 1_600);
    Ok(Rehearsal::new(Cast {
        video: Some((camera, video)),
        audio: Some((Box::new(microphone), encode::Audio::new(AUDIO, Kind::Microphone, voice, watch))),
        sender,
        receiver: Receiver::new(config, Box::new(theirs)),
        video_decoder: Some(decode::Video::new(pictures, watch)),
        audio_decoder: Some(sound),
        uplink: network.clone(),
        downlink: netem::Config { seed: 2, ..network },
    }))
}

/// Plays a meeting to its end and until the last packets are in. Returns how many pictures were shown.
pub fn play(mut meeting: Rehearsal) -> Result<u64, Box<dyn Error + Send + Sync>> {
    let mut count = Count(0);
    while meeting.run(meeting.now().plus(1_000_000), &mut count)? {}
    meeting.run(meeting.now().plus(500_000), &mut count)?;
    Ok(count.0)
}

const VIDEO: u32 = 1;
const AUDIO: u32 = 2;

/// Counts pictures shown.
struct Count(u64);

impl Observer for Count {
    fn captured(&mut self, _: u64, _: &Picture) {}

    fn encoded(&mut self, _: &Encoded, _: Option<&Picture>) {}

    fn sent(&mut self, _: Kind, _: u64, _: &Ledger, _: usize, _: Time) {}

    fn shown(&mut self, _: u64, _: &Picture, _: &Ledger, _: Time) {
        self.0 += 1;
    }

    fn heard(&mut self, _: &[i16], _: Heard, _: Time) {}
}
