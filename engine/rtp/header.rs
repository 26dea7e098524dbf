//! The RTP header (RFC 3550 §5.1): a view that copies nothing, and a writer into a slice.

/// Why a datagram is no RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Fewer bytes than the header says.
    #[error("an RTP packet of {0} bytes ends inside its header")]
    Truncated(usize),
    /// Another protocol.
    #[error("RTP version {0} is not 2")]
    Version(u8),
    /// The padding count is 0 or more than there is.
    #[error("the padding of {0} bytes does not fit the packet")]
    Padding(u8),
}

/// One RTP packet, parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rtp<'a> {
    /// Last packet of a frame.
    pub marker: bool,
    /// 0 to 127.
    pub payload_type: u8,
    /// Counts packets, wraps.
    pub sequence: u16,
    /// Media time in ticks of the payload's clock.
    pub timestamp: u32,
    /// The stream.
    pub ssrc: u32,
    /// Profile of the header extension (0xBEDE or 0x100x) and its body; `None` without one.
    pub extension: Option<(u16, &'a [u8])>,
    /// The payload, without padding.
    pub payload: &'a [u8],
}

/// Bytes of the fixed header.
pub const FIXED: usize = 12;

impl<'a> Rtp<'a> {
    /// Reads a datagram.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, HeaderError> {
        let truncated = HeaderError::Truncated(datagram.len());
        let (fixed, mut rest) = datagram.split_first_chunk::<FIXED>().ok_or(truncated)?;
        if fixed[0] >> 6 != 2 {
            return Err(HeaderError::Version(fixed[0] >> 6));
        }
        let sources = usize::from(fixed[0] & 0x0f) * 4;
        rest = rest.get(sources..).ok_or(truncated)?;
        let mut extension = None;
        if fixed[0] & 0x10 != 0 {
            let (head, body) = rest.split_first_chunk::<4>().ok_or(truncated)?;
            let len = usize::from(u16::from_be_bytes([head[2], head[3]])) * 4;
            let (inner, after) = body.split_at_checked(len).ok_or(truncated)?;
            extension = Some((u16::from_be_bytes([head[0], head[1]]), inner));
            rest = after;
        }
        if fixed[0] & 0x20 != 0 {
            let padding = *rest.last().ok_or(truncated)?;
            let keep = rest.len().checked_sub(usize::from(padding)).filter(|_| padding > 0);
            rest = &rest[..keep.ok_or(HeaderError::Padding(padding))?];
        }
        Ok(Self {
            marker: fixed[1] & 0x80 != 0,
            payload_type: fixed[1] & 0x7f,
            sequence: u16::from_be_bytes([fixed[2], fixed[3]]),
            timestamp: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
            extension,
            payload: rest,
        })
    }

    /// Writes the header (not the payload) to the front of `out`; `None` where it does not fit. The extension body
    /// is padded to whole words.
    pub fn write_header(&self, out: &mut [u8]) -> Option<usize> {
        let fixed = out.first_chunk_mut::<FIXED>()?;
        fixed[0] = 0x80 | u8::from(self.extension.is_some()) << 4;
        fixed[1] = u8::from(self.marker) << 7 | self.payload_type & 0x7f;
        fixed[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        fixed[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        fixed[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        let Some((profile, body)) = self.extension else { return Some(FIXED) };
        let words = body.len().div_ceil(4);
        let end = FIXED + 4 + words * 4;
        let area = out.get_mut(FIXED..end)?;
        area.fill(0);
        area[..2].copy_from_slice(&profile.to_be_bytes());
        area[2..4].copy_from_slice(&u16::try_from(words).ok()?.to_be_bytes());
        area[4..4 + body.len()].copy_from_slice(body);
        Some(end)
    }
}

/// Whether a datagram is RTCP by its second byte (RFC 5761 §4).
pub fn is_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram.get(1), Some(192..=223))
}

/// Follows a counter of `BITS` bits through its wraps.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwrapper<const BITS: u32> {
    highest: Option<u64>,
}

impl<const BITS: u32> Unwrapper<BITS> {
    /// How far `value` lies from the highest one seen; 0 before the first.
    pub fn step(&self, value: u32) -> i64 {
        let shift = 32 - BITS;
        self.highest.map_or(0, |highest| ((value.wrapping_sub(highest as u32) << shift) as i32 >> shift).into())
    }

    /// The full value nearest to the highest one seen. The first counts from `2^BITS`, so that none falls below 0.
    pub fn unwrap(&mut self, value: u32) -> u64 {
        let Some(highest) = self.highest else {
            let first = (1 << BITS) + u64::from(value);
            self.highest = Some(first);
            return first;
        };
        let full = highest.saturating_add_signed(self.step(value));
        self.highest = Some(full.max(highest));
        full
    }

    /// The next full value above the highest one seen, of a counter that began anew: no value counts twice.
    pub fn restart(&mut self, value: u32) -> u64 {
        let full = self.unwrap(value);
        let highest = self.highest.map_or(full, |highest| if full < highest { full + (1 << BITS) } else { full });
        self.highest = Some(highest);
        highest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let rtp = Rtp {
            marker: true,
            payload_type: 96,
            sequence: 65_535,
            timestamp: 7,
            ssrc: 0xdead_beef,
            extension: Some((0xbede, &[0x10, 1, 0, 0])),
            payload: &[],
        };
        let mut out = [0; 64];
        let len = rtp.write_header(&mut out).expect("fits");
        assert_eq!(Rtp::parse(&out[..len]), Ok(rtp));
        assert_eq!(rtp.write_header(&mut out[..15]), None);
    }

    #[test]
    fn damaged_headers_are_refused() {
        assert_eq!(Rtp::parse(&[]), Err(HeaderError::Truncated(0)));
        assert_eq!(Rtp::parse(&[0; 12]), Err(HeaderError::Version(0)));
        let mut padded = [0u8; 16];
        padded[0] = 0xa0;
        assert_eq!(Rtp::parse(&padded), Err(HeaderError::Padding(0)));
        padded[15] = 5;
        assert_eq!(Rtp::parse(&padded), Err(HeaderError::Padding(5)));
        padded[15] = 4;
        assert_eq!(Rtp::parse(&padded).map(|r| r.payload.len()), Ok(0));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut random = fastrand::Rng::with_seed(4);
        for _ in 0..100_000 {
            let mut bytes = [0; 48];
            random.fill(&mut bytes);
            bytes[0] = bytes[0] & 0x3f | 0x80;
            let _ = Rtp::parse(&bytes[..random.usize(..48)]);
        }
    }

    #[test]
    fn sequence_numbers_unwrap_both_ways() {
        let mut unwrapper = Unwrapper::<16>::default();
        let full: Vec<u64> = [65_534, 0, 65_535, 3].map(|s| unwrapper.unwrap(s)).into();
        assert_eq!(full.iter().map(|f| f - full[0]).collect::<Vec<_>>(), [0, 2, 1, 5]);
        // One that began anew counts on, above all that it was.
        let anew =
            [60_000, 60_001, 59_999].map(|s| if s == 60_000 { unwrapper.restart(s) } else { unwrapper.unwrap(s) });
        assert!(anew[0] > full[3] && anew[1..] == [anew[0] + 1, anew[0] - 1], "{full:?} {anew:?}");
        let mut times = Unwrapper::<32>::default();
        assert_eq!([u32::MAX, 5].map(|t| times.unwrap(t)), [(1 << 32) + u64::from(u32::MAX), (2 << 32) + 5]);
    }
}
