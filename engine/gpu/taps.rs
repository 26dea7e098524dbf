//! Filter tables for one axis, made once on the host in integers and read by both arms.

use super::Filter;

/// For each output sample, the source samples it is made of: `count` from `starts[i]` on, weighted by
/// `weights[i * count..]`, whose sum is [`UNIT`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Taps {
    pub starts: Vec<u32>,
    pub weights: Vec<i16>,
    pub count: usize,
}

/// The sum of the weights of one output sample: Q14.
pub(super) const UNIT: i128 = 1 << 14;

impl Taps {
    /// Taps that make `to` samples of `from`. Both are at least 1. Sample centres are aligned, edges are replicated, and
    /// a kernel is widened by the ratio where samples get fewer.
    pub(super) fn new(from: u32, to: u32, filter: Filter) -> Self {
        let (source, target) = (i64::from(from), i64::from(to));
        let exact: Vec<_> = (0..target).map(|i| spread(source, target, i, filter)).collect();
        let count = exact.iter().map(|(_, weights)| weights.len()).max().unwrap_or(1);
        let mut taps =
            Self { starts: Vec::with_capacity(exact.len()), weights: Vec::with_capacity(exact.len() * count), count };
        for (first, weights) in exact {
            // The window moves left where it would end beyond the source; the weights before `first` are zero.
            let start = first.min(from as usize - count);
            taps.starts.push(start as u32);
            taps.weights.resize(taps.weights.len() + first - start, 0);
            normalize(&weights, &mut taps.weights);
            taps.weights.resize(taps.starts.len() * count, 0);
        }
        taps
    }
}

/// The exact weights of output `i`, in any unit, and the source sample of the first; edges folded in, zeros at either end
/// dropped.
fn spread(source: i64, target: i64, i: i64, filter: Filter) -> (usize, Vec<i64>) {
    // In units of 1/(2·target) of a source sample: output i is centred on `centre`, source j on 2·target·j.
    let step = 2 * target;
    let centre = (2 * i + 1) * source - target;
    let unit = 2 * source.max(target);
    let radius = match filter {
        Filter::Area => source + target,
        Filter::Bilinear => unit,
        Filter::Bicubic => 2 * unit,
    };
    let weight = |distance: i64| match filter {
        // The overlap of a source sample (length 2·target) and the output's own extent (length 2·source).
        Filter::Area => (source + target - distance).min(2 * source.min(target)).max(0),
        Filter::Bilinear => (unit - distance).max(0),
        Filter::Bicubic => catmull_rom(distance, unit),
    };
    let last = source - 1;
    let (first, end) = ((centre - radius).div_euclid(step), (centre + radius).div_euclid(step) + 1);
    let (low, high) = (first.clamp(0, last), end.clamp(0, last));
    let mut weights = vec![0; (high - low + 1) as usize];
    for j in first..=end {
        weights[(j.clamp(0, last) - low) as usize] += weight((step * j - centre).abs());
    }
    let leading = weights.iter().take_while(|w| **w == 0).count().min(weights.len() - 1);
    weights.drain(..leading);
    while weights.len() > 1 && weights.last() == Some(&0) {
        weights.pop();
    }
    (low as usize + leading, weights)
}

/// The cubic through four samples with central differences as slopes (a = −½), times 2·unit³. Of degree three in values
/// up to 2¹⁶, so within 2⁵².
const fn catmull_rom(distance: i64, unit: i64) -> i64 {
    let (d, u) = (distance, unit);
    if d < u {
        3 * d * d * d - 5 * d * d * u + 2 * u * u * u
    } else if d < 2 * u {
        -d * d * d + 5 * d * d * u - 8 * d * u * u + 4 * u * u * u
    } else {
        0
    }
}

/// Appends the weights in Q14, the running sum rounded to nearest at every step: the whole is exact, and no weight is off
/// by more than one.
fn normalize(exact: &[i64], out: &mut Vec<i16>) {
    let total: i128 = exact.iter().map(|w| i128::from(*w)).sum();
    let (mut sum, mut before) = (0, 0);
    for weight in exact {
        sum += i128::from(*weight);
        let now = (2 * sum * UNIT + total).div_euclid(2 * total);
        out.push((now - before) as i16);
        before = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILTERS: [Filter; 3] = [Filter::Area, Filter::Bicubic, Filter::Bilinear];

    #[test]
    fn weights_sum_to_one_and_stay_inside_the_source() {
        let sizes = [1, 2, 3, 7, 16, 17, 90, 640, 719, 720, 1280];
        for filter in FILTERS {
            for (from, to) in sizes.iter().flat_map(|a| sizes.map(|b| (*a, b))) {
                let taps = Taps::new(from, to, filter);
                assert_eq!(taps.weights.len(), to as usize * taps.count);
                for (start, weights) in taps.starts.iter().zip(taps.weights.chunks(taps.count)) {
                    assert!(*start as usize + taps.count <= from as usize, "{from} {to} {filter:?}");
                    let sum: i128 = weights.iter().map(|w| i128::from(*w)).sum();
                    assert_eq!(sum, UNIT, "{from} {to} {filter:?}");
                    // Bounds the sums of both arms: 255 · 2⁶ · 1.3² · 2¹⁴ is below 2³¹.
                    let size: i32 = weights.iter().map(|w| i32::from(*w).abs()).sum();
                    assert!(size <= (UNIT as i32) * 13 / 10, "{from} {to} {filter:?} {size}");
                }
            }
        }
    }

    #[test]
    fn the_same_size_is_the_identity() {
        for filter in FILTERS {
            for n in [1, 2, 17, 1280] {
                let taps = Taps::new(n, n, filter);
                assert_eq!(taps.count, 1, "{filter:?} {n}");
                assert!(taps.starts.iter().copied().eq(0..n), "{filter:?} {n}");
                assert!(taps.weights.iter().all(|w| i128::from(*w) == UNIT), "{filter:?} {n}");
            }
        }
    }

    #[test]
    fn known_tables() {
        let halves = Taps::new(8, 4, Filter::Area);
        assert_eq!((halves.count, &halves.starts[..]), (2, &[0, 2, 4, 6][..]));
        assert!(halves.weights.iter().all(|w| *w == 8192));
        let thirds = Taps::new(3, 2, Filter::Area);
        assert_eq!((&thirds.starts[..], &thirds.weights[..]), (&[0, 1][..], &[10923, 5461, 5461, 10923][..]));
        let doubled = Taps::new(2, 4, Filter::Bilinear);
        assert_eq!(doubled.weights, [16384, 0, 12288, 4096, 4096, 12288, 0, 16384]);
        // Midway between samples the Catmull–Rom weights are −1, 9, 9, −1 sixteenths.
        let odd = Taps::new(6, 12, Filter::Bicubic);
        assert_eq!(odd.count, 4);
        assert_eq!(catmull_rom(1, 2) * 16, 9 * 2 * 8);
        assert_eq!(catmull_rom(3, 2) * 16, -2 * 8);
    }

    #[test]
    fn tables_stay_small_at_the_extremes() {
        for filter in FILTERS {
            for (from, to) in [(16384, 1), (1, 16384), (16384, 2), (16383, 16384)] {
                let taps = Taps::new(from, to, filter);
                assert!(taps.weights.len() <= 2 * 16384 * 4, "{from} {to} {filter:?} {}", taps.weights.len());
            }
        }
    }
}
