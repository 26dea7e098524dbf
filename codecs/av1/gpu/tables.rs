//! The constant tables that the shaders index: `tables` of predict.wgsl, which knows where each begins.

use crate::av1::kernel::predict::{REGULAR, SHORT, SMOOTH_4, SMOOTH_8, SMOOTH_16, SMOOTH_32};
use crate::av1::scan::scan;

/// Filters, smooth weights, scans, one behind the other.
pub(super) fn tables() -> Vec<i32> {
    let filters = [&REGULAR, &SHORT].into_iter().flatten().flatten().map(|tap| i32::from(*tap));
    let smooth = SMOOTH_4.iter().chain(&SMOOTH_8).chain(&SMOOTH_16).chain(&SMOOTH_32).copied();
    let scans = [4, 8, 16, 32].into_iter().flat_map(scan).map(|position| i32::from(*position));
    filters.chain(smooth).chain(scans).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_begins_where_the_shaders_look_for_it() {
        let tables = tables();
        assert_eq!(tables[96 + 6..96 + 12], [0, -2, 63, 4, -1, 0]);
        for (side, at) in [(4, 192), (8, 196), (16, 204), (32, 220)] {
            assert_eq!(tables[at], 255, "{side}");
        }
        for (side, at) in [(4, 252), (8, 268), (16, 332), (32, 588)] {
            assert_eq!(tables[at..at + 3], [0, 1, side], "{side}");
        }
        assert_eq!(tables.len(), 588 + 1024);
    }
}
