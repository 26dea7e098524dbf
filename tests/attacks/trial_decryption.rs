//! GCM commits to no key, and every member has everybody's: a receiver that tried one key after the other would take a
//! frame for whoever's key happens to open it. Ours takes the key that the id names, and no other.

use std::cell::RefCell;

use conclave::codecs::EncodedInfo;
use conclave::e2ee::aead::{NONCE, Refused, TAG};
use conclave::e2ee::header::Header as Ids;
use conclave::e2ee::{Aead, AwsLc, Context, Opener, Sealer, StaticKeys, Suite};
use conclave::frame::{Arrived, Buffer, Encoded, Header, Kind, Structure};
use conclave::ledger::Ledger;
use conclave::time::Time;

const HEADER: Header =
    Header { stream: 7, kind: Kind::Camera, spatial: 0, temporal: 0, template_id: 0, frame_number: 0 };

/// Key, nonce and additional data of one attempt to open.
type Attempt = (Vec<u8>, [u8; NONCE], Vec<u8>);

thread_local!(static ATTEMPTS: RefCell<Vec<Attempt>> = const { RefCell::new(Vec::new()) });

/// The engine's own cipher, with a note of what it is asked to open.
struct Watched(AwsLc, Vec<u8>);

impl Aead for Watched {
    const NAME: &'static str = "watched";

    fn new(suite: Suite, key: &[u8]) -> Option<Self> {
        Some(Self(AwsLc::new(suite, key)?, key.to_vec()))
    }

    fn seal(&self, nonce: &[u8; NONCE], aad: &[u8], data: &mut [u8]) -> Result<[u8; TAG], Refused> {
        self.0.seal(nonce, aad, data)
    }

    fn open(&self, nonce: &[u8; NONCE], aad: &[u8], data: &mut [u8], tag: &[u8; TAG]) -> Result<(), Refused> {
        ATTEMPTS.with_borrow_mut(|attempts| attempts.push((self.1.clone(), *nonce, aad.to_vec())));
        self.0.open(nonce, aad, data, tag)
    }
}

fn keys(own: u16) -> StaticKeys {
    let mut keys = StaticKeys::new(&[9; 64], own).unwrap();
    (0..3).filter(|leaf| *leaf != own).for_each(|leaf| keys.admit(leaf).unwrap());
    keys
}

fn seal(sealer: &mut Sealer, content: &[u8]) -> Vec<u8> {
    let mut payload = Buffer::with_capacity(content.len());
    payload.tail().extend_from_slice(content);
    let (info, structure, ledger) = (EncodedInfo::default(), Structure::default(), Ledger::default());
    let frame = Encoded { payload, info, header: HEADER, captured: Time(0), structure, ledger };
    sealer.seal(frame, Time(0)).ok().unwrap().as_slice().to_vec()
}

fn opens(opener: &mut Opener<StaticKeys, Watched>, frame: &[u8]) -> bool {
    let mut payload = Buffer::with_capacity(frame.len());
    payload.tail().extend_from_slice(frame);
    let arrived = Arrived { payload, header: HEADER, packets: Default::default(), ledger: Ledger::default() };
    opener.open(arrived, Time(0)).is_ok()
}

#[test]
fn a_frame_that_only_anothers_key_opens_is_not_taken_for_the_named_senders() {
    let context = Context::of(Kind::Camera);
    let mut sealers = [1, 2].map(|leaf| Sealer::new(&mut keys(leaf), context).unwrap());
    let mut opener: Opener<StaticKeys, Watched> = Opener::on_arm(keys(0));
    // The receiver has both keys at hand, and they are known.
    let known: Vec<Attempt> = sealers
        .iter_mut()
        .map(|sealer| {
            assert!(opens(&mut opener, &seal(sealer, b"genuine")));
            ATTEMPTS.with_borrow(|attempts| attempts.last().cloned().unwrap())
        })
        .collect();
    let [(named, ..), (other, nonce, _)] = &known[..] else { panic!("two") };

    // A frame of the first sender, and what is in it.
    let genuine = seal(&mut sealers[0], b"genuine");
    let (ids, head) = Ids::read(&genuine).unwrap();
    assert_eq!(ids.counter, 1);
    let mut reader: Opener<StaticKeys, Watched> = Opener::on_arm(keys(0));
    assert!(opens(&mut reader, &genuine));
    let (_, first, aad) = ATTEMPTS.with_borrow(|attempts| attempts.last().cloned().unwrap());
    let (mut content, tag) = (genuine[head..genuine.len() - TAG].to_vec(), genuine[genuine.len() - TAG..].try_into());
    let cipher = |key: &[u8]| AwsLc::new(Suite::Aes256GcmSha512, key).unwrap();
    cipher(named).open(&first, &aad, &mut content, &tag.unwrap()).unwrap();

    // The same under the name of the first and the key of the second, whose nonces differ by the counter alone.
    let mut nonce = *nonce;
    nonce[NONCE - 1] ^= 1;
    let tag = cipher(other).seal(&nonce, &aad, &mut content).unwrap();
    let forged = [&genuine[..head], &content, &tag].concat();
    let before = ATTEMPTS.with_borrow(Vec::len);
    assert!(!opens(&mut opener, &forged), "taken for the first sender's");
    let tried =
        ATTEMPTS.with_borrow(|attempts| attempts[before..].iter().map(|(key, ..)| key.clone()).collect::<Vec<_>>());
    assert_eq!(tried, [named.clone()], "the named key, once, and no other");
    assert!(opens(&mut opener, &genuine));
}
