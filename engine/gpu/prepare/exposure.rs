//! How dark a picture is, followed over time, and the tone curve that follows from it. All of it is integers on the host,
//! the same for both arms. A picture is lifted by what the ones before it were like.

use super::Lift;
use crate::codecs::{Color, Range};

/// Counts of roughness; the last one has all that is more.
pub(crate) const ROUGH: usize = 64;

/// What exposure.wgsl counts, word for word.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
pub(crate) struct Counts {
    /// How often each code of luma occurs.
    pub luma: [u32; 256],
    /// How often each |left + right − 2 · middle| does, outside of black.
    pub rough: [u32; ROUGH],
}

impl Default for Counts {
    fn default() -> Self {
        bytemuck::Zeroable::zeroed()
    }
}

/// Luma codes as distances from black.
#[derive(Clone, Copy)]
struct Scale {
    black: usize,
    /// White.
    span: u32,
}

impl Scale {
    fn of(color: Color) -> Self {
        let white = if color.range == Range::Full { 255 } else { 235 };
        Self { black: usize::from(color.black()), span: white - u32::from(color.black()) }
    }
}

/// The code up to which there is nothing to see: bars, a covered lens.
pub(crate) fn floor(color: Color) -> u8 {
    color.black() + TOE as u8
}

/// Codes above black that count as black and are not lifted.
const TOE: u32 = 6;

/// The gain over time, and the curve of the moment.
#[derive(Clone, Debug)]
pub(crate) struct Exposure {
    /// Q16, [`ONE`] at least.
    gain: u32,
    curve: Curve,
}

const ONE: u32 = 1 << 16;

/// The gain goes so much of the way to where it should be at each picture (a sixteenth): half of it takes 11 pictures.
const PACE: u32 = 4;

/// What is less than 1/10 brighter is not worth the change.
const LEAST: u32 = ONE + ONE / 10;

impl Default for Exposure {
    fn default() -> Self {
        Self { gain: ONE, curve: Curve::default() }
    }
}

impl Exposure {
    /// A picture was like this; the next one is lifted by what is known now.
    pub(crate) fn observe(&mut self, counts: &Counts, lift: Lift, color: Color) {
        let aim = aim(counts, lift, Scale::of(color));
        let near = self.gain.abs_diff(aim) < ONE / 64;
        self.gain = if near { aim } else { self.gain + (aim >> PACE) - (self.gain >> PACE) };
    }

    /// How much brighter the dark parts become, in 1/256.
    pub(crate) fn gain(&self) -> u32 {
        self.gain >> 8
    }

    /// The curve for the next picture.
    pub(crate) fn curve(&mut self, color: Color) -> &Curve {
        self.curve.set(self.gain(), color);
        &self.curve
    }

    /// Nothing is lifted any more.
    pub(crate) fn forget(&mut self) {
        self.gain = ONE;
    }
}

/// The gain that a picture like this calls for; Q16.
fn aim(counts: &Counts, lift: Lift, scale: Scale) -> u32 {
    let most = match lift {
        Lift::Off => return ONE,
        Lift::Gentle => 2 * ONE,
        Lift::Strong => 4 * ONE,
    };
    let first_lit = scale.black + TOE as usize + 1;
    let (all, lit) = (sum(&counts.luma), sum(&counts.luma[first_lit..]));
    // Bars and black: where less than a tenth is more than that, there is nothing to lift.
    if lit * 10 < all || lit == 0 {
        return ONE;
    }
    let quantile = |twentieths: u64| TOE + 1 + quantile(&counts.luma[first_lit..], lit, (twentieths, 20));
    let (low, middle, high) = (quantile(1), quantile(10), quantile(19));
    // With its middle at 3/8 of white a picture looks well lit.
    let (span, wanted) = (u64::from(scale.span), u64::from(scale.span) * 3 / 8);
    let m = u64::from(middle).min(wanted);
    // The curve of gain g carries m to g·m·span / (span + (g − 1)·m).
    let gain = (u64::from(ONE) * wanted * (span - m) / (m * (span - wanted))).min(u64::from(most)) as u32;
    // Bright parts mean that the light is there: from half of white to three quarters the gain fades.
    let (fades, over) = (scale.span / 2, scale.span * 3 / 4);
    let light = 256 * over.saturating_sub(high).min(over - fades) / (over - fades);
    // A third of the roughness of Gaussian noise is below its deviation. What spreads no more than noise does (3.3
    // deviations between these quantiles) is noise, and is left alone.
    let noise = quantile_of_rough(&counts.rough).max(2);
    let signal = 256 * (high - low).saturating_sub(5 * noise).min(5 * noise) / (5 * noise);
    let gain = ONE + ((u64::from(gain - ONE) * u64::from(light * signal)) >> 16) as u32;
    if gain < LEAST { ONE } else { gain }
}

fn sum(counts: &[u32]) -> u64 {
    counts.iter().map(|count| u64::from(*count)).sum()
}

/// The first place by which this share of all counts is reached.
fn quantile(counts: &[u32], all: u64, (share, of): (u64, u64)) -> u32 {
    let mut seen = 0;
    let reached = |count: &u32| {
        seen += u64::from(*count);
        seen * of >= all * share
    };
    counts.iter().position(reached).unwrap_or(counts.len() - 1) as u32
}

fn quantile_of_rough(rough: &[u32; ROUGH]) -> u32 {
    quantile(rough, sum(rough).max(1), (1, 3))
}

/// What each luma code becomes, and the gain of chroma there.
#[derive(Clone, Debug)]
pub(crate) struct Curve {
    words: [u32; 256],
    /// Made for this.
    made_for: Option<(u32, Color)>,
}

impl Default for Curve {
    fn default() -> Self {
        Self { words: [0; 256], made_for: None }
    }
}

impl Curve {
    /// Makes the curve of a gain (in 1/256, at least 256), unless it is that.
    ///
    /// It has the gain as its slope at the end of black and the inverse of it at white, which stays where it is, and rises
    /// all the way.
    fn set(&mut self, gain: u32, color: Color) {
        if self.made_for == Some((gain, color)) {
            return;
        }
        self.made_for = Some((gain, color));
        let Scale { black, span } = Scale::of(color);
        let span = span - TOE;
        for (code, word) in self.words.iter_mut().enumerate() {
            let above = (code as u32).saturating_sub(black as u32);
            let (lifted, chroma) = match above.checked_sub(TOE) {
                Some(t @ 1..) if t < span => {
                    let below = 256 * span + (gain - 256) * t;
                    let lifted = TOE + (gain * t * span + below / 2) / below;
                    (black as u32 + lifted, ((256 * lifted + above / 2) / above).min(gain))
                }
                _ => (code as u32, 256),
            };
            *word = chroma << 8 | lifted;
        }
    }

    /// For each code the code that it becomes (8 bits), and the gain of chroma in 1/256 above it.
    pub(crate) fn words(&self) -> &[u32; 256] {
        &self.words
    }

    pub(crate) fn is_identity(&self) -> bool {
        self.made_for.is_none_or(|(gain, _)| gain == 256)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codecs::Size;
    use crate::gpu::prepare::lift;

    const SIZE: Size = Size::new(128, 64);
    const LIMITED: Color = Color { matrix: crate::codecs::Matrix::Bt709, range: Range::Limited };

    /// The last of 120 pictures, which are the same but for their noise: what came of it, and the gain.
    fn watched(how: Lift, code: impl Fn(usize, &mut fastrand::Rng) -> u8) -> (Vec<u8>, Vec<u8>, u32) {
        let (mut rng, mut exposure, mut counts) = (fastrand::Rng::with_seed(1), Exposure::default(), Counts::default());
        let mut last = (Vec::new(), Vec::new());
        for _ in 0..120 {
            let mut picture: Vec<u8> = (0..SIZE.area()).map(|i| code(i, &mut rng)).collect();
            picture.resize(SIZE.i420_len(), 120);
            last.0.clone_from(&picture);
            lift::count(SIZE, floor(LIMITED), &picture, &mut counts);
            lift::apply(exposure.curve(LIMITED), SIZE, &mut picture);
            exposure.observe(&counts, how, LIMITED);
            last.1 = picture;
        }
        (last.0, last.1, exposure.gain())
    }

    #[test]
    fn a_well_lit_picture_stays_as_it_is() {
        let (before, after, gain) = watched(Lift::Strong, |i, rng| (30 + i % 128 * 3 / 2 + rng.usize(..4)) as u8);
        assert_eq!((before == after, gain), (true, 256));
    }

    #[test]
    fn a_dark_picture_is_lifted_within_its_bound_and_its_colour_with_it() {
        for (how, most) in [(Lift::Gentle, 512), (Lift::Strong, 1024)] {
            let (before, after, gain) = watched(how, |i, rng| (24 + i % 128 / 3 + rng.usize(..3)) as u8);
            assert!(gain > most * 3 / 4 && gain <= most, "{how:?}: {gain}");
            let mean = |data: &[u8]| data.iter().map(|c| u32::from(*c)).sum::<u32>() / SIZE.area() as u32;
            assert!(mean(&after[..SIZE.area()]) > mean(&before[..SIZE.area()]) + 15, "{how:?}");
            assert!(after[SIZE.area()..].iter().all(|c| *c <= 120) && after[SIZE.area() + 63] < 116, "{how:?}");
        }
        assert_eq!(watched(Lift::Off, |i, _| (24 + i % 32) as u8).2, 256);
    }

    #[test]
    fn black_and_mere_noise_are_not_lifted() {
        // A lens that is covered: noise of 3 levels and nothing else.
        let normal = |rng: &mut fastrand::Rng| (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0;
        assert_eq!(watched(Lift::Strong, |_, rng| (34.0 + 3.0 * normal(rng)).round() as u8).2, 256);
        assert_eq!(watched(Lift::Strong, |_, _| 16).2, 256);
        // Bars do not make a well-lit picture dark.
        let bars = |i: usize, _: &mut fastrand::Rng| if i / 128 % 64 < 40 { 16 } else { (60 + i % 128) as u8 };
        assert_eq!(watched(Lift::Strong, bars).2, 256);
    }

    #[test]
    fn every_curve_rises_and_keeps_black_and_white() {
        for range in [Range::Limited, Range::Full] {
            let color = Color { range, ..LIMITED };
            let white = if range == Range::Full { 255 } else { 235 };
            for gain in 256..=1024 {
                let mut curve = Curve::default();
                curve.set(gain, color);
                let codes = curve.words().map(|word| word & 255);
                assert!(codes.is_sorted(), "{range:?} {gain}");
                assert_eq!((codes[usize::from(color.black())], codes[white]), (color.black().into(), white as u32));
                assert!(curve.words().iter().all(|word| (256..=gain).contains(&(word >> 8))), "{range:?} {gain}");
            }
        }
    }
}
