//! How people go: who may still decrypt and until when, leaving, ending for all, and what is left of it.

use conclave::e2ee::Reason;
use conclave::e2ee::group::wire::Envelope;
use conclave::e2ee::group::{Device, Gone};
use conclave::meeting::shield::Shield;
use conclave::meeting::{Alarm, Ended, Event};

use crate::meetings::{Room, config};

#[test]
fn a_leaver_is_shown_as_able_to_decrypt_until_all_have_moved_and_gone_after() {
    let mut room = Room::of(4, config());
    room.talk(2_000, &[0, 1]);
    let now = room.now();
    room.at(2).leave(now).unwrap();
    let leaver = room.member(2).identity;
    let mut shown = vec![];
    for _ in 0..100 {
        room.talk(20, &[0, 1]);
        let rows = room.at(3).roster();
        let row = rows.iter().find(|row| row.member.identity == leaver);
        shown.push(row.map(|row| row.may_decrypt_until.is_some()));
    }
    shown.dedup();
    assert_eq!(shown, [Some(false), Some(true), None], "in, may still decrypt, gone");
    for seat in [0, 1, 3] {
        let events = room.events(seat);
        let went = events.iter().position(|event| matches!(event, Event::Went { how: Gone::Left, .. })).unwrap();
        let silent = events.iter().position(|event| matches!(event, Event::Silent { .. })).unwrap();
        assert!(went < silent);
        let Event::Silent { window_us, .. } = events[silent] else { unreachable!() };
        assert!((250_000..2_000_000).contains(&window_us), "{window_us}");
    }
    room.assert_calm();
}

#[test]
fn a_sender_that_the_relay_keeps_in_the_old_epoch_is_found_out() {
    let mut room = Room::of(4, config());
    room.talk(2_000, &[0, 1]);
    let from = room.now();
    room.gathering.relay_filter(Box::new(move |to, message, now| {
        let handshake =
            matches!(Envelope::decode(message), Ok(Envelope::Handshake { .. } | Envelope::Application { .. }));
        !(to == 1 && handshake && now >= from)
    }));
    let (now, out) = (room.now(), room.identity(3));
    room.at(0).remove(&out, now).unwrap();
    room.talk(6_000, &[0, 1]);
    let alarms = room.alarms(0);
    let late =
        |alarm: &Alarm| matches!(alarm, Alarm::LeaverWindow { who, allowed_ms: 2_000, .. } if who.identity == out);
    assert_eq!(alarms.iter().filter(|alarm| late(alarm)).count(), 1, "{alarms:?}");
    let behind = |alarm: &Alarm| matches!(alarm, Alarm::Frames { of: Some(of), reason: Reason::OutOfTime } if of.name == "guest 1");
    assert!(alarms.iter().any(behind), "{alarms:?}");
    assert_eq!(room.at(0).leavers().count(), 1, "what is sent can still be read by whoever was removed");
    room.talk(26_000, &[0, 1]);
    assert!(room.alarms(1).contains(&Alarm::SealingStopped));
    assert_eq!(room.at(0).leavers().count(), 0);
    room.run(30_000);
    assert_eq!(room.at(1).ended(), Some(&Ended::Silence));
}

#[test]
fn who_leaves_keeps_nothing_and_beats_no_more() {
    let mut room = Room::of(3, config());
    let now = room.now();
    room.at(1).leave(now).unwrap();
    room.run(1_500);
    assert_eq!(room.events(1).last(), Some(&Event::Ended(Ended::Left)));
    assert!(is_erased(&mut room, 1));
    let before = room.gathering.control_bytes(1).0;
    room.run(10_000);
    assert_eq!(room.gathering.control_bytes(1).0, before);
    assert!(room.events(1).is_empty(), "nothing comes after the end");
    assert_eq!(room.roster(0), ["host", "guest 2"]);
}

#[test]
fn the_host_ends_the_meeting_and_everybody_erases_it() {
    let mut room = Room::of(4, config());
    room.talk(500, &[0, 1]);
    let (now, host) = (room.now(), room.member(0));
    room.at(0).end(now).unwrap();
    room.talk(500, &[0, 1]);
    let before: Vec<_> = (0..4).map(|seat| room.gathering.control_bytes(seat).0).collect();
    for seat in 0..4 {
        assert_eq!(room.events(seat).last(), Some(&Event::Ended(Ended::ByHost(host.clone()))), "seat {seat}");
        assert!(is_erased(&mut room, seat));
    }
    room.talk(10_000, &[0, 1]);
    let after: Vec<_> = (0..4).map(|seat| room.gathering.control_bytes(seat).0).collect();
    assert_eq!(before, after, "no heartbeat any more");
}

#[test]
fn an_end_that_the_relay_keeps_back_ends_for_all_by_silence() {
    let mut room = Room::of(3, config());
    let now = room.now();
    room.gathering.relay_filter(Box::new(|_, message, _| {
        !matches!(Envelope::decode(message), Ok(Envelope::Handshake { .. } | Envelope::Application { .. }))
    }));
    room.at(0).end(now).unwrap();
    room.run(2_100);
    assert!(is_erased(&mut room, 0), "the host does not wait for a relay");
    room.run(62_000);
    for seat in 1..3 {
        assert_eq!(room.at(seat).ended(), Some(&Ended::Silence));
        assert!(is_erased(&mut room, seat));
        let alarms = room.alarms(seat);
        assert!(alarms.contains(&Alarm::HeartbeatMissing) && alarms.contains(&Alarm::SealingStopped), "{alarms:?}");
    }
}

#[test]
fn somebody_whom_the_relay_reports_gone_is_an_alarm() {
    let mut room = Room::of(3, config());
    let leaf = room.member(2).leaf;
    let deliveries = room.gathering.relay().propose_removal(leaf);
    room.gathering.announce(deliveries);
    room.run(1_000);
    assert!(room.alarms(1).iter().any(|alarm| matches!(alarm, Alarm::ByService { who } if who.name == "guest 2")));
    assert_eq!(room.events(2).last(), Some(&Event::Ended(Ended::Removed)));
}

#[test]
fn what_happened_is_told_in_its_order() {
    let mut room = Room::of(2, config());
    let late = Device::generate("late").unwrap();
    let seat = room.knock_with(&late, room.config.clone());
    room.run(1_500);
    room.at(seat).chat("hello").unwrap();
    room.run(500);
    let now = room.now();
    room.at(seat).leave(now).unwrap();
    room.run(2_000);
    let kinds = |events: Vec<Event>| -> Vec<&'static str> {
        let kind = |event| match event {
            Event::Entered => Some("entered"),
            Event::Epoch(_) => Some("epoch"),
            Event::Came(_) => Some("came"),
            Event::Chat { .. } => Some("chat"),
            Event::Went { .. } => Some("went"),
            Event::Silent { .. } => Some("silent"),
            Event::Ended(_) => Some("ended"),
            Event::Waiting { .. } => None,
            other => panic!("{other:?}"),
        };
        events.into_iter().filter_map(kind).collect()
    };
    assert_eq!(kinds(room.events(1)), ["epoch", "came", "chat", "epoch", "went", "silent"]);
    assert_eq!(kinds(room.events(seat)), ["entered", "epoch", "ended"]);
}

/// Nothing is left of the meeting: no group, no keys, no roster.
fn is_erased(room: &mut Room, seat: usize) -> bool {
    let meeting = room.at(seat);
    let empty = meeting.own().is_none() && meeting.roster().is_empty() && meeting.policy().is_none();
    let party = meeting.party();
    empty && party.epoch().is_none() && party.sealing().is_none() && party.group().is_err()
}

#[test]
fn who_leaves_says_nothing_more_whether_it_is_let_go_or_not() {
    let mut room = Room::of(3, config());
    room.talk(1_000, &[2]);
    room.gathering
        .relay_filter(Box::new(|_, message, _| !matches!(Envelope::decode(message), Ok(Envelope::Handshake { .. }))));
    let now = room.now();
    room.at(2).leave(now).unwrap();
    let frame = crate::people::sound(now.0 / 20_000, now);
    assert!(room.gathering.frame(2, frame, &mut room.told).is_err());
    assert!(room.at(2).chat("bye").is_err() && room.at(2).raise_hand(true).is_err());
    assert_eq!(room.at(2).shield(), Shield::Stopped);
    room.run(9_000);
    assert_eq!(room.at(2).ended(), None);
    room.run(2_000);
    assert_eq!(room.at(2).ended(), Some(&Ended::Left));
}
