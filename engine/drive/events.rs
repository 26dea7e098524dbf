//! What the threads tell the app: ends and failures, each with the thread it befell.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use conclave_codecs::{CodecError, EncoderInfo};

use super::transport;
use crate::capture::CaptureError;
use crate::capture::live::Turn;
use crate::encode::EncodeError;
use crate::encode::content::Content;
use crate::encode::pace::Change;
use crate::queue;
use crate::send::SendError;

/// What a thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
pub enum Role {
    /// Takes pictures from their source.
    Camera,
    /// Converts and encodes pictures.
    Encode,
    /// Takes samples from their source and encodes them.
    Microphone,
    /// Takes pictures of a shared screen.
    Screen,
    /// Converts and encodes those.
    ScreenEncode,
    /// Takes and encodes the sound of a shared screen.
    ScreenSound,
    /// Seals, packetizes and sends.
    Send,
    /// Waits for datagrams.
    Socket,
    /// Joins, opens and decodes what arrived.
    Decode,
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Role::Camera => "camera",
            Role::Encode => "encode",
            Role::Microphone => "mic",
            Role::Screen => "screen",
            Role::ScreenEncode => "scr-enc",
            Role::ScreenSound => "scr-snd",
            Role::Send => "send",
            Role::Socket => "socket",
            Role::Decode => "decode",
        })
    }
}

/// Something that an app may want to tell its user.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The thread has ended: its source is at the end, it failed for good, or it was told to stop.
    Ended(Role),
    /// Something failed. The thread goes on unless [`Event::Ended`] follows.
    Failed(Role, Failure),
    /// A live session did not hold its rate, or has time to spare again: its pictures are of another size now, or no
    /// smaller size helps.
    Resized(Role, Change),
    /// The GPU failed, and the video encoder went on elsewhere, without a key frame.
    Moved(Role, EncoderInfo),
    /// The device of a source was lost, came back, or another took its place. The stream goes on.
    Turn(Role, Turn),
    /// A shared screen shows something else, and its encoder does best what that needs.
    Content(Content),
}

/// What failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// A source; it is not asked again.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// Convert or encode; the picture or the sound is lost. After 30 in a row the thread gives up.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// Sealing or packetizing; the frame is lost.
    #[error(transparent)]
    Send(#[from] SendError),
    /// A decoder; a key frame is asked for.
    #[error(transparent)]
    Decode(#[from] CodecError),
    /// The transport; told once until it works again.
    #[error(transparent)]
    Transport(#[from] transport::Error),
    /// The work of a thread panicked, in a codec or a source of the app's own as a rule.
    #[error("the thread panicked: {0}")]
    Panicked(String),
}

/// Events of one thread that wait for the app.
pub(super) const DEPTH: usize = 32;

/// The thread's end of the events.
pub(super) struct Post {
    role: Role,
    events: queue::Sender<Event>,
    gauge: queue::Gauge,
    lost: Arc<AtomicU64>,
}

impl Post {
    /// `lost` counts the events that find no room.
    pub(super) fn new(role: Role, events: queue::Sender<Event>, lost: Arc<AtomicU64>) -> Self {
        Self { role, gauge: events.gauge(), events, lost }
    }

    /// Tells of a failure.
    pub(super) fn fail(&mut self, failure: impl Into<Failure>) {
        self.tell(Event::Failed(self.role, failure.into()));
    }

    /// Tells that the pictures are of another size.
    pub(super) fn resized(&mut self, change: Change) {
        self.tell(Event::Resized(self.role, change));
    }

    /// Tells where the encoder is now.
    pub(super) fn moved(&mut self, info: EncoderInfo) {
        self.tell(Event::Moved(self.role, info));
    }

    /// Tells what became of the thread's device.
    pub(super) fn turn(&mut self, turn: Turn) {
        self.tell(Event::Turn(self.role, turn));
    }

    /// Tells of an event. The last place is kept for the end.
    pub(super) fn tell(&mut self, event: Event) {
        if self.gauge.read().depth + 1 < DEPTH as u64 {
            let _ = self.events.push(event);
        } else {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Tells that the thread ends.
    pub(super) fn ended(mut self) {
        let _ = self.events.push(Event::Ended(self.role));
    }
}
