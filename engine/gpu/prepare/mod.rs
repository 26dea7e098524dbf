//! Prepare: what is done to a camera's picture so that it looks better and costs fewer bits: crop and fit, denoise, lift
//! of low light, mirror. All of it is off unless asked for, and what is off costs nothing.
//!
//! The order is: convert, crop, fit and scale, then denoise, lift, mirror.
//! - Scaling comes before the noise is filtered: on the way down it removes noise by itself, the filter has fewer samples
//!   to look at, and what it remembers has the size of what is sent.
//! - Noise is filtered before the light is lifted: the gate for motion knows noise by its size, which the lift changes from
//!   picture to picture.
//! - The mirror is last and changes nothing but places, so that it can be had for a self view alone.

pub(super) mod denoise;
pub(super) mod device;
pub(super) mod exposure;
pub(super) mod fit;
pub(super) mod lift;
pub(super) mod mirror;

pub use mirror::mirror;

use super::Rect;

/// What is done to pictures beside conversion and scaling. The default is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize)]
pub struct Prepare {
    /// Left and right exchanged, as people know themselves. For self views: [`crate::encode::Video`] does not send it.
    pub mirror: bool,
    /// The part of the source that is seen, in its pixels, where not all of it. What lies outside the source is cut off, and
    /// odd edges move outwards to even ones where there are any, since chroma has half the samples.
    pub crop: Option<Rect>,
    /// What happens where source and target have different shapes.
    pub fit: Fit,
    /// How strongly noise is averaged away over time, where nothing moves.
    pub denoise: Option<Strength>,
    /// How far dark pictures are made brighter.
    pub lift: Lift,
}

/// How a source fills a target of another shape. Pixels are taken to be square.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize)]
pub enum Fit {
    /// It is stretched; shapes are not kept.
    #[default]
    Stretch,
    /// All of it is seen, between black bars.
    Bars,
    /// It fills the target; what is too much is cut off on both sides.
    Fill,
}

/// How much noise the filter takes for noise and not for motion, and over how many pictures it averages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
pub enum Strength {
    /// Noise of 2 levels; over 4 pictures, which leaves a seventh of its power.
    Light,
    /// Noise of 3 levels; over 8 pictures, which leaves a fifteenth.
    Medium,
    /// Noise of 6 levels; over 16 pictures, which leaves a thirty-first.
    Strong,
}

/// By how much the darkest parts of a dark picture may be made brighter. Light pictures stay as they are, to the bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize)]
pub enum Lift {
    /// Not at all.
    #[default]
    Off,
    /// Up to twice as bright.
    Gentle,
    /// Up to four times.
    Strong,
}

impl Prepare {
    /// Nothing is done behind scaling.
    pub(super) fn is_plain(&self) -> bool {
        !self.mirror && self.denoise.is_none() && self.lift == Lift::Off
    }
}
