//! Both cipher arms against the Wycheproof vectors of AES-GCM with 96-bit nonces.

use std::path::PathBuf;

use conclave::e2ee::{Aead, AesGcm, AwsLc, Suite};

#[test]
fn both_arms_pass_every_vector() {
    let root = std::env::var_os("CONCLAVE_SHARED").map(PathBuf::from);
    let root = root.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"));
    let Ok(text) = std::fs::read_to_string(root.join("vectors/wycheproof/aes_gcm_test.json")) else {
        println!("skipped: no vectors/wycheproof/aes_gcm_test.json in the shared directory");
        return;
    };
    let file: serde_json::Value = serde_json::from_str(&text).unwrap();
    let (mut long, mut short) = (0, 0);
    for group in file["testGroups"].as_array().unwrap() {
        let (suite, count) = match (group["keySize"].as_u64(), group["ivSize"].as_u64()) {
            (Some(256), Some(96)) => (Suite::Aes256GcmSha512, &mut long),
            (Some(128), Some(96)) => (Suite::Aes128GcmSha256, &mut short),
            _ => continue,
        };
        for vector in group["tests"].as_array().unwrap() {
            check::<AwsLc>(suite, vector);
            check::<AesGcm>(suite, vector);
            *count += 1;
        }
    }
    assert_eq!((long, short), (66, 67));
}

fn check<A: Aead>(suite: Suite, vector: &serde_json::Value) {
    let bytes = |name: &str| hex(vector[name].as_str().unwrap());
    let id = &vector["tcId"];
    let aead = A::new(suite, &bytes("key")).unwrap();
    let (nonce, aad, plain) = (bytes("iv").try_into().unwrap(), bytes("aad"), bytes("msg"));
    let (sealed, tag): (_, [u8; 16]) = (bytes("ct"), bytes("tag").try_into().unwrap());

    let mut data = sealed.clone();
    let opened = aead.open(&nonce, &aad, &mut data, &tag);
    let mut again = plain.clone();
    let made = aead.seal(&nonce, &aad, &mut again).unwrap();
    match vector["result"].as_str().unwrap() {
        "valid" => {
            assert!(opened.is_ok() && data == plain, "{} opens vector {id}", A::NAME);
            assert!(again == sealed && made == tag, "{} seals vector {id}", A::NAME);
        }
        "invalid" => {
            assert!(opened.is_err(), "{} refuses vector {id}", A::NAME);
            assert!(plain.is_empty() || data != plain, "{} keeps the plaintext of vector {id}", A::NAME);
            assert!(again != sealed || made != tag, "{} does not make vector {id}", A::NAME);
        }
        other => panic!("vector {id} is {other}"),
    }
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}
