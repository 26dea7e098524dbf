//! The figure: two still sprites, body and head, painted once; eyes, brows and mouth, drawn anew in every frame.

use super::paint::{Canvas, Rgb, blend, boxed, cloud, hex, line, lit, noise, oval};
use super::pose::Pose;
use crate::capture::math::{hash, mix, sine, smooth};

/// How this seed's person looks.
pub(super) struct Look {
    pub(super) name: &'static str,
    skin: Rgb,
    hair: Rgb,
    cloth: Rgb,
    accent: Rgb,
    long: bool,
    glasses: bool,
    plaid: bool,
    seed: u64,
}

impl Look {
    pub(super) fn new(seed: u64) -> Self {
        let draw = |k: u64, of: usize| (hash(seed.wrapping_mul(31).wrapping_add(k)) % of as u64) as usize;
        let (cloth, accent) = CLOTHES[draw(3, CLOTHES.len())];
        Self {
            name: NAMES[draw(0, NAMES.len())],
            skin: SKINS[draw(1, SKINS.len())],
            hair: HAIRS[draw(2, HAIRS.len())],
            cloth,
            accent,
            long: draw(4, 2) == 0,
            glasses: draw(5, 3) == 0,
            plaid: draw(6, 2) == 0,
            seed,
        }
    }

    /// Paints neck, shoulders and clothing, in units of the scene.
    pub(super) fn body(&self, scale: f32) -> Canvas {
        let mut canvas = Canvas::covering([-0.50, 0.47, 0.50, 1.12], scale);
        if self.long {
            let back = |x: f32, y: f32| boxed(x, y, [-0.158, 0.30, 0.158, 0.735 + 0.012 * sine(x * 9.0)], 0.09);
            canvas.shape([-0.17, 0.46, 0.17, 0.78], 0.006, back, |x, y| (lit(self.strands(x, y - 0.4), 0.62), 1.0));
        }
        // The far side of the collar, behind the neck.
        canvas.oval(
            (0.0, 0.646),
            (0.103, 0.024),
            0.0,
            lit(if self.plaid { self.cloth } else { self.accent }, 0.42),
            1.0,
        );
        let neck = |x: f32, y: f32| {
            boxed(x, y, [-0.060 - 0.3 * (y - 0.60).max(0.0), 0.40, 0.060 + 0.3 * (y - 0.60).max(0.0), 0.74], 0.02)
        };
        canvas.shape([-0.12, 0.47, 0.12, 0.74], 0.0, neck, |x, y| {
            let round = 0.92 - 2.6 * (x + 0.02).abs();
            let chin = 0.42 * (1.0 - smooth(0.565, 0.66, y + x * 0.18));
            (lit(self.skin, round * (1.0 - chin) + 0.10), 1.0)
        });
        canvas.line((-0.034, 0.625), (-0.012, 0.668), 0.004, 0.012, lit(self.skin, 0.62), 0.5);
        canvas.line((0.038, 0.625), (0.014, 0.668), 0.004, 0.012, lit(self.skin, 0.55), 0.5);
        canvas.shape([-0.5, 0.62, 0.5, 1.12], 0.0, shoulders, |x, y| (self.fabric(x, y), 1.0));
        for (side, dark) in [(-1.0f32, 0.34f32), (1.0, 0.5)] {
            canvas.line((side * 0.255, 0.86), (side * 0.235, 1.10), 0.004, 0.030, hex(0x05040a), dark);
            canvas.line((side * 0.13, 0.80), (side * 0.20, 0.90), 0.002, 0.030, hex(0x05040a), 0.16);
        }
        if self.plaid {
            self.lapels(&mut canvas)
        } else {
            self.neckline(&mut canvas)
        }
        canvas
    }

    fn neckline(&self, canvas: &mut Canvas) {
        let ring = |x: f32, y: f32| oval(x, y - 0.660, (0.096, 0.052)).abs().max(0.648 - y) - 0.013;
        canvas.shape([-0.13, 0.62, 0.13, 0.74], 0.0, ring, |x, y| {
            let rib = sine(x * 95.0) * 0.12;
            (lit(self.accent, 0.92 + rib - 1.3 * (x + 0.05).max(0.0) + 2.0 * (y - 0.68)), 1.0)
        });
        // The skin inside the ring.
        let inside = |x: f32, y: f32| oval(x, y - 0.655, (0.088, 0.045)).max(0.651 - y);
        canvas.shape([-0.1, 0.62, 0.1, 0.71], 0.0, inside, |x, _| (lit(self.skin, 1.02 - 2.6 * (x + 0.02).abs()), 1.0));
    }

    fn lapels(&self, canvas: &mut Canvas) {
        let open =
            |x: f32, y: f32| (x.abs() * 1.7 + (y - 0.775)).max(0.651 - y).max(oval(x, y - 0.70, (0.078, 0.12))) * 0.55;
        canvas.shape([-0.1, 0.62, 0.1, 0.79], 0.0, open, |x, _| (lit(self.skin, 1.02 - 2.6 * (x + 0.02).abs()), 1.0));
        for side in [-1.0f32, 1.0] {
            let flap = move |x: f32, y: f32| {
                let u = x * side;
                (0.052 - u - (y - 0.70).max(-0.1) * 0.45)
                    .max(y - 0.800 + u * 0.55)
                    .max(u - 0.125)
                    .max(0.626 + u * 0.20 - y)
                    * 0.8
            };
            canvas.shape(
                [-0.14, 0.62, 0.14, 0.82],
                0.012,
                move |x, y| flap(x, y - 0.007),
                |_, _| (hex(0x05040a), 0.35),
            );
            canvas.shape([-0.14, 0.62, 0.14, 0.82], 0.0, flap, |x, y| {
                (lit(self.fabric(x * 0.9 + side * 0.3, y + x * side), 1.12), 1.0)
            });
        }
        canvas.line((0.0, 0.79), (0.004, 1.12), 0.0015, 0.0, lit(self.cloth, 0.4), 0.9);
        for n in 0..3 {
            let y = 0.83 + 0.10 * n as f32;
            canvas.oval((0.0, y), (0.008, 0.008), 0.0, hex(0xe8e2d2), 1.0);
            canvas.oval((0.0015, y + 0.001), (0.003, 0.003), 0.0, hex(0x7a7468), 1.0);
        }
    }

    fn fabric(&self, x: f32, y: f32) -> Rgb {
        let fold = cloud(self.seed ^ 91, x * 5.0 + y * 2.0, y * 4.0) - 0.5;
        let light = 1.02 - 0.38 * smooth(-0.30, 0.46, x) + 0.42 * fold - 0.25 * smooth(0.03, 0.0, y - top(x));
        if self.plaid {
            let stripe = |v: f32, wide: f32| smooth(wide, wide - 0.06, (v - v.floor() - 0.5).abs());
            let (u, v) = (x * 13.0 + fold * 0.5, y * 13.0 + fold * 0.3);
            let check = 0.5 * stripe(u, 0.24) + 0.5 * stripe(v, 0.24);
            let thin = stripe(u + 0.5, 0.07).max(stripe(v + 0.5, 0.07));
            let twill = 0.05 * sine((x + y) * 210.0) + 0.06 * (noise(self.seed ^ 92, x * 600.0, y * 600.0) - 0.5);
            let rgb = blend(blend(self.cloth, self.accent, check * 0.85), hex(0xf0e8d8), thin * 0.45);
            return lit(rgb, light + twill);
        }
        // Knitted: columns of leaning stitches, a few bands in the second colour.
        let drape = y - 0.06 * x * x + 0.02 * fold;
        let (u, v) = (x * 74.0, drape * 84.0);
        let across = u - u.floor() - 0.5;
        let stitch = v + across.abs() * 1.1;
        let yarn = 0.15 * sine(stitch) - 0.45 * smooth(0.34, 0.5, across.abs()) * 0.5;
        let band = drape * 9.0;
        let band = band - band.floor();
        let rgb = if drape > 0.80 && band < 0.30 { self.accent } else { self.cloth };
        lit(rgb, light + yarn + 0.10 * (noise(self.seed ^ 93, x * 420.0, y * 420.0) - 0.5))
    }

    /// Paints the head without what moves in it; the origin lies between the eyes and the nose.
    pub(super) fn head(&self, scale: f32) -> Canvas {
        let mut canvas = Canvas::covering([-0.20, -0.235, 0.20, 0.215], scale);
        if self.long {
            let back = |x: f32, y: f32| {
                oval(x, y + 0.025, (0.168, 0.195)).min(boxed(x, y, [-0.164, -0.05, 0.164, 0.30], 0.05))
            };
            canvas.shape(
                [-0.2, -0.235, 0.2, 0.215],
                0.005,
                |x, y| back(x, y).max(y - 0.19),
                |x, y| (lit(self.strands(x, y), 0.66), 1.0 - smooth(0.13, 0.19, y)),
            );
        }
        for side in [-1.0f32, 1.0] {
            let shade = if side < 0.0 { 0.96 } else { 0.72 };
            canvas.oval((side * 0.131, 0.012), (0.021, 0.036), 0.0, lit(self.skin, shade), 1.0);
            canvas.oval((side * 0.133, 0.014), (0.010, 0.022), 0.012, lit(self.skin, shade * 0.68), 0.8);
        }
        canvas.shape([-0.14, -0.19, 0.14, 0.19], 0.0, face, |x, y| (self.flesh(x, y), 1.0));
        self.nose(&mut canvas);
        // Under the brows, under the eyes, under the lip.
        for side in [-1.0f32, 1.0] {
            canvas.oval((side * 0.052, -0.020), (0.036, 0.020), 0.028, lit(self.skin, 0.70), 0.38);
            canvas.line((side * 0.034, 0.018), (side * 0.066, 0.016), 0.001, 0.010, lit(self.skin, 0.70), 0.45);
            canvas.line((side * 0.040, 0.052), (side * 0.060, 0.088), 0.001, 0.016, lit(self.skin, 0.72), 0.40);
        }
        canvas.oval((0.004, 0.134), (0.026, 0.006), 0.016, lit(self.skin, 0.68), 0.55);
        self.fringe(&mut canvas);
        if self.glasses {
            for side in [-1.0f32, 1.0] {
                let lens = move |x: f32, y: f32| boxed(x - side * 0.054, y, [-0.042, -0.036, 0.042, 0.032], 0.026);
                canvas.shape([-0.12, -0.05, 0.12, 0.05], 0.0, lens, |x, y| {
                    (hex(0xdfeaf2), 0.10 + 0.10 * smooth(0.0, 0.01, sine((x + y) * 9.0)))
                });
                canvas.shape(
                    [-0.12, -0.05, 0.12, 0.05],
                    0.0,
                    move |x, y| lens(x, y).abs() - 0.0038,
                    |_, y| (lit(hex(0x2b2522), 1.0 - 8.0 * y), 1.0),
                );
                canvas.line((side * 0.096, -0.012), (side * 0.130, -0.018), 0.0036, 0.0, hex(0x2b2522), 1.0);
            }
            canvas.line((-0.014, -0.006), (0.014, -0.006), 0.0036, 0.0, hex(0x2b2522), 1.0);
        }
        canvas
    }

    fn flesh(&self, x: f32, y: f32) -> Rgb {
        let (nx, ny) = (x / 0.135, y / 0.185);
        let nz = (1.0 - nx * nx - ny * ny).max(0.02).sqrt();
        let light = 0.60 + 0.44 * (nz * 0.80 - nx * 0.50 - ny * 0.28).max(0.0);
        let blush = |side: f32| 1.0 - smooth(0.2, 1.0, ((x - side * 0.072).abs() + (y - 0.062).abs()) * 18.0);
        let rose = blush(-1.0) * 0.26 + blush(1.0) * 0.20;
        let pores = (noise(self.seed ^ 94, x * 330.0, y * 330.0) - 0.5) * 0.035
            + (cloud(self.seed ^ 95, x * 40.0, y * 40.0) - 0.5) * 0.05;
        let rgb = blend(self.skin, [self.skin[0], self.skin[1] * 0.72, self.skin[2] * 0.70], rose);
        let warm =
            blend(lit(rgb, light + pores), [1.0, 0.93, 0.82], 0.10 * smooth(0.55, 1.0, nz - nx * 0.6 - ny * 0.3));
        // A little lamp light along the far edge keeps the cheek from the dark.
        blend(warm, hex(0xffc98c), 0.16 * smooth(0.72, 1.0, nx))
    }

    fn nose(&self, canvas: &mut Canvas) {
        canvas.line((0.012, -0.022), (0.018, 0.046), 0.004, 0.020, lit(self.skin, 0.66), 0.55);
        canvas.line((-0.002, -0.020), (-0.001, 0.040), 0.004, 0.016, lit(self.skin, 1.12), 0.55);
        canvas.oval((0.001, 0.050), (0.019, 0.014), 0.014, lit(self.skin, 1.02), 0.85);
        canvas.oval((-0.004, 0.046), (0.006, 0.005), 0.008, lit(self.skin, 1.25), 0.75);
        canvas.oval((0.004, 0.0655), (0.020, 0.004), 0.009, lit(self.skin, 0.58), 0.65);
        for side in [-1.0f32, 1.0] {
            canvas.oval((side * 0.010, 0.0615), (0.0052, 0.0028), 0.003, lit(self.skin, 0.34), 0.85);
            canvas.oval(
                (side * 0.0195, 0.056),
                (0.006, 0.008),
                0.008,
                lit(self.skin, if side < 0.0 { 0.92 } else { 0.70 }),
                0.6,
            );
        }
    }

    fn fringe(&self, canvas: &mut Canvas) {
        let (long, seed) = (self.long, self.seed);
        let end = if long { 0.16 } else { 0.012 };
        let hair = move |x: f32, y: f32| {
            let ragged =
                (noise(seed ^ 96, x * 46.0, 3.0) - 0.5) * 0.016 + (noise(seed ^ 97, x * 130.0, 5.0) - 0.5) * 0.007;
            let cap = oval(x, y + 0.030, (0.147 + if long { 0.012 } else { 0.0 }, 0.178)) - ragged * 0.3;
            // Parted off the middle: the opening leans to one side.
            let sweep = -0.020 * smooth(-0.12, 0.10, x) + 0.014 * smooth(0.02, 0.11, x);
            let opening = oval(x + 0.008, y - 0.085 - sweep + ragged, (0.119, if long { 0.196 } else { 0.186 }));
            // Short hair ends in a point before the ear.
            let taper = if long { 0.0 } else { 1.6 * (0.137 - x.abs()).clamp(0.0, 0.045) };
            cap.max(-opening).max((y - end + taper + ragged) * 0.6)
        };
        // The shadow of the hair on the brow.
        canvas.shape(
            [-0.13, -0.16, 0.13, 0.02],
            0.03,
            move |x, y| hair(x, y - 0.010).max(face(x, y) + 0.012),
            |_, _| (lit(self.skin, 0.45), 0.42),
        );
        canvas.shape([-0.19, -0.235, 0.19, 0.20], 0.003, hair, |x, y| (self.strands(x, y), 1.0));
    }

    fn strands(&self, x: f32, y: f32) -> Rgb {
        let (dx, dy) = (x - 0.035, y + 0.235);
        let r = (dx * dx + dy * dy).sqrt();
        let around = dx / (r + 0.03) * 3.0;
        let fine = noise(self.seed ^ 98, around * 46.0, r * 14.0) - 0.5;
        let lock = noise(self.seed ^ 99, around * 9.0, r * 5.0) - 0.5;
        let shine = smooth(0.06, 0.0, (r - 0.115 - 0.02 * lock).abs()) * (0.55 - 1.6 * x);
        let light = 0.88 - 1.5 * x.clamp(-0.14, 0.2) + fine * 0.46 + lock * 0.40;
        blend(lit(self.hair, light), blend(self.hair, [1.0, 0.95, 0.88], 0.45), shine.clamp(0.0, 1.0) * (0.6 + fine))
    }

    /// What moves in the face, laid over `rgb` at one point of the head; `edge` is the width of a pixel in units.
    pub(super) fn feature(&self, rgb: Rgb, x: f32, y: f32, pose: &Pose, edge: f32) -> Rgb {
        let cover = |distance: f32| (0.5 - distance / edge).clamp(0.0, 1.0);
        if y < 0.030 { self.eye(rgb, x, y, pose, cover) } else { self.mouth(rgb, x, y, pose, cover) }
    }

    fn eye(&self, rgb: Rgb, x: f32, y: f32, pose: &Pose, cover: impl Fn(f32) -> f32) -> Rgb {
        let side = if x < 0.0 { -1.0 } else { 1.0 };
        let (u, v) = (x - side * 0.052, y + 0.010);
        let arch = 1.0 - (u / 0.0265) * (u / 0.0265);
        let lid = -0.0150 * arch * (1.0 - pose.blink) + 0.0070 * arch * pose.blink;
        let low = 0.0088 * arch;
        let ball = (lid - v).max(v - low).max(-arch * 0.02);
        let mut rgb = rgb;
        let white = lit([0.95, 0.93, 0.91], 0.96 - 6.0 * (u * side).max(0.0) - 14.0 * (lid + 0.004 - v).max(0.0));
        let open = cover(ball);
        if open > 0.0 {
            let (gx, gy) = (u - pose.gaze.0, v + 0.0020 - pose.gaze.1);
            let r = (gx * gx + gy * gy).sqrt();
            let rays = 0.82 + 0.30 * smooth(0.003, 0.010, r) + 0.10 * sine(gx * 300.0) * sine(gy * 300.0);
            let iris = lit(IRISES[(hash(self.seed ^ 7) % IRISES.len() as u64) as usize], rays);
            let mut ball = blend(white, lit(iris, 0.5), cover(r - 0.0118));
            ball = blend(ball, iris, cover(r - 0.0106));
            ball = blend(ball, hex(0x0b0908), cover(r - 0.0050));
            let (hx, hy) = (gx + 0.0040, gy + 0.0042);
            ball = blend(ball, [1.0; 3], cover((hx * hx + hy * hy).sqrt() - 0.0026) * 0.95);
            // The lid shades the ball.
            ball = lit(ball, 0.66 + 0.34 * smooth(0.0, 0.007, v - lid));
            rgb = blend(rgb, ball, open);
        }
        let lash = ((v - lid + 0.0008).abs() - 0.0020 - 0.0010 * smooth(0.0, 0.024, u * side)).max(u.abs() - 0.0275);
        rgb = blend(rgb, lit(self.hair, 0.28), cover(lash) * 0.92);
        let crease = (v - lid + 0.0075).abs() - 0.0006;
        rgb = blend(rgb, lit(self.skin, 0.50), cover(crease.max(u.abs() - 0.021)) * 0.55);
        let brow = 1.0 - (u / 0.040) * (u / 0.040);
        let ridge = v + 0.0300 + 0.0125 * brow + pose.brow * 0.010 - 0.05 * u * side;
        let thick = mix(0.0066, 0.0030, smooth(-0.02, 0.04, u * side));
        let hairs = 0.85 + 0.4 * (noise(self.seed ^ 8, (u - ridge * 0.8) * 420.0, ridge * 80.0) - 0.5);
        blend(rgb, lit(self.hair, 0.58 * hairs), cover((ridge.abs() - thick).max(u.abs() - 0.036)) * 0.88)
    }

    fn mouth(&self, rgb: Rgb, x: f32, y: f32, pose: &Pose, cover: impl Fn(f32) -> f32) -> Rgb {
        let open = pose.mouth.open;
        let half = 0.0375 + 0.008 * (pose.mouth.wide - 0.4) * (0.4 + open) + 0.003 * (1.0 - open);
        let curve = x / half;
        let arch = 1.0 - curve * curve;
        // The corners smile a little when the mouth rests.
        let v = y - 0.104 + 0.0055 * (1.0 - 0.7 * open) * curve * curve;
        let (up, down) = (-0.0045 * open * arch, (0.0008 + 0.0265 * open) * arch);
        let bow = 0.0016 * (1.0 - smooth(0.0, 0.012, x.abs()));
        let lip = blend(self.skin, [0.72, 0.22, 0.24], 0.50);
        let upper = (up - 0.0085 * arch + bow - v).max(v - down);
        let lower = (up - v).max(v - down - 0.0115 * arch);
        let ends = x.abs() - half;
        let mut rgb = blend(rgb, lit(lip, 0.80 - 2.0 * x), cover(upper.max(ends)));
        let gloss = smooth(0.006, 0.0, (v - down - 0.0050).abs()) * smooth(0.022, 0.0, (x + 0.006).abs());
        rgb = blend(rgb, blend(lit(lip, 1.02 - 2.0 * x), [1.0, 0.9, 0.88], gloss * 0.30), cover(lower.max(ends)));
        let inside = (up - v).max(v - down).max(ends);
        let dark = cover(inside);
        if dark > 0.0 {
            let mut deep = hex(0x34100f);
            let tongue = oval(x, v - down - 0.004, (half * 0.62, 0.0125 * open + 0.0005));
            deep = blend(deep, hex(0xa84a4c), cover(tongue) * 0.9);
            let teeth = (v - up - 0.0068 * open.min(0.7)).max(x.abs() - half * 0.72);
            let gap = 1.0 - 0.12 * smooth(0.9, 1.0, sine(x * 130.0 + 0.25).abs());
            deep = blend(deep, lit([0.95, 0.93, 0.88], gap - 3.0 * x.abs()), cover(teeth) * smooth(0.10, 0.22, open));
            rgb = blend(rgb, deep, dark);
        }
        let seam = line(x, v, (-half, 0.0), (half, 0.0)) - 0.0011;
        blend(rgb, lit(lip, 0.42), cover(seam) * 0.85 * (1.0 - smooth(0.02, 0.14, open)))
    }
}

/// Parts of the head that [`Look::feature`] changes: left, top, right, bottom.
pub(super) const FEATURES: [[f32; 4]; 3] =
    [[-0.094, -0.068, -0.012, 0.0295], [0.012, -0.068, 0.094, 0.0295], [-0.056, 0.082, 0.056, 0.158]];

fn face(x: f32, y: f32) -> f32 {
    let t = (y / 0.178).max(0.0);
    let narrow = 1.0 - 0.05 * t - 0.15 * t * t;
    oval(x / narrow, y, (0.130, 0.178)) * narrow
}

/// Height of the shoulders at `x`.
fn top(x: f32) -> f32 {
    let s = ((x.abs() - 0.055) / 0.40).clamp(0.0, 1.2);
    let cube = s * s * s;
    0.655 + 0.120 * s + 0.24 * cube * cube
}

fn shoulders(x: f32, y: f32) -> f32 {
    let s = ((x.abs() - 0.055) / 0.40).clamp(0.0, 1.2);
    let slope = (0.120 + 1.44 * s * s * s * s * s) / 0.40;
    (top(x) - y) / (1.0 + slope * slope).sqrt()
}

const NAMES: [&str; 8] = ["ADA", "NOOR", "MILO", "INES", "KOFI", "YUKI", "LENA", "OMAR"];
const SKINS: [Rgb; 5] = [hex(0xf0c5a6), hex(0xe2ab84), hex(0xc98d63), hex(0x9a6542), hex(0x74492f)];
const HAIRS: [Rgb; 5] = [hex(0x2a211e), hex(0x4c3226), hex(0x7a4b2b), hex(0xb98a4e), hex(0x8b8682)];
const IRISES: [Rgb; 4] = [hex(0x5d3d24), hex(0x47784f), hex(0x4a7aa8), hex(0x7a6238)];
const CLOTHES: [(Rgb, Rgb); 5] = [
    (hex(0x2f5d73), hex(0xe3d3b2)),
    (hex(0x8c3b3f), hex(0x2d2f3f)),
    (hex(0x4f6b4a), hex(0xd8b25e)),
    (hex(0x53497a), hex(0xc9a8b8)),
    (hex(0xc27a45), hex(0x3a4756)),
];
