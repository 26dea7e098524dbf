//! At a fifth of loss nobody honest is taken for an impostor: streams of sound, camera and screen stay proven, and where
//! proofs are late for a moment, it is for less than two seconds.

#[path = "support/people.rs"]
mod people;

use std::collections::BTreeMap;

use conclave::e2ee::group;
use conclave::e2ee::proof::{Policy, Why};
use conclave::frame::Kind;
use conclave::gathering::Config;
use conclave::party::{self, Event};
use conclave::relay::Relay;
use conclave::time::Time;

use people::Meeting;

/// A minute of two who speak and show, and two who listen. Returns how often a stream was flagged, how long it was at
/// most, the share of sound heard, and the meeting.
fn minute(loss: f32, proofs: Policy) -> (usize, u64, f64) {
    let mut settings = party::Config::new(group::Config::new(b"losses").classical());
    settings.sends = vec![Kind::Microphone, Kind::Camera, Kind::Screen];
    settings.hears = settings.sends.clone();
    settings.proofs = proofs;
    // Lost on the way up or on the way down: together `loss`.
    let each = 100.0 * (1.0 - (1.0 - loss / 100.0).sqrt());
    let network = Config { loss: each, jitter_us: 15_000, ..Config::default() };
    let mut meeting = Meeting::found(network, settings, Relay::new());
    meeting.fill(4);
    let speakers = [0, 1];
    meeting.talk(60_000, &speakers, &[Kind::Camera, Kind::Screen]);

    let (mut flagged, mut longest, end) = (0, 0, meeting.now());
    for person in &meeting.people.people {
        let mut since: BTreeMap<_, Time> = BTreeMap::new();
        for (at, event) in &person.events {
            let Event::Proof(peer, event) = event else { continue };
            assert!(!event.why.is_alarm(), "nobody lies here: {event:?}");
            let stream = (*peer, event.context.map(|context| context.number()));
            match event.why {
                Why::Unproven => {
                    flagged += 1;
                    since.insert(stream, *at);
                }
                _ => longest = longest.max(since.remove(&stream).map_or(0, |since| at.since(since))),
            }
        }
        longest = longest.max(since.values().map(|since| end.since(*since)).max().unwrap_or(0));
    }
    let (mut heard, mut said) = (0, 0);
    for (from, peer) in speakers.map(|seat| meeting.peer(seat)).into_iter().enumerate() {
        for person in meeting.people.people.iter().enumerate().filter(|(at, _)| *at != from).map(|(_, person)| person) {
            heard += person.sound[&peer].len();
            said += 3_000;
            for pictures in [&person.pictures, &person.screens] {
                let last = pictures[&peer].last().expect("pictures come").1;
                assert!(end.since(last) < 2_000_000, "pictures come to the end");
            }
        }
    }
    (flagged, longest, heard as f64 / said as f64)
}

#[test]
fn at_a_fifth_of_loss_nobody_honest_is_flagged_for_two_seconds() {
    for policy in [Policy::RenderThenProve, Policy::ProveThenRender] {
        let (flagged, longest, heard) = minute(20.0, policy);
        println!("{policy:?}: {flagged} flags, {} ms at most, {:.1} % of sound", longest / 1000, heard * 100.0);
        assert!(longest <= 2_000_000, "{longest} µs");
        assert!(heard > 0.9, "{heard}");
    }
}

#[test]
fn without_loss_nobody_is_flagged_at_all() {
    for policy in [Policy::RenderThenProve, Policy::ProveThenRender] {
        let (flagged, _, heard) = minute(0.0, policy);
        assert_eq!(flagged, 0, "{policy:?}");
        assert!(heard > 0.99, "{heard}");
    }
}
