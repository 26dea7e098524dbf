//! A flood of 100,000 forged frames a second on one stream, beside which its genuine frames come, once every 10 ms.

use conclave::e2ee::header::{self, MAX_LEN};
use conclave::e2ee::proof::{Policy, Prover};
use conclave::e2ee::{Context, KeyId, KeySource, Keyring, Opener, Sealer, keyring};
use conclave::frame::{Arrived, Buffer, Header, Kind};
use conclave::time::Time;

use crate::{ALLOCATIONS, LIVE, cpu_ms, epochs};

const PER_SECOND: usize = 100_000;
const TICK_MS: u64 = 10;
const PER_TICK: usize = PER_SECOND / 1000 * TICK_MS as usize;

/// What is wrong with a forged frame.
#[derive(Clone, Copy)]
enum Forged {
    /// Its key id is right and its tag is not.
    Tag,
    /// It names a key 64 ratchet steps ahead.
    StepsAhead,
    /// It names an epoch 64 ahead, which might come: the first of these wait for it.
    EpochsAhead,
    /// It names somebody who is not there.
    Leaf,
}

const KINDS: [(&str, Forged); 4] = [
    ("key right, tag wrong", Forged::Tag),
    ("64 steps ahead", Forged::StepsAhead),
    ("64 epochs ahead", Forged::EpochsAhead),
    ("of nobody there", Forged::Leaf),
];

const POLICIES: [(&str, Option<Policy>); 3] = [
    ("no proofs", None),
    ("render, then prove", Some(Policy::RenderThenProve)),
    ("prove, then render", Some(Policy::ProveThenRender)),
];

pub fn measure(quick: bool) {
    let seconds = if quick { 2 } else { 20 };
    println!("flood: {PER_SECOND} forged frames a second for {seconds} s beside 100 genuine ones on the same stream");
    println!(
        "{:>6} {:<22} {:<19} {:>8} {:>7} {:>8} {:>7} {:>7} {:>6} {:>8}",
        "bytes", "forged", "", "ns each", "core", "allocs", "growth", "genuine", "lost", "events/s"
    );
    for (kind, size) in [(Kind::Microphone, 160), (Kind::Camera, 1200)] {
        for (name, forged) in KINDS {
            for (policy_name, policy) in POLICIES {
                let seen = Flood::new(kind, policy).run(forged, size, seconds);
                let each = seen.cpu_ms * 1e6 / seen.forged as f64;
                println!(
                    "{size:6} {name:<22} {policy_name:<19} {each:8.0} {:6.2} % {:8.5} {:6} B {:7} {:6} {:8.1}",
                    each * PER_SECOND as f64 / 1e7,
                    seen.allocations as f64 / seen.forged as f64,
                    seen.growth,
                    seen.sent,
                    seen.sent - seen.shown,
                    seen.events as f64 / seconds as f64,
                );
            }
        }
    }
    println!(
        "growth: of memory from the end of the first second to that of the last; lost: genuine frames never shown\n"
    );
}

#[derive(Default)]
struct Seen {
    cpu_ms: f64,
    allocations: u64,
    growth: i64,
    forged: u64,
    sent: u64,
    shown: u64,
    events: u64,
}

/// Who sends, and who is flooded.
struct Flood {
    kind: Kind,
    opener: Opener<Keyring>,
    media: Sealer,
    data: Sealer,
    prover: Prover,
    ring: Keyring,
    seen: Seen,
}

impl Flood {
    fn new(kind: Kind, policy: Option<Policy>) -> Self {
        let (keeper, mut ring) = keyring();
        keeper.send(epochs::epoch(1, 1, 3, Time(0)).0, Time(0));
        ring.turn(Time(0));
        let mut sealer = |kind| Sealer::new(&mut ring, Context::of(kind)).expect("a key").with_proofs();
        let (media, data) = (sealer(kind), sealer(Kind::Data));
        let (keeper, opening) = keyring();
        keeper.open(epochs::epoch(1, 0, 3, Time(0)).1);
        let opener = Opener::new(opening);
        let opener = if let Some(policy) = policy { opener.with_proofs(policy) } else { opener };
        let prover = Prover::new(epochs::signer(1), policy.unwrap_or_default());
        Self { kind, opener, media, data, prover, ring, seen: Seen::default() }
    }

    fn run(mut self, forged: Forged, size: usize, seconds: u64) -> Seen {
        let mut rng = fastrand::Rng::with_seed(0xf100d);
        let noise: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(size + 16).collect();
        let mut buffers: Vec<Buffer> = (0..PER_TICK).map(|_| Buffer::with_capacity(size + 64)).collect();
        let (ticks, mut began) = (seconds * 1000 / TICK_MS, 0);
        for tick in 0..ticks {
            let now = Time::from_ms(tick * TICK_MS);
            if tick == 1000 / TICK_MS {
                began = LIVE.get();
            }
            for buffer in &mut buffers {
                forge(buffer, self.media.key_id(), forged, rng.u64(..1 << 20), &noise);
            }
            let header = epochs::header(self.kind, tick as u16);
            let (start, before) = (cpu_ms(), ALLOCATIONS.get());
            for buffer in &mut buffers {
                let payload = std::mem::take(buffer);
                let frame = Arrived { payload, header, packets: Default::default(), ledger: Default::default() };
                *buffer = match self.opener.open(frame, now) {
                    Ok(_) => panic!("a forgery is shown"),
                    Err(rejected) => rejected.payload,
                };
            }
            self.seen.cpu_ms += cpu_ms() - start;
            self.seen.allocations += ALLOCATIONS.get() - before;
            self.seen.forged += buffers.len() as u64;
            self.genuine(header, size, now);
            if tick + 1 == ticks {
                self.prove(true, now);
                self.seen.growth = LIVE.get() - began;
            }
        }
        self.seen
    }

    /// One genuine frame, and the proof where one is due.
    fn genuine(&mut self, header: Header, size: usize, now: Time) {
        let sealed = self.media.seal(epochs::encoded(header, &vec![7; size]), now).expect("sealed");
        let epoch = self.ring.sealing().expect("an epoch");
        self.prover.sealed(epoch, sealed.to_prove().expect("proves"), now);
        self.seen.sent += 1;
        self.arrive(header, sealed.as_slice(), now);
        self.prove(false, now);
        while self.opener.event().is_some() {
            self.seen.events += 1;
        }
        while self.opener.proof_event().is_some() {}
    }

    fn prove(&mut self, at_once: bool, now: Time) {
        let proof = if at_once { self.prover.flush(now) } else { self.prover.due(now) };
        if let Some(proof) = proof {
            let sealed = self.data.seal(epochs::encoded(epochs::header(Kind::Data, 0), proof), now).expect("sealed");
            // Without a policy a proof is a message of the data channel like another.
            let shown = self.seen.shown;
            self.arrive(*sealed.header(), sealed.as_slice(), now);
            self.seen.shown = shown;
        }
        while self.opener.released(now).is_some() {
            self.seen.shown += 1;
        }
    }

    fn arrive(&mut self, header: Header, bytes: &[u8], now: Time) {
        self.seen.shown += u64::from(self.opener.open(epochs::arrived(header, bytes), now).is_ok());
    }
}

fn forge(buffer: &mut Buffer, right: u64, forged: Forged, counter: u64, noise: &[u8]) {
    let mut id = KeyId::unpack(right);
    match forged {
        Forged::Tag => {}
        Forged::StepsAhead => id.step += 64,
        Forged::EpochsAhead => id.epoch += 64,
        Forged::Leaf => id.leaf = 900,
    }
    let mut head = [0; MAX_LEN];
    let len = header::Header { key_id: id.pack().expect("an id"), counter }.write(&mut head);
    buffer.clear();
    buffer.tail().extend_from_slice(&head[..len]);
    buffer.tail().extend_from_slice(noise);
}
