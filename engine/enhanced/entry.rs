//! A member's entry in the roster: who it is, what it signs its media with and its name, signed by itself for one meeting.

use super::EnhancedError;
use super::sign::{Domain, Label, SIGNATURE};
use super::wire::Reader;
use crate::e2ee::group::identity::{check_name, is_sound};
use crate::e2ee::group::wire::{Ticket, ticket};
use crate::e2ee::group::{Device, LeafError, Person};
use crate::e2ee::{IdentityKey, MediaKey};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whose it is.
    pub person: Person,
    /// By the identity key.
    pub signature: [u8; SIGNATURE],
}

impl Entry {
    /// The entry of a device.
    ///
    /// # Errors
    /// [`EnhancedError::Signature`].
    pub fn of(device: &Device, domain: &Domain) -> Result<Self, EnhancedError> {
        let person = device.person();
        let signature = domain.sign(device, Label::Entry, &[&text(&person)])?;
        Ok(Self { person, signature })
    }

    /// Whether its keys are sound and its owner signed it for this meeting.
    ///
    /// # Errors
    /// [`EnhancedError::Leaf`], [`EnhancedError::Signature`].
    pub fn check(&self, domain: &Domain) -> Result<(), EnhancedError> {
        let Person { identity, media, name } = &self.person;
        check_name(name.as_bytes())?;
        for (key, which) in [(&identity.0, "identity"), (&media.0, "media")] {
            if !is_sound(key) {
                return Err(LeafError::Weak(which).into());
            }
        }
        if domain.holds(&identity.0, Label::Entry, &[&text(&self.person)], &self.signature) {
            Ok(())
        } else {
            Err(EnhancedError::Signature("entry"))
        }
    }

    /// Its bytes: `identity key ‖ media key ‖ u8 length ‖ name ‖ signature`.
    pub fn encode(&self) -> Vec<u8> {
        [&text(&self.person)[..], &self.signature].concat()
    }

    /// What it is called by.
    pub fn ticket(&self) -> Ticket {
        ticket(&self.encode())
    }

    /// Reads one entry that is all there is; nothing is verified.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        Self::read(&mut reader).filter(|_| reader.is_empty())
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let (identity, media) = (IdentityKey(reader.array()?), MediaKey(reader.array()?));
        let len = usize::from(reader.u8()?);
        let name = check_name(reader.bytes(len)?).ok()?.to_owned();
        Some(Self { person: Person { identity, media, name }, signature: reader.array()? })
    }
}

/// What is signed. A name has at most 128 bytes, so its length fits.
fn text(person: &Person) -> Vec<u8> {
    [&person.identity.0[..], &person.media.0, &[person.name.len() as u8], person.name.as_bytes()].concat()
}
