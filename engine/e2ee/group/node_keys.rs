//! Encryption keys of the tree's nodes, and those that members propose for theirs. No two nodes have one key
//! (RFC 9420 §12.4.3.1): whoever comes checks that, and cannot come in where it is otherwise. The library compares leaves
//! alone before that.

use std::collections::{HashMap, HashSet};

use openmls::prelude::{
    LeafNode, MlsGroup, Proposal, QueuedProposal, Sender, StagedCommit,
    tls_codec::{Deserialize, Serialize},
};
use openmls::treesync::EncryptionKey;

use super::rules::Illegal;
use super::wire::sha256;

/// The keys of one epoch.
pub(crate) struct NodeKeys {
    tree: HashSet<[u8; 32]>,
    /// Who was the first to propose a key, by leaf.
    proposed: HashMap<[u8; 32], u32>,
}

impl NodeKeys {
    /// Those of the tree, and of what has been proposed so far.
    pub(crate) fn of(mls: &MlsGroup) -> Self {
        let leaves = mls.treesync().full_leaves().filter_map(|(_, leaf)| name(leaf.encryption_key()));
        // The library does not show the key of a parent; its encoding begins with it (RFC 9420 §7.1).
        let parents = mls.treesync().full_parents().filter_map(|(_, parent)| {
            let bytes = parent.tls_serialize_detached().ok()?;
            name(&EncryptionKey::tls_deserialize(&mut &bytes[..]).ok()?)
        });
        let mut keys = Self { tree: leaves.chain(parents).collect(), proposed: HashMap::new() };
        mls.pending_proposals().for_each(|proposal| keys.propose(proposal));
        keys
    }

    /// Something was proposed.
    pub(crate) fn propose(&mut self, proposal: &QueuedProposal) {
        if let Some((by, key)) = renewal(proposal) {
            self.proposed.entry(key).or_insert(by);
        }
    }

    /// Whether a proposal that renews a leaf brings a key that nobody else has, nor has proposed before.
    pub(crate) fn allow(&self, proposal: &QueuedProposal) -> bool {
        let fresh = |(by, key)| !self.tree.contains(&key) && self.proposed.get(&key).is_none_or(|first| *first == by);
        renewal(proposal).is_none_or(fresh)
    }

    #[cfg(test)]
    pub(crate) fn in_tree(&mut self) -> &mut HashSet<[u8; 32]> {
        &mut self.tree
    }

    /// Judges the leaves that a commit brings. All members have the same tree, so that all judge alike.
    ///
    /// # Errors
    /// [`Illegal::UsedKey`].
    pub(crate) fn judge(&self, staged: &StagedCommit) -> Result<(), Illegal> {
        let proposed = staged.queued_proposals().filter_map(|proposal| match proposal.proposal() {
            Proposal::Add(add) => Some(add.key_package().leaf_node()),
            Proposal::Update(update) => Some(update.leaf_node()),
            _ => None,
        });
        let used = |leaf: &LeafNode| name(leaf.encryption_key()).is_none_or(|key| self.tree.contains(&key));
        match proposed.chain(staged.update_path_leaf_node()).any(used) {
            true => Err(Illegal::UsedKey),
            false => Ok(()),
        }
    }
}

/// Who renews its leaf, and with which key.
pub(crate) fn renewal(proposal: &QueuedProposal) -> Option<(u32, [u8; 32])> {
    match (proposal.sender(), proposal.proposal()) {
        (Sender::Member(by), Proposal::Update(update)) => Some((by.u32(), name(update.leaf_node().encryption_key())?)),
        _ => None,
    }
}

pub(crate) fn name(key: &EncryptionKey) -> Option<[u8; 32]> {
    Some(sha256(&key.tls_serialize_detached().ok()?))
}
