//! The background: a plastered wall, a window with a garden behind it, a bookshelf, a plant, a picture and a lamp.

use super::paint::{Canvas, Rgb, blend, boxed, cloud, hex, lit, noise, oval};
use crate::capture::math::{hash, hash3, mix, sine, smooth, unit};

/// Paints the whole room. `canvas` covers the frame; left, right and top may reach beyond the units 0…1.
pub(super) fn paint(canvas: &mut Canvas, seed: u64) {
    let left = -canvas.origin.0 / canvas.scale;
    let right = left + canvas.width as f32 / canvas.scale;
    let top = -canvas.origin.1 / canvas.scale;
    wall(canvas, seed, [left, top, right, 1.0]);
    // Narrow frames pull the furniture inwards so that some of it stays in view.
    let squeeze = (right / 0.889).clamp(0.62, 1.0);
    window(canvas, seed, -0.57 * squeeze, 0.23);
    picture(canvas, seed, 0.225 * squeeze, 0.20);
    shelf(canvas, seed, 0.345 * squeeze, right.max(0.95), top);
    lamp(canvas, -0.285 * squeeze);
    plant(canvas, seed, -0.70 * squeeze, 0.665);
    vignette(canvas, [left, top, right, 1.0]);
}

fn wall(canvas: &mut Canvas, seed: u64, bounds: [f32; 4]) {
    let base = WALLS[(hash(seed ^ 11) % WALLS.len() as u64) as usize];
    canvas.rect(grow(bounds, 0.01), |x, y| {
        let light = 1.04 - 0.16 * smooth(-0.6, 0.9, x) - 0.10 * y;
        let plaster = (cloud(seed ^ 1, x * 26.0, y * 26.0) - 0.5) * 0.055;
        let grain = (noise(seed ^ 2, x * 260.0, y * 260.0) - 0.5) * 0.03;
        (lit(base, light + plaster + grain), 1.0)
    });
}

fn window(canvas: &mut Canvas, seed: u64, center: f32, half: f32) {
    let pane = [center - half, 0.06, center + half, 0.64];
    // Daylight spills onto the wall round the opening.
    canvas.shape(grow(pane, 0.2), 0.36, |x, y| boxed(x, y, pane, 0.0) - 0.04, |_, _| (hex(0xfff3dc), 0.30));
    canvas.rect(grow(pane, 0.028), |x, y| (lit(hex(0xf2efe8), 0.94 + 0.05 * sine(x * 40.0) * sine(y * 3.0)), 1.0));
    canvas.rect(pane, |x, y| (garden(seed, x, y), 1.0));
    for (x, y, across) in [(center, 0.35, false), (center, 0.27, true)] {
        let bar = if across { [pane[0], y, pane[2], y + 0.014] } else { [x - 0.008, pane[1], x + 0.008, pane[3]] };
        canvas.rect(grow(bar, 0.003), |_, _| (hex(0x8d8a82), 0.6));
        canvas.rect(bar, |_, _| (hex(0xf4f1ea), 1.0));
    }
    let sill = [pane[0] - 0.05, 0.655, pane[2] + 0.05, 0.685];
    canvas.rect([sill[0], sill[3], sill[2], sill[3] + 0.02], |_, y| (hex(0x2a2622), 0.35 * (0.705 - y) / 0.02));
    canvas.rect(sill, |x, y| {
        (lit(hex(0xe9e3d7), 1.0 - (y - sill[1]) * 4.0 + 0.03 * noise(seed, x * 50.0, y * 9.0)), 1.0)
    });
    curtain(canvas, seed, pane[0] - 0.11, pane[0] + 0.035);
    curtain(canvas, seed ^ 5, pane[2] - 0.025, pane[2] + 0.075);
    canvas.line((pane[0] - 0.14, 0.022), (pane[2] + 0.11, 0.022), 0.007, 0.0, hex(0x4c4038), 1.0);
}

fn garden(seed: u64, x: f32, y: f32) -> Rgb {
    let sky = blend(hex(0x8fbfe6), hex(0xe4f0f4), smooth(0.05, 0.42, y));
    let sky = blend(sky, hex(0xffffff), smooth(0.5, 0.72, cloud(seed ^ 21, x * 5.0, y * 11.0)) * 0.8);
    let hills = 0.40 + 0.03 * sine(x * 1.7) + 0.012 * sine(x * 5.3);
    let far = blend(hex(0x8fb09a), hex(0x6f9a7c), noise(seed ^ 22, x * 60.0, y * 60.0));
    let ground = blend(sky, far, smooth(hills - 0.004, hills + 0.004, y));
    let crown = cloud(seed ^ 23, x * 9.0, y * 9.0) + (y - 0.42) * 2.0 + 0.55 * smooth(-0.5, -0.95, x);
    let leaf = noise(seed ^ 24, x * 95.0, y * 95.0) * 0.6 + noise(seed ^ 25, x * 190.0, y * 190.0) * 0.4;
    let tree = blend(hex(0x2c5a33), hex(0xa8c95e), leaf * leaf * 1.15);
    blend(ground, tree, smooth(0.60, 0.64, crown + (leaf - 0.5) * 0.10))
}

fn curtain(canvas: &mut Canvas, seed: u64, left: f32, right: f32) {
    let cloth = hex(0xd9cbb4);
    canvas.rect([left, 0.028, right, 0.86], |x, y| {
        let bend = 0.006 * sine(y * 1.3 + x * 3.0);
        let fold = sine((x + bend - left) * 28.0) * 0.5 + sine((x + bend - left) * 61.0 + 0.3) * 0.2;
        let weave = (noise(seed ^ 31, x * 420.0, y * 130.0) - 0.5) * 0.07;
        (lit(cloth, 0.90 + 0.13 * fold + weave - 0.08 * y), 0.97)
    });
}

fn picture(canvas: &mut Canvas, seed: u64, center: f32, middle: f32) {
    let frame = [center - 0.075, middle - 0.10, center + 0.075, middle + 0.10];
    canvas.shape(grow(frame, 0.02), 0.03, |x, y| boxed(x - 0.008, y - 0.012, frame, 0.0), |_, _| (hex(0x1c1815), 0.35));
    canvas.rect(frame, |x, y| (lit(hex(0x6d4f37), 0.9 + 0.25 * noise(seed, x * 30.0, y * 160.0)), 1.0));
    canvas.rect(grow(frame, -0.010), |_, _| (hex(0xf3eee2), 1.0));
    let art = grow(frame, -0.026);
    canvas.rect(art, |x, y| {
        let ridge = |k: u64, base: f32| {
            let bump = cloud(seed ^ k, x * 22.0, k as f32) * 0.06;
            smooth(-0.002, 0.002, y - (middle + base - bump))
        };
        let sky = blend(hex(0xf2b880), hex(0xf6dcc0), smooth(art[1], middle, y));
        let hills = blend(sky, hex(0xb9727a), ridge(41, 0.045));
        let hills = blend(hills, hex(0x6c5a86), ridge(42, 0.07));
        (blend(hills, hex(0x37405f), ridge(43, 0.10)), 1.0)
    });
    canvas.oval((center + 0.018, middle - 0.035), (0.013, 0.013), 0.0, hex(0xfff2d0), 1.0);
}

fn shelf(canvas: &mut Canvas, seed: u64, left: f32, right: f32, top: f32) {
    let wood = |x: f32, y: f32, along: f32| {
        let ring = noise(seed ^ 51, x * mix(9.0, 150.0, along), y * mix(150.0, 9.0, along));
        let fine = noise(seed ^ 52, x * mix(30.0, 500.0, along), y * mix(500.0, 30.0, along));
        lit(hex(0x8a6243), 0.78 + 0.26 * ring + 0.10 * fine)
    };
    let from = top.min(0.0) - 0.03;
    canvas.shape([left - 0.1, from, left, 1.1], 0.06, |x, _| left - 0.01 - x, |_, _| (hex(0x15110e), 0.22));
    canvas.rect([left, from, right, 1.05], |x, y| (lit(wood(x, y, 0.0), 0.42), 1.0));
    let first = ((from - 0.03) / PITCH).floor() as i64;
    for level in first..=5 {
        let board = 0.03 + level as f32 * PITCH;
        books(canvas, hash3(seed, 53, level), left + 0.03, right, board);
        // The board above throws a shadow over the books.
        canvas.rect([left + 0.02, board - PITCH + 0.018, right, board - PITCH + 0.05], |_, y| {
            (hex(0x120d0a), 0.5 * (1.0 - (y - (board - PITCH + 0.018)) / 0.032))
        });
        canvas.rect([left, board, right, board + 0.018], |x, y| (wood(x, y, 0.0), 1.0));
        canvas.rect([left, board, right, board + 0.003], |x, y| (lit(wood(x, y, 0.0), 1.35), 1.0));
    }
    canvas.rect([left, from, left + 0.022, 1.05], |x, y| (lit(wood(x, y, 1.0), 1.06), 1.0));
}

/// Fills one board, from its left end, with books and now and then an ornament.
fn books(canvas: &mut Canvas, seed: u64, left: f32, right: f32, board: f32) {
    let mut x = left;
    for n in 0..BOOKS_MAX {
        let h = hash3(seed, 61, n);
        let pick = |k: u64| unit(hash(h ^ k));
        if x > right {
            return;
        }
        if n > 1 && pick(1) < 0.10 {
            ornament(canvas, h, x + 0.045, board);
            x += 0.095;
            continue;
        }
        let (width, tall) = (0.015 + 0.020 * pick(2), 0.105 + 0.055 * pick(3));
        let lean = if pick(4) < 0.10 { 0.018 } else { 0.0 };
        let cover = lit(SPINES[(hash(h ^ 5) % SPINES.len() as u64) as usize], 0.82 + 0.3 * pick(6));
        let trim = if pick(7) < 0.5 { hex(0xe9d8a6) } else { lit(cover, 0.55) };
        let (title, band) = (0.30 + 0.3 * pick(8), pick(9));
        let slant = move |x: f32, y: f32| x - lean * (board - y) / tall;
        let spine = [x, board - tall, x + width, board];
        let bounds = [x - 0.001, board - tall, x + width + lean, board];
        canvas.shape(
            bounds,
            0.0,
            |px, py| boxed(slant(px, py), py, spine, 0.003),
            |px, py| {
                let across = (slant(px, py) - x) / width;
                let along = (py - spine[1]) / tall;
                let round = 0.62 + 0.52 * sine((across * 0.8 + 0.1) * 0.5);
                let cloth = (noise(h, px * 500.0, py * 500.0) - 0.5) * 0.10;
                let mut ink = lit(cover, round + cloth);
                if (along - 0.09).abs() < 0.014
                    || (along - 0.90).abs() < 0.014
                    || (band < 0.4 && (along - 0.80).abs() < 0.008)
                {
                    ink = lit(trim, round);
                }
                // Lettering, too small to read: blocks with gaps, along the spine.
                let letters = (across - 0.5).abs() < 0.20 && (along - title).abs() < 0.13;
                if letters && noise(h ^ 10, along * 90.0, across * 4.0) > 0.45 {
                    ink = lit(trim, round * 0.95);
                }
                (ink, 1.0)
            },
        );
        x += width + lean + 0.0015;
        if pick(11) < 0.08 {
            x += 0.02 + 0.03 * pick(12);
        }
    }
}

fn ornament(canvas: &mut Canvas, h: u64, x: f32, board: f32) {
    let glaze = SPINES[(hash(h ^ 71) % SPINES.len() as u64) as usize];
    let bounds = [x - 0.04, board - 0.10, x + 0.04, board];
    let vase = move |px: f32, py: f32| {
        let t = ((board - py) / 0.10).clamp(0.0, 1.0);
        (px - x).abs() - (0.012 + 0.022 * sine(0.06 + t * 0.46).max(0.0) + 0.006 * smooth(0.85, 1.0, t))
    };
    canvas.shape(
        bounds,
        0.0,
        |px, py| vase(px, py).max(board - 0.10 - py),
        |px, py| {
            let round = 1.15 - 9.0 * (px - x + 0.012).abs() + 0.05 * sine(py * 130.0);
            (lit(blend(glaze, hex(0xe8e2d4), 0.45), round), 1.0)
        },
    );
    canvas.line((x - 0.014, board - 0.085), (x - 0.016, board - 0.030), 0.003, 0.006, hex(0xffffff), 0.5);
}

fn lamp(canvas: &mut Canvas, x: f32) {
    canvas.oval((x, 0.47), (0.22, 0.24), 0.34, hex(0xffd28a), 0.26);
    canvas.rect([x - 0.004, 0.50, x + 0.004, 1.02], |px, _| (lit(hex(0x3b352f), 1.2 - (px - x) * 90.0), 1.0));
    let shade = |px: f32, y: f32| {
        let half = mix(0.036, 0.066, ((y - 0.40) / 0.115).clamp(0.0, 1.0));
        ((px - x).abs() - half).max(0.40 - y).max(y - 0.515)
    };
    canvas.shape([x - 0.07, 0.40, x + 0.07, 0.52], 0.002, shade, |px, y| {
        let glow = 1.06 - 60.0 * (px - x) * (px - x) - 0.9 * (y - 0.46).abs();
        (lit(hex(0xf7dda6), glow + 0.02 * sine((px - x) * 120.0)), 1.0)
    });
}

fn plant(canvas: &mut Canvas, seed: u64, x: f32, base: f32) {
    for leaf in 0..26i64 {
        let h = hash3(seed, 81, leaf);
        let (spread, rise) = (unit(h) * 2.0 - 1.0, 0.07 + 0.15 * unit(hash(h ^ 1)));
        let (from, tip) = ((x + spread * 0.012, base - 0.05), (x + spread * 0.12, base - 0.05 - rise));
        let green = blend(hex(0x2f6b3c), hex(0x86b85a), unit(hash(h ^ 2)));
        canvas.line(from, tip, 0.0022, 0.0, lit(green, 0.6), 1.0);
        let (dx, dy) = (tip.0 - from.0, tip.1 - from.1);
        let len = (dx * dx + dy * dy).sqrt().max(0.01);
        let (ux, uy) = (dx / len, dy / len);
        let bounds = grow([tip.0, tip.1, tip.0, tip.1], 0.04);
        let local = move |px: f32, py: f32| {
            let (ex, ey) = (px - tip.0, py - tip.1);
            (ex * ux + ey * uy, ey * ux - ex * uy)
        };
        canvas.shape(
            bounds,
            0.0,
            |px, py| {
                let (a, b) = local(px, py);
                oval(a, b, (0.036, 0.014 - 0.12 * a.max(0.0).min(0.05)))
            },
            |px, py| {
                let (a, b) = local(px, py);
                let vein = if b.abs() < 0.0012 { 1.25 } else { 1.0 };
                (lit(green, (0.86 + 9.0 * b + 2.0 * a) * vein), 1.0)
            },
        );
    }
    let pot = move |px: f32, py: f32| {
        let half = 0.052 - 0.16 * (py - (base - 0.07)).max(0.0);
        ((px - x).abs() - half).max(base - 0.07 - py).max(py - base)
    };
    canvas.shape([x - 0.06, base - 0.08, x + 0.06, base], 0.0, pot, |px, py| {
        let rim = if py < base - 0.054 { 1.12 } else { 1.0 };
        (lit(hex(0xb9694a), (1.05 - 5.5 * (px - x)) * rim + 0.08 * (noise(seed, px * 200.0, py * 200.0) - 0.5)), 1.0)
    });
}

fn vignette(canvas: &mut Canvas, bounds: [f32; 4]) {
    let (half, middle) = (bounds[2].max(0.3), (bounds[1] + 1.0) * 0.5);
    canvas.rect(grow(bounds, 0.01), |x, y| {
        let (a, b) = (x / half, (y - middle) / (1.0 - middle).max(0.3));
        (hex(0x0c0a10), 0.22 * smooth(0.55, 2.0, a * a + b * b))
    });
}

fn grow(bounds: [f32; 4], by: f32) -> [f32; 4] {
    [bounds[0] - by, bounds[1] - by, bounds[2] + by, bounds[3] + by]
}

/// Height from board to board.
const PITCH: f32 = 0.205;

/// No board holds more, however wide the frame.
const BOOKS_MAX: i64 = 400;

const WALLS: [Rgb; 4] = [hex(0xc9c0b0), hex(0xa9b5b0), hex(0xb7b3c2), hex(0xc8b3a2)];

const SPINES: [Rgb; 10] = [
    hex(0x7b2d2b),
    hex(0x2e4a62),
    hex(0x3f5b42),
    hex(0xc28a3a),
    hex(0xd8cfbd),
    hex(0x5a3d55),
    hex(0x2f7f86),
    hex(0x9c4f36),
    hex(0x38343b),
    hex(0x87986a),
];
