//! What the speaker plays, on its way to the thread that reads the microphone: wait-free, stamped, laid out in time.
//!
//! An echo canceller wants ten milliseconds of the far end for each ten of the near end, always the same distance apart.
//! Devices give neither: they hand over sound in pieces of their own, late and in bursts, and stop where nothing plays.
//! [`Reference`] keeps a line of samples by the time at which they sound. The line runs on through pauses, as silence. A
//! stamp that is a little off is the scheduler's, and counts as a sign alone: where stamps keep being late or early, two
//! clocks differ, and the line follows sample by sample, slowly enough for a canceller to learn along. What is further off
//! than [`SLACK_MS`] moves the line at once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::audio::{BLOCK, RATE};
use crate::time::Time;

/// A way for what is played, of 1 or 2 channels: the end for the speaker's side, and the microphone's.
pub fn reference(channels: u8) -> (Feed, Reference) {
    let (producer, consumer) = rtrb::RingBuffer::new(PIECES);
    let channels = usize::from(channels.clamp(1, 2));
    let lost = Arc::new(AtomicU64::new(0));
    let feed = Feed { ring: producer, channels, lost: lost.clone() };
    let line = VecDeque::with_capacity(LONGEST * channels);
    let reference = Reference {
        ring: consumer,
        channels,
        line,
        front: 0,
        ahead: None,
        dry: true,
        moving: true,
        lean: 0,
        lost,
        moves: 0,
    };
    (feed, reference)
}

/// The speaker's end.
pub struct Feed {
    ring: rtrb::Producer<Piece>,
    channels: usize,
    lost: Arc<AtomicU64>,
}

impl Feed {
    /// Says what is played, interleaved, and when its first sample sounds: what the device says of its latency counted
    /// in, where it says it. To be called before it sounds. Wait-free, allocates nothing. Silence may be left out; what
    /// comes after it lies where its first stamp says, so a device whose stamps waver better gives all it plays.
    pub fn played(&mut self, pcm: &[i16], at: Time) {
        // A frame that lacks a channel would swap the channels of all that follow.
        let whole = &pcm[..pcm.len() / self.channels * self.channels];
        for (n, chunk) in whole.chunks(BLOCK * self.channels).enumerate() {
            let mut piece = Piece { at: position(at) + (n * BLOCK) as i64, samples: chunk.len(), pcm: [0; 2 * BLOCK] };
            piece.pcm[..chunk.len()].copy_from_slice(chunk);
            if self.ring.push(piece).is_err() {
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// The microphone's end.
pub struct Reference {
    ring: rtrb::Consumer<Piece>,
    channels: usize,
    /// Samples that sound from `front` on.
    line: VecDeque<i16>,
    front: i64,
    /// By how much what is given sounds later than what the microphone hears with it: all that the speaker's side hands
    /// over early, less a margin, and no more than a canceller looks for. Found at the first piece.
    ahead: Option<i64>,
    /// The line ran out: the next piece is laid where its stamp says.
    dry: bool,
    /// The line is being brought to where it belongs.
    moving: bool,
    /// For how many blocks more the line was old than young.
    lean: i32,
    lost: Arc<AtomicU64>,
    moves: u64,
}

impl Reference {
    /// Fills `block` with what belongs to the ten milliseconds that the microphone heard from `at` on. `false` as long as
    /// nothing was ever played.
    pub fn next(&mut self, block: &mut [i16], at: Time) -> bool {
        self.collect();
        block.fill(0);
        if self.ahead.is_none() && self.line.is_empty() {
            return false;
        }
        let heard = position(at);
        let newest = self.back() - heard - BLOCK as i64;
        let want = heard + *self.ahead.get_or_insert((newest - MARGIN).min(FURTHEST));
        let off = want - self.front;
        if off.abs() > SLACK && !self.moving {
            self.moving = true;
            self.moves += 1;
        }
        let mut silent = 0;
        if self.moving {
            // Older than wanted goes; younger waits for its turn.
            self.skip(off.max(0));
            silent = (-off).clamp(0, BLOCK as i64) as usize;
            self.moving = -off > BLOCK as i64;
        } else if off.abs() > STILL {
            self.lean += off.signum() as i32;
        }
        if self.lean.abs() >= PATIENCE {
            if self.lean > 0 {
                self.skip(1);
            } else {
                silent = 1;
            }
            self.lean = 0;
        }
        let room = &mut block[silent * self.channels..];
        let ready = room.len().min(self.line.len());
        room.iter_mut().zip(self.line.drain(..ready)).for_each(|(out, sample)| *out = sample);
        self.dry = self.dry || ready < room.len();
        self.front += (BLOCK - silent) as i64;
        true
    }

    /// Takes over what was played, and gives nothing: for a microphone that hears nothing meanwhile.
    pub fn collect(&mut self) {
        while let Ok(piece) = self.ring.pop() {
            self.lay(&piece);
        }
    }

    /// Begins anew, as with another device.
    pub fn restart(&mut self) {
        while self.ring.pop().is_ok() {}
        self.line.clear();
        (self.ahead, self.dry, self.moving) = (None, true, true);
    }

    /// Pieces for which there was no room.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// How often the line had to be moved, which the canceller has to follow.
    pub fn moves(&self) -> u64 {
        self.moves
    }

    fn lay(&mut self, piece: &Piece) {
        let off = piece.at - self.back();
        let known = self.ahead.is_some() || !self.line.is_empty();
        if !known || off.abs() > LONGEST as i64 {
            // The first, or after a long pause or a leap of the clock.
            if off < 0 {
                self.ahead = None;
            }
            self.line.clear();
            (self.front, self.moving) = (piece.at, true);
        } else if off.abs() > if self.dry { 0 } else { SLACK } {
            // A pause that ends where its stamp says moves nothing.
            self.moves += u64::from(!self.dry || off < -SLACK);
            if off > 0 {
                let silence = off as usize * self.channels;
                self.make_room(silence);
                self.line.extend(std::iter::repeat_n(0, silence));
            } else {
                self.front += off;
                // It is late: silence was given in its place, and the line waits that much longer from now on. Or another
                // speaker plays sooner, and the distance is found anew.
                self.ahead = self.ahead.filter(|_| self.dry).map(|ahead| ahead + off);
                self.moving |= !self.dry;
            }
        }
        if !self.dry {
            // As good as it gets without knowing which stamp is right: the median of them.
            self.front += off.signum() * i64::from(off.abs() <= SLACK);
        }
        self.dry = false;
        self.make_room(piece.samples);
        self.line.extend(&piece.pcm[..piece.samples]);
    }

    fn make_room(&mut self, samples: usize) {
        let over = (self.line.len() + samples).saturating_sub(LONGEST * self.channels);
        self.skip(over.div_ceil(self.channels) as i64);
    }

    /// Leaves `frames` of the line behind, or of the silence after it.
    fn skip(&mut self, frames: i64) {
        let there = (frames as usize).saturating_mul(self.channels).min(self.line.len());
        self.line.drain(..there);
        self.front += frames;
    }

    fn back(&self) -> i64 {
        self.front + (self.line.len() / self.channels) as i64
    }
}

/// At most ten milliseconds, and where on the session's clock they lie, in samples.
struct Piece {
    at: i64,
    /// Of all channels.
    samples: usize,
    pcm: [i16; 2 * BLOCK],
}

/// A time in samples; a stamp beyond some thousand years is taken for that.
fn position(at: Time) -> i64 {
    i64::try_from(u128::from(at.0) * u128::from(RATE) / 1_000_000).unwrap_or(i64::MAX).min(i64::MAX / 4)
}

/// Pieces on the way: 2.5 s of whole ones, 0.6 s of those of 128 samples.
const PIECES: usize = 256;
/// Samples of a channel in the line.
const LONGEST: usize = RATE as usize;
/// What two stamps may be off, in milliseconds, before it is taken for true.
pub const SLACK_MS: i64 = 20;
const SLACK: i64 = SLACK_MS * RATE as i64 / 1000;
/// Below this the line lies well: 4 ms, what a canceller's blocks are long.
const STILL: i64 = 4 * RATE as i64 / 1000;
/// Blocks to a step of one sample: up to 208 parts in a million are followed.
const PATIENCE: i32 = 10;
/// How much later than just in time a piece may come.
const MARGIN: i64 = BLOCK as i64;
/// How far ahead of the microphone at most, in samples: 400 ms, and the room's and the stamps' part still lies within the
/// half second that is searched.
const FURTHEST: i64 = 400 * RATE as i64 / 1000;

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays a count of samples as pieces of `piece` that are handed over `early_ms` before they sound, and reads a
    /// microphone meanwhile; gives for each block by how many samples its first one sounds after the block was heard.
    fn distances(pieces: &[(u64, u64, usize)], blocks: u64) -> (Vec<Option<i64>>, Reference) {
        let (mut feed, mut reference) = reference(1);
        let (mut told, mut found) = (0, Vec::new());
        for n in 0..blocks {
            // A block heard from `n` tens of milliseconds on is read at its end.
            let now = (n + 1) * 10_000;
            while let Some((handed, at, samples)) = pieces.get(told).filter(|piece| piece.0 <= now) {
                // A sample says where it belongs, in a count that never reads as silence.
                let first = at * 48 / 1000;
                let pcm: Vec<i16> = (0..*samples as u64).map(|k| ((first + k) % 30_000 + 1) as i16).collect();
                feed.played(&pcm, Time(*at));
                assert!(*handed <= now);
                told += 1;
            }
            let mut block = [0; BLOCK];
            reference.next(&mut block, Time(n * 10_000));
            found.push(block.iter().position(|s| *s != 0).map(|at| {
                let sounds = i64::from(block[at]) - 1;
                let heard = ((n * 480) as i64 + at as i64) % 30_000;
                (sounds - heard + 35_000) % 30_000 - 5_000
            }));
        }
        (found, reference)
    }

    #[test]
    fn blocks_and_what_is_played_stay_the_same_distance_apart() {
        // Pieces of 1024 samples, 40 ms early, up to 5 ms late of that: fixed from the first on.
        let mut random = fastrand::Rng::with_seed(3);
        let piece = |n: u64| {
            let (at, late) = (n * 1024 * 1000 / 48, random.u64(..5_000));
            (at.saturating_sub(40_000) + late, at + late, 1024)
        };
        let pieces: Vec<_> = (0..200).map(piece).collect();
        let (found, reference) = distances(&pieces, 400);
        let settled = found[20].unwrap();
        assert!(found[20..].iter().all(|d| d.is_some_and(|d| (d - settled).abs() <= 480)), "{found:?}");
        let last: Vec<_> = found[300..].iter().flatten().map(|d| d / 480).collect();
        assert!(last.windows(2).all(|pair| (pair[0] - pair[1]).abs() <= 1), "{last:?}");
        assert_eq!(reference.lost(), 0);
    }

    #[test]
    fn a_pause_of_the_speaker_changes_no_distance() {
        for pause in [35_000, 300_000, 3_000_000] {
            let at = |n: u64| n * 10_000 + if n < 100 { 0 } else { pause };
            let pieces: Vec<_> = (0..300).map(|n| (at(n).saturating_sub(30_000), at(n), 480)).collect();
            let (found, _) = distances(&pieces, 300 + pause / 10_000);
            let heard: Vec<_> = found[20..].iter().flatten().collect();
            assert!(heard.len() > 200 && heard.iter().all(|d| *d == heard[0]), "{pause}: {found:?}");
        }
    }

    #[test]
    fn late_pieces_are_waited_for_from_then_on() {
        // From the second second on, everything is handed over 40 ms later than before.
        let piece = |n: u64| (n * 10_000 + if n < 100 { 0 } else { 40_000 }, n * 10_000 + 30_000, 480);
        let pieces: Vec<_> = (0..400).map(piece).collect();
        let (found, reference) = distances(&pieces, 380);
        let (before, after) = (found[90].unwrap(), found[370].unwrap());
        assert!((480..=1920).contains(&(before - after)), "{before} {after}");
        assert!(found[120..].iter().all(|d| *d == Some(after)), "{found:?}");
        assert!(reference.moves() <= 2);
    }

    #[test]
    fn speakers_of_other_latencies_come_and_go_and_cost_no_lead() {
        // Handed over just in time for 35 ms, 200 ms and 35 ms, each for three seconds, four times.
        let latency = |n: u64| if n / 300 % 2 == 0 { 35_000 } else { 200_000 };
        let pieces: Vec<_> = (0..2_400).map(|n| (n * 10_000, n * 10_000 + latency(n), 480)).collect();
        let (found, _) = distances(&pieces, 2_300);
        let leads: Vec<_> = (0..7).map(|turn| found[turn * 300 + 250]).collect();
        assert!(leads.iter().all(|lead| lead.is_some_and(|lead| (480..=1_680).contains(&lead))), "{leads:?}");
    }

    #[test]
    fn clocks_that_differ_are_followed_without_a_leap() {
        // Ten minutes; the speaker's clock is slow or fast by 150 parts in a million, its stamps off by up to 4 ms.
        for (step_ns, seed) in [(10_001_500, 5), (9_998_500, 6)] {
            let mut random = fastrand::Rng::with_seed(seed);
            let piece = |n: u64| {
                let (at, late) = (n * step_ns / 1000, random.u64(..4_000));
                (at.saturating_sub(40_000) + late, at + late, 480)
            };
            let pieces: Vec<_> = (0..60_000).map(piece).collect();
            let (found, reference) = distances(&pieces, 59_000);
            let settled = found[500].unwrap();
            let worst = found[500..].iter().map(|d| d.map_or(9_999, |d| (d - settled).abs())).max().unwrap();
            // The stamps' own 4 ms on either side, and those in which nothing is done.
            assert!(worst <= 576, "off by {worst} samples");
            assert_eq!((reference.moves(), reference.lost()), (0, 0));
        }
    }

    #[test]
    fn a_speaker_of_long_latency_is_brought_into_reach() {
        let pieces: Vec<_> = (0..300).map(|n| (n * 10_000, n * 10_000 + 750_000, 480)).collect();
        let (found, _) = distances(&pieces, 370);
        assert!(found[100..300].iter().all(|d| *d == Some(FURTHEST)), "{found:?}");
    }

    #[test]
    fn bursts_and_leaps_of_the_clock_cost_no_more_than_a_line() {
        let (mut feed, mut reference) = reference(2);
        let mut block = [0; 2 * BLOCK];
        assert!(!reference.next(&mut block, Time(5)));
        let mut random = fastrand::Rng::with_seed(9);
        for _ in 0..3_000 {
            let pcm = vec![7; random.usize(..4_000)];
            let at = [Time(0), Time(u64::MAX), Time(random.u64(..10_000_000)), Time(1 << 40)][random.usize(..4)];
            feed.played(&pcm, at);
            if random.bool() {
                reference.next(&mut block, Time(random.u64(..) >> random.u32(..64)));
            }
            assert!(reference.line.len() <= 2 * LONGEST && reference.line.capacity() <= 4 * LONGEST);
        }
        reference.restart();
        // After all that, it works as at first.
        feed.played(&[9; 2 * BLOCK], Time(2_000_000));
        reference.next(&mut block, Time(1_990_000));
        feed.played(&[9; 2 * BLOCK], Time(2_010_000));
        assert!(reference.next(&mut block, Time(2_000_000)) && block.contains(&9));
    }
}
