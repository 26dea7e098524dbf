//! The relay proposes a device of its own, under its own key and as somebody who joins unasked.

use conclave::e2ee::group::rules::{Act, Illegal};
use conclave::e2ee::group::{Config, Event};
use conclave::gathering::relays::Attack;

use crate::hostile::Hostile;

#[test]
fn nobody_takes_it_in_and_everybody_is_told() {
    let mut meeting = Hostile::meeting(Attack::FakeMember, Config::new(b"fake member").classical(), true, 4);
    let code = meeting.agree(&[0, 1, 2, 3]);
    meeting.strike();
    let since = meeting.now();
    meeting.talk(2_000);
    assert_eq!(meeting.told(&[]), [0, 1, 2, 3]);
    for seat in 0..4 {
        let why = |event: &Event| match event {
            Event::Refused { leaf: None, why } => Some(why.clone()),
            _ => None,
        };
        let whys: Vec<_> = meeting.events(seat).filter_map(why).collect();
        assert!(whys.iter().any(|why| matches!(why, Illegal::NotAllowed { act: Act::Add, .. })), "{whys:?}");
        assert!(whys.contains(&Illegal::External), "{whys:?}");
        assert_eq!(meeting.roster(seat), Some(4));
    }
    assert_eq!(meeting.agree(&[0, 1, 2, 3]), code, "nothing has changed");
    meeting.hear_all(&[0, 1, 2, 3], since);
}
