//! Packets to sealed frames: joins the fragments of one stream, in whatever order they come.

use super::descriptor::{Descriptor, Template, Templates};
use super::extensions::Elements;
use super::header::{Rtp, Unwrapper};
use super::{DESCRIPTOR_ID, END, START};
use crate::frame::{Arrived, Buffer, Header, Kind, Packet, Packets, Structure};
use crate::ledger::{Ledger, Stage};
use crate::sorted::Sorted;
use crate::time::{Stopwatch, Time};

/// Packets that wait for the rest of their frame.
const MAX_PENDING: usize = 2_048;

/// Packets this far behind the newest are too old.
const MAX_BEHIND: u64 = 4_096;

/// A sequence number that leaps further ahead, or behind the window, is believed once its successor comes too (RFC 3550
/// appendix A.1): one damaged header must not make the rest of the stream look old.
const MAX_LEAP: i64 = 512;

/// Sound leaps no further than its time: so many packets, for what came at one time, and one for each 2.5 ms (RFC 6716
/// §2.1.4). A damaged number would make the sound of seconds late.
const MAX_AUDIO_LEAP: i64 = 8;
const MIN_AUDIO_TICKS: i64 = 120;

/// A packet that looks as if it were behind, and is of so much later a time, is ahead: nearly all numbers were missed. Times
/// of packets that only overtook each other differ by less, also where a source changes: these are ten seconds of
/// pictures and nineteen of sound.
const MUCH_LATER: i32 = 900_000;

/// Buffers made at the start, of so many bytes each: as many as the buffers behind hold, where frames wait for repair and
/// sound waits for its time. 2 MB of video, of which the system maps what is used. Data is short and soon taken.
const VIDEO_BUFFERS: (usize, usize) = (132, 16 << 10);
const AUDIO_BUFFERS: (usize, usize) = (110, 1500);
const DATA_BUFFERS: (usize, usize) = (16, 2 << 10);

/// Buffers kept for the next frames.
const MAX_SPARE: usize = 160;

/// Longest sealed frame that is joined, in bytes.
const MAX_FRAME: usize = 8 << 20;

/// Longest sealed frame of data: a message of the greatest size, or an acknowledgement to every member, and room to spare.
pub(crate) const MAX_DATA_FRAME: usize = 32 << 10;

/// Buffers of a kind, and the longest frame.
const fn measures(kind: Kind) -> ((usize, usize), usize) {
    match kind {
        Kind::Camera | Kind::Screen => (VIDEO_BUFFERS, MAX_FRAME),
        Kind::Microphone | Kind::ScreenAudio => (AUDIO_BUFFERS, MAX_FRAME),
        Kind::Data => (DATA_BUFFERS, MAX_DATA_FRAME),
    }
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
    /// Frames whose descriptor gave distances beside its template. They are not authenticated and were not used.
    pub distances_ignored: u64,
    /// Key frames whose structure outside was not the one inside, which counts.
    pub structures_differed: u64,
}

struct Fragment {
    packet: Packet,
    /// Where the payload behind the descriptor byte begins.
    at: usize,
    flags: u8,
    timestamp: u32,
    arrived: Time,
    /// At an end of a run, the other end: a run is packets of one frame without a gap.
    other: u64,
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
    /// The timestamp of the packet of the highest number.
    newest: u32,
    /// By sequence number, where in `fragments` each waits.
    pending: Sorted<u16>,
    fragments: Vec<Option<Fragment>>,
    free: Vec<u16>,
    /// Sequence numbers joined lately, as a window below `highest`.
    seen: Box<[u64; MAX_BEHIND as usize / 64]>,
    /// The last authenticated structure.
    templates: Option<Templates>,
    /// The structure that the frame joined last has outside.
    claimed: Option<Templates>,
    /// A whole frame waits for the first structure.
    lacking: bool,
    /// Whole frames wait for the structure, which has come since.
    retry: bool,
    spare: Vec<Buffer>,
    stats: Stats,
    watch: Stopwatch,
}

impl Assembler {
    /// An assembler for the stream `ssrc`.
    pub fn new(ssrc: u32, kind: Kind, watch: Stopwatch) -> Self {
        let ((buffers, bytes), _) = measures(kind);
        let mut spare = Vec::with_capacity(MAX_SPARE);
        spare.extend((0..buffers).map(|_| Buffer::with_capacity(bytes)));
        Self {
            ssrc,
            kind,
            sequences: Unwrapper::default(),
            times: Unwrapper::default(),
            highest: 0,
            leapt_to: None,
            newest: 0,
            pending: Sorted::new(MAX_PENDING + 1),
            fragments: Vec::with_capacity(MAX_PENDING + 1),
            free: Vec::with_capacity(MAX_PENDING + 1),
            seen: Box::new([0; _]),
            templates: None,
            claimed: None,
            lacking: false,
            retry: false,
            spare,
            stats: Stats::default(),
            watch,
        }
    }

    /// Takes a packet of this stream. Returns its unwrapped sequence number, where it could be read, and the frame that
    /// it completes.
    pub fn push(&mut self, datagram: &[u8], now: Time) -> (Option<u64>, Option<Arrived>) {
        self.watch.begin(now);
        self.stats.packets += 1;
        let fragment = Rtp::parse(datagram).ok().filter(|rtp| rtp.ssrc == self.ssrc).and_then(|rtp| {
            let flags = *rtp.payload.first()?;
            let at = rtp.payload.as_ptr() as usize - datagram.as_ptr() as usize + 1;
            // Padding behind the payload is cut off.
            let packet = Packet::new(&datagram[..at - 1 + rtp.payload.len()])?;
            Some((rtp.sequence, Fragment { packet, at, flags, timestamp: rtp.timestamp, arrived: now, other: 0 }))
        });
        let Some((sequence, fragment)) = fragment else {
            self.stats.malformed += 1;
            return (None, None);
        };
        // Far behind, or behind and much later, is a sender that began anew, or one of whom half of all numbers or more were
        // missed.
        let step = self.sequences.step(sequence.into());
        let later = fragment.timestamp.wrapping_sub(self.newest) as i32;
        let behind = step <= -(MAX_BEHIND as i64) || step < 0 && later > MUCH_LATER;
        let most = if self.kind.is_audio() {
            MAX_LEAP.min(MAX_AUDIO_LEAP + i64::from(later.max(0)) / MIN_AUDIO_TICKS)
        } else {
            MAX_LEAP
        };
        if (step > most || behind) && self.leapt_to != Some(sequence) {
            self.leapt_to = Some(sequence.wrapping_add(1));
            self.stats.malformed += 1;
            return (None, None);
        }
        let number = u32::from(sequence);
        let sequence = if behind { self.sequences.restart(number) } else { self.sequences.unwrap(number) };
        if sequence >= self.highest {
            self.newest = fragment.timestamp;
        }
        self.move_window(sequence);
        if self.highest - sequence >= MAX_BEHIND {
            self.stats.too_old += 1;
            return (None, None);
        }
        if self.is_seen(sequence) || self.pending.contains(sequence) {
            self.stats.duplicates += 1;
            return (Some(sequence), None);
        }
        self.put(sequence, fragment);
        let (first, last) = self.connect(sequence);
        let frame = self.join(first, last);
        if self.pending.len() > MAX_PENDING {
            self.drop_first();
        }
        (Some(sequence), frame)
    }

    /// The next frame that was whole before the structure of its stream came; to be called until `None` after a push.
    pub fn released(&mut self) -> Option<Arrived> {
        if !self.retry {
            return None;
        }
        let mut from = 0;
        let begins = |slot: &u16, all: &[Option<Fragment>]| at(all, *slot).is_some_and(|f| f.flags & START != 0);
        while let Some(start) = self.pending.find_from(from, |slot| begins(slot, &self.fragments)) {
            // Where a frame begins, a run does.
            let last = self.waiting(start).map_or(start, |fragment| fragment.other);
            if let Some(frame) = self.join(start, last) {
                return Some(frame);
            }
            from = start + 1;
        }
        self.retry = false;
        None
    }

    /// A key frame was opened: `structure` is its authenticated one, by which the frames that follow are read.
    pub fn adopt(&mut self, structure: &Structure) {
        let Some(templates) = Templates::parse(structure.as_slice()) else { return };
        self.stats.structures_differed += u64::from(self.claimed.as_ref() != Some(&templates));
        self.retry |= self.templates.is_none();
        self.lacking = false;
        self.templates = Some(templates);
    }

    /// The authenticated template with this id.
    pub fn template(&self, id: u8) -> Option<&Template> {
        self.templates.as_ref()?.get(id)
    }

    /// Whole frames wait and no structure has come: only a key frame helps.
    pub fn lacks_structure(&self) -> bool {
        self.lacking
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
        // What was moved out has left no memory to use again.
        if self.spare.len() < MAX_SPARE && buffer.room() > 0 {
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
        while self.pending.first().is_some_and(|(s, _)| self.highest - s.min(self.highest) >= MAX_BEHIND) {
            self.drop_first();
        }
    }

    fn put(&mut self, sequence: u64, fragment: Fragment) {
        let slot = match self.free.pop() {
            Some(slot) => {
                self.fragments[usize::from(slot)] = Some(fragment);
                slot
            }
            None => {
                self.fragments.push(Some(fragment));
                (self.fragments.len() - 1) as u16
            }
        };
        self.pending.insert(sequence, slot);
    }

    fn waiting(&self, sequence: u64) -> Option<&Fragment> {
        at(&self.fragments, *self.pending.get(sequence)?)
    }

    fn waiting_mut(&mut self, sequence: u64) -> Option<&mut Fragment> {
        self.fragments.get_mut(usize::from(*self.pending.get(sequence)?))?.as_mut()
    }

    /// Joins the runs on both sides of a packet that has come; returns the ends of the one that it is in.
    fn connect(&mut self, sequence: u64) -> (u64, u64) {
        let follow = |one: u64, next: u64| match (self.waiting(one), self.waiting(next)) {
            (Some(one), Some(next)) => {
                one.timestamp == next.timestamp && one.flags & END == 0 && next.flags & START == 0
            }
            _ => false,
        };
        let other = |end: u64| self.waiting(end).map_or(sequence, |fragment| fragment.other);
        let before = sequence.checked_sub(1).filter(|before| follow(*before, sequence));
        let after = Some(sequence + 1).filter(|after| follow(sequence, *after));
        let (first, last) = (before.map_or(sequence, other), after.map_or(sequence, other));
        self.set_run(first, last);
        (first, last)
    }

    fn set_run(&mut self, first: u64, last: u64) {
        for (end, other) in [(first, last), (last, first)] {
            self.waiting_mut(end).into_iter().for_each(|fragment| fragment.other = other);
        }
    }

    fn drop_first(&mut self) {
        if let Some((first, slot)) = self.pending.pop_first() {
            // It began its run, which goes on behind it.
            let last = at(&self.fragments, slot).map_or(first, |fragment| fragment.other);
            if last > first {
                self.set_run(first + 1, last);
            }
            self.free.push(slot);
            self.stats.overflowed += 1;
        }
    }

    /// The smallest spare buffer that holds `len` bytes, else the largest there is, so that few ever grow.
    fn buffer(&mut self, len: usize) -> Buffer {
        let room = |i: &usize| self.spare[*i].room();
        let fits = (0..self.spare.len()).filter(|i| room(i) >= len).min_by_key(room);
        let best = fits.or_else(|| (0..self.spare.len()).max_by_key(room));
        let ((_, made), _) = measures(self.kind);
        best.map_or_else(|| Buffer::with_capacity(made.max(len)), |best| self.spare.swap_remove(best))
    }

    fn is_seen(&self, sequence: u64) -> bool {
        let slot = (sequence % MAX_BEHIND) as usize;
        self.seen[slot / 64] >> (slot % 64) & 1 == 1
    }

    /// Joins the frame of the run from `first` to `last`, where all of it is here.
    fn join(&mut self, first: u64, last: u64) -> Option<Arrived> {
        let timestamp = self.waiting(first).filter(|fragment| fragment.flags & START != 0)?.timestamp;
        self.waiting(last).filter(|fragment| fragment.flags & END != 0)?;
        if self.templates.is_none() && self.kind.is_video() && !self.waiting(first).is_some_and(has_structure) {
            self.lacking = true;
            return None;
        }
        let len = (first..=last).filter_map(|s| self.waiting(s)).map(|f| f.packet.as_slice().len() - f.at).sum();
        let (_, longest) = measures(self.kind);
        let mut payload = self.buffer(usize::min(len, longest));
        let (mut arrived, mut described) = (Time(u64::MAX), None);
        for s in first..=last {
            let place = self.pending.remove(s)?;
            self.free.push(place);
            let fragment = self.fragments[usize::from(place)].take()?;
            let slot = (s % MAX_BEHIND) as usize;
            self.seen[slot / 64] |= 1 << (slot % 64);
            self.stats.joined += 1;
            arrived = arrived.min(fragment.arrived);
            if len <= longest {
                payload.tail().extend_from_slice(&fragment.packet.as_slice()[fragment.at..]);
            }
            if s == first {
                described = self.describe(&fragment).filter(|_| len <= longest);
            }
        }
        let Some(header) = described else {
            self.stats.unreadable += 1;
            self.recycle(payload);
            return None;
        };
        self.stats.frames += 1;
        let mut ledger = Ledger::default();
        ledger.stamp(Stage::Arrive, arrived);
        ledger.stamp(Stage::Assemble, self.watch.read());
        let rtp_time = self.times.unwrap(timestamp);
        Some(Arrived { payload, header, packets: Packets { first, last, rtp_time }, ledger })
    }

    /// What a frame's first packet says of it, to be authenticated.
    fn describe(&mut self, first: &Fragment) -> Option<Header> {
        let header =
            Header { stream: self.ssrc, kind: self.kind, spatial: 0, temporal: 0, template_id: 0, frame_number: 0 };
        if !self.kind.is_video() {
            return Some(header);
        }
        let rtp = Rtp::parse(first.packet.as_slice()).ok()?;
        let (profile, body) = rtp.extension?;
        let (_, element) = Elements::new(profile, body).find(|(id, _)| *id == DESCRIPTOR_ID)?;
        let descriptor = Descriptor::parse(element, self.templates.as_ref())?;
        self.stats.distances_ignored += u64::from(descriptor.custom_diffs.is_some());
        // A key frame is read by its own structure; nothing else is before that one was authenticated.
        self.claimed = descriptor.structure;
        let template = self.claimed.as_ref().or(self.templates.as_ref())?.get(descriptor.template_id)?;
        let (spatial, temporal) = (template.spatial, template.temporal);
        let (template_id, frame_number) = (descriptor.template_id, descriptor.frame_number);
        Some(Header { spatial, temporal, template_id, frame_number, ..header })
    }
}

fn at(fragments: &[Option<Fragment>], slot: u16) -> Option<&Fragment> {
    fragments.get(usize::from(slot))?.as_ref()
}

/// Whether a frame's first packet carries a template structure.
fn has_structure(first: &Fragment) -> bool {
    let Ok(Rtp { extension: Some((profile, body)), .. }) = Rtp::parse(first.packet.as_slice()) else { return false };
    let element = Elements::new(profile, body).find(|(id, _)| *id == DESCRIPTOR_ID);
    element.and_then(|(_, data)| Descriptor::parse(data, None)).is_some_and(|d| d.structure.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet of data: frame `time`, which begins and ends with it or not.
    fn packet(sequence: u16, time: u32, flags: u8) -> Vec<u8> {
        let head =
            Rtp { marker: false, payload_type: 109, sequence, timestamp: time, ssrc: 7, extension: None, payload: &[] };
        let mut out = vec![0; 12];
        head.write_header(&mut out).unwrap();
        out.extend([flags, sequence as u8]);
        out
    }

    /// Each run by its ends, by looking at every packet that waits.
    fn runs(assembler: &Assembler) -> Vec<(u64, u64)> {
        let mut runs: Vec<(u64, u64)> = vec![];
        let mut last: Option<(u64, u32, u8)> = None;
        for (sequence, slot) in assembler.pending.iter() {
            let fragment = at(&assembler.fragments, *slot).unwrap();
            let follows = last.is_some_and(|(before, time, flags)| {
                before + 1 == sequence && time == fragment.timestamp && flags & END == 0 && fragment.flags & START == 0
            });
            match runs.last_mut().filter(|_| follows) {
                Some(run) => run.1 = sequence,
                None => runs.push((sequence, sequence)),
            }
            last = Some((sequence, fragment.timestamp, fragment.flags));
        }
        runs
    }

    #[test]
    fn the_ends_of_every_run_know_each_other_whatever_comes() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut assembler = Assembler::new(7, Kind::Data, Stopwatch::still());
        let (mut sent, mut frames) = (vec![], 0);
        let (mut sequence, mut time) = (0u16, 0);
        for _ in 0..2_000 {
            let len = random.usize(1..=6);
            for at in 0..len {
                // A few are not what their sender made.
                let damage = if random.u8(..) < 8 { random.u8(..) & (START | END) } else { 0 };
                let flags = if at == 0 { START } else { 0 } | if at + 1 == len { END } else { 0 };
                sent.push(packet(sequence, time, flags ^ damage));
                sequence = sequence.wrapping_add(1);
            }
            time += 1;
            while sent.len() > 20 {
                let bytes = sent.swap_remove(random.usize(..sent.len()));
                if random.u8(..) < 20 {
                    continue;
                }
                frames += u32::from(assembler.push(&bytes, Time(0)).1.is_some());
                let ends = |(first, last): (u64, u64)| {
                    let other = |end| assembler.waiting(end).map(|fragment| fragment.other);
                    (other(first), other(last)) == (Some(last), Some(first))
                };
                assert!(runs(&assembler).into_iter().all(ends));
            }
        }
        assert!(frames > 1_000 && assembler.stats().overflowed > 100, "{frames} {:?}", assembler.stats());
    }
}
