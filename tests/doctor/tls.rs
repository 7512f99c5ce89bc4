//! `doctor`: TLS, the certificates of both sides, and ports that speak no TLS.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;

use rcgen::{DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, date_time_ymd};
use serde_json::Value;

use super::{Diagnosis, diagnose, text_of};
use crate::harness::{Authority, Broker, Issued, ScriptedPort, Version, valid_around_now};

const DAY: u64 = 86_400;
const VERSIONS: [Version; 3] = [Version::Default, Version::V2_12, Version::V2_10];

/// A broker with TLS on the WebSocket port.
fn broker_with(server: &Issued) -> Broker {
    secured(server).start()
}

fn secured(server: &Issued) -> crate::harness::BrokerBuilder {
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

#[test]
fn wss_to_a_port_without_tls_is_answered_with_ws() {
    for version in VERSIONS {
        let broker = Broker::builder().version(version).start();
        let url = broker.ws_url().replace("ws://", "wss://");
        let diagnosis = diagnose(&url, &["--header", "X-Token: not-for-the-clear"]);
        let finding = diagnosis.fails_with("tls.plain-websocket");
        assert_eq!(finding["certainty"], "certain");
        says(
            finding,
            &[&format!("natsbench doctor --server {}", broker.ws_url())],
        );
    }
}

#[test]
fn nothing_secret_goes_out_in_clear_when_tls_fails() {
    let (heard, hears) = std::sync::mpsc::channel();
    let heard = std::sync::Mutex::new(heard);
    let port = ScriptedPort::start(move |mut stream| {
        let mut request = vec![0; 4096];
        let n = stream.read(&mut request).unwrap_or(0);
        let _ = heard.lock().expect("no panic").send(request[..n].to_vec());
        let _ = stream.write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
    });
    let url = format!(
        "wss://user:hush-hush@127.0.0.1:{}/path?token=hush-hush",
        port.port()
    );
    let diagnosis = diagnose(&url, &["--header", "Authorization: Bearer hush-hush"]);
    diagnosis.fails_with("tls.plain-http");
    drop(port);
    let all: Vec<u8> = hears.iter().flatten().collect();
    let text = String::from_utf8_lossy(&all);
    assert!(text.contains("GET /path HTTP/1.1"), "{text}");
    assert!(!text.contains("hush-hush"), "{text}");
}

#[test]
fn a_web_server_without_tls_is_named() {
    let port = ScriptedPort::answering(
        "HTTP/1.1 400 Bad Request\r\nServer: nginx\r\nContent-Length: 0\r\n\r\n",
    );
    let url = format!("wss://127.0.0.1:{}", port.port());
    says(
        diagnose::<&str>(&url, &[]).fails_with("tls.plain-http"),
        &["nginx"],
    );
}

/// Answers everything that is TLS with these bytes, and nothing else.
fn answering_tls(bytes: &[u8]) -> ScriptedPort {
    let bytes = bytes.to_vec();
    ScriptedPort::start(move |mut stream| {
        let mut hello = [0; 4096];
        if stream.read(&mut hello).is_ok_and(|n| n > 0) && hello[0] == 22 {
            let _ = stream.write_all(&bytes);
            // Until the other side has read it.
            let _ = stream.read(&mut hello);
        }
    })
}

fn diagnose_port(port: &ScriptedPort) -> Diagnosis {
    diagnose(
        &format!("wss://localhost:{}", port.port()),
        &["--timeout", "1s"],
    )
}

/// A ServerHello, alone.
fn server_hello(minor: u8, cipher: [u8; 2]) -> Vec<u8> {
    let mut bytes = vec![22, 3, minor, 0, 42, 2, 0, 0, 38, 3, minor];
    bytes.extend([7; 32]);
    bytes.push(0);
    bytes.extend(cipher);
    bytes.push(0);
    bytes.extend([22, 3, minor, 0, 4, 14, 0, 0, 0]);
    bytes
}

#[test]
fn a_server_that_speaks_old_tls_only_is_told_by_its_version() {
    let port = answering_tls(&server_hello(2, [0, 0x2f]));
    says(
        diagnose_port(&port).fails_with("tls.version-too-old"),
        &["only TLS 1.1"],
    );
}

#[test]
fn a_server_that_wants_old_ciphers_only_is_told_by_its_cipher() {
    let port = ScriptedPort::start(move |mut stream| {
        let mut hello = [0; 4096];
        let n = stream.read(&mut hello).unwrap_or(0);
        // Only a hello that offers TLS_RSA_WITH_AES_128_CBC_SHA among old ones is agreed to.
        let offers = hello[..n].windows(4).any(|part| part == [0, 0x2f, 0, 0x35]);
        let answer = if offers {
            server_hello(3, [0, 0x2f])
        } else {
            vec![21, 3, 3, 0, 2, 2, 40]
        };
        let _ = stream.write_all(&answer);
        let _ = stream.read(&mut hello);
    });
    let diagnosis = diagnose_port(&port);
    says(
        diagnosis.fails_with("tls.no-common-cipher"),
        &["TLS_RSA_WITH_AES_128_CBC_SHA"],
    );
}

#[test]
fn a_name_that_is_not_served_is_told_by_the_alert() {
    let port = answering_tls(&[21, 3, 3, 0, 2, 2, 112]);
    let diagnosis = diagnose_port(&port);
    says(
        diagnosis.fails_with("tls.name-not-served"),
        &["localhost", "UnrecognisedName"],
    );
}

#[test]
fn a_port_that_wants_the_proxy_protocol_first_is_found_by_sending_it() {
    let port = ScriptedPort::start(|mut stream| {
        let mut bytes = [0; 4096];
        let n = stream.read(&mut bytes).unwrap_or(0);
        if bytes[..n].starts_with(b"PROXY ") {
            let _ = stream.write_all(&[21, 3, 3, 0, 2, 2, 40]);
        }
    });
    let diagnosis = diagnose_port(&port);
    says(
        diagnosis.fails_with("tls.proxy-protocol-expected"),
        &["accept-proxy"],
    );
}

#[test]
fn a_port_that_hangs_up_or_says_nothing_is_no_certainty() {
    let port = ScriptedPort::start(|mut stream| {
        let mut hello = [0; 4096];
        let _ = stream.read(&mut hello);
    });
    let diagnosis = diagnose_port(&port);
    assert_eq!(diagnosis.fails_with("tls.closed")["certainty"], "possible");
    let port = ScriptedPort::start(|mut stream| {
        let mut hello = [0; 4096];
        while stream.read(&mut hello).is_ok_and(|n| n > 0) {}
    });
    let diagnosis = diagnose_port(&port);
    assert_eq!(diagnosis.fails_with("tls.silent")["certainty"], "possible");
}

#[test]
fn a_handshake_without_end_ends_in_time() {
    let flood = |record: Vec<u8>| {
        ScriptedPort::start(move |mut stream: TcpStream| {
            let mut hello = [0; 4096];
            let _ = stream.read(&mut hello);
            while stream.write_all(&record).is_ok() {}
        })
    };
    // Warnings; a message of 16 MiB, in pieces; records without content.
    let mut huge = vec![22, 3, 3, 0x40, 0, 2, 0xff, 0xff, 0xff];
    huge.extend([0; 0x4000 - 4]);
    for record in [vec![21, 3, 3, 0, 2, 1, 90], huge, vec![22, 3, 3, 0, 0]] {
        let port = flood(record);
        let diagnosis = diagnose_port(&port);
        assert_eq!(diagnosis.status_of("tls"), "failed", "{:#}", diagnosis.json);
        let took_ns = diagnosis.json["duration_ns"].as_u64().expect("a duration");
        assert!(took_ns < 8_000_000_000, "{took_ns}");
    }
}
