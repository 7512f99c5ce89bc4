//! `doctor`: what listens on the port, if anything.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::Signal;

use super::{Diagnosis, diagnose, text_of};
use crate::harness::{Authority, Broker, ScriptedPort, Version, eventually};

/// Nobody listens on it or near it.
const DEAD_URL: &str = "ws://127.0.0.1:1";
/// An answer that no client takes for an upgrade, but that is HTTP.
const ANY_HTTP: &[u8] = b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n";
/// What a client port says first.
const INFO: &[u8] = b"INFO {\"server_id\":\"NA5\",\"version\":\"2.15.1\",\"proto\":1,\"port\":4222,\"client_id\":5}\r\n";

fn examine(url: &str) -> Diagnosis {
    diagnose(url, &["--timeout", "1s"])
}

/// The port of a listener that the ports file does not name.
fn logged_port(broker: &Broker, kind: &str) -> u16 {
    let begin = format!("Listening for {kind} connections on 127.0.0.1:");
    eventually("the listener", || {
        let log = broker.log();
        let (_, behind) = log.split_once(&begin)?;
        behind.lines().next()?.trim().parse().ok()
    })
}

/// A port beside this one on which nobody listens.
fn free_port_beside(port: u16) -> u16 {
    [port - 1, port + 1, port - 2, port + 2]
        .into_iter()
        .find(|beside| TcpStream::connect(("127.0.0.1", *beside)).is_err())
        .expect("one of four is free")
}

/// Reads until nothing more is needed, or the other side hangs up.
fn read_some(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    let n_bytes = stream.read(&mut bytes).unwrap_or(0);
    bytes.truncate(n_bytes);
    bytes
}

/// Keeps the connection until the other side hangs up.
fn keep(stream: &mut TcpStream) {
    while !read_some(stream).is_empty() {}
}

#[test]
fn a_healthy_broker_has_no_finding() {
    let broker = Broker::start();
    diagnose::<&str>(&broker.ws_url(), &[]).is_healthy();
    let url = broker.ws_url().replace("127.0.0.1", "localhost");
    diagnose::<&str>(&url, &[]).is_healthy();
}

#[test]
fn a_port_on_which_nothing_listens_is_refused() {
    let diagnosis = examine(DEAD_URL);
    let finding = diagnosis.fails_with("tcp.refused");
    assert!(text_of(finding).contains("websocket requires TLS configuration"));
    assert_eq!(diagnosis.status_of("upgrade"), "skipped");
}

#[test]
fn a_name_without_an_address_is_named() {
    let diagnosis = examine("ws://nats.does-not-exist.invalid:8443");
    let finding = diagnosis.fails_with("dns.no-address");
    assert!(text_of(finding).contains("nats.does-not-exist.invalid"));
}

#[test]
fn a_server_of_the_other_family_is_found() {
    let broker = Broker::start();
    let url = format!("ws://[::1]:{}", broker.ws_port());
    let diagnosis = examine(&url);
    let finding = diagnosis.fails_with("tcp.other-family");
    assert_eq!(finding["certainty"], "certain");
    assert!(text_of(finding).contains(&broker.ws_url()));
    assert!(text_of(finding).contains(r#"host: \"::\""#));
}

#[test]
fn a_server_without_a_websocket_block_is_told_from_none() {
    let broker = Broker::builder().without_websocket().start();
    let port = free_port_beside(broker.client_port());
    let diagnosis = examine(&format!("ws://127.0.0.1:{port}"));
    let finding = diagnosis.fails_with("websocket.not-configured");
    assert!(text_of(finding).contains("no_tls: true"));
    assert!(text_of(finding).contains("restart"));
    assert_ne!(finding["certainty"], "certain");
}

#[test]
fn the_right_websocket_port_is_named_where_the_url_has_another() {
    let broker = Broker::start();
    let port = free_port_beside(broker.ws_port());
    let diagnosis = examine(&format!("ws://127.0.0.1:{port}"));
    let finding = diagnosis.fails_with("tcp.wrong-port");
    assert!(text_of(finding).contains(&broker.ws_url()));
}

#[test]
fn a_client_port_leads_to_the_websocket_port() {
    for version in [Version::Default, Version::V2_10] {
        let broker = Broker::builder().version(version).start();
        let url = broker.client_url().replace("nats://", "ws://");
        let diagnosis = examine(&url);
        let finding = diagnosis.fails_with("port.client");
        assert_eq!(finding["certainty"], "certain");
        assert!(text_of(finding).contains(&format!("Use `{}`", broker.ws_url())));
        examine(&url.replace("ws://", "wss://")).fails_with("port.client");
    }
}

#[test]
fn a_client_port_that_wants_tls_first_is_found_in_clear_and_inside_tls() {
    let authority = Authority::new();
    let issued = authority.issue(&["127.0.0.1"]);
    let broker = Broker::builder()
        .file("server.pem", &issued.certificate)
        .file("server.key", &issued.key)
        .file("ca.pem", &authority.pem())
        .config(
            "tls { cert_file: \"@DIR@/server.pem\", key_file: \"@DIR@/server.key\", handshake_first: true }",
        )
        .start();
    let port = broker.client_port();
    let plain = examine(&format!("ws://127.0.0.1:{port}"));
    let finding = plain.fails_with("port.client-tls-first");
    assert!(text_of(finding).contains(&broker.ws_url()));
    let ca = broker.dir().join("ca.pem");
    let args = ["--tlsca", ca.to_str().expect("a UTF-8 path")];
    diagnose(&format!("wss://127.0.0.1:{port}"), &args).fails_with("port.client-tls-first");
    let diagnosis = diagnose(&format!("tls://127.0.0.1:{port}"), &args);
    let finding = diagnosis.fails_with("port.client-tls-first");
    assert!(text_of(finding).contains("--tlsfirst"));
}

#[test]
fn the_ports_between_servers_are_no_client_ports() {
    for version in [Version::Default, Version::V2_10] {
        let broker = Broker::builder()
            .version(version)
            .config("cluster { name: c, listen: \"127.0.0.1:-1\" }")
            .config("leafnodes { listen: \"127.0.0.1:-1\" }")
            .start();
        for (kind, code) in [("route", "port.route"), ("leafnode", "port.leafnode")] {
            let port = logged_port(&broker, kind);
            for scheme in ["ws", "nats"] {
                let diagnosis = examine(&format!("{scheme}://127.0.0.1:{port}"));
                let finding = diagnosis.fails_with(code);
                assert!(text_of(finding).contains(&broker.ws_url()), "{finding:#}");
            }
        }
    }
}

#[test]
fn a_gateway_port_is_named() {
    let broker = Broker::builder()
        .config("gateway { name: g, listen: \"127.0.0.1:-1\" }")
        .start();
    let log_line = "Listening for gateways connections on 127.0.0.1:";
    let port: u16 = eventually("the gateway", || {
        let log = broker.log();
        let (_, behind) = log.split_once(log_line)?;
        behind.lines().next()?.trim().parse().ok()
    });
    examine(&format!("ws://127.0.0.1:{port}")).fails_with("port.gateway");
}

#[test]
fn an_mqtt_port_is_proved_by_its_own_protocol() {
    let broker = Broker::builder()
        .config("server_name: mqtt\nmqtt { listen: \"127.0.0.1:-1\" }")
        .config("jetstream { store_dir: \"@DIR@/js\" }")
        .start();
    let port: u16 = eventually("the MQTT listener", || {
        let log = broker.log();
        let (_, behind) = log.split_once("Listening for MQTT clients on mqtt://127.0.0.1:")?;
        behind.lines().next()?.trim().parse().ok()
    });
    let diagnosis = examine(&format!("ws://127.0.0.1:{port}"));
    let finding = diagnosis.fails_with("port.mqtt");
    assert_eq!(finding["certainty"], "certain");
    assert!(text_of(finding).contains(&broker.ws_url()));
}

#[test]
fn a_client_url_to_another_port_of_the_server_is_corrected() {
    let broker = Broker::builder().monitored().start();
    let url = broker.ws_url().replace("ws://", "nats://");
    let diagnosis = examine(&url);
    let finding = diagnosis.fails_with("url.nats-scheme-on-websocket-port");
    assert!(text_of(finding).contains(&broker.ws_url()));
    assert!(text_of(finding).contains(&broker.client_url()));
}

#[test]
fn a_stopped_server_is_told_from_a_missing_one() {
    let broker = Broker::start();
    broker.signal(Signal::STOP);
    let diagnosis = examine(&broker.ws_url());
    let finding = diagnosis.fails_with("port.frozen");
    assert!(text_of(finding).contains("kill -CONT"));
    broker.signal(Signal::CONT);
}

#[test]
fn other_protocols_are_named_by_their_banners() {
    for (banner, code, name) in [
        ("SSH-2.0-OpenSSH_9.2p1\r\n", "port.ssh", "SSH"),
        ("220 mx ESMTP\r\n", "port.other-protocol", "mail server"),
        ("Welcome\r\n", "port.other-protocol", "Welcome"),
    ] {
        let port = ScriptedPort::start(move |mut stream| {
            let _ = stream.write_all(banner.as_bytes());
            keep(&mut stream);
        });
        let diagnosis = examine(&port.ws_url());
        assert!(text_of(diagnosis.fails_with(code)).contains(name));
    }
}

#[test]
fn an_end_without_a_word_has_no_certain_cause() {
    let closing = ScriptedPort::start(drop);
    let diagnosis = examine(&closing.ws_url());
    let finding = diagnosis.fails_with("port.no-backend");
    assert_ne!(finding["certainty"], "certain");
    // What is left unread makes the system reset the connection.
    let resetting = ScriptedPort::start(|stream| _ = stream.peek(&mut [0]));
    let diagnosis = examine(&resetting.ws_url());
    let finding = diagnosis.fails_with("port.hangs-up");
    assert_ne!(finding["certainty"], "certain");
}

#[test]
fn silence_has_no_certain_cause() {
    let port = ScriptedPort::start(|mut stream| keep(&mut stream));
    let diagnosis = examine(&port.ws_url());
    let finding = diagnosis.fails_with("port.silent");
    assert_eq!(finding["certainty"], "possible");
}

#[test]
fn a_listener_that_expects_a_proxy_header_is_proved() {
    for version_2 in [false, true] {
        let port = ScriptedPort::start(move |mut stream| {
            let bytes = read_some(&mut stream);
            let prefix: &[u8] = if version_2 {
                b"\r\n\r\n\0\r\nQUIT\n"
            } else {
                b"PROXY TCP4 "
            };
            if bytes.starts_with(prefix) {
                let _ = stream.write_all(ANY_HTTP);
            }
        });
        let diagnosis = examine(&port.ws_url());
        let finding = diagnosis.fails_with("proxy.protocol-expected");
        assert_eq!(finding["certainty"], "certain");
    }
}

#[test]
fn a_load_balancer_with_a_dead_server_answers_sometimes() {
    let n_upgrades = AtomicUsize::new(0);
    let port = ScriptedPort::start(move |mut stream| {
        let bytes = read_some(&mut stream);
        let is_upgrade = String::from_utf8_lossy(&bytes).contains("Sec-WebSocket-Key");
        if is_upgrade && n_upgrades.fetch_add(1, Ordering::SeqCst) > 0 {
            let _ = stream.write_all(ANY_HTTP);
        }
    });
    examine(&port.ws_url()).fails_with("port.flapping");
}

#[test]
fn info_that_comes_only_once_asked_is_that_of_a_server_behind_a_proxy() {
    let port = ScriptedPort::start(|mut stream| {
        if read_some(&mut stream).starts_with(b"GET ") {
            let _ = stream.write_all(INFO);
        }
    });
    let diagnosis = examine(&port.ws_url());
    let finding = diagnosis.fails_with("proxy.upstream-is-client-port");
    assert!(text_of(finding).contains("proxy_pass"));
}

#[test]
fn frames_of_http_2_are_no_answer_to_an_upgrade() {
    let settings = b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x80";
    let port = ScriptedPort::answering(settings);
    examine(&port.ws_url()).fails_with("proxy.http2-only");
}

#[test]
fn upgrades_that_are_swallowed_are_told_from_a_dead_port() {
    let port = ScriptedPort::start(|mut stream| {
        let bytes = read_some(&mut stream);
        let text = String::from_utf8_lossy(&bytes);
        if text.starts_with("GET ") && !text.contains("Upgrade") {
            let _ = stream.write_all(ANY_HTTP);
        }
        keep(&mut stream);
    });
    examine(&port.ws_url()).fails_with("proxy.blocks-upgrade");
}

#[test]
fn half_an_answer_is_named() {
    let port = ScriptedPort::answering("HTTP/1.1 101 Switching Proto");
    examine(&port.ws_url()).fails_with("proxy.cut-answer");
}
