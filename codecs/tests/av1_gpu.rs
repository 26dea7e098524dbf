//! The encoder on the GPU writes what the encoder on the CPU writes: the same decisions, reconstructions and bytes.

mod av1_support;
mod encoder_support;
mod gpu_support;

use conclave_codecs::{Config, Size, Target};
use encoder_support::Scene;
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

#[test]
fn every_edge() {
    for (width, height) in [(16, 16), (24, 40), (64, 64), (66, 50), (130, 98), (17, 33)] {
        chains(Size::new(width, height), 4, &[(Target::Quantizer(30), 1)]);
    }
}
