//! How a run ends that had outages, or has one: always, on its own, with the right exit code, and on every transport.

use natsbench::cli::exit;
use rustix::process::Signal;

use super::run::{Run, await_growth};
use crate::harness::{Authority, Broker, Cut, FakeBroker, Fault, Script, Whom, eventually};

/// Cuts everybody who has this role at message 100, and lets the run of 400 rounds come to its end.
fn run_with_a_cut(whom: Whom, args: &[&str]) -> super::run::Outcome {
    let broker = FakeBroker::start(Script::new().at(100, whom, Fault::Cut(Cut::Fin)));
    let args = [&["--duration", "800ms"], args].concat();
    let outcome = Run::latency(&broker.ws_url(), &args).finish();
    assert_eq!(outcome.result["ended"], "completed");
    assert_eq!(outcome.load("planned"), 400);
    outcome
}

#[test]
fn a_run_that_lost_messages_in_an_outage_fails_and_one_with_doubts_is_inconclusive() {
    let outcome = run_with_a_cut(Whom::Subscribers, &[]);
    assert!(outcome.load("lost") > 0);
    assert_eq!(outcome.code, Some(i32::from(exit::FAILED)));
    let outcome = run_with_a_cut(Whom::Publisher, &[]);
    assert_eq!(outcome.load("lost"), 0);
    let code = outcome.code.expect("it ended by itself");
    let expected = match outcome.load("in_doubt") {
        // How far the broker had read when it was cut decides.
        0 => [exit::PASSED, exit::INCONCLUSIVE].map(i32::from),
        _ => [i32::from(exit::INCONCLUSIVE); 2],
    };
    assert!(expected.contains(&code), "{code}: {:#}", outcome.result);
    // An objective that is not met fails whatever else there is.
    let outcome = run_with_a_cut(Whom::All, &["--slo", "response.max<1ns"]);
    assert_eq!(outcome.code, Some(i32::from(exit::FAILED)));
}

#[test]
fn a_run_whose_broker_never_comes_back_ends_when_it_was_to_end() {
    for while_down in ["send", "skip"] {
        let mut broker = Broker::monitored();
        let args = [
            "--duration",
            "3s",
            "--drain",
            "500ms",
            "--while-down",
            while_down,
        ];
        let run = Run::latency(&broker.ws_url(), &args);
        broker.await_published(100);
        broker.kill();
        let outcome = run.finish();
        assert_ne!(outcome.code, Some(i32::from(exit::PASSED)));
        assert_eq!(outcome.load("planned"), 1_500);
        assert!(outcome.load("received") > 0);
        let n_left = outcome.load("skipped") + outcome.load("not_sent");
        assert!(n_left > 0, "{:#}", outcome.result["load"]);
        for role in ["subscriber", "publisher"] {
            let outage = outcome.outages(role)[0];
            assert!(outage["duration_ns"].is_null(), "{outage:#}");
        }
    }
}

#[test]
fn a_connection_that_is_lost_with_the_last_message_is_no_reason_to_wait_for_ever() {
    for whom in [Whom::Subscribers, Whom::Publisher, Whom::All] {
        let broker = FakeBroker::start(Script::new().at(399, whom, Fault::Cut(Cut::Fin)));
        let args = ["--duration", "800ms", "--drain", "500ms"];
        let outcome = Run::latency(&broker.ws_url(), &args).finish();
        let load = &outcome.result["load"];
        assert_eq!(outcome.load("sent"), 400, "{load:#}");
        // Who published the last message knows only that it was sent.
        let n_missing = u64::from(whom != Whom::Publisher);
        let n_received = 400 - n_missing;
        assert_eq!(outcome.load("received"), n_received, "{whom:?}: {load:#}");
    }
}

#[test]
fn a_run_that_is_not_to_reconnect_ends_with_its_connection() {
    let broker = FakeBroker::start(Script::new().at(100, Whom::All, Fault::Cut(Cut::Fin)));
    let outcome = Run::latency(&broker.ws_url(), &["--max-reconnects", "0"]).finish();
    assert_eq!(outcome.code, Some(i32::from(exit::UNREACHABLE)));
    assert_eq!(outcome.result["ended"], "connection-lost");
    assert_eq!(outcome.load("received"), 100);
    for role in ["subscriber", "publisher"] {
        assert_eq!(outcome.outages(role)[0]["attempts"], 0);
    }
}

#[test]
fn commands_of_one_role_end_on_time_although_their_broker_is_gone() {
    let mut broker = Broker::monitored();
    let url = broker.ws_url();
    let publisher = Run::publish(&url, &["--duration", "3s"]);
    let counting = Run::publish(&url, &["--count", "1500"]);
    let subscriber = Run::subscribe(&url, &["--duration", "3s"]);
    subscriber.await_events("subscriber", "connected", 1);
    broker.await_published(100);
    broker.kill();
    for run in [publisher, counting] {
        let outcome = run.finish();
        assert_ne!(outcome.code, Some(i32::from(exit::PASSED)));
        assert_eq!(outcome.load("planned"), 1_500);
        assert!(outcome.load("not_sent") > 0, "{:#}", outcome.result);
    }
    let outcome = subscriber.finish();
    assert_eq!(outcome.result["ended"], "completed");
    assert_eq!(outcome.outages("subscriber").len(), 1);
}

#[test]
fn a_run_whose_broker_is_frozen_can_be_interrupted() {
    let broker = Broker::monitored();
    let run = Run::latency(&broker.ws_url(), &["--drain", "500ms"]);
    broker.await_published(100);
    broker.signal(Signal::STOP);
    let outcome = run.interrupt();
    assert!(outcome.load("received") > 0);
    let run = Run::latency(&broker.ws_url(), &["--drain", "500ms"]);
    // The kernel accepts the connection, and nobody answers.
    broker.signal(Signal::CONT);
    run.await_events("publisher", "connected", 1);
    run.interrupt();
}

#[test]
fn an_outage_in_the_warm_up_does_not_reach_the_measured_phase() {
    let broker = FakeBroker::start(Script::new());
    let run = Run::latency(&broker.ws_url(), &["--warmup", "3s"]);
    eventually("the warm-up", || (broker.n_published() > 50).then_some(()));
    broker.strike(Whom::All, &Fault::Cut(Cut::Reset));
    run.await_events("subscriber", "reconnected", 1);
    run.await_events("publisher", "reconnected", 1);
    eventually("the measured phase", || {
        (broker.ledger().accepted.n_measured() > 50).then_some(())
    });
    let outcome = run.interrupt();
    let load = &outcome.result["load"];
    assert_eq!(outcome.load("received"), outcome.load("sent"), "{load:#}");
    assert_eq!(outcome.load("duplicated"), 0, "{load:#}");
    assert_eq!(
        outcome.load("sent"),
        broker.ledger().accepted.n_measured(),
        "{load:#}"
    );
}

#[test]
fn every_publisher_and_every_stream_has_books_of_its_own() {
    let mut broker = Broker::monitored();
    let args = [
        "--publishers",
        "3",
        "--subscribers",
        "2",
        "--route",
        "both",
        "--games",
        "crash,double",
    ];
    let run = Run::latency(&broker.ws_url(), &args);
    broker.await_published(300);
    for n_outages in 1..=3 {
        broker.kill();
        broker.start_again();
        run.await_events("subscriber", "reconnected", 2 * n_outages);
        run.await_events("publisher", "reconnected", 3 * n_outages);
        await_growth("published messages", 100, || broker.n_published());
    }
    let outcome = run.interrupt();
    let load = &outcome.result["load"];
    let streams = load["streams"].as_array().expect("streams");
    assert!(streams.len() > 3, "{load:#}");
    for stream in streams {
        let count = |name: &str| stream[name].as_u64().unwrap_or(0);
        let parts = count("received") + count("lost") + count("in_doubt");
        assert_eq!(count("expected"), parts, "{stream:#}");
    }
    assert_eq!(outcome.load("duplicated"), 0);
}

#[test]
fn connections_come_back_on_every_transport_and_by_every_client() {
    let mut broker = Broker::builder()
        .monitored()
        .websocket("no_tls: true, compression: true")
        .start();
    let (ws, nats) = (broker.ws_url(), broker.client_url());
    let runs = [
        (&ws, vec!["--compression"]),
        (&ws, vec!["--no-masking"]),
        (&ws, vec!["--client", "async-nats"]),
        (&nats, vec![]),
        (&nats, vec!["--client", "async-nats"]),
    ];
    let prefixes = ["a", "b", "c", "d", "e"];
    let running: Vec<(Run, Vec<&str>)> = runs
        .into_iter()
        .zip(prefixes)
        .map(|((url, args), prefix)| {
            let all = [&args[..], &["--prefix", prefix, "--rate", "100"]].concat();
            (Run::latency(url, &all), args)
        })
        .collect();
    for (run, _) in &running {
        run.await_events("subscriber", "connected", 1);
        run.await_events("publisher", "connected", 1);
    }
    await_growth("published messages", 200, || broker.n_published());
    broker.kill();
    broker.start_again();
    for (run, _) in &running {
        run.await_events("subscriber", "reconnected", 1);
        run.await_events("publisher", "reconnected", 1);
    }
    await_growth("published messages", 200, || broker.n_published());
    for (run, args) in running {
        let outcome = run.interrupt();
        let publisher = outcome.outage("publisher");
        outcome.outage("subscriber");
        let is_library = args.contains(&"async-nats");
        let kind = publisher["cause"]["kind"].as_str().expect("a kind");
        assert_eq!(kind == "library", is_library, "{args:?}: {publisher:#}");
        assert!(outcome.load("received") > 0, "{args:?}");
    }
}

#[test]
fn a_connection_comes_back_over_tls() {
    let authority = Authority::new();
    let server = authority.issue(&["127.0.0.1"]);
    let tls = "tls { cert_file: \"@DIR@/s.crt\", key_file: \"@DIR@/s.key\", timeout: 10 }";
    let mut broker = Broker::builder()
        .monitored()
        .websocket(tls)
        .file("s.crt", &server.certificate)
        .file("s.key", &server.key)
        .file("ca.crt", &authority.pem())
        .start();
    let ca = broker.dir().join("ca.crt");
    let args = ["--tlsca", ca.to_str().expect("a UTF-8 path")];
    let run = Run::latency(&broker.ws_url(), &args);
    broker.await_published(50);
    broker.shut_down();
    broker.start_again();
    run.await_events("subscriber", "reconnected", 1);
    run.await_events("publisher", "reconnected", 1);
    await_growth("published messages", 50, || broker.n_published());
    let outcome = run.interrupt();
    for role in ["subscriber", "publisher"] {
        let cause = &outcome.outage(role)["cause"];
        assert_eq!(cause["close_code"], 1001, "{role}: {cause:#}");
    }
}
