//! Cameras of the kernel. There is none where tests run: PipeWire's stand-in (`pw-v4l2`) answers the kernel's calls from a
//! node of its graph. It is loaded before the C library, so that this program runs a second time with it.
#![cfg(all(feature = "devices", target_os = "linux"))]

#[path = "support/pipewire.rs"]
mod daemon;
#[path = "support/jpeg.rs"]
mod jpeg;
#[path = "support/source.rs"]
mod source;

use std::process::Command;
use std::time::{Duration, Instant};

use conclave::capture::CaptureError;
use conclave::capture::camera::{self, Wish};
use conclave::capture::live::{LiveVideo, Shot, Taken};
use conclave::codecs::{Color, Matrix, Range, Size};
use conclave::devices::{DeviceError, Id};
use conclave::gpu::Format;
use conclave::time::{Clock, Time};
use daemon::Daemon;
use pipewire::spa::sys::{SPA_VIDEO_FORMAT_RGB, SPA_VIDEO_FORMAT_YUY2};
use source::{Content, Form, Source};

/// Set where the stand-in is loaded.
const INSIDE: &str = "CONCLAVE_STANDS_IN";

/// Runs the test called `name` with the stand-in loaded, while `form` and `content` are what the first camera gives.
/// `false` where that cannot be.
fn outside(name: &str, form: Form, content: Content) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return false;
    }
    if !daemon::installed("pw-v4l2") {
        println!("skipped: pw-v4l2 is not installed");
        return true;
    }
    let Some(_daemon) = Daemon::start(daemon::TEST_SOURCES) else { return true };
    let _made = Source::start("made", form, content);
    let program = std::env::current_exe().expect("this program");
    let mut inside = Command::new("pw-v4l2");
    inside.arg(program).args(["--exact", name, "--nocapture"]).env(INSIDE, "1");
    let output = inside.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    true
}

fn id() -> Id {
    "v4l:video0".parse().expect("an id")
}

fn open(size: Size) -> Box<dyn LiveVideo> {
    camera::open(&id(), Wish { size, fps: 50 }, Clock::start()).unwrap_or_else(|error| panic!("{error}"))
}

fn next<T>(camera: &mut dyn LiveVideo, read: impl FnOnce(Shot<'_>) -> T) -> Result<T, CaptureError> {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        assert!(Instant::now() < end, "no picture in time");
        if let Taken::Picture(shot) = camera.wait(Duration::from_millis(500))? {
            return Ok(read(shot));
        }
    }
}

const SIZE: Size = Size::new(64, 48);

#[test]
fn pictures_come_with_rising_times() {
    let form = Form { format: Some(SPA_VIDEO_FORMAT_YUY2), size: (64, 48), fps: 50 };
    let bytes: Vec<u8> = (0..64 * 48 * 2).map(|i| (i % 251) as u8).collect();
    if outside(
        "pictures_come_with_rising_times",
        form,
        Content { bytes: bytes.clone(), stride: 128, ..Content::default() },
    ) {
        return;
    }
    let mut camera = open(SIZE);
    assert_eq!(camera.interval_us(), 20_000);
    let mut last = None;
    for i in 0..20 {
        next(&mut *camera, |shot| {
            assert!(last.is_none_or(|last: Time| shot.captured > last));
            last = Some(shot.captured);
            assert_eq!((shot.fresh, shot.source.size, shot.source.format), (i == 0, SIZE, Format::Yuy2));
            assert_eq!(shot.source.color, Color { matrix: Matrix::Bt601, range: Range::Limited });
            assert!(shot.source.data == bytes, "every byte as it was given");
        })
        .expect("a picture");
    }
    // Closed and opened again, it is as it was.
    drop(camera);
    next(&mut *open(SIZE), |shot| assert!(shot.fresh)).expect("a picture");
    let other: Id = "v4l:video9".parse().expect("an id");
    let missing = camera::open(&other, Wish::default(), Clock::start()).err();
    assert!(matches!(missing, Some(DeviceError::Missing { .. })), "{missing:?}");
}

#[test]
fn padded_rows_of_three_bytes_a_pixel_become_tight_ones_of_four() {
    let form = Form { format: Some(SPA_VIDEO_FORMAT_RGB), size: (64, 48), fps: 50 };
    // The stand-in says that rows are as long as with four bytes a pixel, so they are.
    let mut row = [200, 20, 10].repeat(64);
    row.resize(256, 0xEE);
    let bytes = row.repeat(48);
    if outside(
        "padded_rows_of_three_bytes_a_pixel_become_tight_ones_of_four",
        form,
        Content { bytes, stride: 256, ..Content::default() },
    ) {
        return;
    }
    next(&mut *open(SIZE), |shot| {
        assert_eq!((shot.source.format, shot.source.data.len()), (Format::Rgba, 4 * SIZE.area()));
        assert!(shot.source.data.as_chunks().0.iter().all(|pixel| *pixel == [200, 20, 10, 255]));
    })
    .expect("a picture");
}

#[test]
fn jpeg_pictures_are_decoded() {
    let form = Form { format: None, size: (48, 40), fps: 50 };
    if outside("jpeg_pictures_are_decoded", form, Content { bytes: jpeg::blocks(), ..Content::default() }) {
        return;
    }
    next(&mut *open(Size::new(48, 40)), |shot| {
        assert_eq!((shot.source.format, shot.source.size), (Format::I420, Size::new(48, 40)));
        assert_eq!(shot.source.color, Color { matrix: Matrix::Bt601, range: Range::Full });
        for ((x, y), [luma, ..]) in jpeg::MIDDLES {
            assert!(shot.source.data[48 * y + x].abs_diff(luma) <= 3);
        }
    })
    .expect("a picture");
}

#[test]
fn too_small_buffers_are_skipped_until_they_are_too_many() {
    let form = Form { format: Some(SPA_VIDEO_FORMAT_YUY2), size: (64, 48), fps: 50 };
    let content = Content { bytes: vec![7; 1000], stride: 128, ..Content::default() };
    if outside("too_small_buffers_are_skipped_until_they_are_too_many", form, content) {
        return;
    }
    let mut camera = open(SIZE);
    let error = next(&mut *camera, |_| ()).expect_err("there is no picture");
    assert!(matches!(error, CaptureError::Device(DeviceError::Unusable { .. })), "{error}");
    assert!(error.to_string().contains("no whole picture"), "{error}");
    assert!(camera.dropped() >= 60, "{} are counted", camera.dropped());
}
