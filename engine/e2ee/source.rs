//! Where keys come from. The engine asks a [`KeySource`]; a group key agreement is one, [`StaticKeys`] is the simplest.

use std::sync::Arc;

use aws_lc_rs::hkdf::HKDF_SHA512;

use super::epoch::Epoch;
use super::keys::{BaseKey, Context, KeyError, KeyId, MAX_LEAVES};
use super::schedule::Chain;
use super::secret::Secret;
use crate::time::Time;

/// Gives the sender its keys and the receiver the keys of the others, by key id and never by trial.
///
/// Key ids have the layout of [`KeyId`]. Once a source has withdrawn a key, the same base key never comes back under
/// the same id: the receiver has forgotten which of its frames it has seen.
pub trait KeySource {
    /// Takes in what has come, moves the keys on by the clock and erases what is over. `true` where keys came or went:
    /// who seals and who opens asks again. Called before every frame and at every tick, so it is quick.
    fn turn(&mut self, _now: Time) -> bool {
        false
    }

    /// The keys to seal context `context` with from now on. Each chain is handed out once, so that two sealers never
    /// share one.
    ///
    /// # Errors
    /// [`KeyError::Taken`] where the chain in force was handed out before, [`KeyError::None`] where there is none and
    /// nothing may be sealed.
    fn sending(&mut self, context: Context) -> Result<Chain, KeyError>;

    /// The base key of `key_id`; `None` where it has not arrived, has ended or never will be.
    fn receiving(&self, key_id: KeyId, now: Time) -> Option<BaseKey>;

    /// Whether `receiving` gives a key for `key_id`, without making it.
    fn opens(&self, key_id: KeyId, now: Time) -> bool;

    /// Whether `leaf` is somebody else in the group.
    fn knows(&self, leaf: u16) -> bool;

    /// Whether a key for `key_id` may still come, so that frames wait for it.
    fn expects(&self, key_id: KeyId, _now: Time) -> bool {
        self.knows(key_id.leaf)
    }

    /// The epoch that `key_id` belongs to, where its members prove what they send.
    fn epoch(&self, _key_id: KeyId) -> Option<&Arc<Epoch>> {
        None
    }

    /// The epoch of the keys that [`KeySource::sending`] gives, where its members prove what they send.
    fn sealing(&self) -> Option<&Arc<Epoch>> {
        None
    }

    /// When the epoch of those keys began, on this member's clock, as it is known now: chains that were handed out
    /// before are moved on by it too.
    fn sealing_since(&self) -> Option<Time> {
        None
    }
}

/// A source chosen at run time.
pub type DynKeys = Box<dyn KeySource + Send>;

impl<S: KeySource + ?Sized> KeySource for Box<S> {
    fn turn(&mut self, now: Time) -> bool {
        (**self).turn(now)
    }

    fn sending(&mut self, context: Context) -> Result<Chain, KeyError> {
        (**self).sending(context)
    }

    fn receiving(&self, key_id: KeyId, now: Time) -> Option<BaseKey> {
        (**self).receiving(key_id, now)
    }

    fn opens(&self, key_id: KeyId, now: Time) -> bool {
        (**self).opens(key_id, now)
    }

    fn knows(&self, leaf: u16) -> bool {
        (**self).knows(leaf)
    }

    fn expects(&self, key_id: KeyId, now: Time) -> bool {
        (**self).expects(key_id, now)
    }

    fn epoch(&self, key_id: KeyId) -> Option<&Arc<Epoch>> {
        (**self).epoch(key_id)
    }

    fn sealing(&self) -> Option<&Arc<Epoch>> {
        (**self).sealing()
    }

    fn sealing_since(&self) -> Option<Time> {
        (**self).sealing_since()
    }
}

/// One secret for everybody, for as long as it lives: the key schedule of E2EE.md §3 without epochs and without steps.
///
/// The secret stays in memory and opens everything sealed under it. Counters start at 0, so a secret must be new for
/// each session: two sessions, or two members on one leaf, with the same secret would reuse nonces.
pub struct StaticKeys {
    secret: Secret,
    leaf: u16,
    epoch: u8,
    others: [u64; MAX_LEAVES as usize / 64],
    /// Contexts whose sending key is out, one bit each.
    taken: u8,
}

impl StaticKeys {
    /// Keys for the member on `leaf`, from a secret of 32 to 64 bytes shared by all. It knows nobody else yet.
    ///
    /// # Errors
    /// [`KeyError::Length`] and [`KeyError::Leaf`].
    pub fn new(secret: &[u8], leaf: u16) -> Result<Self, KeyError> {
        if !(32..=64).contains(&secret.len()) {
            return Err(KeyError::Length { len: secret.len(), least: 32 });
        }
        if leaf >= MAX_LEAVES {
            return Err(KeyError::Leaf(leaf));
        }
        Ok(Self { secret: Secret::copy_of(secret), leaf, epoch: 0, others: [0; _], taken: 0 })
    }

    /// The epoch that stands in the key ids, modulo 256; 0 by default. The same for all members.
    #[must_use]
    pub fn in_epoch(mut self, epoch: u8) -> Self {
        self.epoch = epoch;
        self
    }

    /// Frames of `leaf` are to be opened. Its own frames never are: nobody is sent back what it said.
    ///
    /// # Errors
    /// [`KeyError::Leaf`] for this member's own leaf and from 1024 up.
    pub fn admit(&mut self, leaf: u16) -> Result<(), KeyError> {
        if leaf >= MAX_LEAVES || leaf == self.leaf {
            return Err(KeyError::Leaf(leaf));
        }
        self.others[usize::from(leaf) / 64] |= 1 << (leaf % 64);
        Ok(())
    }

    /// `base_key[leaf, context, 0]`.
    fn base(&self, leaf: u16, context: Context) -> Result<BaseKey, KeyError> {
        let number = u32::from(leaf).to_be_bytes();
        let root = Secret::derive(HKDF_SHA512, self.secret.as_slice(), &[b"Conclave 1.0 sender ", &number], 64)?;
        let number = u16::from(context.number()).to_be_bytes();
        let base = Secret::derive(HKDF_SHA512, root.as_slice(), &[b"Conclave 1.0 stream ", &number], 64)?;
        Ok(BaseKey::from_secret(base))
    }
}

impl KeySource for StaticKeys {
    fn sending(&mut self, context: Context) -> Result<Chain, KeyError> {
        let bit = 1 << context.number();
        if self.taken & bit != 0 {
            return Err(KeyError::Taken(context.number()));
        }
        let base = self.base(self.leaf, context)?;
        self.taken |= bit;
        Ok(Chain::fixed(KeyId { step: 0, context, leaf: self.leaf, epoch: self.epoch }, base))
    }

    fn receiving(&self, key_id: KeyId, now: Time) -> Option<BaseKey> {
        if !self.opens(key_id, now) {
            return None;
        }
        self.base(key_id.leaf, key_id.context).ok()
    }

    fn opens(&self, key_id: KeyId, _now: Time) -> bool {
        key_id.step == 0 && key_id.epoch == self.epoch && self.knows(key_id.leaf)
    }

    fn knows(&self, leaf: u16) -> bool {
        self.others.get(usize::from(leaf) / 64).is_some_and(|word| word >> (leaf % 64) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_keys_are_those_of_the_independent_oracle() {
        let secret: Vec<u8> = (0..48).collect();
        let mut keys = StaticKeys::new(&secret, 3).unwrap().in_epoch(21);
        let chain = keys.sending(Context::new(2).unwrap()).unwrap();
        assert_eq!(chain.id().pack(), Some(0x80315));
        let hex: String = chain.base().as_slice().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "28808db37d49efd984f5880d70a9b7029555fdc909eb49d46fb51bd95485652d\
             4c901f6ddf01d4deb6ce2128618c53d6250c80e4fe7726986b060a89269cae35"
        );
    }

    #[test]
    fn a_sending_key_is_handed_out_once() {
        let mut keys = StaticKeys::new(&[7; 32], 0).unwrap();
        for context in (0..8).filter_map(Context::new) {
            assert!(keys.sending(context).is_ok());
            assert_eq!(keys.sending(context).err(), Some(KeyError::Taken(context.number())));
        }
    }

    #[test]
    fn only_admitted_others_are_known() {
        let mut keys = StaticKeys::new(&[7; 32], 5).unwrap();
        assert_eq!(keys.admit(5), Err(KeyError::Leaf(5)));
        assert_eq!(keys.admit(1024), Err(KeyError::Leaf(1024)));
        keys.admit(1023).unwrap();
        let known: Vec<u16> = (0..=u16::MAX).filter(|leaf| keys.knows(*leaf)).collect();
        assert_eq!(known, [1023]);
        let id = KeyId { step: 0, context: Context::new(1).unwrap(), leaf: 1023, epoch: 0 };
        assert!(keys.receiving(id, Time(0)).is_some());
        for other in [KeyId { step: 1, ..id }, KeyId { epoch: 1, ..id }, KeyId { leaf: 5, ..id }] {
            assert!(keys.receiving(other, Time(0)).is_none());
        }
    }

    #[test]
    fn short_secrets_and_absent_leaves_are_refused_in_words() {
        let error = StaticKeys::new(&[0; 16], 0).err().unwrap();
        assert!(error.to_string().contains("16 bytes"), "{error}");
        assert_eq!(StaticKeys::new(&[0; 32], 1024).err(), Some(KeyError::Leaf(1024)));
    }
}
