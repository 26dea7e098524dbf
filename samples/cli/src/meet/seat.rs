//! One participant of the meeting, and what the rest of the simulation looks at in it. `Meeting` goes where `Party` is.

use conclave::data::Peer;
use conclave::e2ee::group::{self, GroupError};
use conclave::e2ee::{Context, Roster};
use conclave::frame::{Encoded, Kind};
use conclave::gathering::Participant;
use conclave::gathering::alarm::Alarm;
use conclave::party::{Event, Out, Party, PartyError, stream_id};
use conclave::receive::Receiver;
use conclave::time::Time;

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

    /// The group, to be asked what a host decides.
    pub fn group(&mut self) -> Result<&mut group::Group, PartyError> {
        self.party.group()
    }

    /// Leaves.
    pub fn leave(&mut self, now: Time) {
        self.party.leave(now);
    }

    /// Lets in whoever knocked.
    pub fn admit(&mut self, key_package: &[u8], now: Time) -> Result<(), GroupError> {
        match self.party.group() {
            Ok(group) => group.admit(key_package, now).map(drop),
            Err(_) => Err(GroupError::Out),
        }
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
        let group = self.party.group().ok()?;
        Some([group.authenticator(), &group.roster().hash(), &group.policy().hash()].concat())
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
