//! `doctor --watch`: what ends a connection is told from what looks the same; and how well a healthy one works.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use natsbench::clock::{Clock, MonoNanos, mono_now};
use rustix::process::Signal;
use serde_json::Value;

use super::{Diagnosis, diagnose, text_of};
use crate::harness::{
    Broker, Direction, FaultProxy, Finished, Natsbench, Operator, Running, ScriptedPort,
    eventually, pass_time, publish,
};

/// Begins to watch.
fn watch(url: &str, args: &[&str]) -> Running {
    let fixed = ["doctor", "--format", "json", "--server", url];
    Natsbench::new([&fixed[..], args].concat()).spawn()
}

fn diagnosis(finished: &Finished) -> Diagnosis {
    Diagnosis {
        json: finished.json(),
        code: finished.code,
    }
}

/// Watches until the three connections are open, does something to the broker, and waits for the diagnosis.
fn watch_while(broker: &Broker, args: &[&str], act: impl FnOnce(&Broker)) -> Diagnosis {
    let running = watch(&broker.ws_url(), args);
    eventually("three connections", || {
        (broker.connections().len() >= 3).then_some(())
    });
    act(broker);
    diagnosis(&running.wait())
}

fn evidence<'a>(finding: &'a Value, name: &str) -> &'a str {
    let mut all = finding["evidence"].as_array().expect("a list").iter();
    all.find(|one| one["name"] == name)
        .and_then(|one| one["value"].as_str())
        .expect("there is such evidence")
}

fn detail<'a>(diagnosis: &'a Diagnosis, check: &str) -> &'a str {
    let mut checks = diagnosis.json["checks"].as_array().expect("a list").iter();
    checks
        .find(|result| result["id"] == check)
        .and_then(|result| result["detail"].as_str())
        .expect("it has looked")
}

/// What a tunnel does to its connections.
#[derive(Debug, Clone, Copy)]
enum Rule {
    /// Cuts them when nothing has moved for so long.
    Idle(Duration),
    /// Cuts them at this age.
    Lifetime(Duration),
    /// Passes nothing any more after nothing has moved for so long, and tells nobody.
    Forget(Duration),
}

/// A connection through a tunnel.
struct Tunnel {
    rule: Rule,
    opened: MonoNanos,
    last_ns: AtomicU64,
    is_forgotten: AtomicBool,
    ends: [TcpStream; 2],
}

impl Tunnel {
    /// Does what the rule says; returns whether the connection goes on.
    fn go_on(&self) -> bool {
        let idle = mono_now().since(MonoNanos(self.last_ns.load(Ordering::SeqCst)));
        let is_over = |ns: u64, limit: Duration| Duration::from_nanos(ns) > limit;
        match self.rule {
            Rule::Idle(limit) => !is_over(idle, limit),
            Rule::Lifetime(limit) => !is_over(mono_now().since(self.opened), limit),
            Rule::Forget(limit) => {
                if is_over(idle, limit) {
                    self.is_forgotten.store(true, Ordering::SeqCst);
                }
                true
            }
        }
    }

    /// Carries what comes from one end to the other.
    fn carry(&self, mut from: &TcpStream, mut to: &TcpStream) {
        let mut buffer = [0; 4096];
        while self.go_on() {
            match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(_) if self.is_forgotten.load(Ordering::SeqCst) => {}
                Ok(n) => {
                    self.last_ns.store(mono_now().0, Ordering::SeqCst);
                    if to.write_all(&buffer[..n]).is_err() {
                        break;
                    }
                }
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => break,
            }
        }
        for end in &self.ends {
            // The other direction may have done it.
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}

/// A tunnel to a port of loopback.
fn tunnel(port: u16, rule: Rule) -> ScriptedPort {
    ScriptedPort::start(move |client| {
        let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the broker listens");
        for end in [&client, &server] {
            end.set_nodelay(true).expect("a socket");
            // So often the rule is looked at.
            end.set_read_timeout(Some(Duration::from_millis(5)))
                .expect("a socket");
        }
        let tunnel = Arc::new(Tunnel {
            rule,
            opened: mono_now(),
            last_ns: AtomicU64::new(mono_now().0),
            is_forgotten: AtomicBool::new(false),
            ends: [client, server],
        });
        std::thread::scope(|scope| {
            let [client, server] = &tunnel.ends;
            scope.spawn(|| tunnel.carry(client, server));
            tunnel.carry(server, client);
        });
    })
}

#[test]
fn connections_that_stay_are_healthy_and_the_pings_of_the_server_are_counted() {
    let broker = Broker::builder().config("ping_interval: \"300ms\"").start();
    let diagnosis = diagnose(&broker.ws_url(), &["--watch", "2s"]);
    diagnosis.is_healthy();
    assert_eq!(diagnosis.status_of("watch"), "passed");
    let detail = detail(&diagnosis, "watch");
    assert!(detail.contains("3 of 3 connections up"), "{detail}");
    let (_, rest) = detail.split_once("idle), ").expect("what is counted");
    let n_pings: u64 = rest.split(' ').next().unwrap().parse().expect("a number");
    assert!(n_pings >= 4, "{detail}");
}

#[test]
fn a_tunnel_that_cuts_idle_connections_is_told_by_the_one_with_traffic_that_stays() {
    let broker = Broker::start();
    let tunnel = tunnel(broker.ws_port(), Rule::Idle(Duration::from_millis(500)));
    let diagnosis = diagnose(&tunnel.ws_url(), &["--watch", "8s"]);
    let finding = diagnosis.fails_with("watch.idle-timeout");
    assert_eq!(finding["certainty"], "certain");
    let text = text_of(finding);
    for part in ["proxy_read_timeout", "timeout tunnel"] {
        assert!(text.contains(part), "{part}: {finding:#}");
    }
    let kept = evidence(finding, "connection with a PING every 250 ms");
    assert!(kept.starts_with("still up"), "{finding:#}");
    // It does not wait for the end of the eight seconds.
    assert!(diagnosis.json["duration_ns"].as_u64() < Some(7_000_000_000));
}

#[test]
fn a_tunnel_that_forgets_idle_connections_is_found_although_nothing_is_ever_closed() {
    let broker = Broker::start();
    let tunnel = tunnel(broker.ws_port(), Rule::Forget(Duration::from_millis(500)));
    let diagnosis = diagnose(&tunnel.ws_url(), &["--watch", "1500ms"]);
    let finding = diagnosis.fails_with("watch.idle-timeout");
    assert!(text_of(finding).contains("forgets"), "{finding:#}");
}

#[test]
fn a_fixed_lifetime_is_told_from_an_idle_time_out() {
    let broker = Broker::start();
    let tunnel = tunnel(broker.ws_port(), Rule::Lifetime(Duration::from_secs(1)));
    let diagnosis = diagnose(&tunnel.ws_url(), &["--watch", "8s"]);
    let finding = diagnosis.fails_with("watch.lifetime");
    assert!(text_of(finding).contains("after 1 s"), "{finding:#}");
}

#[test]
fn a_server_that_is_shut_down_says_so() {
    let broker = Broker::monitored();
    let diagnosis = watch_while(&broker, &["--watch", "8s"], |broker| {
        broker.signal(Signal::TERM);
    });
    let finding = diagnosis.fails_with("watch.server-shutdown");
    assert_eq!(finding["certainty"], "certain");
}

#[test]
fn a_server_that_is_killed_is_told_from_one_that_is_shut_down() {
    let broker = Broker::monitored();
    let diagnosis = watch_while(&broker, &["--watch", "8s"], |broker| {
        broker.signal(Signal::KILL);
    });
    let finding = diagnosis.fails_with("watch.server-died");
    assert_eq!(
        evidence(finding, "new connection"),
        "connection refused",
        "{finding:#}"
    );
}

#[test]
fn a_server_that_is_stopped_is_frozen_and_not_gone() {
    let broker = Broker::monitored();
    let diagnosis = watch_while(&broker, &["--watch", "8s"], |broker| {
        broker.signal(Signal::STOP);
    });
    diagnosis.fails_with("watch.server-frozen");
}

#[test]
fn lame_duck_mode_is_reported_before_the_connection_ends() {
    let broker = Broker::builder()
        .monitored()
        .config("lame_duck_duration: \"31s\"\nlame_duck_grace_period: \"5s\"")
        .start();
    let diagnosis = watch_while(&broker, &["--watch", "8s"], |broker| {
        broker.signal(Signal::USR2);
    });
    let finding = diagnosis.fails_with("watch.lame-duck");
    let idle = evidence(finding, "idle connection");
    assert!(idle.contains("still up"), "{finding:#}");
}

#[test]
fn a_user_that_a_reload_removes_is_told_from_a_close_of_our_own() {
    let users = |names: &str| format!("authorization {{ users: [{names}] }}\n");
    let (game, admin) = (
        "{user: game, password: secret1}",
        "{user: admin, password: secret2}",
    );
    let broker = Broker::builder()
        .monitored()
        .file("users.conf", &users(&format!("{game}, {admin}")))
        .config("include \"users.conf\"")
        .start();
    let args = ["--user", "game", "--password", "secret1", "--watch", "8s"];
    let diagnosis = watch_while(&broker, &args, |broker| {
        std::fs::write(broker.dir().join("users.conf"), users(admin)).expect("the users");
        broker.signal(Signal::HUP);
    });
    let finding = diagnosis.fails_with("watch.credentials-removed");
    assert_eq!(finding["certainty"], "certain", "{finding:#}");
    assert!(!text_of(finding).contains("secret1"), "{finding:#}");
}

#[test]
fn a_subscription_that_a_reload_takes_away_is_reported_although_the_connection_stays() {
    let user = |subject: &str| {
        format!(
            "authorization {{ users: [{{user: game, password: secret1, permissions: {{subscribe: \"{subject}\"}}}}] }}\n"
        )
    };
    let broker = Broker::builder()
        .monitored()
        .file("users.conf", &user("rounds.>"))
        .config("include \"users.conf\"")
        .start();
    let args = ["--user", "game", "--password", "secret1", "--watch", "4s"];
    let args = [&args[..], &["--only", "watch", "rounds.game.*"]].concat();
    let running = watch(&broker.ws_url(), &args);
    broker.await_subscriptions(1);
    // A permission that is missing from the beginning is another matter: it would be refused within that time.
    pass_time(Duration::from_millis(1_600));
    std::fs::write(broker.dir().join("users.conf"), user("other.>")).expect("the users");
    broker.signal(Signal::HUP);
    let diagnosis = diagnosis(&running.wait());
    let finding = diagnosis.fails_with("watch.subscription-lost");
    assert!(text_of(finding).contains("rounds.game.*"), "{finding:#}");
}

#[test]
fn a_subscriber_that_is_cut_off_in_the_middle_of_much_traffic_is_a_slow_consumer() {
    let broker = Broker::builder()
        .monitored()
        .config("max_pending: 100KB\nmax_payload: 64KB")
        .start();
    let proxy = FaultProxy::to(broker.ws_port());
    let args = ["--watch", "12s", "--only", "watch", "rounds.>"];
    let running = watch(&proxy.ws_url(), &args);
    // The login has a subscription of its own for a moment, and is over when there are further connections.
    eventually("the subscriber", || {
        let connections = broker.connections();
        let is_subscribed = |one: &Value| one["subscriptions"].as_u64() >= Some(1);
        (connections.len() >= 3 && connections.iter().any(is_subscribed)).then_some(())
    });
    let client_url = broker.client_url();
    let args = ["--server", &client_url, "--size", "8000", "--rate", "2000"];
    let publisher = publish(&[&args[..], &["--count", "40000"]].concat()).spawn();
    eventually("the server to lose patience", || {
        proxy.pause(Direction::Down);
        broker.log().contains("Slow Consumer").then_some(())
    });
    proxy.resume(Direction::Down);
    let diagnosis = diagnosis(&running.wait());
    drop(publisher);
    let finding = diagnosis.fails_with("watch.slow-consumer");
    assert_eq!(finding["certainty"], "likely");
}

#[test]
fn a_jwt_that_expires_while_it_is_in_use_is_named() {
    let operator = Operator::new();
    let broker = Broker::builder().config(&operator.config()).start();
    let now_s = Clock::start().wall_now().0 / 1_000_000_000;
    let creds = broker.dir().join("short.creds");
    std::fs::write(&creds, operator.creds(Some(now_s + 4))).expect("the credentials");
    let creds = creds.to_str().expect("a UTF-8 path");
    let diagnosis = diagnose(&broker.ws_url(), &["--creds", creds, "--watch", "10s"]);
    let finding = diagnosis.fails_with("watch.credentials-expired");
    assert_eq!(finding["certainty"], "certain");
    assert_eq!(
        evidence(finding, "-ERR"),
        "User Authentication Expired",
        "{finding:#}"
    );
}

#[test]
fn a_server_that_stands_still_for_seconds_is_a_warning() {
    let broker = Broker::monitored();
    let proxy = FaultProxy::to(broker.ws_port());
    let running = watch(&proxy.ws_url(), &["--watch", "4s"]);
    eventually("three connections", || {
        (broker.connections().len() >= 3).then_some(())
    });
    proxy.pause(Direction::Down);
    pass_time(Duration::from_millis(2_600));
    proxy.resume(Direction::Down);
    diagnosis(&running.wait()).warns_of("watch.stalled");
}

#[test]
fn a_server_that_takes_one_connection_only_is_watched_on_one() {
    let broker = Broker::builder().config("max_connections: 1").start();
    let diagnosis = diagnose(&broker.ws_url(), &["--watch", "1s"]);
    diagnosis.is_healthy();
    let detail = detail(&diagnosis, "watch");
    assert!(detail.contains("1 of 1 connections up"), "{detail}");
    assert!(detail.contains("2 more could not be opened"), "{detail}");
}

#[test]
fn an_interrupt_ends_watching_with_what_is_known() {
    let broker = Broker::monitored();
    let running = watch(&broker.ws_url(), &["--watch", "25s"]);
    eventually("three connections", || {
        (broker.connections().len() >= 3).then_some(())
    });
    running.signal(Signal::INT);
    let diagnosis = diagnosis(&running.wait());
    assert_eq!(diagnosis.code, Some(130));
    assert_eq!(diagnosis.json["interrupted"], true);
    let detail = detail(&diagnosis, "watch");
    assert!(detail.starts_with("interrupted"), "{detail}");
}

#[test]
fn the_round_trip_and_the_clock_of_a_healthy_server_are_in_the_table() {
    let broker = Broker::start();
    let diagnosis = diagnose::<&str>(&broker.ws_url(), &[]);
    diagnosis.is_healthy();
    let facts = diagnosis.json["facts"].to_string();
    assert!(facts.contains("round trip"), "{facts}");
    assert!(facts.contains("server clock"), "{facts}");
}

#[test]
fn slow_answers_behind_a_quick_port_are_a_warning() {
    let broker = Broker::start();
    let proxy = FaultProxy::to(broker.ws_port());
    proxy.delay(Direction::Down, Duration::from_millis(120));
    let diagnosis = diagnose(&proxy.ws_url(), &["--only", "health"]);
    diagnosis.warns_of("health.slow-answers");
}

#[test]
fn a_proxy_that_cuts_idle_connections_by_default_is_mentioned_and_no_more() {
    // Given a server that answers the upgrade in the name of nginx.
    let broker = Broker::builder()
        .websocket("no_tls: true\nheaders { Server: \"nginx/1.24.0\" }")
        .start();
    let diagnosis = diagnose::<&str>(&broker.ws_url(), &[]);
    diagnosis.is_healthy();
    assert_eq!(diagnosis.json["findings"], serde_json::json!([]));
    let facts = diagnosis.json["facts"].to_string();
    assert!(facts.contains("--watch 90s"), "{facts}");
}
