//! The table of encoders and decoders, and the one door to them: `open_encoder` says what it tried and why not.
//!
//! A live session takes an encoder of lag 0 only ([`VideoEncoder::max_lag`]); an offline one takes any.

use conclave_shaders::device::Prefer;

use crate::{CodecError, Color, Picture, Size, VideoEncoder, av1, rav1e, raw};

/// What an encoder aims at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum Target {
    /// Bits a second, 1…1,000,000,000.
    Bitrate(u32),
    /// Base quantizer index of AV1 (`base_q_idx`), 0 the finest.
    Quantizer(u8),
}

/// How a video encoder is to work. The default is 1280x720 at 30 frames a second, 1.5 Mbit/s, fastest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Config {
    /// Size of every picture, at least 16x16.
    pub size: Size,
    /// Colour of every picture; written into the sequence header.
    pub color: Color,
    /// Frames a second, numerator and denominator; between 1 and 1000.
    pub fps: (u32, u32),
    /// Rate or quantizer.
    pub target: Target,
    /// 0 the slowest and best, 10 the fastest.
    pub speed: u8,
    /// Worker threads, 1…64.
    pub threads: usize,
    /// Tiles a frame, 1…64; an encoder may take fewer.
    pub tiles: usize,
    /// Frames between key frames at most; 0 for key frames on demand only.
    pub keyframe_interval: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            size: Size::new(1280, 720),
            color: Color::default(),
            fps: (30, 1),
            target: Target::Bitrate(1_500_000),
            speed: 10,
            threads: 1,
            tiles: 1,
            keyframe_interval: 0,
        }
    }
}

impl Config {
    /// Refuses what no encoder could do, in the name of `codec`.
    pub fn check(&self, codec: &'static str) -> Result<(), CodecError> {
        let refuse = |what: String, hint| Err(CodecError::Config { codec, what, hint });
        let Size { width, height } = self.size;
        if width < MIN_SIDE || height < MIN_SIDE {
            return refuse(format!("a picture of {} is too small", self.size), "take at least 16x16");
        }
        if width > MAX_SIDE || height > MAX_SIDE || self.size.area() > MAX_AREA {
            return refuse(format!("a picture of {} is too large", self.size), "take at most 8192x4352");
        }
        check_framerate(codec, self.fps)?;
        if let Target::Bitrate(bits) = self.target {
            check_bitrate(codec, bits)?;
        }
        if self.speed > 10 {
            return refuse(format!("speed {} does not exist", self.speed), "take 0 (best) to 10 (fastest)");
        }
        if !(1..=64).contains(&self.threads) || !(1..=64).contains(&self.tiles) {
            return refuse(format!("{} threads and {} tiles", self.threads, self.tiles), "take 1 to 64 of each");
        }
        Ok(())
    }

    /// Refuses a picture that is not of the size and colour that the encoder was opened for.
    pub(crate) fn check_picture(&self, codec: &'static str, picture: &Picture) -> Result<(), CodecError> {
        if picture.size() == self.size {
            return self.check_color(codec, picture);
        }
        let what = format!("a picture of {} came where {} was agreed", picture.size(), self.size);
        Err(CodecError::Config { codec, what, hint: "scale it first, or open a new encoder" })
    }

    /// Refuses a picture of another colour than was agreed.
    pub(crate) fn check_color(&self, codec: &'static str, picture: &Picture) -> Result<(), CodecError> {
        if picture.color == self.color {
            return Ok(());
        }
        let what = format!("a picture in {:?} came where {:?} was agreed", picture.color, self.color);
        Err(CodecError::Config { codec, what, hint: "convert it first, or open a new encoder" })
    }
}

/// Refuses a bitrate of 0 or above 1 Gbit/s.
pub(crate) fn check_bitrate(codec: &'static str, bits: u32) -> Result<(), CodecError> {
    if (1..=1_000_000_000).contains(&bits) {
        return Ok(());
    }
    let what = format!("a target of {bits} bits a second cannot be met");
    Err(CodecError::Config { codec, what, hint: "take 1 to 1000000000, for example 1500000" })
}

/// Refuses less than 1 and more than 1000 frames a second.
pub(crate) fn check_framerate(codec: &'static str, (num, den): (u32, u32)) -> Result<(), CodecError> {
    if den > 0 && num >= den && num / den <= 1000 && num <= 1_000_000_000 {
        return Ok(());
    }
    let what = format!("{num}/{den} is no frame rate");
    Err(CodecError::Config { codec, what, hint: "take 1 to 1000 frames a second" })
}

/// Who waits for the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum Session {
    /// People: no encoder may wait for a later frame.
    Live,
    /// Nobody: any lag will do.
    Offline,
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Candidate {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it makes or reads: `av1`, `opus`, or `raw` for a test double.
    pub codec: &'static str,
    /// Version of the library behind it.
    pub version: String,
    /// Later frames required before frame N is returned; 0 for decoders and audio.
    pub max_lag: u32,
    /// Whether a live session takes it.
    pub live: bool,
    /// Why a live session does not take it, and what to do; or what else to know.
    pub why_not: Option<&'static str>,
}

/// The video and audio encoders of this build, best first.
pub fn encoders() -> Vec<Candidate> {
    vec![
        Candidate {
            name: "gpu",
            codec: "av1",
            version: env!("CARGO_PKG_VERSION").to_owned(),
            max_lag: 0,
            live: true,
            why_not: Some("auto takes it on a GPU in hardware; by name it runs on lavapipe too, slower than cpu"),
        },
        Candidate {
            name: "cpu",
            codec: "av1",
            version: env!("CARGO_PKG_VERSION").to_owned(),
            max_lag: 0,
            live: true,
            why_not: None,
        },
        Candidate {
            name: "rav1e",
            codec: "av1",
            version: ::rav1e::version::short(),
            max_lag: rav1e::MAX_LAG,
            live: false,
            why_not: Some("it holds frames back for its lookahead; use it offline, or paced with the lag stated"),
        },
        raw_candidate(),
        opus_candidate(),
    ]
}

/// The video and audio decoders of this build, best first.
pub fn decoders() -> Vec<Candidate> {
    vec![
        Candidate {
            name: "dav1d",
            codec: "av1",
            version: crate::dav1d::version().to_owned(),
            max_lag: 0,
            live: true,
            why_not: None,
        },
        raw_candidate(),
        opus_candidate(),
    ]
}

/// Opens the video encoder called `name`, or with `auto` the best that the session takes.
///
/// # Errors
/// [`CodecError::Unknown`] names those there are, [`CodecError::Lag`] those that a live session takes,
/// [`CodecError::NoneOpened`] lists each that `auto` tried with its reason; else the candidate's own.
pub fn open_encoder(name: &str, config: Config, session: Session) -> Result<Box<dyn VideoEncoder>, CodecError> {
    if name != "auto" {
        let door = DOORS.iter().find(|door| door.name == name);
        let known = || names(DOORS.iter().map(|door| door.name));
        let door = door.ok_or_else(|| CodecError::Unknown { name: name.into(), known: known() })?;
        return door.open(config, session, Prefer::Any);
    }
    let mut tried = Vec::new();
    for door in DOORS {
        // A double is not what somebody means who says auto.
        if door.double {
            tried.push(format!("{} (a test double, by name only)", door.name));
            continue;
        }
        match door.open(config, session, Prefer::Hardware) {
            Ok(encoder) => return Ok(encoder),
            Err(error) => tried.push(error.to_string()),
        }
    }
    Err(CodecError::NoneOpened { tried: tried.join("; ") })
}

struct Door {
    name: &'static str,
    double: bool,
    max_lag: u32,
    make: fn(Config, Prefer) -> Result<Box<dyn VideoEncoder>, CodecError>,
}

impl Door {
    /// Adapters that compute on the CPU are taken where the encoder was asked for by name.
    fn open(&self, config: Config, session: Session, adapter: Prefer) -> Result<Box<dyn VideoEncoder>, CodecError> {
        if session == Session::Live && self.max_lag > 0 {
            return Err(CodecError::Lag { codec: self.name, max_lag: self.max_lag, fits: live_names() });
        }
        let encoder = (self.make)(config, adapter)?;
        // The encoder itself has the last word on its lag.
        admit(&*encoder, session)?;
        Ok(encoder)
    }
}

const DOORS: &[Door] = &[
    Door { name: "gpu", double: false, max_lag: 0, make: gpu },
    Door {
        name: "cpu",
        double: false,
        max_lag: 0,
        make: |config, _| Ok(Box::new(av1::encoder::Encoder::open(config)?)),
    },
    Door {
        name: "rav1e",
        double: false,
        max_lag: rav1e::MAX_LAG,
        make: |config, _| Ok(Box::new(rav1e::Encoder::open(config)?)),
    },
    Door { name: "raw", double: true, max_lag: 0, make: |config, _| Ok(Box::new(raw::Encoder::open(config.into())?)) },
];

/// A context of its own; an app with several encoders shares one ([`av1::encoder::Encoder::open_on`]).
fn gpu(config: Config, adapter: Prefer) -> Result<Box<dyn VideoEncoder>, CodecError> {
    // What is wrong with the configuration is said before an adapter is looked for.
    av1::encoder::check(&config, "gpu")?;
    let context = av1::gpu::Context::open(adapter).map_err(|error| CodecError::Device { codec: "gpu", error })?;
    Ok(Box::new(av1::encoder::Encoder::open_on(&context, config)?))
}

/// Whether a session takes this encoder; a live one refuses any lag (promise P1).
///
/// # Errors
/// [`CodecError::Lag`] names those that fit.
pub fn admit(encoder: &dyn VideoEncoder, session: Session) -> Result<(), CodecError> {
    match encoder.max_lag() {
        0 => Ok(()),
        _ if session == Session::Offline => Ok(()),
        max_lag => Err(CodecError::Lag { codec: encoder.info().name, max_lag, fits: live_names() }),
    }
}

fn live_names() -> String {
    names(DOORS.iter().filter(|door| door.max_lag == 0 && !door.double).map(|door| door.name))
}

fn names<'a>(list: impl Iterator<Item = &'a str>) -> String {
    list.collect::<Vec<_>>().join(", ")
}

fn raw_candidate() -> Candidate {
    Candidate {
        name: "raw",
        codec: "raw",
        version: env!("CARGO_PKG_VERSION").to_owned(),
        max_lag: 0,
        live: true,
        why_not: Some("a test double: it carries a coarse digest of the picture, not the picture"),
    }
}

fn opus_candidate() -> Candidate {
    Candidate {
        name: "opus",
        codec: "opus",
        version: ::opus::version().to_owned(),
        max_lag: 0,
        live: true,
        why_not: None,
    }
}

/// Smallest side in samples: rav1e takes no smaller one.
pub const MIN_SIDE: u32 = 16;
/// Largest side in samples.
pub const MAX_SIDE: u32 = 8192;
/// Largest picture in samples: that of AV1 level 6 (AV1 specification, annex A.3).
pub const MAX_AREA: usize = 8192 * 4352;

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Config {
        Config { size: Size::new(64, 48), ..Config::default() }
    }

    #[test]
    fn a_live_session_refuses_an_encoder_that_lags_and_names_those_that_fit() {
        let error = open_encoder("rav1e", small(), Session::Live).err().expect("refused");
        assert!(matches!(error, CodecError::Lag { codec: "rav1e", max_lag: rav1e::MAX_LAG, .. }), "{error}");
        assert!(error.to_string().contains("take gpu, cpu"), "{error}");
        assert!(open_encoder("rav1e", small(), Session::Offline).is_ok());
        assert_eq!(open_encoder("raw", small(), Session::Live).expect("lag 0").max_lag(), 0);
    }

    #[test]
    fn every_door_states_the_lag_of_its_encoder_and_stands_in_the_table() {
        for door in DOORS {
            let encoder = match open_encoder(door.name, small(), Session::Offline) {
                Err(CodecError::Device { error, .. }) => {
                    println!("skipped: {error}");
                    continue;
                }
                opened => opened.expect("opens"),
            };
            assert_eq!(encoder.max_lag(), door.max_lag);
            assert_eq!(encoder.info().name, door.name);
            let line = encoders().into_iter().find(|line| line.name == door.name).expect("listed");
            assert_eq!((line.max_lag, line.live), (door.max_lag, door.max_lag == 0));
        }
    }

    #[test]
    fn auto_takes_the_best_that_fits_and_lists_what_it_tried() {
        let best = if conclave_shaders::Gpu::open(Prefer::Hardware).is_ok() { "gpu" } else { "cpu" };
        assert_eq!(open_encoder("auto", small(), Session::Live).expect("opens").info().name, best);
        let tall = Config { size: Size::new(64, 4_000), ..small() };
        assert_eq!(open_encoder("auto", tall, Session::Offline).expect("opens").info().name, "rav1e");
        let error = open_encoder("auto", tall, Session::Live).err().expect("none fits").to_string();
        assert!(
            error.contains("64x4000 is too large")
                && error.contains("rav1e returns frame N only after 4")
                && error.contains("raw (a test double"),
            "{error}"
        );
        let error = open_encoder("x264", small(), Session::Offline).err().expect("unknown").to_string();
        assert_eq!(error, "no encoder is called \"x264\"; this build has gpu, cpu, rav1e, raw, or say auto");
    }

    #[test]
    fn impossible_configurations_get_a_sentence_from_every_encoder() {
        let wrong = [
            Config { size: Size::new(15, 16), ..small() },
            Config { size: Size::new(0, 0), ..small() },
            Config { size: Size::new(u32::MAX, u32::MAX), ..small() },
            Config { size: Size::new(8192, 8192), ..small() },
            Config { fps: (0, 1), ..small() },
            Config { fps: (30, 0), ..small() },
            Config { fps: (u32::MAX, 1), ..small() },
            Config { target: Target::Bitrate(0), ..small() },
            Config { target: Target::Bitrate(u32::MAX), ..small() },
            Config { speed: 11, ..small() },
            Config { threads: 0, ..small() },
            Config { tiles: 1000, ..small() },
        ];
        for config in wrong {
            for door in DOORS {
                let error = open_encoder(door.name, config, Session::Offline).err().expect("refused");
                assert!(matches!(error, CodecError::Config { .. }), "{config:?}: {error}");
            }
        }
    }
}
