//! `doctor`: what reaches the reader, a person or a machine, and with which exit code.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use natsbench::cli::exit;
use quick_junit::Report;
use rustix::process::Signal;
use serde_json::Value;

use super::diagnose;
use crate::harness::{Broker, Finished, Natsbench, ScriptedPort, eventually};

const FORMATS: [&str; 6] = ["human", "json", "junit", "github", "nagios", "markdown"];

fn doctor(url: &str, args: &[&str]) -> Natsbench {
    Natsbench::new([&["doctor", "--server", url], args].concat())
}

/// A port on which nothing listens. The code of that begins with `tcp.`: which one it is depends on what else listens on
/// this machine.
fn closed_url() -> String {
    let port = ScriptedPort::start(|_| ()).port();
    format!("ws://127.0.0.1:{port}")
}

/// Takes connections and never says a word.
fn silent_port() -> ScriptedPort {
    ScriptedPort::start(|mut stream| {
        // Until the client goes away.
        let _ = stream.read_to_end(&mut Vec::new());
    })
}

#[track_caller]
fn assert_valid(json: &Value) {
    let schema = include_str!("../../schemas/natsbench.doctor-1.schema.json");
    let schema: Value = serde_json::from_str(schema).unwrap();
    let mut schemas = boon::Schemas::new();
    let mut compiler = boon::Compiler::new();
    compiler
        .add_resource("urn:natsbench:doctor:1", schema)
        .unwrap();
    let index = compiler
        .compile("urn:natsbench:doctor:1", &mut schemas)
        .unwrap();
    if let Err(error) = schemas.validate(json, index) {
        panic!("{error:#}\n{json:#}");
    }
}

#[test]
fn what_is_printed_as_json_is_what_the_schema_describes() {
    let broker = Broker::start();
    let refusing = ScriptedPort::answering("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    for (url, args) in [
        (broker.ws_url(), &[][..]),
        (
            broker.ws_url(),
            &["rounds.game.*", "--publish", "rounds.game.crash"],
        ),
        (broker.ws_url(), &["--offline", "rounds..x"]),
        (broker.ws_url(), &["--only", "dns", "--skip", "tcp"]),
        (broker.ws_url(), &["--insecure"]),
        (closed_url(), &[]),
        (refusing.ws_url(), &["--strict"]),
        (format!("{},{}", broker.ws_url(), closed_url()), &[]),
    ] {
        let diagnosis = diagnose(&url, args);
        assert_valid(&diagnosis.json);
        assert_eq!(diagnosis.json["schema"], "natsbench.doctor/1");
        assert_eq!(
            diagnosis.json["natsbench_version"],
            env!("CARGO_PKG_VERSION")
        );
    }
}

#[test]
fn a_healthy_broker_is_answered_in_one_line_and_fits_on_a_screen() {
    let broker = Broker::start();
    let finished = doctor(&broker.ws_url(), &["--only", "connect"])
        .run()
        .exits(exit::PASSED);
    let first = finished.stdout.lines().next().unwrap();
    let begin = format!("{} works: nats-server ", broker.ws_url());
    assert!(first.starts_with(&begin), "{}", finished.stdout);
    assert!(finished.stdout.lines().count() <= 24, "{}", finished.stdout);
    assert_eq!(finished.stderr, "");
}

#[test]
fn every_format_exits_by_what_was_found() {
    let broker = Broker::start();
    for format in FORMATS {
        let (passed, failed) = match format {
            "nagios" => (0, 2),
            _ => (exit::PASSED, exit::FAILED),
        };
        let args = ["--format", format, "--only", "connect"];
        let finished = doctor(&broker.ws_url(), &args).run().exits(passed);
        assert!(!finished.stdout.is_empty());
        let finished = doctor(&closed_url(), &args).run().exits(failed);
        assert!(finished.stdout.contains("tcp."), "{}", finished.stdout);
    }
}

#[test]
fn junit_is_read_by_a_parser_of_xml_and_has_a_case_for_each_check() {
    let broker = Broker::start();
    let both = format!("{},{}", broker.ws_url(), closed_url());
    let finished = doctor(&both, &["--format", "junit", "--only", "connect"])
        .run()
        .exits(exit::FAILED);
    let report = Report::deserialize_from_str(&finished.stdout).unwrap();
    assert_eq!(report.test_suites.len(), 2);
    assert_eq!((report.tests, report.failures), (28, 1));
    // Another parser, of another language.
    let mut python = Command::new("python3")
        .args([
            "-c",
            "import sys, xml.etree.ElementTree as t; t.parse(sys.stdin)",
        ])
        .stdin(Stdio::piped())
        .spawn()
        .expect("python3 is there");
    let mut stdin = python.stdin.take().unwrap();
    stdin.write_all(finished.stdout.as_bytes()).unwrap();
    drop(stdin);
    assert!(python.wait().unwrap().success());
}

#[test]
fn annotations_come_with_a_summary_that_keeps_what_was_there() {
    let run = doctor(&closed_url(), &["--format", "github"]);
    let summary = run.home().join("summary.md");
    fs::write(&summary, "earlier\n").unwrap();
    let finished = run
        .env("GITHUB_STEP_SUMMARY", &summary)
        .run()
        .exits(exit::FAILED);
    assert!(
        finished.stdout.starts_with("::error title="),
        "{}",
        finished.stdout
    );
    let text = fs::read_to_string(finished.home().join("summary.md")).unwrap();
    assert!(text.starts_with("earlier\n## natsbench doctor\n"), "{text}");
    assert!(text.contains("tcp."), "{text}");
}

#[test]
fn a_summary_that_cannot_be_written_is_a_warning() {
    let finished = doctor(&closed_url(), &["--format", "github"])
        .env("GITHUB_STEP_SUMMARY", "missing/summary.md")
        .run()
        .exits(exit::FAILED);
    assert!(
        finished.stderr.contains("GITHUB_STEP_SUMMARY"),
        "{}",
        finished.stderr
    );
    let other = doctor(&closed_url(), &[])
        .env("GITHUB_STEP_SUMMARY", "missing/summary.md")
        .run();
    assert_eq!(other.stderr, "", "only the format of GitHub has a summary");
}

#[test]
fn the_json_is_saved_whatever_is_printed() {
    let finished = doctor(&closed_url(), &["--save", "result.json"])
        .run()
        .exits(exit::FAILED);
    let saved = fs::read_to_string(finished.home().join("result.json")).unwrap();
    let saved: Value = serde_json::from_str(&saved).unwrap();
    assert_valid(&saved);
    assert_eq!(saved["findings"][0]["check"], "tcp");

    let args = ["--save", "missing/result.json"];
    let finished = doctor(&closed_url(), &args).run().exits(exit::USAGE);
    assert_eq!(finished.stdout, "");
}

#[test]
fn the_format_is_also_called_output() {
    for args in [["-o", "json"], ["--output", "json"]] {
        let finished = doctor(&closed_url(), &args).run().exits(exit::FAILED);
        assert_eq!(finished.json()["status"], "failed");
    }
}

#[test]
fn nagios_learns_of_everything_on_standard_output() {
    for args in [
        &["--format", "nagios", "--bogus"][..],
        &["--format", "nagios", "--only", "everything"],
        &["--format", "nagios", "--timeout", "soon"],
        &["--format=nagios", "--payload-size", "1"],
    ] {
        let finished = doctor("ws://127.0.0.1:1", args).run().exits(3);
        assert!(
            finished.stdout.starts_with("DOCTOR UNKNOWN - "),
            "{}",
            finished.stdout
        );
        assert_eq!(finished.stderr, "");
    }
    let help = doctor("ws://h", &["--format", "nagios", "--help"]).run();
    help.exits(exit::PASSED);
}

#[test]
fn an_interrupted_examination_prints_what_it_found() {
    for (format, code) in [("json", exit::INTERRUPTED), ("nagios", 3)] {
        let port = silent_port();
        let args = ["--format", format, "--timeout", "60s"];
        let run = doctor(&port.ws_url(), &args).spawn();
        eventually("the doctor to connect", || {
            (port.n_connections() > 0).then_some(())
        });
        run.signal(Signal::INT);
        let finished = run.wait().exits(code);
        if format == "json" {
            let json = finished.json();
            assert_valid(&json);
            assert_eq!(json["interrupted"], true);
        } else {
            assert!(
                finished.stdout.starts_with("DOCTOR UNKNOWN - "),
                "{}",
                finished.stdout
            );
        }
    }
}

#[test]
fn each_of_several_servers_is_examined() {
    let (first, second) = (Broker::start(), closed_url());
    let both = format!("{},{second}", first.ws_url());
    let diagnosis = diagnose::<&str>(&both, &[]);
    let finding = &diagnosis.json["findings"][0];
    assert_eq!(finding["server"], second);
    assert_eq!(finding["check"], "tcp");
    assert_eq!(diagnosis.code, Some(i32::from(exit::FAILED)));
    assert_eq!(
        diagnosis.json["target"],
        format!("{}, {second}", first.ws_url())
    );
    let checks = diagnosis.json["checks"].as_array().unwrap();
    let of_first = checks
        .iter()
        .filter(|check| check["server"] == first.ws_url());
    assert_eq!((checks.len(), of_first.count()), (28, 14));

    let finished = doctor(&both, &["--only", "connect"])
        .run()
        .exits(exit::FAILED);
    assert!(
        finished
            .stdout
            .contains(&format!("{} works", first.ws_url())),
        "{}",
        finished.stdout
    );
    assert!(
        finished.stdout.contains(&format!("{second}: ")),
        "{}",
        finished.stdout
    );
}

#[test]
fn a_broker_of_its_own_is_healthy() {
    let finished = Natsbench::new(["doctor", "--local-broker", "-o", "json"])
        .run()
        .exits(exit::PASSED);
    assert_eq!(finished.json()["status"], "ok");
}

#[test]
fn no_colour_reaches_a_pipe_or_one_who_wants_none() {
    let url = closed_url();
    let plain = doctor(&url, &[]).run();
    assert!(!plain.stdout.contains('\u{1b}'));
    let colored = doctor(&url, &["--color", "always"]).run();
    assert!(colored.stdout.starts_with("\u{1b}["), "{}", colored.stdout);
}

/// Occur nowhere else.
const SECRETS: [&str; 6] = [
    "hunter2-5f3759df",
    "Zm9yZ2VyeQaBcDeFg",
    "k00kie-4c7e9a",
    "q9ery-77aa10",
    "header-value-81b2c3",
    "swordfish",
];

#[track_caller]
fn assert_kept(finished: &Finished, secrets: &[&str]) {
    for secret in secrets {
        for text in [&finished.stdout, &finished.stderr] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
        for entry in fs::read_dir(finished.home()).unwrap() {
            let path = entry.unwrap().path();
            if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                let content = fs::read_to_string(&path).unwrap();
                assert!(!content.contains(secret), "{}: {content}", path.display());
            }
        }
    }
}

/// Answers every request with the request itself, as some gateways do.
fn echo(status: &'static str) -> ScriptedPort {
    ScriptedPort::start(move |mut stream| {
        let request = request_of(&mut stream);
        let answer = format!(
            "HTTP/1.1 {status}\r\nServer: {}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{request}",
            request.replace("\r\n", " "),
            request.len(),
        );
        let _ = stream.write_all(answer.as_bytes());
    })
}

fn request_of(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(1..) => request.extend(&buffer[..]),
            _ => break,
        }
        let end = request.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
        request.truncate(end);
    }
    String::from_utf8_lossy(&request).into_owned()
}

#[test]
fn no_format_shows_a_secret_that_a_server_sends_back() {
    for status in ["400 Bad Request", "401 Unauthorized", "302 Found", "200 OK"] {
        let port = echo(status);
        let url = port.ws_url().replace("://", "://me:hunter2-5f3759df@");
        let url = format!("{url}/nats?token=q9ery-77aa10&x=1");
        for format in FORMATS {
            let finished = doctor(
                &url,
                &[
                    "--format",
                    format,
                    "--save",
                    "saved.json",
                    "--header",
                    "Authorization: Bearer Zm9yZ2VyeQaBcDeFg",
                    "--header",
                    "Cookie: session=k00kie-4c7e9a; theme=dark",
                    "--header",
                    "X-Api-Key: header-value-81b2c3",
                ],
            )
            .run();
            assert!(!finished.stdout.is_empty());
            assert_kept(&finished, &SECRETS[..5]);
        }
    }
}

/// Speaks NATS over WebSocket up to the login, and refuses that with the words of the login.
fn refusing_with_an_echo() -> ScriptedPort {
    use tokio_tungstenite::tungstenite::{Message, accept};
    ScriptedPort::start(|stream| {
        let Ok(mut socket) = accept(stream) else {
            return;
        };
        let info = "INFO {\"server_id\":\"N\",\"version\":\"2.15.1\",\"max_payload\":1048576,\"auth_required\":true,\"nonce\":\"abc\"}\r\n";
        if socket
            .send(Message::binary(info.as_bytes().to_vec()))
            .is_err()
        {
            return;
        }
        if let Ok(message) = socket.read() {
            let said = String::from_utf8_lossy(&message.into_data()).into_owned();
            let said = said.replace(['\r', '\n'], " ");
            let refusal = format!("-ERR 'Authorization Violation: {said}'\r\n");
            let _ = socket.send(Message::binary(refusal.into_bytes()));
        }
    })
}

#[test]
fn no_format_shows_a_secret_that_a_refused_login_repeats() {
    let operator = crate::harness::Operator::new();
    let creds = operator.creds(None);
    let lines: Vec<&str> = creds.lines().collect();
    let (jwt, seed) = (lines[1], lines[5]);
    let port = refusing_with_an_echo();
    for format in FORMATS {
        for args in [
            &["--user", "me", "--password", "swordfish"][..],
            &["--token", "hunter2-5f3759df"],
            &["--creds", "user.creds"],
        ] {
            let run = doctor(&port.ws_url(), &[&["--format", format], args].concat());
            fs::write(run.home().join("user.creds"), &creds).unwrap();
            let finished = run.run();
            assert!(!finished.stdout.is_empty());
            assert_kept(&finished, &SECRETS);
            // Not even the beginning of one.
            for secret in [&jwt[..40], seed] {
                assert_kept(&finished, &[secret]);
            }
        }
    }
}

/// A context whose secrets nobody accepts.
fn write_context(run: &Natsbench, url: &str) {
    let directory = run.home().join("config/nats/context");
    fs::create_dir_all(&directory).unwrap();
    let context = format!(r#"{{"url":"{url}","user":"me","password":"swordfish"}}"#);
    fs::write(directory.join("game.json"), context).unwrap();
}

#[test]
fn no_format_shows_a_secret_of_a_context_or_a_url_whatever_fails() {
    let broker = Broker::builder()
        .config("authorization { user: me, password: right }")
        .start();
    let user_info = broker.ws_url().replace("://", "://me:hunter2-5f3759df@");
    let user_info = format!("{user_info}/?token=q9ery-77aa10");
    let as_tls = user_info.replace("ws://", "wss://");
    let closed = closed_url().replace("://", "://me:hunter2-5f3759df@");
    for format in FORMATS {
        for args in [
            &["--context", "game"][..],
            &["--context", "game", "--offline", "rounds..x"],
            &["--context", "game", "--watch", "1s"],
            &["--server", &user_info],
            &["--server", &as_tls, "--timeout", "1s"],
            &["--server", &user_info, "--offline"],
            &["--server", &format!("{user_info},{closed}")],
        ] {
            let args = [
                &["doctor", "--format", format, "--save", "saved.json"],
                args,
            ]
            .concat();
            let run = Natsbench::new(args);
            write_context(&run, &broker.ws_url());
            let config = run.home().join("config");
            let finished = run.env("XDG_CONFIG_HOME", config).run();
            assert!(!finished.stdout.is_empty(), "{}", finished.stderr);
            assert_kept(&finished, &SECRETS);
        }
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_fault() {
    let broker = Broker::start();
    let mut doctor = Command::new(env!("CARGO_BIN_EXE_natsbench"))
        .args(["doctor", "--only", "connect", "--server", &broker.ws_url()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(doctor.stdout.take());
    assert_eq!(doctor.wait().unwrap().code(), Some(i32::from(exit::PASSED)));
}
