//! Second of seven: the same meeting on threads and over UDP. `drive` puts the cores behind queues and owns the threads.
//!
//! `cargo run --release --example embed_2_drive`

use std::error::Error;
use std::net::UdpSocket;
use std::time::Duration;

use conclave::capture::{SceneCamera, SceneVoice, scene};
use conclave::codecs::{self, Session, Size, dav1d, opus};
use conclave::drive::{Receiving, Sending, Transport, receiving, sending};
use conclave::e2ee::StaticKeys;
use conclave::frame::Kind;
use conclave::gpu::{Converter, Prefer};
use conclave::ledger::Stage;
use conclave::time::{Clock, Stopwatch};
use conclave::{decode, encode, receive, send};

const CAMERA: u32 = 1;
const VOICE: u32 = 2;

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let (here, there) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    here.connect(there.local_addr()?)?;
    there.connect(here.local_addr()?)?;
    let clock = Clock::start();

    let sending = Sending::start(sending_parts(Transport::udp(here)?, clock)?)?;
    let (mut receiving, mut screen, mut speaker) = Receiving::start(receiving_parts(Transport::udp(there)?, clock)?)?;

    // The app pulls at its own pace: here until 30 pictures have come.
    for _ in 0..30 {
        let shown = screen.next(Duration::from_secs(10))?;
        screen.recycle(shown.picture);
    }
    let mut packets = 0;
    while let Ok(sound) = speaker.next(Duration::ZERO) {
        packets += 1;
        speaker.recycle(sound.pcm);
    }
    let stats = receiving.stats();
    println!("30 pictures and {packets} packets of sound from {} datagrams", stats.receiver.receiver.datagrams);

    // Both sides stop here, or where they are dropped; no thread outlives them.
    let stats = (sending.stop(), receiving.stop());
    let encode = stats.0.latency.stage(Stage::Encode).map_or(0, |encode| encode.p50);
    println!("encode takes {encode} µs in the median; lost on the way out: {}", stats.0.drops().total());
    Ok(())
}

fn sending_parts(transport: Transport, clock: Clock) -> Result<sending::Parts, Box<dyn Error>> {
    let (size, watch, session) = (Size::new(320, 180), Stopwatch::running(), Session::Live);
    let config = codecs::Config { size, ..Default::default() };
    let stage = encode::VideoConfig { stream: CAMERA, kind: Kind::Camera, size, color: config.color, session, watch };
    // The best encoder here that holds no frame back; a live session takes no other.
    let encoder = codecs::open_encoder("auto", config, session)?;
    let video = encode::Video::open(stage, Converter::open(Prefer::Auto)?, encoder)?;
    let voice = opus::Encoder::open(opus::Config { channels: 1, ..Default::default() })?;
    let audio = encode::Audio::new(VOICE, Kind::Microphone, Box::new(voice), watch);
    let camera = SceneCamera::new(scene::Config { size, ..Default::default() }, u64::MAX)?;

    let streams = vec![
        send::Stream { id: CAMERA, kind: Kind::Camera, payload_type: 96 },
        send::Stream { id: VOICE, kind: Kind::Microphone, payload_type: 111 },
    ];
    let keys = StaticKeys::new(&[7; 32], 0)?;
    Ok(sending::Parts {
        sender: send::Sender::new(send::Config { streams, watch, ..Default::default() }, Box::new(keys))?,
        transport,
        clock,
        video: sending::Video::Camera(Box::new(camera), video),
        audio: sending::Audio::Microphone(Box::new(SceneVoice::new(1, u64::MAX)), audio),
    })
}

fn receiving_parts(transport: Transport, clock: Clock) -> Result<receiving::Parts, Box<dyn Error>> {
    let mut keys = StaticKeys::new(&[7; 32], 1)?;
    keys.admit(0)?;
    let watch = Stopwatch::running();
    let config = receive::Config {
        video: Some((CAMERA, Kind::Camera)),
        audio: Some((VOICE, Kind::Microphone)),
        watch,
        ..Default::default()
    };
    Ok(receiving::Parts {
        receiver: receive::Receiver::new(config, Box::new(keys)),
        transport,
        clock,
        video: Some(decode::Video::new(Box::new(dav1d::Decoder::open(dav1d::Config::default())?), watch)),
        audio: Some(Box::new(opus::Decoder::open(1)?)),
    })
}
