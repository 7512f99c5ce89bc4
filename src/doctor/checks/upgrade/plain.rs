//! HTTP without TLS that reached a port with TLS: the port of the URL itself, or the one behind a proxy.

use std::sync::Arc;

use rustls::ClientConfig;

use crate::doctor::checks::upgrade::advice::around;
use crate::doctor::code::Code;
use crate::doctor::front::{ProxyKind, proxy_of};
use crate::doctor::http::again::{Asker, Outcome, find_direct, url_of};
use crate::doctor::http::answer::{Case, is_go_plain_to_tls};
use crate::net::target::Scheme;
use crate::results::doctor::{Certainty, Finding, Severity};

pub(super) const PLAIN_TO_TLS: Code = Code {
    name: "upgrade.plain-to-tls-port",
    severity: Severity::Error,
    meaning: "The port speaks TLS, and the URL says `ws://`.",
    cause: "nats-server (or the proxy) has TLS on this port, and got a request without it. It says so in clear, with status 400.",
    fix: "Write `wss://` in the URL.",
};

pub(super) const PROXY_PLAIN_TO_TLS: Code = Code {
    name: "upgrade.proxy-plain-to-tls",
    severity: Severity::Error,
    meaning: "A proxy speaks plain HTTP to the WebSocket port of nats-server, which has TLS.",
    cause: "The proxy is told `http://` as its upstream, and nats-server has `tls` in its `websocket` block.",
    fix: "In nginx: `proxy_pass https://...;`. Or, where the proxy does TLS and is on the same machine, `no_tls: true` in the `websocket` block.",
};

/// Asks the port for TLS, and judges.
pub(super) async fn look(
    case: &mut Case<'_>,
    asker: &Asker,
    unverified: Option<Arc<ClientConfig>>,
) -> Finding {
    let with_tls = match unverified.clone() {
        Some(tls) if asker.target.scheme == Scheme::Ws => {
            let mut other = asker.without_secrets().unverified(tls);
            other.target.scheme = Scheme::Wss;
            Some(other.ask(|_| ()).await)
        }
        _ => None,
    };
    if case.proxy.is_none()
        && let Some(outcome) = &with_tls
        && spoke_tls(outcome) == Some(false)
    {
        case.proxy = asker.provoke().await.as_ref().and_then(proxy_of);
    }
    let finding = judge(case, with_tls.as_ref());
    if finding.code == PROXY_PLAIN_TO_TLS.name {
        let direct = find_direct(asker, None, unverified).await;
        return around(finding, &case.target.host, direct.as_ref());
    }
    finding
}

/// Whether something spoke TLS there; `None` where that did not become clear.
fn spoke_tls(with_tls: &Outcome) -> Option<bool> {
    match with_tls {
        Outcome::Switched { .. } | Outcome::Refused(_) => Some(true),
        // The answer to the TLS handshake was in clear.
        Outcome::Failed(text) => text.contains("InvalidContentType").then_some(false),
    }
}

/// The cause; `with_tls` is what the same port answers inside TLS.
pub(super) fn judge(case: &Case<'_>, with_tls: Option<&Outcome>) -> Finding {
    // The error page of a proxy is about its own port; the text of Go that a proxy passes on is about the port behind.
    let is_behind = is_go_plain_to_tls(case.reply)
        && match (&case.proxy, with_tls.and_then(spoke_tls)) {
            (_, Some(spoke_tls)) => !spoke_tls,
            (Some(proxy), _) => proxy.kind != ProxyKind::Caddy,
            (None, _) => case.target.scheme == Scheme::Wss || case.reply.http_minor == 1,
        };
    if is_behind {
        return behind(case, with_tls);
    }
    let target = case.target;
    let url = url_of(Scheme::Wss, &target.host, target.port, case.path());
    let who = match (&case.proxy, with_tls) {
        (None, Some(outcome)) if outcome.is_nats() => {
            format!(
                "The WebSocket port of nats-server at {}",
                target.host_and_port()
            )
        }
        _ => case.subject(),
    };
    let finding = case
        .finding(
            &PLAIN_TO_TLS,
            format!("{who} speaks TLS, but the URL says ws://."),
        )
        .because("The request went out without TLS, and was refused for that.");
    let finding = match with_tls {
        Some(outcome) => finding.evidence("the same with TLS", outcome.text()),
        None => finding,
    };
    finding.paste(
        "Use wss://:",
        &[&format!("natsbench doctor --server {url}")],
    )
}

fn behind(case: &Case<'_>, with_tls: Option<&Outcome>) -> Finding {
    let finding = case
        .finding(
            &PROXY_PLAIN_TO_TLS,
            format!(
                "{} speaks plain HTTP to the WebSocket port of nats-server, which wants TLS.",
                match &case.proxy {
                    Some(_) => case.subject(),
                    None => format!("The proxy at {}", case.target.host_and_port()),
                }
            ),
        )
        .because("The answer comes from the TLS port behind the proxy: it got a request without TLS. The URL is right.");
    let finding = match with_tls.and_then(spoke_tls) {
        Some(false) => finding.evidence("TLS at this port", "not spoken"),
        _ if case.proxy.is_some() => finding,
        _ => finding.certainty(Certainty::Likely),
    };
    let finding = match case.proxy.as_ref().map(|proxy| proxy.kind) {
        Some(ProxyKind::Nginx) | None => finding.paste(
            format!(
                "Let it speak TLS to nats-server; in the nginx `location {}`:",
                case.path()
            ),
            &["proxy_pass https://127.0.0.1:8443;   # https, and the port that is there now"],
        ),
        Some(ProxyKind::Haproxy) => finding.paste(
            "Let it speak TLS to nats-server; in the backend:",
            &["server nats 127.0.0.1:8443 ssl verify none"],
        ),
        _ => finding
            .remedy("Let it speak TLS to nats-server: `https://` in the address of the upstream."),
    };
    finding.paste(
        "Or, where the proxy does the TLS for clients, take it off the port behind it; in nats.conf:",
        &["websocket { no_tls: true }"],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::http::testing::{case, reply};

    const GO: &str =
        "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
    const NGINX_PAGE: &str = "HTTP/1.1 400 Bad Request\r\nServer: nginx/1.22.1\r\nContent-Type: text/html\r\nContent-Length: 255\r\nConnection: close\r\n\r\n<html>\r\n<head><title>400 The plain HTTP request was sent to HTTPS port</title></head>\r\n<body>\r\n<center><h1>400 Bad Request</h1></center>\r\n<center>The plain HTTP request was sent to HTTPS port</center>\r\n<hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n";
    const THROUGH_NGINX: &str = "HTTP/1.1 400 Bad Request\r\nServer: nginx/1.22.1\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n30\r\nClient sent an HTTP request to an HTTPS server.\n\r\n0\r\n\r\n";

    #[test]
    fn the_port_itself_wants_tls() {
        for text in [GO, NGINX_PAGE] {
            let reply = reply(text);
            let finding = judge(&case("ws://h:1", &reply), None);
            assert_eq!(finding.code, PLAIN_TO_TLS.name, "{text}");
            assert!(finding.remedy[0].contains("wss://h:1"));
        }
    }

    #[test]
    fn the_port_behind_the_proxy_wants_tls() {
        let through = reply(THROUGH_NGINX);
        let finding = judge(&case("ws://h:1", &through), None);
        assert_eq!(finding.code, PROXY_PLAIN_TO_TLS.name);
        assert!(finding.title.starts_with("nginx at h:1 speaks plain HTTP"));
        // With wss:// the URL cannot be what is wrong.
        let bare = reply(GO);
        let finding = judge(&case("wss://h:1", &bare), None);
        assert_eq!(finding.code, PROXY_PLAIN_TO_TLS.name);
    }

    #[test]
    fn a_port_that_speaks_no_tls_cannot_be_what_wants_it() {
        let bare = reply(GO);
        let failed = Outcome::Failed("received corrupt message of type InvalidContentType".into());
        let finding = judge(&case("ws://h:1", &bare), Some(&failed));
        assert_eq!(finding.code, PROXY_PLAIN_TO_TLS.name);
        // What fails for another reason says nothing.
        let failed = Outcome::Failed("no answer".into());
        let finding = judge(&case("ws://h:1", &bare), Some(&failed));
        assert_eq!(finding.code, PLAIN_TO_TLS.name);
    }

    #[test]
    fn a_port_that_speaks_tls_when_asked_is_the_one() {
        let through = reply(THROUGH_NGINX);
        let spoken = Outcome::Refused(through.clone());
        let finding = judge(&case("ws://h:1", &through), Some(&spoken));
        assert_eq!(finding.code, PLAIN_TO_TLS.name);
    }
}
