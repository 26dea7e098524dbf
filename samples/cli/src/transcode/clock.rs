//! When each picture is shown: in the source's own time, or at a constant rate.

/// The times of the pictures on their way through the encoder, in microseconds.
pub struct Clock {
    /// The constant rate, where one was asked for.
    rate: Option<(u32, u32)>,
    /// A constant rate begins at the source's first time, and not at 0.
    follows: bool,
    /// How long the last picture is shown.
    lasts: u64,
    /// The source's first time.
    start: Option<u64>,
    first: u64,
    last: Option<u64>,
    /// Times by frame number, until the encoder returns the frame.
    kept: Vec<u64>,
    off: u64,
}

impl Clock {
    /// The source's own times, for a source of `fps`; the times of at least `kept` frames stay known.
    pub fn own(fps: (u32, u32), kept: usize) -> Self {
        let (lasts, kept) = (at(1, fps), vec![0; kept]);
        Self { rate: None, follows: false, lasts, start: None, first: 0, last: None, kept, off: 0 }
    }

    /// Frame number over rate; from the source's first time on where sound `follows`.
    pub fn constant(fps: (u32, u32), kept: usize, follows: bool) -> Self {
        Self { rate: Some(fps), follows, ..Self::own(fps, kept) }
    }

    /// Gives a frame its time; `source` is its time in the source. Times rise whatever a damaged source says.
    pub fn stamp(&mut self, frame: u64, source: u64) {
        let start = *self.start.get_or_insert(source);
        let time = match self.rate {
            Some(rate) => at(frame, rate) + if self.follows { start } else { 0 },
            None => source,
        };
        if self.rate.is_some() {
            self.off = self.off.max(source.saturating_sub(start).abs_diff(time.saturating_sub(start)));
        }
        let time = self.last.map_or(time, |last| time.max(last + STEP));
        self.first = self.last.map_or(time, |_| self.first);
        self.last = Some(time);
        let places = self.kept.len() as u64;
        self.kept[(frame % places) as usize] = time;
    }

    /// The time of a frame that the encoder returns.
    pub fn of(&self, frame: u64) -> u64 {
        self.kept[(frame % self.kept.len() as u64) as usize]
    }

    /// Where the last picture ends.
    pub fn end(&self) -> u64 {
        self.last.map_or(0, |last| last + self.lasts)
    }

    /// How long the clip is.
    pub fn length(&self) -> u64 {
        self.end() - self.first
    }

    /// By how much a picture at a constant rate misses its time in the source at most, where sound follows.
    pub fn off(&self) -> u64 {
        if self.follows { self.off } else { 0 }
    }
}

/// The time of frame `n` at a constant rate.
fn at(n: u64, (num, den): (u32, u32)) -> u64 {
    (u128::from(n) * u128::from(den) * 1_000_000 / u128::from(num)) as u64
}

/// Two pictures are at least one tick of Matroska apart.
const STEP: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn times(clock: &mut Clock, sources: &[u64]) -> Vec<u64> {
        sources.iter().enumerate().for_each(|(n, source)| clock.stamp(n as u64, *source));
        (0..sources.len() as u64).map(|n| clock.of(n)).collect()
    }

    #[test]
    fn the_sources_own_times_stay_and_rise_whatever_they_are() {
        let mut clock = Clock::own((25, 1), 8);
        assert_eq!(times(&mut clock, &[500_000, 533_000, 700_000, 701_000]), [500_000, 533_000, 700_000, 701_000]);
        assert_eq!((clock.end(), clock.length()), (741_000, 241_000));
        let mut clock = Clock::own((25, 1), 8);
        assert_eq!(times(&mut clock, &[9_000, 9_000, 9_000, 3_000, 13_500]), [9_000, 10_000, 11_000, 12_000, 13_500]);
        // Those of 100 years, as damaged files have them, do not overflow.
        clock.stamp(5, 100 * 366 * 86_400_000_000);
        assert_eq!(clock.end(), 100 * 366 * 86_400_000_000 + 40_000);
    }

    #[test]
    fn a_constant_rate_begins_at_nought_or_with_the_sound() {
        let sources = [40_000, 80_000, 400_000];
        let mut clock = Clock::constant((10, 1), 8, false);
        assert_eq!(times(&mut clock, &sources), [0, 100_000, 200_000]);
        assert_eq!((clock.length(), clock.off()), (300_000, 0));
        let mut clock = Clock::constant((10, 1), 8, true);
        assert_eq!(times(&mut clock, &sources), [40_000, 140_000, 240_000]);
        assert_eq!((clock.length(), clock.off()), (300_000, 160_000));
    }
}
