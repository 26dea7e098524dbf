//! One-pass constant bitrate for real time: a leaky bucket, and a model of bits by quantizer that every frame corrects.
//!
//! After libaom's real-time mode. The host alone runs it, so that it may use fractions; it uses no function whose last
//! bit differs between machines.

use super::kernel::quantize::ac_q;

/// Size of the bucket, in milliseconds of the bitrate: it starts and is best at 600, and never holds more than 1000.
const BEST_MS: f64 = 600.0;
const MOST_MS: f64 = 1000.0;

/// Measured over modelled bits stay within these.
const LEAST_FACTOR: f64 = 0.005;
const MOST_FACTOR: f64 = 50.0;

/// Mean difference of a sample from its right and lower neighbours together, where the model of key frames needs no
/// correction.
const USUAL_ROUGHNESS: f64 = 8.0;

/// A key frame may cost so many times a frame's share of the bitrate.
const KEY_SHARE: f64 = 6.0;

/// Finest and coarsest quantizer by default (10 and 56 on libaom's scale of 63).
pub const LIMITS: (u8, u8) = (40, 232);

/// What kind of frame a quantizer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Intra only.
    Key = 0,
    /// From references.
    Inter = 1,
}

/// State of the control of one stream.
#[derive(Clone, Debug)]
pub struct Rate {
    bitrate: f64,
    fps: f64,
    /// Bits in the bucket: what may still be spent at once.
    level: f64,
    /// Measured over modelled bits, by kind.
    factor: [f64; 2],
    /// Quantizers of the last two inter frames, and whether each fell short (−1) or overshot (1).
    last: [(u8, i8); 2],
    /// Mean quantizer of inter frames, which rules how the next one may move.
    ambient: f64,
    /// The target of the frame being made.
    target: f64,
    /// How rough the last key frame's picture was, over what the model takes for granted.
    rough: f64,
    dropped: u32,
}

impl Rate {
    /// A control that aims at `bitrate` bits a second at `fps` frames a second.
    pub fn new(bitrate: u32, fps: f64) -> Self {
        let bitrate = f64::from(bitrate);
        Self {
            bitrate,
            fps,
            level: bitrate * BEST_MS / 1000.0,
            factor: [1.0, 0.7],
            last: [(0, 0); 2],
            ambient: f64::from(LIMITS.1),
            target: 0.0,
            rough: 1.0,
            dropped: 0,
        }
    }

    /// Takes a new target; the bucket keeps its fill in proportion, but none above the best.
    pub fn reconfigure(&mut self, bitrate: u32, fps: f64) {
        let bitrate = f64::from(bitrate);
        let change = bitrate / self.bitrate * (self.fps / fps);
        // What was saved at a higher bitrate is not for the lower one to spend.
        self.level = (self.level * (bitrate / self.bitrate)).min(bitrate * BEST_MS / 1000.0);
        (self.bitrate, self.fps) = (bitrate, fps);
        // A large step: what the last frames did says nothing of the next.
        if !(0.9..=1.1).contains(&change) {
            self.last = [(0, 0); 2];
        }
    }

    /// The next frame is to be left out, because the bucket is empty. At most a quarter of a second in a row.
    pub fn skip(&mut self) -> bool {
        let most = (self.fps / 4.0) as u32;
        if self.level >= 0.0 || self.dropped >= most {
            self.dropped = 0;
            return false;
        }
        self.dropped += 1;
        self.level = (self.level + self.share()).min(self.bitrate * MOST_MS / 1000.0);
        true
    }

    /// Is told the [`roughness`] of a key frame's picture: its size goes with the roughness, so that neither the first nor one after a
    /// change of scene is a guess.
    pub fn look(&mut self, roughness: f64) {
        let rough = (roughness / USUAL_ROUGHNESS).clamp(0.05, 20.0);
        // The factor was learned at the roughness of the last key frame.
        let factor = &mut self.factor[Kind::Key as usize];
        *factor = (*factor * rough / self.rough).clamp(LEAST_FACTOR, MOST_FACTOR);
        self.rough = rough;
    }

    /// The quantizer for the next frame of `cells` cells of 8×8, within `limits`.
    pub fn quantizer(&mut self, kind: Kind, cells: usize, limits: (u8, u8)) -> u8 {
        self.target = self.aim(kind);
        let macroblocks = (cells as f64 / 4.0).max(1.0);
        let (finest, coarsest) = self.bounds(kind, limits);
        let wanted = self.target / macroblocks;
        let model = |q: u8| bits_per_macroblock(kind, q) * self.factor[kind as usize];
        // The first quantizer whose modelled size is within the target.
        let mut q = (finest..coarsest).find(|q| model(*q) <= wanted).unwrap_or(coarsest);
        if kind == Kind::Inter {
            q = self.steady(q).clamp(finest, coarsest);
        }
        q
    }

    /// What the frame made with quantizer `q` has cost.
    pub fn encoded(&mut self, kind: Kind, cells: usize, q: u8, bits: u64) {
        let bits = bits as f64;
        let most = self.bitrate * MOST_MS / 1000.0;
        self.level = (self.level + self.share() - bits).clamp(-most, most);
        let modelled = bits_per_macroblock(kind, q) * self.factor[kind as usize] * (cells as f64 / 4.0).max(1.0);
        let correction = (bits / modelled.max(1.0)).clamp(0.25, 4.0);
        // The further off, the bolder the correction.
        let boldness = if (0.8..1.25).contains(&correction) { 0.3 } else { 0.6 };
        let factor = &mut self.factor[kind as usize];
        *factor = (*factor * (1.0 + (correction - 1.0) * boldness)).clamp(LEAST_FACTOR, MOST_FACTOR);
        if kind == Kind::Key {
            self.ambient = self.ambient.min(f64::from(q) * 1.25 + 20.0);
            self.last = [(0, 0); 2];
            return;
        }
        let verdict = if bits > self.target * 1.1 {
            1
        } else if bits < self.target * 0.9 {
            -1
        } else {
            0
        };
        self.last = [(q, verdict), self.last[0]];
        self.ambient = (self.ambient * 3.0 + f64::from(q)) / 4.0;
    }

    /// Milliseconds of the bitrate in the bucket.
    pub fn level_ms(&self) -> f64 {
        self.level / self.bitrate * 1000.0
    }

    fn share(&self) -> f64 {
        self.bitrate / self.fps
    }

    /// Bits the next frame should have.
    fn aim(&self, kind: Kind) -> f64 {
        let (share, best) = (self.share(), self.bitrate * BEST_MS / 1000.0);
        if kind == Kind::Key {
            return (share * KEY_SHARE).min(self.level.max(share) * 0.75 + share);
        }
        let off = (self.level - best) / best;
        // At most half less; hardly more, for what was saved is there for a harder picture, not to be got rid of.
        (share * (1.0 + off.clamp(-1.0, 0.15) / 2.0)).max(share / 16.0)
    }

    /// Finest and coarsest quantizer now.
    fn bounds(&self, kind: Kind, (finest, coarsest): (u8, u8)) -> (u8, u8) {
        let best = self.bitrate * BEST_MS / 1000.0;
        if kind == Kind::Key || self.level < best / 8.0 {
            return (finest, coarsest.max(finest));
        }
        // With room in the bucket the quantizer stays near what it has been.
        let room = ((self.level - best / 8.0) / (best - best / 8.0)).clamp(0.0, 1.0);
        let near = self.ambient * 1.25 + 8.0;
        let worst = f64::from(coarsest) + (near.min(f64::from(coarsest)) - f64::from(coarsest)) * room;
        (finest, (worst as u8).clamp(finest, coarsest.max(finest)))
    }

    /// Keeps the quantizer from swinging, and from moving too far at once.
    fn steady(&self, q: u8) -> u8 {
        let [(one, first), (two, second)] = self.last;
        if one == 0 {
            return q;
        }
        let mut q = q;
        if two != 0 && first * second == -1 {
            q = q.clamp(one.min(two), one.max(two));
        }
        // Down by an eighth at most; up as far as need be after an overshoot that emptied the bucket.
        let down = (one / 8).clamp(1, 16);
        let up = if first == 1 && self.level < self.bitrate * BEST_MS / 2000.0 { 120 } else { 20 };
        q.clamp(one.saturating_sub(down), one.saturating_add(up))
    }
}

/// Mean absolute difference of a sample from its right neighbour, plus that from the lower one.
pub fn roughness(luma: &[u8], width: usize) -> f64 {
    let height = luma.len() / width;
    let row = |y: usize| &luma[y * width..][..width];
    let apart = |a: &[u8], b: &[u8]| a.iter().zip(b).map(|(a, b)| u32::from(a.abs_diff(*b))).sum::<u32>();
    let sum: u64 = (1..height).map(|y| u64::from(apart(row(y), row(y - 1)) + apart(row(y), &row(y)[1..]))).sum();
    sum as f64 / (width * height) as f64
}

/// Modelled bits of a macroblock of 16×16 at quantizer `q`, before correction.
fn bits_per_macroblock(kind: Kind, q: u8) -> f64 {
    let enumerator = match kind {
        Kind::Key => 2_000_000.0,
        Kind::Inter => 1_500_000.0,
    };
    enumerator / (f64::from(ac_q(q)) / 4.0) / 512.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream whose frames cost `weight / step` bits each.
    fn run(rate: &mut Rate, frames: usize, weight: impl Fn(usize) -> f64) -> (f64, f64) {
        let (mut spent, mut q) = (0.0, 0.0);
        for frame in 0..frames {
            if rate.skip() {
                continue;
            }
            let kind = if frame == 0 { Kind::Key } else { Kind::Inter };
            let quantizer = rate.quantizer(kind, 3600, LIMITS);
            let bits = weight(frame) / f64::from(ac_q(quantizer));
            rate.encoded(kind, 3600, quantizer, bits as u64);
            spent += bits;
            q = f64::from(quantizer);
        }
        (spent, q)
    }

    #[test]
    fn the_bitrate_is_met_for_easy_and_hard_pictures() {
        for bitrate in [150_000, 500_000, 1_500_000] {
            for weight in [1.0e6, 4.0e6, 1.5e7] {
                let mut rate = Rate::new(bitrate, 30.0);
                let key = weight * 4.0;
                let (spent, q) = run(&mut rate, 600, |frame| if frame == 0 { key } else { weight });
                let mean = spent / 20.0 / f64::from(bitrate);
                let at_a_limit = q <= f64::from(LIMITS.0) || q >= f64::from(LIMITS.1);
                assert!((0.93..1.07).contains(&mean) || at_a_limit, "{bitrate} {weight}: {mean}, q {q}");
            }
        }
    }

    #[test]
    fn a_lower_target_is_followed_within_a_second() {
        let mut rate = Rate::new(1_000_000, 30.0);
        run(&mut rate, 120, |_| 5.0e6);
        rate.reconfigure(300_000, 30.0);
        run(&mut rate, 30, |_| 5.0e6);
        let (spent, _) = run(&mut rate, 30, |_| 5.0e6);
        assert!(spent < 330_000.0, "{spent}");
    }

    #[test]
    fn an_empty_bucket_drops_frames_but_never_a_quarter_of_a_second() {
        let mut rate = Rate::new(100_000, 30.0);
        rate.encoded(Kind::Inter, 3600, 232, 500_000);
        let dropped = (0..100).take_while(|_| rate.skip()).count();
        assert!((1..=7).contains(&dropped), "{dropped}");
    }
}
