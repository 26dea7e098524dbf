//! AES-GCM with 96-bit nonces and 128-bit tags, in place and detached: one trait, two arms.
//!
//! [`AwsLc`] is the arm of the product. [`AesGcm`] is pure Rust, written by other people from the same standard: the
//! oracle that every test of the first arm is compared with. Both pick the key size from the [`Suite`].

use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{AeadInOut, Aes128Gcm, Aes256Gcm, KeyInit};
use aws_lc_rs::aead;

use super::keys::Suite;
use crate::faults::{self, Call};

/// Bytes of a nonce.
pub const NONCE: usize = 12;

/// Bytes of a tag; shorter ones are not offered.
pub const TAG: usize = 16;

/// The cipher refused: a forged input to `open`, or more bytes than GCM allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cipher refused the input")]
pub struct Refused;

/// A key of AES-GCM, expanded and ready.
pub trait Aead: Sized {
    /// Name in tables and benchmarks.
    const NAME: &'static str;

    /// Expands `key`; `None` where its length is not the suite's.
    fn new(suite: Suite, key: &[u8]) -> Option<Self>;

    /// Encrypts `data` in place and returns the tag over `aad` and the ciphertext.
    fn seal(&self, nonce: &[u8; NONCE], aad: &[u8], data: &mut [u8]) -> Result<[u8; TAG], Refused>;

    /// Decrypts `data` in place. On an error its content is unspecified: the caller wipes it.
    fn open(&self, nonce: &[u8; NONCE], aad: &[u8], data: &mut [u8], tag: &[u8; TAG]) -> Result<(), Refused>;
}

/// AWS-LC through `aws-lc-rs`. The expanded key lies in memory of the library, which overwrites it when it is freed;
/// what a call spills to the stack and to vector registers is not wiped by it.
pub struct AwsLc(aead::LessSafeKey);

impl Aead for AwsLc {
    const NAME: &'static str = "aws-lc";

    fn new(suite: Suite, key: &[u8]) -> Option<Self> {
        let algorithm = match suite {
            Suite::Aes128GcmSha256 => &aead::AES_128_GCM,
            Suite::Aes256GcmSha512 => &aead::AES_256_GCM,
        };
        if faults::fails(Call::Expand) {
            return None;
        }
        Some(Self(aead::LessSafeKey::new(aead::UnboundKey::new(algorithm, key).ok()?)))
    }

    fn seal(&self, nonce: &[u8; NONCE], aad: &[u8], data: &mut [u8]) -> Result<[u8; TAG], Refused> {
        if faults::fails(Call::Seal) {
            return Err(Refused);
        }
        let nonce = aead::Nonce::assume_unique_for_key(*nonce);
        let tag = self.0.seal_in_place_separate_tag(nonce, aead::Aad::from(aad), data).map_err(|_| Refused)?;
        tag.as_ref().try_into().map_err(|_| Refused)
    }

    fn open(&self, nonce: &[u8; NONCE], aad: &[u8], data: &mut [u8], tag: &[u8; TAG]) -> Result<(), Refused> {
        if faults::fails(Call::Open) {
            return Err(Refused);
        }
        let nonce = aead::Nonce::assume_unique_for_key(*nonce);
        let opened = self.0.open_in_place_separate_tag(nonce, aead::Aad::from(aad), tag, data);
        opened.map(|_| ()).map_err(|_| Refused)
    }
}

/// The `aes-gcm` crate. The expanded key is boxed, so that it is wiped where it lies and leaves no copy when moved.
pub struct AesGcm(Box<Expanded>);

/// The two key sizes.
enum Expanded {
    Short(Aes128Gcm),
    Long(Aes256Gcm),
}

impl Aead for AesGcm {
    const NAME: &'static str = "aes-gcm";

    fn new(suite: Suite, key: &[u8]) -> Option<Self> {
        Some(Self(Box::new(match suite {
            Suite::Aes128GcmSha256 => Expanded::Short(Aes128Gcm::new_from_slice(key).ok()?),
            Suite::Aes256GcmSha512 => Expanded::Long(Aes256Gcm::new_from_slice(key).ok()?),
        })))
    }

    fn seal(&self, nonce: &[u8; NONCE], aad: &[u8], data: &mut [u8]) -> Result<[u8; TAG], Refused> {
        let data = InOutBuf::from(data);
        let tag = match &*self.0 {
            Expanded::Short(key) => key.encrypt_inout_detached(nonce.into(), aad, data),
            Expanded::Long(key) => key.encrypt_inout_detached(nonce.into(), aad, data),
        };
        tag.map(Into::into).map_err(|_| Refused)
    }

    fn open(&self, nonce: &[u8; NONCE], aad: &[u8], data: &mut [u8], tag: &[u8; TAG]) -> Result<(), Refused> {
        let data = InOutBuf::from(data);
        let opened = match &*self.0 {
            Expanded::Short(key) => key.decrypt_inout_detached(nonce.into(), aad, data, tag.into()),
            Expanded::Long(key) => key.decrypt_inout_detached(nonce.into(), aad, data, tag.into()),
        };
        opened.map_err(|_| Refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_arms_agree_on_random_input() {
        let mut rng = fastrand::Rng::with_seed(0xaead);
        for round in 0..3000 {
            let suite = if round % 2 == 0 { Suite::Aes128GcmSha256 } else { Suite::Aes256GcmSha512 };
            let mut key = [0; 32];
            rng.fill(&mut key);
            let key = &key[..suite.key_len()];
            let (aws, pure) = (AwsLc::new(suite, key).unwrap(), AesGcm::new(suite, key).unwrap());

            let mut nonce = [0; NONCE];
            rng.fill(&mut nonce);
            let aad: Vec<u8> = (0..rng.usize(..200)).map(|_| rng.u8(..)).collect();
            let limit = if round % 100 == 0 { 70_000 } else { 600 };
            let plain: Vec<u8> = (0..rng.usize(..limit)).map(|_| rng.u8(..)).collect();

            let (mut one, mut two) = (plain.clone(), plain.clone());
            let tag = aws.seal(&nonce, &aad, &mut one).unwrap();
            assert_eq!(pure.seal(&nonce, &aad, &mut two).unwrap(), tag);
            assert_eq!(one, two);
            pure.open(&nonce, &aad, &mut one, &tag).unwrap();
            aws.open(&nonce, &aad, &mut two, &tag).unwrap();
            assert!(one == plain && two == plain);

            let mut forged = tag;
            forged[rng.usize(..TAG)] ^= 1 << rng.u8(..8);
            assert_eq!(aws.open(&nonce, &aad, &mut one, &forged), Err(Refused));
            assert_eq!(pure.open(&nonce, &aad, &mut two, &forged), Err(Refused));
        }
    }

    #[test]
    fn a_key_of_the_wrong_length_is_refused() {
        for len in (0..=64).filter(|len| *len != 16) {
            assert!(AwsLc::new(Suite::Aes128GcmSha256, &vec![0; len]).is_none());
            assert!(AesGcm::new(Suite::Aes128GcmSha256, &vec![0; len]).is_none());
        }
        assert!(AwsLc::new(Suite::Aes256GcmSha512, &[0; 16]).is_none());
        assert!(AesGcm::new(Suite::Aes256GcmSha512, &[0; 16]).is_none());
    }
}
