//! Random configurations and pictures of the harshest contrasts: nothing panics, and every frame decodes to the
//! reconstruction. Levels of such residuals come near the range that decoders agree in.

mod av1_support;
mod encoder_support;

use conclave_codecs::{Color, Config, Matrix, Picture, Range, Size, Target};
use encoder_support::{Session, fixed};

/// What a picture is full of.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Noise,
    Extremes,
    Flat,
    Checks,
    Spike,
    Wave,
    Patches,
}

const KINDS: [Kind; 7] =
    [Kind::Noise, Kind::Extremes, Kind::Flat, Kind::Checks, Kind::Spike, Kind::Wave, Kind::Patches];

fn paint(picture: &mut Picture, kind: Kind, random: &mut fastrand::Rng) {
    let (size, period, dark) = (picture.size(), 1 << random.usize(..6), random.bool());
    let width = size.width as usize;
    let level = random.u8(..);
    let spike = random.usize(..picture.data().len());
    // Signs of a basis function of a transform: the residual that makes one coefficient the greatest.
    let (side, across, down) = (4 << random.usize(..4), random.usize(..32), random.usize(..32));
    // A cosine changes its sign at the odd multiples of a quarter turn.
    let wave = |at: usize, order: usize| ((2 * (at % side) + 1) * (order % side) + side) / (2 * side) % 2;
    let patches: Vec<bool> = (0..64).map(|_| random.bool()).collect();
    for (i, sample) in picture.data_mut().iter_mut().enumerate() {
        let (x, y) = (i % width, i / width);
        let extreme = |light: bool| if light != dark { 255 } else { 0 };
        *sample = match kind {
            Kind::Noise => random.u8(..),
            Kind::Extremes => extreme(random.bool()),
            Kind::Flat => level,
            Kind::Checks => extreme((x / period + y / period) % 2 == 0),
            Kind::Spike => extreme(i == spike),
            Kind::Wave => extreme(wave(x, across) == wave(y, down)),
            Kind::Patches => extreme(patches[(x / 8 + y / 8 * 8) % 64]),
        };
    }
}

fn config(random: &mut fastrand::Rng) -> Config {
    let target = match random.u8(..6) {
        0 => Target::Quantizer(*random.choice(&[0, 1, 2, 254, 255]).expect("some")),
        1 | 2 => Target::Quantizer(random.u8(..)),
        3 | 4 => Target::Bitrate(1 << random.u32(..24)),
        _ => Target::Bitrate(*random.choice(&[1, 1_000, 1_000_000_000]).expect("some")),
    };
    let fps =
        *random.choice(&[(30, 1), (1, 1), (1000, 1), (24_000, 1001), (7, 3), (999_999_999, 1_000_000)]).expect("some");
    Config {
        size: Size::new(random.u32(16..=90), random.u32(16..=90)),
        color: Color {
            matrix: *random.choice(&[Matrix::Bt601, Matrix::Bt709, Matrix::Bt2020]).expect("some"),
            range: *random.choice(&[Range::Limited, Range::Full]).expect("some"),
        },
        fps,
        target,
        speed: random.u8(..=10),
        threads: random.usize(1..=4),
        tiles: random.usize(1..=64),
        keyframe_interval: random.u32(..6),
    }
}

#[test]
fn random_configurations_and_pictures_decode_to_the_reconstruction() {
    let mut encoded = 0;
    for seed in 0..120 {
        let mut random = fastrand::Rng::with_seed(seed);
        let config = config(&mut random);
        let mut session = Session::open(config);
        let mut size = config.size;
        for _ in 0..6 {
            match random.u8(..8) {
                0 => size = Size::new(random.u32(16..=config.size.width), random.u32(16..=config.size.height)),
                1 => session.encoder.set_bitrate(1 << random.u32(..30)).expect("a bitrate"),
                2 => session.encoder.set_framerate((random.u32(1..=1000), 1)).expect("a rate"),
                3 => session.encoder.request_keyframe(),
                4 => session.next += random.u64(..70_000),
                _ => {}
            }
            let mut picture = Picture::new(size, config.color);
            paint(&mut picture, KINDS[random.usize(..KINDS.len())], &mut random);
            encoded += usize::from(session.push(&picture, false).is_some());
        }
        if seed % 10 == 0 {
            session.judge();
        }
    }
    assert!(encoded > 400, "{encoded} frames");
}

#[test]
fn the_harshest_contrasts_decode_at_the_finest_and_the_coarsest_quantizers() {
    for quantizer in [1, 2, 20, 120, 200, 254, 255] {
        let size = Size::new(64, 48);
        let mut random = fastrand::Rng::with_seed(quantizer.into());
        let mut session = Session::open(fixed(size, quantizer));
        for n in 0..28 {
            let mut picture = Picture::new(size, Color::default());
            paint(&mut picture, KINDS[n % KINDS.len()], &mut random);
            session.push(&picture, n % 9 == 8).expect("no drops");
        }
        session.judge();
    }
}
