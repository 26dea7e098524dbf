//! Epochs of a group without a group: what a key agreement would feed, for the tests of what comes after it, inside the
//! engine and outside.
#![allow(dead_code)]

use conclave::codecs::EncodedInfo;
use conclave::e2ee::proof::MediaSigner;
use conclave::e2ee::{EpochInput, IdentityKey, MediaSecret, Member, OpenKeys, Profile, Role, Roster, SendKeys};
use conclave::frame::{Arrived, Buffer, Encoded, Header, Kind, Structure};
use conclave::ledger::Ledger;
use conclave::time::Time;

/// The media key of the member on `leaf`.
pub fn signer(leaf: u16) -> MediaSigner {
    MediaSigner::from_seed(&seed(leaf)).unwrap()
}

/// The member on `leaf`, known by keys that follow from it.
pub fn member(leaf: u16) -> Member {
    let (identity, media) = (IdentityKey(seed(leaf)), signer(leaf).public());
    Member { leaf, joined: 0, identity, media, name: format!("member {leaf}"), role: Role::default() }
}

fn seed(leaf: u16) -> [u8; 32] {
    let mut seed = [leaf as u8; 32];
    seed[0] ^= (leaf >> 8) as u8;
    seed
}

/// Epoch `number` of a group of `members`, as member `own` sees it: the secret follows from the number.
pub fn input(number: u64, own: u16, members: u16, began: Time) -> EpochInput {
    let mut secret = [0x5e; 48];
    secret[..8].copy_from_slice(&number.to_be_bytes());
    EpochInput {
        group: b"a group".to_vec(),
        epoch: number,
        secret: MediaSecret::new(&secret).unwrap(),
        profile: Profile::Conclave,
        own,
        roster: Roster::new((0..members).map(member).collect()),
        policy: Vec::new(),
        authenticator: secret.to_vec(),
        began,
    }
}

/// The keys of it.
pub fn epoch(number: u64, own: u16, members: u16, began: Time) -> (SendKeys, OpenKeys) {
    input(number, own, members, began).derive().unwrap()
}

pub fn header(kind: Kind, frame_number: u16) -> Header {
    Header { stream: 77, kind, spatial: 0, temporal: 0, template_id: 0, frame_number }
}

pub fn encoded(header: Header, payload: &[u8]) -> Encoded {
    Encoded {
        payload: buffer(payload),
        info: EncodedInfo::default(),
        header,
        captured: Time(5),
        structure: Structure::default(),
        ledger: Ledger::default(),
    }
}

pub fn arrived(header: Header, bytes: &[u8]) -> Arrived {
    Arrived { payload: buffer(bytes), header, packets: Default::default(), ledger: Ledger::default() }
}

pub fn buffer(bytes: &[u8]) -> Buffer {
    let mut buffer = Buffer::with_capacity(bytes.len());
    buffer.tail().extend_from_slice(bytes);
    buffer
}
