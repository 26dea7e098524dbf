//! Fourth of seven: keys of the app's own. The engine asks a `KeySource` by key id; here the receiver's key comes late.
//!
//! `cargo run --release --example embed_4_keys`

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use conclave::capture::Still;
use conclave::codecs::{self, Session, Size, raw};
use conclave::drive::{Receiving, Sending, Transport, receiving, sending};
use conclave::e2ee::{BaseKey, Chain, Context, KeyError, KeyId, KeySource};
use conclave::frame::Kind;
use conclave::gpu::Converter;
use conclave::time::{Clock, Stopwatch, Time};
use conclave::{decode, encode, receive, send};

const CAMERA: u32 = 1;

/// What a key server of the app's would say: one 64-byte key for each member and each kind of media.
struct Server {
    leaf: u16,
    handed_out: u8,
    /// The server has answered.
    online: Arc<AtomicBool>,
}

impl Server {
    fn key(&self, id: KeyId) -> Option<BaseKey> {
        // A real one asks the server; the bytes come from a cryptographic source, never from numbers like these.
        BaseKey::new(&[id.leaf as u8 ^ id.context.number() << 4; 64]).ok()
    }
}

impl KeySource for Server {
    fn sending(&mut self, context: Context) -> Result<Chain, KeyError> {
        // Each key is handed out once, else two sealers would use the same nonces.
        let bit = 1 << context.number();
        if self.handed_out & bit != 0 {
            return Err(KeyError::Taken(context.number()));
        }
        self.handed_out |= bit;
        let id = KeyId { step: 0, context, leaf: self.leaf, epoch: 0 };
        Ok(Chain::fixed(id, self.key(id).ok_or(KeyError::None(context.number()))?))
    }

    fn receiving(&self, id: KeyId, now: Time) -> Option<BaseKey> {
        if self.opens(id, now) { self.key(id) } else { None }
    }

    fn opens(&self, id: KeyId, _now: Time) -> bool {
        self.online.load(Ordering::Acquire) && self.knows(id.leaf) && id.step == 0 && id.epoch == 0
    }

    fn knows(&self, leaf: u16) -> bool {
        leaf < 2 && leaf != self.leaf
    }
}

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let online = Arc::new(AtomicBool::new(false));
    let ours = Server { leaf: 0, handed_out: 0, online: online.clone() };
    let theirs = Server { leaf: 1, handed_out: 0, online: online.clone() };

    let (here, there) = Transport::memory();
    let clock = Clock::start();
    let streams = vec![send::Stream { id: CAMERA, kind: Kind::Camera, payload_type: 96 }];
    let sender = send::Sender::new(send::Config { streams, ..Default::default() }, Box::new(ours))?;
    let video = sending::Video::Camera(Box::new(Still::new(SIZE, 20_000, u64::MAX)), encoder()?);
    let sending = Sending::start(sending::Parts { sender, transport: here, clock, video, audio: sending::Audio::Off })?;

    let config = receive::Config { video: Some((CAMERA, Kind::Camera)), ..Default::default() };
    let receiver = receive::Receiver::new(config, Box::new(theirs));
    let video = Some(decode::Video::new(Box::new(raw::Decoder::new()), Stopwatch::still()));
    let (mut receiving, mut screen, _speaker) =
        Receiving::start(receiving::Parts { receiver, transport: there, clock, video, audio: None })?;

    // Frames arrive, sealed, and wait for a moment; nothing is shown.
    while receiving.stats().receiver.open.held < 3 {
        assert!(screen.next(Duration::from_millis(20)).is_err(), "nothing opens without a key");
    }
    println!("{} frames wait for their key, none is shown", receiving.stats().receiver.open.held);

    online.store(true, Ordering::Release);
    receiving.keys_changed();
    let shown = screen.next(Duration::from_secs(10))?;
    println!("the key is there: frame {} is the first that is shown", shown.frame);
    println!("{} key frames were asked for", sending.stop().sender.keyframe_requests);
    Ok(())
}

const SIZE: Size = Size::new(64, 48);

fn encoder() -> Result<encode::Video, Box<dyn Error>> {
    let (config, session) = (codecs::Config { size: SIZE, ..Default::default() }, Session::Live);
    let stage = encode::VideoConfig {
        stream: CAMERA,
        kind: Kind::Camera,
        size: SIZE,
        color: config.color,
        session,
        watch: Stopwatch::still(),
    };
    Ok(encode::Video::open(stage, Converter::cpu(), codecs::open_encoder("raw", config, session)?)?)
}
