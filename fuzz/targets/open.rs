//! The door for frames, with keys in force: whatever arrives in whatever order, of one sender nothing but what it sealed
//! comes out, each frame once, and what is refused is wiped. Another sender is hostile and seals what the input says.

#![no_main]

#[path = "../../tests/support/epochs.rs"]
mod epochs;

use std::collections::BTreeSet;

use conclave::e2ee::proof::{Policy, Prover};
use conclave::e2ee::record::metadata;
use conclave::e2ee::{Context, KeyId, KeySource, Opener, SealKey, Sealer, Suite, keyring, sframe};
use conclave::frame::{Header, Kind, Opened};
use conclave::time::Time;
use libfuzzer_sys::fuzz_target;

const KINDS: [Kind; 5] = [Kind::Microphone, Kind::Camera, Kind::Screen, Kind::ScreenAudio, Kind::Data];

/// The honest member, the hostile one, and when the second epoch begins.
const HONEST: u16 = 1;
const HOSTILE: u16 = 2;
const SECOND: Time = Time::from_ms(7000);

/// A frame of the honest member.
struct Genuine {
    header: Header,
    sealed: Vec<u8>,
    payload: Vec<u8>,
}

thread_local!(static GENUINE: Vec<Genuine> = speech());

/// Twelve seconds of frames with their proofs, through three steps of one epoch and into the next.
fn speech() -> Vec<Genuine> {
    let (keeper, mut ring) = keyring();
    keeper.send(epochs::epoch(1, HONEST, 3, Time(0)).0, Time(0));
    keeper.send(epochs::epoch(2, HONEST, 3, SECOND).0, SECOND);
    ring.turn(Time(0));
    let mut sealers = KINDS.map(|kind| Sealer::new(&mut ring, Context::of(kind)).expect("a key").with_proofs());
    let mut prover = Prover::new(epochs::signer(HONEST), Policy::default());
    let mut speech = Vec::new();
    for n in 0..60u16 {
        let now = Time::from_ms(u64::from(n) * 200);
        if ring.turn(now) {
            for sealer in &mut sealers {
                sealer.renew(&mut ring).expect("a key");
            }
        }
        let epoch = ring.sealing().expect("an epoch").clone();
        let mut seal = |kind: usize, payload: &[u8], prover: &mut Prover| {
            let header = epochs::header(KINDS[kind], n);
            let sealed = sealers[kind].seal(epochs::encoded(header, payload), now).expect("sealed");
            prover.sealed(&epoch, sealed.to_prove().expect("proves"), now);
            speech.push(Genuine { header, sealed: sealed.as_slice().to_vec(), payload: payload.to_vec() });
        };
        seal(usize::from(n % 5), &vec![n as u8; usize::from(n) * 3], &mut prover);
        if let Some(proof) = prover.due(now).map(<[u8]>::to_vec) {
            seal(4, &proof, &mut prover);
        }
    }
    speech
}

fuzz_target!(|data: &[u8]| GENUINE.with(|speech| meet(speech, data)));

fn meet(speech: &[Genuine], data: &[u8]) {
    let Some((policy, mut rest)) = data.split_first() else { return };
    let (keeper, ring) = keyring();
    let (_, first) = epochs::epoch(1, 0, 3, Time(0));
    let (_, theirs) = epochs::epoch(1, 0, 3, Time(0));
    let mut second = Some(epochs::epoch(2, 0, 3, SECOND).1);
    keeper.open(first);
    let mut opener = Opener::new(ring);
    match policy % 3 {
        0 => {}
        1 => opener = opener.with_proofs(Policy::RenderThenProve),
        _ => opener = opener.with_proofs(Policy::ProveThenRender),
    }
    let (mut shown, mut now) = (BTreeSet::new(), Time(0));
    let mut show = |opened: Opened| {
        if KeyId::unpack(opened.key_id).leaf == HOSTILE {
            return;
        }
        let same = |one: &Genuine| opened.payload.as_slice() == one.payload && opened.header == one.header;
        assert!(speech.iter().any(same), "nothing but what was sealed comes out");
        assert!(shown.insert((opened.key_id & 0x1f_ffff, opened.counter)), "no frame comes out twice");
    };
    // What each does stands in its first byte.
    while let Some(([what, which, at, more], after)) = rest.split_first_chunk::<4>() {
        rest = after;
        let genuine = &speech[usize::from(*which) % speech.len()];
        let (mut header, mut bytes) = (genuine.header, genuine.sealed.clone());
        match what {
            0..100 => {}
            100..150 => {
                let place = usize::from(*at) * bytes.len() / 256;
                bytes[place] ^= more;
            }
            150..160 => bytes.truncate((*at).into()),
            160..180 => match at % 6 {
                0 => header.stream ^= u32::from(*more),
                1 => header.kind = KINDS[usize::from(more % 5)],
                2 => header.spatial ^= more,
                3 => header.temporal ^= more,
                4 => header.template_id ^= more,
                _ => header.frame_number ^= u16::from(*more),
            },
            180..200 => {
                let (raw, after) = rest.split_at(rest.len().min((*more).into()));
                (bytes, rest) = (raw.to_vec(), after);
            }
            200..225 => {
                let (raw, after) = rest.split_at(rest.len().min((*more).into()));
                rest = after;
                let context = Context::of(header.kind);
                let id = KeyId { step: u64::from(at >> 6), context, leaf: HOSTILE, epoch: 1 };
                let (Some(base), Some(packed)) = (theirs.key(id, now), id.pack()) else { continue };
                let key = SealKey::derive(Suite::Aes256GcmSha512, packed, &base).expect("a key");
                let mut buffer = epochs::buffer(raw);
                let sealed = sframe::Sealer::<conclave::e2ee::AwsLc>::starting_at(key, (at & 63).into());
                { sealed }.seal(&metadata(&header), &mut buffer).expect("sealed");
                bytes = buffer.as_slice().to_vec();
            }
            225..245 => {
                now = now.plus(u64::from(*at) * 10_000);
                continue;
            }
            _ => {
                if let (true, Some(keys)) = (*what > 250, second.take_if(|_| *what > 250)) {
                    keeper.open(keys);
                }
                while let Some(opened) = opener.released(now) {
                    show(opened);
                }
                continue;
            }
        }
        match opener.open(epochs::arrived(header, &bytes), now) {
            Ok(opened) => show(opened),
            Err(rejected) => assert!(rejected.payload.as_slice().iter().all(|byte| *byte == 0)),
        }
    }
    let seen = opener.stats();
    let known = seen.opened + seen.malformed + seen.missing_key + seen.replayed + seen.too_old + seen.tampered;
    let rest = seen.waiting + seen.proofs + seen.forged + seen.awaited + seen.receive_only;
    assert_eq!(seen.arrived, known + rest);
}
