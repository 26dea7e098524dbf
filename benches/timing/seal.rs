//! How long sealing a frame takes, up to the slowest of a thousand, beside the cipher alone.

use std::hint::black_box;
use std::time::Instant;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use conclave::codecs::EncodedInfo;
use conclave::e2ee::{Context, KeySource, Keyring, Sealer, keyring};
use conclave::frame::{Buffer, Encoded, Kind, Structure};
use conclave::ledger::Ledger;
use conclave::time::Time;

use crate::{epochs, nanos};

/// Calls in a row, so that each arm is warm; the first tenth is not counted.
const BLOCK: usize = 1000;

pub fn measure(quick: bool) {
    println!("sealing: times of a call, warm and in cache, the arms in turns of {BLOCK}");
    let header = ("p50 ns", "p99 ns", "p99.9 ns");
    println!("{:>8} {:<22} {:>9} {:>9} {:>9} {:>9}", "bytes", "", "n", header.0, header.1, header.2);
    for (kind, size, blocks) in [(Kind::Microphone, 160, 400), (Kind::Camera, 50 << 10, 100)] {
        let blocks = if quick { blocks / 50 } else { blocks };
        let (mut plain, mut proving, mut bare) = (sealer(kind), sealer(kind).with_proofs(), Bare::new());
        let mut times: [Vec<u32>; 3] = Default::default();
        let (payload, mut buffer) = (vec![0x55; size], Buffer::with_capacity(size));
        for _ in 0..blocks {
            for (arm, times) in times.iter_mut().enumerate() {
                for call in 0..BLOCK {
                    buffer.clear();
                    buffer.tail().extend_from_slice(&payload);
                    let nanos;
                    (buffer, nanos) = match arm {
                        0 => bare.seal(buffer),
                        1 => seal(&mut plain, kind, buffer),
                        _ => seal(&mut proving, kind, buffer),
                    };
                    if call >= BLOCK / 10 {
                        times.push(nanos);
                    }
                }
            }
        }
        for (name, times) in ["cipher alone", "`Sealer::seal`", "the same, with proofs"].into_iter().zip(&mut times) {
            times.sort_unstable();
            let at = |per_mille: usize| times[(times.len() * per_mille / 1000).min(times.len() - 1)];
            println!("{size:8} {name:<22} {:>9} {:9} {:9} {:9}", times.len(), at(500), at(990), at(999));
        }
    }
    println!();
}

/// With the keys of a group.
fn sealer(kind: Kind) -> Sealer {
    let (keeper, mut ring): (_, Keyring) = keyring();
    keeper.send(epochs::epoch(1, 1, 2, Time(0)).0, Time(0));
    ring.turn(Time(0));
    Sealer::new(&mut ring, Context::of(kind)).expect("a key")
}

fn seal(sealer: &mut Sealer, kind: Kind, payload: Buffer) -> (Buffer, u32) {
    let frame = Encoded {
        payload,
        info: EncodedInfo::default(),
        header: epochs::header(kind, 1),
        captured: Time(0),
        structure: Structure::default(),
        ledger: Ledger::default(),
    };
    let start = Instant::now();
    let sealed = black_box(sealer.seal(black_box(frame), Time(0)));
    let nanos = nanos(start);
    (sealed.expect("sealed").recycle(), nanos)
}

/// The cipher's library without an engine around it.
struct Bare(LessSafeKey, u64);

impl Bare {
    fn new() -> Self {
        Self(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[1; 32]).expect("a key")), 0)
    }

    fn seal(&mut self, mut payload: Buffer) -> (Buffer, u32) {
        self.1 += 1;
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&self.1.to_be_bytes());
        let start = Instant::now();
        let (nonce, data) = (Nonce::assume_unique_for_key(nonce), black_box(payload.as_mut_slice()));
        let tag = black_box(self.0.seal_in_place_separate_tag(nonce, Aad::from(&[0; 20]), data));
        let nanos = nanos(start);
        assert!(tag.is_ok());
        (payload, nanos)
    }
}
