//! Peers that send anything at all: the whole way of connecting ends with an error, in time and in bounded memory.

use std::sync::atomic::{AtomicU64, Ordering};

use natsbench::net::dial::{DialError, dial};
use natsbench::net::session::SessionError;
use natsbench::net::target::Target;
use natsbench::net::ws::deflate::Deflater;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::harness::{DEADLINE, dial_options, noise};

/// What is between us and a peer that we have given up: kernel buffers, and what one read brings.
const SLACK_BYTES: u64 = 16 << 20;

/// Where a peer begins to misbehave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    /// On the client port, at once.
    Plain,
    /// In the answer to the upgrade.
    Upgrade,
    /// In the frames behind the upgrade.
    Frames,
    /// The same, compressed.
    DeflatedFrames,
}

/// Reads a request, and answers that its upgrade is granted.
async fn grant(peer: &mut TcpStream, extension: &str) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        peer.read_buf(&mut head)
            .await
            .expect("the socket does as it is told");
    }
    let head = String::from_utf8(head).expect("a request is text");
    let key = head
        .lines()
        .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "))
        .expect("a request has a key");
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n{extension}\r\n",
        derive_accept_key(key.as_bytes())
    );
    peer.write_all(answer.as_bytes())
        .await
        .expect("the socket does as it is told");
}

/// Dials a peer that sends `first` and then `again` and `again`. If there is a session, reads it to its end. Returns
/// how it ended and how many bytes the peer could send.
async fn meet(from: From, first: &[u8], again: &[u8]) -> (DialError, u64) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let scheme = if from == From::Plain { "nats" } else { "ws" };
    let url = format!(
        "{scheme}://{}",
        listener
            .local_addr()
            .expect("a bound socket has an address")
    );
    let target: Target = url.parse().expect("a valid URL");
    let n_sent = AtomicU64::new(0);
    let misbehaving = async {
        let (mut peer, _) = listener.accept().await.expect("a connection comes");
        match from {
            From::Plain | From::Upgrade => {}
            From::Frames => grant(&mut peer, "").await,
            From::DeflatedFrames => {
                let extension = "permessage-deflate; server_no_context_takeover";
                grant(
                    &mut peer,
                    &format!("Sec-WebSocket-Extensions: {extension}\r\n"),
                )
                .await;
            }
        }
        let mut bytes = first;
        while peer.write_all(bytes).await.is_ok() {
            n_sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            if again.is_empty() {
                // It neither goes on nor closes; whatever is said to it is taken.
                let _ = tokio::io::copy(&mut peer, &mut tokio::io::sink()).await;
                return;
            }
            bytes = again;
        }
    };
    let mut options = dial_options();
    options.compression = from == From::DeflatedFrames;
    let dialling = async {
        match dial(&target, &options).await {
            Err(error) => error,
            Ok((mut session, _)) => loop {
                match session.next_op() {
                    Ok(Some(_)) => {}
                    Ok(None) => {
                        if let Err(error) = session.read().await {
                            return DialError::ClosedAfterConnect(error);
                        }
                    }
                    Err(error) => return DialError::ClosedAfterConnect(error),
                }
            },
        }
    };
    let both = async { tokio::join!(dialling, misbehaving) };
    let (error, ()) = tokio::time::timeout(DEADLINE, both)
        .await
        .unwrap_or_else(|_| panic!("{from:?}: it never ended"));
    (error, n_sent.into_inner())
}

/// A frame as a server sends it.
fn frame(first_byte: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first_byte, 127];
    bytes.extend((payload.len() as u64).to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

const INFO: &[u8] =
    b"INFO {\"server_id\":\"x\",\"version\":\"2.15.1\",\"max_payload\":1048576}\r\n";

#[tokio::test]
async fn a_peer_that_never_stops_is_given_up_soon() {
    let ping = [0x89, 125]
        .into_iter()
        .chain([7; 125])
        .collect::<Vec<u8>>()
        .repeat(500);
    let line = vec![b'x'; 64 << 10];
    let header = b"X-Padding: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n".repeat(100);
    let cases: [(From, &[u8], &[u8], u64); 8] = [
        // A line without end.
        (From::Plain, b"INFO {", &line, 1 << 20),
        (From::Plain, b"HTTP/1.1 400 ", &line, 1 << 20),
        (
            From::Frames,
            &frame(0x82, b"INFO {"),
            &frame(0x82, &line),
            1 << 20,
        ),
        (
            From::DeflatedFrames,
            &frame(0x82, b"INFO {"),
            &frame(0x82, &line),
            1 << 20,
        ),
        // A head without end.
        (
            From::Upgrade,
            b"HTTP/1.1 101 Switching Protocols\r\n",
            &header,
            64 << 10,
        ),
        // A message of ever more fragments.
        (
            From::Frames,
            &frame(0x02, b"x"),
            &frame(0x00, &line),
            64 << 20,
        ),
        (
            From::DeflatedFrames,
            &frame(0x42, b"x"),
            &frame(0x00, &line),
            64 << 20,
        ),
        // Pings without end, whose answers nobody reads.
        (From::DeflatedFrames, &ping, &ping, 4 << 20),
    ];
    for (from, first, again, limit_bytes) in cases {
        let (error, n_sent) = meet(from, first, again).await;
        assert!(
            n_sent < limit_bytes + SLACK_BYTES,
            "{from:?}: it took {n_sent} bytes: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_length_that_is_only_announced_is_refused_before_its_bytes() {
    let huge_frame = [0x82, 127, 0, 0, 0, 1, 0, 0, 0, 0];
    let long_message = b"MSG a 1 99999999999\r\n";
    let logged_in = [INFO, b"PONG\r\n", long_message].concat();
    let mut bomb = Vec::new();
    Deflater::default().deflate(&vec![b'a'; 100 << 20], &mut bomb);
    for (from, bytes) in [
        (From::Frames, huge_frame.to_vec()),
        (From::DeflatedFrames, huge_frame.to_vec()),
        (From::Plain, long_message.to_vec()),
        (From::Plain, logged_in.clone()),
        (From::Frames, frame(0x82, &logged_in)),
        (From::DeflatedFrames, frame(0x82, &logged_in)),
        (From::DeflatedFrames, frame(0xC2, &bomb)),
    ] {
        let (error, _) = meet(from, &bytes, b"").await;
        assert!(
            matches!(
                error,
                DialError::NotNats(_)
                    | DialError::ClosedAfterConnect(_)
                    | DialError::ClosedBeforeInfo(_)
            ),
            "{from:?}: {error:?}"
        );
    }
}

#[tokio::test]
async fn noise_is_no_server() {
    for from in [
        From::Plain,
        From::Upgrade,
        From::Frames,
        From::DeflatedFrames,
    ] {
        for seed in 1..=20 {
            // Endless, so that no length in it is waited for until the time limit.
            let noise = noise(seed, 512);
            meet(from, &noise, &noise).await;
        }
    }
}

#[tokio::test]
async fn a_second_info_after_connect_changes_nothing() {
    let second = br#"INFO {"server_id":"x","connect_info":true,"remote_account":"A","ldm":true}"#;
    let stream = [
        INFO,
        b"PONG\r\n",
        second,
        b"\r\nPING\r\n-ERR 'bye'\r\nnonsense\r\n",
    ]
    .concat();
    for (from, bytes) in [
        (From::Plain, stream.clone()),
        (From::Frames, frame(0x82, &stream)),
        (From::DeflatedFrames, frame(0x82, &stream)),
    ] {
        let (error, _) = meet(from, &bytes, b"").await;
        // It comes as far as the nonsense behind it.
        let DialError::ClosedAfterConnect(SessionError::Protocol(error)) = error else {
            panic!("{from:?}: {error:?}")
        };
        assert!(error.to_string().contains("`nonsense`"), "{error}");
    }
}
