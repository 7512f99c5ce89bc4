//! Names and values in two columns, whatever their lengths.

use crate::report::harmless::harmless;
use crate::report::table::wrap;

/// Most columns of the names, where there is room.
const MAX_NAME_COLUMNS: usize = 24;
/// Fewest columns of the values, however narrow the terminal is.
const MIN_VALUE_COLUMNS: usize = 20;
const GAP: usize = 2;

/// Lines with a name to the left and its value to the right. Long names and values are broken within their column; a
/// name that has no blank to be broken at stands above its value.
pub(super) fn two_columns(rows: &[(&str, &str)], width: usize) -> Vec<String> {
    let most = (width / 3).min(MAX_NAME_COLUMNS);
    let names: Vec<Vec<String>> = rows.iter().map(|(name, _)| wrap(name, most)).collect();
    let pieces = names.iter().flatten().map(|piece| columns(piece));
    let name_width = pieces.filter(|columns| *columns <= most).max();
    let name_width = name_width.unwrap_or(0);
    let room = width.saturating_sub(name_width + GAP);
    let room = room.max(MIN_VALUE_COLUMNS);

    let mut lines = Vec::new();
    for ((name, value), mut names) in rows.iter().zip(names) {
        let values = value
            .lines()
            .flat_map(|line| wrap_all(line.trim_end(), room));
        let values: Vec<String> = values.collect();
        if names.iter().any(|piece| columns(piece) > most) {
            lines.push(harmless(name));
            names.clear();
        }
        for idx in 0..names.len().max(values.len()) {
            let name = names.get(idx).map_or("", String::as_str);
            let value = values.get(idx).map_or("", String::as_str);
            let line = format!("{name:<name_width$}{:GAP$}{value}", "");
            lines.push(line.trim_end().to_owned());
        }
    }
    lines
}

/// Breaks a text so that no line is longer than `width`, also within words that are longer: behind a comma or the like
/// where there is one in the second half of the line.
fn wrap_all(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in wrap(text, width) {
        let mut rest = word.as_str();
        if let Some(last) = lines.last_mut()
            && columns(rest) > width
            && columns(last) < width / 2
        {
            // What stands before a long word shares its line.
            let begin = piece(rest, width - columns(last) - 1);
            *last = format!("{last} {begin}");
            rest = &rest[begin.len()..];
        }
        while columns(rest) > width {
            let begin = piece(rest, width);
            lines.push(begin.to_owned());
            rest = &rest[begin.len()..];
        }
        lines.push(rest.to_owned());
    }
    lines
}

/// The beginning of a long word, of at most `width` columns.
fn piece(word: &str, width: usize) -> &str {
    let end = word.char_indices().nth(width);
    let whole = end.map_or(word, |(end, _)| &word[..end]);
    match whole.rfind([',', ';', '&', '/']) {
        Some(at) if at + 1 > whole.len() / 2 => &whole[..=at],
        _ => whole,
    }
}

fn columns(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_line_up() {
        assert_eq!(
            two_columns(&[("a", "one"), ("bcd", "two\nthree")], 40),
            ["a    one", "bcd  two", "     three"]
        );
    }

    #[test]
    fn a_long_name_is_broken_within_its_column() {
        assert_eq!(
            two_columns(&[("same credentials at", "refused, too"), ("x", "y")], 36),
            [
                "same         refused, too",
                "credentials",
                "at",
                "x            y"
            ]
        );
    }

    #[test]
    fn a_name_that_cannot_be_broken_stands_above_its_value() {
        assert_eq!(
            two_columns(&[("rounds.game.crash.with.more", "none"), ("x", "y")], 30),
            ["rounds.game.crash.with.more", "   none", "x  y"]
        );
        assert_eq!(
            two_columns(&[("rounds.game.crash.with.more", "none")], 30),
            ["rounds.game.crash.with.more", "  none"]
        );
    }

    #[test]
    fn a_long_word_is_broken_behind_a_comma() {
        let info = "INFO {\"version\":\"2.15.1\",\"port\":4222,\"client_id\":8}";
        assert_eq!(
            two_columns(&[("first", info)], 37),
            [
                "first  INFO {\"version\":\"2.15.1\",",
                "       \"port\":4222,\"client_id\":8}"
            ]
        );
    }

    #[test]
    fn no_line_is_longer_than_asked_for() {
        let word = "\u{e4}".repeat(100);
        for width in 40..90 {
            let lines = two_columns(&[("first bytes inside TLS", &word)], width);
            assert!(lines.iter().all(|line| columns(line) <= width), "{lines:?}");
            let n_chars: usize = lines
                .iter()
                .map(|line| line.matches('\u{e4}').count())
                .sum();
            assert_eq!(n_chars, 100);
        }
    }
}
