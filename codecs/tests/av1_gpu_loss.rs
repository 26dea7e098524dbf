//! A GPU that is lost in mid-stream: the twin goes on with the same references, without a key frame.

mod av1_support;
mod encoder_support;
mod gpu_support;

use av1_support::judge::{InProcess, Stream, programs};
use conclave_codecs::av1::encoder::Encoder;
use conclave_codecs::{Color, Config, FrameInput, GpuPicture, Picture, Size, Target, VideoEncoder};
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

#[test]
fn a_command_that_the_device_refuses_ends_in_a_sentence_and_the_twin() {
    let Some(context) = gpu_support::open() else { return };
    let size = Size::new(66, 50);
    let mut encoder = Encoder::open_on(&context, Config { size, ..Config::default() }).expect("opens");
    let mut scene = Scene::new(5, 3);
    let mut made = 0;
    for n in 0..6 {
        encoder.submit(&scene.picture(size, n), FrameInput { frame: n as u64, keyframe: false }).expect("agreed");
        made += usize::from(encoder.poll(&mut Vec::new()).expect("a frame or none").is_some());
        if n == 2 {
            // A buffer larger than any device takes: an error that nobody waits for.
            let _ = context.gpu().device.create_buffer(&conclave_shaders::wgpu::BufferDescriptor {
                label: Some("nobody's"),
                size: 1 << 60,
                usage: conclave_shaders::wgpu::BufferUsages::STORAGE,
                mapped_at_creation: false,
            });
        }
    }
    assert_eq!(made, 6);
    let device = encoder.info().device;
    assert!(device.starts_with("cpu, as ") && device.contains("open it anew or use the CPU"), "{device}");
    // What cannot be opened says so and names the way out.
    let error = Encoder::open_on(&context, Config { size, ..Config::default() }).err().expect("refused");
    assert!(error.to_string().contains("the GPU was lost or failed"), "{error}");
}

#[test]
fn a_picture_that_was_submitted_ahead_survives() {
    let Some(context) = gpu_support::open() else { return };
    let size = Size::new(66, 50);
    let mut encoder = Encoder::open_on(&context, Config { size, ..Config::default() }).expect("opens");
    let (mut judge, mut scene) = (InProcess::new(), Scene::new(6, 3));
    let mut shown = Picture::new(size, Color::default());
    let input = |n: usize| FrameInput { frame: n as u64, keyframe: false };
    encoder.submit(&scene.picture(size, 0), input(0)).expect("the first");
    for n in 0..6 {
        if n < 5 && encoder.gpu().is_some() {
            encoder.submit(&scene.picture(size, n + 1), input(n + 1)).expect("one ahead");
        } else if n > 4 {
            encoder.submit(&scene.picture(size, n), input(n)).expect("the next");
        }
        if n == 3 {
            context.gpu().device.destroy();
        }
        let mut unit = Vec::new();
        let info = encoder.poll(&mut unit).expect("a frame").expect("none is lost");
        assert_eq!((info.frame, info.keyframe), (n as u64, n == 0));
        assert!(encoder.reconstruction(&mut shown));
        judge.check(&unit, &shown).unwrap_or_else(|failure| panic!("{failure}"));
    }
    assert!(encoder.gpu().is_none());
}

#[test]
fn a_picture_that_lay_on_the_device_is_counted_and_its_key_frame_made_up_for() {
    for keyframe in [false, true] {
        let Some(context) = gpu_support::open() else { return };
        let size = Size::new(66, 50);
        let usage = conclave_shaders::wgpu::BufferUsages::COPY_SRC;
        let planes = context.gpu().buffer("picture", size.i420_len() as u64, usage).expect("memory");
        let mut encoder = Encoder::open_on(&context, Config { size, ..Config::default() }).expect("opens");
        let mut scene = Scene::new(6, 3);
        for n in 0..6 {
            let (picture, input) =
                (scene.picture(size, n), FrameInput { frame: n as u64, keyframe: keyframe && n == 3 });
            if encoder.gpu().is_some() {
                context.gpu().upload(&planes, picture.data()).expect("room");
                let there = GpuPicture { planes: &planes, size, color: picture.color };
                encoder.submit_gpu(&there, input).expect("on the device");
            } else {
                encoder.submit(&picture, input).expect("agreed");
            }
            if n == 3 {
                context.gpu().device.destroy();
            }
            let info = encoder.poll(&mut Vec::new()).expect("a frame or none");
            assert_eq!(info.is_none(), n == 3, "frame {n}");
            assert!(info.is_none_or(|info| info.keyframe == (n == 0 || keyframe && n == 4)), "frame {n}");
        }
        assert_eq!(encoder.dropped(), 1);
    }
}
