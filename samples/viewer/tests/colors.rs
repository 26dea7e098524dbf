//! Eight colour bars come out of encoder, decoder and shader as they went in, in every matrix and range.

use conclave::codecs::{self, Color, FrameInput, Matrix, Picture, Range, Session, Size, Target, VideoDecoder, dav1d};
use conclave::gpu::Converter;
use conclave_viewer::bars::{Bars, farthest};
use conclave_viewer::device::{Graphics, instance};
use conclave_viewer::draw::{Painter, Scene, Tile, rows};
use conclave_viewer::layout::Rect;

const COLORS: [(Matrix, Range); 4] = [
    (Matrix::Bt601, Range::Limited),
    (Matrix::Bt601, Range::Full),
    (Matrix::Bt709, Range::Limited),
    (Matrix::Bt709, Range::Full),
];

#[test]
fn bars_keep_their_colours_within_three_levels_in_every_matrix_and_range() {
    let Ok(graphics) = Graphics::open(&instance(), None) else { return println!("skipped: no Vulkan adapter") };
    for (matrix, range) in COLORS {
        let color = Color { matrix, range };
        let picture = decoded(Size::new(320, 180), color);
        assert_eq!(picture.color, color, "the decoder says what the bitstream says");
        let off = drawn(&graphics, &picture, Rect::new(0.0, 0.0, 480.0, 270.0), false);
        println!("{matrix:?} {range:?}: {off:.2} levels");
        assert!(off <= 3.0, "{matrix:?} {range:?}: {off} levels off");
        // Read by another matrix or range they are far off, so the test tells them apart.
        let other_matrix = if matrix == Matrix::Bt601 { Matrix::Bt709 } else { Matrix::Bt601 };
        let other_range = if range == Range::Full { Range::Limited } else { Range::Full };
        let mut wrong = picture;
        for color in [Color { matrix: other_matrix, range }, Color { matrix, range: other_range }] {
            wrong.color = color;
            assert!(drawn(&graphics, &wrong, Rect::new(0.0, 0.0, 480.0, 270.0), false) > 10.0);
        }
    }
    assert!(!graphics.is_lost());
}

#[test]
fn a_mirrored_picture_has_its_bars_the_other_way_round() {
    let Ok(graphics) = Graphics::open(&instance(), None) else { return println!("skipped: no Vulkan adapter") };
    let picture = decoded(Size::new(320, 180), Color::default());
    let (rect, window) = (Rect::new(0.0, 0.0, 480.0, 270.0), Size::new(480, 270));
    let [as_it_is, mirrored] = [false, true].map(|mirror| draw(&graphics, &picture, rect, mirror, window));
    let rows = as_it_is.chunks_exact(4 * 480).zip(mirrored.chunks_exact(4 * 480));
    let pixels = rows.flat_map(|(row, other)| row.chunks_exact(4).zip(other.chunks_exact(4).rev()));
    let off: u64 = pixels.flat_map(|(a, b)| a.iter().zip(b)).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    assert!(off < 4 * 480 * 270, "{off} levels in all");
    assert!(farthest(&mirrored, 480, rect) > 100.0);
}

#[test]
fn odd_sides_keep_chroma_on_its_luma() {
    let Ok(graphics) = Graphics::open(&instance(), None) else { return println!("skipped: no Vulkan adapter") };
    // U grows to the right by four levels a sample: two a luma sample, and whole numbers in between.
    let (size, color) = (Size::new(101, 7), Color { matrix: Matrix::Bt709, range: Range::Full });
    let mut picture = Picture::new(size, color);
    picture.plane_mut(codecs::Plane::Y).fill(128);
    for row in picture.plane_mut(codecs::Plane::U).chunks_exact_mut(51) {
        row.iter_mut().enumerate().for_each(|(x, u)| *u = 78 + 4 * x.min(40) as u8);
    }
    let rgba = draw(&graphics, &picture, Rect::new(0.0, 0.0, 101.0, 7.0), false, Size::new(101, 7));
    let row = &rgba[4 * 101 * 3..][..4 * 101];
    let [_, _, [_, u, ..]] = rows(color);
    let mut sum = 0.0;
    for (x, pixel) in row.chunks_exact(4).enumerate().skip(2).take(54) {
        // The centre of luma sample x lies at (x - 0.5) / 2 between chroma samples.
        let blue = 128.0 + u * (78.0 + 2.0 * x as f32 - 1.0 - 128.0);
        let off = f32::from(pixel[2]) - blue;
        assert!(off.abs() <= 1.5, "at {x}: {} for {blue}", pixel[2]);
        sum += off;
    }
    // Chroma that sat on the left luma sample would be off by 1.9 everywhere.
    assert!((sum / 54.0).abs() < 0.4, "blue is off by {} in the mean", sum / 54.0);
}

#[test]
fn a_lost_device_is_noted_and_drawing_on_goes_nowhere() {
    let Ok(graphics) = Graphics::open(&instance(), None) else { return println!("skipped: no Vulkan adapter") };
    let format = wgpu::TextureFormat::Bgra8Unorm;
    let (size, picture) = (Size::new(64, 48), Picture::new(Size::new(32, 18), Color::default()));
    let mut painter = Painter::new(&graphics.device, &graphics.queue, format);
    let canvas = graphics.canvas(size, format);
    assert!(painter.take(0, &picture) && !graphics.is_lost());
    graphics.device.destroy();
    let scene = Scene {
        tiles: vec![Tile { slot: 0, rect: Rect::new(0.0, 0.0, 64.0, 48.0), corner: 4.0, mirror: false }],
        ..Default::default()
    };
    painter.take(0, &picture);
    painter.draw(&canvas.create_view(&Default::default()), size, &scene);
    assert!(graphics.read(&canvas).is_none());
    assert!(graphics.is_lost());
}

#[test]
fn a_picture_that_no_texture_holds_is_refused() {
    let Ok(graphics) = Graphics::open(&instance(), None) else { return println!("skipped: no Vulkan adapter") };
    let mut painter = Painter::new(&graphics.device, &graphics.queue, wgpu::TextureFormat::Bgra8Unorm);
    let most = graphics.device.limits().max_texture_dimension_2d;
    assert!(!painter.take(0, &Picture::new(Size::new(most + 1, 2), Color::default())));
    assert!(!painter.take(0, &Picture::new(Size::new(0, 0), Color::default())));
    assert!(painter.take(0, &Picture::new(Size::new(1, 1), Color::default())) && !graphics.is_lost());
}

#[test]
fn grey_is_grey_and_the_ends_are_the_ends() {
    for matrix in [Matrix::Bt601, Matrix::Bt709, Matrix::Bt2020] {
        for (range, black, white) in [(Range::Limited, 16.0, 235.0), (Range::Full, 0.0, 255.0)] {
            for row in rows(Color { matrix, range }) {
                let of = |y: f32| (row[0] * y + (row[1] + row[2]) * 128.0) / 255.0 + row[3];
                assert!(of(black).abs() < 1e-5 && (of(white) - 1.0).abs() < 1e-5, "{matrix:?} {range:?}");
            }
        }
    }
}

/// Bars through our encoder at a fine quantizer, and back through dav1d: the second frame, which leans on the first.
fn decoded(size: Size, color: Color) -> Picture {
    let mut picture = Picture::new(size, color);
    Converter::cpu().convert(Bars::new(size, color, 15).source(), size, color, None, &mut picture).unwrap();
    let config = codecs::Config { size, color, target: Target::Quantizer(8), ..Default::default() };
    let mut encoder = codecs::open_encoder("cpu", config, Session::Live).unwrap();
    let mut decoder = dav1d::Decoder::open(dav1d::Config::default()).unwrap();
    let mut out = Picture::new(size, Color::default());
    for frame in 0..2 {
        encoder.submit(&picture, FrameInput { frame, keyframe: frame == 0 }).unwrap();
        let mut unit = Vec::new();
        encoder.poll(&mut unit).unwrap().unwrap();
        decoder.submit(&unit, frame).unwrap();
        assert_eq!(decoder.poll(&mut out).unwrap(), Some(frame));
    }
    out
}

/// The farthest that a bar of the drawn picture is from its colour.
fn drawn(graphics: &Graphics, picture: &Picture, rect: Rect, mirror: bool) -> f32 {
    farthest(&draw(graphics, picture, rect, mirror, Size::new(480, 270)), 480, rect)
}

fn draw(graphics: &Graphics, picture: &Picture, rect: Rect, mirror: bool, window: Size) -> Vec<u8> {
    let format = wgpu::TextureFormat::Bgra8Unorm;
    let mut painter = Painter::new(&graphics.device, &graphics.queue, format);
    assert!(painter.take(0, picture));
    let scene = Scene { tiles: vec![Tile { slot: 0, rect, corner: 0.0, mirror }], ..Default::default() };
    let canvas = graphics.canvas(window, format);
    painter.draw(&canvas.create_view(&Default::default()), window, &scene);
    graphics.read(&canvas).expect("the adapter gives what it drew")
}
