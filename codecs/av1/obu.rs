//! OBUs and temporal units (specification §5.3).
//!
//! The encoder writes temporal units of the low-overhead format: a temporal delimiter first, and every OBU states its
//! size. Between packets the transport tells borders, so [`elements`] gives the same unit in the form of the RTP
//! payload format: no delimiter, no sizes.

use super::bits::leb128;
use crate::container::obu::{DELIMITER, TEMPORAL_DELIMITER, obus};

/// What an OBU carries: `obu_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// What holds for a coded video sequence.
    Sequence = 1,
    /// A frame header and all tiles of the frame.
    Frame = 6,
}

/// Which layer a frame belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layer {
    /// `temporal_id`, 0…7.
    pub temporal: u8,
    /// `spatial_id`, 0…3.
    pub spatial: u8,
}

/// Begins a temporal unit.
pub fn delimiter(out: &mut Vec<u8>) {
    out.extend_from_slice(&DELIMITER);
}

/// Appends what stands before `size` bytes of payload. `layer` is given for frames of a stream that has layers; sequence
/// headers never have one.
pub fn header(kind: Kind, layer: Option<Layer>, size: usize, out: &mut Vec<u8>) {
    let extended = if layer.is_some() { EXTENDED } else { 0 };
    out.push((kind as u8) << 3 | extended | HAS_SIZE);
    if let Some(layer) = layer {
        out.push(layer.temporal << 5 | layer.spatial << 3);
    }
    leb128(size as u64, out);
}

/// An OBU without its size field.
#[derive(Clone, Copy, Debug)]
pub struct Element<'a> {
    header: [u8; 2],
    extended: bool,
    /// What follows the header.
    pub payload: &'a [u8],
}

impl Element<'_> {
    /// The header, one byte or two.
    pub fn header(&self) -> &[u8] {
        &self.header[..1 + usize::from(self.extended)]
    }
}

/// The OBUs of a temporal unit as the RTP payload format carries them.
pub fn elements(unit: &[u8]) -> impl Iterator<Item = Element<'_>> {
    obus(unit).filter(|obu| obu.kind != TEMPORAL_DELIMITER).map(|obu| {
        let extended = obu.bytes[0] & EXTENDED != 0;
        let extension = if extended { obu.bytes[1] } else { 0 };
        Element { header: [obu.bytes[0] & !HAS_SIZE, extension], extended, payload: obu.payload }
    })
}

/// `obu_has_size_field`.
const HAS_SIZE: u8 = 2;

/// `obu_extension_flag`.
const EXTENDED: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_loses_its_delimiter_and_sizes_for_rtp() {
        let mut unit = Vec::new();
        delimiter(&mut unit);
        header(Kind::Sequence, None, 3, &mut unit);
        unit.extend_from_slice(&[1, 2, 3]);
        header(Kind::Frame, Some(Layer { temporal: 2, spatial: 1 }), 200, &mut unit);
        unit.extend_from_slice(&[4; 200]);
        assert_eq!(unit[..7], [0x12, 0, 0x0a, 3, 1, 2, 3]);
        assert_eq!(unit[7..12], [0x36, 0x48, 200, 1, 4]);
        let elements: Vec<_> = elements(&unit).collect();
        assert_eq!(elements.len(), 2);
        assert_eq!((elements[0].header(), elements[0].payload), (&[0x08][..], &[1, 2, 3][..]));
        assert_eq!(elements[1].header(), [0x34, 0x48]);
        assert_eq!(elements[1].payload.len(), 200);
    }
}
