//! Subjects, patterns and queue groups that cannot be used: where the fault is, what a server would do, and what was
//! probably meant.

pub(super) mod codes;

use self::codes::{
    BLANK, CONTROL_CHARACTER, EMPTY, EMPTY_TOKEN, FULL_WILDCARD_NOT_LAST, QUEUE, TOO_LONG,
    WILDCARD_IN_PUBLISH,
};
use crate::doctor::checks::input::known;
use crate::doctor::checks::input::quoting::{quoted, shell};
use crate::results::doctor::Finding;
use crate::subject::{FaultReason, MAX_SUBJECT_BYTES, Pattern, Subject, SubjectFault};

/// What a subject is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Use<'a> {
    Subscribe { queue: Option<&'a str> },
    Publish { payload_bytes: u64 },
}

impl Use<'_> {
    pub(super) fn is_publish(self) -> bool {
        matches!(self, Self::Publish { .. })
    }

    /// The operation as it would be sent, without the payload.
    fn operation(self, subject: &str) -> String {
        match self {
            Self::Subscribe { queue: Some(queue) } => format!("SUB {subject} {queue} 1"),
            Self::Subscribe { queue: None } => format!("SUB {subject} 1"),
            Self::Publish { payload_bytes } => format!("PUB {subject} {payload_bytes}"),
        }
    }

    /// The command that tries a subject for this use.
    pub(super) fn command(self, subject: &str) -> String {
        match self {
            Self::Subscribe { queue: Some(queue) } => {
                format!(
                    "natsbench doctor {} --queue {}",
                    shell(subject),
                    shell(queue)
                )
            }
            Self::Subscribe { queue: None } => format!("natsbench doctor {}", shell(subject)),
            Self::Publish { .. } => format!("natsbench doctor --publish {}", shell(subject)),
        }
    }
}

/// What is wrong with a subject, if anything.
pub(super) fn fault(text: &str, usage: Use<'_>) -> Option<Finding> {
    let parsed = if usage.is_publish() {
        text.parse::<Subject>().err()
    } else {
        text.parse::<Pattern>().err()
    };
    let found = match parsed {
        Some(fault) if fault.reason != FaultReason::TooLong => finding(text, usage, &fault),
        _ => too_long(text, usage)?,
    };
    Some(found)
}

fn finding(text: &str, usage: Use<'_>, fault: &SubjectFault) -> Finding {
    let finding = match fault.reason {
        FaultReason::Empty => EMPTY
            .finding("A subject is empty.")
            .because("A server that is sent an empty subject closes the connection.")
            .remedy(
                "Give a subject; where it comes from a variable, see that the variable is set.",
            ),
        FaultReason::EmptyToken => empty_token(text, usage),
        FaultReason::BlankInPattern | FaultReason::BlankInSubject => blank(text, usage, fault),
        FaultReason::ControlCharacter => hidden(text, usage, fault),
        FaultReason::FullWildcardNotLast => full_wildcard(text, usage, fault),
        FaultReason::WildcardInPublish => wildcard_in_publish(text, usage),
        FaultReason::TooLong => TOO_LONG.finding(format!("{} is too long.", quoted(text))),
    };
    finding.pointing_at(text, fault.span.clone())
}

/// The tokens that are left when everything between them is left out.
fn tokens_of(text: &str) -> Vec<&str> {
    let is_between = |c: char| c == '.' || c.is_whitespace() || c.is_control();
    text.split(is_between)
        .filter(|token| !token.is_empty())
        .collect()
}

/// Adds the command with the subject that was probably meant, unless that cannot be used either.
fn suggesting(finding: Finding, usage: Use<'_>, step: &str, subject: &str) -> Finding {
    /// Longest line that is worth pasting.
    const MAX_BYTES: usize = 400;
    let is_valid = if usage.is_publish() {
        subject.parse::<Subject>().is_ok()
    } else {
        subject.parse::<Pattern>().is_ok()
    };
    if !is_valid || subject.len() > MAX_BYTES {
        return finding;
    }
    finding.paste(step, &[&usage.command(subject)])
}

fn empty_token(text: &str, usage: Use<'_>) -> Finding {
    let is_trailing = text.ends_with('.');
    let place = match (is_trailing, text.starts_with('.')) {
        _ if text.contains("..") => "two dots side by side, with nothing between them",
        (true, _) => "a dot at its end, with nothing behind it",
        (false, true) => "a dot at its beginning, with nothing before it",
        (false, false) => "an empty token",
    };
    let (what_happens, consequence) = if usage.is_publish() {
        (
            "a server drops every message to it",
            "A server gives no error for such a message, and delivers it to nobody, not even to a subscriber of `>`.",
        )
    } else {
        (
            "no server accepts it",
            "A server refuses the subscription with `Invalid Subject`, which names no subject, and keeps the connection \
             open; many clients then wait in silence.",
        )
    };
    let gap = if is_trailing {
        ""
    } else {
        " A variable of the shell that is not set leaves such a gap."
    };
    let mended = tokens_of(text).join(".");
    let finding = EMPTY_TOKEN
        .finding(format!(
            "The subject {} has {place}: {what_happens}.",
            quoted(text)
        ))
        .because(format!(
            "Every token needs at least one character. {consequence}{gap}"
        ))
        .evidence("would be sent", quoted(&usage.operation(text)));
    let leave_out = ("Leave out the dot:", mended.clone());
    let fill = ("Or have any one token in its place:", format!("{mended}.*"));
    let steps = match usage {
        _ if mended.is_empty() => vec![],
        Use::Subscribe { .. } if is_trailing && is_known(&fill.1) => {
            // Nothing is known under the shorter one.
            vec![
                ("Have any one token behind the dot:", fill.1),
                ("Or leave out the dot:", mended),
            ]
        }
        Use::Subscribe { .. } if is_trailing => vec![leave_out, fill],
        _ => vec![leave_out],
    };
    steps.into_iter().fold(finding, |finding, (step, subject)| {
        suggesting(finding, usage, step, &subject)
    })
}

/// Whether a pattern matches a subject of rounds.
fn is_known(pattern: &str) -> bool {
    let pattern = pattern.parse::<Pattern>();
    let mut subjects = known::subjects().into_iter();
    subjects.any(|subject| {
        pattern
            .as_ref()
            .is_ok_and(|pattern| pattern.matches(&subject))
    })
}

/// Whether a server takes a character for the end of an argument.
fn separates(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

fn blank(text: &str, usage: Use<'_>, fault: &SubjectFault) -> Finding {
    let character = text[fault.span.clone()].chars().next().unwrap_or(' ');
    if !separates(character) {
        return hidden(text, usage, fault);
    }
    let words: Vec<&str> = text
        .split(separates)
        .filter(|word| !word.is_empty())
        .collect();
    let shown = quoted(text);
    let taken = match (words.as_slice(), usage) {
        ([], _) => format!(
            "The subject {shown} is nothing but blanks: the server would close the connection."
        ),
        ([word], _) => format!(
            "The subject {shown} has a blank at an end: the server would leave it out and take {}.",
            quoted(word)
        ),
        ([subject, queue], Use::Subscribe { queue: None }) => format!(
            "The subject {shown} contains a blank: the server would subscribe to {} in the queue group {}.",
            quoted(subject),
            quoted(queue)
        ),
        ([subject, reply], Use::Publish { .. }) => format!(
            "The subject {shown} contains a blank: the server would publish to {} with the reply subject {}.",
            quoted(subject),
            quoted(reply)
        ),
        _ => format!(
            "The subject {shown} contains blanks: the server would find too many arguments and close the connection."
        ),
    };
    let because = match (words.len(), usage) {
        (0 | 1, _) => {
            "Blanks separate the arguments of an operation and belong to no subject. Most clients refuse them."
        }
        (2, Use::Subscribe { queue: None }) => {
            "Blanks separate the arguments of SUB, and the second one is the queue group. There is no error: the \
             subscription just gets other messages than were meant."
        }
        (2, Use::Publish { .. }) => {
            "Blanks separate the arguments of PUB, and the second one is the reply subject. There is no error: the \
             message just goes to another subject than was meant."
        }
        _ => "Blanks separate the arguments of an operation and belong to no subject.",
    };
    let finding = BLANK
        .finding(taken)
        .because(because)
        .evidence("would be sent", quoted(&usage.operation(text)));
    blank_remedy(finding, &words, usage)
}

fn blank_remedy(finding: Finding, words: &[&str], usage: Use<'_>) -> Finding {
    let step = match words {
        [] => return finding.remedy("Give a subject, such as `rounds.game.*`."),
        [word] => return suggesting(finding, usage, "Leave out the blank:", word),
        words if words.iter().all(|word| word.contains('.')) && !usage.is_publish() => {
            let line: Vec<String> = words.iter().map(|word| shell(word)).collect();
            let finding = finding.paste(
                "If these are several subjects, give each as an argument of its own:",
                &[&format!("natsbench doctor {}", line.join(" "))],
            );
            return suggesting(
                finding,
                usage,
                "If it is one subject, separate its tokens by dots:",
                &words.join("."),
            );
        }
        _ => "Separate tokens by dots:",
    };
    let finding = suggesting(finding, usage, step, &tokens_of(&words.join(".")).join("."));
    match (words, usage) {
        ([subject, queue], Use::Subscribe { queue: None }) => finding.paste(
            "If a queue group is meant, say so:",
            &[&Use::Subscribe { queue: Some(queue) }.command(subject)],
        ),
        _ => finding,
    }
}

/// A control character, or a blank of another script.
fn hidden(text: &str, usage: Use<'_>, fault: &SubjectFault) -> Finding {
    let character = text[fault.span.clone()].chars().next().unwrap_or('\0');
    let name = format!("U+{:04X}", u32::from(character));
    let (title, because) = match character {
        '\n' | '\r' => (
            format!(
                "The subject {} contains a line break ({name}).",
                quoted(text)
            ),
            "A line break ends the operation: the server would take what follows for the next one, and close the \
             connection.",
        ),
        c if c.is_whitespace() && !c.is_control() => (
            format!(
                "The subject {} contains a blank of another kind ({name}).",
                quoted(text)
            ),
            "It looks like a blank, but for a server it is a character of the subject, which then matches nothing that \
             is spelled without it. It often comes along when text is copied.",
        ),
        _ => (
            format!(
                "The subject {} contains the control character {name}.",
                quoted(text)
            ),
            "A server takes it for a part of the subject, which then matches nothing that is spelled without it; \
             clients refuse it.",
        ),
    };
    let mended = tokens_of(text).join(".");
    let finding = CONTROL_CHARACTER.finding(title).because(because);
    suggesting(finding, usage, "Type it again:", &mended)
}

fn full_wildcard(text: &str, usage: Use<'_>, fault: &SubjectFault) -> Finding {
    let finding = FULL_WILDCARD_NOT_LAST
        .finding(format!("In the subject {}, `>` is not the last token.", quoted(text)))
        .because(
            "`>` stands for all further tokens, so nothing can follow it. A server refuses the subscription with \
             `Invalid Subject`.",
        );
    let n_before = text[..fault.span.start].matches('.').count();
    let mut tokens: Vec<&str> = text.split('.').collect();
    let last = tokens.len() - 1;
    for token in &mut tokens[..last] {
        if *token == ">" {
            *token = "*";
        }
    }
    let finding = suggesting(
        finding,
        usage,
        "For any one token in its place:",
        &tokens.join("."),
    );
    let head: Vec<&str> = text.split('.').take(n_before + 1).collect();
    suggesting(
        finding,
        usage,
        "For everything from there on:",
        &head.join("."),
    )
}

fn wildcard_in_publish(text: &str, usage: Use<'_>) -> Finding {
    let example = known::subjects().into_iter().find(|subject| {
        text.parse::<Pattern>()
            .is_ok_and(|pattern| pattern.matches(subject))
    });
    let finding = WILDCARD_IN_PUBLISH
        .finding(format!("A message cannot be published to {}, which has a wildcard.", quoted(text)))
        .because(
            "A wildcard selects what to receive; a message goes to one subject. A server would deliver it under this \
             literal name to wider subscriptions, without an error.",
        )
        .evidence("would be sent", quoted(&usage.operation(text)));
    match example {
        Some(subject) => suggesting(
            finding,
            usage,
            "Publish to a subject by its full name, such as:",
            &subject,
        ),
        None => finding.remedy("Publish to each subject by its full name, without `*` and `>`."),
    }
}

/// Whether the arguments of the operation are more than a server reads.
fn too_long(text: &str, usage: Use<'_>) -> Option<Finding> {
    let operation = usage.operation(text);
    // The operation itself and the blank behind it do not count.
    let n_bytes = operation.len() - "SUB ".len();
    let n_more = n_bytes
        .checked_sub(MAX_SUBJECT_BYTES)
        .filter(|n_more| *n_more > 0)?;
    let fits = text.floor_char_boundary(text.len().saturating_sub(n_more));
    Some(
        TOO_LONG
            .finding(format!(
                "The subject {} is {} bytes long, {n_more} more than a server takes.",
                quoted(text),
                text.len()
            ))
            .because(format!(
                "With everything else on its line it makes {n_bytes} bytes, and a server reads {MAX_SUBJECT_BYTES} \
                 unless its `max_control_line` says otherwise. It closes the connection on a longer one."
            ))
            .remedy("Use a shorter subject, and put the rest into the message.")
            .pointing_at(text, fits..text.len()),
    )
}

/// What is wrong with the name of a queue group, if anything.
pub(super) fn queue_fault(queue: &str) -> Option<Finding> {
    let bad = queue
        .char_indices()
        .find(|(_, c)| c.is_whitespace() || c.is_control());
    let (title, span) = match bad {
        None if !queue.is_empty() => return None,
        None => ("The name of the queue group is empty.".to_owned(), 0..0),
        Some((at, character)) => {
            let what = if separates(character) {
                "a blank".to_owned()
            } else {
                format!("the character U+{:04X}", u32::from(character))
            };
            (
                format!("The queue group {} contains {what}.", quoted(queue)),
                at..at + character.len_utf8(),
            )
        }
    };
    let mended: String = queue
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("-");
    let finding = QUEUE
        .finding(title)
        .because("Blanks separate the arguments of SUB: a server would find too many, or none, and close the connection.")
        .pointing_at(queue, span);
    Some(if mended.is_empty() {
        finding.remedy("Give a name, or leave out `--queue`.")
    } else {
        finding.paste(
            "Use a name without blanks:",
            &[&format!("--queue {}", shell(&mended))],
        )
    })
}

#[cfg(test)]
mod tests;
