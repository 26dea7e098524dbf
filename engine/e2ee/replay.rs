//! The replay window: which of the last 1024 counters have been seen.
//!
//! A frame is screened before it is opened and recorded after it was authenticated, so that a forged counter neither
//! moves the window nor shuts out the genuine frame.

/// Counters that the window reaches back, the newest counted.
pub const WINDOW: u64 = 1024;

/// What the window says of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Never recorded.
    Fresh,
    /// Recorded.
    Replayed,
    /// So far behind that the window no longer knows.
    TooOld,
}

/// Counters recorded under one key.
#[derive(Default)]
pub struct Window {
    /// One past the newest counter recorded; 0 before the first. 128 bits, as the newest may be `u64::MAX`.
    end: u128,
    /// A ring of bits; one word more than the window, since it seldom begins at a word's border.
    bits: [u64; WORDS],
}

const WORDS: usize = WINDOW as usize / 64 + 1;

impl Window {
    /// What is known of `counter`; changes nothing.
    pub fn check(&self, counter: u64) -> Seen {
        let counter = u128::from(counter);
        if counter >= self.end {
            Seen::Fresh
        } else if self.end - counter > u128::from(WINDOW) {
            Seen::TooOld
        } else if self.bits[word(counter)] >> (counter % 64) & 1 == 1 {
            Seen::Replayed
        } else {
            Seen::Fresh
        }
    }

    /// Records an authenticated counter. `false`, and nothing done, where it was not fresh.
    pub fn record(&mut self, counter: u64) -> bool {
        if self.check(counter) != Seen::Fresh {
            return false;
        }
        let counter = u128::from(counter);
        if counter >= self.end {
            // The words that come into the window are those after the newest one, at most all of them.
            let newest = self.end.saturating_sub(1) / 64;
            let steps = (counter / 64 - newest).min(WORDS as u128);
            for step in 1..=steps {
                self.bits[word((newest + step) * 64)] = 0;
            }
            self.end = counter + 1;
        }
        self.bits[word(counter)] |= 1 << (counter % 64);
        true
    }
}

/// The word that holds `counter`'s bit.
fn word(counter: u128) -> usize {
    (counter / 64 % WORDS as u128) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn agrees_with_a_set_of_everything_recorded() {
        let mut rng = fastrand::Rng::with_seed(0x3e9);
        for origin in [0u64, 1, 1000, u64::MAX - 60_000] {
            let (mut window, mut seen) = (Window::default(), BTreeSet::new());
            let mut base = origin;
            for _ in 0..20_000 {
                base = match rng.u8(..100) {
                    0 => base.saturating_add(rng.u64(..3000)),
                    1..50 => base.saturating_add(1),
                    _ => base,
                };
                let counter = base.saturating_sub(rng.u64(..1100));
                let newest = seen.last().copied();
                let expected = match newest {
                    Some(newest) if counter <= newest && newest - counter >= WINDOW => Seen::TooOld,
                    _ if seen.contains(&counter) => Seen::Replayed,
                    _ => Seen::Fresh,
                };
                assert_eq!(window.check(counter), expected, "{counter} after {newest:?}");
                assert_eq!(window.record(counter), expected == Seen::Fresh);
                if expected == Seen::Fresh {
                    seen.insert(counter);
                }
            }
        }
    }

    #[test]
    fn the_window_reaches_back_exactly_its_length() {
        let mut window = Window::default();
        assert!(window.record(5000));
        assert_eq!(window.check(5000 - WINDOW + 1), Seen::Fresh);
        assert_eq!(window.check(5000 - WINDOW), Seen::TooOld);
        assert!(window.record(u64::MAX));
        assert_eq!(window.check(u64::MAX), Seen::Replayed);
        assert_eq!(window.check(u64::MAX - 1), Seen::Fresh);
    }
}
