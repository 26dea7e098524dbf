//! Who stands behind an identity key, beyond the name it gave itself.
//!
//! | level | what is shown to others | what it says |
//! |---|---|---|
//! | [`Level::Guest`] | nothing | a key for this meeting; the next one has another |
//! | [`Level::Device`] | [`device`] | a key that this device keeps: the same next time, trusted on first use |
//! | [`Level::SignedOn`] | [`oidc`] | an identity provider signed that this key is of this account |
//!
//! A statement travels sealed, in the data channel; whoever gets one checks it with the [`Attestor`] of its kind. No
//! statement makes anybody verified: only a compared code does, since a provider can name another key, and a service can
//! be its own provider. What statements add is that a key which an account had before is known again ([`known`]), and
//! that another key under the same account is a mismatch.
//!
//! X.509 certificates do not work yet.

pub mod device;
mod jwks;
mod jwt;
pub mod known;
pub mod oidc;
pub mod store;

use crate::e2ee::IdentityKey;

pub use self::device::DeviceKey;
pub use self::jwks::{JwksError, Keys};
pub use self::known::{Contact, Known, Pin, Pinned};
pub use self::oidc::Oidc;
pub use self::store::{Lock, Store, StoreError};

/// Says and checks who an identity key is of.
pub trait Attestor {
    /// What this device shows others about its own key; nothing where it cannot.
    fn statement(&self) -> Option<&[u8]>;

    /// Who `identity` is, by `statement`, at `unix_s` seconds since 1970.
    ///
    /// # Errors
    /// [`Why`] it is believed nothing.
    fn attest(&self, identity: &IdentityKey, statement: &[u8], unix_s: u64) -> Result<Attested, Why>;
}

/// Who `identity` is, by the first of `attestors` that knows the statement: guests, devices and accounts may meet.
///
/// # Errors
/// Where none believes it, what the last one that could read it says.
pub fn attest(
    attestors: &[&dyn Attestor],
    identity: &IdentityKey,
    statement: &[u8],
    unix_s: u64,
) -> Result<Attested, Why> {
    let mut why = Why::Kind;
    for attestor in attestors {
        match attestor.attest(identity, statement, unix_s) {
            Ok(attested) => return Ok(attested),
            Err(Why::Kind) => {}
            Err(other) => why = other,
        }
    }
    Err(why)
}

/// Bytes of the longest statement.
pub const MAX_STATEMENT: usize = 8 << 10;

/// Bytes of the longest issuer, subject or name.
pub const MAX_TEXT: usize = 256;

/// How much is known of who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum Level {
    /// Nothing: a key for this meeting.
    Guest,
    /// It is the device that had this key before.
    Device,
    /// An identity provider names the key.
    SignedOn,
}

impl Level {
    /// For the screen.
    pub const fn sentence(self) -> &'static str {
        match self {
            Level::Guest => "A guest, with a key for this meeting only.",
            Level::Device => "A device that keeps its key: you can know it again.",
            Level::SignedOn => "An identity provider names this person and this key.",
        }
    }
}

/// What an attestor found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attested {
    /// Who says so. A subject means something only together with it.
    pub issuer: String,
    /// Who it is, in the issuer's terms; it never changes hands.
    pub subject: String,
    /// For the screen; the owner or the issuer may change it at any time.
    pub name: Option<String>,
    /// How much that is.
    pub level: Level,
}

/// Why a statement says nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// Too long.
    #[error("the statement has {0} bytes, above the {MAX_STATEMENT} that are read")]
    TooLong(usize),
    /// Of another attestor.
    #[error("the statement is of another kind")]
    Kind,
    /// It cannot be read.
    #[error("the token cannot be read: {0}")]
    Unreadable(&'static str),
    /// It names a key that the provider does not list.
    #[error("the token names a signing key that the provider does not list")]
    UnknownKey,
    /// It names another algorithm than its key's.
    #[error("the token says {said:?}, but its signing key is for {key}")]
    Algorithm {
        /// What its header says.
        said: String,
        /// What the key is for.
        key: &'static str,
    },
    /// The signature does not hold.
    #[error("the token's signature does not hold")]
    Signature,
    /// Another provider's.
    #[error("the token is of another provider than this meeting's")]
    Issuer,
    /// For another application.
    #[error("the token is for another application")]
    Audience,
    /// Too old.
    #[error("the token ended {0} s ago: sign on again")]
    Expired(u64),
    /// Too long ago.
    #[error("the token was made {0} s ago, longer than is accepted: sign on again")]
    Old(u64),
    /// From the future.
    #[error("the token begins in {0} s: compare the clocks")]
    Early(u64),
    /// It names another key than the one it came with.
    #[error("the token was made for another key than this person's")]
    OtherKey,
}

/// Whether `text` can stand on a screen and in a store: nothing in it moves the cursor or turns the direction of what
/// follows.
fn is_plain(text: &str) -> bool {
    let turns = |one: char| matches!(one, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    (1..=MAX_TEXT).contains(&text.len()) && !text.chars().any(|one| one.is_control() || turns(one))
}
