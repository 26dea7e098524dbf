use super::*;
use crate::av1::decisions::Transform;
use crate::av1::kernel::transform::{forward, inverse_add};

const NEAREST: DeadZone = DeadZone { zero_bin: 0, rounding: 64 };

#[test]
fn dequantization_is_that_of_the_standard() {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut coefficients = Coefficients::default();
    for round in 0..2000 {
        let side = [4, 8, 16, 32][round % 4];
        let index = rng.u8(1..);
        let quantizer = Quantizer::new(index, DeadZone::default(), DeadZone::default());
        let end = rng.usize(0..=side * side);
        let limit = 1i32 << rng.u32(0..=15);
        let levels: Vec<i16> = (0..end).map(|_| rng.i32(-limit..limit) as i16).collect();
        dequantize(&levels, side, &quantizer, &mut coefficients);
        let mut quant = vec![0i64; side * side];
        for (level, position) in levels.iter().zip(scan(side)) {
            quant[usize::from(*position)] = i64::from(*level);
        }
        for row in 0..side {
            for col in 0..side {
                let q = i64::from(if row == 0 && col == 0 { dc_q(index) } else { ac_q(index) });
                let dq = quant[row * side + col] * q;
                let sign = if dq < 0 { -1 } else { 1 };
                let dq = sign * ((dq.abs() & 0xffffff) / if side == 32 { 2 } else { 1 });
                let expected = dq.clamp(-(1 << 15), (1 << 15) - 1) as i32;
                assert_eq!(coefficients.values()[col * side + row], expected, "{side} ({row}, {col})");
            }
        }
    }
}

#[test]
fn levels_are_the_nearest_multiples_outside_the_dead_zone() {
    let mut rng = fastrand::Rng::with_seed(2);
    let mut coefficients = Coefficients::default();
    let mut room = Levels::default();
    for round in 0..1500 {
        let side = [4, 8, 16, 32][round % 4];
        let unit = if side == 32 { 2 } else { 1 };
        let index = rng.u8(1..);
        let zone = DeadZone { zero_bin: rng.u8(0..=128), rounding: rng.u8(0..=64) };
        let quantizer = Quantizer::new(index, zone, zone);
        let limit = [3, 40, 255][round % 3];
        let residual: Vec<i16> = (0..side * side).map(|_| rng.i16(-limit..=limit)).collect();
        forward(Transform::Dct, side, &residual, &mut coefficients);
        let mut levels = vec![77; side * side];
        let end = usize::from(quantize(&coefficients, &quantizer, &mut room, &mut levels));
        assert!(end == 0 || levels[end - 1] != 0);
        for (n, position) in scan(side).iter().enumerate() {
            let value = i64::from(coefficients.values()[transposed(*position, side)] * unit);
            let q = i64::from(if n == 0 { dc_q(index) } else { ac_q(index) });
            let part = |of: u8| (q * i64::from(of) + 64) >> 7;
            let exact = if value.abs() < part(zone.zero_bin) { 0 } else { (value.abs() + part(zone.rounding)) / q };
            let level = if n < end { i64::from(levels[n]) } else { 0 };
            let above = i64::from(value.abs() >= 1 << 14);
            assert!((exact..=exact + above).contains(&level.abs()), "{side} {value} by {q}: {level} for {exact}");
            assert!(level == 0 || level.signum() == value.signum());
        }
    }
}

#[test]
fn the_error_of_a_block_is_bounded_by_the_step() {
    let mut rng = fastrand::Rng::with_seed(3);
    let mut coefficients = Coefficients::default();
    let mut room = Levels::default();
    for round in 0..400 {
        let side = [4, 8, 16, 32][round % 4];
        let transform = if round % 3 == 0 { Transform::Identity } else { Transform::Dct };
        let index = rng.u8(1..120);
        let quantizer = Quantizer::new(index, NEAREST, NEAREST);
        let residual: Vec<i16> = (0..side * side).map(|_| rng.i16(-100..=100)).collect();
        forward(transform, side, &residual, &mut coefficients);
        let mut levels = vec![0; side * side];
        let end = usize::from(quantize(&coefficients, &quantizer, &mut room, &mut levels));
        dequantize(&levels[..end], side, &quantizer, &mut coefficients);
        assert!(coefficients.in_range(transform));
        let mut samples = vec![128; side * side];
        inverse_add(transform, &mut coefficients, &mut samples, side);
        let squares: i64 = samples.iter().zip(&residual).map(|(s, r)| i64::from(i16::from(*s) - 128 - r).pow(2)).sum();
        // Uniform errors within half a step of 8 per unit have a mean square of (q/8)²/12; and one unit of rounding.
        let step = f64::from(ac_q(index)) / 8.0;
        let mean = squares as f64 / (side * side) as f64;
        assert!(mean <= (step * step / 12.0 + 0.3) * 2.0, "{transform:?} {side} q {index}: {mean} for step {step}");
    }
}

#[test]
fn both_copies_agree() {
    let mut rng = fastrand::Rng::with_seed(4);
    let mut coefficients = Coefficients::default();
    let (mut wide, mut plain) = (Levels::default(), Levels::default());
    for _ in 0..200 {
        let residual: Vec<i16> = (0..256).map(|_| rng.i16(-255..=255)).collect();
        forward(Transform::Dct, 16, &residual, &mut coefficients);
        let quantizer = Quantizer::new(rng.u8(1..), DeadZone::default(), DeadZone::default());
        raster(&coefficients, &quantizer, &mut wide);
        raster_plain(&coefficients, &quantizer, &mut plain);
        assert_eq!(wide.0, plain.0);
    }
}
