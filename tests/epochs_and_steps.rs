//! Frames across epochs and ratchet steps: what opens, what is a replay, what is out of its time, and that garbage
//! moves nothing.

#[path = "support/epochs.rs"]
mod epochs;

use conclave::e2ee::{Context, KeyId, KeySource, Keyring, Opener, Reason, Sealer, keyring};
use conclave::frame::Kind;
use conclave::time::Time;

use epochs::{arrived, encoded, epoch, header};

const AUDIO: Kind = Kind::Microphone;

/// A sealed frame and when it was sealed.
type Wire = Vec<(Time, Vec<u8>)>;

/// Member 1 seals a packet every 20 ms from `from` to `to`, while epochs begin at the times given.
fn speak(begins: &[(u64, u64)], from: u64, to: u64) -> Wire {
    let (keeper, mut ring) = keyring();
    let mut sealer: Option<Sealer> = None;
    let mut wire = Wire::new();
    for ms in (from..to).step_by(20) {
        let now = Time::from_ms(ms);
        for (number, at) in begins.iter().filter(|(_, at)| *at <= ms && (ms < at + 20 || ms == from)) {
            keeper.send(epoch(*number, 1, 2, Time::from_ms(*at)).0, now);
        }
        if ring.turn(now) {
            match &mut sealer {
                Some(sealer) => drop(sealer.renew(&mut ring).unwrap()),
                None => sealer = Sealer::new(&mut ring, Context::of(AUDIO)).ok(),
            }
        }
        let sealed = sealer.as_mut().unwrap().seal(encoded(header(AUDIO, 0), &ms.to_be_bytes()), now).unwrap();
        wire.push((now, sealed.as_slice().to_vec()));
    }
    wire
}

/// Member 0, who hears, with epochs that begin at the times given once told to.
struct Ear {
    keeper: conclave::e2ee::Keeper,
    opener: Opener<Keyring>,
}

impl Ear {
    fn new() -> Self {
        let (keeper, ring) = keyring();
        Self { keeper, opener: Opener::new(ring) }
    }

    fn epoch(&self, number: u64, began: u64) {
        self.keeper.open(epoch(number, 0, 2, Time::from_ms(began)).1);
    }

    /// What was said in the frame; `None` where it does not open.
    fn hear(&mut self, bytes: &[u8], ms: u64) -> Option<u64> {
        let opened = self.opener.open(arrived(header(AUDIO, 0), bytes), Time::from_ms(ms)).ok()?;
        Some(u64::from_be_bytes(opened.payload.as_slice().try_into().unwrap()))
    }
}

#[test]
fn a_minute_of_sound_opens_through_every_step_and_nothing_twice() {
    let wire = speak(&[(1, 0)], 0, 60_000);
    let mut ear = Ear::new();
    ear.epoch(1, 0);
    for (at, bytes) in &wire {
        let ms = at.0 / 1000;
        assert_eq!(ear.hear(bytes, ms + 40), Some(ms));
        assert_eq!(ear.hear(bytes, ms + 41), None, "a replay");
    }
    // Everything once more, at the end: the last steps are replays, the others have no key any more.
    let before = ear.opener.stats().clone();
    assert!(wire.iter().all(|(_, bytes)| ear.hear(bytes, 60_000).is_none()));
    let after = ear.opener.stats();
    let (replayed, gone) = (after.replayed - before.replayed, after.out_of_time - before.out_of_time);
    let old = after.too_old - before.too_old;
    assert_eq!(replayed + gone + old, wire.len() as u64);
    assert!(replayed + old <= 12_000 / 20 && gone >= 48_000 / 20, "{replayed} {old} {gone}");
}

#[test]
fn a_frame_that_was_held_back_for_ten_seconds_does_not_open_and_is_told() {
    let wire = speak(&[(1, 0)], 0, 30_000);
    for (at, bytes) in wire.iter().step_by(7) {
        let ms = at.0 / 1000;
        let mut ear = Ear::new();
        ear.epoch(1, 0);
        assert_eq!(ear.hear(bytes, ms + 10_001), None);
        assert_eq!(ear.opener.stats().out_of_time, 1);
        assert_eq!(ear.opener.event().map(|event| event.reason), Some(Reason::OutOfTime));
        let mut ear = Ear::new();
        ear.epoch(1, 0);
        assert_eq!(ear.hear(bytes, ms + 5_999), Some(ms), "six seconds are forgiven");
    }
}

#[test]
fn frames_of_one_epoch_never_open_in_another() {
    // Same leaf, same counters, key ids that differ in the epoch alone, and two epochs that are alike modulo 256.
    let (one, two, far) = (speak(&[(1, 0)], 0, 100), speak(&[(2, 0)], 0, 100), speak(&[(257, 0)], 0, 100));
    let mut ear = Ear::new();
    ear.epoch(257, 0);
    assert!(one.iter().all(|(_, bytes)| ear.hear(bytes, 10).is_none()));
    assert_eq!(ear.opener.stats().tampered, 5, "same id, another key");
    assert!(far.iter().all(|(at, bytes)| ear.hear(bytes, 10) == Some(at.0 / 1000)));
    assert!(two.iter().all(|(_, bytes)| ear.hear(bytes, 10).is_none()), "held for epoch 258, which has other keys");
    ear.epoch(258, 0);
    assert!(ear.opener.released(Time::from_ms(20)).is_none());
    assert_eq!(ear.opener.stats().opened, 5);
}

#[test]
fn across_an_epoch_change_late_frames_of_the_old_one_open_for_four_seconds() {
    let wire = speak(&[(1, 0), (2, 10_000)], 9_000, 12_000);
    let mut ear = Ear::new();
    ear.epoch(1, 0);
    let (old, new): (Vec<_>, Vec<_>) = wire.iter().partition(|(at, _)| at.0 < 10_000_000);
    // The new epoch's key comes to this member 300 ms after the first frame under it.
    for (at, bytes) in new.iter().take(15) {
        assert_eq!(ear.hear(bytes, at.0 / 1000), None);
    }
    assert_eq!(ear.opener.stats().waiting, 15);
    ear.epoch(2, 10_000);
    let mut released = 0;
    while ear.opener.released(Time::from_ms(10_300)).is_some() {
        released += 1;
    }
    assert_eq!(released, 15, "what was held is heard");
    let (in_time, late) = old.split_at(old.len() / 2);
    assert!(in_time.iter().all(|(_, bytes)| ear.hear(bytes, 14_200).is_some()), "stragglers of the old epoch");
    assert!(in_time.iter().all(|(_, bytes)| ear.hear(bytes, 14_200).is_none()), "not twice");
    assert!(late.iter().all(|(_, bytes)| ear.hear(bytes, 14_300).is_none()), "and not for ever");
    assert!(new.iter().skip(15).all(|(_, bytes)| ear.hear(bytes, 14_300).is_some()));
    assert!(new.iter().all(|(_, bytes)| ear.hear(bytes, 14_301).is_none()), "nothing of the new one twice");
}

#[test]
fn a_flood_of_forged_frames_moves_nothing_and_silences_nobody() {
    // A second in which 100,000 forged frames name every step ahead up to 64, against 50 genuine ones.
    let mut wire = speak(&[(1, 0)], 20_000, 21_020);
    let (_, next) = wire.pop().unwrap();
    let mut ear = Ear::new();
    ear.epoch(1, 0);
    let mut rng = fastrand::Rng::with_seed(8);
    let (mut heard, mut events) = (0, 0);
    for (at, bytes) in &wire {
        let ms = at.0 / 1000;
        for _ in 0..2_000 {
            let id = KeyId { step: 5 + rng.u64(..=64), context: Context::of(AUDIO), leaf: 1, epoch: rng.u8(..) };
            let front = conclave::e2ee::header::Header { key_id: id.pack().unwrap(), counter: rng.u64(..) };
            let mut forged = [0; 17];
            let len = front.write(&mut forged);
            let body: [u8; 60] = std::array::from_fn(|_| rng.u8(..));
            assert_eq!(ear.hear(&[&forged[..len], &body].concat(), ms), None);
        }
        heard += usize::from(ear.hear(bytes, ms) == Some(ms));
        while ear.opener.event().is_some() {
            events += 1;
        }
    }
    assert_eq!(heard, wire.len(), "every genuine frame is heard");
    assert!(events <= 8, "{events} events in a second: one for each reason and second, not one a frame");
    let stats = ear.opener.stats();
    assert_eq!(stats.arrived, 100_000 + wire.len() as u64);
    assert!(stats.waiting <= 32, "{stats:?}");
    assert_eq!(ear.hear(&next, 21_000), Some(21_000), "the chains stand where the clock put them");
}
