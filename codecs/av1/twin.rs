//! The kernels in their order, on the CPU: a picture becomes decisions and a reference.

use super::decisions::Decisions;
use super::frame::Frame;
use super::kernel::cost::Costs;
use super::kernel::decide::{Decide, View};
use super::kernel::pyramid::Pyramid;
use super::kernel::quantize::{DeadZone, Quantizer};
use super::kernel::reconstruct::{self, Coder, Input, References};
use super::kernel::search::Motion;
use super::kernel::subpel::Fine;
use super::kernel::{cdef, deblock, islands, merge};
use super::layout::Layout;
use super::rest::Set;
use super::threads::Threads;
use crate::Picture;

/// Which frames a frame is made from and where it goes, by number of buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// Size, grid and tiles.
    pub layout: Layout,
    /// The frame before and the long-term reference; `None` for a key frame.
    pub references: Option<[u8; 2]>,
    /// The two references are different frames.
    pub apart: bool,
    /// Where the new frame goes.
    pub fresh: u8,
    /// Superblocks of an inter frame that rest.
    pub still: Set,
}

/// Dead zones of the quantizer.
pub const DC_ZONE: DeadZone = DeadZone { zero_bin: 72, rounding: 56 };
/// The same for all coefficients but the first.
pub const AC_ZONE: DeadZone = DeadZone { zero_bin: 84, rounding: 48 };

/// The CPU's arm.
pub struct Twin {
    threads: Threads,
    /// Reconstructions by number of buffer.
    frames: Vec<Option<Stored>>,
    work: Work,
}

/// A reference, and its luma on three scales.
struct Stored {
    frame: Frame,
    pyramid: Pyramid,
}

/// What making a frame needs beside the references; made anew when the layout changes.
struct Work {
    layout: Layout,
    source: Frame,
    pyramid: Pyramid,
    motion: Motion,
    fine: Fine,
    decide: Decide,
    /// Of the islands of intra blocks.
    depths: Vec<u8>,
    coder: Coder,
    /// The frame between deblocking and CDEF.
    deblocked: Frame,
}

impl Work {
    fn new(layout: &Layout) -> Self {
        Self {
            layout: *layout,
            source: Frame::new(layout),
            pyramid: Pyramid::default(),
            motion: Motion::default(),
            fine: Fine::default(),
            decide: Decide::default(),
            depths: Vec::new(),
            coder: Coder::default(),
            deblocked: Frame::new(layout),
        }
    }
}

impl Twin {
    /// An arm of so many threads, with room for frames of `layout`.
    pub fn new(layout: &Layout, threads: usize) -> Self {
        Self { threads: Threads::new(threads), frames: Vec::new(), work: Work::new(layout) }
    }

    /// Decides what `picture` is to be and reconstructs it. `decisions` come with the quantizer and the filters' levels.
    pub fn make(&mut self, picture: &Picture, job: &Job, decisions: &mut Decisions) {
        if self.work.layout != job.layout {
            self.work = Work::new(&job.layout);
        }
        let mut stored = self.take(job);
        let stores = job.references.map(|buffers| buffers.map(|buffer| stored_in(&self.frames, buffer)));
        let Work { layout, source, pyramid, motion, fine, decide, depths, coder, deblocked } = &mut self.work;
        source.load(picture);
        let costs = Costs::new(decisions.quantizer);
        if let Some([last, _]) = stores {
            pyramid.load(&source.planes[0]);
            motion.still = job.still;
            motion.search(&self.threads, layout, pyramid, &last.pyramid, costs.vector_bit);
            fine.refine(&self.threads, layout, &pyramid.full, &last.pyramid.full, motion, costs.vector_bit);
        }
        let view = View {
            source,
            last: stores.map(|[last, _]| (&last.frame, &*fine)),
            golden: stores.filter(|_| job.apart).map(|[_, golden]| &golden.frame),
        };
        decide.run(&self.threads, view, &costs, decisions);
        if stores.is_some() {
            islands::limit(decisions, fine, depths);
        }
        let references = stores.map(|[last, golden]| References { last: &last.frame, golden: &golden.frame });
        let quantizer = Quantizer::new(decisions.quantizer, DC_ZONE, AC_ZONE);
        coder.frame(&Input { source, references, quantizer: &quantizer }, decisions, deblocked);
        merge::frame(decisions);
        deblock::frame(decisions, deblocked);
        cdef::frame(decisions, deblocked, &mut stored.frame);
        stored.pyramid.load(&stored.frame.planes[0]);
        self.frames[usize::from(job.fresh)] = Some(stored);
    }

    /// Reconstructs a frame that was decided elsewhere.
    pub fn replay(&mut self, job: &Job, decisions: &Decisions) {
        if self.work.layout != job.layout {
            self.work = Work::new(&job.layout);
        }
        let mut stored = self.take(job);
        let stores = job.references.map(|buffers| buffers.map(|buffer| stored_in(&self.frames, buffer)));
        let references = stores.map(|[last, golden]| References { last: &last.frame, golden: &golden.frame });
        let deblocked = &mut self.work.deblocked;
        reconstruct::frame(decisions, references, deblocked);
        deblock::frame(decisions, deblocked);
        cdef::frame(decisions, deblocked, &mut stored.frame);
        stored.pyramid.load(&stored.frame.planes[0]);
        self.frames[usize::from(job.fresh)] = Some(stored);
    }

    /// Takes in a reference that was made elsewhere.
    pub fn adopt(&mut self, buffer: u8, frame: Frame) {
        let mut pyramid = Pyramid::default();
        pyramid.load(&frame.planes[0]);
        *self.place(buffer) = Some(Stored { frame, pyramid });
    }

    /// The references of a frame are there.
    pub fn has(&self, job: &Job) -> bool {
        job.references.is_none_or(|buffers| buffers.iter().all(|buffer| self.frame(*buffer).is_some()))
    }

    /// The reconstruction in a buffer.
    pub fn frame(&self, buffer: u8) -> Option<&Frame> {
        self.frames.get(usize::from(buffer))?.as_ref().map(|stored| &stored.frame)
    }

    fn place(&mut self, buffer: u8) -> &mut Option<Stored> {
        let buffer = usize::from(buffer);
        if self.frames.len() <= buffer {
            self.frames.resize_with(buffer + 1, || None);
        }
        &mut self.frames[buffer]
    }

    /// The memory of the new frame, in its size.
    fn take(&mut self, job: &Job) -> Stored {
        let fits = |stored: &Stored| stored.frame.size == job.layout.size;
        self.place(job.fresh)
            .take()
            .filter(fits)
            .unwrap_or_else(|| Stored { frame: Frame::new(&job.layout), pyramid: Pyramid::default() })
    }
}

fn stored_in(frames: &[Option<Stored>], buffer: u8) -> &Stored {
    frames[usize::from(buffer)].as_ref().expect("a slot names frames that were made")
}
