//! Deblocking and CDEF.

use std::sync::{Arc, OnceLock};

use conclave_shaders::Gpu;

use super::SIZES;
use crate::av1::decisions::{Block, BlockSize, CdefStrength, Decisions};
use crate::av1::frame::Frame;
use crate::av1::gpu::blocks::pack;
use crate::av1::gpu::params::FIRST;
use crate::av1::gpu::passes::{BLOCKS, Kernels, Pass};
use crate::av1::gpu::testing::{RECON, Stand, adapter};
use crate::av1::kernel::{cdef, deblock, testing};
use crate::av1::layout::{Layout, SUPERBLOCK};

const DEBLOCK: [Pass; 3] = [Pass::Vertical, Pass::VerticalOdd, Pass::Horizontal];
const CDEF: [Pass; 2] = [Pass::Direction, Pass::Apply];

fn kernels(gpu: &Gpu) -> &'static Arc<Kernels> {
    static COMPILED: OnceLock<Arc<Kernels>> = OnceLock::new();
    COMPILED.get_or_init(|| {
        let wanted = |pass| DEBLOCK.contains(&pass) || CDEF.contains(&pass);
        Arc::new(Kernels::only(gpu, wanted).expect("they compile"))
    })
}

/// The words of every block; cells without a frame hold `outside`.
pub(super) fn block_words(decisions: &Decisions, outside: &Block) -> Vec<u32> {
    let layout = decisions.layout();
    let (across, down) = (layout.superblock_cols() * SUPERBLOCK, layout.superblock_rows() * SUPERBLOCK);
    let cells = (0..down).flat_map(|row| (0..across).map(move |col| (row, col)));
    let inside = |row, col| row < layout.rows && col < layout.cols;
    cells.flat_map(|(row, col)| pack(if inside(row, col) { decisions.block(row, col) } else { outside })).collect()
}

/// Runs passes on the frame before its filters; what `decisions` say holds.
fn run(stand: &mut Stand, decisions: &Decisions, frame: &Frame, passes: &[Pass]) {
    stand.params = stand.params.filters(&decisions.deblock, &decisions.cdef);
    stand.params.fresh = FIRST + 1;
    stand.write(BLOCKS, 0, &block_words(decisions, &Block { size: BlockSize::B64, ..Block::default() }));
    stand.write_frame(RECON, frame);
    stand.run(passes);
}

/// Samples that differ between two frames of the same size.
fn changed(a: &Frame, b: &Frame) -> usize {
    let planes = a.planes.iter().zip(&b.planes);
    planes.map(|(a, b)| a.data.iter().zip(&b.data).filter(|(a, b)| a != b).count()).sum()
}

#[track_caller]
fn assert_same(gpu: &Frame, twin: &Frame, what: &str) {
    for (plane, (gpu, twin)) in gpu.planes.iter().zip(&twin.planes).enumerate() {
        let at = gpu.data.iter().zip(&twin.data).position(|(a, b)| a != b);
        assert_eq!(at.map(|at| (at % gpu.stride, at / gpu.stride)), None, "{what}, plane {plane}");
    }
}

#[test]
fn deblocked_frames_are_those_of_the_twin() {
    let Some(gpu) = adapter() else { return };
    let mut random = fastrand::Rng::with_seed(714);
    let mut total = 0;
    for size in SIZES {
        let layout = Layout::new(size, Default::default());
        let mut stand = Stand::new(&gpu, kernels(&gpu), &layout);
        for round in 0..24 {
            let mut decisions = testing::blocks(&layout, &mut random);
            let mut level = || if random.u8(..5) == 0 { 0 } else { random.u8(..64) };
            decisions.deblock.luma = [level(), level()];
            decisions.deblock.chroma = [level(), level()];
            if round == 0 {
                decisions.deblock.luma = [0; 2];
            }
            let source = testing::frame(&layout, &mut random);
            let mut twin = source.clone();
            deblock::frame(&decisions, &mut twin);
            run(&mut stand, &decisions, &source, &DEBLOCK);
            assert_same(&stand.read_frame(RECON), &twin, &format!("{size}, round {round}, {:?}", decisions.deblock));
            total += changed(&source, &twin);
        }
    }
    assert!(total > 100_000, "{total}");
}

#[test]
fn filtered_frames_are_those_of_the_twin() {
    let Some(gpu) = adapter() else { return };
    let mut random = fastrand::Rng::with_seed(715);
    let mut total = 0;
    for size in SIZES {
        let layout = Layout::new(size, Default::default());
        let mut stand = Stand::new(&gpu, kernels(&gpu), &layout);
        for round in 0..24 {
            let mut decisions = testing::blocks(&layout, &mut random);
            decisions.cdef.damping = random.u8(3..=6);
            let mut strength = |end| if random.u8(..4) == 0 { 0 } else { random.u8(..end) };
            decisions.cdef.strengths[0] = CdefStrength {
                luma_primary: strength(16),
                luma_secondary: strength(4),
                chroma_primary: strength(16),
                chroma_secondary: strength(4),
            };
            if round == 0 {
                decisions.cdef.strengths[0] = CdefStrength::default();
            }
            let source = testing::frame(&layout, &mut random);
            let mut twin = Frame::new(&layout);
            cdef::frame(&decisions, &source, &mut twin);
            run(&mut stand, &decisions, &source, &CDEF);
            assert_same(&stand.read_frame(FIRST + 1), &twin, &format!("{size}, round {round}, {:?}", decisions.cdef));
            total += changed(&source, &twin);
        }
    }
    assert!(total > 100_000, "{total}");
}

#[test]
fn both_filters_follow_each_other_in_one_submission() {
    let Some(gpu) = adapter() else { return };
    let mut random = fastrand::Rng::with_seed(716);
    for size in SIZES {
        let layout = Layout::new(size, Default::default());
        let mut stand = Stand::new(&gpu, kernels(&gpu), &layout);
        let mut decisions = testing::blocks(&layout, &mut random);
        decisions.deblock.luma = [30, 25];
        decisions.deblock.chroma = [20, 35];
        decisions.cdef.damping = 5;
        decisions.cdef.strengths[0] =
            CdefStrength { luma_primary: 9, luma_secondary: 3, chroma_primary: 4, chroma_secondary: 1 };
        let source = testing::frame(&layout, &mut random);
        let (mut deblocked, mut twin) = (source.clone(), Frame::new(&layout));
        deblock::frame(&decisions, &mut deblocked);
        cdef::frame(&decisions, &deblocked, &mut twin);
        run(&mut stand, &decisions, &source, &[&DEBLOCK[..], &CDEF].concat());
        assert_same(&stand.read_frame(FIRST + 1), &twin, &format!("{size}"));
    }
}
