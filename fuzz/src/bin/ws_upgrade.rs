//! The answer to the HTTP upgrade: the same outcome wherever it is cut, agreed only where it is right, evidence within
//! its limits. The `Sec-WebSocket-Accept` of the example in RFC 6455 stands for the right one, which no input can know.
#![no_main]

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use libfuzzer_sys::{Corpus, fuzz_target};
use natsbench::net::ws::upgrade::{HttpReply, UpgradeError, UpgradeRequest, Upgraded, upgrade};
use natsbench_fuzz::cuts;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::{Builder, Runtime};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// As in section 1.3 of RFC 6455; as long as every other.
const PLACEHOLDER: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// As `net/ws/upgrade.rs` has them.
const MAX_HEADERS: usize = 128;
const MAX_BODY_BYTES: usize = 8 << 10;
/// Beyond the limit of a body it depends on the pieces how much more has come.
const MAX_INPUT_BYTES: usize = MAX_BODY_BYTES;

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime without I/O needs nothing from the system");
}

fuzz_target!(|answer: &[u8]| -> Corpus {
    if answer.len() > MAX_INPUT_BYTES {
        return Corpus::Reject;
    }
    for (compression, no_masking) in [(false, false), (true, true)] {
        let request = UpgradeRequest {
            host: "h".to_owned(),
            path_and_query: "/".to_owned(),
            compression,
            no_masking,
            ..UpgradeRequest::default()
        };
        let [whole, pieces @ ..] = cuts(answer);
        let expected = outcome(&request, &whole);
        // How an answer is read does not depend on what was asked for.
        for pieces in pieces.iter().filter(|_| compression) {
            assert_eq!(outcome(&request, pieces), expected, "pieces {pieces:?}");
        }
    }
    Corpus::Keep
});

/// What came of an answer, as far as it may not depend on how it was cut.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Agreed {
        reply: HttpReply,
        compressed: bool,
        unmasked: bool,
        /// What follows the head, whether it came with it or not.
        behind: Vec<u8>,
    },
    Refused(Box<HttpReply>),
    Invalid(String),
    NotHttp,
    TooManyHeaders,
    Closed(usize),
}

fn outcome(request: &UpgradeRequest, pieces: &[&[u8]]) -> Outcome {
    let mut peer = Peer::new(pieces);
    let upgraded = RUNTIME.with(|runtime| runtime.block_on(upgrade(&mut peer, request)));
    match upgraded {
        Ok(upgraded) => agreed(request, upgraded, &peer),
        Err(UpgradeError::Refused(mut reply)) => {
            assert_ne!(reply.status, 101);
            assert!(reply.headers.len() <= MAX_HEADERS && reply.body.len() <= MAX_BODY_BYTES);
            peer.hide_key(&mut reply);
            Outcome::Refused(reply)
        }
        Err(UpgradeError::Invalid { reason, reply, .. }) => {
            assert_eq!(reply.status, 101);
            let reason = reason.split("expected").next().unwrap_or_default();
            Outcome::Invalid(reason.replace(&peer.accept_key(), PLACEHOLDER))
        }
        Err(UpgradeError::NotHttp { received }) => {
            assert!(received.len() <= MAX_BODY_BYTES);
            Outcome::NotHttp
        }
        Err(UpgradeError::TooManyHeaders { .. }) => Outcome::TooManyHeaders,
        Err(UpgradeError::Closed { received }) => Outcome::Closed(received.len()),
        Err(error) => panic!("no such fault was made: {error:?}"),
    }
}

fn agreed(request: &UpgradeRequest, upgraded: Upgraded, peer: &Peer<'_>) -> Outcome {
    let mut reply = upgraded.reply;
    assert_eq!((reply.status, &reply.body[..]), (101, &[][..]));
    assert!(reply.has_token("Upgrade", "websocket") && reply.has_token("Connection", "upgrade"));
    assert_eq!(
        reply.header("Sec-WebSocket-Accept"),
        Some(&*peer.accept_key())
    );
    assert!(request.compression || !upgraded.compressed);
    assert!(request.no_masking || !upgraded.unmasked);
    let extensions = reply.header("Sec-WebSocket-Extensions");
    assert_eq!(upgraded.compressed, extensions.is_some());
    peer.hide_key(&mut reply);
    let mut behind = upgraded.tail;
    behind.extend(peer.unread());
    Outcome::Agreed {
        reply,
        compressed: upgraded.compressed,
        unmasked: upgraded.unmasked,
        behind,
    }
}

/// A server that answers in these pieces and then closes.
struct Peer<'a> {
    request: Vec<u8>,
    pieces: &'a [&'a [u8]],
    /// The answer with the key in it, once it is asked for.
    answer: Option<Vec<u8>>,
    piece_idx: usize,
    /// How much was read of the answer, and of the current piece of it.
    n_read: usize,
    n_read_of_piece: usize,
}

impl<'a> Peer<'a> {
    fn new(pieces: &'a [&'a [u8]]) -> Self {
        Self {
            request: Vec::new(),
            pieces,
            answer: None,
            piece_idx: 0,
            n_read: 0,
            n_read_of_piece: 0,
        }
    }

    fn accept_key(&self) -> String {
        let head = String::from_utf8_lossy(&self.request);
        let key = head
            .lines()
            .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
        derive_accept_key(key.expect("the request has a key").as_bytes())
    }

    /// The answer with the key in its place, the first one.
    fn answer(&mut self) -> &[u8] {
        let key = self.accept_key();
        assert_eq!(key.len(), PLACEHOLDER.len());
        self.answer.get_or_insert_with(|| {
            let mut answer = self.pieces.concat();
            let place = PLACEHOLDER.as_bytes();
            if let Some(at) = answer.windows(place.len()).position(|text| text == place) {
                answer[at..at + place.len()].copy_from_slice(key.as_bytes());
            }
            answer
        })
    }

    /// Makes an answer the same for every key. A body may have only a part of it.
    fn hide_key(&self, reply: &mut HttpReply) {
        let key = self.accept_key();
        let headers = reply.headers.iter_mut();
        let texts = headers.flat_map(|(name, value)| [name, value]);
        for text in texts.chain([&mut reply.reason]) {
            *text = text.replace(&key, PLACEHOLDER);
        }
        if self.pieces.concat() != self.answer.as_deref().unwrap_or_default() {
            reply.body.fill(0);
        }
    }

    fn unread(&self) -> &[u8] {
        &self.answer.as_deref().unwrap_or_default()[self.n_read..]
    }
}

impl AsyncRead for Peer<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let peer = self.get_mut();
        // Nothing read is the end of the stream.
        while let Some(piece) = peer.pieces.get(peer.piece_idx) {
            let n_bytes = (piece.len() - peer.n_read_of_piece).min(buf.remaining());
            if n_bytes > 0 {
                let n_read = peer.n_read;
                buf.put_slice(&peer.answer()[n_read..n_read + n_bytes]);
                peer.n_read += n_bytes;
                peer.n_read_of_piece += n_bytes;
                break;
            }
            peer.piece_idx += 1;
            peer.n_read_of_piece = 0;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Peer<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().request.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
