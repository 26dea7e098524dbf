//! What a writer wrote, its reader reads: every unit, its time, and what was said of the stream.

mod container_support;

use std::io::Cursor;

use conclave::capture::{FileAudio, FileVideo, Microphone};
use conclave::codecs::container::{
    self, AudioCodec, OpusHead, VideoCodec, VideoSource, VideoWriter, WavWriter, WriterConfig, open_audio, open_video,
};
use conclave::codecs::{AudioDecoder, AudioInput, CodecError, Color, Matrix, Picture, Range, Size, VideoDecoder};
use container_support::{Folder, drain, packets, sequence_header, units};

const OPUS: OpusHead = OpusHead { channels: 1, pre_skip: 312, rate: 48_000, gain: 0 };

#[test]
fn av1_comes_back_from_every_container() {
    let folder = Folder::new();
    for fps in [(30, 1), (30_000, 1001), (25, 1), (60, 1)] {
        for ending in ["ivf", "mkv", "webm", "mp4"] {
            let path = folder.path(&format!("a.{ending}"));
            let sent = units(322, 182, 345, 7);
            let time = |n: usize| n as u64 * 1_000_000 * u64::from(fps.1) / u64::from(fps.0);
            let mut writer = VideoWriter::create(&path, &WriterConfig::new(Size::new(322, 182), fps)).unwrap();
            for (n, (unit, key)) in sent.iter().enumerate() {
                writer.write(unit, time(n), *key).unwrap();
            }
            assert_eq!(writer.finish().unwrap(), std::fs::metadata(&path).unwrap().len());
            let mut source = open_video(&path).unwrap();
            let info = *source.info();
            assert_eq!((info.size, info.fps, info.codec), (Size::new(322, 182), fps, VideoCodec::Av1), "{ending}");
            assert_eq!((info.color, info.bit_depth), (Color::default(), 8));
            let got = drain(&mut source).unwrap();
            assert_eq!(got.len(), sent.len(), "{ending}");
            // Matroska stamps in milliseconds, MP4 in 1/90000 s, ivf in frames.
            let slack = if matches!(ending, "mkv" | "webm") { 500 } else { 12 };
            for (n, ((unit, at), (original, _))) in got.iter().zip(&sent).enumerate() {
                assert!(unit == original, "{ending}: frame {n} differs");
                assert!(at.abs_diff(time(n)) <= slack, "{ending}: frame {n} at {at}, not {}", time(n));
            }
        }
    }
}

#[test]
fn sound_stands_beside_the_picture() {
    let folder = Folder::new();
    for ending in ["mkv", "webm", "mp4"] {
        let path = folder.path(&format!("b.{ending}"));
        let config = WriterConfig { audio: Some(OPUS), ..WriterConfig::new(Size::new(64, 48), (25, 1)) };
        let (video, audio) = (units(64, 48, 100, 1), packets(200, 2));
        let mut writer = VideoWriter::create(&path, &config).unwrap();
        for (n, packet) in audio.iter().enumerate() {
            writer.write_audio(packet, n as u64 * 20_000).unwrap();
            if n % 2 == 1 {
                let (unit, key) = &video[n / 2];
                writer.write(unit, (n / 2) as u64 * 40_000, *key).unwrap();
            }
        }
        writer.finish().unwrap();
        let got = drain(&mut open_video(&path).unwrap()).unwrap();
        assert!(got.iter().map(|(unit, _)| unit).eq(video.iter().map(|(unit, _)| unit)), "{ending}");
        let mut source = open_audio(&path).unwrap().unwrap();
        let info = *source.info();
        assert_eq!((info.codec, info.channels, info.pre_skip), (AudioCodec::Opus, 1, 312));
        for (n, packet) in audio.iter().enumerate() {
            let mut got = Vec::new();
            assert_eq!(source.next_packet(&mut got).unwrap(), Some(n as u64 * 20_000), "{ending}");
            assert_eq!(&got, packet);
        }
        assert_eq!(source.next_packet(&mut Vec::new()).unwrap(), None);
    }
}

#[test]
fn sound_keeps_its_distance_to_the_picture_and_its_gaps() {
    let folder = Folder::new();
    let video = units(64, 48, 10, 1);
    let audio = packets(20, 2);
    // Whichever begins first, and a packet's times as a clock of milliseconds tells them.
    for (pictures_at, sound_at) in [(0, 130_000), (730_000, 0), (5_000_000, 5_000_000)] {
        let time = |n: usize| sound_at + n as u64 * 20_000 + u64::from(n > 12) * 80_000 + (n as u64 * 7919) % 1000;
        for ending in ["mkv", "webm", "mp4"] {
            let path = folder.path(&format!("d.{ending}"));
            let config = WriterConfig { audio: Some(OPUS), ..WriterConfig::new(Size::new(64, 48), (25, 1)) };
            let mut writer = VideoWriter::create(&path, &config).unwrap();
            for (n, packet) in audio.iter().enumerate() {
                writer.write_audio(packet, time(n)).unwrap();
            }
            for (n, (unit, key)) in video.iter().enumerate() {
                writer.write(unit, pictures_at + n as u64 * 40_000, *key).unwrap();
            }
            writer.finish().unwrap();
            // MP4 begins at 0 and places the packets between gaps end to end.
            let before = if ending == "mp4" { sound_at.min(pictures_at) } else { 0 };
            let (video, mut source) =
                (drain(&mut open_video(&path).unwrap()).unwrap(), open_audio(&path).unwrap().unwrap());
            assert!(video[0].1.abs_diff(pictures_at - before) <= 30, "{ending}: {}", video[0].1);
            for n in 0..audio.len() {
                let at = source.next_packet(&mut Vec::new()).unwrap().unwrap();
                assert!(
                    at.abs_diff(time(n) - before) <= 1000,
                    "{ending}: packet {n} at {at}, not {}",
                    time(n) - before
                );
            }
        }
    }
}

#[test]
fn pictures_come_back_from_y4m_with_their_colour() {
    let folder = Folder::new();
    let path = folder.path("c.y4m");
    for (matrix, range) in [(Matrix::Bt601, Range::Full), (Matrix::Bt2020, Range::Limited)] {
        let color = Color { matrix, range };
        let size = Size::new(33, 17);
        let mut random = fastrand::Rng::with_seed(3);
        let mut sent = vec![Picture::new(size, color); 5];
        sent.iter_mut().for_each(|p| random.fill(p.data_mut()));
        let config = WriterConfig { color, ..WriterConfig::new(size, (24, 1)) };
        let mut writer = VideoWriter::create(&path, &config).unwrap();
        sent.iter().for_each(|p| writer.write_picture(p).unwrap());
        writer.finish().unwrap();
        let mut video = FileVideo::open(&path, Box::new(Sizes::default())).unwrap();
        assert_eq!((video.info().frames, video.info().codec), (Some(5), VideoCodec::Raw));
        let mut got = Picture::new(Size::new(2, 2), Color::default());
        for (n, picture) in sent.iter().enumerate() {
            assert_eq!(video.next(&mut got).unwrap().unwrap().0, n as u64 * 1_000_000 / 24);
            assert!(&got == picture);
        }
        assert!(video.next(&mut got).unwrap().is_none());
    }
}

#[test]
fn samples_come_back_from_wav_and_are_brought_to_48_khz() {
    let folder = Folder::new();
    for (rate, channels) in [(48_000, 2u8), (48_000, 1), (16_000, 1), (44_100, 2)] {
        let path = folder.path("d.wav");
        let frames = rate as usize;
        let sent: Vec<i16> = (0..frames * usize::from(channels)).map(|n| (n as i16).wrapping_mul(3) / 4).collect();
        let mut writer = WavWriter::create(&path, rate, channels).unwrap();
        sent.chunks(999).for_each(|piece| writer.write(piece).unwrap());
        writer.finish().unwrap();
        let mut source = open_audio(&path).unwrap().unwrap();
        assert_eq!((source.info().rate, source.info().samples), (rate, Some(frames as u64)));
        let mut got = Vec::new();
        while source.next_samples(1000, &mut got).unwrap() > 0 {}
        assert!(got == sent);
        let mut audio = FileAudio::open(&path, |_| unreachable!("wav needs no decoder")).unwrap().unwrap();
        let mut total = 0;
        let mut piece = vec![0; 960 * usize::from(channels)];
        loop {
            match audio.read(&mut piece).unwrap() {
                0 => break,
                count => total += count,
            }
        }
        assert_eq!(total, 48_000);
        // As a microphone the same, and silence behind its end alone.
        let mut heard = Vec::new();
        let mut audio = FileAudio::open(&path, |_| unreachable!("wav needs no decoder")).unwrap().unwrap();
        while Microphone::fill(&mut audio, &mut piece).unwrap() {
            heard.extend_from_slice(&piece);
        }
        assert!(rate != 48_000 || heard == sent);
    }
}

#[test]
fn a_time_base_of_milliseconds_is_no_frame_rate() {
    let folder = Folder::new();
    let path = folder.path("ms.ivf");
    let mut writer = VideoWriter::create(&path, &WriterConfig::new(Size::new(64, 48), (25, 1))).unwrap();
    for (n, (unit, key)) in units(64, 48, 50, 3).iter().enumerate() {
        writer.write(unit, n as u64 * 40_000, *key).unwrap();
    }
    writer.finish().unwrap();
    // As ffmpeg writes it: 1000 ticks a second, and 40 of them a picture.
    let mut bytes = std::fs::read(&path).unwrap();
    let number = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let ticks = 40 / number(&bytes, 20);
    (bytes[16..20].copy_from_slice(&1_000u32.to_le_bytes()), bytes[20..24].copy_from_slice(&1u32.to_le_bytes()));
    let mut at = 32;
    while at < bytes.len() {
        let stamp = number(&bytes, at + 4) * ticks;
        bytes[at + 4..at + 8].copy_from_slice(&stamp.to_le_bytes());
        at += 12 + number(&bytes, at) as usize;
    }
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(open_video(&path).unwrap().info().fps, (25, 1));
}

#[test]
fn decoded_pictures_carry_the_time_of_their_unit() {
    let folder = Folder::new();
    let path = folder.path("e.mkv");
    let mut writer = VideoWriter::create(&path, &WriterConfig::new(Size::new(16, 16), (50, 1))).unwrap();
    for (n, (unit, key)) in units(16, 16, 40, 9).iter().enumerate() {
        writer.write(unit, n as u64 * 20_000, *key).unwrap();
    }
    writer.finish().unwrap();
    for lag in [0, 3] {
        let mut video = FileVideo::open(&path, Box::new(Sizes { lag, ..Sizes::default() })).unwrap();
        let mut picture = Picture::new(Size::new(2, 2), Color::default());
        for n in 0..40 - lag as u64 {
            assert_eq!(video.next(&mut picture).unwrap().unwrap().0, n * 20_000);
        }
        assert!(video.next(&mut picture).unwrap().is_none());
    }
}

#[test]
fn pictures_before_the_edit_of_an_mp4_are_decoded_and_not_shown() {
    let folder = Folder::new();
    let path = folder.path("f.mp4");
    let config = WriterConfig { audio: Some(OPUS), ..WriterConfig::new(Size::new(16, 16), (25, 1)) };
    let mut writer = VideoWriter::create(&path, &config).unwrap();
    for (n, ((unit, key), packet)) in units(16, 16, 40, 9).iter().zip(packets(40, 4)).enumerate() {
        writer.write(unit, n as u64 * 40_000, *key).unwrap();
        writer.write_audio(&packet, n as u64 * 20_000).unwrap();
    }
    writer.finish().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    // Where in their media the edits of picture and sound begin: 3 pictures in, and as much of the sound.
    let lists: Vec<usize> = (0..bytes.len() - 4).filter(|at| &bytes[*at..at + 4] == b"elst").collect();
    for (at, ticks) in lists.iter().zip([3 * 3600u32, 312 + 6 * 960]) {
        bytes[at + 16..at + 20].copy_from_slice(&ticks.to_be_bytes());
    }
    std::fs::write(&path, bytes).unwrap();
    let mut video = FileVideo::open(&path, Box::new(Sizes::default())).unwrap();
    assert_eq!(video.info().fps, (25, 1));
    let mut picture = Picture::new(Size::new(2, 2), Color::default());
    for n in 0..37 {
        assert_eq!(video.next(&mut picture).unwrap().unwrap().0, n * 40_000);
    }
    assert!(video.next(&mut picture).unwrap().is_none());
    let (mut audio, mut got) = (open_audio(&path).unwrap().unwrap(), Vec::new());
    assert_eq!((audio.next_packet(&mut got).unwrap(), &got), (Some(0), &packets(40, 4)[6]));
}

#[test]
fn a_bare_stream_has_the_rate_that_its_sequence_header_says() {
    // AV1 §5.5: 50 ticks a second, two for each picture.
    let timing = format!("1{:032b}{:032b}1010", 1, 50);
    for (timing, fps) in [(timing.as_str(), 25), ("0", 30)] {
        let model = if timing == "0" { "" } else { "0" };
        let point = "0 00000 000000000000 01000 0";
        let size = format!("1111 1111 {:016b} {:016b}", 15, 15);
        let (tools, color) = ("0 000 0000 0 1 1 000", "0 0 0 0 00 0 0 1");
        let bits = format!("000 0 0 {timing} {model} {point} {size} {tools} {color}").replace(' ', "");
        let header: Vec<u8> = bits
            .as_bytes()
            .chunks(8)
            .map(|byte| byte.iter().rev().fold(0, |v, bit| v >> 1 | (bit - b'0') << 7))
            .collect();
        let mut stream = Vec::new();
        for n in 0..5 {
            stream.extend([0x12, 0]);
            if n == 0 {
                stream.extend([0x0a, header.len() as u8]);
                stream.extend(&header);
            }
            stream.extend([0x32, 2, n, n]);
        }
        let mut video = VideoSource::from_stream("a.obu", Box::new(Cursor::new(stream))).unwrap();
        let (num, den) = video.info().fps;
        assert_eq!((video.info().size, num), (Size::new(16, 16), fps * den));
        let times: Vec<u64> = drain(&mut video).unwrap().into_iter().map(|(_, time)| time).collect();
        assert_eq!(times, (0..5).map(|n| n * 1_000_000 / u64::from(fps)).collect::<Vec<_>>());
    }
}

#[test]
fn opus_is_decoded_without_its_pre_skip() {
    let folder = Folder::new();
    let path = folder.path("f.webm");
    let config = WriterConfig { audio: Some(OPUS), ..WriterConfig::new(Size::new(16, 16), (25, 1)) };
    let mut writer = VideoWriter::create(&path, &config).unwrap();
    writer.write(&units(16, 16, 1, 1)[0].0, 0, true).unwrap();
    packets(10, 4).iter().enumerate().for_each(|(n, p)| writer.write_audio(p, n as u64 * 20_000).unwrap());
    writer.finish().unwrap();
    let mut audio = FileAudio::open(&path, |channels| Ok(Box::new(Ramp { channels, at: 0 }))).unwrap().unwrap();
    let mut samples = vec![0; 10 * 960];
    assert_eq!(audio.read(&mut samples).unwrap(), 10 * 960 - 312);
    assert!(samples[..10 * 960 - 312].iter().enumerate().all(|(n, s)| usize::from(*s as u16) == n + 312));
}

#[test]
fn what_is_not_finished_leaves_nothing() {
    let folder = Folder::new();
    for ending in ["ivf", "mkv", "webm", "mp4"] {
        let path = folder.path(&format!("g.{ending}"));
        let mut writer = VideoWriter::create(&path, &WriterConfig::new(Size::new(16, 16), (25, 1))).unwrap();
        writer.write(&units(16, 16, 1, 1)[0].0, 0, true).unwrap();
        drop(writer);
        let mut writer = VideoWriter::create(&path, &WriterConfig::new(Size::new(16, 16), (25, 1))).unwrap();
        if ending != "ivf" {
            let headless = [0x12, 0, 0x32, 1, 0];
            one_line(&writer.write(&headless, 0, true).unwrap_err());
        }
        assert!(writer.write_picture(&Picture::new(Size::new(16, 16), Color::default())).is_err());
        drop(writer);
    }
    drop(WavWriter::create(&folder.path("g.wav"), 48_000, 1).unwrap());
    assert_eq!(folder.names(), Vec::<String>::new());
}

#[test]
fn a_finished_file_replaces_the_old_one_and_a_failed_one_does_not() {
    let folder = Folder::new();
    let path = folder.path("h.ivf");
    std::fs::write(&path, "old").unwrap();
    drop(VideoWriter::create(&path, &WriterConfig::new(Size::new(16, 16), (25, 1))).unwrap());
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    VideoWriter::create(&path, &WriterConfig::new(Size::new(16, 16), (25, 1))).unwrap().finish().unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 32);
    assert_eq!(folder.names(), ["h.ivf"]);
}

#[test]
fn absurd_outputs_are_refused_before_anything_is_written() {
    let folder = Folder::new();
    let good = WriterConfig::new(Size::new(16, 16), (25, 1));
    let sized = |w, h| WriterConfig { size: Size::new(w, h), ..good.clone() };
    let cases = [
        ("a.avi", good.clone()),
        ("a", good.clone()),
        ("none/a.ivf", good.clone()),
        ("a.mkv", sized(0, 16)),
        ("a.mp4", sized(65_535, 65_535)),
        ("a.ivf", sized(u32::MAX, u32::MAX)),
        ("a.ivf", WriterConfig { fps: (0, 1), ..good.clone() }),
        ("a.ivf", WriterConfig { fps: (30, 0), ..good.clone() }),
        ("a.ivf", WriterConfig { audio: Some(OPUS), ..good.clone() }),
    ];
    for (name, config) in cases {
        one_line(&VideoWriter::create(&folder.path(name), &config).err().expect(name));
    }
    std::fs::create_dir(folder.path("dir.mp4")).unwrap();
    one_line(&VideoWriter::create(&folder.path("dir.mp4"), &good).err().unwrap());
    assert_eq!(folder.names(), ["dir.mp4"]);
}

#[test]
fn the_size_and_colour_are_read_from_the_sequence_header() {
    use container::obu::SequenceHeader;
    for (width, height) in [(1, 1), (640, 360), (65_536, 65_536)] {
        let header = SequenceHeader::parse(&sequence_header(width, height)).unwrap();
        assert_eq!((header.size, header.level, header.bit_depth), (Size::new(width, height), 8, 8));
        assert_eq!((header.matrix, header.range), (Some(Matrix::Bt709), Range::Limited));
        assert_eq!(header.av1c(), [0x81, 8, 0x0c, 0]);
    }
    let whole = sequence_header(640, 360);
    assert!((0..whole.len() - 1).all(|len| SequenceHeader::parse(&whole[..len]).is_none()));
}

fn one_line(error: &container::ContainerError) {
    let text = error.to_string();
    assert!(!text.contains('\n') && text.contains([';', ',']), "{text:?}");
}

/// Shows a picture per unit, `lag` units late.
#[derive(Default)]
struct Sizes {
    lag: usize,
    held: std::collections::VecDeque<u64>,
}

impl VideoDecoder for Sizes {
    fn name(&self) -> &'static str {
        "sizes"
    }

    fn submit(&mut self, _: &[u8], frame: u64) -> Result<(), CodecError> {
        self.held.push_back(frame);
        Ok(())
    }

    fn poll(&mut self, _: &mut Picture) -> Result<Option<u64>, CodecError> {
        Ok(if self.held.len() > self.lag { self.held.pop_front() } else { None })
    }

    fn reset(&mut self) {
        self.held.clear();
    }
}

/// "Decodes" every packet to 20 ms of counting samples.
struct Ramp {
    channels: u8,
    at: u16,
}

impl AudioDecoder for Ramp {
    fn channels(&self) -> u8 {
        self.channels
    }

    fn decode(&mut self, _: AudioInput<'_>, pcm: &mut [i16]) -> Result<usize, CodecError> {
        for sample in pcm[..960].iter_mut() {
            *sample = self.at as i16;
            self.at = self.at.wrapping_add(1);
        }
        Ok(960)
    }
}
