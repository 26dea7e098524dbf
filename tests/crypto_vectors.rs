//! The primitives under the group and the key schedule, as this workspace configures them, against published vectors.

#[path = "support/epochs.rs"]
mod epochs;

use std::path::PathBuf;

use aws_lc_rs::{agreement, hkdf, signature};
use conclave::e2ee::{Context, EpochInput, KeyId, MediaSecret};
use conclave::e2ee::{Keyring, OpenKey, Opener, SealKey, Suite, keyring, sframe};
use conclave::frame::{Arrived, Buffer, Header, Kind, Packets};
use conclave::ledger::Ledger;
use conclave::time::Time;
use ml_kem::{Decapsulate as _, DecapsulationKey768, KeyExport as _, Seed};
use openmls_rust_crypto::RustCrypto;
use openmls_traits::crypto::OpenMlsCrypto;
use openmls_traits::types::{Ciphersuite, HashType, HpkeCiphertext, SignatureScheme};
use serde_json::Value;

/// A file of the shared directory; `None`, said in words, where it is absent.
fn read(name: &str) -> Option<String> {
    let root = std::env::var_os("CONCLAVE_SHARED").map(PathBuf::from);
    let root = root.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"));
    let text = std::fs::read_to_string(root.join("vectors").join(name)).ok();
    if text.is_none() {
        println!("skipped: no vectors/{name} in the shared directory");
    }
    text
}

fn json(name: &str) -> Option<Value> {
    Some(serde_json::from_str(&read(name)?).unwrap())
}

/// The tests of a Wycheproof file, each with its group.
fn cases(file: &Value) -> impl Iterator<Item = (&Value, &Value)> {
    let groups = file["testGroups"].as_array().unwrap().iter();
    groups.flat_map(|group| group["tests"].as_array().unwrap().iter().map(move |test| (group, test)))
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex(value.as_str().unwrap())
}

struct Len(usize);

impl hkdf::KeyType for Len {
    fn len(&self) -> usize {
        self.0
    }
}

/// Whether HMAC-based derivation of AWS-LC and of the MLS provider agree; the output, where there is one.
fn derive(hash: HashType, salt: &[u8], ikm: &[u8], info: &[u8], len: usize) -> Option<Vec<u8>> {
    let algorithm = match hash {
        HashType::Sha2_256 => hkdf::HKDF_SHA256,
        HashType::Sha2_384 => hkdf::HKDF_SHA384,
        HashType::Sha2_512 => hkdf::HKDF_SHA512,
    };
    let mut ours = vec![0; len];
    let prk = hkdf::Salt::new(algorithm, salt).extract(ikm);
    let filled = prk.expand(&[info], Len(len)).and_then(|okm| okm.fill(&mut ours));
    let crypto = RustCrypto::default();
    let prk = crypto.hkdf_extract(hash, salt, ikm).unwrap();
    let theirs = crypto.hkdf_expand(hash, prk.as_slice(), info, len).ok();
    let ours = filled.ok().map(|()| ours);
    assert_eq!(ours.as_deref(), theirs.as_ref().map(|okm| okm.as_slice()));
    ours
}

#[test]
fn hkdf_of_both_libraries_passes_every_vector_and_they_agree_with_sha_384() {
    for (name, hash, count) in [("sha256", HashType::Sha2_256, 86), ("sha512", HashType::Sha2_512, 83)] {
        let Some(file) = json(&format!("wycheproof/hkdf_{name}_test.json")) else { return };
        let mut checked = 0;
        for (_, test) in cases(&file) {
            let len = test["size"].as_u64().unwrap() as usize;
            let (salt, ikm, info) = (bytes(&test["salt"]), bytes(&test["ikm"]), bytes(&test["info"]));
            let expected = (test["result"] == "valid").then(|| bytes(&test["okm"]));
            assert_eq!(derive(hash, &salt, &ikm, &info, len), expected, "{name} {}", test["tcId"]);
            // No file has SHA-384, the hash of the hybrid suite: there the two libraries judge each other.
            derive(HashType::Sha2_384, &salt, &ikm, &info, len.min(255 * 48));
            checked += 1;
        }
        assert_eq!(checked, count, "{name}");
        println!("hkdf {name}: {checked}");
    }
}

/// What AWS-LC and the MLS provider say of a signature.
fn verify(key: &[u8], message: &[u8], signed: &[u8]) -> (bool, bool) {
    let ours = signature::UnparsedPublicKey::new(&signature::ED25519, key).verify(message, signed).is_ok();
    let theirs = RustCrypto::default().verify_signature(SignatureScheme::ED25519, message, key, signed).is_ok();
    (ours, theirs)
}

#[test]
fn ed25519_of_both_libraries_passes_every_vector() {
    let Some(file) = json("wycheproof/ed25519_test.json") else { return };
    let mut checked = 0;
    for (group, test) in cases(&file) {
        let valid = test["result"] == "valid";
        let said = verify(&bytes(&group["publicKey"]["pk"]), &bytes(&test["msg"]), &bytes(&test["sig"]));
        assert_eq!(said, (valid, valid), "{}", test["tcId"]);
        checked += 1;
    }
    assert_eq!(checked, 151);
}

#[test]
fn the_provider_refuses_the_low_order_points_that_aws_lc_takes_and_they_differ_in_nothing_else() {
    let Some(file) = json("cctv/ed25519vectors.json") else { return };
    let vectors = file.as_array().unwrap();
    let (mut by_aws_lc, mut by_provider) = (0, 0);
    for vector in vectors {
        let message = vector["msg"].as_str().unwrap().as_bytes();
        let (ours, theirs) = verify(&bytes(&vector["key"]), message, &bytes(&vector["sig"]));
        let has = |name: &str| vector["flags"].as_array().is_some_and(|flags| flags.iter().any(|flag| flag == name));
        let low_order = has("low_order_A") || has("low_order_R");
        assert_eq!(theirs, ours && !low_order, "{} {}", vector["number"], vector["flags"]);
        // Without cofactor: what holds only up to a small subgroup is refused by both.
        assert!(!(ours && (has("low_order_residue") || has("non_canonical_R"))), "{}", vector["number"]);
        by_aws_lc += u32::from(ours);
        by_provider += u32::from(theirs);
    }
    assert_eq!(vectors.len(), 914);
    println!("cctv ed25519: of 914 AWS-LC takes {by_aws_lc}, the provider {by_provider}");
}

#[test]
fn x25519_agrees_with_every_vector_and_refuses_a_zero_secret() {
    let Some(file) = json("wycheproof/x25519_test.json") else { return };
    let mut checked = 0;
    for (_, test) in cases(&file) {
        let expected = bytes(&test["shared"]);
        let private = agreement::PrivateKey::from_private_key(&agreement::X25519, &bytes(&test["private"])).unwrap();
        let public = agreement::UnparsedPublicKey::new(&agreement::X25519, bytes(&test["public"]));
        let shared = agreement::agree(&private, &public, (), |shared| Ok(shared.to_vec()));
        let zero = expected.iter().all(|byte| *byte == 0);
        assert_eq!(shared, if zero { Err(()) } else { Ok(expected) }, "{}", test["tcId"]);
        checked += 1;
    }
    assert_eq!(checked, 518);
}

#[test]
fn ml_kem_768_passes_every_vector() {
    let Some(file) = json("wycheproof/mlkem_768_test.json") else { return };
    let (mut valid, mut refused) = (0, 0);
    for (_, test) in cases(&file) {
        let Ok(seed) = Seed::try_from(&bytes(&test["seed"])[..]) else {
            assert_eq!(test["result"], "invalid");
            refused += 1;
            continue;
        };
        let key = DecapsulationKey768::from_seed(seed);
        let ciphertext = bytes(&test["c"]);
        match ml_kem::ml_kem_768::Ciphertext::try_from(&ciphertext[..]) {
            Ok(ciphertext) if test["result"] == "valid" => {
                assert_eq!(key.encapsulation_key().to_bytes()[..], bytes(&test["ek"]), "{}", test["tcId"]);
                assert_eq!(key.decapsulate(&ciphertext)[..], bytes(&test["K"]), "{}", test["tcId"]);
                valid += 1;
            }
            Ok(_) => panic!("{} has the right lengths and is called invalid", test["tcId"]),
            Err(_) => {
                assert_eq!(test["result"], "invalid", "{}", test["tcId"]);
                refused += 1;
            }
        }
    }
    assert_eq!((valid, refused), (153, 40));
}

#[test]
fn ml_kem_768_makes_the_keys_of_the_standard() {
    let Some(file) = json("wycheproof/mlkem_768_keygen_seed_test.json") else { return };
    let mut checked = 0;
    for (_, test) in cases(&file) {
        let key = DecapsulationKey768::from_seed(Seed::try_from(&bytes(&test["seed"])[..]).unwrap());
        assert_eq!(key.encapsulation_key().to_bytes()[..], bytes(&test["ek"]));
        checked += 1;
    }
    let (Some(prompt), Some(expected)) =
        (json("mlkem/acvp-keygen-prompt.json"), json("mlkem/acvp-keygen-expectedResults.json"))
    else {
        return;
    };
    for ((group, test), (_, result)) in cases(&prompt).zip(cases(&expected)) {
        if group["parameterSet"] != "ML-KEM-768" {
            continue;
        }
        assert_eq!(test["tcId"], result["tcId"]);
        let seed = [bytes(&test["d"]), bytes(&test["z"])].concat();
        let key = DecapsulationKey768::from_seed(Seed::try_from(&seed[..]).unwrap());
        assert_eq!(key.encapsulation_key().to_bytes()[..], bytes(&result["ek"]));
        checked += 1;
    }
    assert_eq!(checked, 125);
}

#[test]
fn x_wing_passes_the_vectors_of_its_draft() {
    use x_wing::KeyExport as _;
    let Some(file) = json("xwing/test-vectors.json") else { return };
    let vectors = file.as_array().unwrap();
    for vector in vectors {
        let secret: [u8; 32] = bytes(&vector["sk"]).try_into().unwrap();
        let key = x_wing::DecapsulationKey::from(secret);
        let public = x_wing::Decapsulator::encapsulation_key(&key).clone();
        assert_eq!(public.to_bytes()[..], bytes(&vector["pk"]));
        let randomness: [u8; 64] = bytes(&vector["eseed"]).try_into().unwrap();
        let (ciphertext, shared) = public.encapsulate_deterministic(&randomness.into());
        assert_eq!(ciphertext[..], bytes(&vector["ct"]));
        assert_eq!(shared[..], bytes(&vector["ss"]));
        assert_eq!(x_wing::Decapsulate::decapsulate(&key, &ciphertext)[..], bytes(&vector["ss"]));
    }
    assert_eq!(vectors.len(), 3);
}

#[test]
fn hpke_of_the_provider_opens_the_vectors_of_mls() {
    let Some(file) = json("mls/crypto-basics.json") else { return };
    let (crypto, mut checked) = (RustCrypto::default(), 0);
    for vector in file.as_array().unwrap() {
        let suite = Ciphersuite::try_from(vector["cipher_suite"].as_u64().unwrap() as u16);
        let Some(suite) = suite.ok().filter(|suite| crypto.supports(*suite).is_ok()) else { continue };
        let vector = &vector["encrypt_with_label"];
        // RFC 9420 §5.1.3: EncryptContext is the label and the context, each behind its length.
        let label = format!("MLS 1.0 {}", vector["label"].as_str().unwrap());
        let info = [vl(label.as_bytes()), vl(&bytes(&vector["context"]))].concat();
        let input = HpkeCiphertext {
            kem_output: bytes(&vector["kem_output"]).into(),
            ciphertext: bytes(&vector["ciphertext"]).into(),
        };
        let opened = crypto.hpke_open(suite.hpke_config(), &input, &bytes(&vector["priv"]), &info, b"");
        assert_eq!(opened.unwrap(), bytes(&vector["plaintext"]), "{suite:?}");
        checked += 1;
    }
    assert_eq!(checked, 3);
}

#[test]
fn hpke_of_the_hybrid_suite_opens_only_what_it_sealed() {
    let crypto = RustCrypto::default();
    let config = Ciphersuite::MLS_128_MLKEM768X25519_AES256GCM_SHA384_Ed25519.hpke_config();
    let config = || openmls_traits::types::HpkeConfig(config.0, config.1, config.2);
    let keys = crypto.derive_hpke_keypair(config(), &[5; 32]).unwrap();
    assert_eq!(keys.public.len(), 1216, "an X-Wing key");
    let sealed = crypto.hpke_seal(config(), &keys.public, b"info", b"aad", b"text").unwrap();
    assert_eq!(crypto.hpke_open(config(), &sealed, &keys.private, b"info", b"aad").unwrap(), b"text");
    assert!(crypto.hpke_open(config(), &sealed, &keys.private, b"info", b"other").is_err());
    let other = crypto.derive_hpke_keypair(config(), &[6; 32]).unwrap();
    assert!(crypto.hpke_open(config(), &sealed, &other.private, b"info", b"aad").is_err());
}

/// A vector of the TLS presentation language of MLS: a length of variable size (RFC 9420 §2.1.2), below 16384 here.
fn vl(bytes: &[u8]) -> Vec<u8> {
    let len = bytes.len();
    assert!(len < 1 << 14);
    let prefix = if len < 64 { vec![len as u8] } else { vec![0x40 | (len >> 8) as u8, len as u8] };
    [prefix, bytes.to_vec()].concat()
}

/// ExpandWithLabel of RFC 9420 §8. The library keeps its key schedule to itself, so the formulas stand here again and
/// its HKDF works them out.
fn expand(hash: HashType, secret: &[u8], label: &str, context: &[u8], len: usize) -> Vec<u8> {
    let label = format!("MLS 1.0 {label}");
    let info = [&(len as u16).to_be_bytes()[..], &vl(label.as_bytes()), &vl(context)].concat();
    RustCrypto::default().hkdf_expand(hash, secret, &info, len).unwrap().as_slice().to_vec()
}

#[test]
fn the_key_schedule_of_mls_follows_its_vectors_to_the_exporter() {
    let Some(file) = json("mls/key-schedule.json") else { return };
    let (crypto, mut epochs) = (RustCrypto::default(), 0);
    for group in file.as_array().unwrap() {
        let (hash, len) = match group["cipher_suite"].as_u64() {
            Some(1..=3) => (HashType::Sha2_256, 32),
            Some(7) => (HashType::Sha2_384, 48),
            _ => (HashType::Sha2_512, 64),
        };
        let mut init = bytes(&group["initial_init_secret"]);
        for epoch in group["epochs"].as_array().unwrap() {
            let value = |name: &str| bytes(&epoch[name]);
            let extract = |salt: &[u8], ikm: &[u8]| crypto.hkdf_extract(hash, salt, ikm).unwrap().as_slice().to_vec();
            let context = value("group_context");
            let joiner = expand(hash, &extract(&init, &value("commit_secret")), "joiner", &context, len);
            assert_eq!(joiner, value("joiner_secret"));
            let member = extract(&joiner, &value("psk_secret"));
            assert_eq!(expand(hash, &member, "welcome", b"", len), value("welcome_secret"));
            let secret = expand(hash, &member, "epoch", &context, len);
            for (label, name) in [
                ("sender data", "sender_data_secret"),
                ("encryption", "encryption_secret"),
                ("exporter", "exporter_secret"),
                ("external", "external_secret"),
                ("confirm", "confirmation_key"),
                ("membership", "membership_key"),
                ("resumption", "resumption_psk"),
                ("authentication", "epoch_authenticator"),
                ("init", "init_secret"),
            ] {
                assert_eq!(expand(hash, &secret, label, b"", len), value(name), "{name}");
            }
            let exporter = &epoch["exporter"];
            let derived = expand(hash, &value("exporter_secret"), exporter["label"].as_str().unwrap(), b"", len);
            let context = crypto.hash(hash, &bytes(&exporter["context"])).unwrap();
            let exported = expand(hash, &derived, "exported", &context, exporter["length"].as_u64().unwrap() as usize);
            assert_eq!(exported, bytes(&exporter["secret"]));
            init = value("init_secret");
            epochs += 1;
        }
    }
    assert!(epochs >= 35, "{epochs}");
    println!("mls key schedule: {epochs} epochs");
}

#[test]
fn keys_of_an_epoch_open_the_frames_of_the_independent_oracle() {
    let Some(text) = read("conclave/values.txt") else { return };
    let input = EpochInput {
        secret: MediaSecret::new(&(0..48).collect::<Vec<u8>>()).unwrap(),
        ..epochs::input(21, 9, 10, Time(0))
    };
    let (_, keys) = input.derive().unwrap();
    let line = |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap();
    let word = |line: &str, after: &str| {
        let mut words = line.split_whitespace().skip_while(|word| *word != after);
        words.nth(1).unwrap().to_owned()
    };
    let record = line("record kid");
    let metadata = hex(&word(line("record metadata"), "metadata"));
    let plain = hex(&word(line("record plaintext"), "plaintext"));
    let id = KeyId { step: 2, context: Context::new(2).unwrap(), leaf: 3, epoch: 21 };
    assert_eq!(format!("{:#x}", id.pack().unwrap()), word(record, "kid"));
    let base = keys.key(id, Time::from_ms(8000)).unwrap();
    let sealed = hex(&word(record, "sealed"));
    let number = id.pack().unwrap();
    let mut frame = Buffer::with_capacity(128);
    frame.tail().extend_from_slice(&sealed);
    let mut opener: sframe::Opener =
        sframe::Opener::new(OpenKey::derive(Suite::Aes256GcmSha512, number, &base).unwrap());
    let header = opener.open(&metadata, &mut frame).unwrap();
    assert_eq!((header.key_id, header.counter), (number, 1000));
    assert_eq!(frame.as_slice(), plain);
    let key: SealKey = SealKey::derive(Suite::Aes256GcmSha512, number, &base).unwrap();
    let counter = sframe::Sealer::starting_at(key, 1000).seal(&metadata, &mut frame).unwrap();
    assert_eq!((counter, frame.as_slice()), (1000, &sealed[..]));

    // And the same through the door that frames of a meeting come in by.
    let (keeper, ring) = keyring();
    keeper.open(keys);
    let mut arrived = Buffer::with_capacity(128);
    arrived.tail().extend_from_slice(&sealed);
    let header =
        Header { stream: 7, kind: Kind::Camera, spatial: 0, temporal: 2, template_id: 5, frame_number: 0x1234 };
    let frame = Arrived { payload: arrived, header, packets: Packets::default(), ledger: Ledger::default() };
    let mut opener: Opener<Keyring> = Opener::new(ring);
    let opened = opener.open(frame, Time::from_ms(8000)).ok().unwrap();
    assert_eq!((opened.payload.as_slice(), opened.captured), (&b"temporal unit"[..], Time(1_700_000_000_000_000)));
    assert_eq!((opened.structure.as_slice(), opened.counter), (&[0x80, 1][..], 1000));
}
