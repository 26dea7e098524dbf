//! What people see of a group and what an administrator decides: the policy, the roles, the lock, the waiting room, the
//! security code, who was verified, and the shield. `E2EE.md` §6 to §8 has the design.
//!
//! [`Meeting`] is what an app embeds: one participant's device with everything around it. It is sans-IO as the
//! [`Party`] within is, and gives the app one stream of [`Event`]s; what must not go unseen is an [`Alarm`] among them.
//!
//! ```text
//! relay ─► control ─┐                      ┌─► frames, datagrams, control messages ─► relay
//! others ► datagram ┼─► Party ─► follow ───┤
//! clock ─► tick ────┘     ▲                └─► Event (roster, roles, lock, chat, alarms …) ─► app
//! app ──► host, chat … ───┘
//! ```
//!
//! The files in the order in which a meeting goes: [`waiting`] (the door), `follow` (what happens), [`event`], `host` and
//! [`action`] (what hosts do), [`chat`], [`leaver`] (who may still decrypt), [`report`]. Beside them what an administrator
//! decides ([`policy`]), the security code ([`code`]), who people are ([`identity`]) and whom the user has verified
//! ([`verified`]), and the sign on screen ([`shield`]).

pub mod action;
pub mod chat;
pub mod code;
pub mod event;
mod follow;
mod host;
pub mod identity;
pub mod leaver;
pub mod policy;
pub mod report;
pub mod shield;
pub mod verified;
pub mod waiting;

use std::collections::VecDeque;

use crate::data::{self, Peer, State, Topic};
use crate::e2ee::group::{Device, EnginePolicy, GroupError, MeetingType};
use crate::e2ee::{IdentityKey, Member, Role, Roster};
use crate::enhanced::EnhancedError;
use crate::frame::{Encoded, Sealed};
use crate::gathering::Participant;
use crate::party::{self, Out, Party, PartyError};
use crate::time::Time;

pub use self::action::{Action, Refusal};
use self::code::Codes;
use self::identity::Known;
use self::policy::{Client, Feature, MeetingPolicy};
use self::shield::Shield;
use self::verified::Memory;

pub use self::chat::Line;
pub use self::event::{Alarm, Ended, Event};
pub use self::leaver::Leaver;
pub use self::report::{Report, ReportError};
pub use self::waiting::Knock;

/// How long a host that ends the meeting waits for the relay to pass the word on, in microseconds.
pub const END_US: u64 = 2_000_000;

/// Events that wait for the app at most; beyond, new ones are dropped and counted, and for an alarm the oldest.
pub const MAX_EVENTS: usize = 8192;

/// What a meeting is founded or joined with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The party, and in it the group as the invite has it, with the hash of the host's meeting policy.
    pub party: party::Config,
    /// Whether those who knock wait for a host to let them in.
    pub waiting_room: bool,
    /// The rules of the meeting. Without them the group's hash of them is compared and nothing else.
    pub policy: Option<MeetingPolicy>,
    /// What this client says of itself at the door.
    pub client: Option<Client>,
    /// Whom this device knows from other meetings.
    pub known: Known,
}

impl Config {
    /// A meeting without a waiting room, and without rules but those of the group.
    pub fn new(party: party::Config) -> Self {
        Self { party, waiting_room: false, policy: None, client: None, known: Known::default() }
    }

    /// The meeting `group` under the rules of `policy`, for somebody with `client`.
    ///
    /// # Errors
    /// [`policy::Refusal`] where the policy allows no such meeting.
    pub fn of(policy: MeetingPolicy, group: &[u8], client: Client) -> Result<Self, policy::Refusal> {
        let mut party = party::Config::new(policy.group_config(group)?);
        party.proofs = policy.proofs();
        let waiting_room = policy.waiting_room();
        Ok(Self { waiting_room, policy: Some(policy), client: Some(client), ..Self::new(party) })
    }
}

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MeetingError {
    /// The party.
    #[error(transparent)]
    Party(#[from] PartyError),
    /// The group.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// This participant's role does not allow it.
    #[error("only a host can {0}")]
    NotAllowed(&'static str),
    /// Nobody in the meeting has this identity.
    #[error("there is no such participant")]
    NoMember,
    /// Nobody with this identity waits.
    #[error("nobody with this identity waits to be let in")]
    NoKnock,
    /// Others would be left without a host.
    #[error("you are the only host: hand over first, or end the meeting for all")]
    OnlyHost,
    /// A line of chat is empty or too long.
    #[error("a line of chat has 1 to {} bytes", chat::MAX_LINE)]
    Line,
    /// This participant is not in, or no longer.
    #[error("this participant is not in the meeting")]
    Outside,
}

/// One row of the list on screen: the list in the tree, and behind it those who went and may still decrypt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Who.
    pub member: Member,
    /// Muted, hand raised: as it says itself.
    pub state: State,
    /// This participant itself.
    pub own: bool,
    /// It went, and may still decrypt until then.
    pub may_decrypt_until: Option<Time>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    Waiting,
    In,
    /// The host has ended it and waits for its word to be passed on, until then.
    Ending(Time),
    Out(Ended),
}

/// One participant's meeting. See the module.
pub struct Meeting {
    config: Config,
    device: Device,
    party: Party,
    stage: Stage,
    /// This participant wants to go: it says and shows nothing more.
    leaving: bool,
    epoch: u64,
    roster: Roster,
    policy: Option<EnginePolicy>,
    /// Roster and policy of the epoch before, until it is told what changed.
    before: Option<(Roster, Option<EnginePolicy>)>,
    /// Hash of the meeting policy that is expected, or was told last.
    expected: [u8; 32],
    lobby: waiting::Lobby,
    numbers: action::Numbers,
    lines: chat::Numbers,
    leavers: leaver::Leavers,
    /// Who went of late, and until when what it said may still come.
    departed: Vec<(Member, Time)>,
    spotlight: Option<IdentityKey>,
    /// The spotlight, and the code that is read aloud, are this participant's words.
    own_words: host::OwnWords,
    codes: Codes,
    memory: Memory,
    events: VecDeque<Event>,
    dropped: u64,
}

impl Meeting {
    /// Founds a meeting as its host.
    ///
    /// # Errors
    /// [`MeetingError::Party`].
    pub fn found(device: &Device, config: Config, now: Time, out: &mut dyn Out) -> Result<Self, MeetingError> {
        let party = Party::found(device, config.party.clone(), now, out)?;
        let mut meeting = Self::new(device, config, party);
        meeting.follow(now);
        Ok(meeting)
    }

    /// Knocks at an enhanced meeting, whose keys come from the service that signs with `service`: see
    /// [`Party::enhanced`]. The service can read it, and [`Meeting::shield`] says so.
    ///
    /// # Errors
    /// [`MeetingError::Party`].
    pub fn enhanced(
        device: &Device,
        config: Config,
        service: [u8; 32],
        out: &mut dyn Out,
    ) -> Result<Self, MeetingError> {
        let party = Party::enhanced(device, config.party.clone(), service, out)?;
        Ok(Self::new(device, config, party))
    }

    /// Knocks at a meeting. Nothing is captured or sent before [`Event::Entered`].
    ///
    /// # Errors
    /// [`MeetingError::Party`].
    pub fn knock(device: &Device, mut config: Config, out: &mut dyn Out) -> Result<Self, MeetingError> {
        let group = &config.party.group;
        let client = config.client.as_ref().map(Client::encode).unwrap_or_default();
        let card = waiting::Card { meeting: group.meeting, policy: group.meeting_policy, client };
        config.party.card = card.encode();
        let party = Party::knock(device, config.party.clone(), out)?;
        Ok(Self::new(device, config, party))
    }

    fn new(device: &Device, config: Config, party: Party) -> Self {
        Self {
            expected: config.party.group.meeting_policy,
            memory: Memory::new(device.identity(), config.known.clone()),
            codes: Codes::new(),
            config,
            device: device.share(),
            party,
            stage: Stage::Waiting,
            leaving: false,
            epoch: 0,
            roster: Roster::default(),
            policy: None,
            before: None,
            lobby: waiting::Lobby::default(),
            numbers: action::Numbers::default(),
            lines: chat::Numbers::default(),
            leavers: leaver::Leavers::default(),
            departed: Vec::new(),
            own_words: host::OwnWords::default(),
            spotlight: None,
            events: VecDeque::new(),
            dropped: 0,
        }
    }

    /// Takes a message that the relay delivered. What is wrong with it is an event or a count, and costs nothing else.
    pub fn control(&mut self, message: &[u8], now: Time, out: &mut dyn Out) {
        if matches!(self.stage, Stage::Out(_)) || self.at_the_door(message) {
            return;
        }
        match self.party.control(message, now, out) {
            Err(
                PartyError::Group(GroupError::Mismatch(what)) | PartyError::Enhanced(EnhancedError::Mismatch(what)),
            ) => self.tell(Event::Alarm(Alarm::Mismatch(what))),
            Err(PartyError::Enhanced(why)) => {
                self.tell(Event::Alarm(Alarm::Refused(why)));
                if let EnhancedError::Refused(why) = why
                    && let Some(why) = why.denial()
                {
                    self.finish(Ended::Denied(why));
                }
            }
            Err(PartyError::Key(_) | PartyError::Send(_)) => self.finish(Ended::Broken),
            _ => {}
        }
        self.follow(now);
    }

    /// Takes a datagram of another participant.
    pub fn datagram(&mut self, datagram: &[u8], now: Time, out: &mut dyn Out) {
        self.party.datagram(datagram, now, out);
    }

    /// Seals a frame and gives its datagrams to `out`.
    ///
    /// # Errors
    /// [`PartyError::Outside`] before this participant is in and once it leaves, and [`PartyError::Send`]: a recorder
    /// sends no media.
    pub fn frame(&mut self, frame: Encoded, now: Time, out: &mut dyn Out) -> Result<Sealed, PartyError> {
        if !self.speaks() {
            return Err(PartyError::Outside);
        }
        self.party.frame(frame, now, out)
    }

    /// Moves everything on.
    pub fn tick(&mut self, now: Time, out: &mut dyn Out) {
        if self.party.tick(now, out).is_err() {
            return self.finish(Ended::Broken);
        }
        self.follow(now);
        self.watch(now);
    }

    /// What happened, in order; to be called until `None` after every call that moved something.
    pub fn event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Who is in, by the tree of the group, and behind them who went and may still decrypt.
    pub fn roster(&self) -> Vec<Row> {
        let own = self.device.identity();
        let row = |member: &Member, until: Option<Time>| Row {
            state: self.party.state(Peer::from(member)).unwrap_or_default(),
            own: member.identity == own && until.is_none(),
            may_decrypt_until: until,
            member: member.clone(),
        };
        let late = self.leavers.iter().map(|leaver| row(&leaver.who, Some(leaver.until)));
        self.roster.iter().map(|member| row(member, None)).chain(late).collect()
    }

    /// Those who went and may still decrypt.
    pub fn leavers(&self) -> impl Iterator<Item = &Leaver> {
        self.leavers.iter()
    }

    /// Number of the epoch; 0 before this participant is in.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Who this participant is; nobody before it is in and after it is out.
    pub fn own(&self) -> Option<Peer> {
        self.party.own()
    }

    /// The host, and of several the first.
    pub fn host(&self) -> Option<&Member> {
        self.roster.iter().find(|member| member.role == Role::Host)
    }

    /// Whether only those may come in who were there when it was locked.
    pub fn locked(&self) -> bool {
        self.policy.as_ref().is_some_and(|policy| policy.lock.is_some())
    }

    /// What the group has agreed on; nothing before this participant is in.
    pub fn policy(&self) -> Option<&EnginePolicy> {
        self.policy.as_ref()
    }

    /// Whom everybody is to see.
    pub fn spotlighted(&self) -> Option<&Member> {
        self.roster.find(self.spotlight.as_ref()?)
    }

    /// The epoch whose security code is being read aloud.
    pub fn pinned(&self) -> Option<u64> {
        self.codes.pinned()
    }

    /// The security codes. One is computed by a [`code::Job`], away from the threads of the media:
    /// `codes().job(codes().shown()?)`, then `codes().done(job.run()?)`.
    pub fn codes(&mut self) -> &mut Codes {
        &mut self.codes
    }

    /// Whom the user has verified in this meeting, and whether it still holds; it outlives the meeting, so that its
    /// contacts can be stored.
    pub fn memory(&mut self) -> &mut Memory {
        &mut self.memory
    }

    /// The same, to be looked at.
    pub fn verified(&self) -> &Memory {
        &self.memory
    }

    /// Takes another policy for this participant's own, as the host has agreed with the group
    /// ([`policy::MeetingPolicy::request`]): from now on the shield and the features go by it.
    pub fn adopt(&mut self, policy: policy::MeetingPolicy) {
        self.config.party.group.meeting_policy = policy.hash();
        self.config.policy = Some(policy);
    }

    /// Whether the group runs by the rules that this participant was invited to.
    pub fn policy_agrees(&self) -> bool {
        self.policy.as_ref().is_some_and(|group| match &self.config.policy {
            Some(policy) => policy.rules(group).is_ok(),
            None => group.meeting_policy == self.config.party.group.meeting_policy,
        })
    }

    /// The sign on screen, from what runs now.
    pub fn shield(&self) -> Shield {
        let mismatch = self.memory.state() == verified::State::Mismatch;
        let facts = shield::Facts::of(&self.party.facts(), self.policy_agrees(), mismatch);
        Shield::new(&shield::Facts { sealing: facts.sealing && self.speaks(), ..facts })
    }

    /// Whether this participant is in and wants to stay.
    fn speaks(&self) -> bool {
        self.stage == Stage::In && !self.leaving
    }

    /// Whether the rules allow `feature`; without any, whether a meeting of this type can have it.
    ///
    /// # Errors
    /// [`policy::SwitchedOff`], which names the feature and why.
    pub fn ask(&self, feature: Feature) -> Result<(), policy::SwitchedOff> {
        match &self.config.policy {
            Some(policy) => policy.ask(feature),
            None if self.config.party.group.meeting == MeetingType::EndToEnd => Err(policy::SwitchedOff(feature)),
            None => Ok(()),
        }
    }

    /// Why this participant is out, where it is.
    pub fn ended(&self) -> Option<&Ended> {
        match &self.stage {
            Stage::Out(why) => Some(why),
            _ => None,
        }
    }

    /// Events that the app did not take in time.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The party within, for what is heard and shown.
    pub fn party(&mut self) -> &mut Party {
        &mut self.party
    }

    /// Leaves: it sends no frame any more, the others take it out, and it erases everything. The only host
    /// hands over first, or ends the meeting.
    ///
    /// # Errors
    /// [`MeetingError::OnlyHost`].
    pub fn leave(&mut self, now: Time) -> Result<(), MeetingError> {
        let host = |member: &Member| member.role == Role::Host && member.identity != self.device.identity();
        match self.stage {
            Stage::Waiting => self.finish(Ended::Left),
            Stage::In if self.roster.len() == 1 => self.finish(Ended::Left),
            Stage::In if self.own_role() == Some(Role::Host) && !self.roster.iter().any(host) => {
                return Err(MeetingError::OnlyHost);
            }
            Stage::In => {
                self.leaving = true;
                self.party.leave(now);
            }
            Stage::Ending(_) | Stage::Out(_) => {}
        }
        Ok(())
    }

    /// Says a line of chat to everybody, signed; returns it as it was said.
    ///
    /// # Errors
    /// [`MeetingError::Line`], [`MeetingError::Outside`], [`MeetingError::Party`].
    pub fn chat(&mut self, text: &str) -> Result<Line, MeetingError> {
        if !(1..=chat::MAX_LINE).contains(&text.len()) {
            return Err(MeetingError::Line);
        }
        let epoch = self.party.sealing().filter(|_| self.speaks()).ok_or(MeetingError::Outside)?;
        let line = Line::sign(&self.device, &self.config.party.group.group, epoch, self.lines.next(), text);
        self.party.say(Topic::Chat, &line.encode())?;
        Ok(line)
    }

    /// Says something of the app's own to everybody.
    ///
    /// # Errors
    /// [`MeetingError::Outside`], [`MeetingError::Party`].
    pub fn say(&mut self, topic: u8, bytes: &[u8]) -> Result<u64, MeetingError> {
        self.put(Topic::App(topic), bytes)
    }

    /// Says whether this participant's microphone is muted.
    ///
    /// # Errors
    /// [`MeetingError::Outside`], [`MeetingError::Party`].
    pub fn set_muted(&mut self, muted: bool) -> Result<(), MeetingError> {
        self.put(Topic::Mute, &[muted.into()]).map(|_| ())
    }

    /// Says whether this participant's hand is raised.
    ///
    /// # Errors
    /// [`MeetingError::Outside`], [`MeetingError::Party`].
    pub fn raise_hand(&mut self, raised: bool) -> Result<(), MeetingError> {
        self.put(Topic::Hand, &[raised.into()]).map(|_| ())
    }

    fn put(&mut self, topic: Topic, bytes: &[u8]) -> Result<u64, MeetingError> {
        if !self.speaks() {
            return Err(MeetingError::Outside);
        }
        Ok(self.party.say(topic, bytes)?)
    }

    /// A report about somebody, of `lines` that were said in this meeting and no others. It is this participant's to
    /// send, to whomever it likes.
    ///
    /// # Errors
    /// [`ReportError`].
    pub fn report(&self, about: IdentityKey, note: &str, lines: Vec<Line>) -> Result<Report, ReportError> {
        Report::sign(&self.device, &self.config.party.group.group, about, note, lines)
    }

    fn own_role(&self) -> Option<Role> {
        Some(self.roster.find(&self.device.identity())?.role)
    }

    fn tell(&mut self, event: Event) {
        let full = self.events.len() >= MAX_EVENTS;
        self.dropped += u64::from(full);
        // Nobody pushes an alarm out by knocking often enough.
        match event {
            Event::Alarm(_) | Event::Ended(_) if full => drop(self.events.pop_front()),
            _ if full => return,
            _ => {}
        }
        self.events.push_back(event);
    }

    /// Out: nothing is kept but what the app has not taken yet.
    fn finish(&mut self, why: Ended) {
        if matches!(self.stage, Stage::Out(_)) {
            return;
        }
        self.party.close();
        (self.roster, self.policy, self.before) = (Roster::default(), None, None);
        (self.lobby, self.leavers) = (waiting::Lobby::default(), leaver::Leavers::default());
        self.departed.clear();
        (self.numbers, self.lines) = (action::Numbers::default(), chat::Numbers::default());
        (self.spotlight, self.codes) = (None, Codes::new());
        self.stage = Stage::Out(why.clone());
        self.tell(Event::Ended(why));
    }
}

impl From<data::Refused> for MeetingError {
    fn from(why: data::Refused) -> Self {
        PartyError::from(why).into()
    }
}

impl Participant for Meeting {
    fn control(&mut self, message: &[u8], now: Time, out: &mut dyn Out) {
        Meeting::control(self, message, now, out);
    }

    fn datagram(&mut self, datagram: &[u8], now: Time, out: &mut dyn Out) {
        Meeting::datagram(self, datagram, now, out);
    }

    fn tick(&mut self, now: Time, out: &mut dyn Out) {
        Meeting::tick(self, now, out);
    }

    fn frame(&mut self, frame: Encoded, now: Time, out: &mut dyn Out) -> Result<(), PartyError> {
        Meeting::frame(self, frame, now, out).map(drop)
    }
}
