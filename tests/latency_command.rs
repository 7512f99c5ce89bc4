//! `latency`: the counts of many publishers and many subscribers, and what the flags do to a run.

use natsbench::cli::exit;
use serde_json::Value;

use crate::harness::{Broker, Natsbench};

fn latency(broker: &Broker, args: &[&str]) -> Value {
    let url = broker.ws_url();
    let head = [
        "latency", "--slo", "lost==0", "-s", &url, "-o", "json", "-q", "--warmup", "0s",
    ];
    let finished = Natsbench::new([&head, args].concat()).run();
    finished.exits(exit::PASSED).json()
}

#[test]
fn each_subscriber_is_owed_every_message_of_every_publisher() {
    let broker = Broker::start();
    let args = [
        "--rate",
        "300",
        "--duration",
        "1s",
        "--publishers",
        "3",
        "--subscribers",
        "4",
    ];
    let result = latency(&broker, &args);
    let load = &result["load"];
    assert_eq!(load["planned"], 300);
    assert_eq!(load["sent"], 300);
    assert_eq!(load["expected"], 1200);
    assert_eq!(load["received"], 1200);
    assert_eq!(load["lost"], 0);
    assert_eq!(load["duplicated"], 0);
    let subscribers = load["subscribers"].as_array().unwrap();
    assert_eq!(subscribers.len(), 4);
    for (idx, subscriber) in subscribers.iter().enumerate() {
        assert_eq!(subscriber["idx"], idx);
        assert_eq!(subscriber["expected"], 300);
        assert_eq!(subscriber["received"], 300);
        assert_eq!(subscriber["lost"], 0);
    }
    assert_eq!(result["latency"]["response"]["count"], 1200);
    assert_eq!(result["latency"]["lateness"]["count"], 300);
    // The publishers share the rate evenly.
    let sent_of = |publisher: u64| -> u64 {
        let streams = load["streams"].as_array().unwrap().iter();
        let own = streams.filter(|stream| stream["publisher"] == publisher);
        own.map(|stream| stream["sent"].as_u64().unwrap()).sum()
    };
    assert_eq!([sent_of(0), sent_of(1), sent_of(2)], [100, 100, 100]);
}

#[test]
fn a_round_under_both_subjects_is_two_messages() {
    let broker = Broker::start();
    for (route, per_round) in [("game", 1), ("type", 1), ("both", 2)] {
        let args = [
            "--rate",
            "200",
            "--duration",
            "500ms",
            "--route",
            route,
            "--subscribers",
            "2",
        ];
        let result = latency(&broker, &args);
        let load = &result["load"];
        assert_eq!(load["planned"], 100 * per_round, "{route}");
        assert_eq!(load["sent"], 100 * per_round, "{route}");
        assert_eq!(load["expected"], 200 * per_round, "{route}");
        assert_eq!(load["received"], 200 * per_round, "{route}");
        assert_eq!(
            result["rate"]["target_per_s"], 200.0,
            "{route}: rate is in rounds"
        );
    }
}

#[test]
fn the_publisher_may_use_the_client_port_of_the_same_broker() {
    let broker = Broker::start();
    let client_url = broker.client_url();
    let args = [
        "--rate",
        "200",
        "--duration",
        "500ms",
        "--pub-server",
        &client_url,
    ];
    let result = latency(&broker, &args);
    assert_eq!(result["load"]["received"], 100);
    assert_eq!(result["connection"]["url"], broker.ws_url());
    assert_eq!(result["publisher_connection"]["url"], client_url);
}

#[test]
fn the_warm_up_counts_for_nothing() {
    let broker = Broker::start();
    let url = broker.ws_url();
    let result = Natsbench::new([
        "latency",
        "--slo",
        "lost==0",
        "-s",
        &url,
        "-o",
        "json",
        "-q",
        "--warmup",
        "500ms",
        "--duration",
        "500ms",
        "--rate",
        "200",
    ])
    .run()
    .exits(exit::PASSED)
    .json();
    assert_eq!(result["load"]["sent"], 100);
    assert_eq!(result["load"]["received"], 100);
    assert_eq!(result["load"]["reordered"], 0);
    assert_eq!(result["latency"]["response"]["count"], 100);
}

#[test]
fn rounds_of_others_on_the_same_subjects_are_set_apart() {
    let broker = Broker::monitored();
    let url = broker.ws_url();
    let other = Natsbench::new(["pub", "--rate", "200", "-q", "-s", &url]).spawn();
    broker.await_published(10);
    let result = latency(&broker, &["--rate", "200", "--duration", "1s"]);
    other.signal(rustix::process::Signal::INT);
    other.wait().exits(exit::INTERRUPTED);
    assert_eq!(result["load"]["received"], 200, "{}", result["load"]);
    assert_eq!(result["load"]["lost"], 0);
    assert!(
        result["load"]["foreign"].as_u64() > Some(0),
        "{}",
        result["load"]
    );
}

#[test]
fn another_prefix_and_a_fixed_size_reach_the_wire() {
    let broker = Broker::monitored();
    let url = broker.ws_url();
    let sub = Natsbench::new([
        "sub", "a.b.>", "--format", "raw", "--count", "20", "-q", "-s", &url,
    ])
    .spawn();
    broker.await_subscriptions(2);
    let result = latency(
        &broker,
        &[
            "--rate",
            "100",
            "--duration",
            "200ms",
            "--prefix",
            "a.b",
            "--size",
            "777",
            "--games",
            "slot",
        ],
    );
    assert_eq!(result["load"]["sent"], 20);
    assert_eq!(result["load"]["streams"][0]["subject"], "a.b.game.slot");
    let payloads = sub.wait().exits(exit::PASSED).stdout;
    assert!(payloads.lines().all(|payload| payload.len() == 777));
    assert_eq!(payloads.lines().count(), 20);
}

#[test]
fn a_client_library_can_publish() {
    let broker = Broker::start();
    let args = [
        "--rate",
        "100",
        "--duration",
        "500ms",
        "--client",
        "async-nats",
        "--subscribers",
        "2",
    ];
    let result = latency(&broker, &args);
    assert_eq!(result["load"]["received"], 100, "{}", result["load"]);
    assert_eq!(result["publisher_connection"]["client"], "async-nats");
    assert_eq!(result["connection"]["client"], "raw");
}

#[test]
fn settings_are_part_of_the_result() {
    let broker = Broker::start();
    let args = [
        "--rate",
        "150",
        "--duration",
        "200ms",
        "--games",
        "crash,double=3",
        "--seed",
        "9",
    ];
    let settings = latency(&broker, &args)["settings"].clone();
    for (key, value) in [
        ("rate", "150/s"),
        ("games", "crash,double=3"),
        ("seed", "9"),
        ("route", "game"),
        ("publishers", "1"),
        ("subscribers", "1"),
    ] {
        assert_eq!(settings[key], value, "{settings}");
    }
}
