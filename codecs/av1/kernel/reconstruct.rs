//! Prediction plus residual: from decisions to samples, and, while deciding, from a picture to levels and samples.
//!
//! Inter blocks need nothing of their own frame, so all of them come first, in any order; then intra blocks in coding
//! order. A block that sticks out of the frame is reconstructed whole: planes have room for it.

use super::predict::{self, Edges, LumaChanges, Place};
use super::quantize::{DeadZone, Levels, Quantizer, dequantize, quantize};
use super::transform::{AREA, Coefficients, forward, inverse_add};
use crate::av1::decisions::{Block, BlockSize, ChromaMode, Decisions, IntraMode, Reference, Transform, from_z_order};
use crate::av1::frame::{Frame, Samples};
use crate::av1::layout::{CELL, Layout, SUPERBLOCK};

/// The frames that inter blocks are predicted from, of the same size as the new one.
#[derive(Clone, Copy, Debug)]
pub struct References<'a> {
    /// The frame before.
    pub last: &'a Frame,
    /// The long-term reference.
    pub golden: &'a Frame,
}

impl<'a> References<'a> {
    /// The frame that a block names; `None` for its own.
    pub fn frame(&self, reference: Reference) -> Option<&'a Frame> {
        match reference {
            Reference::Intra => None,
            Reference::Last => Some(self.last),
            Reference::Golden => Some(self.golden),
        }
    }
}

/// The upper left cell of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Row in the grid.
    pub row: usize,
    /// Column.
    pub col: usize,
}

impl Cell {
    /// Column and row of its first sample in `plane`.
    fn origin(self, plane: usize) -> (usize, usize) {
        let side = if plane == 0 { CELL } else { CELL / 2 };
        (self.col * side, self.row * side)
    }
}

/// Predicts every block and adds its residual: the frame before its filters.
///
/// Inter blocks without references stay as `out` was.
pub fn frame(decisions: &Decisions, references: Option<References<'_>>, out: &mut Frame) {
    let quantizer = Quantizer::new(decisions.quantizer, DeadZone::default(), DeadZone::default());
    let mut room = Coefficients::default();
    for inter in [true, false] {
        for (cell, block) in blocks(decisions).filter(|(_, block)| block.is_inter() == inter) {
            for plane in 0..3 {
                predict(decisions.layout(), cell, block, references, plane, out);
                add_residual(decisions, cell, plane, &quantizer, &mut room, out);
            }
        }
    }
}

/// Every block with its upper left cell, in coding order within each tile.
pub fn blocks(decisions: &Decisions) -> impl Iterator<Item = (Cell, &Block)> {
    cells(decisions.layout()).filter_map(|cell| {
        let block = decisions.block(cell.row, cell.col);
        begins(block, cell).then_some((cell, block))
    })
}

/// Every cell of the frame: superblock after superblock, in Z order within each.
fn cells(layout: &Layout) -> impl Iterator<Item = Cell> + use<> {
    let (rows, cols) = (layout.rows, layout.cols);
    let (down, across) = (layout.superblock_rows(), layout.superblock_cols());
    let superblocks = (0..down).flat_map(move |row| (0..across).map(move |col| (row * SUPERBLOCK, col * SUPERBLOCK)));
    let cells = superblocks.flat_map(|(row, col)| {
        (0..SUPERBLOCK * SUPERBLOCK).map(move |z| {
            let (down, across) = from_z_order(z);
            Cell { row: row + down, col: col + across }
        })
    });
    cells.filter(move |cell| cell.row < rows && cell.col < cols)
}

/// The block has its upper left corner in the cell.
fn begins(block: &Block, cell: Cell) -> bool {
    let side = block.size.cells();
    cell.row % side == 0 && cell.col % side == 0
}

/// The transform of a block's `plane`. Chroma of inter blocks has luma's, which is only coded where luma has levels;
/// chroma of intra blocks has the DCT.
pub fn transform_of(block: &Block, plane: usize, luma_end: u16) -> Transform {
    let same = plane == 0 || block.is_inter() && luma_end > 0;
    if same { block.transform } else { Transform::Dct }
}

/// No plane of the block at `cell` has levels whose inverse transform leaves the range that decoders agree in
/// (specification §7.13.2.1). Random levels that do are to be drawn anew.
pub fn in_range(decisions: &Decisions, cell: Cell) -> bool {
    let quantizer = Quantizer::new(decisions.quantizer, DeadZone::default(), DeadZone::default());
    let block = decisions.block(cell.row, cell.col);
    let ends = decisions.ends[decisions.layout().cell(cell.row, cell.col)];
    let mut room = Coefficients::default();
    block.skip
        || (0..3).all(|plane| {
            let side = block.transform_side(plane);
            let levels = &decisions.levels(plane, cell.row, cell.col, side)[..usize::from(ends[plane])];
            dequantize(levels, side, &quantizer, &mut room);
            room.in_range(transform_of(block, plane, ends[0]))
        })
}

/// Predicts one plane of a block. Chroma from luma reads the block's reconstructed luma.
pub fn predict(
    layout: &Layout,
    cell: Cell,
    block: &Block,
    references: Option<References<'_>>,
    plane: usize,
    out: &mut Frame,
) {
    let shift = usize::from(plane > 0);
    let ((x, y), side) = (cell.origin(plane), block.size.side() >> shift);
    if block.is_inter() {
        let Some(reference) = references.and_then(|references| references.frame(block.reference)) else { return };
        let Samples { data, stride, .. } = &mut out.planes[plane];
        let target = &mut data[y * *stride + x..];
        let reference = &reference.planes[plane];
        let at = (x as i32, y as i32);
        return predict::inter(reference, at.0, at.1, side, side, block.vector, plane > 0, target, *stride);
    }
    let tile = layout.tile_of(cell.row, cell.col);
    let place = Place {
        x,
        y,
        side,
        has_above: cell.row > tile.top,
        has_left: cell.col > tile.left,
        right: (layout.cols * CELL) >> shift,
        bottom: (layout.rows * CELL) >> shift,
    };
    let (mode, alpha) = match (plane, block.chroma) {
        (0, _) => (block.mode, 0),
        (_, ChromaMode::Dc) => (IntraMode::Dc, 0),
        (_, ChromaMode::Cfl(alpha)) => (IntraMode::Dc, alpha[plane - 1]),
    };
    let edges = Edges::new(&out.planes[plane], &place);
    let stride = out.planes[plane].stride;
    predict::intra(mode, &edges, side, out.planes[plane].at_mut(x, y), stride);
    if alpha != 0 {
        let changes = LumaChanges::new(&out.planes[0], 2 * x, 2 * y, side);
        predict::add_luma(&changes, alpha, side, out.planes[plane].at_mut(x, y), stride);
    }
}

/// Adds what the levels of one plane of a block stand for.
fn add_residual(
    decisions: &Decisions,
    cell: Cell,
    plane: usize,
    quantizer: &Quantizer,
    room: &mut Coefficients,
    out: &mut Frame,
) {
    let block = decisions.block(cell.row, cell.col);
    let ends = decisions.ends[decisions.layout().cell(cell.row, cell.col)];
    let end = usize::from(ends[plane]);
    if block.skip || end == 0 {
        return;
    }
    let side = block.transform_side(plane);
    dequantize(&decisions.levels(plane, cell.row, cell.col, side)[..end], side, quantizer, room);
    let (x, y) = cell.origin(plane);
    let stride = out.planes[plane].stride;
    let target = out.planes[plane].at_mut(x, y);
    inverse_add(transform_of(block, plane, ends[0]), room, target, stride);
}

/// Codes blocks of one frame: predicts, quantizes what is left, and reconstructs. Made once and reused; allocates
/// nothing.
#[derive(Clone, Debug)]
pub struct Coder {
    residual: [i16; AREA],
    coefficients: Coefficients,
    levels: Levels,
}

impl Default for Coder {
    fn default() -> Self {
        Self { residual: [0; AREA], coefficients: Coefficients::default(), levels: Levels::default() }
    }
}

/// What a block is coded from.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The picture, repeated beyond its edges (`Frame::load`).
    pub source: &'a Frame,
    /// Frames to predict from.
    pub references: Option<References<'a>>,
    /// Steps and dead zones; of the same `base_q_idx` as the decisions.
    pub quantizer: &'a Quantizer,
}

impl Coder {
    /// Codes every block that `decisions` records: inter blocks first, then intra blocks in coding order.
    pub fn frame(&mut self, input: &Input<'_>, decisions: &mut Decisions, out: &mut Frame) {
        let layout = *decisions.layout();
        for inter in [true, false] {
            for cell in cells(&layout) {
                let block = *decisions.block(cell.row, cell.col);
                if block.is_inter() == inter && begins(&block, cell) {
                    self.block(input, cell, block, decisions, out);
                }
            }
        }
    }

    /// Codes `block` at `cell` into `out` and records it, its levels and its ends; returns it as recorded.
    ///
    /// A block of 64×64 is only predicted, and so is one given as skipped, unless its chroma is far off: skips are
    /// expected by luma. Any other is skipped if no level is left of it, and where luma has none its transform is the DCT,
    /// as the bitstream has no way to say otherwise.
    pub fn block(
        &mut self,
        input: &Input<'_>,
        cell: Cell,
        mut block: Block,
        decisions: &mut Decisions,
        out: &mut Frame,
    ) -> Block {
        let mut ends = [0; 3];
        for plane in 0..3 {
            predict(decisions.layout(), cell, &block, input.references, plane, out);
            let wanted = match block.skip {
                _ if block.size == BlockSize::B64 => false,
                true => plane > 0 && is_far(input, cell, &block, plane, out),
                false => true,
            };
            if wanted {
                let transform = transform_of(&block, plane, ends[0]);
                let levels = decisions.levels_mut(plane, cell.row, cell.col, block.transform_side(plane));
                ends[plane] = self.plane(input, cell, plane, transform, levels, out);
            }
            if plane == 0 && ends[0] == 0 {
                block.transform = Transform::Dct;
            }
        }
        block.skip = ends == [0; 3];
        let index = decisions.layout().cell(cell.row, cell.col);
        decisions.ends[index] = ends;
        decisions.set_block(cell.row, cell.col, block);
        block
    }

    /// Codes the residual of one predicted plane and adds it as a decoder will; returns the end of the levels.
    fn plane(
        &mut self,
        input: &Input<'_>,
        cell: Cell,
        plane: usize,
        transform: Transform,
        levels: &mut [i16],
        out: &mut Frame,
    ) -> u16 {
        let side = levels.len().isqrt();
        let (x, y) = cell.origin(plane);
        let (source, target) = (&input.source.planes[plane], &mut out.planes[plane]);
        let stride = target.stride;
        subtract(source.at(x, y), target.at(x, y), stride, side, &mut self.residual);
        forward(transform, side, &self.residual, &mut self.coefficients);
        let mut end = quantize(&self.coefficients, input.quantizer, &mut self.levels, levels);
        if end == 0 {
            return 0;
        }
        dequantize(&levels[..usize::from(end)], side, input.quantizer, &mut self.coefficients);
        // Harsh contrasts at coarse steps can overshoot the range that decoders agree in: then the finer half goes, until
        // it fits; one level alone always does.
        while !self.coefficients.in_range(transform) {
            let kept = &levels[..usize::from(end) / 2];
            end = kept.iter().rposition(|level| *level != 0).map_or(0, |last| last as u16 + 1);
            dequantize(&levels[..usize::from(end)], side, input.quantizer, &mut self.coefficients);
        }
        if end > 0 {
            inverse_add(transform, &mut self.coefficients, target.at_mut(x, y), stride);
        }
        end
    }
}

/// A predicted plane of chroma is so far from the source that a skipped block is to be mended there.
fn is_far(input: &Input<'_>, cell: Cell, block: &Block, plane: usize, out: &Frame) -> bool {
    let side = block.transform_side(plane);
    let (x, y) = cell.origin(plane);
    let (source, predicted) = (&input.source.planes[plane], &out.planes[plane]);
    let (sum, squares) = distance(source.at(x, y), predicted.at(x, y), predicted.stride, side);
    input.quantizer.is_far(sum, squares, side)
}

wide! {
    /// The sum of the differences of two `side`×`side` blocks of planes with the same stride, and that of their squares.
    fn distance(source: &[u8], predicted: &[u8], stride: usize, side: usize) -> (i32, u32) = distance_plain;
}

#[inline(always)]
fn distance_plain(source: &[u8], predicted: &[u8], stride: usize, side: usize) -> (i32, u32) {
    match side {
        4 => distance_sized::<4>(source, predicted, stride),
        8 => distance_sized::<8>(source, predicted, stride),
        _ => distance_sized::<16>(source, predicted, stride),
    }
}

#[inline(always)]
fn distance_sized<const N: usize>(source: &[u8], predicted: &[u8], stride: usize) -> (i32, u32) {
    let rows = source.chunks(stride).zip(predicted.chunks(stride)).take(N);
    rows.fold((0, 0), |sums, (source, predicted)| {
        source[..N].iter().zip(&predicted[..N]).fold(sums, |(sum, squares), (source, predicted)| {
            let difference = i32::from(*source) - i32::from(*predicted);
            (sum + difference, squares + (difference * difference) as u32)
        })
    })
}

wide! {
    /// The difference of two `side`×`side` blocks of planes with the same stride.
    fn subtract(source: &[u8], predicted: &[u8], stride: usize, side: usize, out: &mut [i16; AREA]) = subtract_plain;
}

#[inline(always)]
fn subtract_plain(source: &[u8], predicted: &[u8], stride: usize, side: usize, out: &mut [i16; AREA]) {
    match side {
        4 => subtract_sized::<4>(source, predicted, stride, out),
        8 => subtract_sized::<8>(source, predicted, stride, out),
        16 => subtract_sized::<16>(source, predicted, stride, out),
        _ => subtract_sized::<32>(source, predicted, stride, out),
    }
}

#[inline(always)]
fn subtract_sized<const N: usize>(source: &[u8], predicted: &[u8], stride: usize, out: &mut [i16; AREA]) {
    let rows = source.chunks(stride).zip(predicted.chunks(stride));
    for (out, (source, predicted)) in out[..N * N].as_chunks_mut::<N>().0.iter_mut().zip(rows) {
        for (out, (source, predicted)) in out.iter_mut().zip(source[..N].iter().zip(&predicted[..N])) {
            *out = i16::from(*source) - i16::from(*predicted);
        }
    }
}

#[cfg(test)]
mod tests;
