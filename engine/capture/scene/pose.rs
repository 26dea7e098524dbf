//! How the figure stands and how the room is lit at one moment, from the seed and the time alone.

use crate::capture::math::{hash, hash3, mix, phase, sine, smooth, unit};
use crate::capture::voice::{self, Mouth};
use crate::time::Time;

/// One moment. Lengths are in units of the scene, angles in radians.
pub(super) struct Pose {
    /// The body, moved at its top by this much; its bottom stays.
    pub body: (f32, f32),
    /// The middle of the head, from where it rests.
    pub head: (f32, f32),
    /// The head's lean.
    pub tilt: f32,
    /// Where the eyes look.
    pub gaze: (f32, f32),
    /// 0 open, 1 shut.
    pub blink: f32,
    /// Raised brows, 0…1.
    pub brow: f32,
    /// From the voice.
    pub mouth: Mouth,
    /// Light at the left and the right edge, red, green and blue; 1 as painted.
    pub light: [[f32; 3]; 2],
}

impl Pose {
    pub(super) fn new(seed: u64, at: Time) -> Self {
        let us = at.0;
        let wave = |k: u64, period_ms: u64| sine(phase(us, period_ms * 1000) + unit(hash(seed ^ k)));
        let speech = voice::envelope(seed, at);
        // The muscles smear what the voice does: the mean of the last 60 ms.
        let open = (0..4).map(|k| voice::envelope(seed, Time(us.saturating_sub(k * 20_000))).open).sum::<f32>() * 0.25;
        let lean = 0.020 * wave(1, 5_900) + 0.009 * wave(2, 2_300) + 0.004 * wave(3, 1_100);
        let breath = 0.0035 * wave(4, 3_700);
        let nod = 0.005 * open + 0.006 * wave(5, 1_900) + 0.004 * wave(6, 4_700);
        Self {
            body: (lean, breath),
            head: (lean * 1.35 + 0.006 * wave(7, 3_100), breath + nod),
            tilt: 0.050 * wave(8, 4_300) + 0.022 * wave(9, 1_700) - lean * 0.9,
            gaze: gaze(seed, us),
            blink: blink(seed, us),
            brow: 0.35 * smooth(0.4, 1.0, wave(10, 2_900)) + 0.4 * smooth(0.55, 1.0, open),
            mouth: Mouth { open, wide: mix(0.45, speech.wide, smooth(0.0, 0.3, open)) },
            light: light(seed, us),
        }
    }
}

/// The eyes rest, then jump.
fn gaze(seed: u64, us: u64) -> (f32, f32) {
    let slot = us / GAZE_US;
    let aim = |slot: u64| {
        let h = hash3(seed, 0x6761, slot as i64);
        match h % 3 {
            0 => (0.0, 0.0),
            _ => ((unit(h) - 0.5) * 0.014, (unit(hash(h)) - 0.4) * 0.005),
        }
    };
    let (from, to) = (aim(slot.wrapping_sub(1)), aim(slot));
    let t = smooth(0.0, 0.05, phase(us, GAZE_US));
    (mix(from.0, to.0, t), mix(from.1, to.1, t))
}

/// One blink in each slot, at a drawn moment, for about 200 ms.
fn blink(seed: u64, us: u64) -> f32 {
    let start = 0.9 * unit(hash3(seed, 0x626c, (us / BLINK_US) as i64));
    let ms = (phase(us, BLINK_US) - start) * (BLINK_US / 1000) as f32;
    smooth(0.0, 70.0, ms) - smooth(110.0, 210.0, ms)
}

/// Clouds pass before the window on the left; the lamp warms the right.
fn light(seed: u64, us: u64) -> [[f32; 3]; 2] {
    let cloud = |slot: u64| unit(hash3(seed, 0x6c69, slot as i64));
    let slot = us / CLOUD_US;
    let sun = mix(cloud(slot.wrapping_sub(1)), cloud(slot), smooth(0.0, 0.45, phase(us, CLOUD_US)));
    let drift = 0.03 * sine(phase(us, 23_000_000));
    let (day, room) = (mix(0.84, 1.13, sun) + drift, mix(0.93, 1.03, sun) + drift);
    [[day * 1.01, day, day * mix(1.03, 0.98, sun)], [room * 1.02, room * 0.995, room * mix(0.98, 0.95, sun)]]
}

const GAZE_US: u64 = 1_700_000;
const BLINK_US: u64 = 3_300_000;
const CLOUD_US: u64 = 6_500_000;
