//! What a frame is told to the shaders: `Params` of common.wgsl, field for field.

use crate::av1::decisions::{Cdef, Deblock};
use crate::av1::kernel::cost::Costs;
use crate::av1::kernel::quantize::Quantizer;
use crate::av1::layout::Layout;

/// Number of the first reference in the pool; before it stand the source, and the frame before its filters.
pub(super) const FIRST: u32 = 2;

/// `Params` of common.wgsl.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct Params {
    pub size: [u32; 2],
    pub cells: [u32; 2],
    pub superblocks: [u32; 2],
    pub tile: [u32; 2],
    pub last: u32,
    pub golden: u32,
    pub fresh: u32,
    /// Bit 0: there is a frame before; bit 1: the long-term reference is another one.
    pub flags: u32,
    pub quarter_bit: u32,
    pub vector_bit: u32,
    /// Size, reciprocal, rounding: to 16×16, and 32×32.
    pub cost_steps: [[u32; 3]; 2],
    /// Step, zero bin, rounding, reciprocal, shift: first coefficient, all others.
    pub quantizer: [[u32; 5]; 2],
    /// Luma vertical, luma horizontal, U, V.
    pub deblock: [u32; 4],
    /// Damping, luma primary and secondary, chroma primary and secondary.
    pub cdef: [u32; 5],
    pub pad: u32,
    /// Superblocks that rest, a bit each.
    pub still: [[u32; 4]; 17],
}

impl Params {
    /// The size and grid of a frame; the rest is zero.
    pub fn of(layout: &Layout) -> Self {
        let first = layout.tile(0, 0);
        let pair = |a: usize, b: usize| [a as u32, b as u32];
        Self {
            size: [layout.size.width, layout.size.height],
            cells: pair(layout.cols, layout.rows),
            superblocks: pair(layout.superblock_cols(), layout.superblock_rows()),
            tile: pair(first.right, first.bottom),
            ..Self::default()
        }
    }

    /// The weights of decisions.
    pub fn costs(self, costs: &Costs) -> Self {
        let (quarter_bit, vector_bit) = (costs.quarter_bit, costs.vector_bit);
        Self { quarter_bit, vector_bit, cost_steps: costs.steps(), ..self }
    }

    /// Steps and dead zones.
    pub fn quantizer(self, quantizer: &Quantizer) -> Self {
        Self { quantizer: quantizer.steps(), ..self }
    }

    /// Levels of both filters.
    pub fn filters(self, deblock: &Deblock, cdef: &Cdef) -> Self {
        let [vertical, horizontal] = deblock.luma.map(u32::from);
        let [u, v] = deblock.chroma.map(u32::from);
        let s = cdef.strengths[0];
        let strengths = [cdef.damping, s.luma_primary, s.luma_secondary, s.chroma_primary, s.chroma_secondary];
        Self { deblock: [vertical, horizontal, u, v], cdef: strengths.map(u32::from), ..self }
    }
}
