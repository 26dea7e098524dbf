//! A meeting around a relay that attacks: who is told what and when, what is still heard, and who sees which code.

use conclave::codecs::AudioInput;
use conclave::e2ee::group::{self, Device};
use conclave::frame::{Encoded, Kind};
use conclave::gathering::alarm::Alarm;
use conclave::gathering::relays::{Attack, Malicious};
use conclave::gathering::{Audience, Config, Gathering, Participant, Word};
use conclave::party::{self, Event, Out, Party, PartyError};
use conclave::time::Time;

use crate::codes;
use crate::people::sound;

/// Somebody at the table, and what of the relay's it did not take.
pub struct Guest {
    pub party: Party,
    pub refusals: Vec<(Time, PartyError)>,
}

impl Participant for Guest {
    fn control(&mut self, message: &[u8], now: Time, out: &mut dyn Out) {
        if let Err(error) = self.party.control(message, now, out) {
            self.refusals.push((now, error));
        }
    }

    fn datagram(&mut self, datagram: &[u8], now: Time, out: &mut dyn Out) {
        self.party.datagram(datagram, now, out);
    }

    fn tick(&mut self, now: Time, out: &mut dyn Out) {
        self.party.tick(now, out).unwrap();
    }

    fn frame(&mut self, frame: Encoded, now: Time, out: &mut dyn Out) -> Result<(), PartyError> {
        self.party.frame(frame, now, out).map(drop)
    }
}

/// What one of them was told, and when it heard somebody.
#[derive(Default)]
pub struct Seen {
    pub events: Vec<(Time, Event)>,
    pub heard: Vec<Time>,
}

#[derive(Default)]
struct Everybody(Vec<Seen>);

impl Audience<Guest> for Everybody {
    fn sent(&mut self, _: usize, _: Word<'_>, _: Time) {}

    fn ticked(&mut self, seat: usize, guest: &mut Guest, now: Time) {
        if self.0.len() <= seat {
            self.0.resize_with(seat + 1, Seen::default);
        }
        while let Some(event) = guest.party.event() {
            if let (0, Event::Group(group::Event::Knock { key_package, .. })) = (seat, &event) {
                let _ = guest.party.group().unwrap().admit(key_package, now);
            }
            self.0[seat].events.push((now, event));
        }
        for (_, receiver) in guest.party.heard() {
            let mut take = |input: AudioInput<'_>| {
                if matches!(input, AudioInput::Packet(_)) {
                    self.0[seat].heard.push(now);
                }
                Ok(960)
            };
            receiver.audio(now, &mut take).unwrap();
        }
    }
}

/// The meeting; seat 0 is its host and lets in whoever knocks.
pub struct Hostile {
    pub gathering: Gathering<Guest, Malicious>,
    everybody: Everybody,
    settings: party::Config,
}

impl Hostile {
    /// Of `people`, under `invite`, which names the host where it is `pinned`. The relay is honest so far.
    pub fn meeting(attack: Attack, invite: group::Config, pinned: bool, people: usize) -> Self {
        let host = Device::generate("host").unwrap();
        let relay_key = Malicious::public_key();
        let invite = group::Config { relay_key, host: pinned.then(|| host.identity()), ..invite };
        let relay = Malicious::new(attack, invite.clone());
        let mut settings = party::Config::new(invite);
        settings.hears = vec![Kind::Microphone];
        let gathering = Gathering::new(Config::default(), relay);
        let mut meeting = Self { gathering, everybody: Everybody::default(), settings };
        meeting.sit(|settings, now, out| Party::found(&host, settings, now, out));
        for seat in 1..people {
            assert_eq!(meeting.knock(&format!("guest {seat}")), seat);
        }
        meeting.talk(3_000);
        for seat in 0..people {
            assert_eq!(meeting.roster(seat), Some(people), "all are in");
            assert_eq!(meeting.alarms(seat), []);
        }
        meeting
    }

    /// The relay begins.
    pub fn strike(&mut self) {
        let now = self.now();
        self.gathering.relay().strike(now);
    }

    /// Each victim is told in time, and nobody of `spared` is told anything. Returns the victims.
    pub fn told(&mut self, spared: &[usize]) -> Vec<usize> {
        let stated = self.gathering.relay().stated();
        let victims: Vec<_> = self.gathering.relay().victims().iter().map(|(id, at)| (*id as usize, *at)).collect();
        assert!(!victims.is_empty(), "the attack has taken hold");
        for (seat, hit) in &victims {
            let alarms = self.alarms(*seat);
            let told = alarms.iter().find(|(at, alarm)| at >= hit && stated.alarms.contains(alarm));
            let (at, alarm) = told.unwrap_or_else(|| panic!("{seat} is told nothing but {alarms:?}"));
            println!("seat {seat}: {alarm:?} after {} ms; {}", at.since(*hit) / 1000, stated.says);
            assert!(at.since(*hit) <= stated.within_us, "{seat} is told after {} ms", at.since(*hit) / 1000);
        }
        for seat in spared {
            assert_eq!(self.alarms(*seat), [], "{seat} is spared");
        }
        victims.into_iter().map(|(seat, _)| seat).collect()
    }

    /// The code of the meeting that the relay has made up.
    pub fn made_up(&mut self) -> Vec<u8> {
        let (authenticator, roster, policy) = self.gathering.relay().made_up().expect("a meeting of its own");
        codes::code_of(authenticator, roster, policy)
    }

    fn sit(&mut self, begin: impl FnOnce(party::Config, Time, &mut dyn Out) -> Result<Party, PartyError>) -> usize {
        let settings = self.settings.clone();
        let sat = self.gathering.sit(&mut self.everybody, |now, out| {
            begin(settings, now, out).map(|party| Guest { party, refusals: vec![] })
        });
        sat.unwrap()
    }

    pub fn knock(&mut self, name: &str) -> usize {
        let device = Device::generate(name).unwrap();
        self.sit(|settings, _, out| Party::knock(&device, settings, out))
    }

    pub fn now(&self) -> Time {
        self.gathering.now()
    }

    pub fn party(&mut self, seat: usize) -> &mut Party {
        &mut self.gathering.party(seat).unwrap().party
    }

    /// The host and the first guest speak for `ms` milliseconds, as far as they may.
    pub fn talk(&mut self, ms: u64) {
        let end = self.now().plus(ms * 1000);
        while self.now() < end {
            let now = self.now();
            for seat in [0, 1] {
                let _ = self.gathering.frame(seat, sound(now.0 / 20_000, now), &mut self.everybody);
            }
            self.gathering.run(now.plus(20_000), &mut self.everybody);
        }
    }

    /// How many are in, as a seat sees it.
    pub fn roster(&mut self, seat: usize) -> Option<usize> {
        self.party(seat).roster().map(|roster| roster.len())
    }

    pub fn code(&mut self, seat: usize) -> Option<Vec<u8>> {
        codes::code(self.party(seat))
    }

    /// All of these seats see one code.
    pub fn agree(&mut self, seats: &[usize]) -> Vec<u8> {
        let codes: Vec<_> = seats.iter().map(|seat| self.code(*seat).expect("is in")).collect();
        assert!(codes.windows(2).all(|two| two[0] == two[1]), "all honest members see one code");
        codes[0].clone()
    }

    pub fn events(&self, seat: usize) -> impl Iterator<Item = &group::Event> {
        self.everybody.0[seat].events.iter().filter_map(|(_, event)| match event {
            Event::Group(event) => Some(event),
            _ => None,
        })
    }

    /// What a seat was told that is not as it should be, in order.
    pub fn alarms(&mut self, seat: usize) -> Vec<(Time, Alarm)> {
        let refusals = &self.gathering.party(seat).unwrap().refusals;
        let refused = refusals.iter().filter_map(|(at, error)| Some((*at, Alarm::of_error(error)?)));
        let events = self.everybody.0.get(seat).into_iter().flat_map(|seen| &seen.events);
        let told = events.filter_map(|(at, event)| Some((*at, Alarm::of(event)?)));
        let mut all: Vec<_> = refused.chain(told).collect();
        all.sort_by_key(|(at, _)| *at);
        all
    }

    /// Packets that a seat heard since.
    pub fn heard(&self, seat: usize, since: Time) -> usize {
        self.everybody.0[seat].heard.iter().filter(|at| **at >= since).count()
    }

    /// Each of `seats` hears both who speak, the host and the first guest, about as often as it should.
    pub fn hear_all(&self, seats: &[usize], since: Time) {
        for seat in seats {
            let speakers = 2 - usize::from(*seat < 2);
            let due = speakers * (self.now().since(since) / 20_000) as usize;
            let heard = self.heard(*seat, since);
            assert!(heard * 10 >= due * 9, "{seat} hears {heard} of {due} packets");
        }
    }
}
