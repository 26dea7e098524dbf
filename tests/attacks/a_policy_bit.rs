//! The relay proposes a policy with one bit changed, and lets a newcomer into a meeting under another one.

use conclave::e2ee::group::rules::{Act, Illegal};
use conclave::e2ee::group::{Config, EnginePolicy, Event, GroupError};
use conclave::gathering::relays::Attack;
use conclave::party::PartyError;

use crate::codes::code_of;
use crate::hostile::Hostile;

#[test]
fn members_refuse_it_the_newcomer_refuses_it_and_the_code_would_tell() {
    let mut meeting = Hostile::meeting(Attack::PolicyBit, Config::new(b"policy bit").classical(), true, 4);
    let before = meeting.agree(&[0, 1, 2, 3]);
    meeting.strike();
    let since = meeting.now();
    let newcomer = meeting.knock("newcomer");
    meeting.talk(3_000);
    assert_eq!(meeting.told(&[]), [0, 1, 2, 3, newcomer]);
    for seat in 0..4 {
        let refused = |event: &Event| {
            matches!(event, Event::Refused { leaf: None, why: Illegal::NotAllowed { act: Act::Policy, .. } })
        };
        assert!(meeting.events(seat).any(refused));
    }
    let refusals = &meeting.gathering.party(newcomer).unwrap().refusals;
    let other = |error: &PartyError| matches!(error, PartyError::Group(GroupError::Mismatch("meeting type")));
    assert!(refusals.iter().any(|(_, error)| other(error)), "{refusals:?}");
    assert_eq!(meeting.agree(&[0, 1, 2, 3]), before, "no bit has changed");
    assert_ne!(meeting.made_up(), before);
    let group = meeting.party(0).group().unwrap();
    let policy = group.policy();
    let changed = EnginePolicy { recorder_allowed: !policy.recorder_allowed, ..policy.clone() };
    assert_ne!(code_of(group.authenticator(), group.roster(), &changed), before, "a bit is in the code by itself");
    meeting.hear_all(&[0, 1, 2, 3], since);
}
