//! XML of `JUnit`: a suite for each server, a test case for each check.

use std::io::{self, Write};
use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite, XmlString};

use super::words::{findings_of, plain_lines};
use crate::report::harmless::harmless;
use crate::results::doctor::{CheckResult, CheckStatus, DoctorResult, Severity};

pub(super) fn write(out: &mut dyn Write, result: &DoctorResult) -> io::Result<()> {
    let mut report = Report::new("natsbench doctor");
    report.set_time(Duration::from_nanos(result.duration_ns));
    let servers = result.servers();
    let servers = match servers.as_slice() {
        [] => vec![None],
        several => several.iter().copied().map(Some).collect(),
    };
    for server in servers {
        let mut suite = TestSuite::new(xml(server.unwrap_or(&result.target)));
        let checks = result.checks.iter();
        let checks = checks.filter(|check| check.server.as_deref() == server);
        suite.add_test_cases(checks.map(|check| test_case(result, check)));
        for fact in &result.facts {
            if fact.server.as_deref() == server {
                suite.add_property((xml(&fact.name), xml(&fact.value)));
            }
        }
        report.add_test_suite(suite);
    }
    report.serialize(&mut *out).map_err(io::Error::other)
}

fn test_case(result: &DoctorResult, check: &CheckResult) -> TestCase {
    let findings: Vec<_> = findings_of(result, check).collect();
    let status = match check.status {
        CheckStatus::Passed | CheckStatus::Warned => TestCaseStatus::success(),
        CheckStatus::Skipped => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(xml(check.reason.as_deref().unwrap_or_default()));
            status
        }
        CheckStatus::Failed => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            if let Some(first) = findings.first() {
                status.set_message(xml(&first.title));
                status.set_type(xml(&first.code));
            }
            let failures = findings.iter();
            let failures = failures.filter(|finding| finding.severity > Severity::Info);
            let texts = failures.map(|finding| plain_lines(finding).join("\n"));
            status.set_description(xml(&texts.collect::<Vec<_>>().join("\n\n")));
            status
        }
    };
    let mut case = TestCase::new(xml(&check.id), status);
    case.set_classname("natsbench.doctor");
    case.set_time(Duration::from_nanos(check.duration_ns));
    // What was done, and what is worth knowing although it is no failure.
    let is_told = |severity| check.status == CheckStatus::Failed && severity > Severity::Info;
    let mut told: Vec<String> = check.detail.iter().cloned().collect();
    let further = findings.iter();
    let further = further.filter(|finding| !is_told(finding.severity));
    told.extend(further.map(|finding| plain_lines(finding).join("\n")));
    if !told.is_empty() {
        case.set_system_out(xml(&told.join("\n\n")));
    }
    case
}

/// Text that an XML document can hold: neither control characters nor what is no character at all.
fn xml(text: &str) -> XmlString {
    let lines = text.lines().map(harmless);
    let text = lines.collect::<Vec<_>>().join("\n");
    XmlString::new(text.replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}"))
}
