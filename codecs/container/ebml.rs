//! The element ids of Matroska and WebM (RFC 9559) that are read or written here, and EBML (RFC 8794) encoding.

pub(super) const EBML: u32 = 0x1A45_DFA3;
pub(super) const DOC_TYPE: u32 = 0x4282;
pub(super) const SEGMENT: u32 = 0x1853_8067;
pub(super) const SEEK_HEAD: u32 = 0x114D_9B74;
pub(super) const SEEK: u32 = 0x4DBB;
pub(super) const SEEK_ID: u32 = 0x53AB;
pub(super) const SEEK_POSITION: u32 = 0x53AC;
pub(super) const INFO: u32 = 0x1549_A966;
pub(super) const TIMESTAMP_SCALE: u32 = 0x2A_D7B1;
pub(super) const DURATION: u32 = 0x4489;
pub(super) const MUXING_APP: u32 = 0x4D80;
pub(super) const WRITING_APP: u32 = 0x5741;
pub(super) const TRACKS: u32 = 0x1654_AE6B;
pub(super) const TRACK_ENTRY: u32 = 0xAE;
pub(super) const TRACK_NUMBER: u32 = 0xD7;
pub(super) const TRACK_UID: u32 = 0x73C5;
pub(super) const TRACK_TYPE: u32 = 0x83;
pub(super) const FLAG_LACING: u32 = 0x9C;
pub(super) const CODEC_ID: u32 = 0x86;
pub(super) const CODEC_PRIVATE: u32 = 0x63A2;
pub(super) const CODEC_DELAY: u32 = 0x56AA;
pub(super) const SEEK_PRE_ROLL: u32 = 0x56BB;
pub(super) const DEFAULT_DURATION: u32 = 0x23_E383;
pub(super) const CONTENT_ENCODINGS: u32 = 0x6D80;
pub(super) const VIDEO: u32 = 0xE0;
pub(super) const PIXEL_WIDTH: u32 = 0xB0;
pub(super) const PIXEL_HEIGHT: u32 = 0xBA;
pub(super) const FLAG_INTERLACED: u32 = 0x9A;
pub(super) const COLOUR: u32 = 0x55B0;
pub(super) const MATRIX: u32 = 0x55B1;
pub(super) const RANGE: u32 = 0x55B9;
pub(super) const AUDIO: u32 = 0xE1;
pub(super) const SAMPLING_FREQUENCY: u32 = 0xB5;
pub(super) const CHANNELS: u32 = 0x9F;
pub(super) const CLUSTER: u32 = 0x1F43_B675;
pub(super) const TIMESTAMP: u32 = 0xE7;
pub(super) const SIMPLE_BLOCK: u32 = 0xA3;
pub(super) const BLOCK_GROUP: u32 = 0xA0;
pub(super) const BLOCK: u32 = 0xA1;
pub(super) const CUES: u32 = 0x1C53_BB6B;
pub(super) const CUE_POINT: u32 = 0xBB;
pub(super) const CUE_TIME: u32 = 0xB3;
pub(super) const CUE_TRACK_POSITIONS: u32 = 0xB7;
pub(super) const CUE_TRACK: u32 = 0xF7;
pub(super) const CUE_CLUSTER_POSITION: u32 = 0xF1;

/// Bytes in all of a variable-length number whose first byte is `first`; 9 where `first` is 0.
pub(super) fn vint_len(first: u8) -> usize {
    first.leading_zeros() as usize + 1
}

/// The value of a whole size field; `None` for the reserved "unknown".
pub(super) fn vint_value(bytes: &[u8]) -> Option<u64> {
    let bits = 7 * bytes.len() as u32;
    let value = bytes.iter().fold(0u64, |v, b| v << 8 | u64::from(*b)) & ((1 << bits) - 1);
    (value != (1 << bits) - 1).then_some(value)
}

/// The children of a master element held in memory; ends early where they do not fit.
pub(super) fn children(data: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    let mut rest = data;
    std::iter::from_fn(move || {
        let id_len = vint_len(*rest.first()?);
        let id = rest.get(..id_len).filter(|b| b.len() <= 4)?.iter().fold(0, |v, b| v << 8 | u32::from(*b));
        let size_len = vint_len(*rest.get(id_len)?);
        let start = id_len + size_len;
        let size = vint_value(rest.get(id_len..start).filter(|b| b.len() <= 8)?)?;
        let end = start.checked_add(usize::try_from(size).ok()?)?;
        let body = rest.get(start..end)?;
        rest = &rest[end..];
        Some((id, body))
    })
}

/// An unsigned integer element; `None` where it is longer than 8 bytes.
pub(super) fn unsigned(body: &[u8]) -> Option<u64> {
    (body.len() <= 8).then(|| body.iter().fold(0, |v, b| v << 8 | u64::from(*b)))
}

/// Elements being written.
#[derive(Default)]
pub(super) struct Elements(pub(super) Vec<u8>);

impl Elements {
    pub(super) fn id(&mut self, id: u32) {
        let bytes = id.to_be_bytes();
        self.0.extend_from_slice(&bytes[id.leading_zeros() as usize / 8..]);
    }

    /// A size in 8 bytes, so that it can be corrected in place.
    pub(super) fn size(&mut self, size: u64) {
        self.0.extend_from_slice(&(size | 1 << 56).to_be_bytes());
    }

    pub(super) fn bytes(&mut self, id: u32, body: &[u8]) {
        self.id(id);
        match body.len() {
            len @ ..0x7f => self.0.push(0x80 | len as u8),
            len @ ..0x0fff_ffff => self.0.extend_from_slice(&(len as u32 | 0x1000_0000).to_be_bytes()),
            len => self.size(len as u64),
        }
        self.0.extend_from_slice(body);
    }

    pub(super) fn unsigned(&mut self, id: u32, value: u64) {
        let skip = (value.leading_zeros() as usize / 8).min(7);
        self.bytes(id, &value.to_be_bytes()[skip..]);
    }

    pub(super) fn text(&mut self, id: u32, value: &str) {
        self.bytes(id, value.as_bytes());
    }

    pub(super) fn float(&mut self, id: u32, value: f64) {
        self.bytes(id, &value.to_be_bytes());
    }

    pub(super) fn master(&mut self, id: u32, fill: impl FnOnce(&mut Elements)) {
        let mut inside = Elements::default();
        fill(&mut inside);
        self.bytes(id, &inside.0);
    }
}
