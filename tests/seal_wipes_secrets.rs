//! No block of memory goes back to the allocator with a key in it. The only test of this program, so that no other
//! thread frees anything. Memory that AWS-LC allocates itself is not seen here; it is overwritten by the library.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use conclave::e2ee::sframe::{Opener, Sealer};
use conclave::e2ee::{Aead, AesGcm, AwsLc, BaseKey, Context, KeySource, OpenKey, SealKey, StaticKeys, Suite};
use conclave::frame::Buffer;

struct Watching;

static FOUND: AtomicU64 = AtomicU64::new(0);

/// What is looked for: the start of a second base key; of the key and of the salt of RFC 9605's suite 5 vector; of its
/// base key, which is that of the static secret too; of the sender root and of the base key that follow from the latter.
const NEEDLES: [[u8; 8]; 6] = [
    [0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47],
    [0xd3, 0xe2, 0x7b, 0x0d, 0x4a, 0x5a, 0xe9, 0xe5],
    [0x84, 0x99, 0x1c, 0x16, 0x7b, 0x8c, 0xd2, 0x3c],
    [0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07],
    [0x59, 0xa6, 0x4d, 0x0b, 0xc7, 0xf0, 0x45, 0xf6],
    [0x28, 0x80, 0x8d, 0xb3, 0x7d, 0x49, 0xef, 0xd9],
];

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc`; zeroed, so that a later look reads initialised bytes.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the block is alive and was initialised when it was made.
        let bytes = unsafe { std::slice::from_raw_parts(at, layout.size()) };
        let found = NEEDLES.iter().filter(|needle| bytes.windows(8).any(|part| part == *needle)).count();
        FOUND.fetch_add(found as u64, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static WATCHING: Watching = Watching;

#[test]
fn keys_are_overwritten_before_their_memory_is_given_back() {
    // A plain copy is found: the watch works.
    for needle in NEEDLES {
        drop(std::hint::black_box(needle.to_vec()));
    }
    assert_eq!(FOUND.swap(0, Ordering::Relaxed), NEEDLES.len() as u64);

    use_and_drop::<AwsLc>();
    use_and_drop::<AesGcm>();
    let secret: [u8; 48] = std::array::from_fn(|n| n as u8);
    let mut keys = StaticKeys::new(&secret, 3).unwrap().in_epoch(21);
    drop(keys.sending(Context::new(2).unwrap()).unwrap());
    drop(keys);
    // A frame that is dropped on its way: what it held goes too, where its content was cut off as well.
    let mut frame = Buffer::with_capacity(100);
    NEEDLES.iter().for_each(|needle| frame.tail().extend_from_slice(needle));
    frame.truncate(3);
    drop(std::hint::black_box(frame));
    assert_eq!(FOUND.load(Ordering::Relaxed), 0);
}

fn use_and_drop<A: Aead>() {
    let base: [u8; 16] = std::array::from_fn(|n| n as u8);
    let base = BaseKey::new(&base).unwrap();
    let mut sealer = Sealer::<A>::new(SealKey::derive(Suite::Aes256GcmSha512, 0x123, &base).unwrap());
    let mut opener = Opener::<A>::new(OpenKey::derive(Suite::Aes256GcmSha512, 0x123, &base).unwrap());
    let mut buffer = Buffer::with_capacity(100);
    sealer.seal(b"", &mut buffer).unwrap();
    opener.open(b"", &mut buffer).unwrap();
    let other = BaseKey::new(&std::array::from_fn::<u8, 32, _>(|n| 0x40 + n as u8)).unwrap();
    drop((base, other));
}
