//! Who rules: roles, handing over, recorders, and what is put to the host again.

use conclave::e2ee::Role;
use conclave::e2ee::group::{Gone, Request};
use conclave::meeting::{Ended, Event, MeetingError};
use conclave::party::PartyError;
use conclave::send::SendError;

use crate::meetings::{Room, config};
use crate::people::sound;

#[test]
fn the_host_hands_over_in_one_epoch_and_may_go_only_then() {
    let mut room = Room::of(3, config());
    let (now, next) = (room.now(), room.identity(1));
    assert!(matches!(room.at(0).leave(now), Err(MeetingError::OnlyHost)));
    assert!(matches!(room.at(2).hand_over(&next, now), Err(MeetingError::NotAllowed(_))));
    let epoch = room.at(0).epoch();
    room.at(0).hand_over(&next, now).unwrap();
    room.run(1_000);
    assert!((0..3).all(|seat| room.at(seat).epoch() == epoch + 1));
    assert!((0..3).all(|seat| room.at(seat).host().is_some_and(|host| host.identity == next)));
    let roles: Vec<_> = room
        .events(2)
        .into_iter()
        .filter_map(|event| match event {
            Event::Role { who, was, by: Some(by) } => Some((who.name, was, who.role, by.name)),
            _ => None,
        })
        .collect();
    let host = "host".to_owned();
    let expected = [
        (host.clone(), Role::Host, Role::Participant, host.clone()),
        ("guest 1".to_owned(), Role::Participant, Role::Host, host),
    ];
    assert_eq!(roles, expected);
    let now = room.now();
    assert!(matches!(room.at(0).lock(now), Err(MeetingError::Group(_))), "it no longer rules");
    room.at(0).leave(now).unwrap();
    room.run(1_500);
    assert_eq!(room.at(0).ended(), Some(&Ended::Left));
    assert_eq!(room.roster(1), ["guest 1", "guest 2"]);
    room.assert_calm();
}

#[test]
fn a_co_host_admits_and_removes_and_does_not_end_the_meeting() {
    let mut room = Room::of(3, config());
    let (now, co_host, guest) = (room.now(), room.identity(1), room.identity(2));
    assert!(room.at(1).remove(&guest, now).is_err());
    room.at(0).set_role(&co_host, Role::CoHost, now).unwrap();
    room.run(1_000);
    let now = room.now();
    assert!(matches!(room.at(1).end(now), Err(MeetingError::NotAllowed(_))));
    room.at(1).remove(&guest, now).unwrap();
    room.run(1_000);
    assert_eq!(room.roster(0), ["host", "guest 1"]);
    let leaf = room.member(1).leaf;
    let went = |event: &Event| matches!(event, Event::Went { who, how: Gone::Host(by), .. } if who.name == "guest 2" && *by == leaf);
    assert!(room.events(0).iter().any(went));
    assert_eq!(room.at(2).ended(), Some(&Ended::Removed));
}

#[test]
fn a_recorder_is_on_everybodys_list_hears_and_sends_no_media() {
    let mut settings = config();
    settings.party.group.recorder_allowed = true;
    let mut room = Room::of(3, settings);
    let (now, recorder) = (room.now(), room.identity(2));
    room.at(0).set_role(&recorder, Role::Recorder, now).unwrap();
    room.talk(1_500, &[0]);
    for seat in 0..3 {
        let rows = room.at(seat).roster();
        assert!(rows.iter().any(|row| row.member.identity == recorder && row.member.role == Role::Recorder));
    }
    let frame = sound(1, room.now());
    let refused = room.gathering.frame(2, frame, &mut room.told);
    assert!(matches!(refused, Err(PartyError::Send(SendError::ReceiveOnly(_)))), "{refused:?}");
    let host = room.peer(0);
    assert!(room.at(2).party().heard().any(|(peer, _)| peer == host));
    room.at(2).chat("I record this").unwrap();
    room.run(1_000);
    assert!(
        room.events(0).iter().any(|event| matches!(event, Event::Chat { line, .. } if **line.text == *"I record this"))
    );
    room.assert_calm();
}

#[test]
fn a_recorder_that_the_policy_does_not_allow_is_refused_in_words() {
    let mut room = Room::of(2, config());
    let (now, guest) = (room.now(), room.identity(1));
    room.at(0).set_role(&guest, Role::Recorder, now).unwrap();
    room.run(1_000);
    assert!(room.events(0).iter().any(|event| matches!(event, Event::Refused { request: Request::Role { .. }, .. })));
    assert_eq!(room.member(1).role, Role::Participant);
}

#[test]
fn a_lock_for_a_roster_that_changed_is_put_to_the_host_again() {
    let mut room = Room::of(4, config());
    let (now, co_host, guest) = (room.now(), room.identity(1), room.identity(3));
    room.at(0).set_role(&co_host, Role::CoHost, now).unwrap();
    room.run(1_000);
    let now = room.now();
    room.at(1).remove(&guest, now).unwrap();
    room.at(0).lock(now).unwrap();
    room.run(1_000);
    assert!(!room.at(0).locked());
    let confirm = |event| if let Event::Confirm(request) = event { Some(request) } else { None };
    let asked: Vec<_> = room.events(0).into_iter().filter_map(confirm).collect();
    assert_eq!(asked, [Request::Lock]);
    let now = room.now();
    room.at(0).confirm(Request::Lock, now).unwrap();
    room.run(1_000);
    assert!((0..3).all(|seat| room.at(seat).locked()));
}
