//! Certificates of our own: wanted, refused, accepted.

use rcgen::{ExtendedKeyUsagePurpose, date_time_ymd};

use super::{VERSIONS, by_name, codes, diagnose, file, says, trusting};
use crate::doctor::Diagnosis;
use crate::harness::{Authority, Broker, Issued, Version};

/// A broker that wants a client certificate of `authority`, and the files of one.
fn mutual(authority: &Authority, version: Version, more: &str) -> Broker {
    let server = authority.issue(&["localhost", "127.0.0.1"]);
    Broker::builder()
        .version(version)
        .websocket(&format!(
            "tls {{ cert_file: \"@DIR@/server.crt\", key_file: \"@DIR@/server.key\", ca_file: \"@DIR@/ca.crt\", verify: true {more} }}"
        ))
        .file("server.crt", &server.certificate)
        .file("server.key", &server.key)
        .file("ca.crt", &authority.pem())
        .start()
}

fn showing(broker: &Broker, authority: &Authority, client: &Issued) -> Diagnosis {
    let ca = file(broker, "ca.pem", &authority.pem());
    let cert = file(broker, "client.pem", &client.certificate);
    let key = file(broker, "client.key", &client.key);
    let args = ["--tlsca", &ca, "--tlscert", &cert, "--tlskey", &key];
    diagnose(&by_name(broker), &args)
}

#[test]
fn a_client_certificate_that_is_wanted_is_missed_on_every_version() {
    for version in VERSIONS {
        let authority = Authority::root("Company Root CA", |_| ());
        let broker = mutual(&authority, version, "");
        let diagnosis = trusting(&broker, &authority.pem());
        let finding = diagnosis.fails_with("tls.client-certificate-required");
        says(
            finding,
            &[
                "certificate of CN=Company Root CA",
                "--tlscert client.pem --tlskey client.key",
            ],
        );
        showing(&broker, &authority, &authority.issue(&["client"])).is_healthy();
    }
}

#[test]
fn a_client_certificate_of_another_ca_is_refused_on_every_version() {
    for version in VERSIONS {
        let authority = Authority::root("Company Root CA", |_| ());
        let broker = mutual(&authority, version, "");
        let stranger = Authority::root("Stranger CA", |_| ());
        let diagnosis = showing(&broker, &authority, &stranger.issue(&["client"]));
        let finding = diagnosis.fails_with("tls.client-certificate-refused");
        says(
            finding,
            &["issued by CN=Stranger CA, and the server accepts only CN=Company Root CA"],
        );
        assert_eq!(finding["certainty"], "certain");
        assert_eq!(codes(&diagnosis), ["tls.client-certificate-refused"]);
    }
}

#[test]
fn a_client_certificate_that_has_expired_or_is_for_servers_is_refused_for_that() {
    let authority = Authority::new();
    for version in VERSIONS {
        let broker = mutual(&authority, version, "");
        let expired = authority.issue_with(&["client"], |params| {
            params.not_before = date_time_ymd(2024, 1, 1);
            params.not_after = date_time_ymd(2024, 2, 1);
        });
        let diagnosis = showing(&broker, &authority, &expired);
        says(
            diagnosis.fails_with("tls.client-certificate-refused"),
            &["it expired on 2024-02-01"],
        );
        let for_servers = authority.issue_with(&["client"], |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        });
        let diagnosis = showing(&broker, &authority, &for_servers);
        says(
            diagnosis.fails_with("tls.client-certificate-refused"),
            &["leaves out clientAuth"],
        );
    }
}

#[test]
fn a_client_ca_that_was_made_anew_is_not_known_to_the_server() {
    let authority = Authority::root("Company Root CA", |_| ());
    let broker = mutual(&authority, Version::Default, "");
    let renewed = Authority::root("Company Root CA", |_| ());
    let diagnosis = showing(&broker, &authority, &renewed.issue(&["client"]));
    let finding = diagnosis.fails_with("tls.client-certificate-refused");
    says(
        finding,
        &["it does not trust CN=Company Root CA", "another key"],
    );
}
