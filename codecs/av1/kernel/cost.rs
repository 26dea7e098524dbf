//! What a choice costs: squared error plus bits, from a transform that is really made and levels that are really rounded.
//!
//! Errors are in sixteenths of a squared sample, bits in quarters, so that a whole superblock at the coarsest quantizer
//! stays below 2³².

use super::quantize::ac_q;
use super::transform::{self, Coefficients};
use crate::av1::decisions::Transform;

/// Weights of one frame.
#[derive(Clone, Copy, Debug)]
pub struct Costs {
    /// Sixteenths of a squared sample that a quarter bit is worth.
    pub quarter_bit: u32,
    /// Absolute differences, in sixteenths, that a bit of a vector is worth in a search.
    pub vector_bit: u32,
    /// Step of the AC quantizer for transforms to 16×16, and for 32×32.
    steps: [Step; 2],
}

/// A quantizer step and what divides by it.
#[derive(Clone, Copy, Debug)]
struct Step {
    size: u32,
    /// 2¹⁶ over the step.
    reciprocal: u32,
    /// Added before the division: less than half, so that small values become 0.
    rounding: u32,
}

impl Step {
    fn new(size: u32) -> Self {
        Self { size, reciprocal: 65_536 / size, rounding: size * 3 / 8 }
    }
}

impl Costs {
    /// The weights at `base_q_idx` `index`.
    pub fn new(index: u8) -> Self {
        let step = ac_q(index) as u32;
        Self {
            quarter_bit: (step * step / 136).max(1),
            vector_bit: step * 11 / 16,
            steps: [Step::new(step), Step::new((step / 2).max(1))],
        }
    }

    /// Size, reciprocal and rounding of the step for transforms to 16×16, and for 32×32.
    pub fn steps(&self) -> [[u32; 3]; 2] {
        self.steps.map(|step| [step.size, step.reciprocal, step.rounding])
    }

    /// Error and bits together.
    #[inline(always)]
    pub fn sum(&self, error: u32, quarter_bits: u32) -> u32 {
        error.saturating_add(quarter_bits.min(60_000).saturating_mul(self.quarter_bit))
    }

    /// The least cost of a residual of `SIDE`², and whether it is that of no levels at all. `skip_bits` and `coded_bits`
    /// are what saying so costs, in quarters.
    #[inline(always)]
    pub fn residual<const SIDE: usize>(
        &self,
        residual: &[i16; 1024],
        skip_bits: u32,
        coded_bits: u32,
        coefficients: &mut Coefficients,
    ) -> (u32, bool) {
        let mut energy = 0u32;
        for v in &residual[..SIDE * SIDE] {
            energy += (i32::from(*v) * i32::from(*v)) as u32;
        }
        let skipped = self.sum(energy << 4, skip_bits);
        transform::forward(Transform::Dct, SIDE, &residual[..SIDE * SIDE], coefficients);
        let (error, bits) = self.levels::<SIDE>(coefficients.values());
        let coded = self.sum(error, bits + coded_bits);
        if bits > 0 && coded < skipped { (coded, false) } else { (skipped, true) }
    }

    /// Error and quarter bits of coefficients once they are rounded.
    #[inline(always)]
    fn levels<const SIDE: usize>(&self, coefficients: &[i32]) -> (u32, u32) {
        let Step { size, reciprocal, rounding } = self.steps[usize::from(SIDE == 32)];
        let weights = const { &weights::<SIDE>() };
        let (mut error, mut bits) = (0u32, 0u32);
        for (line, weights) in coefficients.chunks_exact(SIDE).zip(weights.chunks_exact(SIDE)) {
            for x in 0..SIDE {
                let magnitude = line[x].unsigned_abs();
                let level = (magnitude + rounding) * reciprocal >> 16;
                let left = magnitude.abs_diff(level * size);
                error += left * left;
                bits += level.min(1) * weights[x] + level.saturating_sub(1).min(14) * 5;
            }
        }
        // Transforms of 32 are scaled by 4, smaller ones by 8.
        (if SIDE == 32 { error } else { error >> 2 }, bits)
    }
}

/// Quarter bits of a level of ±1 by its place: the further from the first, the more zeros it brings along.
const fn weights<const SIDE: usize>() -> [u32; 1024] {
    let mut weights = [0; 1024];
    let mut i = 0;
    while i < SIDE * SIDE {
        let place = (i / SIDE + i % SIDE) * 8 / SIDE;
        weights[i] = 18 + place as u32 * 2;
        i += 1;
    }
    weights
}
