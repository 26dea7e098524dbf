//! The border from an encoder to the sending thread, for the engine's own encoder and for an app's.

use crate::control::{Control, Edge};
use crate::frame::{Buffer, Encoded};
use crate::pool::Pool;
use crate::queue::{self, Gauge, Policy, Push, pair};
use crate::send::Sender;

/// Opens the border for the first video stream of `sender`, for an app that encodes by itself. The [`Injected`] end goes to
/// [`super::Sending`], the other stays with the encoder.
pub fn injection(sender: &Sender) -> (Injector, Injected) {
    opened(sender.edge())
}

/// The border for `stream`, which has wishes of its own: a shared screen beside a camera. `None` where `sender` has no such
/// stream.
pub fn injection_of(sender: &Sender, stream: u32) -> Option<(Injector, Injected)> {
    sender.edge_of(stream).map(opened)
}

fn opened(edge: &Edge) -> (Injector, Injected) {
    let buffers = Pool::new(VIDEO_DEPTH + 4, || Buffer::with_capacity(FIRST_CAPACITY));
    border(buffers, edge.clone(), VIDEO_DEPTH)
}

/// The border with a shelf and a depth of the caller's.
pub(super) fn border(buffers: Pool<Buffer>, edge: Edge, depth: usize) -> (Injector, Injected) {
    let (sender, receiver) = pair(Policy::Fifo(depth));
    (Injector { frames: sender, buffers: buffers.clone(), edge }, Injected { frames: receiver, buffers })
}

/// Where an encoder puts its frames.
pub struct Injector {
    frames: queue::Sender<Encoded>,
    buffers: Pool<Buffer>,
    edge: Edge,
}

/// What became of an injected frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a refused frame breaks the chain of references"]
pub enum Pushed {
    /// It is on its way.
    Queued,
    /// The sending thread is behind: the frame is dropped and counted, and for video a key frame has been wished for.
    Refused,
    /// The sending side has stopped.
    Closed,
}

impl Injector {
    /// An empty buffer for the next frame, from those that have been sent.
    pub fn buffer(&self) -> Buffer {
        self.buffers.take()
    }

    /// Hands a frame over. Never waits.
    pub fn push(&mut self, frame: Encoded) -> Pushed {
        let video = frame.header.kind.is_video();
        match self.frames.push(frame) {
            Push::Queued | Push::Displaced(_) => Pushed::Queued,
            Push::Refused(frame) => {
                if video {
                    self.edge.request_keyframe();
                }
                self.buffers.give(frame.payload);
                Pushed::Refused
            }
            Push::Closed(_) => Pushed::Closed,
        }
    }

    /// Takes what the receiving side and the network wish of the encoder, to be asked before each frame. One stream has
    /// one set of wishes, so one encoder takes them.
    pub fn wishes(&self) -> Control {
        self.edge.take()
    }

    /// The counters of the border.
    pub fn gauge(&self) -> Gauge {
        self.frames.gauge()
    }

    pub(super) fn edge(&self) -> &Edge {
        &self.edge
    }
}

/// Where the sending thread takes frames.
pub struct Injected {
    pub(super) frames: queue::Receiver<Encoded>,
    pub(super) buffers: Pool<Buffer>,
}

/// Video frames that wait to be sent.
pub(super) const VIDEO_DEPTH: usize = 4;

/// Bytes that a new buffer holds without growing.
const FIRST_CAPACITY: usize = 16 << 10;
