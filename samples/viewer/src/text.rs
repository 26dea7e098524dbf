//! Letters as strokes: legible at any size, without a font file. Basic Latin; what is lacking shows as a frame.

use crate::draw::Shape;

/// How letters are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Style {
    /// Height of a capital in pixels.
    pub height: f32,
    /// Colour and opacity.
    pub color: [f32; 4],
}

impl Style {
    /// Pixels of one cell of the grid that letters are drawn on: capitals are six high.
    fn cell(&self) -> f32 {
        self.height / 6.0
    }
}

/// Width of `text` in pixels.
pub fn width(text: &str, style: Style) -> f32 {
    let cells: f32 = text.chars().map(|c| advance(glyph(c))).sum();
    (cells - GAP).max(0.0) * style.cell()
}

/// Appends `text`, its capitals' upper left at (`x`, `y`), and returns where it ends.
pub fn write(out: &mut Vec<Shape>, text: &str, x: f32, y: f32, style: Style) -> f32 {
    let (cell, mut left) = (style.cell(), x);
    for strokes in text.chars().map(glyph) {
        for line in strokes.split(' ') {
            let at = |pair: &[u8]| [left + f32::from(pair[0] - b'0') * cell, y + f32::from(pair[1] - b'0') * cell];
            let points = line.as_bytes().as_chunks::<2>().0;
            out.extend(
                points.windows(2).map(|two| Shape::stroke(at(&two[0]), at(&two[1]), WEIGHT * cell, style.color)),
            );
        }
        left += advance(strokes) * cell;
    }
    left - GAP * cell
}

/// As much of `text` as is not wider than `room`.
pub fn cut(text: &str, room: f32, style: Style) -> &str {
    let fits = |end: &usize| width(&text[..*end], style) <= room;
    let ends = text.char_indices().map(|(at, c)| at + c.len_utf8());
    &text[..ends.take_while(fits).last().unwrap_or(0)]
}

fn advance(strokes: &str) -> f32 {
    let right =
        strokes.split(' ').flat_map(|line| line.as_bytes().chunks(2)).map(|pair| pair.first().map_or(0, |x| x - b'0'));
    match right.max() {
        Some(right) => f32::from(right) + GAP,
        None => 3.0,
    }
}

/// Half the width of a stroke, and the room between two letters, in cells.
const WEIGHT: f32 = 0.42;
const GAP: f32 = 1.7;

/// The strokes of a letter: points as pairs of digits, column and row; capitals stand on rows 0 to 6.
const fn glyph(c: char) -> &'static str {
    match c {
        ' ' => "",
        'A' => "062046 1434",
        'B' => "06003041423303 3344453606",
        'C' => "4130100105163645",
        'D' => "00062644422000",
        'E' => "40000646 0333",
        'F' => "400006 0333",
        'G' => "41301001051636454323",
        'H' => "0006 4046 0343",
        'I' => "0006",
        'J' => "3035261605",
        'K' => "0006 4004 1346",
        'L' => "000636",
        'M' => "0600234046",
        'N' => "06004640",
        'O' => "103041453616050110",
        'P' => "06003041423303",
        'Q' => "103041453616050110 2446",
        'R' => "06003041423303 2346",
        'S' => "413010010213334445361605",
        'T' => "0040 2026",
        'U' => "000516364540",
        'V' => "002640",
        'W' => "0016223640",
        'X' => "0046 4006",
        'Y' => "002340 2326",
        'Z' => "00400646",
        'a' => "3236 3322120305162635",
        'b' => "0006 0312223335261605",
        'c' => "3322120305162635",
        'd' => "3036 3322120305162635",
        'e' => "04343322120305162635",
        'f' => "201116 0222",
        'g' => "3237281807 3322120305162635",
        'h' => "0006 0312223336",
        'i' => "0206 0000",
        'j' => "121708 1010",
        'k' => "0006 3205 1436",
        'l' => "0006",
        'm' => "0206 03122326 23324346",
        'n' => "0206 0312223336",
        'o' => "122233352616050312",
        'p' => "0208 0312223335261605",
        'q' => "3238 3322120305162635",
        'r' => "0206 031222",
        's' => "33221203142435261605",
        't' => "101526 0222",
        'u' => "0205162635 3236",
        'v' => "021622",
        'w' => "0216243642",
        'x' => "0236 3206",
        'y' => "0205162635 3237281807",
        'z' => "02320636",
        '0' => "102031352616050110",
        '1' => "112026 1636",
        '2' => "01102031320636",
        '3' => "0110203132233435261605 1323",
        '4' => "200434 2226",
        '5' => "300002223335261605",
        '6' => "312010010516263534231403",
        '7' => "003016",
        '8' => "13020110203132231304051626353423",
        '9' => "051626353120100102132332",
        '.' => "0606",
        ',' => "0607",
        ':' => "0303 0606",
        '-' => "0424",
        '+' => "0424 1315",
        '=' => "0323 0525",
        '/' => "2006",
        '%' => "4006 0101 4545",
        '(' => "10010516",
        ')' => "00111506",
        '\'' => "0001",
        '!' => "0003 0606",
        '?' => "0110203132231414 1616",
        '_' => "0636",
        _ => "0030360600",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stroke_is_made_of_whole_points_and_stays_on_the_grid() {
        for c in (' '..='~').chain(['é', '漢']) {
            for line in glyph(c).split(' ').filter(|line| !line.is_empty()) {
                assert!(line.len() >= 4 && line.len() % 2 == 0, "{c:?}: {line}");
                assert!(line.bytes().all(|b| (b'0'..=b'8').contains(&b)), "{c:?}: {line}");
            }
        }
    }

    #[test]
    fn what_is_cut_fits_and_is_whole_letters() {
        let style = Style { height: 12.0, color: [1.0; 4] };
        for room in 0..200 {
            let kept = cut("Zoë O'Brien 漢字", room as f32, style);
            assert!(width(kept, style) <= room as f32 && "Zoë O'Brien 漢字".starts_with(kept));
        }
        assert_eq!(cut("Ada", 1000.0, style), "Ada");
    }
}
