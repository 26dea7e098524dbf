//! Pixels and samples to bits, and back. Knows no networks and no keys.
//!
//! Encoders and decoders are submitted to and polled. An encoder states how many later frames it needs before it
//! returns a frame ([`VideoEncoder::max_lag`]); a live session refuses any value above 0.

pub mod av1;
pub mod bd_rate;
pub mod candidates;
pub mod color;
pub mod container;
pub mod dav1d;
pub mod metrics;
pub mod opus;
pub mod picture;
pub mod rav1e;
pub mod raw;

pub use candidates::{Config, Session, Target, open_encoder};
pub use color::{Color, Matrix, Range};
pub use picture::{Picture, Plane, Rect, Size};

use std::sync::Arc;

use conclave_shaders::{Gpu, wgpu};

/// What an encoder calls itself.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct EncoderInfo {
    /// Name in the table of candidates, for example `rav1e`.
    pub name: &'static str,
    /// Where it runs: `cpu`, or the adapter's name.
    pub device: String,
    /// Later frames required before frame N is returned.
    pub max_lag: u32,
}

/// What a frame to be encoded carries beside its pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameInput {
    /// Number of the frame within the session; comes back in [`EncodedInfo::frame`].
    pub frame: u64,
    /// The frame must be a key frame.
    pub keyframe: bool,
}

/// At most this many references of one frame, the source of its CDFs counted as one.
pub const MAX_DEPENDENCIES: usize = 8;

/// What a relay and a receiver need to know of an encoded frame without reading its bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EncodedInfo {
    /// The number given at submission.
    pub frame: u64,
    /// The frame decodes without any other.
    pub keyframe: bool,
    /// Spatial layer, 0 the lowest.
    pub spatial: u8,
    /// Temporal layer, 0 the lowest.
    pub temporal: u8,
    /// Distances (frames back) of the frames this one needs; the first `dependency_count` entries hold.
    pub dependencies: [u16; MAX_DEPENDENCIES],
    /// Entries of `dependencies` in use; 0 for a key frame.
    pub dependency_count: u8,
    /// Base quantizer index, 1 the finest; 0 where the encoder does not tell.
    pub quantizer: u8,
}

impl EncodedInfo {
    /// Distances, in frames back, of the frames this one needs.
    pub fn dependencies(&self) -> &[u16] {
        &self.dependencies[..self.dependency_count as usize]
    }
}

/// A picture in the memory of a GPU: tight I420, as [`Picture`] has it.
#[derive(Clone, Copy, Debug)]
pub struct GpuPicture<'a> {
    /// The samples, from the buffer's first byte on; the buffer may be copied from.
    pub planes: &'a wgpu::Buffer,
    /// Width and height in pixels.
    pub size: Size,
    /// What the samples mean.
    pub color: Color,
}

/// Turns pictures into AV1 temporal units.
pub trait VideoEncoder: Send {
    /// Name, device and lag.
    fn info(&self) -> EncoderInfo;
    /// Later frames this encoder requires before it returns frame N; 0 for a live session.
    fn max_lag(&self) -> u32;
    /// Takes one picture. Errors name what is wrong with it. An encoder on a GPU takes one more of the same size before the
    /// frame of the first was polled, and begins with it; no encoder waits for that.
    fn submit(&mut self, picture: &Picture, input: FrameInput) -> Result<(), CodecError>;
    /// Says that the picture submitted next differs from the one submitted before in these parts only, by its pixels. Where
    /// nothing is said it may differ everywhere. An encoder may spend less on what does not.
    fn damaged(&mut self, _parts: &[Rect]) {}
    /// The GPU that the encoder runs on now: [`Self::submit_gpu`] takes pictures that lie in its memory.
    fn gpu(&self) -> Option<&Arc<Gpu>> {
        None
    }
    /// The same as [`Self::submit`] with a picture that the GPU has already, so that it does not cross again.
    fn submit_gpu(&mut self, picture: &GpuPicture<'_>, input: FrameInput) -> Result<(), CodecError> {
        let what = format!("picture {} of {} lies on a GPU", input.frame, picture.size);
        Err(CodecError::Config { codec: self.info().name, what, hint: "read it back first" })
    }
    /// Microseconds that the frame last polled took by the clock of the GPU that made it.
    fn gpu_micros(&self) -> Option<u64> {
        None
    }
    /// Appends the next finished temporal unit (low-overhead OBU stream, temporal delimiter included) to `out`.
    /// `None` when the encoder needs more input.
    fn poll(&mut self, out: &mut Vec<u8>) -> Result<Option<EncodedInfo>, CodecError>;
    /// Copies what a decoder must show for the frame last returned by `poll`; `false` where the encoder cannot tell.
    fn reconstruction(&mut self, out: &mut Picture) -> bool;
    /// Makes the next submitted frame a key frame.
    fn request_keyframe(&mut self);
    /// Sets the target from the next submitted frame on, in bits a second.
    fn set_bitrate(&mut self, bits_per_second: u32) -> Result<(), CodecError>;
    /// Sets the frame rate from the next submitted frame on, numerator and denominator; 1 to 1000 frames a second.
    fn set_framerate(&mut self, fps: (u32, u32)) -> Result<(), CodecError>;
    /// Refuses a size that the pictures to come could not have. Where they may have it, the first picture of another
    /// size than the one before becomes a key frame by itself.
    fn check_size(&self, size: Size) -> Result<(), CodecError> {
        let what = format!("pictures of {size} after others");
        let hint = "keep the size it was opened with, or open a new encoder";
        Err(CodecError::Config { codec: self.info().name, what, hint })
    }
    /// No more input follows: `poll` then returns what is held back.
    fn flush(&mut self) -> Result<(), CodecError>;
}

/// Turns temporal units into pictures.
pub trait VideoDecoder: Send {
    /// Name in the table of candidates, for example `dav1d`.
    fn name(&self) -> &'static str;
    /// Takes one temporal unit; `frame` comes back from `poll`.
    fn submit(&mut self, data: &[u8], frame: u64) -> Result<(), CodecError>;
    /// Writes the next shown picture to `out` and returns its frame number; `None` when input is needed.
    fn poll(&mut self, out: &mut Picture) -> Result<Option<u64>, CodecError>;
    /// Forgets all references; the next frame must be a key frame.
    fn reset(&mut self);
}

/// Turns 48 kHz samples into Opus packets.
pub trait AudioEncoder: Send {
    /// Samples per channel of one packet.
    fn frame_samples(&self) -> usize;
    /// Channels, 1 or 2.
    fn channels(&self) -> u8;
    /// Encodes exactly one packet's interleaved samples and appends the packet to `out`.
    fn encode(&mut self, pcm: &[i16], out: &mut Vec<u8>) -> Result<(), CodecError>;
    /// Sets the target from the next packet on, in bits a second.
    fn set_bitrate(&mut self, bits_per_second: u32) -> Result<(), CodecError>;
    /// Tells the encoder which loss (percent) in-band FEC should survive.
    fn set_expected_loss(&mut self, percent: u8) -> Result<(), CodecError>;
}

/// What an audio decoder is asked to make one packet's samples from.
#[derive(Clone, Copy, Debug)]
pub enum AudioInput<'a> {
    /// The packet itself.
    Packet(&'a [u8]),
    /// The packet after a lost one: its in-band FEC fills the gap.
    Fec(&'a [u8]),
    /// Nothing: conceal.
    Lost,
}

/// Turns Opus packets into 48 kHz samples.
pub trait AudioDecoder: Send {
    /// Channels, 1 or 2.
    fn channels(&self) -> u8;
    /// Writes one packet's interleaved samples to the front of `pcm`, whose length bounds the concealment asked
    /// for; returns samples per channel.
    fn decode(&mut self, input: AudioInput<'_>, pcm: &mut [i16]) -> Result<usize, CodecError>;
}

/// Why a codec did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The configuration cannot work; the caller is at fault.
    #[error("{codec}: {what}; {hint}")]
    Config {
        /// The codec that refused.
        codec: &'static str,
        /// What is wrong.
        what: String,
        /// What to try.
        hint: &'static str,
    },
    /// The input is damaged or not what the codec reads.
    #[error("{codec}: damaged input ({what}); wait for the next key frame")]
    Data {
        /// The codec that refused.
        codec: &'static str,
        /// What is wrong.
        what: String,
    },
    /// The codec failed by itself.
    #[error("{codec}: failed inside ({what}); open it anew")]
    Internal {
        /// The codec that failed.
        codec: &'static str,
        /// What it said.
        what: String,
    },
    /// The GPU cannot do what it was asked, or there is none.
    #[error("{codec}: {error}")]
    Device {
        /// The codec that wanted it.
        codec: &'static str,
        /// Why.
        error: conclave_shaders::DeviceError,
    },
    /// A live session was asked to use an encoder that waits for later frames.
    #[error(
        "{codec} returns frame N only after {max_lag} later frames, and a live session waits for none; take {fits}, \
         or run the session offline"
    )]
    Lag {
        /// The encoder that was refused.
        codec: &'static str,
        /// Its lag in frames.
        max_lag: u32,
        /// Names of those that a live session takes.
        fits: String,
    },
    /// No candidate has this name.
    #[error("no encoder is called {name:?}; this build has {known}, or say auto")]
    Unknown {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// Every candidate refused.
    #[error("no encoder opened; tried {tried}")]
    NoneOpened {
        /// Each candidate with its reason.
        tried: String,
    },
}
