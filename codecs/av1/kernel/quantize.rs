//! Coefficients to levels, with a dead zone, and back exactly as a decoder does it (specification §7.12.3).

use super::quantizer_tables::{AC, DC};
use super::transform::{AREA, Coefficients};
use crate::av1::scan::scan;

/// Step of the first coefficient in units of the dequantized domain; of 32×32 in halves.
pub fn dc_q(base_q_idx: u8) -> i32 {
    i32::from(DC[usize::from(base_q_idx)])
}

/// Step of every other coefficient.
pub fn ac_q(base_q_idx: u8) -> i32 {
    i32::from(AC[usize::from(base_q_idx)])
}

/// Where levels begin and how they are rounded, in 128ths of the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeadZone {
    /// Magnitudes below are 0.
    pub zero_bin: u8,
    /// Added before the division: 64 rounds to the nearest.
    pub rounding: u8,
}

impl Default for DeadZone {
    fn default() -> Self {
        Self { zero_bin: 84, rounding: 48 }
    }
}

/// Steps of one frame, ready for use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantizer {
    dc: Step,
    ac: Step,
}

impl Quantizer {
    /// Steps of `base_q_idx`, 1…255, with one dead zone for the first coefficient and one for all others.
    pub fn new(base_q_idx: u8, dc: DeadZone, ac: DeadZone) -> Self {
        Self { dc: Step::new(dc_q(base_q_idx), dc), ac: Step::new(ac_q(base_q_idx), ac) }
    }

    /// Step, zero bin, rounding, reciprocal and shift of the first coefficient, and of all others.
    pub fn steps(&self) -> [[u32; 5]; 2] {
        [self.dc, self.ac]
            .map(|step| [step.size as u32, step.zero_bin as u32, step.rounding as u32, step.reciprocal, step.shift])
    }

    /// The differences of `side`×`side` samples, at most 16×16, hold more than the steps leave anyway: in their mean, or in
    /// a detail. Given are their sum and that of their squares.
    pub fn is_far(&self, sum: i32, squares: u32, side: usize) -> bool {
        let [first, others] = [self.dc, self.ac].map(|step| step.zero_bin as u32);
        // The first coefficient is eight times the sum over the side; the squares of all are 64 times those given.
        let mean = 32 * sum.unsigned_abs() >= FAR_MEAN * first * side as u32;
        let detail = squares >= (FAR_DETAIL * FAR_DETAIL * others * others) >> 6;
        mean || detail
    }
}

/// How far the first coefficient has to leave its dead zone, in quarters of it.
const FAR_MEAN: u32 = 6;
/// How far all coefficients together have to, in dead zones.
const FAR_DETAIL: u32 = 8;

/// One step; division by it is a multiplication and a shift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    size: i32,
    zero_bin: i32,
    rounding: i32,
    reciprocal: u32,
    shift: u32,
}

impl Step {
    fn new(size: i32, zone: DeadZone) -> Self {
        let part = |of: u8| (size * i32::from(of) + 64) >> 7;
        // 2^14 < reciprocal ≤ 2^15: exact for magnitudes below 2^14, at most one level too many above, and the product
        // with a magnitude below 2^17 stays in 32 bits.
        let shift = 15 + size.ilog2();
        let reciprocal = (1u32 << shift).div_ceil(size as u32);
        Self { size, zero_bin: part(zone.zero_bin), rounding: part(zone.rounding), reciprocal, shift }
    }

    /// The level of a coefficient that counts `unit` for 1: 2 in 32×32, else 1. Its magnitude stays below 2^15.
    #[inline(always)]
    fn level(&self, coefficient: i32, unit: i32) -> i16 {
        let magnitude = (coefficient.abs() * unit).min((1 << 16) + (1 << 15));
        let level = ((magnitude + self.rounding) as u32 * self.reciprocal) >> self.shift;
        let level = if magnitude < self.zero_bin { 0 } else { level as i32 };
        (if coefficient < 0 { -level } else { level }) as i16
    }
}

/// Room to quantize in; made once and reused.
#[derive(Clone, Debug)]
pub struct Levels([i16; AREA]);

impl Default for Levels {
    fn default() -> Self {
        Self([0; AREA])
    }
}

/// Quantizes into `levels`, in scan order, and returns how many of them there are up to the last that is not 0. Those
/// beyond are left as they were.
pub fn quantize(coefficients: &Coefficients, quantizer: &Quantizer, room: &mut Levels, levels: &mut [i16]) -> u16 {
    let side = coefficients.side();
    raster(coefficients, quantizer, room);
    // The scan goes by anti-diagonals: the last that holds a level bounds it.
    let mut last = None;
    for (col, column) in room.0[..side * side].chunks_exact(side).enumerate() {
        if any(column) {
            last = last.max(column.iter().rposition(|level| *level != 0).map(|row| row + col));
        }
    }
    let Some(last) = last else { return 0 };
    let bound = if last < side { (last + 1) * (last + 2) / 2 } else { side * side };
    let levels = &mut levels[..bound];
    for (level, position) in levels.iter_mut().zip(scan(side)) {
        // The mask changes nothing but that no check is needed.
        *level = room.0[transposed(*position, side) % AREA];
    }
    levels.iter().rposition(|level| *level != 0).map_or(0, |last| last as u16 + 1)
}

fn any(column: &[i16]) -> bool {
    column.iter().fold(0, |all, level| all | level) != 0
}

wide! {
    /// Quantizes every coefficient where it lies.
    fn raster(coefficients: &Coefficients, quantizer: &Quantizer, room: &mut Levels) = raster_plain;
}

#[inline(always)]
fn raster_plain(coefficients: &Coefficients, quantizer: &Quantizer, room: &mut Levels) {
    let unit = unit(coefficients.side());
    let values = coefficients.values();
    for (level, value) in room.0.iter_mut().zip(values) {
        *level = quantizer.ac.level(*value, unit);
    }
    room.0[0] = quantizer.dc.level(values[0], unit);
}

/// Sets `coefficients` to what a decoder makes of `levels`, all of a `side`×`side` transform up to its end.
pub fn dequantize(levels: &[i16], side: usize, quantizer: &Quantizer, coefficients: &mut Coefficients) {
    let Some(end) = levels.len().checked_sub(1) else { return coefficients.clear(side, 0) };
    let scan = &scan(side)[..=end];
    let last = usize::from(scan[end]);
    coefficients.clear(side, (last / side + last % side + 1).min(side));
    let halved = side == 32;
    for (n, (level, position)) in levels.iter().zip(scan).enumerate() {
        if *level != 0 {
            let step = if n == 0 { quantizer.dc.size } else { quantizer.ac.size };
            let magnitude = ((i32::from(*level).abs() * step) & 0xff_ffff) >> u32::from(halved);
            let value = (if *level < 0 { -magnitude } else { magnitude }).clamp(-32768, 32767);
            coefficients.set(transposed(*position, side), value);
        }
    }
}

/// Dequantized coefficients of 32×32 are halved, so their levels count twice.
const fn unit(side: usize) -> i32 {
    if side == 32 { 2 } else { 1 }
}

/// Row after row to column after column.
#[inline(always)]
fn transposed(position: u16, side: usize) -> usize {
    let position = usize::from(position);
    let log2 = side.ilog2();
    (position & (side - 1)) << log2 | position >> log2
}

#[cfg(test)]
mod tests;
