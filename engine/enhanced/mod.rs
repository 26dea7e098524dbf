//! Enhanced meetings: the keys come from a service, which can read everything; the frames, and all that moves them, are
//! those of every meeting.
//!
//! ```text
//! Member ─ knock, wishes ─► Service ─ challenge, welcome, turns, heartbeats ─► Member ─► EpochInput ─► Party
//! ```
//!
//! Both ends are told the time and do no IO. What they say to each other needs a channel that is encrypted and
//! authenticated, TLS in practice, and it is the app's: **the service, and whoever else holds that channel, can read the
//! meeting**. Nothing here promises more, and no state of it may be shown as if it did.
//!
//! What the service cannot do unseen is to act in a member's name. A member's entry is signed by its own identity key,
//! its media by the media key in that entry; what changes who is in, who rules and what is agreed is a wish that a host
//! signed ([`plan`]), and members apply to it the one table of [`crate::e2ee::group::rules`] that groups have. Left to the
//! service are the order, new keys, and to take out who is gone. Each epoch names the one before, and its keys are bound to
//! that chain: members whom the service keeps in two forks open nothing of each other and raise an alarm. A word holds in
//! the epoch that it was said in. Whatever does not hold is not used and becomes an [`Alarm`].
//!
//! [`entry`] and [`plan`] have what is signed, [`wire`] its bytes, [`member`] and [`service`] the two ends.

pub mod entry;
pub mod member;
pub mod plan;
pub mod service;
pub mod sign;
pub mod wire;

use crate::e2ee::group::event;
use crate::e2ee::group::rules::Illegal;
use crate::e2ee::group::{self, GroupError, LeafError, MeetingType};
use crate::e2ee::{IdentityKey, KeyError, Profile};

pub use self::entry::Entry;
pub use self::member::{Knocking, Member};
pub use self::plan::{Act, Ask, Wish};
pub use self::service::Service;
pub use self::sign::ServiceKey;

/// Microseconds between two heartbeats of the service.
pub const BEAT_US: u64 = group::heartbeat::EVERY_US;

/// What the invite to an enhanced meeting says, and what its service is made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The meeting. Its type is [`MeetingType::Enhanced`], and it requires no post-quantum suite: how the keys travel is
    /// the channel's, so that nothing can be promised of it.
    pub meeting: group::Config,
    /// The Ed25519 key that the service signs with.
    pub service: [u8; 32],
}

impl Config {
    /// A meeting that `host` founds, with the service of this key.
    pub fn new(meeting: &[u8], host: IdentityKey, service: [u8; 32]) -> Self {
        let meeting = group::Config { meeting: MeetingType::Enhanced, host: Some(host), ..group::Config::new(meeting) };
        Self { meeting: meeting.classical(), service }
    }

    /// Whether it says that the meeting is an enhanced one, and nothing that such a meeting cannot hold.
    pub(crate) fn check(&self) -> Result<(), EnhancedError> {
        if self.meeting.meeting != MeetingType::Enhanced {
            return Err(EnhancedError::Mismatch("meeting type"));
        }
        let meeting = &self.meeting;
        let holds = meeting.suite == group::GroupSuite::Classical
            && !meeting.post_quantum
            && meeting.profile == Profile::Conclave;
        if !holds {
            return Err(EnhancedError::Config);
        }
        Ok(())
    }
}

/// Why something could not be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnhancedError {
    /// The configuration contradicts itself.
    #[error(
        "the configuration is no enhanced meeting's: it names a host and the classical suite, and requires no other"
    )]
    Config,
    /// The meeting is not the one that the invite names.
    #[error("the meeting differs from the invite in its {0}: nothing of it is used")]
    Mismatch(&'static str),
    /// The bytes are no message between a member and the service.
    #[error("the message is not formed as those of an enhanced meeting are")]
    Form,
    /// The service does not let this participant in.
    #[error("the service refuses: {0}")]
    Refused(wire::Refusal),
    /// Something that a key should have signed it has not.
    #[error("the signature of the {0} does not hold")]
    Signature(&'static str),
    /// A device or its name.
    #[error(transparent)]
    Leaf(#[from] LeafError),
    /// Keys.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The configuration, or this member is out.
    #[error(transparent)]
    Group(#[from] GroupError),
}

/// What the service did that it must not: this has no effect, and the app should say so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Alarm {
    /// An epoch that does not follow the one this member is in: an old one again, or one that skips some.
    #[error("the service announces epoch {got} where {expected} is due: it is not used")]
    Order {
        /// The number that was due.
        expected: u64,
        /// The number that came.
        got: u64,
    },
    /// An epoch whose past is not this member's: the service shows different meetings to different members.
    #[error("the service's epoch does not follow from the one before it: it shows others another meeting")]
    Fork,
    /// The service did not sign what it says.
    #[error("the service's signature does not hold")]
    Unsigned,
    /// A member's entry or wish is not signed by that member.
    #[error("something in a member's name is not signed by that member: the {0}")]
    Forged(&'static str),
    /// A wish of a member is used again, or after the roster changed that its author saw; or a word comes again, or in
    /// another epoch than it was said in.
    #[error("the service uses an old wish or word of leaf {0} again")]
    Replayed(u16),
    /// A change that the rules do not allow.
    #[error("the service makes a change that is not allowed: {0}")]
    Illegal(Illegal),
    /// The roster is another one than what was asked for leads to.
    #[error("the service's roster is not what the members asked for")]
    Roster,
    /// The policy is another one than what was asked for leads to.
    #[error("the service changed what was agreed without a host's signature")]
    Policy,
}

/// What a member hands out, in order.
pub enum Output {
    /// What a group hands out as well.
    Group(event::Output),
    /// The service did what it must not.
    Alarm(Alarm),
}
