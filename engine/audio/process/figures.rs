//! What a processor measures, and a gauge on which other threads read it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::audio::level::SILENCE_DBFS;

/// A snapshot; what is not known yet, or belongs to a part that is off, is `None`.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Figures {
    /// How much weaker the microphone hears what the speaker plays, in dB.
    pub erl_db: Option<f32>,
    /// By how much the echo is taken down, by the canceller's own estimate, in dB.
    pub erle_db: Option<f32>,
    /// How much later than it was rendered the echo is heard, in milliseconds.
    pub delay_ms: Option<u32>,
    /// Loudness of the last block heard, in dBFS.
    pub heard_dbfs: f32,
    /// Loudness of the last block given; against [`Self::heard_dbfs`] what all parts did to it.
    pub given_dbfs: f32,
    /// Blocks of the microphone so far.
    pub captured: u64,
    /// Blocks of the speaker so far.
    pub rendered: u64,
    /// How often a part failed and began anew.
    pub restarts: u64,
    /// Pieces of the speaker's sound that found no room on their way.
    pub lost: u64,
    /// How often the speaker's sound had to be laid anew against the microphone's.
    pub moves: u64,
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            erl_db: None,
            erle_db: None,
            delay_ms: None,
            heard_dbfs: SILENCE_DBFS,
            given_dbfs: SILENCE_DBFS,
            captured: 0,
            rendered: 0,
            restarts: 0,
            lost: 0,
            moves: 0,
        }
    }
}

/// Shows the figures of a microphone to any thread. Each figure is whole; two of them may be of packets one after the
/// other.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<Cells>);

#[derive(Debug, Default)]
struct Cells {
    /// ERL, ERLE, heard, given, as bits; no number where they are not known.
    levels: [AtomicU32; 4],
    /// Delay, captured, rendered, restarts, lost, moves; the delay is one more than it is, or 0 where it is not known.
    counts: [AtomicU64; 6],
}

impl Gauge {
    /// The figures of the last packet.
    pub fn read(&self) -> Figures {
        let [erl, erle, heard, given] =
            self.0.levels.each_ref().map(|cell| f32::from_bits(cell.load(Ordering::Relaxed)));
        let [delay, captured, rendered, restarts, lost, moves] =
            self.0.counts.each_ref().map(|cell| cell.load(Ordering::Relaxed));
        if captured == 0 {
            return Figures::default();
        }
        let known = |db: f32| (!db.is_nan()).then_some(db);
        Figures {
            erl_db: known(erl),
            erle_db: known(erle),
            delay_ms: delay.checked_sub(1).and_then(|ms| u32::try_from(ms).ok()),
            heard_dbfs: heard,
            given_dbfs: given,
            captured,
            rendered,
            restarts,
            lost,
            moves,
        }
    }

    pub(super) fn show(&self, figures: &Figures) {
        let bits = |db: Option<f32>| db.unwrap_or(f32::NAN).to_bits();
        let levels = [figures.erl_db, figures.erle_db, Some(figures.heard_dbfs), Some(figures.given_dbfs)].map(bits);
        let delay = figures.delay_ms.map_or(0, |ms| u64::from(ms) + 1);
        let Figures { captured, rendered, restarts, lost, moves, .. } = *figures;
        let counts = [delay, captured, rendered, restarts, lost, moves];
        self.0.levels.iter().zip(levels).for_each(|(cell, bits)| cell.store(bits, Ordering::Relaxed));
        self.0.counts.iter().zip(counts).for_each(|(cell, count)| cell.store(count, Ordering::Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_shows_what_was_shown_to_it() {
        let gauge = Gauge::default();
        assert_eq!(gauge.read(), Figures::default());
        for (erl_db, delay_ms) in [(None, None), (Some(-3.5), Some(0)), (Some(20.0), Some(188))] {
            let figures = Figures { erl_db, delay_ms, captured: 7, lost: u64::MAX, moves: 2, ..Figures::default() };
            gauge.show(&figures);
            assert_eq!(gauge.clone().read(), figures);
        }
    }
}
