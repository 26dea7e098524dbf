//! The command as people meet it: what it refuses and how, what it prints, what it leaves behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use conclave::codecs::container::obu::SequenceHeader;
use conclave::codecs::container::{OpusHead, VideoWriter, WavWriter, WriterConfig, open_audio, open_video};
use conclave::codecs::{AudioEncoder, Size, opus};
use serde_json::Value;

/// A folder of its own for each test, gone at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("conclave-cli-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(&self.0).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn conclave(folder: &Folder, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_conclave"));
    // Where it is not set, Vulkan's choice of a device complains on stderr; those are no words of ours.
    command.env("XDG_RUNTIME_DIR", std::env::temp_dir());
    command.current_dir(&folder.0).args(args).output().unwrap()
}

/// Runs a command that must be refused: exit code 2, nothing on stdout, one line on stderr that advises.
fn refused(folder: &Folder, args: &[&str]) -> String {
    let before = folder.names();
    let out = conclave(folder, args);
    let said = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(2), "{args:?}: {said}");
    assert!(out.stdout.is_empty(), "{args:?}");
    assert_eq!(said.trim_end().lines().count(), 1, "{args:?}: {said}");
    assert!(said.starts_with("conclave: ") && said.len() > 40 && !said.contains("panicked"), "{args:?}: {said}");
    assert!(said.contains("; ") || said.contains(": "), "no hint in {said}");
    assert_eq!(folder.names(), before, "{args:?} left something behind");
    said
}

fn json(folder: &Folder, args: &[&str]) -> Value {
    let out = conclave(folder, args);
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

/// Eight grey pictures that differ, as y4m.
fn y4m(path: &Path) {
    pictures(path, 8);
}

fn pictures(path: &Path, count: u8) {
    let mut data = b"YUV4MPEG2 W64 H48 F30:1 Ip C420jpeg\n".to_vec();
    for n in 0..count {
        data.extend(b"FRAME\n");
        data.extend((0..64 * 48).map(|i| (i % 64) as u8 * 2 + n));
        data.extend([128; 2 * 32 * 24]);
    }
    fs::write(path, data).unwrap();
}

/// The first bytes by which each container is known.
const MAGICS: [(&str, &[u8]); 6] = [
    ("y4m", b"YUV4MPEG2 "),
    ("ivf", b"DKIF\0\0\x20\0AV01"),
    ("mkv", &[0x1a, 0x45, 0xdf, 0xa3]),
    ("webm", &[0x1a, 0x45, 0xdf, 0xa3]),
    ("mp4", b"\0\0\0\x20ftypisom"),
    ("wav", b"RIFF\xff\xff\xff\xffWAVE"),
];

#[test]
fn damaged_files_of_every_container_are_refused_in_one_line() {
    let folder = Folder::new("damaged");
    for (ending, magic) in MAGICS {
        let file = format!("in.{ending}");
        let absurd = match ending {
            "y4m" => b"YUV4MPEG2 W4000000000 H4000000000 F30:1\nFRAME\n".to_vec(),
            "ivf" => [b"DKIF\0\0\x20\0AV01".as_slice(), &[0xff; 20], &[0xff; 12], &[0; 40]].concat(),
            "mkv" | "webm" => [magic, &[0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe], &[0; 40]].concat(),
            "mp4" => {
                [&[0xff, 0xff, 0xff, 0xff][..], b"ftypisom\0\0\0\0isom", &[0xff, 0xff, 0xff, 0xf0], b"moov"].concat()
            }
            _ => [magic, b"fmt \xff\xff\xff\xff", &[0xff; 16]].concat(),
        };
        let cases = [Vec::new(), magic.to_vec(), b"these are words and no picture at all\n".repeat(20), absurd];
        for (n, data) in cases.into_iter().enumerate() {
            fs::write(folder.0.join(&file), data).unwrap();
            let said = refused(&folder, &["transcode", &file, "out.ivf"]);
            assert!(said.contains(&file), "case {n} of {ending}: {said}");
            refused(&folder, &["demo", &file, "--frames", "2"]);
            refused(&folder, &["demo", "--audio", &file, "--frames", "2"]);
            refused(&folder, &["bench", "codec", "--input", &file]);
        }
        fs::remove_file(folder.0.join(file)).unwrap();
    }
}

#[test]
fn what_cannot_work_is_refused_before_anything_is_written() {
    let folder = Folder::new("refused");
    y4m(&folder.0.join("in.y4m"));
    let cases: [&[&str]; 23] = [
        &["transcode", "in.y4m", "out.ivf", "--bitrate", "0"],
        &["transcode", "in.y4m", "out.ivf", "--bitrate", "lots"],
        &["transcode", "in.y4m", "out.ivf", "--qindex", "0"],
        &["transcode", "in.y4m", "out.ivf", "--qindex", "256"],
        &["transcode", "in.y4m", "out.ivf", "--threads", "0"],
        &["transcode", "in.y4m", "out.ivf", "--threads", "65"],
        &["transcode", "in.y4m", "out.mkv", "--audio-bitrate", "5k"],
        &["transcode", "in.y4m", "out.mkv", "--audio-bitrate", "511k"],
        &["transcode", "in.y4m", "out.mkv", "--audio-bitrate", "64k", "--no-audio"],
        &["transcode", "in.y4m", "out.ivf", "--size", "0x0"],
        &["transcode", "in.y4m", "out.ivf", "--size", "70000x70000"],
        &["transcode", "in.y4m", "out.ivf", "--fps", "0"],
        &["transcode", "in.y4m", "out.ivf", "--frames", "0"],
        &["transcode", "in.y4m", "out.ivf", "--encoder", "nobody"],
        &["transcode", "in.y4m", "out.ivf", "--bitrate", "100k", "--qindex", "40"],
        &["transcode", "in.y4m", "out.txt"],
        &["transcode", "in.y4m", "no/such/folder/out.ivf"],
        &["transcode", "nothing.y4m", "out.ivf"],
        &["transcode", "in.y4m"],
        &["demo", "--bitrate", "0"],
        &["demo", "--loss", "101"],
        &["demo", "--frames", "2", "--report", "no/such/folder/report.html"],
        &["bench", "everything"],
    ];
    for args in cases {
        refused(&folder, args);
    }
    refused(&folder, &["nonsense"]);
    for output in ["out.y4m", "out.txt", "out"] {
        let said = refused(&folder, &["transcode", "in.y4m", output]);
        assert!(said.contains(output) && said.contains("use ivf, mkv, webm or mp4"), "{said}");
    }
    let said = refused(&folder, &["transcode", "in.y4m", "out.ivf", "--threads", "65"]);
    assert!(said.contains("1..=64"), "{said}");
}

#[test]
fn a_clip_is_transcoded_into_every_container_and_reads_back() {
    let folder = Folder::new("transcode");
    y4m(&folder.0.join("in.y4m"));
    for ending in ["ivf", "mkv", "webm", "mp4"] {
        let out = format!("out.{ending}");
        let args = [
            "transcode",
            "in.y4m",
            &out,
            "--json",
            "--qindex",
            "60",
            "--threads",
            "1",
            "--fps",
            "15",
            "--frames",
            "6",
            "--seal",
        ];
        let said = json(&folder, &args);
        assert_eq!((said["frames"].as_u64(), said["sealed"].as_bool()), (Some(6), Some(true)));
        for name in [
            "input",
            "output",
            "encoder",
            "frames",
            "seconds",
            "cpu_seconds",
            "fps",
            "bitrate_kbps",
            "psnr_y",
            "ssim_y",
            "bytes",
        ] {
            assert!(!said[name].is_null(), "{name} is missing in {said}");
        }
        assert!(said["psnr_y"].as_f64().unwrap() > 30.0, "{said}");
        let again = json(&folder, &["transcode", &out, "again.ivf", "--json", "--bitrate", "200k", "--size", "32x32"]);
        assert_eq!(again["frames"].as_u64(), Some(6));
        judge(&folder, &out);
    }
}

/// What a file holds: the times of its pictures, and its Opus packets with theirs, in microseconds.
#[derive(Clone, Debug, Default, PartialEq)]
struct Clip {
    pictures: Vec<u64>,
    head: Option<OpusHead>,
    packets: Vec<(Vec<u8>, u64)>,
}

impl Clip {
    /// Twelve pictures whose rate varies, and stereo sound that begins 60 ms after them and pauses for 80 ms.
    fn varying() -> Self {
        let head = OpusHead { channels: 2, pre_skip: 312, rate: 44_100, gain: -256 };
        let config = opus::Config { channels: 2, ..opus::Config::default() };
        let mut encoder = opus::Encoder::open(config).unwrap();
        let packet = |n: u64| {
            let mut packet = Vec::new();
            encoder.encode(&noise(960 * 2, n), &mut packet).unwrap();
            (packet, 100_000 + n * 20_000 + if n < 9 { 0 } else { 80_000 })
        };
        Self {
            pictures: [40, 73, 90, 190, 223, 300, 333, 334, 420, 500, 533, 600].map(|ms| ms * 1000).to_vec(),
            head: Some(head),
            packets: (0..25).map(packet).collect(),
        }
    }

    /// Writes it, the pictures being those of [`pictures`].
    fn write(&self, folder: &Folder, name: &str) {
        pictures(&folder.0.join("made.y4m"), self.pictures.len() as u8);
        json(folder, &["transcode", "made.y4m", "made.ivf", "--json", "--qindex", "80"]);
        let mut source = open_video(&folder.0.join("made.ivf")).unwrap();
        let config = WriterConfig { audio: self.head, ..WriterConfig::new(Size::new(64, 48), (30, 1)) };
        let mut writer = VideoWriter::create(&folder.0.join(name), &config).unwrap();
        let mut unit = Vec::new();
        let mut packets = self.packets.iter().peekable();
        for time in &self.pictures {
            while let Some((packet, time)) = packets.next_if(|(_, begins)| begins <= time) {
                writer.write_audio(packet, *time).unwrap();
            }
            unit.clear();
            source.next_unit(&mut unit).unwrap();
            writer.write(&unit, *time, SequenceHeader::find(&unit).is_some()).unwrap();
        }
        packets.for_each(|(packet, time)| writer.write_audio(packet, *time).unwrap());
        writer.finish().unwrap();
        ["made.y4m", "made.ivf"].iter().for_each(|made| fs::remove_file(folder.0.join(made)).unwrap());
    }

    fn read(folder: &Folder, name: &str) -> Self {
        let path = folder.0.join(name);
        let (mut clip, mut bytes) = (Self::default(), Vec::new());
        let mut video = open_video(&path).unwrap();
        while let Some(time) = video.next_unit(&mut bytes).unwrap() {
            clip.pictures.push(time);
        }
        let Some(mut audio) = open_audio(&path).unwrap() else { return clip };
        clip.head = audio.opus_head();
        bytes.clear();
        while let Some(time) = audio.next_packet(&mut bytes).unwrap() {
            clip.packets.push((std::mem::take(&mut bytes), time));
        }
        clip
    }

    /// Every time earlier by as much.
    fn earlier(mut self, us: u64) -> Self {
        self.pictures.iter_mut().chain(self.packets.iter_mut().map(|(_, time)| time)).for_each(|time| *time -= us);
        self
    }

    /// Holds the same, its times being equal but for `slack`.
    fn same(&self, other: &Self, slack: u64) {
        let close = |a: &u64, b: &u64| a.abs_diff(*b) <= slack;
        let (ours, theirs) = (&self.pictures, &other.pictures);
        assert!(ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(a, b)| close(a, b)), "{ours:?} {theirs:?}");
        assert_eq!((self.head, self.packets.len()), (other.head, other.packets.len()));
        for (n, (ours, theirs)) in self.packets.iter().zip(&other.packets).enumerate() {
            assert!(ours.0 == theirs.0, "packet {n} differs");
            assert!(close(&ours.1, &theirs.1), "packet {n} at {}, not {}", ours.1, theirs.1);
        }
    }
}

/// Noise that is like itself at no other lag.
fn noise(samples: usize, seed: u64) -> Vec<i16> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut low = 0.0;
    (0..samples)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Codecs keep what is low.
            low += 0.2 * (f64::from((state >> 40) as i32 - (1 << 23)) / 512.0 - low);
            low as i16
        })
        .collect()
}

/// Runs another program; `false`, and it is said, where that is not installed.
fn made(folder: &Folder, program: &str, args: &[&str]) -> bool {
    match Command::new(program).current_dir(&folder.0).args(args).output() {
        Ok(out) => {
            assert!(out.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&out.stderr));
            true
        }
        Err(_) => {
            println!("skipped: {program} is not installed");
            false
        }
    }
}

#[test]
fn opus_is_copied_packet_by_packet_and_keeps_its_distance_to_the_pictures() {
    let folder = Folder::new("copied");
    let clip = Clip::varying();
    clip.write(&folder, "in.mkv");
    clip.same(&Clip::read(&folder, "in.mkv"), 0);
    for (input, output, slack) in [
        ("in.mkv", "a.mkv", 0),
        ("in.mkv", "a.webm", 0),
        // Its clock begins with the picture, in ticks of 90 kHz.
        ("in.mkv", "a.mp4", 12),
        ("a.mp4", "b.mp4", 12),
        ("a.mp4", "b.mkv", 500),
    ] {
        let said = json(&folder, &["transcode", input, output, "--json", "--qindex", "80"]);
        assert_eq!((said["audio"].as_str(), said["audio_packets"].as_u64()), (Some("copied"), Some(25)), "{said}");
        let before = if input == "a.mp4" || output == "a.mp4" { 40_000 } else { 0 };
        clip.clone().earlier(before).same(&Clip::read(&folder, output), slack);
        // MP4 states no rate, from which the length of the last picture would follow.
        let kbps = said["bytes"].as_f64().unwrap() * 8.0 / (560.0 + 33.3);
        let slack = if input == "a.mp4" { 0.05 } else { 0.001 };
        assert!((said["bitrate_kbps"].as_f64().unwrap() / kbps - 1.0).abs() < slack, "{kbps} in {said}");
    }
    // Sound that comes first.
    let mut clip = Clip { pictures: clip.pictures.iter().map(|time| time + 400_000).collect(), ..clip };
    clip.write(&folder, "first.mkv");
    json(&folder, &["transcode", "first.mkv", "first.mp4", "--json", "--qindex", "80"]);
    clip = clip.earlier(100_000);
    clip.same(&Clip::read(&folder, "first.mp4"), 12);
    if made(&folder, "ffprobe", &["-v", "error", "first.mp4"]) {
        let starts = [stamps(&folder, "first.mp4", "v")[0], stamps(&folder, "first.mp4", "a")[0]];
        assert!((starts[0] - 0.34).abs() < 1e-3 && (starts[1] + 0.0065).abs() < 1e-3, "{starts:?}");
    }
}

/// The times of a file's packets in seconds, in their order, as `ffprobe` tells them.
fn stamps(folder: &Folder, file: &str, stream: &str) -> Vec<f64> {
    let args = ["-v", "error", "-select_streams", stream, "-show_entries", "packet=pts_time", "-of", "csv=p=0", file];
    let out = Command::new("ffprobe").current_dir(&folder.0).args(args).output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    let mut times: Vec<f64> = text.lines().filter_map(|line| line.trim_end_matches(',').parse().ok()).collect();
    times.sort_by(f64::total_cmp);
    times
}

#[test]
fn times_that_vary_stay_whoever_encodes_and_rise_whatever_they_are() {
    let folder = Folder::new("times");
    let mut clip = Clip { head: None, packets: Vec::new(), ..Clip::varying() };
    clip.write(&folder, "in.mkv");
    for (output, encoder, slack) in
        [("a.mkv", "cpu", 0), ("a.webm", "rav1e", 0), ("a.mp4", "rav1e", 12), ("a.ivf", "cpu", 16_667)]
    {
        json(&folder, &["transcode", "in.mkv", output, "--json", "--qindex", "80", "--encoder", encoder]);
        let before = if output == "a.mp4" { 40_000 } else { 0 };
        let got = Clip::read(&folder, output);
        assert!(got.pictures.windows(2).all(|pair| pair[0] < pair[1]), "{got:?}");
        // Of 333 and 334 ms the second cannot stand on the grid of ivf, nor then its neighbours in their places.
        let slack = if output == "a.ivf" { 2 * slack } else { slack };
        clip.clone().earlier(before).same(&got, slack);
    }
    // With a rate of the output's own nothing is left of them.
    json(&folder, &["transcode", "in.mkv", "even.mkv", "--json", "--qindex", "80", "--fps", "25"]);
    let even: Vec<u64> = (0..12).map(|n| n * 40_000).collect();
    assert_eq!(Clip::read(&folder, "even.mkv").pictures, even);
    // Times that stand still and run backward, as in damaged files.
    clip.pictures.splice(3..6, [90_000, 20_000, 91_000]);
    clip.write(&folder, "still.mkv");
    clip.pictures.splice(3..6, [91_000, 92_000, 93_000]);
    for (output, before) in [("still.mp4", 40_000), ("risen.mkv", 0)] {
        json(&folder, &["transcode", "still.mkv", output, "--json", "--qindex", "80"]);
        clip.clone().earlier(before).same(&Clip::read(&folder, output), 12);
    }
}

#[test]
fn times_of_foreign_pictures_stay_too() {
    let folder = Folder::new("foreign");
    let varied = "select='not(eq(mod(n,5),3))',setpts='PTS+if(gt(N,9),0.0117/TB,0)'";
    let args = ["-v", "error", "-f", "lavfi", "-i", "testsrc2=s=64x48:r=30:d=1", "-vf", varied];
    let codec = ["-vsync", "vfr", "-enc_time_base", "1:1000", "-c:v", "mjpeg", "-pix_fmt", "yuvj420p"];
    if !made(&folder, "ffmpeg", &[&args[..], &codec, &["-output_ts_offset", "1.5", "in.mkv"]].concat()) {
        return;
    }
    let before = stamps(&folder, "in.mkv", "v");
    assert!((before[0] - 1.5).abs() < 1e-6);
    for (output, start, slack) in [("a.mkv", 0.0, 0.0), ("a.mp4", 1.5, 1e-3)] {
        let said = json(&folder, &["transcode", "in.mkv", output, "--json", "--qindex", "80"]);
        let after = stamps(&folder, output, "v");
        assert_eq!((said["frames"].as_u64(), before.len(), after.len()), (Some(24), 24, 24));
        let same = before.iter().zip(&after).all(|(a, b)| (a - start - b).abs() <= slack + 1e-6);
        assert!(same, "{before:?} {after:?}");
    }
    // A rate that is even comes out even, though its times are told in milliseconds.
    let args = ["-v", "error", "-f", "lavfi", "-i", "testsrc2=s=64x48:r=30:d=1", "-c:v", "mjpeg", "even.mkv"];
    assert!(made(&folder, "ffmpeg", &args));
    json(&folder, &["transcode", "even.mkv", "even.mp4", "--json", "--qindex", "80"]);
    let even = stamps(&folder, "even.mp4", "v");
    assert!(even.iter().enumerate().all(|(n, time)| (time - n as f64 / 30.0).abs() < 2e-5), "{even:?}");
}

/// The sound of a file on the file's own clock, as `ffmpeg` decodes it: one channel of 48 kHz from time 0 on.
fn heard(folder: &Folder, file: &str) -> Vec<f64> {
    let filter = ["-map", "0:a:0", "-ac", "1", "-ar", "48000", "-af", "aresample=async=1:first_pts=0"];
    let args = [&["-v", "error", "-copyts", "-i", file][..], &filter, &["-f", "s16le", "-"]].concat();
    let out = Command::new("ffmpeg").current_dir(&folder.0).args(args).output().unwrap();
    out.stdout.chunks_exact(2).map(|b| f64::from(i16::from_le_bytes([b[0], b[1]]))).collect()
}

/// How alike two sounds are, 1 at most, where the second is `lag` samples late.
fn alike(a: &[f64], b: &[f64], lag: i64) -> f64 {
    let pairs = (9_600..a.len() - 9_600).map(|n| (a[n], b.get((n as i64 + lag) as usize).copied().unwrap_or(0.0)));
    let (mut product, mut squares) = (0.0, [0.0; 2]);
    for (x, y) in pairs.step_by(3) {
        product += x * y;
        squares = [squares[0] + x * x, squares[1] + y * y];
    }
    product / (squares[0] * squares[1]).sqrt().max(1.0)
}

#[test]
fn foreign_sound_is_coded_as_opus_in_its_time() {
    let folder = Folder::new("coded");
    let mut wav = WavWriter::create(&folder.0.join("noise.wav"), 44_100, 1).unwrap();
    wav.write(&noise(44_100 * 2, 5)).unwrap();
    wav.finish().unwrap();
    let test = ["-v", "error", "-f", "lavfi", "-i", "testsrc2=s=64x48:r=30:d=2.5"];
    let late = ["-itsoffset", "0.3", "-i", "noise.wav"];
    for (input, channels, codecs) in [
        ("aac.mp4", 2, ["-c:v", "mpeg4", "-c:a", "aac", "-ac", "2", "-b:a", "160k"]),
        ("vorbis.webm", 1, ["-c:v", "libvpx", "-c:a", "libvorbis", "-ac", "1", "-q:a", "8"]),
        ("pcm.mkv", 1, ["-c:v", "mpeg4", "-c:a", "pcm_s24le", "-ac", "1", "-q:v", "2"]),
    ] {
        if !made(&folder, "ffmpeg", &[&test[..], &late, &codecs, &[input]].concat()) {
            return;
        }
        for output in ["out.mkv", "out.mp4"] {
            let said =
                json(&folder, &["transcode", input, output, "--json", "--qindex", "80", "--audio-bitrate", "96k"]);
            assert_eq!(said["audio"].as_str(), Some("coded"), "{said}");
            let clip = Clip::read(&folder, output);
            assert_eq!(clip.head, Some(OpusHead { channels, pre_skip: 312, rate: 48_000, gain: 0 }));
            assert_eq!(said["audio_packets"].as_u64(), Some(clip.packets.len() as u64));
            assert!(clip.packets.windows(2).all(|pair| pair[1].1.abs_diff(pair[0].1) == 20_000), "{input}");
            let bytes: usize = clip.packets.iter().map(|(packet, _)| packet.len()).sum();
            let kbps = bytes as f64 * 8.0 / (clip.packets.len() as f64 * 20.0);
            assert!((72.0..120.0).contains(&kbps), "{kbps} kbit/s");
            let (before, after) = (heard(&folder, input), heard(&folder, output));
            let lags = (-480..=480).step_by(12);
            let best = lags.map(|lag| (alike(&before, &after, lag), lag)).max_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
            assert!(best.0 > 0.9 && best.1.abs() <= 48, "{input} as {output}: {best:?}");
            let longer = after.len() as f64 / 48.0 - before.len() as f64 / 48.0;
            assert!((-1.0..=21.0).contains(&longer), "{input} as {output} is {longer} ms longer");
        }
    }
    // The wav itself has no picture.
    assert!(refused(&folder, &["transcode", "noise.wav", "none.mkv"]).contains("noise.wav"));
}

#[test]
fn sound_ends_with_the_frames_that_were_asked_for() {
    let folder = Folder::new("cut");
    let clip = Clip::varying();
    clip.write(&folder, "in.mkv");
    for (frames, picture, packets) in [("2", 73, 1), ("5", 223, 9), ("12", 600, 23), ("99", 600, 25)] {
        json(&folder, &["transcode", "in.mkv", "out.mkv", "--json", "--qindex", "80", "--frames", frames]);
        let got = Clip::read(&folder, "out.mkv");
        assert_eq!((got.pictures.last(), got.packets.len()), (Some(&(picture * 1000)), packets), "{frames}");
        assert_eq!(got.packets, clip.packets[..packets]);
    }
    let test = ["-v", "error", "-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=2", "-f", "lavfi", "-i", "sine=d=2"];
    let codecs = ["-c:v", "mpeg4", "-c:a", "pcm_s16le", "in2.mkv"];
    if made(&folder, "ffmpeg", &[&test[..], &codecs].concat()) {
        json(&folder, &["transcode", "in2.mkv", "out2.mkv", "--json", "--qindex", "80", "--frames", "20"]);
        // 0.8 s and the 6.5 ms that the decoder needs, in whole packets.
        assert_eq!(Clip::read(&folder, "out2.mkv").packets.len(), 41);
        json(&folder, &["transcode", "in2.mkv", "out2.mkv", "--json", "--qindex", "80"]);
        assert_eq!(Clip::read(&folder, "out2.mkv").packets.len(), 101);
    }
}

#[test]
fn sound_that_cannot_go_along_is_left_out_and_that_is_said() {
    let folder = Folder::new("silent");
    Clip::varying().write(&folder, "in.mkv");
    y4m(&folder.0.join("mute.y4m"));
    for (input, output, options, words, why) in [
        ("in.mkv", "out.ivf", &[][..], "without its sound: ivf holds none", Some("ivf holds none")),
        (
            "in.mkv",
            "out.mkv",
            &["--fps", "25"],
            "without its sound: it would not fit at another rate",
            Some("it would not fit at another rate"),
        ),
        ("in.mkv", "out.mp4", &["--no-audio"], "no sound", None),
        ("mute.y4m", "out.ivf", &[], "no sound", None),
        ("mute.y4m", "out.mkv", &[], "no sound", None),
    ] {
        let args = [&["transcode", input, output, "--qindex", "80"], options].concat();
        let said = conclave(&folder, &args);
        let line = String::from_utf8(said.stdout).unwrap();
        assert!(said.status.success() && line.trim_end().ends_with(words), "{line}");
        let said = json(&folder, &[&args[..], &["--json"]].concat());
        assert!(said["audio"].is_null() && said["audio_packets"].as_u64() == Some(0), "{said}");
        assert_eq!(said["audio_left_out"].as_str(), why);
        assert_eq!(Clip::read(&folder, output).head, None, "{output}");
    }
    // The input's own rate, said in other words, leaves it in.
    let args = ["transcode", "in.mkv", "out.mkv", "--qindex", "80", "--fps", "60/2"];
    let line = String::from_utf8(conclave(&folder, &args).stdout).unwrap();
    assert!(line.contains("sound copied (25 packets), up to 193 ms off the pictures"), "{line}");
    let mut stdin = Command::new(env!("CARGO_BIN_EXE_conclave"));
    stdin.current_dir(&folder.0).args(["transcode", "-", "piped.mkv", "--qindex", "80"]);
    let input = fs::File::open(folder.0.join("in.mkv")).unwrap();
    assert!(stdin.stdin(Stdio::from(input)).output().unwrap().status.success());
    assert_eq!((Clip::read(&folder, "piped.mkv").head, Clip::read(&folder, "piped.mkv").pictures.len()), (None, 12));
}

#[test]
fn damage_in_the_sound_alone_is_said_and_leaves_nothing() {
    let folder = Folder::new("harmed");
    let mut clip = Clip::varying();
    // Not a frame in a packet that says how many it has.
    clip.packets[24].0 = vec![0xff, 0];
    clip.write(&folder, "in.mkv");
    for output in ["out.mkv", "out.mp4"] {
        let said = refused(&folder, &["transcode", "in.mkv", output]);
        assert!(said.contains("in.mkv: packet 24 of its sound is no Opus") && said.contains("--no-audio"), "{said}");
    }
    json(&folder, &["transcode", "in.mkv", "out.mkv", "--json", "--no-audio"]);
    // The pictures end before the sound does, which is cut off.
    Clip::varying().write(&folder, "in.mkv");
    let whole = fs::read(folder.0.join("in.mkv")).unwrap();
    let last = &Clip::varying().packets[24].0;
    let at = whole.windows(last.len()).rposition(|bytes| bytes == last).unwrap();
    fs::write(folder.0.join("in.mkv"), &whole[..at + 5]).unwrap();
    let said = refused(&folder, &["transcode", "in.mkv", "cut.mkv"]);
    assert!(said.contains("in.mkv: damaged Matroska"), "{said}");
}

/// Other people's decoders read the six frames too, where they are installed.
fn judge(folder: &Folder, file: &str) {
    let ivf = file.ends_with("ivf");
    let judges: [(&str, Vec<&str>); 3] = [
        ("ffmpeg", vec!["-v", "error", "-xerror", "-i", file, "-f", "framemd5", "-"]),
        ("aomdec", vec!["--md5", "--rawvideo", file]),
        ("dav1d", vec!["-q", "-i", file, "--muxer", "md5", "-o", "-"]),
    ];
    for (program, args) in judges {
        // aomdec reads ivf and webm, dav1d ivf and mp4 not at all.
        if program == "dav1d" && !ivf || program == "aomdec" && !ivf && !file.ends_with("webm") {
            continue;
        }
        match Command::new(program).current_dir(&folder.0).args(args).output() {
            Ok(out) => {
                let text = String::from_utf8_lossy(&out.stdout);
                assert!(
                    out.status.success() && !text.is_empty(),
                    "{program} on {file}: {}",
                    String::from_utf8_lossy(&out.stderr)
                );
                if program == "ffmpeg" {
                    assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), 6, "{text}");
                }
            }
            Err(_) => eprintln!("skipped: {program} is not installed"),
        }
    }
}

#[test]
fn a_demo_says_everything_and_writes_its_report() {
    let folder = Folder::new("demo");
    let args =
        ["demo", "--json", "--frames", "12", "--size", "96x64", "--loss", "5", "--jitter", "20", "--report", "r.html"];
    let said = json(&folder, &args);
    assert_eq!(said["frames_mismatched"].as_u64(), Some(0));
    for name in [
        "frames_captured",
        "frames_sent",
        "frames_shown",
        "frames_missing",
        "psnr_y",
        "ssim_y",
        "bitrate_kbps",
        "cpu_seconds",
        "report",
    ] {
        assert!(!said[name].is_null(), "{name} is missing in {said}");
    }
    for (group, names) in [
        ("encoder", &["name", "device", "max_lag"][..]),
        ("audio", &["frames", "concealed", "gaps"]),
        ("network", &["packets", "lost", "repaired", "nacks", "keyframe_requests"]),
    ] {
        names.iter().for_each(|name| assert!(!said[group][name].is_null(), "{group}.{name}"));
    }
    assert_eq!((said["encoder"]["name"].as_str(), said["session"].as_str()), (Some("cpu"), Some("Live")));
    for (stage, percentiles) in said["latency_us"].as_object().unwrap() {
        assert!(["p50", "p95", "p99"].iter().all(|p| percentiles[p].is_u64()), "{stage}");
    }
    assert!(said["drops"].as_object().is_some_and(|drops| drops.values().all(Value::is_u64)));
    let page = fs::read_to_string(folder.0.join("r.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("data:image/png;base64,") && !page.contains("<script"));
    let left_out = said["group"]["left_out"].as_array().unwrap();
    assert!(left_out.iter().any(|act| act == "leave"), "0.4 seconds are too short for it: {left_out:?}");
    assert!(page.contains("The meeting is too short for:"));
    assert_eq!(folder.names(), ["r.html"]);
}

#[test]
fn a_guest_joins_the_keys_are_renewed_and_the_guest_leaves_in_every_demo_of_two_seconds() {
    let folder = Folder::new("group");
    let args = |suite| {
        let args = ["demo", "--json", "--seconds", "2", "--size", "96x64", "--report", "r.html", "--suite", suite];
        json(&folder, &args)
    };
    let mut welcomes = vec![];
    for suite in ["hybrid", "classical"] {
        let said = args(suite);
        let group = &said["group"];
        assert!(group["suite"].as_str().is_some_and(|name| name.starts_with(suite)), "{group}");
        assert_eq!((&group["members"], &group["left_out"]), (&Value::from(3), &Value::Array(vec![])));
        let changes = group["changes"].as_array().unwrap();
        assert_eq!(changes.iter().map(|c| c["act"].as_str().unwrap()).collect::<Vec<_>>(), ["join", "rekey", "leave"]);
        for change in changes {
            for cost in ["commit_bytes", "sealed_us", "opened_us", "build_us", "process_us"] {
                assert!(change[cost].as_u64().is_some_and(|cost| cost > 0), "{cost} of {change}");
            }
            for harm in ["held", "lost", "missing"] {
                assert_eq!(change[harm].as_u64(), Some(0), "{harm} of {change}");
            }
            assert_eq!(change["key_frames"].as_u64(), Some(1), "{change}");
            assert_eq!(change["welcome_bytes"].as_u64() > Some(0), change["act"] == "join", "{change}");
        }
        welcomes.push(changes[0]["welcome_bytes"].as_u64());
        let (guest, proofs) = (&group["guest"], &group["proofs"]);
        assert!(guest["first_picture_us"].as_u64() > guest["after_welcome_us"].as_u64(), "{guest}");
        assert!(guest["pictures"].as_u64() > Some(0) && guest["refused_after_leave"].as_u64() > Some(0), "{guest}");
        assert_eq!(guest["opened_after_leave"].as_u64(), Some(0));
        assert!(proofs["sent"].as_u64() > Some(0) && proofs["sent"] == proofs["verified"], "{proofs}");
        assert_eq!((proofs["unproven"].as_u64(), proofs["forged"].as_u64()), (Some(0), Some(0)));
        assert_eq!(said["frames_mismatched"].as_u64(), Some(0));
        let page = fs::read_to_string(folder.0.join("r.html")).unwrap();
        assert!(page.contains("<h2>The group<small>") && page.contains("A guest came and went"));
    }
    assert!(welcomes[0] > welcomes[1], "post-quantum keys are longer: {welcomes:?}");
}

#[test]
fn a_seed_gives_the_same_counters_though_the_group_draws_its_own_randomness() {
    let folder = Folder::new("seed");
    let args =
        ["demo", "--json", "--seconds", "2", "--size", "96x64", "--loss", "5", "--jitter", "20", "--report", "r.html"];
    let [one, two] = [(), ()].map(|()| json(&folder, &args));
    for part in ["frames_shown", "audio", "network", "drops", "receiver"] {
        assert_eq!(one[part], two[part], "{part}");
    }
    for count in ["control_messages", "control_bytes", "guest", "proofs"] {
        assert_eq!(one["group"][count], two["group"][count], "{count}");
    }
}

#[test]
fn a_demo_with_an_encoder_that_lags_is_paced_as_if_offline_and_says_so() {
    let folder = Folder::new("offline");
    let args = ["demo", "--json", "--frames", "6", "--size", "64x48", "--encoder", "rav1e", "--report", "r.html"];
    let out = conclave(&folder, &args);
    let noted = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success() && noted.contains("rav1e holds 4 frames back"), "{noted}");
    let said: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!((said["encoder"]["name"].as_str(), said["session"].as_str()), (Some("rav1e"), Some("Offline")));
}

#[test]
fn a_probe_names_what_there_is_and_what_to_do_about_the_rest() {
    let folder = Folder::new("probe");
    let said = json(&folder, &["probe", "--json"]);
    for name in ["adapters", "encoders", "decoders", "ciphers", "devices"] {
        assert!(said[name].is_array(), "{name}");
    }
    for adapter in said["adapters"].as_array().unwrap() {
        assert!(["name", "backend", "kind", "usable"].iter().all(|name| !adapter[name].is_null()), "{adapter}");
        assert!(adapter["usable"].as_bool() == Some(true) || adapter["why_not"].is_string(), "{adapter}");
    }
    let out = conclave(&folder, &["probe"]);
    let text = String::from_utf8(out.stdout).unwrap();
    let known = said["adapters"].as_array().unwrap().iter().all(|a| text.contains(a["name"].as_str().unwrap()));
    assert!(known && (!said["adapters"].as_array().unwrap().is_empty() || text.contains("install")), "{text}");
}

#[test]
fn every_group_of_the_bench_prints_figures_of_one_shape() {
    let folder = Folder::new("bench");
    for group in ["crypto", "queue", "convert", "pipeline", "codec"] {
        let said = json(&folder, &["bench", group, "--json", "--millis", "1"]);
        assert!(said["machine"]["cpu"].is_string());
        let results = said["results"].as_array().unwrap();
        assert!(!results.is_empty(), "{group}");
        if group == "codec" {
            let ours = |unit: &str| results.iter().any(|r| r["params"]["encoder"] == "cpu" && r["unit"] == unit);
            assert!(["frames/CPU-s", "frames", "kbit/s", "% BD-rate"].into_iter().all(ours), "{results:?}");
        }
        for result in results {
            assert!(result["group"] == group && result["name"].is_string() && result["unit"].is_string(), "{result}");
            assert!(result["params"].is_object(), "{result}");
            let [low, median, high] = ["low", "median", "high"].map(|name| result[name].as_f64().unwrap());
            assert!(low <= median && median <= high, "{result}");
        }
    }
    assert!(folder.names().is_empty());
}
