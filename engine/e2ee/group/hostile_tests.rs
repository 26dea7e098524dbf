//! Members whose software keeps to no rules, and what they may not keep the others from.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, Ordering};

use openmls::prelude::{Capabilities, CredentialType, KeyPackage, LeafNodeParameters, Lifetime, MlsMessageOut};
use openmls_traits::random::OpenMlsRand;

use super::identity::{capabilities, lifetime};
use super::node_keys::{name, renewal};
use super::wire::MAX_KEY_PACKAGE;
use super::*;

/// Random numbers that count up from a first one: keys made with them come again.
struct Fixed(AtomicU8);

impl OpenMlsRand for Fixed {
    type Error = std::convert::Infallible;

    fn random_array<const N: usize>(&self) -> Result<[u8; N], Self::Error> {
        Ok([self.0.fetch_add(1, Ordering::Relaxed); N])
    }

    fn random_vec(&self, len: usize) -> Result<Vec<u8>, Self::Error> {
        Ok(vec![self.0.fetch_add(1, Ordering::Relaxed); len])
    }
}

struct Repeats<'a>(&'a Provider, Fixed);

impl<'a> Repeats<'a> {
    fn from(first: u8, provider: &'a Provider) -> Self {
        Self(provider, Fixed(AtomicU8::new(first)))
    }
}

impl OpenMlsProvider for Repeats<'_> {
    type CryptoProvider = <Provider as OpenMlsProvider>::CryptoProvider;
    type RandProvider = Fixed;
    type StorageProvider = <Provider as OpenMlsProvider>::StorageProvider;

    fn storage(&self) -> &Self::StorageProvider {
        self.0.storage()
    }

    fn crypto(&self) -> &Self::CryptoProvider {
        self.0.crypto()
    }

    fn rand(&self) -> &Self::RandProvider {
        &self.1
    }
}

/// Members around a relay that is quick and honest.
struct Table {
    groups: Vec<Group>,
    now: Time,
    order: u64,
    events: Vec<(usize, Event)>,
}

impl Table {
    /// Group 0 is the host's.
    fn of(count: u8, config: Config) -> Self {
        let device = |n: u8| Device::from_seeds("a", &[n + 1; 32], &[n + 101; 32]).unwrap();
        let now = Time::from_ms(1000);
        let groups = vec![Group::create(&device(0), config.clone(), now).unwrap()];
        let mut table = Self { groups, now, order: 0, events: vec![] };
        let knocks = (1..count).map(|n| Joining::new(&device(n), config.clone()).unwrap());
        let (mut joining, mut welcome): (Vec<_>, _) = (vec![], None);
        for (knocking, knock) in knocks {
            let Ok(Envelope::KeyPackage(package)) = Envelope::decode(&knock) else { panic!("no knock") };
            table.groups[0].admit(package, now).unwrap();
            joining.push(knocking);
        }
        table.wait(200, &mut welcome);
        let welcome = welcome.expect("all come at once");
        for mut one in joining {
            table.groups.push(one.handle(&welcome, table.now).unwrap().unwrap());
        }
        table.run(3_000);
        table.events.clear();
        table
    }

    fn run(&mut self, ms: u64) {
        self.wait(ms, &mut None);
    }

    fn wait(&mut self, ms: u64, welcome: &mut Option<Vec<u8>>) {
        for _ in 0..ms / 10 {
            self.now = self.now.plus(10_000);
            let now = self.now;
            self.groups.iter_mut().for_each(|group| group.tick(now));
            self.post(welcome);
        }
    }

    fn post(&mut self, welcome: &mut Option<Vec<u8>>) {
        let mut sent = VecDeque::new();
        for (at, group) in self.groups.iter_mut().enumerate() {
            while let Some(output) = group.poll() {
                match output {
                    Output::Send(message) => sent.push_back(message),
                    Output::Event(event) => self.events.push((at, event)),
                    Output::Epoch(..) => {}
                }
            }
        }
        for message in sent {
            match Envelope::decode(&message).unwrap() {
                Envelope::Handshake { body, .. } => self.all(|order| Envelope::Handshake { order, body }.encode()),
                Envelope::Application { body, .. } => self.all(|order| Envelope::Application { order, body }.encode()),
                Envelope::Welcome { .. } => *welcome = Some(message.clone()),
                _ => {}
            }
        }
    }

    fn all(&mut self, message: impl Fn(u64) -> Vec<u8>) {
        self.order += 1;
        let message = message(self.order);
        for group in &mut self.groups {
            let _ = group.handle(&message, self.now);
        }
    }

    /// A member proposes a leaf whose encryption key it has proposed before.
    fn propose_again(&mut self, at: usize) {
        self.propose(at, LeafNodeParameters::default());
    }

    fn propose(&mut self, at: usize, leaf: LeafNodeParameters) {
        let group = &mut self.groups[at];
        let provider = Repeats::from(7, &group.provider);
        let (message, _) = group.mls.propose_self_update(&provider, &group.device, leaf).unwrap();
        let body = message.to_bytes().unwrap();
        group.send_handshake(&body);
        // On its way, and what came of it.
        self.post(&mut None);
        self.post(&mut None);
    }

    /// The host locks the meeting and takes out the last of them.
    fn rule(&mut self) {
        let (now, last) = (self.now, self.groups.len() - 1);
        let leaf = self.groups[last].own;
        self.groups[0].lock(now).unwrap();
        self.groups[0].remove(leaf, true, now).unwrap();
        self.run(1_500);
        // What becomes of the hostile one, with a key that it has twice, is its own affair.
        for group in [0, 2].map(|honest| &self.groups[honest].state) {
            assert!(group.policy.lock.is_some() && group.roster.len() == last);
        }
        assert_eq!(self.groups[last].left, Some(Left::Removed));
    }

    /// What the host refused, and whose.
    fn refused(&self) -> Vec<(Option<u16>, Illegal)> {
        let refused = |(at, event): &(usize, Event)| match event {
            Event::Refused { leaf, why } if *at == 0 => Some((*leaf, why.clone())),
            _ => None,
        };
        self.events.iter().filter_map(refused).collect()
    }
}

#[test]
fn an_update_with_a_key_in_use_is_refused_and_keeps_nobody_from_ruling() {
    let mut table = Table::of(4, Config::new(b"g").classical());
    table.propose_again(1);
    table.run(3_000);
    assert_eq!((table.refused(), table.groups[0].epoch()), (vec![], 2), "the first time it is a good one");
    table.propose_again(1);
    assert_eq!(table.refused(), [(Some(1), Illegal::UsedKey)]);
    table.rule();
    assert_eq!(table.refused().len(), 1);
}

#[test]
fn two_updates_with_one_key_break_no_commit_and_the_second_is_refused() {
    for suite in [Config::new(b"g"), Config::new(b"g").classical()] {
        let mut table = Table::of(5, suite);
        // Whoever comes first, and on whichever leaf, is not the one to blame.
        table.propose_again(3);
        table.propose_again(1);
        assert_eq!(table.refused(), [(Some(1), Illegal::UsedKey)]);
        let before = table.groups[3].mls.own_leaf_node().unwrap().encryption_key().clone();
        table.rule();
        assert_eq!(table.refused().len(), 1);
        assert_ne!(*table.groups[3].mls.own_leaf_node().unwrap().encryption_key(), before, "the first one counts");
    }
}

/// A key package whose keys are made from `first` on.
fn knock(device: &Device, first: u8, lifetime: Lifetime) -> Vec<u8> {
    let provider = Provider::default();
    let bundle = KeyPackage::builder()
        .leaf_node_capabilities(capabilities(GroupSuite::Classical))
        .leaf_node_extensions(device.extensions().unwrap())
        .key_package_lifetime(lifetime)
        .build(GroupSuite::Classical.mls(), &Repeats::from(first, &provider), device, device.credential())
        .unwrap();
    MlsMessageOut::from(bundle.key_package().clone()).to_bytes().unwrap()
}

#[test]
fn a_newcomer_and_an_update_with_one_key_break_no_commit() {
    let mut table = Table::of(4, Config::new(b"g").classical());
    table.propose_again(1);
    let (_, proposed) = table.groups[0].mls.pending_proposals().find_map(renewal).unwrap();
    let friend = Device::generate("friend").unwrap();
    let same = |package: &Vec<u8>| {
        let (package, _) = read_key_package(&Provider::default(), package).unwrap();
        name(package.leaf_node().encryption_key()) == Some(proposed)
    };
    let package = (0..8).map(|first| knock(&friend, first, lifetime())).find(same).expect("made alike");
    let (now, before) = (table.now, table.groups[0].epoch());
    table.groups[0].admit(&package, now).unwrap();
    table.run(1_500);
    for group in [0, 2].map(|honest| &table.groups[honest]) {
        assert!(group.epoch() > before && group.roster().find(&friend.identity()).is_some(), "it came");
    }
    assert_eq!(table.refused(), []);
}

#[test]
fn a_key_package_that_holds_for_a_while_only_is_none() {
    let device = Device::generate("a").unwrap();
    for limits in [Lifetime::new(1), Lifetime::default(), Lifetime::init(1, u64::MAX)] {
        let read = read_key_package(&Provider::default(), &knock(&device, 0, limits));
        assert_eq!(read.err(), Some(GroupError::Leaf(LeafError::Lifetime)));
    }
    assert!(read_key_package(&Provider::default(), &knock(&device, 0, lifetime())).is_ok());
}

#[test]
fn a_key_of_any_node_of_the_tree_is_in_use() {
    let mut table = Table::of(5, Config::new(b"g").classical());
    // Parents have keys along the paths of those who committed.
    let (now, friend) = (table.now, table.groups[3].device.identity());
    table.groups[0].set_role(friend, Role::CoHost, now).unwrap();
    table.run(1_500);
    let now = table.now;
    table.groups[3].ask(Request::Renew, now).unwrap();
    table.run(1_500);
    table.propose_again(1);
    let group = &table.groups[2];
    let tree = group.mls.treesync();
    let (leaves, parents) = (tree.full_leaves().count(), tree.full_parents().count());
    assert!(leaves == 5 && parents >= 3, "{leaves} {parents}");
    let mut keys = NodeKeys::of(&group.mls);
    assert_eq!(keys.in_tree().len(), leaves + parents);
    let update = group.mls.pending_proposals().next().unwrap();
    assert!(keys.allow(update));
    let (_, key) = renewal(update).unwrap();
    keys.in_tree().insert(key);
    assert!(!keys.allow(update));
}

#[test]
fn what_the_host_may_not_ask_for_is_blamed_on_nobody_else() {
    let mut table = Table::of(4, Config::new(b"g").classical());
    table.propose_again(1);
    let (now, identity) = (table.now, table.groups[2].device.identity());
    table.groups[0].set_role(identity, Role::Recorder, now).unwrap();
    table.run(1_000);
    assert_eq!(table.refused(), []);
    let denied = |event: &(usize, Event)| matches!(event, (0, Event::Denied { why: Illegal::Recorder, .. }));
    assert!(table.events.iter().any(denied));
    table.rule();
    assert_eq!(table.refused(), []);
}

#[test]
fn an_update_that_lists_other_capabilities_is_refused_and_keeps_nobody_from_ruling() {
    let mut table = Table::of(4, Config::new(b"g").classical());
    let (suites, usual) = ([GroupSuite::Hybrid.mls()], capabilities(GroupSuite::Classical));
    let can = usual.extensions().to_vec();
    let other =
        Capabilities::new(None, Some(&suites), Some(&can), None, Some(&[CredentialType::Basic, CredentialType::X509]));
    table.propose(1, LeafNodeParameters::builder().with_capabilities(other).build());
    assert_eq!(table.refused(), [(Some(1), Illegal::Leaf(LeafError::Capabilities))]);
    table.rule();
}

#[test]
fn key_packages_are_well_below_their_bound_and_no_longer_one_is_read() {
    let device = Device::generate(&"x".repeat(identity::MAX_NAME)).unwrap();
    for config in [Config::new(b"g"), Config::new(b"g").classical()] {
        let (_, knock) = Joining::new(&device, config).unwrap();
        let Ok(Envelope::KeyPackage(package)) = Envelope::decode(&knock) else { panic!("no knock") };
        println!("a key package of the longest name: {} bytes", package.len());
        assert!(package.len() < 3000 && read_key_package(&Provider::default(), package).is_ok());
    }
    let long = vec![0; MAX_KEY_PACKAGE + 1];
    assert_eq!(read_key_package(&Provider::default(), &long).err(), Some(GroupError::KeyPackage));
}
