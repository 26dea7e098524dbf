//! Shelves of reusable buffers and pictures: bounded, lock-free, so that a session in its stride does not allocate.
//!
//! An item travels as itself, not as a guard: a frame's buffer changes hands from encoder to packetizer, and whoever
//! ends its way gives it back. An item that is never given back is merely freed, and the next taker makes a new one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use conclave_codecs::Picture;
use crossbeam::queue::ArrayQueue;

use crate::frame::Buffer;

/// What can lie on a shelf.
pub trait Reuse: Send {
    /// Forgets the content and keeps the allocation. Called when the item is given back.
    fn forget(&mut self);
}

impl Reuse for Buffer {
    fn forget(&mut self) {
        self.clear();
    }
}

impl Reuse for Picture {
    /// Keeps the samples: whoever takes a picture writes all of it, or calls [`Picture::reset`].
    fn forget(&mut self) {}
}

impl<T: Send> Reuse for Vec<T> {
    fn forget(&mut self) {
        self.clear();
    }
}

/// A shelf; clones share it, on any thread.
pub struct Pool<T: Reuse>(Arc<Shelf<T>>);

impl<T: Reuse> Clone for Pool<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Reuse> Pool<T> {
    /// A shelf for up to `capacity` items (at least one), empty at first. `make` makes what it lacks.
    pub fn new(capacity: usize, make: impl Fn() -> T + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shelf {
            items: ArrayQueue::new(capacity.max(1)),
            make: Box::new(make),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            given: AtomicU64::new(0),
            spilled: AtomicU64::new(0),
        }))
    }

    /// Fills the shelf, so that the first takers find something too. Not counted.
    pub fn fill(&self) {
        while !self.0.items.is_full() {
            if self.0.items.push((self.0.make)()).is_err() {
                break;
            }
        }
    }

    /// An item from the shelf, or a new one where the shelf is empty.
    pub fn take(&self) -> T {
        match self.0.items.pop() {
            Some(item) => {
                self.0.hits.fetch_add(1, Ordering::Relaxed);
                item
            }
            None => {
                self.0.misses.fetch_add(1, Ordering::Relaxed);
                (self.0.make)()
            }
        }
    }

    /// Puts `item` back for the next taker; frees it where the shelf is full.
    pub fn give(&self, mut item: T) {
        item.forget();
        self.0.given.fetch_add(1, Ordering::Relaxed);
        if self.0.items.push(item).is_err() {
            self.0.spilled.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The counters now.
    pub fn counters(&self) -> Counters {
        let shelf = &*self.0;
        Counters {
            capacity: shelf.items.capacity() as u64,
            resting: shelf.items.len() as u64,
            hits: shelf.hits.load(Ordering::Relaxed),
            misses: shelf.misses.load(Ordering::Relaxed),
            given: shelf.given.load(Ordering::Relaxed),
            spilled: shelf.spilled.load(Ordering::Relaxed),
        }
    }
}

/// The counters of one shelf. In steady state `misses` stands still.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counters {
    /// Items that can lie on the shelf.
    pub capacity: u64,
    /// Items that lie there.
    pub resting: u64,
    /// Items taken from the shelf.
    pub hits: u64,
    /// Items made because the shelf was empty.
    pub misses: u64,
    /// Items given back.
    pub given: u64,
    /// Of those, items freed because the shelf was full.
    pub spilled: u64,
}

struct Shelf<T> {
    items: ArrayQueue<T>,
    make: Box<dyn Fn() -> T + Send + Sync>,
    hits: AtomicU64,
    misses: AtomicU64,
    given: AtomicU64,
    spilled: AtomicU64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_is_taken_again_with_its_allocation() {
        let pool = Pool::new(2, || Vec::<u8>::with_capacity(10));
        let mut item = pool.take();
        item.resize(5000, 1);
        let (place, room) = (item.as_ptr(), item.capacity());
        pool.give(item);
        let again = pool.take();
        assert_eq!((again.as_ptr(), again.capacity(), again.len()), (place, room, 0));
        let counters = pool.counters();
        assert_eq!((counters.misses, counters.hits, counters.given, counters.resting), (1, 1, 1, 0));
    }

    #[test]
    fn a_full_shelf_frees_and_counts() {
        let pool = Pool::new(1, Vec::<u8>::new);
        let (first, second) = (pool.take(), pool.take());
        pool.give(first);
        pool.give(second);
        assert_eq!(pool.counters(), Counters { capacity: 1, resting: 1, hits: 0, misses: 2, given: 2, spilled: 1 });
    }

    #[test]
    fn a_filled_shelf_misses_nothing() {
        let pool = Pool::new(3, || Buffer::with_capacity(100));
        pool.fill();
        let items = [pool.take(), pool.take(), pool.take()];
        items.into_iter().for_each(|item| pool.give(item));
        let counters = pool.counters();
        assert_eq!((counters.misses, counters.hits, counters.resting, counters.spilled), (0, 3, 3, 0));
    }

    #[test]
    fn a_buffer_comes_back_empty_with_its_head_room() {
        let pool = Pool::new(1, || Buffer::with_capacity(100));
        let mut buffer = pool.take();
        buffer.tail().extend_from_slice(b"secret");
        assert!(buffer.prepend(b"head"));
        pool.give(buffer);
        let mut buffer = pool.take();
        assert!(buffer.is_empty());
        assert!(buffer.prepend(&[0; crate::frame::HEAD_ROOM]));
    }
}
