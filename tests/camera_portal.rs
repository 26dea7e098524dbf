//! The desktop's portal: what is picked in its dialogue is taken, and a no is a no. The portal is the test's own.
#![cfg(all(feature = "devices", target_os = "linux"))]

#[path = "support/pipewire.rs"]
mod daemon;
#[path = "support/portal.rs"]
mod portal;
#[path = "support/source.rs"]
mod source;

use std::time::{Duration, Instant};

use conclave::capture::CaptureError;
use conclave::capture::camera::{self, Wish};
use conclave::capture::live::{LiveVideo, Shot, Taken};
use conclave::codecs::Size;
use conclave::devices::{self, Backend, DeviceError, Id, Kind};
use conclave::gpu::Format;
use conclave::time::Clock;
use daemon::Daemon;
use pipewire::spa::sys::SPA_VIDEO_FORMAT_BGRx;
use portal::Answer;
use source::{Content, Form, Source};

fn open(name: &str) -> Result<Box<dyn LiveVideo>, DeviceError> {
    camera::open(&Id::new(Backend::Portal, name), Wish::default(), Clock::start())
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

const SIZE: Size = Size::new(80, 60);

/// A blue screen of 80×60.
fn screen(name: &str) -> Source {
    let form = Form { format: Some(SPA_VIDEO_FORMAT_BGRx), size: (80, 60), fps: 20 };
    Source::start(name, form, Content { bytes: [250, 0, 9, 0].repeat(80 * 60), stride: 320, ..Content::default() })
}

#[test]
fn without_a_portal_the_list_says_so_and_opening_says_what_to_install() {
    let Some(_daemon) = Daemon::start(daemon::TEST_SOURCES) else { return };
    let listing = devices::list();
    assert!(!listing.devices.iter().any(|device| device.id.backend() == Backend::Portal));
    let unseen: Vec<_> = listing.unseen.iter().filter(|unseen| unseen.backend == Backend::Portal).collect();
    assert_eq!(unseen.iter().map(|unseen| unseen.kind).collect::<Vec<_>>(), [Kind::Screen, Kind::Camera]);
    assert!(unseen[0].why.contains("no portal") && unseen[0].hint.contains("xdg-desktop-portal"), "{unseen:?}");
    for name in ["screen", "camera"] {
        let error = open(name).err().expect("there is no portal").to_string();
        assert!(error.contains("portal cannot be reached") && error.contains("install xdg-desktop-portal"), "{error}");
    }
    assert!(matches!(open("window").err(), Some(DeviceError::Missing { .. })));
}

#[test]
fn without_a_bus_that_is_what_is_said() {
    let Some(mut daemon) = Daemon::start(daemon::TEST_SOURCES) else { return };
    daemon.end_bus();
    let listing = devices::list();
    let unseen = listing.unseen.iter().find(|unseen| unseen.backend == Backend::Portal).expect("it says so");
    assert!(unseen.why.contains("no session bus"), "{unseen:?}");
    let error = open("screen").err().expect("there is no bus");
    assert!(matches!(error, DeviceError::Unreachable { backend: Backend::Portal, .. }), "{error}");
}

#[test]
fn the_screen_that_is_picked_is_taken_until_it_goes() {
    let Some(daemon) = Daemon::start(daemon::TEST_SOURCES) else { return };
    let shared = screen("shared");
    let node = daemon.node("shared").expect("it is there");
    portal::serve(Answer::Node(node), daemon.folder.join("pipewire-0"));
    let listing = devices::list();
    let listed: Vec<_> = listing.devices.iter().filter(|device| device.id.backend() == Backend::Portal).collect();
    let names: Vec<_> = listed.iter().map(|device| (device.kind, device.id.to_string())).collect();
    assert_eq!(names, [(Kind::Camera, "portal:camera".to_owned()), (Kind::Screen, "portal:screen".to_owned())]);
    let mut camera = open("screen").unwrap_or_else(|error| panic!("{error}"));
    next(&mut *camera, |shot| {
        assert_eq!((shot.fresh, shot.source.size, shot.source.format), (true, SIZE, Format::Bgra));
        assert!(shot.source.data.as_chunks().0.iter().all(|pixel| *pixel == [250, 0, 9, 0]));
    })
    .expect("a picture");
    drop(shared);
    let error = loop {
        if let Err(error) = next(&mut *camera, |_| ()) {
            break error.to_string();
        }
    };
    assert!(error.contains("the screen portal:screen was lost"), "{error}");
}

#[test]
fn the_camera_that_is_allowed_is_taken() {
    let Some(daemon) = Daemon::start(daemon::TEST_SOURCES) else { return };
    let _front = screen("front");
    portal::serve(Answer::Node(0), daemon.folder.join("pipewire-0"));
    let mut camera = open("camera").unwrap_or_else(|error| panic!("{error}"));
    next(&mut *camera, |shot| assert_eq!(shot.source.size, SIZE)).expect("a picture");
}

#[test]
fn a_no_in_the_dialogue_is_forbidden() {
    for (answer, names) in [(Answer::No, &["screen", "camera"][..]), (Answer::Nothing, &["screen"][..])] {
        let Some(daemon) = Daemon::start(daemon::TEST_SOURCES) else { return };
        portal::serve(answer, daemon.folder.join("pipewire-0"));
        for name in names {
            let error = open(name).err().expect("the user said no");
            assert!(matches!(error, DeviceError::Forbidden { .. }), "{error}");
            assert!(error.to_string().contains("allow it in the dialogue"), "{error}");
        }
    }
}
