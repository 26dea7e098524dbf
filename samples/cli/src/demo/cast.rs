//! Who takes part: sources, codecs, keys and the two cores, from the arguments.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use conclave::capture::scene;
use conclave::capture::{
    CaptureError, FileAudio, FileCamera, FileVideo, Microphone, SceneCamera, SceneVoice, VideoInput,
};
use conclave::codecs::{self, CodecError, Color, EncoderInfo, Session, Size, Target, VideoEncoder, dav1d, opus};
use conclave::e2ee::proof;
use conclave::frame::Kind;
use conclave::gpu::{Converter, Prepare, Source};
use conclave::rehearsal::Cast;
use conclave::time::Stopwatch;
use conclave::{decode, encode, receive, send};

use super::group::Assembly;
use super::{Args, devices, downlink, uplink};

/// The cast and what the table says of it.
pub struct Assembled {
    pub cast: Cast,
    /// Video frames that will be captured, as far as known.
    pub frames: u64,
    pub encoder: EncoderInfo,
    /// Live, or offline where the encoder that was named holds frames back.
    pub session: Session,
    /// The group whose keys sender and receiver have.
    pub group: Assembly,
    /// Length of the meeting, where the input says it.
    pub length_us: Option<u64>,
}

/// The sender's streams.
pub const VIDEO: u32 = 0x1001;
pub const AUDIO: u32 = 0x1002;
pub const DATA: u32 = 0x1003;

/// Opens everything; the first thing that does not open is the error.
pub fn assemble(args: &Args) -> anyhow::Result<Assembled> {
    let watch = Stopwatch::running();
    let (camera, microphone, size, fps, frames) = sources(args)?;
    let size = args.size.unwrap_or(size);
    let color = Color::default();
    let config = codecs::Config {
        size,
        color,
        fps,
        target: Target::Bitrate(args.bitrate),
        speed: args.speed,
        // The bytes do not depend on it.
        threads: std::thread::available_parallelism().map_or(1, |n| n.get().min(4)),
        ..codecs::Config::default()
    };
    let (encoder, session) = open(&args.encoder, config)?;
    let info = encoder.info();
    let kind = devices::stream_kind(args);
    let stage = encode::VideoConfig { stream: VIDEO, kind, size, color, session, watch };
    let mut video = encode::Video::open(stage, Converter::open(args.convert)?, encoder)?;
    video.set_prepare(Prepare { denoise: args.denoise, lift: args.lift, ..Prepare::default() });
    let channels = microphone.channels();
    let voice = opus::Encoder::open(opus::Config { channels, ..opus::Config::default() })?;
    let audio = encode::Audio::new(AUDIO, Kind::Microphone, Box::new(voice), watch);

    let (group, keys) = Assembly::gather(args)?;
    let streams = vec![
        send::Stream { id: VIDEO, kind, payload_type: 96 },
        send::Stream { id: AUDIO, kind: Kind::Microphone, payload_type: 111 },
        send::Stream { id: DATA, kind: Kind::Data, payload_type: 109 },
    ];
    let config = send::Config { streams, watch, ..send::Config::default() };
    let mut sender = send::Sender::new(config, Box::new(keys.sender))?;
    sender.prove(keys.device.media(), proof::Policy::default())?;
    let config = receive::Config {
        id: 0x2001,
        video: Some((VIDEO, kind)),
        audio: Some((AUDIO, Kind::Microphone)),
        data: Some(DATA),
        watch,
        ..receive::Config::default()
    };
    let receiver = receive::Receiver::new(config, Box::new(keys.receiver));
    let picture_decoder: Box<dyn codecs::VideoDecoder> = match args.encoder.as_str() {
        "raw" => Box::new(codecs::raw::Decoder::new()),
        _ => Box::new(dav1d::Decoder::open(dav1d::Config::default())?),
    };
    let cast = Cast {
        video: Some((camera, video)),
        audio: Some((microphone, audio)),
        sender,
        receiver,
        video_decoder: Some(decode::Video::new(picture_decoder, watch)),
        audio_decoder: Some(Box::new(opus::Decoder::open(channels)?)),
        uplink: uplink(args),
        downlink: downlink(args),
    };
    let length_us = (frames > 0).then(|| frames * 1_000_000 * u64::from(fps.1) / u64::from(fps.0.max(1)));
    Ok(Assembled { cast, frames, encoder: info, session, group, length_us })
}

/// A live session's encoder; one that is named and holds frames back makes the session an offline one, and says so.
fn open(name: &str, config: codecs::Config) -> Result<(Box<dyn VideoEncoder>, Session), CodecError> {
    match codecs::open_encoder(name, config, Session::Live) {
        Err(CodecError::Lag { codec, max_lag, fits }) => {
            eprintln!(
                "conclave: {codec} holds {max_lag} frames back, so the meeting is paced as if offline; live: {fits}"
            );
            Ok((codecs::open_encoder(name, config, Session::Offline)?, Session::Offline))
        }
        other => Ok((other?, Session::Live)),
    }
}

type Sources = (Box<dyn VideoInput>, Box<dyn Microphone>, Size, (u32, u32), u64);

fn sources(args: &Args) -> anyhow::Result<Sources> {
    let Some(path) = &args.input else { return live_sources(args) };
    let file = FileVideo::open(path, Box::new(dav1d::Decoder::open(dav1d::Config::default())?))?;
    let info = file.info();
    let (size, fps, most) = (info.size, info.fps, args.frames.unwrap_or(u64::MAX));
    let about = info.frames.unwrap_or(0).min(most);
    let sound = args.audio.as_ref().unwrap_or(path);
    let microphone: Box<dyn Microphone> = match FileAudio::open(sound, opus_decoder) {
        Ok(Some(file)) => Box::new(file),
        Err(error) if args.audio.is_some() => return Err(error.into()),
        // A clip without sound is heard with the rendered voice.
        Ok(None) | Err(_) => Box::new(SceneVoice::new(args.seed, u64::MAX)),
    };
    let over = Arc::<AtomicBool>::default();
    let camera = Ending { inner: FileCamera::new(file, most), over: over.clone() };
    Ok((Box::new(camera), Box::new(Ending { inner: microphone, over }), size, fps, about))
}

/// Pictures that say when they are over, and sound that ends with them.
struct Ending<T> {
    inner: T,
    over: Arc<AtomicBool>,
}

impl VideoInput for Ending<FileCamera> {
    fn next(&mut self) -> Result<Option<Source<'_>>, CaptureError> {
        let next = self.inner.next()?;
        self.over.store(next.is_none(), Ordering::Relaxed);
        Ok(next)
    }

    fn interval_us(&self) -> u64 {
        self.inner.interval_us()
    }
}

impl Microphone for Ending<Box<dyn Microphone>> {
    fn channels(&self) -> u8 {
        self.inner.channels()
    }

    fn fill(&mut self, pcm: &mut [i16]) -> Result<bool, CaptureError> {
        if self.over.load(Ordering::Relaxed) { Ok(false) } else { self.inner.fill(pcm) }
    }
}

fn opus_decoder(channels: u8) -> Result<Box<dyn codecs::AudioDecoder>, codecs::CodecError> {
    Ok(Box::new(opus::Decoder::open(channels)?))
}

/// Devices where they are named, the rendered scene and voice elsewhere.
fn live_sources(args: &Args) -> anyhow::Result<Sources> {
    let size = args.size.unwrap_or(Size::new(640, 360));
    let frames = args.frames.unwrap_or(args.seconds * u64::from(args.fps.0) / u64::from(args.fps.1));
    let config = scene::Config { seed: args.seed, size, fps: args.fps, ..scene::Config::default() };
    let samples = frames * u64::from(args.fps.1) * 48_000 / u64::from(args.fps.0);
    let microphone: Box<dyn Microphone> = match (&args.audio, devices::Ear::open(args, samples)?) {
        (_, Some(ear)) => Box::new(ear),
        (None, None) => Box::new(SceneVoice::new(args.seed, samples)),
        (Some(path), None) => match FileAudio::open(path, opus_decoder)? {
            Some(file) => Box::new(file),
            None => anyhow::bail!("{} has no sound; name a wav or ogg file", path.display()),
        },
    };
    if let Some(camera) = devices::Camera::open(args, frames)? {
        let size = camera.size();
        return Ok((Box::new(camera), microphone, size, args.fps, frames));
    }
    let camera = SceneCamera::new(config, frames)?;
    Ok((Box::new(camera), microphone, size, args.fps, frames))
}
