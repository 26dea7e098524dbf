//! `conclave transcode`: a file to a file, offline, with quality figures, and through seal and open where asked.
//!
//! Pictures keep their times, and sound its distance to them.

mod clock;
mod sound;

use std::path::PathBuf;
use std::time::Instant;

use serde_json::json;

use conclave::capture::FileVideo;
use conclave::codecs::container::{VideoWriter, WriterConfig, open_audio};
use conclave::codecs::metrics::Quality;
use conclave::codecs::{self, Color, Picture, Session, Size, Target, dav1d};
use conclave::e2ee::{BaseKey, OpenKey, SealKey, Suite, sframe};
use conclave::frame::Buffer;
use conclave::gpu::{Converter, Format, Lift, Prepare, Source, Strength};

use crate::cpu::cpu_seconds;
use crate::input;
use clock::Clock;
use sound::{Sound, named};

/// What becomes of the file.
#[derive(clap::Args)]
pub struct Args {
    /// A video file, or `-` for y4m or ivf on stdin, which brings no sound.
    input: PathBuf,
    /// Where it goes: ivf, mkv, webm or mp4 by the ending; ivf holds no sound.
    output: PathBuf,
    /// Encoder by name, or auto for the first that opens; those there are stand in `conclave probe`.
    #[arg(long, default_value = "auto")]
    encoder: String,
    /// Target bitrate, for example 1500k.
    #[arg(long, value_parser = input::bitrate, conflicts_with = "qindex")]
    bitrate: Option<u32>,
    /// Fixed quantizer index, 1 (best) to 255.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..))]
    qindex: Option<u8>,
    /// Encoder threads.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: u16,
    /// Speed of the encoder, 10 the fastest.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u8).range(0..=10))]
    speed: u8,
    /// Size of the output; the input's own without it.
    #[arg(long, value_parser = input::size)]
    size: Option<Size>,
    /// Frame rate of the output; without it each picture keeps its own time. Frames are kept, not dropped or repeated:
    /// at another rate than the input's the sound would not fit, and is left out.
    #[arg(long, value_parser = input::rate)]
    fps: Option<(u32, u32)>,
    /// Average noise away over time, where nothing moves: light, medium or strong.
    #[arg(long, value_parser = input::denoise)]
    denoise: Option<Strength>,
    /// Make dark pictures brighter: off, gentle or strong.
    #[arg(long, default_value = "off", value_parser = input::lift)]
    lift: Lift,
    /// Bitrate of sound that has to be coded, 6k to 510k; 64k for each channel without it. Opus is copied as it is.
    #[arg(long, value_parser = input::audio_bitrate)]
    audio_bitrate: Option<u32>,
    /// Leave the sound out.
    #[arg(long, conflicts_with = "audio_bitrate")]
    no_audio: bool,
    /// Stop after so many frames, and the sound with them.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    frames: Option<u64>,
    /// Seal and open every frame on the way.
    #[arg(long)]
    seal: bool,
}

/// Pictures and times kept until their frame returns from encoder and decoder.
const KEPT: usize = 64;

/// Pictures at a constant rate that are this far from their own times, in microseconds, are off their sound.
const OFF: u64 = 40_000;

/// Runs the transcode and prints its figures.
pub fn run(args: Args, as_json: bool) -> anyhow::Result<()> {
    let ending = args.output.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    anyhow::ensure!(
        matches!(ending.as_str(), "ivf" | "mkv" | "webm" | "mp4"),
        "{}: its ending names no format that holds AV1; use ivf, mkv, webm or mp4",
        args.output.display()
    );
    let (started, cpu) = (Instant::now(), cpu_seconds());
    let mut work = Work::open(&args, ending == "ivf")?;
    work.run()?;
    let done = work.finish()?;
    let seconds = started.elapsed().as_secs_f64();
    if as_json {
        done.print_json(&args, seconds, cpu_seconds() - cpu)
    } else {
        done.print(&args, seconds)
    }
    Ok(())
}

/// A transcode on its way.
struct Work<'a> {
    args: &'a Args,
    source: FileVideo,
    converter: Converter,
    encoder: Box<dyn codecs::VideoEncoder>,
    seal: Option<Seal>,
    writer: VideoWriter,
    judge: Box<dyn codecs::VideoDecoder>,
    clock: Clock,
    sound: Option<Sound>,
    left_out: Option<&'static str>,
    /// The source's picture, and the decoded one.
    input: Picture,
    shown: Picture,
    kept: Vec<Picture>,
    unit: Vec<u8>,
    size: Size,
    quality: Quality,
    frames: u64,
    written: u64,
    bytes: u64,
}

impl<'a> Work<'a> {
    fn open(args: &'a Args, ivf: bool) -> anyhow::Result<Self> {
        let decoder = || dav1d::Decoder::open(dav1d::Config::default());
        let source = FileVideo::open(&args.input, Box::new(decoder()?)).map_err(|e| named(&args.input, e))?;
        let (own, color) = (source.info().fps, Color::default());
        let (size, fps) = (args.size.unwrap_or(source.info().size), args.fps.unwrap_or(own));
        let target = args.qindex.map_or(Target::Bitrate(args.bitrate.unwrap_or(1_500_000)), Target::Quantizer);
        let (speed, threads) = (args.speed, args.threads.into());
        let config = codecs::Config { size, color, fps, target, speed, threads, ..Default::default() };
        let encoder = codecs::open_encoder(&args.encoder, config, Session::Offline)?;
        let same_rate = u64::from(fps.0) * u64::from(own.1) == u64::from(own.0) * u64::from(fps.1);
        let (sound, left_out) = open_sound(args, ivf, same_rate)?;
        let clock = match args.fps {
            Some(fps) => Clock::constant(fps, KEPT, sound.is_some()),
            None => Clock::own(own, KEPT),
        };
        let audio = sound.as_ref().map(Sound::head);
        let writer = VideoWriter::create(&args.output, &WriterConfig { audio, ..WriterConfig::new(size, fps) })?;
        let mut converter = Converter::cpu();
        converter.set_prepare(Prepare { denoise: args.denoise, lift: args.lift, ..Prepare::default() });
        let empty = || Picture::new(Size::new(16, 16), color);
        Ok(Self {
            args,
            source,
            converter,
            encoder,
            seal: args.seal.then(Seal::new).transpose()?,
            writer,
            judge: Box::new(decoder()?),
            clock,
            sound,
            left_out,
            input: empty(),
            shown: empty(),
            kept: (0..KEPT).map(|_| empty()).collect(),
            unit: Vec::new(),
            size,
            quality: Quality::default(),
            frames: 0,
            written: 0,
            bytes: 0,
        })
    }

    fn run(&mut self) -> anyhow::Result<()> {
        let bar = indicatif::ProgressBar::new(self.source.info().frames.unwrap_or(0));
        while self.submit()? {
            bar.set_position(self.frames);
            self.collect()?;
        }
        self.encoder.flush()?;
        self.collect()?;
        bar.finish_and_clear();
        Ok(())
    }

    /// Gives the encoder the next picture; `false` where there is none.
    fn submit(&mut self) -> anyhow::Result<bool> {
        if self.args.frames == Some(self.frames) {
            return Ok(false);
        }
        let next = self.source.next(&mut self.input).map_err(|e| named(&self.args.input, e))?;
        let Some(time) = next else { return Ok(false) };
        self.clock.stamp(self.frames, time.0);
        let (input, picture) = (&self.input, &mut self.kept[self.frames as usize % KEPT]);
        let from = Source { format: Format::I420, size: input.size(), color: input.color, data: input.data() };
        self.converter.convert(from, self.size, Color::default(), None, picture)?;
        self.encoder.submit(picture, codecs::FrameInput { frame: self.frames, keyframe: self.frames == 0 })?;
        self.frames += 1;
        Ok(true)
    }

    /// Writes and judges what the encoder has ready, and before each picture the sound that begins until then.
    fn collect(&mut self) -> anyhow::Result<()> {
        loop {
            self.unit.clear();
            let Some(info) = self.encoder.poll(&mut self.unit)? else { return Ok(()) };
            if let Some(seal) = &mut self.seal {
                seal.there_and_back(&mut self.unit)?;
            }
            let time = self.clock.of(info.frame);
            if let Some(sound) = &mut self.sound {
                sound.write_until(time, &mut self.writer)?;
            }
            self.writer.write(&self.unit, time, info.keyframe)?;
            self.written += 1;
            self.bytes += self.unit.len() as u64;
            self.judge.submit(&self.unit, info.frame)?;
            while let Some(frame) = self.judge.poll(&mut self.shown)? {
                self.quality.add(&self.kept[frame as usize % KEPT], &self.shown)?;
            }
        }
    }

    /// Writes the rest of the sound and completes the file.
    fn finish(mut self) -> anyhow::Result<Done> {
        anyhow::ensure!(self.written > 0, "{} holds no picture; nothing was written", self.args.input.display());
        if let Some(sound) = &mut self.sound {
            let cut = self.args.frames == Some(self.frames);
            sound.finish(cut.then(|| self.clock.end()), &mut self.writer)?;
        }
        self.writer.finish()?;
        Ok(Done {
            encoder: self.encoder.info(),
            size: self.size,
            quality: self.quality,
            written: self.written,
            left_out: self.frames - self.written,
            bytes: self.bytes,
            kbps: self.bytes as f64 * 8000.0 / self.clock.length() as f64,
            sound: self.sound.map(|sound| (sound.fate(), sound.written())),
            silent: self.left_out,
            off: self.clock.off(),
        })
    }
}

/// The sound that goes along, or why it does not.
fn open_sound(args: &Args, ivf: bool, same_rate: bool) -> anyhow::Result<(Option<Sound>, Option<&'static str>)> {
    let left_out = match (ivf, same_rate) {
        _ if args.no_audio => return Ok((None, None)),
        (true, _) => "ivf holds none",
        (false, false) => "it would not fit at another rate",
        (false, true) => return Ok((Sound::open(&args.input, args.audio_bitrate)?, None)),
    };
    let has_sound = !matches!(open_audio(&args.input), Ok(None));
    Ok((None, has_sound.then_some(left_out)))
}

/// What came of it.
struct Done {
    encoder: codecs::EncoderInfo,
    size: Size,
    quality: Quality,
    written: u64,
    /// Frames that the encoder left out to hold its rate; the clip is as long as before.
    left_out: u64,
    bytes: u64,
    kbps: f64,
    /// Whether the sound was copied or coded, and its packets.
    sound: Option<(&'static str, u64)>,
    /// Why there is no sound where the input has some.
    silent: Option<&'static str>,
    off: u64,
}

impl Done {
    fn print_json(&self, args: &Args, seconds: f64, cpu: f64) {
        println!(
            "{}",
            json!({
                "input": args.input, "output": args.output, "encoder": self.encoder.name, "device": self.encoder.device,
                "frames": self.written, "frames_left_out": self.left_out, "seconds": seconds,
                "cpu_seconds": cpu, "fps": self.written as f64 / seconds, "bitrate_kbps": self.kbps,
                "psnr_y": self.quality.psnr_y(), "ssim_y": self.quality.ssim_y(), "bytes": self.bytes,
                "sealed": args.seal, "audio": self.sound.map(|(fate, _)| fate),
                "audio_packets": self.sound.map_or(0, |(_, packets)| packets), "audio_left_out": self.silent,
            })
        );
    }

    fn print(&self, args: &Args, seconds: f64) {
        println!(
            "{} → {}: {} frames at {} by {} on {}{}{}, {:.0} kbit/s, PSNR {:.2} dB, SSIM {:.4}, {:.1} frames/s, {}",
            args.input.display(),
            args.output.display(),
            self.written,
            self.size,
            self.encoder.name,
            self.encoder.device,
            if args.seal { ", sealed and opened" } else { "" },
            if self.left_out > 0 { format!(" ({} left out to hold the rate)", self.left_out) } else { String::new() },
            self.kbps,
            self.quality.psnr_y().unwrap_or(0.0),
            self.quality.ssim_y().unwrap_or(0.0),
            self.written as f64 / seconds,
            self.sound_words(),
        );
    }

    fn sound_words(&self) -> String {
        match (self.sound, self.silent) {
            (Some((fate, packets)), _) if self.off > OFF => {
                format!("sound {fate} ({packets} packets), up to {} ms off the pictures", self.off / 1000)
            }
            (Some((fate, packets)), _) => format!("sound {fate} ({packets} packets)"),
            (None, Some(why)) => format!("without its sound: {why}"),
            (None, None) => "no sound".to_owned(),
        }
    }
}

/// Both ends of one SFrame key.
struct Seal {
    sealer: sframe::Sealer,
    opener: sframe::Opener,
    buffer: Buffer,
}

impl Seal {
    fn new() -> anyhow::Result<Self> {
        // The key never leaves this process: it shows what sealing costs, the file is written opened.
        let base = BaseKey::new(&[0x42; 32])?;
        Ok(Self {
            sealer: sframe::Sealer::new(SealKey::derive(Suite::Aes256GcmSha512, 1, &base)?),
            opener: sframe::Opener::new(OpenKey::derive(Suite::Aes256GcmSha512, 1, &base)?),
            buffer: Buffer::with_capacity(64 << 10),
        })
    }

    fn there_and_back(&mut self, unit: &mut Vec<u8>) -> anyhow::Result<()> {
        self.buffer.clear();
        self.buffer.tail().extend_from_slice(unit);
        self.sealer.seal(b"transcode", &mut self.buffer)?;
        self.opener.open(b"transcode", &mut self.buffer)?;
        unit.clear();
        unit.extend_from_slice(self.buffer.as_slice());
        Ok(())
    }
}
