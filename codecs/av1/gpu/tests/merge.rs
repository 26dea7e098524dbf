//! The flag of skipped blocks, and merges.

use std::sync::Arc;

use super::SIZES;
use super::filters::block_words;
use crate::av1::decisions::{Block, BlockSize, Decisions, IntraMode, Reference, Vector};
use crate::av1::gpu::blocks::unpack;
use crate::av1::gpu::passes::{BLOCKS, ENDS, Kernels, Pass};
use crate::av1::gpu::testing::{Stand, adapter};
use crate::av1::kernel::{merge, reconstruct};
use crate::av1::layout::{Layout, SUPERBLOCK};

/// A random partition with blocks to 32×32, some of which stick out; the fewer kinds there are, the more neighbours are
/// alike.
fn partition(layout: &Layout, random: &mut fastrand::Rng) -> Decisions {
    let mut decisions = Decisions::new(layout);
    for row in (0..layout.rows).step_by(SUPERBLOCK) {
        for col in (0..layout.cols).step_by(SUPERBLOCK) {
            let (kinds, splits) = ([1, 1, 2, 9][random.usize(..4)], [0, 2, 5][random.usize(..3)]);
            for (down, right) in [(0, 0), (0, 4), (4, 0), (4, 4)] {
                split(&mut decisions, (row + down, col + right), BlockSize::B32, (kinds, splits), random);
            }
        }
    }
    decisions
}

fn split(
    decisions: &mut Decisions,
    (row, col): (usize, usize),
    size: BlockSize,
    (kinds, splits): (usize, u8),
    random: &mut fastrand::Rng,
) {
    if row >= decisions.layout().rows || col >= decisions.layout().cols {
        return;
    }
    match size.quarter() {
        Some(quarter) if random.u8(..5) < splits => {
            let half = quarter.cells();
            for (down, right) in [(0, 0), (0, half), (half, 0), (half, half)] {
                split(decisions, (row + down, col + right), quarter, (kinds, splits), random);
            }
        }
        _ => {
            let moved = |row, col| Vector { row, col };
            let (reference, vector, mode) = match random.usize(..kinds) {
                0 => (Reference::Last, moved(0, 0), IntraMode::Dc),
                1 => (Reference::Last, moved(16, -32), IntraMode::Dc),
                2 => (Reference::Golden, moved(0, 0), IntraMode::Dc),
                3 => (Reference::Golden, moved(-16, 16), IntraMode::Dc),
                4 => (Reference::Last, moved(2, 0), IntraMode::Dc),
                5 => (Reference::Last, moved(0, -8), IntraMode::Dc),
                6 => (Reference::Last, moved(-4098, 8190), IntraMode::Dc),
                7 => (Reference::Intra, moved(0, 0), IntraMode::Dc),
                _ => (Reference::Intra, moved(0, 0), IntraMode::Paeth),
            };
            decisions.set_block(row, col, Block { size, reference, vector, mode, ..Block::default() });
            let mut ends = [0; 3];
            if random.usize(..12) < kinds - 1 {
                ends[random.usize(..3)] = 1 + random.u16(..64);
            }
            let cell = decisions.layout().cell(row, col);
            decisions.ends[cell] = ends;
        }
    }
}

/// Three words a cell, with bits above the low half that do not count.
fn end_words(decisions: &Decisions, random: &mut fastrand::Rng) -> Vec<u32> {
    let layout = decisions.layout();
    let across = layout.superblock_cols() * SUPERBLOCK;
    let mut words = vec![7; 3 * across * layout.superblock_rows() * SUPERBLOCK];
    for (i, ends) in decisions.ends.iter().enumerate() {
        let at = 3 * (i / layout.cols * across + i % layout.cols);
        (0..3).for_each(|plane| words[at + plane] = u32::from(ends[plane]) | u32::from(random.bool()) << 16);
    }
    words
}

#[test]
fn merged_blocks_are_those_of_the_twin() {
    let Some(gpu) = adapter() else { return };
    let kernels = Arc::new(Kernels::only(&gpu, |pass| pass == Pass::Merge).expect("they compile"));
    let mut random = fastrand::Rng::with_seed(59);
    let mut grown = [0; 4];
    for size in SIZES {
        let layout = Layout::new(size, Default::default());
        let stand = Stand::new(&gpu, &kernels, &layout);
        let across = layout.superblock_cols() * SUPERBLOCK;
        for round in 0..40 {
            let mut decisions = partition(&layout, &mut random);
            // What is beyond the frame looks as if it could be merged. The flag is left over from another frame.
            let outside = Block { reference: Reference::Last, skip: true, ..Block::default() };
            let mut stale = decisions.clone();
            stale.blocks.iter_mut().for_each(|block| block.skip = round % 2 == 1);
            stand.write(BLOCKS, 0, &block_words(&stale, &outside));
            stand.write(ENDS, 0, &end_words(&decisions, &mut random));
            stand.run(&[Pass::Merge]);

            for (cell, block) in reconstruct::blocks(&decisions.clone()) {
                let skip = decisions.ends[layout.cell(cell.row, cell.col)] == [0; 3];
                decisions.set_block(cell.row, cell.col, Block { skip, ..*block });
            }
            let before = decisions.clone();
            merge::frame(&mut decisions);
            let (blocks, ends) = (stand.read(BLOCKS), stand.read(ENDS));
            assert_eq!(blocks, block_words(&decisions, &outside), "{size}, round {round}");
            for row in 0..layout.rows {
                for col in 0..layout.cols {
                    let (at, cell) = (row * across + col, layout.cell(row, col));
                    let twin = decisions.block(row, col);
                    assert_eq!(unpack([blocks[2 * at], blocks[2 * at + 1]]), *twin);
                    let low = [0, 1, 2].map(|plane| ends[3 * at + plane] as u16);
                    assert_eq!(low, decisions.ends[cell], "{size}, round {round}, {row}, {col}");
                    grown[twin.size.cells().ilog2() as usize] += usize::from(twin.size != before.blocks[cell].size);
                }
            }
        }
    }
    assert!(grown[1..].iter().all(|cells| *cells > 1000), "{grown:?}");
}
