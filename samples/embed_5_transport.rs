//! Fifth of seven: a transport of the app's own. Here a channel stands for it, and loses every tenth datagram.
//!
//! `cargo run --release --example embed_5_transport`

use std::error::Error;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use conclave::capture::Still;
use conclave::codecs::{self, Session, Size, raw};
use conclave::drive::transport::{self, Incoming, Outgoing};
use conclave::drive::{Receiving, Sending, Transport, receiving, sending};
use conclave::e2ee::StaticKeys;
use conclave::frame::Kind;
use conclave::gpu::Converter;
use conclave::time::{Clock, Stopwatch};
use conclave::{decode, encode, receive, send};

/// The way out.
struct Lossy {
    channel: Sender<Vec<u8>>,
    sent: u32,
}

impl Outgoing for Lossy {
    fn send(&mut self, datagram: &[u8]) -> Result<(), transport::Error> {
        self.sent += 1;
        if self.sent.is_multiple_of(10) {
            return Ok(());
        }
        self.channel.send(datagram.to_vec()).map_err(|_| transport::Error::Closed)
    }
}

/// The way in.
struct Channel(Receiver<Vec<u8>>);

impl Incoming for Channel {
    fn receive(&mut self, into: &mut [u8], timeout: Duration) -> Result<Option<usize>, transport::Error> {
        match self.0.recv_timeout(timeout) {
            Ok(datagram) => {
                let len = datagram.len().min(into.len());
                into[..len].copy_from_slice(&datagram[..len]);
                Ok(Some(len))
            }
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(transport::Error::Closed),
        }
    }
}

fn path() -> (Transport, Transport) {
    let ((there, from_here), (here, from_there)) = (mpsc::channel(), mpsc::channel());
    let end = |channel, incoming| Transport::new(Lossy { channel, sent: 0 }, Channel(incoming));
    (end(there, from_there), end(here, from_here))
}

const CAMERA: u32 = 1;
const SIZE: Size = Size::new(320, 180);

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let (ours, mut theirs) = (StaticKeys::new(&[7; 32], 0)?, StaticKeys::new(&[7; 32], 1)?);
    theirs.admit(0)?;
    let ((here, there), clock, watch, session) = (path(), Clock::start(), Stopwatch::still(), Session::Live);

    let streams = vec![send::Stream { id: CAMERA, kind: Kind::Camera, payload_type: 96 }];
    let sender = send::Sender::new(send::Config { streams, ..Default::default() }, Box::new(ours))?;
    let config = codecs::Config { size: SIZE, ..Default::default() };
    let stage =
        encode::VideoConfig { stream: CAMERA, kind: Kind::Camera, size: SIZE, color: config.color, session, watch };
    let encoder = encode::Video::open(stage, Converter::cpu(), codecs::open_encoder("raw", config, session)?)?;
    let video = sending::Video::Camera(Box::new(Still::new(SIZE, 33_333, u64::MAX)), encoder);
    let sending = Sending::start(sending::Parts { sender, transport: here, clock, video, audio: sending::Audio::Off })?;

    let config = receive::Config { video: Some((CAMERA, Kind::Camera)), ..Default::default() };
    let receiver = receive::Receiver::new(config, Box::new(theirs));
    let video = Some(decode::Video::new(Box::new(raw::Decoder::new()), watch));
    let (receiving, mut screen, _speaker) =
        Receiving::start(receiving::Parts { receiver, transport: there, clock, video, audio: None })?;

    for _ in 0..30 {
        let shown = screen.next(Duration::from_secs(10))?;
        screen.recycle(shown.picture);
    }
    let (sent, received) = (sending.stop().sender, receiving.stop().receiver);
    println!("30 pictures shown of {} sent, in {} packets", sent.frames, sent.packets);
    println!("every tenth packet was lost: {} NACKs, {} packets sent again", received.receiver.nacks, sent.resent);
    Ok(())
}
