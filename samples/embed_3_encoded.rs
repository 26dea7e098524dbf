//! Third of seven: frames that an app has encoded by itself. They enter where the engine's own encoder puts its frames.
//!
//! `cargo run --release --example embed_3_encoded`

use std::error::Error;
use std::time::Duration;

use conclave::codecs::{CodecError, EncodedInfo, Picture, Size, VideoDecoder};
use conclave::drive::{Pushed, Receiving, Sending, Transport, injection, receiving, sending};
use conclave::e2ee::StaticKeys;
use conclave::encode::Framing;
use conclave::frame::Kind;
use conclave::time::{Clock, Stopwatch};
use conclave::{decode, receive, send};

const CAMERA: u32 = 1;

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let (ours, mut theirs) = (StaticKeys::new(&[7; 32], 0)?, StaticKeys::new(&[7; 32], 1)?);
    theirs.admit(0)?;
    let (here, there) = Transport::memory();
    let clock = Clock::start();

    let streams = vec![send::Stream { id: CAMERA, kind: Kind::Camera, payload_type: 96 }];
    let sender = send::Sender::new(send::Config { streams, ..Default::default() }, Box::new(ours))?;
    let (mut injector, injected) = injection(&sender);
    let video = sending::Video::Encoded(injected);
    let sending = Sending::start(sending::Parts { sender, transport: here, clock, video, audio: sending::Audio::Off })?;

    let config = receive::Config { video: Some((CAMERA, Kind::Camera)), ..Default::default() };
    let receiver = receive::Receiver::new(config, Box::new(theirs));
    let video = Some(decode::Video::new(Box::new(Grey::default()), Stopwatch::still()));
    let (_receiving, mut screen, _speaker) =
        Receiving::start(receiving::Parts { receiver, transport: there, clock, video, audio: None })?;

    // The framing says what a relay and a receiver need to know without reading the bits.
    let framing = Framing::video(CAMERA, Kind::Camera, SIZE);
    let mut key = true;
    for number in 0..10 {
        let mut payload = injector.buffer();
        payload.tail().extend_from_slice(&[b'g', b'r', b'e', b'y', 20 * number as u8]);
        let mut info = EncodedInfo { frame: number, keyframe: key, ..Default::default() };
        if !key {
            // It needs the frame before.
            (info.dependencies[0], info.dependency_count) = (1, 1);
        }
        match injector.push(framing.frame(payload, info, clock.now())) {
            Pushed::Queued => {}
            Pushed::Refused => println!("frame {number} found no room"),
            Pushed::Closed => return Err("the sending side has ended".into()),
        }
        let shown = screen.next(Duration::from_secs(10))?;
        println!("frame {number} is shown in grey {}", shown.picture.data()[0]);
        // Feedback and full queues ask for key frames and bitrates here.
        key = injector.wishes().keyframe;
    }
    println!("{} packets sent", sending.stop().sender.packets);
    Ok(())
}

const SIZE: Size = Size::new(64, 48);

/// A decoder of the app's own: the fifth byte of a frame is the brightness of all pixels.
#[derive(Default)]
struct Grey(Option<(u8, u64)>);

impl VideoDecoder for Grey {
    fn name(&self) -> &'static str {
        "grey"
    }

    fn submit(&mut self, data: &[u8], frame: u64) -> Result<(), CodecError> {
        let [b'g', b'r', b'e', b'y', level] = data else {
            return Err(CodecError::Data { codec: "grey", what: format!("{} bytes", data.len()) });
        };
        self.0 = Some((*level, frame));
        Ok(())
    }

    fn poll(&mut self, out: &mut Picture) -> Result<Option<u64>, CodecError> {
        let Some((level, frame)) = self.0.take() else { return Ok(None) };
        out.reset(SIZE, Default::default());
        out.data_mut()[..SIZE.area()].fill(level);
        Ok(Some(frame))
    }

    fn reset(&mut self) {
        self.0 = None;
    }
}
