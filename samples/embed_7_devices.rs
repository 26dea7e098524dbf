//! Last of seven: a call on this machine's own devices. A camera, or else a screen; a microphone with its echo cancelled; a
//! speaker. Where a kind is missing the program says so and goes on without it.
//!
//! `cargo run --release --example embed_7_devices` (a headset keeps you from hearing yourself twice)

use std::error::Error;
use std::time::Duration;

use conclave::audio::{microphone, process, speaker};
use conclave::capture::steady::Rules;
use conclave::capture::{Steady, System, camera, screen};
use conclave::codecs::{self, Session, Size, dav1d, opus};
use conclave::devices::{self, Device, Kind};
use conclave::drive::{Receiving, Sending, Transport, receiving, sending};
use conclave::e2ee::StaticKeys;
use conclave::gpu::{Converter, Prefer};
use conclave::time::{Clock, Stopwatch};
use conclave::{decode, encode, frame, receive, send};

const VIDEO: u32 = 1;
const VOICE: u32 = 2;
/// Length of the call.
const LENGTH_US: u64 = 10_000_000;

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let (clock, watch) = (Clock::start(), Stopwatch::running());
    let seen = devices::list();
    seen.unseen
        .iter()
        .for_each(|unseen| println!("no {} through {}: {}; {}", unseen.kind, unseen.backend, unseen.why, unseen.hint));
    let first = |kind| seen.devices.iter().find(|device| device.kind == kind).cloned();

    // Pictures: a lost camera gives way to another one, a lost screen to a card that says so.
    let size = Size::new(640, 360);
    let wished = camera::Wish { size, ..Default::default() };
    let system = System { camera: wished, screen: screen::Wish::default(), clock };
    let pictures = first(Kind::Camera).or(first(Kind::Screen));
    let kind = if pictures.as_ref().is_some_and(|d| d.kind == Kind::Screen) {
        frame::Kind::Screen
    } else {
        frame::Kind::Camera
    };
    let video = match pictures {
        Some(device) => {
            let device = open(system, device, clock)?;
            let config = codecs::Config { size, ..Default::default() };
            let stage =
                encode::VideoConfig { stream: VIDEO, kind, size, color: config.color, session: Session::Live, watch };
            let encoder = codecs::open_encoder("auto", config, Session::Live)?;
            sending::Video::Device(
                Box::new(device),
                encode::Video::open(stage, Converter::open(Prefer::Auto)?, encoder)?,
            )
        }
        None => sending::Video::Off,
    };
    // Sound: what the speaker plays, with as many channels, is taken out of what the microphone hears.
    let mixed = speaker::Config::default();
    let process = process::Config { far_channels: mixed.mixer.channels, ..Default::default() };
    let mut feed = None;
    let audio = match first(Kind::Microphone) {
        Some(device) => {
            let ear = microphone::Microphone::open(&device.id, microphone::Config::default(), clock)?;
            let (ear, reference) = process::Processed::new(Box::new(ear), process)?;
            feed = Some(reference);
            let voice = opus::Encoder::open(opus::Config { channels: 1, ..Default::default() })?;
            let stage = encode::Audio::new(VOICE, frame::Kind::Microphone, Box::new(voice), watch);
            sending::Audio::Device(Box::new(ear), stage)
        }
        None => sending::Audio::Off,
    };
    let mut playing = match first(Kind::Speaker) {
        Some(device) => Some(speaker::Speaker::open(&device.id, mixed, clock)?),
        None => None,
    };

    let (here, there) = Transport::memory();
    let streams = vec![
        send::Stream { id: VIDEO, kind, payload_type: 96 },
        send::Stream { id: VOICE, kind: frame::Kind::Microphone, payload_type: 111 },
    ];
    let sender = send::Sender::new(
        send::Config { streams, watch, ..Default::default() },
        Box::new(StaticKeys::new(&[7; 32], 0)?),
    )?;
    let mut theirs = StaticKeys::new(&[7; 32], 1)?;
    theirs.admit(0)?;
    let config = receive::Config {
        video: Some((VIDEO, kind)),
        audio: Some((VOICE, frame::Kind::Microphone)),
        watch,
        ..Default::default()
    };
    let decoder = decode::Video::new(Box::new(dav1d::Decoder::open(dav1d::Config::default())?), watch);
    let (receiver, video_decoder) = (receive::Receiver::new(config, Box::new(theirs)), Some(decoder));
    let heard = Some(Box::new(opus::Decoder::open(1)?) as Box<dyn codecs::AudioDecoder>);
    let parts = receiving::Parts { receiver, transport: there, clock, video: video_decoder, audio: heard };
    let (_receiving, mut shown, mut sound) = Receiving::start(parts)?;
    let mut sending = Sending::start(sending::Parts { sender, transport: here, clock, video, audio })?;

    let seat = playing.as_mut().and_then(|speaker| speaker.playout().mixer().join());
    while clock.now().0 < LENGTH_US {
        // Whoever has a window gives it a thread of its own: a speaker wants its beat every 10 ms.
        if let Ok(picture) = shown.next(Duration::from_millis(5)) {
            shown.recycle(picture.picture);
        }
        if let (Some(speaker), Some(seat)) = (&mut playing, seat) {
            speaker.playout().take(seat, &mut sound, 1);
            let turn = speaker.beat(clock.now(), &mut |pcm, at| feed.iter_mut().for_each(|feed| feed.played(pcm, at)));
            turn.iter().for_each(|turn| println!("the speaker: {turn}"));
        }
        while let Ok(event) = sending.event(Duration::ZERO) {
            match event {
                conclave::drive::Event::Turn(role, turn) => println!("the {role}: {turn}"),
                other => println!("{other:?}"),
            }
        }
    }
    let stats = sending.stop();
    println!(
        "{} frames sent in {} packets, {} lost on the way out",
        stats.sender.frames,
        stats.sender.packets,
        stats.drops().total()
    );
    Ok(())
}

fn open(system: System, device: Device, clock: Clock) -> Result<Steady, Box<dyn Error>> {
    println!("pictures of the {} {}", device.kind, device.name);
    let rules = Rules::of(device.kind);
    Ok(Steady::open(Box::new(system), device, rules, clock)?)
}
