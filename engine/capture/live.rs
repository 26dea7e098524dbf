//! What devices give, each by its own clock: pictures and sound with the time at which they were taken.
//!
//! [`super::VideoInput`] is asked for the next picture and has one; a device is waited for, may have nothing new, and may go
//! away and come back. Whoever waits does so for a bounded time, and can be told to stop in between.

use std::time::Duration;

use super::CaptureError;
pub use crate::codecs::Rect;
use crate::codecs::Size;
use crate::devices::Device;

use crate::gpu::Source;
use crate::time::Time;

/// A camera, a screen or a window.
pub trait LiveVideo: Send {
    /// Waits for the next picture, `patience` at most.
    ///
    /// # Errors
    /// The device is lost, and this source gives nothing more; [`super::Steady`] looks for another.
    fn wait(&mut self, patience: Duration) -> Result<Taken<'_>, CaptureError>;

    /// Microseconds from one picture to the next, at the rate that was agreed; where pictures come when something changes,
    /// the least there can be.
    fn interval_us(&self) -> u64;

    /// Pictures so far that the device gave and that were not handed out: newer ones displaced them, or they were broken.
    fn dropped(&self) -> u64;
}

/// What became of a wait for a picture.
#[derive(Debug)]
pub enum Taken<'a> {
    /// The next picture, borrowed until the next wait.
    Picture(Shot<'a>),
    /// Nothing came in time, or nothing changed on a screen. A reason to wait again.
    Nothing,
    /// The source changed under the stream; pictures go on.
    Turn(Turn),
}

/// A picture and when it was taken.
#[derive(Debug)]
pub struct Shot<'a> {
    /// The pixels.
    pub source: Source<'a>,
    /// When the device took it, on the session's clock.
    pub captured: Time,
    /// What differs from the picture before; nothing where it is given again.
    pub damage: Damage,
    /// It does not follow the picture before it: the first one, or the first after a change of the source. A key frame is
    /// due.
    pub fresh: bool,
}

/// What became of the source of a stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Turn {
    /// The device is gone, and a still picture stands in for it.
    Lost {
        /// The device.
        device: Device,
        /// What the system said.
        why: String,
    },
    /// This device goes on in place of one that was lost.
    Instead(Device),
    /// The device is back.
    Back(Device),
    /// The device gives pictures of another size, or other sound, from now on.
    Reshaped(Device),
}

impl std::fmt::Display for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Turn::Lost { device, why } => write!(f, "the {} {} is gone ({why})", device.kind, device.name),
            Turn::Instead(device) => write!(f, "{} goes on in its place", device.name),
            Turn::Back(device) => write!(f, "{} is back", device.name),
            Turn::Reshaped(device) => write!(f, "{} gives another picture or sound now", device.name),
        }
    }
}

/// The parts of a picture that differ from the one before, in pixels of the picture; all of it where that is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    rects: [Rect; Damage::MOST],
    count: u8,
}

impl Damage {
    /// Most parts that are told apart; beyond, the last one grows.
    pub const MOST: usize = 16;

    /// Nothing differs.
    pub const NONE: Damage = Damage { rects: [Rect { x: 0, y: 0, width: 0, height: 0 }; Damage::MOST], count: 0 };

    /// All of it may differ.
    pub const ALL: Damage = {
        let mut all = Damage::NONE;
        all.rects[0] = Rect { x: 0, y: 0, width: u32::MAX, height: u32::MAX };
        all.count = 1;
        all
    };

    /// Adds a part.
    pub fn add(&mut self, rect: Rect) {
        match self.rects.get_mut(usize::from(self.count)) {
            Some(place) => {
                *place = rect;
                self.count += 1;
            }
            None => self.rects[Damage::MOST - 1] = self.rects[Damage::MOST - 1].union(rect),
        }
    }

    /// What differs after two pictures of which the first was left out.
    #[must_use]
    pub fn join(self, after: Damage) -> Damage {
        let mut both = self;
        after.rects().iter().for_each(|rect| both.add(*rect));
        both
    }

    /// The parts.
    pub fn rects(&self) -> &[Rect] {
        &self.rects[..usize::from(self.count)]
    }

    /// How many thousandths of a picture of `size` differ, at most; parts that overlap count twice, up to all of it.
    pub fn share(&self, size: Size) -> u32 {
        let area = |rect: &Rect| rect.clip(size).map_or(0, |r| u64::from(r.width) * u64::from(r.height));
        let changed = self.rects().iter().map(area).sum::<u64>();
        (changed * 1000).checked_div(size.area() as u64).map_or(0, |share| share.min(1000) as u32)
    }

    /// Nothing differs.
    pub fn is_none(&self) -> bool {
        self.count == 0
    }
}

/// A microphone.
pub trait LiveMicrophone: Send {
    /// Channels, 1 or 2.
    fn channels(&self) -> u8;

    /// Waits until `pcm` (interleaved, 48 kHz) can be filled, `patience` at most; a silent or a lost device fills it with
    /// silence.
    ///
    /// # Errors
    /// The microphone is lost for good.
    fn wait(&mut self, pcm: &mut [i16], patience: Duration) -> Result<Heard, CaptureError>;
}

/// What became of a wait for sound.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// The samples, of which the first was taken at this time.
    Samples {
        /// When, on the session's clock.
        captured: Time,
        /// Loudness in dBFS, -127 to 0 (RFC 6464, 3).
        level: i8,
    },
    /// Muted: nothing was read, and nothing is to be sent.
    Muted,
    /// Not enough came in time.
    Nothing,
    /// The source changed under the stream; sound goes on.
    Turn(Turn),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codecs::Size;

    #[test]
    fn damage_beyond_its_room_is_covered_still() {
        let mut damage = Damage::NONE;
        assert!(damage.is_none());
        for i in 0..40 {
            damage.add(Rect { x: 10 * i, y: i, width: 5, height: 5 });
        }
        assert_eq!(damage.rects().len(), Damage::MOST);
        assert_eq!(damage.share(Size::new(400, 100)), (15 * 25 + 245 * 29) / 40);
        assert_eq!(Damage::ALL.share(Size::new(7, 5)), 1000);
        let last = damage.rects()[Damage::MOST - 1];
        assert_eq!((last.x, last.x + last.width), (150, 395));
    }
}
