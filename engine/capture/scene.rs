//! A rendered meeting: a person who talks before a furnished room, with sensor noise, changing light and a caption.
//!
//! Every frame is a function of seed, size, rate and number alone, to the byte and on every machine, and any frame can
//! be asked for. Room, body and head are painted once; a frame moves the two sprites, draws eyes, brows and mouth (the
//! mouth follows [`crate::capture::voice`] of the same seed), and adds light and noise.

mod paint;
mod person;
mod pose;
mod room;

use conclave_codecs::{Color, Picture, Plane, Range, Size};

use crate::capture::font;
use crate::capture::math::{hash, hash3, mix};
use crate::time::Time;
use paint::Canvas;
use person::Look;
use pose::Pose;

/// Least width and height.
pub const SIDE_MIN: u32 = 16;
/// Greatest width and height.
pub const SIDE_MAX: u32 = 8192;

/// What to render.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Person, room, motion and noise follow from it.
    pub seed: u64,
    /// Of every frame.
    pub size: Size,
    /// Frames a second, as a fraction.
    pub fps: (u32, u32),
    /// Matrix and range of [`Scene::render`].
    pub color: Color,
}

impl Default for Config {
    fn default() -> Self {
        Self { seed: 1, size: Size::new(1280, 720), fps: (30, 1), color: Color::default() }
    }
}

/// Why no scene was made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Too small or too large.
    #[error("the scene cannot be {0}; choose a width and a height from 16 to 8192")]
    Size(Size),
    /// No rate.
    #[error("the scene cannot run at {0}/{1} frames a second; choose a rate above 0")]
    Rate(u32, u32),
}

/// The rendered meeting.
pub struct Scene {
    config: Config,
    /// Pixels a unit, and the pixel position of the unit origin.
    scale: f32,
    origin: (f32, f32),
    look: Look,
    room: Canvas,
    body: Canvas,
    head: Canvas,
    gains: Vec<u16>,
    rgba: Vec<u8>,
}

impl Scene {
    /// Paints what stays the same; takes about a quarter of a second at 720p.
    pub fn new(config: Config) -> Result<Self, Error> {
        let Size { width, height } = config.size;
        if [width, height].iter().any(|side| !(SIDE_MIN..=SIDE_MAX).contains(side)) {
            return Err(Error::Size(config.size));
        }
        if config.fps.0 == 0 || config.fps.1 == 0 {
            return Err(Error::Rate(config.fps.0, config.fps.1));
        }
        let (width, height) = (width as usize, height as usize);
        // The figure fills the height, or less where the frame is narrow, and always stands on the lower edge.
        let scale = (height as f32).min(width as f32 * 1.05);
        let origin = (width as f32 * 0.5, height as f32 - scale);
        let mut room = Canvas { width, height, scale, origin, data: vec![0; width * height * 4] };
        room::paint(&mut room, config.seed);
        let look = Look::new(config.seed);
        let (body, head) = (look.body(scale), look.head(scale));
        Ok(Self { config, scale, origin, look, room, body, head, gains: vec![0; width * 4], rgba: Vec::new() })
    }

    /// What was asked for.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The capture time of a frame, in media time from 0.
    pub fn time(&self, frame: u64) -> Time {
        let (rate, per) = self.config.fps;
        Time((u128::from(frame) * u128::from(per) * 1_000_000 / u128::from(rate)) as u64)
    }

    /// Renders `frame` as I420 in the configured colour; `out` takes its size from the scene.
    pub fn render(&mut self, frame: u64, out: &mut Picture) {
        let mut rgba = std::mem::take(&mut self.rgba);
        self.render_rgba(frame, &mut rgba);
        if out.size() != self.config.size {
            out.reset(self.config.size, self.config.color);
        }
        out.color = self.config.color;
        to_i420(&rgba, out);
        self.rgba = rgba;
    }

    /// Renders `frame` as full-range RGBA, opaque, rows tight. `out` is resized once and then reused.
    pub fn render_rgba(&mut self, frame: u64, out: &mut Vec<u8>) {
        let pose = Pose::new(self.config.seed, self.time(frame));
        out.clear();
        out.extend_from_slice(&self.room.data);
        self.place_body(&pose, out);
        self.place_head(&pose, out);
        self.features(&pose, out);
        self.light(&pose);
        let key = hash3(self.config.seed, 0x6e6f_6973, frame as i64);
        let stride = self.room.width * 4;
        for (row, pixels) in out.chunks_exact_mut(stride).enumerate() {
            develop(pixels, &self.gains, hash(key.wrapping_add(row as u64)) as u32);
        }
        self.caption(frame, out);
    }

    /// Body: sheared, so that its lower edge stays where it is.
    fn place_body(&self, pose: &Pose, out: &mut [u8]) {
        let width = self.room.width;
        let first = self.pixel_y(0.44, self.room.height);
        let reach = 0.06 * self.scale;
        let left = self.origin.0 - self.body.origin.0 - reach;
        let (from, to) = (pixel(left, width), pixel(left + self.body.width as f32 + 2.0 * reach, width));
        for row in first..self.room.height {
            let y = row as f32 + 0.5 - self.origin.1;
            let share = ((1.05 - y / self.scale) / 0.4).clamp(0.0, 1.3);
            let start = from as f32 + 0.5 - self.origin.0 - pose.body.0 * share * self.scale + self.body.origin.0 - 0.5;
            let line = y - pose.body.1 * share * self.scale + self.body.origin.1 - 0.5;
            let pixels = &mut out[(row * width + from) * 4..(row * width + to) * 4];
            draw(&self.body, pixels, (fixed(start), fixed(line)), (ONE, 0), None);
        }
    }

    /// Head: turned about its middle, the jaw drawn down by the open mouth.
    fn place_head(&self, pose: &Pose, out: &mut [u8]) {
        let width = self.room.width;
        let (cx, cy) = self.head_center(pose);
        let reach = 0.30 * self.scale;
        let (from, to) = (pixel(cx - reach, width), pixel(cx + reach, width));
        let rows = pixel(cy - reach, self.room.height)..pixel(cy + reach, self.room.height);
        let (c, s) = (1.0 - pose.tilt * pose.tilt * 0.5, pose.tilt);
        let jaw = fixed(self.head.origin.1 + 0.075 * self.scale);
        let stretch = fixed(0.11 * pose.mouth.open);
        for row in rows {
            let (dx, dy) = (from as f32 + 0.5 - cx, row as f32 + 0.5 - cy);
            let x = dx * c + dy * s + self.head.origin.0 - 0.5;
            let y = dy * c - dx * s + self.head.origin.1 - 0.5;
            let pixels = &mut out[(row * width + from) * 4..(row * width + to) * 4];
            draw(&self.head, pixels, (fixed(x), fixed(y)), (fixed(c), fixed(-s)), Some((jaw, stretch)));
        }
    }

    fn features(&self, pose: &Pose, out: &mut [u8]) {
        let (width, height) = (self.room.width, self.room.height);
        let (cx, cy) = self.head_center(pose);
        let (c, s) = (1.0 - pose.tilt * pose.tilt * 0.5, pose.tilt);
        for bounds in person::FEATURES {
            // The box, turned: its corners' extent.
            let corners = [(0, 1), (2, 1), (0, 3), (2, 3)]
                .map(|(i, j)| (bounds[i] * c - bounds[j] * s, bounds[i] * s + bounds[j] * c));
            let low = corners.iter().fold((f32::MAX, f32::MAX), |m, p| (m.0.min(p.0), m.1.min(p.1)));
            let high = corners.iter().fold((f32::MIN, f32::MIN), |m, p| (m.0.max(p.0), m.1.max(p.1)));
            let columns = pixel(cx + low.0 * self.scale, width)..pixel(cx + high.0 * self.scale + 1.0, width);
            for row in pixel(cy + low.1 * self.scale, height)..pixel(cy + high.1 * self.scale + 1.0, height) {
                for column in columns.clone() {
                    let (dx, dy) = ((column as f32 + 0.5 - cx) / self.scale, (row as f32 + 0.5 - cy) / self.scale);
                    let (x, y) = (dx * c + dy * s, dy * c - dx * s);
                    if x < bounds[0] || x > bounds[2] || y < bounds[1] || y > bounds[3] {
                        continue;
                    }
                    let at = (row * width + column) * 4;
                    let under = [0, 1, 2].map(|k| f32::from(out[at + k]) / 255.0);
                    let over = self.look.feature(under, x, y, pose, 1.0 / self.scale);
                    for (k, value) in over.into_iter().enumerate() {
                        out[at + k] = (value.clamp(0.0, 1.0) * 255.0 + 0.5) as u8;
                    }
                }
            }
        }
    }

    /// Pixel position of the middle of the head.
    fn head_center(&self, pose: &Pose) -> (f32, f32) {
        (self.origin.0 + pose.head.0 * self.scale, self.origin.1 + (HEAD_Y + pose.head.1) * self.scale)
    }

    fn pixel_y(&self, y: f32, limit: usize) -> usize {
        pixel(self.origin.1 + y * self.scale, limit)
    }

    /// Light per column and channel, 1.0 = 1024.
    fn light(&mut self, pose: &Pose) {
        let width = self.room.width as f32;
        for (column, gains) in self.gains.chunks_exact_mut(4).enumerate() {
            let t = column as f32 / width;
            for (k, gain) in gains.iter_mut().take(3).enumerate() {
                *gain = (mix(pose.light[0][k], pose.light[1][k], t) * 1024.0 + 0.5) as u16;
            }
        }
    }

    /// Name, time and frame number on a dark strip, where there is room for it; free of noise, as an overlay is.
    fn caption(&self, frame: u64, out: &mut [u8]) {
        let mut text = [b' '; CAPTION];
        let len = caption(self.look.name, self.time(frame).0 / 1000, frame, &mut text);
        let (width, height) = (self.room.width, self.room.height);
        let dot = (height / 240).max(1);
        let (pad, cell) = (2 * dot, (font::WIDTH + 1) * dot);
        // A small frame shows the end of the text, which is the number.
        let shown = len.min((width.saturating_sub(4 * pad)) / cell);
        let (wide, high) = (shown * cell + 2 * pad, font::HEIGHT * dot + 2 * pad);
        if shown < 4 || high + 2 * pad > height / 3 {
            return;
        }
        let (left, top) = (2 * pad, height - high - 2 * pad);
        for row in 0..high {
            let pixels = &mut out[((top + row) * width + left) * 4..][..wide * 4];
            for (column, pixel) in pixels.chunks_exact_mut(4).enumerate() {
                let (x, y) = (column.wrapping_sub(pad) / dot, row.wrapping_sub(pad) / dot);
                let ink = font::ink(&text[len - shown..len], x, y);
                for sample in &mut pixel[..3] {
                    *sample = if ink { 240 } else { *sample / 4 + 8 };
                }
            }
        }
    }
}

/// Writes `NAME 00:00:00.000 #0` and returns its length.
fn caption(name: &str, ms: u64, frame: u64, text: &mut [u8; CAPTION]) -> usize {
    use std::io::Write;
    let (h, m, s) = (ms / 3_600_000 % 100, ms / 60_000 % 60, ms / 1000 % 60);
    let mut rest = &mut text[..];
    // The text fits by construction; what did not would be cut.
    let _ = write!(rest, "{name}  {h:02}:{m:02}:{s:02}.{:03}  #{frame:06}", ms % 1000);
    let left = rest.len();
    CAPTION - left
}

/// Blends a sprite over a row of pixels, bilinearly. `start` and `step` are sprite positions in 16.16.
fn draw(sprite: &Canvas, row: &mut [u8], start: (i32, i32), step: (i32, i32), jaw: Option<(i32, i32)>) {
    let (mut x, mut y) = start;
    let (right, bottom) = ((sprite.width as i32 - 1) << 16, (sprite.height as i32 - 1) << 16);
    for pixel in row.chunks_exact_mut(4) {
        let line = match jaw {
            Some((from, stretch)) if y > from => y - ((i64::from(y - from) * i64::from(stretch)) >> 16) as i32,
            _ => y,
        };
        if x >= 0 && line >= 0 && x < right && line < bottom {
            let at = ((line >> 16) as usize * sprite.width + (x >> 16) as usize) * 4;
            let (u, v) = ((x >> 8 & 255) as u32, (line >> 8 & 255) as u32);
            let above = &sprite.data[at..at + 8];
            let below = &sprite.data[at + sprite.width * 4..][..8];
            let weights = [(256 - u) * (256 - v), u * (256 - v), (256 - u) * v, u * v];
            let sample = |k: usize| {
                let sum = u32::from(above[k]) * weights[0]
                    + u32::from(above[k + 4]) * weights[1]
                    + u32::from(below[k]) * weights[2]
                    + u32::from(below[k + 4]) * weights[3];
                (sum + (1 << 15)) >> 16
            };
            let alpha = sample(3);
            if alpha != 0 {
                for k in 0..3 {
                    let under = u32::from(pixel[k]) * (255 - alpha);
                    pixel[k] = (sample(k) + (under * 257 + 32_896 >> 16)).min(255) as u8;
                }
            }
        }
        x += step.0;
        y += step.1;
    }
}

/// Light and sensor noise for one row. The darker the pixel, the stronger the noise.
fn develop(row: &mut [u8], gains: &[u16], key: u32) {
    for (index, (pixel, gain)) in row.chunks_exact_mut(4).zip(gains.chunks_exact(4)).enumerate() {
        let r = (u32::from(pixel[0]) * u32::from(gain[0]) >> 10) as i32;
        let g = (u32::from(pixel[1]) * u32::from(gain[1]) >> 10) as i32;
        let b = (u32::from(pixel[2]) * u32::from(gain[2]) >> 10) as i32;
        let mut h = (index as u32).wrapping_mul(0x9e37_79b9) ^ key;
        h = (h ^ h >> 15).wrapping_mul(0x2c1b_3c6d);
        h = (h ^ h >> 13).wrapping_mul(0x297a_2d39);
        h ^= h >> 16;
        let luma = (r + 2 * g + b) >> 2;
        let strength = 10 + ((255 - luma).max(0) * 9 >> 8);
        // Two bytes make a triangle; the others tint it.
        let grey = ((h & 255) as i32 + (h >> 8 & 255) as i32 - 255) * strength >> 10;
        let (warm, cold) = (((h >> 16 & 255) as i32 - 128) * strength >> 10, ((h >> 24) as i32 - 128) * strength >> 10);
        pixel[0] = (r + grey + warm).clamp(0, 255) as u8;
        pixel[1] = (g + grey).clamp(0, 255) as u8;
        pixel[2] = (b + grey + cold).clamp(0, 255) as u8;
        pixel[3] = 255;
    }
}

/// RGBA to I420 by the picture's colour, 16-bit coefficients; a chroma sample is the mean of its four pixels.
fn to_i420(rgba: &[u8], out: &mut Picture) {
    let size = out.size();
    let (width, height) = (size.width as usize, size.height as usize);
    let (kr, kb) = out.color.matrix.weights();
    let (luma_span, chroma_span, black) = match out.color.range {
        Range::Limited => (219, 224, 16),
        Range::Full => (255, 255, 0),
    };
    let scaled =
        |weight: i32, span: i32, over: i64| ((i64::from(weight) * i64::from(span) << 16) / (255 * over)) as i32;
    let y = [scaled(kr, luma_span, 10_000), scaled(10_000 - kr - kb, luma_span, 10_000), scaled(kb, luma_span, 10_000)];
    let chroma = |own: i32, other: i32| {
        let over = 2 * i64::from(10_000 - own);
        (
            scaled(10_000 - own, chroma_span, over),
            scaled(other, chroma_span, over),
            scaled(10_000 - own - other, chroma_span, over),
        )
    };
    let (u, v) = (chroma(kb, kr), chroma(kr, kb));
    for (pixel, luma) in rgba.chunks_exact(4).zip(out.plane_mut(Plane::Y)) {
        let sum = y[0] * i32::from(pixel[0]) + y[1] * i32::from(pixel[1]) + y[2] * i32::from(pixel[2]);
        *luma = (black + (sum + (1 << 15) >> 16)).clamp(0, 255) as u8;
    }
    let half = size.chroma();
    let (columns, rows) = (half.width as usize, half.height as usize);
    let (_, chroma) = out.data_mut().split_at_mut(size.area());
    let (us, vs) = chroma.split_at_mut(columns * rows);
    for row in 0..rows {
        let line = |y: usize| &rgba[y.min(height - 1) * width * 4..][..width * 4];
        let (above, below) = (line(2 * row), line(2 * row + 1));
        for column in 0..columns {
            let (a, b) = (8 * column, (8 * column + 4).min(width * 4 - 4));
            let sum =
                |k: usize| [above[a + k], above[b + k], below[a + k], below[b + k]].map(i32::from).iter().sum::<i32>();
            let (r, g, b) = (sum(0), sum(1), sum(2));
            let code = |value: i32| (128 + ((value >> 2) + (1 << 15) >> 16)).clamp(0, 255) as u8;
            us[row * columns + column] = code(u.0 * b - u.1 * r - u.2 * g);
            vs[row * columns + column] = code(v.0 * r - v.1 * b - v.2 * g);
        }
    }
}

fn fixed(value: f32) -> i32 {
    (value * ONE as f32).floor() as i32
}

fn pixel(at: f32, limit: usize) -> usize {
    (at.floor().max(0.0) as usize).min(limit)
}

/// 1.0 in 16.16.
const ONE: i32 = 1 << 16;

/// Where the middle of the head rests, in units.
const HEAD_Y: f32 = 0.415;

/// Longest caption.
const CAPTION: usize = 48;
