//! Packets to sealed frames: joins the fragments of one stream, in whatever order they come.

use std::collections::BTreeMap;

use super::descriptor::{Descriptor, MAX_DIFFS, Templates};
use super::extensions::Elements;
use super::header::{Rtp, Unwrapper};
use super::{DESCRIPTOR_ID, END, START};
use crate::frame::{Arrived, Buffer, Header, Kind, Packet};
use crate::ledger::{Ledger, Stage};
use crate::time::{Stopwatch, Time};

/// Packets that wait for the rest of their frame.
const MAX_PENDING: usize = 2_048;

/// Packets this far behind the newest are too old.
const MAX_BEHIND: u64 = 4_096;

/// A sequence number that leaps further ahead is believed once its successor comes too (RFC 3550 appendix A.1): one
/// damaged header must not make the rest of the stream look old.
const MAX_LEAP: i64 = 512;

/// Buffers kept for the next frames.
const MAX_SPARE: usize = 64;

/// Longest sealed frame that is joined, in bytes.
const MAX_FRAME: usize = 8 << 20;

/// A whole sealed frame with what its packets said. Nothing of it is authenticated yet.
pub struct Assembled {
    /// For the opener.
    pub arrived: Arrived,
    /// Unwrapped sequence number of the first packet.
    pub first: u64,
    /// Unwrapped sequence number of the last packet.
    pub last: u64,
    /// Unwrapped RTP time.
    pub rtp_time: u64,
    /// Distances of the frames it needs; the first `dependency_count` hold.
    pub dependencies: [u16; MAX_DIFFS],
    /// Entries of `dependencies` in use.
    pub dependency_count: u8,
    /// It carries a structure or needs nothing.
    pub keyframe: bool,
}

/// Counters of one stream. `packets` is the sum of the packets in frames, those pending, and those dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Stats {
    /// Datagrams given in.
    pub packets: u64,
    /// Packets seen before.
    pub duplicates: u64,
    /// Packets that could not be read.
    pub malformed: u64,
    /// Packets long past.
    pub too_old: u64,
    /// Packets dropped because too many waited.
    pub overflowed: u64,
    /// Frames joined.
    pub frames: u64,
    /// Packets in those.
    pub joined: u64,
    /// Whole frames dropped because their first packet's descriptor was missing or unreadable, or for their length.
    pub unreadable: u64,
}

struct Fragment {
    packet: Packet,
    /// Where the payload behind the descriptor byte begins.
    at: usize,
    flags: u8,
    timestamp: u32,
    arrived: Time,
}

/// Joins the fragments of one stream.
pub struct Assembler {
    ssrc: u32,
    kind: Kind,
    sequences: Unwrapper<16>,
    times: Unwrapper<32>,
    highest: u64,
    /// The successor of a sequence number that leapt.
    leapt_to: Option<u16>,
    pending: BTreeMap<u64, Fragment>,
    /// Sequence numbers joined lately, as a window below `highest`.
    seen: Box<[u64; MAX_BEHIND as usize / 64]>,
    templates: Option<Templates>,
    /// Whole frames wait for the structure, which has come since.
    retry: bool,
    spare: Vec<Buffer>,
    stats: Stats,
    watch: Stopwatch,
}

impl Assembler {
    /// An assembler for the stream `ssrc`.
    pub fn new(ssrc: u32, kind: Kind, watch: Stopwatch) -> Self {
        Self {
            ssrc,
            kind,
            sequences: Unwrapper::default(),
            times: Unwrapper::default(),
            highest: 0,
            leapt_to: None,
            pending: BTreeMap::new(),
            seen: Box::new([0; _]),
            templates: None,
            retry: false,
            spare: Vec::with_capacity(MAX_SPARE),
            stats: Stats::default(),
            watch,
        }
    }

    /// Takes a packet of this stream. Returns its unwrapped sequence number, where it could be read, and the frame that
    /// it completes.
    pub fn push(&mut self, datagram: &[u8], now: Time) -> (Option<u64>, Option<Assembled>) {
        self.watch.begin(now);
        self.stats.packets += 1;
        let fragment = Rtp::parse(datagram).ok().filter(|rtp| rtp.ssrc == self.ssrc).and_then(|rtp| {
            let flags = *rtp.payload.first()?;
            let at = rtp.payload.as_ptr() as usize - datagram.as_ptr() as usize + 1;
            // Padding behind the payload is cut off.
            let packet = Packet::new(&datagram[..at - 1 + rtp.payload.len()])?;
            Some((rtp.sequence, Fragment { packet, at, flags, timestamp: rtp.timestamp, arrived: now }))
        });
        let Some((sequence, fragment)) = fragment else {
            self.stats.malformed += 1;
            return (None, None);
        };
        if self.sequences.step(sequence.into()) > MAX_LEAP && self.leapt_to != Some(sequence) {
            self.leapt_to = Some(sequence.wrapping_add(1));
            self.stats.malformed += 1;
            return (None, None);
        }
        let sequence = self.sequences.unwrap(sequence.into());
        self.move_window(sequence);
        if self.highest - sequence >= MAX_BEHIND {
            self.stats.too_old += 1;
            return (None, None);
        }
        if self.is_seen(sequence) || self.pending.contains_key(&sequence) {
            self.stats.duplicates += 1;
            return (Some(sequence), None);
        }
        self.pending.insert(sequence, fragment);
        let frame = self.join(sequence);
        if self.pending.len() > MAX_PENDING {
            self.pending.pop_first();
            self.stats.overflowed += 1;
        }
        (Some(sequence), frame)
    }

    /// The next frame that was whole before the structure of its stream came; to be called until `None` after a push.
    pub fn released(&mut self) -> Option<Assembled> {
        if !self.retry {
            return None;
        }
        let starts = self.pending.iter().filter(|(_, f)| f.flags & START != 0).map(|(s, _)| *s);
        let starts: Vec<u64> = starts.collect();
        let frame = starts.into_iter().find_map(|start| self.join(start));
        self.retry = frame.is_some();
        frame
    }

    /// The frame with these packets could not be opened: their repetition is welcome.
    pub fn forget(&mut self, first: u64, last: u64) {
        for sequence in first..=last {
            if self.highest - sequence.min(self.highest) < MAX_BEHIND {
                let slot = (sequence % MAX_BEHIND) as usize;
                self.seen[slot / 64] &= !(1 << (slot % 64));
            }
        }
    }

    /// A buffer comes back.
    pub fn recycle(&mut self, mut buffer: Buffer) {
        if self.spare.len() < MAX_SPARE {
            buffer.clear();
            self.spare.push(buffer);
        }
    }

    /// Counters so far.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Packets that wait for the rest of their frame.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    fn move_window(&mut self, sequence: u64) {
        if self.highest == 0 {
            self.highest = sequence;
        }
        if sequence - self.highest.min(sequence) >= MAX_BEHIND {
            self.seen.fill(0);
            self.highest = sequence;
        }
        while self.highest < sequence {
            self.highest += 1;
            let slot = (self.highest % MAX_BEHIND) as usize;
            self.seen[slot / 64] &= !(1 << (slot % 64));
        }
        while self.pending.first_key_value().is_some_and(|(s, _)| self.highest - (*s).min(self.highest) >= MAX_BEHIND) {
            self.pending.pop_first();
            self.stats.overflowed += 1;
        }
    }

    fn is_seen(&self, sequence: u64) -> bool {
        let slot = (sequence % MAX_BEHIND) as usize;
        self.seen[slot / 64] >> (slot % 64) & 1 == 1
    }

    /// Joins the frame around `sequence`, where all of it is here.
    fn join(&mut self, sequence: u64) -> Option<Assembled> {
        let timestamp = self.pending.get(&sequence)?.timestamp;
        let whole = |s: u64| self.pending.get(&s).filter(|f| f.timestamp == timestamp);
        let mut first = sequence;
        while whole(first)?.flags & START == 0 {
            first = first.checked_sub(1)?;
            if whole(first)?.flags & END != 0 {
                return None;
            }
        }
        let mut last = sequence;
        while whole(last)?.flags & END == 0 {
            last += 1;
            if whole(last)?.flags & START != 0 {
                return None;
            }
        }
        if self.templates.is_none() && !self.kind.is_audio() && !self.pending.get(&first).is_some_and(has_structure) {
            return None;
        }
        let mut payload = self.spare.pop().unwrap_or_else(|| Buffer::with_capacity(16 << 10));
        let (mut arrived, mut head) = (Time(u64::MAX), None);
        for s in first..=last {
            let fragment = self.pending.remove(&s)?;
            let slot = (s % MAX_BEHIND) as usize;
            self.seen[slot / 64] |= 1 << (slot % 64);
            self.stats.joined += 1;
            arrived = arrived.min(fragment.arrived);
            if payload.len() <= MAX_FRAME {
                payload.tail().extend_from_slice(&fragment.packet.as_slice()[fragment.at..]);
            }
            if s == first {
                head = Some(fragment);
            }
        }
        let described = head.filter(|_| payload.len() <= MAX_FRAME).and_then(|head| self.describe(&head));
        let Some((header, dependencies, dependency_count, keyframe)) = described else {
            self.stats.unreadable += 1;
            self.recycle(payload);
            return None;
        };
        self.stats.frames += 1;
        let mut ledger = Ledger::default();
        ledger.stamp(Stage::Arrive, arrived);
        ledger.stamp(Stage::Assemble, self.watch.read());
        let rtp_time = self.times.unwrap(timestamp);
        let arrived = Arrived { payload, header, ledger };
        Some(Assembled { arrived, first, last, rtp_time, dependencies, dependency_count, keyframe })
    }

    /// Header, dependencies and whether it is a key frame, from a frame's first packet.
    fn describe(&mut self, first: &Fragment) -> Option<(Header, [u16; MAX_DIFFS], u8, bool)> {
        let header =
            Header { stream: self.ssrc, kind: self.kind, spatial: 0, temporal: 0, template_id: 0, frame_number: 0 };
        if self.kind.is_audio() {
            return Some((header, [0; _], 0, true));
        }
        let rtp = Rtp::parse(first.packet.as_slice()).ok()?;
        let (profile, body) = rtp.extension?;
        let (_, element) = Elements::new(profile, body).find(|(id, _)| *id == DESCRIPTOR_ID)?;
        let descriptor = Descriptor::parse(element, self.templates.as_ref())?;
        let keyframe = descriptor.structure.is_some();
        if let Some(templates) = descriptor.structure {
            self.retry = self.templates.is_none();
            self.templates = Some(*templates);
        }
        let template = self.templates.as_ref()?.get(descriptor.template_id)?;
        let (diffs, count) = descriptor.custom_diffs.unwrap_or((template.diffs, template.diff_count));
        let header = Header {
            spatial: template.spatial,
            temporal: template.temporal,
            template_id: descriptor.template_id,
            frame_number: descriptor.frame_number,
            ..header
        };
        Some((header, diffs, count, keyframe || count == 0))
    }
}

/// Whether a frame's first packet carries a template structure.
fn has_structure(first: &Fragment) -> bool {
    let Ok(Rtp { extension: Some((profile, body)), .. }) = Rtp::parse(first.packet.as_slice()) else { return false };
    let element = Elements::new(profile, body).find(|(id, _)| *id == DESCRIPTOR_ID);
    element.and_then(|(_, data)| Descriptor::parse(data, None)).is_some_and(|d| d.structure.is_some())
}
