//! The GPU arm of preparation: the passes behind scaling, and what they keep from frame to frame.

use conclave_shaders::prepare::{DENOISE, EXPOSURE, LIFT, MIRROR};
use conclave_shaders::wgpu::BufferUsages;
use conclave_shaders::{DeviceError, Gpu, Kernel, kernel, wgpu};

use super::denoise::Gate;
use super::exposure::{Counts, Exposure, floor};
use super::{Lift, Prepare};
use crate::codecs::Color;
use crate::gpu::Size;

/// Compiled when the first of them is wanted.
pub(crate) struct Kernels {
    denoise: Kernel,
    exposure: Kernel,
    lift: Kernel,
    mirror: Kernel,
}

impl Kernels {
    pub(crate) fn new(gpu: &Gpu) -> Result<Self, DeviceError> {
        Ok(Self {
            denoise: Kernel::new(gpu, &DENOISE, "denoise")?,
            exposure: Kernel::new(gpu, &EXPOSURE, "exposure")?,
            lift: Kernel::new(gpu, &LIFT, "lift")?,
            mirror: Kernel::new(gpu, &MIRROR, "mirror")?,
        })
    }

    /// The buffer that [`Self::record_view`] mirrors `picture` into, and its bindings.
    pub(crate) fn view(
        &self,
        gpu: &Gpu,
        picture: &wgpu::Buffer,
        size: Size,
    ) -> Result<(wgpu::BindGroup, wgpu::Buffer), DeviceError> {
        let storage = BufferUsages::STORAGE | BufferUsages::COPY_SRC;
        let view = gpu.buffer("the self view", size.i420_len() as u64, storage)?;
        let params = uniform(gpu, &extents(size))?;
        Ok((self.mirror.bind(gpu, &[(0, picture), (1, &view), (2, &params)]), view))
    }

    /// Records the mirror alone.
    pub(crate) fn record_view(&self, encoder: &mut wgpu::CommandEncoder, bindings: &wgpu::BindGroup, size: Size) {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        self.mirror.record(&mut pass, bindings, size.i420_len().div_ceil(4) as u32);
    }
}

/// What the noise filter remembers, in two buffers that take turns.
pub(crate) struct Memory {
    buffers: [wgpu::Buffer; 2],
    /// The one that was written last.
    last: usize,
    /// The last one is cleared before it is read.
    restart: bool,
}

impl Memory {
    fn new(gpu: &Gpu, size: Size) -> Result<Self, DeviceError> {
        let bytes = 2 * size.i420_len().next_multiple_of(4) as u64;
        let buffer = || gpu.buffer("the memory of the noise filter", bytes, BufferUsages::STORAGE);
        Ok(Self { buffers: [buffer()?, buffer()?], last: 0, restart: false })
    }
}

/// The passes of one kind of frame.
pub(crate) struct Stages {
    denoise: Option<Denoise>,
    light: Option<Light>,
    mirror: Option<wgpu::BindGroup>,
    /// One for each word of the picture.
    invocations: u32,
}

struct Denoise {
    memory: Memory,
    /// Reading the first buffer, and reading the second.
    bindings: [wgpu::BindGroup; 2],
}

struct Light {
    lift: Lift,
    color: Color,
    exposure: wgpu::BindGroup,
    counts: wgpu::Buffer,
    /// Workgroups that count.
    groups: [u32; 2],
    apply: wgpu::BindGroup,
    curve: wgpu::Buffer,
    /// The gain that the curve on the adapter was made of.
    gain: Option<u32>,
}

/// The picture that is prepared: where it comes from and goes to, and what it is.
pub(crate) struct Path<'a> {
    pub source: &'a wgpu::Buffer,
    pub result: &'a wgpu::Buffer,
    pub size: Size,
    pub color: Color,
}

/// The uniform of denoise.wgsl, field for field.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct DenoiseParams {
    extents: [u32; 4],
    begin: [i32; 2],
    slope: [i32; 2],
    most: u32,
    pad: [u32; 3],
}

/// Words that an invocation of exposure.wgsl counts.
const WORDS: usize = 16;

impl Stages {
    /// `memory` is that of the filter before, where it stays of use.
    pub(crate) fn new(
        gpu: &Gpu,
        kernels: &Kernels,
        prepare: &Prepare,
        path: Path<'_>,
        memory: Option<Memory>,
    ) -> Result<Self, DeviceError> {
        let Path { mut source, result, size, color } = path;
        let bytes = size.i420_len() as u64;
        let between = || gpu.buffer("the picture between two stages", bytes, BufferUsages::STORAGE);
        let lifts = prepare.lift != Lift::Off;
        let extents = extents(size);
        let extents_uniform = uniform(gpu, &extents)?;
        let (denoised, lifted);
        let mut denoise = None;
        if let Some(strength) = prepare.denoise {
            let target = match lifts || prepare.mirror {
                true => {
                    denoised = between()?;
                    &denoised
                }
                false => result,
            };
            let Gate { begin, slope, most } = Gate::new(strength);
            let params = uniform(gpu, &DenoiseParams { extents, begin, slope, most, pad: [0; 3] })?;
            let memory = memory.map_or_else(|| Memory::new(gpu, size), Ok)?;
            let bindings = [(0, 1), (1, 0)].map(|(before, after)| {
                let (before, after) = (&memory.buffers[before], &memory.buffers[after]);
                kernels.denoise.bind(gpu, &[(0, source), (1, target), (2, &params), (3, before), (4, after)])
            });
            denoise = Some(Denoise { memory, bindings });
            source = target;
        }
        let mut light = None;
        if lifts {
            let target = match prepare.mirror {
                true => {
                    lifted = between()?;
                    &lifted
                }
                false => result,
            };
            let storage = BufferUsages::STORAGE | BufferUsages::COPY_SRC;
            let counts = gpu.buffer("the histograms", COUNTS, storage)?;
            let curve = gpu.buffer("the tone curve", 4 * 256, storage)?;
            let params = uniform(gpu, &[size.width, size.height, u32::from(floor(color)), 0])?;
            light = Some(Light {
                lift: prepare.lift,
                color,
                exposure: kernels.exposure.bind(gpu, &[(0, source), (1, &counts), (2, &params)]),
                counts,
                groups: kernel::spread(size.area().div_ceil(4 * WORDS * kernel::GROUP as usize) as u32),
                apply: kernels.lift.bind(gpu, &[(0, source), (1, target), (2, &extents_uniform), (3, &curve)]),
                curve,
                gain: None,
            });
            source = target;
        }
        let mirror =
            prepare.mirror.then(|| kernels.mirror.bind(gpu, &[(0, source), (1, result), (2, &extents_uniform)]));
        Ok(Self { denoise, light, mirror, invocations: size.i420_len().div_ceil(4) as u32 })
    }

    /// The buffer that has [`Counts`] once the passes have run.
    pub(crate) fn counts(&self) -> Option<&wgpu::Buffer> {
        self.light.as_ref().map(|light| &light.counts)
    }

    /// Tells the exposure what was counted.
    pub(crate) fn observe(&self, counts: &[u8], exposure: &mut Exposure) {
        if let Some(light) = &self.light {
            exposure.observe(&bytemuck::pod_read_unaligned(counts), light.lift, light.color);
        }
    }

    /// The filter begins anew with the next picture.
    pub(crate) fn restart(&mut self) {
        if let Some(denoise) = &mut self.denoise {
            denoise.memory.restart = true;
        }
    }

    /// What the filter remembers, for the passes of another kind of frame.
    pub(crate) fn into_memory(self) -> Option<Memory> {
        self.denoise.map(|denoise| denoise.memory)
    }

    /// What comes in front of the passes: buffers cleared, the curve renewed.
    pub(crate) fn ready(
        &mut self,
        gpu: &Gpu,
        encoder: &mut wgpu::CommandEncoder,
        exposure: &mut Exposure,
    ) -> Result<(), DeviceError> {
        if let Some(Denoise { memory, .. }) = &mut self.denoise
            && std::mem::take(&mut memory.restart)
        {
            encoder.clear_buffer(&memory.buffers[memory.last], 0, None);
        }
        if let Some(light) = &mut self.light {
            encoder.clear_buffer(&light.counts, 0, None);
            let gain = exposure.gain();
            if light.gain != Some(gain) {
                gpu.upload(&light.curve, bytemuck::cast_slice(exposure.curve(light.color).words()))?;
                light.gain = Some(gain);
            }
        }
        Ok(())
    }

    /// Records the passes.
    pub(crate) fn record(&mut self, kernels: &Kernels, pass: &mut wgpu::ComputePass<'_>) {
        if let Some(Denoise { memory, bindings }) = &mut self.denoise {
            kernels.denoise.record(pass, &bindings[memory.last], self.invocations);
            memory.last = 1 - memory.last;
        }
        if let Some(light) = &self.light {
            kernels.exposure.dispatch(pass, &light.exposure, None, [light.groups[0], light.groups[1], 1]);
            kernels.lift.record(pass, &light.apply, self.invocations);
        }
        if let Some(bindings) = &self.mirror {
            kernels.mirror.record(pass, bindings, self.invocations);
        }
    }
}

/// Bytes of [`Counts`].
pub(crate) const COUNTS: u64 = size_of::<Counts>() as u64;

/// Columns and rows of luma, then of chroma.
fn extents(size: Size) -> [u32; 4] {
    [size.width, size.height, size.chroma().width, size.chroma().height]
}

/// A buffer with what a stage is told.
pub(crate) fn uniform<T: bytemuck::Pod>(gpu: &Gpu, value: &T) -> Result<wgpu::Buffer, DeviceError> {
    let buffer = gpu.buffer("the parameters", size_of::<T>() as u64, BufferUsages::UNIFORM)?;
    gpu.upload(&buffer, bytemuck::bytes_of(value))?;
    Ok(buffer)
}
