//! The plain twin of denoise.wgsl: each sample becomes the mean of its own past for as long as nothing moves there.
//!
//! Of each sample its mean is remembered, with 4 fraction bits, and how many pictures are in it, up to a most. The next
//! picture counts as one more: its weight is 1/2, 1/3, 1/4 and so on. The gate looks at the 3 × 3 differences from the
//! means around a sample: the middle one alone, which tells a thing that is small; the sum of their sizes, which tells
//! one that is thin; and the size of their sum, which tells one that is faint, for noise cancels itself there. Past what
//! noise can be, the count falls, with it the weight of the past, and at twice that nothing is left of it: the sample is
//! what it is in the picture. A cut to another scene therefore needs no detector of its own.
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
            Strength::Medium => (4, 2, 7),
            Strength::Strong => (7, 4, 15),
        };
        let each = |of: fn(i32) -> i32| [of(luma), of(chroma)];
        // Nine sizes of differences sum to 7.2 deviations on average and seldom to 12; one is seldom 4, which is a third
        // of it; their sum has 3 and is seldom 9.6.
        Self { begin: each(|noise| noise * 12 * 16), slope: each(|noise| (1 << 16) / (noise * 12 * 16)), most }
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
        for edged in [&mut rows.sums, &mut rows.sizes] {
            (edged[0], edged[width + 1]) = (edged[1], edged[width]);
        }
        let windows = rows.sums.windows(3).zip(rows.sizes.windows(3)).zip(&*here);
        let samples = data[row(y)].iter_mut().zip(&before[row(y)]).zip(&mut after[row(y)]);
        for (((out, past), next), ((sums, sizes), own)) in samples.zip(windows) {
            let sum = (sums[0] + sums[1] + sums[2]).abs();
            let own = i32::from(*own);
            let moved = (3 * own.abs()).max(sizes[0] + sizes[1] + sizes[2]).max(sum + (sum >> 2));
            let shut = (((moved - limits.begin) * limits.slope) >> 8).clamp(0, 256);
            let past = i32::from(*past);
            let kept = ((past & 15) * (256 - shut)) >> 8;
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
