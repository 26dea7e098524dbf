//! The plain twin of denoise.wgsl: each sample becomes the mean of its own past for as long as nothing moves there.
//!
//! Of each sample its mean is remembered, with 4 fraction bits, and how many pictures are in it, up to a most. The next
//! picture counts as one more: its weight is 1/2, 1/3, 1/4 and so on. The gate looks at the 3 × 3 differences from the
//! means around a sample: the middle one alone, which tells a thing that is small; the sum of their sizes, which tells
//! one that is thin; and the size of their sum, which tells one that is faint, for noise cancels itself there. Past what
//! noise can be, the count falls, with it the weight of the past, and at half as much again nothing is left of it: the
//! sample is what it is in the picture. Nor has a sample a longer past than those around it have on average: what moves is
//! whole, also where some of it happens to look like what was there. A cut to another scene therefore needs no detector of its own.
//!
//! What is remembered stays on the arm it was made on: on a loss of the GPU the twin begins anew.

use super::Strength;
use crate::gpu::Size;

/// What a strength means; both arms compute with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gate {
    /// For luma and for chroma: where the gate begins to shut, in twelfths of a level with 4 fraction bits.
    pub begin: [i32; 2],
    /// What a unit more shuts it by, in 1/65536.
    pub slope: [i32; 2],
    /// Most pictures that are remembered.
    pub most: u32,
}

impl Gate {
    pub(crate) fn new(strength: Strength) -> Self {
        // The standard deviation of the noise. Chroma of camera pictures has been averaged already.
        let (luma, chroma, most) = match strength {
            Strength::Light => (2, 1, 3),
            Strength::Medium => (3, 2, 7),
            Strength::Strong => (6, 4, 15),
        };
        let each = |of: fn(i32) -> i32| [of(luma), of(chroma)];
        // Nine sizes of differences sum to 7.2 deviations on average and seldom to 12; one is seldom 4, which is a third
        // of it; their sum has 3 and is seldom 9.6.
        Self { begin: each(|noise| noise * 12 * 16), slope: each(|noise| (1 << 16) / (noise * 6 * 16)), most }
    }
}

/// What is remembered of each sample (the mean in the upper 12 bits, the count in the lower 4), and scratch rows.
#[derive(Default)]
pub(crate) struct Denoise {
    before: Vec<u16>,
    after: Vec<u16>,
    rows: Rows,
}

/// Differences of three rows, and what is summed of them over the three, an edge replicated on either side.
#[derive(Default)]
struct Rows {
    differences: [Vec<i16>; 3],
    sums: Vec<i32>,
    sizes: Vec<i32>,
    counts: Vec<i32>,
}

impl Denoise {
    /// Forgets all that it remembers.
    pub(crate) fn restart(&mut self) {
        self.before.clear();
    }

    /// Filters a tight picture of `size` in place.
    pub(crate) fn run(&mut self, gate: &Gate, size: Size, data: &mut [u8]) {
        if self.before.len() != data.len() {
            self.before.clear();
            self.before.resize(data.len(), 0);
            self.after.resize(data.len(), 0);
        }
        let chroma = size.chroma();
        let mut first = 0;
        for (size, class) in [(size, 0), (chroma, 1), (chroma, 1)] {
            let part = first..first + size.area();
            let (data, width) = (&mut data[part.clone()], size.width as usize);
            let (before, after) = (&self.before[part.clone()], &mut self.after[part.clone()]);
            let limits = Limits { begin: gate.begin[class], slope: gate.slope[class], most: gate.most as i32 };
            first = part.end;
            #[cfg(target_arch = "x86_64")]
            if std::arch::is_x86_feature_detected!("avx2") {
                // SAFETY: the processor has AVX2, as just asked.
                unsafe { plane_avx2(limits, width, data, before, after, &mut self.rows) };
                continue;
            }
            plane(limits, width, data, before, after, &mut self.rows);
        }
        std::mem::swap(&mut self.before, &mut self.after);
    }
}

/// [`Gate`] for one plane.
#[derive(Clone, Copy)]
struct Limits {
    begin: i32,
    slope: i32,
    most: i32,
}

/// The same code, compiled for wider registers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn plane_avx2(limits: Limits, width: usize, data: &mut [u8], before: &[u16], after: &mut [u16], rows: &mut Rows) {
    plane(limits, width, data, before, after, rows);
}

#[inline(always)]
fn plane(limits: Limits, width: usize, data: &mut [u8], before: &[u16], after: &mut [u16], rows: &mut Rows) {
    rows.differences.iter_mut().for_each(|row| row.resize(width, 0));
    rows.sums.resize(width + 2, 0);
    rows.sizes.resize(width + 2, 0);
    rows.counts.resize(width + 2, 0);
    let height = data.len() / width;
    let row = |y: usize| y * width..(y + 1) * width;
    // Of the rows above, here and below; the picture is overwritten only behind the last of them.
    differences(&data[row(0)], &before[row(0)], &mut rows.differences[1]);
    let [above, here, _] = &mut rows.differences;
    above.copy_from_slice(here);
    for y in 0..height {
        let [above, here, below] = &mut rows.differences;
        match y + 1 < height {
            true => differences(&data[row(y + 1)], &before[row(y + 1)], below),
            false => below.copy_from_slice(here),
        }
        let columns = above.iter().zip(&*here).zip(&*below);
        let sums = rows.sums[1..].iter_mut().zip(&mut rows.sizes[1..]);
        for ((sum, size), ((a, b), c)) in sums.zip(columns) {
            let (a, b, c) = (i32::from(*a), i32::from(*b), i32::from(*c));
            *sum = a + b + c;
            *size = a.abs() + b.abs() + c.abs();
        }
        let (up, down) = (y.saturating_sub(1), (y + 1).min(height - 1));
        let columns = before[row(up)].iter().zip(&before[row(y)]).zip(&before[row(down)]);
        for (count, ((a, b), c)) in rows.counts[1..].iter_mut().zip(columns) {
            *count = i32::from(a & 15) + i32::from(b & 15) + i32::from(c & 15);
        }
        for edged in [&mut rows.sums, &mut rows.sizes, &mut rows.counts] {
            (edged[0], edged[width + 1]) = (edged[1], edged[width]);
        }
        let windows = rows.sums.windows(3).zip(rows.sizes.windows(3)).zip(rows.counts.windows(3)).zip(&*here);
        let samples = data[row(y)].iter_mut().zip(&before[row(y)]).zip(&mut after[row(y)]);
        for (((out, past), next), (((sums, sizes), counts), own)) in samples.zip(windows) {
            let sum = (sums[0] + sums[1] + sums[2]).abs();
            let own = i32::from(*own);
            let moved = (3 * own.abs()).max(sizes[0] + sizes[1] + sizes[2]).max(sum + (sum >> 2));
            let shut = (((moved - limits.begin) * limits.slope) >> 8).clamp(0, 256);
            let past = i32::from(*past);
            // A ninth, for sums up to 135.
            let known = (past & 15).min(((counts[0] + counts[1] + counts[2]) * 57) >> 9);
            let kept = (known * (256 - shut)) >> 8;
            let value = (past >> 4) + ((own * weight(kept) + 128) >> 8);
            *next = (value << 4 | (kept + 1).min(limits.most)) as u16;
            *out = ((value + 8) >> 4) as u8;
        }
        rows.differences.rotate_left(1);
    }
}

/// How far a row is from what is remembered, with 4 fraction bits.
#[inline(always)]
fn differences(data: &[u8], before: &[u16], out: &mut [i16]) {
    for (out, (new, old)) in out.iter_mut().zip(data.iter().zip(before)) {
        *out = (i16::from(*new) << 4) - (*old >> 4) as i16;
    }
}

/// The weight of a picture that comes to `kept` others, in 1/256. Comparisons fill wide registers where a table does not.
#[inline(always)]
fn weight(kept: i32) -> i32 {
    let mut weight = 0;
    for (i, of) in WEIGHTS.iter().enumerate() {
        weight |= if kept == i as i32 { *of } else { 0 };
    }
    weight
}

/// 256 / (kept + 1), ties up.
const WEIGHTS: [i32; 16] = {
    let mut weights = [0; 16];
    let mut kept = 0;
    while kept < 16 {
        weights[kept as usize] = (256 + (kept + 1) / 2) / (kept + 1);
        kept += 1;
    }
    weights
};

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size::new(96, 64);

    /// Approximately normal: the sum of twelve uniform numbers.
    fn noise(rng: &mut fastrand::Rng, deviation: f64) -> f64 {
        deviation * ((0..12).map(|_| rng.f64()).sum::<f64>() - 6.0)
    }

    /// A clean picture with noise, and the mean square error that the noise makes.
    fn noisy(rng: &mut fastrand::Rng, clean: &[u8], deviation: f64) -> Vec<u8> {
        clean.iter().map(|c| (f64::from(*c) + noise(rng, deviation)).round().clamp(0.0, 255.0) as u8).collect()
    }

    fn error(a: &[u8], b: &[u8], of: impl Fn(usize) -> bool) -> f64 {
        let squares = (0..SIZE.area()).filter(|i| of(*i)).map(|i| (f64::from(a[i]) - f64::from(b[i])).powi(2));
        let count = (0..SIZE.area()).filter(|i| of(*i)).count();
        squares.sum::<f64>() / count as f64
    }

    /// Bright from column `edge` on.
    fn edge_at(edge: usize, step: u8) -> Vec<u8> {
        let luma = (0..SIZE.area()).map(|i| if i % 96 >= edge { 80 + step } else { 80 });
        luma.chain(std::iter::repeat_n(128, SIZE.i420_len() - SIZE.area())).collect()
    }

    #[test]
    fn noise_of_a_still_scene_falls_by_what_the_strength_says() {
        for (strength, deviation, least) in
            [(Strength::Light, 2.0, 5.0), (Strength::Medium, 3.0, 9.0), (Strength::Strong, 6.0, 18.0)]
        {
            let (mut rng, mut filter) = (fastrand::Rng::with_seed(1), Denoise::default());
            let clean = edge_at(40, 70);
            let mut last = (1.0, 1.0);
            for _ in 0..40 {
                let source = noisy(&mut rng, &clean, deviation);
                let mut out = source.clone();
                filter.run(&Gate::new(strength), SIZE, &mut out);
                last = (error(&source, &clean, |_| true), error(&out, &clean, |_| true));
            }
            assert!(last.0 / last.1 > least, "{strength:?}: {last:?}");
        }
    }

    #[test]
    fn beside_an_edge_that_moves_the_error_is_not_above_the_sources() {
        for (step, speed) in [(20, 1), (40, 1), (40, 3), (120, 2), (120, 5)] {
            let (mut rng, mut filter) = (fastrand::Rng::with_seed(2), Denoise::default());
            let (mut before, mut after) = (0.0, 0.0);
            for n in 0..40 {
                let edge = if n < 20 { 4 } else { 4 + (n - 20) * speed % 90 };
                let clean = edge_at(edge, step);
                let source = noisy(&mut rng, &clean, 3.0);
                let mut out = source.clone();
                filter.run(&Gate::new(Strength::Medium), SIZE, &mut out);
                if n > 20 {
                    let beside = |i: usize| (i % 96).abs_diff(edge) <= 4 + speed;
                    before += error(&source, &clean, beside);
                    after += error(&out, &clean, beside);
                }
            }
            assert!(after <= before, "step {step}, {speed} a picture: {after} of {before}");
        }
    }

    #[test]
    fn a_cut_leaves_nothing_of_the_scene_before() {
        let (mut rng, mut filter) = (fastrand::Rng::with_seed(3), Denoise::default());
        for n in 0..12 {
            let clean = if n < 11 { edge_at(40, 70) } else { edge_at(0, 35) };
            let source = noisy(&mut rng, &clean, 3.0);
            let mut out = source.clone();
            filter.run(&Gate::new(Strength::Medium), SIZE, &mut out);
            if n == 11 {
                assert!(error(&out, &clean, |_| true) <= 1.05 * error(&source, &clean, |_| true));
            }
        }
        // Told, it forgets all.
        filter.restart();
        let source = noisy(&mut rng, &edge_at(40, 70), 3.0);
        let mut out = source.clone();
        filter.run(&Gate::new(Strength::Medium), SIZE, &mut out);
        assert_eq!(out, source);
    }

    #[test]
    fn without_noise_nothing_changes() {
        let (mut filter, picture) = (Denoise::default(), edge_at(31, 90));
        for _ in 0..20 {
            let mut out = picture.clone();
            filter.run(&Gate::new(Strength::Strong), SIZE, &mut out);
            assert_eq!(out, picture);
        }
    }
}
