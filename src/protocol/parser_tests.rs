//! Tests of the parser.

use super::*;
use proptest::prelude::*;

fn parser() -> Parser {
    Parser::new(Limits::default())
}

/// Every operation of the pieces, as text, and the error that ended them.
fn ops_of(pieces: &[&[u8]]) -> (Vec<String>, Option<ProtocolError>) {
    let mut parser = parser();
    let mut ops = Vec::new();
    for piece in pieces {
        parser.feed(piece);
        loop {
            match parser.next_op() {
                Ok(Some(op)) => ops.push(format!("{op:?}")),
                Ok(None) => break,
                Err(error) => return (ops, Some(error)),
            }
        }
    }
    (ops, None)
}

fn one(stream: &[u8], check: impl FnOnce(ServerOp<'_>)) {
    let mut parser = parser();
    parser.feed(stream);
    check(parser.next_op().unwrap().unwrap());
    assert_eq!(parser.next_op().unwrap(), None);
    assert_eq!(parser.buffered_bytes(), 0);
}

#[test]
fn operations_of_one_line_are_read_in_any_case() {
    one(b"PING\r\n", |op| assert_eq!(op, ServerOp::Ping));
    one(b"pong\r\n", |op| assert_eq!(op, ServerOp::Pong));
    one(b"+OK\r\n", |op| assert_eq!(op, ServerOp::Ok));
    one(b"info {\"a\":1} \r\n", |op| {
        assert_eq!(op, ServerOp::Info(b"{\"a\":1}"));
    });
}

#[test]
fn an_error_keeps_its_text() {
    one(
        b"-ERR 'Permissions Violation for Publish to \"a'b\"'\r\n",
        |op| {
            assert_eq!(
                op,
                ServerOp::Err("Permissions Violation for Publish to \"a'b\"")
            );
        },
    );
    one(b"-ERR plain\r\n", |op| {
        assert_eq!(op, ServerOp::Err("plain"));
    });
    one(b"-ERR '\xff'\r\n", |op| {
        assert_eq!(op, ServerOp::Err("\u{fffd}"));
    });
}

#[test]
fn a_message_has_subject_sid_and_payload() {
    one(b"MSG rounds.game.crash 9 5\r\nhello\r\n", |op| {
        let expected = Msg {
            subject: b"rounds.game.crash",
            sid: 9,
            reply: None,
            headers: None,
            payload: b"hello",
        };
        assert_eq!(op, ServerOp::Msg(expected));
    });
    one(b"MSG\ta\t9 \treply  0\r\n\r\n", |op| {
        let expected = Msg {
            subject: b"a",
            sid: 9,
            reply: Some(b"reply"),
            headers: None,
            payload: b"",
        };
        assert_eq!(op, ServerOp::Msg(expected));
    });
}

#[test]
fn blanks_are_found_wherever_they_are() {
    for length in 0..20 {
        for at in 0..length {
            for byte in 0..=u8::MAX {
                let mut bytes = vec![0xFF; length];
                bytes[at] = byte;
                // A second one behind it must not hide the first.
                bytes.push(b' ');
                let expected = if byte <= b' ' { at } else { length };
                assert_eq!(
                    bytes_before_blank(&bytes),
                    Some(expected),
                    "{byte:#x} at {at} of {length}"
                );
            }
        }
    }
    assert_eq!(bytes_before_blank(b"a.subject.without.end"), None);
}

#[test]
fn a_plain_message_is_found_only_when_it_is_next_and_whole() {
    let mut parser = parser();
    parser.feed(b"PING\r\nMSG a 1 2\r\nhi\r\nMSG a 1 r 2\r\nho\r\nMSG a 1 2\r\nh");
    assert_eq!(parser.next_plain_message(), None);
    assert_eq!(parser.next_op(), Ok(Some(ServerOp::Ping)));
    assert_eq!(
        parser.next_plain_message().map(|msg| msg.payload),
        Some(&b"hi"[..])
    );
    // The one with a reply subject is left to `next_op`.
    assert_eq!(parser.next_plain_message(), None);
    assert!(matches!(parser.next_op(), Ok(Some(ServerOp::Msg(_)))));
    assert_eq!(parser.next_plain_message(), None);
    assert_eq!(parser.next_op(), Ok(None));
    parser.feed(b"a\r\n");
    assert_eq!(
        parser.next_plain_message().map(|msg| msg.payload),
        Some(&b"ha"[..])
    );
}

#[test]
fn what_comes_after_an_error_is_not_kept() {
    let mut parser = parser();
    parser.feed(b"GET / HTTP/1.1\r\n");
    assert!(parser.next_op().is_err());
    let n_bytes = parser.buffered_bytes();
    for _ in 0..1000 {
        parser.feed(b"MSG a 1 2\r\nhi\r\n");
        assert!(parser.next_op().is_err());
    }
    assert_eq!(parser.buffered_bytes(), n_bytes);
}

#[test]
fn what_is_over_a_limit_is_no_plain_message() {
    let mut parser = Parser::new(Limits {
        max_control_line_bytes: 20,
        max_payload_bytes: 2,
    });
    parser.feed(b"MSG a 1 3\r\nabc\r\n");
    assert_eq!(parser.next_plain_message(), None);
    assert!(parser.next_op().is_err());
    // After an error the position is lost, whatever comes.
    parser.feed(b"MSG a 1 2\r\nhi\r\n");
    assert_eq!(parser.next_plain_message(), None);
    let mut parser = Parser::new(Limits {
        max_control_line_bytes: 20,
        max_payload_bytes: 2,
    });
    parser.feed(b"MSG a.subject.that.is.too.long 1 2\r\nhi\r\n");
    assert_eq!(parser.next_plain_message(), None);
    assert!(parser.next_op().is_err());
}

#[test]
fn a_message_with_headers_separates_them_from_the_payload() {
    one(b"HMSG a 1 r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", |op| {
        let ServerOp::Msg(msg) = op else {
            panic!("{op:?}")
        };
        assert_eq!(
            (msg.reply, msg.headers, msg.payload),
            (Some(&b"r"[..]), Some(&b"NATS/1.0\r\n\r\n"[..]), &b"hi"[..])
        );
    });
}

#[test]
fn lengths_are_refused_before_their_bytes_arrive() {
    for line in [
        "MSG a 1 67108865\r\n",
        "MSG a 1 9999999999999999999\r\n",
        "HMSG a 1 1 99999999999\r\n",
    ] {
        let error = ops_of(&[line.as_bytes()]).1;
        assert!(
            matches!(error, Some(ProtocolError::PayloadTooLarge { .. })),
            "{line}: {error:?}"
        );
    }
    let mut parser = Parser::new(Limits {
        max_control_line_bytes: 100,
        max_payload_bytes: 100,
    });
    parser.feed(&[b'a'; 102]);
    assert_eq!(
        parser.next_op(),
        Err(ProtocolError::LineTooLong { limit_bytes: 100 })
    );
}

#[test]
fn nonsense_is_an_error_that_stays() {
    for stream in [
        &b"HTTP/1.1 200 OK\r\n"[..],
        b"\r\n",
        b"MSG a 1\r\n",
        b"MSG a 1 b c d\r\n",
        b"MSG a x 1\r\n",
        b"MSG a 1 -1\r\n",
        b"HMSG a 1 5 4\r\n",
        b"MSG a 1 2\r\nabcd\r\n",
    ] {
        let mut parser = parser();
        parser.feed(stream);
        let error = parser.next_op().unwrap_err();
        parser.feed(b"PING\r\n");
        assert_eq!(parser.next_op(), Err(error));
    }
}

#[test]
fn a_burst_does_not_keep_its_memory() {
    let mut parser = parser();
    let mut burst = b"MSG a 1 1000000\r\n".to_vec();
    burst.extend(vec![b'x'; 1_000_000]);
    burst.extend(b"\r\n");
    parser.feed(&burst);
    assert!(parser.next_op().unwrap().is_some());
    parser.feed(b"PING\r\n");
    assert!(parser.buffer.capacity() <= MAX_KEPT_BYTES);
    assert_eq!(parser.next_op().unwrap(), Some(ServerOp::Ping));
}

fn server_op() -> impl Strategy<Value = Vec<u8>> {
    let subject = "[a-z]{1,8}(\\.[a-z]{1,8}){0,3}";
    let payload = prop::collection::vec(any::<u8>(), 0..200);
    prop_oneof![
        Just(b"PING\r\n".to_vec()),
        Just(b"+OK\r\n".to_vec()),
        "[a-z ]{0,30}".prop_map(|text| format!("-ERR '{text}'\r\n").into_bytes()),
        "[a-z]{0,30}".prop_map(|text| format!("INFO {{\"x\":\"{text}\"}}\r\n").into_bytes()),
        (
            subject,
            any::<u32>(),
            prop::option::of("[a-z]{1,9}"),
            payload.clone()
        )
            .prop_map(|(subject, sid, reply, payload)| {
                let reply = reply.map(|reply| format!(" {reply}")).unwrap_or_default();
                let mut bytes =
                    format!("MSG {subject} {sid}{reply} {}\r\n", payload.len()).into_bytes();
                bytes.extend(payload);
                bytes.extend(b"\r\n");
                bytes
            }),
        (subject, payload).prop_map(|(subject, payload)| {
            let mut bytes = format!(
                "HMSG {subject} 1 12 {}\r\nNATS/1.0\r\n\r\n",
                payload.len() + 12
            )
            .into_bytes();
            bytes.extend(payload);
            bytes.extend(b"\r\n");
            bytes
        }),
    ]
}

proptest! {
    #[test]
    fn any_cut_of_any_stream_parses_the_same(
        ops in prop::collection::vec(server_op(), 1..8),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let stream = ops.concat();
        let whole = ops_of(&[&stream]);
        prop_assert_eq!(whole.0.len(), ops.len());
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        at.extend([0, stream.len()]);
        at.sort_unstable();
        let pieces: Vec<&[u8]> = at.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
        prop_assert_eq!(ops_of(&pieces), whole);
    }

    #[test]
    fn byte_by_byte_parses_the_same(ops in prop::collection::vec(server_op(), 1..4)) {
        let stream = ops.concat();
        let pieces: Vec<&[u8]> = stream.chunks(1).collect();
        prop_assert_eq!(ops_of(&pieces), ops_of(&[&stream]));
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_memory_stays_bounded(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..40),
    ) {
        let mut parser = Parser::new(Limits { max_control_line_bytes: 128, max_payload_bytes: 256 });
        for piece in pieces {
            parser.feed(&piece);
            loop {
                match parser.next_op() {
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(_) => return Ok(()),
                }
            }
            prop_assert!(parser.buffered_bytes() <= 128 + 256 + 64);
        }
    }
}
