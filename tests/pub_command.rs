//! `pub`: what it sends, and how much of it.

use natsbench::cli::exit;
use serde_json::Value;

use crate::harness::{Broker, Natsbench};

/// What a subscriber sees of one `pub`: the subject and the payload of each message, in order.
fn published(broker: &Broker, n_messages: u64, args: &[&str]) -> (Value, Vec<(String, Value)>) {
    let url = broker.ws_url();
    let count = n_messages.to_string();
    let before = broker.connections().len() as u64;
    let sub = Natsbench::new([
        "sub", "rounds.>", "--format", "json", "--count", &count, "-q", "-s", &url,
    ])
    .spawn();
    broker.await_subscriptions(2 + before);
    let result = Natsbench::new([&["pub", "-s", &url, "-o", "json", "-q"], args].concat())
        .run()
        .exits(exit::PASSED)
        .json();
    let lines = sub.wait().exits(exit::PASSED).stdout;
    let messages = lines
        .lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            let subject = line["subject"].as_str().unwrap().to_owned();
            (subject, line["payload"].clone())
        })
        .collect();
    (result, messages)
}

/// The payloads that a subscriber sees, byte for byte.
fn raw_payloads(broker: &Broker, n_messages: u64, args: &[&str]) -> Vec<String> {
    let url = broker.ws_url();
    let count = n_messages.to_string();
    let sub = Natsbench::new([
        "sub", "rounds.>", "--format", "raw", "--count", &count, "-q", "-s", &url,
    ])
    .spawn();
    broker.await_subscriptions(2);
    Natsbench::new([&["pub", "-s", &url, "-q"], args].concat())
        .run()
        .exits(exit::PASSED);
    let stdout = sub.wait().exits(exit::PASSED).stdout;
    stdout.lines().map(str::to_owned).collect()
}

#[test]
fn count_is_a_number_of_rounds_and_each_goes_under_both_subjects() {
    let broker = Broker::monitored();
    let (result, messages) = published(&broker, 20, &["--count", "10", "--rate", "max"]);
    assert_eq!(result["load"]["planned"], 20);
    assert_eq!(result["load"]["sent"], 20);
    for pair in messages.chunks(2) {
        let slug = pair[0].1["game_slug"].as_str().unwrap();
        let kind = pair[0].1["game_type"].as_str().unwrap();
        assert_eq!(pair[0].0, format!("rounds.game.{slug}"));
        assert_eq!(pair[1].0, format!("rounds.type.{kind}"));
        assert_eq!(pair[0].1["round_id"], pair[1].1["round_id"]);
    }
}

#[test]
fn a_route_chooses_one_of_the_subjects() {
    let broker = Broker::monitored();
    for route in ["game", "type"] {
        let args = ["--count", "10", "--rate", "max", "--route", route];
        let (result, messages) = published(&broker, 10, &args);
        assert_eq!(result["load"]["sent"], 10);
        let prefix = format!("rounds.{route}.");
        assert!(
            messages
                .iter()
                .all(|(subject, _)| subject.starts_with(&prefix))
        );
    }
}

#[test]
fn duration_times_rate_is_what_is_sent() {
    let broker = Broker::start();
    let url = broker.ws_url();
    let result = Natsbench::new([
        "pub",
        "--duration",
        "500ms",
        "--rate",
        "200",
        "-s",
        &url,
        "-o",
        "json",
    ])
    .run()
    .exits(exit::PASSED)
    .json();
    assert_eq!(result["load"]["planned"], 200);
    assert_eq!(result["load"]["sent"], 200);
    assert_eq!(result["rate"]["target_per_s"], 200.0);
}

#[test]
fn connections_share_the_rounds() {
    let broker = Broker::start();
    let url = broker.ws_url();
    let result = Natsbench::new([
        "pub",
        "--count",
        "9",
        "--rate",
        "max",
        "--connections",
        "3",
        "--route",
        "game",
        "--games",
        "crash",
        "-s",
        &url,
        "-o",
        "json",
    ])
    .run()
    .exits(exit::PASSED)
    .json();
    assert_eq!(result["load"]["sent"], 9);
    let streams = result["load"]["streams"].as_array().unwrap();
    let sent: Vec<_> = streams
        .iter()
        .map(|stream| {
            (
                stream["publisher"].as_u64().unwrap(),
                stream["sent"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(sent, [(0, 3), (1, 3), (2, 3)]);
}

#[test]
fn only_the_chosen_games_are_sent_by_their_weights() {
    let broker = Broker::monitored();
    let args = [
        "--count",
        "1000",
        "--rate",
        "max",
        "--route",
        "game",
        "--games",
        "crash,double=3",
    ];
    let (_, messages) = published(&broker, 1000, &args);
    let n_of = |slug: &str| {
        messages
            .iter()
            .filter(|(_, round)| round["game_slug"] == slug)
            .count()
    };
    assert_eq!(n_of("crash") + n_of("double"), 1000);
    // A quarter, within six standard deviations; the default seed makes it the same each time.
    assert!((168..=332).contains(&n_of("crash")), "{}", n_of("crash"));
}

#[test]
fn every_payload_has_exactly_the_size() {
    let broker = Broker::monitored();
    for (size, bytes) in [("400", 400), ("1KiB", 1024)] {
        let payloads = raw_payloads(
            &broker,
            40,
            &["--count", "20", "--rate", "max", "--size", size],
        );
        let sizes: Vec<usize> = payloads.iter().map(String::len).collect();
        assert_eq!(sizes, [bytes; 40]);
        for payload in payloads {
            serde_json::from_str::<Value>(&payload).unwrap();
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let broker = Broker::monitored();
    let run = |seed: &str| {
        let args = [
            "--count",
            "50",
            "--rate",
            "max",
            "--no-stamp",
            "--seed",
            seed,
        ];
        raw_payloads(&broker, 100, &args)
    };
    let first = run("7");
    assert_eq!(first, run("7"));
    assert_ne!(first, run("8"));
}

#[test]
fn without_stamp_a_message_is_the_plain_round() {
    let broker = Broker::monitored();
    let (_, messages) = published(&broker, 2, &["--count", "1", "--no-stamp"]);
    let (_, stamped) = published(&broker, 2, &["--count", "1"]);
    let keys = |message: &Value| {
        let object = message.as_object().unwrap();
        object.keys().cloned().collect::<Vec<_>>()
    };
    assert!(
        messages[0].1.get("timestamp").is_none(),
        "{}",
        messages[0].1
    );
    assert!(stamped[0].1.get("timestamp").is_some(), "{}", stamped[0].1);
    // Apart from the stamp it is the same message.
    for key in keys(&messages[0].1) {
        assert_eq!(messages[0].1[&key], stamped[0].1[&key], "{key}");
    }
}

#[test]
fn extras_is_an_object_or_a_string_that_holds_it() {
    let broker = Broker::monitored();
    let (_, objects) = published(&broker, 8, &["--count", "4"]);
    let (_, strings) = published(&broker, 8, &["--count", "4", "--extras", "string"]);
    for ((_, object), (_, string)) in objects.iter().zip(&strings) {
        let text = string["extras"].as_str().expect("a string");
        let inner: Value = serde_json::from_str(text).unwrap();
        assert!(object["extras"].is_object());
        assert_eq!(inner, object["extras"]);
    }
}

#[test]
fn a_dry_run_prints_what_would_be_sent_and_connects_to_nothing() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let args = [
        "pub",
        "--dry-run",
        "--count",
        "3",
        "--prefix",
        "a.b",
        "--seed",
        "5",
        "-s",
        &url,
    ];
    let finished = Natsbench::new(args).run().exits(exit::PASSED);
    assert_eq!(finished.stderr, "");
    let lines: Vec<&str> = finished.stdout.lines().collect();
    assert_eq!(lines.len(), 6);
    for line in lines {
        let (subject, payload) = line.split_once(' ').unwrap();
        assert!(
            subject.starts_with("a.b.game.") || subject.starts_with("a.b.type."),
            "{line}"
        );
        serde_json::from_str::<Value>(payload).unwrap();
    }
    assert!(listener.accept().is_err(), "it connected");
}

#[test]
fn a_dry_run_shows_as_many_rounds_as_a_run_would_send() {
    let n_lines = |args: &[&str]| {
        let args = [&["pub", "--dry-run", "--route", "game"], args].concat();
        let finished = Natsbench::new(args).run().exits(exit::PASSED);
        finished.stdout.lines().count()
    };
    assert_eq!(n_lines(&["--duration", "2s", "--rate", "50"]), 100);
    assert_eq!(n_lines(&[]), 10);
    assert_eq!(n_lines(&["--duration", "1h", "--rate", "max"]), 10);
}

#[test]
fn a_dry_run_shows_the_same_rounds_as_a_run_sends() {
    let broker = Broker::monitored();
    let rounds = ["--count", "5", "--seed", "3", "--no-stamp"];
    let (_, sent) = published(&broker, 10, &rounds);
    let dry = Natsbench::new([&["pub", "--dry-run"], &rounds[..]].concat())
        .run()
        .exits(exit::PASSED);
    let shown: Vec<(String, Value)> = dry
        .stdout
        .lines()
        .map(|line| {
            let (subject, payload) = line.split_once(' ').unwrap();
            (subject.to_owned(), serde_json::from_str(payload).unwrap())
        })
        .collect();
    assert_eq!(shown, sent);
}

#[test]
fn async_nats_sends_the_same_rounds() {
    let broker = Broker::monitored();
    let args = ["--count", "5", "--no-stamp"];
    let (_, raw) = published(&broker, 10, &args);
    let (result, library) = published(
        &broker,
        10,
        &[&args[..], &["--client", "async-nats"]].concat(),
    );
    assert_eq!(library, raw);
    assert_eq!(result["connection"]["client"], "async-nats");
}

#[test]
fn the_maximum_rate_has_no_target() {
    let broker = Broker::start();
    let url = broker.ws_url();
    let result = Natsbench::new([
        "pub",
        "--rate",
        "max",
        "--duration",
        "300ms",
        "-s",
        &url,
        "-o",
        "json",
    ])
    .run()
    .exits(exit::PASSED)
    .json();
    assert!(
        result["rate"].get("target_per_s").is_none(),
        "{}",
        result["rate"]
    );
    assert!(
        result["load"]["sent"].as_u64() > Some(1000),
        "{}",
        result["load"]
    );
}
