//! The chain of one sender's proofs: which sequences are known, and whether each follows from the one before it. Proofs
//! come late, twice and out of order, so nothing here depends on their order.

use super::body::Head;
use crate::time::Time;

/// Proofs whose hashes are kept, back from the newest. At one proof for each frame of a microphone and a camera of 60
/// pictures it is two seconds, otherwise a minute.
pub(crate) const REACH: u64 = 256;

/// What the chain says of a proof whose signature holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// It fits, or touches nothing that is known.
    New,
    /// The same proof is known.
    Known,
    /// Too far behind to say.
    Past,
    /// Another proof has this sequence.
    Equivocal,
    /// It follows from another proof than the one that is known, or the one known after it does.
    Torn,
}

/// What is kept of a proof.
#[derive(Clone, Copy)]
struct Entry {
    sequence: u64,
    hash: [u8; 32],
    previous: [u8; 32],
    made: Time,
}

/// The last [`REACH`] proofs of one sender.
pub(crate) struct Chain {
    entries: Box<[Option<Entry>]>,
    newest: Option<u64>,
    /// The first of the proofs that are known without a gap up to the newest.
    unbroken: u64,
    lag: Lag,
}

impl Chain {
    pub(crate) fn new() -> Self {
        Self { entries: vec![None; REACH as usize].into(), newest: None, unbroken: 0, lag: Lag::default() }
    }

    /// What `head` is to this chain; changes nothing.
    pub(crate) fn check(&self, head: &Head, hash: &[u8; 32]) -> Link {
        if self.newest.is_some_and(|newest| newest.saturating_sub(head.sequence) >= REACH) {
            return Link::Past;
        }
        if let Some(known) = self.get(head.sequence) {
            return if known.hash == *hash { Link::Known } else { Link::Equivocal };
        }
        let before = head.sequence.checked_sub(1).map(|sequence| self.get(sequence));
        let follows = match before {
            None => head.previous == [0; 32],
            Some(before) => before.is_none_or(|before| before.hash == head.previous),
        };
        let after = head.sequence.checked_add(1).and_then(|sequence| self.get(sequence));
        if follows && after.is_none_or(|after| after.previous == *hash) { Link::New } else { Link::Torn }
    }

    /// Adds a proof that [`Chain::check`] called new.
    pub(crate) fn insert(&mut self, head: &Head, hash: [u8; 32], now: Time) {
        let Head { sequence, made, previous, .. } = *head;
        self.lag.note(now, now, made);
        self.entries[index(sequence)] = Some(Entry { sequence, hash, previous, made });
        let newest = self.newest.map_or(sequence, |newest| newest.max(sequence));
        self.newest = Some(newest);
        let oldest = newest.saturating_sub(REACH - 1);
        let known = (oldest..=newest).rev().take_while(|sequence| self.get(*sequence).is_some());
        self.unbroken = known.last().unwrap_or(newest);
    }

    /// A proof made at `made` covers a frame that came at `arrived`, before that proof.
    pub(crate) fn covered(&mut self, arrived: Time, made: Time, now: Time) {
        self.lag.note(now, arrived, made);
    }

    /// Whether a frame that comes `now` says that it was captured later than its sender's clock can show by then, as far
    /// as what was signed tells. It is forged, or what was signed is held back.
    pub(crate) fn early(&self, captured: Time, now: Time) -> bool {
        self.lag.before(now).is_some_and(|latest| i128::from(captured.0) > latest + MARGIN_US)
    }

    /// Whether every proof from `from` to `to` is known.
    pub(crate) fn joins(&self, from: u64, to: u64) -> bool {
        to.saturating_sub(from) < REACH && (from..=to).all(|sequence| self.get(sequence).is_some())
    }

    /// Whether the sender, when it made its newest proof, had long sealed everything that came by `arrived`, so that a
    /// frame of then that no proof covers is none of its own. `covered` is a proof that covers a frame before that one.
    ///
    /// How long things are on their way a relay decides, and it may hold back the proofs alone. So the frame's own word
    /// counts too: what was captured after the newest proof was made, that proof cannot cover. A forger gains little by
    /// a false word: one too late is believed for [`AHEAD_US`] and keeps the frame from being shown unproven
    /// ([`Chain::early`]).
    pub(crate) fn passed(&self, arrived: Time, captured: Time, covered: Option<u64>) -> bool {
        let Some(newest) = self.newest.and_then(|newest| self.get(newest)) else { return false };
        let Some(latest) = self.lag.before(arrived) else { return false };
        let captured = i128::from(captured.0);
        let (sealed, least) = (latest.max(captured.min(latest + AHEAD_US)), latest.min(captured));
        // Without gaps, back to a proof that cannot cover the frame or to the very first one.
        let whole = match (covered, self.get(self.unbroken)) {
            (Some(covered), _) if covered >= self.unbroken => true,
            _ if self.unbroken == 0 => true,
            (_, Some(first)) => i128::from(first.made.0) + DELAY_US <= least,
            _ => false,
        };
        whole && i128::from(newest.made.0) > sealed + MARGIN_US
    }

    /// When the newest proof was made, on the sender's clock.
    pub(crate) fn made(&self) -> Option<Time> {
        self.get(self.newest?).map(|entry| entry.made)
    }

    fn get(&self, sequence: u64) -> Option<&Entry> {
        self.entries[index(sequence)].as_ref().filter(|entry| entry.sequence == sequence)
    }
}

fn index(sequence: u64) -> usize {
    (sequence % REACH) as usize
}

/// How much sooner than any proof before it a frame may come without being called forged, in microseconds.
const MARGIN_US: i128 = 500_000;

/// How late a frame may come without being called forged, in microseconds.
const DELAY_US: i128 = 2_000_000;

/// How much later than the network makes likely a frame may have been captured and is believed, in microseconds: so long
/// may proofs be held back and nobody honest is accused, whatever becomes of the frames meanwhile.
const AHEAD_US: i128 = 4_000_000;

/// The least time from the making of a proof to its coming, or to the coming of a frame that it covers, clocks'
/// difference included, over the last 10 to 20 s: what comes over the network was sent at least that long ago.
#[derive(Default)]
struct Lag {
    least: Option<i128>,
    before: Option<i128>,
    since: Time,
}

impl Lag {
    fn note(&mut self, now: Time, arrived: Time, made: Time) {
        if now.since(self.since) >= LAG_US {
            (self.before, self.least, self.since) = (self.least, None, now);
        }
        let lag = i128::from(arrived.0) - i128::from(made.0);
        self.least = Some(self.least.map_or(lag, |least| least.min(lag)));
    }

    /// The latest time on the sender's clock at which something was sent that `arrived` then.
    fn before(&self, arrived: Time) -> Option<i128> {
        let least = self.least.into_iter().chain(self.before).min()?;
        Some(i128::from(arrived.0) - least)
    }
}

const LAG_US: u64 = 10_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn head(sequence: u64, previous: [u8; 32]) -> Head {
        Head { epoch: 1, leaf: 1, sequence, made: Time(sequence.wrapping_mul(200_000)), previous, commitment: [0; 32] }
    }

    fn hash(sequence: u64) -> [u8; 32] {
        let mut out = [1; 32];
        out[..8].copy_from_slice(&sequence.to_be_bytes());
        out
    }

    /// The honest proof `sequence`.
    fn honest(sequence: u64) -> Head {
        head(sequence, sequence.checked_sub(1).map_or([0; 32], hash))
    }

    #[test]
    fn any_order_of_an_honest_chain_fits() {
        let mut rng = fastrand::Rng::with_seed(5);
        for _ in 0..200 {
            let mut order: Vec<u64> = (1000..1064).collect();
            rng.shuffle(&mut order);
            let mut chain = Chain::new();
            for sequence in &order {
                assert_eq!(chain.check(&honest(*sequence), &hash(*sequence)), Link::New);
                chain.insert(&honest(*sequence), hash(*sequence), Time(0));
                assert_eq!(chain.check(&honest(*sequence), &hash(*sequence)), Link::Known);
            }
            assert!(chain.joins(1000, 1063) && !chain.joins(999, 1063));
        }
    }

    #[test]
    fn a_second_proof_of_one_number_and_one_that_follows_from_another_are_told() {
        let mut chain = Chain::new();
        for sequence in [0, 1, 3] {
            chain.insert(&honest(sequence), hash(sequence), Time(0));
        }
        assert_eq!(chain.check(&honest(1), &hash(77)), Link::Equivocal);
        assert_eq!(chain.check(&head(2, hash(77)), &hash(2)), Link::Torn, "not the one before");
        assert_eq!(chain.check(&honest(2), &hash(77)), Link::Torn, "not what the one after follows from");
        assert_eq!(chain.check(&honest(2), &hash(2)), Link::New);
        assert_eq!(chain.check(&head(5, hash(77)), &hash(5)), Link::New, "what it follows from is not known");
        assert_eq!(Chain::new().check(&head(0, hash(77)), &hash(0)), Link::Torn, "the first follows from nothing");
    }

    #[test]
    fn numbers_at_both_ends_and_far_apart_do_no_harm() {
        let mut chain = Chain::new();
        chain.insert(&honest(u64::MAX), hash(u64::MAX), Time(0));
        assert_eq!(chain.check(&honest(u64::MAX), &hash(u64::MAX)), Link::Known);
        assert_eq!(chain.check(&honest(u64::MAX - REACH), &hash(0)), Link::Past);
        assert_eq!(chain.check(&honest(0), &hash(0)), Link::Past);
        assert_eq!(chain.check(&honest(u64::MAX - 1), &hash(u64::MAX - 1)), Link::New);
        assert!(!chain.joins(0, u64::MAX));
    }

    #[test]
    fn a_frame_is_passed_once_an_unbroken_chain_says_so() {
        let mut chain = Chain::new();
        assert!(!chain.passed(Time(0), Time(0), None));
        // Each proof is 50 ms on its way, on a clock that is 7 s ahead.
        let arrival = |sequence: u64| Time::from_ms(7050 + sequence * 200);
        for sequence in 20..30 {
            chain.insert(&honest(sequence), hash(sequence), arrival(sequence));
        }
        let frame = Time::from_ms(7050 + 25 * 200);
        let captured = Time::from_ms(25 * 200);
        assert!(
            chain.passed(frame, captured, Some(22)) && !chain.passed(frame, captured, None),
            "it may be one of long ago"
        );
        assert!(!chain.passed(frame, captured, Some(19)), "the proof between is not known");
        assert!(!chain.passed(Time::from_ms(7050 + 27 * 200), captured, Some(22)), "the next proof may cover it");
        chain.insert(&honest(31), hash(31), arrival(31));
        assert!(!chain.passed(frame, captured, Some(22)), "the lost one may cover it");
        chain.insert(&honest(30), hash(30), arrival(32));
        assert!(chain.passed(frame, captured, Some(22)));
    }
}
