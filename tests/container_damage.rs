//! Damaged input of every kind gives one sentence: no panic, no endless reading, and no memory that the input did not
//! pay for.

mod container_support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Cursor;
use std::sync::atomic::{AtomicUsize, Ordering};

use conclave::codecs::container::{AudioCodec, AudioSource, ContainerError, OpusHead, VideoCodec, VideoSource};
use conclave::codecs::container::{VideoWriter, WavWriter, WriterConfig};
use conclave::codecs::{Color, Picture, Size};
use container_support::{Folder, media, packets, units};

/// Notes the largest single allocation.
struct Largest;

static LARGEST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Largest {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LARGEST.fetch_max(size, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(ptr, layout, size) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Largest = Largest;

#[test]
fn every_cut_is_told_or_harmless() {
    for (name, whole) in samples() {
        let all = read(&whole).unwrap_or_else(|e| panic!("{name}: {e}"));
        let mut told = 0;
        let step = (whole.len() / 1500).max(1);
        for len in (0..whole.len()).step_by(step) {
            match read(&whole[..len]) {
                Err(error) => {
                    one_line(name, &error);
                    told += 1;
                }
                // A cut between frames cannot be told where the format does not count them.
                Ok(count) => assert!(count <= all, "{name}: {count} of {all} frames from {len} bytes"),
            }
        }
        assert!(told > 100, "{name}: only {told} cuts were told");
    }
    assert_small();
}

#[test]
fn mutated_files_give_a_sentence_or_frames() {
    let mut random = fastrand::Rng::with_seed(2026);
    let mut told = 0;
    for (name, whole) in samples() {
        for _ in 0..4000 {
            let mut bytes = whole.clone();
            for _ in 0..random.usize(1..=4) {
                // Half of the hits go to the front, where the tables are.
                let reach = if random.bool() { bytes.len().min(400) } else { bytes.len() };
                let at = random.usize(..reach);
                match random.u8(..6) {
                    0 => bytes[at] = random.u8(..),
                    1 => bytes[at] ^= 1 << random.u8(..8),
                    2 => bytes[at..].iter_mut().take(4).for_each(|b| *b = 0xff),
                    3 => bytes[at..].iter_mut().take(8).for_each(|b| *b = 0),
                    4 => drop(bytes.drain(at..(at + random.usize(1..20)).min(reach))),
                    _ => {
                        let from = random.usize(..bytes.len());
                        let piece: Vec<u8> = bytes[from..].iter().copied().take(16).collect();
                        bytes.splice(at..at, piece);
                    }
                }
            }
            if let Err(error) = read(&bytes) {
                one_line(name, &error);
                told += 1;
            }
        }
    }
    assert!(told > 5000, "only {told} of the damaged files were told");
    assert_small();
}

#[test]
fn noise_behind_every_magic_gives_a_sentence() {
    let mut random = fastrand::Rng::with_seed(5);
    let magics: [&[u8]; 9] = [
        b"YUV4MPEG2 ",
        b"DKIF\0\0\x20\0AV01",
        b"\x12\0\x0a",
        b"\x1a\x45\xdf\xa3",
        b"\0\0\0\x10ftypisom\0\0\0\0",
        b"RIFF\xff\xff\xff\xffWAVEfmt ",
        b"OggS\0\x02",
        b"",
        b"\x1a\x45\xdf\xa3\x88\x42\x82\x84webm\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff\x16\x54\xae\x6b",
    ];
    for magic in magics {
        for _ in 0..500 {
            let mut bytes = magic.to_vec();
            bytes.extend((0..random.usize(0..300)).map(|_| random.u8(..)));
            if let Err(error) = read(&bytes) {
                one_line("noise", &error);
            }
        }
    }
    assert_small();
}

#[test]
fn absurd_claims_are_refused_by_name() {
    let ivf = |width: u16, height: u16, rate: u32, scale: u32, frame: &[u8]| {
        let mut bytes = b"DKIF\0\0\x20\0AV01".to_vec();
        bytes.extend(width.to_le_bytes());
        bytes.extend(height.to_le_bytes());
        bytes.extend(rate.to_le_bytes());
        bytes.extend(scale.to_le_bytes());
        bytes.extend([0; 8]);
        bytes.extend(frame);
        bytes
    };
    let unit = &units(16, 16, 1, 1)[0].0;
    let framed = [&(unit.len() as u32).to_le_bytes()[..], &[0; 8], unit].concat();
    let huge = [&0xffff_ffffu32.to_le_bytes()[..], &[0; 8], unit].concat();
    let large = [&units(65_535, 65_535, 1, 1)[0].0[..]].concat();
    let large = [&(large.len() as u32).to_le_bytes()[..], &[0; 8], &large].concat();
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (b"".to_vec(), "empty"),
        (b"GIF89a whatever".to_vec(), "no known format"),
        (b"YUV4MPEG2 W65535 H65535 F30:1\nFRAME\n".to_vec(), "65535x65535"),
        (b"YUV4MPEG2 W4294967295 H4294967295 F30:1\n".to_vec(), "4294967295x4294967295"),
        (b"YUV4MPEG2 W0 H16 F30:1\n".to_vec(), "0x16"),
        (b"YUV4MPEG2 W16 H16 F0:1\n".to_vec(), "frame rate"),
        (b"YUV4MPEG2 W16 H16 F30:0\n".to_vec(), "frame rate"),
        (b"YUV4MPEG2 W16 H16\n".to_vec(), "no frame rate"),
        (b"YUV4MPEG2 W16 H16 F30:1 C444\n".to_vec(), "444"),
        (b"YUV4MPEG2 W16 H16 F30:1 C420p10\n".to_vec(), "420p10"),
        (b"YUV4MPEG2 W16 H16 F30:1 It\n".to_vec(), "interlaced"),
        (b"YUV4MPEG2 W8192 H8192 F30:1\nFRAME\n".to_vec(), "cut off"),
        (b"YUV4MPEG2 W16 H16 F30:1\nFRAMES\n".to_vec(), "FRAME"),
        ([b"YUV4MPEG2 ".to_vec(), vec![b'x'; 5000]].concat(), "longer than"),
        (ivf(16, 16, 0, 1, &framed), "time base"),
        (ivf(16, 16, 30, 0, &framed), "time base"),
        (ivf(16, 16, 30, 1, &huge), "4294967295"),
        (ivf(65_535, 65_535, 30, 1, &framed), "65535x65535"),
        (ivf(0, 0, 30, 1, &large), "65535x65535"),
        (ivf(16, 16, 30, 1, b""), "no frame"),
        (b"DKIF\0\0\x20\0VP80".iter().copied().chain([0; 20]).collect(), "VP80"),
        (b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x01moov\x7f\xff\xff\xff\xff\xff\xff\xff".to_vec(), "MP4"),
        (b"\0\0\0\x10ftypisom\0\0\0\0\xff\xff\xff\xffmoov".to_vec(), "MP4"),
        (b"\x1a\x45\xdf\xa3\x01\x00\xff\xff\xff\xff\xff\xff".to_vec(), "header element"),
        (b"\x1a\x45\xdf\xa3\x88\x42\x82\x85movie".to_vec(), "matroska"),
        (b"RIFF\xff\xff\xff\xffWAVEfmt \xff\xff\xff\xff\x01\0".to_vec(), "wav"),
    ];
    for (bytes, word) in cases {
        let error = read(&bytes).err().unwrap_or_else(|| panic!("{word}: nothing was told"));
        one_line(word, &error);
        assert!(error.to_string().contains(word), "{error} does not say {word:?}");
    }
    assert_small();
}

/// Reads all frames of whatever it is; returns how many.
fn read(bytes: &[u8]) -> Result<usize, ContainerError> {
    let stream = || Box::new(Cursor::new(bytes.to_vec()));
    let sound = AudioSource::from_stream("sound", stream());
    let video = VideoSource::from_stream("video", stream());
    let mut count = 0;
    let (video, sound) = match (video, sound) {
        (Err(_), Ok(Some(sound))) => (None, Some(sound)),
        (Err(error @ ContainerError::Damaged { .. }), _) => return Err(error),
        (Err(_), Err(error)) => return Err(error),
        (Err(error), _) => return Err(error),
        (Ok(video), sound) => (Some(video), sound.ok().flatten()),
    };
    if let Some(mut video) = video {
        let mut picture = Picture::new(Size::new(2, 2), Color::default());
        let mut unit = Vec::new();
        let raw = video.info().codec == VideoCodec::Raw;
        while {
            unit.clear();
            if raw { video.next_raw(&mut picture)?.is_some() } else { video.next_unit(&mut unit)?.is_some() }
        } {
            count += 1;
            assert!(count <= bytes.len(), "more frames than bytes");
        }
    }
    if let Some(mut sound) = sound {
        let (mut packet, mut pcm) = (Vec::new(), Vec::new());
        let raw = sound.info().codec == AudioCodec::Pcm;
        while {
            (packet.clear(), pcm.clear());
            if raw { sound.next_samples(100, &mut pcm)? > 0 } else { sound.next_packet(&mut packet)?.is_some() }
        } {
            count += 1;
            assert!(count <= 2 * bytes.len(), "more packets than bytes");
        }
    }
    Ok(count)
}

/// A small sound file of every kind.
fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let folder = Folder::new();
    let size = Size::new(48, 32);
    let video = units(48, 32, 14, 11);
    let mut all: Vec<(&'static str, Vec<u8>)> = Vec::new();
    for name in ["a.ivf", "a.mkv", "a.webm", "a.mp4"] {
        let sound = (name != "a.ivf").then_some(OpusHead { channels: 1, pre_skip: 312, rate: 48_000, gain: 0 });
        let config = WriterConfig { audio: sound, ..WriterConfig::new(size, (30, 1)) };
        let mut writer = VideoWriter::create(&folder.path(name), &config).unwrap();
        for (n, ((unit, key), packet)) in video.iter().zip(packets(14, 12)).enumerate() {
            writer.write(unit, n as u64 * 33_333, *key).unwrap();
            if sound.is_some() {
                writer.write_audio(&packet, n as u64 * 20_000).unwrap();
            }
        }
        writer.finish().unwrap();
        all.push((name, std::fs::read(folder.path(name)).unwrap()));
    }
    all.push(("a.obu", video.iter().flat_map(|(unit, _)| unit.clone()).collect()));
    let mut writer = VideoWriter::create(&folder.path("a.y4m"), &WriterConfig::new(size, (30, 1))).unwrap();
    for _ in 0..3 {
        writer.write_picture(&Picture::new(size, Color::default())).unwrap();
    }
    writer.finish().unwrap();
    all.push(("a.y4m", std::fs::read(folder.path("a.y4m")).unwrap()));
    let mut writer = WavWriter::create(&folder.path("a.wav"), 48_000, 2).unwrap();
    writer.write(&[7; 4000]).unwrap();
    writer.finish().unwrap();
    all.push(("a.wav", std::fs::read(folder.path("a.wav")).unwrap()));
    for (name, path) in [("bear.opus", "opus/bear.opus"), ("fragmented.mp4", "opus/opus_fragmented.mp4")] {
        if let Some(path) = media(path) {
            all.push((name, std::fs::read(path).unwrap()));
        }
    }
    all
}

fn one_line(name: &str, error: &ContainerError) {
    let text = error.to_string();
    assert!(!text.contains('\n') && text.contains(';'), "{name}: {text:?}");
}

/// Nothing larger than the tests' own files (under 256 KiB) was ever asked for, rounded up for growing buffers.
fn assert_small() {
    let largest = LARGEST.load(Ordering::Relaxed);
    assert!(largest < 1 << 20, "an allocation of {largest} bytes");
}
