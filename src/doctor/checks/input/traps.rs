//! Subjects that a server takes, but that hardly do what was meant; and what a valid one matches.

use std::ops::Range;

use crate::doctor::checks::input::known::{self, Difference};
use crate::doctor::checks::input::quoting::{is_invisible, quoted, shell};
use crate::doctor::checks::input::subjects::Use;
use crate::doctor::code::Code;
use crate::results::doctor::{Certainty, Finding, Severity};
use crate::subject::{Pattern, Trap, TrapKind};

pub(super) const LITERAL_WILDCARD: Code = Code {
    name: "subject.literal-wildcard",
    severity: Severity::Warning,
    meaning: "`*` or `>` stands inside a token, where it is no wildcard.",
    cause: "A token is matched as a whole: `slot*` matches nothing but the token `slot*` itself. There is no matching by \
            the beginning of a token.",
    fix: "Make `*` a token of its own, or put the part to match into a token of its own.",
};
pub(super) const RESERVED: Code = Code {
    name: "subject.reserved",
    severity: Severity::Warning,
    meaning: "The subject begins with `$` but is none of the server's own.",
    cause: "Subjects that begin with `$` belong to the server (`$SYS`, `$JS`, `$KV`). Mostly a variable that no shell \
            has replaced, because it stood between single quotes or in a file.",
    fix: "Put the value there, or rename the subject.",
};
pub(super) const JETSTREAM_REQUEST: Code = Code {
    name: "subject.jetstream-request",
    severity: Severity::Warning,
    meaning: "The message that is to be published would be a request to JetStream.",
    cause: "`$JS.API` subjects are commands; some of them delete streams and messages.",
    fix: "Publish to a subject of your own, and look at streams with `--jetstream`.",
};
pub(super) const INBOX: Code = Code {
    name: "subject.inbox",
    severity: Severity::Info,
    meaning: "The subject is one that clients use for replies.",
    cause: "Each request waits for its reply on an `_INBOX` subject of its own.",
    fix: "Nothing to do, unless other messages than replies were expected.",
};
pub(super) const LOOK_ALIKE: Code = Code {
    name: "subject.look-alike",
    severity: Severity::Warning,
    meaning: "The subject contains a character that looks like another one, or like nothing.",
    cause: "A letter of another alphabet, a full-width `.` or `*`, or a character that cannot be seen. It comes along when \
            text is copied from a document or a chat. The subject matches nothing that is spelled with the usual one.",
    fix: "Type the subject again.",
};
pub(super) const NON_ASCII: Code = Code {
    name: "subject.non-ascii",
    severity: Severity::Info,
    meaning: "The subject contains characters outside ASCII.",
    cause: "It works where every client encodes them as UTF-8, and in the same way: an accented letter can be written in two.",
    fix: "Nothing to do, unless messages are missing.",
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
pub(super) const WRONG_CASE: Code = Code {
    name: "subject.wrong-case",
    severity: Severity::Warning,
    meaning: "The subject differs from those of rounds only in upper and lower case.",
    cause: "Subjects are case-sensitive: `Rounds.game.*` gets nothing of `rounds.game.crash`, without an error.",
    fix: "Write it as the publisher does.",
};
pub(super) const MISSPELT: Code = Code {
    name: "subject.misspelt",
    severity: Severity::Warning,
    meaning: "The subject is almost one of those of rounds.",
    cause: "Rounds are published to `rounds.game.SLUG` and `rounds.type.TYPE`. A letter is missing, too much or wrong, or a \
            type stands in the place of a game.",
    fix: "Write it as the publisher does.",
};
pub(super) const WRONG_DEPTH: Code = Code {
    name: "subject.wrong-depth",
    severity: Severity::Warning,
    meaning: "The subject has a token more or less than those of rounds.",
    cause: "Rounds are published to `rounds.game.SLUG` and `rounds.type.TYPE`. `*` is for exactly one token, so a pattern \
            with more or fewer tokens matches none of them.",
    fix: "Use as many tokens as the publisher does, or `>` for any number of further ones.",
};
pub(super) const MANY_TOKENS: Code = Code {
    name: "subject.many-tokens",
    severity: Severity::Info,
    meaning: "The subject has very many tokens.",
    cause: "A server matches a subject of more than 32 tokens more slowly, and may be told to refuse it (`max_sub_tokens`).",
    fix: "Put a part of it into the message.",
};
pub(super) const LONG: Code = Code {
    name: "subject.long",
    severity: Severity::Info,
    meaning: "The subject is very long.",
    cause: "It is sent with every message.",
    fix: "Put a part of it into the message.",
};

/// From this length on, examples of what a pattern matches are no help.
const MAX_DESCRIBED_BYTES: usize = 120;

/// First tokens that belong to the server and its parts.
const SERVER_PREFIXES: [&str; 9] = [
    "$SYS", "$JS", "$KV", "$O", "$OBJ", "$SRV", "$MQTT", "$NRG", "$G",
];

/// What is odd about a valid subject, the likeliest mistake first.
pub(super) fn findings(text: &str, usage: Use<'_>) -> Vec<Finding> {
    let Ok(pattern) = text.parse::<Pattern>() else {
        return Vec::new();
    };
    // Of several explanations of one oddity, the best one alone.
    let spelling = quotes(text, usage)
        .or_else(|| list(text, usage))
        .or_else(|| placeholder(text, usage))
        .or_else(|| mqtt_style(text, usage))
        .or_else(|| look_alike(text, usage));
    let explains = |kind| {
        matches!(
            kind,
            TrapKind::LiteralWildcard | TrapKind::Reserved | TrapKind::NonAscii
        )
    };
    let has_spelling = spelling.is_some();
    let traps = pattern.traps();
    let of_traps = traps
        .iter()
        .filter(|trap| !(has_spelling && explains(trap.kind)))
        .filter_map(|trap| of_trap(text, usage, trap));
    let mut found: Vec<Finding> = spelling.into_iter().chain(of_traps).collect();
    if found
        .iter()
        .all(|finding| finding.severity == Severity::Info)
    {
        found.extend(near_miss(text, usage));
    }
    found
}

fn of_trap(text: &str, usage: Use<'_>, trap: &Trap) -> Option<Finding> {
    let finding = match trap.kind {
        TrapKind::LiteralWildcard => literal_wildcard(text, usage, &trap.span),
        TrapKind::Reserved => reserved(text, usage, &trap.span)?,
        TrapKind::Private if text.starts_with("_INBOX") => INBOX
            .finding(format!("{} is a subject for replies.", quoted(text)))
            .because("Clients make up such subjects for the replies to their requests; nothing else arrives there."),
        TrapKind::Private => return None,
        TrapKind::NonAscii => NON_ASCII
            .finding(format!("{} contains characters outside ASCII.", quoted(text)))
            .because(trap.kind.advice() + "."),
        TrapKind::ManyTokens => MANY_TOKENS
            .finding(format!("{} has {} tokens.", quoted(text), text.split('.').count()))
            .because(trap.kind.advice() + ", and a server may be told to refuse it (`max_sub_tokens`)."),
        TrapKind::LongSubject => LONG
            .finding(format!("{} is {} bytes long.", quoted(text), text.len()))
            .because(trap.kind.advice() + "."),
    };
    Some(finding.pointing_at(text, trap.span.clone()))
}

/// The index of the token at a place of the text.
fn token_at(text: &str, at: usize) -> usize {
    text[..at].matches('.').count()
}

fn literal_wildcard(text: &str, usage: Use<'_>, span: &Range<usize>) -> Finding {
    let mut tokens: Vec<&str> = text.split('.').collect();
    let idx = token_at(text, span.start);
    let token = tokens[idx];
    let is_last = idx + 1 == tokens.len();
    let finding = LITERAL_WILDCARD
        .finding(format!(
            "{} in {} is no wildcard: it matches nothing but itself.",
            quoted(token),
            quoted(text)
        ))
        .because(
            "`*` and `>` are wildcards only as whole tokens. A server takes the subject without an error, and matches \
             the token letter by letter.",
        );
    if usage.is_publish() {
        return finding.remedy("Publish to a subject by its full name, without `*` and `>`.");
    }
    let bare = token.trim_end_matches(['*', '>']);
    let known: Vec<String> = known::subjects()
        .into_iter()
        .filter(|subject| {
            let theirs: Vec<&str> = subject.split('.').collect();
            let is_same = |(at, theirs): (usize, &&str)| {
                let typed = tokens[at];
                typed == "*"
                    || typed == *theirs
                    || (at == idx && !bare.is_empty() && theirs.starts_with(bare))
            };
            theirs.len() == tokens.len() && theirs.iter().enumerate().all(is_same)
        })
        .collect();
    let finding = match known.first() {
        Some(subject) => finding.paste("If this one is meant:", &[&usage.command(subject)]),
        None => finding,
    };
    // `game>` lacks a dot, `**` is what other systems call `>`.
    let wildcard = if is_last && (token.ends_with('>') || token == "**") {
        ">"
    } else {
        "*"
    };
    if is_last && token.ends_with('>') && !bare.is_empty() {
        tokens[idx] = bare;
        tokens.push(wildcard);
    } else {
        tokens[idx] = wildcard;
    }
    let step = if wildcard == ">" {
        "For everything from there on:"
    } else {
        "For any one token in that place:"
    };
    let meant = tokens.join(".");
    if meant.parse::<Pattern>().is_err() {
        return finding;
    }
    finding.paste(step, &[&usage.command(&meant)])
}

fn reserved(text: &str, usage: Use<'_>, span: &Range<usize>) -> Option<Finding> {
    let first = &text[span.clone()];
    if usage.is_publish() && text.starts_with("$JS.API") {
        return Some(
            JETSTREAM_REQUEST
                .finding(format!("A message to {} is a command to JetStream.", quoted(text)))
                .because(
                    "The server would carry it out, and some of these commands delete streams or messages.",
                )
                .paste("To look at streams without changing them:", &["natsbench doctor --jetstream"]),
        );
    }
    if SERVER_PREFIXES.contains(&first) {
        return None;
    }
    let finding = RESERVED
        .finding(format!("{} begins with `$`, but {} is no subject of the server.", quoted(text), quoted(first)))
        .because(
            "Subjects that begin with `$` belong to the server. Most often this is a variable that no shell has replaced, \
             because it stood between single quotes or in a file.",
        )
        .certainty(Certainty::Likely);
    let upper = first.to_uppercase();
    Some(if SERVER_PREFIXES.contains(&upper.as_str()) {
        let meant = format!("{upper}{}", &text[span.end..]);
        finding.paste(
            "Subjects of the server are in upper case:",
            &[&usage.command(&meant)],
        )
    } else {
        finding.remedy("Put the value of the variable there, or rename the subject.")
    })
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

fn near_miss(text: &str, usage: Use<'_>) -> Option<Finding> {
    let miss = known::near_miss(text, usage.is_publish())?;
    let (typed, meant) = (quoted(text), quoted(&miss.meant));
    let n_tokens = text.split('.').count();
    let (code, title) = match miss.difference {
        Difference::Case => (
            &WRONG_CASE,
            format!(
                "{typed} differs from {meant} in upper and lower case, and subjects are case-sensitive."
            ),
        ),
        Difference::Spelling => (
            &MISSPELT,
            format!("{typed} is almost {meant}, but not quite."),
        ),
        Difference::Depth => (
            &WRONG_DEPTH,
            format!(
                "{typed} has {}, and subjects of rounds have three: {meant} is probably meant.",
                counted(n_tokens)
            ),
        ),
    };
    let consequence = if usage.is_publish() {
        "It is valid, so a server takes the message, but nobody who subscribes to those gets it."
    } else {
        "It is valid, so a server takes the subscription, but none of those messages match it."
    };
    Some(
        code.finding(title)
            .because(format!(
                "Rounds are published to `rounds.game.SLUG` and `rounds.type.TYPE`. {consequence}"
            ))
            .certainty(Certainty::Likely)
            .paste("What was probably meant:", &[&usage.command(&miss.meant)])
            .remedy("If your publisher does use this subject, there is nothing to do.")
            .pointing_at(text, miss.span),
    )
}

fn counted(n_tokens: usize) -> String {
    match n_tokens {
        1 => "one token".to_owned(),
        2 => "two tokens".to_owned(),
        3 => "three tokens".to_owned(),
        n_tokens => format!("{n_tokens} tokens"),
    }
}

/// What a valid subject or pattern matches, in one line.
pub(super) fn description(text: &str, usage: Use<'_>) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SUBSCRIBE: Use<'_> = Use::Subscribe { queue: None };
    const PUBLISH: Use<'_> = Use::Publish { payload_bytes: 100 };

    #[track_caller]
    fn warns(text: &str, usage: Use<'_>, code: &Code, line: &str) {
        let found = findings(text, usage);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert_eq!(
            (found[0].code.as_str(), found[0].severity),
            (code.name, Severity::Warning),
            "{text}"
        );
        assert!(
            found[0].remedy.join("\n").contains(line),
            "{text}: {:?}",
            found[0].remedy
        );
    }

    #[test]
    fn what_is_legal_but_hardly_meant_is_warned_of() {
        warns(
            "rounds.type.slot*",
            SUBSCRIBE,
            &LITERAL_WILDCARD,
            "natsbench doctor rounds.type.slots",
        );
        warns(
            "rounds.type.slot*",
            SUBSCRIBE,
            &LITERAL_WILDCARD,
            "natsbench doctor 'rounds.type.*'",
        );
        warns(
            "orders.eu*",
            SUBSCRIBE,
            &LITERAL_WILDCARD,
            "natsbench doctor 'orders.*'",
        );
        warns(
            "rounds.game>",
            SUBSCRIBE,
            &LITERAL_WILDCARD,
            "natsbench doctor 'rounds.game.>'",
        );
        warns(
            "rounds.**",
            SUBSCRIBE,
            &LITERAL_WILDCARD,
            "natsbench doctor 'rounds.>'",
        );
        warns("orders.eu*", PUBLISH, &LITERAL_WILDCARD, "by its full name");
        warns("$GAME.crash", SUBSCRIBE, &RESERVED, "value of the variable");
        warns(
            "$js.api.info",
            SUBSCRIBE,
            &RESERVED,
            "natsbench doctor '$JS.api.info'",
        );
        warns(
            "$JS.API.STREAM.DELETE.x",
            PUBLISH,
            &JETSTREAM_REQUEST,
            "--jetstream",
        );
        warns(
            "'rounds.*'",
            SUBSCRIBE,
            &QUOTES,
            "natsbench doctor 'rounds.*'",
        );
        warns(
            "rounds.game.*,rounds.type.*",
            SUBSCRIBE,
            &LIST,
            "natsbench doctor 'rounds.game.*' 'rounds.type.*'",
        );
        warns(
            "rounds/game/+",
            SUBSCRIBE,
            &MQTT_STYLE,
            "natsbench doctor 'rounds.game.*'",
        );
        warns(
            "rounds/#",
            SUBSCRIBE,
            &MQTT_STYLE,
            "natsbench doctor 'rounds.>'",
        );
        warns(
            "rounds.game.<slug>",
            SUBSCRIBE,
            &PLACEHOLDER,
            "natsbench doctor 'rounds.game.*'",
        );
        warns(
            "orders.${REGION}.new",
            SUBSCRIBE,
            &PLACEHOLDER,
            "natsbench doctor 'orders.*.new'",
        );
        warns(
            "r\u{43e}unds.game.*",
            SUBSCRIBE,
            &LOOK_ALIKE,
            "natsbench doctor 'rounds.game.*'",
        );
        warns(
            "rounds.game.\u{ff0a}",
            SUBSCRIBE,
            &LOOK_ALIKE,
            "natsbench doctor 'rounds.game.*'",
        );
        warns(
            "rounds.game\u{200b}.crash",
            SUBSCRIBE,
            &LOOK_ALIKE,
            "natsbench doctor rounds.game.crash",
        );
        warns(
            "Rounds.game.*",
            SUBSCRIBE,
            &WRONG_CASE,
            "natsbench doctor 'rounds.game.*'",
        );
        warns(
            "round.game.*",
            SUBSCRIBE,
            &MISSPELT,
            "natsbench doctor 'rounds.game.*'",
        );
        warns(
            "rounds.crash",
            SUBSCRIBE,
            &WRONG_DEPTH,
            "natsbench doctor rounds.game.crash",
        );
        warns(
            "rounds.crash",
            PUBLISH,
            &WRONG_DEPTH,
            "natsbench doctor --publish rounds.game.crash",
        );
    }

    #[test]
    fn what_is_unusual_is_at_most_mentioned() {
        for text in [
            "rounds.>",
            "$SYS.>",
            "$JS.API.>",
            "$KV.bucket.>",
            "_INBOX.>",
            "_private.x",
            "\u{43f}\u{440}\u{438}\u{432}\u{435}\u{442}.>",
            "bestellungen.m\u{fc}nchen",
            "orders:created",
            "a/b.c",
            "orders.created,updated",
            "a.b-c_d=1",
            ">",
            "*",
            "a#b.c",
        ] {
            let found = findings(text, SUBSCRIBE);
            assert!(
                found
                    .iter()
                    .all(|finding| finding.severity == Severity::Info),
                "{text}: {found:?}"
            );
        }
        let codes: Vec<String> = findings("_INBOX.x", SUBSCRIBE)
            .into_iter()
            .map(|finding| finding.code)
            .collect();
        assert_eq!(codes, [INBOX.name]);
        assert_eq!(findings("$KV.b.k", PUBLISH), []);
    }

    #[test]
    fn what_a_pattern_matches_is_said_in_one_line() {
        for (text, description) in [
            (
                "rounds.game.*",
                "valid: three tokens, the last any one token; matches rounds.game.crash, not rounds.game.crash.x",
            ),
            (
                "rounds.>",
                "valid: one token and at least one more; matches rounds.game.crash and rounds.game.crash.x, not rounds",
            ),
            (
                "orders.*.new",
                "valid: three tokens, of which number 2 is any one token; matches orders.x.new, not orders.x.new.x",
            ),
            (
                "a.*.*",
                "valid: three tokens, of which numbers 2, 3 are any one token each; matches a.x.x, not a.x.x.x",
            ),
            (
                "*.*",
                "valid: two tokens, of which each may be any; matches x.x, not x.x.x",
            ),
            (
                "a.b",
                "valid: two tokens, no wildcard; matches nothing but itself",
            ),
            (">", "valid: matches every subject"),
        ] {
            assert_eq!(super::description(text, SUBSCRIBE), description);
        }
        assert_eq!(
            super::description("a.b", PUBLISH),
            "valid to publish to: two tokens, no wildcard"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_judged_and_pointed_at_within(text in "\\PC{0,30}|[rounds.*>$_'/#{}<\u{43e}\u{200b},]{0,20}|(rounds|Game|type|slots|crash|\\.|\\*|>|x){0,9}") {
            for usage in [SUBSCRIBE, PUBLISH] {
                for finding in findings(&text, usage) {
                    let pointer = finding.pointer.expect("every trap is somewhere");
                    prop_assert!(pointer.text.get(pointer.start..pointer.end).is_some());
                }
                if text.parse::<Pattern>().is_ok() {
                    super::description(&text, usage);
                }
            }
        }
    }
}
