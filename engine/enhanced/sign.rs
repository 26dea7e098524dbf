//! What is signed in an enhanced meeting: every text says what it is, in which meeting, and of which service.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use openmls_traits::signatures::Signer;

use super::{Config, EnhancedError};
use crate::e2ee::group::Device;
use crate::e2ee::group::wire::MAX_GROUP_ID;

/// Bytes of a signature.
pub const SIGNATURE: usize = 64;

/// What a signed text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// A member's entry in the roster, by the member.
    Entry,
    /// The answer to a challenge, by who knocks.
    Answer,
    /// A wish, by the member.
    Wish,
    /// A word to all, by the member.
    Word,
    /// The challenge, by the service.
    Challenge,
    /// An epoch, by the service.
    Epoch,
    /// A heartbeat, by the service.
    Beat,
}

impl Label {
    const fn text(self) -> &'static [u8] {
        match self {
            Label::Entry => b"Conclave 1.0 enhanced entry\0",
            Label::Answer => b"Conclave 1.0 enhanced answer\0",
            Label::Wish => b"Conclave 1.0 enhanced wish\0",
            Label::Word => b"Conclave 1.0 enhanced word\0",
            Label::Challenge => b"Conclave 1.0 enhanced challenge\0",
            Label::Epoch => b"Conclave 1.0 enhanced epoch\0",
            Label::Beat => b"Conclave 1.0 enhanced heartbeat\0",
        }
    }
}

/// The meeting and its service, which stand in everything that is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain(Vec<u8>);

impl Domain {
    /// That of a meeting.
    ///
    /// # Errors
    /// [`EnhancedError::Config`] where its id is empty or longer than 64 bytes.
    pub fn of(config: &Config) -> Result<Self, EnhancedError> {
        let id = &config.meeting.group;
        let len = u8::try_from(id.len()).ok().filter(|len| (1..=MAX_GROUP_ID).contains(&usize::from(*len)));
        Ok(Self([&[len.ok_or(EnhancedError::Config)?][..], id, &config.service].concat()))
    }

    /// The bytes that are signed.
    fn text(&self, label: Label, parts: &[&[u8]]) -> Vec<u8> {
        [label.text(), &self.0, &parts.concat()].concat()
    }

    /// A device's signature with its identity key.
    ///
    /// # Errors
    /// [`EnhancedError::Signature`] where the key cannot be used.
    pub fn sign(&self, device: &Device, label: Label, parts: &[&[u8]]) -> Result<[u8; SIGNATURE], EnhancedError> {
        let failed = EnhancedError::Signature("device");
        device.sign(&self.text(label, parts)).ok().and_then(|bytes| bytes.try_into().ok()).ok_or(failed)
    }

    /// Whether the owner of `key` signed this.
    pub fn holds(&self, key: &[u8; 32], label: Label, parts: &[&[u8]], signature: &[u8; SIGNATURE]) -> bool {
        UnparsedPublicKey::new(&ED25519, key).verify(&self.text(label, parts), signature).is_ok()
    }
}

/// The key that a service signs with; invites name its public half.
pub struct ServiceKey(Ed25519KeyPair);

impl ServiceKey {
    /// The key of `seed`; the caller wipes it.
    ///
    /// # Errors
    /// [`EnhancedError::Signature`] where the library refuses.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, EnhancedError> {
        Ed25519KeyPair::from_seed_unchecked(seed).map(Self).map_err(|_| EnhancedError::Signature("service"))
    }

    /// What invites name.
    pub fn public(&self) -> [u8; 32] {
        let mut out = [0; 32];
        let key = self.0.public_key().as_ref();
        if key.len() == out.len() {
            out.copy_from_slice(key);
        }
        out
    }

    /// The service's signature.
    ///
    /// # Errors
    /// [`EnhancedError::Signature`] where the key cannot be used.
    pub fn sign(&self, domain: &Domain, label: Label, parts: &[&[u8]]) -> Result<[u8; SIGNATURE], EnhancedError> {
        let failed = EnhancedError::Signature("service");
        let signature = self.0.try_sign(&domain.text(label, parts)).map_err(|_| failed)?;
        signature.as_ref().try_into().map_err(|_| failed)
    }
}
