//! A window that moves on an X server is shared in a call on threads: every frame's ledger begins when the screen was read,
//! and a screen that stands still is not sent on and on. `CONCLAVE_SECONDS=60` makes it long.
#![cfg(all(feature = "devices", target_os = "linux"))]

#[path = "support/xvfb.rs"]
#[allow(dead_code)]
mod xvfb;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use conclave::capture::live::{LiveVideo, Taken};
use conclave::capture::steady::{Rules, Steady};
use conclave::capture::{CaptureError, System, camera};
use conclave::codecs::{self, Session, Size, dav1d};
use conclave::devices::{Device, Kind};
use conclave::drive::{Event, Receiving, Role, Sending, Transport, receiving, sending};
use conclave::e2ee::StaticKeys;
use conclave::gpu::Converter;
use conclave::ledger::Stage;
use conclave::time::{Clock, Stopwatch, Time};
use conclave::{decode, encode, frame, receive, send};
use xvfb::Xvfb;

/// Notes when the device took each picture.
struct Noting(Steady, Arc<Mutex<HashSet<Time>>>);

impl LiveVideo for Noting {
    fn wait(&mut self, patience: Duration) -> Result<Taken<'_>, CaptureError> {
        let taken = self.0.wait(patience)?;
        if let Taken::Picture(shot) = &taken {
            self.1.lock().unwrap().insert(shot.captured);
        }
        Ok(taken)
    }

    fn interval_us(&self) -> u64 {
        self.0.interval_us()
    }

    fn dropped(&self) -> u64 {
        self.0.dropped()
    }
}

const SCREEN: u32 = 7;
const SIZE: Size = Size::new(1280, 720);

#[test]
fn a_shared_screen_is_stamped_when_it_was_read_and_rests_when_it_rests() {
    let Some(server) = Xvfb::start(SIZE.width, SIZE.height) else { return };
    let seconds = std::env::var("CONCLAVE_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    let (clock, watch) = (Clock::start(), Stopwatch::running());
    let system = System { camera: camera::Wish::default(), screen: server.wish(), clock };
    let wanted = Device::new(Kind::Screen, "x11:screen-0".parse().unwrap(), "the screen");
    let device = Steady::open(Box::new(system), wanted, Rules::of(Kind::Screen), clock).unwrap();
    let taken = Arc::<Mutex<HashSet<Time>>>::default();
    let device = Noting(device, taken.clone());

    let config = codecs::Config { size: SIZE, threads: 2, ..Default::default() };
    let (color, session) = (config.color, Session::Live);
    let kind = frame::Kind::Screen;
    let stage = encode::VideoConfig { stream: SCREEN, kind, size: SIZE, color, session, watch };
    let encoder = codecs::open_encoder("cpu", config, session).unwrap();
    let stage = encode::Video::open(stage, Converter::cpu(), encoder).unwrap();
    let (here, there) = Transport::memory();
    let streams = vec![send::Stream { id: SCREEN, kind, payload_type: 97 }];
    let keys = StaticKeys::new(&[7; 32], 0).unwrap();
    let sender = send::Sender::new(send::Config { streams, watch, ..Default::default() }, Box::new(keys)).unwrap();
    let mut theirs = StaticKeys::new(&[7; 32], 1).unwrap();
    theirs.admit(0).unwrap();
    let config = receive::Config { screen: Some(SCREEN), watch, ..Default::default() };
    let receiver = receive::Receiver::new(config, Box::new(theirs));
    let decoder = decode::Video::new(Box::new(dav1d::Decoder::open(dav1d::Config::default()).unwrap()), watch);
    let to = receiving::Parts { receiver, transport: there, clock, video: None, audio: None };
    let shared = receiving::Share { video: Some(decoder), audio: None };
    let (_receiving, _, (mut shown, _)) = Receiving::start_sharing(to, shared).unwrap();
    let (video, audio) = (sending::Video::Off, sending::Audio::Off);
    let parts = sending::Parts { sender, transport: here, clock, video, audio };
    let share = sending::Share { video: sending::Video::Device(Box::new(device), stage), audio: sending::Audio::Off };
    let mut sending = Sending::start_sharing(parts, share).unwrap();

    let (painter, stop) = (server.painter(), Arc::new(AtomicBool::new(false)));
    let stopping = stop.clone();
    let drawing = std::thread::spawn(move || {
        let moving = painter.window(0, 0, 200, 150, 0x00c0_4020);
        let begun = Instant::now();
        for step in 0.. {
            if stopping.load(Ordering::Relaxed) {
                break;
            }
            painter.place(moving, 20 + (7 * step) % 1000, (3 * step) % 500);
            let due = begun + Duration::from_micros(33_333 * (step as u64 + 1));
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        painter
    });
    let (mut ways, mut known, begun) = (Vec::new(), 0, Instant::now());
    while begun.elapsed() < Duration::from_secs(seconds) || ways.len() < 20 {
        assert!(begun.elapsed() < Duration::from_secs(seconds + 60), "{} pictures came", ways.len());
        let Ok(picture) = shown.next(Duration::from_millis(50)) else { continue };
        let arrived = picture.ledger.at(Stage::Arrive).expect("a stamp");
        known += usize::from(taken.lock().unwrap().contains(&picture.captured));
        ways.push(arrived.since(picture.captured));
        shown.recycle(picture.picture);
    }
    stop.store(true, Ordering::Relaxed);
    let painter = drawing.join().unwrap();
    // What is left to sharpen is sent, and then nothing.
    let calm = Instant::now() + Duration::from_secs(20);
    let mut quiet = Instant::now();
    while quiet.elapsed() < Duration::from_millis(1500) {
        assert!(Instant::now() < calm, "a screen that stands still is sent on and on");
        if let Ok(picture) = shown.next(Duration::from_millis(100)) {
            quiet = Instant::now();
            shown.recycle(picture.picture);
        }
    }
    while let Ok(event) = sending.event(Duration::ZERO) {
        assert!(!matches!(event, Event::Failed(Role::Screen, _) | Event::Turn(..)), "{event:?}");
    }
    drop(painter);
    let stats = sending.stop();
    let captured = stats.share[0].pushed;
    let convert = stats.latency.stage(Stage::Convert).expect("frames").count;
    assert_eq!(convert, stats.sender.frames, "each ledger begins with its capture");
    // A screen that stands still, as it does when the machine does, is sharpened, and those pictures have times of their own.
    let mut taken: Vec<Time> = taken.lock().unwrap().iter().copied().collect();
    taken.sort();
    let still = taken.windows(2).map(|pair| pair[1].since(pair[0]) / 100_000).sum::<u64>() as usize;
    let sharpened = ways.len() - known;
    assert!(sharpened <= ways.len() / 10 + still, "{known} of {} have the time the screen was read at", ways.len());
    ways.sort();
    println!(
        "{captured} pictures captured in {seconds} s, {} waited too long for the encoder; {} frames sent; capture to packet \
         p50 {} ms, p95 {} ms",
        stats.share[0].displaced,
        stats.sender.frames,
        ways[ways.len() / 2] / 1000,
        ways[ways.len() * 95 / 100] / 1000,
    );
    assert!(captured >= 3 * seconds, "{stats:?}");
}
