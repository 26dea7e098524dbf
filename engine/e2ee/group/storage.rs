//! Where the MLS library keeps the state of its groups: in memory, as binary values that are wiped when they are
//! replaced, deleted or dropped, and that leave no copy behind when they are written.
//!
//! Values are CBOR, since two types of the library read only from formats that describe themselves. Each is serialized
//! twice, first to count its bytes, so that its buffer never grows. What the library itself copies while it serializes
//! and reads is its own; its secrets are wiped when dropped.
//!
//! A mutex guards the table because the library writes through `&self`. This is the control plane: a few hundred writes
//! for each commit, none for a frame.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use openmls_traits::storage::{CURRENT_VERSION, StorageProvider, traits};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::faults::{self, Call};

/// Why the store did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A value has no binary form.
    #[error("a value of the group cannot be written to the store")]
    Encode,
    /// A stored value is not what was asked for.
    #[error("a value in the store does not read as what it was stored as: the snapshot is of another version")]
    Decode,
    /// The list of proposals names one that is not there.
    #[error("the store names a proposal that it does not have: the snapshot is damaged")]
    Dangling,
    /// The snapshot is too large.
    #[error("a snapshot of {0} bytes is refused: the state of a group takes less than 64 MiB")]
    TooLarge(usize),
    /// It is not a snapshot, or is cut short.
    #[error("this is not a snapshot of a group's state, or it is cut short")]
    NotASnapshot,
    /// A later format.
    #[error("the snapshot has version {0} and this build reads version 1: open it with the build that made it")]
    Version(u16),
    /// It does not open.
    #[error("the snapshot does not open: another key sealed it, or it was changed")]
    Refused,
    /// The cipher or its randomness failed.
    #[error("the snapshot could not be sealed")]
    Seal,
    /// The key is too short or too long.
    #[error("a key of {0} bytes cannot seal a snapshot: it needs 32 bytes from a cryptographic source")]
    Key(usize),
}

/// The state of one member's groups, with its key packages and signature keys.
#[derive(Default)]
pub struct Store {
    pub(super) table: Mutex<Table>,
}

pub(super) type Table = BTreeMap<Bytes, Bytes>;

/// Bytes of a key or a value, in one place on the heap, wiped when dropped.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bytes(Box<[u8]>);

impl Bytes {
    pub(super) fn copy_of(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    pub(super) fn zeroed(len: usize) -> Self {
        Self(vec![0; len].into())
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn as_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl Borrow<[u8]> for Bytes {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}

/// What a value is: the first byte of its key.
#[derive(Clone, Copy)]
enum Kind {
    JoinConfig = 1,
    OwnLeafNodes,
    Proposal,
    ProposalRefs,
    Tree,
    TranscriptHash,
    Context,
    ConfirmationTag,
    State,
    MessageSecrets,
    ResumptionPsks,
    OwnLeafIndex,
    EpochSecrets,
    ExportTree,
    SignatureKeys,
    EncryptionKeys,
    EpochKeys,
    KeyPackage,
    Psk,
    Arrivals,
}

impl Store {
    /// How many values there are.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Wipes everything: signature keys and key packages too, which outlive a group.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// Keeps what [`Store::arrivals`] gives back: it goes with the state of the group, and is not the library's.
    pub(super) fn set_arrivals(&self, table: &[u8]) {
        self.lock().insert(Bytes::copy_of(&[Kind::Arrivals as u8]), Bytes::copy_of(table));
    }

    /// The table that was kept last.
    pub(super) fn arrivals(&self) -> Option<Vec<u8>> {
        self.lock().get(&[Kind::Arrivals as u8][..]).map(|table| table.as_slice().to_vec())
    }

    /// A writer that panicked has left whole values: the table changes only by inserts and removals of such.
    pub(super) fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, kind: Kind, key: &impl Serialize, value: &(impl Serialize + ?Sized)) -> Result<(), StoreError> {
        let (key, value) = (key_of(kind, key)?, encode(value)?);
        self.lock().insert(key, value);
        Ok(())
    }

    fn get<V: DeserializeOwned>(&self, kind: Kind, key: &impl Serialize) -> Result<Option<V>, StoreError> {
        let key = key_of(kind, key)?;
        self.lock().get(&key).map(|value| decode(value.as_slice())).transpose()
    }

    fn remove(&self, kind: Kind, key: &impl Serialize) -> Result<(), StoreError> {
        let key = key_of(kind, key)?;
        self.lock().remove(&key);
        Ok(())
    }

    /// Appends to a list: a value made of `u32 len ‖ item`.
    fn push(&self, kind: Kind, key: &impl Serialize, item: &impl Serialize) -> Result<(), StoreError> {
        let (key, item) = (key_of(kind, key)?, encode(item)?);
        let len = u32::try_from(item.0.len()).map_err(|_| StoreError::Encode)?;
        let mut table = self.lock();
        let before = table.get(&key).map_or(&[][..], Bytes::as_slice);
        let value = joined(&[before, &len.to_be_bytes(), item.as_slice()]);
        table.insert(key, value);
        Ok(())
    }

    fn list<V: DeserializeOwned>(&self, kind: Kind, key: &impl Serialize) -> Result<Vec<V>, StoreError> {
        let key = key_of(kind, key)?;
        let table = self.lock();
        items(table.get(&key).map_or(&[], Bytes::as_slice)).map(|item| decode(item?)).collect()
    }

    /// Takes the first `item` out of a list; one that is not in it changes nothing.
    fn pull(&self, kind: Kind, key: &impl Serialize, item: &impl Serialize) -> Result<(), StoreError> {
        let (key, item) = (key_of(kind, key)?, encode(item)?);
        let mut table = self.lock();
        let Some(value) = table.get(&key).map(Bytes::as_slice) else { return Ok(()) };
        let mut at = 0;
        let mut found = None;
        for stored in items(value) {
            let end = at + LEN + stored?.len();
            if &value[at + LEN..end] == item.as_slice() {
                found = Some(joined(&[&value[..at], &value[end..]]));
                break;
            }
            at = end;
        }
        match found {
            Some(rest) if rest.0.is_empty() => drop(table.remove(&key)),
            Some(rest) => drop(table.insert(key, rest)),
            None => {}
        }
        Ok(())
    }
}

/// Bytes in front of an item of a list.
const LEN: usize = 4;

/// The items of a list.
fn items(mut value: &[u8]) -> impl Iterator<Item = Result<&[u8], StoreError>> {
    std::iter::from_fn(move || {
        if value.is_empty() {
            return None;
        }
        let parts = value.split_first_chunk::<LEN>();
        let parts = parts.and_then(|(len, rest)| rest.split_at_checked(u32::from_be_bytes(*len) as usize));
        value = parts.map_or(&[], |(_, rest)| rest);
        Some(parts.map(|(item, _)| item).ok_or(StoreError::Decode))
    })
}

fn joined(parts: &[&[u8]]) -> Bytes {
    let mut out = Bytes::zeroed(parts.iter().map(|part| part.len()).sum());
    let mut rest = out.as_mut();
    for part in parts {
        let (front, behind) = rest.split_at_mut(part.len());
        front.copy_from_slice(part);
        rest = behind;
    }
    out
}

/// The kind, the version of the library's types, and what names the value among its kind.
fn key_of(kind: Kind, key: &impl Serialize) -> Result<Bytes, StoreError> {
    if faults::fails(Call::Store) {
        return Err(StoreError::Encode);
    }
    encode(&(kind as u8, CURRENT_VERSION, key))
}

fn encode(value: &(impl Serialize + ?Sized)) -> Result<Bytes, StoreError> {
    let mut count = Count(0);
    ciborium::into_writer(value, &mut count).map_err(|_| StoreError::Encode)?;
    let mut out = Bytes::zeroed(count.0);
    let mut rest = out.as_mut();
    ciborium::into_writer(value, &mut rest).map_err(|_| StoreError::Encode)?;
    if rest.is_empty() { Ok(out) } else { Err(StoreError::Encode) }
}

fn decode<V: DeserializeOwned>(mut value: &[u8]) -> Result<V, StoreError> {
    // What the reader puts together here would otherwise stay on the stack.
    let mut scratch = Zeroizing::new([0; SCRATCH]);
    let read = ciborium::de::from_reader_with_buffer(&mut value, scratch.as_mut_slice());
    let read = read.map_err(|_| StoreError::Decode)?;
    if value.is_empty() { Ok(read) } else { Err(StoreError::Decode) }
}

/// Bytes of the longest name of a field or a variant, and then some.
const SCRATCH: usize = 256;

/// Counts what is written to it.
struct Count(usize);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The methods of the trait that put, get or delete one value, as a table: name, what it is generic over in the trait's
/// order, what names the value, the value, its kind. The tests make a second implementation from it.
macro_rules! table {
    ($implementation:ident) => {
        $implementation! {
            put {
                write_mls_join_config<GroupId, MlsGroupJoinConfig>(
                    group: &GroupId, value: &MlsGroupJoinConfig) JoinConfig;
                write_tree<GroupId, TreeSync>(group: &GroupId, value: &TreeSync) Tree;
                write_interim_transcript_hash<GroupId, InterimTranscriptHash>(
                    group: &GroupId, value: &InterimTranscriptHash) TranscriptHash;
                write_context<GroupId, GroupContext>(group: &GroupId, value: &GroupContext) Context;
                write_confirmation_tag<GroupId, ConfirmationTag>(
                    group: &GroupId, value: &ConfirmationTag) ConfirmationTag;
                write_group_state<GroupState, GroupId>(group: &GroupId, value: &GroupState) State;
                write_message_secrets<GroupId, MessageSecrets>(group: &GroupId, value: &MessageSecrets) MessageSecrets;
                write_resumption_psk_store<GroupId, ResumptionPskStore>(
                    group: &GroupId, value: &ResumptionPskStore) ResumptionPsks;
                write_own_leaf_index<GroupId, LeafNodeIndex>(group: &GroupId, value: &LeafNodeIndex) OwnLeafIndex;
                write_group_epoch_secrets<GroupId, GroupEpochSecrets>(
                    group: &GroupId, value: &GroupEpochSecrets) EpochSecrets;
                write_application_export_tree<GroupId, ApplicationExportTree>(
                    group: &GroupId, value: &ApplicationExportTree) ExportTree;
                write_signature_key_pair<SignaturePublicKey, SignatureKeyPair>(
                    public: &SignaturePublicKey, value: &SignatureKeyPair) SignatureKeys;
                write_encryption_key_pair<EncryptionKey, HpkeKeyPair>(
                    public: &EncryptionKey, value: &HpkeKeyPair) EncryptionKeys;
                write_encryption_epoch_key_pairs<GroupId, EpochKey, HpkeKeyPair>(
                    group: &GroupId, epoch: &EpochKey, leaf: u32, value: &[HpkeKeyPair]) EpochKeys;
                write_key_package<HashReference, KeyPackage>(hash: &HashReference, value: &KeyPackage) KeyPackage;
                write_psk<PskId, PskBundle>(id: &PskId, value: &PskBundle) Psk;
            }
            get {
                mls_group_join_config<GroupId, MlsGroupJoinConfig>(group: &GroupId) MlsGroupJoinConfig, JoinConfig;
                tree<GroupId, TreeSync>(group: &GroupId) TreeSync, Tree;
                group_context<GroupId, GroupContext>(group: &GroupId) GroupContext, Context;
                interim_transcript_hash<GroupId, InterimTranscriptHash>(
                    group: &GroupId) InterimTranscriptHash, TranscriptHash;
                confirmation_tag<GroupId, ConfirmationTag>(group: &GroupId) ConfirmationTag, ConfirmationTag;
                group_state<GroupState, GroupId>(group: &GroupId) GroupState, State;
                message_secrets<GroupId, MessageSecrets>(group: &GroupId) MessageSecrets, MessageSecrets;
                resumption_psk_store<GroupId, ResumptionPskStore>(group: &GroupId) ResumptionPskStore, ResumptionPsks;
                own_leaf_index<GroupId, LeafNodeIndex>(group: &GroupId) LeafNodeIndex, OwnLeafIndex;
                group_epoch_secrets<GroupId, GroupEpochSecrets>(group: &GroupId) GroupEpochSecrets, EpochSecrets;
                application_export_tree<GroupId, ApplicationExportTree>(
                    group: &GroupId) ApplicationExportTree, ExportTree;
                signature_key_pair<SignaturePublicKey, SignatureKeyPair>(
                    public: &SignaturePublicKey) SignatureKeyPair, SignatureKeys;
                encryption_key_pair<HpkeKeyPair, EncryptionKey>(public: &EncryptionKey) HpkeKeyPair, EncryptionKeys;
                key_package<HashReference, KeyPackage>(hash: &HashReference) KeyPackage, KeyPackage;
                psk<PskBundle, PskId>(id: &PskId) PskBundle, Psk;
            }
            remove {
                delete_own_leaf_nodes<GroupId>(group: &GroupId) OwnLeafNodes;
                delete_group_config<GroupId>(group: &GroupId) JoinConfig;
                delete_tree<GroupId>(group: &GroupId) Tree;
                delete_confirmation_tag<GroupId>(group: &GroupId) ConfirmationTag;
                delete_group_state<GroupId>(group: &GroupId) State;
                delete_context<GroupId>(group: &GroupId) Context;
                delete_interim_transcript_hash<GroupId>(group: &GroupId) TranscriptHash;
                delete_message_secrets<GroupId>(group: &GroupId) MessageSecrets;
                delete_all_resumption_psk_secrets<GroupId>(group: &GroupId) ResumptionPsks;
                delete_own_leaf_index<GroupId>(group: &GroupId) OwnLeafIndex;
                delete_group_epoch_secrets<GroupId>(group: &GroupId) EpochSecrets;
                delete_application_export_tree<GroupId, ApplicationExportTree>(group: &GroupId) ExportTree;
                delete_signature_key_pair<SignaturePublicKey>(public: &SignaturePublicKey) SignatureKeys;
                delete_encryption_key_pair<EncryptionKey>(public: &EncryptionKey) EncryptionKeys;
                delete_encryption_epoch_key_pairs<GroupId, EpochKey>(
                    group: &GroupId, epoch: &EpochKey, leaf: u32) EpochKeys;
                delete_key_package<HashReference>(hash: &HashReference) KeyPackage;
                delete_psk<PskId>(id: &PskId) Psk;
            }
        }
    };
}

macro_rules! plain {
    (
        put { $($put:ident<$($pg:ident),+>($($pk:ident: $pt:ty),+) $pkind:ident;)+ }
        get { $($get:ident<$($gg:ident),+>($($gk:ident: $gt:ty),+) $out:ident, $gkind:ident;)+ }
        remove { $($remove:ident<$($rg:ident),+>($($rk:ident: $rt:ty),+) $rkind:ident;)+ }
    ) => {
        $(fn $put<$($pg: traits::$pg<CURRENT_VERSION>),+>(&self, $($pk: $pt),+) -> Result<(), StoreError> {
            put!(self, $pkind, $($pk),+)
        })+
        $(fn $get<$($gg: traits::$gg<CURRENT_VERSION>),+>(&self, $($gk: $gt),+) -> Result<Option<$out>, StoreError> {
            self.get(Kind::$gkind, &($($gk,)+))
        })+
        $(fn $remove<$($rg: traits::$rg<CURRENT_VERSION>),+>(&self, $($rk: $rt),+) -> Result<(), StoreError> {
            self.remove(Kind::$rkind, &($($rk,)+))
        })+
    };
}

/// The last argument is the value, those before it name it.
macro_rules! put {
    ($store:expr, $kind:ident, $a:ident, $value:ident) => {
        $store.put(Kind::$kind, &($a,), $value)
    };
    ($store:expr, $kind:ident, $a:ident, $b:ident, $c:ident, $value:ident) => {
        $store.put(Kind::$kind, &($a, $b, $c), $value)
    };
}

impl StorageProvider<CURRENT_VERSION> for Store {
    type Error = StoreError;

    table!(plain);

    fn append_own_leaf_node<GroupId: traits::GroupId<CURRENT_VERSION>, LeafNode: traits::LeafNode<CURRENT_VERSION>>(
        &self,
        group: &GroupId,
        leaf_node: &LeafNode,
    ) -> Result<(), StoreError> {
        self.push(Kind::OwnLeafNodes, &(group,), leaf_node)
    }

    fn own_leaf_nodes<GroupId: traits::GroupId<CURRENT_VERSION>, LeafNode: traits::LeafNode<CURRENT_VERSION>>(
        &self,
        group: &GroupId,
    ) -> Result<Vec<LeafNode>, StoreError> {
        self.list(Kind::OwnLeafNodes, &(group,))
    }

    fn queue_proposal<
        GroupId: traits::GroupId<CURRENT_VERSION>,
        ProposalRef: traits::ProposalRef<CURRENT_VERSION>,
        QueuedProposal: traits::QueuedProposal<CURRENT_VERSION>,
    >(
        &self,
        group: &GroupId,
        reference: &ProposalRef,
        proposal: &QueuedProposal,
    ) -> Result<(), StoreError> {
        self.put(Kind::Proposal, &(group, reference), proposal)?;
        self.push(Kind::ProposalRefs, &(group,), reference)
    }

    fn queued_proposal_refs<
        GroupId: traits::GroupId<CURRENT_VERSION>,
        ProposalRef: traits::ProposalRef<CURRENT_VERSION>,
    >(
        &self,
        group: &GroupId,
    ) -> Result<Vec<ProposalRef>, StoreError> {
        self.list(Kind::ProposalRefs, &(group,))
    }

    fn queued_proposals<
        GroupId: traits::GroupId<CURRENT_VERSION>,
        ProposalRef: traits::ProposalRef<CURRENT_VERSION>,
        QueuedProposal: traits::QueuedProposal<CURRENT_VERSION>,
    >(
        &self,
        group: &GroupId,
    ) -> Result<Vec<(ProposalRef, QueuedProposal)>, StoreError> {
        let references: Vec<ProposalRef> = self.list(Kind::ProposalRefs, &(group,))?;
        let found = references.into_iter().map(|reference| {
            let proposal = self.get(Kind::Proposal, &(group, &reference))?.ok_or(StoreError::Dangling)?;
            Ok((reference, proposal))
        });
        found.collect()
    }

    fn remove_proposal<GroupId: traits::GroupId<CURRENT_VERSION>, ProposalRef: traits::ProposalRef<CURRENT_VERSION>>(
        &self,
        group: &GroupId,
        reference: &ProposalRef,
    ) -> Result<(), StoreError> {
        self.pull(Kind::ProposalRefs, &(group,), reference)?;
        self.remove(Kind::Proposal, &(group, reference))
    }

    fn clear_proposal_queue<
        GroupId: traits::GroupId<CURRENT_VERSION>,
        ProposalRef: traits::ProposalRef<CURRENT_VERSION>,
    >(
        &self,
        group: &GroupId,
    ) -> Result<(), StoreError> {
        let references: Vec<ProposalRef> = self.list(Kind::ProposalRefs, &(group,))?;
        references.iter().try_for_each(|reference| self.remove(Kind::Proposal, &(group, reference)))?;
        self.remove(Kind::ProposalRefs, &(group,))
    }

    fn encryption_epoch_key_pairs<
        GroupId: traits::GroupId<CURRENT_VERSION>,
        EpochKey: traits::EpochKey<CURRENT_VERSION>,
        HpkeKeyPair: traits::HpkeKeyPair<CURRENT_VERSION>,
    >(
        &self,
        group: &GroupId,
        epoch: &EpochKey,
        leaf: u32,
    ) -> Result<Vec<HpkeKeyPair>, StoreError> {
        Ok(self.get(Kind::EpochKeys, &(group, epoch, leaf))?.unwrap_or_default())
    }
}

#[cfg(test)]
#[path = "storage_tests.rs"]
mod tests;
