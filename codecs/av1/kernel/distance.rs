//! How far two blocks are apart: sums of absolute differences, and of absolute transformed differences.

/// Sum of absolute differences of `W` × `rows` samples.
#[inline(always)]
pub fn sad<const W: usize>(a: &[u8], a_stride: usize, b: &[u8], b_stride: usize, rows: usize) -> u32 {
    let mut sum = 0;
    for row in 0..rows {
        let a: &[u8; W] = a[row * a_stride..][..W].try_into().expect("W samples");
        let b: &[u8; W] = b[row * b_stride..][..W].try_into().expect("W samples");
        let mut line = 0;
        for i in 0..W {
            line += u32::from(a[i].abs_diff(b[i]));
        }
        sum += line;
    }
    sum
}

/// Sum of absolute differences of a square block, `side` 8, 16, 32 or 64.
#[inline(always)]
pub fn sad_square(a: &[u8], a_stride: usize, b: &[u8], b_stride: usize, side: usize) -> u32 {
    match side {
        8 => sad::<8>(a, a_stride, b, b_stride, 8),
        16 => sad::<16>(a, a_stride, b, b_stride, 16),
        32 => sad::<32>(a, a_stride, b, b_stride, 32),
        _ => sad::<64>(a, a_stride, b, b_stride, 64),
    }
}

/// Sum of absolute values of the 8×8 Hadamard transform of the difference, divided by 4: on the scale of a sum of
/// absolute differences for noise, far below it for smooth residuals.
#[inline(always)]
pub fn satd8(a: &[u8], a_stride: usize, b: &[u8], b_stride: usize) -> u32 {
    let mut rows = [[0i16; 8]; 8];
    for (y, row) in rows.iter_mut().enumerate() {
        let a: &[u8; 8] = a[y * a_stride..][..8].try_into().expect("8 samples");
        let b: &[u8; 8] = b[y * b_stride..][..8].try_into().expect("8 samples");
        for i in 0..8 {
            row[i] = i16::from(a[i]) - i16::from(b[i]);
        }
    }
    hadamard(&mut rows);
    let mut turned = [[0i16; 8]; 8];
    for y in 0..8 {
        for x in 0..8 {
            turned[x][y] = rows[y][x];
        }
    }
    hadamard(&mut turned);
    let mut sum = 0u32;
    for row in &turned {
        for v in row {
            sum += u32::from(v.unsigned_abs());
        }
    }
    (sum + 2) >> 2
}

/// Eight columns at once; a difference of 9 bits grows to 12, then to 15.
#[inline(always)]
fn hadamard(rows: &mut [[i16; 8]; 8]) {
    for half in [4, 2, 1] {
        for start in (0..8).step_by(2 * half) {
            for y in start..start + half {
                for x in 0..8 {
                    let (a, b) = (rows[y][x], rows[y + half][x]);
                    rows[y][x] = a + b;
                    rows[y + half][x] = a - b;
                }
            }
        }
    }
}

/// [`satd8`] over a block of `side` × `side`, a multiple of 8.
#[inline(always)]
pub fn satd(a: &[u8], a_stride: usize, b: &[u8], b_stride: usize, side: usize) -> u32 {
    let mut sum = 0;
    for y in (0..side).step_by(8) {
        for x in (0..side).step_by(8) {
            sum += satd8(&a[y * a_stride + x..], a_stride, &b[y * b_stride + x..], b_stride);
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_what_their_definition_says() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..50 {
            let a: Vec<u8> = (0..70 * 64).map(|_| random.u8(..)).collect();
            let b: Vec<u8> = (0..66 * 64).map(|_| random.u8(..)).collect();
            for side in [8, 16, 32, 64] {
                let plain: u32 = (0..side * side)
                    .map(|i| u32::from(a[i / side * 70 + i % side].abs_diff(b[i / side * 66 + i % side])))
                    .sum();
                assert_eq!(sad_square(&a, 70, &b, 66, side), plain);
            }
            let mut sum = 0i64;
            for v in 0..8u32 {
                for u in 0..8u32 {
                    let mut c = 0i64;
                    for y in 0..8u32 {
                        for x in 0..8u32 {
                            let d = i64::from(a[(y * 70 + x) as usize]) - i64::from(b[(y * 66 + x) as usize]);
                            c += if ((u & x).count_ones() + (v & y).count_ones()) % 2 == 0 { d } else { -d };
                        }
                    }
                    sum += c.abs();
                }
            }
            assert_eq!(i64::from(satd8(&a, 70, &b, 66)), (sum + 2) >> 2);
        }
    }
}
