//! The security code that a participant shows.
#![allow(dead_code)]

use conclave::e2ee::Roster;
use conclave::e2ee::group::EnginePolicy;
use conclave::meeting::code::{Codes, Of};
use conclave::party::Party;

/// The code of what a member sees; nothing before it is let in.
pub fn code(party: &mut Party) -> Option<Vec<u8>> {
    let group = party.group().ok()?;
    Some(code_of(group.authenticator(), group.roster(), group.policy()))
}

/// The code over an epoch.
pub fn code_of(authenticator: &[u8], roster: &Roster, policy: &EnginePolicy) -> Vec<u8> {
    let (mut codes, of) = (Codes::new(), Of::Epoch(0));
    codes.epoch(0, authenticator, roster, &policy.encode());
    let made = codes.job(of).unwrap().run().unwrap();
    codes.done(made);
    codes.get(of).unwrap().bytes().to_vec()
}
