//! One epoch of a group: an immutable roster and policy, and the key chains, which move into the one sealer and the one
//! opener that use them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::keys::{BaseKey, Context, KeyError, KeyId};
use super::roster::Roster;
use super::schedule::{Chain, Chains, MediaSecret, Profile, steps};
use crate::time::Time;

/// What a key agreement says of an epoch. The engine's own comes from [`super::group`]; an app with another one feeds
/// its own, and answers for what that one promises.
pub struct EpochInput {
    /// Which group.
    pub group: Vec<u8>,
    /// Number of the epoch, never used again in this group.
    pub epoch: u64,
    /// The secret that all keys follow from: new in each epoch, and as good as its exporter.
    pub secret: MediaSecret,
    /// How they follow.
    pub profile: Profile,
    /// This member's leaf.
    pub own: u16,
    /// Everybody, this member included.
    pub roster: Roster,
    /// The group's policy as it stands in its transcript.
    pub policy: Vec<u8>,
    /// What only members of this epoch can say; security codes are taken over it.
    pub authenticator: Vec<u8>,
    /// When the epoch began, on this member's clock: at its commit.
    pub began: Time,
}

/// What is known of an epoch to everything that works in it. Immutable; no secret.
#[derive(Debug)]
pub struct Epoch {
    /// Which group.
    pub group: Box<[u8]>,
    /// Number of the epoch.
    pub number: u64,
    /// How its keys follow from its secret.
    pub profile: Profile,
    /// This member's leaf.
    pub own: u16,
    /// Everybody, this member included.
    pub roster: Roster,
    /// The group's policy as it stands in its transcript.
    pub policy: Box<[u8]>,
    /// What only members of this epoch can say.
    pub authenticator: Box<[u8]>,
    /// What only holders of this epoch's secret can say: proofs carry it.
    pub commitment: [u8; 32],
}

/// This member's own chains in one epoch.
pub struct SendKeys {
    epoch: Arc<Epoch>,
    chains: Chains,
    began: Time,
}

/// The chains of everybody else in one epoch.
pub struct OpenKeys {
    epoch: Arc<Epoch>,
    chains: BTreeMap<u16, Chains>,
    began: Time,
    /// The step that every chain has been moved on to.
    step: u64,
}

impl EpochInput {
    /// Derives every chain and erases the secret.
    ///
    /// # Errors
    /// [`KeyError::Leaf`] where a member, or this one, has no place in the group; [`KeyError::Derive`].
    pub fn derive(self) -> Result<(SendKeys, OpenKeys), KeyError> {
        let Self { group, epoch: number, secret, profile, own, roster, policy, authenticator, began } = self;
        if roster.get(own).is_none() {
            return Err(KeyError::Leaf(own));
        }
        let own_chains = secret.chains(profile, number, own)?;
        let others = roster.iter().map(|member| member.leaf).filter(|leaf| *leaf != own);
        let chains = others.map(|leaf| Ok((leaf, secret.chains(profile, number, leaf)?))).collect::<Result<_, _>>()?;
        let epoch = Arc::new(Epoch {
            group: group.into(),
            number,
            profile,
            own,
            roster,
            policy: policy.into(),
            authenticator: authenticator.into(),
            commitment: secret.commitment()?,
        });
        Ok((SendKeys { epoch: epoch.clone(), chains: own_chains, began }, OpenKeys { epoch, chains, began, step: 0 }))
    }
}

impl SendKeys {
    /// The epoch.
    pub fn epoch(&self) -> &Arc<Epoch> {
        &self.epoch
    }

    /// When the epoch began, on this member's clock.
    pub fn began(&self) -> Time {
        self.began
    }

    /// A better answer to when the epoch began, for the chains that are still here.
    pub fn set_began(&mut self, began: Time) {
        self.began = began;
    }

    /// Moves the chain of `context` out; each is there once.
    ///
    /// # Errors
    /// [`KeyError::Taken`].
    pub fn take(&mut self, context: Context) -> Result<Chain, KeyError> {
        let chain = self.chains.take(context).ok_or(KeyError::Taken(context.number()))?;
        Ok(chain.began(self.began))
    }
}

impl OpenKeys {
    /// The epoch.
    pub fn epoch(&self) -> &Arc<Epoch> {
        &self.epoch
    }

    /// A better answer to when the epoch began, from the committer's heartbeat. What is erased stays erased.
    pub fn set_began(&mut self, began: Time) {
        self.began = began;
    }

    /// Moves the chains of one sender out, for an opener of its own.
    pub fn take(&mut self, leaf: u16) -> Option<Self> {
        let chains = self.chains.remove(&leaf)?;
        let chains = BTreeMap::from([(leaf, chains)]);
        Some(Self { epoch: self.epoch.clone(), chains, began: self.began, step: self.step })
    }

    /// Moves every chain on by the clock, whether frames came or not. `true` where a step was erased.
    pub fn advance(&mut self, now: Time) -> bool {
        let (oldest, _) = steps(self.began, now);
        if oldest <= self.step {
            return false;
        }
        self.step = oldest;
        // A chain that the library does not move on is dropped: keeping an old key is worse than losing a sender.
        self.chains.retain(|_, chains| chains.advance(oldest).is_ok());
        true
    }

    /// Whether frames under `key_id` are opened `now`. Its epoch is this one's modulo 256.
    pub fn opens(&self, key_id: KeyId, now: Time) -> bool {
        let Some(chain) = self.chain(key_id) else { return false };
        let (oldest, newest) = match self.epoch.profile {
            Profile::Conclave => steps(self.began, now),
            Profile::Rfc9605Mls => (0, 0),
        };
        (oldest.max(chain.id().step)..=newest).contains(&key_id.step)
    }

    /// The base key of `key_id`, where [`OpenKeys::opens`] says so.
    pub fn key(&self, key_id: KeyId, now: Time) -> Option<BaseKey> {
        if !self.opens(key_id, now) {
            return None;
        }
        self.chain(key_id)?.key(key_id.step)
    }

    /// Whether there are keys of `leaf`.
    pub fn knows(&self, leaf: u16) -> bool {
        self.chains.contains_key(&leaf)
    }

    fn chain(&self, key_id: KeyId) -> Option<&Chain> {
        if key_id.epoch != self.epoch.number as u8 {
            return None;
        }
        self.chains.get(&key_id.leaf)?.get(key_id.context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::epochs::{self, member};

    fn input(profile: Profile) -> EpochInput {
        let secret: Vec<u8> = (0..48).collect();
        let secret = MediaSecret::new(&secret[..profile.secret_len()]).unwrap();
        let roster = Roster::new(vec![member(3), member(9)]);
        EpochInput { secret, profile, roster, ..epochs::input(256 + 21, 9, 0, Time(0)) }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn id(step: u64) -> KeyId {
        KeyId { step, context: Context::new(2).unwrap(), leaf: 3, epoch: 21 }
    }

    #[test]
    fn base_keys_of_every_step_are_those_of_the_independent_oracle() {
        let (_, keys) = input(Profile::Conclave).derive().unwrap();
        let expected = [
            "28808db37d49efd984f5880d70a9b7029555fdc909eb49d46fb51bd95485652d4c901f6ddf01d4deb6ce2128618c53d6250c80e4fe7726986b060a89269cae35",
            "b52f6996c0c6c19d1c528b0ff210ea9804cf5be48c2061654d42c2a668d2b359111e8f634a1e6784eac34af8c2d3f9c357e6f7fa4848d6df2128f915a0971c6a",
            "ede99c82bd7785c6625581efb35a2f1baad5d86c0071fda61fd10bd51a0f97d08c268a9a522ce287b87f20d57f54ddd326349b2003178b06ea691d43c4012503",
        ];
        for (step, expected) in expected.iter().enumerate() {
            let key = keys.key(id(step as u64), Time::from_ms(step as u64 * 4000)).unwrap();
            assert_eq!(hex(key.as_slice()), *expected);
        }
    }

    #[test]
    fn steps_are_accepted_from_six_seconds_ago_to_two_ahead_and_no_other() {
        let (_, mut keys) = input(Profile::Conclave).derive().unwrap();
        for ms in (0..60_000u64).step_by(250) {
            let now = Time::from_ms(ms);
            keys.advance(now);
            for step in 0..20u64 {
                // A step is in force from 4·step to 4·step + 4 seconds.
                let accepted = step * 4000 <= ms + 2000 && (step + 1) * 4000 + 6000 > ms;
                assert_eq!(keys.opens(id(step), now), accepted, "step {step} at {ms} ms");
                assert_eq!(keys.key(id(step), now).is_some(), accepted);
            }
        }
    }

    #[test]
    fn what_was_moved_past_is_erased_even_where_the_clock_goes_back() {
        let (_, mut keys) = input(Profile::Conclave).derive().unwrap();
        assert!(keys.advance(Time::from_ms(40_000)));
        keys.set_began(Time::from_ms(40_000));
        assert!(!keys.advance(Time::from_ms(40_000)));
        assert!((0..8).all(|step| keys.key(id(step), Time::from_ms(40_000)).is_none()));
    }

    #[test]
    fn a_far_key_id_derives_nothing() {
        let (_, keys) = input(Profile::Conclave).derive().unwrap();
        for step in [3, 64, 1 << 42] {
            assert!(keys.key(id(step), Time(0)).is_none());
        }
        assert!(keys.key(KeyId { epoch: 22, ..id(0) }, Time(0)).is_none());
        assert!(keys.key(KeyId { leaf: 9, ..id(0) }, Time(0)).is_none(), "nobody opens what it sealed itself");
    }

    #[test]
    fn the_interoperable_profile_gives_everybody_the_exported_key_and_never_moves() {
        let (mut own, mut keys) = input(Profile::Rfc9605Mls).derive().unwrap();
        let exported: Vec<u8> = (0..32).collect();
        assert_eq!(own.take(Context::new(5).unwrap()).unwrap().base().as_slice(), exported);
        let late = Time::from_ms(3_600_000);
        keys.advance(late);
        assert_eq!(keys.key(id(0), late).unwrap().as_slice(), exported);
        assert!(keys.key(id(1), late).is_none());
    }

    #[test]
    fn chains_move_into_one_owner_each() {
        let (mut own, mut keys) = input(Profile::Conclave).derive().unwrap();
        let context = Context::new(0).unwrap();
        assert!(own.take(context).is_ok());
        assert_eq!(own.take(context).err(), Some(KeyError::Taken(0)));
        assert!(keys.take(3).is_some_and(|keys| keys.knows(3)));
        assert!(keys.take(3).is_none() && !keys.knows(3));
        let stranger = EpochInput { own: 4, ..input(Profile::Conclave) };
        assert_eq!(stranger.derive().err(), Some(KeyError::Leaf(4)));
    }
}
