//! What a broker loses, doubles, swaps or damages is counted exactly, and a run that waits for it ends on time.
//!
//! The broker is a fake whose faults hit chosen message numbers, so that the counts are known beforehand.

use natsbench::cli::exit;
use natsbench::measure::stamp::{RunId, Stamp};
use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{
    Broker, Cut, Direction, FakeBroker, FaultProxy, Natsbench, Published, Script, eventually,
};

/// A `latency` run at 1,000 rounds a second, in one stream, so that its order is that of the broker.
fn latency_of(duration: &str, url: &str, args: &[&str]) -> Natsbench {
    let head = [
        "latency",
        "--rate",
        "1000",
        "--drain",
        "300ms",
        "--games",
        "crash",
        "-o",
        "json",
        "--duration",
        duration,
        "--server",
        url,
    ];
    let warmup = ["--warmup", "0s"];
    let warmup: &[&str] = if args.contains(&"--warmup") {
        &[]
    } else {
        &warmup
    };
    Natsbench::new([&head[..], warmup, args].concat())
}

/// Half a second of it: 500 rounds.
fn latency(url: &str, args: &[&str]) -> Natsbench {
    latency_of("500ms", url, args)
}

#[track_caller]
fn assert_load(result: &Value, counts: &[(&str, u64)]) {
    for (count, expected) in counts {
        assert_eq!(result["load"][count], *expected, "{count}: {result}");
    }
}

/// Nothing is unaccounted for: what was planned was sent, left out or not sent; what was expected was received, lost, or is
/// in doubt.
#[track_caller]
fn assert_accounted_for(result: &Value) {
    let load = &result["load"];
    let count = |name: &str| load[name].as_u64().expect("a count");
    assert_eq!(
        count("sent") + count("skipped") + count("not_sent"),
        count("planned"),
        "{result}"
    );
    assert_eq!(
        count("received") + count("lost") + count("in_doubt"),
        count("expected"),
        "{result}"
    );
}

/// Message 3, 13, 23 and so on: 50 of 500.
fn is_chosen(k: u64) -> bool {
    k % 10 == 3
}

#[test]
fn lost_messages_are_counted_exactly_and_do_not_hold_up_the_end() {
    let broker = FakeBroker::start(Script::new().fate(|k, published| {
        if is_chosen(k) {
            Vec::new()
        } else {
            vec![published]
        }
    }));
    let result = latency(&broker.ws_url(), &["--slo", "lost==0"])
        .run()
        .exits(exit::FAILED)
        .json();
    assert_load(
        &result,
        &[
            ("planned", 500),
            ("sent", 500),
            ("expected", 500),
            ("received", 450),
            ("lost", 50),
        ],
    );
    assert_eq!(result["load"]["streams"][0]["lost"], 50);
    assert_eq!(result["load"]["subscribers"][0]["lost"], 50);
    assert_eq!(result["latency"]["response"]["count"], 450);
    assert_eq!(result["slo"][0]["observed"], 50.0);
}

#[test]
fn the_last_messages_are_lost_like_any_others() {
    let broker = FakeBroker::start(
        Script::new().fate(|k, published| if k < 493 { vec![published] } else { Vec::new() }),
    );
    let result = latency(&broker.ws_url(), &[])
        .run()
        .exits(exit::FAILED)
        .json();
    assert_load(&result, &[("received", 493), ("lost", 7)]);
}

#[test]
fn a_further_copy_is_counted_and_not_measured() {
    let broker = FakeBroker::start(Script::new().fate(|k, published| {
        if is_chosen(k) {
            vec![published.clone(), published]
        } else {
            vec![published]
        }
    }));
    let result = latency(&broker.ws_url(), &["--slo", "duplicated==0"])
        .run()
        .exits(exit::FAILED)
        .json();
    assert_load(
        &result,
        &[
            ("received", 500),
            ("lost", 0),
            ("duplicated", 50),
            ("reordered", 0),
        ],
    );
    assert_eq!(result["latency"]["response"]["count"], 500);
}

#[test]
fn a_message_that_was_overtaken_is_counted_as_reordered_and_not_as_lost() {
    let mut held = None;
    let broker = FakeBroker::start(Script::new().fate(move |k, published| {
        if is_chosen(k) {
            held = Some(published);
            return Vec::new();
        }
        [Some(published), held.take()]
            .into_iter()
            .flatten()
            .collect()
    }));
    let result = latency(&broker.ws_url(), &["--slo", "reordered==0"])
        .run()
        .exits(exit::FAILED)
        .json();
    assert_load(
        &result,
        &[
            ("received", 500),
            ("lost", 0),
            ("duplicated", 0),
            ("reordered", 50),
        ],
    );
    assert_eq!(result["latency"]["response"]["count"], 500);
}

#[test]
fn a_damaged_message_did_not_arrive_and_is_counted_as_undecodable() {
    let broker = FakeBroker::start(Script::new().fate(|k, mut published| {
        if is_chosen(k) {
            published.payload.truncate(40);
        }
        vec![published]
    }));
    let result = latency(&broker.ws_url(), &["--slo", "undecodable==0"])
        .run()
        .exits(exit::FAILED)
        .json();
    assert_load(
        &result,
        &[("received", 450), ("lost", 50), ("undecodable", 50)],
    );
}

#[test]
fn messages_that_were_encoded_anew_on_the_way_are_still_measured() {
    let broker = FakeBroker::start(Script::new().fate(|_, mut published| {
        let round: Value = serde_json::from_slice(&published.payload).expect("a round is JSON");
        // Other blanks, and the fields in another order.
        published.payload = serde_json::to_vec_pretty(&round).expect("a value is JSON");
        vec![published]
    }));
    let result = latency(&broker.ws_url(), &["--slo", "lost==0"])
        .run()
        .exits(exit::PASSED)
        .json();
    assert_load(
        &result,
        &[("received", 500), ("lost", 0), ("undecodable", 0)],
    );
    assert_eq!(result["latency"]["service"]["count"], 500);
    assert_eq!(result["trust"]["stamp_source"], "reencoded");
    assert!(
        result["trust"]["doubts"].to_string().contains("re-encoded"),
        "{result}"
    );
}

/// The same message, with another stamp.
fn restamped(published: &Published, change: impl Fn(&mut Stamp)) -> Published {
    let mut changed = published.clone();
    let mut stamp = Stamp::read_fixed(&changed.payload).expect("a stamp");
    change(&mut stamp);
    assert!(stamp.write_tail(&mut changed.payload));
    changed
}

#[test]
fn messages_of_another_run_are_set_aside() {
    let broker = FakeBroker::start(Script::new().fate(|k, published| {
        if is_chosen(k) {
            let foreign = restamped(&published, |stamp| stamp.run = RunId(!stamp.run.0));
            return vec![foreign, published];
        }
        vec![published]
    }));
    let result = latency(&broker.ws_url(), &["--slo", "lost==0"])
        .run()
        .exits(exit::PASSED)
        .json();
    assert_load(
        &result,
        &[
            ("received", 500),
            ("lost", 0),
            ("duplicated", 0),
            ("foreign", 50),
        ],
    );
    assert_eq!(result["latency"]["response"]["count"], 500);
}

#[test]
fn negative_latencies_are_counted_and_shown_and_leave_the_verdict_open() {
    const FUTURE_NS: u64 = 10_000_000_000;
    let broker = FakeBroker::start(Script::new().fate(|k, published| {
        if is_chosen(k) {
            return vec![restamped(&published, |stamp| {
                stamp.intended_ns += FUTURE_NS;
                stamp.sent_ns += FUTURE_NS;
            })];
        }
        vec![published]
    }));
    let result = latency(&broker.ws_url(), &["--slo", "p50<20s"])
        .run()
        .exits(exit::INCONCLUSIVE)
        .json();
    for latency in ["response", "service"] {
        assert_eq!(result["latency"][latency]["count"], 500);
        assert_eq!(result["latency"][latency]["negative"], 50);
        assert!(
            result["latency"][latency]["min_ns"]
                .as_i64()
                .expect("a minimum")
                < 0
        );
    }
    assert!(
        result["trust"]["doubts"].to_string().contains("negative"),
        "{result}"
    );
}

#[test]
fn faults_in_the_warm_up_do_not_reach_the_measured_phase() {
    // Given a broker that loses, doubles and delays messages of the warm-up until the first measured one is through
    let mut held = Vec::new();
    let broker = FakeBroker::start(Script::new().fate(move |k, published| {
        let stamp = Stamp::read_fixed(&published.payload).expect("a stamp");
        if stamp.phase == natsbench::measure::stamp::Phase::Measured {
            let late = std::mem::take(&mut held);
            return [vec![published], late].concat();
        }
        match k % 3 {
            0 => Vec::new(),
            1 => vec![published.clone(), published],
            _ => {
                held.push(published);
                Vec::new()
            }
        }
    }));
    let result = latency(
        &broker.ws_url(),
        &[
            "--warmup",
            "300ms",
            "--slo",
            "lost==0",
            "--slo",
            "reordered==0",
        ],
    )
    .run()
    .exits(exit::PASSED)
    .json();
    assert_load(
        &result,
        &[
            ("planned", 500),
            ("sent", 500),
            ("received", 500),
            ("duplicated", 0),
            ("reordered", 0),
        ],
    );
    assert_eq!(result["latency"]["response"]["count"], 500);
    assert_eq!(result["latency"]["lateness"]["count"], 500);
}

#[test]
fn without_any_message_a_run_is_inconclusive_and_never_passes() {
    let broker = FakeBroker::start(Script::new().fate(|_, _| Vec::new()));
    for slo in [&[][..], &["--slo", "p99<5s"]] {
        let result = latency(&broker.ws_url(), slo)
            .run()
            .exits(exit::INCONCLUSIVE)
            .json();
        assert_load(&result, &[("sent", 500), ("received", 0), ("lost", 500)]);
        assert!(
            result["reasons"].to_string().contains("no message arrived"),
            "{result}"
        );
    }
}

#[test]
fn a_subscriber_that_loses_its_connection_loses_its_tail_and_the_others_nothing() {
    for cut in [Cut::Fin, Cut::Reset] {
        // Given four subscribers, whose connections pass a proxy
        let broker = Broker::start();
        let proxy = FaultProxy::to(broker.ws_port());
        let run = latency_of(
            "1s",
            &proxy.ws_url(),
            &[
                "--pub-server",
                &broker.ws_url(),
                "--subscribers",
                "4",
                "--slo",
                "lost==0",
                "--max-reconnects",
                "0",
            ],
        )
        .spawn();
        eventually("messages to flow", || {
            (proxy.n_bytes(Direction::Down) > 100_000).then_some(())
        });
        // When one is cut
        proxy.cut(2, cut);
        // Then the run ends as planned, with a result
        let result = run.wait().exits(exit::UNREACHABLE).json();
        assert_eq!(result["ended"], "connection-lost", "{cut:?}: {result}");
        assert_load(
            &result,
            &[("planned", 1_000), ("sent", 1_000), ("expected", 4_000)],
        );
        let lost: Vec<u64> = result["load"]["subscribers"]
            .as_array()
            .expect("subscribers")
            .iter()
            .map(|subscriber| {
                let count = |name: &str| subscriber[name].as_u64().expect("a count");
                assert_eq!(count("received") + count("lost"), 1_000, "{result}");
                count("lost")
            })
            .collect();
        assert_eq!(lost.iter().filter(|lost| **lost > 0).count(), 1, "{lost:?}");
        let n_lost: u64 = lost.iter().sum();
        assert_load(&result, &[("lost", n_lost), ("received", 4_000 - n_lost)]);
        assert_eq!(result["load"]["streams"][0]["lost"], n_lost);
        assert!(
            result["trust"]["doubts"]
                .to_string()
                .contains("the connection of subscriber"),
            "{result}"
        );
        assert_eq!(result["slo"][0]["verdict"], "fail");
    }
}

#[test]
fn a_publisher_that_loses_its_connection_leaves_a_partial_result() {
    for cut in [Cut::Fin, Cut::Reset] {
        let broker = Broker::start();
        let proxy = FaultProxy::to(broker.ws_port());
        let run = latency_of(
            "5s",
            &broker.ws_url(),
            &[
                "--pub-server",
                &proxy.ws_url(),
                "--slo",
                "p50<10s",
                "--max-reconnects",
                "0",
            ],
        )
        .spawn();
        eventually("messages to flow", || {
            (proxy.n_bytes(Direction::Up) > 100_000).then_some(())
        });
        proxy.cut(0, cut);
        let result = run.wait().exits(exit::UNREACHABLE).json();
        assert_eq!(result["ended"], "connection-lost", "{cut:?}: {result}");
        let count = |name: &str| result["load"][name].as_u64().expect("a count");
        assert_eq!(count("planned"), 5_000);
        assert!(count("sent") < 5_000 && count("received") > 0, "{result}");
        assert_eq!(count("sent") + count("not_sent"), count("planned"));
        assert_accounted_for(&result);
        assert_eq!(result["latency"]["response"]["count"], count("received"));
        assert!(
            result["trust"]["doubts"]
                .to_string()
                .contains("the connection of publisher 0"),
            "{result}"
        );
    }
}

#[test]
fn the_other_publishers_keep_their_share_when_one_is_lost() {
    let broker = Broker::start();
    let proxy = FaultProxy::to(broker.ws_port());
    let run = latency_of(
        "1s",
        &broker.ws_url(),
        &[
            "--pub-server",
            &proxy.ws_url(),
            "--publishers",
            "4",
            "--max-reconnects",
            "0",
        ],
    )
    .spawn();
    eventually("messages to flow", || {
        (proxy.n_bytes(Direction::Up) > 100_000).then_some(())
    });
    proxy.cut(1, Cut::Reset);
    let result = run.wait().exits(exit::UNREACHABLE).json();
    let mut sent: Vec<u64> = result["load"]["streams"]
        .as_array()
        .expect("streams")
        .iter()
        .map(|stream| stream["sent"].as_u64().expect("a count"))
        .collect();
    sent.sort_unstable();
    assert_eq!(sent[1..], [250, 250, 250], "{result}");
    assert!(sent[0] < 250, "{result}");
}

#[test]
fn a_broker_that_is_killed_leaves_a_partial_result() {
    let broker = Broker::start();
    let proxy = FaultProxy::to(broker.ws_port());
    let run = latency_of("5s", &proxy.ws_url(), &["--max-reconnects", "0"]).spawn();
    eventually("messages to flow", || {
        (proxy.n_bytes(Direction::Down) > 100_000).then_some(())
    });
    broker.signal(Signal::KILL);
    let result = run.wait().exits(exit::UNREACHABLE).json();
    assert_eq!(result["ended"], "connection-lost");
    let count = |name: &str| result["load"][name].as_u64().expect("a count");
    assert_eq!(count("planned"), 5_000);
    assert!(count("sent") < 5_000 && count("received") > 0, "{result}");
    assert_accounted_for(&result);
}

#[test]
fn a_broker_that_freezes_does_not_freeze_the_run() {
    for client in ["raw", "async-nats"] {
        // Given messages so large that buffers are soon full
        let broker = Broker::start();
        let proxy = FaultProxy::to(broker.ws_port());
        let run = latency_of(
            "1s",
            &proxy.ws_url(),
            &["--size", "16KiB", "--slo", "lost==0", "--client", client],
        )
        .spawn();
        eventually("messages to flow", || {
            (proxy.n_bytes(Direction::Down) > 500_000).then_some(())
        });
        // When the broker freezes for good
        broker.signal(Signal::STOP);
        // Then every message of the schedule is accounted for. A library does not tell what the broker has acknowledged.
        let (code, missing) = match client {
            "raw" => (exit::INCONCLUSIVE, "in_doubt"),
            _ => (exit::FAILED, "lost"),
        };
        let result = run.wait().exits(code).json();
        let count = |name: &str| result["load"][name].as_u64().expect("a count");
        assert_eq!(count("planned"), 1_000, "{client}: {result}");
        assert!(
            count(missing) > 0 && count("sent") <= count("planned"),
            "{client}: {result}"
        );
        assert_accounted_for(&result);
        assert_eq!(
            result["latency"]["lateness"]["count"],
            count("sent"),
            "{client}: {result}"
        );
    }
}

#[test]
fn a_broker_that_freezes_ends_a_publisher_without_a_schedule_too() {
    for client in ["raw", "async-nats"] {
        let broker = Broker::start();
        let proxy = FaultProxy::to(broker.ws_port());
        let run = Natsbench::new([
            "pub",
            "--rate",
            "max",
            "--count",
            "1000000",
            "--size",
            "16KiB",
            "--client",
            client,
            "-o",
            "json",
            "--server",
            &proxy.ws_url(),
        ])
        .spawn();
        eventually("messages to flow", || {
            (proxy.n_bytes(Direction::Up) > 1_000_000).then_some(())
        });
        broker.signal(Signal::STOP);
        let result = run.wait().exits(exit::INCONCLUSIVE).json();
        assert_eq!(result["load"]["planned"], 2_000_000);
        assert!(
            result["load"]["sent"].as_u64() < Some(2_000_000),
            "{client}: {result}"
        );
    }
}

#[test]
fn an_interrupted_run_counts_what_was_due_until_then_and_loses_nothing() {
    let broker = FakeBroker::start(Script::new());
    let run = latency_of("1h", &broker.ws_url(), &[]).spawn();
    eventually("messages to flow", || {
        (broker.n_published() > 300).then_some(())
    });
    run.signal(Signal::INT);
    let result = run.wait().exits(exit::INTERRUPTED).json();
    let count = |name: &str| result["load"][name].as_u64().expect("a count");
    assert_eq!(result["ended"], "interrupted");
    assert!(count("planned") > 300, "{result}");
    assert_eq!(
        (count("sent"), count("received"), count("lost")),
        (count("planned"), count("planned"), 0)
    );
    assert_eq!(broker.n_published(), count("sent"));
}

#[test]
fn a_run_that_is_interrupted_in_its_warm_up_measures_nothing() {
    let broker = FakeBroker::start(Script::new());
    let run = latency(&broker.ws_url(), &["--warmup", "1h"]).spawn();
    eventually("messages to flow", || {
        (broker.n_published() > 100).then_some(())
    });
    run.signal(Signal::INT);
    let result = run.wait().exits(exit::INTERRUPTED).json();
    assert_load(
        &result,
        &[("planned", 0), ("sent", 0), ("received", 0), ("lost", 0)],
    );
}

/// Publishes 100 rounds and then one message that is no round, behind which a subscriber knows that everything is there.
fn publish_to_subscriber(script: Script, n_arriving: u64) -> Value {
    let broker = FakeBroker::start(script);
    let url = broker.ws_url();
    let count = (n_arriving + 1).to_string();
    let subscriber = Natsbench::new([
        "sub",
        "rounds.game.*",
        "--stats",
        "--count",
        &count,
        "-o",
        "json",
        "--server",
        &url,
    ])
    .spawn();
    eventually("the subscriber", || {
        (broker.n_subscriptions() == 2).then_some(())
    });
    let publisher = Natsbench::new([
        "pub", "--rate", "1000", "--count", "100", "--route", "game", "--games", "crash",
        "--server", &url,
    ]);
    publisher.run().exits(exit::PASSED);
    broker.publish("rounds.game.crash", b"{}");
    let finished = subscriber.wait();
    finished.json()
}

#[test]
fn a_subscriber_in_another_process_counts_the_lost_tail_by_the_end_of_run_message() {
    let script = Script::new().fate(|k, published| {
        if k < 95 && k != 50 {
            vec![published]
        } else {
            Vec::new()
        }
    });
    let result = publish_to_subscriber(script, 94);
    assert_load(
        &result,
        &[
            ("received", 95),
            ("lost", 6),
            ("tail_unknown_streams", 0),
            ("unstamped", 1),
        ],
    );
    assert_eq!(result["verdict"], "fail");
}

#[test]
fn without_the_end_of_run_message_the_tail_is_unknown_and_not_lost() {
    let script = Script::new()
        .fate(|k, published| {
            if k < 95 && k != 50 {
                vec![published]
            } else {
                Vec::new()
            }
        })
        .drop_end_of_run();
    let result = publish_to_subscriber(script, 94);
    assert_load(
        &result,
        &[("received", 95), ("lost", 1), ("tail_unknown_streams", 1)],
    );
    assert_eq!(result["load"]["expected"], Value::Null);
}

#[test]
fn a_subscriber_that_gets_nothing_of_a_run_still_learns_what_it_lost() {
    let result = publish_to_subscriber(Script::new().fate(|_, _| Vec::new()), 0);
    assert_load(&result, &[("received", 1), ("lost", 100)]);
}
