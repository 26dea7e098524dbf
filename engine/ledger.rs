//! The ledger of a frame: one stamp per stage, fixed size, riding on the frame from capture to render.

use crate::time::Time;

/// Where a frame has been. Each stamp is set when the stage has *finished* with the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[repr(u8)]
pub enum Stage {
    /// The source delivered it.
    Capture,
    /// Converted and scaled.
    Convert,
    /// The encoder returned it.
    Encode,
    /// Sealed.
    Seal,
    /// Cut into packets.
    Packetize,
    /// Its last packet was handed to the transport.
    Send,
    /// Its first packet arrived.
    Arrive,
    /// Its last missing packet arrived and it is whole.
    Assemble,
    /// Authenticated.
    Open,
    /// Decoded.
    Decode,
    /// Shown.
    Render,
}

/// Number of stages.
pub const STAGES: usize = 11;

impl Stage {
    /// The stages in the order of the path.
    pub const ALL: [Stage; STAGES] = [
        Stage::Capture,
        Stage::Convert,
        Stage::Encode,
        Stage::Seal,
        Stage::Packetize,
        Stage::Send,
        Stage::Arrive,
        Stage::Assemble,
        Stage::Open,
        Stage::Decode,
        Stage::Render,
    ];

    /// Lower-case name, as it stands in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Capture => "capture",
            Stage::Convert => "convert",
            Stage::Encode => "encode",
            Stage::Seal => "seal",
            Stage::Packetize => "packetize",
            Stage::Send => "send",
            Stage::Arrive => "arrive",
            Stage::Assemble => "assemble",
            Stage::Open => "open",
            Stage::Decode => "decode",
            Stage::Render => "render",
        }
    }
}

/// The stamps of one frame, on one clock.
#[derive(Clone, Copy, Debug)]
pub struct Ledger {
    stamps: [u64; STAGES],
    /// Of convert and of encode.
    gpu_us: [Option<u32>; 2],
}

/// No stamp yet: a value no session reaches.
const UNSET: u64 = u64::MAX;

impl Default for Ledger {
    fn default() -> Self {
        Self { stamps: [UNSET; STAGES], gpu_us: [None; 2] }
    }
}

impl Ledger {
    /// Stamps `stage` at `now`; a later stamp of the same stage replaces the earlier one.
    pub fn stamp(&mut self, stage: Stage, now: Time) {
        self.stamps[stage as usize] = now.0;
    }

    /// Notes the microseconds that the GPU's own clock counted for its share of [`Stage::Convert`] or [`Stage::Encode`].
    pub fn stamp_gpu(&mut self, stage: Stage, us: u64) {
        self.gpu_us[usize::from(stage == Stage::Encode)] = Some(us.min(u32::MAX.into()) as u32);
    }

    /// What the GPU's own clock counted; `None` on the CPU, on adapters without timestamps, and for all other stages.
    pub fn gpu_us(&self, stage: Stage) -> Option<u64> {
        match stage {
            Stage::Convert => self.gpu_us[0].map(u64::from),
            Stage::Encode => self.gpu_us[1].map(u64::from),
            _ => None,
        }
    }

    /// When `stage` finished; `None` where it has not.
    pub fn at(&self, stage: Stage) -> Option<Time> {
        let stamp = self.stamps[stage as usize];
        (stamp != UNSET).then_some(Time(stamp))
    }

    /// Microseconds that `stage` took: from the nearest earlier stamp to its own.
    pub fn spent(&self, stage: Stage) -> Option<u64> {
        let end = self.at(stage)?;
        let start = self.stamps[..stage as usize].iter().rev().find(|s| **s != UNSET)?;
        Some(end.since(Time(*start)))
    }
}
