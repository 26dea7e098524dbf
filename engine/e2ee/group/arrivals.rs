//! Since when each member is there: together with its leaf this names one stay, so all members have to agree on it.
//!
//! Members see each other come. Whoever comes is told of those before it by the committer, signed and encrypted with
//! the Welcome: `u16 count ‖ count × (identity key ‖ u64 epoch)`, sorted, in an extension of the group info.

use std::collections::BTreeMap;

use openmls::prelude::{Extension, UnknownExtension};

use crate::e2ee::keys::MAX_LEAVES;
use crate::e2ee::{IdentityKey, Roster};

/// Type of the group info's extension, from the range for private use.
pub const ARRIVALS_EXTENSION: u16 = 0xf0c2;

/// The epoch in which each identity came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arrivals(BTreeMap<IdentityKey, u64>);

const ENTRY: usize = 32 + 8;

impl Arrivals {
    /// Those of a roster.
    pub(crate) fn of(roster: &Roster) -> Self {
        Self(roster.iter().map(|member| (member.identity, member.joined)).collect())
    }

    /// Without somebody, who comes anew.
    pub(crate) fn forget(&mut self, identity: &IdentityKey) {
        self.0.remove(identity);
    }

    /// When somebody came; whoever is not named comes in `epoch`.
    pub(crate) fn joined(&self, identity: &IdentityKey, epoch: u64) -> u64 {
        self.0.get(identity).map_or(epoch, |joined| (*joined).min(epoch))
    }

    pub(crate) fn extension(&self) -> Extension {
        Extension::Unknown(ARRIVALS_EXTENSION, UnknownExtension(self.encode()))
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = (self.0.len() as u16).to_be_bytes().to_vec();
        for (identity, joined) in &self.0 {
            out.extend_from_slice(&identity.0);
            out.extend_from_slice(&joined.to_be_bytes());
        }
        out
    }

    /// Reads an encoding; every table has one.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (count, rest) = bytes.split_first_chunk()?;
        let (entries, rest) = rest.as_chunks::<ENTRY>();
        let count = usize::from(u16::from_be_bytes(*count));
        if entries.len() != count || !rest.is_empty() || count > usize::from(MAX_LEAVES) {
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
        Some(Self(table))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_one_encoding() {
        let table = Arrivals(BTreeMap::from([(IdentityKey([1; 32]), 7), (IdentityKey([2; 32]), u64::MAX)]));
        let bytes = table.encode();
        assert_eq!(Arrivals::decode(&bytes), Some(table.clone()));
        assert!((0..bytes.len()).all(|cut| Arrivals::decode(&bytes[..cut]).is_none()));
        let swapped = [&bytes[..2], &bytes[2 + ENTRY..], &bytes[2..2 + ENTRY]].concat();
        assert_eq!(Arrivals::decode(&swapped), None);
        assert_eq!(Arrivals::decode(&[&bytes[..], &[0]].concat()), None);
        assert_eq!((table.joined(&IdentityKey([1; 32]), 9), table.joined(&IdentityKey([3; 32]), 9)), (7, 9));
        assert_eq!(table.joined(&IdentityKey([2; 32]), 9), 9, "nobody comes later than now");
    }
}
