//! Clear AV1 packets, as other clients send them, to temporal units (AV1 RTP payload specification v1.0.0, §4 and §5).
//!
//! Nothing of this is authenticated, and there is no way back: the engine has no packetizer for clear frames.
//!
//! [`Depacketizer`] puts the packets of one stream in order, joins the fragments of its OBUs, gives each OBU the size
//! field that RTP leaves out, and begins each temporal unit with its one delimiter: the low-overhead format (AV1 §5.2)
//! that decoders and containers take. A unit is whole or it does not come out: what a loss may have cut is dropped.

use std::collections::VecDeque;

use conclave_codecs::container::obu::{DELIMITER, TEMPORAL_DELIMITER, leb128};

use super::header::{HeaderError, Rtp, Unwrapper};
use crate::frame::{MAX_PACKET, Packet};
use crate::time::Time;

/// What a depacketizer is opened with.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// SSRC of the stream.
    pub ssrc: u32,
    /// Packets that wait behind a missing one at most, 1 or more.
    pub waiting: usize,
    /// How long they wait for it, in microseconds.
    pub wait_us: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { ssrc: 0, waiting: 256, wait_us: 150_000 }
    }
}

/// A whole temporal unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit<'a> {
    /// A temporal delimiter, then the OBUs, each with its size field.
    pub bytes: &'a [u8],
    /// Unwrapped RTP time, in ticks of 90 kHz.
    pub rtp_time: u64,
    /// The sender says that a coded video sequence begins here: decoding can start.
    pub begins_sequence: bool,
}

/// Why a datagram was not taken. It costs nothing but itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is no RTP packet.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// It belongs to another stream.
    #[error("the packet is of stream {0:#x}, not of this one")]
    Stream(u32),
    /// Its payload is longer than [`MAX_PACKET`].
    #[error("an RTP payload of {0} bytes is longer than {MAX_PACKET}")]
    Long(usize),
    /// Its payload is no series of OBU elements.
    #[error("the AV1 payload {0}")]
    Payload(&'static str),
}

/// Why temporal units are missing from the output. A key frame helps, unless nothing refers to what is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Packets did not come in time.
    #[error("packets of the AV1 stream were lost")]
    Lost,
    /// A fragment without the one before or after it, though no packet is missing.
    #[error("the fragments of an OBU do not fit together")]
    Fragments,
    /// An OBU's header or size contradicts its length.
    #[error("an OBU is damaged: {0}")]
    Obu(&'static str),
    /// The unit is longer than [`MAX_UNIT`].
    #[error("a temporal unit is longer than {MAX_UNIT} bytes")]
    Long,
}

/// Longest temporal unit that is joined, in bytes.
pub const MAX_UNIT: usize = 8 << 20;

/// A sequence number that leaps further, in either direction, is believed once its successor comes too.
const MAX_LEAP: i64 = 512;

/// Counters. `packets` is the sum of those joined, skipped, waiting and of every kind that was dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Stats {
    /// Datagrams given in.
    pub packets: u64,
    /// Datagrams that were refused.
    pub refused: u64,
    /// Packets seen before, or given up before they came.
    pub late: u64,
    /// Packets dropped because too many waited.
    pub overflowed: u64,
    /// Packets whose sequence number leapt.
    pub strayed: u64,
    /// Packets dropped because their unit may be cut or is broken.
    pub skipped: u64,
    /// Packets in whole units and in the one that is being joined.
    pub joined: u64,
    /// Whole units.
    pub units: u64,
    /// Gaps given up.
    pub gaps: u64,
    /// Units dropped although none of their packets is missing.
    pub broken: u64,
}

struct Held {
    sequence: u64,
    timestamp: u32,
    marker: bool,
    payload: Packet,
}

/// Where in the stream the next packet lies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It begins a unit.
    Border,
    /// In a unit of this RTP time, or behind it.
    Inside(u32),
    /// In a unit that is dropped, or behind it; of `None` not even the RTP time is known yet.
    Dropped(Option<u32>),
}

/// Joins the packets of one stream.
pub struct Depacketizer {
    config: Config,
    sequences: Unwrapper<16>,
    times: Unwrapper<32>,
    waiting: VecDeque<Held>,
    /// Sequence number of the next packet in order; `None` before the first.
    expected: Option<u64>,
    gap_since: Option<Time>,
    /// The successor of a sequence number that leapt.
    leapt_to: Option<u16>,
    restarted: bool,
    place: Place,
    unit: Vec<u8>,
    /// The fragments so far of an OBU that goes on; empty where none does.
    obu: Vec<u8>,
    unit_packets: u64,
    begins_sequence: bool,
    stats: Stats,
}

impl Depacketizer {
    /// A depacketizer before its first packet. Units come out from the first one whose beginning is certain.
    pub fn new(config: Config) -> Self {
        Self {
            config: Config { waiting: config.waiting.max(1), ..config },
            sequences: Unwrapper::default(),
            times: Unwrapper::default(),
            waiting: VecDeque::new(),
            expected: None,
            gap_since: None,
            leapt_to: None,
            restarted: false,
            place: Place::Dropped(None),
            unit: Vec::new(),
            obu: Vec::new(),
            unit_packets: 0,
            begins_sequence: false,
            stats: Stats::default(),
        }
    }

    /// Takes a datagram; [`Depacketizer::next`] is then called until `None`.
    pub fn push(&mut self, datagram: &[u8]) -> Result<(), Refused> {
        self.stats.packets += 1;
        let (rtp, payload) = self.check(datagram).inspect_err(|_| self.stats.refused += 1)?;
        if self.sequences.step(rtp.sequence.into()).abs() > MAX_LEAP {
            if self.leapt_to != Some(rtp.sequence) {
                self.leapt_to = Some(rtp.sequence.wrapping_add(1));
                self.stats.strayed += 1;
                return Ok(());
            }
            self.restart();
        }
        let sequence = self.sequences.unwrap(rtp.sequence.into());
        let expected = *self.expected.get_or_insert(sequence);
        let at = self.waiting.iter().rposition(|held| held.sequence <= sequence);
        if sequence < expected || at.is_some_and(|at| self.waiting[at].sequence == sequence) {
            self.stats.late += 1;
        } else if self.waiting.len() >= self.config.waiting {
            self.stats.overflowed += 1;
        } else {
            let held = Held { sequence, timestamp: rtp.timestamp, marker: rtp.marker, payload };
            self.waiting.insert(at.map_or(0, |at| at + 1), held);
        }
        Ok(())
    }

    /// The next unit, or why units are missing; `None` until more packets come or those missing are given up.
    pub fn next(&mut self, now: Time) -> Option<Result<Unit<'_>, Fault>> {
        if let Err(fault) = self.advance(now)? {
            return Some(Err(fault));
        }
        let Place::Inside(timestamp) = std::mem::replace(&mut self.place, Place::Border) else { return None };
        self.stats.units += 1;
        self.unit_packets = 0;
        let rtp_time = self.times.unwrap(timestamp);
        Some(Ok(Unit { bytes: &self.unit, rtp_time, begins_sequence: self.begins_sequence }))
    }

    /// Counters so far.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Packets that wait for one before them.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn check<'a>(&self, datagram: &'a [u8]) -> Result<(Rtp<'a>, Packet), Refused> {
        let rtp = Rtp::parse(datagram)?;
        if rtp.ssrc != self.config.ssrc {
            return Err(Refused::Stream(rtp.ssrc));
        }
        let (aggregation, elements) = split(rtp.payload)?;
        for element in elements {
            element?;
        }
        if aggregation.first_goes_on && aggregation.begins_sequence {
            return Err(Refused::Payload("begins a sequence with the rest of an OBU"));
        }
        if aggregation.last_goes_on && rtp.marker {
            return Err(Refused::Payload("ends a temporal unit inside an OBU"));
        }
        let payload = Packet::new(rtp.payload).ok_or(Refused::Long(rtp.payload.len()))?;
        Ok((rtp, payload))
    }

    /// The sender counts anew, so nothing that waits fits what comes.
    fn restart(&mut self) {
        self.stats.skipped += self.waiting.len() as u64;
        self.waiting.clear();
        self.sequences = Unwrapper::default();
        (self.expected, self.leapt_to, self.restarted) = (None, None, true);
    }

    /// Goes through the packets in order up to the end of a whole unit, or to a fault.
    fn advance(&mut self, now: Time) -> Option<Result<(), Fault>> {
        if std::mem::take(&mut self.restarted) {
            return Some(Err(self.give_up()));
        }
        loop {
            let front = self.waiting.front()?;
            let (sequence, timestamp) = (front.sequence, front.timestamp);
            if self.expected != Some(sequence) {
                let since = *self.gap_since.get_or_insert(now);
                if now.since(since) < self.config.wait_us && self.waiting.len() < self.config.waiting {
                    return None;
                }
                self.expected = Some(sequence);
                return Some(Err(self.give_up()));
            }
            // A sender may leave the marker out: then the next RTP time ends the unit.
            if matches!(self.place, Place::Inside(inside) if inside != timestamp) {
                if !self.obu.is_empty() {
                    self.place = Place::Border;
                    return Some(Err(self.broken(Fault::Fragments)));
                }
                if self.has_content() {
                    return Some(Ok(()));
                }
            }
            self.gap_since = None;
            self.expected = Some(sequence + 1);
            let held = self.waiting.pop_front()?;
            match self.take(&held) {
                Err(fault) => {
                    self.place = if held.marker { Place::Border } else { Place::Dropped(Some(timestamp)) };
                    return Some(Err(self.broken(fault)));
                }
                Ok(()) if held.marker && self.has_content() => return Some(Ok(())),
                Ok(()) if held.marker => self.place = Place::Border,
                Ok(()) => {}
            }
        }
    }

    /// The unit that is being joined has more than its delimiter.
    fn has_content(&self) -> bool {
        matches!(self.place, Place::Inside(_)) && self.unit.len() > DELIMITER.len()
    }

    fn give_up(&mut self) -> Fault {
        self.stats.gaps += 1;
        self.drop_unit();
        self.gap_since = None;
        self.place = Place::Dropped(None);
        Fault::Lost
    }

    fn broken(&mut self, fault: Fault) -> Fault {
        self.stats.broken += 1;
        self.drop_unit();
        fault
    }

    fn drop_unit(&mut self) {
        let packets = std::mem::take(&mut self.unit_packets);
        self.stats.joined -= packets;
        self.stats.skipped += packets;
        self.obu.clear();
    }

    /// Adds the packet that follows in order to its unit, or drops it with its unit.
    fn take(&mut self, held: &Held) -> Result<(), Fault> {
        // `push` has checked both.
        let Ok((aggregation, elements)) = split(held.payload.as_slice()) else { return Ok(()) };
        let begins = match self.place {
            Place::Border => true,
            Place::Inside(inside) => inside != held.timestamp,
            // The packet before ended its unit or was of another RTP time, so this one has all before it.
            Place::Dropped(Some(dropped)) => dropped != held.timestamp || aggregation.begins_sequence,
            Place::Dropped(None) => aggregation.begins_sequence,
        };
        if let (Place::Dropped(_), false) = (self.place, begins) {
            self.stats.skipped += 1;
            self.place = Place::Dropped(Some(held.timestamp));
            return Ok(());
        }
        if begins {
            self.place = Place::Inside(held.timestamp);
            self.begins_sequence = aggregation.begins_sequence;
            self.unit.clear();
            self.unit.extend_from_slice(&DELIMITER);
            self.unit_packets = 0;
        }
        self.unit_packets += 1;
        self.stats.joined += 1;
        if aggregation.first_goes_on == self.obu.is_empty() {
            return Err(Fault::Fragments);
        }
        let mut elements = elements.flatten().peekable();
        while let Some(element) = elements.next() {
            if self.unit.len() + self.obu.len() + element.len() + MAX_LEB128 > MAX_UNIT {
                return Err(Fault::Long);
            }
            let goes_on = aggregation.last_goes_on && elements.peek().is_none();
            if goes_on || !self.obu.is_empty() {
                self.obu.extend_from_slice(element);
            }
            if !goes_on {
                let obu = if self.obu.is_empty() { element } else { &self.obu };
                append(obu, &mut self.unit)?;
                self.obu.clear();
            }
        }
        Ok(())
    }
}

/// The aggregation header (§4.4), its count left out.
#[derive(Clone, Copy)]
struct Aggregation {
    /// Z: the first element continues an OBU of the packet before.
    first_goes_on: bool,
    /// Y: the last element is continued in the next packet.
    last_goes_on: bool,
    /// N. A sender of independent layers sets it on each layer, so within a unit it means nothing.
    begins_sequence: bool,
}

/// The aggregation header and the elements behind it.
fn split(payload: &[u8]) -> Result<(Aggregation, Elements<'_>), Refused> {
    let (head, rest) = payload.split_first().ok_or(Refused::Payload("is empty"))?;
    if rest.is_empty() {
        return Err(Refused::Payload("has no OBU element"));
    }
    let aggregation = Aggregation {
        first_goes_on: head & 0x80 != 0,
        last_goes_on: head & 0x40 != 0,
        begins_sequence: head & 0x08 != 0,
    };
    let left = Some(head >> 4 & 3).filter(|count| *count > 0);
    Ok((aggregation, Elements { rest, left }))
}

/// OBU elements: each behind its length, but for the last of a counted series.
struct Elements<'a> {
    rest: &'a [u8],
    /// Elements to come, where the header counts them.
    left: Option<u8>,
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<&'a [u8], Refused>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left.map_or(self.rest.is_empty(), |left| left == 0) {
            return None;
        }
        let element = self.element();
        self.left = if element.is_ok() { self.left.map(|left| left - 1) } else { Some(0) };
        Some(element)
    }
}

impl<'a> Elements<'a> {
    fn element(&mut self) -> Result<&'a [u8], Refused> {
        let element = if self.left == Some(1) {
            std::mem::take(&mut self.rest)
        } else {
            let (len, head) = leb128(self.rest).ok_or(Refused::Payload("ends inside the length of an element"))?;
            let len = usize::try_from(len).unwrap_or(usize::MAX);
            let (element, rest) =
                self.rest[head..].split_at_checked(len).ok_or(Refused::Payload("ends inside an element"))?;
            self.rest = rest;
            element
        };
        if element.is_empty() { Err(Refused::Payload("has an empty element")) } else { Ok(element) }
    }
}

/// `obu_type` of a tile list, which RTP does not carry.
const TILE_LIST: u8 = 8;

/// Bytes of the longest size field.
const MAX_LEB128: usize = 8;

/// Appends an OBU with its size field to `unit`; leaves out those that receivers must ignore (§5).
fn append(obu: &[u8], unit: &mut Vec<u8>) -> Result<(), Fault> {
    let first = *obu.first().ok_or(Fault::Obu("it is empty"))?;
    if first & 0x80 != 0 {
        return Err(Fault::Obu("its forbidden bit is set"));
    }
    let head = 1 + usize::from(first >> 2 & 1);
    let (head, mut payload) = obu.split_at_checked(head).ok_or(Fault::Obu("it ends inside its header"))?;
    if first & 2 != 0 {
        let (size, len) = leb128(payload).ok_or(Fault::Obu("it ends inside its size"))?;
        payload = &payload[len..];
        if u64::try_from(payload.len()) != Ok(size) {
            return Err(Fault::Obu("its size is not its length"));
        }
    }
    if matches!(first >> 3 & 15, TEMPORAL_DELIMITER | TILE_LIST) {
        return Ok(());
    }
    unit.push(first | 2);
    unit.extend_from_slice(&head[1..]);
    let mut size = payload.len();
    while size > 0x7f {
        unit.push(size as u8 | 0x80);
        size >>= 7;
    }
    unit.push(size as u8);
    unit.extend_from_slice(payload);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet of stream 0: sequence number, RTP time, marker, payload.
    fn packet(sequence: u16, timestamp: u32, marker: bool, payload: &[u8]) -> Vec<u8> {
        let rtp = Rtp { marker, payload_type: 45, sequence, timestamp, ssrc: 0, extension: None, payload: &[] };
        let mut out = vec![0; 12];
        rtp.write_header(&mut out).expect("fits");
        out.extend_from_slice(payload);
        out
    }

    /// What comes out once all of `packets` were pushed one after the other.
    fn joined(packets: &[Vec<u8>]) -> Vec<Result<Vec<u8>, Fault>> {
        let (mut joiner, mut out) = (Depacketizer::new(Config::default()), Vec::new());
        for packet in packets {
            joiner.push(packet).expect("well formed");
            while let Some(unit) = joiner.next(Time(0)) {
                out.push(unit.map(|unit| unit.bytes.to_vec()));
            }
        }
        out
    }

    #[test]
    fn elements_become_obus_with_sizes_behind_one_delimiter() {
        // Counted (W = 3): a delimiter, a header with an extension, a frame that goes on in the next packet.
        let first = [0b0111_1000, 1, 0x10, 3, 0x0c, 0x20, 7, 0x30, 1, 2];
        // The rest of the frame, and a padding OBU with a size of its own; not counted, so each has its length.
        let second = [0b1000_0000, 2, 3, 4, 4, 0x7a, 2, 9, 9];
        let out = joined(&[packet(1, 5, false, &first), packet(2, 5, true, &second)]);
        let unit = [0x12, 0, 0x0e, 0x20, 1, 7, 0x32, 4, 1, 2, 3, 4, 0x7a, 2, 9, 9];
        assert_eq!(out, [Ok(unit.to_vec())]);
    }

    #[test]
    fn the_next_time_ends_a_unit_without_a_marker() {
        let start = [0b0001_1000, 0x30, 1];
        let out = joined(&[packet(1, 5, false, &start), packet(2, 6, true, &[0x10, 0x30, 2])]);
        assert_eq!(out, [Ok(vec![0x12, 0, 0x32, 1, 1]), Ok(vec![0x12, 0, 0x32, 1, 2])]);
    }

    #[test]
    fn the_stream_is_taken_up_where_a_unit_certainly_begins() {
        // No sequence begins and no marker was seen: the first two packets may lie inside a unit.
        let plain = [0x10, 0x30, 1];
        let packets = [packet(1, 5, false, &plain), packet(2, 5, true, &plain), packet(3, 6, true, &plain)];
        assert_eq!(joined(&packets), [Ok(vec![0x12, 0, 0x32, 1, 1])]);
    }

    #[test]
    fn a_missing_packet_costs_the_units_that_it_may_have_cut() {
        let (start, plain) = ([0b0001_1000, 0x30, 1], [0x10, 0x30, 2]);
        let mut joiner = Depacketizer::new(Config { wait_us: 1_000, ..Config::default() });
        let push = |joiner: &mut Depacketizer, s, t, payload: &[u8]| joiner.push(&packet(s, t, true, payload));
        push(&mut joiner, 65_535, 1, &start).expect("well formed");
        assert!(joiner.next(Time(0)).is_some_and(|unit| unit.is_ok_and(|unit| unit.begins_sequence)));
        // Packet 0 is missing: it ends the unit of time 2 or is one of its own.
        push(&mut joiner, 1, 2, &plain).expect("well formed");
        push(&mut joiner, 2, 3, &plain).expect("well formed");
        assert_eq!(joiner.next(Time(5_000)), None);
        assert_eq!(joiner.next(Time(5_999)), None);
        assert_eq!(joiner.next(Time(6_000)), Some(Err(Fault::Lost)));
        let unit = joiner.next(Time(6_000)).expect("comes").expect("is whole");
        assert_eq!((unit.rtp_time & 0xffff_ffff, unit.begins_sequence), (3, false));
        push(&mut joiner, 0, 2, &plain).expect("well formed");
        assert_eq!(joiner.next(Time(6_000)), None);
        let seen = joiner.stats();
        assert_eq!((seen.units, seen.gaps, seen.skipped, seen.late), (2, 1, 1, 1));
    }

    #[test]
    fn the_stream_goes_on_after_the_sender_has_counted_anew() {
        let (start, plain) = ([0b0001_1000, 0x30, 1], [0x10, 0x30, 2]);
        let packets = [(7, 1, start), (30_000, 2, plain), (9, 3, plain), (30_001, 4, start)];
        let packets = packets.map(|(s, t, payload)| packet(s, t, true, &payload));
        // The leap is believed with its successor, and what waited for packet 8 is dropped.
        let unit = Ok(vec![0x12, 0, 0x32, 1, 1]);
        assert_eq!(joined(&packets), [unit.clone(), Err(Fault::Lost), unit]);
    }

    #[test]
    fn fragments_and_obus_that_contradict_themselves_drop_their_unit_alone() {
        let (start, plain) = ([0b0001_1000, 0x30, 1], [0x10, 0x30, 2]);
        for (payload, fault) in [
            // Continues nothing.
            (&[0x90, 1][..], Fault::Fragments),
            (&[0x10, 0xb0, 1], Fault::Obu("its forbidden bit is set")),
            (&[0x10, 0x34], Fault::Obu("it ends inside its header")),
            (&[0x10, 0x32, 0x80], Fault::Obu("it ends inside its size")),
            (&[0x10, 0x32, 2, 1], Fault::Obu("its size is not its length")),
            (&[0x10, 0x32, 0, 1], Fault::Obu("its size is not its length")),
        ] {
            let out = joined(&[
                packet(1, 1, true, &start),
                packet(2, 2, false, payload),
                packet(3, 2, true, &plain),
                packet(4, 3, true, &plain),
            ]);
            assert_eq!(out[1..], [Err(fault), Ok(vec![0x12, 0, 0x32, 1, 2])], "{payload:?}");
        }
        // An OBU that goes on, and then does not.
        for end in [packet(2, 1, true, &plain), packet(2, 2, true, &plain)] {
            let out = joined(&[packet(1, 1, false, &[0b0101_1000, 0x30, 1]), end]);
            assert_eq!(out[0], Err(Fault::Fragments));
        }
    }

    #[test]
    fn malformed_packets_are_refused() {
        let mut joiner = Depacketizer::new(Config::default());
        for (payload, why) in [
            (&[][..], "is empty"),
            (&[0x10], "has no OBU element"),
            (&[0x00, 0x80], "ends inside the length of an element"),
            (&[0x00, 2, 1], "ends inside an element"),
            (&[0x20, 2, 1], "ends inside an element"),
            (&[0x20, 1, 0x30], "has an empty element"),
            (&[0x00, 0, 1, 0x30], "has an empty element"),
            (&[0x98, 0x30], "begins a sequence with the rest of an OBU"),
            (&[0x50, 0x30], "ends a temporal unit inside an OBU"),
        ] {
            assert_eq!(joiner.push(&packet(1, 1, true, payload)), Err(Refused::Payload(why)), "{payload:?}");
        }
        assert_eq!(joiner.push(&[0x80; 11]), Err(Refused::Header(HeaderError::Truncated(11))));
        assert_eq!(joiner.push(&[0x80; 20]), Err(Refused::Stream(0x8080_8080)));
        assert_eq!(joiner.push(&packet(1, 1, true, &[0x10; 1501])), Err(Refused::Long(1501)));
        assert_eq!((joiner.stats().packets, joiner.stats().refused, joiner.waiting()), (12, 12, 0));
    }

    #[test]
    fn neither_a_unit_nor_what_waits_grows_without_bound() {
        let mut joiner = Depacketizer::new(Config::default());
        let mut body = vec![0b0101_1000; 1_400];
        body[1] = 0x30;
        let (mut faults, mut longest) = (Vec::new(), 0);
        for sequence in 0..12_000u32 {
            joiner.push(&packet(sequence as u16, 1, false, &body)).expect("well formed");
            while let Some(unit) = joiner.next(Time(0)) {
                faults.push(unit.expect_err("never ends"));
            }
            longest = longest.max(joiner.obu.len());
            body[0] = 0b1101_0000;
        }
        assert_eq!(faults, [Fault::Long]);
        assert!((MAX_UNIT - 2_000..=MAX_UNIT).contains(&longest), "{longest}");
        // Nothing is taken out, so what waits fills up.
        (0..600).for_each(|s| joiner.push(&packet(12_001 + s, 1, false, &body)).expect("well formed"));
        assert_eq!((joiner.waiting(), joiner.stats().overflowed), (256, 600 - 256));
    }
}
