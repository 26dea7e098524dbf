//! Reporting abuse. A report carries what the reporter chose and nothing else, with what proves it: lines of chat, each
//! signed by whoever said it, the group and the epoch. Whoever gets it verifies it without the group and without a key.
//!
//! `u8 version ‖ u8 len ‖ group ‖ 32 bytes about ‖ 32 bytes by ‖ u16 len ‖ note ‖ u16 count ‖ lines ‖ signature`, a line
//! as `32 bytes from ‖ u16 len ‖` what goes over the data channel ([`super::chat`]).

use zeroize::Zeroizing;

use super::chat::Line;
use crate::e2ee::IdentityKey;
use crate::e2ee::group::Device;
use crate::e2ee::group::identity::Signature;
use crate::e2ee::group::wire::MAX_GROUP_ID;
use crate::e2ee::proof::key::SIGNATURE;

/// Lines of a report at most.
pub const MAX_LINES: usize = 256;
/// Bytes of the longest note.
pub const MAX_NOTE: usize = 4096;

const VERSION: u8 = 1;
const CONTEXT: &str = "report";

/// What somebody reports of somebody.
#[derive(Clone, PartialEq, Eq)]
pub struct Report {
    /// The group that it happened in.
    pub group: Vec<u8>,
    /// Who is reported.
    pub about: IdentityKey,
    /// Who reports.
    pub by: IdentityKey,
    /// What the reporter says of it: its word, and no proof.
    pub note: Zeroizing<String>,
    /// What was said, as the reporter chose: by the one reported, or by others where that is needed to understand it.
    pub lines: Vec<Line>,
    signature: Signature,
}

/// Why a report cannot be made, or proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// Bytes are no report.
    #[error("this is not formed as a report is")]
    Form,
    /// Too long.
    #[error("a report has at most 256 lines, and a note of at most 4096 bytes")]
    Length,
    /// It is of another meeting.
    #[error("line {0} was said in another meeting")]
    Group(usize),
    /// A line was edited, or somebody else said it.
    #[error("line {0} is not what its speaker signed")]
    Line(usize),
    /// It was edited after it was made.
    #[error("the report is not what its reporter signed")]
    Edited,
}

impl Report {
    pub(crate) fn sign(
        device: &Device,
        group: &[u8],
        about: IdentityKey,
        note: &str,
        lines: Vec<Line>,
    ) -> Result<Self, ReportError> {
        let (group, note) = (group.to_vec(), Zeroizing::new(note.to_owned()));
        let mut report = Self { group, about, by: device.identity(), note, lines, signature: [0; SIGNATURE] };
        report.check()?;
        report.signature = device.vouch(CONTEXT, &report.signed());
        Ok(report)
    }

    /// Whether everything in it is what those signed who are named.
    ///
    /// # Errors
    /// [`ReportError`] names what does not hold.
    pub fn verify(&self) -> Result<(), ReportError> {
        self.check()?;
        let holds = self.by.vouched(CONTEXT, &self.signed(), &self.signature);
        if holds { Ok(()) } else { Err(ReportError::Edited) }
    }

    fn check(&self) -> Result<(), ReportError> {
        if self.lines.len() > MAX_LINES || self.note.len() > MAX_NOTE || self.group.len() > MAX_GROUP_ID {
            return Err(ReportError::Length);
        }
        for (at, line) in self.lines.iter().enumerate() {
            if line.group != self.group {
                return Err(ReportError::Group(at));
            }
            if !line.holds() {
                return Err(ReportError::Line(at));
            }
        }
        Ok(())
    }

    fn signed(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(vec![VERSION, self.group.len().min(MAX_GROUP_ID) as u8]);
        out.extend_from_slice(&self.group);
        out.extend_from_slice(&self.about.0);
        out.extend_from_slice(&self.by.0);
        out.extend_from_slice(&(self.note.len() as u16).to_be_bytes());
        out.extend_from_slice(self.note.as_bytes());
        out.extend_from_slice(&(self.lines.len() as u16).to_be_bytes());
        for line in &self.lines {
            let bytes = line.encode();
            out.extend_from_slice(&line.from.0);
            out.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
            out.extend_from_slice(&bytes);
        }
        out
    }

    /// Its bytes, for whoever looks into it.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut out = self.signed();
        out.extend_from_slice(&self.signature);
        out
    }

    /// Reads a report and verifies it.
    ///
    /// # Errors
    /// [`ReportError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ReportError> {
        let report = Self::read(bytes).ok_or(ReportError::Form)?;
        report.verify().map(|()| report)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (len, rest) = rest.split_first().filter(|_| *version == VERSION)?;
        let (group, rest) = rest.split_at_checked(usize::from(*len))?;
        let (about, rest) = rest.split_first_chunk()?;
        let (by, rest) = rest.split_first_chunk()?;
        let (note, rest) = piece(rest)?;
        let note = Zeroizing::new(std::str::from_utf8(note).ok()?.to_owned());
        let (count, mut rest) = rest.split_first_chunk()?;
        let count = Some(usize::from(u16::from_be_bytes(*count))).filter(|count| *count <= MAX_LINES)?;
        let mut lines = vec![];
        for _ in 0..count {
            let (from, behind) = rest.split_first_chunk()?;
            let (line, behind) = piece(behind)?;
            lines.push(Line::decode(line, IdentityKey(*from), group)?);
            rest = behind;
        }
        let (about, by, signature) = (IdentityKey(*about), IdentityKey(*by), rest.try_into().ok()?);
        Some(Self { group: group.to_vec(), about, by, note, lines, signature })
    }
}

/// `u16 len ‖ bytes`, and what is behind.
fn piece(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))
}

/// What is reported stays out of logs.
impl std::fmt::Debug for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "report of {:?} about {:?}, {} lines", self.by, self.about, self.lines.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_verifies_alone_and_no_edited_one_does() {
        let (reporter, speaker) = (Device::generate("a").unwrap(), Device::generate("b").unwrap());
        let lines = vec![Line::sign(&speaker, b"g", 3, 0, "an insult"), Line::sign(&reporter, b"g", 3, 0, "stop")];
        let report = Report::sign(&reporter, b"g", speaker.identity(), "he began", lines).unwrap();
        let bytes = report.encode();
        assert_eq!(Report::decode(&bytes), Ok(report.clone()));
        for at in 0..bytes.len() {
            let mut edited = bytes.to_vec();
            edited[at] ^= 1;
            assert!(Report::decode(&edited).is_err(), "byte {at}");
        }
        assert!((0..bytes.len()).all(|len| Report::decode(&bytes[..len]).is_err()));
        let mut put = report.clone();
        put.lines[0].text = Zeroizing::new("a threat".to_owned());
        assert_eq!(put.verify(), Err(ReportError::Line(0)));
        let left_out = Report { lines: report.lines[1..].to_vec(), ..report.clone() };
        assert_eq!(left_out.verify(), Err(ReportError::Edited));
        let elsewhere = vec![Line::sign(&speaker, b"h", 3, 0, "an insult")];
        let made = Report::sign(&reporter, b"g", speaker.identity(), "", elsewhere);
        assert_eq!(made.err(), Some(ReportError::Group(0)));
        assert!(!format!("{report:?}").contains("insult"));
    }
}
