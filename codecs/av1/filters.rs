//! Deblocking and CDEF levels from the quantizer, as tables, so that no float is met while a frame is made.
//!
//! The fits are those of libaom's real-time mode (picklpf.c, pickcdef.c): figures found by regression over many clips,
//! in the step of the AC quantizer at 8 bits.

use super::decisions::{Cdef, CdefStrength, Deblock};

/// Deblocking levels for a frame whose AC quantizer step is `step`.
pub fn deblock(key: bool, step: i32) -> Deblock {
    let step = i64::from(step);
    let fit = if key { step * 17_563 - 421_574 } else { step * 12_034 + 650_707 };
    let level = ((fit + (1 << 17)) >> 18).clamp(0, 63) as u8;
    Deblock { luma: [level; 2], chroma: [level; 2] }
}

/// CDEF parameters for a frame of `base_q_idx` `quantizer` whose AC quantizer step is `step`.
pub fn cdef(key: bool, quantizer: u8, step: i32) -> Cdef {
    let fits = if key { &KEY } else { &INTER };
    let [luma_primary, luma_secondary, chroma_primary, chroma_secondary] =
        std::array::from_fn(|i| fits[i].at(i64::from(step), if i % 2 == 0 { 15 } else { 3 }));
    let mut cdef = Cdef { damping: 3 + (quantizer >> 6), bits: 0, ..Cdef::default() };
    cdef.strengths[0] = CdefStrength { luma_primary, luma_secondary, chroma_primary, chroma_secondary };
    cdef
}

/// A parabola in units of 2⁻⁴⁰.
struct Fit {
    square: i64,
    linear: i64,
    constant: i64,
}

impl Fit {
    const fn new(square: f64, linear: f64, constant: f64) -> Self {
        Self { square: (square * ONE) as i64, linear: (linear * ONE) as i64, constant: (constant * ONE) as i64 }
    }

    fn at(&self, step: i64, most: i64) -> u8 {
        let value = self.square * step * step + self.linear * step + self.constant;
        ((value + (1 << 39)) >> 40).clamp(0, most) as u8
    }
}

const ONE: f64 = (1u64 << 40) as f64;

/// Luma primary, luma secondary, chroma primary, chroma secondary, for key frames.
const KEY: [Fit; 4] = [
    Fit::new(3.3731974e-6, 0.008070594, 0.0187634),
    Fit::new(2.9167343e-6, 0.0027798624, 0.0079405),
    Fit::new(-1.30790995e-5, 0.012892405, -0.00748388),
    Fit::new(3.2651783e-6, 3.5520183e-4, 0.00228092),
];

/// The same for inter frames.
const INTER: [Fit; 4] = [
    Fit::new(-2.3593946e-6, 0.0068615186, 0.02709886),
    Fit::new(-5.7629734e-7, 0.0013993345, 0.03831067),
    Fit::new(-7.095069e-7, 0.0034628846, 0.00887099),
    Fit::new(2.3874085e-7, 2.8223585e-4, 0.05576307),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_rise_with_the_quantizer_and_stay_in_range() {
        for key in [false, true] {
            let mut last = (0, 0);
            for step in 8..=1828 {
                let (deblock, cdef) = (deblock(key, step), cdef(key, 100, step));
                let now = (deblock.luma[0], cdef.strengths[0].luma_secondary);
                assert!(now.0 >= last.0 && now.0 <= 63 && now.1 <= 3);
                assert!(cdef.strengths[0].luma_primary <= 15 && cdef.strengths[0].chroma_primary <= 15);
                last = now;
            }
            assert!(last.0 > 50);
        }
    }

    #[test]
    fn the_fixed_point_agrees_with_the_fit() {
        for step in (8..=1828i64).step_by(13) {
            let q = step as f64;
            let exact = (-2.3593946e-6 * q * q + 0.0068615186 * q + 0.02709886).round().clamp(0.0, 15.0);
            assert_eq!(f64::from(INTER[0].at(step, 15)), exact, "{step}");
        }
    }
}
