//! Everything else, through an installed `ffmpeg`: pictures and 16-bit samples in Matroska on a pipe, so that each keeps
//! its time in the file.
//!
//! Only local files are handed over, named as such, so that a playlist inside one cannot reach the network.

use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use super::error::{ContainerError, Result};
use super::input::Input;
use super::matroska::{self, Want};
use super::opus_head::OpusHead;
use super::{Units, VideoCodec, VideoInfo};
use crate::color::{Color, Matrix, Range};
use crate::picture::{Picture, Size};

/// What `ffprobe` says of a stream; empty where it is not installed.
#[derive(Default)]
struct Probe {
    matrix: Option<Matrix>,
    full: bool,
    channels: Option<u8>,
    opus: bool,
    /// Frames a second: in the mean, and those on whose grid all times lie.
    mean: Option<(u32, u32)>,
    grid: Option<(u32, u32)>,
}

/// Pictures of the first video stream, brought to 8-bit 4:2:0.
pub(super) struct Pictures {
    reader: matroska::Reader,
    info: VideoInfo,
    grid: (u32, u32),
    /// Time of the first picture.
    first: Option<u64>,
    bytes: Vec<u8>,
    path: String,
}

/// Opens the first video stream.
pub(super) fn video(path: &Path) -> Result<Pictures> {
    let probe = probe(path, "v:0")?.ok_or_else(|| nothing(path, "no video in it"))?;
    // The format with a j is the full range one; asked for the other, ffmpeg would squeeze the samples.
    let format = if probe.full { "yuvj420p" } else { "yuv420p" };
    // A time base of its own, else times are rounded to a frame rate that is guessed.
    let args = ["-map", "0:v:0", "-pix_fmt", format, "-c:v", "rawvideo", "-enc_time_base", "1:1000"];
    let found = matroska::Reader::open(spawn(path, &args)?, Want::Raw);
    let (reader, track) = match found {
        Ok(Some((reader, found))) => (reader, found.track),
        // Nothing came: what ffmpeg was given is at fault, and Matroska is none of the user's business.
        Ok(None) | Err(ContainerError::Damaged { .. }) => return Err(nothing(path, "ffmpeg found no picture in it")),
        Err(error) => return Err(error),
    };
    let unsupported = |what: String, hint: &str| {
        Err(ContainerError::Unsupported { path: path.display().to_string(), what, hint: hint.to_owned() })
    };
    if track.interlaced {
        return unsupported("interlaced video".to_owned(), "deinterlace it with `ffmpeg -vf yadif`");
    }
    let size = track.size.unwrap_or(Size::new(0, 0));
    if !super::sane_size(size) {
        return unsupported(format!("pictures of {size}"), "scale it down first");
    }
    let range = if probe.full { Range::Full } else { Range::Limited };
    let color = Color { matrix: probe.matrix.unwrap_or_else(|| super::usual_matrix(size)), range };
    let fps = probe.mean.or(track.fps).unwrap_or((30, 1));
    let info = VideoInfo { size, color, fps, frames: None, codec: VideoCodec::Raw, bit_depth: 8 };
    let grid = probe.grid.unwrap_or(fps);
    Ok(Pictures { reader, info, grid, first: None, bytes: Vec::new(), path: path.display().to_string() })
}

impl Pictures {
    pub(super) fn info(&self) -> &VideoInfo {
        &self.info
    }

    /// The next picture and its time in microseconds.
    pub(super) fn next(&mut self, out: &mut Picture) -> Result<Option<u64>> {
        self.bytes.clear();
        let Some(time) = self.reader.next(&mut self.bytes)? else { return Ok(None) };
        if self.bytes.len() != self.info.size.i420_len() {
            let what = format!("a picture of {} bytes where all are of {}", self.bytes.len(), self.info.size);
            return Err(ContainerError::Damaged { path: self.path.clone(), format: "video", what });
        }
        if out.size() != self.info.size {
            out.reset(self.info.size, self.info.color);
        }
        out.color = self.info.color;
        out.data_mut().copy_from_slice(&self.bytes);
        let first = *self.first.get_or_insert(time);
        Ok(Some(first + on_grid(time.saturating_sub(first), self.grid)))
    }
}

/// The pipe tells whole milliseconds; a time that is one of the rate's own but for that is made exact.
fn on_grid(us: u64, fps: (u32, u32)) -> u64 {
    let frame = u128::from(us) * u128::from(fps.0) + u128::from(fps.1) * 500_000;
    let exact = super::clock((frame / (u128::from(fps.1) * 1_000_000)) as u64, fps);
    let fine = u64::from(fps.0) <= 240 * u64::from(fps.1);
    if fine && exact.abs_diff(us) <= 1000 { exact } else { us }
}

/// The first audio stream.
pub(super) enum Audio {
    /// Opus as it is.
    Opus(matroska::Reader, OpusHead),
    /// Anything else.
    Samples(Samples),
}

/// Samples at 48 kHz, without gaps.
pub(super) struct Samples {
    reader: matroska::Reader,
    channels: u8,
    /// Time of the first sample in microseconds.
    start: u64,
    /// The block that is being given, from `at` on.
    block: Vec<u8>,
    at: usize,
}

/// Opens the first audio stream; `None` where there is none.
pub(super) fn audio(path: &Path) -> Result<Option<Audio>> {
    let Some(probe) = probe(path, "a:0")? else { return Ok(None) };
    if probe.opus
        && let Ok(Some((reader, found))) =
            matroska::Reader::open(spawn(path, &["-map", "0:a:0", "-c:a", "copy"])?, Want::Audio)
        && let Some(head) = found.opus
    {
        return Ok(Some(Audio::Opus(reader, head)));
    }
    let channels = probe.channels.unwrap_or(2).clamp(1, 2);
    let count = if channels == 1 { "1" } else { "2" };
    // Where the file's times leave a gap there is silence, so that what follows is heard in its time.
    let args = ["-map", "0:a:0", "-ac", count, "-ar", "48000", "-af", "aresample=async=1", "-c:a", "pcm_s16le"];
    let mut reader = match matroska::Reader::open(spawn(path, &args)?, Want::Pcm) {
        Ok(Some((reader, _))) => reader,
        // A stream without a sample.
        Ok(None) | Err(ContainerError::Damaged { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut block = Vec::new();
    let start = reader.next(&mut block)?.unwrap_or(0);
    Ok(Some(Audio::Samples(Samples { reader, channels, start, block, at: 0 })))
}

impl Samples {
    pub(super) fn channels(&self) -> u8 {
        self.channels
    }

    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// Appends up to `count` samples per channel; returns how many.
    pub(super) fn next(&mut self, count: usize, out: &mut Vec<i16>) -> Result<usize> {
        let width = 2 * usize::from(self.channels);
        let mut got = 0;
        while got < count {
            let whole = (self.block.len() - self.at) / width;
            if whole == 0 {
                self.block.clear();
                self.at = 0;
                match self.reader.next(&mut self.block)? {
                    Some(_) => continue,
                    None => break,
                }
            }
            let taken = whole.min(count - got);
            let bytes = &self.block[self.at..self.at + taken * width];
            out.extend(bytes.chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])));
            self.at += taken * width;
            got += taken;
        }
        Ok(got)
    }
}

/// The running program's output. An exit status other than 0 is an error at the end of the stream.
struct Output {
    child: Child,
    stdout: ChildStdout,
}

impl Read for Output {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.stdout.read(buf)?;
        if got == 0 && !buf.is_empty() {
            let status = self.child.wait()?;
            if !status.success() {
                return Err(io::Error::other(format!("ffmpeg stopped with {status}")));
            }
        }
        Ok(got)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(path: &Path, args: &[&str]) -> Result<Input> {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "quiet", "-protocol_whitelist", "file,pipe", "-copyts", "-i"]);
    command.arg(local(path)).args(args).args(["-f", "matroska", "-"]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut child = child.map_err(|e| absent(path, &e))?;
    let Some(stdout) = child.stdout.take() else { return Err(nothing(path, "ffmpeg gave no output")) };
    let output = io::BufReader::with_capacity(1 << 18, Output { child, stdout });
    Ok(Input::pipe(&path.display().to_string(), Box::new(output)))
}

/// Asks `ffprobe` about one stream. `None`: the file has no such stream.
fn probe(path: &Path, stream: &str) -> Result<Option<Probe>> {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-protocol_whitelist", "file,pipe", "-select_streams", stream]);
    command.args([
        "-show_entries",
        "stream=index,codec_name,color_space,color_range,channels,avg_frame_rate,r_frame_rate",
        "-of",
        "default=noprint_wrappers=1",
    ]);
    let Ok(output) = command.arg(local(path)).stdin(Stdio::null()).output() else {
        return Ok(Some(Probe::default()));
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().rev().find(|l| !l.is_empty()).unwrap_or("no reason given");
        let last = last.rsplit(": ").next().unwrap_or(last);
        return Err(nothing(path, &format!("ffmpeg cannot read it: {last}")));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let find = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    if find("index").is_none() {
        return Ok(None);
    }
    let matrix = match find("color_space") {
        Some("bt709") => Some(Matrix::Bt709),
        Some("smpte170m" | "bt470bg") => Some(Matrix::Bt601),
        Some("bt2020nc" | "bt2020c") => Some(Matrix::Bt2020),
        _ => None,
    };
    let rate = |key| {
        let (num, den) = find(key)?.split_once('/')?;
        Some((num.parse().ok()?, den.parse().ok()?)).filter(|fps| super::sane_fps(*fps))
    };
    Ok(Some(Probe {
        matrix,
        full: find("color_range") == Some("pc"),
        channels: find("channels").and_then(|n| n.parse().ok()),
        opus: find("codec_name") == Some("opus"),
        mean: rate("avg_frame_rate"),
        grid: rate("r_frame_rate"),
    }))
}

/// The path as a local file, whatever characters it holds.
fn local(path: &Path) -> std::ffi::OsString {
    let mut name = std::ffi::OsString::from("file:");
    name.push(path);
    name
}

fn nothing(path: &Path, what: &str) -> ContainerError {
    let hint = "give y4m, wav, Ogg Opus, AV1 in ivf, mkv, webm or mp4, or a file that ffmpeg reads".to_owned();
    ContainerError::Unsupported { path: path.display().to_string(), what: what.to_owned(), hint }
}

fn absent(path: &Path, error: &io::Error) -> ContainerError {
    ContainerError::Unsupported {
        path: path.display().to_string(),
        what: format!(
            "it is neither y4m, wav, Ogg Opus nor AV1 in ivf, mkv, webm or mp4, and ffmpeg did not start ({error})"
        ),
        hint: "install ffmpeg, or convert the file".to_owned(),
    }
}
