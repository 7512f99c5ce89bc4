//! The HTTP upgrade, done by hand so that a refusal can be shown as it was received (RFC 6455 section 4).
//!
//! Nothing may follow the request before the answer has come: nats-server closes a connection whose client
//! sends frames early.

use std::fmt::Write as _;
use std::io;

use rand::RngExt as _;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};

use crate::net::ws::deflate;

/// Most header bytes that we accept in an answer.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// Most headers that we accept in an answer.
const MAX_HEADERS: usize = 128;
/// How much of a refusal's body is kept as evidence.
const MAX_BODY_BYTES: usize = 8 << 10;

/// What to ask for.
#[derive(Debug, Clone, Default)]
pub struct UpgradeRequest {
    /// `Host` header.
    pub host: String,
    /// Path and query.
    pub path_and_query: String,
    /// `Origin` header, as a browser sends it.
    pub origin: Option<String>,
    /// `User-Agent` header.
    pub user_agent: String,
    /// Further headers, as typed.
    pub headers: Vec<(String, String)>,
    /// Offer permessage-deflate.
    pub compression: bool,
    /// Ask nats-server to accept unmasked frames (`Nats-No-Masking`).
    pub no_masking: bool,
}

/// An HTTP answer, as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpReply {
    /// Status code.
    pub status: u16,
    /// Reason phrase.
    pub reason: String,
    /// Minor version: 0 or 1.
    pub http_minor: u8,
    /// Header fields in order; values lossily decoded.
    pub headers: Vec<(String, String)>,
    /// The first bytes of the body, for a refusal.
    pub body: Vec<u8>,
}

impl HttpReply {
    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Whether a comma-separated header has that token; proxies send `keep-alive, Upgrade`.
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.headers
            .iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .flat_map(|(_, value)| value.split(','))
            .any(|part| part.trim().eq_ignore_ascii_case(token))
    }
}

/// What was agreed.
#[derive(Debug, Clone)]
pub struct Upgraded {
    /// The whole answer.
    pub reply: HttpReply,
    /// Both sides may compress.
    pub compressed: bool,
    /// Our frames go unmasked.
    pub unmasked: bool,
    /// Bytes behind the head: INFO often comes in the same segment.
    pub tail: Vec<u8>,
}

/// Why there is no WebSocket.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// The connection broke.
    #[error("the connection broke during the WebSocket upgrade, after {} bytes of answer", received.len())]
    Io {
        /// What had come until then.
        received: Vec<u8>,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The connection ended before there was an answer.
    #[error("the connection was closed during the WebSocket upgrade, after {} bytes of answer", received.len())]
    Closed {
        /// What had come until then.
        received: Vec<u8>,
    },
    /// What came is not HTTP.
    #[error("the answer to the WebSocket upgrade is not HTTP")]
    NotHttp {
        /// The first bytes.
        received: Vec<u8>,
    },
    /// A head without end.
    #[error("the answer to the WebSocket upgrade has a head of more than {limit_bytes} bytes")]
    HeadTooLong {
        /// Our limit.
        limit_bytes: usize,
    },
    /// Any status but 101.
    #[error("the WebSocket upgrade was refused with HTTP status {}", .0.status)]
    Refused(Box<HttpReply>),
    /// Status 101, but not our upgrade.
    #[error("the answer to the WebSocket upgrade is invalid: {reason}")]
    Invalid {
        /// What is wrong with it.
        reason: String,
        /// The whole answer.
        reply: Box<HttpReply>,
    },
}

/// Sends the request and reads the answer.
///
/// # Errors
/// Everything that is not a valid `101`, with what was received.
pub async fn upgrade<S>(stream: &mut S, request: &UpgradeRequest) -> Result<Upgraded, UpgradeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let key = generate_key();
    let written = async {
        stream
            .write_all(request_head(request, &key).as_bytes())
            .await?;
        stream.flush().await
    };
    if let Err(source) = written.await {
        return Err(UpgradeError::Io {
            received: Vec::new(),
            source,
        });
    }
    let (reply, tail) = read_head(stream).await?;
    if reply.status != 101 {
        let reply = read_refusal_body(stream, reply, tail).await;
        return Err(UpgradeError::Refused(Box::new(reply)));
    }
    check(&reply, &key, request).map_err(|reason| UpgradeError::Invalid {
        reason,
        reply: Box::new(reply.clone()),
    })?;
    let compressed = reply.header("Sec-WebSocket-Extensions").is_some();
    let unmasked = request.no_masking
        && reply
            .header("Nats-No-Masking")
            .is_some_and(|value| value.eq_ignore_ascii_case("true"));
    Ok(Upgraded {
        reply,
        compressed,
        unmasked,
        tail,
    })
}

fn request_head(request: &UpgradeRequest, key: &str) -> String {
    let mut head = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n\
         Sec-WebSocket-Version: 13\r\n",
        request.path_and_query, request.host
    );
    // Writing to a `String` cannot fail.
    let mut add = |name: &str, value: &str| _ = write!(head, "{name}: {value}\r\n");
    add("User-Agent", &request.user_agent);
    if let Some(origin) = &request.origin {
        add("Origin", origin);
    }
    if request.compression {
        add("Sec-WebSocket-Extensions", deflate::OFFER);
    }
    if request.no_masking {
        add("Nats-No-Masking", "true");
    }
    for (name, value) in &request.headers {
        add(name, value);
    }
    head.push_str("\r\n");
    head
}

async fn read_head<S: AsyncRead + Unpin>(
    stream: &mut S,
) -> Result<(HttpReply, Vec<u8>), UpgradeError> {
    let mut received = Vec::with_capacity(1024);
    loop {
        if let Some((reply, head_bytes)) = parse_head(&received)? {
            let tail = received.split_off(head_bytes);
            return Ok((reply, tail));
        }
        if received.len() > MAX_HEAD_BYTES {
            return Err(UpgradeError::HeadTooLong {
                limit_bytes: MAX_HEAD_BYTES,
            });
        }
        match stream.read_buf(&mut received).await {
            Ok(0) => return Err(UpgradeError::Closed { received }),
            Ok(_) => {}
            Err(source) => return Err(UpgradeError::Io { received, source }),
        }
    }
}

fn parse_head(received: &[u8]) -> Result<Option<(HttpReply, usize)>, UpgradeError> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let not_http = || UpgradeError::NotHttp {
        received: received[..received.len().min(MAX_BODY_BYTES)].to_vec(),
    };
    let httparse::Status::Complete(head_bytes) =
        response.parse(received).map_err(|_| not_http())?
    else {
        return Ok(None);
    };
    let headers = response
        .headers
        .iter()
        .map(|header| {
            (
                header.name.to_owned(),
                String::from_utf8_lossy(header.value).into_owned(),
            )
        })
        .collect();
    let reply = HttpReply {
        status: response.code.unwrap_or(0),
        reason: response.reason.unwrap_or("").to_owned(),
        http_minor: response.version.unwrap_or(1),
        headers,
        body: Vec::new(),
    };
    Ok(Some((reply, head_bytes)))
}

/// Reads what there is of a refusal's body, up to a limit; a broken connection ends it.
async fn read_refusal_body<S: AsyncRead + Unpin>(
    stream: &mut S,
    mut reply: HttpReply,
    tail: Vec<u8>,
) -> HttpReply {
    let announced = reply
        .header("Content-Length")
        .and_then(|value| value.trim().parse::<usize>().ok());
    let wanted = announced.unwrap_or(MAX_BODY_BYTES).min(MAX_BODY_BYTES);
    reply.body = tail;
    // Without a length the body ends with the connection, which a keep-alive server may never close.
    let patience = std::time::Duration::from_millis(300);
    while reply.body.len() < wanted {
        match tokio::time::timeout(patience, stream.read_buf(&mut reply.body)).await {
            Ok(Ok(n)) if n > 0 => {}
            _ => break,
        }
    }
    reply.body.truncate(MAX_BODY_BYTES);
    reply
}

fn check(reply: &HttpReply, key: &str, request: &UpgradeRequest) -> Result<(), String> {
    if !reply.has_token("Upgrade", "websocket") {
        return Err(format!(
            "`Upgrade` is `{}`, not `websocket`",
            reply.header("Upgrade").unwrap_or("missing")
        ));
    }
    if !reply.has_token("Connection", "upgrade") {
        return Err(format!(
            "`Connection` is `{}`, not `Upgrade`",
            reply.header("Connection").unwrap_or("missing")
        ));
    }
    let expected = derive_accept_key(key.as_bytes());
    match reply.header("Sec-WebSocket-Accept") {
        Some(accept) if accept == expected => {}
        Some(accept) => {
            return Err(format!(
                "`Sec-WebSocket-Accept` is `{accept}`, expected `{expected}`"
            ));
        }
        None => return Err("`Sec-WebSocket-Accept` is missing".to_owned()),
    }
    if let Some(extensions) = reply.header("Sec-WebSocket-Extensions") {
        if !request.compression {
            return Err(format!(
                "it answers with the extension `{extensions}`, which was not offered"
            ));
        }
        let has = |parameter: &str| {
            extensions
                .split(';')
                .any(|part| part.trim().eq_ignore_ascii_case(parameter))
        };
        let is_stateless = has("permessage-deflate") && has("server_no_context_takeover");
        if !is_stateless {
            return Err(format!(
                "it answers with the extension `{extensions}`, offered was `{}`",
                deflate::OFFER
            ));
        }
    }
    Ok(())
}

/// A fresh masking key (RFC 6455 section 5.3: unpredictable to whoever supplies the payload).
pub fn masking_key() -> [u8; 4] {
    rand::rng().random()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answer(reply: &'static str) -> Result<Upgraded, UpgradeError> {
        // A tiny pipe finds framing faults: the answer comes in pieces of at most 16 bytes.
        let (mut client, mut server) = tokio::io::duplex(16);
        let request = UpgradeRequest {
            host: "h".into(),
            path_and_query: "/".into(),
            ..Default::default()
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
            server.write_all(reply.as_bytes()).await.unwrap();
            drop(server);
        };
        tokio::join!(upgrade(&mut client, &request), serve).0
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
        let refused = answer(
            "HTTP/1.1 403 Forbidden\r\nServer: nginx\r\nContent-Length: 10\r\n\r\nForbidden\n",
        )
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
}
