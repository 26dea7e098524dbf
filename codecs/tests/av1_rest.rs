//! What rests costs next to nothing, on both arms alike, and looks no worse for it.

mod av1_support;
mod gpu_support;

use av1_support::judge::{Stream, programs};
use conclave_codecs::av1::decisions::BlockSize;
use conclave_codecs::av1::encoder::Encoder;
use conclave_codecs::av1::rest::SHARP;
use conclave_codecs::{Color, Config, FrameInput, Picture, Rect, Size, Target, VideoEncoder, metrics};
use gpu_support::{Pair, context};

/// A page of text, more or less, with a box that moves over it.
struct Desk {
    size: Size,
    page: Picture,
}

impl Desk {
    fn new(size: Size) -> Self {
        let (mut rng, mut page) = (fastrand::Rng::with_seed(5), Picture::new(size, Color::default()));
        page.data_mut()[..size.area()].fill(220);
        page.data_mut()[size.area()..].fill(128);
        let (width, height) = (size.width as usize, size.height as usize);
        for _ in 0..size.area() / 60 {
            let (x, y, length) = (rng.usize(0..width - 10), rng.usize(0..height - 10), rng.usize(2..10));
            let across = rng.bool();
            for i in 0..length {
                let (x, y) = if across { (x + i, y) } else { (x, y + i) };
                page.data_mut()[y * width + x] = 40;
            }
        }
        Self { size, page }
    }

    fn place(&self, n: usize) -> Rect {
        let x = (n * 3) as u32 % (self.size.width - 40);
        Rect { x, y: 10 + (n as u32 / 2) % 20, width: 40, height: 30 }
    }

    /// Picture `n`, and what differs from the one before.
    fn picture(&self, n: usize) -> (Picture, [Rect; 2]) {
        let (mut picture, place) = (self.page.clone(), self.place(n));
        let width = self.size.width as usize;
        for y in place.y..place.y + place.height {
            for x in place.x..place.x + place.width {
                picture.data_mut()[y as usize * width + x as usize] = 90 + (3 * (x - place.x) + y) as u8 % 64;
            }
        }
        (picture, [self.place(n.max(1) - 1), place])
    }
}

#[test]
fn both_arms_rest_alike_and_every_decoder_shows_it() {
    let Some(context) = context() else { return };
    for (size, target, tiles) in
        [(Size::new(322, 182), Target::Bitrate(300_000), 1), (Size::new(192, 144), Target::Quantizer(120), 4)]
    {
        let desk = Desk::new(size);
        let mut pair = Pair::open(&context, Config { size, target, tiles, ..Config::default() });
        for n in 0..28 {
            let (picture, parts) = desk.picture(n);
            match n {
                // One of which nothing is said, and a key frame.
                22 => pair.push(&picture, false),
                25 => pair.push(&picture, true),
                _ => pair.push_damaged(&picture, &parts),
            };
        }
        let stream = Stream { ceiling: size, units: pair.units, pictures: pair.pictures };
        programs(&stream).unwrap_or_else(|failure| panic!("{failure}"));
    }
}

/// Bytes, mean PSNR and time of the frames after the first two seconds, and the share of their superblocks that are one
/// skipped block.
fn run(size: Size, told: bool) -> (usize, f64, std::time::Duration, f64) {
    let desk = Desk::new(size);
    let config = Config { size, target: Target::Bitrate(600_000), ..Config::default() };
    let mut encoder = Encoder::open(config).expect("opens");
    let (mut bytes, mut quality, mut shown) = (0, Vec::new(), Picture::new(size, Color::default()));
    let (mut spent, mut whole) = (std::time::Duration::ZERO, [0; 2]);
    for n in 0..160 {
        let (picture, parts) = desk.picture(n);
        if told {
            encoder.damaged(&parts);
        }
        let (mut unit, begun) = (Vec::new(), std::time::Instant::now());
        encoder.submit(&picture, FrameInput { frame: n as u64, keyframe: n == 0 }).expect("a picture");
        encoder.poll(&mut unit).expect("a frame or none");
        if n >= 60 {
            spent += begun.elapsed();
            let decisions = encoder.decisions();
            for (row, col) in
                (0..size.height as usize / 64).flat_map(|row| (0..size.width as usize / 64).map(move |col| (row, col)))
            {
                let block = decisions.block(8 * row, 8 * col);
                whole[0] += 1;
                whole[1] += usize::from(block.skip && block.size == BlockSize::B64);
            }
            bytes += unit.len();
            assert!(encoder.reconstruction(&mut shown));
            quality.push(metrics::psnr_y(&picture, &shown).expect("one size"));
        }
    }
    (
        bytes,
        quality.iter().sum::<f64>() / quality.len() as f64,
        spent / quality.len() as u32,
        whole[1] as f64 / whole[0] as f64,
    )
}

#[test]
fn what_rests_costs_less_and_looks_no_worse() {
    let size = Size::new(640, 360);
    let ((all, plain, slow, _), (some, rested, fast, whole)) = (run(size, false), run(size, true));
    println!(
        "all coded: {all} bytes, {plain:.2} dB, {slow:?} a frame; at rest: {some} bytes, {rested:.2} dB, {fast:?}"
    );
    assert!(rested > plain - 0.3, "{rested} dB where {plain} dB were had");
    assert!(10 * some <= 11 * all, "{some} bytes where {all} did");
    assert!(whole > 0.7, "{whole:.2} of the superblocks rest");
}

#[test]
fn a_change_that_nobody_told_of_is_made_good_in_time() {
    let size = Size::new(192, 128);
    let mut encoder =
        Encoder::open(Config { size, target: Target::Quantizer(60), ..Config::default() }).expect("opens");
    let mut desk = Desk::new(size);
    let mut shown = Picture::new(size, Color::default());
    let mut show = |encoder: &mut Encoder, n: u64, page: &Picture| {
        encoder.damaged(&[]);
        encoder.submit(page, FrameInput { frame: n, keyframe: n == 0 }).expect("a picture");
        encoder.poll(&mut Vec::new()).expect("a frame");
        assert!(encoder.reconstruction(&mut shown));
        metrics::psnr_y(page, &shown).expect("one size")
    };
    let sharp = (0..=u64::from(SHARP) + 2).map(|n| show(&mut encoder, n, &desk.page)).last().unwrap_or_default();
    // A lie: the picture is another one, and nothing is said to differ.
    desk.page.data_mut()[..size.area()].iter_mut().for_each(|luma| *luma = 255 - *luma);
    let lied = show(&mut encoder, 30, &desk.page);
    let healed = (31..31 + 2 * 64).map(|n| show(&mut encoder, n, &desk.page)).last().unwrap_or_default();
    assert!(lied < 15.0 && healed > sharp - 1.5, "{sharp} dB, {lied} dB, then {healed} dB");
}
