//! The receiving half of a meeting, sans-IO: datagrams in, authenticated frames in decoding order out.
//!
//! [`Receiver`] hears one participant: its camera and microphone, its screen and the screen's sound, its data, or any of
//! these. It joins fragments, opens frames, asks for what is missing (NACK, then a key frame), orders video by
//! dependency, smooths audio, keeps pictures in step with their sound and writes receiver reports. Data comes out as it
//! arrives ([`crate::data`] orders it). It is told `now`, reads no clock and never waits.

use std::collections::VecDeque;

use conclave_codecs::{AudioInput, CodecError};

use crate::e2ee::{self, DynKeys, OpenStats, Opener, Reason, Rejected, proof};
use crate::frame::{Arrived, Kind, Opened, Packet, Packets};
use crate::jitter::audio::{self, AudioBuffer, Pull};
use crate::jitter::sync::{Mapping, Sync};
use crate::jitter::video::{self, FrameBuffer, Insert, Numbers};
use crate::ledger::Stage;
use crate::recover::keyframe::Requests;
use crate::recover::nack::{self, NackList};
use crate::rtp::depacketize::{self, Assembler};
use crate::rtp::header::{Rtp, is_rtcp};
use crate::rtp::rtcp::{self, NackWriter, Pli, Reception};
use crate::send::{clock_rate, media_ticks};
use crate::time::{Stopwatch, Time};

/// What a receiver is opened with.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// The receiver's own SSRC, for its reports.
    pub id: u32,
    /// SSRC and kind of the video stream.
    pub video: Option<(u32, Kind)>,
    /// SSRC and kind of the audio stream.
    pub audio: Option<(u32, Kind)>,
    /// SSRC of the shared screen.
    pub screen: Option<u32>,
    /// SSRC of the screen's sound.
    pub screen_audio: Option<u32>,
    /// SSRC of the data.
    pub data: Option<u32>,
    /// Samples (48 kHz) in one audio packet: 480 or 960.
    pub audio_samples: usize,
    /// When frames are believed to come from whom they say, under keys of a group; `None` believes every member.
    pub proofs: Option<proof::Policy>,
    /// Stamps from a running or a still watch.
    pub watch: Stopwatch,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            id: 1,
            video: None,
            audio: None,
            screen: None,
            screen_audio: None,
            data: None,
            audio_samples: 960,
            proofs: Some(proof::Policy::default()),
            watch: Stopwatch::still(),
        }
    }
}

/// Pictures and the sound that belongs to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pair {
    /// Camera and microphone.
    Person,
    /// Screen and its sound.
    Screen,
}

impl Pair {
    /// Both.
    pub const ALL: [Pair; 2] = [Pair::Person, Pair::Screen];
}

/// What was played for one packet's worth of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A packet that arrived.
    Packet,
    /// A lost packet, filled from the FEC of the next.
    Repaired,
    /// A gap, concealed.
    Concealed,
    /// Playing has not begun.
    Nothing,
}

/// Counters of a receiver; its parts have their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Stats {
    /// Datagrams taken.
    pub datagrams: u64,
    /// Datagrams of no stream of this receiver.
    pub foreign: u64,
    /// Datagrams that are neither RTP nor RTCP.
    pub malformed: u64,
    /// RTCP datagrams taken.
    pub reports: u64,
    /// NACK messages written.
    pub nacks: u64,
    /// Key frame requests written.
    pub keyframe_requests: u64,
    /// Frames that waited for their key or their proof and were taken once it had come.
    pub key_came: u64,
    /// Opened frames dropped as the authenticated structure lacks their template.
    pub unknown_template: u64,
    /// Frames of data opened.
    pub data: u64,
    /// Of those, frames dropped as too many waited to be taken.
    pub data_refused: u64,
}

/// Counters of everything inside a receiver.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Snapshot {
    /// The receiver itself.
    pub receiver: Stats,
    /// Joining of video packets.
    pub video_packets: depacketize::Stats,
    /// Joining of audio packets.
    pub audio_packets: depacketize::Stats,
    /// Missing video packets.
    pub video_nack: nack::Stats,
    /// Missing audio packets.
    pub audio_nack: nack::Stats,
    /// The video frame buffer.
    pub video: video::Stats,
    /// The audio jitter buffer.
    pub audio: audio::Stats,
    /// Joining of the screen's packets.
    pub screen_packets: depacketize::Stats,
    /// Joining of packets of the screen's sound.
    pub screen_audio_packets: depacketize::Stats,
    /// Joining of packets of data.
    pub data_packets: depacketize::Stats,
    /// Missing packets of the screen.
    pub screen_nack: nack::Stats,
    /// Missing packets of the screen's sound.
    pub screen_audio_nack: nack::Stats,
    /// Missing packets of data.
    pub data_nack: nack::Stats,
    /// The screen's frame buffer.
    pub screen: video::Stats,
    /// The jitter buffer of the screen's sound.
    pub screen_audio: audio::Stats,
    /// Opening.
    pub open: OpenStats,
}

/// Events about frames that wait to be taken.
const TOLD: usize = 32;

/// Time between two receiver reports.
const REPORT_US: u64 = 1_000_000;

/// Longest wait for a repair: the sender keeps packets for a second.
const MAX_PATIENCE_US: u64 = 800_000;

/// Frames of data that wait to be taken.
const DATA_DEPTH: usize = 128;

/// What every stream has.
struct Incoming {
    id: u32,
    kind: Kind,
    assembler: Assembler,
    nack: NackList,
    reception: Reception,
    clock: Mapping,
    next_report: Time,
    last_report: Option<(u32, Time)>,
}

impl Incoming {
    fn new(id: u32, kind: Kind, watch: Stopwatch) -> Self {
        Self {
            id,
            kind,
            assembler: Assembler::new(id, kind, watch),
            nack: NackList::new(),
            reception: Reception::default(),
            clock: Mapping::new(clock_rate(kind)),
            next_report: Time(REPORT_US),
            last_report: None,
        }
    }

    fn packet(&mut self, rtp: &Rtp<'_>, datagram: &[u8], now: Time) -> Option<Arrived> {
        let before = self.assembler.stats().duplicates;
        let (sequence, frame) = self.assembler.push(datagram, now);
        if let Some(sequence) = sequence {
            self.nack.arrived(sequence, now);
            // Packets of data come twice by design, which is no news of the path.
            if self.kind != Kind::Data || self.assembler.stats().duplicates == before {
                self.reception.arrived(sequence, rtp.timestamp, media_ticks(now, self.kind));
            }
        }
        frame
    }

    /// A frame was not opened: what was damaged on the way is asked for again, what waits for a key or is a replay is
    /// not.
    fn ask_again(&mut self, rejected: Rejected, packets: Packets, since: Time, now: Time) {
        if rejected.damaged {
            let Packets { first, last, .. } = packets;
            self.assembler.forget(first, last);
            (first..=last).for_each(|sequence| self.nack.damaged(sequence, since, now));
        }
        self.assembler.recycle(rejected.payload);
    }

    fn report(&mut self, own: u32, now: Time, out: &mut dyn FnMut(&Packet)) {
        if now < self.next_report {
            return;
        }
        self.next_report = now.plus(REPORT_US);
        let mut report = self.reception.report(own, self.id);
        if let Some((middle, at)) = self.last_report {
            report.last_report = middle;
            report.delay = (now.since(at) * 65_536 / 1_000_000).min(u32::MAX.into()) as u32;
        }
        emit(|bytes| report.write(bytes), out);
    }

    /// Writes NACKs for what is due; returns how many.
    fn ask(&mut self, own: u32, now: Time, out: &mut dyn FnMut(&Packet)) -> u64 {
        let (mut writer, mut written, id) = (NackWriter::new(own, self.id), 0, self.id);
        self.nack.due(now, &mut |sequence| {
            if !writer.add(sequence) {
                emit(|bytes| writer.write(bytes), out);
                written += 1;
                writer = NackWriter::new(own, id);
                writer.add(sequence);
            }
        });
        if !writer.is_empty() {
            emit(|bytes| writer.write(bytes), out);
            written += 1;
        }
        written
    }
}

struct VideoIn {
    stream: Incoming,
    frames: FrameBuffer<Opened>,
    numbers: Numbers,
    requests: Requests,
    /// The sender's first frame number, so that frames count from it.
    last_rtp: u32,
}

impl VideoIn {
    fn new(id: u32, kind: Kind, watch: Stopwatch) -> Self {
        Self {
            stream: Incoming::new(id, kind, watch),
            frames: FrameBuffer::new(),
            numbers: Numbers::default(),
            requests: Requests::new(),
            last_rtp: 0,
        }
    }

    /// Writes what is due; returns how many NACKs and key frame requests.
    fn tick(&mut self, own: u32, now: Time, out: &mut dyn FnMut(&Packet)) -> (u64, u64) {
        // A key frame takes a round trip too, so that on a long way it pays to wait for three repairs.
        let patience = (3 * self.stream.nack.stats().repair_us).clamp(video::PATIENCE_US, MAX_PATIENCE_US);
        self.frames.set_patience(patience);
        self.stream.nack.set_patience(patience);
        let nacks = self.stream.ask(own, now, out);
        if self.stream.nack.gave_up() || self.stream.assembler.lacks_structure() {
            self.requests.want();
        }
        self.stream.report(own, now, out);
        let asks = self.requests.due(now);
        if asks {
            let pli = Pli { ssrc: own, media_ssrc: self.stream.id };
            emit(|bytes| pli.write(bytes), out);
        }
        (nacks, asks.into())
    }
}

struct AudioIn {
    stream: Incoming,
    buffer: AudioBuffer<Opened>,
    last_rtp: u32,
    /// When the packet played last was captured, by its author's word.
    played: Option<Time>,
}

/// A packet of sound that was captured before the one played last is out of its order: the numbers that the order goes by
/// are not authenticated. Stamps waver by less than the first of these, and a sender that began anew stamps by more than
/// the second.
const MISPLACED_US: std::ops::Range<u64> = 20_000..10_000_000;

/// Whether a packet is not in its author's order.
fn is_misplaced(played: Option<Time>, captured: Time) -> bool {
    played.is_some_and(|played| MISPLACED_US.contains(&played.since(captured)))
}

impl AudioIn {
    fn new(id: u32, kind: Kind, packet_us: u64, watch: Stopwatch) -> Self {
        Self { stream: Incoming::new(id, kind, watch), buffer: AudioBuffer::new(packet_us), last_rtp: 0, played: None }
    }

    /// Writes what is due; returns how many NACKs.
    fn tick(&mut self, own: u32, now: Time, out: &mut dyn FnMut(&Packet)) -> u64 {
        // Sound that comes after its time is of no use; the packet behind it fills the gap.
        self.stream.nack.set_patience(self.buffer.target_us());
        let nacks = self.stream.ask(own, now, out);
        self.stream.report(own, now, out);
        nacks
    }
}

struct DataIn {
    stream: Incoming,
    opened: VecDeque<Opened>,
}

impl DataIn {
    fn new(id: u32, watch: Stopwatch) -> Self {
        let mut stream = Incoming::new(id, Kind::Data, watch);
        // Data does not lose its worth while the sender still has it.
        stream.nack.set_patience(MAX_PATIENCE_US);
        Self { stream, opened: VecDeque::with_capacity(DATA_DEPTH) }
    }
}

/// See the module.
pub struct Receiver {
    config: Config,
    opener: Opener<DynKeys>,
    told: VecDeque<e2ee::Event>,
    /// By [`Pair`], like `audios` and `syncs`; each from its first packet or report on.
    videos: [Option<VideoIn>; 2],
    audios: [Option<AudioIn>; 2],
    data: Option<DataIn>,
    syncs: [Sync; 2],
    watch: Stopwatch,
    stats: Stats,
}

impl Receiver {
    /// A receiver over the keys of `keys`.
    pub fn new(config: Config, keys: DynKeys) -> Self {
        let watch = config.watch;
        let mut opener = Opener::new(keys);
        if let Some(policy) = config.proofs {
            opener = opener.with_proofs(policy);
        }
        Self {
            opener,
            told: VecDeque::with_capacity(TOLD),
            videos: [None, None],
            audios: [None, None],
            data: None,
            syncs: Default::default(),
            watch,
            stats: Stats::default(),
            config,
        }
    }

    /// Takes one datagram, RTP or RTCP. Whatever is wrong with it is counted and costs nothing else.
    pub fn datagram(&mut self, datagram: &[u8], now: Time) {
        self.stats.datagrams += 1;
        if is_rtcp(datagram) {
            return self.report(datagram, now);
        }
        let Ok(rtp) = Rtp::parse(datagram) else {
            self.stats.malformed += 1;
            return;
        };
        self.begin(rtp.ssrc);
        let Some(stream) = self.stream(rtp.ssrc) else {
            self.stats.foreign += 1;
            return;
        };
        let mut frame = stream.packet(&rtp, datagram, now);
        while let Some(whole) = frame {
            self.open(whole, now);
            // Frames that were whole before the structure that they need.
            frame = self.stream(rtp.ssrc).and_then(|stream| stream.assembler.released());
        }
    }

    /// The next frame of the camera for the decoder, with its number; `None` where none can be decoded now.
    pub fn video(&mut self, now: Time) -> Option<(u64, Opened)> {
        self.frame_of(Pair::Person, now)
    }

    /// The next frame of the screen, likewise.
    pub fn screen(&mut self, now: Time) -> Option<(u64, Opened)> {
        self.frame_of(Pair::Screen, now)
    }

    /// The next video frame of `pair`, likewise.
    pub fn frame_of(&mut self, pair: Pair, now: Time) -> Option<(u64, Opened)> {
        let video = self.videos[pair as usize].as_mut()?;
        let next = video.frames.next(now);
        while let Some(opened) = video.frames.dropped() {
            video.stream.assembler.recycle(opened.payload);
        }
        if video.frames.needs_keyframe() {
            video.requests.want();
        }
        // The 16-bit numbers of the wire count from 2^16 when unwrapped.
        let (number, opened) = next?;
        video.last_rtp = opened.packets.rtp_time as u32;
        if !opened.structure.as_slice().is_empty() {
            // A key frame: nothing before it is of use.
            video.stream.nack.forget_before(opened.packets.first);
        }
        Some((number.saturating_sub(1 << 16), opened))
    }

    /// The next frame of data, in the order of arrival.
    pub fn data(&mut self, _now: Time) -> Option<Opened> {
        self.data.as_mut()?.opened.pop_front()
    }

    /// When the camera's picture handed out last is to be shown, so that it keeps step with the microphone.
    pub fn show_at(&mut self, now: Time) -> Time {
        self.show_at_of(Pair::Person, now)
    }

    /// When the picture of `pair` handed out last is to be shown, so that it keeps step with its sound.
    pub fn show_at_of(&mut self, pair: Pair, now: Time) -> Time {
        let wall = self.videos[pair as usize].as_ref().and_then(|v| v.stream.clock.wall_us(v.last_rtp));
        wall.map_or(now, |wall| self.syncs[pair as usize].show_at(wall, now))
    }

    /// Plays one packet's worth of the microphone: calls `decode` with what there is to decode.
    pub fn audio(
        &mut self,
        now: Time,
        decode: &mut dyn FnMut(AudioInput<'_>) -> Result<usize, CodecError>,
    ) -> Result<Heard, CodecError> {
        self.sound_of(Pair::Person, now, decode)
    }

    /// Plays one packet's worth of the screen's sound, likewise.
    pub fn screen_audio(
        &mut self,
        now: Time,
        decode: &mut dyn FnMut(AudioInput<'_>) -> Result<usize, CodecError>,
    ) -> Result<Heard, CodecError> {
        self.sound_of(Pair::Screen, now, decode)
    }

    /// Plays one packet's worth of the sound of `pair`, likewise.
    pub fn sound_of(
        &mut self,
        pair: Pair,
        now: Time,
        decode: &mut dyn FnMut(AudioInput<'_>) -> Result<usize, CodecError>,
    ) -> Result<Heard, CodecError> {
        let Some(audio) = &mut self.audios[pair as usize] else { return Ok(Heard::Nothing) };
        let pull = audio.buffer.pull();
        while let Some(opened) = audio.buffer.dropped() {
            audio.stream.assembler.recycle(opened.payload);
        }
        match pull {
            Pull::Wait => Ok(Heard::Nothing),
            Pull::Packet(opened) if is_misplaced(audio.played, opened.captured) => {
                audio.stream.assembler.recycle(opened.payload);
                decode(AudioInput::Lost).map(|_| Heard::Concealed)
            }
            Pull::Packet(opened) => {
                audio.played = Some(opened.captured);
                let rtp_time = opened.packets.rtp_time as u32;
                if let Some(wall) = audio.stream.clock.wall_us(rtp_time) {
                    self.syncs[pair as usize].heard(wall, now);
                }
                audio.last_rtp = rtp_time;
                let decoded = decode(AudioInput::Packet(opened.payload.as_slice()));
                audio.stream.assembler.recycle(opened.payload);
                // An authenticated packet that Opus refuses is the sender's fault: conceal it.
                match decoded {
                    Ok(_) => Ok(Heard::Packet),
                    Err(_) => decode(AudioInput::Lost).map(|_| Heard::Concealed),
                }
            }
            Pull::Fec => {
                let next = audio.buffer.peek().map(|opened| decode(AudioInput::Fec(opened.payload.as_slice())));
                match next {
                    Some(Ok(_)) => Ok(Heard::Repaired),
                    _ => decode(AudioInput::Lost).map(|_| Heard::Concealed),
                }
            }
            Pull::Conceal => decode(AudioInput::Lost).map(|_| Heard::Concealed),
        }
    }

    /// Samples per channel of one audio packet.
    pub fn audio_samples(&self) -> usize {
        self.config.audio_samples
    }

    /// A frame comes back after decoding, so that its buffer is used again.
    pub fn recycle(&mut self, opened: Opened) {
        if let Some(stream) = self.stream(opened.header.stream) {
            stream.assembler.recycle(opened.payload);
        }
    }

    /// The camera's decoder refused a frame and has been reset: only a key frame helps.
    pub fn decoder_lost_sync(&mut self) {
        self.lost_sync_of(Pair::Person);
    }

    /// The video decoder of `pair` refused a frame, likewise.
    pub fn lost_sync_of(&mut self, pair: Pair) {
        let ids = [self.config.video.map(|(id, _)| id), self.config.screen];
        if let Some(id) = ids[pair as usize] {
            self.begin(id);
        }
        if let Some(video) = &mut self.videos[pair as usize] {
            video.frames.lost_sync();
            video.requests.want();
        }
    }

    /// The key source has other keys than before: the next [`Receiver::tick`] opens the frames that were held for them.
    /// A source that says so by itself ([`crate::e2ee::KeySource::turn`]) needs no such call.
    pub fn keys_changed(&mut self, now: Time) {
        self.opener.keys_changed(now);
    }

    /// Where the keys come from; [`Receiver::keys_changed`] is called after a change.
    pub fn keys(&mut self) -> &mut DynKeys {
        self.opener.source_mut()
    }

    /// Writes what is due: NACKs, key frame requests, receiver reports.
    pub fn tick(&mut self, now: Time, out: &mut dyn FnMut(&Packet)) {
        let own = self.config.id;
        self.release(now);
        while let Some(event) = self.opener.event() {
            if self.told.len() == TOLD {
                self.told.pop_front();
            }
            self.told.push_back(event);
            let dropped = event.reason == Reason::MissingKey;
            if let Some(video) = self.videos.iter_mut().flatten().find(|v| dropped && v.stream.id == event.stream) {
                video.requests.want();
            }
        }
        for video in self.videos.iter_mut().flatten() {
            let (nacks, requests) = video.tick(own, now, out);
            self.stats.nacks += nacks;
            self.stats.keyframe_requests += requests;
        }
        for audio in self.audios.iter_mut().flatten() {
            self.stats.nacks += audio.tick(own, now, out);
        }
        if let Some(data) = &mut self.data {
            self.stats.nacks += data.stream.ask(own, now, out);
            data.stream.report(own, now, out);
        }
    }

    /// Counters of everything inside.
    pub fn snapshot(&self) -> Snapshot {
        let counts = |stream: Option<&Incoming>| {
            stream.map_or_else(Default::default, |stream| (*stream.assembler.stats(), *stream.nack.stats()))
        };
        let [video, screen] = self.videos.each_ref().map(Option::as_ref);
        let [audio, screen_audio] = self.audios.each_ref().map(Option::as_ref);
        let (video_packets, video_nack) = counts(video.map(|v| &v.stream));
        let (audio_packets, audio_nack) = counts(audio.map(|a| &a.stream));
        let (screen_packets, screen_nack) = counts(screen.map(|v| &v.stream));
        let (screen_audio_packets, screen_audio_nack) = counts(screen_audio.map(|a| &a.stream));
        let (data_packets, data_nack) = counts(self.data.as_ref().map(|d| &d.stream));
        Snapshot {
            receiver: self.stats,
            video_packets,
            audio_packets,
            video_nack,
            audio_nack,
            video: video.map_or_else(Default::default, |v| *v.frames.stats()),
            audio: audio.map_or_else(Default::default, |a| *a.buffer.stats()),
            screen_packets,
            screen_audio_packets,
            data_packets,
            screen_nack,
            screen_audio_nack,
            data_nack,
            screen: screen.map_or_else(Default::default, |v| *v.frames.stats()),
            screen_audio: screen_audio.map_or_else(Default::default, |a| *a.buffer.stats()),
            open: self.opener.stats().clone(),
        }
    }

    /// The next event about frames that could not be opened; the oldest of those that nobody takes give way.
    pub fn event(&mut self) -> Option<e2ee::Event> {
        self.told.pop_front()
    }

    /// The next event about who sent what.
    pub fn proof_event(&mut self) -> Option<proof::Event> {
        self.opener.proof_event()
    }

    /// What became of the proofs of who sent what, and of the frames that they are about; that of the participant heard
    /// and, for a while, of whoever had its place before.
    pub fn proof_stats(&self) -> impl Iterator<Item = &proof::Stats> {
        self.opener.verifiers().map(|(_, verifier)| verifier.stats())
    }

    /// The newest epoch that the participant heard has proven to seal under, and when its last proof came.
    pub fn proven(&self) -> Option<(u64, Time)> {
        self.opener.verifiers().filter_map(|(_, verifier)| verifier.heard()).max()
    }

    /// How far the microphone lags behind the camera, in microseconds; `None` before the first sender reports.
    pub fn skew_us(&self) -> Option<i64> {
        self.syncs[Pair::Person as usize].skew_us()
    }

    fn report(&mut self, datagram: &[u8], now: Time) {
        self.stats.reports += 1;
        for message in rtcp::parse(datagram) {
            let Ok(rtcp::Message::SenderReport(report)) = message else { continue };
            self.begin(report.ssrc);
            if let Some(stream) = self.stream(report.ssrc) {
                stream.clock.report(report.ntp, report.rtp_time);
                stream.last_report = Some(((report.ntp >> 16) as u32, now));
            }
        }
    }

    /// Makes room for the stream `id` where it is one to be heard and nothing of it came before: of most members of a
    /// large meeting little is ever heard, and the room for their video is a few megabytes each.
    fn begin(&mut self, id: u32) {
        let Self { config, watch, videos, audios, data, .. } = self;
        let kinds = [config.video, config.screen.map(|id| (id, Kind::Screen))];
        for (video, (id, kind)) in
            videos.iter_mut().zip(kinds).filter_map(|(v, kind)| Some((v, kind.filter(|k| k.0 == id)?)))
        {
            video.get_or_insert_with(|| VideoIn::new(id, kind, *watch));
        }
        let kinds = [config.audio, config.screen_audio.map(|id| (id, Kind::ScreenAudio))];
        let packet_us = config.audio_samples as u64 * 1_000_000 / 48_000;
        for (audio, (id, kind)) in
            audios.iter_mut().zip(kinds).filter_map(|(a, kind)| Some((a, kind.filter(|k| k.0 == id)?)))
        {
            audio.get_or_insert_with(|| AudioIn::new(id, kind, packet_us, *watch));
        }
        if config.data == Some(id) {
            data.get_or_insert_with(|| DataIn::new(id, *watch));
        }
    }

    /// What all streams have, of the stream `id`.
    fn stream(&mut self, id: u32) -> Option<&mut Incoming> {
        let videos = self.videos.iter_mut().flatten().map(|video| &mut video.stream);
        let audios = self.audios.iter_mut().flatten().map(|audio| &mut audio.stream);
        let data = self.data.iter_mut().map(|data| &mut data.stream);
        videos.chain(audios).chain(data).find(|stream| stream.id == id)
    }

    /// What waited for its key or its proof has been opened, or has waited too long and given its room back.
    fn release(&mut self, now: Time) {
        while let Some(opened) = self.opener.released(now) {
            self.watch.begin(now);
            self.stats.key_came += 1;
            self.take(opened, now);
        }
    }

    fn open(&mut self, frame: Arrived, now: Time) {
        self.watch.begin(now);
        let (id, packets, since) = (frame.header.stream, frame.packets, frame.ledger.at(Stage::Arrive).unwrap_or(now));
        let proves = frame.header.kind == Kind::Data;
        match self.opener.open(frame, now) {
            Ok(opened) => self.take(opened, now),
            Err(rejected) => {
                if let Some(stream) = self.stream(id) {
                    stream.ask_again(rejected, packets, since, now);
                }
                if proves {
                    self.release(now);
                }
            }
        }
    }

    /// An opened frame goes where its stream's frames wait.
    fn take(&mut self, mut opened: Opened, now: Time) {
        opened.ledger.stamp(Stage::Open, self.watch.read());
        let id = opened.header.stream;
        let video = self.videos.iter().position(|video| video.as_ref().is_some_and(|v| v.stream.id == id));
        let audio = self.audios.iter().position(|audio| audio.as_ref().is_some_and(|a| a.stream.id == id));
        match (video, audio) {
            (Some(at), _) => self.take_video(at, opened, now),
            (_, Some(at)) => self.take_audio(at, opened, now),
            _ => self.take_data(opened),
        }
    }

    fn take_video(&mut self, at: usize, opened: Opened, now: Time) {
        let Some(video) = &mut self.videos[at] else { return };
        // Key frame or not, and what it needs: from authenticated bytes alone (`rtp::chain`).
        let keyframe = !opened.structure.as_slice().is_empty();
        let number = video.numbers.unwrap(opened.header.frame_number, opened.captured, keyframe);
        if keyframe {
            video.stream.assembler.adopt(&opened.structure);
        }
        let template = video.stream.assembler.template(opened.header.template_id).copied();
        let Some(template) = template.or(keyframe.then(Default::default)) else {
            self.stats.unknown_template += 1;
            video.stream.assembler.recycle(opened.payload);
            return;
        };
        let needs = if keyframe { &[] } else { template.diffs() };
        match video.frames.insert(number, needs, keyframe, opened, now) {
            Insert::Held if keyframe => video.requests.satisfied(),
            Insert::Held => {}
            Insert::Refused(opened) | Insert::Displaced(opened) => video.stream.assembler.recycle(opened.payload),
        }
    }

    fn take_audio(&mut self, at: usize, opened: Opened, now: Time) {
        let Some(audio) = &mut self.audios[at] else { return };
        if let Some(opened) = audio.buffer.insert(opened.packets.first, opened.captured, opened, now) {
            audio.stream.assembler.recycle(opened.payload);
        }
    }

    fn take_data(&mut self, opened: Opened) {
        let Some(data) = &mut self.data else { return };
        self.stats.data += 1;
        if data.opened.len() < DATA_DEPTH {
            data.opened.push_back(opened);
        } else {
            self.stats.data_refused += 1;
            data.stream.assembler.recycle(opened.payload);
        }
    }
}

/// Writes one RTCP packet and gives it to `out`.
fn emit(write: impl FnOnce(&mut [u8]) -> Option<usize>, out: &mut dyn FnMut(&Packet)) {
    let mut packet = Packet::empty();
    if let Some(len) = write(packet.spare()) {
        packet.set_len(len);
        out(&packet);
    }
}
