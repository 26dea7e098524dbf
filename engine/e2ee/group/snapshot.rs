//! A store, sealed for a restart: `"CNCLSTOR" ‖ u16 version ‖ nonce ‖ AES-256-GCM(entries) ‖ tag`, magic and
//! version authenticated. An entry is `u32 len ‖ key ‖ u32 len ‖ value`; keys ascend.
//!
//! A snapshot is as good as the moment it was made: whoever can put an old one back makes the member use old state. A
//! restarted process takes up the group with it, but never seals media in an epoch that it resumed (E2EE.md §3).

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use super::storage::{Bytes, Store, StoreError, Table};
use crate::e2ee::secret::Secret;

/// The key that snapshots are sealed with, from the system's key store or a passphrase. One key seals up to 2^32
/// snapshots: nonces are random.
pub struct StoreKey(Secret);

impl StoreKey {
    /// Copies `bytes`; the caller wipes its own.
    ///
    /// # Errors
    /// [`StoreError::Key`] unless there are 32.
    pub fn new(bytes: &[u8]) -> Result<Self, StoreError> {
        if bytes.len() != KEY {
            return Err(StoreError::Key(bytes.len()));
        }
        Ok(Self(Secret::copy_of(bytes)))
    }

    fn expanded(&self) -> Result<LessSafeKey, StoreError> {
        Ok(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, self.0.as_slice()).map_err(|_| StoreError::Seal)?))
    }
}

/// Bytes of a key.
const KEY: usize = 32;

/// The first bytes of a snapshot, before its version.
const MAGIC: &[u8; 8] = b"CNCLSTOR";

/// The format that this build writes and reads.
const VERSION: u16 = 1;

/// Bytes of magic and version.
const HEADER: usize = MAGIC.len() + 2;

/// Bytes of the tag.
const TAG: usize = 16;

/// Bytes of the longest snapshot. A group of 1024 takes about 10 MB.
pub const MAX_SNAPSHOT: usize = 64 << 20;

impl Store {
    /// Seals everything that is stored.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] above [`MAX_SNAPSHOT`]; [`StoreError::Seal`] where the system gives no randomness.
    pub fn seal(&self, key: &StoreKey) -> Result<Vec<u8>, StoreError> {
        let table = self.lock();
        let entries = |(name, value): (&Bytes, &Bytes)| 2 * LEN + name.as_slice().len() + value.as_slice().len();
        let len = HEADER + NONCE_LEN + table.iter().map(entries).sum::<usize>() + TAG;
        if len > MAX_SNAPSHOT {
            return Err(StoreError::TooLarge(len));
        }
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| StoreError::Seal)?;
        // Of its final size from the start: nothing that is not yet sealed is left behind by growing.
        let mut out = Zeroizing::new(Vec::with_capacity(len));
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.extend_from_slice(&nonce);
        for (name, value) in table.iter() {
            for part in [name.as_slice(), value.as_slice()] {
                out.extend_from_slice(&u32::try_from(part.len()).map_err(|_| StoreError::Encode)?.to_be_bytes());
                out.extend_from_slice(part);
            }
        }
        let (front, entries) = out.split_at_mut(HEADER + NONCE_LEN);
        let (header, _) = front.split_at(HEADER);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let sealed = key.expanded()?.seal_in_place_separate_tag(nonce, Aad::from(header), entries);
        let tag = sealed.map_err(|_| StoreError::Seal)?;
        out.extend_from_slice(tag.as_ref());
        Ok(std::mem::take(&mut *out))
    }

    /// Opens what [`Store::seal`] made.
    ///
    /// # Errors
    /// A sentence for each way in which `sealed` may be something else; the store is then not made.
    pub fn open(sealed: &[u8], key: &StoreKey) -> Result<Self, StoreError> {
        if sealed.len() > MAX_SNAPSHOT {
            return Err(StoreError::TooLarge(sealed.len()));
        }
        let (header, rest) = sealed.split_at_checked(HEADER).ok_or(StoreError::NotASnapshot)?;
        let version = header.strip_prefix(MAGIC).and_then(|version| version.try_into().ok());
        match version.map(u16::from_be_bytes).ok_or(StoreError::NotASnapshot)? {
            VERSION => {}
            other => return Err(StoreError::Version(other)),
        }
        let (nonce, rest) = rest.split_first_chunk::<NONCE_LEN>().ok_or(StoreError::NotASnapshot)?;
        let (entries, tag) = rest.split_last_chunk::<TAG>().ok_or(StoreError::NotASnapshot)?;
        let mut entries = Bytes::copy_of(entries);
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = key.expanded()?.open_in_place_separate_tag(nonce, Aad::from(header), tag, entries.as_mut());
        opened.map_err(|_| StoreError::Refused)?;
        let table = parse(entries.as_slice()).ok_or(StoreError::NotASnapshot)?;
        Ok(Self { table: table.into() })
    }
}

/// Bytes in front of a key and of a value.
const LEN: usize = 4;

fn parse(mut entries: &[u8]) -> Option<Table> {
    let mut table = Table::new();
    while !entries.is_empty() {
        let (name, rest) = part(entries)?;
        let (value, rest) = part(rest)?;
        if table.last_key_value().is_some_and(|(last, _)| last.as_slice() >= name) {
            return None;
        }
        table.insert(Bytes::copy_of(name), Bytes::copy_of(value));
        entries = rest;
    }
    Some(table)
}

fn part(entries: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = entries.split_first_chunk::<LEN>()?;
    rest.split_at_checked(u32::from_be_bytes(*len) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> StoreKey {
        StoreKey::new(&[byte; KEY]).unwrap()
    }

    fn filled() -> Store {
        let store = Store::default();
        for number in [3, 1, 2] {
            store.lock().insert(Bytes::copy_of(&[number; 5]), Bytes::copy_of(&vec![number; usize::from(number) * 100]));
        }
        store
    }

    #[test]
    fn what_was_sealed_opens_and_never_looks_alike() {
        let store = filled();
        let sealed = store.seal(&key(7)).unwrap();
        assert!(Store::open(&sealed, &key(7)).unwrap().lock().eq(&*store.lock()));
        assert_ne!(sealed, store.seal(&key(7)).unwrap(), "the nonce is random");
        assert!(
            !sealed.windows(50).any(|window| window.iter().all(|byte| *byte == 3)),
            "no value stands there in clear"
        );
        let empty = Store::default().seal(&key(7)).unwrap();
        assert!(Store::open(&empty, &key(7)).unwrap().is_empty());
    }

    #[test]
    fn every_damaged_bit_and_every_cut_is_refused() {
        let sealed = filled().seal(&key(7)).unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut damaged = sealed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Store::open(&damaged, &key(7)).is_err(), "bit {bit}");
        }
        assert!((0..sealed.len()).all(|len| Store::open(&sealed[..len], &key(7)).is_err()));
        assert_eq!(Store::open(&[&sealed[..], &[0]].concat(), &key(7)).err(), Some(StoreError::Refused));
    }

    #[test]
    fn foreign_snapshots_are_refused_in_words() {
        let sealed = filled().seal(&key(7)).unwrap();
        assert_eq!(Store::open(&sealed, &key(8)).err(), Some(StoreError::Refused));
        assert_eq!(Store::open(b"", &key(7)).err(), Some(StoreError::NotASnapshot));
        assert_eq!(Store::open(&[0; 100], &key(7)).err(), Some(StoreError::NotASnapshot));
        let mut later = sealed;
        later[MAGIC.len() + 1] = 2;
        assert_eq!(Store::open(&later, &key(7)).err(), Some(StoreError::Version(2)));
        let oversize = vec![0; MAX_SNAPSHOT + 1];
        assert_eq!(Store::open(&oversize, &key(7)).err(), Some(StoreError::TooLarge(MAX_SNAPSHOT + 1)));
        assert_eq!(StoreKey::new(&[0; 16]).err(), Some(StoreError::Key(16)));
    }

    #[test]
    fn entries_that_do_not_ascend_or_end_early_are_no_table() {
        let entry = |name: u8| [0, 0, 0, 1, name, 0, 0, 0, 2, 9, 9];
        assert!(parse(&[entry(1), entry(2)].concat()).is_some_and(|table| table.len() == 2));
        assert!(parse(&[entry(2), entry(1)].concat()).is_none());
        assert!(parse(&[entry(1), entry(1)].concat()).is_none());
        assert!((1..entry(1).len()).all(|len| parse(&entry(1)[..len]).is_none()));
        assert!(parse(&[0xff; 8]).is_none());
    }
}
