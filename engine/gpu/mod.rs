//! Convert and scale: what a camera or a screen delivers becomes the I420 picture that an encoder takes.
//!
//! There are two arms, a GPU and the CPU, and they give the same bytes: every WGSL kernel has its plain Rust twin, and
//! both compute with tables that the host makes once. [`Converter::open`] takes a GPU where there is one and the CPU
//! where there is none.
//!
//! The order is: to I420 in the target's colour at the source's size, then to the target's size. Chroma is sited in the
//! centre of its 2 × 2 block: made from RGB it is the block's mean, used for luma it is repeated, and a missing column or
//! row at an odd edge is replicated.

mod coefficients;
mod convert;
mod device;
mod scale;
mod taps;

pub use conclave_shaders::{AdapterReport, DeviceError, Gpu, adapters};

use std::sync::Arc;

use conclave_shaders::wgpu;

use crate::codecs::{Color, Picture, Size};
use coefficients::Params;
use scale::Tables;

/// How the bytes of a source lie. Rows are tight, in every format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
pub enum Format {
    /// R, G, B and an ignored byte.
    Rgba,
    /// B, G, R and an ignored byte.
    Bgra,
    /// Luma, then rows of U and V interleaved; 4:2:0.
    Nv12,
    /// Luma, then U, then V; 4:2:0.
    I420,
    /// Y, U, Y, V for two pixels; 4:2:2. An odd width is rounded up to whole pairs.
    Yuy2,
}

impl Format {
    /// All of them.
    pub const ALL: [Format; 5] = [Format::Rgba, Format::Bgra, Format::Nv12, Format::I420, Format::Yuy2];

    /// Bytes of a picture of this format.
    pub const fn len(self, size: Size) -> usize {
        match self {
            Format::Rgba | Format::Bgra => 4 * size.area(),
            Format::Nv12 | Format::I420 => size.i420_len(),
            Format::Yuy2 => 4 * size.chroma().width as usize * size.height as usize,
        }
    }

    /// Lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Format::Rgba => "rgba",
            Format::Bgra => "bgra",
            Format::Nv12 => "nv12",
            Format::I420 => "i420",
            Format::Yuy2 => "yuy2",
        }
    }
}

/// A picture as it was captured.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Layout of `data`.
    pub format: Format,
    /// Width and height in pixels.
    pub size: Size,
    /// What the samples mean; of no account for RGB, which is always full range.
    pub color: Color,
    /// The samples, [`Format::len`] bytes.
    pub data: &'a [u8],
}

/// How a picture gets another size. Each is widened by the ratio where samples get fewer, so that none aliases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
pub enum Filter {
    /// The mean over the area that an output sample covers: the cheapest on the way down, and it never rings.
    Area,
    /// Catmull–Rom: sharper, rings a little.
    Bicubic,
    /// Between the two nearest: for the way up.
    Bilinear,
}

/// Which arm to take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub enum Prefer {
    /// A GPU in hardware, else the CPU. An adapter that computes on the CPU (lavapipe) is slower than the twins and is
    /// not taken.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A GPU, lavapipe included; an error where there is none.
    Gpu,
}

/// What one conversion cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct ConvertStats {
    /// Microseconds between the GPU's own timestamps around the kernels, transfers not included; `None` on the CPU, for
    /// plain copies, and on adapters without timestamps.
    pub gpu_us: Option<u64>,
}

/// Why a picture was not converted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GpuError {
    /// The data do not have the length that format and size imply.
    #[error(
        "a {format} picture of {size} has {expected} bytes, and {given} were given; check its format, size and row padding"
    )]
    Length {
        /// The format's name.
        format: &'static str,
        /// The size stated.
        size: Size,
        /// Bytes that it implies.
        expected: usize,
        /// Bytes there were.
        given: usize,
    },
    /// A size that no picture has.
    #[error(
        "the {which} size {size} cannot be converted; each side must be 1 to {MAX_SIDE} and the area at most {MAX_AREA}"
    )]
    Size {
        /// `source` or `target`.
        which: &'static str,
        /// The size given.
        size: Size,
    },
    /// The adapter failed, or there is none.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

/// Longest side of a picture.
pub const MAX_SIDE: u32 = 16_384;

/// Largest picture, in pixels: 8192 × 8192.
pub const MAX_AREA: usize = 1 << 26;

/// Converts and scales pictures, one at a time, on the arm it was opened with. Tables and buffers are made at the first
/// picture of a kind (format, sizes, colours, filter) and kept while the kind stays the same; on the CPU nothing is
/// allocated after that.
pub struct Converter {
    arm: Arm,
    plan: Option<Plan>,
}

enum Arm {
    Cpu(Twins),
    Gpu(Box<device::Device>),
}

/// The twins and what they keep between pictures.
#[derive(Default)]
struct Twins {
    convert: convert::Convert,
    scale: scale::Scale,
    /// The picture between the two.
    between: Vec<u8>,
}

/// What a kind of picture needs.
struct Plan {
    kind: Kind,
    /// `None` where the source is I420 in the target's colour already.
    params: Option<Params>,
    /// `None` where the sizes are equal.
    tables: Option<Tables>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Kind {
    format: Format,
    from: (Size, Color),
    to: (Size, Color),
    filter: Option<Filter>,
}

impl Converter {
    /// A converter on the CPU. Never fails.
    pub fn cpu() -> Self {
        Self { arm: Arm::Cpu(Twins::default()), plan: None }
    }

    /// A converter on the arm that `prefer` admits. Fails only with [`Prefer::Gpu`], where no adapter opens.
    pub fn open(prefer: Prefer) -> Result<Self, GpuError> {
        use conclave_shaders::device::Prefer as Adapter;
        let opened = match prefer {
            Prefer::Cpu => return Ok(Self::cpu()),
            Prefer::Auto => device::Device::open(Adapter::Hardware),
            Prefer::Gpu => device::Device::open(Adapter::Any),
        };
        match opened {
            Ok(device) => Ok(Self { arm: Arm::Gpu(Box::new(device)), plan: None }),
            Err(error) if prefer == Prefer::Auto => {
                tracing::debug!("converting on the CPU: {error}");
                Ok(Self::cpu())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Moves to an adapter that is open, so that what is there can use the pictures without their crossing to the host
    /// ([`Self::convert_gpu`]). A converter on the CPU stays there.
    ///
    /// # Errors
    /// A shader does not compile on it.
    pub fn join(&mut self, gpu: &Arc<Gpu>) -> Result<(), GpuError> {
        if matches!(self.arm, Arm::Gpu(_)) && !self.shares(gpu) {
            *self = Self { arm: Arm::Gpu(Box::new(device::Device::new(gpu.clone())?)), plan: None };
        }
        Ok(())
    }

    /// It runs on this adapter.
    pub fn shares(&self, gpu: &Arc<Gpu>) -> bool {
        matches!(&self.arm, Arm::Gpu(device) if Arc::ptr_eq(device.gpu(), gpu))
    }

    /// Where it runs: `cpu`, or the adapter's name.
    pub fn device(&self) -> &str {
        match &self.arm {
            Arm::Cpu(_) => "cpu",
            Arm::Gpu(device) => device.name(),
        }
    }

    /// Writes `source`, in the given size and colour, to `out`. `filter` `None` chooses for each axis: area where samples
    /// get fewer, bilinear where they get more. On an error `out` is unspecified.
    pub fn convert(
        &mut self,
        source: Source<'_>,
        target: Size,
        color: Color,
        filter: Option<Filter>,
        out: &mut Picture,
    ) -> Result<ConvertStats, GpuError> {
        check(&source, target)?;
        if out.size() != target {
            out.reset(target, color);
        }
        out.color = color;
        if let Err(error) = self.plan(&source, target, color, filter) {
            self.leave(&error);
        }
        let Some(plan) = &self.plan else { return self.convert(source, target, color, filter, out) };
        if plan.copies() {
            out.data_mut().copy_from_slice(source.data);
            return Ok(ConvertStats::default());
        }
        match &mut self.arm {
            Arm::Cpu(twins) => {
                twins.run(plan, source.data, out.data_mut());
                Ok(ConvertStats::default())
            }
            Arm::Gpu(device) => match device.run(source.data, out.data_mut()) {
                Ok(gpu_us) => Ok(ConvertStats { gpu_us }),
                Err(error) => {
                    self.leave(&error);
                    self.convert(source, target, color, filter, out)
                }
            },
        }
    }

    /// The same, with the picture left on the GPU: tight I420 from the first byte on, until the next conversion. `None`
    /// where there is nothing to convert, or no GPU: then the picture is wanted from [`Self::convert`].
    ///
    /// # Errors
    /// Sizes and lengths that are wrong.
    pub fn convert_gpu(
        &mut self,
        source: Source<'_>,
        target: Size,
        color: Color,
        filter: Option<Filter>,
    ) -> Result<Option<(&wgpu::Buffer, ConvertStats)>, GpuError> {
        check(&source, target)?;
        let made = match self.plan(&source, target, color, filter) {
            Ok(()) => match (&mut self.arm, &self.plan) {
                (Arm::Gpu(device), Some(plan)) if !plan.copies() => device.run_here(source.data),
                _ => return Ok(None),
            },
            Err(error) => Err(error),
        };
        match made {
            Ok(gpu_us) => Ok(match &self.arm {
                Arm::Gpu(device) => device.result().map(|result| (result, ConvertStats { gpu_us })),
                Arm::Cpu(_) => None,
            }),
            Err(error) => {
                self.leave(&error);
                Ok(None)
            }
        }
    }

    /// Makes the tables and buffers for a kind of picture, unless it is that of the last one.
    fn plan(
        &mut self,
        source: &Source<'_>,
        target: Size,
        color: Color,
        filter: Option<Filter>,
    ) -> Result<(), DeviceError> {
        let kind = Kind { format: source.format, from: (source.size, source.color), to: (target, color), filter };
        if self.plan.as_ref().is_some_and(|plan| plan.kind == kind) {
            return Ok(());
        }
        self.plan = None;
        let plan = Plan::new(kind);
        if let Arm::Gpu(device) = &mut self.arm
            && !plan.copies()
        {
            let (source, result) = (source.data.len(), target.i420_len());
            device.prepare(source, plan.params.as_ref(), plan.tables.as_ref(), result)?;
        }
        self.plan = Some(plan);
        Ok(())
    }

    /// The GPU failed: the twins go on, with the same results.
    fn leave(&mut self, error: &DeviceError) {
        tracing::warn!("converting on the CPU from here on: {error}");
        *self = Self::cpu();
    }
}

impl Twins {
    fn run(&mut self, plan: &Plan, data: &[u8], out: &mut [u8]) {
        match (&plan.params, &plan.tables) {
            (Some(params), None) => self.convert.run(params, plan.kind.format, data, out),
            (Some(params), Some(tables)) => {
                self.between.resize(tables.from.i420_len(), 0);
                self.convert.run(params, plan.kind.format, data, &mut self.between);
                self.scale.run(tables, &self.between, out);
            }
            (None, Some(tables)) => self.scale.run(tables, data, out),
            (None, None) => out.copy_from_slice(data),
        }
    }
}

impl Plan {
    fn new(kind: Kind) -> Self {
        let ((from, source), (to, target)) = (kind.from, kind.to);
        let converts = kind.format != Format::I420 || source != target;
        Self {
            kind,
            params: converts.then(|| Params::new(kind.format, from, source, target)),
            tables: (from != to).then(|| Tables::new(from, to, kind.filter)),
        }
    }

    /// The source is the result.
    fn copies(&self) -> bool {
        self.params.is_none() && self.tables.is_none()
    }
}

fn check(source: &Source<'_>, target: Size) -> Result<(), GpuError> {
    for (which, size) in [("source", source.size), ("target", target)] {
        let sides = [size.width, size.height];
        if !sides.iter().all(|side| (1..=MAX_SIDE).contains(side)) || size.area() > MAX_AREA {
            return Err(GpuError::Size { which, size });
        }
    }
    let (expected, given) = (source.format.len(source.size), source.data.len());
    if expected != given {
        let (format, size) = (source.format.name(), source.size);
        return Err(GpuError::Length { format, size, expected, given });
    }
    Ok(())
}
