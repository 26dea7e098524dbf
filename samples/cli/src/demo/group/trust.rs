//! What the two devices show of the meeting's protection at its end: the shield, the security code, who is in, and the
//! policy that ruled. Each from what ran: the epoch that the sender seals under, and the one that the receiver is in.

use serde::Serialize;

use conclave::e2ee::group::EnginePolicy;
use conclave::e2ee::{EpochInput, Roster};
use conclave::meeting::policy::{By, MeetingPolicy, Row};
use conclave::meeting::shield::{Facts, Shield};
use conclave::party;
use conclave::send::Sender;

use crate::policy;

/// What a device knows of its epoch.
pub struct View {
    epoch: u64,
    authenticator: Vec<u8>,
    roster: Roster,
    policy: Vec<u8>,
}

impl View {
    pub fn of(input: &EpochInput) -> Self {
        Self {
            epoch: input.epoch,
            authenticator: input.authenticator.clone(),
            roster: input.roster.clone(),
            policy: input.policy.clone(),
        }
    }

    /// The code that the device shows, and its picture.
    fn code(&self) -> anyhow::Result<(String, String)> {
        let code = policy::code(self.epoch, &self.authenticator, &self.roster, &self.policy)?;
        Ok((code.to_string(), code.qr_svg()?))
    }
}

/// What the devices show.
#[derive(Clone, Debug, Serialize)]
pub struct Trust {
    pub shield: Shield,
    pub epoch: u64,
    pub code: String,
    /// Whether the receiver shows the same one.
    pub codes_equal: bool,
    #[serde(skip)]
    pub qr: String,
    pub roster: Vec<Person>,
    pub policy: Vec<Row>,
    pub policy_hash: String,
}

/// One line of the list on screen.
#[derive(Clone, Debug, Serialize)]
pub struct Person {
    pub name: String,
    pub role: &'static str,
    /// The beginning of the identity key.
    pub identity: String,
}

impl Trust {
    /// What the sender shows while `sending`, and whether the receiver agrees.
    pub fn of(sender: &View, receiver: &View, sending: &Sender, rules: &MeetingPolicy) -> anyhow::Result<Self> {
        let sealing = sending.epoch();
        let group = sealing.and_then(|epoch| EnginePolicy::decode(&epoch.policy));
        let agrees = group.is_some_and(|group| rules.rules(&group).is_ok());
        let running = party::Facts::of(Some(party::Keys::Group), sealing.map(|epoch| &**epoch));
        let facts = Facts::of(&running, agrees, false);
        let ((code, qr), theirs) = (sender.code()?, receiver.code()?);
        let person = |member: &conclave::e2ee::Member| Person {
            name: member.name.clone(),
            role: member.role.name(),
            identity: hex(&member.identity.0[..8]),
        };
        Ok(Self {
            shield: Shield::new(&facts),
            epoch: sender.epoch,
            codes_equal: code == theirs.0,
            code,
            qr,
            roster: sender.roster.iter().map(person).collect(),
            policy: rules.settings().rows(),
            policy_hash: hex(&rules.hash()[..8]),
        })
    }

    /// For people: name and value.
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        let people = self.roster.iter().map(|person| format!("{} ({})", person.name, person.role));
        let decided = |row: &&Row| row.by != By::Builtin;
        let decided = self.policy.iter().filter(decided).map(|row| format!("{} {}", row.name, row.value));
        vec![
            ("shield", format!("{}: {}", self.shield.label(), self.shield.sentence())),
            (
                "code",
                format!("{}, {} on both devices", self.code, if self.codes_equal { "equal" } else { "NOT equal" }),
            ),
            ("people", people.collect::<Vec<_>>().join(", ")),
            (
                "policy",
                format!("{}; {}, the rest as built in", self.policy_hash, decided.collect::<Vec<_>>().join(", ")),
            ),
        ]
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
