//! From one sample rate to another that is steered while it runs: `rubato`'s asynchronous resampler behind the few calls
//! that a ring between two clocks needs. Allocates when it is made and never after.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{
    Adjustable, Async, FixedAsync, Resampler, SincInterpolationParameters, SincInterpolationType, WindowFunction,
};

/// Which side has a fixed number of frames at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fixed {
    /// So many frames go in; what comes out varies by a few.
    In(usize),
    /// So many frames come out; what goes in varies by a few.
    Out(usize),
}

/// See the module. Samples are interleaved, within ±1.
pub struct Stretch {
    inner: Async<f32>,
    channels: usize,
}

/// Taps of the filter: 64 at each side, which delay by 1.3 ms at 48 kHz.
const TAPS: usize = 128;

/// The furthest that a ratio may be steered.
const MOST: f64 = 1.02;

impl Stretch {
    /// From `from` to `to` hertz.
    ///
    /// # Panics
    /// A rate, the channels or the block are 0.
    pub fn new(from: u32, to: u32, channels: u8, fixed: Fixed) -> Self {
        let (frames, side) = match fixed {
            Fixed::In(frames) => (frames, FixedAsync::Input),
            Fixed::Out(frames) => (frames, FixedAsync::Output),
        };
        let parameters = SincInterpolationParameters::new(TAPS, WindowFunction::BlackmanHarris2)
            .interpolation(SincInterpolationType::Cubic);
        let (ratio, channels) = (f64::from(to) / f64::from(from), usize::from(channels));
        let inner = Async::new_sinc(ratio, MOST, &parameters, frames, channels, side).expect("rates above 0");
        Self { inner, channels }
    }

    /// From the next block on, `factor` times as many frames come out for those that go in, about 1. The ratio ramps there
    /// over the block.
    pub fn lengthen(&mut self, factor: f64) {
        let factor = factor.clamp(1.0 / MOST, MOST);
        self.inner.set_resample_ratio_relative(factor, true).expect("within the limits");
    }

    /// Frames that go in next.
    pub fn wants(&self) -> usize {
        self.inner.input_frames_next()
    }

    /// Frames that come out next.
    pub fn gives(&self) -> usize {
        self.inner.output_frames_next()
    }

    /// Most frames that ever go in, and come out, at once.
    pub fn most(&self) -> (usize, usize) {
        (self.inner.input_frames_max() + 4, self.inner.output_frames_max() + 4)
    }

    /// Frames by which the sound comes out later, at the rate that comes out.
    pub fn delay(&self) -> usize {
        self.inner.output_delay()
    }

    /// Forgets all that went in, and the steering.
    pub fn reset(&mut self) {
        self.inner.reset();
    }

    /// One block: [`Self::wants`] frames of `input` become [`Self::gives`] frames of `out`, whose number is returned.
    ///
    /// # Panics
    /// One of them is shorter.
    pub fn process(&mut self, input: &[f32], out: &mut [f32]) -> usize {
        let (channels, wants, gives) = (self.channels, self.wants(), self.gives());
        let input = InterleavedSlice::new(input, channels, wants).expect("frames that it wants");
        let mut out = InterleavedSlice::new_mut(out, channels, gives).expect("room for what it gives");
        let (_, made) = self.inner.process_into_buffer(&input, &mut out, None).expect("lengths that it named");
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tone of 1 kHz at `from` hertz, resampled; what came out after the first tenth of a second.
    fn tone(from: u32, to: u32, fixed: Fixed, lengthen: impl Fn(usize) -> f64) -> Vec<f32> {
        let mut stretch = Stretch::new(from, to, 1, fixed);
        let (most_in, most_out) = stretch.most();
        let (mut input, mut out, mut all, mut n) = (vec![0.0; most_in], vec![0.0; most_out], Vec::new(), 0usize);
        for block in 0..100 {
            stretch.lengthen(lengthen(block));
            let wants = stretch.wants();
            for sample in &mut input[..wants] {
                *sample = (n as f64 * std::f64::consts::TAU * 1_000.0 / f64::from(from)).sin() as f32 * 0.5;
                n += 1;
            }
            let made = stretch.process(&input, &mut out);
            all.extend_from_slice(&out[..made]);
        }
        all.split_off(to as usize / 10)
    }

    /// What differs from the tone that fits best, in decibels below it.
    fn purity_db(pcm: &[f32], rate: u32) -> f64 {
        let turn = std::f64::consts::TAU * 1_000.0 / f64::from(rate);
        let (mut re, mut im) = (0.0, 0.0);
        for (i, s) in pcm.iter().enumerate() {
            let angle = turn * i as f64;
            re += f64::from(*s) * angle.cos() * 2.0 / pcm.len() as f64;
            im += f64::from(*s) * angle.sin() * 2.0 / pcm.len() as f64;
        }
        let left = pcm.iter().enumerate().map(|(i, s)| {
            let angle = turn * i as f64;
            (f64::from(*s) - re * angle.cos() - im * angle.sin()).powi(2)
        });
        10.0 * (left.sum::<f64>() / (pcm.len() as f64 * 0.125)).log10()
    }

    #[test]
    fn a_tone_stays_pure_between_all_usual_rates() {
        for (from, to) in [(48_000, 48_000), (44_100, 48_000), (48_000, 44_100), (16_000, 48_000), (96_000, 48_000)] {
            for fixed in [Fixed::In(480), Fixed::Out(480)] {
                let mut pcm = tone(from, to, fixed, |_| 1.0);
                // A whole number of periods, for the fit.
                pcm.truncate(pcm.len() / (to as usize / 100) * (to as usize / 100));
                let purity = purity_db(&pcm, to);
                assert!(purity < -70.0, "{from} to {to}, {fixed:?}: {purity}");
            }
        }
    }

    #[test]
    fn a_steered_ratio_bends_the_tone_without_a_break() {
        let pcm = tone(48_000, 48_000, Fixed::Out(480), |block| if block % 20 < 10 { 1.001 } else { 0.999 });
        // A tone of 1 kHz at 0.5 moves by 0.0655 a sample at most, and by 0.0086 more or less from one to the next.
        for three in pcm.windows(3) {
            let bend = three[2] - 2.0 * three[1] + three[0];
            assert!(bend.abs() < 0.009, "{three:?}");
        }
    }
}
