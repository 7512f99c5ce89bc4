//! Small runs, for tests that ask whether and how a connection comes about and not how fast it is.

use std::ffi::OsStr;
use std::fs;

use natsbench::cli::exit;
use serde_json::Value;

use super::{Broker, Finished, Natsbench, eventually};

/// A command with these arguments, and with those defaults that they do not replace.
fn with<A: AsRef<OsStr>>(command: &str, defaults: &[(&str, &str)], args: &[A]) -> Natsbench {
    let args: Vec<&OsStr> = args.iter().map(AsRef::as_ref).collect();
    let defaults = defaults
        .iter()
        .filter(|(flag, _)| !args.iter().any(|arg| arg == flag))
        .flat_map(|(flag, value)| [flag, value].map(|part| OsStr::new(*part)));
    Natsbench::new(
        [OsStr::new(command)]
            .into_iter()
            .chain(defaults)
            .chain(args.iter().copied()),
    )
}

/// `pub` of ten rounds, under one subject each.
pub(crate) fn publish<A: AsRef<OsStr>>(args: &[A]) -> Natsbench {
    let defaults = [("--count", "10"), ("--route", "game"), ("-o", "json")];
    with("pub", &defaults, args)
}

/// `latency` of a hundred rounds.
pub(crate) fn latency<A: AsRef<OsStr>>(args: &[A]) -> Natsbench {
    let defaults = [
        ("--warmup", "0s"),
        ("--duration", "500ms"),
        ("--rate", "200"),
        ("--drain", "20s"),
        ("-o", "json"),
    ];
    with("latency", &defaults, args)
}

/// `sub` without message lines.
pub(crate) fn subscribe<A: AsRef<OsStr>>(args: &[A]) -> Natsbench {
    let args: Vec<&OsStr> = args
        .iter()
        .map(AsRef::as_ref)
        .chain([OsStr::new("--stats")])
        .collect();
    with("sub", &[("-o", "json")], &args)
}

/// The result of a run that came to its end. Whether its numbers are to be trusted depends on the machine that the
/// tests run on, so that an inconclusive verdict is as good as a pass.
#[track_caller]
pub(crate) fn completed(finished: &Finished) -> Value {
    let codes = [exit::PASSED, exit::INCONCLUSIVE].map(|code| Some(i32::from(code)));
    assert!(
        codes.contains(&finished.code),
        "exit code {:?}\nstdout:\n{}\nstderr:\n{}",
        finished.code,
        finished.stdout,
        finished.stderr
    );
    let result = finished.json();
    assert_eq!(result["ended"], "completed", "{result}");
    result
}

/// What a run said that got no connection.
#[track_caller]
pub(crate) fn refused(run: Natsbench) -> String {
    let finished = run.run().exits(exit::UNREACHABLE);
    assert_eq!(finished.stdout, "");
    assert!(finished.stderr.contains("\n  try: "), "{}", finished.stderr);
    finished.stderr
}

/// Waits until a broker that was configured with `trace: true` has seen that many subscriptions.
#[track_caller]
pub(crate) fn subscribed(broker: &Broker, pattern: &str, n: usize) {
    let sought = format!("[SUB {pattern} ");
    eventually(&sought, || {
        (broker.log().matches(&sought).count() >= n).then_some(())
    });
}

/// Puts a context of the `nats` command line into the home of a run.
pub(crate) fn write_context(run: &Natsbench, name: &str, json: &str) {
    let directory = run.home().join(".config/nats/context");
    fs::create_dir_all(&directory).expect("a directory in the home of the run");
    fs::write(directory.join(format!("{name}.json")), json).expect("a file in it");
}
