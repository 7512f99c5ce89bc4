//! `--client async-nats`: the library delivers everything, and what it cannot do is said before anything is connected.

use natsbench::cli::exit;

use crate::harness::{Broker, completed, latency, publish, subscribe, subscribed};

#[test]
fn the_library_delivers_everything_over_ws_and_tcp() {
    let broker = Broker::builder().config("trace: true").start();
    for (idx, url) in [broker.ws_url(), broker.client_url()].iter().enumerate() {
        let args = [
            "-s",
            url,
            "--client",
            "async-nats",
            "--publishers",
            "2",
            "--subscribers",
            "2",
        ];
        let result = completed(&latency(&args).run());
        assert_eq!(result["load"]["received"], 200, "{result}");
        assert_eq!(result["load"]["lost"], 0, "{result}");
        assert_eq!(result["connection"]["client"], "raw");
        assert_eq!(result["publisher_connection"]["client"], "async-nats");

        let subscriber = subscribe(&["rounds.>", "-s", url, "--count", "10"]).spawn();
        subscribed(&broker, "_NATSBENCH.end.*", idx + 1);
        let published = completed(&publish(&["-s", url, "--client", "async-nats"]).run());
        assert_eq!(published["load"]["sent"], 10);
        assert_eq!(completed(&subscriber.wait())["load"]["received"], 10);
    }
}

#[test]
fn the_library_logs_in_and_tries_the_next_server() {
    let closed = Broker::builder()
        .config("authorization { token: other }")
        .start();
    let broker = Broker::builder()
        .config("authorization { user: u, password: p }")
        .start();
    let servers = format!(
        "{},{}",
        closed.ws_url(),
        broker.ws_url().replace("://", "://u:p@")
    );
    completed(&publish(&["-s", &servers, "--client", "async-nats"]).run());
    let run = publish(&[
        "-s",
        &closed.ws_url(),
        "--client",
        "async-nats",
        "--token",
        "s3cr3t",
    ]);
    let finished = run.run().exits(exit::UNREACHABLE);
    assert!(
        finished.stderr.contains("authorization violation"),
        "{}",
        finished.stderr
    );
    assert!(!finished.stderr.contains("s3cr3t"), "{}", finished.stderr);
}

#[test]
fn what_the_library_cannot_do_is_wrong_usage_and_nothing_is_connected() {
    let broker = Broker::builder().config("debug: true").start();
    let url = broker.ws_url();
    for args in [
        &["--compression"][..],
        &["--no-masking"],
        &["--header", "A: b"],
        &["--origin", "https://h"],
        &["--user-agent", "x"],
    ] {
        let args = [&["-s", &url, "--client", "async-nats"][..], args].concat();
        for run in [publish(&args), latency(&args)] {
            let finished = run.run().exits(exit::USAGE);
            assert!(
                finished.stderr.contains("`--client raw`"),
                "{}",
                finished.stderr
            );
        }
    }
    assert!(
        !broker.log().contains("Client connection created"),
        "{}",
        broker.log()
    );
}
