//! Whatever bytes the relay delivers, nobody panics and the group stays where it is.

#[path = "support/group.rs"]
#[allow(dead_code)]
mod table;

use conclave::e2ee::group::{Config, Group, GroupError, Joining, Output};
use table::Table;

#[test]
fn a_hundred_thousand_mutated_envelopes_change_nothing() {
    let mut table = Table::of(3, Config::new(b"meeting").classical());
    let (joining, knock) = Joining::new(&Table::device(8), table.config()).unwrap();
    let mut joining = joining;
    let now = table.now;
    let mut seeds = vec![knock];
    table.group(1).tell(b"word").unwrap();
    table.group(2).leave(now);
    let leaf = table.group(2).own_leaf();
    table.group(0).remove(leaf, true, now).unwrap();
    for id in 0..3 {
        while let Some(output) = table.group(id).poll() {
            if let Output::Send(message) = output {
                seeds.push(message);
            }
        }
    }
    assert!(seeds.len() >= 4, "a key package, a word, a proposal, a commit");
    let (epoch, mut rng) = (table.group(1).epoch(), fastrand::Rng::with_seed(5));
    for _ in 0..100_000 {
        let mut bytes = seeds[rng.usize(..seeds.len())].clone();
        for _ in 0..rng.usize(1..4) {
            let within = if rng.bool() { 64 } else { usize::MAX };
            let at = rng.usize(..bytes.len().min(within));
            bytes[at] = rng.u8(..);
        }
        if rng.u8(..8) == 0 {
            bytes.truncate(rng.usize(..bytes.len()));
        }
        let _ = table.group(1).handle(&bytes, now);
        while table.group(1).poll().is_some() {}
        let _ = joining.handle(&bytes, now);
        let _ = table.relay.message(1, &bytes);
    }
    let group = table.group(1);
    // A change of nothing but the relay's number leaves the host's own commit, which is good.
    let view = (group.roster().len(), group.epoch());
    assert_eq!(group.left(), None);
    assert!(view == (3, epoch) || view == (2, epoch + 1), "{view:?}");
    assert!(group.stats().unreadable > 10_000);
}

#[test]
fn a_joiner_refuses_a_group_that_is_not_the_one_of_the_invite() {
    let table = Table::new(Config::new(b"meeting").classical());
    let now = table.now;
    let mut host = Group::create(&Table::device(0), table.config(), now).unwrap();
    let enhanced = Config { meeting: conclave::e2ee::group::MeetingType::Enhanced, ..table.config() };
    assert_eq!(Joining::new(&Table::device(1), enhanced.clone()).err(), Some(GroupError::Enhanced));
    assert_eq!(Group::create(&Table::device(0), enhanced, now).err(), Some(GroupError::Enhanced));
    let profile = conclave::e2ee::Profile::Rfc9605Mls;
    let (mut joining, knock) = Joining::new(&Table::device(1), Config { profile, ..table.config() }).unwrap();
    host.handle(&knock, now).unwrap();
    let Ok(conclave::e2ee::group::wire::Envelope::KeyPackage(body)) =
        conclave::e2ee::group::wire::Envelope::decode(&knock)
    else {
        panic!("no key package")
    };
    host.admit(body, now).unwrap();
    let later = now.plus(1_000_000);
    host.tick(later);
    let mut refused = None;
    for _ in 0..3 {
        let mut sends = vec![];
        while let Some(output) = host.poll() {
            if let Output::Send(message) = output {
                sends.push(message);
            }
        }
        for message in sends {
            if let Err(why) = joining.handle(&message, later) {
                refused = Some(why);
            }
            let _ = host.handle(&message, later);
        }
    }
    assert_eq!(refused, Some(GroupError::Mismatch("profile")));
}
