//! Modes and partition.

use std::sync::Arc;

use super::super::params::{FIRST, Params};
use super::super::passes::{BLOCKS, CHOICES, Kernels, Pass, VECTORS};
use super::super::testing::{SOURCE, Stand, adapter};
use crate::Size;
use crate::av1::decisions::{Block, Decisions, Reference, Vector};
use crate::av1::frame::Frame;
use crate::av1::kernel::cost::Costs;
use crate::av1::kernel::decide::{Choice, Decide, View};
use crate::av1::kernel::search::Grid;
use crate::av1::kernel::subpel::Fine;
use crate::av1::kernel::testing;
use crate::av1::layout::{Layout, Tiles};
use crate::av1::threads::Threads;

const CHOOSE: [Pass; 3] = [Pass::Choose8, Pass::Choose16, Pass::Choose32];
const JOIN: [Pass; 3] = [Pass::Join16, Pass::Join32, Pass::Record];

const SIZES: [(u32, u32); 7] = [(16, 16), (24, 40), (64, 64), (66, 50), (130, 98), (176, 144), (322, 182)];
const QUANTIZERS: [u8; 6] = [1, 20, 60, 120, 200, 255];

/// Picture, references and vectors of one frame.
struct Scene {
    layout: Layout,
    source: Frame,
    last: Frame,
    golden: Frame,
    fine: Fine,
}

impl Scene {
    fn new(layout: &Layout, random: &mut fastrand::Rng) -> Self {
        let source = testing::frame(layout, random);
        let by = Vector { row: random.i16(-12..=12), col: random.i16(-12..=12) };
        let last = moved(layout, &source, by, random);
        let golden = moved(layout, &source, Vector::ZERO, random);
        let eighths = Vector { row: by.row * 8, col: by.col * 8 };
        let mut field = |side| (0..Grid::of(layout, side).len()).map(|_| vector(eighths, random)).collect();
        let fine = Fine { by8: field(8), by16: field(16), by32: field(32), ..Fine::default() };
        Self { layout: *layout, source, last, golden, fine }
    }

    fn view(&self, flags: u32) -> View<'_> {
        View {
            source: &self.source,
            last: (flags & 1 != 0).then_some((&self.last, &self.fine)),
            golden: (flags & 2 != 0).then_some(&self.golden),
        }
    }

    fn upload(&self, stand: &Stand) {
        stand.write_frame(SOURCE, &self.source);
        stand.write_frame(FIRST, &self.last);
        stand.write_frame(FIRST + 1, &self.golden);
        for (side, at, field) in [(8, 89, &self.fine.by8), (16, 153, &self.fine.by16), (32, 169, &self.fine.by32)] {
            let (grid, stride) = (Grid::of(&self.layout, side), stride(&self.layout, side));
            for (row, vectors) in field.chunks_exact(grid.cols).enumerate() {
                let words: Vec<u32> = vectors.iter().map(pack).collect();
                stand.write(VECTORS, at * stand.superblocks() + row * stride, &words);
            }
        }
    }
}

/// What lies `by` samples away, with noise in some places and something else entirely in others.
fn moved(layout: &Layout, frame: &Frame, by: Vector, random: &mut fastrand::Rng) -> Frame {
    let mut out = testing::frame(layout, random);
    let plane = &mut out.planes[0];
    let rows = plane.data.len() / plane.stride;
    for top in (0..rows).step_by(16) {
        for left in (0..plane.stride).step_by(16) {
            let noise = match random.u8(..8) {
                0 => continue,
                1 => 20,
                2..4 => 2,
                _ => 0,
            };
            for (y, x) in (top..top + 16).flat_map(|y| (left..left + 16).map(move |x| (y, x))) {
                let from =
                    |at: usize, by: i16, end: usize| (at as i32 - i32::from(by)).clamp(0, end as i32 - 1) as usize;
                let sample = frame.planes[0].at(from(x, by.col, plane.stride), from(y, by.row, rows))[0];
                plane.at_mut(x, y)[0] = (i32::from(sample) + random.i32(-noise..=noise)).clamp(0, 255) as u8;
            }
        }
    }
    out
}

/// Mostly the true motion or near it, at times none, at times far outside.
fn vector(truth: Vector, random: &mut fastrand::Rng) -> Vector {
    let mut near = |reach: i16| Vector {
        row: truth.row + 2 * random.i16(-reach..=reach),
        col: truth.col + 2 * random.i16(-reach..=reach),
    };
    match near(3).row.rem_euclid(16) / 2 {
        0 => Vector::ZERO,
        1 => near(1500),
        2 => near(40),
        3 => near(4),
        4 => Vector { row: truth.row, ..near(3) },
        5 => Vector { col: truth.col, ..near(3) },
        _ => truth,
    }
}

fn stride(layout: &Layout, side: usize) -> usize {
    layout.superblock_cols() * 64 / side
}

fn pack(vector: &Vector) -> u32 {
    u32::from(vector.row as u16) | u32::from(vector.col as u16) << 16
}

/// The two words of a record.
fn record(block: &Block) -> [u32; 2] {
    let size = block.size.side().ilog2() - 3;
    let reference = match block.reference {
        Reference::Intra => 0,
        Reference::Last => 1,
        Reference::Golden => 2,
    };
    let kind = size | reference << 2 | u32::from(block.skip) << 4 | (block.mode as u32) << 8;
    [kind, pack(&block.vector)]
}

fn same_choices(stand: &Stand, decide: &Decide, what: &str) {
    let words = stand.read(CHOICES);
    let fields: [(usize, usize, &[Choice]); 3] =
        [(8, 0, &decide.by8), (16, 256, &decide.by16), (32, 320, &decide.by32)];
    for (side, at, choices) in fields {
        let cols = Grid::of(&stand.layout, side).cols;
        for (i, choice) in choices.iter().enumerate() {
            let at = at * stand.superblocks() + (i / cols * stride(&stand.layout, side) + i % cols) * 4;
            let [kind, vector] = record(&choice.block);
            let block = (i % cols * side, i / cols * side);
            assert_eq!(words[at..at + 4], [choice.cost, kind, vector, 0], "{what}: {side} at {block:?}, {choice:?}");
        }
    }
}

/// How often each kind of record arises.
#[derive(Debug, Default)]
struct Seen {
    sizes: [u32; 4],
    references: [u32; 3],
    skipped: u32,
    modes: [u32; 13],
    moved: u32,
}

impl Seen {
    fn count(&mut self, [kind, vector]: [u32; 2]) {
        self.sizes[(kind & 3) as usize] += 1;
        self.references[(kind >> 2 & 3) as usize] += 1;
        self.skipped += kind >> 4 & 1;
        self.moved += u32::from(vector != 0);
        if kind >> 2 & 3 == 0 {
            self.modes[(kind >> 8) as usize] += 1;
        }
    }
}

fn same_blocks(stand: &Stand, decisions: &Decisions, seen: &mut Seen, what: &str) {
    let words = stand.read(BLOCKS);
    for row in 0..stand.layout.rows {
        for col in 0..stand.layout.cols {
            let at = (row * stride(&stand.layout, 8) + col) * 2;
            let block = decisions.block(row, col);
            assert_eq!(words[at..at + 2], record(block), "{what}: cell {row} {col}, {block:?}");
            seen.count(record(block));
        }
    }
}

#[test]
fn choices_and_records_are_those_of_the_twin() {
    let Some(gpu) = adapter() else { return };
    let wanted = |pass| CHOOSE.contains(&pass) || JOIN.contains(&pass);
    let kernels = Arc::new(Kernels::only(&gpu, wanted).expect("shaders"));
    let mut random = fastrand::Rng::with_seed(30);
    let threads = Threads::new(1);
    let mut seen = Seen::default();
    for (width, height) in SIZES {
        for tiles in [Tiles::default(), Tiles { cols_log2: 1, rows_log2: 1 }] {
            let layout = Layout::new(Size::new(width, height), tiles);
            if tiles != Tiles::default() && layout.tiles == Tiles::default() {
                continue;
            }
            let mut stand = Stand::new(&gpu, &kernels, &layout);
            // Few scenes of few blocks would hardly meet every case.
            for round in 0..if width < 100 { 4 } else { 1 } {
                for (i, quantizer) in QUANTIZERS.into_iter().enumerate() {
                    let scene = Scene::new(&layout, &mut random);
                    scene.upload(&stand);
                    let costs = Costs::new(quantizer);
                    let flags = [0, 1, 3][(i + i / 3 + round) % 3];
                    stand.params = Params::of(&layout).costs(&costs);
                    (stand.params.last, stand.params.golden, stand.params.flags) = (FIRST, FIRST + 1, flags);
                    let what = format!("{width}×{height}, {tiles:?}, quantizer {quantizer}, flags {flags}");
                    stand.run(&CHOOSE);
                    let mut decide = Decide::default();
                    decide.choose(&threads, scene.view(flags), &costs, &layout);
                    same_choices(&stand, &decide, &what);
                    stand.run(&JOIN);
                    let mut decisions = Decisions::new(&layout);
                    decide.run(&threads, scene.view(flags), &costs, &mut decisions);
                    same_choices(&stand, &decide, &format!("joined {what}"));
                    same_blocks(&stand, &decisions, &mut seen, &what);
                }
            }
        }
    }
    println!("{seen:?}");
    // The test is worth little where some kind of block never arises.
    assert!(seen.sizes[..3].iter().chain(&seen.references).all(|times| *times > 0), "{seen:?}");
    assert!([0, 1, 2, 9, 10, 11, 12].iter().all(|mode| seen.modes[*mode] > 0), "{seen:?}");
    assert!(seen.skipped > 0 && seen.moved > 0, "{seen:?}");
}
