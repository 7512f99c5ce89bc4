//! Fixed results for the tests of renderers and of the schema: nothing in them depends on time or machine.

use std::collections::BTreeMap;

use super::{
    Bar, ConnectionResult, Ended, Environment, LatencyResult, LatencyStats, Load, RateResult,
    RunResult, SCHEMA, SloResult, StreamLoad, SubscriberLoad, Trust, Verdict,
};

mod outages;

pub(crate) use outages::{checkpoint, gave_up, restarted};

/// Every fixed result, by name.
pub(crate) fn all() -> [(&'static str, RunResult); 9] {
    [
        ("pass", pass()),
        ("fail", fail()),
        ("inconclusive", inconclusive()),
        ("silent", silent()),
        ("pub", publish()),
        ("sub", subscribe()),
        ("restarted", restarted()),
        ("gave_up", gave_up()),
        ("checkpoint", checkpoint()),
    ]
}

/// A `latency` run that met its objectives.
pub(crate) fn pass() -> RunResult {
    RunResult {
        schema: SCHEMA.to_owned(),
        command: "latency".to_owned(),
        verdict: Verdict::Pass,
        slo: vec![
            SloResult {
                observed_ns: Some(842_000),
                ..objective("p99<2ms", Verdict::Pass)
            },
            SloResult {
                observed: Some(0.0),
                ..objective("lost==0", Verdict::Pass)
            },
        ],
        load: Load {
            planned: Some(2_000),
            sent: Some(2_000),
            expected: Some(2_000),
            received: 2_000,
            lost: Some(0),
            streams: vec![
                stream("rounds.game.crash", 512, 0),
                stream("rounds.game.double", 488, 0),
                stream("rounds.game.wall-street", 503, 0),
                stream("rounds.game.slot", 497, 0),
            ],
            subscribers: vec![SubscriberLoad {
                idx: 0,
                expected: Some(2_000),
                received: 2_000,
                lost: 0,
                in_doubt: 0,
                duplicated: 0,
                reordered: 0,
            }],
            ..Load::default()
        },
        rate: RateResult {
            target_per_s: Some(200.0),
            sent_per_s: Some(200.0),
            received_per_s: Some(200.0),
        },
        latency: Some(LatencyResult {
            response: Some(stats(2_000, 96_000)),
            service: Some(stats(2_000, 61_000)),
            lateness: Some(stats(2_000, 31_000)),
        }),
        connection: Some(connection("ws://localhost:8443")),
        publisher_connection: Some(connection("ws://localhost:8443")),
        trust: trust(),
        environment: environment(),
        started_at: "2024-01-15T10:30:00.000Z".to_owned(),
        duration_ns: 12_345_678_901,
        ended: Ended::Completed,
        outages: Vec::new(),
        n_outages: 0,
        reasons: Vec::new(),
        histogram: Some(bars()),
        settings: settings(&[("rate", "200/s"), ("duration", "10 s"), ("route", "game")]),
    }
}

/// A `latency` run over TLS that lost messages and was too slow.
pub(crate) fn fail() -> RunResult {
    let mut result = pass();
    result.verdict = Verdict::Fail;
    result.reasons = vec![
        "p99<2ms was missed, it was 8.42 ms".to_owned(),
        "lost==0 was missed, it was 18".to_owned(),
    ];
    result.slo = vec![
        SloResult {
            observed_ns: Some(8_420_000),
            ..objective("p99<2ms", Verdict::Fail)
        },
        SloResult {
            observed: Some(18.0),
            ..objective("lost==0", Verdict::Fail)
        },
        SloResult {
            observed: Some(1.0),
            ..objective("rate>=99%", Verdict::Pass)
        },
    ];
    result.load.received = 1_982;
    result.load.lost = Some(18);
    result.load.duplicated = 2;
    result.load.reordered = 1_204;
    result.load.undecodable = 1;
    result.load.unstamped = 4;
    result.load.foreign = 37;
    result.load.streams[3] = stream("rounds.game.slot", 479, 18);
    result.load.streams[0].duplicated = 2;
    result.load.streams[0].reordered = 1_204;
    result.load.subscribers = vec![SubscriberLoad {
        idx: 0,
        expected: Some(2_000),
        received: 1_982,
        lost: 18,
        in_doubt: 0,
        duplicated: 2,
        reordered: 1_204,
    }];
    result.latency = Some(LatencyResult {
        response: Some(LatencyStats {
            negative: 3,
            min_ns: -412_000,
            ..stats(1_982, 960_000)
        }),
        service: Some(LatencyStats {
            clipped: 1,
            ..stats(1_982, 910_000)
        }),
        lateness: Some(stats(2_000, 31_000)),
    });
    let secure = ConnectionResult {
        tls_ns: Some(3_120_000),
        compressed: true,
        masked: false,
        tls: true,
        verified: Some(false),
        ..connection("wss://edge-7.broker.example.com:8443/nats")
    };
    result.connection = Some(secure.clone());
    result.publisher_connection = Some(ConnectionResult {
        client: "async-nats".to_owned(),
        ..secure
    });
    result.trust.clock_step_ns = None;
    result.trust.cpu_throttled_ns = Some(1_530_000_000);
    result.trust.doubts = vec![
        "3 latencies are negative: the clocks of publisher and subscriber disagree".to_owned(),
    ];
    result
}

/// A short `latency` run whose generator was late and whose clock was set.
pub(crate) fn inconclusive() -> RunResult {
    let few = |scale_ns: i64| LatencyStats {
        p90_ns: None,
        p99_ns: None,
        p99_9_ns: None,
        p99_99_ns: None,
        ..stats(60, scale_ns)
    };
    let mut result = pass();
    let doubts = [
        "the generator was late: p99 of lateness is 12.4 ms",
        "the wall clock was set by -7.00 ms during the run",
    ];
    let why_few = "there were 60 samples, this percentile needs 1,000";
    let why_late = "the generator was late by 12.4 ms, the limit is 1.00 ms";
    result.verdict = Verdict::Inconclusive;
    result.ended = Ended::Interrupted;
    result.slo = vec![
        SloResult {
            why: Some(why_few.to_owned()),
            ..objective("p99<2ms", Verdict::Inconclusive)
        },
        SloResult {
            observed_ns: Some(96_000),
            why: Some(why_late.to_owned()),
            ..objective("p50<1ms", Verdict::Inconclusive)
        },
        SloResult {
            observed: Some(0.0),
            ..objective("lost==0", Verdict::Pass)
        },
    ];
    result.reasons = vec![
        format!("p99<2ms: {why_few}"),
        format!("p50<1ms: {why_late}"),
        "the run was interrupted".to_owned(),
    ];
    result.load = Load {
        planned: Some(60),
        sent: Some(60),
        expected: Some(60),
        received: 60,
        lost: Some(0),
        streams: vec![stream("rounds.game.crash", 60, 0)],
        ..Load::default()
    };
    result.rate.sent_per_s = Some(187.316_4);
    result.latency = Some(LatencyResult {
        response: Some(few(96_000)),
        service: Some(few(61_000)),
        lateness: Some(few(31_000)),
    });
    let mut bars = bars();
    bars.truncate(3);
    for (bar, count) in bars.iter_mut().zip([41, 16, 3]) {
        bar.count = count;
    }
    result.histogram = Some(bars);
    result.trust.lateness_p50_ns = Some(1_200_000);
    result.trust.lateness_p99_ns = Some(12_400_000);
    result.trust.clock_step_ns = Some(-7_000_000);
    result.trust.doubts = doubts.map(str::to_owned).into();
    result
}

/// A `latency` run in which nothing arrived, because the broker refused to publish.
pub(crate) fn silent() -> RunResult {
    let refused = "the broker answered 2,000 times with an error: Permissions Violation for Publish \
                   to \"rounds.game.crash\"; Permissions Violation for Publish to \"rounds.game.slot\"";
    let mut result = pass();
    result.verdict = Verdict::Inconclusive;
    result.reasons = vec!["no message arrived".to_owned(), refused.to_owned()];
    result.slo = vec![SloResult {
        why: Some("there were no samples".to_owned()),
        ..objective("p99<2ms", Verdict::Inconclusive)
    }];
    result.load = Load {
        planned: Some(2_000),
        sent: Some(2_000),
        expected: Some(2_000),
        received: 0,
        lost: Some(2_000),
        refused: 2_000,
        streams: vec![stream("rounds.game.crash", 0, 2_000)],
        ..Load::default()
    };
    result.rate.received_per_s = Some(0.0);
    result.latency = Some(LatencyResult {
        response: None,
        service: None,
        lateness: Some(stats(2_000, 31_000)),
    });
    result.histogram = None;
    result.trust.stamp_source = Some("none".to_owned());
    result.trust.doubts = vec![refused.to_owned()];
    result
}

/// A `pub` run at a high rate, in ticks.
pub(crate) fn publish() -> RunResult {
    let mut result = pass();
    result.command = "pub".to_owned();
    result.slo = Vec::new();
    result.load = Load {
        planned: Some(2_000_000),
        sent: Some(2_000_000),
        streams: vec![
            StreamLoad {
                expected: None,
                received: 0,
                lost: None,
                ..stream("rounds.game.crash", 1_000_000, 0)
            },
            StreamLoad {
                expected: None,
                received: 0,
                lost: None,
                ..stream("rounds.type.multiplier", 1_000_000, 0)
            },
        ],
        ..Load::default()
    };
    result.rate = RateResult {
        target_per_s: Some(100_000.0),
        sent_per_s: Some(99_998.213),
        received_per_s: None,
    };
    result.latency = Some(LatencyResult {
        response: None,
        service: None,
        lateness: Some(stats(1_000_000, 240_000)),
    });
    result.histogram = None;
    result.publisher_connection = None;
    result.trust.tick_ns = Some(500_000);
    result.trust.stamp_source = None;
    result.settings = settings(&[("rate", "100,000/s"), ("count", "1,000,000")]);
    result
}

/// A `sub` run that saw a part of two runs, one of which did not announce its end.
pub(crate) fn subscribe() -> RunResult {
    let of_run = |run: &str, row: StreamLoad| StreamLoad {
        run: run.to_owned(),
        sent: None,
        ..row
    };
    let mut result = pass();
    result.command = "sub".to_owned();
    result.verdict = Verdict::Fail;
    result.reasons = vec!["3 messages were lost".to_owned()];
    result.slo = Vec::new();
    result.load = Load {
        received: 5_000,
        lost: Some(3),
        duplicated: 1,
        unstamped: 12,
        tail_unknown_streams: 1,
        streams: vec![
            of_run("0000beef", stream("rounds.type.color", 2_990, 3)),
            of_run(
                "89abcdef",
                StreamLoad {
                    expected: None,
                    ..stream("rounds.type.slots", 1_998, 0)
                },
            ),
        ],
        ..Load::default()
    };
    result.rate = RateResult {
        received_per_s: Some(399.84),
        ..RateResult::default()
    };
    result.publisher_connection = None;
    result.trust = Trust {
        cpu_throttled_ns: Some(0),
        cpu_steal_ratio: Some(0.0),
        stamp_source: Some("stamp".to_owned()),
        ..Trust::default()
    };
    result.settings = settings(&[("subjects", "rounds.type.*"), ("connections", "1")]);
    result
}

fn objective(expr: &str, verdict: Verdict) -> SloResult {
    SloResult {
        expr: expr.to_owned(),
        verdict,
        observed_ns: None,
        observed: None,
        why: None,
    }
}

fn stream(subject: &str, received: u64, lost: u64) -> StreamLoad {
    StreamLoad {
        run: String::new(),
        publisher: 0,
        subject: subject.to_owned(),
        sent: Some(received + lost),
        expected: Some(received + lost),
        received,
        lost: Some(lost),
        in_doubt: None,
        duplicated: 0,
        reordered: 0,
    }
}

/// A plausible distribution around `p50_ns`.
fn stats(count: u64, p50_ns: i64) -> LatencyStats {
    LatencyStats {
        count,
        min_ns: p50_ns / 2,
        p50_ns: Some(p50_ns),
        p90_ns: Some(p50_ns * 2),
        p99_ns: Some(p50_ns * 8 + 74_000),
        p99_9_ns: None,
        p99_99_ns: None,
        max_ns: p50_ns * 31,
        mean_ns: p50_ns + p50_ns / 7,
        negative: 0,
        clipped: 0,
    }
}

fn bars() -> Vec<Bar> {
    let edges = [
        48_000, 78_000, 126_000, 203_000, 329_000, 534_000, 866_000, 1_404_000, 2_977_000,
    ];
    let counts = [402, 1_130, 310, 94, 41, 15, 0, 8];
    edges
        .windows(2)
        .zip(counts)
        .map(|(edge, count)| Bar {
            from_ns: edge[0],
            to_ns: edge[1],
            count,
        })
        .collect()
}

fn connection(url: &str) -> ConnectionResult {
    ConnectionResult {
        url: url.to_owned(),
        client: "raw".to_owned(),
        server_version: Some("2.15.1".to_owned()),
        server_name: Some("NAME".to_owned()),
        dns_ns: Some(412_000),
        tcp_ns: Some(58_300),
        tls_ns: None,
        upgrade_ns: Some(1_204_000),
        info_ns: Some(374_000),
        connect_ns: Some(298_000),
        reconnects: 0,
        compressed: false,
        masked: true,
        tls: false,
        verified: None,
    }
}

fn trust() -> Trust {
    Trust {
        rate_ratio: Some(1.0),
        lateness_p50_ns: Some(31_000),
        lateness_p99_ns: Some(322_000),
        held_back_rounds: Some(0),
        tick_ns: None,
        cpu_throttled_ns: Some(0),
        cpu_steal_ratio: Some(0.004_2),
        hiccup_max_ns: Some(2_690_000),
        hiccup_p99_ns: Some(181_000),
        clock_step_ns: None,
        stamp_source: Some("stamp".to_owned()),
        doubts: Vec::new(),
    }
}

fn environment() -> Environment {
    Environment {
        natsbench_version: "0.1.0".to_owned(),
        os: "linux".to_owned(),
        kernel: Some("6.8.0".to_owned()),
        cpu_model: Some("Example CPU @ 2.40GHz".to_owned()),
        n_cpus: Some(2),
        clocksource: Some("tsc".to_owned()),
    }
}

fn settings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}
