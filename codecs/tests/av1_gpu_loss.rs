//! A GPU that is lost in mid-stream: the twin goes on with the same references, without a key frame.

mod av1_support;
mod encoder_support;
mod gpu_support;

use av1_support::judge::{InProcess, Stream, programs};
use conclave_codecs::av1::encoder::Encoder;
use conclave_codecs::{Color, Config, FrameInput, Picture, Size, Target, VideoEncoder};
use encoder_support::Scene;

/// When the device is destroyed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// Before a picture is submitted.
    Before(u64),
    /// Between submitting and polling.
    Between(u64),
    /// After a frame was polled.
    After(u64),
}

const FRAMES: u64 = 24;

/// Encodes a scene and destroys the device at some moment.
fn lose(moment: Moment) -> bool {
    let Some(context) = gpu_support::open() else { return false };
    let size = Size::new(98, 66);
    let config = Config { size, target: Target::Bitrate(150_000), ..Config::default() };
    let mut encoder = Encoder::open_on(&context, config).expect("opens");
    let (mut judge, mut scene) = (InProcess::new(), Scene::new(5, 3));
    let mut stream = Stream { ceiling: size, units: Vec::new(), pictures: Vec::new() };
    let destroy = || context.gpu().device.destroy();
    let mut missing = 0;
    for n in 0..FRAMES {
        if matches!(moment, Moment::Before(at) if at == n) {
            destroy();
        }
        encoder.submit(&scene.picture(size, n as usize), FrameInput { frame: n, keyframe: false }).expect("agreed");
        if matches!(moment, Moment::Between(at) if at == n) {
            destroy();
        }
        let mut unit = Vec::new();
        match encoder.poll(&mut unit).expect("a frame or none") {
            Some(info) => {
                assert_eq!(info.keyframe, n == 0, "{moment:?}: frame {n}");
                let mut shown = Picture::new(Size::new(1, 1), Color::default());
                // A device that is gone shows nothing; what dav1d shows is then compared by the programs.
                let lost = matches!(moment, Moment::Between(at) if at == n) && encoder.gpu().is_some();
                assert!(encoder.reconstruction(&mut shown) || lost, "{moment:?}: frame {n}");
                judge.check(&unit, &shown).unwrap_or_else(|failure| panic!("{moment:?}: {failure}"));
                stream.units.push(unit);
                stream.pictures.push(shown);
            }
            None => missing += 1,
        }
        if matches!(moment, Moment::After(at) if at == n) {
            destroy();
        }
    }
    assert!(encoder.gpu().is_none(), "{moment:?}");
    assert!(encoder.info().device.starts_with("cpu, as "), "{moment:?}: {}", encoder.info().device);
    let traffic = encoder.traffic().expect("it was on the GPU");
    assert!(traffic.frames < FRAMES, "{moment:?}: {traffic:?}");
    assert_eq!(missing, 0, "{moment:?}: rate control keeps all of these, and each picture is on the host");
    programs(&stream).unwrap_or_else(|failure| panic!("{moment:?}: {failure}"));
    true
}

#[test]
fn the_stream_goes_on_without_a_key_frame_wherever_the_device_is_lost() {
    let moments = [
        Moment::Before(0),
        Moment::Between(0),
        Moment::After(0),
        Moment::Before(1),
        Moment::Between(3),
        // A checkpoint is on its way, has just arrived, is old.
        Moment::After(8),
        Moment::Between(9),
        Moment::Before(15),
        Moment::Between(20),
        Moment::After(23 - 1),
    ];
    for moment in moments {
        if !lose(moment) {
            return;
        }
    }
}
