//! The demo on devices: the meeting's time stays virtual, and waits at each picture and each packet of sound until the
//! device has given it.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use conclave::audio;
use conclave::capture::live::{Heard, LiveMicrophone, LiveVideo, Taken, Turn};
use conclave::capture::steady::{Rules, Steady};
use conclave::capture::{CaptureError, Microphone, System, VideoInput, camera, screen};
use conclave::codecs::{Color, Size};
use conclave::devices::{self, Device, DeviceError, Id, Kind, Listing};
use conclave::frame;
use conclave::gpu::{Format, Source};
use conclave::time::Clock;

use super::Args;

/// How long a device may take to give its first picture, and any other one.
const PATIENCE: Duration = Duration::from_secs(10);

/// A device as a source of a limited number of pictures.
pub struct Camera {
    device: Steady,
    /// The last picture, which is shown again where nothing changed.
    held: Held,
    left: u64,
    interval_us: u64,
    next: Instant,
}

struct Held {
    format: Format,
    size: Size,
    color: Color,
    data: Vec<u8>,
}

impl Camera {
    /// The camera, screen or window that the arguments name; `None` where they name none.
    pub fn open(args: &Args, frames: u64) -> anyhow::Result<Option<Self>> {
        let Some((kind, name)) = named(args) else { return Ok(None) };
        let device = pick(kind, name)?;
        let (num, den) = args.fps;
        let fps = num.div_ceil(den);
        let system = System {
            camera: camera::Wish { size: args.size.unwrap_or(Size::new(640, 360)), fps },
            screen: screen::Wish { fps: args.fps, ..screen::Wish::default() },
            clock: Clock::start(),
        };
        let clock = system.clock;
        let mut device = Steady::open(Box::new(system), device, Rules::of(kind), clock)?;
        let held = first(&mut device)?;
        let interval_us = 1_000_000 * u64::from(den) / u64::from(num);
        Ok(Some(Self { device, held, left: frames, interval_us, next: Instant::now() }))
    }

    /// Size of the first picture.
    pub fn size(&self) -> Size {
        self.held.size
    }
}

impl VideoInput for Camera {
    fn next(&mut self) -> Result<Option<Source<'_>>, CaptureError> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        // A device that gives a picture whenever something changed is held to the beat of the meeting.
        loop {
            let left = self.next.saturating_duration_since(Instant::now());
            match self.device.wait(left.max(Duration::from_millis(1)))? {
                Taken::Picture(shot) => self.held.take(&shot.source),
                Taken::Turn(turn) => tell(&turn),
                Taken::Nothing => {}
            }
            if self.next <= Instant::now() {
                break;
            }
        }
        self.next = (self.next + Duration::from_micros(self.interval_us)).max(Instant::now());
        let Held { format, size, color, data } = &self.held;
        Ok(Some(Source { format: *format, size: *size, color: *color, data }))
    }

    fn interval_us(&self) -> u64 {
        self.interval_us
    }
}

impl Held {
    fn take(&mut self, source: &Source<'_>) {
        (self.format, self.size, self.color) = (source.format, source.size, source.color);
        self.data.clear();
        self.data.extend_from_slice(source.data);
    }
}

/// The first picture, with which the meeting begins.
fn first(device: &mut Steady) -> anyhow::Result<Held> {
    let end = Instant::now() + PATIENCE;
    let mut held = Held { format: Format::I420, size: Size::new(16, 16), color: Color::default(), data: Vec::new() };
    while Instant::now() < end {
        match device.wait(Duration::from_millis(100))? {
            Taken::Picture(shot) => {
                held.take(&shot.source);
                return Ok(held);
            }
            Taken::Turn(turn) => tell(&turn),
            Taken::Nothing => {}
        }
    }
    let hint = match device.device().map(|device| device.kind) {
        Some(Kind::Window) => "one that is minimised gives none",
        _ => "see whether another program uses it",
    };
    bail!("the device gave no picture within {} s; {hint}", PATIENCE.as_secs())
}

/// A microphone as a source of a limited number of samples.
pub struct Ear {
    device: Box<dyn LiveMicrophone>,
    left: u64,
}

impl Ear {
    /// The microphone that the arguments name; `None` where they name none.
    pub fn open(args: &Args, samples: u64) -> anyhow::Result<Option<Self>> {
        let Some(name) = &args.mic else { return Ok(None) };
        let device = pick(Kind::Microphone, name.as_deref())?;
        let config = audio::microphone::Config::default();
        let device = audio::microphone::Microphone::open(&device.id, config, Clock::start())?;
        // Nothing is played aloud, so there is no echo.
        let config = audio::process::Config { echo: false, ..audio::process::Config::default() };
        let (device, _) = audio::process::Processed::new(Box::new(device), config)?;
        Ok(Some(Self { device: Box::new(device), left: samples }))
    }
}

impl Microphone for Ear {
    fn channels(&self) -> u8 {
        self.device.channels()
    }

    fn fill(&mut self, pcm: &mut [i16]) -> Result<bool, CaptureError> {
        let frames = pcm.len() as u64 / u64::from(self.device.channels());
        if self.left == 0 {
            return Ok(false);
        }
        self.left = self.left.saturating_sub(frames);
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            match self.device.wait(pcm, Duration::from_millis(100))? {
                Heard::Samples { .. } => return Ok(true),
                Heard::Turn(turn) => tell(&turn),
                Heard::Muted => break,
                Heard::Nothing => {}
            }
        }
        pcm.fill(0);
        Ok(true)
    }
}

/// What the pictures are sent as: screens and windows have streams, and so keys, of their own kind.
pub fn stream_kind(args: &Args) -> frame::Kind {
    match named(args) {
        Some((Kind::Screen | Kind::Window, _)) => frame::Kind::Screen,
        _ => frame::Kind::Camera,
    }
}

/// Which kind of device gives the pictures, and its name where there is one.
fn named(args: &Args) -> Option<(Kind, Option<&str>)> {
    let all = [(Kind::Camera, &args.camera), (Kind::Screen, &args.screen), (Kind::Window, &args.window)];
    all.into_iter().find_map(|(kind, name)| Some((kind, name.as_ref()?.as_deref())))
}

/// The device of that name, or the system's choice.
fn pick(kind: Kind, name: Option<&str>) -> anyhow::Result<Device> {
    let Listing { devices, unseen } = devices::list();
    let mut those = devices.into_iter().filter(|device| device.kind == kind);
    if let Some(name) = name {
        let id: Id = name.parse()?;
        let known = those.find(|device| device.id == id);
        return known.ok_or_else(|| DeviceError::Missing { kind, id }.into());
    }
    let why = || {
        let said = unseen.iter().filter(|unseen| unseen.kind == kind);
        let said: Vec<_> = said.map(|unseen| format!("{}: {}, {}", unseen.backend, unseen.why, unseen.hint)).collect();
        if said.is_empty() { get(kind).to_owned() } else { said.join("; ") }
    };
    those.next().with_context(|| format!("this machine has no {kind} ({})", why()))
}

/// How one comes to a device of a kind.
fn get(kind: Kind) -> &'static str {
    match kind {
        Kind::Camera => "plug one in, or leave --camera away for the rendered scene",
        Kind::Screen => "run inside a desktop session, or under Xvfb with DISPLAY set",
        Kind::Window => "open one on the desktop of DISPLAY",
        Kind::Microphone | Kind::Speaker => "plug one in, or leave --mic away for the rendered voice",
    }
}

fn tell(turn: &Turn) {
    eprintln!("conclave: {turn}");
}

/// Arguments that contradict each other.
pub fn check(args: &Args) -> anyhow::Result<()> {
    let several = [&args.camera, &args.screen, &args.window].into_iter().flatten().count() > 1;
    ensure!(!several, "one meeting shows one of --camera, --screen and --window; leave the others away");
    ensure!(
        args.input.is_none() || (named(args).is_none() && args.mic.is_none()),
        "an input file and a device are both named; leave one away"
    );
    Ok(())
}
