//! What people can verify: the code on every screen, whom they have verified, and the shield.

use conclave::e2ee::group::{MeetingType, Request};
use conclave::meeting::code::Of;
use conclave::meeting::policy::{Client, Document, Feature, Kind, MeetingPolicy, Platform, SwitchedOff};
use conclave::meeting::shield::Shield;
use conclave::meeting::verified::{Again, State};
use conclave::meeting::{Alarm, Config, Event};

use crate::meetings::{Room, config};

/// The code on the screen of a seat, as it is read aloud.
fn code(room: &mut Room, seat: usize) -> (Of, String) {
    let codes = room.at(seat).codes();
    let of = codes.shown().unwrap();
    let made = codes.job(of).unwrap().run().unwrap();
    codes.done(made);
    (of, codes.get(of).unwrap().to_string())
}

#[test]
fn every_screen_shows_the_code_that_is_read_aloud_until_it_is_closed() {
    let mut room = Room::of(3, config());
    room.at(0).read_aloud().unwrap();
    room.run(500);
    let (pinned, read) = code(&mut room, 0);
    let late = room.knock("late");
    room.run(1_500);
    assert_eq!(room.roster(late).len(), 4);
    for seat in 1..3 {
        assert_eq!(code(&mut room, seat), (pinned, read.clone()), "the meeting has moved on");
    }
    room.at(0).close_code().unwrap();
    room.run(500);
    let after = code(&mut room, 0);
    assert!(after.0 != pinned && after.1 != read);
    for seat in [1, 2, late] {
        assert_eq!(code(&mut room, seat), after);
    }
}

#[test]
fn what_was_verified_lasts_with_the_same_people_and_not_beyond_the_service() {
    let mut room = Room::of(4, config());
    let epoch = room.at(0).epoch();
    assert_eq!(room.at(0).verified().state(), State::Unverified);
    room.at(0).memory().matches(epoch, 0).unwrap();
    assert_eq!(room.at(0).verified().state(), State::Verified);
    let now = room.now();
    room.at(3).leave(now).unwrap();
    room.run(1_500);
    assert_eq!(room.at(0).verified().state(), State::Verified, "who left has signed it");
    let late = room.knock("late");
    room.run(1_500);
    let (view, newcomer) = (room.at(0).verified().view(), room.identity(late));
    assert_eq!((view.state, view.joined), (State::Unverified, vec![newcomer]));
    let (leaf, gone) = (room.member(2).leaf, room.identity(2));
    let deliveries = room.gathering.relay().propose_removal(leaf);
    room.gathering.announce(deliveries);
    room.run(1_500);
    assert_eq!(room.at(0).verified().view().again, [Again::Removed(gone)]);
}

#[test]
fn the_shield_is_green_only_while_keys_of_the_group_are_in_force_under_the_rules_of_the_invite() {
    let mut room = Room::of(2, config());
    assert!((0..2).all(|seat| room.at(seat).shield() == Shield::EndToEnd));
    let mut settings = config();
    settings.waiting_room = true;
    let mut closed = Room::found(settings);
    let guest = closed.knock("guest");
    closed.run(500);
    assert_eq!(closed.at(guest).shield(), Shield::Stopped);

    let now = room.now();
    let other = Request::Policy {
        recorder_allowed: false,
        leaver_window_ms: 2_000,
        roster_limit: 1_000,
        meeting_policy: [9; 32],
    };
    room.at(0).party().group().unwrap().ask(other, now).unwrap();
    room.run(1_000);
    assert_eq!(room.alarms(1), [Alarm::Policy { expected: [0; 32], got: [9; 32] }]);
    assert_eq!(room.at(1).shield(), Shield::Warning);
    let now = room.now();
    room.at(0).end(now).unwrap();
    room.run(1_000);
    assert!(matches!(room.events(1).last(), Some(Event::Ended(_))));
    assert_eq!(room.at(1).shield(), Shield::Stopped);
}

#[test]
fn what_an_end_to_end_meeting_cannot_have_is_refused_without_rules_too() {
    let mut room = Room::found(config());
    assert!(room.config.policy.is_none());
    for feature in Feature::ALL {
        assert_eq!(room.at(0).ask(feature), Err(SwitchedOff(feature)));
    }
}

#[test]
fn who_comes_while_a_code_is_read_aloud_shows_no_other() {
    let mut room = Room::of(2, config());
    let guest = room.identity(1);
    room.at(0).read_aloud().unwrap();
    room.at(0).spotlight(Some(&guest)).unwrap();
    room.run(500);
    let pinned = room.at(0).pinned();
    room.events(1);
    let late = room.knock("late");
    room.run(2_000);
    assert_eq!((room.at(late).pinned(), room.at(late).spotlighted().map(|one| one.identity)), (pinned, Some(guest)));
    assert!(room.at(late).codes().shown().is_err(), "it was not there");
    let again = |event: &Event| matches!(event, Event::ReadAloud { .. } | Event::Spotlight { .. });
    assert!(!room.events(1).iter().any(again), "the others are told once");
}

#[test]
fn a_policy_that_the_host_changed_can_be_followed() {
    let policy = |setting: &str| {
        let document = Document::parse("test", &format!("[account]\nsuite = \"classical\"\n{setting}")).unwrap();
        MeetingPolicy::resolve(&document, None, None).unwrap().for_meeting(MeetingType::EndToEnd).unwrap()
    };
    let (before, after) = (policy(""), policy("leaver_window_ms = 1500\n"));
    let client = Client { kind: Kind::Desktop, platform: Some(Platform::Linux), version: "5.4.0".into() };
    let settings = Config::of(before, b"by the rules", client).unwrap();
    let mut room = Room::of(2, Config { waiting_room: false, ..settings });
    assert_eq!([0, 1].map(|seat| room.at(seat).shield()), [Shield::EndToEnd; 2]);
    let now = room.now();
    room.at(0).party().group().unwrap().ask(after.request(), now).unwrap();
    room.run(1_000);
    assert_eq!([0, 1].map(|seat| room.at(seat).shield()), [Shield::Warning; 2]);
    (0..2).for_each(|seat| room.at(seat).adopt(after.clone()));
    assert_eq!([0, 1].map(|seat| room.at(seat).shield()), [Shield::EndToEnd; 2]);
}
