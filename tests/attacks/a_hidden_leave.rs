//! The relay keeps from somebody that a member has gone; and from everybody that one wants to.

use conclave::e2ee::group::{Config, Event, Left};
use conclave::gathering::alarm::Alarm;
use conclave::gathering::relays::Attack;

use crate::hostile::Hostile;
use crate::table::Table;

/// The lowest seat that is neither the host's nor the leaver's: the relay's choice.
const DARK: usize = 1;

#[test]
fn whoever_is_kept_in_the_dark_is_warned_stops_and_goes() {
    let mut meeting = Hostile::meeting(Attack::HiddenLeave, Config::new(b"hidden leave").classical(), true, 5);
    meeting.strike();
    let since = meeting.now();
    meeting.party(4).leave(since);
    meeting.talk(33_000);
    assert_eq!(meeting.told(&[0, 2, 3]), [DARK]);
    assert_eq!((meeting.roster(0), meeting.roster(DARK)), (Some(4), Some(5)), "it believes the leaver there");
    let code = meeting.agree(&[0, 2, 3]);
    assert_ne!(meeting.code(DARK), Some(code), "and whoever compares codes sees it");
    assert_eq!(meeting.party(DARK).sealing(), None, "nothing more is sealed for the leaver");
    assert!(meeting.heard(2, since) as u64 > 33_000 / 20, "the others go on");
    meeting.talk(30_000);
    assert!(meeting.alarms(DARK).iter().any(|(at, alarm)| *alarm == Alarm::Gone && at.since(since) < 63_000_000));
}

#[test]
fn whoever_is_not_let_go_is_told_after_five_seconds_and_goes_after_ten() {
    let mut table = Table::of(3, Config::new(b"kept").classical());
    table.run(1_000);
    table.cut.push(2);
    let (start, now) = (table.now, table.now);
    table.group(2).leave(now);
    table.run(6_000);
    assert!(table.events(2).contains(&Event::Withheld { requests: vec![] }), "told after {:?}", table.now.since(start));
    assert_eq!(table.left(2), None);
    table.run(4_100);
    assert_eq!(table.left(2), Some(Left::Asked));
}
