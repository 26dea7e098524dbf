//! Writes video to a file whose format its ending names.

use std::io::Write;
use std::path::Path;

use super::error::{ContainerError, Outcome, Refusal, Result};
use super::opus_head::OpusHead;
use super::staged::{Done, Staged, refuse};
use super::{MAX_UNIT, ivf, matroska_write, mp4, sane_size, y4m};
use crate::color::Color;
use crate::picture::{Picture, Size};

/// What is known of a video before its first frame.
#[derive(Clone, Debug)]
pub struct WriterConfig {
    /// Size of every picture.
    pub size: Size,
    /// Matrix and range.
    pub color: Color,
    /// Frames a second, as a fraction.
    pub fps: (u32, u32),
    /// An Opus track beside the video (mkv, webm and mp4).
    pub audio: Option<OpusHead>,
}

impl WriterConfig {
    /// Pictures of `size` at `fps`, BT.709 limited, no sound.
    pub fn new(size: Size, fps: (u32, u32)) -> Self {
        Self { size, fps, color: Color::default(), audio: None }
    }
}

/// A video file in the making. It appears at its name with [`VideoWriter::finish`]; dropped before, it leaves nothing.
pub struct VideoWriter {
    out: Staged,
    done: Done,
    path: std::path::PathBuf,
    mux: Mux,
    size: Size,
}

enum Mux {
    Y4m,
    Ivf(ivf::Muxer),
    Matroska(Box<matroska_write::Muxer>),
    Mp4(Box<mp4::Muxer>),
}

impl VideoWriter {
    /// Begins a file: `ivf`, `mkv`, `webm` and `mp4` take AV1, `y4m` takes pictures.
    pub fn create(path: &Path, config: &WriterConfig) -> Result<Self> {
        let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        if !matches!(ending.as_str(), "y4m" | "ivf" | "mkv" | "webm" | "mp4") {
            return Err(refuse(path, "its ending names no format", "end the name in ivf, mkv, webm, mp4 or y4m"));
        }
        if !sane_size(config.size) {
            let what = format!("a picture of {}", config.size);
            return Err(refuse(path, &what, "give a size of at least 1x1 and at most 8192x8192 samples"));
        }
        if !super::sane_fps(config.fps) {
            let what = format!("{}/{} frames a second", config.fps.0, config.fps.1);
            return Err(refuse(path, &what, "give a rate above 0 and of at most 1000"));
        }
        if config.audio.is_some() && matches!(ending.as_str(), "y4m" | "ivf") {
            return Err(refuse(path, "its format holds no sound", "use mkv, webm or mp4"));
        }
        let (mut out, done) = Staged::create(path)?;
        let fault = |refusal| fault(path, refusal);
        let mux = match ending.as_str() {
            "y4m" => y4m::begin(&mut out, config).map(|()| Mux::Y4m).map_err(|e| fault(e.into()))?,
            "ivf" => ivf::Muxer::begin(&mut out, config).map(Mux::Ivf).map_err(|e| fault(e.into()))?,
            "mp4" => mp4::Muxer::begin(&mut out, config).map(|mux| Mux::Mp4(Box::new(mux))).map_err(fault)?,
            _ => Mux::Matroska(Box::new(matroska_write::Muxer::begin(config, ending == "webm"))),
        };
        Ok(Self { out, done, path: path.to_owned(), mux, size: config.size })
    }

    /// Takes [`VideoWriter::write_picture`] and not [`VideoWriter::write`].
    pub fn is_raw(&self) -> bool {
        matches!(self.mux, Mux::Y4m)
    }

    /// Appends one AV1 temporal unit (low-overhead OBU stream) shown at `time` microseconds. The first must be a key
    /// frame with its sequence header.
    pub fn write(&mut self, unit: &[u8], time: u64, key: bool) -> Result<()> {
        let out = &mut self.out;
        let outcome: Outcome<()> = match &mut self.mux {
            _ if unit.len() > MAX_UNIT => Err(Refusal::Stream(format!("a frame of {} bytes", unit.len()))),
            Mux::Y4m => Err(Refusal::Stream("y4m takes pictures, not AV1".to_owned())),
            Mux::Ivf(mux) => mux.write(out, unit, time).map_err(Refusal::Io),
            Mux::Matroska(mux) => mux.write(out, unit, time, key),
            Mux::Mp4(mux) => mux.write(out, unit, time, key),
        };
        outcome.map_err(|refusal| fault(&self.path, refusal))
    }

    /// Appends one picture (y4m).
    pub fn write_picture(&mut self, picture: &Picture) -> Result<()> {
        let outcome = match &self.mux {
            Mux::Y4m if picture.size() == self.size => y4m::frame(&mut self.out, picture).map_err(Refusal::Io),
            Mux::Y4m => Err(Refusal::Stream(format!("a picture of {} in a file of {}", picture.size(), self.size))),
            _ => Err(Refusal::Stream("this format takes AV1, not pictures".to_owned())),
        };
        outcome.map_err(|refusal| fault(&self.path, refusal))
    }

    /// Appends one Opus packet that begins at `time` microseconds, the pre-skip counted. Both tracks of a file have one
    /// clock; MP4's begins with the earlier of them, and places packets end to end where their times miss that by 10 ms
    /// at most.
    pub fn write_audio(&mut self, packet: &[u8], time: u64) -> Result<()> {
        let outcome = match &mut self.mux {
            Mux::Matroska(mux) => mux.write_audio(&mut self.out, packet, time),
            Mux::Mp4(mux) => mux.write_audio(&mut self.out, packet, time),
            Mux::Y4m | Mux::Ivf(_) => Err(Refusal::no_audio()),
        };
        outcome.map_err(|refusal| fault(&self.path, refusal))
    }

    /// Completes the file, gives it its name and returns its length in bytes.
    pub fn finish(self) -> Result<u64> {
        let Self { mut out, done, path, mux, .. } = self;
        let outcome = match mux {
            Mux::Y4m => Ok(()),
            Mux::Ivf(mux) => mux.finish(&mut out).map_err(Refusal::Io),
            Mux::Matroska(mux) => mux.finish(&mut out),
            Mux::Mp4(mux) => mux.finish(&mut out),
        };
        let len = outcome.and_then(|()| {
            out.flush()?;
            Ok(std::io::Seek::seek(&mut out, std::io::SeekFrom::End(0))?)
        });
        let len = len.map_err(|refusal| fault(&path, refusal))?;
        drop(out);
        done.publish()?;
        Ok(len)
    }
}

fn fault(path: &Path, refusal: Refusal) -> ContainerError {
    match refusal {
        Refusal::Io(error) => refuse(path, &error.to_string(), "check the free space and the permissions"),
        Refusal::Stream(what) => refuse(path, &what, "begin with a key frame and write whole temporal units"),
    }
}
