//! Just enough of AV1's bitstream for a container: OBU borders (AV1 §5.3) and the sequence header (§5.5).

use super::error::Result;
use super::input::Input;
use super::{MAX_UNIT, Track, Units};
use crate::color::{Color, Matrix, Range};
use crate::picture::Size;

/// `obu_type` of a sequence header.
pub const SEQUENCE_HEADER: u8 = 1;
/// `obu_type` of a temporal delimiter.
pub const TEMPORAL_DELIMITER: u8 = 2;
/// A temporal delimiter with its size field.
pub const DELIMITER: [u8; 2] = [0x12, 0x00];

/// One OBU within a temporal unit.
#[derive(Clone, Copy, Debug)]
pub struct Obu<'a> {
    /// `obu_type`.
    pub kind: u8,
    /// Header, size field and payload.
    pub bytes: &'a [u8],
    /// The payload.
    pub payload: &'a [u8],
}

/// The OBUs of a temporal unit in the low-overhead format; ends early where the borders do not add up.
pub fn obus(unit: &[u8]) -> impl Iterator<Item = Obu<'_>> {
    let mut rest = unit;
    std::iter::from_fn(move || {
        let (head, payload) = border(rest)?;
        let end = head.checked_add(payload)?;
        let obu = Obu { kind: rest[0] >> 3 & 15, bytes: rest.get(..end)?, payload: rest.get(head..end)? };
        rest = &rest[end..];
        Some(obu)
    })
}

/// Lengths of the header and the payload of the OBU at the front of `data`.
fn border(data: &[u8]) -> Option<(usize, usize)> {
    let first = *data.first()?;
    if first & 0x80 != 0 {
        return None;
    }
    let head = 1 + usize::from(first >> 2 & 1);
    if first & 2 == 0 {
        return Some((head, data.len().checked_sub(head)?));
    }
    let (size, len) = leb128(data.get(head..)?)?;
    Some((head + len, usize::try_from(size).ok()?))
}

/// A little-endian base-128 number of at most 8 bytes, and how many it takes (AV1 §4.10.5).
pub fn leb128(data: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0;
    for (i, byte) in data.iter().take(8).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((value, i + 1));
        }
    }
    None
}

/// What a sequence header says that a container must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceHeader {
    /// `seq_profile`.
    pub profile: u8,
    /// `seq_level_idx` of operating point 0.
    pub level: u8,
    /// `seq_tier` of operating point 0.
    pub tier: u8,
    /// `max_frame_width` × `max_frame_height`.
    pub size: Size,
    /// 8, 10 or 12.
    pub bit_depth: u8,
    /// Luma only.
    pub monochrome: bool,
    /// Chroma is halved horizontally, vertically.
    pub subsampling: (bool, bool),
    /// `chroma_sample_position`.
    pub sample_position: u8,
    /// `None` where the stream leaves the matrix unspecified, or names one that is not known here.
    pub matrix: Option<Matrix>,
    /// Sample codes in use.
    pub range: Range,
    /// Frames a second, where the stream has a constant rate and says so.
    pub fps: Option<(u32, u32)>,
}

impl SequenceHeader {
    /// Finds and parses the first sequence header of a temporal unit; `None` where there is none or it is damaged.
    pub fn find(unit: &[u8]) -> Option<Self> {
        obus(unit).find(|obu| obu.kind == SEQUENCE_HEADER).and_then(|obu| Self::parse(obu.payload))
    }

    /// Parses the payload of a sequence header OBU.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let mut bits = Bits { data: payload, at: 0 };
        let profile = bits.take(3)? as u8;
        bits.take(1)?;
        let reduced = bits.flag()?;
        let (mut level, mut tier, mut fps) = (0, 0, None);
        if reduced {
            level = bits.take(5)? as u8;
        } else {
            let mut delay_bits = None;
            if bits.flag()? {
                let (tick, scale) = (bits.take(32)?, bits.take(32)?);
                if bits.flag()? {
                    let den = u64::from(tick) * (u64::from(bits.uvlc()?) + 1);
                    fps = u32::try_from(den).ok().map(|den| (scale, den)).filter(|fps| super::sane_fps(*fps));
                }
                if bits.flag()? {
                    delay_bits = Some(bits.take(5)? + 1);
                    bits.take(32)?;
                    bits.take(10)?;
                }
            }
            let display_delay = bits.flag()?;
            for point in 0..=bits.take(5)? {
                bits.take(12)?;
                let point_level = bits.take(5)? as u8;
                let point_tier = if point_level > 7 { bits.take(1)? as u8 } else { 0 };
                if point == 0 {
                    (level, tier) = (point_level, point_tier);
                }
                if let Some(count) = delay_bits
                    && bits.flag()?
                {
                    bits.take(count)?;
                    bits.take(count)?;
                    bits.take(1)?;
                }
                if display_delay && bits.flag()? {
                    bits.take(4)?;
                }
            }
        }
        let (width_bits, height_bits) = (bits.take(4)? + 1, bits.take(4)? + 1);
        let size = Size::new(bits.take(width_bits)? + 1, bits.take(height_bits)? + 1);
        if !reduced && bits.flag()? {
            bits.take(7)?;
        }
        bits.take(3)?;
        if !reduced {
            bits.take(4)?;
            let order_hint = bits.flag()?;
            if order_hint {
                bits.take(2)?;
            }
            let screen_tools = bits.flag()? || bits.flag()?;
            if screen_tools && !bits.flag()? {
                bits.take(1)?;
            }
            if order_hint {
                bits.take(3)?;
            }
        }
        bits.take(3)?;
        let mut header = Self {
            profile,
            level,
            tier,
            size,
            bit_depth: 8,
            monochrome: false,
            subsampling: (true, true),
            sample_position: 0,
            matrix: None,
            range: Range::Limited,
            fps,
        };
        header.color_config(&mut bits)?;
        Some(header)
    }

    /// Matrix and range, with the usual matrix where the stream names none.
    pub fn color(&self) -> Color {
        Color { matrix: self.matrix.unwrap_or_else(|| super::usual_matrix(self.size)), range: self.range }
    }

    /// AV1 §5.5.2.
    fn color_config(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        let high = bits.flag()?;
        self.bit_depth = match (high, self.profile) {
            (true, 2) if bits.flag()? => 12,
            (true, _) => 10,
            (false, _) => 8,
        };
        self.monochrome = self.profile != 1 && bits.flag()?;
        let (primaries, transfer, matrix) =
            if bits.flag()? { (bits.take(8)?, bits.take(8)?, bits.take(8)?) } else { (2, 2, 2) };
        self.matrix = match matrix {
            1 => Some(Matrix::Bt709),
            5 | 6 => Some(Matrix::Bt601),
            9 | 10 => Some(Matrix::Bt2020),
            _ => None,
        };
        if !self.monochrome && (primaries, transfer, matrix) == (1, 13, 0) {
            self.range = Range::Full;
            self.subsampling = (false, false);
            return Some(());
        }
        self.range = if bits.flag()? { Range::Full } else { Range::Limited };
        if self.monochrome {
            return Some(());
        }
        self.subsampling = match self.profile {
            0 => (true, true),
            1 => (false, false),
            _ if self.bit_depth == 12 => {
                let horizontal = bits.flag()?;
                (horizontal, horizontal && bits.flag()?)
            }
            _ => (true, false),
        };
        if self.subsampling == (true, true) {
            self.sample_position = bits.take(2)? as u8;
        }
        Some(())
    }

    /// The `av1C` record (AV1 ISOBMFF §2.3) without its OBUs.
    pub fn av1c(&self) -> [u8; 4] {
        let bit = |on: bool, at: u8| u8::from(on) << at;
        [
            0x81,
            self.profile << 5 | self.level,
            self.tier << 7
                | bit(self.bit_depth > 8, 6)
                | bit(self.bit_depth == 12, 5)
                | bit(self.monochrome, 4)
                | bit(self.subsampling.0, 3)
                | bit(self.subsampling.1, 2)
                | self.sample_position,
            0,
        ]
    }
}

/// The OBUs of a temporal unit that MP4 and Matroska store: all but temporal delimiters, appended to `out`.
pub(super) fn without_delimiter(unit: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut seen = 0;
    for obu in obus(unit) {
        seen += obu.bytes.len();
        if obu.kind != TEMPORAL_DELIMITER {
            out.extend_from_slice(obu.bytes);
        }
    }
    (seen == unit.len()).then_some(())
}

/// The bytes of the first sequence header OBU; empty where there is none.
pub(super) fn sequence_header(unit: &[u8]) -> &[u8] {
    obus(unit).find(|obu| obu.kind == SEQUENCE_HEADER).map_or(&[], |obu| obu.bytes)
}

struct Bits<'a> {
    data: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: u32) -> Option<u32> {
        let mut value = 0u32;
        for _ in 0..count {
            let byte = *self.data.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }

    fn flag(&mut self) -> Option<bool> {
        Some(self.take(1)? == 1)
    }

    fn uvlc(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
        }
        if zeros >= 32 { Some(u32::MAX) } else { Some(((1u64 << zeros) - 1) as u32 + self.take(zeros)?) }
    }
}

/// Reads a bare OBU stream (AV1 §5, low-overhead format): a temporal unit ends where the next delimiter begins.
pub(super) struct Reader {
    input: Input,
    frame: u64,
    fps: (u32, u32),
    /// The delimiter of the next unit has been read.
    begun: bool,
}

impl Reader {
    /// The rate comes from the stream where it says one; else 30 frames a second are assumed.
    pub(super) fn open(mut input: Input) -> Result<(Self, Track)> {
        input.set_format("AV1 OBU stream");
        Ok((Self { input, frame: 0, fps: (30, 1), begun: false }, Track::default()))
    }

    /// Reads the header of the next OBU into `head`, whose length comes back with the payload's.
    fn head(&mut self, head: &mut [u8; 10]) -> Result<Option<(usize, u64)>> {
        if !self.input.fill(&mut head[..1], "an OBU")? {
            return Ok(None);
        }
        if head[0] & 0x82 != 2 {
            return Err(self.input.damaged("an OBU without a size field"));
        }
        let mut len = 1;
        if head[0] & 4 != 0 {
            self.input.exact(&mut head[1..2], "an OBU header")?;
            len = 2;
        }
        let start = len;
        loop {
            self.input.exact(&mut head[len..len + 1], "an OBU size")?;
            len += 1;
            if let Some((size, _)) = leb128(&head[start..len]) {
                return Ok(Some((len, size)));
            }
            if len - start == 8 {
                return Err(self.input.damaged("an OBU size of more than 8 bytes"));
            }
        }
    }
}

impl Units for Reader {
    fn next(&mut self, out: &mut Vec<u8>) -> Result<Option<u64>> {
        let start = out.len();
        if self.begun {
            out.extend_from_slice(&DELIMITER);
        }
        let mut head = [0; 10];
        loop {
            let Some((len, size)) = self.head(&mut head)? else {
                self.begun = false;
                break;
            };
            if head[0] >> 3 & 15 == TEMPORAL_DELIMITER {
                self.input.skip(size, "a temporal delimiter")?;
                if std::mem::replace(&mut self.begun, true) {
                    break;
                }
                out.extend_from_slice(&DELIMITER);
                continue;
            }
            if !self.begun {
                return Err(self.input.damaged("it does not begin with a temporal delimiter"));
            }
            out.extend_from_slice(&head[..len]);
            let room = MAX_UNIT.saturating_sub(out.len() - start);
            self.input.append(size, room, out, "an OBU")?;
        }
        if out.len() == start {
            return Ok(None);
        }
        if self.frame == 0
            && let Some(fps) = SequenceHeader::find(&out[start..]).and_then(|header| header.fps)
        {
            self.fps = fps;
        }
        let time = super::clock(self.frame, self.fps);
        self.frame += 1;
        Ok(Some(time))
    }
}
