//! The door: the waiting room, the lock, an invite that names another meeting.

use std::cell::RefCell;
use std::rc::Rc;

use conclave::e2ee::Role;
use conclave::e2ee::group::card::Why;
use conclave::e2ee::group::wire::{Envelope, ticket};
use conclave::e2ee::group::{Device, MeetingType};
use conclave::meeting::policy::{Client, Kind, MeetingPolicy, Platform};
use conclave::meeting::{Alarm, Config, Ended, Event};

use crate::meetings::{Room, config};

fn waiting_room() -> Config {
    Config { waiting_room: true, client: Some(desktop()), ..config() }
}

fn desktop() -> Client {
    Client { kind: Kind::Desktop, platform: Some(Platform::Linux), version: "5.4.0".to_owned() }
}

/// Finds whoever knocked in what the host was told.
fn knocks(events: &[Event]) -> Vec<String> {
    let knock = |event: &Event| if let Event::Knock(knock) = event { Some(knock.person.name.clone()) } else { None };
    events.iter().filter_map(knock).collect()
}

#[test]
fn who_waits_has_no_key_and_learns_a_count_and_nothing_else() {
    let mut room = Room::found(waiting_room());
    let (host, name) = (room.identity(0), "host".as_bytes());
    let delivered = Rc::new(RefCell::new(vec![]));
    let copy = delivered.clone();
    room.gathering.relay_filter(Box::new(move |to, message, _| {
        if to == 1 {
            copy.borrow_mut().push(message.to_vec());
        }
        true
    }));
    let guest = room.knock("guest");
    room.talk(5_000, &[0]);
    let meeting = room.at(guest);
    assert!(meeting.own().is_none() && meeting.roster().is_empty() && meeting.party().epoch().is_none());
    assert!(meeting.party().heard().next().is_none() && meeting.chat("hello").is_err());
    let events = room.events(guest);
    assert!(!events.is_empty());
    assert!(events.iter().all(|event| matches!(event, Event::Waiting { members: 1, waiting: 1 })), "{events:?}");
    let delivered = delivered.borrow();
    assert!(delivered.iter().any(|message| matches!(Envelope::decode(message), Ok(Envelope::Room { .. }))));
    for word in [&host.0[..], name] {
        let said = |message: &Vec<u8>| message.windows(word.len()).any(|window| window == word);
        assert!(!delivered.iter().any(said), "who is in is not said to those who wait");
    }
    assert_eq!(knocks(&room.events(0)), ["guest"]);
    assert_eq!(room.at(0).waiting().map(|knock| knock.client.clone()).collect::<Vec<_>>(), [Some(desktop())]);
}

#[test]
fn who_is_admitted_comes_in_and_who_is_denied_is_told() {
    let mut room = Room::found(waiting_room());
    let devices = ["welcome", "unwanted"].map(|name| Device::generate(name).unwrap());
    let seats = [0, 1].map(|at| room.knock_with(&devices[at], room.config.clone()));
    room.run(500);
    let now = room.now();
    room.at(0).admit(&devices[0].identity(), now).unwrap();
    room.at(0).deny(&devices[1].identity()).unwrap();
    assert!(room.at(0).deny(&devices[1].identity()).is_err(), "it no longer waits");
    room.run(1_500);
    assert_eq!(room.roster(seats[0]), ["host", "welcome"]);
    let events = room.events(seats[1]);
    let (denied, ended) = (Event::Alarm(Alarm::Denied(Why::Host)), Event::Ended(Ended::Denied(Why::Host)));
    assert_eq!(events[events.len() - 2..], [denied, ended]);
    assert!(room.at(seats[1]).party().ticket().is_none(), "the keys it knocked with are gone");
    assert_eq!(room.at(0).waiting().count(), 0);
}

#[test]
fn a_no_that_is_not_the_hosts_is_shown_and_does_not_count() {
    let mut room = Room::found(waiting_room());
    let (guest, seat) = (Device::generate("guest").unwrap(), 1);
    let stranger = Device::generate("stranger").unwrap();
    assert_eq!(room.knock_with(&guest, room.config.clone()), seat);
    room.run(500);
    let to = room.at(seat).party().ticket().unwrap();
    let group = room.config.party.group.group.clone();
    let signed = [&[group.len() as u8][..], &group, &to, &[Why::Host as u8]].concat();
    let signature = stranger.vouch("denial", &signed);
    let body = [&stranger.identity().0[..], &[Why::Host as u8], &signature].concat();
    let no = Envelope::Denied { to, body: &body }.encode();
    room.gathering.announce(vec![(seat as u64, no.into())]);
    let edited = [&stranger.identity().0[..], &[Why::Locked as u8], &signature].concat();
    let no = Envelope::Denied { to, body: &edited }.encode();
    room.gathering.announce(vec![(seat as u64, no.into())]);
    room.run(500);
    let said = |event: &Event| matches!(event, Event::SaidNo { by, .. } if *by == stranger.identity());
    assert_eq!(room.events(seat).iter().filter(|event| said(event)).count(), 1);
    let now = room.now();
    room.at(0).admit(&guest.identity(), now).unwrap();
    room.run(1_000);
    assert_eq!(room.roster(seat), ["host", "guest"]);
}

#[test]
fn without_a_waiting_room_a_locked_meeting_lets_nobody_new_in_and_the_same_one_back() {
    let mut room = Room::of(2, config());
    let friend = Device::generate("friend").unwrap();
    let seat = room.knock_with(&friend, room.config.clone());
    room.run(1_500);
    let now = room.now();
    room.at(0).lock(now).unwrap();
    room.run(1_000);
    assert!((0..3).all(|seat| room.at(seat).locked()));
    assert!(room.events(1).iter().any(|event| matches!(event, Event::Locked { by: Some(by) } if by.name == "host")));
    let newcomer = room.knock("newcomer");
    room.run(1_500);
    assert_eq!(room.at(newcomer).ended(), Some(&Ended::Denied(Why::Locked)));
    let turned =
        |event: &Event| matches!(event, Event::TurnedAway { person, why: Why::Locked } if person.name == "newcomer");
    assert!(room.events(0).iter().any(turned));
    room.gathering.vanish(seat);
    let again = room.knock_with(&friend, room.config.clone());
    room.run(1_500);
    assert_eq!(room.roster(again).len(), 3);
    assert_eq!(room.roster(0).len(), 3);
    let now = room.now();
    room.at(0).unlock(now).unwrap();
    room.run(1_000);
    assert!(room.events(1).iter().any(|event| matches!(event, Event::Unlocked { .. })));
    let newcomer = room.knock("newcomer");
    room.run(1_500);
    assert_eq!(room.roster(newcomer).len(), 4);
}

#[test]
fn who_was_invited_to_another_meeting_is_turned_away_before_it_has_said_anything() {
    let mut hosts = config();
    hosts.party.group.meeting_policy = [7; 32];
    let mut room = Room::found(hosts);
    let mut other = room.config.clone();
    other.party.group.meeting_policy = [8; 32];
    let guest = room.knock_with(&Device::generate("guest").unwrap(), other);
    room.run(1_500);
    assert_eq!(room.at(guest).ended(), Some(&Ended::Denied(Why::Invite)));
    assert_eq!(room.roster(0), ["host"]);
    let guest = room.knock("guest");
    room.run(1_500);
    assert_eq!(room.roster(guest).len(), 2);
    assert!(room.alarms(guest).is_empty());
}

#[test]
fn a_welcome_that_leads_to_another_policy_is_not_used() {
    let mut hosts = config();
    hosts.party.group.meeting_policy = [7; 32];
    let mut room = Room::found(hosts);
    let mut other = room.config.clone();
    other.party.group.meeting_policy = [8; 32];
    let guest = room.knock_with(&Device::generate("guest").unwrap(), other);
    // A host that lets in whoever knocks, whatever its invite says.
    let packages = Rc::new(RefCell::new(vec![]));
    let copy = packages.clone();
    room.gathering.relay_filter(Box::new(move |to, message, _| {
        let knock = Envelope::decode(message);
        if let (0, Ok(Envelope::Knock { key_package, .. })) = (to, knock) {
            copy.borrow_mut().push(key_package.to_vec());
            return false;
        }
        true
    }));
    room.run(500);
    let (package, now) = (packages.borrow_mut().pop().unwrap(), room.now());
    assert_eq!(Some(ticket(&package)), room.at(guest).party().ticket());
    room.at(0).party().group().unwrap().admit(&package, now).unwrap();
    room.run(1_500);
    assert_eq!(room.alarms(guest), [Alarm::Mismatch("meeting policy")]);
    let meeting = room.at(guest);
    assert!(meeting.own().is_none() && meeting.roster().is_empty());
}

#[test]
fn who_rules_next_finds_those_who_wait() {
    let mut room = Room::of(2, config());
    room.config.waiting_room = true;
    let settings = room.config.clone();
    let next = Device::generate("next").unwrap();
    let seat = room.knock_with(&next, settings);
    room.run(1_500);
    // The founder's device lets in at once; that of the next host does not.
    room.gathering.relay_filter(Box::new(|to, message, _| {
        !(to == 0 && matches!(Envelope::decode(message), Ok(Envelope::Knock { .. })))
    }));
    let guest = Device::generate("patient").unwrap();
    // An invite that names a host leads to nobody else's meeting, and so not to one that was handed over.
    let mut invite = room.config.clone();
    invite.party.group.host = None;
    let waits = room.knock_with(&guest, invite);
    room.run(500);
    assert!(!room.events(seat).iter().any(|event| matches!(event, Event::Knock(_))), "it does not rule");
    let now = room.now();
    room.at(0).hand_over(&next.identity(), now).unwrap();
    room.run(1_000);
    assert_eq!(knocks(&room.events(seat)), ["patient"]);
    let now = room.now();
    room.at(seat).admit(&guest.identity(), now).unwrap();
    room.run(1_000);
    assert_eq!(room.roster(waits).len(), 4);
}

#[test]
fn the_policy_lets_in_the_clients_of_its_table_and_tells_the_others() {
    let policy = MeetingPolicy::standard().for_meeting(MeetingType::EndToEnd).unwrap();
    let mut room =
        Room::found(Config { waiting_room: false, ..Config::of(policy, b"by the rules", desktop()).unwrap() });
    let old = Client { version: "5.3.9".to_owned(), ..desktop() };
    let web = Client { kind: Kind::Web, platform: None, ..desktop() };
    let seats = [Some(desktop()), Some(old), Some(web), None].map(|client| {
        let config = Config { client, ..room.config.clone() };
        room.knock_with(&Device::generate("guest").unwrap(), config)
    });
    room.run(3_000);
    assert_eq!(room.roster(seats[0]), ["host", "guest"]);
    for seat in &seats[1..] {
        assert_eq!(room.at(*seat).ended(), Some(&Ended::Denied(Why::Client)));
    }
    assert!(room.at(0).policy_agrees() && room.at(seats[0]).policy_agrees());
}

/// A meeting with a waiting room, and in it a co-host whose keys the test has.
fn with_co_host(friend: &Device) -> (Room, usize) {
    let mut room = Room::found(waiting_room());
    let seat = room.knock_with(friend, room.config.clone());
    room.run(500);
    let now = room.now();
    room.at(0).admit(&friend.identity(), now).unwrap();
    room.run(1_500);
    let now = room.now();
    room.at(0).set_role(&friend.identity(), Role::CoHost, now).unwrap();
    room.run(1_500);
    (room, seat)
}

#[test]
fn who_was_put_out_of_a_locked_meeting_does_not_come_back_by_its_key_nor_in_its_role() {
    let friend = Device::generate("friend").unwrap();
    let (mut room, seat) = with_co_host(&friend);
    let now = room.now();
    room.at(0).lock(now).unwrap();
    room.run(1_000);
    let now = room.now();
    room.at(0).remove(&friend.identity(), now).unwrap();
    room.run(1_000);
    assert_eq!(room.at(seat).ended(), Some(&Ended::Removed));
    let again = room.knock_with(&friend, room.config.clone());
    room.run(2_000);
    assert_eq!(room.at(again).ended(), Some(&Ended::Denied(Why::Locked)));
    assert_eq!(room.roster(0), ["host"]);
    let now = room.now();
    room.at(0).unlock(now).unwrap();
    room.run(1_000);
    let again = room.knock_with(&friend, room.config.clone());
    room.run(2_000);
    assert_eq!((room.roster(0), room.at(again).ended()), (vec!["host".to_owned()], None), "it waits");
    let now = room.now();
    room.at(0).admit(&friend.identity(), now).unwrap();
    room.run(1_500);
    assert_eq!(room.member(again).role, Role::Participant);
}

#[test]
fn who_knocks_while_it_is_put_out_is_not_let_in_as_its_former_self() {
    for early in [0, 20, 50, 90, 130] {
        let friend = Device::generate("friend").unwrap();
        let (mut room, _) = with_co_host(&friend);
        let again = room.knock_with(&friend, room.config.clone());
        // Before the knock comes, while its admission waits for others, and while that is on its way.
        room.run(early);
        let now = room.now();
        room.at(0).remove(&friend.identity(), now).unwrap();
        room.run(3_000);
        assert_eq!(room.roster(0), ["host"], "{early} ms after the knock");
        assert!(room.at(again).own().is_none());
    }
}

#[test]
fn an_old_knock_that_the_relay_repeats_to_the_next_host_takes_nobodys_place() {
    let mut room = Room::of(1, config());
    let knocks = Rc::new(RefCell::new(vec![]));
    let copy = knocks.clone();
    room.gathering.relay_filter(Box::new(move |to, message, _| {
        if matches!((to, Envelope::decode(message)), (0, Ok(Envelope::Knock { .. }))) {
            copy.borrow_mut().push(message.to_vec());
        }
        true
    }));
    let member = room.knock("member");
    room.run(1_500);
    let old = knocks.borrow()[0].clone();
    // Whoever rules next came later, and has not seen it.
    let next = room.knock("next");
    room.run(1_500);
    let (now, heir, stay) = (room.now(), room.identity(next), room.peer(member));
    room.at(0).hand_over(&heir, now).unwrap();
    room.run(1_500);
    room.gathering.announce(vec![(next as u64, old.into())]);
    room.run(3_000);
    assert_eq!(room.peer(member), stay, "nothing has happened to it");
    assert_eq!(room.roster(next), ["host", "member", "next"]);
}

#[test]
fn who_knocks_without_pause_while_it_is_put_out_waits_like_anybody() {
    for early in [20, 60, 100, 140, 180] {
        let friend = Device::generate("friend").unwrap();
        let (mut room, _) = with_co_host(&friend);
        room.knock_with(&friend, room.config.clone());
        room.run(early);
        let now = room.now();
        room.at(0).remove(&friend.identity(), now).unwrap();
        for _ in 0..30 {
            room.knock_with(&friend, room.config.clone());
            room.run(20);
        }
        room.run(3_000);
        assert_eq!(room.roster(0), ["host"], "{early} ms after the knock");
    }
}

#[test]
fn a_knock_that_a_member_repeats_neither_puts_out_who_came_nor_loses_its_card() {
    // While its admission waits for others, while that is on its way, and after it came.
    for early in [0, 30, 60, 90, 120, 150, 180, 300] {
        for card in [true, false] {
            let mut room = Room::of(1, config());
            let knock = Rc::new(RefCell::new(None));
            let copy = knock.clone();
            room.gathering.relay_filter(Box::new(move |_, message, _| {
                if matches!(Envelope::decode(message), Ok(Envelope::Knock { .. })) {
                    copy.borrow_mut().get_or_insert_with(|| message.to_vec());
                }
                true
            }));
            let guest = room.knock("guest");
            room.run(30 + early);
            let mut again = knock.borrow().clone().expect("it knocked");
            if !card {
                let Ok(Envelope::Knock { key_package, .. }) = Envelope::decode(&again) else { panic!("no knock") };
                again = Envelope::KeyPackage(key_package).encode();
            }
            room.gathering.announce(vec![(0, again.into())]);
            room.run(3_000);
            assert_eq!((room.roster(0), room.at(guest).ended()), (vec!["host".to_owned(), "guest".to_owned()], None));
            assert_eq!(room.at(0).epoch(), 1, "{early} ms later, {card}");
        }
    }
}

#[test]
fn a_knock_that_was_given_up_for_another_puts_nobody_out() {
    let mut room = Room::found(waiting_room());
    let (guest, knocks) = (Device::generate("guest").unwrap(), Rc::new(RefCell::new(vec![])));
    let copy = knocks.clone();
    room.gathering.relay_filter(Box::new(move |to, message, _| {
        if matches!((to, Envelope::decode(message)), (0, Ok(Envelope::Knock { .. }))) {
            copy.borrow_mut().push(message.to_vec());
        }
        true
    }));
    // It knocks, starts anew before it is let in, and comes by the second knock.
    room.knock_with(&guest, room.config.clone());
    room.run(500);
    let seat = room.knock_with(&guest, room.config.clone());
    room.run(500);
    let now = room.now();
    room.at(0).admit(&guest.identity(), now).unwrap();
    room.run(1_500);
    let stay = room.peer(seat);
    let first = knocks.borrow()[0].clone();
    room.gathering.announce(vec![(0, first.into())]);
    room.run(3_000);
    assert_eq!(room.at(seat).own(), Some(stay), "nothing has happened to it");
    assert_eq!(room.roster(0), ["host", "guest"]);
}

#[test]
fn a_host_that_lost_everything_is_let_in_again_by_its_co_host() {
    let friend = Device::generate("friend").unwrap();
    let mut room = Room::of(1, config());
    let seat = room.knock_with(&friend, room.config.clone());
    room.run(1_500);
    let now = room.now();
    room.at(0).hand_over(&friend.identity(), now).unwrap();
    room.run(1_500);
    let (now, second) = (room.now(), room.identity(0));
    room.at(seat).set_role(&second, Role::CoHost, now).unwrap();
    room.run(1_500);
    assert_eq!((room.member(seat).role, room.member(0).role), (Role::Host, Role::CoHost));
    let mut invite = room.config.clone();
    invite.party.group.host = Some(friend.identity());
    let again = room.knock_with(&friend, invite);
    room.run(3_000);
    assert_eq!(room.member(again).role, Role::Host);
    assert_eq!(room.roster(0), ["host", "friend"]);
}
