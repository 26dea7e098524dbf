//! What a processor did to a conversation, in decibels, from sounds that are known apart.
//!
//! | figure | how |
//! |---|---|
//! | ERLE | power of the microphone over power of the output where the far end speaks alone, in frames in which the echo is at most 30 dB below its loudest; echo return loss enhancement as in ITU-T G.168, noise included |
//! | converged | the time from which every half second of far end alone has at least 20 dB of it |
//! | near loss | the same the other way round: power of the near voice over power of the output where it speaks alone |
//! | both | in 47 Hz by 21 ms cells of a spectrogram: the near voice's loss where it is 10 dB above the echo, and the echo's where that is 30 dB above the voice |
//!
//! A cell that one sound owns tells of that sound alone, whatever a filter that changes with time did to it; a
//! subtraction of waveforms would blame the processor for each shift of phase. The output is moved back by its lag first.

use std::f32::consts::TAU;
use std::ops::Range;
use std::time::Duration;

use super::room::{Scene, Talk};
use crate::audio::RATE;

/// What was found; `None` where the conversation has no such part.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Verdict {
    /// By how much the echo was taken down in the last far end alone, in dB.
    pub erle_db: Option<f32>,
    /// From the first sound of the far end on; `None` also where it never came to 20 dB.
    pub converged: Option<Duration>,
    /// What the near voice lost alone, in dB; below 0 where it was raised.
    pub near_loss_db: Option<f32>,
    /// What it lost while both spoke.
    pub both_loss_db: Option<f32>,
    /// By how much the echo was taken down while both spoke.
    pub both_erle_db: Option<f32>,
}

/// Judges `out`, which came of the microphone of `scene`, with a lag of `lag` samples.
pub fn scene(scene: &Scene, out: &[i16], lag: usize) -> Verdict {
    let out = &out[lag.min(out.len())..];
    let spans = |talk: Talk| scene.talks.iter().filter(move |(t, _)| *t == talk).map(|(_, span)| span.clone());
    // The first moments of a talk hold the echo and the tails of the one before.
    let settled = |span: Range<usize>| (span.start + RATE as usize / 2).min(span.end)..span.end.min(out.len());
    let both: Vec<_> = spans(Talk::Both).map(settled).collect();
    let (near, echo) = cells(scene, out, &both);
    Verdict {
        erle_db: spans(Talk::Far).next_back().and_then(|span| erle_db(&scene.mic, out, settled(span))),
        converged: spans(Talk::Far).next().and_then(|span| converged(&scene.mic, out, span)),
        near_loss_db: spans(Talk::Near).next_back().and_then(|span| erle_db(&scene.near, out, settled(span))),
        both_loss_db: near.db(),
        both_erle_db: echo.db(),
    }
}

/// Power of `input` over that of `out` within `span`, in dB, in frames of 10 ms in which `input` is loud enough to tell.
pub fn erle_db(input: &[i16], out: &[i16], span: Range<usize>) -> Option<f32> {
    let end = span.end.min(input.len()).min(out.len());
    let frames = || (span.start..end.saturating_sub(FRAME)).step_by(FRAME).map(|at| at..at + FRAME);
    let loudest = frames().map(|frame| power(&input[frame])).fold(0.0, f64::max);
    let mut ratio = Ratio::default();
    for frame in frames().filter(|frame| power(&input[frame.clone()]) > loudest * 1e-3) {
        ratio.add(power(&input[frame.clone()]), power(&out[frame]));
    }
    ratio.db()
}

/// How long after the first sound in `span` each half second that follows in it has an ERLE of at least 20 dB.
pub fn converged(input: &[i16], out: &[i16], span: Range<usize>) -> Option<Duration> {
    let half = RATE as usize / 2;
    let first = span.start + input[span.clone()].iter().position(|s| s.unsigned_abs() > 300)?;
    // A pause has nothing to take down: a frame 30 dB below the loudest of the whole span says nothing, and neither does
    // a half second without a tenth of a second of sound.
    let loudest = input[span.clone()].chunks_exact(FRAME).map(power).fold(0.0, f64::max);
    let judged = (first..span.end.saturating_sub(half)).step_by(half / 5).filter_map(|start| {
        let (mut ratio, mut frames) = (Ratio::default(), 0);
        for at in (start..start + half).step_by(FRAME) {
            let (before, after) = (power(&input[at..at + FRAME]), out.get(at..at + FRAME).map_or(0.0, power));
            if before > loudest * 1e-3 {
                ratio.add(before, after);
                frames += 1;
            }
        }
        ratio.db().filter(|_| frames >= 10).map(|db| (start, db >= GOOD_DB))
    });
    let judged: Vec<_> = judged.collect();
    let good = judged.iter().rposition(|(_, good)| !good).map_or(0, |last| last + 1);
    judged.get(good).map(|(start, _)| Duration::from_micros((start - first) as u64 * 1_000_000 / u64::from(RATE)))
}

/// By how many samples `out` comes after `input`, up to `most`: where they are most alike within `span`.
pub fn lag(input: &[i16], out: &[i16], span: Range<usize>, most: usize) -> usize {
    let end = span.end.min(input.len()).min(out.len().saturating_sub(most));
    let input = &input[span.start.min(end)..end];
    let alike = |lag: usize| -> f64 {
        input.iter().zip(&out[span.start.min(end) + lag..]).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    (0..=most).map(|lag| (lag, alike(lag))).max_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(lag, _)| lag)
}

/// Cells that the near voice owns, and cells that the echo owns, before and after.
fn cells(scene: &Scene, out: &[i16], spans: &[Range<usize>]) -> (Ratio, Ratio) {
    let (mut near, mut echo) = (Ratio::default(), Ratio::default());
    let mut spectra = [[0f32; CELLS]; 3];
    let frames = || spans.iter().flat_map(|span| (span.start..span.end.saturating_sub(WINDOW)).step_by(WINDOW / 2));
    let window: Vec<f32> = (0..WINDOW).map(|n| 0.5 - 0.5 * (TAU * n as f32 / WINDOW as f32).cos()).collect();
    let mut loudest = 0f32;
    for at in frames() {
        spectrum(&scene.near[at..at + WINDOW], &window, &mut spectra[0]);
        loudest = spectra[0].iter().copied().fold(loudest, f32::max);
    }
    for at in frames() {
        let sounds = [&scene.near, &scene.echo].map(|sound| &sound[at..at + WINDOW]);
        spectrum(sounds[0], &window, &mut spectra[0]);
        spectrum(sounds[1], &window, &mut spectra[1]);
        spectrum(&out[at..at + WINDOW], &window, &mut spectra[2]);
        for ((n, e), o) in spectra[0].iter().zip(&spectra[1]).zip(&spectra[2]) {
            let heard = |power: f32| power > loudest * 1e-5;
            if heard(*n) && *n > 10.0 * e {
                near.add((*n).into(), (*o).into());
            } else if heard(*e) && *e > 1000.0 * n {
                echo.add((*e).into(), (*o).into());
            }
        }
    }
    (near, echo)
}

/// Power before over power after.
#[derive(Clone, Copy, Default)]
struct Ratio {
    before: f64,
    after: f64,
}

impl Ratio {
    fn add(&mut self, before: f64, after: f64) {
        self.before += before;
        self.after += after;
    }

    fn db(self) -> Option<f32> {
        // An output of nothing at all is told as if one sample of it were 1.
        (self.before > 0.0).then(|| (10.0 * (self.before / self.after.max(1.0 / FRAME as f64)).log10()) as f32)
    }
}

fn power(pcm: &[i16]) -> f64 {
    pcm.iter().map(|s| f64::from(*s) * f64::from(*s)).sum::<f64>() / pcm.len().max(1) as f64
}

/// Powers of the lowest [`CELLS`] frequencies.
fn spectrum(pcm: &[i16], window: &[f32], out: &mut [f32; CELLS]) {
    let mut parts = [[0f32; 2]; WINDOW];
    for (n, (sample, weight)) in pcm.iter().zip(window).enumerate() {
        // The order in which the butterflies want them.
        parts[n.reverse_bits() >> (usize::BITS - WINDOW.ilog2())] = [f32::from(*sample) * weight, 0.0];
    }
    let mut width = 1;
    while width < WINDOW {
        let step = -TAU / (2 * width) as f32;
        for k in 0..width {
            let (sin, cos) = (step * k as f32).sin_cos();
            for at in (k..WINDOW).step_by(2 * width) {
                let ([ar, ai], [br, bi]) = (parts[at], parts[at + width]);
                let (tr, ti) = (br * cos - bi * sin, br * sin + bi * cos);
                parts[at] = [ar + tr, ai + ti];
                parts[at + width] = [ar - tr, ai - ti];
            }
        }
        width *= 2;
    }
    out.iter_mut().zip(&parts).for_each(|(power, [re, im])| *power = re * re + im * im);
}

/// Samples of a frame of 10 ms.
const FRAME: usize = 480;
/// Samples of a cell, 21 ms.
const WINDOW: usize = 1024;
/// Frequencies looked at, up to 8 kHz.
const CELLS: usize = 170;
/// A convergence is told against this.
const GOOD_DB: f32 = 20.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::process::room::Room;
    use crate::capture::voice::Voice;

    fn voice(seed: u64) -> Vec<i16> {
        let mut pcm = vec![0; 8 * RATE as usize];
        Voice::new(seed).fill(&mut pcm);
        pcm
    }

    #[test]
    fn a_known_filter_is_judged_as_what_it_is() {
        let script = [(Talk::Far, 4.0), (Talk::Near, 4.0), (Talk::Both, 4.0), (Talk::Far, 4.0)];
        let played = Room { noise_dbfs: -127.0, ..Room::default() }.play(&voice(3), &voice(4), &script);
        // A perfect canceller that came late: the echo is 26 dB down from 2 s on, and the voice 6 dB throughout.
        let out: Vec<i16> = std::iter::repeat_n(0, 99)
            .chain(played.echo.iter().zip(&played.near).enumerate().map(|(n, (echo, near))| {
                (f32::from(*echo) * if n < 96_000 { 1.0 } else { 0.05 } + f32::from(*near) * 0.5).round() as i16
            }))
            .collect();
        let found = lag(&played.near, &out, played.talks[1].1.clone(), 200);
        assert_eq!(found, 99);
        let verdict = scene(&played, &out, found);
        let near = |figure: Option<f32>, db: f32, off: f32| assert!((figure.unwrap() - db).abs() < off, "{verdict:?}");
        near(verdict.erle_db, 26.0, 0.3);
        near(verdict.near_loss_db, 6.0, 0.1);
        near(verdict.both_loss_db, 6.0, 0.5);
        near(verdict.both_erle_db, 26.0, 4.0);
        let seconds = verdict.converged.unwrap().as_secs_f32();
        assert!((1.0..2.3).contains(&seconds), "{seconds} s");
    }

    #[test]
    fn what_does_nothing_is_judged_as_nothing() {
        let played = Room::default().play(&voice(3), &voice(4), &[(Talk::Far, 4.0), (Talk::Near, 3.0)]);
        let verdict = scene(&played, &played.mic, 0);
        assert!(verdict.erle_db.unwrap().abs() < 0.01 && verdict.near_loss_db.unwrap().abs() < 0.1);
        assert_eq!((verdict.converged, verdict.both_erle_db), (None, None));
    }
}
