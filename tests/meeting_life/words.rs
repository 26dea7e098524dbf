//! What hosts tell everybody and what people say: obeyed, forged, repeated, overtaken; chat and reports of it.

use conclave::data::{State, Topic};
use conclave::e2ee::Role;
use conclave::meeting::{Action, Alarm, Event, Refusal, Report, ReportError};

use crate::meetings::{Room, config};

#[test]
fn everybody_obeys_the_host_in_one_order() {
    let mut room = Room::of(3, config());
    let speaker = room.identity(1);
    room.at(0).ask_to_mute(None).unwrap();
    room.at(0).spotlight(Some(&speaker)).unwrap();
    room.at(0).read_aloud().unwrap();
    room.run(500);
    let epoch = room.at(0).epoch();
    let host = room.member(0);
    let spotlight = Event::Spotlight { who: Some(room.member(1)), by: host.clone() };
    let read = Event::ReadAloud { epoch, by: host.clone() };
    assert_eq!(room.events(0), [spotlight.clone(), read.clone()]);
    for seat in 1..3 {
        assert_eq!(room.events(seat), [Event::AskedToMute { by: host.clone() }, spotlight.clone(), read.clone()]);
        assert_eq!(room.at(seat).pinned(), Some(epoch));
        assert_eq!(room.at(seat).spotlighted().map(|member| member.identity), Some(speaker));
    }
    room.at(0).close_code().unwrap();
    room.at(1).set_muted(true).unwrap();
    room.at(2).raise_hand(true).unwrap();
    room.run(1_000);
    assert_eq!(room.at(2).pinned(), None);
    let states = |room: &mut Room, seat: usize| {
        let rows = room.at(seat).roster().into_iter();
        rows.map(|row| (row.state.muted, row.state.hand)).collect::<Vec<_>>()
    };
    for seat in 0..3 {
        assert_eq!(states(&mut room, seat), [(false, false), (true, false), (false, true)]);
    }
    let muted = State { muted: true, hand: false };
    assert!(room.events(0).contains(&Event::State { who: room.member(1), state: muted }));
    room.assert_calm();
}

#[test]
fn a_forged_host_action_is_an_alarm_everywhere_and_nobody_obeys() {
    let mut room = Room::of(3, config());
    for action in [Action::End, Action::Spotlight(None), Action::Pin(0)] {
        assert!(!action.may(Role::Participant));
        room.at(2).party().group().unwrap().tell(&action.encode(0)).unwrap();
        room.run(500);
        let by = room.member(2);
        let why = Refusal::NotAllowed { role: Role::Participant };
        let alarm = Alarm::Action { by, action: Some(action), why };
        for seat in 0..3 {
            assert_eq!(room.events(seat), [Event::Alarm(alarm.clone())]);
            assert!(room.at(seat).ended().is_none() && room.at(seat).pinned().is_none());
        }
    }
    room.at(2).party().group().unwrap().tell(b"?").unwrap();
    room.run(500);
    let alarms = room.alarms(0);
    assert!(matches!(&alarms[..], [Alarm::Action { action: None, why: Refusal::Form, .. }]), "{alarms:?}");
}

#[test]
fn a_host_action_that_is_repeated_or_out_of_its_place_is_refused() {
    let mut room = Room::of(2, config());
    room.at(0).spotlight(None).unwrap();
    room.run(500);
    room.told.0.iter_mut().for_each(Vec::clear);
    let again = Action::AskToMute(None).encode(0);
    room.at(0).party().group().unwrap().tell(&again).unwrap();
    let ahead = Action::AskToMute(None).encode(7);
    room.at(0).party().group().unwrap().tell(&ahead).unwrap();
    room.run(500);
    let why = |alarm| if let Alarm::Action { why, .. } = alarm { why } else { panic!("{alarm:?}") };
    let whys: Vec<_> = room.alarms(1).into_iter().map(why).collect();
    assert_eq!(whys, [Refusal::Repeated { expected: 1, got: 0 }, Refusal::Missing { expected: 1, got: 7 }]);
}

#[test]
fn a_word_that_a_new_epoch_overtakes_comes_to_everybody_all_the_same() {
    let mut room = Room::of(4, config());
    let (now, co_host, guest) = (room.now(), room.identity(1), room.identity(3));
    room.at(0).set_role(&co_host, Role::CoHost, now).unwrap();
    room.run(1_000);
    room.told.0.iter_mut().for_each(Vec::clear);
    let (now, epoch) = (room.now(), room.at(0).epoch());
    // The relay hears seat 0 first.
    room.at(0).remove(&guest, now).unwrap();
    room.at(1).spotlight(Some(&co_host)).unwrap();
    room.run(1_000);
    for seat in 0..3 {
        assert_eq!(room.at(seat).epoch(), epoch + 1);
        let spotlights = room.events(seat).into_iter().filter(|event| matches!(event, Event::Spotlight { .. }));
        assert_eq!(spotlights.count(), 1, "seat {seat}");
    }
}

#[test]
fn chat_is_signed_and_a_report_of_it_verifies_without_the_meeting() {
    let mut room = Room::of(3, config());
    let said = room.at(1).chat("an insult").unwrap();
    room.at(2).chat("please stop").unwrap();
    room.at(0).say(9, b"the app's own").unwrap();
    room.run(1_000);
    let line = |event| match event {
        Event::Chat { from, line } if from.identity == line.from => Some(line),
        _ => None,
    };
    let lines: Vec<_> = room.events(2).into_iter().filter_map(line).collect();
    assert_eq!(lines, [said]);
    let about = room.identity(1);
    let report = room.at(2).report(about, "it said this", lines).unwrap();
    let bytes = report.encode();
    let seen = Report::decode(&bytes).unwrap();
    assert_eq!((seen.about, &**seen.lines[0].text, seen.lines.len()), (about, "an insult", 1));
    let mut edited = bytes.to_vec();
    let at = edited.windows(6).position(|window| window == b"insult").unwrap();
    edited[at] = b'!';
    assert_eq!(Report::decode(&edited), Err(ReportError::Line(0)));
}

#[test]
fn a_line_in_anothers_name_and_one_said_again_are_alarms_and_not_shown() {
    let mut room = Room::of(3, config());
    let line = room.at(1).chat("yes").unwrap();
    room.run(500);
    room.told.0.iter_mut().for_each(Vec::clear);
    let bytes = line.encode();
    room.at(2).party().say(Topic::Chat, &bytes).unwrap();
    room.at(1).party().say(Topic::Chat, &bytes).unwrap();
    room.run(1_000);
    let of = |alarm| if let Alarm::Chat { of } = alarm { of.name } else { panic!("{alarm:?}") };
    let mut names: Vec<_> = room.alarms(0).into_iter().map(of).collect();
    names.sort();
    assert_eq!(names, ["guest 1", "guest 2"]);
}
