//! A conversation in a rendered room: what the parts of the sound's processing remove, keep and cost.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use conclave::audio::process::judge::{self, Verdict};
use conclave::audio::process::room::{Room, Scene, Talk};
use conclave::audio::process::{Config, Noise, Processor};
use conclave::audio::{BLOCK, RATE};
use conclave::capture::FileAudio;
use conclave::capture::voice::Voice;
use conclave::codecs::opus;

use super::{Figure, spread};
use crate::table::Table;

/// `voices` are the files of the far and of the near one, where they are not rendered.
pub fn run(voices: [Option<&Path>; 2], out: &mut Vec<Figure>) -> anyhow::Result<()> {
    let [far, near] = [(voices[0], 3), (voices[1], 4)].map(|(path, seed)| path.map_or_else(|| Ok(voice(seed)), file));
    let (far, near) = (far?, near?);
    let hall = Room {
        seed: 9,
        delay: Duration::from_millis(180),
        reverb: Duration::from_millis(500),
        loss_db: 0.0,
        noise_dbfs: -60.0,
    };
    for (place, room) in [("desk", Room::default()), ("hall", hall)] {
        let scene = room.play(&far, &near, &SCRIPT);
        for (arm, config) in arms() {
            let (verdict, mut costs) = arm_of(config, &scene)?;
            let Verdict { erle_db, converged, near_loss_db, both_loss_db, both_erle_db } = verdict;
            let params = json!({
                "room": place, "arm": arm, "seconds": scene.mic.len() as f64 / f64::from(RATE),
                "delay_ms": room.delay.as_millis() as u64, "reverb_ms": room.reverb.as_millis() as u64,
                "loss_db": room.loss_db, "noise_dbfs": room.noise_dbfs,
                "erle_db": erle_db, "converged_s": converged.map(|t| t.as_secs_f64()),
                "near_loss_db": near_loss_db, "both_loss_db": both_loss_db, "both_erle_db": both_erle_db,
            });
            let cost = spread(&mut costs);
            let [median, low, high] = [cost.median, cost.low, cost.high].map(|s| s * 1e6);
            let name = format!("{arm}, {place}");
            out.push(Figure { group: "echo", name, params, unit: "us/10 ms", median, low, high });
        }
    }
    Ok(())
}

/// A row for each arm in each room.
pub fn table(figures: &[&Figure]) -> Table {
    const COLUMNS: [&str; 5] = ["erle_db", "converged_s", "near_loss_db", "both_erle_db", "both_loss_db"];
    let heads = ["ERLE dB", "after s", "near loss dB", "both: ERLE dB", "both: near loss dB", "us per 10 ms"];
    let mut table = Table::new(&["echo", heads[0], heads[1], heads[2], heads[3], heads[4], heads[5]]);
    for figure in figures {
        let cell = |name: &str| figure.params[name].as_f64().map_or(String::new(), |value| format!("{value:.1}"));
        let cost = format!("{:.0}", figure.median);
        let cells = COLUMNS.map(cell);
        let row = std::iter::once(figure.name.as_str()).chain(cells.iter().map(String::as_str)).chain([cost.as_str()]);
        table.row(&row.collect::<Vec<_>>());
    }
    table
}

fn arms() -> [(&'static str, Config); 4] {
    let echo = Config { echo: true, high_pass: true, ..Config::bypass() };
    [
        ("bypass", Config::bypass()),
        ("echo", echo),
        ("echo+noise", Config { noise: Noise::Moderate, ..echo }),
        ("all", Config::default()),
    ]
}

/// The verdict, and seconds for a block, one for each second of the scene.
fn arm_of(config: Config, scene: &Scene) -> anyhow::Result<(Verdict, Vec<f64>)> {
    let mut processor = Processor::new(config)?;
    let (mut out, mut costs) = (scene.mic.clone(), Vec::new());
    for (heard, played) in out.chunks_exact_mut(RATE as usize).zip(scene.far.chunks_exact(RATE as usize)) {
        let start = Instant::now();
        for (heard, played) in heard.chunks_exact_mut(BLOCK).zip(played.chunks_exact(BLOCK)) {
            processor.render(played)?;
            processor.capture(heard)?;
        }
        costs.push(start.elapsed().as_secs_f64() * BLOCK as f64 / f64::from(RATE));
    }
    let lag = (processor.lag().as_secs_f64() * f64::from(RATE)).round() as usize;
    Ok((judge::scene(scene, &out, lag), costs))
}

fn voice(seed: u64) -> Vec<i16> {
    let mut pcm = vec![0; SECONDS * RATE as usize];
    Voice::new(seed).fill(&mut pcm);
    pcm
}

/// The first channel of the first seconds of a file.
fn file(path: &Path) -> anyhow::Result<Vec<i16>> {
    let decoder = |channels| Ok(Box::new(opus::Decoder::open(channels)?) as Box<_>);
    let audio = FileAudio::open(path, decoder)?;
    let mut audio = audio.ok_or_else(|| anyhow::anyhow!("{} has no sound; name another file", path.display()))?;
    let channels = usize::from(audio.channels());
    let mut pcm = vec![0; SECONDS * RATE as usize * channels];
    let count = audio.read(&mut pcm)?;
    anyhow::ensure!(count > 0, "{} holds no sample; name another file", path.display());
    Ok(pcm[..count * channels].iter().step_by(channels).copied().collect())
}

/// Of each voice; a shorter one begins again.
const SECONDS: usize = 20;

const SCRIPT: [(Talk, f32); 4] = [(Talk::Far, 8.0), (Talk::Near, 6.0), (Talk::Both, 8.0), (Talk::Far, 6.0)];
