//! A meeting in virtual time: members around one relay, 20 ms away from each.

use std::collections::BTreeMap;
use std::sync::Arc;

use conclave::e2ee::EpochInput;
use conclave::e2ee::group::{Config, Device, Event, Group, Joining, Left, Output};
use conclave::relay::{Delivery, Relay};
use conclave::time::Time;

const ONE_WAY_US: u64 = 20_000;

/// Somebody at the table.
#[allow(clippy::large_enum_variant)]
pub enum Seat {
    Joining(Joining),
    In(Group),
}

#[derive(Default)]
pub struct Person {
    pub seat: Option<Seat>,
    pub epochs: Vec<EpochInput>,
    pub events: Vec<Event>,
}

enum Way {
    Up(u64, Vec<u8>),
    Down(u64, Arc<[u8]>),
}

/// The table, the relay in the middle and the time.
pub struct Table {
    pub now: Time,
    pub relay: Relay,
    pub people: BTreeMap<u64, Person>,
    /// Whether whoever rules lets in all who knock.
    pub open: bool,
    /// Who is cut off from the relay.
    pub cut: Vec<u64>,
    /// Who hears only one another: the relay is against them, and they still reach it.
    pub island: Vec<u64>,
    /// Whose words take longer to the relay, and by how many microseconds.
    pub slow: BTreeMap<u64, u64>,
    config: Config,
    wire: BTreeMap<(Time, u64), Way>,
    sent: u64,
}

impl Table {
    pub fn new(mut config: Config) -> Self {
        let relay = Relay::with_key(&[42; 32]).unwrap();
        config.relay_key = relay.public_key();
        let (people, wire) = (BTreeMap::new(), BTreeMap::new());
        let now = Time::from_ms(1000);
        Self {
            now,
            relay,
            people,
            open: true,
            cut: vec![],
            island: vec![],
            slow: BTreeMap::new(),
            config,
            wire,
            sent: 0,
        }
    }

    /// A meeting of `n` with person 0 as its host.
    pub fn of(n: u64, config: Config) -> Self {
        let mut table = Self::new(config);
        table.create(0);
        (1..n).for_each(|id| table.knock(id));
        table.run(3000);
        (0..n).for_each(|id| assert_eq!(table.group(id).roster().len() as u64, n));
        table
    }

    pub fn device(id: u64) -> Device {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&id.to_be_bytes());
        let media = seed.map(|byte| byte ^ 0x55);
        Device::from_seeds(&format!("person {id}"), &seed, &media).unwrap()
    }

    pub fn config(&self) -> Config {
        self.config.clone()
    }

    pub fn create(&mut self, id: u64) {
        let group = Group::create(&Self::device(id), self.config.clone(), self.now).unwrap();
        self.sit(id, Seat::In(group));
    }

    pub fn knock(&mut self, id: u64) {
        let (joining, envelope) = Joining::new(&Self::device(id), self.config.clone()).unwrap();
        self.sit(id, Seat::Joining(joining));
        self.up(id, envelope);
    }

    pub fn sit(&mut self, id: u64, seat: Seat) {
        self.relay.connect(id);
        self.people.entry(id).or_default().seat = Some(seat);
        self.drain(id);
    }

    pub fn stand_up(&mut self, id: u64) -> Option<Seat> {
        self.relay.disconnect(id);
        self.people.get_mut(&id).and_then(|person| person.seat.take())
    }

    pub fn group(&mut self, id: u64) -> &mut Group {
        match self.people.get_mut(&id).and_then(|person| person.seat.as_mut()) {
            Some(Seat::In(group)) => group,
            _ => panic!("person {id} is not in the group"),
        }
    }

    pub fn events(&mut self, id: u64) -> Vec<Event> {
        self.people.get_mut(&id).map(|person| std::mem::take(&mut person.events)).unwrap_or_default()
    }

    /// A message of `id` to the relay, whoever made it.
    pub fn up(&mut self, id: u64, message: Vec<u8>) {
        if !self.cut.contains(&id) {
            let longer = self.slow.get(&id).copied().unwrap_or(0);
            self.push(Way::Up(id, message), longer);
        }
    }

    pub fn down(&mut self, deliveries: Vec<Delivery>) {
        for (id, message) in deliveries.into_iter().filter(|(id, _)| !self.cut.contains(id)).collect::<Vec<_>>() {
            self.push(Way::Down(id, message), 0);
        }
    }

    fn push(&mut self, way: Way, longer: u64) {
        self.sent += 1;
        self.wire.insert((self.now.plus(ONE_WAY_US + longer), self.sent), way);
    }

    /// Everything that `id` has to say.
    pub fn drain(&mut self, id: u64) {
        let Some(person) = self.people.get_mut(&id) else { return };
        let (mut sends, mut knocks) = (vec![], vec![]);
        if let Some(Seat::In(group)) = &mut person.seat {
            while let Some(output) = group.poll() {
                match output {
                    Output::Send(message) => sends.push(message),
                    Output::Epoch(input, _) => person.epochs.push(*input),
                    Output::Event(Event::Knock { key_package, .. }) => knocks.push(key_package),
                    Output::Event(event) => person.events.push(event),
                }
            }
            let host = group.roster().get(group.own_leaf()).is_some_and(|own| own.role.rules());
            if self.open && host && !knocks.is_empty() {
                knocks.iter().for_each(|knock| drop(group.admit(knock, self.now)));
            }
        }
        sends.into_iter().for_each(|message| self.up(id, message));
    }

    /// Runs for `ms` milliseconds.
    pub fn run(&mut self, ms: u64) {
        let end = self.now.plus(ms * 1000);
        while self.now < end {
            let (now, ids): (Time, Vec<u64>) = (self.now, self.people.keys().copied().collect());
            while let Some(entry) = self.wire.first_entry().filter(|entry| entry.key().0 <= now) {
                match entry.remove() {
                    Way::Up(from, message) => {
                        let mut deliveries = self.relay.message(from, &message).unwrap();
                        let on = |id: &u64| self.island.contains(id);
                        deliveries.retain(|(to, _)| on(to) == on(&from));
                        self.down(deliveries);
                    }
                    Way::Down(to, message) => self.deliver(to, &message),
                }
            }
            for id in ids {
                if let Some(Some(Seat::In(group))) = self.people.get_mut(&id).map(|person| person.seat.as_mut()) {
                    group.tick(now);
                }
                self.drain(id);
            }
            self.now = now.plus(10_000);
        }
    }

    fn deliver(&mut self, to: u64, message: &[u8]) {
        let now = self.now;
        let Some(person) = self.people.get_mut(&to) else { return };
        match &mut person.seat {
            Some(Seat::In(group)) => drop(group.handle(message, now)),
            Some(Seat::Joining(joining)) => {
                if let Some(group) = joining.handle(message, now).unwrap() {
                    person.seat = Some(Seat::In(group));
                }
            }
            None => {}
        }
        self.drain(to);
    }

    /// All who are in are in the same epoch with the same people, keys and policy.
    pub fn agree(&mut self) -> u64 {
        let groups = self.people.values().filter_map(|person| match &person.seat {
            Some(Seat::In(group)) if group.left().is_none() => Some(group),
            _ => None,
        });
        let views: Vec<_> = groups
            .map(|one| (one.epoch(), one.authenticator().to_vec(), one.roster().hash(), one.policy().hash()))
            .collect();
        assert!(views.windows(2).all(|pair| pair[0] == pair[1]), "the members disagree");
        views[0].0
    }

    pub fn left(&self, id: u64) -> Option<Left> {
        match &self.people[&id].seat {
            Some(Seat::In(group)) => group.left(),
            _ => None,
        }
    }
}
