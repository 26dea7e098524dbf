//! A client app: meetings on threads, with nothing but the public API.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::time::{Duration, Instant};

use conclave::capture::{CaptureError, FileError, SceneVoice, Still, VideoInput};
use conclave::codecs::{self, CodecError, EncodedInfo, EncoderInfo, FrameInput, Picture, Session, Size};
use conclave::codecs::{VideoEncoder, raw};
use conclave::drive::transport::{self, Outgoing};
use conclave::drive::{self, Event, Failure, Pushed, Receiving, Role, Screen, Sending, Speaker, Transport};
use conclave::drive::{receiving, sending};
use conclave::e2ee::{BaseKey, Chain, Context, DynKeys, KeyError, KeyId, KeySource, StaticKeys};
use conclave::encode::Framing;
use conclave::frame::Kind;
use conclave::gpu::{Converter, Source};
use conclave::queue::{Counters, Idle};
use conclave::receive::Heard;
use conclave::stats::Cause;
use conclave::time::{Clock, Stopwatch, Time};
use conclave::{decode, encode, receive, send};

const VIDEO: u32 = 1;
const AUDIO: u32 = 2;
const SIZE: Size = Size::new(64, 48);
/// Waits end by what they wait for; this ends those of a failing test.
const LONG: Duration = Duration::from_secs(60);

#[test]
fn a_meeting_over_udp_shows_every_picture_as_it_was_encoded() {
    let _alone = alone();
    let (here, there) = udp();
    let (encoder, coded) = Recorder::open();
    let camera = Box::new(Still::new(SIZE, 5_000, u64::MAX));
    let (ours, theirs) = static_keys();
    let video = sending::Video::Camera(camera, stage(encoder));
    let mut sending = start_sending(ours, here, video, microphone());
    let (mut receiving, mut screen, mut speaker) = start_receiving(theirs, there);

    let mut pictures = Pictures::new(coded);
    (0..30).for_each(|_| pictures.expect_next(&mut screen));
    let mut packets = 0;
    while packets < 10 {
        let sound = speaker.next(LONG).unwrap();
        assert_eq!(sound.pcm.len(), 960);
        packets += u32::from(sound.heard == Heard::Packet);
        speaker.recycle(sound.pcm);
    }
    // On a machine that is too slow for the rate the session says so.
    while let Ok(event) = sending.event(Duration::ZERO) {
        assert!(matches!(event, Event::Resized(..)), "nothing failed and nothing ended: {event:?}");
    }
    assert!(matches!(receiving.event(Duration::ZERO), Err(Idle::Empty)), "nothing failed and nothing ended");

    let sent = sending.stop();
    let received = receiving.stop();
    assert_no_thread();
    assert!(sent.sender.frames >= 40, "{sent:?}");
    assert_eq!(received.receiver.open.tampered + received.receiver.open.malformed, 0, "{received:?}");
    let borders = [sent.camera, sent.video, sent.audio, sent.feedback, received.packets];
    borders.into_iter().for_each(assert_adds_up);
    assert!(sent.latency.stage(conclave::ledger::Stage::Encode).is_some_and(|encode| encode.count >= 30));
    // The app still holds the other ends.
    assert_eq!(screen.next(LONG).map(|shown| pictures.compare(&shown)), received_last(&received));
    while speaker.next(LONG).is_ok() {}
    assert!(matches!(screen.next(LONG), Err(Idle::Closed)));
}

/// What `Screen::next` says after the end: the picture that waited, or the end.
fn received_last(received: &receiving::Stats) -> Result<(), Idle> {
    if received.screen.depth == 1 { Ok(()) } else { Err(Idle::Closed) }
}

#[test]
fn keys_and_memory_of_the_apps_own_and_a_key_that_comes_late() {
    let _alone = alone();
    let online = Arc::new(AtomicBool::new(false));
    let ours = Server { leaf: 0, handed_out: 0, online: online.clone() };
    let theirs = Server { leaf: 1, handed_out: 0, online: online.clone() };
    let (here, there) = Transport::memory();
    let (encoder, coded) = Recorder::open();
    let video = sending::Video::Camera(Box::new(Still::new(SIZE, 5_000, u64::MAX)), stage(encoder));
    let sending = start_sending(ours, here, video, sending::Audio::Off);
    let (mut receiving, mut screen, _speaker) = start_receiving(Box::new(theirs), there);

    while receiving.stats().receiver.open.held < 3 {
        assert!(matches!(screen.next(Duration::from_millis(1)), Err(Idle::Empty)), "shown without a key");
    }
    online.store(true, Ordering::Release);
    receiving.keys_changed();
    let mut pictures = Pictures::new(coded);
    (0..10).for_each(|_| pictures.expect_next(&mut screen));
    let (sent, received) = (sending.stop(), receiving.stop());
    assert!(sent.sender.keyframe_requests >= 1, "{sent:?}");
    assert!(received.receiver.open.opened >= 10, "{received:?}");
    assert_no_thread();
}

#[test]
fn a_full_queue_is_counted_and_brings_a_key_frame() {
    let _alone = alone();
    let (here, there) = Transport::memory();
    let (entered, in_send) = mpsc::channel();
    let (gate, gated) = mpsc::channel();
    let here = Transport { outgoing: Box::new(Gate { inner: here.outgoing, entered, gated }), incoming: here.incoming };
    let (go, turns) = mpsc::channel();
    let (encoder, coded) = Recorder::open();
    let (ours, theirs) = static_keys();
    let camera = Turns { still: Still::new(SIZE, 1, u64::MAX), turns };
    let video = sending::Video::Camera(Box::new(camera), stage(encoder));
    let mut sending = start_sending(ours, here, video, sending::Audio::Off);
    let (receiving, mut screen, _speaker) = start_receiving(theirs, there);
    // Moved here, so that a failing test drops them first and its threads can end.
    let (gate, go) = (gate, go);

    let mut pictures = Pictures::new(coded);
    let encode_one = |pictures: &mut Pictures| {
        go.send(()).unwrap();
        pictures.expect_encoded()
    };
    // Frame 0 holds the sending thread in the transport; 1 to 4 fill the queue; 5 finds no room; 6 mends it.
    assert!(!encode_one(&mut pictures));
    in_send.recv_timeout(LONG).unwrap();
    for frame in 1..=5 {
        assert!(!encode_one(&mut pictures), "frame {frame} was forced");
    }
    assert!(encode_one(&mut pictures), "the frame after the refused one is a forced key frame");
    let stats = sending.stats();
    assert_eq!((stats.video.pushed, stats.video.depth), (5, 4), "{stats:?}");
    assert!(matches!(stats.drops().of(Cause::SendQueueFull), 1 | 2), "{stats:?}");
    assert!(sending.edge().keyframes_requested() >= 1);

    drop(gate);
    // The pictures go on, and each is as it was encoded.
    let mut last = 0;
    while last < 7 {
        go.send(()).unwrap();
        if let Ok(shown) = screen.next(Duration::from_millis(100)) {
            pictures.compare(&shown);
            last = shown.frame;
        }
    }
    drop(go);
    while !matches!(sending.event(LONG).unwrap(), Event::Ended(Role::Encode)) {}
    let sent = sending.stop();
    assert_eq!(sent.drops().total(), sent.video.dropped() + sent.camera.dropped(), "{sent:?}");
    drop(receiving);
    assert_no_thread();
}

#[test]
fn injected_frames_arrive_byte_for_byte_and_a_refused_one_wishes_for_a_key_frame() {
    let _alone = alone();
    let (ours, theirs) = static_keys();
    let sender = sender(ours);
    let (mut injector, injected) = drive::injection(&sender);
    let framing = Framing::video(VIDEO, Kind::Camera, SIZE);
    let key = |number| EncodedInfo { frame: number, keyframe: true, ..Default::default() };
    let frame = |injector: &drive::Injector, number: u64| {
        let mut payload = injector.buffer();
        payload.tail().extend((0..5_000).map(|i| (i * 7 + number) as u8));
        framing.frame(payload, key(number), Clock::start().now())
    };
    // Nobody takes frames yet.
    for number in 0..4 {
        assert_eq!(injector.push(frame(&injector, number)), Pushed::Queued);
    }
    assert!(!injector.wishes().keyframe);
    assert_eq!(injector.push(frame(&injector, 4)), Pushed::Refused);
    assert!(injector.wishes().keyframe);
    assert_eq!(injector.gauge().read().refused, 1);

    let (here, there) = Transport::memory();
    let parts = sending::Parts {
        sender,
        transport: here,
        clock: Clock::start(),
        video: sending::Video::Encoded(injected),
        audio: sending::Audio::Off,
    };
    let sending = Sending::start(parts).unwrap();
    let (heard, payloads) = mpsc::channel();
    let (receiving, _screen, _speaker) = start_receiving_with(theirs, there, Box::new(Listener(heard)));
    for number in 0..4 {
        let (frame, bytes) = payloads.recv_timeout(LONG).unwrap();
        assert_eq!(frame, number);
        assert!(bytes.iter().enumerate().all(|(i, byte)| *byte == (i as u64 * 7 + number) as u8), "frame {number}");
        assert_eq!(bytes.len(), 5_000);
    }
    drop((sending, receiving));
    assert_eq!(injector.push(frame(&injector, 5)), Pushed::Closed);
    assert_no_thread();
}

#[test]
fn failures_are_events_and_end_no_other_thread() {
    let _alone = alone();
    let (here, there) = Transport::memory();
    let (ours, theirs) = static_keys();
    let encoder = Box::new(Panics);
    let video = sending::Video::Camera(Box::new(Still::new(SIZE, 1_000, u64::MAX)), stage(encoder));
    let mut sending = start_sending(ours, here, video, sending::Audio::Off);
    let (mut receiving, screen, speaker) = start_receiving(theirs, there);
    let mut events: Vec<_> = (0..3).map(|_| format!("{:?}", sending.event(LONG).unwrap())).collect();
    events.sort();
    assert_eq!(events, ["Ended(Camera)", "Ended(Encode)", "Failed(Encode, Panicked(\"out of silicon\"))"]);
    drop(sending);

    // The other side's transport is gone with it.
    let mut events = Vec::new();
    while let Ok(event) = receiving.event(LONG) {
        events.push(event);
    }
    let closed =
        |event: &Event| matches!(event, Event::Failed(Role::Socket, Failure::Transport(transport::Error::Closed)));
    assert!(events.iter().any(closed), "{events:?}");
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Ended(_))).count(), 2, "{events:?}");
    drop((receiving, screen, speaker));

    let (here, _there) = Transport::memory();
    let (ours, _) = static_keys();
    let (encoder, _coded) = Recorder::open();
    let mut sending =
        start_sending(ours, here, sending::Video::Camera(Box::new(Unplugged), stage(encoder)), microphone());
    let events: Vec<_> = (0..3).map(|_| sending.event(LONG).unwrap()).collect();
    let unplugged = |event: &Event| matches!(event, Event::Failed(Role::Camera, Failure::Capture(_)));
    assert!(events.iter().any(unplugged), "{events:?}");
    // Sound goes on.
    let before = sending.stats().sender.frames;
    while sending.stats().sender.frames < before + 3 {
        std::thread::yield_now();
    }
    drop(sending);
    assert_no_thread();
}

#[test]
fn a_side_that_is_dropped_at_once_leaves_no_thread() {
    let _alone = alone();
    for _ in 0..20 {
        let (here, there) = udp();
        let (ours, theirs) = static_keys();
        let (encoder, _coded) = Recorder::open();
        let video = sending::Video::Camera(Box::new(Still::new(SIZE, 60_000_000, u64::MAX)), stage(encoder));
        let sending = start_sending(ours, here, video, microphone());
        drop(start_receiving(theirs, there));
        drop(sending);
    }
    assert_no_thread();
}

#[test]
fn pictures_that_take_long_leave_the_sound_its_turns() {
    let _alone = alone();
    let (here, there) = udp();
    let (ours, theirs) = static_keys();
    let (encoder, _coded) = Recorder::open();
    let video = sending::Video::Camera(Box::new(Still::new(SIZE, 20_000, u64::MAX)), stage(encoder));
    let _sending = start_sending(ours, here, video, microphone());
    let (told, decoded) = mpsc::channel();
    let (_receiving, _screen, mut speaker) = start_receiving_with(theirs, there, Box::new(Slow(told)));
    decoded.recv_timeout(LONG).unwrap();
    // Each picture takes as long as five packets of sound, and five come while it is decoded.
    let (mut pictures, mut packets) = (0, 0);
    while pictures < 25 {
        let sound = speaker.next(LONG).unwrap();
        packets += 1;
        pictures += decoded.try_iter().count();
        speaker.recycle(sound.pcm);
    }
    assert!(packets > 4 * pictures, "{packets} packets and {pictures} pictures");
}

/// The tests of this file count threads, so they run one at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// No thread of `drive` lives. A joined thread may still stand in the list for an instant, so the list is read again.
fn assert_no_thread() {
    let start = Instant::now();
    while let Some(name) = thread_of_drive() {
        assert!(start.elapsed() < LONG, "{name} outlives its side");
        std::thread::yield_now();
    }
}

#[cfg(target_os = "linux")]
fn thread_of_drive() -> Option<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.map(|name| name.trim().to_owned()).find(|name| name.starts_with("conclave."))
}

#[cfg(not(target_os = "linux"))]
fn thread_of_drive() -> Option<String> {
    println!("skipped: threads are counted on Linux alone");
    None
}

/// After the end, everything that went in came out or is counted as lost.
fn assert_adds_up(counters: Counters) {
    let Counters { pushed, popped, displaced, abandoned, depth, .. } = counters;
    assert_eq!(pushed, popped + displaced + abandoned + depth, "{counters:?}");
}

fn udp() -> (Transport, Transport) {
    let [here, there] = [(); 2].map(|()| std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
    here.connect(there.local_addr().unwrap()).unwrap();
    there.connect(here.local_addr().unwrap()).unwrap();
    (Transport::udp(here).unwrap(), Transport::udp(there).unwrap())
}

fn static_keys() -> (StaticKeys, DynKeys) {
    let secret: [u8; 32] = std::array::from_fn(|i| i as u8);
    let (ours, mut theirs) = (StaticKeys::new(&secret, 0).unwrap(), StaticKeys::new(&secret, 1).unwrap());
    theirs.admit(0).unwrap();
    (ours, Box::new(theirs))
}

fn sender(keys: impl KeySource + Send + 'static) -> send::Sender {
    let streams = vec![
        send::Stream { id: VIDEO, kind: Kind::Camera, payload_type: 96 },
        send::Stream { id: AUDIO, kind: Kind::Microphone, payload_type: 111 },
    ];
    let config = send::Config { streams, watch: Stopwatch::running(), ..Default::default() };
    send::Sender::new(config, Box::new(keys)).unwrap()
}

fn start_sending(
    keys: impl KeySource + Send + 'static,
    transport: Transport,
    video: sending::Video,
    audio: sending::Audio,
) -> Sending {
    let sender = sender(keys);
    Sending::start(sending::Parts { sender, transport, clock: Clock::start(), video, audio }).unwrap()
}

fn start_receiving(keys: DynKeys, transport: Transport) -> (Receiving, Screen, Speaker) {
    start_receiving_with(keys, transport, Box::new(raw::Decoder::new()))
}

fn start_receiving_with(
    keys: DynKeys,
    transport: Transport,
    decoder: Box<dyn codecs::VideoDecoder>,
) -> (Receiving, Screen, Speaker) {
    let watch = Stopwatch::running();
    let config = receive::Config {
        video: Some((VIDEO, Kind::Camera)),
        audio: Some((AUDIO, Kind::Microphone)),
        watch,
        ..Default::default()
    };
    let parts = receiving::Parts {
        receiver: receive::Receiver::new(config, keys),
        transport,
        clock: Clock::start(),
        video: Some(decode::Video::new(decoder, watch)),
        audio: Some(Box::new(raw::audio::Decoder::open(1).unwrap())),
    };
    Receiving::start(parts).unwrap()
}

fn stage(encoder: Box<dyn VideoEncoder>) -> encode::Video {
    let config = encode::VideoConfig {
        stream: VIDEO,
        kind: Kind::Camera,
        size: SIZE,
        color: codecs::Config::default().color,
        session: Session::Live,
        watch: Stopwatch::running(),
    };
    encode::Video::open(config, Converter::cpu(), encoder).unwrap()
}

fn microphone() -> sending::Audio {
    let encoder = Box::new(raw::audio::Encoder::open(1, 960).unwrap());
    let stage = encode::Audio::new(AUDIO, Kind::Microphone, encoder, Stopwatch::running());
    sending::Audio::Microphone(Box::new(SceneVoice::new(1, u64::MAX)), stage)
}

/// Number of a frame, whether it was forced to be a key frame, and what a decoder must show.
type Coded = (u64, bool, Picture);

/// The double, telling of each frame whether it was forced and what a decoder must show.
struct Recorder {
    inner: Box<dyn VideoEncoder>,
    forced: bool,
    coded: mpsc::Sender<Coded>,
}

impl Recorder {
    fn open() -> (Box<dyn VideoEncoder>, mpsc::Receiver<Coded>) {
        let (coded, told) = mpsc::channel();
        let config = codecs::Config { size: SIZE, ..Default::default() };
        let inner = codecs::open_encoder("raw", config, Session::Live).unwrap();
        (Box::new(Self { inner, forced: false, coded }), told)
    }
}

impl VideoEncoder for Recorder {
    fn info(&self) -> EncoderInfo {
        self.inner.info()
    }

    fn max_lag(&self) -> u32 {
        self.inner.max_lag()
    }

    fn submit(&mut self, picture: &Picture, input: FrameInput) -> Result<(), CodecError> {
        self.forced = input.keyframe;
        self.inner.submit(picture, input)
    }

    fn poll(&mut self, out: &mut Vec<u8>) -> Result<Option<EncodedInfo>, CodecError> {
        let info = self.inner.poll(out)?;
        if let Some(info) = info {
            let mut picture = Picture::new(SIZE, Default::default());
            assert!(self.inner.reconstruction(&mut picture));
            // The test may have ended.
            let _ = self.coded.send((info.frame, self.forced, picture));
        }
        Ok(info)
    }

    fn reconstruction(&mut self, out: &mut Picture) -> bool {
        self.inner.reconstruction(out)
    }

    fn request_keyframe(&mut self) {
        self.inner.request_keyframe();
    }

    fn set_bitrate(&mut self, bits_per_second: u32) -> Result<(), CodecError> {
        self.inner.set_bitrate(bits_per_second)
    }

    fn set_framerate(&mut self, fps: (u32, u32)) -> Result<(), CodecError> {
        self.inner.set_framerate(fps)
    }

    fn flush(&mut self) -> Result<(), CodecError> {
        self.inner.flush()
    }
}

/// What the encoder said must be shown.
struct Pictures {
    coded: mpsc::Receiver<Coded>,
    known: HashMap<u64, Picture>,
}

impl Pictures {
    fn new(coded: mpsc::Receiver<Coded>) -> Self {
        Self { coded, known: HashMap::new() }
    }

    /// Waits until the next frame is encoded; says whether it was a forced key frame.
    fn expect_encoded(&mut self) -> bool {
        let (frame, forced, picture) = self.coded.recv_timeout(LONG).unwrap();
        self.known.insert(frame, picture);
        forced
    }

    fn expect_next(&mut self, screen: &mut Screen) {
        let shown = screen.next(LONG).unwrap();
        self.compare(&shown);
        screen.recycle(shown.picture);
    }

    fn compare(&mut self, shown: &drive::Shown) {
        self.known.extend(self.coded.try_iter().map(|(frame, _, picture)| (frame, picture)));
        assert!(self.known.get(&shown.frame) == Some(&shown.picture), "frame {} is not what was encoded", shown.frame);
    }
}

/// A way out that holds the first media packet until the test lets go.
struct Gate {
    inner: Box<dyn Outgoing>,
    entered: mpsc::Sender<()>,
    gated: mpsc::Receiver<()>,
}

impl Outgoing for Gate {
    fn send(&mut self, datagram: &[u8]) -> Result<(), transport::Error> {
        // RTCP has packet types 192 to 223 in its second byte (RFC 5761 §4).
        if !(192..=223).contains(&datagram[1]) {
            let _ = self.entered.send(());
            let _ = self.gated.recv();
        }
        self.inner.send(datagram)
    }
}

/// A camera that gives a picture when told to.
struct Turns {
    still: Still,
    turns: mpsc::Receiver<()>,
}

impl VideoInput for Turns {
    fn next(&mut self) -> Result<Option<Source<'_>>, CaptureError> {
        match self.turns.recv() {
            Ok(()) => self.still.next(),
            Err(_) => Ok(None),
        }
    }

    fn interval_us(&self) -> u64 {
        1
    }
}

/// A camera that fails.
struct Unplugged;

impl VideoInput for Unplugged {
    fn next(&mut self) -> Result<Option<Source<'_>>, CaptureError> {
        Err(FileError::Rate { rate: 1 }.into())
    }

    fn interval_us(&self) -> u64 {
        1
    }
}

/// An encoder with a bug.
struct Panics;

impl VideoEncoder for Panics {
    fn info(&self) -> EncoderInfo {
        EncoderInfo { name: "panics", device: "cpu".to_owned(), max_lag: 0 }
    }

    fn max_lag(&self) -> u32 {
        0
    }

    fn submit(&mut self, _: &Picture, _: FrameInput) -> Result<(), CodecError> {
        panic!("out of silicon")
    }

    fn poll(&mut self, _: &mut Vec<u8>) -> Result<Option<EncodedInfo>, CodecError> {
        Ok(None)
    }

    fn reconstruction(&mut self, _: &mut Picture) -> bool {
        false
    }

    fn request_keyframe(&mut self) {}

    fn set_bitrate(&mut self, _: u32) -> Result<(), CodecError> {
        Ok(())
    }

    fn set_framerate(&mut self, _: (u32, u32)) -> Result<(), CodecError> {
        Ok(())
    }

    fn flush(&mut self) -> Result<(), CodecError> {
        Ok(())
    }
}

/// A decoder that gives its input away.
struct Listener(mpsc::Sender<(u64, Vec<u8>)>);

impl codecs::VideoDecoder for Listener {
    fn name(&self) -> &'static str {
        "listener"
    }

    fn submit(&mut self, data: &[u8], frame: u64) -> Result<(), CodecError> {
        let _ = self.0.send((frame, data.to_vec()));
        Ok(())
    }

    fn poll(&mut self, _: &mut Picture) -> Result<Option<u64>, CodecError> {
        Ok(None)
    }

    fn reset(&mut self) {}
}

/// Takes 100 ms for each picture, tells of it and shows none.
struct Slow(mpsc::Sender<u64>);

impl codecs::VideoDecoder for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }

    fn submit(&mut self, _: &[u8], frame: u64) -> Result<(), CodecError> {
        std::thread::sleep(Duration::from_millis(100));
        let _ = self.0.send(frame);
        Ok(())
    }

    fn poll(&mut self, _: &mut Picture) -> Result<Option<u64>, CodecError> {
        Ok(None)
    }

    fn reset(&mut self) {}
}

/// Keys of the app's own: one for each member and each kind of media, once its server has answered.
struct Server {
    leaf: u16,
    handed_out: u8,
    online: Arc<AtomicBool>,
}

impl Server {
    fn key(id: KeyId) -> BaseKey {
        BaseKey::new(&[id.leaf as u8 ^ id.context.number() << 4; 64]).unwrap()
    }
}

impl KeySource for Server {
    fn sending(&mut self, context: Context) -> Result<Chain, KeyError> {
        let bit = 1 << context.number();
        if self.handed_out & bit != 0 {
            return Err(KeyError::Taken(context.number()));
        }
        self.handed_out |= bit;
        let id = KeyId { step: 0, context, leaf: self.leaf, epoch: 0 };
        Ok(Chain::fixed(id, Self::key(id)))
    }

    fn receiving(&self, id: KeyId, now: Time) -> Option<BaseKey> {
        self.opens(id, now).then(|| Self::key(id))
    }

    fn opens(&self, id: KeyId, _now: Time) -> bool {
        self.online.load(Ordering::Acquire) && self.knows(id.leaf) && id.step == 0 && id.epoch == 0
    }

    fn knows(&self, leaf: u16) -> bool {
        leaf < 2 && leaf != self.leaf
    }
}
