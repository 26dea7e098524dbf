//! The order in which the levels of a transform are written (specification §5.11.41, `get_scan`).
//!
//! DCT and identity share the default scan: anti-diagonals from the upper left corner, every other one downwards. So the
//! neighbours of a level to the right and below always come later, which is what the contexts of levels rest on.

/// The position, row after row, of the n-th level of a square transform of side 4, 8, 16 or 32.
pub const fn scan(side: usize) -> &'static [u16] {
    match side {
        4 => &SCAN_4,
        8 => &SCAN_8,
        16 => &SCAN_16,
        _ => &SCAN_32,
    }
}

static SCAN_4: [u16; 16] = zigzag(4);
static SCAN_8: [u16; 64] = zigzag(8);
static SCAN_16: [u16; 256] = zigzag(16);
static SCAN_32: [u16; 1024] = zigzag(32);

/// The scan of a square of `side`. Odd diagonals run downwards, even ones upwards.
const fn zigzag<const N: usize>(side: usize) -> [u16; N] {
    let mut scan = [0; N];
    let (mut n, mut diagonal) = (0, 0);
    while diagonal < 2 * side - 1 {
        let first = if diagonal < side { 0 } else { diagonal + 1 - side };
        let last = diagonal - first;
        let mut step = 0;
        while first + step <= last {
            let row = if diagonal % 2 == 1 { first + step } else { last - step };
            scan[n] = (row * side + diagonal - row) as u16;
            n += 1;
            step += 1;
        }
        diagonal += 1;
    }
    scan
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_begin_and_end_as_the_specification_prints_them() {
        assert_eq!(scan(4), [0, 1, 4, 8, 5, 2, 3, 6, 9, 12, 13, 10, 7, 11, 14, 15]);
        assert_eq!(scan(8)[..16], [0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5]);
        assert_eq!(scan(8)[48..], [58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63]);
        assert_eq!(scan(16)[..10], [0, 1, 16, 32, 17, 2, 3, 18, 33, 48]);
        assert_eq!(scan(32)[..10], [0, 1, 32, 64, 33, 2, 3, 34, 65, 96]);
        assert_eq!(scan(32)[1018..], [1021, 990, 959, 991, 1022, 1023]);
    }

    #[test]
    fn every_position_comes_once_and_after_those_above_and_to_the_left() {
        for side in [4, 8, 16, 32] {
            let mut seen = vec![false; side * side];
            for position in scan(side).iter().map(|position| usize::from(*position)) {
                let (row, col) = (position / side, position % side);
                assert!(!seen[position] && (row == 0 || seen[position - side]) && (col == 0 || seen[position - 1]));
                seen[position] = true;
            }
            assert!(seen.into_iter().all(|seen| seen));
        }
    }
}
