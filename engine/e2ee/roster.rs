//! Who is in the group in one epoch, as the tree of the group says: nobody else is ever shown or believed.

use aws_lc_rs::digest::{SHA256, digest};

/// The key that a member is known by: Ed25519, the signature key of its leaf.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdentityKey(pub [u8; 32]);

/// The key that a member signs its media with: Ed25519, in its leaf and covered by the leaf's signature.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MediaKey(pub [u8; 32]);

/// What a member may do. The value is its number in the roster's encoding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[repr(u8)]
pub enum Role {
    /// Sends and receives.
    #[default]
    Participant = 0,
    /// Receives only, and is seen by all. It sends no media and nobody takes any of it; data it sends as anybody does,
    /// chat too, so that it can say what it does.
    Recorder = 1,
    /// Admits, removes and rules beside the host.
    CoHost = 2,
    /// Admits, removes and rules.
    Host = 3,
}

impl Role {
    /// The role with this number.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Role::Participant),
            1 => Some(Role::Recorder),
            2 => Some(Role::CoHost),
            3 => Some(Role::Host),
            _ => None,
        }
    }

    /// Its name on screen.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Participant => "participant",
            Role::Recorder => "recorder",
            Role::CoHost => "co-host",
            Role::Host => "host",
        }
    }

    /// Host or co-host.
    pub const fn rules(self) -> bool {
        matches!(self, Role::Host | Role::CoHost)
    }
}

/// One member in one epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its place in the tree, below [`super::keys::MAX_LEAVES`]. A later member may get the same one.
    pub leaf: u16,
    /// The epoch it came in: together with the leaf it names one stay in the group.
    pub joined: u64,
    /// Who it is.
    pub identity: IdentityKey,
    /// What its proofs are verified with.
    pub media: MediaKey,
    /// The name it gave itself, signed with its leaf.
    pub name: String,
    /// What it may do.
    pub role: Role,
}

/// The members of one epoch, by leaf.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster(Vec<Member>);

impl Roster {
    /// A roster of `members`, in any order; of two on one leaf the first counts.
    pub fn new(mut members: Vec<Member>) -> Self {
        members.sort_by_key(|member| member.leaf);
        members.dedup_by_key(|member| member.leaf);
        Self(members)
    }

    /// Who is on `leaf`.
    pub fn get(&self, leaf: u16) -> Option<&Member> {
        self.0.binary_search_by_key(&leaf, |member| member.leaf).ok().map(|at| &self.0[at])
    }

    /// Who has this identity key.
    pub fn find(&self, identity: &IdentityKey) -> Option<&Member> {
        self.0.iter().find(|member| member.identity == *identity)
    }

    /// All members, by leaf.
    pub fn iter(&self) -> std::slice::Iter<'_, Member> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Nobody.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The encoding that codes and votes are taken over (E2EE.md §7): `u16 len ‖ identity key ‖ u8 role`, sorted.
    pub fn encode(&self) -> Vec<u8> {
        let mut entries: Vec<_> = self.0.iter().map(|member| (member.identity, member.role as u8)).collect();
        entries.sort_unstable();
        let mut out = Vec::with_capacity(entries.len() * 35);
        for (identity, role) in entries {
            out.extend_from_slice(&(identity.0.len() as u16).to_be_bytes());
            out.extend_from_slice(&identity.0);
            out.push(role);
        }
        out
    }

    /// SHA-256 of the encoding.
    pub fn hash(&self) -> [u8; 32] {
        let mut out = [0; 32];
        out.copy_from_slice(digest(&SHA256, &self.encode()).as_ref());
        out
    }
}

impl<'a> IntoIterator for &'a Roster {
    type Item = &'a Member;
    type IntoIter = std::slice::Iter<'a, Member>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Public keys are shown by their first bytes: enough to tell members apart in a log.
fn short(key: &[u8; 32], f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
    key[..6].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

impl std::fmt::Debug for IdentityKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        short(&self.0, f)
    }
}

impl std::fmt::Debug for MediaKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        short(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(leaf: u16, key: u8, role: Role) -> Member {
        let (identity, media) = (IdentityKey([key; 32]), MediaKey([key ^ 0xff; 32]));
        Member { leaf, joined: 0, identity, media, name: format!("{key}"), role }
    }

    #[test]
    fn the_encoding_is_sorted_by_identity_and_says_every_role() {
        let roster = Roster::new(vec![member(0, 9, Role::Host), member(3, 2, Role::Recorder)]);
        let expected = [&[0, 32][..], &[2; 32], &[1], &[0, 32], &[9; 32], &[3]].concat();
        assert_eq!(roster.encode(), expected);
        let moved = Roster::new(vec![member(7, 2, Role::Recorder), member(1, 9, Role::Host)]);
        assert_eq!(roster.hash(), moved.hash(), "leaves are not part of it");
        let other = Roster::new(vec![member(0, 9, Role::CoHost), member(3, 2, Role::Recorder)]);
        assert_ne!(roster.hash(), other.hash());
    }

    #[test]
    fn members_are_found_by_leaf_and_by_identity() {
        let roster = Roster::new(vec![member(5, 1, Role::Host), member(2, 2, Role::Participant)]);
        assert_eq!(roster.iter().map(|member| member.leaf).collect::<Vec<_>>(), [2, 5]);
        assert_eq!(roster.get(5).map(|member| member.identity), Some(IdentityKey([1; 32])));
        assert_eq!(roster.find(&IdentityKey([2; 32])).map(|member| member.leaf), Some(2));
        assert!(roster.get(3).is_none() && roster.find(&IdentityKey([3; 32])).is_none());
    }
}
