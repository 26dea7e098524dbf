//! A stable device key. Its statement only says that the key is kept: who has it is what the group proves anyway, with
//! the signature on the leaf.

use base64ct::{Base64UrlUnpadded, Encoding};

use super::{Attested, Attestor, Level, Why};
use crate::e2ee::IdentityKey;

/// Keys that devices keep, trusted on first use. Issuer and subject are the key itself: it can be known again, and never
/// be a mismatch.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeviceKey {
    kept: bool,
}

/// What a device says that keeps its key.
const KEPT: &[u8] = b"Conclave 1.0 device";

/// The issuer of device keys.
pub const ISSUER: &str = "device";

impl DeviceKey {
    /// Of a device that keeps its key, in a [`super::Store`].
    pub fn kept() -> Self {
        Self { kept: true }
    }

    /// Of a guest: it checks others, and says nothing of itself.
    pub fn guest() -> Self {
        Self::default()
    }
}

impl Attestor for DeviceKey {
    fn statement(&self) -> Option<&[u8]> {
        self.kept.then_some(KEPT)
    }

    fn attest(&self, identity: &IdentityKey, statement: &[u8], _: u64) -> Result<Attested, Why> {
        if statement != KEPT {
            return Err(Why::Kind);
        }
        let subject = Base64UrlUnpadded::encode_string(&identity.0);
        Ok(Attested { issuer: ISSUER.to_owned(), subject, name: None, level: Level::Device })
    }
}
