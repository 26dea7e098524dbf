//! What a frame of the encoder on the GPU costs: by a model of its passes, and measured where this machine can tell:
//! bytes that cross the bus, processor time of the thread that encodes, the GPU's own clock.

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::json;

use conclave::codecs::av1::encoder::Encoder;
use conclave::codecs::av1::gpu::explain::{CLASSES, PassCost, explain};
use conclave::codecs::av1::gpu::{Adapter, Context, Traffic};
use conclave::codecs::av1::layout::Layout;
use conclave::codecs::{Config, FrameInput, Size, Target, VideoEncoder};

use super::codec::{self, Reel};
use super::{Figure, Timing, spread};
use crate::cpu::thread_cpu_seconds;
use crate::table::Table;

/// The size that the passes are told for beside the clip's.
const USUAL: Size = Size::new(1280, 720);

/// After so long no more than the least number of frames is encoded: a software adapter takes seconds for each.
const PATIENCE: Duration = Duration::from_secs(60);
/// Inter frames that are encoded at least, where the clip has them.
const LEAST: usize = 3;

/// The tables as text; the same figures into `out`.
pub fn run(input: Option<&Path>, millis: u64, out: &mut Vec<Figure>) -> anyhow::Result<String> {
    let frames = (millis / 10).clamp(LEAST as u64 + 1, 600) as usize;
    let reel = match input {
        Some(path) => codec::file(path, frames)?,
        None => codec::scene(frames)?,
    };
    let clip = reel.pictures[0].size();
    let mut said = String::new();
    for size in [clip, USUAL].into_iter().take(if clip == USUAL { 1 } else { 2 }) {
        told(size, &mut said, out)?;
    }
    measured(&reel, &mut said, out)?;
    Ok(said)
}

/// What the model says of an inter frame.
fn told(size: Size, said: &mut String, out: &mut Vec<Figure>) -> anyhow::Result<()> {
    let passes = explain(&Layout::new(size, Default::default()), false);
    let total = |of: fn(&PassCost) -> u64| passes.iter().map(of).sum::<u64>();
    let sums = PassCost {
        name: "all".into(),
        dispatches: passes.iter().map(|pass| pass.dispatches).sum(),
        workgroups: total(|pass| pass.workgroups),
        steps: passes.iter().map(|pass| pass.steps).sum(),
        workgroup_bytes: passes.iter().map(|pass| pass.workgroup_bytes).max().unwrap_or_default(),
        bytes_read: total(|pass| pass.bytes_read),
        bytes_written: total(|pass| pass.bytes_written),
        operations: total(|pass| pass.operations),
    };
    writeln!(said, "One inter frame of {size}; bytes and operations are upper bounds by formula\n")?;
    let head = ["pass", "dispatches", "workgroups", "bytes of a workgroup", "MB read", "MB written", "Mop"];
    let mut table = Table::new(&head);
    for pass in passes.iter().chain([&sums]) {
        let mega = |value: u64| format!("{:.3}", value as f64 / 1e6);
        table.row(&[
            &pass.name,
            &pass.dispatches.to_string(),
            &pass.workgroups.to_string(),
            &pass.workgroup_bytes.to_string(),
            &mega(pass.bytes_read),
            &mega(pass.bytes_written),
            &mega(pass.operations),
        ]);
        let figures = [
            ("dispatches", u64::from(pass.dispatches)),
            ("workgroups", pass.workgroups),
            ("steps of one workgroup", pass.steps.into()),
            ("bytes of a workgroup", pass.workgroup_bytes.into()),
            ("bytes read", pass.bytes_read),
            ("bytes written", pass.bytes_written),
            ("operations", pass.operations),
        ];
        for (unit, value) in figures {
            let params = json!({"size": size.to_string(), "pass": pass.name, "figure": unit, "how": "model"});
            let name = format!("{}, inter frame of {size}", pass.name);
            out.push(Figure::once("explain", name, params, unit, value as f64));
        }
    }
    // Each pass reads what the one before wrote.
    let barriers = sums.dispatches - 1;
    let steps = sums.steps;
    writeln!(said, "{table}\n  {barriers} barriers: one between every two dispatches; {steps} steps of one workgroup")?;
    let params = json!({"size": size.to_string(), "figure": "barriers", "how": "model"});
    out.push(Figure::once("explain", format!("inter frame of {size}"), params, "barriers", barriers.into()));
    for class in CLASSES {
        let ms = class.seconds(&passes) * 1e3;
        let assumed = format!(
            "assumed {} Gop/s, {} GB/s, {} us a dispatch with its barrier, {} us a step",
            class.operations / 1e9,
            class.bytes / 1e9,
            class.dispatch * 1e6,
            class.step * 1e6
        );
        writeln!(said, "  estimate for a GPU that is {}: {ms:.2} ms ({assumed})", class.name)?;
        let params = json!({"size": size.to_string(), "figure": "roofline", "how": "estimate", "class": class});
        let name = format!("inter frame of {size}, {}", class.name);
        out.push(Figure::once("explain", name, params, "ms", ms));
    }
    writeln!(said)?;
    Ok(())
}

/// What one inter frame took.
struct Sample {
    up: u64,
    back: u64,
    submit: Option<f64>,
    poll: Option<f64>,
    words: Option<f64>,
    clock: Option<u64>,
}

/// Encodes the clip on the adapter, and on the CPU beside it: the bytes are the same, and so is the time for words.
fn measured(reel: &Reel, said: &mut String, out: &mut Vec<Figure>) -> anyhow::Result<()> {
    let size = reel.pictures[0].size();
    let bits = (1.5e6 * (size.area() as f64 / USUAL.area() as f64).powf(0.75)).round() as u32;
    let color = reel.pictures[0].color;
    let config = Config { size, color, fps: reel.fps, target: Target::Bitrate(bits), ..Config::default() };
    let context = Context::open(Adapter::Any).context("the encoder on the GPU needs an adapter")?;
    let (mut ours, mut twin) = (Encoder::open_on(&context, config)?, Encoder::open(config)?);
    let (mut samples, mut bytes, mut frames) = (Vec::new(), 0, 0u64);
    let started = Instant::now();
    let timed = |work: &mut dyn FnMut() -> anyhow::Result<()>| -> anyhow::Result<Option<f64>> {
        let before = thread_cpu_seconds();
        work()?;
        Ok(before.zip(thread_cpu_seconds()).map(|(before, after)| after - before))
    };
    for (number, picture) in (0..).zip(&reel.pictures) {
        if samples.len() >= LEAST && started.elapsed() > PATIENCE {
            break;
        }
        let before = ours.traffic().unwrap_or_default();
        let input = FrameInput { frame: number, keyframe: number == 0 };
        let (mut unit, mut same, mut info) = (Vec::new(), Vec::new(), None);
        let submit = timed(&mut || Ok(ours.submit(picture, input)?))?;
        let poll = timed(&mut || {
            info = ours.poll(&mut unit)?;
            Ok(())
        })?;
        twin.submit(picture, input)?;
        let words = timed(&mut || {
            twin.poll(&mut same)?;
            Ok(())
        })?;
        anyhow::ensure!(unit == same, "frame {number} differs between gpu and cpu; please report it with this clip");
        anyhow::ensure!(
            ours.info().device != "cpu" && ours.gpu().is_some(),
            "the GPU was lost: {}",
            ours.info().device
        );
        frames += 1;
        bytes += unit.len() as u64;
        if info.is_some_and(|info| !info.keyframe) {
            let Traffic { up, last_back, .. } = ours.traffic().unwrap_or_default();
            let clock = ours.gpu_micros();
            samples.push(Sample { up: up - before.up, back: last_back, submit, poll, words, clock });
        }
    }
    anyhow::ensure!(!samples.is_empty(), "{} gives no inter frame; name a clip of two frames or more", reel.name);
    let traffic = ours.traffic().unwrap_or_default();
    let kbps = bytes as f64 * 8.0 / 1e3 * f64::from(reel.fps.0) / f64::from(reel.fps.1) / frames as f64;
    writeln!(
        said,
        "Measured: {} of {size}, {frames} frames at {kbps:.0} kbit/s for {:.0}, on {}; medians of {} inter frames\n",
        reel.name,
        f64::from(bits) / 1e3,
        ours.info().device,
        samples.len()
    )?;
    let of = |value: &dyn Fn(&Sample) -> Option<f64>| -> Option<Timing> {
        let mut values: Vec<f64> = samples.iter().filter_map(value).collect();
        (!values.is_empty()).then(|| spread(&mut values))
    };
    let ms = |seconds: Option<f64>| seconds.map(|seconds| seconds * 1e3);
    let wait = |s: &Sample| Some(s.poll? - s.words?);
    let all = |s: &Sample| Some(s.submit? + s.poll?);
    let rows = [
        ("to the GPU", "bytes", of(&|s| Some(s.up as f64))),
        ("from the GPU", "bytes", of(&|s| Some(s.back as f64))),
        ("host: upload, record, submit", "ms of CPU", of(&|s| ms(s.submit))),
        ("host: wait, unpack, checkpoint", "ms of CPU", of(&|s| ms(wait(s)))),
        ("host: words", "ms of CPU", of(&|s| ms(s.words))),
        ("host without words", "ms of CPU", of(&|s| ms(Some(s.submit? + wait(s)?)))),
        ("host", "ms of CPU", of(&|s| ms(all(s)))),
        ("the adapter's own clock", "ms", of(&|s| Some(s.clock? as f64 / 1e3))),
    ];
    let mut table = Table::new(&["a frame", "median", "low", "high", "unit"]);
    for (what, unit, timing) in rows {
        let Some(Timing { median, low, high }) = timing else { continue };
        let cells = [median, low, high].map(|v| if unit == "bytes" { format!("{v:.0}") } else { format!("{v:.3}") });
        table.row(&[what, &cells[0], &cells[1], &cells[2], unit]);
        let params = json!({"size": size.to_string(), "clip": reel.name, "figure": what, "how": "measured",
            "device": ours.info().device, "frames": samples.len(), "kbps": kbps});
        let name = format!("{what}, {}", reel.name);
        out.push(Figure { group: "explain", name, params, unit, median, low, high });
    }
    writeln!(
        said,
        "{table}\n  host: the thread that encodes, without the driver's own; words are those of the encoder on the CPU, waiting \
         is what the GPU's takes beyond them. Copies of references for the case that the GPU is lost: {} bytes in \
         {frames} frames; frames copied a second time: {}",
        traffic.checkpoints, traffic.second_copies
    )?;
    Ok(())
}
