//! A tone, and a judge of what became of it: its phase from window to window, its level, its frequency.
#![allow(dead_code)]

use std::f64::consts::{PI, TAU};

/// The tone of the tests, in hertz.
pub const HERTZ: f64 = 440.0;

/// Samples of one window: nearly whole periods, and shorter than a packet.
pub const WINDOW: usize = 960;

/// The tone at `seconds`, half of full scale.
pub fn tone(seconds: f64) -> f64 {
    (TAU * HERTZ * seconds).sin() * 0.5
}

/// What a judge found in windows of 20 ms.
#[derive(Clone, Copy, Debug)]
pub struct Verdict {
    /// Windows looked at.
    pub windows: usize,
    /// Largest step of the phase from one window to the next beside that of the tone, in radians.
    pub worst_step: f64,
    /// Windows with a step above [`BREAK`].
    pub breaks: usize,
    /// Windows with less than 70 % of the middle amplitude.
    pub dropouts: usize,
    /// Middle amplitude.
    pub amplitude: f64,
    /// By how much the frequency was off over all, in parts per million.
    pub off_ppm: f64,
}

/// A step of the phase that is a break: 0.2 rad of 440 Hz are 72 microseconds, 3.5 samples.
pub const BREAK: f64 = 0.2;

/// Judges `pcm`, of which each sample lasts `1 / rate` seconds.
pub fn judge(pcm: &[f32], rate: f64) -> Verdict {
    let turn = TAU * HERTZ / rate;
    // A Hann window: what is beside the tone counts little.
    let shape: Vec<f64> = (0..WINDOW).map(|i| 0.5 - 0.5 * (TAU * i as f64 / WINDOW as f64).cos()).collect();
    let found: Vec<(f64, f64)> = pcm
        .chunks_exact(WINDOW)
        .enumerate()
        .map(|(n, window)| {
            let (re, im) = window.iter().zip(&shape).enumerate().fold((0.0, 0.0), |(re, im), (i, (sample, share))| {
                let angle = turn * (n * WINDOW + i) as f64;
                (re + f64::from(*sample) * share * angle.sin(), im + f64::from(*sample) * share * angle.cos())
            });
            (im.atan2(re), (re * re + im * im).sqrt() * 4.0 / WINDOW as f64)
        })
        .collect();
    let mut amplitudes: Vec<f64> = found.iter().map(|(_, amplitude)| *amplitude).collect();
    amplitudes.sort_unstable_by(f64::total_cmp);
    let amplitude = amplitudes.get(amplitudes.len() / 2).copied().unwrap_or(0.0);
    let steps: Vec<f64> = found.windows(2).map(|w| wrap(w[1].0 - w[0].0)).collect();
    let seconds = (steps.len().max(1) * WINDOW) as f64 / rate;
    let turned: f64 = steps.iter().filter(|step| step.abs() < BREAK).sum();
    Verdict {
        windows: found.len(),
        worst_step: steps.iter().fold(0.0, |worst, step| worst.max(step.abs())),
        breaks: steps.iter().filter(|step| step.abs() > BREAK).count(),
        dropouts: found.iter().filter(|(_, a)| *a < 0.7 * amplitude).count(),
        amplitude,
        off_ppm: turned / (TAU * HERTZ * seconds) * 1e6,
    }
}

fn wrap(angle: f64) -> f64 {
    (angle + PI).rem_euclid(TAU) - PI
}

/// Samples until the tone is there.
pub fn onset(pcm: &[f32]) -> Option<usize> {
    pcm.iter().position(|sample| sample.abs() > 0.1)
}
