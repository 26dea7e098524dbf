//! Who a member is: the keys of its device and its name, and how a leaf of the tree carries them.

use std::sync::Arc;

use aws_lc_rs::rand;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use openmls::prelude::{
    BasicCredential, Capabilities, Credential, CredentialType, CredentialWithKey, Extension, ExtensionType, Extensions,
    LeafNode, Lifetime, UnknownExtension,
};
use openmls::treesync::LeafNodeSource;
use openmls_traits::signatures::{Signer, SignerError};
use openmls_traits::types::SignatureScheme;
use zeroize::Zeroizing;

use super::policy::{GroupSuite, POLICY_EXTENSION};
use crate::e2ee::proof::MediaSigner;
use crate::e2ee::proof::key::SIGNATURE;
use crate::e2ee::{IdentityKey, MediaKey};
use crate::faults::{self, Call};

/// Type of the leaf extension that carries the media key, from the range for private use.
pub const MEDIA_EXTENSION: u16 = 0xf0c1;

/// Bytes of the longest display name.
pub const MAX_NAME: usize = 128;

/// Why a device or a leaf is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeafError {
    /// The name is empty, too long, not UTF-8, or has control characters.
    #[error("the name must be 1 to 128 bytes of UTF-8 without control characters")]
    Name,
    /// The credential is not a basic one.
    #[error("the credential is of another kind than the group's")]
    Credential,
    /// The identity key is not an Ed25519 key.
    #[error("the identity key is not an Ed25519 key of 32 bytes")]
    Identity,
    /// The leaf has no media key, or one of another length.
    #[error("the leaf carries no media key")]
    Media,
    /// The identity or the media key is of low order, not a point, or written another way than it must be.
    #[error("the leaf's {0} key is not a sound Ed25519 key: others could sign for it, or name it otherwise")]
    Weak(&'static str),
    /// The leaf says of its client something else than every client of this engine says, or more.
    #[error("the leaf lists other capabilities or extensions than every leaf of a group has")]
    Capabilities,
    /// The leaf holds for a while only, by somebody's clock.
    #[error("the leaf has a lifetime: those whose clocks differ would judge it differently")]
    Lifetime,
    /// The library would not make the key.
    #[error("the key could not be made")]
    Key,
}

fn public(pair: &Ed25519KeyPair) -> [u8; 32] {
    let mut out = [0; 32];
    let key = pair.public_key().as_ref();
    if key.len() == out.len() {
        out.copy_from_slice(key);
    }
    out
}

/// The secrets of this participant and its name. Handles share one copy.
pub struct Device(Arc<Inner>);

struct Inner {
    identity: Ed25519KeyPair,
    media: Arc<MediaSigner>,
    name: String,
}

impl Device {
    /// A device with new keys.
    ///
    /// # Errors
    /// [`LeafError::Name`], [`LeafError::Key`].
    pub fn generate(name: &str) -> Result<Self, LeafError> {
        let mut seeds = Zeroizing::new([0; 64]);
        rand::fill(&mut seeds[..]).map_err(|_| LeafError::Key)?;
        let (identity, media) = seeds.split_at(32);
        let [identity, media] = [identity, media].map(|seed| {
            let mut copy = Zeroizing::new([0; 32]);
            copy.copy_from_slice(seed);
            copy
        });
        Self::from_seeds(name, &identity, &media)
    }

    /// A device whose keys were kept. The caller wipes the seeds.
    ///
    /// # Errors
    /// [`LeafError::Name`], [`LeafError::Key`].
    pub fn from_seeds(name: &str, identity: &[u8; 32], media: &[u8; 32]) -> Result<Self, LeafError> {
        check_name(name.as_bytes())?;
        let identity = Ed25519KeyPair::from_seed_unchecked(identity).map_err(|_| LeafError::Key)?;
        let media = Arc::new(MediaSigner::from_seed(media).map_err(|_| LeafError::Key)?);
        Ok(Self(Arc::new(Inner { identity, media, name: name.to_owned() })))
    }

    /// A second handle to the same device.
    pub fn share(&self) -> Self {
        Self(self.0.clone())
    }

    /// Who it is.
    pub fn identity(&self) -> IdentityKey {
        IdentityKey(public(&self.0.identity))
    }

    /// What it signs its media with.
    pub fn media(&self) -> Arc<MediaSigner> {
        self.0.media.clone()
    }

    /// The name it gives itself.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What its leaf says of it.
    pub fn person(&self) -> Person {
        Person { identity: self.identity(), media: self.0.media.public(), name: self.0.name.clone() }
    }

    /// Signs `bytes` with the identity key, for one purpose: `context` says which. [`IdentityKey::vouched`] verifies.
    pub fn vouch(&self, context: &str, bytes: &[u8]) -> Signature {
        let mut signature = [0; SIGNATURE];
        let made = self.0.identity.sign(&vouched(context, bytes));
        if made.as_ref().len() == SIGNATURE {
            signature.copy_from_slice(made.as_ref());
        }
        signature
    }

    pub(crate) fn credential(&self) -> CredentialWithKey {
        let credential: Credential = BasicCredential::new(self.0.name.clone().into_bytes()).into();
        CredentialWithKey { credential, signature_key: self.identity().0.as_slice().into() }
    }

    pub(crate) fn extensions(&self) -> Result<Extensions<LeafNode>, LeafError> {
        let key = UnknownExtension(self.0.media.public().0.to_vec());
        Extensions::single(Extension::Unknown(MEDIA_EXTENSION, key)).map_err(|_| LeafError::Media)
    }
}

impl Signer for Device {
    fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, SignerError> {
        if faults::fails(Call::Sign) {
            return Err(SignerError::SigningError);
        }
        Ok(self.0.identity.sign(payload).as_ref().to_vec())
    }

    fn signature_scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

impl IdentityKey {
    /// Whether the owner of this key vouched for `bytes` in `context`.
    pub fn vouched(&self, context: &str, bytes: &[u8], signature: &Signature) -> bool {
        let key = UnparsedPublicKey::new(&ED25519, self.0);
        is_sound(&self.0) && key.verify(&vouched(context, bytes), signature).is_ok()
    }
}

/// A signature of an identity key.
pub type Signature = [u8; SIGNATURE];

/// `"Conclave 1.0 vouch" ‖ u8 len ‖ context ‖ bytes`. The library signs with the same key, and whatever it signs begins
/// with the label of MLS (RFC 9420 §5.1.2): no signature for one purpose holds for another.
fn vouched(context: &str, bytes: &[u8]) -> Vec<u8> {
    [b"Conclave 1.0 vouch", &[context.len() as u8][..], context.as_bytes(), bytes].concat()
}

/// What every leaf can do.
pub(crate) fn capabilities(suite: GroupSuite) -> Capabilities {
    Capabilities::builder()
        .ciphersuites(vec![suite.mls()])
        .extensions(vec![ExtensionType::Unknown(POLICY_EXTENSION), ExtensionType::Unknown(MEDIA_EXTENSION)])
        .credentials(vec![CredentialType::Basic])
        .build()
}

/// How long a key package holds: always. Its use is up to whoever rules, and no rule of a group hangs on a clock.
pub(crate) fn lifetime() -> Lifetime {
    Lifetime::init(0, u64::MAX)
}

/// What a leaf says of its owner, signed by the owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Who it is.
    pub identity: IdentityKey,
    /// What its proofs are verified with.
    pub media: MediaKey,
    /// The name it gave itself.
    pub name: String,
}

impl Person {
    /// Reads a leaf that the library has verified.
    ///
    /// # Errors
    /// [`LeafError`] where it is not as every leaf of a group must be.
    pub fn of(leaf: &LeafNode) -> Result<Self, LeafError> {
        let identity: [u8; 32] = leaf.signature_key().as_slice().try_into().map_err(|_| LeafError::Identity)?;
        let credential = BasicCredential::try_from(leaf.credential().clone()).map_err(|_| LeafError::Credential)?;
        let name = check_name(credential.identity())?.to_owned();
        let media = leaf.extensions().unknown(MEDIA_EXTENSION).ok_or(LeafError::Media)?;
        let media: [u8; 32] = media.0.as_slice().try_into().map_err(|_| LeafError::Media)?;
        for (key, which) in [(&identity, "identity"), (&media, "media")] {
            if !is_sound(key) {
                return Err(LeafError::Weak(which));
            }
        }
        // Neither more nor less: whatever a leaf may carry beside, every Welcome would carry from then on.
        let suites = [GroupSuite::Hybrid, GroupSuite::Classical];
        let usual = suites.iter().any(|suite| *leaf.capabilities() == capabilities(*suite));
        if !usual || leaf.extensions().iter().count() != 1 {
            return Err(LeafError::Capabilities);
        }
        if matches!(leaf.leaf_node_source(), LeafNodeSource::KeyPackage(limits) if *limits != lifetime()) {
            return Err(LeafError::Lifetime);
        }
        Ok(Self { identity: IdentityKey(identity), media: MediaKey(media), name })
    }
}

/// Whether a key is one that a key pair can have, in its only encoding. Under a key of low order a signature without a
/// secret holds for many messages; the libraries that verify take such keys.
pub(crate) fn is_sound(key: &[u8; 32]) -> bool {
    let Ok(point) = ed25519_dalek::VerifyingKey::from_bytes(key) else { return false };
    !point.is_weak() && point.to_edwards().compress().to_bytes() == *key
}

pub(crate) fn check_name(name: &[u8]) -> Result<&str, LeafError> {
    let text = std::str::from_utf8(name).map_err(|_| LeafError::Name)?;
    let fits = (1..=MAX_NAME).contains(&text.len()) && !text.chars().any(char::is_control);
    if fits { Ok(text) } else { Err(LeafError::Name) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::e2ee::proof::Sign;

    #[test]
    fn names_are_short_text_without_controls() {
        assert!(Device::generate("Zoë").is_ok());
        for name in ["", "a\nb", "\u{7f}", &"x".repeat(MAX_NAME + 1)] {
            assert_eq!(Device::generate(name).err(), Some(LeafError::Name), "{name:?}");
        }
        assert!(Device::generate(&"x".repeat(MAX_NAME)).is_ok());
        assert_eq!(check_name(b"\xff").err(), Some(LeafError::Name));
    }

    fn key(hex: &str) -> [u8; 32] {
        std::array::from_fn(|n| u8::from_str_radix(&hex[n * 2..n * 2 + 2], 16).unwrap())
    }

    #[test]
    fn keys_of_low_order_and_second_encodings_are_refused() {
        // All points of low order in all their encodings, as the CCTV vectors list them.
        let low = [
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0000000000000000000000000000000000000000000000000000000000000080",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "0100000000000000000000000000000000000000000000000000000000000080",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        ];
        assert!(low.iter().all(|hex| !is_sound(&key(hex))));
        // Coordinates from the field's prime up, which are read as what is left of them.
        for (last, sign) in (0xed..=0xff).flat_map(|last| [(last, 0x7f), (last, 0xff)]) {
            let mut key = [0xff; 32];
            (key[0], key[31]) = (last, sign);
            assert!(!is_sound(&key), "{last:x} {sign:x}");
        }
        for seed in 0..50 {
            let device = Device::from_seeds("a", &[seed; 32], &[seed + 100; 32]).unwrap();
            assert!(is_sound(&device.identity().0) && is_sound(&device.media().public().0));
        }
    }

    #[test]
    fn a_leaf_with_a_key_of_low_order_is_none() {
        use openmls::prelude::*;
        let weak = key("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05");
        let person = |media: [u8; 32]| {
            let device = Device::generate("a").unwrap();
            let extension = Extension::Unknown(MEDIA_EXTENSION, UnknownExtension(media.to_vec()));
            let package = KeyPackage::builder()
                .leaf_node_capabilities(capabilities(GroupSuite::Classical))
                .leaf_node_extensions(Extensions::single(extension).unwrap())
                .key_package_lifetime(lifetime())
                .build(GroupSuite::Classical.mls(), &super::super::Provider::default(), &device, device.credential())
                .unwrap();
            Person::of(package.key_package().leaf_node())
        };
        assert_eq!(person(weak).err(), Some(LeafError::Weak("media")));
        assert!(person(Device::generate("b").unwrap().media().public().0).is_ok());
    }

    #[test]
    fn a_leaf_that_carries_more_than_the_usual_is_none() {
        use openmls::prelude::*;
        let other = ExtensionType::Unknown(0xf0ff);
        let person = |own: Capabilities, more: Option<Extension>| {
            let device = Device::generate("a").unwrap();
            let all = device.extensions().unwrap().iter().cloned().chain(more).collect();
            let package = KeyPackage::builder()
                .leaf_node_capabilities(own)
                .leaf_node_extensions(Extensions::from_vec(all).unwrap())
                .key_package_lifetime(lifetime())
                .build(GroupSuite::Classical.mls(), &super::super::Provider::default(), &device, device.credential())
                .unwrap();
            Person::of(package.key_package().leaf_node()).map(|_| ())
        };
        let usual = || capabilities(GroupSuite::Classical);
        let can = [usual().extensions(), &[other]].concat();
        let suites = [GroupSuite::Classical.mls()];
        let wider = || Capabilities::new(None, Some(&suites), Some(&can), None, Some(&[CredentialType::Basic]));
        let ballast = Extension::Unknown(0xf0ff, UnknownExtension(vec![0; 2000]));
        assert_eq!(person(usual(), None), Ok(()));
        assert_eq!(person(wider(), None), Err(LeafError::Capabilities));
        assert_eq!(person(wider(), Some(ballast)), Err(LeafError::Capabilities));
    }

    #[test]
    fn what_is_vouched_for_holds_for_its_purpose_and_its_bytes_alone() {
        let device = Device::generate("a").unwrap();
        let (key, signature) = (device.identity(), device.vouch("chat", b"hello"));
        assert!(key.vouched("chat", b"hello", &signature));
        assert!(!key.vouched("cha", b"thello", &signature) && !key.vouched("chat", b"hullo", &signature));
        assert!(!Device::generate("b").unwrap().identity().vouched("chat", b"hello", &signature));
    }

    #[test]
    fn a_kept_device_is_the_same_and_signs_with_two_keys() {
        let device = |name| Device::from_seeds(name, &[7; 32], &[8; 32]).unwrap();
        let (one, two) = (device("a"), device("b"));
        assert_eq!((one.identity(), one.media().public()), (two.identity(), two.media().public()));
        assert_ne!(one.identity().0, one.media().public().0);
        let signature = one.media().sign(b"frame").unwrap();
        let key = UnparsedPublicKey::new(&ED25519, two.media().public().0);
        assert!(key.verify(b"frame", &signature).is_ok() && key.verify(b"other", &signature).is_err());
    }
}
