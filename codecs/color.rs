//! How samples map to light: matrix and range, carried with every picture and never guessed.

/// The luma weights that a YUV matrix derives from (ITU-R BT.601, BT.709, BT.2020).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize)]
pub enum Matrix {
    /// Standard definition.
    Bt601,
    /// High definition.
    #[default]
    Bt709,
    /// Ultra-high definition, non-constant luminance.
    Bt2020,
}

impl Matrix {
    /// `(Kr, Kb)` of the matrix, in units of 1/10000.
    pub const fn weights(self) -> (i32, i32) {
        match self {
            Matrix::Bt601 => (2990, 1140),
            Matrix::Bt709 => (2126, 722),
            Matrix::Bt2020 => (2627, 593),
        }
    }
}

/// Which codes a sample uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize)]
pub enum Range {
    /// Luma 16…235, chroma 16…240.
    #[default]
    Limited,
    /// 0…255.
    Full,
}

/// Matrix and range of a picture. The default is BT.709, limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize)]
pub struct Color {
    /// Luma weights.
    pub matrix: Matrix,
    /// Sample codes in use.
    pub range: Range,
}

impl Color {
    /// The luma code of black.
    pub const fn black(self) -> u8 {
        match self.range {
            Range::Limited => 16,
            Range::Full => 0,
        }
    }
}
