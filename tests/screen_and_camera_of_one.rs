//! One participant sends camera, screen, microphone, the screen's sound and data at once, over a bad network. Each comes
//! out whole and in its order, and nothing comes out of another.

mod support;

use std::collections::{HashMap, HashSet};

use conclave::capture::{Microphone, SceneVoice, Still, VideoInput};
use conclave::codecs::{self, AudioInput, Picture, Session, Size, raw};
use conclave::control::Edge;
use conclave::data::{self, Body, Topic};
use conclave::frame::{Buffer, Encoded, Kind, Packet};
use conclave::gpu::Converter;
use conclave::netem::{self, Netem};
use conclave::receive::{self, Pair, Receiver};
use conclave::rtp::rtcp::Pli;
use conclave::send::{self, Sender};
use conclave::time::{Stopwatch, TICK_US, Time};
use conclave::{decode, encode};

const CAMERA: u32 = 11;
const SCREEN: u32 = 12;
const MICROPHONE: u32 = 13;
const SCREEN_AUDIO: u32 = 14;
const DATA: u32 = 15;

/// Ticks during which something is sent: a minute.
const TICKS: u64 = 6_000;

/// A camera or a screen, and what is to be seen of it.
struct Pictures {
    pair: Pair,
    input: Still,
    stage: encode::Video,
    decoder: decode::Video,
    expected: HashMap<u64, Picture>,
    sent: u64,
    shown: Vec<u64>,
}

impl Pictures {
    fn new(pair: Pair, stream: u32, kind: Kind, size: Size) -> Self {
        let watch = Stopwatch::still();
        let config = codecs::Config { size, ..codecs::Config::default() };
        let encoder = codecs::open_encoder("raw", config, Session::Live).unwrap();
        let session = Session::Live;
        let stage = encode::VideoConfig { stream, kind, size, color: config.color, session, watch };
        Self {
            pair,
            input: Still::new(size, 40_000, TICKS),
            stage: encode::Video::open(stage, Converter::cpu(), encoder).unwrap(),
            decoder: decode::Video::new(Box::new(raw::Decoder::new()), watch),
            expected: HashMap::new(),
            sent: 0,
            shown: Vec::new(),
        }
    }

    fn encode(&mut self, edge: &Edge, now: Time) -> Encoded {
        let source = self.input.next().unwrap().unwrap();
        self.stage.submit(source, edge, now).unwrap();
        let encoded = self.stage.poll().unwrap().unwrap();
        let mut picture = Picture::new(Size::new(16, 16), Default::default());
        assert!(self.stage.reconstruction(&mut picture));
        self.expected.insert(self.sent, picture);
        self.sent += 1;
        encoded
    }

    fn show(&mut self, receiver: &mut Receiver, now: Time) {
        let Self { pair, decoder, expected, shown, .. } = self;
        let mut show = |picture: decode::Shown<'_>, _| {
            assert!(expected.get(&picture.frame) == Some(&*picture.picture), "{pair:?} {}", picture.frame);
            shown.push(picture.frame);
        };
        while decoder.step_of(*pair, receiver, now, &mut show).expect("decodes") {}
    }
}

/// A microphone or a screen's sound, and what is to be heard of it.
struct Sounds {
    pair: Pair,
    input: SceneVoice,
    stage: encode::Audio,
    sent: HashSet<Vec<u8>>,
    heard: Vec<Vec<u8>>,
}

impl Sounds {
    fn new(pair: Pair, stream: u32, kind: Kind, seed: u64) -> Self {
        let encoder = raw::audio::Encoder::open(1, 960).unwrap();
        Self {
            pair,
            input: SceneVoice::new(seed, u64::MAX),
            stage: encode::Audio::new(stream, kind, Box::new(encoder), Stopwatch::still()),
            sent: HashSet::new(),
            heard: Vec::new(),
        }
    }

    fn encode(&mut self, now: Time) -> Encoded {
        let mut pcm = [0; 960];
        assert!(self.input.fill(&mut pcm).unwrap());
        let encoded = self.stage.encode(&pcm, now).unwrap();
        self.sent.insert(encoded.payload.as_slice().to_vec());
        encoded
    }

    fn hear(&mut self, receiver: &mut Receiver, now: Time) {
        let Self { pair, heard, .. } = self;
        let mut decode = |input: AudioInput<'_>| {
            if let AudioInput::Packet(packet) = input {
                heard.push(packet.to_vec());
            }
            Ok(960)
        };
        let played = match pair {
            Pair::Person => receiver.audio(now, &mut decode),
            Pair::Screen => receiver.screen_audio(now, &mut decode),
        };
        played.expect("plays");
    }
}

fn message(number: u64, now: Time) -> Encoded {
    let bytes = number.to_be_bytes().repeat(1 + number as usize % 300);
    let body = Body::Message { sequence: number, topic: Topic::Chat, bytes: &bytes };
    data::frame(DATA, &body, Buffer::with_capacity(2_500), now)
}

#[test]
fn five_streams_of_one_participant_come_out_whole_and_unmixed() {
    let (ours, theirs) = support::keys();
    let kinds = [
        (CAMERA, Kind::Camera),
        (SCREEN, Kind::Screen),
        (MICROPHONE, Kind::Microphone),
        (SCREEN_AUDIO, Kind::ScreenAudio),
        (DATA, Kind::Data),
    ];
    let streams = kinds.iter().map(|(id, kind)| send::Stream { id: *id, kind: *kind, payload_type: 96 }).collect();
    let mut sender = Sender::new(send::Config { streams, ..Default::default() }, Box::new(ours)).unwrap();
    let config = receive::Config {
        video: Some((CAMERA, Kind::Camera)),
        audio: Some((MICROPHONE, Kind::Microphone)),
        screen: Some(SCREEN),
        screen_audio: Some(SCREEN_AUDIO),
        data: Some(DATA),
        ..Default::default()
    };
    let mut receiver = Receiver::new(config, Box::new(theirs));
    let network = netem::Config { corrupt: 0.2, ..support::bad(1) };
    let (mut there, mut back) = (Netem::new(network.clone()), Netem::new(netem::Config { seed: 2, ..network }));
    let mut pictures = [
        Pictures::new(Pair::Person, CAMERA, Kind::Camera, Size::new(64, 48)),
        Pictures::new(Pair::Screen, SCREEN, Kind::Screen, Size::new(96, 64)),
    ];
    let mut sounds = [
        Sounds::new(Pair::Person, MICROPHONE, Kind::Microphone, 1),
        Sounds::new(Pair::Screen, SCREEN_AUDIO, Kind::ScreenAudio, 2),
    ];
    let (mut said, mut told) = (0, Vec::new());
    for tick in 0..TICKS + 300 {
        let now = Time(tick * TICK_US);
        let mut frames: Vec<Encoded> = Vec::new();
        if tick < TICKS {
            if tick % 4 == 0 {
                let edges = [CAMERA, SCREEN].map(|id| sender.edge_of(id).unwrap().clone());
                frames.extend(pictures.iter_mut().zip(edges).map(|(pictures, edge)| pictures.encode(&edge, now)));
            }
            if tick % 2 == 0 {
                frames.extend(sounds.iter_mut().map(|sounds| sounds.encode(now)));
            }
            if tick % 7 == 0 {
                frames.push(message(said, now));
                said += 1;
            }
        }
        let mut push = |packet: &Packet| there.push(packet.as_slice(), now);
        for frame in frames {
            sender.frame(frame, now, &mut push).expect("goes out");
        }
        while let Some(packet) = back.pop(now) {
            sender.feedback(packet.as_slice(), now, &mut push);
        }
        sender.tick(now, &mut push);
        while let Some(packet) = there.pop(now) {
            receiver.datagram(packet.as_slice(), now);
        }
        receiver.tick(now, &mut |packet| back.push(packet.as_slice(), now));
        pictures.iter_mut().for_each(|pictures| pictures.show(&mut receiver, now));
        if tick % 2 == 0 {
            sounds.iter_mut().for_each(|sounds| sounds.hear(&mut receiver, now));
        }
        while let Some(opened) = receiver.data(now) {
            assert_eq!((opened.header.stream, opened.header.kind), (DATA, Kind::Data));
            let Some(Body::Message { sequence, bytes, .. }) = Body::read(opened.payload.as_slice()) else {
                panic!("no message")
            };
            assert_eq!(bytes, sequence.to_be_bytes().repeat(1 + sequence as usize % 300));
            told.push(sequence);
            receiver.recycle(opened);
        }
    }
    let seen = receiver.snapshot();
    for pictures in &pictures {
        let (shown, sent) = (pictures.shown.len() as u64, pictures.sent);
        assert!(shown * 100 >= sent * 97, "{:?}: {shown} of {sent}, {seen:?}", pictures.pair);
        assert!(pictures.shown.is_sorted_by(|one, next| one < next));
    }
    for at in [0, 1] {
        let (own, other) = (&sounds[at], &sounds[1 - at]);
        assert!(own.heard.iter().all(|packet| own.sent.contains(packet)));
        let telling = own.heard.iter().filter(|packet| !other.sent.contains(*packet)).count();
        assert!(own.heard.len() > 2_800 && telling > 1_000, "{} {telling}", own.heard.len());
    }
    let times = told.len();
    told.sort_unstable();
    told.dedup();
    assert_eq!(told.len(), times, "no frame of data is opened twice");
    assert!(times as u64 * 1000 >= said * 995, "{times} of {said}");
    let joined = [seen.video_packets, seen.screen_packets, seen.audio_packets, seen.screen_audio_packets];
    assert!(joined.iter().chain([&seen.data_packets]).all(|packets| packets.frames > 800), "{seen:?}");
    assert_eq!(seen.receiver.data, times as u64);
    assert!(sender.stats().repeated > said, "{:?}", sender.stats());
    // A flipped bit may name another stream, and no more.
    assert!(seen.receiver.foreign <= there.stats().corrupted && seen.receiver.data_refused == 0, "{seen:?}");
}

#[test]
fn a_key_frame_is_asked_of_the_stream_that_lacks_it() {
    let (ours, theirs) = support::keys();
    let streams = [(CAMERA, Kind::Camera), (SCREEN, Kind::Screen)];
    let streams = streams.map(|(id, kind)| send::Stream { id, kind, payload_type: 96 }).to_vec();
    let mut sender = Sender::new(send::Config { streams, ..Default::default() }, Box::new(ours)).unwrap();
    let config =
        receive::Config { video: Some((CAMERA, Kind::Camera)), screen: Some(SCREEN), ..receive::Config::default() };
    let mut receiver = Receiver::new(config, Box::new(theirs));
    receiver.lost_sync_of(Pair::Screen);
    let mut requests = Vec::new();
    receiver.tick(Time(0), &mut |packet| requests.push(packet.clone()));
    requests.iter().for_each(|packet| sender.feedback(packet.as_slice(), Time(0), &mut |_| {}));
    let wishes = [CAMERA, SCREEN].map(|id| sender.edge_of(id).unwrap().take().keyframe);
    assert_eq!((wishes, sender.edge().take().keyframe), ([false, true], false));
}

#[test]
fn however_many_ask_key_frames_keep_their_distance() {
    let open = |payload_type| {
        let (ours, _) = support::keys();
        let streams = vec![send::Stream { id: CAMERA, kind: Kind::Camera, payload_type }];
        Sender::new(send::Config { streams, ..send::Config::default() }, Box::new(ours))
    };
    for rtcps in [64, 72, 95, 128, 255] {
        assert!(matches!(open(rtcps).err(), Some(send::SendError::PayloadType(refused)) if refused == rtcps));
    }
    let mut sender = open(96).expect("opens");
    let (edge, mut camera) =
        (sender.edge().clone(), Pictures::new(Pair::Person, CAMERA, Kind::Camera, Size::new(64, 48)));
    let pli = |media_ssrc| {
        let mut bytes = [0; 12];
        Pli { ssrc: 1, media_ssrc }.write(&mut bytes).expect("fits");
        bytes
    };
    let mut keys = Vec::new();
    for now in (0..50).map(|n| Time(n * 40_000)) {
        for _ in 0..30 {
            sender.feedback(&pli(CAMERA), now, &mut |_| {});
            sender.feedback(&pli(SCREEN), now, &mut |_| {});
        }
        sender.tick(now, &mut |_| {});
        let frame = camera.encode(&edge, now);
        keys.extend((!frame.structure.as_slice().is_empty()).then_some(now));
        sender.frame(frame, now, &mut |_| {}).expect("goes out");
    }
    // Who asked too soon gets one as soon as there may be one: 320 ms are eight pictures.
    assert_eq!(keys, (0..7).map(|n| Time(n * 320_000)).collect::<Vec<_>>());
    // Nobody here has the screen that was asked for.
    sender.tick(Time(5_000_000), &mut |_| {});
    let _ = edge.take();
    sender.feedback(&pli(SCREEN), Time(6_000_000), &mut |_| {});
    assert!(!edge.wants_keyframe());
}
