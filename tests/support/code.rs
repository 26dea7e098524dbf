//! What a security code is taken over, in one place: the code itself is a stretch over the same.
#![allow(dead_code)]

use aws_lc_rs::digest::{SHA256, digest};
use conclave::e2ee::Roster;
use conclave::e2ee::group::EnginePolicy;
use conclave::party::Party;

/// The code of what a member sees; nothing before it is let in.
pub fn code(party: &mut Party) -> Option<Vec<u8>> {
    let group = party.group().ok()?;
    Some(code_of(group.authenticator(), group.roster(), group.policy()))
}

/// The code over an epoch.
pub fn code_of(authenticator: &[u8], roster: &Roster, policy: &EnginePolicy) -> Vec<u8> {
    let bytes = [authenticator, &roster.hash(), &policy.hash()].concat();
    digest(&SHA256, &bytes).as_ref().to_vec()
}
