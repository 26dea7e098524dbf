use std::sync::Arc;

use super::super::params::FIRST;
use super::super::passes::{BLOCKS, ENDS, Kernels, LEVELS, PACKED, Pass};
use super::super::readback;
use super::super::testing::{RECON, SOURCE, Stand, adapter};
use super::SIZES;
use super::filters::block_words;
use crate::Size;
use crate::av1::decisions::{Block, BlockSize, Decisions, IntraMode, Reference, Vector, z_order};
use crate::av1::frame::Frame;
use crate::av1::kernel::quantize::{DeadZone, Quantizer};
use crate::av1::kernel::reconstruct::{Coder, Input, References};
use crate::av1::kernel::{merge, testing};
use crate::av1::layout::{Layout, SUPERBLOCK, Tiles};
use crate::av1::twin::{AC_ZONE, DC_ZONE};
use conclave_shaders::wgpu;

/// Random records of the kinds that the kernels choose.
fn decide(layout: &Layout, key: bool, random: &mut fastrand::Rng) -> Decisions {
    let mut decisions = testing::blocks(layout, random);
    for row in 0..layout.rows {
        for col in 0..layout.cols {
            let block = *decisions.block(row, col);
            let cells = block.size.cells().min(4);
            if row % cells != 0 || col % cells != 0 {
                continue;
            }
            let size = if cells == 4 { BlockSize::B32 } else { block.size };
            let reference = match random.u8(..3) {
                _ if key => Reference::Intra,
                0 => Reference::Intra,
                1 => Reference::Last,
                _ => Reference::Golden,
            };
            let reach = [16, 200, 8000][random.usize(..3)];
            let component =
                |random: &mut fastrand::Rng| random.i16(-reach / 2..=reach / 2) * if random.bool() { 2 } else { 0 };
            let (vector, mode) = match reference {
                Reference::Intra => (Vector::ZERO, IntraMode::ALL[random.usize(..7)]),
                _ => (Vector { row: component(random), col: component(random) }, IntraMode::Dc),
            };
            decisions.set_block(
                row,
                col,
                Block { size, reference, vector, mode, skip: random.u8(..6) == 0, ..Block::default() },
            );
        }
    }
    decisions
}

/// A source of black and white columns, and references of the opposite. With a dead zone that rounds up, such residuals
/// have levels that leave the range that decoders agree in.
fn harsh(layout: &Layout, random: &mut fastrand::Rng) -> [Frame; 3] {
    let mut source = Frame::new(layout);
    for plane in &mut source.planes {
        for rows in plane.data.chunks_mut(16 * plane.stride) {
            let columns: Vec<u8> = (0..plane.stride).map(|_| if random.bool() { 255 } else { 0 }).collect();
            rows.chunks_exact_mut(plane.stride).for_each(|row| row.copy_from_slice(&columns));
        }
    }
    let mut opposite = source.clone();
    opposite.planes.iter_mut().for_each(|plane| plane.data.iter_mut().for_each(|sample| *sample = 255 - *sample));
    [source, opposite.clone(), opposite]
}

#[test]
fn levels_and_samples_equal_the_twins() {
    let Some(gpu) = adapter() else { return };
    let wanted =
        |pass| matches!(pass, Pass::Inter | Pass::Intra | Pass::Merge | Pass::Count | Pass::Total | Pass::Pack);
    let kernels = Arc::new(Kernels::only(&gpu, wanted).unwrap_or_else(|error| panic!("{error}")));
    let intra = &kernels.all().iter().find(|(pass, _)| *pass == Pass::Intra).expect("compiled").1;
    let numbers = gpu.buffer("steps", 64 * 256, wgpu::BufferUsages::UNIFORM).expect("memory");
    let steps: Vec<_> = (0..64)
        .map(|step: u32| {
            gpu.queue.write_buffer(&numbers, u64::from(step) * 256, &step.to_le_bytes());
            intra.bind_part(&gpu, &numbers, u64::from(step) * 256, 4)
        })
        .collect();
    let mut random = fastrand::Rng::with_seed(41);
    let mut levels = 0;
    for round in 0..56 {
        let size = if round % 4 == 3 { Size::new(320, 176) } else { SIZES[round % SIZES.len()] };
        let tiles = Tiles { cols_log2: (round / 7 % 2) as u8, rows_log2: (round / 7 % 2) as u8 };
        let layout = Layout::new(size, tiles);
        let key = round % 3 == 0;
        let mut decisions = decide(&layout, key, &mut random);
        decisions.quantizer = [1, 20, 60, 120, 200, 255][random.usize(..6)];
        let [source, last, golden] = match round % 4 {
            3 => harsh(&layout, &mut random),
            _ => std::array::from_fn(|_| testing::frame(&layout, &mut random)),
        };
        let mut quantizer = Quantizer::new(decisions.quantizer, DC_ZONE, AC_ZONE);
        if round % 4 == 3 {
            decisions.quantizer = random.u8(215..);
            let zone = DeadZone { zero_bin: 0, rounding: random.u8(200..) };
            quantizer = Quantizer::new(decisions.quantizer, zone, zone);
            let still = Block { size: BlockSize::B16, reference: Reference::Last, ..Block::default() };
            decisions.blocks.fill(still);
        }

        let mut stand = Stand::new(&gpu, &kernels, &layout);
        stand.params = stand.params.quantizer(&quantizer);
        (stand.params.last, stand.params.golden, stand.params.fresh) = (FIRST, FIRST + 1, FIRST + 2);
        for (number, frame) in [(SOURCE, &source), (FIRST, &last), (FIRST + 1, &golden)] {
            stand.write_frame(number, frame);
        }
        stand.write(BLOCKS, 0, &block_words(&decisions, &Block::default()));
        let count = layout.rows.div_ceil(2) + layout.cols.div_ceil(2) - 1;
        let code =
            std::iter::once((Pass::Inter, None)).chain(steps[..count].iter().map(|step| (Pass::Intra, Some(step))));
        let settle = [Pass::Merge, Pass::Count, Pass::Total, Pass::Pack].map(|pass| (pass, None));
        stand.run_steps(code.chain(settle));

        let references = Some(References { last: &last, golden: &golden });
        let mut out = Frame::new(&layout);
        let input = Input { source: &source, references, quantizer: &quantizer };
        Coder::default().frame(&input, &mut decisions, &mut out);
        let ours = stand.read_frame(RECON);
        let inside = |plane: usize| {
            let shift = usize::from(plane > 0);
            ((layout.cols * 8) >> shift, (layout.rows * 8) >> shift)
        };
        for plane in 0..3 {
            let (width, height) = inside(plane);
            for y in 0..height {
                let row = |frame: &Frame| frame.planes[plane].at(0, y)[..width].to_vec();
                assert_eq!(row(&ours), row(&out), "round {round}, plane {plane}, row {y}");
            }
        }
        compare_levels(&stand, &decisions, round);
        levels += decisions.ends.iter().flatten().map(|end| usize::from(*end)).sum::<usize>();

        merge::frame(&mut decisions);
        let packed = stand.read(PACKED);
        let mut back = Decisions::new(&layout);
        assert!(readback::unpack(&packed[1..=packed[0] as usize], &mut back), "round {round}");
        assert_eq!(back.blocks, decisions.blocks, "round {round}");
        for (row, col) in (0..layout.rows).flat_map(|row| (0..layout.cols).map(move |col| (row, col))) {
            let block = *decisions.block(row, col);
            if row % block.size.cells() == 0 && col % block.size.cells() == 0 {
                let ends = decisions.ends[layout.cell(row, col)];
                assert_eq!(back.ends[layout.cell(row, col)], ends, "round {round} {row} {col}");
                for plane in 0..3 {
                    let of = |d: &Decisions| {
                        d.levels(plane, row, col, block.transform_side(plane))[..usize::from(ends[plane])].to_vec()
                    };
                    assert_eq!(of(&back), of(&decisions), "round {round} {row} {col} {plane}");
                }
            }
        }
    }
    assert!(levels > 100_000, "{levels}");
}

/// Ends and levels, before blocks are merged.
fn compare_levels(stand: &Stand, decisions: &Decisions, round: usize) {
    let layout = &stand.layout;
    let (ends, levels) = (stand.read(ENDS), stand.read(LEVELS));
    let stride = layout.superblock_cols() * SUPERBLOCK;
    for (row, col) in (0..layout.rows).flat_map(|row| (0..layout.cols).map(move |col| (row, col))) {
        let block = *decisions.block(row, col);
        if row % block.size.cells() != 0 || col % block.size.cells() != 0 {
            continue;
        }
        let superblock = row / SUPERBLOCK * layout.superblock_cols() + col / SUPERBLOCK;
        let cell = superblock * 64 + z_order(row % SUPERBLOCK, col % SUPERBLOCK);
        for plane in 0..3 {
            let end = usize::from(decisions.ends[layout.cell(row, col)][plane]);
            let ours = ends[3 * (row * stride + col) + plane] & 0xffff;
            assert_eq!(ours as usize, end, "round {round}, {row} {col} {plane}, {block:?}");
            let start =
                [cell * 32, stand.superblocks() * 2048 + cell * 8, stand.superblocks() * 2560 + cell * 8][plane];
            let of = |n: usize| (levels[start + n / 2] >> (16 * (n % 2))) as i16;
            let theirs = &decisions.levels(plane, row, col, block.transform_side(plane))[..end];
            let ours: Vec<i16> = (0..end).map(of).collect();
            assert_eq!(ours, theirs, "round {round}, {row} {col} {plane}");
        }
    }
}
