use openmls::prelude::tls_codec::Deserialize as _;
use openmls::prelude::*;
use openmls_basic_credential::SignatureKeyPair;
use openmls_rust_crypto::MemoryStorage;
use openmls_traits::OpenMlsProvider;
use openmls_traits::types::{Ciphersuite, SignatureScheme};
use std::collections::BTreeSet;
use std::sync::Mutex;

use super::*;
use crate::e2ee::group::{Provider, StoreKey};

const SUITE: Ciphersuite = Ciphersuite::MLS_128_MLKEM768X25519_AES256GCM_SHA384_Ed25519;
const COMPONENT: u16 = 0x8001;

/// A member on some provider.
struct Party<P> {
    provider: P,
    signer: SignatureKeyPair,
    credential: CredentialWithKey,
    group: Option<MlsGroup>,
}

impl<P: OpenMlsProvider> Party<P> {
    fn new(name: &str, provider: P) -> Self {
        let signer = SignatureKeyPair::new(SignatureScheme::ED25519).unwrap();
        signer.store(provider.storage()).unwrap();
        let credential = BasicCredential::new(name.into()).into();
        let credential = CredentialWithKey { credential, signature_key: signer.public().into() };
        Self { provider, signer, credential, group: None }
    }

    fn create(&mut self) {
        let config = MlsGroupCreateConfig::builder().ciphersuite(SUITE).use_ratchet_tree_extension(true).build();
        let group = MlsGroup::new(&self.provider, &self.signer, &config, self.credential.clone());
        self.group = Some(group.unwrap());
    }

    fn key_package(&self) -> KeyPackageBundle {
        KeyPackage::builder().build(SUITE, &self.provider, &self.signer, self.credential.clone()).unwrap()
    }

    fn group(&mut self) -> &mut MlsGroup {
        self.group.as_mut().unwrap()
    }

    fn add(&mut self, joiner: &mut Self) -> MlsMessageOut {
        let package = joiner.key_package();
        let group = self.group.as_mut().unwrap();
        let (commit, welcome, _) =
            group.add_members(&self.provider, &self.signer, &[package.key_package().clone()]).unwrap();
        group.merge_pending_commit(&self.provider).unwrap();
        let MlsMessageBodyIn::Welcome(welcome) = sent(&welcome).extract() else { panic!("a welcome") };
        let config = MlsGroupJoinConfig::builder().use_ratchet_tree_extension(true).build();
        let staged = StagedWelcome::new_from_welcome(&joiner.provider, &config, welcome, None).unwrap();
        joiner.group = Some(staged.into_group(&joiner.provider).unwrap());
        commit
    }

    fn update(&mut self) -> MlsMessageOut {
        let group = self.group.as_mut().unwrap();
        let bundle = group.self_update(&self.provider, &self.signer, LeafNodeParameters::default()).unwrap();
        group.merge_pending_commit(&self.provider).unwrap();
        bundle.into_contents().0
    }

    /// Asks to remove a leaf, for another to commit.
    fn propose_removal(&mut self, leaf: u32) -> (MlsMessageOut, hash_ref::ProposalRef) {
        let group = self.group.as_mut().unwrap();
        group.propose_remove_member(&self.provider, &self.signer, LeafNodeIndex::new(leaf)).unwrap()
    }

    fn commit_proposals(&mut self) -> MlsMessageOut {
        let group = self.group.as_mut().unwrap();
        let (commit, _, _) = group.commit_to_pending_proposals(&self.provider, &self.signer).unwrap();
        group.merge_pending_commit(&self.provider).unwrap();
        commit
    }

    fn remove(&mut self, leaf: u32) -> MlsMessageOut {
        let group = self.group.as_mut().unwrap();
        let leaf = LeafNodeIndex::new(leaf);
        let (commit, _, _) = group.remove_members(&self.provider, &self.signer, &[leaf]).unwrap();
        group.merge_pending_commit(&self.provider).unwrap();
        commit
    }

    fn receive(&mut self, message: &MlsMessageOut) {
        let group = self.group.as_mut().unwrap();
        let message = sent(message).try_into_protocol_message().unwrap();
        match group.process_message(&self.provider, message).unwrap().into_content() {
            ProcessedMessageContent::StagedCommitMessage(commit) => {
                group.merge_staged_commit(&self.provider, *commit).unwrap();
            }
            ProcessedMessageContent::ProposalMessage(proposal) => {
                group.store_pending_proposal(self.provider.storage(), *proposal).unwrap();
            }
            _ => panic!("neither commit nor proposal"),
        }
    }

    fn export(&mut self) -> Vec<u8> {
        let group = self.group.as_mut().unwrap();
        group.safe_export_secret(self.provider.crypto(), self.provider.storage(), COMPONENT).unwrap()
    }

    fn load(&mut self) {
        let id = self.group().group_id().clone();
        self.group = MlsGroup::load(self.provider.storage(), &id).unwrap();
        assert!(self.group.is_some());
    }

    fn delete(&mut self) {
        let mut group = self.group.take().unwrap();
        group.delete(self.provider.storage()).unwrap();
    }
}

fn sent(message: &MlsMessageOut) -> MlsMessageIn {
    MlsMessageIn::tls_deserialize_exact(message.to_bytes().unwrap()).unwrap()
}

fn three<P: OpenMlsProvider>(new: impl Fn() -> P) -> [Party<P>; 3] {
    let mut parties = ["ada", "ben", "cem"].map(|name| Party::new(name, new()));
    let [ada, ben, cem] = &mut parties;
    ada.create();
    ada.add(ben);
    let commit = ada.add(cem);
    ben.receive(&commit);
    agree(&mut parties);
    parties
}

/// Everyone exports the same secret.
fn agree<P: OpenMlsProvider>(parties: &mut [Party<P>]) {
    let secrets: Vec<_> = parties.iter_mut().map(Party::export).collect();
    assert_eq!(secrets[0].len(), 48);
    assert!(secrets.iter().all(|secret| *secret == secrets[0]));
}

fn key() -> StoreKey {
    StoreKey::new(&[7; 32]).unwrap()
}

fn restarted(party: Party<Provider>) -> Party<Provider> {
    let Party { provider, signer, credential, group } = party;
    let sealed = provider.store().seal(&key()).unwrap();
    let id = group.unwrap().group_id().clone();
    let public = signer.public().to_vec();
    drop((provider, signer));
    let provider = Provider::new(Store::open(&sealed, &key()).unwrap());
    let signer = SignatureKeyPair::read(provider.storage(), &public, SignatureScheme::ED25519).unwrap();
    let group = MlsGroup::load(provider.storage(), &id).unwrap();
    assert!(group.is_some());
    Party { provider, signer, credential, group }
}

#[test]
fn a_group_of_three_goes_on_after_a_restart() {
    let mut parties = three(Provider::default);
    let commit = parties[1].update();
    parties[0].receive(&commit);
    parties[2].receive(&commit);
    agree(&mut parties);

    let mut parties = parties.map(restarted);
    let [ada, ben, cem] = &mut parties;
    let commit = cem.update();
    ada.receive(&commit);
    ben.receive(&commit);
    agree(&mut parties);

    let [ada, ben, cem] = &mut parties;
    let (proposal, _) = cem.propose_removal(1);
    ada.receive(&proposal);
    ben.receive(&proposal);
    let [ada, ben, cem] = parties.map(restarted);
    let (mut ada, ben, mut cem) = (ada, ben, cem);
    let commit = ada.commit_proposals();
    cem.receive(&commit);
    drop(ben);
    let mut rest = [ada, cem];
    agree(&mut rest);
    let exported_again = rest[0].group.as_mut().unwrap().safe_export_secret(
        rest[0].provider.crypto(),
        rest[0].provider.storage(),
        COMPONENT,
    );
    assert!(exported_again.is_err(), "one epoch gives its media secret once");
}

#[test]
fn a_secret_that_was_exported_stays_gone_after_a_restart() {
    let [ada, _, _] = three(Provider::default);
    let mut ada = restarted(ada);
    let group = ada.group.as_mut().unwrap();
    assert!(group.safe_export_secret(ada.provider.crypto(), ada.provider.storage(), COMPONENT).is_err());
}

#[test]
fn nothing_remains_of_a_deleted_group_and_its_identity() {
    let parties = three(Provider::default);
    for mut party in parties {
        let other = if party.group().own_leaf_index().u32() == 1 { 0 } else { 1 };
        party.propose_removal(other);
        party.delete();
        let left: Vec<u8> = party.provider.store().lock().keys().map(|key| key.as_slice()[1]).collect();
        assert_eq!(left, [Kind::SignatureKeys as u8], "kinds of what is left");
        party.provider.store().clear();
        assert!(party.provider.store().is_empty());
    }
}

/// Two stores that are asked the same and must answer alike: this one and the library's own in-memory one.
#[derive(Default)]
struct Both {
    ours: Store,
    theirs: MemoryStorage,
    called: Mutex<BTreeSet<&'static str>>,
}

impl Both {
    fn note(&self, name: &'static str) {
        self.called.lock().unwrap().insert(name);
    }
}

/// A value for comparing: maps whose order is left to chance come out as lists of entries, so lists of anything but
/// numbers are sorted.
fn canonical(value: &impl Serialize) -> serde_json::Value {
    fn sort(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Array(items) => {
                items.iter_mut().for_each(sort);
                if items.iter().any(|item| !item.is_number()) {
                    items.sort_by_key(|item| item.to_string());
                }
            }
            serde_json::Value::Object(entries) => entries.values_mut().for_each(sort),
            _ => {}
        }
    }
    let mut value = serde_json::to_value(value).unwrap();
    sort(&mut value);
    value
}

macro_rules! both {
    (
        put { $($put:ident<$($pg:ident),+>($($pk:ident: $pt:ty),+) $pkind:ident;)+ }
        get { $($get:ident<$($gg:ident),+>($($gk:ident: $gt:ty),+) $out:ident, $gkind:ident;)+ }
        remove { $($remove:ident<$($rg:ident),+>($($rk:ident: $rt:ty),+) $rkind:ident;)+ }
    ) => {
        $(fn $put<$($pg: traits::$pg<CURRENT_VERSION>),+>(&self, $($pk: $pt),+) -> Result<(), StoreError> {
            self.note(stringify!($put));
            self.theirs.$put::<$($pg),+>($($pk),+).unwrap();
            self.ours.$put::<$($pg),+>($($pk),+)
        })+
        $(fn $get<$($gg: traits::$gg<CURRENT_VERSION>),+>(&self, $($gk: $gt),+) -> Result<Option<$out>, StoreError> {
            self.note(stringify!($get));
            let theirs = self.theirs.$get::<$($gg),+>($($gk),+).unwrap();
            let ours = self.ours.$get::<$($gg),+>($($gk),+)?;
            assert_eq!(canonical(&ours), canonical(&theirs), stringify!($get));
            Ok(ours)
        })+
        $(fn $remove<$($rg: traits::$rg<CURRENT_VERSION>),+>(&self, $($rk: $rt),+) -> Result<(), StoreError> {
            self.note(stringify!($remove));
            self.theirs.$remove::<$($rg),+>($($rk),+).unwrap();
            self.ours.$remove::<$($rg),+>($($rk),+)
        })+
    };
}

/// The methods that the table has not, for both.
macro_rules! lists {
    ($($name:ident<$($g:ident),+>($($arg:ident: $ty:ty),+) -> $out:ty;)+) => {
        $(fn $name<$($g: traits::$g<CURRENT_VERSION>),+>(&self, $($arg: $ty),+) -> Result<$out, StoreError> {
            self.note(stringify!($name));
            let theirs = self.theirs.$name::<$($g),+>($($arg),+).unwrap();
            let ours = self.ours.$name::<$($g),+>($($arg),+)?;
            assert_eq!(canonical(&ours), canonical(&theirs), stringify!($name));
            Ok(ours)
        })+
    };
}

impl StorageProvider<CURRENT_VERSION> for Both {
    type Error = StoreError;

    table!(both);

    lists! {
        append_own_leaf_node<GroupId, LeafNode>(group: &GroupId, leaf: &LeafNode) -> ();
        own_leaf_nodes<GroupId, LeafNode>(group: &GroupId) -> Vec<LeafNode>;
        queue_proposal<GroupId, ProposalRef, QueuedProposal>(
            group: &GroupId, reference: &ProposalRef, proposal: &QueuedProposal) -> ();
        queued_proposal_refs<GroupId, ProposalRef>(group: &GroupId) -> Vec<ProposalRef>;
        queued_proposals<GroupId, ProposalRef, QueuedProposal>(group: &GroupId) -> Vec<(ProposalRef, QueuedProposal)>;
        remove_proposal<GroupId, ProposalRef>(group: &GroupId, reference: &ProposalRef) -> ();
        clear_proposal_queue<GroupId, ProposalRef>(group: &GroupId) -> ();
        encryption_epoch_key_pairs<GroupId, EpochKey, HpkeKeyPair>(
            group: &GroupId, epoch: &EpochKey, leaf: u32) -> Vec<HpkeKeyPair>;
    }
}

/// The provider of a party on both.
#[derive(Default)]
struct OnBoth {
    inner: Provider,
    store: Both,
}

impl OpenMlsProvider for OnBoth {
    type CryptoProvider = openmls_rust_crypto::RustCrypto;
    type RandProvider = crate::e2ee::group::provider::Random;
    type StorageProvider = Both;

    fn storage(&self) -> &Both {
        &self.store
    }

    fn crypto(&self) -> &Self::CryptoProvider {
        self.inner.crypto()
    }

    fn rand(&self) -> &Self::RandProvider {
        self.inner.rand()
    }
}

/// A name and a value of every sort.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Thing(u32, Vec<u8>);

impl openmls_traits::storage::Key<CURRENT_VERSION> for Thing {}
impl openmls_traits::storage::Entity<CURRENT_VERSION> for Thing {}

macro_rules! every_sort {
    ($($sort:ident)+) => { $(impl traits::$sort<CURRENT_VERSION> for Thing {})+ };
}

every_sort! {
    GroupId SignaturePublicKey HashReference PskId EncryptionKey EpochKey QueuedProposal TreeSync GroupContext
    InterimTranscriptHash ConfirmationTag SignatureKeyPair PskBundle HpkeKeyPair GroupState GroupEpochSecrets
    LeafNodeIndex MessageSecrets ResumptionPskStore KeyPackage MlsGroupJoinConfig LeafNode ApplicationExportTree
    ProposalRef
}

#[test]
fn groups_on_this_store_and_on_the_library_s_own_read_the_same() {
    let mut parties = three(OnBoth::default);
    for party in &mut parties {
        party.load();
    }
    let commit = parties[2].update();
    parties[0].receive(&commit);
    parties[1].receive(&commit);
    let [ada, ben, cem] = &mut parties;
    let (proposal, reference) = ben.propose_removal(2);
    ada.receive(&proposal);
    cem.receive(&proposal);
    for party in [&mut *ada, cem] {
        let group = party.group.as_mut().unwrap();
        group.remove_pending_proposal(party.provider.storage(), &reference).unwrap();
    }
    ben.load();
    ada.load();
    let commit = ada.remove(1);
    cem.receive(&commit);
    ada.load();
    cem.load();
    agree(std::slice::from_mut(ada));
    for mut party in parties {
        party.delete();
    }
}

#[test]
fn every_method_puts_gets_and_deletes_as_the_library_s_own_store_does() {
    let both = Both::default();
    let names: Vec<Thing> = (0..3).map(|i| Thing(i, vec![i as u8; 40])).collect();
    for round in 0..2u32 {
        for name in &names {
            let value = &Thing(100 + round, vec![round as u8 + name.0 as u8; 300]);
            macro_rules! exercise {
                (
                    put { $($put:ident<$($pg:ident),+>($a:ident: $at:ty $(, $pk:ident: $pt:ty)+) $pkind:ident;)+ }
                    get { $($get:ident<$($gg:ident),+>($gk:ident: $gt:ty) $out:ident, $gkind:ident;)+ }
                    $remove:ident { $($rest:tt)+ }
                ) => {
                    $(put_one!(both, name, value, $put, $($pg),+; $($pk),+);)+
                    $(assert_eq!(both.$get::<$(every!($gg)),+>(name).unwrap().as_ref(), Some(value));)+
                    $(assert_eq!(both.$get::<$(every!($gg)),+>(&Thing(9, Vec::new())).unwrap(), None);)+
                };
            }
            macro_rules! every {
                ($sort:ident) => {
                    Thing
                };
            }
            macro_rules! put_one {
                ($s:ident, $n:ident, $v:ident, $put:ident, $($pg:ident),+; $one:ident) => {
                    $s.$put::<$(every!($pg)),+>($n, $v).unwrap()
                };
                ($s:ident, $n:ident, $v:ident, $put:ident, $($pg:ident),+; $b:ident, $c:ident, $d:ident) => {
                    $s.$put::<$(every!($pg)),+>($n, &Thing(1, vec![]), 5, std::slice::from_ref($v)).unwrap()
                };
            }
            table!(exercise);
            let epoch = Thing(1, vec![]);
            let pairs: Vec<Thing> = both.encryption_epoch_key_pairs(name, &epoch, 5).unwrap();
            assert_eq!(pairs, [value.clone()]);
            assert!(both.encryption_epoch_key_pairs::<_, _, Thing>(name, &epoch, 6).unwrap().is_empty());

            both.append_own_leaf_node(name, value).unwrap();
            both.append_own_leaf_node(name, &epoch).unwrap();
            assert_eq!(both.own_leaf_nodes::<_, Thing>(name).unwrap()[..2], [value.clone(), epoch.clone()]);
            for reference in &names {
                both.queue_proposal(name, reference, value).unwrap();
            }
            both.remove_proposal(name, &names[1]).unwrap();
            both.remove_proposal(name, &Thing(77, vec![])).unwrap();
            let references: Vec<Thing> = both.queued_proposal_refs(name).unwrap();
            assert_eq!(references, [names[0].clone(), names[2].clone()]);
            let proposals: Vec<(Thing, Thing)> = both.queued_proposals(name).unwrap();
            assert_eq!(proposals.len(), 2);
            both.clear_proposal_queue::<_, Thing>(name).unwrap();
            assert!(both.queued_proposals::<_, Thing, Thing>(name).unwrap().is_empty());
            both.delete_own_leaf_nodes(name).unwrap();
            assert!(both.own_leaf_nodes::<_, Thing>(name).unwrap().is_empty());
        }
    }
    for name in &names {
        both.delete_group_config(name).unwrap();
        both.delete_tree(name).unwrap();
        both.delete_confirmation_tag(name).unwrap();
        both.delete_group_state(name).unwrap();
        both.delete_context(name).unwrap();
        both.delete_interim_transcript_hash(name).unwrap();
        both.delete_message_secrets(name).unwrap();
        both.delete_all_resumption_psk_secrets(name).unwrap();
        both.delete_own_leaf_index(name).unwrap();
        both.delete_group_epoch_secrets(name).unwrap();
        both.delete_application_export_tree::<_, Thing>(name).unwrap();
        both.delete_signature_key_pair(name).unwrap();
        both.delete_encryption_key_pair(name).unwrap();
        both.delete_encryption_epoch_key_pairs(name, &Thing(1, vec![]), 5).unwrap();
        both.delete_key_package(name).unwrap();
        both.delete_psk(name).unwrap();
        assert_eq!(both.tree::<_, Thing>(name).unwrap(), None);
    }
    assert!(both.ours.is_empty());
    assert_eq!(both.called.lock().unwrap().len(), 56, "methods of the trait");
}
