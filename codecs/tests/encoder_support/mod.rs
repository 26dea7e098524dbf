//! What the tests of the AV1 encoder object share: pictures from a seed, and a session whose every frame dav1d decodes
//! at once.
#![allow(dead_code, reason = "each test uses a part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use conclave_codecs::av1::encoder::Encoder;
use conclave_codecs::{Color, Config, EncodedInfo, FrameInput, Picture, Plane, Size, Target, VideoEncoder};

use crate::av1_support::judge::{self, InProcess, Stream};

/// A configuration for pictures of `size` at a fixed quantizer.
pub fn fixed(size: Size, quantizer: u8) -> Config {
    Config { size, target: Target::Quantizer(quantizer), ..Config::default() }
}

/// An encoder, what came out of it, and dav1d behind it.
pub struct Session {
    pub encoder: Box<dyn VideoEncoder>,
    pub stream: Stream,
    pub infos: Vec<EncodedInfo>,
    judge: InProcess,
    /// The number of the next frame.
    pub next: u64,
}

impl Session {
    pub fn open(config: Config) -> Self {
        let encoder = Encoder::open(config).unwrap_or_else(|error| panic!("{config:?}: {error}"));
        Self {
            encoder: Box::new(encoder),
            stream: Stream { ceiling: config.size, units: Vec::new(), pictures: Vec::new() },
            infos: Vec::new(),
            judge: InProcess::new(),
            next: 0,
        }
    }

    /// Encodes a picture; what comes out decodes to the reconstruction. `None` where the rate control leaves it out.
    pub fn push(&mut self, picture: &Picture, keyframe: bool) -> Option<EncodedInfo> {
        let input = FrameInput { frame: self.next, keyframe };
        self.next += 1;
        self.encoder.submit(picture, input).expect("a picture that was agreed");
        let mut unit = Vec::new();
        let info = self.encoder.poll(&mut unit).expect("a frame or none")?;
        assert_eq!(info.frame, input.frame);
        assert_eq!(info.keyframe, info.dependencies().is_empty());
        let mut ours = Picture::new(Size::new(1, 1), Color::default());
        assert!(self.encoder.reconstruction(&mut ours));
        assert_eq!((ours.size(), ours.color), (picture.size(), picture.color));
        if let Err(failure) = self.judge.check(&unit, &ours) {
            panic!("{failure} (frame {} of {})", input.frame, picture.size());
        }
        assert!(self.encoder.poll(&mut unit).expect("none").is_none(), "one picture makes one frame");
        self.stream.units.push(unit);
        self.stream.pictures.push(ours);
        self.infos.push(info);
        Some(info)
    }

    /// Asks the decoders that are programs about all that was encoded.
    pub fn judge(&self) {
        if let Err(failure) = judge::programs(&self.stream) {
            panic!("{failure} ({})", self.stream.ceiling);
        }
    }
}

/// A textured wall that pans, a smooth disc that crosses it, and the noise of a sensor.
pub struct Scene {
    texture: Vec<u8>,
    random: fastrand::Rng,
    /// Greatest noise either way.
    pub noise: u8,
}

/// Side of the texture, a power of two.
const SIDE: usize = 256;

impl Scene {
    pub fn new(seed: u64, noise: u8) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let grid: Vec<usize> = (0..32 * 32).map(|_| random.usize(40..200)).collect();
        let mut texture = vec![0; SIDE * SIDE];
        for (i, sample) in texture.iter_mut().enumerate() {
            let (x, y) = (i % SIDE, i / SIDE);
            let at = |row: usize, col: usize| grid[row % 32 * 32 + col % 32];
            let (row, col, down, right) = (y / 8, x / 8, y % 8, x % 8);
            let upper = at(row, col) * (8 - right) + at(row, col + 1) * right;
            let lower = at(row + 1, col) * (8 - right) + at(row + 1, col + 1) * right;
            let smooth = (upper * (8 - down) + lower * down) / 64;
            *sample = (smooth + random.usize(..12)) as u8;
        }
        Self { texture, random, noise }
    }

    /// Picture `n` of the scene in `size`.
    pub fn picture(&mut self, size: Size, n: usize) -> Picture {
        let mut picture = Picture::new(size, Color::default());
        self.paint(&mut picture, n);
        picture
    }

    /// The same into a picture that is there.
    pub fn paint(&mut self, picture: &mut Picture, n: usize) {
        let size = picture.size();
        let radius = size.height.min(size.width) as i32 / 4;
        let middle = ((n as i32 * 3) % size.width as i32, size.height as i32 / 2);
        for plane in Plane::ALL {
            let shift = usize::from(plane != Plane::Y);
            let width = picture.plane_size(plane).width as usize;
            for (y, row) in picture.plane_mut(plane).chunks_exact_mut(width).enumerate() {
                for (x, sample) in row.iter_mut().enumerate() {
                    let (x, y) = (x << shift, y << shift);
                    let (right, down) = (x as i32 - middle.0, y as i32 - middle.1);
                    let inside = right * right + down * down < radius * radius;
                    let texture = self.texture[(y + n / 2) % SIDE * SIDE + (x + n * 3 / 2) % SIDE];
                    let light = match (plane, inside) {
                        (Plane::Y, true) => 90 + (right + radius) * 90 / (radius + 1),
                        (Plane::Y, false) => texture.into(),
                        (Plane::U, true) => 100,
                        (Plane::V, true) => 150,
                        (_, false) => 96 + i32::from(texture / 4),
                    };
                    let reach = i32::from(self.noise) >> shift;
                    let noise = if reach > 0 { self.random.i32(-reach..=reach) } else { 0 };
                    *sample = (light + noise).clamp(0, 255) as u8;
                }
            }
        }
    }
}

/// A file of the test media; says so where it is absent.
pub fn media(name: &str) -> Option<PathBuf> {
    let Some(shared) = std::env::var_os("CONCLAVE_SHARED").map(PathBuf::from) else {
        println!("skipped: CONCLAVE_SHARED does not name the folder of the test media");
        return None;
    };
    let path = shared.join("media/video").join(name);
    if !path.is_file() {
        println!("skipped: {} is not there", path.display());
        return None;
    }
    Some(path)
}

/// The first pictures of a clip in `size`; none where ffmpeg is not installed.
pub fn pictures(path: &Path, size: Size, count: usize) -> Vec<Picture> {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-i"]).arg(path);
    command.args(["-frames:v", &count.to_string(), "-vf", &format!("scale={}:{}", size.width, size.height)]);
    command.args(["-pix_fmt", "yuv420p", "-f", "rawvideo", "-"]);
    let Ok(output) = command.stdin(Stdio::null()).output() else {
        println!("skipped: ffmpeg is not installed");
        return Vec::new();
    };
    let pictures = output.stdout.chunks_exact(size.i420_len()).map(|samples| {
        let mut picture = Picture::new(size, Color::default());
        picture.data_mut().copy_from_slice(samples);
        picture
    });
    let pictures: Vec<Picture> = pictures.collect();
    assert_eq!(pictures.len(), count, "{}: {}", path.display(), String::from_utf8_lossy(&output.stderr));
    pictures
}
