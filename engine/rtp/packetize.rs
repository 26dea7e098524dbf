//! Sealed frames to RTP packets: near-equal fragments, each with the SFrame descriptor byte and, for video, the
//! Dependency Descriptor. Takes [`Sealed`] and nothing else, and never allocates.

use super::descriptor::Outgoing;
use super::extensions;
use super::header::{FIXED, Rtp};
use super::{DESCRIPTOR_ID, END, START};
use crate::frame::{Packet, Sealed};

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
    /// Header and descriptor leave no room.
    #[error("datagrams of {0} bytes leave no room for media: 1200 fits every path")]
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
    pub fn packetize(&mut self, frame: &Sealed, rtp_time: u32, emit: &mut dyn FnMut(Packet)) -> Result<(), Error> {
        let (payload, video) = (frame.as_slice(), !frame.header().kind.is_audio());
        let outgoing = |start, end| Outgoing {
            start,
            end,
            template_id: frame.header().template_id,
            frame_number: frame.header().frame_number,
            structure: if start { frame.structure().as_slice() } else { &[] },
            diffs: None,
        };
        // The first packet has the longest header: it decides how many packets there are.
        let mut scratch = [0; 160];
        let mut extension = [0; 164];
        let longest = if video {
            let len = outgoing(true, true).write(&mut scratch).ok_or(Error::Descriptor)?;
            let (_, len) =
                extensions::write_one(DESCRIPTOR_ID, &scratch[..len], &mut extension).ok_or(Error::Descriptor)?;
            4 + len.div_ceil(4) * 4
        } else {
            0
        };
        let room = self.config.mtu.checked_sub(FIXED + longest + 1).filter(|room| *room >= 16);
        let room = room.ok_or(Error::Mtu(self.config.mtu))?;
        let count = payload.len().div_ceil(room).max(1);
        if count > MAX_PACKETS {
            return Err(Error::Long(payload.len()));
        }
        for index in 0..count {
            let (start, end) = (index == 0, index + 1 == count);
            let piece = &payload[payload.len() * index / count..payload.len() * (index + 1) / count];
            let mut body = None;
            if video {
                let len = outgoing(start, end).write(&mut scratch).ok_or(Error::Descriptor)?;
                body = extensions::write_one(DESCRIPTOR_ID, &scratch[..len], &mut extension);
            }
            let rtp = Rtp {
                marker: end,
                payload_type: self.config.payload_type,
                sequence: self.sequence,
                timestamp: rtp_time,
                ssrc: self.config.ssrc,
                extension: body.map(|(profile, len)| (profile, &extension[..len])),
                payload: &[],
            };
            let mut packet = Packet::empty();
            let head = rtp.write_header(packet.spare()).ok_or(Error::Mtu(self.config.mtu))?;
            let flags = if start { START } else { 0 } | if end { END } else { 0 };
            let area = packet.spare().get_mut(head..head + 1 + piece.len()).ok_or(Error::Mtu(self.config.mtu))?;
            area[0] = flags;
            area[1..].copy_from_slice(piece);
            packet.set_len(head + 1 + piece.len());
            self.sequence = self.sequence.wrapping_add(1);
            self.packets += 1;
            self.octets += 1 + piece.len() as u64;
            emit(packet);
        }
        Ok(())
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
