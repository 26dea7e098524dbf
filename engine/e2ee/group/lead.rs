//! What a member does by the clock: beat, propose, commit where it is its turn, and stop where nothing is heard.

use std::collections::VecDeque;

use openmls::prelude::LeafNodeParameters;

use super::commit::{Asked, Bench, NotMade, build};
use super::event::{Event, Left, Request};
use super::heartbeat::{EVERY_US, LEAVE_US, STOP_US, WARN_US, WITNESS_US};
use super::node_keys::NodeKeys;
use super::rules::Illegal;
use super::{
    BATCH_US, FLOOR_US, Group, LEAVE_ALONE_US, RESEND_US, SPACING_US, STRANDED_US, UNASKED_US, UPDATES_US, WITHHELD_US,
    WORD_RENEW, WORD_UPDATES, committer, stack,
};
use crate::e2ee::{Member, Role};
use crate::time::Time;

/// Members who come with one commit: with hybrid keys it stays below [`super::wire::MAX_MESSAGE`], which the relay and
/// everybody else refuse to go beyond.
pub const MAX_JOINS_AT_ONCE: usize = 256;

impl Group {
    pub(super) fn propose_update(&mut self, now: Time) {
        if self.proposed_update || self.pending.is_some() || self.proposed_leave {
            return;
        }
        let made = self.mls.propose_self_update(&self.provider, &self.device, LeafNodeParameters::default());
        stack::wipe();
        if let Some(body) = made.ok().and_then(|(message, _)| message.to_bytes().ok()) {
            self.proposed_update = true;
            self.first_proposal.get_or_insert(now);
            self.send_handshake(&body);
        }
    }

    /// Tells the group the time.
    pub fn tick(&mut self, now: Time) {
        if self.left.is_some() {
            return;
        }
        self.watch(now);
        if self.left.is_some() {
            return;
        }
        if self.leaving.is_some() && !self.proposed_leave && self.pending.is_none() {
            self.propose_leave(now);
        }
        let alone = self.state.roster.len() == 1;
        if self.resumed.is_some() && !alone {
            if !self.proposed_update {
                self.propose_update(now);
                let _ = self.say(WORD_RENEW, &[]);
            }
            return;
        }
        let (designated, took_over) = self.committers.designated(&self.state.roster, self.own, now);
        if let Some(leaf) = designated.filter(|_| took_over) {
            self.event(Event::Committer { leaf });
        }
        let mine = designated == Some(self.own);
        let first = committer::first(&self.state.roster);
        let vouches =
            || (first.is_none() || designated != first) && committer::witnesses(&self.state.roster).contains(&self.own);
        // Whoever made the epoch tells its age to those who came into it late, the first host among them.
        let made = self.committer == Some(self.own);
        self.beats = if mine || made { Some(EVERY_US) } else { vouches().then_some(WITNESS_US) };
        if self.beats.is_some() && now >= self.next_beat {
            self.send_beat(now);
        }
        self.floor(mine, now);
        if let Some(pending) = &mut self.pending {
            if now.since(pending.sent) >= RESEND_US {
                pending.sent = now;
                let body = pending.body.clone();
                self.send_handshake(&body);
            }
        } else if self.due(mine).is_some_and(|due| now >= due) {
            self.commit(now);
        }
    }

    pub(super) fn watch(&mut self, now: Time) {
        if let Some(pending) = &mut self.pending
            && now.since(pending.made) >= WITHHELD_US
            && !std::mem::replace(&mut pending.told, true)
        {
            let requests = pending.requests.iter().map(|asked| asked.request.clone()).collect();
            self.event(Event::Withheld { requests });
        }
        if let Some((since, told)) = &mut self.leaving {
            let waits = now.since(*since);
            if waits >= WITHHELD_US && !std::mem::replace(told, true) {
                self.event(Event::Withheld { requests: vec![] });
            }
            if waits >= LEAVE_ALONE_US {
                return self.go(Left::Asked);
            }
        }
        if self.state.roster.len() == 1 {
            self.sign = now;
        }
        let silence = now.since(self.sign);
        if silence >= WARN_US && !std::mem::replace(&mut self.warned, true) {
            self.event(Event::HeartbeatMissing);
        }
        if silence >= STOP_US && !std::mem::replace(&mut self.stopped, true) {
            self.event(Event::StopSealing);
        }
        if self.ahead.is_some_and(|since| now.since(since) >= STRANDED_US)
            && !std::mem::replace(&mut self.stranded, true)
        {
            self.event(Event::Stranded);
        }
        if silence >= LEAVE_US {
            self.go(Left::Silence);
        }
    }

    pub(super) fn propose_leave(&mut self, now: Time) {
        let roster = &self.state.roster;
        let host = |member: &&Member| member.role == Role::Host;
        let only = roster.iter().filter(host).all(|member| member.leaf == self.own);
        let others = || roster.iter().filter(|member| member.leaf != self.own);
        if only && roster.get(self.own).is_some_and(|member| member.role == Role::Host) {
            let rank = |member: &&Member| (member.role != Role::CoHost, member.role == Role::Recorder, member.leaf);
            let Some(next) = others().min_by_key(rank).map(|member| member.identity) else { return };
            let request = Request::Role { identity: next, role: Role::Host };
            if !self.requests.iter().any(|asked| asked.request == request) {
                let seen = self.state.roster.hash();
                self.requests.push_back(Asked { request, seen, at: now });
            }
            return;
        }
        if let Some(body) =
            self.mls.leave_group(&self.provider, &self.device).ok().and_then(|message| message.to_bytes().ok())
        {
            self.proposed_leave = true;
            self.committers.unable(self.own);
            self.send_handshake(&body);
        }
    }

    /// Every five minutes everybody's leaf is renewed in one commit.
    pub(super) fn floor(&mut self, mine: bool, now: Time) {
        let oldest = self.renewed.values().min().copied().unwrap_or(now).plus(FLOOR_US);
        let asked = self.asked_updates.is_some_and(|asked| now.since(asked) < UNASKED_US);
        if mine && now >= oldest && !asked && self.pending.is_none() {
            self.asked_updates = Some(now);
            if self.state.roster.len() > 1 {
                let _ = self.say(WORD_UPDATES, &[]);
            }
        }
        let own = self.renewed.get(&self.own).copied().unwrap_or(now);
        if !mine && now >= own.plus(FLOOR_US + UNASKED_US) {
            self.propose_update(now);
        }
    }

    /// When this member commits next, where it does.
    pub(super) fn due(&self, mine: bool) -> Option<Time> {
        if self.proposed_leave {
            return None;
        }
        let spaced = self.last_commit.map_or(Time(0), |last| last.plus(SPACING_US));
        let kick = self.requests.iter().any(|asked| matches!(asked.request, Request::Remove { kick: true, .. }));
        if kick {
            return Some(Time(0));
        }
        let batch = if self.removals_proposed { BATCH_US } else { UPDATES_US };
        let proposals = self.first_proposal.map(|first| first.plus(batch));
        let asked = self.asked_updates.filter(|_| self.rules() || self.first_proposal.is_some());
        let floor = asked.map(|asked| asked.plus(UPDATES_US));
        let renew = self.renew.then_some(Time(0));
        let for_all = [proposals, floor, renew].into_iter().flatten().min().filter(|_| mine);
        let own = self.requests.front().map(|asked| asked.at.plus(BATCH_US));
        for_all.into_iter().chain(own).min().map(|due| due.max(spaced))
    }

    pub(super) fn commit(&mut self, now: Time) {
        let roster = self.state.roster.hash();
        let (mut batch, mut joins, mut later) = (vec![], 0, VecDeque::new());
        while let Some(asked) = self.requests.pop_front() {
            // Who joins, and what was asked for after it, waits for the next commit where this one is full; kicks do not.
            let joiner = matches!(asked.request, Request::Admit { .. });
            let kick = matches!(asked.request, Request::Remove { kick: true, .. });
            if (joiner && joins == MAX_JOINS_AT_ONCE || !later.is_empty()) && !kick {
                later.push_back(asked);
                continue;
            }
            if asked.request.names_roster() && asked.seen != roster {
                self.event(Event::Confirm { request: asked.request, roster });
                continue;
            }
            joins += usize::from(joiner);
            batch.push(asked);
            if self.single {
                break;
            }
        }
        later.extend(std::mem::take(&mut self.requests));
        self.requests = later;
        if batch.is_empty() && self.first_proposal.is_none() && self.asked_updates.is_none() && !self.renew {
            return;
        }
        let keys = self.keys.get_or_insert_with(|| NodeKeys::of(&self.mls));
        let bench = Bench {
            mls: &mut self.mls,
            provider: &self.provider,
            device: &self.device,
            state: &self.state,
            used: &self.used,
            keys,
        };
        let built = build(bench, batch, now);
        stack::wipe();
        match built {
            Ok(pending) => {
                let body = pending.body.clone();
                self.pending = Some(pending);
                self.send_handshake(&body);
            }
            Err((_, batch)) if batch.len() > 1 => {
                self.single = true;
                batch.into_iter().rev().for_each(|asked| self.requests.push_front(asked));
            }
            Err((why, batch)) => {
                let why = match why {
                    NotMade::Illegal(why) => why,
                    NotMade::Library => Illegal::NotMade,
                };
                for Asked { request, .. } in batch {
                    self.event(Event::Denied { request, why: why.clone() });
                }
                // What cannot be committed now is tried again after a while, not at every tick.
                self.last_commit = Some(now.plus(SPACING_US));
            }
        }
    }

    /// When [`Group::tick`] has something to do next.
    pub fn next_at(&self) -> Time {
        let mine = self.committers.next_at(self.own).is_none();
        let silence = [WARN_US, STOP_US, LEAVE_US].map(|us| self.sign.plus(us));
        let due = [(!self.warned, silence[0]), (!self.stopped, silence[1]), (true, silence[2])];
        let watch = due.iter().find(|(open, _)| *open).map(|(_, at)| *at);
        let beat = self.beats.map(|_| self.next_beat);
        let stranded = self.ahead.filter(|_| !self.stranded).map(|since| since.plus(STRANDED_US));
        let pending = self.pending.as_ref().map(|pending| pending.sent.plus(RESEND_US));
        let commit = if self.pending.is_some() { None } else { self.due(mine) };
        let oldest = self.renewed.values().min().map(|at| at.plus(FLOOR_US + if mine { 0 } else { UNASKED_US }));
        let asked = self.asked_updates.map(|at| at.plus(UNASKED_US));
        let floor = oldest.map(|at| asked.map_or(at, |asked| at.max(asked)));
        let kept = self.pending.as_ref().filter(|pending| !pending.told).map(|pending| pending.made.plus(WITHHELD_US));
        let going = self.leaving.map(|(since, told)| since.plus(if told { LEAVE_ALONE_US } else { WITHHELD_US }));
        let all = [watch, stranded, beat, pending, kept, going, commit, floor, self.committers.next_at(self.own)];
        all.into_iter().flatten().min().unwrap_or(self.next_beat)
    }
}
