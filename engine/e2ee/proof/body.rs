//! The bytes of a proof (big-endian), one encoding for each meaning:
//!
//! ```text
//! "CMP1" ‖ u8 len ‖ group id ‖ u64 epoch ‖ u16 leaf ‖ u64 sequence ‖ u64 made_us
//!   ‖ [32] hash of the previous proof ‖ [32] key commitment
//!   ‖ u8 runs ‖ runs × (u8 context ‖ u64 first counter ‖ u16 count ‖ count × [16] digest)
//!   ‖ [64] Ed25519 signature over "Conclave 1.0 proof" ‖ all before
//! ```
//!
//! Sequence and previous hash run over the whole stay of a member on its leaf, from 0 and zeros in the epoch in which it
//! joined, on across all epochs: a proof that was kept back at an epoch's end is missed like any other. The hash is
//! SHA-256 of everything but the signature. `made_us` is the sender's clock, the one that frames are captured on.
//!
//! Runs ascend by context and counter and two of one context never touch. Counters of an honest sender have gaps only
//! where a frame could not be sealed, so that a proof has hardly more runs than contexts.

use aws_lc_rs::digest::{SHA256, digest};

use super::digest::Digest;
use super::key::SIGNATURE;
use crate::e2ee::Context;
use crate::e2ee::sframe::COUNTER_LIMIT;
use crate::time::Time;

/// Most bytes of a proof, so that sealed it fits into one packet: one loss then costs one proof, and no more.
pub const MAX_LEN: usize = 1100;

/// Most bytes of a group id.
pub const MAX_GROUP: usize = 64;

/// What every signature begins with, so that it is no signature of anything else.
pub(crate) const LABEL: &[u8; 18] = b"Conclave 1.0 proof";

/// Everything in a proof but the group and the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Epoch in which the frames were sealed.
    pub epoch: u64,
    /// The sender's leaf.
    pub leaf: u16,
    /// Number of the proof in the sender's stay.
    pub sequence: u64,
    /// When it was made, on the sender's clock. It covers everything that its sender sealed before, unless an earlier
    /// proof does.
    pub made: Time,
    /// Hash of the proof before this one; zeros for the first.
    pub previous: [u8; 32],
    /// What only holders of the epoch's secret can say.
    pub commitment: [u8; 32],
}

/// A proof that was read and not yet verified.
#[derive(Clone, Copy, Debug)]
pub struct Proof<'a> {
    /// Its numbers.
    pub head: Head,
    /// The group.
    pub group: &'a [u8],
    runs: &'a [u8],
    body: &'a [u8],
    /// The signature.
    pub signature: &'a [u8; SIGNATURE],
}

/// Consecutive frames of one context.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// The context.
    pub context: Context,
    /// Counter of the first.
    pub first: u64,
    digests: &'a [u8],
}

impl<'a> Proof<'a> {
    /// Reads a proof. `None` where it is longer than [`MAX_LEN`], cut short, has bytes to spare, or is not the one
    /// encoding of what it says.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        if bytes.len() > MAX_LEN {
            return None;
        }
        let (body, signature) = bytes.split_last_chunk::<SIGNATURE>()?;
        let (&group_len, rest) = body.strip_prefix(MAGIC)?.split_first()?;
        if usize::from(group_len) > MAX_GROUP {
            return None;
        }
        let (group, rest) = rest.split_at_checked(group_len.into())?;
        let (epoch, rest) = rest.split_first_chunk()?;
        let (leaf, rest) = rest.split_first_chunk()?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let (made, rest) = rest.split_first_chunk()?;
        let (previous, rest) = rest.split_first_chunk()?;
        let (commitment, rest) = rest.split_first_chunk()?;
        let (&count, runs) = rest.split_first()?;
        let mut left = Runs(runs);
        // Ends of the runs before, so that one set of frames is written in one way.
        let mut end: Option<(u8, u64)> = None;
        for _ in 0..count {
            let run = left.next()?;
            let place = (run.context.number(), run.first);
            if end.is_some_and(|end| place <= end) {
                return None;
            }
            end = Some((place.0, run.first + run.len() as u64));
        }
        if count == 0 || !left.0.is_empty() {
            return None;
        }
        let head = Head {
            epoch: u64::from_be_bytes(*epoch),
            leaf: u16::from_be_bytes(*leaf),
            sequence: u64::from_be_bytes(*sequence),
            made: Time(u64::from_be_bytes(*made)),
            previous: *previous,
            commitment: *commitment,
        };
        Some(Self { head, group, runs, body, signature })
    }

    /// The runs of frames that it covers.
    pub fn runs(&self) -> impl Iterator<Item = Run<'a>> + use<'a> {
        Runs(self.runs)
    }

    /// Context, counter and digest of every frame that it covers.
    pub fn frames(&self) -> impl Iterator<Item = (Context, u64, Digest)> + use<'a> {
        self.runs().flat_map(|run| run.digests().map(move |(counter, digest)| (run.context, counter, digest)))
    }

    /// The hash that the next proof carries.
    pub fn hash(&self) -> [u8; 32] {
        hash(self.body)
    }

    /// What is signed, in `space`.
    pub(crate) fn signed<'s>(&self, space: &'s mut [u8; LABEL.len() + MAX_LEN]) -> &'s [u8] {
        let len = LABEL.len() + self.body.len();
        space[..LABEL.len()].copy_from_slice(LABEL);
        space[LABEL.len()..len].copy_from_slice(self.body);
        &space[..len]
    }
}

impl<'a> Run<'a> {
    /// Frames in it, at least one.
    #[expect(clippy::len_without_is_empty, reason = "a run is never empty")]
    pub fn len(&self) -> usize {
        self.digests.len() / Digest::LEN
    }

    /// Counters and digests.
    pub fn digests(&self) -> impl Iterator<Item = (u64, Digest)> + use<'a> {
        let (digests, _) = self.digests.as_chunks::<{ Digest::LEN }>();
        (self.first..).zip(digests.iter().map(|digest| Digest(*digest)))
    }
}

/// Runs not yet read.
struct Runs<'a>(&'a [u8]);

impl<'a> Iterator for Runs<'a> {
    type Item = Run<'a>;

    fn next(&mut self) -> Option<Run<'a>> {
        let (&[context, rest @ ..], frames) = self.0.split_first_chunk::<RUN>()?;
        let (first, count) = rest.split_first_chunk()?;
        let (context, first) = (Context::new(context)?, u64::from_be_bytes(*first));
        let count = u16::from_be_bytes(count.try_into().ok()?);
        let (digests, left) = frames.split_at_checked(usize::from(count) * Digest::LEN)?;
        if count == 0 || first.checked_add(count.into())? > COUNTER_LIMIT {
            return None;
        }
        self.0 = left;
        Some(Run { context, first, digests })
    }
}

/// Writes a proof, run by run, into memory of its own.
pub(crate) struct Writer {
    /// The label first, so that what is signed lies in one piece.
    bytes: Vec<u8>,
    runs: usize,
}

impl Writer {
    pub(crate) fn new() -> Self {
        Self { bytes: Vec::with_capacity(LABEL.len() + MAX_LEN), runs: 0 }
    }

    /// Begins a proof. Of a group id longer than [`MAX_GROUP`] nothing is written, and nobody reads it.
    pub(crate) fn begin(&mut self, group: &[u8], head: &Head) {
        let group = if group.len() > MAX_GROUP { &[] } else { group };
        self.bytes.clear();
        self.bytes.extend_from_slice(LABEL);
        self.bytes.extend_from_slice(MAGIC);
        self.bytes.push(group.len() as u8);
        self.bytes.extend_from_slice(group);
        self.bytes.extend_from_slice(&head.epoch.to_be_bytes());
        self.bytes.extend_from_slice(&head.leaf.to_be_bytes());
        self.bytes.extend_from_slice(&head.sequence.to_be_bytes());
        self.bytes.extend_from_slice(&head.made.0.to_be_bytes());
        self.bytes.extend_from_slice(&head.previous);
        self.bytes.extend_from_slice(&head.commitment);
        self.runs = self.bytes.len();
        self.bytes.push(0);
    }

    /// Adds as many of the `digests` from counter `first` on as there is room for, and says how many.
    pub(crate) fn run(
        &mut self,
        context: Context,
        first: u64,
        digests: impl ExactSizeIterator<Item = Digest>,
    ) -> usize {
        let room = (LABEL.len() + MAX_LEN).saturating_sub(SIGNATURE + RUN + self.bytes.len()) / Digest::LEN;
        let count = digests.len().min(room);
        if count == 0 {
            return 0;
        }
        self.bytes.push(context.number());
        self.bytes.extend_from_slice(&first.to_be_bytes());
        self.bytes.extend_from_slice(&(count as u16).to_be_bytes());
        digests.take(count).for_each(|digest| self.bytes.extend_from_slice(&digest.0));
        self.bytes[self.runs] += 1;
        count
    }

    /// What is to be signed.
    pub(crate) fn signed(&self) -> &[u8] {
        &self.bytes
    }

    /// The hash that the next proof carries.
    pub(crate) fn hash(&self) -> [u8; 32] {
        hash(&self.bytes[LABEL.len()..])
    }

    /// The whole proof.
    pub(crate) fn end(&mut self, signature: &[u8; SIGNATURE]) -> &[u8] {
        self.bytes.extend_from_slice(signature);
        &self.bytes[LABEL.len()..]
    }
}

fn hash(body: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, body).as_ref());
    out
}

/// What a proof begins with, and nothing else in context 7 does.
pub const MAGIC: &[u8; 4] = b"CMP1";

/// Bytes in front of a run's digests.
const RUN: usize = 1 + 8 + 2;

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Head = Head { epoch: 21, leaf: 3, sequence: 9, made: Time(77), previous: [5; 32], commitment: [6; 32] };

    fn context(number: u8) -> Context {
        Context::new(number).unwrap()
    }

    fn digest_of(n: u64) -> Digest {
        Digest([n as u8; 16])
    }

    /// A proof of the runs `(context, first, count)`.
    fn proof(runs: &[(u8, u64, u64)]) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.begin(b"group", &HEAD);
        for (number, first, count) in runs {
            let digests: Vec<_> = (*first..first + count).map(digest_of).collect();
            assert_eq!(writer.run(context(*number), *first, digests.into_iter()) as u64, *count);
        }
        writer.end(&[8; SIGNATURE]).to_vec()
    }

    #[test]
    fn a_proof_says_what_was_written() {
        let bytes = proof(&[(0, 100, 10), (0, 111, 1), (1, 0, 12), (7, COUNTER_LIMIT - 1, 1)]);
        let read = Proof::read(&bytes).unwrap();
        assert_eq!((read.head, read.group, read.signature), (HEAD, &b"group"[..], &[8; SIGNATURE]));
        let frames: Vec<_> = read.frames().collect();
        assert_eq!(frames.len(), 24);
        assert_eq!(frames[0], (context(0), 100, digest_of(100)));
        assert_eq!(frames[10], (context(0), 111, digest_of(111)));
        assert_eq!(frames[23], (context(7), COUNTER_LIMIT - 1, digest_of(COUNTER_LIMIT - 1)));
    }

    #[test]
    fn no_truncation_and_no_addition_is_read() {
        let bytes = proof(&[(0, 100, 10), (1, 0, 12)]);
        for cut in 0..bytes.len() {
            assert!(Proof::read(&bytes[..cut]).is_none(), "{cut}");
        }
        assert!(Proof::read(&[&bytes[..], &[0]].concat()).is_none());
    }

    #[test]
    fn only_one_encoding_of_the_same_frames_is_read() {
        let refused: [&[(u8, u64, u64)]; 8] = [
            &[],
            &[(0, 0, 1), (0, 1, 1)],
            &[(0, 5, 2), (0, 6, 2)],
            &[(0, 5, 2), (0, 5, 2)],
            &[(0, 5, 1), (0, 0, 1)],
            &[(1, 0, 1), (0, 0, 1)],
            &[(0, COUNTER_LIMIT, 1)],
            &[(0, u64::MAX - 1, 1)],
        ];
        for runs in refused {
            assert!(Proof::read(&proof(runs)).is_none(), "{runs:?}");
        }
        assert!(Proof::read(&proof(&[(0, 0, 1), (0, 2, 1)])).is_some());
        let mut bytes = proof(&[(0, 0, 1)]);
        let run = bytes.len() - SIGNATURE - 16 - RUN;
        for (at, value) in [(0, 2), (3, 2), (4, 4), (run, 8), (run - 1, 0), (run - 1, 2), (run + 10, 0), (run + 10, 2)]
        {
            let genuine = std::mem::replace(&mut bytes[at], value);
            assert!(Proof::read(&bytes).is_none(), "byte {at} as {value}");
            bytes[at] = genuine;
        }
        assert!(Proof::read(&bytes).is_some());
    }

    #[test]
    fn what_does_not_fit_is_left_for_the_next_proof() {
        let mut writer = Writer::new();
        writer.begin(&[1; MAX_GROUP], &HEAD);
        let written = writer.run(context(1), 0, (0..500u16).map(|n| digest_of(n.into())));
        assert!(written > 48 && written < 500);
        assert_eq!(writer.run(context(2), 0, (0..5u16).map(|n| digest_of(n.into()))), 0);
        let bytes = writer.end(&[0; SIGNATURE]);
        assert!(bytes.len() <= MAX_LEN && bytes.len() > MAX_LEN - 16);
        assert_eq!(Proof::read(bytes).unwrap().frames().count(), written);
    }

    #[test]
    fn random_bytes_and_damaged_proofs_are_read_or_refused_without_harm() {
        let mut rng = fastrand::Rng::with_seed(0x9f00f);
        let genuine = proof(&[(0, 100, 10), (1, 0, 12), (2, 7, 12)]);
        for _ in 0..100_000 {
            let mut bytes = genuine.clone();
            for _ in 0..rng.usize(1..4) {
                let at = rng.usize(..bytes.len());
                bytes[at] = rng.u8(..);
            }
            bytes.truncate(rng.usize(..=bytes.len() * 2));
            if let Some(read) = Proof::read(&bytes) {
                let mut writer = Writer::new();
                writer.begin(read.group, &read.head);
                for run in read.runs() {
                    let digests: Vec<_> = run.digests().map(|(_, digest)| digest).collect();
                    writer.run(run.context, run.first, digests.into_iter());
                }
                assert_eq!(writer.end(read.signature), bytes, "what is read is written back the same");
            }
        }
        assert!(Proof::read(&vec![1; 100_000]).is_none());
    }
}
