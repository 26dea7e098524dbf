//! Random decisions: anything that our subset of AV1 allows, from a seed.

use conclave_codecs::av1::decisions::{
    Block, BlockSize, CdefStrength, ChromaMode, Decisions, IntraMode, Reference, Transform, Vector,
};
use conclave_codecs::av1::kernel::quantize::ac_q;
use conclave_codecs::av1::kernel::reconstruct::{Cell, in_range};
use conclave_codecs::av1::layout::SUPERBLOCK;

/// What a chain may use beyond the plainest: each can be taken away, to find what a failure needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Tool {
    /// Blocks of 16 and more.
    Great,
    /// Intra modes beyond DC.
    Modes,
    /// Chroma from luma.
    Cfl,
    /// Intra blocks in inter frames.
    Intra,
    /// Any levels at all.
    Levels,
    /// Levels beyond the range of the adaptive symbols.
    Golomb,
    /// Levels of chroma.
    Chroma,
    /// The identity transform.
    Identity,
    /// Skipped blocks among others.
    Skip,
    /// Vectors other than zero.
    Vectors,
    /// Vectors of any length.
    Far,
    /// Two different references.
    Golden,
    /// The deblocking filter.
    Deblock,
    /// The directional filter.
    Cdef,
    /// More than one tile.
    Tiles,
    /// CDFs of an earlier frame.
    Cdfs,
    /// Key frames other than the first.
    Keys,
    /// Sizes below the ceiling.
    Sizes,
    /// Temporal layers.
    Layers,
}

impl Tool {
    pub const ALL: [Tool; 19] = [
        Tool::Great,
        Tool::Modes,
        Tool::Cfl,
        Tool::Intra,
        Tool::Levels,
        Tool::Golomb,
        Tool::Chroma,
        Tool::Identity,
        Tool::Skip,
        Tool::Vectors,
        Tool::Far,
        Tool::Golden,
        Tool::Deblock,
        Tool::Cdef,
        Tool::Tiles,
        Tool::Cdfs,
        Tool::Keys,
        Tool::Sizes,
        Tool::Layers,
    ];

    /// The name in lower case.
    pub fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

/// A set of tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tools(u32);

impl Tools {
    pub const ALL: Self = Self((1 << Tool::ALL.len()) - 1);

    pub fn has(self, tool: Tool) -> bool {
        self.0 >> tool as u8 & 1 == 1
    }

    pub fn without(self, tool: Tool) -> Self {
        Self(self.0 & !(1 << tool as u8))
    }

    /// The tools that were taken away, separated by commas.
    pub fn missing(self) -> String {
        Tool::ALL.into_iter().filter(|tool| !self.has(*tool)).map(Tool::name).collect::<Vec<_>>().join(",")
    }
}

/// Draws the decisions of one frame after the other. Values are drawn whether their tool is there or not, so that what
/// is left of a frame stays alike when a tool goes.
pub struct Draw {
    random: fastrand::Rng,
    tools: Tools,
    temper: Temper,
    /// Vectors used before.
    pool: Vec<Vector>,
}

/// What one frame is full of: a share of blocks in eighths each, and how levels are drawn.
#[derive(Clone, Copy, Default)]
struct Temper {
    split: u8,
    intra: u8,
    skip: u8,
    known_vectors: u8,
    identity: u8,
    /// Weights of none, one, few, a slope, full, great.
    levels: [u32; 6],
    /// Powers of two up to which a residual reaches, in samples.
    contrast: u32,
}

impl Draw {
    pub fn new(random: fastrand::Rng, tools: Tools) -> Self {
        Self { random, tools, temper: Temper::default(), pool: Vec::new() }
    }

    /// Fills `decisions`. A key frame has intra blocks only.
    pub fn frame(&mut self, is_key: bool, decisions: &mut Decisions) {
        self.temper = self.temper();
        self.parameters(decisions);
        decisions.ends.fill([0; 3]);
        let layout = *decisions.layout();
        for row in (0..layout.rows).step_by(SUPERBLOCK) {
            for col in (0..layout.cols).step_by(SUPERBLOCK) {
                self.node(is_key, decisions, Cell { row, col }, BlockSize::B64);
            }
        }
    }

    fn temper(&mut self) -> Temper {
        let random = &mut self.random;
        let mut share = || random.u8(..=8);
        let (split, intra, skip, known_vectors) = (share(), share() / 2, share(), share());
        let identity = if random.bool() { random.u8(..=4) } else { 0 };
        let levels = match random.u8(..8) {
            0 => [0, 0, 0, 0, 1, 0],
            1 => [1, 1, 1, 1, 1, 1],
            2 => [6, 3, 2, 2, 1, 1],
            3 => [0, 1, 0, 1, 0, 0],
            _ => [8, 8, 6, 6, 0, 0],
        };
        Temper { split, intra, skip, known_vectors, identity, levels, contrast: random.u32(2..=9) }
    }

    fn parameters(&mut self, decisions: &mut Decisions) {
        let random = &mut self.random;
        decisions.quantizer = match random.u8(..4) {
            0 => *random.choice(&[1, 2, 20, 21, 60, 61, 120, 121, 254, 255]).expect("some"),
            _ => random.u8(1..),
        };
        let level = |random: &mut fastrand::Rng| if random.u8(..6) == 0 { 0 } else { random.u8(..64) };
        decisions.deblock.luma = [level(random), level(random)];
        decisions.deblock.chroma = [level(random), level(random)];
        let cdef = &mut decisions.cdef;
        cdef.damping = random.u8(3..=6);
        cdef.bits = random.u8(..=3);
        let strength = |random: &mut fastrand::Rng, end| if random.u8(..4) == 0 { 0 } else { random.u8(..end) };
        for entry in &mut cdef.strengths {
            *entry = CdefStrength {
                luma_primary: strength(random, 16),
                luma_secondary: strength(random, 4),
                chroma_primary: strength(random, 16),
                chroma_secondary: strength(random, 4),
            };
        }
        for index in &mut decisions.cdef_index {
            *index = random.u8(..1 << cdef.bits);
        }
        if !self.tools.has(Tool::Deblock) {
            decisions.deblock = Default::default();
        }
        if !self.tools.has(Tool::Cdef) {
            cdef.strengths = Default::default();
        }
    }

    fn node(&mut self, is_key: bool, decisions: &mut Decisions, cell: Cell, size: BlockSize) {
        let (rows, cols) = (decisions.layout().rows, decisions.layout().cols);
        let Cell { row, col } = cell;
        if row >= rows || col >= cols {
            return;
        }
        // A block may stick out of the frame with less than half of its rows and columns; else it has to be split.
        let half = size.cells() / 2;
        let splits = self.eighths(self.temper.split) || !self.tools.has(Tool::Great);
        let is_whole = row + half < rows && col + half < cols && !(is_key && size == BlockSize::B64);
        match size.quarter() {
            Some(quarter) if splits || !is_whole => {
                for (down, right) in [(0, 0), (0, half), (half, 0), (half, half)] {
                    self.node(is_key, decisions, Cell { row: row + down, col: col + right }, quarter);
                }
            }
            _ => self.block(is_key, decisions, cell, size),
        }
    }

    fn block(&mut self, is_key: bool, decisions: &mut Decisions, cell: Cell, size: BlockSize) {
        let known = self.known_vector(decisions, cell);
        let intra = self.eighths(self.temper.intra) && self.tools.has(Tool::Intra) && size != BlockSize::B64;
        let skip = self.eighths(self.temper.skip) && self.tools.has(Tool::Skip);
        let identity = self.eighths(self.temper.identity) && self.tools.has(Tool::Identity);
        let mut block = if is_key || intra { self.intra() } else { self.inter(known) };
        block.size = size;
        block.skip = skip || size == BlockSize::B64;
        let greatest = if block.is_inter() { 32 } else { 16 };
        block.transform = if identity && size.side() <= greatest { Transform::Identity } else { Transform::Dct };
        decisions.set_block(cell.row, cell.col, block);
        if !block.skip {
            self.levels(decisions, cell, &block);
        }
    }

    fn intra(&mut self) -> Block {
        let random = &mut self.random;
        let mode = IntraMode::ALL[random.usize(..IntraMode::ALL.len())];
        let reach = [1, 4, 16][random.usize(..3)];
        let alphas = [random.i8(-reach..=reach), random.i8(-reach..=reach)];
        let cfl = random.bool() && alphas != [0; 2];
        Block {
            mode: if self.tools.has(Tool::Modes) { mode } else { IntraMode::Dc },
            chroma: if cfl && self.tools.has(Tool::Cfl) { ChromaMode::Cfl(alphas) } else { ChromaMode::Dc },
            ..Block::default()
        }
    }

    fn inter(&mut self, known: Vector) -> Block {
        let golden = self.random.u8(..3) == 0 && self.tools.has(Tool::Golden);
        let mut vector = if self.eighths(self.temper.known_vectors) { known } else { self.vector() };
        if self.random.u8(..8) == 0 {
            // A little beside one that is known.
            vector.row = (vector.row + self.random.i16(-2..=2) * 2).clamp(-Vector::MAX, Vector::MAX);
            vector.col = (vector.col + self.random.i16(-2..=2) * 2).clamp(-Vector::MAX, Vector::MAX);
        }
        if !self.tools.has(Tool::Vectors) {
            vector = Vector::ZERO;
        }
        self.pool.push(vector);
        if self.pool.len() > 40 {
            self.pool.swap_remove(self.random.usize(..40));
        }
        Block { reference: if golden { Reference::Golden } else { Reference::Last }, vector, ..Block::default() }
    }

    /// A vector of a neighbour, of an earlier block, or none.
    fn known_vector(&mut self, decisions: &Decisions, Cell { row, col }: Cell) -> Vector {
        let (down, right) = (self.random.usize(1..4), self.random.usize(..5));
        let from_pool = self.random.choice(&self.pool).copied().unwrap_or_default();
        match self.random.u8(..8) {
            0..3 if row >= 1 => decisions.block(row - 1, (col + right).min(decisions.layout().cols - 1)).vector,
            3..6 if col >= down => decisions.block(row, col - down).vector,
            6 => from_pool,
            _ => Vector::ZERO,
        }
    }

    fn vector(&mut self) -> Vector {
        let random = &mut self.random;
        let reach = match random.u8(..16) {
            0..8 => 16,
            8..12 => 128,
            12..14 => 1200,
            14 => Vector::MAX / 2,
            _ => 0,
        };
        let mut component = || {
            // Whole samples and the greatest vectors are rare among random numbers.
            let value = random.i16(-reach..=reach) * 2;
            match random.u8(..8) {
                0 => value & !7,
                1 if reach > 1200 => Vector::MAX * value.signum(),
                2 => 0,
                _ => value,
            }
        };
        let (row, col) = (component(), component());
        if reach > 128 && !self.tools.has(Tool::Far) { Vector::ZERO } else { Vector { row, col } }
    }

    /// Draws the levels of a block, and makes them smaller until its inverse transforms stay in the range that decoders
    /// agree in.
    fn levels(&mut self, decisions: &mut Decisions, cell: Cell, block: &Block) {
        let index = decisions.layout().cell(cell.row, cell.col);
        let step = ac_q(decisions.quantizer);
        for plane in 0..3 {
            let levels = decisions.levels_mut(plane, cell.row, cell.col, block.transform_side(plane));
            self.plane(step, levels);
            let tool = if plane == 0 { Tool::Levels } else { Tool::Chroma };
            if !self.tools.has(tool) || !self.tools.has(Tool::Levels) {
                levels.fill(0);
            }
            decisions.ends[index][plane] = end(levels);
        }
        while !in_range(decisions, cell) {
            for plane in 0..3 {
                let levels = decisions.levels_mut(plane, cell.row, cell.col, block.transform_side(plane));
                levels.iter_mut().for_each(|level| *level /= 2);
                decisions.ends[index][plane] = end(levels);
            }
        }
    }

    fn plane(&mut self, step: i32, levels: &mut [i16]) {
        let golomb = self.tools.has(Tool::Golomb);
        let random = &mut self.random;
        let weights = self.temper.levels;
        let mut pick = random.u32(..weights.iter().sum::<u32>());
        let kind = weights.iter().position(|weight| {
            let here = pick < *weight;
            pick = pick.wrapping_sub(*weight);
            here
        });
        // A coefficient of eight times its height moves a whole block by a sample.
        let height = 1 << random.u32(..=self.temper.contrast);
        let reach = (height * 8 / step).clamp(1, if golomb { i32::from(i16::MAX) } else { 14 }) as i16;
        let near_end = random.usize(1..=levels.len());
        let near_start = 1 + random.usize(..near_end.min(16));
        levels.fill(0);
        match kind.unwrap_or(0) {
            0 => {}
            1 => levels[near_start - 1] = signed(random, reach),
            2 => {
                for _ in 0..random.u8(1..=6) {
                    levels[random.usize(..near_end)] = signed(random, reach);
                }
            }
            3 => {
                let mut reach = reach;
                for level in &mut levels[..near_end] {
                    *level = if random.bool() { 0 } else { signed(random, reach) };
                    reach = if random.u8(..4) == 0 { (reach / 2).max(1) } else { reach };
                }
            }
            4 => levels[..near_end].fill_with(|| signed(random, reach)),
            _ => {
                for _ in 0..random.u8(1..=3) {
                    let reach = if golomb { i16::MAX >> random.u8(..15) } else { 14 };
                    levels[random.usize(..near_end)] = signed(random, reach);
                }
            }
        }
    }

    /// True in so many cases of eight.
    fn eighths(&mut self, share: u8) -> bool {
        self.random.u8(..8) < share
    }
}

/// A level of at most this magnitude, not 0.
fn signed(random: &mut fastrand::Rng, reach: i16) -> i16 {
    let level = random.i16(1..=reach);
    if random.bool() { level } else { -level }
}

/// Levels up to and with the last that is not 0.
fn end(levels: &[i16]) -> u16 {
    levels.iter().rposition(|level| *level != 0).map_or(0, |last| last as u16 + 1)
}
