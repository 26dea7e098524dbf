//! Keys and what names them: key ids, base keys, and the keys and salts that RFC 9605 §4.4.2 derives from them.
//!
//! No type here is `Clone`, `Debug` or `PartialEq`, and each is wiped when dropped. A [`SealKey`] seals and an
//! [`OpenKey`] opens; neither does the other's work. Secrets lie where [`super::secret`] puts them, so that
//! moving one leaves no copy behind.

use aws_lc_rs::hkdf;

use super::aead::{Aead, AwsLc, NONCE};
use super::secret::Secret;
use crate::frame::Kind;

/// A cipher suite of RFC 9605 §4.5 with full tags; the value is its number in the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Suite {
    /// `AES_128_GCM_SHA256_128`, for other clients.
    Aes128GcmSha256 = 4,
    /// `AES_256_GCM_SHA512_128`, the suite of every frame that the engine makes.
    Aes256GcmSha512 = 5,
}

impl Suite {
    /// Bytes of the AEAD key.
    pub const fn key_len(self) -> usize {
        match self {
            Suite::Aes128GcmSha256 => 16,
            Suite::Aes256GcmSha512 => 32,
        }
    }

    fn hash(self) -> hkdf::Algorithm {
        match self {
            Suite::Aes128GcmSha256 => hkdf::HKDF_SHA256,
            Suite::Aes256GcmSha512 => hkdf::HKDF_SHA512,
        }
    }
}

/// The key context of a stream (E2EE.md §3), below 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Context(u8);

impl Context {
    /// Context `number`; `None` from 8 up.
    pub const fn new(number: u8) -> Option<Self> {
        if number < 8 { Some(Self(number)) } else { None }
    }

    /// The first context of a kind of media.
    pub const fn of(kind: Kind) -> Self {
        Self(kind as u8)
    }

    /// The context of encoding `index` of a kind: a camera has three, a screen two, everything else one.
    pub const fn nth(kind: Kind, index: u8) -> Option<Self> {
        let context = Self(Self::of(kind).0.saturating_add(index));
        if context.carries(kind) { Some(context) } else { None }
    }

    /// Its number.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Whether frames of `kind` belong here: one camera has three contexts, one for each encoding, a screen two.
    pub const fn carries(self, kind: Kind) -> bool {
        match kind {
            Kind::Microphone => self.0 == 0,
            Kind::Camera => self.0 >= 1 && self.0 <= 3,
            Kind::Screen => self.0 == 4 || self.0 == 5,
            Kind::ScreenAudio => self.0 == 6,
            Kind::Data => self.0 == 7,
        }
    }
}

/// Members of a group: leaves stand below this (E2EE.md §3).
pub const MAX_LEAVES: u16 = 1024;

/// The parts of a key id: `(((step << 3) | context) << 18) | (leaf << 8) | epoch` (E2EE.md §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyId {
    /// Ratchet step, 43 bits; 0 with static keys.
    pub step: u64,
    /// What the key is for.
    pub context: Context,
    /// Place of the sender in the group, below [`MAX_LEAVES`].
    pub leaf: u16,
    /// Epoch of the group, modulo 256.
    pub epoch: u8,
}

impl KeyId {
    /// The 64-bit KID of the SFrame header; `None` where the step or the leaf does not fit.
    pub const fn pack(self) -> Option<u64> {
        if self.leaf >= MAX_LEAVES || self.step >> 43 != 0 {
            return None;
        }
        Some(pack(self.step << 3 | self.context.0 as u64, self.leaf as u64, self.epoch as u64, 10, 8))
    }

    /// The parts of `key_id`: every 64-bit number has them.
    pub const fn unpack(key_id: u64) -> Self {
        Self {
            step: key_id >> 21,
            context: Context((key_id >> 18 & 7) as u8),
            leaf: (key_id >> 8 & 0x3ff) as u16,
            epoch: key_id as u8,
        }
    }
}

/// The KID of RFC 9605 §5.2: context, leaf in `leaf_bits`, epoch modulo 2^`epoch_bits`. The engine's context is the step
/// with [`Context`] below it.
const fn pack(context: u64, leaf: u64, epoch: u64, leaf_bits: u32, epoch_bits: u32) -> u64 {
    context << (leaf_bits + epoch_bits) | leaf << epoch_bits | epoch & ((1 << epoch_bits) - 1)
}

/// Why there is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Too few or too many bytes.
    #[error("a secret of {len} bytes cannot be used: it needs {least} to 64 bytes from a cryptographic source")]
    Length {
        /// Bytes given.
        len: usize,
        /// Bytes needed.
        least: usize,
    },
    /// The leaf is outside the group.
    #[error("leaf {0} does not exist: leaves are numbered 0 to 1023")]
    Leaf(u16),
    /// The sender's key of this context was handed out before.
    #[error("the sending key of context {0} is in use: one key has one sealer, start a new epoch for another")]
    Taken(u8),
    /// The source has no key for this context now.
    #[error("there is no sending key for context {0} yet: wait until the group has one")]
    None(u8),
    /// The step or the leaf of a key id does not fit into 64 bits.
    #[error("the key id does not fit: the leaf must be below 1024 and the step below 2^43")]
    KeyId,
    /// The library refused to derive.
    #[error("the key could not be derived")]
    Derive,
}

/// `base_key` of RFC 9605 §4.4.2: 16 to 64 secret bytes that a key source hands over.
pub struct BaseKey(Secret);

impl BaseKey {
    /// Copies `bytes`; the caller wipes its own.
    ///
    /// # Errors
    /// [`KeyError::Length`] below 16 and above 64 bytes.
    pub fn new(bytes: &[u8]) -> Result<Self, KeyError> {
        if !(16..=64).contains(&bytes.len()) {
            return Err(KeyError::Length { len: bytes.len(), least: 16 });
        }
        Ok(Self(Secret::copy_of(bytes)))
    }

    pub(crate) fn from_secret(secret: Secret) -> Self {
        Self(secret)
    }

    /// The key of the next ratchet step (RFC 9605 §5.1).
    pub(crate) fn ratchet(&self) -> Result<Self, KeyError> {
        self.0.derive_next(&[b"SFrame 1.0 Ratchet"], 64).map(Self)
    }

    /// A second owner of the same bytes, for a key that opens.
    pub(crate) fn copy(&self) -> Self {
        Self(Secret::copy_of(self.0.as_slice()))
    }

    #[cfg(test)]
    pub(crate) fn as_slice(&self) -> &[u8] {
        self.0.as_slice()
    }
}

/// A key that seals. One key has one owner: making two of one base key and one key id reuses nonces.
pub struct SealKey<A = AwsLc>(Derived<A>);

impl<A: Aead> SealKey<A> {
    /// Derives key and salt for `key_id`.
    ///
    /// # Errors
    /// [`KeyError::Derive`] where the library refuses.
    pub fn derive(suite: Suite, key_id: u64, base: &BaseKey) -> Result<Self, KeyError> {
        Derived::new(suite, key_id, base).map(Self)
    }

    /// The KID.
    pub fn key_id(&self) -> u64 {
        self.0.key_id
    }

    pub(crate) fn parts(&self, counter: u64) -> (&A, [u8; NONCE]) {
        (&self.0.aead, self.0.nonce(counter))
    }
}

/// A key that opens.
pub struct OpenKey<A = AwsLc>(Derived<A>);

impl<A: Aead> OpenKey<A> {
    /// Derives key and salt for `key_id`.
    ///
    /// # Errors
    /// [`KeyError::Derive`] where the library refuses.
    pub fn derive(suite: Suite, key_id: u64, base: &BaseKey) -> Result<Self, KeyError> {
        Derived::new(suite, key_id, base).map(Self)
    }

    /// The KID.
    pub fn key_id(&self) -> u64 {
        self.0.key_id
    }

    pub(crate) fn parts(&self, counter: u64) -> (&A, [u8; NONCE]) {
        (&self.0.aead, self.0.nonce(counter))
    }
}

/// What RFC 9605 §4.4.2 derives.
struct Derived<A> {
    key_id: u64,
    aead: A,
    salt: Secret,
}

impl<A: Aead> Derived<A> {
    fn new(suite: Suite, key_id: u64, base: &BaseKey) -> Result<Self, KeyError> {
        let id = key_id.to_be_bytes();
        let number = (suite as u16).to_be_bytes();
        let derive = |label: &[u8], len| Secret::derive(suite.hash(), base.0.as_slice(), &[label, &id, &number], len);
        let key = derive(b"SFrame 1.0 Secret key ", suite.key_len())?;
        let salt = derive(b"SFrame 1.0 Secret salt ", NONCE)?;
        let aead = A::new(suite, key.as_slice()).ok_or(KeyError::Derive)?;
        Ok(Self { key_id, aead, salt })
    }

    /// The salt with the counter over its end (RFC 9605 §4.4.3).
    fn nonce(&self, counter: u64) -> [u8; NONCE] {
        let mut nonce = [0; NONCE];
        nonce[NONCE - 8..].copy_from_slice(&counter.to_be_bytes());
        nonce.iter_mut().zip(self.salt.as_slice()).for_each(|(byte, salt)| *byte ^= salt);
        nonce
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::e2ee::group::{Provider, Store, StoreKey};
    use crate::e2ee::{AesGcm, Chain, MediaSecret, OpenKeys, Opener, Sealer, SendKeys, StaticKeys};

    /// Fails to compile where `$type` has one of the traits: the call is then ambiguous.
    macro_rules! lacks {
        ($type:ty: $($trait:path),+) => { $({
            trait Ambiguous<A> { fn here() {} }
            impl<T: ?Sized> Ambiguous<()> for T {}
            struct Has;
            impl<T: ?Sized + $trait> Ambiguous<Has> for T {}
            let _ = <$type as Ambiguous<_>>::here;
        })+ };
    }

    #[test]
    fn keys_and_their_owners_cannot_be_copied_printed_or_compared() {
        lacks!(BaseKey: Clone, std::fmt::Debug, PartialEq);
        lacks!(Secret: Clone, std::fmt::Debug, PartialEq);
        lacks!(SealKey: Clone, std::fmt::Debug, PartialEq);
        lacks!(OpenKey<AesGcm>: Clone, std::fmt::Debug, PartialEq);
        lacks!(Sealer: Clone, std::fmt::Debug, PartialEq);
        lacks!(Opener: Clone, std::fmt::Debug, PartialEq);
        lacks!(StaticKeys: Clone, std::fmt::Debug, PartialEq);
        lacks!(MediaSecret: Clone, std::fmt::Debug, PartialEq);
        lacks!(Chain: Clone, std::fmt::Debug, PartialEq);
        lacks!(SendKeys: Clone, std::fmt::Debug, PartialEq);
        lacks!(OpenKeys: Clone, std::fmt::Debug, PartialEq);
        lacks!(StoreKey: Clone, std::fmt::Debug, PartialEq);
        lacks!(Store: Clone, std::fmt::Debug, PartialEq);
        lacks!(Provider: Clone, std::fmt::Debug, PartialEq);
    }

    #[test]
    fn key_ids_of_the_standard_are_packed_alike() {
        // RFC 9605 §5.2, figure 9: 4 bits of epoch, 6 of leaf.
        let ids = [
            (14, 3, 0),
            (14, 7, 0),
            (14, 20, 0),
            (15, 3, 0),
            (15, 5, 0),
            (16, 2, 2),
            (16, 2, 3),
            (17, 33, 0),
            (17, 51, 0),
        ];
        let packed = ids.map(|(epoch, leaf, context)| pack(context, leaf, epoch, 6, 4));
        assert_eq!(packed, [0x3e, 0x7e, 0x14e, 0x3f, 0x5f, 0x820, 0xc20, 0x211, 0x331]);
    }

    #[test]
    fn a_key_id_packs_as_the_table_says() {
        let id = KeyId { step: 2, context: Context(2), leaf: 3, epoch: 21 };
        assert_eq!(id.pack(), Some(0x0048_0315));
        assert_eq!(KeyId { leaf: 1024, ..id }.pack(), None);
        assert_eq!(KeyId { step: 1 << 43, ..id }.pack(), None);
        let mut rng = fastrand::Rng::with_seed(3);
        for key_id in (0..10_000).map(|_| rng.u64(..)).chain([0, u64::MAX]) {
            assert_eq!(KeyId::unpack(key_id).pack(), Some(key_id));
        }
    }

    #[test]
    fn every_context_carries_one_kind() {
        let kinds = [Kind::Microphone, Kind::Camera, Kind::Screen, Kind::ScreenAudio, Kind::Data];
        for context in (0..8).filter_map(Context::new) {
            assert_eq!(kinds.iter().filter(|kind| context.carries(**kind)).count(), 1);
        }
        assert!(kinds.iter().all(|kind| Context::of(*kind).carries(*kind)));
        assert_eq!(Context::new(8), None);
        let encodings = |kind| (0..=255).filter_map(|index| Context::nth(kind, index)).count();
        assert_eq!(kinds.map(encodings), [1, 3, 2, 1, 1]);
    }
}
