//! A bitmap font of five by seven dots for captions and cards: capitals, digits and a little punctuation.

/// Dots a row; characters stand one dot apart.
pub(crate) const WIDTH: usize = 5;
/// Rows.
pub(crate) const HEIGHT: usize = 7;

/// The rows of one character, the leftmost dot in bit 4. What the font lacks is blank.
pub(crate) fn glyph(character: u8) -> [u8; HEIGHT] {
    match character {
        b'0'..=b'9' => DIGITS[usize::from(character - b'0')],
        b'A'..=b'Z' => CAPITALS[usize::from(character - b'A')],
        b'.' => [0, 0, 0, 0, 0, 12, 12],
        b':' => [0, 12, 12, 0, 12, 12, 0],
        b'#' => [10, 10, 31, 10, 31, 10, 10],
        b'-' => [0, 0, 0, 31, 0, 0, 0],
        _ => [0; HEIGHT],
    }
}

/// Whether dot `x`, `y` of a line of text is ink; characters stand one dot apart.
pub(crate) fn ink(text: &[u8], x: usize, y: usize) -> bool {
    let (index, column) = (x / (WIDTH + 1), x % (WIDTH + 1));
    let Some(&character) = text.get(index) else { return false };
    y < HEIGHT && column < WIDTH && glyph(character)[y] >> (WIDTH - 1 - column) & 1 == 1
}

const DIGITS: [[u8; HEIGHT]; 10] = [
    [14, 17, 19, 21, 25, 17, 14],
    [4, 12, 4, 4, 4, 4, 14],
    [14, 17, 1, 6, 8, 16, 31],
    [30, 1, 1, 14, 1, 1, 30],
    [2, 6, 10, 18, 31, 2, 2],
    [31, 16, 30, 1, 1, 17, 14],
    [6, 8, 16, 30, 17, 17, 14],
    [31, 1, 2, 4, 8, 8, 8],
    [14, 17, 17, 14, 17, 17, 14],
    [14, 17, 17, 15, 1, 2, 12],
];

const CAPITALS: [[u8; HEIGHT]; 26] = [
    [14, 17, 17, 31, 17, 17, 17],
    [30, 17, 17, 30, 17, 17, 30],
    [14, 17, 16, 16, 16, 17, 14],
    [30, 17, 17, 17, 17, 17, 30],
    [31, 16, 16, 30, 16, 16, 31],
    [31, 16, 16, 30, 16, 16, 16],
    [14, 17, 16, 23, 17, 17, 15],
    [17, 17, 17, 31, 17, 17, 17],
    [14, 4, 4, 4, 4, 4, 14],
    [7, 2, 2, 2, 2, 18, 12],
    [17, 18, 20, 24, 20, 18, 17],
    [16, 16, 16, 16, 16, 16, 31],
    [17, 27, 21, 21, 17, 17, 17],
    [17, 25, 25, 21, 19, 19, 17],
    [14, 17, 17, 17, 17, 17, 14],
    [30, 17, 17, 30, 16, 16, 16],
    [14, 17, 17, 17, 21, 18, 13],
    [30, 17, 17, 30, 20, 18, 17],
    [15, 16, 16, 14, 1, 1, 30],
    [31, 4, 4, 4, 4, 4, 4],
    [17, 17, 17, 17, 17, 17, 14],
    [17, 17, 17, 17, 17, 10, 4],
    [17, 17, 17, 21, 21, 27, 17],
    [17, 17, 10, 4, 10, 17, 17],
    [17, 17, 10, 4, 4, 4, 4],
    [31, 1, 2, 4, 8, 16, 31],
];
