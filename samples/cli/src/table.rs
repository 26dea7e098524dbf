//! Aligned columns for a terminal: words to the left, figures to the right.

use std::fmt;

/// Rows under a header.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column heads.
    pub fn new(head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(ToString::to_string).collect()] }
    }

    /// Adds a row; missing cells stay empty.
    pub fn row(&mut self, cells: &[&str]) {
        self.rows.push(cells.iter().map(ToString::to_string).collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width =
            |c: usize| self.rows.iter().filter_map(|r| r.get(c)).map(|cell| cell.chars().count()).max().unwrap_or(0);
        let figures = |c: usize| {
            self.rows.iter().skip(1).filter_map(|r| r.get(c)).all(|cell| cell.is_empty() || cell.parse::<f64>().is_ok())
        };
        for row in &self.rows {
            let mut line = String::from(" ");
            for (c, cell) in row.iter().enumerate().take(columns) {
                let width = width(c);
                line += &if figures(c) { format!(" {cell:>width$} ") } else { format!(" {cell:<width$} ") };
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_stand_to_the_right_and_words_to_the_left() {
        let mut table = Table::new(&["name", "us"]);
        table.row(&["a", "7"]);
        table.row(&["longer", "1000"]);
        assert_eq!(table.to_string(), "  name      us\n  a          7\n  longer  1000\n");
    }
}
