//! A relay that attacks. Until it is told to begin it is honest; from then on it does the one thing that its [`Attack`]
//! is, hides what it leaves out by numbering each connection's messages anew, and is honest in everything else.

mod attack;
mod fake;
mod forge;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

pub use self::attack::{Attack, Cue};
use self::fake::Fake;
use super::Stated;
use crate::e2ee::Roster;
use crate::e2ee::group::wire::Envelope;
use crate::e2ee::group::{Config, EnginePolicy, MeetingType};
use crate::relay::{Connection, Delivery, Hub, Relay};
use crate::time::Time;

/// Words of the host that it keeps, to say them again.
const KEPT: usize = 8;
/// Microseconds between two repetitions of an old heartbeat.
const REPEAT_US: u64 = 2_000_000;
/// The connection of the relay's own device: nobody else's number.
const OWN: Connection = u64::MAX;
/// Seed of the key with which the relay proposes; a meeting that is to take its proposals is created with its public
/// half, see [`Malicious::public_key`].
const SEED: [u8; 32] = [0x6d; 32];

/// See the module.
pub struct Malicious {
    attack: Attack,
    relay: Relay,
    invite: Config,
    began: Option<Time>,
    hit: BTreeMap<Connection, Time>,
    /// The number of the last ordered message that each was given.
    orders: BTreeMap<Connection, u64>,
    /// What the host told everybody of late.
    kept: VecDeque<Vec<u8>>,
    next_repeat: Time,
    /// Whom it has made a meeting up for.
    fake: Option<(Connection, Fake)>,
    /// Who has gone, and the one from whom it is kept.
    left: Option<Connection>,
    dark: Option<Connection>,
    /// Whether it has said what it makes up.
    said: bool,
}

impl Malicious {
    /// It knows what every guest knows: the invite.
    pub fn new(attack: Attack, invite: Config) -> Self {
        Self {
            attack,
            relay: Relay::with_key(&SEED).unwrap_or_default(),
            invite,
            began: None,
            hit: BTreeMap::new(),
            orders: BTreeMap::new(),
            kept: VecDeque::new(),
            next_repeat: Time(0),
            fake: None,
            left: None,
            dark: None,
            said: false,
        }
    }

    /// The key of a malicious relay, for meetings that take a relay's proposals.
    pub fn public_key() -> Option<[u8; 32]> {
        Relay::with_key(&SEED)?.public_key()
    }

    /// What it does.
    pub fn attack(&self) -> Attack {
        self.attack
    }

    /// It begins.
    pub fn strike(&mut self, now: Time) {
        self.began.get_or_insert(now);
    }

    /// What must follow.
    pub fn stated(&self) -> Stated {
        self.attack.stated()
    }

    /// Whom it has attacked, and when first: to each of them the stated alarm is due.
    pub fn victims(&self) -> &BTreeMap<Connection, Time> {
        &self.hit
    }

    /// The meeting that it has made up for a newcomer: what the security code there is taken over.
    pub fn made_up(&self) -> Option<(&[u8], &Roster, &EnginePolicy)> {
        self.fake.as_ref().map(|(_, fake)| fake.view())
    }

    fn hit(&mut self, who: impl IntoIterator<Item = Connection>, now: Time) {
        for one in who {
            self.hit.entry(one).or_insert(now);
        }
    }

    /// The founder's connection: it sits on the lowest leaf.
    fn host(&self) -> Option<Connection> {
        self.relay.members().find(|(_, leaf)| *leaf == 0).map(|(id, _)| id)
    }

    fn members(&self) -> BTreeSet<Connection> {
        self.relay.members().map(|(id, _)| id).collect()
    }

    fn honest(&mut self, from: Connection, message: &[u8]) -> Vec<Delivery> {
        self.relay.message(from, message).unwrap_or_default()
    }

    /// What a message leads to once it has begun.
    fn attacked(&mut self, from: Connection, message: &[u8], envelope: &Envelope<'_>, now: Time) -> Vec<Delivery> {
        let (handshake, ordered) = match envelope {
            Envelope::Handshake { .. } => (true, true),
            Envelope::Application { .. } => (false, true),
            _ => (false, false),
        };
        let host = self.host();
        match (self.attack, envelope) {
            (Attack::WithheldLock, _) if handshake && Some(from) == host => {
                self.hit([from], now);
                vec![]
            }
            (Attack::StaleHeartbeat, Envelope::Application { .. }) => {
                let others = self.members().into_iter().filter(|one| Some(*one) != host).collect::<Vec<_>>();
                self.hit(others, now);
                let deliveries = self.honest(from, message);
                deliveries.into_iter().filter(|(to, _)| Some(*to) == host).collect()
            }
            (Attack::Partition, _) if ordered => {
                if self.hit.is_empty() {
                    let members = self.members();
                    self.hit(members.iter().copied().skip(members.len() / 2), now);
                }
                let mut out = self.honest(from, message);
                out.retain(|(to, _)| self.hit.contains_key(to) == self.hit.contains_key(&from));
                out
            }
            (Attack::HiddenLeave, _) if ordered => self.hide(from, message, handshake, now),
            (Attack::SwappedKeyPackage, Envelope::KeyPackage(body)) if self.fake.is_none() => {
                self.swap(from, message, body, now)
            }
            (Attack::PolicyBit, Envelope::KeyPackage(body)) if self.fake.is_none() => {
                self.make_up(from, body, |policy| policy.meeting = MeetingType::Enhanced, now)
            }
            (Attack::SuiteDowngrade, Envelope::KeyPackage(body)) if self.fake.is_none() => {
                self.make_up(from, body, forge::weaken, now)
            }
            (Attack::RenamedUser, Envelope::KeyPackage(body)) => {
                let members = self.members();
                self.hit(members, now);
                let renamed = forge::rename(body);
                self.honest(from, &Envelope::KeyPackage(&renamed).encode())
            }
            _ => self.honest(from, message),
        }
    }

    /// One member hears nothing from the first proposal on that somebody other than the host makes: a leave, where
    /// everybody has just been renewed.
    fn hide(&mut self, from: Connection, message: &[u8], handshake: bool, now: Time) -> Vec<Delivery> {
        let host = self.host();
        if self.left.is_none() && handshake && Some(from) != host {
            self.left = Some(from);
            self.dark = self.members().into_iter().find(|one| *one != from && Some(*one) != host);
            self.hit(self.dark, now);
        }
        let dark = self.dark;
        let deliveries = self.honest(from, message);
        deliveries.into_iter().filter(|(to, _)| Some(*to) != dark).collect()
    }

    /// The newcomer's place goes to a device of the relay's own, under the newcomer's name.
    fn swap(&mut self, from: Connection, message: &[u8], body: &[u8], now: Time) -> Vec<Delivery> {
        let Some(knock) = forge::in_the_name_of(body, &self.invite) else { return self.honest(from, message) };
        let mut out = self.make_up(from, body, |_| {}, now);
        self.relay.connect(OWN);
        out.extend(self.honest(OWN, &knock));
        out
    }

    /// The newcomer comes into a meeting of the relay's own, under a policy with `change`.
    fn make_up(
        &mut self,
        from: Connection,
        body: &[u8],
        change: impl FnOnce(&mut EnginePolicy),
        now: Time,
    ) -> Vec<Delivery> {
        self.hit([from], now);
        if let Ok(fake) = Fake::found(&self.invite, change, body, now) {
            self.fake = Some((from, fake));
        }
        vec![]
    }

    /// What it says of its own accord.
    fn says(&mut self, now: Time) -> Vec<Delivery> {
        match self.attack {
            Attack::FakeMember | Attack::PolicyBit if !self.said => {
                self.said = true;
                let members = self.members();
                self.hit(members, now);
                let bodies = match self.attack {
                    Attack::FakeMember => forge::members(&self.relay, &self.invite),
                    _ => forge::policies(&self.relay, &self.invite),
                };
                bodies.iter().flat_map(|body| self.relay.author(body)).collect()
            }
            Attack::ForgedHostAction if !self.said && !self.kept.is_empty() => {
                self.said = true;
                // The host's own words are none to it, genuine or not.
                let host = self.host();
                let others = self.members().into_iter().filter(|one| Some(*one) != host).collect::<Vec<_>>();
                self.hit(others, now);
                let edited: Vec<_> = self.kept.iter().map(|body| forge::edit(body)).collect();
                let all: Vec<Vec<u8>> = self.kept.iter().cloned().chain(edited).collect();
                all.iter().flat_map(|body| self.again(body)).collect()
            }
            Attack::StaleHeartbeat if self.next_repeat <= now => {
                self.next_repeat = now.plus(REPEAT_US);
                let last = self.kept.back().cloned();
                let host = self.host();
                last.iter().flat_map(|body| self.again(body)).filter(|(to, _)| Some(*to) != host).collect()
            }
            _ => vec![],
        }
    }

    /// An application message of somebody, said by the relay.
    fn again(&self, body: &[u8]) -> Vec<Delivery> {
        let message: Arc<[u8]> = Envelope::Application { order: 0, body }.encode().into();
        self.relay.members().map(|(id, _)| (id, message.clone())).collect()
    }

    /// Gives each connection an order without gaps, whatever it was not given.
    fn number(&mut self, deliveries: Vec<Delivery>) -> Vec<Delivery> {
        let mut out = Vec::with_capacity(deliveries.len());
        for (to, message) in deliveries.into_iter().filter(|(to, _)| *to != OWN) {
            let order = self.orders.entry(to).or_default();
            let numbered = match Envelope::decode(&message) {
                Ok(Envelope::Handshake { body, .. }) => Some(Envelope::Handshake { order: *order + 1, body }.encode()),
                Ok(Envelope::Application { body, .. }) => {
                    Some(Envelope::Application { order: *order + 1, body }.encode())
                }
                _ => None,
            };
            *order += u64::from(numbered.is_some());
            out.push((to, numbered.map_or(message, Arc::from)));
        }
        out
    }

    fn to_newcomer(&mut self, message: Option<&[u8]>, now: Time) -> Vec<Delivery> {
        let Some((to, fake)) = &mut self.fake else { return vec![] };
        fake.turn(message, now).into_iter().map(|message| (*to, Arc::from(message))).collect()
    }
}

impl Hub for Malicious {
    fn connect(&mut self, id: Connection) {
        self.relay.connect(id);
    }

    fn disconnect(&mut self, id: Connection) {
        self.relay.disconnect(id);
    }

    fn message(&mut self, from: Connection, message: &[u8], now: Time) -> Vec<Delivery> {
        let Ok(envelope) = Envelope::decode(message) else { return vec![] };
        if let Envelope::Application { body, .. } = &envelope
            && Some(from) == self.host()
            && self.began.is_none()
        {
            self.kept.push_back(body.to_vec());
            self.kept.drain(..self.kept.len().saturating_sub(KEPT));
        }
        if self.fake.as_ref().is_some_and(|(newcomer, _)| *newcomer == from) {
            return self.to_newcomer(Some(message), now);
        }
        let deliveries = match self.began {
            None => self.honest(from, message),
            Some(_) => self.attacked(from, message, &envelope, now),
        };
        self.number(deliveries)
    }

    fn tick(&mut self, now: Time) -> Vec<Delivery> {
        if self.began.is_none() {
            return vec![];
        }
        let said = self.says(now);
        let mut out = self.number(said);
        out.extend(self.to_newcomer(None, now));
        out
    }
}
