//! The key that a member signs its media with. Its public half stands in the member's leaf of the group.

use aws_lc_rs::rand::SecureRandom;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use zeroize::Zeroizing;

use crate::e2ee::MediaKey;
use crate::faults::{self, Call};

/// Bytes of a signature.
pub const SIGNATURE: usize = 64;

/// Something that signs: the media key in this process, or one that a device keeps to itself.
pub trait Sign {
    /// Signs `message` with Ed25519.
    ///
    /// # Errors
    /// [`SignError`] where the key cannot be used now; what was to be signed is tried again later.
    fn sign(&self, message: &[u8]) -> Result<[u8; SIGNATURE], SignError>;
}

/// There is no signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the media key could not be made or used")]
pub struct SignError;

/// An Ed25519 key of one member. The expanded key lies in memory of the library, which overwrites it when it is freed.
pub struct MediaSigner {
    pair: Ed25519KeyPair,
    public: MediaKey,
}

impl MediaSigner {
    /// A new key from the system's randomness.
    ///
    /// # Errors
    /// [`SignError`] where there is none.
    pub fn generate() -> Result<Self, SignError> {
        let mut seed = Zeroizing::new([0; 32]);
        SystemRandom::new().fill(&mut *seed).map_err(|_| SignError)?;
        Self::from_seed(&seed)
    }

    /// The key of `seed`; the caller wipes it.
    ///
    /// # Errors
    /// [`SignError`] where the library refuses.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, SignError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| SignError)?;
        let public = MediaKey(pair.public_key().as_ref().try_into().map_err(|_| SignError)?);
        Ok(Self { pair, public })
    }

    /// What others verify with.
    pub fn public(&self) -> MediaKey {
        self.public
    }
}

impl Sign for MediaSigner {
    fn sign(&self, message: &[u8]) -> Result<[u8; SIGNATURE], SignError> {
        if faults::fails(Call::Prove) {
            return Err(SignError);
        }
        let signature = self.pair.try_sign(message).map_err(|_| SignError)?;
        signature.as_ref().try_into().map_err(|_| SignError)
    }
}

impl<S: Sign + ?Sized> Sign for Box<S> {
    fn sign(&self, message: &[u8]) -> Result<[u8; SIGNATURE], SignError> {
        (**self).sign(message)
    }
}

impl<S: Sign + ?Sized> Sign for std::sync::Arc<S> {
    fn sign(&self, message: &[u8]) -> Result<[u8; SIGNATURE], SignError> {
        (**self).sign(message)
    }
}

/// Whether `signature` is one of `message` by the owner of `key`.
pub(crate) fn signed_by(key: &MediaKey, message: &[u8], signature: &[u8; SIGNATURE]) -> bool {
    UnparsedPublicKey::new(&ED25519, key.0).verify(message, signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_of_one_message_and_one_key() {
        let (one, two) = (MediaSigner::generate().unwrap(), MediaSigner::from_seed(&[2; 32]).unwrap());
        let signature = one.sign(b"frame").unwrap();
        assert!(signed_by(&one.public(), b"frame", &signature));
        assert!(!signed_by(&one.public(), b"frames", &signature));
        assert!(!signed_by(&two.public(), b"frame", &signature));
        assert!(!signed_by(&MediaKey([0; 32]), b"frame", &[0; SIGNATURE]));
    }

    #[test]
    fn the_first_vector_of_rfc_8032() {
        let hex = |text: &str| -> Vec<u8> {
            (0..text.len() / 2).map(|n| u8::from_str_radix(&text[n * 2..n * 2 + 2], 16).unwrap()).collect()
        };
        let seed = hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
        let signer = MediaSigner::from_seed(&seed.try_into().unwrap()).unwrap();
        let public = hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        assert_eq!(signer.public().0[..], public);
        let signature = hex(
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        );
        assert_eq!(signer.sign(b"").unwrap()[..], signature);
    }
}
