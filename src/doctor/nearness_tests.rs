//! How near subjects are: by example, and in general.

use super::*;
use proptest::prelude::*;

fn near(pattern: &str, subject: &str) -> Option<Near> {
    nearness(&pattern.parse().unwrap(), subject)
}

#[test]
fn what_is_near_comes_with_the_pattern_that_matches() {
    for (pattern, subject, suggestion) in [
        ("rounds.>", "round.game.crash", "round.>"),
        ("round.>", "rounds.game.crash", "rounds.>"),
        ("rounds.game.*", "Rounds.Game.Crash", "Rounds.Game.*"),
        (
            "Rounds.game.crash",
            "rounds.game.crash",
            "rounds.game.crash",
        ),
        (
            "rounds.game.*",
            "feed.rounds.game.crash",
            "feed.rounds.game.*",
        ),
        ("rounds.>", "eu.prod.rounds.game.crash", "eu.prod.rounds.>"),
        ("prod.rounds.>", "rounds.game.crash", "rounds.>"),
        ("rounds.game.*", "rounds.eu.game.crash", "rounds.eu.game.*"),
        ("rounds.game.*", "rounds.game.crash.eu", "rounds.game.>"),
        (
            "rounds.game.crash",
            "rounds.game.crash.eu",
            "rounds.game.crash.>",
        ),
        ("rounds.game.*", "rounds.crash", "rounds.*"),
        ("rounds.game.*", "rounds.game", "rounds.game"),
        ("rounds.>", "rounds", "rounds"),
        ("rounds.*", "rounds.game.crash", "rounds.>"),
        (
            "rounds.game.crash",
            "rounds.game.carsh",
            "rounds.game.carsh",
        ),
        (
            "rounds.game.crash",
            "game.rounds.crash",
            "game.rounds.crash",
        ),
        (
            "rounds.game.crash",
            "rounds/game/crash",
            "rounds/game/crash",
        ),
        ("rounds/game/*", "rounds.game.crash", "rounds.game.*"),
        (
            "rounds.game.wall-street",
            "rounds.game.wallstreet",
            "rounds.game.wallstreet",
        ),
        ("entry.>", "entries.new", "entries.>"),
        (
            "rounds.game.*",
            "feed.round.game.crash",
            "feed.round.game.*",
        ),
        ("*", "a.b", ">"),
        // Subjects of a stream.
        ("rounds.game.crash", "round.game.*", "round.game.*"),
    ] {
        let found = near(pattern, subject);
        let suggested = found.as_ref().map(|near| near.suggestion.as_str());
        // A pattern in place of a subject is only compared as far as its fixed tokens go.
        if !subject.contains('*') {
            assert_eq!(suggested, Some(suggestion), "{pattern} {subject} {found:?}");
        }
    }
}

#[test]
fn the_differences_are_named() {
    for (pattern, subject, words) in [
        ("rounds.>", "feed.rounds.x", "`feed.` stands in front"),
        ("rounds.>", "round.x", "`rounds` is written `round`"),
        (
            "rounds.game.*",
            "feed.round.game.x",
            "`feed.` stands in front, and `rounds` is written `round`",
        ),
    ] {
        assert_eq!(near(pattern, subject).unwrap().in_words(), words);
    }
}

#[test]
fn what_has_nothing_to_do_with_it_is_not_near() {
    for (pattern, subject) in [
        ("rounds.game.*", "alerts.game.over"),
        ("rounds.game.*", "rounds.type.multiplier"),
        ("rounds.game.crash", "rounds.game.double"),
        ("rounds.>", "telemetry.cpu"),
        ("rounds.>", "orders.new"),
        ("table.101.>", "table.102.state"),
        ("a.b", "b.c"),
        ("rounds.v1.crash", "rounds.v2.crash"),
        ("rounds.game.*", "_INBOX.abc.1"),
    ] {
        assert_eq!(near(pattern, subject), None, "{pattern} {subject}");
    }
}

#[test]
fn siblings_differ_in_one_fixed_token() {
    for (pattern, subject, is) in [
        ("rounds.game.crash", "rounds.game.double", true),
        ("rounds.game.*", "rounds.type.multiplier", true),
        ("rounds.game.>", "rounds.type.color.eu", true),
        ("rounds.game.crash", "rounds.type.color", false),
        ("rounds.>", "orders.new", false),
        ("rounds.game.crash", "rounds.game", false),
        ("rounds.game.crash", "rounds.game.crash", false),
    ] {
        assert_eq!(
            is_sibling(&pattern.parse().unwrap(), subject),
            is,
            "{pattern} {subject}"
        );
    }
}

fn subject() -> impl Strategy<Value = String> {
    prop::collection::vec("[a-c]{1,4}|[A-C]{3}", 1..5).prop_map(|tokens| tokens.join("."))
}

fn pattern() -> impl Strategy<Value = String> {
    let token = prop_oneof![3 => "[a-c]{1,4}", 1 => Just("*".to_owned())];
    (prop::collection::vec(token, 1..4), any::<bool>()).prop_map(|(mut tokens, has_tail)| {
        if has_tail {
            tokens.push(">".to_owned());
        }
        tokens.join(".")
    })
}

proptest! {
    #[test]
    fn every_suggestion_is_a_pattern_that_matches(pattern in pattern(), subject in subject()) {
        if let Some(found) = near(&pattern, &subject) {
            let suggestion: Pattern = found.suggestion.parse().unwrap();
            prop_assert!(suggestion.matches(&subject), "{pattern} {subject} {found:?}");
            prop_assert!(found.cost > 0 && !found.differences.is_empty());
        }
    }

    #[test]
    fn what_matches_is_not_near_but_right(pattern in pattern(), subject in subject()) {
        if pattern.parse::<Pattern>().unwrap().matches(&subject) {
            prop_assert_eq!(near(&pattern, &subject), None);
        }
    }

    #[test]
    fn another_case_and_a_prefix_are_always_near(tail in "[d-f]{3,6}(\\.[d-f]{3,6}){0,3}", prefix in "[g-i]{1,6}") {
        let prefixed = format!("{prefix}.{tail}");
        prop_assert_eq!(near(&tail, &prefixed).map(|near| near.suggestion), Some(prefixed));
        let (head, rest) = tail.split_at(1);
        let capital = format!("{}{rest}", head.to_uppercase());
        prop_assert_eq!(near(&tail, &capital).map(|near| near.suggestion), Some(capital));
    }

    #[test]
    fn any_text_is_compared_without_panic(pattern in "[a-c.*>/]{1,20}", subject in "\\PC{0,40}|[a-c.]{0,300}") {
        if let Ok(pattern) = pattern.parse() {
            let _ = nearness(&pattern, &subject);
            let _ = is_sibling(&pattern, &subject);
        }
    }
}
