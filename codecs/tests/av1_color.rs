//! Colours are kept where luma says nothing: of patches of one brightness, which jump, on both arms.

mod av1_support;
mod encoder_support;
mod gpu_support;

use conclave_codecs::{Color, Config, Picture, Plane, Size, Target};
use encoder_support::{Session, fixed};
use gpu_support::{Pair, context};

/// Samples of chroma along one side of a patch: not a whole number of blocks.
const PATCH: usize = 11;

/// Patches of random hues, all of luma 126. Picture `n` is like the one before but for two patches.
fn picture(size: Size, n: usize) -> Picture {
    let mut picture = Picture::new(size, Color::default());
    picture.plane_mut(Plane::Y).fill(126);
    for plane in [Plane::U, Plane::V] {
        let Size { width, height } = picture.plane_size(plane);
        let across = (width as usize).div_ceil(PATCH);
        let mut random = fastrand::Rng::with_seed(plane as u64);
        let mut hues: Vec<u8> = (0..across * (height as usize).div_ceil(PATCH)).map(|_| random.u8(16..=240)).collect();
        for _ in 0..2 * n {
            let patch = random.usize(..hues.len());
            hues[patch] = random.u8(16..=240);
        }
        for (y, row) in picture.plane_mut(plane).chunks_exact_mut(width as usize).enumerate() {
            row.iter_mut().enumerate().for_each(|(x, sample)| *sample = hues[y / PATCH * across + x / PATCH]);
        }
    }
    picture
}

/// Mean distance of chroma from what it should be.
fn off(shown: &Picture, picture: &Picture) -> f64 {
    let planes = [Plane::U, Plane::V].map(|plane| shown.plane(plane).iter().zip(picture.plane(plane)));
    let count = planes[0].len() + planes[1].len();
    let sum: u64 = planes.into_iter().flatten().map(|(ours, theirs)| u64::from(ours.abs_diff(*theirs))).sum();
    sum as f64 / count as f64
}

#[test]
fn patches_of_one_brightness_keep_their_hues() {
    for (quantizer, bound) in [(20, 1.0), (60, 2.0), (120, 3.5), (200, 10.0)] {
        let size = Size::new(208, 120);
        let mut session = Session::open(fixed(size, quantizer));
        for n in 0..12 {
            let picture = picture(size, n);
            session.push(&picture, n == 8).expect("no drops");
            let off = off(session.stream.pictures.last().expect("one"), &picture);
            println!("quantizer {quantizer}, frame {n}: {off:.2} levels");
            assert!(off < bound, "quantizer {quantizer}, frame {n}: {off} levels off");
        }
        session.judge();
    }
}

#[test]
fn both_arms_mend_the_same_blocks() {
    let Some(context) = context() else { return };
    for (quantizer, size) in [(60, Size::new(130, 98)), (160, Size::new(66, 50)), (230, Size::new(208, 120))] {
        let config = Config { size, target: Target::Quantizer(quantizer), ..Config::default() };
        let mut pair = Pair::open(&context, config);
        for n in 0..6 {
            pair.push(&picture(size, n), n == 4).expect("no drops");
        }
        // The way is that of blocks without luma.
        let ends = &pair.cpu.decisions().ends;
        assert!(ends.iter().any(|ends| ends[0] == 0 && (ends[1] == 0) != (ends[2] == 0)), "a plane alone is mended");
    }
}
