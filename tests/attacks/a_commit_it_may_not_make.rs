//! A member whose software keeps to no rules, straight on the MLS library, commits what only a host may commit.

use conclave::e2ee::Role;
use conclave::e2ee::group::policy::POLICY_EXTENSION;
use conclave::e2ee::group::provider::Provider;
use conclave::e2ee::group::rules::{Act, Illegal, Who};
use conclave::e2ee::group::wire::Envelope;
use conclave::e2ee::group::{Config, Device, EnginePolicy, Event, Joining};
use openmls::prelude::tls_codec::Deserialize;
use openmls::prelude::*;

use crate::table::{Seat, Table};

const HOSTILE: u64 = 2;

/// Has the hostile member commit what `plan` says; the honest three must refuse it, name it, and go on.
fn commit_is_refused(plan: impl FnOnce(&Provider, &mut MlsGroup, &Device) -> MlsMessageOut) -> Illegal {
    let mut table = Table::of(4, Config::new(b"meeting").classical());
    let epoch = table.agree();
    let leaf = table.group(HOSTILE).own_leaf();
    let Some(Seat::In(group)) = table.people.get_mut(&HOSTILE).unwrap().seat.take() else { panic!("not in") };
    let provider = group.suspend();
    let mut mls = MlsGroup::load(provider.storage(), &GroupId::from_slice(b"meeting")).unwrap().unwrap();
    let body = plan(&provider, &mut mls, &Table::device(HOSTILE)).to_bytes().unwrap();
    table.up(HOSTILE, Envelope::Handshake { order: 0, body: &body }.encode());
    table.run(1000);
    assert_eq!(table.agree(), epoch, "the epoch stays");
    let mut why = vec![];
    for id in [0, 1, 3] {
        for event in table.events(id) {
            if let Event::Refused { leaf: Some(by), why: reason } = event {
                assert_eq!(by, leaf);
                why.push(reason);
            }
        }
    }
    assert_eq!(why.len(), 3, "everybody flags it");
    assert!(why.windows(2).all(|pair| pair[0] == pair[1]));
    let now = table.now;
    table.group(0).remove(leaf, true, now).unwrap();
    table.run(1000);
    assert_eq!((table.agree(), table.group(1).roster().len()), (epoch + 1, 3), "the meeting goes on without it");
    why.remove(0)
}

fn refused(act: Act) -> Illegal {
    Illegal::NotAllowed { act, author: Who::Ordinary, committer: Who::Ordinary }
}

fn key_package() -> KeyPackage {
    let (_, envelope) = Joining::new(&Table::device(9), Config::new(b"meeting").classical()).unwrap();
    let Ok(Envelope::KeyPackage(body)) = Envelope::decode(&envelope) else { panic!("no key package") };
    let MlsMessageBodyIn::KeyPackage(package) = MlsMessageIn::tls_deserialize_exact(body).unwrap().extract() else {
        panic!("no key package")
    };
    package.validate(Provider::default().crypto(), ProtocolVersion::default()).unwrap()
}

fn new_policy(mls: &MlsGroup, change: impl FnOnce(&mut EnginePolicy)) -> Extensions<GroupContext> {
    let mut policy = EnginePolicy::decode(&mls.extensions().unknown(POLICY_EXTENSION).unwrap().0).unwrap();
    change(&mut policy);
    let new = Extension::Unknown(POLICY_EXTENSION, UnknownExtension(policy.encode()));
    let all = mls.extensions().iter().map(|one| if one.extension_type() == new.extension_type() { &new } else { one });
    Extensions::from_vec(all.cloned().collect()).unwrap()
}

#[test]
fn it_adds_an_accomplice() {
    let why = commit_is_refused(|provider, mls, device| mls.add_members(provider, device, &[key_package()]).unwrap().0);
    assert_eq!(why, refused(Act::Add));
}

#[test]
fn it_puts_somebody_out() {
    let why = commit_is_refused(|provider, mls, device| {
        mls.remove_members(provider, device, &[LeafNodeIndex::new(3)]).unwrap().0
    });
    assert_eq!(why, refused(Act::Remove));
}

#[test]
fn it_makes_itself_host() {
    let why = commit_is_refused(|provider, mls, device| {
        let new = new_policy(mls, |policy| policy.set_role(device.identity(), Role::Host));
        mls.update_group_context_extensions(provider, new, device).unwrap().0
    });
    assert_eq!(why, refused(Act::Policy));
}

#[test]
fn it_lets_a_recorder_in_by_policy() {
    let why = commit_is_refused(|provider, mls, device| {
        let new = new_policy(mls, |policy| policy.recorder_allowed = true);
        mls.update_group_context_extensions(provider, new, device).unwrap().0
    });
    assert_eq!(why, refused(Act::Policy));
}
