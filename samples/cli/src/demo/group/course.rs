//! What happens to the group in the course of the meeting, and what it costs: a guest joins, the keys are renewed, the
//! guest leaves, each at its quarter of the meeting and once the one before it has taken effect.

use serde::Serialize;

use conclave::e2ee::group::GroupSuite;
use conclave::rehearsal::Rehearsal;
use conclave::time::Time;

use super::guest::{Guest, Heard};
use super::trust::Trust;
use super::{Assembly, GUEST, Note, RECEIVER, SENDER, What};
use crate::demo::Args;
use crate::demo::watch::Watch;

/// Length that is assumed where the input does not say its own, in microseconds.
const ASSUMED_US: u64 = 5_000_000;

/// What happens, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Act {
    Join,
    Rekey,
    Leave,
}

impl Act {
    const ALL: [Act; 3] = [Act::Join, Act::Rekey, Act::Leave];

    pub const fn name(self) -> &'static str {
        match self {
            Act::Join => "join",
            Act::Rekey => "rekey",
            Act::Leave => "leave",
        }
    }
}

/// One change of the group: bytes on the wire, virtual time, processor time.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    pub act: Act,
    /// When it was wished for.
    pub wished: Time,
    /// The epoch that it led to.
    pub epoch: Option<u64>,
    /// Members from then on.
    pub members: usize,
    /// Bytes of the key package of who comes or the proposal of who goes.
    pub wish_bytes: usize,
    pub commit_bytes: usize,
    pub welcome_bytes: usize,
    /// From the wish to the first frame sealed under the new epoch.
    pub sealed_us: Option<u64>,
    /// From the wish to the first picture that the receiver opened under it.
    pub opened_us: Option<u64>,
    /// Processor time of making the commit.
    pub build_us: u64,
    /// Of the committer's own way into the epoch, keys included.
    pub merge_us: u64,
    /// Of the receiver's.
    pub process_us: u64,
    /// Of the joiner's.
    pub welcome_us: u64,
    /// Key frames forced by the new keys.
    pub key_frames: u64,
    /// Frames of the receiver that waited for a key.
    pub held: u64,
    /// Frames of the receiver for which no key came.
    pub lost: u64,
    /// Pictures of the half second before the new keys and after that were never shown, whether by their doing or not.
    pub missing: u64,
}

/// The group of the meeting and what happens to it.
pub struct Course {
    assembly: Assembly,
    args: Args,
    length_us: u64,
    guest: Option<Guest>,
    changes: Vec<Change>,
    /// Counts of the receiver when the last change began.
    before: (u64, u64),
    /// When the guest was told that it is in.
    welcomed: Option<Time>,
    /// What the guest had refused when the sender went over to keys that it does not have.
    refused: Option<u64>,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Findings {
    pub suite: &'static str,
    /// Members at most.
    pub members: usize,
    /// Epochs that frames were sealed under.
    pub epochs: usize,
    pub changes: Vec<Change>,
    /// What did not fit into the meeting.
    pub left_out: Vec<Act>,
    /// Messages of the members to the relay during the meeting, and their bytes.
    pub control_messages: u64,
    pub control_bytes: u64,
    pub guest: Option<GuestFindings>,
    pub proofs: Proofs,
    pub trust: Trust,
}

/// What came of the guest.
#[derive(Clone, Debug, Serialize)]
pub struct GuestFindings {
    /// From its wish to its first picture.
    pub first_picture_us: Option<u64>,
    /// Of that, from its welcome on.
    pub after_welcome_us: Option<u64>,
    /// Pictures that it opened.
    pub pictures: u64,
    /// Frames that it could not open after it had left.
    pub refused_after_leave: u64,
    /// Pictures that it opened of those sealed after it had left: none, or the group is broken.
    pub opened_after_leave: u64,
}

/// Who sent what, as the receiver found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Proofs {
    pub sent: u64,
    pub verified: u64,
    /// On the wire, second copies included.
    pub bytes: u64,
    /// Of everything on the wire.
    pub percent: f64,
    /// Frames proven to be the sender's.
    pub proven: u64,
    pub unproven: u64,
    pub forged: u64,
}

impl Course {
    /// Of a meeting of `length_us` microseconds, where that is known.
    pub fn new(assembly: Assembly, args: &Args, length_us: Option<u64>) -> Self {
        Self {
            assembly,
            args: args.clone(),
            length_us: length_us.unwrap_or(ASSUMED_US),
            guest: None,
            changes: Vec::new(),
            before: (0, 0),
            welcomed: None,
            refused: None,
        }
    }

    /// Moves group and guest on to `now`, the meeting being there already. Nothing begins once it has ended.
    pub fn step(&mut self, now: Time, meeting: &mut Rehearsal, watch: &mut Watch, goes_on: bool) -> anyhow::Result<()> {
        self.assembly.to(now)?;
        while let Some(note) = self.assembly.notes.pop_front() {
            self.note(note, now);
        }
        if let Some(guest) = &mut self.guest {
            guest.step(watch.copies.drain(..), &mut meeting.cast_mut().sender, now);
            watch.copied = self.welcomed.is_some();
        }
        if let Some(change) = self.changes.last_mut() {
            let under = change.epoch.and_then(|epoch| watch.epochs.get(&epoch));
            if let Some(under) = under {
                change.sealed_us = Some(under.sealed.since(change.wished));
                change.opened_us = under.opened.map(|at| at.since(change.wished));
                change.key_frames = under.key_frames;
                if change.act == Act::Leave {
                    self.refused = self.refused.or_else(|| self.guest.as_ref().map(|guest| guest.heard().refused));
                }
            }
        }
        let settled = self.changes.last().is_none_or(|change| change.sealed_us.is_some() && change.opened_us.is_some());
        let next = Act::ALL.get(self.changes.len()).filter(|_| goes_on && settled);
        if let Some(act) = next.filter(|_| now.0 >= self.length_us * (self.changes.len() as u64 + 1) / 4) {
            self.begin(*act, now, meeting)?;
        }
        Ok(())
    }

    fn begin(&mut self, act: Act, now: Time, meeting: &Rehearsal) -> anyhow::Result<()> {
        self.close(meeting);
        self.changes.push(Change {
            act,
            wished: now,
            epoch: None,
            members: 0,
            wish_bytes: 0,
            commit_bytes: 0,
            welcome_bytes: 0,
            sealed_us: None,
            opened_us: None,
            build_us: 0,
            merge_us: 0,
            process_us: 0,
            welcome_us: 0,
            key_frames: 0,
            held: 0,
            lost: 0,
            missing: 0,
        });
        match act {
            Act::Join => self.guest = Some(Guest::new(&self.args, self.assembly.knock("guest")?)),
            Act::Rekey => self.assembly.renew()?,
            Act::Leave => self.assembly.leave()?,
        }
        Ok(())
    }

    /// Frames that waited or found no key until now are the last change's.
    fn close(&mut self, meeting: &Rehearsal) {
        let open = meeting.cast().receiver.snapshot().open;
        let counts = (open.held, open.missing_key + open.waiting);
        if let Some(change) = self.changes.last_mut() {
            (change.held, change.lost) = (counts.0 - self.before.0, counts.1.saturating_sub(self.before.1));
        }
        self.before = counts;
    }

    fn note(&mut self, note: Note, now: Time) {
        let Some(change) = self.changes.last_mut() else { return };
        match note {
            Note::Sent { what: What::KeyPackage, bytes, .. } => change.wish_bytes = bytes,
            Note::Sent { seat: GUEST, what: What::Handshake, bytes, .. } => change.wish_bytes = bytes,
            Note::Sent { seat: SENDER, what: What::Handshake, bytes, cpu_us } if change.epoch.is_none() => {
                (change.commit_bytes, change.build_us) = (bytes, cpu_us);
            }
            Note::Sent { what: What::Welcome, bytes, .. } => change.welcome_bytes = bytes,
            Note::Sent { .. } => {}
            Note::Epoch { seat: SENDER, epoch, members, cpu_us } if change.epoch.is_none() => {
                (change.epoch, change.members, change.merge_us) = (Some(epoch), members, cpu_us);
            }
            Note::Epoch { seat: RECEIVER, epoch, cpu_us, .. } if change.process_us == 0 => {
                // It may have the epoch before the committer: their ways to the relay are of one length.
                if change.epoch.is_none_or(|of| of == epoch) {
                    change.process_us = cpu_us;
                }
            }
            Note::Epoch { seat: GUEST, cpu_us, .. } if self.welcomed.is_none() => {
                change.welcome_us = cpu_us;
                self.welcomed = Some(now);
            }
            Note::Epoch { .. } => {}
        }
    }

    /// What came of it, at the end of `meeting`.
    pub fn end(mut self, meeting: &Rehearsal, watch: &Watch) -> anyhow::Result<Findings> {
        self.close(meeting);
        for change in &mut self.changes {
            let sealed = change.sealed_us.map(|us| change.wished.plus(us));
            change.missing = sealed.map_or(0, |at| watch.missing_around(at));
        }
        let (sender, receiver) = (&meeting.cast().sender, &meeting.cast().receiver);
        let done = |change: &&Change| change.sealed_us.is_some();
        let left_out = Act::ALL.into_iter().filter(|act| !self.changes.iter().filter(done).any(|c| c.act == *act));
        let left_out = left_out.collect();
        let mut proofs = Proofs {
            sent: sender.stats().proofs,
            bytes: watch.proof_bytes,
            percent: watch.proof_bytes as f64 * 100.0 / watch.wire_bytes.max(1) as f64,
            ..Proofs::default()
        };
        for stats in receiver.proof_stats() {
            proofs.verified += stats.proofs;
            proofs.proven += stats.proven + stats.shown_proven;
            proofs.unproven += stats.unproven + stats.expired;
            proofs.forged += stats.forged;
        }
        let changed = |act| self.changes.iter().find(|change: &&Change| change.act == act);
        let guest = self.guest.as_ref().zip(changed(Act::Join)).map(|(guest, join)| {
            let Heard { first, opened, refused } = guest.heard();
            let left = changed(Act::Leave).and_then(|leave| leave.epoch);
            let after = |of: u8| left.is_some_and(|left| of.wrapping_sub(left as u8) < 128);
            GuestFindings {
                first_picture_us: first.map(|at| at.since(join.wished)),
                after_welcome_us: first.zip(self.welcomed).map(|(at, welcomed)| at.since(welcomed)),
                pictures: opened.values().sum(),
                refused_after_leave: self.refused.map_or(0, |before| refused - before),
                opened_after_leave: opened.iter().filter(|(of, _)| after(**of)).map(|(_, count)| count).sum(),
            }
        });
        Ok(Findings {
            suite: suite(self.args.suite),
            trust: self.assembly.trust(sender)?,
            members: self.changes.iter().map(|change| change.members).fold(2, usize::max),
            epochs: watch.epochs.len(),
            left_out,
            control_messages: self.assembly.messages,
            control_bytes: self.assembly.bytes,
            guest,
            proofs,
            changes: self.changes,
        })
    }
}

impl Findings {
    /// All but the changes, for people: name and value.
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        let proofs = &self.proofs;
        let mut all = vec![
            ("suite", self.suite.to_string()),
            ("members", format!("{} at most", self.members)),
            ("epochs", self.epochs.to_string()),
            ("control", format!("{} messages to the relay, {} bytes", self.control_messages, self.control_bytes)),
            (
                "proofs",
                format!(
                    "{} sent, {} verified; {} bytes, {:.1} % of the stream",
                    proofs.sent, proofs.verified, proofs.bytes, proofs.percent
                ),
            ),
            ("frames", format!("{} proven, {} unproven, {} forged", proofs.proven, proofs.unproven, proofs.forged)),
        ];
        if let Some(guest) = &self.guest {
            let first = guest.first_picture_us.zip(guest.after_welcome_us).map(|(wish, welcome)| {
                format!("{} ms after its wish, {} ms after its welcome", wish / 1000, welcome / 1000)
            });
            all.push(("guest's first picture", first.unwrap_or_else(|| "none: the meeting ended before it".into())));
            let after = match self.left_out.contains(&Act::Leave) {
                true => String::new(),
                false => format!(
                    ", {} of those sealed after it left ({} frames refused)",
                    if guest.opened_after_leave == 0 { "none".into() } else { guest.opened_after_leave.to_string() },
                    guest.refused_after_leave
                ),
            };
            all.push(("guest's pictures", format!("{} opened{after}", guest.pictures)));
        }
        if !self.left_out.is_empty() {
            let names: Vec<_> = self.left_out.iter().map(|act| act.name()).collect();
            all.push(("left out", format!("{}: the meeting is too short for it", names.join(", "))));
        }
        all
    }
}

/// A suite in words.
fn suite(suite: GroupSuite) -> &'static str {
    match suite {
        GroupSuite::Hybrid => "hybrid: ML-KEM-768 with X25519, AES-256-GCM, Ed25519",
        GroupSuite::Classical => "classical: X25519, AES-128-GCM, Ed25519",
    }
}
