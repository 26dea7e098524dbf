//! Arithmetic that the rendered sources share. It gives the same bits on every machine: hashes are integers, and
//! floats use addition, multiplication, division, square root and floor alone, which IEEE 754 fixes exactly.

/// Mixes all bits of `x` (the finaliser of splitmix64).
pub(super) const fn hash(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A hash of a seed and two numbers.
pub(super) const fn hash3(seed: u64, a: i64, b: i64) -> u64 {
    hash(hash(seed ^ a as u64).wrapping_add(b as u64))
}

/// Maps a hash to `0.0..1.0`.
pub(super) fn unit(hash: u64) -> f32 {
    (hash >> 40) as f32 / (1u32 << 24) as f32
}

/// Sine of an angle given in turns, within 0.0011: for motion and texture.
pub(super) fn sine(turns: f32) -> f32 {
    let p = turns - (turns + 0.5).floor();
    let y = 8.0 * p - 16.0 * p * p.abs();
    0.225 * (y * y.abs() - y) + y
}

/// Cosine of an angle in radians up to 1, to the precision of a double: for filters.
pub(super) fn cosine(x: f64) -> f64 {
    let q = x * x;
    let mut sum = 1.0;
    let mut term = 1.0;
    for k in 1..10 {
        term *= -q / f64::from((2 * k - 1) * (2 * k));
        sum += term;
    }
    sum
}

/// `exp(-x)` for small `x`, to the precision of a double: for filters.
pub(super) fn decay(x: f64) -> f64 {
    let mut sum = 1.0;
    let mut term = 1.0;
    for k in 1..12 {
        term *= -x / f64::from(k);
        sum += term;
    }
    sum
}

/// Rises smoothly from 0 at `from` to 1 at `to`.
pub(super) fn smooth(from: f32, to: f32, x: f32) -> f32 {
    let t = ((x - from) / (to - from)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// Between `a` and `b`.
pub(super) fn mix(a: f32, b: f32, t: f32) -> f32 {
    a + (b - a) * t
}

/// Where a time stands within a period, `0.0..1.0`.
pub(super) fn phase(us: u64, period_us: u64) -> f32 {
    (us % period_us) as f32 / period_us as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_series_agree_with_the_library() {
        for k in 0..100 {
            let x = f64::from(k) / 100.0;
            assert!((cosine(x) - x.cos()).abs() < 1e-12);
            assert!((decay(x) - (-x).exp()).abs() < 1e-8);
            assert!((f64::from(sine(x as f32)) - (x * std::f64::consts::TAU).sin()).abs() < 2e-3);
        }
    }
}
