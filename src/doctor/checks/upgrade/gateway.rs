//! A proxy that cannot reach what is behind it: 502, 503, 504.

use crate::doctor::checks::upgrade::advice::{around, point_at};
use crate::doctor::code::Code;
use crate::doctor::front::ProxyKind;
use crate::doctor::http::again::Direct;
use crate::doctor::http::answer::Case;
use crate::net::target::Scheme;
use crate::results::doctor::{Certainty, Finding, Severity};

pub(super) const BAD_GATEWAY: Code = Code {
    name: "upgrade.bad-gateway",
    severity: Severity::Error,
    meaning: "The proxy cannot talk to nats-server (502).",
    cause: "Nothing listens on the upstream port, or the proxy uses the wrong scheme for it: `https://` to a port without TLS, say. From outside the two look the same.",
    fix: "Start nats-server, and correct the upstream of the proxy: the port of the `websocket` block, and `https://` only if that block has `tls`.",
};

pub(super) const NO_BACKEND: Code = Code {
    name: "upgrade.no-backend",
    severity: Severity::Error,
    meaning: "The proxy or load balancer has no live server to send the request to (503).",
    cause: "nats-server is down, the address in the backend is wrong, or its health check fails.",
    fix: "Start nats-server, or correct the address or health check of the backend.",
};

pub(super) const GATEWAY_TIMEOUT: Code = Code {
    name: "upgrade.gateway-timeout",
    severity: Severity::Error,
    meaning: "The proxy waits for nats-server in vain (504).",
    cause: "The upstream address is not reachable from the proxy (firewall, wrong address), or nats-server is frozen.",
    fix: "Correct the upstream address, open the firewall between the two, or look at nats-server.",
};

/// The cause; `direct` is what was found around the proxy.
pub(super) fn judge(case: &Case<'_>, direct: Option<&Direct>) -> Finding {
    let finding = match case.reply.status {
        502 => bad_gateway(case, direct),
        503 => no_backend(case),
        _ => timeout(case),
    };
    let finding = around(finding, &case.target.host, direct);
    let kind = case.proxy.as_ref().map(|proxy| proxy.kind);
    // nginx says 502 where an upstream is dead: a 503 is its own.
    if kind == Some(ProxyKind::Nginx) && case.reply.status == 503 {
        return finding
            .remedy("Look in nginx for what answers this host and path with 503: a `return 503`, a limit, a maintenance page. Its error log names a limit.")
            .remedy("Behind an ingress: kubectl get endpoints SERVICE, which is empty while no pod of nats-server is ready.");
    }
    let finding = point_at(finding, case.proxy.as_ref(), case.path(), direct);
    match kind {
        Some(ProxyKind::Nginx) => finding.remedy(
            "The error log of nginx says which it is: `connect() failed (111: Connection refused)`, `SSL_do_handshake() failed`, or `upstream timed out`.",
        ),
        Some(ProxyKind::Haproxy) if case.reply.status == 503 => finding
            .remedy("If the `server` line has `ssl`: nats-server needs `tls` in its `websocket` block and a certificate that HAProxy accepts. With `no_tls: true`, leave `ssl` out."),
        _ => finding.remedy(format!("The error log of {} says why.", case.proxy_name())),
    }
}

fn bad_gateway(case: &Case<'_>, direct: Option<&Direct>) -> Finding {
    let finding = case
        .finding(
            &BAD_GATEWAY,
            format!(
                "{} cannot reach nats-server behind it (502).",
                case.subject()
            ),
        )
        .certainty(Certainty::Possible);
    let dead = (
        "the upstream port is wrong, or nats-server is not running: nothing listens there",
        "on the host of the proxy, `curl -i http://UPSTREAM/` is refused",
    );
    let scheme = (
        "the proxy speaks TLS (`https://`) to a port without, or to one whose certificate it does not accept",
        "on the host of the proxy, `curl -i http://UPSTREAM/` answers 400 Bad Request: the port is alive, without TLS",
    );
    if let Some(finding) = haproxy_502(case) {
        return finding;
    }
    match direct {
        // A server that is there makes both of them likely: which port the proxy uses is not to be seen.
        Some(direct) => finding
            .because(format!(
                "The way to the proxy is fine. A WebSocket listener of nats-server is alive on port {}{}: if that is the one meant, the upstream of the proxy has another port, or the wrong scheme.",
                direct.port,
                if direct.scheme == Scheme::Wss { " (TLS)" } else { " (no TLS)" }
            ))
            .or("the upstream port in the configuration of the proxy is wrong: nothing listens there", dead.1)
            .or(scheme.0, scheme.1),
        None => finding
            .because("The way to the proxy is fine; the one from the proxy to nats-server is not. Two causes look the same from here.")
            .or(dead.0, dead.1)
            .or(scheme.0, scheme.1),
    }
}

/// `HAProxy` answers 503 where it gets no connection: with 502 it had one, and got no HTTP.
fn haproxy_502(case: &Case<'_>) -> Option<Finding> {
    let kind = case.proxy.as_ref().map(|proxy| proxy.kind);
    if kind != Some(ProxyKind::Haproxy) {
        return None;
    }
    let finding = case
        .finding(
            &BAD_GATEWAY,
            format!(
                "{} reaches a server behind it that gives no answer in HTTP (502): not the WebSocket port of nats-server.",
                case.subject()
            ),
        )
        .certainty(Certainty::Likely)
        .because("Where nothing takes the connection it answers 503. Here it was connected, and what came back was no HTTP, or nothing.")
        .or(
            "the `server` line names the client port (4222), or another port that speaks no HTTP",
            "on the host of the proxy, `curl --http0.9 http://UPSTREAM/` shows INFO",
        )
        .or(
            "the server behind it was stopped or restarted at that moment, or hangs up on every request",
            "on the host of the proxy, `curl -i http://UPSTREAM/` ends with an empty reply",
        );
    Some(finding)
}

/// The page of `HAProxy` for a backend that takes no connection; any other page is one that a rule gives.
const HAPROXY_503: &str = "No server is available to handle this request.";

fn haproxy_503(case: &Case<'_>) -> Finding {
    let who = case.subject();
    let body = String::from_utf8_lossy(&case.reply.body);
    let finding = case.finding(
        &NO_BACKEND,
        format!("{who} has no live server behind it (503)."),
    );
    if body.contains(HAPROXY_503) {
        return finding
            .because("Its health check fails for every server of the backend, or no connection to them comes about: nats-server is down, its address or port in the backend is wrong, or TLS to it fails.");
    }
    finding
        .certainty(Certainty::Possible)
        .because("The page is not the one that HAProxy has for a dead backend: a rule or an error file of its configuration gives it.")
        .or(
            "a rule answers in place of nats-server, for maintenance say",
            "look for `http-request return` and `deny_status 503` in its configuration",
        )
        .or(
            "no server of the backend is alive, and `errorfile 503` has a page of its own for that",
            "its statistics page shows the servers as down",
        )
}

fn no_backend(case: &Case<'_>) -> Finding {
    let body = String::from_utf8_lossy(&case.reply.body);
    let who = case.subject();
    let kind = case.proxy.as_ref().map(|proxy| proxy.kind);
    match kind {
        Some(ProxyKind::Haproxy) => haproxy_503(case),
        Some(ProxyKind::AwsLoadBalancer) => case
            .finding(&NO_BACKEND, format!("{who} has no healthy target (503)."))
            .because("The target group is empty, or its health check fails. The WebSocket port of nats-server answers 400 to the usual HTTP check: use the monitoring port for it."),
        Some(ProxyKind::Envoy) => case
            .finding(&NO_BACKEND, format!("{who} has no healthy upstream (503)."))
            .because(if body.contains("connection failure") || body.contains("connect failure") {
                "The upstream refuses the connection or its TLS: nats-server is down, or port or TLS setting of the cluster is wrong."
            } else {
                "No endpoint of the cluster is healthy: nats-server is down, or its address is wrong."
            }),
        Some(ProxyKind::Nginx) => case
            .finding(&NO_BACKEND, format!("{who} has nothing behind it for this request (503)."))
            .certainty(Certainty::Likely)
            .because("An ingress without endpoints for the service, a limit (`limit_req`, `limit_conn`) or a `return 503` answers so. nats-server was not asked.")
            .or("a limit of requests or connections was reached", "the error log has `limiting requests` or `limiting connections`"),
        _ => case
            .finding(&NO_BACKEND, format!("{who} has no live server behind it (503)."))
            .certainty(Certainty::Likely)
            .because("nats-server never answers 503: it was not asked, or is not there.")
            .or("a maintenance page, or a limit of connections", "the body of the answer, or the log of the proxy, says so"),
    }
}

fn timeout(case: &Case<'_>) -> Finding {
    case.finding(
        &GATEWAY_TIMEOUT,
        format!("{} waits for nats-server in vain (504).", case.subject()),
    )
    .certainty(Certainty::Possible)
    .because("The way to the proxy is fine; what is behind it does not answer in time.")
    .or(
        "the upstream address cannot be reached from the proxy: a firewall drops the packets, or the address is wrong",
        "on the host of the proxy, `curl -i http://UPSTREAM/` hangs while connecting",
    )
    .or(
        "nats-server is frozen or overloaded",
        "its client port (4222) does not say INFO either",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::http::testing::{case, reply};

    #[test]
    fn a_502_has_two_causes() {
        let page = reply("HTTP/1.1 502 Bad Gateway\r\nServer: nginx/1.22.1\r\n\r\n<html></html>");
        let finding = judge(&case("ws://h:1", &page), None);
        assert_eq!(finding.code, BAD_GATEWAY.name);
        assert_eq!(finding.certainty, Certainty::Possible);
        assert_eq!(finding.alternatives.len(), 2);
        assert!(finding.title.starts_with("nginx at h:1"));
    }

    #[test]
    fn a_listener_beside_it_is_named_in_the_remedy() {
        let page = reply("HTTP/1.1 502 Bad Gateway\r\nServer: nginx/1.22.1\r\n\r\n<html></html>");
        let direct = Direct {
            scheme: Scheme::Ws,
            port: 9999,
            version: "2.15.1".into(),
        };
        let finding = judge(&case("ws://h:1", &page), Some(&direct));
        assert!(finding.remedy[0].contains("proxy_pass http://127.0.0.1:9999;"));
    }

    #[test]
    fn haproxy_tells_a_server_without_http_from_a_dead_one_and_from_a_rule() {
        let page = reply(
            "HTTP/1.1 502 Bad Gateway\r\n\r\n<html><body><h1>502 Bad Gateway</h1>\nThe server returned an invalid or incomplete response.\n</body></html>\n",
        );
        let finding = judge(&case("ws://h:1", &page), None);
        assert!(finding.title.contains("no answer in HTTP"), "{finding:?}");
        let rule = reply("HTTP/1.1 503 Service Unavailable\r\nServer: haproxy\r\n\r\nmaintenance");
        let finding = judge(&case("ws://h:1", &rule), None);
        assert_eq!(finding.certainty, Certainty::Possible);
    }

    #[test]
    fn haproxy_without_servers_is_certain() {
        let page = reply(
            "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 107\r\ncache-control: no-cache\r\ncontent-type: text/html\r\n\r\n<html><body><h1>503 Service Unavailable</h1>\nNo server is available to handle this request.\n</body></html>\n",
        );
        let finding = judge(&case("ws://h:1", &page), None);
        assert_eq!(
            finding.title,
            "HAProxy at h:1 has no live server behind it (503)."
        );
        assert_eq!(finding.certainty, Certainty::Certain);
        assert!(finding.remedy[0].contains("server nats"));
    }
}
