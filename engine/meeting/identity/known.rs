//! Who had which key before: trusted on first use, pinned to the issuer and subject that were attested.
//!
//! A key that its account had before is known; another key under the same account is a mismatch until the user has
//! compared that person's own code and accepted it. A second device of one person is such another key.

use serde::{Deserialize, Serialize};

use super::{Attested, Level, is_plain};
use crate::e2ee::IdentityKey;

/// Everybody with a key to be known by. Guests are never in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known(Vec<Contact>);

/// One account at one issuer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// Who attests it.
    pub issuer: String,
    /// Who it is there.
    pub subject: String,
    /// The name that was last attested.
    pub name: Option<String>,
    /// How.
    pub level: Level,
    /// Its keys, oldest first: one for each device.
    pub keys: Vec<Pinned>,
}

/// A key of somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pinned {
    #[serde(with = "bytes")]
    /// Which.
    pub identity: IdentityKey,
    /// When it was first seen, in seconds since 1970.
    pub seen: u64,
    /// When a code was last compared with its owner.
    pub verified: Option<u64>,
}

/// How a key stands to the account that it is attested to be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pin {
    /// The account had it before.
    Same,
    /// The account is new.
    First,
    /// The account had another.
    OtherKey,
    /// Another account of this issuer had it.
    OtherPerson,
}

/// Accounts that are remembered. For the next one, the one is forgotten that was first seen longest ago and never verified.
pub const MAX_CONTACTS: usize = 4096;

/// Keys of one account. For the next one the oldest is forgotten.
pub const MAX_KEYS: usize = 8;

impl Known {
    /// How `identity` stands to the account that it is attested to be of.
    pub fn look(&self, identity: &IdentityKey, attested: &Attested) -> Pin {
        let of_issuer = || self.0.iter().filter(|contact| contact.issuer == attested.issuer);
        let account = of_issuer().find(|contact| contact.subject == attested.subject);
        if account.is_some_and(|contact| contact.key(identity).is_some()) {
            return Pin::Same;
        }
        if of_issuer().any(|contact| contact.key(identity).is_some()) {
            return Pin::OtherPerson;
        }
        if account.is_some() { Pin::OtherKey } else { Pin::First }
    }

    /// The same, and pins the key where the account is new.
    pub fn see(&mut self, identity: &IdentityKey, attested: &Attested, unix_s: u64) -> Pin {
        let pin = self.look(identity, attested);
        match pin {
            Pin::First => self.pin(identity, attested, Pinned { identity: *identity, seen: unix_s, verified: None }),
            Pin::Same => {
                if let Some(contact) = self.account(attested) {
                    contact.name.clone_from(&attested.name);
                }
            }
            Pin::OtherKey | Pin::OtherPerson => {}
        }
        pin
    }

    /// The user has compared a code with the owner of `identity`.
    pub fn verify(&mut self, identity: &IdentityKey, unix_s: u64) {
        let keys = self.0.iter_mut().flat_map(|contact| &mut contact.keys);
        keys.filter(|key| key.identity == *identity).for_each(|key| key.verified = Some(unix_s));
    }

    /// The user takes this key for the account's, beside those it had; another account of the issuer no longer has it.
    pub fn accept(&mut self, identity: &IdentityKey, attested: &Attested, unix_s: u64) {
        let others = self.0.iter_mut().filter(|contact| contact.issuer == attested.issuer);
        others.for_each(|contact| contact.keys.retain(|key| key.identity != *identity));
        self.pin(identity, attested, Pinned { identity: *identity, seen: unix_s, verified: Some(unix_s) });
        self.0.retain(|contact| !contact.keys.is_empty());
    }

    /// Forgets an account.
    pub fn forget(&mut self, issuer: &str, subject: &str) {
        self.0.retain(|contact| (contact.issuer.as_str(), contact.subject.as_str()) != (issuer, subject));
    }

    /// Forgets every key that `keep` does not want.
    pub fn retain(&mut self, keep: impl Fn(&IdentityKey) -> bool) {
        self.0.iter_mut().for_each(|contact| contact.keys.retain(|key| keep(&key.identity)));
        self.0.retain(|contact| !contact.keys.is_empty());
    }

    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Contact> {
        self.0.iter()
    }

    /// Whether this could have been written by this build.
    pub(super) fn is_sound(&self) -> bool {
        let sound = |contact: &Contact| {
            let texts = [Some(&contact.issuer), Some(&contact.subject), contact.name.as_ref()];
            texts.into_iter().flatten().all(|text| is_plain(text)) && (1..=MAX_KEYS).contains(&contact.keys.len())
        };
        self.0.len() <= MAX_CONTACTS && self.0.iter().all(sound)
    }

    fn account(&mut self, attested: &Attested) -> Option<&mut Contact> {
        let is = |contact: &&mut Contact| contact.issuer == attested.issuer && contact.subject == attested.subject;
        self.0.iter_mut().find(is)
    }

    fn pin(&mut self, identity: &IdentityKey, attested: &Attested, key: Pinned) {
        let Attested { issuer, subject, name, level } = attested.clone();
        let name = name.filter(|name| is_plain(name));
        if level == Level::Guest || !is_plain(&issuer) || !is_plain(&subject) {
            return;
        }
        if let Some(contact) = self.account(attested) {
            contact.name = name;
            contact.keys.retain(|one| one.identity != *identity);
            if contact.keys.len() >= MAX_KEYS {
                contact.keys.remove(0);
            }
            return contact.keys.push(key);
        }
        if self.0.len() >= MAX_CONTACTS {
            let unverified = |(_, contact): &(usize, &Contact)| contact.keys.iter().all(|key| key.verified.is_none());
            let seen = |(_, contact): &(usize, &Contact)| contact.keys.iter().map(|key| key.seen).min();
            // Where all are verified none makes room: what the user did by hand is not undone by strangers coming.
            let Some((oldest, _)) = self.0.iter().enumerate().filter(unverified).min_by_key(seen) else { return };
            self.0.remove(oldest);
        }
        self.0.push(Contact { issuer, subject, name, level, keys: vec![key] });
    }
}

impl Contact {
    /// Its key of this name, where it has it.
    pub fn key(&self, identity: &IdentityKey) -> Option<&Pinned> {
        self.keys.iter().find(|key| key.identity == *identity)
    }
}

/// Identity keys as bytes.
mod bytes {
    use super::IdentityKey;

    pub(super) fn serialize<S: serde::Serializer>(key: &IdentityKey, to: S) -> Result<S::Ok, S::Error> {
        serde::Serialize::serialize(&key.0, to)
    }

    pub(super) fn deserialize<'a, D: serde::Deserializer<'a>>(from: D) -> Result<IdentityKey, D::Error> {
        serde::Deserialize::deserialize(from).map(IdentityKey)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(subject: &str) -> Attested {
        Attested { issuer: "https://id".to_owned(), subject: subject.to_owned(), name: None, level: Level::SignedOn }
    }

    fn key(number: u16) -> IdentityKey {
        let mut key = [0; 32];
        key[..2].copy_from_slice(&number.to_be_bytes());
        IdentityKey(key)
    }

    #[test]
    fn a_key_is_pinned_once_and_another_under_the_account_is_told() {
        let mut known = Known::default();
        assert_eq!(known.see(&key(1), &account("ann"), 10), Pin::First);
        assert_eq!(known.see(&key(1), &account("ann"), 20), Pin::Same);
        assert_eq!(known.see(&key(2), &account("ann"), 20), Pin::OtherKey);
        assert_eq!(known.see(&key(2), &account("ann"), 20), Pin::OtherKey, "seeing it again changes nothing");
        assert_eq!(known.see(&key(1), &account("bob"), 20), Pin::OtherPerson);
        let elsewhere = Attested { issuer: "https://other".to_owned(), ..account("ann") };
        assert_eq!(known.see(&key(2), &elsewhere, 20), Pin::First, "issuers have nothing to do with one another");
        known.accept(&key(2), &account("ann"), 30);
        assert_eq!(known.look(&key(2), &account("ann")), Pin::Same);
        assert_eq!(known.look(&key(1), &account("ann")), Pin::Same, "the first device is still hers");
        known.accept(&key(1), &account("bob"), 40);
        assert_eq!(known.look(&key(1), &account("ann")), Pin::OtherPerson);
        known.forget("https://id", "ann");
        assert_eq!(known.look(&key(2), &account("ann")), Pin::First);
    }

    #[test]
    fn a_guest_is_not_written_down() {
        let mut known = Known::default();
        known.see(&key(1), &Attested { level: Level::Guest, ..account("ann") }, 10);
        known.accept(&key(1), &Attested { level: Level::Guest, ..account("ann") }, 10);
        assert_eq!(known, Known::default());
    }

    #[test]
    fn a_full_book_forgets_who_was_never_verified_and_nobody_else() {
        let mut known = Known::default();
        for number in 0..MAX_CONTACTS as u16 {
            known.see(&key(number), &account(&format!("{number}")), number.into());
        }
        known.verify(&key(0), 5);
        known.see(&key(9000), &account("new"), 9000);
        assert_eq!(known.iter().count(), MAX_CONTACTS);
        assert_eq!(known.look(&key(0), &account("0")), Pin::Same);
        assert_eq!(known.look(&key(1), &account("1")), Pin::First, "the oldest of the others went");
        (0..=9000).for_each(|number| known.verify(&key(number), 5));
        known.see(&key(9001), &account("newer"), 9001);
        assert_eq!(known.look(&key(9001), &account("newer")), Pin::First);
        for number in 0..20 {
            known.accept(&key(9100 + number), &account("new"), 1);
        }
        let most = known.iter().map(|contact| contact.keys.len()).max();
        assert!(known.is_sound() && most == Some(MAX_KEYS));
    }
}
