//! A meeting with a real group: people come, speak, are rekeyed and go, and everybody hears exactly those who are in.

#[path = "support/people.rs"]
mod people;

use conclave::data::Topic;
use conclave::e2ee::group;
use conclave::frame::Kind;
use conclave::gathering::Config;
use conclave::party::{self, Event};
use conclave::relay::Relay;

use people::Meeting;

#[test]
fn people_come_speak_and_go() {
    let settings = party::Config::new(group::Config::new(b"a meeting of four"));
    let mut meeting = Meeting::found(Config::default(), settings, Relay::new());
    meeting.fill(3);
    meeting.talk(1_000, &[0, 1], &[Kind::Camera]);
    meeting.gathering.party(1).unwrap().say(Topic::Chat, b"hello").unwrap();
    let late = meeting.knock("late");
    meeting.talk(2_000, &[0, 1], &[Kind::Camera]);
    assert_eq!(meeting.members(), 4);
    let joined = meeting.now().0 / 20_000;
    meeting.talk(2_000, &[0, 1], &[Kind::Camera]);

    let leaver = meeting.peer(2);
    let now = meeting.now();
    meeting.gathering.party(2).unwrap().leave(now);
    meeting.talk(3_000, &[0, 1], &[Kind::Camera]);
    assert_eq!(meeting.members(), 3);
    assert!(meeting.gathering.party(2).unwrap().own().is_none(), "the leaver has nothing left");
    assert!(meeting.gathering.party(0).unwrap().roster().unwrap().get(leaver.leaf).is_none());

    for (at, from) in [(1, 0), (0, 1)] {
        let heard = meeting.heard(at, from);
        let (first, last) = (heard[0], *heard.last().unwrap());
        assert_eq!(heard, (first..=last).collect::<Vec<_>>(), "without a gap through join and leave");
    }
    let heard = meeting.heard(late, 1);
    assert!(heard[0] < joined && heard.iter().copied().eq(heard[0]..=*heard.last().unwrap()));
    let peer = meeting.peer(1);
    for seat in [0, late] {
        let person = &meeting.people.people[seat];
        let pictures = &person.pictures[&peer];
        assert!(pictures.windows(2).all(|two| two[1].0 == two[0].0 + 1), "pictures follow each other");
        assert!(person.proofs().next().is_none(), "everybody is who it says: {:?}", person.proofs().next());
    }
    let chat = |seat: usize| {
        let events = meeting.people.people[seat].events.iter();
        events.filter(|(_, event)| matches!(event, Event::Data(conclave::data::Event::Message(_)))).count()
    };
    assert_eq!((chat(0), chat(1)), (1, 0));
}
