//! What tells a participant that something is not as it should be: of all that a party says, the part that never occurs
//! with honest people and a relay that hands everything on.

use crate::e2ee::group::{Event, Gone, GroupError, Left};
use crate::party::{self, PartyError};

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Alarm {
    /// A commit or a proposal that the rules do not allow.
    Refused,
    /// What this participant sent does not come back.
    Withheld,
    /// Messages that nobody in the group can have sent.
    Unreadable,
    /// Messages left out or repeated.
    Order,
    /// A heartbeat is not what its sender's should be.
    Heartbeat,
    /// The one whose turn it is to commit has fallen silent.
    Committer,
    /// No heartbeat for ten seconds.
    Silence,
    /// None for thirty: nothing is sealed any more.
    Stopped,
    /// Messages of a later epoch, and none of this one.
    Stranded,
    /// The relay had somebody taken out.
    RemovedByRelay,
    /// Out, for nothing was heard for a minute or the group broke.
    Gone,
    /// The group that this participant was let into is not the one it was invited to.
    NotTheInvite,
    /// The service of an enhanced meeting did what it must not.
    Service,
    /// Frames were forged, or their sender shows different things to different members.
    Proof,
}

impl Alarm {
    /// Whether `event` is one.
    pub fn of(event: &party::Event) -> Option<Self> {
        match event {
            party::Event::Group(event) => Self::of_group(event),
            party::Event::Alarm(_) => Some(Alarm::Service),
            party::Event::Proof(_, event) if event.why.is_alarm() => Some(Alarm::Proof),
            _ => None,
        }
    }

    /// Whether `event` is one.
    pub fn of_group(event: &Event) -> Option<Self> {
        Some(match event {
            Event::Refused { .. } => Alarm::Refused,
            Event::Withheld { .. } => Alarm::Withheld,
            Event::Unreadable { .. } => Alarm::Unreadable,
            Event::Order { .. } => Alarm::Order,
            Event::Heartbeat { .. } => Alarm::Heartbeat,
            Event::Committer { .. } => Alarm::Committer,
            Event::HeartbeatMissing => Alarm::Silence,
            Event::StopSealing => Alarm::Stopped,
            Event::Stranded => Alarm::Stranded,
            Event::Changed { gone, .. } if gone.iter().any(|(_, how)| *how == Gone::Relay) => Alarm::RemovedByRelay,
            Event::Left(Left::Silence | Left::Broken) => Alarm::Gone,
            _ => return None,
        })
    }

    /// Whether `error`, at a message that the relay delivered, is one.
    pub fn of_error(error: &PartyError) -> Option<Self> {
        match error {
            PartyError::Group(GroupError::Mismatch(_)) => Some(Alarm::NotTheInvite),
            _ => None,
        }
    }

    /// What it means, in words.
    pub const fn says(self) -> &'static str {
        match self {
            Alarm::Refused => "a change that the rules do not allow was refused",
            Alarm::Withheld => "the relay keeps back what this participant asked for",
            Alarm::Unreadable => "messages came that nobody in the group can have sent",
            Alarm::Order => "the relay left messages out or repeated some",
            Alarm::Heartbeat => "a heartbeat was not what its sender's should be",
            Alarm::Committer => "whoever commits has fallen silent, and another does",
            Alarm::Silence => "no heartbeat for ten seconds",
            Alarm::Stopped => "no heartbeat for thirty seconds: nothing is sent any more",
            Alarm::Stranded => "the others are in a later epoch",
            Alarm::RemovedByRelay => "the relay had somebody taken out",
            Alarm::Gone => "no heartbeat for a minute: left",
            Alarm::NotTheInvite => "let into another meeting than the invite names: refused",
            Alarm::Service => "the service did what it must not",
            Alarm::Proof => "frames were forged in a member's name",
        }
    }
}
