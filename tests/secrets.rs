//! Secrets: in no output, no error, no saved file and no process title, whether a run works or fails.

mod echo;

use std::fs;
use std::path::Path;

use natsbench::cli::exit;
use rustix::process::Signal;

use crate::harness::{Broker, Finished, Natsbench, eventually};

/// Occurs nowhere else, and looks like no random text.
const SECRET: &str = "hunter2-5f3759df";
/// Every flag of `latency` that names a file to write, and the file.
const FILES: [&str; 8] = [
    "--save", "saved", "--hdr", "log", "--events", "events", "--series", "series",
];

/// Everything that a run has left behind.
#[track_caller]
fn assert_kept(finished: &Finished) {
    assert_all_kept(finished, &[SECRET]);
}

#[track_caller]
fn assert_all_kept(finished: &Finished, secrets: &[&str]) {
    for secret in secrets {
        assert!(
            !finished.stdout.contains(secret),
            "{secret} in stdout: {}",
            finished.stdout
        );
        assert!(
            !finished.stderr.contains(secret),
            "{secret} in stderr: {}",
            finished.stderr
        );
        for entry in fs::read_dir(finished.home()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() && !is_input(&path) {
                let content = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
                assert!(
                    !content.contains(secret),
                    "{secret} in {}: {content}",
                    path.display()
                );
            }
        }
    }
}

/// What a test has put there itself.
fn is_input(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "secret")
}

fn with_password() -> Broker {
    Broker::builder()
        .monitored()
        .config(&format!(
            "authorization {{ user: me, password: \"{SECRET}\" }}"
        ))
        .start()
}

fn with_token() -> Broker {
    Broker::builder()
        .monitored()
        .config(&format!("authorization {{ token: \"{SECRET}\" }}"))
        .start()
}

/// The same URL with user info.
fn with_user_info(url: &str, user_info: &str) -> String {
    url.replace("://", &format!("://{user_info}@"))
}

#[test]
fn a_working_run_shows_no_secret_in_any_format() {
    let by_password = with_password();
    let by_token = with_token();
    let password_url = with_user_info(&by_password.ws_url(), &format!("me:{SECRET}"));
    let token_url = with_user_info(&by_token.ws_url(), SECRET);
    let (plain_password_url, plain_token_url) = (by_password.ws_url(), by_token.ws_url());
    let logins: [&[&str]; 5] = [
        &[
            "-s",
            &plain_password_url,
            "--user",
            "me",
            "--password",
            SECRET,
        ],
        &["-s", &plain_token_url, "--token", SECRET],
        &["-s", &password_url],
        &["-s", &token_url],
        &["-qs", &password_url],
    ];
    for login in logins {
        for format in ["human", "json", "markdown"] {
            let args = [
                "latency",
                "--slo",
                "lost==0",
                "--warmup",
                "0s",
                "--duration",
                "200ms",
                "-o",
                format,
            ];
            let finished = Natsbench::new([&args, &FILES[..], login].concat())
                .run()
                .exits(exit::PASSED);
            assert_kept(&finished);
            for name in FILES.iter().filter(|name| !name.starts_with('-')) {
                assert!(finished.home().join(name).is_file(), "{name}");
            }
        }
        let args = ["pub", "--count", "1", "-o", "json"];
        assert_kept(
            &Natsbench::new([&args, login].concat())
                .run()
                .exits(exit::PASSED),
        );
        let args = ["sub", "x", "--duration", "50ms", "-o", "json"];
        assert_kept(
            &Natsbench::new([&args, login].concat())
                .run()
                .exits(exit::INCONCLUSIVE),
        );
    }
}

#[test]
fn a_failing_run_shows_no_secret() {
    let other = Broker::builder()
        .config("authorization { user: me, password: other }")
        .start();
    let url = other.ws_url();
    let refused = format!("ws://me:{SECRET}@127.0.0.1:1");
    let unresolved = format!("ws://me:{SECRET}@name.invalid:8443");
    let wrong = with_user_info(&url, &format!("me:{SECRET}"));
    let query = format!("ws://127.0.0.1:1/?token={SECRET}");
    let bad_port = format!("ws://me:{SECRET}@h:x");
    let torn = format!("ws://me:1/{SECRET}@h:1");
    let no_scheme = format!("me:{SECRET}@h");
    let bad_scheme = format!("http://me:{SECRET}@h");
    let header = format!("Authorization Bearer {SECRET}");
    let control = format!("X: {SECRET}\u{1}");
    let cases: [(&[&str], u8); 13] = [
        (&["-s", &refused], exit::UNREACHABLE),
        (&["-s", &unresolved], exit::UNREACHABLE),
        (&["-s", &wrong], exit::UNREACHABLE),
        (&["-s", &query], exit::UNREACHABLE),
        (
            &["-s", &url, "--user", "me", "--password", SECRET],
            exit::UNREACHABLE,
        ),
        (&["-s", &url, "--token", SECRET], exit::UNREACHABLE),
        (&["-s", &bad_port], exit::USAGE),
        (&["-s", &torn, "--timeout", "100ms"], exit::UNREACHABLE),
        (&["-s", &no_scheme], exit::USAGE),
        (&["-s", &bad_scheme], exit::USAGE),
        (&["--header", &header], exit::USAGE),
        (&["--header", &control], exit::USAGE),
        (&["--password", SECRET], exit::USAGE),
    ];
    for (args, code) in cases {
        for command in [&["pub", "--count", "1"][..], &["sub", "x"], &["latency"]] {
            let finished = Natsbench::new([command, args].concat()).run().exits(code);
            assert_eq!(finished.stdout, "");
            assert_kept(&finished);
        }
    }
}

#[test]
fn malformed_secret_files_are_named_and_not_quoted() {
    let creds = format!(
        "-----BEGIN NATS USER JWT-----\n{SECRET}.{SECRET}.{SECRET}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\nSU{SECRET}\n------END USER NKEY SEED------\n"
    );
    for (flag, content) in [
        ("--creds", creds.clone()),
        ("--creds", SECRET.to_owned()),
        ("--nkey", format!("SU{SECRET}\n")),
        ("--nkey", SECRET.to_owned()),
        (
            "--tlsca",
            format!("-----BEGIN CERTIFICATE-----\n{SECRET}\n-----END CERTIFICATE-----\n"),
        ),
    ] {
        let run = Natsbench::new(["pub", "--count", "1", flag, "file.secret"]);
        fs::write(run.home().join("file.secret"), content).unwrap();
        let finished = run.run().exits(exit::USAGE);
        assert!(
            finished.stderr.contains("`file.secret`"),
            "{}",
            finished.stderr
        );
        assert_kept(&finished);
    }
}

#[test]
fn help_shows_no_secret_of_the_environment() {
    for command in ["pub", "sub", "latency"] {
        let finished = Natsbench::new([command, "--help"])
            .env("NATS_PASSWORD", SECRET)
            .env("NATS_TOKEN", SECRET)
            .env("NATS_USER", SECRET)
            .env("NATS_URL", format!("ws://me:{SECRET}@h"))
            .env("NATSBENCH_PUB_SERVER", format!("ws://me:{SECRET}@h"))
            .run()
            .exits(exit::PASSED);
        assert_kept(&finished);
    }
}

#[test]
fn the_process_title_shows_no_secret() {
    let open = Broker::monitored();
    let by_password = with_password();
    let by_token = with_token();
    let password_url = with_user_info(&by_password.ws_url(), &format!("me:{SECRET}"));
    let equals = format!("--server={password_url}");
    let attached = format!("-s{password_url}");
    let two = format!("ws://me:{SECRET}@127.0.0.1:1,{password_url}");
    let (plain_password_url, plain_token_url) = (by_password.ws_url(), by_token.ws_url());
    let password_equals = format!("--password={SECRET}");
    let query = format!("{}/?token={SECRET}", open.ws_url());
    let open_url = open.ws_url();
    let header = format!("Authorization: Bearer {SECRET}");
    let cookie = format!("--header=Cookie: a=b; sid={SECRET}");
    let logins: [(&Broker, &[&str]); 11] = [
        (&open, &["-s", &query]),
        (&open, &["-s", &open_url, "--header", &header, &cookie]),
        (&open, &["-s", &open_url, "--header", "X-A: b", &cookie]),
        (
            &by_password,
            &[
                "-s",
                &plain_password_url,
                "--user",
                "me",
                "--password",
                SECRET,
            ],
        ),
        (
            &by_password,
            &["-s", &plain_password_url, "--user", "me", &password_equals],
        ),
        (&by_token, &["-s", &plain_token_url, "--token", SECRET]),
        (&by_password, &["-s", &password_url]),
        (&by_password, &[&equals]),
        (&by_password, &[&attached]),
        (&by_password, &["-qs", &password_url]),
        (&by_password, &["-s", &two]),
    ];
    for (broker, login) in logins {
        let run = Natsbench::new([&["pub", "--rate", "100"], login].concat()).spawn();
        let before = broker.connections().len();
        // From the moment on at which it uses the secret, the title must be clean.
        eventually("a connection", || {
            broker
                .connections()
                .iter()
                .any(|one| one["in_msgs"].as_u64() > Some(0))
                .then_some(before)
        });
        let title = fs::read(format!("/proc/{}/cmdline", run.pid().as_raw_nonzero())).unwrap();
        let title = String::from_utf8_lossy(&title).into_owned();
        assert!(title.contains("--rate"), "{title}");
        assert!(!title.contains(SECRET), "{login:?}: {title}");
        run.signal(Signal::INT);
        assert_kept(&run.wait().exits(exit::INTERRUPTED));
        eventually("the connection to close", || {
            broker.connections().is_empty().then_some(())
        });
    }
}

#[test]
fn a_run_that_is_aborted_says_nothing() {
    // A core dump is the memory of the process, and so has what it logged in with; whether there is one, and who may read
    // it, is for the system to say (`ulimit -c`, `core_pattern`).
    let broker = with_password();
    let url = broker.ws_url();
    let args = [
        "latency",
        "--duration=1h",
        "--user=me",
        "--password",
        SECRET,
        "-s",
        &url,
    ];
    for signal in [Signal::ABORT, Signal::KILL] {
        let run = Natsbench::new([&args[..], &FILES].concat()).spawn();
        eventually("a message", || {
            let connections = broker.connections();
            let mut connections = connections.iter();
            connections
                .any(|one| one["in_msgs"].as_u64() > Some(0))
                .then_some(())
        });
        run.signal(signal);
        let finished = run.wait();
        assert_eq!(finished.code, None, "{finished:?}");
        assert_kept(&finished);
        eventually("the connections to close", || {
            broker.connections().is_empty().then_some(())
        });
    }
}
