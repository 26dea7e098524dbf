//! Frame N comes out, and decodes, before frame N + 1 goes in.

mod av1_support;
mod encoder_support;

use conclave_codecs::{Session as For, Size, open_encoder};
use encoder_support::{Scene, Session, fixed};

#[test]
fn three_hundred_frames_come_out_before_the_next_goes_in() {
    let size = Size::new(96, 64);
    assert_eq!(open_encoder("cpu", fixed(size, 90), For::Live).expect("a live session takes it").max_lag(), 0);
    let (mut scene, mut session) = (Scene::new(1, 3), Session::open(fixed(size, 90)));
    assert_eq!(session.encoder.max_lag(), 0);
    assert_eq!(session.encoder.info().max_lag, 0);
    for n in 0..300 {
        let info = session.push(&scene.picture(size, n), false).expect("a frame for each picture");
        assert_eq!((info.frame, info.keyframe), (n as u64, n == 0));
    }
    session.judge();
}

#[test]
fn a_picture_is_refused_while_the_frame_before_was_not_taken() {
    let size = Size::new(32, 32);
    let (mut scene, mut session) = (Scene::new(2, 0), Session::open(fixed(size, 90)));
    let picture = scene.picture(size, 0);
    let input = |frame| conclave_codecs::FrameInput { frame, keyframe: false };
    session.encoder.submit(&picture, input(0)).expect("the first");
    let error = session.encoder.submit(&picture, input(1)).expect_err("one at a time").to_string();
    assert!(error.contains("not taken") && error.contains("poll after each"), "{error}");
    let mut unit = Vec::new();
    assert_eq!(session.encoder.poll(&mut unit).expect("a frame").expect("a frame").frame, 0);
    let error = session.encoder.submit(&picture, input(0)).expect_err("numbers rise").to_string();
    assert!(error.contains("0 does not follow"), "{error}");
    session.encoder.submit(&picture, input(1)).expect("the second");
    session.encoder.flush().expect("no more");
    assert_eq!(session.encoder.poll(&mut unit).expect("a frame").expect("a frame").frame, 1);
    let error = session.encoder.submit(&picture, input(2)).expect_err("flushed").to_string();
    assert!(error.contains("after the flush"), "{error}");
}
