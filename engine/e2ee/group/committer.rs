//! Who makes the commits that somebody has to make: the lowest leaf of a host, else of a co-host, else of anybody,
//! among those who are heard. Each member has its own view of that, and no rule depends on it.

use std::collections::{BTreeMap, BTreeSet};

use crate::e2ee::{Role, Roster};
use crate::time::Time;

/// Microseconds of silence after which another takes over.
pub const SILENT_US: u64 = 5_000_000;

/// Members after the first in line whose heartbeats together stand in for the first one's.
pub const WITNESSES: usize = 16;

fn rank(role: Role) -> u8 {
    match role {
        Role::Host => 0,
        Role::CoHost => 1,
        Role::Participant | Role::Recorder => 2,
    }
}

/// Whose word alone says that this is the group's epoch: the host on the lowest leaf. All members agree on it.
pub(crate) fn first(roster: &Roster) -> Option<u16> {
    roster.iter().find(|member| member.role == Role::Host).map(|member| member.leaf)
}

/// Who stands in for [`first`], more than half of them together: the next in line. All members agree on them.
pub(crate) fn witnesses(roster: &Roster) -> Vec<u16> {
    let first = first(roster);
    let others = roster.iter().filter(|member| Some(member.leaf) != first);
    let mut line: Vec<_> = others.map(|member| (rank(member.role), member.leaf)).collect();
    line.sort_unstable();
    line.into_iter().take(WITNESSES).map(|(_, leaf)| leaf).collect()
}

/// Who was heard, and who should be.
#[derive(Debug, Default)]
pub(crate) struct Committers {
    heard: BTreeMap<u16, Time>,
    silent: BTreeSet<u16>,
    /// Who cannot commit in this epoch: it resumed in it, or is about to go.
    unable: BTreeSet<u16>,
    /// Whose turn it is, and since when.
    turn: Option<(u16, Time)>,
}

impl Committers {
    /// `leaf` did what only somebody online does.
    pub(crate) fn heard(&mut self, leaf: u16, now: Time) {
        self.heard.insert(leaf, now);
        self.silent.remove(&leaf);
    }

    /// `leaf` will not commit in this epoch.
    pub(crate) fn unable(&mut self, leaf: u16) {
        self.unable.insert(leaf);
    }

    /// A new epoch, in which `removed` leaves are empty or another's.
    pub(crate) fn epoch(&mut self, removed: impl Iterator<Item = u16>) {
        self.unable.clear();
        for leaf in removed {
            self.heard.remove(&leaf);
            self.silent.remove(&leaf);
        }
    }

    /// Whose turn it is; the second says that it is a take-over.
    pub(crate) fn designated(&mut self, roster: &Roster, own: u16, now: Time) -> (Option<u16>, bool) {
        let mut took_over = false;
        loop {
            let able = |leaf: &u16| !self.unable.contains(leaf) && (*leaf == own || !self.silent.contains(leaf));
            let candidates = roster.iter().map(|member| (rank(member.role), member.leaf));
            let Some((_, leaf)) = candidates.filter(|(_, leaf)| able(leaf)).min() else { return (None, took_over) };
            let since = match self.turn {
                Some((turn, since)) if turn == leaf => since,
                _ => now,
            };
            self.turn = Some((leaf, since));
            let heard = self.heard.get(&leaf).copied().unwrap_or_default().max(since);
            if leaf == own || now.since(heard) <= SILENT_US {
                return (Some(leaf), took_over);
            }
            self.silent.insert(leaf);
            took_over = true;
        }
    }

    /// Whose turn it was when last asked.
    pub(crate) fn turn(&self) -> Option<u16> {
        self.turn.map(|(leaf, _)| leaf)
    }

    /// When the one whose turn it is will have been silent for too long.
    pub(crate) fn next_at(&self, own: u16) -> Option<Time> {
        let (leaf, since) = self.turn.filter(|(leaf, _)| *leaf != own)?;
        Some(self.heard.get(&leaf).copied().unwrap_or_default().max(since).plus(SILENT_US + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::e2ee::{IdentityKey, MediaKey, Member};

    #[test]
    fn the_turn_goes_by_role_and_leaf_and_passes_on_in_silence() {
        let roles = [Role::Participant, Role::CoHost, Role::Host, Role::Host];
        let member = |(leaf, role): (usize, &Role)| Member {
            leaf: leaf as u16,
            joined: 0,
            identity: IdentityKey([leaf as u8; 32]),
            media: MediaKey([0; 32]),
            name: String::new(),
            role: *role,
        };
        let roster = Roster::new(roles.iter().enumerate().map(member).collect());
        let mut committers = Committers::default();
        let at = |s: u64| Time::from_ms(s * 1000);
        assert_eq!((first(&roster), witnesses(&roster)), (Some(2), vec![3, 1, 0]));
        assert_eq!(committers.designated(&roster, 0, at(0)), (Some(2), false));
        assert_eq!(committers.designated(&roster, 0, at(5)), (Some(2), false));
        assert_eq!(committers.designated(&roster, 0, at(6)), (Some(3), true));
        assert_eq!(committers.designated(&roster, 0, at(12)), (Some(1), true));
        assert_eq!(committers.designated(&roster, 0, at(18)), (Some(0), true));
        committers.heard(2, at(19));
        assert_eq!(committers.designated(&roster, 0, at(19)), (Some(2), false));
        committers.unable(2);
        assert_eq!(committers.designated(&roster, 0, at(19)), (Some(0), false));
    }
}
