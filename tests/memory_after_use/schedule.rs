//! The key schedule and the frame cipher by themselves. The parent derives every key there is, on its own.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use aws_lc_rs::hkdf;
use conclave::e2ee::{Context, EpochInput, KeyId, MediaSecret, Roster};
use conclave::e2ee::{OpenKey, SealKey, Suite, sframe};
use conclave::frame::Buffer;
use conclave::time::Time;
use zeroize::{Zeroize, Zeroizing};

use crate::epochs;
use crate::search::{CANARY, CHILD, MASK, Needle, child_of, forms, search};

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
    let mut child = child_of("schedule::child", false).stdin(Stdio::piped()).spawn().unwrap();
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
        let input = EpochInput {
            secret: MediaSecret::new(&secret).unwrap(),
            roster: Roster::new(LEAVES.map(epochs::member).to_vec()),
            ..epochs::input(EPOCH, LEAVES[1], 0, Time(0))
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
