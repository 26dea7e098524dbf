//! Depths of intra blocks, and what is coded step by step.

use std::sync::Arc;

use super::SIZES;
use super::filters::block_words;
use crate::av1::decisions::{Block, IntraMode, Reference, Vector};
use crate::av1::gpu::blocks::unpack;
use crate::av1::gpu::passes::{ARGUMENTS, BLOCKS, CHOICES, Kernels, Pass, VECTORS};
use crate::av1::gpu::testing::{Stand, adapter};
use crate::av1::kernel::islands;
use crate::av1::kernel::search::Grid;
use crate::av1::kernel::subpel::Fine;
use crate::av1::kernel::testing;
use crate::av1::layout::{Layout, SUPERBLOCK};
use crate::{Size, av1::decisions::BlockSize};

#[test]
fn islands_are_those_of_the_twin() {
    let Some(gpu) = adapter() else { return };
    let kernels = Arc::new(Kernels::only(&gpu, |pass| pass == Pass::Islands).expect("it compiles"));
    let mut random = fastrand::Rng::with_seed(88);
    let mut turned = 0;
    for size in SIZES.into_iter().chain([Size::new(640, 360)]) {
        let layout = Layout::new(size, Default::default());
        let stand = Stand::new(&gpu, &kernels, &layout);
        for round in 0..4 {
            // From some islands to a sea.
            let share = [20, 60, 90, 100][round];
            let mut decisions = testing::blocks(&layout, &mut random);
            for (row, col) in (0..layout.rows).flat_map(|row| (0..layout.cols).map(move |col| (row, col))) {
                let size = decisions.block(row, col).size.min(BlockSize::B32);
                if row % size.cells() == 0 && col % size.cells() == 0 {
                    let intra = random.u8(..100) < share;
                    let reference = if intra { Reference::Intra } else { Reference::Golden };
                    let mode = if intra { IntraMode::ALL[random.usize(..7)] } else { IntraMode::Dc };
                    decisions.set_block(
                        row,
                        col,
                        Block { size, reference, mode, skip: random.bool(), ..Block::default() },
                    );
                }
            }
            let vector =
                |random: &mut fastrand::Rng| Vector { row: random.i16(-99..99) * 2, col: random.i16(-99..99) * 2 };
            let mut of =
                |side: usize| (0..Grid::of(&layout, side).len()).map(|_| vector(&mut random)).collect::<Vec<_>>();
            let fine = Fine { by8: of(8), by16: of(16), by32: of(32), ..Fine::default() };
            for (side, first, vectors) in [(8, 89, &fine.by8), (16, 153, &fine.by16), (32, 169, &fine.by32)] {
                let (cols, stride) = (Grid::of(&layout, side).cols, layout.superblock_cols() * 64 / side);
                for (i, row) in vectors.chunks(cols).enumerate() {
                    let pack = |v: &Vector| u32::from(v.row as u16) | u32::from(v.col as u16) << 16;
                    let row: Vec<u32> = row.iter().map(pack).collect();
                    stand.write(VECTORS, first * stand.superblocks() + i * stride, &row);
                }
            }
            stand.write(BLOCKS, 0, &block_words(&decisions, &Block::default()));
            stand.run(&[Pass::Islands]);

            let before = decisions.clone();
            let mut depths = Vec::new();
            islands::limit(&mut decisions, &fine, &mut depths);
            turned += decisions.blocks.iter().zip(&before.blocks).filter(|(a, b)| a != b).count();
            let (blocks, ours) = (stand.read(BLOCKS), stand.read(CHOICES));
            let stride = layout.superblock_cols() * SUPERBLOCK;
            for (row, col) in (0..layout.rows).flat_map(|row| (0..layout.cols).map(move |col| (row, col))) {
                let at = 2 * (row * stride + col);
                let block = unpack([blocks[at], blocks[at + 1]]);
                assert_eq!(block, *decisions.block(row, col), "{size}, round {round}, {row} {col}");
            }
            let grid = Grid::of(&layout, 16);
            for (i, depth) in depths.iter().enumerate() {
                let at = i / grid.cols * layout.superblock_cols() * 4 + i % grid.cols;
                assert_eq!(ours[at], u32::from(*depth), "{size}, round {round}, {i}");
            }
            let deepest = usize::from(depths.iter().copied().max().unwrap_or(0));
            for (step, words) in stand.read(ARGUMENTS).chunks_exact(3).take(8).enumerate() {
                let count = if step < deepest { grid.len() as u32 } else { 0 };
                assert_eq!(words, [count, u32::from(count > 0), 1], "{size}, round {round}, step {step}");
            }
        }
    }
    assert!(turned > 500, "{turned}");
}
