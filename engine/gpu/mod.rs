//! Convert and scale: what a camera or a screen delivers becomes the I420 picture that an encoder takes.
//!
//! There are two arms, a GPU and the CPU, and they give the same bytes: every WGSL kernel has its plain Rust twin, and
//! both compute with tables that the host makes once. [`Converter::open`] takes a GPU where there is one and the CPU
//! where there is none.
//!
//! The order is: to I420 in the target's colour at the source's size, then to the target's size, then what [`prepare`] adds
//! where it is asked for. Chroma is sited in the
//! centre of its 2 × 2 block: made from RGB it is the block's mean, used for luma it is repeated, and a missing column or
//! row at an odd edge is replicated.

mod coefficients;
mod convert;
mod device;
pub mod prepare;
mod scale;
mod taps;

pub use conclave_shaders::{AdapterReport, DeviceError, Gpu, adapters};
pub use prepare::{Fit, Lift, Prepare, Strength};

use std::sync::Arc;

use conclave_shaders::wgpu;

pub use crate::codecs::Rect;
use crate::codecs::{Color, Picture, Size};
use coefficients::Params;
use prepare::exposure::{self, Exposure};
use prepare::fit::Layout;
use prepare::{denoise, lift, mirror};
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
    /// Nothing of the source is to be seen.
    #[error(
        "the part {}x{} at ({}, {}) lies outside the source of {size}; take one that overlaps it, or none", crop.width, crop.height,
        crop.x, crop.y
    )]
    Crop {
        /// The part that was asked for.
        crop: Rect,
        /// Size of the source.
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
///
/// With [`Prepare::denoise`] and [`Prepare::lift`] a picture also depends on the ones before it. Where the GPU is lost, the
/// twins go on: with the light as it was, and with a noise filter that begins anew.
pub struct Converter {
    arm: Arm,
    plan: Option<Plan>,
    prepare: Prepare,
    exposure: Exposure,
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
    denoise: denoise::Denoise,
    counts: exposure::Counts,
}

/// What a kind of picture needs.
struct Plan {
    kind: Kind,
    /// `None` where the source is I420 in the target's colour already.
    params: Option<Params>,
    /// `None` where all of the source fills a target of its size.
    tables: Option<Tables>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Kind {
    format: Format,
    from: (Size, Color),
    to: (Size, Color),
    filter: Option<Filter>,
    layout: Layout,
    prepare: Prepare,
}

impl Converter {
    /// A converter on the CPU. Never fails.
    pub fn cpu() -> Self {
        Self::on(Arm::Cpu(Twins::default()))
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
            Ok(device) => Ok(Self::on(Arm::Gpu(Box::new(device)))),
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
            self.arm = Arm::Gpu(Box::new(device::Device::new(gpu.clone())?));
            self.plan = None;
        }
        Ok(())
    }

    fn on(arm: Arm) -> Self {
        Self { arm, plan: None, prepare: Prepare::default(), exposure: Exposure::default() }
    }

    /// What is done to pictures from the next one on. Buffers are made at that picture; what the noise filter remembers is
    /// kept as long as every sample stays in its place.
    pub fn set_prepare(&mut self, prepare: Prepare) {
        self.prepare = prepare;
    }

    /// What is done to pictures.
    pub fn prepare(&self) -> Prepare {
        self.prepare
    }

    /// The next picture does not follow the last: the noise filter begins anew. Without this a change is seen sample by
    /// sample, which is enough for a cut, and leaves what the two have in common.
    pub fn restart(&mut self) {
        match &mut self.arm {
            Arm::Cpu(twins) => twins.denoise.restart(),
            Arm::Gpu(device) => device.restart(),
        }
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
        let kind = self.kind(&source, target, color, filter)?;
        if out.size() != target {
            out.reset(target, color);
        }
        out.color = color;
        if let Err(error) = self.plan(kind) {
            self.leave(&error);
        }
        let Some(plan) = &self.plan else { return self.convert(source, target, color, filter, out) };
        if plan.copies() {
            out.data_mut().copy_from_slice(source.data);
            return Ok(ConvertStats::default());
        }
        match &mut self.arm {
            Arm::Cpu(twins) => {
                twins.run(plan, source.data, &mut self.exposure, out.data_mut());
                Ok(ConvertStats::default())
            }
            Arm::Gpu(device) => match device.run(source.data, &mut self.exposure, out.data_mut()) {
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
        let kind = self.kind(&source, target, color, filter)?;
        let made = match self.plan(kind) {
            Ok(()) => match (&mut self.arm, &self.plan) {
                (Arm::Gpu(device), Some(plan)) if !plan.copies() => device.run_here(source.data, &mut self.exposure),
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

    /// Copies the picture that [`Self::convert_gpu`] made last to `out`, as it is or, for a self view, in a mirror. `false`
    /// where there is none.
    pub(crate) fn view(&mut self, mirrored: bool, out: &mut Picture) -> bool {
        let (Arm::Gpu(device), Some(plan)) = (&mut self.arm, &self.plan) else { return false };
        let (size, color) = plan.kind.to;
        if out.size() != size {
            out.reset(size, color);
        }
        out.color = color;
        match device.view(mirrored, out.data_mut()) {
            Ok(()) => true,
            Err(error) => {
                self.leave(&error);
                false
            }
        }
    }

    fn kind(&self, source: &Source<'_>, target: Size, color: Color, filter: Option<Filter>) -> Result<Kind, GpuError> {
        check(source, target)?;
        let (prepare, size) = (self.prepare, source.size);
        let crop = prepare.crop.unwrap_or(Rect::whole(size));
        let layout = Layout::new(size, target, &prepare).ok_or(GpuError::Crop { crop, size })?;
        Ok(Kind { format: source.format, from: (size, source.color), to: (target, color), filter, layout, prepare })
    }

    /// Makes the tables and buffers for a kind of picture, unless it is that of the last one.
    fn plan(&mut self, kind: Kind) -> Result<(), DeviceError> {
        if self.plan.as_ref().is_some_and(|plan| plan.kind == kind) {
            return Ok(());
        }
        let keep = self.plan.take().is_some_and(|plan| plan.kind.remembers(&kind));
        let plan = Plan::new(kind);
        match &mut self.arm {
            Arm::Cpu(twins) if !keep => twins.denoise.restart(),
            Arm::Cpu(_) => {}
            Arm::Gpu(device) => {
                device.settle(&mut self.exposure)?;
                if !plan.copies() {
                    device.prepare(&plan, keep)?;
                }
            }
        }
        if kind.prepare.lift == Lift::Off {
            self.exposure.forget();
        }
        self.plan = Some(plan);
        Ok(())
    }

    /// The GPU failed: the twins go on, with the same results.
    fn leave(&mut self, error: &DeviceError) {
        tracing::warn!("converting on the CPU from here on: {error}");
        self.arm = Arm::Cpu(Twins::default());
        self.plan = None;
    }
}

impl Twins {
    fn run(&mut self, plan: &Plan, data: &[u8], exposure: &mut Exposure, out: &mut [u8]) {
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
        let ((size, color), prepare) = (plan.kind.to, plan.kind.prepare);
        if let Some(strength) = prepare.denoise {
            self.denoise.run(&denoise::Gate::new(strength), size, out);
        }
        if prepare.lift != Lift::Off {
            lift::count(size, exposure::floor(color), out, &mut self.counts);
            lift::apply(exposure.curve(color), size, out);
            exposure.observe(&self.counts, prepare.lift, color);
        }
        if prepare.mirror {
            mirror::in_place(size, out);
        }
    }
}

impl Kind {
    /// What a noise filter remembers of pictures of this kind is of use for those of another.
    fn remembers(&self, other: &Self) -> bool {
        let places = |kind: &Self| (kind.from, kind.to, kind.filter, kind.layout, kind.prepare.denoise.is_some());
        places(self) == places(other)
    }
}

impl Plan {
    fn new(kind: Kind) -> Self {
        let ((from, source), (to, target)) = (kind.from, kind.to);
        let converts = kind.format != Format::I420 || source != target;
        let whole = kind.layout == Layout { crop: Rect::whole(from), inside: Rect::whole(to) };
        Self {
            kind,
            params: converts.then(|| Params::new(kind.format, from, source, target)),
            tables: (from != to || !whole).then(|| Tables::new(from, kind.to, &kind.layout, kind.filter)),
        }
    }

    /// The source is the result.
    fn copies(&self) -> bool {
        self.params.is_none() && self.tables.is_none() && !self.prepares()
    }

    /// Something is done behind scaling.
    fn prepares(&self) -> bool {
        !self.kind.prepare.is_plain()
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
