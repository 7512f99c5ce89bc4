//! Today's JavaScript clients, unchanged: what they publish is read, and they read what is published.

use natsbench::cli::exit;
use serde_json::Value;

use crate::harness::{Broker, Natsbench, Node, completed, publish, subscribed};

/// Published by a script: each under its game and its type.
const N_ROUNDS: u64 = 50;
/// The forms that the scripts publish; the last has no `timestamp`.
const N_FORMS: u64 = 7;
/// A latency below this was computed from the right field, on whatever machine.
const MAX_SANE_MS: i64 = 60_000;

fn broker() -> Broker {
    Broker::builder().config("trace: true").start()
}

#[track_caller]
fn reads_what_is_published(script: &str) {
    for extras in ["object", "string"] {
        // Given a page that shows rounds.
        let broker = broker();
        let node = Node::start(script, &broker.ws_url(), 40).ready();
        // When rounds of all games are published, then it has understood each.
        let args = [
            "-s",
            &broker.ws_url(),
            "--count",
            "40",
            "--route",
            "both",
            "--extras",
            extras,
        ];
        let published = completed(&publish(&args).run());
        let printed = node.finish();
        let seen: Value = serde_json::from_str(&printed).expect("one line of JSON");
        assert_eq!(seen["n"], 40, "{seen}");
        assert_eq!(seen["extras_ok"], true, "{seen}");
        for slug in ["crash", "double", "wall-street", "slot"] {
            let subject = format!("rounds.game.{slug}");
            let streams = published["load"]["streams"]
                .as_array()
                .expect("`pub` lists its streams");
            let stream = streams
                .iter()
                .find(|stream| stream["subject"] == subject.as_str());
            assert_eq!(
                seen["games"][slug],
                stream.expect("it was published")["sent"],
                "{seen} {published}"
            );
        }
        let (min, max) = (&seen["min_latency_ms"], &seen["max_latency_ms"]);
        assert!(min.as_i64() >= Some(0), "{seen}");
        assert!(
            max.as_i64().expect("there was a timestamp") < MAX_SANE_MS,
            "{seen}"
        );
    }
}

#[track_caller]
fn is_read_in_every_form(script: &str) {
    // Given a subscriber to everything.
    let broker = broker();
    let url = broker.ws_url();
    let n_messages = 2 * N_ROUNDS;
    let subscriber = Natsbench::new([
        "sub",
        "rounds.>",
        "-s",
        &url,
        "--format",
        "json",
        "--count",
        &n_messages.to_string(),
    ])
    .spawn();
    subscribed(&broker, "_NATSBENCH.end.*", 1);
    // When the script publishes rounds in all forms that the pipeline has.
    Node::start(script, &url, N_ROUNDS).finish();
    // Then each is read under both its subjects, with a latency wherever there is a timestamp.
    let finished = subscriber.wait().exits(exit::PASSED);
    let lines: Vec<Value> = finished
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("a JSON object a line"))
        .collect();
    assert_eq!(lines.len() as u64, n_messages);
    let mut n_timed = 0;
    for (idx, line) in lines.iter().enumerate() {
        let round = &line["payload"];
        let kind = if idx % 2 == 0 { "game" } else { "type" };
        let token =
            round[format!("game_{}", if kind == "game" { "slug" } else { "type" })].as_str();
        assert_eq!(
            line["subject"],
            format!("rounds.{kind}.{}", token.expect("a round names its game")),
            "{line}"
        );
        assert!(
            round["extras"].is_object() || round["extras"].is_string(),
            "{line}"
        );
        assert_eq!(
            line["response_ns"].is_i64(),
            round["timestamp"].is_i64(),
            "{line}"
        );
        if let Some(response_ns) = line["response_ns"].as_i64() {
            // `timestamp` is cut to the millisecond, so that it is never later than the publishing.
            assert!(
                (0..MAX_SANE_MS * 1_000_000).contains(&response_ns),
                "{line}"
            );
            n_timed += 1;
        }
    }
    let n_untimed = 2 * (0..N_ROUNDS).filter(|k| k % N_FORMS == N_FORMS - 1).count();
    assert_eq!(n_timed, lines.len() - n_untimed);
}

#[test]
fn nats_ws_1_reads_what_is_published() {
    reads_what_is_published("subscribe-natsws.mjs");
}

#[test]
fn nats_core_3_reads_what_is_published() {
    reads_what_is_published("subscribe-natscore.mjs");
}

#[test]
fn what_nats_ws_1_publishes_is_read_in_every_form() {
    is_read_in_every_form("publish-natsws.mjs");
}

#[test]
fn what_nats_core_3_publishes_is_read_in_every_form() {
    is_read_in_every_form("publish-natscore.mjs");
}

#[test]
fn a_page_that_reads_rounds_of_every_form_in_pretty_lines_sees_their_outcome() {
    let broker = broker();
    let url = broker.ws_url();
    let subscriber = Natsbench::new(["sub", "rounds.type.*", "-s", &url, "--count", "28"]).spawn();
    subscribed(&broker, "_NATSBENCH.end.*", 1);
    Node::start("publish-natscore.mjs", &url, 28).finish();
    let finished = subscriber.wait().exits(exit::PASSED);
    let count = |part: &str| {
        finished
            .stdout
            .lines()
            .filter(|line| line.contains(part))
            .count()
    };
    for outcome in ["2.47x", "red", "up", "7"] {
        assert!(count(outcome) >= 7, "{outcome}:\n{}", finished.stdout);
    }
}
