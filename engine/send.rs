//! The sending half of a meeting, sans-IO: encoded frames in, datagrams out.
//!
//! [`Sender`] seals each frame, cuts it into packets, keeps them for retransmission, answers the receiver's RTCP and
//! writes sender reports. Packets of data go out twice. It is told `now`, reads no clock and never waits. Wishes of the
//! receiving side (a key frame, a bitrate) land on the [`Edge`] that the encoder stage reads.

use std::collections::VecDeque;
use std::sync::Arc;

use conclave_codecs::EncodedInfo;

use crate::control::Edge;
use crate::e2ee::proof::{self, Prover, Sign};
use crate::e2ee::{Context, DynKeys, Epoch, KeyError, Role, SealError, SealStats, Sealer};
use crate::encode::Framing;
use crate::frame::{Buffer, Encoded, Kind, MAX_PACKET, Packet, Sealed};
use crate::ledger::Stage;
use crate::recover::history::{History, REPEAT_US};
use crate::rtp::chain::{self, Chain};
use crate::rtp::packetize::{self, Packetizer};
use crate::rtp::rtcp;
use crate::time::{Stopwatch, Time};

/// One outgoing stream.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    /// SSRC.
    pub id: u32,
    /// The media, which also names the key.
    pub kind: Kind,
    /// RTP payload type, 0 to 63 or 96 to 127.
    pub payload_type: u8,
}

/// What a sender is opened with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The streams; frames name theirs in their header.
    pub streams: Vec<Stream>,
    /// Largest datagram in bytes, 200 to 1500.
    pub mtu: usize,
    /// Stamps from a running or a still watch.
    pub watch: Stopwatch,
}

impl Default for Config {
    fn default() -> Self {
        Self { streams: Vec::new(), mtu: 1200, watch: Stopwatch::still() }
    }
}

/// Why a frame was not sent, or a sender not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The frame names a stream that was not declared.
    #[error("stream {0:#x} is not among the sender's streams: declare it in `send::Config`")]
    Stream(u32),
    /// The key source has no key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The frame was not sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The member's role.
    #[error("this member is a recorder: it receives only, and sends no {0:?}; a host can give it another role")]
    ReceiveOnly(Kind),
    /// The frame was not cut into packets.
    #[error(transparent)]
    Packetize(#[from] packetize::Error),
    /// What the frame needs cannot be stated. A key frame was asked for.
    #[error(transparent)]
    Chain(#[from] chain::Error),
    /// More streams of a kind than there are keys for.
    #[error("there are too many streams of kind {0:?}: a camera has three encodings, a screen two, all else one")]
    Encodings(Kind),
    /// There is no way for proofs.
    #[error("proofs travel on a stream of data and there is none: declare one in `send::Config`")]
    NoData,
    /// The configuration cannot work.
    #[error("a datagram of {0} bytes is outside 200 to 1500: 1200 fits every path")]
    Mtu(usize),
    /// A payload type that RTCP's packets would be taken for (RFC 5761, section 4).
    #[error("payload type {0} is none, or is taken for RTCP's: use 96 to 127")]
    PayloadType(u8),
}

/// What a sender has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Stats {
    /// Frames that went out.
    pub frames: u64,
    /// Media packets that went out for the first time.
    pub packets: u64,
    /// Bytes of those, RTP headers included.
    pub bytes: u64,
    /// Packets sent again.
    pub resent: u64,
    /// Packets of data sent again, unasked.
    pub repeated: u64,
    /// Packets asked for that were too old or asked for too often.
    pub not_resent: u64,
    /// Key frames asked for by the receiver.
    pub keyframe_requests: u64,
    /// RTCP datagrams that could not be read.
    pub malformed: u64,
    /// Of the frames, those that carry proofs of who sent the others.
    pub proofs: u64,
    /// Times that the streams went over to the keys of another epoch.
    pub rekeys: u64,
}

/// Time between two sender reports.
const REPORT_US: u64 = 1_000_000;

/// Packets kept for retransmission, per stream.
const KEPT: usize = 1024;

/// The newest packet of data goes out so often more while nothing follows it, each time after this time: what is lost at
/// the end no receiver can miss.
const TAIL_TIMES: u8 = 3;
const TAIL_US: u64 = 200_000;

struct Outgoing {
    stream: Stream,
    context: Context,
    /// Absent while there is no key and nothing may be sealed.
    sealer: Option<Sealer>,
    packetizer: Packetizer,
    history: History,
    chain: Chain,
    edge: Edge,
    /// A receiver asks for a key frame, and when the last one went out.
    asked: bool,
    keyed: Option<Time>,
    next_report: Time,
    /// Packets of data that go out again, and when.
    again: VecDeque<(u16, Time)>,
    /// The newest one, when it goes out once more, and how often it still does.
    tail: Option<(u16, Time, u8)>,
}

/// Between two key frames that receivers ask for lies at least so much, however many of them ask.
const KEY_FLOOR_US: u64 = 300_000;

impl Outgoing {
    /// Passes on that a receiver asks for a key frame, once that is due.
    fn wish(&mut self, now: Time) {
        if self.asked && self.keyed.is_none_or(|keyed| now.since(keyed) >= KEY_FLOOR_US) {
            self.asked = false;
            self.edge.request_keyframe();
        }
    }
}

/// See the module.
pub struct Sender {
    keys: DynKeys,
    prover: Option<Prover<Box<dyn Sign + Send>>>,
    /// What a proof is written into.
    spare: Buffer,
    streams: Vec<Outgoing>,
    edge: Edge,
    stats: Stats,
    watch: Stopwatch,
}

impl Sender {
    /// A sender over the keys of `keys`, which may still have none.
    ///
    /// # Errors
    /// [`SendError::Mtu`], [`SendError::PayloadType`], and [`KeyError::Taken`] where another sender has the keys.
    pub fn new(config: Config, mut keys: DynKeys) -> Result<Self, SendError> {
        if !(200..=MAX_PACKET).contains(&config.mtu) {
            return Err(SendError::Mtu(config.mtu));
        }
        let unfit = |stream: &&Stream| matches!(stream.payload_type, 64..=95 | 128..);
        if let Some(stream) = config.streams.iter().find(unfit) {
            return Err(SendError::PayloadType(stream.payload_type));
        }
        let edge = Edge::new();
        let first = config.streams.iter().find(|stream| stream.kind.is_video()).map(|stream| stream.id);
        let mut open = |(at, stream): (usize, &Stream)| {
            let before = config.streams[..at].iter().filter(|other| other.kind == stream.kind).count();
            let context = u8::try_from(before).ok().and_then(|index| Context::nth(stream.kind, index));
            let context = context.ok_or(SendError::Encodings(stream.kind))?;
            let other = stream.kind.is_video() && Some(stream.id) != first;
            Ok(Outgoing {
                stream: *stream,
                context,
                sealer: sealer(&mut keys, context)?,
                packetizer: Packetizer::new(packetize::Config {
                    ssrc: stream.id,
                    payload_type: stream.payload_type,
                    mtu: config.mtu,
                    ..packetize::Config::default()
                }),
                history: History::new(KEPT),
                chain: Chain::default(),
                edge: if other { Edge::new() } else { edge.clone() },
                asked: false,
                keyed: None,
                next_report: Time(0),
                again: VecDeque::with_capacity(if stream.kind == Kind::Data { KEPT } else { 0 }),
                tail: None,
            })
        };
        let streams = config.streams.iter().enumerate().map(&mut open).collect::<Result<_, SendError>>()?;
        let (prover, spare) = (None, Buffer::default());
        Ok(Self { keys, prover, spare, streams, edge, stats: Stats::default(), watch: config.watch })
    }

    /// Signs what is sealed from now on, under epochs that name a media key for this member ([`crate::e2ee::proof`]). The
    /// proofs go out on the stream of data.
    ///
    /// # Errors
    /// [`SendError::NoData`].
    pub fn prove(&mut self, signer: impl Sign + Send + 'static, policy: proof::Policy) -> Result<(), SendError> {
        self.data().ok_or(SendError::NoData)?;
        self.prover = Some(Prover::new(Box::new(signer), policy));
        self.spare = Buffer::with_capacity(proof::body::MAX_LEN);
        for outgoing in &mut self.streams {
            outgoing.sealer = outgoing.sealer.take().map(Sealer::with_proofs);
        }
        Ok(())
    }

    /// The epoch that frames are sealed under, where the keys have one.
    pub fn epoch(&self) -> Option<&Arc<Epoch>> {
        self.keys.sealing()
    }

    /// The id of the stream of data.
    fn data(&self) -> Option<u32> {
        self.streams.iter().map(|outgoing| outgoing.stream).find(|stream| stream.kind == Kind::Data).map(|s| s.id)
    }

    /// Takes other keys where there are some. Whoever joined with them can read nothing older, so a key frame is wanted.
    fn turn(&mut self, now: Time) {
        if !self.keys.turn(now) {
            return;
        }
        let mut renewed = false;
        for outgoing in &mut self.streams {
            let turned = match &mut outgoing.sealer {
                Some(sealer) => sealer.renew(&mut self.keys),
                None => sealer(&mut self.keys, outgoing.context).map(|made| {
                    outgoing.sealer = if self.prover.is_some() { made.map(Sealer::with_proofs) } else { made };
                    outgoing.sealer.is_some()
                }),
            };
            match turned {
                Ok(new) => renewed |= new,
                // Keys that were withdrawn or cannot be derived seal nothing more.
                Err(_) => outgoing.sealer = None,
            }
        }
        if renewed {
            self.stats.rekeys += 1;
            let videos = self.streams.iter().filter(|outgoing| outgoing.stream.kind.is_video());
            videos.for_each(|outgoing| outgoing.edge.request_keyframe());
        }
    }

    /// Where the wishes of the receiving side land: those for the first video stream, and all that names no stream.
    pub fn edge(&self) -> &Edge {
        &self.edge
    }

    /// Where key frames of `stream` are wished for, so that a camera and a screen have an encoder each; that of the first
    /// video stream is [`Sender::edge`].
    pub fn edge_of(&self, stream: u32) -> Option<&Edge> {
        self.streams.iter().find(|o| o.stream.id == stream).map(|o| &o.edge)
    }

    /// Seals `frame` and gives its datagrams to `out`. The sealed frame comes back, so that its buffer is used again.
    ///
    /// Number and template of a video frame are the sender's to choose ([`chain`]): those in its header are replaced.
    pub fn frame(&mut self, frame: Encoded, now: Time, out: &mut dyn FnMut(&Packet)) -> Result<Sealed, SendError> {
        self.turn(now);
        let kind = frame.header.kind;
        let own = self.keys.sealing().and_then(|epoch| epoch.roster.get(epoch.own));
        if kind != Kind::Data && own.is_some_and(|own| own.role == Role::Recorder) {
            return Err(SendError::ReceiveOnly(kind));
        }
        let sealed = self.seal(frame, now, out)?;
        if let (Some(prover), Some(frame), Some(epoch)) = (&mut self.prover, sealed.to_prove(), self.keys.sealing()) {
            prover.sealed(epoch, frame, now);
            self.proofs(now, out);
        }
        Ok(sealed)
    }

    /// Sends the proofs that are due.
    fn proofs(&mut self, now: Time, out: &mut dyn FnMut(&Packet)) {
        let Some(stream) = self.data() else { return };
        while let Some(proof) = self.prover.as_mut().and_then(|prover| prover.due(now)) {
            let mut payload = std::mem::take(&mut self.spare);
            payload.tail().extend_from_slice(proof);
            let frame = Framing::data(stream).frame(payload, EncodedInfo::default(), now);
            // A proof that is not sent leaves its frames unproven, which the others tell.
            self.spare = match self.seal(frame, now, out) {
                Ok(sealed) => {
                    self.stats.proofs += 1;
                    sealed.recycle()
                }
                Err(_) => Buffer::with_capacity(proof::body::MAX_LEN),
            };
        }
    }

    fn seal(&mut self, mut frame: Encoded, now: Time, out: &mut dyn FnMut(&Packet)) -> Result<Sealed, SendError> {
        self.watch.begin(now);
        let id = frame.header.stream;
        let outgoing = self.streams.iter_mut().find(|o| o.stream.id == id).ok_or(SendError::Stream(id))?;
        if frame.header.kind.is_video() {
            let assigned = outgoing.chain.assign(&frame.info, &frame.structure, &mut frame.header);
            assigned.inspect_err(|_| outgoing.edge.request_keyframe())?;
            if !frame.structure.as_slice().is_empty() {
                outgoing.keyed = Some(now);
            }
        }
        let mut sealed = outgoing.sealer.as_mut().ok_or(KeyError::None(outgoing.context.number()))?.seal(frame, now)?;
        sealed.ledger.stamp(Stage::Seal, self.watch.read());
        let rtp_time = media_ticks(sealed.captured, outgoing.stream.kind) as u32;
        let mut cut = outgoing.packetizer.cut(&sealed, rtp_time)?;
        while let Some(sequence) = cut.sequence() {
            let packet = outgoing.history.place(sequence, now);
            cut.fill(packet);
            if outgoing.stream.kind == Kind::Data {
                // What is no longer kept cannot go out again.
                if outgoing.again.len() == KEPT {
                    outgoing.again.pop_front();
                }
                outgoing.again.push_back((sequence, now.plus(REPEAT_US)));
                outgoing.tail = Some((sequence, now.plus(REPEAT_US + TAIL_US), TAIL_TIMES));
            }
            self.stats.packets += 1;
            self.stats.bytes += packet.as_slice().len() as u64;
            out(packet);
        }
        sealed.ledger.stamp(Stage::Packetize, self.watch.read());
        sealed.ledger.stamp(Stage::Send, self.watch.read());
        self.stats.frames += 1;
        Ok(sealed)
    }

    /// Takes one RTCP datagram of the receiver. Retransmissions go to `out`.
    pub fn feedback(&mut self, datagram: &[u8], now: Time, out: &mut dyn FnMut(&Packet)) {
        for message in rtcp::parse(datagram) {
            match message {
                Ok(rtcp::Message::Nack(nack)) => {
                    let Some(outgoing) = self.streams.iter_mut().find(|o| o.stream.id == nack.media_ssrc) else {
                        continue;
                    };
                    for sequence in nack.sequences() {
                        match outgoing.history.resend(sequence, now) {
                            Some(packet) => {
                                self.stats.resent += 1;
                                out(packet);
                            }
                            None => self.stats.not_resent += 1,
                        }
                    }
                }
                Ok(rtcp::Message::Pli(pli)) => {
                    self.stats.keyframe_requests += 1;
                    if let Some(outgoing) = self.streams.iter_mut().find(|o| o.stream.id == pli.media_ssrc) {
                        outgoing.asked = true;
                        outgoing.wish(now);
                    }
                }
                Ok(_) => {}
                Err(_) => {
                    self.stats.malformed += 1;
                    return;
                }
            }
        }
    }

    /// Moves the keys on by the clock, and writes the reports that are due and what goes out again.
    pub fn tick(&mut self, now: Time, out: &mut dyn FnMut(&Packet)) {
        self.turn(now);
        self.proofs(now, out);
        for outgoing in &mut self.streams {
            // Also of a stream that says nothing the keys of before are erased in time.
            outgoing.sealer.iter_mut().for_each(|sealer| sealer.tick(now));
            outgoing.wish(now);
            while let Some((sequence, _)) = outgoing.again.front().copied().filter(|(_, at)| *at <= now) {
                outgoing.again.pop_front();
                if let Some(packet) = outgoing.history.repeat(sequence, now) {
                    self.stats.repeated += 1;
                    out(packet);
                }
            }
            let due = outgoing.tail.take_if(|(_, at, _)| *at <= now);
            if let Some((sequence, _, left)) = due.filter(|(.., left)| *left > 0) {
                outgoing.tail = Some((sequence, now.plus(TAIL_US), left - 1));
                if let Some(packet) = outgoing.history.repeat(sequence, now) {
                    self.stats.repeated += 1;
                    out(packet);
                }
            }
        }
        // Of a stream that has sent nothing there is nothing to report.
        for outgoing in self.streams.iter_mut().filter(|o| o.next_report <= now && o.packetizer.packets() > 0) {
            outgoing.next_report = now.plus(REPORT_US);
            let report = rtcp::SenderReport {
                ssrc: outgoing.stream.id,
                ntp: ntp(now),
                rtp_time: media_ticks(now, outgoing.stream.kind) as u32,
                packets: outgoing.packetizer.packets() as u32,
                octets: outgoing.packetizer.octets() as u32,
            };
            let mut packet = Packet::empty();
            if let Some(len) = report.write(packet.spare()) {
                packet.set_len(len);
                out(&packet);
            }
        }
    }

    /// What was done so far.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// What the sealer of a stream has done.
    pub fn seal_stats(&self, stream: u32) -> Option<&SealStats> {
        self.streams.iter().find(|o| o.stream.id == stream)?.sealer.as_ref().map(Sealer::stats)
    }
}

/// A sealer for `context`; none where there is no key yet.
fn sealer(keys: &mut DynKeys, context: Context) -> Result<Option<Sealer>, KeyError> {
    match Sealer::new(keys, context) {
        Err(KeyError::None(_)) => Ok(None),
        sealer => sealer.map(Some),
    }
}

/// RTP clock of a kind of media: 48 kHz for Opus (RFC 7587), 90 kHz for video.
pub const fn clock_rate(kind: Kind) -> u64 {
    if kind.is_audio() { 48_000 } else { 90_000 }
}

/// A session time in units of the kind's RTP clock.
pub(crate) const fn media_ticks(at: Time, kind: Kind) -> u64 {
    at.0 * (clock_rate(kind) / 1000) / 1000
}

/// A session time as a 32.32 NTP timestamp (RFC 3550 §4); the epoch is the start of the session.
pub(crate) const fn ntp(at: Time) -> u64 {
    (at.0 / 1_000_000) << 32 | ((at.0 % 1_000_000) << 32) / 1_000_000
}
