//! Subjects, patterns and queue groups that cannot be used: where the fault is, what a server would do, and what was
//! probably meant.

use crate::doctor::checks::input::known;
use crate::doctor::checks::input::quoting::{quoted, shell};
use crate::doctor::code::Code;
use crate::results::doctor::{Finding, Severity};
use crate::subject::{FaultReason, MAX_SUBJECT_BYTES, Pattern, Subject, SubjectFault};

pub(super) const EMPTY: Code = Code {
    name: "subject.empty",
    severity: Severity::Error,
    meaning: "A subject is an empty text.",
    cause: "Mostly a variable of the shell that is not set. A server closes the connection on it.",
    fix: "Give a subject, such as `rounds.game.*`, or `>` for everything.",
};
pub(super) const EMPTY_TOKEN: Code = Code {
    name: "subject.empty-token",
    severity: Severity::Error,
    meaning: "A token of the subject is empty.",
    cause: "Two dots side by side, or a dot at an end. A server refuses to subscribe to it, and drops every message to \
            it without a word.",
    fix: "Leave out the dot, or put a token there; `*` stands for any one token.",
};
pub(super) const BLANK: Code = Code {
    name: "subject.blank",
    severity: Severity::Error,
    meaning: "The subject contains a blank.",
    cause: "Blanks separate the arguments of an operation: in a subscription the rest is taken for a queue group, in a \
            message for a reply subject. The server gives no error.",
    fix: "Separate the tokens by dots. A queue group is given with `--queue`, and several subjects as several arguments.",
};
pub(super) const CONTROL_CHARACTER: Code = Code {
    name: "subject.control-character",
    severity: Severity::Error,
    meaning: "The subject contains a character that cannot be seen.",
    cause: "A line break, another control character, or a blank that is none for a server. A line break ends the \
            operation; others become a part of the subject, which then matches nothing that looks the same.",
    fix: "Type the subject again instead of copying it.",
};
pub(super) const FULL_WILDCARD_NOT_LAST: Code = Code {
    name: "subject.full-wildcard-not-last",
    severity: Severity::Error,
    meaning: "`>` stands before the end of the subject.",
    cause: "`>` is for all further tokens and can only come last. A server refuses the subscription.",
    fix: "Write `*` for one token in the middle, and `>` only at the end.",
};
pub(super) const WILDCARD_IN_PUBLISH: Code = Code {
    name: "subject.wildcard-in-publish",
    severity: Severity::Error,
    meaning: "A message is to be published to a subject with a wildcard.",
    cause: "A wildcard selects subjects to receive; a message goes to one subject. Unless asked to check, a server \
            delivers it under that literal name to wider subscriptions, and to none of the subjects that were meant.",
    fix: "Publish to each subject by its full name.",
};
pub(super) const TOO_LONG: Code = Code {
    name: "subject.too-long",
    severity: Severity::Error,
    meaning: "The subject does not fit into the control line.",
    cause: "A server reads 4096 bytes of arguments (`max_control_line`): subject, queue group or reply subject, and \
            a number. It closes the connection with `Maximum Control Line Exceeded` when there are more.",
    fix: "Use a shorter subject, and put the rest into the message.",
};
pub(super) const QUEUE: Code = Code {
    name: "queue.invalid",
    severity: Severity::Error,
    meaning: "The name of the queue group cannot be sent.",
    cause: "It is empty, or contains a blank or a control character. A server would take it for more arguments and \
            close the connection.",
    fix: "Use a name without blanks.",
};

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
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SUBSCRIBE: Use<'_> = Use::Subscribe { queue: None };
    const PUBLISH: Use<'_> = Use::Publish { payload_bytes: 100 };

    #[track_caller]
    fn found(text: &str, usage: Use<'_>, code: &Code) -> Finding {
        let finding = fault(text, usage).unwrap_or_else(|| panic!("{text:?} is fine"));
        assert_eq!(finding.code, code.name, "{text:?}");
        finding
    }

    /// The lines to paste.
    fn lines(finding: &Finding) -> Vec<&str> {
        let lines = finding.remedy.iter().flat_map(|remedy| remedy.lines());
        lines.filter_map(|line| line.strip_prefix("    ")).collect()
    }

    #[test]
    fn a_blank_is_what_the_server_takes_it_for() {
        let finding = found("rounds game", SUBSCRIBE, &BLANK);
        assert!(
            finding
                .title
                .ends_with("would subscribe to `rounds` in the queue group `game`."),
            "{}",
            finding.title
        );
        assert_eq!(finding.evidence[0].value, "`SUB rounds game 1`");
        assert_eq!(
            lines(&finding),
            [
                "natsbench doctor rounds.game",
                "natsbench doctor rounds --queue game"
            ]
        );
        let pointer = finding.pointer.unwrap();
        assert_eq!((pointer.start, pointer.end), (6, 7));

        let finding = found("rounds game", PUBLISH, &BLANK);
        assert!(
            finding
                .title
                .ends_with("would publish to `rounds` with the reply subject `game`."),
            "{}",
            finding.title
        );
        assert_eq!(lines(&finding), ["natsbench doctor --publish rounds.game"]);

        for (text, part) in [
            ("a b c", "too many arguments"),
            (" a", "leave it out and take `a`"),
            ("a ", "leave it out and take `a`"),
            (" ", "nothing but blanks"),
        ] {
            let finding = found(text, SUBSCRIBE, &BLANK);
            assert!(finding.title.contains(part), "{}", finding.title);
        }
        let in_group = Use::Subscribe { queue: Some("q") };
        assert!(
            found("a b", in_group, &BLANK)
                .title
                .contains("too many arguments")
        );
    }

    #[test]
    fn two_subjects_in_one_argument_are_taken_apart() {
        let finding = found("rounds.game.* rounds.type.*", SUBSCRIBE, &BLANK);
        assert_eq!(
            lines(&finding)[0],
            "natsbench doctor 'rounds.game.*' 'rounds.type.*'"
        );
    }

    #[test]
    fn an_empty_token_is_left_out_or_filled() {
        for (text, place, mended) in [
            (
                "rounds.game.",
                "a dot at its end",
                &[
                    "natsbench doctor 'rounds.game.*'",
                    "natsbench doctor rounds.game",
                ][..],
            ),
            (
                ".rounds",
                "a dot at its beginning",
                &["natsbench doctor rounds"],
            ),
            (
                "rounds..crash",
                "two dots side by side",
                &["natsbench doctor rounds.crash"],
            ),
            ("...", "two dots side by side", &[]),
            (".", "a dot at its end", &[]),
        ] {
            let finding = found(text, SUBSCRIBE, &EMPTY_TOKEN);
            assert!(finding.title.contains(place), "{}", finding.title);
            assert_eq!(lines(&finding), mended, "{text}");
        }
        let finding = found("rounds.game.", PUBLISH, &EMPTY_TOKEN);
        assert!(
            finding.explanation.contains("delivers it to nobody"),
            "{}",
            finding.explanation
        );
        assert_eq!(lines(&finding), ["natsbench doctor --publish rounds.game"]);
    }

    #[test]
    fn wildcards_in_wrong_places_are_put_right() {
        let finding = found("rounds.>.x", SUBSCRIBE, &FULL_WILDCARD_NOT_LAST);
        assert_eq!(
            lines(&finding),
            [
                "natsbench doctor 'rounds.*.x'",
                "natsbench doctor 'rounds.>'"
            ]
        );
        let finding = found("rounds.game.*", PUBLISH, &WILDCARD_IN_PUBLISH);
        assert_eq!(
            lines(&finding),
            ["natsbench doctor --publish rounds.game.crash"]
        );
        found(">", PUBLISH, &WILDCARD_IN_PUBLISH);
    }

    #[test]
    fn what_cannot_be_seen_is_named() {
        assert!(
            found("a\nb", SUBSCRIBE, &CONTROL_CHARACTER)
                .title
                .contains("line break (U+000A)")
        );
        assert!(
            found("a\u{a0}b", SUBSCRIBE, &CONTROL_CHARACTER)
                .title
                .contains("blank of another kind (U+00A0)")
        );
        assert!(
            found("a\u{0}b", SUBSCRIBE, &CONTROL_CHARACTER)
                .title
                .contains("U+0000")
        );
    }

    #[test]
    fn everything_on_the_control_line_counts() {
        let fits = "a".repeat(4096 - 2);
        assert_eq!(fault(&fits, SUBSCRIBE), None);
        let in_group = Use::Subscribe { queue: Some("q") };
        assert!(
            found(&fits, in_group, &TOO_LONG)
                .title
                .contains("2 more than")
        );
        found(&"\u{e4}".repeat(2100), SUBSCRIBE, &TOO_LONG);
        found(&"a".repeat(4096), PUBLISH, &TOO_LONG);
        found("", SUBSCRIBE, &EMPTY);
    }

    #[test]
    fn a_queue_group_has_no_blanks() {
        for (queue, part) in [
            ("", "is empty"),
            ("my group", "contains a blank"),
            ("a\n", "U+000A"),
        ] {
            assert!(
                queue_fault(queue).unwrap().title.contains(part),
                "{queue:?}"
            );
        }
        assert_eq!(queue_fault("workers.eu"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_judged_and_pointed_at_within(text in "\\PC{0,30}|[a.*> \t\n\u{a0}\u{e9}]{0,14}|(a|\u{e4}|\\.){4000,4200}") {
            for usage in [SUBSCRIBE, PUBLISH, Use::Subscribe { queue: Some(&text) }] {
                let is_valid = match usage {
                    Use::Publish { .. } => text.parse::<Subject>().is_ok(),
                    Use::Subscribe { .. } => text.parse::<Pattern>().is_ok(),
                };
                let found = fault(&text, usage);
                prop_assert!(is_valid || found.is_some());
                for finding in found.into_iter().chain(queue_fault(&text)) {
                    let pointer = finding.pointer.expect("every fault is somewhere");
                    prop_assert!(pointer.text.get(pointer.start..pointer.end).is_some());
                }
            }
        }
    }
}
