//! What of a picture rests: superblocks in which nothing has changed for so long that the frame before shows them as well
//! as it is going to. They are not searched and not coded again: zero motion, skipped.
//!
//! The rule stands here, before the kernels, so that both arms follow it. Who submits a picture says what changed in it;
//! where nothing is said, all of it did.

use super::encoder::{MAX_HEIGHT, MAX_WIDTH};
use super::layout::{CELL, Layout, SUPERBLOCK};
use crate::{Rect, Size};

/// A set of superblocks, by number, row after row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Set([[u32; 4]; WORDS / 4]);

/// Samples along one side of a superblock.
const SIDE: usize = SUPERBLOCK * CELL;

/// Superblocks of the greatest picture, 32 a word.
const WORDS: usize = (MAX_WIDTH as usize / SIDE) * (MAX_HEIGHT as usize / SIDE) / 32;

impl Set {
    /// All of them.
    pub const ALL: Self = Self([[u32::MAX; 4]; WORDS / 4]);

    /// Those of a picture of `size` that `rects` touch.
    pub fn touched(rects: &[Rect], size: Size) -> Self {
        let mut set = Self::default();
        let side = SIDE as u32;
        for Rect { x, y, width, height } in rects.iter().filter_map(|rect| rect.clip(size)) {
            for row in y / side..(y + height).div_ceil(side) {
                for col in x / side..(x + width).div_ceil(side) {
                    set.put((row * size.width.div_ceil(side) + col) as usize);
                }
            }
        }
        set
    }

    /// Whether the block of `side` at (`col`, `row`), in blocks, lies in one of them.
    #[inline(always)]
    pub fn holds(&self, layout: &Layout, side: usize, (col, row): (usize, usize)) -> bool {
        let blocks = SIDE / side;
        self.has(row / blocks * layout.superblock_cols() + col / blocks)
    }

    /// As a shader takes it.
    pub fn words(&self) -> [[u32; 4]; WORDS / 4] {
        self.0
    }

    fn has(&self, number: usize) -> bool {
        self.0[number / 128][number / 32 % 4] >> (number % 32) & 1 != 0
    }

    fn put(&mut self, number: usize) {
        self.0[number / 128][number / 32 % 4] |= 1 << (number % 32);
    }
}

/// How long each superblock has been at rest.
#[derive(Clone, Debug, Default)]
pub struct Rest {
    /// Frames since it changed.
    ages: Vec<u8>,
}

impl Rest {
    /// What rests in frame `number`, in which `changed` differ from the picture before.
    pub fn frame(&mut self, number: u64, layout: &Layout, changed: &Set) -> Set {
        self.ages.resize(layout.superblock_cols() * layout.superblock_rows(), 0);
        let mut still = Set::default();
        for (i, age) in self.ages.iter_mut().enumerate() {
            *age = if changed.has(i) { 0 } else { age.saturating_add(1) };
            let again = (number + 13 * i as u64).is_multiple_of(AGAIN);
            if *age > SHARP && !again {
                still.put(i);
            }
        }
        still
    }

    /// A picture in which `changed` differ became no frame.
    pub fn left_out(&mut self, changed: &Set) {
        let ages = self.ages.iter_mut().enumerate();
        ages.filter(|(i, _)| changed.has(*i)).for_each(|(_, age)| *age = 0);
    }

    /// Nothing rests from here on: a key frame, another size, or a frame that was lost.
    pub fn wake(&mut self) {
        self.ages.clear();
    }
}

/// Frames after a change in which a superblock is coded as any other: rate control makes the quantizer finer by an eighth
/// a frame at most, from its coarse end to its fine one in so many.
pub const SHARP: u8 = 15;

/// One frame of so many codes a superblock that rests all the same, each at its own time: what filters at its edges and
/// rounding have added up is made good.
const AGAIN: u64 = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::av1::layout::Tiles;

    #[test]
    fn what_rests_is_still_after_it_was_sharpened_and_moves_when_it_is_touched() {
        let size = Size::new(322, 182);
        let layout = Layout::new(size, Tiles::default());
        let all = layout.superblock_cols() * layout.superblock_rows();
        let count = |set: Set| (0..all).filter(|i| set.has(*i)).count();
        let mut rest = Rest::default();
        assert_eq!(count(rest.frame(0, &layout, &Set::ALL)), 0);
        for number in 1..=u64::from(SHARP) {
            assert_eq!(count(rest.frame(number, &layout, &Set::default())), 0, "{number}");
        }
        let mut coded = vec![0; all];
        for number in 100..100 + AGAIN {
            let still = rest.frame(number, &layout, &Set::default());
            (0..all).filter(|i| !still.has(*i)).for_each(|i| coded[i] += 1);
        }
        assert!(coded.iter().all(|times| *times == 1), "{coded:?}");
        let touched = Set::touched(&[Rect { x: 63, y: 64, width: 2, height: 1 }], size);
        assert_eq!(count(touched), 2);
        let still = rest.frame(1, &layout, &touched);
        assert!(
            !still.holds(&layout, 8, (7, 8)) && !still.holds(&layout, 32, (2, 3)) && still.holds(&layout, 16, (8, 4))
        );
        rest.left_out(&Set::touched(&[Rect { x: 0, y: 0, width: 1, height: 1 }], size));
        assert!(!rest.frame(2, &layout, &Set::default()).has(0));
        rest.wake();
        assert_eq!(count(rest.frame(3, &layout, &Set::default())), 0);
    }

    #[test]
    fn the_greatest_picture_has_room() {
        let size = Size::new(MAX_WIDTH, MAX_HEIGHT);
        let set = Set::touched(&[Rect { x: 0, y: 0, width: u32::MAX, height: u32::MAX }], size);
        assert_eq!(set, Set::ALL);
        assert_eq!(Set::touched(&[Rect { x: MAX_WIDTH, y: 0, width: 9, height: 9 }], size), Set::default());
    }
}
