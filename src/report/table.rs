//! Columns that line up: text to the left, numbers to the right.

use std::fmt::Write as _;

use super::harmless::harmless;

/// Rows as lines, with two blanks between columns; the first column is text, the others are numbers.
pub(super) fn column_lines(rows: &[Vec<String>]) -> Vec<String> {
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
    let line = |row: &Vec<String>| {
        let mut line = String::new();
        // Writing to a `String` cannot fail.
        for (column, cell) in row.iter().enumerate() {
            if column == 0 {
                let _ = write!(line, "{cell:<width$}", width = widths[0]);
            } else {
                let _ = write!(line, "  {cell:>width$}", width = widths[column]);
            }
        }
        line.trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// Two blocks of lines side by side, `gap` columns apart.
pub(super) fn side_by_side(left: &[String], right: &[String], gap: usize) -> Vec<String> {
    let width = |line: &String| line.chars().count();
    let left_width = left.iter().map(width).max().unwrap_or(0) + gap;
    let n_lines = left.len().max(right.len());
    let line = |idx: usize| {
        let (left, right) = (left.get(idx), right.get(idx));
        let left = left.map_or("", String::as_str);
        let right = right.map_or("", String::as_str);
        format!("{left:<left_width$}{right}").trim_end().to_owned()
    };
    (0..n_lines).map(line).collect()
}

/// Breaks a text at blanks so that no line is longer than `width`; a longer word keeps its line.
///
/// A number never leaves its unit. Control characters, which may come from a broker or a publisher, are replaced.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let text = &harmless(text);
    if text.chars().count() <= width {
        return vec![text.to_owned()];
    }
    let mut words: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match words.last_mut() {
            Some(last) if is_unit(word) && ends_in_number(last) => {
                last.push(' ');
                last.push_str(word);
            }
            _ => words.push(word.to_owned()),
        }
    }
    fill(&words, " ", width)
}

/// Puts parts on as few lines as they need, with `separator` between those on one line. A part is broken only if it
/// is longer than a line.
pub(super) fn fill(parts: &[String], separator: &str, width: usize) -> Vec<String> {
    let parts: Vec<String> = parts.iter().map(|part| harmless(part)).collect();
    let mut lines = vec![String::new()];
    let chars = |text: &str| text.chars().count();
    for (idx, part) in parts.iter().enumerate() {
        // What ends a line but the last one: the comma of `, `, nothing of a blank.
        let is_last = idx + 1 == parts.len();
        let tail = if is_last { "" } else { separator.trim_end() };
        let last = lines.last_mut().expect("there is always a last line");
        let gap = &separator[separator.trim_end().len()..];
        if last.is_empty() {
            last.push_str(part);
        } else if chars(last) + chars(gap) + chars(part) + chars(tail) <= width {
            last.push_str(gap);
            last.push_str(part);
        } else {
            lines.push(part.clone());
        }
        let last = lines.last_mut().expect("there is always a last line");
        last.push_str(tail);
    }
    let is_broken = |line: String| {
        if chars(&line) <= width || !line.contains(' ') || separator == " " {
            vec![line]
        } else {
            wrap(&line, width)
        }
    };
    lines.into_iter().flat_map(is_broken).collect()
}

fn is_unit(word: &str) -> bool {
    let word = word.trim_end_matches([',', ';', ':', '.', ')']);
    matches!(
        word,
        "ns" | "us" | "ms" | "s" | "B" | "KiB" | "MiB" | "GiB" | "TiB"
    )
}

fn ends_in_number(word: &str) -> bool {
    word.ends_with(|c: char| c.is_ascii_digit())
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
        assert_eq!(column_lines(&rows), ["a    10", "bcd   9"]);
    }

    #[test]
    fn blocks_stand_side_by_side_whichever_is_longer() {
        let lines = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(
            side_by_side(&lines("a bcd"), &lines("x y z"), 2),
            ["a    x", "bcd  y", "     z"]
        );
        assert_eq!(side_by_side(&lines("a bc"), &lines("x"), 1), ["a  x", "bc"]);
    }

    #[test]
    fn long_text_is_broken_at_blanks() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("", 8), [""]);
        assert_eq!(wrap("incomprehensible no", 8), ["incomprehensible", "no"]);
    }

    #[test]
    fn what_fits_is_left_as_it_is() {
        assert_eq!(wrap("ls   # look", 11), ["ls   # look"]);
    }

    #[test]
    fn a_number_never_leaves_its_unit() {
        for width in 1..30 {
            let lines = wrap("it was late by 12.4 ms, the limit is 1.00 ms", width);
            assert!(
                lines.iter().any(|line| line.contains("12.4 ms,")),
                "{lines:?}"
            );
            assert!(
                lines.iter().any(|line| line.contains("1.00 ms")),
                "{lines:?}"
            );
        }
    }

    #[test]
    fn control_characters_reach_no_terminal() {
        let escape = "\u{1b}[2J\u{7}";
        assert_eq!(wrap(escape, 80), ["\u{fffd}[2J\u{fffd}"]);
        assert_eq!(
            fill(&[escape.to_owned()], ", ", 80),
            ["\u{fffd}[2J\u{fffd}"]
        );
    }

    #[test]
    fn parts_stay_whole() {
        let parts = ["dns 412 us", "tcp 58 us", "info 3 ms"].map(str::to_owned);
        assert_eq!(
            fill(&parts, "  ", 21),
            ["dns 412 us  tcp 58 us", "info 3 ms"]
        );
        assert_eq!(
            fill(&parts, ", ", 21),
            ["dns 412 us,", "tcp 58 us, info 3 ms"]
        );
        assert_eq!(
            fill(&parts, ", ", 22),
            ["dns 412 us, tcp 58 us,", "info 3 ms"]
        );
        assert_eq!(fill(&parts[..1], ", ", 5), ["dns", "412 us"]);
        assert_eq!(fill(&[], ", ", 5), [""]);
    }
}
