//! The group: who is in it and what its epochs are keyed with, by MLS (RFC 9420), as a core that is told the time and
//! does no IO. `E2EE.md` §6 has the design.
//!
//! [`Group`] takes envelopes from the relay and gives out others, new epochs and events. [`rules`] decides which commits
//! take effect, for all members alike; [`committer`] who makes them; [`heartbeat`] whether anybody is kept in the dark.
//! `follow` takes what comes, `lead` does what the clock asks for.
//!
//! Of a member that was there before this one, [`crate::e2ee::Member::joined`] is the epoch that this one joined in: the
//! number tells two members of one leaf apart, and never leaves the device.

mod arrivals;
pub mod card;
mod commit;
pub mod committer;
mod config;
pub mod event;
mod follow;
pub mod heartbeat;
pub mod identity;
mod joining;
mod knocks;
mod lead;
mod node_keys;
pub mod policy;
pub mod provider;
pub mod rules;
pub mod snapshot;
mod stack;
pub mod storage;
pub mod wire;

use std::collections::{BTreeMap, VecDeque};

use openmls::prelude::{
    GroupId, MlsGroup, MlsMessageIn, OpenMlsProvider, ProtocolMessage, QueuedProposal, Sender, tls_codec::Deserialize,
};
use zeroize::Zeroizing;

use self::arrivals::Arrivals;
pub(crate) use self::commit::read_key_package;
use self::commit::{Asked, Pending};
use self::committer::Committers;
pub(crate) use self::follow::only_left;
use self::heartbeat::{Chain, EVERY_US, HEARD_US};
use self::knocks::Used;
use self::node_keys::NodeKeys;
use self::rules::{Illegal, State};
use self::wire::{Envelope, MAX_MESSAGE, WireError, sha256, ticket};
use crate::e2ee::keys::MAX_LEAVES;
use crate::e2ee::{EpochInput, IdentityKey, MediaSecret, Member, Profile, Role, Roster};
use crate::faults::{self, Call};
use crate::time::Time;

pub use self::config::Config;
pub use self::event::{Event, Gone, Left, Output, Request, Switch};
pub use self::identity::{Device, LeafError, Person};
pub use self::joining::Joining;
pub use self::policy::{EnginePolicy, GroupSuite, MeetingType};
pub use self::provider::Provider;
pub use self::snapshot::StoreKey;
pub use self::storage::{Store, StoreError};

/// Microseconds between two commits, kicks exempt.
pub const SPACING_US: u64 = 500_000;
/// Microseconds that a request or a leave waits for others to share its commit.
pub const BATCH_US: u64 = 100_000;
/// Microseconds that updates wait for others.
pub const UPDATES_US: u64 = 2_000_000;
/// Microseconds after which every leaf's keys are renewed.
pub const FLOOR_US: u64 = 300_000_000;
/// Microseconds that a member waits past the floor before it proposes its update unasked.
const UNASKED_US: u64 = 15_000_000;
/// Microseconds after which a commit that did not come back is sent again.
const RESEND_US: u64 = 2_000_000;
/// Microseconds without a commit or a leave coming back until [`Event::Withheld`].
pub const WITHHELD_US: u64 = 5_000_000;
/// Microseconds until a member goes that nobody lets go.
pub const LEAVE_ALONE_US: u64 = 10_000_000;
/// Microseconds between two words of [`Event::Unreadable`].
const UNREADABLE_US: u64 = 10_000_000;
/// Microseconds that a later epoch is spoken of, and nothing is heard of this one, until [`Event::Stranded`].
pub const STRANDED_US: u64 = 5_000_000;
/// Proposals of one author that are kept in an epoch.
const MAX_PROPOSALS: usize = 4;
/// Proposals of the relay that are kept in an epoch.
const MAX_RELAY_PROPOSALS: usize = MAX_LEAVES as usize;
/// Requests that wait at most.
const MAX_REQUESTS: usize = 2 * MAX_LEAVES as usize;
/// Bytes of the longest word to all.
pub const MAX_WORD: usize = 16 << 10;
/// Words of one member that are on their way at most.
pub const MAX_WORDS: usize = 64;
/// The component whose secret the media keys follow from.
const COMPONENT: u16 = 0x8001;

const WORD_BEAT: u8 = 1;
const WORD_RENEW: u8 = 2;
const WORD_UPDATES: u8 = 3;
const WORD_TOLD: u8 = 4;

/// Why something could not be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// The configuration contradicts itself.
    #[error("the configuration is no group's: check the id, the limit and the suite")]
    Config,
    /// The configuration is an enhanced meeting's.
    #[error("an enhanced meeting has no group, its keys come from a service: join it as such, or create it end-to-end")]
    Enhanced,
    /// A leaf or a device is not as it must be.
    #[error(transparent)]
    Leaf(#[from] LeafError),
    /// Bytes are no envelope.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A key package is not valid, or not for this group.
    #[error("the key package is not valid for this group")]
    KeyPackage,
    /// A Welcome is not valid, or not for this device.
    #[error("the welcome is not valid, or not meant for this device")]
    Welcome,
    /// The group is not the one that the invite names.
    #[error("the group differs from the invite in its {0}: nothing of it is used")]
    Mismatch(&'static str),
    /// Only hosts may.
    #[error("only a host or a co-host can do this")]
    NotHost,
    /// There is nobody with that identity or on that leaf.
    #[error("there is no such member")]
    NoMember,
    /// This member is out.
    #[error("this member is no longer in the group")]
    Out,
    /// Too many requests, or too long a word.
    #[error("too much is asked at once")]
    TooMuch,
    /// The library refused.
    #[error("the group key agreement failed: {0}")]
    Library(&'static str),
}

/// Counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Stats {
    /// Epochs that this member saw begin.
    pub epochs: u64,
    /// Commits it made that took effect.
    pub committed: u64,
    /// Commits it made that another's preceded.
    pub lost: u64,
    /// Commits and proposals of others that the rules do not allow.
    pub refused: u64,
    /// Messages of epochs that had ended.
    pub stale: u64,
    /// Messages that could not be read, verified or followed.
    pub unreadable: u64,
    /// Heartbeats that counted.
    pub beats: u64,
}

/// A member's view of the group. Its secrets are in the library's storage and are gone with it.
pub struct Group {
    mls: MlsGroup,
    provider: Provider,
    device: Device,
    config: Config,
    state: State,
    own: u16,
    began: Time,
    /// Whether this member came into the epoch by a Welcome and has not heard how old it is.
    mid: bool,
    /// The epoch that this process resumed in: nothing is keyed, beaten or committed in it.
    resumed: Option<u64>,
    out: VecDeque<Output>,
    requests: VecDeque<Asked>,
    /// After a batch that the rules refuse as a whole: one request at a time.
    single: bool,
    pending: Option<Pending>,
    /// Of this epoch, once they are needed.
    keys: Option<NodeKeys>,
    committers: Committers,
    chains: BTreeMap<u16, Chain>,
    /// Key packages that led into the group.
    used: Used,
    /// The last heartbeat of this member, to know it when it comes back.
    beat: Option<Vec<u8>>,
    /// Words of this member on their way, as sent and as said.
    words: VecDeque<(Vec<u8>, Zeroizing<Vec<u8>>)>,
    next_beat: Time,
    /// How often this member beats now, where it does.
    beats: Option<u64>,
    /// Whose heartbeats of this epoch came, and when.
    heard: BTreeMap<u16, Time>,
    /// Who made the epoch that this member joined in.
    committer: Option<u16>,
    /// The last sign that messages come through.
    sign: Time,
    warned: bool,
    stopped: bool,
    /// When each leaf's keys were made, as far as this member knows.
    renewed: BTreeMap<u16, Time>,
    asked_updates: Option<Time>,
    first_proposal: Option<Time>,
    removals_proposed: bool,
    last_commit: Option<Time>,
    /// Since when this member wants to go, and whether it knows that its wish is kept back.
    leaving: Option<(Time, bool)>,
    /// Whether this epoch has this member's proposal to leave or to be renewed.
    proposed_leave: bool,
    proposed_update: bool,
    renew: bool,
    order: Option<u64>,
    /// When unreadable messages were told of last.
    told_unreadable: Option<Time>,
    /// Since when a later epoch is spoken of.
    ahead: Option<Time>,
    stranded: bool,
    left: Option<Left>,
    stats: Stats,
}

impl Group {
    /// A new group with this member as its host.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn create(device: &Device, config: Config, now: Time) -> Result<Self, GroupError> {
        config.end_to_end()?;
        let policy = config.policy(device.identity())?;
        Self::found(device, config, policy, now)
    }

    /// A new group under whatever policy: a hostile relay's own among them.
    pub(crate) fn found(device: &Device, config: Config, policy: EnginePolicy, now: Time) -> Result<Self, GroupError> {
        let provider = Provider::default();
        let create = config.create(device, &policy)?;
        let id = GroupId::from_slice(&config.group);
        let mls = MlsGroup::new_with_group_id(&provider, device, &create, id, device.credential())
            .map_err(|_| GroupError::Library("the group could not be made"))?;
        let mut group = Self::new(mls, provider, device, config, policy, &Arrivals::default(), now)?;
        group.open_epoch(Switch::AtOnce)?;
        stack::wipe();
        Ok(group)
    }

    /// Takes up a group that another process of this device was in. It makes no keys of the epoch it finds: it asks
    /// for a new one, and says nothing else before that.
    ///
    /// # Errors
    /// [`GroupError`] where the storage has no such group.
    pub fn resume(provider: Provider, device: &Device, config: Config, now: Time) -> Result<Self, GroupError> {
        config.end_to_end()?;
        let id = GroupId::from_slice(&config.group);
        let mut mls = MlsGroup::load(provider.storage(), &id)
            .ok()
            .flatten()
            .ok_or(GroupError::Library("the storage has no such group"))?;
        // What was proposed stays, this member's own too: the next commit may have it.
        mls.clear_pending_commit(provider.storage()).map_err(|_| GroupError::Library("the storage fails"))?;
        let policy = config.agrees(mls.public_group().group_context())?;
        let arrivals = provider.store().arrivals().and_then(|bytes| Arrivals::decode(&bytes)).unwrap_or_default();
        let mut group = Self::new(mls, provider, device, config, policy, &arrivals, now)?;
        group.resumed = Some(group.state.epoch);
        group.mid = true;
        group.renew = true;
        group.committers.unable(group.own);
        group.here();
        group.tick(now);
        stack::wipe();
        Ok(group)
    }

    /// The state of the group, to be sealed while it goes on.
    pub fn store(&self) -> &Store {
        self.provider.store()
    }

    /// What is left of the group when its process ends: its storage.
    pub fn suspend(self) -> Provider {
        self.provider
    }

    fn new(
        mls: MlsGroup,
        provider: Provider,
        device: &Device,
        config: Config,
        policy: EnginePolicy,
        arrivals: &Arrivals,
        now: Time,
    ) -> Result<Self, GroupError> {
        let epoch = mls.epoch().as_u64();
        let leaf = |leaf: u32| u16::try_from(leaf).ok().filter(|leaf| *leaf < MAX_LEAVES).ok_or(GroupError::NoMember);
        let own = leaf(mls.own_leaf_index().u32())?;
        let mut members = vec![];
        for (index, node) in mls.treesync().full_leaves() {
            let Person { identity, media, name } = Person::of(node)?;
            let role = policy.role(&identity);
            let joined = arrivals.joined(&identity, epoch);
            members.push(Member { leaf: leaf(index.u32())?, joined, identity, media, name, role });
        }
        let renewed = members.iter().map(|member| (member.leaf, now)).collect();
        let roster = Roster::new(members);
        if roster.get(own).is_none_or(|member| member.identity != device.identity()) {
            return Err(GroupError::Mismatch("device"));
        }
        Ok(Self {
            mls,
            provider,
            device: device.share(),
            config,
            state: State { epoch, roster, policy },
            own,
            began: now,
            mid: false,
            resumed: None,
            out: VecDeque::new(),
            requests: VecDeque::new(),
            single: false,
            pending: None,
            keys: None,
            committers: Committers::default(),
            chains: BTreeMap::new(),
            used: Used::of(arrivals.used()),
            beat: None,
            words: VecDeque::new(),
            next_beat: now,
            beats: None,
            heard: BTreeMap::new(),
            committer: None,
            sign: now,
            warned: false,
            stopped: false,
            renewed,
            asked_updates: None,
            first_proposal: None,
            removals_proposed: false,
            last_commit: None,
            leaving: None,
            proposed_leave: false,
            proposed_update: false,
            renew: false,
            order: None,
            told_unreadable: None,
            ahead: None,
            stranded: false,
            left: None,
            stats: Stats::default(),
        })
    }

    /// The Welcome led here; `sender` made the commit.
    fn joined(&mut self, sender: u32, now: Time) -> Result<(), GroupError> {
        let sender = u16::try_from(sender).ok().and_then(|leaf| self.state.roster.get(leaf));
        let sender = sender.filter(|member| member.role.rules()).ok_or(GroupError::Mismatch("sender"))?.leaf;
        self.committers.heard(sender, now);
        self.committer = Some(sender);
        self.mid = true;
        self.open_epoch(Switch::AtOnce)
    }

    /// An envelope that came while the Welcome was on its way.
    fn catch_up(&mut self, message: &[u8], now: Time) {
        let body = match Envelope::decode(message) {
            Ok(Envelope::Handshake { body, .. } | Envelope::Application { body, .. }) => body,
            _ => return,
        };
        if parse(body).is_some_and(|message| message.epoch().as_u64() >= self.state.epoch) {
            let _ = self.handle(message, now);
        }
    }

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

    /// Whose turn it was at the last tick to make what nobody in particular has to make: [`committer`].
    pub fn turn(&self) -> Option<u16> {
        self.committers.turn()
    }

    /// This member's leaf.
    pub fn own_leaf(&self) -> u16 {
        self.own
    }

    /// Why this member is out, where it is.
    pub fn left(&self) -> Option<Left> {
        self.left
    }

    /// What only members of this epoch can say.
    pub fn authenticator(&self) -> &[u8] {
        self.mls.epoch_authenticator().as_slice()
    }

    /// Counts.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// What is to be sent, used or known, in order.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// Lets in whoever this key package is of.
    ///
    /// # Errors
    /// [`GroupError::NotHost`], [`GroupError::KeyPackage`], [`GroupError::Leaf`], [`GroupError::TooMuch`].
    pub fn admit(&mut self, key_package: &[u8], now: Time) -> Result<Person, GroupError> {
        let (package, person) = read_key_package(&self.provider, key_package)?;
        let fits = package.ciphersuite() == self.state.policy.suite.mls() && !package.last_resort();
        if !fits || self.used.contains(&package) {
            return Err(GroupError::KeyPackage);
        }
        let request = Request::Admit { key_package: key_package.to_vec(), ticket: ticket(key_package) };
        self.ask(request, now).map(|()| person)
    }

    /// Takes a member out; a kick does not wait.
    ///
    /// # Errors
    /// [`GroupError::NotHost`], [`GroupError::NoMember`], [`GroupError::TooMuch`].
    pub fn remove(&mut self, leaf: u16, kick: bool, now: Time) -> Result<(), GroupError> {
        let member = self.state.roster.get(leaf).filter(|_| leaf != self.own).ok_or(GroupError::NoMember)?;
        self.ask(Request::Remove { identity: member.identity, kick }, now)
    }

    /// Lets in only those who are there.
    ///
    /// # Errors
    /// [`GroupError::NotHost`].
    pub fn lock(&mut self, now: Time) -> Result<(), GroupError> {
        self.ask(Request::Lock, now)
    }

    /// Lets others in again.
    ///
    /// # Errors
    /// [`GroupError::NotHost`].
    pub fn unlock(&mut self, now: Time) -> Result<(), GroupError> {
        self.ask(Request::Unlock, now)
    }

    /// Gives a member a role.
    ///
    /// # Errors
    /// [`GroupError::NotHost`], [`GroupError::NoMember`].
    pub fn set_role(&mut self, identity: IdentityKey, role: Role, now: Time) -> Result<(), GroupError> {
        self.state.roster.find(&identity).ok_or(GroupError::NoMember)?;
        self.ask(Request::Role { identity, role }, now)
    }

    /// Asks for anything that a host may ask for.
    ///
    /// # Errors
    /// [`GroupError::NotHost`], [`GroupError::Out`], [`GroupError::TooMuch`].
    pub fn ask(&mut self, request: Request, now: Time) -> Result<(), GroupError> {
        if self.left.is_some() {
            return Err(GroupError::Out);
        }
        if !self.rules() {
            return if request == Request::Renew { self.ask_to_renew(now) } else { Err(GroupError::NotHost) };
        }
        if self.requests.len() >= MAX_REQUESTS {
            return Err(GroupError::TooMuch);
        }
        self.requests.push_back(Asked { request, seen: self.state.roster.hash(), at: now });
        self.tick(now);
        Ok(())
    }

    /// Has another member make a new epoch: whoever does not rule commits nothing on its own account.
    fn ask_to_renew(&mut self, now: Time) -> Result<(), GroupError> {
        self.committers.unable(self.own);
        self.propose_update(now);
        self.say(WORD_RENEW, &[])?;
        self.tick(now);
        Ok(())
    }

    /// Asks to be taken out. The only host hands its role over first: to the lowest co-host, else the lowest member.
    pub fn leave(&mut self, now: Time) {
        self.leaving.get_or_insert((now, false));
        if self.state.roster.len() == 1 {
            self.go(Left::Asked);
        }
        self.tick(now);
    }

    /// Says something to all members, signed and in the order of the relay, in which it comes back to this member too.
    /// A word that a new epoch overtook is said again in that one, so that it comes to all or, where the relay keeps it
    /// back, to none.
    ///
    /// # Errors
    /// [`GroupError::TooMuch`], [`GroupError::Out`], [`GroupError::Library`].
    pub fn tell(&mut self, body: &[u8]) -> Result<(), GroupError> {
        if body.len() > MAX_WORD || self.words.len() >= MAX_WORDS {
            return Err(GroupError::TooMuch);
        }
        if self.left.is_some() || self.resumed.is_some() {
            return Err(GroupError::Out);
        }
        let sent = self.say(WORD_TOLD, body)?;
        self.words.push_back((sent, Zeroizing::new(body.to_vec())));
        Ok(())
    }

    /// Words of this member that have not come back yet.
    pub fn words_on_their_way(&self) -> usize {
        self.words.len()
    }

    /// Says no to somebody who knocked, under this member's name.
    ///
    /// # Errors
    /// [`GroupError::NotHost`], [`GroupError::Out`].
    pub fn deny(&mut self, to: wire::Ticket, why: card::Why) -> Result<(), GroupError> {
        if self.left.is_some() {
            return Err(GroupError::Out);
        }
        if !self.rules() {
            return Err(GroupError::NotHost);
        }
        let body = card::Denial::sign(&self.device, &self.config.group, &to, why).encode();
        self.out.push_back(Output::Send(Envelope::Denied { to, body: &body }.encode()));
        Ok(())
    }

    /// Takes an envelope from the relay. What cannot be read or is not allowed changes nothing; events and counts tell.
    ///
    /// # Errors
    /// [`GroupError::Wire`] where it is no envelope, [`GroupError::Out`].
    pub fn handle(&mut self, message: &[u8], now: Time) -> Result<(), GroupError> {
        if self.left.is_some() {
            return Err(GroupError::Out);
        }
        match Envelope::decode(message).inspect_err(|_| self.unreadable(now))? {
            Envelope::Handshake { order, body } => self.ordered(order, body, true, now),
            Envelope::Application { order, body } => self.ordered(order, body, false, now),
            Envelope::KeyPackage(body) => self.knocked(body, &[], now),
            Envelope::Knock { card, key_package } => self.knocked(key_package, card, now),
            Envelope::Welcome { .. } | Envelope::Here { .. } | Envelope::Denied { .. } | Envelope::Room { .. } => {
                self.stats.unreadable += 1;
            }
        }
        self.tick(now);
        Ok(())
    }

    fn knocked(&mut self, key_package: &[u8], card: &[u8], now: Time) {
        let Ok((package, person)) = read_key_package(&self.provider, key_package) else {
            return self.unreadable(now);
        };
        if self.used.contains(&package) {
            self.stats.stale += 1;
            return;
        }
        let said = match card {
            [] => Some(vec![]),
            card => card::read(&person.identity, &self.config.group, &ticket(key_package), card),
        };
        match said {
            Some(card) => self.event(Event::Knock { key_package: key_package.to_vec(), person, card }),
            None => self.unreadable(now),
        }
    }

    /// Exports the epoch's secret, once, and hands the epoch out.
    fn open_epoch(&mut self, switch: Switch) -> Result<(), GroupError> {
        let failed = |_| GroupError::Library("the epoch's secret could not be exported");
        if faults::fails(Call::Export) {
            return Err(GroupError::Library("the epoch's secret could not be exported"));
        }
        let (crypto, profile) = (self.provider.crypto(), self.state.policy.profile);
        let secret = Zeroizing::new(match profile {
            Profile::Conclave => self
                .mls
                .safe_export_secret(crypto, self.provider.storage(), COMPONENT)
                .map_err(|_| GroupError::Library("the epoch's secret was exported before"))?,
            Profile::Rfc9605Mls => {
                let len = Profile::Rfc9605Mls.secret_len();
                let exported = self.mls.export_secret(crypto, "SFrame 1.0 Base Key", &[], len);
                exported.map_err(|_| GroupError::Library("the epoch's secret could not be exported"))?
            }
        });
        let input = EpochInput {
            group: self.config.group.clone(),
            epoch: self.state.epoch,
            secret: MediaSecret::new(&secret).map_err(failed)?,
            profile,
            own: self.own,
            roster: self.state.roster.clone(),
            policy: self.state.policy.encode(),
            authenticator: self.authenticator().to_vec(),
            began: self.began,
        };
        self.provider.store().set_arrivals(&Arrivals::of(&self.state.roster, self.used.names()).encode());
        self.stats.epochs += 1;
        self.here();
        self.out.push_back(Output::Epoch(Box::new(input), switch));
        Ok(())
    }

    fn here(&mut self) {
        let here = Envelope::Here { group: &self.config.group, epoch: self.state.epoch, leaf: self.own };
        self.out.push_back(Output::Send(here.encode()));
    }

    fn rules(&self) -> bool {
        self.state.roster.get(self.own).is_some_and(|member| member.role.rules())
    }

    fn event(&mut self, event: Event) {
        self.out.push_back(Output::Event(event));
    }

    fn unreadable(&mut self, now: Time) {
        self.stats.unreadable += 1;
        if self.told_unreadable.is_none_or(|told| now.since(told) >= UNREADABLE_US) {
            self.told_unreadable = Some(now);
            self.event(Event::Unreadable { count: self.stats.unreadable });
        }
    }

    fn refuse(&mut self, leaf: Option<u16>, why: Illegal) {
        self.stats.refused += 1;
        self.event(Event::Refused { leaf, why });
    }

    /// `leaf` is in this epoch. It is a sign of life where it is the first host, or one of enough witnesses.
    fn hear(&mut self, leaf: u16, now: Time) {
        self.committers.heard(leaf, now);
        self.heard.insert(leaf, now);
        let witnesses = committer::witnesses(&self.state.roster);
        let there = |leaf: &&u16| {
            **leaf == self.own || self.heard.get(*leaf).is_some_and(|heard| now.since(*heard) <= HEARD_US)
        };
        let enough = 2 * witnesses.iter().filter(there).count() > witnesses.len();
        if enough || committer::first(&self.state.roster) == Some(leaf) {
            self.sign_of_life(now);
        }
    }

    fn sign_of_life(&mut self, now: Time) {
        self.sign = now;
        self.warned = false;
        (self.ahead, self.stranded) = (None, false);
        if std::mem::take(&mut self.stopped) {
            self.event(Event::Alive);
        }
    }

    /// Out: the group's secrets go with it.
    fn go(&mut self, why: Left) {
        if self.left.is_none() {
            self.left = Some(why);
            self.pending = None;
            if self.mls.delete(self.provider.storage()).is_err() {
                tracing::warn!("the storage keeps what it should delete");
            }
            self.event(Event::Left(why));
        }
    }

    /// Sends a word to all. The library sends none while proposals wait, so they are put aside for the moment.
    fn say(&mut self, kind: u8, body: &[u8]) -> Result<Vec<u8>, GroupError> {
        let failed = || GroupError::Library("a message could not be made");
        let aside: Vec<QueuedProposal> = self.mls.pending_proposals().cloned().collect();
        let storage = self.provider.storage();
        self.mls.clear_pending_proposals(storage).map_err(|_| failed())?;
        let word = Zeroizing::new([&[kind], body].concat());
        let made = self.mls.create_message(&self.provider, &self.device, &word);
        stack::wipe();
        for proposal in aside {
            self.mls.store_pending_proposal(storage, proposal).map_err(|_| failed())?;
        }
        let body = made.map_err(|_| failed())?.to_bytes().map_err(|_| failed())?;
        self.out.push_back(Output::Send(Envelope::Application { order: 0, body: &body }.encode()));
        Ok(body)
    }

    fn send_beat(&mut self, now: Time) {
        let (auth, age) = (sha256(self.authenticator()), now.since(self.began));
        let beat = self.chains.entry(self.own).or_default().beat(auth, age, now);
        self.next_beat = now.plus(self.beats.unwrap_or(EVERY_US));
        self.beat = self.say(WORD_BEAT, &beat.encode()).ok();
    }

    fn send_handshake(&mut self, body: &[u8]) {
        debug_assert!(body.len() < MAX_MESSAGE);
        self.out.push_back(Output::Send(Envelope::Handshake { order: 0, body }.encode()));
    }
}

/// The leaves that a commit renews by their owners' proposals.
fn updates<'a>(proposals: impl Iterator<Item = &'a QueuedProposal>) -> impl Iterator<Item = u16> {
    proposals.filter_map(|proposal| match (proposal.proposal(), proposal.sender()) {
        (openmls::prelude::Proposal::Update(_), Sender::Member(leaf)) => u16::try_from(leaf.u32()).ok(),
        _ => None,
    })
}

fn parse(body: &[u8]) -> Option<ProtocolMessage> {
    MlsMessageIn::tls_deserialize_exact(body).ok()?.try_into_protocol_message().ok()
}

#[cfg(test)]
mod hostile_tests;

#[cfg(test)]
mod tests {
    use super::heartbeat::MAX_AGE_US;
    use super::*;

    /// A host, and somebody whom it let in at 1 s and who heard nothing since the Welcome.
    fn pair() -> (Group, Group) {
        let config = Config::new(b"g").classical();
        let (host, guest) = (Device::generate("host").unwrap(), Device::generate("guest").unwrap());
        let mut host = Group::create(&host, config.clone(), Time(0)).unwrap();
        let (mut joining, knock) = Joining::new(&guest, config).unwrap();
        let Ok(Envelope::KeyPackage(package)) = Envelope::decode(&knock) else { panic!("no key package") };
        let at = Time::from_ms(1000);
        host.admit(package, at).unwrap();
        host.tick(at.plus(BATCH_US));
        let mut order = 0;
        loop {
            let Some(Output::Send(message)) = host.poll() else { continue };
            match Envelope::decode(&message).unwrap() {
                Envelope::Handshake { body, .. } => {
                    order += 1;
                    host.handle(&Envelope::Handshake { order, body }.encode(), at.plus(BATCH_US)).unwrap();
                }
                Envelope::Welcome { .. } => {
                    return (host, joining.handle(&message, Time::from_ms(3_600_000)).unwrap().unwrap());
                }
                _ => {}
            }
        }
    }

    #[test]
    fn a_joiner_takes_the_epochs_age_from_its_committer_and_within_bounds() {
        let (_, mut guest) = pair();
        let now = Time::from_ms(3_600_000);
        let auth = sha256(guest.authenticator());
        let mut beat = |leaf, age| {
            let beat = Chain::default().beat(auth, age, now);
            guest.word(leaf, &[&[WORD_BEAT][..], &beat.encode()].concat(), now);
            (guest.mid, guest.began)
        };
        assert_eq!(beat(7, 500), (true, now), "not the committer's");
        assert_eq!(beat(0, u64::MAX), (false, Time(now.0 - MAX_AGE_US)));
    }

    #[test]
    fn the_secret_of_an_epoch_is_exported_once() {
        for config in [Config::new(b"g"), Config::new(b"g").classical()] {
            let device = Device::generate("host").unwrap();
            let mut group = Group::create(&device, config, Time(0)).unwrap();
            assert!(group.open_epoch(Switch::Soon).is_err(), "a second export must fail");
            assert_eq!(group.stats().epochs, 1);
        }
    }
}
