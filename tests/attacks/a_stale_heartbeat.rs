//! The relay says old heartbeats of the host again, and keeps the new ones back.

use conclave::e2ee::group::Config;
use conclave::gathering::alarm::Alarm;
use conclave::gathering::relays::Attack;

use crate::hostile::Hostile;

#[test]
fn old_ones_do_not_count() {
    let mut meeting = Hostile::meeting(Attack::StaleHeartbeat, Config::new(b"stale heartbeat").classical(), true, 4);
    meeting.strike();
    let since = meeting.now();
    meeting.talk(33_000);
    assert_eq!(meeting.told(&[0]), [1, 2, 3]);
    for seat in 1..4 {
        assert_eq!(meeting.party(seat).sealing(), None, "silent after thirty seconds");
        assert!(meeting.alarms(seat).iter().any(|(_, alarm)| *alarm == Alarm::Unreadable), "repetitions are told");
    }
    assert!(meeting.heard(0, since) > 20_000 / 20, "until then they are heard");
    meeting.talk(30_000);
    assert!((1..4).all(|seat| meeting.roster(seat).is_none()), "out after a minute");
}
