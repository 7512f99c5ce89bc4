//! Handshakes that fail, with servers and with what is none.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::{VERSIONS, diagnose, says};
use crate::doctor::Diagnosis;
use crate::harness::{Broker, ScriptedPort};

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
    let (heard, requests) = std::sync::mpsc::channel();
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
    let all: Vec<u8> = requests.iter().flatten().collect();
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

#[test]
fn a_port_that_redirects_to_https_leads_to_the_right_one() {
    let port = ScriptedPort::answering(
        "HTTP/1.1 301 Moved Permanently\r\nLocation: https://nats.example:8443/ws?key=1\r\nContent-Length: 0\r\n\r\n",
    );
    let url = format!("wss://127.0.0.1:{}", port.port());
    let diagnosis = diagnose::<&str>(&url, &[]);
    let finding = diagnosis.fails_with("tls.plain-http");
    says(
        finding,
        &["natsbench doctor --server wss://nats.example:8443/ws"],
    );
    assert!(!finding.to_string().contains("key=1"), "{finding:#}");
}

#[test]
fn a_websocket_port_without_tls_is_known_even_when_it_refuses_the_origin() {
    let broker = Broker::builder()
        .websocket("no_tls: true, same_origin: true")
        .start();
    let url = broker.ws_url().replace("ws://", "wss://");
    let diagnosis = diagnose(&url, &["--origin", "https://game.example"]);
    says(diagnosis.fails_with("tls.plain-websocket"), &["403"]);
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

/// A `ServerHello`, alone.
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
