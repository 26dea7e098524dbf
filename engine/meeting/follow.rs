//! From what happens in the party to what the app is told.

use super::chat::Line;
use super::event::{Alarm, Ended, Event};
use super::leaver::Senders;
use super::verified::Change;
use super::{Meeting, Stage};
use crate::data::{self, Peer, Topic};
use crate::e2ee::group::card::Why;
use crate::e2ee::group::rules::Illegal;
use crate::e2ee::group::{self, EnginePolicy, Gone, Left, Request};
use crate::e2ee::{IdentityKey, Member, Reason, Role, Roster, proof};
use crate::party;
use crate::time::Time;

/// By so much later than the data channel a member that went is forgotten.
const LATE_US: u64 = 1_000_000;

impl Meeting {
    /// Takes what the party has to tell.
    pub(crate) fn follow(&mut self, now: Time) {
        // The end is the last that is told.
        while !matches!(self.stage, Stage::Out(_))
            && let Some(event) = self.party.event()
        {
            match event {
                party::Event::Epoch { epoch, roster, policy, authenticator } => {
                    self.turn(epoch, roster, &policy, &authenticator);
                }
                party::Event::Group(event) => self.heed(event, now),
                party::Event::Alarm(why) => self.alarm(Alarm::Service(why)),
                party::Event::Data(event) => self.hear(event),
                party::Event::Open(peer, event) => {
                    if event.reason == Reason::OutOfTime {
                        self.leavers.behind(peer);
                    }
                    self.alarm(Alarm::Frames { of: self.who(peer), reason: event.reason });
                }
                party::Event::Proof(peer, event) => match (event.why, self.who(peer)) {
                    (why, of) if why.is_alarm() => self.alarm(Alarm::Proof { of, why }),
                    (why, Some(who)) => self.tell(Event::Proven { who, proven: why == proof::Why::Proven }),
                    _ => {}
                },
            }
        }
    }

    /// Looks who can still decrypt, and whether an ending has taken long enough.
    pub(crate) fn watch(&mut self, now: Time) {
        if matches!(self.stage, Stage::Ending(at) if at <= now) {
            let own = self.roster.find(&self.device.identity()).cloned();
            return self.finish(own.map_or(Ended::Left, Ended::ByHost));
        }
        self.departed.retain(|(_, until)| now < *until);
        if self.leavers.iter().next().is_none() {
            return;
        }
        let others: Vec<_> = self.party.proven().collect();
        let allowed_ms = self.policy.as_ref().map_or(u32::MAX, |policy| policy.leaver_window_ms);
        let there = |peer: &Peer| is_in(&self.roster, peer);
        let senders = Senders { own: self.party.sealing(), others: &others, there: &there };
        for (who, window_us) in self.leavers.settle(&senders, now) {
            self.tell(Event::Silent { who, window_us });
        }
        for (who, window_us) in self.leavers.late(u64::from(allowed_ms) * 1000, now) {
            self.alarm(Alarm::LeaverWindow { who, window_us, allowed_ms });
        }
    }

    /// A new epoch. Everything that hangs on who is in and what is agreed learns of it here and nowhere else.
    fn turn(&mut self, epoch: u64, roster: Roster, policy: &[u8], authenticator: &[u8]) {
        self.codes.epoch(epoch, authenticator, &roster, policy);
        let stays = |peer: &Peer| is_in(&roster, peer);
        self.numbers.retain(stays);
        self.lines.retain(stays);
        self.lobby.epoch(&roster);
        self.before = Some((std::mem::replace(&mut self.roster, roster), self.policy.take()));
        (self.epoch, self.policy) = (epoch, EnginePolicy::decode(policy));
        if self.stage == Stage::Waiting {
            self.stage = Stage::In;
            self.memory.joined(epoch, &self.roster);
            self.tell(Event::Entered);
        }
        self.tell(Event::Epoch(epoch));
        let (expected, got) = (self.expected, self.policy.as_ref().map(|policy| policy.meeting_policy));
        if let Some(got) = got.filter(|got| *got != expected) {
            // Told once for each policy that comes.
            self.expected = got;
            self.alarm(Alarm::Policy { expected: self.config.party.group.meeting_policy, got });
        }
    }

    fn heed(&mut self, event: group::Event, now: Time) {
        use group::Event as E;
        let at = |meeting: &Self, leaf: u16| meeting.roster.get(leaf).cloned();
        match event {
            E::Knock { key_package, person, card } => self.knocked(key_package, person, &card, now),
            E::Refused { leaf, why } => {
                let by = leaf.and_then(|leaf| at(self, leaf));
                self.alarm(Alarm::Commit { by, why });
            }
            E::Denied { request: Request::Admit { ticket, key_package }, why } => {
                let told = match why {
                    Illegal::Locked(_) => Why::Locked,
                    Illegal::Full(_) => Why::Full,
                    _ => Why::Host,
                };
                self.not_let_in(&ticket, told);
                self.tell(Event::Refused { request: Request::Admit { ticket, key_package }, why });
            }
            E::Denied { request, why } => {
                if let Request::Remove { identity, .. } = &request {
                    self.lobby.stays(identity);
                }
                self.tell(Event::Refused { request, why });
            }
            E::Confirm { request, .. } => match &request {
                Request::Admit { ticket, .. } => {
                    let ticket = *ticket;
                    self.confirm_admit(request, &ticket, now);
                }
                _ => self.tell(Event::Confirm(request)),
            },
            E::Changed { epoch, committer, came, gone } => self.changed(epoch, committer, came, gone, now),
            E::Committer { leaf } => {
                self.memory.took_over();
                let by = at(self, leaf);
                let own = by.as_ref().is_some_and(|by| by.identity == self.device.identity());
                self.alarm(Alarm::TookOver { by });
                if own {
                    self.take_the_door(now);
                }
            }
            E::Heartbeat { leaf, why } => self.alarm(Alarm::Heartbeat { by: at(self, leaf), why }),
            E::HeartbeatMissing => self.alarm(Alarm::HeartbeatMissing),
            E::StopSealing => self.alarm(Alarm::SealingStopped),
            E::Alive => self.tell(Event::Alive),
            E::Stranded => self.alarm(Alarm::Stranded),
            E::Withheld { requests } => self.alarm(Alarm::Withheld { requests }),
            E::Unreadable { count } => self.alarm(Alarm::Unreadable { count }),
            E::Order { expected, got } => self.alarm(Alarm::Order { expected, got }),
            E::Told { leaf, body } => {
                if let Some(by) = at(self, leaf) {
                    self.told(by, &body, now);
                }
            }
            E::Left(Left::Removed) => {
                self.alarm(Alarm::Removed);
                self.finish(Ended::Removed);
            }
            E::Left(Left::Asked) => self.finish(Ended::Left),
            E::Left(Left::Silence) => self.finish(Ended::Silence),
            E::Left(Left::Broken) => self.finish(Ended::Broken),
            E::Lost { .. } | E::Began { .. } => {}
        }
    }

    /// Who came, who went, and what else is not as it was.
    fn changed(&mut self, epoch: u64, committer: Option<u16>, came: Vec<Member>, gone: Vec<(Member, Gone)>, now: Time) {
        let Some((roster, policy)) = self.before.take() else { return };
        let by = committer.and_then(|leaf| roster.get(leaf).cloned());
        self.memory.changed(&Change { epoch, committer, came: &came, gone: &gone, roster: &self.roster });
        if !came.is_empty() {
            self.say_again();
        }
        for member in came {
            self.lobby.came(&member.identity);
            self.tell(Event::Came(member));
        }
        for (who, how) in gone {
            if how == Gone::Relay {
                self.alarm(Alarm::ByService { who: who.clone() });
            }
            // What it said last may still come.
            self.departed.push((who.clone(), now.plus(data::LINGER_US + LATE_US)));
            // Who came again in the same commit is in anyway.
            let until = match how {
                Gone::Replaced => now,
                _ => self.leavers.went(who.clone(), how, epoch, now),
            };
            self.tell(Event::Went { who, how, until });
        }
        let role = |member: &&Member| roster.find(&member.identity).is_some_and(|was| was.role != member.role);
        for who in self.roster.clone().iter().filter(role) {
            let was = roster.find(&who.identity).map_or(Role::default(), |was| was.role);
            self.tell(Event::Role { who: who.clone(), was, by: by.clone() });
        }
        let locks = |policy: &Option<EnginePolicy>| policy.as_ref().is_some_and(|policy| policy.lock.is_some());
        match (locks(&policy), locks(&self.policy)) {
            (false, true) => self.tell(Event::Locked { by }),
            (true, false) => self.tell(Event::Unlocked { by }),
            _ => {}
        }
        let ruled = |roster: &Roster| roster.iter().filter(|one| one.role.rules()).map(|one| one.identity).collect();
        let (before, after): (Vec<IdentityKey>, Vec<IdentityKey>) = (ruled(&roster), ruled(&self.roster));
        if before != after && after.contains(&self.device.identity()) {
            self.take_the_door(now);
        }
    }

    fn hear(&mut self, event: data::Event) {
        match event {
            data::Event::Message(message) => {
                let Some(from) = self.who(message.from) else { return };
                match message.topic {
                    Topic::Chat => self.line(from, message.from, &message.bytes),
                    Topic::App(_) => self.tell(Event::Said { from, message }),
                    Topic::Mute | Topic::Hand => {
                        if let Some(state) = self.party.state(message.from) {
                            self.tell(Event::State { who: from, state });
                        }
                    }
                }
            }
            data::Event::Gap { from, missing } => {
                self.alarm(Alarm::Missing { from: self.who(from), messages: missing });
            }
            data::Event::GaveUp { member, missing } => {
                self.alarm(Alarm::Unacknowledged { by: self.who(member), messages: missing });
            }
        }
    }

    fn line(&mut self, from: Member, peer: Peer, bytes: &[u8]) {
        let line = Line::decode(bytes, from.identity, &self.config.party.group.group);
        match line.filter(Line::holds).filter(|line| self.lines.take(peer, line, self.epoch)) {
            Some(line) => self.tell(Event::Chat { from, line }),
            None => self.alarm(Alarm::Chat { of: from }),
        }
    }

    /// Who this is: in the roster, or of late.
    fn who(&self, peer: Peer) -> Option<Member> {
        let is = |member: &&Member| (member.leaf, member.joined) == (peer.leaf, peer.joined);
        let late = self.departed.iter().map(|(member, _)| member);
        self.roster.iter().chain(late).find(is).cloned()
    }

    fn alarm(&mut self, alarm: Alarm) {
        self.tell(Event::Alarm(alarm));
    }
}

fn is_in(roster: &Roster, peer: &Peer) -> bool {
    roster.get(peer.leaf).is_some_and(|member| member.joined == peer.joined)
}
