//! What the user has verified, and whether it still holds (E2EE.md §7).
//!
//! Comparing a code verifies the identity keys that its epoch has. The meeting stays verified while only these people are
//! in it:
//!
//! | what happens | then |
//! |---|---|
//! | a new epoch with the same people; another host, signed by the host before | stays |
//! | a new epoch with the same people, by the service whose keys the meeting has | stays |
//! | somebody left, signed; the host removed somebody | stays |
//! | somebody comes back with its key | stays, or is so again |
//! | somebody comes | "1 person joined since you verified", until that person's own code was compared, or it goes |
//! | the service removed somebody | "verify again", until that person is back or a code is compared |
//! | whoever made the keys fell silent and another took over | "verify again" |
//! | this device was away, and somebody is gone when it is back | "verify again", as it did not see how |
//! | an account comes with another key than it had, in this meeting or an earlier one | mismatch, until accepted |
//! | the user says that the codes differ | mismatch, and nothing of this meeting is remembered |
//!
//! A code that was read aloud may be of an earlier epoch: it verifies who was in that one, and what happened since is
//! weighed as if it had been compared then. Guests have no account, so they are newcomers in every meeting and never a
//! mismatch. What an identity provider says verifies nobody.

mod state;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::identity::{Attested, Known, Level, Pin};
use crate::e2ee::group::Gone;
use crate::e2ee::{IdentityKey, Member, Roster};

pub use self::state::{Again, State, View};

/// A new epoch, as [`crate::e2ee::group::Event::Changed`] tells it.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// Its number.
    pub epoch: u64,
    /// Who made it, by leaf in the epoch before; nobody where the service of the meeting did.
    pub committer: Option<u16>,
    /// Who came.
    pub came: &'a [Member],
    /// Who went, and how.
    pub gone: &'a [(Member, Gone)],
    /// Who is in it.
    pub roster: &'a Roster,
}

/// The epoch of a compared code is none that can be weighed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("epoch {0} began before this device came, or too long ago: compare a new code")]
pub struct NotSeen(pub u64);

/// The memory of one meeting.
pub struct Memory {
    own: IdentityKey,
    known: Known,
    /// Keys that were known when the meeting began.
    before: BTreeSet<IdentityKey>,
    epoch: u64,
    roster: Roster,
    attested: BTreeMap<IdentityKey, Attested>,
    mismatched: BTreeSet<IdentityKey>,
    /// Whose keys were compared in this meeting, in a code of everybody or alone, whether they are here or not.
    verified: BTreeSet<IdentityKey>,
    again: Vec<Again>,
    differ: bool,
    /// How the last epochs came about, without a gap up to this one.
    steps: VecDeque<Step>,
}

/// What led to one epoch, and happened in it.
#[derive(Default)]
struct Step {
    came: Vec<IdentityKey>,
    gone: Vec<(IdentityKey, Gone)>,
    /// Somebody took over making keys.
    took_over: bool,
}

/// Epochs of which a code can still be said to match. At two commits a second, eight minutes of reading aloud.
pub const MAX_STEPS: usize = 1024;

/// People of whom something is remembered; above it, only of those present.
const MAX_REMEMBERED: usize = 8192;

impl Memory {
    /// Of a meeting that `own` goes into, with whom it knows from others.
    pub fn new(own: IdentityKey, known: Known) -> Self {
        let before = known.iter().flat_map(|contact| &contact.keys).map(|key| key.identity).collect();
        Self {
            own,
            known,
            before,
            epoch: 0,
            roster: Roster::default(),
            attested: BTreeMap::new(),
            mismatched: BTreeSet::new(),
            verified: BTreeSet::new(),
            again: vec![],
            differ: false,
            steps: VecDeque::new(),
        }
    }

    /// This device is in, for the first time or again: it has not seen how it came to this epoch.
    pub fn joined(&mut self, epoch: u64, roster: &Roster) {
        let former = std::mem::replace(&mut self.roster, roster.clone());
        for Member { identity, .. } in &former {
            if roster.find(identity).is_none() && self.verified.contains(identity) {
                self.doubt(Again::Away(*identity));
            }
        }
        roster.iter().for_each(|member| back(&mut self.again, &member.identity));
        self.epoch = epoch;
        self.steps = VecDeque::from([Step::default()]);
    }

    /// A new epoch, which this device saw begin.
    pub fn changed(&mut self, change: &Change<'_>) {
        if self.steps.is_empty() || Some(change.epoch) != self.epoch.checked_add(1) {
            return self.joined(change.epoch, change.roster);
        }
        let step = Step {
            came: change.came.iter().map(|member| member.identity).collect(),
            gone: change.gone.iter().map(|(member, how)| (member.identity, *how)).collect(),
            took_over: self.is_taken_over(change),
        };
        self.weigh(&step);
        self.steps.push_back(step);
        if self.steps.len() > MAX_STEPS {
            self.steps.pop_front();
        }
        (self.epoch, self.roster) = (change.epoch, change.roster.clone());
        if self.verified.len().max(self.attested.len()).max(self.mismatched.len()) > MAX_REMEMBERED {
            let is_here = |identity: &IdentityKey| change.roster.find(identity).is_some();
            self.verified.retain(is_here);
            self.mismatched.retain(is_here);
            self.attested.retain(|identity, _| is_here(identity));
        }
    }

    /// Another member makes the keys, as the one before was silent ([`crate::e2ee::group::Event::Committer`]).
    pub fn took_over(&mut self) {
        if let Some(step) = self.steps.back_mut() {
            step.took_over = true;
        }
        if !self.verified.is_empty() {
            self.doubt(Again::TookOver);
        }
    }

    /// The user says that the code of `epoch` matches.
    ///
    /// # Errors
    /// [`NotSeen`].
    pub fn matches(&mut self, epoch: u64, unix_s: u64) -> Result<(), NotSeen> {
        let since = self.epoch.checked_sub(epoch).and_then(|since| usize::try_from(since).ok());
        let since = since.filter(|since| *since < self.steps.len()).ok_or(NotSeen(epoch))?;
        // Backwards from who is here to who was in that epoch; what came since is weighed anew.
        let mut people: BTreeSet<_> = self.roster.iter().map(|member| member.identity).collect();
        let after = self.steps.split_off(self.steps.len() - since);
        for step in after.iter().rev() {
            people.retain(|identity| !step.came.contains(identity));
            people.extend(step.gone.iter().map(|(identity, _)| *identity));
        }
        self.differ = false;
        self.again.clear();
        people.remove(&self.own);
        people.iter().filter(|one| !self.mismatched.contains(one)).for_each(|one| self.known.verify(one, unix_s));
        self.verified.extend(people);
        // Who made the keys changed in that epoch, after its code was made, and it made others since.
        if since > 0 && self.steps.back().is_some_and(|step| step.took_over) {
            self.doubt(Again::TookOver);
        }
        after.iter().for_each(|step| self.weigh(step));
        self.steps.extend(after);
        Ok(())
    }

    /// The user says that the codes differ.
    pub fn differs(&mut self) {
        self.differ = true;
        self.verified.clear();
        self.again.clear();
        // Whoever stands in between was there when these keys were first seen.
        self.known.retain(|identity| self.before.contains(identity));
    }

    /// The user has compared this person's own code. A mismatch stays until it is accepted as well.
    pub fn matches_person(&mut self, identity: &IdentityKey, unix_s: u64) {
        if self.roster.find(identity).is_none() {
            return;
        }
        self.verified.insert(*identity);
        if !self.mismatched.contains(identity) {
            self.known.verify(identity, unix_s);
        }
    }

    /// The user has compared the own code of a person whose account had another key, and takes the new one for it too.
    pub fn accept(&mut self, identity: &IdentityKey, unix_s: u64) {
        if let Some(attested) = self.attested.get(identity).filter(|_| self.mismatched.remove(identity)) {
            self.known.accept(identity, attested, unix_s);
            self.verified.insert(*identity);
        }
    }

    /// An attestor has checked who a member is. Of several accounts the one of the highest level is shown; all are
    /// pinned.
    pub fn attested(&mut self, identity: &IdentityKey, attested: Attested, unix_s: u64) {
        if self.roster.find(identity).is_none() || *identity == self.own || attested.level == Level::Guest {
            return;
        }
        // Whoever stands in between says who it is as well: nothing is learned where the codes differ.
        let pin = match self.differ {
            true => self.known.look(identity, &attested),
            false => self.known.see(identity, &attested, unix_s),
        };
        match pin {
            // It was verified before it said who it is.
            Pin::First if self.verified.contains(identity) => self.known.verify(identity, unix_s),
            Pin::First | Pin::Same => {}
            Pin::OtherKey | Pin::OtherPerson => {
                self.mismatched.insert(*identity);
                self.attested.insert(*identity, attested);
                return;
            }
        }
        let shown = self.attested.get(identity);
        if !self.mismatched.contains(identity) && shown.is_none_or(|shown| shown.level <= attested.level) {
            self.attested.insert(*identity, attested);
        }
    }

    /// What is attested of a member.
    pub fn account(&self, identity: &IdentityKey) -> Option<&Attested> {
        self.attested.get(identity)
    }

    /// How much is known of who a member is.
    pub fn level(&self, identity: &IdentityKey) -> Level {
        self.account(identity).map_or(Level::Guest, |attested| attested.level)
    }

    /// The state of one person.
    pub fn person(&self, identity: &IdentityKey) -> State {
        if self.mismatched.contains(identity) {
            State::Mismatch
        } else if *identity == self.own || self.verified.contains(identity) {
            State::Verified
        } else if self.before.contains(identity) {
            State::KnownBefore
        } else {
            State::Unverified
        }
    }

    /// The state of the meeting.
    pub fn state(&self) -> State {
        self.view().state
    }

    /// The same, with what it comes from.
    pub fn view(&self) -> View {
        let others = || self.roster.iter().map(|member| member.identity).filter(|identity| *identity != self.own);
        let in_state = |state| others().filter(|one| self.person(one) == state).collect::<Vec<_>>();
        let compared = !self.verified.is_empty();
        let mismatched = in_state(State::Mismatch);
        let weakest = others().map(|identity| self.person(&identity)).min();
        let state = match weakest {
            _ if self.differ => State::Mismatch,
            Some(State::Mismatch) => State::Mismatch,
            _ if !self.again.is_empty() => State::Unverified,
            Some(weakest) => weakest,
            None if compared => State::Verified,
            None => State::Unverified,
        };
        let joined = others().filter(|one| compared && !self.verified.contains(one)).collect();
        let (alone, differ, again) = (weakest.is_none(), self.differ, self.again.clone());
        View { state, alone, compared, differ, mismatched, joined, again }
    }

    /// Whom this device knows now, to be stored.
    pub fn contacts(&self) -> &Known {
        &self.known
    }

    /// An ordinary member made the epoch though somebody who rules was there and had not left of its own accord.
    fn is_taken_over(&self, change: &Change<'_>) -> bool {
        // What no member made, the service of the meeting made, as it did all before.
        let Some(committer) = change.committer else { return false };
        let left = |leaf: u16| change.gone.iter().any(|(member, how)| member.leaf == leaf && *how == Gone::Left);
        match self.roster.get(committer) {
            Some(committer) if committer.role.rules() => false,
            Some(_) => self.roster.iter().any(|member| member.role.rules() && !left(member.leaf)),
            None => true,
        }
    }

    fn weigh(&mut self, step: &Step) {
        for (identity, how) in &step.gone {
            if *how == Gone::Relay && self.verified.contains(identity) {
                self.doubt(Again::Removed(*identity));
            }
        }
        step.came.iter().for_each(|identity| back(&mut self.again, identity));
        if step.took_over && !self.verified.is_empty() {
            self.doubt(Again::TookOver);
        }
    }

    fn doubt(&mut self, again: Again) {
        if !self.again.contains(&again) {
            self.again.push(again);
        }
    }
}

/// Who is back with its key is no longer missed.
fn back(again: &mut Vec<Again>, who: &IdentityKey) {
    again.retain(|one| !matches!(one, Again::Removed(identity) | Again::Away(identity) if identity == who));
}
