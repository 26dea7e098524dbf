//! Sealed frames to RTP packets: near-equal fragments, each with the SFrame descriptor byte and, for video, the
//! Dependency Descriptor. Takes [`Sealed`] and nothing else, and never allocates.

use super::descriptor::Outgoing;
use super::extensions;
use super::header::{FIXED, Rtp};
use super::{DESCRIPTOR_ID, END, START};
use crate::frame::{MAX_PACKET, Packet, Sealed};

/// One stream's packets.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// The stream.
    pub ssrc: u32,
    /// 0 to 127.
    pub payload_type: u8,
    /// Largest datagram in bytes.
    pub mtu: usize,
    /// First sequence number.
    pub sequence: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self { ssrc: 0, payload_type: 96, mtu: 1200, sequence: 0 }
    }
}

/// Why a frame was not cut into packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The descriptor of the frame cannot be written.
    #[error(
        "the frame's template structure does not fit a dependency descriptor; take `rtp::descriptor::single_layer_structure`"
    )]
    Descriptor,
    /// Header and descriptor leave no room, or there is more room than a packet holds.
    #[error("datagrams of {0} bytes do not fit: they hold header, descriptor and media in at most 1500; take 1200")]
    Mtu(usize),
    /// Too many packets for a sequence number.
    #[error("a sealed frame of {0} bytes is too long for one frame: lower the bitrate")]
    Long(usize),
}

/// Packets of one frame at most: a quarter of the sequence numbers, so that none is ambiguous.
const MAX_PACKETS: usize = 1 << 14;

/// Cuts the frames of one stream.
pub struct Packetizer {
    config: Config,
    sequence: u16,
    packets: u64,
    octets: u64,
}

impl Packetizer {
    /// A packetizer at its first sequence number.
    pub fn new(config: Config) -> Self {
        Self { config, sequence: config.sequence, packets: 0, octets: 0 }
    }

    /// Gives the packets of `frame`, at `rtp_time` in ticks of its clock, to `emit`. On an error none was given.
    pub fn packetize(&mut self, frame: &Sealed, rtp_time: u32, emit: &mut dyn FnMut(&Packet)) -> Result<(), Error> {
        let mut cut = self.cut(frame, rtp_time)?;
        let mut packet = Packet::empty();
        while cut.sequence().is_some() {
            cut.fill(&mut packet);
            emit(&packet);
        }
        Ok(())
    }

    /// Begins to cut `frame`: each packet is then written once, where the caller wants it.
    pub(crate) fn cut<'a>(&'a mut self, frame: &'a Sealed, rtp_time: u32) -> Result<Cut<'a>, Error> {
        let mtu = self.config.mtu;
        // The first packet has the longest header: it decides how many packets there are.
        let first = Head::new(&self.config, frame, rtp_time, true, false)?;
        let room = mtu.checked_sub(first.len + 1).filter(|room| *room >= 16 && mtu <= MAX_PACKET);
        let room = room.ok_or(Error::Mtu(mtu))?;
        let payload = frame.as_slice();
        let count = payload.len().div_ceil(room).max(1);
        if count > MAX_PACKETS {
            return Err(Error::Long(payload.len()));
        }
        let head = |start, end| Head::new(&self.config, frame, rtp_time, start, end);
        let (first, last) = if count == 1 { (head(true, true)?, Head::EMPTY) } else { (first, head(false, true)?) };
        let middle = if count > 2 { head(false, false)? } else { Head::EMPTY };
        Ok(Cut {
            short: payload.len() / count,
            longer: payload.len() % count,
            packetizer: self,
            rest: payload,
            index: 0,
            count,
            first,
            middle,
            last,
        })
    }

    /// Packets so far.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Bytes of payload so far, headers left out, as sender reports count them.
    pub fn octets(&self) -> u64 {
        self.octets
    }
}

/// A frame being cut. Headers differ in the first, the last and the other packets only, beside the sequence number.
pub(crate) struct Cut<'a> {
    packetizer: &'a mut Packetizer,
    rest: &'a [u8],
    index: usize,
    count: usize,
    /// Bytes of payload in a packet; one more in each of the first `longer`.
    short: usize,
    longer: usize,
    first: Head,
    middle: Head,
    last: Head,
}

impl Cut<'_> {
    /// Sequence number of the next packet; `None` behind the last.
    pub(crate) fn sequence(&self) -> Option<u16> {
        (self.index < self.count).then_some(self.packetizer.sequence)
    }

    /// Writes the next packet over `packet`. Behind the last there is none, and `packet` becomes empty.
    pub(crate) fn fill(&mut self, packet: &mut Packet) {
        if self.index >= self.count {
            return packet.set_len(0);
        }
        let (start, end) = (self.index == 0, self.index + 1 == self.count);
        let head = if start {
            &self.first
        } else if end {
            &self.last
        } else {
            &self.middle
        };
        let (piece, rest) = self.rest.split_at(self.short + usize::from(self.index < self.longer));
        // `Packetizer::cut` has seen that the longest header and the longest piece fit together.
        let area = &mut packet.spare()[..head.len + 1 + piece.len()];
        let (front, body) = area.split_at_mut(head.len);
        front.copy_from_slice(&head.bytes[..head.len]);
        front[2..4].copy_from_slice(&self.packetizer.sequence.to_be_bytes());
        body[0] = if start { START } else { 0 } | if end { END } else { 0 };
        body[1..].copy_from_slice(piece);
        packet.set_len(head.len + 1 + piece.len());
        (self.rest, self.index) = (rest, self.index + 1);
        self.packetizer.sequence = self.packetizer.sequence.wrapping_add(1);
        self.packetizer.packets += 1;
        self.packetizer.octets += 1 + piece.len() as u64;
    }
}

/// The header of a packet with its extension, but for the sequence number.
struct Head {
    bytes: [u8; FIXED + 4 + MAX_EXTENSION],
    len: usize,
}

/// Bytes of the longest extension: a descriptor with the longest structure and its element header, in whole words.
const MAX_EXTENSION: usize = 164;

impl Head {
    const EMPTY: Self = Self { bytes: [0; FIXED + 4 + MAX_EXTENSION], len: 0 };

    fn new(config: &Config, frame: &Sealed, rtp_time: u32, start: bool, end: bool) -> Result<Self, Error> {
        let (mut data, mut element) = ([0; MAX_EXTENSION - 4], [0; MAX_EXTENSION]);
        let mut extension = None;
        if frame.header().kind.is_video() {
            let outgoing = Outgoing {
                start,
                end,
                template_id: frame.header().template_id,
                frame_number: frame.header().frame_number,
                structure: if start { frame.structure().as_slice() } else { &[] },
                diffs: None,
            };
            let len = outgoing.write(&mut data).ok_or(Error::Descriptor)?;
            let written = extensions::write_one(DESCRIPTOR_ID, &data[..len], &mut element);
            let (profile, len) = written.ok_or(Error::Descriptor)?;
            extension = Some((profile, &element[..len]));
        }
        let rtp = Rtp {
            marker: end,
            payload_type: config.payload_type,
            sequence: 0,
            timestamp: rtp_time,
            ssrc: config.ssrc,
            extension,
            payload: &[],
        };
        let mut head = Self::EMPTY;
        head.len = rtp.write_header(&mut head.bytes).ok_or(Error::Descriptor)?;
        Ok(head)
    }
}
