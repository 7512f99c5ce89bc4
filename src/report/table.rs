//! Columns that line up: text to the left, numbers to the right.

use std::fmt::Write as _;
use std::io::{self, Write};

/// Writes rows with two blanks between columns; the first column is text, the others are numbers.
pub(super) fn write_columns(
    out: &mut dyn Write,
    indent: &str,
    rows: &[Vec<String>],
) -> io::Result<()> {
    let n_columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..n_columns)
        .map(|column| width(column).unwrap_or(0))
        .collect();
    for row in rows {
        let mut line = indent.to_owned();
        // Writing to a `String` cannot fail.
        for (column, cell) in row.iter().enumerate() {
            if column == 0 {
                let _ = write!(line, "{cell:<width$}", width = widths[0]);
            } else {
                let _ = write!(line, "  {cell:>width$}", width = widths[column]);
            }
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// Breaks a text at blanks so that no line is longer than `width`; a longer word keeps its line.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last_mut().expect("there is always a last line");
        if last.is_empty() {
            last.push_str(word);
        } else if last.chars().count() + 1 + word.chars().count() <= width {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [
            vec!["a".to_owned(), "10".to_owned()],
            vec!["bcd".to_owned(), "9".to_owned()],
        ];
        let mut out = Vec::new();
        write_columns(&mut out, " ", &rows).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), " a    10\n bcd   9\n");
    }

    #[test]
    fn long_text_is_broken_at_blanks() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("", 8), [""]);
    }
}
