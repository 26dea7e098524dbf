//! The demo's group: sender, receiver and a guest, each a member of a real MLS group, and the relay between them. The
//! relay stands halfway, so that a message from member to member takes as long as a frame does.
//!
//! The group's clock runs before the meeting's: founding it and letting the receiver in is over when the first frame
//! is captured.

mod course;
mod guest;
mod trust;

use std::collections::VecDeque;
use std::time::Instant;

use conclave::e2ee::group::wire::Envelope;
use conclave::e2ee::group::{Config, Device, Event, Group, Joining, MeetingType, Output, Switch};
use conclave::e2ee::{IdentityKey, Keeper, KeySource, Keyring, keyring};
use conclave::meeting::policy::MeetingPolicy;
use conclave::netem::Pipe;
use conclave::party::SWITCH_US;
use conclave::relay::Relay;
use conclave::send::Sender;
use conclave::time::{TICK_US, Time};

use super::Args;
use crate::cpu::thread_cpu_seconds;

use trust::View;

pub use course::{Change, Course, Findings};
pub use trust::{Person, Trust};

/// Virtual microseconds between two looks at who has something to do.
pub const STEP_US: u64 = 2_000;

/// Seats; the sender founds the group and rules it, so that it makes the commits.
const SENDER: usize = 0;
const RECEIVER: usize = 1;
const GUEST: usize = 2;

/// Virtual time within which the receiver is let in; a path on which it takes longer carries no meeting.
const LOBBY_US: u64 = 120_000_000;

/// What happened, for the account of it.
enum Note {
    Sent { seat: usize, what: What, bytes: usize, cpu_us: u64 },
    Epoch { seat: usize, epoch: u64, members: usize, cpu_us: u64 },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    KeyPackage,
    /// A commit of the sender's, a proposal of anybody else's.
    Handshake,
    Welcome,
    Other,
}

enum Place {
    Outside(Box<Joining>),
    Inside(Box<Group>),
    Gone,
}

struct Seat {
    place: Place,
    keeper: Keeper,
    up: Pipe,
    down: Pipe,
}

/// The members' groups, the relay and the ways between them.
pub struct Assembly {
    config: Config,
    relay: Relay,
    seats: Vec<Seat>,
    expected: Vec<IdentityKey>,
    policy: MeetingPolicy,
    /// What sender and receiver know of the epochs that they are in.
    views: [Option<View>; 2],
    /// Delay in microseconds and rate of a way to the relay.
    way: (u64, Option<u64>),
    /// On the group's clock.
    now: Time,
    next_tick: Time,
    /// When the meeting began, on the group's clock; the end of time before it has.
    began: Time,
    notes: VecDeque<Note>,
    messages: u64,
    bytes: u64,
}

/// What the sender and the receiver of the meeting get from it.
pub struct Keys {
    pub sender: Keyring,
    pub receiver: Keyring,
    /// Whose signature the sender's frames are proven with.
    pub device: Device,
}

impl Assembly {
    /// The founder and the receiver are in when it returns.
    pub fn gather(args: &Args) -> anyhow::Result<(Self, Keys)> {
        let policy = crate::policy::built_in(MeetingType::EndToEnd, args.suite)?;
        let config = policy.group_config(b"conclave demo")?;
        let mut assembly = Self {
            relay: Relay::new(),
            seats: Vec::new(),
            expected: Vec::new(),
            policy,
            views: [None, None],
            way: (args.delay * 500, args.rate.map(u64::from)),
            now: Time(0),
            next_tick: Time(0),
            began: Time(u64::MAX),
            notes: VecDeque::new(),
            messages: 0,
            bytes: 0,
            config: config.clone(),
        };
        let device = Device::generate("sender")?;
        let mut sender = assembly.sit(Place::Inside(Box::new(Group::create(&device, config, Time(0))?)));
        assembly.follow(SENDER, 0)?;
        let mut receiver = assembly.knock("receiver")?;
        while !assembly.everybody_in() {
            anyhow::ensure!(
                assembly.now.0 < LOBBY_US,
                "the receiver was not let into the group within {} s: give the network a higher --rate",
                LOBBY_US / 1_000_000
            );
            assembly.step()?;
        }
        // The first change of the meeting need not keep its distance from this one.
        assembly.run(assembly.now.plus(conclave::e2ee::group::SPACING_US))?;
        (assembly.began, assembly.messages, assembly.bytes) = (assembly.now, 0, 0);
        assembly.notes.clear();
        sender.turn(Time(0));
        receiver.turn(Time(0));
        Ok((assembly, Keys { sender, receiver, device }))
    }

    /// Whether whoever has a seat is in the epoch of the others.
    fn everybody_in(&self) -> bool {
        let of = |seat: &Seat| match &seat.place {
            Place::Inside(group) => Some((group.epoch(), group.roster().len())),
            _ => None,
        };
        let first = self.seats.first().and_then(of);
        first.is_some_and(|(_, members)| members == self.seats.len()) && self.seats.iter().all(|seat| of(seat) == first)
    }

    fn sit(&mut self, place: Place) -> Keyring {
        let (keeper, ring) = keyring();
        let pipe = || Pipe::new(self.way.0, self.way.1);
        self.relay.connect(self.seats.len() as u64);
        self.seats.push(Seat { place, keeper, up: pipe(), down: pipe() });
        ring
    }

    fn knock(&mut self, name: &str) -> anyhow::Result<Keyring> {
        let device = Device::generate(name)?;
        let (made, cpu_us) = timed(|| Joining::new(&device, self.config.clone()));
        let (joining, knock) = made?;
        self.expected.push(device.identity());
        let ring = self.sit(Place::Outside(Box::new(joining)));
        self.send(self.seats.len() - 1, knock, cpu_us);
        Ok(ring)
    }

    fn renew(&mut self) -> anyhow::Result<()> {
        let now = self.now;
        self.ask(SENDER, |group| group.ask(conclave::e2ee::group::Request::Renew, now))
    }

    fn leave(&mut self) -> anyhow::Result<()> {
        let now = self.now;
        self.ask(GUEST, |group| {
            group.leave(now);
            Ok(())
        })
    }

    fn ask(
        &mut self,
        seat: usize,
        work: impl FnOnce(&mut Group) -> Result<(), conclave::e2ee::group::GroupError>,
    ) -> anyhow::Result<()> {
        if let Some(Seat { place: Place::Inside(group), .. }) = self.seats.get_mut(seat) {
            let (done, cpu_us) = timed(|| work(group));
            done?;
            self.follow(seat, cpu_us)?;
        }
        Ok(())
    }

    /// What sender and receiver show of the meeting.
    fn trust(&self, sending: &Sender) -> anyhow::Result<Trust> {
        let [Some(sender), Some(receiver)] = &self.views else { anyhow::bail!("the group has no epoch") };
        Trust::of(sender, receiver, sending, &self.policy)
    }

    fn send(&mut self, seat: usize, message: Vec<u8>, cpu_us: u64) {
        let what = match Envelope::decode(&message) {
            Ok(Envelope::KeyPackage(_)) => What::KeyPackage,
            Ok(Envelope::Handshake { .. }) => What::Handshake,
            Ok(Envelope::Welcome { .. }) => What::Welcome,
            _ => What::Other,
        };
        self.messages += 1;
        self.bytes += message.len() as u64;
        self.notes.push_back(Note::Sent { seat, what, bytes: message.len(), cpu_us });
        self.seats[seat].up.push(message.into(), self.now);
    }

    /// The meeting's time of a time of the group.
    fn meeting(&self, time: Time) -> Time {
        Time(time.0.saturating_sub(self.began.0))
    }

    /// Moves the group on to the meeting's time `now`.
    fn to(&mut self, now: Time) -> anyhow::Result<()> {
        self.run(self.began.plus(now.0))
    }

    fn run(&mut self, until: Time) -> anyhow::Result<()> {
        while self.now < until {
            self.step()?;
        }
        Ok(())
    }

    fn step(&mut self) -> anyhow::Result<()> {
        self.now = self.now.plus(STEP_US);
        let now = self.now;
        for from in 0..self.seats.len() {
            while let Some(message) = self.seats[from].up.pop(now) {
                for (to, message) in self.relay.message(from as u64, &message)? {
                    self.seats[to as usize].down.push(message, now);
                }
            }
        }
        for seat in 0..self.seats.len() {
            while let Some(message) = self.seats[seat].down.pop(now) {
                self.hear(seat, &message)?;
            }
        }
        if self.next_tick <= now {
            self.next_tick = now.plus(TICK_US);
            for seat in 0..self.seats.len() {
                self.ask(seat, |group| {
                    group.tick(now);
                    Ok(())
                })?;
            }
        }
        Ok(())
    }

    fn hear(&mut self, seat: usize, message: &[u8]) -> anyhow::Result<()> {
        let (now, place) = (self.now, &mut self.seats[seat].place);
        let (done, cpu_us) = timed(|| match place {
            Place::Outside(joining) => joining.handle(message, now),
            Place::Inside(group) => group.handle(message, now).map(|()| None),
            Place::Gone => Ok(None),
        });
        if let Some(group) = done? {
            *place = Place::Inside(Box::new(group));
        }
        self.follow(seat, cpu_us)
    }

    /// Takes what a member's group gives: `cpu_us` is what making it took.
    fn follow(&mut self, seat: usize, cpu_us: u64) -> anyhow::Result<()> {
        while let Place::Inside(group) = &mut self.seats[seat].place {
            let Some(output) = group.poll() else { break };
            match output {
                Output::Send(message) => self.send(seat, message, cpu_us),
                Output::Epoch(mut input, switch) => {
                    if let Some(view) = self.views.get_mut(seat) {
                        *view = Some(View::of(&input));
                    }
                    input.began = self.meeting(input.began);
                    let (epoch, members) = (input.epoch, input.roster.len());
                    let (keys, derived_us) = timed(|| input.derive());
                    let (send, mut open) = keys?;
                    let soon = self.seats.len() > 2 && switch == Switch::Soon;
                    let at = self.meeting(self.now).plus(if soon { SWITCH_US } else { 0 });
                    let keeper = &self.seats[seat].keeper;
                    if seat == SENDER {
                        keeper.send(send, at);
                    } else if let Some(keys) = open.take(SENDER as u16) {
                        keeper.open(keys);
                    }
                    self.notes.push_back(Note::Epoch { seat, epoch, members, cpu_us: cpu_us + derived_us });
                }
                Output::Event(Event::Knock { key_package, person, .. }) if seat == SENDER => {
                    let now = self.now;
                    // Nobody else has the way to this relay; whoever does is not let in.
                    if self.expected.contains(&person.identity) {
                        group.admit(&key_package, now)?;
                    }
                }
                Output::Event(Event::Began { epoch, began }) => {
                    self.seats[seat].keeper.began(epoch, self.meeting(began));
                }
                Output::Event(Event::StopSealing) => self.seats[seat].keeper.stop(),
                Output::Event(Event::Left(_)) => self.seats[seat].place = Place::Gone,
                Output::Event(_) => {}
            }
        }
        Ok(())
    }
}

/// What `work` gives, and the processor time in microseconds that it took this thread; the time that passed where the
/// system does not say.
fn timed<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let (started, before) = (Instant::now(), thread_cpu_seconds());
    let made = work();
    let seconds = match (before, thread_cpu_seconds()) {
        (Some(before), Some(after)) => after - before,
        _ => started.elapsed().as_secs_f64(),
    };
    (made, (seconds * 1e6) as u64)
}
