//! One encoder's work on the GPU: a picture goes up, one submission makes the frame, its decisions come back.

use std::sync::Arc;

use conclave_shaders::timer::TIMER_BYTES;
use conclave_shaders::{DeviceError, Gpu, Part, Ring, Ticket, Timer, wgpu};

use super::buffers::{Buffers, PACKED_WORDS};
use super::checkpoint::{Checkpoint, fill, frame_bytes};
use super::context::Context;
use super::params::{FIRST, Params};
use super::passes::{self, Pass};
use super::readback;
use crate::av1::decisions::Decisions;
use crate::av1::frame::Frame;
use crate::av1::kernel::cost::Costs;
use crate::av1::kernel::quantize::Quantizer;
use crate::av1::layout::Layout;
use crate::av1::twin::{AC_ZONE, DC_ZONE, Job, Twin};
use crate::{GpuPicture, Picture};

/// What has been moved between host and GPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Frames made.
    pub frames: u64,
    /// Bytes of pictures and parameters that went up.
    pub up: u64,
    /// Bytes of decisions that came back.
    pub back: u64,
    /// The same of the last frame.
    pub last_back: u64,
    /// Frames whose decisions did not fit the window foreseen and were copied once more.
    pub second_copies: u64,
    /// Bytes of references that came back for checkpoints.
    pub checkpoints: u64,
    /// Dispatches of the last frame.
    pub dispatches: u32,
}

/// The GPU's arm.
pub struct Session {
    context: Arc<Context>,
    buffers: Buffers,
    bindings: Vec<wgpu::BindGroup>,
    timer: Option<Timer>,
    ring: Ring,
    checkpoint: Checkpoint,
    layout: Layout,
    /// The picture last loaded is in the pool already, with its small scales.
    prepared: bool,
    flight: Option<Flight>,
    /// Words of the frame that came back last.
    words: Vec<u32>,
    window: Window,
    traffic: Traffic,
    micros: Option<u64>,
}

/// Where a picture comes from.
#[derive(Clone, Copy)]
pub enum Input<'a> {
    /// The host's memory.
    Host(&'a Picture),
    /// A buffer of the same device.
    Gpu(&'a GpuPicture<'a>),
    /// [`Session::prepare`] has taken it in; the host may have it too.
    Prepared(Option<&'a Picture>),
}

impl<'a> Input<'a> {
    /// The picture in the host's memory.
    pub fn host(self) -> Option<&'a Picture> {
        match self {
            Self::Host(picture) => Some(picture),
            Self::Gpu(_) => None,
            Self::Prepared(picture) => picture,
        }
    }
}

struct Flight {
    ticket: Ticket,
    /// Words that come back of their own accord.
    window: u64,
    key: bool,
}

/// Passes at the front that need the picture alone.
const PREPARED: usize = 3;

/// Reference buffers: the frame before, the long-term reference, the new one.
const REFERENCES: u32 = 3;

impl Session {
    /// Memory for frames of at most `layout`.
    ///
    /// # Errors
    /// The adapter has not as much, or was lost.
    pub fn open(context: &Arc<Context>, layout: &Layout) -> Result<Self, DeviceError> {
        let gpu = &*context.gpu;
        gpu.check()?;
        let buffers = Buffers::new(gpu, layout, REFERENCES)?;
        let packed = buffers.binding(passes::PACKED).size();
        Ok(Self {
            bindings: context.kernels.bind(gpu, &buffers),
            timer: Timer::new(gpu),
            ring: Ring::new(gpu, 2, packed + TIMER_BYTES)?,
            checkpoint: Checkpoint::new(gpu, layout, REFERENCES)?,
            layout: *layout,
            prepared: false,
            flight: None,
            words: Vec::with_capacity(packed as usize / 4),
            window: Window::new(packed / 4),
            traffic: Traffic::default(),
            micros: None,
            context: context.clone(),
            buffers,
        })
    }

    /// The adapter's name.
    pub fn device(&self) -> &str {
        self.context.gpu.name()
    }

    /// What was moved so far.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// Microseconds of the last frame by the GPU's own clock.
    pub fn micros(&self) -> Option<u64> {
        self.micros
    }

    /// Takes a picture in: uploads it, or copies it where it lies on the GPU already.
    pub fn load(&mut self, input: Input<'_>) -> Result<(), DeviceError> {
        let gpu = &*self.context.gpu;
        gpu.check()?;
        let target = self.buffers.binding(passes::PICTURE);
        self.prepared = matches!(input, Input::Prepared(_));
        match input {
            Input::Prepared(_) => {}
            Input::Host(picture) => {
                gpu.upload(target, picture.data())?;
                self.traffic.up += picture.data().len() as u64;
            }
            Input::Gpu(picture) => {
                let mut encoder = gpu.device.create_command_encoder(&Default::default());
                let bytes = (picture.size.i420_len() as u64).next_multiple_of(wgpu::COPY_BUFFER_ALIGNMENT);
                encoder.copy_buffer_to_buffer(picture.planes, 0, target, 0, bytes);
                gpu.queue.submit([encoder.finish()]);
            }
        }
        Ok(())
    }

    /// Takes in the picture of the next frame, of `layout` as well, while the last one is on its way: everything that needs
    /// the picture alone is submitted.
    pub fn prepare(&mut self, input: Input<'_>, layout: &Layout) -> Result<(), DeviceError> {
        self.load(input)?;
        let encoder = self.record_alone(layout, &[Pass::Load, Pass::QuarterSource, Pass::EighthSource])?;
        self.context.gpu.queue.submit([encoder.finish()]);
        Ok(())
    }

    /// The roughness of the picture last loaded, of a frame of `layout`. Waits for it.
    pub fn roughness(&mut self, layout: &Layout) -> Result<f64, DeviceError> {
        let bytes = 4 * (layout.superblock_cols() * layout.superblock_rows()) as u64;
        let totals = Part::front(self.buffers.binding(passes::TOTALS), bytes);
        let gpu = self.context.gpu.clone();
        let encoder = self.record_alone(layout, &[Pass::Load, Pass::Roughness])?;
        let ticket = self.ring.submit(&gpu, encoder, &[totals])?;
        let sum: u64 = self.ring.read(&gpu, ticket, |bytes| {
            bytes.as_chunks().0.iter().map(|word| u64::from(u32::from_le_bytes(*word))).sum()
        })?;
        Ok(sum as f64 / layout.size.area() as f64)
    }

    /// Records passes that look at nothing but the picture.
    fn record_alone(&self, layout: &Layout, passes: &[Pass]) -> Result<wgpu::CommandEncoder, DeviceError> {
        let gpu = &*self.context.gpu;
        gpu.upload(self.buffers.binding(passes::PARAMS), bytemuck::bytes_of(&Params::of(layout)))?;
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        let mut recording = encoder.begin_compute_pass(&Default::default());
        for pass in passes {
            let kernel = self.context.kernels.of(*pass);
            kernel.dispatch(&mut recording, &self.bindings[*pass as usize], None, pass.groups(layout));
        }
        drop(recording);
        Ok(encoder)
    }

    /// Submits everything that makes a frame of the picture last loaded. `decisions` come with the quantizer and the
    /// filters' levels.
    pub fn start(&mut self, job: &Job, decisions: &Decisions) -> Result<(), DeviceError> {
        let gpu = &*self.context.gpu;
        gpu.check()?;
        gpu.upload(self.buffers.binding(passes::PARAMS), bytemuck::bytes_of(&params(job, decisions)))?;
        self.traffic.up += size_of::<Params>() as u64;
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        if self.layout != job.layout {
            // The vectors of the frame before are those of another grid.
            encoder.clear_buffer(self.buffers.binding(passes::VECTORS), 0, None);
            self.layout = job.layout;
        }
        self.traffic.dispatches = self.record(&mut encoder, job);
        let key = job.references.is_none();
        let window = self.window.words(key);
        let packed = Part::front(self.buffers.binding(passes::PACKED), 4 * window);
        let ticket = match &self.timer {
            Some(timer) => {
                let stamps = Part::front(timer.resolve(&mut encoder), TIMER_BYTES);
                self.ring.submit(gpu, encoder, &[stamps, packed])?
            }
            None => self.ring.submit(gpu, encoder, &[packed])?,
        };
        self.flight = Some(Flight { ticket, window, key });
        Ok(())
    }

    /// Records every pass of a frame; returns how many dispatches they are.
    fn record(&self, encoder: &mut wgpu::CommandEncoder, job: &Job) -> u32 {
        let timestamp_writes = self.timer.as_ref().map(Timer::around);
        let descriptor = wgpu::ComputePassDescriptor { label: Some("frame"), timestamp_writes };
        let mut recording = encoder.begin_compute_pass(&descriptor);
        let (context, layout, key) = (&self.context, &job.layout, job.references.is_none());
        let mut dispatches = 0;
        let rest = if self.prepared { &Pass::FRAME[PREPARED..] } else { &Pass::FRAME[..] };
        for pass in rest.iter().copied() {
            let (kernel, bindings) = (context.kernels.of(pass), &self.bindings[pass as usize]);
            for step in 0..pass.repeats(layout, key) {
                match pass {
                    Pass::Intra => {
                        let part = Some(&context.diagonals[step]);
                        kernel.dispatch(&mut recording, bindings, part, pass.groups(layout));
                    }
                    Pass::Island => {
                        let arguments = self.buffers.binding(passes::ARGUMENTS);
                        let part = Some(&context.depths[step]);
                        kernel.dispatch_indirect(&mut recording, bindings, part, arguments, 12 * step as u64);
                    }
                    _ => kernel.dispatch(&mut recording, bindings, None, pass.groups(layout)),
                }
                dispatches += 1;
            }
        }
        dispatches
    }

    /// Waits for the decisions of the frame that was started.
    pub fn finish(&mut self, decisions: &mut Decisions) -> Result<(), DeviceError> {
        let gpu = &*self.context.gpu;
        let Some(Flight { ticket, window, key }) = self.flight.take() else {
            return Err(DeviceError::Lost { what: "no frame was started".into() });
        };
        let (words, timer, micros) = (&mut self.words, &self.timer, &mut self.micros);
        let total = self.ring.read(gpu, ticket, |mut bytes| {
            if let Some(timer) = timer {
                let stamps = bytes.split_off(..TIMER_BYTES as usize).unwrap_or_default();
                *micros = timer.microseconds(stamps);
            }
            take(bytes, words)
        })?;
        self.traffic.last_back = 4 * window;
        if total > window {
            let encoder = gpu.device.create_command_encoder(&Default::default());
            let packed = self.buffers.binding(passes::PACKED);
            let all = (4 * total).min(packed.size());
            let ticket = self.ring.submit(gpu, encoder, &[Part::front(packed, all)])?;
            self.ring.read(gpu, ticket, |bytes| take(bytes, words))?;
            self.traffic.last_back += all;
            self.traffic.second_copies += 1;
        }
        self.window.seen(key, total);
        self.traffic.back += self.traffic.last_back;
        self.traffic.frames += 1;
        gpu.check()?;
        if !readback::unpack(&self.words, decisions) {
            return Err(DeviceError::Lost { what: "it returned decisions that make no sense".into() });
        }
        Ok(())
    }

    /// The frame last finished is part of the stream, whose buffers are `live` now.
    pub fn commit(&mut self, number: u64, job: &Job, decisions: &Decisions, live: impl Iterator<Item = (u8, u64)>) {
        let frames = self.buffers.binding(passes::FRAMES);
        let made = (number, job, decisions, &self.words[..]);
        // A device that fails here fails again where the next frame is started.
        self.traffic.checkpoints += self.checkpoint.commit(&self.context.gpu, frames, made, live).unwrap_or_default();
    }

    /// The adapter.
    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.context.gpu
    }

    /// Makes the references again on `twin`.
    pub fn leave(&mut self, twin: &mut Twin) {
        self.checkpoint.replay(twin);
    }

    /// Reads a reference back: for tests and measurements, as it waits.
    pub fn frame(&mut self, buffer: u8) -> Result<Frame, DeviceError> {
        let gpu: &Gpu = &self.context.gpu;
        let bytes = frame_bytes(&self.layout);
        let begin = (u64::from(FIRST) + u64::from(buffer)) * bytes;
        let mut ring = Ring::new(gpu, 1, bytes)?;
        let encoder = gpu.device.create_command_encoder(&Default::default());
        let part = Part { buffer: self.buffers.binding(passes::FRAMES), begin, bytes };
        let ticket = ring.submit(gpu, encoder, &[part])?;
        let mut frame = Frame::new(&self.layout);
        ring.read(gpu, ticket, |bytes| fill(&mut frame, bytes))?;
        Ok(frame)
    }
}

/// Takes the words after the first, which says how many they are; returns how many there are with it.
fn take(bytes: &[u8], words: &mut Vec<u32>) -> u64 {
    let mut all = bytes.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word));
    let total = all.next().unwrap_or_default() as usize;
    words.clear();
    words.extend(all.take(total));
    total as u64 + 1
}

fn params(job: &Job, decisions: &Decisions) -> Params {
    let [last, golden] = job.references.unwrap_or_default().map(|buffer| FIRST + u32::from(buffer));
    let flags = u32::from(job.references.is_some()) | u32::from(job.references.is_some() && job.apart) << 1;
    let (fresh, still) = (FIRST + u32::from(job.fresh), job.still.words());
    let frame = Params { last, golden, fresh, flags, still, ..Params::of(&job.layout) };
    frame
        .costs(&Costs::new(decisions.quantizer))
        .quantizer(&Quantizer::new(decisions.quantizer, DC_ZONE, AC_ZONE))
        .filters(&decisions.deblock, &decisions.cdef)
}

/// How many words to ask for before it is known how many there are.
struct Window {
    capacity: u64,
    /// Of the last inter frames.
    recent: [u64; 8],
    at: usize,
    /// Of the last key frame.
    key: u64,
}

impl Window {
    fn new(capacity: u64) -> Self {
        Self { capacity, recent: [0; 8], at: 0, key: capacity / 4 }
    }

    /// A quarter more than the most of late, and some; but beyond 48 kB no more than the least of late, so that a large
    /// frame does not burden the small ones after it.
    fn words(&self, key: bool) -> u64 {
        let roomy = |expected: u64| expected * 5 / 4 + SOME;
        let [most, least] = [self.recent.iter().max(), self.recent.iter().min()].map(|words| *words.unwrap_or(&0));
        let window = if key { roomy(self.key) } else { roomy(most).min(ALWAYS + least) };
        window.min(self.capacity)
    }

    fn seen(&mut self, key: bool, words: u64) {
        if key {
            self.key = words;
        } else {
            self.recent[self.at % 8] = words;
            self.at += 1;
        }
    }
}

/// Words: 12 kB.
const SOME: u64 = 3072;
/// Words that are worth nobody's while: 48 kB.
const ALWAYS: u64 = 12_288;

const _: () = assert!(PACKED_WORDS as u64 > SOME, "a window of the smallest frame fits");
