//! Signals and closed pipes: a run that is interrupted still says what it measured, and a reader that has seen
//! enough is a normal end.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use natsbench::cli::exit;
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::harness::{Broker, Natsbench, eventually, pass_time};

/// Starts a command that would run for an hour, and waits until the broker has something of it.
fn started(broker: &Broker, args: &[&str]) -> crate::harness::Running {
    let url = broker.ws_url();
    let run = Natsbench::new([args, &["-s", &url]].concat()).spawn();
    broker.await_published(1);
    run
}

#[test]
fn an_interrupted_run_prints_its_partial_result() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let broker = Broker::monitored();
        let args = [
            "latency",
            "--duration",
            "1h",
            "--warmup",
            "0s",
            "--rate",
            "500",
            "-o",
            "json",
            "--save",
            "result.json",
        ];
        let run = started(&broker, &args);
        run.signal(signal);
        let finished = run.wait().exits(exit::INTERRUPTED);
        let result = finished.json();
        assert_eq!(result["ended"], "interrupted", "{signal:?}");
        assert_eq!(result["load"]["lost"], 0, "{signal:?}");
        assert!(result["load"]["received"].as_u64() > Some(0), "{signal:?}");
        assert_eq!(
            result["load"]["received"], result["load"]["sent"],
            "what was sent is waited for"
        );
        let saved = std::fs::read_to_string(finished.home().join("result.json")).unwrap();
        assert_eq!(saved, finished.stdout, "{signal:?}");
    }
}

#[test]
fn a_run_under_nohup_outlives_its_terminal() {
    let broker = Broker::monitored();
    let url = broker.ws_url();
    let (command, _home) = Natsbench::new(["pub", "--rate", "500", "-s", &url]).into_command();
    // What `nohup` does, without what it does to the output.
    let mut ignoring = Command::new("sh");
    ignoring
        .args(["-c", "trap '' HUP; exec \"$0\" \"$@\""])
        .arg(command.get_program())
        .args(command.get_args());
    let ignoring = ignoring.stdout(Stdio::null()).stderr(Stdio::null());
    let mut run = Guarded(ignoring.spawn().unwrap());
    broker.await_published(1);
    let pid = Pid::from_child(&run.0);
    kill_process(pid, Signal::HUP).unwrap();
    broker.await_published(1_000);
    kill_process(pid, Signal::INT).unwrap();
    assert_eq!(run.code(), Some(i32::from(exit::INTERRUPTED)));
}

#[test]
fn an_interrupted_publisher_prints_its_partial_result() {
    let broker = Broker::monitored();
    let run = started(&broker, &["pub", "--rate", "500", "-o", "json"]);
    run.signal(Signal::INT);
    let result = run.wait().exits(exit::INTERRUPTED).json();
    assert_eq!(result["ended"], "interrupted");
    assert!(result["load"]["sent"].as_u64() > Some(0));
}

#[test]
fn an_interrupted_publisher_tells_subscribers_how_much_it_sent() {
    let broker = Broker::monitored();
    let url = broker.ws_url();
    let sub = Natsbench::new(["sub", "rounds.type.*", "--stats", "-o", "json", "-s", &url]).spawn();
    broker.await_subscriptions(2);
    let publisher = started(&broker, &["pub", "--rate", "500"]);
    publisher.signal(Signal::INT);
    publisher.wait().exits(exit::INTERRUPTED);
    sub.signal(Signal::INT);
    let load = sub.wait().exits(exit::INTERRUPTED).json()["load"].clone();
    assert_eq!(load["tail_unknown_streams"], 0, "{load}");
    assert_eq!(load["lost"], 0, "{load}");
    assert_eq!(load["expected"], load["received"], "{load}");
}

#[test]
fn an_interrupted_subscriber_prints_its_partial_result() {
    let broker = Broker::monitored();
    let url = broker.ws_url();
    let sub = Natsbench::new(["sub", "rounds.>", "--stats", "-o", "json", "-s", &url]).spawn();
    broker.await_subscriptions(2);
    Natsbench::new(["pub", "--count", "5", "--rate", "max", "-s", &url])
        .run()
        .exits(exit::PASSED);
    sub.signal(Signal::TERM);
    let result = sub.wait().exits(exit::INTERRUPTED).json();
    assert_eq!(result["ended"], "interrupted");
    assert_eq!(result["load"]["received"], 10);
    assert_eq!(result["load"]["lost"], 0);
}

#[test]
fn a_second_signal_ends_at_once() {
    let broker = Broker::monitored();
    let args = [
        "latency",
        "--duration",
        "1h",
        "--warmup",
        "0s",
        "--rate",
        "500",
        "--drain",
        "1h",
        "-o",
        "json",
    ];
    let run = started(&broker, &args);
    // A broker that is frozen delivers nothing more, so that the drain would last its hour.
    broker.signal(Signal::STOP);
    run.signal(Signal::INT);
    run.stderr_line("once again leaves at once with what is known");
    run.signal(Signal::INT);
    let finished = run.wait().exits(exit::INTERRUPTED);
    broker.signal(Signal::CONT);
    let load = finished.json()["load"].clone();
    let count = |name: &str| load[name].as_u64().expect("a count");
    assert!(count("sent") > 0, "{load}");
    assert_eq!(
        count("received") + count("lost") + count("in_doubt"),
        count("expected"),
        "{load}"
    );
}

#[test]
fn a_signal_while_connecting_ends_at_once() {
    // A listener that accepts and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", silent.local_addr().unwrap());
    for args in [&["latency"][..], &["pub"], &["sub", "x"]] {
        let run = Natsbench::new([args, &["-s", &url, "--timeout", "1h"]].concat()).spawn();
        let (mut connection, _) = silent.accept().unwrap();
        let mut first = [0];
        connection.read_exact(&mut first).unwrap();
        run.signal(Signal::INT);
        let finished = run.wait().exits(exit::INTERRUPTED);
        assert_eq!(finished.stdout, "", "{args:?}");
        assert!(
            finished.stderr.contains("interrupted"),
            "{args:?}: {}",
            finished.stderr
        );
    }
}

/// A child that does not outlive a test that fails.
struct Guarded(Child);

impl Guarded {
    fn first_line(&mut self) -> String {
        let mut line = String::new();
        // `| head -1`: the pipe closes behind the first line.
        BufReader::new(self.0.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        line
    }

    fn code(&mut self) -> Option<i32> {
        eventually("natsbench to end", || self.0.try_wait().unwrap()).code()
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // A failure means that it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

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

/// A pipe with a reader that never reads, and no room.
fn full_pipe(path: &Path) -> File {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap();
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).custom_flags(flags);
    let mut pipe = options.open(path).unwrap();
    while pipe.write(&[b'x'; 4096]).is_ok() {}
    let error = pipe.write(b"x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    pipe
}

#[test]
fn a_third_signal_ends_the_process_whatever_it_is_doing() {
    let broker = Broker::start();
    let url = broker.ws_url();
    let args = ["latency", "--warmup", "0s", "--duration", "100ms"];
    let args = [&args[..], &["-q", "--save", "pipe", "-s", &url]].concat();
    let run = Natsbench::new(args);
    let _pipe = full_pipe(&run.home().join("pipe"));
    let run = run.spawn();
    // What is printed last; now it waits for the pipe.
    run.stdout_line("received");
    // Different ones: signals of a kind that come at the same moment are one.
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        run.signal(signal);
    }
    let finished = run.wait().exits(exit::INTERRUPTED);
    assert_eq!(
        finished.stderr,
        "error: interrupted three times: ended without a whole result\n"
    );
}

#[test]
fn what_was_under_way_to_an_interrupted_subscriber_is_counted() {
    let broker = Broker::monitored();
    let url = broker.ws_url();
    let sub = Natsbench::new(["sub", "rounds.game.*", "-o", "json", "-s", &url]).spawn();
    broker.await_subscriptions(2);
    // It sleeps while everything is sent, and wakes up to find the interrupt and all the messages.
    sub.signal(Signal::STOP);
    Natsbench::new([
        "pub", "--count", "8000", "--rate", "max", "--route", "game", "-s", &url,
    ])
    .run()
    .exits(exit::PASSED);
    sub.signal(Signal::INT);
    sub.signal(Signal::CONT);
    let load = sub.wait().exits(exit::INTERRUPTED).json()["load"].clone();
    assert_eq!(load["received"], 8000, "{load}");
    assert_eq!(load["expected"], 8000, "{load}");
    assert_eq!(load["lost"], 0, "{load}");
}
