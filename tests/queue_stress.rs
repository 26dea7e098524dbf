//! Two threads hand numbered items over, with seeded pauses: nothing is lost uncounted, doubled or out of order.

use std::time::Duration;

use conclave::queue::{Counters, Idle, Policy, Push, pair};

const ITEMS: u64 = 200_000;
const LONG: Duration = Duration::from_secs(60);

/// What was taken, in order; how many came back to the sender; the counters after.
fn run(policy: Policy, seed: u64) -> (Vec<u64>, u64, Counters) {
    let (mut sender, mut receiver) = pair(policy);
    let gauge = sender.gauge();
    let thread = std::thread::spawn(move || {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut back = 0;
        for item in 0..ITEMS {
            back += u64::from(sender.push(item).returned().is_some());
            pause(&mut random);
        }
        back
    });
    let mut random = fastrand::Rng::with_seed(!seed);
    let mut taken = Vec::new();
    loop {
        match receiver.pop_wait(LONG) {
            Ok(item) => taken.push(item),
            Err(Idle::Closed) => break,
            Err(Idle::Empty) => panic!("the sender still pushes, and nothing comes"),
        }
        pause(&mut random);
    }
    (taken, thread.join().unwrap(), gauge.read())
}

/// Lets the other thread run at irregular places.
fn pause(random: &mut fastrand::Rng) {
    match random.u8(..) {
        0..4 => std::thread::yield_now(),
        4..40 => (0..random.u16(..400)).for_each(|_| std::hint::spin_loop()),
        _ => {}
    }
}

#[test]
fn every_item_is_taken_or_comes_back() {
    for (seed, policy) in [Policy::Latest, Policy::Fifo(1), Policy::Fifo(4), Policy::Fifo(256)].into_iter().enumerate()
    {
        let (taken, back, counters) = run(policy, seed as u64);
        assert!(taken.windows(2).all(|two| two[0] < two[1]), "{policy:?}: out of order");
        assert_eq!(taken.len() as u64 + back, ITEMS, "{policy:?}");
        assert_eq!((counters.popped, counters.dropped()), (taken.len() as u64, back), "{policy:?}");
        assert_eq!((counters.depth, counters.abandoned), (0, 0), "{policy:?}");
        assert_eq!(counters.pushed + counters.refused, ITEMS, "{policy:?}");
        if policy == Policy::Latest {
            assert_eq!(taken.last(), Some(&(ITEMS - 1)), "the newest picture is never the one that goes");
        }
    }
}

#[test]
fn an_end_can_be_moved_to_another_thread_between_items() {
    let (mut sender, mut receiver) = pair(Policy::Fifo(1));
    for item in 0..50 {
        let thread = std::thread::spawn(move || (receiver.pop_wait(LONG), receiver));
        assert_eq!(sender.push(item), Push::Queued);
        let (taken, back) = thread.join().unwrap();
        assert_eq!(taken, Ok(item));
        receiver = back;
    }
}
