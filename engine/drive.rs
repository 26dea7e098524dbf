//! Threads and sockets for those who want them: the sans-IO cores and the stages behind the queues of the thread
//! borders. This is the only file that spawns.
//!
//! ```text
//! camera ─Latest(1)─► convert, encode ─Fifo(4)─► seal, packetize, send ─► transport ─► socket
//!                       microphone, encode ─Fifo(8)─►     ▲                              │ Fifo(256)
//!   an app's own encoder (Injector) ─Fifo(4)─►            └─Fifo(64)─ socket             ▼
//!                              Screen ◄─Latest(1)─ receive, open, decode ─Fifo(8)─► Speaker
//! ```
//!
//! [`Sending`] and [`Receiving`] each own their threads. Dropping one stops and joins them, so that none outlives it;
//! what goes wrong on the way is an [`Event`], and every frame and packet that is lost at a border is counted in
//! the stats. Threads read the one [`Clock`] and tell the cores the time. No frame waits for a lock.

mod events;
mod inject;
pub mod receiving;
pub mod sending;
mod socket;
mod sources;
pub mod transport;

pub use events::{Event, Failure, Role};
pub use inject::{Injected, Injector, Pushed, injection, injection_of};
pub use receiving::{Receiving, Screen, Shown, Sound, Speaker};
pub use sending::Sending;
pub use transport::{OpenError, Transport};

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use crate::queue::{self, Awaited, Idle, Policy, wait_any};
use crate::time::{Clock, Time};
use events::{DEPTH, Post};

/// Why the threads of a side did not start. Those that had started have ended again.
#[derive(Debug, thiserror::Error)]
#[error("the {role} thread did not start ({source}); raise the limit of threads or of memory")]
pub struct StartError {
    role: Role,
    source: std::io::Error,
}

/// The threads of one side, joined when it is dropped.
struct Crew {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    events: Vec<queue::Receiver<Event>>,
    lost_events: Arc<AtomicU64>,
}

impl Crew {
    fn new() -> Self {
        Self { stop: Arc::default(), threads: Vec::new(), events: Vec::new(), lost_events: Arc::default() }
    }

    /// Runs `work` on a thread of its own. A panic in it, of a codec of the app's own say, ends that thread alone.
    fn spawn(&mut self, role: Role, work: impl FnOnce(&mut Worker) + Send + 'static) -> Result<(), StartError> {
        let (sender, receiver) = queue::pair(Policy::Fifo(DEPTH));
        let mut worker = Worker { stop: self.stop.clone(), post: Post::new(role, sender, self.lost_events.clone()) };
        let body = move || {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(&mut worker))) {
                let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
                let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
                worker.post.fail(Failure::Panicked(text.unwrap_or_else(|| "without a message".to_owned())));
            }
            worker.post.ended();
        };
        let name = format!("conclave.{role}");
        let thread = Builder::new().name(name).spawn(body).map_err(|source| StartError { role, source })?;
        self.threads.push(thread);
        self.events.push(receiver);
        Ok(())
    }

    /// The next event; waits for one for up to `timeout`. [`Idle::Closed`] once every thread has ended.
    fn event(&mut self, timeout: Duration) -> Result<Event, Idle> {
        let end = Instant::now().checked_add(timeout);
        loop {
            let mut found = None;
            self.events.retain_mut(|events| {
                // Read first, so that an event told just before the end is not left behind.
                let closed = events.is_closed();
                found = found.take().or_else(|| events.pop());
                found.is_some() || !closed
            });
            if let Some(event) = found {
                return Ok(event);
            }
            if self.events.is_empty() {
                return Err(Idle::Closed);
            }
            let left = end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
            if !wait_any(self.events.iter().map(|events| events as &dyn Awaited), left) {
                return Err(Idle::Empty);
            }
        }
    }

    /// Events that found no room, as nobody took those before.
    fn lost_events(&self) -> u64 {
        self.lost_events.load(Ordering::Relaxed)
    }

    /// Tells the threads to stop and waits until they have.
    fn stop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.threads.iter().for_each(|thread| thread.thread().unpark());
        for thread in self.threads.drain(..) {
            // Panics are caught inside.
            let _ = thread.join();
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What a thread knows of the crew: whether to stop, and where to tell what happened.
struct Worker {
    stop: Arc<AtomicBool>,
    post: Post,
}

impl Worker {
    fn stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Parks until `until`; `false` where it is time to stop.
    fn wait(&self, clock: &Clock, until: Time) -> bool {
        loop {
            if self.stopping() {
                return false;
            }
            let left = until.since(clock.now());
            if left == 0 {
                return true;
            }
            std::thread::park_timeout(Duration::from_micros(left));
        }
    }
}

/// The beat of a source: one turn each interval. A source that falls behind loses its place and does not rush.
struct Pace(Time);

impl Pace {
    /// The time of the next turn, `interval_us` after this one, and of a turn now where that has passed.
    fn next(&mut self, interval_us: u64, now: Time) -> Time {
        self.0 = self.0.plus(interval_us).max(now);
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_falls_behind_does_not_rush() {
        let mut pace = Pace(Time(0));
        assert_eq!(pace.next(10, Time(3)), Time(10));
        assert_eq!(pace.next(10, Time(47)), Time(47));
        assert_eq!(pace.next(10, Time(48)), Time(57));
    }

    #[test]
    fn a_panic_ends_its_thread_alone_and_is_told() {
        let mut crew = Crew::new();
        crew.spawn(Role::Encode, |_| panic!("the driver is gone")).unwrap();
        let event = crew.event(Duration::from_secs(60)).unwrap();
        assert!(matches!(&event, Event::Failed(Role::Encode, Failure::Panicked(text)) if text == "the driver is gone"));
        assert!(matches!(crew.event(Duration::from_secs(60)), Ok(Event::Ended(Role::Encode))));
        assert!(matches!(crew.event(Duration::from_secs(60)), Err(Idle::Closed)));
    }

    #[test]
    fn the_end_is_told_also_where_nobody_took_the_events_before() {
        let mut crew = Crew::new();
        crew.spawn(Role::Socket, |worker| {
            (0..100).for_each(|_| worker.post.fail(Failure::Transport(transport::Error::Closed)));
        })
        .unwrap();
        crew.stop();
        let mut events = Vec::new();
        while let Ok(event) = crew.event(Duration::ZERO) {
            events.push(event);
        }
        assert_eq!(events.len(), DEPTH);
        assert!(matches!(events.last(), Some(Event::Ended(Role::Socket))));
        assert_eq!(crew.lost_events(), 101 - DEPTH as u64);
    }

    #[test]
    fn stopping_wakes_a_thread_that_waits_for_its_turn() {
        let mut crew = Crew::new();
        crew.spawn(Role::Camera, |worker| assert!(!worker.wait(&Clock::start(), Time(u64::MAX)))).unwrap();
        crew.stop();
        assert!(matches!(crew.event(Duration::ZERO), Ok(Event::Ended(Role::Camera))));
    }
}
