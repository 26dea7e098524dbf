//! The rendered scene and its voice: the same for every way of asking, alive, and legal at every size.

use conclave::capture::scene::{Config, Error, Scene};
use conclave::capture::voice::{self, Voice};
use conclave::codecs::{Color, Matrix, Picture, Plane, Range, Size};
use conclave::time::Time;

fn scene(seed: u64, width: u32, height: u32) -> Scene {
    Scene::new(Config { seed, size: Size::new(width, height), ..Config::default() }).unwrap()
}

fn picture(scene: &mut Scene, frame: u64) -> Picture {
    let mut out = Picture::new(Size::new(16, 16), Color::default());
    scene.render(frame, &mut out);
    out
}

/// FNV-1a, 64 bits.
fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3))
}

fn mean_difference(a: &[u8], b: &[u8]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / a.len() as f64
}

#[test]
fn a_frame_follows_from_seed_size_and_number_alone() {
    let (mut forth, mut back) = (scene(7, 320, 180), scene(7, 320, 180));
    let first: Vec<_> = (0..6).map(|n| picture(&mut forth, n * 17)).collect();
    let second: Vec<_> = (0..6).rev().map(|n| picture(&mut back, n * 17)).collect();
    assert!(first.iter().eq(second.iter().rev()));
    assert_ne!(first[0], picture(&mut scene(8, 320, 180), 0), "another seed gives another picture");
}

/// The digests change only with a deliberate change of the scene; a difference between machines is a bug.
#[test]
fn every_machine_renders_the_same_bytes() {
    let mut rgba = Vec::new();
    scene(1, 320, 180).render_rgba(90, &mut rgba);
    let mut pcm = vec![0; 48_000];
    Voice::new(1).fill(&mut pcm);
    let pcm: Vec<u8> = pcm.iter().flat_map(|s| s.to_le_bytes()).collect();
    assert_eq!((digest(&rgba), digest(&pcm)), (17915601868721844139, 9884644455237450130));
}

#[test]
fn sizes_from_16_on_and_every_rate_render() {
    for (width, height) in [(16, 16), (17, 31), (64, 16), (16, 300), (1001, 77), (360, 640)] {
        for fps in [(1, 1), (30_000, 1001), (240, 1), (u32::MAX, 1), (1, u32::MAX)] {
            let size = Size::new(width, height);
            let mut scene = Scene::new(Config { size, fps, ..Config::default() }).unwrap();
            for frame in [0, 1, 12_345, u64::MAX] {
                let out = picture(&mut scene, frame);
                assert_eq!((out.size(), out.data().len()), (size, size.i420_len()));
                assert!(out.plane(Plane::Y).iter().any(|y| *y > 40), "{size} frame {frame} is dark");
            }
        }
    }
}

#[test]
fn what_cannot_be_rendered_is_refused_with_a_hint() {
    let new = |size, fps| Scene::new(Config { size, fps, ..Config::default() }).err();
    assert_eq!(new(Size::new(15, 64), (30, 1)), Some(Error::Size(Size::new(15, 64))));
    assert_eq!(new(Size::new(64, u32::MAX), (30, 1)), Some(Error::Size(Size::new(64, u32::MAX))));
    assert_eq!(new(Size::new(64, 64), (0, 1)), Some(Error::Rate(0, 1)));
    assert!(Error::Rate(30, 0).to_string().contains("30/0"));
}

#[test]
fn the_figure_moves_and_the_noise_never_repeats() {
    let mut scene = scene(3, 640, 360);
    let (a, b, c) = (picture(&mut scene, 0), picture(&mut scene, 1), picture(&mut scene, 30));
    let near = mean_difference(a.plane(Plane::Y), b.plane(Plane::Y));
    let far = mean_difference(a.plane(Plane::Y), c.plane(Plane::Y));
    assert!(near > 0.5 && near < 6.0, "noise and motion between neighbours: {near}");
    assert!(far > near * 1.1, "a second later differs more: {far} against {near}");
}

#[test]
fn the_picture_follows_matrix_and_range() {
    let render = |matrix, range| {
        let color = Color { matrix, range };
        let mut scene = Scene::new(Config { size: Size::new(320, 180), color, ..Config::default() }).unwrap();
        picture(&mut scene, 5)
    };
    let (limited, full) = (render(Matrix::Bt709, Range::Limited), render(Matrix::Bt709, Range::Full));
    assert!(limited.plane(Plane::Y).iter().all(|y| (16..=235).contains(y)));
    for (l, f) in limited.plane(Plane::Y).iter().zip(full.plane(Plane::Y)) {
        let expected = (i32::from(*l) - 16) * 255 / 219;
        assert!((expected - i32::from(*f)).abs() <= 2, "limited {l}, full {f}");
    }
    assert_ne!(render(Matrix::Bt601, Range::Full), full);
}

#[test]
fn the_voice_reads_the_same_in_order_and_from_anywhere() {
    let mut whole = vec![0; 48_000 * 9];
    Voice::new(5).fill(&mut whole);
    let mut chunked = Voice::new(5);
    let mut chunk = [0; 960];
    for expected in whole.chunks_exact(960) {
        chunked.fill(&mut chunk);
        assert_eq!(chunk, expected);
    }
    let mut voice = Voice::new(5);
    for start in [400_000u64, 0, 191_990, 5] {
        voice.seek(start);
        voice.fill(&mut chunk);
        assert_eq!(chunk, whole[start as usize..start as usize + 960]);
        assert_eq!(voice.position(), start + 960);
    }
}

#[test]
fn the_voice_speaks_pauses_and_never_clips() {
    for seed in 0..6 {
        let mut pcm = vec![0; 48_000 * 16];
        Voice::new(seed).fill(&mut pcm);
        let loudness =
            |chunk: &[i16]| (chunk.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / chunk.len() as f64).sqrt();
        let blocks: Vec<f64> = pcm.chunks_exact(960).map(loudness).collect();
        let loud = blocks.iter().filter(|b| **b > 800.0).count() * 100 / blocks.len();
        let quiet = blocks.iter().filter(|b| **b < 60.0).count() * 100 / blocks.len();
        assert!((25..80).contains(&loud) && (15..70).contains(&quiet), "seed {seed}: {loud}% loud, {quiet}% quiet");
        let clipped = pcm.iter().filter(|s| s.unsigned_abs() >= 28_000).count();
        assert_eq!(clipped, 0, "seed {seed} clips");
    }
}

#[test]
fn the_mouth_opens_with_the_voice() {
    let mut pcm = vec![0; 48_000 * 12];
    Voice::new(2).fill(&mut pcm);
    let (mut open, mut shut) = (Vec::new(), Vec::new());
    for (n, block) in pcm.chunks_exact(960).enumerate() {
        let mouth = voice::envelope(2, Time::from_ms(n as u64 * 20 + 10));
        assert!((0.0..=1.0).contains(&mouth.open) && (0.0..=1.0).contains(&mouth.wide));
        let energy = block.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / 960.0;
        if mouth.open > 0.3 {
            open.push(energy);
        } else if mouth.open < 0.02 {
            shut.push(energy);
        }
    }
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    assert!(open.len() > 50 && shut.len() > 50 && mean(&open) > 20.0 * mean(&shut));
}
