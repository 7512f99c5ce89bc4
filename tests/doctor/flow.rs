//! `doctor`: whether messages come, and where they come instead.

use std::time::Duration;

use super::{Diagnosis, diagnose, text_of};
use crate::harness::{Broker, Feed, Natsbench, RawClient, Version};

const ALL_VERSIONS: [Version; 3] = [Version::Default, Version::V2_12, Version::V2_10];
const ROUND: &str = r#"{"id":1,"game_slug":"crash","game_type":"multiplier","round_id":7}"#;
const TWO_ACCOUNTS: &str = "accounts { \
     A { users: [ {user: game, password: s3cret} ] }, \
     B { users: [ {user: feed, password: feed} ] } }";
const GAME: [&str; 4] = ["--user", "game", "--password", "s3cret"];
const FEED: &str = r#""user":"feed","pass":"feed","name":"game-feed""#;

/// Publishes ten rounds a second.
fn feed(broker: &Broker, connect: &str, subject: &str) -> Feed {
    let client = RawClient::login(broker, connect);
    Feed::start(client, subject, ROUND, Duration::from_millis(100))
}

fn game<'a>(more: &[&'a str]) -> Vec<&'a str> {
    GAME.into_iter().chain(more.iter().copied()).collect()
}

fn fact<'a>(diagnosis: &'a Diagnosis, name: &str) -> &'a str {
    let mut facts = diagnosis.json["facts"].as_array().expect("a list").iter();
    facts
        .find(|fact| fact["name"] == name)
        .and_then(|fact| fact["value"].as_str())
        .unwrap_or_else(|| panic!("there is no {name}: {:#}", diagnosis.json))
}

#[test]
fn rounds_that_come_are_healthy_and_end_the_listening() {
    let broker = Broker::start();
    let _feed = feed(&broker, "", "rounds.game.crash");
    let diagnosis = diagnose(&broker.ws_url(), &["rounds.>", "rounds.game.crash"]);
    diagnosis.is_healthy();
    assert_eq!(diagnosis.status_of("flow"), "passed");
    let traffic = fact(&diagnosis, "traffic on rounds.>");
    assert!(traffic.contains("rounds.game.crash"), "{traffic}");
    assert!(traffic.contains("readable as a round"), "{traffic}");
    let checks = diagnosis.json["checks"].as_array().expect("a list");
    let flow = checks.iter().find(|check| check["id"] == "flow");
    let took = flow.and_then(|flow| flow["duration_ns"].as_u64());
    assert!(took.is_some_and(|ns| ns < 2_000_000_000), "{flow:?}");
}

#[test]
fn what_our_own_publisher_sends_is_readable() {
    let broker = Broker::start();
    let _publisher = Natsbench::new(["pub", "--server", &broker.ws_url(), "--rate", "50"]).spawn();
    let diagnosis = diagnose(&broker.ws_url(), &["rounds.game.*"]);
    diagnosis.is_healthy();
    let traffic = fact(&diagnosis, "traffic on rounds.game.*");
    assert!(traffic.contains("readable as a round"), "{traffic}");
}

#[test]
fn headers_and_bytes_that_are_no_text_are_healthy() {
    let broker = Broker::start();
    let client = RawClient::login(&broker, "");
    let message =
        "HPUB rounds.game.crash 24 28\r\nNATS/1.0\r\nX-Round: 7\r\n\r\n\u{1}{\u{7f}\u{0}\r\n";
    let _feed = Feed::repeat(client, message.to_owned(), Duration::from_millis(100));
    let diagnosis = diagnose(&broker.ws_url(), &["rounds.>"]);
    diagnosis.is_healthy();
    let traffic = fact(&diagnosis, "traffic on rounds.>");
    assert!(traffic.contains("4 bytes with headers"), "{traffic}");
}

#[test]
fn who_watches_and_listens_waits_once() {
    let broker = Broker::start();
    let args = ["--watch", "4s", "rounds.>"];
    let diagnosis = diagnose(&broker.ws_url(), &args);
    let took = diagnosis.json["duration_ns"].as_u64();
    let finding = diagnosis.warns_of("flow.no-publisher");
    assert_eq!(finding["certainty"], "likely", "{finding:#}");
    // Two seconds to see whether anything comes at once, and the four that were asked for.
    assert!(took.is_some_and(|ns| ns < 7_800_000_000), "{took:?}");
}

#[test]
fn a_message_that_comes_while_connections_are_watched_is_traffic() {
    let broker = Broker::start();
    let client = RawClient::login(&broker, "");
    let _feed = Feed::start(client, "rounds.game.crash", ROUND, Duration::from_secs(4));
    let diagnosis = diagnose(&broker.ws_url(), &["--watch", "5s", "rounds.>"]);
    diagnosis.is_healthy();
    let traffic = fact(&diagnosis, "traffic on rounds.>");
    assert!(traffic.contains("rounds.game.crash"), "{traffic}");
}

#[test]
fn a_slow_publisher_is_healthy_for_whoever_waits_long_enough() {
    let broker = Broker::start();
    let client = RawClient::login(&broker, "");
    // The first message is gone before the doctor comes, and the second one comes after the usual listening.
    let _feed = Feed::start(client, "rounds.game.crash", ROUND, Duration::from_secs(4));
    let args = ["--watch", "20s", "--skip", "watch", "rounds.>"];
    let diagnosis = diagnose(&broker.ws_url(), &args);
    diagnosis.is_healthy();
}

#[test]
fn a_slow_publisher_is_named_to_whoever_does_not_wait() {
    let broker = Broker::start();
    let mut client = RawClient::login(&broker, r#""name":"game-feed""#);
    client.publish("rounds.game.crash", ROUND);
    client.settle();
    let diagnosis = diagnose(&broker.ws_url(), &["rounds.>"]);
    let finding = diagnosis.warns_of("flow.no-publisher");
    assert!(
        text_of(finding).contains("game-feed (127.0.0.1)"),
        "{finding:#}"
    );
    assert!(text_of(finding).contains("--watch"), "{finding:#}");
    assert_eq!(finding["certainty"], "possible");
}

#[test]
fn nobody_publishes_where_nobody_else_is_connected() {
    for version in ALL_VERSIONS {
        let broker = Broker::builder().version(version).start();
        let diagnosis = diagnose(&broker.ws_url(), &["rounds.>"]);
        let finding = diagnosis.warns_of("flow.no-publisher");
        assert_eq!(
            finding["title"],
            "Nobody publishes on `rounds.>`: no other client is connected."
        );
        assert!(!text_of(finding).contains("another account"), "{finding:#}");
    }
}

#[test]
fn a_subject_that_is_almost_the_same_is_named_with_the_pattern_that_works() {
    for (published, asked, suggestion) in [
        ("round.game.crash", "rounds.>", "round.>"),
        ("Rounds.Game.Crash", "rounds.game.*", "Rounds.Game.*"),
        ("rounds.game.crash.eu", "rounds.game.*", "rounds.game.>"),
        ("rounds.crash", "rounds.game.*", "rounds.*"),
    ] {
        let broker = Broker::start();
        let _feed = feed(&broker, "", published);
        let diagnosis = diagnose(&broker.ws_url(), &[asked]);
        let found = diagnosis.json["findings"].as_array().expect("a list");
        let near = found.iter().find(|it| it["code"] == "flow.near-subject");
        let text = near.map(text_of).unwrap_or_default();
        assert!(
            text.contains(&format!("`{published}`")),
            "{:#}",
            diagnosis.json
        );
        assert!(text.contains(&format!("'{suggestion}'")), "{text}");
    }
}

#[test]
fn a_prefix_that_an_import_puts_in_front_is_named() {
    let config = "accounts { \
        A { users: [ {user: game, password: s3cret} ], imports: [ {stream: {account: B, subject: \"rounds.>\"}, prefix: feed} ] }, \
        B { users: [ {user: feed, password: feed} ], exports: [ {stream: \"rounds.>\"} ] } }";
    for version in ALL_VERSIONS {
        let broker = Broker::builder().version(version).config(config).start();
        let _feed = feed(&broker, FEED, "rounds.game.crash");
        let diagnosis = diagnose(&broker.ws_url(), &game(&["rounds.game.*"]));
        let finding = diagnosis.warns_of("flow.near-subject");
        assert!(
            text_of(finding).contains("'feed.rounds.game.*'"),
            "{finding:#}"
        );
        assert!(text_of(finding).contains("import"), "{finding:#}");
    }
}

#[test]
fn a_publisher_in_another_account_is_thought_of_without_a_monitoring_port() {
    for version in ALL_VERSIONS {
        let broker = Broker::builder()
            .version(version)
            .config(TWO_ACCOUNTS)
            .start();
        let _feed = feed(&broker, FEED, "rounds.game.crash");
        let diagnosis = diagnose(&broker.ws_url(), &game(&["rounds.game.*"]));
        let finding = diagnosis.warns_of("flow.no-publisher");
        let title = finding["title"].as_str().expect("a text");
        assert!(title.contains("account `A`"), "{title}");
        assert!(title.contains("another account"), "{title}");
        assert!(text_of(finding).contains("exports"), "{finding:#}");
        // Not more is known, and nothing more is said.
        assert_eq!(finding["certainty"], "possible");
        assert!(!text_of(finding).contains("game-feed"), "{finding:#}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn the_account_that_the_publisher_is_in_is_named_by_the_monitoring_port() {
    let broker = Broker::builder().monitored().config(TWO_ACCOUNTS).start();
    let _feed = feed(&broker, FEED, "rounds.game.crash");
    let diagnosis = diagnose(&broker.ws_url(), &game(&["rounds.game.*"]));
    let finding = diagnosis.warns_of("flow.other-account");
    let title = finding["title"].as_str().expect("a text");
    assert!(title.contains("account `B`"), "{title}");
    assert!(title.contains("account `A`"), "{title}");
    assert!(
        text_of(finding).contains("game-feed (127.0.0.1)"),
        "{finding:#}"
    );
    assert_eq!(finding["certainty"], "likely");
}

#[test]
fn a_user_of_the_system_account_is_told_so() {
    let config = "accounts { $SYS { users: [ {user: game, password: s3cret} ] } }";
    let broker = Broker::builder().config(config).start();
    let diagnosis = diagnose(&broker.ws_url(), &game(&["rounds.>"]));
    diagnosis.warns_of("flow.system-account");
}

#[test]
fn other_members_of_a_queue_group_are_named() {
    for version in ALL_VERSIONS {
        let broker = Broker::builder().version(version).start();
        let mut thief = RawClient::login(&broker, r#""name":"thief""#);
        for sid in 2..60 {
            thief.say(&format!("SUB rounds.> workers {sid}\r\n"));
        }
        thief.settle();
        let _feed = feed(&broker, "", "rounds.game.crash");
        let diagnosis = diagnose(&broker.ws_url(), &["--queue", "workers", "rounds.>"]);
        let finding = diagnosis.warns_of("flow.queue-shared");
        assert_eq!(finding["certainty"], "certain", "{finding:#}");
        assert!(
            text_of(finding).contains("thief (127.0.0.1)"),
            "{finding:#}"
        );
    }
}

#[test]
fn the_only_member_of_a_queue_group_gets_everything() {
    let broker = Broker::start();
    // Another group, and somebody without one, take nothing away.
    let mut other = RawClient::login(&broker, "");
    other.say("SUB rounds.> others 2\r\nSUB rounds.> 3\r\n");
    other.settle();
    let client = RawClient::login(&broker, "");
    let _feed = Feed::start(client, "rounds.game.crash", ROUND, Duration::from_millis(1));
    let diagnosis = diagnose(&broker.ws_url(), &["--queue", "workers", "rounds.>"]);
    diagnosis.is_healthy();
}

#[test]
fn where_everything_is_forbidden_what_is_allowed_is_listened_to() {
    let config = "authorization { users: [ \
        {user: game, password: s3cret, permissions: { subscribe: [\"rounds.game.*\", \"feed.>\", \"_INBOX.>\"] } }, \
        {user: feed, password: feed} ] }";
    let broker = Broker::builder().config(config).start();
    let _feed = feed(&broker, FEED, "feed.rounds.game.crash");
    let diagnosis = diagnose(&broker.ws_url(), &game(&["rounds.game.*"]));
    let finding = diagnosis.warns_of("flow.near-subject");
    assert!(
        text_of(finding).contains("'feed.rounds.game.*'"),
        "{finding:#}"
    );
}

#[test]
fn what_may_not_be_looked_at_is_an_alternative() {
    let config = "authorization { users: [ \
        {user: game, password: s3cret, permissions: { subscribe: [\"rounds.game.*\", \"_INBOX.>\"] } }, \
        {user: feed, password: feed} ] }";
    let broker = Broker::builder().config(config).start();
    let _feed = feed(&broker, FEED, "feed.rounds.game.crash");
    let diagnosis = diagnose(&broker.ws_url(), &game(&["rounds.game.*"]));
    let finding = diagnosis.warns_of("flow.no-publisher");
    assert!(text_of(finding).contains("may not hear"), "{finding:#}");
}

#[test]
fn a_refused_subject_is_left_to_the_permissions() {
    let config = "authorization { users: [ \
        {user: game, password: s3cret, permissions: { subscribe: { deny: \"rounds.>\" } } } ] }";
    let broker = Broker::builder().config(config).start();
    let diagnosis = diagnose(&broker.ws_url(), &game(&["rounds.>"]));
    let found = diagnosis.json["findings"].as_array().expect("a list");
    let mut codes = found.iter().filter_map(|finding| finding["code"].as_str());
    assert!(!codes.any(|code| code.starts_with("flow.")), "{found:#?}");
}

#[test]
fn broken_json_on_a_subject_of_rounds_is_a_warning() {
    let broker = Broker::start();
    let client = RawClient::login(&broker, "");
    let cut = &ROUND[..ROUND.len() / 2];
    let _feed = Feed::start(client, "rounds.game.crash", cut, Duration::from_millis(100));
    let diagnosis = diagnose(&broker.ws_url(), &["rounds.game.*"]);
    let finding = diagnosis.warns_of("flow.unreadable-round");
    assert!(text_of(finding).contains("game_slug"), "{finding:#}");
}

#[test]
fn without_subjects_there_is_nothing_to_listen_to() {
    let broker = Broker::start();
    let diagnosis = diagnose::<&str>(&broker.ws_url(), &[]);
    diagnosis.is_healthy();
    assert_eq!(diagnosis.status_of("flow"), "skipped");
}
