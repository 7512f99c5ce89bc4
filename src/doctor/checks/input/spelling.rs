//! Subjects that are written in the way of something else: quoted, as a list, as a template, as a topic of MQTT, or with
//! characters that only look right.

use crate::doctor::checks::input::quoting::{is_invisible, quoted, shell};
use crate::doctor::checks::input::subjects::Use;
use crate::doctor::code::Code;
use crate::results::doctor::{Certainty, Finding, Severity};
use crate::subject::Pattern;

pub(super) const LOOK_ALIKE: Code = Code {
    name: "subject.look-alike",
    severity: Severity::Warning,
    meaning: "The subject contains a character that looks like another one, or like nothing.",
    cause: "A letter of another alphabet, a full-width `.` or `*`, or a character that cannot be seen. It comes along when \
            text is copied from a document or a chat. The subject matches nothing that is spelled with the usual one.",
    fix: "Type the subject again.",
};
pub(super) const QUOTES: Code = Code {
    name: "subject.quotes",
    severity: Severity::Warning,
    meaning: "The subject begins and ends with a quotation mark.",
    cause: "They were to be for the shell, but became a part of the subject: quoted twice, or in a file or a shell (such as \
            that of Windows) that leaves single quotes alone.",
    fix: "Leave them out.",
};
pub(super) const LIST: Code = Code {
    name: "subject.list",
    severity: Severity::Warning,
    meaning: "Several subjects are written as one, with commas.",
    cause: "A comma is an ordinary character in a subject.",
    fix: "Give each subject as an argument of its own.",
};
pub(super) const MQTT_STYLE: Code = Code {
    name: "subject.mqtt-style",
    severity: Severity::Warning,
    meaning: "The subject is written as a topic of MQTT.",
    cause: "`/`, `+` and `#` are ordinary characters in a subject: tokens are separated by dots, and the wildcards are `*` \
            and `>`.",
    fix: "Write `.` for `/`, `*` for `+`, and `>` for `#`.",
};
pub(super) const PLACEHOLDER: Code = Code {
    name: "subject.placeholder",
    severity: Severity::Warning,
    meaning: "A token of the subject is a placeholder that nothing has replaced.",
    cause: "A text such as `{game}`, `<slug>` or `${GAME}` was taken over from a template or a document.",
    fix: "Put the value there, or `*` for any.",
};
/// The best explanation of how a valid subject came to be written so, if it is odd.
pub(super) fn finding(text: &str, usage: Use<'_>) -> Option<Finding> {
    quotes(text, usage)
        .or_else(|| list(text, usage))
        .or_else(|| placeholder(text, usage))
        .or_else(|| mqtt_style(text, usage))
        .or_else(|| look_alike(text, usage))
}

/// The index of the token at a place of the text.
pub(super) fn token_at(text: &str, at: usize) -> usize {
    text[..at].matches('.').count()
}

fn quotes(text: &str, usage: Use<'_>) -> Option<Finding> {
    let inner = ['\'', '"', '`']
        .into_iter()
        .find_map(|mark| text.strip_prefix(mark)?.strip_suffix(mark))
        .filter(|inner| !inner.is_empty())?;
    Some(
        QUOTES
            .finding(format!("The quotation marks are a part of the subject {}.", shell(text)))
            .because(
                "They should have been for the shell, and reached natsbench instead: quoted twice, or in a file or a shell \
                 that leaves them alone. Nobody publishes to such a subject.",
            )
            .certainty(Certainty::Likely)
            .paste("Leave them out:", &[&usage.command(inner)])
            .pointing_at(text, 0..1),
    )
}

fn list(text: &str, usage: Use<'_>) -> Option<Finding> {
    let parts: Vec<&str> = text.split(',').collect();
    if parts.len() < 2 || !parts.iter().all(|part| part.contains('.') || *part == ">") {
        return None;
    }
    let comma = parts[0].len();
    let line: Vec<String> = parts.iter().map(|part| shell(part)).collect();
    let line = match usage {
        Use::Publish { .. } => usage.command(parts[0]),
        Use::Subscribe { .. } => format!("natsbench doctor {}", line.join(" ")),
    };
    Some(
        LIST.finding(format!("{} is one subject with a comma in it, not a list.", quoted(text)))
            .because("A comma is an ordinary character in a subject, so this one matches nothing but itself.")
            .certainty(Certainty::Likely)
            .paste("Give each subject as an argument of its own:", &[&line])
            .pointing_at(text, comma..comma + 1),
    )
}

fn placeholder(text: &str, usage: Use<'_>) -> Option<Finding> {
    let is_placeholder = |token: &str| {
        let inside = [("{", "}"), ("<", ">"), ("${", "}"), ("[", "]"), ("%", "%")]
            .into_iter()
            .find_map(|(open, close)| token.strip_prefix(open)?.strip_suffix(close));
        inside.is_some_and(|name| name.chars().any(char::is_alphabetic))
    };
    let mut start = 0;
    let mut tokens: Vec<&str> = text.split('.').collect();
    for token in &mut tokens {
        if is_placeholder(token) {
            let span = start..start + token.len();
            let name = *token;
            *token = "*";
            let finding = PLACEHOLDER
                .finding(format!("{} in {} is a placeholder that nothing has replaced.", quoted(name), quoted(text)))
                .because("A server takes it letter by letter, so the subject matches nothing but itself.")
                .certainty(Certainty::Likely)
                .pointing_at(text, span);
            return Some(if usage.is_publish() {
                finding.remedy("Put the value there.")
            } else {
                finding.paste(
                    "Put the value there, or `*` for any:",
                    &[&usage.command(&tokens.join("."))],
                )
            });
        }
        start += token.len() + 1;
    }
    None
}

fn mqtt_style(text: &str, usage: Use<'_>) -> Option<Finding> {
    let wildcard = text
        .split(['.', '/'])
        .any(|token| matches!(token, "+" | "#"));
    let has_slashes = !text.contains('.') && text.trim_matches('/').contains('/');
    if !wildcard && !has_slashes {
        return None;
    }
    let tokens: Vec<&str> = text
        .split(['.', '/'])
        .filter(|token| !token.is_empty())
        .map(|token| match token {
            "+" => "*",
            "#" => ">",
            other => other,
        })
        .collect();
    let at = text.find(['/', '+', '#']).unwrap_or(0);
    let finding = MQTT_STYLE
        .finding(format!("{} is written as a topic of MQTT.", quoted(text)))
        .because(
            "In NATS, dots separate tokens, and the wildcards are `*` and `>`; `/`, `+` and `#` are ordinary characters. \
             The subject matches nothing but itself.",
        )
        .certainty(Certainty::Likely)
        .pointing_at(text, at..at + 1);
    let meant = tokens.join(".");
    let has_wildcard = tokens.iter().any(|token| matches!(*token, "*" | ">"));
    if meant.parse::<Pattern>().is_err() || (usage.is_publish() && has_wildcard) {
        return Some(finding.remedy("Write `.` for `/`, `*` for `+`, and `>` for `#`."));
    }
    Some(finding.paste("As a subject of NATS:", &[&usage.command(&meant)]))
}

/// What a character is taken for, if it is easily taken for another one.
fn looks_like(c: char) -> Option<char> {
    const PAIRS: [(&str, &str); 3] = [
        (
            "\u{ff0e}\u{3002}\u{2024}\u{ff0a}\u{2217}\u{ff1e}\u{203a}\u{2013}\u{2014}\u{2010}\u{2011}\u{2212}",
            "...**>>-----",
        ),
        // Cyrillic.
        (
            "\u{430}\u{435}\u{43e}\u{440}\u{441}\u{443}\u{445}\u{456}\u{455}\u{410}\u{412}\u{415}\u{41a}\u{41c}\u{41d}\u{41e}\u{420}\u{421}\u{422}\u{425}",
            "aeopcyxisABEKMHOPCTX",
        ),
        // Greek.
        (
            "\u{3bf}\u{3b1}\u{3bd}\u{3c1}\u{391}\u{392}\u{395}\u{39f}\u{3a1}\u{3a4}",
            "oavpABEOPT",
        ),
    ];
    let mut pairs = PAIRS
        .iter()
        .flat_map(|(from, to)| from.chars().zip(to.chars()));
    pairs.find_map(|(from, to)| (from == c).then_some(to))
}

fn look_alike(text: &str, usage: Use<'_>) -> Option<Finding> {
    // A word that is all of another alphabet is no mistake.
    let is_mixed = |at: usize| {
        let token = text.split('.').nth(token_at(text, at)).unwrap_or("");
        token.chars().any(|c| c.is_ascii_alphabetic())
    };
    let (at, character) = text.char_indices().find(|(at, c)| {
        is_invisible(*c)
            || looks_like(*c).is_some_and(|plain| !plain.is_alphabetic() || is_mixed(*at))
    })?;
    let name = format!("U+{:04X}", u32::from(character));
    let title = match looks_like(character) {
        Some(plain) => format!(
            "{} contains {name}, which only looks like `{plain}`.",
            quoted(text)
        ),
        None => format!("{} contains {name}, which cannot be seen.", quoted(text)),
    };
    let meant: String = text
        .chars()
        .filter(|c| !is_invisible(*c))
        .map(|c| looks_like(c).unwrap_or(c))
        .collect();
    let finding = LOOK_ALIKE
        .finding(title)
        .because(
            "A server compares bytes, so the subject matches nothing that is spelled with the usual characters. Such \
             characters come along when text is copied from a document or a chat.",
        )
        .pointing_at(text, at..at + character.len_utf8());
    Some(match meant.parse::<Pattern>() {
        Ok(_) => finding.paste("Type it again:", &[&usage.command(&meant)]),
        Err(_) => finding.remedy("Type it again."),
    })
}
