//! Watches a rehearsal: judges every shown frame against what the encoder reconstructed and against what was
//! captured, and keeps the series for the plots.

use std::collections::BTreeMap;
use std::hash::Hasher;

use conclave::codecs::Picture;
use conclave::codecs::metrics::Quality;
use conclave::frame::{Encoded, Kind};
use conclave::ledger::{Ledger, Stage};
use conclave::receive::Heard;
use conclave::rehearsal::Observer;
use conclave::rtp::header::{Rtp, is_rtcp};
use conclave::stats::StageStats;
use conclave::time::Time;

use super::cast::DATA;

/// Captured pictures kept until they are shown or given up: more than any frame stays on the way.
const KEPT: usize = 160;

/// Pairs of thumbnails in the report.
const THUMBNAILS: usize = 6;

/// One frame on its way.
#[derive(Default)]
struct Sent {
    digest: Option<u64>,
    captured_us: u64,
    sent_at: Option<Time>,
}

/// What was sealed under one epoch of the group.
pub struct Under {
    /// When the first frame was.
    pub sealed: Time,
    /// The first picture of it, by the encoder's number.
    first: Option<u64>,
    /// When the receiver opened the first picture.
    pub opened: Option<Time>,
    /// Key frames right after the sender went over to it.
    pub key_frames: u64,
}

/// Key frames within this time after new keys are there for whoever came with them, in microseconds.
const FORCED_US: u64 = 250_000;

/// What goes missing within this time of new keys may be their doing, in microseconds.
const AROUND_US: u64 = 500_000;

/// Everything the demo prints and draws.
pub struct Watch {
    pub captured: u64,
    pub sent: u64,
    pub shown: u64,
    pub mismatched: u64,
    pub bytes: u64,
    pub quality: Quality,
    pub stages: StageStats,
    pub audio_frames: u64,
    pub audio_concealed: u64,
    pub audio_gaps: u64,
    /// `(seconds, milliseconds)` of each stage drawn, by name.
    pub latency: BTreeMap<&'static str, Vec<(f64, f64)>>,
    /// `(seconds, bytes)` of each video frame sent.
    pub sizes: Vec<(f64, f64)>,
    /// `(caption, captured, shown)`.
    pub thumbnails: Vec<(String, Picture, Picture)>,
    thumbnail_every: u64,
    pictures: BTreeMap<u64, Picture>,
    spare: Vec<Picture>,
    frames: BTreeMap<u64, Sent>,
    heard_any: bool,
    /// By the number of the epoch.
    pub epochs: BTreeMap<u64, Under>,
    /// Bytes of all datagrams of the sender, and of those of them that carry proofs.
    pub wire_bytes: u64,
    pub proof_bytes: u64,
    /// Whether the guest gets a copy of every datagram.
    pub copied: bool,
    /// Those that are to go to it.
    pub copies: Vec<(Time, Box<[u8]>)>,
    key_frame: bool,
    /// The source has ended: what is concealed from now on is no gap.
    pub sound_ended: bool,
}

impl Watch {
    /// A watcher of a meeting of about `frames` pictures.
    pub fn new(frames: u64) -> Self {
        Self {
            captured: 0,
            sent: 0,
            shown: 0,
            mismatched: 0,
            bytes: 0,
            quality: Quality::default(),
            stages: StageStats::new(),
            audio_frames: 0,
            audio_concealed: 0,
            audio_gaps: 0,
            latency: BTreeMap::new(),
            sizes: Vec::new(),
            thumbnails: Vec::new(),
            thumbnail_every: (frames / THUMBNAILS as u64).max(1),
            pictures: BTreeMap::new(),
            spare: Vec::new(),
            frames: BTreeMap::new(),
            heard_any: false,
            epochs: BTreeMap::new(),
            wire_bytes: 0,
            proof_bytes: 0,
            copied: false,
            copies: Vec::new(),
            key_frame: false,
            sound_ended: false,
        }
    }

    /// Pictures sent around `at` that were never shown: a key frame makes what still waits for repair worthless.
    pub fn missing_around(&self, at: Time) -> u64 {
        let near = |sent: Time| sent.since(at).max(at.since(sent)) <= AROUND_US;
        self.frames.values().filter(|frame| frame.sent_at.is_some_and(near)).count() as u64
    }

    fn point(&mut self, stage: &'static str, at_us: u64, us: u64) {
        self.latency.entry(stage).or_default().push((at_us as f64 / 1e6, us as f64 / 1e3));
    }
}

impl Observer for Watch {
    fn captured(&mut self, frame: u64, picture: &Picture) {
        self.captured += 1;
        let mut kept = self.spare.pop().unwrap_or_else(|| picture.clone());
        kept.clone_from(picture);
        self.pictures.insert(frame, kept);
        while self.pictures.len() > KEPT {
            self.spare.extend(self.pictures.pop_first().map(|(_, picture)| picture));
        }
    }

    fn encoded(&mut self, frame: &Encoded, reconstruction: Option<&Picture>) {
        let entry = self.frames.entry(frame.info.frame).or_default();
        entry.digest = reconstruction.map(digest);
        entry.captured_us = frame.captured.0;
        self.key_frame = frame.info.keyframe;
    }

    fn sealed(&mut self, kind: Kind, frame: u64, epoch: u64, now: Time) {
        let fresh = || Under { sealed: now, first: None, opened: None, key_frames: 0 };
        let under = self.epochs.entry(epoch).or_insert_with(fresh);
        if kind.is_video() {
            under.first.get_or_insert(frame);
            under.key_frames += u64::from(self.key_frame && now.since(under.sealed) <= FORCED_US);
        }
    }

    fn datagram(&mut self, packet: &[u8], now: Time) {
        self.wire_bytes += packet.len() as u64;
        if !is_rtcp(packet) && Rtp::parse(packet).is_ok_and(|rtp| rtp.ssrc == DATA) {
            self.proof_bytes += packet.len() as u64;
        }
        if self.copied {
            self.copies.push((now, packet.into()));
        }
    }

    fn sent(&mut self, kind: Kind, frame: u64, ledger: &Ledger, bytes: usize, now: Time) {
        self.bytes += bytes as u64;
        if kind.is_audio() {
            return;
        }
        self.sent += 1;
        self.sizes.push((now.0 as f64 / 1e6, bytes as f64));
        self.frames.entry(frame).or_default().sent_at = Some(now);
        self.stages.record_gpu(ledger);
        for stage in [Stage::Convert, Stage::Encode, Stage::Seal, Stage::Packetize] {
            if let Some(us) = ledger.spent(stage) {
                self.stages.record_stage(stage, us);
                self.point(stage.name(), now.0, us);
            }
        }
    }

    fn shown(&mut self, frame: u64, picture: &Picture, ledger: &Ledger, now: Time) {
        self.shown += 1;
        let sent = self.frames.remove(&frame).unwrap_or_default();
        if sent.digest.is_some_and(|expected| expected != digest(picture)) {
            self.mismatched += 1;
        }
        // Pictures come in the order of their numbers, so that this one tells of every epoch up to its own.
        let waiting = self.epochs.values_mut().filter(|under| under.opened.is_none());
        for under in waiting.filter(|under| under.first.is_some_and(|first| first <= frame)) {
            under.opened = Some(ledger.at(Stage::Open).unwrap_or(now));
        }
        if let (Some(sent_at), Some(arrived)) = (sent.sent_at, ledger.at(Stage::Arrive)) {
            let network = arrived.since(sent_at);
            self.stages.record_stage(Stage::Arrive, network);
            self.point("network", now.0, network);
        }
        for stage in [Stage::Assemble, Stage::Open, Stage::Decode, Stage::Render] {
            if let Some(us) = ledger.spent(stage) {
                self.stages.record_stage(stage, us);
                self.point(stage.name(), now.0, us);
            }
        }
        if let Some(captured) = self.pictures.remove(&frame) {
            // Sizes are equal: both are those of the encoder.
            let _ = self.quality.add(&captured, picture);
            if frame % self.thumbnail_every == self.thumbnail_every / 2 && self.thumbnails.len() < THUMBNAILS {
                self.thumbnails.push((format!("frame {frame}"), captured.clone(), picture.clone()));
            }
            self.spare.push(captured);
        }
    }

    fn heard(&mut self, _pcm: &[i16], heard: Heard, _now: Time) {
        if self.sound_ended {
            return;
        }
        match heard {
            Heard::Packet | Heard::Repaired => self.audio_frames += 1,
            Heard::Concealed => {
                self.audio_frames += 1;
                self.audio_concealed += 1;
            }
            // Playing had begun and there is nothing to play: a gap that a listener hears.
            Heard::Nothing => self.audio_gaps += u64::from(self.heard_any),
        }
        self.heard_any |= heard != Heard::Nothing;
    }
}

/// A 64-bit digest of size and samples, to tell equal pictures from unequal ones.
fn digest(picture: &Picture) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write_u32(picture.size().width);
    hasher.write(picture.data());
    hasher.finish()
}
