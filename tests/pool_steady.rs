//! Once warm, queues and pools allocate nothing, whichever way a buffer goes round.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use conclave::codecs::{Color, Picture, Size};
use conclave::frame::Buffer;
use conclave::ledger::{Ledger, Stage};
use conclave::pool::Pool;
use conclave::queue::{Policy, Push, pair};
use conclave::stats::{Cause, Drops, Series, StageStats};
use conclave::time::Time;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: everything is handed to the system's allocator as it comes; counting touches a plain cell of the thread.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
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

/// Allocations of this thread while `work` runs.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);
}

#[test]
fn a_buffer_goes_round_without_an_allocation() {
    let pool = Pool::new(4, || Buffer::with_capacity(8000));
    pool.fill();
    let (mut sender, mut receiver) = pair(Policy::Fifo(2));
    let mut round = || {
        let mut buffer = pool.take();
        buffer.tail().extend_from_slice(&[1; 8000]);
        assert!(buffer.prepend(&[2; 17]));
        if let Some(back) = sender.push(buffer).returned() {
            pool.give(back);
        }
        if let Ok(buffer) = receiver.pop_wait(Duration::ZERO) {
            pool.give(buffer);
        }
        // Nothing waits: the receiver leaves its handle and looks twice.
        assert!(receiver.pop_wait(Duration::ZERO).is_err());
    };
    round();
    assert_eq!(allocations(|| (0..1000).for_each(|_| round())), 0);
    let counters = pool.counters();
    assert_eq!((counters.misses, counters.spilled, counters.resting), (0, 0, 4));
}

#[test]
fn a_displaced_picture_finds_its_way_back() {
    let (size, color) = (Size::new(64, 36), Color::default());
    let pool = Pool::new(2, move || Picture::new(size, color));
    pool.fill();
    let (mut sender, mut receiver) = pair(Policy::Latest);
    let mut round = || {
        for _ in 0..3 {
            let mut picture = pool.take();
            picture.reset(size, color);
            if let Push::Displaced(old) = sender.push(picture) {
                pool.give(old);
            }
        }
        pool.give(receiver.pop().expect("the newest waits"));
    };
    assert_eq!(allocations(|| (0..1000).for_each(|_| round())), 0);
    assert_eq!((pool.counters().misses, pool.counters().resting), (0, 2));
    assert_eq!(receiver.gauge().read().displaced, 2000);
}

#[test]
fn recording_statistics_does_not_allocate() {
    let (mut stats, mut drops, mut series) = (StageStats::new(), Drops::default(), Series::new(1000, 64));
    let count = allocations(|| {
        for i in 0..10_000 {
            let mut ledger = Ledger::default();
            ledger.stamp(Stage::Capture, Time(i));
            ledger.stamp(Stage::Render, Time(i * 20_000));
            stats.record(&ledger);
            drops.count(Cause::Late);
            series.record(Time(i * 1000), i as f64);
        }
    });
    assert_eq!(count, 0);
    assert_eq!(stats.latency().total.map(|total| total.count), Some(10_000));
}
