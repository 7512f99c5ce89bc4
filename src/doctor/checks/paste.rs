//! Names that somebody else has chosen, in lines that the user is to paste into a shell or a configuration.

/// Whether a text can stand between quotes, single or double, without ending them.
pub(super) fn is_quotable(text: &str) -> bool {
    !text
        .chars()
        .any(|c| c.is_control() || matches!(c, '\'' | '"' | '`' | '\\'))
}

/// One word of a shell command.
pub(super) fn word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    let inner: String = text
        .chars()
        .filter(|c| !c.is_control() && *c != '\'')
        .collect();
    format!("'{inner}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_pasted_ends_its_quotes() {
        assert_eq!(word("ROUNDS_1"), "ROUNDS_1");
        assert_eq!(word("a; rm -rf ~"), "'a; rm -rf ~'");
        assert_eq!(word("a'$(x)'\n"), "'a$(x)'");
        assert_eq!(word(""), "''");
        assert!(is_quotable("rounds.game.*"));
        assert!(!is_quotable("rounds.'; rm -rf ~;'"));
        assert!(!is_quotable("rounds.\u{1b}[2J"));
    }
}
