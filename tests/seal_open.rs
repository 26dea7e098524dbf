//! Frames from the sealer to the opener: what comes through, what is refused, and what is counted.

use std::cell::Cell;
use std::rc::Rc;

use conclave::codecs::EncodedInfo;
use conclave::e2ee::{
    Aead, AesGcm, AwsLc, BaseKey, Chain, Context, Event, KeyError, KeyId, KeySource, OpenStats, Opener, Padding,
    Reason, Rejected, SealError, Sealer, StaticKeys,
};
use conclave::frame::{Arrived, Buffer, Encoded, Header, Kind, Opened, Structure};
use conclave::ledger::{Ledger, Stage};
use conclave::time::Time;

const SECRET: [u8; 48] = [0x5e; 48];
const NOW: Time = Time(1_000_000);

#[test]
fn every_kind_of_frame_comes_through_whole() {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut opener = opener();
    let mut keys = StaticKeys::new(&SECRET, 1).unwrap();
    for kind in [Kind::Microphone, Kind::Camera, Kind::Screen, Kind::ScreenAudio, Kind::Data] {
        let mut sealer = Sealer::new(&mut keys, Context::of(kind)).unwrap();
        for counter in 0..200 {
            let payload: Vec<u8> = (0..rng.usize(..3000)).map(|_| rng.u8(..)).collect();
            let structure: Vec<u8> = (0..rng.usize(..=96)).map(|_| rng.u8(..)).collect();
            let header = Header {
                stream: rng.u32(..),
                kind,
                spatial: rng.u8(..),
                temporal: rng.u8(..),
                template_id: rng.u8(..),
                frame_number: rng.u16(..),
            };
            let mut frame = encoded(header, &payload);
            frame.captured = Time(rng.u64(..));
            frame.structure = Structure::new(&structure).unwrap();
            frame.ledger.stamp(Stage::Encode, NOW);
            let captured = frame.captured;

            let sealed = sealer.seal(frame, Time(0)).unwrap();
            assert_eq!((sealed.header(), sealed.captured()), (&header, captured));
            assert_eq!(sealed.structure().as_slice(), structure);
            let mut ledger = Ledger::default();
            ledger.stamp(Stage::Arrive, NOW);
            let opened = opener.open(Arrived { ledger, ..arrived(header, sealed.as_slice()) }, NOW).unwrap();
            assert_eq!(opened.payload.as_slice(), payload);
            assert_eq!(opened.structure.as_slice(), structure);
            assert_eq!((opened.header, opened.captured, opened.counter), (header, captured, counter));
            assert_eq!(opened.key_id, sealer.key_id());
            assert_eq!(sealed.ledger().at(Stage::Encode), Some(NOW));
            assert_eq!((opened.ledger.at(Stage::Arrive), opened.ledger.at(Stage::Open)), (Some(NOW), None));
        }
        assert_eq!((sealer.stats().sealed, sealer.stats().refused), (200, 0));
    }
    assert_eq!(*opener.stats(), OpenStats { arrived: 1000, opened: 1000, ..Default::default() });
}

#[test]
fn the_record_of_the_design_is_on_the_wire() {
    // Counter 0 under the key of leaf 3, context 2, epoch 21, opened with the parts of the design alone.
    let secret: Vec<u8> = (0..48).collect();
    let mut keys = StaticKeys::new(&secret, 3).unwrap().in_epoch(21);
    let mut sealer = Sealer::new(&mut keys, Context::new(2).unwrap()).unwrap();
    let header =
        Header { stream: 7, kind: Kind::Camera, spatial: 0, temporal: 2, template_id: 5, frame_number: 0x1234 };
    let mut frame = encoded(header, b"temporal unit");
    frame.captured = Time(1_700_000_000_000_000);
    frame.structure = Structure::new(&[0x80, 1]).unwrap();
    let sealed = sealer.seal(frame, Time(0)).unwrap();

    let base = hex("28808db37d49efd984f5880d70a9b7029555fdc909eb49d46fb51bd95485652d\
                    4c901f6ddf01d4deb6ce2128618c53d6250c80e4fe7726986b060a89269cae35");
    let mut buffer = buffer(sealed.as_slice());
    let key =
        conclave::e2ee::OpenKey::derive(conclave::e2ee::Suite::Aes256GcmSha512, 0x80315, &BaseKey::new(&base).unwrap());
    let mut opener = conclave::e2ee::sframe::Opener::<AesGcm>::new(key.unwrap());
    opener.open(&hex("434d3100000007010002051234"), &mut buffer).unwrap();
    assert_eq!(buffer.as_slice(), hex("00060a24181e4000000280010000000d74656d706f72616c20756e6974"));
}

#[test]
fn both_arms_make_the_same_bytes_and_open_each_others() {
    let header = video(1);
    let mut aws = Sealer::<AwsLc>::on_arm(&mut keys(1), Context::of(Kind::Camera)).unwrap();
    let mut pure = Sealer::<AesGcm>::on_arm(&mut keys(1), Context::of(Kind::Camera)).unwrap();
    let mut open_aws = Opener::<_, AwsLc>::on_arm(keys(0));
    let mut open_pure = Opener::<_, AesGcm>::on_arm(keys(0));
    for len in (0..300).chain([8000, 100_000]) {
        let payload = vec![len as u8; len];
        let (one, two) = (
            aws.seal(encoded(header, &payload), Time(0)).unwrap(),
            pure.seal(encoded(header, &payload), Time(0)).unwrap(),
        );
        assert_eq!(one.as_slice(), two.as_slice());
        assert_eq!(open_pure.open(arrived(header, one.as_slice()), NOW).unwrap().payload.as_slice(), payload);
        assert_eq!(open_aws.open(arrived(header, two.as_slice()), NOW).unwrap().payload.as_slice(), payload);
    }
}

#[test]
fn audio_lengths_say_little() {
    let mut sealer = Sealer::new(&mut keys(1), Context::of(Kind::Microphone)).unwrap();
    let lengths: std::collections::BTreeSet<usize> = (1..=140)
        .map(|len| sealer.seal(encoded(audio(), &vec![1; len]), Time(0)).unwrap().as_slice().len() & !7)
        .collect();
    assert_eq!(lengths.len(), 4, "{lengths:?}");

    let padding = Padding { audio: true, video: true };
    let mut sealer = Sealer::new(&mut keys(1), Context::of(Kind::Camera)).unwrap().with_padding(padding);
    let one = sealer.seal(encoded(video(1), &[1; 300]), Time(0)).unwrap().as_slice().len();
    let two = sealer.seal(encoded(video(1), &[1; 490]), Time(0)).unwrap().as_slice().len();
    assert_eq!(one, two);
    assert_eq!(sealer.stats().padding_bytes, 1024 - 300 - 490 - 28);
}

#[test]
fn no_bit_of_a_frame_or_of_what_travels_outside_can_be_flipped() {
    flip_everything::<AwsLc>();
    flip_everything::<AesGcm>();
}

fn flip_everything<A: Aead>() {
    let mut opener = Opener::<_, A>::on_arm(keys(0));
    let mut sealer = Sealer::new(&mut keys(1), Context::of(Kind::Camera)).unwrap();
    let header = video(0x1234);
    for counter in [0, 1] {
        let sealed = sealer.seal(encoded(header, b"a picture of somebody at home"), Time(0)).unwrap();
        let bytes = sealed.as_slice();
        let mut tries = 0;
        let mut refuse = |frame: Arrived| {
            let len = frame.payload.len();
            let rejected = refused(opener.open(frame, NOW));
            assert_eq!(rejected.error.to_string(), "the frame could not be opened");
            assert_eq!(rejected.payload.as_slice(), vec![0; len]);
            tries += 1;
        };
        for bit in 0..bytes.len() * 8 {
            let mut forged = bytes.to_vec();
            forged[bit / 8] ^= 1 << (bit % 8);
            refuse(arrived(header, &forged));
        }
        for len in 0..bytes.len() {
            refuse(arrived(header, &bytes[..len]));
        }
        refuse(arrived(header, &[bytes, &[0]].concat()));
        (0..32).for_each(|bit| refuse(arrived(Header { stream: header.stream ^ 1 << bit, ..header }, bytes)));
        (0..16).for_each(|bit| {
            refuse(arrived(Header { frame_number: header.frame_number ^ 1 << bit, ..header }, bytes));
        });
        for bit in 0..8 {
            refuse(arrived(Header { spatial: header.spatial ^ 1 << bit, ..header }, bytes));
            refuse(arrived(Header { temporal: header.temporal ^ 1 << bit, ..header }, bytes));
            refuse(arrived(Header { template_id: header.template_id ^ 1 << bit, ..header }, bytes));
        }
        for kind in [Kind::Microphone, Kind::Screen, Kind::ScreenAudio, Kind::Data] {
            refuse(arrived(Header { kind, ..header }, bytes));
        }

        // Nothing of it moved a window, so the genuine frame still opens; nothing was held, or it has expired by then.
        let opened = opener.open(arrived(header, bytes), Time(NOW.0 + 10_000_000)).unwrap();
        assert_eq!((opened.payload.as_slice(), opened.counter), (&b"a picture of somebody at home"[..], counter));
        assert!(tries > bytes.len() * 9);
        let stats = opener.stats();
        adds_up(stats);
        assert_eq!((stats.opened, stats.waiting), (counter + 1, 0));
        assert!(stats.tampered > bytes.len() as u64 * 6 && stats.malformed > 20, "{stats:?}");
    }
}

#[test]
fn random_bytes_and_mutated_frames_only_move_counters() {
    let mut rng = fastrand::Rng::with_seed(0xbad);
    let mut opener = opener();
    let mut sealer = Sealer::new(&mut keys(1), Context::of(Kind::Microphone)).unwrap();
    let mut genuine = 0;
    for round in 0..60_000u64 {
        let now = Time(round * 100);
        let mut bytes: Vec<u8> = if round % 3 == 0 {
            (0..rng.usize(..80)).map(|_| rng.u8(..)).collect()
        } else {
            sealer.seal(encoded(audio(), &[5; 20]), Time(0)).unwrap().as_slice().to_vec()
        };
        if round % 3 == 1 {
            for _ in 0..rng.usize(1..4) {
                let at = rng.usize(..bytes.len());
                bytes[at] = bytes[at].wrapping_add(rng.u8(1..));
            }
        }
        let opened = opener.open(arrived(audio(), &bytes), now).is_ok();
        genuine += u64::from(opened);
        assert!(round % 3 != 2 || opened, "genuine frame of round {round}");
        while opener.event().is_some() {}
    }
    let stats = opener.stats();
    adds_up(stats);
    assert_eq!((stats.opened, stats.arrived), (genuine, 60_000));
    assert_eq!(genuine, 20_000);
}

#[test]
fn replays_and_stragglers_are_told_apart_inside_and_alike_outside() {
    let mut opener = opener();
    let mut sealer = Sealer::new(&mut keys(1), Context::of(Kind::Camera)).unwrap();
    let frames: Vec<Vec<u8>> =
        (0..1100u16).map(|n| sealer.seal(encoded(video(n), &[1]), Time(0)).unwrap().as_slice().to_vec()).collect();
    let mut open = |n: usize| opener.open(arrived(video(n as u16), &frames[n]), NOW).map(|opened| opened.counter);

    // Out of order inside the window, then all again, then behind it.
    let order: Vec<usize> = (20..1000).rev().chain([1050]).collect();
    order.iter().for_each(|n| assert_eq!(open(*n).unwrap(), *n as u64));
    order.iter().filter(|n| **n > 26).for_each(|n| assert!(open(*n).is_err()));
    for n in 0..=26 {
        assert!(open(n).is_err());
    }
    assert_eq!(open(1049).unwrap(), 1049);
    assert_eq!(open(1099).unwrap(), 1099);
    let stats = opener.stats();
    adds_up(stats);
    assert_eq!((stats.opened, stats.replayed, stats.too_old), (983, 974, 27));
}

#[test]
fn a_forged_counter_does_not_move_the_window() {
    let mut opener = opener();
    let mut sealer = Sealer::new(&mut keys(1), Context::of(Kind::Microphone)).unwrap();
    let first = sealer.seal(encoded(audio(), b"one"), Time(0)).unwrap();
    let header = conclave::e2ee::header::Header { key_id: sealer.key_id(), counter: 1 << 40 };
    let mut bytes = [0; conclave::e2ee::header::MAX_LEN];
    let len = header.write(&mut bytes);
    let forged = [&bytes[..len], &[3; 90]].concat();
    assert!(opener.open(arrived(audio(), &forged), NOW).is_err());
    assert!(opener.open(arrived(audio(), first.as_slice()), NOW).is_ok());
    assert_eq!((opener.stats().tampered, opener.stats().too_old), (1, 0));
    let event = opener.event().unwrap();
    assert_eq!((event.leaf, event.stream, event.reason), (1, audio().stream, Reason::Tampered));
}

#[test]
fn members_of_other_groups_and_ones_own_echo_are_not_opened() {
    let mut keys_of_one = keys(1);
    let mut sealer = Sealer::new(&mut keys_of_one, Context::of(Kind::Camera)).unwrap();
    let sealed = sealer.seal(encoded(video(1), b"x"), Time(0)).unwrap();
    let mut echo = Opener::new(keys_of_one);
    assert!(!refused(echo.open(arrived(video(1), sealed.as_slice()), NOW)).held);
    assert_eq!(echo.stats().unknown_leaf, 1);

    let mut other = StaticKeys::new(&[1; 32], 0).unwrap();
    other.admit(1).unwrap();
    let mut other = Opener::new(other);
    assert!(other.open(arrived(video(1), sealed.as_slice()), NOW).is_err());
    assert_eq!(other.stats().tampered, 1);
}

#[test]
fn frames_wait_for_their_key_and_come_out_in_order() {
    let arrived_yet = Rc::new(Cell::new(false));
    let mut opener = Opener::new(Late { keys: keys(0), arrived: arrived_yet.clone() });
    let mut sealer = Sealer::new(&mut keys(1), Context::of(Kind::Camera)).unwrap();
    let frames: Vec<_> = (0..40u16).map(|n| sealer.seal(encoded(video(n), &[n as u8; 50]), Time(0)).unwrap()).collect();
    for (n, frame) in frames[..10].iter().enumerate() {
        let rejected = refused(opener.open(arrived(video(n as u16), frame.as_slice()), Time::from_ms(n as u64)));
        assert!(rejected.held && rejected.payload.as_slice().iter().all(|byte| *byte == 0));
    }
    assert_eq!(opener.stats().waiting, 10);
    assert!(opener.released(Time::from_ms(20)).is_none());

    arrived_yet.set(true);
    opener.keys_changed(Time::from_ms(20));
    for n in 0..10 {
        let opened: Opened = opener.released(Time::from_ms(20)).unwrap();
        assert_eq!((opened.counter, opened.payload.as_slice()), (n, &[n as u8; 50][..]));
        assert_eq!(opened.header, video(n as u16));
    }
    assert!(opener.released(Time::from_ms(20)).is_none());
    assert!(opener.event().is_none());
    // What came out is seen: a copy of it is a replay.
    assert!(opener.open(arrived(video(3), frames[3].as_slice()), Time::from_ms(21)).is_err());
    let stats = opener.stats();
    adds_up(stats);
    assert_eq!((stats.opened, stats.held, stats.waiting, stats.replayed), (10, 10, 0, 1));

    // A withdrawn key opens nothing any more.
    arrived_yet.set(false);
    opener.keys_changed(Time::from_ms(20));
    assert!(refused(opener.open(arrived(video(20), frames[20].as_slice()), Time::from_ms(22))).held);
}

#[test]
fn waiting_has_bounds_and_its_end_is_told_once_a_second() {
    let mut opener = Opener::new(Late { keys: keys(0), arrived: Rc::default() });
    let mut sealer = Sealer::new(&mut keys(1), Context::of(Kind::Camera)).unwrap();
    let mut send = |now: Time| {
        let sealed = sealer.seal(encoded(video(1), &[1; 50]), Time(0)).unwrap();
        let held = refused(opener.open(arrived(video(1), sealed.as_slice()), now)).held;
        let events: Vec<Event> = std::iter::from_fn(|| opener.event()).collect();
        (held, events, opener.stats().clone())
    };
    for n in 0..32 {
        assert!(send(Time(n)).0);
    }
    let (held, events, stats) = send(Time(40));
    assert!(!held);
    assert_eq!((stats.waiting, stats.hold_full), (32, 1));
    let event = Event { stream: 77, leaf: 1, key_id: sealer_id(), reason: Reason::MissingKey };
    assert_eq!(events, [event]);
    let (held, events, stats) = send(Time::from_ms(501));
    assert!(held && events.is_empty());
    assert_eq!((stats.waiting, stats.hold_expired, stats.missing_key), (1, 32, 33));
    let (_, events, stats) = send(Time::from_ms(1500));
    assert_eq!(events, [event]);
    adds_up(&stats);
}

#[test]
fn a_sealer_refuses_frames_of_another_context() {
    let mut sealer = Sealer::new(&mut keys(1), Context::of(Kind::Microphone)).unwrap();
    let error = sealer.seal(encoded(video(1), b"x"), Time(0)).err().unwrap();
    assert_eq!(error, SealError::Context { context: 0, kind: Kind::Camera });
    assert_eq!(sealer.stats().refused, 1);
    let mut full = encoded(audio(), b"");
    assert!(full.payload.prepend(&[0; 185]));
    assert_eq!(sealer.seal(full, Time(0)).err(), Some(SealError::Room));
}

#[test]
fn one_context_has_one_sealer() {
    let mut keys = keys(1);
    assert!(Sealer::new(&mut keys, Context::of(Kind::Screen)).is_ok());
    assert_eq!(Sealer::new(&mut keys, Context::of(Kind::Screen)).err(), Some(KeyError::Taken(4)));
}

/// Static keys that arrive later.
struct Late {
    keys: StaticKeys,
    arrived: Rc<Cell<bool>>,
}

impl KeySource for Late {
    fn sending(&mut self, context: Context) -> Result<Chain, KeyError> {
        self.keys.sending(context)
    }

    fn receiving(&self, key_id: KeyId, now: Time) -> Option<BaseKey> {
        self.arrived.get().then(|| self.keys.receiving(key_id, now)).flatten()
    }

    fn opens(&self, key_id: KeyId, now: Time) -> bool {
        self.arrived.get() && self.keys.opens(key_id, now)
    }

    fn knows(&self, leaf: u16) -> bool {
        self.keys.knows(leaf)
    }
}

fn keys(leaf: u16) -> StaticKeys {
    let mut keys = StaticKeys::new(&SECRET, leaf).unwrap();
    keys.admit(1 - leaf).unwrap();
    keys
}

fn opener() -> Opener<StaticKeys> {
    Opener::new(keys(0))
}

/// The key id of member 1's camera.
fn sealer_id() -> u64 {
    KeyId { step: 0, context: Context::of(Kind::Camera), leaf: 1, epoch: 0 }.pack().unwrap()
}

fn adds_up(stats: &OpenStats) {
    let OpenStats { opened, malformed, missing_key, replayed, too_old, tampered, waiting, .. } = *stats;
    assert_eq!(stats.arrived, opened + malformed + missing_key + replayed + too_old + tampered + waiting, "{stats:?}");
}

fn refused(result: Result<Opened, Rejected>) -> Rejected {
    result.err().expect("a frame that cannot be opened")
}

fn video(frame_number: u16) -> Header {
    Header { stream: 77, kind: Kind::Camera, spatial: 1, temporal: 2, template_id: 5, frame_number }
}

fn audio() -> Header {
    Header { stream: 9, kind: Kind::Microphone, spatial: 0, temporal: 0, template_id: 0, frame_number: 0 }
}

fn encoded(header: Header, payload: &[u8]) -> Encoded {
    Encoded {
        payload: buffer(payload),
        info: EncodedInfo::default(),
        header,
        captured: Time(5),
        structure: Structure::default(),
        ledger: Ledger::default(),
    }
}

fn arrived(header: Header, bytes: &[u8]) -> Arrived {
    Arrived { payload: buffer(bytes), header, packets: Default::default(), ledger: Ledger::default() }
}

fn buffer(bytes: &[u8]) -> Buffer {
    let mut buffer = Buffer::with_capacity(bytes.len());
    buffer.tail().extend_from_slice(bytes);
    buffer
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}
