//! `broker` and `--local-broker`: a nats-server of our own that never outlives us.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;

use natsbench::cli::exit;
use rustix::process::{Pid, Signal, test_kill_process};

use crate::harness::{Natsbench, Running, Version, eventually};

/// A broker on free ports, and where its listeners are.
struct Local {
    run: Running,
    websocket: String,
    clients: String,
    monitoring: String,
}

fn start() -> Local {
    let run = Natsbench::new([
        "broker",
        "--websocket-port",
        "0",
        "--client-port",
        "0",
        "--monitoring-port",
        "0",
    ])
    .spawn();
    let url = |name: &str| {
        let line = run.stdout_line(name);
        line.split_whitespace().last().unwrap().to_owned()
    };
    let (websocket, clients, monitoring) = (url("websocket"), url("clients"), url("monitoring"));
    Local {
        run,
        websocket,
        clients,
        monitoring,
    }
}

fn address(url: &str) -> SocketAddr {
    url.split_once("://").unwrap().1.parse().unwrap()
}

fn is_refused(url: &str) -> bool {
    TcpStream::connect(address(url)).is_err()
}

/// The processes whose parent is this one.
fn children(parent: Pid) -> Vec<Pid> {
    let path = format!("/proc/{0}/task/{0}/children", parent.as_raw_nonzero());
    std::fs::read_to_string(path)
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|pid| Pid::from_raw(pid.parse().ok()?))
        .collect()
}

fn is_gone(pid: Pid) -> bool {
    test_kill_process(pid).is_err() || is_zombie(pid)
}

/// An orphan that ended and that nobody has waited for: in a container without an init.
fn is_zombie(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    stat.is_ok_and(|stat| {
        stat.rsplit(") ")
            .next()
            .is_some_and(|rest| rest.starts_with('Z'))
    })
}

#[test]
fn it_prints_urls_that_work() {
    let local = start();
    for url in [&local.websocket, &local.clients] {
        Natsbench::new(["pub", "--count", "1", "-s", url])
            .run()
            .exits(exit::PASSED);
    }
    assert!(TcpStream::connect(address(&local.monitoring)).is_ok());
}

#[test]
fn it_listens_on_loopback_only() {
    let local = start();
    for url in [&local.websocket, &local.clients, &local.monitoring] {
        assert!(address(url).ip().is_loopback(), "{url}");
    }
}

#[test]
fn signals_end_it_together_with_its_server() {
    for signal in [Signal::INT, Signal::TERM] {
        let local = start();
        let servers = children(local.run.pid());
        assert_eq!(servers.len(), 1);
        local.run.signal(signal);
        let finished = local.run.wait().exits(exit::PASSED);
        assert_eq!(finished.stderr, "");
        assert!(is_gone(servers[0]), "{signal:?}");
        assert!(
            is_refused(&local.websocket) && is_refused(&local.clients),
            "{signal:?}"
        );
    }
}

#[test]
fn its_server_ends_even_when_it_is_killed_outright() {
    let local = start();
    let servers = children(local.run.pid());
    assert_eq!(servers.len(), 1);
    local.run.signal(Signal::KILL);
    eventually("the server to end", || is_gone(servers[0]).then_some(()));
    eventually("the port to close", || {
        is_refused(&local.websocket).then_some(())
    });
}

#[test]
fn a_server_that_ends_by_itself_is_an_error() {
    let local = start();
    let servers = children(local.run.pid());
    rustix::process::kill_process(servers[0], Signal::KILL).unwrap();
    let finished = local.run.wait().exits(exit::UNREACHABLE);
    assert!(
        finished
            .stderr
            .starts_with("error: nats-server ended by itself: signal: 9"),
        "{}",
        finished.stderr
    );
}

#[test]
fn a_port_in_use_is_named() {
    for (flag, others) in [
        ("--websocket-port", ["--client-port", "--monitoring-port"]),
        ("--client-port", ["--websocket-port", "--monitoring-port"]),
    ] {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port().to_string();
        let finished = Natsbench::new(["broker", flag, &port, others[0], "0", others[1], "0"])
            .run()
            .exits(exit::UNREACHABLE);
        assert_eq!(finished.stdout, "");
        assert!(
            finished
                .stderr
                .starts_with("error: cannot start a local nats-server\n"),
            "{}",
            finished.stderr
        );
        assert!(
            finished.stderr.contains(&format!("127.0.0.1:{port}"))
                && finished.stderr.contains("address already in use"),
            "{}",
            finished.stderr
        );
    }
}

#[test]
fn a_server_that_cannot_be_run_is_named_with_ways_to_get_one() {
    let finished = Natsbench::new(["broker", "--nats-server", "/nonexistent/nats-server"])
        .run()
        .exits(exit::UNREACHABLE);
    assert_eq!(finished.stdout, "");
    let lines: Vec<&str> = finished.stderr.lines().collect();
    assert_eq!(lines[0], "error: no usable nats-server found");
    assert!(
        finished.stderr.contains(
            "`/nonexistent/nats-server` cannot be run: No such file or directory (os error 2)\n"
        ),
        "{}",
        finished.stderr
    );
    assert!(
        finished.stderr.contains("export NATS_SERVER_BIN="),
        "{}",
        finished.stderr
    );
    assert!(!finished.stderr.contains('\u{fffd}'), "{}", finished.stderr);
    assert!(lines.len() <= 24, "at most one screen: {}", finished.stderr);
}

#[test]
fn a_binary_that_is_no_nats_server_is_refused() {
    let finished = Natsbench::new(["broker", "--nats-server", "/bin/true"])
        .run()
        .exits(exit::UNREACHABLE);
    assert!(
        finished
            .stderr
            .contains("`/bin/true` prints no version when it is run with `--version`"),
        "{}",
        finished.stderr
    );
}

#[test]
fn a_binary_that_was_named_is_used() {
    let binary = Version::V2_10.binary();
    let args: [&str; 9] = [
        "broker",
        "--nats-server",
        binary.to_str().unwrap(),
        "--websocket-port",
        "0",
        "--client-port",
        "0",
        "--monitoring-port",
        "0",
    ];
    let run = Natsbench::new(args).spawn();
    run.stdout_line("nats-server 2.10.26 is running");
}

#[test]
fn a_local_broker_serves_one_run_and_is_gone() {
    let run = Natsbench::new([
        "latency",
        "--slo",
        "lost==0",
        "--local-broker",
        "--warmup",
        "0s",
        "--duration",
        "1h",
        "--rate",
        "200",
        "-o",
        "json",
    ])
    .spawn();
    let servers = eventually("the server", || {
        let children = children(run.pid());
        let is_server = |pid: &Pid| {
            let command = format!("/proc/{}/cmdline", pid.as_raw_nonzero());
            std::fs::read_to_string(command)
                .is_ok_and(|text| text.contains("--config") || text.contains("-c\0"))
        };
        children.iter().any(is_server).then_some(children)
    });
    // It may still be connecting or measuring: an interrupt ends it either way.
    run.signal(Signal::INT);
    run.wait();
    for server in servers {
        eventually("the server to end", || is_gone(server).then_some(()));
    }
}

#[test]
fn runs_with_a_local_broker_measure() {
    let finished = Natsbench::new([
        "latency",
        "--slo",
        "lost==0",
        "--local-broker",
        "--warmup",
        "0s",
        "--duration",
        "500ms",
        "--rate",
        "200",
        "-o",
        "json",
    ])
    .run()
    .exits(exit::PASSED);
    assert_eq!(finished.json()["load"]["received"], 100);
    let finished = Natsbench::new(["pub", "--local-broker", "--count", "5", "-o", "json"])
        .run()
        .exits(exit::PASSED);
    assert_eq!(finished.json()["load"]["sent"], 10);
}

#[test]
fn a_local_broker_ignores_what_the_environment_says_about_another() {
    let finished = Natsbench::new(["pub", "--local-broker", "--count", "5", "-o", "json"])
        .env("NATS_URL", "ws://127.0.0.1:1")
        .env("NATS_CONTEXT", "missing")
        .env("NATS_USER", "me")
        .env("NATS_CREDS", "/nonexistent")
        .env("NATS_CA", "/nonexistent")
        .run()
        .exits(exit::PASSED);
    assert_eq!(finished.json()["load"]["sent"], 10);
}

#[test]
fn a_local_broker_without_a_binary_says_how_to_get_one() {
    for args in [
        &["latency", "--slo", "lost==0", "--local-broker"][..],
        &["pub", "--local-broker", "--count", "1"],
    ] {
        let finished = Natsbench::new(args)
            .env("NATS_SERVER_BIN", "/nonexistent")
            .run()
            .exits(exit::UNREACHABLE);
        assert!(
            finished
                .stderr
                .starts_with("error: no usable nats-server found\n"),
            "{}",
            finished.stderr
        );
    }
}

#[test]
fn a_broker_leaves_no_files() {
    let temp = tempfile::TempDir::new().unwrap();
    let entries = |path: &Path| std::fs::read_dir(path).unwrap().count();
    Natsbench::new(["pub", "--local-broker", "--count", "1"])
        .env("TMPDIR", temp.path())
        .run()
        .exits(exit::PASSED);
    assert_eq!(entries(temp.path()), 0);
}
