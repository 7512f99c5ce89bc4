//! Exit codes: a contract with scripts, and what stands on standard output beside each.

use std::net::TcpListener;

use natsbench::cli::exit;

use crate::harness::{Broker, Natsbench};

/// A run that is over soon.
const SHORT: [&str; 4] = ["--warmup", "0s", "--duration", "500ms"];

fn latency(broker: &Broker, args: &[&str]) -> Natsbench {
    let url = broker.ws_url();
    let head = ["latency", "--server", &url, "-o", "json"];
    Natsbench::new([&head, &SHORT[..], args].concat())
}

/// A port on which nothing listens.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn a_healthy_broker_passes_with_json_alone_on_stdout() {
    let broker = Broker::start();
    let finished = latency(
        &broker,
        &["--rate", "1000", "--slo", "lost==0", "--slo", "p50<1s"],
    )
    .run()
    .exits(exit::PASSED);
    let result = finished.json();
    assert_eq!(result["schema"], "natsbench.result/1");
    assert_eq!(result["verdict"], "pass");
    assert_eq!(result["load"]["sent"], 500);
    assert_eq!(result["load"]["received"], 500);
    assert_eq!(result["load"]["lost"], 0);
}

#[test]
fn a_missed_objective_fails() {
    let broker = Broker::start();
    let finished = latency(&broker, &["--rate", "1000", "--slo", "p50<1ns"])
        .run()
        .exits(exit::FAILED);
    assert_eq!(finished.json()["slo"][0]["verdict"], "fail");
}

#[test]
fn one_missed_objective_among_others_fails() {
    let broker = Broker::start();
    let slo = ["--slo", "lost==0", "--slo", "p50<1ns", "--slo", "p99.99<1s"];
    let finished = latency(&broker, &[&["--rate", "1000"], &slo[..]].concat())
        .run()
        .exits(exit::FAILED);
    let result = finished.json();
    let verdicts: Vec<_> = (0..3)
        .map(|idx| result["slo"][idx]["verdict"].clone())
        .collect();
    assert_eq!(verdicts, ["pass", "fail", "inconclusive"]);
}

#[test]
fn too_few_samples_for_a_percentile_are_inconclusive() {
    let broker = Broker::start();
    let finished = latency(&broker, &["--rate", "100", "--slo", "p99.99<1h"]).run();
    // An hour is no unit of objectives: a second is the largest.
    assert_eq!(finished.code, Some(i32::from(exit::USAGE)));
    let finished = latency(&broker, &["--rate", "100", "--slo", "p99.99<1000s"])
        .run()
        .exits(exit::INCONCLUSIVE);
    let result = finished.json();
    assert_eq!(result["verdict"], "inconclusive");
    assert_eq!(result["slo"][0]["verdict"], "inconclusive");
    assert_eq!(
        result["latency"]["response"]["p99_99_ns"],
        serde_json::Value::Null
    );
}

#[test]
fn no_data_is_inconclusive() {
    let broker = Broker::builder()
        .config(
            "authorization { users = [ { user: deaf, password: x, permissions: { publish: { deny: \"rounds.>\" } } } ] }",
        )
        .start();
    let finished = latency(
        &broker,
        &[
            "--user",
            "deaf",
            "--password",
            "x",
            "--slo",
            "p99<1s",
            "--drain",
            "200ms",
        ],
    )
    .run()
    .exits(exit::INCONCLUSIVE);
    let result = finished.json();
    assert_eq!(result["load"]["received"], 0);
    assert_eq!(result["verdict"], "inconclusive");
}

#[test]
fn a_subscriber_that_hears_nothing_is_inconclusive() {
    let broker = Broker::start();
    let url = broker.ws_url();
    let finished = Natsbench::new([
        "sub",
        "nothing.here",
        "--duration",
        "200ms",
        "-s",
        &url,
        "-o",
        "json",
    ])
    .run()
    .exits(exit::INCONCLUSIVE);
    assert_eq!(finished.json()["load"]["received"], 0);
}

#[test]
fn no_broker_is_unreachable_for_every_command() {
    let url = format!("ws://127.0.0.1:{}", free_port());
    for args in [
        &["latency", "-o", "json"][..],
        &["pub", "--count", "1"],
        &["pub", "--count", "1", "--client", "async-nats"],
        &["sub", "x", "--count", "1"],
        &["sub", "x", "--stats"],
    ] {
        let finished = Natsbench::new(args)
            .env("NATS_URL", &url)
            .run()
            .exits(exit::UNREACHABLE);
        assert_eq!(finished.stdout, "", "{args:?}");
        assert!(
            finished.stderr.starts_with("error: "),
            "{args:?}: {}",
            finished.stderr
        );
        assert!(
            finished.stderr.contains("Connection refused"),
            "{args:?}: {}",
            finished.stderr
        );
    }
}

#[test]
fn a_refused_connection_says_what_was_tried_why_it_failed_and_what_to_do() {
    let port = free_port();
    let finished = Natsbench::new(["pub", "-s", &format!("ws://127.0.0.1:{port}")])
        .run()
        .exits(exit::UNREACHABLE);
    let expected = format!(
        "\
error: cannot connect to ws://127.0.0.1:{port}
  because: no TCP connection to 127.0.0.1:{port}: Connection refused (os error 111)
  try: start a broker with `natsbench broker`, or give the right address with `--server ws://HOST:PORT`
"
    );
    assert_eq!(finished.stderr, expected);
}

#[test]
fn every_server_of_a_list_is_named_with_what_became_of_it() {
    let (first, second) = (free_port(), free_port());
    let list = format!("ws://127.0.0.1:{first},nats://127.0.0.1:{second}");
    let finished = Natsbench::new(["pub", "-s", &list])
        .run()
        .exits(exit::UNREACHABLE);
    let expected = format!(
        "\
error: cannot connect to ws://127.0.0.1:{first}
  because: no TCP connection to 127.0.0.1:{first}: Connection refused (os error 111)
  because: nor nats://127.0.0.1:{second}: no TCP connection to 127.0.0.1:{second}: Connection refused (os error 111)
"
    );
    assert!(
        finished.stderr.starts_with(&expected),
        "{}",
        finished.stderr
    );
}

#[test]
fn a_name_that_does_not_resolve_is_unreachable() {
    // RFC 6761 reserves `.invalid`: it never resolves, whatever the network.
    let finished = Natsbench::new(["latency", "-s", "ws://name.invalid:8443", "-o", "json"])
        .run()
        .exits(exit::UNREACHABLE);
    assert_eq!(finished.stdout, "");
    assert!(
        finished
            .stderr
            .starts_with("error: cannot connect to ws://name.invalid:8443\n  because: the host name `name.invalid` does not resolve\n"),
        "{}",
        finished.stderr
    );
    assert!(
        finished
            .stderr
            .ends_with("  try: check the host name in the URL, or use an address\n"),
        "{}",
        finished.stderr
    );
}

#[test]
fn a_wrong_password_is_unreachable() {
    let broker = Broker::builder()
        .config("authorization { user: me, password: right }")
        .start();
    let url = broker.ws_url();
    let finished = Natsbench::new(["pub", "-s", &url, "--user", "me", "--password", "wrong"])
        .run()
        .exits(exit::UNREACHABLE);
    assert_eq!(finished.stdout, "");
    assert!(
        finished.stderr.contains("Authorization Violation"),
        "{}",
        finished.stderr
    );
}

#[test]
fn a_run_that_ends_by_itself_passes() {
    let broker = Broker::start();
    let url = broker.ws_url();
    let finished = Natsbench::new(["pub", "--count", "10", "--rate", "max", "-s", &url])
        .run()
        .exits(exit::PASSED);
    assert!(finished.stdout.starts_with("PASS: 20 messages sent"));
}
