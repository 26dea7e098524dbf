//! What the MLS library works on: cryptography, randomness, storage.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use openmls_rust_crypto::RustCrypto;
use openmls_traits::OpenMlsProvider;
use openmls_traits::random::OpenMlsRand;

use super::storage::Store;
use crate::faults::{self, Call};

/// The provider of one member. It has no state but its store.
#[derive(Default)]
pub struct Provider {
    crypto: RustCrypto,
    random: Random,
    store: Store,
}

impl Provider {
    /// A provider on `store`, which may come from a snapshot.
    pub fn new(store: Store) -> Self {
        Self { store, ..Self::default() }
    }

    /// The store, to seal it or to see that it is empty.
    pub fn store(&self) -> &Store {
        &self.store
    }
}

impl OpenMlsProvider for Provider {
    type CryptoProvider = RustCrypto;
    type RandProvider = Random;
    type StorageProvider = Store;

    fn storage(&self) -> &Store {
        &self.store
    }

    fn crypto(&self) -> &RustCrypto {
        &self.crypto
    }

    fn rand(&self) -> &Random {
        &self.random
    }
}

/// Randomness of AWS-LC. The generator inside [`RustCrypto`] is one ChaCha20 stream for the provider's whole life:
/// whoever reads its 32-byte state once can compute every number it ever gave, the private keys of past epochs among
/// them. AWS-LC's replaces its key after every call.
#[derive(Default)]
pub struct Random(SystemRandom);

/// The system gave no randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gave no random bytes: nothing secret can be made without them")]
pub struct NoRandomness;

impl OpenMlsRand for Random {
    type Error = NoRandomness;

    fn random_array<const N: usize>(&self) -> Result<[u8; N], NoRandomness> {
        if faults::fails(Call::Random) {
            return Err(NoRandomness);
        }
        let mut out = [0; N];
        self.0.fill(&mut out).map_err(|_| NoRandomness)?;
        Ok(out)
    }

    fn random_vec(&self, len: usize) -> Result<Vec<u8>, NoRandomness> {
        if faults::fails(Call::Random) {
            return Err(NoRandomness);
        }
        let mut out = vec![0; len];
        self.0.fill(&mut out).map_err(|_| NoRandomness)?;
        Ok(out)
    }
}
