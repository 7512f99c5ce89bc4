//! What an HTTP answer shows: the parts of it that may be quoted, and texts that stand for a cause.

use std::fmt::Write as _;

use crate::doctor::code::Code;
use crate::doctor::front::{Proxy, is_nats, subject};
use crate::doctor::words::short;
use crate::net::dial::DialOptions;
use crate::net::target::Target;
use crate::net::ws::upgrade::HttpReply;
use crate::results::doctor::Finding;

/// Headers that are shown; others may hold secrets, or say nothing.
const SHOWN_HEADERS: [&str; 11] = [
    "Server",
    "Via",
    "WWW-Authenticate",
    "Proxy-Authenticate",
    "Retry-After",
    "Upgrade",
    "Content-Type",
    "Sec-WebSocket-Version",
    "Sec-WebSocket-Accept",
    "Sec-WebSocket-Protocol",
    "Sec-WebSocket-Extensions",
];
/// How much of a header is shown.
const MAX_HEADER_CHARS: usize = 120;
/// How much of a body is shown.
const MAX_BODY_CHARS: usize = 160;

/// A refusal, and what is known around it.
pub(crate) struct Case<'a> {
    pub(crate) target: &'a Target,
    pub(crate) options: &'a DialOptions,
    pub(crate) reply: &'a HttpReply,
    /// Who answered, or passed the answer on.
    pub(crate) proxy: Option<Proxy>,
}

impl Case<'_> {
    /// Who answered, as the subject of a sentence.
    pub(crate) fn subject(&self) -> String {
        subject(self.proxy.as_ref(), &self.target.host_and_port())
    }

    /// Whoever is to be asked to mend it, in the middle of a sentence.
    pub(crate) fn proxy_name(&self) -> String {
        self.proxy
            .as_ref()
            .map_or_else(|| "the proxy".to_owned(), Proxy::name)
    }

    /// The path of the URL, without its query.
    pub(crate) fn path(&self) -> &str {
        path_of(&self.target.path_and_query)
    }

    /// Whether the user has this header sent.
    pub(crate) fn has_header(&self, name: &str) -> bool {
        let mut headers = self.options.headers.iter();
        headers.any(|(key, _)| key.eq_ignore_ascii_case(name))
    }

    /// The `Host` that was sent.
    pub(crate) fn sent_host(&self) -> String {
        let mut headers = self.options.headers.iter();
        let given = headers.find(|(key, _)| key.eq_ignore_ascii_case("Host"));
        given.map_or_else(|| self.target.host_header(), |(_, value)| value.clone())
    }

    /// A finding that shows the answer.
    pub(crate) fn finding(&self, code: &Code, title: impl Into<String>) -> Finding {
        with_reply(code.finding(title), self.reply)
    }
}

/// A path without its query, which may hold a secret.
pub(crate) fn path_of(path_and_query: &str) -> &str {
    path_and_query.split('?').next().unwrap_or(path_and_query)
}

/// Adds the answer to what was seen.
pub(crate) fn with_reply(finding: Finding, reply: &HttpReply) -> Finding {
    let mut head = format!(
        "HTTP/1.{} {} {}",
        reply.http_minor,
        reply.status,
        short(&reply.reason, MAX_HEADER_CHARS)
    );
    for name in SHOWN_HEADERS {
        if let Some(value) = reply.header(name) {
            // Writing to a `String` cannot fail.
            _ = write!(head, "; {name}: {}", short(value, MAX_HEADER_CHARS));
        }
    }
    if let Some(location) = reply.header("Location") {
        _ = write!(head, "; Location: {}", shown_location(location));
    }
    let finding = finding.evidence("answer", head.trim());
    let finding = match by_nats_text(reply) {
        Some(text) => finding.evidence("written by", text),
        None => finding,
    };
    let body = body_text(reply);
    if body.is_empty() {
        finding
    } else {
        finding.evidence("body", body)
    }
}

fn by_nats_text(reply: &HttpReply) -> Option<&'static str> {
    is_nats(reply).then_some("nats-server (an error status with `Sec-WebSocket-Version: 13`)")
}

/// A location without user info, query and fragment, which may hold secrets.
pub(crate) fn shown_location(location: &str) -> String {
    let end = location.find(['?', '#']).unwrap_or(location.len());
    let location = &location[..end];
    let shown = match location.split_once("://") {
        Some((scheme, rest)) => {
            let authority_end = rest.find('/').unwrap_or(rest.len());
            let (authority, path) = rest.split_at(authority_end);
            let host = authority.rsplit('@').next().unwrap_or(authority);
            format!("{scheme}://{host}{path}")
        }
        None => location.to_owned(),
    };
    short(&shown, MAX_HEADER_CHARS)
}

/// The words of a body, without tags, scripts and styles.
pub(crate) fn body_text(reply: &HttpReply) -> String {
    short(&words(&reply.body), MAX_BODY_CHARS)
}

/// All words of a body.
pub(crate) fn words(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let is_html = text.contains('<') && text.contains('>');
    if !is_html {
        return text.split_whitespace().collect::<Vec<_>>().join(" ");
    }
    let mut out = String::new();
    let mut rest: &str = &text;
    while let Some(open) = rest.find('<') {
        out.push_str(&rest[..open]);
        out.push(' ');
        rest = &rest[open..];
        let lower: String = rest
            .chars()
            .take(8)
            .collect::<String>()
            .to_ascii_lowercase();
        let end = ["script", "style"]
            .iter()
            .find(|tag| lower[1..].starts_with(**tag))
            .and_then(|tag| rest.to_ascii_lowercase().find(&format!("</{tag}")))
            .unwrap_or(0);
        // The end of the tag itself, or of the one that closes it.
        let Some(close) = rest[end..].find('>') else {
            rest = "";
            break;
        };
        rest = &rest[end + close + 1..];
    }
    out.push_str(rest);
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether this says that HTTP without TLS was sent to a port that speaks TLS: Go (nats-server, Caddy), nginx and AWS,
/// Apache.
pub(crate) fn is_plain_to_tls(reply: &HttpReply) -> bool {
    let body = String::from_utf8_lossy(&reply.body);
    (400..500).contains(&reply.status)
        && [
            "Client sent an HTTP request to an HTTPS server.",
            "The plain HTTP request was sent to HTTPS port",
            "speaking plain HTTP to an SSL-enabled server port",
            "This combination of host and port requires TLS.",
        ]
        .iter()
        .any(|text| body.contains(text))
}

/// Whether the answer is the text of Go's HTTP server, which nats-server uses.
pub(crate) fn is_go_plain_to_tls(reply: &HttpReply) -> bool {
    String::from_utf8_lossy(&reply.body).contains("Client sent an HTTP request to an HTTPS server.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::http::testing::reply;

    const ANY: Code = Code::error("upgrade.any", "", "", "");

    #[test]
    fn a_body_is_shown_without_its_tags() {
        let page = reply(
            "HTTP/1.1 200 OK\r\n\r\n<html><head><title>Welcome</title><style>a { b: c > d }</style><script>x<y</script></head>\n<body>Sign <b>in</b></body>",
        );
        assert_eq!(body_text(&page), "Welcome Sign in");
        for torn in ["<", "<script", "a<b", "<é>", "\u{fffd}<style>x"] {
            let _ = words(torn.as_bytes());
        }
    }

    #[test]
    fn secrets_of_a_location_are_not_shown() {
        assert_eq!(
            shown_location("https://user:hunter2@h.example/a?token=hunter2#x"),
            "https://h.example/a"
        );
        assert_eq!(shown_location("/login?next=hunter2"), "/login");
    }

    #[test]
    fn only_what_tells_something_is_shown_of_an_answer() {
        let refused = reply(
            "HTTP/1.1 400 Bad Request\r\nServer: nginx/1.22.1\r\nSet-Cookie: session=hunter2\r\nSec-Websocket-Version: 13\r\nContent-Length: 12\r\n\r\nBad Request\n",
        );
        let finding = with_reply(ANY.finding("x"), &refused);
        assert_eq!(
            finding.evidence[0].value,
            "HTTP/1.1 400 Bad Request; Server: nginx/1.22.1; Sec-WebSocket-Version: 13"
        );
        assert_eq!(finding.evidence[1].name, "written by");
        assert!(!format!("{finding:?}").contains("hunter2"));
    }
}
