//! Colour conversion by input format, scaling by filter, and preparation by stage, of a 360p picture: on the CPU, and on an adapter where
//! there is one. The adapter's time includes the way there and back.

use serde_json::json;

use conclave::codecs::{Color, Matrix, Picture, Range, Size};
use conclave::gpu::{Converter, Filter, Fit, Format, Lift, Prefer, Prepare, Source, Strength};

use super::{Absent, Figure, time};

const FROM: Size = Size::new(640, 360);

/// What most webcams deliver.
const WEBCAM: Color = Color { matrix: Matrix::Bt601, range: Range::Full };

pub fn run(millis: u64, out: &mut Vec<Figure>, absent: &mut Vec<Absent>) -> anyhow::Result<()> {
    arm("cpu", &mut Converter::cpu(), millis, out)?;
    match Converter::open(Prefer::Gpu) {
        Ok(mut gpu) => arm(&gpu.device().to_owned(), &mut gpu, millis, out)?,
        Err(error) => absent.push(Absent { name: "convert on a GPU".into(), why_not: error.to_string() }),
    }
    Ok(())
}

fn arm(name: &str, converter: &mut Converter, millis: u64, out: &mut Vec<Figure>) -> anyhow::Result<()> {
    let mut picture = Picture::new(FROM, Color::default());
    let off = Prepare::default();
    let mut measure = |what: &str, format: Format, to: Size, filter: Option<Filter>, prepare| -> anyhow::Result<()> {
        converter.set_prepare(prepare);
        // Any bytes are a picture.
        let data: Vec<u8> =
            (0..format.len(FROM)).map(|i| (i as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
        let source = Source { format, size: FROM, color: WEBCAM, data: &data };
        converter.convert(source, to, Color::default(), filter, &mut picture)?;
        let timing = time(millis, || {
            let _ = std::hint::black_box(converter.convert(source, to, Color::default(), filter, &mut picture));
        });
        let params = json!({"device": name, "format": format.name(), "from": FROM.to_string(), "to": to.to_string()});
        out.push(Figure::rate("convert", format!("{what} on {name}"), params, "pictures/s", 1.0, timing));
        Ok(())
    };
    for format in Format::ALL {
        measure(&format!("{} 640x360", format.name()), format, FROM, None, off)?;
    }
    measure("area to 320x180", Format::I420, Size::new(320, 180), Some(Filter::Area), off)?;
    measure("bicubic to 426x240", Format::I420, Size::new(426, 240), Some(Filter::Bicubic), off)?;
    measure("bilinear to 1280x720", Format::I420, Size::new(1280, 720), Some(Filter::Bilinear), off)?;
    measure(
        "area to 320x240 between bars",
        Format::I420,
        Size::new(320, 240),
        None,
        Prepare { fit: Fit::Bars, ..off },
    )?;
    let denoise = Some(Strength::Medium);
    for (what, prepare) in [
        ("i420 640x360 denoised", Prepare { denoise, ..off }),
        ("i420 640x360 lifted", Prepare { lift: Lift::Strong, ..off }),
        ("i420 640x360 mirrored", Prepare { mirror: true, ..off }),
        ("i420 640x360 denoised, lifted, mirrored", Prepare { mirror: true, denoise, lift: Lift::Strong, ..off }),
    ] {
        measure(what, Format::I420, FROM, None, prepare)?;
    }
    Ok(())
}
