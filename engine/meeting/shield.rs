//! The shield: what a meeting's protection is at this moment, in one sign (E2EE.md §8).
//!
//! It is drawn from what the running meeting does, never from a setting: green stands for keys that are in force, and for
//! nothing that somebody wished for.

use crate::e2ee::group::MeetingType;

pub use crate::party::Keys;

/// What the meeting does at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The type that the policy of the epoch in force says; nothing before the first epoch.
    pub epoch: Option<MeetingType>,
    /// Where the keys of that epoch come from.
    pub keys: Keys,
    /// Whether sealing goes on: it stops with the heartbeat, with a key source that failed and with the meeting.
    pub sealing: bool,
    /// Whether the epoch's policy carries the hash of the meeting's.
    pub policy_agrees: bool,
    /// Whether a member shows another identity key than it was known by.
    pub mismatch: bool,
}

impl Facts {
    /// Those of what a party does.
    pub fn of(party: &crate::party::Facts, policy_agrees: bool, mismatch: bool) -> Self {
        let keys = party.keys.unwrap_or(Keys::App);
        Self { epoch: party.meeting, keys, sealing: party.sealing.is_some(), policy_agrees, mismatch }
    }
}

/// The sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Shield {
    /// Only the members' devices have the keys. Green, with a padlock.
    EndToEnd,
    /// The service has the keys too. Green, with a check.
    Enhanced,
    /// Sealed, with keys of which the engine does not know who has them. Grey, with a question mark.
    Unknown,
    /// Something does not fit: other rules than agreed on, or another identity. Red, with an exclamation mark.
    Warning,
    /// Nothing is sealed, so that nothing is sent. Grey, with a cross.
    Stopped,
}

impl Shield {
    /// All there are.
    pub const ALL: [Shield; 5] =
        [Shield::EndToEnd, Shield::Enhanced, Shield::Unknown, Shield::Warning, Shield::Stopped];

    /// What `facts` come to.
    pub const fn new(facts: &Facts) -> Self {
        let Some(meeting) = facts.epoch else {
            return Shield::Stopped;
        };
        if !facts.sealing {
            return Shield::Stopped;
        }
        if !facts.policy_agrees || facts.mismatch {
            return Shield::Warning;
        }
        match (meeting, facts.keys) {
            (MeetingType::EndToEnd, Keys::Group) => Shield::EndToEnd,
            (MeetingType::Enhanced, Keys::Service) => Shield::Enhanced,
            (_, Keys::App) => Shield::Unknown,
            // Keys from elsewhere than the type says.
            (MeetingType::EndToEnd, Keys::Service) | (MeetingType::Enhanced, Keys::Group) => Shield::Warning,
        }
    }

    /// Whether it is green: keys in force, of the kind that the meeting's type says.
    pub const fn green(self) -> bool {
        matches!(self, Shield::EndToEnd | Shield::Enhanced)
    }

    /// Two or three words beside it.
    pub const fn label(self) -> &'static str {
        match self {
            Shield::EndToEnd => "End-to-end encrypted",
            Shield::Enhanced => "Enhanced encryption",
            Shield::Unknown => "Keys not verified",
            Shield::Warning => "Protection in doubt",
            Shield::Stopped => "Not protected",
        }
    }

    /// What it means, for whoever asks.
    pub const fn sentence(self) -> &'static str {
        match self {
            Shield::EndToEnd => {
                "Only the devices of the people on the list have the keys to this meeting. Compare the security code to \
                 be sure who they are."
            }
            Shield::Enhanced => {
                "Everything is encrypted on its way. The service made the keys, and could read the meeting."
            }
            Shield::Unknown => {
                "Everything is encrypted with keys that the app brought. Nobody here can tell who else has them."
            }
            Shield::Warning => {
                "Something is not as agreed: somebody's identity has changed, or the meeting runs by other rules. Compare \
                 the security code before you go on."
            }
            Shield::Stopped => "There are no keys in force, and nothing of yours is sent.",
        }
    }

    /// The sign as a picture: SVG of 24 units each way, legible from 16 pixels on, with its label as title.
    pub fn svg(self) -> String {
        let (face, rim) = self.colors();
        let (label, sign) = (self.label(), self.sign());
        format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" role="img" aria-label="{label}"><title>{label}</title><path fill="{face}" stroke="{rim}" stroke-width="1.2" stroke-linejoin="round" d="{SHIELD}"/>{sign}</svg>"##
        )
    }

    /// The face and its rim.
    const fn colors(self) -> (&'static str, &'static str) {
        match self {
            Shield::EndToEnd | Shield::Enhanced => ("#1a9e4b", "#0d6b31"),
            Shield::Unknown | Shield::Stopped => ("#7b8794", "#52606d"),
            Shield::Warning => ("#d3302f", "#941c1c"),
        }
    }

    /// What is on it.
    const fn sign(self) -> &'static str {
        match self {
            Shield::EndToEnd => PADLOCK,
            Shield::Enhanced => CHECK,
            Shield::Unknown => QUESTION,
            Shield::Warning => EXCLAMATION,
            Shield::Stopped => CROSS,
        }
    }
}

const SHIELD: &str = "M12 1.7 3.7 4.7v6.7c0 5.2 3.4 8.8 8.3 10.9 4.9-2.1 8.3-5.7 8.3-10.9V4.7Z";
const PADLOCK: &str = r##"<path fill="none" stroke="#fff" stroke-width="1.8" d="M9.2 10.8V9a2.8 2.8 0 0 1 5.6 0v1.8"/><rect fill="#fff" x="7.2" y="10.4" width="9.6" height="7" rx="1.2"/><path fill="#0d6b31" d="M12 12.3a1.25 1.25 0 0 0-.6 2.35V16h1.2v-1.35A1.25 1.25 0 0 0 12 12.3Z"/>"##;
const CHECK: &str = r##"<path fill="none" stroke="#fff" stroke-width="2.5" stroke-linecap="round" stroke-linejoin="round" d="m7.4 11.9 3.2 3.3 6-6.6"/>"##;
const QUESTION: &str = r##"<path fill="none" stroke="#fff" stroke-width="2" stroke-linecap="round" stroke-linejoin="round" d="M9.3 9a2.75 2.75 0 1 1 4.3 2.3c-1 .7-1.6 1.2-1.6 2.4"/><circle fill="#fff" cx="12" cy="17" r="1.3"/>"##;
const EXCLAMATION: &str = r##"<path fill="none" stroke="#fff" stroke-width="2.4" stroke-linecap="round" d="M12 7v6"/><circle fill="#fff" cx="12" cy="16.8" r="1.45"/>"##;
const CROSS: &str = r##"<path fill="none" stroke="#fff" stroke-width="2.4" stroke-linecap="round" d="m8.4 8.2 7.2 7.2m0-7.2-7.2 7.2"/>"##;
