//! How loud it is: a meter with the inertia that an eye wants, and a gate that guesses whether somebody speaks.

use super::RATE;

/// The quietest level that is told apart: digital silence (RFC 6464, section 3).
pub const SILENCE_DBFS: f32 = -127.0;

/// Root mean square of `pcm` in dBFS, where a full-scale square wave is 0.
pub fn dbfs(pcm: &[i16]) -> f32 {
    let sum: f64 = pcm.iter().map(|s| f64::from(*s) * f64::from(*s)).sum();
    power_dbfs(sum / (32_768.0 * 32_768.0) / pcm.len().max(1) as f64)
}

/// The same of samples within ±1.
pub fn dbfs_f32(pcm: &[f32]) -> f32 {
    let sum: f64 = pcm.iter().map(|s| f64::from(*s) * f64::from(*s)).sum();
    power_dbfs(sum / pcm.len().max(1) as f64)
}

fn power_dbfs(power: f64) -> f32 {
    (10.0 * power.max(1e-13).log10()).clamp(f64::from(SILENCE_DBFS), 0.0) as f32
}

/// A level as a packet's header carries it: whole decibels, -127 to 0.
pub fn coarse(dbfs: f32) -> i8 {
    dbfs.round().clamp(-127.0, 0.0) as i8
}

/// A level for the eye: up at once, down by a bounded speed.
#[derive(Clone, Copy, Debug)]
pub struct Meter {
    dbfs: f32,
}

impl Default for Meter {
    fn default() -> Self {
        Self { dbfs: SILENCE_DBFS }
    }
}

/// Fall of a meter in decibels a second.
const FALL_DB: f32 = 40.0;

impl Meter {
    /// `frames` samples of each channel, at 48 kHz, were of this level.
    pub fn feed(&mut self, dbfs: f32, frames: usize) {
        let fallen = self.dbfs - FALL_DB * frames as f32 / RATE as f32;
        self.dbfs = dbfs.max(fallen).max(SILENCE_DBFS);
    }

    /// Where the needle stands.
    pub fn dbfs(&self) -> f32 {
        self.dbfs
    }
}

/// Open while it sounds like speech: well above the noise that it follows, for longer than a click.
#[derive(Clone, Copy, Debug)]
pub struct Gate {
    floor_dbfs: f32,
    loud_ms: f32,
    hold_ms: f32,
}

impl Default for Gate {
    fn default() -> Self {
        Self { floor_dbfs: -60.0, loud_ms: 0.0, hold_ms: 0.0 }
    }
}

/// Speech stands so far above the noise, and lasts so long, before the gate opens; then it stays open through pauses
/// between words.
const ABOVE_DB: f32 = 10.0;
const OPENS_MS: f32 = 60.0;
const HOLDS_MS: f32 = 400.0;
/// The noise floor falls at once and rises slowly, so that speech does not become the floor.
const FLOOR_RISE_DB: f32 = 1.5;
/// Below that nothing counts as speech.
const LEAST_DBFS: f32 = -55.0;

impl Gate {
    /// `frames` samples of each channel, at 48 kHz, were of this level; whether the gate is open now.
    pub fn feed(&mut self, dbfs: f32, frames: usize) -> bool {
        let ms = frames as f32 * 1_000.0 / RATE as f32;
        self.floor_dbfs = dbfs.min(self.floor_dbfs + FLOOR_RISE_DB * ms / 1_000.0).clamp(-90.0, -20.0);
        let loud = dbfs > (self.floor_dbfs + ABOVE_DB).max(LEAST_DBFS);
        self.loud_ms = if loud { (self.loud_ms + ms).min(OPENS_MS) } else { (self.loud_ms - ms).max(0.0) };
        self.hold_ms = if self.loud_ms >= OPENS_MS { HOLDS_MS } else { (self.hold_ms - ms).max(0.0) };
        self.is_open()
    }

    /// Somebody seems to speak.
    pub fn is_open(&self) -> bool {
        self.hold_ms > 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_those_of_the_standard() {
        assert_eq!(coarse(dbfs(&[0; 960])), -127);
        assert_eq!(coarse(dbfs(&[i16::MIN; 960])), 0);
        let sine: Vec<i16> = (0..960).map(|i| ((f64::from(i) * 0.1309).sin() * 3_276.8) as i16).collect();
        assert!((dbfs(&sine) + 23.0).abs() < 0.1, "{}", dbfs(&sine));
        let float: Vec<f32> = sine.iter().map(|s| f32::from(*s) / 32_768.0).collect();
        assert!((dbfs_f32(&float) - dbfs(&sine)).abs() < 0.01);
        assert_eq!(dbfs(&[]), SILENCE_DBFS);
    }

    #[test]
    fn a_meter_rises_at_once_and_falls_slowly() {
        let mut meter = Meter::default();
        meter.feed(-20.0, 480);
        assert_eq!(meter.dbfs(), -20.0);
        for _ in 0..50 {
            meter.feed(SILENCE_DBFS, 480);
        }
        assert!((meter.dbfs() + 40.0).abs() < 0.1, "{}", meter.dbfs());
    }

    #[test]
    fn the_gate_opens_for_speech_and_not_for_clicks_or_steady_noise() {
        let mut gate = Gate::default();
        let mut feed = |dbfs: f32, blocks: usize| (0..blocks).filter(|_| gate.feed(dbfs, 480)).count();
        assert_eq!(feed(-65.0, 200), 0);
        assert_eq!(feed(-20.0, 3), 0, "a click of 30 ms");
        assert_eq!(feed(-65.0, 100), 0);
        assert!(feed(-30.0, 30) >= 24, "speech");
        assert!((30..=50).contains(&feed(-65.0, 100)), "it holds, and shuts");
        // A fan that is switched on opens it at first, and is taken for the floor after a while.
        feed(-45.0, 3_000);
        assert_eq!(feed(-45.0, 100), 0);
    }
}
