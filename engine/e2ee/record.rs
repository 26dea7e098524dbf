//! What is sealed and what is authenticated beside it (E2EE.md §2).
//!
//! Outside, from the frame's first packet: `"CM1" ‖ u32 stream ‖ u8 kind ‖ u8 spatial ‖ u8 temporal ‖ u8 template_id ‖
//! u16 frame_number`. Inside: `u64 capture_us ‖ u16 structure_len ‖ structure ‖ u32 payload_len ‖ payload ‖ zeros`.
//! All numbers are big-endian.

use std::ops::Range;

use crate::frame::{Header, Kind, Structure};
use crate::time::Time;

/// Bytes of metadata.
pub const METADATA: usize = 13;

/// Most bytes in front of the payload.
pub const MAX_FRONT: usize = 8 + 2 + 96 + 4;

/// How far plaintexts are padded, so that their lengths say less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Padding {
    /// Audio to 40, 80, 120, 160 bytes, then multiples of 80.
    pub audio: bool,
    /// Everything else to multiples of 256 bytes.
    pub video: bool,
}

impl Default for Padding {
    fn default() -> Self {
        Self { audio: true, video: false }
    }
}

impl Padding {
    /// The padded length of a plaintext of `len` bytes, inner header and payload.
    pub fn padded(self, kind: Kind, len: usize) -> usize {
        match kind.is_audio() {
            true if self.audio && len <= 160 => len.next_multiple_of(40).max(40),
            true if self.audio => len.next_multiple_of(80),
            false if self.video => len.next_multiple_of(256),
            _ => len,
        }
    }
}

/// The metadata that is authenticated behind the SFrame header.
pub fn metadata(header: &Header) -> [u8; METADATA] {
    let mut out = *b"CM1\0\0\0\0\0\0\0\0\0\0";
    out[3..7].copy_from_slice(&header.stream.to_be_bytes());
    out[7..11].copy_from_slice(&[header.kind as u8, header.spatial, header.temporal, header.template_id]);
    out[11..].copy_from_slice(&header.frame_number.to_be_bytes());
    out
}

/// The bytes in front of the payload.
pub struct Front {
    bytes: [u8; MAX_FRONT],
    len: usize,
}

impl Front {
    /// The inner header of a frame with `payload` bytes.
    pub fn new(captured: Time, structure: &Structure, payload: u32) -> Self {
        let structure = structure.as_slice();
        let (mut bytes, end) = ([0; MAX_FRONT], 10 + structure.len());
        bytes[..8].copy_from_slice(&captured.0.to_be_bytes());
        bytes[8..10].copy_from_slice(&(structure.len() as u16).to_be_bytes());
        bytes[10..end].copy_from_slice(structure);
        bytes[end..end + 4].copy_from_slice(&payload.to_be_bytes());
        Self { bytes, len: end + 4 }
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// What an opened plaintext says.
pub struct Inner {
    /// When the frame was captured, on the sender's clock.
    pub captured: Time,
    /// The template structure; empty where there is none.
    pub structure: Structure,
    /// Where the payload lies.
    pub payload: Range<usize>,
}

impl Inner {
    /// Reads a plaintext; `None` where a length does not fit or the padding is not zero.
    pub fn read(plaintext: &[u8]) -> Option<Self> {
        let (captured, rest) = plaintext.split_first_chunk()?;
        let (len, rest) = rest.split_first_chunk()?;
        let (structure, rest) = rest.split_at_checked(u16::from_be_bytes(*len).into())?;
        let (len, rest) = rest.split_first_chunk()?;
        let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
        let (_, padding) = rest.split_at_checked(len)?;
        if padding.iter().any(|byte| *byte != 0) {
            return None;
        }
        let start = plaintext.len() - rest.len();
        Some(Self {
            captured: Time(u64::from_be_bytes(*captured)),
            structure: Structure::new(structure)?,
            payload: start..start + len,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audio_lengths_fall_into_few_buckets() {
        let padding = Padding::default();
        for (len, padded) in [(0, 40), (14, 40), (40, 40), (41, 80), (121, 160), (161, 240), (240, 240), (241, 320)] {
            assert_eq!(padding.padded(Kind::Microphone, len), padded);
            assert_eq!(padding.padded(Kind::Camera, len), len);
        }
        let padding = Padding { audio: false, video: true };
        assert_eq!(padding.padded(Kind::ScreenAudio, 41), 41);
        assert_eq!(padding.padded(Kind::Screen, 257), 512);
    }

    #[test]
    fn an_inner_header_round_trips_and_no_truncation_of_it_is_read() {
        let structure = Structure::new(&[0x80; 96]).unwrap();
        let front = Front::new(Time(u64::MAX), &structure, 3);
        assert_eq!(front.as_slice().len(), MAX_FRONT);
        let whole = [front.as_slice(), b"abc"].concat();
        let inner = Inner::read(&whole).unwrap();
        assert_eq!((inner.captured, &whole[inner.payload]), (Time(u64::MAX), &b"abc"[..]));
        assert_eq!(inner.structure.as_slice(), structure.as_slice());
        assert!((0..whole.len()).all(|cut| Inner::read(&whole[..cut]).is_none()));
    }

    #[test]
    fn lengths_that_lie_and_padding_that_speaks_are_refused() {
        let plain = |structure: u16, payload: u32, rest: &[u8]| {
            [&[0; 8][..], &structure.to_be_bytes(), &payload.to_be_bytes(), rest].concat()
        };
        assert!(Inner::read(&plain(0, 2, &[1, 2, 0, 0])).is_some());
        assert!(Inner::read(&plain(0, 2, &[1, 2, 0, 1])).is_none());
        assert!(Inner::read(&plain(0, u32::MAX, &[1, 2])).is_none());
        assert!(Inner::read(&plain(97, 0, &[0; 200])).is_none());
        assert!(Inner::read(&plain(u16::MAX, 0, &[0; 200])).is_none());
    }
}
