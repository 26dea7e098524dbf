//! The Bjøntegaard delta: how many percent more bits one encoder needs than another for the same quality.
//!
//! The logarithm of the rate is taken as a function of quality, through the measured points by piecewise cubic Hermite
//! interpolation (PCHIP, Fritsch and Carlson 1980 with the slopes of Fritsch and Butland 1984), which overshoots
//! nowhere, and averaged over the qualities that both encoders reached (VCEG-M33, in the form of JVET's common test
//! conditions).

/// Percent of bits that `test` needs more (below 0: less) than `reference` for equal quality. Points are
/// `(rate, quality)` in any unit of rate and in dB, two at least on each side, in any order. `None` where the curves
/// share no range of quality, a rate is not positive, or two points of a curve have the same quality.
pub fn bd_rate(reference: &[(f64, f64)], test: &[(f64, f64)]) -> Option<f64> {
    let (reference, test) = (Curve::new(reference)?, Curve::new(test)?);
    let low = reference.first().max(test.first());
    let high = reference.last().min(test.last());
    if high <= low {
        return None;
    }
    let mean = |curve: &Curve| curve.integral(low, high) / (high - low);
    Some((10f64.powf(mean(&test) - mean(&reference)) - 1.0) * 100.0)
}

/// The logarithm of the rate over quality: knots in rising order with a slope at each.
struct Curve {
    quality: Vec<f64>,
    rate: Vec<f64>,
    slope: Vec<f64>,
}

impl Curve {
    fn new(points: &[(f64, f64)]) -> Option<Self> {
        let mut points = points.to_vec();
        points.sort_by(|a, b| a.1.total_cmp(&b.1));
        let sound = points.iter().all(|(rate, quality)| *rate > 0.0 && rate.is_finite() && quality.is_finite());
        if !sound || points.len() < 2 || points.windows(2).any(|pair| pair[0].1 >= pair[1].1) {
            return None;
        }
        let (rate, quality): (Vec<f64>, Vec<f64>) = points.into_iter().map(|(r, q)| (r.log10(), q)).unzip();
        let slope = slopes(&quality, &rate);
        Some(Self { quality, rate, slope })
    }

    fn first(&self) -> f64 {
        self.quality[0]
    }

    fn last(&self) -> f64 {
        self.quality[self.quality.len() - 1]
    }

    /// The exact integral from `low` to `high`, both inside the knots.
    fn integral(&self, low: f64, high: f64) -> f64 {
        (1..self.quality.len())
            .map(|i| {
                let (from, to) = (self.quality[i - 1].max(low), self.quality[i].min(high));
                if from < to { self.antiderivative(i, to) - self.antiderivative(i, from) } else { 0.0 }
            })
            .sum()
    }

    /// The integral from knot `i - 1` to `at`, which lies before knot `i`.
    fn antiderivative(&self, i: usize, at: f64) -> f64 {
        let width = self.quality[i] - self.quality[i - 1];
        let secant = (self.rate[i] - self.rate[i - 1]) / width;
        let (before, after) = (self.slope[i - 1], self.slope[i]);
        let square = (3.0 * secant - 2.0 * before - after) / width;
        let cube = (before + after - 2.0 * secant) / (width * width);
        let x = at - self.quality[i - 1];
        x * (self.rate[i - 1] + x * (before / 2.0 + x * (square / 3.0 + x * cube / 4.0)))
    }
}

/// The slope at each knot: the weighted harmonic mean of the secants beside it, 0 where they differ in sign.
fn slopes(x: &[f64], y: &[f64]) -> Vec<f64> {
    let width: Vec<f64> = x.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let secant: Vec<f64> = y.windows(2).zip(&width).map(|(pair, width)| (pair[1] - pair[0]) / width).collect();
    let last = secant.len() - 1;
    if last == 0 {
        return vec![secant[0]; 2];
    }
    let inner = (1..=last).map(|i| {
        let (before, after) = (secant[i - 1], secant[i]);
        if before * after <= 0.0 {
            return 0.0;
        }
        let (a, b) = (2.0 * width[i] + width[i - 1], width[i] + 2.0 * width[i - 1]);
        (a + b) / (a / before + b / after)
    });
    let first = end_slope((width[0], width[1]), (secant[0], secant[1]));
    let end = end_slope((width[last], width[last - 1]), (secant[last], secant[last - 1]));
    std::iter::once(first).chain(inner).chain(std::iter::once(end)).collect()
}

/// The slope at an end, from the three knots nearest to it, held back so that the curve stays monotonic.
fn end_slope(width: (f64, f64), secant: (f64, f64)) -> f64 {
    let slope = ((2.0 * width.0 + width.1) * secant.0 - width.0 * secant.1) / (width.0 + width.1);
    if slope * secant.0 <= 0.0 {
        0.0
    } else if secant.0 * secant.1 <= 0.0 && slope.abs() > 3.0 * secant.0.abs() {
        3.0 * secant.0
    } else {
        slope
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &[(f64, f64)] = &[(686.76, 40.28), (309.58, 37.18), (157.11, 34.24), (85.95, 31.42)];
    const B: &[(f64, f64)] = &[(893.34, 40.39), (407.8, 37.21), (204.93, 34.17), (112.75, 31.24)];
    const C: &[(f64, f64)] = &[(100.0, 30.0), (200.0, 31.0), (400.0, 35.5), (800.0, 36.0), (1600.0, 41.0)];
    const D: &[(f64, f64)] = &[(90.0, 29.5), (260.0, 33.0), (900.0, 38.5)];
    const E: &[(f64, f64)] = &[(150.0, 30.0), (1000.0, 40.0)];

    /// The expected values are those of `scipy.interpolate.PchipInterpolator` (1.x) over `numpy.log10` of the rates:
    /// `10 ** ((test.integrate(low, high) - reference.integrate(low, high)) / (high - low)) - 1`, in percent.
    #[test]
    fn equals_the_integral_of_another_implementation() {
        let table = [
            (A, B, 31.379878202397627),
            (B, A, -23.884843426369507),
            (C, D, -14.861172443407888),
            (D, C, 17.455223274632957),
            (A, D, 121.00420116918409),
            (C, E, -20.790086915120163),
        ];
        for (reference, test, expected) in table {
            let found = bd_rate(reference, test).expect("they overlap");
            assert!((found - expected).abs() < 1e-9, "{found} and {expected}");
        }
    }

    #[test]
    fn a_curve_with_a_tenth_more_bits_everywhere_costs_ten_percent() {
        let dearer: Vec<_> = A.iter().map(|(rate, quality)| (rate * 1.1, *quality)).collect();
        assert!((bd_rate(A, &dearer).expect("they overlap") - 10.0).abs() < 1e-9);
        assert!(bd_rate(A, A).expect("they overlap").abs() < 1e-12);
    }

    #[test]
    fn what_cannot_be_compared_gives_no_figure() {
        let far: Vec<_> = A.iter().map(|(rate, quality)| (*rate, quality + 20.0)).collect();
        assert_eq!(bd_rate(A, &far), None);
        assert_eq!(bd_rate(A, &A[..1]), None);
        assert_eq!(bd_rate(A, &[(100.0, 33.0), (200.0, 33.0)]), None);
        assert_eq!(bd_rate(A, &[(0.0, 33.0), (200.0, 35.0)]), None);
        assert_eq!(bd_rate(A, &[(1.0, f64::NAN), (200.0, 35.0)]), None);
    }
}
