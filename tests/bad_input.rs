//! Bad input: exit code 2, nothing on standard output, nothing connected, and a message that says what to do.
//!
//! The messages are compared word for word, carets and all. Each snapshot is a transcript of what a user types and
//! gets. `LISTENER` stands for a listener that must see no connection, `HOME` for the working directory.

use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use natsbench::cli::exit;

use crate::harness::{Natsbench, VARIABLES};

/// A broker that nobody may connect to.
struct Untouched(TcpListener);

impl Untouched {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn address(&self) -> String {
        self.0.local_addr().unwrap().to_string()
    }

    #[track_caller]
    fn assert_untouched(&self, args: &[&str]) {
        let accepted = self.0.accept();
        assert_eq!(
            accepted.err().map(|error| error.kind()),
            Some(ErrorKind::WouldBlock),
            "{args:?} connected"
        );
    }
}

/// Files in the working directory: name and content.
type Files<'a> = &'a [(&'a str, &'a str)];

/// A transcript of commands that are refused.
struct Transcript {
    listener: Untouched,
    text: String,
}

impl Transcript {
    fn new() -> Self {
        Self {
            listener: Untouched::new(),
            text: String::new(),
        }
    }

    /// Runs a command that must be refused.
    #[track_caller]
    fn refuse(&mut self, args: &[&str]) {
        self.refuse_with(&[], &[], args);
    }

    #[track_caller]
    fn refuse_with(&mut self, env: &[(&str, &str)], files: Files<'_>, args: &[&str]) {
        let address = self.listener.address();
        let mut run = Natsbench::new(args).env("NATS_URL", format!("ws://{address}"));
        for (name, value) in env {
            run = run.env(name, value);
            write!(self.text, "{name}={value} ").unwrap();
        }
        for (name, content) in files {
            fs::write(run.home().join(name), content).unwrap();
        }
        let home = run.home().to_str().unwrap().to_owned();
        let finished = run.run().exits(exit::USAGE);
        assert_eq!(finished.stdout, "", "{args:?}");
        assert!(
            finished
                .stderr
                .lines()
                .all(|line| line == line.trim_end() && !line.contains('\u{1b}')),
            "{:?}",
            finished.stderr
        );
        self.listener.assert_untouched(args);
        let left: Vec<_> = fs::read_dir(&home)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !files.iter().any(|(known, _)| known == name))
            .collect();
        assert_eq!(left, [""; 0], "{args:?} left files behind");
        let shown: Vec<String> = args
            .iter()
            .map(|arg| format!("{arg:?}").replace('"', "'"))
            .collect();
        let stderr = finished
            .stderr
            .replace(&address, "LISTENER")
            .replace(&home, "HOME");
        writeln!(self.text, "$ natsbench {}\n{stderr}", shown.join(" ")).unwrap();
    }
}

#[test]
fn rates() {
    let mut transcript = Transcript::new();
    for rate in [
        "0",
        "0.0",
        "-5",
        "-0.5",
        "NaN",
        "inf",
        "-inf",
        "1e30",
        "10000001",
        "99999999999999999999",
        "10q",
        "2\u{20ac}",
        "",
        "200 300",
        "0.1.2",
    ] {
        transcript.refuse(&["pub", "--rate", rate]);
    }
    transcript.refuse(&["latency", "--rate", "0"]);
    transcript.refuse(&["latency", "--rate", "max"]);
    transcript.refuse(&["latency", "--rate"]);
    transcript.refuse(&["pub", "--rate", "--count", "5"]);
    insta::assert_snapshot!(transcript.text);
}

#[test]
fn games() {
    let mut transcript = Transcript::new();
    for games in [
        "crush",
        "crash,dubble=3",
        "wallstreet",
        "roulette",
        "crash=0",
        "crash=-1",
        "crash,double=x",
        "crash=1.5",
        "crash=1000001",
        "crash=",
        "",
        "crash,,double",
        "crash,",
        "crash,slot,crash",
        "cr\u{e4}sh",
        "crash\u{1b}[2J",
    ] {
        transcript.refuse(&["pub", "--games", games]);
    }
    insta::assert_snapshot!(transcript.text);
}

#[test]
fn durations_and_counts() {
    let mut transcript = Transcript::new();
    for duration in [
        "10",
        "0s",
        "-1s",
        "-1",
        "10 parsecs",
        "",
        "s",
        "366d",
        "10000000y",
        "1h 5",
        "\u{b5}",
    ] {
        transcript.refuse(&["latency", "--duration", duration]);
    }
    transcript.refuse(&["pub", "--duration", "0s"]);
    transcript.refuse(&["sub", "x", "--duration", "0ms"]);
    transcript.refuse(&["latency", "--warmup", "2"]);
    transcript.refuse(&["latency", "--drain", "-2"]);
    transcript.refuse(&["pub", "--timeout", "0s"]);
    transcript.refuse(&["pub", "--timeout", "5"]);
    transcript.refuse_with(&[("NATS_TIMEOUT", "5")], &[], &["pub"]);
    transcript.refuse(&["pub", "--count", "0"]);
    transcript.refuse(&["pub", "--count", "-1"]);
    transcript.refuse(&["pub", "--count", "ten"]);
    transcript.refuse(&["sub", "x", "--count", "0"]);
    transcript.refuse(&["pub", "--connections", "0"]);
    transcript.refuse(&["latency", "--publishers", "0"]);
    transcript.refuse(&["latency", "--subscribers", "70000"]);
    transcript.refuse(&["latency", "--subscribers", "-1"]);
    transcript.refuse(&["pub", "--seed", "-1"]);
    transcript.refuse(&["pub", "--seed", "99999999999999999999"]);
    insta::assert_snapshot!(transcript.text);
}

#[test]
fn flags_about_lost_connections() {
    let mut transcript = Transcript::new();
    transcript.refuse(&["latency", "--reconnect-wait", "0"]);
    transcript.refuse(&["latency", "--reconnect-wait=-1s"]);
    transcript.refuse(&["pub", "--reconnect-wait", "soon"]);
    transcript.refuse(&["sub", "x", "--max-reconnects", "-1"]);
    transcript.refuse(&["sub", "x", "--max-reconnects", "1.5"]);
    transcript.refuse(&["pub", "--ping-interval", "0s"]);
    transcript.refuse(&["pub", "--while-down", "drop"]);
    transcript.refuse(&["sub", "x", "--stall=abc"]);
    transcript.refuse(&["sub", "x", "--stall=-5"]);
    transcript.refuse(&["latency", "--events", "missing/e"]);
    transcript.refuse(&["latency", "--events", "a", "--save", "a"]);
    transcript.refuse(&["pub", "--events", "b", "--series", "./b"]);
    insta::assert_snapshot!(transcript.text);
}

#[test]
fn sizes() {
    let mut transcript = Transcript::new();
    for size in [
        "5",
        "0",
        "-1",
        "abc",
        "4x",
        "1.5KiB",
        "999G",
        "99999999999999999999",
        "",
    ] {
        transcript.refuse(&["pub", "--size", size]);
    }
    transcript.refuse(&["latency", "--size", "100", "--games", "crash"]);
    transcript.refuse(&["pub", "--no-stamp", "--size", "100"]);
    insta::assert_snapshot!(transcript.text);
}

#[test]
fn the_size_that_is_named_as_the_smallest_works() {
    for args in [&["pub"][..], &["pub", "--no-stamp", "--games", "slot"]] {
        let refused = Natsbench::new([args, &["--size", "1"]].concat())
            .run()
            .exits(exit::USAGE);
        let smallest = refused.stderr.trim_end().rsplit(' ').next().unwrap();
        let run = |size: &str| {
            let dry = ["--dry-run", "--count", "100", "--size", size];
            Natsbench::new([args, &dry].concat()).run()
        };
        run(smallest).exits(exit::PASSED);
        let one_less = smallest.parse::<u64>().unwrap() - 1;
        run(&one_less.to_string()).exits(exit::USAGE);
    }
}

#[test]
fn subjects() {
    let mut transcript = Transcript::new();
    for subject in [
        "",
        "a b",
        "a..b",
        ".a",
        "a.",
        ".",
        "a.>.b",
        ">.a",
        "a\tb",
        "a\u{1}b",
        "\u{e4}.\u{6f22}\u{5b57}..b",
        "a\u{a0}b",
        "rounds.game.crash ",
    ] {
        transcript.refuse(&["sub", subject]);
    }
    let long = format!("{}..{}", "abcdefgh.".repeat(30), "ijkl.".repeat(30));
    transcript.refuse(&["sub", &long]);
    let too_long = "x".repeat(5000);
    transcript.refuse(&["sub", &too_long]);
    transcript.text = transcript.text.replace(&too_long, "xxx... (5000 bytes)");
    transcript.refuse(&["sub", "rounds.>", "b..c"]);
    transcript.refuse(&["sub"]);
    transcript.refuse(&["sub", "x", "--queue", "a b"]);
    transcript.refuse(&["sub", "x", "--queue", ""]);
    for prefix in ["", "a b", "a..b", "a.*", "a.>", "a.", "\u{e4} b"] {
        transcript.refuse(&["pub", "--prefix", prefix]);
    }
    insta::assert_snapshot!(transcript.text);
}

#[test]
fn server_urls() {
    let mut transcript = Transcript::new();
    for url in [
        "",
        "ws://a,",
        ",",
        "localhost:8443",
        "http://h",
        "ftp://h",
        "ws://",
        "ws://:8443",
        "ws://h:99999",
        "ws://h:0",
        "ws://h:",
        "ws://h:8x",
        "ws://h:-1",
        "ws://a b",
        "ws://h\u{6f22}\u{5b57}:x",
        "ws://a/b c",
        "ws://h/#x",
        "ws://[::1",
        "ws://[::1]8443",
        "ws:/h",
        "ws://h/a\u{1b}[2J",
        "ws://me:hunter2@h:x",
        "ws://me:hun/ter2@h:1",
        "me:hunter2@h",
    ] {
        transcript.refuse(&["pub", "--server", url]);
    }
    transcript.refuse(&["sub", "x", "-s", "ws://a,http://b"]);
    transcript.refuse(&["latency", "--pub-server", "http://h"]);
    transcript.refuse_with(&[("NATS_URL", "nats:4222")], &[], &["pub"]);
    insta::assert_snapshot!(transcript.text);
}

#[test]
fn headers_and_their_like() {
    let mut transcript = Transcript::new();
    transcript.refuse(&["pub", "--header", "Authorization Bearer hunter2"]);
    transcript.refuse(&["pub", "--header", "X Y: z"]);
    transcript.refuse(&["pub", "--header", ": z"]);
    transcript.refuse(&["pub", "--header", "\u{fc}ber: z"]);
    transcript.refuse(&["pub", "--header", "X: a\r\nEvil: b"]);
    transcript.refuse(&["pub", "--origin", "http://a\nb"]);
    transcript.refuse(&["pub", "--user-agent", "a\u{7f}"]);
    insta::assert_snapshot!(transcript.text);
}

#[test]
fn objectives() {
    let mut transcript = Transcript::new();
    for slo in [
        "",
        "p99",
        "p99<",
        "p99<2",
        "p99=2ms",
        "p99<<2ms",
        "<2ms",
        "p99<2 parsecs",
        "p100<2ms",
        "responce.p99<2ms",
        "response<2ms",
        "lost==0ms",
        "lost==1.5",
        "lost_ratio<5x%",
        "rate>=101%",
        "r\u{e9}ponse.p99<2ms",
        "p99<\u{6f22}ms",
    ] {
        transcript.refuse(&["latency", "--slo", slo]);
    }
    transcript.refuse(&["latency", "--slo", "lost==0", "--slo", "p99<2"]);
    insta::assert_snapshot!(transcript.text);
}

#[test]
fn files_that_cannot_be_written() {
    let mut transcript = Transcript::new();
    for flag in ["--save", "--hdr"] {
        transcript.refuse(&["latency", flag, "/nonexistent-dir/x"]);
        transcript.refuse(&["latency", flag, "."]);
        transcript.refuse(&["latency", flag, ""]);
        transcript.refuse(&["latency", flag, "/proc/version/x"]);
    }
    // The file that could be opened first is gone again.
    transcript.refuse(&["latency", "--save", "a", "--hdr", "/nonexistent-dir/x"]);
    transcript.refuse(&["latency", "--save", "a", "--hdr", "a"]);
    transcript.refuse(&["man", "/proc/version/x"]);
    insta::assert_snapshot!(transcript.text);
}

#[test]
fn files_that_cannot_be_read() {
    let mut transcript = Transcript::new();
    for flag in ["--creds", "--nkey", "--tlsca"] {
        transcript.refuse(&["pub", flag, "missing"]);
        transcript.refuse(&["pub", flag, "."]);
        transcript.refuse_with(&[], &[("empty", "")], &["pub", flag, "empty"]);
        transcript.refuse_with(
            &[],
            &[("garbage", "first\nsecond\n")],
            &["pub", flag, "garbage"],
        );
    }
    let torn_creds = "-----BEGIN NATS USER JWT-----\nhunter2\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\nSUhunter2\n------END USER NKEY SEED------\n";
    transcript.refuse_with(
        &[],
        &[("torn.creds", torn_creds)],
        &["pub", "--creds", "torn.creds"],
    );
    transcript.refuse_with(
        &[],
        &[("torn.nk", "# a comment\nSUhunter2\n")],
        &["pub", "--nkey", "torn.nk"],
    );
    let torn_pem = "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n";
    transcript.refuse_with(
        &[],
        &[("torn.pem", torn_pem)],
        &["pub", "--tlsca", "torn.pem"],
    );
    transcript.refuse(&["pub", "--tlscert", "c.pem"]);
    transcript.refuse(&["pub", "--tlskey", "k.pem"]);
    transcript.refuse(&["pub", "--tlscert", "c.pem", "--tlskey", "k.pem"]);
    transcript.refuse(&["pub", "--password", "hunter2"]);
    insta::assert_snapshot!(transcript.text);
}

#[test]
fn contexts() {
    let mut transcript = Transcript::new();
    transcript.refuse(&["pub", "--context", "missing"]);
    transcript.refuse(&["pub", "--context", "../missing"]);
    transcript.refuse(&["pub", "--context", ""]);
    insta::assert_snapshot!(transcript.text);
}

#[test]
fn flags_that_contradict_each_other() {
    let mut transcript = Transcript::new();
    transcript.refuse(&["pub", "--count", "1", "--duration", "1s"]);
    transcript.refuse(&["pub", "--local-broker", "--server", "ws://h"]);
    transcript.refuse(&["latency", "--local-broker", "--context", "x"]);
    transcript.refuse(&["latency", "--local-broker", "--user", "me"]);
    transcript.refuse(&["sub", "x", "--local-broker"]);
    transcript.refuse(&["sub", "x", "--stats", "--format", "json"]);
    transcript.refuse(&["sub", "x", "--format", "json", "-o", "json"]);
    insta::assert_snapshot!(transcript.text);
}

#[test]
fn flags_of_the_doctor() {
    let mut transcript = Transcript::new();
    transcript.refuse(&["doctor", "--payload-size", "512"]);
    transcript.refuse(&["doctor", "--publish", "x", "--payload-size", "1TiB"]);
    transcript.refuse(&["doctor", "--offline", "--watch", "1m"]);
    transcript.refuse(&["doctor", "--offline", "--jetstream"]);
    transcript.refuse(&["doctor", "--offline", "--request"]);
    transcript.refuse(&["doctor", "--offline", "--local-broker"]);
    transcript.refuse(&["doctor", "--only", "tls,dns", "--skip", "dns"]);
    transcript.refuse(&["doctor", "--only", "permission"]);
    transcript.refuse(&["doctor", "--watch", "0s"]);
    transcript.refuse(&["doctor", "--timeout", "0s"]);
    transcript.refuse(&["doctor", "--format", "xml"]);
    transcript.refuse(&["doctor", "--local-broker", "--server", "ws://h"]);
    insta::assert_snapshot!(transcript.text);
}

#[test]
fn flags_and_choices_that_do_not_exist() {
    let mut transcript = Transcript::new();
    transcript.refuse(&["pubb"]);
    transcript.refuse(&["pub", "--rat", "5"]);
    transcript.refuse(&["pub", "--route", "gam"]);
    transcript.refuse(&["pub", "--extras", "json"]);
    transcript.refuse(&["pub", "--client", "nats"]);
    transcript.refuse(&["pub", "-o", "yaml"]);
    transcript.refuse(&["sub", "x", "--format", "pretti"]);
    transcript.refuse(&["pub", "--color", "sometimes"]);
    transcript.refuse(&["pub", "surplus"]);
    transcript.refuse(&["completions", "tcsh"]);
    transcript.refuse(&["completions"]);
    transcript.refuse(&["man"]);
    transcript.refuse(&["broker", "--websocket-port", "99999"]);
    transcript.refuse(&["broker", "--client-port", "x"]);
    insta::assert_snapshot!(transcript.text);
}

#[test]
fn an_existing_file_keeps_its_content_when_the_run_does_not_begin() {
    let run = Natsbench::new([
        "latency",
        "--save",
        "old",
        "--hdr",
        "old.hlog",
        "--server",
        "ws://127.0.0.1:1",
    ]);
    for name in ["old", "old.hlog"] {
        fs::write(run.home().join(name), "precious").unwrap();
    }
    let finished = run.run().exits(exit::UNREACHABLE);
    for name in ["old", "old.hlog"] {
        let content = fs::read_to_string(finished.home().join(name)).unwrap();
        assert_eq!(content, "precious", "{name}");
    }
}

#[test]
fn a_new_file_is_gone_again_when_the_run_does_not_begin() {
    let finished = Natsbench::new([
        "latency",
        "--save",
        "new",
        "--hdr",
        "new.hlog",
        "--server",
        "ws://127.0.0.1:1",
    ])
    .run()
    .exits(exit::UNREACHABLE);
    assert_eq!(fs::read_dir(finished.home()).unwrap().count(), 0);
}

#[test]
fn a_wildcard_inside_a_token_is_a_warning_and_no_error() {
    let finished = Natsbench::new([
        "sub",
        "rounds.type.slot*",
        "$SYS.>",
        "_INBOX.*",
        "--server",
        "ws://127.0.0.1:1",
    ])
    .run()
    .exits(exit::UNREACHABLE);
    let warning = "\
warning: `*` and `>` are wildcards only as whole tokens; inside a token they match nothing but themselves
  rounds.type.slot*
                  ^
error: cannot connect to ws://127.0.0.1:1
";
    assert!(finished.stderr.starts_with(warning), "{}", finished.stderr);
}

#[test]
fn a_prefix_that_belongs_to_others_is_a_warning_and_no_error() {
    for (prefix, warning) in [
        (
            "$SYS",
            "warning: `--prefix`: subjects that begin with `$` belong to the server\n  $SYS\n  ^^^^\n",
        ),
        (
            "_INBOX",
            "warning: `--prefix`: subjects that begin with `_` are used by client libraries\n  _INBOX\n  ^^^^^^\n",
        ),
        (
            "a.b*",
            "warning: `--prefix`: `*` and `>` are wildcards only as whole tokens; inside a token they match nothing but themselves\n  a.b*\n     ^\n",
        ),
    ] {
        let args = ["pub", "--dry-run", "--count", "1", "--prefix", prefix];
        let finished = Natsbench::new(args).run().exits(exit::PASSED);
        assert_eq!(finished.stderr, warning);
    }
}

#[test]
fn an_empty_environment_variable_counts_as_not_set() {
    let run = Natsbench::new(["latency", "--rate", "0"]);
    let bad_rate = VARIABLES
        .iter()
        .fold(run, |run, name| run.env(name, ""))
        .run();
    // Nothing of the environment stands in the way of the first real fault...
    assert!(bad_rate.stderr.contains("`--rate`"), "{}", bad_rate.stderr);
    // ...and without one everything is as it is by default.
    let run = Natsbench::new(["pub", "--dry-run", "--count", "1"]);
    VARIABLES
        .iter()
        .fold(run, |run, name| run.env(name, ""))
        .run()
        .exits(exit::PASSED);
}

#[test]
fn a_file_without_permission_is_found_before_the_run() {
    let listener = Untouched::new();
    let run = Natsbench::new(["latency", "--save", "locked/result.json"])
        .env("NATS_URL", format!("ws://{}", listener.address()));
    let locked = run.home().join("locked");
    // A file where a directory is needed: refused for everyone, root included.
    fs::write(&locked, "").unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o400)).unwrap();
    let finished = run.run().exits(exit::USAGE);
    listener.assert_untouched(&[]);
    assert!(
        finished
            .stderr
            .starts_with("error: `--save`: cannot write to `locked/result.json`\n"),
        "{}",
        finished.stderr
    );
}
