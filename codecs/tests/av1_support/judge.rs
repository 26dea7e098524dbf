//! The judges: every frame that a decoder shows equals our reconstruction, plane by plane. One decoder is no judge: dav1d
//! decodes some streams that have lost their way without a word, and aomdec names the frame it stumbles over.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use conclave_codecs::container::{VideoWriter, WriterConfig};
use conclave_codecs::{Color, Picture, Plane, Size, VideoDecoder, dav1d};

/// A finished stream: its temporal units and what each is to show.
pub struct Stream {
    /// Greatest size of a picture.
    pub ceiling: Size,
    /// Temporal units; the first has the sequence header.
    pub units: Vec<Vec<u8>>,
    /// One picture a unit.
    pub pictures: Vec<Picture>,
}

/// Why a judge does not agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The encoder gave up.
    Panicked { frame: usize },
    /// It gave up.
    Refused { judge: &'static str, frame: Option<usize>, said: String },
    /// It shows something else, first at this sample of this frame.
    Differs { judge: &'static str, frame: usize, plane: Plane, x: usize, y: usize, ours: u8, theirs: u8 },
}

impl Failure {
    /// The frame in question, where it is known.
    pub fn frame(&self) -> Option<usize> {
        match self {
            Failure::Refused { frame, .. } => *frame,
            Failure::Differs { frame, .. } | Failure::Panicked { frame } => Some(*frame),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Panicked { frame } => write!(f, "the encoder panics at frame {frame}"),
            Failure::Refused { judge, frame: Some(frame), said } => write!(f, "{judge} refuses frame {frame}: {said}"),
            Failure::Refused { judge, frame: None, said } => write!(f, "{judge} refuses the stream: {said}"),
            Failure::Differs { judge, frame, plane, x, y, ours, theirs } => {
                write!(f, "{judge} differs in frame {frame}, {plane:?} ({x}, {y}): {theirs}, ours is {ours}")
            }
        }
    }
}

/// dav1d in process, fed as the stream grows, so that a failure shows at its frame.
pub struct InProcess {
    decoder: dav1d::Decoder,
    shown: Picture,
    frames: usize,
}

impl InProcess {
    pub fn new() -> Self {
        Self {
            decoder: dav1d::Decoder::open(dav1d::Config::default()).expect("dav1d opens"),
            shown: Picture::new(Size::new(1, 1), Color::default()),
            frames: 0,
        }
    }

    /// Decodes one unit, which is to show `ours`.
    pub fn check(&mut self, unit: &[u8], ours: &Picture) -> Result<(), Failure> {
        let frame = self.frames;
        self.frames += 1;
        let refused = |said: String| Failure::Refused { judge: IN_PROCESS, frame: Some(frame), said };
        self.decoder.submit(unit, frame as u64).map_err(|error| refused(error.to_string()))?;
        match self.decoder.poll(&mut self.shown).map_err(|error| refused(error.to_string()))? {
            Some(_) if self.shown.size() == ours.size() => compare(IN_PROCESS, frame, ours, self.shown.data()),
            Some(_) => Err(refused(format!("it shows {}, ours is {}", self.shown.size(), ours.size()))),
            None => Err(refused("it shows nothing".to_owned())),
        }
    }
}

const IN_PROCESS: &str = "dav1d in process";

/// A decoder that is run as a program: its name and arguments; `FILE` stands for the stream.
struct Program(&'static str, &'static [&'static str]);

/// Both write all pictures one after the other, each of its own size.
const PROGRAMS: [Program; 2] = [
    Program("dav1d", &["--strict", "1", "-q", "--threads", "1", "--muxer", "yuv", "-o", "-", "-i", "FILE"]),
    Program("aomdec", &["--rawvideo", "-o", "-", "FILE"]),
];

/// Asks every program that is installed; says which are not. Returns how many were asked.
pub fn programs(stream: &Stream) -> Result<usize, Failure> {
    let file = Ivf::write(stream);
    let mut asked = 0;
    for Program(name, arguments) in &PROGRAMS {
        let arguments = arguments.iter().map(|argument| match *argument {
            "FILE" => file.0.as_os_str(),
            argument => argument.as_ref(),
        });
        let Ok(output) = Command::new(name).args(arguments).output() else {
            static SAID: AtomicU32 = AtomicU32::new(0);
            if SAID.fetch_add(1, Ordering::Relaxed) < PROGRAMS.len() as u32 {
                println!("skipped: {name} is not installed");
            }
            continue;
        };
        asked += 1;
        let mut rest = &output.stdout[..];
        for (frame, ours) in stream.pictures.iter().enumerate() {
            let Some((theirs, after)) = rest.split_at_checked(ours.data().len()) else {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                return Err(Failure::Refused { judge: name, frame: Some(frame), said });
            };
            compare(name, frame, ours, theirs)?;
            rest = after;
        }
        if !output.status.success() || !rest.is_empty() {
            let said = format!("{} bytes too many, {}", rest.len(), String::from_utf8_lossy(&output.stderr));
            return Err(Failure::Refused { judge: name, frame: None, said });
        }
    }
    Ok(asked)
}

/// Compares tight planes.
fn compare(judge: &'static str, frame: usize, ours: &Picture, theirs: &[u8]) -> Result<(), Failure> {
    if ours.data() == theirs {
        return Ok(());
    }
    let mut start = 0;
    for plane in Plane::ALL {
        let own = ours.plane(plane);
        let other = &theirs[start..start + own.len()];
        start += own.len();
        if let Some(at) = own.iter().zip(other).position(|(a, b)| a != b) {
            let width = ours.plane_size(plane).width as usize;
            let (x, y) = (at % width, at / width);
            return Err(Failure::Differs { judge, frame, plane, x, y, ours: own[at], theirs: other[at] });
        }
    }
    Ok(())
}

/// A stream in a file that goes away.
struct Ivf(PathBuf);

impl Ivf {
    fn write(stream: &Stream) -> Self {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let name = format!("conclave-av1-{}-{}.ivf", std::process::id(), SERIAL.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        save(stream, &path);
        Self(path)
    }
}

impl Drop for Ivf {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Writes a stream to an ivf file.
pub fn save(stream: &Stream, path: &Path) {
    let mut file = VideoWriter::create(path, &WriterConfig::new(stream.ceiling, (30, 1))).expect("a file");
    for (frame, unit) in stream.units.iter().enumerate() {
        file.write(unit, frame as u64 * 1_000_000 / 30, frame == 0).expect("room for a file");
    }
    file.finish().expect("room for a file");
}
