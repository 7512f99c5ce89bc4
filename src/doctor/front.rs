//! Who answered a request: nats-server itself, or which proxy.
//!
//! nats-server is told by two things together: an error status that carries `Sec-WebSocket-Version: 13`, and a body that
//! is nothing but the text of the status. It never sends `Server`; where both are there, a proxy has passed the answer of
//! nats-server on.

use std::fmt;
use std::time::Duration;

use crate::net::ws::upgrade::HttpReply;
use crate::report::harmless::harmless;

/// Longest `Server` or `Via` that is shown.
const MAX_TEXT_CHARS: usize = 60;

/// What a `location` of nginx needs to pass a WebSocket handshake on.
pub(crate) const NGINX_PASSES_UPGRADE: [&str; 3] = [
    "proxy_http_version 1.1;",
    "proxy_set_header Upgrade $http_upgrade;",
    "proxy_set_header Connection \"upgrade\";",
];

/// The same lines within a whole `location`.
pub(crate) fn nginx_location(path: &str, proxy_pass: &str) -> Vec<String> {
    let inner = std::iter::once(proxy_pass).chain(NGINX_PASSES_UPGRADE);
    let inner = inner.map(|line| format!("  {line}"));
    std::iter::once(format!("location {path} {{"))
        .chain(inner)
        .chain(["}".to_owned()])
        .collect()
}

/// Proxies, gateways and web servers that are known by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProxyKind {
    Nginx,
    Haproxy,
    Apache,
    Caddy,
    Traefik,
    Envoy,
    Cloudflare,
    AwsLoadBalancer,
    CloudFront,
    Varnish,
    Google,
    Kong,
    Azure,
    Squid,
    Akamai,
    Fastly,
    Iis,
    /// Something that names itself in a way that is not known here.
    Other,
    /// Nothing that names itself: only the port is another one. It may be a mere port mapping.
    Mapping,
}

/// Something that answers in place of nats-server, or passes on what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proxy {
    pub(crate) kind: ProxyKind,
    /// As it names itself, such as `nginx/1.22.1`.
    pub(crate) text: String,
}

impl Proxy {
    fn new(kind: ProxyKind, text: &str) -> Self {
        let text = harmless(text.trim());
        Self {
            kind,
            text: text.chars().take(MAX_TEXT_CHARS).collect(),
        }
    }

    /// After how long it cuts an idle connection unless configured otherwise, and what it is configured by; `None` where
    /// it does not, or nobody knows.
    pub(crate) fn idle_default(&self) -> Option<(Duration, &'static str)> {
        let (secs, directive) = match self.kind {
            ProxyKind::Nginx => (60, "proxy_read_timeout"),
            ProxyKind::Kong => (60, "read_timeout"),
            ProxyKind::Apache => (60, "ProxyTimeout"),
            ProxyKind::AwsLoadBalancer => (60, "idle_timeout"),
            ProxyKind::Envoy => (300, "stream_idle_timeout"),
            ProxyKind::Cloudflare => (100, "its idle time-out for WebSockets"),
            _ => return None,
        };
        Some((Duration::from_secs(secs), directive))
    }

    /// Its name in a sentence.
    pub(crate) fn name(&self) -> String {
        let name = match self.kind {
            ProxyKind::Nginx => "nginx",
            ProxyKind::Haproxy => "HAProxy",
            ProxyKind::Apache => "Apache",
            ProxyKind::Caddy => "Caddy",
            ProxyKind::Traefik => "Traefik",
            ProxyKind::Envoy => "Envoy",
            ProxyKind::Cloudflare => "Cloudflare",
            ProxyKind::AwsLoadBalancer => "the AWS load balancer",
            ProxyKind::CloudFront => "CloudFront",
            ProxyKind::Varnish => "Varnish",
            ProxyKind::Google => "the Google front end",
            ProxyKind::Kong => "Kong",
            ProxyKind::Azure => "the Azure gateway",
            ProxyKind::Squid => "Squid",
            ProxyKind::Akamai => "Akamai",
            ProxyKind::Fastly => "Fastly",
            ProxyKind::Iis => "IIS",
            ProxyKind::Mapping => "whatever maps the port",
            ProxyKind::Other => {
                let product = self.text.split(['/', ' ']).next().unwrap_or(&self.text);
                return format!("`{product}`");
            }
        };
        name.to_owned()
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What `Server` begins with, in lower case, and whose it is. The longer names come first.
const SERVERS: [(&str, ProxyKind); 22] = [
    ("nginx", ProxyKind::Nginx),
    ("openresty", ProxyKind::Nginx),
    ("tengine", ProxyKind::Nginx),
    ("apache", ProxyKind::Apache),
    ("caddy", ProxyKind::Caddy),
    ("traefik", ProxyKind::Traefik),
    ("envoy", ProxyKind::Envoy),
    ("istio-envoy", ProxyKind::Envoy),
    ("cloudflare", ProxyKind::Cloudflare),
    ("awselb", ProxyKind::AwsLoadBalancer),
    ("cloudfront", ProxyKind::CloudFront),
    ("varnish", ProxyKind::Varnish),
    ("google frontend", ProxyKind::Google),
    ("gws", ProxyKind::Google),
    ("kong", ProxyKind::Kong),
    ("microsoft-azure", ProxyKind::Azure),
    ("microsoft-iis", ProxyKind::Iis),
    ("squid", ProxyKind::Squid),
    ("akamaighost", ProxyKind::Akamai),
    ("haproxy", ProxyKind::Haproxy),
    ("fastly", ProxyKind::Fastly),
    ("artisanal bits", ProxyKind::Fastly),
];

/// Headers that only one product sends.
const TELLTALES: [(&str, ProxyKind, &str); 11] = [
    ("CF-RAY", ProxyKind::Cloudflare, "Cloudflare"),
    ("X-Amz-Cf-Id", ProxyKind::CloudFront, "CloudFront"),
    (
        "X-Amzn-Trace-Id",
        ProxyKind::AwsLoadBalancer,
        "AWS load balancer",
    ),
    (
        "X-Amzn-RequestId",
        ProxyKind::AwsLoadBalancer,
        "AWS gateway",
    ),
    ("X-Varnish", ProxyKind::Varnish, "Varnish"),
    ("X-Envoy-Upstream-Service-Time", ProxyKind::Envoy, "Envoy"),
    ("X-Kong-Response-Latency", ProxyKind::Kong, "Kong"),
    ("X-Kong-Proxy-Latency", ProxyKind::Kong, "Kong"),
    ("X-Azure-Ref", ProxyKind::Azure, "Azure Front Door"),
    ("X-Squid-Error", ProxyKind::Squid, "Squid"),
    ("X-Fastly-Request-ID", ProxyKind::Fastly, "Fastly"),
];

/// What pages of proxies say that send no header of their own.
const PAGES: [(&str, ProxyKind, &str); 11] = [
    (
        "No server is available to handle this request.",
        ProxyKind::Haproxy,
        "HAProxy",
    ),
    (
        "Your browser sent an invalid request.",
        ProxyKind::Haproxy,
        "HAProxy",
    ),
    (
        "The server returned an invalid or incomplete response.",
        ProxyKind::Haproxy,
        "HAProxy",
    ),
    (
        "The server didn't respond in time.",
        ProxyKind::Haproxy,
        "HAProxy",
    ),
    (
        "Request forbidden by administrative rules.",
        ProxyKind::Haproxy,
        "HAProxy",
    ),
    (
        "Your browser didn't send a complete request in time.",
        ProxyKind::Haproxy,
        "HAProxy",
    ),
    ("<center>nginx", ProxyKind::Nginx, "nginx"),
    ("upstream connect error", ProxyKind::Envoy, "Envoy"),
    ("no healthy upstream", ProxyKind::Envoy, "Envoy"),
    (
        "no Route matched with those values",
        ProxyKind::Kong,
        "Kong",
    ),
    ("default backend - 404", ProxyKind::Nginx, "ingress-nginx"),
];

/// The proxy that an answer names, if any: also of a `101`, where it says what is in between.
pub(crate) fn proxy_of(reply: &HttpReply) -> Option<Proxy> {
    let server = reply.header("Server").map(str::trim).unwrap_or_default();
    let lower = server.to_ascii_lowercase();
    if let Some((_, kind)) = SERVERS.iter().find(|(start, _)| lower.starts_with(start)) {
        return Some(Proxy::new(*kind, server));
    }
    if let Some((_, kind, text)) = TELLTALES
        .iter()
        .find(|(name, ..)| reply.header(name).is_some())
    {
        return Some(Proxy::new(*kind, text));
    }
    let body = String::from_utf8_lossy(&reply.body);
    if let Some((_, kind, text)) = PAGES.iter().find(|(said, ..)| body.contains(said)) {
        return Some(Proxy::new(*kind, text));
    }
    if !server.is_empty() {
        return Some(Proxy::new(ProxyKind::Other, server));
    }
    via(reply.header("Via")?)
}

/// `1.1 varnish`, `1.1 google`, `1.1 Caddy`, `1.0 proxy.example.com (squid/4.1)`.
fn via(value: &str) -> Option<Proxy> {
    let first = value.split(',').next()?.trim();
    let by = first.split_once(' ').map_or(first, |(_, by)| by);
    let lower = by.to_ascii_lowercase();
    let kinds = [
        ("google", ProxyKind::Google),
        ("cloudfront", ProxyKind::CloudFront),
    ];
    let known = SERVERS
        .iter()
        .chain(kinds.iter())
        .find(|(name, _)| lower.contains(name));
    let kind = known.map_or(ProxyKind::Other, |(_, kind)| *kind);
    (!by.is_empty()).then(|| Proxy::new(kind, by))
}

/// Whether nats-server itself wrote this refusal, whoever passed it on.
pub(crate) fn is_nats(reply: &HttpReply) -> bool {
    let body = String::from_utf8_lossy(&reply.body);
    let text = match reply.status {
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        500 => "Internal Server Error",
        _ => return false,
    };
    // Some proxies leave the body out, others put their own page in its place.
    reply
        .header("Sec-WebSocket-Version")
        .is_some_and(|version| version.trim() == "13")
        && (body.is_empty() || body.trim() == text)
}

/// How a finding calls whoever answered: the proxy by its name, or just the server.
pub(crate) fn subject(proxy: Option<&Proxy>, address: &str) -> String {
    match proxy {
        Some(proxy) => {
            let name = proxy.name();
            let mut chars = name.chars();
            let first = chars.next().filter(|_| name.starts_with("the "));
            match first {
                Some(first) => format!("{}{} at {address}", first.to_uppercase(), chars.as_str()),
                None => format!("{name} at {address}"),
            }
        }
        None => format!("The server at {address}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::ws::upgrade::parse_reply;

    fn reply(text: &str) -> HttpReply {
        parse_reply(text.as_bytes()).unwrap().0
    }

    #[test]
    fn a_proxy_is_known_by_its_header_its_page_or_its_via() {
        for (head, kind, text) in [
            (
                "HTTP/1.1 502 Bad Gateway\r\nServer: nginx/1.22.1\r\n\r\n",
                ProxyKind::Nginx,
                "nginx/1.22.1",
            ),
            (
                "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 107\r\ncontent-type: text/html\r\n\r\n<html><body><h1>503 Service Unavailable</h1>\nNo server is available to handle this request.\n</body></html>\n",
                ProxyKind::Haproxy,
                "HAProxy",
            ),
            (
                "HTTP/1.1 520 \r\nServer: cloudflare\r\nCF-RAY: 8\r\n\r\n",
                ProxyKind::Cloudflare,
                "cloudflare",
            ),
            (
                "HTTP/1.1 502 Bad Gateway\r\nServer: awselb/2.0\r\n\r\n",
                ProxyKind::AwsLoadBalancer,
                "awselb/2.0",
            ),
            (
                "HTTP/1.1 101 Switching Protocols\r\nVia: 1.1 varnish, 1.1 other\r\n\r\n",
                ProxyKind::Varnish,
                "varnish",
            ),
            (
                "HTTP/1.1 404 Not Found\r\nVia: 1.1 google\r\n\r\n",
                ProxyKind::Google,
                "google",
            ),
            (
                "HTTP/1.1 200 OK\r\nServer: gateway\r\n\r\n",
                ProxyKind::Other,
                "gateway",
            ),
            (
                "HTTP/1.1 503 Service Unavailable\r\n\r\nno healthy upstream",
                ProxyKind::Envoy,
                "Envoy",
            ),
        ] {
            let proxy = proxy_of(&reply(head)).unwrap_or_else(|| panic!("{head}"));
            assert_eq!((proxy.kind, proxy.text.as_str()), (kind, text), "{head}");
        }
        assert_eq!(proxy_of(&reply("HTTP/1.1 101 Switching\r\n\r\n")), None);
    }

    #[test]
    fn nats_server_is_known_by_its_fingerprint_also_behind_a_proxy() {
        let own = "HTTP/1.1 400 Bad Request\r\nServer: nginx/1.22.1\r\nSec-Websocket-Version: 13\r\nContent-Length: 12\r\n\r\nBad Request\n";
        assert!(is_nats(&reply(own)));
        for other in [
            "HTTP/1.1 400 Bad Request\r\nContent-Length: 12\r\n\r\nBad Request\n",
            "HTTP/1.1 400 Bad Request\r\nSec-WebSocket-Version: 13\r\nContent-Length: 5\r\n\r\nno!!\n",
            "HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\n\r\n",
        ] {
            assert!(!is_nats(&reply(other)), "{other}");
        }
    }

    #[test]
    fn what_names_itself_strangely_is_quoted_short_and_harmless() {
        let head = format!("HTTP/1.1 200 OK\r\nServer: {}\r\n\r\n", "x".repeat(500));
        let proxy = proxy_of(&reply(&head)).unwrap();
        assert_eq!(proxy.text.len(), MAX_TEXT_CHARS);
        assert_eq!(
            subject(None, "h:1"),
            "The server at h:1",
            "nobody is made up"
        );
    }
}
