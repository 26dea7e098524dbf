//! Encoders come and go on one context and leave nothing behind. The only test of this program, so that no other's
//! buffers are counted.

mod av1_support;
mod encoder_support;
mod gpu_support;

use conclave_codecs::av1::encoder::Encoder;
use conclave_codecs::{Color, Config, FrameInput, Picture, Size, Target, VideoEncoder};
use encoder_support::Scene;
use gpu_support::context;

#[test]
fn a_hundred_encoders_leave_nothing_behind() {
    let Some(context) = context() else { return };
    let live = || context.gpu().device.get_internal_counters();
    let mut random = fastrand::Rng::with_seed(100);
    let mut scene = Scene::new(8, 4);
    let mut shown = Picture::new(Size::new(1, 1), Color::default());
    let mut after_first = None;
    for n in 0..100 {
        let size = Size::new(random.u32(16..=150), random.u32(16..=120));
        let config = Config { size, target: Target::Quantizer(random.u8(1..=255)), ..Config::default() };
        let mut encoder = Encoder::open_on(&context, config).unwrap_or_else(|error| panic!("{size}: {error}"));
        for frame in 0..2 {
            encoder
                .submit(&scene.picture(size, frame), FrameInput { frame: frame as u64, keyframe: false })
                .expect("agreed");
            let mut unit = Vec::new();
            assert!(encoder.poll(&mut unit).expect("a frame").is_some(), "{size}");
        }
        assert!(encoder.reconstruction(&mut shown) && encoder.gpu().is_some(), "{size}");
        drop(encoder);
        let _ = context.gpu().device.poll(conclave_shaders::wgpu::PollType::wait_indefinitely());
        let buffers = live().hal.buffers.read();
        if n >= 3 {
            assert!(buffers > 0, "they are counted");
            assert_eq!(buffers, *after_first.get_or_insert(buffers), "{n}");
        }
    }
}
