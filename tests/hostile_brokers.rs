//! Anything at all may come from the network: it ends in a message that can be read, never in a panic, a hang or
//! unbounded memory.

use natsbench::cli::exit;
use serde_json::Value;

use crate::harness::{FakeBroker, Finished, Greeting, Natsbench, Script};

const INFO: &[u8] = br#"INFO {"server_id":"F","version":"2.99.0","proto":1,"max_payload":1048576}"#;

fn latency(url: &str, args: &[&str]) -> Finished {
    let head = [
        "latency",
        "--rate",
        "1000",
        "--duration",
        "300ms",
        "--warmup",
        "0s",
        "--drain",
        "300ms",
        "--timeout",
        "2s",
        "-o",
        "json",
        "--server",
        url,
    ];
    Natsbench::new([&head[..], args].concat()).run()
}

/// A run that could not begin: exit 3, nothing on stdout, and one screen of text that says why.
#[track_caller]
fn assert_refused(greeting: Greeting, because: &str) {
    let broker = FakeBroker::start(Script::new().greeting(greeting));
    let finished = latency(&broker.ws_url(), &[]).exits(exit::UNREACHABLE);
    let stderr = &finished.stderr;
    assert_eq!(finished.stdout, "");
    assert!(stderr.contains(because), "`{because}` is not in:\n{stderr}");
    assert!(
        stderr.lines().count() <= 24 && stderr.len() < 4_000,
        "{stderr}"
    );
    assert!(!stderr.contains("panicked"), "{stderr}");
    let is_readable = |c: char| c == '\n' || !c.is_control();
    assert!(stderr.chars().all(is_readable), "{stderr:?}");
}

#[test]
fn an_answer_to_the_upgrade_that_is_no_http_is_refused() {
    assert_refused(
        Greeting::Bytes(vec![]),
        "closed during the WebSocket upgrade",
    );
    assert_refused(
        Greeting::Bytes(b"\x00\x1b[31m\xff\xfe garbage\r\n\r\n".to_vec()),
        "not HTTP",
    );
    assert_refused(
        Greeting::Bytes(b"SSH-2.0-OpenSSH_9.9\r\n".to_vec()),
        "not HTTP",
    );
    assert_refused(Greeting::Bytes([INFO, b"\r\n"].concat()), "not HTTP");
}

#[test]
fn an_answer_to_the_upgrade_that_is_another_http_answer_is_refused() {
    let refusal = b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno\n".to_vec();
    assert_refused(Greeting::Bytes(refusal), "404");
    let incomplete =
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
            .to_vec();
    assert_refused(Greeting::Bytes(incomplete), "Sec-WebSocket-Accept");
    assert_refused(
        Greeting::Bytes(b"HTTP/1.1 101 Switching Proto".to_vec()),
        "closed during the WebSocket upgrade",
    );
}

#[test]
fn an_answer_to_the_upgrade_without_end_is_cut_off() {
    assert_refused(
        Greeting::Endless("X-Filler: 0123456789012345678901234567890123456789012345\r\n"),
        "error",
    );
    assert_refused(Greeting::Endless("0123456789"), "error");
}

#[test]
fn info_that_is_none_is_refused() {
    assert_refused(
        Greeting::Nats(b"HELLO\r\n".to_vec()),
        "unknown operation `HELLO`",
    );
    assert_refused(Greeting::Nats(b"INFO {not json}\r\n".to_vec()), "INFO");
    let huge = [
        &b"INFO {\"server_id\":\""[..],
        &vec![b'x'; 3 << 20],
        b"\"}\r\n",
    ]
    .concat();
    assert_refused(Greeting::Nats(huge), "longer than");
    assert_refused(Greeting::Nats(b"+OK\r\n".to_vec()), "INFO");
}

#[test]
fn lengths_that_nobody_can_mean_are_refused_before_anything_is_allocated() {
    let messages = [
        "MSG a 1 99999999999999999999\r\n",
        "MSG a 1 18446744073709551615\r\n",
        "MSG a 1 9999999999\r\n",
        "MSG a 1 -1\r\n",
        "HMSG a 1 20 10\r\n",
    ];
    for message in messages {
        let bytes = [INFO, b"\r\n", message.as_bytes()].concat();
        assert_refused(Greeting::Nats(bytes), "MSG");
    }
    // A frame of 2^63 - 1 bytes, and one of 16 GiB.
    let frames = [
        [0x82, 127, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
        [0x82, 127, 0, 0, 0, 4, 0, 0, 0, 0],
    ];
    for frame in frames {
        assert_refused(Greeting::Frames(frame.to_vec()), "INFO");
    }
}

#[test]
fn a_connection_that_ends_in_the_middle_of_its_first_frame_is_refused() {
    assert_refused(Greeting::Frames(vec![]), "INFO");
    assert_refused(Greeting::Frames(vec![0x82]), "INFO");
    assert_refused(
        Greeting::Frames(b"\x82\x7e\x01\x00INFO {\"serv".to_vec()),
        "INFO",
    );
    // A reserved opcode, and a masked frame, which a server must not send.
    assert_refused(Greeting::Frames(vec![0x83, 0]), "INFO");
}

/// A run that began: its result says that the connection was lost, and what there was until then.
#[track_caller]
fn lost_in_mid_run(script: Script, because: &str) -> Value {
    let broker = FakeBroker::start(script);
    let finished = latency(&broker.ws_url(), &["--max-reconnects", "0"]).exits(exit::UNREACHABLE);
    assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
    let result = finished.json();
    assert_eq!(result["ended"], "connection-lost");
    assert!(
        result["trust"]["doubts"].to_string().contains(because),
        "`{because}`: {result}"
    );
    result
}

#[test]
fn a_broker_that_breaks_the_protocol_in_mid_run_leaves_a_partial_result() {
    let faults = [
        ("MSG rounds.game.crash 1 9999999999\r\n", "9999999999"),
        ("MSG rounds.game.crash 1 3\r\nabcdef\r\n", "CR LF"),
        ("\r\n\r\n", "unknown operation"),
        ("GARBAGE\r\n", "GARBAGE"),
    ];
    for (lines, because) in faults {
        let result = lost_in_mid_run(Script::new().inject(100, lines), because);
        let count = |name: &str| result["load"][name].as_u64().expect("a count");
        assert_eq!(count("received"), 100, "{result}");
        assert_eq!(
            count("received") + count("lost") + count("in_doubt"),
            count("sent")
        );
    }
}

#[test]
fn a_connection_that_ends_in_the_middle_of_a_frame_in_mid_run_leaves_a_partial_result() {
    let result = lost_in_mid_run(
        Script::new().cut_in_mid_frame(100),
        "the connection of subscriber 0 was lost",
    );
    assert_eq!(result["load"]["received"], 100);
    let count = |name: &str| result["load"][name].as_u64().expect("a count");
    assert_eq!(
        count("received") + count("lost") + count("in_doubt"),
        count("sent")
    );
}

#[test]
fn what_the_broker_complains_about_is_shown() {
    let broker = FakeBroker::start(
        Script::new().inject(100, "-ERR 'Permissions Violation for Publish to \"x\"'\r\n"),
    );
    let result = latency(&broker.ws_url(), &[])
        .exits(exit::INCONCLUSIVE)
        .json();
    assert_eq!(result["load"]["refused"], 1);
    assert!(
        result["trust"]["doubts"]
            .to_string()
            .contains("Permissions Violation"),
        "{result}"
    );
}

#[test]
fn pings_without_end_disturb_nothing() {
    let broker = FakeBroker::start(Script::new().ping(500));
    let result = latency(&broker.ws_url(), &["--slo", "lost==0"])
        .exits(exit::PASSED)
        .json();
    assert_eq!(result["load"]["received"], 300);
}

#[test]
fn a_broker_that_pings_and_reads_no_answer_cannot_hold_up_the_end() {
    let broker = FakeBroker::start(Script::new().ping(5_000).deaf_to_subscribers());
    let finished = latency(&broker.ws_url(), &[]);
    let result = finished.json();
    let count = |name: &str| result["load"][name].as_u64().expect("a count");
    assert_eq!(
        count("received") + count("lost") + count("in_doubt"),
        count("sent"),
        "{result}"
    );
}

#[test]
fn a_broker_that_answers_no_ping_is_not_waited_for() {
    // Given a broker that answers PING until the first message
    let broker = FakeBroker::start(Script::new().end_pongs(1));
    let url = broker.ws_url();
    // When everything arrives, then a `latency` run needs no answer
    let result = latency(&url, &["--slo", "lost==0"])
        .exits(exit::PASSED)
        .json();
    assert_eq!(result["load"]["received"], 300);
    // And a `pub` says that it does not know
    let broker = FakeBroker::start(Script::new().end_pongs(1));
    let url = broker.ws_url();
    let published = Natsbench::new([
        "pub", "--rate", "1000", "--count", "50", "-o", "json", "--server", &url,
    ])
    .run();
    let result = published.exits(exit::INCONCLUSIVE).json();
    assert!(
        result["trust"]["doubts"]
            .to_string()
            .contains("100 messages are in doubt"),
        "{result}"
    );
}

#[test]
fn a_broker_that_never_answers_connect_is_given_up() {
    let broker = FakeBroker::start(Script::new().end_pongs(0));
    let finished = latency(&broker.ws_url(), &[]).exits(exit::UNREACHABLE);
    assert!(
        finished
            .stderr
            .contains("the answer to CONNECT took longer than"),
        "{}",
        finished.stderr
    );
}
