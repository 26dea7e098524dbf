//! What a frame costs on a GPU, pass by pass, without one: a model that is read off the shaders.
//!
//! Dispatches, workgroups and workgroup memory are exact. Bytes and operations are upper bounds, for every block takes
//! the dearest way through its pass: none is settled early, each is cut into 8×8, and each is coded both from a
//! reference and from its neighbours, so that the sums exceed what any frame takes.
//!
//! **Bytes** are those of storage buffers that a workgroup touches, each word once; what two workgroups touch counts
//! twice, as no cache is assumed between them. Parameters and constant tables are left out. **Operations** are additions,
//! multiplications, shifts, comparisons and the like on one 32-bit number, those on addresses included. Invocations are
//! counted in lots of [`LOT`], as GPUs compute: a lot takes the same time however few of it have something to do.

use conclave_shaders::Stage;
use conclave_shaders::wgpu::naga;
use naga::valid::{Capabilities, ValidationFlags, Validator};

use super::buffers::{FRAME_WORDS, PYRAMID_WORDS};
use super::passes::Pass;
use crate::av1::kernel::search::Grid;
use crate::av1::layout::Layout;

/// Invocations that a GPU computes at once.
pub const LOT: u64 = 32;

/// What one pass takes of a frame.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct PassCost {
    /// Its stage and entry point.
    pub name: String,
    /// How often it is dispatched.
    pub dispatches: u32,
    /// Workgroups of all its dispatches, of 64 invocations each.
    pub workgroups: u64,
    /// Steps that a workgroup takes one after the other, as each reads from the GPU's memory what the one before wrote.
    pub steps: u32,
    /// Memory of one workgroup, in bytes.
    pub workgroup_bytes: u32,
    /// Bytes read of the GPU's memory, at most.
    pub bytes_read: u64,
    /// Bytes written, at most.
    pub bytes_written: u64,
    /// Integer operations, at most.
    pub operations: u64,
}

/// The passes of a key frame or an inter frame of `layout`, in their order.
pub fn explain(layout: &Layout, key: bool) -> Vec<PassCost> {
    let of = |pass: Pass| {
        let dispatches = pass.repeats(layout, key) as u32;
        let groups: u64 = pass.groups(layout).into_iter().map(u64::from).product();
        let (stage, entry) = pass.shader();
        let cost = cost(pass, layout, key);
        PassCost {
            name: format!("{} {entry}", stage.name.trim_start_matches("av1/")),
            dispatches,
            workgroups: u64::from(dispatches) * groups,
            steps: if pass == Pass::Islands { Pass::Intra.repeats(layout, true) as u32 } else { 0 },
            workgroup_bytes: workgroup_bytes(&stage, entry).unwrap_or_default(),
            bytes_read: cost.read,
            bytes_written: cost.written,
            operations: cost.operations,
        }
    };
    Pass::FRAME.into_iter().filter(|pass| pass.repeats(layout, key) > 0).map(of).collect()
}

/// Bytes of the workgroup variables that an entry point reaches; `None` where the shader is not valid.
fn workgroup_bytes(stage: &Stage, entry: &str) -> Option<u32> {
    let module = naga::front::wgsl::parse_str(stage.source).ok()?;
    let info = Validator::new(ValidationFlags::all(), Capabilities::empty()).validate(&module).ok()?;
    let used = info.get_entry_point(module.entry_points.iter().position(|point| point.name == entry)?);
    let bytes = module.global_variables.iter().map(|(variable, declared)| {
        let counts = declared.space == naga::AddressSpace::WorkGroup && !used[variable].is_empty();
        if counts { module.types[declared.ty].inner.size(module.to_ctx()) } else { 0 }
    });
    Some(bytes.sum())
}

/// What a class of GPU is assumed to do.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Class {
    /// What it is called.
    pub name: &'static str,
    /// Integer operations a second, sustained.
    pub operations: f64,
    /// Bytes of its memory a second, sustained.
    pub bytes: f64,
    /// Seconds from one dispatch to the next that depends on it, barrier included.
    pub dispatch: f64,
    /// Seconds of one step of a single workgroup: a few trips to memory, each waiting for the one before.
    pub step: f64,
}

/// Three classes. About half of what data sheets say, as integers run at half the rate of floats on many and nothing is
/// ever at its peak.
pub const CLASSES: [Class; 3] = [
    Class { name: "integrated", operations: 0.5e12, bytes: 40e9, dispatch: 10e-6, step: 2e-6 },
    Class { name: "mid-range discrete", operations: 3e12, bytes: 200e9, dispatch: 6e-6, step: 1e-6 },
    Class { name: "large discrete", operations: 12e12, bytes: 700e9, dispatch: 5e-6, step: 1e-6 },
];

impl Class {
    /// The roofline: each pass takes as long as the slower of its arithmetic and its memory; each dispatch and each step
    /// takes its start beside.
    pub fn seconds(&self, passes: &[PassCost]) -> f64 {
        let one = |pass: &PassCost| {
            let arithmetic = pass.operations as f64 / self.operations;
            let memory = (pass.bytes_read + pass.bytes_written) as f64 / self.bytes;
            let starts = f64::from(pass.dispatches) * self.dispatch + f64::from(pass.steps) * self.step;
            arithmetic.max(memory) + starts
        };
        passes.iter().map(one).sum()
    }
}

/// What is counted by formula.
#[derive(Clone, Copy, Default)]
struct Cost {
    read: u64,
    written: u64,
    operations: u64,
}

const fn cost_of(read: u64, written: u64, operations: u64) -> Cost {
    Cost { read, written, operations }
}

impl Cost {
    fn times(self, count: u64) -> Self {
        cost_of(count * self.read, count * self.written, count * self.operations)
    }

    fn and(self, other: Self) -> Self {
        cost_of(self.read + other.read, self.written + other.written, self.operations + other.operations)
    }
}

/// `tasks` of one workgroup, each of so many operations.
fn lots(tasks: u64, operations: u64) -> u64 {
    tasks.next_multiple_of(LOT) * operations
}

/// All dispatches of a pass over one frame.
fn cost(pass: Pass, layout: &Layout, key: bool) -> Cost {
    let superblocks = (layout.superblock_cols() * layout.superblock_rows()) as u64;
    let cells = layout.cells() as u64;
    let blocks = |side: usize| Grid::of(layout, side).len() as u64;
    let frame = u64::from(FRAME_WORDS) * superblocks;
    let (quarter, eighth) = (64 * superblocks, 16 * superblocks);
    debug_assert_eq!(quarter + eighth, u64::from(PYRAMID_WORDS) * superblocks);
    match pass {
        // A word each: its place by divisions (20), two words joined (10).
        Pass::Load => cost_of(4 * frame, 4 * frame, 30 * frame),
        // Sixteen words become one: of each four sums, clamped (12) and added (6).
        Pass::QuarterSource | Pass::QuarterFresh => cost_of(4 * 16 * quarter, 4 * quarter, 16 * 20 * quarter),
        // Four words become one: of each pair sums and places.
        Pass::EighthSource | Pass::EighthFresh => cost_of(4 * 4 * eighth, 4 * eighth, 4 * 25 * eighth),
        Pass::Wide => wide().times(blocks(64)),
        Pass::Narrow => narrow().times(blocks(32)),
        // Starts, rounds and how far these stray, of by16, by32, by8 in search.wgsl.
        Pass::By16 => whole(16, 7, 4, 4, 2).times(blocks(16)),
        Pass::By32 => whole(32, 5, 2, 1, 8).times(blocks(32)),
        Pass::By8 => whole(8, 6, 2, 1, 1).times(blocks(8)),
        Pass::Refine8 => refine(8, 1).times(blocks(8)),
        Pass::Refine16 => refine(16, 2).times(blocks(16)),
        Pass::Refine32 => refine(32, 8).times(blocks(32)),
        Pass::Choose8 => choose(8, key).times(blocks(8)),
        Pass::Choose16 => choose(16, key).times(blocks(16)),
        Pass::Choose32 => choose(32, key).times(blocks(32)),
        // Four costs against one, and its kind.
        Pass::Join16 => cost_of(24, 8, 80).times(blocks(16)),
        Pass::Join32 => cost_of(24, 8, 80).times(blocks(32)),
        // Three kinds and a vector; places by divisions.
        Pass::Record => cost_of(16, 8, 60).times(cells),
        // Every cell is a block.
        Pass::Inter => code(8, predict_inter(8)).times(cells),
        Pass::Intra => code(8, predict_intra(8)).times(cells),
        // One workgroup: kinds, vectors and depths of each 16×16 (250), diagonal after diagonal.
        Pass::Islands => {
            let (rows, diagonals) = (Grid::of(layout, 16).rows as u64, Pass::Intra.repeats(layout, true) as u64);
            cost_of(36, 36, 0).times(blocks(16)).and(cost_of(0, 96, diagonals * lots(rows, 250)))
        }
        // As `Intra`; at every depth each 16×16 looks whether it is its turn.
        Pass::Island => {
            let looks = cost_of(4, 0, 64 * 20).times(pass.repeats(layout, false) as u64 * blocks(16));
            cost(Pass::Intra, layout, true).and(looks)
        }
        // A record and its ends, three sizes against three neighbours each.
        Pass::Merge => cost_of(20, 16, 120).times(cells),
        // Edges of 8×8 on both sides: runs of four samples, two an edge in luma, one in either chroma plane.
        Pass::Vertical => {
            let chroma = 2 * (layout.rows * layout.cols.div_ceil(2)) as u64;
            LUMA_VERTICAL.times(2 * cells).and(CHROMA_VERTICAL.times(chroma))
        }
        Pass::VerticalOdd => CHROMA_VERTICAL.times(2 * (layout.rows * (layout.cols / 2)) as u64),
        Pass::Horizontal => LUMA_HORIZONTAL.times(2 * cells).and(CHROMA_HORIZONTAL.times(2 * cells)),
        // Eight rows into four sets of lines, each pair of them into two more; 64 squares with their weights.
        Pass::Direction => cost_of(64 + 4, 4, 8 * 75 + 4 * 24 + 64 * 4).times(cells),
        // Workgroups of 64 words: 16×4 of luma, 8×8 of chroma, with two rows and a word around them, and the records of
        // 8 and 16 cells. Twelve taps for each four samples: fetched (35), weighed, added (40).
        Pass::Apply => {
            let taps = 64 * (12 * 75 + 60);
            let luma = cost_of(4 * 18 * 8 + 8 * 8, 256, taps).times(16);
            luma.and(cost_of(4 * 10 * 12 + 16 * 8, 256, taps).times(8)).times(superblocks)
        }
        // A kind and three ends (60); six steps of running sums (8 each).
        Pass::Count => cost_of(16, 0, 108).times(cells).and(cost_of(0, 4, 0).times(superblocks)),
        // One workgroup, over the totals twice.
        Pass::Total => cost_of(8 * superblocks, 4 * superblocks + 4, 20 * superblocks.next_multiple_of(64) + 64 * 60),
        // The same as `Count`, a vector, and 96 levels of 16 bits with their places.
        Pass::Pack => cost_of(20 + 192, 8 + 192, 150 + 96 * 10).times(cells),
        Pass::Roughness => cost_of(4096, 4, 4096 * 12).times(superblocks),
    }
}

/// Absolute differences of four samples (`difference`), and their sum.
const DIFFERENCE: u64 = 26;
/// Four samples of two words (`between`).
const BETWEEN: u64 = 5;

/// 625 places of an 8×8 on the eighth scale, out of a window of 32×32.
fn wide() -> Cost {
    let row = 2 * (DIFFERENCE + BETWEEN) + 10;
    cost_of(32 * 32 + 64, 4, lots(625, 8 * row + 20) + 256 * 45)
}

/// An 8×8 on the quarter scale at six starts, then at 24 places around the best. As in all searches, every slot counts.
fn narrow() -> Cost {
    let word = DIFFERENCE + BETWEEN + 40;
    cost_of(64 + 6 * 8 * 12 + 12 * 16 + 6 * 4, 4, 32 * (16 * word + 30))
}

/// A block at full scale: `starts` anywhere, then `rounds` less one of eight each, at most `stray` samples away. Rows lie
/// across words.
fn whole(side: u64, starts: u64, rounds: u64, stray: u64, parts: u64) -> Cost {
    let word = DIFFERENCE + BETWEEN + 20 + 3;
    let row = side / 4 * word + 50;
    let around = (side + 2 * stray) * (side + 2 * stray + 4);
    cost_of(
        side * side + starts * side * (side + 4) + around + 4 * starts,
        4,
        8 * rounds * (side * row + parts * 30) + 8 * parts * rounds * 8 * 4,
    )
}

/// The window and the block into workgroup memory; sixteen candidates around the vector, eight samples blended and
/// compared at a time, each part of the rows with one row more.
fn refine(side: u64, parts: u64) -> Cost {
    let words = side / 4;
    let window = (side + 2) * (words + 1);
    let blended = 2 * (2 * BETWEEN) + 6 + 28 + 24 + 2 * (DIFFERENCE + 2);
    let whole = side * words * (DIFFERENCE + BETWEEN + 10);
    let operations = window * 30 + side * words * 10 + whole + 16 * (words / 2) * (side + parts) * blended;
    cost_of(4 * (side + 2) * (words + 2) + side * side + 4, 4, operations + 8 * parts * 2 * 60)
}

/// Operations of a DCT of `side`: rotations of 12, sums of 2, and 8 for each number that is fetched and put back.
fn dct(side: u64) -> u64 {
    let (rotations, sums) = match side {
        4 => (2, 2),
        8 => (5, 8),
        16 => (13, 24),
        _ => (33, 64),
    };
    12 * rotations + 2 * sums + 8 * side
}

/// Four samples from a reference by six taps across; the same down. Places and clamps included.
const FILTER: u64 = 115;

/// A block of the search for modes: five inter candidates and seven intra modes by Hadamard differences, three of them
/// by their price.
fn choose(side: u64, key: bool) -> Cost {
    let (area, words) = (side * side, side * side / 4);
    let lines = (side + 5) * side / 4;
    // Eight numbers a row (100 with their packing); two columns of eight (150).
    let hadamard = |count: u64| lots(count * area / 8, 100) + lots(count * area / 16, 150);
    // 8×8 and 16×16 take all candidates together, 32×32 one after the other.
    let by = |count: u64, one: &dyn Fn(u64) -> u64| if side == 32 { count * one(1) } else { one(count) };
    let inter = by(5, &|n| lots(n * lines, FILTER) + lots(n * words / 4, 108 + 4 * 75) + hadamard(n));
    let intra = by(7, &|n| lots(n * area / 8, 2 * 50) + hadamard(n));
    // Residual and energy (40 a word), both passes of the transform, levels with error and bits (25 each).
    let price = lots(words, 40) + 2 * lots(side, dct(side)) + lots(area, 25);
    // Samples to the left are words apart.
    let around = cost_of(area + 5 * side + 4, 16, lots(words, 10) + 64 * 20 + intra + price);
    match key {
        true => around,
        false => around.and(cost_of(5 * (side + 5) * (side + 8) + 5 * 4, 0, inter + 2 * price)),
    }
}

/// A block of `side` from a reference, all planes; each word's residual (40) with it.
fn predict_inter(side: u64) -> Cost {
    let half = side / 2;
    let lines = (side + 5) * side / 4 + 2 * (half + 5) * half / 4;
    let bytes = (side + 5) * (side + 8) + 2 * (half + 5) * (half + 8);
    cost_of(bytes, 0, lots(lines, FILTER) + lots(side * side * 3 / 8, FILTER + 40))
}

/// The same from its neighbours. Samples to the left are words apart.
fn predict_intra(side: u64) -> Cost {
    cost_of(10 * side + 4, 0, 64 * 40 + lots(side * side * 3 / 8, 100 + 40))
}

/// What follows the prediction: transform, levels in scan order with their places, and all of it back; the sum.
fn code(side: u64, prediction: Cost) -> Cost {
    let (samples, words) = (side * side * 3 / 2, side * side * 3 / 8);
    // One lot takes the lines of luma, one those of U and V; the inverse watches its range: half as much again.
    let transforms = 2 * LOT * (dct(side) + dct(side / 2)) * 5 / 2;
    let operations = transforms + lots(samples, 20 + 20 + 15) + lots(words, 50) + 64 * 20;
    // Levels have two bytes.
    prediction.and(cost_of(samples + 8, samples + 2 * samples + 12, operations))
}

// Four samples along an edge: taps fetched and put apart, masks, the narrow filter and the one of 8 or 6 taps, back into
// words. Records of two cells.
const LUMA_VERTICAL: Cost = cost_of(32 + 16, 32, 560);
const CHROMA_VERTICAL: Cost = cost_of(32 + 16, 32, 400);
const LUMA_HORIZONTAL: Cost = cost_of(32 + 16, 24, 520);
const CHROMA_HORIZONTAL: Cost = cost_of(24 + 16, 16, 360);

#[cfg(test)]
mod tests {
    use super::super::Context;
    use super::super::testing::adapter;
    use super::*;
    use crate::av1::encoder::Encoder;
    use crate::{Config, FrameInput, Picture, Size, VideoEncoder};

    const SIZES: [Size; 4] = [Size::new(16, 16), Size::new(66, 50), Size::new(320, 180), Size::new(1280, 720)];

    fn layout(size: Size) -> Layout {
        Layout::new(size, Default::default())
    }

    fn named<'a>(passes: &'a [PassCost], name: &str) -> &'a PassCost {
        passes.iter().find(|pass| pass.name == name).expect(name)
    }

    #[test]
    fn workgroup_memory_is_what_the_shaders_declare_and_reach() {
        let passes = explain(&layout(SIZES[3]), false);
        // By hand: declarations of decide.wgsl, reconstruct.wgsl, subpel.wgsl, merge.wgsl, words of 4 bytes.
        let decide = 256 + 512 + 1792 + 8 + 33 + 8 + 2 + 5 + 2 + 28 + 12 + 9 + 1;
        let expected = [
            ("pyramid load", 0),
            ("decide choose32", decide),
            ("reconstruct inter", 1600 + 1536 + 384 + 3 * 3 + 4 + 2 + 3),
            ("reconstruct island", 1600 + 1536 + 384 + 64 + 65 + 8 + 24 + 3 * 3 + 4 + 4 + 3),
            ("subpel refine8", 360 + 256 + 136),
            ("merge merge", 192 + 64),
            ("cdef apply", 0),
        ];
        for (name, words) in expected {
            assert_eq!(named(&passes, name).workgroup_bytes, 4 * words, "{name}");
        }
        // An entry point does not pay for what only its neighbours use: `by16` has no window.
        assert!(named(&passes, "search by16").workgroup_bytes < named(&passes, "search wide").workgroup_bytes);
        // What WebGPU grants everywhere.
        assert!(passes.iter().all(|pass| pass.workgroup_bytes <= 16 << 10));
        for pass in Pass::FRAME {
            let (stage, entry) = pass.shader();
            assert!(workgroup_bytes(&stage, entry).is_some(), "{entry}");
        }
    }

    #[test]
    fn a_variable_that_an_entry_point_does_not_reach_is_not_counted() {
        let source = "var<workgroup> a: array<u32, 3>; var<workgroup> b: u32; fn deep() { a[0] = 1u; }
            @compute @workgroup_size(64) fn first() { deep(); } @compute @workgroup_size(64) fn second() { b = 1u; }";
        let stage = Stage { name: "two", source, entries: &["first", "second"] };
        assert_eq!(workgroup_bytes(&stage, "first"), Some(12));
        assert_eq!(workgroup_bytes(&stage, "second"), Some(4));
        assert_eq!(workgroup_bytes(&stage, "third"), None);
    }

    #[test]
    fn every_pass_is_counted_once_and_has_costs() {
        for size in SIZES {
            let (inter, key) = (explain(&layout(size), false), explain(&layout(size), true));
            // All but the diagonals of key frames.
            assert_eq!(inter.len(), Pass::FRAME.len() - 1);
            for pass in &inter {
                let bytes = pass.bytes_read.min(pass.bytes_written + 1);
                assert!(pass.operations > 0 && bytes > 0 && pass.workgroups > 0, "{pass:?}");
                // An invocation does something, and nothing costs a million operations.
                let each = pass.operations / (64 * pass.workgroups);
                assert!(each < 200_000, "{size}: {pass:?}");
            }
            // A key frame has neither searches nor inter prediction, and its choices are cheaper.
            let common = |pass: &PassCost| inter.iter().any(|other| other.name == pass.name);
            assert!(key.iter().all(|pass| common(pass) != (pass.name == "reconstruct intra")));
            assert!(!key.iter().any(|pass| pass.name.starts_with("search") || pass.name == "reconstruct inter"));
            assert!(named(&key, "decide choose8").operations < named(&inter, "decide choose8").operations);
        }
    }

    #[test]
    fn bytes_cover_the_frames_that_a_pass_must_move() {
        let layout = layout(SIZES[3]);
        let passes = explain(&layout, false);
        // 20×12 superblocks of 64×64 with their chroma.
        let (frame, luma) = (240 * 6144, 1280 * 720);
        let expected = [("pyramid load", frame), ("cdef apply", frame)];
        for (name, least) in expected {
            let pass = named(&passes, name);
            assert!(pass.bytes_written == least && pass.bytes_read >= least, "{pass:?}");
        }
        for name in ["pyramid quarter_source", "search by8", "subpel refine16", "decide choose32", "cdef direction"] {
            assert!(named(&passes, name).bytes_read >= luma, "{name}");
        }
    }

    #[test]
    fn four_times_the_picture_costs_four_times_as_much() {
        let all = |size| -> [u64; 2] {
            let passes = explain(&layout(size), false);
            [passes.iter().map(|p| p.operations).sum(), passes.iter().map(|p| p.bytes_read + p.bytes_written).sum()]
        };
        let (small, large) = (all(Size::new(640, 384)), all(Size::new(1280, 768)));
        for (small, large) in small.into_iter().zip(large) {
            assert!((3.99..4.01).contains(&(large as f64 / small as f64)), "{small} {large}");
        }
    }

    #[test]
    fn the_roofline_is_the_slower_of_both_and_the_dispatches() {
        let class = Class { name: "round", operations: 1e9, bytes: 1e6, dispatch: 1.0, step: 0.5 };
        let pass = |operations, bytes_read, bytes_written, dispatches| PassCost {
            name: String::new(),
            dispatches,
            workgroups: 1,
            steps: 2 * dispatches,
            workgroup_bytes: 0,
            bytes_read,
            bytes_written,
            operations,
        };
        // 3 s of arithmetic above 1 s of memory; 5 s of memory above 1 s of arithmetic; 3 dispatches; 6 steps.
        let passes = [pass(3_000_000_000, 500_000, 500_000, 1), pass(1_000_000_000, 4_000_000, 1_000_000, 2)];
        assert!((class.seconds(&passes) - 14.0).abs() < 1e-9);
        assert_eq!(class.seconds(&[]), 0.0);
    }

    #[test]
    fn a_frame_makes_the_dispatches_that_are_foretold() {
        let Some(gpu) = adapter() else { return };
        let context = Context::new(gpu).expect("compiles");
        for size in [Size::new(16, 16), Size::new(96, 80)] {
            let config = Config { size, ..Config::default() };
            let mut encoder = Encoder::open_on(&context, config).expect("opens");
            let picture = Picture::new(size, config.color);
            for frame in 0..3 {
                encoder.submit(&picture, FrameInput { frame, keyframe: frame == 2 }).expect("taken");
                let info = encoder.poll(&mut Vec::new()).expect("polls").expect("a frame");
                let told: u32 = explain(encoder.decisions().layout(), info.keyframe).iter().map(|p| p.dispatches).sum();
                let made = encoder.traffic().expect("on the GPU").dispatches;
                assert_eq!(told, made, "{size}, frame {frame}");
            }
        }
    }
}
