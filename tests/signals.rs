//! Signals and closed pipes: a run that is interrupted still says what it measured.

mod unread;

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use natsbench::cli::exit;
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Broker, Natsbench, eventually};

/// Starts a command that would run for an hour, and waits until the broker has something of it.
fn started(broker: &Broker, args: &[&str]) -> crate::harness::Running {
    let url = broker.ws_url();
    let run = Natsbench::new([args, &["-s", &url]].concat()).spawn();
    broker.await_published(1);
    run
}

#[test]
fn an_interrupted_run_prints_its_partial_result() {
    for signal in [Signal::INT, Signal::TERM] {
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

/// Starts a command with SIGHUP as it says, whatever the tests themselves were started with.
fn with_hangup(flag: &str, command: &Command) -> Guarded {
    let mut run = Command::new("env");
    run.arg(flag)
        .arg(command.get_program())
        .args(command.get_args());
    let run = run.stdout(Stdio::null()).stderr(Stdio::null());
    Guarded(run.spawn().unwrap())
}

#[test]
fn a_terminal_that_goes_away_interrupts() {
    let broker = Broker::monitored();
    let url = broker.ws_url();
    let (command, _home) = Natsbench::new(["pub", "--rate", "500", "-s", &url]).into_command();
    let mut run = with_hangup("--default-signal=HUP", &command);
    broker.await_published(1);
    kill_process(Pid::from_child(&run.0), Signal::HUP).unwrap();
    assert_eq!(run.code(), Some(i32::from(exit::INTERRUPTED)));
}

#[test]
fn a_run_under_nohup_outlives_its_terminal() {
    let broker = Broker::monitored();
    let url = broker.ws_url();
    let (command, _home) = Natsbench::new(["pub", "--rate", "500", "-s", &url]).into_command();
    let mut run = with_hangup("--ignore-signal=HUP", &command);
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
    let (mut command, home) = Natsbench::new(args).into_command();
    let _pipe = full_pipe(&home.path().join("pipe"));
    let mut run = Guarded(command.spawn().unwrap());
    // The report comes first; behind it the run waits for the pipe.
    let report = run.first_line();
    assert!(!report.is_empty());
    // Those that come at the same moment are one, so more than three are sent.
    let status = eventually("natsbench to end", || {
        let pid = Pid::from_child(&run.0);
        kill_process(pid, Signal::INT).unwrap();
        run.0.try_wait().unwrap()
    });
    assert_eq!(status.code(), Some(i32::from(exit::INTERRUPTED)));
    let mut stderr = String::new();
    let mut pipe = run.0.stderr.take().unwrap();
    pipe.read_to_string(&mut stderr).unwrap();
    assert_eq!(
        stderr,
        "error: interrupted once more: ended without a whole result\n"
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
