//! TLS: on the WebSocket and on the client port, verified or not, with and without a certificate of our own.

use natsbench::cli::exit;
use serde_json::Value;

use crate::harness::{Authority, Broker, completed, latency, publish, refused};

/// A block for `websocket` and for the client port, whose files `with_files` writes.
const TLS: &str =
    "tls { cert_file: \"@DIR@/server.crt\", key_file: \"@DIR@/server.key\", timeout: 10 }";
const MUTUAL_TLS: &str = "tls { cert_file: \"@DIR@/server.crt\", key_file: \"@DIR@/server.key\", \
                          ca_file: \"@DIR@/ca.crt\", verify: true, timeout: 10 }";

/// A broker with TLS on both ports, whose certificate is for these names.
fn broker_for(authority: &Authority, names: &[&str], block: &str) -> Broker {
    let server = authority.issue(names);
    let client = authority.issue(&["client"]);
    let stranger = Authority::new();
    let strange = stranger.issue(&["client"]);
    Broker::builder()
        .websocket(block)
        .config(block)
        .file("server.crt", &server.certificate)
        .file("server.key", &server.key)
        .file("ca.crt", &authority.pem())
        .file("client.crt", &client.certificate)
        .file("client.key", &client.key)
        .file("strange.crt", &strange.certificate)
        .file("strange.key", &strange.key)
        .file("strange-ca.crt", &stranger.pem())
        .start()
}

fn file(broker: &Broker, name: &str) -> String {
    broker
        .dir()
        .join(name)
        .to_str()
        .expect("a UTF-8 path")
        .to_owned()
}

/// Its URLs: WebSocket, client port, client port with TLS whatever the server says.
fn urls(broker: &Broker) -> [String; 3] {
    let client = broker.client_url().replace("tls://", "nats://");
    let tls = client.replace("nats://", "tls://");
    [broker.ws_url(), client, tls]
}

#[track_caller]
fn is_verified(result: &Value) {
    for connection in ["connection", "publisher_connection"] {
        assert_eq!(result[connection]["tls"], true, "{result}");
        assert_eq!(result[connection]["verified"], true, "{result}");
        assert!(result[connection]["tls_ns"].as_u64() > Some(0), "{result}");
    }
    assert_eq!(result["load"]["received"], 100, "{result}");
    assert_eq!(result["load"]["lost"], 0, "{result}");
}

#[test]
fn a_broker_with_a_ca_of_its_own_is_verified_on_every_port() {
    let authority = Authority::new();
    let broker = broker_for(&authority, &["localhost", "127.0.0.1"], TLS);
    let ca = file(&broker, "ca.crt");
    for url in urls(&broker) {
        is_verified(&completed(&latency(&["-s", &url, "--tlsca", &ca]).run()));
        is_verified(&completed(
            &latency(&["-s", &url]).env("NATS_CA", &ca).run(),
        ));
    }
}

#[test]
fn an_unknown_ca_is_refused_with_the_way_to_name_it() {
    let broker = broker_for(&Authority::new(), &["127.0.0.1"], TLS);
    let strange_ca = file(&broker, "strange-ca.crt");
    for url in urls(&broker) {
        let stderr = refused(publish(&["-s", &url, "--tlsca", &strange_ca]));
        for part in [
            "the TLS handshake failed",
            "UnknownIssuer",
            "`--tlsca FILE`",
        ] {
            assert!(stderr.contains(part), "{stderr}");
        }
    }
}

#[test]
fn a_certificate_for_another_host_is_refused() {
    let broker = broker_for(&Authority::new(), &["broker.example"], TLS);
    let stderr = refused(publish(&[
        "-s",
        &broker.ws_url(),
        "--tlsca",
        &file(&broker, "ca.crt"),
    ]));
    for part in ["not valid for name", "use a name in the URL"] {
        assert!(stderr.contains(part), "{stderr}");
    }
}

#[test]
fn without_verification_it_works_and_every_report_says_so() {
    let broker = broker_for(&Authority::new(), &["broker.example"], TLS);
    for url in urls(&broker) {
        let result = completed(&publish(&["-s", &url, "--insecure"]).run());
        assert_eq!(result["connection"]["verified"], false, "{result}");
        let library = ["-s", &url, "--insecure", "--client", "async-nats"];
        let result = completed(&publish(&library).run());
        if !url.starts_with("nats://") {
            assert_eq!(result["connection"]["verified"], false, "{result}");
        }
        for format in ["human", "markdown"] {
            let finished = publish(&["-s", &url, "--insecure", "-o", format]).run();
            let shown = finished.stdout.to_lowercase();
            assert!(shown.contains("not verified"), "{format}: {shown}");
        }
    }
}

#[test]
fn tls_is_asked_for_only_where_it_is_offered() {
    let broker = Broker::start();
    let url = broker.client_url();
    let result = completed(&publish(&["-s", &url]).run());
    assert_eq!(result["connection"]["tls"], false);
    assert_eq!(result["connection"]["verified"], Value::Null);
    let stderr = refused(publish(&["-s", &url.replace("nats://", "tls://")]));
    assert!(stderr.contains("does not offer TLS"), "{stderr}");
    let stderr = refused(publish(&[
        "-s",
        &broker.ws_url().replace("ws://", "wss://"),
    ]));
    assert!(
        stderr.contains("this port does not begin with TLS"),
        "{stderr}"
    );
}

#[test]
fn a_server_that_wants_the_handshake_first_is_reached_with_tlsfirst() {
    let authority = Authority::new();
    let block = TLS.replace("timeout", "handshake_first: true, timeout");
    let server = authority.issue(&["127.0.0.1"]);
    let broker = Broker::builder()
        .config(&block)
        .file("server.crt", &server.certificate)
        .file("server.key", &server.key)
        .file("ca.crt", &authority.pem())
        .start();
    let ca = file(&broker, "ca.crt");
    let url = broker.client_url().replace("nats://", "tls://");
    is_verified(&completed(
        &latency(&["-s", &url, "--tlsca", &ca, "--tlsfirst"]).run(),
    ));
    let stderr = refused(publish(&["-s", &url, "--tlsca", &ca, "--timeout", "300ms"]));
    assert!(stderr.contains("`--tlsfirst`"), "{stderr}");
}

#[test]
fn a_client_certificate_is_shown_where_it_is_asked_for() {
    let authority = Authority::new();
    let broker = broker_for(&authority, &["127.0.0.1"], MUTUAL_TLS);
    let ca = file(&broker, "ca.crt");
    let shown = |name: &str| {
        [
            ("--tlscert", file(&broker, &format!("{name}.crt"))),
            ("--tlskey", file(&broker, &format!("{name}.key"))),
        ]
    };
    for url in urls(&broker) {
        let base = ["-s", &url, "--tlsca", &ca];
        let [(cert, cert_file), (key, key_file)] = shown("client");
        let args = [&base[..], &[cert, &cert_file, key, &key_file]].concat();
        is_verified(&completed(&latency(&args).run()));
        // The publisher's certificate is missing: the refusal comes after the handshake.
        let stderr = refused(publish(&base));
        assert!(
            stderr.contains("the broker asks for a client certificate"),
            "{stderr}"
        );
        let [(cert, cert_file), (key, key_file)] = shown("strange");
        let args = [&base[..], &[cert, &cert_file, key, &key_file]].concat();
        let stderr = refused(publish(&args));
        assert!(
            stderr.contains("the broker wants another client certificate"),
            "{stderr}"
        );
    }
}

#[test]
fn a_tls_file_that_cannot_be_used_is_named() {
    let broker = broker_for(&Authority::new(), &["127.0.0.1"], TLS);
    let (cert, key) = (file(&broker, "client.crt"), file(&broker, "client.key"));
    let (other_key, missing) = (file(&broker, "server.key"), file(&broker, "missing.pem"));
    for (args, part) in [
        (&["--tlscert", &cert][..], "`--tlskey`"),
        (&["--tlskey", &key], "`--tlscert`"),
        (&["--tlsca", &missing], "missing.pem"),
        (&["--tlsca", &key], "client.key"),
        (&["--tlscert", &cert, "--tlskey", &cert], "client.crt"),
        (
            &["--tlscert", &cert, "--tlskey", &other_key],
            "the client certificate cannot be used",
        ),
    ] {
        let url = broker.ws_url();
        let args = [&["-s", &url][..], args].concat();
        let finished = publish(&args).run().exits(exit::USAGE);
        assert!(finished.stderr.contains(part), "{}", finished.stderr);
    }
}
