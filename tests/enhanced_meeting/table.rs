//! A service and its members without a network: what one says the others have at once.

use std::collections::BTreeMap;

use conclave::codecs::AudioInput;
use conclave::data::Peer;
use conclave::e2ee::group::{self, Device, Gone, Output, Request};
use conclave::e2ee::{EpochInput, IdentityKey, MediaSecret, OpenKeys};
use conclave::enhanced::member::Step;
use conclave::enhanced::plan::{Statement, acts_hash};
use conclave::enhanced::sign::{Domain, Label};
use conclave::enhanced::wire::{Down, Turn};
use conclave::enhanced::{Alarm, Config, Knocking, Member, Service, ServiceKey};
use conclave::frame::{Encoded, Kind, Packet};
use conclave::party::{self, Event, Out, Party, PartyError};
use conclave::time::Time;

use crate::people;

pub const SERVICE_SEED: [u8; 32] = [77; 32];

pub fn device(n: u8) -> Device {
    Device::from_seeds(&format!("person {n}"), &[n + 1; 32], &[n + 101; 32]).unwrap()
}

pub fn invite() -> Config {
    let service = ServiceKey::from_seed(&SERVICE_SEED).unwrap().public();
    Config::new(b"an enhanced meeting", device(0).identity(), service)
}

pub fn settings() -> party::Config {
    party::Config::new(invite().meeting)
}

#[derive(Default)]
pub struct Mail {
    pub control: Vec<Vec<u8>>,
    pub datagrams: Vec<Vec<u8>>,
}

impl Out for Mail {
    fn control(&mut self, message: Vec<u8>) {
        self.control.push(message);
    }

    fn datagram(&mut self, packet: &Packet) {
        self.datagrams.push(packet.as_slice().to_vec());
    }
}

/// Whatever a member is ever told, kept for ever.
pub struct Shadow {
    knocking: Knocking,
    member: Option<Member>,
    pub keys: Vec<OpenKeys>,
    /// As they came.
    pub secrets: Vec<Vec<u8>>,
}

impl Shadow {
    pub fn of(device: &Device) -> Self {
        Self { knocking: Knocking::new(device, invite()).unwrap().0, member: None, keys: vec![], secrets: vec![] }
    }

    fn hear(&mut self, message: &[u8], now: Time) {
        if let Some(Down::Welcome(_) | Down::Turn(_)) = Down::decode(message) {
            self.secrets.push(message[2..50].to_vec());
        }
        match &mut self.member {
            Some(member) => drop(member.handle(message, now)),
            None => {
                if let Ok(Step::In(member)) = self.knocking.handle(message, now) {
                    self.member = Some(member);
                }
            }
        }
        while let Some(output) = self.member.as_mut().and_then(Member::poll) {
            if let conclave::enhanced::Output::Group(Output::Epoch(input, _)) = output {
                let mut keys = input.derive().unwrap().1;
                keys.set_began(Time(0));
                self.keys.push(keys);
            }
        }
    }
}

pub struct Seat {
    pub party: Party,
    pub mail: Mail,
    pub events: Vec<(Time, Event)>,
    pub errors: Vec<PartyError>,
    /// Sound and pictures, by who sent them.
    pub heard: BTreeMap<Peer, Vec<Vec<u8>>>,
    pub admits: bool,
    /// Everything that came for it; delivered unless it is kept back.
    pub inbox: Vec<Vec<u8>>,
    pub kept_back: bool,
    /// Everything it said to the service.
    pub said: Vec<Vec<u8>>,
    pub shadow: Option<Shadow>,
    pub connected: bool,
}

impl Seat {
    pub fn group(&self) -> impl Iterator<Item = &group::Event> {
        self.events.iter().filter_map(|(_, event)| if let Event::Group(event) = event { Some(event) } else { None })
    }

    pub fn alarms(&self) -> Vec<Alarm> {
        let alarm = |event: &Event| if let Event::Alarm(alarm) = event { Some(alarm.clone()) } else { None };
        self.events.iter().filter_map(|(_, event)| alarm(event)).collect()
    }

    pub fn gone(&self) -> Vec<Gone> {
        let gone = |event: &group::Event| match event {
            group::Event::Changed { gone, .. } => gone.iter().map(|(_, how)| *how).collect(),
            _ => vec![],
        };
        self.group().flat_map(gone).collect()
    }

    pub fn names(&self) -> Vec<String> {
        self.party.roster().into_iter().flatten().map(|member| member.name.clone()).collect()
    }
}

pub struct Table {
    pub service: Service,
    pub seats: Vec<Seat>,
    pub now: Time,
    pub wire: Vec<(Time, usize, Vec<u8>)>,
    ticks: u64,
}

impl Table {
    /// Nobody is there.
    pub fn empty() -> Self {
        let service = Service::new(invite(), ServiceKey::from_seed(&SERVICE_SEED).unwrap()).unwrap();
        Self { service, seats: vec![], now: Time(1_000_000), wire: vec![], ticks: 0 }
    }

    /// Persons 0 to `count - 1` are in; 0 is the host, who admits.
    pub fn of(count: u8) -> Self {
        let mut table = Self::empty();
        for n in 0..count {
            table.knock(&device(n));
            table.run(1_000);
        }
        assert_eq!(table.service.roster().len(), usize::from(count));
        assert!(table.seats.iter().all(|seat| seat.names().len() == usize::from(count)));
        table
    }

    /// Somebody knocks; returns the seat.
    pub fn knock(&mut self, device: &Device) -> usize {
        let mut mail = Mail::default();
        let party = Party::enhanced(device, settings(), invite().service, &mut mail).unwrap();
        self.sit(party, mail)
    }

    pub fn sit(&mut self, party: Party, mail: Mail) -> usize {
        self.service.connect(self.seats.len() as u64);
        self.seats.push(Seat {
            party,
            mail,
            events: vec![],
            errors: vec![],
            heard: BTreeMap::new(),
            admits: self.seats.is_empty(),
            inbox: vec![],
            kept_back: false,
            said: vec![],
            shadow: None,
            connected: true,
        });
        self.seats.len() - 1
    }

    pub fn hang_up(&mut self, seat: usize) {
        self.seats[seat].connected = false;
        self.service.disconnect(seat as u64, self.now);
    }

    pub fn run(&mut self, ms: u64) {
        (0..ms / 10).for_each(|_| self.step());
    }

    /// As [`Table::run`], while each of `speakers` says something every 20 ms and shows something every 40.
    pub fn talk(&mut self, ms: u64, speakers: &[usize]) {
        for _ in 0..ms / 20 {
            let slot = self.now.0 / 20_000;
            for seat in speakers {
                self.send(*seat, people::sound(slot, self.now));
                if slot % 2 == 0 {
                    self.send(*seat, people::picture(Kind::Camera, slot, 0, self.now));
                }
            }
            self.run(20);
        }
    }

    fn send(&mut self, seat: usize, frame: Encoded) {
        let Seat { party, mail, .. } = &mut self.seats[seat];
        // Who may not speak is silent.
        let _ = party.frame(frame, self.now, mail);
    }

    pub fn step(&mut self) {
        self.now = self.now.plus(10_000);
        self.ticks += 1;
        let replies = self.service.tick(self.now);
        self.deliver(replies);
        for at in 0..self.seats.len() {
            let Seat { party, mail, .. } = &mut self.seats[at];
            let _ = party.tick(self.now, mail);
            self.listen(at);
            self.post(at);
        }
    }

    /// What a seat has to say goes out.
    fn post(&mut self, at: usize) {
        let Mail { control, datagrams } = std::mem::take(&mut self.seats[at].mail);
        for datagram in datagrams {
            self.wire.push((self.now, at, datagram.clone()));
            for seat in self.seats.iter_mut().enumerate().filter(|(to, _)| *to != at).map(|(_, seat)| seat) {
                seat.party.datagram(&datagram, self.now, &mut seat.mail);
            }
        }
        for message in control {
            self.seats[at].said.push(message.clone());
            self.say(at, &message);
        }
    }

    /// The service is told this over a seat's connection.
    pub fn say(&mut self, at: usize, message: &[u8]) {
        if self.seats[at].connected {
            let replies = self.service.message(at as u64, message, self.now);
            self.deliver(replies);
        }
    }

    fn deliver(&mut self, replies: Vec<conclave::enhanced::service::Reply>) {
        for (to, message) in replies {
            let seat = &mut self.seats[to as usize];
            seat.inbox.push(message.to_vec());
            if !seat.kept_back && seat.connected {
                self.hand(to as usize, &message);
            }
        }
    }

    /// A seat is told this as if by the service.
    pub fn hand(&mut self, to: usize, message: &[u8]) {
        let now = self.now;
        let seat = &mut self.seats[to];
        if let Some(shadow) = &mut seat.shadow {
            shadow.hear(message, now);
        }
        if let Err(error) = seat.party.control(message, now, &mut seat.mail) {
            seat.errors.push(error);
        }
        self.listen(to);
    }

    fn listen(&mut self, at: usize) {
        let (now, play) = (self.now, self.ticks.is_multiple_of(2));
        let seat = &mut self.seats[at];
        while let Some(event) = seat.party.event() {
            if let (true, Event::Group(group::Event::Knock { key_package, .. })) = (seat.admits, &event) {
                seat.party.plane().unwrap().admit(key_package, now).unwrap();
            }
            seat.events.push((now, event));
        }
        for (peer, receiver) in seat.party.heard() {
            let heard = seat.heard.entry(peer).or_default();
            while let Some((_, opened)) = receiver.video(now) {
                heard.push(opened.payload.as_slice().to_vec());
                receiver.recycle(opened);
            }
            if play {
                let mut take = |input: AudioInput<'_>| {
                    if let AudioInput::Packet(bytes) = input {
                        heard.push(bytes.to_vec());
                    }
                    Ok(960)
                };
                receiver.audio(now, &mut take).unwrap();
            }
        }
    }

    pub fn ask(&mut self, seat: usize, request: Request) -> Result<(), group::GroupError> {
        let now = self.now;
        let asked = self.seats[seat].party.plane().unwrap().ask(request, now);
        self.post(seat);
        asked
    }

    pub fn leave(&mut self, seat: usize) {
        let Seat { party, mail, .. } = &mut self.seats[seat];
        party.leave(self.now);
        // What it says comes with its next tick.
        let _ = party.tick(self.now, mail);
    }

    pub fn peer(&self, seat: usize) -> Peer {
        self.seats[seat].party.own().expect("is in")
    }

    pub fn identity(&self, n: u8) -> IdentityKey {
        device(n).identity()
    }

    /// The last turn that was kept from `seat`, changed and signed again: what a lying service could send.
    pub fn lie(&mut self, seat: usize, change: impl FnOnce(&mut Turn)) -> Vec<u8> {
        let turns = self.seats[seat].inbox.iter().rev().filter_map(|message| match Down::decode(message) {
            Some(Down::Turn(turn)) => Some(turn),
            _ => None,
        });
        let mut turn = turns.into_iter().next().expect("a turn was kept back");
        change(&mut turn);
        let leaf = self.service.roster().iter().next().unwrap().leaf;
        let secret = std::mem::replace(&mut turn.secret, MediaSecret::new(&[7; 48]).unwrap());
        drop(secret);
        let new = MediaSecret::new(&[7; 48]).unwrap();
        let input = EpochInput { secret: new, ..self.service.listen(leaf).unwrap() };
        let commitment = input.derive().unwrap().0.epoch().commitment;
        let statement = Statement {
            epoch: turn.epoch,
            previous: turn.previous,
            acts: acts_hash(&turn.acts),
            roster: turn.roster,
            policy: turn.policy,
            commitment,
        };
        let (key, domain) = (ServiceKey::from_seed(&SERVICE_SEED).unwrap(), Domain::of(&invite()).unwrap());
        turn.signature = key.sign(&domain, Label::Epoch, &[&statement.encode()]).unwrap();
        Down::Turn(turn).encode().to_vec()
    }
}
