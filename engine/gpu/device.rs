//! The GPU arm: the buffers and passes of one kind of frame, made at the first and kept while the kind stays the same.

use std::sync::Arc;

use conclave_shaders::timer::TIMER_BYTES;
use conclave_shaders::wgpu::BufferUsages;
use conclave_shaders::{CONVERT, DeviceError, Gpu, Kernel, Part, Ring, SCALE, Ticket, Timer, device, wgpu};

use super::prepare::device::{self as stages, COUNTS, Kernels, Stages, uniform};
use super::prepare::exposure::Exposure;
use super::scale::Tables;
use super::taps::Taps;
use super::{Plan, Rect, Size};

/// An opened adapter with its kernels compiled.
pub(super) struct Device {
    gpu: Arc<Gpu>,
    convert: Kernel,
    vertical: Kernel,
    horizontal: Kernel,
    stages: Option<Kernels>,
    timer: Option<Timer>,
    frame: Option<Frame>,
}

/// What is bound for one kind of frame.
struct Frame {
    source: wgpu::Buffer,
    result: wgpu::Buffer,
    /// Bytes read back.
    bytes: u64,
    ring: Ring,
    /// The counts and timestamps of a frame that stayed on the GPU.
    pending: Option<Ticket>,
    passes: Vec<Pass>,
    /// What comes behind them.
    stages: Option<Stages>,
    size: Size,
    /// For a self view; made when it is first asked for.
    view: Option<View>,
}

/// The result in a mirror.
struct View {
    bindings: wgpu::BindGroup,
    picture: wgpu::Buffer,
}

/// Which kernel, with what, how often.
struct Pass {
    stage: Step,
    bindings: wgpu::BindGroup,
    invocations: u32,
}

#[derive(Clone, Copy)]
enum Step {
    Convert,
    Vertical,
    Horizontal,
}

/// The uniform of scale.wgsl, field for field.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct ScaleParams {
    source_luma: [u32; 2],
    source_chroma: [u32; 2],
    target_luma: [u32; 2],
    target_chroma: [u32; 2],
    /// Parts of luma and of chroma: x, y, width, height.
    crop: [[u32; 4]; 2],
    inside: [[u32; 4]; 2],
    /// Luma, chroma, padding.
    bars: [u32; 4],
    /// Columns of luma and chroma, rows of luma and chroma: index of the starts, of the weights, taps, padding.
    axes: [[u32; 4]; 4],
}

impl Device {
    pub(super) fn open(prefer: device::Prefer) -> Result<Self, DeviceError> {
        Self::new(Arc::new(Gpu::open(prefer)?))
    }

    /// On an adapter that is open.
    pub(super) fn new(gpu: Arc<Gpu>) -> Result<Self, DeviceError> {
        Ok(Self {
            convert: Kernel::new(&gpu, &CONVERT, "convert")?,
            vertical: Kernel::new(&gpu, &SCALE, "vertical")?,
            horizontal: Kernel::new(&gpu, &SCALE, "horizontal")?,
            stages: None,
            timer: Timer::new(&gpu),
            frame: None,
            gpu,
        })
    }

    pub(super) fn name(&self) -> &str {
        self.gpu.name()
    }

    pub(super) fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    /// The buffer of the last result.
    pub(super) fn result(&self) -> Option<&wgpu::Buffer> {
        self.frame.as_ref().map(|frame| &frame.result)
    }

    /// Another kind of frame comes. What the noise filter remembers is kept where `keep` says so.
    pub(super) fn prepare(&mut self, plan: &Plan, keep: bool) -> Result<(), DeviceError> {
        let memory = self.frame.take().and_then(|frame| frame.stages).and_then(Stages::into_memory);
        let gpu = &self.gpu;
        let kind = &plan.kind;
        let (size, color) = kind.to;
        let result_len = size.i420_len();
        let storage = BufferUsages::STORAGE | BufferUsages::COPY_SRC;
        let source = gpu.buffer("the source picture", kind.format.len(kind.from.0) as u64, storage)?;
        let result = gpu.buffer("the converted picture", result_len as u64, storage)?;
        let mut passes = Vec::new();
        // What each step has its picture from.
        let mut picture = source.clone();
        let scaled = match plan.prepares() {
            true => gpu.buffer("the picture before preparation", result_len as u64, storage)?,
            false => result.clone(),
        };
        if let Some(params) = &plan.params {
            let converted = match &plan.tables {
                Some(tables) => gpu.buffer("the picture before scaling", tables.from.i420_len() as u64, storage)?,
                None => scaled.clone(),
            };
            let uniform = uniform(gpu, params)?;
            passes.push(Pass {
                stage: Step::Convert,
                bindings: self.convert.bind(gpu, &[(0, &picture), (1, &converted), (2, &uniform)]),
                invocations: kind.from.0.i420_len().div_ceil(4) as u32,
            });
            picture = converted;
        }
        if let Some(tables) = &plan.tables {
            let (params, words) = pack(tables);
            let uniform = uniform(gpu, &params)?;
            let weights = gpu.buffer("the filter tables", 4 * words.len() as u64, storage)?;
            gpu.upload(&weights, bytemuck::cast_slice(&words))?;
            let plane = |i: usize| tables.crop[i].width as usize * tables.inside[i].height as usize;
            let middle_len = plane(0) + 2 * plane(1);
            let middle = gpu.buffer("the rows between the passes", 4 * middle_len as u64, storage)?;
            passes.push(Pass {
                stage: Step::Vertical,
                bindings: self.vertical.bind(gpu, &[(0, &picture), (2, &uniform), (3, &weights), (4, &middle)]),
                invocations: middle_len as u32,
            });
            passes.push(Pass {
                stage: Step::Horizontal,
                bindings: self.horizontal.bind(gpu, &[(1, &scaled), (2, &uniform), (3, &weights), (4, &middle)]),
                invocations: result_len.div_ceil(4) as u32,
            });
            picture = scaled;
        }
        let mut stages = None;
        if plan.prepares() {
            let kernels = kernels(&mut self.stages, gpu)?;
            let path = stages::Path { source: &picture, result: &result, size, color };
            stages = Some(Stages::new(gpu, kernels, &kind.prepare, path, memory.filter(|_| keep))?);
        }
        let bytes = result_len.next_multiple_of(4) as u64;
        let ring = Ring::new(gpu, 3, bytes.next_multiple_of(8) + COUNTS + TIMER_BYTES)?;
        gpu.check()?;
        self.frame = Some(Frame { source, result, bytes, ring, pending: None, passes, stages, size, view: None });
        Ok(())
    }

    /// The noise filter begins anew with the next picture.
    pub(super) fn restart(&mut self) {
        if let Some(stages) = self.frame.as_mut().and_then(|frame| frame.stages.as_mut()) {
            stages.restart();
        }
    }

    /// Converts one frame of the kind last prepared and leaves it in its buffer. Waits for nothing, but for the histograms
    /// of the frame before where light is lifted; the microseconds are those of an earlier frame.
    pub(super) fn run_here(&mut self, data: &[u8], exposure: &mut Exposure) -> Result<Option<u64>, DeviceError> {
        let micros = self.settle(exposure)?;
        let encoder = self.record(data, exposure)?;
        let Some(frame) = &mut self.frame else { return Err(unprepared()) };
        if frame.pending.is_none() {
            frame.pending = submit(&self.gpu, encoder, self.timer.as_ref(), None, frame)?;
        } else {
            self.gpu.queue.submit([encoder.finish()]);
        }
        Ok(micros)
    }

    /// Converts one frame of the kind last prepared, copies the result to `out`, and returns the microseconds that the
    /// adapter says it took.
    pub(super) fn run(
        &mut self,
        data: &[u8],
        exposure: &mut Exposure,
        out: &mut [u8],
    ) -> Result<Option<u64>, DeviceError> {
        self.settle(exposure)?;
        let encoder = self.record(data, exposure)?;
        let Some(frame) = &mut self.frame else { return Err(unprepared()) };
        let bytes = frame.bytes as usize;
        let Some(ticket) = submit(&self.gpu, encoder, self.timer.as_ref(), Some(frame.bytes), frame)? else {
            return Err(unprepared());
        };
        let (timer, stages) = (self.timer.as_ref(), frame.stages.as_ref());
        let micros = frame.ring.read(&self.gpu, ticket, |read| {
            out.copy_from_slice(&read[..out.len()]);
            told(&read[bytes..], stages, timer, exposure)
        })?;
        self.gpu.check()?;
        Ok(micros)
    }

    /// Reads what is still to be known of a frame that stayed on the GPU: its time, if that is there by now, and what the
    /// next frame is lifted by, which is waited for.
    pub(super) fn settle(&mut self, exposure: &mut Exposure) -> Result<Option<u64>, DeviceError> {
        let Some(frame) = &mut self.frame else { return Ok(None) };
        self.gpu.check()?;
        let stages = frame.stages.as_ref();
        let lifts = stages.is_some_and(|stages| stages.counts().is_some());
        let Some(ticket) = frame.pending.take_if(|ticket| lifts || frame.ring.is_ready(&self.gpu, ticket)) else {
            return Ok(None);
        };
        let timer = self.timer.as_ref();
        frame.ring.read(&self.gpu, ticket, |read| told(read, stages, timer, exposure))
    }

    /// Copies the last result to `out`, as it is or in a mirror.
    pub(super) fn view(&mut self, mirrored: bool, out: &mut [u8]) -> Result<(), DeviceError> {
        let Some(frame) = &mut self.frame else { return Err(unprepared()) };
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        let mut picture = &frame.result;
        if mirrored {
            let kernels = kernels(&mut self.stages, &self.gpu)?;
            if frame.view.is_none() {
                let (bindings, picture) = kernels.view(&self.gpu, &frame.result, frame.size)?;
                frame.view = Some(View { bindings, picture });
            }
            if let Some(view) = &frame.view {
                kernels.record_view(&mut encoder, &view.bindings, frame.size);
                picture = &view.picture;
            }
        }
        let ticket = frame.ring.submit(&self.gpu, encoder, &[Part::front(picture, frame.bytes)])?;
        frame.ring.read(&self.gpu, ticket, |read| out.copy_from_slice(&read[..out.len()]))
    }

    /// Uploads a picture and records its passes.
    fn record(&mut self, data: &[u8], exposure: &mut Exposure) -> Result<wgpu::CommandEncoder, DeviceError> {
        let Some(frame) = &mut self.frame else { return Err(unprepared()) };
        self.gpu.check()?;
        self.gpu.upload(&frame.source, data)?;
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        if let Some(stages) = &mut frame.stages {
            stages.ready(&self.gpu, &mut encoder, exposure)?;
        }
        let timestamp_writes = self.timer.as_ref().map(Timer::around);
        let mut pass =
            encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: Some("convert"), timestamp_writes });
        let steps = [&self.convert, &self.vertical, &self.horizontal];
        for step in &frame.passes {
            steps[step.stage as usize].record(&mut pass, &step.bindings, step.invocations);
        }
        if let (Some(stages), Some(kernels)) = (&mut frame.stages, &self.stages) {
            stages.record(kernels, &mut pass);
        }
        drop(pass);
        Ok(encoder)
    }
}

fn kernels<'a>(compiled: &'a mut Option<Kernels>, gpu: &Gpu) -> Result<&'a Kernels, DeviceError> {
    Ok(match compiled {
        Some(kernels) => kernels,
        None => compiled.insert(Kernels::new(gpu)?),
    })
}

/// What was read behind the picture: counts, where light is lifted, and timestamps, where there are some.
fn told(read: &[u8], stages: Option<&Stages>, timer: Option<&Timer>, exposure: &mut Exposure) -> Option<u64> {
    let mut stamps = read;
    if let Some(stages) = stages.filter(|stages| stages.counts().is_some()) {
        let (counts, rest) = read.split_at(COUNTS as usize);
        stages.observe(counts, exposure);
        stamps = rest;
    }
    timer?.microseconds(stamps)
}

/// Submits, and asks for so many bytes of the result, if any, and for counts and timestamps, where there are some; `None`
/// where there is nothing to ask for.
fn submit(
    gpu: &Gpu,
    mut encoder: wgpu::CommandEncoder,
    timer: Option<&Timer>,
    bytes: Option<u64>,
    frame: &mut Frame,
) -> Result<Option<Ticket>, DeviceError> {
    let result = bytes.map(|bytes| Part::front(&frame.result, bytes));
    let counts = frame.stages.as_ref().and_then(Stages::counts).map(|counts| Part::front(counts, COUNTS));
    let stamps = timer.map(|timer| Part::front(timer.resolve(&mut encoder), TIMER_BYTES));
    let mut parts = [Part::front(&frame.result, 0); 3];
    let mut count = 0;
    for part in [result, counts, stamps].into_iter().flatten() {
        parts[count] = part;
        count += 1;
    }
    if count == 0 {
        gpu.queue.submit([encoder.finish()]);
        return Ok(None);
    }
    frame.ring.submit(gpu, encoder, &parts[..count]).map(Some)
}

fn unprepared() -> DeviceError {
    DeviceError::Lost { what: "no frame was prepared".into() }
}

/// The four tables behind one another, and where each begins.
fn pack(tables: &Tables) -> (ScaleParams, Vec<i32>) {
    let mut words = Vec::new();
    let mut axis = |taps: &Taps| {
        let starts = words.len();
        words.extend(taps.starts.iter().map(|s| *s as i32));
        let weights = words.len();
        words.extend(taps.weights.iter().map(|w| i32::from(*w)));
        [starts as u32, weights as u32, taps.count as u32, 0]
    };
    let [luma_columns, chroma_columns] = &tables.columns;
    let [luma_rows, chroma_rows] = &tables.rows;
    let axes = [axis(luma_columns), axis(chroma_columns), axis(luma_rows), axis(chroma_rows)];
    let pair = |size: Size| [size.width, size.height];
    let part = |part: Rect| [part.x, part.y, part.width, part.height];
    let params = ScaleParams {
        source_luma: pair(tables.from),
        source_chroma: pair(tables.from.chroma()),
        target_luma: pair(tables.to),
        target_chroma: pair(tables.to.chroma()),
        crop: tables.crop.map(part),
        inside: tables.inside.map(part),
        bars: [tables.bars[0].into(), tables.bars[1].into(), 0, 0],
        axes,
    };
    (params, words)
}
