//! Who comes and goes when: everything that is drawn from the seed before the meeting begins.

use conclave::gathering::relays::{Model, malicious::Cue};

use super::Args;

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// Somebody knocks.
    Join,
    /// Somebody leaves.
    Leave,
    /// The host puts somebody out.
    Kick,
    /// A malicious relay begins.
    Strike,
    /// What its attack waits for.
    Cue(Cue),
}

/// Microseconds at the beginning and at the end in which nobody comes or goes.
const BEFORE_US: u64 = 1_000_000;
const AFTER_US: u64 = 6_000_000;

/// Of so many who go one is put out.
const KICKS: u32 = 4;

/// The moves, in order, with the microsecond of the meeting.
pub fn plan(args: &Args, random: &mut Random) -> Vec<(u64, Move)> {
    let length = length_us(args);
    let room = length - BEFORE_US - AFTER_US;
    let count = (f64::from(args.churn) * args.minutes) as u64;
    let mut gone = 0;
    let mut moves: Vec<_> = (0..count)
        .map(|nth| {
            let at = BEFORE_US + (nth * room + random.below(room)) / count.max(1);
            if nth % 2 == u64::from(args.seed % 2 == 0) {
                return (at, Move::Join);
            }
            gone += 1;
            (at, if gone % KICKS == 0 { Move::Kick } else { Move::Leave })
        })
        .collect();
    if let Model::Malicious(attack) = args.relay {
        let at = length / 3;
        moves.extend([(at, Move::Strike), (at + 200_000, Move::Cue(attack.cue()))]);
    }
    moves.sort_by_key(|(at, _)| *at);
    moves
}

/// Length of the meeting.
pub fn length_us(args: &Args) -> u64 {
    (args.minutes * 60e6) as u64
}

/// SplitMix64 (Steele, Lea and Flood, 2014): small, and the same on every machine.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`; 0 where that is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next().checked_rem(end).unwrap_or(0)
    }

    /// 32 bytes for a key that is worth nothing.
    pub fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        seed.chunks_exact_mut(8).for_each(|part| part.copy_from_slice(&self.next().to_be_bytes()));
        seed
    }
}
