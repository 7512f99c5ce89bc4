//! Subjects and patterns: faults point into the text, matching agrees with its definition, and covering and overlapping
//! agree with matching. The input is a subject or pattern a line.
#![no_main]

use std::ops::Range;

use libfuzzer_sys::{Corpus, fuzz_target};
use natsbench::subject::{MAX_SUBJECT_BYTES, Pattern, Subject, SubjectFault, Trap};

/// Each is compared with each.
const MAX_LINES: usize = 6;

fuzz_target!(|input: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(input) else {
        return Corpus::Reject;
    };
    let (mut subjects, mut patterns) = (Vec::new(), Vec::new());
    for line in text.split('\n').take(MAX_LINES) {
        let (subject, pattern) = (line.parse::<Subject>(), line.parse::<Pattern>());
        check_fault(line, subject.as_ref().err());
        check_fault(line, pattern.as_ref().err());
        if let Ok(subject) = subject {
            check_traps(line, subject.as_str(), &subject.traps());
            let pattern = pattern
                .as_ref()
                .expect("what can be published to can be subscribed to");
            assert!(pattern.matches(line), "`{line}` matches itself");
            subjects.push(subject);
        }
        if let Ok(pattern) = pattern {
            check_traps(line, pattern.as_str(), &pattern.traps());
            assert!(pattern.covers(&pattern) && pattern.overlaps(&pattern));
            patterns.push(pattern);
        }
    }
    for one in &patterns {
        for other in &patterns {
            check_pair(one, other, &subjects);
        }
    }
    Corpus::Keep
});

fn check_fault(line: &str, fault: Option<&SubjectFault>) {
    let Some(fault) = fault else {
        assert!(!line.is_empty() && line.len() <= MAX_SUBJECT_BYTES);
        assert!(line.split('.').all(|token| !token.is_empty()));
        assert!(!line.contains(|c: char| c.is_whitespace() || c.is_control()));
        return;
    };
    assert_eq!(fault.input, line);
    assert_within(line, &fault.span);
    let shown = fault.to_string();
    assert!(!shown.contains(char::is_control) && shown.chars().count() < 250);
}

fn check_traps(line: &str, text: &str, traps: &[Trap]) {
    assert_eq!(text, line);
    for trap in traps {
        assert_within(line, &trap.span);
        assert!(!trap.span.is_empty() && !trap.kind.advice().is_empty());
    }
}

fn assert_within(text: &str, span: &Range<usize>) {
    assert!(text.get(span.clone()).is_some(), "{span:?} of `{text}`");
}

fn check_pair(one: &Pattern, other: &Pattern, subjects: &[Subject]) {
    let is_covered = one.covers(other);
    assert_eq!(one.overlaps(other), other.overlaps(one));
    assert!(!is_covered || one.overlaps(other));
    if is_covered && other.covers(one) {
        // The same subjects are matched only by the same text.
        assert_eq!(one, other);
    }
    for subject in subjects.iter().map(Subject::as_str) {
        let matched = [one, other].map(|pattern| pattern.matches(subject));
        assert_eq!(matched[0], matches(one.as_str(), subject));
        assert!(
            !is_covered || !matched[1] || matched[0],
            "{one:?} {other:?}"
        );
        assert!(matched != [true, true] || one.overlaps(other));
        if other.as_str() == subject {
            assert_eq!((is_covered, one.overlaps(other)), (matched[0], matched[0]));
        }
    }
}

/// The definition, word by word: `*` is any one token, `>` is any tokens, at least one.
fn matches(pattern: &str, subject: &str) -> bool {
    let (patterns, tokens): (Vec<_>, Vec<_>) =
        (pattern.split('.').collect(), subject.split('.').collect());
    let fixed = patterns.strip_suffix(&[">"]).unwrap_or(&patterns);
    let is_open = fixed.len() < patterns.len();
    let fits = |(pattern, token): (&&str, &&str)| *pattern == "*" || pattern == token;
    let has_length = if is_open {
        tokens.len() > fixed.len()
    } else {
        tokens.len() == fixed.len()
    };
    has_length && fixed.iter().zip(&tokens).all(fits)
}
