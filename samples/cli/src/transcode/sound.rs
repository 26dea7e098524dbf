//! The sound beside the pictures: Opus is copied packet by packet, any other sound is coded as Opus.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};

use conclave::capture::{FileAudio, FileError};
use conclave::codecs::container::{AudioSource, OpusHead, VideoWriter, open_audio, packet_samples};
use conclave::codecs::{AudioDecoder, AudioEncoder, opus};

/// The packets of a file's sound, in the file's time.
pub struct Sound {
    path: PathBuf,
    way: Way,
    head: OpusHead,
    /// The packet to be written next, and when it begins in microseconds, the pre-skip counted.
    packet: Vec<u8>,
    next: Option<u64>,
    /// Where the packet before it ends.
    end: u64,
    written: u64,
}

enum Way {
    Copied(Box<AudioSource>),
    Coded(Box<Coder>),
}

impl Sound {
    /// Opens the sound of a file; `None` where it has none. `bitrate` is for sound that must be coded.
    pub fn open(path: &Path, bitrate: Option<u32>) -> anyhow::Result<Option<Self>> {
        let hint = "the sound cannot be taken along; leave it out with --no-audio";
        let Some(source) = open_audio(path).context(hint)? else { return Ok(None) };
        let (way, head) = match source.opus_head() {
            Some(head) => (Way::Copied(Box::new(source)), head),
            None => {
                let (coder, head) = Coder::open(source, bitrate).map_err(|e| named(path, e)).context(hint)?;
                (Way::Coded(Box::new(coder)), head)
            }
        };
        let mut sound = Self { path: path.to_owned(), way, head, packet: Vec::new(), next: None, end: 0, written: 0 };
        sound.advance()?;
        // A track that holds nothing is no sound.
        Ok(sound.next.is_some().then_some(sound))
    }

    /// What the file that is written must know of the sound.
    pub fn head(&self) -> OpusHead {
        self.head
    }

    /// What becomes of it: copied or coded.
    pub fn fate(&self) -> &'static str {
        match self.way {
            Way::Copied(_) => "copied",
            Way::Coded(_) => "coded",
        }
    }

    /// Packets written so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Writes the packets that begin until `time`.
    pub fn write_until(&mut self, time: u64, writer: &mut VideoWriter) -> anyhow::Result<()> {
        while self.next.is_some_and(|next| next <= time) {
            self.write(writer)?;
        }
        Ok(())
    }

    /// Writes the rest, or what is heard of it before `end`.
    pub fn finish(&mut self, end: Option<u64>, writer: &mut VideoWriter) -> anyhow::Result<()> {
        // What a packet holds is heard earlier than it begins, by the pre-skip.
        let end = end.map_or(u64::MAX, |end| end + micros(self.head.pre_skip.into()));
        while self.next.is_some_and(|next| next < end) {
            self.write(writer)?;
        }
        Ok(())
    }

    fn write(&mut self, writer: &mut VideoWriter) -> anyhow::Result<()> {
        let Some(time) = self.next else { return Ok(()) };
        writer.write_audio(&self.packet, time)?;
        self.written += 1;
        self.advance()
    }

    /// Takes the next packet. Where times stand still (laces share one) or run backward, it begins where the last ended.
    fn advance(&mut self) -> anyhow::Result<()> {
        self.packet.clear();
        let before = self.next.take();
        let taken = match &mut self.way {
            Way::Copied(source) => source.next_packet(&mut self.packet).map_err(anyhow::Error::from),
            Way::Coded(coder) => coder.next(&mut self.packet).map_err(|error| named(&self.path, error)),
        };
        let Some(time) = taken.context("while its sound was read")? else { return Ok(()) };
        let lasts = packet_samples(&self.packet);
        if lasts == 0 {
            let (path, number) = (self.path.display(), self.written);
            bail!("{path}: packet {number} of its sound is no Opus; fetch or make the file anew, or use --no-audio");
        }
        let time = if before.is_some_and(|before| time <= before) { self.end } else { time };
        self.end = time + micros(lasts);
        self.next = Some(time);
        Ok(())
    }
}

/// Samples coded as Opus.
struct Coder {
    file: FileAudio,
    encoder: opus::Encoder,
    lookahead: u64,
    /// Time of the first sample in microseconds.
    start: u64,
    /// Samples per channel, read so far and given to the encoder.
    read: u64,
    given: u64,
    ended: bool,
    pcm: Vec<i16>,
}

impl Coder {
    fn open(source: AudioSource, bitrate: Option<u32>) -> Result<(Self, OpusHead), FileError> {
        let (start, rate) = (source.info().start, source.info().rate);
        let decoder =
            |channels| opus::Decoder::open(channels).map(|decoder| Box::new(decoder) as Box<dyn AudioDecoder>);
        let file = FileAudio::new(source, decoder)?;
        let channels = file.channels();
        let config = opus::Config {
            channels,
            bitrate: bitrate.unwrap_or(64_000 * u32::from(channels)),
            fec: false,
            expected_loss: 0,
            complexity: 10,
            tuning: opus::Tuning::Music,
            ..opus::Config::default()
        };
        let mut encoder = opus::Encoder::open(config).map_err(|source| FileError::Codec { frame: 0, source })?;
        let lookahead = encoder.lookahead() as u64;
        let pcm = vec![0; encoder.frame_samples() * usize::from(channels)];
        let head = OpusHead { channels, pre_skip: lookahead as u16, rate, gain: 0 };
        let coder = Self { file, encoder, lookahead, start, read: 0, given: 0, ended: false, pcm };
        Ok((coder, head))
    }

    /// Appends the next packet and returns its time. Silence follows the last sample until the decoder has given it.
    fn next(&mut self, out: &mut Vec<u8>) -> Result<Option<u64>, FileError> {
        let samples = self.encoder.frame_samples() as u64;
        self.pcm.fill(0);
        if !self.ended {
            let got = self.file.read(&mut self.pcm)? as u64;
            self.read += got;
            self.ended = got < samples;
        }
        if self.ended && (self.read == 0 || self.given >= self.read + self.lookahead) {
            return Ok(None);
        }
        let frame = self.given / samples;
        self.encoder.encode(&self.pcm, out).map_err(|source| FileError::Codec { frame, source })?;
        let time = self.start + self.given * 1000 / 48;
        self.given += samples;
        Ok(Some(time))
    }
}

/// An error that names its file, as those of containers do by themselves.
pub fn named(path: &Path, error: FileError) -> anyhow::Error {
    match error {
        FileError::Container(error) => error.into(),
        error => anyhow!("{}: {error}", path.display()),
    }
}

/// Samples at 48 kHz in microseconds.
fn micros(samples: u32) -> u64 {
    u64::from(samples) * 1000 / 48
}
