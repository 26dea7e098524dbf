//! What of a picture rests: superblocks in which nothing has changed for so long that the frame before shows them as well
//! as it is going to. They are not searched and not coded again: zero motion, skipped, but for chroma that is far off.
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

/// How long each superblock has been at rest, and how finely it is shown.
#[derive(Clone, Debug, Default)]
pub struct Rest {
    blocks: Vec<At>,
}

#[derive(Clone, Copy, Debug, Default)]
struct At {
    /// Frames since it changed.
    age: u8,
    /// The finest quantizer that it was coded with since.
    quantizer: u8,
}

impl Rest {
    /// What rests in frame `number`, in which `changed` differ from the picture before.
    pub fn frame(&mut self, number: u64, layout: &Layout, changed: &Set, quantizer: u8) -> Set {
        self.blocks.resize(layout.superblock_cols() * layout.superblock_rows(), At { age: 0, quantizer });
        let mut still = Set::default();
        for (i, at) in self.blocks.iter_mut().enumerate() {
            if changed.has(i) {
                *at = At { age: 0, quantizer };
                continue;
            }
            at.age = at.age.saturating_add(1);
            let again = (number + 13 * i as u64).is_multiple_of(AGAIN);
            if at.age > SHARP && !again && !is_finer(quantizer, at.quantizer) {
                still.put(i);
            } else {
                at.quantizer = at.quantizer.min(quantizer);
            }
        }
        still
    }

    /// A picture in which `changed` differ became no frame.
    pub fn left_out(&mut self, changed: &Set) {
        let blocks = self.blocks.iter_mut().enumerate();
        blocks.filter(|(i, _)| changed.has(*i)).for_each(|(_, at)| *at = At { age: 0, quantizer: u8::MAX });
    }

    /// Nothing rests from here on: a key frame, another size, or a frame that was lost.
    pub fn wake(&mut self) {
        self.blocks.clear();
    }
}

/// Frames after a change in which a superblock is coded as any other; where the quantizer has become finer since, it is
/// coded later too.
pub const SHARP: u8 = 15;

/// A frame with quantizer `now` shows more of what `before` left: the index is an eighth lower.
pub fn is_finer(now: u8, before: u8) -> bool {
    now.saturating_add(now / 8) < before
}

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
        assert_eq!(count(rest.frame(0, &layout, &Set::ALL, 90)), 0);
        for number in 1..=u64::from(SHARP) {
            assert_eq!(count(rest.frame(number, &layout, &Set::default(), 90)), 0, "{number}");
        }
        let mut coded = vec![0; all];
        for number in 100..100 + AGAIN {
            let still = rest.frame(number, &layout, &Set::default(), 90);
            (0..all).filter(|i| !still.has(*i)).for_each(|i| coded[i] += 1);
        }
        assert!(coded.iter().all(|times| *times == 1), "{coded:?}");
        let touched = Set::touched(&[Rect { x: 63, y: 64, width: 2, height: 1 }], size);
        assert_eq!(count(touched), 2);
        let still = rest.frame(1, &layout, &touched, 90);
        assert!(
            !still.holds(&layout, 8, (7, 8)) && !still.holds(&layout, 32, (2, 3)) && still.holds(&layout, 16, (8, 4))
        );
        rest.left_out(&Set::touched(&[Rect { x: 0, y: 0, width: 1, height: 1 }], size));
        assert!(!rest.frame(2, &layout, &Set::default(), 90).has(0));
        rest.wake();
        assert_eq!(count(rest.frame(3, &layout, &Set::default(), 90)), 0);
    }

    #[test]
    fn what_was_coded_coarsely_is_coded_again_once_the_quantizer_is_finer() {
        let layout = Layout::new(Size::new(64, 64), Tiles::default());
        let (mut rest, mut number, mut coded) = (Rest::default(), AGAIN, Vec::new());
        rest.frame(number, &layout, &Set::ALL, 200);
        for quantizer in [200; 30].into_iter().chain((20..200).rev()).chain([20, 100, 20, 18]) {
            number += 1;
            let again = number.is_multiple_of(AGAIN);
            if !rest.frame(number, &layout, &Set::default(), quantizer).has(0) && !again {
                coded.push(quantizer);
            }
        }
        // The frames after the change, then one for each eighth.
        assert_eq!(coded[..usize::from(SHARP)], [200; SHARP as usize]);
        let later = &coded[usize::from(SHARP)..];
        assert!(later.is_sorted_by(|a, b| is_finer(*b, *a)) && later.len() > 10, "{later:?}");
        assert!(is_finer(later[0], 200) && *later.last().expect("some") < 24, "{later:?}");
    }

    #[test]
    fn the_greatest_picture_has_room() {
        let size = Size::new(MAX_WIDTH, MAX_HEIGHT);
        let set = Set::touched(&[Rect { x: 0, y: 0, width: u32::MAX, height: u32::MAX }], size);
        assert_eq!(set, Set::ALL);
        assert_eq!(Set::touched(&[Rect { x: MAX_WIDTH, y: 0, width: 9, height: 9 }], size), Set::default());
    }
}
