//! The encoder object: one picture in, one temporal unit out, before the next is looked at.
//!
//! A frame is planned in `submit` and handed to an arm, which decides and reconstructs it: the GPU, or its twin on the
//! CPU. `poll` waits for the decisions, puts them into words and hands these out. The frame before is in slot 0, a
//! long-term reference in slot 1; key frames fill every slot.
//!
//! Where the GPU fails, the twin takes over with the references as they were: the stream goes on without a key frame.

use std::sync::Arc;

use conclave_shaders::{DeviceError, Gpu};

use super::bits::BitWriter;
use super::decisions::Decisions;
use super::entropy::cdf::Cdfs;
use super::filters;
use super::frame_header::FrameHeader;
use super::gpu::{Context, Input, Session, Traffic};
use super::kernel::quantize::ac_q;
use super::layout::{Layout, Tiles};
use super::obu;
use super::plan::{self, Plan};
use super::rate::{Kind, LIMITS, Rate, roughness};
use super::rest::{Rest, Set};
use super::sequence::Sequence;
use super::slots::{Fresh, Slots};
use super::syntax::tile::MOST_BYTES;
use super::twin::{Job, Twin};
use super::words::Words;
use crate::candidates::{Config, Target, check_bitrate, check_framerate};
use crate::{
    CodecError, EncodedInfo, EncoderInfo, FrameInput, GpuPicture, MAX_DEPENDENCIES, Picture, Plane, Rect, Size,
    VideoEncoder,
};

/// Smallest side of a picture; capture pads below it.
pub const MIN_SIDE: u32 = 16;
/// Widest picture.
pub const MAX_WIDTH: u32 = 4096;
/// Highest picture.
pub const MAX_HEIGHT: u32 = 2176;

/// The real-time encoder, on the GPU or the CPU.
pub struct Encoder {
    name: &'static str,
    config: Config,
    sequence: Sequence,
    slots: Slots,
    rate: Option<Rate>,
    rest: Rest,
    /// What was said to differ in the picture submitted next, if anything was.
    damage: Vec<Rect>,
    told: bool,
    arm: Arm,
    /// Why the GPU was left, and what it had moved until then.
    left: Option<(String, Traffic)>,
    decisions: Decisions,
    words: Words,
    header: BitWriter,
    defaults: Box<Cdfs>,
    key_wanted: bool,
    last_in: Option<u64>,
    last_key: Option<u64>,
    dropped: u64,
    /// The frame that `poll` hands out next.
    pending: Option<Pending>,
    /// The picture after it, where it was submitted ahead.
    ahead: Option<Ahead>,
    /// Memory for pictures to be kept.
    spare: Vec<Picture>,
    unit: Vec<u8>,
    flushed: bool,
}

/// Who makes decisions and references.
enum Arm {
    Twin(Box<Twin>),
    Gpu(Box<Session>),
}

/// A frame on its way through the arm.
struct Pending {
    plan: Plan,
    job: Job,
    fresh: Fresh,
    /// Kept until the GPU has made the frame, for the twin if it does not; `None` where it lay on the GPU.
    picture: Option<Picture>,
}

/// A picture that the GPU has begun with while the frame before was not polled.
struct Ahead {
    input: FrameInput,
    /// `None` where it lay on the GPU.
    picture: Option<Picture>,
    size: Size,
    changed: Set,
}

impl Encoder {
    /// Opens an encoder on the CPU, whose pictures are at most of the size configured. Errors name what is wrong. There
    /// is one speed; a size has its number of tiles, unless more are asked for.
    pub fn open(config: Config) -> Result<Self, CodecError> {
        check(&config, "cpu")?;
        let arm = Arm::Twin(Box::new(Twin::new(&ceiling(&config), config.threads)));
        Ok(Self::with("cpu", config, arm))
    }

    /// The same on a GPU, which may serve any number of encoders; it writes the same bytes.
    ///
    /// # Errors
    /// The configuration is wrong, or the GPU has not the memory.
    pub fn open_on(context: &Arc<Context>, config: Config) -> Result<Self, CodecError> {
        check(&config, "gpu")?;
        let failed = |error: DeviceError| CodecError::Device { codec: "gpu", error };
        let session = Session::open(context, &ceiling(&config)).map_err(failed)?;
        Ok(Self::with("gpu", config, Arm::Gpu(Box::new(session))))
    }

    fn with(name: &'static str, config: Config, arm: Arm) -> Self {
        Self {
            name,
            sequence: Sequence { ceiling: config.size, color: config.color, fps: config.fps, temporal_layers: 1 },
            slots: Slots::default(),
            rate: match config.target {
                Target::Bitrate(bits) => Some(Rate::new(bits, rate(config.fps))),
                Target::Quantizer(_) => None,
            },
            rest: Rest::default(),
            damage: Vec::with_capacity(16),
            told: false,
            arm,
            left: None,
            decisions: Decisions::new(&ceiling(&config)),
            words: Words::new(),
            header: BitWriter::new(),
            defaults: Box::new(Cdfs::default_for(1)),
            key_wanted: true,
            last_in: None,
            last_key: None,
            dropped: 0,
            pending: None,
            ahead: None,
            spare: Vec::with_capacity(2),
            unit: Vec::with_capacity(config.size.area() * MOST_BYTES),
            flushed: false,
            config,
        }
    }

    /// `base_q_idx` of the frame made last.
    pub fn quantizer(&self) -> u8 {
        self.decisions.quantizer
    }

    /// What the GPU has moved for this encoder; `None` for one that was opened on the CPU.
    pub fn traffic(&self) -> Option<Traffic> {
        match &self.arm {
            Arm::Gpu(session) => Some(session.traffic()),
            Arm::Twin(_) => self.left.as_ref().map(|(_, traffic)| *traffic),
        }
    }

    /// Everything that the last frame is, before it is words.
    pub fn decisions(&self) -> &Decisions {
        &self.decisions
    }

    /// Frames that were left out: by rate control, or with a GPU that was lost.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn plan(&self, number: u64, size: Size, key: bool) -> Plan {
        let mut plan = Plan::key(number, size);
        if self.rate.is_some() {
            plan.quantizer = LIMITS;
        }
        if key {
            return plan;
        }
        plan.references = Some(plan::References { last: LAST, golden: GOLDEN, cdfs: Some(LAST) });
        let renew = self.slots.get(GOLDEN).is_none_or(|golden| number.wrapping_sub(golden.number) >= GOLDEN_INTERVAL);
        plan.refresh = if renew { 1 << LAST | 1 << GOLDEN } else { 1 << LAST };
        plan
    }

    /// Hands a picture to the arm.
    fn start(&mut self, input: Input<'_>, plan: Plan, changed: &Set) {
        let layout = Layout::new(plan.size, tiles(plan.size, self.config.tiles));
        if *self.decisions.layout() != layout {
            self.decisions = Decisions::new(&layout);
        }
        let fresh = self.slots.free(plan.size);
        let key = plan.is_key();
        let looks = key && self.rate.is_some();
        let luma = input.host().filter(|_| looks).map(|picture| picture.plane(Plane::Y));
        let mut rough = luma.map(|luma| roughness(luma, plan.size.width as usize));
        let mut begun = Ok(());
        if let Arm::Gpu(session) = &mut self.arm {
            begun = session.load(input);
            if begun.is_ok() && looks && rough.is_none() {
                begun = session.roughness(&layout).map(|found| rough = Some(found));
            }
        }
        self.settle(&plan, &layout, rough);
        let still = if key {
            self.rest.wake();
            Set::default()
        } else {
            self.rest.frame(plan.number, &layout, changed, self.decisions.quantizer)
        };
        let number = |slot: u8| self.slots.get(slot).map(|slot| slot.number);
        let job = Job {
            layout,
            references: plan
                .references
                .and_then(|named| Some([self.slots.buffer(named.last)?, self.slots.buffer(named.golden)?])),
            apart: plan.references.is_some_and(|named| number(named.last) != number(named.golden)),
            fresh: fresh.buffer(),
            still,
        };
        if let Arm::Gpu(session) = &mut self.arm
            && let Err(error) = begun.and_then(|()| session.start(&job, &self.decisions))
        {
            self.leave(&error);
        }
        let mut picture = None;
        match (&mut self.arm, input.host()) {
            // Who submitted ahead keeps the picture already.
            (Arm::Gpu(_), Some(host)) if !matches!(input, Input::Prepared(_)) => picture = Some(self.keep(host)),
            (Arm::Gpu(_), _) => {}
            (Arm::Twin(twin), Some(host)) if twin.has(&job) => twin.make(host, &job, &mut self.decisions),
            _ => return self.lose(key),
        }
        self.pending = Some(Pending { plan, job, fresh, picture });
    }

    /// A copy of a picture, in memory that was used before.
    fn keep(&mut self, picture: &Picture) -> Picture {
        let Some(mut kept) = self.spare.pop() else { return picture.clone() };
        if kept.size() != picture.size() {
            kept.reset(picture.size(), picture.color);
        }
        kept.color = picture.color;
        kept.data_mut().copy_from_slice(picture.data());
        kept
    }

    /// Quantizer and filter levels of a frame, whose picture is so rough if it is a key frame.
    fn settle(&mut self, plan: &Plan, layout: &Layout, rough: Option<f64>) {
        let key = plan.is_key();
        let quantizer = match (self.config.target, &mut self.rate) {
            (Target::Quantizer(index), _) => index.max(1),
            (_, Some(rate)) => {
                if let Some(rough) = rough {
                    rate.look(rough);
                }
                rate.quantizer(kind(plan), layout.cells(), plan.quantizer)
            }
            (_, None) => plan.quantizer.1,
        };
        self.decisions.quantizer = quantizer;
        self.decisions.deblock = filters::deblock(key, ac_q(quantizer));
        self.decisions.cdef = filters::cdef(key, quantizer, ac_q(quantizer));
    }

    /// Waits for the decisions of a frame and puts them into words. `None` where they were lost with the GPU.
    fn finish(&mut self, Pending { plan, job, fresh, picture }: Pending) -> Option<EncodedInfo> {
        if let Arm::Gpu(session) = &mut self.arm
            && let Err(error) = session.finish(&mut self.decisions)
        {
            self.leave(&error);
            match (&mut self.arm, &picture) {
                (Arm::Twin(twin), Some(picture)) if twin.has(&job) => twin.make(picture, &job, &mut self.decisions),
                _ => {
                    self.lose(plan.is_key());
                    return None;
                }
            }
        }
        self.spare.extend(picture);
        self.unit.clear();
        obu::delimiter(&mut self.unit);
        if plan.is_key() {
            self.sequence.write(&mut self.header, &mut self.unit);
        }
        let sizes = self.slots.sizes();
        let named = plan.references.map_or([LAST, GOLDEN], |references| [references.last, references.golden]);
        let (slot, [last, golden]) = self.slots.split(&fresh, named);
        let (last, golden) = if plan.is_key() { (None, None) } else { (last, golden) };
        let start =
            match (plan.references, last, golden) {
                (Some(plan::References { cdfs: Some(from), last: name, .. }), Some(last), Some(golden)) => {
                    if from == name { &last.cdfs } else { &golden.cdfs }
                }
                _ => {
                    *self.defaults = Cdfs::default_for(self.decisions.quantizer);
                    &self.defaults
                }
            };
        let frame = FrameHeader { sequence: &self.sequence, plan: &plan, slots: &sizes };
        self.words.write(&frame, &self.decisions, start, &mut slot.cdfs, &mut self.unit);
        if let Some(rate) = &mut self.rate {
            let bits = self.unit.len() as u64 * 8;
            rate.encoded(kind(&plan), job.layout.cells(), self.decisions.quantizer, bits);
        }
        let mut info = EncodedInfo {
            frame: plan.number,
            keyframe: plan.is_key(),
            spatial: plan.spatial,
            temporal: plan.temporal,
            dependencies: [0; MAX_DEPENDENCIES],
            dependency_count: 0,
            quantizer: self.decisions.quantizer,
        };
        for needed in [last, golden.filter(|_| job.apart)].into_iter().flatten() {
            info.dependencies[info.dependency_count as usize] = (plan.number - needed.number) as u16;
            info.dependency_count += 1;
        }
        self.slots.commit(fresh, &plan);
        if let Arm::Gpu(session) = &mut self.arm {
            session.commit(plan.number, &job, &self.decisions, self.slots.live());
        }
        Some(info)
    }

    /// Goes over to the twin, with the references that the GPU had.
    fn leave(&mut self, error: &DeviceError) {
        let mut twin = Box::new(Twin::new(&ceiling(&self.config), self.config.threads));
        if let Arm::Gpu(session) = &mut self.arm {
            session.leave(&mut twin);
            tracing::warn!("encoding on the CPU from here on: {error}");
            self.left = Some((format!("cpu, as {} failed: {error}", session.device()), session.traffic()));
            self.arm = Arm::Twin(twin);
        }
    }

    /// A frame was lost with the GPU. Where it was a key frame, or its references are lost too, a key frame follows.
    fn lose(&mut self, key: bool) {
        self.dropped += 1;
        self.rest.wake();
        let Arm::Twin(twin) = &self.arm else { return };
        self.key_wanted |= key || self.slots.live().any(|(buffer, _)| twin.frame(buffer).is_none());
    }

    /// Refuses a picture that does not follow or does not fit; else makes it a frame, or begins with it ahead of its time.
    fn take(&mut self, source: Input<'_>, input: FrameInput) -> Result<(), CodecError> {
        let (size, color) = match source {
            Input::Gpu(picture) => (picture.size, picture.color),
            Input::Host(picture) | Input::Prepared(Some(picture)) => (picture.size(), picture.color),
            Input::Prepared(None) => return Ok(()),
        };
        let refuse = |what: String, hint| Err(CodecError::Config { codec: self.name, what, hint });
        check_size(self.name, size, Some(self.config.size))?;
        if color != self.config.color {
            let what = format!("a picture in {:?} came where {:?} was agreed", color, self.config.color);
            return refuse(what, "convert it first, or open a new encoder");
        }
        if matches!((source, &self.arm, &self.left), (Input::Gpu(_), Arm::Twin(_), None)) {
            return refuse("the picture lies on a GPU".to_owned(), "read it back first");
        }
        if self.flushed {
            return refuse("a picture came after the flush".to_owned(), "open a new encoder");
        }
        if self.last_in.is_some_and(|last| input.frame <= last) {
            return refuse(format!("frame number {} does not follow", input.frame), "let the numbers rise");
        }
        // What was said holds for this picture alone.
        let told = std::mem::take(&mut self.told);
        let changed = if told { Set::touched(&self.damage, size) } else { Set::ALL };
        if let Some(pending) = &self.pending {
            let (same, layout) = (pending.plan.size == size, pending.job.layout);
            let Arm::Gpu(session) = &mut self.arm else {
                return refuse("the frame before was not taken".to_owned(), "poll after each picture");
            };
            if self.ahead.is_some() || !same {
                return refuse("the frame before was not taken".to_owned(), "poll before another picture");
            }
            // A device that fails here fails again where the frame is started.
            let _ = session.prepare(source, &layout);
            let picture = source.host().map(|picture| self.keep(picture));
            self.ahead = Some(Ahead { input, picture, size, changed });
        } else {
            self.begin(source, input, size, &changed);
        }
        self.last_in = Some(input.frame);
        Ok(())
    }

    /// Makes a picture a frame, or leaves it out to hold the rate.
    fn begin(&mut self, source: Input<'_>, input: FrameInput, size: Size, changed: &Set) {
        let number = input.frame;
        let resized = self.slots.get(LAST).is_some_and(|last| last.size != size);
        // A frame further back than 16 bits can say is out of reach; the long-term reference is never the later one.
        let far = self.slots.get(GOLDEN).is_some_and(|golden| number - golden.number > u64::from(u16::MAX));
        let interval = u64::from(self.config.keyframe_interval);
        let due = interval > 0 && self.last_key.is_some_and(|key| number - key >= interval);
        let key = input.keyframe || self.key_wanted || resized || far || due;
        if !key && self.rate.as_mut().is_some_and(Rate::skip) {
            self.dropped += 1;
            self.rest.left_out(changed);
            return;
        }
        let plan = self.plan(number, size, key);
        if key {
            (self.key_wanted, self.last_key) = (false, Some(number));
        }
        self.start(source, plan, changed);
    }
}

impl VideoEncoder for Encoder {
    fn info(&self) -> EncoderInfo {
        let device = match &self.arm {
            Arm::Gpu(session) => session.device().to_owned(),
            Arm::Twin(_) => self.left.as_ref().map_or_else(|| "cpu".to_owned(), |(why, _)| why.clone()),
        };
        EncoderInfo { name: self.name, device, max_lag: 0 }
    }

    fn max_lag(&self) -> u32 {
        0
    }

    fn submit(&mut self, picture: &Picture, input: FrameInput) -> Result<(), CodecError> {
        self.take(Input::Host(picture), input)
    }

    fn damaged(&mut self, parts: &[Rect]) {
        self.damage.clear();
        self.damage.extend_from_slice(parts);
        self.told = true;
    }

    fn gpu(&self) -> Option<&Arc<Gpu>> {
        match &self.arm {
            Arm::Gpu(session) => Some(session.gpu()),
            Arm::Twin(_) => None,
        }
    }

    fn submit_gpu(&mut self, picture: &GpuPicture<'_>, input: FrameInput) -> Result<(), CodecError> {
        self.take(Input::Gpu(picture), input)
    }

    fn gpu_micros(&self) -> Option<u64> {
        match &self.arm {
            Arm::Gpu(session) => session.micros(),
            Arm::Twin(_) => None,
        }
    }

    fn poll(&mut self, out: &mut Vec<u8>) -> Result<Option<EncodedInfo>, CodecError> {
        let Some(pending) = self.pending.take() else { return Ok(None) };
        let info = self.finish(pending);
        if info.is_some() {
            out.extend_from_slice(&self.unit);
        }
        if let Some(Ahead { input, picture, size, changed }) = self.ahead.take() {
            self.begin(Input::Prepared(picture.as_ref()), input, size, &changed);
            match &mut self.pending {
                Some(pending) => pending.picture = picture,
                None => self.spare.extend(picture),
            }
        }
        Ok(info)
    }

    fn reconstruction(&mut self, out: &mut Picture) -> bool {
        let Some(buffer) = self.slots.buffer(LAST) else { return false };
        out.color = self.config.color;
        match &mut self.arm {
            Arm::Twin(twin) => match twin.frame(buffer) {
                Some(frame) => frame.store(out),
                None => return false,
            },
            Arm::Gpu(session) => match session.frame(buffer) {
                Ok(frame) => frame.store(out),
                Err(_) => return false,
            },
        }
        true
    }

    fn request_keyframe(&mut self) {
        self.key_wanted = true;
    }

    fn set_bitrate(&mut self, bits_per_second: u32) -> Result<(), CodecError> {
        check_bitrate(self.name, bits_per_second)?;
        self.config.target = Target::Bitrate(bits_per_second);
        let fps = rate(self.config.fps);
        match &mut self.rate {
            Some(rate) => rate.reconfigure(bits_per_second, fps),
            None => self.rate = Some(Rate::new(bits_per_second, fps)),
        }
        Ok(())
    }

    fn set_framerate(&mut self, fps: (u32, u32)) -> Result<(), CodecError> {
        check_framerate(self.name, fps)?;
        self.config.fps = fps;
        if let (Target::Bitrate(bits), Some(control)) = (self.config.target, &mut self.rate) {
            control.reconfigure(bits, rate(fps));
        }
        Ok(())
    }

    fn check_size(&self, size: Size) -> Result<(), CodecError> {
        check_size(self.name, size, Some(self.config.size))
    }

    fn flush(&mut self) -> Result<(), CodecError> {
        self.flushed = true;
        Ok(())
    }
}

/// Slot of the frame before.
const LAST: u8 = 0;
/// Slot of the long-term reference.
const GOLDEN: u8 = 1;
/// Frames after which the long-term reference is renewed.
const GOLDEN_INTERVAL: u64 = 48;

fn rate((num, den): (u32, u32)) -> f64 {
    f64::from(num) / f64::from(den)
}

/// One tile to 640×360, two at 1280×720, four above; more where more are asked for.
fn tiles(size: Size, asked: usize) -> Tiles {
    let usual = match size.area() {
        0..=409_600 => 0,
        409_601..=1_048_576 => 1,
        _ => 2,
    };
    let log2 = usual.max(asked.max(1).ilog2() as u8);
    Tiles { cols_log2: log2.div_ceil(2), rows_log2: log2 / 2 }
}

fn kind(plan: &Plan) -> Kind {
    if plan.is_key() { Kind::Key } else { Kind::Inter }
}

/// The layout of the greatest frame.
fn ceiling(config: &Config) -> Layout {
    Layout::new(config.size, tiles(config.size, config.tiles))
}

/// Refuses what the encoder cannot do, in the name of `name`.
pub(crate) fn check(config: &Config, name: &'static str) -> Result<(), CodecError> {
    config.check(name)?;
    check_size(name, config.size, None)
}

/// Refuses what is too small, too large, or above the ceiling that the session was opened with.
fn check_size(codec: &'static str, size: Size, ceiling: Option<Size>) -> Result<(), CodecError> {
    let refuse = |what: String, hint| Err(CodecError::Config { codec, what, hint });
    if size.width < MIN_SIDE || size.height < MIN_SIDE {
        return refuse(format!("a picture of {size} is too small"), "take at least 16x16, or pad it");
    }
    if size.width > MAX_WIDTH || size.height > MAX_HEIGHT {
        return refuse(format!("a picture of {size} is too large"), "take at most 4096x2176, or scale it down");
    }
    match ceiling {
        Some(ceiling) if size.width > ceiling.width || size.height > ceiling.height => {
            let what = format!("a picture of {size} is above the {ceiling} that was agreed");
            refuse(what, "scale it down, or open a new encoder")
        }
        _ => Ok(()),
    }
}
