//! Tests of the session against peers that are written out byte by byte.

use std::time::Duration;

use proptest::prelude::*;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::*;
use crate::net::ws::deflate::Deflater;

/// Longer than anything that works takes.
const DEADLINE: Duration = Duration::from_secs(30);

/// A connected pair with small kernel buffers, so that a peer that does not read blocks us soon.
async fn pair() -> (Stream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(4096).unwrap();
    let (ours, theirs) = tokio::join!(
        socket.connect(listener.local_addr().unwrap()),
        listener.accept()
    );
    let theirs = theirs.unwrap().0;
    socket2::SockRef::from(&theirs)
        .set_recv_buffer_size(4096)
        .unwrap();
    (Stream::tcp(ours.unwrap()), theirs)
}

fn mode(is_compressed: bool) -> WebSocketMode {
    WebSocketMode {
        is_compressed,
        is_masked: true,
        read_buffer_bytes: 4096,
    }
}

async fn deflate_session() -> (Session, TcpStream) {
    let (stream, peer) = pair().await;
    let session = Session::websocket(stream, Vec::new(), mode(true));
    (session, peer)
}

/// A frame as a server sends it.
fn frame(first_byte: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first_byte];
    match u8::try_from(payload.len()) {
        Ok(short) if short < 126 => bytes.push(short),
        _ => {
            bytes.push(126);
            bytes.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
        }
    }
    bytes.extend_from_slice(payload);
    bytes
}

fn deflated(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Deflater::default().deflate(payload, &mut out);
    out
}

/// Reads until an operation has arrived or the connection has ended.
async fn next(session: &mut Session) -> Result<String, SessionError> {
    loop {
        if let Some(op) = session.next_op()? {
            return Ok(format!("{op:?}"));
        }
        session.read().await?;
    }
}

/// The payloads of masked pongs.
fn pongs_of(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut payloads = Vec::new();
    while let [0x8A, length, a, b, c, d, rest @ ..] = bytes {
        let (payload, rest) = rest.split_at(usize::from(length & 0x7F));
        let mut payload = payload.to_vec();
        crate::net::ws::frame::apply_mask(&mut payload, [*a, *b, *c, *d]);
        payloads.push(payload);
        bytes = rest;
    }
    assert_eq!(bytes, b"", "something else than pongs");
    payloads
}

#[tokio::test]
async fn a_read_that_is_dropped_takes_no_pong_with_it() {
    // Given a peer that pings more than it reads, so that pongs are sent in pieces.
    const N_PINGS: u16 = 4000;
    let (mut session, mut peer) = deflate_session().await;
    let expected: Vec<Vec<u8>> = (0..N_PINGS).map(|k| k.to_be_bytes().repeat(60)).collect();
    let pings = expected
        .iter()
        .flat_map(|payload| frame(0x89, payload))
        .collect::<Vec<_>>();
    // When every read is dropped again and again while it waits.
    let reading = async {
        loop {
            let read = tokio::time::timeout(Duration::from_micros(200), session.read()).await;
            if let Ok(Err(error)) = read {
                return error;
            }
        }
    };
    let answering = async {
        peer.write_all(&pings).await.unwrap();
        let mut received = vec![0; usize::from(N_PINGS) * 126];
        peer.read_exact(&mut received).await.unwrap();
        peer.shutdown().await.unwrap();
        received
    };
    let both = async { tokio::join!(reading, answering) };
    let (error, received) = tokio::time::timeout(DEADLINE, both).await.unwrap();
    // Then every ping has its answer, whole and in order.
    assert!(matches!(error, SessionError::Eof), "{error}");
    assert_eq!(pongs_of(&received), expected);
}

#[tokio::test]
async fn what_comes_with_the_close_frame_is_read_before_it() {
    for is_compressed in [true, false] {
        let (stream, mut peer) = pair().await;
        let mut session = Session::websocket(stream, Vec::new(), mode(is_compressed));
        let refusal = frame(0x82, b"-ERR 'Authorization Violation'\r\n");
        let close = frame(0x88, b"\x03\xF0Authentication Failure");
        peer.write_all(&[refusal, close].concat()).await.unwrap();
        assert_eq!(
            next(&mut session).await.unwrap(),
            "Err(\"Authorization Violation\")"
        );
        let ended = next(&mut session).await.unwrap_err();
        assert_eq!(
            ended.to_string(),
            "the server closed the WebSocket with code 1008: Authentication Failure"
        );
    }
}

#[tokio::test]
async fn a_compressed_message_may_come_in_fragments_with_a_ping_between_them() {
    let (mut session, mut peer) = deflate_session().await;
    let message = deflated(b"MSG rounds.game.crash 1 5\r\nhello\r\n");
    let (head, tail) = message.split_at(10);
    let stream = [
        frame(0x42, head),
        frame(0x89, b"are you there"),
        frame(0x80, tail),
        frame(0x82, b"PING\r\n"),
    ];
    peer.write_all(&stream.concat()).await.unwrap();
    assert!(next(&mut session).await.unwrap().starts_with("Msg"));
    assert_eq!(next(&mut session).await.unwrap(), "Ping");
    let mut answer = [0; 6 + 13];
    peer.read_exact(&mut answer).await.unwrap();
    assert_eq!(pongs_of(&answer), [b"are you there".to_vec()]);
}

#[tokio::test]
async fn frames_in_an_order_that_makes_no_sense_end_the_session() {
    for (stream, expected) in [
        (
            [frame(0x02, b"PI"), frame(0x82, b"PING\r\n")].concat(),
            "begins before",
        ),
        (frame(0x80, b"PING\r\n"), "continues nothing"),
        (
            [frame(0x42, b"PI"), frame(0xC0, b"NG\r\n")].concat(),
            "reserved bits",
        ),
        (frame(0xC9, b"x"), "reserved bits"),
        (frame(0x83, b"x"), "unknown opcode"),
        (frame(0xC2, b"\xff\xff\xff\xff"), "cannot be inflated"),
    ] {
        let (mut session, mut peer) = deflate_session().await;
        peer.write_all(&stream).await.unwrap();
        let error = next(&mut session).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn a_peer_that_pings_without_end_and_never_reads_is_given_up() {
    let ping = frame(0x89, &[7; 125]).repeat(100);
    for is_detached in [false, true] {
        let (mut session, mut peer) = deflate_session().await;
        let _writer = is_detached.then(|| session.detach_writer().unwrap());
        let pinging = async { while peer.write_all(&ping).await.is_ok() {} };
        let given_up = tokio::select! {
            ended = next(&mut session) => ended.unwrap_err(),
            () = pinging => panic!("the peer can write no more, but the session is open"),
            () = tokio::time::sleep(DEADLINE) => panic!("the session goes on"),
        };
        assert!(matches!(given_up, SessionError::Io(_)), "{given_up}");
    }
}

#[tokio::test]
async fn the_writing_side_is_detached_once() {
    for is_compressed in [true, false] {
        let (stream, _peer) = pair().await;
        let mut session = Session::websocket(stream, Vec::new(), mode(is_compressed));
        let _writer = session.detach_writer().unwrap();
        let error = session.detach_writer().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    }
}

#[tokio::test]
async fn a_session_without_its_writing_side_says_no_goodbye() {
    for is_websocket in [true, false] {
        let (stream, mut peer) = pair().await;
        let mut session = if is_websocket {
            Session::websocket(stream, Vec::new(), mode(false))
        } else {
            Session::plain(stream, 4096)
        };
        let mut writer = session.detach_writer().unwrap();
        session.close().await;
        let mut batch = crate::net::direct::Batch::default();
        batch.out().extend_from_slice(b"PING\r\n");
        writer.send(&mut batch).unwrap();
        drop(writer);
        let mut received = Vec::new();
        peer.read_to_end(&mut received).await.unwrap();
        assert_eq!(received.len(), if is_websocket { 6 + 6 } else { 6 });
    }
}

/// Feeds a peer's bytes to a session over each framing; it has to end by itself.
async fn survives(bytes: &[u8]) {
    for framing in 0..3 {
        let (stream, mut peer) = pair().await;
        let mut session = match framing {
            0 => Session::plain(stream, 4096),
            _ => Session::websocket(stream, Vec::new(), mode(framing == 1)),
        };
        let sending = async {
            // The session may end before it has read everything.
            let _ = peer.write_all(bytes).await;
            let _ = peer.shutdown().await;
        };
        let reading = async {
            while next(&mut session).await.is_ok() {}
            // The peer must not wait for a session that has ended.
            drop(session);
        };
        let both = async { tokio::join!(sending, reading) };
        tokio::time::timeout(DEADLINE, both)
            .await
            .expect("the session has ended");
    }
}

/// Pieces of which nonsense is made that gets further than plain noise.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let payload = prop::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        payload.clone(),
        (any::<u8>(), payload.clone()).prop_map(|(first, payload)| frame(first, &payload)),
        payload.prop_map(|payload| frame(0xC2, &deflated(&payload))),
        Just(frame(0xC2, &deflated(b"MSG a 1 2\r\nhi\r\n"))),
        Just(frame(0x82, b"MSG a 1 99999999\r\n")),
        Just(b"MSG a 1 67108864\r\n".to_vec()),
        Just(b"INFO {}\r\n".to_vec()),
        Just(frame(0x02, b"PI")),
        Just(frame(0x80, b"NG\r\n")),
        Just(vec![0x82, 127, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_a_peer_sends_the_session_ends(pieces in prop::collection::vec(piece(), 0..12)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(survives(&pieces.concat()));
    }
}
