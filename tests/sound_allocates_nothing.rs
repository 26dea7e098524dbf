//! Sound costs no allocation once it runs: neither in the callbacks of devices nor on the threads behind them. What the
//! test's own thread allocates is counted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use conclave::audio::active::Active;
use conclave::audio::intake::{self, intake};
use conclave::audio::mixer;
use conclave::audio::outlet::{self, outlet};
use conclave::audio::playout::Playout;
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

fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

#[test]
fn from_a_microphones_callback_to_a_speakers_nothing_is_allocated() {
    let (mut tap, mut intake) = intake(intake::Format { rate: 44_100, channels: 2, wanted: 1 }, Arc::default());
    let (mut drain, outlet) = outlet(outlet::Format { rate: 44_100, channels: 2, given: 1 });
    let mut playout = Playout::new(mixer::Config { channels: 1, seats: 16, voices: 4 }, Some(outlet));
    let seats = [(); 6].map(|()| playout.mixer().join().expect("room"));
    let mut active = Active::new();
    let (mut heard, mut samples, mut sum, mut packets) = ([0.0; 960], [0i16; 960], 0.0, 0);
    for n in 0..1_000u64 {
        // The first second fills what is filled once.
        if n == 100 {
            ALLOCATIONS.with(|count| count.set(0));
        }
        // Late, early, lost and made up for: every branch.
        let now = Time::from_ms(n * 10 + if n % 300 > 280 { 70 } else { 0 });
        if n % 97 != 0 {
            tap.hear((0..882).map(|i| (i as f32 / 50.0).sin() * 0.3), now);
        }
        while intake.fill(&mut heard).is_some() {
            packets += 1;
            samples.iter_mut().zip(&heard).for_each(|(out, sample)| *out = (sample * 32_767.0) as i16);
            for (who, seat) in seats.iter().enumerate() {
                playout.mixer().feed(*seat, &samples, 1);
                active.hear(who, -30.0, 20_000, now);
            }
        }
        active.look(now);
        playout.beat(now, &mut |pcm, _| sum += f64::from(pcm[0]));
        if n % 89 != 0 {
            drain.play(441, now, 3_000, |sample| sum += f64::from(sample));
        }
    }
    assert!(packets > 400 && sum != 0.0);
    assert_eq!(allocations(), 0);
}
