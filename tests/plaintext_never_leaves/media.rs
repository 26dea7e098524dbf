//! What people say and show: temporal units of AV1 in every layout, and Opus of speech and of silence.

use conclave::codecs::container::obu::{SEQUENCE_HEADER, TEMPORAL_DELIMITER};
use conclave::codecs::{AudioEncoder, EncodedInfo, Size, opus};
use conclave::encode::Framing;
use conclave::frame::{Buffer, Encoded, Kind};
use conclave::time::Time;

use crate::av1::{leb128, noise};

/// OBU types of AV1 §6.2.2.
const FRAME_HEADER: u8 = 3;
const TILE_GROUP: u8 = 4;
const METADATA: u8 = 5;
const FRAME: u8 = 6;
const REDUNDANT_FRAME_HEADER: u8 = 7;
const PADDING: u8 = 15;

/// How a temporal unit is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One OBU_FRAME.
    Frame,
    /// A header and its tile groups.
    TileGroups,
    /// The same, with the header repeated between them.
    Redundant,
    Metadata,
    Padding,
    /// Three frames of one unit, a spatial layer each.
    Layers,
    /// Several shown and hidden frames without layers.
    Frames,
    /// No delimiter, and the last OBU has no size.
    Bare,
    /// OBUs of any kind.
    Any,
}

pub const LAYOUTS: [Layout; 9] = [
    Layout::Frame,
    Layout::TileGroups,
    Layout::Redundant,
    Layout::Metadata,
    Layout::Padding,
    Layout::Layers,
    Layout::Frames,
    Layout::Bare,
    Layout::Any,
];

/// Content that is no noise, as the bits of a real picture are not quite: text and noise in turn.
fn content(random: &mut fastrand::Rng, len: usize) -> Vec<u8> {
    let text = b"canary: nobody but members sees this. ".iter().copied().cycle();
    let even = random.usize(..16);
    text.take(len).enumerate().map(|(n, byte)| if n / 16 % 4 == even % 4 { random.u8(..) } else { byte }).collect()
}

fn obu(kind: u8, layer: Option<u8>, sized: bool, content: &[u8]) -> Vec<u8> {
    let mut out = vec![kind << 3 | u8::from(layer.is_some()) << 2 | u8::from(sized) << 1];
    out.extend(layer.map(|layer| layer << 3));
    if sized {
        out.extend(leb128(content.len()));
    }
    out.extend_from_slice(content);
    out
}

/// A temporal unit of about `len` bytes.
pub fn unit(random: &mut fastrand::Rng, layout: Layout, key: bool, len: usize) -> Vec<u8> {
    let part = |random: &mut fastrand::Rng, kind, share| obu(kind, None, true, &content(random, len / share));
    let mut units = vec![];
    if layout != Layout::Bare {
        units.push(obu(TEMPORAL_DELIMITER, None, true, &[]));
    }
    if key {
        units.push(obu(SEQUENCE_HEADER, None, true, &content(random, 12)));
    }
    let kinds: &[(u8, usize)] = match layout {
        Layout::Frame => &[(FRAME, 1)],
        Layout::TileGroups => &[(FRAME_HEADER, 40), (TILE_GROUP, 3), (TILE_GROUP, 3), (TILE_GROUP, 3)],
        Layout::Redundant => &[(FRAME_HEADER, 40), (TILE_GROUP, 2), (REDUNDANT_FRAME_HEADER, 40), (TILE_GROUP, 2)],
        Layout::Metadata => &[(METADATA, 20), (FRAME, 1), (METADATA, 40)],
        Layout::Padding => &[(FRAME, 2), (PADDING, 2)],
        Layout::Frames => &[(FRAME, 3), (FRAME, 3), (FRAME_HEADER, 40), (FRAME, 3)],
        Layout::Layers => {
            units.extend((0..3).map(|layer| obu(FRAME, Some(layer), true, &content(random, len / 3))));
            &[]
        }
        Layout::Bare => {
            units.push(obu(FRAME_HEADER, None, true, &content(random, 20)));
            units.push(obu(TILE_GROUP, None, false, &content(random, len)));
            &[]
        }
        Layout::Any => return noise(random, key, 6, len.max(2048)),
    };
    units.extend(kinds.iter().map(|(kind, share)| part(random, *kind, *share)));
    units.concat()
}

/// A camera or a screen with its encoder.
pub struct Video {
    kind: Kind,
    framing: Framing,
    random: fastrand::Rng,
    frame: u64,
    since_key: u64,
}

impl Video {
    pub fn open(kind: Kind, size: Size, seed: u64) -> Self {
        let framing = Framing::video(0, kind, size);
        Self { kind, framing, random: fastrand::Rng::with_seed(seed), frame: 0, since_key: 0 }
    }

    /// Another source or another encoder: the next picture is a key frame with the structure of the new size.
    pub fn turn_to(&mut self, size: Size) {
        self.framing = Framing::video(0, self.kind, size);
        self.since_key = 0;
    }

    /// The next picture.
    pub fn next(&mut self, key_wanted: bool, now: Time) -> Encoded {
        if key_wanted {
            self.since_key = 0;
        }
        let key = self.since_key == 0;
        let mut info = EncodedInfo { frame: self.frame, keyframe: key, ..EncodedInfo::default() };
        if !key {
            (info.dependencies[0], info.dependency_count) = (1, 1);
        }
        let layout = LAYOUTS[self.frame as usize % LAYOUTS.len()];
        let unit = unit(&mut self.random, layout, key, if key { 5_000 } else { 1_600 });
        (self.frame, self.since_key) = (self.frame + 1, self.since_key + 1);
        self.framing.frame(buffer(&unit), info, now)
    }

    /// That picture was not sent: the next one is to be a key frame.
    pub fn lost(&mut self) {
        (self.frame, self.since_key) = (self.frame - 1, 0);
    }
}

/// A microphone with its encoder.
pub struct Sound {
    encoder: opus::Encoder,
    config: opus::Config,
    framing: Framing,
    random: fastrand::Rng,
    frame: u64,
    pub silent: bool,
}

impl Sound {
    pub fn open(kind: Kind, config: opus::Config, seed: u64) -> Self {
        let encoder = opus::Encoder::open(config).unwrap();
        let (framing, random) = (Framing::audio(0, kind), fastrand::Rng::with_seed(seed));
        Self { encoder, config, framing, random, frame: 0, silent: false }
    }

    /// The next 20 ms.
    pub fn next(&mut self, now: Time) -> Encoded {
        let samples = self.encoder.frame_samples() * usize::from(self.config.channels);
        let loud = if self.silent { 0 } else { 6_000 };
        let pcm: Vec<i16> = (0..samples)
            .map(|n| {
                let tone = ((self.frame * 960 + n as u64) as f64 * 0.03).sin() * f64::from(loud);
                tone as i16 + if loud > 0 { self.random.i16(-900..900) } else { 0 }
            })
            .collect();
        let mut packet = vec![];
        self.encoder.encode(&pcm, &mut packet).unwrap();
        let info = EncodedInfo { frame: self.frame, keyframe: true, ..EncodedInfo::default() };
        self.frame += 1;
        self.framing.frame(buffer(&packet), info, now)
    }
}

pub fn buffer(bytes: &[u8]) -> Buffer {
    let mut buffer = Buffer::with_capacity(bytes.len());
    buffer.tail().extend_from_slice(bytes);
    buffer
}
