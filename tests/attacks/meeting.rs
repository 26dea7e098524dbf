//! A victim that seals and proves, a forger that has the group's keys, and a receiver.

use std::sync::Arc;

use conclave::codecs::EncodedInfo;
use conclave::e2ee::proof::{Policy, Prover, Why};
use conclave::e2ee::{Context, Epoch, EpochInput, Keyring, MediaSecret, Opener, Sealer, keyring};
use conclave::frame::{Arrived, Buffer, Encoded, Header, Kind, Sealed, Structure};
use conclave::ledger::Ledger;
use conclave::time::Time;

use crate::epochs;

pub const VICTIM: u16 = 1;
const HEADER: Header =
    Header { stream: 7, kind: Kind::Camera, spatial: 0, temporal: 0, template_id: 0, frame_number: 0 };

pub fn ms(ms: u64) -> Time {
    Time::from_ms(ms)
}

/// Epoch 1 as the member on `own` has it. Every member can make every other member's.
pub fn input(own: u16, secret: u8) -> EpochInput {
    EpochInput { secret: MediaSecret::new(&[secret; 48]).unwrap(), ..epochs::input(1, own, 3, Time(0)) }
}

/// Whoever seals in the victim's name: the victim, and the forger.
pub struct Sender {
    pub epoch: Arc<Epoch>,
    camera: Sealer,
    data: Sealer,
    pub prover: Prover,
}

impl Sender {
    /// The victim.
    pub fn victim() -> Self {
        Self::new(input(VICTIM, 9), VICTIM)
    }

    /// A member on leaf 2 with the victim's keys and its own signature.
    pub fn forger() -> Self {
        Self::new(input(VICTIM, 9), 2)
    }

    fn new(input: EpochInput, signer: u16) -> Self {
        let (keys, _) = input.derive().unwrap();
        let epoch = keys.epoch().clone();
        let (keeper, mut ring) = keyring();
        keeper.send(keys, Time(0));
        conclave::e2ee::KeySource::turn(&mut ring, Time(0));
        let sealer = |ring: &mut Keyring, kind| Sealer::new(ring, Context::of(kind)).unwrap().with_proofs();
        let (camera, data) = (sealer(&mut ring, Kind::Camera), sealer(&mut ring, Kind::Data));
        let signer = epochs::signer(signer);
        Self { epoch, camera, data, prover: Prover::new(signer, Policy::default()) }
    }

    /// The next camera frame, noted to be proven.
    pub fn camera(&mut self, content: &[u8], now: Time) -> Vec<u8> {
        self.camera_of(content, now, now)
    }

    /// The same, of a picture that says to be `captured` then.
    pub fn camera_of(&mut self, content: &[u8], captured: Time, now: Time) -> Vec<u8> {
        let sealed = seal(&mut self.camera, HEADER, (content, captured), now);
        self.prover.sealed(&self.epoch, sealed.to_prove().unwrap(), now);
        sealed.as_slice().to_vec()
    }

    /// What was not proven yet, as a frame of data.
    pub fn proof(&mut self, now: Time) -> Vec<u8> {
        let proof = self.prover.flush(now).unwrap();
        let header = Header { stream: 8, kind: Kind::Data, ..HEADER };
        seal(&mut self.data, header, (proof, now), now).as_slice().to_vec()
    }
}

fn seal(sealer: &mut Sealer, header: Header, (content, captured): (&[u8], Time), now: Time) -> Sealed {
    let mut payload = Buffer::with_capacity(content.len());
    payload.tail().extend_from_slice(content);
    let (info, structure, ledger) = (EncodedInfo::default(), Structure::default(), Ledger::default());
    sealer.seal(Encoded { payload, info, header, captured, structure, ledger }, now).ok().unwrap()
}

/// The member on leaf 0.
pub struct Receiver(pub Opener<Keyring>);

impl Receiver {
    pub fn new() -> Self {
        let (keeper, ring) = keyring();
        keeper.open(input(0, 9).derive().unwrap().1);
        Self(Opener::new(ring).with_proofs(Policy::RenderThenProve))
    }

    /// A camera frame comes; what is shown of it at once.
    pub fn camera(&mut self, frame: &[u8], now: Time) -> Option<Vec<u8>> {
        self.arrive(frame, HEADER, now)
    }

    /// A proof comes; what is shown thanks to it.
    pub fn proof(&mut self, frame: &[u8], now: Time) -> Vec<Vec<u8>> {
        let header = Header { stream: 8, kind: Kind::Data, ..HEADER };
        assert!(self.arrive(frame, header, now).is_none(), "a proof is no data");
        self.released(now)
    }

    pub fn released(&mut self, now: Time) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.0.released(now)).map(|opened| opened.payload.as_slice().to_vec()).collect()
    }

    pub fn whys(&mut self) -> Vec<Why> {
        let events = std::iter::from_fn(|| self.0.proof_event());
        events.inspect(|event| assert_eq!(event.leaf, VICTIM)).map(|event| event.why).collect()
    }

    fn arrive(&mut self, frame: &[u8], header: Header, now: Time) -> Option<Vec<u8>> {
        let mut payload = Buffer::with_capacity(frame.len());
        payload.tail().extend_from_slice(frame);
        let arrived = Arrived { payload, header, packets: Default::default(), ledger: Ledger::default() };
        self.0.open(arrived, now).ok().map(|opened| opened.payload.as_slice().to_vec())
    }
}
