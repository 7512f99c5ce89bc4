//! What others said, fit for a sentence or a line of evidence: short, on one line, and harmless to a terminal.

use crate::report::harmless::harmless;

/// A harmless beginning of a text.
pub(crate) fn short(text: &str, max_chars: usize) -> String {
    let text = harmless(text.trim());
    let mut shown: String = text.chars().take(max_chars).collect();
    if shown.len() < text.len() {
        shown.push_str("...");
    }
    shown
}

/// An error with what is behind it.
pub(crate) fn chain_text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}
