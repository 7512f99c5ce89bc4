//! Subjects that are legal, meant or not.

use super::*;
use crate::doctor::checks::input::description;
use crate::doctor::checks::input::spelling::{LIST, LOOK_ALIKE, MQTT_STYLE, PLACEHOLDER, QUOTES};
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
fn what_looks_like_a_wildcard_but_is_none_is_warned_of() {
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
}

#[test]
fn subjects_of_the_server_are_warned_of_where_they_are_hardly_meant() {
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
}

#[test]
fn what_is_written_in_the_way_of_something_else_is_warned_of() {
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
}

#[test]
fn characters_that_only_look_right_are_warned_of() {
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
}

#[test]
fn what_is_almost_a_subject_of_rounds_is_warned_of() {
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
        assert_eq!(description::of(text, SUBSCRIBE), description);
    }
    assert_eq!(
        description::of("a.b", PUBLISH),
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
                description::of(&text, usage);
            }
        }
    }
}
