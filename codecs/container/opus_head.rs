//! The Opus identification header (RFC 7845 §5.1) and the length of a packet (RFC 6716 §3.1).

/// What a decoder and a player must know of an Opus stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpusHead {
    /// 1 or 2.
    pub channels: u8,
    /// Samples at 48 kHz to drop at the start.
    pub pre_skip: u16,
    /// Rate of the original, for information.
    pub rate: u32,
    /// Output gain in units of 1/256 dB.
    pub gain: i16,
}

impl OpusHead {
    /// Parses a header of mapping family 0; `None` where it is damaged or holds more than two channels.
    pub fn parse(data: &[u8]) -> Option<Self> {
        let body: &[u8; 11] = data.strip_prefix(b"OpusHead")?.get(..11)?.try_into().ok()?;
        let [version, channels, skip0, skip1, r0, r1, r2, r3, g0, g1, family] = *body;
        (version >> 4 == 0 && family == 0 && (1..=2).contains(&channels)).then_some(Self {
            channels,
            pre_skip: u16::from_le_bytes([skip0, skip1]),
            rate: u32::from_le_bytes([r0, r1, r2, r3]),
            gain: i16::from_le_bytes([g0, g1]),
        })
    }

    /// The header's bytes.
    pub fn bytes(&self) -> [u8; 19] {
        let mut out = *b"OpusHead\x01\0\0\0\0\0\0\0\0\0\0";
        out[9] = self.channels;
        out[10..12].copy_from_slice(&self.pre_skip.to_le_bytes());
        out[12..16].copy_from_slice(&self.rate.to_le_bytes());
        out[16..18].copy_from_slice(&self.gain.to_le_bytes());
        out
    }
}

/// Samples per channel at 48 kHz that a packet decodes to; 0 where it is damaged.
pub fn packet_samples(packet: &[u8]) -> u32 {
    let Some(toc) = packet.first() else { return 0 };
    let frame = match toc >> 3 {
        config @ 0..12 => [480, 960, 1920, 2880][usize::from(config & 3)],
        config @ 12..16 => [480, 960][usize::from(config & 1)],
        config => 120 << (config & 3),
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => packet.get(1).map_or(0, |count| u32::from(count & 63)),
    };
    let samples = frame * frames;
    if samples > 5760 { 0 } else { samples }
}
