//! A canvas of premultiplied RGBA and the few shapes that the scene is drawn with, all anti-aliased from distances.

use crate::capture::math::{hash3, mix, unit};

/// Red, green, blue, `0.0..=1.0`, as a screen shows them.
pub(super) type Rgb = [f32; 3];

/// A canvas, addressed in units of the scene: the height of the figure is 1.
pub(super) struct Canvas {
    /// Pixels a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Pixels a unit.
    pub scale: f32,
    /// Pixel position of the unit origin.
    pub origin: (f32, f32),
    /// Premultiplied RGBA, rows tight.
    pub data: Vec<u8>,
}

impl Canvas {
    /// An empty canvas of whole pixels that covers `bounds` (left, top, right, bottom, in units) and one pixel around.
    pub(super) fn covering(bounds: [f32; 4], scale: f32) -> Self {
        let [left, top, right, bottom] = bounds.map(|edge| (edge * scale).floor());
        let (width, height) = ((right - left) as usize + 3, (bottom - top) as usize + 3);
        Self { width, height, scale, origin: (1.0 - left, 1.0 - top), data: vec![0; width * height * 4] }
    }

    /// Lays `ink` over every pixel within `bounds` by the coverage that `distance` (negative inside, in units) gives.
    /// The edge is `soft` units wide, at least one pixel. `ink` returns colour and opacity.
    pub(super) fn shape(
        &mut self,
        bounds: [f32; 4],
        soft: f32,
        distance: impl Fn(f32, f32) -> f32,
        ink: impl Fn(f32, f32) -> (Rgb, f32),
    ) {
        let edge = soft.max(1.0 / self.scale);
        let columns = span(bounds[0] - edge, bounds[2] + edge, self.origin.0, self.scale, self.width);
        let rows = span(bounds[1] - edge, bounds[3] + edge, self.origin.1, self.scale, self.height);
        for row in rows {
            let y = (row as f32 + 0.5 - self.origin.1) / self.scale;
            for column in columns.clone() {
                let x = (column as f32 + 0.5 - self.origin.0) / self.scale;
                let cover = (0.5 - distance(x, y) / edge).clamp(0.0, 1.0);
                if cover <= 0.0 {
                    continue;
                }
                let (rgb, opacity) = ink(x, y);
                let at = (row * self.width + column) * 4;
                over(&mut self.data[at..at + 4], rgb, cover * opacity);
            }
        }
    }

    /// Lays `ink` over a rectangle.
    pub(super) fn rect(&mut self, bounds: [f32; 4], ink: impl Fn(f32, f32) -> (Rgb, f32)) {
        self.shape(bounds, 0.0, |x, y| boxed(x, y, bounds, 0.0), ink);
    }

    /// Lays one colour over an ellipse.
    pub(super) fn oval(&mut self, center: (f32, f32), radius: (f32, f32), soft: f32, rgb: Rgb, opacity: f32) {
        let bounds = [center.0 - radius.0, center.1 - radius.1, center.0 + radius.0, center.1 + radius.1];
        self.shape(bounds, soft, |x, y| oval(x - center.0, y - center.1, radius), |_, _| (rgb, opacity));
    }

    /// Lays one colour along a line of half width `radius`.
    pub(super) fn line(&mut self, from: (f32, f32), to: (f32, f32), radius: f32, soft: f32, rgb: Rgb, opacity: f32) {
        let bounds = [
            from.0.min(to.0) - radius,
            from.1.min(to.1) - radius,
            from.0.max(to.0) + radius,
            from.1.max(to.1) + radius,
        ];
        self.shape(bounds, soft, |x, y| line(x, y, from, to) - radius, |_, _| (rgb, opacity));
    }
}

/// The pixels of one axis that an interval in units touches.
fn span(from: f32, to: f32, origin: f32, scale: f32, limit: usize) -> std::ops::Range<usize> {
    let first = (from * scale + origin).floor().max(0.0) as usize;
    let last = (to * scale + origin).floor() + 1.0;
    first.min(limit)..(last.max(0.0) as usize).clamp(first.min(limit), limit)
}

/// Puts a colour over a premultiplied pixel.
pub(super) fn over(pixel: &mut [u8], rgb: Rgb, opacity: f32) {
    for (sample, value) in pixel.iter_mut().zip([rgb[0], rgb[1], rgb[2], 1.0]) {
        let value = value.clamp(0.0, 1.0) * 255.0;
        *sample = (mix(f32::from(*sample), value, opacity) + 0.5) as u8;
    }
}

/// Distance to an ellipse round the origin, exact near its edge.
pub(super) fn oval(x: f32, y: f32, radius: (f32, f32)) -> f32 {
    let (a, b) = (x / radius.0, y / radius.1);
    let k = (a * a + b * b).sqrt();
    let (a, b) = (a / radius.0, b / radius.1);
    let slope = (a * a + b * b).sqrt();
    if slope < 1e-3 { -radius.0.min(radius.1) } else { k * (k - 1.0) / slope }
}

/// Distance to a rectangle with rounded corners.
pub(super) fn boxed(x: f32, y: f32, bounds: [f32; 4], corner: f32) -> f32 {
    let dx = (bounds[0] - x).max(x - bounds[2]) + corner;
    let dy = (bounds[1] - y).max(y - bounds[3]) + corner;
    let (px, py) = (dx.max(0.0), dy.max(0.0));
    (px * px + py * py).sqrt() + dx.max(dy).min(0.0) - corner
}

/// Distance to a line between two points.
pub(super) fn line(x: f32, y: f32, from: (f32, f32), to: (f32, f32)) -> f32 {
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let t = (((x - from.0) * dx + (y - from.1) * dy) / (dx * dx + dy * dy).max(1e-9)).clamp(0.0, 1.0);
    let (ex, ey) = (x - from.0 - t * dx, y - from.1 - t * dy);
    (ex * ex + ey * ey).sqrt()
}

/// Smooth noise with one value per lattice point, `0.0..1.0`.
pub(super) fn noise(seed: u64, x: f32, y: f32) -> f32 {
    let (fx, fy) = (x.floor(), y.floor());
    let (tx, ty) = (x - fx, y - fy);
    let (tx, ty) = (tx * tx * (3.0 - 2.0 * tx), ty * ty * (3.0 - 2.0 * ty));
    let at = |dx: i64, dy: i64| unit(hash3(seed, fx as i64 + dx, fy as i64 + dy));
    mix(mix(at(0, 0), at(1, 0), tx), mix(at(0, 1), at(1, 1), tx), ty)
}

/// Four octaves of [`noise`], `0.0..1.0`.
pub(super) fn cloud(seed: u64, x: f32, y: f32) -> f32 {
    let octave = |k: u64, f: f32| noise(seed.wrapping_add(k), x * f, y * f);
    (octave(0, 1.0) * 8.0 + octave(1, 2.03) * 4.0 + octave(2, 4.1) * 2.0 + octave(3, 8.3)) / 15.0
}

/// A colour made lighter or darker.
pub(super) fn lit(rgb: Rgb, light: f32) -> Rgb {
    rgb.map(|v| (v * light).clamp(0.0, 1.0))
}

/// Between two colours.
pub(super) fn blend(a: Rgb, b: Rgb, t: f32) -> Rgb {
    [mix(a[0], b[0], t), mix(a[1], b[1], t), mix(a[2], b[2], t)]
}

/// A colour from its usual hexadecimal form.
pub(super) const fn hex(rgb: u32) -> Rgb {
    [(rgb >> 16 & 255) as f32 / 255.0, (rgb >> 8 & 255) as f32 / 255.0, (rgb & 255) as f32 / 255.0]
}
