use super::*;
use crate::Size;
use crate::av1::frame::Frame;
use crate::av1::layout::Layout;

fn noise(rng: &mut fastrand::Rng, size: Size) -> Frame {
    let mut frame = Frame::new(&Layout::new(size, Default::default()));
    for plane in &mut frame.planes {
        // Runs of one value among noise reach the filters' extremes.
        let calm = rng.bool();
        plane.data.iter_mut().for_each(|s| *s = if calm { rng.u8(..) } else { [0, 255][usize::from(rng.bool())] });
    }
    frame
}

/// `Subpel_Filters`, full taps, for EIGHTTAP and its short version.
fn taps(length: usize, fraction: i32) -> [i32; 8] {
    let regular: [[i32; 8]; 16] = [
        [0, 0, 0, 128, 0, 0, 0, 0],
        [0, 2, -6, 126, 8, -2, 0, 0],
        [0, 2, -10, 122, 18, -4, 0, 0],
        [0, 2, -12, 116, 28, -8, 2, 0],
        [0, 2, -14, 110, 38, -10, 2, 0],
        [0, 2, -14, 102, 48, -12, 2, 0],
        [0, 2, -16, 94, 58, -12, 2, 0],
        [0, 2, -14, 84, 66, -12, 2, 0],
        [0, 2, -14, 76, 76, -14, 2, 0],
        [0, 2, -12, 66, 84, -14, 2, 0],
        [0, 2, -12, 58, 94, -16, 2, 0],
        [0, 2, -12, 48, 102, -14, 2, 0],
        [0, 2, -10, 38, 110, -14, 2, 0],
        [0, 2, -8, 28, 116, -12, 2, 0],
        [0, 0, -4, 18, 122, -10, 2, 0],
        [0, 0, -2, 8, 126, -6, 2, 0],
    ];
    let short: [[i32; 8]; 16] = [
        [0, 0, 0, 128, 0, 0, 0, 0],
        [0, 0, -4, 126, 8, -2, 0, 0],
        [0, 0, -8, 122, 18, -4, 0, 0],
        [0, 0, -10, 116, 28, -6, 0, 0],
        [0, 0, -12, 110, 38, -8, 0, 0],
        [0, 0, -12, 102, 48, -10, 0, 0],
        [0, 0, -14, 94, 58, -10, 0, 0],
        [0, 0, -12, 84, 66, -10, 0, 0],
        [0, 0, -12, 76, 76, -12, 0, 0],
        [0, 0, -10, 66, 84, -12, 0, 0],
        [0, 0, -10, 58, 94, -14, 0, 0],
        [0, 0, -10, 48, 102, -12, 0, 0],
        [0, 0, -8, 38, 110, -12, 0, 0],
        [0, 0, -6, 28, 116, -10, 0, 0],
        [0, 0, -4, 18, 122, -8, 0, 0],
        [0, 0, -2, 8, 126, -4, 0, 0],
    ];
    (if length <= 4 { short } else { regular })[fraction as usize]
}

/// §7.11.3.3 and §7.11.3.4 as written, with the scale of a reference of the same size.
fn spec_inter(reference: &Samples, x: i64, y: i64, side: usize, vector: Vector, subsampled: bool) -> Vec<u8> {
    let sub = i64::from(subsampled);
    let start = |at: i64, component: i16| {
        let origin = (at << 4) + ((2 * i64::from(component)) >> sub) + 8;
        let base = origin * (1 << 14) - (8 << 14);
        let rounded = if base < 0 { -((-base + 128) >> 8) } else { (base + 128) >> 8 };
        rounded + 32
    };
    let (x, y) = (start(x, vector.col), start(y, vector.row));
    let (last_x, last_y) = (reference.width as i64 - 1, reference.height as i64 - 1);
    let mut intermediate = vec![vec![0; side]; side + 7];
    for (r, line) in intermediate.iter_mut().enumerate() {
        for (c, value) in line.iter_mut().enumerate() {
            let p = x + 1024 * c as i64;
            let filter = taps(side, (p >> 6 & 15) as i32);
            let sum: i32 = (0..8)
                .map(|t| {
                    let row = ((y >> 10) + r as i64 - 3).clamp(0, last_y) as usize;
                    let col = ((p >> 10) + t as i64 - 3).clamp(0, last_x) as usize;
                    filter[t] * i32::from(reference.data[row * reference.stride + col])
                })
                .sum();
            *value = (sum + 4) >> 3;
        }
    }
    let mut out = Vec::new();
    for r in 0..side {
        for c in 0..side {
            let p = (y & 1023) + 1024 * r as i64;
            let filter = taps(side, (p >> 6 & 15) as i32);
            let lines = &intermediate[(p >> 10) as usize..];
            let sum: i32 = filter.iter().zip(lines).map(|(tap, line)| tap * line[c]).sum();
            out.push(((sum + 1024) >> 11).clamp(0, 255) as u8);
        }
    }
    out
}

#[test]
fn inter_prediction_is_that_of_the_standard_near_and_far_outside() {
    let mut rng = fastrand::Rng::with_seed(1);
    for size in [Size::new(16, 16), Size::new(66, 50), Size::new(131, 97)] {
        for round in 0..1500 {
            let frame = noise(&mut rng, size);
            let plane = rng.usize(0..3);
            let side = [4, 8, 16, 32, 64][rng.usize(0..5)];
            let reference = &frame.planes[plane];
            let (x, y) = (rng.usize(0..reference.width) & !3, rng.usize(0..reference.height) & !3);
            let spread = [16, 64, 400, i16::MAX / 4][round % 4];
            let component = |rng: &mut fastrand::Rng| match rng.u8(..) {
                0..40 => 0,
                40..60 => rng.i16(-40..=40) * 8,
                _ => rng.i16(-spread..=spread) * 2,
            };
            let bound = |v: i16| v.clamp(-Vector::MAX, Vector::MAX);
            let vector = Vector { row: bound(component(&mut rng)), col: bound(component(&mut rng)) };
            let stride = side + rng.usize(0..9);
            let expected = spec_inter(reference, x as i64, y as i64, side, vector, plane > 0);
            for copy in [inter, inter_plain] {
                let mut out = vec![0; stride * side];
                copy(reference, x as i32, y as i32, side, side, vector, plane > 0, &mut out, stride);
                let out: Vec<u8> = out.chunks(stride).flat_map(|row| row[..side].to_vec()).collect();
                assert_eq!(out, expected, "{size:?} plane {plane} {side} at ({x}, {y}) by {vector:?}");
            }
        }
    }
}

const SMOOTH_WEIGHTS: [&[i32]; 4] = [
    &[255, 149, 85, 64],
    &[255, 197, 146, 105, 73, 50, 37, 32],
    &[255, 225, 196, 170, 145, 123, 102, 84, 68, 54, 43, 33, 26, 20, 17, 16],
    &[
        255, 240, 225, 210, 196, 182, 169, 157, 145, 133, 122, 111, 101, 92, 83, 74, 66, 59, 52, 45, 39, 34, 29, 25,
        21, 17, 14, 12, 10, 9, 8, 8,
    ],
];

/// §7.11.2 as written, without what directional modes need beyond 90° and 180°.
fn spec_intra(plane: &Samples, place: &Place, mode: IntraMode) -> Vec<u8> {
    let Place { x, y, side: n, has_above, has_left, .. } = *place;
    let (max_x, max_y) = (place.right - 1, place.bottom - 1);
    let at = |y: usize, x: usize| i32::from(plane.data[y * plane.stride + x]);
    let above: Vec<i32> = (0..n)
        .map(|i| match (has_above, has_left) {
            (false, true) => at(y, x - 1),
            (false, false) => 127,
            _ => at(y - 1, (x + i).min(max_x)),
        })
        .collect();
    let left: Vec<i32> = (0..n)
        .map(|i| match (has_left, has_above) {
            (false, true) => at(y - 1, x),
            (false, false) => 129,
            _ => at((y + i).min(max_y), x - 1),
        })
        .collect();
    let corner = match (has_above, has_left) {
        (true, true) => at(y - 1, x - 1),
        (true, false) => at(y - 1, x),
        (false, true) => at(y, x - 1),
        (false, false) => 128,
    };
    let (sums, count) = (left.iter().sum::<i32>(), n as i32);
    let weights = SMOOTH_WEIGHTS[n.ilog2() as usize - 2];
    let mut out = Vec::new();
    for i in 0..n {
        for j in 0..n {
            let vertical = weights[i] * above[j] + (256 - weights[i]) * left[n - 1];
            let horizontal = weights[j] * left[i] + (256 - weights[j]) * above[n - 1];
            out.push(match mode {
                IntraMode::Dc => match (has_left, has_above) {
                    (true, true) => (sums + above.iter().sum::<i32>() + ((count + count) >> 1)) / (count + count),
                    (true, false) => (sums + (count >> 1)) >> n.ilog2(),
                    (false, true) => (above.iter().sum::<i32>() + (count >> 1)) >> n.ilog2(),
                    (false, false) => 128,
                },
                IntraMode::V => above[j],
                IntraMode::H => left[i],
                IntraMode::Smooth => (vertical + horizontal + 256) >> 9,
                IntraMode::SmoothV => (vertical + 128) >> 8,
                IntraMode::SmoothH => (horizontal + 128) >> 8,
                IntraMode::Paeth => {
                    let base = above[j] + left[i] - corner;
                    let (l, t, c) = ((base - left[i]).abs(), (base - above[j]).abs(), (base - corner).abs());
                    if l <= t && l <= c {
                        left[i]
                    } else if t <= c {
                        above[j]
                    } else {
                        corner
                    }
                }
            } as u8);
        }
    }
    out
}

#[test]
fn intra_prediction_is_that_of_the_standard_with_any_edges() {
    let mut rng = fastrand::Rng::with_seed(2);
    let (right, bottom) = (88, 72);
    for round in 0..3000 {
        let frame = noise(&mut rng, Size::new(right as u32 - 3, bottom as u32 - 5));
        let plane = &frame.planes[0];
        let side = [4, 8, 16, 32][round % 4];
        // Blocks may stick out to the right and at the bottom.
        let (x, y) = (rng.usize(1..right / side + 1) * side, rng.usize(1..bottom / side + 1) * side);
        let (x, y) = (x.min((right - 1) / side * side), y.min((bottom - 1) / side * side));
        let place = Place { x, y, side, has_above: rng.bool(), has_left: rng.bool(), right, bottom };
        let edges = Edges::new(plane, &place);
        for mode in IntraMode::ALL {
            let expected = spec_intra(plane, &place, mode);
            for copy in [intra, intra_plain] {
                let mut out = vec![0; (side + 3) * side];
                copy(mode, &edges, side, &mut out, side + 3);
                let out: Vec<u8> = out.chunks(side + 3).flat_map(|row| row[..side].to_vec()).collect();
                assert_eq!(out, expected, "{mode:?} {place:?}");
            }
        }
    }
}

#[test]
fn chroma_from_luma_is_that_of_the_standard() {
    let mut rng = fastrand::Rng::with_seed(3);
    for round in 0..600 {
        let frame = noise(&mut rng, Size::new(64, 64));
        let (luma, chroma) = (&frame.planes[0], &frame.planes[1]);
        let side = [4, 8, 16][round % 3];
        let (x, y) = (rng.usize(0..32 / side) * side, rng.usize(0..32 / side) * side);
        let alpha = rng.i8(-16..=16);
        let at = |y: usize, x: usize| i32::from(luma.data[y * luma.stride + x]);
        let scaled = |i: usize, j: usize| {
            let (row, col) = (2 * (y + i), 2 * (x + j));
            (at(row, col) + at(row, col + 1) + at(row + 1, col) + at(row + 1, col + 1)) << 1
        };
        let sum: i32 = (0..side * side).map(|k| scaled(k / side, k % side)).sum();
        let average = (sum + (1 << (2 * side.ilog2() - 1))) >> (2 * side.ilog2());
        let dc = chroma.data[5];
        let expected: Vec<u8> = (0..side * side)
            .map(|k| {
                let v = i32::from(alpha) * (scaled(k / side, k % side) - average);
                let v = if v < 0 { -((-v + 32) >> 6) } else { (v + 32) >> 6 };
                (i32::from(dc) + v).clamp(0, 255) as u8
            })
            .collect();
        let changes = LumaChanges::new(luma, 2 * x, 2 * y, side);
        for copy in [add_luma, add_luma_plain] {
            let mut out = vec![dc; side * side];
            copy(&changes, alpha, side, &mut out, side);
            assert_eq!(out, expected, "{side} alpha {alpha}");
        }
    }
}
