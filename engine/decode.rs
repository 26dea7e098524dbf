//! Decode: the stage between [`crate::receive::Receiver`] and the renderer.

use conclave_codecs::{AudioDecoder, AudioInput, CodecError, Color, Picture, Size, VideoDecoder};

use crate::frame::Opened;
use crate::ledger::{Ledger, Stage};
use crate::receive::{Heard, Pair, Receiver};
use crate::time::{Stopwatch, Time};

/// Frames that may be inside the decoder at once.
const IN_FLIGHT: usize = 16;

/// Decoding of one video stream. Takes frames in dependency order, authenticated.
pub struct Video {
    decoder: Box<dyn VideoDecoder>,
    picture: Picture,
    pending: [(u64, Time, Ledger); IN_FLIGHT],
    watch: Stopwatch,
}

/// A picture to be shown. Borrowed from the stage until the next call.
pub struct Shown<'a> {
    /// The frame's number within its stream.
    pub frame: u64,
    /// The pixels; they may be swapped out for a picture that is no longer needed.
    pub picture: &'a mut Picture,
    /// When it was captured, on the sender's clock.
    pub captured: Time,
    /// Stamps from arrival to decode.
    pub ledger: Ledger,
}

impl Video {
    /// A stage around `decoder`.
    pub fn new(decoder: Box<dyn VideoDecoder>, watch: Stopwatch) -> Self {
        let picture = Picture::new(Size::new(16, 16), Color::default());
        Self { decoder, picture, pending: [(0, Time(0), Ledger::default()); IN_FLIGHT], watch }
    }

    /// Takes one opened frame, number `frame` of its stream. On an error the decoder has been reset, and the next
    /// frame must be a key frame.
    pub fn submit(&mut self, frame: u64, opened: &Opened, now: Time) -> Result<(), CodecError> {
        self.watch.begin(now);
        self.pending[frame as usize % IN_FLIGHT] = (frame, opened.captured, opened.ledger);
        self.decoder.submit(opened.payload.as_slice(), frame).inspect_err(|_| self.decoder.reset())
    }

    /// The next picture; `None` when the decoder wants more input.
    pub fn poll(&mut self) -> Result<Option<Shown<'_>>, CodecError> {
        let Some(frame) = self.decoder.poll(&mut self.picture).inspect_err(|_| self.decoder.reset())? else {
            return Ok(None);
        };
        let (_, captured, mut ledger) = self.pending[frame as usize % IN_FLIGHT];
        ledger.stamp(Stage::Decode, self.watch.read());
        Ok(Some(Shown { frame, picture: &mut self.picture, captured, ledger }))
    }

    /// Decodes the next frame of the camera that `receiver` has ready and gives its pictures to `show`, with the time at which each is
    /// to be shown; `false` where none is ready.
    ///
    /// # Errors
    /// The decoder refused the frame; the receiver has been told and asks for a key frame.
    pub fn step(
        &mut self,
        receiver: &mut Receiver,
        now: Time,
        show: &mut dyn FnMut(Shown<'_>, Time),
    ) -> Result<bool, CodecError> {
        self.step_of(Pair::Person, receiver, now, show)
    }

    /// Decodes the next frame of camera or screen, likewise.
    ///
    /// # Errors
    /// Those of [`Video::step`].
    pub fn step_of(
        &mut self,
        pair: Pair,
        receiver: &mut Receiver,
        now: Time,
        show: &mut dyn FnMut(Shown<'_>, Time),
    ) -> Result<bool, CodecError> {
        let Some((frame, opened)) = receiver.frame_of(pair, now) else { return Ok(false) };
        let mut result = self.submit(frame, &opened, now);
        receiver.recycle(opened);
        while result.is_ok() {
            match self.poll() {
                Ok(Some(shown)) => show(shown, receiver.show_at_of(pair, now)),
                Ok(None) => break,
                Err(error) => result = Err(error),
            }
        }
        result.inspect_err(|_| receiver.lost_sync_of(pair)).map(|()| true)
    }

    /// Name of the decoder.
    pub fn name(&self) -> &'static str {
        self.decoder.name()
    }
}

/// Plays one packet's worth of the microphone: `decoder` fills the front of `pcm`, which is cut to the samples played.
pub fn play<'a>(
    receiver: &mut Receiver,
    decoder: &mut dyn AudioDecoder,
    now: Time,
    pcm: &'a mut [i16],
) -> Result<(&'a [i16], Heard), CodecError> {
    play_of(Pair::Person, receiver, decoder, now, pcm)
}

/// Plays one packet's worth of microphone or screen, likewise.
pub fn play_of<'a>(
    pair: Pair,
    receiver: &mut Receiver,
    decoder: &mut dyn AudioDecoder,
    now: Time,
    pcm: &'a mut [i16],
) -> Result<(&'a [i16], Heard), CodecError> {
    let len = receiver.audio_samples() * usize::from(decoder.channels());
    let end = len.min(pcm.len());
    let pcm = &mut pcm[..end];
    let (channels, mut made) = (usize::from(decoder.channels()), 0);
    let heard = receiver.sound_of(pair, now, &mut |input: AudioInput<'_>| {
        made = decoder.decode(input, pcm)?;
        Ok(made)
    })?;
    // A packet that is shorter than was agreed leaves nothing of what was there before.
    pcm[(made * channels).min(end)..].fill(0);
    Ok((pcm, heard))
}

/// Longest stretch of sound in one packet at 48 kHz, stereo: 120 ms. [`play`] wants so much room.
pub const MAX_PCM: usize = 2 * 5760;
