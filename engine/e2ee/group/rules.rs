//! The one table that decides each commit. Every member applies it to what the commit says, before it takes effect; as
//! all see the same commits in the same order and the table looks at nothing else, all decide alike.
//!
//! Who *should* commit is not decided here (see [`super::committer`]): members may differ on who is online, and a rule
//! that reads such a view would split the group.

use std::collections::{BTreeMap, BTreeSet};

use super::event::{Gone, Switch};
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
    /// An ordinary member commits nothing that another asked for. It could do so without end and leave no room for the
    /// hosts' commits, its own removal among them.
    #[error("who does not rule commits only together with what others proposed")]
    Unasked,
    /// The library did not make the commit.
    #[error("the commit could not be made")]
    NotMade,
    /// It would be longer than what the relay passes on.
    #[error("the commit or its welcome would be longer than 2 MiB")]
    TooLong,
    /// A leaf whose encryption key a node of the tree has already, or somebody proposed before.
    #[error("a leaf has an encryption key that is in use")]
    UsedKey,
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
    /// Who is no longer on its leaf, and how it went.
    pub gone: Vec<(Member, Gone)>,
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
    let (owner, who) = before.who(committer).ok_or(Illegal::Stranger)?;
    path.map_or(Ok(()), |person| same(Some(owner), person))?;
    proposals.iter().try_for_each(|proposed| before.permits(proposed, committer))?;
    if who == Ordinary && proposals.iter().all(|proposed| proposed.by == Author::Leaf(committer)) {
        return Err(Illegal::Unasked);
    }
    conclude(before, proposals)
}

/// Where `proposals` lead, once it is known that their authors may make them.
pub(crate) fn conclude(before: &State, proposals: &[Proposed]) -> Result<Verdict, Illegal> {
    let policy = policy_after(before, proposals)?;

    let mut members: BTreeMap<u16, Member> = before.roster.iter().map(|one| (one.leaf, one.clone())).collect();
    let mut gone = vec![];
    for proposed in proposals {
        let Change::Remove(leaf) = proposed.change else { continue };
        let leaf = u16::try_from(leaf).map_err(|_| Illegal::NoSuchLeaf(leaf))?;
        let member = members.remove(&leaf).ok_or(Illegal::NoSuchLeaf(leaf.into()))?;
        let how = match proposed.by {
            Author::Leaf(author) if author == u32::from(leaf) => Gone::Left,
            Author::Leaf(author) => Gone::Host(u16::try_from(author).map_err(|_| Illegal::Stranger)?),
            Author::Relay | Author::Stranger => Gone::Relay,
        };
        gone.push((member, how));
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
        let former = gone.iter_mut().filter(|(former, _): &&mut (Member, _)| former.identity == person.identity);
        former.for_each(|(_, how)| *how = Gone::Replaced);
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
    let kicked = gone.iter().filter(|(_, how)| matches!(how, Gone::Host(_)));
    let kicked: Vec<Role> = kicked.map(|(member, _)| before.policy.role(&member.identity)).collect();
    // A host may leave, and the relay may report it gone; nobody else takes the last one away.
    if had && (policy.roles != before.policy.roles || kicked.contains(&Role::Host)) && !has {
        return Err(Illegal::NoHost);
    }
    let members = members.into_values().map(|member| Member { role: policy.role(&member.identity), ..member });
    let after = State { epoch: before.epoch + 1, roster: Roster::new(members.collect()), policy };
    let switch = if kicked.is_empty() { Switch::Soon } else { Switch::AtOnce };
    Ok(Verdict { after, gone, switch })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::e2ee::MediaKey;

    fn person(key: u8) -> Person {
        Person { identity: IdentityKey([key; 32]), media: MediaKey([key ^ 0xff; 32]), name: format!("{key}") }
    }

    /// Leaf 0 is the host, leaf 1 the co-host, 2 and 3 take part.
    fn state() -> State {
        let mut policy = super::super::policy::tests::policy();
        policy.lock = None;
        policy.roles = BTreeMap::from([(IdentityKey([0; 32]), Role::Host), (IdentityKey([1; 32]), Role::CoHost)]);
        let member = |leaf: u8| {
            let Person { identity, media, name } = person(leaf);
            Member { leaf: leaf.into(), joined: 0, identity, media, name, role: policy.role(&identity) }
        };
        State { epoch: 4, roster: Roster::new((0..4).map(member).collect()), policy }
    }

    fn by(leaf: u32, change: Change) -> Proposed {
        Proposed { by: Author::Leaf(leaf), change }
    }

    fn add(key: u8) -> Change {
        Change::Add { person: Ok(person(key)), last_resort: false }
    }

    fn policy(change: impl FnOnce(&mut EnginePolicy)) -> Change {
        let mut policy = state().policy;
        change(&mut policy);
        Change::Policy(Some(Box::new(policy)), true)
    }

    fn verdict(committer: u32, proposals: &[Proposed]) -> Result<(usize, Switch), Illegal> {
        judge(&state(), committer, proposals, None).map(|verdict| (verdict.after.roster.len(), verdict.switch))
    }

    #[test]
    fn each_act_has_its_authors_and_committers() {
        let relay = |change| Proposed { by: Author::Relay, change };
        assert_eq!(verdict(1, &[by(1, add(7)), by(1, Change::Remove(2))]), Ok((4, Switch::AtOnce)));
        assert_eq!(verdict(3, &[by(2, Change::Remove(2)), relay(Change::Remove(0))]), Ok((2, Switch::Soon)));
        assert_eq!(verdict(3, &[by(2, Change::Update(Ok(person(2))))]), Ok((4, Switch::Soon)));
        for (committer, proposal) in [
            (2, by(2, add(7))),
            (2, by(0, add(7))),
            (2, by(2, Change::Remove(3))),
            (2, by(2, policy(|policy| policy.recorder_allowed = true))),
            (0, relay(add(7))),
            (0, relay(policy(|policy| policy.recorder_allowed = true))),
            (0, by(0, Change::Other)),
        ] {
            assert!(matches!(verdict(committer, &[proposal]), Err(Illegal::NotAllowed { .. })));
        }
        assert_eq!((verdict(0, &[]), verdict(1, &[])), (Ok((4, Switch::Soon)), Ok((4, Switch::Soon))));
        assert_eq!(verdict(2, &[]), Err(Illegal::Unasked));
        assert_eq!(verdict(9, &[]), Err(Illegal::Stranger));
        assert_eq!(verdict(0, &[Proposed { by: Author::Stranger, change: add(7) }]), Err(Illegal::Stranger));
        assert_eq!(verdict(0, &[by(2, Change::Update(Ok(person(3))))]), Err(Illegal::Person));
        assert_eq!(verdict(0, &[by(0, Change::Remove(8))]), Err(Illegal::NoSuchLeaf(8)));
        let last_resort = Change::Add { person: Ok(person(7)), last_resort: true };
        assert_eq!(verdict(0, &[by(0, last_resort)]), Err(Illegal::LastResort));
        assert_eq!(verdict(0, &[by(0, Change::Policy(None, true))]), Err(Illegal::Unreadable));
    }

    #[test]
    fn a_rejoin_is_one_commit_and_a_second_self_is_none() {
        assert_eq!(verdict(0, &[by(0, Change::Remove(2)), by(0, add(2))]), Ok((4, Switch::Soon)));
        assert_eq!(verdict(0, &[by(0, add(2))]), Err(Illegal::Twice(IdentityKey([2; 32]))));
    }

    #[test]
    fn locks_limits_and_hosts_hold() {
        let all: BTreeSet<_> = (0..4).map(|key| IdentityKey([key; 32])).collect();
        let lock = |lock: &BTreeSet<IdentityKey>| by(0, policy(|policy| policy.lock = Some(lock.clone())));
        assert_eq!(verdict(0, &[lock(&all)]), Ok((4, Switch::Soon)));
        assert_eq!(verdict(0, &[lock(&all), by(0, add(7))]), Err(Illegal::Locked(IdentityKey([7; 32]))));
        let with_friend = all.iter().copied().chain([IdentityKey([8; 32])]).collect();
        assert_eq!(verdict(0, &[lock(&with_friend)]), Err(Illegal::Lock));
        let full = by(0, policy(|policy| policy.roster_limit = 4));
        assert_eq!(verdict(0, &[full, by(0, add(7))]), Err(Illegal::Full(4)));
        assert_eq!(verdict(1, &[by(1, Change::Remove(0))]), Err(Illegal::NoHost));
        assert_eq!(verdict(1, &[by(1, policy(|policy| policy.roles.clear()))]), Err(Illegal::NoHost));
        let fixed = by(0, policy(|policy| policy.post_quantum = false));
        assert_eq!(verdict(0, &[fixed]), Err(Illegal::Fixed));
        let recorder = by(0, policy(|policy| policy.set_role(IdentityKey([2; 32]), Role::Recorder)));
        assert_eq!(verdict(0, &[recorder]), Err(Illegal::Recorder));
        let nobody = by(0, policy(|policy| policy.set_role(IdentityKey([9; 32]), Role::Host)));
        assert_eq!(verdict(0, &[nobody]), Err(Illegal::RoleOfNobody(IdentityKey([9; 32]))));
    }
}
