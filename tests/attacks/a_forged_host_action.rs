//! The relay says again what the host told everybody, as it was and edited.

use conclave::e2ee::group::{Config, Event};
use conclave::gathering::relays::Attack;

use crate::hostile::Hostile;

#[test]
fn an_action_of_the_host_is_told_once_and_its_copies_are_an_alarm() {
    let invite = Config::new(b"forged host action").classical();
    let mut meeting = Hostile::meeting(Attack::ForgedHostAction, invite, true, 4);
    meeting.party(0).group().unwrap().tell(b"mute yourselves, please").unwrap();
    meeting.talk(500);
    meeting.strike();
    let since = meeting.now();
    meeting.talk(2_000);
    // The host cannot tell its own words from copies of them: it takes neither.
    let victims = [1, 2, 3];
    assert_eq!(meeting.told(&[]), victims);
    for seat in victims {
        let told = |event: &&Event| matches!(event, Event::Told { .. });
        assert_eq!(meeting.events(seat).filter(told).count(), 1);
    }
    meeting.agree(&[0, 1, 2, 3]);
    meeting.hear_all(&[0, 1, 2, 3], since);
}
