//! Packet captures in the classic format: UDP over IPv4 over Ethernet, in and out.
#![allow(dead_code, reason = "each test uses a part")]

/// One UDP datagram of a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Time of capture in microseconds.
    pub at: u64,
    pub from: u16,
    pub to: u16,
    pub payload: Vec<u8>,
}

/// The UDP datagrams of a little-endian capture of Ethernet with microseconds, other packets left out.
pub fn read(file: &[u8]) -> Option<Vec<Datagram>> {
    let u32_at = |at: usize| Some(u32::from_le_bytes(*file.get(at..)?.first_chunk()?));
    if u32_at(0)? != MAGIC || u32_at(20)? != ETHERNET {
        return None;
    }
    let (mut out, mut at) = (Vec::new(), 24);
    while at < file.len() {
        let time = u64::from(u32_at(at)?) * 1_000_000 + u64::from(u32_at(at + 4)?);
        let len = u32_at(at + 8)? as usize;
        out.extend(datagram(file.get(at + 16..at + 16 + len)?, time));
        at += 16 + len;
    }
    Some(out)
}

fn datagram(frame: &[u8], at: u64) -> Option<Datagram> {
    let ip = frame.get(14..).filter(|_| frame[12..14] == [8, 0])?;
    let udp = ip.get(usize::from(ip.first()? & 15) * 4..).filter(|_| ip[9] == UDP)?;
    let word = |at: usize| Some(u16::from_be_bytes(*udp.get(at..)?.first_chunk()?));
    Some(Datagram { at, from: word(0)?, to: word(2)?, payload: udp.get(8..word(4)?.into())?.to_vec() })
}

/// A capture that holds these datagrams, from and to this machine.
pub fn write(datagrams: &[Datagram]) -> Vec<u8> {
    let mut out = Vec::new();
    for word in [MAGIC, 4 << 16 | 2, 0, 0, 65_535, ETHERNET] {
        out.extend(word.to_le_bytes());
    }
    for d in datagrams {
        let (udp, ip) = (8 + d.payload.len(), 28 + d.payload.len());
        let length = 14 + ip as u32;
        for word in [(d.at / 1_000_000) as u32, (d.at % 1_000_000) as u32, length, length] {
            out.extend(word.to_le_bytes());
        }
        out.extend([0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 1, 8, 0]);
        let mut header = [0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, UDP, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1];
        header[2..4].copy_from_slice(&(ip as u16).to_be_bytes());
        let sum: u32 = header.chunks_exact(2).map(|w| u32::from(w[0]) << 8 | u32::from(w[1])).sum();
        let sum = !(sum as u16 + (sum >> 16) as u16);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        out.extend(header);
        // No checksum: IPv4 allows 0 for UDP.
        for word in [d.from, d.to, udp as u16, 0] {
            out.extend(word.to_be_bytes());
        }
        out.extend(&d.payload);
    }
    out
}

const MAGIC: u32 = 0xa1b2_c3d4;
const ETHERNET: u32 = 1;
const UDP: u8 = 17;
