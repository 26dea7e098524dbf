//! Cameras of the kernel, `/dev/video*`. Buffers are mapped: a picture with tight rows is handed out where the driver put
//! it, without a copy.

mod kernel;
mod names;

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Wish;
use super::faults::Faults;
use super::looks::{self, Looks, Next};
use super::mjpeg;
use super::modes::{self, Mode};
use super::stamp::Stamps;
use super::wire::{Block, Part, Wire, is_sane};
use crate::capture::CaptureError;
use crate::capture::live::{Damage, LiveVideo, Shot, Taken, Turn};
use crate::codecs::Size;
use crate::devices::{Backend, Device, DeviceError, Id, Kind, Unseen};
use crate::gpu::Source;
use crate::time::{Clock, Time};
use kernel::{Agreed, Buffers, File, Filled};

/// Buffers in the driver's hands: one that is filled, one that is next, one that is handed out, one for bad luck.
const BUFFERS: u32 = 4;

/// A camera that gives no picture for so long has stopped.
const STALLED: Duration = Duration::from_secs(5);

const OTHER: &str = "try another camera, or another size and rate";

const CROWDED: &str = "plug it in elsewhere, or wish for a smaller size or a lower rate";

const GROUP: &str = "add the user to the group `video`, as in `sudo usermod -aG video $USER`, and log in again";

/// A camera that the kernel has.
pub(super) struct Found {
    pub(super) device: Device,
    pub(super) path: PathBuf,
}

/// The cameras that the kernel has, and which could not be looked at.
pub(super) fn list() -> (Vec<Found>, Option<Unseen>) {
    let (mut found, mut unseen) = (Vec::<Found>::new(), None);
    for (path, link) in names::files(Path::new("/dev")) {
        match look(&path) {
            Ok(Some((card, file))) => {
                let name = link.unwrap_or_else(|| names::plain(&card.bus, &card.name));
                let taken = |name: &str| found.iter().any(|other| other.device.id.name() == name);
                let id = Id::new(Backend::V4l, super::free(name, taken));
                let video = modes(&file, None).into_iter().map(Mode::video).collect();
                let device = Device { video, ..Device::new(Kind::Camera, id, card.name) };
                found.push(Found { device, path });
            }
            // Not for pictures, or gone meanwhile.
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let why = format!("{} may not be opened ({error})", path.display());
                unseen = Some(Unseen { kind: Kind::Camera, backend: Backend::V4l, why, hint: GROUP });
            }
            Err(_) => {}
        }
    }
    (found, unseen)
}

/// Opens `path` and asks what it is; `None` where it gives no pictures.
fn look(path: &Path) -> io::Result<Option<(kernel::Card, File)>> {
    let file = File::open(path)?;
    let card = file.card()?;
    Ok(card.captures.then_some((card, file)))
}

/// The modes that are understood; where the device leaves a choice, those nearest to `wish`.
fn modes(file: &File, wish: Option<Wish>) -> Vec<Mode> {
    let mut modes = Vec::new();
    for (wire, code) in file.wires() {
        for size in file.sizes(code).near(wish).into_iter().filter(|size| is_sane(*size)) {
            modes.extend(file.rates(code, size).near(wish).into_iter().map(|fps| Mode { wire, size, fps }));
        }
    }
    modes
}

/// The file behind `id`, which is one that [`list`] gives, or a name in `/dev` as in `v4l:video0`.
pub(super) fn file(id: &Id) -> Option<PathBuf> {
    if names::is_file(id.name()) {
        return Some(Path::new("/dev").join(id.name()));
    }
    list().0.into_iter().find(|found| found.device.id == *id).map(|found| found.path)
}

/// Opens the camera `id`.
pub(super) fn open(id: &Id, wish: Wish, clock: Clock) -> Result<Camera, DeviceError> {
    let missing = || DeviceError::Missing { kind: Kind::Camera, id: id.clone() };
    let unfit =
        |why: &str| DeviceError::Unusable { kind: Kind::Camera, id: id.clone(), why: why.to_owned(), hint: OTHER };
    let refused = |error: io::Error| refusal(&error, id).unwrap_or_else(missing);
    let path = file(id).ok_or_else(missing)?;
    let (card, file) = look(&path).map_err(refused)?.ok_or_else(|| unfit("it gives no pictures"))?;
    let listed = modes(&file, None).into_iter().map(Mode::video).collect();
    let mode =
        modes::best(&modes(&file, Some(wish)), wish).ok_or_else(|| unfit("it has no format that is understood"))?;
    let agreed = file.set(mode).map_err(refused)?;
    let agreed = agreed.filter(|agreed| is_sane(agreed.mode.size)).ok_or_else(|| unfit("it refuses its own format"))?;
    let buffers = Buffers::start(file, BUFFERS).map_err(refused)?;
    let device = Device { video: listed, ..Device::new(Kind::Camera, id.clone(), card.name) };
    Ok(Camera {
        device,
        wish,
        agreed,
        buffers,
        out: None,
        held: false,
        stamps: Stamps::new(clock),
        captured: Time::default(),
        size: agreed.mode.size,
        copy: Vec::new(),
        jpeg: mjpeg::Decoder::default(),
        looks: Looks::default(),
        faults: Faults::default(),
        dropped: 0,
        sequence: None,
        heard: Instant::now(),
        over: None,
    })
}

/// What the kernel's `error` means at opening; `None` where the device is not there.
fn refusal(error: &io::Error, id: &Id) -> Option<DeviceError> {
    let (kind, id) = (Kind::Camera, id.clone());
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => None,
        Some(libc::EBUSY) => Some(DeviceError::Busy { kind, id }),
        Some(libc::ENOSPC) => {
            Some(DeviceError::Unusable { kind, id, why: "its USB bus has no room for it".to_owned(), hint: CROWDED })
        }
        Some(libc::EACCES | libc::EPERM) => {
            Some(DeviceError::Forbidden { kind, id, why: error.to_string(), hint: GROUP })
        }
        _ => Some(DeviceError::Unusable { kind, id, why: error.to_string(), hint: "unplug it and plug it in again" }),
    }
}

/// An open camera.
pub(super) struct Camera {
    device: Device,
    wish: Wish,
    agreed: Agreed,
    buffers: Buffers,
    /// The buffer that is handed out, and whether that is still to be done: a turn went before it.
    out: Option<Filled>,
    held: bool,
    stamps: Stamps,
    captured: Time,
    /// Width and height of the picture that is out.
    size: Size,
    /// The picture, where it could not stay in the buffer.
    copy: Vec<u8>,
    jpeg: mjpeg::Decoder,
    looks: Looks,
    faults: Faults,
    dropped: u64,
    sequence: Option<u32>,
    heard: Instant,
    over: Option<DeviceError>,
}

impl Camera {
    /// The stream ends, since the kernel says `error`.
    fn lost(&mut self, error: &io::Error) -> CaptureError {
        let why = match error.raw_os_error() {
            Some(libc::ENODEV | libc::ENXIO) => "it was unplugged".to_owned(),
            _ => error.to_string(),
        };
        self.end(why)
    }

    fn end(&mut self, why: String) -> CaptureError {
        let lost = DeviceError::Lost { kind: Kind::Camera, id: self.device.id.clone(), why };
        self.over.insert(lost).clone().into()
    }

    /// Takes the newest buffer that is filled, and gives back the older ones. `None` where none is.
    fn newest(&mut self) -> io::Result<Option<Filled>> {
        let mut newest = None;
        loop {
            let filled = match self.buffers.take() {
                Ok(Some(filled)) => filled,
                Ok(None) => break,
                // What is filled is read, and given back; an error that stays comes again.
                Err(_) if newest.is_some() => break,
                Err(error) => return Err(error),
            };
            // What the driver could not put anywhere shows as a gap.
            let gap = self.sequence.map_or(0, |last| filled.sequence.wrapping_sub(last).saturating_sub(1));
            self.dropped += if gap < 1_000 { u64::from(gap) } else { 0 };
            self.sequence = Some(filled.sequence);
            if let Some(older) = newest.replace(filled) {
                self.dropped += 1;
                self.buffers.give(older)?;
            }
        }
        Ok(newest)
    }

    /// Makes a picture of `filled`, in `copy` where it cannot stay where it is.
    fn read(&mut self, filled: &Filled) -> Result<(), String> {
        let Agreed { mode, stride, .. } = self.agreed;
        let bytes = self.buffers.bytes(filled);
        if filled.broken {
            return Err("the driver says that its pictures are damaged".to_owned());
        }
        if mode.wire == Wire::Mjpeg {
            self.size = self.jpeg.decode(bytes, &mut self.copy).map_err(|error| error.to_string())?;
            return Ok(());
        }
        if !self.stays() {
            let blocks = [Block { data: bytes, stride }];
            return mode.wire.unpack(Part::all(mode.size), &blocks, &mut self.copy).map_err(|_| short());
        }
        if bytes.len() < mode.wire.format().len(mode.size) { Err(short()) } else { Ok(()) }
    }

    /// Pictures can be handed out where they lie.
    fn stays(&self) -> bool {
        self.agreed.mode.wire.is_tight(self.agreed.mode.size, self.agreed.stride)
    }

    /// Waits for a picture and makes it the one that is out; `false` where there is none.
    fn next(&mut self, patience: Duration) -> Result<bool, CaptureError> {
        if let Some(error) = &self.over {
            return Err(error.clone().into());
        }
        let back = self.out.take().map_or(Ok(()), |out| self.buffers.give(out));
        let filled = back.and_then(|()| self.buffers.file.wait(patience)).and_then(|_| self.newest());
        let filled = match filled {
            Ok(Some(filled)) => filled,
            Ok(None) if self.heard.elapsed() > STALLED => {
                return Err(self.end(format!("it gave no picture for {} s", STALLED.as_secs())));
            }
            Ok(None) => return Ok(false),
            // Such as a transfer that failed: the next may not.
            Err(error) if error.raw_os_error() == Some(libc::EIO) => return self.fault(error.to_string()),
            Err(error) => return Err(self.lost(&error)),
        };
        self.heard = Instant::now();
        self.captured = self.stamps.take(Some(filled.ns));
        let read = self.read(&filled);
        self.out = Some(filled);
        match read {
            Ok(()) => {
                self.faults.good();
                Ok(true)
            }
            Err(why) => self.fault(why),
        }
    }

    /// A picture is broken: it is counted, and one too many is the end.
    fn fault(&mut self, why: String) -> Result<bool, CaptureError> {
        self.dropped += 1;
        if !self.faults.bad() {
            return Ok(false);
        }
        let unfit = DeviceError::Unusable { kind: Kind::Camera, id: self.device.id.clone(), why, hint: OTHER };
        Err(self.over.insert(unfit).clone().into())
    }
}

impl LiveVideo for Camera {
    fn wait(&mut self, patience: Duration) -> Result<Taken<'_>, CaptureError> {
        if !std::mem::take(&mut self.held) && !self.next(patience)? {
            return Ok(Taken::Nothing);
        }
        let Some(out) = &self.out else { return Ok(Taken::Nothing) };
        let Agreed { mode, color, .. } = self.agreed;
        let format = mode.wire.format();
        let next = self.looks.next((self.size, format, color));
        if next == Next::Turned {
            self.held = true;
            looks::prefer(&mut self.device, Mode { size: self.size, ..mode });
            return Ok(Taken::Turn(Turn::Reshaped(self.device.clone())));
        }
        let data = if self.stays() { &self.buffers.bytes(out)[..format.len(self.size)] } else { &self.copy };
        let source = Source { format, size: self.size, color, data };
        Ok(Taken::Picture(Shot { source, captured: self.captured, damage: Damage::ALL, fresh: next == Next::Fresh }))
    }

    fn interval_us(&self) -> u64 {
        self.agreed.mode.interval_us(self.wish)
    }

    fn dropped(&self) -> u64 {
        self.dropped
    }
}

fn short() -> String {
    "its buffers hold no whole picture".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_refuses_says_what_to_do() {
        let id: Id = "v4l:video0".parse().expect("an id");
        let said = |code| refusal(&io::Error::from_raw_os_error(code), &id).map(|error| error.to_string());
        assert!(said(libc::EBUSY).expect("a refusal").contains("in use by another program"));
        assert!(said(libc::EACCES).expect("a refusal").contains("group `video`"));
        assert!(said(libc::ENOSPC).expect("a refusal").contains("no room"));
        assert!(said(libc::EINVAL).expect("a refusal").contains("plug it in again"));
        assert_eq!(said(libc::ENODEV), None);
        assert_eq!(said(libc::ENOENT), None);
    }
}
