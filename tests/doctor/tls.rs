//! `doctor`: TLS and the certificates of the server.

mod client_certificates;
mod handshakes;

use std::path::PathBuf;

use rcgen::{DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, SanType, date_time_ymd};
use serde_json::Value;

use super::{Diagnosis, diagnose, text_of};
use crate::harness::{Authority, Broker, Issued, Version, valid_around_now};

const DAY: u64 = 86_400;
const VERSIONS: [Version; 3] = [Version::Default, Version::V2_12, Version::V2_10];

/// A broker with TLS on the WebSocket port.
fn broker_with(server: &Issued) -> Broker {
    secured(server).start()
}

fn secured(server: &Issued) -> crate::harness::Builder {
    Broker::builder()
        .websocket("tls { cert_file: \"@DIR@/server.crt\", key_file: \"@DIR@/server.key\" }")
        .file("server.crt", &server.certificate)
        .file("server.key", &server.key)
}

/// Its URL by name: brokers of the harness name their address.
fn by_name(broker: &Broker) -> String {
    format!("wss://localhost:{}", broker.ws_port())
}

fn file(broker: &Broker, name: &str, content: &str) -> String {
    let path = broker.dir().join(name);
    std::fs::write(&path, content).expect("a file beside the broker's");
    path.to_str().expect("a UTF-8 path").to_owned()
}

/// Examines a broker by name, trusting this CA.
fn trusting(broker: &Broker, ca: &str) -> Diagnosis {
    let ca = file(broker, "ca.pem", ca);
    diagnose(&by_name(broker), &["--tlsca", &ca])
}

fn codes(diagnosis: &Diagnosis) -> Vec<&str> {
    let findings = diagnosis.json["findings"].as_array().expect("a list");
    findings
        .iter()
        .filter_map(|finding| finding["code"].as_str())
        .collect()
}

fn fact<'a>(diagnosis: &'a Diagnosis, name: &str) -> &'a str {
    let mut facts = diagnosis.json["facts"].as_array().expect("a list").iter();
    let found = facts.find(|fact| fact["name"] == name);
    found
        .and_then(|fact| fact["value"].as_str())
        .unwrap_or_else(|| panic!("no {name}: {:#}", diagnosis.json))
}

#[track_caller]
fn says(finding: &Value, parts: &[&str]) {
    let text = text_of(finding);
    for part in parts {
        assert!(text.contains(part), "`{part}` is missing: {finding:#}");
    }
}

fn fixture(name: &str) -> String {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests/data/tls", name]
        .iter()
        .collect();
    std::fs::read_to_string(path).expect("a fixture")
}

fn issued_fixture(name: &str) -> Issued {
    Issued {
        certificate: fixture(&format!("{name}.pem")),
        key: fixture(&format!("{name}.key")),
    }
}

#[test]
fn a_private_ca_that_is_given_is_healthy_and_the_certificate_is_a_fact() {
    for version in VERSIONS {
        let authority = Authority::new();
        let server = authority.issue(&["localhost", "127.0.0.1"]);
        let broker = secured(&server).version(version).start();
        let ca = file(&broker, "ca.pem", &authority.pem());
        for url in [by_name(&broker), broker.ws_url()] {
            let diagnosis = diagnose(&url, &["--tlsca", &ca]);
            diagnosis.is_healthy();
            assert_eq!(diagnosis.status_of("tls"), "passed");
            assert!(fact(&diagnosis, "TLS").starts_with("TLS 1.3"));
            assert!(fact(&diagnosis, "certificate").contains("test authority"));
        }
    }
}

#[test]
fn an_expired_certificate_says_since_when() {
    let authority = Authority::new();
    let server = authority.issue_with(&["localhost"], |params| {
        params.not_before = date_time_ymd(2024, 1, 1);
        params.not_after = date_time_ymd(2024, 2, 1);
    });
    let diagnosis = trusting(&broker_with(&server), &authority.pem());
    let finding = diagnosis.fails_with("tls.certificate-expired");
    says(
        finding,
        &["expired on 2024-02-01", "nats-server --signal reload"],
    );
    assert_eq!(codes(&diagnosis), ["tls.certificate-expired"]);
    assert_eq!(diagnosis.status_of("upgrade"), "skipped");
}

#[test]
fn a_certificate_of_the_future_may_be_a_clock_of_the_past() {
    let authority = Authority::new();
    let server = authority.issue_with(&["localhost"], |params| {
        params.not_before = date_time_ymd(2940, 1, 1);
        params.not_after = date_time_ymd(2941, 1, 1);
    });
    let diagnosis = trusting(&broker_with(&server), &authority.pem());
    let finding = diagnosis.fails_with("tls.certificate-not-yet-valid");
    says(
        finding,
        &[
            "not valid before 2940-01-01",
            "clock of this machine is behind",
        ],
    );
}

#[test]
fn a_certificate_that_is_due_is_a_warning() {
    let authority = Authority::new();
    let server = authority.issue_with(&["localhost"], |params| {
        valid_around_now(params, 80 * DAY, 5 * DAY + DAY / 2);
    });
    let diagnosis = trusting(&broker_with(&server), &authority.pem());
    says(
        diagnosis.warns_of("tls.certificate-expires-soon"),
        &["expires in 5 days"],
    );
    assert_eq!(diagnosis.status_of("round-trip"), "skipped");
}

#[test]
fn a_certificate_for_a_few_days_is_no_warning_while_it_is_new() {
    let authority = Authority::new();
    let server = authority.issue_with(&["localhost"], |params| {
        valid_around_now(params, DAY, 5 * DAY);
    });
    trusting(&broker_with(&server), &authority.pem()).is_healthy();
}

#[test]
fn a_certificate_for_another_name_lists_the_names_it_has() {
    let authority = Authority::new();
    let broker = broker_with(&authority.issue(&["nats.example", "*.nats.example"]));
    let diagnosis = trusting(&broker, &authority.pem());
    let finding = diagnosis.fails_with("tls.name-mismatch");
    says(
        finding,
        &[
            "not for localhost, but for nats.example, *.nats.example",
            "wss://nats.example:",
        ],
    );
}

#[test]
fn an_address_in_the_url_needs_an_address_in_the_certificate() {
    let authority = Authority::new();
    let broker = broker_with(&authority.issue(&["localhost"]));
    let ca = file(&broker, "ca.pem", &authority.pem());
    let diagnosis = diagnose(&broker.ws_url(), &["--tlsca", &ca]);
    let finding = diagnosis.fails_with("tls.name-mismatch");
    says(
        finding,
        &[
            "has DNS names only",
            &format!("natsbench doctor --server {}", by_name(&broker)),
            "IP:127.0.0.1",
        ],
    );
}

#[test]
fn a_common_name_alone_is_no_name() {
    let authority = Authority::new();
    let server = authority.issue_with(&[], |params| {
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "localhost");
    });
    let diagnosis = trusting(&broker_with(&server), &authority.pem());
    let finding = diagnosis.fails_with("tls.no-alternative-name");
    says(
        finding,
        &[
            "only the common name localhost",
            "subjectAltName=DNS:localhost",
            "Python",
        ],
    );
    assert_eq!(codes(&diagnosis), ["tls.no-alternative-name"]);
}

#[test]
fn a_private_ca_that_is_not_given_is_unknown() {
    let authority = Authority::root("Company Root CA", |_| ());
    let broker = broker_with(&authority.issue(&["localhost"]));
    let diagnosis = diagnose::<&str>(&by_name(&broker), &[]);
    let finding = diagnosis.fails_with("tls.unknown-issuer");
    says(
        finding,
        &[
            "issued by CN=Company Root CA",
            "No `--tlsca` was given",
            "--tlsca CA.pem",
        ],
    );
    assert_eq!(finding["certainty"], "certain");
    assert_eq!(codes(&diagnosis), ["tls.unknown-issuer"]);
}

#[test]
fn another_ca_than_the_one_given_is_named_beside_it() {
    let authority = Authority::root("Company Root CA", |_| ());
    let broker = broker_with(&authority.issue(&["localhost"]));
    let diagnosis = trusting(&broker, &Authority::root("Other CA", |_| ()).pem());
    let finding = diagnosis.fails_with("tls.unknown-issuer");
    says(
        finding,
        &[
            "issued by CN=Company Root CA",
            "the CA given is another: CN=Other CA",
        ],
    );
}

#[test]
fn a_ca_that_was_made_anew_has_the_same_name_and_another_key() {
    let broker = broker_with(&Authority::root("Company Root CA", |_| ()).issue(&["localhost"]));
    let renewed = Authority::root("Company Root CA", |_| ());
    let diagnosis = trusting(&broker, &renewed.pem());
    says(diagnosis.fails_with("tls.ca-replaced"), &["another key"]);
    assert_eq!(codes(&diagnosis), ["tls.ca-replaced"]);
}

#[test]
fn an_intermediate_that_is_not_sent_is_missing() {
    let root = Authority::root("Company Root CA", |_| ());
    let intermediate = root.below("Company Issuing CA", |_| ());
    let mut server = intermediate.issue(&["localhost"]);
    let diagnosis = trusting(&broker_with(&server), &root.pem());
    let finding = diagnosis.fails_with("tls.missing-intermediate");
    says(
        finding,
        &[
            "does not send the intermediate certificate CN=Company Issuing CA",
            "cat server.pem intermediate.pem",
        ],
    );

    server.certificate.push_str(&intermediate.pem());
    trusting(&broker_with(&server), &root.pem()).is_healthy();
}

#[test]
fn an_intermediate_that_has_expired_is_told_from_the_certificate_of_the_server() {
    let root = Authority::new();
    let intermediate = root.below("Old Issuing CA", |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2024, 6, 1);
    });
    let mut server = intermediate.issue(&["localhost"]);
    server.certificate.push_str(&intermediate.pem());
    let diagnosis = trusting(&broker_with(&server), &root.pem());
    let finding = diagnosis.fails_with("tls.intermediate-expired");
    says(finding, &["Old Issuing CA", "expired on 2024-06-01"]);
    assert_eq!(codes(&diagnosis), ["tls.intermediate-expired"]);
}

#[test]
fn a_ca_that_has_expired_is_a_warning_because_others_refuse_it() {
    let root = Authority::root("Old Root CA", |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2024, 6, 1);
    });
    let broker = broker_with(&root.issue(&["localhost"]));
    let diagnosis = trusting(&broker, &root.pem());
    says(
        diagnosis.warns_of("tls.ca-expired"),
        &["Old Root CA", "OpenSSL, Go and browsers"],
    );
}

#[test]
fn a_self_signed_certificate_is_trusted_once_it_is_given() {
    let server = Issued::self_signed(&["localhost"], |_| ());
    let broker = broker_with(&server);
    let diagnosis = diagnose::<&str>(&by_name(&broker), &[]);
    says(
        diagnosis.fails_with("tls.self-signed"),
        &["--tlsca server.pem"],
    );
    assert_eq!(codes(&diagnosis), ["tls.self-signed"]);
    trusting(&broker, &server.certificate).is_healthy();
}

#[test]
fn a_self_signed_ca_is_no_server_certificate_even_when_it_is_given() {
    let server = Issued::self_signed(&["localhost"], |params| {
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.extended_key_usages.clear();
    });
    let broker = broker_with(&server);
    let diagnosis = trusting(&broker, &server.certificate);
    let finding = diagnosis.fails_with("tls.ca-as-server-certificate");
    says(finding, &["CA:TRUE", "basicConstraints=critical,CA:FALSE"]);
    assert_eq!(codes(&diagnosis), ["tls.ca-as-server-certificate"]);

    let diagnosis = diagnose::<&str>(&by_name(&broker), &[]);
    diagnosis.fails_with("tls.self-signed");
    assert_eq!(
        codes(&diagnosis),
        ["tls.self-signed", "tls.ca-as-server-certificate"]
    );
}

#[test]
fn a_self_signed_certificate_that_was_made_anew_is_told_from_the_one_that_was_given() {
    let broker = broker_with(&Issued::self_signed(&["localhost"], |_| ()));
    let older = Issued::self_signed(&["localhost"], |_| ());
    let diagnosis = trusting(&broker, &older.certificate);
    says(diagnosis.fails_with("tls.ca-replaced"), &["another key"]);
    assert_eq!(codes(&diagnosis), ["tls.ca-replaced"]);
}

#[test]
fn an_intermediate_in_place_of_the_certificate_of_the_server_is_no_matter_of_names() {
    let root = Authority::root("Company Root CA", |_| ());
    let intermediate = root.below("Company Issuing CA", |_| ());
    let broker = broker_with(&intermediate.issued());
    let diagnosis = trusting(&broker, &root.pem());
    let finding = diagnosis.fails_with("tls.ca-as-server-certificate");
    says(finding, &["Issue a certificate for the server"]);
}

#[test]
fn the_certificate_of_the_server_is_not_that_of_its_ca() {
    let server = Authority::root("Company Root CA", |_| ()).issue(&["localhost"]);
    let broker = broker_with(&server);
    let diagnosis = trusting(&broker, &server.certificate);
    says(
        diagnosis.fails_with("tls.server-certificate-as-ca"),
        &["CN=Company Root CA"],
    );
}

#[test]
fn a_certificate_for_clients_is_none_for_servers() {
    let authority = Authority::new();
    let server = authority.issue_with(&["localhost"], |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    let diagnosis = trusting(&broker_with(&server), &authority.pem());
    says(
        diagnosis.fails_with("tls.not-for-servers"),
        &["is a client certificate"],
    );
    assert_eq!(codes(&diagnosis), ["tls.not-for-servers"]);
}

#[test]
fn the_certificate_that_an_ingress_comes_with_means_that_it_has_none_for_the_host() {
    let server = Issued::self_signed(&["ingress.local"], |params| {
        let name = "Kubernetes Ingress Controller Fake Certificate";
        params.distinguished_name.push(DnType::CommonName, name);
    });
    let diagnosis = diagnose::<&str>(&by_name(&broker_with(&server)), &[]);
    says(
        diagnosis.fails_with("tls.default-certificate"),
        &["ingress-nginx", "hosts: [localhost]"],
    );
    assert_eq!(codes(&diagnosis), ["tls.default-certificate"]);
}

#[test]
fn certificates_of_old_kinds_are_refused_by_what_is_wrong_with_them() {
    for (name, code, part) in [
        ("version-1", "tls.certificate-version-1", "Python"),
        ("rsa-1024", "tls.weak-key", "RSA 1024 bits"),
        ("sha-1", "tls.weak-signature", "SHA-1 with ECDSA"),
    ] {
        let broker = broker_with(&issued_fixture(name));
        let diagnosis = trusting(&broker, &fixture("ca.pem"));
        says(diagnosis.fails_with(code), &[part]);
        assert_eq!(codes(&diagnosis), [code]);
        // Without verification they do for us, and for every other command.
        let insecure = diagnose(&by_name(&broker), &["--insecure"]);
        insecure.is_healthy();
        assert!(codes(&insecure).contains(&code), "{:#}", insecure.json);
    }
}

#[test]
fn a_key_that_rustls_does_not_know_is_named() {
    let broker = broker_with(&issued_fixture("p-521"));
    let diagnosis = trusting(&broker, &fixture("ca.pem"));
    says(
        diagnosis.fails_with("tls.no-common-cipher"),
        &["ECDSA P-521"],
    );
}

#[test]
fn without_verification_the_faults_are_told_and_do_not_fail() {
    let broker = broker_with(&Authority::new().issue(&["nats.example"]));
    let diagnosis = diagnose(&by_name(&broker), &["--insecure"]);
    diagnosis.is_healthy();
    assert_eq!(
        codes(&diagnosis),
        ["tls.name-mismatch", "tls.unknown-issuer"]
    );
    assert!(fact(&diagnosis, "verification").contains("--insecure"));
}

#[test]
fn an_address_that_is_written_as_a_dns_name_counts_for_nothing() {
    let authority = Authority::new();
    let server = authority.issue_with(&["localhost"], |params| {
        let address = "127.0.0.1".try_into().expect("a string");
        params.subject_alt_names = vec![SanType::DnsName(address)];
    });
    let broker = broker_with(&server);
    let ca = file(&broker, "ca.pem", &authority.pem());
    let diagnosis = diagnose(&broker.ws_url(), &["--tlsca", &ca]);
    let finding = diagnosis.fails_with("tls.name-mismatch");
    says(finding, &["`DNS:127.0.0.1`", "has to be `IP:127.0.0.1`"]);
}
