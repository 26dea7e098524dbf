//! Where things lie in a frame: the grid of 8×8 cells, superblocks, tiles.
//!
//! The smallest block is 8×8, so one cell is the unit in which blocks are recorded; the specification's mode info unit
//! (`MiRows`, `MiCols`: 4×4) is half of it. A frame whose sides are not multiples of 8 is coded on whole cells.

use crate::Size;

/// Luma samples along one side of a cell.
pub const CELL: usize = 8;

/// Cells along one side of a superblock of 64×64.
pub const SUPERBLOCK: usize = 8;

/// A rectangle of cells, ends exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rect {
    /// First row.
    pub top: usize,
    /// First column.
    pub left: usize,
    /// Row after the last.
    pub bottom: usize,
    /// Column after the last.
    pub right: usize,
}

impl Rect {
    /// The cell lies inside.
    pub fn contains(&self, row: usize, col: usize) -> bool {
        (self.top..self.bottom).contains(&row) && (self.left..self.right).contains(&col)
    }
}

/// Size, grid and tiles of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// True size in luma samples.
    pub size: Size,
    /// Rows of cells: the height in units of 8, rounded up.
    pub rows: usize,
    /// Columns of cells.
    pub cols: usize,
    /// Tiles.
    pub tiles: Tiles,
}

/// Uniformly spaced tiles (specification §5.9.15): powers of two, before rounding to superblocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tiles {
    /// `TileColsLog2`.
    pub cols_log2: u8,
    /// `TileRowsLog2`.
    pub rows_log2: u8,
}

impl Layout {
    /// The layout of a frame of `size` in at most `tiles`; the powers are lowered until every tile has a superblock of
    /// its own and shows at least 8 samples each way (specification, Annex A.3).
    pub fn new(size: Size, tiles: Tiles) -> Self {
        let (cols, rows) = ((size.width as usize).div_ceil(CELL), (size.height as usize).div_ceil(CELL));
        let fit = |wanted: u8, cells: usize, samples: u32| {
            let superblocks = cells.div_ceil(SUPERBLOCK);
            let shown = |log2: u8| {
                let step = step(superblocks, log2);
                samples as usize - (superblocks - 1) / step * step * SUPERBLOCK * CELL
            };
            (0..=wanted.min(superblocks.ilog2() as u8)).rev().find(|log2| shown(*log2) >= CELL).unwrap_or(0)
        };
        let tiles = Tiles {
            cols_log2: fit(tiles.cols_log2, cols, size.width),
            rows_log2: fit(tiles.rows_log2, rows, size.height),
        };
        Self { size, rows, cols, tiles }
    }

    /// Columns of superblocks.
    pub fn superblock_cols(&self) -> usize {
        self.cols.div_ceil(SUPERBLOCK)
    }

    /// Rows of superblocks.
    pub fn superblock_rows(&self) -> usize {
        self.rows.div_ceil(SUPERBLOCK)
    }

    /// Cells of the grid.
    pub fn cells(&self) -> usize {
        self.rows * self.cols
    }

    /// Position of a cell in arrays of the grid, row after row.
    pub fn cell(&self, row: usize, col: usize) -> usize {
        row * self.cols + col
    }

    /// Columns of tiles there really are: rounding to superblocks can leave fewer than the power says.
    pub fn tile_cols(&self) -> usize {
        self.superblock_cols().div_ceil(step(self.superblock_cols(), self.tiles.cols_log2))
    }

    /// Rows of tiles there really are.
    pub fn tile_rows(&self) -> usize {
        self.superblock_rows().div_ceil(step(self.superblock_rows(), self.tiles.rows_log2))
    }

    /// The cells of tile (`row`, `col`).
    pub fn tile(&self, row: usize, col: usize) -> Rect {
        let across = step(self.superblock_cols(), self.tiles.cols_log2) * SUPERBLOCK;
        let down = step(self.superblock_rows(), self.tiles.rows_log2) * SUPERBLOCK;
        Rect {
            top: row * down,
            left: col * across,
            bottom: ((row + 1) * down).min(self.rows),
            right: ((col + 1) * across).min(self.cols),
        }
    }

    /// All tiles, row after row, as they follow each other in the bitstream.
    pub fn all_tiles(&self) -> impl Iterator<Item = Rect> + '_ {
        (0..self.tile_rows()).flat_map(move |row| (0..self.tile_cols()).map(move |col| self.tile(row, col)))
    }

    /// The tile that holds a cell.
    pub fn tile_of(&self, row: usize, col: usize) -> Rect {
        let across = step(self.superblock_cols(), self.tiles.cols_log2) * SUPERBLOCK;
        let down = step(self.superblock_rows(), self.tiles.rows_log2) * SUPERBLOCK;
        self.tile(row / down, col / across)
    }
}

/// Superblocks along one side of a tile.
fn step(superblocks: usize, log2: u8) -> usize {
    superblocks.div_ceil(1 << log2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_every_cell_once() {
        let sizes = [(16, 16), (66, 50), (322, 182), (640, 360), (1280, 720), (1921, 1081)];
        for (width, height) in sizes {
            for log2 in 0..3 {
                let layout = Layout::new(Size::new(width, height), Tiles { cols_log2: log2, rows_log2: 2 - log2 });
                let mut covered = vec![0; layout.cells()];
                for tile in layout.all_tiles() {
                    assert!(tile.top < tile.bottom && tile.left < tile.right, "{layout:?}");
                    let (left, top) = (tile.left * CELL, tile.top * CELL);
                    assert!(left + CELL <= width as usize && top + CELL <= height as usize, "{layout:?}");
                    for row in tile.top..tile.bottom {
                        for col in tile.left..tile.right {
                            covered[layout.cell(row, col)] += 1;
                            assert_eq!(layout.tile_of(row, col), tile);
                        }
                    }
                }
                assert!(covered.iter().all(|times| *times == 1), "{layout:?}");
            }
        }
    }
}
