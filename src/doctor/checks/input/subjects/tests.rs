//! Subjects as people type them.

use super::*;
use crate::doctor::code::Code;
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
