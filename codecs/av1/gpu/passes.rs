//! Every pass of a frame: its shader, what it binds, how many workgroups it takes.

use conclave_shaders::av1::{
    CDEF, COMPACT, DEBLOCK, DECIDE, ISLANDS, MERGE, PARTITION, PYRAMID, RECONSTRUCT, SEARCH, STATISTICS, SUBPEL,
};
use conclave_shaders::kernel::{GROUP, spread};
use conclave_shaders::{DeviceError, Gpu, Kernel, Stage, wgpu};

use super::buffers::{Buffers, FRAME_WORDS};
use crate::av1::kernel::islands::DEEPEST;
use crate::av1::kernel::search::Grid;
use crate::av1::layout::Layout;

/// One entry point, in the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    Load,
    QuarterSource,
    EighthSource,
    Wide,
    Narrow,
    By16,
    By32,
    By8,
    Refine8,
    Refine16,
    Refine32,
    Choose8,
    Choose16,
    Choose32,
    Join16,
    Join32,
    Record,
    Islands,
    Inter,
    Intra,
    Island,
    Merge,
    Vertical,
    VerticalOdd,
    Horizontal,
    Direction,
    Apply,
    QuarterFresh,
    EighthFresh,
    Count,
    Total,
    Pack,
    /// Not of every frame.
    Roughness,
}

// Binding numbers, the same in every shader.
pub(super) const PARAMS: u32 = 0;
pub(super) const FRAMES: u32 = 1;
pub(super) const PYRAMIDS: u32 = 2;
pub(super) const VECTORS: u32 = 3;
pub(super) const CHOICES: u32 = 4;
pub(super) const BLOCKS: u32 = 5;
pub(super) const ENDS: u32 = 6;
pub(super) const LEVELS: u32 = 7;
pub(super) const TABLES: u32 = 8;
pub(super) const PACKED: u32 = 9;
pub(super) const TOTALS: u32 = 10;
pub(super) const PICTURE: u32 = 11;
pub(super) const ARGUMENTS: u32 = 12;

/// Number of bindings.
pub(super) const BINDINGS: usize = 13;

/// A line of the table.
struct Line {
    pass: Pass,
    stage: Stage,
    entry: &'static str,
    bindings: &'static [u32],
}

const fn line(pass: Pass, stage: Stage, entry: &'static str, bindings: &'static [u32]) -> Line {
    Line { pass, stage, entry, bindings }
}

const CHOOSE: &[u32] = &[PARAMS, FRAMES, VECTORS, CHOICES, TABLES];
const CODE: &[u32] = &[PARAMS, FRAMES, BLOCKS, ENDS, LEVELS, TABLES];

const TABLE: [Line; 33] = [
    line(Pass::Load, PYRAMID, "load", &[PARAMS, FRAMES, PICTURE]),
    line(Pass::QuarterSource, PYRAMID, "quarter_source", &[PARAMS, FRAMES, PYRAMIDS]),
    line(Pass::EighthSource, PYRAMID, "eighth_source", &[PARAMS, PYRAMIDS]),
    line(Pass::Wide, SEARCH, "wide", &[PARAMS, PYRAMIDS, VECTORS]),
    line(Pass::Narrow, SEARCH, "narrow", &[PARAMS, PYRAMIDS, VECTORS]),
    line(Pass::By16, SEARCH, "by16", &[PARAMS, FRAMES, VECTORS]),
    line(Pass::By32, SEARCH, "by32", &[PARAMS, FRAMES, VECTORS]),
    line(Pass::By8, SEARCH, "by8", &[PARAMS, FRAMES, VECTORS]),
    line(Pass::Refine8, SUBPEL, "refine8", &[PARAMS, FRAMES, VECTORS]),
    line(Pass::Refine16, SUBPEL, "refine16", &[PARAMS, FRAMES, VECTORS]),
    line(Pass::Refine32, SUBPEL, "refine32", &[PARAMS, FRAMES, VECTORS]),
    line(Pass::Choose8, DECIDE, "choose8", CHOOSE),
    line(Pass::Choose16, DECIDE, "choose16", CHOOSE),
    line(Pass::Choose32, DECIDE, "choose32", CHOOSE),
    line(Pass::Join16, PARTITION, "join16", &[PARAMS, CHOICES]),
    line(Pass::Join32, PARTITION, "join32", &[PARAMS, CHOICES]),
    line(Pass::Record, PARTITION, "record", &[PARAMS, CHOICES, BLOCKS]),
    line(Pass::Islands, ISLANDS, "islands", &[PARAMS, VECTORS, CHOICES, BLOCKS, ARGUMENTS]),
    line(Pass::Inter, RECONSTRUCT, "inter", CODE),
    line(Pass::Intra, RECONSTRUCT, "intra", CODE),
    line(Pass::Island, RECONSTRUCT, "island", &[PARAMS, FRAMES, CHOICES, BLOCKS, ENDS, LEVELS, TABLES]),
    line(Pass::Merge, MERGE, "merge", &[PARAMS, BLOCKS, ENDS]),
    line(Pass::Vertical, DEBLOCK, "vertical", &[PARAMS, FRAMES, BLOCKS]),
    line(Pass::VerticalOdd, DEBLOCK, "vertical_odd", &[PARAMS, FRAMES, BLOCKS]),
    line(Pass::Horizontal, DEBLOCK, "horizontal", &[PARAMS, FRAMES, BLOCKS]),
    line(Pass::Direction, CDEF, "direction", &[PARAMS, FRAMES, BLOCKS, CHOICES]),
    line(Pass::Apply, CDEF, "apply", &[PARAMS, FRAMES, BLOCKS, CHOICES]),
    line(Pass::QuarterFresh, PYRAMID, "quarter_fresh", &[PARAMS, FRAMES, PYRAMIDS]),
    line(Pass::EighthFresh, PYRAMID, "eighth_fresh", &[PARAMS, PYRAMIDS]),
    line(Pass::Count, COMPACT, "count", &[PARAMS, BLOCKS, ENDS, TOTALS]),
    line(Pass::Total, COMPACT, "total", &[PARAMS, TOTALS, PACKED]),
    line(Pass::Pack, COMPACT, "pack", &[PARAMS, BLOCKS, ENDS, LEVELS, PACKED, TOTALS]),
    line(Pass::Roughness, STATISTICS, "roughness", &[PARAMS, FRAMES, TOTALS]),
];

/// All pipelines, compiled once for any number of encoders on one adapter.
pub(super) struct Kernels(Vec<(Pass, Kernel)>);

impl Kernels {
    /// Compiles every entry point.
    pub fn new(gpu: &Gpu) -> Result<Self, DeviceError> {
        Self::only(gpu, |_| true)
    }

    /// Compiles those that are wanted.
    pub fn only(gpu: &Gpu, wanted: impl Fn(Pass) -> bool) -> Result<Self, DeviceError> {
        let compile = |line: &Line| Ok((line.pass, Kernel::new(gpu, &line.stage, line.entry)?));
        TABLE.iter().filter(|line| wanted(line.pass)).map(compile).collect::<Result<_, _>>().map(Self)
    }

    /// The bindings of every pass to the buffers of one encoder, in the order of the kernels.
    pub fn bind(&self, gpu: &Gpu, buffers: &Buffers) -> Vec<wgpu::BindGroup> {
        let bind = |(pass, kernel): &(Pass, Kernel)| {
            let bindings = TABLE[*pass as usize].bindings.iter();
            let bound: Vec<_> = bindings.map(|number| (*number, buffers.binding(*number))).collect();
            kernel.bind(gpu, &bound)
        };
        self.0.iter().map(bind).collect()
    }

    /// The kernel of a pass, where all are compiled.
    pub fn of(&self, pass: Pass) -> &Kernel {
        &self.0[pass as usize].1
    }

    /// The kernels with their passes.
    #[cfg(test)]
    pub fn all(&self) -> &[(Pass, Kernel)] {
        &self.0
    }
}

impl Pass {
    /// Those that make a frame, in their order.
    pub const FRAME: [Self; TABLE.len() - 1] = {
        let mut all = [Self::Load; TABLE.len() - 1];
        let mut i = 0;
        while i < all.len() {
            all[i] = TABLE[i].pass;
            i += 1;
        }
        all
    };

    /// Its stage and entry point.
    pub fn shader(self) -> (Stage, &'static str) {
        let Line { stage, entry, .. } = TABLE[self as usize];
        (stage, entry)
    }

    /// How often it is dispatched for a frame: key frames have their anti-diagonals, inter frames their islands' depths.
    pub fn repeats(self, layout: &Layout, key: bool) -> usize {
        match self {
            Self::Intra if key => {
                let grid = Grid::of(layout, 16);
                grid.rows + grid.cols - 1
            }
            Self::Island if !key => usize::from(DEEPEST),
            Self::Intra | Self::Island => 0,
            Self::QuarterSource
            | Self::EighthSource
            | Self::Wide
            | Self::Narrow
            | Self::By16
            | Self::By32
            | Self::By8
            | Self::Refine8
            | Self::Refine16
            | Self::Refine32
            | Self::Islands
            | Self::Inter => usize::from(!key),
            _ => 1,
        }
    }

    /// Workgroups of one dispatch of the pass over a frame of `layout`.
    pub fn groups(self, layout: &Layout) -> [u32; 3] {
        let superblocks = (layout.superblock_cols() * layout.superblock_rows()) as u32;
        let invocations = |count: u32| flat(count.div_ceil(GROUP));
        let blocks = |side: usize| Grid::of(layout, side).len() as u32;
        match self {
            Pass::Load | Pass::Apply => invocations(FRAME_WORDS * superblocks),
            Pass::QuarterSource | Pass::QuarterFresh => invocations(64 * superblocks),
            Pass::EighthSource | Pass::EighthFresh => invocations(16 * superblocks),
            Pass::Wide => flat(blocks(64)),
            // Small blocks share a workgroup: `PARTS_…` of search.wgsl and subpel.wgsl.
            Pass::Narrow => flat(blocks(32).div_ceil(4)),
            Pass::By16 | Pass::Refine16 => flat(blocks(16).div_ceil(4)),
            Pass::By8 | Pass::Refine8 => flat(blocks(8).div_ceil(8)),
            Pass::By32 | Pass::Refine32 | Pass::Choose32 => flat(blocks(32)),
            Pass::Choose16 => flat(blocks(16)),
            Pass::Choose8 => flat(blocks(8)),
            Pass::Join16 => invocations(blocks(16)),
            Pass::Join32 => invocations(blocks(32)),
            Pass::Record | Pass::Direction => invocations(64 * superblocks),
            Pass::Inter => flat(64 * superblocks),
            Pass::Island => flat(blocks(16)),
            Pass::Intra => flat(Grid::of(layout, 16).rows.min(Grid::of(layout, 16).cols) as u32),
            Pass::Merge | Pass::Count | Pass::Pack | Pass::Roughness => flat(superblocks),
            Pass::Vertical => invocations((2 * layout.cells() + 2 * layout.rows * layout.cols.div_ceil(2)) as u32),
            Pass::VerticalOdd => invocations((2 * layout.rows * (layout.cols / 2)) as u32),
            Pass::Horizontal => invocations(4 * layout.cells() as u32),
            Pass::Total | Pass::Islands => [1; 3],
        }
    }
}

fn flat(groups: u32) -> [u32; 3] {
    let [x, y] = spread(groups);
    [x, y, 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pass_stands_in_its_line() {
        for (i, line) in TABLE.iter().enumerate() {
            assert_eq!(line.pass as usize, i, "{}", line.entry);
            assert!(line.stage.entries.contains(&line.entry), "{}", line.entry);
            assert!(line.bindings.len() <= 9, "{}: more than eight storage buffers and a uniform", line.entry);
        }
    }
}
