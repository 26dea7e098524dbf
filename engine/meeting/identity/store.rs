//! What a device keeps between meetings, sealed under a passphrase: its own keys, and whom it knows.
//!
//! ```text
//! "CNCLKEYS" ‖ u16 version ‖ u32 bytes that follow ‖ salt ‖ nonce ‖ AES-256-GCM(seeds ‖ contacts) ‖ tag ‖ SHA-256
//! ```
//!
//! The key is `scrypt(passphrase, salt, N = 131072, r = 8, p = 1)`: nearly half a second and 128 MiB, so [`Lock`] keeps it
//! while the program runs. Everything before the nonce is authenticated. The hash at the end, over all that stands before
//! it, only tells damage from a wrong passphrase before the stretch; who alters a store on purpose meets the tag. An old
//! copy of a store is still good: it knows what was known then. What the stretch leaves on the heap is wiped where the
//! program uses [`crate::e2ee::Wiping`].

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use zeroize::Zeroizing;

use super::known::Known;
use crate::e2ee::group::{Device, LeafError};
use crate::e2ee::secret::Secret;

/// Why a store is not opened or sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Something else.
    #[error("this is no store of keys")]
    NotAStore,
    /// Of a later program.
    #[error("the store is of version {0}, and this program reads up to {VERSION}: use a newer one")]
    Newer(u16),
    /// The end is missing.
    #[error("the store is cut off: {has} bytes of {wants}")]
    Truncated {
        /// Bytes there are.
        has: usize,
        /// Bytes there should be.
        wants: usize,
    },
    /// Bytes changed.
    #[error("the store is damaged: its bytes are not those that were written")]
    Damaged,
    /// Another passphrase, or altered on purpose.
    #[error("the passphrase is not the one that the store was sealed with")]
    Passphrase,
    /// Sealed by something that is not this program.
    #[error("the store opens, but what is in it cannot be read")]
    Unreadable,
    /// Too long.
    #[error("the store has {0} bytes, above the {MAX_STORE} that are kept")]
    TooLarge(usize),
    /// The library refused.
    #[error("the system gives no randomness, or the cipher fails")]
    Seal,
}

const MAGIC: &[u8; 8] = b"CNCLKEYS";
/// The format that this build writes and reads.
pub const VERSION: u16 = 1;
/// Bytes of magic, version and length.
const FRONT: usize = MAGIC.len() + 2 + 4;
const SALT: usize = 16;
const TAG: usize = 16;
const HASH: usize = 32;
/// Bytes of the two seeds.
const SEEDS: usize = 64;
/// Bytes of the longest store.
pub const MAX_STORE: usize = 16 << 20;

/// A passphrase, stretched for one salt: seals and opens without being slow again.
pub struct Lock {
    salt: [u8; SALT],
    key: Secret,
}

impl Lock {
    /// For a new store, or a new passphrase of an old one. The caller wipes its passphrase.
    ///
    /// # Errors
    /// [`StoreError::Seal`].
    pub fn new(passphrase: &[u8]) -> Result<Self, StoreError> {
        let mut salt = [0; SALT];
        rand::fill(&mut salt).map_err(|_| StoreError::Seal)?;
        Self::stretch(passphrase, salt)
    }

    /// For the store that `sealed` is.
    ///
    /// # Errors
    /// Where it is none; whether the passphrase is right shows when it is opened.
    pub fn of(sealed: &[u8], passphrase: &[u8]) -> Result<Self, StoreError> {
        Self::stretch(passphrase, *Parts::of(sealed)?.salt)
    }

    fn stretch(passphrase: &[u8], salt: [u8; SALT]) -> Result<Self, StoreError> {
        let params = scrypt::Params::new(17, 8, 1).map_err(|_| StoreError::Seal)?;
        let mut key = Zeroizing::new([0; 32]);
        scrypt::scrypt(passphrase, &salt, &params, &mut key[..]).map_err(|_| StoreError::Seal)?;
        Ok(Self { salt, key: Secret::copy_of(&key[..]) })
    }

    fn expanded(&self) -> Result<LessSafeKey, StoreError> {
        Ok(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, self.key.as_slice()).map_err(|_| StoreError::Seal)?))
    }
}

/// A device's own keys and whom it knows.
pub struct Store {
    seeds: Secret,
    /// Whom it knows: given to a meeting's [`crate::meeting::verified::Memory`], and taken back from it.
    pub known: Known,
}

impl Store {
    /// New keys, and nobody known.
    ///
    /// # Errors
    /// [`StoreError::Seal`].
    pub fn generate() -> Result<Self, StoreError> {
        let mut seeds = Zeroizing::new([0; SEEDS]);
        rand::fill(&mut seeds[..]).map_err(|_| StoreError::Seal)?;
        Ok(Self { seeds: Secret::copy_of(&seeds[..]), known: Known::default() })
    }

    /// The device that these keys make, under a name.
    ///
    /// # Errors
    /// [`LeafError::Name`], [`LeafError::Key`].
    pub fn device(&self, name: &str) -> Result<Device, LeafError> {
        let (identity, media) = self.seeds.as_slice().split_first_chunk::<32>().ok_or(LeafError::Key)?;
        Device::from_seeds(name, identity, media.try_into().map_err(|_| LeafError::Key)?)
    }

    /// Seals it, with a new nonce each time.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`], [`StoreError::Seal`].
    pub fn seal(&self, lock: &Lock) -> Result<Vec<u8>, StoreError> {
        let mut contacts = vec![];
        ciborium::into_writer(&self.known, &mut contacts).map_err(|_| StoreError::Seal)?;
        let total = FRONT + SALT + NONCE_LEN + SEEDS + contacts.len() + TAG + HASH;
        let after = u32::try_from(total - FRONT).ok().filter(|_| total <= MAX_STORE);
        let after = after.ok_or(StoreError::TooLarge(total))?;
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).map_err(|_| StoreError::Seal)?;
        // Of its final size from the start: no copy of the seeds is left behind by growing.
        let mut out = Zeroizing::new(Vec::with_capacity(total));
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.extend_from_slice(&after.to_be_bytes());
        out.extend_from_slice(&lock.salt);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(self.seeds.as_slice());
        out.extend_from_slice(&contacts);
        let (front, plain) = out.split_at_mut(FRONT + SALT + NONCE_LEN);
        let (header, _) = front.split_at(FRONT + SALT);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = lock.expanded()?.seal_in_place_separate_tag(nonce, Aad::from(header), plain);
        let tag = tag.map_err(|_| StoreError::Seal)?;
        out.extend_from_slice(tag.as_ref());
        let hash = digest(&SHA256, &out);
        out.extend_from_slice(hash.as_ref());
        Ok(std::mem::take(&mut *out))
    }

    /// Opens what [`Store::seal`] made.
    ///
    /// # Errors
    /// A sentence for each way in which `sealed` may be something else.
    pub fn open(sealed: &[u8], lock: &Lock) -> Result<Self, StoreError> {
        let Parts { header, nonce, sealed, tag, .. } = Parts::of(sealed)?;
        let mut plain = Zeroizing::new(sealed.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = lock.expanded()?.open_in_place_separate_tag(nonce, Aad::from(header), tag, &mut plain);
        opened.map_err(|_| StoreError::Passphrase)?;
        let (seeds, mut contacts) = plain.split_at_checked(SEEDS).ok_or(StoreError::Unreadable)?;
        let known: Known = ciborium::from_reader(&mut contacts).map_err(|_| StoreError::Unreadable)?;
        if !contacts.is_empty() || !known.is_sound() {
            return Err(StoreError::Unreadable);
        }
        Ok(Self { seeds: Secret::copy_of(seeds), known })
    }
}

/// A store as it lies on disk.
struct Parts<'a> {
    header: &'a [u8],
    salt: &'a [u8; SALT],
    nonce: &'a [u8; NONCE_LEN],
    sealed: &'a [u8],
    tag: &'a [u8; TAG],
}

impl<'a> Parts<'a> {
    fn of(all: &'a [u8]) -> Result<Self, StoreError> {
        if all.len() > MAX_STORE {
            return Err(StoreError::TooLarge(all.len()));
        }
        let rest = all.strip_prefix(MAGIC).ok_or(StoreError::NotAStore)?;
        let short = StoreError::Truncated { has: all.len(), wants: FRONT };
        let (version, rest) = rest.split_first_chunk::<2>().ok_or(short)?;
        match u16::from_be_bytes(*version) {
            VERSION => {}
            0 => return Err(StoreError::NotAStore),
            newer => return Err(StoreError::Newer(newer)),
        }
        let (after, rest) = rest.split_first_chunk::<4>().ok_or(short)?;
        let wants = u64::from(u32::from_be_bytes(*after)) + FRONT as u64;
        if all.len() as u64 != wants {
            let wants = usize::try_from(wants).unwrap_or(usize::MAX);
            let cut = all.len() < wants && wants <= MAX_STORE;
            return Err(if cut { StoreError::Truncated { has: all.len(), wants } } else { StoreError::Damaged });
        }
        let (body, hash) = all.split_last_chunk::<HASH>().ok_or(StoreError::Damaged)?;
        if digest(&SHA256, body).as_ref() != hash {
            return Err(StoreError::Damaged);
        }
        let parts = || {
            let (header, _) = body.split_at_checked(FRONT + SALT)?;
            let (salt, rest) = rest.split_first_chunk()?;
            let (nonce, _) = rest.split_first_chunk()?;
            let (front, tag) = body.split_last_chunk()?;
            let sealed = front.get(FRONT + SALT + NONCE_LEN..)?;
            Some(Self { header, salt, nonce, sealed, tag })
        };
        parts().ok_or(StoreError::Damaged)
    }
}
