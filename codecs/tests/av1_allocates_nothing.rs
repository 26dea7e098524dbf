//! After its first frames the encoder allocates nothing, for key frames and others, whatever they cost. It works on the
//! thread that asks, whose allocations are counted.

mod av1_support;
mod encoder_support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use conclave_codecs::av1::encoder::Encoder;
use conclave_codecs::{Config, FrameInput, Size, Target, VideoEncoder};
use encoder_support::Scene;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged; counting touches a plain cell of the thread.
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
fn frames_are_encoded_in_the_memory_of_those_before() {
    let cases = [
        (Size::new(176, 144), Target::Bitrate(200_000), 120),
        (Size::new(322, 182), Target::Quantizer(180), 120),
        // Two tiles.
        (Size::new(800, 640), Target::Bitrate(500_000), 16),
    ];
    for (size, target, frames) in cases {
        assert_eq!(allocations(size, target, frames), 0, "{size} at {target:?}");
    }
}

/// Allocations of so many frames after the first six, key frames and a higher bitrate among them.
fn allocations(size: Size, target: Target, frames: usize) -> u64 {
    let mut encoder = Encoder::open(Config { size, target, threads: 1, ..Config::default() }).expect("opens");
    let mut scene = Scene::new(31, 3);
    let mut picture = scene.picture(size, 0);
    let mut shown = picture.clone();
    let mut unit = Vec::with_capacity(8 * size.area());
    let mut counted = 0;
    for n in 0..frames + 6 {
        // From nothing to see to more than anybody shows.
        scene.noise = if n > frames / 2 { 120 } else { 3 };
        if n % 20 == 19 || n == 3 {
            encoder.request_keyframe();
        }
        scene.paint(&mut picture, n);
        let before = ALLOCATIONS.get();
        if n == frames / 3 && matches!(target, Target::Bitrate(_)) {
            encoder.set_bitrate(20_000_000).expect("a bitrate");
        }
        encoder.submit(&picture, FrameInput { frame: n as u64, keyframe: false }).expect("agreed");
        unit.clear();
        encoder.poll(&mut unit).expect("a frame or none");
        assert!(encoder.reconstruction(&mut shown));
        if n >= 6 {
            counted += ALLOCATIONS.get() - before;
        }
    }
    counted
}
