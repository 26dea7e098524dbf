//! Since when each member is there: together with its leaf this names one stay, so all members have to agree on it. And
//! which key packages have led in, so that whoever rules next takes none of them again.
//!
//! Members see each other come. Whoever comes is told of those before it by the committer, signed and encrypted with
//! the Welcome, in an extension of the group info: `u16 count ‖ count × (identity key ‖ u64 epoch)`, sorted, and behind
//! it `u16 count ‖ count × name of a key package`, from the oldest on.

use std::collections::BTreeMap;

use openmls::prelude::{Extension, UnknownExtension};

use crate::e2ee::keys::MAX_LEAVES;
use crate::e2ee::{IdentityKey, Roster};

/// Type of the group info's extension, from the range for private use.
pub const ARRIVALS_EXTENSION: u16 = 0xf0c2;

/// The epoch in which each identity came, and the key packages used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arrivals {
    joined: BTreeMap<IdentityKey, u64>,
    used: Vec<[u8; 32]>,
}

/// Names of key packages that are told, the latest: 32 KiB of them.
const MAX_USED: usize = MAX_LEAVES as usize;

const ENTRY: usize = 32 + 8;

impl Arrivals {
    /// Those of a roster, and the names of the key packages that have led in.
    pub(crate) fn of(roster: &Roster, used: impl ExactSizeIterator<Item = [u8; 32]>) -> Self {
        let skip = used.len().saturating_sub(MAX_USED);
        let joined = roster.iter().map(|member| (member.identity, member.joined)).collect();
        Self { joined, used: used.skip(skip).collect() }
    }

    /// Somebody comes anew, by the key package of this name.
    pub(crate) fn comes(&mut self, identity: &IdentityKey, name: [u8; 32]) {
        self.joined.remove(identity);
        if self.used.len() == MAX_USED {
            self.used.remove(0);
        }
        self.used.push(name);
    }

    /// The key packages that have led in, by name.
    pub(crate) fn used(&self) -> &[[u8; 32]] {
        &self.used
    }

    /// When somebody came; whoever is not named comes in `epoch`.
    pub(crate) fn joined(&self, identity: &IdentityKey, epoch: u64) -> u64 {
        self.joined.get(identity).map_or(epoch, |joined| (*joined).min(epoch))
    }

    pub(crate) fn extension(&self) -> Extension {
        Extension::Unknown(ARRIVALS_EXTENSION, UnknownExtension(self.encode()))
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = (self.joined.len() as u16).to_be_bytes().to_vec();
        for (identity, joined) in &self.joined {
            out.extend_from_slice(&identity.0);
            out.extend_from_slice(&joined.to_be_bytes());
        }
        out.extend((self.used.len() as u16).to_be_bytes());
        out.extend_from_slice(self.used.as_flattened());
        out
    }

    /// Reads an encoding; every table has one.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (count, rest) = bytes.split_first_chunk()?;
        let count = usize::from(u16::from_be_bytes(*count));
        let (entries, rest) = rest.split_at_checked(count * ENTRY).filter(|_| count <= usize::from(MAX_LEAVES))?;
        let (entries, _) = entries.as_chunks::<ENTRY>();
        let (names, rest) = rest.split_first_chunk().map(|(names, rest)| (u16::from_be_bytes(*names), rest))?;
        let (used, rest) = rest.as_chunks();
        if used.len() != usize::from(names) || !rest.is_empty() || used.len() > MAX_USED {
            return None;
        }
        let mut table = BTreeMap::new();
        for entry in entries {
            let (identity, joined) = entry.split_first_chunk()?;
            let identity = IdentityKey(*identity);
            if table.last_key_value().is_some_and(|(last, _)| *last >= identity) {
                return None;
            }
            table.insert(identity, u64::from_be_bytes(joined.try_into().ok()?));
        }
        Some(Self { joined: table, used: used.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_one_encoding() {
        let joined = BTreeMap::from([(IdentityKey([1; 32]), 7), (IdentityKey([2; 32]), u64::MAX)]);
        let table = Arrivals { joined, used: vec![[9; 32], [8; 32]] };
        let bytes = table.encode();
        assert_eq!(Arrivals::decode(&bytes), Some(table.clone()));
        assert!((0..bytes.len()).all(|cut| Arrivals::decode(&bytes[..cut]).is_none()));
        let end = 2 + 2 * ENTRY;
        let swapped = [&bytes[..2], &bytes[2 + ENTRY..end], &bytes[2..2 + ENTRY], &bytes[end..]].concat();
        assert_eq!(Arrivals::decode(&swapped), None);
        assert_eq!(Arrivals::decode(&[&bytes[..], &[0]].concat()), None);
        assert_eq!((table.joined(&IdentityKey([1; 32]), 9), table.joined(&IdentityKey([3; 32]), 9)), (7, 9));
        assert_eq!(table.joined(&IdentityKey([2; 32]), 9), 9, "nobody comes later than now");
    }
}
