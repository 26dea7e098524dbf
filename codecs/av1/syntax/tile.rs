//! One tile: superblocks row by row, each cut into blocks (specification §5.11.2).

use super::mode_info::{self, CdefIndex};
use super::partition;
use super::residual::{self, LevelContexts};
use crate::av1::decisions::{Block, BlockSize, Decisions};
use crate::av1::entropy::cdf::Cdfs;
use crate::av1::entropy::range_coder::RangeCoder;
use crate::av1::layout::{CELL, Layout, Rect, SUPERBLOCK};

/// Bytes of a luma sample with its chroma that are set aside: noise at the finest quantizer has two. A system gives
/// memory when it is written to, so that what no frame needs costs nothing.
pub const MOST_BYTES: usize = 3;

/// What coding a tile needs: a range coder, CDFs and contexts of its own, so that tiles are coded in any order. Made
/// once for a layout and reused.
pub struct TileCoder {
    coder: RangeCoder,
    cdfs: Cdfs,
    levels: LevelContexts,
    /// Per column of cells: the lowest block coded so far has NEWMV.
    above_new: Vec<bool>,
    /// Per row of cells of the superblock row: the rightmost block coded so far has NEWMV.
    left_new: [bool; SUPERBLOCK],
    /// The CDEF strength of the superblock, until it is written.
    cdef: Option<CdefIndex>,
    bytes: Vec<u8>,
}

/// Where a block lies, and what was coded before it.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// The frame.
    pub decisions: &'a Decisions,
    /// The block's tile: nothing beyond it is looked at.
    pub tile: &'a Rect,
    /// The block's upper row of cells.
    pub row: usize,
    /// The block's left column of cells.
    pub col: usize,
    /// Per column of cells of the frame: the lowest block coded so far has NEWMV.
    pub above_new: &'a [bool],
    /// Per row of cells of the superblock row: the rightmost block coded so far has NEWMV.
    pub left_new: &'a [bool; SUPERBLOCK],
}

impl<'a> Site<'a> {
    /// The block itself.
    pub fn block(&self) -> &'a Block {
        self.decisions.block(self.row, self.col)
    }

    /// The block above the left column, if it lies in the tile.
    pub fn above(&self) -> Option<&'a Block> {
        (self.row > self.tile.top).then(|| self.decisions.block(self.row - 1, self.col))
    }

    /// The block left of the upper row, if it lies in the tile.
    pub fn left(&self) -> Option<&'a Block> {
        (self.col > self.tile.left).then(|| self.decisions.block(self.row, self.col - 1))
    }
}

impl TileCoder {
    /// State for tiles of frames of `layout`.
    pub fn new(layout: &Layout) -> Self {
        // The first tile is the largest.
        let first = layout.tile(0, 0);
        let room = first.bottom * first.right * CELL * CELL * MOST_BYTES;
        Self {
            coder: RangeCoder::with_capacity(room),
            cdfs: Cdfs::default_for(0),
            levels: LevelContexts::new(layout),
            above_new: vec![false; layout.cols],
            left_new: [false; SUPERBLOCK],
            cdef: None,
            bytes: Vec::with_capacity(room),
        }
    }

    /// Codes a tile, starting from the CDFs `start`. `is_key`: the frame is a key frame.
    pub fn write(&mut self, decisions: &Decisions, tile: &Rect, is_key: bool, start: &Cdfs) {
        self.coder.clear();
        self.cdfs.clone_from(start);
        self.levels.clear_tile();
        let frame = Frame { decisions, tile, is_key };
        for row in (tile.top..tile.bottom).step_by(SUPERBLOCK) {
            self.levels.clear_left();
            for col in (tile.left..tile.right).step_by(SUPERBLOCK) {
                let superblock = row / SUPERBLOCK * decisions.layout().superblock_cols() + col / SUPERBLOCK;
                self.cdef = Some(CdefIndex { index: decisions.cdef_index[superblock], bits: decisions.cdef.bits });
                self.node(&frame, row, col, BlockSize::B64);
            }
        }
        self.bytes.clear();
        self.coder.finish(&mut self.bytes);
    }

    /// The tile's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The CDFs after the tile.
    pub fn cdfs(&self) -> &Cdfs {
        &self.cdfs
    }

    /// A block, or four nodes of half the side.
    fn node(&mut self, frame: &Frame<'_>, row: usize, col: usize, size: BlockSize) {
        if !frame.tile.contains(row, col) {
            return;
        }
        partition::write(&mut self.coder, &mut self.cdfs, frame.decisions, frame.tile, (row, col), size);
        let block = frame.decisions.block(row, col);
        match size.quarter() {
            Some(quarter) if block.size < size => {
                let half = quarter.cells();
                for (down, right) in [(0, 0), (0, half), (half, 0), (half, half)] {
                    self.node(frame, row + down, col + right, quarter);
                }
            }
            _ => self.block(frame, row, col, block),
        }
    }

    fn block(&mut self, frame: &Frame<'_>, row: usize, col: usize, block: &Block) {
        let Frame { decisions, tile, is_key } = *frame;
        let cdef = if block.skip { None } else { self.cdef.take() };
        let site = Site { decisions, tile, row, col, above_new: &self.above_new, left_new: &self.left_new };
        let is_new = if is_key {
            mode_info::intra_frame(&mut self.coder, &mut self.cdfs, &site, cdef);
            false
        } else {
            mode_info::inter_frame(&mut self.coder, &mut self.cdfs, &site, cdef)
        };
        let (side, upper) = (block.size.cells(), row % SUPERBLOCK);
        let right = (col + side).min(self.above_new.len());
        self.above_new[col..right].fill(is_new);
        self.left_new[upper..upper + side].fill(is_new);
        residual::write_block(&mut self.coder, &mut self.cdfs, &mut self.levels, decisions, tile, row, col);
    }
}

/// What all blocks of a tile share.
struct Frame<'a> {
    decisions: &'a Decisions,
    tile: &'a Rect,
    is_key: bool,
}
