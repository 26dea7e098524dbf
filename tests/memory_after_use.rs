//! What a process still has in its memory of keys that it is done with: a child derives, seals, opens, rotates and
//! tears down, then reads all of its own writable memory and looks for every key, raw, in hexadecimal and as JSON.
//!
//! The parent derives the needles and hands them over with every byte masked, and the child masks what it reads before
//! it looks, so that nobody finds the search itself.
#![cfg(target_os = "linux")]

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};

use aws_lc_rs::hkdf;
use conclave::e2ee::{Context, EpochInput, IdentityKey, KeyId, MediaKey, MediaSecret, Member, Profile, Role, Roster};
use conclave::e2ee::{OpenKey, SealKey, Suite, sframe};
use conclave::frame::Buffer;
use conclave::time::Time;
use zeroize::{Zeroize, Zeroizing};

/// Every byte that is looked for lies in memory only XORed with this.
const MASK: u8 = 0xa5;

/// Set for the child.
const CHILD: &str = "CONCLAVE_MEMORY_CHILD";

const EPOCH: u64 = 21;
const LEAVES: [u16; 2] = [3, 9];
const STEPS: u64 = 6;

struct Len(usize);

impl hkdf::KeyType for Len {
    fn len(&self) -> usize {
        self.0
    }
}

fn derive(ikm: &[u8], info: &[&[u8]], len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    let prk = hkdf::Salt::none(hkdf::HKDF_SHA512).extract(ikm);
    prk.expand(info, Len(len)).unwrap().fill(&mut out).unwrap();
    out
}

/// Every key of the schedule, by name; `step` in the name where it belongs to one.
fn needles(secret: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut all = vec![("epoch secret".to_owned(), secret.to_vec())];
    for leaf in LEAVES {
        let root = derive(secret, &[b"Conclave 1.0 sender ", &u32::from(leaf).to_be_bytes()], 64);
        for number in 0..8u16 {
            let mut base = derive(&root, &[b"Conclave 1.0 stream ", &number.to_be_bytes()], 64);
            for step in 0..STEPS {
                let context = Context::new(number as u8).unwrap();
                let id = KeyId { step, context, leaf, epoch: EPOCH as u8 }.pack().unwrap().to_be_bytes();
                let key = derive(&base, &[b"SFrame 1.0 Secret key ", &id, &[0, 5]], 32);
                let salt = derive(&base, &[b"SFrame 1.0 Secret salt ", &id, &[0, 5]], 12);
                let next = derive(&base, &[b"SFrame 1.0 Ratchet"], 64);
                for (what, bytes) in [("base", std::mem::replace(&mut base, next)), ("key", key), ("salt", salt)] {
                    all.push((format!("{what} leaf {leaf} context {number} step {step}"), bytes));
                }
            }
        }
        all.push((format!("root leaf {leaf}"), root));
    }
    all
}

#[test]
fn nothing_of_a_key_is_in_memory_when_it_is_done_with() {
    let secret: Vec<u8> = (0..48u8).map(|i| i.wrapping_mul(167) ^ 0x3c).collect();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for (name, bytes) in needles(&secret) {
        let masked: String = bytes.iter().map(|byte| format!("{:02x}", byte ^ MASK)).collect();
        writeln!(stdin, "{name}:{masked}").unwrap();
    }
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(output.status.success());
    assert!(said.contains("sanity: the keys in use are found"), "the search does not find what is there");
    let hits: Vec<_> = said.lines().filter(|line| line.contains("HIT")).collect();
    assert!(hits.is_empty(), "{} keys are left", hits.len());
}

/// What is looked for: name, form, bytes masked.
struct Needle {
    name: String,
    form: &'static str,
    bytes: Vec<u8>,
}

/// The three forms of masked bytes, made without ever unmasking more than one byte at a time.
fn forms(name: &str, masked: &[u8]) -> Vec<Needle> {
    let masked = &masked[..masked.len().min(24)];
    let mut hex = Vec::new();
    let mut json = Vec::new();
    for (at, byte) in masked.iter().enumerate() {
        for nibble in [(byte ^ MASK) >> 4, (byte ^ MASK) & 15] {
            hex.push(b"0123456789abcdef"[usize::from(nibble)] ^ MASK);
        }
        if at > 0 {
            json.push(b',' ^ MASK);
        }
        let value = byte ^ MASK;
        let digits = [value / 100, value / 10 % 10, value % 10];
        let from = digits.iter().position(|digit| *digit > 0).unwrap_or(2);
        json.extend(digits[from..].iter().map(|digit| (b'0' + digit) ^ MASK));
    }
    let forms = [("raw", masked.to_vec()), ("hex", hex), ("json", json)];
    forms.into_iter().map(|(form, bytes)| Needle { name: name.to_owned(), form, bytes }).collect()
}

/// Which needles are in memory, each with the mapping that it was found in.
fn search(needles: &[Needle]) -> Vec<String> {
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

/// A frame that nobody may find afterwards.
const CANARY: &[u8] =
    b"\xe6\xc9\xcb\xc4\xd7\xdc\x85\xcc\xcb\x85\xd1\xcd\xc0\x85\xc6\xca\xc4\xc9\x85\xc8\xcc\xcb\xc0\x84";

#[test]
fn child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let mut all = Vec::new();
    let mut masked_secret = Vec::new();
    for line in BufReader::new(std::io::stdin()).lines() {
        let line = line.unwrap();
        let (name, hex) = line.split_once(':').unwrap();
        let masked: Vec<u8> =
            (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect();
        if name == "epoch secret" {
            masked_secret = masked.clone();
        }
        all.extend(forms(name, &masked));
    }
    all.extend(forms("canary", CANARY));
    let of = |wanted: &dyn Fn(&str) -> bool| -> Vec<Needle> {
        let chosen = all.iter().filter(|needle| wanted(&needle.name));
        chosen.map(|n| Needle { name: n.name.clone(), form: n.form, bytes: n.bytes.clone() }).collect()
    };
    let (mut sending, mut opening) = {
        let secret: Zeroizing<Vec<u8>> = Zeroizing::new(masked_secret.iter().map(|byte| byte ^ MASK).collect());
        let member = |leaf: u16| Member {
            leaf,
            joined: 0,
            identity: IdentityKey([leaf as u8; 32]),
            media: MediaKey([0; 32]),
            name: String::new(),
            role: Role::default(),
        };
        let input = EpochInput {
            group: b"g".to_vec(),
            epoch: EPOCH,
            secret: MediaSecret::new(&secret).unwrap(),
            profile: Profile::Conclave,
            own: LEAVES[1],
            roster: Roster::new(LEAVES.map(member).to_vec()),
            policy: Vec::new(),
            authenticator: Vec::new(),
            began: Time(0),
        };
        input.derive().unwrap()
    };
    report("after derivation", &of(&|name| name.starts_with("epoch") || name.starts_with("root")));

    let context = Context::new(1).unwrap();
    let mut chain = sending.take(context).unwrap();
    let theirs = KeyId { step: 0, context, leaf: LEAVES[0], epoch: EPOCH as u8 };
    for step in 0..4 {
        let now = Time::from_ms(step * 4000);
        chain.advance(step).unwrap();
        opening.advance(now);
        let number = chain.id().pack().unwrap();
        let key: SealKey = SealKey::derive(Suite::Aes256GcmSha512, number, chain.base()).unwrap();
        let mut frame = Buffer::with_capacity(64);
        frame.tail().reserve_exact(512);
        frame.tail().extend(CANARY.iter().map(|byte| byte ^ MASK));
        sframe::Sealer::new(key).seal(b"", &mut frame).unwrap();
        let id = KeyId { step, ..theirs };
        let _key: OpenKey =
            OpenKey::derive(Suite::Aes256GcmSha512, id.pack().unwrap(), &opening.key(id, now).unwrap()).unwrap();
        frame.as_mut_slice().zeroize();
    }
    // A key in use is in memory: the search sees it, or it would see nothing.
    let in_use = format!("base leaf {} context 1 step 3", LEAVES[1]);
    if search(&of(&|name| name == in_use)).iter().any(|hit| hit.contains("raw")) {
        println!("sanity: the keys in use are found");
    }
    // The clock is at step 3: step 1 ended 4 s ago and still opens; step 0 is over. Ours are over as soon as they are
    // not in force, but for the contexts that nobody took: their chains stand at step 0.
    let past = |name: &str| {
        let ours = name.contains(&format!("leaf {} context 1 ", LEAVES[1])) && !name.contains("step 3");
        let others = name.contains(&format!("leaf {} ", LEAVES[0])) && name.ends_with("step 0");
        ours || others || name.starts_with("epoch") || name.starts_with("root") || name == "canary"
    };
    report("after rotation", &of(&past));

    drop((chain, opening, sending));
    report("after teardown", &all);
}

fn report(when: &str, needles: &[Needle]) {
    let found = search(needles);
    println!("{when}: {} of {} in memory", found.len(), needles.len());
    found.iter().for_each(|hit| println!("HIT {when}: {hit}"));
}
