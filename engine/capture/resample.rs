//! Any usual sample rate → 48 kHz: a polyphase windowed-sinc filter, linear in phase, aligned to its input.

/// Brings interleaved samples of 1 or 2 channels to 48 kHz. Output sample 0 lies at input sample 0.
pub struct Resampler {
    channels: usize,
    /// Output samples per `step` input samples.
    phases: usize,
    step: usize,
    taps: usize,
    /// `phases` filters of `taps` coefficients each.
    filters: Vec<f32>,
    /// Input not yet left behind, interleaved; begins with half a filter of silence.
    held: Vec<f32>,
    /// Phase of the next output sample, against the first held input sample.
    phase: usize,
    /// Output samples per channel that the input so far accounts for, and how many were given.
    due: u64,
    given: u64,
    taken: u64,
}

/// The rate that comes out.
pub const OUT_RATE: u32 = 48_000;

impl Resampler {
    /// `None` where the rate has no small ratio to 48 kHz (its filters would be more than 1024), or is outside
    /// 1…384 kHz.
    pub fn new(rate: u32, channels: u8) -> Option<Self> {
        let divisor = gcd(rate.max(1), OUT_RATE);
        let (phases, step) = ((OUT_RATE / divisor) as usize, (rate / divisor) as usize);
        if phases > 1024 || !(1000..=384_000).contains(&rate) || !(1..=2).contains(&channels) {
            return None;
        }
        // Downwards the filter widens, so that it cuts off below the new half rate.
        let cutoff = CUTOFF * (f64::from(OUT_RATE) / f64::from(rate)).min(1.0);
        let half = (f64::from(HALF_WIDTH) / (cutoff / CUTOFF)).ceil() as usize;
        let taps = 2 * half;
        let mut filters = Vec::with_capacity(phases * taps);
        for phase in 0..phases {
            let fraction = phase as f64 / phases as f64;
            let row: Vec<f64> = (0..taps)
                .map(|tap| {
                    let x = tap as f64 - (half - 1) as f64 - fraction;
                    sinc(cutoff * x) * kaiser(x / half as f64)
                })
                .collect();
            // Every phase passes a constant unchanged.
            let sum: f64 = row.iter().sum();
            filters.extend(row.iter().map(|c| (c / sum) as f32));
        }
        let channels = usize::from(channels);
        let held = vec![0.0; (half - 1) * channels];
        Some(Self { channels, phases, step, taps, filters, held, phase: 0, due: 0, given: 0, taken: 0 })
    }

    /// Takes interleaved input and appends what it completes to `out`.
    pub fn push(&mut self, input: &[i16], out: &mut Vec<i16>) {
        self.taken += (input.len() / self.channels) as u64;
        self.due = (self.taken * self.phases as u64).div_ceil(self.step as u64);
        if self.phases == self.step {
            out.extend_from_slice(input);
            self.given = self.due;
            return;
        }
        self.held.extend(input.iter().map(|s| f32::from(*s)));
        self.run(out);
    }

    /// No more input follows: appends what is held back.
    pub fn finish(&mut self, out: &mut Vec<i16>) {
        if self.given < self.due {
            self.held.resize(self.held.len() + self.taps * self.channels, 0.0);
            self.run(out);
        }
    }

    fn run(&mut self, out: &mut Vec<i16>) {
        let mut at = 0;
        while (at + self.taps) * self.channels <= self.held.len() && self.given < self.due {
            let filter = &self.filters[self.phase * self.taps..][..self.taps];
            let window = &self.held[at * self.channels..];
            for channel in 0..self.channels {
                let samples = window[channel..].iter().step_by(self.channels);
                let sum: f32 = filter.iter().zip(samples).map(|(c, s)| c * s).sum();
                out.push(sum.round().clamp(-32768.0, 32767.0) as i16);
            }
            self.given += 1;
            self.phase += self.step;
            at += self.phase / self.phases;
            self.phase %= self.phases;
        }
        self.held.drain(..(at * self.channels).min(self.held.len()));
    }
}

fn sinc(x: f64) -> f64 {
    let x = x * std::f64::consts::PI;
    if x.abs() < 1e-9 { 1.0 } else { x.sin() / x }
}

/// Kaiser window over -1…1, side lobes below -90 dB.
fn kaiser(x: f64) -> f64 {
    if x.abs() >= 1.0 { 0.0 } else { bessel(BETA * (1.0 - x * x).sqrt()) / bessel(BETA) }
}

/// The modified Bessel function of order 0, by its series.
fn bessel(x: f64) -> f64 {
    let mut term = 1.0;
    (1..60).fold(1.0, |sum, k| {
        term *= (x / 2.0 / f64::from(k)).powi(2);
        sum + term
    })
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Share of the half rate that passes.
const CUTOFF: f64 = 0.93;
/// Input samples on each side of an output sample, at rates up to 48 kHz.
const HALF_WIDTH: u32 = 40;
const BETA: f64 = 9.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(rate: u32, hz: f64, seconds: f64) -> Vec<i16> {
        let count = (f64::from(rate) * seconds) as usize;
        let step = hz * std::f64::consts::TAU / f64::from(rate);
        (0..count).map(|n| (12_000.0 * (step * n as f64).sin()).round() as i16).collect()
    }

    /// Worst difference from the ideal, the edges apart.
    fn error(rate: u32, hz: f64) -> i32 {
        let mut out = Vec::new();
        let mut resampler = Resampler::new(rate, 1).unwrap();
        // In uneven pieces, as a file gives them.
        tone(rate, hz, 0.5).chunks(777).for_each(|piece| resampler.push(piece, &mut out));
        resampler.finish(&mut out);
        let ideal = tone(OUT_RATE, hz, 0.5);
        assert_eq!(out.len(), ideal.len());
        let inner = 2000..out.len() - 2000;
        out[inner.clone()].iter().zip(&ideal[inner]).map(|(a, b)| (i32::from(*a) - i32::from(*b)).abs()).max().unwrap()
    }

    #[test]
    fn a_tone_comes_out_where_it_went_in() {
        for (rate, hz) in [(8000, 1000.0), (16_000, 5000.0), (22_050, 3000.0), (44_100, 15_000.0), (96_000, 10_000.0)] {
            assert!(error(rate, hz) <= 4, "{rate} Hz: off by {}", error(rate, hz));
        }
    }

    #[test]
    fn what_48_khz_cannot_hold_is_gone() {
        let mut out = Vec::new();
        let mut resampler = Resampler::new(96_000, 1).unwrap();
        resampler.push(&tone(96_000, 30_000.0, 0.2), &mut out);
        assert!(out[2000..].iter().all(|s| s.abs() <= 2));
    }

    #[test]
    fn channels_stay_apart() {
        let mut resampler = Resampler::new(16_000, 2).unwrap();
        let input: Vec<i16> = tone(16_000, 800.0, 0.1).into_iter().flat_map(|s| [s, 0]).collect();
        let mut out = Vec::new();
        resampler.push(&input, &mut out);
        resampler.finish(&mut out);
        assert_eq!(out.len(), 9600);
        assert!(out.chunks(2).all(|pair| pair[1] == 0) && out.chunks(2).any(|pair| pair[0] > 11_000));
    }

    #[test]
    fn rates_without_a_small_ratio_are_refused() {
        assert!(Resampler::new(47_999, 1).is_none() && Resampler::new(0, 1).is_none());
        assert!(Resampler::new(11_025, 1).is_some() && Resampler::new(192_000, 2).is_some());
    }
}
