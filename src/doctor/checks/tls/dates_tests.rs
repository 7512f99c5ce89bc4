//! Certificates at other times than now.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};

use super::*;
use crate::doctor::checks::tls::chain::judge as judge_chain;
use crate::doctor::checks::tls::trust::{Trusted, Verdict};
use crate::net::tls::TlsOptions;

fn fixture(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/data/tls", name]
        .iter()
        .collect()
}

/// The codes of what is wrong at a time with a certificate that is valid from 2020 to 2160, of a CA that is trusted.
fn codes_at(name: &str, now: i64) -> Vec<(String, Severity, Certainty)> {
    let options = TlsOptions {
        ca: Some(fixture("ca.pem")),
        ..TlsOptions::default()
    };
    let trusted = Trusted::read(&options).unwrap();
    let der = CertificateDer::from_pem_file(fixture(name)).unwrap();
    let leaf = Certificate::parse(&der).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let provider = Arc::new(ring::default_provider());
    let verdict = Verdict::of(&[der], &leaf, &trusted, &name, &provider, now);
    let presented = Presented {
        target: &"wss://localhost:8443".parse().unwrap(),
        chain: &[leaf],
        trusted: &trusted,
        verdict: &verdict,
        now,
    };
    let findings = judge_chain(&presented).into_iter();
    findings
        .map(|finding| (finding.code, finding.severity, finding.certainty))
        .collect()
}

/// 2160-01-01.
const END: i64 = 5_995_814_400;
const NOW: i64 = 1_800_000_000;
const FIXTURE: &str = "p-521.pem";

fn found(
    code: &str,
    severity: Severity,
    certainty: Certainty,
) -> Vec<(String, Severity, Certainty)> {
    vec![(code.to_owned(), severity, certainty)]
}

#[test]
fn nothing_is_wrong_within_its_time() {
    assert_eq!(codes_at(FIXTURE, NOW), []);
}

#[test]
fn a_clock_before_natsbench_was_written_is_wrong() {
    let at_boot = codes_at(FIXTURE, 1_000);
    let expected = (
        "tls.clock-wrong".to_owned(),
        Severity::Error,
        Certainty::Certain,
    );
    assert_eq!(at_boot[0], expected);
}

#[test]
fn an_end_that_is_near_is_a_warning_and_one_that_is_past_an_error() {
    let soon = codes_at(FIXTURE, END - 13 * DAY);
    assert_eq!(
        soon,
        found(
            "tls.certificate-expires-soon",
            Severity::Warning,
            Certainty::Certain
        )
    );
    assert_eq!(codes_at(FIXTURE, END - 15 * DAY), []);
    // The CA ends at the same time, which is said after it.
    let past = codes_at(FIXTURE, END + 10 * DAY);
    assert_eq!(
        past[0],
        (
            "tls.certificate-expired".to_owned(),
            Severity::Error,
            Certainty::Certain
        )
    );
    let just_past = codes_at(FIXTURE, END + 60);
    assert_eq!(just_past[0].2, Certainty::Likely);
}

#[test]
fn what_is_wrong_besides_the_date_is_found_all_the_same() {
    let all = codes_at("version-1.pem", END + 10 * DAY);
    let codes: Vec<_> = all.iter().map(|(code, ..)| code.as_str()).collect();
    assert_eq!(
        codes,
        [
            "tls.certificate-expired",
            "tls.certificate-version-1",
            "tls.ca-expired"
        ]
    );
}
