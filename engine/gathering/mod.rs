//! A meeting of many in one process and in virtual time: parties or what is around them, a relay or another hub between
//! them, and a path each way for each.
//!
//! Groups are real, so their library draws its own randomness: the same seed gives the same losses and the same
//! counters, not the same bytes. Time goes on in steps of [`STEP_US`]. [`relays`] has relays of other conduct than the
//! honest one, [`alarm`] what their victims are told.

pub mod alarm;
pub mod relays;

use std::collections::BTreeMap;

use crate::frame::{Encoded, Packet};
use crate::netem::{self, Netem, Pipe};
use crate::party::{Out, Party, PartyError};
use crate::relay::{Delivery, Hub, Relay};
use crate::rtp::header::{Rtp, is_rtcp};
use crate::time::{TICK_US, Time};

/// Microseconds of a step: what arrives within one is handed over at its end.
pub const STEP_US: u64 = 2_000;

/// The paths between each participant and the relay.
#[derive(Clone, Debug)]
pub struct Config {
    /// Everything random follows from it, the groups' own randomness aside.
    pub seed: u64,
    /// Delay one way, in microseconds: half the round trip to the relay, a quarter of that to another participant.
    pub delay_us: u64,
    /// Bits a second of a path, for control and for media each.
    pub rate_bps: Option<u64>,
    /// Loss of datagrams on each path, in percent.
    pub loss: f32,
    /// Jitter of datagrams on each path, in microseconds.
    pub jitter_us: u64,
}

impl Default for Config {
    /// 100 ms from one participant to another and back, 10 Mbit/s, no loss.
    fn default() -> Self {
        Self { seed: 1, delay_us: 25_000, rate_bps: Some(10_000_000), loss: 0.0, jitter_us: 0 }
    }
}

/// What goes over the wire, as a relay sees it.
#[derive(Clone, Copy, Debug)]
pub enum Word<'a> {
    /// A control message.
    Control(&'a [u8]),
    /// A datagram.
    Datagram(&'a [u8]),
}

/// Who sits at the table: a [`Party`], or something around one.
pub trait Participant {
    /// A message that the relay delivered. What cannot be used is the participant's to tell.
    fn control(&mut self, message: &[u8], now: Time, out: &mut dyn Out);
    /// A datagram of another one.
    fn datagram(&mut self, datagram: &[u8], now: Time, out: &mut dyn Out);
    /// The time.
    fn tick(&mut self, now: Time, out: &mut dyn Out);
    /// It is to send a frame.
    ///
    /// # Errors
    /// Those of [`Party::frame`].
    fn frame(&mut self, frame: Encoded, now: Time, out: &mut dyn Out) -> Result<(), PartyError>;
}

impl Participant for Party {
    fn control(&mut self, message: &[u8], now: Time, out: &mut dyn Out) {
        let _ = Party::control(self, message, now, out);
    }

    fn datagram(&mut self, datagram: &[u8], now: Time, out: &mut dyn Out) {
        Party::datagram(self, datagram, now, out);
    }

    fn tick(&mut self, now: Time, out: &mut dyn Out) {
        let _ = Party::tick(self, now, out);
    }

    fn frame(&mut self, frame: Encoded, now: Time, out: &mut dyn Out) -> Result<(), PartyError> {
        Party::frame(self, frame, now, out).map(drop)
    }
}

/// Who watches the gathering.
pub trait Audience<P = Party> {
    /// A participant sent something.
    fn sent(&mut self, seat: usize, word: Word<'_>, now: Time);
    /// A participant has been told the time: what it heard and what happened is to be taken from it.
    fn ticked(&mut self, seat: usize, party: &mut P, now: Time);
}

/// What the relay does with a control message on its way to a seat: `false` keeps it back for ever.
pub type Filter = Box<dyn FnMut(usize, &[u8], Time) -> bool>;

/// See the module.
pub struct Gathering<P = Party, H = Relay> {
    config: Config,
    relay: H,
    seats: Vec<Seat<P>>,
    /// Whose streams there are.
    owners: BTreeMap<u32, usize>,
    filter: Option<Filter>,
    now: Time,
    next_tick: Time,
}

struct Seat<P> {
    party: Option<P>,
    ways: Ways,
}

/// The paths of one participant.
struct Ways {
    control_up: Pipe,
    control_down: Pipe,
    media_up: Netem,
    media_down: Netem,
}

impl Ways {
    fn new(config: &Config, seat: u64) -> Self {
        let pipe = || Pipe::new(config.delay_us, config.rate_bps);
        let netem = |way: u64| {
            Netem::new(netem::Config {
                seed: config.seed.wrapping_mul(0x9e37_79b9).wrapping_add(seat * 2 + way),
                loss: config.loss,
                delay_us: config.delay_us,
                jitter_us: config.jitter_us,
                rate_bps: config.rate_bps,
                ..netem::Config::default()
            })
        };
        Self { control_up: pipe(), control_down: pipe(), media_up: netem(0), media_down: netem(1) }
    }
}

/// What a party says goes on its way up, seen by the audience.
struct Desk<'a, P> {
    seat: usize,
    ways: &'a mut Ways,
    audience: &'a mut dyn Audience<P>,
    now: Time,
}

impl<P> Out for Desk<'_, P> {
    fn control(&mut self, message: Vec<u8>) {
        self.audience.sent(self.seat, Word::Control(&message), self.now);
        self.ways.control_up.push(message.into(), self.now);
    }

    fn datagram(&mut self, packet: &Packet) {
        self.audience.sent(self.seat, Word::Datagram(packet.as_slice()), self.now);
        self.ways.media_up.push(packet.as_slice(), self.now);
    }
}

impl<P: Participant, H: Hub> Gathering<P, H> {
    /// Nobody is there yet.
    pub fn new(config: Config, relay: H) -> Self {
        let (seats, owners) = (Vec::new(), BTreeMap::new());
        Self { config, relay, seats, owners, filter: None, now: Time(0), next_tick: Time(0) }
    }

    /// Somebody sits down: `begin` founds the meeting or knocks. Returns the seat.
    ///
    /// # Errors
    /// Those of `begin`.
    pub fn sit<E>(
        &mut self,
        audience: &mut dyn Audience<P>,
        begin: impl FnOnce(Time, &mut dyn Out) -> Result<P, E>,
    ) -> Result<usize, E> {
        let seat = self.seats.len();
        let mut ways = Ways::new(&self.config, seat as u64);
        let party = begin(self.now, &mut Desk { seat, ways: &mut ways, audience, now: self.now })?;
        self.relay.connect(seat as u64);
        self.seats.push(Seat { party: Some(party), ways });
        Ok(seat)
    }

    /// Somebody is gone without a word: the participant as it was.
    pub fn vanish(&mut self, seat: usize) -> Option<P> {
        self.relay.disconnect(seat as u64);
        self.seats.get_mut(seat)?.party.take()
    }

    /// The participant on a seat.
    pub fn party(&mut self, seat: usize) -> Option<&mut P> {
        self.seats.get_mut(seat)?.party.as_mut()
    }

    /// The participants, by seat.
    pub fn parties(&self) -> impl Iterator<Item = (usize, &P)> {
        self.seats.iter().enumerate().filter_map(|(seat, one)| Some((seat, one.party.as_ref()?)))
    }

    /// A participant sends a frame.
    ///
    /// # Errors
    /// Those of [`Party::frame`].
    pub fn frame(&mut self, seat: usize, frame: Encoded, audience: &mut dyn Audience<P>) -> Result<(), PartyError> {
        let Some(Seat { party: Some(party), ways }) = self.seats.get_mut(seat) else { return Err(PartyError::Outside) };
        party.frame(frame, self.now, &mut Desk { seat, ways, audience, now: self.now })
    }

    /// The relay lets through what `filter` says, from now on.
    pub fn relay_filter(&mut self, filter: Filter) {
        self.filter = Some(filter);
    }

    /// The relay, to propose what it may.
    pub fn relay(&mut self) -> &mut H {
        &mut self.relay
    }

    /// Hands what the relay says by itself to the members.
    pub fn announce(&mut self, deliveries: Vec<Delivery>) {
        for (to, message) in deliveries {
            self.deliver(to as usize, message);
        }
    }

    /// The time reached.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Bytes of control sent by a seat, and to it.
    pub fn control_bytes(&self, seat: usize) -> (u64, u64) {
        self.seats.get(seat).map_or((0, 0), |seat| (seat.ways.control_up.bytes(), seat.ways.control_down.bytes()))
    }

    /// Plays up to `until`.
    pub fn run(&mut self, until: Time, audience: &mut dyn Audience<P>) {
        while self.now < until {
            self.now = self.now.plus(STEP_US);
            self.step(audience);
        }
    }

    fn step(&mut self, audience: &mut dyn Audience<P>) {
        let now = self.now;
        for from in 0..self.seats.len() {
            while let Some(message) = self.seats[from].ways.control_up.pop(now) {
                let deliveries = self.relay.message(from as u64, &message, now);
                self.announce(deliveries);
            }
            while let Some(packet) = self.seats[from].ways.media_up.pop(now) {
                self.forward(from, packet.as_slice());
            }
        }
        let ticks = self.next_tick <= now;
        if ticks {
            self.next_tick = now.plus(TICK_US);
            let said = self.relay.tick(now);
            self.announce(said);
        }
        for (seat, Seat { party, ways }) in self.seats.iter_mut().enumerate() {
            let Some(party) = party else { continue };
            while let Some(message) = ways.control_down.pop(now) {
                party.control(&message, now, &mut Desk { seat, ways, audience, now });
            }
            while let Some(packet) = ways.media_down.pop(now) {
                party.datagram(packet.as_slice(), now, &mut Desk { seat, ways, audience, now });
            }
            if ticks {
                party.tick(now, &mut Desk { seat, ways, audience, now });
                audience.ticked(seat, party, now);
            }
        }
    }

    fn deliver(&mut self, to: usize, message: std::sync::Arc<[u8]>) {
        let now = self.now;
        if self.filter.as_mut().is_some_and(|passes| !passes(to, &message, now)) {
            return;
        }
        if let Some(seat) = self.seats.get_mut(to) {
            seat.ways.control_down.push(message, now);
        }
    }

    /// A datagram goes to everybody else; RTCP about a stream to whoever sends it.
    fn forward(&mut self, from: usize, datagram: &[u8]) {
        let now = self.now;
        let to = match is_rtcp(datagram) {
            true if datagram[1] == SENDER_REPORT => None,
            true => {
                let stream = datagram.get(8..12).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
                let Some(owner) = stream.and_then(|stream| self.owners.get(&stream)) else { return };
                Some(*owner)
            }
            false => {
                if let Ok(rtp) = Rtp::parse(datagram) {
                    self.owners.insert(rtp.ssrc, from);
                }
                None
            }
        };
        for (seat, one) in self.seats.iter_mut().enumerate() {
            if seat != from && to.is_none_or(|to| to == seat) && one.party.is_some() {
                one.ways.media_down.push(datagram, now);
            }
        }
    }
}

/// Payload type of an RTCP sender report (RFC 3550 §12.1).
const SENDER_REPORT: u8 = 200;
