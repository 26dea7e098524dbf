//! What a processor measures.

/// A snapshot; what is not known yet, or belongs to a part that is off, is `None`.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Figures {
    /// How much weaker the microphone hears what the speaker plays, in dB.
    pub erl_db: Option<f32>,
    /// By how much the echo is taken down, by the canceller's own estimate, in dB.
    pub erle_db: Option<f32>,
    /// How much later than it was rendered the echo is heard, in milliseconds.
    pub delay_ms: Option<u32>,
    /// Loudness of the last block heard, in dBFS.
    pub heard_dbfs: f32,
    /// Loudness of the last block given; against [`Self::heard_dbfs`] what all parts did to it.
    pub given_dbfs: f32,
    /// Blocks of the microphone so far.
    pub captured: u64,
    /// Blocks of the speaker so far.
    pub rendered: u64,
    /// How often a part failed and began anew.
    pub restarts: u64,
    /// Pieces of the speaker's sound that found no room on their way.
    pub lost: u64,
    /// How often the speaker's sound had to be laid anew against the microphone's.
    pub moves: u64,
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            erl_db: None,
            erle_db: None,
            delay_ms: None,
            heard_dbfs: SILENCE,
            given_dbfs: SILENCE,
            captured: 0,
            rendered: 0,
            restarts: 0,
            lost: 0,
            moves: 0,
        }
    }
}

/// As quiet as a level is said to be (RFC 6464, 3).
const SILENCE: f32 = -127.0;

/// Loudness of samples against a full-scale square wave.
pub(super) fn dbfs(pcm: &[i16]) -> f32 {
    let power = pcm.iter().map(|s| i64::from(*s) * i64::from(*s)).sum::<i64>() as f64 / pcm.len().max(1) as f64;
    (10.0 * (power / (32_768.0 * 32_768.0)).log10()).max(f64::from(SILENCE)) as f32
}
