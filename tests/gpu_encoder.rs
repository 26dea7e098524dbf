//! Capture to bits on one GPU: the picture goes up once and stays there, and the bits are those of the CPU.

use std::net::UdpSocket;
use std::sync::Arc;
use std::time::{Duration, Instant};

use conclave::capture::Still;
use conclave::codecs::av1::encoder::Encoder;
use conclave::codecs::av1::gpu::{Adapter, Context};
use conclave::codecs::{Color, Config, Picture, Session, Size, Target};
use conclave::control::Edge;
use conclave::drive::{Event, Role, Sending, Transport, sending};
use conclave::e2ee::StaticKeys;
use conclave::encode::{Video, VideoConfig};
use conclave::frame::{Encoded, Kind};
use conclave::gpu::{Converter, Format, Lift, Prefer, Prepare, Source, Strength};
use conclave::ledger::Stage;
use conclave::send;
use conclave::stats::StageStats;
use conclave::time::{Clock, Stopwatch, Time};

const CAMERA: Size = Size::new(200, 120);
const SENT: Size = Size::new(160, 96);
/// Waits end by what they wait for; this ends those of a failing test.
const LONG: Duration = Duration::from_secs(60);

fn context() -> Option<Arc<Context>> {
    match Context::open(Adapter::Any) {
        Ok(context) => Some(context),
        Err(error) => {
            println!("skipped: {error}");
            None
        }
    }
}

fn stage(encoder: Encoder, prefer: Prefer) -> Video {
    let config = VideoConfig {
        stream: 1,
        kind: Kind::Camera,
        size: SENT,
        color: Color::default(),
        session: Session::Live,
        watch: Stopwatch::still(),
    };
    let mut stage = Video::open(config, Converter::open(prefer).expect("opens"), Box::new(encoder)).expect("lag 0");
    stage.set_adaptive(false);
    stage
}

/// Pixels that move and change.
fn pixels(n: usize) -> Vec<u8> {
    let (width, height) = (CAMERA.width as usize, CAMERA.height as usize);
    let pixel = |i: usize| {
        let (x, y) = (i % width + 2 * n, i / width + n);
        [(x * x / 40 + y) as u8, (y * 3) as u8, (x / 2 + y * y / 60) as u8, 255]
    };
    (0..width * height).flat_map(pixel).collect()
}

fn push(stage: &mut Video, n: usize) -> Option<Encoded> {
    let data = pixels(n);
    let source = Source { format: Format::Rgba, size: CAMERA, color: Color::default(), data: &data };
    stage.submit(source, &Edge::default(), Time(n as u64 * 33_333)).expect("a picture");
    stage.poll().expect("a frame or none")
}

fn config() -> Config {
    Config { size: SENT, target: Target::Bitrate(250_000), ..Config::default() }
}

#[test]
fn a_picture_crosses_once_and_makes_the_same_bits() {
    let Some(context) = context() else { return };
    let mut ours = stage(Encoder::open_on(&context, config()).expect("opens"), Prefer::Gpu);
    let mut theirs = stage(Encoder::open(config()).expect("opens"), Prefer::Cpu);
    let mut stats = StageStats::new();
    for n in 0..8 {
        let (a, b) = (push(&mut ours, n), push(&mut theirs, n));
        assert!(ours.picture().is_none() && theirs.picture().is_some(), "frame {n}");
        let (a, b) = (a.expect("a frame"), b.expect("a frame"));
        assert_eq!((a.info, a.payload.as_slice()), (b.info, b.payload.as_slice()), "frame {n}");
        stats.record(&a.ledger);
        assert_eq!(b.ledger.gpu_us(Stage::Encode), None);
    }
    if context.gpu().device.features().contains(conclave_shaders::wgpu::Features::TIMESTAMP_QUERY) {
        let latency = stats.latency();
        assert_eq!(latency.encode_gpu.map(|times| times.count), Some(8));
        assert!(latency.convert_gpu.is_some_and(|times| times.count >= 6));
    }
}

/// Noise filter and light, which remember earlier pictures, where these never leave the GPU; and a self view, as often as a
/// window wants it.
#[test]
fn what_is_prepared_on_the_gpu_makes_the_same_bits_and_is_seen_in_a_mirror() {
    let Some(context) = context() else { return };
    let mut ours = stage(Encoder::open_on(&context, config()).expect("opens"), Prefer::Gpu);
    let mut theirs = stage(Encoder::open(config()).expect("opens"), Prefer::Cpu);
    let prepare = Prepare { mirror: true, denoise: Some(Strength::Medium), lift: Lift::Strong, ..Prepare::default() };
    let [mut view, mut other] = [(); 2].map(|()| Picture::new(SENT, Color::default()));
    for n in 0..10 {
        // Pictures stay where they are from the third on.
        if n == 2 {
            ours.set_prepare(prepare);
            theirs.set_prepare(prepare);
        }
        let (a, b) = (push(&mut ours, n), push(&mut theirs, n));
        assert!(ours.picture().is_none(), "frame {n}");
        assert_eq!(a.expect("a frame").payload.as_slice(), b.expect("a frame").payload.as_slice(), "frame {n}");
        assert!(theirs.self_view(&mut other));
        for _ in 0..4 {
            assert!(ours.self_view(&mut view), "frame {n}");
            assert_eq!(view, other, "frame {n}");
        }
    }
    assert!(ours.converter().device() != "cpu");
}

#[test]
fn a_stage_whose_pictures_are_watched_reads_them_back() {
    let Some(context) = context() else { return };
    let mut ours = stage(Encoder::open_on(&context, config()).expect("opens"), Prefer::Gpu);
    let mut theirs = stage(Encoder::open(config()).expect("opens"), Prefer::Cpu);
    ours.watch_pictures();
    for n in 0..3 {
        let (a, b) = (push(&mut ours, n), push(&mut theirs, n));
        assert_eq!(ours.picture(), theirs.picture(), "frame {n}");
        assert_eq!(a.expect("a frame").payload.as_slice(), b.expect("a frame").payload.as_slice(), "frame {n}");
    }
}

#[test]
fn where_the_gpu_is_lost_both_stages_go_on_without_a_key_frame() {
    for between in [false, true] {
        let Some(context) = context() else { return };
        let mut ours = stage(Encoder::open_on(&context, config()).expect("opens"), Prefer::Gpu);
        let mut missing = 0;
        for n in 0..14 {
            if n == 6 && !between {
                context.gpu().device.destroy();
            }
            let data = pixels(n);
            let source = Source { format: Format::Rgba, size: CAMERA, color: Color::default(), data: &data };
            ours.submit(source, &Edge::default(), Time(n as u64 * 33_333)).expect("a picture");
            if n == 6 && between {
                // The picture of this frame is nowhere but on the device.
                context.gpu().device.destroy();
            }
            match ours.poll().expect("a frame or none") {
                Some(frame) => assert_eq!(frame.info.keyframe, n == 0, "frame {n}"),
                None => missing += 1,
            }
        }
        assert_eq!(missing, u32::from(between));
        assert!(ours.encoder().gpu().is_none());
        assert!(ours.encoder().info().device.starts_with("cpu, as "), "{}", ours.encoder().info().device);
        assert_eq!(ours.converter().device(), "cpu");
    }
}

#[test]
fn a_meeting_on_threads_tells_that_the_gpu_is_gone_and_goes_on() {
    let Some(context) = context() else { return };
    let encoder = Encoder::open_on(&context, config()).expect("opens");
    let streams = vec![send::Stream { id: 1, kind: Kind::Camera, payload_type: 96 }];
    let keys = StaticKeys::new(&[9; 32], 0).expect("keys");
    let (here, _there) = udp();
    let parts = sending::Parts {
        sender: send::Sender::new(send::Config { streams, ..Default::default() }, Box::new(keys)).expect("a stream"),
        transport: here,
        clock: Clock::start(),
        video: sending::Video::Camera(Box::new(Still::new(CAMERA, 20_000, u64::MAX)), stage(encoder, Prefer::Gpu)),
        audio: sending::Audio::Off,
    };
    let mut sending = Sending::start(parts).expect("threads");
    let name = context.gpu().name().to_owned();
    assert_eq!(sending.stats().encoder.map(|info| (info.name, info.device)), Some(("gpu", name)));
    let sent_beyond = |sending: &mut Sending, frames: u64| {
        let begun = Instant::now();
        while sending.stats().sender.frames <= frames {
            assert!(begun.elapsed() < LONG, "no frame is sent");
            std::thread::yield_now();
        }
    };
    sent_beyond(&mut sending, 2);
    context.gpu().device.destroy();
    let moved = loop {
        match sending.event(LONG).expect("an event") {
            Event::Moved(Role::Encode, info) => break info,
            Event::Resized(..) => {}
            other => panic!("{other:?}"),
        }
    };
    assert!(moved.device.starts_with("cpu, as "), "{moved:?}");
    assert_eq!(sending.stats().encoder, Some(moved));
    let frames = sending.stats().sender.frames;
    sent_beyond(&mut sending, frames + 2);
    sending.stop();
}

fn udp() -> (Transport, Transport) {
    let [here, there] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").expect("a port"));
    here.connect(there.local_addr().expect("bound")).expect("connects");
    there.connect(here.local_addr().expect("bound")).expect("connects");
    (Transport::udp(here).expect("connected"), Transport::udp(there).expect("connected"))
}
