//! Pictures that show nothing new: encoded while that sharpens what is shown, then left out.

use conclave::capture::live::{Damage, Rect, Shot};
use conclave::codecs::{self, Color, Picture, Session, Size, Target};
use conclave::control::Edge;
use conclave::encode::content::Content;
use conclave::encode::{RESTS, Video, VideoConfig};
use conclave::frame::{Encoded, Kind};
use conclave::gpu::prepare::Prepare;
use conclave::gpu::{Converter, Format, Source};
use conclave::time::{Stopwatch, Time};

const SIZE: Size = Size::new(320, 192);

fn stage(codec: &str, target: Target) -> Video {
    let config = codecs::Config { size: SIZE, target, ..codecs::Config::default() };
    let encoder = codecs::open_encoder(codec, config, Session::Live).unwrap();
    let stage = VideoConfig {
        stream: 1,
        kind: Kind::Screen,
        size: SIZE,
        color: Color::default(),
        session: Session::Live,
        watch: Stopwatch::still(),
    };
    Video::open(stage, Converter::cpu(), encoder).unwrap()
}

/// Something like text: dark strokes on white.
fn page(seed: u64) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut pixels = vec![0xf0; 4 * SIZE.area()];
    for _ in 0..1_500 {
        let (x, y, length) = (rng.usize(0..310), rng.usize(0..180), rng.usize(2..10));
        let across = rng.bool();
        for i in 0..length {
            let (x, y) = if across { (x + i, y) } else { (x, y + i) };
            pixels[4 * (y * SIZE.width as usize + x)..][..3].fill(0x20);
        }
    }
    pixels
}

struct Screen {
    stage: Video,
    edge: Edge,
    now: u64,
    interval_us: u64,
    /// Pictures that were neither converted nor encoded.
    still: u32,
}

impl Screen {
    fn new(codec: &str, target: Target) -> Self {
        Self { stage: stage(codec, target), edge: Edge::default(), now: 0, interval_us: 33_333, still: 0 }
    }

    /// The frame that a picture becomes; `None` where it is left out.
    fn show(&mut self, data: &[u8], damage: Damage, fresh: bool) -> Option<Encoded> {
        self.show_sized(data, SIZE, damage, fresh)
    }

    fn show_sized(&mut self, data: &[u8], size: Size, damage: Damage, fresh: bool) -> Option<Encoded> {
        self.now += self.interval_us;
        let source = Source { format: Format::Bgra, size, color: Color::default(), data };
        let shot = Shot { source, captured: Time(self.now), damage, fresh };
        let taken = self.stage.submit_shot(&shot, &self.edge, Time(self.now)).unwrap();
        self.still += u32::from(taken.is_none());
        taken?;
        // The rate control may leave one out, too.
        self.stage.poll().unwrap()
    }

    /// Squared error of what is shown, of one sample in the mean.
    fn error(&mut self) -> f64 {
        let mut shown = Picture::new(SIZE, Color::default());
        assert!(self.stage.reconstruction(&mut shown));
        let meant = self.stage.picture().expect("converted on the CPU");
        let pairs = shown.data().iter().zip(meant.data());
        pairs.map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum::<f64>() / meant.data().len() as f64
    }
}

#[test]
fn a_picture_that_rests_gets_sharper_and_then_costs_nothing() {
    // Where bits are few the rate control leaves pictures out, which sharpens nothing and does not count.
    for (bits, fps) in [(400_000, 30), (60_000, 10)] {
        let mut screen = Screen::new("cpu", Target::Bitrate(bits));
        screen.stage.set_framerate((fps, 1)).unwrap();
        screen.interval_us = 1_000_000 / u64::from(fps);
        let (first, second) = (page(1), page(2));
        assert!(screen.show(&first, Damage::ALL, true).expect("a frame").info.keyframe);
        let changed = (0..60).find_map(|_| screen.show(&second, Damage::ALL, false)).expect("a frame");
        assert!(!changed.info.keyframe);
        let blurred = screen.error();
        let (mut frames, mut pictures) = (0, 0);
        while screen.still == 0 {
            frames += u32::from(screen.show(&second, Damage::NONE, false).is_some());
            pictures += 1;
            assert!(pictures < 200, "it is sharpened on and on");
        }
        // The quantizer falls on the way, and each time there is more to be had.
        assert!(frames >= RESTS, "{frames}");
        let sharp = screen.error();
        println!(
            "{bits} bit/s: squared error {blurred:.1} after the change, {sharp:.1} after {pictures} pictures at rest"
        );
        assert!(sharp < blurred / 2.0, "{sharp} after {blurred}");
        let sent = screen.show(&second, Damage::NONE, false);
        assert!(sent.is_none() && screen.still == 2);
        // Nothing came to the encoder: what it shows is as it was.
        assert_eq!(screen.error(), sharp);
    }
}

#[test]
fn what_the_app_wished_is_kept_whatever_a_screen_shows() {
    let mut screen = Screen::new("raw", Target::Bitrate(400_000));
    // Pictures taken of four seconds at 30 a second.
    let taken = |screen: &mut Screen, content| {
        screen.stage.set_content(content).unwrap();
        let from = screen.now;
        screen.now += 10_000_000;
        (0..120).filter(|i| screen.stage.wants(Time(from + i * 33_334))).count()
    };
    assert_eq!([taken(&mut screen, Content::Sharp), taken(&mut screen, Content::Motion)], [40, 120]);
    screen.stage.set_framerate((5, 1)).unwrap();
    assert_eq!([taken(&mut screen, Content::Sharp), taken(&mut screen, Content::Motion)], [20, 20]);
    let before = screen.stage.size();
    screen.stage.set_adaptive(false);
    screen.stage.set_content(Content::Motion).unwrap();
    // Work that takes ten times the time there is makes no smaller pictures of it.
    (1..400).for_each(|i| assert!(screen.stage.paced(Time(i * 200_000), 2_000_000, 200_000, 0).is_none()));
    assert_eq!(screen.stage.size(), before);
}

#[test]
fn what_is_wanted_is_encoded_though_nothing_changed() {
    let mut screen = Screen::new("raw", Target::Bitrate(400_000));
    let page = page(1);
    // The first picture is one, whatever is said of it.
    let first = screen.show(&page, Damage::NONE, false).expect("a frame");
    assert_eq!(first.info.frame, 0);
    let rest = |screen: &mut Screen| {
        let encoded = (0..40).filter(|_| screen.show(&page, Damage::NONE, false).is_some()).count();
        assert_eq!(encoded as u32, RESTS);
    };
    rest(&mut screen);
    assert_eq!(screen.still, 40 - RESTS);
    screen.edge.request_keyframe();
    assert!(screen.show(&page, Damage::NONE, false).expect("the key frame").info.keyframe);
    rest(&mut screen);
    assert!(screen.show(&page, Damage::NONE, true).expect("a fresh one").info.keyframe);
    rest(&mut screen);
    let mut damage = Damage::NONE;
    damage.add(Rect { x: 1, y: 1, width: 1, height: 1 });
    let frame = screen.show(&page, damage, false).expect("a change");
    // Numbers leave none out.
    assert!(!frame.info.keyframe && frame.info.frame == 3 + 3 * u64::from(RESTS));
    rest(&mut screen);
    // What is done to pictures shows in one that stands still.
    let prepare = Prepare { crop: Some(Rect { x: 0, y: 0, width: 64, height: 48 }), ..Prepare::default() };
    screen.stage.set_prepare(prepare);
    rest(&mut screen);
    screen.stage.set_prepare(prepare);
    assert!(screen.show(&page, Damage::NONE, false).is_none(), "nothing has changed");
    // More bits may make it sharper.
    screen.edge.set_bitrate(800_000);
    rest(&mut screen);
}

#[test]
fn a_wish_that_fails_loses_nothing_else() {
    let mut screen = Screen::new("raw", Target::Bitrate(400_000));
    let page = page(1);
    screen.show(&page, Damage::ALL, true).expect("a frame");
    screen.edge.request_keyframe();
    screen.edge.set_framerate((1, 0));
    let source = Source { format: Format::Bgra, size: SIZE, color: Color::default(), data: &page };
    let shot = Shot { source, captured: Time(50_000), damage: Damage::NONE, fresh: false };
    assert!(screen.stage.submit_shot(&shot, &screen.edge, Time(50_000)).is_err());
    assert!(screen.show(&page, Damage::NONE, false).expect("the next").info.keyframe);
}

#[test]
fn damage_of_a_picture_left_out_is_damage_of_the_next() {
    let at = |x| Rect { x, y: 0, width: 4, height: 4 };
    let [mut first, mut second] = [Damage::NONE; 2];
    first.add(at(0));
    second.add(at(40));
    assert_eq!(first.join(second).rects(), [at(0), at(40)]);
    assert!(Damage::NONE.join(Damage::NONE).is_none());
    assert_eq!(Damage::ALL.join(second).rects()[0].clip(SIZE), Damage::ALL.rects()[0].clip(SIZE));
}

#[test]
fn what_is_told_to_differ_holds_every_sample_that_does() {
    // Scaled down and up, and as it is.
    for size in [Size::new(500, 300), Size::new(211, 127), SIZE] {
        let mut rng = fastrand::Rng::with_seed(9);
        let (width, height) = (size.width, size.height);
        let mut pixels: Vec<u8> = (0..4 * size.area()).map(|i| (i / 4 % width as usize / 3) as u8).collect();
        let [mut told, mut whole] = [(); 2].map(|()| Screen::new("cpu", Target::Quantizer(24)));
        for n in 0..90 {
            let mut damage = Damage::NONE;
            for _ in 0..rng.u32(1..3) {
                let rect = Rect { x: rng.u32(0..width), y: rng.u32(0..height), width: 17, height: 9 };
                let rect = rect.clip(size).expect("inside");
                let colour = [rng.u8(..), rng.u8(..), rng.u8(..)];
                for (y, x) in
                    (rect.y..rect.y + rect.height).flat_map(|y| (rect.x..rect.x + rect.width).map(move |x| (y, x)))
                {
                    pixels[4 * (y * width + x) as usize..][..3].copy_from_slice(&colour);
                }
                damage.add(rect);
            }
            assert!(told.show_sized(&pixels, size, damage, n == 0).is_some());
            assert!(whole.show_sized(&pixels, size, Damage::ALL, n == 0).is_some());
            let (told, whole) = (told.error(), whole.error());
            assert!(told < whole + 1.0, "picture {n} from {size}: an error of {told:.2} where {whole:.2} is had");
        }
    }
}
