//! What was typed, as it is shown in sentences and in lines to paste.

/// Longest quotation in characters.
const MAX_CHARS: usize = 60;

/// A text between backticks: cut when it is long, with characters that cannot be seen made visible.
pub(super) fn quoted(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(MAX_CHARS)
        .map(|c| match c {
            '\t' => "\\t".to_owned(),
            '\n' => "\\n".to_owned(),
            '\r' => "\\r".to_owned(),
            c if is_invisible(c) => format!("\\u{{{:x}}}", u32::from(c)),
            c => c.to_string(),
        })
        .collect();
    if text.chars().count() > MAX_CHARS {
        shown.push_str("...");
    }
    format!("`{shown}`")
}

/// Whether a character takes a place in a text without being seen, or changes what is seen.
pub(super) fn is_invisible(c: char) -> bool {
    c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// A text as one argument of a shell.
pub(super) fn shell(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-/:@,+=%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_made_visible() {
        assert_eq!(quoted("a b\tc\u{200b}"), "`a b\\tc\\u{200b}`");
        assert_eq!(quoted(&"a".repeat(61)), format!("`{}...`", "a".repeat(60)));
    }

    #[test]
    fn an_argument_is_quoted_only_where_a_shell_would_change_it() {
        for (text, line) in [
            ("rounds.game.crash", "rounds.game.crash"),
            ("rounds.*", "'rounds.*'"),
            ("$SYS.>", "'$SYS.>'"),
            ("it's", "'it'\\''s'"),
            ("", "''"),
        ] {
            assert_eq!(shell(text), line);
        }
    }
}
