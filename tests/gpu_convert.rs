//! What the CPU twins compute is right by floating point, wrong input gets a sentence, and a frame allocates nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use conclave::codecs::{Color, Matrix, Picture, Plane, Range, Size};
use conclave::gpu::{Converter, Filter, Format, GpuError, MAX_SIDE, Prefer, Source};

/// Counts the allocations of each thread.
struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MATRICES: [Matrix; 3] = [Matrix::Bt601, Matrix::Bt709, Matrix::Bt2020];

/// The textbook conversion of one R'G'B' triple in 0…1, unrounded codes.
fn textbook(color: Color, [r, g, b]: [f64; 3]) -> [f64; 3] {
    let (kr, kb) = match color.matrix {
        Matrix::Bt601 => (0.299, 0.114),
        Matrix::Bt709 => (0.2126, 0.0722),
        Matrix::Bt2020 => (0.2627, 0.0593),
    };
    let y = kr * r + (1.0 - kr - kb) * g + kb * b;
    let (u, v) = ((b - y) / (2.0 - 2.0 * kb), (r - y) / (2.0 - 2.0 * kr));
    match color.range {
        Range::Limited => [16.0 + 219.0 * y, 128.0 + 224.0 * u, 128.0 + 224.0 * v],
        Range::Full => [255.0 * y, 128.0 + 255.0 * u, 128.0 + 255.0 * v],
    }
}

#[test]
fn rgb_and_bgr_become_what_the_textbook_says() {
    let mut rng = fastrand::Rng::with_seed(1);
    let size = Size::new(37, 21);
    let mut data = vec![0; Format::Rgba.len(size)];
    rng.fill(&mut data);
    let swapped: Vec<u8> = data.as_chunks::<4>().0.iter().flat_map(|[r, g, b, a]| [*b, *g, *r, *a]).collect();
    let (mut converter, mut out) = (Converter::cpu(), Picture::new(size, Color::default()));
    for color in
        MATRICES.into_iter().flat_map(|m| [Range::Limited, Range::Full].map(|range| Color { matrix: m, range }))
    {
        let source = Source { format: Format::Rgba, size, color: Color::default(), data: &data };
        converter.convert(source, size, color, None, &mut out).expect("converts");
        let pixel = |x: u32, y: u32| {
            let at = 4 * (y.min(size.height - 1) * size.width + x.min(size.width - 1)) as usize;
            [0, 1, 2].map(|i| f64::from(data[at + i]) / 255.0)
        };
        let close = |have: u8, want: f64| (f64::from(have) - want.clamp(0.0, 255.0)).abs() <= 0.51;
        for (x, y) in (0..size.height).flat_map(|y| (0..size.width).map(move |x| (x, y))) {
            let have = out.plane(Plane::Y)[(y * size.width + x) as usize];
            assert!(close(have, textbook(color, pixel(x, y))[0]), "{color:?} {x} {y}");
        }
        let half = size.chroma();
        for (x, y) in (0..half.height).flat_map(|y| (0..half.width).map(move |x| (x, y))) {
            let block = [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(dx, dy)| pixel(2 * x + dx, 2 * y + dy));
            let mean = [0, 1, 2].map(|i| block.iter().map(|p| p[i]).sum::<f64>() / 4.0);
            let at = (y * half.width + x) as usize;
            let want = textbook(color, mean);
            assert!(close(out.plane(Plane::U)[at], want[1]), "{color:?} {x} {y}");
            assert!(close(out.plane(Plane::V)[at], want[2]), "{color:?} {x} {y}");
        }
        let mut from_bgra = Picture::new(size, color);
        let source = Source { format: Format::Bgra, data: &swapped, ..source };
        converter.convert(source, size, color, None, &mut from_bgra).expect("converts");
        assert_eq!(out, from_bgra);
    }
}

#[test]
fn yuv_layouts_of_one_picture_give_that_picture() {
    let mut rng = fastrand::Rng::with_seed(2);
    for (w, h) in [(1, 1), (7, 5), (64, 36), (35, 18)] {
        let (size, color) = (Size::new(w, h), Color { matrix: Matrix::Bt601, range: Range::Full });
        let mut picture = Picture::new(size, color);
        rng.fill(picture.data_mut());
        let (y, u, v) = (picture.plane(Plane::Y), picture.plane(Plane::U), picture.plane(Plane::V));
        let nv12: Vec<u8> = y.iter().copied().chain(u.iter().zip(v).flat_map(|(u, v)| [*u, *v])).collect();
        let half = size.chroma().width as usize;
        let yuy2: Vec<u8> = (0..h as usize)
            .flat_map(|row| (0..half).map(move |x| (row, x)))
            .flat_map(|(row, x)| {
                let line = &y[row * w as usize..][..w as usize];
                let at = row / 2 * half + x;
                [line[2 * x], u[at], line.get(2 * x + 1).copied().unwrap_or(99), v[at]]
            })
            .collect();
        let (mut converter, mut out) = (Converter::cpu(), Picture::new(Size::new(2, 2), Color::default()));
        for (format, data) in [(Format::I420, picture.data()), (Format::Nv12, &nv12), (Format::Yuy2, &yuy2)] {
            converter.convert(Source { format, size, color, data }, size, color, None, &mut out).expect("converts");
            assert_eq!(out, picture, "{format:?} {size}");
        }
    }
}

#[test]
fn full_range_becomes_limited_and_the_primaries_survive_a_change_of_matrix() {
    let size = Size::new(2, 2);
    let full = Color { matrix: Matrix::Bt601, range: Range::Full };
    let limited = Color { matrix: Matrix::Bt709, range: Range::Limited };
    let (mut converter, mut out) = (Converter::cpu(), Picture::new(size, limited));
    for rgb in [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.25, 0.5, 0.75], [0.0; 3], [1.0; 3]] {
        let [y, u, v] = textbook(full, rgb).map(|code| code.round().min(255.0) as u8);
        let source = Source { format: Format::I420, size, color: full, data: &[y, y, y, y, u, v] };
        converter.convert(source, size, limited, None, &mut out).expect("converts");
        let have = Plane::ALL.map(|plane| f64::from(out.plane(plane)[0]));
        let off = have.iter().zip(textbook(limited, rgb)).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(off <= 1.6, "{rgb:?}: {have:?} is {off} off");
    }
}

#[test]
fn scaling_keeps_flat_pictures_flat_and_means_where_they_were() {
    let mut rng = fastrand::Rng::with_seed(3);
    let (from, color) = (Size::new(96, 64), Color::default());
    let (mut converter, mut out) = (Converter::cpu(), Picture::new(from, color));
    let mean = |plane: &[u8]| plane.iter().map(|b| f64::from(*b)).sum::<f64>() / plane.len() as f64;
    for filter in [None, Some(Filter::Area), Some(Filter::Bicubic), Some(Filter::Bilinear)] {
        for to in [Size::new(1, 1), Size::new(48, 32), Size::new(31, 50), Size::new(200, 128)] {
            let flat = vec![rng.u8(..); Format::I420.len(from)];
            let source = Source { format: Format::I420, size: from, color, data: &flat };
            converter.convert(source, to, color, filter, &mut out).expect("scales");
            assert!(out.data().iter().all(|b| *b == flat[0]), "{filter:?} {to}");
            // Samples away from the ends, so that nothing clamps.
            let noise: Vec<u8> = flat.iter().map(|_| rng.u8(100..156)).collect();
            converter.convert(Source { data: &noise, ..source }, to, color, filter, &mut out).expect("scales");
            let off = (mean(&noise[..from.area()]) - mean(out.plane(Plane::Y))).abs();
            assert!(off < 3.0, "{filter:?} {to}: {off}");
        }
    }
    // Half the size by area is the mean of each 2 × 2 block, ties up.
    let block: Vec<u8> = [10, 11, 20, 21, 12, 14, 22, 25, 1, 3, 5, 7].to_vec();
    let source = Source { format: Format::I420, size: Size::new(4, 2), color, data: &block };
    converter.convert(source, Size::new(2, 1), color, Some(Filter::Area), &mut out).expect("scales");
    assert_eq!(out.data(), [12, 22, 2, 6]);
}

#[test]
fn wrong_lengths_and_sizes_get_a_sentence() {
    let (color, size) = (Color::default(), Size::new(4, 4));
    let (mut converter, mut out) = (Converter::cpu(), Picture::new(size, color));
    let data = vec![0; 64];
    let source = Source { format: Format::Rgba, size, color, data: &data[..63] };
    let error = converter.convert(source, size, color, None, &mut out).expect_err("too short").to_string();
    assert!(error.contains("rgba") && error.contains("64") && error.contains("63"), "{error}");
    let absurd = [(0, 4), (4, 0), (MAX_SIDE + 1, 1), (u32::MAX, u32::MAX), (MAX_SIDE, MAX_SIDE)];
    for bad in absurd.map(|(w, h)| Size::new(w, h)) {
        let good = Source { data: &data, ..source };
        let target = converter.convert(good, bad, color, None, &mut out);
        assert!(matches!(target, Err(GpuError::Size { which: "target", .. })), "{bad}");
        let source = converter.convert(Source { size: bad, ..good }, size, color, None, &mut out);
        assert!(matches!(source, Err(GpuError::Size { which: "source", .. })), "{bad}");
    }
    assert_eq!(out.size(), size);
}

#[test]
fn a_machine_without_a_gpu_converts_on_the_cpu() {
    assert_eq!(Converter::open(Prefer::Cpu).expect("always opens").device(), "cpu");
    let auto = Converter::open(Prefer::Auto).expect("always opens");
    let hardware = conclave::gpu::adapters().iter().any(|a| a.usable && a.kind != "software");
    assert_eq!(auto.device() != "cpu", hardware, "{}", auto.device());
}

#[test]
fn a_frame_allocates_nothing_on_the_cpu() {
    let (camera, call) = (Size::new(320, 181), Size::new(200, 100));
    let mut out = Picture::new(camera, Color::default());
    for format in Format::ALL {
        for target in [camera, call] {
            let data = vec![77; format.len(camera)];
            let color = Color { matrix: Matrix::Bt601, range: Range::Full };
            let source = Source { format, size: camera, color, data: &data };
            let mut converter = Converter::cpu();
            converter.convert(source, target, Color::default(), None, &mut out).expect("converts");
            let before = COUNT.get();
            for _ in 0..5 {
                converter.convert(source, target, Color::default(), None, &mut out).expect("converts");
            }
            assert_eq!(COUNT.get(), before, "{format:?} to {target}");
        }
    }
}
