//! The order in which the levels of a transform are written (specification §5.11.41).
//!
//! Both transforms of the subset take the default scan: anti-diagonals, every odd one downwards, every even one upwards.

/// Positions of the levels of a transform of `side` (4, 8, 16 or 32) in the order of writing: row · side + column.
pub fn scan(side: usize) -> &'static [u16] {
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

const fn zigzag<const AREA: usize>(side: usize) -> [u16; AREA] {
    let mut order = [0; AREA];
    let (mut n, mut diagonal) = (0, 0);
    while n < AREA {
        let mut step = 0;
        while step <= diagonal {
            let (row, col) = if diagonal % 2 == 1 { (step, diagonal - step) } else { (diagonal - step, step) };
            if row < side && col < side {
                order[n] = (row * side + col) as u16;
                n += 1;
            }
            step += 1;
        }
        diagonal += 1;
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_positions_are_those_of_the_standard() {
        assert_eq!(scan(4), [0, 1, 4, 8, 5, 2, 3, 6, 9, 12, 13, 10, 7, 11, 14, 15]);
        assert_eq!(scan(8)[..10], [0, 1, 8, 16, 9, 2, 3, 10, 17, 24]);
    }
}
