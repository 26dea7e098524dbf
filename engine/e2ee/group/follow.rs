//! Following the others: what a member makes of each message, and how it gets into the next epoch.

use std::collections::BTreeSet;

use openmls::prelude::{
    ContentType, OpenMlsProvider, ProcessedMessageContent, ProtocolMessage, QueuedProposal, Sender,
};

use zeroize::Zeroizing;

use super::commit::{judge_staged, proposed};
use super::event::{Event, Gone, Left, Output, Request};
use super::heartbeat::{Beat, BeatError, MAX_AGE_US, began_earlier};
use super::node_keys::NodeKeys;
use super::rules::{Act, Change, Illegal, Verdict, Who};
use super::wire::sha256;
use super::{
    Group, MAX_PROPOSALS, MAX_RELAY_PROPOSALS, WORD_BEAT, WORD_RENEW, WORD_TOLD, WORD_UPDATES, committer, parse, stack,
    updates,
};
use crate::e2ee::{Member, Roster};
use crate::time::Time;

impl Group {
    pub(super) fn ordered(&mut self, order: u64, body: &[u8], handshake: bool, now: Time) {
        if let Some(expected) = self.order.map(|last| last.wrapping_add(1)).filter(|expected| *expected != order) {
            self.event(Event::Order { expected, got: order });
        }
        self.order = Some(order);
        if self.pending.as_ref().is_some_and(|pending| pending.body == body) {
            self.won(now);
            return stack::wipe();
        }
        if self.beat.as_deref() == Some(body) {
            self.beat = None;
            return self.hear(self.own, now);
        }
        if let Some(at) = self.words.iter().position(|(sent, _)| sent == body)
            && let Some((_, body)) = self.words.remove(at)
        {
            return self.event(Event::Told { leaf: self.own, body });
        }
        let Some(message) = parse(body) else { return self.unreadable(now) };
        let epoch = message.epoch().as_u64();
        if message.group_id().as_slice() != self.config.group || message.is_handshake_message() != handshake {
            self.unreadable(now);
        } else if epoch < self.state.epoch {
            self.stats.stale += 1;
        } else if epoch > self.state.epoch {
            self.stats.unreadable += 1;
            self.ahead.get_or_insert(now);
        } else {
            self.process(message, now);
            stack::wipe();
        }
    }

    pub(super) fn process(&mut self, message: ProtocolMessage, now: Time) {
        let commit = message.content_type() == ContentType::Commit;
        let Ok(processed) = self.mls.process_message(&self.provider, message) else {
            self.unreadable(now);
            // Others may have been able to follow it: the next message of a later epoch tells.
            if commit {
                tracing::warn!("a commit could not be processed");
            }
            return;
        };
        let sender = processed.sender().clone();
        let leaf = match sender {
            Sender::Member(leaf) => u16::try_from(leaf.u32()).ok(),
            _ => None,
        };
        match processed.into_content() {
            ProcessedMessageContent::ApplicationMessage(word) => {
                if let Some(leaf) = leaf {
                    self.word(leaf, &Zeroizing::new(word.into_bytes()), now);
                }
            }
            ProcessedMessageContent::ProposalMessage(proposal) => self.proposal(leaf, *proposal, now),
            ProcessedMessageContent::ExternalJoinProposalMessage(_) => self.refuse(None, Illegal::External),
            ProcessedMessageContent::StagedCommitMessage(staged) => {
                let Some(leaf) = leaf else { return self.refuse(None, Illegal::External) };
                let keys = self.keys.get_or_insert_with(|| NodeKeys::of(&self.mls));
                match judge_staged(&self.state, leaf.into(), &staged, self.mls.extensions(), keys) {
                    Err(why) => self.refuse(Some(leaf), why),
                    Ok(verdict) => {
                        let updated: BTreeSet<u16> = updates(staged.queued_proposals()).collect();
                        let removed = staged.self_removed();
                        self.lose();
                        staged.add_proposals().for_each(|add| self.used.add(add.add_proposal().key_package()));
                        if self.mls.merge_staged_commit(&self.provider, *staged).is_err() {
                            return self.go(Left::Broken);
                        }
                        if removed {
                            let why = if self.proposed_leave { Left::Asked } else { Left::Removed };
                            return self.go(why);
                        }
                        self.committers.heard(leaf, now);
                        self.enter(leaf, verdict, updated, now);
                    }
                }
            }
            ProcessedMessageContent::UnresolvedAppDataCommit(_) => {
                let (author, committer) = (Who::Ordinary, Who::Ordinary);
                self.refuse(leaf, Illegal::NotAllowed { act: Act::Other, author, committer });
            }
            // This member's own, come back.
            _ => {}
        }
    }

    pub(super) fn proposal(&mut self, leaf: Option<u16>, proposal: QueuedProposal, now: Time) {
        let from = |kept: &&QueuedProposal| *kept.sender() == *proposal.sender();
        let most = if leaf.is_some() { MAX_PROPOSALS } else { MAX_RELAY_PROPOSALS };
        if self.mls.pending_proposals().filter(from).count() >= most {
            self.stats.unreadable += 1;
            return;
        }
        let what = proposed(&proposal, self.mls.extensions());
        // Whether it may stand in some commit: in its author's own, or for the relay's in anybody's.
        let committer = leaf.unwrap_or(self.own);
        let keys = self.keys.get_or_insert_with(|| NodeKeys::of(&self.mls));
        let fresh = keys.allow(&proposal);
        keys.propose(&proposal);
        match self.state.permits(&what, committer.into()) {
            Ok(()) if !fresh => self.refuse(leaf, Illegal::UsedKey),
            Err(why) => self.refuse(leaf, why),
            Ok(()) => {
                self.first_proposal.get_or_insert(now);
                if let Change::Remove(gone) = what.change {
                    self.removals_proposed = true;
                    if let Ok(gone) = u16::try_from(gone) {
                        self.committers.unable(gone);
                    }
                }
            }
        }
        // It is kept even so: a commit that has it must be understood before it can be refused.
        if self.mls.store_pending_proposal(self.provider.storage(), proposal).is_err() {
            self.go(Left::Broken);
        }
    }

    pub(super) fn word(&mut self, leaf: u16, word: &[u8], now: Time) {
        match word.split_first() {
            Some((&WORD_BEAT, beat)) => {
                let beat = Beat::decode(beat).ok_or(BeatError::Form);
                let auth = sha256(self.authenticator());
                let mid = self.mid || self.resumed.is_some();
                let chain = self.chains.entry(leaf).or_default();
                match beat.and_then(|beat| chain.take(&beat, &auth, mid).map(|()| beat)) {
                    Err(why) => self.event(Event::Heartbeat { leaf, why }),
                    Ok(beat) => {
                        self.stats.beats += 1;
                        self.hear(leaf, now);
                        self.heard_age(leaf, beat.age_us, now);
                    }
                }
            }
            Some((&WORD_RENEW, [])) => {
                self.committers.unable(leaf);
                self.renew = true;
            }
            Some((&WORD_UPDATES, [])) => self.propose_update(now),
            Some((&WORD_TOLD, body)) => self.event(Event::Told { leaf, body: Zeroizing::new(body.to_vec()) }),
            _ => self.stats.unreadable += 1,
        }
    }

    /// `leaf` says how old the epoch is. The committer's word counts, and that of whoever's turn it is, for a member that
    /// came in the middle of the epoch or whose commit came late.
    fn heard_age(&mut self, leaf: u16, age_us: u64, now: Time) {
        if ![self.committer, self.committers.turn()].contains(&Some(leaf)) {
            return;
        }
        let began = if std::mem::replace(&mut self.mid, false) {
            Some(Time(now.0.saturating_sub(age_us.min(MAX_AGE_US))))
        } else {
            began_earlier(self.began, age_us, now)
        };
        if let Some(began) = began {
            self.began = began;
            self.event(Event::Began { epoch: self.state.epoch, began });
        }
    }

    /// This member's commit came back as the first valid one of its epoch.
    pub(super) fn won(&mut self, now: Time) {
        let Some(pending) = self.pending.take() else { return };
        let updated = self.mls.pending_commit().map(|staged| updates(staged.queued_proposals()).collect());
        let adds = self.mls.pending_commit().into_iter().flat_map(|staged| staged.add_proposals());
        adds.for_each(|add| self.used.add(add.add_proposal().key_package()));
        if self.mls.merge_pending_commit(&self.provider).is_err() {
            return self.go(Left::Broken);
        }
        self.stats.committed += 1;
        // The host knows of what its own commit changed.
        let (before, after) = (self.state.roster.hash(), pending.verdict.after.roster.hash());
        self.requests.iter_mut().filter(|asked| asked.seen == before).for_each(|asked| asked.seen = after);
        self.single = false;
        self.enter(self.own, pending.verdict, updated.unwrap_or_default(), now);
        if let Some(welcome) = pending.welcome {
            self.out.push_back(Output::Send(welcome));
        }
        if self.left.is_none() {
            self.send_beat(now);
        }
    }

    /// Another's commit came first.
    pub(super) fn lose(&mut self) {
        let Some(pending) = self.pending.take() else { return };
        self.stats.lost += 1;
        let epoch = self.state.epoch;
        self.event(Event::Lost { epoch });
        pending.requests.into_iter().rev().for_each(|asked| self.requests.push_front(asked));
        if self.mls.clear_pending_commit(self.provider.storage()).is_err() {
            self.go(Left::Broken);
        }
    }

    /// The group is in the next epoch.
    pub(super) fn enter(&mut self, committer: u16, verdict: Verdict, updated: BTreeSet<u16>, now: Time) {
        let Verdict { after, gone, switch } = verdict;
        let same =
            self.mls.members().map(|member| member.index.u32()).eq(after.roster.iter().map(|one| u32::from(one.leaf)));
        if !same || self.mls.epoch().as_u64() != after.epoch {
            return self.go(Left::Broken);
        }
        let by_first = committer::first(&self.state.roster) == Some(committer);
        self.renewed.retain(|leaf, _| after.roster.get(*leaf).is_some());
        let fresh = after.roster.iter().filter(|member| member.joined == after.epoch).map(|member| member.leaf);
        for leaf in fresh.chain(updated).chain([committer]).filter(|leaf| after.roster.get(*leaf).is_some()) {
            self.renewed.insert(leaf, now);
        }
        if only_left(&self.state.roster, &after.roster, &gone) {
            let (before, now) = (self.state.roster.hash(), after.roster.hash());
            let locks = self.requests.iter_mut().filter(|asked| asked.request == Request::Lock);
            locks.filter(|asked| asked.seen == before).for_each(|asked| asked.seen = now);
        }
        let came = after.roster.iter().filter(|member| member.joined == after.epoch).cloned().collect();
        self.state = after;
        (self.began, self.mid, self.resumed, self.last_commit) = (now, false, None, Some(now));
        self.committers.epoch(gone.iter().map(|(member, _)| member.leaf));
        self.chains.clear();
        self.heard.clear();
        (self.keys, self.beat, self.asked_updates, self.first_proposal) = (None, None, None, None);
        (self.removals_proposed, self.proposed_leave, self.proposed_update, self.renew) = (false, false, false, false);
        (self.committer, self.ahead, self.stranded) = (Some(committer), None, false);
        if by_first {
            self.sign_of_life(now);
        }
        self.hear(committer, now);
        if self.open_epoch(switch).is_err() {
            return self.go(Left::Broken);
        }
        self.event(Event::Changed { epoch: self.state.epoch, committer: Some(committer), came, gone });
        // What was still on its way is of an epoch that is over: nobody reads it.
        for (_, word) in std::mem::take(&mut self.words) {
            if self.tell(&word).is_err() {
                tracing::warn!("a word to all is lost");
            }
        }
    }
}

/// Whether between two rosters some left of their own accord and nothing else changed. A lock lets in only those whom its
/// host saw, and then it still does that; otherwise somebody who leaves at each attempt would keep it from ever being set.
pub(crate) fn only_left(before: &Roster, after: &Roster, gone: &[(Member, Gone)]) -> bool {
    let stayed = |member: &Member| before.get(member.leaf) == Some(member);
    gone.iter().all(|(_, how)| *how == Gone::Left) && after.iter().all(stayed)
}
