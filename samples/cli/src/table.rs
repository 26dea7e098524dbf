//! A plain table for the terminal: columns aligned, figures to the right, nothing else.

use std::fmt;

/// Rows under a line of headings. The first column is aligned left, all others right.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub fn new<'a>(headings: impl IntoIterator<Item = &'a str>) -> Self {
        Self { rows: vec![headings.into_iter().map(str::to_owned).collect()] }
    }

    /// Adds a row; a short one is filled with blanks, a long one widens the table.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) -> &mut Self {
        self.rows.push(cells.into_iter().collect());
        self
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for (index, row) in self.rows.iter().enumerate() {
            let mut line = String::new();
            for (column, width) in widths.iter().enumerate() {
                let cell = row.get(column).map_or("", String::as_str);
                let blank = " ".repeat(width - cell.chars().count());
                match column {
                    0 => line.extend([cell, &blank]),
                    _ => line.extend(["  ", &blank, cell]),
                }
            }
            writeln!(f, "{}", line.trim_end())?;
            if index == 0 {
                let rule: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();
                writeln!(f, "{}", rule.join("  "))?;
            }
        }
        Ok(())
    }
}

/// A duration given in microseconds, in the unit that reads best.
pub fn duration(us: f64) -> String {
    match us {
        us if !us.is_finite() => "–".into(),
        us if us < 10.0 => format!("{us:.1} µs"),
        us if us < 1_000.0 => format!("{us:.0} µs"),
        us if us < 10_000.0 => format!("{:.2} ms", us / 1e3),
        us if us < 1e6 => format!("{:.1} ms", us / 1e3),
        us => format!("{:.2} s", us / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(["stage", "p50", "p99"]);
        table.row(["encode".into(), duration(8_123.0), duration(21_500.0)]);
        table.row(["seal".into(), duration(4.24)]);
        let expected =
            "stage       p50      p99\n──────  ───────  ───────\nencode  8.12 ms  21.5 ms\nseal     4.2 µs\n";
        assert_eq!(table.to_string(), expected);
    }

    #[test]
    fn durations_choose_their_unit() {
        let all = [0.0, 9.94, 12.0, 999.4, 1_000.0, 99_950.0, 2.5e6, f64::NAN].map(duration);
        assert_eq!(all, ["0.0 µs", "9.9 µs", "12 µs", "999 µs", "1.00 ms", "100.0 ms", "2.50 s", "–"]);
    }
}
