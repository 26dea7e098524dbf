//! Whoever commits without end leaves no room for the commit that would put it out: each of its epochs makes the host's
//! commit one of an epoch that has ended.

use conclave::e2ee::group::rules::Illegal;
use conclave::e2ee::group::wire::Envelope;
use conclave::e2ee::group::{Config, Event};
use openmls::prelude::*;

use crate::table::{Seat, Table};

const HOSTILE: u64 = 2;
const COMMITS: usize = 40;

/// Commits that renew nobody but their author, each upon the one before.
fn flood(table: &mut Table) -> Vec<Vec<u8>> {
    let Some(Seat::In(group)) = table.people.get_mut(&HOSTILE).unwrap().seat.take() else { panic!("not in") };
    let (provider, device) = (group.suspend(), Table::device(HOSTILE));
    let mut mls = MlsGroup::load(provider.storage(), &GroupId::from_slice(b"meeting")).unwrap().unwrap();
    let commit = |_| {
        let bundle = mls.self_update(&provider, &device, LeafNodeParameters::default()).unwrap();
        let body = bundle.into_commit().to_bytes().unwrap();
        mls.merge_pending_commit(&provider).unwrap();
        Envelope::Handshake { order: 0, body: &body }.encode()
    };
    (0..COMMITS).map(commit).collect()
}

#[test]
fn an_ordinary_members_has_no_effect_and_it_is_put_out_at_once() {
    let mut table = Table::of(4, Config::new(b"meeting").classical());
    let epoch = table.agree();
    let leaf = table.group(HOSTILE).own_leaf();
    for commit in flood(&mut table) {
        table.up(HOSTILE, commit);
    }
    let now = table.now;
    table.group(0).remove(leaf, true, now).unwrap();
    table.run(100);
    assert_eq!((table.agree(), table.group(3).roster().len()), (epoch + 1, 3));
    for id in [0, 1, 3] {
        let unasked = Event::Refused { leaf: Some(leaf), why: Illegal::Unasked };
        assert_eq!(table.events(id).iter().filter(|event| **event == unasked).count(), 1, "{id}");
        assert_eq!(table.group(id).stats().epochs, table.group(1).stats().epochs + u64::from(id == 0));
    }
}
