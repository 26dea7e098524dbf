//! The relay's core: it puts the members' messages into one order and hands them on. It holds no key of the meeting and
//! reads nothing but envelopes; all it can author is a proposal to remove somebody, which a member has to commit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use openmls::prelude::{ExternalProposal, GroupEpoch, GroupId, LeafNodeIndex, SenderExtensionIndex};
use openmls_traits::signatures::{Signer, SignerError};
use openmls_traits::types::SignatureScheme;

use crate::e2ee::group::provider::Provider;
use crate::e2ee::group::wire::{Envelope, Ticket, WireError, ticket};
use crate::time::Time;

/// A connection, by the number that the embedder gave it.
pub type Connection = u64;

/// What goes to whom.
pub type Delivery = (Connection, Arc<[u8]>);

/// What stands between the participants: it takes what they say and says who gets what.
pub trait Hub {
    /// Somebody is there.
    fn connect(&mut self, id: Connection);
    /// Somebody is gone.
    fn disconnect(&mut self, id: Connection);
    /// Takes a message; what it cannot read nobody gets.
    fn message(&mut self, from: Connection, message: &[u8], now: Time) -> Vec<Delivery>;
    /// What it says by itself, the time being `now`.
    fn tick(&mut self, now: Time) -> Vec<Delivery>;
}

impl Hub for Relay {
    fn connect(&mut self, id: Connection) {
        Relay::connect(self, id);
    }

    fn disconnect(&mut self, id: Connection) {
        Relay::disconnect(self, id);
    }

    fn message(&mut self, from: Connection, message: &[u8], _now: Time) -> Vec<Delivery> {
        Relay::message(self, from, message).unwrap_or_default()
    }

    fn tick(&mut self, now: Time) -> Vec<Delivery> {
        Relay::tick(self, now)
    }
}

/// Where the relay stands among those who may propose from outside.
pub(crate) fn index() -> SenderExtensionIndex {
    SenderExtensionIndex::new(0)
}

/// Tickets that one connection may hold at most.
const MAX_TICKETS: usize = 4;

/// Microseconds between two words to those who wait.
const ROOM_US: u64 = 2_000_000;

#[derive(Default)]
struct Peer {
    tickets: BTreeSet<Ticket>,
    here: Option<(u64, u16)>,
}

/// The relay of one group.
#[derive(Default)]
pub struct Relay {
    peers: BTreeMap<Connection, Peer>,
    /// Number of the last ordered message.
    order: u64,
    group: Option<Vec<u8>>,
    key: Option<Key>,
    /// When those who wait were told how many there are.
    told: Option<Time>,
}

struct Key(Ed25519KeyPair);

impl Signer for Key {
    fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, SignerError> {
        Ok(self.0.sign(payload).as_ref().to_vec())
    }

    fn signature_scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

impl Relay {
    /// A relay that cannot propose anything.
    pub fn new() -> Self {
        Self::default()
    }

    /// A relay that proposes removals with the key of this seed; `None` where the library refuses it.
    pub fn with_key(seed: &[u8; 32]) -> Option<Self> {
        let key = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        Some(Self { key: Some(Key(key)), ..Self::default() })
    }

    /// The key that groups are created with, so that they take its proposals.
    pub fn public_key(&self) -> Option<[u8; 32]> {
        self.key.as_ref()?.0.public_key().as_ref().try_into().ok()
    }

    /// Somebody is there.
    pub fn connect(&mut self, id: Connection) {
        self.peers.entry(id).or_default();
    }

    /// Somebody is gone.
    pub fn disconnect(&mut self, id: Connection) {
        self.peers.remove(&id);
    }

    /// Connections that are in the group, by their own word.
    pub fn members(&self) -> impl Iterator<Item = (Connection, u16)> {
        self.peers.iter().filter_map(|(id, peer)| peer.here.map(|(_, leaf)| (*id, leaf)))
    }

    /// Takes a message and says who gets what.
    ///
    /// # Errors
    /// [`WireError`] where it is no envelope; nobody gets it.
    pub fn message(&mut self, from: Connection, message: &[u8]) -> Result<Vec<Delivery>, WireError> {
        if !self.peers.contains_key(&from) {
            return Ok(vec![]);
        }
        match Envelope::decode(message)? {
            Envelope::Handshake { body, .. } => {
                let order = self.next();
                Ok(self.to_all(&Envelope::Handshake { order, body }))
            }
            Envelope::Application { body, .. } => {
                let order = self.next();
                Ok(self.to_all(&Envelope::Application { order, body }))
            }
            Envelope::Welcome { to, .. } => {
                let message: Arc<[u8]> = message.into();
                let named = |peer: &Peer| to.iter().any(|ticket| peer.tickets.contains(ticket));
                Ok(self.peers.iter().filter(|(_, peer)| named(peer)).map(|(id, _)| (*id, message.clone())).collect())
            }
            Envelope::KeyPackage(body) | Envelope::Knock { key_package: body, .. } => {
                if let Some(peer) = self.peers.get_mut(&from) {
                    if peer.tickets.len() >= MAX_TICKETS {
                        peer.tickets.pop_first();
                    }
                    peer.tickets.insert(ticket(body));
                }
                self.told = None;
                let message: Arc<[u8]> = message.into();
                Ok(self.members().filter(|(id, _)| *id != from).map(|(id, _)| (id, message.clone())).collect())
            }
            Envelope::Here { group, epoch, leaf } => {
                if self.group.get_or_insert_with(|| group.to_vec()) == group
                    && let Some(peer) = self.peers.get_mut(&from)
                {
                    peer.here = Some((epoch, leaf));
                    peer.tickets.clear();
                    self.told = None;
                }
                Ok(vec![])
            }
            Envelope::Denied { to, .. } => {
                let message: Arc<[u8]> = message.into();
                // The relay cannot judge it, so its ticket stays: somebody else may let it in.
                let denied = self.peers.iter().filter(|(_, peer)| peer.tickets.contains(&to));
                Ok(denied.map(|(id, _)| (*id, message.clone())).collect())
            }
            Envelope::Room { .. } => Ok(vec![]),
        }
    }

    /// What those who wait are told: how many are in and how many wait, when somebody came and every two seconds.
    pub fn tick(&mut self, now: Time) -> Vec<Delivery> {
        if self.told.is_some_and(|told| now.since(told) < ROOM_US) {
            return vec![];
        }
        self.told = Some(now);
        let waits = |peer: &Peer| peer.here.is_none() && !peer.tickets.is_empty();
        let count = |number: usize| u16::try_from(number).unwrap_or(u16::MAX);
        let waiting = self.peers.values().filter(|peer| waits(peer)).count();
        let room = Envelope::Room { members: count(self.members().count()), waiting: count(waiting) };
        let message: Arc<[u8]> = room.encode().into();
        self.peers.iter().filter(|(_, peer)| waits(peer)).map(|(id, _)| (*id, message.clone())).collect()
    }

    /// Proposes that whoever is on `leaf` be removed, in the epoch that most members say they are in. Nothing comes of
    /// it without a key, without members, or where that epoch ends first: then it is to be proposed again.
    pub fn propose_removal(&mut self, leaf: u16) -> Vec<Delivery> {
        self.removal(leaf).map_or_else(Vec::new, |body| self.author(&body))
    }

    fn removal(&self, leaf: u16) -> Option<Vec<u8>> {
        let (key, (group, epoch)) = (self.key.as_ref()?, self.place()?);
        let leaf = LeafNodeIndex::new(leaf.into());
        ExternalProposal::new_remove::<Provider>(leaf, group, epoch, key, index()).ok()?.to_bytes().ok()
    }

    /// The group, and the epoch that most members say they are in.
    pub(crate) fn place(&self) -> Option<(GroupId, GroupEpoch)> {
        let mut epochs = BTreeMap::<u64, usize>::new();
        self.peers.values().filter_map(|peer| peer.here).for_each(|(epoch, _)| *epochs.entry(epoch).or_default() += 1);
        let (epoch, _) = epochs.into_iter().max_by_key(|(epoch, count)| (*count, *epoch))?;
        Some((GroupId::from_slice(self.group.as_ref()?), epoch.into()))
    }

    /// What it signs proposals with.
    pub(crate) fn signer(&self) -> Option<&impl Signer> {
        self.key.as_ref()
    }

    /// Puts a handshake of its own into the order.
    pub(crate) fn author(&mut self, body: &[u8]) -> Vec<Delivery> {
        let order = self.next();
        self.to_all(&Envelope::Handshake { order, body })
    }

    fn next(&mut self) -> u64 {
        self.order += 1;
        self.order
    }

    fn to_all(&self, envelope: &Envelope<'_>) -> Vec<Delivery> {
        let message: Arc<[u8]> = envelope.encode().into();
        self.peers.keys().map(|id| (*id, message.clone())).collect()
    }
}
