//! SFrame against the vectors of RFC 9605, through the public seal and open functions.

use std::path::PathBuf;

use conclave::e2ee::header::{Header, MAX_LEN};
use conclave::e2ee::sframe::{COUNTER_LIMIT, Opener, Sealer};
use conclave::e2ee::{Aead, AesGcm, AwsLc, BaseKey, OpenKey, SealKey, Suite};
use conclave::frame::Buffer;
use sframe::CipherSuite;
use sframe::frame::{MediaFrame, MonotonicCounter};
use sframe::key::EncryptionKey;

/// One sealed frame of the standard.
struct Vector {
    suite: Suite,
    key_id: u64,
    counter: u64,
    base_key: Vec<u8>,
    metadata: Vec<u8>,
    plain: Vec<u8>,
    sealed: Vec<u8>,
}

#[test]
fn the_frames_of_the_standard_seal_and_open() {
    // RFC 9605, appendix C.3.
    let sealed = [
        (
            Suite::Aes128GcmSha256,
            "9901234567b7412c2513a1b66dbb48841bbaf17f598751176ad847681a69c6d0b091c07018ce4adb34eb",
        ),
        (
            Suite::Aes256GcmSha512,
            "990123456794f509d36e9beacb0e261d99c7d1e972f1fed787d4049f17ca21353c1cc24d56ceabced279",
        ),
    ];
    for (suite, sealed) in sealed {
        check(&Vector {
            suite,
            key_id: 0x123,
            counter: 0x4567,
            base_key: hex("000102030405060708090a0b0c0d0e0f"),
            metadata: b"IETF SFrame WG".to_vec(),
            plain: b"draft-ietf-sframe-enc".to_vec(),
            sealed: hex(sealed),
        });
    }
}

#[test]
fn every_published_frame_of_suites_4_and_5_seals_and_opens() {
    let mut frames = 0;
    for file in ["test-vectors.json", "test-vectors-rfc9605-025d568.json"] {
        let Some(vectors) = shared(file) else { return };
        for vector in vectors["sframe"].as_array().unwrap() {
            let suite = match vector["cipher_suite"].as_u64().unwrap() {
                4 => Suite::Aes128GcmSha256,
                5 => Suite::Aes256GcmSha512,
                _ => continue,
            };
            let bytes = |name: &str| hex(vector[name].as_str().unwrap());
            check(&Vector {
                suite,
                key_id: vector["kid"].as_u64().unwrap(),
                counter: vector["ctr"].as_u64().unwrap(),
                base_key: bytes("base_key"),
                metadata: bytes("metadata"),
                plain: bytes("pt"),
                sealed: bytes("ct"),
            });
            frames += 1;
        }
    }
    assert_eq!(frames, 4);
}

#[test]
fn every_published_header_is_written_read_sealed_and_opened() {
    let few = [(0, 0, "00"), (0, 8, "0808"), (7, 7, "77"), (8, 0x100, "89080100"), (u64::MAX, u64::MAX, MAX)];
    for (key_id, counter, encoded) in few {
        check_header(key_id, counter, &hex(encoded));
    }
    for file in ["test-vectors.json", "test-vectors-rfc9605-025d568.json"] {
        let Some(vectors) = shared(file) else { return };
        let headers = vectors["header"].as_array().unwrap();
        assert_eq!(headers.len(), 289);
        for vector in headers {
            let number = |name: &str| vector[name].as_u64().unwrap();
            check_header(number("kid"), number("ctr"), &hex(vector["encoded"].as_str().unwrap()));
        }
    }
}

#[test]
fn frames_of_the_independent_oracle_are_reproduced() {
    // `vectors/conclave/values.txt`: a ratchet step, and a whole record.
    let base_key = hex("ede99c82bd7785c6625581efb35a2f1baad5d86c0071fda61fd10bd51a0f97d0\
                        8c268a9a522ce287b87f20d57f54ddd326349b2003178b06ea691d43c4012503");
    let records = [
        ("6d657461", "6672616d65", "a948031503e853882ec66f12e25c4898d6c5f80444f5dc6159da54"),
        (
            "434d3100000007010002051234",
            "00060a24181e4000000280010000000d74656d706f72616c20756e6974\
             00000000000000000000000000000000000000",
            "a948031503e835fc458f127c9c5b27872442d1e34f9983c9220815622102a88cc0734142\
             5c5561aab12124e72df8db892ec310d28d80e4cf380ea8747f6f835c484157ba30ad",
        ),
    ];
    for (metadata, plain, sealed) in records {
        check(&Vector {
            suite: Suite::Aes256GcmSha512,
            key_id: 0x0048_0315,
            counter: 1000,
            base_key: base_key.clone(),
            metadata: hex(metadata),
            plain: hex(plain),
            sealed: hex(sealed),
        });
    }
}

const MAX: &str = "ffffffffffffffffffffffffffffffffff";

/// Both arms seal to the published bytes and open them, and nothing else opens.
fn check(vector: &Vector) {
    check_on::<AwsLc>(vector);
    check_on::<AesGcm>(vector);
}

fn check_on<A: Aead>(vector: &Vector) {
    let base = BaseKey::new(&vector.base_key).unwrap();
    let key = SealKey::<A>::derive(vector.suite, vector.key_id, &base).unwrap();
    let mut sealer = Sealer::starting_at(key, vector.counter);
    let mut buffer = buffer(&vector.plain);
    assert_eq!(sealer.seal(&vector.metadata, &mut buffer), Ok(vector.counter));
    assert_eq!(buffer.as_slice(), vector.sealed, "{} {:?}", A::NAME, vector.suite);

    let opener = || Opener::new(OpenKey::<A>::derive(vector.suite, vector.key_id, &base).unwrap());
    let header = opener().open(&vector.metadata, &mut buffer).unwrap();
    assert_eq!(header, Header { key_id: vector.key_id, counter: vector.counter });
    assert_eq!(buffer.as_slice(), vector.plain);

    for metadata in [&vector.metadata[1..], b""] {
        let mut buffer = self::buffer(&vector.sealed);
        assert!(opener().open(metadata, &mut buffer).is_err());
        assert!(buffer.as_slice().iter().all(|byte| *byte == 0));
    }
}

/// The bytes are written and read, and a frame with this key id and counter begins with them.
fn check_header(key_id: u64, counter: u64, encoded: &[u8]) {
    let header = Header { key_id, counter };
    let mut bytes = [0; MAX_LEN];
    let len = header.write(&mut bytes);
    assert_eq!(&bytes[..len], encoded);
    assert_eq!(Header::read(encoded), Some((header, len)));
    for cut in 0..len {
        assert_eq!(Header::read(&encoded[..cut]), None);
    }

    let base = BaseKey::new(&[9; 64]).unwrap();
    let suite = Suite::Aes256GcmSha512;
    let mut sealer = Sealer::<AwsLc>::starting_at(SealKey::derive(suite, key_id, &base).unwrap(), counter);
    let mut buffer = buffer(b"frame");
    if counter >= COUNTER_LIMIT {
        // We never seal so far up; another client may, and is opened.
        assert!(sealer.seal(b"meta", &mut buffer).is_err());
        let peer = EncryptionKey::derive_from(CipherSuite::AesGcm256Sha512, key_id, [9; 64]).unwrap();
        let mut count = MonotonicCounter::with_start_value(counter, u64::MAX);
        let frame = MediaFrame::try_with_meta_data(&mut count, b"frame", b"meta").unwrap().encrypt(&peer).unwrap();
        buffer = self::buffer(frame.sframe_cipher_text());
    } else {
        sealer.seal(b"meta", &mut buffer).unwrap();
    }
    assert_eq!(buffer.as_slice()[..len], *encoded);
    let mut opener = Opener::<AesGcm>::new(OpenKey::derive(suite, key_id, &base).unwrap());
    assert_eq!(opener.open(b"meta", &mut buffer), Ok(header));
    assert_eq!(buffer.as_slice(), b"frame");
}

fn buffer(bytes: &[u8]) -> Buffer {
    let mut buffer = Buffer::with_capacity(bytes.len());
    buffer.tail().extend_from_slice(bytes);
    buffer
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// A vector file of the shared directory.
fn shared(name: &str) -> Option<serde_json::Value> {
    let root = std::env::var_os("CONCLAVE_SHARED").map(PathBuf::from);
    let root = root.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"));
    let path = root.join("vectors/sframe").join(name);
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("skipped: no vectors/sframe/{name} in the shared directory");
        return None;
    };
    Some(serde_json::from_str(&text).unwrap())
}
