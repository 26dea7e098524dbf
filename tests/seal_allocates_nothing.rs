//! After its first frame a sealer and an opener allocate nothing, on either arm. The only test of this program, so that
//! no other thread is counted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use conclave::codecs::EncodedInfo;
use conclave::e2ee::{Aead, AesGcm, AwsLc, Context, Opener, Sealer, StaticKeys};
use conclave::frame::{Arrived, Buffer, Encoded, Header, Kind, Structure};
use conclave::ledger::Ledger;
use conclave::time::Time;

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
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
            before = ALLOCATIONS.load(Ordering::Relaxed);
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
    ALLOCATIONS.load(Ordering::Relaxed) - before
}
