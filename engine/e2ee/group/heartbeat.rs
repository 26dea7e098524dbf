//! The committer's heartbeat: from it members know that nobody keeps the group's messages from them.
//!
//! The first host's counts by itself. Where another has taken over, the witnesses (see [`super::committer`]) beat too, and
//! more than half of them must have been heard in this epoch: a relay and one member that was put out cannot keep anybody
//! in the epoch before. What remains: the relay together with more than half of the witnesses, or with the first host.
//!
//! It is an MLS application message, so its sender has signed it. In each epoch each sender's heartbeats form a chain
//! from number 0 on. A chain does not span epochs: one that is on its way when an epoch ends is lost by right.

use super::wire::sha256;
use crate::time::Time;

/// Microseconds between two.
pub const EVERY_US: u64 = 2_000_000;
/// Microseconds between two of a witness.
pub const WITNESS_US: u64 = 4_000_000;
/// Microseconds for which a witness counts as heard.
pub const HEARD_US: u64 = 10_000_000;
/// Microseconds that an epoch is old at most when somebody joins in it, whatever its committer says.
pub const MAX_AGE_US: u64 = 600_000_000;
/// Microseconds by which a member must have been late at least to take a better word of when its epoch began.
pub const LATE_US: u64 = 1_000_000;
/// Microseconds without one until a warning.
pub const WARN_US: u64 = 10_000_000;
/// Microseconds without one until senders stop.
pub const STOP_US: u64 = 30_000_000;
/// Microseconds without one until the member leaves.
pub const LEAVE_US: u64 = 60_000_000;

/// Bytes of an encoded heartbeat.
pub(crate) const LEN: usize = 32 + 8 + 8 + 32 + 8;

/// What a heartbeat says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beat {
    /// SHA-256 of the epoch authenticator.
    pub authenticator: [u8; 32],
    /// Age of the epoch, in microseconds.
    pub age_us: u64,
    /// Number in the chain.
    pub sequence: u64,
    /// SHA-256 of the one before; zeros before the first.
    pub previous: [u8; 32],
    /// The sender's clock.
    pub time: Time,
}

impl Beat {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let numbers = [self.age_us, self.sequence].map(u64::to_be_bytes);
        [&self.authenticator[..], numbers.as_flattened(), &self.previous, &self.time.0.to_be_bytes()].concat()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; LEN] = bytes.try_into().ok()?;
        let number = |at: usize| bytes[at..].first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
        Some(Self {
            authenticator: *bytes.first_chunk()?,
            age_us: number(32)?,
            sequence: number(40)?,
            previous: *bytes[48..].first_chunk()?,
            time: Time(number(80)?),
        })
    }
}

/// When an epoch began of which a heartbeat says the age `now`, where a member that holds it for begun at `began` came
/// into it late. Only ever earlier: its keys move on and are erased sooner then, and a heartbeat that was late itself
/// changes nothing.
pub(crate) fn began_earlier(began: Time, age_us: u64, now: Time) -> Option<Time> {
    let said = Time(now.0.saturating_sub(age_us.min(MAX_AGE_US)));
    (said.plus(LATE_US) < began).then_some(said)
}

/// Why a heartbeat does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BeatError {
    /// It cannot be read.
    #[error("the heartbeat is not formed as one")]
    Form,
    /// The sender is in another epoch than this member.
    #[error("the sender's group is not this one: the epoch authenticators differ")]
    Authenticator,
    /// It is old.
    #[error("the heartbeat was there before")]
    Stale,
    /// One is missing, or another one was sent in its place.
    #[error("the chain of heartbeats is broken")]
    Chain,
    /// Its sender's clock went back.
    #[error("the sender's clock went back")]
    Clock,
}

/// The end of one sender's chain in one epoch.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Chain {
    next: u64,
    last: [u8; 32],
    time: Time,
}

impl Chain {
    /// The next heartbeat of this member.
    pub(crate) fn beat(&mut self, authenticator: [u8; 32], age_us: u64, now: Time) -> Beat {
        let beat = Beat { authenticator, age_us, sequence: self.next, previous: self.last, time: now };
        self.push(&beat);
        beat
    }

    fn push(&mut self, beat: &Beat) {
        *self = Self { next: beat.sequence + 1, last: sha256(&beat.encode()), time: beat.time };
    }

    /// Takes the next one of another member. After a break the chain goes on from the newer one, so that one loss is
    /// told once. `mid` says that this member came in the middle of the epoch and takes the first it hears.
    pub(crate) fn take(&mut self, beat: &Beat, authenticator: &[u8; 32], mid: bool) -> Result<(), BeatError> {
        if beat.authenticator != *authenticator {
            return Err(BeatError::Authenticator);
        }
        if beat.sequence < self.next || beat.sequence == u64::MAX {
            return Err(BeatError::Stale);
        }
        if beat.time < self.time {
            return Err(BeatError::Clock);
        }
        let first = mid && self.next == 0;
        let follows = (beat.sequence, beat.previous) == (self.next, self.last);
        self.push(beat);
        if follows || first { Ok(()) } else { Err(BeatError::Chain) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_takes_each_once_and_tells_a_gap_once() {
        let (mut sender, mut receiver, auth) = (Chain::default(), Chain::default(), [7; 32]);
        let beats: Vec<_> = (0..5).map(|n| sender.beat(auth, n, Time::from_ms(n))).collect();
        assert!(beats.iter().all(|beat| Beat::decode(&beat.encode()).as_ref() == Some(beat)));
        assert_eq!(receiver.take(&beats[0], &[8; 32], false), Err(BeatError::Authenticator));
        assert_eq!(receiver.take(&beats[0], &auth, false), Ok(()));
        assert_eq!(receiver.take(&beats[0], &auth, false), Err(BeatError::Stale));
        let forged = Beat { previous: [1; 32], ..beats[1].clone() };
        assert_eq!(receiver.take(&forged, &auth, false), Err(BeatError::Chain));
        let mut receiver = Chain::default();
        assert_eq!(receiver.take(&beats[2], &auth, false), Err(BeatError::Chain));
        assert_eq!(receiver.take(&beats[3], &auth, false), Ok(()));
        assert_eq!(Chain::default().take(&beats[3], &auth, true), Ok(()));
        let back = Beat { time: Time(0), ..beats[4].clone() };
        assert_eq!(receiver.take(&back, &auth, false), Err(BeatError::Clock));
    }
}
