//! The hand-off of packets between threads, beside the bounded channel of the standard library.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use conclave::queue::{Policy, Push, pair};

use super::{Figure, Timing, spread, time};

/// As large as a packet.
type Item = [u8; 1504];

const ITEM: Item = [7; 1504];
const DEPTH: usize = 256;
const LONG: Duration = Duration::from_secs(60);

pub fn run(millis: u64, out: &mut Vec<Figure>) {
    let mut push = |operation: &str, arm: &str, timing: Timing| {
        let params = json!({"arm": arm, "operation": operation, "item_bytes": ITEM.len(), "depth": DEPTH});
        out.push(Figure::rate("queue", format!("{operation} on {arm}"), params, "items/s", 1.0, timing));
    };
    let (mut sender, mut receiver) = pair(Policy::Fifo(DEPTH));
    let timing = time(millis, || {
        let _ = sender.push(std::hint::black_box(ITEM));
        std::hint::black_box(receiver.pop());
    });
    push("push and pop on one thread", "conclave Fifo", timing);
    let (mut sender, mut receiver) = pair(Policy::Latest);
    let timing = time(millis, || {
        let _ = sender.push(std::hint::black_box(ITEM));
        std::hint::black_box(receiver.pop());
    });
    push("push and pop on one thread", "conclave Latest", timing);
    let (sender, receiver) = mpsc::sync_channel(DEPTH);
    let timing = time(millis, || {
        let _ = sender.try_send(std::hint::black_box(ITEM));
        let _ = std::hint::black_box(receiver.try_recv());
    });
    push("push and pop on one thread", "std::sync::mpsc", timing);

    push("stream between two threads", "conclave Fifo", stream(millis, ours));
    push("stream between two threads", "std::sync::mpsc", stream(millis, theirs));
}

/// Seconds an item when `count` of them go from one thread to another.
fn stream(millis: u64, run: impl Fn(u32) -> Duration) -> Timing {
    let (budget, count) = (Duration::from_millis(millis), 2_000);
    let (start, mut samples) = (Instant::now(), Vec::new());
    while samples.len() < 3 || start.elapsed() < budget {
        samples.push(run(count).as_secs_f64() / f64::from(count));
    }
    spread(&mut samples)
}

fn ours(count: u32) -> Duration {
    let (mut sender, mut receiver) = pair(Policy::Fifo(DEPTH));
    let popper = thread::spawn(move || while receiver.pop_wait(LONG).map(std::hint::black_box).is_ok() {});
    let start = Instant::now();
    for _ in 0..count {
        let mut item = ITEM;
        while let Push::Refused(back) = sender.push(item) {
            item = back;
            thread::yield_now();
        }
    }
    drop(sender);
    let _ = popper.join();
    start.elapsed()
}

fn theirs(count: u32) -> Duration {
    let (sender, receiver) = mpsc::sync_channel(DEPTH);
    let popper = thread::spawn(move || while receiver.recv_timeout(LONG).map(std::hint::black_box).is_ok() {});
    let start = Instant::now();
    for _ in 0..count {
        let mut item = ITEM;
        while let Err(mpsc::TrySendError::Full(back)) = sender.try_send(item) {
            item = back;
            thread::yield_now();
        }
    }
    drop(sender);
    let _ = popper.join();
    start.elapsed()
}
