//! The security code: eight groups of five digits that all members of an epoch see alike, and nobody else does.
//!
//! ```text
//! x    = SHA-512("Conclave 1.0 code" ‖ u16 len ‖ epoch authenticator ‖ SHA-256(roster) ‖ SHA-256(engine policy))
//! y    = scrypt(x, "Conclave 1.0 code", N = 32768, r = 8, p = 1, 64 bytes)
//! code = 8 groups of 5 digits, u64be(y[8i..]) mod 100000          a QR code carries y
//! ```
//!
//! Whoever stands between two halves of a meeting makes two groups of it, and they have two codes: it would have to try
//! about 2^66 groups, at a stretch each, until two had one. A person's own code is the same stretch over
//! `SHA-512("Conclave 1.0 person" ‖ u16 len ‖ identity key)` with that name as its salt: it stays the same in every
//! epoch, and in every meeting where the key does.
//!
//! A stretch takes about a tenth of a second and 32 MiB. [`Codes`] only hands out [`Job`]s and keeps what they made;
//! the app runs them, on a thread that no media waits for. What is kept of an epoch is `x`, which tells nothing of its
//! authenticator.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Context, SHA256, SHA512, digest};
use qrcode::{EcLevel, QrCode, render::svg};
use zeroize::Zeroizing;

use crate::e2ee::secret::Secret;
use crate::e2ee::{IdentityKey, Roster};

/// A code. It shows as its digits, `29397 73930 …`, to be read aloud.
pub struct Code {
    y: Secret,
}

/// Groups of digits.
const GROUPS: usize = 8;

/// Bytes that a QR code carries.
pub const QR_BYTES: usize = GROUPS * 8;

impl Code {
    /// What its QR code carries.
    pub fn bytes(&self) -> &[u8] {
        self.y.as_slice()
    }

    /// Its QR code as an SVG with a quiet zone, black on white, to be scanned off another screen.
    ///
    /// # Errors
    /// [`CodeError::Qr`].
    pub fn qr_svg(&self) -> Result<String, CodeError> {
        let code = QrCode::with_error_correction_level(self.bytes(), EcLevel::M).map_err(|_| CodeError::Qr)?;
        Ok(code.render::<svg::Color<'_>>().module_dimensions(4, 4).build())
    }

    /// Whether `scanned`, off another screen, is this code.
    pub fn is(&self, scanned: &[u8]) -> bool {
        verify_slices_are_equal(self.bytes(), scanned).is_ok()
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (groups, _) = self.bytes().as_chunks::<8>();
        groups.iter().enumerate().try_for_each(|(at, group)| {
            let gap = if at == 0 { "" } else { " " };
            write!(f, "{gap}{:05}", u64::from_be_bytes(*group) % 100_000)
        })
    }
}

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Code")
    }
}

/// What a code is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Of {
    /// Everybody in this epoch, and what they agreed on.
    Epoch(u64),
    /// One person.
    Person(IdentityKey),
}

/// Why there is no code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// The epoch that is read aloud is not this device's.
    #[error("the code being read is of epoch {0}, which this device was not in or no longer keeps: ask for a new one")]
    NotHere(u64),
    /// There is no epoch yet.
    #[error("there is no code before the meeting has its first keys")]
    NoEpoch,
    /// The library refused.
    #[error("the code could not be computed")]
    Stretch,
    /// The library refused.
    #[error("the code could not be drawn")]
    Qr,
}

/// A code to be computed, away from the media threads.
pub struct Job {
    of: Of,
    x: Secret,
}

/// A code that was computed, for [`Codes::done`].
pub struct Made {
    job: Job,
    code: Code,
}

impl Job {
    /// What of.
    pub fn of(&self) -> Of {
        self.of
    }

    /// Computes it: about a tenth of a second on one core.
    ///
    /// # Errors
    /// [`CodeError::Stretch`].
    pub fn run(self) -> Result<Made, CodeError> {
        let salt = match self.of {
            Of::Epoch(_) => EPOCH,
            Of::Person(_) => PERSON,
        };
        let params = scrypt::Params::new(15, 8, 1).map_err(|_| CodeError::Stretch)?;
        let mut y = Zeroizing::new([0; QR_BYTES]);
        scrypt::scrypt(self.x.as_slice(), salt, &params, &mut y[..]).map_err(|_| CodeError::Stretch)?;
        Ok(Made { code: Code { y: Secret::copy_of(&y[..]) }, job: self })
    }
}

const EPOCH: &[u8] = b"Conclave 1.0 code";
const PERSON: &[u8] = b"Conclave 1.0 person";

/// The codes of a meeting: what is needed for those of the last epochs, and those that were computed.
#[derive(Default)]
pub struct Codes {
    epochs: BTreeMap<u64, Entry>,
    people: VecDeque<(IdentityKey, Arc<Code>)>,
    pinned: Option<u64>,
}

struct Entry {
    x: Secret,
    code: Option<Arc<Code>>,
}

/// Epochs of which a code can be asked, besides the one that is read aloud.
pub const RECENT: usize = 32;

/// Codes of people that are kept.
pub const MAX_PEOPLE: usize = 64;

impl Codes {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// An epoch began: what only its members can say, who they are, and the policy as it stands in the transcript. Where
    /// members can say nothing that others cannot, as with keys of an app that have no authenticator, there is no code.
    pub fn epoch(&mut self, number: u64, authenticator: &[u8], roster: &Roster, policy: &[u8]) {
        if authenticator.is_empty() {
            self.epochs.remove(&number);
            return;
        }
        let x = hashed(EPOCH, authenticator, &[&roster.hash(), digest(&SHA256, policy).as_ref()]);
        self.epochs.insert(number, Entry { x, code: None });
        self.forget();
    }

    /// Every screen shows the code of `epoch` until it is closed, even when the meeting moves on: it is read aloud.
    ///
    /// # Errors
    /// [`CodeError::NotHere`] where this device has no such epoch. It then shows none, since any other would mislead.
    pub fn pin(&mut self, epoch: u64) -> Result<(), CodeError> {
        self.pinned = Some(epoch);
        self.forget();
        self.shown().map(|_| ())
    }

    /// Reading aloud is over.
    pub fn unpin(&mut self) {
        self.pinned = None;
        self.forget();
    }

    /// Which epoch is read aloud.
    pub fn pinned(&self) -> Option<u64> {
        self.pinned
    }

    /// Which code belongs on the screen: that of the epoch read aloud, else of the last one.
    ///
    /// # Errors
    /// [`CodeError::NotHere`], [`CodeError::NoEpoch`].
    pub fn shown(&self) -> Result<Of, CodeError> {
        match (self.pinned, self.epochs.last_key_value()) {
            (Some(pinned), _) if self.epochs.contains_key(&pinned) => Ok(Of::Epoch(pinned)),
            (Some(pinned), _) => Err(CodeError::NotHere(pinned)),
            (None, Some((last, _))) => Ok(Of::Epoch(*last)),
            (None, None) => Err(CodeError::NoEpoch),
        }
    }

    /// The code, where it was computed.
    pub fn get(&self, of: Of) -> Option<Arc<Code>> {
        match of {
            Of::Epoch(number) => self.epochs.get(&number)?.code.clone(),
            Of::Person(identity) => self.people.iter().find(|(one, _)| *one == identity).map(|(_, code)| code.clone()),
        }
    }

    /// What computes it. Every job costs its stretch: one is enough.
    ///
    /// # Errors
    /// [`CodeError::NotHere`].
    pub fn job(&self, of: Of) -> Result<Job, CodeError> {
        let x = match of {
            Of::Epoch(number) => {
                let entry = self.epochs.get(&number).ok_or(CodeError::NotHere(number))?;
                Secret::copy_of(entry.x.as_slice())
            }
            Of::Person(identity) => hashed(PERSON, &identity.0, &[]),
        };
        Ok(Job { of, x })
    }

    /// Keeps what a job made, where the meeting still asks for it.
    pub fn done(&mut self, made: Made) {
        let Made { job, code } = made;
        match job.of {
            Of::Epoch(number) => {
                let entry = self.epochs.get_mut(&number).filter(|entry| entry.x.as_slice() == job.x.as_slice());
                if let Some(entry) = entry {
                    entry.code = Some(Arc::new(code));
                }
            }
            Of::Person(identity) => {
                self.people.retain(|(one, _)| *one != identity);
                self.people.push_back((identity, Arc::new(code)));
                if self.people.len() > MAX_PEOPLE {
                    self.people.pop_front();
                }
            }
        }
    }

    fn forget(&mut self) {
        while let Some(oldest) = self.epochs.keys().copied().find(|number| Some(*number) != self.pinned) {
            let kept = self.epochs.len() - usize::from(self.pinned.is_some_and(|one| self.epochs.contains_key(&one)));
            if kept <= RECENT {
                return;
            }
            self.epochs.remove(&oldest);
        }
    }
}

/// `SHA-512(label ‖ u16 len ‖ named ‖ rest)`.
fn hashed(label: &[u8], named: &[u8], rest: &[&[u8]]) -> Secret {
    let mut context = Context::new(&SHA512);
    context.update(label);
    context.update(&(named.len() as u16).to_be_bytes());
    context.update(named);
    rest.iter().for_each(|part| context.update(part));
    Secret::copy_of(context.finish().as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The code of `authenticator`, the bytes of a roster and those of a policy, however little they are either.
    fn code(authenticator: &[u8], roster: &[u8], policy: &[u8]) -> String {
        let [roster, policy] = [roster, policy].map(|bytes| digest(&SHA256, bytes));
        let x = hashed(EPOCH, authenticator, &[roster.as_ref(), policy.as_ref()]);
        Job { of: Of::Epoch(0), x }.run().unwrap().code.to_string()
    }

    const ORACLE: &str = "29397 73930 94255 10078 86129 50610 16870 60518";

    #[test]
    fn the_code_is_that_of_the_independent_oracle() {
        assert_eq!(code(&[0; 32], b"roster", b"policy"), ORACLE);
        let Some(shared) = std::env::var_os("CONCLAVE_SHARED") else {
            return println!("skipped: CONCLAVE_SHARED names no folder with the vectors");
        };
        let path = std::path::Path::new(&shared).join("vectors/conclave/values.txt");
        let Ok(values) = std::fs::read_to_string(&path) else {
            return println!("skipped: no {}", path.display());
        };
        let line = values.lines().find_map(|line| line.strip_prefix("code "));
        assert_eq!(line, Some(ORACLE));
    }

    #[test]
    fn what_is_hashed_cannot_be_cut_elsewhere() {
        let one = hashed(EPOCH, b"ab", &[b"c"]);
        assert!(one.as_slice() != hashed(EPOCH, b"a", &[b"bc"]).as_slice());
        assert!(one.as_slice() != hashed(PERSON, b"ab", &[b"c"]).as_slice());
    }

    #[test]
    fn nothing_of_a_code_is_in_its_debug_form() {
        let made = Codes::new().job(Of::Person(IdentityKey([1; 32]))).unwrap().run().unwrap();
        assert_eq!(format!("{:?}", made.code), "Code");
    }
}
