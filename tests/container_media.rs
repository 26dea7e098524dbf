//! Files by other programs are read whole, and other programs read ours. Skips what is not installed or not there.

mod container_support;

use std::path::Path;
use std::process::Command;

use conclave::capture::FileAudio;
use conclave::codecs::container::obu::SequenceHeader;
use conclave::codecs::container::{
    AudioCodec, OpusHead, VideoCodec, VideoWriter, WavWriter, WriterConfig, open_audio, open_video, packet_samples,
};
use conclave::codecs::{Color, Matrix, Picture, Range, Size};
use container_support::{Folder, drain, media, units};

#[test]
fn every_av1_file_has_the_frames_of_the_manifest() {
    let Some(manifest) = media("MANIFEST.tsv") else { return };
    let manifest = std::fs::read_to_string(manifest).unwrap();
    let mut checked = 0;
    for line in manifest.lines().filter(|l| l.starts_with("av1/")) {
        let columns: Vec<&str> = line.split('\t').collect();
        let (name, size, frames, note) = (columns[0], columns[4], columns[6], columns[8]);
        let Some(path) = media(name) else { continue };
        if note.contains("Annex B") {
            continue;
        }
        let frames: usize = frames.split(' ').next().unwrap().parse().unwrap();
        let mut source = open_video(&path).unwrap();
        let info = *source.info();
        assert_eq!(info.codec, VideoCodec::Av1, "{name}");
        // A unit of two spatial layers is stored as two ivf frames; the size is that of the larger.
        let layers = if name.contains("L2T2") { 2 } else { 1 };
        if layers == 1 {
            assert_eq!(info.size.to_string(), size, "{name}");
        }
        assert_eq!(info.bit_depth, if note.contains("10-bit") { 10 } else { 8 }, "{name}");
        let units = drain(&mut source).unwrap();
        let stored = units.len();
        assert!(stored == frames || stored == frames * layers, "{name}: {stored} units, {frames} frames");
        assert!(units.windows(2).all(|w| w[0].1 <= w[1].1), "{name}: times run backwards");
        checked += 1;
    }
    assert!(checked >= 40, "only {checked} files were checked");
}

#[test]
fn an_mp4_by_libaom_says_what_it_is() {
    let Some(path) = media("av1/libaom_man_1080x720.mp4") else { return };
    let mut source = open_video(&path).unwrap();
    assert_eq!((source.info().size, source.info().fps), (Size::new(1080, 720), (30_000, 1001)));
    let units = drain(&mut source).unwrap();
    assert_eq!(units.len(), 30);
    assert!(units.iter().all(|(unit, _)| unit.starts_with(&[0x12, 0])));
    assert!(units.iter().enumerate().all(|(n, (_, time))| time.abs_diff(n as u64 * 1_001_000 / 30) <= 1));
}

#[test]
fn opus_files_last_as_long_as_the_manifest_says() {
    let files = [
        ("opus/bear.opus", 2, 2.740),
        ("opus/opus_fragmented.mp4", 2, 2.5),
        ("opus/osce_female_12k.ogg", 1, 20.0),
        ("opus/osce_female_6k.ogg", 1, 20.0),
        ("opus/rtpengine_mono_11k_voipmode.ogg", 1, 120.0),
        ("opus/rtpengine_stereo_96k_voipmode.ogg", 2, 120.0),
    ];
    for (name, channels, seconds) in files {
        let Some(path) = media(name) else { continue };
        let mut source = open_audio(&path).unwrap().unwrap();
        assert_eq!((source.info().codec, source.info().channels), (AudioCodec::Opus, channels), "{name}");
        let (mut samples, mut packet) = (0, Vec::new());
        while source.next_packet(&mut packet).unwrap().is_some() {
            assert!(packet_samples(&packet) > 0, "{name}");
            samples += u64::from(packet_samples(&packet));
            packet.clear();
        }
        let lasts = source.end().unwrap_or(samples).saturating_sub(source.info().pre_skip.into()) as f64 / 48_000.0;
        assert!((lasts - seconds).abs() < 0.03, "{name}: {lasts} s, not {seconds} s");
        assert!(open_video(&path).is_err(), "{name} has no video");
    }
}

#[test]
fn real_wav_files_come_out_at_48_khz() {
    for (name, rate, seconds) in [
        ("audio/apm_hello_48k.wav", 48_000, 3.072),
        ("audio/echo_doubletalk_mic.wav", 16_000, 10.760),
        ("audio/pyaec_d_8k.wav", 8000, 14.379),
        // 32-bit float.
        ("audio/meeting_dev00.wav", 16_000, 30.0),
    ] {
        let Some(path) = media(name) else { continue };
        let mut audio = FileAudio::open(&path, |_| unreachable!("wav needs no decoder")).unwrap().unwrap();
        assert_eq!((audio.info().rate, audio.channels()), (rate, 1), "{name}");
        let (mut samples, mut loudest, mut piece) = (0, 0, [0; 480]);
        loop {
            let count = audio.read(&mut piece).unwrap();
            samples += count;
            loudest = piece[..count].iter().map(|s| s.unsigned_abs()).max().unwrap_or(0).max(loudest);
            if count < piece.len() {
                break;
            }
        }
        assert!((samples as f64 / 48_000.0 - seconds).abs() < 0.001, "{name}: {samples} samples");
        assert!(loudest > 500, "{name} is silent");
    }
}

#[test]
fn ffmpeg_decodes_our_files_to_the_same_pictures() {
    if !installed("ffmpeg") || !installed("ffprobe") {
        return println!("skipped: ffmpeg is not installed");
    }
    let folder = Folder::new();
    for name in ["av1/b8_00000527.ivf", "av1/b8_00000625.ivf", "av1/libaom_man_1080x720.mp4"] {
        let Some(original) = media(name) else { continue };
        let sound = media("opus/bear.opus").map(|path| open_audio(&path).unwrap().unwrap());
        let head = sound.as_ref().map(|sound| {
            let info = sound.info();
            OpusHead { channels: info.channels, pre_skip: info.pre_skip, rate: 48_000, gain: 0 }
        });
        let mut source = open_video(&original).unwrap();
        let info = *source.info();
        let units = drain(&mut source).unwrap();
        let expected = pictures(&original);
        for ending in ["ivf", "mkv", "webm", "mp4"] {
            let path = folder.path(&format!("out.{ending}"));
            let audio = head.filter(|_| ending != "ivf");
            let config = WriterConfig { color: info.color, audio, ..WriterConfig::new(info.size, info.fps) };
            let mut writer = VideoWriter::create(&path, &config).unwrap();
            if audio.is_some() {
                let mut sound = open_audio(&media("opus/bear.opus").unwrap()).unwrap().unwrap();
                let mut packet = Vec::new();
                while let Some(time) = sound.next_packet(&mut packet).unwrap() {
                    writer.write_audio(&packet, time).unwrap();
                    packet.clear();
                }
            }
            for (unit, time) in &units {
                writer.write(unit, *time, SequenceHeader::find(unit).is_some()).unwrap();
            }
            writer.finish().unwrap();
            let said = probe(&path, "v:0", "codec_name,width,height,nb_read_packets");
            let Size { width, height } = info.size;
            assert_eq!(said, format!("av1,{width},{height},{}", units.len()), "{name} as {ending}");
            assert_eq!(pictures(&path), expected, "{name} as {ending}");
            if let Some(head) = audio {
                let said = probe(&path, "a:0", "codec_name,sample_rate,channels");
                assert_eq!(said, format!("opus,48000,{}", head.channels), "{name} as {ending}");
            }
        }
    }
}

#[test]
fn other_formats_go_through_ffmpeg() {
    if !installed("ffmpeg") || !installed("ffprobe") {
        return println!("skipped: ffmpeg is not installed");
    }
    if let Some(path) = media("video/asl_A_help.mkv") {
        let mut source = open_video(&path).unwrap();
        let info = *source.info();
        assert_eq!((info.size, info.codec, info.color.range), (Size::new(640, 480), VideoCodec::Raw, Range::Full));
        let (mut picture, mut count) = (Picture::new(Size::new(2, 2), Color::default()), 0);
        while source.next_raw(&mut picture).unwrap().is_some() {
            count += 1;
        }
        assert!((57..=59).contains(&count), "{count} frames, not 58");
        assert!(open_audio(&path).unwrap().is_none());
    }
    if let Some(path) = media("audio/libri_198-209-0000.ogg") {
        let mut audio = FileAudio::open(&path, |_| unreachable!("Vorbis comes as samples")).unwrap().unwrap();
        let mut samples = vec![0; 48_000 * 20];
        let count = audio.read(&mut samples).unwrap();
        assert!((count as f64 / 48_000.0 - 13.91).abs() < 0.05, "{count} samples");
    }
    let folder = Folder::new();
    // Floats of 64 bits, behind a long and a short header.
    let path = folder.path("f64.wav");
    let tone = ["-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", "sine=d=1", "-c:a", "pcm_f64le"];
    assert!(Command::new("ffmpeg").args(tone).arg(&path).status().unwrap().success());
    let long = std::fs::read(&path).unwrap();
    let short = [&long[..16], &[16, 0, 0, 0, 3, 0], &long[22..36], &long[60..]].concat();
    for bytes in [long, short] {
        std::fs::write(&path, bytes).unwrap();
        let mut audio = FileAudio::open(&path, |_| unreachable!("wav comes as samples")).unwrap().unwrap();
        assert!(audio.read(&mut vec![0; 96_000]).unwrap().abs_diff(48_000) < 48);
    }
    let path = folder.path("nonsense.avi");
    std::fs::write(&path, vec![7; 5000]).unwrap();
    let text = open_video(&path).err().unwrap().to_string();
    assert!(!text.contains('\n') && text.contains(';'), "{text}");
    let text = open_audio(&path).err().unwrap().to_string();
    assert!(!text.contains('\n') && text.contains(';'), "{text}");
    let mut wav = WavWriter::create(&folder.path("sound.wav"), 48_000, 1).unwrap();
    wav.write(&[1; 100]).unwrap();
    wav.finish().unwrap();
    assert!(open_video(&folder.path("sound.wav")).is_err());
}

#[test]
fn a_path_that_does_not_exist_is_named() {
    let folder = Folder::new();
    for error in [open_video(&folder.path("none.ivf")).err(), open_audio(&folder.path("none.wav")).err()] {
        let text = error.unwrap().to_string();
        assert!(text.contains("none.") && text.contains("check the path"), "{text}");
    }
    assert!(open_video(&folder.path("")).is_err(), "a folder is no video");
}

#[test]
fn the_colour_of_an_av1_file_is_what_its_stream_says() {
    let folder = Folder::new();
    let path = folder.path("a.mkv");
    let mut writer = VideoWriter::create(&path, &WriterConfig::new(Size::new(64, 64), (30, 1))).unwrap();
    writer.write(&units(64, 64, 1, 1)[0].0, 0, true).unwrap();
    writer.finish().unwrap();
    let info = *open_video(&path).unwrap().info();
    assert_eq!(info.color, Color { matrix: Matrix::Bt709, range: Range::Limited });
}

fn installed(program: &str) -> bool {
    Command::new(program).arg("-version").output().is_ok_and(|o| o.status.success())
}

/// What `ffprobe` says of a stream; it must not complain.
fn probe(path: &Path, stream: &str, entries: &str) -> String {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "warning", "-count_packets", "-select_streams", stream, "-of", "csv=p=0"]);
    let output = command.args(["-show_entries", &format!("stream={entries}")]).arg(path).output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().trim_end_matches(',').to_owned()
}

/// The hash of all decoded pictures.
fn pictures(path: &Path) -> String {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-i"]).arg(path);
    command.args(["-map", "0:v:0", "-vsync", "0", "-f", "md5", "-"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
