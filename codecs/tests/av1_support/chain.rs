//! Chains of frames of random decisions: put into words by the encoder, reconstructed by its kernels, judged.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use conclave_codecs::av1::bits::BitWriter;
use conclave_codecs::av1::decisions::Decisions;
use conclave_codecs::av1::entropy::cdf::Cdfs;
use conclave_codecs::av1::frame::Frame;
use conclave_codecs::av1::frame_header::FrameHeader;
use conclave_codecs::av1::kernel::{cdef, deblock, reconstruct};
use conclave_codecs::av1::layout::{Layout, Tiles};
use conclave_codecs::av1::obu;
use conclave_codecs::av1::plan::{Plan, References, SLOTS};
use conclave_codecs::av1::sequence::{MAX_TEMPORAL_LAYERS, Sequence};
use conclave_codecs::av1::words::Words;
use conclave_codecs::{Color, Matrix, Picture, Range, Size};

use super::draw::{Draw, Tool, Tools};
use super::judge::{self, Failure, InProcess, Stream};

/// Sizes that every run sees.
pub const SIZES: [Size; 9] = [
    Size::new(16, 16),
    Size::new(24, 40),
    Size::new(64, 64),
    Size::new(66, 50),
    Size::new(130, 98),
    Size::new(176, 144),
    Size::new(322, 182),
    Size::new(640, 360),
    Size::new(1280, 720),
];

/// One chain, and all there is to know to make it again.
#[derive(Clone, Copy, Debug)]
pub struct Chain {
    pub seed: u64,
    pub ceiling: Size,
    pub frames: usize,
    pub tools: Tools,
}

impl Chain {
    /// A chain of a random size and length, of about `samples` luma samples at most.
    pub fn random(seed: u64, samples: usize) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let odd = Size::new(random.u32(16..=260), random.u32(16..=200));
        let ceiling = if random.u8(..3) == 0 { odd } else { SIZES[random.usize(..SIZES.len())] };
        let longest = (samples / ceiling.area()).clamp(3, 300);
        let frames = random.usize(3..=longest);
        // Each tool is left out now and then: some paths open only where another is closed all along.
        let absent = Tool::ALL.into_iter().filter(|_| random.u8(..12) == 0);
        Self { seed, ceiling, frames, tools: absent.fold(Tools::ALL, Tools::without) }
    }

    /// Makes the chain and asks every judge. A panic is a failure like any other.
    pub fn run(&self) -> Result<Report, Failure> {
        let mut making = Making::new(self);
        let mut judge = InProcess::new();
        for frame in 0..self.frames {
            catch_unwind(AssertUnwindSafe(|| making.frame())).map_err(|_| Failure::Panicked { frame })?;
            let stream = &making.stream;
            let (unit, ours) = stream.units.last().zip(stream.pictures.last()).expect("one was made");
            judge.check(unit, ours)?;
        }
        making.report.programs = judge::programs(&making.stream)?;
        Ok(making.report)
    }

    /// Makes the chain up to and with `frame` and gives the stream and the frame's decisions.
    pub fn until(&self, frame: usize) -> (Stream, Decisions) {
        let mut making = Making::new(self);
        (0..=frame).for_each(|_| making.frame());
        (making.stream, making.decisions)
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--seed {} --size {} --frames {}", self.seed, self.ceiling, self.frames)?;
        match self.tools.missing() {
            missing if missing.is_empty() => Ok(()),
            missing => write!(f, " --without {missing}"),
        }
    }
}

/// What went through the judges.
#[derive(Clone, Copy, Debug, Default)]
pub struct Report {
    pub frames: usize,
    pub bytes: usize,
    pub blocks: usize,
    pub levels: usize,
    /// Luma samples.
    pub samples: usize,
    /// Luma samples that are neither black nor white and differ from the one before: these show what went wrong.
    pub telling: usize,
    /// Decoders run as programs.
    pub programs: usize,
}

impl Report {
    pub fn add(&mut self, other: &Self) {
        self.frames += other.frames;
        self.bytes += other.bytes;
        self.blocks += other.blocks;
        self.levels += other.levels;
        self.samples += other.samples;
        self.telling += other.telling;
        self.programs = self.programs.max(other.programs);
    }
}

/// A chain in the making: what an encoder keeps from frame to frame.
struct Making {
    random: fastrand::Rng,
    draw: Draw,
    tools: Tools,
    sequence: Sequence,
    words: Words,
    slots: [Slot; SLOTS],
    sizes: [Size; SLOTS],
    newest: u8,
    decisions: Decisions,
    stream: Stream,
    report: Report,
}

#[derive(Clone)]
struct Slot {
    frame: Rc<Frame>,
    cdfs: Rc<Cdfs>,
}

impl Making {
    fn new(chain: &Chain) -> Self {
        let mut random = fastrand::Rng::with_seed(chain.seed ^ 0x5eed);
        let layout = Layout::new(chain.ceiling, Tiles::default());
        let layers = random.u8(1..=MAX_TEMPORAL_LAYERS);
        let matrix = [Matrix::Bt601, Matrix::Bt709, Matrix::Bt2020][random.usize(..3)];
        let color = Color { matrix, range: if random.bool() { Range::Full } else { Range::Limited } };
        let temporal_layers = if chain.tools.has(Tool::Layers) { layers } else { 1 };
        let slot = Slot { frame: Rc::new(Frame::new(&layout)), cdfs: Rc::new(Cdfs::default_for(1)) };
        Self {
            draw: Draw::new(random.fork(), chain.tools),
            random,
            tools: chain.tools,
            sequence: Sequence { ceiling: chain.ceiling, color, fps: (30, 1), temporal_layers },
            words: Words::new(),
            slots: [const { None }; SLOTS].map(|_: Option<Slot>| slot.clone()),
            sizes: [chain.ceiling; SLOTS],
            newest: 0,
            decisions: Decisions::new(&layout),
            stream: Stream { ceiling: chain.ceiling, units: Vec::new(), pictures: Vec::new() },
            report: Report::default(),
        }
    }

    /// Appends one frame to the stream.
    fn frame(&mut self) {
        let plan = self.plan();
        let layout = Layout::new(plan.size, self.tiles());
        if *self.decisions.layout() != layout {
            self.decisions = Decisions::new(&layout);
        }
        self.draw.frame(plan.is_key(), &mut self.decisions);
        let slot = self.code(&plan);
        self.report.frames += 1;
        self.report.blocks += reconstruct::blocks(&self.decisions).count();
        self.report.levels += self.decisions.ends.iter().flatten().map(|end| usize::from(*end)).sum::<usize>();
        let mut picture = Picture::new(plan.size, self.sequence.color);
        slot.frame.store(&mut picture);
        let luma = &picture.data()[..plan.size.area()];
        self.report.samples += luma.len();
        let telling = |pair: &&[u8]| pair[0] != pair[1] && (1..255).contains(&pair[1]);
        self.report.telling += luma.windows(2).filter(telling).count();
        self.stream.pictures.push(picture);
        for n in (0..SLOTS).filter(|n| plan.refresh >> n & 1 == 1) {
            self.slots[n] = slot.clone();
            self.sizes[n] = plan.size;
            self.newest = n as u8;
        }
    }

    /// What the frame is to be: from any slots into any slots, now and then a key frame of another size.
    fn plan(&mut self) -> Plan {
        let random = &mut self.random;
        let number = self.stream.units.len() as u64;
        let ceiling = self.sequence.ceiling;
        let smaller = Size::new(random.u32(16..=ceiling.width), random.u32(16..=ceiling.height));
        let resizes = random.u8(..3) == 0 && self.tools.has(Tool::Sizes);
        let is_key = random.u8(..32) == 0 && self.tools.has(Tool::Keys) || number == 0;
        let key = Plan::key(number, if resizes { smaller } else { ceiling });
        let slot = |random: &mut fastrand::Rng| random.u8(..SLOTS as u8);
        let last = if random.u8(..3) == 0 { slot(random) } else { self.newest };
        let golden = slot(random);
        let golden = if self.tools.has(Tool::Golden) { golden } else { last };
        let cdfs = match random.u8(..6) {
            0 => None,
            1..3 => Some(golden),
            _ => Some(last),
        };
        let refresh = match random.u8(..8) {
            0 => 0,
            1 => random.u8(..),
            _ => 1 << slot(random),
        };
        let temporal = random.u8(..self.sequence.temporal_layers);
        if is_key {
            return key;
        }
        let cdfs = if self.tools.has(Tool::Cdfs) { cdfs } else { None };
        let references = Some(References { last, golden, cdfs });
        Plan { references, refresh, temporal, size: self.sizes[usize::from(last)], ..key }
    }

    fn tiles(&mut self) -> Tiles {
        let cols_log2 = self.random.u8(..=2);
        let rows_log2 = self.random.u8(..=2 - cols_log2);
        if self.tools.has(Tool::Tiles) { Tiles { cols_log2, rows_log2 } } else { Tiles::default() }
    }

    /// Writes and reconstructs the decisions.
    fn code(&mut self, plan: &Plan) -> Slot {
        let mut unit = Vec::new();
        obu::delimiter(&mut unit);
        if plan.is_key() {
            self.sequence.write(&mut BitWriter::new(), &mut unit);
        }
        let start = match plan.references.and_then(|references| references.cdfs) {
            Some(slot) => Cdfs::clone(&self.slots[usize::from(slot)].cdfs),
            None => Cdfs::default_for(self.decisions.quantizer),
        };
        let mut saved = start;
        let header = FrameHeader { sequence: &self.sequence, plan, slots: &self.sizes };
        self.words.write(&header, &self.decisions, &start, &mut saved, &mut unit);
        self.report.bytes += unit.len();
        self.stream.units.push(unit);

        let mut frame = Frame::new(self.decisions.layout());
        let references = plan.references.map(|references| reconstruct::References {
            last: &self.slots[usize::from(references.last)].frame,
            golden: &self.slots[usize::from(references.golden)].frame,
        });
        reconstruct::frame(&self.decisions, references, &mut frame);
        deblock::frame(&self.decisions, &mut frame);
        let mut filtered = frame.clone();
        cdef::frame(&self.decisions, &frame, &mut filtered);
        Slot { frame: Rc::new(filtered), cdfs: Rc::new(saved) }
    }
}
