//! The GPU arm: the buffers and passes of one kind of frame, made at the first and kept while the kind stays the same.

use std::sync::Arc;

use conclave_shaders::wgpu::BufferUsages;
use conclave_shaders::{CONVERT, DeviceError, Gpu, Kernel, Part, Ring, SCALE, Ticket, Timer, device, wgpu};

use super::coefficients::Params;
use super::scale::Tables;
use super::taps::Taps;

/// An opened adapter with its kernels compiled.
pub(super) struct Device {
    gpu: Arc<Gpu>,
    convert: Kernel,
    vertical: Kernel,
    horizontal: Kernel,
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
    /// The timestamps of a frame that stayed on the GPU.
    stamps: Option<Ticket>,
    passes: Vec<Pass>,
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

    /// Another kind of frame comes: sources of `source_len` bytes, converted where `params` are given, then scaled where
    /// `tables` are; results of `result_len` bytes. At least one of the two is given.
    pub(super) fn prepare(
        &mut self,
        source_len: usize,
        params: Option<&Params>,
        tables: Option<&Tables>,
        result_len: usize,
    ) -> Result<(), DeviceError> {
        self.frame = None;
        let gpu = &self.gpu;
        let storage = BufferUsages::STORAGE | BufferUsages::COPY_SRC;
        let source = gpu.buffer("the source picture", source_len as u64, storage)?;
        let result = gpu.buffer("the converted picture", result_len as u64, storage)?;
        let mut passes = Vec::new();
        let mut scale_from = source.clone();
        if let Some(params) = params {
            let converted = match tables {
                Some(tables) => gpu.buffer("the picture before scaling", tables.from.i420_len() as u64, storage)?,
                None => result.clone(),
            };
            let uniform = uniform(gpu, params)?;
            let words = (params.width, params.height);
            let size = super::Size::new(words.0, words.1);
            passes.push(Pass {
                stage: Step::Convert,
                bindings: self.convert.bind(gpu, &[(0, &source), (1, &converted), (2, &uniform)]),
                invocations: size.i420_len().div_ceil(4) as u32,
            });
            scale_from = converted;
        }
        if let Some(tables) = tables {
            let (params, words) = pack(tables);
            let uniform = uniform(gpu, &params)?;
            let weights = gpu.buffer("the filter tables", 4 * words.len() as u64, storage)?;
            gpu.upload(&weights, bytemuck::cast_slice(&words))?;
            let chroma = (tables.from.chroma(), tables.to.chroma());
            let middle_len = tables.from.width as usize * tables.to.height as usize
                + 2 * chroma.0.width as usize * chroma.1.height as usize;
            let middle = gpu.buffer("the rows between the passes", 4 * middle_len as u64, storage)?;
            passes.push(Pass {
                stage: Step::Vertical,
                bindings: self.vertical.bind(gpu, &[(0, &scale_from), (2, &uniform), (3, &weights), (4, &middle)]),
                invocations: middle_len as u32,
            });
            passes.push(Pass {
                stage: Step::Horizontal,
                bindings: self.horizontal.bind(gpu, &[(1, &result), (2, &uniform), (3, &weights), (4, &middle)]),
                invocations: result_len.div_ceil(4) as u32,
            });
        }
        let bytes = result_len.next_multiple_of(4) as u64;
        let ring = Ring::new(gpu, 3, bytes.next_multiple_of(8) + conclave_shaders::timer::TIMER_BYTES)?;
        gpu.check()?;
        self.frame = Some(Frame { source, result, bytes, ring, stamps: None, passes });
        Ok(())
    }

    /// Converts one frame of the kind last prepared and leaves it in its buffer. Waits for nothing; the microseconds are
    /// those of the frame before.
    pub(super) fn run_here(&mut self, data: &[u8]) -> Result<Option<u64>, DeviceError> {
        let Some(frame) = &mut self.frame else {
            return Err(DeviceError::Lost { what: "no frame was prepared".into() });
        };
        self.gpu.check()?;
        self.gpu.upload(&frame.source, data)?;
        let kernels = [&self.convert, &self.vertical, &self.horizontal];
        let encoder = record(&self.gpu, kernels, self.timer.as_ref(), frame);
        let Some(timer) = &self.timer else {
            self.gpu.queue.submit([encoder.finish()]);
            return Ok(None);
        };
        let before = frame.stamps.take_if(|ticket| frame.ring.is_ready(&self.gpu, ticket));
        let micros = match before {
            Some(ticket) => frame.ring.read(&self.gpu, ticket, |stamps| timer.microseconds(stamps))?,
            None => None,
        };
        if frame.stamps.is_none() {
            frame.stamps = Some(submit(&self.gpu, encoder, Some(timer), None, frame)?);
        } else {
            self.gpu.queue.submit([encoder.finish()]);
        }
        Ok(micros)
    }

    /// Converts one frame of the kind last prepared, copies the result to `out`, and returns the microseconds that the
    /// adapter says it took.
    pub(super) fn run(&mut self, data: &[u8], out: &mut [u8]) -> Result<Option<u64>, DeviceError> {
        let Some(frame) = &mut self.frame else {
            return Err(DeviceError::Lost { what: "no frame was prepared".into() });
        };
        self.gpu.upload(&frame.source, data)?;
        let kernels = [&self.convert, &self.vertical, &self.horizontal];
        let encoder = record(&self.gpu, kernels, self.timer.as_ref(), frame);
        let ticket = submit(&self.gpu, encoder, self.timer.as_ref(), Some(frame.bytes), frame)?;
        let (timer, bytes) = (self.timer.as_ref(), frame.bytes as usize);
        let micros = frame.ring.read(&self.gpu, ticket, |result| {
            out.copy_from_slice(&result[..out.len()]);
            timer.and_then(|timer| timer.microseconds(&result[bytes..][..16]))
        })?;
        self.gpu.check()?;
        Ok(micros)
    }
}

fn record(gpu: &Gpu, kernels: [&Kernel; 3], timer: Option<&Timer>, frame: &Frame) -> wgpu::CommandEncoder {
    let mut encoder = gpu.device.create_command_encoder(&Default::default());
    let timestamp_writes = timer.map(Timer::around);
    let mut pass =
        encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: Some("convert"), timestamp_writes });
    for step in &frame.passes {
        kernels[step.stage as usize].record(&mut pass, &step.bindings, step.invocations);
    }
    drop(pass);
    encoder
}

/// Submits, and asks for so many bytes of the result, if any, and for the timestamps, if there are some.
fn submit(
    gpu: &Gpu,
    mut encoder: wgpu::CommandEncoder,
    timer: Option<&Timer>,
    bytes: Option<u64>,
    frame: &mut Frame,
) -> Result<Ticket, DeviceError> {
    let result = bytes.map(|bytes| Part::front(&frame.result, bytes));
    let stamps = timer.map(|timer| Part::front(timer.resolve(&mut encoder), conclave_shaders::timer::TIMER_BYTES));
    let parts = [result, stamps];
    match parts {
        [Some(result), Some(stamps)] => frame.ring.submit(gpu, encoder, &[result, stamps]),
        [Some(part), None] | [None, Some(part)] => frame.ring.submit(gpu, encoder, &[part]),
        [None, None] => frame.ring.submit(gpu, encoder, &[]),
    }
}

fn uniform<T: bytemuck::Pod>(gpu: &Gpu, value: &T) -> Result<wgpu::Buffer, DeviceError> {
    let buffer = gpu.buffer("the parameters", size_of::<T>() as u64, BufferUsages::UNIFORM)?;
    gpu.upload(&buffer, bytemuck::bytes_of(value))?;
    Ok(buffer)
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
    let pair = |size: super::Size| [size.width, size.height];
    let params = ScaleParams {
        source_luma: pair(tables.from),
        source_chroma: pair(tables.from.chroma()),
        target_luma: pair(tables.to),
        target_chroma: pair(tables.to.chroma()),
        axes,
    };
    (params, words)
}
