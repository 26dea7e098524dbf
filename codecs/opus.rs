//! Opus at 48 kHz by libopus: in-band FEC, concealment, a rate that changes live.
//!
//! FEC works where the encoder codes speech (its linear-prediction layer), and only while it expects loss. DTX is off
//! unless asked for: the silence that it saves would show on the wire.

use crate::{AudioDecoder, AudioEncoder, AudioInput, CodecError};

/// Length of one packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub enum Frame {
    /// 10 ms: less delay, more overhead.
    Ms10,
    /// 20 ms.
    #[default]
    Ms20,
}

impl Frame {
    /// Samples per channel.
    pub const fn samples(self) -> usize {
        match self {
            Frame::Ms10 => 480,
            Frame::Ms20 => 960,
        }
    }
}

/// What an encoder is tuned for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub enum Tuning {
    /// Speech that is understood, in a call.
    #[default]
    Speech,
    /// Any sound, as like the original as can be.
    Music,
}

/// How an Opus encoder is to work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Config {
    /// 1 or 2.
    pub channels: u8,
    /// Length of one packet.
    pub frame: Frame,
    /// Bits a second, 6,000…510,000.
    pub bitrate: u32,
    /// Every packet of the same length, so that lengths tell nothing of the speech.
    pub cbr: bool,
    /// Each packet carries a coarse copy of the one before.
    pub fec: bool,
    /// Send almost nothing in silence.
    pub dtx: bool,
    /// Loss in percent that FEC should survive, 0…100.
    pub expected_loss: u8,
    /// 0 the fastest, 10 the best.
    pub complexity: u8,
    /// What it is tuned for.
    pub tuning: Tuning,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            channels: 1,
            frame: Frame::Ms20,
            bitrate: 32_000,
            cbr: false,
            fec: true,
            dtx: false,
            expected_loss: 10,
            complexity: 9,
            tuning: Tuning::Speech,
        }
    }
}

/// A libopus encoder behind the trait.
pub struct Encoder {
    inner: ::opus::Encoder,
    channels: u8,
    frame: Frame,
    packet: [u8; MAX_PACKET],
}

impl Encoder {
    /// Opens an encoder. Errors name what is wrong with the configuration.
    pub fn open(config: Config) -> Result<Self, CodecError> {
        check_bitrate(config.bitrate)?;
        check_loss(config.expected_loss)?;
        if config.complexity > 10 {
            return refuse(format!("complexity {} does not exist", config.complexity), "take 0 to 10");
        }
        let channels = channels(config.channels)?;
        let application = match config.tuning {
            Tuning::Speech => ::opus::Application::Voip,
            Tuning::Music => ::opus::Application::Audio,
        };
        let mut inner = ::opus::Encoder::new(RATE, channels, application).map_err(internal)?;
        inner.set_bitrate(::opus::Bitrate::Bits(config.bitrate as i32)).map_err(internal)?;
        inner.set_vbr(!config.cbr).map_err(internal)?;
        inner.set_inband_fec(config.fec).map_err(internal)?;
        inner.set_packet_loss_perc(config.expected_loss.into()).map_err(internal)?;
        inner.set_dtx(config.dtx).map_err(internal)?;
        inner.set_complexity(config.complexity.into()).map_err(internal)?;
        Ok(Self { inner, channels: config.channels, frame: config.frame, packet: [0; MAX_PACKET] })
    }

    /// Samples per channel by which the decoder's output trails the input, before any network.
    pub fn lookahead(&mut self) -> usize {
        self.inner.get_lookahead().map_or(0, |samples| samples.max(0) as usize)
    }
}

impl AudioEncoder for Encoder {
    fn frame_samples(&self) -> usize {
        self.frame.samples()
    }

    fn channels(&self) -> u8 {
        self.channels
    }

    fn encode(&mut self, pcm: &[i16], out: &mut Vec<u8>) -> Result<(), CodecError> {
        let wanted = self.frame.samples() * usize::from(self.channels);
        if pcm.len() != wanted {
            return refuse(format!("{} samples came for a packet of {wanted}", pcm.len()), "collect whole packets");
        }
        let len = self.inner.encode(pcm, &mut self.packet).map_err(internal)?;
        out.extend_from_slice(&self.packet[..len]);
        Ok(())
    }

    fn set_bitrate(&mut self, bits_per_second: u32) -> Result<(), CodecError> {
        check_bitrate(bits_per_second)?;
        self.inner.set_bitrate(::opus::Bitrate::Bits(bits_per_second as i32)).map_err(internal)
    }

    fn set_expected_loss(&mut self, percent: u8) -> Result<(), CodecError> {
        check_loss(percent)?;
        self.inner.set_packet_loss_perc(percent.into()).map_err(internal)
    }
}

/// A libopus decoder behind the trait. It mixes or doubles channels where a packet has another number of them.
pub struct Decoder {
    inner: ::opus::Decoder,
    channels: u8,
}

impl Decoder {
    /// Opens a decoder that gives `channels` channels, 1 or 2.
    pub fn open(channels: u8) -> Result<Self, CodecError> {
        let inner = ::opus::Decoder::new(RATE, self::channels(channels)?).map_err(internal)?;
        Ok(Self { inner, channels })
    }
}

impl AudioDecoder for Decoder {
    fn channels(&self) -> u8 {
        self.channels
    }

    fn decode(&mut self, input: AudioInput<'_>, pcm: &mut [i16]) -> Result<usize, CodecError> {
        let channels = usize::from(self.channels);
        let room = pcm.len() / channels;
        let damaged = |what| Err(CodecError::Data { codec: NAME, what });
        let (packet, fec) = match input {
            AudioInput::Packet(packet) => (packet, false),
            AudioInput::Fec(packet) => (packet, true),
            AudioInput::Lost => (&[][..], false),
        };
        if !matches!(input, AudioInput::Lost) {
            if packet.is_empty() || packet.len() > MAX_INPUT {
                return damaged(format!("a packet of {} bytes", packet.len()));
            }
            let samples = ::opus::packet::get_nb_samples(packet, RATE).map_err(data)?;
            if !fec && samples > room {
                return refuse(format!("{samples} samples do not fit into {room}"), "give room for 120 ms");
            }
        }
        // Concealment fills what it is given, in steps of 2.5 ms; a packet states its own length.
        let len = match input {
            AudioInput::Packet(_) => room.min(MAX_SAMPLES),
            _ => room.min(MAX_SAMPLES) / STEP * STEP,
        };
        if len == 0 {
            return refuse(format!("{room} samples were asked for"), "ask for at least 120 samples");
        }
        self.inner.decode(packet, &mut pcm[..len * channels], fec).map_err(data)
    }
}

fn channels(count: u8) -> Result<::opus::Channels, CodecError> {
    match count {
        1 => Ok(::opus::Channels::Mono),
        2 => Ok(::opus::Channels::Stereo),
        _ => refuse(format!("{count} channels cannot be coded"), "take 1 or 2"),
    }
}

fn check_bitrate(bits: u32) -> Result<(), CodecError> {
    if (6_000..=510_000).contains(&bits) {
        return Ok(());
    }
    refuse(format!("a target of {bits} bits a second cannot be met"), "take 6000 to 510000, for example 32000")
}

fn check_loss(percent: u8) -> Result<(), CodecError> {
    if percent <= 100 { Ok(()) } else { refuse(format!("a loss of {percent} % cannot be"), "take 0 to 100") }
}

fn refuse<T>(what: String, hint: &'static str) -> Result<T, CodecError> {
    Err(CodecError::Config { codec: NAME, what, hint })
}

fn internal(error: ::opus::Error) -> CodecError {
    CodecError::Internal { codec: NAME, what: error.to_string() }
}

fn data(error: ::opus::Error) -> CodecError {
    CodecError::Data { codec: NAME, what: error.to_string() }
}

const NAME: &str = "opus";
const RATE: u32 = 48_000;
/// Longest frame in bytes (RFC 6716, section 3.4) with the byte in front of it.
const MAX_PACKET: usize = 1276;
/// Longest packet read: 48 frames of 1275 bytes with their lengths (RFC 6716, section 3.2.5).
const MAX_INPUT: usize = 2 + 48 * (2 + 1275);
/// 120 ms, the longest packet.
const MAX_SAMPLES: usize = 5760;
/// 2.5 ms, the step of concealment.
const STEP: usize = 120;

#[cfg(test)]
mod tests {
    use super::*;

    /// Something like a vowel: a gliding fundamental with harmonics.
    fn voice(packet: usize, samples: usize, channels: u8) -> Vec<i16> {
        let value = |i: usize| {
            let t = i as f64 / 48_000.0;
            let phase = std::f64::consts::TAU * (140.0 * t + 8.0 * (2.0 * t).sin());
            (1..12).map(|h| (phase * f64::from(h)).sin() * 5000.0 / f64::from(h)).sum::<f64>() as i16
        };
        (0..samples * usize::from(channels)).map(|i| value(packet * samples + i / usize::from(channels))).collect()
    }

    /// Syllables: 100 ms of voice, 100 ms of quiet, so that concealment cannot know what a lost packet brings.
    fn syllables(packet: usize, samples: usize) -> Vec<i16> {
        let mut pcm = voice(packet, samples, 1);
        for (i, sample) in pcm.iter_mut().enumerate() {
            if !loud((packet * samples + i) / 480) {
                *sample /= 64;
            }
        }
        pcm
    }

    fn loud(ten_ms: usize) -> bool {
        ten_ms / 10 % 2 == 1
    }

    fn energy(pcm: &[i16]) -> f64 {
        pcm.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / pcm.len() as f64
    }

    fn distance(a: &[i16], b: &[i16]) -> f64 {
        a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum::<f64>() / a.len() as f64
    }

    fn packets(config: Config, count: usize) -> Vec<Vec<u8>> {
        let mut encoder = Encoder::open(config).expect("opens");
        let samples = encoder.frame_samples();
        let encode = |packet| {
            let mut out = Vec::new();
            encoder.encode(&voice(packet, samples, config.channels), &mut out).expect("encodes");
            out
        };
        (0..count).map(encode).collect()
    }

    #[test]
    fn speech_survives_in_both_lengths_and_channel_counts() {
        for (channels, frame) in [(1, Frame::Ms10), (1, Frame::Ms20), (2, Frame::Ms10), (2, Frame::Ms20)] {
            let config = Config { channels, frame, bitrate: 64_000, ..Config::default() };
            let mut decoder = Decoder::open(channels).expect("opens");
            let mut pcm = [0; 2 * MAX_SAMPLES];
            for (i, packet) in packets(config, 50).iter().enumerate() {
                let samples = decoder.decode(AudioInput::Packet(packet), &mut pcm).expect("decodes");
                assert_eq!(samples, frame.samples());
                let used = &pcm[..samples * usize::from(channels)];
                let ratio = energy(used) / energy(&voice(i, samples, channels));
                assert!(i < 10 || (0.5..2.0).contains(&ratio), "{config:?} packet {i}: {ratio}");
            }
        }
    }

    #[test]
    fn in_band_fec_rebuilds_an_onset_that_concealment_cannot_know() {
        for frame in [Frame::Ms10, Frame::Ms20] {
            let mut encoder = Encoder::open(Config { frame, expected_loss: 20, ..Config::default() }).expect("opens");
            let encode = |packet| {
                let mut out = Vec::new();
                encoder.encode(&syllables(packet, frame.samples()), &mut out).expect("encodes");
                out
            };
            let list: Vec<_> = (0..4800 * 24 / frame.samples()).map(encode).collect();
            let mut sum = [0.0; 2];
            // The second packet of each syllable: the first may be coded as quiet.
            let per_syllable = 9600 / frame.samples();
            for lost in (0..list.len()).filter(|packet| *packet > 40 && packet % per_syllable == per_syllable / 2 + 1) {
                let result = |repair: AudioInput<'_>| {
                    let mut decoder = Decoder::open(1).expect("opens");
                    let mut pcm = vec![0; frame.samples()];
                    for packet in &list[..lost] {
                        decoder.decode(AudioInput::Packet(packet), &mut pcm).expect("decodes");
                    }
                    assert_eq!(decoder.decode(repair, &mut pcm).expect("fills the gap"), frame.samples());
                    pcm
                };
                let truth = result(AudioInput::Packet(&list[lost]));
                sum[0] += distance(&truth, &result(AudioInput::Fec(&list[lost + 1])));
                sum[1] += distance(&truth, &result(AudioInput::Lost));
            }
            assert!(sum[0] < 0.5 * sum[1], "{frame:?}: FEC {} against concealment {}", sum[0], sum[1]);
        }
    }

    #[test]
    fn the_bitrate_changes_live_and_cbr_keeps_every_length() {
        let config = Config { bitrate: 24_000, cbr: true, ..Config::default() };
        assert!(packets(config, 30).iter().all(|packet| packet.len() == 60));
        let mut encoder = Encoder::open(config).expect("opens");
        let mut length = |bits| {
            encoder.set_bitrate(bits).expect("in range");
            let mut out = Vec::new();
            encoder.encode(&voice(0, 960, 1), &mut out).expect("encodes");
            out.len()
        };
        assert_eq!([length(24_000), length(48_000), length(16_000)], [60, 120, 40]);
    }

    #[test]
    fn silence_keeps_sending_unless_dtx_is_asked_for() {
        let length = |dtx| {
            let mut encoder = Encoder::open(Config { dtx, ..Config::default() }).expect("opens");
            let mut last = Vec::new();
            for _ in 0..60 {
                last.clear();
                encoder.encode(&[0; 960], &mut last).expect("encodes");
            }
            last.len()
        };
        assert!(length(false) > 2 && length(true) <= 2);
    }

    #[test]
    fn a_long_loss_fades_and_the_next_packet_is_heard() {
        let list = packets(Config::default(), 40);
        let mut decoder = Decoder::open(1).expect("opens");
        let mut pcm = [0; 960];
        for packet in &list[..20] {
            decoder.decode(AudioInput::Packet(packet), &mut pcm).expect("decodes");
        }
        let before = energy(&pcm);
        for _ in 0..50 {
            assert_eq!(decoder.decode(AudioInput::Lost, &mut pcm).expect("conceals"), 960);
        }
        assert!(energy(&pcm) < before / 100.0);
        for packet in &list[20..] {
            decoder.decode(AudioInput::Packet(packet), &mut pcm).expect("decodes");
        }
        assert!(energy(&pcm) > before / 4.0);
    }

    #[test]
    fn wrong_input_gets_a_sentence() {
        let wrong = [
            Config { channels: 0, ..Config::default() },
            Config { channels: 3, ..Config::default() },
            Config { bitrate: 0, ..Config::default() },
            Config { bitrate: u32::MAX, ..Config::default() },
            Config { expected_loss: 101, ..Config::default() },
            Config { complexity: 11, ..Config::default() },
        ];
        assert!(wrong.into_iter().all(|config| Encoder::open(config).is_err()));
        let mut encoder = Encoder::open(Config::default()).expect("opens");
        assert!(encoder.encode(&[0; 959], &mut Vec::new()).is_err());
        assert!(encoder.set_bitrate(0).is_err() && encoder.set_expected_loss(200).is_err());
        let mut decoder = Decoder::open(2).expect("opens");
        assert!(decoder.decode(AudioInput::Packet(&[]), &mut [0; 1920]).is_err());
        assert!(decoder.decode(AudioInput::Lost, &mut [0; 100]).is_err());
        assert!(decoder.decode(AudioInput::Packet(&packets(Config::default(), 1)[0]), &mut [0; 960]).is_err());
    }

    #[test]
    fn random_packets_never_panic() {
        let mut random = fastrand::Rng::with_seed(3);
        let list = packets(Config::default(), 8);
        let mut decoder = Decoder::open(2).expect("opens");
        let mut pcm = [0; 2 * MAX_SAMPLES];
        for round in 0..5_000 {
            let mut packet = list[round % 8].clone();
            match random.u8(..3) {
                0 => packet.truncate(random.usize(..packet.len())),
                1 => packet.iter_mut().for_each(|byte| *byte = random.u8(..)),
                _ => packet[random.usize(..4)] ^= 1 << random.u8(..8),
            }
            let input = if random.bool() { AudioInput::Packet(&packet) } else { AudioInput::Fec(&packet) };
            if let Ok(samples) = decoder.decode(input, &mut pcm[..random.usize(..=2 * MAX_SAMPLES)]) {
                assert!(samples <= MAX_SAMPLES);
            }
        }
    }
}
