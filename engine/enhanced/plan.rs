//! How a meeting goes from one epoch to the next: what members asked for, signed; what the service may do by itself; and
//! the one table that says where both lead. The service applies it to make an epoch, every member to judge it.

use std::collections::BTreeMap;

use super::entry::Entry;
use super::sign::{Domain, Label, SIGNATURE};
use super::wire::{encode_acts, encode_ask};
use super::{Alarm, EnhancedError};
use crate::e2ee::group::card::Why;
use crate::e2ee::group::event::Request;
use crate::e2ee::group::policy::EnginePolicy;
use crate::e2ee::group::rules::{Author, Change, Illegal, Proposed, State, Verdict, conclude};
use crate::e2ee::group::wire::{Ticket, sha256};
use crate::e2ee::group::{Device, Person};
use crate::e2ee::{Member, Role, Roster};

/// What a member asks of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// What hosts ask for; new keys anybody may ask for.
    Do(Request),
    /// To be taken out.
    Leave,
    /// That whoever knocked with this ticket is told no. It leads to no epoch.
    Deny(Ticket, Why),
}

/// One stay of a member: a leaf, and the epoch in which it came there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stay {
    /// The leaf.
    pub leaf: u16,
    /// The epoch.
    pub joined: u64,
}

impl Stay {
    /// That of a member.
    pub fn of(member: &Member) -> Self {
        Self { leaf: member.leaf, joined: member.joined }
    }

    pub(crate) fn bytes(self) -> [u8; 10] {
        let mut out = [0; 10];
        out[..2].copy_from_slice(&self.leaf.to_be_bytes());
        out[2..].copy_from_slice(&self.joined.to_be_bytes());
        out
    }
}

/// What a member asked for, with its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// By whom.
    pub stay: Stay,
    /// Rises from wish to wish of a stay, so that none counts twice.
    pub sequence: u64,
    /// Hash of the roster that its author saw.
    pub seen: [u8; 32],
    /// What.
    pub ask: Ask,
    /// By the author's identity key.
    pub signature: [u8; SIGNATURE],
}

impl Wish {
    /// A wish of this device's member.
    ///
    /// # Errors
    /// [`EnhancedError::Signature`].
    pub fn sign(
        device: &Device,
        domain: &Domain,
        stay: Stay,
        sequence: u64,
        seen: [u8; 32],
        ask: Ask,
    ) -> Result<Self, EnhancedError> {
        let unsigned = Self { stay, sequence, seen, ask, signature: [0; SIGNATURE] };
        let signature = domain.sign(device, Label::Wish, &[&unsigned.text()])?;
        Ok(Self { signature, ..unsigned })
    }

    /// What is signed.
    pub(crate) fn text(&self) -> Vec<u8> {
        let mut out = self.stay.bytes().to_vec();
        out.extend(self.sequence.to_be_bytes());
        out.extend(self.seen);
        encode_ask(&mut out, &self.ask);
        out
    }

    /// Its author, where that is in and signed it.
    pub(crate) fn author<'a>(&self, roster: &'a Roster, domain: &Domain) -> Option<&'a Member> {
        let author = roster.get(self.stay.leaf).filter(|member| member.joined == self.stay.joined)?;
        domain.holds(&author.identity.0, Label::Wish, &[&self.text()], &self.signature).then_some(author)
    }

    /// Whether it holds only for the roster that its author saw.
    pub(crate) fn names_roster(&self) -> bool {
        matches!(&self.ask, Ask::Do(request) if request.names_roster())
    }
}

/// One of the things that lead to an epoch. An epoch without any has new keys and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// A member asked for it.
    Wish(Wish),
    /// The service takes somebody out, for its connection is gone.
    Lost(Stay),
    /// While nobody in the meeting rules, its host comes in by itself: to found it, or to come back.
    Host(Entry),
}

/// The last sequence numbers of the wishes of each stay.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sequences(BTreeMap<Stay, u64>);

impl Sequences {
    /// Takes the next number of a stay; `false` where it was there before.
    pub(crate) fn take(&mut self, stay: Stay, sequence: u64) -> bool {
        let last = self.0.entry(stay).or_default();
        let rises = sequence > *last;
        *last = sequence.max(*last);
        rises
    }

    /// Forgets who is gone.
    pub(crate) fn keep(&mut self, roster: &Roster) {
        self.0.retain(|stay, _| roster.get(stay.leaf).is_some_and(|member| Stay::of(member) == *stay));
    }
}

/// Where `acts` lead, as everybody computes it.
///
/// # Errors
/// [`Alarm::Illegal`]; nothing changes then.
pub(crate) fn conclusion(before: &State, acts: &[Act]) -> Result<Verdict, Alarm> {
    conclusion_of(before, acts).map_err(Alarm::Illegal)
}

fn conclusion_of(before: &State, acts: &[Act]) -> Result<Verdict, Illegal> {
    let (mut removals, mut adds) = (BTreeMap::new(), vec![]);
    let (mut policy, mut kicked) = (before.policy.clone(), vec![]);
    let rules = |member: &Member| before.policy.role(&member.identity).rules();
    for act in acts {
        let wish = match act {
            Act::Lost(stay) => {
                let there = before.roster.get(stay.leaf).is_some_and(|member| Stay::of(member) == *stay);
                if !there {
                    return Err(Illegal::NoSuchLeaf(stay.leaf.into()));
                }
                removals.entry(stay.leaf).or_insert(Author::Relay);
                continue;
            }
            Act::Host(entry) => {
                let host = before.policy.role(&entry.person.identity) == Role::Host;
                if !host || before.roster.iter().any(rules) {
                    return Err(Illegal::External);
                }
                if let Some(former) = before.roster.find(&entry.person.identity) {
                    removals.entry(former.leaf).or_insert(Author::Relay);
                }
                adds.push((Author::Relay, entry.person.clone()));
                continue;
            }
            Act::Wish(wish) => wish,
        };
        let author = before.roster.get(wish.stay.leaf).ok_or(Illegal::Stranger)?;
        let by = Author::Leaf(author.leaf.into());
        let request = match &wish.ask {
            Ask::Do(request) => request,
            Ask::Leave => {
                removals.entry(author.leaf).or_insert(by);
                continue;
            }
            Ask::Deny(..) => return Err(Illegal::Unasked),
        };
        if !rules(author) {
            return Err(Illegal::Unasked);
        }
        match request {
            Request::Admit { key_package, .. } => {
                let entry = Entry::decode(key_package).ok_or(Illegal::Unreadable)?;
                if let Some(former) = before.roster.find(&entry.person.identity) {
                    removals.entry(former.leaf).or_insert(by);
                }
                adds.push((by, entry.person));
            }
            Request::Remove { identity, .. } => {
                // The later word counts: whoever was to come in before does not.
                adds.retain(|(_, person): &(Author, Person)| person.identity != *identity);
                kicked.push(identity);
                let Some(member) = before.roster.find(identity) else { continue };
                // Who is put out cannot make it a leave, for which senders take longer.
                removals.insert(member.leaf, by);
            }
            Request::Lock => policy.lock = Some(before.roster.iter().map(|member| member.identity).collect()),
            Request::Unlock => policy.lock = None,
            Request::Role { identity, role } => policy.set_role(*identity, *role),
            Request::Policy { recorder_allowed, leaver_window_ms, roster_limit, meeting_policy } => {
                policy.recorder_allowed = *recorder_allowed;
                policy.leaver_window_ms = *leaver_window_ms;
                policy.roster_limit = *roster_limit;
                policy.meeting_policy = *meeting_policy;
            }
            Request::Renew => {}
        }
    }
    kicked.into_iter().for_each(|identity| policy.put_out(identity));
    // What cannot be read back is no policy.
    let policy = EnginePolicy::decode(&policy.encode()).ok_or(Illegal::Unreadable)?;
    let removals = removals.into_iter().map(|(leaf, by)| Proposed { by, change: Change::Remove(leaf.into()) });
    let adds = adds
        .into_iter()
        .map(|(by, person)| Proposed { by, change: Change::Add { person: Ok(person), last_resort: false } });
    let changed = (policy != before.policy)
        .then(|| Proposed { by: Author::Relay, change: Change::Policy(Some(Box::new(policy)), true) });
    let proposals: Vec<_> = removals.chain(adds).chain(changed).collect();
    conclude(before, &proposals)
}

/// What the service signs of an epoch. The hash of it is the link that the next epoch names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Number of the epoch.
    pub epoch: u64,
    /// The link of the epoch before.
    pub previous: [u8; 32],
    /// Hash of the acts that led here.
    pub acts: [u8; 32],
    /// Hash of the roster, media keys, names and stays included.
    pub roster: [u8; 32],
    /// Hash of the policy.
    pub policy: [u8; 32],
    /// What only holders of the epoch's secret can say.
    pub commitment: [u8; 32],
}

impl Statement {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let hashes = [self.previous, self.acts, self.roster, self.policy, self.commitment];
        [&self.epoch.to_be_bytes()[..], hashes.as_flattened()].concat()
    }

    /// Its hash.
    pub fn link(&self) -> [u8; 32] {
        sha256(&self.encode())
    }
}

/// Hash of the acts.
pub fn acts_hash(acts: &[Act]) -> [u8; 32] {
    let mut out = vec![];
    encode_acts(&mut out, acts);
    sha256(&out)
}

/// Hash of a roster with all that it says.
pub fn roster_hash(roster: &Roster) -> [u8; 32] {
    let mut out = vec![];
    for member in roster {
        out.extend(Stay::of(member).bytes());
        out.extend(member.identity.0);
        out.extend(member.media.0);
        out.push(member.role as u8);
        out.extend((member.name.len() as u16).to_be_bytes());
        out.extend(member.name.as_bytes());
    }
    sha256(&out)
}
