use super::*;
use crate::Size;
use crate::av1::decisions::Vector;
use crate::av1::layout::Tiles;

/// A picture with shapes and noise, so that every kind of block finds something to do.
fn scene(rng: &mut fastrand::Rng, layout: &Layout, shift: usize) -> Frame {
    let mut frame = Frame::new(layout);
    for plane in &mut frame.planes {
        let stride = plane.stride;
        for (i, sample) in plane.data.iter_mut().enumerate() {
            let (x, y) = (i % stride + shift, i / stride);
            let shape = if (x / 24 + y / 16) % 3 == 0 { 200 } else { x + y / 2 };
            *sample = (shape % 230) as u8 + rng.u8(0..12);
        }
    }
    frame
}

/// Sizes that quarter at random, and at the edges until more than half of a block is inside.
fn plan(rng: &mut fastrand::Rng, layout: &Layout, cell: Cell, size: BlockSize, out: &mut Vec<(Cell, BlockSize)>) {
    if cell.row >= layout.rows || cell.col >= layout.cols {
        return;
    }
    let half = size.cells() / 2;
    let whole = cell.row + half < layout.rows && cell.col + half < layout.cols;
    match size.quarter() {
        Some(quarter) if !whole && half > 0 || rng.bool() => {
            for (row, col) in [(0, 0), (0, half), (half, 0), (half, half)] {
                plan(rng, layout, Cell { row: cell.row + row, col: cell.col + col }, quarter, out);
            }
        }
        _ => out.push((cell, size)),
    }
}

fn block(rng: &mut fastrand::Rng, size: BlockSize, key: bool) -> Block {
    let vector = Vector { row: rng.i16(-60..=60) * 2, col: rng.i16(-60..=60) * 2 };
    let reference = match rng.u8(0..4) {
        _ if size == BlockSize::B64 => Reference::Last,
        _ if key => Reference::Intra,
        0 => Reference::Intra,
        1 => Reference::Golden,
        _ => Reference::Last,
    };
    let intra = reference == Reference::Intra;
    let identity = rng.u8(0..3) == 0 && !(intra && size == BlockSize::B32);
    let alpha = [rng.i8(-16..=16), rng.i8(1..=16)];
    Block {
        size,
        reference,
        vector: if intra { Vector::ZERO } else { vector },
        mode: if intra { IntraMode::ALL[rng.usize(0..7)] } else { IntraMode::Dc },
        chroma: if intra && rng.bool() { ChromaMode::Cfl(alpha) } else { ChromaMode::Dc },
        transform: if identity { Transform::Identity } else { Transform::Dct },
        skip: size == BlockSize::B64 || rng.u8(0..6) == 0,
    }
}

const SIZES: [(u32, u32); 6] = [(16, 16), (24, 40), (66, 50), (130, 98), (176, 144), (322, 182)];

#[test]
fn what_the_coder_reconstructs_is_what_its_decisions_say() {
    let mut rng = fastrand::Rng::with_seed(1);
    for (width, height) in SIZES {
        for (tiles, key) in [((0, 0), true), ((1, 1), true), ((0, 0), false), ((1, 0), false)] {
            let layout = Layout::new(Size::new(width, height), Tiles { cols_log2: tiles.0, rows_log2: tiles.1 });
            let (last, golden) = (scene(&mut rng, &layout, 3), scene(&mut rng, &layout, 9));
            let source = scene(&mut rng, &layout, 0);
            let references = Some(References { last: &last, golden: &golden });
            let mut decisions = Decisions::new(&layout);
            decisions.quantizer = rng.u8(1..);
            let quantizer = Quantizer::new(decisions.quantizer, DeadZone::default(), DeadZone::default());
            let input = Input { source: &source, references, quantizer: &quantizer };
            let mut blocks = Vec::new();
            for row in (0..layout.rows).step_by(SUPERBLOCK) {
                for col in (0..layout.cols).step_by(SUPERBLOCK) {
                    let greatest = if key { BlockSize::B32 } else { BlockSize::B64 };
                    for (down, across) in [(0, 0), (0, 4), (4, 0), (4, 4)] {
                        if greatest == BlockSize::B32 {
                            let cell = Cell { row: row + down, col: col + across };
                            plan(&mut rng, &layout, cell, greatest, &mut blocks);
                        }
                    }
                    if greatest == BlockSize::B64 {
                        plan(&mut rng, &layout, Cell { row, col }, greatest, &mut blocks);
                    }
                }
            }
            let mut coder = Coder::default();
            let mut coded = Frame::new(&layout);
            let drawn: Vec<_> = blocks.iter().map(|(cell, size)| (*cell, block(&mut rng, *size, key))).collect();
            for inter in [true, false] {
                for (cell, block) in drawn.iter().filter(|(_, block)| block.is_inter() == inter) {
                    let recorded = coder.block(&input, *cell, *block, &mut decisions, &mut coded);
                    let ends = decisions.ends[layout.cell(cell.row, cell.col)];
                    assert_eq!(recorded.skip, ends == [0; 3]);
                    assert!(in_range(&decisions, *cell));
                }
            }
            let walked: Vec<_> = super::blocks(&decisions).map(|(cell, block)| (cell, block.size)).collect();
            assert_eq!(walked, blocks, "coding order");
            let mut again = Frame::new(&layout);
            frame(&decisions, references, &mut again);
            assert!(again == coded, "{width}×{height} {tiles:?} key {key}");
        }
    }
}

#[test]
fn finer_steps_come_closer() {
    let mut rng = fastrand::Rng::with_seed(2);
    let layout = Layout::new(Size::new(130, 98), Tiles::default());
    let source = scene(&mut rng, &layout, 0);
    let mut errors = Vec::new();
    for index in [255, 120, 40, 1] {
        let mut decisions = Decisions::new(&layout);
        decisions.quantizer = index;
        let quantizer = Quantizer::new(index, DeadZone::default(), DeadZone::default());
        let input = Input { source: &source, references: None, quantizer: &quantizer };
        let (mut coder, mut coded) = (Coder::default(), Frame::new(&layout));
        for row in (0..layout.rows).step_by(2) {
            for col in (0..layout.cols).step_by(2) {
                let fits = row + 1 < layout.rows && col + 1 < layout.cols;
                let size = if fits { BlockSize::B16 } else { BlockSize::B8 };
                for (down, across) in [(0, 0), (0, 1), (1, 0), (1, 1)].into_iter().take(if fits { 1 } else { 4 }) {
                    let cell = Cell { row: row + down, col: col + across };
                    if cell.row < layout.rows && cell.col < layout.cols {
                        let block = Block { size, mode: IntraMode::Paeth, ..Block::default() };
                        coder.block(&input, cell, block, &mut decisions, &mut coded);
                    }
                }
            }
        }
        let plane = |frame: &Frame| frame.planes[0].data.clone();
        let rows = 0..layout.size.height as usize;
        let (ours, theirs) = (plane(&coded), plane(&source));
        let stride = source.planes[0].stride;
        let error: u64 = rows
            .flat_map(|row| (0..layout.size.width as usize).map(move |col| row * stride + col))
            .map(|i| u64::from(ours[i].abs_diff(theirs[i])).pow(2))
            .sum();
        errors.push(error / (130 * 98));
    }
    assert!(errors.is_sorted_by(|a, b| a > b), "{errors:?}");
    assert!(errors[3] <= 1, "{errors:?}");
}

#[test]
fn levels_that_would_leave_the_range_of_decoders_are_cut() {
    // No picture was found that gets there with a sane dead zone; rounding up by more than one step does.
    let mut rng = fastrand::Rng::with_seed(3);
    let layout = Layout::new(Size::new(64, 64), Tiles::default());
    let (mut coder, mut out) = (Coder::default(), Frame::new(&layout));
    let mut decisions = Decisions::new(&layout);
    let (mut source, mut last) = (Frame::new(&layout), Frame::new(&layout));
    let mut cut = 0;
    for _ in 0..4000 {
        let columns: Vec<u8> = (0..16).map(|_| if rng.bool() { 255 } else { 0 }).collect();
        for row in source.planes[0].data.chunks_mut(64).take(16) {
            row[..16].copy_from_slice(&columns);
        }
        for row in last.planes[0].data.chunks_mut(64).take(16) {
            row.iter_mut().zip(&columns).for_each(|(sample, column)| *sample = 255 - column);
        }
        let references = Some(References { last: &last, golden: &last });
        let zone = DeadZone { zero_bin: 0, rounding: rng.u8(200..) };
        decisions.quantizer = rng.u8(215..);
        let quantizer = Quantizer::new(decisions.quantizer, zone, zone);
        let input = Input { source: &source, references, quantizer: &quantizer };
        let block = Block { size: BlockSize::B16, reference: Reference::Last, ..Block::default() };
        let cell = Cell { row: 0, col: 0 };
        coder.block(&input, cell, block, &mut decisions, &mut out);
        assert!(in_range(&decisions, cell));

        let residual: Vec<i16> = columns.iter().map(|sample| 2 * i16::from(*sample) - 255).cycle().take(256).collect();
        let (mut coefficients, mut levels) = (Coefficients::default(), [0; 256]);
        forward(Transform::Dct, 16, &residual, &mut coefficients);
        let end = quantize(&coefficients, &quantizer, &mut Levels::default(), &mut levels);
        dequantize(&levels[..usize::from(end)], 16, &quantizer, &mut coefficients);
        let kept = decisions.ends[0][0];
        assert_eq!(kept < end, !coefficients.in_range(Transform::Dct));
        assert_eq!(decisions.levels(0, 0, 0, 16)[..usize::from(kept)], levels[..usize::from(kept)]);
        cut += usize::from(kept < end);
    }
    assert!(cut > 0);
}
