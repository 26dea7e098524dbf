//! Promise P5: once warm, a meeting allocates nothing, from `Raw` to `Packet` and from packet to the decoder's input,
//! while the network loses, reorders, doubles and damages packets and NACK, retransmission and RTCP go round. What
//! lies inside a codec is not promised; the doubles allocate nothing either, so here it is counted too.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use conclave::codecs::{Color, Picture, Size};
use conclave::frame::{Encoded, Kind};
use conclave::gpu::{Converter, Fit, Format, Lift, Prefer, Prepare, Rect, Source, Strength};
use conclave::ledger::Ledger;
use conclave::netem;
use conclave::receive::Heard;
use conclave::rehearsal::{Observer, Rehearsal};
use conclave::time::Time;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static TRAP: Cell<bool> = const { Cell::new(false) };
}

// SAFETY: everything is handed to the system's allocator as it comes; counting touches plain cells of the thread.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // Says where an allocation is, once: `CONCLAVE_TRAP=1 cargo test … -- --nocapture`.
        if TRAP.try_with(|trap| trap.replace(false)).unwrap_or(false) {
            eprintln!("{}", std::backtrace::Backtrace::force_capture());
        }
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`, and `pointer` came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Counts frames and nothing else.
#[derive(Default)]
struct Counter {
    sent: u64,
    shown: u64,
    heard: u64,
}

impl Observer for Counter {
    fn captured(&mut self, _: u64, _: &Picture) {}

    fn encoded(&mut self, _: &Encoded, _: Option<&Picture>) {}

    fn sent(&mut self, _: Kind, _: u64, _: &Ledger, _: usize, _: Time) {
        self.sent += 1;
    }

    fn shown(&mut self, _: u64, _: &Picture, _: &Ledger, _: Time) {
        self.shown += 1;
    }

    fn heard(&mut self, _: &[i16], heard: Heard, _: Time) {
        self.heard += u64::from(heard != Heard::Nothing);
    }
}

/// Allocations of the thread while the meeting goes on to `until`.
fn allocations(meeting: &mut Rehearsal, until: Time, counter: &mut Counter) -> u64 {
    let before = ALLOCATIONS.get();
    TRAP.set(std::env::var_os("CONCLAVE_TRAP").is_some());
    let before = before.max(ALLOCATIONS.get());
    assert!(meeting.run(until, counter).expect("plays"));
    TRAP.set(false);
    ALLOCATIONS.get() - before
}

#[test]
fn a_meeting_over_a_bad_network_allocates_nothing_once_warm() {
    for seed in 0..3 {
        // Outages of half a second, which only a key frame ends.
        let burst = Some(netem::Burst { enter: 0.0005, leave: 0.01, loss: 0.95 });
        let mut meeting = support::meeting(200, netem::Config { burst, ..support::bad(seed) });
        let mut counter = Counter::default();
        allocations(&mut meeting, Time::from_ms(60_000), &mut counter);
        let (warm, before) = (meeting.cast().receiver.snapshot(), counter.sent);
        assert_eq!(allocations(&mut meeting, Time::from_ms(180_000), &mut counter), 0, "seed {seed}");
        // All that was promised to be in the loop was.
        let seen = meeting.cast().receiver.snapshot();
        let (up, _) = meeting.networks();
        assert!(counter.sent - before > 9_000 && counter.shown > 4_000 && counter.heard > 8_900, "seed {seed}");
        assert!(seen.video_nack.repaired > warm.video_nack.repaired && seen.audio.fec > warm.audio.fec);
        assert!(seen.receiver.keyframe_requests > warm.receiver.keyframe_requests && seen.receiver.reports > 300);
        assert!(seen.open.tampered > warm.open.tampered && meeting.cast().sender.stats().resent > 0);
        assert!(up.stats().reordered > 0 && up.stats().duplicated > 0 && up.stats().corrupted > 0);
    }
}

/// Allocations of each of 20 conversions from `source` bytes of 320 × 240 RGBA to 160 × 120, after 5.
fn conversions(converter: &mut Converter) -> Vec<u64> {
    let (size, target, color) = (Size::new(320, 240), Size::new(160, 120), Color::default());
    let (data, mut out) = (vec![100; Format::Rgba.len(size)], Picture::new(target, color));
    let mut counts = Vec::with_capacity(25);
    for _ in 0..25 {
        let before = ALLOCATIONS.get();
        let source = Source { format: Format::Rgba, size, color, data: &data };
        converter.convert(source, target, color, None, &mut out).expect("converts");
        counts.push(ALLOCATIONS.get() - before);
    }
    counts.split_off(5)
}

#[test]
fn converting_and_scaling_on_the_cpu_allocates_nothing() {
    assert!(conversions(&mut Converter::cpu()).iter().all(|count| *count == 0));
}

#[test]
fn preparing_on_the_cpu_allocates_nothing() {
    let crop = Some(Rect { x: 10, y: 10, width: 200, height: 100 });
    let (denoise, lift) = (Some(Strength::Medium), Lift::Strong);
    let mut converter = Converter::cpu();
    converter.set_prepare(Prepare { mirror: true, crop, fit: Fit::Bars, denoise, lift });
    assert!(conversions(&mut converter).iter().all(|count| *count == 0));
}

#[test]
fn what_converting_on_an_adapter_allocates_is_wgpus_own_and_does_not_grow() {
    let Ok(mut converter) = Converter::open(Prefer::Gpu) else {
        return println!("skipped: no adapter");
    };
    let counts = conversions(&mut converter);
    println!("{}: wgpu allocates {counts:?} times a picture", converter.device());
    assert!(counts.iter().max() <= Some(&200), "{counts:?}");
}
