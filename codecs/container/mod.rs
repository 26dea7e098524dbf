//! Files in, files out: y4m, AV1 in ivf, Matroska, WebM, MP4 and bare OBU streams, wav, Opus in Ogg.
//!
//! What a file holds is told by its first bytes when it is read, and by its ending when it is written. Input of any
//! other kind goes through an installed `ffmpeg`. Damaged input costs one error and no memory: a length found in a
//! file is never allocated before its bytes came.

mod ebml;
mod error;
mod ffmpeg;
mod input;
mod ivf;
mod matroska;
mod matroska_write;
mod mp4;
pub mod obu;
mod ogg;
mod opus_head;
mod staged;
mod wav;
mod write;
mod y4m;

use std::collections::VecDeque;
use std::path::Path;

pub use error::{ContainerError, Result};
pub use input::Stream;
pub use opus_head::{OpusHead, packet_samples};
pub use wav::WavWriter;
pub use write::{VideoWriter, WriterConfig};

use crate::color::{Color, Matrix};
use crate::picture::{Picture, Size};
use input::Input;
use matroska::Want;
use obu::SequenceHeader;

/// Largest temporal unit or packet, in bytes.
pub const MAX_UNIT: usize = 64 << 20;

/// Most luma samples of a picture.
pub const MAX_AREA: usize = 8192 * 8192;

/// How the frames of a source are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum VideoCodec {
    /// Pictures: [`VideoSource::next_raw`].
    Raw,
    /// AV1 temporal units: [`VideoSource::next_unit`].
    Av1,
}

/// What is known of a video before its first frame is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct VideoInfo {
    /// Size of the pictures; AV1 may change it on the way.
    pub size: Size,
    /// Matrix and range. Where the file leaves the matrix open it is BT.709 from 720 rows up and BT.601 below, which
    /// is what players take.
    pub color: Color,
    /// Frames a second, as a fraction.
    pub fps: (u32, u32),
    /// Frames in all, where the file says so.
    pub frames: Option<u64>,
    /// How the frames are coded.
    pub codec: VideoCodec,
    /// Bits a sample; pictures always have 8.
    pub bit_depth: u8,
}

/// The frames of a file, front to back.
pub struct VideoSource {
    name: String,
    info: VideoInfo,
    reader: Reader,
    hidden: bool,
}

enum Reader {
    Raw(Box<y4m::Reader>),
    Foreign(Box<ffmpeg::Pictures>),
    /// With the units that were read ahead.
    Av1(Box<dyn Units>, VecDeque<Ahead>),
}

/// A unit, its time, and whether it is hidden.
type Ahead = (Vec<u8>, u64, bool);

/// Opens a video; `-` is standard input (y4m, ivf, Matroska, OBU).
pub fn open_video(path: &Path) -> Result<VideoSource> {
    match VideoSource::read(Input::open(path)?) {
        // Only a file can be handed to another program.
        Err(error) if path.is_file() && foreign(&error) => {
            ffmpeg::video(path).map(VideoSource::foreign).map_err(|other| preferred(error, other))
        }
        outcome => outcome,
    }
}

/// Opens a video through `ffmpeg`, whatever it holds: pictures come out as 8-bit 4:2:0.
pub fn open_video_converted(path: &Path) -> Result<VideoSource> {
    ffmpeg::video(path).map(VideoSource::foreign)
}

impl VideoSource {
    /// Opens a video held in memory or behind any stream; `name` stands in its errors.
    pub fn from_stream(name: &str, stream: Box<dyn Stream>) -> Result<Self> {
        Self::read(Input::stream(name, stream)?)
    }

    /// What is known of the video.
    pub fn info(&self) -> &VideoInfo {
        &self.info
    }

    /// The next picture and its time in microseconds; `None` at the end.
    pub fn next_raw(&mut self, out: &mut Picture) -> Result<Option<u64>> {
        match &mut self.reader {
            Reader::Raw(reader) => reader.next(out),
            Reader::Foreign(reader) => reader.next(out),
            Reader::Av1(..) => Err(self.wrong("it holds AV1, not pictures", "decode it")),
        }
    }

    /// Appends the next AV1 temporal unit, its delimiter in front, to `out` and returns its time in microseconds;
    /// `None` at the end. Nothing is appended on an error.
    pub fn next_unit(&mut self, out: &mut Vec<u8>) -> Result<Option<u64>> {
        let Reader::Av1(reader, ahead) = &mut self.reader else {
            return Err(self.wrong("it holds pictures, not AV1", "encode it"));
        };
        if let Some((unit, time, hidden)) = ahead.pop_front() {
            out.extend_from_slice(&unit);
            self.hidden = hidden;
            return Ok(Some(time));
        }
        let time = unit(reader.as_mut(), out)?;
        self.hidden = reader.hidden();
        Ok(time)
    }

    /// The unit that came last is to be decoded and not shown: the file begins behind it.
    pub fn hidden(&self) -> bool {
        self.hidden
    }

    fn read(mut input: Input) -> Result<Self> {
        let head = input.head()?;
        let name = input.name().to_owned();
        let (reader, track): (Box<dyn Units>, Track) = match magic(&head) {
            Some(Format::Y4m) => return y4m::Reader::open(input).map(Self::raw),
            Some(Format::Ivf) => {
                let (reader, track) = ivf::Reader::open(input)?;
                (Box::new(reader), track)
            }
            Some(Format::Obu) => {
                let (reader, track) = obu::Reader::open(input)?;
                (Box::new(reader), track)
            }
            Some(Format::Matroska) => match matroska::Reader::open(input, Want::Video)? {
                Some((reader, found)) => (Box::new(reader), found.track),
                None => return Err(no_video(name, "it holds no video track")),
            },
            Some(Format::Mp4) if input.seekable() => match mp4::Reader::open(input, Want::Video)? {
                Some((reader, found)) => (Box::new(reader), found.track),
                None => return Err(no_video(name, "it holds no video track")),
            },
            Some(Format::Mp4) => return Err(input.unsupported("MP4 on a pipe", "give it as a file")),
            Some(Format::Wav | Format::Ogg) => return Err(no_video(name, "it holds sound")),
            None => return Err(unknown(&input, &head)),
        };
        Self::av1(name, reader, track)
    }

    fn raw(reader: y4m::Reader) -> Self {
        let info = *reader.info();
        Self { name: String::new(), info, reader: Reader::Raw(Box::new(reader)), hidden: false }
    }

    fn foreign(reader: ffmpeg::Pictures) -> Self {
        let info = *reader.info();
        Self { name: String::new(), info, reader: Reader::Foreign(Box::new(reader)), hidden: false }
    }

    /// Reads far enough ahead to know size, colour and rate.
    fn av1(name: String, mut reader: Box<dyn Units>, track: Track) -> Result<Self> {
        let damaged = |what: String| ContainerError::Damaged { path: name.clone(), format: "video", what };
        let mut ahead = VecDeque::new();
        let mut first = Vec::new();
        match unit(reader.as_mut(), &mut first)? {
            Some(time) => ahead.push_back((first, time, reader.hidden())),
            None => return Err(damaged("it holds no frame".to_owned())),
        }
        // Containers may keep the sequence header to themselves.
        let head = ahead.iter_mut().next().map(|(unit, ..)| unit);
        let mut header = None;
        if let Some(unit) = head {
            if SequenceHeader::find(unit).is_none() && SequenceHeader::find(&track.config).is_some() {
                let at = if unit.starts_with(&obu::DELIMITER) { obu::DELIMITER.len() } else { 0 };
                unit.splice(at..at, track.config.iter().copied());
            }
            header = SequenceHeader::find(unit);
        }
        let header = header.ok_or_else(|| damaged("its first frame has no AV1 sequence header".to_owned()))?;
        // The stream's own size holds; some containers state another.
        for size in track.size.into_iter().chain([header.size]) {
            if !sane_size(size) {
                return Err(damaged(format!("pictures of {size}")));
            }
        }
        let mut fps = track.fps.filter(|fps| sane_fps(*fps)).or(header.fps);
        if fps.is_none() {
            // The files that name no rate stamp in milliseconds at worst, so some frames are averaged.
            while ahead.len() < AHEAD && ahead.iter().map(|(unit, ..)| unit.len()).sum::<usize>() < MAX_UNIT {
                let mut bytes = Vec::new();
                let Some(time) = unit(reader.as_mut(), &mut bytes)? else { break };
                ahead.push_back((bytes, time, reader.hidden()));
            }
            let shown: Vec<u64> = ahead.iter().filter(|(.., hidden)| !hidden).map(|(_, time, _)| *time).collect();
            let (first, last) = (shown.first().map_or(0, |t| *t), shown.last().map_or(0, |t| *t));
            let steps = shown.len().saturating_sub(1).max(1) as f64;
            fps = fps_of(last.saturating_sub(first) as f64 / steps);
        }
        let info = VideoInfo {
            size: header.size,
            color: header.color(),
            fps: fps.unwrap_or((30, 1)),
            frames: track.frames,
            codec: VideoCodec::Av1,
            bit_depth: header.bit_depth,
        };
        Ok(Self { name, info, reader: Reader::Av1(reader, ahead), hidden: false })
    }

    fn wrong(&self, what: &str, hint: &str) -> ContainerError {
        ContainerError::Unsupported { path: self.name.clone(), what: what.to_owned(), hint: hint.to_owned() }
    }
}

/// How the sound of a source is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum AudioCodec {
    /// 16-bit samples: [`AudioSource::next_samples`].
    Pcm,
    /// Opus packets: [`AudioSource::next_packet`].
    Opus,
}

/// What is known of a sound before its first sample is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct AudioInfo {
    /// Samples a second; 48000 for Opus.
    pub rate: u32,
    /// 1 or 2.
    pub channels: u8,
    /// How it is coded.
    pub codec: AudioCodec,
    /// Samples to drop at the start.
    pub pre_skip: u16,
    /// Gain to apply, in units of 1/256 dB.
    pub gain: i16,
    /// Samples per channel, where the file says so.
    pub samples: Option<u64>,
    /// Time of the first sample within the file, in microseconds; of Opus its packets tell.
    pub start: u64,
}

/// The sound of a file, front to back.
pub struct AudioSource {
    info: AudioInfo,
    opus: Option<OpusHead>,
    reader: AudioReader,
}

enum AudioReader {
    Wav(wav::Reader),
    Ffmpeg(ffmpeg::Samples),
    Ogg(Box<ogg::Reader>),
    Packets(Box<dyn Units>),
}

/// Opens the sound of a file; `None` where it has none. Standard input (`-`) carries video alone.
pub fn open_audio(path: &Path) -> Result<Option<AudioSource>> {
    if path.as_os_str() == "-" {
        return Ok(None);
    }
    match AudioSource::read(Input::open(path)?) {
        Err(error) if path.is_file() && foreign(&error) => match ffmpeg::audio(path) {
            Ok(audio) => Ok(audio.map(AudioSource::foreign)),
            Err(other) => Err(preferred(error, other)),
        },
        outcome => outcome,
    }
}

impl AudioSource {
    /// Opens the sound of a file held in memory or behind any stream; `name` stands in its errors.
    pub fn from_stream(name: &str, stream: Box<dyn Stream>) -> Result<Option<Self>> {
        Self::read(Input::stream(name, stream)?)
    }

    /// What is known of the sound.
    pub fn info(&self) -> &AudioInfo {
        &self.info
    }

    /// The head of an Opus stream, for its packets to be written as they are; `None` for samples.
    pub fn opus_head(&self) -> Option<OpusHead> {
        self.opus
    }

    /// Appends up to `count` interleaved samples per channel and returns how many; 0 at the end.
    pub fn next_samples(&mut self, count: usize, out: &mut Vec<i16>) -> Result<usize> {
        match &mut self.reader {
            AudioReader::Wav(reader) => reader.next(count, out),
            AudioReader::Ffmpeg(reader) => reader.next(count, out),
            _ => Err(misuse("it holds Opus packets, not samples", "decode it")),
        }
    }

    /// Appends the next Opus packet to `out` and returns its time in microseconds, the pre-skip counted; `None` at
    /// the end.
    pub fn next_packet(&mut self, out: &mut Vec<u8>) -> Result<Option<u64>> {
        let start = out.len();
        let outcome = match &mut self.reader {
            AudioReader::Ogg(reader) => reader.next(out),
            AudioReader::Packets(reader) => reader.next(out),
            _ => Err(misuse("it holds samples, not Opus packets", "encode it")),
        };
        if outcome.is_err() {
            out.truncate(start);
        }
        outcome
    }

    /// Where the sound ends, in samples at 48 kHz with the pre-skip counted: Ogg says so with its last packet.
    pub fn end(&self) -> Option<u64> {
        match &self.reader {
            AudioReader::Ogg(reader) => reader.end(),
            _ => None,
        }
    }

    fn foreign(audio: ffmpeg::Audio) -> Self {
        match audio {
            ffmpeg::Audio::Opus(reader, head) => {
                Self { info: opus(head), opus: Some(head), reader: AudioReader::Packets(Box::new(reader)) }
            }
            ffmpeg::Audio::Samples(samples) => {
                let info = AudioInfo { start: samples.start(), ..pcm(48_000, samples.channels()) };
                Self { info, opus: None, reader: AudioReader::Ffmpeg(samples) }
            }
        }
    }

    fn read(mut input: Input) -> Result<Option<Self>> {
        let head = input.head()?;
        let packets = match magic(&head) {
            Some(Format::Y4m | Format::Ivf | Format::Obu) => return Ok(None),
            Some(Format::Wav) => {
                let reader = wav::Reader::open(input)?;
                let info = AudioInfo { samples: Some(reader.frames()), ..pcm(reader.rate(), reader.channels()) };
                return Ok(Some(Self { info, opus: None, reader: AudioReader::Wav(reader) }));
            }
            Some(Format::Ogg) if input.seekable() => {
                let reader = Box::new(ogg::Reader::open(input)?);
                let head = reader.head();
                return Ok(Some(Self { info: opus(head), opus: Some(head), reader: AudioReader::Ogg(reader) }));
            }
            Some(Format::Matroska) => matroska::Reader::open(input, Want::Audio)?
                .map(|(reader, found)| (Box::new(reader) as Box<dyn Units>, found.opus)),
            Some(Format::Mp4) if input.seekable() => mp4::Reader::open(input, Want::Audio)?
                .map(|(reader, found)| (Box::new(reader) as Box<dyn Units>, found.opus)),
            Some(Format::Ogg | Format::Mp4) => return Err(input.unsupported("sound on a pipe", "give it as a file")),
            None => return Err(unknown(&input, &head)),
        };
        Ok(packets.and_then(|(reader, head)| {
            Some(Self { info: opus(head?), opus: head, reader: AudioReader::Packets(reader) })
        }))
    }
}

/// Reads the frames of one track: temporal units or packets.
trait Units: Send {
    /// Appends the next one to `out` and returns its time in microseconds; `None` at the end.
    fn next(&mut self, out: &mut Vec<u8>) -> Result<Option<u64>>;

    /// The one that came last is to be decoded and not shown.
    fn hidden(&self) -> bool {
        false
    }
}

/// What a container says of its video; the stream itself says the rest.
#[derive(Default)]
struct Track {
    size: Option<Size>,
    fps: Option<(u32, u32)>,
    frames: Option<u64>,
    /// OBUs kept outside the frames.
    config: Vec<u8>,
    /// Frames hold two fields.
    interlaced: bool,
}

#[derive(Clone, Copy)]
enum Format {
    Y4m,
    Ivf,
    Obu,
    Matroska,
    Mp4,
    Wav,
    Ogg,
}

/// Tells a format by its first bytes.
fn magic(head: &[u8]) -> Option<Format> {
    match head {
        [b'Y', b'U', b'V', b'4', b'M', b'P', b'E', b'G', b'2', ..] => Some(Format::Y4m),
        [b'D', b'K', b'I', b'F', ..] => Some(Format::Ivf),
        // A temporal delimiter, then a sequence header with a size field.
        [0x12, 0x00, 0x0a, ..] => Some(Format::Obu),
        [0x1a, 0x45, 0xdf, 0xa3, ..] => Some(Format::Matroska),
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => Some(Format::Mp4),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..] => Some(Format::Wav),
        [b'O', b'g', b'g', b'S', ..] => Some(Format::Ogg),
        _ => None,
    }
}

/// Appends a temporal unit and sees to its delimiter; appends nothing on an error.
fn unit(reader: &mut dyn Units, out: &mut Vec<u8>) -> Result<Option<u64>> {
    let start = out.len();
    out.extend_from_slice(&obu::DELIMITER);
    let outcome = reader.next(out);
    if !matches!(outcome, Ok(Some(_))) {
        out.truncate(start);
    } else if out.get(start + 2).is_some_and(|first| first >> 3 & 15 == obu::TEMPORAL_DELIMITER) {
        out.drain(start..start + 2);
    }
    outcome
}

/// Another program may know better what this is.
fn foreign(error: &ContainerError) -> bool {
    matches!(error, ContainerError::Unsupported { .. } | ContainerError::Damaged { format: "MP4" | "wav", .. })
}

/// Of two errors the one that says more: damage found here, else what the other program said.
fn preferred(own: ContainerError, other: ContainerError) -> ContainerError {
    if matches!(own, ContainerError::Damaged { .. }) { own } else { other }
}

fn unknown(input: &Input, head: &[u8]) -> ContainerError {
    if head.is_empty() {
        return input.damaged("it is empty");
    }
    input.unsupported(
        "its first bytes name no known format",
        "give y4m, wav, Ogg Opus, or AV1 in ivf, mkv, webm or mp4; for other files install ffmpeg",
    )
}

fn no_video(path: String, what: &str) -> ContainerError {
    ContainerError::Unsupported { path, what: what.to_owned(), hint: "give a file with video".to_owned() }
}

fn misuse(what: &str, hint: &str) -> ContainerError {
    ContainerError::Unsupported { path: "sound".to_owned(), what: what.to_owned(), hint: hint.to_owned() }
}

fn pcm(rate: u32, channels: u8) -> AudioInfo {
    AudioInfo { rate, channels, codec: AudioCodec::Pcm, pre_skip: 0, gain: 0, samples: None, start: 0 }
}

fn opus(head: OpusHead) -> AudioInfo {
    let OpusHead { channels, pre_skip, gain, .. } = head;
    AudioInfo { rate: 48_000, channels, codec: AudioCodec::Opus, pre_skip, gain, samples: None, start: 0 }
}

/// The matrix that players take where a file names none.
fn usual_matrix(size: Size) -> Matrix {
    if size.height >= 720 { Matrix::Bt709 } else { Matrix::Bt601 }
}

fn sane_size(size: Size) -> bool {
    let area = u64::from(size.width) * u64::from(size.height);
    (1..=MAX_AREA as u64).contains(&area) && size.width.max(size.height) <= 65_535
}

fn check_size(input: &Input, size: Size) -> Result<()> {
    if sane_size(size) { Ok(()) } else { Err(input.damaged(format!("pictures of {size}"))) }
}

/// Above 0 and at most 1000 frames a second.
fn sane_fps((num, den): (u32, u32)) -> bool {
    num > 0 && den > 0 && u64::from(num) <= 1000 * u64::from(den)
}

/// Microseconds, where they stay below 100 years.
fn sane_time(us: u128) -> Option<u64> {
    (us < 100 * 366 * 86_400_000_000).then_some(us as u64)
}

/// Time of frame `n` at a constant rate, in microseconds.
fn clock(n: u64, (num, den): (u32, u32)) -> u64 {
    (u128::from(n) * 1_000_000 * u128::from(den) / u128::from(num)) as u64
}

/// The frame rate whose interval is nearest to `us`: a usual one within 1 %, else the exact quotient.
fn fps_of(us: f64) -> Option<(u32, u32)> {
    let usual = [24, 25, 30, 48, 50, 60, 90, 100, 120].map(|n| (n, 1)).into_iter().chain((1..=240).map(|n| (n, 1)));
    let ntsc = [(24_000, 1001), (30_000, 1001), (60_000, 1001), (120_000, 1001)];
    let error = |(num, den): &(u32, u32)| (1e6 * f64::from(*den) / f64::from(*num) / us - 1.0).abs();
    let (best, off) = usual.chain(ntsc).map(|fps| (fps, error(&fps))).min_by(|a, b| a.1.total_cmp(&b.1))?;
    if off < 0.01 {
        return Some(best);
    }
    let fps = (1_000_000, us.round().clamp(1.0, 4e9) as u32);
    (us > 0.0 && sane_fps(fps)).then_some(fps)
}

/// Units read ahead at most, where the rate must be told from the timestamps.
const AHEAD: usize = 31;
