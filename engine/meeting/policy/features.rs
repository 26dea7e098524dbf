//! What end-to-end encryption switches off. This is no setting: each of them follows from who has the keys.

/// A feature that an end-to-end encrypted meeting cannot have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Feature {
    /// People meet before the host is there.
    JoinBeforeHost,
    /// The service records.
    CloudRecording,
    /// The meeting goes out to an audience.
    Streaming,
    /// The service writes down what is said.
    LiveTranscription,
    /// Smaller rooms beside the meeting.
    BreakoutRooms,
    /// The service puts a question to all and counts.
    Polling,
    /// Chat between two.
    PrivateChat,
    /// Signs over the picture.
    Reactions,
}

/// That a feature is switched off in this meeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is switched off in an end-to-end encrypted meeting: {}", .0.name(), .0.why())]
pub struct SwitchedOff(
    /// Which one.
    pub Feature,
);

impl Feature {
    /// All there are.
    pub const ALL: [Feature; 8] = [
        Feature::JoinBeforeHost,
        Feature::CloudRecording,
        Feature::Streaming,
        Feature::LiveTranscription,
        Feature::BreakoutRooms,
        Feature::Polling,
        Feature::PrivateChat,
        Feature::Reactions,
    ];

    /// What people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Feature::JoinBeforeHost => "join before host",
            Feature::CloudRecording => "cloud recording",
            Feature::Streaming => "streaming",
            Feature::LiveTranscription => "live transcription",
            Feature::BreakoutRooms => "breakout rooms",
            Feature::Polling => "polling",
            Feature::PrivateChat => "private one-to-one chat",
            Feature::Reactions => "reactions",
        }
    }

    /// Why such a meeting cannot have it.
    pub const fn why(self) -> &'static str {
        match self {
            Feature::JoinBeforeHost => "the host's device makes the group, and before that nobody has a key",
            Feature::CloudRecording => "the service would need the keys to record what it cannot read",
            Feature::Streaming => "the picture would leave the meeting in the clear for people who are not in it",
            Feature::LiveTranscription => "the service would have to hear the meeting to write it down",
            Feature::BreakoutRooms => {
                "each room would be a group with keys of its own, and the service would say who sits in which"
            }
            Feature::Polling => "the service collects and counts the answers, and would read who said what",
            Feature::PrivateChat => {
                "the keys are the whole meeting's, and what is sealed with them is not between two alone"
            }
            Feature::Reactions => "the service passes them on in the clear, and would learn what people feel",
        }
    }
}
