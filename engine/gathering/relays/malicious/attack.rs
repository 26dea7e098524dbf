//! The ten attacks: their names, what each does, and what must follow from it.

use super::super::super::alarm::Alarm;
use super::super::Stated;

/// What a malicious relay does. It sees envelopes, and can drop, delay, edit, repeat and make up messages; it may own
/// devices and knock with them. It has no key of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attack {
    /// Proposes a device of its own, as the relay and as somebody who joins unasked.
    FakeMember,
    /// Keeps from one member that another has gone.
    HiddenLeave,
    /// Knocks with its own device in a newcomer's name and lets the newcomer into a meeting of its own.
    SwappedKeyPackage,
    /// Lets the host's commits, a lock among them, vanish.
    WithheldLock,
    /// Repeats old heartbeats in place of new ones.
    StaleHeartbeat,
    /// Shows each half of the meeting only that half's words.
    Partition,
    /// Repeats and edits what the host told everybody.
    ForgedHostAction,
    /// Proposes a policy with one bit changed, and lets newcomers into a meeting under another one.
    PolicyBit,
    /// Lets newcomers into a meeting that has agreed on a weaker suite.
    SuiteDowngrade,
    /// Writes another name into a newcomer's key package.
    RenamedUser,
}

/// What has to happen for an attack to take hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cue {
    /// Nothing.
    None,
    /// Somebody knocks.
    Knock,
    /// Somebody leaves.
    Leave,
    /// The host locks the meeting.
    Lock,
    /// The host tells everybody something.
    Word,
}

impl Attack {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Attack::FakeMember,
        Attack::HiddenLeave,
        Attack::SwappedKeyPackage,
        Attack::WithheldLock,
        Attack::StaleHeartbeat,
        Attack::Partition,
        Attack::ForgedHostAction,
        Attack::PolicyBit,
        Attack::SuiteDowngrade,
        Attack::RenamedUser,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Attack::FakeMember => "fake-member",
            Attack::HiddenLeave => "hidden-leave",
            Attack::SwappedKeyPackage => "swapped-key-package",
            Attack::WithheldLock => "withheld-lock",
            Attack::StaleHeartbeat => "stale-heartbeat",
            Attack::Partition => "partition",
            Attack::ForgedHostAction => "forged-host-action",
            Attack::PolicyBit => "policy-bit",
            Attack::SuiteDowngrade => "suite-downgrade",
            Attack::RenamedUser => "renamed-user",
        }
    }

    /// What it does, in a line.
    pub const fn about(self) -> &'static str {
        match self {
            Attack::FakeMember => "proposes a device of its own as a member",
            Attack::HiddenLeave => "keeps from one member that another has gone",
            Attack::SwappedKeyPackage => "knocks in a newcomer's name and lets the newcomer into a meeting of its own",
            Attack::WithheldLock => "lets the host's commits vanish, a lock among them",
            Attack::StaleHeartbeat => "repeats old heartbeats and keeps new ones back",
            Attack::Partition => "shows each half of the meeting only that half's words",
            Attack::ForgedHostAction => "repeats and edits what the host told everybody",
            Attack::PolicyBit => "changes a bit of the policy, in the group and in one made up for newcomers",
            Attack::SuiteDowngrade => "lets newcomers into a meeting that has agreed on a weaker suite",
            Attack::RenamedUser => "writes another name into a newcomer's key package",
        }
    }

    /// What has to happen, once it has begun, for it to take hold.
    pub const fn cue(self) -> Cue {
        match self {
            Attack::FakeMember | Attack::StaleHeartbeat | Attack::Partition => Cue::None,
            Attack::HiddenLeave => Cue::Leave,
            Attack::WithheldLock => Cue::Lock,
            Attack::ForgedHostAction => Cue::Word,
            Attack::SwappedKeyPackage | Attack::PolicyBit | Attack::SuiteDowngrade | Attack::RenamedUser => Cue::Knock,
        }
    }

    /// What must follow.
    pub const fn stated(self) -> Stated {
        const SECOND: u64 = 1_000_000;
        let (alarms, within_us, apart, says): (&'static [Alarm], _, _, _) = match self {
            Attack::FakeMember => (&[Alarm::Refused], SECOND, false, "every member refuses the proposals within 1 s"),
            Attack::HiddenLeave => (
                &[Alarm::Silence],
                13 * SECOND,
                true,
                "the member kept in the dark hears no heartbeat: warned within 13 s, silent within 33 s, out within 63 s",
            ),
            Attack::SwappedKeyPackage => {
                (&[Alarm::NotTheInvite], 3 * SECOND, true, "the newcomer refuses a group that the host is not in")
            }
            Attack::WithheldLock => {
                (&[Alarm::Withheld], 6 * SECOND, false, "the host knows within 6 s that its lock does not hold")
            }
            Attack::StaleHeartbeat => (
                &[Alarm::Silence],
                13 * SECOND,
                false,
                "old heartbeats do not count: warned within 13 s, silent within 33 s, out within 63 s",
            ),
            Attack::Partition => (
                &[Alarm::Committer, Alarm::Silence],
                13 * SECOND,
                true,
                "the half without the host knows within 13 s that the host has fallen silent",
            ),
            Attack::ForgedHostAction => {
                (&[Alarm::Unreadable], SECOND, false, "every member is told of messages that nobody sent within 1 s")
            }
            Attack::PolicyBit => (
                &[Alarm::Refused, Alarm::NotTheInvite],
                3 * SECOND,
                true,
                "members refuse the proposal, and the newcomer a group whose policy is not the invite's",
            ),
            Attack::SuiteDowngrade => {
                (&[Alarm::NotTheInvite], 3 * SECOND, true, "the newcomer refuses a group of another suite")
            }
            Attack::RenamedUser => {
                (&[Alarm::Unreadable], SECOND, false, "every member is told of a message that nobody sent within 1 s")
            }
        };
        Stated { alarms, within_us, apart, says }
    }
}
