//! The one edge that runs backwards: what the receiving side and the network want of the sending side.
//!
//! A wish is a state, not a message: the latest one replaces those not yet taken, and a hundred requests for a key
//! frame between two frames make one. So the edge is a handful of atomics that can neither fill up nor block.

use crate::sync::{Arc, AtomicBool, AtomicU32, AtomicU64, Ordering};

/// What was wished since the sender last asked. Fields are independent of each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Control {
    /// The next frame must be a key frame.
    pub keyframe: bool,
    /// Target of the encoders, in bits a second.
    pub bitrate: Option<u32>,
    /// Pictures a second at most, numerator and denominator.
    pub framerate: Option<(u32, u32)>,
    /// Width and height of the encoded picture, within those that the session was opened with.
    pub size: Option<(u32, u32)>,
    /// Share of packets that in-band redundancy should survive, in percent.
    pub loss: Option<u8>,
}

/// A handle to the edge; clones share it. Whoever receives feedback writes, the sender takes before each frame.
#[derive(Clone)]
pub struct Edge(Arc<Wishes>);

impl Default for Edge {
    fn default() -> Self {
        Self::new()
    }
}

impl Edge {
    /// An edge without a wish.
    pub fn new() -> Self {
        Self(Arc::new(Wishes {
            keyframe: AtomicBool::new(false),
            keyframes: AtomicU64::new(0),
            bitrate: AtomicU32::new(NO_BITRATE),
            framerate: AtomicU64::new(NO_PAIR),
            size: AtomicU64::new(NO_PAIR),
            loss: AtomicU32::new(NO_LOSS),
        }))
    }

    /// Wishes for a key frame.
    pub fn request_keyframe(&self) {
        self.0.keyframes.fetch_add(1, Ordering::Relaxed);
        self.0.keyframe.swap(true, Ordering::Release);
    }

    /// A key frame is wished for and not taken yet. Leaves the wish.
    pub fn wants_keyframe(&self) -> bool {
        self.0.keyframe.load(Ordering::Relaxed)
    }

    /// Wishes for a target in bits a second; `u32::MAX` counts as one bit less.
    pub fn set_bitrate(&self, bits_per_second: u32) {
        self.0.bitrate.swap(bits_per_second.min(NO_BITRATE - 1), Ordering::Release);
    }

    /// Wishes for at most `num / den` pictures a second.
    pub fn set_framerate(&self, (num, den): (u32, u32)) {
        self.0.framerate.swap(pack(num, den), Ordering::Release);
    }

    /// Wishes for another size of the encoded picture, width and height.
    pub fn set_size(&self, (width, height): (u32, u32)) {
        self.0.size.swap(pack(width, height), Ordering::Release);
    }

    /// Reports the loss that redundancy should survive; above 100 percent counts as 100.
    pub fn set_loss(&self, percent: u8) {
        self.0.loss.swap(u32::from(percent.min(100)), Ordering::Release);
    }

    /// Takes the wishes and leaves none. A wish made meanwhile is in this answer or in the next, never in neither.
    /// What its maker wrote before wishing (the keys of an epoch) is visible to the taker.
    pub fn take(&self) -> Control {
        let bitrate = self.0.bitrate.swap(NO_BITRATE, Ordering::Acquire);
        let framerate = self.0.framerate.swap(NO_PAIR, Ordering::Acquire);
        let size = self.0.size.swap(NO_PAIR, Ordering::Acquire);
        let loss = self.0.loss.swap(NO_LOSS, Ordering::Acquire);
        Control {
            keyframe: self.0.keyframe.swap(false, Ordering::Acquire),
            bitrate: (bitrate != NO_BITRATE).then_some(bitrate),
            framerate: unpack(framerate),
            size: unpack(size),
            loss: u8::try_from(loss).ok(),
        }
    }

    /// Key frames wished for since the beginning, those that fell together counted each.
    pub fn keyframes_requested(&self) -> u64 {
        self.0.keyframes.load(Ordering::Relaxed)
    }
}

/// Every access but a look is a swap, so that each wish has one taker or one successor.
struct Wishes {
    keyframe: AtomicBool,
    keyframes: AtomicU64,
    bitrate: AtomicU32,
    framerate: AtomicU64,
    size: AtomicU64,
    loss: AtomicU32,
}

const NO_BITRATE: u32 = u32::MAX;
const NO_LOSS: u32 = u32::MAX;
const NO_PAIR: u64 = u64::MAX;

/// Two numbers in one cell, so that they change together; a first of `u32::MAX` counts as one less.
fn pack(first: u32, second: u32) -> u64 {
    u64::from(first.min(u32::MAX - 1)) << 32 | u64::from(second)
}

fn unpack(pair: u64) -> Option<(u32, u32)> {
    (pair != NO_PAIR).then_some(((pair >> 32) as u32, pair as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_wish_counts_and_is_taken_once() {
        let edge = Edge::new();
        assert_eq!(edge.take(), Control::default());
        let receiver = edge.clone();
        receiver.set_bitrate(500_000);
        receiver.set_bitrate(300_000);
        receiver.request_keyframe();
        assert!(edge.wants_keyframe());
        receiver.request_keyframe();
        receiver.set_framerate((30_000, 1_001));
        receiver.set_size((640, 360));
        receiver.set_size((320, 180));
        receiver.set_loss(130);
        let wanted = Control {
            keyframe: true,
            bitrate: Some(300_000),
            framerate: Some((30_000, 1_001)),
            size: Some((320, 180)),
            loss: Some(100),
        };
        assert_eq!(edge.take(), wanted);
        assert_eq!(edge.take(), Control::default());
        assert!(!edge.wants_keyframe());
        assert_eq!(edge.keyframes_requested(), 2);
    }

    #[test]
    fn the_greatest_values_are_no_panic() {
        let edge = Edge::new();
        edge.set_bitrate(u32::MAX);
        edge.set_size((u32::MAX, u32::MAX));
        let size = Some((u32::MAX - 1, u32::MAX));
        assert_eq!(edge.take(), Control { bitrate: Some(u32::MAX - 1), size, ..Control::default() });
    }
}
