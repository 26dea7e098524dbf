//! WAV through `hound`: integer PCM of 8 to 32 bits and 32-bit float, brought to 16 bits.

use std::path::Path;

use super::error::{ContainerError, Result};
use super::input::Input;
use super::staged::Staged;

/// Reads interleaved samples; more than two channels are averaged to one.
pub(super) struct Reader {
    wav: hound::WavReader<Input>,
    name: String,
    channels: u8,
}

impl Reader {
    pub(super) fn open(mut input: Input) -> Result<Self> {
        input.set_format("wav");
        let name = input.name().to_owned();
        let wav = hound::WavReader::new(input).map_err(|error| fault(&name, error))?;
        let spec = wav.spec();
        if !(1000..=384_000).contains(&spec.sample_rate) || !(1..=64).contains(&spec.channels) {
            let what = format!("{} channels at {} Hz", spec.channels, spec.sample_rate);
            return Err(ContainerError::Damaged { path: name, format: "wav", what });
        }
        let channels = if spec.channels == 2 { 2 } else { 1 };
        Ok(Self { wav, name, channels })
    }

    pub(super) fn rate(&self) -> u32 {
        self.wav.spec().sample_rate
    }

    pub(super) fn channels(&self) -> u8 {
        self.channels
    }

    pub(super) fn frames(&self) -> u64 {
        self.wav.duration().into()
    }

    /// Appends up to `count` samples per channel; returns how many.
    pub(super) fn next(&mut self, count: usize, out: &mut Vec<i16>) -> Result<usize> {
        let spec = self.wav.spec();
        for got in 0..count {
            let mut sum = 0;
            for channel in 0..spec.channels {
                let sample = match spec.sample_format {
                    hound::SampleFormat::Int => {
                        let sample = self.wav.samples::<i32>().next();
                        sample.map(|s| s.map(|s| widen(s, spec.bits_per_sample)))
                    }
                    hound::SampleFormat::Float => {
                        let sample = self.wav.samples::<f32>().next();
                        sample.map(|s| s.map(|s| (s * 32768.0).round().clamp(-32768.0, 32767.0) as i32))
                    }
                };
                match sample {
                    Some(Ok(sample)) if spec.channels <= 2 => out.push(sample as i16),
                    Some(Ok(sample)) => sum += sample,
                    Some(Err(error)) => return Err(fault(&self.name, error)),
                    None if channel == 0 => return Ok(got),
                    None => {
                        let what = "the last sample lacks a channel".to_owned();
                        return Err(ContainerError::Damaged { path: self.name.clone(), format: "wav", what });
                    }
                }
            }
            if spec.channels > 2 {
                out.push((sum / i32::from(spec.channels)) as i16);
            }
        }
        Ok(count)
    }
}

/// A sample of `bits` bits as one of 16.
fn widen(sample: i32, bits: u16) -> i32 {
    match bits {
        0..=16 => (sample << (16 - bits)).clamp(-32768, 32767),
        _ => (sample >> (bits - 16).min(31)).clamp(-32768, 32767),
    }
}

fn fault(name: &str, error: hound::Error) -> ContainerError {
    let path = name.to_owned();
    match error {
        hound::Error::IoError(source)
            if source.kind() != std::io::ErrorKind::UnexpectedEof && source.raw_os_error().is_some() =>
        {
            ContainerError::Read { path, source }
        }
        hound::Error::Unsupported => ContainerError::Unsupported {
            path,
            what: "wav with samples that are not plain PCM".to_owned(),
            hint: "convert it to 16-bit PCM".to_owned(),
        },
        error => ContainerError::Damaged { path, format: "wav", what: error.to_string().to_lowercase() },
    }
}

/// Writes 16-bit PCM; the file appears at its name with [`WavWriter::finish`].
pub struct WavWriter {
    wav: hound::WavWriter<Staged>,
    done: super::staged::Done,
    path: String,
}

impl WavWriter {
    /// Begins a file of `channels` interleaved channels at `rate` Hz.
    pub fn create(path: &Path, rate: u32, channels: u8) -> Result<Self> {
        let (staged, done) = Staged::create(path)?;
        let name = path.display().to_string();
        let spec = hound::WavSpec {
            channels: channels.into(),
            sample_rate: rate,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let wav = hound::WavWriter::new(staged, spec).map_err(|error| refused(&name, error))?;
        Ok(Self { wav, done, path: name })
    }

    /// Appends interleaved samples.
    pub fn write(&mut self, samples: &[i16]) -> Result<()> {
        for sample in samples {
            self.wav.write_sample(*sample).map_err(|error| refused(&self.path, error))?;
        }
        Ok(())
    }

    /// Completes the file and gives it its name.
    pub fn finish(self) -> Result<()> {
        self.wav.finalize().map_err(|error| refused(&self.path, error))?;
        self.done.publish()
    }
}

fn refused(path: &str, error: hound::Error) -> ContainerError {
    let hint = "check the free space and the sample format";
    ContainerError::Write { path: path.to_owned(), what: error.to_string(), hint }
}
