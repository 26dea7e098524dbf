//! Decode: the stage between [`crate::receive::Receiver`] and the renderer.

use conclave_codecs::{CodecError, Color, Picture, Size, VideoDecoder};

use crate::frame::Opened;
use crate::ledger::{Ledger, Stage};
use crate::time::{Stopwatch, Time};

/// Frames that may be inside the decoder at once.
const IN_FLIGHT: usize = 16;

/// Decoding of one video stream. Takes frames in dependency order, authenticated.
pub struct Video {
    decoder: Box<dyn VideoDecoder>,
    picture: Picture,
    pending: [(u64, Ledger); IN_FLIGHT],
    watch: Stopwatch,
}

/// A picture to be shown. Borrowed from the stage until the next call.
pub struct Shown<'a> {
    /// The frame's number within its stream.
    pub frame: u64,
    /// The pixels.
    pub picture: &'a Picture,
    /// Stamps from arrival to decode.
    pub ledger: Ledger,
}

impl Video {
    /// A stage around `decoder`.
    pub fn new(decoder: Box<dyn VideoDecoder>, watch: Stopwatch) -> Self {
        let picture = Picture::new(Size::new(16, 16), Color::default());
        Self { decoder, picture, pending: [(0, Ledger::default()); IN_FLIGHT], watch }
    }

    /// Takes one opened frame, number `frame` of its stream. On an error the decoder has been reset, and the next
    /// frame must be a key frame.
    pub fn submit(&mut self, frame: u64, opened: &Opened, now: Time) -> Result<(), CodecError> {
        self.watch.begin(now);
        self.pending[frame as usize % IN_FLIGHT] = (frame, opened.ledger);
        self.decoder.submit(opened.payload.as_slice(), frame).inspect_err(|_| self.decoder.reset())
    }

    /// The next picture; `None` when the decoder wants more input.
    pub fn poll(&mut self) -> Result<Option<Shown<'_>>, CodecError> {
        let Some(frame) = self.decoder.poll(&mut self.picture).inspect_err(|_| self.decoder.reset())? else {
            return Ok(None);
        };
        let (_, mut ledger) = self.pending[frame as usize % IN_FLIGHT];
        ledger.stamp(Stage::Decode, self.watch.read());
        Ok(Some(Shown { frame, picture: &self.picture, ledger }))
    }

    /// Name of the decoder.
    pub fn name(&self) -> &'static str {
        self.decoder.name()
    }
}
