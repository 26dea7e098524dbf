//! The thread of a stream: agrees on a format, and takes pictures out of the buffers that the graph lends.

use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pipewire as pw;
use pw::spa::buffer::meta::{MetaHeader, MetaHeaderFlags, MetaVideoCrop, MetaVideoDamage};
use pw::spa::buffer::{ChunkFlags, Data};
use pw::spa::param::ParamType;
use pw::spa::pod::Pod;
use pw::stream::{Stream, StreamFlags, StreamState};

use super::super::Wish;
use super::super::faults::Faults;
use super::super::modes::{self, Mode};
use super::super::stamp::Stamps;
use super::super::wire::{Block, Part, Short, Wire, is_sane};
use super::formats;
use super::line::{End, Line, Seen};
use crate::capture::live::{Damage, Rect};
use crate::codecs::{Color, Size};
use crate::devices::{Device, DeviceError, Kind};
use crate::pool::Pool;
use crate::queue;
use crate::time::{Clock, Time};

/// The loop turns at least so often; whatever happens turns it at once.
const TURN: Duration = Duration::from_secs(1);

/// Larger compressed pictures are not taken.
const MOST_BYTES: usize = 32 << 20;

/// What is to be opened.
pub(super) struct Plan {
    pub(super) device: Device,
    pub(super) wish: Wish,
    pub(super) clock: Clock,
    /// A portal's line, and the node if it named one; the user's daemon otherwise.
    pub(super) remote: Option<(OwnedFd, Option<u32>)>,
}

/// What the thread hands over to.
pub(super) struct Ends {
    pub(super) frames: RefCell<queue::Sender<Frame>>,
    pub(super) ready: RefCell<queue::Sender<Opened>>,
    pub(super) shelf: Pool<Vec<u8>>,
    pub(super) dropped: Arc<AtomicU64>,
}

/// A stream that has a format.
pub(super) struct Opened {
    pub(super) device: Device,
    pub(super) mode: Mode,
}

/// A picture, or the JPEG of one.
pub(super) struct Frame {
    pub(super) bytes: Vec<u8>,
    pub(super) mode: Mode,
    /// Width and height in pixels; not known of a JPEG before it is decoded.
    pub(super) size: Size,
    pub(super) color: Color,
    pub(super) captured: Time,
    pub(super) damage: Damage,
    /// Counts all pictures, those that got lost too.
    pub(super) number: u64,
}

/// Why it ended, with what a message needs beside the device's name.
pub(super) enum Cause {
    Device(DeviceError),
    End(End),
}

impl Cause {
    pub(super) fn of(self, device: &Device) -> DeviceError {
        match self {
            Cause::Device(error) => error,
            Cause::End(end) => end.of(device),
        }
    }
}

impl End {
    /// The end of `device`.
    pub(super) fn of(self, device: &Device) -> DeviceError {
        let (kind, id) = (device.kind, device.id.clone());
        match self {
            End::Gone(why) => DeviceError::Lost { kind, id, why },
            End::Unfit(why) => {
                DeviceError::Unusable { kind, id, why, hint: "try another camera, or another size and rate" }
            }
        }
    }
}

/// It cannot be used, since `why`.
pub(super) fn unfit(why: &str) -> End {
    End::Unfit(why.to_owned())
}

/// Runs the stream until it is told to stop, or ends; `note` hears why before the queues close.
pub(super) fn run(plan: Plan, ends: Ends, stop: pw::channel::Receiver<()>, note: impl FnOnce(Cause)) {
    let ends = Rc::new(ends);
    if let Err(cause) = flow(plan, &ends, stop) {
        note(cause);
    }
}

fn flow(mut plan: Plan, ends: &Rc<Ends>, stop: pw::channel::Receiver<()>) -> Result<(), Cause> {
    let (remote, named) = plan.remote.take().map_or((None, None), |(fd, node)| (Some(fd), node));
    let portal = remote.is_some();
    let line = Line::open(remote).map_err(Cause::Device)?;
    let stopped = Rc::new(Cell::new(false));
    let flag = stopped.clone();
    let _stop = stop.attach(line.turning.loop_(), move |()| flag.set(true));
    let cameras = line.cameras().map_err(Cause::Device)?;
    let found = cameras.into_iter().filter(|camera| match named {
        Some(number) => camera.node.number == number,
        None => portal || camera.device.id == plan.device.id,
    });
    // What a portal names may be something else than a camera, and its formats hidden.
    let found = found.max_by_key(|camera| camera.priority);
    let Some(number) = named.or(found.as_ref().map(|camera| camera.node.number)) else {
        return Err(Cause::Device(DeviceError::Missing { kind: plan.device.kind, id: plan.device.id }));
    };
    let mode = found.as_ref().and_then(|camera| modes::best(&camera.modes(Some(plan.wish)), plan.wish));
    line.seen.watched.set(Some(number));
    let serial = found.as_ref().and_then(|camera| camera.node.serial.clone());
    if let (Some(camera), false) = (found, portal) {
        plan.device = camera.device;
    }
    let role = if plan.device.kind == Kind::Camera { "Camera" } else { "Screen" };
    let mut wanted = pw::properties::properties! {
        *pw::keys::MEDIA_TYPE => "Video", *pw::keys::MEDIA_CATEGORY => "Capture", *pw::keys::MEDIA_ROLE => role,
    };
    if let Some(serial) = &serial {
        wanted.insert("target.object", serial.as_str());
    }
    let failed = |error: pw::Error| Cause::End(unfit(&format!("PipeWire makes no stream of it ({error})")));
    let stream = pw::stream::StreamBox::new(&line.core, "conclave", wanted).map_err(failed)?;
    let agreed = Rc::new(Cell::new(None));
    let taking = Taking {
        agreed: agreed.clone(),
        seen: line.seen.clone(),
        ends: ends.clone(),
        stamps: Stamps::new(plan.clock),
        faults: Faults::default(),
        number: 0,
        flows: false,
        whole: plan.device.kind == Kind::Camera,
    };
    let listener = stream
        .add_local_listener_with_user_data(taking)
        .state_changed(|_, taking, old, new| taking.turned(&old, new))
        .param_changed(|stream, taking, id, pod| {
            if id == ParamType::Format.as_raw() {
                taking.agree(stream, pod);
            }
        })
        .process(|stream, taking| taking.process(stream));
    let _listener = listener.register().map_err(failed)?;
    let offers = formats::offers(mode, plan.wish);
    let mut offers: Vec<&Pod> = offers.iter().filter_map(|bytes| Pod::from_bytes(bytes)).collect();
    // A session manager would lead the stream to another camera when this one goes; where to go then is not its to say.
    let flags = StreamFlags::AUTOCONNECT | StreamFlags::MAP_BUFFERS | StreamFlags::DONT_RECONNECT;
    let target = if serial.is_some() { None } else { Some(number) };
    stream.connect(pw::spa::utils::Direction::Input, target, flags, &mut offers).map_err(failed)?;
    let mut told = false;
    while !stopped.get() {
        if let Some(end) = line.seen.end() {
            return Err(match end {
                End::Unfit(why) if why.to_lowercase().contains("busy") => {
                    Cause::Device(DeviceError::Busy { kind: plan.device.kind, id: plan.device.id })
                }
                end => Cause::End(end),
            });
        }
        if let (Some((mode, _)), false) = (agreed.get(), told) {
            told = true;
            // The taker waits for this one, unless it went.
            drop(ends.ready.borrow_mut().push(Opened { device: plan.device.clone(), mode }));
        }
        line.turn(TURN);
    }
    Ok(())
}

/// What the callbacks of a stream know.
struct Taking {
    /// The format, and what samples mean.
    agreed: Rc<Cell<Option<(Mode, Color)>>>,
    seen: Rc<Seen>,
    ends: Rc<Ends>,
    stamps: Stamps,
    faults: Faults,
    number: u64,
    /// Pictures came, or were about to.
    flows: bool,
    /// Every picture is a new one; else the source says which parts are.
    whole: bool,
}

impl Taking {
    fn turned(&mut self, old: &StreamState, new: StreamState) {
        match new {
            StreamState::Streaming => self.flows = true,
            StreamState::Error(why) if self.flows || self.seen.watched_is_gone() => {
                self.seen.over(End::Gone(format!("PipeWire says: {why}")))
            }
            StreamState::Error(why) => self.seen.over(unfit(&format!("PipeWire says: {why}"))),
            StreamState::Unconnected if *old != StreamState::Unconnected => {
                self.seen.over(End::Gone("its stream was closed".to_owned()));
            }
            _ => {}
        }
    }

    fn agree(&mut self, stream: &Stream, pod: Option<&Pod>) {
        let Some(pod) = pod else { return self.agreed.set(None) };
        let Some(agreed) = formats::agreed(pod.as_bytes()) else {
            return self.seen.over(unfit("it gives pictures in a format that is not understood"));
        };
        self.agreed.set(Some(agreed));
        let wants = formats::buffers();
        let mut wants: Vec<&Pod> = wants.iter().filter_map(|bytes| Pod::from_bytes(bytes)).collect();
        if let Err(error) = stream.update_params(&mut wants) {
            self.seen.over(unfit(&format!("PipeWire gives no buffers ({error})")));
        }
    }

    fn process(&mut self, stream: &Stream) {
        let mut newest = None;
        while let Some(buffer) = stream.dequeue_buffer() {
            self.number += 1;
            if newest.replace(buffer).is_some() {
                self.ends.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
        let (Some(mut buffer), Some((mode, color))) = (newest, self.agreed.get()) else { return };
        let mut bytes = self.ends.shelf.take();
        match picture(&mut buffer, mode, self.whole, &mut bytes) {
            Ok(None) => self.ends.shelf.give(bytes),
            Ok(Some(taken)) => {
                self.faults.good();
                let captured = self.stamps.take(taken.pts);
                let frame =
                    Frame { bytes, mode, size: taken.size, color, captured, damage: taken.damage, number: self.number };
                if let Some(old) = self.ends.frames.borrow_mut().push(frame).returned() {
                    self.ends.shelf.give(old.bytes);
                }
            }
            Err(Short) => {
                self.ends.shelf.give(bytes);
                self.ends.dropped.fetch_add(1, Ordering::Relaxed);
                if self.faults.bad() {
                    self.seen.over(unfit("its buffers hold no whole picture"));
                }
            }
        }
    }
}

/// What was in a buffer beside the pixels.
struct Taken {
    size: Size,
    pts: Option<i64>,
    damage: Damage,
}

/// Copies the picture out of `buffer`; `None` where it holds none, as when only the pointer moved.
fn picture(
    buffer: &mut pw::buffer::Buffer<'_>,
    mode: Mode,
    whole: bool,
    out: &mut Vec<u8>,
) -> Result<Option<Taken>, Short> {
    let header = buffer.find_meta::<MetaHeader>().map(|header| (header.pts(), header.flags()));
    if header.is_some_and(|(_, flags)| flags.contains(MetaHeaderFlags::CORRUPTED)) {
        return Err(Short);
    }
    let crop = buffer.find_meta::<MetaVideoCrop>().map(|crop| {
        let (at, size) = (crop.meta_region().position(), crop.meta_region().size());
        ((at.x, at.y), Size::new(size.width, size.height))
    });
    let crop = crop.filter(|(_, size)| size.area() > 0);
    let damage = if whole { Damage::ALL } else { damage(buffer, crop.map(|(at, _)| at)) };
    let mut blocks = [Block { data: &[], stride: 0 }; 3];
    let mut count = 0;
    for (block, data) in blocks.iter_mut().zip(buffer.datas_mut()) {
        *block = mapped(data)?;
        count += 1;
    }
    if blocks.iter().all(|block| block.data.is_empty()) {
        return Ok(None);
    }
    let mut size = mode.size;
    if mode.wire == Wire::Mjpeg {
        let data = blocks[0].data;
        if data.len() > MOST_BYTES {
            return Err(Short);
        }
        out.clear();
        out.extend_from_slice(data);
    } else {
        let part = match crop {
            None => Part::all(mode.size),
            Some(((x, y), size)) => {
                let at = (u32::try_from(x).map_err(|_| Short)?, u32::try_from(y).map_err(|_| Short)?);
                Part::of(mode.size, at, size).ok_or(Short)?
            }
        };
        mode.wire.unpack(part, &blocks[..count], out)?;
        size = part.size;
    }
    // 0 and the least number stand for a time that is not known.
    let pts = header.map(|(pts, _)| pts).filter(|pts| *pts > 0);
    Ok(is_sane(size).then_some(Taken { size, pts, damage }))
}

/// The bytes of `data` that count.
fn mapped(data: &mut Data) -> Result<Block<'_>, Short> {
    if data.as_raw().chunk.is_null() {
        return Err(Short);
    }
    let chunk = data.chunk();
    let (flags, stride) = (chunk.flags(), chunk.stride());
    let (offset, size) = (chunk.offset() as usize, chunk.size() as usize);
    if flags.contains(ChunkFlags::CORRUPTED) {
        return Err(Short);
    }
    let stride = usize::try_from(stride).map_err(|_| Short)?;
    let data: &[u8] = data.data().ok_or(Short)?;
    let end = offset.checked_add(size).ok_or(Short)?;
    Ok(Block { data: data.get(offset..end).ok_or(Short)?, stride })
}

/// What a screen says changed, in pixels of what is left after cropping; all of it where it says nothing.
fn damage(buffer: &pw::buffer::Buffer<'_>, origin: Option<(i32, i32)>) -> Damage {
    let (left, top) = origin.unwrap_or((0, 0));
    let mut damage = Damage::NONE;
    for region in buffer.find_meta::<MetaVideoDamage>().into_iter().flat_map(MetaVideoDamage::iter) {
        let (at, size) = (region.position(), region.size());
        let (x, y) = (i64::from(at.x) - i64::from(left), i64::from(at.y) - i64::from(top));
        // A part that begins outside is taken from the edge on, in full: too much is no fault.
        let edge = |value: i64| u32::try_from(value.max(0)).unwrap_or(u32::MAX);
        damage.add(Rect { x: edge(x), y: edge(y), width: size.width, height: size.height });
    }
    if damage.is_none() { Damage::ALL } else { damage }
}
