use openmls::prelude::tls_codec::Deserialize as _;
use openmls::prelude::*;
use openmls_basic_credential::SignatureKeyPair;
use openmls_traits::OpenMlsProvider;
use openmls_traits::types::{Ciphersuite, SignatureScheme};

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
