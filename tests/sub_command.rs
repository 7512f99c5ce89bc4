//! `sub`: what it shows, and how it accounts for messages of publishers in other processes.

use std::io::Write as _;

use natsbench::cli::exit;
use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{Broker, Natsbench, Running};

/// A subscriber that is ready, next to those that are there already.
fn subscriber(broker: &Broker, args: &[&str]) -> Running {
    let url = broker.ws_url();
    let before: u64 = broker
        .connections()
        .iter()
        .filter_map(|one| one["subscriptions"].as_u64())
        .sum();
    let run = Natsbench::new([&["sub", "-s", &url], args].concat()).spawn();
    let n_connections = args
        .windows(2)
        .find(|pair| pair[0] == "--connections")
        .map_or(1, |pair| pair[1].parse().unwrap());
    let n_patterns = args.iter().filter(|arg| arg.starts_with("rounds.")).count() as u64;
    broker.await_subscriptions(before + n_connections * (n_patterns + 1));
    run
}

fn publish(broker: &Broker, args: &[&str]) {
    let url = broker.ws_url();
    Natsbench::new([&["pub", "-q", "-s", &url], args].concat())
        .run()
        .exits(exit::PASSED);
}

fn interrupt(run: Running) -> Value {
    run.signal(Signal::INT);
    run.wait().exits(exit::INTERRUPTED).json()
}

#[test]
fn count_ends_it_after_exactly_so_many_messages() {
    let broker = Broker::monitored();
    let sub = subscriber(&broker, &["rounds.>", "--count", "7", "-q"]);
    publish(&broker, &["--count", "50", "--rate", "max"]);
    let finished = sub.wait().exits(exit::PASSED);
    assert_eq!(finished.stdout.lines().count(), 7);
    assert_eq!(finished.stderr, "");
}

#[test]
fn count_is_shared_by_connections() {
    let broker = Broker::monitored();
    let args = ["rounds.>", "--count", "7", "-q", "--connections", "3"];
    let sub = subscriber(&broker, &args);
    publish(&broker, &["--count", "50", "--rate", "max"]);
    assert_eq!(sub.wait().exits(exit::PASSED).stdout.lines().count(), 7);
}

#[test]
fn pretty_lines_show_subject_outcome_and_latency() {
    let broker = Broker::monitored();
    let sub = subscriber(&broker, &["rounds.game.*", "--count", "4", "-q"]);
    // The symbols of a slot machine may take more than their column.
    let games = "crash,double,wall-street";
    publish(&broker, &["--count", "4", "--games", games]);
    for line in sub.wait().exits(exit::PASSED).stdout.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        // 23:43:32.570  rounds.game.crash  crash  2.47x  3.77 ms
        assert_eq!(words[0].len(), "23:43:32.570".len(), "{line}");
        assert_eq!(words[1], format!("rounds.game.{}", words[2]), "{line}");
        assert!(line.chars().count() <= 80, "{line}");
        assert!(
            ["ns", "us", "ms", "s"].contains(words.last().unwrap()),
            "{line}"
        );
    }
}

#[test]
fn json_lines_carry_the_message_and_what_was_measured() {
    let broker = Broker::monitored();
    let sub = subscriber(
        &broker,
        &["rounds.game.*", "--count", "3", "--format", "json", "-q"],
    );
    publish(&broker, &["--count", "3", "--games", "crash"]);
    let finished = sub.wait().exits(exit::PASSED);
    for (idx, line) in finished.stdout.lines().enumerate() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["subject"], "rounds.game.crash");
        assert_eq!(line["payload"]["game_slug"], "crash");
        assert_eq!(line["seq"], idx);
        assert!(line["response_ns"].as_i64().is_some(), "{line}");
        assert!(
            line["service_ns"].as_i64() <= line["response_ns"].as_i64(),
            "{line}"
        );
    }
}

#[test]
fn messages_that_are_no_rounds_are_shown_too() {
    let broker = Broker::monitored();
    let sub = subscriber(
        &broker,
        &["rounds.>", "--count", "1", "-q", "--format", "json"],
    );
    // A publisher of something else: by hand, over the client port.
    let address = broker.client_url().replace("nats://", "");
    let mut client = std::net::TcpStream::connect(address).unwrap();
    client
        .write_all(b"CONNECT {\"verbose\":false}\r\nPUB rounds.other 5\r\nhello\r\nPING\r\n")
        .unwrap();
    let finished = sub.wait().exits(exit::PASSED);
    let line: Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!(line["subject"], "rounds.other");
    assert_eq!(line["text"], "hello");
    assert!(line.get("response_ns").is_none());
}

#[test]
fn the_summary_stands_beside_the_lines_and_not_among_them() {
    let broker = Broker::monitored();
    let sub = subscriber(&broker, &["rounds.>", "--count", "4"]);
    publish(&broker, &["--count", "2"]);
    let finished = sub.wait().exits(exit::PASSED);
    assert_eq!(finished.stdout.lines().count(), 4);
    let summary: Vec<&str> = finished.stderr.lines().collect();
    assert!(
        summary[0].starts_with("PASS: 4 messages received, none lost"),
        "{summary:#?}"
    );
    assert!(summary.len() <= 8, "a few lines: {summary:#?}");
}

#[test]
fn stats_show_no_lines() {
    let broker = Broker::monitored();
    let sub = subscriber(&broker, &["rounds.>", "--stats", "--count", "4"]);
    publish(&broker, &["--count", "2"]);
    let finished = sub.wait().exits(exit::PASSED);
    assert!(
        finished
            .stdout
            .starts_with("PASS: 4 messages received, none lost"),
        "{}",
        finished.stdout
    );
    assert!(!finished.stdout.contains("rounds.game."));
}

#[test]
fn json_output_is_the_result_alone() {
    let broker = Broker::monitored();
    let sub = subscriber(&broker, &["rounds.>", "-o", "json", "--count", "4"]);
    publish(&broker, &["--count", "2"]);
    let result = sub.wait().exits(exit::PASSED).json();
    assert_eq!(result["command"], "sub");
    assert_eq!(result["load"]["received"], 4);
}

#[test]
fn duration_ends_it() {
    let broker = Broker::start();
    let url = broker.ws_url();
    let result = Natsbench::new([
        "sub",
        "rounds.>",
        "--duration",
        "300ms",
        "-o",
        "json",
        "-s",
        &url,
    ])
    .run()
    .exits(exit::INCONCLUSIVE)
    .json();
    assert_eq!(result["ended"], "completed");
    assert!(result["duration_ns"].as_u64() >= Some(300_000_000));
}

#[test]
fn wildcards_choose_what_is_received() {
    let broker = Broker::monitored();
    let one_game = subscriber(&broker, &["rounds.game.crash", "-o", "json"]);
    let all_games = subscriber(&broker, &["rounds.game.*", "-o", "json"]);
    let everything = subscriber(&broker, &["rounds.>", "-o", "json"]);
    let two_patterns = subscriber(
        &broker,
        &["rounds.game.slot", "rounds.type.*", "-o", "json"],
    );
    publish(
        &broker,
        &["--count", "20", "--rate", "max", "--games", "crash,slot"],
    );
    let received = |run| interrupt(run)["load"]["received"].as_u64().unwrap();
    let n_crash = received(one_game);
    assert!((1..20).contains(&n_crash), "{n_crash}");
    assert_eq!(received(all_games), 20);
    assert_eq!(received(everything), 40);
    assert_eq!(received(two_patterns), 20 - n_crash + 20);
}

#[test]
fn each_connection_gets_every_message() {
    let broker = Broker::monitored();
    let sub = subscriber(
        &broker,
        &["rounds.game.*", "--connections", "3", "-o", "json"],
    );
    publish(&broker, &["--count", "20", "--rate", "max"]);
    let load = interrupt(sub)["load"].clone();
    assert_eq!(load["received"], 60, "{load}");
    assert_eq!(load["expected"], 60, "{load}");
    assert_eq!(load["lost"], 0, "{load}");
    assert_eq!(load["duplicated"], 0, "{load}");
}

#[test]
fn members_of_a_queue_group_share_the_messages() {
    let broker = Broker::monitored();
    let members =
        [0, 1].map(|_| subscriber(&broker, &["rounds.game.*", "--queue", "q", "-o", "json"]));
    publish(&broker, &["--count", "200", "--rate", "max"]);
    let loads = members.map(|member| interrupt(member)["load"].clone());
    let received = loads
        .each_ref()
        .map(|load| load["received"].as_u64().unwrap());
    assert_eq!(received.iter().sum::<u64>(), 200, "{loads:#?}");
    assert!(received.iter().all(|count| *count > 0), "{received:?}");
    for load in loads {
        // A gap says nothing when others may have got the message.
        assert!(load.get("lost").is_none_or(Value::is_null), "{load}");
    }
}

#[test]
fn connections_in_a_queue_group_share_the_messages() {
    let broker = Broker::monitored();
    let args = [
        "rounds.game.*",
        "--queue",
        "q",
        "--connections",
        "3",
        "-o",
        "json",
    ];
    let sub = subscriber(&broker, &args);
    publish(&broker, &["--count", "60", "--rate", "max"]);
    assert_eq!(interrupt(sub)["load"]["received"], 60);
}

#[test]
fn separate_processes_know_that_nothing_was_lost() {
    let broker = Broker::monitored();
    let sub = subscriber(&broker, &["rounds.type.*", "-o", "json"]);
    publish(
        &broker,
        &["--count", "100", "--rate", "max", "--connections", "2"],
    );
    let result = interrupt(sub);
    let load = &result["load"];
    assert_eq!(load["expected"], 100, "{load}");
    assert_eq!(load["received"], 100, "{load}");
    assert_eq!(load["lost"], 0, "{load}");
    assert_eq!(load["tail_unknown_streams"], 0, "{load}");
}

#[test]
fn a_subscriber_that_came_late_is_not_owed_what_was_before() {
    let broker = Broker::monitored();
    let url = broker.ws_url();
    let publisher = Natsbench::new(["pub", "--rate", "500", "-o", "json", "-s", &url]).spawn();
    broker.await_published(200);
    let sub = subscriber(&broker, &["rounds.game.*", "-o", "json"]);
    // Some of every stream, so that it knows where each began for it.
    broker.await_published(broker.n_published() + 200);
    publisher.signal(Signal::INT);
    let sent = publisher.wait().exits(exit::INTERRUPTED).json();
    let load = interrupt(sub)["load"].clone();
    assert_eq!(load["lost"], 0, "{load}");
    assert_eq!(load["expected"], load["received"], "{load}");
    // Each round is two messages, of which the subscriber reads one.
    let n_read = 2 * load["received"].as_u64().unwrap();
    assert!(n_read < sent["load"]["sent"].as_u64().unwrap(), "{load}");
}

#[test]
fn a_publisher_that_is_killed_leaves_an_unknown_tail() {
    let broker = Broker::monitored();
    let url = broker.ws_url();
    let sub = subscriber(&broker, &["rounds.game.*", "-o", "json"]);
    let publisher = Natsbench::new(["pub", "--rate", "500", "-q", "-s", &url]).spawn();
    broker.await_published(200);
    publisher.signal(Signal::KILL);
    drop(publisher);
    let load = interrupt(sub)["load"].clone();
    assert!(load["tail_unknown_streams"].as_u64() > Some(0), "{load}");
    assert!(load.get("expected").is_none_or(Value::is_null), "{load}");
    assert_eq!(load["lost"], 0, "{load}");
}

#[test]
fn a_message_that_the_broker_did_not_deliver_is_lost() {
    // The subscriber may not read one of the games: of these rounds it knows only by the end-of-run message.
    let broker = Broker::builder()
        .monitored()
        .config(
            "authorization { users = [
               { user: pub, password: x }
               { user: sub, password: x, permissions: { subscribe: { allow: [\"rounds.>\", \"_NATSBENCH.>\"], deny: \"rounds.game.crash\" } } } ] }",
        )
        .start();
    let sub = subscriber(
        &broker,
        &[
            "rounds.game.*",
            "-o",
            "json",
            "--user",
            "sub",
            "--password",
            "x",
        ],
    );
    let login = ["--user", "pub", "--password", "x"];
    publish(
        &broker,
        &[
            &["--count", "50", "--rate", "max", "--games", "crash,double"],
            &login[..],
        ]
        .concat(),
    );
    let result = interrupt(sub);
    let load = &result["load"];
    assert_eq!(load["expected"], 50, "{load}");
    let (received, lost) = (
        load["received"].as_u64().unwrap(),
        load["lost"].as_u64().unwrap(),
    );
    assert!(lost > 0, "{load}");
    assert_eq!(received + lost, 50, "{load}");
    assert_eq!(result["verdict"], "fail");
}

#[test]
fn what_comes_after_the_last_message_that_was_asked_for_is_not_lost() {
    let broker = Broker::monitored();
    let sub = subscriber(&broker, &["rounds.>", "--count", "7", "-o", "json"]);
    // It sleeps while everything is sent, and finds all of it in one read, the publisher's end-of-run message included.
    sub.signal(Signal::STOP);
    publish(&broker, &["--count", "10", "--rate", "max"]);
    sub.signal(Signal::CONT);
    let load = sub.wait().exits(exit::PASSED).json()["load"].clone();
    assert_eq!(load["received"], 7, "{load}");
    assert_eq!(load["lost"], 0, "{load}");
}
