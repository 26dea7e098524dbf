//! A whole meeting in one process and in virtual time: sender, a simulated network each way, receiver.
//!
//! Events happen in the order of their time, ties in a fixed order, so that the same configuration gives the same
//! packets, counters and pictures. The demo, the pipeline bench and the tests of behaviour under loss all run on it.

use conclave_codecs::{AudioDecoder, CodecError, Picture, Size};

use crate::capture::{CaptureError, Microphone, VideoInput};
use crate::encode::{self, EncodeError};
use crate::frame::{Encoded, Kind, Packet};
use crate::ledger::{Ledger, Stage};
use crate::netem::{self, Netem};
use crate::receive::{Heard, Receiver};
use crate::send::{SendError, Sender};
use crate::time::{TICK_US, Time};
use crate::{control::Edge, decode};

/// What a rehearsal tells whoever watches it. Pictures are borrowed for the call.
pub trait Observer {
    /// A picture was converted and given to the encoder.
    fn captured(&mut self, frame: u64, picture: &Picture);
    /// The encoder returned a frame; `reconstruction` is what a decoder must show, where the encoder can tell.
    fn encoded(&mut self, frame: &Encoded, reconstruction: Option<&Picture>);
    /// A frame's packets went to the network at `now`, `bytes` of them in all.
    fn sent(&mut self, kind: Kind, frame: u64, ledger: &Ledger, bytes: usize, now: Time);
    /// A picture was shown.
    fn shown(&mut self, frame: u64, picture: &Picture, ledger: &Ledger, now: Time);
    /// One packet's worth of sound was played.
    fn heard(&mut self, pcm: &[i16], heard: Heard, now: Time);
    /// A frame, by the encoder's number, was sealed under the keys of a group's epoch. Keys without epochs tell nothing.
    fn sealed(&mut self, _kind: Kind, _frame: u64, _epoch: u64, _now: Time) {}
    /// A datagram of the sender went to the network, for the first time or again.
    fn datagram(&mut self, _packet: &[u8], _now: Time) {}
}

/// What takes part in the rehearsal.
pub struct Cast {
    /// Camera and its encoder.
    pub video: Option<(Box<dyn VideoInput>, encode::Video)>,
    /// Microphone and its encoder.
    pub audio: Option<(Box<dyn Microphone>, encode::Audio)>,
    /// The sending core.
    pub sender: Sender,
    /// The receiving core.
    pub receiver: Receiver,
    /// The receiver's video decoder.
    pub video_decoder: Option<decode::Video>,
    /// The receiver's audio decoder.
    pub audio_decoder: Option<Box<dyn AudioDecoder>>,
    /// Network from sender to receiver.
    pub uplink: netem::Config,
    /// Network from receiver to sender, which carries RTCP.
    pub downlink: netem::Config,
}

/// Why a rehearsal stopped early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RehearsalError {
    /// A source failed.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// Convert or encode failed.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// Sealing or packetizing failed.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The audio decoder failed.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// The stage on which the cast plays.
pub struct Rehearsal {
    cast: Cast,
    uplink: Netem,
    downlink: Netem,
    now: Time,
    next_tick: Time,
    next_sound: Option<Time>,
    next_play: Option<Time>,
    next_picture: Option<Time>,
    flushed: bool,
    reconstruction: Picture,
    pcm: Vec<i16>,
    decode_failures: u64,
    /// The encoder's number of each frame sent lately, by the number on the wire.
    numbers: Box<[u64; NUMBERS]>,
}

/// Frames sent whose numbers are remembered; a power of two, as numbers on the wire wrap.
const NUMBERS: usize = 1024;

impl Rehearsal {
    /// A rehearsal at time 0.
    pub fn new(mut cast: Cast) -> Self {
        if let Some((_, stage)) = &mut cast.video {
            stage.watch_pictures();
        }
        let uplink = Netem::new(cast.uplink.clone());
        let downlink = Netem::new(cast.downlink.clone());
        let start = Some(Time(0));
        Self {
            next_sound: cast.audio.as_ref().and(start),
            next_play: cast.audio_decoder.as_ref().and(start),
            next_picture: cast.video.as_ref().and(start),
            flushed: false,
            now: Time(0),
            next_tick: Time(0),
            reconstruction: Picture::new(Size::new(16, 16), Default::default()),
            pcm: vec![0; decode::MAX_PCM],
            decode_failures: 0,
            numbers: Box::new([0; _]),
            cast,
            uplink,
            downlink,
        }
    }

    /// Plays up to and including `until`. Returns `false` once every source has ended.
    pub fn run(&mut self, until: Time, observer: &mut dyn Observer) -> Result<bool, RehearsalError> {
        while let Some(at) = self.next_at().filter(|at| *at <= until) {
            self.now = at;
            self.step(observer)?;
        }
        Ok(self.next_picture.is_some() || self.next_sound.is_some())
    }

    /// The virtual time reached.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Sender, receiver and codecs.
    pub fn cast(&self) -> &Cast {
        &self.cast
    }

    /// The same, to feed their keys and to bring the sender what others than the receiver say of its streams.
    pub fn cast_mut(&mut self) -> &mut Cast {
        &mut self.cast
    }

    /// The networks: sender to receiver, and back.
    pub fn networks(&self) -> (&Netem, &Netem) {
        (&self.uplink, &self.downlink)
    }

    /// Frames that the video decoder refused.
    pub fn decode_failures(&self) -> u64 {
        self.decode_failures
    }

    fn next_at(&self) -> Option<Time> {
        let fixed = [Some(self.next_tick), self.next_sound, self.next_play, self.next_picture];
        fixed.into_iter().flatten().chain(self.uplink.next_at()).chain(self.downlink.next_at()).min()
    }

    fn step(&mut self, observer: &mut dyn Observer) -> Result<(), RehearsalError> {
        let now = self.now;
        if self.next_picture == Some(now) {
            self.picture(observer)?;
        }
        if self.next_sound == Some(now) {
            self.sound(observer)?;
        }
        while let Some(packet) = self.uplink.pop(now) {
            self.cast.receiver.datagram(packet.as_slice(), now);
        }
        while let Some(packet) = self.downlink.pop(now) {
            let uplink = &mut self.uplink;
            let mut out = |packet: &Packet| {
                observer.datagram(packet.as_slice(), now);
                uplink.push(packet.as_slice(), now);
            };
            self.cast.sender.feedback(packet.as_slice(), now, &mut out);
        }
        self.show(observer);
        if self.next_play == Some(now) {
            self.play(observer)?;
        }
        if self.next_tick == now {
            self.next_tick = now.plus(TICK_US);
            let (uplink, downlink) = (&mut self.uplink, &mut self.downlink);
            let mut out = |packet: &Packet| {
                observer.datagram(packet.as_slice(), now);
                uplink.push(packet.as_slice(), now);
            };
            self.cast.sender.tick(now, &mut out);
            self.cast.receiver.tick(now, &mut |packet| downlink.push(packet.as_slice(), now));
        }
        Ok(())
    }

    fn picture(&mut self, observer: &mut dyn Observer) -> Result<(), RehearsalError> {
        let now = self.now;
        let Some((input, stage)) = &mut self.cast.video else { return Ok(()) };
        match input.next()? {
            Some(source) => {
                if stage.wants(now) {
                    let frame = stage.submit(source, self.cast.sender.edge(), now)?;
                    if let Some(picture) = stage.picture() {
                        observer.captured(frame, picture);
                    }
                }
                self.next_picture = Some(now.plus(input.interval_us()));
            }
            None => {
                self.next_picture = None;
                if !std::mem::replace(&mut self.flushed, true) {
                    stage.flush()?;
                }
            }
        }
        while let Some(encoded) = stage.poll()? {
            let known = stage.reconstruction(&mut self.reconstruction);
            observer.encoded(&encoded, known.then_some(&self.reconstruction));
            let (frame, uplink) = (encoded.info.frame, &mut self.uplink);
            let mut bytes = 0;
            let sent = self.cast.sender.frame(encoded, now, &mut |packet| {
                bytes += packet.as_slice().len();
                observer.datagram(packet.as_slice(), now);
                uplink.push(packet.as_slice(), now);
            })?;
            self.numbers[usize::from(sent.header().frame_number) % NUMBERS] = frame;
            if let Some(epoch) = self.cast.sender.epoch() {
                observer.sealed(Kind::Camera, frame, epoch.number, now);
            }
            observer.sent(Kind::Camera, frame, sent.ledger(), bytes, now);
            stage.recycle(sent.recycle());
        }
        Ok(())
    }

    fn sound(&mut self, observer: &mut dyn Observer) -> Result<(), RehearsalError> {
        let now = self.now;
        let Some((input, stage)) = &mut self.cast.audio else { return Ok(()) };
        let samples = stage.frame_samples();
        let pcm = &mut self.pcm[..samples * input.channels() as usize];
        if !input.fill(pcm)? {
            self.next_sound = None;
            return Ok(());
        }
        let encoded = stage.encode(pcm, now)?;
        let (frame, uplink) = (encoded.info.frame, &mut self.uplink);
        let mut bytes = 0;
        let sent = self.cast.sender.frame(encoded, now, &mut |packet| {
            bytes += packet.as_slice().len();
            observer.datagram(packet.as_slice(), now);
            uplink.push(packet.as_slice(), now);
        })?;
        if let Some(epoch) = self.cast.sender.epoch() {
            observer.sealed(Kind::Microphone, frame, epoch.number, now);
        }
        observer.sent(Kind::Microphone, frame, sent.ledger(), bytes, now);
        stage.recycle(sent.recycle());
        self.next_sound = Some(now.plus(samples as u64 * 1_000_000 / 48_000));
        Ok(())
    }

    fn show(&mut self, observer: &mut dyn Observer) {
        let now = self.now;
        let Some(decoder) = &mut self.cast.video_decoder else { return };
        let numbers = &self.numbers;
        let mut show = |shown: decode::Shown<'_>, at: Time| {
            let mut ledger = shown.ledger;
            ledger.stamp(Stage::Render, at.max(ledger.at(Stage::Decode).unwrap_or(at)));
            observer.shown(numbers[shown.frame as usize % NUMBERS], shown.picture, &ledger, at);
        };
        loop {
            match decoder.step(&mut self.cast.receiver, now, &mut show) {
                Ok(true) => {}
                Ok(false) => break,
                Err(_) => self.decode_failures += 1,
            }
        }
    }

    fn play(&mut self, observer: &mut dyn Observer) -> Result<(), RehearsalError> {
        let now = self.now;
        let Some(decoder) = &mut self.cast.audio_decoder else { return Ok(()) };
        let (pcm, heard) = decode::play(&mut self.cast.receiver, &mut **decoder, now, &mut self.pcm)?;
        observer.heard(pcm, heard, now);
        let samples = self.cast.receiver.audio_samples();
        self.next_play = Some(now.plus(samples as u64 * 1_000_000 / 48_000));
        Ok(())
    }
}

/// A rehearsal never blocks on control: the cell is read at each submission.
const _: fn(&Sender) -> &Edge = Sender::edge;
