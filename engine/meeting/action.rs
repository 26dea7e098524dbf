//! What hosts tell everybody to do or to show: signed by MLS under the host's identity key, in the one order of the
//! relay, and numbered by its sender, so that none is repeated, left out or put elsewhere unseen.
//!
//! `u8 version ‖ u64 number ‖ u8 kind ‖ …`, integers big-endian; one encoding for each action.

use std::collections::BTreeMap;

use crate::data::Peer;
use crate::e2ee::group::wire::Ticket;
use crate::e2ee::{IdentityKey, Role};

/// What a host tells everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Somebody, or everybody else, is asked to mute its microphone. Nobody's is muted by another.
    AskToMute(Option<IdentityKey>),
    /// Everybody is to see this one, or again whom they like.
    Spotlight(Option<IdentityKey>),
    /// Every screen shows the security code of this epoch until it is closed, so that it can be read aloud.
    Pin(u64),
    /// The code that was pinned is closed.
    Unpin,
    /// Whoever knocked with this ticket is being let in.
    Admit(Ticket),
    /// Whoever knocked with this ticket was told no.
    Deny(Ticket),
    /// The meeting is over for all: everybody erases what it has of it.
    End,
}

/// Why an action is not obeyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It cannot be read.
    #[error("it is not formed as an action is")]
    Form,
    /// Its sender may not.
    #[error("a {role:?} may not do this")]
    NotAllowed {
        /// What its sender is.
        role: Role,
    },
    /// It was there before.
    #[error("it has number {got} and {expected} was due: it was there before")]
    Repeated {
        /// The number that was due.
        expected: u64,
        /// The number that came.
        got: u64,
    },
    /// Others before it are missing.
    #[error("it has number {got} and {expected} was due: actions before it are missing")]
    Missing {
        /// The number that was due.
        expected: u64,
        /// The number that came.
        got: u64,
    },
    /// It is about what there is not.
    #[error("it names an epoch that has not begun")]
    Nothing,
}

const VERSION: u8 = 1;

impl Action {
    /// Whether somebody in this role may do it.
    pub const fn may(&self, role: Role) -> bool {
        match self {
            Action::Pin(_) | Action::Unpin | Action::End => matches!(role, Role::Host),
            _ => role.rules(),
        }
    }

    /// What it is called in a message to people.
    pub const fn name(&self) -> &'static str {
        match self {
            Action::AskToMute(_) => "ask to mute",
            Action::Spotlight(_) => "spotlight",
            Action::Pin(_) => "pin the security code",
            Action::Unpin => "close the security code",
            Action::Admit(_) => "let in",
            Action::Deny(_) => "turn away",
            Action::End => "end the meeting",
        }
    }

    /// Its bytes under the number `number`.
    pub fn encode(&self, number: u64) -> Vec<u8> {
        let (kind, body): (u8, Vec<u8>) = match self {
            Action::AskToMute(None) => (1, vec![]),
            Action::AskToMute(Some(who)) => (1, who.0.to_vec()),
            Action::Spotlight(None) => (2, vec![]),
            Action::Spotlight(Some(who)) => (2, who.0.to_vec()),
            Action::Pin(epoch) => (3, epoch.to_be_bytes().to_vec()),
            Action::Unpin => (4, vec![]),
            Action::Admit(ticket) => (5, ticket.to_vec()),
            Action::Deny(ticket) => (6, ticket.to_vec()),
            Action::End => (7, vec![]),
        };
        [&[VERSION][..], &number.to_be_bytes(), &[kind], &body].concat()
    }

    /// Reads a word: the number and the action. `None` where it is none.
    pub fn decode(bytes: &[u8]) -> Option<(u64, Self)> {
        let (version, rest) = bytes.split_first()?;
        let (number, rest) = rest.split_first_chunk()?;
        let (kind, body) = rest.split_first()?;
        let who = || match body {
            [] => Some(None),
            key => Some(Some(IdentityKey(key.try_into().ok()?))),
        };
        let action = match kind {
            1 => Action::AskToMute(who()?),
            2 => Action::Spotlight(who()?),
            3 => Action::Pin(u64::from_be_bytes(body.try_into().ok()?)),
            4 if body.is_empty() => Action::Unpin,
            5 => Action::Admit(body.try_into().ok()?),
            6 => Action::Deny(body.try_into().ok()?),
            7 if body.is_empty() => Action::End,
            _ => return None,
        };
        (*version == VERSION).then_some((u64::from_be_bytes(*number), action))
    }
}

/// The numbers of everybody's actions.
#[derive(Default)]
pub(crate) struct Numbers {
    next: u64,
    due: BTreeMap<Peer, u64>,
}

impl Numbers {
    /// The number of this participant's next action.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// It was said.
    pub(crate) fn said(&mut self) {
        self.next += 1;
    }

    /// Whether the action numbered `got` of `from` is the one that is due. Whoever was there before `own` begins with
    /// whatever is heard of it first. After a gap the numbers go on from the newer one, so that it is told once.
    pub(crate) fn take(&mut self, from: Peer, own: Peer, got: u64) -> Result<(), Refusal> {
        let before = from != own && from.joined <= own.joined;
        let due = self.due.entry(from).or_insert(if before { got } else { 0 });
        let expected = *due;
        if got < expected || got == u64::MAX {
            return Err(Refusal::Repeated { expected, got });
        }
        *due = got + 1;
        if got == expected { Ok(()) } else { Err(Refusal::Missing { expected, got }) }
    }

    /// Forgets whoever is gone.
    pub(crate) fn retain(&mut self, stays: impl Fn(&Peer) -> bool) {
        self.due.retain(|peer, _| stays(peer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_has_one_encoding() {
        let who = IdentityKey([7; 32]);
        let actions = [
            Action::AskToMute(None),
            Action::AskToMute(Some(who)),
            Action::Spotlight(None),
            Action::Spotlight(Some(who)),
            Action::Pin(9),
            Action::Unpin,
            Action::Admit([1; 32]),
            Action::Deny([2; 32]),
            Action::End,
        ];
        for (number, action) in (0..).zip(actions) {
            let bytes = action.encode(number);
            assert_eq!(Action::decode(&bytes), Some((number, action)));
            assert_eq!(Action::decode(&[&bytes[..], &[0]].concat()), None);
            for len in 0..bytes.len() {
                if let Some((number, shorter)) = Action::decode(&bytes[..len]) {
                    assert_eq!(shorter.encode(number), bytes[..len]);
                }
            }
        }
        assert_eq!(Action::decode(&[&[2][..], &Action::End.encode(0)[1..]].concat()), None);
    }

    #[test]
    fn numbers_are_taken_once_and_a_gap_is_told_once() {
        let (own, newer, older) =
            (Peer { leaf: 1, joined: 5 }, Peer { leaf: 2, joined: 6 }, Peer { leaf: 0, joined: 5 });
        let mut numbers = Numbers::default();
        assert_eq!(numbers.take(newer, own, 1), Err(Refusal::Missing { expected: 0, got: 1 }), "it begins with 0");
        assert_eq!(numbers.take(newer, own, 2), Ok(()));
        assert_eq!(numbers.take(newer, own, 2), Err(Refusal::Repeated { expected: 3, got: 2 }));
        assert_eq!((numbers.take(older, own, 40), numbers.take(older, own, 41)), (Ok(()), Ok(())));
        assert_eq!(numbers.take(own, own, 0), Ok(()));
    }
}
