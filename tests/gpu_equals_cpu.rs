//! The GPU arm and the CPU twins give the same bytes: every format, matrix and range, odd and tiny sizes, every filter.

use conclave::codecs::{Color, Matrix, Picture, Range, Size};
use conclave::gpu::{Converter, Filter, Format, GpuError, Prefer, Source};

const COLORS: [Color; 6] = [
    Color { matrix: Matrix::Bt601, range: Range::Limited },
    Color { matrix: Matrix::Bt601, range: Range::Full },
    Color { matrix: Matrix::Bt709, range: Range::Limited },
    Color { matrix: Matrix::Bt709, range: Range::Full },
    Color { matrix: Matrix::Bt2020, range: Range::Limited },
    Color { matrix: Matrix::Bt2020, range: Range::Full },
];

struct Arms {
    gpu: Converter,
    cpu: Converter,
    rng: fastrand::Rng,
}

impl Arms {
    /// `None`, said on stdout, where this machine has no adapter at all.
    fn open(seed: u64) -> Option<Self> {
        match Converter::open(Prefer::Gpu) {
            Ok(gpu) => Some(Self { gpu, cpu: Converter::cpu(), rng: fastrand::Rng::with_seed(seed) }),
            Err(error) => {
                println!("skipped: {error}");
                None
            }
        }
    }

    /// Half of the pictures are noise, half are of extreme samples alone, which clamp and overshoot.
    fn same(&mut self, format: Format, from: (Size, Color), to: (Size, Color), filter: Option<Filter>) {
        let extremes = self.rng.bool();
        let mut data = vec![0; format.len(from.0)];
        self.rng.fill(&mut data);
        if extremes {
            data.iter_mut().for_each(|b| *b = if *b & 1 == 0 { 0 } else { 255 });
        }
        let source = Source { format, size: from.0, color: from.1, data: &data };
        // Each starts from other leftovers, so that a sample nobody writes is seen.
        let mut on_gpu = Picture::new(to.0, to.1);
        let mut on_cpu = Picture::new(to.0, to.1);
        on_gpu.data_mut().fill(0x55);
        on_cpu.data_mut().fill(0xaa);
        self.gpu.convert(source, to.0, to.1, filter, &mut on_gpu).expect("the GPU converts");
        self.cpu.convert(source, to.0, to.1, filter, &mut on_cpu).expect("the CPU converts");
        let off = on_gpu.data().iter().zip(on_cpu.data()).position(|(a, b)| a != b);
        assert_eq!(off, None, "first difference; {format:?} {from:?} to {to:?} by {filter:?}");
        assert_eq!(on_gpu, on_cpu);
    }
}

#[test]
fn every_format_and_target_colour_at_odd_and_tiny_sizes() {
    let Some(mut arms) = Arms::open(1) else { return };
    for (w, h) in [(1, 1), (1, 2), (2, 1), (3, 5), (17, 9), (66, 50), (129, 31)] {
        let size = Size::new(w, h);
        for format in Format::ALL {
            for (i, color) in COLORS.into_iter().enumerate() {
                arms.same(format, (size, COLORS[(i + 3) % 6]), (size, color), None);
            }
        }
    }
}

#[test]
fn every_source_colour_to_every_target_colour() {
    let Some(mut arms) = Arms::open(2) else { return };
    let size = Size::new(23, 14);
    for format in [Format::Nv12, Format::I420, Format::Yuy2] {
        for (from, to) in COLORS.iter().flat_map(|a| COLORS.map(|b| (*a, b))) {
            arms.same(format, (size, from), (size, to), None);
        }
    }
}

#[test]
fn every_filter_up_down_and_across() {
    let Some(mut arms) = Arms::open(3) else { return };
    let color = Color::default();
    let sizes = [(1, 1), (2, 3), (17, 9), (33, 40), (66, 50), (128, 72)].map(|(w, h)| Size::new(w, h));
    for (from, to) in sizes.iter().flat_map(|a| sizes.map(|b| (*a, b))) {
        for filter in [None, Some(Filter::Area), Some(Filter::Bicubic), Some(Filter::Bilinear)] {
            arms.same(Format::I420, (from, color), (to, color), filter);
        }
    }
    // Down in one axis and up in the other; many taps.
    for (from, to) in [((200, 20), (20, 200)), ((640, 8), (3, 5)), ((1, 700), (9, 2))] {
        for filter in [None, Some(Filter::Bicubic)] {
            arms.same(Format::I420, (Size::new(from.0, from.1), color), (Size::new(to.0, to.1), color), filter);
        }
    }
}

#[test]
fn convert_and_scale_together_at_random() {
    let Some(mut arms) = Arms::open(4) else { return };
    for _ in 0..60 {
        let mut side = || arms.rng.u32(1..120);
        let (from, to) = (Size::new(side(), side()), Size::new(side(), side()));
        let format = arms.rng.choice(Format::ALL).unwrap_or(Format::Rgba);
        let filter = arms.rng.choice([None, Some(Filter::Area), Some(Filter::Bicubic), Some(Filter::Bilinear)]);
        let colors = [(); 2].map(|()| COLORS[arms.rng.usize(..6)]);
        arms.same(format, (from, colors[0]), (to, colors[1]), filter.flatten());
    }
}

#[test]
fn a_camera_picture_scaled_for_the_encoder() {
    let Some(mut arms) = Arms::open(5) else { return };
    let (camera, call) = (Size::new(1280, 720), Size::new(854, 480));
    arms.same(Format::Nv12, (camera, COLORS[1]), (call, COLORS[2]), None);
    arms.same(Format::Rgba, (camera, COLORS[1]), (call, COLORS[2]), Some(Filter::Bicubic));
}

#[test]
fn a_refused_picture_leaves_both_arms_in_order() {
    let Some(mut arms) = Arms::open(6) else { return };
    let (size, color) = (Size::new(16, 16), Color::default());
    arms.same(Format::Rgba, (size, color), (size, color), None);
    let mut out = Picture::new(size, color);
    for arm in [&mut arms.gpu, &mut arms.cpu] {
        let source = Source { format: Format::Rgba, size, color, data: &[0; 7] };
        assert!(matches!(arm.convert(source, size, color, None, &mut out), Err(GpuError::Length { .. })));
    }
    arms.same(Format::Rgba, (size, color), (size, color), None);
    arms.same(Format::I420, (size, color), (size, color), None);
    arms.same(Format::Rgba, (size, color), (size, color), None);
}
