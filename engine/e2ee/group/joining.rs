//! On the way in: a key package sent, a Welcome awaited.

use openmls::prelude::{
    KeyPackage, KeyPackageBundle, MlsMessageBodyIn, MlsMessageIn, OpenMlsProvider, ProcessedWelcome, StagedWelcome,
    tls_codec::Deserialize,
};
use openmls_traits::storage::StorageProvider;

use super::arrivals::{ARRIVALS_EXTENSION, Arrivals};
use super::config::Config;
use super::identity::{Device, capabilities, lifetime};
use super::provider::Provider;
use super::storage::Store;
use super::wire::{Envelope, Ticket, ticket};
use super::{Group, GroupError, card, stack};
use crate::time::Time;

/// Messages that wait for the Welcome at most, and their bytes together.
const MAX_WAITING: usize = 64;
const MAX_WAITING_BYTES: usize = 4 << 20;

/// Somebody who knocks.
pub struct Joining {
    device: Device,
    config: Config,
    provider: Provider,
    /// The keys of the key package. The library forgets them with the first Welcome that names it, genuine or not.
    keys: KeyPackageBundle,
    ticket: Ticket,
    /// What came in the meantime: the Welcome leads into an epoch that already goes on.
    waiting: Vec<Vec<u8>>,
}

impl Joining {
    /// Makes a key package for the group of `config`, as the invite has it. The second is the envelope for the relay.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn new(device: &Device, config: Config) -> Result<(Self, Vec<u8>), GroupError> {
        Self::with_card(device, config, &[])
    }

    /// The same, and says more of itself to whoever rules: `card`, under its identity key. Empty, it says nothing.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn with_card(device: &Device, config: Config, card: &[u8]) -> Result<(Self, Vec<u8>), GroupError> {
        config.end_to_end()?;
        let provider = Provider::default();
        let bundle = KeyPackage::builder()
            .leaf_node_capabilities(capabilities(config.suite))
            .leaf_node_extensions(device.extensions()?)
            .key_package_lifetime(lifetime())
            .build(config.suite.mls(), &provider, device, device.credential())
            .map_err(|_| GroupError::Library("the key package could not be made"))?;
        stack::wipe();
        let message = openmls::prelude::MlsMessageOut::from(bundle.key_package().clone());
        let body = message.to_bytes().map_err(|_| GroupError::Library("the key package could not be encoded"))?;
        let ticket = ticket(&body);
        let envelope = if card.is_empty() {
            Envelope::KeyPackage(&body).encode()
        } else {
            let card = card::sign(device, &config.group, &ticket, card).ok_or(GroupError::TooMuch)?;
            Envelope::Knock { card: &card, key_package: &body }.encode()
        };
        Ok((Self { device: device.share(), config, provider, keys: bundle, ticket, waiting: vec![] }, envelope))
    }

    /// What it keeps until it is let in: the keys of its key package.
    pub fn store(&self) -> &Store {
        self.provider.store()
    }

    /// What a Welcome for it names.
    pub fn ticket(&self) -> Ticket {
        self.ticket
    }

    /// Takes an envelope from the relay. A group comes out once it is the Welcome.
    ///
    /// # Errors
    /// [`GroupError`] where this is the Welcome and it does not lead where the invite says; nothing is used of it.
    pub fn handle(&mut self, message: &[u8], now: Time) -> Result<Option<Group>, GroupError> {
        match Envelope::decode(message)? {
            Envelope::Welcome { to, body } if to.contains(&self.ticket) => {
                let joined = self.join(body, now);
                if joined.is_err() {
                    self.keep()?;
                }
                stack::wipe();
                joined.map(Some)
            }
            Envelope::Handshake { .. } | Envelope::Application { .. } => {
                self.waiting.push(message.to_vec());
                while self.waiting.len() > MAX_WAITING
                    || self.waiting.iter().map(Vec::len).sum::<usize>() > MAX_WAITING_BYTES
                {
                    self.waiting.remove(0);
                }
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    /// The key package is as good as before for the Welcome that is still to come.
    fn keep(&self) -> Result<(), GroupError> {
        let failed = GroupError::Library("the key package could not be kept");
        let name = self.keys.key_package().hash_ref(self.provider.crypto()).map_err(|_| failed)?;
        self.provider.storage().write_key_package(&name, &self.keys).map_err(|_| failed)
    }

    fn join(&mut self, body: &[u8], now: Time) -> Result<Group, GroupError> {
        let message = MlsMessageIn::tls_deserialize_exact(body).map_err(|_| GroupError::Welcome)?;
        let MlsMessageBodyIn::Welcome(welcome) = message.extract() else { return Err(GroupError::Welcome) };
        let processed = ProcessedWelcome::new_from_welcome(&self.provider, &self.config.join(), welcome)
            .map_err(|_| GroupError::Welcome)?;
        let info = processed.unverified_group_info().extensions().unknown(ARRIVALS_EXTENSION);
        let arrivals = info.map_or(Some(Arrivals::default()), |info| Arrivals::decode(&info.0));
        // Believed once the library has verified who signed it.
        let staged: StagedWelcome =
            processed.into_staged_welcome(&self.provider, None).map_err(|_| GroupError::Welcome)?;
        let policy = self.config.agrees(staged.group_context())?;
        // Zeros: the invite says nothing of it.
        if self.config.meeting_policy != [0; 32] && policy.meeting_policy != self.config.meeting_policy {
            return Err(GroupError::Mismatch("meeting policy"));
        }
        let sender = staged.welcome_sender_index().u32();
        let mls = staged.into_group(&self.provider).map_err(|_| GroupError::Welcome)?;
        let provider = std::mem::take(&mut self.provider);
        let arrivals = arrivals.ok_or(GroupError::Mismatch("table of arrivals"))?;
        let mut group = Group::new(mls, provider, &self.device, self.config.clone(), policy, &arrivals, now)?;
        // A policy can name anybody: the host has to be there, on a leaf that it signed.
        if self.config.host.is_some_and(|host| group.roster().find(&host).is_none()) {
            return Err(GroupError::Mismatch("host"));
        }
        group.joined(sender, now)?;
        for message in std::mem::take(&mut self.waiting) {
            group.catch_up(&message, now);
        }
        Ok(group)
    }
}
