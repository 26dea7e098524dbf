//! Predicted motion vectors (specification §7.10.2), for blocks with one reference, without candidates from other
//! frames and without global motion.
//!
//! Neighbours are looked at in cells: the specification's offsets −1, −3 and −5, in units of 4, are the first, second
//! and third row or column of cells, for no block is smaller than a cell.

use super::tile::Site;
use crate::av1::decisions::{Block, Reference, Vector, z_order};
use crate::av1::layout::{CELL, SUPERBLOCK};

/// Vectors that the neighbours of a block suggest for it, best first, and the contexts that follow from them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MvStack {
    vectors: [Vector; CAPACITY],
    weights: [u16; CAPACITY],
    found: usize,
    drl: [u8; CAPACITY],
    /// `NewMvContext`.
    pub new_context: usize,
    /// `RefMvContext`.
    pub ref_context: usize,
}

impl MvStack {
    /// The stack for the block of `site`.
    pub fn find(site: &Site<'_>) -> Self {
        let mut stack = Self::default();
        let mut scan = Scan::new(site, &mut stack);
        let (above, new_above) = scan.row(1);
        let (left, new_left) = scan.col(1);
        let (right, new_right) = scan.top_right();
        let (mut above, mut left) = (above | right, left);
        let (close, any_new) = (usize::from(above) + usize::from(left), new_above | new_left | new_right);
        let nearest = scan.stack.found;
        scan.stack.weights[..nearest].iter_mut().for_each(|weight| *weight += NEAREST_WEIGHT);
        above |= scan.top_left();
        for distance in [2, 3] {
            above |= scan.row(distance).0;
            left |= scan.col(distance).0;
        }
        let total = usize::from(above) + usize::from(left);
        stack.sort(0, nearest);
        stack.sort(nearest, stack.found);
        if stack.found < 2 {
            Scan::new(site, &mut stack).extra();
        }
        stack.contexts(close, total, any_new);
        stack.clamp(site);
        stack
    }

    /// Candidates found: `NumMvFound`. The two first of [`MvStack::vector`] hold in any case.
    pub fn found(&self) -> usize {
        self.found
    }

    /// The vector at a position; no motion where the neighbours suggest nothing.
    pub fn vector(&self, position: usize) -> Vector {
        self.vectors[position]
    }

    /// Context of the choice between a position and those behind it: `DrlCtxStack`.
    pub fn drl_context(&self, position: usize) -> usize {
        self.drl[position].into()
    }

    /// Adds to the weight of a vector, or the vector.
    fn add(&mut self, vector: Vector, weight: u16) {
        match self.vectors[..self.found].iter().position(|known| *known == vector) {
            Some(position) => self.weights[position] += weight,
            None if self.found < CAPACITY => {
                self.vectors[self.found] = vector;
                self.weights[self.found] = weight;
                self.found += 1;
            }
            None => {}
        }
    }

    /// Heaviest first, equals in their order (§7.10.2.11).
    fn sort(&mut self, start: usize, end: usize) {
        for position in start + 1..end {
            let mut at = position;
            while at > start && self.weights[at - 1] < self.weights[at] {
                self.weights.swap(at - 1, at);
                self.vectors.swap(at - 1, at);
                at -= 1;
            }
        }
    }

    /// §7.10.2.14, the contexts.
    fn contexts(&mut self, close: usize, total: usize, any_new: bool) {
        for position in 0..self.found.saturating_sub(1) {
            let near = self.weights[position..position + 2].iter().filter(|weight| **weight >= NEAREST_WEIGHT).count();
            self.drl[position] = 2 - near as u8;
        }
        let any_new = usize::from(any_new);
        (self.new_context, self.ref_context) = match close {
            0 => (total.min(1), total),
            1 => (3 - any_new, 2 + total),
            _ => (5 - any_new, 5),
        };
    }

    /// §7.10.2.14: no vector points farther beyond the frame than the block's side and 16 samples.
    fn clamp(&mut self, site: &Site<'_>) {
        let layout = site.decisions.layout();
        let side = site.block().size.cells() as i32;
        let clamp = |component: i16, at: usize, end: usize| {
            let (at, end) = (at as i32, end as i32);
            let border = 128 + side * UNITS;
            i32::from(component).clamp(-at * UNITS - border, (end - side - at) * UNITS + border) as i16
        };
        for vector in &mut self.vectors[..self.found] {
            vector.row = clamp(vector.row, site.row, layout.rows);
            vector.col = clamp(vector.col, site.col, layout.cols);
        }
    }
}

/// Looks at neighbours and adds what they suggest. The two flags returned: some neighbour has the same reference; some
/// such neighbour has NEWMV (of those next to the block only).
struct Scan<'a, 'b> {
    site: &'a Site<'a>,
    stack: &'b mut MvStack,
    reference: Reference,
    side: usize,
    /// Cells of the block inside the frame.
    width: usize,
    height: usize,
}

impl<'a, 'b> Scan<'a, 'b> {
    fn new(site: &'a Site<'a>, stack: &'b mut MvStack) -> Self {
        let (block, layout) = (site.block(), site.decisions.layout());
        let side = block.size.cells();
        Self {
            site,
            stack,
            reference: block.reference,
            side,
            width: side.min(layout.cols - site.col),
            height: side.min(layout.rows - site.row),
        }
    }

    /// §7.10.2.2: the row of cells `distance` above the block.
    fn row(&mut self, distance: usize) -> (bool, bool) {
        let Site { decisions, tile, row, col, above_new, .. } = *self.site;
        if row < tile.top + distance {
            return (false, false);
        }
        let (mut any, mut any_new) = (false, false);
        let mut at = 0;
        while at < self.width {
            let block = decisions.block(row - distance, col + at);
            let len = self.step(block);
            let same = self.candidate(block, 4 * len as u16);
            any |= same;
            any_new |= same && above_new[col + at];
            at += len;
        }
        (any, any_new)
    }

    /// §7.10.2.3: the column of cells `distance` to the left of the block.
    fn col(&mut self, distance: usize) -> (bool, bool) {
        let Site { decisions, tile, row, col, left_new, .. } = *self.site;
        if col < tile.left + distance {
            return (false, false);
        }
        let (mut any, mut any_new) = (false, false);
        let mut at = 0;
        while at < self.height {
            let block = decisions.block(row + at, col - distance);
            let len = self.step(block);
            let same = self.candidate(block, 4 * len as u16);
            any |= same;
            any_new |= same && left_new[(row + at) % SUPERBLOCK];
            at += len;
        }
        (any, any_new)
    }

    /// §7.10.2.4 at the cell right of the row above, if it was coded before the block.
    fn top_right(&mut self) -> (bool, bool) {
        let Site { decisions, tile, row, col, above_new, .. } = *self.site;
        let right = col + self.side;
        if row == tile.top || right >= tile.right || !before(row - 1, right, row, col) {
            return (false, false);
        }
        let same = self.candidate(decisions.block(row - 1, right), POINT_WEIGHT);
        (same, same && above_new[right])
    }

    /// §7.10.2.4 at the cell left of the row above.
    fn top_left(&mut self) -> bool {
        let Site { decisions, tile, row, col, .. } = *self.site;
        row > tile.top && col > tile.left && self.candidate(decisions.block(row - 1, col - 1), POINT_WEIGHT)
    }

    /// §7.10.2.12: vectors into whichever reference, until there are two.
    fn extra(&mut self) {
        let Site { decisions, tile, row, col, .. } = *self.site;
        let end = self.width.min(self.height);
        for above in [true, false] {
            if if above { row == tile.top } else { col == tile.left } {
                continue;
            }
            let mut at = 0;
            while at < end && self.stack.found < 2 {
                let block = if above { decisions.block(row - 1, col + at) } else { decisions.block(row + at, col - 1) };
                if block.is_inter() && !self.stack.vectors[..self.stack.found].contains(&block.vector) {
                    self.stack.add(block.vector, EXTRA_WEIGHT);
                }
                at += block.size.cells();
            }
        }
    }

    /// Cells that one look at a neighbour answers for.
    fn step(&self, neighbour: &Block) -> usize {
        let len = self.side.min(neighbour.size.cells());
        if self.side == SUPERBLOCK { len.max(2) } else { len }
    }

    /// §7.10.2.7: whether the neighbour has the same reference.
    fn candidate(&mut self, neighbour: &Block, weight: u16) -> bool {
        let same = neighbour.reference == self.reference;
        if same {
            self.stack.add(neighbour.vector, weight);
        }
        same
    }
}

/// One cell is coded before another, both above or beside each other: superblocks go row by row, the cells inside in
/// Z order.
fn before(row: usize, col: usize, other_row: usize, other_col: usize) -> bool {
    let superblock = (row / SUPERBLOCK, col / SUPERBLOCK);
    let other = (other_row / SUPERBLOCK, other_col / SUPERBLOCK);
    if superblock != other { superblock < other } else { z_order(row, col) < z_order(other_row, other_col) }
}

/// Candidates kept: `MAX_REF_MV_STACK_SIZE`.
const CAPACITY: usize = 8;

/// Lead of a vector from a block that touches this one: `REF_CAT_LEVEL`.
const NEAREST_WEIGHT: u16 = 640;

/// Weight of a neighbour at a corner.
const POINT_WEIGHT: u16 = 4;

/// Weight of a neighbour with another reference.
const EXTRA_WEIGHT: u16 = 2;

/// Eighths of a sample along a cell.
const UNITS: i32 = CELL as i32 * 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Size;
    use crate::av1::decisions::{BlockSize, Decisions};
    use crate::av1::layout::{Layout, Tiles};

    const SLOW: Vector = Vector { row: 2, col: -4 };
    const FAST: Vector = Vector { row: -120, col: 64 };
    const THIRD: Vector = Vector { row: 6, col: 6 };

    /// A frame of 128×128 whose blocks are all intra, but for those given: size, row, column, reference, vector.
    fn frame(blocks: &[(BlockSize, usize, usize, Reference, Vector)]) -> Decisions {
        let mut decisions = Decisions::new(&Layout::new(Size::new(128, 128), Tiles::default()));
        for &(size, row, col, reference, vector) in blocks {
            decisions.set_block(row, col, Block { size, reference, vector, ..Block::default() });
        }
        decisions
    }

    fn find(decisions: &Decisions, row: usize, col: usize, is_new: bool) -> MvStack {
        let tile = decisions.layout().tile(0, 0);
        let (above_new, left_new) = ([is_new; 16], [is_new; SUPERBLOCK]);
        MvStack::find(&Site { decisions, tile: &tile, row, col, above_new: &above_new, left_new: &left_new })
    }

    #[test]
    fn without_neighbours_nothing_is_found_and_no_motion_is_suggested() {
        let decisions = frame(&[(BlockSize::B64, 0, 0, Reference::Last, SLOW)]);
        let stack = find(&decisions, 0, 0, true);
        assert_eq!((stack.found(), stack.new_context, stack.ref_context), (0, 0, 0));
        assert_eq!((stack.vector(0), stack.vector(1)), (Vector::ZERO, Vector::ZERO));
    }

    #[test]
    fn a_neighbour_with_the_same_reference_is_found_and_its_mode_matters() {
        let blocks =
            [(BlockSize::B8, 0, 0, Reference::Last, SLOW), (BlockSize::B8, 0, 1, Reference::Last, Vector::ZERO)];
        let stack = find(&frame(&blocks), 0, 1, false);
        assert_eq!((stack.found(), stack.vector(0)), (1, SLOW));
        assert_eq!((stack.new_context, stack.ref_context), (3, 3));
        let stack = find(&frame(&blocks), 0, 1, true);
        assert_eq!((stack.new_context, stack.ref_context), (2, 3));
    }

    #[test]
    fn a_neighbour_with_another_reference_serves_where_there_is_no_other() {
        let blocks =
            [(BlockSize::B8, 0, 0, Reference::Golden, SLOW), (BlockSize::B8, 0, 1, Reference::Last, Vector::ZERO)];
        let stack = find(&frame(&blocks), 0, 1, true);
        assert_eq!((stack.found(), stack.vector(0)), (1, SLOW));
        assert_eq!((stack.new_context, stack.ref_context), (0, 0));
    }

    #[test]
    fn the_vector_with_the_longer_border_comes_first() {
        let blocks = [
            (BlockSize::B8, 1, 2, Reference::Last, SLOW),
            (BlockSize::B8, 1, 3, Reference::Last, FAST),
            (BlockSize::B16, 2, 0, Reference::Last, THIRD),
            (BlockSize::B16, 2, 2, Reference::Last, Vector::ZERO),
        ];
        let stack = find(&frame(&blocks), 2, 2, false);
        assert_eq!(stack.found(), 3);
        assert_eq!([0, 1, 2].map(|position| stack.vector(position)), [THIRD, SLOW, FAST]);
        assert_eq!((stack.new_context, stack.ref_context), (5, 5));
        assert_eq!([0, 1, 2].map(|position| stack.drl_context(position)), [0, 0, 0]);
    }

    #[test]
    fn blocks_farther_away_come_after_those_that_touch() {
        let blocks = [
            (BlockSize::B8, 0, 2, Reference::Last, SLOW),
            (BlockSize::B8, 2, 1, Reference::Last, FAST),
            (BlockSize::B8, 2, 0, Reference::Last, THIRD),
            (BlockSize::B8, 2, 2, Reference::Last, Vector::ZERO),
        ];
        let stack = find(&frame(&blocks), 2, 2, false);
        assert_eq!([0, 1, 2].map(|position| stack.vector(position)), [FAST, SLOW, THIRD]);
        assert_eq!((stack.new_context, stack.ref_context), (3, 4));
        assert_eq!([0, 1].map(|position| stack.drl_context(position)), [1, 2]);
    }

    #[test]
    fn the_block_at_the_upper_right_counts_only_once_it_is_coded() {
        let corner = |row, col| {
            let blocks = [
                (BlockSize::B8, row - 1, col + 1, Reference::Last, FAST),
                (BlockSize::B8, row, col, Reference::Last, Vector::ZERO),
            ];
            find(&frame(&blocks), row, col, false).found()
        };
        assert_eq!(
            [(1, 0), (1, 1), (2, 1), (2, 3), (4, 3), (4, 7), (8, 7)].map(|(row, col)| corner(row, col)),
            [1, 0, 1, 0, 1, 0, 1]
        );
    }

    #[test]
    fn vectors_are_clamped_to_the_surroundings_of_the_frame() {
        let far = Vector { row: -Vector::MAX, col: Vector::MAX };
        let blocks =
            [(BlockSize::B8, 0, 0, Reference::Last, far), (BlockSize::B8, 0, 1, Reference::Last, Vector::ZERO)];
        let stack = find(&frame(&blocks), 0, 1, false);
        assert_eq!(stack.vector(0), Vector { row: -192, col: 14 * 64 + 192 });
    }
}
