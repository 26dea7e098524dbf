//! The settings: one table, what each level says of them, and who decides (E2EE.md §8).
//!
//! The nearest level that says something decides: the user before the group, the group before the account, the built-in
//! default last. A level that locks a setting ends that there: what is said below it is greyed and does not count, and
//! the outermost lock is the one that holds.

use super::words::{LeaverWindow, RosterLimit, Word};
use crate::e2ee::group::{GroupSuite, MeetingType};
use crate::e2ee::proof;

/// Who may say something of a setting, the outermost first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The whole account.
    Account,
    /// A group of its users.
    Group,
    /// One user. Nothing is below, so that a user locks nothing.
    User,
}

/// Who decided a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// Nobody said anything: what is built in.
    Builtin,
    /// The host, whose policy came as bytes that do not say who decided.
    Host,
    /// A level of the policy file.
    #[serde(untagged)]
    Level(Level),
}

/// What a level says of one setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Say<T> {
    /// The value, where it says one.
    pub value: Option<T>,
    /// Whether levels below may not say otherwise.
    pub locked: bool,
}

impl<T> Default for Say<T> {
    fn default() -> Self {
        Self { value: None, locked: false }
    }
}

/// A setting as it came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved<T> {
    /// What holds.
    pub value: T,
    /// Who decided it.
    pub by: By,
    /// The outermost level that locks it: below that it is greyed.
    pub locked: Option<Level>,
    /// What other levels said and does not count, the outermost first.
    pub overruled: Vec<(Level, T)>,
}

impl<T: Copy> Resolved<T> {
    /// What comes of the `builtin` value and of what the levels say.
    pub fn new(builtin: T, account: Say<T>, group: Say<T>, user: Option<T>) -> Self {
        let locked = match (account.locked, group.locked) {
            (true, _) => Some(Level::Account),
            (false, true) => Some(Level::Group),
            (false, false) => None,
        };
        let said = [(Level::Account, account.value), (Level::Group, group.value), (Level::User, user)];
        let mut said: Vec<_> = said.into_iter().filter_map(|(level, value)| Some((level, value?))).collect();
        let counts = |level: Level| locked.is_none_or(|locked| level <= locked);
        match said.iter().rposition(|(level, _)| counts(*level)) {
            Some(at) => {
                let (level, value) = said.remove(at);
                Self { value, by: By::Level(level), locked, overruled: said }
            }
            None => Self { value: builtin, by: By::Builtin, locked, overruled: said },
        }
    }

    /// Whether `level` may not decide it, since one above has locked it.
    pub fn greyed(&self, level: Level) -> bool {
        self.locked.is_some_and(|locked| level > locked)
    }
}

/// One setting in words, for a page of settings or a report.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Row {
    /// Its name in the file.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// What holds.
    pub value: String,
    /// Who decided it.
    pub by: By,
    /// The level that locked it.
    pub locked: Option<Level>,
    /// What other levels said and does not count.
    pub overruled: Vec<(Level, String)>,
}

impl Row {
    fn of<T: Word>(name: &'static str, about: &'static str, setting: &Resolved<T>) -> Self {
        let overruled = setting.overruled.iter().map(|(level, value)| (*level, value.text())).collect();
        Self { name, about, value: setting.value.text(), by: setting.by, locked: setting.locked, overruled }
    }
}

/// Makes of the table what is the same for every setting, so that none is forgotten in the file, the encoding or the
/// report.
macro_rules! settings {
    ($($name:ident: $kind:ty = $builtin:expr, $about:literal;)+) => {
        /// All settings as they came out.
        #[derive(Clone, Debug)]
        pub struct Settings {
            $(#[doc = $about] pub $name: Resolved<$kind>,)+
        }

        /// What one level says.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Says {
            $(#[doc = $about] pub $name: Say<$kind>,)+
        }

        /// The names of the settings, as a file has them.
        pub const NAMES: &[&str] = &[$(stringify!($name)),+];

        impl Settings {
            /// What comes of what three levels say. Locks of the user have nothing below them.
            pub fn new(account: &Says, group: &Says, user: &Says) -> Self {
                Self { $($name: Resolved::new($builtin, account.$name, group.$name, user.$name.value),)+ }
            }

            /// Every setting in words.
            pub fn rows(&self) -> Vec<Row> {
                vec![$(Row::of(stringify!($name), $about, &self.$name)),+]
            }

            pub(super) fn numbers(&self) -> [u32; NAMES.len()] {
                [$(self.$name.value.number()),+]
            }

            /// `None` where a number stands for no value.
            pub(super) fn from_numbers(numbers: [u32; NAMES.len()]) -> Option<Self> {
                let [$($name),+] = numbers;
                Some(Self { $($name: Resolved {
                    value: Word::from_number($name)?, by: By::Host, locked: None, overruled: Vec::new()
                },)+ })
            }
        }

        impl Says {
            /// Gives the setting `name` what `read` makes of its values; `false` where there is no such setting.
            pub(super) fn set<R: Read>(&mut self, name: &str, read: &mut R) -> Result<bool, R::Error> {
                match name {
                    $(stringify!($name) => self.$name = read.read()?,)+
                    _ => return Ok(false),
                }
                Ok(true)
            }
        }
    };
}

/// Where the values of [`Says`] come from.
pub(super) trait Read {
    /// Why there is none.
    type Error;

    /// The next one.
    fn read<T: Word>(&mut self) -> Result<Say<T>, Self::Error>;
}

settings! {
    allow_e2ee: bool = true, "Whether meetings may be end-to-end encrypted.";
    default_encryption: MeetingType = MeetingType::Enhanced, "What a meeting is where the host says nothing.";
    suite: GroupSuite = GroupSuite::Hybrid, "What keys are agreed on with: hybrid withstands a quantum computer.";
    proofs: proof::Policy = proof::Policy::RenderThenProve, "Whether frames are shown before or after their proof.";
    waiting_room: bool = true, "Whether the host lets each person in.";
    recorder_allowed: bool = false, "Whether a visible recorder may be let in.";
    roster_limit: RosterLimit = RosterLimit::STANDARD, "How many people a meeting holds at most.";
    leaver_window_ms: LeaverWindow = LeaverWindow::STANDARD, "Milliseconds for which a leaver may still open what is sent.";
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Level::Account => "account",
            Level::Group => "group",
            Level::User => "user",
        })
    }
}

impl std::fmt::Display for By {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            By::Builtin => f.write_str("built in"),
            By::Level(level) => level.fmt(f),
            By::Host => f.write_str("host"),
        }
    }
}
