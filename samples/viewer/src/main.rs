//! `viewer`: a whole meeting in one process, shown in a window.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use conclave::codecs::{Color, Matrix, Range, Size};
use conclave_viewer::meeting::{Config, Input};
use conclave_viewer::window;

/// Shows a meeting: everybody captures, encodes, seals and sends in this process, and the window receives, opens, decodes
/// and draws. Keys: l the ledger, m the mirror, f the whole screen, q the end.
#[derive(Parser)]
#[command(name = "viewer", version)]
struct Args {
    /// What everybody's camera sees: y4m, ivf, or AV1 in mkv, webm or mp4; the rendered scene where nothing is given.
    #[arg(conflicts_with_all = ["scene", "pattern"])]
    input: Option<PathBuf>,
    /// The rendered scene, which is the default.
    #[arg(long, conflicts_with = "pattern")]
    scene: bool,
    /// A test pattern.
    #[arg(long)]
    pattern: Option<Pattern>,
    /// Participants, 1 to 49.
    #[arg(long, default_value_t = 4)]
    people: usize,
    /// Width and height of the encoded pictures.
    #[arg(long, default_value = "320x180", value_parser = size)]
    size: Size,
    /// Pictures a second.
    #[arg(long, default_value_t = 15)]
    fps: u32,
    /// Matrix of the encoded pictures.
    #[arg(long, default_value = "709")]
    matrix: MatrixName,
    /// Range of the encoded pictures.
    #[arg(long, default_value = "limited")]
    range: RangeName,
    /// Seconds until the window closes by itself.
    #[arg(long)]
    seconds: Option<u64>,
    /// Writes what the window shows to this PNG, once ten pictures of everybody were seen.
    #[arg(long)]
    screenshot: Option<PathBuf>,
    /// Width and height of the window at first.
    #[arg(long, default_value = "960x540", value_parser = size)]
    window: Size,
    /// Opens the ledger from the start.
    #[arg(long)]
    ledger: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Pattern {
    Bars,
}

#[derive(Clone, Copy, ValueEnum)]
enum MatrixName {
    #[value(name = "601")]
    Bt601,
    #[value(name = "709")]
    Bt709,
    #[value(name = "2020")]
    Bt2020,
}

#[derive(Clone, Copy, ValueEnum)]
enum RangeName {
    Limited,
    Full,
}

fn main() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn,winit=error".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    if let Err(error) = run(Args::parse()) {
        eprintln!("viewer: {error:#}");
        std::process::exit(1);
    }
}

fn run(args: Args) -> anyhow::Result<()> {
    let input = match (args.pattern, args.input) {
        (Some(Pattern::Bars), _) => Input::Bars,
        (None, Some(path)) => Input::File(path),
        (None, None) => Input::Scene,
    };
    let matrix = match args.matrix {
        MatrixName::Bt601 => Matrix::Bt601,
        MatrixName::Bt709 => Matrix::Bt709,
        MatrixName::Bt2020 => Matrix::Bt2020,
    };
    let range = match args.range {
        RangeName::Limited => Range::Limited,
        RangeName::Full => Range::Full,
    };
    let config = Config { input, people: args.people, size: args.size, fps: args.fps, color: Color { matrix, range } };
    let window = window::Config {
        size: (args.window.width, args.window.height),
        length: args.seconds.map(Duration::from_secs),
        screenshot: args.screenshot,
        ledger: args.ledger,
        caption: "L ledger   M mirror   F full screen   Q quit".to_owned(),
    };
    let figures = window::open()?.run(config, window)?;
    let total = figures.total.unwrap_or_default();
    println!(
        "{} pictures shown, {} dropped, {} packets of sound dropped",
        figures.shown, figures.dropped, figures.silent
    );
    println!("capture to screen: p50 {:.1} ms, p95 {:.1} ms", ms(total.p50), ms(total.p95));
    Ok(())
}

fn ms(us: u64) -> f64 {
    us as f64 / 1000.0
}

/// Width and height as `320x180`.
fn size(text: &str) -> Result<Size, String> {
    let (width, height) = text.split_once('x').ok_or("write it as 320x180")?;
    let side = |side: &str| side.parse().ok().filter(|side| (16..=8192).contains(side));
    let sides = side(width).zip(side(height)).ok_or("each side is 16 to 8192")?;
    Ok(Size::new(sides.0, sides.1))
}
