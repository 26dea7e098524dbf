//! The encoder object: one picture in, one temporal unit out, before the next is looked at.
//!
//! A frame is planned, decided, reconstructed, filtered and put into words within `submit`; `poll` hands it out. The frame
//! before is in slot 0, a long-term reference in slot 1; key frames fill every slot.

use super::bits::BitWriter;
use super::decisions::Decisions;
use super::entropy::cdf::Cdfs;
use super::filters;
use super::frame::Frame;
use super::frame_header::FrameHeader;
use super::kernel::cost::Costs;
use super::kernel::decide::{Decide, View};
use super::kernel::merge;
use super::kernel::pyramid::Pyramid;
use super::kernel::quantize::{DeadZone, Quantizer, ac_q};
use super::kernel::reconstruct::{Coder, Input, References};
use super::kernel::search::Motion;
use super::kernel::subpel::Fine;
use super::kernel::{cdef, deblock};
use super::layout::{Layout, Tiles};
use super::obu;
use super::plan::{self, Plan};
use super::rate::{Kind, LIMITS, Rate};
use super::sequence::Sequence;
use super::slots::Slots;
use super::syntax::tile::MOST_BYTES;
use super::threads::Threads;
use super::words::Words;
use crate::candidates::{Config, Target, check_bitrate, check_framerate};
use crate::{CodecError, EncodedInfo, EncoderInfo, FrameInput, MAX_DEPENDENCIES, Picture, Size, VideoEncoder};

/// Smallest side of a picture; capture pads below it.
pub const MIN_SIDE: u32 = 16;
/// Widest picture.
pub const MAX_WIDTH: u32 = 4096;
/// Highest picture.
pub const MAX_HEIGHT: u32 = 2176;

/// The real-time encoder on the CPU.
pub struct Encoder {
    config: Config,
    sequence: Sequence,
    slots: Slots,
    rate: Option<Rate>,
    work: Work,
    threads: Threads,
    key_wanted: bool,
    last_in: Option<u64>,
    last_key: Option<u64>,
    dropped: u64,
    /// The frame that `poll` hands out next.
    ready: Option<EncodedInfo>,
    unit: Vec<u8>,
    flushed: bool,
}

/// What making a frame needs beside the slots; made anew when the size changes.
struct Work {
    source: Frame,
    pyramid: Pyramid,
    motion: Motion,
    fine: Fine,
    decide: Decide,
    decisions: Decisions,
    coder: Coder,
    /// The frame between deblocking and CDEF.
    deblocked: Frame,
    words: Words,
    header: BitWriter,
    defaults: Box<Cdfs>,
}

impl Work {
    fn new(layout: &Layout) -> Self {
        Self {
            source: Frame::new(layout),
            pyramid: Pyramid::default(),
            motion: Motion::default(),
            fine: Fine::default(),
            decide: Decide::default(),
            decisions: Decisions::new(layout),
            coder: Coder::default(),
            deblocked: Frame::new(layout),
            words: Words::new(),
            header: BitWriter::new(),
            defaults: Box::new(Cdfs::default_for(1)),
        }
    }
}

impl Encoder {
    /// Opens an encoder whose pictures are at most of the size configured. Errors name what is wrong. There is one speed,
    /// and the number of tiles follows from the size.
    pub fn open(config: Config) -> Result<Self, CodecError> {
        config.check(NAME)?;
        check_size(config.size, None)?;
        let layout = Layout::new(config.size, tiles(config.size));
        Ok(Self {
            sequence: Sequence { ceiling: config.size, color: config.color, fps: config.fps, temporal_layers: 1 },
            slots: Slots::default(),
            rate: match config.target {
                Target::Bitrate(bits) => Some(Rate::new(bits, rate(config.fps))),
                Target::Quantizer(_) => None,
            },
            work: Work::new(&layout),
            threads: Threads::new(config.threads),
            key_wanted: true,
            last_in: None,
            last_key: None,
            dropped: 0,
            ready: None,
            unit: Vec::with_capacity(config.size.area() * MOST_BYTES),
            flushed: false,
            config,
        })
    }

    /// `base_q_idx` of the frame made last.
    pub fn quantizer(&self) -> u8 {
        self.work.decisions.quantizer
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

    /// Makes a frame and leaves its temporal unit in `self.unit`.
    fn encode(&mut self, picture: &Picture, plan: &Plan) -> EncodedInfo {
        let layout = Layout::new(plan.size, tiles(plan.size));
        if *self.work.decisions.layout() != layout {
            self.work = Work::new(&layout);
        }
        let fresh = self.slots.free(&layout);
        let sizes = self.slots.sizes();
        let named = plan.references.map_or([LAST, GOLDEN], |references| [references.last, references.golden]);
        let (slot, [last, golden]) = self.slots.split(&fresh, named);
        let (last, golden) = if plan.is_key() { (None, None) } else { (last, golden) };
        let Work { source, pyramid, motion, fine, decide, decisions, coder, deblocked, words, header, defaults } =
            &mut self.work;

        let threads = &self.threads;
        source.load(picture);
        let (kind, cells) = (if plan.is_key() { Kind::Key } else { Kind::Inter }, layout.cells());
        let quantizer = match (self.config.target, &mut self.rate) {
            (Target::Quantizer(index), _) => index.max(1),
            (_, Some(rate)) => {
                if plan.is_key() {
                    rate.look(&source.planes[0]);
                }
                rate.quantizer(kind, cells, plan.quantizer)
            }
            (_, None) => plan.quantizer.1,
        };
        decisions.quantizer = quantizer;
        decisions.deblock = filters::deblock(plan.is_key(), ac_q(quantizer));
        decisions.cdef = filters::cdef(plan.is_key(), quantizer, ac_q(quantizer));
        let costs = Costs::new(quantizer);

        if let Some(last) = last {
            pyramid.load(&source.planes[0]);
            motion.search(threads, &layout, pyramid, &last.pyramid, costs.vector_bit);
            fine.refine(threads, &layout, &pyramid.full, &last.pyramid.full, motion, costs.vector_bit);
        }
        let far = golden.filter(|golden| last.is_some_and(|last| last.number != golden.number));
        let view =
            View { source, last: last.map(|last| (&last.frame, &*fine)), golden: far.map(|golden| &golden.frame) };
        decide.run(threads, view, &costs, decisions);
        let references = last.zip(golden).map(|(last, golden)| References { last: &last.frame, golden: &golden.frame });
        let quantizer_steps = Quantizer::new(quantizer, DC_ZONE, AC_ZONE);
        coder.frame(&Input { source, references, quantizer: &quantizer_steps }, decisions, deblocked);
        merge::frame(decisions);
        deblock::frame(decisions, deblocked);
        cdef::frame(decisions, deblocked, &mut slot.frame);
        slot.pyramid.load(&slot.frame.planes[0]);

        self.unit.clear();
        obu::delimiter(&mut self.unit);
        if plan.is_key() {
            self.sequence.write(header, &mut self.unit);
        }
        let start =
            match (plan.references, last, golden) {
                (Some(plan::References { cdfs: Some(from), last: name, .. }), Some(last), Some(golden)) => {
                    if from == name { &last.cdfs } else { &golden.cdfs }
                }
                _ => {
                    **defaults = Cdfs::default_for(quantizer);
                    defaults
                }
            };
        let frame = FrameHeader { sequence: &self.sequence, plan, slots: &sizes };
        words.write(&frame, decisions, start, &mut slot.cdfs, &mut self.unit);
        if let Some(rate) = &mut self.rate {
            rate.encoded(kind, cells, quantizer, self.unit.len() as u64 * 8);
        }

        let mut info = EncodedInfo {
            frame: plan.number,
            keyframe: plan.is_key(),
            spatial: plan.spatial,
            temporal: plan.temporal,
            dependencies: [0; MAX_DEPENDENCIES],
            dependency_count: 0,
        };
        for needed in [last, far].into_iter().flatten() {
            info.dependencies[info.dependency_count as usize] = (plan.number - needed.number) as u16;
            info.dependency_count += 1;
        }
        self.slots.commit(fresh, plan);
        info
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
        let refuse = |what: String, hint| Err(CodecError::Config { codec: NAME, what, hint });
        check_size(picture.size(), Some(self.config.size))?;
        if picture.color != self.config.color {
            let what = format!("a picture in {:?} came where {:?} was agreed", picture.color, self.config.color);
            return refuse(what, "convert it first, or open a new encoder");
        }
        if self.flushed {
            return refuse("a picture came after the flush".to_owned(), "open a new encoder");
        }
        if self.ready.is_some() {
            return refuse("the frame before was not taken".to_owned(), "poll after each picture");
        }
        if self.last_in.is_some_and(|last| input.frame <= last) {
            return refuse(format!("frame number {} does not follow", input.frame), "let the numbers rise");
        }
        let number = input.frame;
        let resized = self.slots.get(LAST).is_some_and(|last| last.frame.size != picture.size());
        // A frame further back than 16 bits can say is out of reach; the long-term reference is never the later one.
        let far = self.slots.get(GOLDEN).is_some_and(|golden| number - golden.number > u64::from(u16::MAX));
        let interval = u64::from(self.config.keyframe_interval);
        let due = interval > 0 && self.last_key.is_some_and(|key| number - key >= interval);
        let key = input.keyframe || self.key_wanted || resized || far || due;
        self.last_in = Some(number);
        if !key && self.rate.as_mut().is_some_and(Rate::skip) {
            self.dropped += 1;
            return Ok(());
        }
        let plan = self.plan(number, picture.size(), key);
        self.ready = Some(self.encode(picture, &plan));
        if key {
            (self.key_wanted, self.last_key) = (false, Some(number));
        }
        Ok(())
    }

    fn poll(&mut self, out: &mut Vec<u8>) -> Result<Option<EncodedInfo>, CodecError> {
        let ready = self.ready.take();
        if ready.is_some() {
            out.extend_from_slice(&self.unit);
        }
        Ok(ready)
    }

    fn reconstruction(&mut self, out: &mut Picture) -> bool {
        let Some(last) = self.slots.get(LAST) else { return false };
        out.color = self.config.color;
        last.frame.store(out);
        true
    }

    fn request_keyframe(&mut self) {
        self.key_wanted = true;
    }

    fn set_bitrate(&mut self, bits_per_second: u32) -> Result<(), CodecError> {
        check_bitrate(NAME, bits_per_second)?;
        self.config.target = Target::Bitrate(bits_per_second);
        let fps = rate(self.config.fps);
        match &mut self.rate {
            Some(rate) => rate.reconfigure(bits_per_second, fps),
            None => self.rate = Some(Rate::new(bits_per_second, fps)),
        }
        Ok(())
    }

    fn set_framerate(&mut self, fps: (u32, u32)) -> Result<(), CodecError> {
        check_framerate(NAME, fps)?;
        self.config.fps = fps;
        if let (Target::Bitrate(bits), Some(control)) = (self.config.target, &mut self.rate) {
            control.reconfigure(bits, rate(fps));
        }
        Ok(())
    }

    fn check_size(&self, size: Size) -> Result<(), CodecError> {
        check_size(size, Some(self.config.size))
    }

    fn flush(&mut self) -> Result<(), CodecError> {
        self.flushed = true;
        Ok(())
    }
}

const NAME: &str = "cpu";

/// Dead zones of the quantizer.
const DC_ZONE: DeadZone = DeadZone { zero_bin: 72, rounding: 56 };
const AC_ZONE: DeadZone = DeadZone { zero_bin: 84, rounding: 48 };

/// Slot of the frame before.
const LAST: u8 = 0;
/// Slot of the long-term reference.
const GOLDEN: u8 = 1;
/// Frames after which the long-term reference is renewed.
const GOLDEN_INTERVAL: u64 = 48;

fn rate((num, den): (u32, u32)) -> f64 {
    f64::from(num) / f64::from(den)
}

/// One tile to 640×360, two at 1280×720, four above.
fn tiles(size: Size) -> Tiles {
    match size.area() {
        0..=409_600 => Tiles::default(),
        409_601..=1_048_576 => Tiles { cols_log2: 1, rows_log2: 0 },
        _ => Tiles { cols_log2: 1, rows_log2: 1 },
    }
}

/// Refuses what is too small, too large, or above the ceiling that the session was opened with.
fn check_size(size: Size, ceiling: Option<Size>) -> Result<(), CodecError> {
    let refuse = |what: String, hint| Err(CodecError::Config { codec: NAME, what, hint });
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
