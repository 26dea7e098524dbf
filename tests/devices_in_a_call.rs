//! What devices give goes through a call: the ledger begins with the device's own time, a stream survives its device, a
//! shared screen goes beside the camera, and a screen that stands still costs nothing and can still be joined.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use conclave::capture::CaptureError;
use conclave::capture::live::{Damage, Heard, LiveMicrophone, LiveVideo, Rect, Shot, Taken, Turn};
use conclave::codecs::{self, CodecError, Color, Picture, Session, Size, VideoDecoder, raw};
use conclave::devices::{Backend, Device, DeviceError, Id, Kind};
use conclave::drive::{Event, Failure, Receiving, Role, Screen, Sending, Speaker, Transport, receiving, sending};
use conclave::e2ee::StaticKeys;
use conclave::encode::EncodeError;
use conclave::encode::content::Content;
use conclave::frame;
use conclave::gpu::prepare::Prepare;
use conclave::gpu::{Converter, Format, Source};
use conclave::ledger::Stage;
use conclave::time::{Clock, Stopwatch, Time};
use conclave::{decode, encode, receive, send};

const CAMERA: u32 = 1;
const VOICE: u32 = 2;
const SCREEN: u32 = 3;
const SIZE: Size = Size::new(64, 48);
/// Waits end by what they wait for; this ends those of a failing test.
const LONG: Duration = Duration::from_secs(60);

/// A device that does what a test tells it.
struct Scripted {
    script: mpsc::Receiver<Said>,
    size: Size,
    data: Vec<u8>,
}

enum Said {
    Picture {
        grey: u8,
        captured: Time,
        damage: Damage,
        fresh: bool,
    },
    /// Pictures are of another size from here on.
    Size(Size),
    Turn(Turn),
    Dies,
}

impl Scripted {
    fn new() -> (mpsc::Sender<Said>, Box<dyn LiveVideo>) {
        let (say, script) = mpsc::channel();
        (say, Box::new(Self { script, size: SIZE, data: Vec::new() }))
    }
}

impl LiveVideo for Scripted {
    fn wait(&mut self, patience: Duration) -> Result<Taken<'_>, CaptureError> {
        match self.script.recv_timeout(patience) {
            Ok(Said::Picture { grey, captured, damage, fresh }) => {
                let (format, size) = (Format::I420, self.size);
                self.data = vec![grey; format.len(size)];
                let source = Source { format, size, color: Color::default(), data: &self.data };
                Ok(Taken::Picture(Shot { source, captured, damage, fresh }))
            }
            Ok(Said::Size(size)) => {
                self.size = size;
                Ok(Taken::Nothing)
            }
            Ok(Said::Turn(turn)) => Ok(Taken::Turn(turn)),
            Ok(Said::Dies) => {
                let Device { kind, id, .. } = device();
                Err(DeviceError::Lost { kind, id, why: "a test said so".into() }.into())
            }
            Err(_) => Ok(Taken::Nothing),
        }
    }

    fn interval_us(&self) -> u64 {
        10_000
    }

    fn dropped(&self) -> u64 {
        3
    }
}

fn device() -> Device {
    Device { default: true, ..Device::new(Kind::Camera, Id::new(Backend::V4l, "desk"), "Desk") }
}

fn picture(grey: u8, captured: Time) -> Said {
    Said::Picture { grey, captured, damage: Damage::ALL, fresh: false }
}

/// A call of one camera, one microphone and one screen, each optional.
struct Call {
    clock: Clock,
    sending: Sending,
    receiving: Receiving,
    /// Key frames that were decoded.
    keyframes: Arc<AtomicU32>,
    camera: Screen,
    voice: Speaker,
    screen: Screen,
}

fn stage(stream: u32, kind: frame::Kind, prepare: Prepare) -> encode::Video {
    let config = codecs::Config { size: SIZE, ..Default::default() };
    let encoder = codecs::open_encoder("raw", config, Session::Live).unwrap();
    let (color, session, watch) = (config.color, Session::Live, Stopwatch::running());
    let stage = encode::VideoConfig { stream, kind, size: SIZE, color, session, watch };
    let mut stage = encode::Video::open(stage, Converter::cpu(), encoder).unwrap();
    stage.set_prepare(prepare);
    stage
}

impl Call {
    fn start(
        camera: Option<Box<dyn LiveVideo>>,
        voice: Option<Box<dyn LiveMicrophone>>,
        screen: Option<Box<dyn LiveVideo>>,
    ) -> Self {
        Self::prepared(camera, voice, screen, Prepare::default())
    }

    fn prepared(
        camera: Option<Box<dyn LiveVideo>>,
        voice: Option<Box<dyn LiveMicrophone>>,
        screen: Option<Box<dyn LiveVideo>>,
        prepare: Prepare,
    ) -> Self {
        let clock = Clock::start();
        let (here, there) = Transport::memory();
        let streams = vec![
            send::Stream { id: CAMERA, kind: frame::Kind::Camera, payload_type: 96 },
            send::Stream { id: VOICE, kind: frame::Kind::Microphone, payload_type: 111 },
            send::Stream { id: SCREEN, kind: frame::Kind::Screen, payload_type: 97 },
        ];
        let ours = StaticKeys::new(&[7; 32], 0).unwrap();
        let sender = send::Sender::new(send::Config { streams, ..Default::default() }, Box::new(ours)).unwrap();
        let video = |device: Option<Box<dyn LiveVideo>>, stream, kind| {
            device.map_or(sending::Video::Off, |device| sending::Video::Device(device, stage(stream, kind, prepare)))
        };
        let sound = |device| {
            let encoder = Box::new(raw::audio::Encoder::open(1, 960).unwrap());
            let stage = encode::Audio::new(VOICE, frame::Kind::Microphone, encoder, Stopwatch::running());
            sending::Audio::Device(device, stage)
        };
        let parts = sending::Parts {
            sender,
            transport: here,
            clock,
            video: video(camera, CAMERA, frame::Kind::Camera),
            audio: voice.map_or(sending::Audio::Off, sound),
        };
        let share = sending::Share { video: video(screen, SCREEN, frame::Kind::Screen), audio: sending::Audio::Off };
        let mut theirs = StaticKeys::new(&[7; 32], 1).unwrap();
        theirs.admit(0).unwrap();
        let config = receive::Config {
            video: Some((CAMERA, frame::Kind::Camera)),
            audio: Some((VOICE, frame::Kind::Microphone)),
            screen: Some(SCREEN),
            ..Default::default()
        };
        let keyframes = Arc::<AtomicU32>::default();
        let decoder = || {
            let counting = Counting(raw::Decoder::new(), keyframes.clone());
            decode::Video::new(Box::new(counting), Stopwatch::running())
        };
        let to = receiving::Parts {
            receiver: receive::Receiver::new(config, Box::new(theirs)),
            transport: there,
            clock,
            video: Some(decoder()),
            audio: Some(Box::new(raw::audio::Decoder::open(1).unwrap())),
        };
        let shared = receiving::Share { video: Some(decoder()), audio: None };
        let (receiving, (camera, voice), (screen, _)) = Receiving::start_sharing(to, shared).unwrap();
        let sending = Sending::start_sharing(parts, share).unwrap();
        Self { clock, sending, receiving, keyframes, camera, voice, screen }
    }

    fn event(&mut self) -> Event {
        loop {
            match self.sending.event(LONG).expect("an event") {
                Event::Resized(..) => {}
                event => return event,
            }
        }
    }
}

/// Decodes the double's frames and counts the key frames among them.
struct Counting(raw::Decoder, Arc<AtomicU32>);

impl VideoDecoder for Counting {
    fn name(&self) -> &'static str {
        "counting"
    }

    fn submit(&mut self, data: &[u8], frame: u64) -> Result<(), CodecError> {
        // Behind the headers of three units stands whether a frame is a key frame.
        self.1.fetch_add(u32::from(data[7] & 1), Ordering::Relaxed);
        self.0.submit(data, frame)
    }

    fn poll(&mut self, out: &mut Picture) -> Result<Option<u64>, CodecError> {
        self.0.poll(out)
    }

    fn reset(&mut self) {
        self.0.reset();
    }
}

/// The next picture of `screen` whose luma is `grey`.
fn until(screen: &mut Screen, grey: u8) -> conclave::drive::Shown {
    loop {
        let shown = screen.next(LONG).expect("a picture");
        if shown.picture.data()[0] == grey {
            return shown;
        }
        screen.recycle(shown.picture);
    }
}

#[test]
fn the_ledger_begins_when_the_device_took_the_picture() {
    let (say, device) = Scripted::new();
    let mut call = Call::start(Some(device), None, None);
    // The device's clock is the session's; the picture was 25 ms old when it was handed over.
    let captured = Time(call.clock.now().0 + 1);
    std::thread::sleep(Duration::from_millis(25));
    say.send(picture(50, captured)).unwrap();
    let shown = until(&mut call.camera, 50);
    drop(say);
    let stats = call.sending.stop();
    assert_eq!(stats.not_taken, 3, "what the device lost is counted once");
    let convert = stats.latency.stage(Stage::Convert).expect("one picture").p50;
    assert!(convert >= 25_000, "from capture to converted in {convert} µs");
    assert!(shown.ledger.at(Stage::Render).is_some());
}

#[test]
fn a_stream_survives_its_device_and_goes_on_with_a_key_frame() {
    let (say, device_of) = Scripted::new();
    let mut call = Call::start(Some(device_of), None, None);
    say.send(picture(10, Time(1))).unwrap();
    until(&mut call.camera, 10);
    let asked = call.sending.edge().keyframes_requested();
    let lost = Turn::Lost { device: device(), why: "unplugged".into() };
    say.send(Said::Turn(lost.clone())).unwrap();
    say.send(Said::Turn(Turn::Back(device()))).unwrap();
    say.send(Said::Picture { grey: 20, captured: Time(2), damage: Damage::ALL, fresh: true }).unwrap();
    let back = until(&mut call.camera, 20);
    assert_eq!(call.keyframes.load(Ordering::Relaxed), 2, "the first picture, and frame {} on return", back.frame);
    assert_eq!(call.sending.edge().keyframes_requested(), asked, "nobody had to ask");
    let said = [call.event(), call.event()];
    assert!(matches!(&said[0], Event::Turn(Role::Camera, turn) if *turn == lost), "{said:?}");
    assert!(matches!(&said[1], Event::Turn(Role::Camera, Turn::Back(back)) if *back == device()), "{said:?}");
    // A device that is lost for good ends its thread and nothing else.
    say.send(Said::Dies).unwrap();
    let why = loop {
        // The encoding thread ends with it, and may say so first.
        match call.event() {
            Event::Failed(Role::Camera, why) => break why,
            Event::Ended(Role::Camera | Role::Encode) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(why.to_string(), "the camera v4l:desk was lost: a test said so");
    assert!(matches!(call.receiving.event(Duration::ZERO), Err(conclave::queue::Idle::Empty)));
}

#[test]
fn camera_and_screen_go_side_by_side_each_with_wishes_of_its_own() {
    let ((film, camera), (slides, screen)) = (Scripted::new(), Scripted::new());
    let mut call = Call::start(Some(camera), None, Some(screen));
    film.send(picture(30, Time(1))).unwrap();
    slides.send(picture(40, Time(1))).unwrap();
    until(&mut call.camera, 30);
    until(&mut call.screen, 40);
    let asked = call.sending.edge().keyframes_requested();
    slides.send(Said::Picture { grey: 41, captured: Time(2_000_000), damage: Damage::ALL, fresh: true }).unwrap();
    until(&mut call.screen, 41);
    film.send(picture(31, Time(50_000))).unwrap();
    until(&mut call.camera, 31);
    assert_eq!(call.sending.edge().keyframes_requested(), asked, "the camera's stream has no part in it");
    assert!(matches!(call.event(), Event::Content(Content::Sharp)));
    let stats = call.sending.stats();
    assert!(stats.encoder.is_some() && stats.share_encoder.is_some(), "each has its own");
}

#[test]
fn a_camera_too_small_for_what_is_cut_out_ends_nothing() {
    let (say, device) = Scripted::new();
    let prepare = Prepare { crop: Some(Rect { x: 40, y: 0, width: 24, height: 48 }), ..Prepare::default() };
    let mut call = Call::prepared(Some(device), None, None, prepare);
    say.send(picture(20, Time(1))).unwrap();
    until(&mut call.camera, 20);
    say.send(Said::Size(Size::new(32, 24))).unwrap();
    let (mut captured, end) = (0, call.clock.now().plus(60_000_000));
    let mut next = |grey| {
        captured += 10_000;
        say.send(picture(grey, Time(captured))).unwrap();
    };
    let event = loop {
        next(21);
        match call.sending.event(Duration::from_millis(2)) {
            Ok(Event::Resized(..)) | Err(_) => assert!(call.clock.now() < end, "nothing is told"),
            Ok(event) => break event,
        }
    };
    for _ in 0..60 {
        next(21);
        std::thread::sleep(Duration::from_millis(2));
    }
    say.send(Said::Size(SIZE)).unwrap();
    // Its first pictures come while the encoder still has some of the others before it.
    (0..40).for_each(|_| next(22));
    until(&mut call.camera, 22);
    assert!(matches!(event, Event::Failed(Role::Encode, Failure::Encode(EncodeError::Convert(_)))), "{event:?}");
    say.send(Said::Dies).unwrap();
    while let Ok(event) = call.sending.event(Duration::from_millis(500)) {
        assert!(!matches!(event, Event::Failed(Role::Encode, _)), "it was told once, not {event:?}");
    }
}

#[test]
fn a_still_screen_gets_sharp_then_costs_nothing_and_can_still_be_joined() {
    let (say, device) = Scripted::new();
    let mut call = Call::start(None, None, Some(device));
    say.send(picture(60, Time(1))).unwrap();
    // The picture, and more of it until that makes it no sharper. One that nobody took gives way to the next.
    let rests = u64::from(encode::RESTS);
    while until(&mut call.screen, 60).frame < rests {}
    let idle = call.screen.next(Duration::from_millis(900));
    assert!(idle.is_err(), "nothing is sent of a screen that stands still");
    // Somebody joins and asks for a key frame: a screen that gives no new picture answers all the same.
    call.sending.share_edge().expect("a screen").request_keyframe();
    while until(&mut call.screen, 60).frame < 2 * rests + 1 {}
    assert_eq!(call.keyframes.load(Ordering::Relaxed), 2, "the first picture, and what was asked for");
    assert!(call.screen.next(Duration::from_millis(900)).is_err(), "and then nothing again");
    // One that the frame rate left out is sent when its turn comes.
    let part = |grey| {
        let mut damage = Damage::NONE;
        damage.add(Rect { x: 1, y: 1, width: 2, height: 2 });
        Said::Picture { grey, captured: call.clock.now(), damage, fresh: false }
    };
    say.send(part(70)).unwrap();
    until(&mut call.screen, 70);
    say.send(part(80)).unwrap();
    until(&mut call.screen, 80);
    // The last one too where the source ends before its turn.
    say.send(part(90)).unwrap();
    say.send(Said::Dies).unwrap();
    until(&mut call.screen, 90);
}

#[test]
fn what_a_screen_owes_keeps_to_the_rate_that_was_wished() {
    let (say, device) = Scripted::new();
    let mut call = Call::start(None, None, Some(device));
    call.sending.share_edge().expect("a screen").set_framerate((2, 1));
    say.send(picture(10, call.clock.now())).unwrap();
    until(&mut call.screen, 10);
    let begun = call.clock.now();
    say.send(picture(20, begun)).unwrap();
    until(&mut call.screen, 20);
    let mut frames = 1;
    while call.clock.now().since(begun) < 2_300_000 {
        if let Ok(shown) = call.screen.next(Duration::from_millis(50)) {
            frames += u32::from(shown.picture.data()[0] == 20);
            call.screen.recycle(shown.picture);
        }
    }
    assert!(frames <= 6, "{frames} frames of a picture in 2.3 s where two a second were wished");
}

#[test]
fn a_muted_microphone_sends_nothing_and_a_lost_one_tells() {
    struct Ear(mpsc::Receiver<Heard>);
    impl LiveMicrophone for Ear {
        fn channels(&self) -> u8 {
            1
        }

        fn wait(&mut self, pcm: &mut [i16], patience: Duration) -> Result<Heard, CaptureError> {
            pcm.fill(1000);
            Ok(self.0.recv_timeout(patience).unwrap_or(Heard::Nothing))
        }
    }
    let (say, heard) = mpsc::channel();
    let mut call = Call::start(None, Some(Box::new(Ear(heard))), None);
    for _ in 0..20 {
        say.send(Heard::Muted).unwrap();
    }
    say.send(Heard::Turn(Turn::Lost { device: device(), why: "unplugged".into() })).unwrap();
    assert!(matches!(call.event(), Event::Turn(Role::Microphone, Turn::Lost { .. })));
    assert_eq!(call.sending.stats().audio.pushed, 0, "nothing was sent while it was muted");
    let mut captured = call.clock.now();
    let mut sound = 0;
    while sound < 5 {
        captured = captured.plus(20_000);
        let _ = say.send(Heard::Samples { captured, level: -30 });
        if let Ok(heard) = call.voice.next(Duration::from_millis(20)) {
            sound += usize::from(heard.heard == receive::Heard::Packet);
            call.voice.recycle(heard.pcm);
        }
    }
}
