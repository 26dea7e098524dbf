//! Sealing and opening: between the encoder and the packetizer, and between the depacketizer and the decoder.
//!
//! Every encoded frame becomes one SFrame ciphertext (RFC 9605, AES-256-GCM), whole, before it is cut into packets.
//! [`Sealer`] is the only maker of [`crate::frame::Sealed`], [`Opener`] the only maker of [`crate::frame::Opened`];
//! both take their keys from a [`KeySource`]. [`sframe`] has the same operations on arbitrary bytes, for other clients
//! of RFC 9605 and for test vectors.
//!
//! The files in the order of the data: [`roster`], [`epoch`], [`schedule`], [`ring`] → [`source`] → [`keys`] → [`record`] →
//! [`header`] → [`aead`] → [`seal`], and back through [`open`] with [`replay`] and `hold`.

pub mod aead;
pub mod epoch;
pub mod group;
pub mod header;
mod hold;
pub mod keys;
pub mod open;
pub mod proof;
pub mod record;
pub mod replay;
pub mod ring;
pub mod roster;
pub mod schedule;
pub mod seal;
pub mod secret;
pub mod sframe;
pub mod source;
pub mod wiping;

pub use aead::{Aead, AesGcm, AwsLc};
pub use epoch::{Epoch, EpochInput, OpenKeys, SendKeys};
pub use keys::{BaseKey, Context, KeyError, KeyId, OpenKey, SealKey, Suite};
pub use open::{Event, OpenError, OpenStats, Opener, Reason, Rejected};
pub use record::Padding;
pub use ring::{Keeper, Keyring, keyring};
pub use roster::{IdentityKey, MediaKey, Member, Role, Roster};
pub use schedule::{Chain, MediaSecret, Profile};
pub use seal::{SealError, SealStats, Sealer};
pub use source::{DynKeys, KeySource, StaticKeys};
pub use wiping::Wiping;
