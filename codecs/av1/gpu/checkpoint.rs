//! What survives the device: copies of its references, and the decisions of every frame since they were taken.

use std::collections::VecDeque;

use conclave_shaders::{DeviceError, Gpu, Part, Ring, Ticket, wgpu};

use super::buffers::FRAME_WORDS;
use super::params::FIRST;
use super::readback;
use crate::av1::decisions::{Cdef, Deblock, Decisions};
use crate::av1::frame::Frame;
use crate::av1::layout::Layout;
use crate::av1::plan::SLOTS;
use crate::av1::twin::{Job, Twin};

/// Copies and decisions.
pub(super) struct Checkpoint {
    ring: Ring,
    /// Copies on their way.
    flight: Option<Flight>,
    /// The buffers that were live when they were made, with their frames; those copied come first and in this order.
    buffers: Vec<(u8, u64)>,
    /// References as they were after some frame.
    base: Vec<Kept>,
    /// Every frame since, oldest first.
    log: VecDeque<Entry>,
    /// Memory of what was dropped, for what comes.
    spare_words: Vec<Vec<u32>>,
    spare_frames: Vec<Frame>,
    /// Frames since the last copy was asked for.
    age: u32,
}

/// A reference in its buffer.
struct Kept {
    buffer: u8,
    number: u64,
    frame: Frame,
}

struct Flight {
    ticket: Ticket,
    /// The frame after which the copy was made, and its layout.
    number: u64,
    layout: Layout,
    /// How many of the buffers were copied.
    copied: usize,
}

/// One frame as it came back.
struct Entry {
    number: u64,
    job: Job,
    quantizer: u8,
    deblock: Deblock,
    cdef: Cdef,
    words: Vec<u32>,
}

/// Frames between two copies.
const INTERVAL: u32 = 8;
/// Frames after which a copy is waited for.
const LONGEST: usize = 32;

impl Checkpoint {
    /// Room for copies of `references` frames of `layout` at once.
    pub fn new(gpu: &Gpu, layout: &Layout, references: u32) -> Result<Self, DeviceError> {
        Ok(Self {
            ring: Ring::new(gpu, 1, u64::from(references) * frame_bytes(layout))?,
            flight: None,
            buffers: Vec::new(),
            base: Vec::new(),
            log: VecDeque::new(),
            spare_words: Vec::new(),
            spare_frames: Vec::new(),
            age: 0,
        })
    }

    /// Takes in a frame that is part of the stream, and copies the references in `frames` when it is time. Returns the
    /// bytes of a copy that has arrived.
    pub fn commit(
        &mut self,
        gpu: &Gpu,
        frames: &wgpu::Buffer,
        (number, job, decisions, words): (u64, &Job, &Decisions, &[u32]),
        live: impl Iterator<Item = (u8, u64)>,
    ) -> Result<u64, DeviceError> {
        let mut kept = self.spare_words.pop().unwrap_or_default();
        kept.clear();
        kept.extend_from_slice(words);
        let Decisions { quantizer, deblock, cdef, .. } = *decisions;
        self.log.push_back(Entry { number, job: *job, quantizer, deblock, cdef, words: kept });
        let wait = self.log.len() >= LONGEST;
        let arrived = match self.flight.take_if(|flight| wait || self.ring.is_ready(gpu, &flight.ticket)) {
            Some(flight) => self.arrive(gpu, flight)?,
            None => 0,
        };
        self.age += 1;
        if self.age >= INTERVAL && self.flight.is_none() {
            self.depart(gpu, frames, job, number, live)?;
        }
        Ok(arrived)
    }

    fn depart(
        &mut self,
        gpu: &Gpu,
        frames: &wgpu::Buffer,
        job: &Job,
        number: u64,
        live: impl Iterator<Item = (u8, u64)>,
    ) -> Result<(), DeviceError> {
        let bytes = frame_bytes(&job.layout);
        let known = |(_, number): &(u8, u64)| self.base.iter().any(|kept| kept.number == *number);
        self.buffers.clear();
        self.buffers.extend(live);
        self.buffers.sort_unstable_by_key(known);
        let copied = self.buffers.iter().take_while(|buffer| !known(buffer)).count();
        let mut parts = [Part::front(frames, bytes); SLOTS];
        for (part, (buffer, _)) in parts.iter_mut().zip(&self.buffers[..copied]) {
            part.begin = (u64::from(FIRST) + u64::from(*buffer)) * bytes;
        }
        let encoder = gpu.device.create_command_encoder(&Default::default());
        let ticket = self.ring.submit(gpu, encoder, &parts[..copied])?;
        self.flight = Some(Flight { ticket, number, layout: job.layout, copied });
        self.age = 0;
        Ok(())
    }

    fn arrive(&mut self, gpu: &Gpu, flight: Flight) -> Result<u64, DeviceError> {
        let mut old = std::mem::take(&mut self.base);
        let (copied, known) = self.buffers.split_at(flight.copied);
        for (buffer, number) in known {
            if let Some(at) = old.iter().position(|kept| kept.number == *number) {
                self.base.push(Kept { buffer: *buffer, ..old.swap_remove(at) });
            }
        }
        self.spare_frames.extend(old.into_iter().map(|kept| kept.frame));
        let (base, spare, layout) = (&mut self.base, &mut self.spare_frames, &flight.layout);
        let bytes = frame_bytes(layout);
        self.ring.read(gpu, flight.ticket, |copies| {
            for ((buffer, number), copy) in copied.iter().zip(copies.chunks_exact(bytes as usize)) {
                let mut frame = spare.pop().filter(|f| f.size == layout.size).unwrap_or_else(|| Frame::new(layout));
                fill(&mut frame, copy);
                base.push(Kept { buffer: *buffer, number: *number, frame });
            }
        })?;
        while let Some(entry) = self.log.pop_front_if(|entry| entry.number <= flight.number) {
            self.spare_words.push(entry.words);
        }
        Ok(copied.len() as u64 * bytes)
    }

    /// Makes the references again on the CPU.
    pub fn replay(&mut self, twin: &mut Twin) {
        for kept in self.base.drain(..) {
            twin.adopt(kept.buffer, kept.frame);
        }
        let mut decisions: Option<Decisions> = None;
        for entry in self.log.drain(..) {
            let fits = |decisions: &Decisions| *decisions.layout() == entry.job.layout;
            let mut now = decisions.take().filter(fits).unwrap_or_else(|| Decisions::new(&entry.job.layout));
            let there = |buffers: [u8; 2]| buffers.iter().all(|buffer| twin.frame(*buffer).is_some());
            if readback::unpack(&entry.words, &mut now) && entry.job.references.is_none_or(there) {
                (now.quantizer, now.deblock, now.cdef) = (entry.quantizer, entry.deblock, entry.cdef);
                twin.replay(&entry.job, &now);
            }
            decisions = Some(now);
        }
    }
}

/// Fills the planes of a frame with its bytes as they lie in the pool.
pub(super) fn fill(frame: &mut Frame, mut bytes: &[u8]) {
    for plane in &mut frame.planes {
        let (mine, rest) = bytes.split_at(plane.data.len());
        plane.data.copy_from_slice(mine);
        bytes = rest;
    }
}

/// Bytes of a frame in the pool.
pub(super) fn frame_bytes(layout: &Layout) -> u64 {
    4 * u64::from(FRAME_WORDS) * (layout.superblock_cols() * layout.superblock_rows()) as u64
}
