//! What an administrator decides (E2EE.md §8): settings at three levels with locks, the two types of meeting, what one of
//! them switches off, which clients and accounts may hold it, and which relays it may run over.
//!
//! A [`Document`] is read from a TOML file, and what it says of one user is a [`MeetingPolicy`]: immutable, with one
//! encoding, whose hash the group carries in its own policy, so that everybody is known to run the same rules.
//!
//! The files in the order of the data: `reader` → [`words`] → [`setting`] with [`clients`], [`features`], [`account`] and
//! [`network`] → [`document`] → [`MeetingPolicy`] → `wire`.

pub mod account;
pub mod clients;
pub mod document;
pub mod features;
pub mod network;
mod reader;
pub mod setting;
mod wire;
pub mod words;

use std::net::SocketAddr;

use crate::e2ee::group::wire::sha256;
use crate::e2ee::group::{Config, EnginePolicy, GroupSuite, MeetingType, Request};
use crate::e2ee::proof;

pub use self::account::{Account, FreeAccounts, Lacking};
pub use self::clients::{Client, Clients, Kind, Platform, Unfit, Version};
pub use self::document::{Document, EXAMPLE, Unknown};
pub use self::features::{Feature, SwitchedOff};
pub use self::network::{Allowlist, Network, Outside};
pub use self::reader::FileError;
pub use self::setting::{By, Level, Resolved, Row, Settings};

/// The rules of one meeting, as they came out for its host.
#[derive(Clone, Debug)]
pub struct MeetingPolicy {
    meeting: MeetingType,
    settings: Settings,
    clients: Clients,
    accounts: FreeAccounts,
    network: Allowlist,
}

/// Why a meeting cannot be of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// End-to-end encryption was asked for.
    #[error("end-to-end encryption is switched off ({by}{}); hold an enhanced meeting, or ask for `allow_e2ee`", lock(.locked))]
    NotAllowed {
        /// Who decided it.
        by: By,
        /// Who locked it.
        locked: Option<Level>,
    },
    /// Nothing was asked for, and the default is end-to-end encryption.
    #[error(
        "meetings are end-to-end encrypted by default ({default}), and that is switched off ({by}{}); nothing falls back \
         by itself: ask for an enhanced meeting", lock(.locked)
    )]
    Default {
        /// Who decided the default.
        default: By,
        /// Who switched it off.
        by: By,
        /// Who locked that.
        locked: Option<Level>,
    },
}

fn lock(locked: &Option<Level>) -> String {
    locked.map_or(String::new(), |level| format!(", locked by the {level}"))
}

/// That a group runs by other rules than this policy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the group's rules are not those of the meeting's policy: the {0} differs")]
pub struct Differs(
    /// What differs.
    pub &'static str,
);

impl MeetingPolicy {
    /// What is built in.
    pub fn standard() -> Self {
        let document = Document::default();
        let none = setting::Says::default();
        Self::of(&document, Settings::new(&none, &none, &none))
    }

    /// What `document` says of `user` in `group`.
    ///
    /// # Errors
    /// [`Unknown`], where the group is not in the document or another than it says.
    pub fn resolve(document: &Document, user: Option<&str>, group: Option<&str>) -> Result<Self, Unknown> {
        Ok(Self::of(document, document.settings(user, group)?))
    }

    fn of(document: &Document, settings: Settings) -> Self {
        Self {
            meeting: settings.default_encryption.value,
            settings,
            clients: document.clients.clone(),
            accounts: document.accounts,
            network: document.network.clone(),
        }
    }

    /// The type that a meeting gets where its host wants `wanted`, or says nothing.
    ///
    /// # Errors
    /// [`Refusal`]. End-to-end encryption never turns into less by itself.
    pub fn choose(&self, wanted: impl Into<Option<MeetingType>>) -> Result<MeetingType, Refusal> {
        let (wanted, allow, default) = (wanted.into(), &self.settings.allow_e2ee, &self.settings.default_encryption);
        match wanted.unwrap_or(default.value) {
            MeetingType::EndToEnd if !allow.value => Err(match wanted {
                Some(_) => Refusal::NotAllowed { by: allow.by, locked: allow.locked },
                None => Refusal::Default { default: default.by, by: allow.by, locked: allow.locked },
            }),
            meeting => Ok(meeting),
        }
    }

    /// The same for a meeting of the type that its host wants.
    ///
    /// # Errors
    /// As [`MeetingPolicy::choose`].
    pub fn for_meeting(self, wanted: impl Into<Option<MeetingType>>) -> Result<Self, Refusal> {
        Ok(Self { meeting: self.choose(wanted)?, ..self })
    }

    /// The type of meeting that it is for: the default, until [`MeetingPolicy::for_meeting`] says another.
    pub const fn meeting(&self) -> MeetingType {
        self.meeting
    }

    /// Whether the meeting has `feature`.
    ///
    /// # Errors
    /// [`SwitchedOff`], which names it and why, in an end-to-end encrypted meeting.
    pub const fn ask(&self, feature: Feature) -> Result<(), SwitchedOff> {
        match self.meeting {
            MeetingType::EndToEnd => Err(SwitchedOff(feature)),
            MeetingType::Enhanced => Ok(()),
        }
    }

    /// Whether `client` may join the meeting; an enhanced one takes all.
    ///
    /// # Errors
    /// [`Unfit`], with the reason.
    pub fn admit(&self, client: &Client) -> Result<(), Unfit> {
        match self.meeting {
            MeetingType::EndToEnd => self.clients.admit(client),
            MeetingType::Enhanced => Ok(()),
        }
    }

    /// Whether `account` may hold the meeting; an enhanced one asks for nothing.
    ///
    /// # Errors
    /// What a free account is [`Lacking`].
    pub const fn admit_account(&self, account: &Account) -> Result<(), Lacking> {
        match self.meeting {
            MeetingType::EndToEnd => self.accounts.admit(account),
            MeetingType::Enhanced => Ok(()),
        }
    }

    /// Whether the meeting may run over `relay`: to be asked before a socket opens, as
    /// [`crate::drive::Transport::open`] does.
    ///
    /// # Errors
    /// [`Outside`], which names the address, the port and the list.
    pub fn permits(&self, relay: SocketAddr) -> Result<(), Outside> {
        self.network.permits(relay)
    }

    /// The group of such a meeting, with the id `group`. An enhanced one has none and demands no suite: the service has
    /// the keys.
    ///
    /// # Errors
    /// [`Refusal`], where the policy does not allow a meeting of its type.
    pub fn group_config(&self, group: &[u8]) -> Result<Config, Refusal> {
        let meeting = self.chosen()?;
        Ok(Config {
            suite: self.suite(),
            meeting,
            post_quantum: self.post_quantum(),
            recorder_allowed: self.settings.recorder_allowed.value,
            leaver_window_ms: self.leaver_window_ms(),
            roster_limit: self.settings.roster_limit.value.people(),
            meeting_policy: self.hash(),
            ..Config::new(group)
        })
    }

    /// What a host asks the group for whose policy takes over from another host's. Suite and type stay as they were
    /// created: [`MeetingPolicy::rules`] says whether they fit.
    pub fn request(&self) -> Request {
        Request::Policy {
            recorder_allowed: self.settings.recorder_allowed.value,
            leaver_window_ms: self.leaver_window_ms(),
            roster_limit: self.settings.roster_limit.value.people(),
            meeting_policy: self.hash(),
        }
    }

    /// Whether a group with the policy `group` runs by these rules. Of an enhanced meeting the suite is not compared.
    ///
    /// # Errors
    /// [`Differs`], which names the first difference.
    pub fn rules(&self, group: &EnginePolicy) -> Result<(), Differs> {
        let enhanced = self.meeting == MeetingType::Enhanced;
        let pairs = [
            (self.chosen() == Ok(group.meeting), "meeting type"),
            (enhanced || self.suite() == group.suite, "suite"),
            (enhanced || self.post_quantum() == group.post_quantum, "post-quantum requirement"),
            (self.settings.recorder_allowed.value == group.recorder_allowed, "leave for recorders"),
            (self.leaver_window_ms() == group.leaver_window_ms, "leaver window"),
            (self.settings.roster_limit.value.people() == group.roster_limit, "roster limit"),
            (self.hash() == group.meeting_policy, "hash of the policy"),
        ];
        pairs.iter().find(|(same, _)| !same).map_or(Ok(()), |(_, what)| Err(Differs(what)))
    }

    /// SHA-256 of the encoding.
    pub fn hash(&self) -> [u8; 32] {
        sha256(&self.encode())
    }

    /// When a frame is believed to come from whom it says.
    pub const fn proofs(&self) -> proof::Policy {
        self.settings.proofs.value
    }

    /// Whether the host lets each person in.
    pub const fn waiting_room(&self) -> bool {
        self.settings.waiting_room.value
    }

    /// Milliseconds for which a leaver may still open what is sent.
    pub const fn leaver_window_ms(&self) -> u32 {
        self.settings.leaver_window_ms.value.ms()
    }

    /// Whether keys are agreed on so that a quantum computer does not get at them; in an enhanced meeting they are not
    /// agreed on at all.
    pub fn post_quantum(&self) -> bool {
        self.suite() == GroupSuite::Hybrid
    }

    /// The settings, each with who decided it.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The client table.
    pub const fn clients(&self) -> &Clients {
        &self.clients
    }

    /// What is asked of free accounts.
    pub const fn free_accounts(&self) -> &FreeAccounts {
        &self.accounts
    }

    /// The relays that are allowed.
    pub const fn network(&self) -> &Allowlist {
        &self.network
    }

    fn suite(&self) -> GroupSuite {
        match self.meeting {
            MeetingType::EndToEnd => self.settings.suite.value,
            MeetingType::Enhanced => GroupSuite::Classical,
        }
    }

    /// Its type, where it is allowed.
    fn chosen(&self) -> Result<MeetingType, Refusal> {
        self.choose(self.meeting)
    }
}

/// The same rules, whoever decided them.
impl PartialEq for MeetingPolicy {
    fn eq(&self, other: &Self) -> bool {
        self.encode() == other.encode()
    }
}

impl Eq for MeetingPolicy {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::e2ee::IdentityKey;

    #[test]
    fn a_group_that_is_created_by_a_policy_is_ruled_by_it() {
        for meeting in [MeetingType::EndToEnd, MeetingType::Enhanced] {
            let policy = MeetingPolicy::standard().for_meeting(meeting).unwrap();
            let group = policy.group_config(b"group").unwrap().policy(IdentityKey([1; 32])).unwrap();
            assert_eq!(policy.rules(&group), Ok(()));
            assert_eq!(MeetingPolicy::standard().rules(&group).is_ok(), meeting == MeetingType::Enhanced);
        }
    }

    #[test]
    fn what_a_new_host_asks_for_makes_the_group_fit_its_policy() {
        let end_to_end = |policy: MeetingPolicy| policy.for_meeting(MeetingType::EndToEnd).unwrap();
        let old = end_to_end(MeetingPolicy::standard());
        let text = "[account]\nrecorder_allowed = true\nroster_limit = 7\nleaver_window_ms = 300\nwaiting_room = false";
        let document = Document::parse("f", text).unwrap();
        let new = end_to_end(MeetingPolicy::resolve(&document, None, None).unwrap());
        let mut group = old.group_config(b"group").unwrap().policy(IdentityKey([1; 32])).unwrap();
        assert!(new.rules(&group).is_err());
        let Request::Policy { recorder_allowed, leaver_window_ms, roster_limit, meeting_policy } = new.request() else {
            panic!("a request of another kind");
        };
        group = EnginePolicy { recorder_allowed, leaver_window_ms, roster_limit, meeting_policy, ..group };
        assert_eq!(new.rules(&group), Ok(()));
        assert!(old.rules(&group).is_err());
    }
}
