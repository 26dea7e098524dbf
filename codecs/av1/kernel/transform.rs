//! Transforms: residuals to coefficients, and back exactly as a decoder does it (specification §7.13).
//!
//! A block's coefficients lie column after column (row r, column c at `c · side + r`), so that each one-dimensional
//! transform runs over whole rows of the array, one lane a column: the first pass across, a transposition, the second
//! pass down. The domain is the decoder's after dequantization: 8 times the orthonormal transform, 4 times for 32×32.

use crate::av1::decisions::Transform;

/// Samples of the greatest transform.
pub const AREA: usize = 32 * 32;

/// The coefficients of one transform and room to compute in; made once and reused.
#[derive(Clone, Debug)]
#[repr(align(32))]
pub struct Coefficients {
    values: [i32; AREA],
    across: [i32; AREA],
    down: [i32; AREA],
    side: usize,
    reach: usize,
    magnitude: u32,
}

impl Default for Coefficients {
    fn default() -> Self {
        Self { values: [0; AREA], across: [0; AREA], down: [0; AREA], side: 4, reach: 0, magnitude: 0 }
    }
}

impl Coefficients {
    /// Rows and columns of the transform.
    pub fn side(&self) -> usize {
        self.side
    }

    /// All coefficients, column after column.
    pub fn values(&self) -> &[i32] {
        &self.values[..self.side * self.side]
    }

    /// Makes a `side`×`side` block of zeros, of which only the first `reach` rows and columns will be set.
    pub fn clear(&mut self, side: usize, reach: usize) {
        debug_assert!(matches!(side, 4 | 8 | 16 | 32) && reach <= side);
        (self.side, self.magnitude) = (side, 0);
        self.reach = if reach <= 8 { side.min(8) } else { reach.next_power_of_two() };
        self.values[..side * side].fill(0);
    }

    /// Sets one coefficient that is 0, at `column · side + row` and inside the reach.
    pub fn set(&mut self, position: usize, value: i32) {
        self.values[position] = value;
        self.magnitude += value.unsigned_abs();
    }

    /// No intermediate value of the inverse transform leaves 16 bits: the condition of §7.13.2.1, without which decoders
    /// need not agree. Where it does not hold, fewer or smaller levels have to be coded.
    pub fn in_range(&self, transform: Transform) -> bool {
        // Every intermediate value is a sum of coefficients with factors of at most 1, and some rounding.
        const SURELY: u32 = 32_000;
        if transform == Transform::Identity || self.magnitude <= SURELY {
            return true;
        }
        match self.side {
            4 => self.watch::<4>(),
            8 => self.watch::<8>(),
            16 => self.watch::<16>(),
            _ => self.watch::<32>(),
        }
    }

    fn watch<const N: usize>(&self) -> bool
    where
        [i32; N]: Dct,
    {
        let mut range = Range { broken: false };
        let mut rows = [[0; N]; N];
        for (row, line) in rows.iter_mut().enumerate().take(self.reach) {
            let mut values = [0; N];
            for (col, value) in values.iter_mut().enumerate().take(self.reach) {
                *value = self.values[col * N + row];
            }
            *line = values.inverse(&mut range).map(|v| clamp16(round(v, row_shift(N))));
        }
        for col in 0..N {
            let mut values = [0; N];
            for (value, line) in values.iter_mut().zip(&rows) {
                *value = line[col];
            }
            values.inverse(&mut range);
        }
        !range.broken
    }
}

wide! {
    /// Transforms a `side`×`side` residual, row after row, each value within ±255.
    pub fn forward(transform: Transform, side: usize, residual: &[i16], out: &mut Coefficients) = forward_plain;

    /// Transforms back and adds to the samples of `out`.
    ///
    /// `Coefficients::in_range` must hold for the result to be what every decoder has.
    pub fn inverse_add(transform: Transform, coefficients: &mut Coefficients, out: &mut [u8], stride: usize)
        = inverse_add_plain;
}

#[inline(always)]
fn forward_plain(transform: Transform, side: usize, residual: &[i16], out: &mut Coefficients) {
    // Not known here, and no sum that would let the inverse take a shorter way.
    (out.side, out.reach, out.magnitude) = (side, side, u32::MAX);
    match (transform, side) {
        (Transform::Dct, 4) => forward_dct::<4, 4>(residual, out),
        (Transform::Dct, 8) => forward_dct::<8, 8>(residual, out),
        (Transform::Dct, 16) => forward_dct::<16, 8>(residual, out),
        (Transform::Dct, _) => forward_dct::<32, 8>(residual, out),
        (Transform::Identity, 4) => forward_identity::<4>(residual, out),
        (Transform::Identity, 8) => forward_identity::<8>(residual, out),
        (Transform::Identity, 16) => forward_identity::<16>(residual, out),
        (Transform::Identity, _) => forward_identity::<32>(residual, out),
    }
}

#[inline(always)]
fn forward_dct<const N: usize, const L: usize>(residual: &[i16], out: &mut Coefficients)
where
    [i32; N]: Dct,
{
    // Gain √(N/2) a pass. 32×32 drops bits between the passes too, so that 32 bits hold the second one.
    let (between, after) = match N {
        4 => (0, 0),
        8 => (0, 1),
        16 => (0, 2),
        _ => (2, 2),
    };
    for (value, residual) in out.values[..N * N].iter_mut().zip(&residual[..N * N]) {
        *value = i32::from(*residual) << 2;
    }
    pass::<N, L>(&out.values, &mut out.down, N, |values| values.forward().map(|v| round(v, between)));
    transpose::<N, L>(&out.down, &mut out.across, N);
    pass::<N, L>(&out.across, &mut out.values, N, |values| values.forward().map(|v| round(v, after)));
}

#[inline(always)]
fn forward_identity<const N: usize>(residual: &[i16], out: &mut Coefficients) {
    let shift = if N == 32 { 2 } else { 3 };
    for row in 0..N {
        for col in 0..N {
            out.values[col * N + row] = i32::from(residual[row * N + col]) << shift;
        }
    }
}

#[inline(always)]
fn inverse_add_plain(transform: Transform, coefficients: &mut Coefficients, out: &mut [u8], stride: usize) {
    let c = coefficients;
    if transform == Transform::Dct && c.magnitude == c.values[0].unsigned_abs() {
        let flat = |v: i32| round(v * COS[32], 12);
        let value = round(flat(clamp16(round(flat(c.values[0]), row_shift(c.side)))), 4);
        return match c.side {
            4 => add_flat::<4>(value, out, stride),
            8 => add_flat::<8>(value, out, stride),
            16 => add_flat::<16>(value, out, stride),
            _ => add_flat::<32>(value, out, stride),
        };
    }
    match (transform, c.side, c.reach) {
        (Transform::Dct, 4, _) => inverse_dct::<4, 4, 4>(c, out, stride),
        (Transform::Dct, 8, _) => inverse_dct::<8, 8, 8>(c, out, stride),
        (Transform::Dct, 16, 8) => inverse_dct::<16, 8, 8>(c, out, stride),
        (Transform::Dct, 16, _) => inverse_dct::<16, 16, 8>(c, out, stride),
        (Transform::Dct, _, 8) => inverse_dct::<32, 8, 8>(c, out, stride),
        (Transform::Dct, _, 16) => inverse_dct::<32, 16, 8>(c, out, stride),
        (Transform::Dct, ..) => inverse_dct::<32, 32, 8>(c, out, stride),
        (Transform::Identity, 4, _) => inverse_identity::<4, 4>(c, out, stride),
        (Transform::Identity, 8, _) => inverse_identity::<8, 8>(c, out, stride),
        (Transform::Identity, 16, _) => inverse_identity::<16, 8>(c, out, stride),
        (Transform::Identity, ..) => inverse_identity::<32, 8>(c, out, stride),
    }
}

/// The inverse DCT of N×N whose coefficients beyond the first K rows and columns are 0.
#[inline(always)]
fn inverse_dct<const N: usize, const K: usize, const L: usize>(c: &mut Coefficients, out: &mut [u8], stride: usize)
where
    [i32; N]: Dct,
{
    pass::<N, L>(&c.values, &mut c.across, K, |values| {
        first::<N, K>(values).inverse(&mut ()).map(|v| clamp16(round(v, row_shift(N))))
    });
    transpose::<N, L>(&c.across, &mut c.down, K);
    pass::<N, L>(&c.down, &mut c.across, N, |values| first::<N, K>(values).inverse(&mut ()));
    add::<N>(&c.across, out, stride);
}

/// Says again that what lies beyond the reach is 0, so that the compiler leaves out what it multiplies.
#[inline(always)]
fn first<const N: usize, const K: usize>(mut values: [i32; N]) -> [i32; N] {
    values[K..].fill(0);
    values
}

#[inline(always)]
fn inverse_identity<const N: usize, const L: usize>(c: &mut Coefficients, out: &mut [u8], stride: usize) {
    let scale = |v: i32| match N {
        4 => round(v * 5793, 12),
        8 => v * 2,
        16 => round(v * 11586, 12),
        _ => v * 4,
    };
    let reach = c.reach;
    for value in &mut c.values[..N * reach] {
        *value = scale(clamp16(round(scale(*value), row_shift(N))));
    }
    c.across[..N * reach].copy_from_slice(&c.values[..N * reach]);
    c.across[N * reach..N * N].fill(0);
    transpose::<N, L>(&c.across, &mut c.down, N);
    add::<N>(&c.down, out, stride);
}

/// One-dimensional transforms down the first `lanes` columns of an N×N array, L at a time.
#[inline(always)]
fn pass<const N: usize, const L: usize>(
    from: &[i32; AREA],
    to: &mut [i32; AREA],
    lanes: usize,
    transform: impl Fn([i32; N]) -> [i32; N],
) {
    let groups = const { N / L };
    let from = &from.as_chunks::<L>().0[..N * groups];
    let to = &mut to.as_chunks_mut::<L>().0[..N * groups];
    for group in 0..(lanes / L).min(groups) {
        for lane in 0..L {
            let mut values = [0; N];
            for k in 0..N {
                values[k] = from[k * groups + group][lane];
            }
            let values = transform(values);
            for k in 0..N {
                to[k * groups + group][lane] = values[k];
            }
        }
    }
}

/// Transposes the first `lanes` columns of an N×N array.
#[inline(always)]
fn transpose<const N: usize, const L: usize>(from: &[i32; AREA], to: &mut [i32; AREA], lanes: usize) {
    let groups = const { N / L };
    let from = &from.as_chunks::<L>().0[..N * groups];
    let to = &mut to.as_chunks_mut::<L>().0[..N * groups];
    for group in 0..(lanes / L).min(groups) {
        for row in 0..groups {
            for i in 0..L {
                for j in 0..L {
                    to[(group * L + j) * groups + row][i] = from[(row * L + i) * groups + group][j];
                }
            }
        }
    }
}

#[inline(always)]
fn add<const N: usize>(residual: &[i32; AREA], out: &mut [u8], stride: usize) {
    for (samples, residual) in out.chunks_mut(stride).zip(residual[..N * N].as_chunks::<N>().0) {
        for (sample, residual) in samples[..N].iter_mut().zip(residual) {
            *sample = (i32::from(*sample) + round(*residual, 4)).clamp(0, 255) as u8;
        }
    }
}

#[inline(always)]
fn add_flat<const N: usize>(value: i32, out: &mut [u8], stride: usize) {
    for samples in out.chunks_mut(stride).take(N) {
        for sample in &mut samples[..N] {
            *sample = (i32::from(*sample) + value).clamp(0, 255) as u8;
        }
    }
}

/// `Transform_Row_Shift` of the square sizes.
const fn row_shift(side: usize) -> u32 {
    match side {
        4 => 0,
        8 => 1,
        _ => 2,
    }
}

#[inline(always)]
const fn round(value: i32, bits: u32) -> i32 {
    (value + ((1 << bits) >> 1)) >> bits
}

#[inline(always)]
fn clamp16(value: i32) -> i32 {
    value.clamp(-32768, 32767)
}

/// Sees what the rotations of an inverse transform store.
trait Witness {
    fn see(&mut self, value: i32);
}

impl Witness for () {
    #[inline(always)]
    fn see(&mut self, _: i32) {}
}

/// Says whether some value left 16 bits.
struct Range {
    broken: bool,
}

impl Witness for Range {
    fn see(&mut self, value: i32) {
        self.broken |= value != clamp16(value);
    }
}

/// 4096 · cos(angle · π / 128), rounded (`Cos128_Lookup`).
const COS: [i32; 65] = [
    4096, 4095, 4091, 4085, 4076, 4065, 4052, 4036, 4017, 3996, 3973, 3948, 3920, 3889, 3857, 3822, 3784, 3745, 3703,
    3659, 3612, 3564, 3513, 3461, 3406, 3349, 3290, 3229, 3166, 3102, 3035, 2967, 2896, 2824, 2751, 2675, 2598, 2520,
    2440, 2359, 2276, 2191, 2106, 2019, 1931, 1842, 1751, 1660, 1567, 1474, 1380, 1285, 1189, 1092, 995, 897, 799, 700,
    601, 501, 401, 301, 201, 101, 0,
];

#[inline(always)]
const fn cos(angle: i32) -> i32 {
    match angle & 255 {
        a @ 0..=64 => COS[a as usize],
        a @ 65..=128 => -COS[128 - a as usize],
        a @ 129..=192 => -COS[a as usize - 128],
        a => COS[256 - a as usize],
    }
}

/// Turns the pair (a, b) by an angle in units of π/128: the specification's B without flip.
#[inline(always)]
fn rotated(a: i32, b: i32, angle: i32) -> (i32, i32) {
    let (cos, sin) = (cos(angle), cos(angle - 64));
    (round(a * cos - b * sin, 12), round(a * sin + b * cos, 12))
}

/// Rotations and sums over the elements of an array, written as lists of (a b angle) and (a b).
///
/// `turn` and `flip` are the inverse's B without and with flip, `sum` is its H; `back`, `unflip` and `cross` undo them.
macro_rules! steps {
    ($t:ident, $witness:ident: turn $($a:literal $b:literal $angle:literal),+) => {
        $(($t[$a], $t[$b]) = rotated($t[$a], $t[$b], $angle);
        $witness.see($t[$a]);
        $witness.see($t[$b]);)+
    };
    ($t:ident, $witness:ident: flip $($a:literal $b:literal $angle:literal),+) => {
        $(($t[$b], $t[$a]) = rotated($t[$a], $t[$b], $angle);
        $witness.see($t[$a]);
        $witness.see($t[$b]);)+
    };
    ($t:ident: sum $($a:literal $b:literal),+) => {
        $(($t[$a], $t[$b]) = (clamp16($t[$a] + $t[$b]), clamp16($t[$a] - $t[$b]));)+
    };
    ($t:ident: back $($a:literal $b:literal $angle:literal),+) => {
        $(($t[$a], $t[$b]) = rotated($t[$a], $t[$b], -$angle);)+
    };
    ($t:ident: unflip $($a:literal $b:literal $angle:literal),+) => {
        $(($t[$a], $t[$b]) = rotated($t[$b], $t[$a], -$angle);)+
    };
    ($t:ident: cross $($a:literal $b:literal),+) => {
        $(($t[$a], $t[$b]) = ($t[$a] + $t[$b], $t[$a] - $t[$b]);)+
    };
}

/// A one-dimensional DCT over the whole array, gain √(N/2) either way.
trait Dct {
    /// Frequencies to samples (§7.13.2.3), with 16 bits between the steps.
    fn inverse(self, witness: &mut impl Witness) -> Self;

    /// Samples to frequencies: the transposed inverse.
    fn forward(self) -> Self;
}

impl Dct for [i32; 4] {
    #[inline(always)]
    fn inverse(self, witness: &mut impl Witness) -> Self {
        let mut t = [self[0], self[2], self[1], self[3]];
        steps!(t, witness: flip 0 1 32);
        steps!(t, witness: turn 2 3 48);
        steps!(t: sum 0 3, 1 2);
        t
    }

    #[inline(always)]
    fn forward(self) -> Self {
        let mut t = self;
        steps!(t: cross 0 3, 1 2);
        steps!(t: back 2 3 48);
        steps!(t: unflip 0 1 32);
        [t[0], t[2], t[1], t[3]]
    }
}

/// The greater DCTs: the even frequencies are the next smaller DCT, the odd ones have steps of their own; every last
/// step sums the first half with the second one backwards.
macro_rules! dct {
    ($n:literal, $half:literal, $inverse:ident, $forward:ident, $odd:expr) => {
        impl Dct for [i32; $n] {
            #[inline(always)]
            fn inverse(self, witness: &mut impl Witness) -> Self {
                let (mut even, mut odd) = ([0; $half], [0; $half]);
                for k in 0..$half {
                    even[k] = self[2 * k];
                    odd[k] = self[$odd[k]];
                }
                let (even, odd) = (even.inverse(witness), $inverse(odd, witness));
                let mut out = [0; $n];
                for k in 0..$half {
                    out[k] = clamp16(even[k] + odd[$half - 1 - k]);
                    out[$n - 1 - k] = clamp16(even[k] - odd[$half - 1 - k]);
                }
                out
            }

            #[inline(always)]
            fn forward(self) -> Self {
                let (mut even, mut odd) = ([0; $half], [0; $half]);
                for k in 0..$half {
                    even[k] = self[k] + self[$n - 1 - k];
                    odd[$half - 1 - k] = self[k] - self[$n - 1 - k];
                }
                let (even, odd) = (even.forward(), $forward(odd));
                let mut out = [0; $n];
                for k in 0..$half {
                    out[2 * k] = even[k];
                    out[$odd[k]] = odd[k];
                }
                out
            }
        }
    };
}

dct!(8, 4, inverse_odd4, forward_odd4, [1, 5, 3, 7]);
dct!(16, 8, inverse_odd8, forward_odd8, [1, 9, 5, 13, 3, 11, 7, 15]);
dct!(32, 16, inverse_odd16, forward_odd16, [1, 17, 9, 25, 5, 21, 13, 29, 3, 19, 11, 27, 7, 23, 15, 31]);

#[inline(always)]
fn inverse_odd4(mut t: [i32; 4], witness: &mut impl Witness) -> [i32; 4] {
    steps!(t, witness: turn 0 3 56, 1 2 24);
    steps!(t: sum 0 1, 3 2);
    steps!(t, witness: flip 2 1 32);
    t
}

#[inline(always)]
fn forward_odd4(mut t: [i32; 4]) -> [i32; 4] {
    steps!(t: unflip 2 1 32);
    steps!(t: cross 0 1, 3 2);
    steps!(t: back 0 3 56, 1 2 24);
    t
}

#[inline(always)]
fn inverse_odd8(mut t: [i32; 8], witness: &mut impl Witness) -> [i32; 8] {
    steps!(t, witness: turn 0 7 60, 1 6 28, 2 5 44, 3 4 12);
    steps!(t: sum 0 1, 3 2, 4 5, 7 6);
    steps!(t, witness: flip 6 1 48, 5 2 112);
    steps!(t: sum 0 3, 1 2, 7 4, 6 5);
    steps!(t, witness: flip 5 2 32, 4 3 32);
    t
}

#[inline(always)]
fn forward_odd8(mut t: [i32; 8]) -> [i32; 8] {
    steps!(t: unflip 5 2 32, 4 3 32);
    steps!(t: cross 0 3, 1 2, 7 4, 6 5);
    steps!(t: unflip 6 1 48, 5 2 112);
    steps!(t: cross 0 1, 3 2, 4 5, 7 6);
    steps!(t: back 0 7 60, 1 6 28, 2 5 44, 3 4 12);
    t
}

#[inline(always)]
fn inverse_odd16(mut t: [i32; 16], witness: &mut impl Witness) -> [i32; 16] {
    steps!(t, witness: turn 0 15 62, 1 14 30, 2 13 46, 3 12 14, 4 11 54, 5 10 22, 6 9 38, 7 8 6);
    steps!(t: sum 0 1, 3 2, 4 5, 7 6, 8 9, 11 10, 12 13, 15 14);
    steps!(t, witness: flip 14 1 56, 13 2 120, 10 5 24, 9 6 88);
    steps!(t: sum 0 3, 1 2, 7 4, 6 5, 8 11, 9 10, 15 12, 14 13);
    steps!(t, witness: flip 13 2 48, 12 3 48, 11 4 112, 10 5 112);
    steps!(t: sum 0 7, 1 6, 2 5, 3 4, 15 8, 14 9, 13 10, 12 11);
    steps!(t, witness: flip 11 4 32, 10 5 32, 9 6 32, 8 7 32);
    t
}

#[inline(always)]
fn forward_odd16(mut t: [i32; 16]) -> [i32; 16] {
    steps!(t: unflip 11 4 32, 10 5 32, 9 6 32, 8 7 32);
    steps!(t: cross 0 7, 1 6, 2 5, 3 4, 15 8, 14 9, 13 10, 12 11);
    steps!(t: unflip 13 2 48, 12 3 48, 11 4 112, 10 5 112);
    steps!(t: cross 0 3, 1 2, 7 4, 6 5, 8 11, 9 10, 15 12, 14 13);
    steps!(t: unflip 14 1 56, 13 2 120, 10 5 24, 9 6 88);
    steps!(t: cross 0 1, 3 2, 4 5, 7 6, 8 9, 11 10, 12 13, 15 14);
    steps!(t: back 0 15 62, 1 14 30, 2 13 46, 3 12 14, 4 11 54, 5 10 22, 6 9 38, 7 8 6);
    t
}

#[cfg(test)]
mod tests;
