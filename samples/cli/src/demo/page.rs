//! What came of a rehearsal, as the page of the report.

use super::Args;
use conclave::meeting::policy::Row;

use super::group::{Person, Trust};
use super::outcome::{CHANGE, Outcome, cells};
use crate::report::{Figure, Mood, Plot, Protection, Report, Scale, Series, Sheet, Stage, Thumbnail, Verdict, png};

/// Width of a thumbnail in pixels: more than a page shows, and a tenth of a megabyte.
const THUMB: u32 = 320;

/// The report of `outcome`. Fails only where a thumbnail cannot be made.
pub fn page(outcome: &Outcome, args: &Args) -> anyhow::Result<Report> {
    let thumbnail = |(caption, sent, received): &(String, _, _)| -> anyhow::Result<Thumbnail> {
        Ok(Thumbnail { caption: caption.clone(), sent: png(sent, THUMB)?, received: Some(png(received, THUMB)?) })
    };
    Ok(Report {
        title: "A meeting, rehearsed".into(),
        verdicts: verdicts(outcome),
        protection: Some(protection(&outcome.group.trust)),
        figures: figures(outcome, args),
        stages: outcome
            .stages()
            .into_iter()
            .map(|(name, us)| {
                let [p50, p95, p99] = us.map(|us| us as f64);
                Stage { name: name.into(), p50, p95, p99 }
            })
            .collect(),
        sheets: vec![people(&outcome.group.trust), policy(&outcome.group.trust), group(outcome)],
        plots: plots(outcome),
        drops: outcome.drops().into_iter().map(|(cause, n)| (cause.into(), n)).collect(),
        thumbnails: outcome.watch.thumbnails.iter().map(thumbnail).collect::<Result<_, _>>()?,
        parameters: parameters(outcome, args),
    })
}

fn verdicts(outcome: &Outcome) -> Vec<Verdict> {
    let (watch, mut all) = (&outcome.watch, Vec::new());
    let mut say = |mood, text: String| all.push(Verdict { mood, text });
    match watch.mismatched {
        0 => say(
            Mood::Good,
            format!("{} frames were shown, each bit for bit what the encoder reconstructed.", watch.shown),
        ),
        n => say(Mood::Bad, format!("{n} of {} frames shown differ from what the encoder reconstructed.", watch.shown)),
    }
    match outcome.missing() {
        0 => say(Mood::Good, "No frame is missing.".into()),
        n => say(Mood::Fair, format!("{n} of {} captured frames were never shown.", watch.captured)),
    }
    match (watch.audio_gaps, watch.audio_concealed) {
        (0, 0) => say(Mood::Good, "Every packet of sound was played.".into()),
        (0, n) => {
            say(Mood::Good, format!("The sound has no gap; {n} of {} packets were concealed.", watch.audio_frames))
        }
        (n, _) => say(Mood::Bad, format!("The sound has {n} gaps.")),
    }
    let (group, proofs) = (&outcome.group, &outcome.group.proofs);
    match (proofs.forged, proofs.unproven) {
        (0, 0) if proofs.proven == outcome.seen.open.opened => {
            say(Mood::Good, "Every frame that was opened was proven to be its sender's.".into());
        }
        (0, 0) => say(Mood::Good, "No frame was forged, and none stayed unproven.".into()),
        (0, n) => say(Mood::Fair, format!("{n} frames were not proven in time to be their sender's.")),
        (n, _) => say(Mood::Bad, format!("{n} frames were forged by another member.")),
    }
    match group.guest.as_ref().map_or(0, |guest| guest.opened_after_leave) {
        0 if group.left_out.is_empty() => {
            say(Mood::Good, "A guest came and went, and nothing sealed after it had left was open to it.".into());
        }
        0 => {
            let names: Vec<_> = group.left_out.iter().map(|act| act.name()).collect();
            say(Mood::Fair, format!("The meeting is too short for: {}.", names.join(", ")));
        }
        n => say(Mood::Bad, format!("{n} frames that were sealed after the guest had left were open to it.")),
    }
    all
}

/// The sign of the meeting and its code.
fn protection(trust: &Trust) -> Protection {
    let said = match trust.codes_equal {
        true => format!("The security code of epoch {}, the same on both devices.", trust.epoch),
        false => format!("The security code of epoch {}; the receiver shows ANOTHER one.", trust.epoch),
    };
    Protection {
        sign: trust.shield.svg(),
        label: trust.shield.label().into(),
        sentence: trust.shield.sentence().into(),
        code: trust.code.split(' ').map(Into::into).collect(),
        picture: trust.qr.clone(),
        said,
    }
}

/// Who was in at the end.
fn people(trust: &Trust) -> Sheet {
    let row = |person: &Person| vec![person.name.clone(), person.role.into(), person.identity.clone()];
    Sheet {
        title: "People".into(),
        note: "the list in the tree of the group, at the end of the meeting".into(),
        head: ["Name", "Role", "Identity key begins"].map(Into::into).into(),
        rows: trust.roster.iter().map(row).collect(),
        facts: vec![],
    }
}

/// The policy that ruled, and who decided what.
fn policy(trust: &Trust) -> Sheet {
    let row = |row: &Row| {
        let locked = row.locked.map_or(String::new(), |level| level.to_string());
        [row.name.into(), row.value.clone(), row.by.to_string(), locked].map(dash).into()
    };
    Sheet {
        title: "Policy".into(),
        note: format!("its hash, which every epoch carries, begins with {}", trust.policy_hash),
        head: ["Setting", "Value", "Decided by", "Locked by"].map(Into::into).into(),
        rows: trust.policy.iter().map(row).collect(),
        facts: vec![],
    }
}

/// The group's row of each change, and the rest of what there is to say of it.
fn group(outcome: &Outcome) -> Sheet {
    Sheet {
        title: "The group".into(),
        note: "times from the wish on, in the meeting's time; CPU of sender and receiver".into(),
        head: CHANGE.map(|(_, head)| head.into()).into(),
        rows: outcome.group.changes.iter().map(|change| cells(change).map(dash).into()).collect(),
        facts: outcome.group.facts().into_iter().map(|(name, value)| (capital(name), value)).collect(),
    }
}

/// A cell of a page: what did not happen has a dash.
fn dash(cell: String) -> String {
    if cell.is_empty() { "–".into() } else { cell }
}

/// The name as it stands at the beginning of a line.
fn capital(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn figures(outcome: &Outcome, args: &Args) -> Vec<Figure> {
    let (watch, network) = (&outcome.watch, &outcome.network);
    let share = network.lost() as f64 * 100.0 / network.sent.max(1) as f64;
    let figure = |value: Option<f64>, digits: usize| value.map_or("–".into(), |v| format!("{v:.digits$}"));
    [
        ("Frames shown", watch.shown.to_string(), format!("of {} captured", watch.captured)),
        ("PSNR, luma", format!("{} dB", figure(watch.quality.psnr_y(), 2)), "shown against captured".into()),
        ("SSIM, luma", figure(watch.quality.ssim_y(), 4), "shown against captured".into()),
        (
            "Bitrate",
            format!("{:.0} kbit/s", outcome.kbps()),
            format!("with sound; video aims at {}", args.bitrate / 1000),
        ),
        ("Packets lost", format!("{share:.1} %"), format!("{} of {}", network.lost(), network.sent)),
        (
            "Packets repaired",
            outcome.repaired().to_string(),
            format!(
                "{} times asked, {} key frames",
                outcome.seen.receiver.nacks, outcome.seen.receiver.keyframe_requests
            ),
        ),
    ]
    .map(|(name, value, note)| Figure { name: name.into(), value, note })
    .into()
}

fn plots(outcome: &Outcome) -> Vec<Plot> {
    let series = |name: &str, points: &[(f64, f64)]| Series { name: name.into(), points: points.into() };
    let order: Vec<&str> = outcome.stages().into_iter().map(|(name, _)| name).collect();
    // A stage that never takes a microsecond has no place on a logarithmic axis.
    let drawn = order.iter().filter_map(|name| Some((name, outcome.watch.latency.get(name)?)));
    let drawn = drawn.filter(|(_, points)| points.iter().any(|p| p.1 > 0.0));
    let drawn = drawn.map(|(name, points)| series(name, points));
    vec![
        Plot {
            title: "Latency per stage".into(),
            unit: "ms, logarithmic; by time of the meeting".into(),
            scale: Scale::Log,
            series: drawn.collect(),
        },
        Plot {
            title: "Video bitrate".into(),
            unit: "kbit/s, in half seconds".into(),
            scale: Scale::Linear,
            series: vec![series("sent", &bitrate(&outcome.watch.sizes))],
        },
        Plot {
            title: "Loss and repairs".into(),
            unit: "count since the start".into(),
            scale: Scale::Linear,
            series: vec![
                series("packets lost", &outcome.losses),
                series("packets repaired", &outcome.repairs),
                series("key frames asked for", &outcome.asked),
            ],
        },
    ]
}

fn parameters(outcome: &Outcome, args: &Args) -> Vec<(String, String)> {
    let input = args.input.as_ref().map_or("the rendered scene".into(), |path| path.display().to_string());
    let encoder = &outcome.encoder;
    [
        ("Input", input),
        ("Encoder", format!("{} on {}, lag {} frames", encoder.name, encoder.device, encoder.max_lag)),
        ("Pacing", outcome.pacing()),
        (
            "Network",
            format!(
                "{} % loss{}, {} ms delay, {} ms jitter, {} % reordered, {} % doubled, {} % corrupted",
                args.loss,
                if args.burst { " and bursts" } else { "" },
                args.delay,
                args.jitter,
                args.reorder,
                args.duplicate,
                args.corrupt
            ),
        ),
        ("Seed", args.seed.to_string()),
        ("Sound behind picture", outcome.skew_us.map_or("unknown".into(), |us| format!("{} ms", us / 1000))),
        (
            "Time",
            format!("{:.1} s of meeting in {:.1} s, {:.1} s of processor", outcome.seconds, outcome.wall, outcome.cpu),
        ),
    ]
    .map(|(name, value)| (name.into(), value))
    .into()
}

/// Seconds of one point of the bitrate.
const SPAN: f64 = 0.5;

/// Sizes of frames summed to kbit/s, per half second: a point in the middle of each.
fn bitrate(sizes: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut out: Vec<(f64, f64)> = Vec::new();
    for (at, bytes) in sizes {
        let (middle, kbps) = ((at / SPAN).floor() * SPAN + SPAN / 2.0, bytes * 8.0 / 1000.0 / SPAN);
        match out.last_mut().filter(|(last, _)| *last == middle) {
            Some((_, sum)) => *sum += kbps,
            None => out.push((middle, kbps)),
        }
    }
    out
}
