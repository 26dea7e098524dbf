//! `conclave devices`: cameras, screens, windows, microphones and speakers, and what becomes of them.

use std::io::Write;
use std::thread::sleep;
use std::time::{Duration, Instant};

use conclave::devices::{self, Device, Event, Layout, Listing, Watch};
use serde_json::json;

use crate::table::Table;

#[derive(clap::Args)]
pub struct Args {
    /// Go on, and tell of each device that comes, goes or changes.
    #[arg(long)]
    watch: bool,
    /// Stop watching after so many seconds.
    #[arg(long, requires = "watch", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: Option<u64>,
}

/// Prints what there is and, of what could not be looked at, why not.
pub fn run(args: Args, as_json: bool) -> anyhow::Result<()> {
    let listing = devices::list();
    if as_json && !args.watch {
        println!("{}", serde_json::to_string(&listing)?);
        return Ok(());
    }
    if !as_json {
        print(&listing);
    }
    if args.watch { watch(listing, args.seconds, as_json) } else { Ok(()) }
}

fn print(listing: &Listing) {
    let mut table = Table::new(&["kind", "id", "name", "gives"]);
    for device in &listing.devices {
        let name = if device.default { format!("{} (default)", device.name) } else { device.name.clone() };
        table.row(&[device.kind.name(), &device.id.to_string(), &name, &gives(device)]);
    }
    if listing.devices.is_empty() {
        println!("no camera, screen, window, microphone or speaker was found");
    } else {
        print!("{table}");
    }
    for unseen in &listing.unseen {
        println!("not looked at: {} through {}: {}; {}", unseen.kind, unseen.backend, unseen.why, unseen.hint);
    }
}

/// A line per event, one JSON object each with `--json`, beginning with what is there.
fn watch(listing: Listing, seconds: Option<u64>, as_json: bool) -> anyhow::Result<()> {
    let end = seconds.and_then(|seconds| Instant::now().checked_add(Duration::from_secs(seconds)));
    let mut watch = Watch::new();
    let found = watch.look(listing);
    if as_json {
        found.iter().try_for_each(|event| tell(event, true))?;
    }
    while end.is_none_or(|end| Instant::now() < end) {
        sleep(Duration::from_millis(devices::LOOK_MS));
        watch.look(devices::list()).iter().try_for_each(|event| tell(event, as_json))?;
    }
    Ok(())
}

/// A reader that went away ends the watch.
fn tell(event: &Event, as_json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if as_json {
        writeln!(out, "{}", json!(event))?;
    } else {
        let what = match event {
            Event::Added(_) => "added",
            Event::Removed(_) => "removed",
            Event::Changed(_) => "changed",
        };
        let device = event.device();
        writeln!(out, "{what} {} {} ({})", device.kind, device.id, device.name)?;
    }
    out.flush()?;
    Ok(())
}

/// The best picture or sound of a device, and how many other ways there are.
fn gives(device: &Device) -> String {
    let (best, ways) = match (device.video.first(), device.audio.first()) {
        (Some(mode), _) => {
            let layout = match mode.layout {
                Layout::Plain(format) => format.name(),
                Layout::Mjpeg => "mjpeg",
            };
            let rate = match mode.fps {
                (0, _) => "when it changes".to_owned(),
                (num, den) => format!("at {:.4}", f64::from(num) / f64::from(den.max(1)))
                    .trim_end_matches('0')
                    .trim_end_matches('.')
                    .to_owned(),
            };
            (format!("{} {layout} {rate}", mode.size), device.video.len())
        }
        (None, Some(mode)) => {
            let (low, high) = mode.rates;
            let rates = if low == high { format!("{low} Hz") } else { format!("{low} to {high} Hz") };
            (format!("{} channels, {rates}", mode.channels), device.audio.len())
        }
        (None, None) => return "known once it is open".to_owned(),
    };
    if ways > 1 { format!("{best}, and {} more", ways - 1) } else { best }
}
