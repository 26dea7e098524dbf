//! One participant: its camera and microphone, its way to the viewer, and what the viewer has of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use conclave::audio::RATE;
use conclave::audio::level::{self, Meter};
use conclave::capture::{CaptureError, FileError, FileVideo, SceneCamera, SceneVoice, VideoInput, scene};
use conclave::codecs::{self, Picture, Session, Size, Target, dav1d, opus};
use conclave::drive::{Receiving, Screen, Sending, Shown, Speaker, Transport, receiving, sending};
use conclave::e2ee::group::Device;
use conclave::e2ee::{Keyring, proof};
use conclave::frame::Kind;
use conclave::gpu::{Converter, Format, Prefer, Source};
use conclave::time::{Clock, Stopwatch};
use conclave::{decode, encode, receive, send};

use crate::bars::Bars;
use crate::keys::Rings;
use crate::meeting::{Config, Input};

/// See the module. Dropping it ends its threads.
pub struct Seat {
    /// Beneath the tile.
    pub name: String,
    /// The participant's side.
    pub sending: Sending,
    /// The viewer's side.
    pub receiving: Receiving,
    /// How loud it is.
    pub meter: Meter,
    /// The newest picture, kept for a device that has to be opened anew.
    pub shown: Option<Shown>,
    /// It was not drawn yet.
    pub fresh: bool,
    /// Pictures drawn.
    pub count: u64,
    screen: Screen,
    speaker: Speaker,
}

impl Seat {
    /// Participant number `at` begins to send.
    ///
    /// # Errors
    /// The input cannot be read, no encoder opens, or no thread starts.
    pub fn open(config: &Config, at: usize, name: String, rings: Rings, clock: Clock) -> anyhow::Result<Self> {
        let (here, there) = Transport::memory();
        let Rings { sending, receiving, device } = rings;
        let sending = Sending::start(sending_parts(config, at as u64, (sending, device), here, clock)?)?;
        let (receiving, screen, speaker) = Receiving::start(receiving_parts(receiving, there, clock)?)?;
        let (meter, shown) = (Meter::default(), None);
        Ok(Self { name, sending, receiving, meter, shown, fresh: false, count: 0, screen, speaker })
    }

    /// Takes what has arrived; `true` where there is a picture that was not drawn. `heard` gets the level of each packet in
    /// dBFS, and how long it is in microseconds.
    pub fn pull(&mut self, mut heard: impl FnMut(f32, u64)) -> bool {
        while let Ok(sound) = self.speaker.next(Duration::ZERO) {
            let (dbfs, frames) = (level::dbfs(&sound.pcm), sound.pcm.len());
            self.meter.feed(dbfs, frames);
            heard(dbfs, frames as u64 * 1_000_000 / u64::from(RATE));
            self.speaker.recycle(sound.pcm);
        }
        if let Ok(shown) = self.screen.next(Duration::ZERO) {
            let old = self.shown.replace(shown);
            old.into_iter().for_each(|old| self.screen.recycle(old.picture));
            self.fresh = true;
        }
        self.fresh
    }
}

const CAMERA: u32 = 1;
const VOICE: u32 = 2;
const DATA: u32 = 3;

fn sending_parts(
    config: &Config,
    seed: u64,
    (keys, device): (Keyring, Device),
    transport: Transport,
    clock: Clock,
) -> anyhow::Result<sending::Parts> {
    let (camera, size) = camera(config, seed)?;
    let (watch, session) = (Stopwatch::running(), Session::Live);
    let target = match config.input {
        Input::Bars => Target::Quantizer(FINE),
        // A tenth of a bit a pixel.
        _ => Target::Bitrate((size.area() as u32 / 10 * config.fps).max(100_000)),
    };
    let coding = codecs::Config { size, color: config.color, fps: (config.fps, 1), target, ..Default::default() };
    let stage = encode::VideoConfig { stream: CAMERA, kind: Kind::Camera, size, color: config.color, session, watch };
    let encoder = codecs::open_encoder("auto", coding, session)?;
    let mut video = encode::Video::open(stage, Converter::open(Prefer::Auto)?, encoder)?;
    // A test picture is judged at its own size, however late.
    video.set_adaptive(!matches!(config.input, Input::Bars));
    let voice = opus::Encoder::open(opus::Config { channels: 1, ..Default::default() })?;
    let audio = encode::Audio::new(VOICE, Kind::Microphone, Box::new(voice), watch);
    let streams = vec![
        send::Stream { id: CAMERA, kind: Kind::Camera, payload_type: 96 },
        send::Stream { id: VOICE, kind: Kind::Microphone, payload_type: 111 },
        // Carries the proofs of who made the other two.
        send::Stream { id: DATA, kind: Kind::Data, payload_type: 109 },
    ];
    let sender = send::Config { streams, watch, ..Default::default() };
    let mut sender = send::Sender::new(sender, Box::new(keys))?;
    sender.prove(device.media(), proof::Policy::default())?;
    Ok(sending::Parts {
        sender,
        transport,
        clock,
        video: sending::Video::Camera(camera, video),
        audio: sending::Audio::Microphone(Box::new(SceneVoice::new(seed, u64::MAX)), audio),
    })
}

fn receiving_parts(keys: Keyring, transport: Transport, clock: Clock) -> anyhow::Result<receiving::Parts> {
    let watch = Stopwatch::running();
    let config = receive::Config {
        video: Some((CAMERA, Kind::Camera)),
        audio: Some((VOICE, Kind::Microphone)),
        data: Some(DATA),
        watch,
        ..Default::default()
    };
    Ok(receiving::Parts {
        receiver: receive::Receiver::new(config, Box::new(keys)),
        transport,
        clock,
        video: Some(decode::Video::new(Box::new(dav1d::Decoder::open(dav1d::Config::default())?), watch)),
        audio: Some(Box::new(opus::Decoder::open(1)?)),
    })
}

/// The camera and the size that its pictures are encoded in.
fn camera(config: &Config, seed: u64) -> anyhow::Result<(Box<dyn VideoInput>, Size)> {
    let Config { size, color, fps, .. } = *config;
    Ok(match &config.input {
        Input::Scene => {
            let scene = scene::Config { seed: seed + 1, size, fps: (fps, 1), color };
            (Box::new(SceneCamera::new(scene, u64::MAX)?), size)
        }
        Input::Bars => (Box::new(Bars::new(size, color, fps)), size),
        Input::File(path) => {
            let endless = Endless::open(path)?;
            let of = endless.picture.size();
            let width = u64::from(size.height) * u64::from(of.width) / u64::from(of.height.max(1));
            let width = (width as u32).next_multiple_of(2).clamp(16, 4 * size.width);
            (Box::new(endless), Size::new(width, size.height))
        }
    })
}

/// A file that begins again at its end.
struct Endless {
    path: PathBuf,
    file: FileVideo,
    picture: Picture,
}

impl Endless {
    fn open(path: &Path) -> Result<Self, CaptureError> {
        let decoder = dav1d::Decoder::open(dav1d::Config::default());
        let decoder = decoder.map_err(|source| FileError::Codec { frame: 0, source })?;
        let file = FileVideo::open(path, Box::new(decoder))?;
        let picture = Picture::new(file.info().size, file.info().color);
        Ok(Self { path: path.to_owned(), file, picture })
    }
}

impl VideoInput for Endless {
    fn next(&mut self) -> Result<Option<Source<'_>>, CaptureError> {
        if self.file.next(&mut self.picture)?.is_none() {
            *self = Self::open(&self.path)?;
            if self.file.next(&mut self.picture)?.is_none() {
                return Ok(None);
            }
        }
        let (size, color, data) = (self.picture.size(), self.picture.color, self.picture.data());
        Ok(Some(Source { format: Format::I420, size, color, data }))
    }

    fn interval_us(&self) -> u64 {
        let (num, den) = self.file.info().fps;
        (u64::from(den) * 1_000_000 / u64::from(num.max(1))).max(1_000)
    }
}

/// The quantizer of a test picture: what it loses stays below a level or two.
const FINE: u8 = 8;

/// Who takes part, the first being oneself.
pub fn name(at: usize) -> String {
    const NAMES: [&str; 12] =
        ["You", "Ada", "Grace", "Alan", "Radia", "Claude", "Emmy", "Linus", "Hedy", "Dennis", "Katherine", "Edsger"];
    match at / NAMES.len() {
        0 => NAMES[at].to_owned(),
        again => format!("{} {}", NAMES[at % NAMES.len()], again + 1),
    }
}
