//! When the next picture may be taken.

use crate::time::Time;

/// At most one picture an interval in the mean. One interval may be saved up, so that what draws at the same rate, now early
/// and now late, gets a picture for each of its own, at once; and what begins to draw after a rest is not kept waiting.
pub struct Pace {
    next: Time,
    last: Option<Time>,
    interval_us: u64,
}

impl Pace {
    /// A picture may be taken at once, and then `interval_us` apart.
    pub fn new(interval_us: u64) -> Self {
        Self { next: Time(0), last: None, interval_us }
    }

    /// Microseconds from one picture to the next.
    pub fn interval_us(&self) -> u64 {
        self.interval_us
    }

    /// From when on. Two pictures that are closer together than half of an interval are one too many.
    pub fn due(&self) -> Time {
        let apart = self.last.map_or(Time(0), |last| last.plus(self.interval_us / 2));
        self.next.max(apart)
    }

    /// One was taken.
    pub fn taken(&mut self, now: Time) {
        let saved = Time(now.0.saturating_sub(self.interval_us));
        self.next = self.next.max(saved).plus(self.interval_us);
        self.last = Some(now);
    }

    /// What changed was not for this picture. What goes on so beside it is not asked about more often than it needs.
    pub fn passed(&mut self, now: Time) {
        self.last = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pictures taken of changes at `times`, each as soon as it may be.
    fn pictures(times: impl Iterator<Item = u64>) -> Vec<(u64, u64)> {
        let mut pace = Pace::new(33_333);
        let mut taken: Vec<(u64, u64)> = Vec::new();
        for change in times {
            let at = change.max(pace.due().0);
            match taken.last_mut() {
                Some(last) if last.1 >= change => {}
                _ => {
                    pace.taken(Time(at));
                    taken.push((change, at));
                }
            }
        }
        taken
    }

    #[test]
    fn who_draws_at_the_rate_with_jitter_gets_a_picture_for_each() {
        let mut rng = fastrand::Rng::with_seed(7);
        let times: Vec<u64> = (1..3_000).map(|i| i * 33_333 + rng.u64(0..16_000)).collect();
        let taken = pictures(times.iter().copied());
        assert_eq!(taken.len(), times.len());
        assert!(taken.iter().all(|(change, at)| change == at));
    }

    #[test]
    fn who_draws_all_the_time_gets_no_more_than_the_rate() {
        let taken = pictures((1..10_000).map(|i| i * 1_000));
        assert!((298..=302).contains(&taken.len()), "{}", taken.len());
    }

    #[test]
    fn what_goes_on_beside_the_picture_is_asked_about_at_twice_the_rate_at_most() {
        let mut pace = Pace::new(33_333);
        for _ in 0..100 {
            let now = pace.due();
            pace.passed(now);
            assert!(pace.due() >= now.plus(16_666));
        }
        // That costs nothing of what is saved: the next change is shown at once.
        let now = pace.due();
        pace.taken(now);
        assert!(pace.due() <= now.plus(16_666));
    }

    #[test]
    fn after_a_rest_the_first_change_is_shown_at_once() {
        let taken = pictures([1_000, 34_000, 5_000_000].into_iter());
        assert_eq!(taken.last(), Some(&(5_000_000, 5_000_000)));
    }
}
