//! Reads AV1 and Opus from Matroska and WebM (RFC 9559), front to back, without the index.
//!
//! The walk enters segments, clusters and block groups and passes over everything it does not need, so that
//! elements of unknown size (live recordings) need no case of their own.

use super::ebml::*;
use super::error::Result;
use super::input::Input;
use super::opus_head::OpusHead;
use super::{MAX_AREA, MAX_UNIT, Track, Units};
use crate::picture::Size;

/// Reads the frames of one track.
pub(super) struct Reader {
    input: Input,
    track: u64,
    /// Nanoseconds a tick.
    scale: u64,
    cluster: u64,
    /// Where the segment ends, where it says so.
    end: Option<u64>,
    /// Sizes of the frames of the current block that are still to be read, last first.
    laced: Vec<u64>,
    time: u64,
    /// Microseconds that the pre-skip of Opus has over the delay that the track states.
    shift: i64,
    /// The largest frame, in bytes.
    most: usize,
}

/// Which track is wanted, and how it is to be coded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// AV1.
    Video,
    /// Opus.
    Audio,
    /// Pictures as they are, from `ffmpeg`.
    Raw,
    /// 16-bit samples, from `ffmpeg`.
    Pcm,
}

impl Want {
    /// The track's type and codec in Matroska.
    fn kind(self) -> (u64, &'static str) {
        match self {
            Want::Video => (1, "V_AV1"),
            Want::Audio => (2, "A_OPUS"),
            Want::Raw => (1, "V_UNCOMPRESSED"),
            Want::Pcm => (2, "A_PCM/INT/LIT"),
        }
    }

    /// The largest frame, in bytes.
    fn most(self) -> usize {
        if self == Want::Raw { MAX_AREA * 3 / 2 } else { MAX_UNIT }
    }
}

/// What the wanted track is.
pub(super) struct Found {
    pub(super) track: Track,
    pub(super) opus: Option<OpusHead>,
}

impl Reader {
    /// Reads up to the first cluster. `None` where there is no track of the wanted kind.
    pub(super) fn open(mut input: Input, want: Want) -> Result<Option<(Self, Found)>> {
        input.set_format("Matroska");
        let (most, laced) = (want.most(), Vec::new());
        let mut reader =
            Self { input, track: 0, scale: 1_000_000, cluster: 0, end: None, laced, time: 0, shift: 0, most };
        let mut body = Vec::new();
        let mut found = None;
        let mut tracks = false;
        loop {
            let Some((id, size)) = reader.element()? else {
                return Err(reader.input.damaged("it ends before the first cluster"));
            };
            match id {
                EBML | INFO | TRACKS => {
                    body.clear();
                    let size = reader.known(size)?;
                    reader.input.append(size, MAX_HEADER, &mut body, "a header element")?;
                }
                SEGMENT => reader.end = size.map(|size| reader.input.pos().saturating_add(size)),
                CLUSTER if tracks => break,
                CLUSTER => return Err(reader.input.damaged("clusters stand before the list of tracks")),
                _ => reader.pass(size)?,
            }
            match id {
                EBML => {
                    let kind = children(&body).find(|(id, _)| *id == DOC_TYPE).map_or(&b""[..], |(_, kind)| kind);
                    if !matches!(kind, b"matroska" | b"webm") {
                        return Err(reader.input.damaged("the EBML header names neither matroska nor webm"));
                    }
                }
                INFO => {
                    let scale = children(&body).find(|(id, _)| *id == TIMESTAMP_SCALE);
                    reader.scale = scale.map_or(Some(1_000_000), |(_, body)| unsigned(body)).unwrap_or(0);
                    if !(1..=1_000_000_000).contains(&reader.scale) {
                        return Err(reader.input.damaged(format!("a tick of {} ns", reader.scale)));
                    }
                }
                TRACKS => {
                    tracks = true;
                    found = reader.select(&body, want)?;
                }
                _ => {}
            }
        }
        Ok(found.map(|found| (reader, found)))
    }

    /// Picks the first track of the wanted kind.
    fn select(&mut self, tracks: &[u8], want: Want) -> Result<Option<Found>> {
        let (kind, wanted) = want.kind();
        for (_, entry) in children(tracks).filter(|(id, _)| *id == TRACK_ENTRY) {
            let find = |name: u32| children(entry).find(|(id, _)| *id == name).map(|(_, body)| body);
            let number = |id: u32| find(id).and_then(unsigned);
            if number(TRACK_TYPE) != Some(kind) {
                continue;
            }
            self.track = number(TRACK_NUMBER).unwrap_or(0);
            let codec = String::from_utf8_lossy(find(CODEC_ID).unwrap_or_default()).into_owned();
            let private = find(CODEC_PRIVATE).unwrap_or_default();
            if codec != wanted {
                let what = format!("Matroska with codec {:?}", codec);
                return Err(self.input.unsupported(what, "only AV1 and Opus are read without ffmpeg"));
            }
            if find(CONTENT_ENCODINGS).is_some() {
                let hint = "only plain tracks are read without ffmpeg";
                return Err(self.input.unsupported("a compressed or encrypted Matroska track", hint));
            }
            let mut track = Track::default();
            if kind == 2 {
                if want == Want::Pcm {
                    return Ok(Some(Found { track, opus: None }));
                }
                let opus = OpusHead::parse(private)
                    .ok_or_else(|| self.input.unsupported("an Opus track without a plain OpusHead", "convert it"))?;
                // A player takes the stated delay off every time; without one the pre-skip is a gap at the front.
                let delay = number(CODEC_DELAY).and_then(|ns| i64::try_from(ns).ok()).unwrap_or(0);
                self.shift = (i64::from(opus.pre_skip) * 1_000_000_000 / 48_000).saturating_sub(delay) / 1000;
                return Ok(Some(Found { track, opus: Some(opus) }));
            }
            let video = find(VIDEO).unwrap_or_default();
            let side = |wanted| {
                let value = children(video).find(|(id, _)| *id == wanted).and_then(|(_, body)| unsigned(body));
                value.and_then(|v| u32::try_from(v).ok()).unwrap_or(0)
            };
            track.size = Some(Size::new(side(PIXEL_WIDTH), side(PIXEL_HEIGHT))).filter(|size| size.area() > 0);
            track.fps = number(DEFAULT_DURATION).filter(|ns| *ns > 0).and_then(|ns| super::fps_of(ns as f64 / 1000.0));
            track.config = private.get(4..).unwrap_or_default().to_vec();
            track.interlaced = children(video).any(|(id, body)| id == FLAG_INTERLACED && unsigned(body) == Some(1));
            return Ok(Some(Found { track, opus: None }));
        }
        Ok(None)
    }

    /// The next element's id and size; `None` at the end of the file.
    fn element(&mut self) -> Result<Option<(u32, Option<u64>)>> {
        let mut bytes = [0; 8];
        if !self.input.fill(&mut bytes[..1], "an element")? {
            return match self.end {
                Some(end) if end > self.input.pos() => {
                    Err(self.input.damaged(format!("{} bytes of the segment are missing", end - self.input.pos())))
                }
                _ => Ok(None),
            };
        }
        let len = vint_len(bytes[0]);
        if len > 4 {
            return Err(self.input.damaged(format!("no element at byte {}", self.input.pos() - 1)));
        }
        self.input.exact(&mut bytes[1..len], "an element id")?;
        let id = bytes[..len].iter().fold(0, |v, b| v << 8 | u32::from(*b));
        self.input.exact(&mut bytes[..1], "an element size")?;
        let len = vint_len(bytes[0]);
        if len > 8 {
            return Err(self.input.damaged(format!("an element size of more than 8 bytes in element {id:X}")));
        }
        self.input.exact(&mut bytes[1..len], "an element size")?;
        Ok(Some((id, vint_value(&bytes[..len]))))
    }

    fn known(&self, size: Option<u64>) -> Result<u64> {
        size.ok_or_else(|| self.input.damaged("an element without a size"))
    }

    fn pass(&mut self, size: Option<u64>) -> Result<()> {
        let size = self.known(size)?;
        self.input.skip(size, "an element")
    }

    /// Reads the head of a block; `true` where it is of the wanted track, and its frames then stand in `laced`.
    fn block(&mut self, size: u64) -> Result<bool> {
        if size > self.most as u64 {
            return Err(self.input.damaged(format!("a block claims {size} bytes")));
        }
        let end = self.input.pos() + size;
        let mut head = [0; 8];
        self.input.exact(&mut head[..1], "a block")?;
        let len = vint_len(head[0]);
        if len > 8 {
            return Err(self.input.damaged("a block without a track number"));
        }
        self.input.exact(&mut head[1..len], "a block")?;
        if vint_value(&head[..len]) != Some(self.track) {
            let left = self.left(end)?;
            self.input.skip(left, "a block")?;
            return Ok(false);
        }
        self.input.exact(&mut head[..3], "a block")?;
        let relative = i64::from(i16::from_be_bytes([head[0], head[1]]));
        let ticks = (i128::from(self.cluster) + i128::from(relative)).max(0) as u128;
        let time = super::sane_time(ticks * u128::from(self.scale) / 1000);
        let time = time.ok_or_else(|| self.input.damaged("a timestamp beyond 100 years"))?;
        self.time = time.saturating_add_signed(self.shift);
        match head[2] >> 1 & 3 {
            0 => self.laced.push(self.left(end)?),
            lacing => self.lace(lacing, end)?,
        }
        Ok(true)
    }

    /// Frame sizes of a laced block (RFC 9559 §10.3).
    fn lace(&mut self, lacing: u8, end: u64) -> Result<()> {
        let mut byte = [0];
        self.input.exact(&mut byte, "a lace")?;
        let frames = u64::from(byte[0]) + 1;
        let mut known = 0u64;
        for i in 0..frames - 1 {
            let size = match lacing {
                1 => {
                    let mut size = 0u64;
                    loop {
                        self.input.exact(&mut byte, "a lace")?;
                        size += u64::from(byte[0]);
                        if byte[0] != 255 || size > MAX_UNIT as u64 {
                            break size;
                        }
                    }
                }
                2 => (self.left(end)? / frames).min(MAX_UNIT as u64),
                _ => {
                    let mut bytes = [0; 8];
                    self.input.exact(&mut bytes[..1], "a lace")?;
                    let len = vint_len(bytes[0]);
                    if len > 8 {
                        return Err(self.input.damaged("a lace size of more than 8 bytes"));
                    }
                    self.input.exact(&mut bytes[1..len], "a lace")?;
                    let value = vint_value(&bytes[..len]).unwrap_or(u64::MAX >> 8) as i64;
                    // After the first size come signed differences, biased by half the field's range.
                    let delta = if i == 0 { value } else { value - ((1 << (7 * len - 1)) - 1) };
                    let before = if i == 0 { 0 } else { self.laced.last().map_or(0, |size| *size as i64) };
                    u64::try_from(before + delta).map_err(|_| self.input.damaged("a lace of negative size"))?
                }
            };
            known = known.saturating_add(size);
            self.laced.push(size);
        }
        let left = self.left(end)?;
        let last = left.checked_sub(known).ok_or_else(|| self.input.damaged("laces larger than their block"))?;
        self.laced.push(last);
        self.laced.reverse();
        Ok(())
    }

    fn left(&self, end: u64) -> Result<u64> {
        end.checked_sub(self.input.pos()).ok_or_else(|| self.input.damaged("a block shorter than its header"))
    }
}

impl Units for Reader {
    fn next(&mut self, out: &mut Vec<u8>) -> Result<Option<u64>> {
        loop {
            if let Some(size) = self.laced.pop() {
                self.input.append(size, self.most, out, "a frame")?;
                return Ok(Some(self.time));
            }
            let Some((id, size)) = self.element()? else { return Ok(None) };
            match id {
                SEGMENT | CLUSTER | BLOCK_GROUP => {}
                TIMESTAMP => {
                    let size = self.known(size)?;
                    let mut bytes = [0; 8];
                    if size > 8 {
                        return Err(self.input.damaged("a timestamp of more than 8 bytes"));
                    }
                    self.input.exact(&mut bytes[..size as usize], "a timestamp")?;
                    self.cluster = unsigned(&bytes[..size as usize]).unwrap_or(0);
                }
                SIMPLE_BLOCK | BLOCK => {
                    let size = self.known(size)?;
                    self.block(size)?;
                }
                _ => self.pass(size)?,
            }
        }
    }
}

/// Largest header element held in memory.
const MAX_HEADER: usize = 16 << 20;
