//! The relay shows each half of the meeting only that half's words.

use conclave::e2ee::group::{Config, Request};
use conclave::gathering::relays::Attack;

use crate::hostile::Hostile;

#[test]
fn the_half_without_the_host_is_told_and_the_codes_part_with_the_next_epoch() {
    let mut meeting = Hostile::meeting(Attack::Partition, Config::new(b"partition").classical(), true, 6);
    meeting.strike();
    meeting.talk(15_000);
    assert_eq!(meeting.told(&[0, 1, 2]), [3, 4, 5]);
    let now = meeting.now();
    meeting.party(0).group().unwrap().ask(Request::Renew, now).unwrap();
    meeting.talk(1_000);
    let (with, without) = (meeting.agree(&[0, 1, 2]), meeting.agree(&[3, 4, 5]));
    assert_ne!(with, without);
    for seat in 0..3 {
        assert!(meeting.party(seat).sealing().is_some(), "the host's half goes on");
    }
}
