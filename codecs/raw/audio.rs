//! The audio double: a packet carries every twelfth sample in 8 bits, and a coarser copy of the packet before for
//! [`AudioInput::Fec`].

use super::{NAME, damaged, refuse};
use crate::candidates::check_bitrate;
use crate::{AudioDecoder, AudioEncoder, AudioInput, CodecError};

/// The encoder.
pub struct Encoder {
    channels: u8,
    samples: usize,
    bitrate: u32,
    /// The packet before, coarse; empty before the first.
    before: Vec<u8>,
}

impl Encoder {
    /// An encoder of `samples` samples per channel a packet (480 or 960) and 1 or 2 channels.
    pub fn open(channels: u8, samples: usize) -> Result<Self, CodecError> {
        if !(1..=2).contains(&channels) || !matches!(samples, 480 | 960) {
            return refuse(format!("{channels} channels of {samples} samples"), "take 1 or 2 of 480 or 960");
        }
        let before = Vec::with_capacity(samples / COARSE * usize::from(channels));
        Ok(Self { channels, samples, bitrate: 0, before })
    }
}

impl AudioEncoder for Encoder {
    fn frame_samples(&self) -> usize {
        self.samples
    }

    fn channels(&self) -> u8 {
        self.channels
    }

    fn encode(&mut self, pcm: &[i16], out: &mut Vec<u8>) -> Result<(), CodecError> {
        let channels = usize::from(self.channels);
        if pcm.len() != self.samples * channels {
            return refuse(format!("{} samples came for a packet", pcm.len()), "collect whole packets");
        }
        let start = out.len();
        let every = |step: usize| pcm.chunks_exact(channels * step).flat_map(move |frames| &frames[..channels]);
        out.extend_from_slice(&[self.channels, (self.samples / 480) as u8, u8::from(!self.before.is_empty())]);
        out.extend(every(FINE).map(|&sample| compress(sample)));
        out.extend_from_slice(&self.before);
        self.before.clear();
        self.before.extend(every(COARSE).map(|&sample| compress(sample)));
        // Fill up to the rate asked for: 48,000 samples a second, 8 bits a byte.
        let wanted = u64::from(self.bitrate) * self.samples as u64 / (8 * 48_000);
        out.resize(out.len().max(start + wanted.min(1275) as usize), 0);
        Ok(())
    }

    fn set_bitrate(&mut self, bits_per_second: u32) -> Result<(), CodecError> {
        check_bitrate(NAME, bits_per_second)?;
        self.bitrate = bits_per_second;
        Ok(())
    }

    fn set_expected_loss(&mut self, percent: u8) -> Result<(), CodecError> {
        if percent <= 100 { Ok(()) } else { refuse(format!("a loss of {percent} % cannot be"), "take 0 to 100") }
    }
}

/// The decoder: holds each sample until the next, conceals with silence.
pub struct Decoder {
    channels: u8,
}

impl Decoder {
    /// A decoder for packets of `channels` channels, 1 or 2.
    pub fn open(channels: u8) -> Result<Self, CodecError> {
        match channels {
            1 | 2 => Ok(Self { channels }),
            _ => refuse(format!("{channels} channels cannot be decoded"), "take 1 or 2"),
        }
    }
}

impl AudioDecoder for Decoder {
    fn channels(&self) -> u8 {
        self.channels
    }

    fn decode(&mut self, input: AudioInput<'_>, pcm: &mut [i16]) -> Result<usize, CodecError> {
        let channels = usize::from(self.channels);
        let (packet, fec) = match input {
            AudioInput::Packet(packet) => (packet, false),
            AudioInput::Fec(packet) => (packet, true),
            AudioInput::Lost => {
                pcm.fill(0);
                return Ok(pcm.len() / channels);
            }
        };
        let [count, tens, has_before, body @ ..] = packet else { return Err(damaged("a packet without a head")) };
        let samples = 480 * usize::from(*tens);
        if *count != self.channels || !matches!(samples, 480 | 960) || pcm.len() < samples * channels {
            return Err(damaged("a packet of another shape"));
        }
        let fine = samples / FINE * channels;
        let (from, step) = match (fec, *has_before) {
            (false, _) => (body.get(..fine), FINE),
            (true, 1) => (body.get(fine..fine + samples / COARSE * channels), COARSE),
            (true, _) => return Err(damaged("a packet without a copy of the one before")),
        };
        let from = from.ok_or_else(|| damaged("a packet cut short"))?;
        let groups = pcm[..samples * channels].chunks_exact_mut(step * channels);
        for (group, values) in groups.zip(from.chunks_exact(channels)) {
            for frame in group.chunks_exact_mut(channels) {
                frame.iter_mut().zip(values).for_each(|(sample, &value)| *sample = expand(value));
            }
        }
        Ok(samples)
    }
}

/// 16 bits to 8: the square root of the amplitude, and its sign.
fn compress(sample: i16) -> u8 {
    let root = (u32::from(sample.unsigned_abs()) / 2).isqrt().min(127) as u8;
    root | if sample < 0 { 128 } else { 0 }
}

fn expand(code: u8) -> i16 {
    let value = 2 * i16::from(code & 127).pow(2);
    if code >= 128 { -value } else { value }
}

/// A packet keeps one sample in this many.
const FINE: usize = 12;
/// Its copy of the packet before keeps one in this many.
const COARSE: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_passes_and_its_copy_fills_a_gap() {
        for (channels, samples) in [(1u8, 480), (2, 480), (1, 960), (2, 960)] {
            let mut encoder = Encoder::open(channels, samples).expect("opens");
            let mut decoder = Decoder::open(channels).expect("opens");
            encoder.set_bitrate(64_000).expect("in range");
            let tone = |packet: usize| {
                let value = move |i: usize| (((packet * samples + i) as f64 / 60.0).sin() * 9000.0) as i16;
                (0..samples * usize::from(channels)).map(|i| value(i / usize::from(channels))).collect::<Vec<_>>()
            };
            let mut packets = [Vec::new(), Vec::new()];
            for (i, packet) in packets.iter_mut().enumerate() {
                encoder.encode(&tone(i), packet).expect("encodes");
                assert!(packet.len() >= samples / 6);
            }
            let mut pcm = vec![0; samples * usize::from(channels)];
            let mut error = |input| {
                assert_eq!(decoder.decode(input, &mut pcm).expect("decodes"), samples);
                pcm.iter().zip(tone(0)).map(|(&a, b)| (f64::from(a) - f64::from(b)).abs()).sum::<f64>()
                    / pcm.len() as f64
            };
            let [exact, copy, lost] =
                [AudioInput::Packet(&packets[0]), AudioInput::Fec(&packets[1]), AudioInput::Lost].map(&mut error);
            assert!(exact < 1000.0 && exact < copy && copy < lost, "{exact} {copy} {lost}");
            assert!(decoder.decode(AudioInput::Fec(&packets[0]), &mut pcm).is_err(), "the first has no copy");
            assert!(
                (0..samples / 12).all(|len| decoder.decode(AudioInput::Packet(&packets[0][..len]), &mut pcm).is_err())
            );
        }
    }
}
