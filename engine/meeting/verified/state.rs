//! The four states, and the sentences that the screen has for them.

use crate::e2ee::IdentityKey;

/// How sure it is that nobody stands in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub enum State {
    /// Something is other than it should be: a code that differs, or a known account with another key.
    Mismatch,
    /// No code was compared.
    Unverified,
    /// The keys are those of an earlier meeting; no code of this one was compared.
    KnownBefore,
    /// A code was compared.
    Verified,
}

impl State {
    /// For one person on the screen.
    pub const fn sentence(self) -> &'static str {
        match self {
            State::Mismatch => "Mismatch: this account had another key before. Do not go on before you compared codes.",
            State::Unverified => "Not verified: compare this person's code to know who it is.",
            State::KnownBefore => "Known before: the same key as in an earlier meeting.",
            State::Verified => "Verified: you compared codes.",
        }
    }
}

/// Why a meeting that was verified has to be verified again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Again {
    /// The service removed somebody verified; no member signed that.
    Removed(IdentityKey),
    /// Somebody verified went while this device was not in the meeting to see how.
    Away(IdentityKey),
    /// Another member makes the keys, as whoever made them fell silent.
    TookOver,
}

/// The state of the meeting, and what it comes from. It shows as a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The state.
    pub state: State,
    /// Nobody else is here.
    pub alone: bool,
    /// Whether anything was verified in this meeting.
    pub compared: bool,
    /// Whether the user said that the codes differ.
    pub differ: bool,
    /// Who is here with a key that is not the account's.
    pub mismatched: Vec<IdentityKey>,
    /// Who came since the user verified, and was not verified alone.
    pub joined: Vec<IdentityKey>,
    /// Why the user should verify again.
    pub again: Vec<Again>,
}

impl View {
    fn doubts(&self) -> String {
        let count = |which: fn(&Again) -> bool| self.again.iter().filter(|one| which(one)).count();
        let removed = count(|one| matches!(one, Again::Removed(_)));
        let away = count(|one| matches!(one, Again::Away(_)));
        let mut why = vec![];
        if removed > 0 {
            why.push(format!("the service removed {}", people(removed)));
        }
        if away > 0 {
            why.push(format!("{} left while you were away", people(away)));
        }
        if self.again.contains(&Again::TookOver) {
            why.push("another member took over making the keys".to_owned());
        }
        why.join(", and ")
    }
}

impl std::fmt::Display for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let joined = people(self.joined.len());
        match self.state {
            State::Mismatch if self.differ => f.write_str(
                "Mismatch: the codes differ, so somebody may be listening in. Leave, and begin again another way.",
            ),
            State::Mismatch => {
                let who = people(self.mismatched.len());
                write!(f, "Mismatch: {who} with another key than before under the same account. Compare codes.")
            }
            State::Unverified if !self.again.is_empty() => write!(f, "Verify again: {}.", self.doubts()),
            State::Unverified if self.compared && !self.joined.is_empty() => {
                write!(f, "{joined} joined since you verified: compare their own code.")
            }
            State::Unverified if self.alone => f.write_str("Nobody else is here."),
            State::Unverified => f.write_str("Not verified: compare the code to know that nobody listens in."),
            State::KnownBefore if self.compared && !self.joined.is_empty() => {
                write!(f, "{joined} joined since you verified, with keys of an earlier meeting.")
            }
            State::KnownBefore => f.write_str(
                "Known before: everybody has the key of an earlier meeting. The code of this one was not compared.",
            ),
            State::Verified => f.write_str("Verified: you compared codes, and only those people are here."),
        }
    }
}

fn people(count: usize) -> String {
    if count == 1 { "1 person".to_owned() } else { format!("{count} people") }
}
