//! The bounded hand-off of frames from one thread to another: one sender, one receiver, no lock.
//!
//! The items lie in an `ArrayQueue`. A receiver that finds none leaves its thread's handle, looks once more and parks;
//! a sender puts its item down first and then takes the handle. Both swap the same cell: whoever is second sees all that
//! the first did before, so that no wake-up is lost. `tests/loom` runs this file through the interleavings.

use std::sync::atomic::AtomicU64 as Count;
use std::time::Duration;

use crate::sync::{Arc, ArrayQueue, AtomicBool, AtomicCell, Ordering, Patience, Thread, current};

/// How many items wait, and which one goes when there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum Policy {
    /// One item waits; a newer one displaces it. For pictures on their way to an encoder or a screen.
    Latest,
    /// So many items wait, at least one; the newest is refused when there is no room. For frames and packets.
    Fifo(usize),
}

/// Opens a queue; dropping either end closes it.
pub fn pair<T: Send>(policy: Policy) -> (Sender<T>, Receiver<T>) {
    let capacity = match policy {
        Policy::Latest => 1,
        Policy::Fifo(capacity) => capacity.max(1),
    };
    let shared = Arc::new(Shared {
        items: ArrayQueue::new(capacity),
        waiter: AtomicCell::new(None),
        closed: AtomicBool::new(false),
    });
    let gauge = Gauge { capacity, tally: Default::default() };
    (Sender { shared: shared.clone(), policy, gauge: gauge.clone() }, Receiver { shared, gauge })
}

/// What became of a pushed item. Whatever did not stay in the queue comes back, so that its buffers can be reused.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a frame that comes back holds buffers, and a refused one breaks the chain of references"]
pub enum Push<T> {
    /// It waits for the receiver.
    Queued,
    /// It waits in the place of this older item ([`Policy::Latest`]).
    Displaced(T),
    /// There was no room for it ([`Policy::Fifo`]).
    Refused(T),
    /// The receiver is gone.
    Closed(T),
}

impl<T> Push<T> {
    /// The item that came back, the pushed one or the displaced one.
    pub fn returned(self) -> Option<T> {
        match self {
            Push::Queued => None,
            Push::Displaced(item) | Push::Refused(item) | Push::Closed(item) => Some(item),
        }
    }
}

/// Why a receiver got no item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Idle {
    /// Nothing came in time.
    #[error("nothing came in time; ask again")]
    Empty,
    /// Every item is out and the sender is gone.
    #[error("the sender is gone and every item has been taken; stop asking")]
    Closed,
}

/// The end that puts items in.
pub struct Sender<T: Send> {
    shared: Arc<Shared<T>>,
    policy: Policy,
    gauge: Gauge,
}

impl<T: Send> Sender<T> {
    /// Hands `item` over. Never waits, never allocates.
    pub fn push(&mut self, item: T) -> Push<T> {
        let tally = &self.gauge.tally.sender;
        if self.is_closed() {
            bump(&tally.refused);
            return Push::Closed(item);
        }
        let outcome = match self.policy {
            Policy::Latest => self.shared.items.force_push(item).map_or(Push::Queued, Push::Displaced),
            Policy::Fifo(_) => self.shared.items.push(item).map_or_else(Push::Refused, |()| Push::Queued),
        };
        match outcome {
            Push::Refused(_) | Push::Closed(_) => bump(&tally.refused),
            Push::Queued => bump(&tally.pushed),
            Push::Displaced(_) => {
                bump(&tally.pushed);
                bump(&tally.displaced);
            }
        }
        if !matches!(outcome, Push::Refused(_)) {
            self.shared.wake();
        }
        outcome
    }

    /// The receiver is gone: nothing pushed from now on arrives.
    pub fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::Acquire)
    }

    /// The counters, for any thread.
    pub fn gauge(&self) -> Gauge {
        self.gauge.clone()
    }
}

impl<T: Send> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        self.shared.wake();
    }
}

/// The end that takes items out, in the order in which they were put in.
pub struct Receiver<T: Send> {
    shared: Arc<Shared<T>>,
    gauge: Gauge,
}

impl<T: Send> Receiver<T> {
    /// The oldest item, without waiting.
    pub fn pop(&mut self) -> Option<T> {
        let item = self.shared.items.pop()?;
        bump(&self.gauge.tally.receiver.popped);
        Some(item)
    }

    /// The oldest item; parks the thread for up to `timeout` where there is none.
    pub fn pop_wait(&mut self, timeout: Duration) -> Result<T, Idle> {
        if let Some(item) = self.pop() {
            return Ok(item);
        }
        let result = self.wait(&Patience::new(timeout));
        self.shared.waiter.take();
        result
    }

    fn wait(&mut self, patience: &Patience) -> Result<T, Idle> {
        loop {
            self.shared.waiter.swap(Some(current()));
            // Read before the last look, so that an item pushed just before closing is not left behind.
            let closed = self.shared.closed.load(Ordering::Acquire);
            if let Some(item) = self.pop() {
                return Ok(item);
            }
            if closed {
                return Err(Idle::Closed);
            }
            if !patience.park() {
                return Err(Idle::Empty);
            }
        }
    }

    /// The sender is gone; items may still wait.
    pub fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::Acquire)
    }

    /// The counters, for any thread.
    pub fn gauge(&self) -> Gauge {
        self.gauge.clone()
    }
}

/// A receiving end, whatever its items: what [`wait_any`] waits for.
pub trait Awaited {
    /// An item waits, or the sender is gone.
    fn has_news(&self) -> bool;
    /// Leaves this thread's handle, so that the next news unparks it.
    fn announce(&self);
    /// Takes the handle back.
    fn withdraw(&self);
}

impl<T: Send> Awaited for Receiver<T> {
    fn has_news(&self) -> bool {
        self.is_closed() || !self.shared.items.is_empty()
    }

    fn announce(&self) {
        self.shared.waiter.swap(Some(current()));
    }

    fn withdraw(&self) {
        self.shared.waiter.take();
    }
}

/// Parks the thread until one of `queues` has news, for up to `timeout`; `false` where none has. A queue whose sender
/// is gone has news for ever: whoever has emptied it leaves it out.
pub fn wait_any<'a>(queues: impl IntoIterator<Item = &'a dyn Awaited, IntoIter: Clone>, timeout: Duration) -> bool {
    let queues = queues.into_iter();
    let has_news = || queues.clone().any(|queue| queue.has_news());
    if has_news() {
        return true;
    }
    let patience = Patience::new(timeout);
    let found = loop {
        queues.clone().for_each(|queue| queue.announce());
        if has_news() {
            break true;
        }
        if !patience.park() {
            break false;
        }
    };
    queues.for_each(|queue| queue.withdraw());
    found
}

impl<T: Send> Drop for Receiver<T> {
    /// Closes the queue and frees what waits in it. An item that is pushed at this very moment is freed with the
    /// sender.
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        while self.shared.items.pop().is_some() {
            bump(&self.gauge.tally.receiver.abandoned);
        }
    }
}

/// Reads the counters of one queue from any thread, also after both ends are gone.
#[derive(Clone, Debug)]
pub struct Gauge {
    capacity: usize,
    tally: std::sync::Arc<Tally>,
}

impl Gauge {
    /// The counters now. Each is exact; while both ends work, they are not of one instant.
    pub fn read(&self) -> Counters {
        let Tally { sender, receiver } = &*self.tally;
        // What left is read before what came, so that the depth does not fall below 0.
        let [displaced, popped, abandoned, pushed, refused] =
            [&sender.displaced, &receiver.popped, &receiver.abandoned, &sender.pushed, &sender.refused]
                .map(|count| count.load(Ordering::Relaxed));
        let depth = pushed.saturating_sub(displaced + popped + abandoned).min(self.capacity as u64);
        Counters { capacity: self.capacity as u64, depth, pushed, popped, displaced, refused, abandoned }
    }
}

/// The counters of one queue. At rest, `pushed` is `popped + displaced + abandoned + depth`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counters {
    /// Items that can wait.
    pub capacity: u64,
    /// Items that wait.
    pub depth: u64,
    /// Items that went in.
    pub pushed: u64,
    /// Items that the receiver took.
    pub popped: u64,
    /// Items that a newer one displaced ([`Policy::Latest`]).
    pub displaced: u64,
    /// Items that never went in, for want of room or of a receiver.
    pub refused: u64,
    /// Items that waited when the receiver went away.
    pub abandoned: u64,
}

impl Counters {
    /// Items that were lost here, whatever the cause.
    pub fn dropped(&self) -> u64 {
        self.displaced + self.refused + self.abandoned
    }
}

/// What both ends touch on the path of an item.
struct Shared<T> {
    items: ArrayQueue<T>,
    /// The thread to be unparked, while the receiver is about to park or parked.
    waiter: AtomicCell<Option<Thread>>,
    /// One end is gone. Whoever is left to read this knows which.
    closed: AtomicBool,
}

impl<T> Shared<T> {
    /// Called after the store that the receiver waits for. Swaps also where there is no handle: the receiver that
    /// leaves one next then sees the store.
    fn wake(&self) {
        if let Some(thread) = self.waiter.take() {
            thread.unpark();
        }
    }
}

/// Each half has one writer and lies on cache lines of its own.
#[derive(Debug, Default)]
struct Tally {
    sender: Sent,
    receiver: Received,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Sent {
    pushed: Count,
    displaced: Count,
    refused: Count,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Received {
    popped: Count,
    abandoned: Count,
}

/// Adds one to a counter that no other thread writes.
fn bump(count: &Count) {
    count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn latest_keeps_the_newest_and_returns_the_displaced() {
        let (mut sender, mut receiver) = pair(Policy::Latest);
        assert_eq!(sender.push(1), Push::Queued);
        assert_eq!(sender.push(2), Push::Displaced(1));
        assert_eq!(sender.push(3), Push::Displaced(2));
        assert_eq!((receiver.pop(), receiver.pop()), (Some(3), None));
        let counters = sender.gauge().read();
        assert_eq!((counters.pushed, counters.displaced, counters.popped, counters.depth), (3, 2, 1, 0));
        assert_eq!(counters.dropped(), 2);
    }

    #[test]
    fn fifo_keeps_the_order_and_refuses_the_newest() {
        let (mut sender, mut receiver) = pair(Policy::Fifo(2));
        assert_eq!([sender.push(1), sender.push(2)], [Push::Queued, Push::Queued]);
        assert_eq!(sender.push(3), Push::Refused(3));
        assert_eq!(receiver.gauge().read().depth, 2);
        assert_eq!(receiver.pop(), Some(1));
        assert_eq!(sender.push(4), Push::Queued);
        assert_eq!([receiver.pop(), receiver.pop(), receiver.pop()], [Some(2), Some(4), None]);
        assert_eq!(receiver.gauge().read().refused, 1);
    }

    #[test]
    fn a_capacity_of_zero_is_one() {
        let (mut sender, _receiver) = pair(Policy::Fifo(0));
        assert_eq!([sender.push(1), sender.push(2)], [Push::Queued, Push::Refused(2)]);
    }

    #[test]
    fn an_empty_queue_is_not_a_closed_one() {
        let (mut sender, mut receiver) = pair(Policy::Fifo(2));
        assert_eq!(receiver.pop_wait(Duration::ZERO), Err(Idle::Empty));
        assert_eq!(sender.push(7), Push::Queued);
        drop(sender);
        assert!(receiver.is_closed());
        assert_eq!(receiver.pop_wait(LONG), Ok(7));
        assert_eq!(receiver.pop_wait(LONG), Err(Idle::Closed));
    }

    #[test]
    fn what_waits_when_the_receiver_goes_is_freed_and_counted() {
        let item = std::sync::Arc::new(());
        let (mut sender, receiver) = pair(Policy::Fifo(4));
        assert_eq!([sender.push(item.clone()), sender.push(item.clone())], [Push::Queued, Push::Queued]);
        drop(receiver);
        assert_eq!(std::sync::Arc::strong_count(&item), 1);
        assert!(sender.is_closed());
        assert!(matches!(sender.push(item), Push::Closed(_)));
        let counters = sender.gauge().read();
        assert_eq!((counters.abandoned, counters.refused, counters.depth), (2, 1, 0));
    }

    #[test]
    fn one_of_several_queues_wakes_their_receiver() {
        let (mut first, mut firsts) = pair(Policy::Fifo(1));
        let (mut second, mut seconds) = pair(Policy::Fifo(1));
        let (mut answer, mut answers) = pair(Policy::Fifo(1));
        assert!(!wait_any([&firsts as &dyn Awaited, &seconds], Duration::ZERO));
        let thread = std::thread::spawn(move || {
            while wait_any([&firsts as &dyn Awaited, &seconds], LONG) {
                match firsts.pop().or_else(|| seconds.pop()) {
                    Some(item) => assert_eq!(answer.push(item), Push::Queued),
                    None if firsts.is_closed() => break,
                    None => {}
                }
            }
        });
        for item in 0..1000 {
            let sender = if item % 3 == 0 { &mut second } else { &mut first };
            assert_eq!(sender.push(item), Push::Queued);
            assert_eq!(answers.pop_wait(LONG), Ok(item));
        }
        drop(first);
        thread.join().unwrap();
    }

    #[test]
    fn a_parked_receiver_is_woken_by_an_item_and_by_closing() {
        let (mut sender, mut receiver) = pair(Policy::Fifo(1));
        let (mut answer, mut answers) = pair(Policy::Fifo(1));
        let thread = std::thread::spawn(move || {
            while let Ok(item) = receiver.pop_wait(LONG) {
                assert_eq!(answer.push(item), Push::Queued);
            }
        });
        for item in 0..1000 {
            assert_eq!(sender.push(item), Push::Queued);
            assert_eq!(answers.pop_wait(LONG), Ok(item));
        }
        drop(sender);
        thread.join().unwrap();
        assert_eq!(answers.pop_wait(LONG), Err(Idle::Closed));
    }
}
