//! Whoever comes reads nothing older than its epoch, with everything that member ever had and the whole wire.

#[path = "support/people.rs"]
mod people;
#[path = "support/spy.rs"]
mod spy;

use conclave::e2ee::group;
use conclave::frame::Kind;
use conclave::gathering::Config;
use conclave::party;
use conclave::relay::Relay;

use people::Meeting;
use spy::Spy;

#[test]
fn nothing_from_before_its_epoch_opens_for_a_joiner() {
    let mut settings = party::Config::new(group::Config::new(b"a late spy"));
    settings.hears = vec![Kind::Microphone];
    let mut meeting = Meeting::found(Config::default(), settings, Relay::new());
    meeting.fill(6);
    meeting.people.wire = Some(Vec::new());
    meeting.talk(3_000, &[0, 1, 2], &[]);
    let mut spy = Spy::knock(&mut meeting);
    for _ in 0..150 {
        meeting.talk(20, &[0, 1, 2], &[]);
        spy.step(&mut meeting);
    }
    let joined = spy.joined();
    let wire = meeting.people.wire.take().unwrap();
    let (opened, tried) = spy.read(&wire);
    let first = opened.iter().min().expect("it hears what comes after");
    println!("{} of {tried} frames open for the joiner, the first {} ms before its welcome", opened.len(), {
        joined.since(*first) / 1000
    });
    // Senders go over while the welcome is on its way: their frames are of the joiner's epoch already.
    let epochs = spy.epochs_of(&wire, *first);
    assert!(epochs.iter().all(|epoch| *epoch == spy.first_epoch() as u8), "nothing of an older epoch: {epochs:?}");
    assert!(joined.since(*first) < 500_000);
}
