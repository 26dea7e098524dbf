//! `conclave bench`: the matrix of throughput on this machine, every arm in one run, so that ratios hold.

mod codec;
mod convert;
mod crypto;
mod echo;
mod explain;
mod meeting;
mod peers;
mod pipeline;
mod queue;

use std::path::PathBuf;
use std::time::Instant;

use clap::ValueEnum;
use serde_json::{Value, json};

use crate::table::Table;

#[derive(clap::Args)]
pub struct Args {
    /// Which part of the matrix; all of it where none is named.
    #[arg(value_enum)]
    group: Option<Group>,
    /// A clip for the codecs, beside the rendered scene.
    #[arg(long)]
    input: Option<PathBuf>,
    /// One of our own encoders alone, without the programs; else all of them, gpu only where there is a GPU in hardware.
    #[arg(long)]
    encoder: Option<String>,
    /// Instead of the matrix what a frame of the encoder costs, pass by pass, and what it takes of the host; with
    /// `--encoder gpu`, which computes on the CPU where there is no GPU.
    #[arg(long)]
    explain: bool,
    /// A recording for what the speaker plays, in place of a rendered voice; with `echo`.
    #[arg(long)]
    far: Option<PathBuf>,
    /// A recording for who speaks at the microphone; with `echo`.
    #[arg(long)]
    near: Option<PathBuf>,
    /// Milliseconds to spend on each figure; meetings and clips grow with it.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    millis: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Group {
    /// Seal, open and packetize, by frame size and cipher arm, beside the bare AEAD call.
    Crypto,
    /// The hand-off between threads.
    Queue,
    /// Colour conversion and scaling, on the CPU and on the GPU.
    Convert,
    /// Whole meetings in virtual time.
    Pipeline,
    /// Encoders and decoders on one clip, with installed programs as peers.
    Codec,
    /// What echo cancellation, noise suppression and gain do to a conversation in a rendered room.
    Echo,
}

/// An arm that could not be measured here.
pub struct Absent {
    pub name: String,
    pub why_not: String,
}

/// One figure: the median of several samples, with the spread. A figure measured once has none.
#[derive(serde::Serialize)]
pub struct Figure {
    pub group: &'static str,
    pub name: String,
    pub params: Value,
    pub unit: &'static str,
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

impl Figure {
    /// How often a second something of which `one` takes so many seconds is done, `scale` of the unit each time.
    fn rate(group: &'static str, name: String, params: Value, unit: &'static str, scale: f64, one: Timing) -> Self {
        let [median, low, high] = [one.median, one.high, one.low].map(|seconds| scale / seconds);
        Self { group, name, params, unit, median, low, high }
    }

    /// A figure that was measured once.
    fn once(group: &'static str, name: String, params: Value, unit: &'static str, value: f64) -> Self {
        Self { group, name, params, unit, median: value, low: value, high: value }
    }
}

/// Seconds of one call.
#[derive(Clone, Copy)]
pub struct Timing {
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

/// Runs the matrix and prints it.
pub fn run(args: Args, as_json: bool) -> anyhow::Result<()> {
    let wanted = |group| args.group.is_none_or(|g| g == group);
    anyhow::ensure!(
        args.input.is_none() || wanted(Group::Codec),
        "--input names a clip for the codecs; say `conclave bench codec --input CLIP`"
    );
    anyhow::ensure!(
        args.encoder.is_none() || wanted(Group::Codec),
        "--encoder names an encoder for the codecs; say `conclave bench codec --encoder NAME`"
    );
    anyhow::ensure!(
        (args.far.is_none() && args.near.is_none()) || wanted(Group::Echo),
        "--far and --near name voices for the echo; say `conclave bench echo --far A.wav --near B.wav`"
    );
    let (mut figures, mut absent) = (Vec::new(), Vec::new());
    if args.explain {
        anyhow::ensure!(
            wanted(Group::Codec) && args.encoder.as_deref() == Some("gpu"),
            "--explain takes the encoder on the GPU apart; say `conclave bench codec --encoder gpu --explain`"
        );
        let said = explain::run(args.input.as_deref(), args.millis, &mut figures)?;
        if as_json {
            print_json(&figures, &absent)
        } else {
            print!("{said}")
        }
        return Ok(());
    }
    // First, because a clip that cannot be read should not cost the time of the other groups.
    if wanted(Group::Codec) {
        let encoders = codec::encoders(args.encoder.as_deref())?;
        codec::run(args.input.as_deref(), args.millis, &encoders, &mut figures, &mut absent)?;
    }
    if wanted(Group::Echo) {
        echo::run([args.far.as_deref(), args.near.as_deref()], &mut figures)?;
    }
    if wanted(Group::Crypto) {
        crypto::run(args.millis, &mut figures)?;
    }
    if wanted(Group::Queue) {
        queue::run(args.millis, &mut figures);
    }
    if wanted(Group::Convert) {
        convert::run(args.millis, &mut figures, &mut absent)?;
    }
    if wanted(Group::Pipeline) {
        pipeline::run(args.millis, &mut figures)?;
    }
    if as_json {
        print_json(&figures, &absent);
        return Ok(());
    }
    let (echo, others): (Vec<_>, Vec<_>) = figures.iter().partition(|f| f.group == "echo");
    if !echo.is_empty() {
        println!("{}", echo::table(&echo));
    }
    let (single, spread): (Vec<_>, Vec<_>) = others.into_iter().partition(|f| f.group == "codec");
    if !single.is_empty() {
        println!("{}", codec::table(&single));
    }
    let mut table = Table::new(&["group", "name", "median", "low", "high", "unit"]);
    for f in &spread {
        let [median, low, high] = [f.median, f.low, f.high].map(|v| format!("{v:.2}"));
        table.row(&[f.group, &f.name, &median, &low, &high, f.unit]);
    }
    if !spread.is_empty() {
        println!("{table}");
    }
    absent.iter().for_each(|a| println!("not measured: {}: {}", a.name, a.why_not));
    Ok(())
}

fn print_json(figures: &[Figure], absent: &[Absent]) {
    let absent: Vec<Value> = absent.iter().map(|a| json!({"name": a.name, "why_not": a.why_not})).collect();
    println!("{}", json!({"machine": machine(), "results": figures, "absent": absent}));
}

/// Seconds of one call of `work`: median, fastest and slowest of the samples taken in about `millis`.
pub fn time(millis: u64, mut work: impl FnMut()) -> Timing {
    time_each(millis, || (), |()| work())
}

/// Like [`time`], for work that uses up an input: inputs are made in batches outside the measured time.
pub fn time_each<T, R>(millis: u64, mut make: impl FnMut() -> T, mut work: impl FnMut(T) -> R) -> Timing {
    work(make());
    let (input, start) = (make(), Instant::now());
    work(input);
    let once = start.elapsed().as_secs_f64().max(1e-9);
    let budget = millis as f64 / 1000.0;
    let batch = ((budget / 15.0 / once) as usize).clamp(1, if size_of::<T>() == 0 { 1_000_000 } else { 32 });
    let (mut samples, mut inputs, mut outputs) = (Vec::new(), Vec::with_capacity(batch), Vec::with_capacity(batch));
    let (start, mut measured) = (Instant::now(), 0.0);
    // Making the inputs may cost more than using them: the whole may take four times as long.
    while samples.len() < 3 || (measured < budget && start.elapsed().as_secs_f64() < 4.0 * budget) {
        inputs.extend((0..batch).map(|_| make()));
        let begun = Instant::now();
        outputs.extend(inputs.drain(..).map(&mut work));
        let spent = begun.elapsed().as_secs_f64();
        outputs.clear();
        measured += spent;
        samples.push(spent / batch as f64);
    }
    spread(&mut samples)
}

/// Median, least and greatest.
pub fn spread(samples: &mut [f64]) -> Timing {
    samples.sort_by(f64::total_cmp);
    Timing { median: samples[samples.len() / 2], low: samples[0], high: samples[samples.len() - 1] }
}

/// What the figures were measured on.
fn machine() -> Value {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|l| l.strip_prefix("model name")).map(|l| l.trim_start_matches([' ', '\t', ':']));
    json!({
        "cpu": model.unwrap_or("unknown"),
        "threads": std::thread::available_parallelism().map_or(1, usize::from),
        "os": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
        "adapters": conclave::gpu::adapters().iter().map(|a| a.name.clone()).collect::<Vec<_>>(),
        "version": env!("CARGO_PKG_VERSION"),
    })
}
