//! Who went and may still decrypt what is sent: everybody who went is shown until every sender has moved to keys that it
//! does not have, as each proves by the epoch that its proofs are of.
//!
//! A sender moves with its next frame or within [`SWITCH_US`] of the commit. One that says nothing seals nothing. One
//! that the relay keeps in the old epoch goes on at most until it hears no heartbeat ([`STOP_US`]); its frames come under
//! keys that no longer open here, and by these it is found out.

use crate::data::Peer;
use crate::e2ee::Member;
use crate::e2ee::group::Gone;
use crate::e2ee::group::heartbeat::STOP_US;
use crate::e2ee::ring::OVERLAP_US;
use crate::party::SWITCH_US;
use crate::time::Time;

/// A sender whose last proof is older than this has stopped sending: proofs come every 200 ms while it does.
const QUIET_US: u64 = 1_000_000;

/// A sender that hears nothing of the group stops by then.
const BOUND_US: u64 = STOP_US + SWITCH_US;

/// Leavers that are kept at most: every leaf once.
const MAX: usize = crate::e2ee::keys::MAX_LEAVES as usize;

/// Somebody who went and may still decrypt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaver {
    /// Who.
    pub who: Member,
    /// How it went.
    pub how: Gone,
    /// When this participant knew.
    pub since: Time,
    /// When it is over at the latest, as far as this participant can tell.
    pub until: Time,
    /// The first epoch whose keys it does not have.
    epoch: u64,
    /// Who is known to seal under keys that it has, beyond the time by which all should have moved.
    held: Vec<Peer>,
    /// It was told that this goes on for too long.
    late: bool,
}

impl Leaver {
    fn hold(&mut self, sender: Peer) {
        self.until = self.since.plus(BOUND_US);
        if !self.held.contains(&sender) {
            self.held.push(sender);
        }
    }
}

/// All of them.
#[derive(Default)]
pub(crate) struct Leavers(Vec<Leaver>);

/// What is known of the senders.
pub(crate) struct Senders<'a> {
    /// The epoch that this participant seals under; none where it seals nothing.
    pub(crate) own: Option<u64>,
    /// Of each of the others that was heard: the newest epoch that it proved to seal under, and when its last proof came.
    pub(crate) others: &'a [(Peer, u64, Time)],
    /// Whether somebody is in the roster.
    pub(crate) there: &'a dyn Fn(&Peer) -> bool,
}

impl Leavers {
    /// Somebody went with the commit that led to `epoch`. Returns the time by which it is over.
    pub(crate) fn went(&mut self, who: Member, how: Gone, epoch: u64, now: Time) -> Time {
        let until = now.plus(OVERLAP_US);
        if self.0.len() >= MAX {
            self.0.remove(0);
        }
        self.0.push(Leaver { who, how, since: now, until, epoch, held: vec![], late: false });
        until
    }

    /// Frames of a sender came under keys of an epoch that is over.
    pub(crate) fn behind(&mut self, sender: Peer) {
        self.0.iter_mut().for_each(|leaver| leaver.hold(sender));
    }

    /// Those for whom it is over, each with how long it went on.
    pub(crate) fn settle(&mut self, senders: &Senders<'_>, now: Time) -> Vec<(Member, u64)> {
        let mut over = vec![];
        self.0.retain_mut(|leaver| {
            let epoch = leaver.epoch;
            let moved =
                |sender: &Peer| senders.others.iter().any(|(peer, proven, _)| peer == sender && *proven >= epoch);
            leaver.held.retain(|sender| (senders.there)(sender) && !moved(sender));
            let old =
                senders.others.iter().filter(|(_, proven, heard)| *proven < epoch && now.since(*heard) < QUIET_US);
            let behind: Vec<Peer> = old.map(|(peer, ..)| *peer).collect();
            // Who has said nothing may begin just now, in the epoch that it is about to leave.
            let soon = if matches!(leaver.how, Gone::Host(_)) { 0 } else { SWITCH_US };
            let own = senders.own.is_none_or(|own| own >= epoch);
            let all = own && behind.is_empty() && leaver.held.is_empty() && now >= leaver.since.plus(soon);
            // Before old epochs open no more: afterwards its proofs are not seen either.
            if now.plus(QUIET_US) >= leaver.until && now < leaver.since.plus(BOUND_US) {
                behind.into_iter().for_each(|sender| leaver.hold(sender));
            }
            let done = all || now >= leaver.until;
            if done {
                over.push((leaver.who.clone(), now.since(leaver.since)));
            }
            !done
        });
        over
    }

    /// Those for whom it has gone on for longer than `allowed_us`, each once.
    pub(crate) fn late(&mut self, allowed_us: u64, now: Time) -> Vec<(Member, u64)> {
        let late = self.0.iter_mut().filter(|leaver| !leaver.late && now.since(leaver.since) > allowed_us);
        late.map(|leaver| {
            leaver.late = true;
            (leaver.who.clone(), now.since(leaver.since))
        })
        .collect()
    }

    /// Those who may still decrypt.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Leaver> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::epochs::member;

    const SPEAKER: Peer = Peer { leaf: 4, joined: 1 };

    fn over(leavers: &mut Leavers, own: u64, others: &[(Peer, u64, Time)], ms: u64) -> Option<u64> {
        let over =
            leavers.settle(&Senders { own: Some(own), others, there: &|_| !others.is_empty() }, Time::from_ms(ms));
        over.first().map(|(_, window)| window / 1000)
    }

    #[test]
    fn it_is_over_once_every_sender_has_moved_and_at_the_bound_in_any_case() {
        let at = Time::from_ms;
        let gone = |how| {
            let mut leavers = Leavers::default();
            leavers.went(member(2), how, 8, at(10_000));
            leavers
        };
        let mut leavers = gone(Gone::Left);
        let old = [(SPEAKER, 7, at(10_200))];
        assert_eq!(over(&mut leavers, 7, &[], 10_400), None, "this participant has not moved");
        assert_eq!(over(&mut leavers, 8, &old, 10_400), None, "a speaker has not");
        assert_eq!(over(&mut leavers, 8, &[(SPEAKER, 8, at(10_450))], 10_500), Some(500));
        let silent = [(SPEAKER, 7, at(2_000))];
        assert_eq!(over(&mut gone(Gone::Left), 8, &silent, 10_100), None);
        assert_eq!(over(&mut gone(Gone::Left), 8, &silent, 10_250), Some(250), "who says nothing seals nothing");
        assert_eq!(over(&mut gone(Gone::Host(0)), 8, &silent, 10_010), Some(10));
        let mut leavers = gone(Gone::Left);
        assert_eq!((over(&mut leavers, 7, &[], 13_999), over(&mut leavers, 7, &[], 14_000)), (None, Some(4_000)));
    }

    #[test]
    fn a_sender_that_is_kept_in_the_old_epoch_keeps_the_leaver_on_the_list_until_it_moves_or_must_have_stopped() {
        let at = Time::from_ms;
        let gone = || {
            let mut leavers = Leavers::default();
            leavers.went(member(2), Gone::Host(0), 8, at(10_000));
            leavers
        };
        let late = [(SPEAKER, 7, at(13_900))];
        let mut leavers = gone();
        assert_eq!(over(&mut leavers, 8, &late, 14_000), None);
        assert_eq!(leavers.late(2_000_000, at(14_000)).len(), 1);
        assert!(leavers.late(2_000_000, at(15_000)).is_empty(), "told once");
        assert_eq!(
            over(&mut leavers, 8, &late, 40_249),
            None,
            "its frames no longer open, and it is not known to stop"
        );
        assert_eq!(over(&mut leavers, 8, &late, 40_250), Some(30_250));
        let mut leavers = gone();
        leavers.behind(SPEAKER);
        assert_eq!(over(&mut leavers, 8, &late, 20_000), None);
        assert_eq!(over(&mut leavers, 8, &[(SPEAKER, 8, at(20_500))], 20_500), Some(10_500));
        let mut leavers = gone();
        leavers.behind(SPEAKER);
        assert_eq!(over(&mut leavers, 8, &[], 20_000), Some(10_000), "it is gone too");
    }
}
