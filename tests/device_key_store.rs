//! The store of a device's keys and of whom it knows, on disk and off it again.

use std::sync::OnceLock;

use conclave::e2ee::IdentityKey;
use conclave::meeting::identity::store::{MAX_STORE, VERSION};
use conclave::meeting::identity::{Attested, Level, Lock, Pin, Store, StoreError};

/// Stretched once for all tests.
fn lock() -> &'static Lock {
    static LOCK: OnceLock<Lock> = OnceLock::new();
    LOCK.get_or_init(|| Lock::new(b"correct horse").unwrap())
}

fn account(subject: &str) -> Attested {
    let (issuer, name) = ("https://id".to_owned(), Some("Ann Müller".to_owned()));
    Attested { issuer, subject: subject.to_owned(), name, level: Level::SignedOn }
}

fn filled() -> Store {
    let mut store = Store::generate().unwrap();
    for number in 0..5 {
        let key = IdentityKey([number; 32]);
        assert_eq!(store.known.see(&key, &account(&format!("account {number}")), 1000), Pin::First);
    }
    store.known.verify(&IdentityKey([3; 32]), 2000);
    store
}

fn open(sealed: &[u8]) -> Result<Store, StoreError> {
    Store::open(sealed, lock())
}

#[test]
fn what_was_sealed_opens_with_its_passphrase_in_another_process() {
    let store = filled();
    let sealed = store.seal(lock()).unwrap();
    let other = Lock::of(&sealed, b"correct horse").unwrap();
    let opened = Store::open(&sealed, &other).unwrap();
    assert_eq!(opened.known, store.known);
    let identity = |store: &Store| store.device("Ann").unwrap().identity();
    assert_eq!(identity(&opened), identity(&store));
    assert_ne!(identity(&Store::generate().unwrap()), identity(&store));
    assert_eq!(Store::open(&opened.seal(&other).unwrap(), lock()).unwrap().known, store.known);
}

#[test]
fn a_wrong_passphrase_is_told_from_damage() {
    let sealed = filled().seal(lock()).unwrap();
    for wrong in [&b"correct horsf"[..], b""] {
        let wrong = Lock::of(&sealed, wrong).unwrap();
        assert_eq!(Store::open(&sealed, &wrong).err(), Some(StoreError::Passphrase));
    }
    let fresh = Lock::new(b"correct horse").unwrap();
    assert_eq!(Store::open(&sealed, &fresh).err(), Some(StoreError::Passphrase), "the same under another salt");
}

#[test]
fn every_flipped_bit_is_refused_and_mostly_called_damage() {
    let sealed = filled().seal(lock()).unwrap();
    for bit in 0..sealed.len() * 8 {
        let mut damaged = sealed.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let error = open(&damaged).err().unwrap();
        match bit / 8 {
            0..8 => assert_eq!(error, StoreError::NotAStore),
            8..10 => assert!(matches!(error, StoreError::Newer(_) | StoreError::NotAStore), "{error}"),
            10..14 => assert!(matches!(error, StoreError::Truncated { .. } | StoreError::Damaged), "{error}"),
            _ => assert_eq!(error, StoreError::Damaged),
        }
        assert!(Lock::of(&damaged, b"x").is_err(), "nothing is stretched for what is damaged");
    }
}

#[test]
fn who_mends_the_hash_of_an_altered_store_meets_the_tag() {
    let sealed = filled().seal(lock()).unwrap();
    let body = sealed.len() - 32;
    // From the salt on; a flip in the tag as well.
    for at in (14..body).step_by(7).chain([body - 1]) {
        let mut altered = sealed[..body].to_vec();
        altered[at] ^= 1;
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &altered);
        altered.extend_from_slice(hash.as_ref());
        assert_eq!(open(&altered).err(), Some(StoreError::Passphrase), "byte {at}");
    }
}

#[test]
fn cut_off_lengthened_later_and_foreign_files_each_have_their_sentence() {
    let sealed = filled().seal(lock()).unwrap();
    for len in 14..sealed.len() {
        assert_eq!(open(&sealed[..len]).err(), Some(StoreError::Truncated { has: len, wants: sealed.len() }));
    }
    for len in 8..14 {
        assert!(matches!(open(&sealed[..len]).err(), Some(StoreError::Truncated { .. })));
    }
    assert!((0..8).all(|len| open(&sealed[..len]).err() == Some(StoreError::NotAStore)));
    assert_eq!(open(&[&sealed[..], &[0]].concat()).err(), Some(StoreError::Damaged));
    let mut later = sealed.clone();
    later[8..10].copy_from_slice(&(VERSION + 1).to_be_bytes());
    assert_eq!(open(&later).err(), Some(StoreError::Newer(VERSION + 1)));
    assert_eq!(open(&vec![0; 500]).err(), Some(StoreError::NotAStore));
    assert_eq!(open(&vec![0; MAX_STORE + 1]).err(), Some(StoreError::TooLarge(MAX_STORE + 1)));
    let sentences = [StoreError::NotAStore, StoreError::Newer(2), StoreError::Damaged, StoreError::Passphrase]
        .map(|error| error.to_string());
    sentences.iter().for_each(|sentence| println!("{sentence}"));
}

#[test]
fn two_stores_of_one_content_look_nothing_alike_and_show_no_name() {
    let store = filled();
    let (one, two) = (store.seal(lock()).unwrap(), store.seal(lock()).unwrap());
    let same = one.iter().zip(&two).skip(14 + 16).filter(|(one, two)| one == two).count();
    assert!(same < one.len() / 16, "{same} of {} bytes are the same", one.len());
    assert!(!one.windows(6).any(|window| window == b"https:" || window == b"accoun"));
}

#[test]
fn contacts_that_no_device_writes_are_not_read() {
    let contact = r#"{"issuer":"https://id","subject":"a","name":null,"level":"Device","keys":[KEYS]}"#;
    let key = format!(r#"{{"identity":{:?},"seen":1,"verified":null}}"#, [7u8; 32]);
    let sealed = |contacts: String| {
        let mut store = Store::generate().unwrap();
        store.known = serde_json::from_str(&contacts).unwrap();
        store.seal(lock()).unwrap()
    };
    let with = |keys: &str| contact.replace("KEYS", keys);
    let good = with(&key);
    assert!(open(&sealed(format!("[{good}]"))).is_ok());
    let many = vec![key.as_str(); 9].join(",");
    for bad in [with(""), with(&many), good.replace("https://id", ""), good.replace(r#""a""#, r#""a\n""#)] {
        assert_eq!(open(&sealed(format!("[{bad}]"))).err(), Some(StoreError::Unreadable), "{bad}");
    }
}
