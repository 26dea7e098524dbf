//! What one frame is to be, said before a pixel is looked at: references, refresh, layer, size, quantizer limits.
//!
//! Layers, long-term references, recovery and the speed controller are plans and nothing else.

use crate::Size;

/// Reference slots of a decoder.
pub const SLOTS: usize = 8;

/// One frame's place in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Number of the frame, as given by the caller.
    pub number: u64,
    /// References; `None` for a key frame.
    pub references: Option<References>,
    /// Bit n: the frame goes into slot n. A key frame goes into all of them.
    pub refresh: u8,
    /// Temporal layer.
    pub temporal: u8,
    /// Spatial layer.
    pub spatial: u8,
    /// Size of the picture, within the session's ceiling.
    pub size: Size,
    /// Least and greatest `base_q_idx`, 1…255.
    pub quantizer: (u8, u8),
}

/// Slots that an inter frame reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct References {
    /// The frame before.
    pub last: u8,
    /// The long-term reference; the slot of `last` where there is none.
    pub golden: u8,
    /// The slot whose CDFs the frame starts from: `last`, `golden`, or `None` for the defaults.
    pub cdfs: Option<u8>,
}

impl Plan {
    /// A key frame that fills every slot.
    pub fn key(number: u64, size: Size) -> Self {
        Self { number, references: None, refresh: 0xff, temporal: 0, spatial: 0, size, quantizer: (1, 255) }
    }

    /// The frame decodes without any other.
    pub fn is_key(&self) -> bool {
        self.references.is_none()
    }
}
