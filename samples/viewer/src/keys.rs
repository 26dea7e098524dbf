//! The group whose keys seal the meeting: a member for each participant and one for the viewer, and a relay between them,
//! all in this process. What the shield shows follows from it.

use conclave::e2ee::group::{Device, EnginePolicy, Event, Group as Member, Joining, MeetingType, Output};
use conclave::e2ee::{IdentityKey, Keeper, Keyring, keyring};
use conclave::meeting::policy::words::Word;
use conclave::meeting::policy::{Document, MeetingPolicy};
use conclave::meeting::shield::{Facts, Keys, Shield};
use conclave::party::SWITCH_US;
use conclave::relay::Relay;
use conclave::time::{Clock, TICK_US, Time};

/// The keys that one participant's pictures go by, and whose they are.
pub struct Rings {
    /// Seals.
    pub sending: Keyring,
    /// Opens, at the viewer.
    pub receiving: Keyring,
    /// Signs what is sealed.
    pub device: Device,
}

/// See the module.
pub struct Group {
    relay: Relay,
    places: Vec<Place>,
    /// By place.
    identities: Vec<IdentityKey>,
    /// Per participant: of its sender, and of the viewer's receiver.
    keepers: Vec<[Keeper; 2]>,
    /// Letters on their way, with their addressees.
    letters: std::collections::VecDeque<(usize, std::sync::Arc<[u8]>)>,
    rules: MeetingPolicy,
    facts: Facts,
    clock: Clock,
    /// When the clock began, on the group's own time: gathering is over by then.
    began: Time,
    now: Time,
}

enum Place {
    Outside(Box<Joining>),
    Inside(Box<Member>),
    Gone,
}

impl Group {
    /// Founds a group and lets `names` and the viewer in, in the group's own time.
    ///
    /// # Errors
    /// What the key agreement says.
    pub fn gather(names: &[String]) -> anyhow::Result<(Self, Vec<Rings>)> {
        let rules =
            format!("[account]\ndefault_encryption = {:?}\nwaiting_room = false\n", MeetingType::EndToEnd.text());
        let rules = MeetingPolicy::resolve(&Document::parse("the viewer's policy", &rules)?, None, None)?;
        let config = rules.group_config(b"conclave viewer")?;
        let facts = Facts { epoch: None, keys: Keys::Group, sealing: false, policy_agrees: false, mismatch: false };
        let mut group = Self {
            relay: Relay::new(),
            places: Vec::new(),
            identities: Vec::new(),
            keepers: Vec::new(),
            letters: Default::default(),
            rules,
            facts,
            clock: Clock::start(),
            began: Time(u64::MAX),
            now: Time(0),
        };
        let mut rings = Vec::new();
        for name in names.iter().map(String::as_str).chain(["viewer"]) {
            let (seat, device) = (group.places.len(), Device::generate(name)?);
            group.relay.connect(seat as u64);
            group.identities.push(device.identity());
            let ((send, sending), (open, receiving)) = (keyring(), keyring());
            if seat < names.len() {
                group.keepers.push([send, open]);
            }
            if seat == 0 {
                group.places.push(Place::Inside(Box::new(Member::create(&device, config.clone(), Time(0))?)));
                group.follow(seat)?;
            } else {
                let (joining, knock) = Joining::new(&device, config.clone())?;
                group.places.push(Place::Outside(Box::new(joining)));
                group.post(seat, &knock)?;
            }
            if seat < names.len() {
                rings.push(Rings { sending, receiving, device });
            }
        }
        while !group.everybody_in() {
            anyhow::ensure!(group.now.0 < LOBBY_US, "the participants did not find together; take fewer --people");
            group.step(group.now.plus(TICK_US))?;
        }
        (group.began, group.clock) = (group.now, Clock::start());
        Ok((group, rings))
    }

    /// The clock of the meeting.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Moves on to the present: heartbeats and new epochs. A group that fails seals nothing any more, and the shield says so.
    pub fn turn(&mut self) {
        let now = self.began.plus(self.clock.now().0);
        if now.since(self.now) < 10 * TICK_US {
            return;
        }
        if let Err(error) = self.step(now) {
            tracing::warn!("the group: {error}");
            self.facts.sealing = false;
            self.keepers.iter().for_each(|[send, _]| send.stop());
        }
    }

    /// What protects the meeting at this moment.
    pub fn shield(&self) -> Shield {
        Shield::new(&self.facts)
    }

    fn everybody_in(&self) -> bool {
        let of = |place: &Place| match place {
            Place::Inside(member) => Some((member.epoch(), member.roster().len())),
            _ => None,
        };
        let first = self.places.first().and_then(of);
        first.is_some_and(|(_, members)| members == self.places.len()) && self.places.iter().all(|one| of(one) == first)
    }

    fn step(&mut self, now: Time) -> anyhow::Result<()> {
        self.now = now;
        for seat in 0..self.places.len() {
            if let Place::Inside(member) = &mut self.places[seat] {
                member.tick(now);
            }
            self.follow(seat)?;
        }
        while let Some((to, letter)) = self.letters.pop_front() {
            let joined = match &mut self.places[to] {
                Place::Outside(joining) => joining.handle(&letter, now)?,
                Place::Inside(member) => member.handle(&letter, now).map(|()| None)?,
                Place::Gone => None,
            };
            if let Some(member) = joined {
                self.places[to] = Place::Inside(Box::new(member));
            }
            self.follow(to)?;
        }
        Ok(())
    }

    fn post(&mut self, seat: usize, message: &[u8]) -> anyhow::Result<()> {
        let deliveries = self.relay.message(seat as u64, message)?;
        self.letters.extend(deliveries.into_iter().map(|(to, letter)| (to as usize, letter)));
        Ok(())
    }

    /// Takes what a member gives.
    fn follow(&mut self, seat: usize) -> anyhow::Result<()> {
        while let Place::Inside(member) = &mut self.places[seat] {
            match member.poll() {
                None => break,
                Some(Output::Send(message)) => self.post(seat, &message)?,
                Some(Output::Epoch(mut input, _)) => {
                    input.began = self.meeting(input.began);
                    if seat == 0 {
                        let policy = EnginePolicy::decode(&input.policy);
                        self.facts.policy_agrees =
                            policy.as_ref().is_some_and(|policy| self.rules.rules(policy).is_ok());
                        (self.facts.epoch, self.facts.sealing) = (policy.map(|policy| policy.meeting), true);
                    }
                    let roster = input.roster.clone();
                    let leaf = |identity: &IdentityKey| Some(roster.iter().find(|one| one.identity == *identity)?.leaf);
                    // Nobody sends yet where the meeting has not begun.
                    let switch = if self.began > self.now { 0 } else { SWITCH_US };
                    let at = self.meeting(self.now).plus(switch);
                    let (send, mut open) = input.derive()?;
                    match self.keepers.get(seat) {
                        Some([keeper, _]) => keeper.send(send, at),
                        None => {
                            for (identity, [_, keeper]) in self.identities.iter().zip(&self.keepers) {
                                let keys = leaf(identity).and_then(|leaf| open.take(leaf));
                                keys.into_iter().for_each(|keys| keeper.open(keys));
                            }
                        }
                    }
                }
                // Nobody else has the way to this relay.
                Some(Output::Event(Event::Knock { key_package, .. })) if seat == 0 => {
                    member.admit(&key_package, self.now)?;
                }
                Some(Output::Event(Event::Began { epoch, began })) => {
                    let began = self.meeting(began);
                    self.keepers.get(seat).into_iter().for_each(|[keeper, _]| keeper.began(epoch, began));
                }
                Some(Output::Event(Event::StopSealing)) => {
                    self.facts.sealing &= seat != 0;
                    self.keepers.get(seat).into_iter().for_each(|[keeper, _]| keeper.stop());
                }
                Some(Output::Event(Event::Left(_))) => self.places[seat] = Place::Gone,
                Some(Output::Event(_)) => {}
            }
        }
        Ok(())
    }

    /// The meeting's time of a time of the group.
    fn meeting(&self, time: Time) -> Time {
        Time(time.0.saturating_sub(self.began.0))
    }
}

/// Time of the group within which everybody is in.
const LOBBY_US: u64 = 120_000_000;
