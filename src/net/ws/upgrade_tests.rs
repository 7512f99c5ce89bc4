//! Tests of the HTTP upgrade against answers that are written out.

use super::*;
use proptest::prelude::*;

async fn answer(reply: &str) -> Result<Upgraded, UpgradeError> {
    answer_to(&UpgradeRequest::default(), reply).await.0
}

/// Also returns the head of the request.
async fn answer_to(
    request: &UpgradeRequest,
    reply: &str,
) -> (Result<Upgraded, UpgradeError>, String) {
    // A tiny pipe finds framing faults: the answer comes in pieces of at most 16 bytes.
    let (mut client, mut server) = tokio::io::duplex(16);
    let request = UpgradeRequest {
        host: "h".into(),
        path_and_query: "/".into(),
        ..request.clone()
    };
    let serve = async {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            server.read_buf(&mut head).await.unwrap();
        }
        let head = String::from_utf8(head).unwrap();
        let key = head
            .lines()
            .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "))
            .unwrap();
        let reply = reply.replace("ACCEPT", &derive_accept_key(key.as_bytes()));
        // The client may have seen enough before everything is written.
        let _ = server.write_all(reply.as_bytes()).await;
        drop(server);
        head
    };
    tokio::join!(async move { upgrade(&mut client, &request).await }, serve)
}

/// The answer of a server that agrees, with further header lines.
fn agreed(lines: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: ACCEPT\r\n{lines}\r\n"
    )
}

#[tokio::test]
async fn a_list_of_connection_tokens_is_accepted_and_the_tail_is_kept() {
    let upgraded = answer(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
         Sec-WebSocket-Accept: ACCEPT\r\n\r\nXY",
    )
    .await
    .unwrap();
    assert!(b"XY".starts_with(&upgraded.tail));
    assert!(!upgraded.compressed);
}

#[tokio::test]
async fn a_refusal_keeps_status_headers_and_body() {
    let refused =
        answer("HTTP/1.1 403 Forbidden\r\nServer: nginx\r\nContent-Length: 10\r\n\r\nForbidden\n")
            .await;
    let Err(UpgradeError::Refused(reply)) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(
        (reply.status, reply.header("server"), &reply.body[..]),
        (403, Some("nginx"), &b"Forbidden\n"[..])
    );
}

#[tokio::test]
async fn the_chunks_of_a_refusal_are_joined_and_a_body_without_end_is_not_waited_for() {
    for (reply, body) in [
        (
            "HTTP/1.1 502 Bad Gateway\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbad \r\n7;x=y\r\ngateway\r\n0\r\n\r\n",
            "bad gateway",
        ),
        (
            "HTTP/1.1 502 Bad Gateway\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\nbad",
            "bad",
        ),
        (
            "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nabcdef",
            "abc",
        ),
        (
            "HTTP/1.1 404 Not Found\r\nContent-Length: -1\r\n\r\nabc",
            "abc",
        ),
        ("HTTP/1.1 304 Not Modified\r\n\r\nabc", ""),
    ] {
        let Err(UpgradeError::Refused(refused)) = answer(reply).await else {
            panic!("{reply}")
        };
        assert_eq!(String::from_utf8_lossy(&refused.body), body, "{reply}");
    }
}

#[tokio::test]
async fn a_server_that_never_ends_its_refusal_is_cut_short() {
    let (mut client, mut server) = tokio::io::duplex(1 << 16);
    let serve = async {
        server.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        // One byte now and then, for ever.
        while server.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let request = UpgradeRequest::default();
    let refused = tokio::select! {
        refused = upgrade(&mut client, &request) => refused,
        () = serve => panic!("it has not been cut short"),
    };
    let Err(UpgradeError::Refused(reply)) = refused else {
        panic!("{refused:?}")
    };
    assert!(reply.body.starts_with(b"xx"), "{reply:?}");
}

#[tokio::test]
async fn only_the_extension_that_was_offered_is_accepted() {
    const STATELESS: &str = "permessage-deflate; server_no_context_takeover";
    let offering = UpgradeRequest {
        compression: true,
        ..Default::default()
    };
    for (request, extension, is_accepted) in [
        (&UpgradeRequest::default(), STATELESS, false),
        (&offering, STATELESS, true),
        (&offering, deflate::OFFER, true),
        (
            &offering,
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=12",
            true,
        ),
        (
            &offering,
            "permessage-deflate; server_no_context_takeover; client_max_window_bits=12",
            false,
        ),
        (&offering, "permessage-deflate", false),
        (
            &offering,
            "permessage-deflate; server_no_context_takeover, x-other",
            false,
        ),
        (&offering, "", false),
    ] {
        let reply = agreed(&format!("Sec-WebSocket-Extensions: {extension}\r\n"));
        let answered = answer_to(request, &reply).await.0;
        match answered {
            Ok(upgraded) => assert!(is_accepted && upgraded.compressed, "{extension}"),
            Err(UpgradeError::Invalid { .. }) => assert!(!is_accepted, "{extension}"),
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn frames_are_masked_unless_the_server_agrees_otherwise() {
    let asking = UpgradeRequest {
        no_masking: true,
        ..Default::default()
    };
    for (request, line, is_unmasked) in [
        (&asking, "Nats-No-Masking: true\r\n", true),
        (&asking, "", false),
        (&asking, "Nats-No-Masking: false\r\n", false),
        // Nobody asked: to be safe, masked.
        (
            &UpgradeRequest::default(),
            "Nats-No-Masking: true\r\n",
            false,
        ),
    ] {
        let upgraded = answer_to(request, &agreed(line)).await.0.unwrap();
        assert_eq!(upgraded.unmasked, is_unmasked, "{line}");
    }
}

#[tokio::test]
async fn an_interim_answer_is_passed_over() {
    let reply = format!("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n{}", agreed(""));
    assert_eq!(answer(&reply).await.unwrap().reply.status, 101);
    let endless = "HTTP/1.1 100 Continue\r\n\r\n".repeat(100);
    assert!(matches!(
        answer(&endless).await,
        Err(UpgradeError::Refused(_))
    ));
}

#[tokio::test]
async fn a_subprotocol_that_nobody_asked_for_is_refused() {
    let reply = agreed("Sec-WebSocket-Protocol: mqtt\r\n");
    let error = answer(&reply).await.unwrap_err().to_string();
    assert!(error.contains("`mqtt`"), "{error}");
    let asking = UpgradeRequest {
        headers: vec![("sec-websocket-protocol".into(), "nats".into())],
        ..Default::default()
    };
    assert!(answer_to(&asking, &reply).await.0.is_ok());
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    let long = format!("HTTP/1.1 101 Ok\r\nX: {}", "x".repeat(MAX_HEAD_BYTES));
    assert!(matches!(
        answer(&long).await,
        Err(UpgradeError::HeadTooLong { .. })
    ));
    let many = format!("HTTP/1.1 101 Ok\r\n{}", "X: y\r\n".repeat(MAX_HEADERS + 1));
    assert!(matches!(
        answer(&many).await,
        Err(UpgradeError::TooManyHeaders { .. })
    ));
}

#[tokio::test]
async fn a_header_of_the_user_replaces_ours() {
    let request = UpgradeRequest {
        user_agent: "natsbench".into(),
        origin: Some("https://ours".into()),
        headers: [
            ("host", "vhost"),
            ("X-Twice", "1"),
            ("X-Twice", "2"),
            ("USER-AGENT", "theirs"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec(),
        ..Default::default()
    };
    let head = answer_to(&request, &agreed("")).await.1.to_lowercase();
    let count = |line: &str| head.matches(line).count();
    assert_eq!(
        (count("\r\nhost: "), count("\r\nhost: vhost\r\n")),
        (1, 1),
        "{head}"
    );
    assert_eq!(
        (
            count("\r\nuser-agent: "),
            count("\r\nuser-agent: theirs\r\n")
        ),
        (1, 1),
        "{head}"
    );
    assert_eq!(
        (count("\r\norigin: https://ours\r\n"), count("x-twice: ")),
        (1, 2),
        "{head}"
    );
}

proptest! {
    #[test]
    fn any_chunks_are_joined(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..50), 0..6), cut in any::<prop::sample::Index>()) {
        let mut raw: Vec<u8> = chunks.iter().flat_map(|chunk| {
            [format!("{:X}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat()
        }).collect();
        raw.extend(b"0\r\n\r\n");
        prop_assert_eq!(unchunked(&raw), (chunks.concat(), true));
        let (part, _) = unchunked(&raw[..cut.index(raw.len())]);
        prop_assert!(chunks.concat().starts_with(&part));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = unchunked(&bytes);
        let _ = parse_head(&bytes);
    }
}

#[tokio::test]
async fn a_wrong_accept_key_is_not_our_upgrade() {
    let invalid = answer(
        "HTTP/1.1 101 Ok\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
    )
    .await;
    assert!(
        matches!(invalid, Err(UpgradeError::Invalid { .. })),
        "{invalid:?}"
    );
}

#[tokio::test]
async fn something_else_than_http_is_shown() {
    let other = answer("INFO {\"server_id\":\"x\"}\r\n").await;
    let Err(UpgradeError::NotHttp { received }) = other else {
        panic!("{other:?}")
    };
    assert!(received.starts_with(b"INFO"));
    assert!(matches!(answer("").await, Err(UpgradeError::Closed { .. })));
}
