//! A microphone whose sound is processed before anyone hears it.

use std::time::Duration;

use super::{Config, Feed, Figures, Gauge, ProcessError, Processor, Reference, reference};
use crate::audio::{BLOCK, BLOCK_US, level};
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
    muted: bool,
}

/// Blocks of silence that push all that is loud out of the processor: it delays by less.
const FLUSH: usize = 2;

impl Processed {
    /// Wraps `microphone`. The [`Feed`] belongs where the speaker is filled. The channels of `config` are the
    /// microphone's, whatever it says.
    ///
    /// # Errors
    /// As of [`Processor::new`].
    pub fn new(microphone: Box<dyn LiveMicrophone>, config: Config) -> Result<(Self, Feed), ProcessError> {
        let processor = Processor::new(Config { channels: microphone.channels(), ..config })?;
        let (feed, reference) = reference(config.far_channels);
        Ok((
            Self { microphone, processor, reference, far: [0; 2 * BLOCK], gauge: Gauge::default(), muted: false },
            feed,
        ))
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
                self.muted = false;
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
                return Ok(Heard::Samples { captured, level: level::coarse(level::dbfs(pcm)) });
            }
            // Another device stands elsewhere in the room.
            Heard::Turn(_) => {
                self.processor.reset();
                self.reference.restart();
            }
            Heard::Muted => {
                self.reference.collect();
                // What the delay lines hold is not heard after the mute, however long that is.
                if !std::mem::replace(&mut self.muted, true) {
                    for _ in 0..FLUSH {
                        let mut quiet = [0; 2 * BLOCK];
                        self.processor.capture(&mut quiet[..BLOCK * usize::from(self.channels())])?;
                    }
                }
            }
            Heard::Nothing => self.reference.collect(),
        }
        Ok(heard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives what it is told to.
    struct Ear(Vec<Heard>, i16);

    impl LiveMicrophone for Ear {
        fn channels(&self) -> u8 {
            1
        }

        fn wait(&mut self, pcm: &mut [i16], _: Duration) -> Result<Heard, CaptureError> {
            let heard = self.0.remove(0);
            if heard == Heard::Muted {
                self.1 = 0;
            } else {
                pcm.iter_mut().enumerate().for_each(|(n, sample)| *sample = if n % 60 < 30 { self.1 } else { -self.1 });
            }
            Ok(heard)
        }
    }

    #[test]
    fn nothing_from_before_a_mute_is_heard_after_it() {
        let sound = |n: u64| Heard::Samples { captured: Time(1_000_000 + n * 20_000), level: -10 };
        let script = (0..50).map(sound).chain([Heard::Muted]).chain((80..85).map(sound)).collect();
        let config = Config { noise: super::super::Noise::Off, gain: None, ..Config::default() };
        let (mut ear, _feed) = Processed::new(Box::new(Ear(script, 12_000)), config).expect("a processor");
        let (mut pcm, mut after) = ([0; 960], false);
        let mut loudest = [0; 2];
        for _ in 0..56 {
            match ear.wait(&mut pcm, Duration::ZERO).expect("sound") {
                Heard::Muted => after = true,
                _ => {
                    loudest[usize::from(after)] =
                        loudest[usize::from(after)].max(pcm.iter().map(|s| s.abs()).max().unwrap_or(0))
                }
            }
        }
        assert!(loudest[0] > 5_000 && loudest[1] < 300, "{loudest:?}");
    }
}
