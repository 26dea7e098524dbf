//! Whole meetings in virtual time: pictures carried from camera to screen in a second of processor time.

use serde_json::json;

use conclave::codecs::Size;

use super::meeting::{Codecs, meeting, play};
use super::{Figure, spread};
use crate::cpu::cpu_seconds;

pub fn run(millis: u64, out: &mut Vec<Figure>) -> anyhow::Result<()> {
    let long = |frames: u64| (frames * millis / 200).clamp(frames / 4, 18_000);
    case("with doubles for the codecs, 320x180", Codecs::Doubles, Size::new(320, 180), long(900), out)?;
    case("with cpu and dav1d, 160x90", Codecs::Real, Size::new(160, 90), long(60), out)
}

fn case(name: &str, codecs: Codecs, size: Size, frames: u64, out: &mut Vec<Figure>) -> anyhow::Result<()> {
    let (mut samples, mut shown) = (Vec::new(), frames);
    for _ in 0..3 {
        let meeting = meeting(codecs, size, frames).map_err(|error| anyhow::anyhow!("{error}"))?;
        let cpu = cpu_seconds();
        shown = play(meeting).map_err(|error| anyhow::anyhow!("{error}"))?.min(shown);
        // The system counts in hundredths of a second.
        samples.push((cpu_seconds() - cpu).max(0.01));
    }
    let params = json!({"size": size.to_string(), "frames": frames, "shown": shown, "loss_percent": 2});
    let timing = spread(&mut samples);
    out.push(Figure::rate("pipeline", name.into(), params, "frames/CPU-s", frames as f64, timing));
    Ok(())
}
