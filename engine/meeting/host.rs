//! What a host does. Who is in, who has which role and the lock are commits of the group, which everybody's copy of its
//! rules decides about; the rest are signed [`Action`]s.

use super::action::{Action, Refusal};
use super::event::{Alarm, Ended, Event};
use super::{END_US, Meeting, MeetingError, Stage};
use crate::data::Peer;
use crate::e2ee::group::Request;
use crate::e2ee::{IdentityKey, Member, Role};
use crate::party::Plane;
use crate::time::Time;

/// Which of the words that hold for all are this participant's.
#[derive(Default)]
pub(crate) struct OwnWords {
    spotlight: bool,
    code: bool,
}

impl Meeting {
    /// Takes somebody out, at once.
    ///
    /// # Errors
    /// [`MeetingError::NoMember`], [`MeetingError::NotAllowed`], [`MeetingError::Group`].
    pub fn remove(&mut self, who: &IdentityKey, now: Time) -> Result<(), MeetingError> {
        let leaf = self.member(who)?.leaf;
        self.group()?.remove(leaf, true, now)?;
        self.lobby.put_out(who);
        Ok(())
    }

    /// Gives somebody a role. A recorder only where the policy allows one, and seen by all.
    ///
    /// # Errors
    /// [`MeetingError::NoMember`], [`MeetingError::NotAllowed`], [`MeetingError::Group`].
    pub fn set_role(&mut self, who: &IdentityKey, role: Role, now: Time) -> Result<(), MeetingError> {
        self.member(who)?;
        Ok(self.group()?.set_role(*who, role, now)?)
    }

    /// Makes another one the host and steps down, in one commit.
    ///
    /// # Errors
    /// [`MeetingError::NoMember`], [`MeetingError::NotAllowed`], [`MeetingError::Group`].
    pub fn hand_over(&mut self, to: &IdentityKey, now: Time) -> Result<(), MeetingError> {
        let own = self.device.identity();
        if self.member(to)?.identity == own || self.own_role() != Some(Role::Host) {
            return Err(MeetingError::NotAllowed("hand over"));
        }
        // Both wait for the same commit. Where the second came alone, the rules would leave nobody without a host.
        self.group()?.set_role(*to, Role::Host, now)?;
        Ok(self.group()?.set_role(own, Role::Participant, now)?)
    }

    /// Lets nobody in any more but those who are here.
    ///
    /// # Errors
    /// [`MeetingError::NotAllowed`], [`MeetingError::Group`].
    pub fn lock(&mut self, now: Time) -> Result<(), MeetingError> {
        Ok(self.group()?.ask(Request::Lock, now)?)
    }

    /// Lets others in again.
    ///
    /// # Errors
    /// [`MeetingError::NotAllowed`], [`MeetingError::Group`].
    pub fn unlock(&mut self, now: Time) -> Result<(), MeetingError> {
        Ok(self.group()?.ask(Request::Unlock, now)?)
    }

    /// Asks again for what an [`Event::Confirm`] put to the host, for the roster as it is now.
    ///
    /// # Errors
    /// [`MeetingError::NotAllowed`], [`MeetingError::Group`].
    pub fn confirm(&mut self, request: Request, now: Time) -> Result<(), MeetingError> {
        if let Request::Admit { ticket, .. } = &request {
            self.lobby.admitted(ticket);
        }
        Ok(self.group()?.ask(request, now)?)
    }

    /// Asks somebody, or everybody else, to mute its microphone.
    ///
    /// # Errors
    /// [`MeetingError::NoMember`], [`MeetingError::NotAllowed`], [`MeetingError::Group`].
    pub fn ask_to_mute(&mut self, who: Option<&IdentityKey>) -> Result<(), MeetingError> {
        who.map_or(Ok(()), |who| self.member(who).map(|_| ()))?;
        self.act(Action::AskToMute(who.copied()))
    }

    /// Shows everybody one of them, or nobody in particular.
    ///
    /// # Errors
    /// [`MeetingError::NoMember`], [`MeetingError::NotAllowed`], [`MeetingError::Group`].
    pub fn spotlight(&mut self, who: Option<&IdentityKey>) -> Result<(), MeetingError> {
        who.map_or(Ok(()), |who| self.member(who).map(|_| ()))?;
        self.act(Action::Spotlight(who.copied()))
    }

    /// Pins the security code of the epoch that is now on every screen, to be read aloud.
    ///
    /// # Errors
    /// [`MeetingError::NotAllowed`], [`MeetingError::Group`].
    pub fn read_aloud(&mut self) -> Result<(), MeetingError> {
        let epoch = self.epoch;
        self.act(Action::Pin(epoch))
    }

    /// Closes the code that was read aloud.
    ///
    /// # Errors
    /// [`MeetingError::NotAllowed`], [`MeetingError::Group`].
    pub fn close_code(&mut self) -> Result<(), MeetingError> {
        self.act(Action::Unpin)
    }

    /// Ends the meeting for all: everybody erases what it has of it. This participant goes once the relay has passed the
    /// word on, and after [`END_US`] in any case: whom it did not reach stops for want of heartbeats.
    ///
    /// # Errors
    /// [`MeetingError::NotAllowed`], [`MeetingError::Group`].
    pub fn end(&mut self, now: Time) -> Result<(), MeetingError> {
        if self.roster.len() == 1 {
            self.finish(Ended::Left);
            return Ok(());
        }
        self.act(Action::End)?;
        self.stage = Stage::Ending(now.plus(END_US));
        Ok(())
    }

    /// Tells everybody an action.
    pub(crate) fn act(&mut self, action: Action) -> Result<(), MeetingError> {
        if !self.own_role().is_some_and(|role| action.may(role)) {
            return Err(MeetingError::NotAllowed(action.name()));
        }
        let number = self.numbers.next();
        self.group()?.tell(&action.encode(number))?;
        self.numbers.said();
        Ok(())
    }

    /// Somebody came: what this participant said that holds for all, it says again.
    pub(crate) fn say_again(&mut self) {
        let code = self.codes.pinned().filter(|_| self.own_words.code).map(Action::Pin);
        let spotlight = self.spotlight.filter(|_| self.own_words.spotlight).map(|who| Action::Spotlight(Some(who)));
        for action in [code, spotlight].into_iter().flatten() {
            if let Err(why) = self.act(action) {
                tracing::warn!("whoever came is not told what holds for all: {why}");
            }
        }
    }

    /// Where everything that a host decides goes through.
    pub(crate) fn group(&mut self) -> Result<&mut Plane, MeetingError> {
        if self.stage != Stage::In {
            return Err(MeetingError::Outside);
        }
        Ok(self.party.plane()?)
    }

    /// A word that everybody got, in the order in which all get them.
    pub(crate) fn told(&mut self, by: Member, word: &[u8], now: Time) {
        let refuse = |action, why| Event::Alarm(Alarm::Action { by: by.clone(), action, why });
        let Some((number, action)) = Action::decode(word) else { return self.tell(refuse(None, Refusal::Form)) };
        if !action.may(by.role) {
            return self.tell(refuse(Some(action), Refusal::NotAllowed { role: by.role }));
        }
        let Some(own) = self.own() else { return };
        if let Err(why) = self.numbers.take(Peer::from(&by), own, number) {
            return self.tell(refuse(Some(action), why));
        }
        if matches!(action, Action::Pin(epoch) if epoch > self.epoch) {
            return self.tell(refuse(Some(action), Refusal::Nothing));
        }
        self.obey(by, action, now);
    }

    fn obey(&mut self, by: Member, action: Action, _now: Time) {
        let own = self.device.identity();
        match action {
            Action::AskToMute(who) => {
                if who == Some(own) || (who.is_none() && by.identity != own) {
                    self.tell(Event::AskedToMute { by });
                }
            }
            Action::Spotlight(who) => {
                self.own_words.spotlight = by.identity == own;
                // Said again for those who came.
                if std::mem::replace(&mut self.spotlight, who) == who {
                    return;
                }
                let who = who.and_then(|who| self.roster.find(&who).cloned());
                self.tell(Event::Spotlight { who, by });
            }
            Action::Pin(epoch) => {
                self.own_words.code = by.identity == own;
                if self.codes.pinned() == Some(epoch) {
                    return;
                }
                // A device that was not in that epoch shows no code, and says so.
                let _ = self.codes.pin(epoch);
                self.tell(Event::ReadAloud { epoch, by });
            }
            Action::Unpin => {
                self.own_words.code = false;
                self.codes.unpin();
                self.tell(Event::ReadAloudClosed);
            }
            Action::Admit(ticket) => self.lobby.admitted(&ticket),
            Action::Deny(ticket) => self.lobby.denied(&ticket),
            Action::End => self.finish(Ended::ByHost(by)),
        }
    }

    fn member(&self, who: &IdentityKey) -> Result<&Member, MeetingError> {
        self.roster.find(who).ok_or(MeetingError::NoMember)
    }
}
