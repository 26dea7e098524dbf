//! Doubles for tests: codecs of lag 0 that cost almost nothing and miss nothing; sound is in [`audio`].
//!
//! A frame carries a grid of samples picked from the picture, and seeded bytes up to the size that the bitrate
//! asks for. Inter frames carry the grid's difference to the frame before and that frame's fingerprint, so a decoder
//! that lacks the reference says so. What the decoder draws equals the encoder's reconstruction bit for bit. The
//! frame is a well-formed temporal unit: a temporal delimiter and one padding OBU, which AV1 decoders pass over.

pub mod audio;

use crate::candidates::{self, MAX_AREA, Target, check_bitrate, check_framerate};
use crate::{
    CodecError, Color, EncodedInfo, EncoderInfo, FrameInput, Matrix, Picture, Plane, Range, Size, VideoDecoder,
    VideoEncoder,
};

/// How the video double is to work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Config {
    /// What every encoder is told; speed, threads and tiles are ignored, a quantizer stands for a rate.
    pub video: candidates::Config,
    /// Seeds the bytes that fill a frame up.
    pub seed: u64,
    /// Bytes of a key frame for each byte of an inter frame.
    pub key_factor: u32,
}

impl Default for Config {
    fn default() -> Self {
        candidates::Config::default().into()
    }
}

impl From<candidates::Config> for Config {
    fn from(video: candidates::Config) -> Self {
        Self { video, seed: 1, key_factor: 4 }
    }
}

/// The video double's encoder.
pub struct Encoder {
    config: Config,
    bitrate: u32,
    /// Size of the picture taken in last.
    size: Size,
    state: State,
    /// The last frame taken in; `None` before the first.
    last: Option<u64>,
    /// A frame submitted and not yet polled: whether it is a key frame, and the grid as it was before it.
    waiting: Option<(bool, [u8; GRID])>,
    since_key: u32,
    force_key: bool,
    flushed: bool,
    /// Distance to the frame before the waiting one.
    distance: u16,
}

impl Encoder {
    /// Opens an encoder. Errors name what is wrong with the configuration.
    pub fn open(config: Config) -> Result<Self, CodecError> {
        config.video.check(NAME)?;
        if !(1..=64).contains(&config.key_factor) {
            return refuse(format!("a key factor of {}", config.key_factor), "take 1 to 64");
        }
        let bitrate = match config.video.target {
            Target::Bitrate(bits) => bits,
            Target::Quantizer(index) => 4_000_000 / (1 + u32::from(index) / 16),
        };
        Ok(Self {
            size: config.video.size,
            config,
            bitrate,
            state: State::default(),
            last: None,
            waiting: None,
            since_key: 0,
            force_key: false,
            flushed: false,
            distance: 0,
        })
    }

    /// Bytes that the frame should have.
    fn budget(&self, key: bool) -> usize {
        let (num, den) = self.config.video.fps;
        let bytes = u64::from(self.bitrate) * u64::from(den) / (8 * u64::from(num));
        let factor = if key { self.config.key_factor } else { 1 };
        (bytes as usize).saturating_mul(factor as usize).min(MAX_FRAME)
    }
}

impl VideoEncoder for Encoder {
    fn info(&self) -> EncoderInfo {
        EncoderInfo { name: NAME, device: "cpu".to_owned(), max_lag: 0 }
    }

    fn max_lag(&self) -> u32 {
        0
    }

    fn submit(&mut self, picture: &Picture, input: FrameInput) -> Result<(), CodecError> {
        self.check_size(picture.size())?;
        self.config.video.check_color(NAME, picture)?;
        if self.flushed {
            return refuse("a picture came after the flush".to_owned(), "open a new encoder");
        }
        if self.waiting.is_some() {
            return refuse("a picture waits inside".to_owned(), "poll before the next one");
        }
        let distance = self.last.map_or(1, |last| input.frame.wrapping_sub(last));
        if !(1..=u64::from(u16::MAX)).contains(&distance) {
            return refuse(format!("frame number {} does not follow", input.frame), "let the numbers rise by 1");
        }
        let interval = self.config.video.keyframe_interval;
        let due = interval > 0 && self.since_key >= interval;
        let resized = self.size != picture.size();
        let key = input.keyframe || self.force_key || self.last.is_none() || due || resized;
        self.size = picture.size();
        (self.force_key, self.since_key) = (false, if key { 1 } else { self.since_key.saturating_add(1) });
        (self.last, self.distance) = (Some(input.frame), distance as u16);
        self.waiting = Some((key, self.state.grid));
        // The fingerprint of the frame before stays in `state` until `poll` writes it.
        self.state.grid = pick(picture);
        Ok(())
    }

    fn poll(&mut self, out: &mut Vec<u8>) -> Result<Option<EncodedInfo>, CodecError> {
        let (Some((key, before)), Some(frame)) = (self.waiting.take(), self.last) else { return Ok(None) };
        let reference = if key { 0 } else { self.state.print };
        self.state.print = fingerprint(&[&frame.to_le_bytes(), &self.state.grid]);
        let len = self.budget(key).max(FIXED + UNIT_HEADER) - UNIT_HEADER;
        out.extend_from_slice(&[0x12, 0, 0x7A]);
        out.extend((0..4).map(|i| (len >> (7 * i)) as u8 & 127 | if i < 3 { 128 } else { 0 }));
        let start = out.len();
        let Size { width, height } = self.size;
        out.push(u8::from(key) | color_code(self.config.video.color) << 1);
        out.extend_from_slice(&(width as u16).to_le_bytes());
        out.extend_from_slice(&(height as u16).to_le_bytes());
        out.extend_from_slice(&frame.to_le_bytes());
        out.extend_from_slice(&reference.to_le_bytes());
        out.extend(self.state.grid.iter().zip(before).map(|(now, was)| if key { *now } else { now.wrapping_sub(was) }));
        let filler = out.len();
        out.resize(start + len - PRINT, 0);
        fastrand::Rng::with_seed(self.config.seed ^ frame.rotate_left(32)).fill(&mut out[filler..]);
        let print = fingerprint(&[&out[start..]]);
        out.extend_from_slice(&print.to_le_bytes());
        let mut info = EncodedInfo { frame, keyframe: key, ..EncodedInfo::default() };
        if !key {
            (info.dependencies[0], info.dependency_count) = (self.distance, 1);
        }
        Ok(Some(info))
    }

    fn reconstruction(&mut self, out: &mut Picture) -> bool {
        let known = self.last.is_some() && self.waiting.is_none();
        if known {
            draw(&self.state.grid, self.size, self.config.video.color, out);
        }
        known
    }

    fn request_keyframe(&mut self) {
        self.force_key = true;
    }

    fn set_bitrate(&mut self, bits_per_second: u32) -> Result<(), CodecError> {
        check_bitrate(NAME, bits_per_second)?;
        self.bitrate = bits_per_second;
        Ok(())
    }

    fn set_framerate(&mut self, fps: (u32, u32)) -> Result<(), CodecError> {
        check_framerate(NAME, fps)?;
        self.config.video.fps = fps;
        Ok(())
    }

    fn check_size(&self, size: Size) -> Result<(), CodecError> {
        let ceiling = self.config.video.size;
        if size.width > ceiling.width || size.height > ceiling.height || size.area() == 0 {
            return refuse(format!("a picture of {size} came where at most {ceiling} was agreed"), "scale it down");
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), CodecError> {
        self.flushed = true;
        Ok(())
    }
}

/// The video double's decoder.
#[derive(Default)]
pub struct Decoder {
    state: Option<State>,
    ready: Option<(u64, Size, Color)>,
}

impl Decoder {
    /// A decoder without a reference.
    pub fn new() -> Self {
        Self::default()
    }
}

impl VideoDecoder for Decoder {
    fn name(&self) -> &'static str {
        NAME
    }

    fn submit(&mut self, data: &[u8], frame: u64) -> Result<(), CodecError> {
        let fields = Fields::parse(data).ok_or_else(|| damaged("not a frame of this double"))?;
        let mut grid = fields.grid;
        if !fields.key {
            let state = self.state.as_ref().filter(|state| state.print == fields.reference);
            let Some(state) = state else { return Err(damaged("its reference is missing")) };
            grid.iter_mut().zip(state.grid).for_each(|(now, was)| *now = now.wrapping_add(was));
        }
        self.state = Some(State { grid, print: fingerprint(&[&fields.frame.to_le_bytes(), &grid]) });
        self.ready = Some((frame, fields.size, fields.color));
        Ok(())
    }

    fn poll(&mut self, out: &mut Picture) -> Result<Option<u64>, CodecError> {
        let (Some((frame, size, color)), Some(state)) = (self.ready.take(), &self.state) else { return Ok(None) };
        draw(&state.grid, size, color, out);
        Ok(Some(frame))
    }

    fn reset(&mut self) {
        (self.state, self.ready) = (None, None);
    }
}

/// What an inter frame builds upon.
#[derive(Clone)]
struct State {
    grid: [u8; GRID],
    print: u64,
}

impl Default for State {
    fn default() -> Self {
        Self { grid: [0; GRID], print: 0 }
    }
}

struct Fields {
    key: bool,
    size: Size,
    color: Color,
    frame: u64,
    reference: u64,
    grid: [u8; GRID],
}

impl Fields {
    fn parse(data: &[u8]) -> Option<Self> {
        let body = data.strip_prefix(&[0x12, 0, 0x7A])?;
        let (length, body) = body.split_first_chunk::<4>()?;
        let len = length.iter().enumerate().map(|(i, &byte)| usize::from(byte & 127) << (7 * i)).sum::<usize>();
        if body.len() != len || len < FIXED {
            return None;
        }
        let (body, print) = body.split_last_chunk::<PRINT>()?;
        if fingerprint(&[body]) != u64::from_le_bytes(*print) {
            return None;
        }
        let (&flags, body) = body.split_first()?;
        let (width, body) = body.split_first_chunk()?;
        let (height, body) = body.split_first_chunk()?;
        let (frame, body) = body.split_first_chunk()?;
        let (reference, body) = body.split_first_chunk()?;
        let size = Size::new(u16::from_le_bytes(*width).into(), u16::from_le_bytes(*height).into());
        let fits = size.area() > 0 && size.area() <= MAX_AREA;
        fits.then_some(Self {
            key: flags & 1 != 0,
            size,
            color: color_of(flags >> 1)?,
            frame: u64::from_le_bytes(*frame),
            reference: u64::from_le_bytes(*reference),
            grid: *body.first_chunk()?,
        })
    }
}

/// The samples at the centres of a grid over each plane.
fn pick(picture: &Picture) -> [u8; GRID] {
    let mut grid = [0; GRID];
    let mut cells = grid.iter_mut();
    for (plane, (columns, rows)) in Plane::ALL.into_iter().zip(CELLS) {
        let size = picture.plane_size(plane);
        let (width, height) = (size.width as usize, size.height as usize);
        for (y, x) in (0..rows).flat_map(|y| (0..columns).map(move |x| (y, x))) {
            let at = (2 * y + 1) * height / (2 * rows) * width + (2 * x + 1) * width / (2 * columns);
            if let Some(cell) = cells.next() {
                *cell = picture.plane(plane)[at];
            }
        }
    }
    grid
}

/// Paints each cell with its sample.
fn draw(grid: &[u8; GRID], size: Size, color: Color, out: &mut Picture) {
    if out.size() != size {
        out.reset(size, color);
    }
    out.color = color;
    let mut cells = &grid[..];
    for (plane, (columns, rows)) in Plane::ALL.into_iter().zip(CELLS) {
        let (mine, rest) = cells.split_at(columns * rows);
        cells = rest;
        let (width, height) = (out.plane_size(plane).width as usize, out.plane_size(plane).height as usize);
        let samples = out.plane_mut(plane);
        for (y, row) in mine.chunks_exact(columns).enumerate() {
            let (top, bottom) = (y * height / rows, (y + 1) * height / rows);
            if top == bottom {
                continue;
            }
            let first = &mut samples[top * width..(top + 1) * width];
            for (x, &sample) in row.iter().enumerate() {
                first[x * width / columns..(x + 1) * width / columns].fill(sample);
            }
            for line in top + 1..bottom {
                samples.copy_within(top * width..(top + 1) * width, line * width);
            }
        }
    }
}

/// FNV-1a over 8 bytes at a time: it finds accidents, not attackers.
fn fingerprint(parts: &[&[u8]]) -> u64 {
    let mut hash = 0xCBF2_9CE4_8422_2325u64;
    for part in parts {
        for chunk in part.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x0000_0100_0000_01B3).rotate_left(23);
        }
    }
    hash
}

fn color_code(color: Color) -> u8 {
    let matrix = match color.matrix {
        Matrix::Bt601 => 0,
        Matrix::Bt709 => 1,
        Matrix::Bt2020 => 2,
    };
    matrix << 1 | u8::from(color.range == Range::Full)
}

fn color_of(code: u8) -> Option<Color> {
    let matrix = *[Matrix::Bt601, Matrix::Bt709, Matrix::Bt2020].get(usize::from(code >> 1))?;
    Some(Color { matrix, range: if code & 1 != 0 { Range::Full } else { Range::Limited } })
}

fn refuse<T>(what: String, hint: &'static str) -> Result<T, CodecError> {
    Err(CodecError::Config { codec: NAME, what, hint })
}

fn damaged(what: &str) -> CodecError {
    CodecError::Data { codec: NAME, what: what.to_owned() }
}

const NAME: &str = "raw";
/// Columns and rows of the grid over each plane.
const CELLS: [(usize, usize); 3] = [(16, 9), (8, 4), (8, 4)];
/// Samples of all grids.
const GRID: usize = 16 * 9 + 2 * 8 * 4;
/// Bytes of a fingerprint.
const PRINT: usize = 8;
/// Bytes of a frame without filler: flags, size, frame, reference, grid, fingerprint.
const FIXED: usize = 1 + 4 + 8 + 8 + GRID + PRINT;
/// Temporal delimiter, OBU header, and a length of four bytes.
const UNIT_HEADER: usize = 7;
/// Largest frame in bytes.
const MAX_FRAME: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn scene(size: Size, frame: u64) -> Picture {
        let mut picture = Picture::new(size, Color::default());
        fastrand::Rng::with_seed(frame).fill(picture.data_mut());
        picture
    }

    fn open(width: u32, height: u32) -> Encoder {
        let video = candidates::Config { size: Size::new(width, height), ..candidates::Config::default() };
        Encoder::open(video.into()).expect("opens")
    }

    fn encode(encoder: &mut Encoder, frame: u64, keyframe: bool) -> (EncodedInfo, Vec<u8>) {
        encoder.submit(&scene(encoder.config.video.size, frame), FrameInput { frame, keyframe }).expect("takes it");
        let mut out = Vec::new();
        (encoder.poll(&mut out).expect("encodes").expect("lag 0"), out)
    }

    #[test]
    fn the_decoder_draws_what_the_encoder_reconstructs() {
        for (width, height) in [(16, 16), (35, 21), (130, 98), (640, 360)] {
            let (mut encoder, mut decoder) = (open(width, height), Decoder::new());
            let mut shown = Picture::new(Size::new(1, 1), Color::default());
            let mut drawn = shown.clone();
            let mut seen = Vec::new();
            for frame in 0..10 {
                let (info, data) = encode(&mut encoder, frame, frame == 6);
                assert_eq!(info.keyframe, frame == 0 || frame == 6);
                assert_eq!(info.dependencies(), if info.keyframe { &[][..] } else { &[1][..] });
                decoder.submit(&data, frame).expect("decodes");
                assert_eq!(decoder.poll(&mut drawn).expect("draws"), Some(frame));
                assert!(encoder.reconstruction(&mut shown) && shown == drawn);
                assert_eq!(drawn.size(), Size::new(width, height));
                assert!(!seen.contains(&drawn), "no two frames look alike");
                seen.push(drawn.clone());
            }
        }
    }

    #[test]
    fn an_av1_decoder_passes_over_it() {
        let mut decoder = crate::dav1d::Decoder::open(crate::dav1d::Config::default()).expect("opens");
        let mut encoder = open(64, 48);
        for frame in 0..5 {
            decoder.submit(&encode(&mut encoder, frame, false).1, frame).expect("well-formed");
            assert_eq!(decoder.poll(&mut Picture::new(Size::new(1, 1), Color::default())).expect("well-formed"), None);
        }
    }

    #[test]
    fn ten_minutes_pass() {
        let (mut encoder, mut decoder) = (open(640, 360), Decoder::new());
        let pictures: Vec<_> = (0..8).map(|seed| scene(Size::new(640, 360), seed)).collect();
        let (mut data, mut shown) = (Vec::new(), Picture::new(Size::new(1, 1), Color::default()));
        let mut bytes = 0;
        for frame in 0..18_000 {
            data.clear();
            let input = FrameInput { frame, keyframe: false };
            encoder.submit(&pictures[frame as usize % 8], input).expect("takes it");
            encoder.poll(&mut data).expect("encodes").expect("lag 0");
            decoder.submit(&data, frame).expect("decodes");
            assert_eq!(decoder.poll(&mut shown).expect("draws"), Some(frame));
            bytes += data.len();
        }
        // 1.5 Mbit/s for 600 s, and three frames more for the key frame.
        assert_eq!(bytes, 18_003 * 6250);
    }

    #[test]
    fn a_missing_reference_is_noticed() {
        let (mut encoder, mut decoder) = (open(64, 48), Decoder::new());
        let frames: Vec<_> = (0..6).map(|frame| encode(&mut encoder, frame, frame == 4).1).collect();
        assert!(decoder.submit(&frames[1], 1).is_err(), "no key frame yet");
        decoder.submit(&frames[0], 0).expect("key frame");
        assert!(decoder.submit(&frames[2], 2).is_err(), "frame 1 is missing");
        decoder.submit(&frames[1], 1).expect("in order");
        decoder.submit(&frames[2], 2).expect("in order");
        decoder.submit(&frames[4], 4).expect("key frame");
        decoder.submit(&frames[5], 5).expect("in order");
        decoder.reset();
        assert!(decoder.submit(&frames[5], 5).is_err());
    }

    #[test]
    fn another_size_begins_with_a_key_frame_and_stays_within_what_was_agreed() {
        let (mut encoder, mut decoder) = (open(64, 48), Decoder::new());
        let (mut shown, mut data) = (Picture::new(Size::new(1, 1), Color::default()), Vec::new());
        let sizes = [(64, 48), (64, 48), (32, 24), (32, 24), (64, 48)];
        let keys = sizes.into_iter().zip(0..).map(|((width, height), frame)| {
            data.clear();
            encoder
                .submit(&scene(Size::new(width, height), frame), FrameInput { frame, keyframe: false })
                .expect("fits");
            let info = encoder.poll(&mut data).expect("encodes").expect("lag 0");
            decoder.submit(&data, frame).expect("decodes");
            decoder.poll(&mut shown).expect("draws");
            assert_eq!(shown.size(), Size::new(width, height));
            info.keyframe
        });
        assert_eq!(keys.collect::<Vec<_>>(), [true, false, true, false, true]);
        for (width, height) in [(65, 48), (64, 49)] {
            let too_large = scene(Size::new(width, height), 5);
            assert!(encoder.submit(&too_large, FrameInput { frame: 5, keyframe: false }).is_err());
        }
    }

    #[test]
    fn frames_have_the_size_that_the_rate_asks_for() {
        let mut encoder = open(64, 48);
        encoder.set_bitrate(1_200_000).expect("in range");
        assert_eq!(encode(&mut encoder, 0, false).1.len(), 20_000, "key frames are four times as large");
        assert_eq!(encode(&mut encoder, 1, false).1.len(), 5_000);
        encoder.set_bitrate(240_000).expect("in range");
        assert_eq!(encode(&mut encoder, 2, false).1.len(), 1_000);
        encoder.request_keyframe();
        let (info, data) = encode(&mut encoder, 3, false);
        assert!(info.keyframe && data.len() == 4_000);
        assert!(encoder.set_bitrate(0).is_err());
        encoder.set_bitrate(1).expect("in range");
        assert_eq!(encode(&mut encoder, 9, false).0.dependencies(), [6]);
    }

    #[test]
    fn every_changed_bit_is_noticed() {
        let (mut encoder, mut decoder) = (open(64, 48), Decoder::new());
        encoder.set_bitrate(100_000).expect("in range");
        let (_, data) = encode(&mut encoder, 0, false);
        for bit in 0..8 * data.len() {
            let mut wrong = data.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            // The topmost bit of a length byte is not part of the length.
            let carry = (3..7).contains(&(bit / 8)) && bit % 8 == 7;
            assert_eq!(decoder.submit(&wrong, 0).is_err(), !carry, "bit {bit}");
        }
        assert!((0..data.len()).all(|len| decoder.submit(&data[..len], 0).is_err()));
    }
}
