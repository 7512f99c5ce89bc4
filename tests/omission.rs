//! The proof that omission is not hidden: whatever stalls, the messages that were due meanwhile show as late, all of
//! them, and in the histogram where they belong.
//!
//! All runs publish 1,000 rounds a second, so that a stall of a second delays a thousand messages. How many were late is
//! asked through percentiles: of 2,000 messages 360 took 100 ms or more exactly if p82 is at least 100 ms.
//! Noise can only add late messages, so that lower bounds hold on any machine; upper bounds leave much room.

use std::time::Duration;

use natsbench::cli::exit;
use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{
    Broker, Direction, FakeBroker, FaultProxy, Natsbench, Script, alone, eventually, pass_time,
};

/// Later than this is late, far beyond what scheduling on a loaded machine adds to many messages.
const LATE_NS: i64 = 100_000_000;

/// A `latency` run at 1,000 rounds a second. Objectives that ask for a percentile make it part of the result.
fn latency(args: &[&str], percentiles: &[&str]) -> Natsbench {
    let head = [
        "latency", "--rate", "1000", "--warmup", "0s", "--games", "crash", "-o", "json", "--slo",
        "lost==0",
    ];
    let asked: Vec<_> = percentiles
        .iter()
        .flat_map(|percentile| ["--slo".to_owned(), format!("{percentile}>0ns")])
        .collect();
    let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
    Natsbench::new([&head[..], args, &asked].concat())
}

/// A percentile that the run was asked for.
fn percentile_ns(result: &Value, percentile: &str) -> i64 {
    let expr = format!("{percentile}>0ns");
    let objectives = result["slo"].as_array().expect("objectives");
    objectives
        .iter()
        .find(|objective| objective["expr"] == expr.as_str())
        .and_then(|objective| objective["observed_ns"].as_i64())
        .unwrap_or_else(|| panic!("no {percentile} in {result}"))
}

#[track_caller]
fn assert_late(result: &Value, percentile: &str) {
    let observed_ns = percentile_ns(result, percentile);
    assert!(
        observed_ns >= LATE_NS,
        "{percentile} is {observed_ns} ns: {result}"
    );
}

#[track_caller]
fn assert_not_late(result: &Value, percentile: &str) {
    let observed_ns = percentile_ns(result, percentile);
    assert!(
        observed_ns < LATE_NS,
        "{percentile} is {observed_ns} ns: {result}"
    );
}

/// Every message of the schedule was sent, arrived and was measured.
#[track_caller]
fn assert_all_there(result: &Value, n_messages: u64) {
    for count in ["planned", "sent", "expected", "received"] {
        assert_eq!(result["load"][count], n_messages, "{count}: {result}");
    }
    assert_eq!(result["load"]["lost"], 0);
    for latency in ["response", "service", "lateness"] {
        assert_eq!(
            result["latency"][latency]["count"], n_messages,
            "{latency}: {result}"
        );
    }
}

#[test]
fn what_a_frozen_process_could_not_send_in_time_is_late_in_response_and_lateness_but_not_in_service()
 {
    let _alone = alone();
    // Given a run of 2 s whose messages pass a proxy, which only tells that they flow
    let broker = Broker::start();
    let proxy = FaultProxy::to(broker.ws_port());
    let percentiles = ["response.p82", "lateness.p82", "service.p95"];
    let run = latency(
        &[
            "--server",
            &broker.ws_url(),
            "--pub-server",
            &proxy.ws_url(),
            "--duration",
            "2s",
        ],
        &percentiles,
    )
    .spawn();
    eventually("messages to flow", || {
        (proxy.n_bytes(Direction::Up) > 50_000).then_some(())
    });
    // When it is frozen for half a second
    run.signal(Signal::STOP);
    pass_time(Duration::from_millis(500));
    run.signal(Signal::CONT);
    // Then the 400 messages of its first 400 ms are late by 100 ms and more (360 are asked for), by the generator, and
    // the verdict says why it is none
    let result = run.wait().exits(exit::INCONCLUSIVE).json();
    assert_all_there(&result, 2_000);
    assert_late(&result, "response.p82");
    assert_late(&result, "lateness.p82");
    assert_not_late(&result, "service.p95");
    for latency in ["response", "lateness"] {
        let max_ns = result["latency"][latency]["max_ns"]
            .as_i64()
            .expect("a maximum");
        assert!(max_ns >= 490_000_000, "{latency}: {max_ns}");
    }
    let doubts = result["trust"]["doubts"].to_string();
    assert!(doubts.contains("the generator was late"), "{doubts}");
}

#[test]
fn a_publisher_that_was_frozen_alone_shows_as_lateness_at_a_subscriber_in_another_process() {
    let _alone = alone();
    // Given a publisher and a subscriber that are different processes
    let broker = FakeBroker::start(Script::new());
    let url = broker.ws_url();
    let subscriber = Natsbench::new([
        "sub",
        "rounds.game.*",
        "--stats",
        "--count",
        "2000",
        "-o",
        "json",
        "--server",
        &url,
    ])
    .spawn();
    eventually("the subscriber", || {
        (broker.n_subscriptions() >= 2).then_some(())
    });
    let publisher = Natsbench::new([
        "pub", "--rate", "1000", "--count", "2000", "--route", "game", "-o", "json", "--server",
        &url,
    ])
    .spawn();
    eventually("messages to flow", || {
        (broker.n_published() > 300).then_some(())
    });
    // When only the publisher is frozen for half a second
    publisher.signal(Signal::STOP);
    pass_time(Duration::from_millis(500));
    publisher.signal(Signal::CONT);
    // Then both tell the same story: a fifth of the messages was late because it was sent late
    let sent = publisher.wait().exits(exit::INCONCLUSIVE).json();
    let arrived = subscriber.wait().exits(exit::PASSED).json();
    assert_eq!(
        (&sent["load"]["planned"], &sent["load"]["sent"]),
        (&2_000.into(), &2_000.into())
    );
    assert_eq!(
        (&arrived["load"]["received"], &arrived["load"]["lost"]),
        (&2_000.into(), &0.into())
    );
    let p90_ns = |result: &Value, latency: &str| {
        result["latency"][latency]["p90_ns"]
            .as_i64()
            .expect("a p90")
    };
    // One in ten, when one in four was due during the freeze: they waited for 300 ms and more.
    for late_ns in [
        p90_ns(&sent, "lateness"),
        p90_ns(&arrived, "lateness"),
        p90_ns(&arrived, "response"),
    ] {
        assert!(late_ns >= 250_000_000, "{late_ns}\n{sent}\n{arrived}");
    }
    // Service has no part in it, other than that the broker has a burst to pass on.
    let (service_ns, response_ns) = (p90_ns(&arrived, "service"), p90_ns(&arrived, "response"));
    assert!(2 * service_ns < response_ns, "{arrived}");
}

#[test]
fn what_a_broker_that_stops_reading_keeps_from_being_sent_is_late_in_response_and_lateness() {
    let _alone = alone();
    // Given messages so large that buffers between us and the broker are soon full
    let broker = FakeBroker::start(Script::new().stop_reading(500, Duration::from_secs(1)));
    // When it stops reading for a second
    let percentiles = [
        "response.p75",
        "lateness.p80",
        "service.p90",
        "lateness.p90",
    ];
    let result = latency(
        &[
            "--server",
            &broker.ws_url(),
            "--duration",
            "3s",
            "--size",
            "16KiB",
            "--drain",
            "10s",
        ],
        &percentiles,
    )
    .run()
    .json();
    // Then nothing is lost, and what could not be written meanwhile is late by its intended time
    assert_all_there(&result, 3_000);
    assert_late(&result, "response.p75");
    assert_late(&result, "lateness.p80");
    // And it is not held against the generator: that a broker does not read is what the run is there to show.
    let n_held_back = result["trust"]["held_back_rounds"].as_u64();
    assert!(
        n_held_back.is_some_and(|n_rounds| n_rounds > 600),
        "{result}"
    );
    // Only what was in the buffers already had been sent.
    assert!(
        percentile_ns(&result, "service.p90") < percentile_ns(&result, "lateness.p90") / 2,
        "{result}"
    );
}

#[test]
fn what_a_broker_holds_back_is_late_in_response_and_service_every_single_message() {
    let _alone = alone();
    // Given a broker that delivers nothing for a second, a third of the run
    let broker = FakeBroker::start(Script::new().stop_delivering(500, Duration::from_secs(1)));
    let percentiles = [
        "response.p72",
        "service.p72",
        "response.p55",
        "service.p55",
        "lateness.p90",
    ];
    // When
    let result = latency(
        &["--server", &broker.ws_url(), "--duration", "3s"],
        &percentiles,
    )
    .run()
    .exits(exit::PASSED)
    .json();
    // Then about a thousand of 3,000 messages are late, by the broker: 900 of them by 100 ms and more, of which 840 are
    // asked for
    assert_all_there(&result, 3_000);
    for percentile in ["response.p72", "service.p72"] {
        assert_late(&result, percentile);
    }
    // And by far not all: the schedule went on as if nothing had happened.
    for percentile in ["response.p55", "service.p55", "lateness.p90"] {
        assert_not_late(&result, percentile);
    }
}

#[test]
fn a_real_broker_behind_a_network_that_holds_back_deliveries_shows_the_same() {
    let _alone = alone();
    let broker = Broker::start();
    let proxy = FaultProxy::to(broker.ws_port());
    let percentiles = ["response.p75", "service.p75", "lateness.p90"];
    let run = latency(
        &[
            "--server",
            &proxy.ws_url(),
            "--pub-server",
            &broker.ws_url(),
            "--duration",
            "3s",
        ],
        &percentiles,
    )
    .spawn();
    eventually("messages to flow", || {
        (proxy.n_bytes(Direction::Down) > 50_000).then_some(())
    });
    proxy.pause(Direction::Down);
    pass_time(Duration::from_secs(1));
    proxy.resume(Direction::Down);
    let result = run.wait().exits(exit::PASSED).json();
    assert_all_there(&result, 3_000);
    assert_late(&result, "response.p75");
    assert_late(&result, "service.p75");
    assert_not_late(&result, "lateness.p90");
}

#[test]
fn a_delay_on_the_way_is_in_the_smallest_service_latency() {
    let _alone = alone();
    let broker = Broker::start();
    let proxy = FaultProxy::to(broker.ws_port());
    proxy.delay(Direction::Down, Duration::from_millis(30));
    let result = latency(&["--server", &proxy.ws_url(), "--duration", "300ms"], &[])
        .run()
        .exits(exit::PASSED)
        .json();
    for latency in ["response", "service"] {
        let min_ns = result["latency"][latency]["min_ns"]
            .as_i64()
            .expect("a minimum");
        assert!(min_ns >= 30_000_000, "{latency}: {min_ns}");
    }
}
