//! Conversion and scaling of a 720p camera picture, on the CPU twins and, where there is one, on the adapter. The adapter's
//! time includes the upload and the way back.

use std::hint::black_box;

use conclave::codecs::{Color, Matrix, Picture, Range, Size};
use conclave::gpu::{Converter, Filter, Format, Prefer, Source};
use criterion::{Criterion, Throughput};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut arms = vec![("cpu".to_owned(), Converter::cpu())];
    match Converter::open(Prefer::Gpu) {
        Ok(gpu) => arms.push((gpu.device().split(' ').next().unwrap_or("gpu").to_lowercase(), gpu)),
        Err(error) => eprintln!("only the CPU is measured: {error}"),
    }
    for (name, converter) in &mut arms {
        convert(&mut criterion, name, converter);
        scale(&mut criterion, name, converter);
    }
    criterion.final_summary();
}

const CAMERA: Size = Size::new(1280, 720);

/// What most webcams deliver.
const WEBCAM: Color = Color { matrix: Matrix::Bt601, range: Range::Full };

fn convert(criterion: &mut Criterion, arm: &str, converter: &mut Converter) {
    let mut group = criterion.benchmark_group("convert 720p");
    group.throughput(Throughput::Elements(CAMERA.area() as u64)).sample_size(20);
    let mut out = Picture::new(CAMERA, Color::default());
    for format in Format::ALL {
        let data = noise(format);
        let source = Source { format, size: CAMERA, color: WEBCAM, data: &data };
        group.bench_function(format!("{}/{arm}", format.name()), |b| {
            b.iter(|| converter.convert(black_box(source), CAMERA, Color::default(), None, &mut out))
        });
    }
}

fn scale(criterion: &mut Criterion, arm: &str, converter: &mut Converter) {
    let mut group = criterion.benchmark_group("scale 720p");
    group.throughput(Throughput::Elements(CAMERA.area() as u64)).sample_size(20);
    let data = noise(Format::I420);
    let source = Source { format: Format::I420, size: CAMERA, color: Color::default(), data: &data };
    let mut out = Picture::new(CAMERA, Color::default());
    let cases = [
        ("area to 360p", Size::new(640, 360), Filter::Area),
        ("area to 480p", Size::new(854, 480), Filter::Area),
        ("bicubic to 480p", Size::new(854, 480), Filter::Bicubic),
        ("bilinear to 1080p", Size::new(1920, 1080), Filter::Bilinear),
    ];
    for (name, size, filter) in cases {
        group.bench_function(format!("{name}/{arm}"), |b| {
            b.iter(|| converter.convert(black_box(source), size, Color::default(), Some(filter), &mut out))
        });
    }
}

fn noise(format: Format) -> Vec<u8> {
    let mut data = vec![0; format.len(CAMERA)];
    fastrand::Rng::with_seed(1).fill(&mut data);
    data
}
