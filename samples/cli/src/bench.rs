//! `conclave bench`: the matrix of throughput on this machine, every arm in one run, so that ratios hold.

mod crypto;

use std::time::Instant;

use clap::ValueEnum;
use serde_json::{Value, json};

use crate::table::Table;

#[derive(clap::Args)]
pub struct Args {
    /// Which part of the matrix; all of it where none is named.
    #[arg(value_enum)]
    group: Option<Group>,
    /// Milliseconds to spend on each figure.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    millis: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Group {
    Crypto,
}

/// One figure: the median of several samples, with the spread.
pub struct Figure {
    pub group: &'static str,
    pub name: String,
    pub params: Value,
    pub unit: &'static str,
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

/// Runs the matrix and prints it.
pub fn run(args: Args, as_json: bool) -> anyhow::Result<()> {
    let wanted = |group| args.group.is_none_or(|g| g == group);
    let mut figures = Vec::new();
    if wanted(Group::Crypto) {
        crypto::run(args.millis, &mut figures)?;
    }
    if as_json {
        let results: Vec<Value> = figures
            .iter()
            .map(|f| {
                json!({"group": f.group, "name": f.name, "params": f.params, "unit": f.unit,
                       "median": f.median, "low": f.low, "high": f.high})
            })
            .collect();
        println!("{}", json!({"machine": machine(), "results": results}));
        return Ok(());
    }
    let mut table = Table::new(&["group", "name", "median", "low", "high", "unit"]);
    for f in &figures {
        let [median, low, high] = [f.median, f.low, f.high].map(|v| format!("{v:.2}"));
        table.row(&[f.group, &f.name, &median, &low, &high, f.unit]);
    }
    println!("{table}");
    Ok(())
}

/// Seconds of one call of `work`: median, fastest and slowest of the samples taken in about `millis`.
pub fn time(millis: u64, mut work: impl FnMut()) -> (f64, f64, f64) {
    work();
    let start = Instant::now();
    work();
    let once = start.elapsed().as_secs_f64().max(1e-9);
    let budget = millis as f64 / 1000.0;
    let batch = ((budget / 15.0 / once) as u64).clamp(1, 1_000_000);
    let mut samples = Vec::new();
    let start = Instant::now();
    while samples.len() < 3 || (start.elapsed().as_secs_f64() < budget && samples.len() < 200) {
        let begun = Instant::now();
        (0..batch).for_each(|_| work());
        samples.push(begun.elapsed().as_secs_f64() / batch as f64);
    }
    spread(&mut samples)
}

/// Median, least and greatest.
pub fn spread(samples: &mut [f64]) -> (f64, f64, f64) {
    samples.sort_by(f64::total_cmp);
    (samples[samples.len() / 2], samples[0], samples[samples.len() - 1])
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
