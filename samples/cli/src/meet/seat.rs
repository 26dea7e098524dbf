//! One participant of the meeting, and what the rest of the simulation looks at in it.

use conclave::data::Peer;
use conclave::e2ee::group::Request;
use conclave::e2ee::{Context, Roster};
use conclave::frame::{Encoded, Kind};
use conclave::gathering::Participant;
use conclave::gathering::alarm::Alarm;
use conclave::meeting::policy::MeetingPolicy;
use conclave::meeting::shield::{Facts, Shield};
use conclave::party::{Event, Out, Party, PartyError, stream_id};
use conclave::receive::Receiver;
use conclave::time::Time;

use crate::policy;

/// See the module.
pub struct Seat {
    party: Party,
    /// Alarms that are errors, not events.
    refused: Vec<Alarm>,
}

impl Seat {
    /// Around a party.
    pub fn new(party: Party) -> Self {
        Self { party, refused: Vec::new() }
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
        let _ = self.party.tick(now, out);
    }

    fn frame(&mut self, frame: Encoded, now: Time, out: &mut dyn Out) -> Result<(), PartyError> {
        self.party.frame(frame, now, out).map(drop)
    }
}
