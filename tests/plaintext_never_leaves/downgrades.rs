//! Whoever is told to do without encryption, or with less of it, refuses for a reason of its own and seals nothing.

use conclave::e2ee::group::policy::POLICY_EXTENSION;
use conclave::e2ee::group::provider::Provider;
use conclave::e2ee::group::rules::Illegal;
use conclave::e2ee::group::wire::{Envelope, WireError, ticket};
use conclave::e2ee::group::{Config, Device, EnginePolicy, Event, Group, GroupError, GroupSuite, MeetingType};
use conclave::e2ee::{Profile, Role};
use conclave::frame::{Kind, Packet};
use conclave::gathering::Word;
use conclave::party::{self, Out, Party, PartyError};
use conclave::time::Time;
use openmls::prelude::tls_codec::Deserialize;
use openmls::prelude::*;

use crate::media::Sound;
use crate::tap::Tap;

const GROUP: &[u8] = b"the meeting of the invite";

/// What the invite says: end to end, with hybrid keys.
fn invite() -> Config {
    Config::new(GROUP)
}

#[derive(Default)]
struct Wire(Tap, Vec<Vec<u8>>);

impl Out for Wire {
    fn control(&mut self, message: Vec<u8>) {
        self.0.sent(0, Word::Control(&message), Time(0));
        self.1.push(message);
    }

    fn datagram(&mut self, packet: &Packet) {
        self.0.sent(0, Word::Datagram(packet.as_slice()), Time(0));
    }
}

/// Somebody who was invited and knocked, and what left its device.
struct Victim {
    party: Party,
    wire: Wire,
    package: Vec<u8>,
}

impl Victim {
    fn new() -> Self {
        let mut wire = Wire::default();
        let device = Device::generate("the invited").unwrap();
        let party = Party::knock(&device, party::Config::new(invite()), &mut wire).unwrap();
        let package = wire.1[0][1..].to_vec();
        Self { party, wire, package }
    }

    /// It is let in with `welcome`; why it does not come.
    fn refuses(&mut self, welcome: &[u8]) -> GroupError {
        let envelope = Envelope::Welcome { to: vec![ticket(&self.package)], body: welcome }.encode();
        let refused = self.party.control(&envelope, Time::from_ms(100), &mut self.wire);
        let Err(PartyError::Group(why)) = refused else { panic!("it went in: {refused:?}") };
        // And it says nothing, sealed or not.
        let sound = Sound::open(Kind::Microphone, <_>::default(), 1).next(Time::from_ms(100));
        self.wire.0.conceal(sound.payload.as_slice());
        let said = self.party.frame(sound, Time::from_ms(100), &mut self.wire);
        assert!(matches!(said, Err(PartyError::Outside)));
        self.party.tick(Time::from_ms(200), &mut self.wire).unwrap();
        assert_eq!(self.wire.0.left.len(), 1, "nothing left but the knock");
        why
    }

    fn key_package(&self) -> KeyPackage {
        let message = MlsMessageIn::tls_deserialize_exact(&self.package[..]).unwrap();
        let MlsMessageBodyIn::KeyPackage(package) = message.extract() else { panic!("no key package") };
        package.validate(Provider::default().crypto(), ProtocolVersion::default()).unwrap()
    }
}

/// Founds a group of `config` and puts into its context whatever `policy` makes of the policy there, as a service with
/// software of its own can; the Welcome for the victim.
fn lure(victim: &Victim, config: Config, policy: impl FnOnce(Vec<u8>) -> Option<Vec<u8>>) -> Vec<u8> {
    let device = Device::generate("the service").unwrap();
    let provider = Group::create(&device, config, Time(0)).unwrap().suspend();
    let mut mls = MlsGroup::load(provider.storage(), &GroupId::from_slice(GROUP)).unwrap().unwrap();
    let before = mls.extensions().unknown(POLICY_EXTENSION).unwrap().0.clone();
    let after = policy(before.clone());
    if after.as_ref() != Some(&before) {
        let of_policy = |one: &Extension| one.extension_type() == ExtensionType::Unknown(POLICY_EXTENSION);
        let new = after.map(|after| Extension::Unknown(POLICY_EXTENSION, UnknownExtension(after)));
        let all =
            mls.extensions().iter().filter_map(|one| if of_policy(one) { new.clone() } else { Some(one.clone()) });
        let all = Extensions::from_vec(all.collect()).unwrap();
        mls.update_group_context_extensions(&provider, all, &device).unwrap();
        mls.merge_pending_commit(&provider).unwrap();
    }
    let (_, welcome, _) = mls.add_members(&provider, &device, &[victim.key_package()]).unwrap();
    welcome.to_bytes().unwrap()
}

fn changed(bytes: Vec<u8>, change: impl FnOnce(&mut EnginePolicy)) -> Option<Vec<u8>> {
    let mut policy = EnginePolicy::decode(&bytes).unwrap();
    change(&mut policy);
    Some(policy.encode())
}

#[test]
fn each_lesser_meeting_is_refused_for_its_own_reason() {
    let mut reasons = vec![];
    let mut refuse = |config: Config, policy: fn(Vec<u8>) -> Option<Vec<u8>>| {
        let mut victim = Victim::new();
        let welcome = lure(&victim, config, policy);
        reasons.push(victim.refuses(&welcome));
    };
    // A service that turns end-to-end encryption off.
    refuse(invite(), |old| changed(old, |policy| policy.meeting = MeetingType::Enhanced));
    refuse(invite(), |_| None);
    refuse(invite(), |_| Some(vec![]));
    refuse(invite(), |old| Some([&[0], &old[1..]].concat()));
    refuse(invite(), |old| Some(old[..old.len() - 1].to_vec()));
    refuse(Config { post_quantum: false, ..invite() }, Some);
    refuse(invite(), |old| changed(old, |policy| (policy.suite, policy.post_quantum) = (GroupSuite::Classical, false)));
    refuse(Config { profile: Profile::Rfc9605Mls, ..invite() }, Some);
    // A group that the service rules and no host of it does.
    refuse(invite(), |old| changed(old, |policy| policy.roles.clear()));
    let expected = [
        "meeting type",
        "policy, which is not there",
        "policy, which is empty",
        "version of the policy",
        "policy",
        "post-quantum requirement",
        "suite",
        "profile",
        "sender",
    ];
    assert_eq!(reasons, expected.map(GroupError::Mismatch));
}

#[test]
fn the_genuine_group_is_none_of_these() {
    let mut victim = Victim::new();
    let welcome = lure(&victim, invite(), Some);
    let envelope = Envelope::Welcome { to: vec![ticket(&victim.package)], body: &welcome }.encode();
    victim.party.control(&envelope, Time::from_ms(100), &mut victim.wire).unwrap();
    assert_eq!(victim.party.roster().unwrap().len(), 2);
}

#[test]
fn a_classical_group_cannot_let_in_whoever_asked_for_a_hybrid_one() {
    let mut victim = Victim::new();
    let device = Device::generate("the service").unwrap();
    let mut group = Group::create(&device, invite().classical(), Time(0)).unwrap();
    assert_eq!(group.admit(&victim.package, Time(0)).err(), Some(GroupError::KeyPackage));
    // Another's Welcome, which the relay hands to the victim.
    let other = Device::generate("another").unwrap();
    let (_, knock) = conclave::e2ee::group::Joining::new(&other, invite().classical()).unwrap();
    let provider = group.suspend();
    let mut mls = MlsGroup::load(provider.storage(), &GroupId::from_slice(GROUP)).unwrap().unwrap();
    let message = MlsMessageIn::tls_deserialize_exact(&knock[1..]).unwrap();
    let MlsMessageBodyIn::KeyPackage(package) = message.extract() else { panic!("no key package") };
    let package = package.validate(provider.crypto(), ProtocolVersion::default()).unwrap();
    let (_, welcome, _) = mls.add_members(&provider, &device, &[package]).unwrap();
    assert_eq!(victim.refuses(&welcome.to_bytes().unwrap()), GroupError::Welcome);
}

#[test]
fn a_configuration_that_asks_for_both_is_none() {
    let device = Device::generate("host").unwrap();
    let config = Config { suite: GroupSuite::Classical, ..invite() };
    assert_eq!(Group::create(&device, config, Time(0)).err(), Some(GroupError::Config));
}

/// A member in a meeting, and a host whose software keeps to no rules.
fn meeting() -> (Victim, Provider, MlsGroup, Device) {
    let mut victim = Victim::new();
    let device = Device::generate("the service").unwrap();
    let provider = Group::create(&device, invite(), Time(0)).unwrap().suspend();
    let mut mls = MlsGroup::load(provider.storage(), &GroupId::from_slice(GROUP)).unwrap().unwrap();
    let (_, welcome, _) = mls.add_members(&provider, &device, &[victim.key_package()]).unwrap();
    mls.merge_pending_commit(&provider).unwrap();
    let envelope = Envelope::Welcome { to: vec![ticket(&victim.package)], body: &welcome.to_bytes().unwrap() }.encode();
    victim.party.control(&envelope, Time::from_ms(100), &mut victim.wire).unwrap();
    while victim.party.event().is_some() {}
    (victim, provider, mls, device)
}

#[test]
fn what_is_agreed_is_not_undone_in_the_middle_of_a_meeting() {
    let changes: [(fn(&mut EnginePolicy), Illegal); 5] = [
        (|policy| policy.meeting = MeetingType::Enhanced, Illegal::Fixed),
        (|policy| policy.profile = Profile::Rfc9605Mls, Illegal::Fixed),
        (|policy| policy.post_quantum = false, Illegal::Fixed),
        (|policy| (policy.suite, policy.post_quantum) = (GroupSuite::Classical, false), Illegal::Fixed),
        (|policy| policy.roles.clear(), Illegal::NoHost),
    ];
    let unreadable: [fn(Vec<u8>) -> Vec<u8>; 2] = [|_| vec![], |old| [&[0], &old[1..]].concat()];
    let readable = changes.into_iter().map(|(change, why)| {
        (Box::new(move |old| changed(old, change).unwrap()) as Box<dyn Fn(Vec<u8>) -> Vec<u8>>, why)
    });
    let rest = unreadable.into_iter().map(|change| (Box::new(change) as Box<dyn Fn(_) -> _>, Illegal::Unreadable));
    for (change, expected) in readable.chain(rest) {
        let (mut victim, provider, mut mls, device) = meeting();
        let old = mls.extensions().unknown(POLICY_EXTENSION).unwrap().0.clone();
        let new = Extension::Unknown(POLICY_EXTENSION, UnknownExtension(change(old)));
        let of_policy = |one: &&Extension| one.extension_type() == new.extension_type();
        let all = mls.extensions().iter().map(|one| if of_policy(&one) { new.clone() } else { one.clone() });
        let all = Extensions::from_vec(all.collect()).unwrap();
        let (commit, ..) = mls.update_group_context_extensions(&provider, all, &device).unwrap();
        let body = commit.to_bytes().unwrap();
        let now = Time::from_ms(1000);
        victim.party.control(&Envelope::Handshake { order: 1, body: &body }.encode(), now, &mut victim.wire).unwrap();
        let events: Vec<_> = std::iter::from_fn(|| victim.party.event()).collect();
        let refused = |event: &party::Event| matches!(event, party::Event::Group(Event::Refused { leaf: Some(0), why }) if *why == expected);
        assert!(events.iter().any(refused), "{expected:?}: {events:?}");
        assert_eq!(victim.party.epoch(), Some(1), "the epoch stays");
        goes_on_sealed(&mut victim);
    }
}

#[test]
fn no_word_of_the_relay_turns_encryption_off() {
    let (mut victim, ..) = meeting();
    for word in [&b"disable e2ee"[..], b"{\"e2ee\":false}", &[], &[0], &[6; 40], &[255; 3]] {
        let answer = victim.party.control(word, Time::from_ms(500), &mut victim.wire);
        assert!(matches!(answer, Err(PartyError::Group(GroupError::Wire(WireError::Form)))), "{answer:?}");
    }
    // Handshakes of MLS versions that are none, and of no encryption at all: nothing is done.
    for body in [&[0, 0, 0, 2][..], &[0, 2, 0, 2], &[0, 1, 0, 1], &[0, 1, 0, 9]] {
        let body = [body, &[0; 60]].concat();
        victim
            .party
            .control(&Envelope::Handshake { order: 1, body: &body }.encode(), Time::from_ms(600), &mut victim.wire)
            .unwrap();
    }
    victim.party.datagram(b"disable e2ee", Time::from_ms(700), &mut victim.wire);
    assert_eq!(victim.party.group().unwrap().stats().unreadable, 6 + 4);
    goes_on_sealed(&mut victim);
}

/// It speaks on, sealed, under the keys that it had.
fn goes_on_sealed(victim: &mut Victim) {
    let mut sound = Sound::open(Kind::Microphone, <_>::default(), 1);
    for n in 0..50 {
        let now = Time::from_ms(2000 + n * 20);
        let frame = sound.next(now);
        victim.wire.0.conceal(frame.payload.as_slice());
        victim.party.frame(frame, now, &mut victim.wire).unwrap();
        victim.party.tick(now, &mut victim.wire).unwrap();
    }
    assert_eq!(victim.party.sealing(), Some(1));
    assert!(victim.party.roster().unwrap().iter().any(|member| member.role == Role::Host));
    victim.wire.0.assert_silent("after a downgrade was refused");
}
