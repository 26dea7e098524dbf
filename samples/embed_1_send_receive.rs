//! First of seven: the two cores without threads or sockets. They are told the time, take bytes and give bytes.
//!
//! `cargo run --release --example embed_1_send_receive`

use std::error::Error;

use conclave::capture::{Still, VideoInput};
use conclave::codecs::{self, Session, Size, raw};
use conclave::e2ee::StaticKeys;
use conclave::frame::Kind;
use conclave::gpu::Converter;
use conclave::time::{Stopwatch, Time};
use conclave::{decode, encode, receive, send};

const CAMERA: u32 = 1;

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    // One secret, two members: leaf 0 sends, leaf 1 receives.
    let secret = [7; 32];
    let (ours, mut theirs) = (StaticKeys::new(&secret, 0)?, StaticKeys::new(&secret, 1)?);
    theirs.admit(0)?;

    let streams = vec![send::Stream { id: CAMERA, kind: Kind::Camera, payload_type: 96 }];
    let mut sender = send::Sender::new(send::Config { streams, ..Default::default() }, Box::new(ours))?;
    let config = receive::Config { video: Some((CAMERA, Kind::Camera)), ..Default::default() };
    let mut receiver = receive::Receiver::new(config, Box::new(theirs));

    // A still picture and the test doubles stand for a camera and a codec.
    let (size, watch) = (Size::new(320, 180), Stopwatch::still());
    let config = codecs::Config { size, ..Default::default() };
    let encoder = codecs::open_encoder("raw", config, Session::Live)?;
    let stage = encode::VideoConfig {
        stream: CAMERA,
        kind: Kind::Camera,
        size,
        color: config.color,
        session: Session::Live,
        watch,
    };
    let mut encoder = encode::Video::open(stage, Converter::cpu(), encoder)?;
    let mut decoder = decode::Video::new(Box::new(raw::Decoder::new()), watch);
    let mut camera = Still::new(size, 33_333, 90);

    let (mut now, mut sent, mut lost, mut shown) = (Time(0), 0, 0, 0);
    while let Some(source) = camera.next()? {
        encoder.submit(source, sender.edge(), now)?;
        let mut wire = Vec::new();
        while let Some(frame) = encoder.poll()? {
            let sealed = sender.frame(frame, now, &mut |packet| wire.push(packet.clone()))?;
            encoder.recycle(sealed.recycle());
        }
        // The network: every twentieth packet is lost. What the receiver asks for comes 10 ms later.
        for packet in wire {
            sent += 1;
            if sent % 20 == 0 {
                lost += 1;
            } else {
                receiver.datagram(packet.as_slice(), now);
            }
        }
        for _ in 0..3 {
            now = now.plus(11_111);
            let mut asked = Vec::new();
            receiver.tick(now, &mut |packet| asked.push(packet.clone()));
            for packet in asked {
                sender.feedback(packet.as_slice(), now, &mut |packet| receiver.datagram(packet.as_slice(), now));
            }
            while decoder.step(&mut receiver, now, &mut |_, _| shown += 1)? {}
        }
    }
    println!("{} frames in {sent} packets, {lost} lost, {} sent again", sender.stats().frames, sender.stats().resent);
    println!("{shown} pictures shown, each authenticated and decoded in order");
    Ok(())
}
