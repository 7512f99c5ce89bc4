//! Standard output without a reader: one that has seen enough is a normal end, and a report for nobody is not waited for.

use std::fs;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::Duration;

use natsbench::cli::exit;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::Guarded;
use crate::harness::{Broker, Natsbench, pass_time};

#[test]
fn a_reader_that_has_seen_enough_is_a_normal_end() {
    let broker = Broker::monitored();
    let url = broker.ws_url();
    let (mut command, _home) = Natsbench::new(["sub", "rounds.>", "-s", &url]).into_command();
    let mut sub = Guarded(command.stderr(Stdio::null()).spawn().unwrap());
    broker.await_subscriptions(2);
    let publisher = Natsbench::new(["pub", "--rate", "200", "-s", &url]).spawn();
    let first = sub.first_line();
    assert!(first.contains("rounds."), "{first}");
    assert_eq!(sub.code(), Some(i32::from(exit::PASSED)));
    publisher.signal(Signal::INT);
    publisher.wait().exits(exit::INTERRUPTED);
}

#[test]
fn a_dry_run_that_nobody_reads_ends() {
    let (mut command, _home) =
        Natsbench::new(["pub", "--dry-run", "--count", "1000000000000"]).into_command();
    let mut dry_run = Guarded(command.stderr(Stdio::piped()).spawn().unwrap());
    assert!(dry_run.first_line().starts_with("rounds.game."));
    assert_eq!(dry_run.code(), Some(i32::from(exit::PASSED)));
    let mut stderr = String::new();
    dry_run
        .0
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    assert_eq!(stderr, "");
}

#[test]
fn results_and_help_into_a_closed_pipe_are_a_normal_end() {
    let broker = Broker::start();
    let url = broker.ws_url();
    for args in [
        &["--help"][..],
        &["completions", "zsh"],
        &["pub", "--count", "1", "-q", "-s", &url],
        &["pub", "--count", "1", "-q", "-s", &url, "-o", "json"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let (mut command, _home) = Natsbench::new(args).into_command();
        let output = command
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{args:?}");
    }
}

/// A standard output, and the end of it that a reader would hold.
fn output_and_reader(is_socket: bool) -> (OwnedFd, OwnedFd) {
    if is_socket {
        let (output, reader) = UnixStream::pair().unwrap();
        (output.into(), reader.into())
    } else {
        let (reader, output) = std::io::pipe().unwrap();
        (output.into(), reader.into())
    }
}

#[test]
fn a_run_whose_report_nobody_reads_any_more_stops() {
    let latency = [
        "latency",
        "--warmup",
        "0s",
        "--duration",
        "1h",
        "--save",
        "result.json",
    ];
    for (args, is_socket) in [(&latency[..], false), (&latency, true), (&["pub"], false)] {
        let broker = Broker::monitored();
        let url = broker.ws_url();
        let (output, reader) = output_and_reader(is_socket);
        let run = Natsbench::new([args, &["-s", &url]].concat());
        let (mut command, home) = run.into_command();
        let mut run = Guarded(
            command
                .stdout(output)
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        );
        // The command keeps its copy of the output, which changes nothing: the reader is what goes.
        broker.await_published(1);
        drop(reader);
        assert_eq!(run.code(), Some(i32::from(exit::INTERRUPTED)), "{args:?}");
        if let Ok(saved) = fs::read(home.path().join("result.json")) {
            let result: Value = serde_json::from_slice(&saved).unwrap();
            assert_eq!(result["ended"], "interrupted", "{args:?}");
            assert_eq!(result["load"]["received"], result["load"]["sent"]);
        }
    }
}

#[test]
fn a_subscriber_without_messages_sees_that_nobody_reads() {
    for (args, code) in [
        // It has no lines, so its output is the report, which it can no longer give.
        (&["sub", "rounds.>", "--stats"][..], exit::INTERRUPTED),
        // Its output were lines, of which the reader has seen enough; none has come.
        (&["sub", "rounds.>"], exit::INCONCLUSIVE),
    ] {
        let broker = Broker::monitored();
        let url = broker.ws_url();
        let (mut command, _home) = Natsbench::new([args, &["-s", &url]].concat()).into_command();
        let mut sub = Guarded(command.stderr(Stdio::null()).spawn().unwrap());
        broker.await_subscriptions(2);
        drop(sub.0.stdout.take());
        assert_eq!(sub.code(), Some(i32::from(code)), "{args:?}");
    }
}

#[test]
fn a_run_that_was_never_read_or_writes_to_a_file_runs_to_its_end() {
    let broker = Broker::start();
    let url = broker.ws_url();
    let args = [
        "latency",
        "--slo",
        "lost==0",
        "--warmup",
        "0s",
        "--duration",
        "1s",
        "-q",
        "-s",
        &url,
    ];
    let (reader, closed) = std::io::pipe().unwrap();
    drop(reader);
    let file = tempfile::tempfile().unwrap();
    for output in [Stdio::from(closed), Stdio::from(file), Stdio::null()] {
        let (mut command, _home) = Natsbench::new(args).into_command();
        let status = command.stdout(output).status().unwrap();
        assert_eq!(status.code(), Some(i32::from(exit::PASSED)));
    }
}

#[test]
fn a_broker_goes_on_when_nobody_reads() {
    let args = ["broker", "--websocket-port=0", "--client-port=0"];
    let args = [&args[..], &["--monitoring-port=0"]].concat();
    let (mut command, _home) = Natsbench::new(args).into_command();
    let mut broker = Guarded(command.stderr(Stdio::null()).spawn().unwrap());
    let first = broker.first_line();
    assert!(first.contains("is running"), "{first}");
    // Two looks at the output would see that its reader has gone.
    pass_time(Duration::from_millis(600));
    assert!(broker.0.try_wait().unwrap().is_none());
    kill_process(Pid::from_child(&broker.0), Signal::INT).unwrap();
    assert_eq!(broker.code(), Some(i32::from(exit::PASSED)));
}
