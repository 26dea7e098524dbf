//! A new epoch costs nobody a frame: on a clean network everybody hears and sees everything through every rekey.
//!
//! `CONCLAVE_REKEYS` sets how many; from 1,000 on they are twenty people instead of eight.

#[path = "support/people.rs"]
mod people;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use conclave::data::Peer;
use conclave::e2ee::Role;
use conclave::e2ee::group::wire::Envelope;
use conclave::e2ee::group::{self, Request};
use conclave::e2ee::proof;
use conclave::frame::Kind;
use conclave::gathering::Config;
use conclave::party;
use conclave::relay::Relay;
use conclave::time::Time;

use people::Meeting;

/// Largest gap between two times, in microseconds.
fn gap(times: &[(u64, Time)]) -> u64 {
    times.windows(2).map(|two| two[1].1.since(two[0].1)).max().unwrap_or(0)
}

#[test]
fn no_frame_is_lost_to_a_rekey_and_no_gap_is_heard() {
    let rekeys: u64 = std::env::var("CONCLAVE_REKEYS").ok().and_then(|n| n.parse().ok()).unwrap_or(60);
    let people = if rekeys >= 1_000 { 20 } else { 8 };
    let settings = party::Config::new(group::Config::new(b"rekeys").classical());
    let mut meeting = Meeting::found(Config::default(), settings, Relay::new());
    meeting.fill(people);
    meeting.talk(1_000, &[0, 1], &[Kind::Camera]);
    let first = meeting.gathering.party(0).unwrap().epoch().unwrap();
    for _ in 0..rekeys {
        let now = meeting.now();
        meeting.gathering.party(0).unwrap().group().unwrap().ask(Request::Renew, now).unwrap();
        meeting.talk(520, &[0, 1], &[Kind::Camera]);
    }
    meeting.talk(1_000, &[0, 1], &[Kind::Camera]);
    let last = meeting.gathering.party(0).unwrap().epoch().unwrap();
    assert!(last - first >= rekeys * 9 / 10, "{} epochs for {rekeys} wishes", last - first);

    let speakers: Vec<Peer> = [0, 1].map(|seat| meeting.peer(seat)).into();
    let (mut sound, mut pictures, mut silence) = (0, 0, 0);
    for (seat, person) in meeting.people.people.iter().enumerate() {
        for (from, peer) in speakers.iter().enumerate().filter(|(from, _)| *from != seat) {
            let heard = &person.sound[peer];
            assert!(heard.windows(2).all(|two| two[1].0 == two[0].0 + 1), "seat {seat} hears all that {from} says");
            let seen = &person.pictures[peer];
            assert!(seen.windows(2).all(|two| two[1].0 == two[0].0 + 1), "seat {seat} sees all that {from} shows");
            silence = silence.max(gap(heard)).max(gap(seen));
            (sound, pictures) = (sound + heard.len(), pictures + seen.len());
        }
        assert!(person.proofs().next().is_none(), "seat {seat}: {:?}", person.proofs().next());
    }
    assert!(silence <= 100_000, "a gap of {silence} µs");
    println!(
        "{} rekeys of {people} people in {:.0} s: {sound} packets of sound and {pictures} pictures, none lost, \
         largest gap {} ms",
        last - first,
        meeting.now().0 as f64 / 1e6,
        silence / 1000
    );
}

#[test]
fn whoever_comes_late_sees_soon() {
    let settings = party::Config::new(group::Config::new(b"late"));
    let mut meeting = Meeting::found(Config::default(), settings, Relay::new());
    meeting.fill(8);
    meeting.talk(2_000, &[0], &[Kind::Camera]);
    let late = meeting.knock("late");
    meeting.talk(3_000, &[0], &[Kind::Camera]);
    let peer = meeting.peer(0);
    let person = &meeting.people.people[late];
    let welcomed = person.epochs().next().expect("is in").0;
    let knocked = meeting.people.people[0].group().find_map(|(at, event)| match event {
        group::Event::Knock { .. } if at.0 > 2_000_000 => Some(at),
        _ => None,
    });
    let first = person.pictures[&peer][0].1;
    let (from_welcome, from_admit) = (first.since(welcomed) / 1000, first.since(knocked.unwrap()) / 1000);
    println!("first picture {from_welcome} ms after the welcome, {from_admit} ms after it was let in");
    assert!(from_welcome < 500, "{from_welcome} ms");
}

/// What comes to `stalled` waits for so long, while `ruler` has a new epoch made; then all of it comes.
fn stall(stalled: usize, ruler: usize, ms: u64) {
    let settings = party::Config::new(group::Config::new(b"stalled").classical());
    let mut meeting = Meeting::found(Config::default(), settings, Relay::new());
    meeting.fill(3);
    if ruler != 0 {
        let (now, Peer { leaf, .. }) = (meeting.now(), meeting.peer(ruler));
        let group = meeting.gathering.party(0).unwrap().group().unwrap();
        let identity = group.roster().get(leaf).unwrap().identity;
        group.set_role(identity, Role::CoHost, now).unwrap();
    }
    meeting.talk(1_000, &[0, 2], &[]);
    let (stalls, kept) = (Rc::new(Cell::new(true)), Rc::new(RefCell::new(Vec::<(u64, Arc<[u8]>)>::new())));
    let (link, late) = (stalls.clone(), kept.clone());
    meeting.gathering.relay_filter(Box::new(move |to, message, _| {
        let held = to == stalled && link.get();
        if held {
            late.borrow_mut().push((to as u64, message.to_vec().into()));
        }
        !held
    }));
    let now = meeting.now();
    meeting.gathering.party(ruler).unwrap().group().unwrap().ask(Request::Renew, now).unwrap();
    meeting.talk(ms, &[0, 2], &[]);
    // First the commit comes, and a second later, when it speaks under the new keys already, what was behind.
    let is_commit =
        |(_, message): &(u64, Arc<[u8]>)| matches!(Envelope::decode(message), Ok(Envelope::Handshake { .. }));
    let commit = kept.borrow().iter().position(is_commit).unwrap();
    let behind = kept.borrow_mut().split_off(commit + 1);
    stalls.set(false);
    meeting.gathering.announce(kept.take());
    stalls.set(true);
    meeting.talk(1_000, &[0, 2], &[]);
    stalls.set(false);
    meeting.gathering.announce(behind);
    meeting.gathering.announce(kept.take());
    meeting.talk(4_000, &[0, 2], &[]);
    let epochs = [0, 1, 2].map(|seat| meeting.gathering.party(seat).unwrap().epoch());
    assert!(epochs.windows(2).all(|pair| pair[0] == pair[1]), "{epochs:?}");
    let since = meeting.now();
    meeting.talk(12_000, &[0, 2], &[]);
    for (seat, from) in [(2, 0), (0, 2), (1, 2), (1, 0)] {
        let peer = meeting.peer(from);
        let heard = meeting.people.people[seat].sound[&peer].iter().filter(|(_, at)| *at > since).count();
        assert!(heard > 570, "seat {seat} hears {heard} of 600 packets of {from} after {stalled} was late");
    }
}

#[test]
fn whose_commit_came_late_hears_and_is_heard_after_the_next_heartbeats() {
    stall(2, 0, 20_000);
}

#[test]
fn so_does_the_first_host_where_another_made_the_commit() {
    stall(0, 1, 3_000);
    stall(0, 1, 12_000);
}

#[test]
fn who_stopped_for_want_of_heartbeats_is_heard_and_proven_again() {
    let settings = party::Config::new(group::Config::new(b"stopped").classical());
    let mut meeting = Meeting::found(Config::default(), settings, Relay::new());
    meeting.fill(3);
    meeting.talk(1_000, &[0, 2], &[]);
    let cut = Rc::new(Cell::new(true));
    let link = cut.clone();
    meeting.gathering.relay_filter(Box::new(move |to, _, _| to != 2 || !link.get()));
    meeting.talk(35_000, &[0, 2], &[]);
    assert!(meeting.people.people[2].group().any(|(_, event)| *event == group::Event::StopSealing));
    assert!(meeting.gathering.frame(2, people::sound(0, meeting.now()), &mut meeting.people).is_err(), "it is silent");
    cut.set(false);
    meeting.talk(5_000, &[0, 2], &[]);
    assert!(meeting.people.people[2].group().any(|(_, event)| *event == group::Event::Alive));
    let (since, peer) = (meeting.now(), meeting.peer(2));
    meeting.talk(4_000, &[0, 2], &[]);
    for seat in [0, 1] {
        let person = &meeting.people.people[seat];
        let heard = person.sound[&peer].iter().filter(|(_, at)| *at > since).count();
        let last = person.proofs().filter(|(_, of, _)| *of == peer).last();
        assert!(heard > 190, "seat {seat} hears {heard} of 200");
        assert!(last.is_none_or(|(.., why)| why == proof::Why::Proven), "seat {seat}: {last:?}");
    }
}
