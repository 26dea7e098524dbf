//! `conclave demo`: a whole meeting in one process. Compute stages are measured, the network is simulated in virtual
//! time, and every shown frame is judged. Its keys are those of a real group, which a guest joins and leaves in the
//! middle; what that costs is measured too.

mod cast;
mod devices;
mod group;
mod outcome;
mod page;
mod watch;

use std::path::{Path, PathBuf};
use std::time::Instant;

use conclave::codecs::Size;
use conclave::e2ee::group::GroupSuite;
use conclave::netem::Burst;
use conclave::rehearsal::Rehearsal;
use conclave::time::Time;

use crate::cpu::cpu_seconds;
use crate::input;
use group::{Course, STEP_US};
use outcome::Outcome;
use watch::Watch;

/// What the meeting is like.
#[derive(clap::Args, Clone)]
pub struct Args {
    /// A video file (y4m, AV1 in ivf, mkv, webm, mp4; others through ffmpeg); the rendered scene without one.
    pub input: Option<PathBuf>,
    /// A sound file (wav, ogg); the input's own sound, or the rendered voice, without one.
    #[arg(long)]
    pub audio: Option<PathBuf>,
    /// Pictures of a camera, by its id of `conclave devices`; without one the system's.
    #[arg(long, value_name = "ID", num_args = 0..=1)]
    pub camera: Option<Option<String>>,
    /// Pictures of a screen, likewise.
    #[arg(long, value_name = "ID", num_args = 0..=1)]
    pub screen: Option<Option<String>>,
    /// Pictures of a window, likewise.
    #[arg(long, value_name = "ID", num_args = 0..=1)]
    pub window: Option<Option<String>>,
    /// Sound of a microphone, likewise.
    #[arg(long, value_name = "ID", num_args = 0..=1)]
    pub mic: Option<Option<String>>,
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
    /// Everything random follows from it, the group's own keys aside.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Seconds of the rendered scene, or of a device.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub seconds: u64,
    /// Stop after so many video frames.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub frames: Option<u64>,
    /// Size of the encoded video; the input's own without it (the scene's is 640x360).
    #[arg(long, value_parser = input::size)]
    pub size: Option<Size>,
    /// Frame rate of the rendered scene, or asked of a device.
    #[arg(long, default_value = "30", value_parser = input::rate)]
    pub fps: (u32, u32),
    /// Target of the video encoder.
    #[arg(long, default_value = "1000k", value_parser = input::bitrate)]
    pub bitrate: u32,
    /// Encoder by name, or auto for the best that holds no frame back; those there are stand in `conclave probe`. One
    /// that holds frames back, rav1e say, is paced as if offline.
    #[arg(long, default_value = "auto")]
    pub encoder: String,
    /// Speed of the encoder, 10 the fastest.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u8).range(0..=10))]
    pub speed: u8,
    /// Keys of the group: hybrid, or classical, which withstands no quantum computer.
    #[arg(long, default_value = "hybrid", value_parser = input::suite)]
    pub suite: GroupSuite,
    /// Where pictures are converted: auto takes a real GPU, else the CPU; gpu takes a software driver too.
    #[arg(long, default_value = "auto", value_parser = input::device)]
    pub convert: conclave::gpu::Prefer,
    /// Takes noise out of the pictures before they are encoded: light, medium or strong.
    #[arg(long, value_parser = input::denoise)]
    pub denoise: Option<conclave::gpu::Strength>,
    /// Lifts pictures taken in little light: gentle or strong.
    #[arg(long, default_value = "off", value_parser = input::lift)]
    pub lift: conclave::gpu::Lift,
    /// Where the report goes.
    #[arg(long, default_value = "conclave-report.html")]
    pub report: PathBuf,
}

/// Virtual time after the last picture in which late packets may still arrive.
const DRAIN_US: u64 = 1_500_000;

/// Virtual time between two looks at the progress.
const LOOK_US: u64 = 200_000;

/// Plays the meeting, prints the table and writes the report.
pub fn run(args: Args, as_json: bool) -> anyhow::Result<()> {
    let (started, cpu) = (Instant::now(), cpu_seconds());
    // Said before the work, not after it.
    let folder = args.report.parent().filter(|folder| !folder.as_os_str().is_empty());
    anyhow::ensure!(
        folder.is_none_or(Path::is_dir) && !args.report.is_dir(),
        "the report cannot be written to {}; name a file in a folder that exists with --report",
        args.report.display()
    );
    devices::check(&args)?;
    let cast = cast::assemble(&args)?;
    let mut course = Course::new(cast.group, &args, cast.length_us);
    let about = cast.frames;
    let (encoder, session) = (cast.encoder.clone(), cast.session);
    let mut meeting = Rehearsal::new(cast.cast);
    let mut watch = Watch::new(about);
    let bar = indicatif::ProgressBar::new(about);
    let (mut repairs, mut losses, mut asked) = (Vec::new(), Vec::new(), Vec::new());
    let mut until = Time(0);
    loop {
        until = until.plus(STEP_US);
        let goes_on = meeting.run(until, &mut watch)?;
        course.step(until, &mut meeting, &mut watch, goes_on)?;
        if !goes_on || until.0.is_multiple_of(LOOK_US) {
            bar.set_position(watch.captured);
            let (at, seen) = (until.0 as f64 / 1e6, meeting.cast().receiver.snapshot());
            losses.push((at, meeting.networks().0.stats().lost() as f64));
            repairs.push((at, (seen.video_nack.repaired + seen.audio_nack.repaired) as f64));
            asked.push((at, seen.receiver.keyframe_requests as f64));
        }
        if !goes_on {
            break;
        }
    }
    let end = meeting.now();
    watch.sound_ended = true;
    let drained = end.plus(DRAIN_US);
    while until < drained {
        until = until.plus(STEP_US);
        meeting.run(until, &mut watch)?;
        course.step(until, &mut meeting, &mut watch, false)?;
    }
    bar.finish_and_clear();

    let outcome = Outcome {
        seen: meeting.cast().receiver.snapshot(),
        sent: *meeting.cast().sender.stats(),
        network: meeting.networks().0.stats().clone(),
        skew_us: meeting.cast().receiver.skew_us(),
        decode_failures: meeting.decode_failures(),
        seconds: (end.0 as f64 / 1e6).max(1e-3),
        wall: started.elapsed().as_secs_f64(),
        cpu: cpu_seconds() - cpu,
        group: course.end(&meeting, &watch)?,
        watch,
        encoder,
        session,
        losses,
        repairs,
        asked,
    };
    page::page(&outcome, &args)?.write(&args.report).map_err(|e| {
        anyhow::anyhow!(
            "the report {} cannot be written ({e}); name another place with --report",
            args.report.display()
        )
    })?;
    if as_json {
        println!("{}", outcome.json(&args));
    } else {
        outcome.print();
        println!("report: {}", args.report.display());
    }
    anyhow::ensure!(
        outcome.watch.mismatched == 0,
        "{} shown frames differ from what the encoder reconstructed; please report it with seed {}",
        outcome.watch.mismatched,
        args.seed
    );
    anyhow::ensure!(
        outcome.group.trust.codes_equal,
        "sender and receiver show different security codes; please report it with seed {}",
        args.seed
    );
    let opened = outcome.group.guest.as_ref().map_or(0, |guest| guest.opened_after_leave);
    anyhow::ensure!(
        opened == 0,
        "the guest opened {opened} frames that were sealed after it had left; please report it with seed {}",
        args.seed
    );
    Ok(())
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

/// The network of the arguments, back to the sender.
fn downlink(args: &Args) -> conclave::netem::Config {
    conclave::netem::Config { seed: args.seed ^ 1, loss: args.loss, delay_us: args.delay * 1000, ..Default::default() }
}
