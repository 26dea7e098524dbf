//! Cameras, and whatever else a portal hands out, as nodes of PipeWire's graph.
//!
//! A stream has one thread, which turns PipeWire's loop and copies each picture out of the buffer that the graph lends,
//! since that has to go back at once; the pictures wait for their taker in a `Latest(1)` queue.

mod formats;
mod line;
mod stream;

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pipewire as pw;

pub(super) use line::Found;
use stream::{Frame, Plan};

use super::Wish;
use super::faults::Faults;
use super::looks::{self, Looks, Next};
use super::mjpeg;
use super::modes::Mode;
use super::wire::Wire;
use crate::capture::CaptureError;
use crate::capture::live::{Damage, LiveVideo, Shot, Taken, Turn};
use crate::devices::{Backend, Device, DeviceError, Id, Kind};
use crate::gpu::Source;
use crate::pool::Pool;
use crate::queue::{self, Idle};
use crate::time::Clock;

/// How long opening may take: a camera's first start takes up to two seconds.
const OPENING: Duration = Duration::from_secs(8);

/// A camera that gives no picture for so long has stopped. A screen gives none while nothing changes.
const STALLED: Duration = Duration::from_secs(5);

/// The cameras that PipeWire has.
pub(super) fn list() -> Result<Vec<Found>, DeviceError> {
    line::Line::open(None)?.cameras()
}

/// Opens the camera called `id`.
pub(super) fn open(id: &Id, wish: Wish, clock: Clock) -> Result<Camera, DeviceError> {
    let device = Device::new(Kind::Camera, id.clone(), id.name());
    Camera::open(Plan { device, wish, clock, remote: None })
}

/// Opens what a portal gave: its line, and the node, if it named one.
pub(super) fn open_remote(
    device: Device,
    remote: (OwnedFd, Option<u32>),
    wish: Wish,
    clock: Clock,
) -> Result<Camera, DeviceError> {
    Camera::open(Plan { device, wish, clock, remote: Some(remote) })
}

/// An open stream.
pub(super) struct Camera {
    device: Device,
    wish: Wish,
    frames: queue::Receiver<Frame>,
    shelf: Pool<Vec<u8>>,
    /// Why the thread ended; set before it closes the queue.
    fate: Arc<OnceLock<DeviceError>>,
    stop: pw::channel::Sender<()>,
    thread: Option<JoinHandle<()>>,
    /// Pictures that the thread dropped since their buffers were broken, or since newer ones were there.
    dropped: Arc<AtomicU64>,
    /// The picture that is handed out, and whether that is still to be done: a turn went before it.
    current: Option<Frame>,
    held: bool,
    looks: Looks,
    last: Option<u64>,
    heard: Instant,
    jpeg: mjpeg::Decoder,
    faults: Faults,
    mode: Mode,
}

impl Camera {
    fn open(plan: Plan) -> Result<Self, DeviceError> {
        let (frames, taken) = queue::pair(queue::Policy::Latest);
        let (ready, opened) = queue::pair(queue::Policy::Fifo(1));
        let (stop, stopped) = pw::channel::channel();
        // One in the graph's hands, one that waits, one that is handed out.
        let shelf = Pool::new(3, Vec::new);
        let (fate, dropped) = (Arc::new(OnceLock::new()), Arc::new(AtomicU64::new(0)));
        let (device, wish) = (plan.device.clone(), plan.wish);
        let ends =
            stream::Ends { frames: frames.into(), ready: ready.into(), shelf: shelf.clone(), dropped: dropped.clone() };
        let run = {
            let (fate, device) = (fate.clone(), device.clone());
            move || stream::run(plan, ends, stopped, |error| drop(fate.set(error.of(&device))))
        };
        let thread = std::thread::Builder::new().name("pipewire-stream".into()).spawn(run);
        let thread = thread.map_err(|error| DeviceError::Unusable {
            kind: device.kind,
            id: device.id.clone(),
            why: format!("no thread could be started ({error})"),
            hint: "close some programs",
        })?;
        let mut camera = Self {
            mode: Mode { wire: Wire::I420, size: wish.size, fps: (wish.fps, 1) },
            device,
            wish,
            frames: taken,
            shelf,
            fate,
            stop,
            thread: Some(thread),
            dropped,
            current: None,
            held: false,
            looks: Looks::default(),
            last: None,
            heard: Instant::now(),
            jpeg: mjpeg::Decoder::default(),
            faults: Faults::default(),
        };
        let mut opened = opened;
        match opened.pop_wait(OPENING) {
            Ok(stream::Opened { device, mode }) => (camera.device, camera.mode) = (device, mode),
            Err(Idle::Closed) => return Err(camera.fate()),
            Err(Idle::Empty) => {
                return Err(DeviceError::Unreachable {
                    backend: Backend::PipeWire,
                    why: format!("nobody connected the stream to {} within {} s", camera.device.id, OPENING.as_secs()),
                    hint: "a session manager does that: start WirePlumber, as in `systemctl --user start wireplumber`",
                });
            }
        }
        camera.heard = Instant::now();
        Ok(camera)
    }

    fn fate(&self) -> DeviceError {
        let lost =
            |why: &str| DeviceError::Lost { kind: self.device.kind, id: self.device.id.clone(), why: why.to_owned() };
        self.fate.get().cloned().unwrap_or_else(|| lost("its thread ended"))
    }

    /// Notes the end, unless there was one before, and says it.
    fn end(&self, error: DeviceError) -> CaptureError {
        drop(self.fate.set(error));
        self.fate().into()
    }

    /// Makes `frame` the current one. `false` where it shows no picture.
    fn take(&mut self, frame: Frame) -> Result<bool, CaptureError> {
        self.heard = Instant::now();
        if let Some(old) = self.current.replace(frame) {
            self.shelf.give(old.bytes);
        }
        let Some(frame) = &mut self.current else { return Ok(false) };
        if frame.mode.wire == Wire::Mjpeg {
            let mut picture = self.shelf.take();
            let decoded = self.jpeg.decode(&frame.bytes, &mut picture);
            self.shelf.give(std::mem::replace(&mut frame.bytes, picture));
            match decoded {
                Ok(size) => frame.size = size,
                Err(why) => {
                    self.dropped.fetch_add(1, Ordering::Relaxed);
                    return match self.faults.bad() {
                        false => Ok(false),
                        true => Err(self.end(stream::unfit(&why.to_string()).of(&self.device))),
                    };
                }
            }
        }
        self.faults.good();
        Ok(true)
    }
}

impl LiveVideo for Camera {
    fn wait(&mut self, patience: Duration) -> Result<Taken<'_>, CaptureError> {
        if !std::mem::take(&mut self.held) {
            match self.frames.pop_wait(patience) {
                Ok(frame) => {
                    if !self.take(frame)? {
                        return Ok(Taken::Nothing);
                    }
                }
                Err(Idle::Closed) => return Err(self.fate().into()),
                Err(Idle::Empty) => {
                    if self.device.kind == Kind::Camera && self.heard.elapsed() > STALLED {
                        let why = format!("it gave no picture for {} s", STALLED.as_secs());
                        return Err(self.end(line::End::Gone(why).of(&self.device)));
                    }
                    return Ok(Taken::Nothing);
                }
            }
        }
        let Some(frame) = &self.current else { return Ok(Taken::Nothing) };
        let format = frame.mode.wire.format();
        let next = self.looks.next((frame.size, format, frame.color));
        if next == Next::Turned {
            (self.held, self.mode) = (true, Mode { size: frame.size, ..frame.mode });
            looks::prefer(&mut self.device, self.mode);
            return Ok(Taken::Turn(Turn::Reshaped(self.device.clone())));
        }
        let fresh = next == Next::Fresh;
        let follows = !fresh && self.last.is_some_and(|last| last + 1 == frame.number);
        self.last = Some(frame.number);
        let source = Source { format, size: frame.size, color: frame.color, data: &frame.bytes };
        let damage = if follows { frame.damage } else { Damage::ALL };
        Ok(Taken::Picture(Shot { source, captured: frame.captured, damage, fresh }))
    }

    fn interval_us(&self) -> u64 {
        self.mode.interval_us(self.wish)
    }

    fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed) + self.frames.gauge().read().displaced
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        // A thread that has ended already hears nothing.
        let _ = self.stop.send(());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
