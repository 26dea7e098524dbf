//! Real clips decode on every judge to the reconstruction, at fixed quantizers and at bitrates.

mod av1_support;
mod encoder_support;

use conclave_codecs::{Config, Size, Target};
use encoder_support::{Session, media, pictures};

const FRAMES: usize = 20;

#[test]
fn clips_decode_to_the_reconstruction() {
    let targets = [Target::Quantizer(60), Target::Quantizer(200), Target::Bitrate(150_000), Target::Bitrate(1_500_000)];
    for (name, size) in [("foreman_cif_300f.264", Size::new(352, 288)), ("asl_A_help.mkv", Size::new(352, 264))] {
        let Some(path) = media(name) else { continue };
        let pictures = pictures(&path, size, FRAMES);
        for target in targets {
            let mut session = Session::open(Config { size, target, ..Config::default() });
            for picture in &pictures {
                session.push(picture, false);
            }
            session.judge();
        }
    }
}
