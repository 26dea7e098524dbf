//! A meeting of the relay's own, made up for one newcomer: a real group with a device of the relay as its host, under
//! whatever policy serves the relay.

use std::collections::VecDeque;

use crate::e2ee::Role;
use crate::e2ee::group::wire::{Envelope, ticket};
use crate::e2ee::group::{Config, Device, EnginePolicy, Group, GroupError, Output, Request};
use crate::time::Time;

/// See the module.
pub struct Fake {
    group: Group,
    order: u64,
}

impl Fake {
    /// Lets in whoever `knock` is of. The policy is the invite's with the invite's host named, as if it were there, and
    /// with what `change` makes of it.
    pub fn found(
        invite: &Config,
        change: impl FnOnce(&mut EnginePolicy),
        knock: &[u8],
        now: Time,
    ) -> Result<Self, GroupError> {
        let device = Device::generate("host")?;
        let mut policy = invite.policy(device.identity())?;
        if let Some(host) = invite.host {
            policy.set_role(host, Role::Host);
        }
        change(&mut policy);
        let mut group = Group::found(&device, invite.clone(), policy, now)?;
        // No questions asked: the suite of the knock may be none that the policy names.
        let request = Request::Admit { key_package: knock.to_vec(), ticket: ticket(knock) };
        group.ask(request, now)?;
        Ok(Self { group, order: 0 })
    }

    /// What only members of it can say, as those in it have it.
    pub fn view(&self) -> (&[u8], &crate::e2ee::Roster, &EnginePolicy) {
        (self.group.authenticator(), self.group.roster(), self.group.policy())
    }

    /// Takes a message of the newcomer and the time; what comes back is for the newcomer.
    pub fn turn(&mut self, message: Option<&[u8]>, now: Time) -> Vec<Vec<u8>> {
        self.group.tick(now);
        let (mut said, mut out) = (VecDeque::from_iter(message.map(<[u8]>::to_vec)), vec![]);
        loop {
            while let Some(output) = self.group.poll() {
                if let Output::Send(message) = output {
                    said.push_back(message);
                }
            }
            let Some(message) = said.pop_front() else { return out };
            let order = self.order + 1;
            let ordered = match Envelope::decode(&message) {
                Ok(Envelope::Handshake { body, .. }) => Envelope::Handshake { order, body }.encode(),
                Ok(Envelope::Application { body, .. }) => Envelope::Application { order, body }.encode(),
                Ok(Envelope::Welcome { .. }) => {
                    out.push(message);
                    continue;
                }
                _ => continue,
            };
            self.order = order;
            let _ = self.group.handle(&ordered, now);
            out.push(ordered);
        }
    }
}
