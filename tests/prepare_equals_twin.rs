//! Preparation on the GPU and by the CPU twins gives the same bytes: every stage alone and all of them together, in both
//! ranges, over several pictures, at odd, tiny and wide sizes, while settings change in mid-stream.

use conclave::codecs::{Color, Matrix, Picture, Range, Size};
use conclave::gpu::{Converter, Fit, Format, Lift, Prefer, Prepare, Rect, Source, Strength};

const LIMITED: Color = Color { matrix: Matrix::Bt709, range: Range::Limited };
const FULL: Color = Color { matrix: Matrix::Bt601, range: Range::Full };

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

    fn set(&mut self, prepare: Prepare) {
        self.gpu.set_prepare(prepare);
        self.cpu.set_prepare(prepare);
    }

    /// The same picture through both.
    fn same(&mut self, data: &[u8], format: Format, from: (Size, Color), to: (Size, Color)) -> Picture {
        let source = Source { format, size: from.0, color: from.1, data };
        // Each starts from other leftovers, so that a sample nobody writes is seen.
        let mut on_gpu = Picture::new(to.0, to.1);
        let mut on_cpu = Picture::new(to.0, to.1);
        on_gpu.data_mut().fill(0x55);
        on_cpu.data_mut().fill(0xaa);
        self.gpu.convert(source, to.0, to.1, None, &mut on_gpu).expect("the GPU converts");
        self.cpu.convert(source, to.0, to.1, None, &mut on_cpu).expect("the CPU converts");
        assert_ne!(self.gpu.device(), "cpu", "the GPU is still there");
        let off = on_gpu.data().iter().zip(on_cpu.data()).position(|(a, b)| a != b);
        assert_eq!(off, None, "first difference; {format:?} {from:?} to {to:?} with {:?}", self.cpu.prepare());
        on_cpu
    }

    /// A few pictures: noise over a dark gradient, a patch that moves, now and then extremes alone.
    fn stream(&mut self, frames: usize, format: Format, from: (Size, Color), to: (Size, Color)) {
        for n in 0..frames {
            let len = format.len(from.0);
            let wild = n % 5 == 3;
            let data: Vec<u8> = (0..len)
                .map(|i| match wild {
                    true => self.rng.choice([0, 255]).unwrap_or(0),
                    false => (20 + i % 61 + self.rng.usize(..9) + if (i + 7 * n) % 97 < 20 { 60 } else { 0 }) as u8,
                })
                .collect();
            self.same(&data, format, from, to);
        }
    }
}

fn alone() -> Vec<Prepare> {
    let off = Prepare::default();
    let mut all = vec![off, Prepare { mirror: true, ..off }];
    all.extend([Strength::Light, Strength::Medium, Strength::Strong].map(|s| Prepare { denoise: Some(s), ..off }));
    all.extend([Lift::Gentle, Lift::Strong].map(|lift| Prepare { lift, ..off }));
    all.extend([Fit::Bars, Fit::Fill].map(|fit| Prepare { fit, ..off }));
    all
}

#[test]
fn every_stage_alone_at_odd_tiny_and_wide_sizes_in_both_ranges() {
    let Some(mut arms) = Arms::open(1) else { return };
    let sizes = [(1, 1), (1, 2), (2, 1), (3, 5), (16, 16), (17, 9), (66, 50), (4096, 6)];
    for (w, h) in sizes {
        let size = Size::new(w, h);
        for prepare in alone() {
            for color in [LIMITED, FULL] {
                arms.set(prepare);
                arms.stream(4, Format::I420, (size, color), (size, color));
            }
        }
    }
}

#[test]
fn everything_at_once_at_random_and_changed_in_mid_stream() {
    let Some(mut arms) = Arms::open(2) else { return };
    for _ in 0..40 {
        let mut side = || arms.rng.u32(1..130);
        let (from, to) = (Size::new(side(), side()), Size::new(side(), side()));
        let format = arms.rng.choice(Format::ALL).unwrap_or(Format::Rgba);
        let colors = [(); 2].map(|()| arms.rng.choice([LIMITED, FULL]).unwrap_or(LIMITED));
        for _ in 0..3 {
            let rng = &mut arms.rng;
            let crop = Rect {
                x: rng.u32(..from.width),
                y: rng.u32(..from.height),
                width: rng.choice([1, 2, 7, 40, u32::MAX]).unwrap_or(1),
                height: rng.choice([1, 3, 8, 50, u32::MAX]).unwrap_or(1),
            };
            let prepare = Prepare {
                mirror: rng.bool(),
                crop: rng.bool().then_some(crop),
                fit: rng.choice([Fit::Stretch, Fit::Bars, Fit::Fill]).unwrap_or_default(),
                denoise: rng.choice([None, Some(Strength::Light), Some(Strength::Strong)]).flatten(),
                lift: rng.choice([Lift::Off, Lift::Gentle, Lift::Strong]).unwrap_or_default(),
            };
            arms.set(prepare);
            arms.stream(3, format, (from, colors[0]), (to, colors[1]));
            // What the filter remembers stays while nothing but the mirror, the light and the strength change.
            arms.set(Prepare {
                mirror: !prepare.mirror,
                lift: Lift::Strong,
                denoise: prepare.denoise.and(Some(Strength::Medium)),
                ..prepare
            });
            arms.stream(2, format, (from, colors[0]), (to, colors[1]));
            if arms.rng.bool() {
                arms.gpu.restart();
                arms.cpu.restart();
                arms.stream(2, format, (from, colors[0]), (to, colors[1]));
            }
        }
    }
}

#[test]
fn a_dark_camera_is_lifted_alike_for_as_long_as_it_takes() {
    let Some(mut arms) = Arms::open(3) else { return };
    let (camera, call) = (Size::new(320, 240), Size::new(200, 112));
    arms.set(Prepare { fit: Fit::Fill, denoise: Some(Strength::Medium), lift: Lift::Strong, ..Prepare::default() });
    let mut brightest = 0;
    for n in 0..40 {
        let data: Vec<u8> = (0..Format::Nv12.len(camera))
            .map(|i| if i < camera.area() { (18 + i % 320 / 8 + arms.rng.usize(..5)) as u8 } else { 120 })
            .collect();
        let picture = arms.same(&data, Format::Nv12, (camera, FULL), (call, LIMITED));
        let most = picture.data()[..call.area()].iter().max().copied().unwrap_or(0);
        assert!(most >= brightest || n == 0 || brightest - most < 6, "{n}: {brightest} to {most}");
        brightest = brightest.max(most);
    }
    assert!(brightest > 100, "it was lifted: {brightest}");
}
