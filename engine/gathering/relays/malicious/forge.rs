//! What a relay can make up without a key of a member: proposals under its own key, knocks of devices of its own, and
//! damaged copies of what others said.

use openmls::prelude::{ExternalProposal, JoinProposal, KeyPackage};

use crate::e2ee::group::provider::Provider;
use crate::e2ee::group::storage::Store;
use crate::e2ee::group::wire::Envelope;
use crate::e2ee::group::{Config, Device, EnginePolicy, GroupSuite, Joining, read_key_package};
use crate::relay::{Relay, index};

/// A device of the relay's own, proposed by the relay, and by itself.
pub fn members(relay: &Relay, invite: &Config) -> Vec<Vec<u8>> {
    let made = || {
        let (device, (group, epoch)) = (Device::generate("somebody").ok()?, relay.place()?);
        let package = key_package(&device, invite)?;
        let by_relay = relay.signer().and_then(|key| {
            ExternalProposal::new_add::<Provider>(package.clone(), group.clone(), epoch, key, index()).ok()
        });
        let by_itself = JoinProposal::new::<Store>(package, group, epoch, &device).ok();
        Some([by_relay, by_itself].into_iter().flatten().filter_map(|message| message.to_bytes().ok()).collect())
    };
    made().unwrap_or_default()
}

/// The policy of the invite with one bit changed, proposed by the relay.
pub fn policies(relay: &Relay, invite: &Config) -> Vec<Vec<u8>> {
    let made = || {
        let mut policy = invite.policy(invite.host?).ok()?;
        policy.recorder_allowed = !policy.recorder_allowed;
        let (context, (group, epoch)) = (invite.context(&policy).ok()?, relay.place()?);
        let key = relay.signer()?;
        let message =
            ExternalProposal::new_group_context_extensions::<Provider>(context, group, epoch, key, index()).ok()?;
        message.to_bytes().ok()
    };
    made().into_iter().collect()
}

/// The knock of a new device under the name of whoever `knock` is of.
pub fn in_the_name_of(knock: &[u8], invite: &Config) -> Option<Vec<u8>> {
    let (_, person) = read_key_package(&Provider::default(), knock).ok()?;
    let device = Device::generate(&person.name).ok()?;
    Some(Joining::new(&device, invite.clone()).ok()?.1)
}

/// The policy that a weaker suite would have.
pub fn weaken(policy: &mut EnginePolicy) {
    (policy.suite, policy.post_quantum) = (GroupSuite::Classical, false);
}

/// A key package in which the name is another one.
pub fn rename(knock: &[u8]) -> Vec<u8> {
    let mut renamed = knock.to_vec();
    let name = read_key_package(&Provider::default(), knock).map(|(_, person)| person.name).unwrap_or_default();
    let at = knock.windows(name.len().max(1)).position(|window| window == name.as_bytes());
    if let Some(letter) = at.and_then(|at| renamed.get_mut(at)) {
        *letter = if *letter == b'x' { b'y' } else { b'x' };
    }
    renamed
}

/// A message with its last bit changed.
pub fn edit(body: &[u8]) -> Vec<u8> {
    let mut edited = body.to_vec();
    if let Some(last) = edited.last_mut() {
        *last ^= 1;
    }
    edited
}

fn key_package(device: &Device, invite: &Config) -> Option<KeyPackage> {
    let (_, knock) = Joining::new(device, invite.clone()).ok()?;
    let Ok(Envelope::KeyPackage(body)) = Envelope::decode(&knock) else { return None };
    Some(read_key_package(&Provider::default(), body).ok()?.0)
}
