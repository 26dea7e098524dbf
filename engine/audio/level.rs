//! How loud it is: in decibels, and on a meter with the inertia that an eye wants.

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
}
