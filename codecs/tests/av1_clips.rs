//! Real clips decode on every judge to the reconstruction, at fixed quantizers and at bitrates.

mod av1_support;
mod encoder_support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use conclave_codecs::{Color, Config, Picture, Size, Target};
use encoder_support::Session;

const FRAMES: usize = 20;

/// A file of the test media; says so where it is absent.
fn media(name: &str) -> Option<PathBuf> {
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
fn pictures(path: &Path, size: Size) -> Vec<Picture> {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-i"]).arg(path);
    command.args(["-frames:v", &FRAMES.to_string(), "-vf", &format!("scale={}:{}", size.width, size.height)]);
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
    assert_eq!(pictures.len(), FRAMES, "{}: {}", path.display(), String::from_utf8_lossy(&output.stderr));
    pictures
}

#[test]
fn clips_decode_to_the_reconstruction() {
    let targets = [Target::Quantizer(60), Target::Quantizer(200), Target::Bitrate(150_000), Target::Bitrate(1_500_000)];
    for (name, size) in [("foreman_cif_300f.264", Size::new(352, 288)), ("asl_A_help.mkv", Size::new(352, 264))] {
        let Some(path) = media(name) else { continue };
        let pictures = pictures(&path, size);
        for target in targets {
            let mut session = Session::open(Config { size, target, ..Config::default() });
            for picture in &pictures {
                session.push(picture, false);
            }
            session.judge();
        }
    }
}
