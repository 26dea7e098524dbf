//! The receiving half of a meeting, sans-IO: datagrams in, authenticated frames in decoding order out.
//!
//! [`Receiver`] hears one participant: a video stream, an audio stream, or both. It joins fragments, opens frames, asks
//! for what is missing (NACK, then a key frame), orders video by dependency, smooths audio, keeps both in step and
//! writes receiver reports. It is told `now`, reads no clock and never waits.

use conclave_codecs::{AudioInput, CodecError};

use crate::e2ee::{DynKeys, OpenStats, Opener, Reason, Rejected};
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
    /// Samples (48 kHz) in one audio packet: 480 or 960.
    pub audio_samples: usize,
    /// Stamps from a running or a still watch.
    pub watch: Stopwatch,
}

impl Default for Config {
    fn default() -> Self {
        Self { id: 1, video: None, audio: None, audio_samples: 960, watch: Stopwatch::still() }
    }
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
    /// Frames that waited for their key and were opened once it had come.
    pub key_came: u64,
    /// Opened frames dropped as the authenticated structure lacks their template.
    pub unknown_template: u64,
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
    /// Opening.
    pub open: OpenStats,
}

/// Time between two receiver reports.
const REPORT_US: u64 = 1_000_000;

/// Longest wait for a repair: the sender keeps packets for a second.
const MAX_PATIENCE_US: u64 = 800_000;

/// What both kinds of stream have.
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
        let (sequence, frame) = self.assembler.push(datagram, now);
        if let Some(sequence) = sequence {
            self.nack.arrived(sequence, now);
            self.reception.arrived(sequence, rtp.timestamp, media_ticks(now, self.kind));
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

struct AudioIn {
    stream: Incoming,
    buffer: AudioBuffer<Opened>,
    last_rtp: u32,
}

/// See the module.
pub struct Receiver {
    config: Config,
    opener: Opener<DynKeys>,
    video: Option<VideoIn>,
    audio: Option<AudioIn>,
    sync: Sync,
    watch: Stopwatch,
    stats: Stats,
}

impl Receiver {
    /// A receiver over the keys of `keys`.
    pub fn new(config: Config, keys: DynKeys) -> Self {
        let packet_us = config.audio_samples as u64 * 1_000_000 / 48_000;
        Self {
            opener: Opener::new(keys),
            video: config.video.map(|(id, kind)| VideoIn {
                stream: Incoming::new(id, kind, config.watch),
                frames: FrameBuffer::new(),
                numbers: Numbers::default(),
                requests: Requests::new(),
                last_rtp: 0,
            }),
            audio: config.audio.map(|(id, kind)| AudioIn {
                stream: Incoming::new(id, kind, config.watch),
                buffer: AudioBuffer::new(packet_us),
                last_rtp: 0,
            }),
            sync: Sync::default(),
            watch: config.watch,
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
        if let Some(video) = self.video.as_mut().filter(|v| v.stream.id == rtp.ssrc) {
            let mut frame = video.stream.packet(&rtp, datagram, now);
            while let Some(whole) = frame {
                self.open_video(whole, now);
                frame = self.video.as_mut().and_then(|v| v.stream.assembler.released());
            }
        } else if let Some(audio) = self.audio.as_mut().filter(|a| a.stream.id == rtp.ssrc) {
            if let Some(frame) = audio.stream.packet(&rtp, datagram, now) {
                self.open_audio(frame, now);
            }
        } else {
            self.stats.foreign += 1;
        }
    }

    /// The next video frame for the decoder, with its number; `None` where none can be decoded now.
    pub fn video(&mut self, now: Time) -> Option<(u64, Opened)> {
        let video = self.video.as_mut()?;
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

    /// When the picture handed out last is to be shown, so that it keeps step with the sound.
    pub fn show_at(&mut self, now: Time) -> Time {
        let wall = self.video.as_ref().and_then(|v| v.stream.clock.wall_us(v.last_rtp));
        wall.map_or(now, |wall| self.sync.show_at(wall, now))
    }

    /// Plays one packet's worth of sound: calls `decode` with what there is to decode.
    pub fn audio(
        &mut self,
        now: Time,
        decode: &mut dyn FnMut(AudioInput<'_>) -> Result<usize, CodecError>,
    ) -> Result<Heard, CodecError> {
        let Some(audio) = &mut self.audio else { return Ok(Heard::Nothing) };
        let pull = audio.buffer.pull();
        while let Some(opened) = audio.buffer.dropped() {
            audio.stream.assembler.recycle(opened.payload);
        }
        match pull {
            Pull::Wait => Ok(Heard::Nothing),
            Pull::Packet(opened) => {
                let rtp_time = opened.packets.rtp_time as u32;
                if let Some(wall) = audio.stream.clock.wall_us(rtp_time) {
                    self.sync.heard(wall, now);
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
            Pull::Fec => match audio.buffer.peek() {
                Some(opened) => decode(AudioInput::Fec(opened.payload.as_slice())).map(|_| Heard::Repaired),
                None => decode(AudioInput::Lost).map(|_| Heard::Concealed),
            },
            Pull::Conceal => decode(AudioInput::Lost).map(|_| Heard::Concealed),
        }
    }

    /// Samples per channel of one audio packet.
    pub fn audio_samples(&self) -> usize {
        self.config.audio_samples
    }

    /// A frame comes back after decoding, so that its buffer is used again.
    pub fn recycle(&mut self, opened: Opened) {
        if let Some(video) = &mut self.video {
            video.stream.assembler.recycle(opened.payload);
        }
    }

    /// The decoder refused a frame and has been reset: only a key frame helps.
    pub fn decoder_lost_sync(&mut self) {
        if let Some(video) = &mut self.video {
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
        // What waited for its key has been opened, or has waited too long and given its room back.
        while let Some(opened) = self.opener.released(now) {
            self.watch.begin(now);
            self.stats.key_came += 1;
            if opened.header.kind.is_audio() {
                self.take_audio(opened, now);
            } else {
                self.take_video(opened, now);
            }
        }
        while let Some(event) = self.opener.event() {
            let dropped = event.reason == Reason::MissingKey;
            if let Some(video) = self.video.as_mut().filter(|v| dropped && v.stream.id == event.stream) {
                video.requests.want();
            }
        }
        if let Some(video) = &mut self.video {
            // A key frame takes a round trip too, so that on a long way it pays to wait for three repairs.
            let patience = (3 * video.stream.nack.stats().repair_us).clamp(video::PATIENCE_US, MAX_PATIENCE_US);
            video.frames.set_patience(patience);
            video.stream.nack.set_patience(patience);
            self.stats.nacks += video.stream.ask(own, now, out);
            if video.stream.nack.gave_up() || video.stream.assembler.lacks_structure() {
                video.requests.want();
            }
            video.stream.report(own, now, out);
            if video.requests.due(now) {
                self.stats.keyframe_requests += 1;
                let pli = Pli { ssrc: own, media_ssrc: video.stream.id };
                emit(|bytes| pli.write(bytes), out);
            }
        }
        if let Some(audio) = &mut self.audio {
            // Sound that comes after its time is of no use; the packet behind it fills the gap.
            audio.stream.nack.set_patience(audio.buffer.target_us());
            self.stats.nacks += audio.stream.ask(own, now, out);
            audio.stream.report(own, now, out);
        }
    }

    /// Counters of everything inside.
    pub fn snapshot(&self) -> Snapshot {
        let (video, audio) = (self.video.as_ref(), self.audio.as_ref());
        Snapshot {
            receiver: self.stats,
            video_packets: video.map_or_else(Default::default, |v| *v.stream.assembler.stats()),
            audio_packets: audio.map_or_else(Default::default, |a| *a.stream.assembler.stats()),
            video_nack: video.map_or_else(Default::default, |v| *v.stream.nack.stats()),
            audio_nack: audio.map_or_else(Default::default, |a| *a.stream.nack.stats()),
            video: video.map_or_else(Default::default, |v| *v.frames.stats()),
            audio: audio.map_or_else(Default::default, |a| *a.buffer.stats()),
            open: self.opener.stats().clone(),
        }
    }

    /// How far sound lags behind pictures, in microseconds; `None` before the first sender reports.
    pub fn skew_us(&self) -> Option<i64> {
        self.sync.skew_us()
    }

    fn report(&mut self, datagram: &[u8], now: Time) {
        self.stats.reports += 1;
        for message in rtcp::parse(datagram) {
            let Ok(rtcp::Message::SenderReport(report)) = message else { continue };
            let streams =
                self.video.iter_mut().map(|v| &mut v.stream).chain(self.audio.iter_mut().map(|a| &mut a.stream));
            for stream in streams.filter(|s| s.id == report.ssrc) {
                stream.clock.report(report.ntp, report.rtp_time);
                stream.last_report = Some(((report.ntp >> 16) as u32, now));
            }
        }
    }

    fn open_video(&mut self, frame: Arrived, now: Time) {
        self.watch.begin(now);
        let Some(video) = &mut self.video else { return };
        let (packets, since) = (frame.packets, frame.ledger.at(Stage::Arrive).unwrap_or(now));
        match self.opener.open(frame, now) {
            Ok(opened) => self.take_video(opened, now),
            Err(rejected) => video.stream.ask_again(rejected, packets, since, now),
        }
    }

    fn take_video(&mut self, mut opened: Opened, now: Time) {
        let Some(video) = &mut self.video else { return };
        opened.ledger.stamp(Stage::Open, self.watch.read());
        let number = video.numbers.unwrap(opened.header.frame_number);
        // Key frame or not, and what it needs: from authenticated bytes alone (`rtp::chain`).
        let keyframe = !opened.structure.as_slice().is_empty();
        if keyframe {
            video.stream.assembler.adopt(&opened.structure);
            video.requests.satisfied();
        }
        let template = video.stream.assembler.template(opened.header.template_id).copied();
        let Some(template) = template.or(keyframe.then(Default::default)) else {
            self.stats.unknown_template += 1;
            video.stream.assembler.recycle(opened.payload);
            return;
        };
        let needs = if keyframe { &[] } else { template.diffs() };
        match video.frames.insert(number, needs, keyframe, opened, now) {
            Insert::Held => {}
            Insert::Refused(opened) | Insert::Displaced(opened) => video.stream.assembler.recycle(opened.payload),
        }
    }

    fn open_audio(&mut self, frame: Arrived, now: Time) {
        self.watch.begin(now);
        let Some(audio) = &mut self.audio else { return };
        let (packets, since) = (frame.packets, frame.ledger.at(Stage::Arrive).unwrap_or(now));
        match self.opener.open(frame, now) {
            Ok(opened) => self.take_audio(opened, now),
            Err(rejected) => audio.stream.ask_again(rejected, packets, since, now),
        }
    }

    fn take_audio(&mut self, mut opened: Opened, now: Time) {
        let Some(audio) = &mut self.audio else { return };
        opened.ledger.stamp(Stage::Open, self.watch.read());
        if let Some(opened) = audio.buffer.insert(opened.packets.first, opened.captured, opened, now) {
            audio.stream.assembler.recycle(opened.payload);
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
