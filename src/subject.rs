//! Subjects and subscription patterns: valid or not, where exactly not, what they match, and the traps.
//!
//! A server takes far more than makes sense: it does not look at a publish subject at all unless asked to, takes a
//! blank for the start of a reply subject or queue group, and `slot*` for a literal. So the rules are checked here
//! (nats-server `IsValidSubject`, ADR-6), and what is legal but surely not meant is named as a [`Trap`].
//!
//! Positions are bytes of the text as typed.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// Longest line of arguments that a server takes by default (`max_control_line`).
pub const MAX_SUBJECT_BYTES: usize = 4096;
/// From so many tokens on, a server matches a subject more slowly.
const MANY_TOKENS: usize = 32;
/// Recommended length of a subject.
const LONG_SUBJECT_BYTES: usize = 256;

/// Why a subject is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultReason {
    /// Nothing at all.
    Empty,
    /// Two dots in a row, or a dot at an end.
    EmptyToken,
    /// A blank, in a publish subject: the server would take the rest for a reply subject.
    BlankInSubject,
    /// A blank, in a subscription: the server would take the rest for a queue group.
    BlankInPattern,
    /// A control character.
    ControlCharacter,
    /// `>` before the end.
    FullWildcardNotLast,
    /// A wildcard in a publish subject: the server would deliver it literally.
    WildcardInPublish,
    /// Longer than a server reads.
    TooLong,
}

impl fmt::Display for FaultReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("it is empty"),
            Self::EmptyToken => f.write_str("a token is empty: dots separate tokens and cannot stand side by side or at an end"),
            Self::BlankInSubject => {
                f.write_str("it contains a blank: the server would take the rest for a reply subject")
            }
            Self::BlankInPattern => {
                f.write_str("it contains a blank: the server would take the rest for a queue group")
            }
            Self::ControlCharacter => f.write_str("it contains a control character"),
            Self::FullWildcardNotLast => f.write_str("`>` stands for all further tokens and can only come last"),
            Self::WildcardInPublish => {
                f.write_str("a message cannot be published to a wildcard: the server would deliver it literally")
            }
            Self::TooLong => write!(f, "it is longer than {MAX_SUBJECT_BYTES} bytes"),
        }
    }
}

/// A fault, and where it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}`: {reason}", shown(.input))]
pub struct SubjectFault {
    /// What was typed.
    pub input: String,
    /// Where the fault is, in bytes of the input.
    pub span: Range<usize>,
    /// What it is.
    pub reason: FaultReason,
}

/// The beginning of an input, fit for an error message.
fn shown(input: &str) -> String {
    const MAX_CHARS: usize = 60;
    let mut text: String = input
        .chars()
        .take(MAX_CHARS)
        .map(|c| {
            if c.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect();
    if input.chars().count() > MAX_CHARS {
        text.push_str("...");
    }
    text
}

/// Something that a server accepts and that is surely not meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trap {
    /// Where, in bytes of the input.
    pub span: Range<usize>,
    /// What.
    pub kind: TrapKind,
}

/// The kinds of traps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrapKind {
    /// `*` or `>` inside a token: no wildcard, but a literal.
    LiteralWildcard,
    /// `$SYS`, `$JS` and other names of the server's own.
    Reserved,
    /// `_INBOX` and other names that clients keep for themselves.
    Private,
    /// Characters outside ASCII.
    NonAscii,
    /// Very many tokens.
    ManyTokens,
    /// Very long.
    LongSubject,
}

impl TrapKind {
    /// What happens, and what to do instead.
    pub fn advice(self) -> String {
        match self {
            Self::LiteralWildcard => {
                "`*` and `>` are wildcards only as whole tokens; inside a token they match \
                                      nothing but themselves"
                    .to_owned()
            }
            Self::Reserved => "subjects that begin with `$` belong to the server".to_owned(),
            Self::Private => "subjects that begin with `_` are used by client libraries".to_owned(),
            Self::NonAscii => {
                "characters outside ASCII work only if every client encodes them as UTF-8"
                    .to_owned()
            }
            Self::ManyTokens => format!("more than {MANY_TOKENS} tokens make matching slower"),
            Self::LongSubject => {
                format!("more than {LONG_SUBJECT_BYTES} bytes are sent with every message")
            }
        }
    }
}

/// A subject to publish to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subject(String);

/// A subject to subscribe to, possibly with wildcards.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pattern(String);

/// The tokens of a text with their positions.
fn tokens(text: &str) -> impl Iterator<Item = (Range<usize>, &str)> {
    let mut start = 0;
    text.split('.').map(move |token| {
        let span = start..start + token.len();
        start = span.end + 1;
        (span, token)
    })
}

/// The faults that publish subjects and patterns share.
fn check(input: &str, blank: FaultReason) -> Result<(), SubjectFault> {
    let fault = |span: Range<usize>, reason| {
        Err(SubjectFault {
            input: input.to_owned(),
            span,
            reason,
        })
    };
    if input.is_empty() {
        return fault(0..0, FaultReason::Empty);
    }
    if input.len() > MAX_SUBJECT_BYTES {
        let limit = input.floor_char_boundary(MAX_SUBJECT_BYTES);
        return fault(limit..input.len(), FaultReason::TooLong);
    }
    for (at, character) in input.char_indices() {
        let span = at..at + character.len_utf8();
        if character.is_whitespace() {
            return fault(span, blank);
        }
        if character.is_control() {
            return fault(span, FaultReason::ControlCharacter);
        }
    }
    for (span, token) in tokens(input) {
        if token.is_empty() {
            // Point at the dot that should not be there.
            let dot = if span.start == input.len() {
                span.start - 1
            } else {
                span.start
            };
            return fault(dot..dot + 1, FaultReason::EmptyToken);
        }
    }
    Ok(())
}

fn traps(text: &str) -> Vec<Trap> {
    let mut traps = Vec::new();
    for (span, token) in tokens(text) {
        if token.len() > 1
            && let Some(at) = token.find(['*', '>'])
        {
            let start = span.start + at;
            traps.push(Trap {
                span: start..start + 1,
                kind: TrapKind::LiteralWildcard,
            });
        }
    }
    let (first, _) = text.split_once('.').unwrap_or((text, ""));
    for (mark, kind) in [('$', TrapKind::Reserved), ('_', TrapKind::Private)] {
        if first.starts_with(mark) {
            traps.push(Trap {
                span: 0..first.len(),
                kind,
            });
        }
    }
    if let Some((at, character)) = text.char_indices().find(|(_, c)| !c.is_ascii()) {
        traps.push(Trap {
            span: at..at + character.len_utf8(),
            kind: TrapKind::NonAscii,
        });
    }
    if tokens(text).count() > MANY_TOKENS {
        traps.push(Trap {
            span: 0..text.len(),
            kind: TrapKind::ManyTokens,
        });
    }
    if text.len() > LONG_SUBJECT_BYTES {
        traps.push(Trap {
            span: 0..text.len(),
            kind: TrapKind::LongSubject,
        });
    }
    traps
}

impl FromStr for Subject {
    type Err = SubjectFault;

    fn from_str(input: &str) -> Result<Self, SubjectFault> {
        check(input, FaultReason::BlankInSubject)?;
        match tokens(input).find(|(_, token)| matches!(*token, "*" | ">")) {
            Some((span, _)) => Err(SubjectFault {
                input: input.to_owned(),
                span,
                reason: FaultReason::WildcardInPublish,
            }),
            None => Ok(Self(input.to_owned())),
        }
    }
}

impl Subject {
    /// The subject as typed.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is legal but surely not meant.
    pub fn traps(&self) -> Vec<Trap> {
        traps(&self.0)
    }
}

impl FromStr for Pattern {
    type Err = SubjectFault;

    fn from_str(input: &str) -> Result<Self, SubjectFault> {
        check(input, FaultReason::BlankInPattern)?;
        match tokens(input).find(|(span, token)| *token == ">" && span.end != input.len()) {
            Some((span, _)) => Err(SubjectFault {
                input: input.to_owned(),
                span,
                reason: FaultReason::FullWildcardNotLast,
            }),
            None => Ok(Self(input.to_owned())),
        }
    }
}

impl Pattern {
    /// The pattern as typed.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is legal but surely not meant.
    pub fn traps(&self) -> Vec<Trap> {
        traps(&self.0)
    }

    /// Whether a message published to `subject` is delivered.
    pub fn matches(&self, subject: &str) -> bool {
        self.matches_bytes(subject.as_bytes())
    }

    /// The same for a subject that need not be UTF-8.
    pub fn matches_bytes(&self, subject: &[u8]) -> bool {
        let mut subject_tokens = subject.split(|byte| *byte == b'.');
        for token in self.0.split('.') {
            match (token, subject_tokens.next()) {
                // `>` stands for one token or more.
                (">", Some(_)) => return true,
                ("*", Some(_)) => {}
                (literal, Some(other)) if literal.as_bytes() == other => {}
                _ => return false,
            }
        }
        subject_tokens.next().is_none()
    }

    /// Whether everything that the other one matches is matched by this one.
    pub fn covers(&self, other: &Self) -> bool {
        covers(&self.0, &other.0)
    }

    /// Whether some subject is matched by both.
    pub fn overlaps(&self, other: &Self) -> bool {
        let (mut ours, mut theirs) = (self.0.split('.'), other.0.split('.'));
        loop {
            match (ours.next(), theirs.next()) {
                (None, None) | (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
                (Some("*"), Some(_)) | (Some(_), Some("*")) => {}
                (Some(our), Some(their)) if our == their => {}
                _ => return false,
            }
        }
    }
}

/// Whether every subject that is matched by one pattern is matched by another, wider one.
///
/// Both are texts, as a server sends them in permissions and in the configurations of streams: what is no valid pattern is
/// compared token by token, too.
pub fn covers(wide: &str, narrow: &str) -> bool {
    let mut theirs = narrow.split('.');
    for token in wide.split('.') {
        match (token, theirs.next()) {
            (">", Some(_)) => return true,
            // `>` stands for more tokens than one.
            ("*", Some(other)) if other != ">" => {}
            (token, Some(other)) if token == other => {}
            _ => return false,
        }
    }
    theirs.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pattern(text: &str) -> Pattern {
        text.parse().unwrap()
    }

    #[test]
    fn a_pattern_covers_what_is_narrower() {
        for (wide, narrow, is) in [
            ("rounds.>", "rounds.game.*", true),
            ("rounds.>", "rounds.>", true),
            ("rounds.*", "rounds.x", true),
            ("rounds.*", "rounds.>", false),
            ("rounds.game.*", "rounds.*.x", false),
            ("rounds.*.x", "rounds.*.x", true),
            ("rounds", "rounds.>", false),
            (">", ">", true),
            ("rounds.>", "rounds", false),
        ] {
            assert_eq!(
                pattern(wide).covers(&pattern(narrow)),
                is,
                "{wide} {narrow}"
            );
        }
    }

    #[test]
    fn faults_are_found_where_they_are() {
        for (input, span, reason) in [
            ("", 0..0, FaultReason::Empty),
            ("rounds..crash", 7..8, FaultReason::EmptyToken),
            (".rounds", 0..1, FaultReason::EmptyToken),
            ("rounds.game.", 11..12, FaultReason::EmptyToken),
            ("rounds game", 6..7, FaultReason::BlankInPattern),
            ("rounds.>.x", 7..8, FaultReason::FullWildcardNotLast),
            ("a\u{7}b", 1..2, FaultReason::ControlCharacter),
        ] {
            let fault = input.parse::<Pattern>().unwrap_err();
            assert_eq!((fault.span, fault.reason), (span, reason), "{input}");
        }
        let fault = "rounds.game.*".parse::<Subject>().unwrap_err();
        assert_eq!(
            (fault.span, fault.reason),
            (12..13, FaultReason::WildcardInPublish)
        );
        assert_eq!(
            "a b".parse::<Subject>().unwrap_err().reason,
            FaultReason::BlankInSubject
        );
        assert_eq!(
            "a".repeat(4097).parse::<Subject>().unwrap_err().reason,
            FaultReason::TooLong
        );
        let long = format!("a{}", "\u{e4}".repeat(2048));
        let span = long.parse::<Subject>().unwrap_err().span;
        assert!(long.get(span).is_some(), "a character is not cut in two");
    }

    #[test]
    fn traps_are_named() {
        let kinds = |text: &str| {
            pattern(text)
                .traps()
                .into_iter()
                .map(|trap| trap.kind)
                .collect::<Vec<_>>()
        };
        assert_eq!(kinds("rounds.type.slot*"), [TrapKind::LiteralWildcard]);
        assert_eq!(kinds("$SYS.>"), [TrapKind::Reserved]);
        assert_eq!(kinds("_INBOX.x"), [TrapKind::Private]);
        assert_eq!(kinds("r\u{e9}"), [TrapKind::NonAscii]);
        assert_eq!(kinds("rounds.*.>"), []);
    }

    #[test]
    fn wildcards_match_whole_tokens() {
        for (text, subject, is_match) in [
            ("rounds.game.*", "rounds.game.crash", true),
            ("rounds.game.*", "rounds.game", false),
            ("rounds.game.*", "rounds.game.a.b", false),
            ("rounds.>", "rounds.game.crash", true),
            ("rounds.>", "rounds", false),
            (">", "a", true),
            ("a.slot*", "a.slots", false),
            ("a.slot*", "a.slot*", true),
        ] {
            assert_eq!(pattern(text).matches(subject), is_match, "{text} {subject}");
        }
    }

    fn any_pattern() -> impl Strategy<Value = String> {
        let token = prop_oneof![Just("*".to_owned()), "[ab]{1,2}"];
        (prop::collection::vec(token, 1..4), any::<bool>()).prop_map(|(mut tokens, has_tail)| {
            if has_tail {
                tokens.push(">".to_owned());
            }
            tokens.join(".")
        })
    }

    #[test]
    fn a_pattern_covers_what_is_within_it() {
        for (wide, narrow, is_covered) in [
            ("rounds.>", "rounds.game.*", true),
            ("rounds.>", "rounds.>", true),
            ("rounds.>", "rounds", false),
            ("rounds.*", "rounds.x", true),
            ("rounds.*", "rounds.>", false),
            ("rounds.*", "rounds.*", true),
            ("rounds.game.*", "rounds.>", false),
            ("rounds.game.*", "rounds.*.x", false),
            ("rounds", "rounds.>", false),
            (">", "a", true),
            (">", ">", true),
            ("a.b", "a.b.c", false),
        ] {
            assert_eq!(covers(wide, narrow), is_covered, "{wide} {narrow}");
        }
    }

    /// The subjects that wildcards can stand for, as far as the patterns of these tests can tell them apart.
    fn subjects() -> Vec<String> {
        let tokens = ["a", "b", "aa", "ab", "ba", "bb"];
        let mut subjects: Vec<String> = tokens.map(str::to_owned).into();
        let mut level = subjects.clone();
        for _ in 0..3 {
            level = level
                .iter()
                .flat_map(|head| tokens.map(|token| format!("{head}.{token}")))
                .collect();
            subjects.extend(level.iter().cloned());
        }
        subjects
    }

    proptest! {
        #[test]
        fn a_pattern_covers_another_exactly_when_it_matches_all_that_the_other_does(
            wide in any_pattern(),
            narrow in any_pattern(),
        ) {
            let (wide_pattern, narrow_pattern) = (pattern(&wide), pattern(&narrow));
            let subjects = subjects();
            let mut within = subjects.iter().filter(|subject| narrow_pattern.matches(subject));
            prop_assert_eq!(covers(&wide, &narrow), within.all(|subject| wide_pattern.matches(subject)));
        }

        #[test]
        fn patterns_overlap_exactly_when_some_subject_matches_both(left in any_pattern(), right in any_pattern()) {
            let (left, right) = (pattern(&left), pattern(&right));
            prop_assert_eq!(left.overlaps(&right), right.overlaps(&left));
            let some_match = subjects().iter().any(|subject| left.matches(subject) && right.matches(subject));
            prop_assert_eq!(left.overlaps(&right), some_match);
        }

        #[test]
        fn any_text_is_judged_without_panic_and_the_span_lies_within(text in "\\PC{0,20}|[a.*> ]{0,12}") {
            for fault in [text.parse::<Pattern>().err(), text.parse::<Subject>().err()].into_iter().flatten() {
                prop_assert!(text.get(fault.span).is_some());
            }
        }
    }
}
