//! Whoever leaves or is put out keeps every key it ever had, and opens nothing that is sealed after a short time. Where
//! the relay keeps everything from everybody, everybody stops.
//!
//! `CONCLAVE_PEOPLE` sets how many there are; the long run is 50.

#[path = "support/people.rs"]
mod people;
#[path = "support/thief.rs"]
mod thief;

use conclave::e2ee::group;
use conclave::gathering::Config;
use conclave::party;
use conclave::relay::Relay;
use conclave::rtp::header::is_rtcp;
use conclave::time::Time;

use people::Meeting;
use thief::{Hoard, Spy, play};

const SPEAKERS: [usize; 3] = [0, 3, 6];

fn people() -> usize {
    std::env::var("CONCLAVE_PEOPLE").ok().and_then(|n| n.parse().ok()).unwrap_or(10)
}

fn meeting() -> (Meeting, Spy) {
    let people = people();
    let settings = party::Config::new(group::Config::new(b"a meeting that some leave").classical());
    let mut meeting = Meeting::found(Config::default(), settings, Relay::new());
    meeting.people.listeners = Some([1].into());
    meeting.fill(people - 1);
    let mut spy = Spy::knock(&mut meeting);
    spy.talk(&mut meeting, 1_500, &[]);
    assert_eq!(spy.group.as_ref().unwrap().roster().len(), people);
    meeting.people.wire = Some(vec![]);
    spy.talk(&mut meeting, 1_000, &SPEAKERS);
    (meeting, spy)
}

/// Milliseconds from `gone` to the last frame that the spy opens.
fn window(meeting: &mut Meeting, mut spy: Spy, gone: Time) -> u64 {
    spy.talk(meeting, 6_000, &SPEAKERS);
    assert!(spy.group.as_ref().unwrap().left().is_some() && spy.shut_out > 0, "it is out, and goes on listening");
    let wire = meeting.people.wire.take().unwrap();
    let (opened, closed) = play(&wire, Hoard::of(spy.inputs));
    let before = opened.iter().filter(|at| **at < gone).count();
    assert!(before >= 49 * SPEAKERS.len() && closed.iter().all(|at| *at >= gone), "before it went it hears everything");
    assert!(closed.len() > 100 * SPEAKERS.len(), "the others go on");
    opened.last().unwrap().since(gone) / 1000
}

#[test]
fn nothing_sealed_two_seconds_after_a_leave_opens() {
    let (mut meeting, mut spy) = meeting();
    let gone = meeting.now();
    spy.group.as_mut().unwrap().leave(gone);
    let window = window(&mut meeting, spy, gone);
    println!("last frame that a leaver opens: sealed {window} ms after its leave, {} people", people());
    assert!(window <= 2_000);
}

#[test]
fn nothing_sealed_half_a_second_after_a_kick_opens() {
    let (mut meeting, spy) = meeting();
    let gone = meeting.now();
    let leaf = spy.group.as_ref().unwrap().own_leaf();
    meeting.gathering.party(0).unwrap().group().unwrap().remove(leaf, true, gone).unwrap();
    let window = window(&mut meeting, spy, gone);
    println!("last frame that somebody put out opens: sealed {window} ms after the kick, {} people", people());
    assert!(window <= 500);
}

#[test]
fn where_the_relay_keeps_everything_back_all_stop_and_then_go() {
    let (mut meeting, mut spy) = meeting();
    let start = meeting.now();
    // The leaver's word is the first that is kept back.
    meeting.gathering.relay_filter(Box::new(|_, _, _| false));
    spy.group.as_mut().unwrap().leave(start);
    for second in 0..32 {
        spy.turn(&mut meeting);
        // Said now and then, and without a pause when it matters.
        let ms = if second < 28 { 40 } else { 1_000 };
        meeting.talk(ms, &SPEAKERS, None);
        meeting.run(1_000 - ms);
    }
    let wire = meeting.people.wire.take().unwrap();
    let sealed = |(_, _, bytes): &&(Time, usize, Vec<u8>)| bytes[0] >> 6 == 2 && bytes.len() > 12 && !is_rtcp(bytes);
    let datagrams: Vec<Time> = wire.iter().filter(sealed).map(|(at, ..)| *at).collect();
    let last = datagrams.last().unwrap().since(start) / 1000;
    println!("last frame sealed {last} ms after the relay fell silent, {} people", people());
    // What was on its way to a member when the relay fell silent is the last it hears.
    assert!((29_000..=30_100).contains(&last));
    assert!(meeting.gathering.parties().all(|(_, party)| party.sealing().is_none()));
    meeting.run(28_200);
    assert!(meeting.gathering.parties().all(|(_, party)| party.own().is_none()), "after a minute all are out");
}
