//! The decision fuzzer by hand: chain after chain of random decisions, until the time is over or a judge does not agree.
//! A failing chain is made smaller, tool by tool, and what is left is printed with what runs it again.
//!
//!     cargo run --release -p conclave-codecs --example av1_fuzz -- --minutes 15 --seed 1

#[path = "../tests/av1_support/mod.rs"]
mod av1_support;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use av1_support::chain::{Chain, Report};
use av1_support::draw::{Tool, Tools};
use av1_support::judge::{self, Failure};
use conclave_codecs::Size;

/// Luma samples of a chain at most.
const SAMPLES: usize = 4_000_000;

const USAGE: &str = "\
usage: av1_fuzz [--minutes N] [--seed N] [--size WxH] [--frames N] [--without TOOL,…] [--save FILE.ivf]
  --minutes   how long to go on; without it, the chain of the seed alone
  --seed      of the first chain; each one after it has the next
  --size, --frames, --without   as a failure prints them
  --save      writes the failing stream";

#[derive(Default)]
struct Options {
    minutes: Option<u64>,
    seed: u64,
    size: Option<Size>,
    frames: Option<usize>,
    without: Vec<Tool>,
    save: Option<PathBuf>,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        let mut options = Self { seed: 1, ..Self::default() };
        while let Some(name) = arguments.next() {
            let value = arguments.next()?;
            match name.as_str() {
                "--minutes" => options.minutes = Some(value.parse().ok()?),
                "--seed" => options.seed = value.parse().ok()?,
                "--frames" => options.frames = Some(value.parse().ok().filter(|frames| *frames > 0)?),
                "--save" => options.save = Some(value.into()),
                "--size" => {
                    let (width, height) = value.split_once('x')?;
                    let size = Size::new(width.parse().ok()?, height.parse().ok()?);
                    options.size = (size.width.min(size.height) >= 16).then_some(size);
                    options.size?;
                }
                "--without" => {
                    for name in value.split(',') {
                        options.without.push(Tool::ALL.into_iter().find(|tool| tool.name() == name)?);
                    }
                }
                _ => return None,
            }
        }
        Some(options)
    }

    fn chain(&self, seed: u64) -> Chain {
        let mut chain = Chain::random(seed, SAMPLES);
        chain.ceiling = self.size.unwrap_or(chain.ceiling);
        chain.frames = self.frames.unwrap_or(chain.frames);
        chain.tools = self.without.iter().fold(chain.tools, |tools: Tools, tool| tools.without(*tool));
        chain
    }
}

fn main() -> ExitCode {
    let Some(options) = Options::parse(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    let (start, mut told) = (Instant::now(), 0);
    let length = Duration::from_secs(60 * options.minutes.unwrap_or(0));
    let mut all = Report::default();
    for chains in 1.. {
        let chain = options.chain(options.seed + chains - 1);
        match chain.run() {
            Ok(report) => all.add(&report),
            Err(failure) => {
                println!("chain {chains}: {failure}\n  {chain}");
                shrink(chain, failure, &options);
                return ExitCode::FAILURE;
            }
        }
        let minute = start.elapsed().as_secs() / 60;
        if start.elapsed() >= length || minute > told {
            told = minute;
            println!(
                "{minute} min: {chains} chains, {} frames, {} blocks, {} levels, {} bytes, {} % telling, {} programs, \
                 0 mismatches; last seed {}",
                all.frames,
                all.blocks,
                all.levels,
                all.bytes,
                100 * all.telling / all.samples,
                all.programs,
                chain.seed
            );
        }
        if start.elapsed() >= length {
            break;
        }
    }
    ExitCode::SUCCESS
}

/// Takes away frames, tools and area as long as the chain goes on failing.
fn shrink(whole: Chain, mut failure: Failure, options: &Options) {
    let mut chain = whole;
    let mut attempt = |smaller: Chain| {
        if let Err(found) = smaller.run() {
            let frames = found.frame().map_or(smaller.frames, |frame| frame + 1);
            (chain, failure) = (Chain { frames, ..smaller }, found);
        }
        chain
    };
    let mut smallest = attempt(whole);
    for tool in Tool::ALL {
        if smallest.tools.has(tool) {
            smallest = attempt(Chain { tools: smallest.tools.without(tool), ..smallest });
        }
    }
    for ceiling in [Size::new(16, 16), Size::new(24, 40), Size::new(64, 64), Size::new(72, 72), Size::new(130, 98)] {
        if ceiling.area() < smallest.ceiling.area() {
            smallest = attempt(Chain { ceiling, ..smallest });
        }
    }
    println!("smaller: {failure}\n  {chain}");
    let frame = failure.frame().unwrap_or(chain.frames - 1);
    let Ok((stream, decisions)) = std::panic::catch_unwind(|| chain.until(frame)) else { return };
    let cdef = &decisions.cdef;
    println!("  quantizer {}, {:?}, CDEF damping {}", decisions.quantizer, decisions.deblock, cdef.damping);
    cdef.strengths[..1 << cdef.bits].iter().for_each(|strength| println!("  {strength:?}"));
    if let Failure::Differs { plane, x, y, .. } = failure {
        let shift = if plane == conclave_codecs::Plane::Y { 3 } else { 2 };
        let (row, col) = (y >> shift, x >> shift);
        println!("  cell ({row}, {col}): {:?}", decisions.block(row, col));
    }
    if let Some(path) = &options.save {
        judge::save(&stream, path);
    }
}
