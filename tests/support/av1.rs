//! The clear AV1 packetizer (AV1 RTP payload specification §4 and §5): the tests' counterpart of the engine's
//! depacketizer. It stands here because the engine must not be able to send plaintext.
#![allow(dead_code, reason = "each user takes a part")]

use conclave::codecs::container::obu::{SEQUENCE_HEADER, TEMPORAL_DELIMITER, obus};
use conclave::rtp::header::{FIXED, Rtp};

/// One clear stream.
pub struct Clear {
    pub ssrc: u32,
    pub sequence: u16,
    /// Most bytes of a datagram, above [`FIXED`] + 4.
    pub mtu: usize,
    /// Set the marker on a unit's last packet.
    pub marks: bool,
    /// Chooses wherever the specification leaves a choice.
    pub random: fastrand::Rng,
}

impl Clear {
    /// The datagrams of one temporal unit in the low-overhead format; none for a unit of delimiters alone.
    pub fn packetize(&mut self, unit: &[u8], timestamp: u32) -> Vec<Vec<u8>> {
        let bare: Vec<Vec<u8>> = obus(unit).filter(|obu| obu.kind != TEMPORAL_DELIMITER).map(bare).collect();
        let begins_sequence = obus(unit).any(|obu| obu.kind == SEQUENCE_HEADER);
        let (mut payloads, mut from, mut at) = (Vec::new(), 0, 0);
        while from < bare.len() {
            let room = self.mtu - FIXED - 1;
            let (mut elements, mut used, first_goes_on, mut last_goes_on) = (Vec::new(), 0, at > 0, false);
            while from < bare.len() && !last_goes_on {
                let left = &bare[from][at..];
                // Each element could need its length in front.
                let Some(most) = room.checked_sub(used + leb128(left.len()).len()).filter(|most| *most > 0) else {
                    break;
                };
                let cut = self.random.u8(..8) == 0 && left.len() > 1;
                let len = if cut { self.random.usize(1..left.len()).min(most) } else { left.len().min(most) };
                elements.push(&left[..len]);
                used += leb128(len).len() + len;
                last_goes_on = len < left.len();
                (from, at) = if last_goes_on { (from, at + len) } else { (from + 1, 0) };
                if self.random.u8(..8) == 0 {
                    break;
                }
            }
            let counted = elements.len() < 4 && self.random.bool();
            let bit = |flag: bool, bit: u8| u8::from(flag) << bit;
            let mut payload = vec![bit(first_goes_on, 7) | bit(last_goes_on, 6)];
            payload[0] |= bit(begins_sequence && payloads.is_empty(), 3);
            payload[0] |= if counted { (elements.len() as u8) << 4 } else { 0 };
            for (i, element) in elements.iter().enumerate() {
                if !counted || i + 1 < elements.len() {
                    payload.extend(leb128(element.len()));
                }
                payload.extend_from_slice(element);
            }
            payloads.push(payload);
        }
        let count = payloads.len();
        payloads.into_iter().enumerate().map(|(i, p)| self.packet(&p, timestamp, i + 1 == count)).collect()
    }

    fn packet(&mut self, payload: &[u8], timestamp: u32, last: bool) -> Vec<u8> {
        let rtp = Rtp {
            marker: last && self.marks,
            payload_type: 45,
            sequence: self.sequence,
            timestamp,
            ssrc: self.ssrc,
            extension: None,
            payload: &[],
        };
        self.sequence = self.sequence.wrapping_add(1);
        let mut datagram = vec![0; FIXED];
        rtp.write_header(&mut datagram).unwrap();
        datagram.extend_from_slice(payload);
        datagram
    }
}

/// The OBU without its size field, as RTP carries it.
fn bare(obu: conclave::codecs::container::obu::Obu<'_>) -> Vec<u8> {
    let mut out = vec![obu.bytes[0] & !2];
    if obu.bytes[0] & 4 != 0 {
        out.push(obu.bytes[1]);
    }
    out.extend_from_slice(obu.payload);
    out
}

/// A number in the code of AV1 §4.10.5, as short as it goes.
pub fn leb128(mut value: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// A temporal unit of `count` OBUs whose borders are right and whose content is noise; `begins` puts a sequence header
/// in front.
pub fn noise(random: &mut fastrand::Rng, begins: bool, count: usize, longest: usize) -> Vec<u8> {
    let mut unit = vec![TEMPORAL_DELIMITER << 3 | 2, 0];
    for i in 0..count {
        // Metadata, frame header, tile group, frame, padding, reserved types.
        let kinds = [3, 4, 5, 6, 15, 0, 9];
        let kind = if begins && i == 0 { SEQUENCE_HEADER } else { kinds[random.usize(..kinds.len())] };
        let extension = random.bool();
        unit.push(kind << 3 | u8::from(extension) << 2 | 2);
        if extension {
            unit.push(random.u8(..) & 0xf8);
        }
        let len = random.usize(..=longest) >> random.u8(..12);
        unit.extend(leb128(len));
        unit.extend((0..len).map(|_| random.u8(..)));
    }
    unit
}
