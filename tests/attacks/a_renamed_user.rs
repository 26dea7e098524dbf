//! The relay writes another name into a newcomer's key package.

use conclave::e2ee::group::{Config, Event};
use conclave::gathering::relays::Attack;

use crate::hostile::Hostile;

#[test]
fn nobody_comes_in_under_a_name_that_is_not_its_own_and_everybody_is_told() {
    let mut meeting = Hostile::meeting(Attack::RenamedUser, Config::new(b"renamed user").classical(), true, 4);
    meeting.strike();
    let since = meeting.now();
    let newcomer = meeting.knock("newcomer");
    meeting.talk(2_000);
    assert_eq!(meeting.told(&[newcomer]), [0, 1, 2, 3]);
    let knocks = meeting.events(0).filter(|event| matches!(event, Event::Knock { .. }));
    assert_eq!(knocks.count(), 3, "the host is asked for the guests alone");
    assert_eq!((meeting.roster(0), meeting.roster(newcomer)), (Some(4), None));
    meeting.agree(&[0, 1, 2, 3]);
    meeting.hear_all(&[0, 1, 2, 3], since);
}
