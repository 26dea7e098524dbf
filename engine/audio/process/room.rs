//! A room to judge echo in: two voices, a loudspeaker's way to the microphone, and noise, all known apart.
//!
//! The room's response is velvet noise under an exponential decay: one pulse in each half millisecond, at a drawn place
//! and of a drawn sign. It sounds and cancels like a dense tail, and costs a hundredth of it.

use std::ops::Range;
use std::time::Duration;

use crate::audio::RATE;

/// Where speaker and microphone stand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Room {
    /// Draws the response and the noise.
    pub seed: u64,
    /// From what is rendered to the first of it that the microphone hears, devices included.
    pub delay: Duration,
    /// Until the tail has fallen by 60 dB.
    pub reverb: Duration,
    /// How much weaker the microphone hears what the speaker plays, in dB.
    pub loss_db: f32,
    /// Loudness of the microphone's noise, in dBFS.
    pub noise_dbfs: f32,
}

impl Default for Room {
    /// A laptop on a desk.
    fn default() -> Self {
        Self {
            seed: 1,
            delay: Duration::from_millis(60),
            reverb: Duration::from_millis(250),
            loss_db: 6.0,
            noise_dbfs: -70.0,
        }
    }
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Talk {
    /// The loudspeaker alone.
    Far,
    /// The person at the microphone alone.
    Near,
    /// Both at once.
    Both,
}

/// A conversation in the room, each sound for itself and in the microphone.
#[derive(Clone, Debug)]
pub struct Scene {
    /// What the speaker plays.
    pub far: Vec<i16>,
    /// The person at the microphone, as it would be heard alone.
    pub near: Vec<i16>,
    /// What of the speaker arrives.
    pub echo: Vec<i16>,
    /// All of it and noise.
    pub mic: Vec<i16>,
    /// Who speaks when, in samples.
    pub talks: Vec<(Talk, Range<usize>)>,
}

impl Room {
    /// Plays `far` and `near` by turns: each entry of `script` is a talk and its seconds. Voices that end begin again.
    pub fn play(&self, far: &[i16], near: &[i16], script: &[(Talk, f32)]) -> Scene {
        let (mut talks, mut at) = (Vec::new(), 0);
        for (talk, seconds) in script {
            let end = at + (seconds * RATE as f32) as usize;
            talks.push((*talk, at..end));
            at = end;
        }
        let voice = |source: &[i16], silent: Talk| {
            let mut track = vec![0i16; at];
            let mut next = source.iter().copied().cycle();
            for (talk, span) in &talks {
                if *talk != silent {
                    track[span.clone()].iter_mut().zip(&mut next).for_each(|(out, sample)| *out = sample);
                }
            }
            track
        };
        let (far, near) = (voice(far, Talk::Near), voice(near, Talk::Far));
        let echo = self.echo(&far);
        let mut random = fastrand::Rng::with_seed(self.seed ^ 0x6e6f_6973);
        // Uniform noise of amplitude 1 has a power of 1/3.
        let loud = 32_768.0 * 10f32.powf(self.noise_dbfs / 20.0) * 3f32.sqrt();
        let mic = echo.iter().zip(&near).map(|(echo, near)| {
            let noise = (random.f32() * 2.0 - 1.0) * loud;
            round(f32::from(*echo) + f32::from(*near) + noise)
        });
        let mic = mic.collect();
        Scene { far, near, echo, mic, talks }
    }

    /// What the microphone hears of `far`.
    pub fn echo(&self, far: &[i16]) -> Vec<i16> {
        let mut out = vec![0f32; far.len()];
        for (at, tap) in self.response() {
            let Some(span) = out.get_mut(at..) else { break };
            span.iter_mut().zip(far).for_each(|(out, sample)| *out += tap * f32::from(*sample));
        }
        out.into_iter().map(round).collect()
    }

    /// Places and weights of the pulses, their power together that of `loss_db`.
    fn response(&self) -> Vec<(usize, f32)> {
        let mut random = fastrand::Rng::with_seed(self.seed);
        let samples = |time: Duration| (time.as_secs_f64() * f64::from(RATE)) as usize;
        let (first, tail) = (samples(self.delay), samples(self.reverb).max(1));
        let cell = RATE as usize / 2000;
        let mut taps = vec![(first, 1.0f32)];
        for cell_at in (cell..tail).step_by(cell) {
            let at = cell_at + random.usize(..cell);
            let sign = if random.bool() { 1.0 } else { -1.0 };
            // -60 dB at the end; half the direct sound at the start.
            taps.push((first + at, sign * 0.5 * 10f32.powf(-3.0 * at as f32 / tail as f32)));
        }
        let power: f32 = taps.iter().map(|(_, tap)| tap * tap).sum();
        let scale = 10f32.powf(-self.loss_db / 20.0) / power.sqrt();
        taps.iter_mut().for_each(|(_, tap)| *tap *= scale);
        taps
    }
}

fn round(sample: f32) -> i16 {
    sample.round().clamp(-32_768.0, 32_767.0) as i16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::level::dbfs;

    #[test]
    fn the_echo_comes_after_its_delay_and_weaker_by_the_loss() {
        let room = Room { loss_db: 10.0, ..Room::default() };
        let mut random = fastrand::Rng::with_seed(5);
        let far: Vec<i16> = (0..48_000).map(|_| random.i16(-8_000..8_000)).collect();
        let echo = room.echo(&far);
        assert!(echo[..2_879].iter().all(|s| *s == 0) && echo[2_880..2_890].iter().any(|s| *s != 0));
        let loss = dbfs(&far) - dbfs(&echo[20_000..]);
        assert!((loss - 10.0).abs() < 0.5, "{loss} dB");
    }

    #[test]
    fn a_scene_is_the_sum_of_its_parts() {
        let room = Room { noise_dbfs: -127.0, ..Room::default() };
        let scene = room.play(&[1_000, -1_000, 500], &[200, -300], &[(Talk::Far, 0.2), (Talk::Both, 0.2)]);
        assert_eq!(scene.mic.len(), 19_200);
        assert!(scene.near[..9_600].iter().all(|s| *s == 0));
        for n in 0..scene.mic.len() {
            let sum = i32::from(scene.echo[n]) + i32::from(scene.near[n]);
            assert!((i32::from(scene.mic[n]) - sum).abs() <= 1);
        }
    }
}
