//! What a frame of data says, byte for byte. The codec is strict: one encoding for each meaning, and nothing behind it.
//!
//! ```text
//! 2 message          u64 sequence ‖ u16 topic ‖ bytes
//! 3 acknowledgement  u16 count ‖ count × (u16 leaf ‖ u64 joined ‖ u64 next expected sequence of that sender)
//! 4 hello            u16 count ‖ count × (u16 leaf ‖ u64 joined ‖ u64 sequence from which that member gets messages)
//! ```
//!
//! Numbers are big-endian. A proof, which travels on the same stream, begins with another byte
//! ([`crate::e2ee::proof::body::MAGIC`]). Who says it is not in it: the key that opened the frame tells.

use conclave_codecs::EncodedInfo;

use crate::e2ee::Member;
use crate::e2ee::keys::MAX_LEAVES;
use crate::encode::Framing;
use crate::frame::{Buffer, Encoded};
use crate::time::Time;

/// Longest message in bytes.
pub const MAX_MESSAGE: usize = 16 << 10;

/// Sequences stay below this, so that none ever wraps.
pub const MAX_SEQUENCE: u64 = 1 << 48;

/// Entries of one list: every leaf once.
pub const MAX_ENTRIES: usize = MAX_LEAVES as usize;

const MESSAGE: u8 = 2;
const ACKNOWLEDGEMENT: u8 = 3;
const HELLO: u8 = 4;

/// Bytes of one entry of a list.
const ENTRY: usize = 2 + 8 + 8;

/// One stay of a member in the group: a later member may get the same leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct Peer {
    /// Its place in the tree.
    pub leaf: u16,
    /// The epoch it came in.
    pub joined: u64,
}

impl From<&Member> for Peer {
    fn from(member: &Member) -> Self {
        Self { leaf: member.leaf, joined: member.joined }
    }
}

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// A line of chat.
    Chat,
    /// Whether the sender's microphone is muted: one byte, 0 or 1.
    Mute,
    /// Whether the sender's hand is raised: one byte, 0 or 1.
    Hand,
    /// The app's own.
    App(u8),
}

impl Topic {
    /// Its number on the wire; 3 to 255 mean nothing.
    pub const fn number(self) -> u16 {
        match self {
            Topic::Chat => 0,
            Topic::Mute => 1,
            Topic::Hand => 2,
            Topic::App(number) => 0x100 | number as u16,
        }
    }

    /// The topic with this number.
    pub const fn from_number(number: u16) -> Option<Self> {
        match number {
            0 => Some(Topic::Chat),
            1 => Some(Topic::Mute),
            2 => Some(Topic::Hand),
            0x100..=0x1ff => Some(Topic::App(number as u8)),
            _ => None,
        }
    }
}

/// What a frame of data says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// A message.
    Message {
        /// Its number among those of its sender.
        sequence: u64,
        /// What it is about.
        topic: Topic,
        /// What it says.
        bytes: &'a [u8],
    },
    /// Everything of these senders before these sequences has come.
    Acknowledgement(List<'a>),
    /// These members get the messages from these sequences on.
    Hello(List<'a>),
}

impl<'a> Body<'a> {
    /// Reads a payload; `None` where it says nothing or more than one thing.
    pub fn read(payload: &'a [u8]) -> Option<Self> {
        let (kind, rest) = payload.split_first()?;
        match *kind {
            MESSAGE => {
                let (sequence, rest) = rest.split_first_chunk()?;
                let (topic, bytes) = rest.split_first_chunk()?;
                let sequence = Some(u64::from_be_bytes(*sequence)).filter(|sequence| *sequence < MAX_SEQUENCE)?;
                let topic = Topic::from_number(u16::from_be_bytes(*topic))?;
                (bytes.len() <= MAX_MESSAGE).then_some(Body::Message { sequence, topic, bytes })
            }
            ACKNOWLEDGEMENT => List::read(rest).map(Body::Acknowledgement),
            HELLO => List::read(rest).map(Body::Hello),
            _ => None,
        }
    }

    /// Bytes of the payload.
    fn len(&self) -> usize {
        match self {
            Body::Message { bytes, .. } => 1 + 8 + 2 + bytes.len(),
            Body::Acknowledgement(list) | Body::Hello(list) => 1 + 2 + list.0.len(),
        }
    }

    /// Appends the payload to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Body::Message { sequence, topic, bytes } => {
                out.push(MESSAGE);
                out.extend_from_slice(&sequence.to_be_bytes());
                out.extend_from_slice(&topic.number().to_be_bytes());
                out.extend_from_slice(bytes);
            }
            Body::Acknowledgement(list) | Body::Hello(list) => {
                out.push(if matches!(self, Body::Hello(_)) { HELLO } else { ACKNOWLEDGEMENT });
                out.extend_from_slice(&((list.0.len() / ENTRY) as u16).to_be_bytes());
                out.extend_from_slice(list.0);
            }
        }
    }
}

/// Stays of members in ascending order, each with a sequence; at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct List<'a>(&'a [u8]);

impl<'a> List<'a> {
    /// Writes `entries`, which ascend, over `scratch`; those beyond [`MAX_ENTRIES`] are left for the next list. `None`
    /// where there are none.
    pub fn write(scratch: &'a mut Vec<u8>, entries: impl Iterator<Item = (Peer, u64)>) -> Option<Self> {
        scratch.clear();
        for (peer, sequence) in entries.take(MAX_ENTRIES) {
            scratch.extend_from_slice(&peer.leaf.to_be_bytes());
            scratch.extend_from_slice(&peer.joined.to_be_bytes());
            scratch.extend_from_slice(&sequence.to_be_bytes());
        }
        (!scratch.is_empty()).then_some(Self(scratch))
    }

    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (count, entries) = bytes.split_first_chunk()?;
        let count = usize::from(u16::from_be_bytes(*count));
        if !(1..=MAX_ENTRIES).contains(&count) || entries.len() != count * ENTRY {
            return None;
        }
        let list = Self(entries);
        let sound = list.iter().all(|(peer, sequence)| peer.leaf < MAX_LEAVES && sequence <= MAX_SEQUENCE);
        (sound && list.iter().is_sorted_by(|(one, _), (next, _)| one < next)).then_some(list)
    }

    /// The entries.
    pub fn iter(&self) -> impl Iterator<Item = (Peer, u64)> + 'a {
        self.0.chunks_exact(ENTRY).map(|entry| {
            let number = |at: usize| entry[at..at + 8].iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
            let leaf = u16::from_be_bytes([entry[0], entry[1]]);
            (Peer { leaf, joined: number(2) }, number(10))
        })
    }

    /// What the list says of `peer`.
    pub fn of(&self, peer: Peer) -> Option<u64> {
        self.iter().find(|(other, _)| *other == peer).map(|(_, sequence)| sequence)
    }
}

/// The frame of `stream` that says `body`, in `payload`, an empty buffer from a pool.
pub fn frame(stream: u32, body: &Body<'_>, mut payload: Buffer, now: Time) -> Encoded {
    // Grown before anything is in it: what a growing buffer leaves behind is not wiped.
    if payload.room() < body.len() {
        payload = Buffer::with_capacity(body.len());
    }
    body.write(payload.tail());
    Framing::data(stream).frame(payload, EncodedInfo::default(), now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(body: &Body<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        body.write(&mut out);
        out
    }

    #[test]
    fn what_is_written_is_read_and_every_truncation_of_a_list_is_refused() {
        let peers = [Peer { leaf: 2, joined: 9 }, Peer { leaf: 3, joined: 1 }, Peer { leaf: 3, joined: 2 }];
        let mut scratch = Vec::new();
        let list = List::write(&mut scratch, peers.into_iter().zip([5, 0, MAX_SEQUENCE])).unwrap();
        assert_eq!((list.of(peers[2]), list.of(Peer { leaf: 2, joined: 1 })), (Some(MAX_SEQUENCE), None));
        let bodies = [
            Body::Message { sequence: MAX_SEQUENCE - 1, topic: Topic::App(255), bytes: b"" },
            Body::Message { sequence: 0, topic: Topic::Hand, bytes: &[1] },
            Body::Acknowledgement(list),
            Body::Hello(list),
        ];
        for body in bodies {
            let bytes = written(&body);
            assert_eq!(Body::read(&bytes), Some(body));
            if let Body::Hello(_) | Body::Acknowledgement(_) = body {
                assert!((0..bytes.len()).all(|len| Body::read(&bytes[..len]).is_none()));
                assert_eq!(Body::read(&[&bytes[..], &[0]].concat()), None);
            }
        }
    }

    #[test]
    fn every_other_encoding_is_refused() {
        let list = |entries: &[(u16, u64, u64)]| {
            let mut out = vec![3, 0, entries.len() as u8];
            for (leaf, joined, next) in entries {
                out.extend([&leaf.to_be_bytes()[..], &joined.to_be_bytes(), &next.to_be_bytes()].concat());
            }
            out
        };
        assert!(Body::read(&list(&[(1, 0, 0), (1, 1, 0)])).is_some());
        for bytes in [
            vec![],
            vec![0],
            vec![5],
            list(&[]),
            list(&[(1, 1, 0), (1, 1, 0)]),
            list(&[(2, 1, 0), (1, 1, 0)]),
            list(&[(1024, 1, 0)]),
            list(&[(1, 1, MAX_SEQUENCE + 1)]),
            [&[2][..], &MAX_SEQUENCE.to_be_bytes(), &[0, 0]].concat(),
            [&[2][..], &[0; 8], &[0, 3]].concat(),
            [&[2][..], &[0; 8], &[2, 0]].concat(),
            [&[2][..], &[0; 10], &[7; MAX_MESSAGE + 1]].concat(),
            vec![1, 7],
        ] {
            assert_eq!(Body::read(&bytes), None, "{:02x?}", &bytes[..bytes.len().min(32)]);
        }
        assert!(Body::read(&[&[2][..], &[0; 10], &[7; MAX_MESSAGE]].concat()).is_some());
    }

    #[test]
    fn what_is_read_is_written_back_the_same() {
        let mut random = fastrand::Rng::with_seed(0xda7a);
        let mut read = 0;
        for _ in 0..200_000 {
            let mut bytes = [0; 64];
            random.fill(&mut bytes);
            bytes[0] = 2 + bytes[0] % 4;
            bytes[1..9].iter_mut().for_each(|byte| *byte &= 1);
            bytes[9] &= 1;
            bytes[10..12].iter_mut().for_each(|byte| *byte &= 3);
            let bytes = &bytes[..random.usize(..64)];
            if let Some(body) = Body::read(bytes) {
                read += 1;
                assert_eq!(written(&body), bytes);
            }
        }
        assert!(read > 1_000, "{read}");
    }

    #[test]
    fn topics_have_one_number_each() {
        let known: Vec<u16> = (0..=u16::MAX).filter(|number| Topic::from_number(*number).is_some()).collect();
        assert!(known.iter().all(|number| Topic::from_number(*number).map(Topic::number) == Some(*number)));
        assert_eq!(known.len(), 3 + 256);
    }
}
