//! Subjects that a server takes, but that hardly do what was meant.

use std::ops::Range;

use crate::doctor::checks::input::description::counted;
use crate::doctor::checks::input::known::{self, Difference};
use crate::doctor::checks::input::quoting::quoted;
use crate::doctor::checks::input::spelling::{self, token_at};
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
pub(super) const NON_ASCII: Code = Code {
    name: "subject.non-ascii",
    severity: Severity::Info,
    meaning: "The subject contains characters outside ASCII.",
    cause: "It works where every client encodes them as UTF-8, and in the same way: an accented letter can be written in two.",
    fix: "Nothing to do, unless messages are missing.",
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
    let spelling = spelling::finding(text, usage);
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

fn literal_wildcard(text: &str, usage: Use<'_>, span: &Range<usize>) -> Finding {
    let mut tokens: Vec<&str> = text.split('.').collect();
    let idx = token_at(text, span.start);
    let token = tokens[idx];
    let is_last = idx + 1 == tokens.len();
    let finding = LITERAL_WILDCARD
        .finding(format!(
            "{}{} is no wildcard: it matches nothing but itself.",
            quoted(token),
            if token == text {
                String::new()
            } else {
                format!(" in {}", quoted(text))
            }
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

#[cfg(test)]
mod tests;
