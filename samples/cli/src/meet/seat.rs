//! One participant of the meeting, and what the rest of the simulation looks at in it.

use conclave::data::Peer;
use conclave::e2ee::group::Request;
use conclave::e2ee::{Context, Roster};
use conclave::frame::{Encoded, Kind, Packet};
use conclave::gathering::Participant;
use conclave::gathering::alarm::Alarm;
use conclave::meeting::policy::MeetingPolicy;
use conclave::meeting::shield::{Facts, Shield};
use conclave::party::{Event, Out, Party, PartyError, stream_id};
use conclave::receive::Receiver;
use conclave::rtp::header::{Rtp, is_rtcp};
use conclave::time::Time;

use crate::policy;

/// See the module.
pub struct Seat {
    party: Party,
    /// Those on leaves from this one on say nothing but what a receiver reports: a receiver for every pair of a thousand
    /// people is more than a machine holds.
    silent_from: u16,
    /// Alarms that are errors, not events.
    refused: Vec<Alarm>,
}

impl Seat {
    /// Around a party.
    pub fn new(party: Party) -> Self {
        Self { party, silent_from: u16::MAX, refused: Vec::new() }
    }

    /// Says nothing unless it is on a leaf below `leaf`.
    pub fn silent_from(self, leaf: u16) -> Self {
        Self { silent_from: leaf, ..self }
    }

    /// The next event.
    pub fn event(&mut self) -> Option<Event> {
        self.party.event()
    }

    /// Alarms since last asked that came as errors.
    pub fn refused(&mut self) -> Vec<Alarm> {
        std::mem::take(&mut self.refused)
    }

    /// Asks for what a host may ask for. One that is out asks for nothing; that it is out is an alarm.
    pub fn ask(&mut self, request: Request, now: Time) {
        let _ = self.party.plane().map(|plane| plane.ask(request, now));
    }

    /// Tells everybody something.
    pub fn tell(&mut self, words: &[u8]) {
        let _ = self.party.plane().map(|plane| plane.tell(words));
    }

    /// Leaves.
    pub fn leave(&mut self, now: Time) {
        self.party.leave(now);
    }

    /// Lets in whoever knocked. What cannot be let in is the knocker's to wait for.
    pub fn admit(&mut self, knock: &[u8], now: Time) {
        let _ = self.party.plane().map(|plane| plane.admit(knock, now));
    }

    /// Who it is.
    pub fn own(&self) -> Option<Peer> {
        self.party.own()
    }

    /// The epoch that its frames are sealed under.
    pub fn sealing(&self) -> Option<u64> {
        self.party.sealing()
    }

    /// The group's epoch.
    pub fn epoch(&self) -> Option<u64> {
        self.party.epoch()
    }

    /// Who is in.
    pub fn roster(&self) -> Option<&Roster> {
        self.party.roster()
    }

    /// What the security code is taken over: the same for all who see the same meeting.
    pub fn view(&mut self) -> Option<Vec<u8>> {
        let plane = self.party.plane().ok()?;
        Some([plane.authenticator(), &plane.roster().hash(), &plane.policy().hash()].concat())
    }

    /// The security code that it shows.
    pub fn code(&mut self) -> anyhow::Result<String> {
        let plane = self.party.plane()?;
        let (epoch, rules) = (plane.epoch(), plane.policy().encode());
        Ok(policy::code(epoch, plane.authenticator(), plane.roster(), &rules)?.to_string())
    }

    /// The shield that it shows, in a meeting that is to run by `rules`.
    pub fn shield(&mut self, rules: &MeetingPolicy) -> Shield {
        let agrees = self.party.plane().is_ok_and(|plane| rules.rules(plane.policy()).is_ok());
        Shield::new(&Facts::of(&self.party.facts(), agrees, false))
    }

    /// Whether its camera is asked for a key frame; asking takes the wish.
    pub fn wants_keyframe(&self) -> bool {
        let camera = |own| self.party.sender()?.edge_of(stream_id(own, Context::of(Kind::Camera)));
        self.own().and_then(camera).is_some_and(|edge| edge.take().keyframe)
    }

    /// Those who were heard.
    pub fn heard(&mut self) -> impl Iterator<Item = (Peer, &mut Receiver)> {
        self.party.heard()
    }
}

impl Participant for Seat {
    fn control(&mut self, message: &[u8], now: Time, out: &mut dyn Out) {
        if let Err(error) = self.party.control(message, now, out) {
            self.refused.extend(Alarm::of_error(&error));
        }
    }

    fn datagram(&mut self, datagram: &[u8], now: Time, out: &mut dyn Out) {
        self.party.datagram(datagram, now, out);
    }

    fn tick(&mut self, now: Time, out: &mut dyn Out) {
        // An epoch without keys is one without sound, and that is measured.
        let _ = self.party.tick(now, &mut Throat { out, silent_from: self.silent_from });
    }

    fn frame(&mut self, frame: Encoded, now: Time, out: &mut dyn Out) -> Result<(), PartyError> {
        self.party.frame(frame, now, out).map(drop)
    }
}

/// The way out of a seat.
struct Throat<'a> {
    out: &'a mut dyn Out,
    silent_from: u16,
}

impl Out for Throat<'_> {
    fn control(&mut self, message: Vec<u8>) {
        self.out.control(message);
    }

    fn datagram(&mut self, packet: &Packet) {
        // A stream's id begins with its owner's leaf.
        let leaf = |stream: u32| (stream >> 22) as u16;
        let bytes = packet.as_slice();
        if is_rtcp(bytes) || Rtp::parse(bytes).is_ok_and(|rtp| leaf(rtp.ssrc) < self.silent_from) {
            self.out.datagram(packet);
        }
    }
}
