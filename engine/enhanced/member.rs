//! A member's end: on the way in, and inside. It judges all that it can of what the service says.

use std::collections::{BTreeSet, VecDeque};

use zeroize::Zeroizing;

use super::entry::Entry;
use super::plan::{Act, Ask, Sequences, Statement, Stay, Wish, acts_hash, conclusion, roster_hash};
use super::sign::{Domain, Label};
use super::wire::{Beat, Down, Refusal, Turn, Up, Welcome, Word};
use super::{Alarm, Config, EnhancedError, Output};
use crate::e2ee::group::card::Why;
use crate::e2ee::group::event::{self, Event, Left, Request, Switch};
use crate::e2ee::group::heartbeat::{LEAVE_US, STOP_US, WARN_US, began_earlier};
use crate::e2ee::group::rules::{Illegal, State, Verdict};
use crate::e2ee::group::wire::{Envelope, Ticket, ticket};
use crate::e2ee::group::{
    Device, EnginePolicy, GroupError, LEAVE_ALONE_US, MAX_WORD, MAX_WORDS, MeetingType, Person, WITHHELD_US, only_left,
};
use crate::e2ee::{EpochInput, MediaSecret, Member as Seat, Role, Roster};
use crate::time::Time;

/// Wishes that wait for their epoch at most.
const MAX_PENDING: usize = 512;

/// Somebody who knocks.
pub struct Knocking {
    device: Device,
    config: Config,
    domain: Domain,
    entry: Entry,
}

/// What came of a message while somebody knocks.
#[allow(clippy::large_enum_variant, reason = "taken apart at once")]
pub enum Step {
    /// Nothing yet.
    Waits,
    /// This goes to the service.
    Say(Vec<u8>),
    /// It is in.
    In(Member),
}

impl Knocking {
    /// Knocks at the meeting of the invite. The second goes to the service.
    ///
    /// # Errors
    /// [`EnhancedError`] where the invite is no enhanced meeting's.
    pub fn new(device: &Device, config: Config) -> Result<(Self, Vec<u8>), EnhancedError> {
        config.check()?;
        let domain = Domain::of(&config)?;
        let entry = Entry::of(device, &domain)?;
        let knock = Up::Knock(entry.clone()).encode();
        Ok((Self { device: device.share(), config, domain, entry }, knock))
    }

    /// Takes a message of the service.
    ///
    /// # Errors
    /// [`EnhancedError`] where it is none, the service refuses, or the meeting is not the invite's; nothing is used of it.
    pub fn handle(&mut self, message: &[u8], now: Time) -> Result<Step, EnhancedError> {
        let Some(down) = Down::decode(message) else {
            let group = Envelope::decode(message).is_ok();
            return Err(if group { EnhancedError::Mismatch("meeting type") } else { EnhancedError::Form });
        };
        match down {
            Down::Challenge { nonce, signature } => {
                let asked: &[&[u8]] = &[&nonce, &self.entry.ticket()];
                if !self.domain.holds(&self.config.service, Label::Challenge, asked, &signature) {
                    return Err(EnhancedError::Mismatch("service"));
                }
                let answer = self.domain.sign(&self.device, Label::Answer, asked)?;
                Ok(Step::Say(Up::Answer(answer).encode()))
            }
            Down::Refused(why) => Err(EnhancedError::Refused(why)),
            Down::Welcome(welcome) => self.enter(welcome, now).map(Step::In),
            _ => Ok(Step::Waits),
        }
    }

    fn enter(&self, welcome: Welcome, now: Time) -> Result<Member, EnhancedError> {
        let Welcome { secret, epoch, previous, acts, members, policy, signature } = welcome;
        let policy = EnginePolicy::decode(&policy).ok_or(EnhancedError::Mismatch("policy"))?;
        let invited = &self.config.meeting;
        let pairs = [
            (policy.meeting == MeetingType::Enhanced, "meeting type"),
            (policy.profile == invited.profile, "profile"),
            (policy.suite == invited.suite && policy.post_quantum == invited.post_quantum, "suite"),
            (invited.host.is_none_or(|host| policy.role(&host) == Role::Host), "host"),
        ];
        if let Some((_, what)) = pairs.iter().find(|(same, _)| !same) {
            return Err(EnhancedError::Mismatch(what));
        }
        let mut identities = BTreeSet::new();
        let own = members.iter().find(|(_, entry)| *entry == self.entry).map(|(stay, _)| *stay);
        let own = own.filter(|stay| stay.joined == epoch).ok_or(EnhancedError::Mismatch("device"))?;
        let mut seats = vec![];
        for (stay, entry) in members {
            entry.check(&self.domain)?;
            let Person { identity, media, name } = entry.person;
            if stay.joined > epoch || !identities.insert(identity) {
                return Err(EnhancedError::Mismatch("roster"));
            }
            let role = policy.role(&identity);
            seats.push(Seat { leaf: stay.leaf, joined: stay.joined, identity, media, name, role });
        }
        if !seats.is_sorted_by(|one, two| one.leaf < two.leaf) {
            return Err(EnhancedError::Mismatch("roster"));
        }
        let state = State { epoch, roster: Roster::new(seats), policy };
        let statement = Statement {
            epoch,
            previous,
            acts,
            roster: roster_hash(&state.roster),
            policy: state.policy.hash(),
            commitment: secret.commitment()?,
        };
        if !self.domain.holds(&self.config.service, Label::Epoch, &[&statement.encode()], &signature) {
            return Err(EnhancedError::Signature("epoch"));
        }
        let mut member = Member {
            device: self.device.share(),
            config: self.config.clone(),
            domain: self.domain.clone(),
            state,
            own,
            link: statement.link(),
            authenticator: vec![],
            began: now,
            wishes: Sequences::default(),
            words: Sequences::default(),
            sequence: 0,
            word: 0,
            said: VecDeque::new(),
            pending: VecDeque::new(),
            out: VecDeque::new(),
            sign: now,
            beat: 0,
            warned: false,
            stopped: false,
            left: None,
            leaving: None,
        };
        member.open(secret, Switch::AtOnce)?;
        Ok(member)
    }
}

/// A wish on its way.
struct Pending {
    sequence: u64,
    ask: Ask,
    seen: [u8; 32],
    /// Since when, from the next tick on.
    since: Option<Time>,
    /// That nothing came of it so far was told.
    told: bool,
}

/// A member's view of an enhanced meeting.
pub struct Member {
    device: Device,
    config: Config,
    domain: Domain,
    state: State,
    own: Stay,
    /// Names this epoch and all before it.
    link: [u8; 32],
    authenticator: Vec<u8>,
    began: Time,
    /// The last wishes and the last words of everybody.
    wishes: Sequences,
    words: Sequences,
    /// This member's own last ones.
    sequence: u64,
    word: u64,
    /// Words of this member that have not come back yet.
    said: VecDeque<(u64, Zeroizing<Vec<u8>>)>,
    pending: VecDeque<Pending>,
    out: VecDeque<Output>,
    /// The last sign of life of the service in this epoch.
    sign: Time,
    beat: u64,
    warned: bool,
    stopped: bool,
    left: Option<Left>,
    /// Since when this member wants to go.
    leaving: Option<Time>,
}

impl Member {
    /// Who is in.
    pub fn roster(&self) -> &Roster {
        &self.state.roster
    }

    /// What is agreed.
    pub fn policy(&self) -> &EnginePolicy {
        &self.state.policy
    }

    /// Number of the epoch.
    pub fn epoch(&self) -> u64 {
        self.state.epoch
    }

    /// When it began, on this member's clock.
    pub fn began(&self) -> Time {
        self.began
    }

    /// This member's leaf.
    pub fn own_leaf(&self) -> u16 {
        self.own.leaf
    }

    /// Why this member is out, where it is.
    pub fn left(&self) -> Option<Left> {
        self.left
    }

    /// What only members of this epoch can say, and the service.
    pub fn authenticator(&self) -> &[u8] {
        &self.authenticator
    }

    /// What is to be sent, used or known, in order.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// Lets in whoever this entry is of, as [`Event::Knock`] brought it.
    ///
    /// # Errors
    /// [`GroupError::KeyPackage`], and those of [`Member::ask`].
    pub fn admit(&mut self, entry: &[u8]) -> Result<Person, GroupError> {
        let read = Entry::decode(entry).filter(|entry| entry.check(&self.domain).is_ok());
        let person = read.ok_or(GroupError::KeyPackage)?.person;
        self.ask(Request::Admit { key_package: entry.to_vec(), ticket: ticket(entry) }).map(|()| person)
    }

    /// Asks for anything that a host may ask for; new keys anybody may ask for.
    ///
    /// # Errors
    /// [`GroupError::NotHost`], [`GroupError::Out`], [`GroupError::TooMuch`].
    pub fn ask(&mut self, request: Request) -> Result<(), GroupError> {
        if self.left.is_some() {
            return Err(GroupError::Out);
        }
        if !self.rules() && request != Request::Renew {
            return Err(GroupError::NotHost);
        }
        self.wish(Ask::Do(request))
    }

    /// Has the service say no to whoever knocked with this ticket.
    ///
    /// # Errors
    /// [`GroupError::NotHost`], [`GroupError::Out`], [`GroupError::Library`].
    pub fn deny(&mut self, to: Ticket, why: Why) -> Result<(), GroupError> {
        if self.left.is_some() {
            return Err(GroupError::Out);
        }
        if !self.rules() {
            return Err(GroupError::NotHost);
        }
        self.sign_wish(Ask::Deny(to, why)).map(drop)
    }

    /// Asks to be taken out, and goes alone where the service does not let it. The only host hands its role over first:
    /// to the lowest co-host, else the lowest member.
    pub fn leave(&mut self, now: Time) {
        if self.left.is_some() || self.leaving.is_some() {
            return;
        }
        self.leaving = Some(now);
        let own = self.own.leaf;
        let host = |member: &&Seat| member.role == Role::Host;
        let only = self.rules() && self.state.roster.iter().filter(host).all(|member| member.leaf == own);
        let rank = |member: &&Seat| (member.role != Role::CoHost, member.role == Role::Recorder, member.leaf);
        let next = self.state.roster.iter().filter(|member| member.leaf != own).min_by_key(rank);
        if let Some(identity) = next.map(|member| member.identity).filter(|_| only) {
            let _ = self.wish(Ask::Do(Request::Role { identity, role: Role::Host }));
        }
        let _ = self.wish(Ask::Leave);
    }

    /// Says something to all members, signed and in the order of the service, which reads it; it comes back to this
    /// member too. A word that a new epoch overtook is said again in that one.
    ///
    /// # Errors
    /// [`GroupError::TooMuch`], [`GroupError::Out`], [`GroupError::Library`].
    pub fn tell(&mut self, body: &[u8]) -> Result<(), GroupError> {
        if self.left.is_some() {
            return Err(GroupError::Out);
        }
        if body.len() > MAX_WORD || self.said.len() >= MAX_WORDS {
            return Err(GroupError::TooMuch);
        }
        let (epoch, sequence) = (self.state.epoch, self.word + 1);
        let unsigned = Word { stay: self.own, epoch, sequence, body: body.to_vec(), signature: [0; _] };
        let signature = self.domain.sign(&self.device, Label::Word, &[&unsigned.text()]);
        let signature = signature.map_err(|_| GroupError::Library("a word could not be signed"))?;
        self.word = sequence;
        self.said.push_back((sequence, Zeroizing::new(body.to_vec())));
        self.say(Up::Word(Word { signature, ..unsigned }));
        Ok(())
    }

    /// Takes a message of the service. What does not hold changes nothing and is an [`Alarm`].
    ///
    /// # Errors
    /// [`EnhancedError::Form`] where it is none, [`EnhancedError::Mismatch`] where it is a group's; [`GroupError::Out`].
    pub fn handle(&mut self, message: &[u8], now: Time) -> Result<(), EnhancedError> {
        if self.left.is_some() {
            return Err(GroupError::Out.into());
        }
        let Some(down) = Down::decode(message) else {
            let group = Envelope::decode(message).is_ok();
            return Err(if group { EnhancedError::Mismatch("meeting type") } else { EnhancedError::Form });
        };
        let judged = match down {
            Down::Turn(turn) => self.turn(turn, now),
            Down::Beat(beat) => self.beat(&beat, now),
            Down::Word(word) => self.heard(word),
            Down::Knock(entry) => {
                let whole = entry.check(&self.domain).map_err(|_| Alarm::Forged("entry"));
                whole.map(|()| {
                    let key_package = entry.encode();
                    self.event(Event::Knock { key_package, person: entry.person, card: vec![] });
                })
            }
            Down::Denied { sequence, why } => {
                self.denied(sequence, why);
                Ok(())
            }
            Down::Out => {
                self.go(if self.leaving.is_some() { Left::Asked } else { Left::Removed });
                Ok(())
            }
            // For those who knock.
            Down::Challenge { .. } | Down::Refused(_) | Down::Welcome(_) => Ok(()),
        };
        if let Err(alarm) = judged {
            self.out.push_back(Output::Alarm(alarm));
        }
        self.tick(now);
        Ok(())
    }

    /// Tells it the time: where the service is silent it warns, then nothing more is sealed, then it leaves.
    pub fn tick(&mut self, now: Time) {
        if self.left.is_some() {
            return;
        }
        if self.leaving.is_some_and(|since| now.since(since) >= LEAVE_ALONE_US) {
            return self.go(Left::Asked);
        }
        self.look_after_wishes(now);
        let silence = now.since(self.sign);
        if silence >= WARN_US && !std::mem::replace(&mut self.warned, true) {
            self.event(Event::HeartbeatMissing);
        }
        if silence >= STOP_US && !std::mem::replace(&mut self.stopped, true) {
            self.event(Event::StopSealing);
        }
        if silence >= LEAVE_US {
            self.go(Left::Silence);
        }
    }

    /// Whoever waits long for what it asked for is told. New keys may have to wait.
    fn look_after_wishes(&mut self, now: Time) {
        let mut requests = vec![];
        let mut withheld = false;
        let waits = |wish: &&mut Pending| wish.ask != Ask::Do(Request::Renew);
        for Pending { ask, since, told, .. } in self.pending.iter_mut().filter(waits) {
            let since = *since.get_or_insert(now);
            if now.since(since) >= WITHHELD_US && !std::mem::replace(told, true) {
                withheld = true;
                requests.extend(if let Ask::Do(request) = ask { Some(request.clone()) } else { None });
            }
        }
        if withheld {
            self.event(Event::Withheld { requests });
        }
    }

    fn rules(&self) -> bool {
        self.state.roster.get(self.own.leaf).is_some_and(|member| member.role.rules())
    }

    fn wish(&mut self, ask: Ask) -> Result<(), GroupError> {
        if self.pending.len() >= MAX_PENDING {
            return Err(GroupError::TooMuch);
        }
        let (sequence, seen) = self.sign_wish(ask.clone())?;
        self.pending.push_back(Pending { sequence, ask, seen, since: None, told: false });
        Ok(())
    }

    /// Says it; returns its number and the roster that it names.
    fn sign_wish(&mut self, ask: Ask) -> Result<(u64, [u8; 32]), GroupError> {
        let (sequence, seen) = (self.sequence + 1, self.state.roster.hash());
        let wish = Wish::sign(&self.device, &self.domain, self.own, sequence, seen, ask);
        let wish = wish.map_err(|_| GroupError::Library("a wish could not be signed"))?;
        self.sequence = sequence;
        self.say(Up::Wish(wish));
        Ok((sequence, seen))
    }

    /// Judges the next epoch, and enters it.
    fn turn(&mut self, turn: Turn, now: Time) -> Result<(), Alarm> {
        let Turn { secret, epoch, previous, acts, roster, policy, signature } = turn;
        let commitment = secret.commitment().map_err(|_| Alarm::Unsigned)?;
        let statement = Statement { epoch, previous, acts: acts_hash(&acts), roster, policy, commitment };
        if !self.domain.holds(&self.config.service, Label::Epoch, &[&statement.encode()], &signature) {
            return Err(Alarm::Unsigned);
        }
        let expected = self.state.epoch + 1;
        if epoch != expected {
            return Err(Alarm::Order { expected, got: epoch });
        }
        if previous != self.link {
            return Err(Alarm::Fork);
        }
        let wishes = self.signed(&acts)?;
        let Verdict { after, gone, switch } = conclusion(&self.state, &acts)?;
        if roster_hash(&after.roster) != roster {
            return Err(Alarm::Roster);
        }
        if after.policy.hash() != policy {
            return Err(Alarm::Policy);
        }
        if after.roster.get(self.own.leaf).is_none_or(|member| Stay::of(member) != self.own) {
            self.go(if self.leaving.is_some() { Left::Asked } else { Left::Removed });
            return Ok(());
        }
        let came = after.roster.iter().filter(|member| member.joined == epoch).cloned().collect();
        let only_left = only_left(&self.state.roster, &after.roster, &gone);
        let before = self.state.roster.hash();
        (self.state, self.link, self.wishes, self.began) = (after, statement.link(), wishes, now);
        self.wishes.keep(&self.state.roster);
        self.words.keep(&self.state.roster);
        self.life(now);
        if self.open(secret, switch).is_err() {
            self.go(Left::Broken);
            return Ok(());
        }
        self.event(Event::Changed { epoch, committer: None, came, gone });
        self.settle(&acts, before, only_left);
        // The service passes on what is of its own epoch, so what has not come back by now went to nobody.
        for (_, word) in std::mem::take(&mut self.said) {
            if self.tell(&word).is_err() {
                tracing::warn!("a word to all is lost");
            }
        }
        Ok(())
    }

    /// Whether each act is signed by its author, for the first time, and for the roster that it saw.
    fn signed(&self, acts: &[Act]) -> Result<Sequences, Alarm> {
        let mut wishes = self.wishes.clone();
        let seen = self.state.roster.hash();
        let genuine = |entry: &Entry| entry.check(&self.domain).map_err(|_| Alarm::Forged("entry"));
        for act in acts {
            match act {
                Act::Lost(_) => {}
                Act::Host(entry) => genuine(entry)?,
                Act::Wish(wish) => {
                    wish.author(&self.state.roster, &self.domain).ok_or(Alarm::Forged("wish"))?;
                    if !wishes.take(wish.stay, wish.sequence) || (wish.names_roster() && wish.seen != seen) {
                        return Err(Alarm::Replayed(wish.stay.leaf));
                    }
                    if let Ask::Do(Request::Admit { key_package, .. }) = &wish.ask {
                        genuine(&Entry::decode(key_package).ok_or(Alarm::Forged("entry"))?)?;
                    }
                }
            }
        }
        Ok(wishes)
    }

    /// What became of this member's wishes: done, still to come, or for another roster than the one it saw. Where all that
    /// happened was its own doing it asks again by itself, and for a lock where some `only_left` of the roster `before`,
    /// else its user is asked.
    fn settle(&mut self, acts: &[Act], before: [u8; 32], only_left: bool) {
        let wishes = acts.iter().filter_map(|act| if let Act::Wish(wish) = act { Some(wish) } else { None });
        let done: BTreeSet<u64> = wishes.filter(|wish| wish.stay == self.own).map(|wish| wish.sequence).collect();
        let own_doing = done.len() == acts.len();
        let roster = self.state.roster.hash();
        for pending in std::mem::take(&mut self.pending) {
            let Pending { sequence, seen, .. } = pending;
            match pending.ask {
                _ if done.contains(&sequence) => {}
                Ask::Do(Request::Renew) => {}
                Ask::Do(request) if request.names_roster() && seen != roster => {
                    let still = only_left && seen == before && request == Request::Lock;
                    match own_doing || still {
                        true => drop(self.wish(Ask::Do(request))),
                        false => self.event(Event::Confirm { request, roster }),
                    }
                }
                ask => self.pending.push_back(Pending { ask, ..pending }),
            }
        }
    }

    fn denied(&mut self, sequence: u64, why: Refusal) {
        let Some(at) = self.pending.iter().position(|pending| pending.sequence == sequence) else { return };
        let Some(Pending { ask, seen, .. }) = self.pending.remove(at) else { return };
        let Ask::Do(request) = ask.clone() else { return };
        // The service says little of why; the table that it goes by is known here too.
        let wish = Wish { stay: self.own, sequence, seen, ask, signature: [0; _] };
        let why = match (why, conclusion(&self.state, &[Act::Wish(wish)])) {
            (Refusal::Illegal, Err(Alarm::Illegal(why))) => why,
            _ => Illegal::NotMade,
        };
        self.event(Event::Denied { request, why });
    }

    fn heard(&mut self, word: Word) -> Result<(), Alarm> {
        let author = self.state.roster.get(word.stay.leaf).filter(|member| member.joined == word.stay.joined);
        let author = author.ok_or(Alarm::Forged("word"))?;
        if !self.domain.holds(&author.identity.0, Label::Word, &[&word.text()], &word.signature) {
            return Err(Alarm::Forged("word"));
        }
        if word.epoch != self.state.epoch || !self.words.take(word.stay, word.sequence) {
            return Err(Alarm::Replayed(word.stay.leaf));
        }
        if word.stay == self.own {
            self.said.retain(|(sequence, _)| *sequence != word.sequence);
        }
        self.event(Event::Told { leaf: word.stay.leaf, body: Zeroizing::new(word.body) });
        Ok(())
    }

    /// A heartbeat counts in this member's epoch, once.
    fn beat(&mut self, beat: &Beat, now: Time) -> Result<(), Alarm> {
        if !self.domain.holds(&self.config.service, Label::Beat, &[&beat.text()], &beat.signature) {
            return Err(Alarm::Unsigned);
        }
        if beat.epoch == self.state.epoch && beat.link != self.link {
            return Err(Alarm::Fork);
        }
        if beat.epoch == self.state.epoch && beat.sequence > self.beat {
            self.beat = beat.sequence;
            self.life(now);
            // The turn was late, or led in the middle of the epoch.
            if let Some(began) = began_earlier(self.began, beat.age_us, now) {
                self.began = began;
                self.event(Event::Began { epoch: beat.epoch, began });
            }
        }
        Ok(())
    }

    fn life(&mut self, now: Time) {
        (self.sign, self.warned) = (now, false);
        if std::mem::take(&mut self.stopped) {
            self.event(Event::Alive);
        }
    }

    /// Hands out the epoch that the state is in.
    fn open(&mut self, secret: MediaSecret, switch: Switch) -> Result<(), EnhancedError> {
        self.authenticator = secret.authenticator(&self.link)?;
        let input = EpochInput {
            group: self.config.meeting.group.clone(),
            epoch: self.state.epoch,
            secret: secret.bound(&self.authenticator)?,
            profile: self.state.policy.profile,
            own: self.own.leaf,
            roster: self.state.roster.clone(),
            policy: self.state.policy.encode(),
            authenticator: self.authenticator.clone(),
            began: self.began,
        };
        self.out.push_back(Output::Group(event::Output::Epoch(Box::new(input), switch)));
        Ok(())
    }

    fn go(&mut self, why: Left) {
        if self.left.is_none() {
            self.left = Some(why);
            self.event(Event::Left(why));
        }
    }

    fn say(&mut self, up: Up) {
        self.out.push_back(Output::Group(event::Output::Send(up.encode())));
    }

    fn event(&mut self, event: Event) {
        self.out.push_back(Output::Group(event::Output::Event(event)));
    }
}
