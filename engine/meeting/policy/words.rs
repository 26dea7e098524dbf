//! The values that settings take: each is a word or a number in the file, and a number in the encoding.

use crate::e2ee::group::{GroupSuite, MeetingType};
use crate::e2ee::keys::MAX_LEAVES;
use crate::e2ee::proof;

/// A value of a setting.
pub trait Word: Copy + PartialEq {
    /// What a file may say, for whoever said something else.
    fn expected() -> String;

    /// Reads what a file says.
    fn read(said: Said<'_>) -> Option<Self>;

    /// As a file says it.
    fn text(self) -> String;

    /// Its number in the encoding.
    fn number(self) -> u32;

    /// The value with this number.
    fn from_number(number: u32) -> Option<Self>;
}

/// What stands in a file where a value is to stand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Said<'a> {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Number(i64),
    /// A text in quotes.
    Text(&'a str),
}

/// How many people a meeting holds at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RosterLimit(u16);

impl RosterLimit {
    /// A thousand.
    pub const STANDARD: Self = Self(1000);

    /// A limit of `people`, 1 to 1024: a tree of keys has no more leaves.
    pub const fn new(people: u16) -> Option<Self> {
        if people >= 1 && people <= MAX_LEAVES { Some(Self(people)) } else { None }
    }

    /// In people.
    pub const fn people(self) -> u16 {
        self.0
    }
}

/// For how long somebody who left may still open what is sent, at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaverWindow(u32);

impl LeaverWindow {
    /// Two seconds.
    pub const STANDARD: Self = Self(2000);
    /// The shortest, in milliseconds: a commit that removes somebody may itself take as long.
    pub const MIN_MS: u32 = 250;
    /// The longest, in milliseconds.
    pub const MAX_MS: u32 = 10_000;

    /// A window of `ms` milliseconds, 250 to 10 000.
    pub const fn new(ms: u32) -> Option<Self> {
        if ms >= Self::MIN_MS && ms <= Self::MAX_MS { Some(Self(ms)) } else { None }
    }

    /// In milliseconds.
    pub const fn ms(self) -> u32 {
        self.0
    }
}

impl Word for bool {
    fn expected() -> String {
        "true or false".into()
    }

    fn read(said: Said<'_>) -> Option<Self> {
        match said {
            Said::Bool(value) => Some(value),
            _ => None,
        }
    }

    fn text(self) -> String {
        self.to_string()
    }

    fn number(self) -> u32 {
        self.into()
    }

    fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

/// A kind of value that is one word out of a few, each with its number.
macro_rules! words {
    ($kind:ty: $($word:literal = $value:path = $number:literal),+) => {
        impl Word for $kind {
            fn expected() -> String {
                [$(concat!("\"", $word, "\"")),+].join(" or ")
            }

            fn read(said: Said<'_>) -> Option<Self> {
                match said {
                    $(Said::Text($word) => Some($value),)+
                    _ => None,
                }
            }

            fn text(self) -> String {
                match self { $($value => $word.into()),+ }
            }

            fn number(self) -> u32 {
                match self { $($value => $number),+ }
            }

            fn from_number(number: u32) -> Option<Self> {
                match number {
                    $($number => Some($value),)+
                    _ => None,
                }
            }
        }
    };
}

words!(MeetingType: "enhanced" = MeetingType::Enhanced = 2, "end-to-end" = MeetingType::EndToEnd = 1);
words!(GroupSuite: "hybrid" = GroupSuite::Hybrid = 0x004e, "classical" = GroupSuite::Classical = 0x0001);
words!(proof::Policy: "render-then-prove" = proof::Policy::RenderThenProve = 0,
    "prove-then-render" = proof::Policy::ProveThenRender = 1);

/// A kind of value that is a number within bounds.
macro_rules! bounded {
    ($kind:ty, $unit:literal, $value:ident, $least:expr, $most:expr) => {
        impl Word for $kind {
            fn expected() -> String {
                format!("a number of {} from {} to {}", $unit, $least, $most)
            }

            fn read(said: Said<'_>) -> Option<Self> {
                match said {
                    Said::Number(number) => Self::from_number(number.try_into().ok()?),
                    _ => None,
                }
            }

            fn text(self) -> String {
                self.$value().to_string()
            }

            fn number(self) -> u32 {
                self.$value().into()
            }

            fn from_number(number: u32) -> Option<Self> {
                Self::new(number.try_into().ok()?)
            }
        }
    };
}

bounded!(RosterLimit, "people", people, 1, MAX_LEAVES);
bounded!(LeaverWindow, "milliseconds", ms, LeaverWindow::MIN_MS, LeaverWindow::MAX_MS);

#[cfg(test)]
mod tests {
    use super::*;

    fn reads_back<T: Word + std::fmt::Debug>(values: &[T]) {
        for &value in values {
            assert_eq!(T::from_number(value.number()), Some(value));
        }
        assert_eq!(T::from_number(u32::MAX), None);
        assert_eq!(T::read(Said::Text("")), None);
    }

    #[test]
    fn values_read_back_from_their_numbers() {
        reads_back(&[false, true]);
        reads_back(&[MeetingType::Enhanced, MeetingType::EndToEnd]);
        reads_back(&[GroupSuite::Hybrid, GroupSuite::Classical]);
        reads_back(&[proof::Policy::RenderThenProve, proof::Policy::ProveThenRender]);
        reads_back(&[RosterLimit(1), RosterLimit(1024)]);
        reads_back(&[LeaverWindow(250), LeaverWindow(10_000)]);
    }

    #[test]
    fn numbers_keep_their_bounds() {
        assert_eq!((RosterLimit::new(0), RosterLimit::new(1025)), (None, None));
        assert_eq!((LeaverWindow::new(249), LeaverWindow::new(10_001)), (None, None));
        assert_eq!(RosterLimit::read(Said::Number(-1)), None);
        assert_eq!(RosterLimit::read(Said::Number(65_537)), None, "cut to 16 bits it would be 1");
        assert_eq!(LeaverWindow::read(Said::Number((1 << 32) + 1000)), None, "cut to 32 bits it would be 1000");
    }
}
