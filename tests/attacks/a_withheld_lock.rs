//! The host locks the meeting, and the relay lets the commit vanish.

use conclave::e2ee::group::{Config, Event, Request};
use conclave::gathering::relays::Attack;

use crate::hostile::Hostile;

#[test]
fn the_host_knows_that_its_lock_does_not_hold() {
    let mut meeting = Hostile::meeting(Attack::WithheldLock, Config::new(b"withheld lock").classical(), true, 4);
    meeting.strike();
    let since = meeting.now();
    meeting.party(0).group().unwrap().lock(since).unwrap();
    meeting.talk(8_000);
    assert_eq!(meeting.told(&[1, 2, 3]), [0]);
    assert!(meeting.events(0).any(|event| *event == Event::Withheld { requests: vec![Request::Lock] }));
    for seat in 0..4 {
        assert_eq!(meeting.party(seat).group().unwrap().policy().lock, None, "nobody believes in a lock");
    }
    meeting.agree(&[0, 1, 2, 3]);
    meeting.hear_all(&[0, 1, 2, 3], since);
}
