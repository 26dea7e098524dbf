//! Writes AV1, with Opus beside it where wanted, as Matroska or WebM (RFC 9559), with cues.

use std::io::{Seek, SeekFrom, Write};

use super::WriterConfig;
use super::ebml::*;
use super::error::{Outcome, Refusal};
use super::obu::{SequenceHeader, sequence_header, without_delimiter};
use super::opus_head::packet_samples;
use crate::color::{Color, Matrix, Range};

/// The state of a file being written. One cluster is held in memory, at most [`CLUSTER_BYTES`] and one frame.
pub(super) struct Muxer {
    config: WriterConfig,
    doc_type: &'static str,
    /// The head has been written; it waits for the first sequence header.
    begun: bool,
    cluster: Elements,
    /// Time of the cluster in milliseconds, and whether it begins with a key frame.
    cluster_start: Option<(u64, bool)>,
    /// Time and position of the clusters that begin with a key frame.
    cues: Vec<(u64, u64)>,
    /// Bytes of the segment's content so far.
    at: u64,
    /// Where the segment's content begins in the file.
    segment: u64,
    /// Where the duration and the cues' position are to be filled in.
    duration_at: u64,
    cues_at: u64,
    /// Where the last frame of either track ends, in microseconds.
    end: u64,
    stored: Vec<u8>,
    /// Sound that came before the first picture, and its bytes in all.
    early: Vec<(Vec<u8>, u64)>,
    early_bytes: usize,
}

impl Muxer {
    pub(super) fn begin(config: &WriterConfig, webm: bool) -> Self {
        Self {
            config: config.clone(),
            doc_type: if webm { "webm" } else { "matroska" },
            begun: false,
            cluster: Elements::default(),
            cluster_start: None,
            cues: Vec::new(),
            at: 0,
            segment: 0,
            duration_at: 0,
            cues_at: 0,
            end: 0,
            stored: Vec::new(),
            early: Vec::new(),
            early_bytes: 0,
        }
    }

    pub(super) fn write(&mut self, out: &mut impl Write, unit: &[u8], time: u64, key: bool) -> Outcome<()> {
        if !self.begun {
            let header = SequenceHeader::find(unit).ok_or_else(Refusal::no_header)?;
            self.head(out, &header, sequence_header(unit))?;
            self.begun = true;
            for (packet, time) in std::mem::take(&mut self.early) {
                self.sound(out, &packet, time)?;
            }
        }
        let (num, den) = self.config.fps;
        self.end = self.end.max(time.saturating_add(u64::from(den) * 1_000_000 / u64::from(num)));
        let mut stored = std::mem::take(&mut self.stored);
        stored.clear();
        without_delimiter(unit, &mut stored).ok_or_else(Refusal::borders)?;
        let outcome = self.block(out, VIDEO_TRACK, &stored, time, key);
        self.stored = stored;
        outcome
    }

    pub(super) fn write_audio(&mut self, out: &mut impl Write, packet: &[u8], time: u64) -> Outcome<()> {
        if self.config.audio.is_none() {
            return Err(Refusal::no_audio());
        }
        if self.begun {
            return self.sound(out, packet, time);
        }
        self.early_bytes += packet.len() + EARLY_PACKET;
        if self.early_bytes > MAX_EARLY {
            return Err(Refusal::Stream("more than 64 MiB of sound before the first picture".to_owned()));
        }
        self.early.push((packet.to_vec(), time));
        Ok(())
    }

    fn sound(&mut self, out: &mut impl Write, packet: &[u8], time: u64) -> Outcome<()> {
        let lasts = u64::from(packet_samples(packet)) * 1_000_000 / 48_000;
        self.end = self.end.max(time.saturating_add(lasts));
        self.block(out, AUDIO_TRACK, packet, time, true)
    }

    pub(super) fn finish(mut self, out: &mut (impl Write + Seek)) -> Outcome<()> {
        if !self.begun {
            return Err(Refusal::Stream("no picture was written".to_owned()));
        }
        self.flush(out)?;
        let mut cues = Elements::default();
        let at = self.at;
        cues.master(CUES, |cues| {
            for (time, position) in &self.cues {
                cues.master(CUE_POINT, |point| {
                    point.unsigned(CUE_TIME, *time);
                    point.master(CUE_TRACK_POSITIONS, |track| {
                        track.unsigned(CUE_TRACK, VIDEO_TRACK.into());
                        track.unsigned(CUE_CLUSTER_POSITION, *position);
                    });
                });
            }
        });
        out.write_all(&cues.0)?;
        self.at += cues.0.len() as u64;
        let mut size = Elements::default();
        size.size(self.at);
        for (place, bytes) in [
            (self.segment - 8, size.0.as_slice()),
            (self.duration_at, &(((self.end + 500) / 1000) as f64).to_be_bytes()),
            (self.cues_at, &at.to_be_bytes()),
        ] {
            out.seek(SeekFrom::Start(place))?;
            out.write_all(bytes)?;
        }
        Ok(())
    }

    /// Everything before the first cluster.
    fn head(&mut self, out: &mut impl Write, header: &SequenceHeader, sequence: &[u8]) -> Outcome<()> {
        let mut file = Elements::default();
        file.master(EBML, |ebml| {
            // EBMLVersion, EBMLReadVersion, EBMLMaxIDLength, EBMLMaxSizeLength.
            for (id, value) in [(0x4286, 1), (0x42F7, 1), (0x42F2, 4), (0x42F3, 8)] {
                ebml.unsigned(id, value);
            }
            ebml.text(DOC_TYPE, self.doc_type);
            ebml.unsigned(0x4287, 4);
            ebml.unsigned(0x4285, 2);
        });
        file.id(SEGMENT);
        file.size(0);
        self.segment = file.0.len() as u64;
        let mut info = Elements::default();
        info.master(INFO, |info| {
            info.unsigned(TIMESTAMP_SCALE, 1_000_000);
            info.text(MUXING_APP, "conclave");
            info.text(WRITING_APP, "conclave");
            info.float(DURATION, 0.0);
        });
        // Every entry has the same length, so the positions are known before they are written.
        let entry = |head: &mut Elements, id: u32, at: u64| {
            head.master(SEEK, |seek| {
                seek.bytes(SEEK_ID, &id.to_be_bytes());
                seek.bytes(SEEK_POSITION, &at.to_be_bytes());
            });
        };
        let mut seek = Elements::default();
        for pass in 0..2 {
            let info_at = if pass == 0 { 0 } else { seek.0.len() as u64 };
            seek = Elements::default();
            seek.master(SEEK_HEAD, |head| {
                entry(head, INFO, info_at);
                entry(head, TRACKS, info_at + info.0.len() as u64);
                entry(head, CUES, 0);
            });
        }
        self.cues_at = self.segment + seek.0.len() as u64 - 8;
        self.duration_at = self.segment + (seek.0.len() + info.0.len()) as u64 - 8;
        file.0.extend_from_slice(&seek.0);
        file.0.extend_from_slice(&info.0);
        file.master(TRACKS, |tracks| self.tracks(tracks, header, sequence));
        out.write_all(&file.0)?;
        self.at = file.0.len() as u64 - self.segment;
        Ok(())
    }

    fn tracks(&self, tracks: &mut Elements, header: &SequenceHeader, sequence: &[u8]) {
        let config = &self.config;
        tracks.master(TRACK_ENTRY, |track| {
            track.unsigned(TRACK_NUMBER, VIDEO_TRACK.into());
            track.unsigned(TRACK_UID, VIDEO_TRACK.into());
            track.unsigned(TRACK_TYPE, 1);
            track.unsigned(FLAG_LACING, 0);
            track.text(CODEC_ID, "V_AV1");
            track.bytes(CODEC_PRIVATE, &[&header.av1c()[..], sequence].concat());
            let frame = 1_000_000_000 * u64::from(config.fps.1) / u64::from(config.fps.0);
            track.unsigned(DEFAULT_DURATION, frame.max(1));
            track.master(VIDEO, |video| {
                video.unsigned(PIXEL_WIDTH, config.size.width.into());
                video.unsigned(PIXEL_HEIGHT, config.size.height.into());
                let Color { matrix, range } = config.color;
                video.master(COLOUR, |colour| {
                    let matrix = match matrix {
                        Matrix::Bt709 => 1,
                        Matrix::Bt601 => 6,
                        Matrix::Bt2020 => 9,
                    };
                    colour.unsigned(MATRIX, matrix);
                    colour.unsigned(RANGE, if range == Range::Full { 2 } else { 1 });
                });
            });
        });
        let Some(opus) = config.audio else { return };
        tracks.master(TRACK_ENTRY, |track| {
            track.unsigned(TRACK_NUMBER, AUDIO_TRACK.into());
            track.unsigned(TRACK_UID, AUDIO_TRACK.into());
            track.unsigned(TRACK_TYPE, 2);
            track.unsigned(FLAG_LACING, 0);
            track.text(CODEC_ID, "A_OPUS");
            track.bytes(CODEC_PRIVATE, &opus.bytes());
            track.unsigned(CODEC_DELAY, u64::from(opus.pre_skip) * 1_000_000_000 / 48_000);
            track.unsigned(SEEK_PRE_ROLL, 80_000_000);
            track.master(AUDIO, |audio| {
                audio.float(SAMPLING_FREQUENCY, 48_000.0);
                audio.unsigned(CHANNELS, opus.channels.into());
            });
        });
    }

    fn block(&mut self, out: &mut impl Write, track: u8, data: &[u8], time: u64, key: bool) -> Outcome<()> {
        let time = (time + 500) / 1000;
        let leads = track == VIDEO_TRACK && key;
        let fits = self.cluster_start.is_some_and(|(start, _)| {
            time + 1000 >= start && time < start + CLUSTER_MS && self.cluster.0.len() < CLUSTER_BYTES
        });
        if leads || !fits {
            self.flush(out)?;
            self.cluster_start = Some((time, leads));
            self.cluster.unsigned(TIMESTAMP, time);
        }
        let start = self.cluster_start.map_or(0, |(start, _)| start);
        let relative = (time as i64 - start as i64) as i16;
        let size = data.len() as u64 + 4;
        self.cluster.id(SIMPLE_BLOCK);
        self.cluster.size(size);
        self.cluster.0.push(0x80 | track);
        self.cluster.0.extend_from_slice(&relative.to_be_bytes());
        self.cluster.0.push(u8::from(key) << 7);
        self.cluster.0.extend_from_slice(data);
        Ok(())
    }

    fn flush(&mut self, out: &mut impl Write) -> Outcome<()> {
        let Some((time, leads)) = self.cluster_start.take() else { return Ok(()) };
        if leads {
            self.cues.push((time, self.at));
        }
        let mut head = Elements::default();
        head.id(CLUSTER);
        head.size(self.cluster.0.len() as u64);
        out.write_all(&head.0)?;
        out.write_all(&self.cluster.0)?;
        self.at += (head.0.len() + self.cluster.0.len()) as u64;
        self.cluster.0.clear();
        Ok(())
    }
}

const VIDEO_TRACK: u8 = 1;
const AUDIO_TRACK: u8 = 2;
/// A block's time is a signed 16-bit offset from its cluster's, in milliseconds.
const CLUSTER_MS: u64 = 5000;
const CLUSTER_BYTES: usize = 4 << 20;
/// Bytes of sound that are held until the first picture comes, and what a packet takes beside its own.
const MAX_EARLY: usize = 64 << 20;
const EARLY_PACKET: usize = 64;

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::picture::Size;

    #[test]
    fn another_reader_finds_tracks_cues_and_frames() {
        let mut config = WriterConfig::new(Size::new(16, 16), (25, 1));
        config.audio = Some(super::super::OpusHead { channels: 2, pre_skip: 312, rate: 48_000, gain: 0 });
        let mut file = Cursor::new(Vec::new());
        let mut muxer = Muxer::begin(&config, true);
        // A reduced sequence header of 16x16 in BT.709, then one byte of frame.
        let unit = [
            0x12, 0, 0x0a, 14, 0x1a, 0x3f, 0xc0, 0x00, 0x78, 0x00, 0x78, 0x08, 0x08, 0x08, 0x08, 0x08, 0x00, 0x80,
            0x32, 1, 7,
        ];
        assert!(SequenceHeader::find(&unit).is_some());
        for n in 0..300u64 {
            assert!(muxer.write_audio(&mut file, &[0xfc, n as u8], n * 40_000).is_ok());
            assert!(muxer.write(&mut file, &unit, n * 40_000, n % 100 == 0).is_ok());
        }
        assert!(muxer.finish(&mut file).is_ok());
        let mut other = matroska_demuxer::MatroskaFile::open(Cursor::new(file.into_inner())).unwrap();
        assert_eq!(other.info().duration(), Some(300.0 * 40.0));
        let names: Vec<_> = other.tracks().iter().map(|t| t.codec_id().to_owned()).collect();
        assert_eq!(names, ["V_AV1", "A_OPUS"]);
        let mut frame = matroska_demuxer::Frame::default();
        let mut counts = [0u64; 2];
        while other.next_frame(&mut frame).unwrap() {
            let count = &mut counts[frame.track as usize - 1];
            assert_eq!(frame.timestamp, *count * 40);
            *count += 1;
        }
        assert_eq!(counts, [300, 300]);
        // Through the cues: the key frame at 8 s and what follows.
        other.seek(8000).unwrap();
        assert!(other.next_frame(&mut frame).unwrap());
        assert_eq!(frame.timestamp, 8000);
    }
}
