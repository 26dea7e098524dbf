//! The meeting itself: everybody is let in, and then the plan is played.

use conclave::e2ee::group::{Device, MeetingType, Request};
use conclave::enhanced::{self, Service, ServiceKey};
use conclave::gathering::relays::malicious::Cue;
use conclave::gathering::relays::{Any, Malicious, Model};
use conclave::gathering::{Config, Gathering};
use conclave::meeting::policy::MeetingPolicy;
use conclave::party::{self, Party, PartyError};
use conclave::time::Time;

use super::media::{self, PACKET_US, PICTURE_US, Place};
use super::plan::{Move, Random, length_us, plan};
use super::seat::Seat;
use super::watch::{Leaver, Watch};
use super::{Args, MOST_IN_A_GROUP};
use crate::policy;

/// Those on the first seats speak, and stay.
pub const SPEAKERS: usize = 4;
/// Microseconds for which one of them speaks beside the host.
const TURN_US: u64 = 10_000_000;
/// Microseconds within which everybody is let in before the meeting begins.
const LOBBY_US: u64 = 120_000_000;
/// Microseconds between two who knock before it begins.
const ARRIVAL_US: u64 = 10_000;
/// Microseconds that whoever has gone stays connected.
const GONE_US: u64 = 3_000_000;

/// See the module.
pub struct Sim {
    pub gathering: Gathering<Seat, Any>,
    pub watch: Watch,
    /// When the meeting began.
    pub began: Time,
    pub joins: u64,
    /// Who came after it had begun, by seat.
    pub late: Vec<usize>,
    /// What the meeting is to run by.
    pub rules: MeetingPolicy,
    settings: party::Config,
    /// Those who do not speak say nothing on the data channel either.
    large: bool,
    /// The key of the service, where the keys come from one.
    service: Option<[u8; 32]>,
    moves: std::vec::IntoIter<(u64, Move)>,
    length_us: u64,
    random: Random,
    /// Number of the next packet of sound of each speaker, and since when it speaks.
    sound: [(u64, Option<u64>); SPEAKERS],
    /// Pictures sent, and when the next one is due.
    pictures: (u64, Time),
}

impl Sim {
    /// Everybody is in when it returns.
    pub fn gather(args: &Args) -> anyhow::Result<Self> {
        let mut random = Random(args.seed);
        let host = device("host", &mut random)?;
        let rules = policy::built_in(args.meeting(), args.suite)?;
        let mut invite = rules.group_config(b"conclave meet")?;
        invite.host = Some(host.identity());
        if matches!(args.relay, Model::Malicious(_)) {
            invite.relay_key = Malicious::public_key();
        }
        let (relay, service) = match args.meeting() {
            MeetingType::EndToEnd => (args.relay.relay(args.seed, &invite), None),
            MeetingType::Enhanced => {
                let key = ServiceKey::from_seed(&random.seed())?;
                let public = key.public();
                let config = enhanced::Config { meeting: invite.clone(), service: public };
                (Any::Service(Box::new(Service::new(config, key)?)), Some(public))
            }
        };
        let moves = plan(args, &mut random);
        let mut sim = Self {
            gathering: Gathering::new(Config { seed: args.seed, ..Config::default() }, relay),
            watch: Watch::default(),
            began: Time(0),
            joins: 0,
            late: Vec::new(),
            settings: party::Config::new(invite),
            service,
            large: args.people > MOST_IN_A_GROUP,
            rules,
            moves: moves.into_iter(),
            length_us: length_us(args),
            random,
            sound: [(0, None); SPEAKERS],
            pictures: (0, Time(0)),
        };
        let settings = sim.settings.clone();
        match service {
            None => {
                sim.gathering.sit(&mut sim.watch, |now, out| Party::found(&host, settings, now, out).map(Seat::new))?
            }
            Some(_) => {
                let seat = sim.sit(&host)?;
                sim.run_for(1_000_000);
                seat
            }
        };
        for _ in 1..args.people {
            sim.knock()?;
            sim.run_for(ARRIVAL_US);
        }
        let people = args.people as usize;
        while sim.members() < people {
            anyhow::ensure!(
                sim.gathering.now().0 < LOBBY_US,
                "{} of {people} people were let in within {} s; take fewer --people",
                sim.members(),
                LOBBY_US / 1_000_000
            );
            sim.run_for(100_000);
        }
        sim.run_for(1_000_000);
        sim.began = sim.gathering.now();
        sim.pictures.1 = sim.began;
        Ok(sim)
    }

    /// Plays the meeting to its end; `progress` is told the share that is over.
    pub fn play(&mut self, mut progress: impl FnMut(f64)) -> anyhow::Result<()> {
        let mut next = self.moves.next();
        loop {
            let at = self.gathering.now().since(self.began);
            if at >= self.length_us {
                return Ok(());
            }
            while let Some((_, what)) = next.filter(|(due, _)| *due <= at) {
                self.act(what)?;
                next = self.moves.next();
            }
            if at.is_multiple_of(1_000_000) {
                progress(at as f64 / self.length_us as f64);
                self.clear();
            }
            self.speak(at);
            self.run_for(PACKET_US);
        }
    }

    /// How many are in where all who are in see the same number, by the host's tree.
    fn members(&self) -> usize {
        self.gathering
            .parties()
            .filter(|(_, seat)| seat.roster().is_some())
            .count()
            .min(self.gathering.parties().next().and_then(|(_, host)| host.roster()).map_or(0, |roster| roster.len()))
    }

    fn run_for(&mut self, us: u64) {
        let until = self.gathering.now().plus(us);
        self.gathering.run(until, &mut self.watch);
    }

    fn knock(&mut self) -> anyhow::Result<usize> {
        self.joins += 1;
        let device = device(&format!("guest {}", self.joins), &mut self.random)?;
        self.sit(&device)
    }

    /// Somebody knocks where the keys come from.
    fn sit(&mut self, device: &Device) -> anyhow::Result<usize> {
        let (settings, service, large) = (self.settings.clone(), self.service, self.large);
        let knock = |_, out: &mut dyn party::Out| {
            let party = match service {
                None => Party::knock(device, settings, out)?,
                Some(service) => Party::enhanced(device, settings, service, out)?,
            };
            let seat = Seat::new(party);
            Ok(if large { seat.silent_from(SPEAKERS as u16) } else { seat })
        };
        Ok(self.gathering.sit::<PartyError>(&mut self.watch, knock)?)
    }

    fn act(&mut self, what: Move) -> anyhow::Result<()> {
        let now = self.gathering.now();
        match what {
            Move::Join | Move::Cue(Cue::Knock) => {
                let seat = self.knock()?;
                self.late.push(seat);
            }
            Move::Leave | Move::Cue(Cue::Leave) => self.goes(false, now),
            Move::Kick => self.goes(true, now),
            Move::Strike => {
                if let Any::Malicious(relay) = self.gathering.relay() {
                    relay.strike(now);
                }
            }
            Move::Cue(Cue::Lock) => self.ask(Request::Lock, now),
            Move::Cue(Cue::Word) => {
                if let Some(host) = self.gathering.party(0) {
                    host.tell(b"please mute yourselves");
                }
            }
            Move::Cue(Cue::None) => {}
        }
        Ok(())
    }

    fn ask(&mut self, request: Request, now: Time) {
        if let Some(host) = self.gathering.party(0) {
            host.ask(request, now);
        }
    }

    /// One of those who may goes, by its own wish or the host's.
    fn goes(&mut self, kick: bool, now: Time) {
        let going = |seat: &&(usize, &Seat)| {
            let leaves = |identity| self.watch.leavers.iter().any(|leaver| leaver.identity == identity);
            seat.0 >= SPEAKERS && identity(seat.1).is_some_and(|identity| !leaves(identity))
        };
        let all: Vec<_> = self.gathering.parties().collect();
        let candidates: Vec<_> = all.iter().filter(going).map(|(seat, one)| (*seat, identity(one))).collect();
        let chosen = self.random.below(candidates.len() as u64) as usize;
        let Some((seat, Some(identity))) = candidates.get(chosen).copied() else { return };
        if kick {
            self.ask(Request::Remove { identity, kick: true }, now);
        } else if let Some(party) = self.gathering.party(seat) {
            party.leave(now);
        }
        self.watch.leavers.push(Leaver { identity, kick, asked: now, gone_in: None, last: now });
    }

    /// Whoever has been gone for a while is not connected any more.
    fn clear(&mut self) {
        let now = self.gathering.now();
        let gone = |(seat, _): (usize, &Seat)| {
            let left = self.watch.tracks.get(seat)?.left?;
            (now.since(left) >= GONE_US).then_some(seat)
        };
        let gone: Vec<_> = self.gathering.parties().filter_map(gone).collect();
        gone.into_iter().for_each(|seat| drop(self.gathering.vanish(seat)));
    }

    /// The host and one other speak, and the host shows itself.
    fn speak(&mut self, at: u64) {
        let (now, slot) = (self.gathering.now(), at / PACKET_US);
        let other = 1 + (at / TURN_US) as usize % (SPEAKERS - 1);
        for seat in 0..SPEAKERS {
            if seat != 0 && seat != other {
                self.sound[seat].1 = None;
                continue;
            }
            let Some(epoch) = self.gathering.party(seat).and_then(|party| party.sealing()) else { continue };
            let since = *self.sound[seat].1.get_or_insert(slot);
            let frame = media::sound(Place { slot, since }, self.sound[seat].0, now);
            if self.gathering.frame(seat, frame, &mut self.watch).is_ok() {
                self.sound[seat].0 += 1;
                self.watch.sealed(epoch, now);
            }
        }
        let Some(host) = self.gathering.party(0) else { return };
        let (number, due) = self.pictures;
        let wanted = number == 0 || host.wants_keyframe();
        if (wanted || due <= now)
            && self.gathering.frame(0, media::picture(number, wanted, now), &mut self.watch).is_ok()
        {
            self.pictures = (number + 1, now.plus(PICTURE_US));
        }
    }
}

fn device(name: &str, random: &mut Random) -> anyhow::Result<Device> {
    Ok(Device::from_seeds(name, &random.seed(), &random.seed())?)
}

fn identity(seat: &Seat) -> Option<conclave::e2ee::IdentityKey> {
    Some(seat.roster()?.get(seat.own()?.leaf)?.identity)
}
