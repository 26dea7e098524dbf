//! The relay takes a newcomer's place under its name, and is the host of a meeting of its own for the newcomer.

use conclave::e2ee::group::{Config, GroupError};
use conclave::gathering::relays::Attack;
use conclave::party::PartyError;

use crate::hostile::Hostile;

fn attacked(pinned: bool) -> (Hostile, usize) {
    let invite = Config::new(b"swapped key package").classical();
    let mut meeting = Hostile::meeting(Attack::SwappedKeyPackage, invite, pinned, 3);
    meeting.strike();
    let newcomer = meeting.knock("newcomer");
    let since = meeting.now();
    meeting.talk(3_000);
    meeting.hear_all(&[0, 1, 2], since);
    (meeting, newcomer)
}

#[test]
fn the_newcomer_refuses_a_group_that_names_the_host_and_does_not_have_it() {
    let (mut meeting, newcomer) = attacked(true);
    assert_eq!(meeting.told(&[0, 1, 2]), [newcomer]);
    let refusals = &meeting.gathering.party(newcomer).unwrap().refusals;
    assert!(
        refusals.iter().any(|(_, error)| matches!(error, PartyError::Group(GroupError::Mismatch("host")))),
        "{refusals:?}"
    );
    assert_eq!(meeting.roster(newcomer), None, "it is nowhere");
    let code = meeting.agree(&[0, 1, 2]);
    assert_ne!(meeting.made_up(), code);
}

#[test]
fn without_a_host_in_the_invite_the_codes_tell() {
    let (mut meeting, newcomer) = attacked(false);
    assert_eq!(meeting.roster(newcomer), Some(2), "it is alone with the relay");
    let names = |meeting: &mut Hostile, seat: usize| -> Vec<String> {
        meeting.party(seat).roster().unwrap().iter().map(|member| member.name.clone()).collect()
    };
    assert_eq!(names(&mut meeting, newcomer), ["host", "newcomer"], "and looks as it should");
    assert!(names(&mut meeting, 0).contains(&"newcomer".into()), "as does the genuine meeting");
    let code = meeting.agree(&[0, 1, 2]);
    assert_ne!(meeting.code(newcomer), Some(code));
}
