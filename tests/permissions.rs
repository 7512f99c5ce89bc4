//! Permissions: what the broker refuses is counted or ends the run, and is never silent.

use natsbench::cli::exit;
use rustix::process::Signal;

use crate::harness::{Broker, completed, eventually, latency, publish, subscribe, subscribed};

/// A broker with one user, `u`, who may not do everything.
fn broker_with(permissions: &str) -> Broker {
    Broker::builder().config(&config(permissions)).start()
}

fn config(permissions: &str) -> String {
    format!(
        "trace: true\nauthorization {{ users: [ {{ user: u, password: p, permissions: {{ {permissions} }} }} ] }}"
    )
}

const USER: [&str; 4] = ["--user", "u", "--password", "p"];

#[test]
fn a_publish_that_is_not_allowed_is_counted_and_named() {
    let broker = broker_with("publish: { deny: \"rounds.game.crash\" }");
    for (url, client) in [
        (broker.ws_url(), "raw"),
        (broker.client_url(), "raw"),
        (broker.ws_url(), "async-nats"),
    ] {
        let base = [
            "-s", &url, "--games", "crash", "--client", client, "--rate", "20",
        ];
        let args = [&base[..], &USER].concat();
        let finished = publish(&args).run().exits(exit::INCONCLUSIVE);
        let result = finished.json();
        let refused = result["load"]["refused"].as_u64();
        if client == "raw" {
            assert_eq!(refused, Some(10), "{result}");
        } else {
            // The library's last answers may come when it has been closed.
            assert!(refused > Some(0), "{result}");
        }
        let doubts = result["trust"]["doubts"].to_string();
        assert!(
            doubts.contains("Permissions Violation for Publish"),
            "{doubts}"
        );
        assert!(doubts.contains("rounds.game.crash"), "{doubts}");
    }
}

#[test]
fn a_latency_run_that_may_not_publish_everything_does_not_pass() {
    let broker = broker_with("publish: { deny: \"rounds.game.slot\" }");
    let url = broker.ws_url();
    let args = [&["-s", &url, "--drain", "1s"][..], &USER].concat();
    let finished = latency(&args).run().exits(exit::FAILED);
    let result = finished.json();
    let refused = result["load"]["refused"].as_u64().unwrap();
    assert!(refused > 0, "{result}");
    assert_eq!(result["load"]["lost"], refused, "{result}");
}

#[test]
fn a_subscription_that_is_not_allowed_ends_the_run_in_the_words_of_the_server() {
    let broker = broker_with("subscribe: { deny: \"rounds.game.*\" }");
    let url = broker.ws_url();
    let args = [&["-s", &url][..], &USER].concat();
    let runs = [
        latency(&args),
        subscribe(&[&["rounds.game.*", "--duration", "1s"][..], &args].concat()),
    ];
    for run in runs {
        let finished = run.run().exits(exit::UNREACHABLE);
        assert_eq!(finished.stdout, "");
        for part in [
            "`rounds.game.*`",
            "Permissions Violation for Subscription",
            "try: ",
        ] {
            assert!(finished.stderr.contains(part), "{}", finished.stderr);
        }
    }
}

#[test]
fn a_subscriber_that_may_not_hear_how_much_was_sent_says_that_it_does_not_know() {
    let broker = broker_with("subscribe: { allow: \"rounds.>\" }");
    let url = broker.ws_url();
    let args = [&["-s", &url][..], &USER].concat();
    let subscriber = subscribe(&[&["rounds.game.*", "--count", "10"][..], &args].concat()).spawn();
    subscribed(&broker, "rounds.game.*", 1);
    completed(&publish(&args).run());
    let result = completed(&subscriber.wait());
    assert_eq!(result["load"]["received"], 10, "{result}");
    assert!(
        result["load"]["tail_unknown_streams"].as_u64() > Some(0),
        "{result}"
    );
    let doubts = result["trust"]["doubts"].to_string();
    for part in ["_NATSBENCH.end", "Permissions Violation", "unknown"] {
        assert!(doubts.contains(part), "{doubts}");
    }
}

#[test]
fn a_subscription_that_is_taken_away_in_mid_run_is_named() {
    // Given a subscriber that may do everything
    let broker = broker_with("subscribe: { allow: \">\" }");
    let url = broker.ws_url();
    let args = [&["rounds.game.*", "-s", &url][..], &USER].concat();
    let subscriber = subscribe(&args).spawn();
    subscribed(&broker, "rounds.game.*", 1);
    // When its permissions are changed
    broker.reload(&config("subscribe: { deny: \"rounds.game.*\" }"));
    eventually("the refusal", || {
        broker.log().contains("[-ERR").then_some(())
    });
    subscriber.signal(Signal::INT);
    // Then the result says why nothing came
    let result = subscriber.wait().exits(exit::INTERRUPTED).json();
    let doubts = result["trust"]["doubts"].to_string();
    for part in [
        "the broker answered 1 subscriber with an error",
        "Permissions Violation for Subscription",
    ] {
        assert!(doubts.contains(part), "{doubts}");
    }
    assert_eq!(
        result["outages"].as_array().map(Vec::len),
        Some(0),
        "{result}"
    );
}
