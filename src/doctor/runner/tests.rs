//! The runner with checks that look at nothing: what runs, what is skipped, and when it ends.

use super::*;
use crate::doctor::check::CheckFuture;
use crate::doctor::code::Code;
use crate::net::dial::DialOptions;
use crate::net::tls::{SystemRoots, TlsOptions};
use crate::protocol::{Credentials, Secret};
use crate::results::doctor::DoctorStatus;

/// Two of these may be found in one check.
const WARNING: Code = Code::new("test.warning", Severity::Warning, "", "", "");
const ERROR: Code = Code::error("test.error", "", "", "");

fn plan() -> Plan {
    let tls = TlsOptions {
        system_roots: SystemRoots::Unneeded,
        ..TlsOptions::default()
    };
    Plan {
        dial: DialOptions::new(
            tls.build().expect("there is no file to read"),
            Duration::from_secs(5),
        ),
        tls,
        credentials_source: None,
        subjects: Vec::new(),
        publish: None,
        payload_bytes: None,
        queue: None,
        jetstream: false,
        request: false,
        watch: None,
        offline: false,
        only: Vec::new(),
        skip: Vec::new(),
        typed_target: None,
        notes: Vec::new(),
        faults: Vec::new(),
    }
}

type Run = for<'a> fn(&'a mut Examination<'_>) -> CheckFuture<'a>;

fn check(id: CheckId, requires: &'static [CheckId], run: Run) -> Check {
    Check {
        id,
        requires,
        codes: &[],
        run,
    }
}

fn passes<'a>(_: &'a mut Examination<'_>) -> CheckFuture<'a> {
    Box::pin(async { Looked::At("fine".to_owned()) })
}

fn cannot<'a>(_: &'a mut Examination<'_>) -> CheckFuture<'a> {
    Box::pin(async { Looked::Unable("out of files".to_owned()) })
}

fn fails<'a>(examination: &'a mut Examination<'_>) -> CheckFuture<'a> {
    examination.find(WARNING.finding("First."));
    examination.find(ERROR.finding("Second."));
    Box::pin(async { Looked::At("broken".to_owned()) })
}

fn warns<'a>(examination: &'a mut Examination<'_>) -> CheckFuture<'a> {
    examination.find(WARNING.finding("Mind this."));
    Box::pin(async { Looked::At("odd".to_owned()) })
}

fn hangs<'a>(_: &'a mut Examination<'_>) -> CheckFuture<'a> {
    Box::pin(std::future::pending())
}

/// Waits as long as it may, and says how that was.
fn waits<'a>(examination: &'a mut Examination<'_>) -> CheckFuture<'a> {
    Box::pin(async {
        examination.stop.cancelled().await;
        examination.find(WARNING.finding("It was cut short."));
        Looked::At("stopped".to_owned())
    })
}

async fn examined(checks: &[Check], plan: &Plan, stop: &CancellationToken) -> DoctorResult {
    let target = "ws://broker.example:8443".parse().unwrap();
    examine_by(checks, plan, &target, stop, &mut |_| {}).await
}

async fn result_of_checks(checks: &[Check], plan: &Plan) -> DoctorResult {
    examined(checks, plan, &CancellationToken::new()).await
}

/// Each check with its status and the reason why it was skipped.
fn told(result: &DoctorResult) -> Vec<String> {
    let checks = result.checks.iter();
    checks
        .map(|check| match &check.reason {
            Some(reason) => format!("{}: {reason}", check.id),
            None => format!("{} {:?}", check.id, check.status),
        })
        .collect()
}

#[tokio::test]
async fn what_needs_a_check_that_failed_is_skipped_with_its_name() {
    let checks = [
        check(CheckId::Tcp, &[], fails),
        check(CheckId::Upgrade, &[CheckId::Tcp], passes),
        check(CheckId::Connect, &[CheckId::Upgrade], passes),
        check(CheckId::Health, &[], passes),
    ];
    let result = result_of_checks(&checks, &plan()).await;
    assert_eq!(
        told(&result),
        [
            "tcp Failed",
            "upgrade: tcp failed",
            "connect: tcp failed",
            "health Passed"
        ]
    );
    assert_eq!(result.status, DoctorStatus::Failed);
}

#[tokio::test]
async fn a_warning_stops_nothing() {
    let checks = [
        check(CheckId::Tcp, &[], warns),
        check(CheckId::Upgrade, &[CheckId::Tcp], passes),
    ];
    let result = result_of_checks(&checks, &plan()).await;
    assert_eq!(told(&result), ["tcp Warned", "upgrade Passed"]);
    assert_eq!(result.status, DoctorStatus::Warning);
}

#[tokio::test]
async fn errors_come_before_warnings_and_otherwise_the_first_found_comes_first() {
    let checks = [
        check(CheckId::Input, &[], warns),
        check(CheckId::Tcp, &[], fails),
        check(CheckId::Health, &[], fails),
    ];
    let result = result_of_checks(&checks, &plan()).await;
    let found: Vec<_> = result
        .findings
        .iter()
        .map(|finding| (finding.check.as_str(), finding.title.as_str()))
        .collect();
    assert_eq!(
        found,
        [
            ("tcp", "Second."),
            ("health", "Second."),
            ("input", "Mind this."),
            ("tcp", "First."),
            ("health", "First.")
        ]
    );
}

#[tokio::test]
async fn only_runs_what_the_check_needs_too() {
    let checks = [
        check(CheckId::Dns, &[], passes),
        check(CheckId::Tcp, &[CheckId::Dns], passes),
        check(CheckId::Upgrade, &[CheckId::Tcp], passes),
        check(CheckId::Health, &[], passes),
    ];
    let only = Plan {
        only: vec![CheckId::Tcp],
        ..plan()
    };
    let result = result_of_checks(&checks, &only).await;
    assert_eq!(
        told(&result),
        [
            "dns Passed",
            "tcp Passed",
            "upgrade: not asked for by --only",
            "health: not asked for by --only"
        ]
    );
}

#[tokio::test]
async fn what_is_left_out_hinders_nothing_and_is_no_doubt() {
    let checks = [
        check(CheckId::Upgrade, &[], fails),
        check(CheckId::Connect, &[CheckId::Upgrade], cannot),
        check(CheckId::Health, &[], passes),
    ];
    let skip = Plan {
        skip: vec![CheckId::Upgrade],
        ..plan()
    };
    let result = result_of_checks(&checks, &skip).await;
    assert_eq!(
        told(&result),
        [
            "upgrade: left out by --skip",
            "connect: out of files",
            "health Passed"
        ]
    );
    assert_eq!(result.status, DoctorStatus::Ok);
}

#[tokio::test]
async fn a_connection_that_nobody_could_look_at_is_not_called_healthy() {
    let checks = [
        check(CheckId::Tcp, &[], cannot),
        check(CheckId::Connect, &[CheckId::Tcp], passes),
    ];
    let result = result_of_checks(&checks, &plan()).await;
    assert_eq!(
        told(&result),
        ["tcp: out of files", "connect: tcp could not look"]
    );
    assert!(result.checks[0].could_not_look && !result.checks[1].could_not_look);
    assert_eq!(result.findings[0].code, INCOMPLETE.name);
    assert_eq!(result.findings[0].check, "tcp");
    assert_eq!(result.status, DoctorStatus::Failed);
}

#[tokio::test]
async fn a_cause_that_was_found_is_not_followed_by_doubts() {
    let checks = [
        check(CheckId::Input, &[], fails),
        check(CheckId::Tcp, &[], cannot),
    ];
    let result = result_of_checks(&checks, &plan()).await;
    assert_eq!(result.findings.len(), 2, "{result:?}");
}

#[tokio::test]
async fn a_further_check_that_could_not_look_leaves_a_healthy_broker_healthy() {
    let checks = [
        check(CheckId::Connect, &[], passes),
        check(CheckId::Health, &[], cannot),
    ];
    let result = result_of_checks(&checks, &plan()).await;
    assert_eq!(result.status, DoctorStatus::Ok);
    assert!(result.checks[1].could_not_look);
}

#[tokio::test]
async fn without_a_connection_only_the_input_is_looked_at() {
    let checks = [
        check(CheckId::Input, &[], passes),
        check(CheckId::Tcp, &[], fails),
    ];
    let offline = Plan {
        offline: true,
        ..plan()
    };
    let result = result_of_checks(&checks, &offline).await;
    assert_eq!(
        told(&result),
        ["input Passed", "tcp: `--offline` connects to nothing"]
    );
}

#[tokio::test]
async fn input_that_cannot_be_used_is_not_used() {
    let checks = [
        check(CheckId::Input, &[], warns),
        check(CheckId::Tcp, &[], fails),
    ];
    let faulty = Plan {
        faults: vec![ERROR.finding("No such file.")],
        ..plan()
    };
    let result = result_of_checks(&checks, &faulty).await;
    assert_eq!(
        told(&result),
        ["input Warned", "tcp: the input cannot be used"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_check_that_never_ends_is_ended() {
    let checks = [
        check(CheckId::Upgrade, &[], hangs),
        check(CheckId::Health, &[], passes),
    ];
    let result = result_of_checks(&checks, &plan()).await;
    assert_eq!(
        told(&result),
        ["upgrade: the time ran out", "health Passed"]
    );
    assert_eq!(result.findings[0].code, INCOMPLETE.name);
}

#[tokio::test(start_paused = true)]
async fn watching_has_no_limit_but_the_users() {
    let checks = [
        check(CheckId::Watch, &[], waits),
        check(CheckId::Health, &[], passes),
    ];
    let stop = CancellationToken::new();
    let stopping = async {
        tokio::time::sleep(Duration::from_hours(1)).await;
        stop.cancel();
    };
    let plan = plan();
    let (result, ()) = tokio::join!(examined(&checks, &plan, &stop), stopping);
    assert_eq!(told(&result), ["watch Warned", "health: interrupted"]);
    assert_eq!(result.findings[0].title, "It was cut short.");
    assert!(result.interrupted);
}

#[tokio::test(start_paused = true)]
async fn an_interrupt_ends_a_check_that_does_not_heed_it() {
    let checks = [
        check(CheckId::Input, &[], warns),
        check(CheckId::Tcp, &[], hangs),
        check(CheckId::Watch, &[], hangs),
    ];
    let stop = CancellationToken::new();
    let stopping = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        stop.cancel();
    };
    let plan = plan();
    let (result, ()) = tokio::join!(examined(&checks, &plan, &stop), stopping);
    assert_eq!(
        told(&result),
        ["input Warned", "tcp: interrupted", "watch: interrupted"]
    );
    // What was found before is kept, and nothing is made of what was not looked at.
    assert_eq!(result.status, DoctorStatus::Warning);
    assert!(result.interrupted);
}

#[tokio::test]
async fn the_checks_that_run_are_announced() {
    let checks = [
        check(CheckId::Tcp, &[], fails),
        check(CheckId::Upgrade, &[CheckId::Tcp], passes),
        check(CheckId::Health, &[], passes),
    ];
    let mut announced = Vec::new();
    let target = "ws://broker.example".parse().unwrap();
    let stop = CancellationToken::new();
    let plan = plan();
    examine_by(&checks, &plan, &target, &stop, &mut |id| announced.push(id)).await;
    assert_eq!(announced, [CheckId::Tcp, CheckId::Health]);
}

#[tokio::test]
async fn every_report_says_that_certificates_are_not_verified() {
    let mut plan = plan();
    plan.dial.verifies_tls = false;
    let result = result_of_checks(&[check(CheckId::Tcp, &[], passes)], &plan).await;
    assert_eq!(result.facts[0].value, "off (--insecure)");
}

#[tokio::test]
async fn what_a_check_quotes_is_shown_without_secrets() {
    fn quotes<'a>(examination: &'a mut Examination<'_>) -> CheckFuture<'a> {
        let finding = ERROR.finding("The server says: no swordfish.");
        examination.find(finding.evidence("answer", "pass=swordfish"));
        Box::pin(async { Looked::At("swordfish was refused".to_owned()) })
    }
    let mut plan = plan();
    plan.dial.credentials = Credentials::Token(Secret::new("swordfish".to_owned()));
    let result = result_of_checks(&[check(CheckId::Connect, &[], quotes)], &plan).await;
    let json = serde_json::to_string(&result).unwrap();
    assert!(
        !json.contains("swordfish") && json.contains("***"),
        "{json}"
    );
}

#[test]
fn the_checks_come_in_the_order_of_their_names_and_need_only_earlier_ones() {
    let ids: Vec<_> = checks::ALL.iter().map(|check| check.id).collect();
    assert_eq!(ids, CheckId::ALL);
    for check in &checks::ALL {
        assert!(
            check.requires.iter().all(|id| *id < check.id),
            "{}",
            check.id
        );
    }
}
