//! What members and the relay send each other: an envelope says where it goes, and its body is for members alone.
//!
//! `u8 kind ‖ …`, integers big-endian, the body to the end. Messages that all members must see in one order carry the
//! number that the relay gave them; members send them with 0.

use aws_lc_rs::digest::{SHA256, digest};

use crate::e2ee::keys::MAX_LEAVES;

/// Bytes of the longest message: a commit of a thousand members with hybrid keys takes less.
pub const MAX_MESSAGE: usize = 2 << 20;

/// Bytes in front of the MLS message of a commit or a proposal.
pub(crate) const HANDSHAKE_FRONT: usize = 9;

/// Bytes of the longest key package. One with hybrid keys and the longest name takes less than 3000, and as many as may
/// come with one commit stay well below [`MAX_MESSAGE`].
pub const MAX_KEY_PACKAGE: usize = 4096;

/// Bytes of the longest group id.
pub const MAX_GROUP_ID: usize = 64;

/// Joiners that one Welcome names.
pub const MAX_JOINERS: usize = MAX_LEAVES as usize;

/// What a joiner is addressed by: SHA-256 of the key package that it sent.
pub type Ticket = [u8; 32];

/// The ticket of a key package.
pub fn ticket(key_package: &[u8]) -> Ticket {
    sha256(key_package)
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

/// One message between a member and the relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Envelope<'a> {
    /// A proposal or a commit, to all in one order.
    Handshake {
        /// Place in that order, from the relay.
        order: u64,
        /// An MLS message.
        body: &'a [u8],
    },
    /// A message from one member to all, in the same order.
    Application {
        /// Place in that order, from the relay.
        order: u64,
        /// An MLS message.
        body: &'a [u8],
    },
    /// The way in, to the joiners it names.
    Welcome {
        /// Their tickets.
        to: Vec<Ticket>,
        /// An MLS message.
        body: &'a [u8],
    },
    /// A wish to join, to the members.
    KeyPackage(&'a [u8]),
    /// The same with a card: what else somebody who knocks says of itself ([`super::card`]).
    Knock {
        /// The card.
        card: &'a [u8],
        /// The key package.
        key_package: &'a [u8],
    },
    /// A host's no, to whoever knocked with this ticket.
    Denied {
        /// The ticket.
        to: Ticket,
        /// The no, signed ([`super::card::Denial`]).
        body: &'a [u8],
    },
    /// What somebody who waits is told, by the relay alone: how many there are, and nobody's name.
    Room {
        /// In the meeting.
        members: u16,
        /// Before its door.
        waiting: u16,
    },
    /// Where the sender is, to the relay alone: the header of its every frame says the same.
    Here {
        /// Which group.
        group: &'a [u8],
        /// In which epoch.
        epoch: u64,
        /// On which leaf.
        leaf: u16,
    },
}

/// Why bytes are no envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Longer than the longest message.
    #[error("the message is longer than 2 MiB")]
    Length,
    /// It ends too early, goes on too long, or has a number that does not occur.
    #[error("the message is not formed as an envelope is")]
    Form,
}

const HANDSHAKE: u8 = 1;
const APPLICATION: u8 = 2;
const WELCOME: u8 = 3;
const KEY_PACKAGE: u8 = 4;
const HERE: u8 = 5;
const KNOCK: u8 = 6;
const DENIED: u8 = 7;
const ROOM: u8 = 8;

/// Bytes of the longest card.
pub const MAX_CARD: usize = 4096;

impl<'a> Envelope<'a> {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Envelope::Handshake { order, body } => [&[HANDSHAKE][..], &order.to_be_bytes(), body].concat(),
            Envelope::Application { order, body } => [&[APPLICATION][..], &order.to_be_bytes(), body].concat(),
            Envelope::Welcome { to, body } => {
                let count = (to.len() as u16).to_be_bytes();
                [&[WELCOME][..], &count, to.as_flattened(), body].concat()
            }
            Envelope::KeyPackage(body) => [&[KEY_PACKAGE][..], body].concat(),
            Envelope::Knock { card, key_package } => {
                [&[KNOCK][..], &(card.len() as u16).to_be_bytes(), card, key_package].concat()
            }
            Envelope::Denied { to, body } => [&[DENIED][..], to, body].concat(),
            Envelope::Room { members, waiting } => {
                [&[ROOM][..], &members.to_be_bytes(), &waiting.to_be_bytes()].concat()
            }
            Envelope::Here { group, epoch, leaf } => {
                [&[HERE, group.len() as u8][..], group, &epoch.to_be_bytes(), &leaf.to_be_bytes()].concat()
            }
        }
    }

    /// Reads `bytes`; every envelope has one encoding.
    ///
    /// # Errors
    /// [`WireError`].
    pub fn decode(bytes: &'a [u8]) -> Result<Self, WireError> {
        if bytes.len() > MAX_MESSAGE {
            return Err(WireError::Length);
        }
        Self::read(bytes).ok_or(WireError::Form)
    }

    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let some = |body: &'a [u8]| (!body.is_empty()).then_some(body);
        match *kind {
            HANDSHAKE => {
                let (order, body) = rest.split_first_chunk()?;
                Some(Envelope::Handshake { order: u64::from_be_bytes(*order), body: some(body)? })
            }
            APPLICATION => {
                let (order, body) = rest.split_first_chunk()?;
                Some(Envelope::Application { order: u64::from_be_bytes(*order), body: some(body)? })
            }
            WELCOME => {
                let (count, rest) = rest.split_first_chunk()?;
                let count = usize::from(u16::from_be_bytes(*count));
                if !(1..=MAX_JOINERS).contains(&count) {
                    return None;
                }
                let (to, body) = rest.split_at_checked(count * 32)?;
                let (to, _) = to.as_chunks();
                Some(Envelope::Welcome { to: to.to_vec(), body: some(body)? })
            }
            KEY_PACKAGE => Some(Envelope::KeyPackage(some(rest)?)),
            KNOCK => {
                let (len, rest) = rest.split_first_chunk()?;
                let len = usize::from(u16::from_be_bytes(*len));
                let (card, key_package) = rest.split_at_checked(len).filter(|_| (1..=MAX_CARD).contains(&len))?;
                Some(Envelope::Knock { card, key_package: some(key_package)? })
            }
            DENIED => {
                let (to, body) = rest.split_first_chunk()?;
                Some(Envelope::Denied { to: *to, body: some(body)? })
            }
            ROOM => {
                let (members, rest) = rest.split_first_chunk()?;
                let (members, waiting) = (u16::from_be_bytes(*members), u16::from_be_bytes(rest.try_into().ok()?));
                Some(Envelope::Room { members, waiting })
            }
            HERE => {
                let (len, rest) = rest.split_first()?;
                let len = usize::from(*len);
                if !(1..=MAX_GROUP_ID).contains(&len) {
                    return None;
                }
                let (group, rest) = rest.split_at_checked(len)?;
                let (epoch, leaf) = rest.split_first_chunk()?;
                let leaf = u16::from_be_bytes(leaf.try_into().ok()?);
                (leaf < MAX_LEAVES).then_some(Envelope::Here { group, epoch: u64::from_be_bytes(*epoch), leaf })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_envelope_has_one_encoding() {
        let envelopes = [
            Envelope::Handshake { order: 7, body: b"a" },
            Envelope::Application { order: u64::MAX, body: b"bc" },
            Envelope::Welcome { to: vec![[1; 32], [2; 32]], body: b"w" },
            Envelope::KeyPackage(b"k"),
            Envelope::Here { group: b"g", epoch: 3, leaf: 1023 },
            Envelope::Knock { card: b"c", key_package: b"k" },
            Envelope::Denied { to: [3; 32], body: b"no" },
            Envelope::Room { members: 7, waiting: 2 },
        ];
        for envelope in envelopes {
            let bytes = envelope.encode();
            assert_eq!(Envelope::decode(&bytes), Ok(envelope));
            (0..bytes.len()).for_each(|len| {
                if let Ok(shorter) = Envelope::decode(&bytes[..len]) {
                    assert_eq!(shorter.encode(), bytes[..len]);
                }
            });
        }
    }

    #[test]
    fn random_bytes_are_refused_or_read_back() {
        let mut rng = fastrand::Rng::with_seed(9);
        for _ in 0..50_000 {
            let mut bytes: Vec<u8> = (0..rng.usize(..90)).map(|_| rng.u8(..)).collect();
            if let Some(kind) = bytes.first_mut() {
                *kind %= 10;
            }
            if let Ok(envelope) = Envelope::decode(&bytes) {
                assert_eq!(envelope.encode(), bytes);
            }
        }
        assert_eq!(Envelope::decode(&vec![1; MAX_MESSAGE + 1]), Err(WireError::Length));
        assert_eq!(Envelope::Here { group: b"g", epoch: 0, leaf: 1024 }.encode().len(), 13);
        assert!(Envelope::decode(&Envelope::Here { group: b"g", epoch: 0, leaf: 1024 }.encode()).is_err());
    }
}
