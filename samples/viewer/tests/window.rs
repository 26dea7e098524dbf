//! The real window on a private display: what it wrote and what the display shows of it have the right colours, and what
//! cannot be shown is said in a sentence. The screenshots stay in the target folder.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use conclave::codecs::Size;
use conclave_viewer::bars::farthest;
use conclave_viewer::layout::{Rect, fit, layout};

const WINDOW: Size = Size::new(640, 400);

#[test]
fn the_window_shows_the_bars_within_three_levels_in_every_matrix_and_range() {
    let Some(display) = Display::start() else { return };
    for (matrix, range) in [("601", "limited"), ("601", "full"), ("709", "limited"), ("709", "full")] {
        let shot = artefact(&format!("bars-{matrix}-{range}.png"));
        let arguments = ["--pattern", "bars", "--people", "1", "--matrix", matrix, "--range", range];
        let viewer = display.viewer(&arguments, &shot);
        let written = pixels(&shot, WINDOW);
        // Oneself is mirrored: the bars stand the other way round, so they are turned back for judging.
        let at = fit(layout(WINDOW, 1).tiles[0], Size::new(320, 180));
        let off = farthest(&mirrored(&written, at), WINDOW.width as usize, at);
        assert!(off <= 3.0, "{matrix} {range}: the screenshot is {off} levels off");
        let Some(seen) = display.grab() else { continue };
        let off_screen = farthest(&mirrored(&seen, at), WINDOW.width as usize, at);
        assert!(off_screen <= 3.0, "{matrix} {range}: the display is {off_screen} levels off");
        println!("{matrix} {range}: {off:.2} levels in the screenshot, {off_screen:.2} on the display");
        viewer.end();
    }
}

#[test]
fn a_meeting_is_shown_and_its_figures_are_told() {
    let Some(display) = Display::start() else { return };
    // A slow machine takes its time to draw at first.
    let seen = ["6", "30", "120"].into_iter().any(|seconds| shows_a_meeting(&display, seconds));
    assert!(seen, "not every tile has a picture");
}

/// Whether every tile of a meeting of so many seconds has a picture.
fn shows_a_meeting(display: &Display, seconds: &str) -> bool {
    let shot = artefact("meeting.png");
    let mut command = display.command(&["--people", "4", "--seconds", seconds, "--fps", "10", "--ledger"], &shot);
    let output = command.output().expect("it ran");
    let (told, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    println!("{}", told.trim());
    let shown: u64 = told.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
    let written = pixels(&shot, WINDOW);
    // A tile that is empty has one colour.
    let colors = layout(WINDOW, 4).tiles.into_iter().map(|tile| {
        let row = (tile.y + tile.h / 2.0) as usize * WINDOW.width as usize;
        let row = &written[4 * (row + tile.x as usize)..4 * (row + tile.right() as usize)];
        row.chunks_exact(4).collect::<std::collections::HashSet<_>>().len()
    });
    shown > 4 && told.contains("capture to screen: p50") && colors.into_iter().all(|colors| colors > 16)
}

#[test]
fn without_a_display_or_with_a_wrong_word_it_says_what_to_do() {
    let viewer = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_viewer"));
        let command =
            command.args(arguments).env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY").env_remove("WAYLAND_SOCKET");
        command.output().expect("it ran")
    };
    let said = |output: Output| (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned());
    let (code, text) = said(viewer(&[]));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.starts_with("viewer: no window opens here") && text.contains("xvfb-run"), "{text}");
    assert!(!text.contains("panicked") && !text.contains(".rs:"), "{text}");
    for arguments in [["--size", "3x3"], ["--size", "wide"], ["--matrix", "240m"]] {
        let (code, text) = said(viewer(&arguments));
        assert_eq!(code, Some(2), "{text}");
    }
}

#[test]
fn what_cannot_be_shown_is_a_sentence() {
    let Some(display) = Display::start() else { return };
    for arguments in [["--people", "0"], ["--people", "50"], ["--fps", "0"], ["/nowhere/at/all.ivf", "--ledger"]] {
        let output = display.command(&arguments, &artefact("never.png")).output().expect("it ran");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{text}");
        // Drivers may say something of their own before.
        assert!(text.lines().any(|line| line.starts_with("viewer: ")) && !text.contains("panicked"), "{text}");
    }
}

/// A display of the test's own.
struct Display {
    server: Child,
    name: String,
}

impl Display {
    /// `None`, said aloud, where there is no server for it or no adapter to draw with.
    fn start() -> Option<Self> {
        if conclave_viewer::device::Graphics::open(&conclave_viewer::device::instance(), None).is_err() {
            println!("skipped: no Vulkan adapter");
            return None;
        }
        // It picks a free number by itself and writes it to its standard output. Without `-noreset` it begins anew when
        // its last client goes, and turns away one that comes meanwhile: the next viewer.
        let mut server = Command::new("Xvfb");
        server.args(["-displayfd", "1", "-screen", "0", "800x600x24", "-nolisten", "tcp", "-noreset"]);
        let Ok(mut server) = server.stdout(Stdio::piped()).stderr(Stdio::null()).spawn() else {
            println!("skipped: Xvfb is not installed");
            return None;
        };
        let mut number = String::new();
        let read = server.stdout.take().map(|out| BufReader::new(out).read_line(&mut number));
        let display = Self { server, name: format!(":{}", number.trim()) };
        assert!(matches!(read, Some(Ok(1..))), "Xvfb did not say its number");
        Some(display)
    }

    fn command(&self, arguments: &[&str], shot: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_viewer"));
        let window = format!("{}x{}", WINDOW.width, WINDOW.height);
        command.args(arguments).args(["--window", &window, "--screenshot"]).arg(shot);
        command.env("DISPLAY", &self.name).env_remove("WAYLAND_DISPLAY").env_remove("WAYLAND_SOCKET");
        command
    }

    /// A viewer that has written its screenshot, and goes on.
    fn viewer(&self, arguments: &[&str], shot: &Path) -> Viewer {
        let mut viewer = Viewer(self.command(arguments, shot).spawn().expect("it started"));
        let begun = Instant::now();
        while !shot.exists() {
            assert!(viewer.0.try_wait().expect("it can be asked").is_none(), "the viewer ended before its screenshot");
            assert!(begun.elapsed() < Duration::from_secs(120), "no screenshot came");
            std::thread::sleep(Duration::from_millis(20));
        }
        viewer
    }

    /// What the display shows, as far as the window goes, by another program's eyes.
    fn grab(&self) -> Option<Vec<u8>> {
        let size = format!("{}x{}", WINDOW.width, WINDOW.height);
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-v", "error", "-f", "x11grab", "-draw_mouse", "0", "-video_size", &size, "-i", &self.name]);
        ffmpeg.args(["-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgba", "-"]).stdin(Stdio::null());
        let Ok(output) = ffmpeg.output() else {
            println!("skipped: ffmpeg is not installed, so the display itself is not looked at");
            return None;
        };
        assert_eq!(output.stdout.len(), 4 * WINDOW.area(), "{}", String::from_utf8_lossy(&output.stderr));
        Some(output.stdout)
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

struct Viewer(Child);

impl Viewer {
    fn end(mut self) {
        assert!(self.0.try_wait().expect("it can be asked").is_none(), "the viewer ended by itself");
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where a screenshot goes; that of an earlier run is gone.
fn artefact(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_file(&path);
    path
}

fn pixels(path: &Path, size: Size) -> Vec<u8> {
    let file = BufReader::new(std::fs::File::open(path).expect("it was written"));
    let mut reader = png::Decoder::new(file).read_info().expect("it is a PNG");
    let mut out = vec![0; 4 * size.area()];
    let info = reader.next_frame(&mut out).expect("it is whole");
    assert_eq!((info.width, info.height), (size.width, size.height));
    out
}

/// The picture with the pixels of `at` turned left to right.
fn mirrored(rgba: &[u8], at: Rect) -> Vec<u8> {
    let mut out = rgba.to_vec();
    let (left, right) = (at.x as usize, at.right() as usize);
    for row in out.as_chunks_mut::<4>().0.chunks_exact_mut(WINDOW.width as usize) {
        row[left..right].reverse();
    }
    out
}
