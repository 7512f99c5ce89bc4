//! The HTTP upgrade, done by hand so that a refusal can be shown as it was received (RFC 6455 section 4).
//!
//! Nothing may follow the request before the answer has come: nats-server closes a connection whose client
//! sends frames early.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

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
/// Interim answers that may come before the one that counts.
const MAX_INTERIM_REPLIES: u32 = 8;
/// How long the body of a refusal may take: a server that keeps the connection alive may never end it.
const BODY_PATIENCE: Duration = Duration::from_millis(300);
/// Headers that the handshake itself needs; another value of them breaks it.
pub const OWN_HEADERS: [&str; 5] = [
    "Upgrade",
    "Connection",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Version",
    "Sec-WebSocket-Extensions",
];

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
    /// Further headers, as typed. One that is named like one of the above replaces it; none may be one of
    /// [`OWN_HEADERS`].
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
    /// More headers than we accept.
    #[error("the answer to the WebSocket upgrade has more than {limit} headers")]
    TooManyHeaders {
        /// Our limit.
        limit: usize,
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
        /// What came in one piece with it.
        tail: Vec<u8>,
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
    let (mut reply, mut tail) = read_head(stream, Vec::new()).await?;
    let mut n_interim = 0;
    // A proxy may send `103 Early Hints`, say, ahead of the answer (RFC 9110 section 15.2).
    while matches!(reply.status, 100 | 102..=199) && n_interim < MAX_INTERIM_REPLIES {
        (reply, tail) = read_head(stream, tail).await?;
        n_interim += 1;
    }
    if reply.status != 101 {
        let reply = read_refusal_body(stream, reply, tail).await;
        return Err(UpgradeError::Refused(Box::new(reply)));
    }
    check(&reply, &key, request).map_err(|reason| UpgradeError::Invalid {
        reason,
        reply: Box::new(reply.clone()),
        tail: tail.clone(),
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

/// The request as it is sent.
pub(crate) fn request_head(request: &UpgradeRequest, key: &str) -> String {
    let mut head = format!("GET {} HTTP/1.1\r\n", request.path_and_query);
    // Writing to a `String` cannot fail.
    let mut add = |name: &str, value: &str| _ = write!(head, "{name}: {value}\r\n");
    let is_given = |name: &str| {
        let mut given = request.headers.iter();
        given.any(|(key, _)| key.eq_ignore_ascii_case(name))
    };
    // Two `Host` headers are refused by every server.
    if !is_given("Host") {
        add("Host", &request.host);
    }
    add("Upgrade", "websocket");
    add("Connection", "Upgrade");
    add("Sec-WebSocket-Key", key);
    add("Sec-WebSocket-Version", "13");
    if !is_given("User-Agent") {
        add("User-Agent", &request.user_agent);
    }
    if let Some(origin) = &request.origin
        && !is_given("Origin")
    {
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

/// Reads one head; `received` has come already. Returns what follows the head, too.
async fn read_head<S: AsyncRead + Unpin>(
    stream: &mut S,
    mut received: Vec<u8>,
) -> Result<(HttpReply, Vec<u8>), UpgradeError> {
    received.reserve(1024);
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
    let fail = |error| match error {
        httparse::Error::TooManyHeaders => UpgradeError::TooManyHeaders { limit: MAX_HEADERS },
        _ => UpgradeError::NotHttp {
            received: received[..received.len().min(MAX_BODY_BYTES)].to_vec(),
        },
    };
    let httparse::Status::Complete(head_bytes) = response.parse(received).map_err(fail)? else {
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

/// How the end of a body is told (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyEnd {
    Length(usize),
    Chunked,
    Connection,
}

impl BodyEnd {
    fn of(reply: &HttpReply) -> Self {
        if matches!(reply.status, 100..=199 | 204 | 304) {
            return Self::Length(0);
        }
        if reply.has_token("Transfer-Encoding", "chunked") {
            return Self::Chunked;
        }
        reply
            .header("Content-Length")
            .and_then(|value| value.trim().parse().ok())
            .map_or(Self::Connection, Self::Length)
    }

    /// The body as far as it has come, and whether that is all of it.
    fn body(self, raw: &[u8]) -> (Vec<u8>, bool) {
        match self {
            Self::Length(n_bytes) => (raw[..raw.len().min(n_bytes)].to_vec(), raw.len() >= n_bytes),
            Self::Chunked => unchunked(raw),
            Self::Connection => (raw.to_vec(), false),
        }
    }
}

/// Joins the chunks of a body as far as they have come; what is malformed ends it (RFC 9112 section 7.1).
fn unchunked(mut raw: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(line_end) = raw.windows(2).position(|pair| pair == b"\r\n") {
        let line = String::from_utf8_lossy(&raw[..line_end]);
        let digits = line.split(';').next().unwrap_or("").trim();
        let Ok(n_bytes) = usize::from_str_radix(digits, 16) else {
            return (body, true);
        };
        if n_bytes == 0 {
            return (body, true);
        }
        let rest = &raw[line_end + 2..];
        let Some(after) = n_bytes.checked_add(2).and_then(|end| rest.get(end..)) else {
            body.extend_from_slice(&rest[..rest.len().min(n_bytes)]);
            return (body, false);
        };
        body.extend_from_slice(&rest[..n_bytes]);
        raw = after;
    }
    (body, false)
}

/// Reads an answer that has come as far as `received`, with as much of its body as is there; `None` if that is no HTTP,
/// or not yet. Also says whether that is all of it.
pub(crate) fn parse_reply(received: &[u8]) -> Option<(HttpReply, bool)> {
    let (mut reply, head_bytes) = parse_head(received).ok()??;
    let (body, is_whole) = BodyEnd::of(&reply).body(&received[head_bytes..]);
    reply.body = body;
    Some((reply, is_whole))
}

/// Reads what there is of a refusal's body, up to a limit; a broken connection ends it.
async fn read_refusal_body<S: AsyncRead + Unpin>(
    stream: &mut S,
    mut reply: HttpReply,
    tail: Vec<u8>,
) -> HttpReply {
    let end = BodyEnd::of(&reply);
    let mut raw = tail;
    let reading = async {
        while raw.len() < MAX_BODY_BYTES && !end.body(&raw).1 {
            match stream.read_buf(&mut raw).await {
                Ok(n) if n > 0 => {}
                _ => break,
            }
        }
    };
    // What has come by then has to do.
    let _ = tokio::time::timeout(BODY_PATIENCE, reading).await;
    reply.body = end.body(&raw).0;
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
    check_extensions(reply, request)?;
    let is_asked = request
        .headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("Sec-WebSocket-Protocol"));
    match reply.header("Sec-WebSocket-Protocol") {
        // nats-server chooses `mqtt` where the path ends with `/mqtt`.
        Some(protocol) if !is_asked => Err(format!(
            "it chooses the subprotocol `{protocol}`, which was not asked for"
        )),
        _ => Ok(()),
    }
}

/// Checks that the answer holds what was offered and nothing else (RFC 7692 section 7.1).
fn check_extensions(reply: &HttpReply, request: &UpgradeRequest) -> Result<(), String> {
    let values: Vec<&str> = reply
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("Sec-WebSocket-Extensions"))
        .map(|(_, value)| value.as_str())
        .collect();
    if values.is_empty() {
        return Ok(());
    }
    let extensions = values.join(", ");
    if !request.compression {
        return Err(format!(
            "it answers with the extension `{extensions}`, which was not offered"
        ));
    }
    let mut parts = extensions.split(';').map(str::trim);
    let is_deflate = parts
        .next()
        .is_some_and(|name| name.eq_ignore_ascii_case("permessage-deflate"));
    let parameters: Vec<String> = parts.map(str::to_ascii_lowercase).collect();
    // Any window of the server can be inflated; a smaller one of ours was not offered.
    let is_known = |parameter: &String| {
        let name = parameter.split('=').next().unwrap_or("").trim();
        matches!(
            name,
            "server_no_context_takeover" | "client_no_context_takeover" | "server_max_window_bits"
        ) && !parameter.contains(',')
    };
    let is_stateless = parameters
        .iter()
        .any(|parameter| parameter == "server_no_context_takeover");
    if is_deflate && is_stateless && parameters.iter().all(is_known) {
        Ok(())
    } else {
        Err(format!(
            "it answers with the extension `{extensions}`, offered was `{}`",
            deflate::OFFER
        ))
    }
}

/// A fresh masking key (RFC 6455 section 5.3: unpredictable to whoever supplies the payload).
pub fn masking_key() -> [u8; 4] {
    rand::rng().random()
}

#[cfg(test)]
#[path = "upgrade_tests.rs"]
mod tests;
