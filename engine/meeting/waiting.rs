//! The door. Whoever knocks waits with no key and learns a count and nothing else; whoever rules sees who it is, by a key
//! that it has proven to hold, and lets it in or says no.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::event::{Alarm, Ended, Event};
use super::policy::{Client, MeetingPolicy};
use super::{Meeting, MeetingError, Stage};
use crate::e2ee::group::card::{Denial, Why};
use crate::e2ee::group::wire::{Envelope, Ticket, ticket};
use crate::e2ee::group::{MeetingType, Person, Request};
use crate::e2ee::{IdentityKey, Member, Role, Roster};
use crate::party::Keys;
use crate::time::Time;

/// Who waits at most; more are turned away.
pub const MAX_WAITING: usize = 256;

const VERSION: u8 = 1;

/// Somebody who waits to be let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Knock {
    /// Who it is: its identity key is proven, its name is what it says.
    pub person: Person,
    /// What it says of its client.
    pub client: Option<Client>,
    /// Of which meeting its invite is.
    invite: (MeetingType, [u8; 32]),
    key_package: Vec<u8>,
    ticket: Ticket,
    /// A host has let it in, and it has not come yet.
    asked: bool,
    /// This participant was told of it.
    told: bool,
}

/// What somebody who knocks says beside its name, under its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Card {
    pub(crate) meeting: MeetingType,
    pub(crate) policy: [u8; 32],
    pub(crate) client: Vec<u8>,
}

impl Card {
    /// `u8 version ‖ u8 meeting type ‖ 32 bytes hash of the policy ‖ client`.
    pub(crate) fn encode(&self) -> Vec<u8> {
        [&[VERSION, self.meeting as u8][..], &self.policy, &self.client].concat()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let ([version, meeting], rest) = bytes.split_first_chunk()?;
        let (policy, client) = rest.split_first_chunk()?;
        let meeting = MeetingType::from_number(*meeting).filter(|_| *version == VERSION)?;
        Some(Self { meeting, policy: *policy, client: client.to_vec() })
    }
}

/// Those who wait.
#[derive(Default)]
pub(crate) struct Lobby {
    knocks: BTreeMap<IdentityKey, Knock>,
    /// Those whom this host is taking out, while they are still in the tree.
    going: BTreeSet<IdentityKey>,
    /// Tickets of all who knocked, the latest of them: each is considered once, whatever became of it.
    seen: VecDeque<Ticket>,
}

/// Tickets that are remembered.
const MAX_SEEN: usize = 1024;

impl Lobby {
    /// `false`: there is no room.
    fn put(&mut self, knock: Knock) -> bool {
        let room = self.knocks.len() < MAX_WAITING || self.knocks.contains_key(&knock.person.identity);
        if room {
            self.seen.push_back(knock.ticket);
            if self.seen.len() > MAX_SEEN {
                self.seen.pop_front();
            }
            self.knocks.insert(knock.person.identity, knock);
        }
        room
    }

    fn by_ticket(&mut self, ticket: &Ticket) -> Option<&mut Knock> {
        self.knocks.values_mut().find(|knock| knock.ticket == *ticket)
    }

    /// A host is letting it in.
    pub(crate) fn admitted(&mut self, ticket: &Ticket) {
        if let Some(knock) = self.by_ticket(ticket) {
            knock.asked = true;
        }
    }

    /// It was told no.
    pub(crate) fn denied(&mut self, ticket: &Ticket) {
        self.knocks.retain(|_, knock| knock.ticket != *ticket);
    }

    /// This host takes a member out: from now on its key alone does not lead it back in.
    pub(crate) fn put_out(&mut self, identity: &IdentityKey) {
        self.knocks.remove(identity);
        self.going.insert(*identity);
    }

    /// It stays after all.
    pub(crate) fn stays(&mut self, identity: &IdentityKey) {
        self.going.remove(identity);
    }

    /// A new epoch has these people.
    pub(crate) fn epoch(&mut self, roster: &Roster) {
        self.going.retain(|identity| roster.find(identity).is_some());
    }

    /// It is in.
    pub(crate) fn came(&mut self, identity: &IdentityKey) {
        self.knocks.remove(identity);
    }
}

impl Meeting {
    /// Who waits to be let in; to a host.
    pub fn waiting(&self) -> impl Iterator<Item = &Knock> {
        self.lobby.knocks.values().filter(|knock| !knock.asked)
    }

    /// Lets in somebody who waits.
    ///
    /// # Errors
    /// [`MeetingError::NoKnock`], [`MeetingError::NotAllowed`], [`MeetingError::Group`].
    pub fn admit(&mut self, identity: &IdentityKey, now: Time) -> Result<(), MeetingError> {
        let knock = self.lobby.knocks.get(identity).ok_or(MeetingError::NoKnock)?.clone();
        self.let_in(&knock, now)?;
        self.act(super::action::Action::Admit(knock.ticket))
    }

    /// Turns somebody away who waits, and tells it so.
    ///
    /// # Errors
    /// [`MeetingError::NoKnock`], [`MeetingError::NotAllowed`], [`MeetingError::Group`].
    pub fn deny(&mut self, identity: &IdentityKey) -> Result<(), MeetingError> {
        let ticket = self.lobby.knocks.get(identity).ok_or(MeetingError::NoKnock)?.ticket;
        self.group()?.deny(ticket, Why::Host)?;
        self.act(super::action::Action::Deny(ticket))?;
        self.lobby.denied(&ticket);
        Ok(())
    }

    fn let_in(&mut self, knock: &Knock, now: Time) -> Result<(), MeetingError> {
        self.group()?.admit(&knock.key_package, now)?;
        self.lobby.admitted(&knock.ticket);
        Ok(())
    }

    /// Somebody knocks. One host's device turns away and lets in by itself; what is left is for people to decide. The
    /// others keep in mind who waits, for they may rule one day.
    pub(crate) fn knocked(&mut self, key_package: Vec<u8>, person: Person, card: &[u8], now: Time) {
        let ticket = ticket(&key_package);
        // Members hear of every knock, and could say one again: without its card, while it is being let in, or after its
        // author has come by another. A service says by itself who waits.
        let service = self.party.facts().keys == Some(Keys::Service);
        if !service && self.lobby.seen.contains(&ticket) {
            return;
        }
        let card = Card::decode(card);
        let (invite, client) = match card {
            Some(card) => ((card.meeting, card.policy), Client::decode(&card.client)),
            // At an enhanced meeting the service has seen to it that the invite is the same.
            None if service => {
                let agreed = self.policy.as_ref().map(|policy| policy.meeting_policy);
                ((MeetingType::Enhanced, agreed.unwrap_or(self.config.party.group.meeting_policy)), None)
            }
            None => Default::default(),
        };
        let knock = Knock { person, client, invite, key_package, ticket, asked: false, told: false };
        if !self.lobby.put(knock.clone()) {
            return self.turn_away(knock, Why::Full);
        }
        self.consider(&knock, now);
    }

    /// Does with one who waits what this device does by itself.
    fn consider(&mut self, knock: &Knock, now: Time) {
        match self.verdict(knock) {
            Err(why) => self.turn_away(knock.clone(), why),
            Ok(true) if self.decides(&knock.person.identity) => {
                if let Err(why) = self.let_in(knock, now) {
                    tracing::warn!("somebody could not be let in: {why}");
                }
            }
            Ok(false) if !knock.told && self.own_role().is_some_and(Role::rules) => {
                if let Some(knock) = self.lobby.by_ticket(&knock.ticket) {
                    knock.told = true;
                }
                self.tell(Event::Knock(knock.clone()));
            }
            Ok(_) => {}
        }
    }

    /// Those who wait are this device's to look after from now on: it rules and did not before, or whoever did is gone.
    pub(crate) fn take_the_door(&mut self, now: Time) {
        self.lobby.knocks.values_mut().for_each(|knock| knock.asked = false);
        let waiting: Vec<Knock> = self.lobby.knocks.values().cloned().collect();
        waiting.iter().for_each(|knock| self.consider(knock, now));
    }

    /// Whether somebody may come in, and whether at once.
    fn verdict(&self, knock: &Knock) -> Result<bool, Why> {
        let policy = self.policy.as_ref().ok_or(Why::Invite)?;
        if knock.invite != (policy.meeting, policy.meeting_policy) {
            return Err(Why::Invite);
        }
        if self.config.policy.as_ref().is_some_and(|rules| !admits(rules, knock.client.as_ref())) {
            return Err(Why::Client);
        }
        let identity = &knock.person.identity;
        match &policy.lock {
            Some(lock) if lock.contains(identity) && !self.lobby.going.contains(identity) => Ok(true),
            Some(_) => Err(Why::Locked),
            // Whoever is in the tree and knocks has lost its state: its key says that it is the same.
            None => {
                let again = self.roster.find(identity).is_some() && !self.lobby.going.contains(identity);
                Ok(!self.config.waiting_room || again)
            }
        }
    }

    /// It is no longer thought of; the device that decides tells it.
    fn turn_away(&mut self, knock: Knock, why: Why) {
        self.lobby.denied(&knock.ticket);
        let told = self.decides(&knock.person.identity)
            && self.group().and_then(|group| Ok(group.deny(knock.ticket, why)?)).is_ok();
        if told {
            self.tell(Event::TurnedAway { person: knock.person, why });
        }
    }

    /// A request of this participant to let somebody in came to nothing: it is told.
    pub(crate) fn not_let_in(&mut self, ticket: &Ticket, why: Why) {
        let Some(knock) = self.lobby.by_ticket(ticket).cloned() else { return };
        self.lobby.denied(ticket);
        if self.group().and_then(|group| Ok(group.deny(*ticket, why)?)).is_ok() {
            self.tell(Event::TurnedAway { person: knock.person, why });
        }
    }

    /// The roster changed before somebody came in. Where everybody may come in, that changes nothing; where a host
    /// decides, it is asked again.
    pub(crate) fn confirm_admit(&mut self, request: Request, ticket: &Ticket, now: Time) {
        let Some(knock) = self.lobby.by_ticket(ticket).cloned() else { return };
        match self.verdict(&knock) {
            Ok(true) => {
                let _ = self.let_in(&knock, now);
            }
            Ok(false) => {
                if let Some(knock) = self.lobby.by_ticket(ticket) {
                    knock.asked = false;
                }
                self.tell(Event::Confirm(request));
            }
            Err(why) => self.turn_away(knock, why),
        }
    }

    /// Whether this device does what rules decide without people: that of whoever rules and is heard, the first host, else
    /// the first co-host. Nobody decides about itself: who knocks has lost what it had.
    fn decides(&mut self, knocks: &IdentityKey) -> bool {
        let turn = self.party.plane().ok().and_then(|plane| plane.turn());
        let able = |member: &&Member| member.role.rules() && member.identity != *knocks;
        let first = |role| self.roster.iter().filter(able).find(|member| member.role == role);
        let turn = turn.and_then(|leaf| self.roster.get(leaf)).filter(able);
        let decider = turn.or_else(|| first(Role::Host)).or_else(|| first(Role::CoHost));
        decider.is_some_and(|member| member.identity == self.device.identity())
    }

    /// What comes to somebody who waits, its welcome aside. `false`: it is something else.
    pub(crate) fn at_the_door(&mut self, message: &[u8]) -> bool {
        let Some(own) = self.party.ticket() else { return false };
        match Envelope::decode(message) {
            Ok(Envelope::Room { members, waiting }) => self.tell(Event::Waiting { members, waiting }),
            Ok(Envelope::Denied { to, body }) if to == own => {
                let group = &self.config.party.group;
                let Some(Denial { by, why, .. }) = Denial::read(body, &group.group, &own) else { return true };
                // Without a host in the invite there is nobody whose word would be better than the relay's.
                if group.host.is_some_and(|host| host != by) {
                    self.tell(Event::SaidNo { by, why });
                } else {
                    self.tell(Event::Alarm(Alarm::Denied(why)));
                    self.finish(Ended::Denied(why));
                }
            }
            _ => return false,
        }
        debug_assert!(matches!(self.stage, Stage::Waiting | Stage::Out(_)));
        true
    }
}

/// Whether the rules let somebody in with this client; an enhanced meeting takes all.
fn admits(rules: &MeetingPolicy, client: Option<&Client>) -> bool {
    client.map_or(rules.meeting() == MeetingType::Enhanced, |client| rules.admit(client).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_has_one_encoding() {
        let card = Card { meeting: MeetingType::EndToEnd, policy: [4; 32], client: b"desktop 6.1".to_vec() };
        assert_eq!(Card::decode(&card.encode()), Some(card.clone()));
        assert_eq!(Card::decode(&card.encode()[..33]), None);
        assert_eq!(Card::decode(&[&[2][..], &card.encode()[1..]].concat()), None);
    }
}
