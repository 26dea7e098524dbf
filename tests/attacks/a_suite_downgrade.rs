//! The relay lets a newcomer into a meeting that has agreed on a suite which nothing protects from a quantum computer.

use conclave::e2ee::group::{Config, GroupError};
use conclave::gathering::relays::Attack;
use conclave::party::PartyError;

use crate::hostile::Hostile;

#[test]
fn the_newcomer_refuses_it() {
    let mut meeting = Hostile::meeting(Attack::SuiteDowngrade, Config::new(b"suite downgrade"), true, 3);
    meeting.strike();
    let since = meeting.now();
    let newcomer = meeting.knock("newcomer");
    meeting.talk(3_000);
    assert_eq!(meeting.told(&[0, 1, 2]), [newcomer]);
    let refusals = &meeting.gathering.party(newcomer).unwrap().refusals;
    let other = |error: &PartyError| matches!(error, PartyError::Group(GroupError::Mismatch("suite")));
    assert!(refusals.iter().any(|(_, error)| other(error)), "{refusals:?}");
    let code = meeting.agree(&[0, 1, 2]);
    assert_ne!(meeting.made_up(), code);
    meeting.hear_all(&[0, 1, 2], since);
}
