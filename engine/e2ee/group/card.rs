//! What is said at the door, each under the identity key of who says it: the card of somebody who knocks, and a host's
//! no. Whoever waits has no key of the meeting, so none of it is sealed.

use super::identity::{Device, Signature};
use super::wire::{MAX_CARD, Ticket};
use crate::e2ee::IdentityKey;
use crate::e2ee::proof::key::SIGNATURE;

const CARD: &str = "card";
const DENIAL: &str = "denial";

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[repr(u8)]
pub enum Why {
    /// The host said no.
    #[error("the host did not let you in")]
    Host = 1,
    /// The meeting is locked, and it was not there then.
    #[error("the meeting is locked: only who was there may come back")]
    Locked = 2,
    /// Its invite is of another meeting than this one.
    #[error("the invite names another meeting type or policy than this meeting has: ask for a new one")]
    Invite = 3,
    /// Its client may not join such a meeting.
    #[error("this client may not join this meeting")]
    Client = 4,
    /// Too many wait.
    #[error("too many wait to be let in: knock again later")]
    Full = 5,
}

impl Why {
    /// The reason with this number.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Why::Host),
            2 => Some(Why::Locked),
            3 => Some(Why::Invite),
            4 => Some(Why::Client),
            5 => Some(Why::Full),
            _ => None,
        }
    }
}

/// A no: `identity key ‖ u8 why ‖ signature` over group and ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Whose it is. Whether that one is a host the invite says, or nobody.
    pub by: IdentityKey,
    /// Why.
    pub why: Why,
    signature: Signature,
}

impl Denial {
    pub(crate) fn sign(device: &Device, group: &[u8], to: &Ticket, why: Why) -> Self {
        let signature = device.vouch(DENIAL, &signed(group, to, &[why as u8]));
        Self { by: device.identity(), why, signature }
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        [&self.by.0[..], &[self.why as u8], &self.signature].concat()
    }

    /// Reads a no to whoever knocked at `group` with the ticket `to`; `None` where nobody says it.
    pub fn read(bytes: &[u8], group: &[u8], to: &Ticket) -> Option<Self> {
        let (by, rest) = bytes.split_first_chunk::<32>()?;
        let (why, signature) = rest.split_first()?;
        let (by, signature) = (IdentityKey(*by), Signature::try_from(signature).ok()?);
        let denial = Self { by, why: Why::from_number(*why)?, signature };
        by.vouched(DENIAL, &signed(group, to, &[*why]), &denial.signature).then_some(denial)
    }
}

/// A card as it is sent: `signature ‖ card`. `None` where it is too long.
pub(crate) fn sign(device: &Device, group: &[u8], ticket: &Ticket, card: &[u8]) -> Option<Vec<u8>> {
    let signature = device.vouch(CARD, &signed(group, ticket, card));
    (card.len() <= MAX_CARD - SIGNATURE).then(|| [&signature[..], card].concat())
}

/// What a card says, where `identity` says it with this key package.
pub(crate) fn read(identity: &IdentityKey, group: &[u8], ticket: &Ticket, bytes: &[u8]) -> Option<Vec<u8>> {
    let (signature, card) = bytes.split_first_chunk::<SIGNATURE>()?;
    identity.vouched(CARD, &signed(group, ticket, card), signature).then(|| card.to_vec())
}

fn signed(group: &[u8], ticket: &Ticket, what: &[u8]) -> Vec<u8> {
    [&[group.len() as u8][..], group, ticket, what].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_and_denials_hold_for_one_knock_at_one_group() {
        let device = Device::generate("a").unwrap();
        let (group, ticket) = (b"g", [7; 32]);
        let card = sign(&device, group, &ticket, b"desktop").unwrap();
        assert_eq!(read(&device.identity(), group, &ticket, &card).as_deref(), Some(&b"desktop"[..]));
        assert_eq!(read(&device.identity(), b"h", &ticket, &card), None);
        assert_eq!(read(&device.identity(), group, &[8; 32], &card), None);
        let no = Denial::sign(&device, group, &ticket, Why::Locked);
        assert_eq!(Denial::read(&no.encode(), group, &ticket), Some(no.clone()));
        assert_eq!(Denial::read(&no.encode(), group, &[8; 32]), None);
        let mut edited = no.encode();
        edited[32] = Why::Host as u8;
        assert_eq!(Denial::read(&edited, group, &ticket), None);
        assert!(sign(&device, group, &ticket, &[0; MAX_CARD]).is_none());
    }
}
