//! Everything else, through an installed `ffmpeg`: pictures as y4m and samples as 16-bit PCM on a pipe.
//!
//! Only local files are handed over, named as such, so that a playlist inside one cannot reach the network.

use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use super::error::{ContainerError, Result};
use super::input::Input;
use super::y4m;
use crate::color::Matrix;

/// What `ffprobe` says of a stream; empty where it is not installed.
#[derive(Default)]
struct Probe {
    matrix: Option<Matrix>,
    full: bool,
    channels: Option<u8>,
}

/// Pictures of the first video stream, brought to 8-bit 4:2:0.
pub(super) fn video(path: &Path) -> Result<y4m::Reader> {
    let probe = probe(path, "v:0")?.ok_or_else(|| nothing(path, "no video in it"))?;
    // The format with a j is the full range one; asked for the other, ffmpeg would squeeze the samples.
    let format = if probe.full { "yuvj420p" } else { "yuv420p" };
    let args = ["-map", "0:v:0", "-pix_fmt", format, "-f", "yuv4mpegpipe", "-"];
    y4m::Reader::open(spawn(path, &args)?, probe.matrix).map_err(|error| match error {
        // Nothing came: what ffmpeg was given is at fault, and y4m is none of the user's business.
        ContainerError::Damaged { .. } => nothing(path, "ffmpeg found no picture in it"),
        error => error,
    })
}

/// Samples of the first audio stream at 48 kHz.
pub(super) struct Audio {
    input: Input,
    channels: u8,
}

/// Opens the first audio stream; `None` where there is none.
pub(super) fn audio(path: &Path) -> Result<Option<Audio>> {
    let Some(probe) = probe(path, "a:0")? else { return Ok(None) };
    let channels = probe.channels.unwrap_or(2).clamp(1, 2);
    let args = ["-map", "0:a:0", "-ac", if channels == 1 { "1" } else { "2" }, "-ar", "48000", "-f", "s16le", "-"];
    Ok(Some(Audio { input: spawn(path, &args)?, channels }))
}

impl Audio {
    pub(super) fn channels(&self) -> u8 {
        self.channels
    }

    /// Appends up to `count` samples per channel; returns how many.
    pub(super) fn next(&mut self, count: usize, out: &mut Vec<i16>) -> Result<usize> {
        let mut bytes = [0; 4];
        let width = 2 * usize::from(self.channels);
        for got in 0..count {
            if !self.input.fill(&mut bytes[..width], "a sample")? {
                return Ok(got);
            }
            out.extend(bytes[..width].chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])));
        }
        Ok(count)
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
    command.args(["-nostdin", "-v", "quiet", "-protocol_whitelist", "file,pipe", "-i"]);
    command.arg(local(path)).args(args);
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
        "stream=index,color_space,color_range,channels",
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
    Ok(Some(Probe {
        matrix,
        full: find("color_range") == Some("pc"),
        channels: find("channels").and_then(|n| n.parse().ok()),
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
