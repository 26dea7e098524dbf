//! Looking through all writable memory of the own process for what is known masked alone.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};

use zeroize::Zeroize;

/// Every byte that is looked for lies in memory only XORed with this.
pub const MASK: u8 = 0xa5;

/// Set for the child.
pub const CHILD: &str = "CONCLAVE_MEMORY_CHILD";

/// Set for a child that wipes what it frees.
pub const WIPES: &str = "CONCLAVE_MEMORY_WIPES";

/// A frame that nobody may find afterwards.
pub const CANARY: &[u8] =
    b"\xe6\xc9\xcb\xc4\xd7\xdc\x85\xcc\xcb\x85\xd1\xcd\xc0\x85\xc6\xca\xc4\xc9\x85\xc8\xcc\xcb\xc0\x84";

/// This program once more, for one of its tests that is a child.
pub fn child_of(test: &str, wipes: bool) -> Command {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(CHILD, "1").stdout(Stdio::piped());
    if wipes {
        child.env(WIPES, "1");
    }
    child
}

/// What is looked for: name, form, bytes masked.
#[derive(Clone)]
pub struct Needle {
    pub name: String,
    pub form: &'static str,
    pub bytes: Vec<u8>,
}

/// The four forms of masked bytes, made without ever unmasking more than one byte at a time.
pub fn forms(name: &str, masked: &[u8]) -> Vec<Needle> {
    let masked = &masked[..masked.len().min(24)];
    let mut hex = Vec::new();
    let mut json = Vec::new();
    let mut cbor = Vec::new();
    for (at, byte) in masked.iter().enumerate() {
        for nibble in [(byte ^ MASK) >> 4, (byte ^ MASK) & 15] {
            hex.push(b"0123456789abcdef"[usize::from(nibble)] ^ MASK);
        }
        if at > 0 {
            json.push(b',' ^ MASK);
        }
        let value = byte ^ MASK;
        if value > 23 {
            cbor.push(0x18 ^ MASK);
        }
        cbor.push(*byte);
        let digits = [value / 100, value / 10 % 10, value % 10];
        let from = digits.iter().position(|digit| *digit > 0).unwrap_or(2);
        json.extend(digits[from..].iter().map(|digit| (b'0' + digit) ^ MASK));
    }
    let forms = [("raw", masked.to_vec()), ("hex", hex), ("json", json), ("cbor", cbor)];
    forms.into_iter().map(|(form, bytes)| Needle { name: name.to_owned(), form, bytes }).collect()
}

/// Which needles are in memory, each with the mapping that it was found in.
pub fn search(needles: &[Needle]) -> Vec<String> {
    let mut first: HashMap<[u8; 4], Vec<&Needle>> = HashMap::new();
    let mut start = vec![false; 1 << 16];
    for needle in needles {
        first.entry(needle.bytes[..4].try_into().unwrap()).or_default().push(needle);
        start[usize::from(needle.bytes[0]) << 8 | usize::from(needle.bytes[1])] = true;
    }
    let mut maps = String::new();
    File::open("/proc/self/maps").unwrap().read_to_string(&mut maps).unwrap();
    let memory = File::open("/proc/self/mem").unwrap();
    let mut buffer = vec![MASK; CHUNK + OVERLAP];
    let mut found = Vec::new();
    for line in maps.lines() {
        let mut parts = line.split_whitespace();
        let (range, rights) = (parts.next().unwrap(), parts.next().unwrap());
        let name = parts.nth(3).unwrap_or("anonymous").to_owned();
        if !rights.starts_with("rw") {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let (mut at, to) = (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
        while at < to {
            let len = (buffer.len() as u64).min(to - at) as usize;
            // Masking what was read of the needles themselves has unmasked them here: gone before anyone looks.
            buffer.as_mut_slice().zeroize();
            let Ok(len) = memory.read_at(&mut buffer[..len], at) else { break };
            buffer[..len].iter_mut().for_each(|byte| *byte ^= MASK);
            for i in 0..len.saturating_sub(4) {
                if !start[usize::from(buffer[i]) << 8 | usize::from(buffer[i + 1])] {
                    continue;
                }
                let Some(candidates) = first.get(&buffer[i..i + 4]) else { continue };
                for needle in candidates {
                    if buffer[i..len].starts_with(&needle.bytes) {
                        found.push(format!("{} ({}) in {name}", needle.name, needle.form));
                    }
                }
            }
            at += CHUNK as u64;
        }
    }
    buffer.zeroize();
    found.sort();
    found.dedup();
    found
}

/// Bytes that are read at once, and how many of them twice so that no needle falls between two.
const CHUNK: usize = 1 << 16;
const OVERLAP: usize = 256;
