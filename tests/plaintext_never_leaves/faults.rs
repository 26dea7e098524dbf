//! An error in each call between a frame and its datagrams that an app or a library can make fail: the frame is
//! refused or leaves sealed. Those behind them, in the key schedule and in the group, fail one by one in
//! `engine/faults.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use conclave::codecs::{EncodedInfo, Size, opus};
use conclave::e2ee::aead::{NONCE, Refused, TAG};
use conclave::e2ee::proof::{MediaSigner, Policy, Sign, SignError};
use conclave::e2ee::{
    Aead, BaseKey, Chain, Context, Epoch, KeyError, KeyId, KeySource, Keyring, Role, SealError, Sealer, StaticKeys,
    Suite, keyring,
};
use conclave::encode::Framing;
use conclave::frame::{Buffer, Encoded, Kind, Structure};
use conclave::gathering::Word;
use conclave::send::{Config, SendError, Sender, Stream};
use conclave::time::Time;

use crate::epochs;
use crate::media::{LAYOUTS, Sound, Video, buffer, unit};
use crate::tap::Tap;

const CAMERA: u32 = 1;
const MICROPHONE: u32 = 2;
const DATA: u32 = 3;

fn config() -> Config {
    let stream = |id, kind, payload_type| Stream { id, kind, payload_type };
    let streams = vec![
        stream(CAMERA, Kind::Camera, 96),
        stream(MICROPHONE, Kind::Microphone, 111),
        stream(DATA, Kind::Data, 109),
    ];
    Config { streams, ..Config::default() }
}

/// What a source of keys does when it is asked for those to seal with.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Refuses(KeyError),
    /// It names a key that cannot be written.
    Unwritable,
}

const FAULTS: [Fault; 6] = [
    Fault::Refuses(KeyError::None(1)),
    Fault::Refuses(KeyError::Derive),
    Fault::Refuses(KeyError::KeyId),
    Fault::Refuses(KeyError::Leaf(9)),
    Fault::Refuses(KeyError::Length { len: 1, least: 32 }),
    Fault::Unwritable,
];

/// A group's keys that fail from the `from`th time on that they are asked for, `many` times.
struct Failing {
    keys: Keyring,
    fault: Fault,
    from: usize,
    many: usize,
    asked: Arc<AtomicUsize>,
}

impl KeySource for Failing {
    fn turn(&mut self, now: Time) -> bool {
        // It is asked again at every turn, as by a source that cannot tell whether something changed.
        self.keys.turn(now);
        true
    }

    fn sending(&mut self, context: Context) -> Result<Chain, KeyError> {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        if !(self.from..self.from + self.many).contains(&asked) {
            return self.keys.sending(context);
        }
        match self.fault {
            Fault::Refuses(why) => Err(why),
            Fault::Unwritable => {
                Ok(Chain::fixed(KeyId { step: u64::MAX, context, leaf: 0, epoch: 1 }, BaseKey::new(&[7; 64]).unwrap()))
            }
        }
    }

    fn receiving(&self, _: KeyId, _: Time) -> Option<BaseKey> {
        None
    }

    fn opens(&self, _: KeyId, _: Time) -> bool {
        false
    }

    fn knows(&self, _: u16) -> bool {
        false
    }

    fn sealing(&self) -> Option<&Arc<Epoch>> {
        self.keys.sealing()
    }
}

/// One who sends, tapped.
struct Seat {
    sender: Sender,
    tap: Tap,
    camera: Video,
    microphone: Sound,
    refused: usize,
    sent: usize,
}

impl Seat {
    fn new(sender: Sender) -> Self {
        let camera = Video::open(Kind::Camera, Size { width: 640, height: 360 }, 1);
        let microphone = Sound::open(Kind::Microphone, opus::Config::default(), 2);
        Self { sender, tap: Tap::default(), camera, microphone, refused: 0, sent: 0 }
    }

    fn frame(&mut self, mut frame: Encoded, stream: u32, now: Time) -> Result<(), SendError> {
        frame.header.stream = stream;
        self.tap.conceal(frame.payload.as_slice());
        self.tap.conceal_structure(frame.structure.as_slice());
        let tap = &mut self.tap;
        let sent = self.sender.frame(frame, now, &mut |packet| tap.sent(0, Word::Datagram(packet.as_slice()), now));
        match &sent {
            Ok(_) => self.sent += 1,
            Err(_) => self.refused += 1,
        }
        sent.map(drop)
    }

    /// Plays from `from` to `to`, in milliseconds.
    fn play(&mut self, from: u64, to: u64) {
        for t in (from..to).step_by(20) {
            let now = Time::from_ms(t);
            let key = self.sender.edge().take().keyframe;
            let picture = self.camera.next(key, now);
            if self.frame(picture, CAMERA, now).is_err() {
                self.camera.lost();
            }
            let sound = self.microphone.next(now);
            let _ = self.frame(sound, MICROPHONE, now);
            let line = format!("line {t} of a conversation that nobody else may read");
            let _ =
                self.frame(Framing::data(DATA).frame(buffer(line.as_bytes()), EncodedInfo::default(), now), DATA, now);
            let tap = &mut self.tap;
            self.sender.tick(now, &mut |packet| tap.sent(0, Word::Datagram(packet.as_slice()), now));
        }
    }

    fn assert_silent(&self, what: &str) {
        if self.tap.left.is_empty() {
            assert_eq!(self.sent, 0, "{what}");
        } else {
            self.tap.assert_silent(what);
        }
    }
}

#[test]
fn keys_that_fail_at_any_call_let_nothing_out_in_the_clear() {
    let (mut silenced, mut recovered) = (0, 0);
    for fault in FAULTS {
        for (from, many) in (0..18).map(|from| (from, usize::MAX - from)).chain((0..18).map(|from| (from, 2))) {
            let (keeper, ring) = keyring();
            let asked = Arc::new(AtomicUsize::new(0));
            keeper.send(epochs::epoch(1, 0, 2, Time(0)).0, Time(0));
            let mut keys = Failing { keys: ring, fault, from, many, asked };
            keys.turn(Time(0));
            let what = format!("{fault:?}, from call {from} on, {many} times");
            let Ok(mut sender) = Sender::new(config(), Box::new(keys)) else {
                silenced += 1;
                continue;
            };
            sender.prove(epochs::signer(0), Policy::default()).unwrap();
            let mut seat = Seat::new(sender);
            seat.play(0, 200);
            // Other keys come: whoever failed may have some again.
            keeper.send(epochs::epoch(2, 0, 2, Time::from_ms(200)).0, Time::from_ms(200));
            seat.play(200, 400);
            seat.assert_silent(&what);
            if many > 2 {
                let before = seat.sent;
                seat.play(400, 500);
                assert_eq!(seat.sent, before, "{what}: it has no key any more");
                silenced += 1;
            } else {
                recovered += usize::from(seat.refused > 0 && seat.sent > 0);
            }
        }
    }
    assert!(silenced > 60 && recovered > 20, "{silenced} {recovered}");
}

/// A cipher that fails in the middle of its work.
struct Broken<const EXPANDS: bool>;

impl<const EXPANDS: bool> Aead for Broken<EXPANDS> {
    const NAME: &'static str = "broken";

    fn new(_: Suite, _: &[u8]) -> Option<Self> {
        EXPANDS.then_some(Self)
    }

    fn seal(&self, _: &[u8; NONCE], _: &[u8], data: &mut [u8]) -> Result<[u8; TAG], Refused> {
        let half = data.len() / 2;
        data[..half].fill(0xee);
        Err(Refused)
    }

    fn open(&self, _: &[u8; NONCE], _: &[u8], _: &mut [u8], _: &[u8; TAG]) -> Result<(), Refused> {
        Err(Refused)
    }
}

#[test]
fn a_cipher_that_fails_makes_no_sealed_frame() {
    let mut keys = StaticKeys::new(&[7; 32], 0).unwrap();
    let context = Context::of(Kind::Camera);
    assert!(Sealer::<Broken<false>>::on_arm(&mut keys, context).is_err());
    let mut keys = StaticKeys::new(&[7; 32], 0).unwrap();
    let mut sealer = Sealer::<Broken<true>>::on_arm(&mut keys, context).unwrap();
    // There is nothing else that the packetizer takes.
    let picture = Video::open(Kind::Camera, Size { width: 64, height: 64 }, 1).next(true, Time(0));
    assert_eq!(sealer.seal(picture, Time(0)).err(), Some(SealError::Refused));
}

fn seat(role: Role) -> Seat {
    let (keeper, ring) = keyring();
    let mut input = epochs::input(1, 0, 2, Time(0));
    let members = input.roster.iter().map(|member| conclave::e2ee::Member { role, ..member.clone() }).collect();
    input.roster = conclave::e2ee::Roster::new(members);
    keeper.send(input.derive().unwrap().0, Time(0));
    Seat::new(Sender::new(config(), Box::new(ring)).unwrap())
}

#[test]
fn what_cannot_be_sealed_or_cut_is_refused_and_nothing_of_it_leaves() {
    let mut seat = seat(Role::default());
    let mut random = fastrand::Rng::with_seed(4);
    let mut picture = |structure: Option<&[u8]>| {
        let info = EncodedInfo { keyframe: true, ..EncodedInfo::default() };
        let unit = unit(&mut random, LAYOUTS[1], true, 3_000);
        let mut frame =
            Framing::video(0, Kind::Camera, Size { width: 64, height: 64 }).frame(buffer(&unit), info, Time(0));
        if let Some(structure) = structure {
            frame.structure = Structure::new(structure).unwrap();
        }
        frame
    };
    let now = Time(0);
    assert!(matches!(seat.frame(picture(None), 99, now), Err(SendError::Stream(99))));
    assert!(matches!(seat.frame(picture(None), MICROPHONE, now), Err(SendError::Seal(SealError::Context { .. }))));
    for structure in [&[][..], &[0xff; 96], &[0; 3]] {
        assert!(matches!(seat.frame(picture(Some(structure)), CAMERA, now), Err(SendError::Chain(_))), "{structure:?}");
    }
    let mut roomless = picture(None);
    let bytes = roomless.payload.as_slice().to_vec();
    roomless.payload = Buffer::default();
    roomless.payload.tail().extend_from_slice(&bytes);
    assert!(matches!(seat.frame(roomless, CAMERA, now), Err(SendError::Seal(SealError::Room))));
    let mut long = picture(None);
    let block = long.payload.as_slice().to_vec();
    (0..7_000).for_each(|_| long.payload.tail().extend_from_slice(&block));
    long.header.stream = CAMERA;
    let sent = seat.sender.frame(long, now, &mut |_| panic!("too long to be cut, and cut"));
    assert!(matches!(sent, Err(SendError::Packetize(_))), "{:?}", sent.err());
    assert!(seat.tap.left.is_empty());
    seat.play(0, 200);
    assert!(seat.sent > 25, "{}", seat.sent);
    seat.assert_silent("after what was refused");
}

#[test]
fn a_recorder_lets_out_data_alone_and_that_sealed() {
    let mut seat = seat(Role::Recorder);
    seat.play(0, 400);
    assert_eq!((seat.sent, seat.refused), (20, 40));
    seat.assert_silent("a recorder");
}

/// A media key that fails while it is told to.
struct Moody(MediaSigner, Arc<AtomicBool>);

impl Sign for Moody {
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        if self.1.load(Ordering::Relaxed) { Err(SignError) } else { self.0.sign(message) }
    }
}

#[test]
fn a_media_key_that_does_not_sign_lets_frames_out_sealed_and_unproven() {
    let (mut seat, fails) = (seat(Role::default()), Arc::new(AtomicBool::new(true)));
    seat.sender.prove(Moody(epochs::signer(0), fails.clone()), Policy::ProveThenRender).unwrap();
    seat.play(0, 400);
    assert_eq!((seat.sender.stats().proofs, seat.refused), (0, 0));
    fails.store(false, Ordering::Relaxed);
    seat.play(400, 800);
    assert!(seat.sender.stats().proofs > 20);
    seat.assert_silent("a media key that does not sign");
}
