//! What carries the session: ws and nats, compressed or not, masked or not, and what the upgrade says.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread::JoinHandle;
use std::time::Duration;

use natsbench::cli::exit;
use natsbench::clock::mono_now;
use natsbench::net::dial::{DialError, connect_tcp, dial};
use natsbench::protocol::{ServerOp, encode};
use serde_json::Value;

use crate::harness::{Broker, completed, dial_options, latency, noise, publish, refused};

/// Every message has arrived once.
#[track_caller]
fn is_whole(result: &Value, n_expected: u64) {
    for (field, expected) in [
        ("expected", n_expected),
        ("received", n_expected),
        ("lost", 0),
        ("duplicated", 0),
        ("undecodable", 0),
    ] {
        assert_eq!(result["load"][field], expected, "{field}: {result}");
    }
}

#[test]
fn every_transport_carries_a_run_without_loss() {
    let broker = Broker::start();
    for url in [broker.ws_url(), broker.client_url()] {
        let args = [
            "-s",
            &url,
            "--publishers",
            "2",
            "--subscribers",
            "3",
            "--route",
            "both",
        ];
        let result = completed(&latency(&args).run());
        is_whole(&result, 100 * 2 * 3);
        assert_eq!(result["connection"]["compressed"], false);
        assert_eq!(result["connection"]["masked"], true);
        let has_upgrade = result["connection"]["upgrade_ns"].is_u64();
        assert_eq!(has_upgrade, url.starts_with("ws"));
    }
}

#[test]
fn compression_and_unmasked_frames_are_used_when_they_are_asked_for_and_agreed() {
    let broker = Broker::builder()
        .websocket("no_tls: true, compression: true")
        .start();
    let url = broker.ws_url();
    for (args, compressed, masked) in [
        (&[][..], false, true),
        (&["--compression"], true, true),
        (&["--no-masking"], false, false),
        (&["--compression", "--no-masking"], true, false),
    ] {
        for size in ["400", "150000"] {
            let sized = ["-s", &url, "--size", size, "--publishers", "2"];
            let result = completed(&latency(&[&sized[..], args].concat()).run());
            is_whole(&result, 100);
            for connection in ["connection", "publisher_connection"] {
                assert_eq!(
                    result[connection]["compressed"], compressed,
                    "{args:?}: {result}"
                );
                assert_eq!(result[connection]["masked"], masked, "{args:?}: {result}");
            }
        }
    }
}

#[test]
fn a_server_without_compression_is_used_without_it_and_the_result_says_so() {
    let broker = Broker::start();
    let result = completed(&latency(&["-s", &broker.ws_url(), "--compression"]).run());
    is_whole(&result, 100);
    assert_eq!(result["connection"]["compressed"], false);
}

#[tokio::test]
async fn frames_that_are_cut_small_for_a_browser_are_put_together() {
    // Given that nats-server sends a browser frames of at most 4096 bytes.
    let broker = Broker::builder()
        .websocket("no_tls: true, compression: true")
        .start();
    let target = broker.ws_url().parse().unwrap();
    for compression in [false, true] {
        let mut options = dial_options();
        options.user_agent = "Mozilla/5.0".to_owned();
        options.compression = compression;
        let (mut session, facts) = dial(&target, &options).await.unwrap();
        assert_eq!(facts.is_compressed, compression);
        encode::sub(session.out(), "noise", None, 1).unwrap();
        // When something comes back that no compression makes smaller.
        for n_bytes in [1, 4000, 5000, 300_000] {
            let payload = noise(7, n_bytes);
            encode::publish(session.out(), "noise", None, &payload).unwrap();
            session.flush().await.unwrap();
            let is_same = loop {
                match session.next_op().unwrap() {
                    Some(ServerOp::Msg(message)) => break message.payload == payload,
                    Some(_) => {}
                    None => session.read().await.unwrap(),
                }
            };
            assert!(is_same, "{n_bytes} bytes, compression {compression}");
        }
        session.close().await;
    }
}

#[test]
fn the_first_server_that_answers_is_used_and_named() {
    // Given a port that is taken and refuses.
    let closed = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    closed.bind(&any.into()).unwrap();
    let closed_port = closed.local_addr().unwrap().as_socket().unwrap().port();
    let broker = Broker::start();
    let servers = format!("ws://127.0.0.1:{closed_port}, {}", broker.ws_url());
    let result = completed(&latency(&["-s", &servers]).run());
    is_whole(&result, 100);
    for connection in ["connection", "publisher_connection"] {
        assert_eq!(result[connection]["url"], broker.ws_url());
    }
    let stderr = refused(publish(&["-s", &format!("ws://127.0.0.1:{closed_port}")]));
    assert!(stderr.contains("Connection refused"), "{stderr}");
}

/// Answers one upgrade with a refusal, and returns what was asked.
fn refusing_server() -> (u16, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("the socket does as it is told");
    let port = listener
        .local_addr()
        .expect("the socket does as it is told")
        .port();
    let served = std::thread::spawn(move || {
        let (mut peer, _) = listener.accept().expect("the socket does as it is told");
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            assert_eq!(
                peer.read(&mut byte).expect("the socket does as it is told"),
                1,
                "the request ends too early"
            );
            head.push(byte[0]);
        }
        peer.write_all(b"HTTP/1.1 418 I'm a teapot\r\nContent-Length: 13\r\n\r\nshort, stout\n")
            .expect("the socket does as it is told");
        String::from_utf8(head).expect("a request is text")
    });
    (port, served)
}

#[test]
fn the_upgrade_asks_for_what_was_typed() {
    let (port, served) = refusing_server();
    let stderr = refused(publish(&[
        "-s",
        &format!("ws://127.0.0.1:{port}/nats/x?y=z"),
        "--header",
        "X-One: 1",
        "--header",
        "x-two:  2 ",
        "--origin",
        "https://app.example",
        "--user-agent",
        "Mozilla/5.0 (X11)",
        "--compression",
        "--no-masking",
    ]));
    let head = served.join().unwrap();
    let mut lines = head.split("\r\n");
    assert_eq!(lines.next(), Some("GET /nats/x?y=z HTTP/1.1"));
    let lines: Vec<&str> = lines.collect();
    for line in [
        &format!("Host: 127.0.0.1:{port}"),
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "X-One: 1",
        "x-two: 2",
        "Origin: https://app.example",
        "User-Agent: Mozilla/5.0 (X11)",
        "Nats-No-Masking: true",
        "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover",
    ] {
        assert!(lines.contains(&line), "`{line}` is missing in:\n{head}");
    }
    for part in ["HTTP status 418", "short, stout"] {
        assert!(stderr.contains(part), "{stderr}");
    }
}

#[test]
fn an_origin_that_the_server_does_not_allow_is_refused_with_a_hint() {
    let broker = Broker::builder()
        .websocket("no_tls: true, allowed_origins: [\"https://app.example\"]")
        .start();
    let url = broker.ws_url();
    completed(&publish(&["-s", &url, "--origin", "https://app.example"]).run());
    // No browser, no origin.
    completed(&publish(&["-s", &url]).run());
    let stderr = refused(publish(&["-s", &url, "--origin", "https://evil.example"]));
    for part in ["HTTP status 403", "`--origin`"] {
        assert!(stderr.contains(part), "{stderr}");
    }
}

#[test]
fn the_wrong_port_is_recognised_by_what_it_says() {
    let broker = Broker::start();
    let ws_at_client = format!("ws://127.0.0.1:{}", broker.client_port());
    let stderr = refused(publish(&["-s", &ws_at_client]));
    for part in ["begins with: INFO", "this is the NATS client port"] {
        assert!(stderr.contains(part), "{stderr}");
    }
    let nats_at_ws = format!("nats://127.0.0.1:{}", broker.ws_port());
    let stderr = refused(publish(&["-s", &nats_at_ws, "--timeout", "300ms"]));
    for part in ["waiting for INFO", "use `ws://`"] {
        assert!(stderr.contains(part), "{stderr}");
    }
}

#[test]
fn a_flag_without_effect_on_any_server_is_wrong_usage() {
    for args in [
        &["-s", "nats://h", "--compression"][..],
        &["-s", "nats://h,tls://h", "--no-masking"],
        &["-s", "nats://h", "--header", "a: b"],
        &["-s", "nats://h", "--origin", "https://h"],
        &["-s", "ws://h", "--tlsfirst"],
        &["-s", "ws://h", "--header", "Upgrade: h2c"],
        &["-s", "ws://h", "--header", "no colon"],
    ] {
        let finished = publish(args).run().exits(exit::USAGE);
        assert!(
            finished.stderr.contains(args[2]) || finished.stderr.contains("header"),
            "{}",
            finished.stderr
        );
    }
}

/// An address where connections are neither taken nor refused: its queue is full.
fn silent_address() -> (socket2::Socket, Vec<socket2::Socket>, std::net::SocketAddr) {
    let new = || {
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)
            .expect("the socket does as it is told")
    };
    let listener = new();
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    listener
        .bind(&any.into())
        .expect("the socket does as it is told");
    listener.listen(0).expect("the socket does as it is told");
    let address = listener
        .local_addr()
        .expect("the socket does as it is told");
    let fill = || {
        let client = new();
        client
            .set_nonblocking(true)
            .expect("the socket does as it is told");
        // Not waited for: the first ones are taken, the others wait for ever.
        let _ = client.connect(&address);
        client
    };
    let clients = (0..4).map(|_| fill()).collect();
    (
        listener,
        clients,
        address.as_socket().expect("the socket does as it is told"),
    )
}

#[tokio::test]
async fn an_address_that_swallows_packets_does_not_hide_the_next() {
    let (_listener, _clients, silent) = silent_address();
    let answering = TcpListener::bind("127.0.0.1:0").unwrap();
    let good = answering.local_addr().unwrap();
    let tcp = connect_tcp(&[silent, good], Duration::from_secs(2))
        .await
        .unwrap();
    assert_eq!(tcp.peer_addr().unwrap(), good);

    // The limit is for all addresses together; one for each would be a minute.
    let started = mono_now();
    let failed = connect_tcp(&[silent; 60], Duration::from_secs(1)).await;
    let waited = Duration::from_nanos(mono_now().since(started));
    let Err(DialError::Tcp { attempts }) = failed else {
        panic!("{failed:?}")
    };
    assert_eq!(attempts.len(), 60);
    assert!(waited < Duration::from_secs(20), "{waited:?}");
}
