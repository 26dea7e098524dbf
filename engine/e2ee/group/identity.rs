//! Who a member is: the keys of its device and its name, and how a leaf of the tree carries them.

use std::sync::Arc;

use aws_lc_rs::rand;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use openmls::prelude::{
    BasicCredential, Capabilities, Credential, CredentialType, CredentialWithKey, Extension, ExtensionType, Extensions,
    LeafNode, UnknownExtension,
};
use openmls_traits::signatures::{Signer, SignerError};
use openmls_traits::types::SignatureScheme;
use zeroize::Zeroizing;

use super::policy::{GroupSuite, POLICY_EXTENSION};
use crate::e2ee::proof::MediaSigner;
use crate::e2ee::{IdentityKey, MediaKey};

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
    /// The leaf does not say that it understands the group's extensions.
    #[error("the leaf does not list the extensions that the group needs")]
    Capabilities,
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
        Ok(self.0.identity.sign(payload).as_ref().to_vec())
    }

    fn signature_scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

/// What every leaf can do.
pub(crate) fn capabilities(suite: GroupSuite) -> Capabilities {
    Capabilities::builder()
        .ciphersuites(vec![suite.mls()])
        .extensions(vec![ExtensionType::Unknown(POLICY_EXTENSION), ExtensionType::Unknown(MEDIA_EXTENSION)])
        .credentials(vec![CredentialType::Basic])
        .build()
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
        let identity = leaf.signature_key().as_slice().try_into().map_err(|_| LeafError::Identity)?;
        let credential = BasicCredential::try_from(leaf.credential().clone()).map_err(|_| LeafError::Credential)?;
        let name = check_name(credential.identity())?.to_owned();
        let media = leaf.extensions().unknown(MEDIA_EXTENSION).ok_or(LeafError::Media)?;
        let media = media.0.as_slice().try_into().map_err(|_| LeafError::Media)?;
        let listed = leaf.capabilities().extensions();
        if ![POLICY_EXTENSION, MEDIA_EXTENSION].iter().all(|kind| listed.contains(&ExtensionType::Unknown(*kind))) {
            return Err(LeafError::Capabilities);
        }
        Ok(Self { identity: IdentityKey(identity), media: MediaKey(media), name })
    }
}

fn check_name(name: &[u8]) -> Result<&str, LeafError> {
    let text = std::str::from_utf8(name).map_err(|_| LeafError::Name)?;
    let fits = (1..=MAX_NAME).contains(&text.len()) && !text.chars().any(char::is_control);
    if fits { Ok(text) } else { Err(LeafError::Name) }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

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
