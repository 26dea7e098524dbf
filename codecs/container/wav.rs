//! WAV through `hound`: integer PCM of 8 to 32 bits and 32-bit float, brought to 16 bits.

use std::path::Path;

use super::error::{ContainerError, Result};
use super::input::Input;
use super::staged::{Staged, refuse};

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
        // Floats of 64 bits, say: the header of `hound` takes them, its samples do not.
        if spec.bits_per_sample > 32 || spec.sample_format == hound::SampleFormat::Float && spec.bits_per_sample != 32 {
            return Err(fault(&name, hound::Error::Unsupported));
        }
        if !RATES.contains(&spec.sample_rate) || !(1..=64).contains(&spec.channels) {
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
        // The second is what `hound` says of floats of 64 bits in a short header.
        hound::Error::Unsupported | hound::Error::FormatError("bits per sample is not 32") => {
            ContainerError::Unsupported {
                path,
                what: "wav with samples that are not plain PCM".to_owned(),
                hint: "convert it to 16-bit PCM".to_owned(),
            }
        }
        error => ContainerError::Damaged { path, format: "wav", what: error.to_string().to_lowercase() },
    }
}

/// Writes 16-bit PCM; the file appears at its name with [`WavWriter::finish`].
pub struct WavWriter {
    wav: hound::WavWriter<Staged>,
    done: super::staged::Done,
    path: String,
    /// Samples that the file's 32-bit lengths still have room for.
    room: usize,
}

impl WavWriter {
    /// Begins a file of `channels` interleaved channels at `rate` Hz. It holds just under 4 GiB.
    pub fn create(path: &Path, rate: u32, channels: u8) -> Result<Self> {
        if channels == 0 || !RATES.contains(&rate) {
            let what = format!("{channels} channels at {rate} Hz");
            return Err(refuse(path, &what, "give at least one channel and 1000 to 384000 Hz"));
        }
        let (staged, done) = Staged::create(path)?;
        let name = path.display().to_string();
        let spec = hound::WavSpec {
            channels: channels.into(),
            sample_rate: rate,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let wav = hound::WavWriter::new(staged, spec).map_err(|error| refused(&name, error))?;
        Ok(Self { wav, done, path: name, room: MAX_SAMPLES })
    }

    /// Appends interleaved samples; of those that do not fit it takes none.
    pub fn write(&mut self, samples: &[i16]) -> Result<()> {
        self.room = self.room.checked_sub(samples.len()).ok_or_else(|| {
            let hint = "write a second file, or convert the sound to Opus";
            refuse(Path::new(&self.path), "wav holds no more than 4 GiB", hint)
        })?;
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
    refuse(Path::new(path), &error.to_string(), "check the free space and the sample format")
}

const RATES: std::ops::RangeInclusive<u32> = 1000..=384_000;
/// The first length counts 36 bytes of header too.
const MAX_SAMPLES: usize = (u32::MAX as usize - 36) / 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wav_cannot_hold_is_refused_and_leaves_nothing() {
        let folder = std::env::temp_dir().join(format!("conclave-wav-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("a.wav");
        for (rate, channels) in [(48_000, 0), (0, 1), (u32::MAX, 2)] {
            let text = WavWriter::create(&path, rate, channels).err().unwrap().to_string();
            assert!(text.contains("a.wav") && text.contains("at least one channel"), "{text}");
        }
        let mut writer = WavWriter::create(&path, 48_000, 2).unwrap();
        assert_eq!(writer.room as u64 * 2 + 36, u64::from(u32::MAX - 1));
        writer.room = 4;
        writer.write(&[1; 4]).unwrap();
        let text = writer.write(&[1]).err().unwrap().to_string();
        assert!(text.contains("a.wav") && text.contains("4 GiB"), "{text}");
        drop(writer);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
        std::fs::remove_dir(folder).unwrap();
    }
}
