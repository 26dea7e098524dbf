//! Whoever goes reads nothing more: measured with everything that member ever had and the whole wire. `CONCLAVE_PEOPLE` sets how many there are; the bounds are asked of 50.

#[path = "support/people.rs"]
mod people;
#[path = "support/spy.rs"]
mod spy;

use conclave::e2ee::group;
use conclave::frame::Kind;
use conclave::gathering::Config;
use conclave::party;
use conclave::relay::Relay;

use people::Meeting;
use spy::Spy;

fn count() -> usize {
    std::env::var("CONCLAVE_PEOPLE").ok().and_then(|n| n.parse().ok()).unwrap_or(50)
}

/// A meeting of so many with a spy among them, 100 ms from one to another and back, 10 Mbit/s, hybrid keys.
fn meeting(people: usize) -> (Meeting, Spy) {
    let mut settings = party::Config::new(group::Config::new(b"a meeting with a spy"));
    settings.hears = vec![Kind::Microphone];
    let mut meeting = Meeting::found(Config::default(), settings, Relay::new());
    meeting.fill(people - 1);
    meeting.people.wire = Some(Vec::new());
    let mut spy = Spy::knock(&mut meeting);
    for _ in 0..300 {
        meeting.talk(20, SPEAKERS, &[]);
        spy.step(&mut meeting);
        if spy.is_in() && meeting.members() == people {
            break;
        }
    }
    assert!(spy.is_in());
    talk(&mut meeting, &mut spy, 2_000);
    (meeting, spy)
}

const SPEAKERS: &[usize] = &[0, 1, 2];

fn talk(meeting: &mut Meeting, spy: &mut Spy, ms: u64) {
    for _ in 0..ms / 20 {
        meeting.talk(20, SPEAKERS, &[]);
        spy.step(meeting);
    }
}

/// Milliseconds from `since` to the last frame that opens with what the spy had, and how many open in all.
fn window(meeting: &Meeting, spy: &mut Spy, since: conclave::time::Time) -> (u64, usize, usize) {
    let (opened, tried) = spy.read(meeting.people.wire.as_ref().unwrap());
    let last = opened.iter().max().copied().unwrap_or(since);
    (last.since(since) / 1000, opened.len(), tried)
}

#[test]
fn nothing_opens_two_seconds_after_a_leave() {
    let (mut meeting, mut spy) = meeting(count());
    spy.leave(&meeting);
    let since = meeting.now();
    talk(&mut meeting, &mut spy, 4_000);
    assert_eq!(meeting.members(), count() - 1);
    let (window, opened, tried) = window(&meeting, &mut spy, since);
    println!(
        "a leave among {}: the last frame that opens was sealed {window} ms after it; {opened} of {tried}",
        count()
    );
    assert!(opened > 150, "while it was there it heard: {opened}");
    assert!(window <= 2_000, "{window} ms");
}

#[test]
fn nothing_opens_half_a_second_after_a_kick() {
    let (mut meeting, mut spy) = meeting(count());
    let (now, leaf) = (meeting.now(), spy.leaf());
    meeting.gathering.party(0).unwrap().group().unwrap().remove(leaf, true, now).unwrap();
    talk(&mut meeting, &mut spy, 4_000);
    assert_eq!(meeting.members(), count() - 1);
    let (window, opened, tried) = window(&meeting, &mut spy, now);
    println!(
        "a kick among {}: the last frame that opens was sealed {window} ms after it; {opened} of {tried}",
        count()
    );
    assert!(opened > 150 && window <= 500, "{opened} frames, {window} ms");
}

#[test]
fn with_a_relay_that_keeps_everything_back_all_have_stopped_at_thirty_seconds() {
    let settings = party::Config::new(group::Config::new(b"kept back").classical());
    let mut meeting = Meeting::found(Config::default(), settings, Relay::new());
    meeting.fill(5);
    meeting.people.wire = Some(Vec::new());
    meeting.talk(2_000, SPEAKERS, &[]);
    meeting.gathering.relay_filter(Box::new(|_, _, _| false));
    let (since, leaver) = (meeting.now(), meeting.peer(4));
    meeting.gathering.party(4).unwrap().leave(since);
    meeting.talk(28_000, SPEAKERS, &[]);
    assert!(meeting.gathering.party(0).unwrap().roster().unwrap().get(leaver.leaf).is_some(), "nobody knows of it");
    meeting.talk(29_000, SPEAKERS, &[]);
    // What is sent again counts where it was sent first. A heartbeat that was on its way still came through.
    let frames = spy::frames(meeting.people.wire.as_ref().unwrap());
    let last = frames.iter().map(|(at, _)| at.since(since)).max().unwrap();
    println!("the last frame was sealed {} ms after the relay fell silent", last / 1000);
    assert!((25_000_000..=30_050_000).contains(&last), "{last} µs");
    for seat in 0..4 {
        assert_eq!(meeting.gathering.party(seat).unwrap().sealing(), None);
        let events: Vec<_> = meeting.people.people[seat].group().map(|(_, event)| event.clone()).collect();
        assert!(events.contains(&group::Event::HeartbeatMissing) && events.contains(&group::Event::StopSealing));
    }
    meeting.talk(3_100, SPEAKERS, &[]);
    for seat in 0..4 {
        assert!(meeting.gathering.party(seat).unwrap().roster().is_none(), "out after a minute");
    }
}
