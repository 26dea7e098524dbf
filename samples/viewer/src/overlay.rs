//! What is drawn around the pictures: names, levels, who speaks, the shield, the ledger.

use conclave::codecs::Size;
use conclave::meeting::shield::Shield;

use crate::draw::{Scene, Shape, Tile};
use crate::layout::{Rect, fit, layout};
use crate::text::{self, Style};

/// All that the window shows.
#[derive(Clone, Debug)]
pub struct View {
    /// The participants, one tile each; the first is oneself.
    pub people: Vec<Person>,
    /// What protects the meeting at this moment.
    pub shield: Shield,
    /// Beside it, right-aligned: what the window is about.
    pub caption: String,
    /// Oneself as in a mirror.
    pub mirror: bool,
    /// The table over everything, where it is wanted.
    pub ledger: Option<Ledger>,
}

/// One tile.
#[derive(Clone, Debug, Default)]
pub struct Person {
    /// Beneath the picture.
    pub name: String,
    /// Size of the picture; `None` before the first.
    pub picture: Option<Size>,
    /// Loudness from 0 (silence) to 1.
    pub level: f32,
    /// Marked by the border.
    pub speaking: bool,
}

/// Stages and their percentiles.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ledger {
    /// Name, and p50 and p95 in microseconds.
    pub rows: Vec<(&'static str, u64, u64)>,
    /// Beneath the table.
    pub notes: Vec<String>,
}

/// Composes `view` for a window.
pub fn compose(view: &View, window: Size) -> Scene {
    let (mut scene, layout) = (Scene::default(), layout(window, view.people.len()));
    let unit = layout.unit;
    for (slot, (person, tile)) in view.people.iter().zip(&layout.tiles).enumerate() {
        if tile.is_empty() {
            continue;
        }
        // In a crowd signs shrink with their tiles.
        let unit = unit.min(tile.w / 220.0);
        let corner = 10.0 * unit;
        scene.under.push(Shape::fill(*tile, corner, TILE));
        match person.picture {
            Some(size) => {
                let rect = fit(*tile, size);
                let corner = if rect.w > tile.w - 2.0 && rect.h > tile.h - 2.0 { corner } else { 0.0 };
                scene.tiles.push(Tile { slot, rect, corner, mirror: view.mirror && slot == 0 });
            }
            None => initial(&mut scene.over, &person.name, *tile, unit),
        }
        if person.speaking {
            scene.over.push(Shape::outline(tile.inset(-1.0 * unit), corner + unit, 3.5 * unit, SPEAKING));
        }
        name(&mut scene.over, person, *tile, unit);
    }
    header(&mut scene.over, view, layout.header, unit);
    if let Some(ledger) = &view.ledger {
        table(&mut scene.over, ledger, window, unit);
    }
    scene
}

/// The first letter in a disc: nothing has arrived yet.
fn initial(out: &mut Vec<Shape>, name: &str, tile: Rect, unit: f32) {
    let radius = 34.0 * unit;
    let (x, y) = (tile.x + tile.w / 2.0, tile.y + tile.h / 2.0);
    out.push(Shape::stroke([x, y], [x, y], radius, DISC));
    let first: String = name.chars().take(1).flat_map(char::to_uppercase).collect();
    let style = Style { height: 26.0 * unit, color: WHITE };
    text::write(out, &first, x - text::width(&first, style) / 2.0, y - 13.0 * unit, style);
}

/// Name and level on a plate at the lower left of the tile.
fn name(out: &mut Vec<Shape>, person: &Person, tile: Rect, unit: f32) {
    let (style, pad) = (Style { height: 9.5 * unit, color: WHITE }, 9.0 * unit);
    let meter = BARS as f32 * 5.0 * unit;
    let room = tile.w - 4.0 * pad - meter;
    let label = text::cut(&person.name, room, style);
    let (w, h) = (text::width(label, style) + meter + 3.0 * pad, 26.0 * unit);
    if w > tile.w || 2.0 * h > tile.h {
        return;
    }
    let plate = Rect::new(tile.x + 8.0 * unit, tile.bottom() - h - 8.0 * unit, w, h);
    out.push(Shape::fill(plate, h / 2.0, PLATE));
    let middle = plate.y + h / 2.0;
    for bar in 0..BARS {
        // The middle bars are the longest, as a voice's are.
        let reach = 1.0 - (bar as f32 - (BARS - 1) as f32 / 2.0).abs() * 0.28;
        let length = (person.level * reach).clamp(0.0, 1.0) * 7.0 * unit;
        let x = plate.x + pad + (bar as f32 * 5.0 + 1.6) * unit;
        let color = if person.speaking { SPEAKING } else { DIM };
        out.push(Shape::stroke([x, middle - length], [x, middle + length], 1.6 * unit, color));
    }
    text::write(out, label, plate.x + 2.0 * pad + meter - 2.0 * unit, middle - style.height / 2.0, style);
}

/// The shield with its label, and the caption.
fn header(out: &mut Vec<Shape>, view: &View, rect: Rect, unit: f32) {
    if rect.is_empty() {
        return;
    }
    let (face, rim) = colors(view.shield);
    let side = 28.0 * unit;
    let sign = Rect::new(12.0 * unit, rect.h / 2.0 - side / 2.0, side, side);
    out.push(Shape::shield(sign, -0.6 * side / 24.0, rim));
    out.push(Shape::shield(sign, 0.6 * side / 24.0, face));
    emblem(out, view.shield, sign, rim);
    let style = Style { height: 10.0 * unit, color: WHITE };
    let y = rect.h / 2.0 - style.height / 2.0;
    let end = text::write(out, view.shield.label(), sign.right() + 9.0 * unit, y, style);
    let style = Style { color: DIM, ..style };
    let left = rect.right() - 14.0 * unit - text::width(&view.caption, style);
    if left > end + 20.0 * unit {
        text::write(out, &view.caption, left, y, style);
    }
}

/// The sign upon the shield, in the 24 units that `Shield::svg` is drawn in.
fn emblem(out: &mut Vec<Shape>, shield: Shield, sign: Rect, rim: [f32; 4]) {
    let unit = sign.w / 24.0;
    let at = |[x, y]: [f32; 2]| [sign.x + x * unit, sign.y + y * unit];
    let mut line = |points: &[[f32; 2]], width: f32, color| {
        let strokes = points.windows(2).map(|two| Shape::stroke(at(two[0]), at(two[1]), width / 2.0 * unit, color));
        out.extend(strokes);
    };
    let arc = |[x, y]: [f32; 2], radius: f32, start: f32, end: f32| -> Vec<[f32; 2]> {
        let angle = |step: u8| (start + (end - start) * f32::from(step) / 12.0).to_radians();
        (0..=12).map(|step| [x + radius * angle(step).cos(), y + radius * angle(step).sin()]).collect()
    };
    match shield {
        Shield::EndToEnd => {
            line(&arc([12.0, 9.0], 2.8, 180.0, 360.0), 1.8, WHITE);
            line(&[[9.2, 9.0], [9.2, 11.0]], 1.8, WHITE);
            line(&[[14.8, 9.0], [14.8, 11.0]], 1.8, WHITE);
            let ([x, y], round) = (at([7.2, 10.4]), 1.2 * unit);
            out.push(Shape::fill(Rect::new(x, y, 9.6 * unit, 7.0 * unit), round, WHITE));
            out.push(Shape::stroke(at([12.0, 13.5]), at([12.0, 13.5]), 1.25 * unit, rim));
            out.push(Shape::stroke(at([12.0, 13.5]), at([12.0, 15.5]), 0.6 * unit, rim));
        }
        Shield::Enhanced => line(&[[7.4, 11.9], [10.6, 15.2], [16.6, 8.6]], 2.5, WHITE),
        Shield::Unknown => {
            let mut bow = arc([12.0, 9.0], 2.75, 180.0, 415.0);
            bow.push([12.0, 13.6]);
            line(&bow, 2.0, WHITE);
            line(&[[12.0, 17.0], [12.0, 17.0]], 2.6, WHITE);
        }
        Shield::Warning => {
            line(&[[12.0, 7.0], [12.0, 13.0]], 2.4, WHITE);
            line(&[[12.0, 16.8], [12.0, 16.8]], 2.9, WHITE);
        }
        Shield::Stopped => {
            line(&[[8.4, 8.2], [15.6, 15.4]], 2.4, WHITE);
            line(&[[15.6, 8.2], [8.4, 15.4]], 2.4, WHITE);
        }
    }
}

/// The ledger at the right, above the tiles.
fn table(out: &mut Vec<Shape>, ledger: &Ledger, window: Size, unit: f32) {
    let (style, row) = (Style { height: 8.0 * unit, color: WHITE }, 18.0 * unit);
    let (pad, column) = (14.0 * unit, 74.0 * unit);
    let label = |name: &str| text::width(name, style);
    let notes = ledger.notes.iter().map(|note| label(note)).fold(0.0, f32::max);
    let w = (120.0 * unit + 2.0 * column).max(notes) + 2.0 * pad;
    let h = (ledger.rows.len() + ledger.notes.len() + 1) as f32 * row + 2.5 * pad;
    let x = (window.width as f32 - w - 16.0 * unit).max(0.0);
    let panel = Rect::new(x, 52.0 * unit, w, h);
    out.push(Shape::fill(panel, 10.0 * unit, PANEL));
    out.push(Shape::outline(panel, 10.0 * unit, unit.max(1.0), RULE));
    let dim = Style { color: DIM, ..style };
    let right = |out: &mut Vec<Shape>, text: &str, edge: f32, y: f32, style| {
        text::write(out, text, edge - text::width(text, style), y, style);
    };
    let (first, second) = (panel.right() - pad - column, panel.right() - pad);
    let mut y = panel.y + pad;
    text::write(out, "ms per stage", panel.x + pad, y, dim);
    right(out, "p50", first, y, dim);
    right(out, "p95", second, y, dim);
    y += row;
    for (name, p50, p95) in &ledger.rows {
        let style = if *name == "total" { Style { color: SPEAKING, ..style } } else { style };
        text::write(out, name, panel.x + pad, y, style);
        right(out, &milliseconds(*p50), first, y, style);
        right(out, &milliseconds(*p95), second, y, style);
        y += row;
    }
    y += pad / 2.0;
    for note in &ledger.notes {
        text::write(out, note, panel.x + pad, y, dim);
        y += row;
    }
}

/// Microseconds as milliseconds: two places below 10.
fn milliseconds(us: u64) -> String {
    let ms = us as f64 / 1000.0;
    if ms < 10.0 { format!("{ms:.2}") } else { format!("{ms:.1}") }
}

/// Face and rim, as `Shield::svg` has them.
const fn colors(shield: Shield) -> ([f32; 4], [f32; 4]) {
    match shield {
        Shield::EndToEnd | Shield::Enhanced => (rgb(0x1a9e4b), rgb(0x0d6b31)),
        Shield::Unknown | Shield::Stopped => (rgb(0x7b8794), rgb(0x52606d)),
        Shield::Warning => (rgb(0xd3302f), rgb(0x941c1c)),
    }
}

const fn rgb(hex: u32) -> [f32; 4] {
    [(hex >> 16) as f32 / 255.0, (hex >> 8 & 255) as f32 / 255.0, (hex & 255) as f32 / 255.0, 1.0]
}

/// Bars of the level meter.
const BARS: usize = 5;

const WHITE: [f32; 4] = [0.96, 0.97, 0.98, 1.0];
const DIM: [f32; 4] = [0.64, 0.68, 0.74, 1.0];
const SPEAKING: [f32; 4] = [0.36, 0.86, 0.55, 1.0];
const TILE: [f32; 4] = [0.13, 0.145, 0.175, 1.0];
const DISC: [f32; 4] = [0.24, 0.33, 0.47, 1.0];
const PLATE: [f32; 4] = [0.04, 0.05, 0.07, 0.72];
const PANEL: [f32; 4] = [0.04, 0.05, 0.07, 0.86];
const RULE: [f32; 4] = [1.0, 1.0, 1.0, 0.14];
