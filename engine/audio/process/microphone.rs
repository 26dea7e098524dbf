//! A microphone whose sound is processed before anyone hears it.

use std::time::Duration;

use super::{BLOCK, BLOCK_US, Config, Feed, Figures, Gauge, ProcessError, Processor, Reference, figures, reference};
use crate::capture::CaptureError;
use crate::capture::live::{Heard, LiveMicrophone};
use crate::time::Time;

/// Wraps a microphone; its packets are of 10, 20, 40 or 60 ms.
pub struct Processed {
    microphone: Box<dyn LiveMicrophone>,
    processor: Processor,
    reference: Reference,
    far: [i16; 2 * BLOCK],
    gauge: Gauge,
}

impl Processed {
    /// Wraps `microphone`. The [`Feed`] belongs where the speaker is filled. The channels of `config` are the
    /// microphone's, whatever it says.
    ///
    /// # Errors
    /// As of [`Processor::new`].
    pub fn new(microphone: Box<dyn LiveMicrophone>, config: Config) -> Result<(Self, Feed), ProcessError> {
        let processor = Processor::new(Config { channels: microphone.channels(), ..config })?;
        let (feed, reference) = reference(config.far_channels);
        Ok((Self { microphone, processor, reference, far: [0; 2 * BLOCK], gauge: Gauge::default() }, feed))
    }

    /// Shows what is measured, also to a thread that does not own the microphone.
    pub fn gauge(&self) -> Gauge {
        self.gauge.clone()
    }
}

impl LiveMicrophone for Processed {
    fn channels(&self) -> u8 {
        self.microphone.channels()
    }

    fn wait(&mut self, pcm: &mut [i16], patience: Duration) -> Result<Heard, CaptureError> {
        let heard = self.microphone.wait(pcm, patience)?;
        match heard {
            Heard::Samples { captured, .. } => {
                let far = BLOCK * usize::from(self.processor.config().far_channels);
                let mut at = captured;
                for block in pcm.chunks_mut(BLOCK * usize::from(self.channels())) {
                    if self.reference.next(&mut self.far[..far], at) {
                        self.processor.render(&self.far[..far])?;
                    }
                    self.processor.capture(block)?;
                    at = at.plus(BLOCK_US);
                }
                self.gauge.show(&Figures {
                    lost: self.reference.lost(),
                    moves: self.reference.moves(),
                    ..self.processor.figures()
                });
                let lag = self.processor.lag().as_micros() as u64;
                let captured = Time(captured.0.saturating_sub(lag));
                return Ok(Heard::Samples { captured, level: figures::dbfs(pcm).round() as i8 });
            }
            // Another device stands elsewhere in the room.
            Heard::Turn(_) => {
                self.processor.reset();
                self.reference.restart();
            }
            Heard::Muted | Heard::Nothing => self.reference.collect(),
        }
        Ok(heard)
    }
}
