//! The rate control on a scene with motion, texture and sensor noise: the mean, a step down, key frames, frames left out.

mod av1_support;
mod encoder_support;

use conclave_codecs::av1::encoder::Encoder;
use conclave_codecs::av1::rate::LIMITS;
use conclave_codecs::{Config, FrameInput, Picture, Size, Target, VideoEncoder};
use encoder_support::Scene;

const FPS: usize = 30;

/// Encodes frames and keeps their sizes in bits, 0 for those left out, and the quantizers.
struct Run {
    encoder: Encoder,
    scene: Scene,
    picture: Picture,
    unit: Vec<u8>,
    bits: Vec<usize>,
    quantizers: Vec<u8>,
}

impl Run {
    fn new(bitrate: u32, noise: u8) -> Self {
        let size = Size::new(256, 144);
        let config = Config { size, target: Target::Bitrate(bitrate), ..Config::default() };
        let mut scene = Scene::new(21, noise);
        let picture = scene.picture(size, 0);
        let encoder = Encoder::open(config).expect("opens");
        Self { encoder, scene, picture, unit: Vec::new(), bits: Vec::new(), quantizers: Vec::new() }
    }

    fn frames(&mut self, count: usize) {
        for _ in 0..count {
            let n = self.bits.len();
            self.scene.paint(&mut self.picture, n);
            self.encoder.submit(&self.picture, FrameInput { frame: n as u64, keyframe: false }).expect("agreed");
            self.unit.clear();
            if self.encoder.poll(&mut self.unit).expect("a frame or none").is_some() {
                self.quantizers.push(self.encoder.quantizer());
            }
            self.bits.push(self.unit.len() * 8);
        }
    }

    /// Bits of the second that begins with frame `from`.
    fn second(&self, from: usize) -> usize {
        self.bits[from..from + FPS].iter().sum()
    }

    /// The longest run of frames left out.
    fn gap(&self) -> usize {
        self.bits.split(|bits| *bits > 0).map(<[usize]>::len).max().unwrap_or(0)
    }

    /// The share of frames at a limit of the quantizer, in percent.
    fn limited(&self) -> usize {
        let at_limit = self.quantizers.iter().filter(|q| **q <= LIMITS.0 || **q >= LIMITS.1).count();
        at_limit * 100 / self.quantizers.len()
    }
}

#[test]
fn the_mean_of_ten_seconds_is_within_a_tenth_of_the_target() {
    for (bitrate, noise) in [(150_000, 2), (500_000, 4), (1_500_000, 8)] {
        let mut run = Run::new(bitrate, noise);
        run.frames(10 * FPS);
        let mean = run.bits.iter().sum::<usize>() / 10;
        let (least, most) = (run.quantizers.iter().min(), run.quantizers.iter().max());
        println!(
            "{bitrate}: {mean}, quantizers {least:?} to {most:?}, {} % at a limit, key {}, gap {}",
            run.limited(),
            run.bits[0],
            run.gap()
        );
        assert!(run.limited() < 10, "the scene fits {bitrate}: {} % of frames at a limit", run.limited());
        assert!(mean.abs_diff(bitrate as usize) * 10 <= bitrate as usize, "{mean} for {bitrate}");
        assert!(run.gap() * 1000 <= 250 * FPS, "{} frames left out in a row", run.gap());
    }
}

#[test]
fn after_a_step_down_the_new_target_holds_within_a_second() {
    let mut run = Run::new(1_000_000, 4);
    run.frames(4 * FPS);
    run.encoder.set_bitrate(300_000).expect("a bitrate");
    run.frames(4 * FPS);
    let step = 4 * FPS;
    let seconds: Vec<usize> = (0..4).map(|n| run.second(step + n * FPS)).collect();
    println!("before {}, after {seconds:?}, gap {}", run.second(3 * FPS), run.gap());
    assert!(run.second(3 * FPS) > 800_000);
    for from in FPS..=3 * FPS {
        assert!(run.second(step + from) <= 330_000, "{} from frame {from} after the step", run.second(step + from));
    }
    assert!(run.second(step + 3 * FPS) > 250_000, "and it is used");
    assert!(run.gap() * 1000 <= 250 * FPS);
}

#[test]
fn a_key_frame_on_demand_costs_at_most_a_third_of_a_second() {
    for (bitrate, noise) in [(150_000, 2), (500_000, 4), (1_500_000, 8)] {
        let mut run = Run::new(bitrate, noise);
        for _ in 0..3 {
            run.frames(FPS * 3 / 2);
            run.encoder.request_keyframe();
        }
        run.frames(FPS);
        let keys: Vec<usize> = (1..=3).map(|n| run.bits[n * FPS * 3 / 2]).collect();
        println!("{bitrate}: {} at first, then {keys:?}, gap {}", run.bits[0], run.gap());
        for key in keys {
            assert!(key > 0 && key * 3 <= bitrate as usize, "{key} bits at {bitrate}");
        }
        assert!(run.gap() * 1000 <= 250 * FPS, "{} frames left out in a row", run.gap());
    }
}

#[test]
fn the_first_key_frame_and_one_after_a_change_of_scene_are_no_guess() {
    for (before, after) in [(0, 20), (20, 0), (2, 60), (60, 2)] {
        let bitrate = 300_000;
        let mut run = Run::new(bitrate, before);
        run.frames(FPS);
        run.scene.noise = after;
        run.encoder.request_keyframe();
        run.frames(FPS);
        println!("noise {before}, then {after}: keys of {} and {} bits", run.bits[0], run.bits[FPS]);
        for key in [run.bits[0], run.bits[FPS]] {
            assert!(key > 0 && key * 3 <= bitrate as usize, "{key} bits at {bitrate}");
        }
    }
}

#[test]
fn what_was_saved_before_a_step_down_is_not_spent_after_it() {
    // The quantizer is at its finest, so that the bucket is full.
    let mut run = Run::new(4_000_000, 2);
    run.frames(2 * FPS);
    assert!(run.limited() > 50);
    run.encoder.set_bitrate(150_000).expect("a bitrate");
    run.frames(3 * FPS);
    println!("{} bits, then {}", run.second(3 * FPS), run.second(4 * FPS));
    for from in 3 * FPS..=4 * FPS {
        assert!(run.second(from) <= 165_000, "{} bits from frame {from}", run.second(from));
    }
}

#[test]
fn a_scene_too_hard_for_its_bitrate_loses_frames_but_never_a_quarter_of_a_second() {
    let mut run = Run::new(8_000, 20);
    run.frames(3 * FPS);
    println!("gap {}, {} % at a limit", run.gap(), run.limited());
    assert!((1..=FPS / 4).contains(&run.gap()), "{} frames left out in a row", run.gap());
}
