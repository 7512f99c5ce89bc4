//! Whose words these are: the first bytes of a port, told apart by protocol.
//!
//! Pure. The bytes come from a stranger: whatever they are, the answer is a guess of ours about them, or `None` where
//! there are none.

use crate::doctor::words::short;
use crate::net::ws::upgrade::parse_reply;
use crate::protocol::ServerInfo;

/// How much of a version is shown.
const MAX_VERSION_CHARS: usize = 60;
/// How much of a text is shown.
const MAX_EXCERPT_CHARS: usize = 100;
/// How much of what is no text is shown.
const MAX_HEX_BYTES: usize = 24;
/// Begins the binary form of the PROXY protocol.
const PROXY_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Which of its ports a nats-server speaks on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NatsPort {
    Client,
    Route,
    Leafnode,
    Gateway,
}

impl NatsPort {
    /// Of the first INFO. Clients and leaf nodes are counted, so that `client_id` alone does not tell, and the INFO to
    /// routes names the leafnode and gateway addresses, too.
    pub(crate) fn of(info: &ServerInfo) -> Self {
        let has = |name: &str| info.extra.contains_key(name);
        let is_uncounted_member = info.client_id == 0 && info.cluster.is_some();
        if has("route_pool_size") || has("lnoc") || !info.ws_connect_urls.is_empty() {
            Self::Route
        } else if has("gateway") || has("gateway_urls") {
            Self::Gateway
        } else if has("leafnode_urls") || has("info_on_connect") {
            Self::Leafnode
        } else if is_uncounted_member {
            Self::Route
        } else {
            Self::Client
        }
    }
}

/// A protocol that is not NATS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Ssh,
    Smtp,
    Ftp,
    Pop3,
    Imap,
    Mysql,
    Postgres,
    Redis,
    Amqp,
    Mqtt,
    Vnc,
    Telnet,
    Tls,
    Http,
    Http2,
    Proxy,
    WebSocket,
    Text,
    Binary,
}

impl Protocol {
    /// As the subject of a sentence.
    pub(crate) fn server(self) -> &'static str {
        match self {
            Self::Ssh => "an SSH server",
            Self::Smtp => "a mail server (SMTP)",
            Self::Ftp => "an FTP server",
            Self::Pop3 => "a mail server (POP3)",
            Self::Imap => "a mail server (IMAP)",
            Self::Mysql => "a MySQL server",
            Self::Postgres => "a PostgreSQL server",
            Self::Redis => "a Redis server",
            Self::Amqp => "a message broker that speaks AMQP",
            Self::Mqtt => "an MQTT broker",
            Self::Vnc => "a VNC server",
            Self::Telnet => "a Telnet server",
            Self::Tls => "a server that speaks TLS",
            Self::Http => "a web server",
            Self::Http2 => "a server that speaks only HTTP/2 (gRPC, say)",
            Self::Proxy => "a proxy that sends a PROXY protocol header",
            Self::WebSocket => "a server that sends WebSocket frames without an upgrade",
            Self::Text | Self::Binary => "a server with a protocol of its own",
        }
    }
}

/// Who speaks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Speaker {
    /// nats-server begins with INFO.
    Nats(NatsPort, Box<ServerInfo>),
    /// nats-server, or a server that speaks like it, begins with `-ERR`: its text.
    NatsError(String),
    /// Anybody else: the protocol, and a short excerpt.
    Other(Protocol, String),
}

impl Speaker {
    /// What came, short.
    pub(crate) fn excerpt(&self) -> String {
        match self {
            Self::Nats(_, info) => format!(
                "INFO of nats-server {}, port {}",
                short(&info.version, MAX_VERSION_CHARS),
                info.port
            ),
            Self::NatsError(text) => format!("-ERR {text}"),
            Self::Other(_, excerpt) => excerpt.clone(),
        }
    }
}

/// Whose bytes these are.
pub(crate) fn identify(bytes: &[u8]) -> Option<Speaker> {
    if bytes.is_empty() {
        return None;
    }
    if let Some(speaker) = nats(bytes) {
        return Some(speaker);
    }
    if let Some(protocol) = binary(bytes).or_else(|| text(bytes)) {
        return Some(Speaker::Other(protocol, excerpt(bytes)));
    }
    let protocol = if is_text(bytes) {
        Protocol::Text
    } else {
        Protocol::Binary
    };
    Some(Speaker::Other(protocol, excerpt(bytes)))
}

fn nats(bytes: &[u8]) -> Option<Speaker> {
    let line = bytes
        .split(|byte| *byte == b'\r' || *byte == b'\n')
        .next()?;
    if let Some(json) = line.strip_prefix(b"INFO ") {
        let info = ServerInfo::parse(json.trim_ascii()).ok()?;
        return Some(Speaker::Nats(NatsPort::of(&info), Box::new(info)));
    }
    // Redis does not quote its text.
    let text = line.strip_prefix(b"-ERR '")?;
    let text = text.strip_suffix(b"'").unwrap_or(text);
    Some(Speaker::NatsError(short(
        &String::from_utf8_lossy(text),
        MAX_EXCERPT_CHARS,
    )))
}

fn binary(bytes: &[u8]) -> Option<Protocol> {
    match bytes {
        // Alert, handshake.
        [0x15 | 0x16, 3, 0..=4, ..] => Some(Protocol::Tls),
        // CONNACK: flags and a code; of MQTT 5 with properties behind them.
        [0x20, 2, 0 | 1, 0..=5] => Some(Protocol::Mqtt),
        [0x20, n_bytes @ 3..=127, 0 | 1, _, rest @ ..]
            if rest.len() + 2 == usize::from(*n_bytes) =>
        {
            Some(Protocol::Mqtt)
        }
        // IAC with WILL, WONT, DO or DONT.
        [0xff, 0xfb..=0xfe, ..] => Some(Protocol::Telnet),
        // The first packet of a server: protocol 10 and a version, or an error.
        [_, _, 0, 0, 0x0a, b'0'..=b'9', ..] | [_, _, 0, 0, 0xff, _, ..] => Some(Protocol::Mysql),
        [b'A', b'M', b'Q', b'P', 0..=3, ..] => Some(Protocol::Amqp),
        // ErrorResponse: a length and the severity.
        [b'E', 0, 0, _, _, b'S', ..] => Some(Protocol::Postgres),
        // SETTINGS or GOAWAY of stream 0.
        [0, 0 | 1, _, 4 | 7, 0 | 1, 0, 0, 0, 0, ..] => Some(Protocol::Http2),
        _ if bytes.starts_with(PROXY_V2) => Some(Protocol::Proxy),
        _ if is_websocket_frame(bytes) => Some(Protocol::WebSocket),
        _ => None,
    }
}

/// A whole frame of a server: not masked, no reserved bits, and the length fits.
fn is_websocket_frame(bytes: &[u8]) -> bool {
    let (first, len, rest) = match bytes {
        [first, 126, high, low, rest @ ..] => {
            (*first, usize::from(u16::from_be_bytes([*high, *low])), rest)
        }
        [first, len @ 0..=125, rest @ ..] => (*first, usize::from(*len), rest),
        _ => return false,
    };
    let is_close = first == 0x88 && (2..=125).contains(&len);
    let is_data = matches!(first, 0x81 | 0x82 | 0x89 | 0x8a) && len > 0;
    (is_close || is_data) && rest.len() >= len
}

fn text(bytes: &[u8]) -> Option<Protocol> {
    let starts = |prefix: &[u8]| bytes.starts_with(prefix);
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or(bytes);
    let line = String::from_utf8_lossy(line).to_ascii_uppercase();
    if starts(b"SSH-") {
        Some(Protocol::Ssh)
    } else if starts(b"HTTP/") || parse_reply(bytes).is_some() {
        Some(Protocol::Http)
    } else if starts(b"PRI * HTTP/2.0") {
        Some(Protocol::Http2)
    } else if starts(b"PROXY TCP") || starts(b"PROXY UNKNOWN") {
        Some(Protocol::Proxy)
    } else if starts(b"RFB 00") {
        Some(Protocol::Vnc)
    } else if starts(b"220") {
        Some(if line.contains("FTP") {
            Protocol::Ftp
        } else {
            Protocol::Smtp
        })
    } else if starts(b"+OK") {
        Some(Protocol::Pop3)
    } else if starts(b"* OK") {
        Some(Protocol::Imap)
    } else if ["-ERR ", "-DENIED", "-NOAUTH", "-WRONGTYPE"]
        .iter()
        .any(|prefix| line.starts_with(prefix))
    {
        Some(Protocol::Redis)
    } else {
        None
    }
}

fn is_text(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(256)];
    let text = String::from_utf8_lossy(head);
    let n_odd = text
        .chars()
        .filter(|c| (c.is_control() && !c.is_whitespace()) || *c == char::REPLACEMENT_CHARACTER)
        .count();
    // The cut may go through a character.
    n_odd <= 1 && head.first() != Some(&0)
}

/// The first line of a text, or the first bytes of what is none.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    if is_text(bytes) {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * MAX_EXCERPT_CHARS)]);
        let line = text.trim().lines().next().unwrap_or("").trim_end();
        return short(line, MAX_EXCERPT_CHARS);
    }
    let shown: Vec<_> = bytes
        .iter()
        .take(MAX_HEX_BYTES)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let dots = if bytes.len() > MAX_HEX_BYTES {
        " ..."
    } else {
        ""
    };
    format!("{}{dots} ({} bytes)", shown.join(" "), bytes.len())
}

#[cfg(test)]
#[path = "fingerprint_tests.rs"]
mod tests;
