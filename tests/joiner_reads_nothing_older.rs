//! Whoever comes opens nothing that was sealed before its epoch, though it has all of the wire.

#[path = "support/people.rs"]
mod people;
#[path = "support/thief.rs"]
mod thief;

use conclave::e2ee::group;
use conclave::gathering::Config;
use conclave::party;
use conclave::relay::Relay;

use people::Meeting;
use thief::{Hoard, Spy, play};

#[test]
fn a_joiners_keys_open_nothing_from_before_its_epoch_and_all_after() {
    let settings = party::Config::new(group::Config::new(b"a meeting that some join").classical());
    let mut meeting = Meeting::found(Config::default(), settings, Relay::new());
    meeting.fill(6);
    meeting.people.wire = Some(vec![]);
    let speakers = [0, 3, 5];
    meeting.talk(6_000, &speakers, None);
    let mut spy = Spy::knock(&mut meeting);
    let knocked = meeting.now();
    spy.talk(&mut meeting, 6_000, &speakers);
    let first = meeting.people.people[0].epochs().last().unwrap();
    assert_eq!((spy.inputs[0].epoch, spy.inputs.len()), (first.1, 1));
    assert!(first.0 > knocked);

    let (opened, closed) = play(meeting.people.wire.as_ref().unwrap(), Hoard::of(spy.inputs));
    assert!(opened[0] >= first.0, "nothing opens before the first of all has the epoch");
    // Each sender goes over by itself; once the last has, everything opens.
    assert!(closed.last().unwrap().since(first.0) <= 500_000);
    assert!(closed.len() > 900 && opened.len() > 700, "{} closed, {} opened", closed.len(), opened.len());
}
