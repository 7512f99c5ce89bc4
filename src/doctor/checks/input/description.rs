//! What a valid subject or pattern matches, for people.

use crate::doctor::checks::input::known;
use crate::doctor::checks::input::subjects::Use;
use crate::subject::Pattern;

/// From this length on, examples of what a pattern matches are no help.
const MAX_DESCRIBED_BYTES: usize = 120;

/// What a valid subject or pattern matches, in one line.
pub(super) fn of(text: &str, usage: Use<'_>) -> String {
    let tokens: Vec<&str> = text.split('.').collect();
    if usage.is_publish() {
        return format!(
            "valid to publish to: {}, no wildcard",
            counted(tokens.len())
        );
    }
    if text == ">" {
        return "valid: matches every subject".to_owned();
    }
    if text.len() > MAX_DESCRIBED_BYTES {
        return format!("valid: {}", counted(tokens.len()));
    }
    let example = example_of(text, &tokens);
    if let Some(head) = text.strip_suffix(".>") {
        let head = head.replace('*', "x");
        return format!(
            "valid: {} and at least one more; matches {example} and {example}.x, not {head}",
            counted(tokens.len() - 1)
        );
    }
    let places: Vec<usize> = (0..tokens.len())
        .filter(|idx| tokens[*idx] == "*")
        .collect();
    let wildcards = match places.as_slice() {
        [] => {
            return format!(
                "valid: {}, no wildcard; matches nothing but itself",
                counted(tokens.len())
            );
        }
        places if places.len() == tokens.len() => ", of which each may be any".to_owned(),
        [place] if place + 1 == tokens.len() => ", the last any one token".to_owned(),
        [place] => format!(", of which number {} is any one token", place + 1),
        places => {
            let numbers: Vec<String> = places.iter().map(|place| (place + 1).to_string()).collect();
            format!(
                ", of which numbers {} are any one token each",
                numbers.join(", ")
            )
        }
    };
    format!(
        "valid: {}{wildcards}; matches {example}, not {example}.x",
        counted(tokens.len())
    )
}

/// A subject that is matched: of rounds if there is one.
fn example_of(text: &str, tokens: &[&str]) -> String {
    let pattern = text.parse::<Pattern>();
    let known = known::subjects().into_iter().find(|subject| {
        pattern
            .as_ref()
            .is_ok_and(|pattern| pattern.matches(subject))
    });
    known.unwrap_or_else(|| {
        let any = |token: &&str| {
            if matches!(*token, "*" | ">") {
                "x".to_owned()
            } else {
                (*token).to_owned()
            }
        };
        tokens.iter().map(any).collect::<Vec<_>>().join(".")
    })
}

/// So many tokens, in words.
pub(super) fn counted(n_tokens: usize) -> String {
    match n_tokens {
        1 => "one token".to_owned(),
        2 => "two tokens".to_owned(),
        3 => "three tokens".to_owned(),
        n_tokens => format!("{n_tokens} tokens"),
    }
}
