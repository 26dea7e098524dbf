//! Where pictures and samples come from, one file per source, behind two traits: [`VideoInput`] and [`Microphone`].

pub mod camera;
pub mod file;
mod font;
pub mod live;
mod math;
pub mod resample;
pub mod scene;
pub mod screen;
pub mod steady;
pub mod system;
pub mod voice;

pub use file::{FileAudio, FileError, FileVideo};
pub use steady::Steady;
pub use system::System;

use crate::audio::process::ProcessError;
use crate::codecs::{Color, Picture, Range, Size};
use crate::devices::DeviceError;
use crate::gpu::{Format, Source};

/// A source of pictures at a steady rate.
pub trait VideoInput: Send {
    /// The next picture, borrowed until the next call; `None` at the end.
    fn next(&mut self) -> Result<Option<Source<'_>>, CaptureError>;
    /// Microseconds from one picture to the next.
    fn interval_us(&self) -> u64;
}

/// A source of 48 kHz samples.
pub trait Microphone: Send {
    /// Channels, 1 or 2.
    fn channels(&self) -> u8;
    /// Fills `pcm` (interleaved); the last packet is filled up with silence. `false` at the end.
    fn fill(&mut self, pcm: &mut [i16]) -> Result<bool, CaptureError>;
}

/// Why a source gave nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A scene cannot be rendered so.
    #[error(transparent)]
    Scene(#[from] scene::Error),
    /// A device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Sound cannot be processed so.
    #[error(transparent)]
    Process(#[from] ProcessError),
}

/// The rendered scene as a camera that delivers full-range RGBA, so that the convert stage has work to do.
pub struct SceneCamera {
    scene: scene::Scene,
    frame: u64,
    frames: u64,
    rgba: Vec<u8>,
}

impl SceneCamera {
    /// A camera that delivers `frames` pictures.
    pub fn new(config: scene::Config, frames: u64) -> Result<Self, CaptureError> {
        Ok(Self { scene: scene::Scene::new(config)?, frame: 0, frames, rgba: Vec::new() })
    }
}

impl VideoInput for SceneCamera {
    fn next(&mut self) -> Result<Option<Source<'_>>, CaptureError> {
        if self.frame == self.frames {
            return Ok(None);
        }
        self.scene.render_rgba(self.frame, &mut self.rgba);
        self.frame += 1;
        let config = self.scene.config();
        let color = Color { range: Range::Full, ..config.color };
        Ok(Some(Source { format: Format::Rgba, size: config.size, color, data: &self.rgba }))
    }

    fn interval_us(&self) -> u64 {
        let (num, den) = self.scene.config().fps;
        u64::from(den) * 1_000_000 / u64::from(num)
    }
}

/// The scene's voice as a microphone of limited length.
pub struct SceneVoice {
    voice: voice::Voice,
    left: u64,
}

impl SceneVoice {
    /// `samples` samples of the voice of `seed`, mono.
    pub fn new(seed: u64, samples: u64) -> Self {
        Self { voice: voice::Voice::new(seed), left: samples }
    }
}

impl Microphone for SceneVoice {
    fn channels(&self) -> u8 {
        1
    }

    fn fill(&mut self, pcm: &mut [i16]) -> Result<bool, CaptureError> {
        let samples = (pcm.len() as u64).min(self.left);
        self.voice.fill(pcm);
        pcm[samples as usize..].fill(0);
        self.left -= samples;
        Ok(samples > 0)
    }
}

/// A file as a camera: pictures in file order at the file's rate.
pub struct FileCamera {
    file: FileVideo,
    picture: Picture,
    left: u64,
    interval_us: u64,
}

impl FileCamera {
    /// The first `frames` pictures of `file`.
    pub fn new(file: FileVideo, frames: u64) -> Self {
        let (num, den) = file.info().fps;
        let interval_us = (u64::from(den) * 1_000_000 / u64::from(num.max(1))).max(1_000);
        Self { file, picture: Picture::new(Size::new(16, 16), Color::default()), left: frames, interval_us }
    }
}

impl VideoInput for FileCamera {
    fn next(&mut self) -> Result<Option<Source<'_>>, CaptureError> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        if self.file.next(&mut self.picture)?.is_none() {
            self.left = 0;
            return Ok(None);
        }
        let Picture { color, .. } = self.picture;
        Ok(Some(Source { format: Format::I420, size: self.picture.size(), color, data: self.picture.data() }))
    }

    fn interval_us(&self) -> u64 {
        self.interval_us
    }
}

impl Microphone for FileAudio {
    fn channels(&self) -> u8 {
        FileAudio::channels(self)
    }

    fn fill(&mut self, pcm: &mut [i16]) -> Result<bool, CaptureError> {
        let got = self.read(pcm)?;
        pcm[got * usize::from(FileAudio::channels(self))..].fill(0);
        Ok(got > 0)
    }
}

/// A picture made once and shown again and again: the camera of tests that do not look at pictures.
pub struct Still {
    data: Vec<u8>,
    size: Size,
    interval_us: u64,
    left: u64,
}

impl Still {
    /// `frames` I420 pictures of `size`, `interval_us` apart; their first bytes count up, so that no two are equal.
    pub fn new(size: Size, interval_us: u64, frames: u64) -> Self {
        let data = (0..size.i420_len()).map(|i| (i % 251) as u8).collect();
        Self { data, size, interval_us, left: frames }
    }
}

impl VideoInput for Still {
    fn next(&mut self) -> Result<Option<Source<'_>>, CaptureError> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        let counted = self.data.len().min(8);
        self.data[..counted].copy_from_slice(&left.to_le_bytes()[..counted]);
        Ok(Some(Source { format: Format::I420, size: self.size, color: Color::default(), data: &self.data }))
    }

    fn interval_us(&self) -> u64 {
        self.interval_us
    }
}
