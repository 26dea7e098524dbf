//! The service's end: it makes the keys, so it can read the meeting; who comes and goes, and what is agreed, is what members
//! signed.
//!
//! It has one random key of 256 bits. Each epoch's secret follows from that key and the epoch's number, and members only
//! ever get epochs' secrets, from which no other follows: whoever is out reads nothing later, whoever comes nothing older.
//! The service itself reads everything for as long as it has the key; [`Service::listen`] is how.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use aws_lc_rs::hkdf::HKDF_SHA512;
use aws_lc_rs::rand;
use zeroize::Zeroizing;

use super::entry::Entry;
use super::plan::{Act, Ask, Sequences, Statement, Stay, Wish, acts_hash, conclusion, roster_hash};
use super::sign::{Domain, Label, ServiceKey};
use super::wire::{Beat, Down, MAX_ACTS, Refusal, SECRET, Turn, Up, Welcome, Word};
use super::{BEAT_US, Config, EnhancedError};
use crate::e2ee::group::card::Why;
use crate::e2ee::group::event::Request;
use crate::e2ee::group::rules::{State, Verdict};
use crate::e2ee::group::wire::{Envelope, Ticket};
use crate::e2ee::group::{BATCH_US, FLOOR_US, SPACING_US, UPDATES_US};
use crate::e2ee::keys::MAX_LEAVES;
use crate::e2ee::secret::Secret;
use crate::e2ee::{EpochInput, KeyError, MediaSecret, Role, Roster};
use crate::relay::{Connection, Delivery, Hub};
use crate::time::Time;

/// Connections at most, those who wait included.
pub const MAX_CONNECTIONS: usize = 2 * MAX_LEAVES as usize;

/// Those who wait of whom hosts know at most, which is as many as a door keeps.
pub const MAX_SHOWN: usize = 256;

/// Wishes of one member that wait at most, where it does not rule.
const MAX_ORDINARY: usize = 2;

/// What goes to whom: wiped when dropped, as keys are among it.
pub type Reply = (Connection, Zeroizing<Vec<u8>>);

/// Counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Stats {
    /// Epochs made.
    pub epochs: u64,
    /// Messages that cannot be read, or came out of turn.
    pub unreadable: u64,
    /// Messages whose signature does not hold.
    pub unsigned: u64,
    /// Wishes and words that came again, or whose author is gone.
    pub replayed: u64,
    /// Words of an epoch that was over: their authors say them again.
    pub stale: u64,
    /// Wishes that their author may not make.
    pub refused: u64,
}

enum Peer {
    /// It has said nothing that counts.
    New,
    /// It was asked to sign this.
    Challenged(Entry, [u8; 32]),
    /// In the waiting room, and whether those who rule know of it.
    Waiting(Entry, bool),
    /// A member.
    In(Stay),
}

impl Peer {
    fn waiting(&self) -> Option<&Entry> {
        if let Peer::Waiting(entry, _) = self { Some(entry) } else { None }
    }
}

/// The service of one meeting.
pub struct Service {
    config: Config,
    domain: Domain,
    signer: ServiceKey,
    key: Secret,
    state: State,
    /// Each member's own entry, and where it is connected.
    seats: BTreeMap<u16, (Entry, Connection)>,
    link: [u8; 32],
    began: Time,
    peers: BTreeMap<Connection, Peer>,
    wishes: Sequences,
    words: Sequences,
    queue: VecDeque<(Act, Time)>,
    /// Since when new keys are asked for, and whether by somebody who rules.
    renew: Option<(Time, bool)>,
    next_beat: Time,
    beats: u64,
    out: Vec<Reply>,
    stats: Stats,
}

impl Service {
    /// A meeting that nobody is in yet, with a new key.
    ///
    /// # Errors
    /// [`EnhancedError::Config`] where the configuration is no enhanced meeting's, names no host or another service.
    pub fn new(config: Config, signer: ServiceKey) -> Result<Self, EnhancedError> {
        config.check()?;
        let host = config.meeting.host.filter(|_| signer.public() == config.service).ok_or(EnhancedError::Config)?;
        let policy = config.meeting.policy(host)?;
        let mut key = Zeroizing::new([0; 32]);
        rand::fill(&mut key[..]).map_err(|_| KeyError::Derive)?;
        let mut service = Self {
            domain: Domain::of(&config)?,
            config,
            signer,
            key: Secret::copy_of(&key[..]),
            state: State { epoch: 0, roster: Roster::default(), policy },
            seats: BTreeMap::new(),
            link: [0; 32],
            began: Time(0),
            peers: BTreeMap::new(),
            wishes: Sequences::default(),
            words: Sequences::default(),
            queue: VecDeque::new(),
            renew: None,
            next_beat: Time(0),
            beats: 0,
            out: vec![],
            stats: Stats::default(),
        };
        service.link = service.statement(&[], [0; 32], &service.secret()?)?.link();
        Ok(service)
    }

    /// Who is in.
    pub fn roster(&self) -> &Roster {
        &self.state.roster
    }

    /// Number of the epoch.
    pub fn epoch(&self) -> u64 {
        self.state.epoch
    }

    /// Counts.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// The keys of this epoch as `leaf` has them: with them the service opens what everybody else in the meeting sends. That
    /// it can is what makes the meeting an enhanced one.
    ///
    /// # Errors
    /// [`EnhancedError::Key`] where nobody is on that leaf.
    pub fn listen(&self, leaf: u16) -> Result<EpochInput, EnhancedError> {
        if self.state.roster.get(leaf).is_none() {
            return Err(KeyError::Leaf(leaf).into());
        }
        let secret = self.secret()?;
        let authenticator = secret.authenticator(&self.link)?;
        Ok(EpochInput {
            group: self.config.meeting.group.clone(),
            epoch: self.state.epoch,
            profile: self.state.policy.profile,
            own: leaf,
            roster: self.state.roster.clone(),
            policy: self.state.policy.encode(),
            secret: secret.bound(&authenticator)?,
            authenticator,
            began: self.began,
        })
    }

    /// Somebody is there. Beyond [`MAX_CONNECTIONS`] nobody is heard.
    pub fn connect(&mut self, id: Connection) {
        if self.peers.len() < MAX_CONNECTIONS {
            self.peers.entry(id).or_insert(Peer::New);
        }
    }

    /// Somebody is gone; a member is taken out.
    pub fn disconnect(&mut self, id: Connection, now: Time) {
        match self.peers.remove(&id) {
            Some(Peer::In(stay)) => self.queue.push_back((Act::Lost(stay), now)),
            Some(Peer::Waiting(..)) => self.show(),
            _ => {}
        }
    }

    /// Takes a message of a connection and says what goes to whom.
    pub fn message(&mut self, from: Connection, message: &[u8], now: Time) -> Vec<Reply> {
        match (Up::decode(message), self.peers.get(&from)) {
            (_, None) => {}
            (Some(up), Some(_)) => self.heard(from, up, now),
            (None, Some(_)) => {
                self.stats.unreadable += 1;
                if let Ok(Envelope::KeyPackage(_)) = Envelope::decode(message) {
                    self.say(from, &Down::Refused(Refusal::MeetingType));
                }
            }
        }
        self.tick(now)
    }

    /// What it says by itself, the time being `now`.
    pub fn tick(&mut self, now: Time) -> Vec<Reply> {
        if self.due(now) {
            self.turn(now);
        }
        if now >= self.next_beat && self.state.epoch > 0 {
            self.next_beat = now.plus(BEAT_US);
            self.beats += 1;
            let (epoch, age_us) = (self.state.epoch, now.since(self.began));
            let unsigned = Beat { epoch, link: self.link, sequence: self.beats, age_us, signature: [0; _] };
            if let Ok(signature) = self.signer.sign(&self.domain, Label::Beat, &[&unsigned.text()]) {
                self.to_all(&Down::Beat(Beat { signature, ..unsigned }));
            }
        }
        std::mem::take(&mut self.out)
    }

    fn heard(&mut self, from: Connection, up: Up, now: Time) {
        match (up, self.peers.get(&from)) {
            (Up::Knock(entry), Some(Peer::New | Peer::Challenged(..))) => self.knock(from, entry),
            (Up::Answer(signature), Some(Peer::Challenged(entry, nonce))) => {
                let (entry, nonce) = (entry.clone(), *nonce);
                let asked: &[&[u8]] = &[&nonce, &entry.ticket()];
                if !self.domain.holds(&entry.person.identity.0, Label::Answer, asked, &signature) {
                    self.stats.unsigned += 1;
                    return self.say(from, &Down::Refused(Refusal::Signature));
                }
                self.wait(from, entry, now);
            }
            (Up::Wish(wish), Some(Peer::In(stay))) if wish.stay == *stay => self.wish(from, wish, now),
            (Up::Word(word), Some(Peer::In(stay))) if word.stay == *stay => self.word(word),
            (Up::Wish(_) | Up::Word(_), Some(Peer::In(_))) => self.stats.replayed += 1,
            _ => self.stats.unreadable += 1,
        }
    }

    fn knock(&mut self, from: Connection, entry: Entry) {
        let mut nonce = [0; 32];
        if entry.check(&self.domain).is_err() || rand::fill(&mut nonce).is_err() {
            self.stats.unsigned += 1;
            return self.say(from, &Down::Refused(Refusal::Signature));
        }
        let locked = self.state.policy.lock.as_ref();
        if locked.is_some_and(|lock| !lock.contains(&entry.person.identity)) {
            return self.say(from, &Down::Refused(Refusal::Locked));
        }
        let Ok(signature) = self.signer.sign(&self.domain, Label::Challenge, &[&nonce, &entry.ticket()]) else {
            return;
        };
        self.peers.insert(from, Peer::Challenged(entry, nonce));
        self.say(from, &Down::Challenge { nonce, signature });
    }

    /// Who has answered waits until a host lets it in. The host itself comes in while nobody rules.
    fn wait(&mut self, from: Connection, entry: Entry, now: Time) {
        let identity = entry.person.identity;
        for peer in self.peers.values_mut() {
            if peer.waiting().is_some_and(|former| former.person.identity == identity) {
                *peer = Peer::New;
            }
        }
        self.peers.insert(from, Peer::Waiting(entry.clone(), false));
        if self.state.policy.role(&identity) == Role::Host && !self.ruled() {
            self.found(entry, now);
        } else {
            self.show();
        }
    }

    /// Tells those who rule who waits, of those whom they know not yet, as long as there is room.
    fn show(&mut self) {
        let rulers = self.rulers();
        if rulers.is_empty() {
            return;
        }
        let mut room = MAX_SHOWN.saturating_sub(self.shown().count());
        let mut new = vec![];
        for peer in self.peers.values_mut() {
            if let (1.., Peer::Waiting(entry, shown @ false)) = (room, peer) {
                (*shown, room) = (true, room - 1);
                new.push(entry.clone());
            }
        }
        for down in new.into_iter().map(Down::Knock) {
            rulers.iter().for_each(|to| self.say(*to, &down));
        }
    }

    fn shown(&self) -> impl Iterator<Item = &Entry> {
        self.peers.values().filter_map(|peer| if let Peer::Waiting(entry, true) = peer { Some(entry) } else { None })
    }

    /// A host says no to whoever waits under this ticket.
    fn turn_away(&mut self, ticket: &Ticket, why: Why) {
        let waits = |peer: &Peer| peer.waiting().is_some_and(|entry| entry.ticket() == *ticket);
        let Some((to, peer)) = self.peers.iter_mut().find(|(_, peer)| waits(peer)) else { return };
        *peer = Peer::New;
        let to = *to;
        self.say(to, &Down::Refused(why.into()));
        self.show();
    }

    /// The host comes in by itself with the next epoch.
    fn found(&mut self, host: Entry, now: Time) {
        self.queue.retain(|(act, _)| !matches!(act, Act::Host(_)));
        self.queue.push_back((Act::Host(host), now));
    }

    /// A host that came while its former self, or another, still ruled waits; once nobody rules it comes in.
    fn recall(&mut self, now: Time) {
        let host = |entry: &&Entry| self.state.policy.role(&entry.person.identity) == Role::Host;
        let waiting = self.peers.values().filter_map(Peer::waiting).find(host).cloned();
        if let Some(host) = waiting.filter(|_| !self.ruled()) {
            self.found(host, now);
        }
    }

    fn wish(&mut self, from: Connection, wish: Wish, now: Time) {
        let sequence = wish.sequence;
        let Some(author) = wish.author(&self.state.roster, &self.domain) else {
            self.stats.unsigned += 1;
            return self.say(from, &Down::Denied { sequence, why: Refusal::Signature });
        };
        let rules = author.role.rules();
        if !self.wishes.take(wish.stay, sequence) {
            self.stats.replayed += 1;
            return self.say(from, &Down::Denied { sequence, why: Refusal::Replayed });
        }
        match wish.ask {
            Ask::Do(Request::Renew) => {
                let (since, ruling) = self.renew.unwrap_or((now, rules));
                self.renew = Some((since, ruling || rules));
                return;
            }
            Ask::Do(_) | Ask::Deny(..) if !rules => {
                self.stats.refused += 1;
                return self.say(from, &Down::Denied { sequence, why: Refusal::NotHost });
            }
            Ask::Deny(ticket, why) => return self.turn_away(&ticket, why),
            _ => {}
        }
        let theirs = |(act, _): &&(Act, Time)| matches!(act, Act::Wish(other) if other.stay == wish.stay);
        let most = if rules { MAX_ACTS / 2 } else { MAX_ORDINARY };
        // A full queue keeps nobody in.
        let out = matches!(wish.ask, Ask::Leave | Ask::Do(Request::Remove { .. }));
        let full = self.queue.len() >= MAX_ACTS && !out;
        if full || self.queue.iter().filter(theirs).count() >= most {
            return self.say(from, &Down::Denied { sequence, why: Refusal::Full });
        }
        self.queue.push_back((Act::Wish(wish), now));
    }

    fn word(&mut self, word: Word) {
        let author = self.state.roster.get(word.stay.leaf).map(|member| member.identity);
        let holds = |key: &[u8; 32]| self.domain.holds(key, Label::Word, &[&word.text()], &word.signature);
        if !author.is_some_and(|author| holds(&author.0)) {
            self.stats.unsigned += 1;
        } else if word.epoch != self.state.epoch {
            self.stats.stale += 1;
        } else if !self.words.take(word.stay, word.sequence) {
            self.stats.replayed += 1;
        } else {
            // To its author too, which obeys it where all others do.
            self.to_all(&Down::Word(word));
        }
    }

    /// Whether an epoch is to be made now.
    fn due(&self, now: Time) -> bool {
        // Only who is there can be kicked, so that nobody makes epochs without end by kicking.
        let kick = |act: &Act| match act {
            Act::Wish(Wish { ask: Ask::Do(Request::Remove { identity, kick: true }), .. }) => {
                self.state.roster.find(identity).is_some()
            }
            _ => false,
        };
        if self.queue.iter().any(|(act, _)| kick(act)) {
            return true;
        }
        let spaced = if self.state.epoch == 0 { Time(0) } else { self.began.plus(SPACING_US) };
        let asked = self.queue.front().map(|(_, at)| at.plus(BATCH_US));
        let there = !self.state.roster.is_empty();
        let renew = self.renew.map(|(_, rules)| self.began.plus(if rules { 0 } else { UPDATES_US }));
        let floor = there.then(|| self.began.plus(FLOOR_US));
        let due = [asked, renew.filter(|_| there), floor].into_iter().flatten().min();
        due.is_some_and(|due| now >= due.max(spaced))
    }

    /// Makes the next epoch of what waits.
    fn turn(&mut self, now: Time) {
        let (acts, later) = self.batch();
        self.queue = later;
        let fresh = self.renew.is_some() || now >= self.began.plus(FLOOR_US);
        if acts.is_empty() && (!fresh || self.state.roster.is_empty()) {
            return;
        }
        let Ok(verdict) = conclusion(&self.state, &acts) else { return };
        if self.enter(&acts, verdict, now).is_err() {
            tracing::warn!("an epoch of an enhanced meeting could not be made");
        }
    }

    /// What of the queue makes an epoch together, and what waits for the next.
    fn batch(&mut self) -> (Vec<Act>, VecDeque<(Act, Time)>) {
        let seen = self.state.roster.hash();
        let queue = std::mem::take(&mut self.queue);
        let here: BTreeSet<Stay> = self.state.roster.iter().map(Stay::of).collect();
        let there = |stay: &Stay| here.contains(stay);
        let (mut now, mut later) = (vec![], VecDeque::new());
        for (act, at) in queue {
            let fits = match &act {
                Act::Lost(stay) => there(stay),
                Act::Host(entry) => self.waiting(entry).is_some(),
                // Of a wish for another roster its author knows by itself.
                Act::Wish(wish) => there(&wish.stay) && (!wish.names_roster() || wish.seen == seen),
            };
            match act {
                _ if !fits => {}
                Act::Wish(wish) if !self.can(&wish) => self.deny(&wish),
                act if now.len() == MAX_ACTS => later.push_back((act, at)),
                act => now.push((act, at)),
            }
        }
        let queue = now;
        let all: Vec<Act> = queue.iter().map(|(act, _)| act.clone()).collect();
        if conclusion(&self.state, &all).is_ok() {
            return (all, later);
        }
        // Something in it is not allowed: each is tried with those before it. What is allowed alone waits for the next.
        let mut acts = vec![];
        for (act, at) in queue {
            acts.push(act);
            if conclusion(&self.state, &acts).is_ok() {
                continue;
            }
            let Some(act) = acts.pop() else { continue };
            if conclusion(&self.state, std::slice::from_ref(&act)).is_ok() {
                later.push_back((act, at));
            } else if let Act::Wish(wish) = act {
                self.deny(&wish);
            }
        }
        (acts, later)
    }

    /// Whether whoever a wish lets in still waits.
    fn can(&self, wish: &Wish) -> bool {
        match &wish.ask {
            Ask::Do(Request::Admit { key_package, .. }) => {
                Entry::decode(key_package).is_some_and(|entry| self.waiting(&entry).is_some())
            }
            _ => true,
        }
    }

    fn deny(&mut self, wish: &Wish) {
        self.stats.refused += 1;
        if let Some(to) = self.seats.get(&wish.stay.leaf).map(|(_, to)| *to) {
            self.say(to, &Down::Denied { sequence: wish.sequence, why: Refusal::Illegal });
        }
    }

    /// Where this entry waits.
    fn waiting(&self, entry: &Entry) -> Option<Connection> {
        self.peers.iter().find(|(_, peer)| peer.waiting() == Some(entry)).map(|(id, _)| *id)
    }

    /// The next epoch begins: its secret goes to those who are in it.
    fn enter(&mut self, acts: &[Act], verdict: Verdict, now: Time) -> Result<(), EnhancedError> {
        let Verdict { after, gone, .. } = verdict;
        let coming = acts.iter().filter_map(|act| match act {
            Act::Host(entry) => Some(entry.clone()),
            Act::Wish(Wish { ask: Ask::Do(Request::Admit { key_package, .. }), .. }) => Entry::decode(key_package),
            _ => None,
        });
        let coming: Vec<Entry> = coming.collect();
        let (rulers, previous) = (self.rulers(), self.link);
        self.state = after;
        let secret = self.secret()?;
        let statement = self.statement(acts, previous, &secret)?;
        let signature = self.signer.sign(&self.domain, Label::Epoch, &[&statement.encode()])?;
        (self.link, self.began, self.renew) = (statement.link(), now, None);
        self.stats.epochs += 1;
        self.wishes.keep(&self.state.roster);
        self.words.keep(&self.state.roster);

        for (member, _) in &gone {
            if let Some((_, to)) = self.seats.remove(&member.leaf) {
                self.say(to, &Down::Out);
                if let Some(peer) = self.peers.get_mut(&to) {
                    *peer = Peer::New;
                }
            }
        }
        let Statement { epoch, acts: hash, roster, policy, .. } = statement;
        let turn = Turn { secret, epoch, previous, acts: acts.to_vec(), roster, policy, signature };
        self.to_all(&Down::Turn(turn));

        let mut new = vec![];
        for entry in coming {
            let member = self.state.roster.find(&entry.person.identity).map(Stay::of);
            let (Some(stay), Some(to)) = (member, self.waiting(&entry)) else { continue };
            self.peers.insert(to, Peer::In(stay));
            self.seats.insert(stay.leaf, (entry, to));
            new.push(to);
        }
        if !new.is_empty() {
            let members = self.state.roster.iter().filter_map(|member| {
                let (entry, _) = self.seats.get(&member.leaf)?;
                Some((Stay::of(member), entry.clone()))
            });
            let (members, policy) = (members.collect(), self.state.policy.encode());
            let secret = self.secret()?;
            let welcome = Welcome { secret, epoch, previous, acts: hash, members, policy, signature };
            let welcome = Down::Welcome(welcome);
            new.into_iter().for_each(|to| self.say(to, &welcome));
        }
        self.introduce(&rulers);
        self.recall(now);
        Ok(())
    }

    /// Tells those who rule only now who waits, and all of them who there is room for now.
    fn introduce(&mut self, before: &[Connection]) {
        let new: Vec<_> = self.rulers().into_iter().filter(|to| !before.contains(to)).collect();
        let waiting: Vec<_> = self.shown().cloned().collect();
        for down in waiting.into_iter().filter(|_| !new.is_empty()).map(Down::Knock) {
            new.iter().for_each(|to| self.say(*to, &down));
        }
        self.show();
    }

    /// The secret of the epoch that the state is in.
    fn secret(&self) -> Result<MediaSecret, KeyError> {
        let (id, epoch) = (&self.config.meeting.group, self.state.epoch.to_be_bytes());
        let info: &[&[u8]] = &[b"Conclave 1.0 enhanced epoch ", &(id.len() as u16).to_be_bytes(), id, &epoch];
        MediaSecret::new(Secret::derive(HKDF_SHA512, self.key.as_slice(), info, SECRET)?.as_slice())
    }

    fn statement(&self, acts: &[Act], previous: [u8; 32], secret: &MediaSecret) -> Result<Statement, EnhancedError> {
        Ok(Statement {
            epoch: self.state.epoch,
            previous,
            acts: acts_hash(acts),
            roster: roster_hash(&self.state.roster),
            policy: self.state.policy.hash(),
            commitment: secret.commitment()?,
        })
    }

    fn ruled(&self) -> bool {
        self.state.roster.iter().any(|member| member.role.rules())
    }

    /// Where those who rule are connected.
    fn rulers(&self) -> Vec<Connection> {
        let rulers = self.state.roster.iter().filter(|member| member.role.rules());
        rulers.filter_map(|member| self.seats.get(&member.leaf).map(|(_, to)| *to)).collect()
    }

    fn say(&mut self, to: Connection, down: &Down) {
        if self.peers.contains_key(&to) {
            self.out.push((to, down.encode()));
        }
    }

    fn to_all(&mut self, down: &Down) {
        let bytes = down.encode();
        let seats = self.seats.values().map(|(_, to)| *to);
        self.out.extend(seats.filter(|to| self.peers.contains_key(to)).map(|to| (to, bytes.clone())));
    }
}

/// As the middle of a [`crate::gathering::Gathering`], whose network keeps copies of what it carries.
impl Hub for Service {
    fn connect(&mut self, id: Connection) {
        Service::connect(self, id);
    }

    fn disconnect(&mut self, id: Connection) {
        let now = self.began;
        Service::disconnect(self, id, now);
    }

    fn message(&mut self, from: Connection, message: &[u8], now: Time) -> Vec<Delivery> {
        Service::message(self, from, message, now).into_iter().map(delivery).collect()
    }

    fn tick(&mut self, now: Time) -> Vec<Delivery> {
        Service::tick(self, now).into_iter().map(delivery).collect()
    }
}

fn delivery((to, bytes): Reply) -> Delivery {
    (to, Arc::from(&bytes[..]))
}
