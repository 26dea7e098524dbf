//! What a group is created with, and what an invite says of it.

use std::collections::BTreeMap;

use openmls::prelude::{
    BasicCredential, Credential, CredentialType, Extension, ExtensionType, Extensions, ExternalSender, GroupContext,
    MlsGroupCreateConfig, MlsGroupJoinConfig, PURE_CIPHERTEXT_WIRE_FORMAT_POLICY, RequiredCapabilitiesExtension,
    SenderRatchetConfiguration, UnknownExtension,
};

use super::GroupError;
use super::identity::{Device, MEDIA_EXTENSION, capabilities, lifetime};
use super::policy::{EnginePolicy, GroupSuite, MeetingType, POLICY_EXTENSION, VERSION};
use super::wire::MAX_GROUP_ID;
use crate::e2ee::{IdentityKey, Profile, Role};

/// The name under which the relay stands in the group.
const RELAY: &[u8] = b"relay";

/// What is fixed when a group is created; the invite names the same, and whoever joins compares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Which group: 1 to 64 bytes, never used again.
    pub group: Vec<u8>,
    /// The suite.
    pub suite: GroupSuite,
    /// Who makes the keys.
    pub meeting: MeetingType,
    /// How keys follow from an epoch's secret.
    pub profile: Profile,
    /// Whether only a hybrid suite will do.
    pub post_quantum: bool,
    /// The Ed25519 key with which the relay proposes removals; without one it cannot.
    pub relay_key: Option<[u8; 32]>,
    /// A host by identity key, where the invite names one: whoever joins refuses a group that it does not rule, or is
    /// not in. An invite that outlives the host's stay names its successor.
    pub host: Option<IdentityKey>,
    /// Whether a recorder may be admitted.
    pub recorder_allowed: bool,
    /// Milliseconds for which a leaver may still open what is sent.
    pub leaver_window_ms: u32,
    /// Members at most.
    pub roster_limit: u16,
    /// Hash of the host's resolved meeting policy.
    pub meeting_policy: [u8; 32],
}

impl Config {
    /// An end-to-end encrypted group with the hybrid suite.
    pub fn new(group: &[u8]) -> Self {
        Self {
            group: group.to_vec(),
            suite: GroupSuite::Hybrid,
            meeting: MeetingType::EndToEnd,
            profile: Profile::Conclave,
            post_quantum: true,
            relay_key: None,
            host: None,
            recorder_allowed: false,
            leaver_window_ms: 2000,
            roster_limit: 1000,
            meeting_policy: [0; 32],
        }
    }

    /// The same with the classical suite: nothing in it withstands a quantum computer.
    pub fn classical(self) -> Self {
        Self { suite: GroupSuite::Classical, post_quantum: false, ..self }
    }

    /// Groups are end-to-end encrypted: those of an enhanced meeting would say what they are not.
    pub(crate) fn end_to_end(&self) -> Result<(), GroupError> {
        if self.meeting == MeetingType::EndToEnd { Ok(()) } else { Err(GroupError::Enhanced) }
    }

    pub(crate) fn policy(&self, host: IdentityKey) -> Result<EnginePolicy, GroupError> {
        let policy = EnginePolicy {
            profile: self.profile,
            suite: self.suite,
            post_quantum: self.post_quantum,
            meeting: self.meeting,
            recorder_allowed: self.recorder_allowed,
            leaver_window_ms: self.leaver_window_ms,
            roster_limit: self.roster_limit,
            meeting_policy: self.meeting_policy,
            roles: BTreeMap::from([(host, Role::Host)]),
            lock: None,
        };
        let id = (1..=MAX_GROUP_ID).contains(&self.group.len());
        // What cannot be read back is no policy.
        EnginePolicy::decode(&policy.encode()).filter(|_| id).ok_or(GroupError::Config)
    }

    /// Whether the group that somebody is let into is the one it was invited to.
    pub(crate) fn agrees(&self, context: &GroupContext) -> Result<EnginePolicy, GroupError> {
        let policy = policy_of(context.extensions()).ok_or_else(|| no_policy(context.extensions()))?;
        let pairs = [
            (context.group_id().as_slice() == self.group, "group"),
            (context.ciphersuite() == self.suite.mls() && policy.suite == self.suite, "suite"),
            (policy.meeting == self.meeting, "meeting type"),
            (policy.profile == self.profile, "profile"),
            (policy.post_quantum == self.post_quantum, "post-quantum requirement"),
            (self.host.is_none_or(|host| policy.role(&host) == Role::Host), "host"),
        ];
        if let Some((_, what)) = pairs.iter().find(|(same, _)| !same) {
            return Err(GroupError::Mismatch(what));
        }
        let expected = self.context(&policy)?;
        if *context.extensions() == expected { Ok(policy) } else { Err(GroupError::Mismatch("relay")) }
    }

    /// The whole of a group context's extensions, in their order.
    pub(crate) fn context(&self, policy: &EnginePolicy) -> Result<Extensions<GroupContext>, GroupError> {
        let needs = [ExtensionType::Unknown(POLICY_EXTENSION), ExtensionType::Unknown(MEDIA_EXTENSION)];
        let needs = RequiredCapabilitiesExtension::new(&needs, &[], &[CredentialType::Basic]);
        let mut all = vec![
            Extension::RequiredCapabilities(needs),
            Extension::Unknown(POLICY_EXTENSION, UnknownExtension(policy.encode())),
        ];
        if let Some(key) = &self.relay_key {
            let relay: Credential = BasicCredential::new(RELAY.to_vec()).into();
            all.push(Extension::ExternalSenders(vec![ExternalSender::new(key.as_slice().into(), relay)]));
        }
        Extensions::from_vec(all).map_err(|_| GroupError::Config)
    }

    pub(crate) fn create(&self, device: &Device, policy: &EnginePolicy) -> Result<MlsGroupCreateConfig, GroupError> {
        Ok(MlsGroupCreateConfig::builder()
            .ciphersuite(self.suite.mls())
            .wire_format_policy(PURE_CIPHERTEXT_WIRE_FORMAT_POLICY)
            .use_ratchet_tree_extension(true)
            .max_past_epochs(0)
            .sender_ratchet_configuration(ratchet())
            .capabilities(capabilities(self.suite))
            .lifetime(lifetime())
            .with_leaf_node_extensions(device.extensions()?)
            .map_err(|_| GroupError::Config)?
            .with_group_context_extensions(self.context(policy)?)
            .build())
    }

    pub(crate) fn join(&self) -> MlsGroupJoinConfig {
        MlsGroupJoinConfig::builder()
            .wire_format_policy(PURE_CIPHERTEXT_WIRE_FORMAT_POLICY)
            .use_ratchet_tree_extension(true)
            .max_past_epochs(0)
            .sender_ratchet_configuration(ratchet())
            .build()
    }
}

/// The relay keeps one order, so few keys are kept for messages out of order.
fn ratchet() -> SenderRatchetConfiguration {
    SenderRatchetConfiguration::new(4, 1000)
}

/// Why there is no policy that can be read in a group context.
fn no_policy(extensions: &Extensions<GroupContext>) -> GroupError {
    let bytes = extensions.unknown(POLICY_EXTENSION).map(|policy| &policy.0[..]);
    GroupError::Mismatch(match bytes {
        None => "policy, which is not there",
        Some([]) => "policy, which is empty",
        Some([version, ..]) if *version != VERSION => "version of the policy",
        Some(_) => "policy",
    })
}

/// The policy in a group context.
pub(crate) fn policy_of(extensions: &Extensions<GroupContext>) -> Option<EnginePolicy> {
    EnginePolicy::decode(&extensions.unknown(POLICY_EXTENSION)?.0)
}
