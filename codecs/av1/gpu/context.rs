//! What all encoders of one adapter share: the device, the compiled pipelines, the numbers of the intra steps.

use std::sync::Arc;

use conclave_shaders::device::Prefer;
use conclave_shaders::{DeviceError, Gpu, wgpu};
use wgpu::BufferUsages;

use super::passes::{Kernels, Pass};
use crate::av1::encoder::{MAX_HEIGHT, MAX_WIDTH};
use crate::av1::kernel::islands::DEEPEST;

/// An opened adapter with the encoder's pipelines. Compiling them takes a while, so that one should serve all encoders.
pub struct Context {
    pub(super) gpu: Arc<Gpu>,
    pub(super) kernels: Kernels,
    /// The number of each anti-diagonal of a key frame, to be bound.
    pub(super) diagonals: Vec<wgpu::BindGroup>,
    /// The number of each depth of islands, from 1 on.
    pub(super) depths: Vec<wgpu::BindGroup>,
}

/// Uniforms are bound at multiples of so many bytes.
const ALIGNMENT: u64 = 256;

/// Intra steps of the greatest frame: diagonals of its 16×16 blocks.
const STEPS: u64 = (MAX_WIDTH as u64).div_ceil(16) + (MAX_HEIGHT as u64).div_ceil(16) - 1;

impl Context {
    /// Opens the best adapter that `prefer` admits.
    ///
    /// # Errors
    /// There is none, or a shader does not compile on it.
    pub fn open(prefer: Prefer) -> Result<Arc<Self>, DeviceError> {
        Self::new(Arc::new(Gpu::open(prefer)?))
    }

    /// On an adapter that is open, beside what else it does.
    ///
    /// # Errors
    /// A shader does not compile on it.
    pub fn new(gpu: Arc<Gpu>) -> Result<Arc<Self>, DeviceError> {
        let kernels = Kernels::new(&gpu)?;
        let numbers = gpu.buffer("steps", STEPS * ALIGNMENT, BufferUsages::UNIFORM)?;
        let mut bytes = vec![0; (STEPS * ALIGNMENT) as usize];
        for (step, bytes) in (0u32..).zip(bytes.chunks_exact_mut(ALIGNMENT as usize)) {
            bytes[..4].copy_from_slice(&step.to_le_bytes());
        }
        gpu.upload(&numbers, &bytes)?;
        let bind = |pass, step| kernels.of(pass).bind_part(&gpu, &numbers, step * ALIGNMENT, 4);
        let diagonals = (0..STEPS).map(|step| bind(Pass::Intra, step)).collect();
        let depths = (1..=u64::from(DEEPEST)).map(|depth| bind(Pass::Island, depth)).collect();
        Ok(Arc::new(Self { gpu, kernels, diagonals, depths }))
    }

    /// The adapter.
    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }
}
