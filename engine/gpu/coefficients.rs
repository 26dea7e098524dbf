//! What both arms compute with: the colour matrix in fixed point, made once on the host from Kr and Kb alone.
//!
//! Each output row is `(c0·a + c1·b + c2·c + offset) >> shift`, clamped to 0…255, where a, b, c are the stored R, G, B or
//! Y, U, V. The offset holds one half, so that ties round up; the shift is arithmetic. Coefficients are Q16, each rounded
//! to nearest from an exact fraction, the green one being what remains of the row's sum: greys stay grey.

use super::{Color, Format, Size};
use conclave_codecs::Range;

/// The uniform of convert.wgsl, field for field.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct Params {
    /// Coefficients and offset of Y (shift 16).
    pub y: [i32; 4],
    /// Of U, over a sum of samples (shift `chroma_shift`).
    pub u: [i32; 4],
    /// Of V, likewise.
    pub v: [i32; 4],
    pub width: u32,
    pub height: u32,
    /// Numbers of convert.wgsl; BGRA is RGBA with its coefficients swapped.
    pub format: u32,
    pub chroma_shift: u32,
}

impl Params {
    pub(super) fn new(format: Format, size: Size, from: Color, to: Color) -> Self {
        let (rows, inputs, samples_log2) = match format {
            Format::Rgba | Format::Bgra => (rgb_rows(to), [0, 0, 0], 2),
            Format::Nv12 | Format::I420 | Format::Yuy2 => (yuv_rows(from, to), [luma_zero(from.range), 128, 128], 1),
        };
        let finish = |row: [i32; 3], zero: i32, log2: u32| {
            let inputs: i32 = row.iter().zip(inputs).map(|(c, zero)| c * zero).sum();
            let [a, b, c] = if format == Format::Bgra { [row[2], row[1], row[0]] } else { row };
            [a, b, c, (((zero << FRACTION) - inputs) << log2) + (1 << (FRACTION + log2 - 1))]
        };
        Self {
            y: finish(rows[0], luma_zero(to.range), 0),
            u: finish(rows[1], 128, samples_log2),
            v: finish(rows[2], 128, samples_log2),
            width: size.width,
            height: size.height,
            format: match format {
                Format::Rgba | Format::Bgra => 0,
                Format::Nv12 => 1,
                Format::I420 => 2,
                Format::Yuy2 => 3,
            },
            chroma_shift: FRACTION + samples_log2,
        }
    }

    /// Luma passes unchanged.
    pub(super) fn keeps_luma(&self) -> bool {
        self.y == [1 << FRACTION, 0, 0, 1 << (FRACTION - 1)]
    }
}

/// Fraction bits of the coefficients.
const FRACTION: u32 = 16;

/// R, G, B to Y, U, V: the definition of the matrix (BT.601, BT.709 and BT.2020, each §3 or table 4).
fn rgb_rows(to: Color) -> [[i32; 3]; 3] {
    let Weights { r, g: _, b } = Weights::of(to);
    let (luma, chroma) = spans(to.range);
    let full = Ratio::new(1, 255);
    let y_span = full.times(luma, 1);
    // U = (B − Y) / (2 (1 − Kb)) and V = (R − Y) / (2 (1 − Kr)), each within ±½.
    let u_span = full.times(chroma, 2 * (ONE - b));
    let v_span = full.times(chroma, 2 * (ONE - r));
    let row = |red: Ratio, blue: Ratio, sum: Ratio| {
        let (red, blue) = (red.fixed(), blue.fixed());
        [red, sum.fixed() - red - blue, blue]
    };
    [
        row(y_span.times(r, ONE), y_span.times(b, ONE), y_span),
        row(u_span.times(-r, 1), u_span.times(ONE - b, 1), Ratio::new(0, 1)),
        row(v_span.times(ONE - r, 1), v_span.times(-b, 1), Ratio::new(0, 1)),
    ]
}

/// Y, U, V of one colour to those of another: through unclamped R, G, B, in one step.
fn yuv_rows(from: Color, to: Color) -> [[i32; 3]; 3] {
    let (s, t) = (Weights::of(from), Weights::of(to));
    let ((from_luma, from_chroma), (to_luma, to_chroma)) = (spans(from.range), spans(to.range));
    // With Y, U, V at unit span: R − Y = 2 (1 − Kr) V, B − Y = 2 (1 − Kb) U, and G − Y follows from
    // Kr (R − Y) + Kg (G − Y) + Kb (B − Y) = 0. So Y' − Y = K' · (RGB − Y) is linear in U and V.
    let y_u = Ratio::new(2 * (ONE - s.b) * (t.b * s.g - t.g * s.b), ONE * ONE * s.g);
    let y_v = Ratio::new(2 * (ONE - s.r) * (t.r * s.g - t.g * s.r), ONE * ONE * s.g);
    // U' = (B − Y') / (2 (1 − Kb')), V' = (R − Y') / (2 (1 − Kr')).
    let u_u = Ratio::new(2 * (ONE - s.b), ONE).minus(y_u).times(ONE, 2 * (ONE - t.b));
    let u_v = y_v.times(-ONE, 2 * (ONE - t.b));
    let v_u = y_u.times(-ONE, 2 * (ONE - t.r));
    let v_v = Ratio::new(2 * (ONE - s.r), ONE).minus(y_v).times(ONE, 2 * (ONE - t.r));
    let chroma = |r: Ratio| r.times(to_chroma, from_chroma).fixed();
    let luma = |r: Ratio| r.times(to_luma, from_chroma).fixed();
    [
        [Ratio::new(to_luma, from_luma).fixed(), luma(y_u), luma(y_v)],
        [0, chroma(u_u), chroma(u_v)],
        [0, chroma(v_u), chroma(v_v)],
    ]
}

/// The unit of [`Weights`].
const ONE: i128 = 10_000;

/// Kr, Kg, Kb in units of 1/10000.
struct Weights {
    r: i128,
    g: i128,
    b: i128,
}

impl Weights {
    fn of(color: Color) -> Self {
        let (r, b) = color.matrix.weights();
        let (r, b) = (i128::from(r), i128::from(b));
        Self { r, g: ONE - r - b, b }
    }
}

/// Codes that luma and chroma span.
const fn spans(range: Range) -> (i128, i128) {
    match range {
        Range::Limited => (219, 224),
        Range::Full => (255, 255),
    }
}

/// The luma code of black.
const fn luma_zero(range: Range) -> i32 {
    match range {
        Range::Limited => 16,
        Range::Full => 0,
    }
}

/// An exact fraction; the denominator is positive.
#[derive(Clone, Copy)]
struct Ratio {
    over: i128,
    under: i128,
}

impl Ratio {
    const fn new(over: i128, under: i128) -> Self {
        Self { over, under }
    }

    const fn times(self, over: i128, under: i128) -> Self {
        Self { over: self.over * over, under: self.under * under }
    }

    const fn minus(self, other: Self) -> Self {
        Self { over: self.over * other.under - other.over * self.under, under: self.under * other.under }
    }

    /// Q16, rounded to nearest, ties up.
    const fn fixed(self) -> i32 {
        let scaled = (self.over << (FRACTION + 1)) + self.under;
        scaled.div_euclid(2 * self.under) as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use conclave_codecs::Matrix;

    fn colors() -> impl Iterator<Item = Color> {
        [Matrix::Bt601, Matrix::Bt709, Matrix::Bt2020]
            .into_iter()
            .flat_map(|matrix| [Range::Limited, Range::Full].map(|range| Color { matrix, range }))
    }

    fn apply(row: [i32; 4], c: [i32; 3], samples: i32, shift: u32) -> i32 {
        ((c[0] * samples * row[0] + c[1] * samples * row[1] + c[2] * samples * row[2] + row[3]) >> shift).clamp(0, 255)
    }

    fn yuv(p: &Params, c: [i32; 3], samples: i32) -> [i32; 3] {
        let s = p.chroma_shift;
        [apply(p.y, c, 1, 16), apply(p.u, c, samples, s), apply(p.v, c, samples, s)]
    }

    #[test]
    fn published_values_of_the_primaries() {
        let bars = |matrix, range, rgb| {
            yuv(&Params::new(Format::Rgba, Size::new(2, 2), Color::default(), Color { matrix, range }), rgb, 4)
        };
        // The 100 % colour bars of BT.601 and BT.709 in 8 bits, limited range.
        assert_eq!(bars(Matrix::Bt601, Range::Limited, [255, 0, 0]), [81, 90, 240]);
        assert_eq!(bars(Matrix::Bt601, Range::Limited, [0, 255, 0]), [145, 54, 34]);
        assert_eq!(bars(Matrix::Bt601, Range::Limited, [0, 0, 255]), [41, 240, 110]);
        assert_eq!(bars(Matrix::Bt709, Range::Limited, [255, 0, 0]), [63, 102, 240]);
        assert_eq!(bars(Matrix::Bt709, Range::Limited, [0, 255, 0]), [173, 42, 26]);
        assert_eq!(bars(Matrix::Bt709, Range::Limited, [0, 0, 255]), [32, 240, 118]);
        // JFIF.
        assert_eq!(bars(Matrix::Bt601, Range::Full, [255, 0, 0]), [76, 85, 255]);
    }

    #[test]
    fn greys_stay_grey_and_span_the_range() {
        for color in colors() {
            let p = Params::new(Format::Bgra, Size::new(2, 2), Color::default(), color);
            for grey in 0..=255 {
                assert_eq!(yuv(&p, [grey; 3], 4)[1..], [128, 128], "{color:?} {grey}");
            }
            let (black, white) = if color.range == Range::Full { (0, 255) } else { (16, 235) };
            assert_eq!((yuv(&p, [0; 3], 4)[0], yuv(&p, [255; 3], 4)[0]), (black, white), "{color:?}");
        }
    }

    #[test]
    fn the_same_colour_passes_unchanged() {
        for color in colors() {
            let p = Params::new(Format::I420, Size::new(2, 2), color, color);
            assert!(p.keeps_luma());
            for c in 0..=255 {
                assert_eq!(yuv(&p, [c, 255 - c, c], 2), [c, 255 - c, c], "{color:?}");
            }
        }
    }

    #[test]
    fn from_one_colour_to_another_is_as_if_made_from_rgb() {
        let mut rng = fastrand::Rng::with_seed(3);
        for (from, to) in colors().flat_map(|a| colors().map(move |b| (a, b))) {
            let size = Size::new(2, 2);
            let first = Params::new(Format::Rgba, size, from, from);
            let direct = Params::new(Format::Rgba, size, from, to);
            let second = Params::new(Format::I420, size, from, to);
            for _ in 0..200 {
                let rgb = [(); 3].map(|()| i32::from(rng.u8(..)));
                let (two, one) = (yuv(&second, yuv(&first, rgb, 4), 2), yuv(&direct, rgb, 4));
                // The 8-bit step between costs up to a half on each input.
                let off = two.iter().zip(one).map(|(a, b)| (a - b).abs()).max();
                assert!(off <= Some(2), "{from:?} {to:?} {rgb:?}: {two:?} {one:?}");
            }
        }
    }
}
