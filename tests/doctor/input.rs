//! `doctor`: what can be told of URL, subjects, credentials and files without connecting.

use std::fs;
use std::path::PathBuf;

use natsbench::cli::exit;
use natsbench::clock::Clock;
use natsbench::units::NANOS_PER_SEC;
use nkeys::KeyPair;
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Diagnosis, diagnose, text_of};
use crate::harness::{Broker, Natsbench, Operator, write_context};

/// Where nothing listens, for what must not connect.
const NOWHERE: &str = "ws://127.0.0.1:1";

fn offline(args: &[&str]) -> Diagnosis {
    let all: Vec<&str> = ["--offline"].iter().chain(args).copied().collect();
    diagnose(NOWHERE, &all)
}

/// A file with that text, for as long as the directory lives.
fn file(text: &str) -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("user.creds");
    fs::write(&path, text).unwrap();
    (directory, path)
}

fn offline_with_creds(text: &str, args: &[&str]) -> Diagnosis {
    let (_directory, path) = file(text);
    let path = path.to_str().unwrap();
    let all: Vec<&str> = ["--creds", path].iter().chain(args).copied().collect();
    offline(&all)
}

fn now() -> u64 {
    Clock::start().wall_now().0 / NANOS_PER_SEC
}

fn fact<'a>(diagnosis: &'a Diagnosis, name: &str) -> &'a str {
    let mut facts = diagnosis.json["facts"].as_array().unwrap().iter();
    let fact = facts.find(|fact| fact["name"] == name);
    fact.unwrap_or_else(|| panic!("no {name}: {:#}", diagnosis.json))["value"]
        .as_str()
        .unwrap()
}

#[test]
fn a_valid_pattern_is_explained_without_connecting() {
    let diagnosis = offline(&["rounds.game.*"]);
    diagnosis.is_healthy();
    assert_eq!(
        fact(&diagnosis, "`rounds.game.*`"),
        "valid: three tokens, the last any one token; matches rounds.game.crash, not rounds.game.crash.x"
    );
    assert_eq!(diagnosis.status_of("input"), "passed");
    assert_eq!(diagnosis.status_of("tcp"), "skipped");
}

#[test]
fn invalid_subjects_are_pointed_at_and_put_right() {
    for (args, code, span, line) in [
        (
            &["rounds game"][..],
            "subject.blank",
            6..7,
            "natsbench doctor rounds.game",
        ),
        (
            &["rounds.game."],
            "subject.empty-token",
            11..12,
            "natsbench doctor 'rounds.game.*'",
        ),
        (
            &["rounds..x"],
            "subject.empty-token",
            7..8,
            "natsbench doctor rounds.x",
        ),
        (
            &["rounds.>.x"],
            "subject.full-wildcard-not-last",
            7..8,
            "natsbench doctor 'rounds.*.x'",
        ),
        (
            &["--publish", "rounds.game.*"],
            "subject.wildcard-in-publish",
            12..13,
            "natsbench doctor --publish rounds.game.crash",
        ),
        (
            &["--queue", "my group", "a"],
            "queue.invalid",
            2..3,
            "--queue my-group",
        ),
    ] {
        let diagnosis = offline(args);
        let finding = diagnosis.fails_with(code);
        assert_eq!(finding["pointer"]["start"], span.start, "{finding:#}");
        assert_eq!(finding["pointer"]["end"], span.end, "{finding:#}");
        assert!(
            finding["remedy"][0].as_str().unwrap().ends_with(line),
            "{finding:#}"
        );
        assert_eq!(finding["certainty"], "certain");
    }
}

#[test]
fn a_healthy_broker_does_not_hide_an_invalid_subject() {
    let broker = Broker::start();
    diagnose(&broker.ws_url(), &["rounds game"]).fails_with("subject.blank");
}

#[test]
fn a_trap_is_a_warning_that_fails_only_a_strict_run() {
    let diagnosis = offline(&["Rounds.game.*"]);
    assert_eq!(
        diagnosis.warns_of("subject.wrong-case")["certainty"],
        "likely"
    );
    let strict = offline(&["Rounds.game.*", "--strict"]);
    assert_eq!(strict.code, Some(i32::from(exit::FAILED)));
    offline(&["rounds.type.slot*"]).warns_of("subject.literal-wildcard");
    offline(&[
        "prod.rounds.game.x",
        "sounds.>",
        "$SYS.>",
        "rounds.game.poker",
    ])
    .is_healthy();
}

#[test]
fn an_unusable_url_is_a_finding_and_everything_else_is_judged() {
    for (url, part) in [
        ("http://broker:8080", "--server ws://broker:8080"),
        ("broker:8443", "--server ws://broker:8443"),
        ("ws://broker:99999", "is not a port"),
        ("", "is empty"),
    ] {
        let diagnosis = diagnose(url, &["rounds game"]);
        let finding = diagnosis.fails_with("input.url");
        assert!(text_of(finding).contains(part), "{finding:#}");
        assert_eq!(diagnosis.json["target"], url);
        assert_eq!(diagnosis.json["findings"][1]["code"], "subject.blank");
        assert_eq!(diagnosis.status_of("dns"), "skipped");
    }
}

#[test]
fn an_unusable_url_shows_no_secret_in_any_form() {
    for url in [
        "http://me:hunter2@h/?key=hunter2",
        "ws://me:hunter2@h:x",
        "me:hunter2@h",
        "ws://hunter2@h",
    ] {
        for format in ["json", "human"] {
            let finished =
                Natsbench::new(["doctor", "--offline", "--format", format, "--server", url]).run();
            assert!(!finished.stdout.is_empty());
            assert!(!finished.stdout.contains("hunter2"), "{}", finished.stdout);
            assert!(!finished.stderr.contains("hunter2"), "{}", finished.stderr);
        }
    }
}

#[test]
fn files_that_cannot_be_used_are_findings() {
    let (_directory, path) = file("nonsense");
    let path = path.to_str().unwrap();
    for (args, code, part) in [
        (
            ["--creds", "missing.creds"],
            "input.credentials-file",
            "there is no such file",
        ),
        (
            ["--creds", path],
            "input.credentials-file",
            "BEGIN NATS USER JWT",
        ),
        (["--creds", "/"], "input.credentials-file", "is a directory"),
        (
            ["--nkey", path],
            "input.credentials-file",
            "begins with `SU`",
        ),
        (["--tlsca", "missing.pem"], "input.tls-file", "missing.pem"),
        (["--tlsca", path], "input.tls-file", "cannot be used"),
        (["--tlscert", path], "input.tls-file", "--tlskey"),
    ] {
        let diagnosis = offline(&args);
        let finding = diagnosis.fails_with(code);
        assert!(text_of(finding).contains(part), "{finding:#}");
    }
}

#[test]
fn a_context_that_cannot_be_used_is_a_finding() {
    let run = Natsbench::new([
        "doctor",
        "--format",
        "json",
        "--context",
        "prod",
        "rounds.game.",
    ]);
    let finished = run.run().exits(exit::FAILED);
    let json = finished.json();
    assert_eq!(json["findings"][0]["code"], "input.context", "{json:#}");
    assert_eq!(
        json["findings"][1]["code"], "subject.empty-token",
        "{json:#}"
    );
    assert_eq!(json["target"], "context prod");
    assert_eq!(title(&json), "There is no context `prod`.");

    let run = Natsbench::new([
        "doctor",
        "--format",
        "json",
        "--offline",
        "--context",
        "prod",
    ]);
    write_context(&run, "prod", r#"{"url":"http://broker:8080"}"#);
    let json = run.run().exits(exit::FAILED).json();
    assert_eq!(json["findings"][0]["code"], "input.url", "{json:#}");
}

#[test]
fn wrong_flags_remain_wrong_usage() {
    for args in [
        &["--publish", "a", "--payload-size", "0"][..],
        &["--publish", "a", "--payload-size", "65MiB"],
        &["--payload-size", "10"],
        &["--only", "nonsense"],
        &["--watch", "soon"],
        &["--header", "nonsense"],
        &["--nonsense"],
    ] {
        let finished = Natsbench::new(["doctor"].iter().chain(args))
            .run()
            .exits(exit::USAGE);
        assert_eq!(finished.stdout, "", "{args:?}");
    }
}

#[test]
fn expired_credentials_are_told_with_and_without_a_server() {
    let operator = Operator::new();
    let creds = operator.creds(Some(now() - 3 * 24 * 3600));
    let diagnosis = offline_with_creds(&creds, &[]);
    let finding = diagnosis.fails_with("credentials.expired");
    assert!(
        finding["title"]
            .as_str()
            .unwrap()
            .contains("expired 3 days ago"),
        "{finding:#}"
    );
    assert!(
        text_of(finding).contains("nsc edit user --account ACCOUNT --name test --expiry 1y"),
        "{finding:#}"
    );

    let broker = Broker::builder().config(&operator.config()).start();
    let (_directory, path) = file(&creds);
    diagnose(&broker.ws_url(), &["--creds", path.to_str().unwrap()])
        .fails_with("credentials.expired");
}

#[test]
fn a_border_in_time_that_is_near_casts_doubt_on_the_clock() {
    let operator = Operator::new();
    let expired = offline_with_creds(&operator.creds(Some(now() - 20)), &[]);
    let finding = expired.fails_with("credentials.expired");
    assert_eq!(finding["certainty"], "likely");
    assert!(
        finding["alternatives"][0]["cause"]
            .as_str()
            .unwrap()
            .contains("clock"),
        "{finding:#}"
    );

    let creds = operator.creds_with(|claims| claims["nbf"] = json!(now() + 60));
    let finding = offline_with_creds(&creds, &[]);
    assert_eq!(
        finding.fails_with("credentials.not-yet-valid")["certainty"],
        "likely"
    );

    let creds = operator.creds_with(|claims| claims["iat"] = json!(now() + 7200));
    offline_with_creds(&creds, &[]).warns_of("credentials.issued-in-the-future");
}

#[test]
fn what_a_jwt_does_not_allow_is_told() {
    let operator = Operator::new();
    // A second that no time zone has in the next minutes: they differ by quarters of an hour.
    let second = (now() + 450) % 86_400;
    let clock = |second: u64| {
        format!(
            "{:02}:{:02}:{:02}",
            second / 3600,
            second / 60 % 60,
            second % 60
        )
    };
    let times = json!([{"start": clock(second), "end": clock((second + 1) % 86_400)}]);
    for (code, field, value) in [
        (
            "credentials.connection-type",
            "allowed_connection_types",
            json!(["STANDARD"]),
        ),
        ("credentials.outside-times", "times", times),
        ("credentials.bad-limits", "src", json!(["10.0.0.1"])),
        (
            "credentials.bad-limits",
            "times",
            json!([{"start": "8", "end": "17"}]),
        ),
    ] {
        let creds = operator.creds_with(|claims| claims["nats"][field] = value);
        let broker = Broker::builder().config(&operator.config()).start();
        let (_directory, path) = file(&creds);
        // The server agrees.
        let diagnosis = diagnose(&broker.ws_url(), &["--creds", path.to_str().unwrap()]);
        diagnosis.fails_with(code);
        assert_eq!(diagnosis.json["findings"][0]["certainty"], "certain");
        assert_ne!(
            diagnosis.status_of("connect"),
            "passed",
            "{:#}",
            diagnosis.json
        );
    }
}

#[test]
fn the_kind_of_connection_depends_on_the_url() {
    let creds = Operator::new()
        .creds_with(|claims| claims["nats"]["allowed_connection_types"] = json!(["WEBSOCKET"]));
    offline_with_creds(&creds, &[]).is_healthy();
    let (_directory, path) = file(&creds);
    let args = ["--offline", "--creds", path.to_str().unwrap()];
    let finding = diagnose("nats://127.0.0.1:1", &args);
    finding.fails_with("credentials.connection-type");
}

#[test]
fn jwt_and_seed_have_to_belong_together() {
    let operator = Operator::new();
    let creds = operator.creds(None);
    let other = operator.creds(None);
    let (jwt, _) = creds.split_once("\n\n").unwrap();
    let (_, seed) = other.split_once("\n\n").unwrap();
    offline_with_creds(&format!("{jwt}\n\n{seed}"), &[]).fails_with("credentials.seed-mismatch");
    offline_with_creds(jwt, &[]).fails_with("credentials.no-seed");

    let account = KeyPair::new_account().seed().unwrap();
    let wrong = format!(
        "{jwt}\n-----BEGIN USER NKEY SEED-----\n{account}\n------END USER NKEY SEED------\n"
    );
    let diagnosis = offline_with_creds(&wrong, &[]);
    assert!(!text_of(diagnosis.fails_with("credentials.bad-seed")).contains(&account));
}

#[test]
fn a_jwt_that_is_none_of_a_user_is_told() {
    let operator = Operator::new();
    let account = operator.creds_with(|claims| claims["nats"]["type"] = json!("account"));
    offline_with_creds(&account, &[]).fails_with("credentials.not-a-user");

    let creds = operator.creds(None);
    let cut = creds.replace(".ey", ".");
    offline_with_creds(&cut, &[]).fails_with("credentials.not-a-jwt");

    let jwt = creds.lines().nth(1).unwrap();
    let claims = jwt.split('.').nth(1).unwrap();
    let other = operator.creds(None);
    let theirs = other
        .lines()
        .nth(1)
        .unwrap()
        .split('.')
        .nth(1)
        .unwrap()
        .to_owned();
    offline_with_creds(&creds.replace(claims, &theirs), &[])
        .fails_with("credentials.bad-signature");
}

#[test]
fn unusual_credentials_that_are_good_are_fine() {
    let operator = Operator::new();
    let broker = Broker::builder().config(&operator.config()).start();
    let creds = operator.creds_with(|claims| {
        claims["exp"] = json!(now() + 90);
        claims["nbf"] = json!(now() - 90);
        let nats = &mut claims["nats"];
        nats["bearer_token"] = json!(true);
        nats["allowed_connection_types"] = json!(["WEBSOCKET", "MQTT"]);
        nats["src"] = json!(["127.0.0.0/8", "::1/128"]);
        nats["times"] = json!([{"start": "00:00:00", "end": "12:30:00"}, {"start": "12:00:00", "end": "00:00:00"}]);
        nats["times_location"] = json!("UTC");
    });
    let (bearer, _) = creds.split_once("\n\n").unwrap();
    let (_directory, path) = file(bearer);
    let diagnosis = diagnose(&broker.ws_url(), &["--creds", path.to_str().unwrap()]);
    diagnosis.is_healthy();
    let text = fact(&diagnosis, "credentials");
    assert!(text.contains("bearer, expires in 1 minute"), "{text}");
}

#[test]
fn a_jwt_that_does_not_fit_into_connect_is_warned_of() {
    let operator = Operator::new();
    let subjects: Vec<String> = (0..200)
        .map(|idx| format!("orders.region.{idx}.>"))
        .collect();
    let creds = operator.creds_with(|claims| claims["nats"]["pub"] = json!({"allow": subjects}));
    offline_with_creds(&creds, &[]).warns_of("credentials.too-long");
    // The server agrees, unless it was told to read more.
    let (_directory, path) = file(&creds);
    let args = ["--creds", path.to_str().unwrap()];
    let broker = Broker::builder().config(&operator.config()).start();
    let refused = diagnose(&broker.ws_url(), &args);
    assert_ne!(refused.status_of("connect"), "passed", "{:#}", refused.json);
    let config = operator.config() + "max_control_line: 16384\n";
    let broker = Broker::builder().config(&config).start();
    let accepted = diagnose(&broker.ws_url(), &args);
    assert_eq!(
        accepted.status_of("connect"),
        "passed",
        "{:#}",
        accepted.json
    );
}

#[test]
fn credentials_of_the_environment_and_of_a_context_are_named_by_them() {
    let creds = Operator::new().creds(Some(1_700_000_000));
    let (_directory, path) = file(&creds);
    let run = Natsbench::new(["doctor", "--offline", "--format", "json"]).env("NATS_CREDS", &path);
    let json = run.run().exits(exit::FAILED).json();
    assert!(title(&json).contains("`NATS_CREDS`"), "{json:#}");

    let run = Natsbench::new([
        "doctor",
        "--offline",
        "--format",
        "json",
        "--context",
        "prod",
    ]);
    let context = json!({"url": NOWHERE, "creds": path});
    write_context(&run, "prod", &context.to_string());
    let json = run.run().exits(exit::FAILED).json();
    assert!(title(&json).contains("`context prod`"), "{json:#}");

    // The JWT may also stand in the context itself.
    let lines: Vec<&str> = creds.lines().collect();
    let run = Natsbench::new([
        "doctor",
        "--offline",
        "--format",
        "json",
        "--context",
        "prod",
    ]);
    let context = json!({"url": NOWHERE, "user_jwt": lines[1], "user_seed": "SUNONSENSE"});
    write_context(&run, "prod", &context.to_string());
    let finished = run.run().exits(exit::FAILED);
    assert_eq!(
        finished.json()["findings"][0]["code"],
        "credentials.bad-seed"
    );
    assert!(!finished.stdout.contains(lines[1]));
}

fn title(json: &Value) -> &str {
    json["findings"][0]["title"].as_str().unwrap()
}

#[test]
fn no_secret_of_a_credentials_file_is_shown() {
    let operator = Operator::new();
    let creds = operator.creds(Some(1));
    let (_directory, path) = file(&creds);
    let lines: Vec<&str> = creds.lines().collect();
    for format in ["json", "human"] {
        let args = ["doctor", "--offline", "--format", format, "--creds"].map(str::to_owned);
        let finished = Natsbench::new(args.into_iter().chain([path.display().to_string()])).run();
        for secret in [lines[1], lines[5]] {
            assert!(
                !finished.stdout.contains(secret) && !finished.stderr.contains(secret),
                "{finished:?}"
            );
        }
    }
}

proptest! {
    // Each case is a process.
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn any_text_gets_an_answer(subject in "[^\0]{0,30}", text in "(-----BEGIN NATS USER JWT-----\n|---\n|eyJ|\\.|[^\0]{0,9}){0,8}") {
        let (_directory, path) = file(&text);
        let path = path.to_str().unwrap();
        let finished = Natsbench::new(["doctor", "--offline", "--format", "json", "--creds", path, "--", &subject]).run();
        prop_assert!([Some(0), Some(4)].contains(&finished.code), "{:?}", finished);
        finished.json();
    }
}
