//! Loading, scales, and motion to quarter samples.

use std::sync::{Arc, OnceLock};

use super::SIZES;
use crate::av1::decisions::Vector;
use crate::av1::frame::Frame;
use crate::av1::gpu::params::FIRST;
use crate::av1::gpu::passes::{Kernels, PICTURE, PYRAMIDS, Pass, VECTORS};
use crate::av1::gpu::testing::{SOURCE, Stand, adapter, words};
use crate::av1::kernel::cost::Costs;
use crate::av1::kernel::pyramid::{Padded, Pyramid};
use crate::av1::kernel::search::{Grid, Motion, Step};
use crate::av1::kernel::subpel::Fine;
use crate::av1::kernel::testing;
use crate::av1::layout::Layout;
use crate::av1::threads::Threads;
use crate::{Color, Picture, Size};

const PASSES: [Pass; 13] = [
    Pass::Load,
    Pass::QuarterSource,
    Pass::EighthSource,
    Pass::QuarterFresh,
    Pass::EighthFresh,
    Pass::Wide,
    Pass::Narrow,
    Pass::By16,
    Pass::By32,
    Pass::By8,
    Pass::Refine8,
    Pass::Refine16,
    Pass::Refine32,
];

/// Where the sections of vectors begin, by superblock, and the sides of their blocks.
const WHOLE: [(usize, usize); 5] = [(0, 64), (1, 32), (5, 16), (21, 32), (25, 8)];
const FINE: [(usize, usize); 3] = [(89, 8), (153, 16), (169, 32)];

fn stand(size: Size) -> Option<Stand> {
    static COMPILED: OnceLock<Arc<Kernels>> = OnceLock::new();
    let gpu = adapter()?;
    let kernels = COMPILED.get_or_init(|| {
        Arc::new(Kernels::only(&gpu, |pass| PASSES.contains(&pass)).unwrap_or_else(|error| panic!("{error}")))
    });
    Some(Stand::new(&gpu, kernels, &Layout::new(size, Default::default())))
}

/// The picture in the true area of a frame.
fn picture(frame: &Frame) -> Picture {
    let mut picture = Picture::new(frame.size, Color::default());
    frame.store(&mut picture);
    picture
}

/// Loads a picture; gives what the twin makes of it.
fn load(stand: &Stand, picture: &Picture) -> Frame {
    let mut bytes = picture.data().to_vec();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    stand.write(PICTURE, 0, &words(&bytes).collect::<Vec<_>>());
    stand.run(&[Pass::Load]);
    let mut frame = Frame::new(&stand.layout);
    frame.load(picture);
    frame
}

fn pyramid(frame: &Frame) -> Pyramid {
    let mut pyramid = Pyramid::default();
    pyramid.load(&frame.planes[0]);
    pyramid
}

/// A frame in which pieces of another went different ways, with noise, and rubbish beyond its true size.
fn moved(from: &Frame, layout: &Layout, random: &mut fastrand::Rng) -> Frame {
    let mut frame = testing::frame(layout, random);
    let reach = [2, 12, 90][random.usize(..3)];
    let piece = [12, 40, 1000][random.usize(..3)];
    let noise = [0, 1, 9][random.usize(..3)];
    let from = &from.planes[0];
    let to = &mut frame.planes[0];
    let (width, height) = (to.width as i32, to.height as i32);
    for top in (0..height).step_by(piece) {
        for left in (0..width).step_by(piece) {
            let (dx, dy) = (random.i32(-reach..=reach), random.i32(-reach..=reach));
            // Between two samples, now and then.
            let half = random.i32(..2);
            for y in top..(top + piece as i32).min(height) {
                for x in left..(left + piece as i32).min(width) {
                    let at =
                        |x: i32, y: i32| from.at(x.clamp(0, width - 1) as usize, y.clamp(0, height - 1) as usize)[0];
                    let (a, b) = (at(x + dx, y + dy), at(x + dx + half, y + dy + half));
                    let value = (i32::from(a) + i32::from(b) + 1) / 2 + random.i32(-noise..=noise);
                    to.at_mut(x as usize, y as usize)[0] = value.clamp(0, 255) as u8;
                }
            }
        }
    }
    frame
}

#[test]
fn pictures_are_loaded_with_their_edges() {
    let mut random = fastrand::Rng::with_seed(71);
    for size in SIZES.into_iter().chain(testing::SIZES) {
        let Some(stand) = stand(size) else { return };
        let frame = testing::frame(&stand.layout, &mut random);
        let expected = load(&stand, &picture(&frame));
        assert!(stand.read_frame(SOURCE) == expected, "{size:?}");
    }
}

/// Words of a scale against the twin's plane, edges and all.
fn assert_scale(words: &[u32], stride: usize, expected: &Padded, what: &str) {
    for (y, row) in words.chunks_exact(stride).enumerate() {
        let expected = &expected.at(0, y as i32)[..stride * 4];
        assert_eq!(bytemuck::cast_slice::<u32, u8>(row), expected, "{what}, row {y}");
    }
}

#[test]
fn small_scales_are_those_of_the_twin() {
    let mut random = fastrand::Rng::with_seed(72);
    for size in SIZES.into_iter().chain(testing::SIZES) {
        let Some(mut stand) = stand(size) else { return };
        let number = FIRST + 1;
        stand.params.fresh = number;
        let source = load(&stand, &picture(&testing::frame(&stand.layout, &mut random)));
        let fresh = testing::frame(&stand.layout, &mut random);
        stand.write_frame(number, &fresh);
        stand.run(&[Pass::QuarterSource, Pass::EighthSource, Pass::QuarterFresh, Pass::EighthFresh]);
        let (pyramids, cols) = (stand.read(PYRAMIDS), stand.layout.superblock_cols());
        for (number, frame) in [(SOURCE, &source), (number, &fresh)] {
            let (expected, blocks) = (pyramid(frame), stand.superblocks());
            let words = &pyramids[number as usize * 80 * blocks..][..80 * blocks];
            let (quarter, eighth) = words.split_at(64 * blocks);
            assert_scale(quarter, 4 * cols, &expected.quarter, &format!("{size:?}, frame {number}, quarter"));
            assert_scale(eighth, 2 * cols, &expected.eighth, &format!("{size:?}, frame {number}, eighth"));
        }
    }
}

fn pair(low: i16, high: i16) -> u32 {
    u32::from(low as u16) | u32::from(high as u16) << 16
}

/// The blocks of one section, without the room beyond the frame.
fn section(stand: &Stand, vectors: &[u32], (at, side): (usize, usize)) -> Vec<u32> {
    let grid = Grid::of(&stand.layout, side);
    let rows = vectors[at * stand.superblocks()..].chunks(stand.layout.superblock_cols() * 64 / side);
    rows.take(grid.rows).flat_map(|row| &row[..grid.cols]).copied().collect()
}

/// Runs frame after frame, so that the vectors of the one before are candidates.
fn compare_motion(stand: &mut Stand, quantizer: u8, random: &mut fastrand::Rng) -> Vec<Vector> {
    let (layout, threads) = (stand.layout, Threads::new(1));
    let costs = Costs::new(quantizer);
    stand.params = stand.params.costs(&costs);
    (stand.params.last, stand.params.fresh) = (FIRST + 1, FIRST + 1);
    let mut motion = Motion::default();
    stand.write(VECTORS, 0, &vec![0; 173 * stand.superblocks()]);
    for round in 0..3 {
        if round == 2 {
            // Vectors that no frame would leave behind, most of them out of reach.
            let grid = Grid::of(&layout, 16);
            let stride = layout.superblock_cols() * 4;
            for (i, step) in motion.by16.iter_mut().enumerate() {
                *step = Step { x: random.i16(-300..300), y: random.i16(-300..300) };
                let at = 5 * stand.superblocks() + i / grid.cols * stride + i % grid.cols;
                stand.write(VECTORS, at, &[pair(step.x, step.y)]);
            }
        }
        let source = load(stand, &picture(&testing::frame(&layout, random)));
        let reference = if round == 1 { testing::frame(&layout, random) } else { moved(&source, &layout, random) };
        stand.write_frame(FIRST + 1, &reference);
        let (here, there) = (pyramid(&source), pyramid(&reference));
        motion.search(&threads, &layout, &here, &there, costs.vector_bit);
        stand.run(&[Pass::QuarterSource, Pass::EighthSource, Pass::QuarterFresh, Pass::EighthFresh]);
        stand.run(&[Pass::Wide, Pass::Narrow, Pass::By16, Pass::By32, Pass::By8]);
        let vectors = stand.read(VECTORS);
        let steps = [&motion.eighth, &motion.quarter, &motion.by16, &motion.by32, &motion.by8];
        for (place, steps) in WHOLE.into_iter().zip(steps) {
            let expected: Vec<u32> = steps.iter().map(|step| pair(step.x, step.y)).collect();
            let found = section(stand, &vectors, place);
            assert_eq!(found, expected, "{:?}, quantizer {quantizer}, round {round}, {place:?}", layout.size);
        }
        let mut fine = Fine::default();
        fine.refine(&threads, &layout, &here.full, &there.full, &motion, costs.vector_bit);
        stand.run(&[Pass::Refine8, Pass::Refine16, Pass::Refine32]);
        let vectors = stand.read(VECTORS);
        for (place, fine) in FINE.into_iter().zip([&fine.by8, &fine.by16, &fine.by32]) {
            let expected: Vec<u32> = fine.iter().map(|vector| pair(vector.row, vector.col)).collect();
            let found = section(stand, &vectors, place);
            assert_eq!(found, expected, "{:?}, quantizer {quantizer}, round {round}, {place:?}", layout.size);
        }
        if round == 2 {
            return fine.by8;
        }
    }
    Vec::new()
}

#[test]
fn motion_is_that_of_the_twin() {
    let mut random = fastrand::Rng::with_seed(73);
    let mut fractions = [0u32; 64];
    for size in SIZES.into_iter().chain(testing::SIZES) {
        let Some(mut stand) = stand(size) else { return };
        for quantizer in [1, 60, 140, 255] {
            for vector in compare_motion(&mut stand, quantizer, &mut random) {
                fractions[(vector.row & 7) as usize * 8 + (vector.col & 7) as usize] += 1;
            }
        }
    }
    // The material is worth something: every quarter sample, both ways, is somebody's best.
    for (i, count) in fractions.iter().enumerate() {
        assert_eq!(*count > 0, i / 8 % 2 == 0 && i % 2 == 0, "{i}: {count}");
    }
}
