//! The encoder on the GPU writes what the encoder on the CPU writes: the same decisions, reconstructions and bytes.

mod av1_support;
mod encoder_support;
mod gpu_support;

use av1_support::judge::{Stream, programs};
use conclave_codecs::av1::encoder::Encoder;
use conclave_codecs::{Config, FrameInput, GpuPicture, Picture, Size, Target, VideoEncoder};
use encoder_support::{Scene, media, pictures};
use gpu_support::{Pair, context};

/// Chains of `frames`, with a key frame on demand in the middle, in one and in four tiles.
fn chains(size: Size, frames: usize, targets: &[(Target, usize)]) {
    let Some(context) = context() else { return };
    for (target, tiles) in targets {
        let mut scene = Scene::new(7, 4);
        let mut pair = Pair::open(&context, Config { size, target: *target, tiles: *tiles, ..Config::default() });
        let mut bytes = 0;
        for n in 0..frames {
            let before = pair.units.len();
            let info = pair.push(&scene.picture(size, n), n == frames * 2 / 3);
            bytes += pair.units[before..].iter().map(Vec::len).sum::<usize>();
            assert!(info.is_none_or(|info| info.keyframe == (n == 0 || n == frames * 2 / 3)));
        }
        assert!(bytes > 0);
        let traffic = pair.gpu.traffic().expect("on the GPU");
        assert_eq!(traffic.frames, pair.units.len() as u64);
        assert!(pair.gpu.decisions().layout().all_tiles().count() == *tiles);
    }
}

#[test]
fn a_chain_of_176x144() {
    chains(Size::new(176, 144), 30, &[(Target::Quantizer(60), 1), (Target::Bitrate(150_000), 4)]);
}

#[test]
fn a_chain_of_an_odd_size() {
    chains(Size::new(322, 182), 30, &[(Target::Quantizer(140), 4), (Target::Bitrate(400_000), 1)]);
}

/// A real clip where there is one, judged by all decoders.
#[test]
fn a_clip_of_640x360() {
    let Some(context) = context() else { return };
    let (size, frames) = (Size::new(640, 360), 30);
    let clip = media("city_pan_640x360.mp4").map(|path| pictures(&path, size, frames)).filter(|clip| !clip.is_empty());
    let clip = clip.unwrap_or_else(|| {
        let mut scene = Scene::new(64, 4);
        (0..frames).map(|n| scene.picture(size, n)).collect()
    });
    for (target, tiles) in [(Target::Bitrate(600_000), 4), (Target::Quantizer(110), 1)] {
        let mut pair = Pair::open(&context, Config { size, target, tiles, ..Config::default() });
        for (n, picture) in clip.iter().enumerate() {
            pair.push(picture, n == 20);
        }
        let stream = Stream { ceiling: size, units: pair.units, pictures: pair.pictures };
        programs(&stream).unwrap_or_else(|failure| panic!("{failure}"));
    }
}

#[test]
fn every_edge() {
    for (width, height) in [(16, 16), (24, 40), (64, 64), (66, 50), (130, 98), (17, 33)] {
        chains(Size::new(width, height), 4, &[(Target::Quantizer(30), 1)]);
    }
}

#[test]
fn what_comes_back_is_little_more_than_what_goes_out() {
    let Some(context) = context() else { return };
    let size = Size::new(322, 182);
    let mut scene = Scene::new(3, 6);
    let config = Config { size, target: Target::Bitrate(600_000), ..Config::default() };
    let mut encoder = Encoder::open_on(&context, config).expect("opens");
    let mut unit = Vec::new();
    for n in 0..40 {
        // A change of scene in the middle.
        let picture = scene.picture(size, if n < 20 { n } else { 20 * n });
        unit.clear();
        encoder.submit(&picture, FrameInput { frame: n as u64, keyframe: false }).expect("agreed");
        if encoder.poll(&mut unit).expect("a frame or none").is_none() || n == 0 {
            continue;
        }
        let traffic = encoder.traffic().expect("on the GPU");
        assert!(traffic.last_back <= 8 * unit.len() as u64 + 65_536, "{n}: {traffic:?} for {} bytes", unit.len());
    }
    let traffic = encoder.traffic().expect("on the GPU");
    assert!(traffic.second_copies <= 1, "{traffic:?}");
    // Two references of 36 superblocks at most every eight frames.
    assert!(traffic.checkpoints > 0 && traffic.checkpoints <= 5 * 2 * 18 * 6144, "{traffic:?}");
    assert_eq!(traffic.up, traffic.frames * (size.i420_len() as u64 + 432), "{traffic:?}");
}

#[test]
fn a_picture_that_lies_on_the_gpu_makes_the_same_bytes() {
    let Some(context) = context() else { return };
    let gpu = context.gpu();
    let size = Size::new(131, 77);
    let usage = conclave_shaders::wgpu::BufferUsages::COPY_SRC;
    let planes = gpu.buffer("picture", size.i420_len() as u64, usage).expect("memory");
    let config = Config { size, target: Target::Bitrate(200_000), ..Config::default() };
    let [mut ours, mut theirs] = [(); 2].map(|()| Encoder::open_on(&context, config).expect("opens"));
    let mut twin = Encoder::open(config).expect("opens");
    let mut scene = Scene::new(9, 4);
    for n in 0..6 {
        let (picture, input) = (scene.picture(size, n), FrameInput { frame: n as u64, keyframe: n == 4 });
        gpu.upload(&planes, picture.data()).expect("room");
        let there = GpuPicture { planes: &planes, size, color: picture.color };
        ours.submit_gpu(&there, input).expect("on the same device");
        theirs.submit(&picture, input).expect("agreed");
        assert!(twin.submit_gpu(&there, input).is_err(), "the twin cannot read it");
        let [a, b] = [&mut ours, &mut theirs].map(|encoder| {
            let mut unit = Vec::new();
            assert!(encoder.poll(&mut unit).expect("a frame").is_some());
            unit
        });
        assert!(a == b, "frame {n}");
    }
    let traffic = ours.traffic().expect("on the GPU");
    assert_eq!(traffic.up, 6 * 432, "the picture did not cross");
}

#[test]
fn three_encoders_share_one_context() {
    let Some(context) = context() else { return };
    // A camera and its small copy at every tick, a screen at every sixth; scaled down for software adapters.
    let streams = [(Size::new(160, 90), 1), (Size::new(80, 45), 1), (Size::new(240, 136), 6)];
    let mut pairs = streams.map(|(size, every)| {
        let config = Config { size, target: Target::Bitrate(120_000), ..Config::default() };
        (Encoder::open_on(&context, config).expect("opens"), Encoder::open(config).expect("opens"), size, every)
    });
    let mut scenes = [1, 2, 3].map(|seed| Scene::new(seed, 3));
    let mut made = [0; 3];
    for n in 0..12 {
        // All are submitted before any is waited for.
        let mut pictures = Vec::new();
        for ((gpu, cpu, size, every), scene) in pairs.iter_mut().zip(&mut scenes) {
            let picture = scene.picture(*size, n);
            if n % *every == 0 {
                let input = FrameInput { frame: n as u64, keyframe: false };
                gpu.submit(&picture, input).expect("agreed");
                cpu.submit(&picture, input).expect("agreed");
            }
            pictures.push(picture);
        }
        for (i, (gpu, cpu, _, every)) in pairs.iter_mut().enumerate() {
            let [ours, theirs] = [gpu, cpu].map(|encoder| {
                let mut unit = Vec::new();
                let info = encoder.poll(&mut unit).expect("a frame or none");
                (info, unit)
            });
            assert!(ours == theirs, "stream {i}, frame {n}");
            assert_eq!(ours.0.is_some(), n % *every == 0, "stream {i}, frame {n}");
            made[i] += usize::from(ours.0.is_some());
        }
    }
    assert_eq!(made, [12, 12, 2]);
}

#[test]
fn sizes_come_and_go_in_one_encoder() {
    let Some(context) = context() else { return };
    let ceiling = Size::new(200, 150);
    let mut pair =
        Pair::open(&context, Config { size: ceiling, target: Target::Bitrate(300_000), ..Config::default() });
    let mut scene = Scene::new(21, 5);
    for (i, size) in [(200, 150), (100, 76), (200, 150), (33, 150), (17, 18)].into_iter().enumerate() {
        for n in 0..3 {
            pair.push(&scene.picture(Size::new(size.0, size.1), 3 * i + n), false);
        }
    }
}

#[test]
fn a_picture_submitted_ahead_makes_the_same_bytes() {
    let Some(context) = context() else { return };
    let (size, frames) = (Size::new(146, 82), 9);
    let config = Config { size, target: Target::Bitrate(150_000), ..Config::default() };
    let mut gpu = Encoder::open_on(&context, config).expect("opens");
    let mut cpu = Encoder::open(config).expect("opens");
    let mut scene = Scene::new(13, 4);
    let pictures: Vec<Picture> = (0..frames).map(|n| scene.picture(size, n)).collect();
    let input = |n: usize| FrameInput { frame: n as u64, keyframe: n == 5 };
    gpu.submit(&pictures[0], input(0)).expect("the first");
    for n in 0..frames {
        if n + 1 < frames {
            gpu.submit(&pictures[n + 1], input(n + 1)).expect("one ahead");
            let error = gpu.submit(&pictures[n + 1], input(n + 2)).err().expect("two ahead");
            assert!(error.to_string().contains("poll before another picture"), "{error}");
        }
        cpu.submit(&pictures[n], input(n)).expect("agreed");
        let [ours, theirs] = [&mut gpu, &mut cpu].map(|encoder| {
            let mut unit = Vec::new();
            (encoder.poll(&mut unit).expect("a frame or none"), unit)
        });
        assert!(ours == theirs, "frame {n}");
    }
    assert!(gpu.poll(&mut Vec::new()).expect("none").is_none());
    assert!(cpu.submit(&pictures[0], input(100)).is_ok() && cpu.submit(&pictures[0], input(101)).is_err());
}
