//! The number of threads changes no bit of what comes out.

mod av1_support;
mod encoder_support;

use conclave_codecs::{Config, Size, Target};
use encoder_support::{Scene, Session};

#[test]
fn any_number_of_threads_makes_the_same_frames() {
    for (size, target, frames) in [
        (Size::new(322, 182), Target::Bitrate(200_000), 24),
        (Size::new(35, 21), Target::Quantizer(60), 12),
        // Two tiles, then four.
        (Size::new(800, 640), Target::Quantizer(160), 3),
        (Size::new(1281, 1027), Target::Bitrate(2_000_000), 3),
    ] {
        let units = [1, 2, 3, 8].map(|threads| {
            let mut session = Session::open(Config { size, target, threads, ..Config::default() });
            let mut scene = Scene::new(41, 3);
            for n in 0..frames {
                session.push(&scene.picture(size, n), n == frames / 2);
            }
            session.stream.units
        });
        assert!(units.iter().all(|other| *other == units[0]), "{size} at {target:?}");
    }
}
