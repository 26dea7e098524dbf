//! On a network that loses a fifth of everything nobody honest is taken for somebody else, or silenced.

#[path = "support/people.rs"]
mod people;

use std::collections::HashMap;

use conclave::data::Peer;
use conclave::e2ee::Context;
use conclave::e2ee::group;
use conclave::e2ee::proof::{Policy, Why};
use conclave::frame::Kind;
use conclave::gathering::Config;
use conclave::party;
use conclave::relay::Relay;
use conclave::time::Time;

use people::Meeting;

const SPEAKERS: [usize; 3] = [0, 1, 2];
const PEOPLE: usize = 4;

fn talk(loss: f32, jitter_us: u64, proofs: Policy, seconds: u64) -> Meeting {
    let mut settings = party::Config::new(group::Config::new(b"a meeting on a bad network").classical());
    settings.proofs = proofs;
    settings.sends.push(Kind::Screen);
    settings.hears.push(Kind::Screen);
    let config = Config { seed: 5, loss, jitter_us, ..Config::default() };
    let mut meeting = Meeting::found(config, settings, Relay::new());
    meeting.fill(PEOPLE);
    for _ in 0..seconds * 1000 / 80 {
        meeting.talk(40, &SPEAKERS, Some(Kind::Camera));
        meeting.talk(40, &SPEAKERS, Some(Kind::Screen));
    }
    meeting
}

/// The longest time for which somebody was flagged, in milliseconds, and how often anybody was.
fn flagged(meeting: &Meeting) -> (u64, u64) {
    let (mut longest, mut times) = (0, 0);
    for person in &meeting.people.people {
        let mut open = HashMap::<(Peer, Option<Context>), Time>::new();
        for (at, event) in &person.events {
            let party::Event::Proof(peer, event) = event else { continue };
            assert!(!event.why.is_alarm(), "nobody is malicious: {event:?}");
            if event.why == Why::Unproven {
                times += 1;
                open.entry((*peer, event.context)).or_insert(*at);
            } else if let Some(since) = open.remove(&(*peer, event.context)) {
                longest = longest.max(at.since(since) / 1000);
            }
        }
        let rest = open.values().map(|since| meeting.now().since(*since) / 1000).max();
        longest = longest.max(rest.unwrap_or(0));
    }
    (longest, times)
}

#[test]
fn at_a_fifth_lost_nobody_is_flagged_for_more_than_two_seconds_or_silenced() {
    for proofs in [Policy::RenderThenProve, Policy::ProveThenRender] {
        let mut meeting = talk(20.0, 20_000, proofs, 60);
        let (longest, times) = flagged(&meeting);
        let lately = Time(meeting.now().0 - 2_000_000);
        let mut least = 100;
        for at in 0..PEOPLE {
            for from in SPEAKERS.into_iter().filter(|from| *from != at) {
                let peer = meeting.peer(from);
                let person = &meeting.people.people[at];
                let sound = person.sound[&peer].iter().filter(|(_, at)| *at > lately).count();
                least = least.min(sound);
                let pictures = person.pictures.get(&peer).map_or(0, Vec::len);
                let screens = person.screens.get(&peer).map_or(0, Vec::len);
                assert!(pictures > 20 && screens > 20, "{at} of {from}: {pictures} pictures, {screens} of the screen");
            }
        }
        println!(
            "{proofs:?}: flagged {times} times, for {longest} ms at most; {least} of 100 packets heard at the end"
        );
        assert!(longest <= 2_000 && least > 50);
    }
}

#[test]
fn where_nothing_is_lost_nobody_is_ever_flagged() {
    for proofs in [Policy::RenderThenProve, Policy::ProveThenRender] {
        assert_eq!(flagged(&talk(0.0, 0, proofs, 15)), (0, 0));
    }
}
