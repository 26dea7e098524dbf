//! What a meeting tells its app: one stream, in the order in which it happened.

use std::ops::Range;

use super::action::{Action, Refusal};
use super::chat::Line;
use super::waiting::Knock;
use crate::data::{Message, State};
use crate::e2ee::group::card::Why;
use crate::e2ee::group::heartbeat::BeatError;
use crate::e2ee::group::rules::Illegal;
use crate::e2ee::group::{Gone, Person, Request};
use crate::e2ee::{self, IdentityKey, Member, Role, proof};
use crate::enhanced::{self, EnhancedError};
use crate::time::Time;

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// This participant waits to be let in. The numbers are the relay's word; there is nothing else to know.
    Waiting {
        /// How many are in the meeting.
        members: u16,
        /// How many wait.
        waiting: u16,
    },
    /// Somebody who does not prove to be the host of the invite says no. It may be a co-host or nobody: this
    /// participant goes on waiting.
    SaidNo {
        /// Who says so.
        by: IdentityKey,
        /// Why.
        why: Why,
    },
    /// This participant is in: the roster is there, and what it sends is sealed.
    Entered,
    /// A new epoch.
    Epoch(u64),
    /// Somebody came.
    Came(Member),
    /// Somebody went, and how. It may still decrypt what is sent, until [`Event::Silent`].
    Went {
        /// Who.
        who: Member,
        /// How.
        how: Gone,
        /// When this is over at the latest, as far as this participant can tell.
        until: Time,
    },
    /// Nothing is sealed any more with keys that somebody who went has.
    Silent {
        /// Who.
        who: Member,
        /// How long it went on after this participant knew, in microseconds.
        window_us: u64,
    },
    /// Somebody has another role, in `who`.
    Role {
        /// Who, with the new role.
        who: Member,
        /// The role before.
        was: Role,
        /// Who gave it.
        by: Option<Member>,
    },
    /// Only those who are there may come back from now on.
    Locked {
        /// Who locked it.
        by: Option<Member>,
    },
    /// Others may come in again: to be shown prominently.
    Unlocked {
        /// Who unlocked it.
        by: Option<Member>,
    },
    /// To a host: somebody waits to be let in.
    Knock(Knock),
    /// To a host: somebody was turned away by the rules of the meeting.
    TurnedAway {
        /// Who.
        person: Person,
        /// Why.
        why: Why,
    },
    /// To a host: the roster changed before what it asked for took effect. [`super::Meeting::confirm`] asks again.
    Confirm(Request),
    /// To a host: what it asked for came to nothing.
    Refused {
        /// What.
        request: Request,
        /// Why.
        why: Illegal,
    },
    /// A host asks this participant to mute its microphone.
    AskedToMute {
        /// Who asks.
        by: Member,
    },
    /// A host wants everybody to see this one, or nobody in particular.
    Spotlight {
        /// Whom.
        who: Option<Member>,
        /// Who wants it.
        by: Member,
    },
    /// The host reads a security code aloud: that of this epoch is to be shown.
    ReadAloud {
        /// Which epoch.
        epoch: u64,
        /// Who reads.
        by: Member,
    },
    /// The code that was read aloud is closed.
    ReadAloudClosed,
    /// A line of chat, signed by whoever said it.
    Chat {
        /// Who said it.
        from: Member,
        /// What, with its proof.
        line: Line,
    },
    /// A message of the app's own.
    Said {
        /// Who said it.
        from: Member,
        /// What.
        message: Message,
    },
    /// Somebody muted itself, raised its hand, or the contrary.
    State {
        /// Who.
        who: Member,
        /// What is the case now.
        state: State,
    },
    /// Frames of somebody were not proven in time, or are again: a lossy path does that.
    Proven {
        /// Who.
        who: Member,
        /// Whether they are now.
        proven: bool,
    },
    /// Heartbeats come again.
    Alive,
    /// Something is wrong: to be shown until somebody has looked at it.
    Alarm(Alarm),
    /// This participant is out and has erased every key. The last event.
    Ended(Ended),
}

/// Why a participant is out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// It left.
    #[error("you left the meeting")]
    Left,
    /// The host ended the meeting.
    #[error("{} ended the meeting for all", .0.name)]
    ByHost(Member),
    /// A host took it out, or the relay reported it gone.
    #[error("you were removed from the meeting")]
    Removed,
    /// It was not let in.
    #[error("{0}")]
    Denied(Why),
    /// Nothing was heard of the group for a minute.
    #[error("nothing was heard of the meeting for a minute: join again")]
    Silence,
    /// The group key agreement failed.
    #[error("the keys of the meeting could not be followed: join again")]
    Broken,
}

/// What must not go unseen.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Alarm {
    /// Somebody tried to change the group as the rules do not allow. Nothing has changed.
    #[error("{} tried to change the meeting: {why}", name(.by))]
    Commit {
        /// Who; nobody where it came from outside.
        by: Option<Member>,
        /// Why it is refused.
        why: Illegal,
    },
    /// A heartbeat is not what its sender's should be.
    #[error("a heartbeat of {} is wrong: {why}", name(.by))]
    Heartbeat {
        /// Whose.
        by: Option<Member>,
        /// Why.
        why: BeatError,
    },
    /// No heartbeat for ten seconds.
    #[error("no heartbeat for ten seconds: the relay may be keeping messages back")]
    HeartbeatMissing,
    /// None for thirty: this participant sends nothing until they come again.
    #[error("no heartbeat for thirty seconds: nothing more is sent")]
    SealingStopped,
    /// Others are in a later epoch, and this participant hears nothing of it.
    #[error("others went on without this participant: join again")]
    Stranded,
    /// The relay left messages out, repeats some, or changed their order.
    #[error("the relay delivered message {got} where {expected} was due")]
    Order {
        /// The number that was due.
        expected: u64,
        /// The number that came.
        got: u64,
    },
    /// What this participant asked for does not come back from the relay, and has no effect until it does.
    #[error("the relay keeps back what this participant asked for: it does not hold")]
    Withheld {
        /// What was asked for; nothing where it is its wish to leave.
        requests: Vec<Request>,
    },
    /// Messages came that nobody in the meeting can have sent, or not as they came. Anybody on the way can make them.
    #[error("messages came that nobody in the meeting can have sent: {count} so far")]
    Unreadable {
        /// How many so far.
        count: u64,
    },
    /// Messages of somebody will never come.
    #[error("{} messages of {} never came", .messages.end - .messages.start, name(.from))]
    Missing {
        /// Whose.
        from: Option<Member>,
        /// Which.
        messages: Range<u64>,
    },
    /// Somebody has acknowledged nothing for long, and may miss what was said.
    #[error("{} may have missed {} messages", name(.by), .messages.end - .messages.start)]
    Unacknowledged {
        /// Who.
        by: Option<Member>,
        /// Which messages.
        messages: Range<u64>,
    },
    /// This participant was taken out.
    #[error("this participant was removed from the meeting")]
    Removed,
    /// This participant was not let in.
    #[error("not let in: {0}")]
    Denied(Why),
    /// Somebody told everybody to do what it may not, or a host's word was repeated or left out. It is not obeyed.
    #[error("{} said {}, which is not obeyed: {why}", .by.name, .action.map_or("something", |action| action.name()))]
    Action {
        /// Who.
        by: Member,
        /// What, where it can be read.
        action: Option<Action>,
        /// Why it is not obeyed.
        why: Refusal,
    },
    /// A welcome led elsewhere than the invite says. Nothing of it is used.
    #[error("the meeting differs from the invite in its {0}: nothing of it is used")]
    Mismatch(&'static str),
    /// The rules that the group is bound to are not those that this participant was invited to.
    #[error("the meeting runs by another policy than the invite says")]
    Policy {
        /// Hash of the policy that was expected.
        expected: [u8; 32],
        /// Hash of the one in force.
        got: [u8; 32],
    },
    /// Somebody forged frames or proofs.
    #[error("frames in the name of {} are not its own, or it contradicts itself: {why:?}", name(.of))]
    Proof {
        /// In whose name.
        of: Option<Member>,
        /// What was found.
        why: proof::Why,
    },
    /// Frames under somebody's key could not be opened.
    #[error("frames in the name of {} could not be opened: {reason:?}", name(.of))]
    Frames {
        /// In whose name.
        of: Option<Member>,
        /// Why.
        reason: e2ee::Reason,
    },
    /// A line of chat in somebody's name is not signed by it.
    #[error("a line of chat in the name of {} is not its own, and is not shown", .of.name)]
    Chat {
        /// In whose name.
        of: Member,
    },
    /// Another one commits now, for the host was silent: verify again.
    #[error("{} took over from a silent host: verify the security code again", name(.by))]
    TookOver {
        /// Who.
        by: Option<Member>,
    },
    /// The relay had somebody removed. It may be gone, or the relay keeps it out: verify again.
    #[error("the service removed {}: verify the security code again", .who.name)]
    ByService {
        /// Whom.
        who: Member,
    },
    /// The service of an enhanced meeting refuses this participant, or says what it must not.
    #[error("the service of the meeting: {0}")]
    Refused(EnhancedError),
    /// The service of an enhanced meeting did what it must not. It has no effect.
    #[error("the service of the meeting: {0}")]
    Service(enhanced::Alarm),
    /// Somebody went, and for longer than the policy allows others sent what it may decrypt.
    #[error("{} may still decrypt {} ms after it went, and the policy allows {allowed_ms}", .who.name, .window_us / 1000)]
    LeaverWindow {
        /// Who went.
        who: Member,
        /// How long by now, in microseconds.
        window_us: u64,
        /// What the policy allows, in milliseconds.
        allowed_ms: u32,
    },
}

fn name(member: &Option<Member>) -> &str {
    member.as_ref().map_or("somebody outside", |member| &member.name)
}
