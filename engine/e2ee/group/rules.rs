//! The one table that decides each commit. Every member applies it to what the commit says, before it takes effect; as
//! all see the same commits in the same order and the table looks at nothing else, all decide alike.
//!
//! Who *should* commit is not decided here (see [`super::committer`]): members may differ on who is online, and a rule
//! that reads such a view would split the group.

use std::collections::{BTreeMap, BTreeSet};

use super::event::Switch;
use super::identity::{LeafError, Person};
use super::policy::EnginePolicy;
use crate::e2ee::keys::MAX_LEAVES;
use crate::e2ee::{IdentityKey, Member, Role, Roster};

/// What a proposal does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Brings a member in.
    Add,
    /// Takes another member out.
    Remove,
    /// Takes its author out.
    Leave,
    /// Renews the keys of its author's leaf.
    Update,
    /// Changes policy, roles or lock.
    Policy,
    /// Anything else: external joins, pre-shared keys, a new start of the group, data of other kinds.
    Other,
}

/// Who does it, or commits it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Host or co-host.
    Ruling,
    /// Any other member.
    Ordinary,
    /// The relay, from outside the group.
    Relay,
}

use Who::{Ordinary, Relay, Ruling};

/// For each act: who may author it, and who may commit what another authored.
pub const TABLE: [(Act, &[Who], &[Who]); 7] = [
    (Act::Add, &[Ruling], &[Ruling]),
    (Act::Remove, &[Ruling], &[Ruling]),
    // A removal by the relay is one that somebody must commit although no host is online.
    (Act::Remove, &[Relay], &[Ruling, Ordinary]),
    (Act::Leave, &[Ruling, Ordinary], &[Ruling, Ordinary]),
    (Act::Update, &[Ruling, Ordinary], &[Ruling, Ordinary]),
    (Act::Policy, &[Ruling], &[Ruling]),
    (Act::Other, &[], &[]),
];

/// Why a commit or a proposal has no effect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Illegal {
    /// The table has no row for it.
    #[error("{author:?} authored and {committer:?} committed {act:?}: the rules do not allow that")]
    NotAllowed {
        /// What.
        act: Act,
        /// By whom.
        author: Who,
        /// In whose commit.
        committer: Who,
    },
    /// The author is not in the group.
    #[error("the author is neither a member nor the relay")]
    Stranger,
    /// A commit by somebody outside, a join of its own accord.
    #[error("nobody joins of its own accord: a host adds")]
    External,
    /// It takes out who is not in.
    #[error("leaf {0} has no member to remove")]
    NoSuchLeaf(u32),
    /// A leaf is not as leaves must be.
    #[error("a leaf is refused: {0}")]
    Leaf(#[from] LeafError),
    /// A renewed leaf belongs to somebody else.
    #[error("a renewed leaf changed who its owner is")]
    Person,
    /// The key package is meant to be used again.
    #[error("a key package of last resort is used more than once: never")]
    LastResort,
    /// A place beyond what key ids have room for.
    #[error("leaf {0} is beyond the last one, 1023")]
    TooFar(u16),
    /// Two members with one identity key.
    #[error("{0:?} is in the group already")]
    Twice(IdentityKey),
    /// A newcomer while the group is locked.
    #[error("{0:?} was not there when the group was locked")]
    Locked(IdentityKey),
    /// Too many.
    #[error("the group would have more than {0} members")]
    Full(u16),
    /// What is fixed at creation, or the rest of the group context.
    #[error("the commit changes what is fixed when the group is created")]
    Fixed,
    /// The group context has no policy that can be read.
    #[error("the policy cannot be read")]
    Unreadable,
    /// More than one change of policy.
    #[error("the commit changes the policy twice")]
    TwoPolicies,
    /// A lock that names others than those present.
    #[error("a lock names those who are there, and later only fewer")]
    Lock,
    /// A role for nobody.
    #[error("a role goes to a member: {0:?} is none")]
    RoleOfNobody(IdentityKey),
    /// A recorder where none is allowed.
    #[error("recorders are not allowed in this group")]
    Recorder,
    /// Nobody left to rule.
    #[error("the group would be left without a host")]
    NoHost,
}

/// The group in one epoch, as far as rules look at it.
#[derive(Clone, Debug)]
pub struct State {
    /// Number of the epoch.
    pub epoch: u64,
    /// Who is in.
    pub roster: Roster,
    /// What is agreed.
    pub policy: EnginePolicy,
}

/// Who authored a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Author {
    /// A member, by leaf.
    Leaf(u32),
    /// The relay.
    Relay,
    /// Somebody else.
    Stranger,
}

/// One proposal.
#[derive(Clone, Debug)]
pub struct Proposed {
    /// By whom.
    pub by: Author,
    /// What.
    pub change: Change,
}

/// What one proposal changes.
#[derive(Clone, Debug)]
pub enum Change {
    /// Somebody comes in.
    Add {
        /// Who, or why the leaf is none.
        person: Result<Person, LeafError>,
        /// Whether the key package says that it will be used again.
        last_resort: bool,
    },
    /// A member goes.
    Remove(u32),
    /// The author's leaf is renewed.
    Update(Result<Person, LeafError>),
    /// A new group context: its policy where it can be read, and whether the rest is as before.
    Policy(Option<Box<EnginePolicy>>, bool),
    /// What never is.
    Other,
}

/// What a legal commit leads to.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The next epoch.
    pub after: State,
    /// Leaves whose member is out or another one.
    pub removed: Vec<u16>,
    /// How soon senders move to it.
    pub switch: Switch,
}

impl State {
    fn who(&self, leaf: u32) -> Option<(&Member, Who)> {
        let member = self.roster.get(u16::try_from(leaf).ok()?)?;
        Some((member, if self.policy.role(&member.identity).rules() { Ruling } else { Ordinary }))
    }

    /// Whether `proposed` may stand in a commit of `committer`, whatever else is in it.
    ///
    /// # Errors
    /// [`Illegal`].
    pub fn permits(&self, proposed: &Proposed, committer: u32) -> Result<(), Illegal> {
        let (_, committer) = self.who(committer).ok_or(Illegal::Stranger)?;
        let (owner, author) = match proposed.by {
            Author::Leaf(leaf) => self.who(leaf).map(|(member, who)| (Some(member), who)).ok_or(Illegal::Stranger)?,
            Author::Relay => (None, Relay),
            Author::Stranger => return Err(Illegal::Stranger),
        };
        let act = match &proposed.change {
            Change::Add { .. } => Act::Add,
            Change::Remove(leaf) if proposed.by == Author::Leaf(*leaf) => Act::Leave,
            Change::Remove(_) => Act::Remove,
            Change::Update(_) => Act::Update,
            Change::Policy(..) => Act::Policy,
            Change::Other => Act::Other,
        };
        let allowed = TABLE.iter().any(|(row, authors, committers)| {
            *row == act && authors.contains(&author) && committers.contains(&committer)
        });
        if !allowed {
            return Err(Illegal::NotAllowed { act, author, committer });
        }
        match &proposed.change {
            Change::Add { last_resort: true, .. } => Err(Illegal::LastResort),
            Change::Add { person, .. } => person.as_ref().map(|_| ()).map_err(|why| (*why).into()),
            Change::Remove(leaf) => self.who(*leaf).map(|_| ()).ok_or(Illegal::NoSuchLeaf(*leaf)),
            Change::Update(person) => same(owner, person),
            Change::Policy(None, _) => Err(Illegal::Unreadable),
            Change::Policy(_, false) => Err(Illegal::Fixed),
            Change::Policy(..) | Change::Other => Ok(()),
        }
    }
}

/// Whether a renewed leaf is still its owner's.
fn same(owner: Option<&Member>, person: &Result<Person, LeafError>) -> Result<(), Illegal> {
    let (owner, person) = (owner.ok_or(Illegal::Stranger)?, person.as_ref().map_err(|why| Illegal::Leaf(*why))?);
    let is = (owner.identity, owner.media, &owner.name) == (person.identity, person.media, &person.name);
    if is { Ok(()) } else { Err(Illegal::Person) }
}

/// Decides the commit of `committer` with `proposals`; `path` is its own new leaf, where it has one.
///
/// # Errors
/// [`Illegal`]: then the commit has no effect and the epoch stays.
pub fn judge(
    before: &State,
    committer: u32,
    proposals: &[Proposed],
    path: Option<&Result<Person, LeafError>>,
) -> Result<Verdict, Illegal> {
    let (owner, _) = before.who(committer).ok_or(Illegal::Stranger)?;
    path.map_or(Ok(()), |person| same(Some(owner), person))?;
    proposals.iter().try_for_each(|proposed| before.permits(proposed, committer))?;
    let policy = policy_after(before, proposals)?;

    let mut members: BTreeMap<u16, Member> = before.roster.iter().map(|one| (one.leaf, one.clone())).collect();
    let (mut removed, mut kicked, mut gone_by_host) = (vec![], vec![], false);
    for proposed in proposals {
        let Change::Remove(leaf) = proposed.change else { continue };
        let leaf = u16::try_from(leaf).map_err(|_| Illegal::NoSuchLeaf(leaf))?;
        let member = members.remove(&leaf).ok_or(Illegal::NoSuchLeaf(leaf.into()))?;
        if matches!(proposed.by, Author::Leaf(author) if author != u32::from(leaf)) {
            kicked.push(member.identity);
            gone_by_host |= before.policy.role(&member.identity) == Role::Host;
        }
        removed.push(leaf);
    }
    let stayed: BTreeSet<IdentityKey> = members.values().map(|member| member.identity).collect();
    let mut present = stayed.clone();
    for proposed in proposals {
        let Change::Add { person: Ok(person), .. } = &proposed.change else { continue };
        // The library fills the lowest free leaf, in the order of the proposals.
        let leaf = (0..).find(|leaf| !members.contains_key(leaf)).unwrap_or(u16::MAX);
        if leaf >= MAX_LEAVES {
            return Err(Illegal::TooFar(leaf));
        }
        if !present.insert(person.identity) {
            return Err(Illegal::Twice(person.identity));
        }
        if policy.lock.as_ref().is_some_and(|lock| !lock.contains(&person.identity)) {
            return Err(Illegal::Locked(person.identity));
        }
        kicked.retain(|identity| *identity != person.identity);
        let Person { identity, media, name } = person.clone();
        let role = Role::default();
        members.insert(leaf, Member { leaf, joined: before.epoch + 1, identity, media, name, role });
    }
    if members.len() > usize::from(policy.roster_limit) {
        return Err(Illegal::Full(policy.roster_limit));
    }
    check_policy(before, &policy, &stayed, &present)?;
    let had = before.roster.iter().any(|member| before.policy.role(&member.identity) == Role::Host);
    let has = present.iter().any(|identity| policy.role(identity) == Role::Host);
    // A host may leave, and the relay may report it gone; nobody else takes the last one away.
    if had && (policy.roles != before.policy.roles || gone_by_host) && !has {
        return Err(Illegal::NoHost);
    }
    let members = members.into_values().map(|member| Member { role: policy.role(&member.identity), ..member });
    let after = State { epoch: before.epoch + 1, roster: Roster::new(members.collect()), policy };
    let switch = if kicked.is_empty() { Switch::Soon } else { Switch::AtOnce };
    Ok(Verdict { after, removed, switch })
}

fn policy_after(before: &State, proposals: &[Proposed]) -> Result<EnginePolicy, Illegal> {
    let mut changes = proposals.iter().filter_map(|proposed| match &proposed.change {
        Change::Policy(policy, _) => policy.as_deref(),
        _ => None,
    });
    let policy = changes.next().unwrap_or(&before.policy).clone();
    if changes.next().is_some() { Err(Illegal::TwoPolicies) } else { Ok(policy) }
}

fn check_policy(
    before: &State,
    policy: &EnginePolicy,
    stayed: &BTreeSet<IdentityKey>,
    present: &BTreeSet<IdentityKey>,
) -> Result<(), Illegal> {
    if !policy.same_kind(&before.policy) {
        return Err(Illegal::Fixed);
    }
    let locks = match (&before.policy.lock, &policy.lock) {
        (_, None) => true,
        (None, Some(now)) => now.is_subset(present) && stayed.is_subset(now),
        (Some(was), Some(now)) => now.is_subset(was),
    };
    if !locks {
        return Err(Illegal::Lock);
    }
    for (identity, role) in &policy.roles {
        let new = before.policy.role(identity) != *role;
        if new && !present.contains(identity) {
            return Err(Illegal::RoleOfNobody(*identity));
        }
        if new && *role == Role::Recorder && !policy.recorder_allowed {
            return Err(Illegal::Recorder);
        }
    }
    Ok(())
}
