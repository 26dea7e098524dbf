//! What the group has agreed on for everybody: an extension of the GroupContext, and with it part of every epoch's
//! transcript. One encoding for each value, so that its hash names it.

use std::collections::{BTreeMap, BTreeSet};

use openmls_traits::types::Ciphersuite;

use super::wire::sha256;
use crate::e2ee::keys::MAX_LEAVES;
use crate::e2ee::{IdentityKey, Profile, Role};

/// Type of the extension, from the range for private use.
pub const POLICY_EXTENSION: u16 = 0xf0c0;

/// Version of the encoding.
pub(crate) const VERSION: u8 = 1;

/// Identity keys that a policy names at most, with roles or in a lock: members past and present.
pub const MAX_NAMED: usize = 4 * MAX_LEAVES as usize;

/// The cipher suite of the group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[repr(u16)]
pub enum GroupSuite {
    /// ML-KEM-768 with X25519, AES-256-GCM, SHA-384, Ed25519.
    #[default]
    Hybrid = 0x004e,
    /// X25519, AES-128-GCM, SHA-256, Ed25519: nothing in it withstands a quantum computer.
    Classical = 0x0001,
}

impl GroupSuite {
    /// The suite with this number.
    pub const fn from_number(number: u16) -> Option<Self> {
        match number {
            0x004e => Some(GroupSuite::Hybrid),
            0x0001 => Some(GroupSuite::Classical),
            _ => None,
        }
    }

    /// The library's name of it.
    pub const fn mls(self) -> Ciphersuite {
        match self {
            GroupSuite::Hybrid => Ciphersuite::MLS_128_MLKEM768X25519_AES256GCM_SHA384_Ed25519,
            GroupSuite::Classical => Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519,
        }
    }
}

/// Who makes the keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[repr(u8)]
pub enum MeetingType {
    /// The participants' devices.
    #[default]
    EndToEnd = 1,
    /// The service, which can read the meeting.
    Enhanced = 2,
}

impl MeetingType {
    /// The type with this number.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(MeetingType::EndToEnd),
            2 => Some(MeetingType::Enhanced),
            _ => None,
        }
    }
}

/// The policy. What is fixed at creation stays as it is for the life of the group; [`super::rules`] sees to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnginePolicy {
    /// How keys follow from an epoch's secret. Fixed.
    pub profile: Profile,
    /// The suite. Fixed.
    pub suite: GroupSuite,
    /// Whether only a hybrid suite will do. Fixed.
    pub post_quantum: bool,
    /// Who makes the keys. Fixed.
    pub meeting: MeetingType,
    /// Whether a recorder may be admitted.
    pub recorder_allowed: bool,
    /// Milliseconds for which a leaver may still open what is sent.
    pub leaver_window_ms: u32,
    /// Members at most.
    pub roster_limit: u16,
    /// Hash of the host's resolved meeting policy.
    pub meeting_policy: [u8; 32],
    /// Who has which role; whoever is not named is a participant. A role outlives a rejoin, and
    /// ends where a host takes its member out.
    pub roles: BTreeMap<IdentityKey, Role>,
    /// While set, only these may come in: those who were there when it was set, but for whom a host has
    /// taken out since.
    pub lock: Option<BTreeSet<IdentityKey>>,
}

impl EnginePolicy {
    /// The role of `identity`.
    pub fn role(&self, identity: &IdentityKey) -> Role {
        self.roles.get(identity).copied().unwrap_or_default()
    }

    /// Gives `identity` a role.
    pub fn set_role(&mut self, identity: IdentityKey, role: Role) {
        match role {
            Role::Participant => self.roles.remove(&identity),
            role => self.roles.insert(identity, role),
        };
    }

    /// A host takes `identity` out: it loses its role and its place in the lock, so that its key alone does not lead it
    /// back in.
    pub fn put_out(&mut self, identity: &IdentityKey) {
        self.roles.remove(identity);
        if let Some(lock) = &mut self.lock {
            lock.remove(identity);
        }
    }

    /// Whether what is fixed at creation is the same in both.
    pub fn same_kind(&self, other: &Self) -> bool {
        (self.profile, self.suite, self.post_quantum, self.meeting)
            == (other.profile, other.suite, other.post_quantum, other.meeting)
    }

    /// SHA-256 of the encoding.
    pub fn hash(&self) -> [u8; 32] {
        sha256(&self.encode())
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION, self.profile as u8];
        out.extend((self.suite as u16).to_be_bytes());
        out.extend([u8::from(self.post_quantum), self.meeting as u8, u8::from(self.recorder_allowed)]);
        out.extend(self.leaver_window_ms.to_be_bytes());
        out.extend(self.roster_limit.to_be_bytes());
        out.extend(self.meeting_policy);
        out.extend((self.roles.len() as u16).to_be_bytes());
        for (identity, role) in &self.roles {
            out.extend(identity.0);
            out.push(*role as u8);
        }
        out.push(u8::from(self.lock.is_some()));
        if let Some(lock) = &self.lock {
            out.extend((lock.len() as u16).to_be_bytes());
            lock.iter().for_each(|identity| out.extend(identity.0));
        }
        out
    }

    /// Reads `bytes`; `None` where they are not the one encoding of a policy.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = Input(bytes);
        if input.u8()? != VERSION {
            return None;
        }
        let profile = Profile::from_number(input.u8()?)?;
        let suite = GroupSuite::from_number(input.u16()?)?;
        let post_quantum = input.bool()?;
        let meeting = MeetingType::from_number(input.u8()?)?;
        let recorder_allowed = input.bool()?;
        let leaver_window_ms = u32::from_be_bytes(input.take()?);
        let roster_limit = input.u16()?;
        let meeting_policy = input.take()?;
        let roles = input.list(|input| {
            let identity = IdentityKey(input.take()?);
            let role = Role::from_number(input.u8()?).filter(|role| *role != Role::Participant)?;
            Some((identity, role))
        })?;
        let lock = match input.bool()? {
            true => Some(input.list(|input| Some(IdentityKey(input.take()?)))?),
            false => None,
        };
        let rising = roles.is_sorted_by(|one, two| one.0 < two.0)
            && lock.as_ref().is_none_or(|lock| lock.is_sorted_by(|one, two| one < two));
        let sound = (!post_quantum || suite == GroupSuite::Hybrid) && (1..=MAX_LEAVES).contains(&roster_limit);
        if !(input.0.is_empty() && rising && sound) {
            return None;
        }
        let (roles, lock) = (roles.into_iter().collect(), lock.map(|lock| lock.into_iter().collect()));
        Some(Self {
            profile,
            suite,
            post_quantum,
            meeting,
            recorder_allowed,
            leaver_window_ms,
            roster_limit,
            meeting_policy,
            roles,
            lock,
        })
    }
}

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_be_bytes)
    }

    fn bool(&mut self) -> Option<bool> {
        match self.u8()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn list<T>(&mut self, entry: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = usize::from(self.u16()?);
        // Room only for what the bytes can hold, whatever the count says.
        if count > MAX_NAMED || count > self.0.len() / 32 {
            return None;
        }
        (0..count).map(|_| entry(self)).collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn policy() -> EnginePolicy {
        EnginePolicy {
            profile: Profile::Conclave,
            suite: GroupSuite::Hybrid,
            post_quantum: true,
            meeting: MeetingType::EndToEnd,
            recorder_allowed: false,
            leaver_window_ms: 2000,
            roster_limit: 1000,
            meeting_policy: [3; 32],
            roles: BTreeMap::from([(IdentityKey([9; 32]), Role::Host), (IdentityKey([2; 32]), Role::CoHost)]),
            lock: Some(BTreeSet::from([IdentityKey([9; 32]), IdentityKey([5; 32])])),
        }
    }

    #[test]
    fn a_policy_reads_back_and_every_field_is_in_its_hash() {
        let policy = policy();
        assert_eq!(EnginePolicy::decode(&policy.encode()).as_ref(), Some(&policy));
        let others = [
            EnginePolicy { profile: Profile::Rfc9605Mls, ..policy.clone() },
            EnginePolicy { post_quantum: false, suite: GroupSuite::Classical, ..policy.clone() },
            EnginePolicy { post_quantum: false, ..policy.clone() },
            EnginePolicy { meeting: MeetingType::Enhanced, ..policy.clone() },
            EnginePolicy { recorder_allowed: true, ..policy.clone() },
            EnginePolicy { leaver_window_ms: 1, ..policy.clone() },
            EnginePolicy { roster_limit: 1, ..policy.clone() },
            EnginePolicy { meeting_policy: [4; 32], ..policy.clone() },
            EnginePolicy { roles: BTreeMap::new(), ..policy.clone() },
            EnginePolicy { lock: None, ..policy.clone() },
            EnginePolicy { lock: Some(BTreeSet::new()), ..policy.clone() },
        ];
        let mut hashes: Vec<_> = others.iter().map(EnginePolicy::hash).chain([policy.hash()]).collect();
        assert!(others.iter().all(|other| EnginePolicy::decode(&other.encode()).as_ref() == Some(other)));
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), others.len() + 1);
    }

    #[test]
    fn bytes_are_refused_or_read_back_as_they_were() {
        let mut rng = fastrand::Rng::with_seed(1);
        let good = policy().encode();
        let mut read = 0;
        for _ in 0..50_000 {
            let mut bytes = good.clone();
            (0..rng.usize(1..4)).for_each(|_| {
                let at = rng.usize(..bytes.len());
                bytes[at] = rng.u8(..);
            });
            bytes.truncate(if rng.bool() { bytes.len() } else { rng.usize(..=bytes.len()) });
            if let Some(policy) = EnginePolicy::decode(&bytes) {
                assert_eq!(policy.encode(), bytes);
                read += 1;
            }
        }
        assert!(read > 1000, "{read} of the mutations were policies");
    }

    #[test]
    fn a_policy_that_wants_post_quantum_cannot_name_a_classical_suite() {
        let policy = EnginePolicy { suite: GroupSuite::Classical, ..policy() };
        assert_eq!(EnginePolicy::decode(&policy.encode()), None);
    }
}
