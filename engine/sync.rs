//! The primitives under the hand-off and the control edge, in one place: the model in `tests/loom` puts its own
//! module of this name in their stead and runs every interleaving.

use std::time::{Duration, Instant};

pub use crossbeam::atomic::AtomicCell;
pub use crossbeam::queue::ArrayQueue;
pub use std::sync::Arc;
pub use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
pub use std::thread::{Thread, current};

// A wider handle would put a lock behind the cell that holds the parked thread.
const _: () = assert!(AtomicCell::<Option<Thread>>::is_lock_free());

/// How long a thread is ready to stay parked.
pub struct Patience {
    /// `None` where the time is too far away to be told.
    end: Option<Instant>,
}

impl Patience {
    /// Lasts `timeout` from now.
    pub fn new(timeout: Duration) -> Self {
        Self { end: Instant::now().checked_add(timeout) }
    }

    /// Parks until another thread unparks this one or the patience ends, maybe less long. `false`, without
    /// parking, where it has ended.
    pub fn park(&self) -> bool {
        let Some(end) = self.end else {
            std::thread::park();
            return true;
        };
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        std::thread::park_timeout(left);
        true
    }
}
