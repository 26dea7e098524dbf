//! Encoders on one clip at several rates and at several fixed quantizers: speed, processor time, lag, rate, quality, and
//! the bits each needs more than the reference for the same quality. Installed programs run in the same minute on the
//! same pictures; each may use one thread, so that frames a second mean the same for all. A fixed quantizer leaves rate
//! control out of the comparison.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use serde_json::{Value, json};

use conclave::capture::FileVideo;
use conclave::capture::scene::{self, Scene};
use conclave::codecs::bd_rate::bd_rate;
use conclave::codecs::candidates::{self, Candidate};
use conclave::codecs::container::{VideoWriter, WriterConfig};
use conclave::codecs::metrics::Quality;
use conclave::codecs::{self, Picture, Session, Size, Target, VideoDecoder, dav1d};
use conclave::gpu::adapters;

use super::peers::{self, PEERS};
use super::{Absent, Figure};
use crate::cpu::cpu_seconds;
use crate::probe::why_no_gpu;
use crate::table::Table;

/// What the others are compared with: at fixed quantizers libaom in real time, where it is installed.
const REFERENCES: [&str; 2] = ["aomenc", "rav1e"];

/// What an encoder is told to aim at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Aim {
    /// Kilobits a second.
    Rate(u32),
    /// libaom's quantizer of 0 to 61, a quarter of AV1's base index.
    Quantizer(u8),
}

impl Aim {
    /// Base quantizer index.
    pub fn index(level: u8) -> u8 {
        4 * level
    }
}

impl std::fmt::Display for Aim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Aim::Rate(kbps) => write!(f, "{kbps}k"),
            Aim::Quantizer(level) => write!(f, "q{}", Aim::index(*level)),
        }
    }
}

/// The pictures that all encoders get.
pub struct Clip {
    pub name: String,
    pub size: Size,
    pub fps: (u32, u32),
    pub pictures: Vec<Picture>,
    /// The same pictures for programs.
    pub file: PathBuf,
}

/// What one encoder made of a clip at one rate.
pub struct Run {
    pub wall: f64,
    pub cpu: f64,
    pub bytes: u64,
    /// Frames that came back; the rest were left out to hold the rate.
    pub frames: u64,
    pub quality: Quality,
}

/// Our encoders that take part: the one named, or all, that on the GPU only where there is one in hardware.
pub struct Encoders {
    list: Vec<Candidate>,
    named: bool,
    /// Why the GPU's is not among them.
    why_no_gpu: Option<String>,
}

pub fn encoders(named: Option<&str>) -> anyhow::Result<Encoders> {
    let mut list = candidates::encoders();
    list.retain(|candidate| candidate.codec == "av1");
    let Some(name) = named else {
        let why_no_gpu = why_no_gpu(&adapters());
        list.retain(|candidate| candidate.name != "gpu" || why_no_gpu.is_none());
        return Ok(Encoders { list, named: false, why_no_gpu });
    };
    let known = list.iter().map(|candidate| candidate.name).collect::<Vec<_>>().join(", ");
    list.retain(|candidate| candidate.name == name);
    anyhow::ensure!(!list.is_empty(), "no AV1 encoder is called `{name}`; this build has {known}");
    Ok(Encoders { list, named: true, why_no_gpu: None })
}

pub fn run(
    input: Option<&Path>,
    millis: u64,
    encoders: &Encoders,
    out: &mut Vec<Figure>,
    absent: &mut Vec<Absent>,
) -> anyhow::Result<()> {
    let folder = Folder::new()?;
    let frames = (48 * millis / 200).clamp(8, 600) as usize;
    let mut clips = Vec::new();
    if let Some(path) = input {
        clips.push(file_clip(path, frames, &folder.0)?);
    }
    clips.push(scene_clip(frames, &folder.0)?);
    for clip in &clips {
        // Four rates an octave apart; larger pictures need fewer bits for each sample.
        let base = 100.0 * (clip.size.area() as f64 / 57_600.0).powf(0.75);
        let rates = [1.0, 2.0, 4.0, 8.0].map(|factor| Aim::Rate((base * factor).round() as u32));
        let quantizers = [15, 28, 41, 54].map(Aim::Quantizer);
        for aims in [quantizers, rates] {
            let mut curves = Vec::new();
            for candidate in &encoders.list {
                let run = |aim| encode(clip, candidate.name, aim, out);
                let (name, lag) = (candidate.name, Some(candidate.max_lag));
                curves.push(Curve { name, lag, runs: runs(clip, name, aims, run)? });
            }
            for peer in PEERS.iter().filter(|peer| !encoders.named && peer.takes(aims[0])) {
                match peers::find(peer.program) {
                    Some(program) => {
                        let run = |aim| peers::run(peer, &program, clip, aim, &folder.0);
                        match runs(clip, peer.name, aims, run) {
                            Ok(runs) => curves.push(Curve { name: peer.name, lag: peer.lag, runs }),
                            Err(error) => {
                                absent.push(Absent { name: peer.name.into(), why_not: format!("{error:#}") });
                            }
                        }
                    }
                    None => absent.push(Absent {
                        name: peer.name.into(),
                        why_not: format!("{} is not installed; apt-get install {}", peer.program, peer.package),
                    }),
                }
            }
            report(clip, &curves, out);
        }
    }
    if let Some(why_not) = &encoders.why_no_gpu {
        absent.push(Absent { name: "gpu".into(), why_not: why_not.clone() });
    }
    absent.sort_by(|a, b| a.name.cmp(&b.name));
    absent.dedup_by(|a, b| a.name == b.name);
    Ok(())
}

/// What came of one encoder at each aim.
struct Curve {
    name: &'static str,
    /// Later frames it needs; `None` where that is not known.
    lag: Option<u32>,
    runs: Vec<(Aim, Run)>,
}

fn runs(
    clip: &Clip,
    name: &str,
    aims: [Aim; 4],
    mut run: impl FnMut(Aim) -> anyhow::Result<Run>,
) -> anyhow::Result<Vec<(Aim, Run)>> {
    let one = |aim| Ok((aim, run(aim).with_context(|| format!("{name} at {aim} on {}", clip.name))?));
    aims.into_iter().map(one).collect()
}

/// One of our own encoders, and dav1d behind it.
fn encode(clip: &Clip, name: &'static str, aim: Aim, out: &mut Vec<Figure>) -> anyhow::Result<Run> {
    let config = codecs::Config {
        size: clip.size,
        color: clip.pictures[0].color,
        fps: clip.fps,
        target: match aim {
            Aim::Rate(kbps) => Target::Bitrate(kbps * 1000),
            Aim::Quantizer(level) => Target::Quantizer(Aim::index(level)),
        },
        ..codecs::Config::default()
    };
    let mut encoder = codecs::open_encoder(name, config, Session::Offline)?;
    let mut units: Vec<(u64, Vec<u8>)> = Vec::new();
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let mut drain = |encoder: &mut dyn codecs::VideoEncoder| -> anyhow::Result<()> {
        loop {
            let mut unit = Vec::new();
            let Some(info) = encoder.poll(&mut unit)? else { return Ok(()) };
            units.push((info.frame, unit));
        }
    };
    for (frame, picture) in clip.pictures.iter().enumerate() {
        encoder.submit(picture, codecs::FrameInput { frame: frame as u64, keyframe: frame == 0 })?;
        drain(encoder.as_mut())?;
    }
    encoder.flush()?;
    drain(encoder.as_mut())?;
    let (wall, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);

    let mut decoder = dav1d::Decoder::open(dav1d::Config::default())?;
    let (mut quality, mut shown, mut decoding) = (Quality::default(), clip.pictures[0].clone(), 0.0);
    for (frame, unit) in &units {
        let start = Instant::now();
        decoder.submit(unit, *frame)?;
        let got = decoder.poll(&mut shown)?;
        decoding += start.elapsed().as_secs_f64();
        if let Some(picture) = got.and_then(|frame| clip.pictures.get(frame as usize)) {
            quality.add(picture, &shown)?;
        }
    }
    let mut params = json!({"decoder": "dav1d", "clip": clip.name, "stream": name});
    target(&mut params, aim);
    let what = format!("dav1d on {name} {aim}, {}", clip.name);
    out.push(Figure::once("codec", what, params, "frames/s", units.len() as f64 / decoding.max(1e-9)));
    let bytes = units.iter().map(|(_, unit)| unit.len() as u64).sum();
    Ok(Run { wall, cpu, bytes, frames: units.len() as u64, quality })
}

/// What was aimed at, as a parameter of a figure.
fn target(params: &mut Value, aim: Aim) {
    match aim {
        Aim::Rate(kbps) => params["target_kbps"] = json!(kbps),
        Aim::Quantizer(level) => params["qindex"] = json!(Aim::index(level)),
    }
}

fn report(clip: &Clip, curves: &[Curve], out: &mut Vec<Figure>) {
    let frames = clip.pictures.len();
    let seconds = frames as f64 * f64::from(clip.fps.1) / f64::from(clip.fps.0);
    let kbps = |run: &Run| run.bytes as f64 * 8.0 / 1000.0 / seconds;
    let points = |curve: &Curve| -> Vec<(f64, f64)> {
        curve.runs.iter().filter_map(|(_, run)| Some((kbps(run), run.quality.psnr_y()?))).collect()
    };
    for Curve { name, lag, runs } in curves {
        for (aim, run) in runs {
            let params = |figure: &str| -> Value {
                let mut params = json!({"encoder": name, "clip": clip.name, "size": clip.size.to_string(),
                    "figure": figure, "frames": frames, "frames_coded": run.frames, "threads": 1});
                target(&mut params, *aim);
                params
            };
            let what = format!("{name} {aim}, {}", clip.name);
            let rows = [
                ("speed", "frames/s", Some(frames as f64 / run.wall.max(1e-9))),
                // The system counts in hundredths of a second.
                ("economy", "frames/CPU-s", Some(frames as f64 / run.cpu.max(0.01))),
                ("processor", "CPU-s", Some(run.cpu)),
                ("lag", "frames", lag.map(f64::from)),
                ("rate", "kbit/s", Some(kbps(run))),
                ("quality", "dB PSNR-Y", Some(run.quality.psnr_y().unwrap_or(0.0))),
            ];
            let known = rows.into_iter().filter_map(|(figure, unit, value)| Some((figure, unit, value?)));
            out.extend(
                known.map(|(figure, unit, value)| Figure::once("codec", what.clone(), params(figure), unit, value)),
            );
        }
    }
    let fixed = curves.iter().any(|curve| matches!(curve.runs[..], [(Aim::Quantizer(_), _), ..]));
    let find = |name: &&str| curves.iter().find(|curve| curve.name == *name);
    let Some(reference) = REFERENCES.iter().skip(usize::from(!fixed)).find_map(find) else { return };
    let how = if fixed { "fixed quantizer" } else { "rate" };
    for curve in curves.iter().filter(|curve| curve.name != reference.name) {
        let (name, against) = (curve.name, reference.name);
        let params = json!({"encoder": name, "reference": against, "clip": clip.name, "metric": "PSNR-Y", "at": how});
        let what = format!("{name} against {against} at {how}, {}", clip.name);
        if let Some(percent) = bd_rate(&points(reference), &points(curve)) {
            out.push(Figure::once("codec", what, params, "% BD-rate", percent));
        }
    }
}

/// One line for all figures of the same name.
pub fn table(figures: &[&Figure]) -> Table {
    const UNITS: [&str; 6] = ["frames/s", "frames/CPU-s", "frames", "kbit/s", "dB PSNR-Y", "% BD-rate"];
    let mut table = Table::new(&["codec", "frames/s", "frames/CPU-s", "lag", "kbit/s", "dB PSNR-Y", "% BD-rate"]);
    for group in figures.chunk_by(|a, b| a.name == b.name) {
        let cell = |unit| group.iter().find(|f| f.unit == unit).map_or(String::new(), |f| format!("{:.2}", f.median));
        let cells = UNITS.map(cell);
        let row: Vec<&str> = std::iter::once(group[0].name.as_str()).chain(cells.iter().map(String::as_str)).collect();
        table.row(&row);
    }
    table
}

fn scene_clip(frames: usize, folder: &Path) -> anyhow::Result<Clip> {
    clip(scene(frames)?, folder)
}

fn file_clip(path: &Path, frames: usize, folder: &Path) -> anyhow::Result<Clip> {
    clip(file(path, frames)?, folder)
}

/// Pictures with their name and rate.
pub struct Reel {
    pub name: String,
    pub fps: (u32, u32),
    pub pictures: Vec<Picture>,
}

/// The first frames of the rendered scene.
pub fn scene(frames: usize) -> anyhow::Result<Reel> {
    let size = Size::new(320, 180);
    let mut rendered = Scene::new(scene::Config { size, ..scene::Config::default() })?;
    let pictures = (0..frames as u64).map(|frame| {
        let mut picture = Picture::new(size, Default::default());
        rendered.render(frame, &mut picture);
        picture
    });
    Ok(Reel { name: "scene".into(), fps: (30, 1), pictures: pictures.collect() })
}

/// The first frames of a file, all of one size.
pub fn file(path: &Path, frames: usize) -> anyhow::Result<Reel> {
    let mut file = FileVideo::open(path, Box::new(dav1d::Decoder::open(dav1d::Config::default())?))?;
    let (fps, mut picture) = (file.info().fps, Picture::new(file.info().size, Default::default()));
    let mut pictures = Vec::new();
    while pictures.len() < frames && file.next(&mut picture)?.is_some() {
        pictures.push(picture.clone());
    }
    let size = pictures.first().map(Picture::size);
    anyhow::ensure!(size.is_some(), "{} holds no picture; name a video file", path.display());
    anyhow::ensure!(
        pictures.iter().all(|p| Some(p.size()) == size),
        "{} changes its size; name a clip of one size",
        path.display()
    );
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Reel { name, fps, pictures })
}

fn clip(Reel { name, fps, pictures }: Reel, folder: &Path) -> anyhow::Result<Clip> {
    let (size, file) = (pictures[0].size(), folder.join(if name == "scene" { "scene.y4m" } else { "clip.y4m" }));
    let mut writer =
        VideoWriter::create(&file, &WriterConfig { color: pictures[0].color, ..WriterConfig::new(size, fps) })?;
    pictures.iter().try_for_each(|picture| writer.write_picture(picture))?;
    writer.finish()?;
    Ok(Clip { name, size, fps, pictures, file })
}

/// Compares the pictures in `file` with those of the clip, in their order.
pub fn judge(clip: &Clip, file: &Path) -> anyhow::Result<Quality> {
    let decoder = dav1d::Decoder::open(dav1d::Config::default())?;
    let mut video = FileVideo::open(file, Box::new(decoder))?;
    let (mut quality, mut shown) = (Quality::default(), clip.pictures[0].clone());
    for picture in &clip.pictures {
        if video.next(&mut shown)?.is_none() {
            break;
        }
        quality.add(picture, &shown)?;
    }
    Ok(quality)
}

/// A folder for the clips and what the programs make of them; gone at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("conclave-bench-{}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| format!("{} cannot be made; set TMPDIR", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
