//! What a microphone hears, made fit to send: rumble, echo of the loudspeaker and noise go, loudness is evened out.
//!
//! ```text
//! microphone ─► Processor::capture ─► encode::Audio
//!                    ▲
//! mixer ─► Processor::render ─► speaker      (exactly what is played)
//! ```
//!
//! The order inside is fixed: high pass, echo, noise, gain. Echo comes first, because an echo path that noise suppression
//! or gain bend from block to block cannot be learnt; gain comes last, because it would raise echo and noise with the
//! voice. [`Processed`] is a microphone that does all this for whoever reads it; [`judge`] and [`room`] measure it.

mod config;
mod figures;
pub mod judge;
mod microphone;
mod reference;
pub mod room;

pub use config::{Config, Gain, Noise};
pub use figures::{Figures, Gauge};
pub use microphone::Processed;
pub use reference::{Feed, Reference, reference};

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use sonora::AudioProcessing;

use super::{BLOCK, level};

/// Why sound was not processed.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// More channels than a microphone or a speaker of a call has.
    #[error("{channels} channels cannot be processed, only 1 or 2; mix them down first")]
    Channels {
        /// How many.
        channels: u8,
    },
    /// A gain that cannot be followed.
    #[error(
        "a gain of {0:?} cannot be followed: all of it must lie in 0 to 60 dB, the first within the most, the most and the speed above 0"
    )]
    Gain(Gain),
    /// A buffer that is no whole number of blocks.
    #[error(
        "{samples} samples of {channels} channel(s) are no whole number of 10 ms at 48 kHz; give packets of 10, 20, 40 or 60 ms"
    )]
    Length {
        /// Samples, all channels together.
        samples: usize,
        /// Channels.
        channels: u8,
    },
    /// A buffer in which a channel lacks its last sample.
    #[error("{samples} samples cannot be shared out among {channels} channels; give whole frames of them")]
    Frames {
        /// Samples, all channels together.
        samples: usize,
        /// Channels.
        channels: u8,
    },
}

/// Both sides of one call's sound. Belongs to the thread that reads the microphone.
pub struct Processor {
    config: Config,
    /// `None` where nothing works.
    parts: Option<AudioProcessing>,
    delay: Option<Duration>,
    /// What was rendered and is no whole block yet.
    held: [i16; 2 * BLOCK],
    holds: usize,
    scratch: [i16; 2 * BLOCK],
    figures: Figures,
}

impl Processor {
    /// A processor that has heard nothing.
    ///
    /// # Errors
    /// A number of channels other than 1 and 2, or a gain without sense.
    pub fn new(config: Config) -> Result<Self, ProcessError> {
        for channels in [config.channels, config.far_channels] {
            if !(1..=2).contains(&channels) {
                return Err(ProcessError::Channels { channels });
            }
        }
        if let Some(gain) = config.gain.filter(|gain| !gain.holds()) {
            return Err(ProcessError::Gain(gain));
        }
        Ok(Self {
            config,
            parts: config.build(),
            delay: None,
            held: [0; 2 * BLOCK],
            holds: 0,
            scratch: [0; 2 * BLOCK],
            figures: Figures::default(),
        })
    }

    /// What it was made with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Says how much later the microphone hears what was rendered, where that is known. It is a first guess: the
    /// processor finds up to half a second by itself, and follows changes; a later echo it does not find.
    pub fn expect_delay(&mut self, delay: Duration) {
        self.delay = Some(delay);
        if let Some(parts) = &mut self.parts {
            // Longer ones are taken as the longest it knows, 500 ms.
            let _ = parts.set_stream_delay_ms(i32::try_from(delay.as_millis()).unwrap_or(i32::MAX));
        }
    }

    /// Takes what the speaker plays, interleaved, in pieces of any length, at least 5 ms before the microphone hears it:
    /// an echo that comes sooner than 4 ms after this is not found (measured: 5 dB of it go, and 45 with 4 ms). Any
    /// device is later than that where its buffer is filled after this call. Where nothing plays, nothing needs to be
    /// given; what is more than a second ahead of the microphone is lost.
    ///
    /// # Errors
    /// A channel lacks its last sample; nothing is taken then.
    pub fn render(&mut self, pcm: &[i16]) -> Result<(), ProcessError> {
        let channels = self.config.far_channels;
        let block = BLOCK * usize::from(channels);
        if !pcm.len().is_multiple_of(channels.into()) {
            return Err(ProcessError::Frames { samples: pcm.len(), channels });
        }
        if !self.config.echo {
            return Ok(());
        }
        let mut rest = pcm;
        while !rest.is_empty() {
            let (piece, later) = rest.split_at(rest.len().min(block - self.holds));
            self.held[self.holds..][..piece.len()].copy_from_slice(piece);
            self.holds += piece.len();
            rest = later;
            if self.holds == block {
                self.holds = 0;
                self.figures.rendered += 1;
                let (held, mut out) = (self.held, self.scratch);
                self.guarded(|parts| parts.process_render_i16(&held[..block], &mut out[..block]));
            }
        }
        Ok(())
    }

    /// Processes what the microphone heard, interleaved, in place. The sound comes out [`Self::lag`] later.
    ///
    /// # Errors
    /// Not whole blocks of 10 ms; nothing is changed then.
    pub fn capture(&mut self, pcm: &mut [i16]) -> Result<(), ProcessError> {
        let channels = self.config.channels;
        let block = BLOCK * usize::from(channels);
        if !pcm.len().is_multiple_of(block) {
            return Err(ProcessError::Length { samples: pcm.len(), channels });
        }
        for piece in pcm.chunks_exact_mut(block) {
            self.figures.captured += 1;
            self.figures.heard_dbfs = level::dbfs(piece);
            let mut out = self.scratch;
            // Where the library failed the sound stays as it was: a word with an echo rather than none.
            if let Some(Ok(())) = self.guarded(|parts| parts.process_capture_i16(piece, &mut out[..block])) {
                piece.copy_from_slice(&out[..block]);
            }
            self.figures.given_dbfs = level::dbfs(piece);
        }
        Ok(())
    }

    /// How much later sound comes out than it went in: the bands are split and joined, and blocks of another length
    /// are worked on inside.
    pub fn lag(&self) -> Duration {
        let (echo, noise) = (self.config.echo, self.config.noise != Noise::Off);
        let bands = if echo || noise || self.config.high_pass { 900 } else { 0 };
        Duration::from_micros(bands + if echo { 8_000 } else { 0 } + if noise { 6_000 } else { 0 })
    }

    /// Forgets the room, the noise and the voice, as after a change of devices. Allocates.
    pub fn reset(&mut self) {
        self.parts = self.config.build();
        self.holds = 0;
        if let Some(delay) = self.delay {
            self.expect_delay(delay);
        }
    }

    /// What it measures.
    pub fn figures(&self) -> Figures {
        let mut figures = self.figures;
        if let Some(parts) = self.parts.as_ref().filter(|_| self.config.echo && figures.rendered > 0) {
            let said = parts.statistics();
            figures.erl_db = said.echo_return_loss.map(|db| db as f32);
            figures.erle_db = said.echo_return_loss_enhancement.map(|db| db as f32);
            figures.delay_ms = said.delay_ms.and_then(|ms| u32::try_from(ms).ok());
        }
        figures
    }

    /// Runs `work`; a panic of the library costs what it has learnt and this block, never the thread of the call.
    fn guarded<R>(&mut self, work: impl FnOnce(&mut AudioProcessing) -> R) -> Option<R> {
        let parts = self.parts.as_mut()?;
        // What a panic leaves half done is thrown away before anyone looks at it.
        match catch_unwind(AssertUnwindSafe(|| work(parts))) {
            Ok(done) => Some(done),
            Err(_) => {
                self.figures.restarts += 1;
                self.reset();
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_the_library_costs_one_block() {
        let mut processor = Processor::new(Config::default()).unwrap();
        processor.expect_delay(Duration::from_millis(80));
        assert_eq!(processor.guarded(|_| 5), Some(5));
        assert_eq!(processor.guarded(|_| -> u8 { panic!("as a library may") }), None);
        assert_eq!(processor.figures().restarts, 1);
        let mut pcm = [1_000; BLOCK];
        assert_eq!((processor.render(&pcm), processor.capture(&mut pcm)), (Ok(()), Ok(())));
        assert_eq!(processor.figures().captured, 1);
    }
}
