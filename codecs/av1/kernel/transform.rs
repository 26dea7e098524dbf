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
    pub fn in_range(&mut self, transform: Transform) -> bool {
        // Every intermediate value is a sum of coefficients with factors of at most 1, and some rounding.
        const SURELY: u32 = 32_000;
        transform == Transform::Identity || self.magnitude <= SURELY || watched(self)
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

    /// No rotation of the inverse DCT leaves 16 bits.
    fn watched(coefficients: &mut Coefficients) -> bool = watched_plain;
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
    [i32; N]: Dct<N>,
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
    pass::<N, N, L, FORWARD>(&out.values, &mut out.down, N, between, &mut ());
    transpose::<N, L>(&out.down, &mut out.across, N);
    pass::<N, N, L, FORWARD>(&out.across, &mut out.values, N, after, &mut ());
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

#[inline(always)]
fn watched_plain(c: &mut Coefficients) -> bool {
    let range: Range = match (c.side, c.reach) {
        (4, _) => inverse_passes::<4, 4, 4, _>(c),
        (8, _) => inverse_passes::<8, 8, 8, _>(c),
        (16, _) => inverse_passes::<16, 16, 8, _>(c),
        _ => inverse_passes::<32, 32, 8, _>(c),
    };
    range.beyond == 0
}

/// The inverse DCT of N×N whose coefficients beyond the first K rows and columns are 0.
#[inline(always)]
fn inverse_dct<const N: usize, const K: usize, const L: usize>(c: &mut Coefficients, out: &mut [u8], stride: usize)
where
    [i32; N]: Dct<N>,
{
    inverse_passes::<N, K, L, ()>(c);
    add::<N>(&c.across, out, stride);
}

/// Leaves the residual in `across`.
#[inline(always)]
fn inverse_passes<const N: usize, const K: usize, const L: usize, W: Witness>(c: &mut Coefficients) -> W
where
    [i32; N]: Dct<N>,
{
    let mut witness = W::default();
    pass::<N, K, L, INVERSE>(&c.values, &mut c.across, K, row_shift(N), &mut witness);
    transpose::<N, L>(&c.across, &mut c.down, K);
    pass::<N, K, L, INVERSE>(&c.down, &mut c.across, N, 4, &mut witness);
    witness
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
        *value = round(scale(clamp16(round(scale(*value), row_shift(N)))), 4);
    }
    c.across[..N * reach].copy_from_slice(&c.values[..N * reach]);
    c.across[N * reach..N * N].fill(0);
    transpose::<N, L>(&c.across, &mut c.down, N);
    add::<N>(&c.down, out, stride);
}

const FORWARD: bool = true;
const INVERSE: bool = false;

/// One-dimensional transforms down the first `lanes` columns of an N×N array, L at a time, whose rows from K on are 0;
/// the results lose `shift` bits.
#[inline(always)]
fn pass<const N: usize, const K: usize, const L: usize, const DIRECTION: bool>(
    from: &[i32; AREA],
    to: &mut [i32; AREA],
    lanes: usize,
    shift: u32,
    witness: &mut impl Witness,
) where
    [i32; N]: Dct<N>,
{
    // Through arrays of this function's own, so that nothing hinders the compiler from taking all lanes at once.
    let (mut before, mut after) = ([[0; L]; N], [[0; L]; N]);
    let from = from.as_chunks::<L>().0.chunks_exact(const { N / L });
    let to = to.as_chunks_mut::<L>().0;
    for group in 0..lanes / L {
        for (lanes, row) in before.iter_mut().zip(from.clone()).take(K) {
            *lanes = row[group];
        }
        let mut seen = *witness;
        for lane in 0..L {
            let values = <[i32; N]>::load::<K, L>(&before, lane);
            let values = if DIRECTION == FORWARD { values.forward() } else { values.inverse(&mut seen) };
            values.store(&mut after, lane, shift);
        }
        *witness = seen;
        for (lanes, row) in after.iter().zip(to.chunks_exact_mut(const { N / L })) {
            row[group] = *lanes;
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
            *sample = (i32::from(*sample) + residual).clamp(0, 255) as u8;
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
trait Witness: Copy + Default {
    fn see(&mut self, value: i32);
}

impl Witness for () {
    #[inline(always)]
    fn see(&mut self, _: i32) {}
}

/// Remembers whether some value left 16 bits.
#[derive(Clone, Copy, Default)]
struct Range {
    /// What was beyond bit 15 of any.
    beyond: i32,
}

impl Witness for Range {
    #[inline(always)]
    fn see(&mut self, value: i32) {
        self.beyond |= (value + 32768) >> 16;
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
///
/// All of it is written out and has no loops: beyond some length the compiler leaves loops as they are, and then it
/// cannot take many lanes at once.
trait Dct<const N: usize> {
    /// One lane of the first K rows; the others are 0.
    fn load<const K: usize, const L: usize>(rows: &[[i32; L]; N], lane: usize) -> Self;

    /// Sets one lane, less `shift` bits, rounded and within 16.
    fn store<const L: usize>(self, rows: &mut [[i32; L]; N], lane: usize, shift: u32);

    /// Frequencies to samples (§7.13.2.3), with 16 bits between the steps.
    fn inverse(self, witness: &mut impl Witness) -> Self;

    /// Samples to frequencies: the transposed inverse.
    fn forward(self) -> Self;
}

/// The first two methods, for elements $k and those `$half` after them.
macro_rules! lanes {
    ($n:literal, $half:literal: $($k:literal),+) => {
        #[inline(always)]
        fn load<const K: usize, const L: usize>(rows: &[[i32; L]; $n], lane: usize) -> Self {
            let element = |k: usize| if k < K { rows[k][lane] } else { 0 };
            [$(element($k),)+ $(element($half + $k)),+]
        }

        #[inline(always)]
        fn store<const L: usize>(self, rows: &mut [[i32; L]; $n], lane: usize, shift: u32) {
            $(rows[$k][lane] = clamp16(round(self[$k], shift));
            rows[$half + $k][lane] = clamp16(round(self[$half + $k], shift));)+
        }
    };
}

impl Dct<4> for [i32; 4] {
    lanes!(4, 2: 0, 1);

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

/// The greater DCTs: the even frequencies are the next smaller DCT, the odd ones, in the order given, have steps of their
/// own; every last step sums the first half with the second one backwards.
macro_rules! dct {
    ($n:literal, $half:literal, $inverse:ident, $forward:ident: $($k:literal $odd:literal),+) => {
        impl Dct<$n> for [i32; $n] {
            lanes!($n, $half: $($k),+);

            #[inline(always)]
            fn inverse(self, witness: &mut impl Witness) -> Self {
                let even = [$(self[2 * $k]),+].inverse(witness);
                let odd = $inverse([$(self[$odd]),+], witness);
                let mut out = [0; $n];
                $(out[$k] = clamp16(even[$k] + odd[$half - 1 - $k]);
                out[$n - 1 - $k] = clamp16(even[$k] - odd[$half - 1 - $k]);)+
                out
            }

            #[inline(always)]
            fn forward(self) -> Self {
                let even = [$(self[$k] + self[$n - 1 - $k]),+].forward();
                let odd = $forward([$(self[$half - 1 - $k] - self[$half + $k]),+]);
                let mut out = [0; $n];
                $(out[2 * $k] = even[$k];
                out[$odd] = odd[$k];)+
                out
            }
        }
    };
}

dct!(8, 4, inverse_odd4, forward_odd4: 0 1, 1 5, 2 3, 3 7);
dct!(16, 8, inverse_odd8, forward_odd8: 0 1, 1 9, 2 5, 3 13, 4 3, 5 11, 6 7, 7 15);
dct!(32, 16, inverse_odd16, forward_odd16: 0 1, 1 17, 2 9, 3 25, 4 5, 5 21, 6 13, 7 29, 8 3, 9 19, 10 11, 11 27, 12 7, 13 23, 14 15, 15 31);

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
