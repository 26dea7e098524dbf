//! Every size from 16x16 to 4096x2176, odd ones too, decodes to the reconstruction; others are refused with a sentence.

mod av1_support;
mod encoder_support;

use conclave_codecs::av1::encoder::Encoder;
use conclave_codecs::{Color, Config, FrameInput, Picture, Size};
use encoder_support::{Scene, Session, fixed};

fn run(sizes: &[(u32, u32, usize)]) {
    for &(width, height, frames) in sizes {
        let size = Size::new(width, height);
        let (mut scene, mut session) = (Scene::new(u64::from(width), 2), Session::open(fixed(size, 110)));
        for n in 0..frames {
            session.push(&scene.picture(size, n * 3), false).expect("no rate control, no drops");
        }
        session.judge();
    }
}

#[test]
fn usual_sizes_decode_to_the_reconstruction() {
    run(&[
        (16, 16, 6),
        (24, 40, 6),
        (64, 64, 6),
        (66, 50, 6),
        (130, 98, 6),
        (176, 144, 6),
        (322, 182, 4),
        (640, 360, 3),
        (1280, 720, 3),
    ]);
}

#[test]
fn odd_sizes_decode_to_the_reconstruction() {
    run(&[(17, 19, 6), (35, 21, 6), (16, 17, 6), (127, 65, 6), (129, 63, 6), (1921, 1081, 2)]);
}

#[test]
fn the_greatest_and_the_thinnest_decode_to_the_reconstruction() {
    run(&[(4096, 2176, 2), (4096, 16, 2), (16, 2176, 2), (4095, 17, 2), (17, 2175, 2)]);
}

#[test]
fn other_sizes_are_refused_with_a_sentence() {
    for (width, height) in [(15, 16), (16, 15), (0, 0), (1, 3000)] {
        let size = Size::new(width, height);
        let error = Encoder::open(fixed(size, 100)).err().expect("refused").to_string();
        assert!(error.contains(&format!("{size} is too small")) && error.contains("16x16"), "{error}");
    }
    for (width, height) in [(4097, 100), (100, 2177), (4097, 2177)] {
        let size = Size::new(width, height);
        let error = Encoder::open(fixed(size, 100)).err().expect("refused").to_string();
        assert!(error.contains(&format!("{size} is too large")) && error.contains("4096x2176"), "{error}");
    }
    assert!(Encoder::open(Config { size: Size::new(u32::MAX, u32::MAX), ..Config::default() }).is_err());
}

#[test]
fn a_picture_above_the_ceiling_is_refused_and_the_session_goes_on() {
    let ceiling = Size::new(64, 48);
    let (mut scene, mut session) = (Scene::new(4, 2), Session::open(fixed(ceiling, 100)));
    session.push(&scene.picture(ceiling, 0), false).expect("the first");
    for (width, height) in [(65, 48), (64, 49), (48, 64), (640, 360)] {
        let picture = Picture::new(Size::new(width, height), Color::default());
        let input = FrameInput { frame: session.next, keyframe: false };
        let error = session.encoder.submit(&picture, input).expect_err("refused").to_string();
        assert!(error.contains(&format!("{width}x{height} is above the 64x48")), "{error}");
    }
    for (width, height) in [(15, 16), (16, 15)] {
        let picture = Picture::new(Size::new(width, height), Color::default());
        let input = FrameInput { frame: session.next, keyframe: false };
        let error = session.encoder.submit(&picture, input).expect_err("refused").to_string();
        assert!(error.contains("too small"), "{error}");
    }
    let info = session.push(&scene.picture(ceiling, 1), false).expect("the second");
    assert!(!info.keyframe, "a refused picture leaves no trace");
    session.judge();
}
