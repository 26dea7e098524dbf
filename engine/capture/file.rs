//! Files as sources: pictures with their times, and 48 kHz samples, whatever the file holds.

use std::collections::VecDeque;
use std::path::Path;

use conclave_codecs::container::{
    self, AudioCodec, AudioInfo, AudioSource, ContainerError, VideoCodec, VideoInfo, VideoSource,
};
use conclave_codecs::{AudioDecoder, AudioInput, CodecError, Picture, VideoDecoder};

use super::resample::{OUT_RATE, Resampler};
use crate::time::Time;

/// Why a file gave no picture or no sound.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// The decoder, on what the file held.
    #[error("frame {frame}: {source}")]
    Codec {
        /// Number of the frame or packet within the file, from 0.
        frame: u64,
        /// What the decoder said.
        source: CodecError,
    },
    /// A rate that is not brought to 48 kHz.
    #[error("sound at {rate} Hz has no small ratio to 48000 Hz; convert it with `ffmpeg -ar 48000`")]
    Rate {
        /// Samples a second.
        rate: u32,
    },
}

/// The pictures of a file.
pub struct FileVideo {
    source: VideoSource,
    decoder: Box<dyn VideoDecoder>,
    /// The unit on its way to the decoder.
    unit: Vec<u8>,
    /// Numbers and times of units whose pictures are still to come; of hidden ones no time.
    waiting: VecDeque<(u64, Option<u64>)>,
    frame: u64,
    ended: bool,
}

impl FileVideo {
    /// Opens any file, `-` being standard input; `decoder` is used where it holds AV1. Streams of more than 8 bits go
    /// through `ffmpeg`, since pictures have 8.
    pub fn open(path: &Path, decoder: Box<dyn VideoDecoder>) -> Result<Self, FileError> {
        let mut source = container::open_video(path)?;
        if source.info().bit_depth != 8 {
            source = container::open_video_converted(path)?;
        }
        Ok(Self::new(source, decoder))
    }

    /// Reads from an opened source.
    pub fn new(source: VideoSource, decoder: Box<dyn VideoDecoder>) -> Self {
        Self { source, decoder, unit: Vec::new(), waiting: VecDeque::new(), frame: 0, ended: false }
    }

    /// Size, colour, rate and length, as far as the file says.
    pub fn info(&self) -> &VideoInfo {
        self.source.info()
    }

    /// Writes the next picture to `out` and returns its time within the file; `None` at the end. After a decoder's
    /// error the next call goes on with the next frame.
    pub fn next(&mut self, out: &mut Picture) -> Result<Option<Time>, FileError> {
        if self.source.info().codec == VideoCodec::Raw {
            return Ok(self.source.next_raw(out)?.map(Time));
        }
        loop {
            let shown = self.decoder.poll(out).map_err(|source| FileError::Codec { frame: self.frame, source })?;
            if let Some(number) = shown {
                match self.time_of(number) {
                    Some(time) => return Ok(Some(Time(time))),
                    None => continue,
                }
            }
            if self.ended {
                return Ok(None);
            }
            self.unit.clear();
            let Some(time) = self.source.next_unit(&mut self.unit)? else {
                self.ended = true;
                continue;
            };
            let frame = self.frame;
            self.frame += 1;
            if self.waiting.len() == MAX_WAITING {
                self.waiting.pop_front();
            }
            self.waiting.push_back((frame, (!self.source.hidden()).then_some(time)));
            self.decoder.submit(&self.unit, frame).map_err(|source| FileError::Codec { frame, source })?;
        }
    }

    /// The time of a unit, `None` where it is hidden. It stays noted, since one unit may show more than one picture; older ones are forgotten.
    fn time_of(&mut self, number: u64) -> Option<u64> {
        while self.waiting.len() > 1 && self.waiting[0].0 < number {
            self.waiting.pop_front();
        }
        self.waiting.front().map_or(Some(0), |(_, time)| *time)
    }
}

/// The sound of a file at 48 kHz.
pub struct FileAudio {
    source: AudioSource,
    decoder: Option<Box<dyn AudioDecoder>>,
    resampler: Option<Resampler>,
    packet: Vec<u8>,
    raw: Vec<i16>,
    /// Samples ready to be given, from `at` on.
    ready: Vec<i16>,
    at: usize,
    /// Samples per channel to drop before the first one given.
    skip: usize,
    /// Samples per channel decoded so far, the skipped ones counted.
    decoded: u64,
    gain: Option<f32>,
    packets: u64,
    ended: bool,
}

impl FileAudio {
    /// Opens the sound of any file; `None` where it has none. `decoder` makes an Opus decoder for the channels it is
    /// told, and is asked only where the file holds Opus.
    pub fn open(
        path: &Path,
        decoder: impl FnOnce(u8) -> Result<Box<dyn AudioDecoder>, CodecError>,
    ) -> Result<Option<Self>, FileError> {
        container::open_audio(path)?.map(|source| Self::new(source, decoder)).transpose()
    }

    /// Reads from an opened source.
    pub fn new(
        source: AudioSource,
        decoder: impl FnOnce(u8) -> Result<Box<dyn AudioDecoder>, CodecError>,
    ) -> Result<Self, FileError> {
        let AudioInfo { rate, channels, codec, pre_skip, gain, .. } = *source.info();
        let decoder = match codec {
            AudioCodec::Opus => Some(decoder(channels).map_err(|source| FileError::Codec { frame: 0, source })?),
            AudioCodec::Pcm => None,
        };
        let resampler = match rate {
            OUT_RATE => None,
            rate => Some(Resampler::new(rate, channels).ok_or(FileError::Rate { rate })?),
        };
        Ok(Self {
            source,
            decoder,
            resampler,
            packet: Vec::new(),
            raw: Vec::new(),
            ready: Vec::new(),
            at: 0,
            skip: pre_skip.into(),
            decoded: 0,
            gain: (gain != 0).then(|| 10f32.powf(f32::from(gain) / (20.0 * 256.0))),
            packets: 0,
            ended: false,
        })
    }

    /// Channels of the samples given, 1 or 2.
    pub fn channels(&self) -> u8 {
        self.source.info().channels
    }

    /// What the file says of its sound.
    pub fn info(&self) -> &AudioInfo {
        self.source.info()
    }

    /// Fills `out` with interleaved samples and returns how many per channel came; fewer than fit only at the end.
    pub fn read(&mut self, out: &mut [i16]) -> Result<usize, FileError> {
        let channels = usize::from(self.channels());
        let wanted = out.len() / channels * channels;
        let mut got = 0;
        while got < wanted {
            if self.at == self.ready.len() {
                self.ready.clear();
                self.at = 0;
                if self.ended {
                    break;
                }
                self.refill()?;
                continue;
            }
            let count = (wanted - got).min(self.ready.len() - self.at);
            out[got..got + count].copy_from_slice(&self.ready[self.at..self.at + count]);
            self.at += count;
            got += count;
        }
        Ok(got / channels)
    }

    fn refill(&mut self) -> Result<(), FileError> {
        let Some(decoder) = &mut self.decoder else {
            self.raw.clear();
            self.ended = self.source.next_samples(CHUNK, &mut self.raw)? == 0;
            match &mut self.resampler {
                Some(resampler) if self.ended => resampler.finish(&mut self.ready),
                Some(resampler) => resampler.push(&self.raw, &mut self.ready),
                None => self.ready.extend_from_slice(&self.raw),
            }
            return Ok(());
        };
        self.packet.clear();
        if self.source.next_packet(&mut self.packet)?.is_none() {
            self.ended = true;
            return Ok(());
        }
        let channels = usize::from(self.source.info().channels);
        self.raw.resize(MAX_PACKET_SAMPLES * channels, 0);
        let frame = self.packets;
        self.packets += 1;
        let input = AudioInput::Packet(&self.packet);
        let count = decoder.decode(input, &mut self.raw).map_err(|source| FileError::Codec { frame, source })?;
        let mut count = count.min(MAX_PACKET_SAMPLES);
        // The end's granule position cuts the last packet (RFC 7845 §4.4).
        if let Some(end) = self.source.end() {
            count = count.min(usize::try_from(end.saturating_sub(self.decoded)).unwrap_or(usize::MAX));
        }
        self.decoded += count as u64;
        let dropped = count.min(self.skip);
        self.skip -= dropped;
        let samples = &mut self.raw[dropped * channels..count * channels];
        if let Some(gain) = self.gain {
            samples.iter_mut().for_each(|s| *s = (f32::from(*s) * gain).round().clamp(-32768.0, 32767.0) as i16);
        }
        self.ready.extend_from_slice(samples);
        Ok(())
    }
}

/// Units a decoder may hold before their pictures come.
const MAX_WAITING: usize = 64;
/// Samples per channel taken from a file at once.
const CHUNK: usize = 4096;
/// 120 ms, the longest Opus packet.
const MAX_PACKET_SAMPLES: usize = 5760;
