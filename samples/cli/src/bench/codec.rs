//! Encoders on one clip at several rates: speed, processor time, rate, quality, and the bits each needs more than the
//! reference for the same quality. Installed programs run in the same minute on the same pictures; each may use one
//! thread, so that frames a second mean the same for all.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use serde_json::{Value, json};

use conclave::capture::FileVideo;
use conclave::capture::scene::{self, Scene};
use conclave::codecs::bd_rate::bd_rate;
use conclave::codecs::container::{VideoWriter, WriterConfig};
use conclave::codecs::metrics::Quality;
use conclave::codecs::{self, Picture, Session, Size, Target, VideoDecoder, candidates, dav1d};

use super::peers::{self, PEERS};
use super::{Absent, Figure};
use crate::cpu::cpu_seconds;
use crate::table::Table;

/// What the others are compared with.
const REFERENCE: &str = "rav1e";

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
    pub quality: Quality,
}

pub fn run(input: Option<&Path>, millis: u64, out: &mut Vec<Figure>, absent: &mut Vec<Absent>) -> anyhow::Result<()> {
    let folder = Folder::new()?;
    let frames = (48 * millis / 200).clamp(8, 600) as usize;
    let mut clips = Vec::new();
    if let Some(path) = input {
        clips.push(file_clip(path, frames, &folder.0)?);
    }
    clips.push(scene_clip(frames, &folder.0)?);
    for clip in &clips {
        let mut curves = Vec::new();
        for candidate in candidates::encoders().iter().filter(|c| c.codec == "av1") {
            curves.push((candidate.name, rates(clip, candidate.name, |kbps| encode(clip, candidate.name, kbps, out))?));
        }
        for peer in PEERS {
            match peers::find(peer.program) {
                Some(program) => {
                    let run = |kbps| peers::run(peer, &program, clip, kbps, &folder.0);
                    match rates(clip, peer.name, run) {
                        Ok(curve) => curves.push((peer.name, curve)),
                        Err(error) => absent.push(Absent { name: peer.name.into(), why_not: format!("{error:#}") }),
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
    absent.dedup_by(|a, b| a.name == b.name);
    Ok(())
}

/// Target in kbit/s, and what came of it.
type Curve = Vec<(u32, Run)>;

fn rates(clip: &Clip, name: &str, mut run: impl FnMut(u32) -> anyhow::Result<Run>) -> anyhow::Result<Curve> {
    // Four rates an octave apart; larger pictures need fewer bits for each sample.
    let base = 100.0 * (clip.size.area() as f64 / 57_600.0).powf(0.75);
    let all = [1.0, 2.0, 4.0, 8.0].map(|factor| (base * factor).round() as u32);
    all.into_iter()
        .map(|kbps| Ok((kbps, run(kbps).with_context(|| format!("{name} at {kbps} kbit/s on {}", clip.name))?)))
        .collect()
}

/// One of our own encoders, and dav1d behind it.
fn encode(clip: &Clip, name: &'static str, kbps: u32, out: &mut Vec<Figure>) -> anyhow::Result<Run> {
    let config = codecs::Config {
        size: clip.size,
        color: clip.pictures[0].color,
        fps: clip.fps,
        target: Target::Bitrate(kbps * 1000),
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
    let params = json!({"decoder": "dav1d", "clip": clip.name, "stream": name, "target_kbps": kbps});
    let what = format!("dav1d on {name} {kbps}k, {}", clip.name);
    out.push(Figure::once("codec", what, params, "frames/s", units.len() as f64 / decoding.max(1e-9)));
    Ok(Run { wall, cpu, bytes: units.iter().map(|(_, unit)| unit.len() as u64).sum(), quality })
}

fn report(clip: &Clip, curves: &[(&str, Curve)], out: &mut Vec<Figure>) {
    let seconds = clip.pictures.len() as f64 * f64::from(clip.fps.1) / f64::from(clip.fps.0);
    let kbps = |run: &Run| run.bytes as f64 * 8.0 / 1000.0 / seconds;
    let points = |curve: &Curve| -> Vec<(f64, f64)> {
        curve.iter().filter_map(|(_, run)| Some((kbps(run), run.quality.psnr_y()?))).collect()
    };
    for (name, curve) in curves {
        for (target, run) in curve {
            let params = |figure: &str| -> Value {
                json!({"encoder": name, "clip": clip.name, "size": clip.size.to_string(), "figure": figure,
                       "frames": clip.pictures.len(), "target_kbps": target, "threads": 1})
            };
            let what = format!("{name} {target}k, {}", clip.name);
            let rows = [
                ("speed", "frames/s", clip.pictures.len() as f64 / run.wall.max(1e-9)),
                ("processor", "CPU-s", run.cpu),
                ("rate", "kbit/s", kbps(run)),
                ("quality", "dB PSNR-Y", run.quality.psnr_y().unwrap_or(0.0)),
            ];
            out.extend(
                rows.map(|(figure, unit, value)| Figure::once("codec", what.clone(), params(figure), unit, value)),
            );
        }
    }
    let Some((_, reference)) = curves.iter().find(|(name, _)| *name == REFERENCE) else { return };
    for (name, curve) in curves.iter().filter(|(name, _)| *name != REFERENCE) {
        let params = json!({"encoder": name, "reference": REFERENCE, "clip": clip.name, "metric": "PSNR-Y"});
        let what = format!("{name} against {REFERENCE}, {}", clip.name);
        if let Some(percent) = bd_rate(&points(reference), &points(curve)) {
            out.push(Figure::once("codec", what, params, "% BD-rate", percent));
        }
    }
}

/// One line for all figures of the same name.
pub fn table(figures: &[&Figure]) -> Table {
    const UNITS: [&str; 5] = ["frames/s", "CPU-s", "kbit/s", "dB PSNR-Y", "% BD-rate"];
    let mut table = Table::new(&["codec", "frames/s", "CPU-s", "kbit/s", "dB PSNR-Y", "% BD-rate"]);
    for group in figures.chunk_by(|a, b| a.name == b.name) {
        let cell = |unit| group.iter().find(|f| f.unit == unit).map_or(String::new(), |f| format!("{:.2}", f.median));
        let cells = UNITS.map(cell);
        let row: Vec<&str> = std::iter::once(group[0].name.as_str()).chain(cells.iter().map(String::as_str)).collect();
        table.row(&row);
    }
    table
}

fn scene_clip(frames: usize, folder: &Path) -> anyhow::Result<Clip> {
    let size = Size::new(320, 180);
    let mut scene = Scene::new(scene::Config { size, ..scene::Config::default() })?;
    let pictures = (0..frames as u64).map(|frame| {
        let mut picture = Picture::new(size, Default::default());
        scene.render(frame, &mut picture);
        picture
    });
    clip("scene".into(), (30, 1), pictures.collect(), folder)
}

fn file_clip(path: &Path, frames: usize, folder: &Path) -> anyhow::Result<Clip> {
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
    clip(name, fps, pictures, folder)
}

fn clip(name: String, fps: (u32, u32), pictures: Vec<Picture>, folder: &Path) -> anyhow::Result<Clip> {
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
