//! When a receiver asks for a key frame: at most once a second per stream, and until one arrives.

use crate::time::Time;

/// Between two requests.
const INTERVAL_US: u64 = 1_000_000;

/// The requests of one stream.
#[derive(Default)]
pub struct Requests {
    wanted: bool,
    last: Option<Time>,
    count: u64,
}

impl Requests {
    /// Nothing is wanted.
    pub fn new() -> Self {
        Self::default()
    }

    /// Decoding cannot go on without a key frame.
    pub fn want(&mut self) {
        self.wanted = true;
    }

    /// A key frame arrived.
    pub fn satisfied(&mut self) {
        self.wanted = false;
    }

    /// Whether to ask now; a `true` counts as asked.
    pub fn due(&mut self, now: Time) -> bool {
        let due = self.wanted && self.last.is_none_or(|last| now.since(last) >= INTERVAL_US);
        if due {
            self.last = Some(now);
            self.count += 1;
        }
        due
    }

    /// Requests so far.
    pub fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_once_a_second_until_a_key_frame_comes() {
        let mut requests = Requests::new();
        assert!(!requests.due(Time(0)));
        requests.want();
        let asked: Vec<u64> = (0..35).filter(|i| requests.due(Time::from_ms(i * 100))).collect();
        assert_eq!(asked, [0, 10, 20, 30]);
        requests.satisfied();
        assert!(!requests.due(Time::from_ms(9_000)));
        assert_eq!(requests.count(), 4);
    }
}
