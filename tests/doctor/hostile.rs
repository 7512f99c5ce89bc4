//! `doctor`: whatever comes from the other side, it ends in time, in little memory, with a finding that can be read.

use std::io::{Read as _, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::harness::{Natsbench, ScriptedPort, noise, pass_time};

/// Most memory that an examination may have resident.
const MAX_KIB: u64 = 64 << 10;
/// Time limit of a step in these tests, and with it of everything: three times that.
const TIMEOUT: &str = "1s";
/// An examination ends within this, on a machine that does other things, too.
const MAX_DURATION: Duration = Duration::from_secs(15);
const INFO: &str = r#"INFO {"server_id":"F","version":"2.15.1","proto":1,"headers":true,"max_payload":1048576,"client_id":1}"#;

/// Runs `doctor` against a port, with everything asked for, and watches its memory.
#[track_caller]
fn examine(url: &str) -> Value {
    let run = Natsbench::new([
        "doctor",
        "--server",
        url,
        "--format",
        "json",
        "--timeout",
        TIMEOUT,
        "--jetstream",
        "--request",
        "--publish",
        "rounds.game.crash",
        "rounds.>",
    ])
    .spawn();
    let peak_kib = run.peak_kib();
    let finished = run.wait();
    assert!(!finished.stderr.contains("panicked"), "{finished:?}");
    assert!(peak_kib < MAX_KIB, "{peak_kib} KiB");
    assert_eq!(finished.code, Some(4), "{finished:?}");
    let result: Value = serde_json::from_str(&finished.stdout).expect("JSON");
    assert!(result["findings"][0]["title"].is_string(), "{result:#}");
    let took = result["duration_ns"].as_u64().expect("a number");
    assert!(u128::from(took) < MAX_DURATION.as_nanos(), "{took} ns");
    // What the other side says is evidence, not a text of its own.
    assert!(finished.stdout.len() < 100_000, "{}", finished.stdout.len());
    result
}

/// Writes again and again, until the client has had enough.
fn flood(mut stream: TcpStream, bytes: &[u8]) {
    while stream.write_all(bytes).is_ok() {}
}

/// Reads the head of a request.
fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && request.len() < 64 << 10 {
        match stream.read(&mut byte) {
            Ok(1) => request.push(byte[0]),
            _ => break,
        }
    }
    String::from_utf8_lossy(&request).into_owned()
}

/// Answers the upgrade as it should be; `false` if there was none.
fn switch_protocols(stream: &mut TcpStream) -> bool {
    let request = read_request(stream);
    let key = request
        .lines()
        .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
    let Some(key) = key else { return false };
    let accept = derive_accept_key(key.trim().as_bytes());
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).is_ok()
}

/// A binary frame.
fn frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x82];
    match payload.len() {
        n_bytes @ 0..=125 => frame.push(u8::try_from(n_bytes).expect("at most 125")),
        n_bytes => {
            frame.push(127);
            frame.extend_from_slice(&(n_bytes as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}

/// A port that speaks WebSocket and begins with INFO, and then floods.
fn flooding_after_info(bytes: &'static str) -> ScriptedPort {
    ScriptedPort::start(move |mut stream| {
        if switch_protocols(&mut stream) {
            let _ = stream.write_all(&frame(format!("{INFO}\r\n").as_bytes()));
            let many = frame(bytes.repeat(64).as_bytes());
            flood(stream, &many);
        }
    })
}

#[test]
fn random_bytes_in_answer_to_the_upgrade() {
    for seed in 1..4 {
        let port = ScriptedPort::answering(noise(seed, 100_000));
        examine(&port.ws_url());
    }
}

#[test]
fn random_bytes_before_anything_was_asked() {
    let port = ScriptedPort::start(|stream| flood(stream, &noise(5, 64 << 10)));
    examine(&port.ws_url());
}

#[test]
fn endless_headers() {
    let port = ScriptedPort::start(|mut stream| {
        read_request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n");
        flood(stream, &b"X-More: and more and more\r\n".repeat(100));
    });
    examine(&port.ws_url());
}

#[test]
fn an_endless_body() {
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n",
        "HTTP/1.1 400 Bad Request\r\nContent-Length: 18446744073709551615\r\n\r\n",
        "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
    ] {
        let port = ScriptedPort::start(move |mut stream| {
            read_request(&mut stream);
            let _ = stream.write_all(head.as_bytes());
            flood(stream, &[b'<'; 8192]);
        });
        examine(&port.ws_url());
    }
}

#[test]
fn a_slow_drip() {
    let port = ScriptedPort::start(|mut stream| {
        read_request(&mut stream);
        for byte in b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
            .iter()
            .cycle()
        {
            if stream.write_all(&[*byte]).is_err() {
                break;
            }
            pass_time(Duration::from_millis(30));
        }
    });
    examine(&port.ws_url());
}

#[test]
fn a_frame_that_announces_more_than_there_is_memory() {
    let port = ScriptedPort::start(|mut stream| {
        if switch_protocols(&mut stream) {
            let mut head = vec![0x82, 127];
            head.extend_from_slice(&(i64::MAX as u64).to_be_bytes());
            let _ = stream.write_all(&head);
            flood(stream, &[b'I'; 8192]);
        }
    });
    examine(&port.ws_url());
}

#[test]
fn an_info_without_end() {
    let port = ScriptedPort::start(|mut stream| {
        if switch_protocols(&mut stream) {
            let _ = stream.write_all(&frame(b"INFO {\"a\":\""));
            flood(stream, &frame(&[b'x'; 8192]));
        }
    });
    examine(&port.ws_url());
}

#[test]
fn an_info_that_is_nested_very_deeply() {
    let port = ScriptedPort::start(|mut stream| {
        if switch_protocols(&mut stream) {
            let info = format!("INFO {{\"x\":{}\r\n", "[".repeat(500_000));
            let _ = stream.write_all(&frame(info.as_bytes()));
            read_request(&mut stream);
        }
    });
    examine(&port.ws_url());
}

#[test]
fn an_info_that_advertises_very_many_servers() {
    let port = ScriptedPort::start(|mut stream| {
        if switch_protocols(&mut stream) {
            let urls = vec!["\"127.0.0.1:1\""; 50_000].join(",");
            let info = format!(
                "{},\"connect_urls\":[{urls}]}}\r\n",
                &INFO[..INFO.len() - 1]
            );
            let _ = stream.write_all(&frame(info.as_bytes()));
            read_request(&mut stream);
        }
    });
    examine(&port.ws_url());
}

#[test]
fn operations_without_end_after_info() {
    for flood in [
        "PING\r\n",
        "PONG\r\n-ERR 'never enough'\r\n",
        "-ERR 'no'\r\n",
        "INFO {\"server_id\":\"G\",\"connect_info\":true}\r\n",
        "+OK\r\n",
        "MSG rounds.game.crash 1 2\r\nhi\r\n",
        "MSG rounds.game.crash 1 99999999999999999999\r\n",
        "nonsense\r\n",
    ] {
        let port = flooding_after_info(flood);
        let url = port.ws_url();
        let finished = Natsbench::new([
            "doctor",
            "--server",
            &url,
            "--format",
            "json",
            "--timeout",
            TIMEOUT,
            "--jetstream",
            "rounds.>",
        ])
        .run();
        assert!(
            !finished.stderr.contains("panicked"),
            "{flood}: {finished:?}"
        );
        assert!(
            matches!(finished.code, Some(0 | 4)),
            "{flood}: {finished:?}"
        );
        serde_json::from_str::<Value>(&finished.stdout).expect("JSON");
    }
}

#[test]
fn a_flood_of_tls_records() {
    // Empty handshake records, warnings, changes of the cipher, and a ServerHello that announces 16 MiB.
    let records: [&[u8]; 4] = [
        &[0x16, 3, 3, 0, 0],
        &[0x15, 3, 3, 0, 2, 1, 90],
        &[0x14, 3, 3, 0, 1, 1],
        &[0x16, 3, 3, 0, 4, 2, 0xff, 0xff, 0xff],
    ];
    for record in records {
        let port = ScriptedPort::start(move |mut stream| {
            let mut hello = [0; 1024];
            let _ = stream.read(&mut hello);
            flood(stream, &record.repeat(1_000));
        });
        examine(&format!("wss://127.0.0.1:{}", port.port()));
    }
}

#[test]
fn terminal_escapes_and_line_breaks_stay_harmless_in_every_format() {
    let evil = "\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m::error::gotcha|<b>`x`\u{202e}";
    let reply = format!(
        "HTTP/1.1 503 {evil}\r\nServer: {evil}\r\nWWW-Authenticate: {evil}\r\nContent-Type: text/plain\r\n\r\n{evil}\n::error::second line"
    );
    let port = ScriptedPort::answering(reply.into_bytes());
    for format in ["human", "json", "junit", "github", "nagios", "markdown"] {
        let url = port.ws_url();
        let finished = Natsbench::new([
            "doctor",
            "--server",
            &url,
            "--timeout",
            TIMEOUT,
            "--format",
            format,
        ])
        .run();
        let text = &finished.stdout;
        assert!(!text.is_empty(), "{format}: {finished:?}");
        let is_readable = |c: char| c == '\n' || !c.is_control();
        assert!(text.chars().all(is_readable), "{format}: {text:?}");
        let n_commands = text
            .lines()
            .filter(|line| line.starts_with("::error::"))
            .count();
        assert_eq!(n_commands, 0, "{format}: {text}");
    }
}
