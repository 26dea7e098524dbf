//! AV1 by rav1e: the offline encoder and the comparison arm of the live one.
//!
//! Frame reordering is off, yet rav1e holds [`MAX_LAG`] frames back for its lookahead, so a live session refuses it.
//! It cannot change its rate while it runs: a new bitrate drains the running context, opens another, and costs a key
//! frame. The dependencies it states are conservative: each frame is said to need the one before it.

use std::collections::VecDeque;
use std::sync::Arc;

use rav1e::color::{ColorDescription, ColorPrimaries, MatrixCoefficients, PixelRange, TransferCharacteristics};
use rav1e::data::{EncoderStatus, FrameParameters, FrameType, Packet, Rational};
use rav1e::prelude::{ChromaSampling, FrameTypeOverride};

pub use crate::candidates::{Config, Target};
use crate::candidates::{check_bitrate, check_framerate};
use crate::{CodecError, Color, EncodedInfo, EncoderInfo, FrameInput, Matrix, Picture, Plane, Range, VideoEncoder};

/// Later frames that rav1e requires before it returns a frame: a test measures it.
pub const MAX_LAG: u32 = 4;

/// A rav1e context behind the trait.
pub struct Encoder {
    config: Config,
    context: rav1e::Context<u8>,
    /// Target and frame rate that the next submitted frame brings in by opening a new context.
    retarget: Option<(Target, (u32, u32))>,
    /// Packets drained from a context that was replaced.
    held: VecDeque<Packet<u8>>,
    /// Numbers of frames submitted and not yet returned; rav1e keeps their order.
    inside: VecDeque<u64>,
    last_in: Option<u64>,
    last_out: Option<u64>,
    force_key: bool,
    flushed: bool,
    shown: Option<Arc<rav1e::Frame<u8>>>,
}

impl Encoder {
    /// Opens an encoder. Errors name what is wrong with the configuration.
    pub fn open(config: Config) -> Result<Self, CodecError> {
        config.check(NAME)?;
        Ok(Self {
            context: context(&config)?,
            config,
            retarget: None,
            held: VecDeque::with_capacity(MAX_INSIDE),
            inside: VecDeque::with_capacity(MAX_INSIDE),
            last_in: None,
            last_out: None,
            force_key: false,
            flushed: false,
            shown: None,
        })
    }

    /// Ends the running context, keeps what it still held, and opens one with the new target and frame rate.
    fn reopen(&mut self, target: Target, fps: (u32, u32)) -> Result<(), CodecError> {
        let config = Config { target, fps, ..self.config };
        let fresh = context(&config)?;
        self.context.flush();
        while let Some(packet) = receive(&mut self.context)? {
            self.held.push_back(packet);
        }
        (self.context, self.config, self.retarget) = (fresh, config, None);
        Ok(())
    }

    fn retarget(&mut self, target: Target, fps: (u32, u32)) {
        self.retarget = ((target, fps) != (self.config.target, self.config.fps)).then_some((target, fps));
    }
}

impl VideoEncoder for Encoder {
    fn info(&self) -> EncoderInfo {
        EncoderInfo { name: NAME, device: "cpu".to_owned(), max_lag: MAX_LAG }
    }

    fn max_lag(&self) -> u32 {
        MAX_LAG
    }

    fn submit(&mut self, picture: &Picture, input: FrameInput) -> Result<(), CodecError> {
        let refuse = |what: String, hint| Err(CodecError::Config { codec: NAME, what, hint });
        self.config.check_picture(NAME, picture)?;
        if self.flushed {
            return refuse("a picture came after the flush".to_owned(), "open a new encoder");
        }
        if self.inside.len() >= MAX_INSIDE {
            return refuse(format!("{MAX_INSIDE} pictures wait inside"), "poll until it returns none");
        }
        if self.last_in.is_some_and(|last| !(1..=u64::from(u16::MAX)).contains(&input.frame.wrapping_sub(last))) {
            return refuse(format!("frame number {} does not follow", input.frame), "let the numbers rise by 1");
        }
        if let Some((target, fps)) = self.retarget {
            self.reopen(target, fps)?;
        }
        let mut frame = self.context.new_frame();
        for (plane, to) in Plane::ALL.into_iter().zip(&mut frame.planes) {
            let (width, stride) = (picture.plane_size(plane).width as usize, to.cfg.stride);
            let rows = picture.plane(plane).chunks_exact(width);
            for (row, to) in rows.zip(to.data_origin_mut().chunks_mut(stride)) {
                to[..width].copy_from_slice(row);
            }
        }
        let key = input.keyframe || self.force_key;
        let frame_type_override = if key { FrameTypeOverride::Key } else { FrameTypeOverride::No };
        let parameters = FrameParameters { frame_type_override, opaque: None, t35_metadata: Box::new([]) };
        self.context.send_frame((frame, parameters)).map_err(internal)?;
        self.force_key = false;
        self.last_in = Some(input.frame);
        self.inside.push_back(input.frame);
        Ok(())
    }

    fn poll(&mut self, out: &mut Vec<u8>) -> Result<Option<EncodedInfo>, CodecError> {
        let packet = match self.held.pop_front() {
            Some(packet) => packet,
            None => match receive(&mut self.context)? {
                Some(packet) => packet,
                None => return Ok(None),
            },
        };
        let Some(frame) = self.inside.pop_front() else {
            return Err(CodecError::Internal { codec: NAME, what: "a packet came for no picture".to_owned() });
        };
        let mut info = EncodedInfo { frame, keyframe: packet.frame_type == FrameType::KEY, ..EncodedInfo::default() };
        if let (false, Some(last)) = (info.keyframe, self.last_out) {
            // `submit` keeps the distance within 16 bits.
            info.dependencies[0] = (frame - last) as u16;
            info.dependency_count = 1;
        }
        self.last_out = Some(frame);
        out.extend_from_slice(&packet.data);
        self.shown = packet.rec;
        Ok(Some(info))
    }

    fn reconstruction(&mut self, out: &mut Picture) -> bool {
        let Some(shown) = &self.shown else { return false };
        out.reset(self.config.size, self.config.color);
        for (plane, from) in Plane::ALL.into_iter().zip(&shown.planes) {
            let width = out.plane_size(plane).width as usize;
            let rows = out.plane_mut(plane).chunks_exact_mut(width);
            for (row, from) in rows.zip(from.data_origin().chunks(from.cfg.stride)) {
                row.copy_from_slice(&from[..width]);
            }
        }
        true
    }

    fn request_keyframe(&mut self) {
        self.force_key = true;
    }

    /// Costs a key frame: rav1e opens anew at the next submitted frame. The target already held costs nothing.
    fn set_bitrate(&mut self, bits_per_second: u32) -> Result<(), CodecError> {
        check_bitrate(NAME, bits_per_second)?;
        let (_, fps) = self.retarget.unwrap_or((self.config.target, self.config.fps));
        self.retarget(Target::Bitrate(bits_per_second), fps);
        Ok(())
    }

    /// Costs a key frame, as a new target does.
    fn set_framerate(&mut self, fps: (u32, u32)) -> Result<(), CodecError> {
        check_framerate(NAME, fps)?;
        let (target, _) = self.retarget.unwrap_or((self.config.target, self.config.fps));
        self.retarget(target, fps);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), CodecError> {
        if !self.flushed {
            self.context.flush();
            self.flushed = true;
        }
        Ok(())
    }
}

fn context(config: &Config) -> Result<rav1e::Context<u8>, CodecError> {
    let mut inner = rav1e::EncoderConfig::with_speed_preset(config.speed);
    inner.width = config.size.width as usize;
    inner.height = config.size.height as usize;
    inner.time_base = Rational::new(config.fps.1.into(), config.fps.0.into());
    inner.chroma_sampling = ChromaSampling::Cs420;
    inner.pixel_range = match config.color.range {
        Range::Limited => PixelRange::Limited,
        Range::Full => PixelRange::Full,
    };
    inner.color_description = Some(description(config.color));
    inner.low_latency = true;
    // The shortest lookahead there is; the rest of the lag is key frame placement.
    inner.speed_settings.rdo_lookahead_frames = 1;
    let interval = match config.keyframe_interval {
        0 => u64::MAX,
        interval => interval.into(),
    };
    // 0 lifts rav1e's limit.
    inner.set_key_frame_interval(inner.min_key_frame_interval.min(interval), config.keyframe_interval.into());
    inner.tiles = config.tiles;
    match config.target {
        Target::Bitrate(bits) => (inner.bitrate, inner.quantizer) = (bits as i32, 255),
        Target::Quantizer(index) => (inner.bitrate, inner.quantizer) = (0, index.into()),
    }
    let whole = rav1e::Config::new().with_encoder_config(inner).with_threads(config.threads);
    whole.new_context().map_err(|error| CodecError::Config {
        codec: NAME,
        what: error.to_string(),
        hint: "change what it names",
    })
}

/// The matrix is what a picture states; primaries and transfer are not known here and stay unspecified.
fn description(color: Color) -> ColorDescription {
    ColorDescription {
        color_primaries: ColorPrimaries::Unspecified,
        transfer_characteristics: TransferCharacteristics::Unspecified,
        matrix_coefficients: match color.matrix {
            Matrix::Bt601 => MatrixCoefficients::BT601,
            Matrix::Bt709 => MatrixCoefficients::BT709,
            Matrix::Bt2020 => MatrixCoefficients::BT2020NCL,
        },
    }
}

fn receive(context: &mut rav1e::Context<u8>) -> Result<Option<Packet<u8>>, CodecError> {
    loop {
        match context.receive_packet() {
            Ok(packet) => return Ok(Some(packet)),
            Err(EncoderStatus::Encoded) => {}
            Err(EncoderStatus::NeedMoreData | EncoderStatus::LimitReached) => return Ok(None),
            Err(status) => return Err(internal(status)),
        }
    }
}

fn internal(status: EncoderStatus) -> CodecError {
    CodecError::Internal { codec: NAME, what: status.to_string() }
}

const NAME: &str = "rav1e";
/// Pictures that may wait inside before `submit` refuses more.
const MAX_INSIDE: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Size, VideoDecoder, dav1d};

    /// A moving gradient with noise: every frame differs from the one before.
    fn scene(size: Size, color: Color, frame: u64) -> Picture {
        let mut picture = Picture::new(size, color);
        let mut random = fastrand::Rng::with_seed(frame / 2);
        for plane in Plane::ALL {
            let width = picture.plane_size(plane).width as usize;
            for (i, sample) in picture.plane_mut(plane).iter_mut().enumerate() {
                let (x, y) = (i % width, i / width);
                *sample = (60 + (x * 3 + y * 2 + 4 * frame as usize) % 120) as u8 + random.u8(..12);
            }
        }
        picture
    }

    fn config(size: Size, speed: u8) -> Config {
        Config { size, speed, target: Target::Quantizer(120), ..Config::default() }
    }

    /// Submits `frames` pictures one at a time, polls after each, and hands every frame with what was shown.
    fn encode(
        encoder: &mut Encoder,
        frames: u64,
        mut before: impl FnMut(&mut Encoder, u64) -> bool,
        mut each: impl FnMut(EncodedInfo, &[u8], &Picture, u64),
    ) {
        let (size, color) = (encoder.config.size, encoder.config.color);
        let mut shown = Picture::new(size, color);
        let mut out = Vec::new();
        for frame in 0..=frames {
            if frame == frames {
                encoder.flush().expect("flushes");
            } else {
                let keyframe = before(encoder, frame);
                encoder.submit(&scene(size, color, frame), FrameInput { frame, keyframe }).expect("takes it");
            }
            out.clear();
            while let Some(info) = encoder.poll(&mut out).expect("encodes") {
                assert!(encoder.reconstruction(&mut shown));
                each(info, &out, &shown, frame);
                out.clear();
            }
        }
        assert!(encoder.inside.is_empty());
    }

    #[test]
    fn max_lag_is_what_one_frame_at_a_time_measures() {
        for speed in [6, 10] {
            for target in [Target::Quantizer(120), Target::Bitrate(300_000)] {
                let mut encoder = Encoder::open(Config { target, ..config(Size::new(64, 48), speed) }).expect("opens");
                let mut lags = Vec::new();
                encode(&mut encoder, 20, |_, frame| frame == 9, |info, _, _, now| lags.push((now - info.frame) as u32));
                assert_eq!(lags.len(), 20);
                // The last frames come by flushing.
                assert_eq!(*lags[..20 - MAX_LAG as usize].iter().max().expect("some"), encoder.max_lag());
                assert_eq!(*lags[..20 - MAX_LAG as usize].iter().min().expect("some"), encoder.max_lag());
            }
        }
    }

    #[test]
    fn what_it_reconstructs_is_what_dav1d_shows() {
        let sizes = [(16, 16), (17, 16), (66, 50), (130, 98), (35, 21), (64, 64), (200, 24)];
        let colors = [
            Color::default(),
            Color { matrix: Matrix::Bt601, range: Range::Full },
            Color { matrix: Matrix::Bt2020, range: Range::Limited },
        ];
        for (i, (width, height)) in sizes.into_iter().enumerate() {
            for speed in [4, 8, 10] {
                let size = Size::new(width, height);
                let color = colors[i % colors.len()];
                let mut encoder = Encoder::open(Config { color, ..config(size, speed) }).expect("opens");
                let mut decoder = dav1d::Decoder::open(dav1d::Config::default()).expect("opens");
                let mut picture = Picture::new(Size::new(1, 1), Color::default());
                let mut next = 0;
                encode(
                    &mut encoder,
                    8,
                    |_, frame| frame == 5,
                    |info, data, shown, _| {
                        decoder.submit(data, info.frame).expect("decodes");
                        assert_eq!(decoder.poll(&mut picture).expect("decodes"), Some(info.frame));
                        assert!(picture == *shown, "{size} speed {speed} frame {}", info.frame);
                        assert_eq!((info.frame, info.keyframe), (next, next == 0 || next == 5));
                        assert_eq!(info.dependencies(), if info.keyframe { &[][..] } else { &[1][..] });
                        next += 1;
                    },
                );
                assert_eq!(next, 8);
            }
        }
    }

    #[test]
    fn what_it_reconstructs_is_what_aomdec_shows() {
        use std::process::Command;
        if Command::new("aomdec").arg("--help").output().is_err() {
            println!("skipped: aomdec is not installed");
            return;
        }
        for (size, speed) in [(Size::new(66, 50), 10), (Size::new(35, 21), 6), (Size::new(130, 98), 8)] {
            let mut encoder = Encoder::open(config(size, speed)).expect("opens");
            let (mut stream, mut truth) = (Vec::new(), Vec::new());
            encode(
                &mut encoder,
                8,
                |_, frame| frame == 5,
                |_, data, shown, _| {
                    stream.extend_from_slice(data);
                    truth.extend_from_slice(shown.data());
                },
            );
            let path = std::env::temp_dir().join(format!("conclave-rav1e-{}-{size}.obu", std::process::id()));
            std::fs::write(&path, &stream).expect("writes");
            let output = Command::new("aomdec").args(["--rawvideo", "-o", "-"]).arg(&path).output().expect("runs");
            std::fs::remove_file(&path).expect("removes");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            assert!(output.stdout == truth, "{size}: {} bytes for {}", output.stdout.len(), truth.len());
        }
    }

    #[test]
    fn every_corner_of_the_configuration_encodes_what_dav1d_shows() {
        let (slow, fast) = (config(Size::new(96, 80), 9), config(Size::new(300, 140), 10));
        let corners = [
            Config { fps: (1, 1), target: Target::Bitrate(1), ..slow },
            Config { fps: (1000, 1), target: Target::Bitrate(1_000_000_000), ..slow },
            Config { fps: (24_000, 1001), target: Target::Bitrate(80_000), ..slow },
            Config { fps: (1_000_000_000, 1_000_000), target: Target::Quantizer(0), ..slow },
            Config { target: Target::Quantizer(255), keyframe_interval: 1, ..slow },
            Config { keyframe_interval: 3, threads: 4, tiles: 4, ..fast },
            Config { keyframe_interval: u32::MAX / 8, threads: 2, tiles: 64, ..fast },
            Config { size: Size::new(16, 300), tiles: 2, ..fast },
        ];
        for corner in corners {
            let mut encoder = Encoder::open(corner).expect("opens");
            let mut decoder = dav1d::Decoder::open(dav1d::Config::default()).expect("opens");
            let mut picture = Picture::new(Size::new(1, 1), Color::default());
            encode(
                &mut encoder,
                7,
                |_, _| false,
                |info, data, shown, _| {
                    decoder.submit(data, info.frame).expect("decodes");
                    assert_eq!(decoder.poll(&mut picture).expect("decodes"), Some(info.frame));
                    assert!(picture == *shown, "{corner:?} frame {}", info.frame);
                    let interval = u64::from(corner.keyframe_interval);
                    assert_eq!(
                        info.keyframe,
                        info.frame == 0 || interval > 0 && info.frame % interval == 0,
                        "{corner:?}"
                    );
                },
            );
        }
    }

    #[test]
    fn a_frame_is_one_low_overhead_temporal_unit() {
        let mut encoder = Encoder::open(config(Size::new(64, 48), 10)).expect("opens");
        encode(
            &mut encoder,
            6,
            |_, _| false,
            |info, data, _, _| {
                let (mut types, mut at) = (Vec::new(), 0);
                while at < data.len() {
                    assert_eq!(data[at] & 0x87, 2, "no forbidden bit, no extension, a size field");
                    types.push(data[at] >> 3 & 15);
                    let (mut length, mut shift) = (0, 0);
                    loop {
                        at += 1;
                        length |= usize::from(data[at] & 127) << shift;
                        shift += 7;
                        if data[at] < 128 {
                            break;
                        }
                    }
                    at += 1 + length;
                }
                assert_eq!(at, data.len());
                assert_eq!(types[0], 2, "a temporal delimiter opens it");
                assert!(!types[1..].contains(&2));
                assert_eq!(types.contains(&1), info.keyframe, "a sequence header on key frames");
            },
        );
    }

    #[test]
    fn a_new_bitrate_takes_hold_at_the_next_frame_and_loses_none() {
        let mut encoder =
            Encoder::open(Config { target: Target::Bitrate(2_000_000), ..config(Size::new(128, 96), 10) })
                .expect("opens");
        let mut decoder = dav1d::Decoder::open(dav1d::Config::default()).expect("opens");
        let mut picture = Picture::new(Size::new(1, 1), Color::default());
        let (mut keys, mut bytes, mut count) = (Vec::new(), [0, 0], 0);
        let retarget = |encoder: &mut Encoder, frame| {
            encoder.set_bitrate(if frame < 20 { 2_000_000 } else { 100_000 }).expect("takes it");
            if frame == 30 {
                encoder.request_keyframe();
            }
            false
        };
        encode(&mut encoder, 40, retarget, |info, data, shown, _| {
            decoder.submit(data, info.frame).expect("decodes");
            assert_eq!(decoder.poll(&mut picture).expect("decodes"), Some(info.frame));
            assert!(picture == *shown);
            assert_eq!(info.frame, count);
            count += 1;
            bytes[usize::from(info.frame >= 20)] += data.len();
            if info.keyframe {
                keys.push(info.frame);
            }
        });
        assert_eq!((count, keys), (40, vec![0, 20, 30]));
        assert!(bytes[1] * 3 < bytes[0], "{bytes:?}");
        assert!(encoder.set_bitrate(0).is_err());
    }

    #[test]
    fn wrong_input_is_refused_and_costs_nothing_else() {
        let size = Size::new(64, 48);
        let mut encoder = Encoder::open(config(size, 10)).expect("opens");
        let picture = scene(size, Color::default(), 0);
        let input = |frame| FrameInput { frame, keyframe: false };
        assert!(encoder.submit(&scene(Size::new(48, 64), Color::default(), 0), input(0)).is_err());
        assert!(!encoder.reconstruction(&mut picture.clone()), "nothing was returned yet");
        for frame in 0..MAX_INSIDE as u64 {
            encoder.submit(&picture, input(frame)).expect("takes it");
        }
        assert!(encoder.submit(&picture, input(MAX_INSIDE as u64)).is_err(), "bounded");
        encoder.flush().expect("flushes");
        assert!(encoder.submit(&picture, input(99)).is_err(), "flushed");
        let mut count = 0;
        while encoder.poll(&mut Vec::new()).expect("encodes").is_some() {
            count += 1;
        }
        assert_eq!(count, MAX_INSIDE);
        let mut empty = Encoder::open(config(size, 10)).expect("opens");
        empty.flush().expect("flushes");
        assert!(empty.poll(&mut Vec::new()).expect("nothing to do").is_none());
    }
}
