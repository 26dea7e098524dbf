//! Stands in for `engine/sync.rs`: loom's primitives, and twins of what loom does not have.

use std::sync::Mutex;
use std::time::Duration;

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicUsize, fence};
use loom::thread::yield_now;

pub use loom::sync::Arc;
pub use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
pub use loom::thread::{Thread, current};

/// Endless: a lost wake-up then is a deadlock, which loom reports.
pub struct Patience;

impl Patience {
    /// Takes no notice of `_timeout`.
    pub fn new(_timeout: Duration) -> Self {
        Self
    }

    /// Parks until unparked.
    pub fn park(&self) -> bool {
        loom::thread::park();
        true
    }
}

/// An atomic word that says whether there is a value. The value itself lies outside the model, as what a pointer
/// points to does.
pub struct AtomicCell<T> {
    full: AtomicBool,
    value: Mutex<T>,
}

impl AtomicCell<Option<Thread>> {
    /// A cell; empty whatever `value` is, for a queue starts so.
    pub fn new(value: Option<Thread>) -> Self {
        Self { full: AtomicBool::new(value.is_some()), value: Mutex::new(value) }
    }

    /// Acquires and releases, as crossbeam's does. The former value is not needed.
    pub fn swap(&self, value: Option<Thread>) {
        let full = value.is_some();
        *self.value.lock().unwrap() = value;
        self.full.swap(full, Ordering::AcqRel);
    }

    /// Acquires and releases, as crossbeam's does.
    pub fn take(&self) -> Option<Thread> {
        let full = self.full.swap(false, Ordering::AcqRel);
        full.then(|| self.value.lock().unwrap().clone()).flatten()
    }
}

/// A ring whose slots carry stamps, with the orderings that crossbeam's documents and no stronger ones: position `p`
/// is free at stamp `2p` and taken at `2p + 1`.
pub struct ArrayQueue<T> {
    slots: Box<[Slot<T>]>,
    head: AtomicUsize,
    tail: AtomicUsize,
}

struct Slot<T> {
    stamp: AtomicUsize,
    value: UnsafeCell<Option<T>>,
}

// SAFETY: a slot's value is touched by the thread alone that moved `head` or `tail` over its position, between the
// acquiring load of the stamp and the releasing store; loom's cell reports it where this does not hold.
unsafe impl<T: Send> Sync for ArrayQueue<T> {}

impl<T> ArrayQueue<T> {
    /// A ring of `capacity` slots.
    pub fn new(capacity: usize) -> Self {
        let slot = |i| Slot { stamp: AtomicUsize::new(2 * i), value: UnsafeCell::new(None) };
        Self { slots: (0..capacity).map(slot).collect(), head: AtomicUsize::new(0), tail: AtomicUsize::new(0) }
    }

    /// Puts `item` last, or gives it back where there is no room.
    pub fn push(&self, item: T) -> Result<(), T> {
        loop {
            let tail = self.tail.load(Ordering::Relaxed);
            let slot = self.slot(tail);
            let stamp = slot.stamp.load(Ordering::Acquire);
            if stamp == 2 * tail {
                if self.advance(&self.tail, tail) {
                    slot.put(item);
                    slot.stamp.store(2 * tail + 1, Ordering::Release);
                    return Ok(());
                }
            } else if stamp + 2 * self.slots.len() == 2 * tail + 1 {
                fence(Ordering::SeqCst);
                if self.head.load(Ordering::Relaxed) + self.slots.len() == tail {
                    return Err(item);
                }
            }
            yield_now();
        }
    }

    /// Puts `item` last and returns the first where there was no room.
    pub fn force_push(&self, item: T) -> Option<T> {
        loop {
            let tail = self.tail.load(Ordering::Relaxed);
            let slot = self.slot(tail);
            let stamp = slot.stamp.load(Ordering::Acquire);
            if stamp == 2 * tail {
                if self.advance(&self.tail, tail) {
                    slot.put(item);
                    slot.stamp.store(2 * tail + 1, Ordering::Release);
                    return None;
                }
            } else if stamp + 2 * self.slots.len() == 2 * tail + 1 {
                fence(Ordering::SeqCst);
                if self.advance(&self.head, tail - self.slots.len()) {
                    self.tail.store(tail + 1, Ordering::SeqCst);
                    let old = slot.put(item);
                    slot.stamp.store(2 * tail + 1, Ordering::Release);
                    return old;
                }
            }
            yield_now();
        }
    }

    /// The first item.
    pub fn pop(&self) -> Option<T> {
        loop {
            let head = self.head.load(Ordering::Relaxed);
            let slot = self.slot(head);
            let stamp = slot.stamp.load(Ordering::Acquire);
            if stamp == 2 * head + 1 {
                if self.advance(&self.head, head) {
                    let item = slot.take();
                    slot.stamp.store(2 * (head + self.slots.len()), Ordering::Release);
                    return item;
                }
            } else if stamp == 2 * head {
                fence(Ordering::SeqCst);
                if self.tail.load(Ordering::Relaxed) == head {
                    return None;
                }
            }
            yield_now();
        }
    }

    /// No item is inside, at one instant of the call.
    pub fn is_empty(&self) -> bool {
        let head = self.head.load(Ordering::SeqCst);
        self.tail.load(Ordering::SeqCst) == head
    }

    fn slot(&self, position: usize) -> &Slot<T> {
        &self.slots[position % self.slots.len()]
    }

    fn advance(&self, end: &AtomicUsize, from: usize) -> bool {
        end.compare_exchange(from, from + 1, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    }
}

impl<T> Slot<T> {
    fn put(&self, item: T) -> Option<T> {
        // SAFETY: see the `Sync` above; the pointer does not leave the closure.
        self.value.with_mut(|value| unsafe { (*value).replace(item) })
    }

    fn take(&self) -> Option<T> {
        // SAFETY: see the `Sync` above; the pointer does not leave the closure.
        self.value.with_mut(|value| unsafe { (*value).take() })
    }
}
