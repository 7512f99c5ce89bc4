//! A 400 that nats-server wrote itself: our handshake did not arrive as it was sent.

use std::sync::Arc;

use rustls::ClientConfig;
use tokio::join;

use crate::doctor::checks::upgrade::advice::{around, pass_upgrade_on};
use crate::doctor::code::Code;
use crate::doctor::front::proxy_of;
use crate::doctor::http::again::{Asker, Direct, find_direct};
use crate::doctor::http::answer::Case;
use crate::doctor::neighbours::{Monitoring, Neighbours};
use crate::results::doctor::{Certainty, Finding, Severity};

pub(super) const DROPPED: Code = Code {
    name: "upgrade.proxy-dropped-headers",
    severity: Severity::Error,
    meaning: "A proxy between here and nats-server does not pass on the headers of the WebSocket handshake.",
    cause: "nats-server itself answers 400 to a handshake that was sent without a fault: `Upgrade`, `Connection` or a `Sec-WebSocket-*` header got lost on the way. That is what nginx does unless it is told otherwise.",
    fix: "In nginx: `proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\";`. Other proxies have their own switch for WebSocket.",
};

/// Looks again, and names who dropped what.
pub(super) async fn look(
    case: &mut Case<'_>,
    asker: &Asker,
    neighbours: &Neighbours,
    unverified: Option<Arc<ClientConfig>>,
) -> Finding {
    let known = neighbours
        .monitoring
        .as_ref()
        .and_then(Monitoring::websocket_port);
    let provoke = async {
        match case.proxy {
            Some(_) => None,
            None => asker.provoke().await,
        }
    };
    let (provoked, direct) = join!(provoke, find_direct(asker, known, unverified));
    if case.proxy.is_none() {
        case.proxy = provoked.as_ref().and_then(proxy_of);
    }
    judge(case, direct.as_ref())
}

/// The cause.
pub(super) fn judge(case: &Case<'_>, direct: Option<&Direct>) -> Finding {
    let place = case.target.host_and_port();
    let (who, passes) = match &case.proxy {
        Some(proxy) => (
            crate::doctor::front::subject(Some(proxy), &place),
            "does not pass the Upgrade header on to nats-server.",
        ),
        None => (
            format!("A proxy at {place}, or behind it,"),
            "drops a header of the WebSocket handshake on the way to nats-server.",
        ),
    };
    let finding = case
        .finding(&DROPPED, format!("{who} {passes}"))
        .because("nats-server itself answered, and it answers 400 only to a handshake that lacks `Upgrade`, `Connection` or a `Sec-WebSocket-*` header. All of them were sent, so that one got lost on the way.");
    let finding = match &case.proxy {
        Some(proxy) => finding.certainty(Certainty::Likely).or(
            &format!("a second proxy between {} and nats-server drops them", proxy.name()),
            "the configuration of the first one has the lines above already; its upstream port is not the WebSocket port of nats-server",
        ),
        None => finding,
    };
    let finding = around(finding, &case.target.host, direct);
    pass_upgrade_on(
        finding,
        case.proxy.as_ref(),
        case.path(),
        direct,
    )
    .remedy("The log of nats-server names the header that it misses: `websocket handshake error: invalid value for header 'Upgrade'`, or `key missing`.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::http::testing::{case, reply};

    const BY_NATS: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nSec-Websocket-Version: 13\r\nX-Content-Type-Options: nosniff\r\nDate: Mon, 23 Nov 2026 18:21:30 GMT\r\nContent-Length: 12\r\n\r\nBad Request\n";

    #[test]
    fn nginx_is_named_and_gets_its_lines() {
        let reply = reply(&BY_NATS.replacen("\r\n", "\r\nServer: nginx/1.22.1\r\n", 1));
        let finding = judge(&case("ws://h:1/nats", &reply), None);
        assert_eq!(
            finding.title,
            "nginx at h:1 does not pass the Upgrade header on to nats-server."
        );
        assert!(finding.remedy[0].contains("proxy_set_header Upgrade $http_upgrade;"));
        assert!(finding.remedy[0].contains("location /nats"));
    }

    #[test]
    fn who_has_no_name_is_not_called_nats_server() {
        let reply = reply(BY_NATS);
        let finding = judge(&case("ws://h:1", &reply), None);
        assert!(
            finding
                .title
                .starts_with("A proxy at h:1, or behind it, drops")
        );
        assert_eq!(finding.certainty, Certainty::Certain);
    }
}
