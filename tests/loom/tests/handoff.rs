//! The interleavings of a sender and a receiver, up to five preemptions. A lost wake-up is a deadlock here, for the
//! receiver waits for ever.
//!
//! Each of these changes to the hand-off makes a test of this file fail:
//! - no second look (`pop`) between leaving the handle and parking,
//! - no second look (`has_news`) between announcing and parking in `wait_any`,
//! - the handle left by a store instead of a swap, or looked for by a load before the swap that takes it,
//! - `wake` called before the item is pushed, or not called on closing,
//! - `closed` read after the second look instead of before it.

use std::time::Duration;

use conclave_loom::control::Edge;
use conclave_loom::queue::{Awaited, Idle, Policy, Push, pair, wait_any};
use loom::thread;

const EVER: Duration = Duration::MAX;

#[test]
fn fifo_wakes_the_receiver_and_loses_nothing() {
    explore(|| {
        let (mut sender, mut receiver) = pair(Policy::Fifo(2));
        let gauge = sender.gauge();
        let thread = thread::spawn(move || {
            assert_eq!(sender.push(1), Push::Queued);
            assert_eq!(sender.push(2), Push::Queued);
            // Stays open, so that only the pushes can have woken the receiver.
            sender
        });
        assert_eq!(receiver.pop_wait(EVER), Ok(1));
        assert_eq!(receiver.pop_wait(EVER), Ok(2));
        drop(thread.join().unwrap());
        assert_eq!(receiver.pop_wait(EVER), Err(Idle::Closed));
        let counters = gauge.read();
        assert_eq!((counters.pushed, counters.popped, counters.dropped(), counters.depth), (2, 2, 0, 0));
    });
}

#[test]
fn fifo_refuses_only_what_has_no_room_and_keeps_the_order() {
    explore(|| {
        let (mut sender, mut receiver) = pair(Policy::Fifo(1));
        let thread = thread::spawn(move || [1, 2].map(|item| sender.push(item)));
        let mut taken = Vec::new();
        while let Ok(item) = receiver.pop_wait(EVER) {
            taken.push(item);
        }
        match thread.join().unwrap() {
            [Push::Queued, Push::Queued] => assert_eq!(taken, [1, 2]),
            [Push::Queued, Push::Refused(2)] => assert_eq!(taken, [1]),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn latest_hands_over_the_newest_and_each_item_once() {
    explore(|| {
        let (mut sender, mut receiver) = pair(Policy::Latest);
        let gauge = sender.gauge();
        let thread = thread::spawn(move || [1, 2].map(|item| sender.push(item)));
        let mut taken = Vec::new();
        while let Ok(item) = receiver.pop_wait(EVER) {
            taken.push(item);
        }
        match thread.join().unwrap() {
            [Push::Queued, Push::Queued] => assert_eq!(taken, [1, 2]),
            [Push::Queued, Push::Displaced(1)] => assert_eq!(taken, [2]),
            other => panic!("{other:?}"),
        }
        let counters = gauge.read();
        assert_eq!(counters.pushed, 2);
        assert_eq!((counters.popped + counters.displaced, counters.depth), (2, 0));
    });
}

#[test]
fn closing_wakes_the_receiver() {
    explore(|| {
        let (sender, mut receiver) = pair::<u8>(Policy::Latest);
        let thread = thread::spawn(move || drop(sender));
        assert_eq!(receiver.pop_wait(EVER), Err(Idle::Closed));
        thread.join().unwrap();
    });
}

#[test]
fn either_of_two_queues_wakes_their_receiver() {
    explore(|| {
        let (mut frames, mut frames_in) = pair(Policy::Fifo(1));
        let (mut feedback, mut feedback_in) = pair(Policy::Fifo(1));
        let first = thread::spawn(move || {
            assert_eq!(frames.push(1), Push::Queued);
            frames
        });
        let second = thread::spawn(move || {
            assert_eq!(feedback.push(2), Push::Queued);
            feedback
        });
        let mut sum = 0;
        while sum < 3 {
            assert!(wait_any([&frames_in as &dyn Awaited, &feedback_in], EVER));
            sum += frames_in.pop().unwrap_or(0) + feedback_in.pop().unwrap_or(0);
        }
        drop((first.join().unwrap(), second.join().unwrap()));
    });
}

#[test]
fn a_receiver_that_goes_leaves_no_item_behind() {
    explore(|| {
        let item = loom::sync::Arc::new(());
        let (mut sender, receiver) = pair(Policy::Fifo(1));
        let pushed = item.clone();
        let thread = thread::spawn(move || drop(sender.push(pushed)));
        drop(receiver);
        thread.join().unwrap();
        assert!(loom::sync::Arc::try_unwrap(item).is_ok(), "an item outlives both ends");
    });
}

#[test]
fn a_wish_is_in_this_answer_or_in_the_next() {
    explore(|| {
        let edge = Edge::new();
        let other = edge.clone();
        let thread = thread::spawn(move || {
            other.request_keyframe();
            other.set_bitrate(1);
            other.set_bitrate(2);
        });
        let first = edge.take();
        thread.join().unwrap();
        let second = edge.take();
        assert!(first.keyframe ^ second.keyframe);
        match (first.bitrate, second.bitrate) {
            (None | Some(1), Some(2)) | (Some(2), None) => {}
            other => panic!("{other:?}"),
        }
    });
}

/// Five preemptions bring out every mistake listed above in seconds; without a bound, two items take many minutes.
fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(5);
    builder.check(model);
}
