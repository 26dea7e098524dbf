//! The relay lets one member hear nothing of a new epoch: it says so at once, is heard by nobody soon after, and stops.

use conclave::e2ee::group::{self, Left, Request};
use conclave::gathering::Config;
use conclave::party::{self, Event};
use conclave::relay::Relay;

use conclave::e2ee::group::wire::Envelope;

use crate::people::Meeting;

const STARVED: usize = 2;

#[test]
fn the_starved_member_is_refused_after_four_seconds_stops_at_thirty_and_goes_at_sixty() {
    let settings = party::Config::new(group::Config::new(b"a meeting on a hostile relay").classical());
    let mut meeting = Meeting::found(Config::default(), settings, Relay::new());
    meeting.fill(4);
    meeting.talk(1_000, &[1, STARVED], &[]);
    let peer = meeting.peer(STARVED);
    let start = meeting.now();
    meeting.gathering.relay_filter(Box::new(|seat, message, _| {
        seat != STARVED || !matches!(Envelope::decode(message), Ok(Envelope::Handshake { .. }))
    }));
    meeting.gathering.party(0).unwrap().group().unwrap().ask(Request::Renew, start).unwrap();
    meeting.people.wire = Some(vec![]);
    meeting.talk(31_000, &[1, STARVED], &[]);

    let told = |event: &group::Event| matches!(event, group::Event::Stranded | group::Event::Order { .. });
    let told = meeting.people.people[STARVED].group().find(|(_, event)| told(event)).unwrap().0;
    assert!(told.since(start) < 3_000_000, "it knows by the next heartbeat");
    let began = meeting.people.people[1].epochs().last().unwrap().0;
    for at in [0, 1, 3] {
        let last = meeting.people.people[at].sound[&peer].last().unwrap().1;
        // Jitter buffers play what was opened just before.
        assert!(last.since(began) < 4_300_000, "{at} hears the old epoch for {} ms", last.since(began) / 1000);
    }
    assert!(meeting.gathering.party(STARVED).unwrap().sealing().is_none(), "it has stopped");
    let wire = meeting.people.wire.take().unwrap();
    let media = wire.iter().filter(|(_, seat, bytes)| *seat == STARVED && bytes[0] >> 6 == 2 && bytes[1] & 0x7f == 111);
    let last = media.last().unwrap().0.since(start);
    assert!((25_000_000..=30_100_000).contains(&last), "the last frame is sealed after {last} us");
    assert!(meeting.gathering.party(1).unwrap().sealing().is_some(), "the others go on");
    meeting.run(30_000);
    let person = &meeting.people.people[STARVED];
    let left = |event: &(_, Event)| matches!(event.1, Event::Group(group::Event::Left(Left::Silence)));
    assert!(person.events.iter().any(left));
}
