//! People come, speak, rule and go.

use conclave::e2ee::Role;
use conclave::e2ee::group::card::Why;
use conclave::e2ee::group::rules::Illegal;
use conclave::e2ee::group::wire::ticket;
use conclave::e2ee::group::{Device, Event, Gone, GroupError, Left, MeetingType, Request};
use conclave::enhanced::wire::{Down, Refusal};
use conclave::enhanced::{Alarm, EnhancedError, Service, ServiceKey};
use conclave::gathering::{self, Gathering};
use conclave::meeting::waiting::MAX_WAITING;
use conclave::party::{self, Keys, Party, PartyError};

use crate::people;
use crate::spy;
use crate::table::{SERVICE_SEED, Table, device, invite, settings};

#[test]
fn media_goes_both_ways_bit_equal_through_the_same_frames() {
    let mut table = Table::of(2);
    let start = table.now;
    table.talk(2_000, &[0, 1]);
    for (at, from) in [(1, 0), (0, 1)] {
        let heard = &table.seats[at].heard[&table.peer(from)];
        let slot = |bytes: &[u8]| u64::from_be_bytes(*bytes.first_chunk().unwrap());
        for bytes in heard {
            let sound = people::sound(slot(bytes), start);
            let picture = people::picture(conclave::frame::Kind::Camera, slot(bytes), 0, start);
            assert!([sound, picture].iter().any(|sent| sent.payload.as_slice() == bytes), "bit-equal");
        }
        assert!(heard.len() > 120, "{} of about 150", heard.len());
        let proofs = table.seats[at].events.iter().filter(|(_, e)| matches!(e, conclave::party::Event::Proof(..)));
        assert_eq!(proofs.count(), 0, "everybody is who it says");
        let proven: u64 = table.seats[at]
            .party
            .heard()
            .flat_map(|(_, r)| r.proof_stats().map(|s| s.proven).collect::<Vec<_>>())
            .sum();
        assert!(proven > 100, "{proven} frames were proven to be their sender's");
    }
    let frames = spy::frames(&table.wire);
    assert!(frames.len() > 250, "{} whole frames, sealed as everywhere", frames.len());
    assert!(table.wire.iter().all(|(_, _, bytes)| !bytes.windows(people::CANARY.len()).any(|w| w == people::CANARY)));
    let facts = table.seats[0].party.facts();
    assert_eq!((facts.keys, facts.meeting), (Some(Keys::Service), Some(MeetingType::Enhanced)));
    assert!(facts.sealing.is_some() && !facts.post_quantum);
}

#[test]
fn people_come_and_go_by_their_own_word_or_a_hosts() {
    let mut table = Table::of(4);
    let leaver = table.peer(2);
    table.leave(2);
    table.run(1_000);
    assert_eq!(table.seats[0].names(), ["person 0", "person 1", "person 3"]);
    assert_eq!(table.seats[1].gone(), [Gone::Left]);
    assert!(table.seats[2].group().any(|event| *event == Event::Left(Left::Asked)));
    assert!(table.seats[2].party.own().is_none(), "the leaver has nothing left");
    let identity = table.identity(3);
    table.ask(0, Request::Remove { identity, kick: false }).unwrap();
    table.run(1_000);
    assert_eq!(table.seats[1].gone(), [Gone::Left, Gone::Host(0)]);
    assert!(table.seats[3].group().any(|event| *event == Event::Left(Left::Removed)));
    let again = table.knock(&device(2));
    table.run(1_000);
    assert_eq!(table.seats[1].names(), ["person 0", "person 1", "person 2"]);
    assert_ne!(table.peer(again), leaver, "another stay");
    table.hang_up(again);
    table.run(1_000);
    assert_eq!(table.seats[1].gone().last(), Some(&Gone::Relay), "its connection is gone");
}

#[test]
fn a_lock_keeps_newcomers_out_and_lets_those_back_who_were_there() {
    let mut table = Table::of(2);
    table.ask(0, Request::Lock).unwrap();
    table.run(1_000);
    let stranger = table.knock(&device(5));
    table.run(1_000);
    let refused = |error: &PartyError| matches!(error, PartyError::Enhanced(EnhancedError::Refused(Refusal::Locked)));
    assert!(table.seats[stranger].errors.iter().any(refused));
    let back = table.knock(&device(1));
    table.run(1_000);
    assert!(table.seats[back].party.own().is_some());
    assert_eq!(table.seats[0].gone(), [Gone::Replaced]);
    table.ask(0, Request::Unlock).unwrap();
    table.run(1_000);
    let stranger = table.knock(&device(5));
    table.run(1_000);
    assert!(table.seats[stranger].party.own().is_some());
}

#[test]
fn a_lock_that_crosses_an_admission_is_put_to_the_host_again() {
    let mut table = Table::of(2);
    table.ask(0, Request::Role { identity: table.identity(1), role: Role::CoHost }).unwrap();
    table.run(1_000);
    // The host lets somebody in, and its co-host locks before it has seen them.
    table.seats[0].admits = false;
    table.knock(&device(5));
    table.run(30);
    let knock = table.seats[0].group().find_map(|event| match event {
        Event::Knock { key_package, person, .. } if person.name == "person 5" => Some(key_package.clone()),
        _ => None,
    });
    let now = table.now;
    table.seats[0].party.plane().unwrap().admit(&knock.unwrap(), now).unwrap();
    table.step();
    table.ask(1, Request::Lock).unwrap();
    table.run(2_000);
    assert!(table.seats[0].names().contains(&"person 5".to_owned()));
    let asks = |event: &&Event| matches!(event, Event::Confirm { request: Request::Lock, .. });
    assert_eq!(table.seats[1].group().filter(asks).count(), 1);
    assert!(table.seats[0].party.plane().unwrap().policy().lock.is_none());
}

#[test]
fn roles_are_given_by_hosts_and_hold() {
    let mut table = Table::of(3);
    assert_eq!(table.ask(1, Request::Lock), Err(GroupError::NotHost));
    let recorder = Request::Role { identity: table.identity(2), role: Role::Recorder };
    table.ask(0, recorder.clone()).unwrap();
    table.run(1_000);
    let denied = Event::Denied { request: recorder.clone(), why: Illegal::Recorder };
    assert!(table.seats[0].group().any(|event| *event == denied), "not allowed in this meeting");
    let policy =
        Request::Policy { recorder_allowed: true, leaver_window_ms: 2000, roster_limit: 3, meeting_policy: [4; 32] };
    table.ask(0, policy).unwrap();
    table.run(1_000);
    table.ask(0, recorder).unwrap();
    table.ask(0, Request::Role { identity: table.identity(1), role: Role::CoHost }).unwrap();
    table.run(1_000);
    let roles = |seat: &crate::table::Seat| -> Vec<Role> {
        seat.party.roster().into_iter().flatten().map(|member| member.role).collect()
    };
    assert!(table.seats.iter().all(|seat| roles(seat) == [Role::Host, Role::CoHost, Role::Recorder]));
    table.talk(1_000, &[0, 1, 2]);
    let (recorder, host) = (table.peer(2), table.peer(0));
    assert!(table.seats[0].heard.get(&recorder).is_none_or(Vec::is_empty), "it receives only");
    assert!(table.seats[2].heard[&host].len() > 50);
    // The co-host rules now; the meeting is full.
    table.seats[0].admits = false;
    table.seats[1].admits = true;
    table.knock(&device(5));
    table.run(1_000);
    let full = |event: &Event| matches!(event, Event::Denied { why: Illegal::Full(3), .. });
    assert!(table.seats[1].group().any(full));
}

#[test]
fn the_only_host_hands_over_before_it_leaves_and_one_whose_line_broke_comes_back_by_itself() {
    let mut table = Table::of(3);
    table.hang_up(0);
    table.run(1_000);
    assert_eq!(table.seats[1].names(), ["person 1", "person 2"]);
    table.knock(&device(6));
    let host = table.knock(&device(0));
    table.seats[host].admits = true;
    table.run(2_000);
    assert_eq!(table.seats[1].names().len(), 4, "and lets in who waited");
    table.leave(host);
    table.run(1_000);
    let roster = table.seats[1].party.roster().unwrap();
    assert_eq!(roster.find(&table.identity(0)), None);
    assert_eq!(roster.iter().filter(|member| member.role == Role::Host).count(), 1);
    assert!(table.seats.iter().all(|seat| seat.alarms().is_empty()));
}

#[test]
fn when_all_have_left_only_the_host_opens_the_meeting_again() {
    let mut table = Table::of(1);
    table.leave(0);
    table.run(1_000);
    assert!(table.service.roster().is_empty());
    let guest = table.knock(&device(1));
    table.run(1_000);
    assert_eq!(table.seats[guest].party.own(), None, "it waits");
    let epoch = table.service.epoch();
    let host = table.knock(&device(0));
    table.seats[host].admits = true;
    table.run(2_000);
    assert_eq!(table.seats[guest].names(), ["person 0", "person 1"]);
    assert!(table.service.epoch() > epoch, "no epoch is used twice");
}

#[test]
fn kicking_nobody_makes_no_epochs() {
    let mut table = Table::of(2);
    let (epoch, identity) = (table.service.epoch(), table.identity(9));
    for _ in 0..100 {
        table.ask(0, Request::Remove { identity, kick: true }).unwrap();
        table.step();
    }
    assert!(table.service.epoch() <= epoch + 3, "in one second");
}

#[test]
fn keys_are_renewed_every_five_minutes_and_a_silent_service_stops_all() {
    let mut table = Table::of(2);
    let epoch = table.service.epoch();
    table.run(310_000);
    assert_eq!(table.service.epoch(), epoch + 1);
    assert_eq!(table.seats[1].party.epoch(), Some(epoch + 1));
    table.seats[1].kept_back = true;
    table.run(28_000);
    assert!(table.seats[1].party.sealing().is_some());
    table.run(2_500);
    assert_eq!(table.seats[1].party.sealing(), None, "thirty seconds without a sign of life");
    let told: Vec<_> = table.seats[1].group().collect();
    assert!(told.contains(&&Event::HeartbeatMissing) && told.contains(&&Event::StopSealing));
    table.seats[1].kept_back = false;
    table.run(5_000);
    assert!(table.seats[1].party.sealing() > Some(epoch + 1), "new keys, asked for by itself");
    table.seats[1].kept_back = true;
    table.run(61_000);
    assert!(table.seats[1].group().any(|event| *event == Event::Left(Left::Silence)));
}

#[test]
fn words_to_all_are_signed_by_who_says_them() {
    let mut table = Table::of(3);
    table.seats[1].party.plane().unwrap().tell(b"please mute").unwrap();
    table.run(100);
    let told = |seat: usize| table.seats[seat].group().filter(|event| matches!(event, Event::Told { .. })).count();
    assert_eq!((told(0), told(1), told(2)), (1, 1, 1), "its author among them");
    let word = table.seats[1].said.last().unwrap().clone();
    table.say(1, &word);
    assert_eq!(table.service.stats().replayed, 1);
    table.say(2, &word);
    assert_eq!(table.service.stats().replayed, 2, "said by another");
    let words = table.seats[2].inbox.iter().rev().filter(|m| matches!(Down::decode(m), Some(Down::Word(_))));
    let mut word = words.map(Vec::clone).next().unwrap();
    table.hand(2, &word);
    let body = word.windows(6).position(|bytes| bytes == b"please").unwrap();
    word[body] = b'f';
    table.hand(2, &word);
    assert_eq!(table.seats[2].alarms(), [Alarm::Replayed(1), Alarm::Forged("word")]);
    assert_eq!(table.seats[2].group().filter(|event| matches!(event, Event::Told { .. })).count(), 1);
}

#[test]
fn over_a_network_that_loses_packets_all_hear_each_other() {
    let service = Service::new(invite(), ServiceKey::from_seed(&SERVICE_SEED).unwrap()).unwrap();
    let config = gathering::Config { seed: 3, loss: 2.0, jitter_us: 5_000, ..gathering::Config::default() };
    let (mut gathering, mut people) = (Gathering::new(config, service), people::People::default());
    people.people.push(people::Person::default());
    people.people[0].admits = true;
    for n in 0..6 {
        let knock = |_, out: &mut dyn party::Out| Party::enhanced(&device(n), settings(), invite().service, out);
        gathering.sit(&mut people, knock).unwrap();
    }
    gathering.run(gathering.now().plus(3_000_000), &mut people);
    assert!(gathering.parties().all(|(_, party)| party.roster().is_some_and(|roster| roster.len() == 6)));
    let first = gathering.now().0 / 20_000;
    for _ in 0..150 {
        let now = gathering.now();
        for seat in 0..2 {
            gathering.frame(seat, people::sound(now.0 / 20_000, now), &mut people).unwrap();
        }
        gathering.run(now.plus(20_000), &mut people);
    }
    let speakers = [0, 1].map(|seat| gathering.party(seat).unwrap().own().unwrap());
    for person in &people.people[2..] {
        for peer in speakers {
            let heard = person.sound[&peer].iter().filter(|(number, _)| *number >= first).count();
            assert!(heard > 130, "{heard} of 150");
        }
        assert!(
            person.proofs().next().is_none() && !person.events.iter().any(|(_, e)| matches!(e, party::Event::Alarm(_)))
        );
    }
}

#[test]
fn who_was_put_out_is_out_of_the_lock_and_has_no_role_when_it_comes_again() {
    let mut table = Table::of(3);
    let identity = table.identity(2);
    table.ask(0, Request::Role { identity, role: Role::CoHost }).unwrap();
    table.run(1_000);
    table.ask(0, Request::Lock).unwrap();
    table.run(1_000);
    table.ask(0, Request::Remove { identity, kick: true }).unwrap();
    table.run(1_000);
    let again = table.knock(&device(2));
    table.run(1_000);
    assert_eq!(table.seats[0].names(), ["person 0", "person 1"], "the meeting is locked");
    assert!(table.seats[again].party.own().is_none());
    table.ask(0, Request::Unlock).unwrap();
    table.run(1_000);
    table.knock(&device(2));
    table.run(1_000);
    let role = |seat: usize| table.seats[seat].party.roster().unwrap().find(&identity).unwrap().role;
    assert_eq!((role(0), role(1)), (Role::Participant, Role::Participant));
    assert!(table.seats[1].alarms().is_empty());
}

#[test]
fn who_is_not_let_go_goes_alone() {
    let mut table = Table::of(3);
    table.leave(2);
    // The service might as well not have heard it.
    assert_eq!(table.seats[2].mail.control.len(), 1);
    table.seats[2].mail.control.clear();
    table.run(9_500);
    assert!(table.seats[2].party.own().is_some(), "it waits for the others to take it out");
    table.run(1_000);
    assert!(table.seats[2].group().any(|event| *event == Event::Left(Left::Asked)));
    assert!(table.seats[2].party.own().is_none());
}

/// Keeps what the service says from `seat` for so long, while the host has it make a new epoch.
fn stalled(table: &mut Table, seat: usize, ms: u64) {
    let before = table.seats[seat].inbox.len();
    table.seats[seat].kept_back = true;
    table.ask(0, Request::Renew).unwrap();
    table.talk(ms, &[0, seat]);
    // First the turn comes, and a second later, when it speaks under the new keys already, what was behind.
    let turn = table.seats[seat].inbox[before].clone();
    table.hand(seat, &turn);
    table.talk(1_000, &[0, seat]);
    table.seats[seat].kept_back = false;
    for message in table.seats[seat].inbox[before + 1..].to_vec() {
        table.hand(seat, &message);
    }
}

#[test]
fn whose_turn_came_late_hears_and_is_heard_after_the_next_heartbeats() {
    let mut table = Table::of(3);
    table.talk(1_000, &[0, 2]);
    stalled(&mut table, 2, 20_000);
    table.talk(5_000, &[0, 2]);
    for (seat, from) in [(2, 0), (0, 2), (1, 2)] {
        let peer = table.peer(from);
        let before = table.seats[seat].heard[&peer].len();
        table.talk(4_000, &[0, 2]);
        let heard = table.seats[seat].heard[&peer].len() - before;
        assert!(heard > 280, "seat {seat} hears {heard} of 300 of {from}");
    }
}

#[test]
fn a_host_that_comes_back_before_its_old_line_is_known_to_be_dead_is_not_forgotten() {
    let mut table = Table::of(2);
    table.seats[0].connected = false;
    table.knock(&device(6));
    let host = table.knock(&device(0));
    table.seats[host].admits = true;
    table.run(2_000);
    assert_eq!(table.seats[host].party.own(), None, "its former self still rules");
    table.hang_up(0);
    table.run(2_000);
    assert_eq!(table.seats[host].names().len(), 3, "and it lets in who waited");
    assert!(table.seats.iter().all(|seat| seat.alarms().is_empty()));
}

#[test]
fn who_waits_beyond_what_a_door_shows_comes_up_when_there_is_room() {
    let mut table = Table::of(1);
    table.seats[0].admits = false;
    for n in 0..259u16 {
        let seed = |salt: u8| {
            let mut seed = [salt; 32];
            seed[..2].copy_from_slice(&n.to_be_bytes());
            seed
        };
        table.knock(&Device::from_seeds(&format!("guest {n}"), &seed(3), &seed(4)).unwrap());
    }
    table.run(100);
    let knocks = |table: &Table| -> Vec<Vec<u8>> {
        let knock = |event: &Event| match event {
            Event::Knock { key_package, .. } => Some(key_package.clone()),
            _ => None,
        };
        table.seats[0].group().filter_map(knock).collect()
    };
    let shown = knocks(&table);
    assert_eq!(shown.len(), MAX_WAITING);
    for key_package in &shown[..2] {
        table.seats[0].party.plane().unwrap().deny(ticket(key_package), Why::Client).unwrap();
    }
    table.run(100);
    assert_eq!(knocks(&table).len(), MAX_WAITING + 2);
    table.hang_up(7);
    table.run(100);
    assert_eq!(knocks(&table).len(), MAX_WAITING + 3, "all are known");
    let refused = |error: &PartyError| matches!(error, PartyError::Enhanced(EnhancedError::Refused(_)));
    assert_eq!(table.seats.iter().filter(|seat| seat.errors.iter().any(refused)).count(), 2);
}

#[test]
fn a_word_that_an_epoch_overtakes_comes_to_all_once() {
    let mut table = Table::of(3);
    table.seats[1].kept_back = true;
    let kept = table.seats[1].inbox.len();
    table.ask(0, Request::Renew).unwrap();
    table.run(1_000);
    for word in [&b"first"[..], b"second"] {
        table.seats[1].party.plane().unwrap().tell(word).unwrap();
    }
    table.run(100);
    table.seats[1].kept_back = false;
    for message in table.seats[1].inbox[kept..].to_vec() {
        table.hand(1, &message);
    }
    table.run(100);
    for seat in &table.seats {
        let told = |event: &Event| if let Event::Told { body, .. } = event { Some(body.to_vec()) } else { None };
        assert_eq!(seat.group().filter_map(told).collect::<Vec<_>>(), [b"first".to_vec(), b"second".to_vec()]);
        assert_eq!(seat.alarms(), []);
    }
}

#[test]
fn a_lock_that_crosses_a_leave_is_set_all_the_same() {
    let mut table = Table::of(3);
    table.seats[0].kept_back = true;
    let kept = table.seats[0].inbox.len();
    table.leave(2);
    table.run(1_000);
    table.ask(0, Request::Lock).unwrap();
    table.run(1_000);
    table.seats[0].kept_back = false;
    for message in table.seats[0].inbox[kept..].to_vec() {
        table.hand(0, &message);
    }
    table.run(1_000);
    assert!(!table.seats[0].group().any(|event| matches!(event, Event::Confirm { .. })), "nobody is asked again");
    assert!(table.seats[1].party.plane().unwrap().policy().lock.is_some());
}

#[test]
fn a_wish_that_the_service_ignores_is_told_after_five_seconds() {
    let mut table = Table::of(2);
    let now = table.now;
    let host = &mut table.seats[0];
    host.party.plane().unwrap().ask(Request::Lock, now).unwrap();
    let _ = host.party.tick(now, &mut host.mail);
    host.mail.control.clear();
    let told = |table: &Table| -> Vec<Event> {
        table.seats[0].group().filter(|event| matches!(event, Event::Withheld { .. })).cloned().collect()
    };
    table.run(4_900);
    assert_eq!(told(&table), []);
    table.run(5_000);
    assert_eq!(told(&table), [Event::Withheld { requests: vec![Request::Lock] }], "once");
    table.ask(0, Request::Unlock).unwrap();
    table.run(10_000);
    assert_eq!(told(&table).len(), 1, "what is done is not kept back");
}
