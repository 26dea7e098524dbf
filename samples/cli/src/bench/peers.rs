//! Encoders that are installed programs, each in its setting for live calls, with one thread and no look at later frames.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use super::codec::{Aim, Clip, Run, judge};
use crate::cpu::child_cpu_seconds;

/// One program.
pub struct Peer {
    pub name: &'static str,
    pub program: &'static str,
    pub package: &'static str,
    /// Ending of what it writes.
    ending: &'static str,
    /// Later frames that it waits for in these settings, where its documentation says so.
    pub lag: Option<u32>,
    /// Arguments, with `{in}`, `{out}`, `{frames}` and `{how}`, which is one of the next two, to be filled in.
    args: &'static str,
    /// Those that set a rate, with `{aim}`.
    rate: &'static str,
    /// Those that fix the quantizer, with `{aim}` on libaom's scale; empty where it is not asked for that.
    quantizer: &'static str,
}

impl Peer {
    /// Whether it can be told to aim so.
    pub fn takes(&self, aim: Aim) -> bool {
        matches!(aim, Aim::Rate(_)) || !self.quantizer.is_empty()
    }
}

pub const PEERS: &[Peer] = &[
    Peer {
        name: "aomenc",
        program: "aomenc",
        package: "aom-tools",
        ending: "ivf",
        lag: Some(0),
        args: "--rt --cpu-used=9 {how} --lag-in-frames=0 --threads=1 --kf-max-dist=9999 --limit={frames} --quiet --ivf -o {out} {in}",
        rate: "--end-usage=cbr --target-bitrate={aim}",
        quantizer: "--end-usage=q --aq-mode=0 --cq-level={aim}",
    },
    Peer {
        name: "SVT-AV1",
        program: "SvtAv1EncApp",
        package: "svt-av1",
        ending: "ivf",
        lag: None,
        args: "{how} --preset 12 --pred-struct 1 --lp 1 --keyint -1 --progress 0 -n {frames} -b {out} -i {in}",
        rate: "--rc 2 --tbr {aim}",
        quantizer: "",
    },
    Peer {
        name: "x264",
        program: "ffmpeg",
        package: "ffmpeg",
        ending: "h264",
        lag: Some(0),
        args: "-v error -y -i {in} -frames:v {frames} -c:v libx264 -preset veryfast -tune zerolatency -threads 1 -g 9999 {how} {out}",
        rate: "-b:v {aim}k -maxrate {aim}k -bufsize {aim}k",
        quantizer: "",
    },
];

/// Where a program lies, if it is installed.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Runs `peer` on the clip and judges what it wrote. Its time holds its start and the reading of the clip.
pub fn run(peer: &Peer, program: &Path, clip: &Clip, aim: Aim, folder: &Path) -> anyhow::Result<Run> {
    let out = folder.join(format!("peer.{}", peer.ending));
    let (aiming, number) = match aim {
        Aim::Rate(kbps) => (peer.rate, kbps.to_string()),
        Aim::Quantizer(level) => (peer.quantizer, level.to_string()),
    };
    let fill = |word: &str| match word {
        "{in}" => clip.file.clone().into_os_string(),
        "{out}" => out.clone().into_os_string(),
        word => word.replace("{aim}", &number).replace("{frames}", &clip.pictures.len().to_string()).into(),
    };
    let (start, cpu) = (Instant::now(), child_cpu_seconds());
    let done = Command::new(program)
        .args(peer.args.replace("{how}", aiming).split(' ').map(fill))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()?;
    let (wall, cpu) = (start.elapsed().as_secs_f64(), child_cpu_seconds() - cpu);
    let said = String::from_utf8_lossy(&done.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no word").trim();
    anyhow::ensure!(done.status.success(), "{} stopped with {}: {last}", program.display(), done.status);
    let quality = judge(clip, &out)?;
    let frames = clip.pictures.len() as u64;
    anyhow::ensure!(quality.frames == frames, "{} of {frames} frames came back", quality.frames);
    let headers = if peer.ending == "ivf" { 32 + 12 * frames } else { 0 };
    let bytes = std::fs::metadata(&out)?.len().saturating_sub(headers);
    std::fs::remove_file(&out)?;
    Ok(Run { wall, cpu, bytes, frames, quality })
}
