//! `conclave demo`: a whole meeting in one process. Compute stages are measured, the network is simulated in virtual
//! time, and every shown frame is judged.

mod cast;
mod watch;

use std::path::PathBuf;
use std::time::Instant;

use serde_json::{Map, json};

use conclave::codecs::Size;
use conclave::netem::Burst;
use conclave::rehearsal::Rehearsal;
use conclave::time::Time;

use crate::input;
use crate::report::{self, Plot, Report};
use crate::table::Table;
use watch::Watch;

/// What the meeting is like.
#[derive(clap::Args, Clone)]
pub struct Args {
    /// A video file (y4m, AV1 in ivf, mkv, webm, mp4; others through ffmpeg); the rendered scene without one.
    pub input: Option<PathBuf>,
    /// A sound file (wav, ogg); the input's own sound, or the rendered voice, without one.
    #[arg(long)]
    pub audio: Option<PathBuf>,
    /// Random packet loss in percent.
    #[arg(long, default_value_t = 0.0, value_parser = input::percent)]
    pub loss: f32,
    /// Loss in bursts beside it.
    #[arg(long)]
    pub burst: bool,
    /// Delay of the network, one way, in milliseconds.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(0..=5_000))]
    pub delay: u64,
    /// Jitter of the network in milliseconds.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=5_000))]
    pub jitter: u64,
    /// Reordered packets in percent.
    #[arg(long, default_value_t = 0.0, value_parser = input::percent)]
    pub reorder: f32,
    /// Doubled packets in percent.
    #[arg(long, default_value_t = 0.0, value_parser = input::percent)]
    pub duplicate: f32,
    /// Packets with a flipped bit in percent.
    #[arg(long, default_value_t = 0.0, value_parser = input::percent)]
    pub corrupt: f32,
    /// Rate that the network carries, for example 2M.
    #[arg(long, value_parser = input::bitrate)]
    pub rate: Option<u32>,
    /// Everything random follows from it.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Seconds of the rendered scene.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub seconds: u64,
    /// Stop after so many video frames.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub frames: Option<u64>,
    /// Size of the encoded video; the input's own without it (the scene's is 640x360).
    #[arg(long, value_parser = input::size)]
    pub size: Option<Size>,
    /// Frame rate of the rendered scene.
    #[arg(long, default_value = "30", value_parser = input::rate)]
    pub fps: (u32, u32),
    /// Target of the video encoder.
    #[arg(long, default_value = "1000k", value_parser = input::bitrate)]
    pub bitrate: u32,
    /// Encoder by name; those there are stand in `conclave probe`.
    #[arg(long, default_value = "rav1e")]
    pub encoder: String,
    /// Speed of the encoder, 10 the fastest.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u8).range(0..=10))]
    pub speed: u8,
    /// Where pictures are converted: auto takes a real GPU, else the CPU; gpu takes a software driver too.
    #[arg(long, default_value = "auto", value_parser = input::device)]
    pub convert: conclave::gpu::Prefer,
    /// Where the report goes.
    #[arg(long, default_value = "conclave-report.html")]
    pub report: PathBuf,
}

/// Virtual time after the last picture in which late packets may still arrive.
const DRAIN_US: u64 = 1_500_000;

/// Virtual time between two looks at the progress.
const SLICE_US: u64 = 200_000;

/// Plays the meeting, prints the table and writes the report.
pub fn run(args: Args, as_json: bool) -> anyhow::Result<()> {
    let started = Instant::now();
    let cpu = cpu_seconds();
    let cast = cast::assemble(&args)?;
    let about = cast.frames;
    let encoder = cast.encoder.clone();
    let mut meeting = Rehearsal::new(cast.cast);
    let mut watch = Watch::new(about);
    let bar = indicatif::ProgressBar::new(about);
    let (mut repairs, mut losses, mut asked) = (Vec::new(), Vec::new(), Vec::new());
    let mut until = Time(0);
    loop {
        until = until.plus(SLICE_US);
        let goes_on = meeting.run(until, &mut watch)?;
        bar.set_position(watch.captured);
        let (at, seen) = (until.0 as f64 / 1e6, meeting.cast().receiver.snapshot());
        losses.push((at, meeting.networks().0.stats().lost() as f64));
        repairs.push((at, (seen.video_nack.repaired + seen.audio_nack.repaired) as f64));
        asked.push((at, seen.receiver.keyframe_requests as f64));
        if !goes_on {
            break;
        }
    }
    let end = meeting.now();
    watch.sound_ended = true;
    meeting.run(end.plus(DRAIN_US), &mut watch)?;
    bar.finish_and_clear();

    let seen = meeting.cast().receiver.snapshot();
    let sent = meeting.cast().sender.stats();
    let network = meeting.networks().0.stats();
    let seconds = (end.0 as f64 / 1e6).max(1e-3);
    let kbps = watch.bytes as f64 * 8.0 / 1000.0 / seconds;
    let (psnr, ssim) = (watch.quality.psnr_y(), watch.quality.ssim_y());
    let missing = watch.captured - watch.shown;
    let drops: Vec<(&str, u64)> = [
        ("network: lost at random", network.lost_random),
        ("network: lost in bursts", network.lost_burst),
        ("network: queue full", network.overflowed),
        ("packets malformed", seen.video_packets.malformed + seen.audio_packets.malformed + seen.receiver.malformed),
        ("packets foreign", seen.receiver.foreign),
        ("packets duplicate", seen.video_packets.duplicates + seen.audio_packets.duplicates),
        ("packets too old", seen.video_packets.too_old + seen.audio_packets.too_old),
        ("packets never completed", seen.video_packets.overflowed + seen.audio_packets.overflowed),
        ("frames tampered", seen.open.tampered),
        ("frames malformed", seen.open.malformed),
        ("frames replayed", seen.open.replayed),
        ("frames without a key", seen.open.missing_key),
        ("video frames undecodable", seen.video.undecodable),
        ("video frames late or double", seen.video.refused),
        ("video frames refused by the decoder", meeting.decode_failures()),
        ("audio packets late", seen.audio.late),
        ("audio packets left out", seen.audio.shortened),
    ]
    .into();

    let mut table = Table::new(&["stage", "p50 ms", "p95 ms", "p99 ms"]);
    let mut rows = Vec::new();
    for (name, p) in watch.stages.latency().rows() {
        let name = if name == "arrive" { "network" } else { name };
        let row = [p.p50, p.p95, p.p99].map(|us| format!("{:.3}", us as f64 / 1000.0));
        table.row(&[name, &row[0], &row[1], &row[2]]);
        let [p50, p95, p99] = row;
        rows.push([name.to_string(), p50, p95, p99]);
    }
    let verdict = format!(
        "{} frames captured, {} shown bit-equal to what the encoder reconstructed, {} mismatched, {missing} missing",
        watch.captured,
        watch.shown - watch.mismatched,
        watch.mismatched
    );
    let figure = |value: Option<f64>, digits: usize| value.map_or("none".into(), |v| format!("{v:.digits$}"));
    let summary: Vec<(String, String)> = [
        ("encoder", format!("{} on {}, lag {} frames", encoder.name, encoder.device, encoder.max_lag)),
        ("video shown", format!("{} of {}", watch.shown, watch.captured)),
        ("PSNR of luma", format!("{} dB", figure(psnr, 2))),
        ("SSIM of luma", figure(ssim, 4)),
        ("bitrate", format!("{kbps:.0} kbit/s")),
        ("packets", format!("{} sent, {} lost", network.sent, network.lost())),
        ("repaired", format!("{} packets", seen.video_nack.repaired + seen.audio_nack.repaired)),
        ("requests", format!("{} NACK, {} key frame", seen.receiver.nacks, seen.receiver.keyframe_requests)),
        (
            "sound",
            format!("{} packets, {} concealed, {} gaps", watch.audio_frames, watch.audio_concealed, watch.audio_gaps),
        ),
        (
            "sound behind picture",
            meeting.cast().receiver.skew_us().map_or("unknown".into(), |us| format!("{} ms", us / 1000)),
        ),
        ("seed", args.seed.to_string()),
        ("simulated", format!("{seconds:.1} s in {:.1} s", started.elapsed().as_secs_f64())),
    ]
    .map(|(name, value)| (name.to_string(), value))
    .into();

    let bitrate = per_second(&watch.sizes);
    let report = Report {
        title: "Conclave rehearsal".into(),
        verdict: verdict.clone(),
        summary: summary.clone(),
        stages: rows,
        drops: drops.iter().map(|(cause, n)| (cause.to_string(), *n)).collect(),
        plots: vec![
            Plot {
                title: "Latency per stage".into(),
                unit: "ms",
                lines: watch.latency.iter().map(|(name, points)| (name.to_string(), points.clone())).collect(),
            },
            Plot { title: "Video bitrate".into(), unit: "kbit/s", lines: vec![("video".into(), bitrate)] },
            Plot {
                title: "Losses and repairs so far".into(),
                unit: "count",
                lines: vec![
                    ("packets lost".into(), losses),
                    ("packets repaired".into(), repairs),
                    ("key frames asked for".into(), asked),
                ],
            },
        ],
        thumbnails: std::mem::take(&mut watch.thumbnails),
    };
    report::write(&report, &args.report).map_err(|e| {
        anyhow::anyhow!(
            "the report {} cannot be written ({e}); name another place with --report",
            args.report.display()
        )
    })?;

    if as_json {
        let latency: Map<_, _> = watch
            .stages
            .latency()
            .rows()
            .map(|(name, p)| {
                let name = if name == "arrive" { "network" } else { name };
                (name.to_string(), json!({"p50": p.p50, "p95": p.p95, "p99": p.p99}))
            })
            .collect();
        let drops: Map<_, _> = drops.iter().map(|(cause, n)| (cause.to_string(), json!(n))).collect();
        println!(
            "{}",
            json!({
                "frames_captured": watch.captured, "frames_sent": watch.sent, "frames_shown": watch.shown,
                "frames_missing": missing, "frames_mismatched": watch.mismatched, "psnr_y": psnr, "ssim_y": ssim,
                "bitrate_kbps": kbps, "encoder": encoder, "latency_us": latency,
                "audio": {"frames": watch.audio_frames, "concealed": watch.audio_concealed, "repaired": seen.audio.fec, "gaps": watch.audio_gaps},
                "network": {"packets": network.sent, "lost": network.lost(), "repaired": seen.video_nack.repaired + seen.audio_nack.repaired,
                            "nacks": seen.receiver.nacks, "keyframe_requests": seen.receiver.keyframe_requests, "resent": sent.resent},
                "drops": drops, "cpu_seconds": cpu_seconds() - cpu, "seed": args.seed, "report": args.report,
                "receiver": seen,
            })
        );
    } else {
        println!("{verdict}\n\n{table}");
        let mut facts = Table::new(&["", ""]);
        summary.iter().for_each(|(name, value)| facts.row(&[name, value]));
        println!("{}", facts.to_string().trim_start_matches('\n'));
        let mut counted = Table::new(&["dropped", "count"]);
        drops.iter().filter(|(_, n)| *n > 0).for_each(|(cause, n)| counted.row(&[cause, &n.to_string()]));
        println!("{counted}\nreport: {}", args.report.display());
    }
    anyhow::ensure!(
        watch.mismatched == 0,
        "{} shown frames differ from what the encoder reconstructed; please report it with seed {}",
        watch.mismatched,
        args.seed
    );
    Ok(())
}

/// Sizes of frames summed to kbit/s per second of time.
fn per_second(sizes: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut out: Vec<(f64, f64)> = Vec::new();
    for (at, bytes) in sizes {
        let second = at.floor();
        match out.last_mut().filter(|(last, _)| *last == second) {
            Some((_, sum)) => *sum += bytes * 8.0 / 1000.0,
            None => out.push((second, bytes * 8.0 / 1000.0)),
        }
    }
    out
}

/// The network of the arguments, towards the receiver.
fn uplink(args: &Args) -> conclave::netem::Config {
    conclave::netem::Config {
        seed: args.seed,
        loss: args.loss,
        burst: args.burst.then_some(Burst { enter: 0.005, leave: 0.2, loss: 0.7 }),
        delay_us: args.delay * 1000,
        jitter_us: args.jitter * 1000,
        reorder: args.reorder,
        duplicate: args.duplicate,
        corrupt: args.corrupt,
        rate_bps: args.rate.map(u64::from),
        ..Default::default()
    }
}

/// Processor time of this process so far, in seconds; 0 where the system does not say.
pub fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    // Fields 14 and 15 of proc(5), in ticks of 10 ms; the name and the two before it are cut off.
    let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}
