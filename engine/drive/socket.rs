//! The two ends of a transport as the threads use them: one listens and queues, the other sends and counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::transport::{Error, Incoming, Outgoing};
use super::{Failure, Worker};
use crate::frame::{MAX_PACKET, Packet};
use crate::queue;
use crate::time::Clock;

/// What a side loses at its transport.
#[derive(Default)]
pub(super) struct Tally {
    /// Datagrams that the transport did not take.
    pub(super) unsent: AtomicU64,
    /// Datagrams longer than any packet.
    pub(super) oversized: AtomicU64,
}

/// Work of the socket thread: queues each datagram until it is told to stop, the transport is closed or nobody takes
/// them any more. What finds no room is counted by the queue.
pub(super) fn listen(
    worker: &mut Worker,
    mut incoming: Box<dyn Incoming>,
    mut packets: queue::Sender<Packet>,
    tally: &Tally,
    clock: &Clock,
) {
    // One byte more, so that a datagram that is too long shows.
    let mut bytes = [0; MAX_PACKET + 1];
    let mut works = true;
    while !worker.stopping() && !packets.is_closed() {
        match incoming.receive(&mut bytes, PATIENCE) {
            Ok(None) => {}
            Ok(Some(len)) => {
                works = true;
                match bytes.get(..len).and_then(Packet::new) {
                    Some(packet) => {
                        let _ = packets.push(packet);
                    }
                    None => {
                        tally.oversized.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
            Err(Error::Closed) => return worker.post.fail(Failure::Transport(Error::Closed)),
            Err(error) => {
                if std::mem::replace(&mut works, false) {
                    worker.post.fail(error);
                }
                worker.wait(clock, clock.now().plus(RETRY_US));
            }
        }
    }
}

/// The way out, with its count of what did not go.
pub(super) struct Wire {
    outgoing: Box<dyn Outgoing>,
    tally: Arc<Tally>,
    works: bool,
    failure: Option<Error>,
}

impl Wire {
    pub(super) fn new(outgoing: Box<dyn Outgoing>, tally: Arc<Tally>) -> Self {
        Self { outgoing, tally, works: true, failure: None }
    }

    /// Sends, or counts.
    pub(super) fn send(&mut self, packet: &Packet) {
        match self.outgoing.send(packet.as_slice()) {
            Ok(()) => self.works = true,
            Err(error) => {
                self.tally.unsent.fetch_add(1, Ordering::Relaxed);
                if std::mem::replace(&mut self.works, false) {
                    self.failure = Some(error);
                }
            }
        }
    }

    /// Tells of the first failure since it worked.
    pub(super) fn tell(&mut self, worker: &mut Worker) {
        if let Some(error) = self.failure.take() {
            worker.post.fail(error);
        }
    }
}

/// How long the socket thread waits before it looks whether to stop.
const PATIENCE: Duration = Duration::from_millis(50);

/// Microseconds until a transport that failed is asked again.
const RETRY_US: u64 = 10_000;
