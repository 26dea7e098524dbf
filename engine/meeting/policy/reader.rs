//! Reading TOML that people write: every refusal names the file, the line and what was expected there.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::setting::{Read, Say};
use super::words::{Said, Word};

/// Why a policy file is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}, line {line}: {what}")]
pub struct FileError {
    /// The file, by the name it was given.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is there and what was expected.
    pub what: String,
}

/// A file and its text.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub file: &'a str,
    pub text: &'a str,
}

impl<'a> Source<'a> {
    pub(super) fn error(&self, span: Range<usize>, what: impl Into<String>) -> FileError {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = 1 + before.bytes().filter(|byte| *byte == b'\n').count();
        FileError { file: self.file.to_owned(), line, what: what.into() }
    }

    pub(super) fn parse(&self) -> Result<Spanned<DeValue<'a>>, FileError> {
        match DeTable::parse(self.text) {
            Ok(table) => Ok(Spanned::new(table.span(), DeValue::Table(table.into_inner()))),
            Err(error) => {
                let what = error.message().lines().collect::<Vec<_>>().join("; ");
                Err(self.error(error.span().unwrap_or_default(), format!("this is not TOML: {what}")))
            }
        }
    }
}

/// A value in its place.
#[derive(Clone)]
pub(super) struct At<'a> {
    pub source: Source<'a>,
    /// The keys that lead to it, for messages.
    pub path: String,
    pub value: &'a Spanned<DeValue<'a>>,
}

impl<'a> At<'a> {
    /// That something else is here than was expected.
    pub(super) fn not(&self, expected: impl AsRef<str>) -> FileError {
        let found = match self.value.get_ref() {
            DeValue::String(text) => format!("{:?}", text.chars().take(60).collect::<String>()),
            DeValue::Integer(number) => number.to_string(),
            DeValue::Float(number) => number.to_string(),
            DeValue::Boolean(value) => value.to_string(),
            DeValue::Datetime(_) => "a date".into(),
            DeValue::Array(_) => "a list".into(),
            DeValue::Table(_) => "a table".into(),
        };
        self.error(format!("`{}` is {found}; expected {}", self.path, expected.as_ref()))
    }

    pub(super) fn error(&self, what: impl Into<String>) -> FileError {
        self.source.error(self.value.span(), what)
    }

    /// The entries of a table, with their keys.
    pub(super) fn entries(&self) -> Result<Vec<(&'a str, At<'a>)>, FileError> {
        let DeValue::Table(table) = self.value.get_ref() else {
            return Err(self.not("a table"));
        };
        let dot = if self.path.is_empty() { "" } else { "." };
        let entries = table.iter().map(|(key, value)| {
            let key: &'a str = key.get_ref();
            (key, At { source: self.source, path: format!("{}{dot}{}", self.path, key.escape_debug()), value })
        });
        Ok(entries.collect())
    }

    /// The entries of a table that may have the keys `known` and no others.
    pub(super) fn table<const N: usize>(&self, known: [&str; N]) -> Result<[Option<At<'a>>; N], FileError> {
        let mut found = [const { None }; N];
        for (key, value) in self.entries()? {
            match known.iter().position(|name| *name == key).and_then(|at| found.get_mut(at)) {
                Some(place) => *place = Some(value),
                None => return Err(self.unknown(key, &known)),
            }
        }
        Ok(found)
    }

    /// That `key` is none of those that may stand in this table.
    pub(super) fn unknown(&self, key: &str, known: &[&str]) -> FileError {
        let span = match self.value.get_ref() {
            DeValue::Table(table) => table.keys().find(|name| name.get_ref() == key).map(Spanned::span),
            _ => None,
        };
        let place = if self.path.is_empty() { "the file".into() } else { format!("`{}`", self.path) };
        let known: Vec<_> = known.iter().map(|name| format!("`{name}`")).collect();
        let what = format!("{place} has no key `{}`; expected {}", key.escape_debug(), known.join(", "));
        self.source.error(span.unwrap_or_else(|| self.value.span()), what)
    }

    /// The values of a list that has some.
    pub(super) fn list(&self, of: &str) -> Result<Vec<At<'a>>, FileError> {
        match self.value.get_ref() {
            DeValue::Array(list) if !list.is_empty() => {
                Ok(list.iter().map(|value| At { value, ..self.clone() }).collect())
            }
            DeValue::Array(_) => Err(self.error(format!("`{}` is empty; expected a list of {of}", self.path))),
            _ => Err(self.not(format!("a list of {of}"))),
        }
    }

    pub(super) fn text(&self, expected: impl AsRef<str>) -> Result<&'a str, FileError> {
        match self.value.get_ref() {
            DeValue::String(text) => Ok(text),
            _ => Err(self.not(expected)),
        }
    }

    pub(super) fn word<T: Word>(&self) -> Result<T, FileError> {
        let said = match self.value.get_ref() {
            DeValue::Boolean(value) => Some(Said::Bool(*value)),
            DeValue::String(text) => Some(Said::Text(text)),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok().map(Said::Number),
            _ => None,
        };
        said.and_then(T::read).ok_or_else(|| self.not(T::expected()))
    }
}

/// A setting: its value, or a table of `value` and `locked`, either of which may be missing.
impl Read for At<'_> {
    type Error = FileError;

    fn read<T: Word>(&mut self) -> Result<Say<T>, FileError> {
        if !matches!(self.value.get_ref(), DeValue::Table(_)) {
            let value = self.word().map_err(|mut error| {
                error.what += ", or a table of `value` and `locked`";
                error
            })?;
            return Ok(Say { value: Some(value), locked: false });
        }
        let [value, locked] = self.table(["value", "locked"])?;
        if value.is_none() && locked.is_none() {
            return Err(self.error(format!("`{}` is empty; expected `value`, `locked` or both", self.path)));
        }
        let value = value.map(|value| value.word()).transpose()?;
        let locked = locked.map(|locked| locked.word()).transpose()?.unwrap_or(false);
        Ok(Say { value, locked })
    }
}
