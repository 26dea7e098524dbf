//! What the container tests share: a folder that goes away, and AV1 units that a container cannot tell from real ones.
#![allow(dead_code, reason = "each test uses a part")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use conclave::codecs::container::{self, VideoSource};

/// A folder of its own, removed at the end.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let name = format!("conclave-{}-{}", std::process::id(), SERIAL.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn names(&self) -> Vec<String> {
        std::fs::read_dir(&self.0).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A file of the shared media, where they are present; says that it skips where not.
pub fn media(name: &str) -> Option<PathBuf> {
    let shared = std::env::var_os("CONCLAVE_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let path = shared.join("media").join(name);
    if !path.exists() {
        println!("skipped: {name} is absent from the shared media");
        return None;
    }
    Some(path)
}

/// Frames of a stream: delimiter, a sequence header on each tenth, and a frame OBU of noise.
pub fn units(width: u32, height: u32, count: usize, seed: u64) -> Vec<(Vec<u8>, bool)> {
    let mut random = fastrand::Rng::with_seed(seed);
    let header = sequence_header(width, height);
    (0..count)
        .map(|n| {
            let mut unit = vec![0x12, 0x00];
            let key = n % 10 == 0;
            if key {
                unit.extend([0x0a, header.len() as u8]);
                unit.extend(&header);
            }
            let len = random.usize(1..700);
            unit.extend([0x32, len as u8 | 0x80, (len >> 7) as u8]);
            unit.extend((0..len).map(|_| random.u8(..)));
            (unit, key)
        })
        .collect()
}

/// The payload of a sequence header (AV1 §5.5) in its reduced form: profile 0, level 4.0, 8 bits, BT.709, limited.
pub fn sequence_header(width: u32, height: u32) -> Vec<u8> {
    let mut bits = String::from("000" /* profile */);
    bits += "11"; // still picture, reduced header
    bits += "01000"; // level
    bits += &format!("11111111{:016b}{:016b}", width - 1, height - 1);
    bits += "000000"; // tools
    bits += "001"; // 8 bits, chroma, description follows
    bits += "000000010000000100000001"; // BT.709 three times
    bits += "0000"; // limited, chroma position, one delta for both planes
    bits += "01"; // no grain, trailing bit
    bits += &"0".repeat((8 - bits.len() % 8) % 8);
    bits.as_bytes().chunks(8).map(|b| b.iter().fold(0, |v, c| v << 1 | (c - b'0'))).collect()
}

/// All units of a source, with their times.
pub fn drain(source: &mut VideoSource) -> container::Result<Vec<(Vec<u8>, u64)>> {
    let mut all = Vec::new();
    loop {
        let mut unit = Vec::new();
        match source.next_unit(&mut unit)? {
            Some(time) => all.push((unit, time)),
            None => return Ok(all),
        }
        assert!(all.len() < 1_000_000, "the source does not end");
    }
}

/// Noise in the shape of Opus packets of 20 ms, mono, CELT.
pub fn packets(count: usize, seed: u64) -> Vec<Vec<u8>> {
    let mut random = fastrand::Rng::with_seed(seed);
    let packet = |random: &mut fastrand::Rng| {
        let mut packet = vec![31 << 3];
        packet.extend((0..random.usize(1..200)).map(|_| random.u8(..)));
        packet
    };
    (0..count).map(|_| packet(&mut random)).collect()
}
