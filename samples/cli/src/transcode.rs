//! `conclave transcode`: a file to a file, offline, with quality figures, and through seal and open where asked.

use std::path::PathBuf;
use std::time::Instant;

use serde_json::json;

use conclave::capture::FileVideo;
use conclave::codecs::container::{VideoWriter, WriterConfig};
use conclave::codecs::metrics::Quality;
use conclave::codecs::{self, Color, Picture, Session, Size, Target, dav1d};
use conclave::e2ee::{BaseKey, OpenKey, SealKey, Suite, sframe};
use conclave::frame::Buffer;
use conclave::gpu::{Converter, Format, Lift, Prepare, Source, Strength};

use crate::cpu::cpu_seconds;
use crate::input;

/// What becomes of the file.
#[derive(clap::Args)]
pub struct Args {
    /// A video file, or `-` for y4m or ivf on stdin.
    input: PathBuf,
    /// Where it goes: ivf, mkv, webm or mp4 by the ending.
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
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// Speed of the encoder, 10 the fastest.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u8).range(0..=10))]
    speed: u8,
    /// Size of the output; the input's own without it.
    #[arg(long, value_parser = input::size)]
    size: Option<Size>,
    /// Frame rate of the output; the input's own without it. Frames are kept, not dropped or repeated.
    #[arg(long, value_parser = input::rate)]
    fps: Option<(u32, u32)>,
    /// Average noise away over time, where nothing moves: light, medium or strong.
    #[arg(long, value_parser = input::denoise)]
    denoise: Option<Strength>,
    /// Make dark pictures brighter: off, gentle or strong.
    #[arg(long, default_value = "off", value_parser = input::lift)]
    lift: Lift,
    /// Stop after so many frames.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    frames: Option<u64>,
    /// Seal and open every frame on the way.
    #[arg(long)]
    seal: bool,
}

/// Pictures kept until their frame returns from encoder and decoder.
const KEPT: usize = 64;

/// Runs the transcode and prints its figures.
pub fn run(args: Args, as_json: bool) -> anyhow::Result<()> {
    let (started, cpu) = (Instant::now(), cpu_seconds());
    let decoder = || dav1d::Decoder::open(dav1d::Config::default());
    let mut source = FileVideo::open(&args.input, Box::new(decoder()?))?;
    let (size, fps) = (args.size.unwrap_or(source.info().size), args.fps.unwrap_or(source.info().fps));
    let color = Color::default();
    let target = args.qindex.map_or(Target::Bitrate(args.bitrate.unwrap_or(1_500_000)), Target::Quantizer);
    let config = codecs::Config {
        size,
        color,
        fps,
        target,
        speed: args.speed,
        threads: args.threads.into(),
        ..Default::default()
    };
    let mut encoder = codecs::open_encoder(&args.encoder, config, Session::Offline)?;
    let mut judge: Box<dyn codecs::VideoDecoder> = Box::new(decoder()?);
    let mut writer = VideoWriter::create(&args.output, &WriterConfig::new(size, fps))?;
    let mut seal = args.seal.then(Seal::new).transpose()?;

    let mut converter = Converter::cpu();
    converter.set_prepare(Prepare { denoise: args.denoise, lift: args.lift, ..Prepare::default() });
    let (mut input, mut shown) = (Picture::new(Size::new(16, 16), color), Picture::new(Size::new(16, 16), color));
    let mut kept: Vec<Picture> = (0..KEPT).map(|_| Picture::new(Size::new(16, 16), color)).collect();
    let (mut quality, mut frames, mut written, mut bytes) = (Quality::default(), 0u64, 0u64, 0u64);
    let bar = indicatif::ProgressBar::new(source.info().frames.unwrap_or(0));
    let mut unit = Vec::new();
    loop {
        let more = frames < args.frames.unwrap_or(u64::MAX) && source.next(&mut input)?.is_some();
        if more {
            let picture = &mut kept[frames as usize % KEPT];
            let from = Source { format: Format::I420, size: input.size(), color: input.color, data: input.data() };
            converter.convert(from, size, color, None, picture)?;
            encoder.submit(picture, codecs::FrameInput { frame: frames, keyframe: frames == 0 })?;
            frames += 1;
            bar.set_position(frames);
        } else {
            encoder.flush()?;
        }
        loop {
            unit.clear();
            let Some(info) = encoder.poll(&mut unit)? else { break };
            if let Some(seal) = &mut seal {
                seal.there_and_back(&mut unit)?;
            }
            writer.write(&unit, info.frame * u64::from(fps.1) * 1_000_000 / u64::from(fps.0), info.keyframe)?;
            written += 1;
            bytes += unit.len() as u64;
            judge.submit(&unit, info.frame)?;
            while let Some(frame) = judge.poll(&mut shown)? {
                quality.add(&kept[frame as usize % KEPT], &shown)?;
            }
        }
        if !more {
            break;
        }
    }
    bar.finish_and_clear();
    anyhow::ensure!(written > 0, "{} holds no picture; nothing was written", args.input.display());
    writer.finish()?;

    let seconds = started.elapsed().as_secs_f64();
    // An encoder may leave frames out to hold its rate; the clip is as long as before.
    let kbps = bytes as f64 * 8.0 / 1000.0 / (frames as f64 * f64::from(fps.1) / f64::from(fps.0));
    let codecs::EncoderInfo { name, device, .. } = encoder.info();
    if as_json {
        println!(
            "{}",
            json!({
                "input": args.input, "output": args.output, "encoder": name, "device": device,
                "frames": written, "frames_left_out": frames - written, "seconds": seconds,
                "cpu_seconds": cpu_seconds() - cpu, "fps": written as f64 / seconds, "bitrate_kbps": kbps,
                "psnr_y": quality.psnr_y(), "ssim_y": quality.ssim_y(), "bytes": bytes, "sealed": args.seal,
            })
        );
    } else {
        println!(
            "{} → {}: {written} frames at {size} by {name} on {device}{}{}, {kbps:.0} kbit/s, PSNR {:.2} dB, SSIM {:.4}, {:.1} frames/s",
            args.input.display(),
            args.output.display(),
            if args.seal { ", sealed and opened" } else { "" },
            if frames > written { format!(" ({} left out to hold the rate)", frames - written) } else { String::new() },
            quality.psnr_y().unwrap_or(0.0),
            quality.ssim_y().unwrap_or(0.0),
            written as f64 / seconds,
        );
    }
    Ok(())
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
