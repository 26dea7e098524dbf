//! The cut between pixels and words: everything a frame is, before it is written.
//!
//! The kernels make [`Decisions`] from pixels, with estimated vector predictors; the tile coder only expresses them. A
//! vector equal to the first of the stack becomes NEARESTMV, a zero vector GLOBALMV: the reconstruction is the same, for
//! filter deltas are off, global motion is the identity and the interpolation filter is fixed. `skip` belongs to the
//! kernels; the tile coder never changes it.

use super::layout::{CELL, Layout, SUPERBLOCK};

/// Square block sizes, numbered as in the specification (§6.10.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum BlockSize {
    /// 8×8.
    #[default]
    B8 = 3,
    /// 16×16.
    B16 = 6,
    /// 32×32.
    B32 = 9,
    /// 64×64: predicted from a reference and skipped, nothing else.
    B64 = 12,
}

impl BlockSize {
    /// From the greatest to the smallest.
    pub const ALL: [BlockSize; 4] = [BlockSize::B64, BlockSize::B32, BlockSize::B16, BlockSize::B8];

    /// Luma samples along one side.
    pub const fn side(self) -> usize {
        match self {
            BlockSize::B8 => 8,
            BlockSize::B16 => 16,
            BlockSize::B32 => 32,
            BlockSize::B64 => 64,
        }
    }

    /// Cells along one side.
    pub const fn cells(self) -> usize {
        self.side() / CELL
    }

    /// The four quarters of a block; `None` for the smallest.
    pub const fn quarter(self) -> Option<BlockSize> {
        match self {
            BlockSize::B8 => None,
            BlockSize::B16 => Some(BlockSize::B8),
            BlockSize::B32 => Some(BlockSize::B16),
            BlockSize::B64 => Some(BlockSize::B32),
        }
    }
}

/// Where a block is predicted from, numbered as in the specification (§6.10.24).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Reference {
    /// Its own frame.
    #[default]
    Intra = 0,
    /// The frame before.
    Last = 1,
    /// The long-term reference.
    Golden = 4,
}

/// Intra prediction, numbered as in the specification (§6.10.22). No directional angles beyond 90° and 180°.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum IntraMode {
    /// Mean of the edges.
    #[default]
    Dc = 0,
    /// From above.
    V = 1,
    /// From the left.
    H = 2,
    /// Both smooth blends.
    Smooth = 9,
    /// Blend from above to the lower left sample.
    SmoothV = 10,
    /// Blend from the left to the upper right sample.
    SmoothH = 11,
    /// Whichever edge sample is nearest to left + above − corner.
    Paeth = 12,
}

impl IntraMode {
    /// Every mode of the subset.
    pub const ALL: [IntraMode; 7] = [
        IntraMode::Dc,
        IntraMode::V,
        IntraMode::H,
        IntraMode::Smooth,
        IntraMode::SmoothV,
        IntraMode::SmoothH,
        IntraMode::Paeth,
    ];
}

/// How an intra block's chroma is predicted. Both take the transform DCT, and no other does with the reduced set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChromaMode {
    /// Mean of the edges.
    #[default]
    Dc,
    /// Mean plus scaled luma: `alpha` in eighths, −16…16 for U and V, not both 0.
    Cfl([i8; 2]),
}

/// The transform of a whole block; its size is the block's, at most 32×32, and half of it for chroma.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transform {
    /// DCT in both directions.
    #[default]
    Dct,
    /// Identity in both directions: inter blocks to 32×32, intra blocks to 16×16.
    Identity,
}

/// A motion vector in eighths of a luma sample, even: quarter samples are the finest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vector {
    /// Downwards.
    pub row: i16,
    /// To the right.
    pub col: i16,
}

impl Vector {
    /// No motion.
    pub const ZERO: Self = Self { row: 0, col: 0 };
    /// Greatest magnitude of a component, so that NEWMV can express any vector from any predictor.
    pub const MAX: i16 = 8190;
}

/// One block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// Its size.
    pub size: BlockSize,
    /// Where it is predicted from.
    pub reference: Reference,
    /// Vector into the reference; zero for intra blocks.
    pub vector: Vector,
    /// Luma prediction of intra blocks.
    pub mode: IntraMode,
    /// Chroma prediction of intra blocks.
    pub chroma: ChromaMode,
    /// The luma transform of blocks that are not skipped; chroma of inter blocks has the same, of intra blocks DCT.
    pub transform: Transform,
    /// No levels at all in any plane.
    pub skip: bool,
}

impl Block {
    /// Predicted from another frame.
    pub fn is_inter(&self) -> bool {
        self.reference != Reference::Intra
    }

    /// Side of the transform in `plane` (0 luma): the block's, at most 32; chroma half.
    pub fn transform_side(&self, plane: usize) -> usize {
        if plane == 0 { self.size.side().min(32) } else { self.size.side() / 2 }
    }
}

/// Deblocking levels, 0…63. Sharpness and deltas are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deblock {
    /// Luma across vertical edges, luma across horizontal edges. Both 0: no deblocking at all, chroma included.
    pub luma: [u8; 2],
    /// U, V.
    pub chroma: [u8; 2],
}

/// One pair of CDEF strengths, as coded: primary 0…15, secondary 0…3 (3 means 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CdefStrength {
    /// Luma, primary.
    pub luma_primary: u8,
    /// Luma, secondary.
    pub luma_secondary: u8,
    /// Chroma, primary.
    pub chroma_primary: u8,
    /// Chroma, secondary.
    pub chroma_secondary: u8,
}

/// The constrained directional enhancement filter of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cdef {
    /// 3…6.
    pub damping: u8,
    /// `cdef_bits`: so many bits choose among the strengths in each 64×64.
    pub bits: u8,
    /// The first 2^bits hold.
    pub strengths: [CdefStrength; 8],
}

impl Default for Cdef {
    fn default() -> Self {
        Self { damping: 3, bits: 0, strengths: Default::default() }
    }
}

/// Everything one frame is. Made once for a layout and reused.
#[derive(Clone, Debug, PartialEq)]
pub struct Decisions {
    /// `base_q_idx`, 1…255.
    pub quantizer: u8,
    /// Deblocking levels.
    pub deblock: Deblock,
    /// CDEF parameters.
    pub cdef: Cdef,
    /// CDEF strength of each 64×64, row after row; written only where some block of it is not skipped.
    pub cdef_index: Vec<u8>,
    /// One record a cell, row after row. Every cell that a block covers holds the block's record.
    pub blocks: Vec<Block>,
    /// For the upper left cell of each block: levels up to and with the last that is not 0, for Y, U, V.
    pub ends: Vec<[u16; 3]>,
    /// Levels in scan order, see [`Decisions::levels`].
    levels: [Vec<i16>; 3],
    layout: Layout,
}

impl Decisions {
    /// Room for the decisions of one frame.
    pub fn new(layout: &Layout) -> Self {
        let superblocks = layout.superblock_cols() * layout.superblock_rows();
        Self {
            quantizer: 1,
            deblock: Deblock::default(),
            cdef: Cdef::default(),
            cdef_index: vec![0; superblocks],
            blocks: vec![Block::default(); layout.cells()],
            ends: vec![[0; 3]; layout.cells()],
            levels: [64 * 64, 32 * 32, 32 * 32].map(|samples| vec![0; samples * superblocks]),
            layout: *layout,
        }
    }

    /// Size, grid and tiles.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The block that covers a cell.
    pub fn block(&self, row: usize, col: usize) -> &Block {
        &self.blocks[self.layout.cell(row, col)]
    }

    /// Records `block` at its upper left cell and at every cell of the frame that it covers.
    pub fn set_block(&mut self, row: usize, col: usize, block: Block) {
        let side = block.size.cells();
        let right = (col + side).min(self.layout.cols);
        for row in row..(row + side).min(self.layout.rows) {
            let start = self.layout.cell(row, col);
            self.blocks[start..start + right - col].fill(block);
        }
    }

    /// The levels of the transform of `plane` that starts in a cell, `side`×`side` of them in scan order; only the
    /// first `ends` of them hold.
    ///
    /// Cells follow each other in Z order inside a superblock, so that every block's levels are one run.
    pub fn levels(&self, plane: usize, row: usize, col: usize, side: usize) -> &[i16] {
        let start = self.level_start(plane, row, col);
        &self.levels[plane][start..start + side * side]
    }

    /// The same run, to be written.
    pub fn levels_mut(&mut self, plane: usize, row: usize, col: usize, side: usize) -> &mut [i16] {
        let start = self.level_start(plane, row, col);
        &mut self.levels[plane][start..start + side * side]
    }

    fn level_start(&self, plane: usize, row: usize, col: usize) -> usize {
        let superblock = row / SUPERBLOCK * self.layout.superblock_cols() + col / SUPERBLOCK;
        let samples = if plane == 0 { CELL * CELL } else { CELL * CELL / 4 };
        (superblock * SUPERBLOCK * SUPERBLOCK + z_order(row % SUPERBLOCK, col % SUPERBLOCK)) * samples
    }
}

/// Position of a cell in the Z order of its superblock: the bits of row and column interleaved.
pub fn z_order(row: usize, col: usize) -> usize {
    let spread = |v: usize| v & 1 | (v & 2) << 1 | (v & 4) << 2;
    spread(row) << 1 | spread(col)
}

/// The row and column of a cell from its position in the Z order of its superblock.
pub fn from_z_order(z: usize) -> (usize, usize) {
    let gather = |v: usize| v & 1 | v >> 1 & 2 | v >> 2 & 4;
    (gather(z >> 1), gather(z))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Size;

    #[test]
    fn the_z_order_goes_both_ways() {
        assert!((0..64).all(|z| z_order(from_z_order(z).0, from_z_order(z).1) == z));
        assert_eq!([from_z_order(1), from_z_order(2), from_z_order(63)], [(0, 1), (1, 0), (7, 7)]);
    }

    #[test]
    fn the_levels_of_blocks_never_overlap() {
        let layout = Layout::new(Size::new(130, 98), Default::default());
        let mut decisions = Decisions::new(&layout);
        for size in BlockSize::ALL {
            for plane in 0..3 {
                let side = Block { size, ..Block::default() }.transform_side(plane);
                decisions.levels[plane].fill(0);
                for row in (0..layout.rows).step_by(size.cells()) {
                    for col in (0..layout.cols).step_by(size.cells()) {
                        for level in decisions.levels_mut(plane, row, col, side) {
                            *level += 1;
                        }
                    }
                }
                assert!(decisions.levels[plane].iter().all(|times| *times <= 1));
            }
        }
    }

    #[test]
    fn a_block_is_recorded_at_every_cell_it_covers_inside_the_frame() {
        let layout = Layout::new(Size::new(40, 40), Default::default());
        let mut decisions = Decisions::new(&layout);
        decisions.set_block(4, 4, Block { size: BlockSize::B16, skip: true, ..Block::default() });
        assert_eq!(decisions.blocks.iter().filter(|block| block.skip).count(), 1);
        decisions.set_block(0, 0, Block { size: BlockSize::B32, skip: true, ..Block::default() });
        assert_eq!(decisions.blocks.iter().filter(|block| block.skip).count(), 17);
        assert_eq!(decisions.block(3, 3).size, BlockSize::B32);
    }
}
