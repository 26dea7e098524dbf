//! A relay that holds back an honest sender's proofs, which travel on a stream of their own, makes nobody a liar: its
//! frames wait, and are shown again when proofs come. Whoever does forge meanwhile is found out all the same.

use std::collections::BTreeMap;

use conclave::e2ee::Context;
use conclave::e2ee::proof::Why;
use conclave::frame::Kind;
use conclave::time::Time;

use crate::meeting::{Receiver, Sender, ms};

const WAY_MS: u64 = 50;

/// What came of a meeting.
struct Heard {
    /// Frames of the victim that were shown, and of the forger.
    genuine: u64,
    forged: u64,
    /// Those of the victim that were shown at once, by when it said them.
    at_once: Vec<u64>,
    whys: Vec<(u64, Why)>,
    muted: bool,
}

/// `seconds` in which the victim shows a picture every 40 ms and proves every 200 ms. `delay` says of each time, in
/// milliseconds, how long the relay holds back pictures and proofs; `forge` what the forger sends then.
fn meeting(
    seconds: u64,
    delay: impl Fn(u64) -> (u64, u64),
    mut forge: impl FnMut(&mut Sender, u64) -> Option<Vec<u8>>,
) -> Heard {
    let (mut victim, mut forger, mut receiver) = (Sender::victim(), Sender::forger(), Receiver::new());
    let mut way: BTreeMap<(u64, u64), (bool, u64, Vec<u8>)> = BTreeMap::new();
    let mut heard = Heard { genuine: 0, forged: 0, at_once: vec![], whys: vec![], muted: false };
    let mut sent = 0;
    for t in (0..seconds * 1000).step_by(10) {
        let (media, proofs) = delay(t);
        let mut put = |proof, delay, bytes| {
            sent += 1;
            way.insert((t + WAY_MS + delay, sent), (proof, t, bytes));
        };
        if t % 40 == 0 {
            put(false, media, victim.camera(b"genuine", ms(t)));
        }
        if let Some(frame) = forge(&mut forger, t) {
            put(false, 0, frame);
        }
        if t % 200 == 160 {
            put(true, proofs, victim.proof(ms(t)));
        }
        let mut shown = vec![];
        while let Some(entry) = way.first_entry().filter(|entry| entry.key().0 <= t) {
            let (proof, said, bytes) = entry.remove();
            if proof {
                shown.extend(receiver.proof(&bytes, ms(t)));
            } else if let Some(content) = receiver.camera(&bytes, ms(t)) {
                heard.at_once.extend((content == b"genuine").then_some(said));
                shown.push(content);
            }
        }
        shown.extend(receiver.released(ms(t)));
        for content in shown {
            *if content == b"genuine" { &mut heard.genuine } else { &mut heard.forged } += 1;
        }
        heard.whys.extend(receiver.whys().into_iter().map(|why| (t, why)));
    }
    let camera = Context::of(Kind::Camera);
    heard.muted = receiver.0.verifiers().any(|(_, verifier)| verifier.is_unproven(camera));
    heard
}

fn honest(seconds: u64, delay: impl Fn(u64) -> (u64, u64)) -> Heard {
    let heard = meeting(seconds, delay, |_, _| None);
    let alarms: Vec<_> = heard.whys.iter().filter(|(_, why)| why.is_alarm()).collect();
    assert!(alarms.is_empty(), "nobody is accused: {alarms:?}");
    assert!(!heard.muted);
    heard
}

/// Proofs that are three seconds late from `from` to `to`.
fn late(from: u64, to: u64) -> impl Fn(u64) -> (u64, u64) {
    move |t| (0, if (from..to).contains(&t) { 3_000 } else { 0 })
}

#[test]
fn nobody_is_accused_whose_proofs_come_three_seconds_late_and_the_stream_recovers() {
    for (from, to) in [(0, 15_000), (5_000, 15_000), (5_000, 40_000)] {
        let heard = honest(60, late(from, to));
        let unproven = heard.whys.iter().find(|(_, why)| *why == Why::Unproven).expect("it is told");
        assert!((from + 1_000..from + 1_400).contains(&unproven.0), "{unproven:?}");
        let back = heard.at_once.iter().filter(|said| (to + 3_500..59_000).contains(*said)).count() as u64;
        assert_eq!(back, (to + 3_500..59_000).filter(|t| t % 40 == 0).count() as u64, "at once again after {to} ms");
    }
}

#[test]
fn nobody_is_accused_where_everything_was_late_and_then_the_pictures_are_not() {
    let heard = honest(60, |t| (if t < 25_000 { 3_000 } else { 0 }, if t < 45_000 { 3_000 } else { 0 }));
    assert!(heard.at_once.iter().any(|said| *said > 50_000));
}

/// A forger sends once each second, from the tenth on, a picture that says to be captured `ahead` milliseconds later.
fn forged(seconds: u64, delay: impl Fn(u64) -> (u64, u64), ahead: u64) -> Heard {
    meeting(seconds, delay, |forger, t| {
        // Its counters are far beyond the victim's.
        let far = (t == 0).then_some(5_000).unwrap_or(0);
        (0..far).for_each(|_| drop(forger.camera(b"forged", Time(0))));
        (t >= 10_000 && t % 1_000 == 0).then(|| forger.camera_of(b"forged", ms(t + ahead), ms(t)))
    })
}

#[test]
fn an_invented_frame_is_found_out_whenever_it_says_it_was_captured() {
    for ahead in [0, 300, 1_000, 3_000, 1_000_000] {
        let heard = forged(30, |_| (0, 0), ahead);
        let alarm = heard.whys.iter().find(|(_, why)| *why == Why::Invented);
        // What says that it is of the future is not shown at all.
        assert_eq!(heard.forged > 0, ahead < 500, "{ahead} ms ahead");
        assert_eq!(alarm.is_some(), ahead < 500, "{ahead} ms ahead: {:?}", heard.whys);
        assert!(alarm.is_none_or(|(at, _)| *at <= 12_000), "{alarm:?}");
        assert!(heard.forged <= 2, "{} were shown", heard.forged);
        assert!(heard.genuine >= 30 * 25 - 5, "every genuine one but those on their way: {}", heard.genuine);
    }
}

#[test]
fn an_invented_frame_is_found_out_though_proofs_are_late() {
    let heard = forged(40, late(0, 40_000), 0);
    let alarm = heard.whys.iter().find(|(_, why)| *why == Why::Invented).expect("an alarm");
    assert!(alarm.0 <= 15_000, "{alarm:?}");
}
