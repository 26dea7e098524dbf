//! After its first frame a sealer and an opener allocate nothing, on either arm; with a group's keys and proofs nothing
//! but what the library takes for a signature. What the test's own thread allocates is counted.

#[path = "support/epochs.rs"]
mod epochs;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use conclave::codecs::EncodedInfo;
use conclave::e2ee::proof::{Policy, Prover};
use conclave::e2ee::{Aead, AesGcm, AwsLc, Context, KeySource, Opener, Sealer, StaticKeys, keyring};
use conclave::frame::{Arrived, Buffer, Encoded, Header, Kind, Structure};
use conclave::ledger::Ledger;
use conclave::time::Time;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn frames_are_sealed_and_opened_in_the_buffers_they_came_in() {
    assert_eq!(allocations::<AwsLc>(), 0);
    assert_eq!(allocations::<AesGcm>(), 0);
    let (count, signatures) = proven();
    assert!(signatures >= 8, "{signatures}");
    assert_eq!(count, signatures * PER_SIGNATURE);
}

/// Allocations of aws-lc-rs for a signature: the 64 bytes of it.
const PER_SIGNATURE: u64 = 1;

/// Allocations, and signatures made, over the second half of a ratchet step with the keys of a group and proofs.
fn proven() -> (u64, u64) {
    let ((keeper, mut sending), (ear, receiving)) = (keyring(), keyring());
    let (send, _) = epochs::epoch(1, 1, 2, Time(0));
    let epoch = send.epoch().clone();
    keeper.send(send, Time(0));
    ear.open(epochs::epoch(1, 0, 2, Time(0)).1);
    sending.turn(Time(0));
    let mut camera = Sealer::new(&mut sending, Context::of(Kind::Camera)).unwrap().with_proofs();
    let mut data = Sealer::new(&mut sending, Context::of(Kind::Data)).unwrap().with_proofs();
    let mut prover = Prover::new(epochs::signer(1), Policy::default());
    let mut opener = Opener::new(receiving).with_proofs(Policy::default());
    let header = Header { stream: 1, kind: Kind::Camera, spatial: 0, temporal: 0, template_id: 0, frame_number: 0 };
    let (mut buffer, mut arriving) = (Buffer::with_capacity(4000), Buffer::with_capacity(5000));
    let (mut before, mut signatures) = (0, 0);
    for n in 0..395u64 {
        if n == 200 {
            (before, signatures) = (ALLOCATIONS.get(), 0);
        }
        let now = Time::from_ms(n * 10);
        let mut pass = |mut buffer: Buffer, sealer: &mut Sealer, header: Header, content: &[u8]| {
            buffer.tail().extend_from_slice(content);
            let (info, structure, ledger) = (EncodedInfo::default(), Structure::default(), Ledger::default());
            let frame = Encoded { payload: buffer, info, header, captured: now, structure, ledger };
            let sealed = sealer.seal(frame, now).ok().unwrap();
            let to_prove = sealed.to_prove().unwrap();
            let mut payload = std::mem::take(&mut arriving);
            payload.tail().extend_from_slice(sealed.as_slice());
            let opened = opener.open(Arrived { payload, header, packets: Default::default(), ledger }, now);
            let shown = opened.is_ok();
            arriving = opened.map_or_else(|rejected| rejected.payload, |opened| opened.payload);
            arriving.clear();
            assert!(opener.released(now).is_none());
            (sealed.recycle(), to_prove, shown)
        };
        let (again, to_prove, shown) = pass(buffer, &mut camera, header, b"a picture");
        assert!(shown, "frame {n}");
        prover.sealed(&epoch, to_prove, now);
        buffer = again;
        if let Some(proof) = prover.due(now) {
            signatures += 1;
            let header = Header { stream: 2, kind: Kind::Data, ..header };
            (buffer, ..) = pass(buffer, &mut data, header, proof);
        }
    }
    assert_eq!(opener.stats().proofs, opener.verifiers().next().unwrap().1.stats().proofs);
    (ALLOCATIONS.get() - before, signatures)
}

/// Allocations of 1000 frames of up to 4000 bytes, after one.
fn allocations<A: Aead>() -> u64 {
    let mut keys = StaticKeys::new(&[3; 32], 1).unwrap();
    let mut sealer = Sealer::<A>::on_arm(&mut keys, Context::of(Kind::Camera)).unwrap();
    let mut keys = StaticKeys::new(&[3; 32], 0).unwrap();
    keys.admit(1).unwrap();
    let mut opener = Opener::<_, A>::on_arm(keys);
    let header = Header { stream: 1, kind: Kind::Camera, spatial: 0, temporal: 0, template_id: 0, frame_number: 0 };

    let mut before = 0;
    let (mut sending, mut arriving) = (Buffer::with_capacity(4000), Buffer::with_capacity(5000));
    for n in 0..1001usize {
        if n == 1 {
            before = ALLOCATIONS.get();
        }
        let len = n * 4 % 4001;
        let tail = sending.tail();
        tail.resize(tail.len() + len, n as u8);
        let (info, structure, ledger) = (EncodedInfo::default(), Structure::default(), Ledger::default());
        let frame = Encoded { payload: sending, info, header, captured: Time(0), structure, ledger };
        let Ok(sealed) = sealer.seal(frame, Time(0)) else { panic!("frame {n} was not sealed") };
        arriving.tail().extend_from_slice(sealed.as_slice());
        sending = sealed.recycle();
        let Ok(opened) =
            opener.open(Arrived { payload: arriving, header, packets: Default::default(), ledger }, Time(0))
        else {
            panic!("frame {n} was not opened")
        };
        assert_eq!(opened.payload.len(), len);
        arriving = opened.payload;
        arriving.clear();
    }
    ALLOCATIONS.get() - before
}
