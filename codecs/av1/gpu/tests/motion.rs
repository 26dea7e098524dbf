use std::sync::Arc;

use super::SIZES;
use crate::av1::frame::Frame;
use crate::av1::gpu::params::FIRST;
use crate::av1::gpu::passes::{Kernels, PICTURE, PYRAMIDS, Pass, VECTORS};
use crate::av1::gpu::testing::{SOURCE, Stand, adapter, words};
use crate::av1::kernel::pyramid::{Padded, Pyramid};
use crate::av1::kernel::search::{Motion, Step};
use crate::av1::kernel::subpel::Fine;
use crate::av1::layout::Layout;
use crate::av1::threads::Threads;
use crate::{Color, Picture, Size};

const PASSES: [Pass; 11] = [
    Pass::QuarterSource,
    Pass::EighthSource,
    Pass::Wide,
    Pass::Narrow,
    Pass::By16,
    Pass::By32,
    Pass::By8,
    Pass::Refine8,
    Pass::Refine16,
    Pass::Refine32,
    Pass::Load,
];

/// Waves with noise, moved.
fn picture(size: Size, shift: (i32, i32), noise: i32, random: &mut fastrand::Rng) -> Picture {
    let mut picture = Picture::new(size, Color::default());
    let width = size.width as i32;
    for (i, sample) in (0..).zip(picture.data_mut()) {
        let (x, y) = (i % width + shift.0, i / width + shift.1);
        let wave = (f64::from(x * x / 9 + y * 7) / 31.0).sin() * 60.0 + (f64::from(y * 3 - x) / 17.0).cos() * 40.0;
        *sample = (128 + wave as i32 + random.i32(-noise..=noise)).clamp(0, 255) as u8;
    }
    picture
}

/// A plane of the pyramid in `words`, as far as it goes.
fn same_scale(words: &[u32], stride: usize, padded: &Padded, what: &str) {
    for y in 0..padded.height {
        for x in 0..padded.width {
            let ours = words[y * stride + x / 4] >> (8 * (x % 4)) & 255;
            assert_eq!(ours, u32::from(padded.at(x as i32, y as i32)[0]), "{what} {x} {y}");
        }
    }
}

/// A section of blocks of `side` samples against the twin's.
fn same_section<T: PartialEq + std::fmt::Debug>(
    words: &[u32],
    layout: &Layout,
    side: usize,
    theirs: &[T],
    of: impl Fn(u32) -> T,
    what: &str,
) {
    let cols = layout.cols.div_ceil(side / 8);
    for (i, theirs) in theirs.iter().enumerate() {
        let at = i / cols * layout.superblock_cols() * (64 / side) + i % cols;
        assert_eq!(of(words[at]), *theirs, "{what} by {side}, block {i}");
    }
}

#[test]
fn pyramids_and_vectors_equal_the_twins() {
    let Some(gpu) = adapter() else { return };
    let kernels =
        Arc::new(Kernels::only(&gpu, |pass| PASSES.contains(&pass)).unwrap_or_else(|error| panic!("{error}")));
    let mut random = fastrand::Rng::with_seed(12);
    let threads = Threads::new(1);
    for size in SIZES {
        let layout = Layout::new(size, Default::default());
        let mut stand = Stand::new(&gpu, &kernels, &layout);
        let (mut motion, mut fine) = (Motion::default(), Fine::default());
        let [mut reference, mut source] = [Pyramid::default(), Pyramid::default()];
        // The vectors of one round are candidates of the next.
        for round in 0..3 {
            let shift = (random.i32(-40..=40), random.i32(-20..=20));
            let noise = [0, 3, 90][round];
            let before = picture(size, (0, 0), noise, &mut random);
            let now = picture(size, shift, noise, &mut random);
            let what = format!("{size}, round {round}");
            stand.params.vector_bit = [3, 90, 1257][random.usize(..3)];
            stand.params.last = FIRST + round as u32;
            let [mut old, mut new] = [Frame::new(&layout), Frame::new(&layout)];
            old.load(&before);
            new.load(&now);
            reference.load(&old.planes[0]);
            source.load(&new.planes[0]);
            motion.search(&threads, &layout, &source, &reference, stand.params.vector_bit);
            fine.refine(&threads, &layout, &source.full, &reference.full, &motion, stand.params.vector_bit);

            // The reference's pyramid is made as that of a source, and moved.
            let mut bytes = before.data().to_vec();
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            stand.write(PICTURE, 0, &words(&bytes).collect::<Vec<_>>());
            stand.run(&[Pass::Load, Pass::QuarterSource, Pass::EighthSource]);
            assert_eq!(stand.read_frame(SOURCE), old, "{what}");
            let one = 80 * stand.superblocks();
            let pyramid = stand.read(PYRAMIDS)[..one].to_vec();
            stand.write(PYRAMIDS, stand.params.last as usize * one, &pyramid);
            stand.write_frame(stand.params.last, &old);
            let mut bytes = now.data().to_vec();
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            stand.write(PICTURE, 0, &words(&bytes).collect::<Vec<_>>());
            let order = [&PASSES[10..], &PASSES[..10]].concat();
            stand.run(&order);

            let pyramid = stand.read(PYRAMIDS);
            let cols = layout.superblock_cols();
            same_scale(&pyramid, 4 * cols, &source.quarter, &what);
            same_scale(&pyramid[64 * stand.superblocks()..], 2 * cols, &source.eighth, &what);
            let vectors = stand.read(VECTORS);
            let n = stand.superblocks();
            let step = |word: u32| Step { x: word as i16, y: (word >> 16) as i16 };
            let vector = |word: u32| crate::av1::decisions::Vector { row: word as i16, col: (word >> 16) as i16 };
            same_section(&vectors, &layout, 64, &motion.eighth, step, &what);
            same_section(&vectors[n..], &layout, 32, &motion.quarter, step, &what);
            same_section(&vectors[5 * n..], &layout, 16, &motion.by16, step, &what);
            same_section(&vectors[21 * n..], &layout, 32, &motion.by32, step, &what);
            same_section(&vectors[25 * n..], &layout, 8, &motion.by8, step, &what);
            same_section(&vectors[89 * n..], &layout, 8, &fine.by8, vector, &what);
            same_section(&vectors[153 * n..], &layout, 16, &fine.by16, vector, &what);
            same_section(&vectors[169 * n..], &layout, 32, &fine.by32, vector, &what);
        }
    }
}
