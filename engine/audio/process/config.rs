//! Which parts of the processing work, and what the library is asked for.

use sonora::config::{
    AdaptiveDigital, EchoCanceller, GainController2, HighPassFilter, MaxProcessingRate, NoiseSuppression,
    NoiseSuppressionLevel, Pipeline,
};
use sonora::{AudioProcessing, StreamConfig};

use crate::audio::RATE;

/// Which parts work, and on what. The default is for a meeting; without a part its sound passes as it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    /// Channels of the microphone, 1 or 2.
    pub channels: u8,
    /// Channels of what the speaker plays, 1 or 2.
    pub far_channels: u8,
    /// Removes what the speaker plays from what the microphone hears.
    pub echo: bool,
    /// Removes steady noise.
    pub noise: Noise,
    /// Evens out loudness; `None` leaves it.
    pub gain: Option<Gain>,
    /// Removes what lies below speech: rumble, hum, the offset of a converter.
    pub high_pass: bool,
}

/// How far steady noise is taken down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Noise {
    /// Not at all.
    Off,
    /// By about 6 dB.
    Low,
    /// By about 12 dB.
    #[default]
    Moderate,
    /// By about 18 dB; voices begin to sound thin.
    High,
    /// By about 21 dB.
    VeryHigh,
}

/// How loudness is evened out: a gain that follows speech alone, and a limiter behind it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gain {
    /// How far below full scale speech is brought, in dB.
    pub headroom_db: f32,
    /// The most that is added, in dB.
    pub most_db: f32,
    /// What is added before anyone spoke, in dB.
    pub first_db: f32,
    /// How fast it changes, in dB a second.
    pub speed_db: f32,
}

impl Default for Gain {
    /// Begins at nothing: a microphone of usual loudness is not blown up in its first seconds, a quiet one comes up
    /// within a few.
    fn default() -> Self {
        Self { headroom_db: 5.0, most_db: 30.0, first_db: 0.0, speed_db: 6.0 }
    }
}

impl Gain {
    pub(super) fn holds(&self) -> bool {
        let within = |db: &f32| (0.0..=60.0).contains(db);
        [self.headroom_db, self.most_db, self.first_db, self.speed_db].iter().all(within)
            && self.first_db <= self.most_db
            && self.most_db.min(self.speed_db) > 0.0
    }
}

impl Default for Config {
    fn default() -> Self {
        let gain = Some(Gain::default());
        Self { channels: 1, far_channels: 1, echo: true, noise: Noise::default(), gain, high_pass: true }
    }
}

impl Config {
    /// Nothing works: what comes out is what went in, bit for bit.
    pub const fn bypass() -> Self {
        Self { channels: 1, far_channels: 1, echo: false, noise: Noise::Off, gain: None, high_pass: false }
    }

    /// The library's parts for it; `None` where none works.
    pub(super) fn build(&self) -> Option<AudioProcessing> {
        let level = match self.noise {
            Noise::Off => None,
            Noise::Low => Some(NoiseSuppressionLevel::Low),
            Noise::Moderate => Some(NoiseSuppressionLevel::Moderate),
            Noise::High => Some(NoiseSuppressionLevel::High),
            Noise::VeryHigh => Some(NoiseSuppressionLevel::VeryHigh),
        };
        let parts = sonora::Config {
            // At 32 kHz, its default, voices would end at 16 kHz.
            pipeline: Pipeline {
                maximum_internal_processing_rate: MaxProcessingRate::Rate48kHz,
                ..Pipeline::default()
            },
            high_pass_filter: self.high_pass.then(HighPassFilter::default),
            echo_canceller: self
                .echo
                .then(|| EchoCanceller { enforce_high_pass_filtering: self.high_pass, ..EchoCanceller::default() }),
            noise_suppression: level.map(|level| NoiseSuppression { level, ..NoiseSuppression::default() }),
            gain_controller2: self.gain.map(|gain| GainController2 {
                adaptive_digital: Some(AdaptiveDigital {
                    headroom_db: gain.headroom_db,
                    max_gain_db: gain.most_db,
                    initial_gain_db: gain.first_db,
                    max_gain_change_db_per_second: gain.speed_db,
                    ..AdaptiveDigital::default()
                }),
                ..GainController2::default()
            }),
            ..sonora::Config::default()
        };
        self.works().then(|| {
            AudioProcessing::builder()
                .config(parts)
                .capture_config(StreamConfig::new(RATE, self.channels.into()))
                .render_config(StreamConfig::new(RATE, self.far_channels.into()))
                .build()
        })
    }

    fn works(&self) -> bool {
        self.echo || self.noise != Noise::Off || self.gain.is_some() || self.high_pass
    }
}
