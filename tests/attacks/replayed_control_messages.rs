//! The relay says again, in another order, everything that it ever delivered.

use std::cell::RefCell;
use std::rc::Rc;

use conclave::e2ee::group::{self, Request};
use conclave::gathering::Config;
use conclave::party;
use conclave::relay::Relay;

use crate::people::Meeting;

type Kept = Rc<RefCell<Vec<(usize, Vec<u8>)>>>;

fn meeting() -> (Meeting, Kept) {
    let settings = party::Config::new(group::Config::new(b"a meeting on a hostile relay").classical());
    let mut meeting = Meeting::found(Config::default(), settings, Relay::new());
    let kept = Kept::default();
    let keeps = kept.clone();
    meeting.gathering.relay_filter(Box::new(move |seat, message, _| {
        keeps.borrow_mut().push((seat, message.to_vec()));
        true
    }));
    meeting.fill(4);
    for _ in 0..3 {
        let now = meeting.now();
        meeting.gathering.party(0).unwrap().group().unwrap().ask(Request::Renew, now).unwrap();
        meeting.run(3_000);
    }
    assert!(kept.borrow().len() > 30);
    (meeting, kept)
}

/// Everything once more, the last first, to everybody: also what was meant for somebody else.
fn replay(meeting: &mut Meeting, kept: &[(usize, Vec<u8>)]) {
    for (_, message) in kept.iter().rev() {
        meeting.gathering.announce((0..4).map(|seat| (seat, message.as_slice().into())).collect());
    }
}

#[test]
fn they_change_nothing_and_are_told() {
    let (mut meeting, kept) = meeting();
    let views = |meeting: &Meeting| -> Vec<_> {
        let views = meeting.gathering.parties();
        views.map(|(_, party)| (party.epoch(), party.sealing(), party.roster().unwrap().hash())).collect()
    };
    // The host lets in whoever knocks: old knocks are none.
    assert!(meeting.people.people[0].admits);
    let before = views(&meeting);
    let kept = kept.borrow().clone();
    replay(&mut meeting, &kept);
    meeting.run(1_000);
    assert_eq!(views(&meeting), before);
    for (seat, person) in meeting.people.people.iter().enumerate() {
        let order = |(_, event): &(_, &group::Event)| matches!(event, group::Event::Order { .. });
        assert!(person.group().any(|event| order(&event)), "{seat} is told that messages repeat");
        assert!(
            !person.group().any(|(_, event)| matches!(event, group::Event::Left(_) | group::Event::Refused { .. }))
        );
        assert!(meeting.gathering.party(seat).unwrap().group().unwrap().stats().stale > 0);
    }
    // The group goes on from where it was.
    let now = meeting.now();
    meeting.gathering.party(0).unwrap().group().unwrap().ask(Request::Renew, now).unwrap();
    meeting.run(2_000);
    let epoch = before[0].0.map(|epoch| epoch + 1);
    assert!(meeting.gathering.parties().all(|(_, party)| party.epoch() == epoch && party.sealing() == epoch));
}

#[test]
fn old_heartbeats_keep_nobody_in_a_meeting_that_is_held_back() {
    let (mut meeting, kept) = meeting();
    let old = kept.borrow().clone();
    // From now on, only what was said before: the filter knows it by its bytes.
    let known: std::collections::HashSet<Vec<u8>> = old.iter().map(|(_, message)| message.clone()).collect();
    meeting.gathering.relay_filter(Box::new(move |_, message, _| known.contains(message)));
    for _ in 0..31 {
        replay(&mut meeting, &old[old.len() - 40..]);
        meeting.run(1_000);
    }
    assert!(meeting.gathering.parties().all(|(_, party)| party.sealing().is_none()), "all have stopped");
    meeting.run(30_000);
    assert!(meeting.gathering.parties().all(|(_, party)| party.own().is_none()), "all are out");
}
