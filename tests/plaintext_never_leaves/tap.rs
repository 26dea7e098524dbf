//! What left each device, and the search in it.

use std::collections::HashSet;

use conclave::e2ee::group::wire::Envelope;
use conclave::gathering::Word;
use conclave::rtp::header::{Rtp, is_rtcp};
use conclave::rtp::{DESCRIPTOR_ID, START};
use conclave::time::Time;

/// Bytes of a window. Eight that agree by chance are one in 10⁷ runs of all these tests.
const WINDOW: usize = 8;

/// Distinct bytes of a window that tells something: runs of one byte are everywhere.
const TELLING: usize = 6;

/// Something that left.
pub struct Left {
    pub seat: usize,
    pub at: Time,
    pub control: bool,
    pub bytes: Vec<u8>,
}

/// Takes what leaves and knows what must not.
#[derive(Default)]
pub struct Tap {
    secret: HashSet<[u8; WINDOW]>,
    structures: Vec<Vec<u8>>,
    names: Vec<String>,
    pub left: Vec<Left>,
}

/// What a search found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Messages and datagrams with plaintext, a name aside.
    pub plaintext: usize,
    /// Bodies of datagrams and messages with a template structure.
    pub structures: usize,
    /// Messages and datagrams with a name, key packages aside.
    pub names: usize,
}

impl Tap {
    /// `bytes` are not to be seen.
    pub fn conceal(&mut self, bytes: &[u8]) {
        let windows = bytes.windows(WINDOW).filter_map(|window| window.try_into().ok());
        self.secret.extend(windows.filter(telling));
    }

    /// A template structure is not to be seen but in the extension that is there for it.
    pub fn conceal_structure(&mut self, structure: &[u8]) {
        if structure.len() >= WINDOW && !self.structures.iter().any(|known| known == structure) {
            self.structures.push(structure.to_vec());
        }
    }

    /// Somebody's name.
    pub fn conceal_name(&mut self, name: &str) {
        self.names.push(name.to_owned());
    }

    /// Something leaves.
    pub fn sent(&mut self, seat: usize, word: Word<'_>, at: Time) {
        let (control, bytes) = match word {
            Word::Control(bytes) => (true, bytes),
            Word::Datagram(bytes) => (false, bytes),
        };
        self.left.push(Left { seat, at, control, bytes: bytes.to_vec() });
    }

    /// Whether there is any of what must not be seen.
    pub fn shows(&self, bytes: &[u8]) -> bool {
        bytes
            .windows(WINDOW)
            .any(|window| window.try_into().is_ok_and(|window| self.secret.contains::<[u8; WINDOW]>(window)))
    }

    /// Searches everything.
    pub fn search(&self) -> Found {
        let mut found = Found::default();
        for left in &self.left {
            found.plaintext += usize::from(self.shows(&left.bytes));
            let body = if left.control { Some(&left.bytes[..]) } else { body(&left.bytes) };
            let structure = |known: &Vec<u8>| body.is_some_and(|body| has(body, &known[..WINDOW]));
            found.structures += usize::from(self.structures.iter().any(structure));
            let named = self.names.iter().any(|name| has(&left.bytes, name.as_bytes()));
            found.names += usize::from(named && !is_key_package(left));
        }
        found
    }

    /// Key packages that tell a name, and which.
    pub fn introductions(&self) -> Vec<&str> {
        let packages = self.left.iter().filter(|left| is_key_package(left));
        packages
            .flat_map(|left| self.names.iter().filter(|name| has(&left.bytes, name.as_bytes())))
            .map(|n| &n[..])
            .collect()
    }

    /// Asserts that nothing was seen, and that what left looks like noise.
    pub fn assert_silent(&self, what: &str) {
        assert!(
            !self.secret.is_empty() && !self.left.is_empty(),
            "{what}: there is something to be found and to search"
        );
        assert_eq!(self.search(), Found::default(), "{what}");
        let noise = self.noise();
        assert!(noise.worst < WORST && noise.all < WORST, "{what}: {noise:?}");
    }

    /// How far the bodies of datagrams are from noise.
    pub fn noise(&self) -> Noise {
        let (mut all, mut worst, mut bytes) = ([0u64; 256], 0.0f64, 0);
        // What goes out again is counted once.
        let datagrams: HashSet<_> = self.left.iter().filter(|left| !left.control).map(|left| &left.bytes[..]).collect();
        for body in datagrams.into_iter().filter_map(ciphertext) {
            let mut one = [0u64; 256];
            body.iter().for_each(|byte| one[usize::from(*byte)] += 1);
            all.iter_mut().zip(&one).for_each(|(all, one)| *all += one);
            bytes += body.len();
            if body.len() >= LONG {
                worst = worst.max(chi_square(&one));
            }
        }
        Noise { all: if bytes == 0 { 0.0 } else { chi_square(&all) }, worst }
    }
}

/// χ² of the bytes against an even spread: 255 on average, ±23, for noise.
#[derive(Debug)]
pub struct Noise {
    /// Of all bodies together.
    pub all: f64,
    /// Of the worst one that is long enough.
    pub worst: f64,
}

/// Noise stays below, but for one datagram in 10⁹.
pub const WORST: f64 = 440.0;

/// Bytes of a body that says something by itself.
const LONG: usize = 800;

fn chi_square(counts: &[u64; 256]) -> f64 {
    let even = counts.iter().sum::<u64>() as f64 / 256.0;
    counts.iter().map(|count| (*count as f64 - even).powi(2) / even).sum()
}

fn telling(window: &[u8; WINDOW]) -> bool {
    window.iter().collect::<HashSet<_>>().len() >= TELLING
}

fn has(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn is_key_package(left: &Left) -> bool {
    left.control && matches!(Envelope::decode(&left.bytes), Ok(Envelope::KeyPackage(_)))
}

/// The payload of a datagram of media; none of RTCP.
pub fn body(datagram: &[u8]) -> Option<&[u8]> {
    if is_rtcp(datagram) {
        return None;
    }
    Rtp::parse(datagram).ok().map(|rtp| rtp.payload)
}

/// What is surely ciphertext of it: behind the descriptor and the longest SFrame header.
fn ciphertext(datagram: &[u8]) -> Option<&[u8]> {
    let (first, rest) = body(datagram)?.split_first()?;
    rest.get(if first & START != 0 { 17 } else { 0 }..)
}

/// Whether a datagram carries a dependency descriptor.
pub fn has_descriptor(datagram: &[u8]) -> bool {
    let extension = Rtp::parse(datagram).ok().and_then(|rtp| rtp.extension);
    extension.is_some_and(|(_, body)| {
        body.first().is_some_and(|first| first >> 4 == DESCRIPTOR_ID || *first == DESCRIPTOR_ID)
    })
}
