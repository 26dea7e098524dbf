//! No key meets a nonce twice: eight sealers on eight threads, three encodings of three layers, while keys move on by
//! the clock and epochs change at random.
//!
//! The cipher under the sealers is a witness that notes every key and nonce it is given. `CONCLAVE_SEALS` sets how many
//! frames are sealed; the long run is 100,000,000.

#[path = "support/epochs.rs"]
mod epochs;

use std::cell::RefCell;
use std::hash::{DefaultHasher, Hasher};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use conclave::e2ee::aead::{NONCE, Refused, TAG};
use conclave::e2ee::{Aead, Context, KeyError, KeySource, Sealer, Suite, keyring};
use conclave::frame::{Header, Kind};
use conclave::time::Time;

thread_local!(static SEEN: RefCell<Vec<u128>> = const { RefCell::new(Vec::new()) });

/// Encrypts nothing and notes everything.
struct Witness(Vec<u8>);

impl Aead for Witness {
    const NAME: &'static str = "witness";

    fn new(_suite: Suite, key: &[u8]) -> Option<Self> {
        Some(Self(key.to_vec()))
    }

    fn seal(&self, nonce: &[u8; NONCE], _aad: &[u8], _data: &mut [u8]) -> Result<[u8; TAG], Refused> {
        let half = |salt: u8| {
            let mut hasher = DefaultHasher::new();
            hasher.write_u8(salt);
            hasher.write(&self.0);
            hasher.write(nonce);
            u128::from(hasher.finish())
        };
        SEEN.with_borrow_mut(|seen| seen.push(half(1) << 64 | half(2)));
        Ok([0; TAG])
    }

    fn open(&self, _: &[u8; NONCE], _: &[u8], _: &mut [u8], _: &[u8; TAG]) -> Result<(), Refused> {
        Err(Refused)
    }
}

#[test]
fn no_key_meets_a_nonce_twice() {
    let seals: u64 = std::env::var("CONCLAVE_SEALS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let (keeper, mut ring) = keyring();
    keeper.send(epochs::epoch(1, 0, 2, Time(0)).0, Time(0));
    ring.turn(Time(0));
    let (group, clock) = (Mutex::new((keeper, ring, 1)), AtomicU64::new(0));

    let kinds = [Kind::Microphone, Kind::Camera, Kind::Screen, Kind::ScreenAudio, Kind::Data];
    let seal = &|context: Context| {
        let kind = kinds.into_iter().find(|kind| context.carries(*kind)).unwrap();
        let mut rng = fastrand::Rng::with_seed(u64::from(context.number()));
        let mut sealer = {
            // In one epoch: the next one has a sealer for each context again.
            let ring = &mut group.lock().unwrap().1;
            let sealer = Sealer::<Witness>::on_arm(ring, context).unwrap();
            let second = Sealer::<Witness>::on_arm(ring, context);
            assert_eq!(second.err(), Some(KeyError::Taken(context.number())));
            sealer
        };
        let (mut renewed, mut stepped, mut id) = (0, 0, sealer.key_id());
        for frame in 0..seals / 8 {
            let layer = (frame % 9) as u8;
            let header = Header { spatial: layer / 3, temporal: layer % 3, ..epochs::header(kind, frame as u16) };
            // A sealer may be told of new keys late, twice, or never in an epoch.
            if rng.u16(..) < 64 {
                let (keeper, ring, number) = &mut *group.lock().unwrap();
                let now = Time(clock.fetch_add(rng.u64(..2_000_000), Ordering::Relaxed));
                if rng.u8(..) < 32 {
                    *number += 1;
                    keeper.send(epochs::epoch(*number, 0, 2, now).0, now);
                }
                ring.turn(now);
                renewed += u64::from(sealer.renew(ring).unwrap());
            }
            let now = Time(clock.load(Ordering::Relaxed));
            sealer.seal(epochs::encoded(header, &[0; 8]), now).unwrap();
            stepped += u64::from(std::mem::replace(&mut id, sealer.key_id()) != sealer.key_id());
        }
        (SEEN.take(), renewed, stepped)
    };
    let all: Vec<_> = std::thread::scope(|scope| {
        let contexts = (0..8).filter_map(Context::new);
        let threads: Vec<_> = contexts.map(|context| scope.spawn(move || seal(context))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let epochs = group.lock().unwrap().2;
    let (renewed, stepped) = all.iter().fold((0, 0), |sum, (_, renewed, stepped)| (sum.0 + renewed, sum.1 + stepped));
    assert!(epochs > 8 && renewed > 8 && stepped > 8, "{epochs} epochs, {renewed} renewals, {stepped} changes of key");
    let mut pairs: Vec<u128> = all.into_iter().flat_map(|(seen, ..)| seen).collect();
    let count = pairs.len();
    assert_eq!(count as u64, seals / 8 * 8);
    pairs.sort_unstable();
    pairs.dedup();
    assert_eq!(pairs.len(), count, "pairs of key and nonce that repeat");
    println!("{count} seals, {epochs} epochs, {renewed} renewals, {stepped} changes of key: every pair is new");
}
