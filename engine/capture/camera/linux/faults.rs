//! Broken pictures: single ones are skipped and counted, too many in a row are an error.

/// So many broken pictures in a row are the end, two seconds at 30 a second.
const MOST: u32 = 60;

/// Counts broken pictures in a row.
#[derive(Debug, Default)]
pub(super) struct Faults(u32);

impl Faults {
    /// A picture was whole.
    pub(super) fn good(&mut self) {
        self.0 = 0;
    }

    /// A picture was broken; `true` where it was one too many.
    pub(super) fn bad(&mut self) -> bool {
        self.0 += 1;
        self.0 >= MOST
    }
}
