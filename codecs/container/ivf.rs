//! IVF: a 32-byte header, then each temporal unit behind its length and timestamp, all little-endian.

use std::io::{Seek, SeekFrom, Write};

use super::error::Result;
use super::input::Input;
use super::{MAX_UNIT, Track, Units, WriterConfig};
use crate::picture::Size;

/// Reads AV1 temporal units.
pub(super) struct Reader {
    input: Input,
    /// Ticks a second.
    rate: u32,
    /// Divides `rate`.
    scale: u32,
}

impl Reader {
    pub(super) fn open(mut input: Input) -> Result<(Self, Track)> {
        input.set_format("ivf");
        let mut head = [0; 32];
        input.exact(&mut head, "the header")?;
        let u16_at = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
        let u32_at = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        if &head[8..12] != b"AV01" {
            let codec = String::from_utf8_lossy(&head[8..12]).escape_debug().to_string();
            return Err(input.unsupported(format!("ivf with codec {codec:?}"), "only AV1 (AV01) is read"));
        }
        let (rate, scale) = (u32_at(16), u32_at(20));
        if rate == 0 || scale == 0 {
            return Err(input.damaged(format!("time base {rate}/{scale}")));
        }
        match u64::from(u16_at(6)) {
            len @ 32.. => input.skip(len - 32, "the header")?,
            len => return Err(input.damaged(format!("a header of {len} bytes"))),
        }
        let size = Size::new(u16_at(12).into(), u16_at(14).into());
        let frames = u32_at(24);
        // A time base finer than any frame rate, as of milliseconds, says nothing about the rate.
        let fps = (u64::from(rate) <= FASTEST * u64::from(scale)).then_some((rate, scale));
        let size = (size.area() > 0).then_some(size);
        let frames = (frames > 0).then_some(frames.into());
        Ok((Self { input, rate, scale }, Track { size, fps, frames, ..Track::default() }))
    }
}

/// A time base of more ticks a second is no frame rate.
const FASTEST: u64 = 240;

impl Units for Reader {
    fn next(&mut self, out: &mut Vec<u8>) -> Result<Option<u64>> {
        let mut head = [0; 12];
        if !self.input.fill(&mut head, "a frame header")? {
            return Ok(None);
        }
        let [a, b, c, d, stamp @ ..] = head;
        let time = u128::from(u64::from_le_bytes(stamp)) * u128::from(self.scale) * 1_000_000 / u128::from(self.rate);
        let time = super::sane_time(time).ok_or_else(|| self.input.damaged("a timestamp beyond 100 years"))?;
        self.input.append(u32::from_le_bytes([a, b, c, d]).into(), MAX_UNIT, out, "a frame")?;
        Ok(Some(time))
    }
}

/// The state of an IVF being written.
pub(super) struct Muxer {
    fps: (u32, u32),
    frames: u32,
    last: Option<u64>,
}

impl Muxer {
    pub(super) fn begin(out: &mut impl Write, config: &WriterConfig) -> std::io::Result<Self> {
        let mut head = [0; 32];
        head[..4].copy_from_slice(b"DKIF");
        head[6] = 32;
        head[8..12].copy_from_slice(b"AV01");
        head[12..14].copy_from_slice(&(config.size.width as u16).to_le_bytes());
        head[14..16].copy_from_slice(&(config.size.height as u16).to_le_bytes());
        head[16..20].copy_from_slice(&config.fps.0.to_le_bytes());
        head[20..24].copy_from_slice(&config.fps.1.to_le_bytes());
        out.write_all(&head)?;
        Ok(Self { fps: config.fps, frames: 0, last: None })
    }

    /// Timestamps are rounded to the frame rate's grid and kept rising.
    pub(super) fn write(&mut self, out: &mut impl Write, unit: &[u8], time: u64) -> std::io::Result<()> {
        let (num, den) = (u128::from(self.fps.0), u128::from(self.fps.1) * 1_000_000);
        let stamp = ((u128::from(time) * num + den / 2) / den) as u64;
        let stamp = self.last.map_or(stamp, |last| stamp.max(last + 1));
        self.last = Some(stamp);
        self.frames += 1;
        out.write_all(&(unit.len() as u32).to_le_bytes())?;
        out.write_all(&stamp.to_le_bytes())?;
        out.write_all(unit)
    }

    pub(super) fn finish(self, out: &mut (impl Write + Seek)) -> std::io::Result<()> {
        out.seek(SeekFrom::Start(24))?;
        out.write_all(&self.frames.to_le_bytes())
    }
}
