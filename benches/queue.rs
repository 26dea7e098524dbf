//! The hand-off between threads beside the channels of crossbeam and of the standard library.
//!
//! `alone` is one push and one pop on one thread: the bare cost. `stream` is the time of an item when one thread
//! pushes and another pops as fast as they can. `round_trip` hands an item to a parked thread and waits, parked, for
//! it to come back: two wake-ups. An item is as large as a packet. Compare the arms within one run only.

use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use conclave::queue::{Policy, Push, pair};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

type Item = [u8; 1504];

const ITEM: Item = [7; 1504];
const DEPTH: usize = 256;
const LONG: Duration = Duration::from_secs(60);

fn alone(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("queue/alone");
    group.throughput(Throughput::Elements(1));
    group.bench_function("conclave_fifo", |bencher| {
        let (mut sender, mut receiver) = pair(Policy::Fifo(DEPTH));
        bencher.iter(|| {
            let _ = sender.push(black_box(ITEM));
            receiver.pop()
        });
    });
    group.bench_function("conclave_latest", |bencher| {
        let (mut sender, mut receiver) = pair(Policy::Latest);
        bencher.iter(|| {
            let _ = sender.push(black_box(ITEM));
            receiver.pop()
        });
    });
    group.bench_function("crossbeam_channel", |bencher| {
        let (sender, receiver) = crossbeam::channel::bounded(DEPTH);
        bencher.iter(|| {
            let _ = sender.try_send(black_box(ITEM));
            receiver.try_recv()
        });
    });
    group.bench_function("std_mpsc", |bencher| {
        let (sender, receiver) = std::sync::mpsc::sync_channel(DEPTH);
        bencher.iter(|| {
            let _ = sender.try_send(black_box(ITEM));
            receiver.try_recv()
        });
    });
    group.finish();
}

fn stream(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("queue/stream");
    group.throughput(Throughput::Elements(1));
    group.bench_function("conclave_fifo", |bencher| {
        bencher.iter_custom(|count| {
            let (mut sender, mut receiver) = pair(Policy::Fifo(DEPTH));
            let thread = thread::spawn(move || drain(|| receiver.pop_wait(LONG).ok()));
            let start = Instant::now();
            for _ in 0..count {
                let mut item = ITEM;
                while let Push::Refused(back) = sender.push(item) {
                    item = back;
                    thread::yield_now();
                }
            }
            drop(sender);
            assert_eq!(thread.join().unwrap(), count);
            start.elapsed()
        });
    });
    group.bench_function("crossbeam_channel", |bencher| {
        bencher.iter_custom(|count| {
            let (sender, receiver) = crossbeam::channel::bounded(DEPTH);
            let thread = thread::spawn(move || drain(|| receiver.recv_timeout(LONG).ok()));
            let start = Instant::now();
            for _ in 0..count {
                let mut item = ITEM;
                while let Err(back) = sender.try_send(item) {
                    item = back.into_inner();
                    thread::yield_now();
                }
            }
            drop(sender);
            assert_eq!(thread.join().unwrap(), count);
            start.elapsed()
        });
    });
    group.bench_function("std_mpsc", |bencher| {
        bencher.iter_custom(|count| {
            let (sender, receiver) = std::sync::mpsc::sync_channel(DEPTH);
            let thread = thread::spawn(move || drain(|| receiver.recv_timeout(LONG).ok()));
            let start = Instant::now();
            for _ in 0..count {
                let mut item = ITEM;
                while let Err(std::sync::mpsc::TrySendError::Full(back)) = sender.try_send(item) {
                    item = back;
                    thread::yield_now();
                }
            }
            drop(sender);
            assert_eq!(thread.join().unwrap(), count);
            start.elapsed()
        });
    });
    group.finish();
}

fn round_trip(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("queue/round_trip");
    group.bench_function("conclave_latest", |bencher| {
        let (mut sender, mut receiver) = pair::<Item>(Policy::Latest);
        let (mut answer, mut answers) = pair(Policy::Latest);
        let thread = thread::spawn(move || {
            while let Ok(item) = receiver.pop_wait(LONG) {
                let _ = answer.push(item);
            }
        });
        bencher.iter(|| {
            let _ = sender.push(black_box(ITEM));
            answers.pop_wait(LONG)
        });
        drop(sender);
        thread.join().unwrap();
    });
    group.bench_function("crossbeam_channel", |bencher| {
        let (sender, receiver) = crossbeam::channel::bounded::<Item>(1);
        let (answer, answers) = crossbeam::channel::bounded(1);
        let thread = thread::spawn(move || {
            while let Ok(item) = receiver.recv_timeout(LONG) {
                let _ = answer.send(item);
            }
        });
        bencher.iter(|| {
            let _ = sender.send(black_box(ITEM));
            answers.recv_timeout(LONG)
        });
        drop(sender);
        thread.join().unwrap();
    });
    group.bench_function("std_mpsc", |bencher| {
        let (sender, receiver) = std::sync::mpsc::sync_channel::<Item>(1);
        let (answer, answers) = std::sync::mpsc::sync_channel(1);
        let thread = thread::spawn(move || {
            while let Ok(item) = receiver.recv_timeout(LONG) {
                let _ = answer.send(item);
            }
        });
        bencher.iter(|| {
            let _ = sender.send(black_box(ITEM));
            answers.recv_timeout(LONG)
        });
        drop(sender);
        thread.join().unwrap();
    });
    group.finish();
}

/// Pops until the sender is gone; returns how many came.
fn drain(mut pop: impl FnMut() -> Option<Item>) -> u64 {
    let mut count = 0;
    while let Some(item) = pop() {
        black_box(item);
        count += 1;
    }
    count
}

criterion_group!(benches, alone, stream, round_trip);
criterion_main!(benches);
