//! What can go wrong between a file and its frames.

/// Why a container was not read or written. Every message is one sentence and says what to try.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContainerError {
    /// The operating system refused to open or read.
    #[error("{path}: cannot be read ({source}); check the path and its permissions")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The bytes contradict the format.
    #[error("{path}: damaged {format} ({what}); the file may be cut off, so fetch or make it anew")]
    Damaged {
        /// The file.
        path: String,
        /// The format that the first bytes announce.
        format: &'static str,
        /// What is wrong.
        what: String,
    },
    /// The input is sound as far as read, and of a kind that is not taken here.
    #[error("{path}: {what}; {hint}")]
    Unsupported {
        /// The file.
        path: String,
        /// What it holds.
        what: String,
        /// What to try.
        hint: String,
    },
    /// The output was refused. Nothing stays at the target's name.
    #[error("{path}: cannot be written ({what}); {hint}")]
    Write {
        /// The target.
        path: String,
        /// What failed.
        what: String,
        /// What to try.
        hint: &'static str,
    },
}

/// The result of everything here.
pub type Result<T> = std::result::Result<T, ContainerError>;

/// Why a muxer refused, before the target's name is known.
pub(super) enum Refusal {
    /// The system's words.
    Io(std::io::Error),
    /// What is wrong with the stream.
    Stream(String),
}

/// The result of a muxer.
pub(super) type Outcome<T> = std::result::Result<T, Refusal>;

impl Refusal {
    pub(super) fn no_header() -> Self {
        Self::Stream("the first frame carries no AV1 sequence header".to_owned())
    }

    pub(super) fn borders() -> Self {
        Self::Stream("the OBUs of a temporal unit do not add up".to_owned())
    }

    pub(super) fn no_audio() -> Self {
        Self::Stream("no audio track was set up".to_owned())
    }
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<shiguredo_mp4::mux::MuxError> for Refusal {
    fn from(error: shiguredo_mp4::mux::MuxError) -> Self {
        Self::Stream(error.to_string())
    }
}
