//! From one secret of an epoch to the keys of every sender and stream (E2EE.md §3), each secret erased as soon as those
//! that follow from it exist; and the chains that move them on by the clock.

use super::keys::{BaseKey, Context, KeyError, KeyId, MAX_LEAVES};
use super::secret::Secret;
use crate::time::Time;

/// How an epoch's keys follow from its secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[repr(u8)]
pub enum Profile {
    /// A key for every sender and stream, moved on every four seconds and erased behind.
    #[default]
    Conclave = 1,
    /// RFC 9605 §5.2, for browsers and other clients: no forward secrecy inside an epoch.
    Rfc9605Mls = 2,
}

impl Profile {
    /// The profile with this number.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Profile::Conclave),
            2 => Some(Profile::Rfc9605Mls),
            _ => None,
        }
    }

    /// Bytes of the epoch's secret: what the exporter of the hybrid suite gives, or the key length of the cipher.
    pub const fn secret_len(self) -> usize {
        match self {
            Profile::Conclave => 48,
            Profile::Rfc9605Mls => 32,
        }
    }

    /// What a person should know of it; nothing where there is nothing to know.
    pub const fn caveat(self) -> Option<&'static str> {
        match self {
            Profile::Conclave => None,
            Profile::Rfc9605Mls => Some("no forward secrecy inside an epoch"),
        }
    }
}

/// Microseconds of one ratchet step.
pub const STEP_US: u64 = 4_000_000;

/// How much older than now, by the epoch's age, the step of a frame may be, in microseconds.
pub const PAST_US: u64 = 6_000_000;

/// How much further than now it may be, for clocks that differ.
pub const AHEAD_US: u64 = 2_000_000;

/// The secret of one epoch, as the group exported it. It is gone once the chains are made.
pub struct MediaSecret(Secret);

impl MediaSecret {
    /// Copies `bytes`; the caller wipes its own.
    ///
    /// # Errors
    /// [`KeyError::Length`] below 32 and above 64 bytes.
    pub fn new(bytes: &[u8]) -> Result<Self, KeyError> {
        if !(32..=64).contains(&bytes.len()) {
            return Err(KeyError::Length { len: bytes.len(), least: 32 });
        }
        Ok(Self(Secret::copy_of(bytes)))
    }

    /// The bytes, for a service that hands the secret out.
    pub(crate) fn as_slice(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// What only those who have this epoch's secret can say of `link`, the hash of what was agreed: the authenticator of
    /// an enhanced meeting.
    pub(crate) fn authenticator(&self, link: &[u8; 32]) -> Result<Vec<u8>, KeyError> {
        let secret = self.0.derive_next(&[b"Conclave 1.0 enhanced authenticator ", link], 48)?;
        Ok(secret.as_slice().to_vec())
    }

    /// The media secret of an enhanced meeting: bound to the authenticator, so that members whom a service keeps in two
    /// forks have different keys and commitments, whatever secret it gives them.
    ///
    /// # Errors
    /// [`KeyError::Derive`].
    pub fn bound(&self, authenticator: &[u8]) -> Result<Self, KeyError> {
        Ok(Self(self.0.derive_next(&[b"Conclave 1.0 enhanced media ", authenticator], 48)?))
    }

    /// What everybody who has this epoch's secret can compute and nobody can compute from another one: proofs carry it,
    /// so that two members with different keys under one epoch find out.
    pub(crate) fn commitment(&self) -> Result<[u8; 32], KeyError> {
        let secret = self.0.derive_next(&[b"Conclave 1.0 commitment"], 32)?;
        let mut out = [0; 32];
        out.copy_from_slice(secret.as_slice());
        Ok(out)
    }

    /// `base_key[leaf, context, 0]` of every context.
    pub(crate) fn chains(&self, profile: Profile, epoch: u64, leaf: u16) -> Result<Chains, KeyError> {
        if leaf >= MAX_LEAVES {
            return Err(KeyError::Leaf(leaf));
        }
        let root = match profile {
            Profile::Conclave => self.0.derive_next(&[b"Conclave 1.0 sender ", &u32::from(leaf).to_be_bytes()], 64)?,
            Profile::Rfc9605Mls => Secret::copy_of(self.0.as_slice()),
        };
        let chain = |number: u8| {
            let context = Context::new(number).ok_or(KeyError::KeyId)?;
            let base = match profile {
                Profile::Conclave => {
                    root.derive_next(&[b"Conclave 1.0 stream ", &u16::from(number).to_be_bytes()], 64)?
                }
                Profile::Rfc9605Mls => Secret::copy_of(root.as_slice()),
            };
            let id = KeyId { step: 0, context, leaf, epoch: epoch as u8 };
            Ok(Chain { id, base: BaseKey::from_secret(base), ratchets: profile == Profile::Conclave, began: Time(0) })
        };
        let mut chains = Vec::with_capacity(CONTEXTS);
        (0..CONTEXTS as u8).try_for_each(|number| chain(number).map(|chain| chains.push(chain)))?;
        Ok(Chains(chains))
    }
}

/// Key contexts of a sender.
pub const CONTEXTS: usize = 8;

/// The chains of one sender in one epoch, one for each context.
pub(crate) struct Chains(Vec<Chain>);

impl Chains {
    /// The chain of `context`.
    pub(crate) fn get(&self, context: Context) -> Option<&Chain> {
        self.0.iter().find(|chain| chain.id.context == context)
    }

    /// Moves the chain of `context` out.
    pub(crate) fn take(&mut self, context: Context) -> Option<Chain> {
        let at = self.0.iter().position(|chain| chain.id.context == context)?;
        Some(self.0.swap_remove(at))
    }

    /// Moves every chain on to `step`.
    pub(crate) fn advance(&mut self, step: u64) -> Result<(), KeyError> {
        self.0.iter_mut().try_for_each(|chain| chain.advance(step))
    }
}

/// The base keys of one sender and context, from some step on. What lies before that step is erased and cannot be
/// derived again.
pub struct Chain {
    id: KeyId,
    base: BaseKey,
    ratchets: bool,
    began: Time,
}

impl Chain {
    /// A chain of one link: the key stays what it is.
    pub fn fixed(id: KeyId, base: BaseKey) -> Self {
        Self { id, base, ratchets: false, began: Time(0) }
    }

    /// The same chain in an epoch that began at `began`, on this member's clock.
    #[must_use]
    pub fn began(mut self, began: Time) -> Self {
        self.began = began;
        self
    }

    /// A better answer to when the epoch began. What was moved past stays erased.
    pub(crate) fn set_began(&mut self, began: Time) {
        self.began = began;
    }

    /// The id of the oldest key that it still has.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The oldest key that it still has.
    pub fn base(&self) -> &BaseKey {
        &self.base
    }

    /// The step in force `now`; of a fixed chain always the one it has.
    pub fn step_at(&self, now: Time) -> u64 {
        if self.ratchets { now.since(self.began) / STEP_US } else { self.id.step }
    }

    /// Moves on to `step` and erases everything before it; a step that is past changes nothing.
    ///
    /// # Errors
    /// [`KeyError::Derive`] where the library refuses; the chain stays where it was.
    pub fn advance(&mut self, step: u64) -> Result<(), KeyError> {
        while self.ratchets && self.id.step < step {
            self.base = self.base.ratchet()?;
            self.id.step += 1;
        }
        Ok(())
    }

    /// The key of `step`; `None` where that is erased, or further ahead than clocks may differ.
    pub fn key(&self, step: u64) -> Option<BaseKey> {
        let ahead =
            step.checked_sub(self.id.step).filter(|ahead| *ahead <= MAX_AHEAD && (self.ratchets || *ahead == 0))?;
        (0..ahead).try_fold(self.base.copy(), |base, _| base.ratchet()).ok()
    }
}

/// Steps from the oldest one that is accepted to the newest: from 6 s ago to 2 s ahead, each 4 s long.
const MAX_AHEAD: u64 = (PAST_US + AHEAD_US).div_ceil(STEP_US);

/// The steps whose frames are accepted `now` in an epoch that `began` then, the oldest and the newest.
pub fn steps(began: Time, now: Time) -> (u64, u64) {
    let age = now.since(began);
    (age.saturating_sub(PAST_US) / STEP_US, (age + AHEAD_US) / STEP_US)
}
