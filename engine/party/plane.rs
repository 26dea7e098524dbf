//! The control plane of a party: a group, whose keys the participants' devices make, or a member of an enhanced meeting,
//! whose keys come from a service. What a host asks for is asked in the same words.

use super::PartyError;
use crate::e2ee::group::card::Why;
use crate::e2ee::group::wire::Ticket;
use crate::e2ee::group::{EnginePolicy, Group, GroupError, Joining, MeetingType, Person, Request};
use crate::e2ee::{Epoch, IdentityKey, Profile, Role, Roster};
use crate::enhanced::member::Step;
use crate::enhanced::{Knocking, Member, Output, wire};
use crate::time::Time;

/// Where the keys of a meeting come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Keys {
    /// The engine's group: the participants' devices make them, and nobody else has them.
    Group,
    /// The service of an enhanced meeting, which can read it.
    Service,
    /// The app feeds them; what they are worth is the app's to say.
    App,
}

/// What runs now, as far as a shield may show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Facts {
    /// Where the keys come from, or will; nothing once the participant is gone.
    pub keys: Option<Keys>,
    /// The epoch that frames are sealed under; none while nothing may be sealed.
    pub sealing: Option<u64>,
    /// What kind of meeting that epoch's policy says it is.
    pub meeting: Option<MeetingType>,
    /// How that epoch's keys follow from its secret.
    pub profile: Option<Profile>,
    /// Whether that epoch's policy requires a suite that withstands a quantum computer.
    pub post_quantum: bool,
}

impl Facts {
    /// Those of keys from `keys`, where frames are sealed under `sealing`. An app that feeds its own says [`Keys::App`].
    pub fn of(keys: Option<Keys>, sealing: Option<&Epoch>) -> Self {
        let policy = sealing.and_then(|epoch| EnginePolicy::decode(&epoch.policy));
        Self {
            keys,
            sealing: sealing.map(|epoch| epoch.number),
            meeting: policy.as_ref().map(|policy| policy.meeting),
            profile: sealing.map(|epoch| epoch.profile),
            post_quantum: policy.is_some_and(|policy| policy.post_quantum),
        }
    }
}

/// See the module.
pub enum Plane {
    /// End-to-end encrypted.
    Group(Box<Group>),
    /// Enhanced.
    Service(Box<Member>),
}

/// On the way in.
pub(super) enum Door {
    Group(Box<Joining>),
    Service(Box<Knocking>),
}

/// What came of a message at the door.
pub(super) enum Entered {
    Not,
    Say(Vec<u8>),
    In(Plane),
}

impl Door {
    pub(super) fn handle(&mut self, message: &[u8], now: Time) -> Result<Entered, PartyError> {
        match self {
            Door::Group(joining) => {
                end_to_end(message)?;
                let group = joining.handle(message, now)?;
                Ok(group.map_or(Entered::Not, |group| Entered::In(Plane::Group(Box::new(group)))))
            }
            Door::Service(knocking) => Ok(match knocking.handle(message, now)? {
                Step::Waits => Entered::Not,
                Step::Say(message) => Entered::Say(message),
                Step::In(member) => Entered::In(Plane::Service(Box::new(member))),
            }),
        }
    }

    pub(super) fn keys(&self) -> Keys {
        match self {
            Door::Group(_) => Keys::Group,
            Door::Service(_) => Keys::Service,
        }
    }
}

/// A service speaks where a group is expected: the meeting is of the other type.
fn end_to_end(message: &[u8]) -> Result<(), GroupError> {
    if wire::is_enhanced(message) { Err(GroupError::Mismatch("meeting type")) } else { Ok(()) }
}

impl Plane {
    /// Lets in whoever knocked with these bytes.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn admit(&mut self, knock: &[u8], now: Time) -> Result<Person, GroupError> {
        match self {
            Plane::Group(group) => group.admit(knock, now),
            Plane::Service(member) => member.admit(knock),
        }
    }

    /// Asks for anything that a host may ask for.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn ask(&mut self, request: Request, now: Time) -> Result<(), GroupError> {
        match self {
            Plane::Group(group) => group.ask(request, now),
            Plane::Service(member) => member.ask(request),
        }
    }

    /// Takes a member out; a kick does not wait.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn remove(&mut self, leaf: u16, kick: bool, now: Time) -> Result<(), GroupError> {
        let member = self.roster().get(leaf).filter(|_| leaf != self.own_leaf()).ok_or(GroupError::NoMember)?;
        let identity = member.identity;
        self.ask(Request::Remove { identity, kick }, now)
    }

    /// Gives a member a role.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn set_role(&mut self, identity: IdentityKey, role: Role, now: Time) -> Result<(), GroupError> {
        self.roster().find(&identity).ok_or(GroupError::NoMember)?;
        self.ask(Request::Role { identity, role }, now)
    }

    /// Says something to all members, signed and in one order for all. In an enhanced meeting the service reads it.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn tell(&mut self, body: &[u8]) -> Result<(), GroupError> {
        match self {
            Plane::Group(group) => group.tell(body),
            Plane::Service(member) => member.tell(body),
        }
    }

    /// Says no to somebody who knocked, or has the service say it.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn deny(&mut self, to: Ticket, why: Why) -> Result<(), GroupError> {
        match self {
            Plane::Group(group) => group.deny(to, why),
            Plane::Service(member) => member.deny(to, why),
        }
    }

    /// Whose turn it is to make what somebody has to make, by leaf; of no interest where a service makes it.
    pub fn turn(&self) -> Option<u16> {
        match self {
            Plane::Group(group) => group.turn(),
            Plane::Service(_) => None,
        }
    }

    /// Who is in.
    pub fn roster(&self) -> &Roster {
        match self {
            Plane::Group(group) => group.roster(),
            Plane::Service(member) => member.roster(),
        }
    }

    /// What is agreed.
    pub fn policy(&self) -> &EnginePolicy {
        match self {
            Plane::Group(group) => group.policy(),
            Plane::Service(member) => member.policy(),
        }
    }

    /// Number of the epoch.
    pub fn epoch(&self) -> u64 {
        match self {
            Plane::Group(group) => group.epoch(),
            Plane::Service(member) => member.epoch(),
        }
    }

    /// When it began, on this participant's clock.
    pub fn began(&self) -> Time {
        match self {
            Plane::Group(group) => group.began(),
            Plane::Service(member) => member.began(),
        }
    }

    /// This participant's leaf.
    pub fn own_leaf(&self) -> u16 {
        match self {
            Plane::Group(group) => group.own_leaf(),
            Plane::Service(member) => member.own_leaf(),
        }
    }

    /// What only members of this epoch can say, and in an enhanced meeting the service.
    pub fn authenticator(&self) -> &[u8] {
        match self {
            Plane::Group(group) => group.authenticator(),
            Plane::Service(member) => member.authenticator(),
        }
    }

    /// Where the keys come from.
    pub fn keys(&self) -> Keys {
        match self {
            Plane::Group(_) => Keys::Group,
            Plane::Service(_) => Keys::Service,
        }
    }

    pub(super) fn handle(&mut self, message: &[u8], now: Time) -> Result<(), PartyError> {
        match self {
            Plane::Group(group) => {
                end_to_end(message)?;
                Ok(group.handle(message, now)?)
            }
            Plane::Service(member) => Ok(member.handle(message, now)?),
        }
    }

    pub(super) fn tick(&mut self, now: Time) {
        match self {
            Plane::Group(group) => group.tick(now),
            Plane::Service(member) => member.tick(now),
        }
    }

    pub(super) fn leave(&mut self, now: Time) {
        match self {
            Plane::Group(group) => group.leave(now),
            Plane::Service(member) => member.leave(now),
        }
    }

    pub(super) fn poll(&mut self) -> Option<Output> {
        match self {
            Plane::Group(group) => group.poll().map(Output::Group),
            Plane::Service(member) => member.poll(),
        }
    }
}
