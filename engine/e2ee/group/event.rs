//! What the group tells its embedder.

use zeroize::Zeroizing;

use super::identity::Person;
use super::rules::Illegal;
use super::wire::Ticket;
use crate::e2ee::{EpochInput, IdentityKey, Member, Role};
use crate::time::Time;

/// How soon a sender moves to a new epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// With its next frame: somebody was put out.
    AtOnce,
    /// Within two seconds.
    Soon,
}

/// How a member went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum Gone {
    /// By its own signature.
    Left,
    /// The host or co-host on this leaf took it out.
    Host(u16),
    /// The relay reported it gone.
    Relay,
    /// It came again in the same commit, with the same identity key.
    Replaced,
}

/// What [`super::Group::poll`] hands out, in order.
pub enum Output {
    /// An envelope for the relay.
    Send(Vec<u8>),
    /// A new epoch, once.
    Epoch(Box<EpochInput>, Switch),
    /// Something to know.
    Event(Event),
}

/// Something to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody knocks: [`super::Group::admit`] lets it in.
    Knock {
        /// What to admit.
        key_package: Vec<u8>,
        /// Who it says it is.
        person: Person,
        /// What else it says, under its identity key; empty where it says nothing.
        card: Vec<u8>,
    },
    /// A member made a commit or a proposal that the rules do not allow: it has no effect, the epoch stays.
    Refused {
        /// Whose; nothing where it came from outside the group.
        leaf: Option<u16>,
        /// Why.
        why: Illegal,
    },
    /// A request of this member came to nothing.
    Denied {
        /// Which.
        request: Request,
        /// Why.
        why: Illegal,
    },
    /// The roster changed before a request took effect: ask again if it is still wanted.
    Confirm {
        /// Which.
        request: Request,
        /// The roster's hash now.
        roster: [u8; 32],
    },
    /// A new epoch that this member saw begin, told after the epoch itself.
    Changed {
        /// Its number.
        epoch: u64,
        /// Who made it, by leaf in the epoch before; nothing where no member did.
        committer: Option<u16>,
        /// Who came; of those who came again, their new leaf.
        came: Vec<Member>,
        /// Who went, as the epoch before knew them, and how.
        gone: Vec<(Member, Gone)>,
    },
    /// Another member made the epoch; what this one asked for is asked again.
    Lost {
        /// The epoch that ended.
        epoch: u64,
    },
    /// When the epoch that this member joined in, or came into late, began, as a committer says.
    Began {
        /// Which epoch.
        epoch: u64,
        /// On this member's clock.
        began: Time,
    },
    /// Another member now commits, for the one before was silent.
    Committer {
        /// On which leaf.
        leaf: u16,
    },
    /// A heartbeat is not what its sender's should be.
    Heartbeat {
        /// Whose.
        leaf: u16,
        /// Why.
        why: super::heartbeat::BeatError,
    },
    /// No heartbeat for ten seconds: somebody may be keeping messages back.
    HeartbeatMissing,
    /// None for thirty: senders stop until [`Event::Alive`].
    StopSealing,
    /// They come again.
    Alive,
    /// This member is out; nothing more comes.
    Left(Left),
    /// Messages name a later epoch, and for five seconds nothing has shown that this one still goes on: most likely
    /// this member missed a commit and has to join again. Anybody on the way can write such a name, so this is a hint
    /// for the user; what an app does by itself hangs on [`Event::StopSealing`] and [`Event::Left`].
    Stranded,
    /// What this member sent has not come back from the relay for [`super::WITHHELD_US`], and until it does it has no
    /// effect: a commit with these requests, or with none of them its wish to leave.
    Withheld {
        /// What was asked for, such as a lock or a removal, and does not hold.
        requests: Vec<Request>,
    },
    /// Messages came that nobody in the group can have sent, or not as they came: damaged, made up, or there before.
    /// Told at most every ten seconds, as anybody on the way can write such messages.
    Unreadable {
        /// How many so far.
        count: u64,
    },
    /// The relay left messages out, or repeats some.
    Order {
        /// The number that was due.
        expected: u64,
        /// The number that came.
        got: u64,
    },
    /// A signed word from a member to all, this one included: host actions and the like, in the order of the relay,
    /// which is the same for everybody.
    Told {
        /// From whom.
        leaf: u16,
        /// What.
        body: Zeroizing<Vec<u8>>,
    },
}

/// Why this member is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// It asked for it.
    Asked,
    /// Somebody removed it.
    Removed,
    /// No heartbeat for a minute.
    Silence,
    /// The library failed in the middle of a commit.
    Broken,
}

/// What a host asks of the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Let somebody in, in place of its former self where that is still in the tree.
    Admit {
        /// Its key package.
        key_package: Vec<u8>,
        /// The ticket of that.
        ticket: Ticket,
    },
    /// Take out whoever has this identity.
    Remove {
        /// Who.
        identity: IdentityKey,
        /// Whether it cannot wait.
        kick: bool,
    },
    /// Let in only those who are there.
    Lock,
    /// Let others in again.
    Unlock,
    /// Give a role.
    Role {
        /// To whom.
        identity: IdentityKey,
        /// Which.
        role: Role,
    },
    /// Change what may change of the policy besides lock and roles.
    Policy {
        /// Whether a recorder may be admitted.
        recorder_allowed: bool,
        /// Milliseconds for which a leaver may still open what is sent.
        leaver_window_ms: u32,
        /// Members at most.
        roster_limit: u16,
        /// Hash of the host's resolved meeting policy.
        meeting_policy: [u8; 32],
    },
    /// A new epoch with new keys.
    Renew,
}

impl Request {
    /// Whether it holds only for the roster that the host saw.
    pub fn names_roster(&self) -> bool {
        matches!(self, Request::Admit { .. } | Request::Lock | Request::Role { .. })
    }
}
