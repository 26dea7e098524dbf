//! A whole frame in words: one OBU with the frame header and every tile.

use super::bits::BitWriter;
use super::decisions::Decisions;
use super::entropy::cdf::Cdfs;
use super::frame_header::{CONTEXT_TILE, FrameHeader, TILE_SIZE_BYTES};
use super::layout::Layout;
use super::obu::{self, Kind};
use super::syntax::tile::TileCoder;

/// Puts frames into words. Keeps what it needs from frame to frame; nothing is allocated while the layout stays.
#[derive(Default)]
pub struct Words {
    header: BitWriter,
    tiles: Vec<TileCoder>,
    layout: Option<Layout>,
}

impl Words {
    /// Nothing is allocated before the first frame.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends the OBU of a frame to `out`. The frame begins with the CDFs `start`: those of the slot that its plan
    /// names, or [`Cdfs::default_for`] its quantizer. `saved` becomes what the slots that it refreshes are to hold.
    pub fn write(
        &mut self,
        header: &FrameHeader<'_>,
        decisions: &Decisions,
        start: &Cdfs,
        saved: &mut Cdfs,
        out: &mut Vec<u8>,
    ) {
        let layout = decisions.layout();
        debug_assert_eq!(layout.size, header.plan.size);
        if self.layout != Some(*layout) {
            self.layout = Some(*layout);
            self.tiles.clear();
            self.tiles.extend(layout.all_tiles().map(|_| TileCoder::new(layout)));
        }
        // Tiles share nothing but what they read.
        for (coder, tile) in self.tiles.iter_mut().zip(layout.all_tiles()) {
            coder.write(decisions, &tile, header.plan.is_key(), start);
        }
        saved.clone_from(self.tiles[CONTEXT_TILE].cdfs());
        saved.reset_counters();

        self.header.clear();
        header.write(decisions, &mut self.header);
        self.header.byte_align();
        if self.tiles.len() > 1 {
            self.header.flag(false); // tile_start_and_end_present_flag: all tiles are here
            self.header.byte_align();
        }
        let tiles: usize = self.tiles.iter().map(|tile| tile.bytes().len()).sum();
        let last = self.tiles.len() - 1;
        let size = self.header.bytes().len() + tiles + last * TILE_SIZE_BYTES;
        let layer = header.sequence.layer(header.plan.temporal, header.plan.spatial);
        obu::header(Kind::Frame, layer, size, out);
        out.extend_from_slice(self.header.bytes());
        for (i, tile) in self.tiles.iter().enumerate() {
            if i < last {
                let size = (tile.bytes().len() as u64 - 1).to_le_bytes();
                out.extend_from_slice(&size[..TILE_SIZE_BYTES]);
            }
            out.extend_from_slice(tile.bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    //! Whether decoders read what was written. Pictures are judged elsewhere: here every sample is 128 whatever the
    //! blocks say, or two decoders agree, so that only symbols that a decoder takes for others show.

    use std::process::{Command, Output};

    use super::*;
    use crate::av1::decisions::{Block, BlockSize, CdefStrength, ChromaMode, IntraMode, Reference, Transform, Vector};
    use crate::av1::layout::Tiles;
    use crate::av1::plan::{Plan, References, SLOTS};
    use crate::av1::sequence::Sequence;
    use crate::{Color, Size};

    const SIZES: [(u32, u32); 9] =
        [(16, 16), (24, 40), (64, 64), (66, 50), (130, 98), (176, 144), (322, 182), (640, 360), (1280, 720)];

    /// A stream being made, with the CDFs of a decoder's slots.
    struct Stream {
        sequence: Sequence,
        words: Words,
        slots: [Size; SLOTS],
        cdfs: Vec<Cdfs>,
        units: Vec<Vec<u8>>,
        samples: usize,
    }

    impl Stream {
        fn new(ceiling: Size, temporal_layers: u8) -> Self {
            Self {
                sequence: Sequence { ceiling, color: Color::default(), fps: (30, 1), temporal_layers },
                words: Words::new(),
                slots: [ceiling; SLOTS],
                cdfs: vec![Cdfs::default_for(1); SLOTS],
                units: Vec::new(),
                samples: 0,
            }
        }

        fn push(&mut self, plan: &Plan, decisions: &Decisions) {
            let mut unit = Vec::new();
            obu::delimiter(&mut unit);
            if plan.is_key() {
                self.sequence.write(&mut BitWriter::new(), &mut unit);
            }
            let start = match plan.references.and_then(|references| references.cdfs) {
                Some(slot) => self.cdfs[usize::from(slot)],
                None => Cdfs::default_for(decisions.quantizer),
            };
            let mut saved = start;
            let header = FrameHeader { sequence: &self.sequence, plan, slots: &self.slots };
            self.words.write(&header, decisions, &start, &mut saved, &mut unit);
            for slot in (0..SLOTS).filter(|slot| plan.refresh >> slot & 1 == 1) {
                self.slots[slot] = plan.size;
                self.cdfs[slot].clone_from(&saved);
            }
            self.samples += plan.size.i420_len();
            self.units.push(unit);
        }

        /// Every decoder at hand shows every frame, grey all over.
        fn judge_grey(&self) {
            for shown in self.decode() {
                let odd = shown.iter().position(|sample| *sample != 128);
                assert_eq!(odd, None, "another sample, {}", self.sequence.ceiling);
            }
        }

        /// Every decoder at hand shows every frame, and all show the same.
        fn judge_alike(&self) {
            if let [one, other] = &self.decode()[..] {
                let odd = one.iter().zip(other).position(|(one, other)| one != other);
                assert_eq!(odd, None, "two decoders differ, {}", self.sequence.ceiling);
            }
        }

        fn decode(&self) -> Vec<Vec<u8>> {
            let mut ivf = b"DKIF\0\0\x20\0AV01".to_vec();
            ivf.extend_from_slice(&(self.sequence.ceiling.width as u16).to_le_bytes());
            ivf.extend_from_slice(&(self.sequence.ceiling.height as u16).to_le_bytes());
            [30, 1, self.units.len() as u32, 0].iter().for_each(|field| ivf.extend_from_slice(&field.to_le_bytes()));
            for (i, unit) in self.units.iter().enumerate() {
                ivf.extend_from_slice(&(unit.len() as u32).to_le_bytes());
                ivf.extend_from_slice(&(i as u64).to_le_bytes());
                ivf.extend_from_slice(unit);
            }
            // dav1d reads no pipe.
            let name = format!("conclave-words-{}-{:?}.ivf", std::process::id(), std::thread::current().id());
            let path = std::env::temp_dir().join(name);
            std::fs::write(&path, ivf).expect("room for a file");
            let file = path.to_str().expect("a plain name");
            let dav1d = ["dav1d", "--strict", "1", "-q", "--threads", "1", "--muxer", "yuv", "-o", "-", "-i", file];
            let aomdec = ["aomdec", "--rawvideo", "-o", "-", file];
            let told = [run(&dav1d), run(&aomdec)];
            std::fs::remove_file(path).expect("the file is there");
            told.into_iter().flatten().map(|output| self.check(output)).collect()
        }

        fn check(&self, output: Output) -> Vec<u8> {
            let told = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{} refused: {told}", self.sequence.ceiling);
            assert_eq!(output.stdout.len(), self.samples, "{}: {told}", self.sequence.ceiling);
            output.stdout
        }
    }

    fn run(command: &[&str]) -> Option<Output> {
        let output = Command::new(command[0]).args(&command[1..]).output().ok();
        if output.is_none() {
            println!("skipped: {} is not installed", command[0]);
        }
        output
    }

    /// Decisions drawn at random. Grey ones leave every sample at 128: no levels, and no intra prediction that reads an
    /// edge which is not there.
    struct Draw {
        random: fastrand::Rng,
        is_key: bool,
        is_grey: bool,
        vectors: Vec<Vector>,
    }

    impl Draw {
        fn new(random: &mut fastrand::Rng, is_key: bool, is_grey: bool) -> Self {
            Self { random: random.fork(), is_key, is_grey, vectors: Vec::new() }
        }

        fn frame(&mut self, decisions: &mut Decisions) {
            let layout = *decisions.layout();
            let random = &mut self.random;
            decisions.quantizer = random.u8(1..);
            decisions.deblock.luma = [random.u8(..64), random.u8(..64)];
            decisions.deblock.chroma = [random.u8(..64), random.u8(..64)];
            decisions.cdef.damping = random.u8(3..7);
            decisions.cdef.bits = random.u8(..4);
            for strength in &mut decisions.cdef.strengths {
                *strength = CdefStrength {
                    luma_primary: random.u8(..16),
                    luma_secondary: random.u8(..4),
                    chroma_primary: random.u8(..16),
                    chroma_secondary: random.u8(..4),
                };
            }
            let bits = decisions.cdef.bits;
            decisions.cdef_index.fill_with(|| random.u8(..1 << bits));
            decisions.ends.fill([0; 3]);
            let vector =
                |range: i16| Vector { row: random.i16(-range..=range) * 2, col: random.i16(-range..=range) * 2 };
            self.vectors = [0, 1, 7, 40, 300, Vector::MAX / 2].map(vector).to_vec();
            for row in (0..layout.rows).step_by(8) {
                for col in (0..layout.cols).step_by(8) {
                    self.node(decisions, row, col, BlockSize::B64);
                }
            }
        }

        fn node(&mut self, decisions: &mut Decisions, row: usize, col: usize, size: BlockSize) {
            let layout = *decisions.layout();
            if row >= layout.rows || col >= layout.cols {
                return;
            }
            let half = size.cells() / 2;
            let outside = row + half >= layout.rows || col + half >= layout.cols;
            let whole = !outside && (size != BlockSize::B64 || !self.is_key) && self.random.u8(..3) == 0;
            match size.quarter() {
                Some(quarter) if !whole => {
                    for (down, right) in [(0, 0), (0, half), (half, 0), (half, half)] {
                        self.node(decisions, row + down, col + right, quarter);
                    }
                }
                _ => {
                    let block = self.block(&layout.tile_of(row, col), row, col, size);
                    decisions.set_block(row, col, block);
                    if !self.is_grey && !block.skip {
                        self.levels(decisions, row, col, &block);
                    }
                }
            }
        }

        fn block(&mut self, tile: &crate::av1::layout::Rect, row: usize, col: usize, size: BlockSize) -> Block {
            let random = &mut self.random;
            let skip = size == BlockSize::B64 || random.bool();
            if self.is_key || (size != BlockSize::B64 && random.u8(..5) == 0) {
                let edges = !self.is_grey || (row > tile.top && col > tile.left);
                let mode = if edges { IntraMode::ALL[random.usize(..7)] } else { IntraMode::Dc };
                let alphas = [random.i8(-16..=16), random.i8(-16..=16)];
                let cfl = edges && alphas != [0, 0] && random.bool();
                let chroma = if cfl { ChromaMode::Cfl(alphas) } else { ChromaMode::Dc };
                let transform =
                    if random.bool() && size < BlockSize::B32 { Transform::Identity } else { Transform::Dct };
                return Block { size, mode, chroma, transform, skip, ..Block::default() };
            }
            let reference = if random.u8(..3) == 0 { Reference::Golden } else { Reference::Last };
            let vector = match random.u8(..8) {
                0 => {
                    let mut draw = || random.i16(-Vector::MAX / 2..=Vector::MAX / 2) * 2;
                    Vector { row: draw(), col: draw() }
                }
                _ => self.vectors[random.usize(..self.vectors.len())],
            };
            let transform = if random.bool() { Transform::Identity } else { Transform::Dct };
            Block { size, reference, vector, transform, skip, ..Block::default() }
        }
    }

    impl Draw {
        /// Levels so few and small for the quantizer that no transform leaves its range, where decoders may differ.
        fn levels(&mut self, decisions: &mut Decisions, row: usize, col: usize, block: &Block) {
            let random = &mut self.random;
            let cell = decisions.layout().cell(row, col);
            let (rarity, most, last) = if decisions.quantizer < 90 { (4, 3, 60) } else { (16, 1, 2) };
            for plane in 0..3 {
                let side = block.transform_side(plane);
                let room = [0, 1, 5, side * side][random.usize(..4)];
                let end = random.usize(..=room);
                decisions.ends[cell][plane] = end as u16;
                let levels = &mut decisions.levels_mut(plane, row, col, side)[..end];
                levels.fill_with(|| if random.u8(..rarity) == 0 { random.i16(-most..=most) } else { 0 });
                if let Some(level) = levels.last_mut() {
                    *level = [-1, 1, -last / 2, last][random.usize(..4)];
                }
            }
        }
    }

    fn tiles(random: &mut fastrand::Rng) -> Tiles {
        Tiles { cols_log2: random.u8(..3), rows_log2: random.u8(..3) }
    }

    #[test]
    fn decoders_read_grey_key_frames_of_every_size() {
        for (width, height) in SIZES {
            for frames in [1, 3] {
                let size = Size::new(width, height);
                let mut stream = Stream::new(size, 1);
                let mut decisions = Decisions::new(&Layout::new(size, Tiles::default()));
                for row in (0..decisions.layout().rows).step_by(4) {
                    for col in (0..decisions.layout().cols).step_by(4) {
                        Draw::new(&mut fastrand::Rng::with_seed(0), true, true).node(
                            &mut decisions,
                            row,
                            col,
                            BlockSize::B32,
                        );
                    }
                }
                for block in &mut decisions.blocks {
                    *block = Block { size: block.size, skip: true, ..Block::default() };
                }
                for frame in 0..frames {
                    decisions.quantizer = [1, 128, 255][frame as usize];
                    stream.push(&Plan::key(frame, size), &decisions);
                }
                stream.judge_grey();
            }
        }
    }

    #[test]
    fn decoders_read_key_frames_of_any_blocks() {
        let mut random = fastrand::Rng::with_seed(1);
        for (width, height) in SIZES {
            let size = Size::new(width, height);
            let mut stream = Stream::new(size, 1);
            for frame in 0..3 {
                let mut decisions = Decisions::new(&Layout::new(size, tiles(&mut random)));
                Draw::new(&mut random, true, true).frame(&mut decisions);
                stream.push(&Plan::key(frame, size), &decisions);
            }
            stream.judge_grey();
        }
    }

    #[test]
    fn decoders_read_inter_frames_of_any_blocks() {
        let mut random = fastrand::Rng::with_seed(2);
        for (width, height) in SIZES {
            let size = Size::new(width, height);
            let mut stream = Stream::new(size, 1);
            for number in 0..12 {
                let mut plan = Plan::key(number, size);
                if number > 0 {
                    let (last, golden) = (random.u8(..8), random.u8(..8));
                    let cdfs = [None, Some(last), Some(golden)][random.usize(..3)];
                    plan.references = Some(References { last, golden, cdfs });
                    plan.refresh = random.u8(..);
                }
                let mut decisions = Decisions::new(&Layout::new(size, tiles(&mut random)));
                Draw::new(&mut random, plan.is_key(), true).frame(&mut decisions);
                stream.push(&plan, &decisions);
            }
            stream.judge_grey();
        }
    }

    #[test]
    fn decoders_read_frames_of_changing_sizes_and_layers() {
        let mut random = fastrand::Rng::with_seed(3);
        let ceiling = Size::new(333, 222);
        let mut stream = Stream::new(ceiling, 3);
        let sizes = [ceiling, Size::new(200, 222), Size::new(333, 130), Size::new(200, 130)];
        for number in 0..40 {
            let mut plan = Plan::key(number, sizes[random.usize(..4)]);
            if number % 20 > 0 {
                let (last, golden) = (random.u8(..8), random.u8(..8));
                plan.references = Some(References { last, golden, cdfs: Some(golden) });
                plan.refresh = random.u8(..);
                plan.temporal = random.u8(..3);
            }
            let mut decisions = Decisions::new(&Layout::new(plan.size, tiles(&mut random)));
            Draw::new(&mut random, plan.is_key(), true).frame(&mut decisions);
            stream.push(&plan, &decisions);
        }
        stream.judge_grey();
    }

    #[test]
    fn decoders_agree_on_frames_with_levels() {
        let mut random = fastrand::Rng::with_seed(4);
        for (width, height) in SIZES {
            let size = Size::new(width, height);
            let mut stream = Stream::new(size, 1);
            for number in 0..8 {
                let mut plan = Plan::key(number, size);
                if number % 4 > 0 {
                    let (last, golden) = (random.u8(..8), random.u8(..8));
                    plan.references = Some(References { last, golden, cdfs: Some(last) });
                    plan.refresh = random.u8(..);
                }
                let mut decisions = Decisions::new(&Layout::new(size, tiles(&mut random)));
                Draw::new(&mut random, plan.is_key(), false).frame(&mut decisions);
                stream.push(&plan, &decisions);
            }
            stream.judge_alike();
        }
    }
}
