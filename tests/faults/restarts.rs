//! Real brokers that end, freeze, come back, change their mind, or send clients away.

use std::time::Duration;

use natsbench::cli::exit;
use natsbench::clock::Clock;
use rustix::process::Signal;

use super::run::{Outcome, Run, await_growth};
use crate::harness::{
    Broker, Cluster, Direction, FaultProxy, Operator, QUICK_LAME_DUCK, SYSTEM_ACCOUNT, Witness,
    eventually, pass_time,
};

const MONITORED: &str = "http: \"127.0.0.1:-1\"";

/// Waits until clients that came by WebSocket have got further messages.
#[track_caller]
fn await_flow(broker: &Broker) {
    let n_delivered = || {
        let connections = broker.connections();
        let of_subscribers = connections.iter().filter(|one| one["type"] == "websocket");
        of_subscribers
            .map(|one| one["out_msgs"].as_u64().unwrap_or(0))
            .sum()
    };
    await_growth("messages to subscribers", 50, n_delivered);
}

/// Waits until everybody is back so many times.
#[track_caller]
fn await_return(run: &Run, n_subscribers: usize) {
    run.await_events("subscriber", "reconnected", n_subscribers);
    run.await_events("publisher", "reconnected", 1);
}

#[track_caller]
fn assert_kinds(outcome: &Outcome, kinds: &[&str]) {
    for role in ["subscriber", "publisher"] {
        let seen = outcome.kinds(role);
        assert!(!seen.is_empty(), "no outage of the {role}");
        let is_known = seen.iter().all(|kind| kinds.contains(kind));
        assert!(is_known, "{role}: {:#}", outcome.result["outages"]);
    }
}

#[test]
fn a_broker_that_is_killed_and_restarted_costs_one_outage_a_connection() {
    let mut broker = Broker::monitored();
    let run = Run::latency(&broker.ws_url(), &["--subscribers", "2"]);
    await_flow(&broker);
    broker.kill();
    run.await_attempt(2);
    broker.start_again();
    await_return(&run, 2);
    await_flow(&broker);
    let outcome = run.interrupt();
    assert_kinds(&outcome, &["eof", "reset"]);
    assert_eq!(outcome.result["n_outages"], 3);
    for outage in outcome.result["outages"].as_array().expect("outages") {
        assert_eq!(outage["is_other_server"], true, "{outage:#}");
    }
}

#[test]
fn what_passed_before_and_after_the_broker_was_killed_is_what_was_received() {
    let mut broker = Broker::monitored();
    let proxy = FaultProxy::to(broker.ws_port());
    let direct = broker.ws_url();
    let run = Run::latency(&proxy.ws_url(), &["--pub-server", &direct]);
    await_flow(&broker);
    broker.kill();
    broker.start_again();
    await_return(&run, 1);
    await_flow(&broker);
    let outcome = run.interrupt();
    let n_passed = proxy.n_messages(Direction::Down);
    assert_eq!(outcome.load("received"), n_passed, "{:#}", outcome.result);
    assert_eq!(outcome.load("duplicated"), 0);
}

#[test]
fn a_broker_that_is_shut_down_says_so() {
    let mut broker = Broker::monitored();
    let run = Run::latency(&broker.ws_url(), &[]);
    await_flow(&broker);
    broker.shut_down();
    broker.start_again();
    await_return(&run, 1);
    await_flow(&broker);
    let outcome = run.interrupt();
    for role in ["subscriber", "publisher"] {
        let cause = &outcome.outage(role)["cause"];
        assert_eq!(cause["kind"], "close-frame", "{role}: {cause:#}");
        assert_eq!(cause["close_code"], 1001, "{role}: {cause:#}");
        let text = cause["text"].as_str().expect("a text");
        assert!(text.contains("Server Shutdown"), "{text}");
    }
}

#[test]
fn a_broker_that_freezes_for_a_moment_is_waited_for() {
    let broker = Broker::monitored();
    let witness = Witness::start(&broker, "rounds.>");
    let run = Run::latency(&broker.ws_url(), &["--drain", "20s"]);
    await_flow(&broker);
    broker.signal(Signal::STOP);
    pass_time(Duration::from_millis(500));
    broker.signal(Signal::CONT);
    await_flow(&broker);
    let outcome = run.interrupt();
    assert_eq!(outcome.result["n_outages"], 0, "{:#}", outcome.result);
    assert_eq!(outcome.load("received"), outcome.load("sent"));
    witness.await_measured(outcome.load("sent"));
}

#[test]
fn a_broker_that_freezes_for_long_is_given_up_and_found_again_when_it_wakes() {
    let broker = Broker::monitored();
    let witness = Witness::start(&broker, "rounds.>");
    let args = ["--ping-interval", "300ms", "--timeout", "500ms"];
    let run = Run::latency(&broker.ws_url(), &args);
    await_flow(&broker);
    broker.signal(Signal::STOP);
    run.await_events("subscriber", "disconnected", 1);
    run.await_events("publisher", "disconnected", 1);
    broker.signal(Signal::CONT);
    await_return(&run, 1);
    await_flow(&broker);
    let outcome = run.interrupt();
    for role in ["subscriber", "publisher"] {
        assert_eq!(outcome.kinds(role)[0], "timeout", "{:#}", outcome.result);
        assert_eq!(outcome.outages(role)[0]["is_other_server"], false);
    }
    // What was in the buffers of the old connection has reached the broker when it woke.
    let known = outcome.load("received") + outcome.load("lost");
    let n_witnessed = witness.tally().n_measured();
    assert!(known <= n_witnessed, "{known} > {n_witnessed}");
    assert!(n_witnessed <= outcome.load("sent"));
}

#[test]
fn a_broker_in_lame_duck_mode_is_left_and_found_again() {
    let config = [MONITORED, QUICK_LAME_DUCK].join("\n");
    let mut broker = Broker::builder().config(&config).start();
    let run = Run::latency(&broker.ws_url(), &[]);
    await_flow(&broker);
    broker.enter_lame_duck_mode();
    run.await_events("subscriber", "lame-duck", 1);
    run.await_events("publisher", "lame-duck", 1);
    broker.await_end();
    broker.start_again();
    await_return(&run, 1);
    await_flow(&broker);
    let outcome = run.interrupt();
    assert_eq!(outcome.result["n_outages"], 2, "{:#}", outcome.result);
}

#[test]
fn a_broker_that_comes_back_with_other_credentials_ends_the_run_with_the_reason() {
    let user = |password: &str| {
        format!("{MONITORED}\nauthorization {{ user: game, password: {password} }}")
    };
    let mut broker = Broker::builder().config(&user("one-secret")).start();
    let args = ["--user", "game", "--password", "one-secret"];
    let run = Run::latency(&broker.ws_url(), &args);
    await_flow(&broker);
    broker.kill();
    broker.start_again_with(&user("another"));
    let outcome = run.finish();
    assert_eq!(outcome.code, Some(i32::from(exit::UNREACHABLE)));
    assert_eq!(outcome.result["ended"], "connection-lost");
    assert!(
        outcome.stderr.contains("Authorization Violation"),
        "{}",
        outcome.stderr
    );
    let outages = outcome.result["outages"].to_string();
    assert!(outages.contains("Authorization Violation"), "{outages}");
    assert!(!outages.contains("one-secret"), "{outages}");
}

#[test]
fn credentials_that_are_renewed_in_their_file_are_used() {
    let operator = Operator::new();
    let broker = Broker::builder()
        .monitored()
        .config(&operator.config())
        .start();
    let now_s = Clock::start().wall_now().0 / 1_000_000_000;
    let creds = broker.dir().join("game.creds");
    std::fs::write(&creds, operator.creds(Some(now_s + 4))).expect("the credentials");
    let args = ["--creds", creds.to_str().expect("a UTF-8 path")];
    let run = Run::latency(&broker.ws_url(), &args);
    run.await_events("publisher", "connected", 1);
    std::fs::write(&creds, operator.creds(None)).expect("the credentials");
    await_return(&run, 1);
    await_flow(&broker);
    let outcome = run.interrupt();
    assert_kinds(&outcome, &["server-error"]);
    for role in ["subscriber", "publisher"] {
        let text = outcome.outage(role)["cause"]["text"].as_str();
        let text = text.expect("a text");
        assert!(text.contains("User Authentication Expired"), "{text}");
    }
}

#[test]
fn a_broker_that_is_full_is_tried_until_it_has_room() {
    let limited = |n: u64| format!("{MONITORED}\nmax_connections: {n}");
    let mut broker = Broker::monitored();
    let run = Run::latency(&broker.ws_url(), &[]);
    await_flow(&broker);
    broker.kill();
    broker.start_again_with(&limited(1));
    run.await_attempt(12);
    broker.reload(&limited(100));
    await_return(&run, 1);
    await_flow(&broker);
    let outcome = run.interrupt();
    let outages = outcome.result["outages"].to_string();
    assert!(
        outages.contains("maximum connections exceeded"),
        "{outages}"
    );
}

#[test]
fn a_client_that_is_kicked_comes_back() {
    let broker = Broker::builder().monitored().config(SYSTEM_ACCOUNT).start();
    let witness = Witness::start(&broker, "rounds.>");
    let run = Run::latency(&broker.ws_url(), &[]);
    await_flow(&broker);
    let clients = broker.websocket_clients();
    let (subscriber, _) = clients
        .iter()
        .find(|(_, n_subscriptions)| *n_subscriptions > 0)
        .expect("a subscriber");
    broker.kick(*subscriber);
    run.await_events("subscriber", "reconnected", 1);
    await_flow(&broker);
    let outcome = run.interrupt();
    let cause = &outcome.outage("subscriber")["cause"];
    assert_eq!(cause["kind"], "close-frame", "{cause:#}");
    assert!(cause["text"].as_str().expect("a text").contains("Kicked"));
    assert!(outcome.outages("publisher").is_empty());
    assert_eq!(outcome.load("in_doubt"), 0);
    witness.await_measured(outcome.load("sent"));
}

#[test]
fn a_reload_is_no_outage_unless_it_takes_the_user_away() {
    let config = |users: &str| format!("{MONITORED}\nauthorization {{ users: [{users}] }}");
    let game = "{user: game, password: secret1}";
    let admin = "{user: admin, password: secret2}";
    let both = config(&format!("{game}, {admin}"));
    let broker = Broker::builder().config(&both).start();
    let witness = Witness::login(
        &broker,
        "\"user\":\"admin\",\"pass\":\"secret2\"",
        "rounds.>",
    );
    let args = ["--user", "game", "--password", "secret1"];
    let run = Run::latency(&broker.ws_url(), &args);
    await_flow(&broker);
    broker.reload(&format!("{both}\nmax_payload: 2MB"));
    await_flow(&broker);
    assert!(
        run.events()
            .iter()
            .all(|event| event["event"] == "connected")
    );
    broker.reload(&config(admin));
    let outcome = run.finish();
    assert_eq!(outcome.code, Some(i32::from(exit::UNREACHABLE)));
    // nats-server says no more than that it has closed the connection.
    assert_kinds(&outcome, &["close-frame"]);
    let known = outcome.load("received") + outcome.load("lost");
    eventually("the witness", || {
        (witness.tally().n_measured() >= known).then_some(())
    });
    assert!(witness.tally().n_measured() <= outcome.load("sent"));
}

#[test]
fn a_subscriber_whose_server_is_killed_goes_to_another_one_of_the_cluster() {
    // Given a publisher and a witness at servers that stay
    let mut cluster = Cluster::start(3, "");
    let witness = Witness::start(&cluster.servers[2], "rounds.>");
    let urls: Vec<String> = cluster.servers.iter().map(Broker::ws_url).collect();
    let run = Run::latency(&urls[0], &["--pub-server", &urls[1]]);
    await_flow(&cluster.servers[0]);
    // When the subscriber's ends, of which alone it was told
    cluster.servers[0].kill();
    run.await_events("subscriber", "reconnected", 1);
    await_growth("messages to the witness", 50, || {
        witness.tally().n_measured()
    });
    let outcome = run.interrupt();
    let outage = outcome.outage("subscriber");
    let server = outage["server"].as_str().expect("a server");
    let is_another = urls[1..].iter().any(|url| server.starts_with(url.as_str()));
    assert!(is_another, "{outage:#}");
    assert_eq!(outage["is_other_server"], true);
    assert!(outcome.outages("publisher").is_empty());
    assert_eq!(outcome.load("in_doubt"), 0);
    assert!(outcome.load("received") > 0);
    // The interest of a subscriber reaches the other servers by itself, and the witness had none to wait for.
    let n_witnessed = witness.tally().n_measured();
    assert!(n_witnessed <= outcome.load("sent"));
    assert!(outcome.load("received") <= n_witnessed);
}

#[test]
fn a_publisher_whose_server_is_killed_goes_to_another_one_of_the_cluster() {
    let mut cluster = Cluster::start(3, "");
    let witness = Witness::start(&cluster.servers[2], "rounds.>");
    let urls: Vec<String> = cluster.servers.iter().map(Broker::ws_url).collect();
    let run = Run::latency(&urls[1], &["--pub-server", &urls[0]]);
    await_flow(&cluster.servers[1]);
    cluster.servers[0].kill();
    run.await_events("publisher", "reconnected", 1);
    await_flow(&cluster.servers[1]);
    let outcome = run.interrupt();
    let outage = outcome.outage("publisher");
    assert_ne!(outage["server"].as_str(), Some(urls[0].as_str()));
    assert_eq!(outage["is_other_server"], true);
    assert!(outcome.outages("subscriber").is_empty());
    assert!(witness.tally().n_measured() <= outcome.load("sent"));
}

#[test]
fn a_cluster_that_takes_a_server_out_of_service_keeps_its_clients() {
    let mut cluster = Cluster::start(3, QUICK_LAME_DUCK);
    let witness = Witness::start(&cluster.servers[2], "rounds.>");
    let url = cluster.servers[0].ws_url();
    let run = Run::latency(&url, &[]);
    await_flow(&cluster.servers[0]);
    cluster.servers[0].enter_lame_duck_mode();
    await_return(&run, 1);
    cluster.servers[0].await_end();
    await_growth("messages to the witness", 50, || {
        witness.tally().n_measured()
    });
    let outcome = run.interrupt();
    for role in ["subscriber", "publisher"] {
        let outage = outcome.outage(role);
        let server = outage["server"].as_str().expect("a server");
        assert!(!server.starts_with(&url), "{outage:#}");
        let mut events = outcome.events.iter().filter(|event| event["role"] == role);
        assert!(events.any(|event| event["event"] == "lame-duck"));
    }
    assert!(witness.tally().n_measured() <= outcome.load("sent"));
}
