//! Where everything stands in the window. Pure: sizes in, rectangles out, for any size a window may have.

use conclave::codecs::Size;

/// A rectangle in pixels of the window, the origin at its upper left.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rect {
    /// Left edge.
    pub x: f32,
    /// Upper edge.
    pub y: f32,
    /// Width.
    pub w: f32,
    /// Height.
    pub h: f32,
}

impl Rect {
    /// A rectangle at `x`, `y` of `w` by `h`.
    pub const fn new(x: f32, y: f32, w: f32, h: f32) -> Self {
        Self { x, y, w, h }
    }

    /// Right edge.
    pub fn right(&self) -> f32 {
        self.x + self.w
    }

    /// Lower edge.
    pub fn bottom(&self) -> f32 {
        self.y + self.h
    }

    /// Smaller by `by` on each side, and never less than nothing.
    pub fn inset(&self, by: f32) -> Self {
        let (dx, dy) = (by.min(self.w / 2.0), by.min(self.h / 2.0));
        Self::new(self.x + dx, self.y + dy, self.w - 2.0 * dx, self.h - 2.0 * dy)
    }

    /// Too small to draw in.
    pub fn is_empty(&self) -> bool {
        self.w < 1.0 || self.h < 1.0
    }
}

/// The parts of a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    /// Pixels of one unit: signs and letters grow with the window.
    pub unit: f32,
    /// The line above with the shield; empty where the window is too low for it.
    pub header: Rect,
    /// One tile per participant, row by row.
    pub tiles: Vec<Rect>,
}

/// Width and height of a tile.
pub const ASPECT: (f32, f32) = (16.0, 9.0);

/// Lays `people` tiles out in a window: as large as fits, the last row centred.
pub fn layout(window: Size, people: usize) -> Layout {
    let (width, height) = (window.width as f32, window.height as f32);
    let unit = (width.min(height * 16.0 / 9.0) / 960.0).clamp(0.5, 4.0);
    let header = if height >= 200.0 * unit && width >= 200.0 * unit { 44.0 * unit } else { 0.0 };
    let gap = if width.min(height) >= 100.0 { 8.0 * unit } else { 0.0 };
    let stage = Rect::new(gap, header.max(gap), (width - 2.0 * gap).max(0.0), 0.0);
    let stage = Rect { h: (height - stage.y - gap).max(0.0), ..stage };
    Layout { unit, header: Rect::new(0.0, 0.0, width, header), tiles: grid(stage, people, gap) }
}

/// `people` tiles of [`ASPECT`] within `stage`, `gap` apart.
pub fn grid(stage: Rect, people: usize, gap: f32) -> Vec<Rect> {
    let sized = |columns: usize| {
        let rows = people.div_ceil(columns);
        let free = |side: f32, of: usize| ((side - gap * (of - 1) as f32) / of as f32).max(0.0);
        let scale = (free(stage.w, columns) / ASPECT.0).min(free(stage.h, rows) / ASPECT.1);
        (columns, rows, scale)
    };
    // The largest tiles; among equals the fewest columns.
    let best = (1..=people).map(sized).reduce(|best, next| if next.2 > best.2 { next } else { best });
    let Some((columns, rows, scale)) = best else { return Vec::new() };
    let (w, h) = (scale * ASPECT.0, scale * ASPECT.1);
    let span = |count: usize, side: f32| count as f32 * side + (count - 1) as f32 * gap;
    // Where the gaps alone have no room, everything is empty and stands at the corner.
    let top = stage.y + ((stage.h - span(rows, h)) / 2.0).max(0.0);
    let tile = |index: usize| {
        let (row, column) = (index / columns, index % columns);
        let in_row = columns.min(people - row * columns);
        let left = stage.x + ((stage.w - span(in_row, w)) / 2.0).max(0.0);
        let step = |at: usize, side: f32| if scale > 0.0 { at as f32 * (side + gap) } else { 0.0 };
        Rect::new(left + step(column, w), top + step(row, h), w, h)
    };
    (0..people).map(tile).collect()
}

/// The largest rectangle with the aspect of `picture`, in the middle of `tile`.
pub fn fit(tile: Rect, picture: Size) -> Rect {
    if picture.area() == 0 {
        return Rect { w: 0.0, h: 0.0, ..tile };
    }
    let (width, height) = (picture.width as f32, picture.height as f32);
    let scale = (tile.w / width).min(tile.h / height);
    let (w, h) = (width * scale, height * scale);
    Rect::new(tile.x + (tile.w - w) / 2.0, tile.y + (tile.h - h) / 2.0, w, h)
}
