//! How loud somebody is, and who speaks.

/// A level that rises at once and falls slowly.
#[derive(Clone, Copy, Debug, Default)]
pub struct Level(f32);

impl Level {
    /// Takes one packet of samples. Silence to -50 dBFS is 0, full scale is 1.
    pub fn take(&mut self, pcm: &[i16]) {
        let power: f64 = pcm.iter().map(|s| f64::from(*s) * f64::from(*s)).sum();
        let rms = (power / pcm.len().max(1) as f64).sqrt() / 32768.0;
        let now = ((20.0 * rms.max(1e-6).log10() + 50.0) / 50.0).clamp(0.0, 1.0) as f32;
        self.0 = now.max(self.0 * FALL);
    }

    /// From 0 to 1.
    pub fn read(self) -> f32 {
        self.0
    }
}

/// Who is marked as speaking: the loudest, and the one before until another is clearly louder.
pub fn speaker(levels: &[Level], before: Option<usize>) -> Option<usize> {
    let loudest = (0..levels.len()).max_by(|a, b| levels[*a].0.total_cmp(&levels[*b].0))?;
    let held = before.filter(|at| levels.get(*at).is_some_and(|level| level.0 > QUIET));
    match held {
        Some(at) if levels[loudest].0 < levels[at].0 + LEAD => Some(at),
        _ => (levels[loudest].0 > QUIET).then_some(loudest),
    }
}

/// What is left of a level after a packet of silence, which lasts 20 ms.
const FALL: f32 = 0.9;
/// Below it nobody speaks.
const QUIET: f32 = 0.3;
/// By how much another has to be louder.
const LEAD: f32 = 0.15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_nothing_and_full_scale_is_all() {
        let mut level = Level::default();
        level.take(&[0; 960]);
        assert_eq!(level.read(), 0.0);
        level.take(&[i16::MIN; 960]);
        assert_eq!(level.read(), 1.0);
        level.take(&[]);
        assert!(level.read() < 1.0);
    }

    #[test]
    fn the_mark_does_not_jump_between_two_who_are_as_loud() {
        let levels = |a, b| [Level(a), Level(b)];
        assert_eq!(speaker(&levels(0.1, 0.2), None), None);
        assert_eq!(speaker(&levels(0.5, 0.6), None), Some(1));
        assert_eq!(speaker(&levels(0.5, 0.6), Some(0)), Some(0));
        assert_eq!(speaker(&levels(0.5, 0.7), Some(0)), Some(1));
        assert_eq!(speaker(&levels(0.2, 0.1), Some(0)), None);
        assert_eq!(speaker(&[], Some(3)), None);
    }
}
