//! The cryptography and the storage that the group works with: one line to change.

/// What the MLS library is given: pure Rust cryptography, and storage in memory.
pub type Provider = openmls_rust_crypto::OpenMlsRustCrypto;

/// A provider with empty storage.
pub fn provider() -> Provider {
    Provider::default()
}
