//! Encoders that are installed programs, each in its setting for live calls, with one thread and no look at later frames.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use super::codec::{Clip, Run, judge};
use crate::cpu::child_cpu_seconds;

/// One program.
pub struct Peer {
    pub name: &'static str,
    pub program: &'static str,
    pub package: &'static str,
    /// Ending of what it writes.
    ending: &'static str,
    /// Arguments, with `{in}`, `{out}`, `{kbps}` and `{frames}` to be filled in.
    args: &'static str,
}

pub const PEERS: &[Peer] = &[
    Peer {
        name: "aomenc",
        program: "aomenc",
        package: "aom-tools",
        ending: "ivf",
        args: "--rt --cpu-used=9 --end-usage=cbr --lag-in-frames=0 --threads=1 --target-bitrate={kbps} --kf-max-dist=9999 --limit={frames} --quiet --ivf -o {out} {in}",
    },
    Peer {
        name: "SVT-AV1",
        program: "SvtAv1EncApp",
        package: "svt-av1",
        ending: "ivf",
        args: "--preset 12 --rc 2 --pred-struct 1 --lp 1 --keyint -1 --tbr {kbps} --progress 0 -n {frames} -b {out} -i {in}",
    },
    Peer {
        name: "x264",
        program: "ffmpeg",
        package: "ffmpeg",
        ending: "h264",
        args: "-v error -y -i {in} -frames:v {frames} -c:v libx264 -preset veryfast -tune zerolatency -threads 1 -g 9999 -b:v {kbps}k -maxrate {kbps}k -bufsize {kbps}k {out}",
    },
];

/// Where a program lies, if it is installed.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Runs `peer` on the clip and judges what it wrote. Its time holds its start and the reading of the clip.
pub fn run(peer: &Peer, program: &Path, clip: &Clip, kbps: u32, folder: &Path) -> anyhow::Result<Run> {
    let out = folder.join(format!("peer.{}", peer.ending));
    let fill = |word: &str| match word {
        "{in}" => clip.file.clone().into_os_string(),
        "{out}" => out.clone().into_os_string(),
        word => word.replace("{kbps}", &kbps.to_string()).replace("{frames}", &clip.pictures.len().to_string()).into(),
    };
    let (start, cpu) = (Instant::now(), child_cpu_seconds());
    let done = Command::new(program)
        .args(peer.args.split(' ').map(fill))
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
    Ok(Run { wall, cpu, bytes, quality })
}
