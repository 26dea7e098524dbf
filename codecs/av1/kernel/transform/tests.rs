use super::*;
use rav1e::bench::cpu_features::CpuFeatureLevel;
use rav1e::bench::frame::{AsRegion, Plane};
use rav1e::bench::transform::{TxSize, TxType, inverse_transform_add};

/// The specification's procedures (§7.13.2, §7.13.3) word by word, for any size, on wide integers.
struct Spec {
    t: Vec<i64>,
    broken: bool,
    greatest: i64,
}

impl Spec {
    fn new(t: Vec<i64>) -> Self {
        Self { t, broken: false, greatest: 0 }
    }

    fn brev(bits: u32, x: usize) -> usize {
        (0..bits).map(|i| (x >> i & 1) << (bits - 1 - i)).sum()
    }

    fn cos128(angle: i64) -> i64 {
        (4096.0 * (angle as f64 * std::f64::consts::PI / 128.0).cos()).round() as i64
    }

    fn b(&mut self, a: usize, b: usize, angle: usize, flip: usize) {
        let (cos, sin) = (Self::cos128(angle as i64), Self::cos128(angle as i64 - 64));
        let x = (self.t[a] * cos - self.t[b] * sin + 2048) >> 12;
        let y = (self.t[a] * sin + self.t[b] * cos + 2048) >> 12;
        (self.t[a], self.t[b]) = if flip == 1 { (y, x) } else { (x, y) };
        self.greatest = self.greatest.max(x.abs()).max(y.abs());
        self.broken |= [x, y].iter().any(|v| i16::try_from(*v).is_err());
    }

    fn h(&mut self, a: usize, b: usize, flip: usize) {
        let (a, b) = if flip == 1 { (b, a) } else { (a, b) };
        let (x, y) = (self.t[a], self.t[b]);
        (self.t[a], self.t[b]) = ((x + y).clamp(-32768, 32767), (x - y).clamp(-32768, 32767));
    }

    fn dct(&mut self) {
        let n = self.t.len().ilog2();
        self.t = (0..self.t.len()).map(|i| self.t[Self::brev(n, i)]).collect();
        if n >= 5 {
            (0..8).for_each(|i| self.b(16 + i, 31 - i, 6 + (Self::brev(3, 7 - i) << 3), 0));
        }
        if n >= 4 {
            (0..4).for_each(|i| self.b(8 + i, 15 - i, 12 + (Self::brev(2, 3 - i) << 4), 0));
        }
        if n >= 5 {
            (0..8).for_each(|i| self.h(16 + 2 * i, 17 + 2 * i, i & 1));
        }
        if n >= 3 {
            (0..2).for_each(|i| self.b(4 + i, 7 - i, 56 - 32 * i, 0));
        }
        if n >= 4 {
            (0..4).for_each(|i| self.h(8 + 2 * i, 9 + 2 * i, i & 1));
        }
        if n >= 5 {
            for (i, j) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                self.b(30 - 4 * i - j, 17 + 4 * i + j, 24 + (j << 6) + ((1 - i) << 5), 1);
            }
        }
        (0..2).for_each(|i| self.b(2 * i, 2 * i + 1, 32 + 16 * i, 1 - i));
        if n >= 3 {
            (0..2).for_each(|i| self.h(4 + 2 * i, 5 + 2 * i, i));
        }
        if n >= 4 {
            (0..2).for_each(|i| self.b(14 - i, 9 + i, 48 + 64 * i, 1));
        }
        if n >= 5 {
            (0..8).for_each(|k| self.h(16 + 4 * (k / 2) + k % 2, 19 + 4 * (k / 2) - k % 2, (k / 2) & 1));
        }
        (0..2).for_each(|i| self.h(i, 3 - i, 0));
        if n >= 3 {
            self.b(6, 5, 32, 1);
        }
        if n >= 4 {
            (0..4).for_each(|k| self.h(8 + 4 * (k / 2) + k % 2, 11 + 4 * (k / 2) - k % 2, k / 2));
        }
        if n >= 5 {
            (0..4).for_each(|i| self.b(29 - i, 18 + i, 48 + (i >> 1) * 64, 1));
        }
        if n >= 3 {
            (0..4).for_each(|i| self.h(i, 7 - i, 0));
        }
        if n >= 4 {
            (0..2).for_each(|i| self.b(13 - i, 10 + i, 32, 1));
        }
        if n >= 5 {
            (0..8).for_each(|k| self.h(16 + (k / 4) * 8 + k % 4, 23 + (k / 4) * 8 - k % 4, k / 4));
        }
        if n >= 4 {
            (0..8).for_each(|i| self.h(i, 15 - i, 0));
        }
        if n >= 5 {
            (0..4).for_each(|i| self.b(27 - i, 20 + i, 32, 1));
            (0..16).for_each(|i| self.h(i, 31 - i, 0));
        }
    }

    fn identity(&mut self) {
        let n = self.t.len();
        for t in &mut self.t {
            *t = match n {
                4 => (*t * 5793 + 2048) >> 12,
                8 => *t * 2,
                16 => (*t * 11586 + 2048) >> 12,
                _ => *t * 4,
            };
        }
    }

    fn line(&mut self, transform: Transform, line: Vec<i64>) -> Vec<i64> {
        self.t = line;
        match transform {
            Transform::Dct => self.dct(),
            Transform::Identity => self.identity(),
        }
        std::mem::take(&mut self.t)
    }

    /// The residual, row after row, of coefficients given row after row; and whether the range rule was kept.
    fn inverse(transform: Transform, side: usize, dequant: &[i64]) -> (Vec<i64>, bool) {
        let round = |v: i64, bits: u32| if bits == 0 { v } else { (v + (1 << (bits - 1))) >> bits };
        let shift = [0, 1, 2, 2][side.ilog2() as usize - 2];
        let mut spec = Self::new(Vec::new());
        let mut residual = vec![vec![0; side]; side];
        for (i, row) in residual.iter_mut().enumerate() {
            let line = spec.line(transform, dequant[i * side..(i + 1) * side].to_vec());
            *row = line.iter().map(|v| round(*v, shift).clamp(-32768, 32767)).collect();
        }
        for j in 0..side {
            let line = spec.line(transform, residual.iter().map(|row| row[j]).collect());
            line.iter().zip(&mut residual).for_each(|(v, row)| row[j] = round(*v, 4));
        }
        (residual.concat(), !spec.broken)
    }
}

const SIDES: [usize; 4] = [4, 8, 16, 32];
const TRANSFORMS: [Transform; 2] = [Transform::Dct, Transform::Identity];

/// Sparse to full, small to extreme; row after row.
fn random(rng: &mut fastrand::Rng, side: usize) -> (Vec<i64>, usize) {
    let reach = rng.usize(1..=side);
    let limit = 1i64 << rng.u32(0..=15);
    let density = rng.usize(1..=reach * reach);
    let mut values = vec![0; side * side];
    for row in 0..reach {
        for col in 0..reach {
            if rng.usize(0..reach * reach) < density {
                let value = if rng.u8(..) < 32 { limit } else { rng.i64(-limit..=limit) };
                values[row * side + col] = value.clamp(-32768, 32767);
            }
        }
    }
    if rng.u8(..) < 64 {
        values.iter_mut().skip(1).for_each(|value| *value = 0);
    }
    (values, reach)
}

fn load(values: &[i64], side: usize, reach: usize, coefficients: &mut Coefficients) {
    coefficients.clear(side, reach);
    for row in 0..reach {
        for col in 0..reach {
            if values[row * side + col] != 0 {
                coefficients.set(col * side + row, values[row * side + col] as i32);
            }
        }
    }
}

#[test]
fn the_inverse_is_that_of_the_standard_on_any_input() {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut coefficients = Coefficients::default();
    let mut kept = [0; 2];
    for round in 0..6000 {
        let side = SIDES[round % 4];
        let transform = TRANSFORMS[usize::from(rng.u8(..) < 64)];
        let (values, reach) = random(&mut rng, side);
        let stride = side + rng.usize(0..9);
        let before: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(stride * side).collect();
        let (residual, legal) = Spec::inverse(transform, side, &values);
        let mut expected = before.clone();
        for (i, residual) in residual.iter().enumerate() {
            let sample = &mut expected[i / side * stride + i % side];
            *sample = (i64::from(*sample) + residual).clamp(0, 255) as u8;
        }
        load(&values, side, reach, &mut coefficients);
        assert_eq!(coefficients.in_range(transform), legal, "{transform:?} {side} {values:?}");
        assert_eq!(
            coefficients.magnitude <= 32_000
                || transform == Transform::Identity
                || watched_plain(&mut coefficients.clone()),
            legal
        );
        kept[usize::from(legal)] += 1;
        let mut plain = (before.clone(), coefficients.clone());
        inverse_add_plain(transform, &mut plain.1, &mut plain.0, stride);
        assert_eq!(plain.0, expected, "{transform:?} {side} {values:?}");
        let mut samples = before;
        inverse_add(transform, &mut coefficients, &mut samples, stride);
        assert_eq!(samples, expected, "{transform:?} {side} {values:?}");
    }
    assert!(kept.iter().all(|times| *times > 100), "{kept:?}");
}

#[test]
fn the_inverse_is_that_of_another_implementation() {
    let mut rng = fastrand::Rng::with_seed(2);
    let mut coefficients = Coefficients::default();
    let sizes = [TxSize::TX_4X4, TxSize::TX_8X8, TxSize::TX_16X16, TxSize::TX_32X32];
    #[repr(align(64))]
    struct Aligned([i16; AREA]);
    for round in 0..8000 {
        let (side, size) = (SIDES[round % 4], sizes[round % 4]);
        let transform = TRANSFORMS[usize::from(rng.u8(..) < 64)];
        let kind = if transform == Transform::Dct { TxType::DCT_DCT } else { TxType::IDTX };
        let (values, reach) = random(&mut rng, side);
        load(&values, side, reach, &mut coefficients);
        if !coefficients.in_range(transform) {
            continue;
        }
        let before: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(side * side).collect();
        let mut theirs = Plane::<u8>::from_slice(&before, side);
        let mut input = Aligned([0; AREA]);
        for (to, from) in input.0.iter_mut().zip(coefficients.values()) {
            *to = *from as i16;
        }
        let end = crate::av1::scan::scan(side).iter().rposition(|position| values[usize::from(*position)] != 0);
        let end = end.map_or(0, |last| last as u16 + 1);
        if end == 0 {
            continue;
        }
        inverse_transform_add(&input.0, &mut theirs.as_region_mut(), end, size, kind, 8, CpuFeatureLevel::default());
        let mut ours = before;
        inverse_add(transform, &mut coefficients, &mut ours, side);
        let expected: Vec<u8> = theirs.rows_iter().flat_map(|row| row[..side].to_vec()).collect();
        assert_eq!(ours, expected, "{transform:?} {side} {values:?}");
    }
}

#[test]
fn intermediate_values_are_at_most_the_sum_of_the_coefficients() {
    // By linearity it is enough to look at one coefficient at a time; the rounding of 32 000 is what `SURELY` leaves.
    for side in SIDES {
        for k in 0..side {
            let mut impulse = vec![0; side];
            impulse[k] = 32_000;
            let mut spec = Spec::new(impulse);
            spec.dct();
            assert!(spec.greatest <= 32_000 + 8, "{side} {k}: {}", spec.greatest);
        }
    }
}

#[test]
fn forward_is_the_orthonormal_transform_in_the_domain_of_the_inverse() {
    let mut rng = fastrand::Rng::with_seed(3);
    let mut coefficients = Coefficients::default();
    for (side, gain) in [(4, 8.0), (8, 8.0), (16, 8.0), (32, 4.0)] {
        let basis = |k: usize, i: usize| {
            let scale = if k == 0 { 1.0 } else { 2f64 } / side as f64;
            scale.sqrt() * (std::f64::consts::PI * k as f64 * (2 * i + 1) as f64 / (2 * side) as f64).cos()
        };
        for round in 0..20 {
            let residual: Vec<i16> = (0..side * side)
                .map(|i| match round {
                    0 => 255,
                    1 => -255,
                    2 => {
                        if (i / side + i) % 2 == 0 {
                            255
                        } else {
                            -255
                        }
                    }
                    _ => rng.i16(-255..=255),
                })
                .collect();
            forward(Transform::Dct, side, &residual, &mut coefficients);
            // Cosines of 12 bits are off by a few parts in ten thousand.
            let energy = residual.iter().map(|r| f64::from(*r).powi(2)).sum::<f64>();
            let tolerance = 2.0 + gain * energy.sqrt() * 4e-4;
            let mut half = vec![0.0; side * side];
            for row in 0..side {
                for k in 0..side {
                    half[row * side + k] =
                        (0..side).map(|i| basis(k, i) * f64::from(residual[row * side + i])).sum::<f64>();
                }
            }
            for col in 0..side {
                for k in 0..side {
                    let exact = gain * (0..side).map(|i| basis(k, i) * half[i * side + col]).sum::<f64>();
                    let ours = f64::from(coefficients.values()[col * side + k]);
                    assert!((ours - exact).abs() <= tolerance, "{side} ({k}, {col}): {ours} for {exact}");
                }
            }
        }
    }
}

#[test]
fn what_is_transformed_comes_back() {
    let mut rng = fastrand::Rng::with_seed(4);
    let mut coefficients = Coefficients::default();
    for side in SIDES {
        for transform in TRANSFORMS {
            for round in 0..200 {
                let limit = [4, 32, 127][round % 3];
                let residual: Vec<i16> = (0..side * side).map(|_| rng.i16(-limit..=limit)).collect();
                forward(transform, side, &residual, &mut coefficients);
                let mut samples = vec![128; side * side];
                inverse_add(transform, &mut coefficients, &mut samples, side);
                let worst = samples.iter().zip(&residual).map(|(s, r)| (i16::from(*s) - 128 - r).abs()).max();
                // The standard's rounding up of halves adds up in the first samples of 32×32.
                let allowed = match (transform, side) {
                    (Transform::Identity, _) => 0,
                    (Transform::Dct, 32) => 2,
                    (Transform::Dct, _) => 1,
                };
                assert!(worst <= Some(allowed), "{transform:?} {side}: {worst:?}");
            }
        }
    }
}

#[test]
fn both_copies_of_the_forward_transform_agree() {
    let mut rng = fastrand::Rng::with_seed(5);
    for round in 0..400 {
        let side = SIDES[round % 4];
        let residual: Vec<i16> = (0..side * side).map(|_| rng.i16(-255..=255)).collect();
        let (mut wide, mut plain) = (Coefficients::default(), Coefficients::default());
        forward(Transform::Dct, side, &residual, &mut wide);
        forward_plain(Transform::Dct, side, &residual, &mut plain);
        assert_eq!(wide.values(), plain.values());
    }
}
