//! Two clocks that should run at one pace and do not: how much faster to read or write, so that a store between them keeps
//! its level. Pure: it is told an error and the time that passed, and answers with a speed.
//!
//! A loop of the second order: the error (in seconds of sound) goes through a median, which takes out single outliers, and
//! a low pass; a proportional part brings the level back, an integral part learns the drift, so that a constant drift
//! leaves no error. The speed moves by a bounded step only, so that pitch never jumps.

/// How the loop behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    /// Speed for a second of error, per second.
    pub proportional: f64,
    /// Speed learnt from a second of error in a second, per second.
    pub integral: f64,
    /// Time constant of the low pass before both, in seconds.
    pub smooth_s: f64,
    /// Largest correction, in parts per million. Good devices drift by 50, bad ones by several hundred.
    pub most_ppm: f64,
    /// Largest correction beyond the drift that was learnt, in parts per million.
    pub kick_ppm: f64,
    /// Largest change of the correction in a second, in parts per million.
    pub slew_ppm: f64,
}

impl Default for Config {
    /// Settles within half a minute, damped; 10 ms of jitter move the pitch by a few dozen ppm (a cent is 578).
    fn default() -> Self {
        Self { proportional: 0.4, integral: 0.04, smooth_s: 1.0, most_ppm: 2_000.0, kick_ppm: 1_000.0, slew_ppm: 400.0 }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Drift {
    config: Config,
    last: [f64; WINDOW],
    seen: usize,
    smooth: Option<f64>,
    learnt_ppm: f64,
    ppm: f64,
}

/// Errors that the median looks at: two outliers in a row are left out.
const WINDOW: usize = 5;

/// What is learnt in a second of an error that is too large to be drift.
const SLOWLY_PPM: f64 = 20.0;

impl Drift {
    /// A loop that knows of no drift.
    pub fn new(config: Config) -> Self {
        Self { config, last: [0.0; WINDOW], seen: 0, smooth: None, learnt_ppm: 0.0, ppm: 0.0 }
    }

    /// `passed_s` after the last call, the store is `error_s` seconds too full. Answers with the factor by which to empty it
    /// faster, about 1.
    pub fn update(&mut self, error_s: f64, passed_s: f64) -> f64 {
        let middle = self.look(error_s);
        self.steer(middle, passed_s)
    }

    /// The first half of [`Drift::update`]: the error without outliers. A caller for whom it is too large for drift begins
    /// anew and calls [`Drift::forget`]; another goes on with [`Drift::steer`].
    pub fn look(&mut self, error_s: f64) -> f64 {
        self.last[self.seen % WINDOW] = error_s;
        self.seen += 1;
        self.median()
    }

    /// The second half of [`Drift::update`].
    pub fn steer(&mut self, middle: f64, passed_s: f64) -> f64 {
        let passed_s = passed_s.clamp(0.0, 1.0);
        let share = 1.0 - (-passed_s / self.config.smooth_s.max(1e-6)).exp();
        let smooth = self.smooth.map_or(middle, |old| old + (middle - old) * share);
        self.smooth = Some(smooth);
        let Config { proportional, integral, most_ppm, kick_ppm, slew_ppm, .. } = self.config;
        let kick = proportional * smooth * 1e6;
        // What needs more than a kick is mostly a level that was disturbed: it says little of the drift.
        let learn = if kick.abs() < kick_ppm { integral * smooth * 1e6 } else { SLOWLY_PPM.copysign(smooth) };
        self.learnt_ppm = (self.learnt_ppm + learn * passed_s).clamp(-most_ppm, most_ppm);
        let wanted = (self.learnt_ppm + kick.clamp(-kick_ppm, kick_ppm)).clamp(-most_ppm, most_ppm);
        let step = slew_ppm * passed_s;
        self.ppm += (wanted - self.ppm).clamp(-step, step);
        self.speed()
    }

    /// The store was filled or emptied on purpose: earlier errors say nothing any more, and what was learnt stands.
    pub fn forget(&mut self) {
        (self.seen, self.smooth) = (0, None);
    }

    /// The factor as of the last update.
    pub fn speed(&self) -> f64 {
        1.0 + self.ppm * 1e-6
    }

    /// The drift that was learnt, in parts per million; positive where the side that fills is fast.
    pub fn learnt_ppm(&self) -> f64 {
        self.learnt_ppm
    }

    fn median(&self) -> f64 {
        let count = self.seen.min(WINDOW);
        let mut sorted = self.last;
        sorted[..count].sort_unstable_by(f64::total_cmp);
        sorted[count / 2]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store filled by a clock that is `ppm` fast, looked at every 10 ms with an error of measurement: the largest level
    /// beyond the first minute, the largest step of the speed from one look to the next, and the loop.
    fn follow(ppm: f64, seconds: usize, mut noise: impl FnMut(usize) -> f64) -> (f64, f64, Drift) {
        let mut drift = Drift::new(Config::default());
        let (mut level, mut worst, mut step, mut speed) = (0.0f64, 0.0f64, 0.0f64, 1.0f64);
        for n in 0..seconds * 100 {
            level += (1.0 + ppm * 1e-6 - speed) * 0.01;
            let new = drift.update(level + noise(n), 0.01);
            step = step.max((new - speed).abs() * 1e6);
            speed = new;
            if n > 6_000 {
                worst = worst.max(level.abs());
            }
        }
        (worst, step, drift)
    }

    #[test]
    fn any_drift_within_the_limit_is_learnt_and_leaves_no_error() {
        for ppm in [-1_000.0, -200.0, -3.0, 0.0, 50.0, 200.0, 1_000.0] {
            let (worst, _, drift) = follow(ppm, 120, |_| 0.0);
            assert!((drift.learnt_ppm() - ppm).abs() < 2.0, "{ppm}: {}", drift.learnt_ppm());
            assert!(worst < 0.000_6, "{ppm}: {worst} s off");
        }
    }

    #[test]
    fn jitter_and_bursts_do_not_shake_the_pitch() {
        let mut random = fastrand::Rng::with_seed(3);
        // Callbacks up to 8 ms late, and every 7 s two in a row that are off by 150 ms.
        let (worst, step, drift) =
            follow(200.0, 240, |n| random.f64() * 0.008 - 0.004 + if n % 700 < 2 { 0.15 } else { 0.0 });
        assert!((drift.learnt_ppm() - 200.0).abs() < 60.0, "{}", drift.learnt_ppm());
        assert!((drift.speed() - 1.0).abs() < 0.000_5, "{}", drift.speed());
        assert!(worst < 0.002, "{worst} s off");
        assert!(step <= 4.01, "a step of {step} ppm");
    }

    #[test]
    fn a_hopeless_clock_is_followed_to_the_limit_and_forgotten_at_once() {
        let (_, step, mut drift) = follow(50_000.0, 100, |_| 0.0);
        assert!((drift.speed() - 1.002).abs() < 1e-9 && step <= 4.01);
        drift.forget();
        for _ in 0..3_000 {
            drift.update(0.0, 0.01);
        }
        assert!(drift.speed() <= 1.002 + 1e-9 && drift.learnt_ppm() <= 2_000.0);
    }

    #[test]
    fn time_that_stands_still_or_leaps_changes_nothing_by_more_than_its_step() {
        let mut drift = Drift::new(Config::default());
        assert_eq!(drift.update(1.0, 0.0), 1.0);
        let leap = drift.update(1.0, 1e9);
        assert!((leap - 1.0) * 1e6 <= 400.0 + 1e-3, "{leap}");
    }
}
