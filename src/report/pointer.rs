//! What was typed, with carets under its fault.

use std::ops::Range;

use unicode_width::UnicodeWidthChar as _;

use super::harmless::harmless;

/// What was typed, and carets under the fault; only the surroundings of the fault when it is long.
pub(crate) fn pointer(input: &str, span: Range<usize>) -> String {
    /// Columns of the excerpt, so that the line fits on a terminal of 80 with indent and dots.
    const MAX_COLUMNS: usize = 70;
    if input.is_empty() {
        return String::new();
    }
    let span = whole_characters(input, span);
    let mut excerpt = 0..input.len();
    let mut dots = ("", "");
    if columns(input) > MAX_COLUMNS {
        // The fault, with a third of the line before it.
        let mut before = 0;
        for (at, c) in input[..span.start].char_indices().rev() {
            before += column_width(c);
            if before > MAX_COLUMNS / 3 {
                break;
            }
            excerpt.start = at;
        }
        let mut shown = 0;
        for (at, c) in input[excerpt.start..].char_indices() {
            shown += column_width(c);
            if shown > MAX_COLUMNS {
                excerpt.end = excerpt.start + at;
                break;
            }
        }
        let dots_if = |is_cut| if is_cut { "..." } else { "" };
        dots = (
            dots_if(excerpt.start > 0),
            dots_if(excerpt.end < input.len()),
        );
    }
    let fault = span.start..span.end.min(excerpt.end).max(span.start);
    let before = dots.0.len() + columns(&input[excerpt.start..fault.start]);
    let width = columns(&input[fault]).max(1);
    format!(
        "  {}{}{}\n  {}{}\n",
        dots.0,
        harmless(&input[excerpt]).trim_end(),
        dots.1,
        " ".repeat(before),
        "^".repeat(width)
    )
}

/// The span, widened to whole characters and cut to the input.
fn whole_characters(input: &str, span: Range<usize>) -> Range<usize> {
    let start = input.floor_char_boundary(span.start);
    start..input.ceil_char_boundary(span.end).max(start)
}

/// How many columns of a terminal a text takes.
fn columns(text: &str) -> usize {
    text.chars().map(column_width).sum()
}

/// How many columns of a terminal a character takes; a control character is shown as a replacement character.
fn column_width(c: char) -> usize {
    c.width().unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointed(input: &str, span: Range<usize>) -> String {
        pointer(input, span)
    }

    #[test]
    fn carets_stand_under_the_fault_whatever_its_characters() {
        assert_eq!(pointed("a..b", 2..3), "  a..b\n    ^\n");
        assert_eq!(pointed("\u{e4}..b", 3..4), "  \u{e4}..b\n    ^\n");
        assert_eq!(
            pointed("e\u{301}..b", 4..5),
            "  e\u{301}..b\n    ^\n",
            "a combining mark takes no column"
        );
        assert_eq!(
            pointed("\u{6f22}\u{5b57}..", 7..8),
            "  \u{6f22}\u{5b57}..\n       ^\n",
            "a wide character takes two"
        );
        assert_eq!(pointed("x\u{6f22}", 1..4), "  x\u{6f22}\n   ^^\n");
        assert_eq!(pointed("ab", 2..2), "  ab\n    ^\n", "something is missing");
        assert_eq!(pointed("", 0..0), "");
        assert_eq!(pointed("a\tb", 1..2), "  a\u{fffd}b\n   ^\n");
    }

    #[test]
    fn a_long_input_is_cut_around_its_fault() {
        let input = format!("{}..{}", "a".repeat(200), "b".repeat(200));
        let shown = pointed(&input, 201..202);
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[0].len() <= 80, "{shown}");
        let at = lines[1].find('^').unwrap();
        assert_eq!(&lines[0][at - 1..at + 2], "..b", "{shown}");
        // A fault that is longer than the line.
        let shown = pointed(&input, 0..402);
        assert!(shown.lines().all(|line| line.len() <= 80), "{shown}");
    }

    #[test]
    fn any_span_is_pointed_at_without_panic() {
        let input = "\u{e4}\u{6f22}b".repeat(30);
        for start in 0..=input.len() + 2 {
            for end in start..=input.len() + 2 {
                assert_eq!(pointed(&input, start..end).lines().count(), 2);
            }
        }
    }
}
