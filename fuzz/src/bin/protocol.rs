//! The parser of the NATS protocol: the same operations wherever the stream is cut, within its limits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use natsbench::protocol::{
    Headers, Limits, Msg, Parser, ProtocolError, ServerErrorKind, ServerInfo, ServerOp,
};
use natsbench_fuzz::cuts;

/// Small, so that short inputs reach them.
const LIMITS: Limits = Limits {
    max_control_line_bytes: 200,
    max_payload_bytes: 300,
};
/// The longest incomplete operation: a line and a payload, each with its CR LF.
const MAX_HELD_BYTES: usize = LIMITS.max_control_line_bytes + 2 + LIMITS.max_payload_bytes + 2;

fuzz_target!(|stream: &[u8]| {
    let [whole, pieces @ ..] = cuts(stream);
    let expected = ops_of(&whole, false);
    if let Some(error) = &expected.1 {
        assert!(offset_of(error) <= stream.len() as u64, "{error:?}");
        assert!(!error.to_string().contains(char::is_control), "{error}");
    }
    assert_eq!(ops_of(&whole, true), expected, "plain messages first");
    for (idx, pieces) in pieces.iter().enumerate() {
        let ops = ops_of(pieces, idx % 2 == 1);
        assert_eq!(ops, expected, "in pieces {pieces:?}");
    }
});

/// Every operation of a stream, written anew, and the error that ended it.
fn ops_of(pieces: &[&[u8]], asks_for_plain: bool) -> (Vec<Vec<u8>>, Option<ProtocolError>) {
    let mut parser = Parser::new(LIMITS);
    let mut ops = Vec::new();
    let mut failure = None;
    for piece in pieces {
        parser.feed(piece);
        loop {
            if asks_for_plain && let Some(msg) = parser.next_plain_message() {
                assert_eq!((msg.reply, msg.headers), (None, None));
                assert_eq!(failure, None, "nothing follows an error");
                ops.push(written(msg, " "));
                continue;
            }
            match parser.next_op() {
                Ok(Some(op)) => {
                    assert_eq!(failure, None, "nothing follows an error");
                    ops.push(match op {
                        ServerOp::Msg(msg) => written(msg, " "),
                        ServerOp::Info(json) => json.to_vec(),
                        ServerOp::Err(text) => text.as_bytes().to_vec(),
                        ServerOp::Ping | ServerOp::Pong | ServerOp::Ok => format!("{op:?}").into(),
                    });
                    if pieces.len() == 1 {
                        check(op);
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(*failure.get_or_insert_with(|| error.clone()), error);
                    break;
                }
            }
        }
        // When nothing is left to take, at most one operation is on its way, however much was fed before.
        let most = match failure {
            None => MAX_HELD_BYTES,
            Some(_) => MAX_HELD_BYTES + stream_piece_bytes(pieces),
        };
        assert!(parser.buffered_bytes() <= most);
    }
    (ops, failure)
}

/// What may be left where the parser failed: what came with the fault.
fn stream_piece_bytes(pieces: &[&[u8]]) -> usize {
    pieces.iter().map(|piece| piece.len()).max().unwrap_or(0)
}

fn check(op: ServerOp<'_>) {
    match op {
        ServerOp::Msg(msg) => check_message(msg),
        ServerOp::Info(json) => _ = ServerInfo::parse(json),
        ServerOp::Err(text) => _ = ServerErrorKind::classify(text),
        ServerOp::Ping | ServerOp::Pong | ServerOp::Ok => {}
    }
}

/// A message is within the limits, and is read again from every way to write it: as nats-server does, for which there is
/// a shorter way through the parser, and with tabs, for which there is not.
fn check_message(msg: Msg<'_>) {
    let is_word = |text: &[u8]| {
        !text.is_empty() && !text.iter().any(|byte| matches!(byte, b' ' | b'\t' | b'\n'))
    };
    assert!(is_word(msg.subject) && msg.reply.is_none_or(is_word));
    let header_bytes = msg.headers.map_or(0, <[u8]>::len);
    assert!(header_bytes + msg.payload.len() <= LIMITS.max_payload_bytes);
    for blank in [" ", "\t"] {
        let stream = written(msg, blank);
        let mut parser = Parser::new(Limits::default());
        parser.feed(&stream);
        assert_eq!(parser.next_op(), Ok(Some(ServerOp::Msg(msg))));
        assert_eq!(parser.buffered_bytes(), 0);
    }
    if let Some(block) = msg.headers
        && let Ok(headers) = Headers::parse(block)
    {
        let mut encoded = Vec::new();
        headers.encode(&mut encoded);
        assert_eq!(Headers::parse(&encoded), Ok(headers));
    }
}

fn written(msg: Msg<'_>, blank: &str) -> Vec<u8> {
    let sid = msg.sid.to_string();
    let mut args = vec![msg.subject, sid.as_bytes()];
    args.extend(msg.reply);
    let headers = msg.headers.unwrap_or(b"");
    let (header_bytes, total_bytes) = (
        headers.len().to_string(),
        (headers.len() + msg.payload.len()).to_string(),
    );
    if msg.headers.is_some() {
        args.push(header_bytes.as_bytes());
    }
    args.push(total_bytes.as_bytes());
    let op = if msg.headers.is_some() { "HMSG" } else { "MSG" };
    [
        op.as_bytes(),
        blank.as_bytes(),
        &args.join(blank.as_bytes()),
        b"\r\n",
        headers,
        msg.payload,
        b"\r\n",
    ]
    .concat()
}

fn offset_of(error: &ProtocolError) -> u64 {
    match error {
        ProtocolError::UnknownOp { offset, .. }
        | ProtocolError::BadArguments { offset, .. }
        | ProtocolError::UnterminatedPayload { offset } => *offset,
        _ => 0,
    }
}
